package reports

import (
	"context"
	"fmt"

	"mezhved/adapter/journal"
)

// ahead is how many bundles of entries are read before they are needed.
const ahead = 8

// Make reads a log from its beginning and answers a question. What the source gives is
// believed: an auditor verifies what he has while he folds it (audit.ReadLog). hold is
// told how many bytes the fold holds as they grow, and may refuse; nil asks nobody.
func Make(ctx context.Context, q Question, source journal.TileSource, log Log, hold func(bytes int) error) (*Report, error) {
	f, err := NewFold(q)
	if err != nil {
		return nil, err
	}
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
		for n := int64(0); n*journal.TileWidth < log.Size; n++ {
			width := journal.TileSize(0, n, log.Size)
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
	read := int64(0)
	for b := range bundles {
		if b.err != nil {
			return nil, b.err
		}
		for leaf, rest := []byte(nil), b.data; len(rest) > 0 && read < log.Size; read++ {
			leaf, rest = journal.CutEntry(rest)
			more, err := f.Add(leaf)
			if err != nil {
				return nil, err
			}
			if !more {
				return f.Report(log)
			}
		}
		if holds := f.holds(); hold != nil && holds > held {
			if err := hold(holds); err != nil {
				return nil, err
			}
			held = holds
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.Report(log)
}
