package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// apart is what this node knows of the queues in outbox_left: where their first rows stand,
// and behind which rows of a shard the first one of any other queue stands. Millions may wait for a topic that
// takes nothing, and a look is not to walk over them. A row whose number is lower and whose
// commit comes later is found by the next look from the beginning: what this tells is how long
// things wait, and no message goes by it.
type apart struct {
	mu    sync.Mutex
	first map[int32]int64
	rest  [adapter.Shards]apartRest
}

// apartRest says that up to a row of a shard all are of some queues.
type apartRest struct {
	queues []int32
	upto   int64
	from   time.Time // when it was looked from the beginning, by the machine's clock
}

// apartWhole is how often the rest is looked for from the beginning of a shard.
const apartWhole = time.Minute

// A queue is apart until nothing waits from before the time when the bus left it last.
const (
	apartSQL = `SELECT l.queue, l.shard, l.seq, l.told, n.system, n.kind, n.node FROM outbox_left l JOIN queue_name n ON n.id = l.queue ORDER BY l.queue`

	apartFirstSQL = `SELECT o.seq, o.at FROM unnest($1::int[], $2::smallint[], $3::bigint[]) WITH ORDINALITY t(queue, shard, seq, n) LEFT JOIN LATERAL (
	SELECT seq, at FROM outbox WHERE shard = t.shard AND seq >= t.seq AND queue = t.queue ORDER BY seq LIMIT 1) o ON true ORDER BY t.n`

	apartRestSQL = `SELECT coalesce((SELECT seq FROM outbox WHERE shard = $1 ORDER BY seq DESC LIMIT 1), 0), o.seq, o.at FROM (SELECT) l LEFT JOIN LATERAL (
	SELECT seq, at FROM outbox WHERE shard = $1 AND seq > $2 AND queue <> ALL ($3::int[]) ORDER BY seq LIMIT 1) o ON true`

	// apartOverSQL leaves to the next look what a relay, or the look of another node, has in
	// hand: it waits for nobody and deadlocks with nobody.
	apartOverSQL = `WITH o AS (
	SELECT l.queue FROM unnest($1::int[], $2::timestamptz[]) t(queue, told) JOIN outbox_left l ON l.queue = t.queue AND l.told = t.told FOR UPDATE OF l SKIP LOCKED
) DELETE FROM outbox_left l USING o WHERE l.queue = o.queue RETURNING ` + unwaited

	// apartBegunSQL notes the queues of rows.
	apartBegunSQL = `INSERT INTO outbox_left (queue, shard, seq, told) SELECT t.queue, $1, t.seq, clock_timestamp() FROM unnest($2::int[], $3::bigint[]) t(queue, seq) ORDER BY t.queue
	ON CONFLICT (queue) DO UPDATE SET seq = excluded.seq, told = excluded.told`
)

// apartRow is a row of outbox_left.
type apartRow struct {
	queue int32
	shard int16
	seq   int64
	told  time.Time
	name  adapter.Queue
}

// standApart completes a look at the outbox, where the oldest row of each shard came at a time.
func (s *Store) standApart(ctx context.Context, out *adapter.Standing, oldest []*time.Time, left bool) error {
	a := &s.apart
	a.mu.Lock()
	defer a.mu.Unlock()
	of := make([][]int32, len(oldest)) // queues that are apart, by shard
	if left {
		if err := s.apartWait(ctx, out, of); err != nil {
			return fmt.Errorf("looking how long queues that the bus has left have waited: %w", err)
		}
	}
	for shard, since := range oldest {
		rest := &a.rest[shard]
		if len(of[shard]) > 0 {
			var err error
			if since, err = s.restOf(ctx, shard, rest, of[shard]); err != nil {
				return fmt.Errorf("looking how long others than what the bus has left have waited: %w", err)
			}
		} else {
			*rest = apartRest{}
		}
		if since != nil {
			out.Rest = max(out.Rest, out.At.Sub(*since))
		}
	}
	return nil
}

// apartWait finds the queues that are apart, and forgets those that are no more.
func (s *Store) apartWait(ctx context.Context, out *adapter.Standing, of [][]int32) error {
	rows, _ := s.polls.Query(ctx, apartSQL)
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (a apartRow, err error) {
		err = r.Scan(&a.queue, &a.shard, &a.seq, &a.told, &a.name.System, &a.name.Kind, &a.name.Node)
		return a, err
	})
	if err != nil {
		return err
	}
	var queues []int32
	var shards []int16
	var seqs []int64
	for i := range list {
		queues, shards, seqs = append(queues, list[i].queue), append(shards, list[i].shard), append(seqs, max(list[i].seq, s.apart.first[list[i].queue]))
	}
	first := map[int32]int64{}
	var over []int32
	var told []time.Time
	var n int
	var seq *int64
	var at *time.Time
	rows, _ = s.polls.Query(ctx, apartFirstSQL, queues, shards, seqs)
	_, err = pgx.ForEachRow(rows, []any{&seq, &at}, func() error {
		one := &list[n]
		n++
		if at == nil || !at.Before(one.told) {
			over, told = append(over, one.queue), append(told, one.told)
			return nil
		}
		first[one.queue] = *seq
		of[one.shard] = append(of[one.shard], one.queue)
		out.Apart = append(out.Apart, adapter.Apart{Queue: one.name, Age: max(out.At.Sub(*at), 0)})
		return nil
	})
	if err != nil {
		return err
	}
	s.apart.first = first
	if len(over) > 0 {
		_, err = s.polls.Exec(ctx, apartOverSQL, over, told)
	}
	return err
}

// tellApart tells all nodes that queues of a shard are apart, each with its first row. Where
// that fails their senders are held back with all others until it is told again.
func (s *Store) tellApart(ctx context.Context, shard int, first map[int32]int64) {
	if len(first) == 0 {
		return
	}
	var queues []int32
	var seqs []int64
	for queue, seq := range first {
		queues, seqs = append(queues, queue), append(seqs, seq)
	}
	if _, err := s.writes.Exec(ctx, apartBegunSQL, shard, queues, seqs); err != nil && ctx.Err() == nil {
		s.log.Warn("queues that the bus does not take messages of could not be told to the other nodes; it is tried again", "shard", shard, "error", err)
	}
}

// restOf is when the oldest row of a shard came that is of none of some queues; nil: there is none.
func (s *Store) restOf(ctx context.Context, shard int, rest *apartRest, queues []int32) (since *time.Time, err error) {
	if !contains(queues, rest.queues) || time.Since(rest.from) > apartWhole {
		*rest = apartRest{from: time.Now()}
	}
	var last int64
	var seq *int64
	if err := s.polls.QueryRow(ctx, apartRestSQL, shard, rest.upto, queues).Scan(&last, &seq, &since); err != nil {
		return nil, err
	}
	if seq != nil {
		last = *seq - 1
	}
	rest.queues, rest.upto = queues, max(rest.upto, last-markSlack)
	return since, nil
}

// contains says whether a list, in order, has all of another.
func contains(list, other []int32) bool {
	for _, one := range other {
		for len(list) > 0 && list[0] < one {
			list = list[1:]
		}
		if len(list) == 0 || list[0] != one {
			return false
		}
	}
	return true
}
