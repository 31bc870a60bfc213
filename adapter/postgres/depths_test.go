package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// wantCounted holds what Depths and Lanes say against the rows of the queue.
func (w *world) wantCounted() {
	w.Helper()
	ctx := context.Background()
	depths, err := w.Depths(ctx)
	if err != nil {
		w.Fatal(err)
	}
	stand, leased := 0, 0
	for _, d := range depths {
		stand, leased = stand+d.Waiting+d.Leased, leased+d.Leased
	}
	if want, out := w.count("SELECT count(*) FROM queue"), w.count("SELECT count(*) FROM queue WHERE attempts > returned"); stand != want || leased != out {
		w.Errorf("depths say that %d messages stand in queues and %d of them are out; there are %d, %d out", stand, leased, want, out)
	}
	lanes, err := w.Lanes(ctx)
	if err != nil {
		w.Fatal(err)
	}
	for _, l := range lanes {
		want := w.count("SELECT count(*) FROM queue q JOIN queue_name n ON n.id = q.queue WHERE n.system = $1 AND n.node = $2 AND facts->>'service' = $3 AND facts->>'sender' = $4",
			string(l.Queue.System), l.Queue.Node, l.Service, string(l.Sender))
		if stand -= want; l.Messages != want {
			w.Errorf("lane %s of %s in %s: %d, want %d", l.Service, l.Sender, l.Queue.System, l.Messages, want)
		}
	}
	if stand != 0 {
		w.Errorf("%d messages are in no lane", stand)
	}
}

// Queues that are polled by several nodes while the counts are added up, and the database
// is killed meanwhile, have what is counted of them.
func TestQueuesAreCountedExactly(t *testing.T) {
	p, w := durable(t)
	ctx := context.Background()
	var stop, acked atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; stop.Load() == 0; n++ {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				m := w.message(func(m *adapter.Message) {
					m.Service, m.Sender = fmt.Sprint("s", n%3), adapter.Mnemonic(fmt.Sprint("MNSV0", i))
				})
				w.Accept(ctx, m, []journal.Event{event(journal.KindAccepted, m)}) // whatever comes of it
				if n%5 == i {
					w.Relay(ctx, adapter.ShardOf(rosreestr), 10, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
						for i := range out {
							out[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: w.now, Node: "node-1"}
						}
						return nil, nil
					})
				}
				if d, err := w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Hour, Event: journal.Event{Node: "node-1"}}); err == nil && d != nil && n%3 > 0 {
					if w.Ack(ctx, rosreestr.System, d.Message.MessageID, w.now, journal.Event{Node: "node-1"}, nil) == nil {
						acked.Add(1)
					}
				}
				if n%10 == i {
					w.Sweep(ctx, w.now.Add(time.Duration(n)*time.Second))
				}
				cancel()
			}
		})
	}
	for range 2 {
		time.Sleep(300 * time.Millisecond)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for end, had := time.Now().Add(time.Minute), acked.Load(); acked.Load() < had+20 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	stop.Store(1)
	wg.Wait()
	if acked.Load() == 0 || w.count("SELECT count(*) FROM queue") == 0 {
		t.Error("this was no load")
	}
	until(t, "sessions that nothing else has used since are made anew", func() bool {
		_, err := w.Depths(ctx)
		return err == nil
	})
	w.wantCounted()
	if _, err := w.Sweep(ctx, w.now.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := w.count("SELECT count(*) FROM (SELECT FROM queue_count GROUP BY queue, service, sender HAVING count(*) > 1) g"); got != 0 {
		t.Errorf("%d lanes are not added up", got)
	}
	w.wantCounted()
}

// A statement that counts itself leaves nothing behind on its session: those that the triggers
// count, on the same one, are counted too.
func TestSessionsCountWithAndWithoutTriggers(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		other, err := postgres.Open(ctx, postgres.Options{URL: w.url, Node: "node-2"})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		for round := range 3 {
			for _, direct := range []int{4, 2} { // all of them as is usual, or some by the intake
				for _, m := range w.of("egrn", 4) {
					w.accept(m)
				}
				if _, err := w.Relay(ctx, adapter.ShardOf(rosreestr), 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
					for i := range out {
						if events = append(events, event(journal.KindRouted, out[i].Message)); i < direct {
							out[i].Arrival = event(journal.KindQueued, out[i].Message)
						}
					}
					return events, nil
				}); err != nil {
					t.Fatal(err)
				}
				w.exec("DELETE FROM relayed")
			}
			for _, from := range []*postgres.Store{w.Store, other} { // which knows where it stands, or does not
				d, err := from.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Hour, Event: journal.Event{Node: "node-1"}})
				if err != nil || d == nil {
					t.Fatalf("%v, %v", d, err)
				}
				if err := w.ack(d.Message.MessageID); err != nil {
					t.Fatal(err)
				}
			}
			if n, want := w.count("SELECT count(*) FROM queue"), 4*(round+1); n != want {
				t.Fatalf("%d stand in the queue, want %d", n, want)
			}
			w.wantCounted()
		}
	})
}

