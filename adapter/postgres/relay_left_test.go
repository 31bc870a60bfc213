package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// What the bus has not taken of a batch stays in the outbox and is relayed again, in its
// order; the rest is taken, whether it goes into its queue at once or by the intake. Each is
// routed and queued once.
func TestRelayOfAPart(t *testing.T) {
	for _, way := range []string{"relay", "intake", "both"} {
		t.Run(way, func(t *testing.T) {
			w := open(t)
			ctx := context.Background()
			shard := adapter.ShardOf(rosreestr)
			silent := rosreestr // a queue of the same shard
			for n := 0; silent == rosreestr || adapter.ShardOf(silent) != shard; n++ {
				silent.System = adapter.Mnemonic(fmt.Sprintf("SILENT%02d", n))
			}
			var order []*adapter.Message
			for n := range 12 {
				m := w.message(func(m *adapter.Message) {
					if n%3 > 0 {
						m.Recipients = []adapter.Queue{silent}
					}
				})
				w.accept(m)
				order = append(order, m)
			}
			answers := 3 // of those to the silent one the bus takes so many
			var published []uuid.UUID
			round := func() int {
				var arrivals []adapter.Arrival
				n, err := w.Relay(ctx, shard, 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
					taken := 0
					for i := range out {
						if out[i].Queue == silent {
							taken++
						}
						if out[i].Queue == silent && taken > answers {
							out[i].Left = true
						} else {
							published = append(published, out[i].Message.ID)
							events = append(events, event(journal.KindRouted, out[i].Message))
						}
						if way == "relay" || way == "both" && i%2 == 0 {
							out[i].Arrival = event(journal.KindQueued, out[i].Message)
						} else if !out[i].Left {
							arrivals = append(arrivals, adapter.Arrival{Offset: w.offset, Message: out[i].Message.ID, Queue: out[i].Queue, Event: event(journal.KindQueued, out[i].Message)})
							w.offset++
						}
					}
					return events, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Enqueue(ctx, place, arrivals); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for _, want := range []int{4 + 3, 3, 2} {
				n := round()
				for end := time.Now().Add(time.Minute); n == 0 && time.Now().Before(end); n = round() {
					time.Sleep(10 * time.Millisecond) // what was left is read past for a while
				}
				if n != want {
					t.Fatalf("%d were taken, want %d", n, want)
				}
				if n := w.count("SELECT count(*) FROM outbox"); n != len(order)-len(published) {
					t.Fatalf("%d are left, want %d", n, len(order)-len(published))
				}
				if n := w.count("SELECT count(*) FROM queue"); n != len(published) {
					t.Fatalf("%d are queued, want %d", n, len(published))
				}
			}
			if n := round(); n != 0 || len(published) != len(order) {
				t.Errorf("%d were published, and %d in the end", len(published), n)
			}
			of := map[adapter.Queue][]uuid.UUID{}
			for _, m := range order {
				w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
				of[m.Recipients[0]] = append(of[m.Recipients[0]], m.ID)
			}
			for queue, want := range of {
				var got []uuid.UUID
				for range want {
					d := w.lease(adapter.Poll{Queue: queue})
					if d == nil {
						break
					}
					got = append(got, d.Message.ID)
				}
				if way != "both" && !slices.Equal(got, want) || len(got) != len(want) {
					t.Errorf("%s is handed out as %v, want %v", queue.System, got, want)
				}
			}
		})
	}
}

// Any number of messages that the bus does not take stand before one of another queue, which
// does not wait for them. They come in their order when the bus takes them, and are not
// asked for all the time until then.
func TestLeftMessagesAreReadPast(t *testing.T) {
	w := open(t)
	shard := adapter.ShardOf(rosreestr)
	silent := rosreestr // a queue of the same shard
	for n := 0; silent == rosreestr || adapter.ShardOf(silent) != shard; n++ {
		silent.System = adapter.Mnemonic(fmt.Sprintf("SILENT%02d", n))
	}
	const batch = 3
	var waiting, order []uuid.UUID
	for range 2*batch + 1 {
		m := w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{silent} })
		w.accept(m)
		waiting = append(waiting, m.ID)
	}
	m := w.message(func(*adapter.Message) {})
	w.accept(m)
	takes := false
	relay := func() (n, tried int) {
		t.Helper()
		n, err := w.Relay(t.Context(), shard, batch, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			tried = len(out)
			for i := range out {
				if out[i].Left = out[i].Queue == silent && !takes; out[i].Left {
					continue
				}
				order = append(order, out[i].Message.ID)
				out[i].Arrival = event(journal.KindQueued, out[i].Message)
				events = append(events, event(journal.KindRouted, out[i].Message))
			}
			return events, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, tried
	}
	if n, tried := relay(); n != 0 || tried != batch {
		t.Fatalf("%d of %d were taken, want none of %d", n, tried, batch)
	}
	for end := time.Now().Add(time.Minute); len(order) == 0 && time.Now().Before(end); { // a slow turn may find them due again
		relay()
	}
	if !slices.Equal(order, []uuid.UUID{m.ID}) {
		t.Fatalf("taken are %v, want %s alone", order, m.ID)
	}
	turns := 0
	for takes = true; len(order) < 1+len(waiting) && turns < 100_000; turns++ {
		if _, tried := relay(); tried == 0 {
			time.Sleep(10 * time.Millisecond) // their time has not come
		}
	}
	if !slices.Equal(order[1:], waiting) {
		t.Errorf("then came %v, want %v", order[1:], waiting)
	}
}

// Two queues whose messages the bus takes longer to refuse than they are read past stand before a message of
// another, each with more of them than a batch has: the other one's goes all the same, and theirs in their order when
// the bus takes them.
func TestLeftQueuesDoNotTakeTurns(t *testing.T) {
	w := open(t)
	shard := adapter.ShardOf(rosreestr)
	dead := map[adapter.Queue][]uuid.UUID{}
	var queues []adapter.Queue
	for n := 0; len(queues) < 2; n++ {
		q := rosreestr
		if q.System = adapter.Mnemonic(fmt.Sprintf("SILENT%02d", n)); adapter.ShardOf(q) == shard {
			queues = append(queues, q)
		}
	}
	const batch, each = 5, 12
	for _, q := range queues {
		for range each {
			m := w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{q} })
			w.accept(m)
			dead[q] = append(dead[q], m.ID)
		}
	}
	m := w.message(func(*adapter.Message) {})
	w.accept(m)
	takes, taken := false, map[adapter.Queue][]uuid.UUID{}
	relay := func() {
		t.Helper()
		if _, err := w.Relay(t.Context(), shard, batch, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			if len(out) > batch {
				t.Errorf("%d messages in a batch of %d", len(out), batch)
			}
			for i := range out {
				o := &out[i]
				if o.Left = dead[o.Queue] != nil && !takes; o.Left {
					continue
				}
				taken[o.Queue] = append(taken[o.Queue], o.Message.ID)
				o.Arrival = event(journal.KindQueued, o.Message)
				events = append(events, event(journal.KindRouted, o.Message))
			}
			if len(events) == 0 {
				time.Sleep(1600 * time.Millisecond) // as long as none waits that was refused once
			}
			return events, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: taken are %v", what, taken)
			}
			relay()
		}
	}
	until("the live queue starves", func() bool { return slices.Equal(taken[rosreestr], []uuid.UUID{m.ID}) })
	takes = true
	until("the bus takes all", func() bool { return w.count("SELECT count(*) FROM outbox") == 0 })
	for _, q := range queues {
		if !slices.Equal(taken[q], dead[q]) {
			t.Errorf("of %s came %v, want %v", q.System, taken[q], dead[q])
		}
	}
}

