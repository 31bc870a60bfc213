package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Bounds of one sweep.
const (
	sweepRows  = 500
	sweepPages = 400 // of one partition of used_id, 8 KB each

	// leaseScan is how often the leases are looked through. A lease that ran
	// out earlier is free earlier all the same; only its event waits.
	leaseScan = 15 * time.Second
	// dayCheck is how often partitions are made and dropped.
	dayCheck = 10 * time.Minute
)

// sweeps remembers when this node did what.
type sweeps struct {
	mu        sync.Mutex
	leases    time.Time
	days      time.Time
	content   time.Time // it was asked whether content is sealed
	gates     time.Time // it was asked what has begun
	partition int       // of used_id and dedup: the one to purge next
	page      int64     // and its first page
	awaited   struct {  // the next look at messages with files begins behind this one
		message [16]byte
		queue   int32
	}
}

// Sweep is adapter.Store.Sweep. Several nodes may sweep at once.
func (s *Store) Sweep(ctx context.Context, now time.Time) (adapter.Swept, error) {
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	var swept adapter.Swept
	var more [6]bool
	var errs [9]error
	// One part's trouble does not keep the others from their work.
	swept.Returned, more[0], errs[0] = s.sweepLeases(ctx, now)
	swept.Expired, more[1], errs[1] = s.sweepExpired(ctx, now)
	errs[2] = s.sweepDedup(ctx, now)
	more[2], errs[3] = s.sweepRefusals(ctx, now)
	more[3], errs[4] = s.sweepDays(ctx, now)
	more[4], errs[5] = s.sweepUses(ctx, now)
	more[5], errs[6] = s.sweepRelayed(ctx)
	errs[7] = s.sweepContent(ctx, now)
	errs[8] = s.sweepGates(ctx, now)
	for _, m := range more {
		swept.More = swept.More || m
	}
	return swept, errors.Join(errs[:]...)
}

// sweepLeases writes the "returned" events of leases that ran out. The lease
// columns are in no index, so this reads the whole queue table, not often.
func (s *Store) sweepLeases(ctx context.Context, now time.Time) (int, bool, error) {
	if d := now.Sub(s.sweeps.leases); d >= 0 && d < leaseScan {
		return 0, false, nil
	}
	event, err := s.stamp(journal.Event{Node: s.opts.Node}, journal.KindReturned, now)
	if err != nil {
		return 0, false, err
	}
	var n int
	err = s.pool.QueryRow(ctx, s.gates.sql(`
WITH s AS (
	SELECT queue, prio, seq, visible_at AS ran_out_at FROM queue
	WHERE attempts > returned AND visible_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
), u AS (
	UPDATE queue q SET returned = attempts FROM s WHERE q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq
	RETURNING q.facts, q.attempts, s.ran_out_at
), e AS (
	`+waitSQL(`SELECT convert_to((facts - 'wire' || $3::jsonb || jsonb_build_object('time', `+timeText+`, 'attempt', attempts))::text, 'UTF8'), row_number() OVER (ORDER BY ran_out_at) FROM u`)+`
)
SELECT count(*) FROM u`), now, sweepRows, event).Scan(&n)
	if err != nil {
		return 0, false, fmt.Errorf("returning leases that ran out: %w", err)
	}
	if n < sweepRows {
		s.sweeps.leases = now
	}
	return n, n == sweepRows, nil
}

