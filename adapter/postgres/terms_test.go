package postgres

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/terms"
)

// TestTermsOfOneStretch: what a message that begins within a stretch of the log reaches there
// is looked for in no row, and what counts from its delivery begins; of a message that began
// before, both are in the database.
func TestTermsOfOneStretch(t *testing.T) {
	before, here := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	delivered := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	later, err := terms.ParseLater("answered 2d, +03:00")
	if err != nil {
		t.Fatal(err)
	}
	w := newTermWrites(&termRound{rules: adapter.TermRules{Begin: func(o *adapter.OpenTerm, at time.Time) {
		o.Due, o.Later = at.AddDate(0, 0, 2), terms.Later{}
	}}}, delivered)
	w.step(adapter.TermStep{Accepted: here, Open: []adapter.OpenTerm{
		{Message: here, Stage: terms.StageTaken, Due: delivered.Add(time.Hour)}, {Message: here, Stage: terms.StageAnswered, Later: later}}})
	for _, message := range []uuid.UUID{before, here} {
		w.step(adapter.TermStep{Reached: adapter.Reached{Message: message, Stages: []terms.Stage{terms.StageQueued}, At: delivered}})
		w.step(adapter.TermStep{Reached: adapter.Reached{Message: message, Stages: []terms.Stage{terms.StageQueued, terms.StageTaken}, At: delivered, Taken: true}})
	}
	if want := []termKey{{before, terms.StageQueued}, {before, terms.StageQueued}, {before, terms.StageTaken}}; !slices.Equal(w.reached, want) {
		t.Errorf("rows are looked for that were reached: %v, want %v", w.reached, want)
	}
	if want := []uuid.UUID{before}; !slices.Equal(w.taken, want) {
		t.Errorf("rows are looked for that count from a delivery: of %v, want of %v", w.taken, want)
	}
	if o := w.open[termKey{here, terms.StageAnswered}]; len(w.open) != 1 || o == nil || !o.Due.Equal(delivered.AddDate(0, 0, 2)) {
		t.Errorf("open are %v, want the answer alone, two days from the delivery", w.open)
	}
}

// TestTermsAreWrittenEachAsItIs: no row has anything of the one before it, whether they say
// the same, or one says nothing where its neighbours do.
func TestTermsAreWrittenEachAsItIs(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, embedded.Test(t, Migrate))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	later, err := terms.ParseLater("answered 2d, +03:00")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	full := adapter.OpenTerm{Stage: terms.StageStatus, Due: at.Add(time.Hour), Next: at.Add(time.Minute), Told: adapter.ToldSoon, Later: later,
		MessageID: "m1", Direction: adapter.DirRequest, Sender: "MNSV05", Recipient: "RRTR01", Service: "extract", Version: "1.0", Accepted: at}
	bare := adapter.OpenTerm{Stage: terms.StageQueued, MessageID: "m2", Direction: adapter.DirStatus, Accepted: at.Add(time.Second)}
	other := full
	other.MessageID, other.Recipient, other.Version, other.Due = "m3", "FNS001", "", time.Time{}
	want := []adapter.OpenTerm{full, bare, full, full, other, bare, other, full}
	for i := range want {
		want[i].Message = uuid.Must(uuid.NewV7())
	}
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		w := newTermWrites(&termRound{tx: tx}, at)
		w.step(adapter.TermStep{Open: slices.Clone(want)})
		return w.insert(ctx)
	}); err != nil {
		t.Fatal(err)
	}
	rows, _ := conn.Query(ctx, "SELECT "+termColumns+" FROM open_term ORDER BY message")
	got, err := pgx.CollectRows(rows, scanTerm)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i, one := range got {
		if is, to := fmt.Sprint(one), fmt.Sprint(want[i]); is != to {
			t.Errorf("row %d is %s, want %s", i, is, to)
		}
	}
}
