package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// Sessions that have planned their statements while nothing was anywhere, and whatever
// statistics said of that, find what they want when very much is there and nobody has
// analyzed anything since.
func TestPlansOfAnEmptyQueueHoldForAFullOne(t *testing.T) {
	const many = 30_000
	for name, statistics := range map[string]string{"never looked at": "", "found empty": "VACUUM ANALYZE"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, table := range []string{"queue", "outbox", "relayed", "journal_pending", "queue_count"} {
				w.query(exec("ALTER TABLE " + table + " SET (autovacuum_enabled = off)"))
			}
			if statistics != "" {
				w.query(exec(statistics))
			}
			nodes := []*postgres.Store{w.another(postgres.Options{}), w.another(postgres.Options{})}
			w.Store = nodes[0]
			w.allKindsOfCalls(nodes)
			for range 10 {
				w.relayed4()
			}
			for table, rows := range map[string]string{
				"queue (queue, prio, message, message_id, root, facts)":       "SELECT queue, prio, message, 'm' || g, root, facts FROM (SELECT DISTINCT ON (root) * FROM queue) q",
				"outbox (message, shard, queue, seq) OVERRIDING SYSTEM VALUE": "SELECT gen_random_uuid(), s, 1, 1000000 + g FROM generate_series(0, 3) s",
				"relayed (message, queue, shard)":                             "SELECT gen_random_uuid(), 1000, s FROM generate_series(0, 3) s",
			} {
				w.query(exec(fmt.Sprintf("INSERT INTO %s %s, generate_series(1, %d) g", table, rows, many)))
			}
			before := w.touched(nodes)
			w.allKindsOfCalls(nodes)
			for what, n := range w.touched(nodes) {
				if n -= before[what]; n > many/10 {
					t.Errorf("some calls have touched %d %s", n, what)
				}
			}
		})
	}
}

// touched gives how many rows of tables have been read and, as rows, the pages of indexes.
func (w *world) touched(nodes []*postgres.Store) map[string]int {
	w.Helper()
	for _, s := range nodes {
		postgres.FlushStatistics(w.T, s)
	}
	found := map[string]int{}
	w.query(func(c *pgx.Conn) error {
		rows, _ := c.Query(context.Background(), `SELECT 'rows of ' || relname, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE idx_scan IS NOT NULL
			UNION ALL SELECT 'rows of pages of ' || indexrelname, 20 * (idx_blks_hit + idx_blks_read) FROM pg_statio_user_indexes`)
		var what string
		var n int
		_, err := pgx.ForEachRow(rows, []any{&what, &n}, func() error { found[what] = n; return nil })
		return err
	})
	return found
}

// relayed4 has four messages of two services accepted and relayed into their queue.
func (w *world) relayed4() {
	w.Helper()
	for _, m := range append(w.of("egrn", 2), w.of("passport", 2)...) {
		w.accept(m)
	}
	n, err := w.Relay(w.Context(), adapter.ShardOf(rosreestr), 4, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
		for i := range out {
			events, out[i].Arrival = append(events, event(journal.KindRouted, out[i].Message)), event(journal.KindQueued, out[i].Message)
		}
		return events, nil
	})
	if n != 4 || err != nil {
		w.Fatal(n, err)
	}
}

// allKindsOfCalls has messages handed out to polls of all kinds and acknowledged at the node
// that did and at the other; some answers fail and some leases run out.
func (w *world) allKindsOfCalls(nodes []*postgres.Store) {
	w.Helper()
	egrn, passport := adapter.QName{Space: "urn:x:egrn", Local: "Request"}, adapter.QName{Space: "urn:x:passport", Local: "Request"}
	answers := func(*adapter.Delivery) ([]byte, error) { return []byte("<answer/>"), nil }
	fails := func(*adapter.Delivery) ([]byte, error) { return nil, errors.New("no answer") }
	const forgets = -1
	for range 2 {
		w.relayed4()
		for _, call := range []struct {
			roots  []adapter.QName
			answer func(*adapter.Delivery) ([]byte, error)
			ackAt  int
		}{{nil, answers, 0}, {[]adapter.QName{egrn}, answers, 1}, {[]adapter.QName{egrn, passport}, answers, 0}, {nil, fails, forgets}, {nil, answers, forgets}} {
			d, err := w.Lease(w.Context(), adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Roots: call.roots, Envelope: []byte("<poll/>"), Event: journal.Event{Node: "node-1"},
				Use: adapter.Use{Mark: [32]byte([]byte(uuid.NewString())[:32]), Operation: "GetRequest", Until: w.now.Add(time.Minute)}, Answer: call.answer})
			if call.ackAt == forgets {
				continue
			}
			if err != nil || d == nil {
				w.Fatal(d, err)
			}
			if err := nodes[call.ackAt].Ack(w.Context(), rosreestr.System, d.Message.MessageID, w.now, journal.Event{Node: "node-1"}, []byte("<ack/>")); err != nil {
				w.Fatal(err)
			}
		}
		w.now = w.now.Add(2 * time.Minute)
	}
}
