package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// What is on its way into a queue stands in the outbox. There is next to nothing while the
// bus takes it, and a million of rows when it has been away for a while. No trigger counts
// them: an accept would pay for it. But rows come at the end of a shard and mostly go from among
// its first adapter.RelayBatch, its head, and a row never changes; so what has been counted
// once is counted: by parts of comingPart rows, of which those go that the head has come to.
// A look reads the head, of which some may stay where a leader of the bus is silent, the part
// behind it, if the head has moved, and what has come. Where more stay than the head has, the
// relay reads past them (leftQueues) and takes rows from among the parts: so a look also counts
// some of these anew, by turns.

const (
	// comingPart is how many rows a part has.
	comingPart = 2000
	// comingLook is how many rows a look counts at most. A node that begins where more
	// stand has counted them all after some looks.
	comingLook = 100_000
	// comingAgain is how many parts of a shard a look counts anew.
	comingAgain = 2
)

// coming is what this node has counted, by shards.
type coming struct {
	mu    sync.Mutex
	parts [adapter.Shards][]comingRows
	turn  [adapter.Shards]int // of the part that was counted anew last
}

// comingRows are the rows of a shard behind one and up to another.
type comingRows struct {
	shard       int16
	after, upto int64
	n           int
	of          map[comingTo]int
	kept        bool // one of the parts
}

// comingTo is a lane.
type comingTo struct {
	queue           int32
	service, sender string
}

const (
	comingEndsSQL = `
SELECT s, (SELECT seq FROM outbox WHERE shard = s ORDER BY seq LIMIT 1), (SELECT seq FROM outbox WHERE shard = s ORDER BY seq OFFSET $2 LIMIT 1),
	(SELECT seq FROM outbox WHERE shard = s ORDER BY seq DESC LIMIT 1) FROM generate_series(0, $1::int - 1) s`

	// comingSQL counts the first rows of ranges.
	comingSQL = `
SELECT t.n - 1, o.queue, m.service, m.sender, count(*)::int, max(o.seq) FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY t(shard, after, upto, n), LATERAL (
	SELECT seq, message, queue FROM outbox WHERE shard = t.shard AND seq > t.after AND seq <= t.upto ORDER BY seq LIMIT $4) o, LATERAL (
	SELECT coalesce(m.service, k.service) AS service, coalesce(m.sender, k.sender) AS sender FROM message m LEFT JOIN message_kind k ON k.id = m.kind WHERE m.id = o.message LIMIT 1) m
GROUP BY 1, 2, 3, 4`
)

// count gives what stands in the outbox, by lanes.
func (c *coming) count(ctx context.Context, pool *sessions) (map[comingTo]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var shard int16
	var first, head, last *int64
	var read []*comingRows
	ends := map[int16]int64{}
	look := func() error {
		parts := c.parts[shard]
		if first == nil || last == nil {
			c.parts[shard] = nil
			return nil
		}
		for len(parts) > 0 && (head == nil || parts[0].upto <= *head) {
			parts = parts[1:]
		}
		after := *first - 1
		if len(parts) > 0 && *head < parts[0].after {
			parts = nil // rows have come back: a crash of the server has lost the relay's commit
		}
		if len(parts) > 0 {
			read = append(read, &comingRows{shard: shard, after: after, upto: *head})
			if part := &parts[0]; part.after < *head {
				part.after = *head
				read = append(read, part)
			}
			for range min(comingAgain, len(parts)) {
				c.turn[shard] = (c.turn[shard] + 1) % len(parts)
				read = append(read, &parts[c.turn[shard]])
			}
			after = parts[len(parts)-1].upto
		}
		c.parts[shard], ends[shard] = parts, *last
		read = append(read, &comingRows{shard: shard, after: after, upto: *last})
		return nil
	}
	// By the index, whatever the planner knows of how much there is: the head is near.
	b := &pgx.Batch{}
	b.Queue(byIndexSQL)
	b.Queue(comingEndsSQL, adapter.Shards, adapter.RelayBatch-1).Query(func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&shard, &first, &head, &last}, look)
		return err
	})
	if err := pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("where the outbox begins and ends: %w", err)
	}
	sum := map[comingTo]int{}
	for n := 0; len(read) > 0 && n < comingLook; {
		if err := countComing(ctx, pool, read); err != nil {
			return nil, err
		}
		var next []*comingRows
		for _, part := range read {
			n += part.n
			parts, end := c.parts[part.shard], ends[part.shard]
			switch {
			case part.kept: // it is added below
			case part.n == comingPart && part.upto <= end-markSlack: // nothing comes between its rows any more
				part.kept = true
				c.parts[part.shard] = append(parts, *part)
				next = append(next, &comingRows{shard: part.shard, after: part.upto, upto: end})
			default:
				part.addTo(sum)
				if part.n == comingPart {
					next = append(next, &comingRows{shard: part.shard, after: part.upto, upto: end})
				}
			}
		}
		read = next
	}
	for _, parts := range c.parts {
		for i := range parts {
			parts[i].addTo(sum)
		}
	}
	return sum, nil
}

// countComing counts the first comingPart rows of each range, and has it end with them.
func countComing(ctx context.Context, pool *sessions, read []*comingRows) error {
	var shards []int16
	var afters, uptos []int64
	for _, part := range read {
		shards, afters, uptos = append(shards, part.shard), append(afters, part.after), append(uptos, part.upto)
	}
	rows, _ := pool.Query(ctx, comingSQL, shards, afters, uptos, comingPart)
	var i, n int
	var of comingTo
	var last int64
	counted := make([]comingRows, len(read)) // of those that are kept nothing is lost when this fails
	_, err := pgx.ForEachRow(rows, []any{&i, &of.queue, &of.service, &of.sender, &n, &last}, func() error {
		c := &counted[i]
		if c.of == nil {
			c.of = map[comingTo]int{}
		}
		c.of[of], c.n, c.upto = n, c.n+n, max(c.upto, last)
		return nil
	})
	if err != nil {
		return fmt.Errorf("counting the outbox: %w", err)
	}
	for i, part := range read {
		if part.n, part.of = counted[i].n, counted[i].of; part.n == comingPart {
			part.upto = counted[i].upto
		}
	}
	return nil
}

func (r *comingRows) addTo(sum map[comingTo]int) {
	for of, n := range r.of {
		sum[of] += n
	}
}
