package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "20") // of real databases; -rapid.checks=1000 for a long look
	os.Exit(m.Run())
}

// world is a store with what a test needs to play gateway.
type world struct {
	*testing.T
	*postgres.Store
	url    string
	now    time.Time
	offset int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, Store: nil, url: embedded.Test(t, postgres.Migrate), now: time.Now().UTC().Truncate(time.Millisecond)}
	// Events that wait are JSON, which tests look into, and values are sealed one by one: see pending_test.go for the others.
	w.query(exec("UPDATE release_gate SET since = 'infinity' WHERE name NOT IN ('woven bodies', 'kinds of messages')"))
	return w
}

// openBare opens a store of a database of its own, and a connection beside it.
func openBare(t testing.TB) (*postgres.Store, *pgx.Conn) {
	t.Helper()
	url := embedded.Test(t, postgres.Migrate)
	s, err := postgres.Open(context.Background(), postgres.Options{URL: url, Node: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return s, conn
}

func open(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.Store = w.another(postgres.Options{})
	return w
}

// another opens one more store on the same database.
func (w *world) another(opts postgres.Options) *postgres.Store {
	w.Helper()
	opts.URL, opts.Node = w.url, "node-1"
	s, err := postgres.Open(context.Background(), opts)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	return s
}

var rosreestr = adapter.Queue{System: "RRTR01", Kind: adapter.QueueRequests}
var extract = adapter.QName{Space: "urn:x:egrn:1.0", Local: "ExtractRequest"}

// message is a request from the municipality to Rosreestr.
func (w *world) message(change ...func(*adapter.Message)) *adapter.Message {
	m := &adapter.Message{
		ID: uuid.Must(uuid.NewV7()), MessageID: adapter.MessageID(uuid.Must(uuid.NewUUID()).String()),
		Direction: adapter.DirRequest, Sender: "MNSV05", Recipients: []adapter.Queue{rosreestr},
		Service: "egrn-extract", Version: "1.0", Root: extract,
		Accepted: w.now, Wire: "1.2", Parts: adapter.Parts{Data: adapter.Span{Off: 3, Len: 5}, Scope: []adapter.Binding{{Prefix: "ns", URI: "urn:x"}}},
	}
	m.Body = envelope(m.MessageID)
	for _, c := range change {
		c(m)
	}
	m.Digest = sha256.Sum256(m.Body)
	return m
}

func envelope(id adapter.MessageID) []byte {
	return fmt.Appendf(nil, `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><ns:MessageID>%s</ns:MessageID>Выписка из ЕГРН</soapenv:Body></soapenv:Envelope>`, id)
}

func event(kind journal.Kind, m *adapter.Message) journal.Event {
	return journal.Event{Kind: kind, Time: m.Accepted, Node: "node-1", Message: m.ID.String(), MessageID: string(m.MessageID), Original: string(m.Original), Sender: string(m.Sender)}
}

func (w *world) accept(m *adapter.Message) adapter.Accepted {
	w.Helper()
	a, err := w.Accept(context.Background(), m, []journal.Event{event(journal.KindAccepted, m)})
	if err != nil {
		w.Fatalf("accept %s: %v", m.MessageID, err)
	}
	return a
}

// put brings messages the whole way into their queues.
func (w *world) put(messages ...*adapter.Message) {
	w.Helper()
	for _, m := range messages {
		w.accept(m)
	}
	w.pump()
}

// pump relays everything and puts it into the queues.
func (w *world) pump() {
	w.Helper()
	var arrivals []adapter.Arrival
	for shard := range adapter.Shards {
		for {
			n, err := w.Relay(context.Background(), shard, 100, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
				for _, o := range out {
					arrivals = append(arrivals, adapter.Arrival{Offset: w.offset, Message: o.Message.ID, Queue: o.Queue, Event: event(journal.KindQueued, o.Message)})
					w.offset++
					events = append(events, event(journal.KindRouted, o.Message))
				}
				return events, nil
			})
			if err != nil {
				w.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
	}
	if _, err := w.Enqueue(context.Background(), place, arrivals); err != nil {
		w.Fatal(err)
	}
}

var place = adapter.Partition{Epoch: "e1", Topic: "mezhved.requests.RRTR01", Partition: 0}

func (w *world) lease(p adapter.Poll) *adapter.Delivery {
	w.Helper()
	if p.Queue == (adapter.Queue{}) {
		p.Queue = rosreestr
	}
	if p.Now.IsZero() {
		p.Now = w.now
	}
	if p.For == 0 {
		p.For = 15 * time.Minute
	}
	p.Event = journal.Event{Node: "node-1", Operation: "GetRequest", Certificate: "cafe"}
	d, err := w.Lease(context.Background(), p)
	if err != nil {
		w.Fatal(err)
	}
	return d
}

func (w *world) ack(id adapter.MessageID) error {
	return w.Ack(context.Background(), "RRTR01", id, w.now, journal.Event{Operation: "Ack", Outcome: "ok", Node: "node-1"}, nil)
}

// kinds gives the kinds of the events of a message, in order.
func (w *world) kinds(m *adapter.Message) (kinds []journal.Kind) {
	w.Helper()
	events, err := w.Trace(context.Background(), m.ID.String())
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (w *world) wantKinds(m *adapter.Message, want ...journal.Kind) {
	w.Helper()
	if got := w.kinds(m); !slices.Equal(got, want) {
		w.Errorf("events of the message: %v, want %v", got, want)
	}
}

// count runs a query that gives one number.
func (w *world) count(sql string, args ...any) int {
	w.Helper()
	n := 0
	w.query(func(c *pgx.Conn) error { return c.QueryRow(context.Background(), sql, args...).Scan(&n) })
	return n
}

func (w *world) query(f func(*pgx.Conn) error) {
	w.Helper()
	conn, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := f(conn); err != nil {
		w.Fatal(err)
	}
	// What it has read would else be told of some time after the session has ended, while
	// a test of the statistics counts.
	if _, err := conn.Exec(context.Background(), "ROLLBACK; SELECT pg_stat_force_next_flush()"); err != nil {
		w.Fatal(err)
	}
}

func TestMessageIsKeptByteForByte(t *testing.T) {
	w := open(t)
	m := w.message(func(m *adapter.Message) {
		m.Direction, m.Original, m.Request = adapter.DirResponse, "the request", uuid.Must(uuid.NewV7())
		m.Reference, m.TransactionCode = "ref", "code"
		m.Recipients = []adapter.Queue{{System: "RRTR01", Kind: adapter.QueueResponses, Node: "узел 1"}}
		m.VIP, m.Test, m.EOL, m.Deadline = true, true, w.now.Add(time.Hour), w.now.Add(2*time.Hour)
		m.ReplyTo, m.Trace, m.Certificate = "token", "00-trace", [32]byte{1, 2, 3}
		m.Parts.Signature, m.Parts.SigScope = adapter.Span{Off: 9, Len: 2}, []adapter.Binding{{URI: "urn:default"}}
		m.Body = append([]byte("\xef\xbb\xbf<a \r\n b='&#13;'/>\x00 not even XML "), envelope(m.MessageID)...)
		m.Attachments = []adapter.Attachment{{ID: "a.pdf", Content: random(100_000)}, {ID: "b.txt", Content: []byte(fmt.Sprint(make([]int, 1000)))}, {ID: "empty", Content: []byte{}}}
	})
	w.put(m)

	d := w.lease(adapter.Poll{Queue: m.Recipients[0]})
	if d == nil {
		t.Fatal("nothing to lease")
	}
	if diff := difference(d.Message, m); diff != "" {
		t.Errorf("leased message differs: %s", diff)
	}
	found, err := w.Find(context.Background(), m.MessageID)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if diff := difference(&found[0], m); diff != "" {
		t.Errorf("found message differs: %s", diff)
	}
	if _, err := w.Find(context.Background(), "no such"); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("find an unknown id: %v, want ErrNotFound", err)
	}
}

// A node hands out what it has in memory, another one what it reads: the same
// message, and the one that was accepted, whatever the caller does to its buffer.
func TestWhatIsKeptInMemoryIsWhatIsStored(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	other, err := postgres.Open(ctx, postgres.Options{URL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for i := range 8 {
		m := w.message(func(m *adapter.Message) {
			m.Trace, m.VIP = "00-trace", i%2 == 1
			m.Accepted = m.Accepted.Add(123 * time.Nanosecond).In(time.FixedZone("", 3*3600))
			if i > 3 {
				m.EOL, m.Deadline = w.now.Add(time.Hour), w.now.Add(2*time.Hour)
				m.Parts.SigScope = []adapter.Binding{{URI: "urn:default"}}
			}
		})
		want := *m
		want.Body, want.Accepted = bytes.Clone(m.Body), m.Accepted.UTC().Truncate(time.Microsecond)
		w.put(m)
		clear(m.Body) // the caller's buffer is used again
		for name, store := range map[string]*postgres.Store{"memory": w.Store, "database": other} {
			d, err := store.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: -time.Second, Event: journal.Event{Node: name}})
			if err != nil || d == nil {
				t.Fatal(d, err)
			}
			if diff := difference(d.Message, &want); diff != "" {
				t.Errorf("message %d from %s: %s", i, name, diff)
			}
			d.Message.Sender, d.Message.Recipients = "changed", nil // it is the reader's
		}
		if d := w.lease(adapter.Poll{}); d == nil || d.Message.Sender != want.Sender {
			t.Fatalf("message %d was changed by who read it before", i)
		}
		if err := w.ack(m.MessageID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRepeatedMessageID(t *testing.T) {
	w := open(t)
	m := w.message()
	if a := w.accept(m); a.First != nil {
		t.Fatal("a new message is a duplicate")
	}
	if a := w.accept(m); a.First != nil {
		t.Error("the same call again is a duplicate, want it to be the same acceptance")
	}
	again := w.message(func(x *adapter.Message) { x.MessageID = m.MessageID })
	a := w.accept(again)
	if a.First == nil || a.First.ID != m.ID {
		t.Fatalf("first is %v, want the earlier message", a.First)
	}
	if diff := difference(a.First, m); diff != "" {
		t.Errorf("first differs: %s", diff)
	}
	// The id is used on the bus, whoever comes with it and whatever it names.
	for _, d := range []adapter.Direction{adapter.DirRequest, adapter.DirStatus, adapter.DirResponse, adapter.DirRejection, adapter.DirAsync} {
		other := w.message(func(x *adapter.Message) {
			x.MessageID, x.Sender, x.Direction = m.MessageID, "FNS001", d
			if d != adapter.DirRequest {
				x.Original, x.Request = m.MessageID, m.ID
			}
		})
		if a, err := w.Accept(context.Background(), other, nil); !errors.Is(err, adapter.ErrTaken) {
			t.Errorf("%s of another sender under the same MessageID: %v, %v, want ErrTaken", d, a.First, err)
		}
	}
	if got := w.count("SELECT count(*) FROM outbox"); got != 1 {
		t.Errorf("%d outbox rows, want 1", got)
	}
	if got := w.count("SELECT count(*) FROM answered"); got != 0 {
		t.Error("a reply that was refused has answered its request")
	}
	w.wantKinds(again)
	w.wantKinds(m, journal.KindAccepted)
}

func TestRepeatedMessageIDAtTheSameTime(t *testing.T) {
	w := open(t)
	second := w.another(postgres.Options{Writers: 2})
	for range 20 {
		id := adapter.MessageID(uuid.NewString())
		var wg sync.WaitGroup
		firsts := make([]*adapter.Message, 16)
		ids := make([]uuid.UUID, 16)
		for i := range firsts {
			s := w.Store
			if i%2 == 1 {
				s = second
			}
			m := w.message(func(x *adapter.Message) { x.MessageID = id })
			ids[i] = m.ID
			wg.Go(func() {
				a, err := s.Accept(context.Background(), m, nil)
				if err != nil {
					t.Error(err)
				}
				firsts[i] = a.First
			})
		}
		wg.Wait()
		winner := uuid.Nil
		for i, f := range firsts {
			if f == nil {
				if winner != uuid.Nil {
					t.Fatal("two calls were accepted")
				}
				winner = ids[i]
			}
		}
		for _, f := range firsts {
			if f != nil && f.ID != winner {
				t.Fatalf("a duplicate is told of %s, want %s", f.ID, winner)
			}
		}
	}
}

func TestOneFinalReply(t *testing.T) {
	w := open(t)
	request := w.message()
	w.accept(request)
	reply := func(direction adapter.Direction, change ...func(*adapter.Message)) *adapter.Message {
		return w.message(append([]func(*adapter.Message){func(m *adapter.Message) {
			m.Direction, m.Original, m.Request, m.Sender = direction, request.MessageID, request.ID, "RRTR01"
		}}, change...)...)
	}
	var early *adapter.Message
	for range 3 {
		early = reply(adapter.DirStatus)
		w.accept(early)
	}

	// A reply whose MessageID is taken must not leave the request answered.
	taken := w.message(func(m *adapter.Message) { m.Sender = "RRTR01" })
	w.accept(taken)
	if a := w.accept(reply(adapter.DirResponse, func(m *adapter.Message) { m.MessageID = taken.MessageID })); a.First == nil || a.First.ID != taken.ID {
		t.Fatalf("first is %v, want the message that has the id", a.First)
	}
	if got := w.count("SELECT count(*) FROM answered"); got != 0 {
		t.Fatalf("%d requests answered, want 0", got)
	}

	final := reply(adapter.DirResponse)
	if a := w.accept(final); a.First != nil {
		t.Fatal("the reply is a duplicate")
	}
	if a := w.accept(final); a.First != nil {
		t.Error("the same call again is a duplicate")
	}
	second := reply(adapter.DirRejection)
	if _, err := w.Accept(context.Background(), second, nil); !errors.Is(err, adapter.ErrAnswered) {
		t.Errorf("second final reply: %v, want ErrAnswered", err)
	}
	// Refused, its MessageID is not used up.
	if got := w.count("SELECT count(*) FROM message WHERE message_id = $1", string(second.MessageID)); got != 0 {
		t.Error("the refused reply was stored")
	}
	repeated := reply(adapter.DirResponse, func(m *adapter.Message) { m.MessageID = final.MessageID })
	if a := w.accept(repeated); a.First == nil || a.First.ID != final.ID {
		t.Errorf("the final reply sent again: first is %v, want it", a.First)
	}
	// A status comes too late now, unless it is one that was accepted before.
	if _, err := w.Accept(context.Background(), reply(adapter.DirStatus), nil); !errors.Is(err, adapter.ErrAnswered) {
		t.Errorf("status after the final reply: %v, want ErrAnswered", err)
	}
	again := reply(adapter.DirStatus, func(m *adapter.Message) { m.MessageID = early.MessageID })
	if a := w.accept(again); a.First == nil || a.First.ID != early.ID {
		t.Errorf("an early status sent again: first is %v, want it", a.First)
	}
	if a := w.accept(early); a.First != nil {
		t.Error("the same call again is a duplicate")
	}
}

func TestFinalRepliesAtTheSameTime(t *testing.T) {
	w := open(t)
	second := w.another(postgres.Options{})
	for range 10 {
		request := w.message()
		w.accept(request)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 12 {
			s := w.Store
			if i%2 == 1 {
				s = second
			}
			m := w.message(func(m *adapter.Message) {
				m.Direction, m.Original, m.Request = adapter.DirResponse, request.MessageID, request.ID
			})
			wg.Go(func() {
				_, err := s.Accept(context.Background(), m, nil)
				if err != nil && !errors.Is(err, adapter.ErrAnswered) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("%d final replies were accepted, want 1", won)
		}
	}
}

// An accept that waits for its request's mark has no MessageID yet, in whichever form its
// statement is: two nodes with the same reply would hold what the other waits for.
func TestAcceptsTakeKeysInOneOrder(t *testing.T) {
	ctx := context.Background()
	for _, form := range []string{"quick", "careful"} {
		t.Run(form, func(t *testing.T) {
			w := open(t)
			first := w.message()
			w.accept(first)
			if form == "careful" {
				w.accept(w.message(func(m *adapter.Message) { m.MessageID = first.MessageID }))
			}
			reply := w.message(func(m *adapter.Message) {
				m.Direction, m.Request, m.Original = adapter.DirResponse, first.ID, first.MessageID
			})
			other := w.conn()
			tx, err := other.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(ctx)
			if _, err := tx.Exec(ctx, "INSERT INTO answered (request, reply) VALUES ($1, $2)", [16]byte(first.ID), [16]byte(uuid.Must(uuid.NewV7()))); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := w.Accept(ctx, reply, []journal.Event{event(journal.KindAccepted, reply)})
				done <- err
			}()
			for w.count("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO used_id (key, id, sender) VALUES ($1, $2, 'RRTR01')", postgres.UsedKey(reply.MessageID), [16]byte(uuid.Must(uuid.NewV7()))); err != nil {
				t.Errorf("the MessageID: %v", err)
			}
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("the reply: %v", err)
			}
		})
	}
}

func TestBadRowIsAlone(t *testing.T) {
	w := open(t)
	var wg sync.WaitGroup
	for i := range 200 {
		bad := i%40 == 7
		m := w.message(func(m *adapter.Message) {
			if bad {
				m.TransactionCode = "a NUL \x00, which PostgreSQL does not take"
			}
		})
		wg.Go(func() {
			_, err := w.Accept(context.Background(), m, []journal.Event{event(journal.KindAccepted, m)})
			if (err != nil) != bad {
				t.Errorf("message %d: %v, want an error: %v", i, err, bad)
			}
			var unknown *postgres.UnknownError
			if errors.As(err, &unknown) {
				t.Errorf("message %d: the outcome is unknown, want a plain refusal: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := w.count("SELECT count(*) FROM message"); got != 195 {
		t.Errorf("%d messages, want 195", got)
	}
	if got := w.count("SELECT count(*) FROM journal_pending"); got != 195 {
		t.Errorf("%d events, want 195", got)
	}
}

// Large messages that wait for the bus are not all held at once, whoever has
// committed them.
func TestRelayHoldsLittle(t *testing.T) {
	w := open(t)
	var want, got []uuid.UUID
	for range 7 {
		m := w.message()
		m.Body = bytes.Repeat([]byte("<a/>"), adapter.RelayBytes/4/4*3) // three quarters
		w.accept(m)
		want = append(want, m.ID)
	}
	ctx, shard := context.Background(), adapter.ShardOf(rosreestr)
	for {
		n, err := w.Relay(ctx, shard, 500, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			total := 0
			for _, o := range out {
				total += len(o.Message.Body)
				got = append(got, o.Message.ID)
				events = append(events, event(journal.KindRouted, o.Message))
			}
			if total >= 2*adapter.RelayBytes {
				t.Errorf("%d messages of %d bytes at once, want %d and one message", len(out), total, adapter.RelayBytes)
			}
			return events, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("relayed %v, want the order of acceptance %v", got, want)
	}
}

func TestRelay(t *testing.T) {
	w := open(t)
	var want []uuid.UUID
	for range 5 {
		m := w.message()
		w.accept(m)
		want = append(want, m.ID)
	}
	shard := adapter.ShardOf(rosreestr)
	ctx := context.Background()
	other := w.another(postgres.Options{})

	down := errors.New("the bus is down")
	if _, err := w.Relay(ctx, shard, 3, func(context.Context, []adapter.Outgoing) ([]journal.Event, error) { return nil, down }); !errors.Is(err, down) {
		t.Errorf("relay with a broken bus: %v, want its error", err)
	}
	var got []uuid.UUID
	publish := func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
		if _, err := other.Relay(ctx, shard, 3, nil); !errors.Is(err, adapter.ErrShardTaken) {
			t.Errorf("another node on the same shard: %v, want ErrShardTaken", err)
		}
		for _, o := range out {
			if o.Queue != rosreestr || string(o.Message.Body) != string(envelope(o.Message.MessageID)) {
				t.Errorf("outgoing %v %q", o.Queue, o.Message.Body)
			}
			got = append(got, o.Message.ID)
			events = append(events, event(journal.KindRouted, o.Message))
		}
		return events, nil
	}
	for _, n := range []int{3, 2, 0} {
		if k, err := w.Relay(ctx, shard, 3, publish); err != nil || k != n {
			t.Fatalf("relayed %d, %v, want %d", k, err, n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("relayed %v, want the order of acceptance %v", got, want)
	}
	if n, err := other.Relay(ctx, shard, 3, publish); n != 0 || err != nil {
		t.Errorf("another node afterwards: %d, %v, want the shard free and empty", n, err)
	}
	if got := w.count("SELECT count(*) FROM journal_pending WHERE event->>'kind' = 'routed'"); got != 5 {
		t.Errorf("%d routed events, want 5", got)
	}
}

func TestEnqueueOnce(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	m, n := w.message(), w.message()
	w.accept(m)
	w.accept(n)
	arrival := func(offset int64, m *adapter.Message) adapter.Arrival {
		return adapter.Arrival{Offset: offset, Message: m.ID, Queue: rosreestr, Event: event(journal.KindQueued, m)}
	}
	enqueue := func(p adapter.Partition, want int, arrivals ...adapter.Arrival) {
		t.Helper()
		if got, err := w.Enqueue(ctx, p, arrivals); err != nil || got != want {
			t.Errorf("queued %d, %v, want %d", got, err, want)
		}
	}
	enqueue(place, 1, arrival(5, m), arrival(6, m))
	enqueue(place, 0, arrival(5, m), arrival(6, n)) // at or below the stored offset
	enqueue(place, 1, arrival(6, m), arrival(7, m), arrival(9, n))
	w.wantKinds(m, journal.KindAccepted, journal.KindQueued)

	if d := w.lease(adapter.Poll{}); d.Message.ID != m.ID {
		t.Fatal("wrong message")
	}
	if err := w.ack(m.MessageID); err != nil {
		t.Fatal(err)
	}
	enqueue(place, 0, arrival(10, m)) // acknowledged already
	recreated := place
	recreated.Epoch = "e2"
	enqueue(recreated, 0, arrival(0, m), arrival(1, n)) // lower offsets of another topic of that name

	stranger := w.message()
	enqueue(place, 0, arrival(11, stranger)) // never accepted here
	w.wantKinds(stranger, journal.KindDead)
}

func TestEnqueueByTwoIntakes(t *testing.T) {
	w := open(t)
	other := w.another(postgres.Options{})
	var arrivals []adapter.Arrival
	for i := range 100 {
		m := w.message()
		w.accept(m)
		arrivals = append(arrivals, adapter.Arrival{Offset: int64(i), Message: m.ID, Queue: rosreestr})
	}
	var wg sync.WaitGroup
	totals := make([]int, 2)
	for i, s := range []*postgres.Store{w.Store, other} {
		wg.Go(func() {
			for batch := range slices.Chunk(arrivals, 10) {
				n, err := s.Enqueue(context.Background(), place, batch)
				if err != nil {
					t.Error(err)
				}
				totals[i] += n
			}
		})
	}
	wg.Wait()
	if got := totals[0] + totals[1]; got != 100 {
		t.Errorf("two intakes queued %d, want 100", got)
	}
	for i := range 100 {
		if d := w.lease(adapter.Poll{}); d == nil || d.Message.ID != arrivals[i].Message {
			t.Fatalf("message %d is out of order", i)
		}
	}
}
