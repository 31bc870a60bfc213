package clerk

import (
	"context"
	"time"
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
