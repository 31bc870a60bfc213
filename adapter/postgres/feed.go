package postgres

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Feed is adapter.Store.Feed. As in Relay the work is led for one batch and no
// transaction is open while publish works.
func (s *Store) Feed(ctx context.Context, max int, publish func(context.Context, []adapter.LogEntry) error) (n int, err error) {
	var got claimed
	var out []adapter.LogEntry
	batch := &pgx.Batch{}
	s.leads.claim(batch, feedWork, "(SELECT size FROM journal_head) > (SELECT next FROM journal_feed)", &got)
	// First: of which topic this is, which Refeed may change while the log is read.
	var epoch string
	var next int64
	var tree tlog.Tree
	batch.Queue("SELECT f.epoch, f.next, coalesce(h.size, 0), h.root FROM journal_feed f LEFT JOIN journal_head h ON true").QueryRow(func(r pgx.Row) error {
		return r.Scan(&epoch, &next, &tree.N, (*rootColumn)(&tree.Hash))
	})
	err = s.pool.SendBatch(ctx, batch).Close()
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the log: %w", err)
	case got.epoch == 0 && tree.N <= next:
		return 0, nil
	case got.epoch == 0:
		s.leads.refused(ctx, feedWork, got, next)
		return 0, adapter.ErrShardTaken
	}
	s.leads.moved(feedWork)
	done := false
	defer func() {
		if !done {
			s.leads.release(feedWork, got.epoch)
		}
	}()
	if out, err = s.logFrom(ctx, s.pool, next, max, tree); err != nil {
		return 0, fmt.Errorf("reading the log: %w", err)
	}
	if len(out) == 0 {
		return 0, nil
	}
	kept, stop := s.leads.keep(ctx, feedWork, got.epoch)
	err = publish(kept, out)
	if stop(); err != nil {
		return 0, cmp.Or(deposed(kept), err)
	}
	// Like the end of Relay, and never back, but for a topic that was made anew
	// meanwhile (Refeed).
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	next = out[len(out)-1].Index + 1
	var led bool
	err = s.pool.QueryRow(ctx, `WITH l AS (`+releaseSQL+` RETURNING work, `+unwaited+`), f AS (UPDATE journal_feed SET next = $4 WHERE next < $4 AND epoch = $5 AND EXISTS (SELECT FROM l))
		SELECT EXISTS (SELECT FROM l)`, append(s.leads.proof(feedWork, got.epoch), next, epoch)...).Scan(&led)
	if err == nil && !led {
		err = &DeposedError{feedWork.name, got.epoch}
	}
	if err != nil {
		return 0, fmt.Errorf("remembering that the log was fed up to %d: %w", next, err)
	}
	done = true
	return len(out), nil
}

// stretch is a run of the log as it is read: first entries that are rows, behind them
// those in blocks.
type stretch struct {
	rows   []adapter.LogEntry
	blocks []*block
}

// readStretch reads at most max entries from an index on.
func readStretch(ctx context.Context, db batcher, from int64, max int) ([]adapter.LogEntry, error) {
	var s stretch
	batch := &pgx.Batch{}
	batch.Queue("SELECT idx, kind, message, leaf FROM journal_entry WHERE idx >= $1 ORDER BY idx LIMIT $2", from, max).Query(func(rows pgx.Rows) (err error) {
		s.rows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[adapter.LogEntry])
		return err
	})
	// Pieces that were read already are many, and must not take the room of those behind.
	batch.Queue(`(SELECT first, entries, leaves FROM journal_block WHERE first > $1 - 256 ORDER BY first LIMIT $2)
		UNION ALL SELECT first, entries, leaves FROM journal_piece WHERE first + entries > $1 ORDER BY first`, from, max/blockSize+2).Query(func(rows pgx.Rows) (err error) {
		s.blocks, err = pgx.CollectRows(rows, readBlock)
		return err
	})
	if err := db.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	return s.from(from, max)
}

// from gives the entries from next on, at most max.
func (s *stretch) from(next int64, max int) ([]adapter.LogEntry, error) {
	out := s.rows
	var end *int64 // of what was read
	if len(out) > 0 {
		end = new(out[len(out)-1].Index + 1)
	}
	for _, b := range s.blocks {
		if end != nil && b.first > *end {
			break // blocks are in between that were not asked for
		}
		end = new(b.end())
		for i := b.first; i < b.end() && len(out) < max; i++ {
			if i < next {
				continue
			}
			leaf := b.leaves[i-b.first]
			kind, message, err := journal.ParseHead(leaf)
			if err != nil {
				return nil, &journal.BrokenError{What: fmt.Sprintf("entry %d: %v", i, err)}
			}
			out = append(out, adapter.LogEntry{Index: i, Kind: string(kind), Message: message, Leaf: leaf})
		}
	}
	return out, nil
}

// refeedFor is how long a topic keeps its records when nobody has said otherwise.
const refeedFor = "7 days"

// Refeed is adapter.Store.Refeed. Where a day begins in the log is told by the
// daily totals, or they do not know of it yet.
func (s *Store) Refeed(ctx context.Context, epoch string) (again bool, err error) {
	err = s.pool.QueryRow(ctx, `WITH b AS MATERIALIZED (SELECT epoch FROM journal_feed), u AS (
	UPDATE journal_feed SET epoch = $1, next = CASE epoch WHEN '' THEN next ELSE least(next, coalesce(
		(SELECT min(first) FROM journal_tally WHERE day >= (now() - interval '`+refeedFor+`')::date AND first >= 0), (SELECT tallied FROM journal_head), 0)) END
	WHERE epoch <> $1 RETURNING 1
) SELECT EXISTS (SELECT FROM u) AND EXISTS (SELECT FROM b WHERE epoch <> '')`, epoch).Scan(&again)
	if err != nil {
		return false, fmt.Errorf("feeding the log to a topic that was made anew: %w", err)
	}
	return again, nil
}
