package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// What stands in the queues is counted by the statements that change it: triggers add to
// queue_count what each has put in or taken out, of each queue, service and sender
// (migration 00146); statements of every message's way do so themselves (countSQL). The sum
// is exact at every commit and no row of it is written twice, so nobody waits for anybody.
// How many messages are out is not counted so: a poll is too frequent to pay for it. They
// are counted where they stand.

const (
	// leasedScan is in how many messages those that are out are counted each time: a few
	// milliseconds. Where more stand they are counted every leaseScan, by the orders in which
	// messages are taken (outSQL), so that what waits behind them is not read, unless that
	// would be to read as much.
	leasedScan = 50_000
	// countFold is how often counts are added up.
	countFold = 5 * time.Second
)

// countsItself, among what a statement returns, keeps the triggers from counting what its
// transaction does to the queue. It must be run before the queue is changed, in a transaction
// of no other statement that changes it.
const countsItself = "set_config('mezhved.counted', 'yes', true)"

// countedOf is what countSQL asks of the rows "q" of the queue that a statement puts in or
// takes out.
const countedOf = "q.queue, coalesce(q.facts->>'service', '') AS service, coalesce(q.facts->>'sender', '') AS sender"

// countSQL adds the rows of countedOf that another part of the statement returns, or with the
// sign "-" takes them off.
func countSQL(rows, sign string) string {
	return "INSERT INTO queue_count (queue, service, sender, n) SELECT queue, service, sender, " + sign + "count(*) FROM " + rows + " GROUP BY 1, 2, 3"
}

// leasedCounts remembers how many messages were out in each queue.
type leasedCounts struct {
	mu  sync.Mutex
	at  time.Time // by the machine's clock: this is about load
	out map[int32]int
}

// depthsSQL gives what stands in each queue, in how many lanes, and its first message.
const depthsSQL = `
WITH c AS MATERIALIZED (
	SELECT queue, sum(n)::int AS n, count(DISTINCT service)::int AS lanes FROM queue_count GROUP BY queue HAVING sum(n) > 0
)
SELECT n.id, n.system, n.kind, n.node, c.n, c.lanes, (
	SELECT min(h.message::text) FROM (VALUES (0::smallint), (1::smallint)) p(prio), LATERAL (
		SELECT message FROM queue q WHERE q.queue = c.queue AND q.prio = p.prio ORDER BY seq LIMIT 1) h)
FROM c JOIN queue_name n ON n.id = c.queue ORDER BY 2, 3, 4`

// Both count how many messages of each queue are out: of all, or by the orders in which they
// are taken.
var (
	outScanSQL    = "SELECT queue, count(*)::int FROM queue WHERE attempts > returned GROUP BY queue"
	outOrderedSQL = outSQL + " SELECT queue, count(*)::int FROM f GROUP BY queue"
)