// What stood in queues before they were counted is counted, and so is what the
// statements of nodes of before put there and take out.
func TestQueuesOfBeforeAreCounted(t *testing.T) {
	w := newWorld(t)
	w.migrateTo(145)
	before := func(n int, service string) {
		w.query(exec(fmt.Sprintf(`INSERT INTO queue (queue, prio, message, message_id, root, facts)
			SELECT q.id, 1, gen_random_uuid(), gen_random_uuid()::text, 1, '{"service": "%s", "sender": "MNSV05", "messageId": "x"}' FROM queue_name q, generate_series(1, %d)`, service, n)))
	}
	w.query(exec("INSERT INTO queue_name (system, kind, node) VALUES ('RRTR01', 'request', ''), ('RRTR02', 'request', 'n')"))
	before(7, "a")
	w.migrateTo(146)
	before(3, "a") // counted already
	w.query(exec("DELETE FROM queue WHERE seq = (SELECT min(seq) FROM queue)"))
	w.upgrade()
	w.wantCounted()
	before(5, "b")
	w.query(exec("DELETE FROM queue WHERE seq IN (SELECT seq FROM queue ORDER BY random() LIMIT 9)"))
	w.query(exec("UPDATE queue SET attempts = 1 WHERE seq IN (SELECT seq FROM queue LIMIT 4)"))
	w.wantCounted()
	w.query(exec("DELETE FROM queue"))
	w.wantCounted()
}

// How much stands in a queue is known without reading it, and how much of that is out
// without reading what waits behind.
func TestDepthsReadNoQueue(t *testing.T) {
	w := open(t)
	w.put(w.of("egrn", 2)...)
	const many, out = 60_000, 7
	w.exec(fmt.Sprintf(`INSERT INTO queue (queue, prio, message, message_id, root, facts)
		SELECT queue, prio, message, 'm' || g, root, facts FROM (SELECT * FROM queue LIMIT 1) q, generate_series(1, %d) g; SELECT pg_stat_force_next_flush()`, many-2))
	w.exec("ANALYZE queue") // which knows of one root element, that of all
	w.put(w.of("passport", 3)...)
	for range out {
		w.lease(adapter.Poll{})
	}
	w.exec("SELECT pg_stat_force_next_flush()")
	read := func() int {
		postgres.FlushStatistics(t, w.Store)
		return w.count("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'queue'")
	}
	before := read()
	for range 5 {
		depths, err := w.Depths(t.Context())
		if err != nil || len(depths) != 1 || depths[0].Waiting != many+3-out || depths[0].Leased != out {
			t.Fatal(depths, err)
		}
		if lanes, err := w.Lanes(t.Context()); err != nil || len(lanes) != 2 || lanes[0].Messages+lanes[1].Messages != many+3 {
			t.Fatal(lanes, err)
		}
	}
	if n := read() - before; n > many/10 {
		t.Errorf("five looks have read %d rows of %d", n, many)
	}
}

