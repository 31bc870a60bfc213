package clerk_test

import (
	"context"
	"errors"
	"testing"

	"mezhved/adapter/journal"
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
