package clerk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
)

// While nobody can tell the time nothing is logged, and nothing is lost by that.
func TestNothingIsLoggedByAWrongClock(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	s := d.Sequencer(book)
	wrong := errors.New("the clocks differ")
	s.Steady = func() error { return wrong }
	book.Add(journal.Event{Kind: journal.KindEvidenceRead, Time: d.Clock.Now(), Outcome: "ok"})
	if _, err := s.Step(context.Background()); !errors.Is(err, wrong) {
		t.Errorf("a step with a wrong clock: %v", err)
	}
	if head, err := book.Head(context.Background()); err != nil || head.Tree.N != 0 {
		t.Errorf("the log has %d entries, %v", head.Tree.N, err)
	}
	s.Steady = func() error { return nil }
	if n, err := s.Step(context.Background()); err != nil || n != 1 {
		t.Errorf("a step with a right clock: %d, %v", n, err)
	}
}

// slow is a book whose rows come two minutes after they were asked for.
type slow struct {
	*journaltest.Book
	clock *journaltest.Clock
}

type slowTx struct {
	clerk.Tx
	clock *journaltest.Clock
}

func (b slow) Sequence(ctx context.Context, term int64, step func(clerk.Tx) error) error {
	return b.Book.Sequence(ctx, term, func(tx clerk.Tx) error { return step(slowTx{tx, b.clock}) })
}

func (t slowTx) Pending(ctx context.Context, limit int, first int64) ([]clerk.Pending, bool, error) {
	t.clock.Move(2 * time.Minute)
	return t.Tx.Pending(ctx, limit, first)
}

// What happens while the database takes its time is not logged before it has happened:
// an auditor would call it forged.
func TestNothingIsLoggedBeforeItHappens(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	s := d.Sequencer(book)
	s.Book = slow{book, d.Clock}
	event := journal.Event{Kind: journal.KindEvidenceRead, Time: d.Clock.Now().Add(119 * time.Second), Outcome: "ok"}
	if err := book.Add(event); err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(s); err != nil {
		t.Fatal(err)
	}
	whole(t, d, book, []journal.Event{event})
}

// A sequencer with little to do looks again after a tick; one whose turns take long rests
// longer, and never more than two.
func TestABusySequencerRestsLonger(t *testing.T) {
	const tick = 100 * time.Millisecond
	for took, want := range map[time.Duration]time.Duration{
		0: tick, 5 * time.Millisecond: tick, 15 * time.Millisecond: 135 * time.Millisecond, 30 * time.Millisecond: 2 * tick, time.Minute: 2 * tick,
	} {
		if got := clerk.Rest(tick, took); got != want {
			t.Errorf("after a turn of %s it rests for %s, want %s", took, got, want)
		}
	}
}
