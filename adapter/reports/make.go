package reports

import (
	"context"
	"errors"
	"fmt"

	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// ahead is how many bundles of entries are read before they are needed.
const ahead = 8

// Make reads a log and answers a question: from the last of standings that is good for it
// on, or, with nil and where there is none, from its beginning. What the source gives is
// believed: an auditor verifies what he has while he folds it (audit.ReadLog). hold is
// told how many bytes the fold holds as they grow, and may refuse; nil asks nobody.
func Make(ctx context.Context, q Question, source journal.TileSource, log Log, standings Standings, hold func(bytes int) error) (*Report, error) {
	f, err := NewFold(q)
	if err == nil && standings != nil {
		f, err = f.fromStanding(ctx, standings, log)
	}
	if err != nil {
		return nil, err
	}
	if err := read(ctx, source, f.read, log.Size, f.Add, f.holds, hold); err != nil {
		return nil, err
	}
	return f.Report(log)
}

// fromStanding is the fold behind the last standing that is good for it.
func (f *Fold) fromStanding(ctx context.Context, standings Standings, log Log) (*Fold, error) {
	s, kept, err := standings.Standing(ctx, Rules(f.q.Calendar), log.Size, f.q.Period.From)
	if err != nil || s == nil {
		return f, err
	}
	if err := f.resume(s, kept); errors.Is(err, errStanding) {
		return NewFold(f.q) // the log has it all
	} else if err != nil {
		return nil, err
	}
	return f, nil
}

// Stand reads a log on from a standing, or with nil from its beginning, and gives the next
// one. It is for who knows that there are entries enough: Next of the last one, or
// StandingEntries. hold is as that of Make.
func Stand(ctx context.Context, c *terms.Calendar, last *Standing, source journal.TileSource, hold func(bytes int) error) (*Standing, error) {
	k, err := newKeeper(c, last)
	if err != nil {
		return nil, err
	}
	more := func(leaf []byte) (bool, error) { return true, k.add(leaf) }
	if err := read(ctx, source, k.fold.read, k.next, more, k.fold.holds, hold); err != nil {
		return nil, err
	}
	return k.standing(), nil
}

// read gives the entries from one, which begins a tile, up to size, until add says that it
// needs no more.
func read(ctx context.Context, source journal.TileSource, from, size int64, add func(leaf []byte) (more bool, err error), holds func() int, hold func(bytes int) error) error {
	held := 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type bundle struct {
		data []byte
		err  error
	}
	bundles := make(chan bundle, ahead)
	go func() {
		defer close(bundles)
		for n := from / journal.TileWidth; n*journal.TileWidth < size; n++ {
			width := journal.TileSize(0, n, size)
			data, err := source.Tile(ctx, journal.EntriesLevel, n, width)
			if err == nil {
				_, err = journal.CountEntries(data)
			}
			if err != nil {
				err = fmt.Errorf("entries %d to %d: %w", n*journal.TileWidth, n*journal.TileWidth+int64(width)-1, err)
			}
			select {
			case bundles <- bundle{data, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	at := from
	for b := range bundles {
		if b.err != nil {
			return b.err
		}
		for leaf, rest := []byte(nil), b.data; len(rest) > 0 && at < size; at++ {
			leaf, rest = journal.CutEntry(rest)
			if more, err := add(leaf); err != nil || !more {
				return err
			}
		}
		if holds := holds(); hold != nil && holds > held {
			if err := hold(holds); err != nil {
				return err
			}
			held = holds
		}
	}
	return ctx.Err()
}