// What a relay has left while the bus takes the rest is told to all nodes, with the age of its
// oldest message, and apart from all else that waits; when the bus takes it again, until nothing
// waits from before. While the bus takes nothing at all no queue is apart.
func TestQueuesThatWaitApart(t *testing.T) {
	w := open(t)
	door := w.another(postgres.Options{}) // of another node, which relays nothing
	ctx := t.Context()
	shard := adapter.ShardOf(rosreestr)
	silent := ofShard(shard, 1)[0]
	send := func(q adapter.Queue, n int) {
		for range n {
			w.accept(w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{q} }))
		}
	}
	relay := func(takes func(adapter.Queue) bool) {
		t.Helper()
		if _, err := w.Relay(ctx, shard, 4, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			for i := range out {
				if out[i].Left = !takes(out[i].Queue); !out[i].Left {
					out[i].Arrival = event(journal.KindQueued, out[i].Message)
					events = append(events, event(journal.KindRouted, out[i].Message))
				}
			}
			return events, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, takes func(adapter.Queue) bool, done func(adapter.Standing) bool) {
		t.Helper()
		var seen adapter.Standing
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			var err error
			if seen, err = door.Standing(ctx); err != nil {
				t.Fatal(err)
			}
			if done(seen) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: seen is %+v", what, seen)
			}
			relay(takes)
		}
	}
	none := func(adapter.Queue) bool { return false }
	others := func(q adapter.Queue) bool { return q != silent }
	all := func(adapter.Queue) bool { return true }

	send(silent, 10)
	w.age("outbox", "3 hours")
	tried := 0
	until("none is apart", func(adapter.Queue) bool { tried++; return false }, func(adapter.Standing) bool { return tried > 8 })
	if s, err := door.Standing(ctx); err != nil || len(s.Apart) > 0 || s.Rest < 3*time.Hour {
		t.Fatalf("while the bus takes nothing: %+v, %v", s, err)
	}
	send(rosreestr, 1)
	until("the rest goes", others, func(adapter.Standing) bool { return w.count("SELECT count(*) FROM outbox") == 10 })
	until("the silent one is apart", others, func(s adapter.Standing) bool { return len(s.Apart) == 1 })
	send(rosreestr, 1)
	s, err := door.Standing(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Apart) != 1 || s.Apart[0].Queue != silent || s.Apart[0].Age < 3*time.Hour || s.Rest > time.Hour {
		t.Errorf("seen is %+v", s)
	}
	if o := s.Oldest[0]; o.Station != adapter.StationOutbox || o.Shard != shard || o.Age < 3*time.Hour {
		t.Errorf("the operator sees %+v", o)
	}
	until("the rest waits too", none, func(s adapter.Standing) bool { return s.Rest > 0 && len(s.Apart) == 1 })
	send(silent, 4)
	until("the backlog goes", all, func(s adapter.Standing) bool { return len(s.Apart) == 0 })
	if n := w.count("SELECT count(*) FROM outbox_left"); n != 0 {
		t.Errorf("%d queues are still noted", n)
	}
}

