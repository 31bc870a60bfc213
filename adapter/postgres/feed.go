package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// Feed is adapter.Store.Feed. As in Relay the lock belongs to a session and no
// transaction is open while publish works.
func (s *Store) Feed(ctx context.Context, max int, publish func(context.Context, []adapter.LogEntry) error) (n int, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()

	var locked bool
	var out []adapter.LogEntry
	batch := &pgx.Batch{}
	batch.Queue("SELECT pg_try_advisory_lock($1, $2)", lockClass, lockFeed).QueryRow(func(r pgx.Row) error { return r.Scan(&locked) })
	batch.Queue("SELECT idx, kind, message, leaf FROM journal_entry WHERE idx >= (SELECT next FROM journal_feed) ORDER BY idx LIMIT $1", max).Query(func(rows pgx.Rows) error {
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[adapter.LogEntry])
		return err
	})
	err = conn.SendBatch(ctx, batch).Close()
	if locked {
		defer s.unlock(conn.Conn(), lockFeed)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the log: %w", err)
	case !locked:
		return 0, adapter.ErrShardTaken
	case len(out) == 0:
		return 0, nil
	}
	if err := publish(ctx, out); err != nil {
		return 0, err
	}
	// On the session that holds the lock, like the end of Relay, and never back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	next := out[len(out)-1].Index + 1
	if _, err := conn.Exec(ctx, "UPDATE journal_feed SET next = $1 WHERE next < $1", next); err != nil {
		return 0, fmt.Errorf("remembering that the log was fed up to %d: %w", next, err)
	}
	return len(out), nil
}