// A million of messages that the bus does not take are counted once. What comes and goes
// is counted exactly.
func TestTheOutboxIsCountedOnce(t *testing.T) {
	w := open(t)
	for i := range 6 {
		w.accept(w.of(fmt.Sprint("s", i%2), 1, func(m *adapter.Message) {
			m.Sender, m.Recipients[0].System = adapter.Mnemonic(fmt.Sprint("MNSV0", i%3)), adapter.Mnemonic(fmt.Sprint("RRTR0", i))
		})[0])
	}
	more := func(n int) {
		w.exec(fmt.Sprintf("INSERT INTO outbox (message, shard, queue) SELECT message, shard, queue FROM (SELECT DISTINCT message, shard, queue FROM outbox) o, generate_series(1, %d) g ORDER BY g", n/6))
	}
	more(120_000)
	counted := func() {
		t.Helper()
		lanes, err := w.Lanes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := w.count("SELECT count(*) FROM outbox")
		for _, l := range lanes {
			want := w.count(`SELECT count(*) FROM outbox o JOIN queue_name n ON n.id = o.queue JOIN message m ON m.id = o.message LEFT JOIN message_kind k ON k.id = m.kind
				WHERE n.system = $1 AND coalesce(m.service, k.service) = $2 AND coalesce(m.sender, k.sender) = $3`, string(l.Queue.System), l.Service, string(l.Sender))
			if all -= want; l.Coming != want {
				t.Errorf("%d of %s to %s are coming, want %d", l.Coming, l.Service, l.Queue.System, want)
			}
		}
		if all != 0 {
			t.Errorf("%d are in no lane", all)
		}
	}
	if _, err := w.Lanes(t.Context()); err != nil { // not all at the first look
		t.Fatal(err)
	}
	counted()
	read := func() int {
		postgres.FlushStatistics(t, w.Store)
		return w.count("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'outbox'")
	}
	before := read()
	for range 5 {
		if _, err := w.Lanes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, most := read()-before, 5*30_000; n > most {
		t.Errorf("five looks have read %d rows of the outbox, want %d at most", n, most)
	}
	for _, gone := range []int{700, 5_000, 30_000} {
		w.exec(fmt.Sprintf("DELETE FROM outbox o USING (SELECT seq FROM outbox ORDER BY seq LIMIT %d) g WHERE o.seq = g.seq", gone))
		more(1_000)
		counted()
	}
	// A leader of the bus is silent: the first rows stay, and those behind them go.
	for _, gone := range []int{300, 3_000, 20_000} {
		w.exec(fmt.Sprintf("DELETE FROM outbox o USING (SELECT seq FROM outbox ORDER BY seq LIMIT %d OFFSET 7) g WHERE o.seq = g.seq", gone))
		more(1_000)
		counted()
	}
	// A topic takes nothing: more stay than the relay takes at once, and of those behind them
	// some go from anywhere.
	w.exec("DELETE FROM outbox o USING (SELECT seq FROM outbox ORDER BY seq OFFSET 3000) g WHERE o.seq = g.seq AND o.seq % 3 = 0")
	more(1_000)
	parts := w.count("SELECT count(*) FROM outbox") / 1000
	for range parts { // each part is counted anew by turns
		if _, err := w.Lanes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	counted()
	// What the relay has taken comes back: the server was killed, and has lost its commit.
	w.exec("CREATE TABLE lost AS SELECT * FROM outbox ORDER BY seq LIMIT 3000")
	w.exec("DELETE FROM outbox o USING lost WHERE o.seq = lost.seq")
	counted()
	w.exec("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM lost")
	if _, err := w.Lanes(t.Context()); err != nil { // not all at the first look
		t.Fatal(err)
	}
	counted()
	w.exec("DELETE FROM outbox")
	counted()
}
