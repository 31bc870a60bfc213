package clerk

import "context"

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
