package clerk

import (
	"context"
	"reflect"
	"time"

	"mezhved/adapter/journal"
)

// Turn is one pass of the loop.
func (s *Sequencer) Turn(ctx context.Context) error {
	_, err := s.turn(ctx, true)
	return err
}

// Resign ends the sequencer's term.
func (s *Sequencer) Resign() {
	s.Book.Resign(s.term)
	s.term = 0
}

// Rest is how long the loop rests after a turn.
func Rest(tick, took time.Duration) time.Duration { return rest(tick, took) }

// Kept is how much of what the last batches said stands in the room for the next one, and how
// many leaves have room there.
func (s *Sequencer) Kept() (texts, room int) {
	leaves := s.leaves[:cap(s.leaves)]
	for i := range leaves {
		l := leaves[i]
		for _, c := range l.Commit[:cap(l.Commit)] {
			if c != (journal.Committed{}) {
				texts++
			}
		}
		if l.Commit = nil; !reflect.DeepEqual(l, journal.Leaf{}) {
			texts++
		}
	}
	for _, o := range s.opened[:cap(s.opened)] {
		if o != (Opened{}) {
			texts++
		}
	}
	return texts, len(leaves)
}
