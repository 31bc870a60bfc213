package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"mezhved/adapter/journal"
)

// Stamp is a checkpoint that is verified, with a token over its text that is not: that
// is for who knows certificates (package papers).
type Stamp struct {
	Checkpoint *journal.Checkpoint
	Token      []byte
}

// Body is what the token is over.
func (s *Stamp) Body() []byte {
	body, err := journal.CheckpointBody(s.Checkpoint.Note)
	if err != nil {
		panic(err) // it was opened
	}
	return body
}

// openStamp gives the stamp beside a journal.QuorumError too.
func openStamp(b []byte, policy *journal.Policy, earlier []*journal.Policy) (*Stamp, error) {
	stamped, err := journal.ParseStamped(b)
	if err != nil {
		return nil, err
	}
	c, err := openUnder(stamped.Checkpoint, policy, earlier)
	if c == nil {
		return nil, err
	}
	return &Stamp{c, stamped.Token}, err
}

// StampSource is a source of a mirror that has time stamps too: JSON of
// journal.Stamped, the first that covers an entry, or the latest for journal.NoEntry.
// fs.ErrNotExist: there is none.
type StampSource interface {
	Stamped(ctx context.Context, entry int64) ([]byte, error)
}

// maxStamps is how many stamped checkpoints one visit fetches; the latest is among them.
const maxStamps = 500

// stamps fetches the stamped checkpoints that are new, proves that each is a beginning
// of the log, and keeps them. That there are none is no fault of a log.
func (w *visit) stamps(ctx context.Context, memory *Memory, source StampSource) error {
	next := int64(0)
	if n := len(memory.Stamps); n > 0 {
		next = memory.Stamps[n-1].Checkpoint.Tree.N
	}
	for range maxStamps {
		size, err := w.stamp(ctx, source, next)
		if size == 0 || err != nil {
			return err
		}
		next = size
	}
	_, err := w.stamp(ctx, source, journal.NoEntry)
	return err
}

// stamp fetches one and gives its checkpoint's size; 0 when there is no further one of
// this log as it is here. One whose checkpoint has too few cosignatures, as those have
// that were stamped before the log had a second key or a further witness, is held
// against the log like any other and not kept.
func (w *visit) stamp(ctx context.Context, source StampSource, entry int64) (int64, error) {
	b, err := source.Stamped(ctx, entry)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("fetch the time stamps: %w", err)
	}
	s, err := openStamp(b, w.Policy, w.Earlier)
	few := (*journal.QuorumError)(nil)
	if err != nil && !errors.As(err, &few) {
		return 0, fmt.Errorf("a time stamp that was served: %w", err)
	}
	size := s.Checkpoint.Tree.N
	if size > w.top.Tree.N || size <= entry {
		return 0, nil // of what is shown at the next visit
	}
	if err := w.begins(ctx, s.Checkpoint); err != nil {
		return 0, err
	}
	if few != nil {
		w.Insufficient++
		return size, nil
	}
	if err := w.folder.replace(fmt.Sprintf("%s/%d.json", stampsDir, size), b); err != nil {
		return 0, err
	}
	w.Stamps++
	return size, nil
}