// A look at what waits does not wait for a relay that has a queue in hand which is apart no more, nor
// tells of it; the next one takes it out.
func TestALookWaitsForNoRelay(t *testing.T) {
	w := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.accept(w.message())
	w.query(exec("INSERT INTO outbox_left (queue, shard, seq) SELECT queue, shard, 0 FROM outbox"))
	w.relay()
	release := w.block("UPDATE outbox_left SET seq = 0")
	look := func() (left int) {
		t.Helper()
		s, err := w.Standing(ctx)
		if err != nil || len(s.Apart) > 0 {
			t.Fatalf("apart are %+v, %v", s.Apart, err)
		}
		return w.count("SELECT count(*) FROM outbox_left")
	}
	if n := look(); n != 1 {
		t.Errorf("%d queues are noted, want the one that is held", n)
	}
	release()
	for look() > 0 { // the session ends soon
		time.Sleep(time.Millisecond)
	}
}

// ofShard are queues of a shard.
func ofShard(shard, n int) (queues []adapter.Queue) {
	for i := 0; len(queues) < n; i++ {
		q := rosreestr
		if q.System = adapter.Mnemonic(fmt.Sprintf("SILENT%02d", i)); adapter.ShardOf(q) == shard {
			queues = append(queues, q)
		}
	}
	return queues
}

