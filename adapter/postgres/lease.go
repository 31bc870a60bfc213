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

// The lease statements: find the next row, lease it, write its events.
//
// In "v" and "n" are VIP requests and everything else. Each has its own
// low-water mark ($5, $6), below which only dead rows can be; without it every
// poll would step over what has been acknowledged since the last vacuum. A row
// that another poll is taking is skipped.
//
// A lease that ran out is told of here when the sweep has not been quicker.
// $8 is the version that the reader speaks; where the message is in another, the
// event says that it was handed out rewrapped.
const (
	leaseAny = `
WITH v AS (
	SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
	WHERE queue = $1 AND prio = 0 AND seq >= $5 AND visible_at <= $2 AND (eol IS NULL OR eol > $2)
	ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED
), n AS (
	SELECT queue, prio, seq, attempts, returned, visible_at FROM queue
	WHERE queue = $1 AND prio = 1 AND seq >= $6 AND visible_at <= $2 AND (eol IS NULL OR eol > $2) AND NOT EXISTS (SELECT FROM v)
	ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED
), s AS (
	SELECT * FROM v UNION ALL SELECT * FROM n
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
	SELECT * FROM (SELECT * FROM v UNION ALL SELECT * FROM n) b ORDER BY seq LIMIT 1
)` + leaseTake

	// timeText is how encoding/json writes a time in milliseconds, UTC.
	timeText = `to_char(ran_out_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

	leaseTake = `, u AS (
	UPDATE queue q SET visible_at = $3, attempts = q.attempts + 1, returned = q.attempts
	FROM s WHERE q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq
	RETURNING q.message, q.prio, q.seq, q.attempts, q.facts, s.attempts > s.returned AS ran_out, s.visible_at AS ran_out_at
), e AS (
	INSERT INTO journal_pending (event)
	SELECT event FROM u, LATERAL (VALUES
		(1, facts - 'wire' || $7::jsonb || jsonb_build_object('time', ` + timeText + `, 'attempt', attempts - 1)),
		(2, facts - 'wire' || $4::jsonb || jsonb_build_object('attempt', attempts) ||
			CASE WHEN facts->>'wire' <> $8::text THEN '{"outcome": "rewrapped"}'::jsonb ELSE '{}' END)) t(n, event)
	WHERE n = 2 OR u.ran_out ORDER BY n
)
SELECT message, prio, seq, attempts FROM u`
)

// Lease is adapter.Store.Lease.
func (s *Store) Lease(ctx context.Context, p adapter.Poll) (*adapter.Delivery, error) {
	queue, err := s.names.queueID(ctx, s.pool, p.Queue, false)
	if err != nil || queue == 0 {
		return nil, err // a queue that nothing has ever been put into
	}
	delivered, err := s.stamp(p.Event, journal.KindDelivered, p.Now)
	if err != nil {
		return nil, err
	}
	returned, err := s.stamp(journal.Event{Node: s.opts.Node}, journal.KindReturned, p.Now)
	if err != nil {
		return nil, err
	}
	if err := s.marks.refresh(ctx, s, queue); err != nil {
		return nil, err
	}
	vip, normal := s.marks.get(queue)
	until := p.Now.Add(p.For)
	sql, args := leaseAny, []any{queue, p.Now, until, delivered, vip, normal, returned, p.Wire}
	if len(p.Roots) > 0 {
		roots, err := s.rootIDs(ctx, p.Roots)
		if err != nil || len(roots) == 0 {
			return nil, err
		}
		sql, args = leaseRoots, append(args, roots)
	}
	var (
		id      [16]byte
		prio    int16
		seq     int64
		attempt int
	)
	err = s.polls.QueryRow(ctx, sql, args...).Scan(&id, &prio, &seq, &attempt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("leasing from %v: %w", p.Queue, err)
	}
	m, err := s.load(ctx, id, true)
	if err != nil {
		// Leased, and not handed out: it comes back when the lease runs out.
		return nil, fmt.Errorf("leasing from %v: %w", p.Queue, err)
	}
	return &adapter.Delivery{Message: m, Attempt: attempt, Until: until}, nil
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

// Ack is adapter.Store.Ack. It also takes the acknowledgement of a message
// whose lease has run out meanwhile, as long as it has not been taken out of
// the queue: the recipient has it, and to hand it out again helps nobody.
func (s *Store) Ack(ctx context.Context, system adapter.Mnemonic, id adapter.MessageID, now time.Time, ev journal.Event) error {
	event, err := s.stamp(ev, journal.KindAcknowledged, now)
	if err != nil {
		return err
	}
	tag, err := s.polls.Exec(ctx, `
WITH s AS (
	SELECT queue, prio, seq FROM queue
	WHERE message_id = $2 AND attempts > 0 AND queue IN (SELECT id FROM queue_name WHERE system = $1)
	ORDER BY seq LIMIT 1 FOR UPDATE
), d AS (
	DELETE FROM queue q USING s WHERE q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq
	RETURNING q.facts, q.attempts
)
INSERT INTO journal_pending (event) SELECT facts - 'wire' || $3::jsonb || jsonb_build_object('attempt', attempts) FROM d`,
		string(system), string(id), event)
	if err != nil {
		return fmt.Errorf("acknowledging %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%s: %w", id, adapter.ErrNotAwaiting)
	}
	return nil
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
