package clerk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// publish has the head signed when it has grown and Publish has passed, or when
// Heartbeat has, or when now is set and it has grown.
func (s *Sequencer) publish(ctx context.Context, now bool) error {
	tick := cmp.Or(s.Tick, 100*time.Millisecond)
	since := s.Now().Sub(s.published)
	if !now && since < cmp.Or(s.Publish, time.Second-2*tick) {
		return nil
	}
	head, err := s.Book.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	grown := head.Tree != s.signed
	if s.published.IsZero() {
		grown = true // after a start, find out what the signer remembers
	}
	if !grown && (now || since < cmp.Or(s.Heartbeat, 10*time.Minute)) {
		return nil
	}
	signed, err := s.sign(ctx)
	if errors.Is(err, ErrSignedMeanwhile) {
		return nil // the next turn begins again
	}
	back := (*RollbackError)(nil)
	if errors.As(err, &back) {
		if stop := s.Book.Stop(ctx, back.Error()); stop != nil {
			s.Log.Error("journal: stop the log", "error", stop)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signErr = err; err == nil {
		s.published, s.signed = s.Now(), signed
		s.status.Signed, s.status.SignedAt = signed.N, s.published
		s.standing.Signed, s.unsigned = signed.N, time.Time{}
	}
	return err
}

func (s *Sequencer) sign(ctx context.Context) (tlog.Tree, error) {
	// Last before the head: a head read earlier may be older than what another
	// node has had signed in between, and would look like a rollback.
	last, err := s.Signer.Last(ctx)
	if err != nil {
		return last, fmt.Errorf("ask the signer: %w", err)
	}
	head, err := s.Book.Head(ctx)
	if err != nil {
		return last, fmt.Errorf("read the head: %w", err)
	}
	if head.Origin != s.Signer.Origin() {
		return last, fmt.Errorf("the log goes on as %s, this node signs for %s", head.Origin, s.Signer.Origin())
	}
	var proof []journal.Hash
	if last.N < head.Tree.N {
		if proof, err = journal.NewProver(ctx, head.Tree, s.Book).Consistency(last.N); err != nil {
			return last, fmt.Errorf("prove that %d entries continue %d: %w", head.Tree.N, last.N, err)
		}
	}
	note, err := s.Signer.Sign(ctx, last, head.Tree, proof)
	if err != nil {
		return last, err
	}
	policy, err := journal.LogPolicy(s.Signer.Key())
	if err != nil {
		return last, err
	}
	c, err := policy.Open(note)
	if err != nil {
		return last, fmt.Errorf("the signer's own signature: %w", err)
	}
	if err := s.Book.SaveCheckpoint(ctx, c); err != nil {
		return last, fmt.Errorf("save checkpoint %d: %w", c.Tree.N, err)
	}
	return c.Tree, nil
}
