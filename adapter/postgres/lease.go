package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// The lease statements: find the next row, lease it, write its events.
//
// In "v" and "n" are VIP requests and everything else. Each has its own
// low-water mark ($5, $6), below which only dead rows can be; without it every
// poll would step over what has been acknowledged since the last vacuum. A row
// that another poll is taking is skipped.
//
// A lease that ran out is told of here when the sweep has not been quicker.
// $3, $4 and $8 are arrays with a place per poll: until when, its event, and the
// version that the reader speaks; where the message is in another, the event says
// that it was handed out rewrapped. The first poll gets the first message.
const (
	leaseAny = `
WITH v AS (
	SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
	WHERE queue = $1 AND prio = 0 AND seq >= $5 AND visible_at <= $2 AND (eol IS NULL OR eol > $2)
	ORDER BY seq LIMIT cardinality($4::jsonb[]) FOR UPDATE SKIP LOCKED
), n AS (
	SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
	WHERE queue = $1 AND prio = 1 AND seq >= $6 AND visible_at <= $2 AND (eol IS NULL OR eol > $2)
	ORDER BY seq LIMIT cardinality($4::jsonb[]) - (SELECT count(*) FROM v) FOR UPDATE SKIP LOCKED
), s AS (
	SELECT *, row_number() OVER (ORDER BY prio, seq) AS place FROM (SELECT * FROM v UNION ALL SELECT * FROM n) b
)` + leaseTake

	// With a selector the index on the root is read, once per root; the best of
	// the rows found is taken. $9 are the numbers of the roots.
	leaseRoots = `
WITH v AS (
	SELECT l.* FROM unnest($9::int[]) r, LATERAL (
		SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
		WHERE queue = $1 AND root = r AND prio = 0 AND seq >= $5 AND visible_at <= $2 AND (eol IS NULL OR eol > $2)
		ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED) l
), n AS (
	SELECT l.* FROM unnest($9::int[]) r, LATERAL (
		SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
		WHERE queue = $1 AND root = r AND prio = 1 AND seq >= $6 AND visible_at <= $2 AND (eol IS NULL OR eol > $2)
		ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED) l
	WHERE NOT EXISTS (SELECT FROM v)
), s AS (
	SELECT *, 1 AS place FROM (SELECT * FROM v UNION ALL SELECT * FROM n) b ORDER BY seq LIMIT 1
)` + leaseTake

	// timeText is how encoding/json writes a time in milliseconds, UTC.
	timeText = `to_char(ran_out_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

	leaseTake = `, u AS (
	UPDATE queue q SET visible_at = ($3::timestamptz[])[s.place], attempts = q.attempts + 1, returned = q.attempts
	FROM s WHERE q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq
	RETURNING s.place, q.message, q.prio, q.seq, q.attempts, q.facts, s.attempts > s.returned AS ran_out, s.visible_at AS ran_out_at
), e AS (
	INSERT INTO journal_pending (event)
	SELECT event FROM u, LATERAL (VALUES
		(1, facts - 'wire' || $7::jsonb || jsonb_build_object('time', ` + timeText + `, 'attempt', attempts - 1)),
		(2, facts - 'wire' || ($4::jsonb[])[place] || jsonb_build_object('attempt', attempts) ||
			CASE WHEN facts->>'wire' <> ($8::text[])[place] THEN '{"outcome": "rewrapped"}'::jsonb ELSE '{}' END)) t(n, event)
	WHERE n = 2 OR u.ran_out ORDER BY place, n
)
SELECT place, message, attempts FROM u`
)

// lease is one poll on its way to the database.
type lease struct {
	ctx   context.Context
	poll  adapter.Poll
	event string
	roots []int32 // of the selector
	done  chan leased
}

// leased is the outcome of a lease; attempt is 0 when there was no message.
type leased struct {
	id      [16]byte
	attempt int
	err     error
}

// Lease is adapter.Store.Lease. Polls of one queue that come at the same time are
// served by one statement; those with a selector each by its own.
func (s *Store) Lease(ctx context.Context, p adapter.Poll) (*adapter.Delivery, error) {
	queue, err := s.names.queueID(ctx, s.pool, p.Queue, false)
	if err != nil {
		return nil, err
	}
	if queue == 0 { // nothing has ever been put into it
		return nil, s.used(ctx, p.Use)
	}
	l := &lease{ctx: ctx, poll: p, done: make(chan leased, 1)}
	if l.event, err = s.stamp(p.Event, journal.KindDelivered, p.Now); err != nil {
		return nil, err
	}
	if len(p.Roots) == 0 {
		s.leases.join(queue, l)
	} else {
		if l.roots, err = s.rootIDs(ctx, p.Roots); err != nil {
			return nil, err
		}
		if len(l.roots) == 0 {
			return nil, s.used(ctx, p.Use)
		}
		s.lease(queue, []*lease{l})
	}
	var out leased
	select {
	case out = <-l.done:
	case <-ctx.Done():
		out.err = ctx.Err() // if it was leased, it comes back when the lease runs out
	}
	if out.err != nil {
		return nil, fmt.Errorf("leasing %s of %s: %w", p.Queue.Kind, p.Queue.System, out.err)
	}
	if out.attempt == 0 {
		return nil, nil
	}
	m, err := s.load(ctx, out.id, true)
	if err != nil {
		// Leased, and not handed out: it comes back when the lease runs out.
		return nil, fmt.Errorf("leasing %s of %s: %w", p.Queue.Kind, p.Queue.System, err)
	}
	if m.Erased != nil {
		// Its key has gone, and the erasure is about to take it out of the queue.
		return s.Lease(ctx, p)
	}
	return &adapter.Delivery{Message: m, Attempt: out.attempt, Until: p.Now.Add(p.For)}, nil
}

// used notes a use by itself.
func (s *Store) used(ctx context.Context, u adapter.Use) error {
	if u == (adapter.Use{}) {
		return nil
	}
	first, err := s.FirstUse(ctx, u)
	if err == nil && first != u.Operation {
		err = &adapter.UsedError{First: first}
	}
	return err
}

// lease runs the statement for polls of one queue and tells each its outcome.
func (s *Store) lease(queue int32, batch []*lease) {
	// Whose caller has gone must not be given a message.
	live := make([]*lease, 0, len(batch))
	for _, l := range batch {
		if err := l.ctx.Err(); err != nil {
			l.done <- leased{err: err}
			continue
		}
		live = append(live, l)
	}
	if len(live) == 0 {
		return
	}
	outcomes, err := s.leaseRows(queue, live)
	if isCode(err, divisionByZero) {
		// One of them came as something else before, and nothing was done. Each is
		// asked about, and whose use holds goes on.
		held := live[:0]
		for _, l := range live {
			if err := s.used(l.ctx, l.poll.Use); err != nil {
				l.done <- leased{err: err}
				continue
			}
			l.poll.Use = adapter.Use{}
			held = append(held, l)
		}
		if live = held; len(live) > 0 {
			outcomes, err = s.leaseRows(queue, live)
		}
	}
	for i, l := range live {
		if err != nil {
			l.done <- leased{err: err}
		} else {
			l.done <- outcomes[i]
		}
	}
}

func (s *Store) leaseRows(queue int32, batch []*lease) ([]leased, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	now := batch[0].poll.Now
	var uses useArrays
	untils, events, wires := make([]time.Time, len(batch)), make([]string, len(batch)), make([]*string, len(batch))
	for i, l := range batch {
		if l.poll.Now.After(now) {
			now = l.poll.Now
		}
		untils[i], events[i] = l.poll.Now.Add(l.poll.For), l.event
		if l.poll.Use != (adapter.Use{}) {
			uses.add(l.poll.Use)
		}
		if l.poll.Wire != "" {
			wires[i] = &l.poll.Wire
		}
	}
	returned, err := s.stamp(journal.Event{Node: s.opts.Node}, journal.KindReturned, now)
	if err != nil {
		return nil, err
	}
	if err := s.marks.refresh(ctx, s, queue); err != nil {
		return nil, err
	}
	vip, normal := s.marks.get(queue)
	sql, args := leaseAny, []any{queue, now, untils, events, vip, normal, returned, wires}
	if roots := batch[0].roots; len(roots) > 0 {
		sql, args = leaseRoots, append(args, roots)
	}
	outcomes := make([]leased, len(batch))
	both := &pgx.Batch{} // one transaction: whose use does not hold is given nothing
	if len(uses.marks) > 0 {
		both.Queue(usesHoldSQL, uses.arguments()...)
	}
	both.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		var place int
		var out leased
		_, err := pgx.ForEachRow(rows, []any{&place, &out.id, &out.attempt}, func() error {
			outcomes[place-1] = out
			return nil
		})
		return err
	})
	return outcomes, s.polls.SendBatch(ctx, both).Close()
}

// rootIDs gives the numbers of those roots that any message has had.
func (s *Store) rootIDs(ctx context.Context, roots []adapter.QName) ([]int32, error) {
	var ids []int32
	for _, r := range roots {
		id, err := s.names.rootID(ctx, s.pool, r, false)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// stamp encodes an event that the database completes with the facts of its
// message.
func (s *Store) stamp(e journal.Event, kind journal.Kind, now time.Time) (string, error) {
	e.Kind = kind
	if e.Time.IsZero() {
		e.Time = now.UTC().Truncate(time.Millisecond)
	}
	encoded, err := encodeEvents([]journal.Event{e})
	if err != nil {
		return "", err
	}
	return encoded[0], nil
}

// marks are the low-water marks of the queues that this node polls: where in
// the index a poll begins.
type marks struct {
	mu    sync.Mutex
	queue map[int32]*mark
}

type mark struct {
	seq  [2]int64 // by prio
	read time.Time
}

const (
	// markAge is how long a mark is used before it is read again. It is also
	// the longest that a message committed behind the mark can wait.
	markAge = time.Second
	// markSlack is how far the mark stays behind the first row, for rows whose
	// number is lower but whose commit comes later.
	markSlack = 1000
)

func (m *marks) get(queue int32) (vip, normal int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.queue[queue]
	if k == nil {
		return 0, 0
	}
	return k.seq[0], k.seq[1]
}

// refresh reads the marks of a queue when they are old, from the first rows
// that are there, leased or not. One poll does it, the others go on meanwhile.
func (m *marks) refresh(ctx context.Context, s *Store, queue int32) error {
	m.mu.Lock()
	if m.queue == nil {
		m.queue = map[int32]*mark{}
	}
	k := m.queue[queue]
	if k == nil {
		k = &mark{}
		m.queue[queue] = k
	}
	old := time.Since(k.read) > markAge // the machine's clock: this is about load, not about messages
	if old {
		k.read = time.Now()
	}
	m.mu.Unlock()
	if !old {
		return nil
	}
	var first [2]*int64
	err := s.polls.QueryRow(ctx, `SELECT
		(SELECT seq FROM queue WHERE queue = $1 AND prio = 0 ORDER BY seq LIMIT 1),
		(SELECT seq FROM queue WHERE queue = $1 AND prio = 1 ORDER BY seq LIMIT 1)`, queue).Scan(&first[0], &first[1])
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		k.read = time.Time{}
		return fmt.Errorf("reading the head of queue %d: %w", queue, err)
	}
	for prio, seq := range first {
		if seq != nil {
			k.seq[prio] = *seq - markSlack
		}
		// An empty queue keeps its mark: new rows have higher numbers.
	}
	return nil
}
