package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Bounds of one sweep.
const (
	sweepRows  = 500
	sweepPages = 400 // of poll_use, or of one partition of used_id; 8 KB each

	// leaseScan is how often the leases are looked through. A lease that ran
	// out earlier is free earlier all the same; only its event waits.
	leaseScan = 15 * time.Second
	// dayCheck is how often partitions are made and dropped.
	dayCheck = 10 * time.Minute
	// wholeSweep is how long a sweep does nothing but take out what has ended, while there is
	// more of that: it comes again at once, and what else it does is the same each time.
	wholeSweep = time.Second
)

// sweeps remembers when this node did what.
type sweeps struct {
	mu        sync.Mutex
	leases    time.Time
	days      time.Time
	counts    time.Time
	names     time.Time
	content   time.Time // it was asked whether content is sealed
	gates     time.Time // it was asked what has begun
	keys      time.Time // the keys of the vault were looked for
	lacking   string    // the one that was told to be lacking
	elsewhere string    // those that were told to be others in another folder
	partition int       // of used_id and dedup: the one to purge next
	page      int64     // and its first page
	ends      bool      // more has come to its end than the last sweep could take out
	whole     time.Time // by the machine's clock: when a sweep last did all that it does
	uses      int64     // the page of poll_use that comes next
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
	var errs [12]error
	swept.Expired, more[1], errs[1] = s.sweepExpired(ctx, now)
	ends := s.sweeps.ends
	if s.sweeps.ends = more[1]; ends && time.Since(s.sweeps.whole) < wholeSweep {
		swept.More = more[1]
		return swept, errs[1]
	}
	s.sweeps.whole = time.Now()
	// One part's trouble does not keep the others from their work.
	swept.Returned, more[0], errs[0] = s.sweepLeases(ctx, now)
	errs[2] = s.sweepDedup(ctx, now)
	more[2], errs[3] = s.sweepRefusals(ctx, now)
	more[3], errs[4] = s.sweepDays(ctx, now)
	more[4], errs[5] = s.sweepUses(ctx, now)
	more[5], errs[6] = s.sweepRelayed(ctx)
	errs[7] = s.sweepContent(ctx, now)
	errs[8] = s.sweepGates(ctx, now)
	errs[9] = s.sweepCounts(ctx, now)
	errs[10] = s.sweepNames(ctx, now)
	errs[11] = s.checkKeys(ctx, now)
	for _, m := range more {
		swept.More = swept.More || m
	}
	return swept, errors.Join(errs[:]...)
}

// outSQL finds the messages that are out. The lease columns are in no index, so that no
// index hears of a lease; but polls take rows in the order of their lane (a service and
// its VIP requests, or the rest) or, with a selector, of their root element. So in one of
// these orders only rows that were out before stand before one that is out, but for those
// that other polls were taking just then: each is read until outSlack rows have never been
// out, however many wait behind them. What stands further back, because nobody polls any
// more and those before it were put aside, is told of when it is handed out again.
//
// Sessions that run it (planned) do so without sequential and bitmap scans and sorts: the planner does not
// know how near the first of those is. Nor that a root element is rare where it has seen but
// one: asked for queue and priority it would read all that stand there by the primary key, in
// whose order they are too. Rows are compared as wholes, and prio as an int, so that the one
// index is of use which has what is asked for together.
var outSQL = `
WITH RECURSIVE l AS (
	(SELECT queue, ` + laneOf + ` AS lane, prio::int AS prio FROM queue ORDER BY queue, ` + laneOf + `, (prio::int) LIMIT 1)
	UNION ALL
	SELECT n.* FROM l, LATERAL (
		SELECT queue, ` + laneOf + ` AS lane, prio::int AS prio FROM queue
		WHERE (queue, ` + laneOf + `, prio::int) > (l.queue, l.lane, l.prio) ORDER BY queue, ` + laneOf + `, (prio::int) LIMIT 1) n
), r AS (
	(SELECT queue, root, prio FROM queue ORDER BY queue, root, prio LIMIT 1)
	UNION ALL
	SELECT n.* FROM r, LATERAL (
		SELECT queue, root, prio FROM queue WHERE (queue, root, prio) > (r.queue, r.root, r.prio) ORDER BY queue, root, prio LIMIT 1) n
), lo AS MATERIALIZED (
	SELECT l.*, coalesce((SELECT seq FROM queue q WHERE q.queue = l.queue AND ` + laneOf + ` = l.lane AND q.prio::int = l.prio AND attempts = 0
		ORDER BY seq OFFSET ` + strconv.Itoa(outSlack) + ` LIMIT 1), 9223372036854775807) AS upto FROM l
), ro AS MATERIALIZED (
	SELECT r.*, coalesce((SELECT seq FROM queue q WHERE (q.queue, q.root, q.prio) >= (r.queue, r.root, r.prio) AND (q.queue, q.root, q.prio) <= (r.queue, r.root, r.prio) AND attempts = 0
		ORDER BY queue, root, prio, seq OFFSET ` + strconv.Itoa(outSlack) + ` LIMIT 1), 9223372036854775807) AS upto FROM r
), f AS (
	SELECT o.* FROM lo, LATERAL (SELECT queue, prio, seq FROM queue q
		WHERE q.queue = lo.queue AND ` + laneOf + ` = lo.lane AND q.prio::int = lo.prio AND seq < lo.upto AND attempts > returned ORDER BY seq OFFSET 0) o
	UNION
	SELECT o.* FROM ro, LATERAL (SELECT queue, prio, seq FROM queue q
		WHERE (q.queue, q.root, q.prio, q.seq) > (ro.queue, ro.root, ro.prio, 0) AND (q.queue, q.root, q.prio, q.seq) < (ro.queue, ro.root, ro.prio, ro.upto)
		AND attempts > returned ORDER BY queue, root, prio, seq OFFSET 0) o
)`