// Depths is adapter.Store.Depths. A lease that ran out counts as one until it
// is swept. Of very many messages it says how many are out as it was leaseScan ago.
func (s *Store) Depths(ctx context.Context) ([]adapter.Depth, error) {
	rows, _ := s.pool.Query(ctx, depthsSQL)
	var queue int32
	var queues []int32
	var lanes, all, allLanes int
	var oldest *string // as text UUIDv7 sort by time, too
	var d adapter.Depth
	var depths []adapter.Depth
	_, err := pgx.ForEachRow(rows, []any{&queue, &d.Queue.System, &d.Queue.Kind, &d.Queue.Node, &d.Waiting, &lanes, &oldest}, func() error {
		all, allLanes = all+d.Waiting, allLanes+lanes
		if d.Oldest = (time.Time{}); oldest != nil {
			id, err := uuid.Parse(*oldest)
			if err != nil {
				return err
			}
			d.Oldest = timeOf(id)
		}
		queues, depths = append(queues, queue), append(depths, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("how much stands in the queues: %w", err)
	}
	out, err := s.countOut(ctx, all, allLanes)
	if err != nil {
		return nil, fmt.Errorf("how much of the queues is out: %w", err)
	}
	for i := range depths {
		d := &depths[i]
		d.Leased = min(out[queues[i]], d.Waiting)
		d.Waiting -= d.Leased
	}
	return depths, nil
}

// countOut gives how many messages of each queue are out, where so many stand in so many
// lanes.
func (s *Store) countOut(ctx context.Context, stand, lanes int) (map[int32]int, error) {
	known := &s.leased
	known.mu.Lock()
	defer known.mu.Unlock()
	if stand > leasedScan && !known.at.IsZero() && time.Since(known.at) < leaseScan {
		return known.out, nil
	}
	began, out := time.Now(), map[int32]int{}
	count := func(rows pgx.Rows) error {
		var queue int32
		var n int
		_, err := pgx.ForEachRow(rows, []any{&queue, &n}, func() error {
			out[queue] = n
			return nil
		})
		return err
	}
	var err error
	// Each lane, and each root element, is read twice as far as outSlack rows were never out.
	if stand > max(leasedScan, 4*outSlack*lanes) {
		rows, _ := s.polls.Query(ctx, outOrderedSQL)
		err = count(rows)
	} else {
		rows, _ := s.pool.Query(ctx, outScanSQL)
		err = count(rows)
	}
	if err != nil {
		return nil, err
	}
	known.at, known.out = began, out
	return out, nil
}

// Lanes is adapter.Store.Lanes.
func (s *Store) Lanes(ctx context.Context) ([]adapter.Lane, error) {
	coming, err := s.coming.count(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	var queues, ns []int32
	var services, senders []string
	for of, n := range coming {
		queues, services, senders, ns = append(queues, of.queue), append(services, of.service), append(senders, of.sender), append(ns, int32(n))
	}
	rows, _ := s.pool.Query(ctx, `
SELECT n.system, n.kind, n.node, c.service, c.sender, sum(c.messages)::int, sum(c.coming)::int FROM (
	SELECT queue, service, sender, n AS messages, 0 AS coming FROM queue_count
	UNION ALL
	SELECT o.queue, o.service, o.sender, 0, o.n FROM unnest($1::int[], $2::text[], $3::text[], $4::int[]) o(queue, service, sender, n)
) c JOIN queue_name n ON n.id = c.queue GROUP BY 1, 2, 3, 4, 5 HAVING sum(c.messages) <> 0 OR sum(c.coming) <> 0 ORDER BY 1, 2, 3, 4, 5`, queues, services, senders, ns)
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (l adapter.Lane, err error) {
		err = r.Scan(&l.Queue.System, &l.Queue.Kind, &l.Queue.Node, &l.Service, &l.Sender, &l.Messages, &l.Coming)
		return l, err
	})
}

// sweepCounts adds up what statements have counted. Whatever it does not see yet stays
// for the next time.
func (s *Store) sweepCounts(ctx context.Context, now time.Time) error {
	if d := now.Sub(s.sweeps.counts); d >= 0 && d < countFold {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
WITH l AS MATERIALIZED (
	SELECT pg_try_advisory_xact_lock($1, $2) AS alone
), g AS (
	SELECT queue, service, sender FROM queue_count WHERE (SELECT alone FROM l) GROUP BY 1, 2, 3 HAVING count(*) > 1
), d AS (
	DELETE FROM queue_count c USING g WHERE c.queue = g.queue AND c.service = g.service AND c.sender = g.sender RETURNING c.*
)
INSERT INTO queue_count (queue, service, sender, n) SELECT queue, service, sender, sum(n) FROM d GROUP BY 1, 2, 3 HAVING sum(n) <> 0`, lockClass, lockCounts)
	if err != nil {
		return fmt.Errorf("adding up what stands in the queues: %w", err)
	}
	s.sweeps.counts = now
	return nil
}