// sweepExpired takes messages out of their queues whose life ended before
// delivery, the longest ended first. A request stays, undeliverable, until it has
// its final reply: the caller is told of it here each time, so that the sender is
// told even if the gateway dies in between.
func (s *Store) sweepExpired(ctx context.Context, now time.Time) ([]adapter.Message, bool, error) {
	const rows = 8 * sweepRows // a few statements for many; what is told in one sweep goes in the next
	event, err := s.stamp(journal.Event{Node: s.opts.Node, Outcome: "EndOfLifeReached"}, journal.KindExpired, now)
	if err != nil {
		return nil, false, err
	}
	found, _ := s.polls.Query(ctx, s.gates.sql(`
WITH s AS MATERIALIZED (
	SELECT queue, prio, seq, message,
		facts->>'direction' = 'request' AND (SELECT reply FROM answered a WHERE a.request = q.message) IS NULL AS open -- NOT EXISTS would read all answers
	FROM queue q WHERE eol <= $1 AND visible_at <= $1 ORDER BY eol LIMIT $2 FOR UPDATE SKIP LOCKED
), d AS (
	DELETE FROM queue q USING s WHERE NOT s.open AND q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq RETURNING q.facts
), e AS (
	`+waitSQL(`SELECT convert_to((facts - 'wire' || $3::jsonb)::text, 'UTF8'), 1 FROM d`)+`
)
SELECT message, open FROM s`), now, rows, event)
	var ids [][16]byte
	var id [16]byte
	var open bool
	n := 0
	_, err = pgx.ForEachRow(found, []any{&id, &open}, func() error {
		if n++; open {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("taking out expired messages: %w", err)
	}
	expired, err := s.loadHeads(ctx, ids)
	if err != nil {
		return nil, false, fmt.Errorf("reading expired messages: %w", err)
	}
	return expired, n == rows || len(expired) > 0, nil
}

// sweepDedup forgets MessageIDs whose life is over. The keys have no index by
// age; instead each sweep looks at some pages of one partition, in turn. dedup is
// where nodes of before have their keys (migration 00050); it ends up empty.
func (s *Store) sweepDedup(ctx context.Context, now time.Time) error {
	table := fmt.Sprintf("used_id_%d", s.sweeps.partition)
	if n := s.sweeps.partition - 16; n >= 0 {
		table = fmt.Sprintf("dedup_%d", n)
	}
	var pages int64
	if err := s.pool.QueryRow(ctx, "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::int", table).Scan(&pages); err != nil {
		return fmt.Errorf("purging dedup keys: %w", err)
	}
	from, to := s.sweeps.page, s.sweeps.page+sweepPages
	_, err := s.pool.Exec(ctx, "DELETE FROM "+table+" WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND id < $3",
		fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", to), [16]byte(floor(now.Add(-s.opts.DedupLife))))
	if err != nil {
		return fmt.Errorf("purging dedup keys: %w", err)
	}
	s.sweeps.page = to
	if to >= pages {
		s.sweeps.partition, s.sweeps.page = (s.sweeps.partition+1)%32, 0
	}
	return nil
}

func (s *Store) sweepRefusals(ctx context.Context, now time.Time) (bool, error) {
	if s.opts.Vault != nil {
		return false, nil // ContentRetention ends them with their keys
	}
	tag, err := s.pool.Exec(ctx, "DELETE FROM refusal WHERE incident IN (SELECT incident FROM refusal WHERE at < $1 ORDER BY at LIMIT $2)",
		now.Add(-s.opts.KeepRefusals), sweepRows)
	if err != nil {
		return false, fmt.Errorf("dropping old refusals: %w", err)
	}
	return tag.RowsAffected() == sweepRows, nil
}

// keeps is how long the rows of messages are kept; 0 is for ever.
func (s *Store) keeps() time.Duration {
	if keep := s.keep.Load(); keep > 0 {
		return time.Duration(keep)
	}
	return s.opts.Keep
}

func (s *Store) sweepDays(ctx context.Context, now time.Time) (bool, error) {
	if d := now.Sub(s.sweeps.days); d >= 0 && d < dayCheck {
		return false, nil
	}
	if err := s.days.ensure(ctx, s.pool, now); err != nil {
		return false, err
	}
	if err := s.sweepAnswers(ctx, now); err != nil {
		return false, err
	}
	if err := s.sweepTerms(ctx, now); err != nil {
		return false, err
	}
	if err := s.sweepAlarms(ctx); err != nil {
		return false, err
	}
	if err := s.sweepProbes(ctx, now); err != nil {
		return false, err
	}
	if err := s.sweepShadow(ctx, now); err != nil {
		return false, err
	}
	if keep := s.keeps(); keep > 0 {
		dropped, err := s.days.drop(ctx, s.pool, now.Add(-keep))
		if err != nil || dropped {
			return dropped, err
		}
	}
	s.sweeps.days = now
	return false, nil
}