// leftWorld is a shard with a queue of which the bus takes nothing, and of which many rows wait.
type leftWorld struct {
	*world
	shard  int
	silent adapter.Queue
	queue  int32 // number of silent
	taken  []uuid.UUID
}

// openLeft opens one where so many wait, and one of another queue behind them has been relayed.
func openLeft(t *testing.T, waiting int) *leftWorld {
	w := &leftWorld{world: open(t), shard: adapter.ShardOf(rosreestr)}
	w.silent = ofShard(w.shard, 1)[0]
	for range 10 { // those that are tried have messages
		w.send(w.silent)
	}
	w.query(func(c *pgx.Conn) error {
		return c.QueryRow(t.Context(), "SELECT queue FROM outbox LIMIT 1").Scan(&w.queue)
	})
	w.more(waiting)
	w.relay()
	w.goes(w.send(rosreestr))
	return w
}

func (w *leftWorld) send(q adapter.Queue) uuid.UUID {
	w.Helper()
	m := w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{q} })
	w.accept(m)
	return m.ID
}

// more has more rows wait.
func (w *leftWorld) more(n int) {
	w.Helper()
	w.query(exec(fmt.Sprintf("INSERT INTO outbox (message, shard, queue) SELECT gen_random_uuid(), %d, %d FROM generate_series(1, %d)", w.shard, w.queue, n)))
}

func (w *leftWorld) relay() {
	w.Helper()
	if _, err := w.Relay(w.Context(), w.shard, 5, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
		for i := range out {
			if out[i].Left = out[i].Queue == w.silent; !out[i].Left {
				w.taken = append(w.taken, out[i].Message.ID)
				out[i].Arrival = event(journal.KindQueued, out[i].Message)
				events = append(events, event(journal.KindRouted, out[i].Message))
			}
		}
		return events, nil
	}); err != nil {
		w.Fatal(err)
	}
}

// goes relays until a message has gone.
func (w *leftWorld) goes(id uuid.UUID) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !slices.Contains(w.taken, id); w.relay() {
		if time.Now().After(end) {
			w.Fatalf("taken are %v, want %s too", w.taken, id)
		}
	}
}

// walks gives how many rows of the outbox the next batch walks over.
func (w *leftWorld) walks() (rows int) {
	w.Helper()
	w.query(func(c *pgx.Conn) error {
		for _, off := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort"} {
			if _, err := c.Exec(w.Context(), "SET "+off+" = off"); err != nil {
				return err
			}
		}
		sql, args := postgres.RelayReads(w.Store, w.shard, 5)
		var plans []struct{ Plan planNode }
		if err := c.QueryRow(w.Context(), "EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) "+sql, args...).Scan(&plans); err != nil {
			return err
		}
		rows = plans[0].Plan.read("outbox")
		return nil
	})
	return rows
}

// planNode is a node of a plan that was run.
type planNode struct {
	Table   string     `json:"Relation Name"`
	Rows    float64    `json:"Actual Rows"`
	Loops   float64    `json:"Actual Loops"`
	Removed float64    `json:"Rows Removed by Filter"`
	Plans   []planNode `json:"Plans"`
}

// read counts the rows of a table that were read.
func (n *planNode) read(table string) (rows int) {
	if n.Table == table {
		rows = int((n.Rows + n.Removed) * n.Loops)
	}
	for i := range n.Plans {
		rows += n.Plans[i].read(table)
	}
	return rows
}