const (
	outSlack = 64

	byIndexSQL = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)"
)

// ranOutSQL locks those whose lease has run out.
var ranOutSQL = outSQL + `
SELECT o.* FROM f, LATERAL (
	SELECT message, queue, ` + factsIfWhole + `, prio, seq, visible_at, attempts FROM queue q
	WHERE ` + keyIs("f.queue, f.prio, f.seq") + ` AND attempts > returned AND visible_at <= $1 ORDER BY queue, prio, seq LIMIT 1 FOR UPDATE SKIP LOCKED) o
LIMIT $2`

// sweepLeases writes the "returned" events of leases that ran out.
func (s *Store) sweepLeases(ctx context.Context, now time.Time) (int, bool, error) {
	if d := now.Sub(s.sweeps.leases); d >= 0 && d < leaseScan {
		return 0, false, nil
	}
	var rows []standing
	var out []leased // the attempt is that of the lease
	first := &pgx.Batch{}
	first.Queue(ranOutSQL, now, sweepRows).Query(func(found pgx.Rows) error {
		var row standing
		var at leased
		_, err := pgx.ForEachRow(found, []any{&row.message, &row.queue, &row.facts, &at.prio, &at.seq, &at.ranOut, &at.attempt}, func() error {
			rows, out = append(rows, row), append(out, at)
			row.facts, at.ranOut = nil, nil
			return nil
		})
		return err
	})
	tx, err := s.polls.open(ctx, first)
	if err != nil {
		return 0, false, fmt.Errorf("looking for leases that ran out: %w", err)
	}
	defer tx.end()
	if n := len(out); n < sweepRows {
		defer func() {
			if err == nil {
				s.sweeps.leases = now
			}
		}()
		if n == 0 {
			return 0, false, nil
		}
	}
	if err = s.sweptLeases(ctx, tx, rows, out); err != nil {
		return 0, false, fmt.Errorf("returning leases that ran out: %w", err)
	}
	return len(out), len(out) == sweepRows, nil
}

// sweptLeases tells of leases that ran out, in the order in which they did.
func (s *Store) sweptLeases(ctx context.Context, tx *transaction, rows []standing, out []leased) error {
	facts, err := s.factsOf(ctx, rows)
	if err != nil {
		return err
	}
	events := make([]journal.Event, len(out))
	queues, prios, seqs := make([]int32, len(out)), make([]int16, len(out)), make([]int64, len(out))
	for i, at := range out {
		events[i] = s.returned(facts[i], *at.ranOut, at.attempt)
		queues[i], prios[i], seqs[i] = rows[i].queue, at.prio, at.seq
	}
	slices.SortStableFunc(events, func(a, b journal.Event) int { return a.Time.Compare(b.Time) })
	encoded, err := s.waiting(events...)
	if err != nil {
		return err
	}
	last := &pgx.Batch{}
	last.Queue(s.gates.sql(`WITH u AS (
	UPDATE queue q SET returned = attempts FROM unnest($1::int[], $2::smallint[], $3::bigint[]) AS s(queue, prio, seq), `+rowAt("s.queue, s.prio, s.seq")+` WHERE `+rowIs("k")+`
)
`+waitSQL(`SELECT e, n FROM unnest($4::bytea[]) WITH ORDINALITY t(e, n)`)), queues, prios, seqs, encoded)
	return tx.commit(ctx, last)
}

// sweepExpired takes messages out of their queues whose life ended before
// delivery, the longest ended first. A request stays, undeliverable, until it has
// its final reply: the caller is told of it here each time, so that the sender is
// told even if the gateway dies in between. Those of the last time have it by now and
// go, and in the same sweep the next are found.
func (s *Store) sweepExpired(ctx context.Context, now time.Time) ([]adapter.Message, bool, error) {
	for range 2 {
		ended, ids, err := s.overdue(ctx, now)
		if err != nil {
			return nil, false, fmt.Errorf("looking for expired messages: %w", err)
		}
		if err := s.expire(ctx, now, ended); err != nil {
			return nil, false, fmt.Errorf("taking out expired messages: %w", err)
		}
		more := len(ended)+len(ids) == endedRows
		if more && len(ids) == 0 {
			continue
		}
		expired, err := s.loadHeads(ctx, ids)
		if err != nil {
			return nil, false, fmt.Errorf("reading expired messages: %w", err)
		}
		return expired, more || len(expired) > 0, nil
	}
	return nil, true, nil
}

