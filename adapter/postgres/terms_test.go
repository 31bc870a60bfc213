package postgres

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
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