// What a batch reads does not grow with what waits for a topic that takes nothing, nor with
// what comes for it.
func TestABatchWalksOverNothingThatWaits(t *testing.T) {
	w := openLeft(t, 20_000)
	near := func(when string) {
		t.Helper()
		rows := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); w.relay() {
			if rows = w.walks(); rows < 2000 {
				return
			}
		}
		t.Errorf("%s a batch walks over %d rows", when, rows)
	}
	near("with many rows that wait")
	w.more(20_000)
	w.goes(w.send(rosreestr))
	near("with more of them")
	w.goes(w.send(rosreestr))
	near("when another has gone")
}

// A row whose transaction is committed late, with a number below those that were relayed, goes
// with the next batch; and so does one that a crash of the server has given back.
func TestABatchHasWhatComesBehindIt(t *testing.T) {
	w := openLeft(t, 100)
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	late := w.send(rosreestr)
	w.query(exec(fmt.Sprintf("DELETE FROM outbox WHERE message = '%s'", late)))
	var live, seq int64
	w.query(func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT id FROM queue_name WHERE system = $1", string(rosreestr.System)).Scan(&live)
	})
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()").Scan(nil); err != nil { // it has written something
		t.Fatal(err)
	}
	if err := tx.QueryRow(ctx, "INSERT INTO outbox (message, shard, queue) VALUES ($1, $2, $3) RETURNING seq", late, w.shard, live).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.more(10)
		w.goes(w.send(rosreestr))
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if w.relay(); !slices.Contains(w.taken, late) {
		t.Error("what was committed late is passed over")
	}
	for range 5 {
		w.goes(w.send(rosreestr))
	}
	again := w.send(rosreestr)
	w.query(exec(fmt.Sprintf("DELETE FROM outbox WHERE message = '%s'", again)))
	w.query(exec(fmt.Sprintf("INSERT INTO outbox (seq, message, shard, queue) OVERRIDING SYSTEM VALUE VALUES (%d, '%s', %d, %d)", seq, again, w.shard, live)))
	// A crash leaves none of them: neither is one here that has yet to end when the shard is read.
	w.query(exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"))
	for end := time.Now().Add(time.Minute); !slices.Contains(w.taken, again) && time.Now().Before(end); {
		w.Relay(ctx, w.shard, 5, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) { // the first may break off
			for i := range out {
				if out[i].Left = out[i].Queue == w.silent; !out[i].Left {
					w.taken = append(w.taken, out[i].Message.ID)
				}
			}
			return nil, nil
		})
	}
	if !slices.Contains(w.taken, again) {
		t.Error("what a crash has given back is passed over")
	}
}