// endedRows is how many are looked at at once: a few statements for many; what is told
// in one sweep goes in the next.
const endedRows = 2 * sweepRows

// endedRow is a row of the queue whose message has come to its end.
type endedRow struct {
	standing
	prio int16
	seq  int64
}

// overdue gives what may go, and the messages of requests that nobody has answered. It
// locks nothing: of these no row is touched.
func (s *Store) overdue(ctx context.Context, now time.Time) (rows []endedRow, unanswered [][16]byte, err error) {
	found, _ := s.polls.Query(ctx, `
SELECT queue, prio, seq, message, open, CASE WHEN NOT open THEN `+factsIfWhole+` END FROM (
	SELECT queue, prio, seq, message, facts,
		facts->>'direction' = 'request' AND (SELECT reply FROM answered a WHERE a.request = q.message) IS NULL AS open -- NOT EXISTS would read all answers
	FROM queue q WHERE eol <= $1 AND visible_at <= $1 ORDER BY eol LIMIT $2
) s`, now, endedRows)
	var row endedRow
	var open bool
	_, err = pgx.ForEachRow(found, []any{&row.queue, &row.prio, &row.seq, &row.message, &open, &row.facts}, func() error {
		if open {
			unanswered = append(unanswered, row.message)
		} else {
			rows = append(rows, row)
		}
		row.facts = nil
		return nil
	})
	return rows, unanswered, err
}

// expire takes rows out, with their events. What somebody holds, or has been handed out
// since, stays. Nobody is told of it, so it waits for no disk, and no poll for its write.
func (s *Store) expire(ctx context.Context, now time.Time, rows []endedRow) error {
	if len(rows) == 0 {
		return nil
	}
	stand := make([]standing, len(rows))
	queues, prios, seqs := make([]int32, len(rows)), make([]int16, len(rows)), make([]int64, len(rows))
	for i, row := range rows {
		stand[i], queues[i], prios[i], seqs[i] = row.standing, row.queue, row.prio, row.seq
	}
	facts, err := s.factsOf(ctx, stand)
	if err != nil {
		return err
	}
	events := make([]journal.Event, len(rows))
	for i := range rows {
		events[i] = completed(stamped(journal.Event{Node: s.opts.Node, Outcome: "EndOfLifeReached"}, journal.KindExpired, now), facts[i])
	}
	encoded, err := s.waiting(events...)
	if err != nil {
		return err
	}
	_, err = s.polls.Exec(ctx, s.gates.sql(`
WITH s AS MATERIALIZED (
	SELECT q.queue, q.prio, q.seq, q.message_id, i.e, i.n FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::bytea[]) WITH ORDINALITY AS i(queue, prio, seq, e, n),
		`+rowAt("i.queue, i.prio, i.seq")+`, queue q WHERE `+rowIs("k")+` AND q.visible_at <= $5 FOR UPDATE OF q SKIP LOCKED
), d AS (
	DELETE FROM queue q USING s WHERE `+rowIs("s")+` RETURNING s.e, s.n
)
`+waitSQL(`SELECT e, n FROM d`)+` RETURNING `+unwaited), queues, prios, seqs, encoded, now)
	return err
}

// sweepDedup forgets MessageIDs whose life is over. The keys have no index by
// age; instead each sweep looks at some pages of one partition, in turn. dedup is
// where nodes of before have their keys (migration 00050); it ends up empty.
func (s *Store) sweepDedup(ctx context.Context, now time.Time) error {
	table := fmt.Sprintf("used_id_%d", s.sweeps.partition)
	if n := s.sweeps.partition - 16; n >= 0 {
		table = fmt.Sprintf("dedup_%d", n)
	}
	_, end, err := s.sweepSome(ctx, table, &s.sweeps.page, "id < $3", [16]byte(floor(now.Add(-s.opts.DedupLife))))
	if err != nil {
		return fmt.Errorf("purging dedup keys: %w", err)
	}
	if end {
		s.sweeps.partition = (s.sweeps.partition + 1) % 32
	}
	return nil
}

// sweepSome removes rows from the next pages of a table that has no index by age. $3 is
// the argument of the condition. end says that it has come round.
func (s *Store) sweepSome(ctx context.Context, table string, page *int64, condition string, argument any) (gone int64, end bool, err error) {
	var pages int64
	if err := s.pool.QueryRow(ctx, "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::int", table).Scan(&pages); err != nil {
		return 0, false, err
	}
	from, to := *page, *page+sweepPages
	tag, err := s.pool.Exec(ctx, "DELETE FROM "+table+" WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND "+condition,
		fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", to), argument)
	if err != nil {
		return 0, false, err
	}
	if *page = to; to >= pages {
		*page, end = 0, true
	}
	return tag.RowsAffected(), end, nil
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
