package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// LeaseTogether gives polls of one queue to the database at once and tells which
// message each of them got.
func LeaseTogether(s *Store, polls ...adapter.Poll) ([]uuid.UUID, error) {
	ctx := context.Background()
	queue, err := s.names.queueID(ctx, s.pool, polls[0].Queue, false)
	if err != nil {
		return nil, err
	}
	batch := make([]*lease, len(polls))
	for i, p := range polls {
		batch[i] = newLease(ctx, p)
	}
	s.leases.working.Go(func() { s.lease(leaseLine{queue: queue}, batch) })
	got, failed := make([]uuid.UUID, len(polls)), make([]error, len(polls))
	var waiting sync.WaitGroup
	for i, l := range batch {
		waiting.Go(func() {
			d, err := s.await(l, queue)
			if failed[i] = err; d != nil {
				got[i] = d.Message.ID
			}
		})
	}
	waiting.Wait()
	return got, errors.Join(failed...)
}

// Setting reads a setting as a session of the store has it.
func Setting(t *testing.T, s *Store, name string) (value string) {
	t.Helper()
	if err := s.pool.QueryRow(context.Background(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// StandingSQL is what Standing asks.
const StandingSQL = standingSQL

// RelayReads is what a relay would ask for the next batch of a shard.
func RelayReads(s *Store, shard, max int) (sql string, args []any) {
	r := s.left[shard].read(time.Now(), shard, max)
	return r.sql, r.args
}

// SettingInTransaction reads it as a transaction of the store has it.
func SettingInTransaction(t *testing.T, s *Store, name string) (value string) {
	t.Helper()
	err := pgx.BeginFunc(context.Background(), s.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(context.Background(), "SELECT current_setting($1)", name).Scan(&value)
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// PlannedAnew counts how often the sessions of polls, writers and relays have planned a
// statement for the values that it was given.
func PlannedAnew(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, pool := range []*sessions{s.polls, s.writes} {
		for _, c := range pool.AcquireAllIdle(context.Background()) {
			var here int
			if err := c.QueryRow(context.Background(), "SELECT coalesce(sum(custom_plans), 0) FROM pg_prepared_statements").Scan(&here); err != nil {
				t.Error(err)
			}
			n += here
			c.Release()
		}
	}
	return n
}

// Fresh says whether this node has a message in memory.
func Fresh(s *Store, id uuid.UUID) bool { return s.fresh.get(id) != nil }

// FlushStatistics has the sessions send what they have counted.
func FlushStatistics(t *testing.T, s *Store) {
	t.Helper()
	for _, pool := range []*sessions{s.pool, s.polls, s.works, s.writes} {
		for _, c := range pool.AcquireAllIdle(context.Background()) {
			if _, err := c.Exec(context.Background(), "SELECT pg_stat_force_next_flush()"); err != nil {
				t.Error(err)
			}
			c.Release()
		}
	}
}

// Settle does what the server would do behind a filled database, so that nobody measures it.
func Settle(ctx context.Context, s *Store) error {
	for _, sql := range []string{"VACUUM (ANALYZE) queue, message", "CHECKPOINT"} {
		conn, err := pgx.Connect(ctx, s.opts.URL)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// Deepen puts copies of the first message that waits in a queue of the system, of a root
// element if one is given, into that queue, those numbered from from up to n.
func Deepen(ctx context.Context, s *Store, system string, from, n int, of ...adapter.QName) error {
	const some = 20_000
	roots, err := s.rootIDs(ctx, of)
	if err != nil {
		return err
	}
	for ; from < n; from += some {
		if _, err := s.pool.Exec(ctx, `WITH t AS (
	SELECT q.* FROM queue q JOIN queue_name n ON n.id = q.queue WHERE n.system = $1 AND (q.root = ANY ($4::int[]) OR cardinality($4::int[]) = 0) ORDER BY q.seq LIMIT 1
), i AS MATERIALIZED (
	SELECT overlay(t.message::text placing lpad(to_hex(n), 12, '0') from 25)::uuid AS id FROM t, generate_series($2::bigint, $3::bigint) n
), m AS (
	INSERT INTO message (`+strings.Join(pastColumns, ", ")+`) SELECT i.id, sender, i.id::text, `+strings.Join(pastColumns[3:], ", ")+` FROM message m, i WHERE m.id = (SELECT message FROM t)
)
INSERT INTO queue (queue, prio, message, message_id, root, eol, facts) SELECT t.queue, t.prio, i.id, i.id::text, t.root, t.eol, t.facts FROM t, i ORDER BY i.id`,
			system, from, min(from+some, n)-1, append([]int32{}, roots...)); err != nil {
			return err
		}
	}
	_, err = s.pool.Exec(ctx, "ANALYZE queue")
	return err
}

// CarefulFor is how many times the careful form of a statement is taken behind a failure.
const CarefulFor = carefulFor

// TracesSQL is what TracesOf asks.
const TracesSQL = tracesSQL

// RanOutSQL is what the sweep asks for leases that ran out, behind ByIndexSQL.
var RanOutSQL, ByIndexSQL = ranOutSQL, byIndexSQL

// CountRows keeps the server busy with rows that are in no table.
func CountRows(ctx context.Context, s *Store, n int) error {
	_, err := s.polls.Exec(ctx, "SELECT count(g) FROM generate_series(1, $1::int) g", n)
	return err
}

// UsedKey is the key of a MessageID in used_id.
var UsedKey = usedKey