// A queue whose rows stand far behind those of another one is tried with a part of a batch, also while a
// transaction that does not end keeps all that has come since from being settled; and its messages keep their
// order when the bus takes them.
func TestAQueueFarBehindAnother(t *testing.T) {
	w := openLeft(t, 100)
	release := w.block("SELECT pg_current_xact_id()")
	defer release()
	w.more(3000)
	behind := ofShard(w.shard, 2)[1]
	var sent, taken []uuid.UUID
	for range 12 {
		sent = append(sent, w.send(behind))
	}
	takes, tries, whole := false, 0, 0
	until := func(done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("tried %d times, taken are %v", tries, taken)
			}
			if _, err := w.Relay(t.Context(), w.shard, 5, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
				first := true
				for i := range out {
					o := &out[i]
					switch {
					case o.Queue != behind:
						o.Left = true
						continue
					case first && !o.Again:
						whole++
					}
					if first {
						tries++
					}
					first = false
					if o.Left = !takes; takes {
						taken = append(taken, o.Message.ID)
						o.Arrival = event(journal.KindQueued, o.Message)
						events = append(events, event(journal.KindRouted, o.Message))
					}
				}
				return events, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(func() bool { return tries == 4 })
	if whole != 1 {
		t.Errorf("%d of %d tries were not with a part of a batch, want the first alone", whole, tries)
	}
	takes = true
	until(func() bool { return len(taken) >= len(sent) })
	if !slices.Equal(taken, sent) {
		t.Errorf("taken are %v, want %v", taken, sent)
	}
}

// A row is not passed over whose transaction had begun to write, and drawn its number, while a batch waited for
// its claim, and is committed when the next ones have gone.
func TestABatchHasWhatComesWhileItIsClaimed(t *testing.T) {
	w := openLeft(t, 100)
	ctx := t.Context()
	for range 5 {
		w.goes(w.send(rosreestr))
	}
	late := w.send(rosreestr)
	var live int
	w.query(func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "DELETE FROM outbox WHERE message = $1 RETURNING queue", late).Scan(&live)
	})
	w.query(exec(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(177); RETURN NEW; END $$;
		CREATE TRIGGER hold BEFORE UPDATE ON lead FOR EACH ROW EXECUTE FUNCTION hold()`))
	release := w.block("SELECT pg_advisory_xact_lock(177)")
	relayed := make(chan error, 1)
	go func() {
		_, err := w.Relay(ctx, w.shard, 5, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
			for i := range out {
				out[i].Left = true
			}
			return nil, nil
		})
		relayed <- err
	}()
	for end := time.Now().Add(time.Minute); w.count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the relay does not wait for its claim")
		}
	}
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SELECT pg_current_xact_id()", fmt.Sprintf("INSERT INTO outbox (message, shard, queue) VALUES ('%s', %d, %d)", late, w.shard, live)} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	release()
	if err := <-relayed; err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.goes(w.send(rosreestr))
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	w.goes(late)
}

// What one node's relay has left another one's may bring the bus, which takes turns with it. Each message goes
// once and in its order, whichever of them has passed over what.
func TestRelaysThatLeaveDifferentQueues(t *testing.T) {
	w := open(t)
	shard := adapter.ShardOf(rosreestr)
	queues := append(ofShard(shard, 2), rosreestr)
	nodes := []*postgres.Store{w.Store, w.another(postgres.Options{})}
	sent, taken := map[adapter.Queue][]uuid.UUID{}, map[adapter.Queue][]uuid.UUID{}
	send := func() {
		for i, q := range queues {
			for range 3 - i {
				m := w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{q} })
				w.accept(m)
				sent[q] = append(sent[q], m.ID)
			}
		}
	}
	relay := func(node int, takes func(adapter.Queue) bool) {
		t.Helper()
		_, err := nodes[node].Relay(t.Context(), shard, 5, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			for i := range out {
				if out[i].Left = !takes(out[i].Queue); !out[i].Left {
					taken[out[i].Queue] = append(taken[out[i].Queue], out[i].Message.ID)
					out[i].Arrival = event(journal.KindQueued, out[i].Message)
					events = append(events, event(journal.KindRouted, out[i].Message))
				}
			}
			return events, nil
		})
		if err != nil && !errors.Is(err, adapter.ErrShardTaken) {
			t.Fatal(err)
		}
	}
	for turn := range 60 {
		send()
		silent := queues[turn/3%2] // the other one comes back, to one node first
		for range 3 {
			relay(turn%2, func(q adapter.Queue) bool { return q != silent })
		}
		relay(1-turn%2, func(q adapter.Queue) bool { return q == rosreestr || turn%5 == 0 })
	}
	for end := time.Now().Add(time.Minute); w.count("SELECT count(*) FROM outbox") > 0 && time.Now().Before(end); {
		for node := range nodes {
			relay(node, func(adapter.Queue) bool { return true })
		}
	}
	for _, q := range queues {
		if !slices.Equal(taken[q], sent[q]) {
			t.Errorf("of %s came %d, want these %d in their order:\n%v\n%v", q.System, len(taken[q]), len(sent[q]), taken[q], sent[q])
		}
	}
}
