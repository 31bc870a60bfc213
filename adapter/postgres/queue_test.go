package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

func TestLeaseOrder(t *testing.T) {
	w := open(t)
	vip := func(m *adapter.Message) { m.VIP = true }
	a, b, c, d := w.message(), w.message(vip), w.message(), w.message(vip)
	answer := w.message(vip, func(m *adapter.Message) { m.Direction = adapter.DirBroadcast })
	w.put(a, b, answer, c, d)
	for i, want := range []*adapter.Message{b, d, a, answer, c} {
		got := w.lease(adapter.Poll{})
		if got == nil || got.Message.ID != want.ID || got.Attempt != 1 {
			t.Fatalf("lease %d: %+v, want message %s for the first time", i, got, want.ID)
		}
	}
	if got := w.lease(adapter.Poll{}); got != nil {
		t.Errorf("all are leased, got %+v", got)
	}

	// Leases run out: back to the head, in the old order, before new ones.
	e := w.message()
	w.put(e)
	w.now = w.now.Add(16 * time.Minute)
	for i, want := range []*adapter.Message{b, d, a, answer, c, e} {
		attempt := 2
		if want == e {
			attempt = 1
		}
		got := w.lease(adapter.Poll{})
		if got == nil || got.Message.ID != want.ID || got.Attempt != attempt {
			t.Fatalf("lease %d after the return: %+v, want message %s, attempt %d", i, got, want.ID, attempt)
		}
	}
	w.wantKinds(a, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindReturned, journal.KindDelivered)
}

// Polls that come together are served in the order of the queue, VIP first, and
// each event is its own poll's: handed out rewrapped to who reads another version,
// and how often.
func TestPollsTogetherAndTheirEvents(t *testing.T) {
	w := open(t)
	a, b, c := w.message(), w.message(func(m *adapter.Message) { m.VIP = true }), w.message()
	w.put(a, b, c)
	var polls []adapter.Poll
	for _, wire := range []string{"1.2", "1.3", ""} { // "": the reader has no version
		polls = append(polls, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Wire: wire})
	}
	got, err := postgres.LeaseTogether(w.Store, polls...)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uuid.UUID{b.ID, a.ID, c.ID}; !slices.Equal(got, want) {
		t.Errorf("leased %v, want %v", got, want)
	}
	w.now = w.now.Add(time.Hour)
	w.lease(adapter.Poll{Wire: "1.2"})
	for _, m := range []struct {
		*adapter.Message
		want []string
	}{{b, []string{"delivered 1 ", "returned 1 ", "delivered 2 "}}, {a, []string{"delivered 1 rewrapped"}}, {c, []string{"delivered 1 "}}} {
		events, err := w.Trace(context.Background(), m.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events[3:] { // accepted, routed, queued
			got = append(got, fmt.Sprintf("%s %d %s", e.Kind, e.Attempt, e.Outcome))
		}
		if !slices.Equal(got, m.want) {
			t.Errorf("events %q, want %q", got, m.want)
		}
	}
}

func TestSelector(t *testing.T) {
	w := open(t)
	other := adapter.QName{Space: "urn:x:other", Local: "Request"}
	a, b, c := w.message(), w.message(func(m *adapter.Message) { m.Root = other }), w.message(func(m *adapter.Message) { m.Root, m.VIP = other, true })
	w.put(a, b, c)
	if d := w.lease(adapter.Poll{Roots: []adapter.QName{{Space: "urn:x:none", Local: "None"}}}); d != nil {
		t.Errorf("an unknown root gives %v", d.Message.ID)
	}
	both := []adapter.QName{{Space: "urn:x:none", Local: "None"}, other}
	for _, want := range []*adapter.Message{c, b} {
		if d := w.lease(adapter.Poll{Roots: both}); d == nil || d.Message.ID != want.ID {
			t.Fatalf("selector gives %+v, want %s", d, want.ID)
		}
	}
	if d := w.lease(adapter.Poll{Roots: both}); d != nil {
		t.Errorf("nothing more matches, got %v", d.Message.ID)
	}
	if d := w.lease(adapter.Poll{Roots: []adapter.QName{other, extract}}); d == nil || d.Message.ID != a.ID {
		t.Errorf("got %+v, want the message behind", d)
	}
	// A message that lost the choice among roots is not locked or leased.
	w.put(w.message(func(m *adapter.Message) { m.Root = other }), w.message())
	for range 2 {
		if d := w.lease(adapter.Poll{Roots: []adapter.QName{extract, other}}); d == nil || d.Attempt != 1 {
			t.Errorf("got %+v, want a first delivery", d)
		}
	}
}

func TestLeaseByManyAtOnce(t *testing.T) {
	w := open(t)
	other := w.another(postgres.Options{})
	var messages []*adapter.Message
	for i := range 400 {
		messages = append(messages, w.message(func(m *adapter.Message) { m.VIP = i%5 == 0 }))
	}
	w.put(messages...)
	var mu sync.Mutex
	leased := map[uuid.UUID]int{}
	var wg sync.WaitGroup
	for i := range 16 {
		s, poll := w.Store, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute}
		if i%2 == 0 {
			s = other
		}
		if i%3 == 0 {
			poll.Roots = []adapter.QName{extract}
		}
		wg.Go(func() {
			for empty := 0; empty < 3; { // a row that another is taking is passed over
				d, err := s.Lease(context.Background(), poll)
				if err != nil {
					t.Error(err)
					return
				}
				if d == nil {
					empty++
					continue
				}
				mu.Lock()
				leased[d.Message.ID]++
				mu.Unlock()
				if err := s.Ack(context.Background(), "RRTR01", d.Message.MessageID, w.now, journal.Event{}, nil); err != nil {
					t.Errorf("ack of what was just leased: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, m := range messages {
		if leased[m.ID] != 1 {
			t.Errorf("message %s was leased %d times, want once", m.ID, leased[m.ID])
		}
	}
}

func TestNodeQueues(t *testing.T) {
	w := open(t)
	queue := func(node string) adapter.Queue {
		return adapter.Queue{System: "MNSV05", Kind: adapter.QueueResponses, Node: node}
	}
	m := w.message(func(m *adapter.Message) { m.Recipients = []adapter.Queue{queue("n1")} })
	w.put(m)
	for _, q := range []adapter.Queue{queue(""), queue("n2"), {System: "MNSV05", Kind: adapter.QueueRequests, Node: "n1"}, {System: "FNS001", Kind: adapter.QueueResponses, Node: "n1"}} {
		if d := w.lease(adapter.Poll{Queue: q}); d != nil {
			t.Errorf("queue %v gives a message of %v", q, m.Recipients)
		}
	}
	if d := w.lease(adapter.Poll{Queue: queue("n1")}); d == nil || d.Message.ID != m.ID {
		t.Errorf("got %+v, want the message of the node", d)
	}
}

func TestBroadcast(t *testing.T) {
	w := open(t)
	var queues []adapter.Queue
	for i := range 5 {
		queues = append(queues, adapter.Queue{System: adapter.Mnemonic(fmt.Sprint("SYS", i)), Kind: adapter.QueueRequests})
	}
	m := w.message(func(m *adapter.Message) { m.Direction, m.Recipients = adapter.DirBroadcast, queues })
	w.put(m)
	for _, q := range queues {
		if d := w.lease(adapter.Poll{Queue: q}); d == nil || d.Message.ID != m.ID {
			t.Errorf("%v has not got the broadcast", q)
		}
		if err := w.Ack(context.Background(), q.System, m.MessageID, w.now, journal.Event{}, nil); err != nil {
			t.Errorf("%v cannot acknowledge: %v", q, err)
		}
	}
}

func TestAck(t *testing.T) {
	w := open(t)
	m := w.message()
	w.put(m)
	ctx := context.Background()
	if err := w.ack(m.MessageID); !errors.Is(err, adapter.ErrNotAwaiting) {
		t.Errorf("ack before delivery: %v, want ErrNotAwaiting", err)
	}
	w.lease(adapter.Poll{})
	if err := w.Ack(ctx, "FNS001", m.MessageID, w.now, journal.Event{}, nil); !errors.Is(err, adapter.ErrNotAwaiting) {
		t.Errorf("ack by another system: %v, want ErrNotAwaiting", err)
	}
	if err := w.ack("no such message"); !errors.Is(err, adapter.ErrNotAwaiting) {
		t.Errorf("ack of an unknown message: %v, want ErrNotAwaiting", err)
	}
	w.now = w.now.Add(time.Hour)
	if err := w.ack(m.MessageID); err != nil {
		t.Errorf("ack after the lease ran out: %v, want it taken", err)
	}
	if err := w.ack(m.MessageID); !errors.Is(err, adapter.ErrNotAwaiting) {
		t.Errorf("second ack: %v, want ErrNotAwaiting", err)
	}
	if d := w.lease(adapter.Poll{}); d != nil {
		t.Error("acknowledged, and delivered again")
	}
	w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged)

	events, err := w.Trace(ctx, string(m.MessageID))
	if err != nil {
		t.Fatal(err)
	}
	last := events[len(events)-1]
	want := journal.Event{
		Kind: journal.KindAcknowledged, Time: w.now, Node: "node-1", Message: m.ID.String(), MessageID: string(m.MessageID),
		Operation: "Ack", Direction: "request", Sender: "MNSV05", Recipient: "RRTR01", Service: m.Service, Version: m.Version, Outcome: "ok",
		Attempt: 1, Digest: fmt.Sprintf("%x", m.Digest), Size: len(m.Body),
	}
	if fmt.Sprintf("%+v", last) != fmt.Sprintf("%+v", want) {
		t.Errorf("event\n%+v, want\n%+v", last, want)
	}
	if d := events[len(events)-2]; d.Certificate != "cafe" || d.Operation != "GetRequest" || d.Attempt != 1 || d.Recipient != "RRTR01" {
		t.Errorf("delivered event lacks what the caller knew: %+v", d)
	}
}

func TestSweepReturnsLeases(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		m := w.message()
		w.put(m)
		leased := w.lease(adapter.Poll{For: time.Minute})
		sweep := func(after time.Duration, want int) {
			t.Helper()
			if s, err := w.Sweep(ctx, w.now.Add(after)); err != nil || s.Returned != want {
				t.Errorf("sweep after %v: %+v, %v, want %d returned", after, s, err, want)
			}
		}
		sweep(30*time.Second, 0)
		sweep(61*time.Second, 1)
		sweep(2*time.Minute, 0)
		sweep(3*time.Minute, 0)
		events, err := w.Trace(ctx, m.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		if e := events[len(events)-1]; e.Kind != journal.KindReturned || !e.Time.Equal(leased.Until) || e.Attempt != 1 || e.Sender != "MNSV05" {
			t.Errorf("event %+v, want the return at %v", e, leased.Until)
		}
		w.now = w.now.Add(5 * time.Minute)
		if d := w.lease(adapter.Poll{}); d == nil || d.Attempt != 2 {
			t.Errorf("got %+v, want attempt 2", d)
		}
		w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindReturned, journal.KindDelivered)
	})
}

func TestEndOfLife(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		eol := func(m *adapter.Message) { m.EOL = w.now.Add(time.Minute) }
		request := w.message(eol)
		broadcast := w.message(eol, func(m *adapter.Message) { m.Direction = adapter.DirBroadcast })
		delivered := w.message(eol, func(m *adapter.Message) { m.VIP = true })
		w.put(request, broadcast, delivered)
		if d := w.lease(adapter.Poll{For: 15 * time.Minute}); d.Message.ID != delivered.ID {
			t.Fatal("the VIP message is not first")
		}

		w.now = w.now.Add(2 * time.Minute)
		if d := w.lease(adapter.Poll{}); d != nil {
			t.Errorf("a message is delivered after its end of life")
		}
		for range 2 { // until it is answered
			s, err := w.Sweep(ctx, w.now)
			if err != nil || len(s.Expired) != 1 || s.Expired[0].ID != request.ID {
				t.Fatalf("sweep: %+v, %v, want the request", s, err)
			}
			w.now = w.now.Add(time.Second)
		}
		w.wantKinds(request, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
		w.wantKinds(broadcast, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindExpired)
		w.accept(w.message(func(m *adapter.Message) {
			m.Direction, m.Request, m.Original = adapter.DirAsync, request.ID, request.MessageID
			m.Recipients = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueResponses}}
		}))
		if s, err := w.Sweep(ctx, w.now); err != nil || len(s.Expired) != 0 {
			t.Errorf("sweep after the answer: %+v, %v, want nothing", s, err)
		}
		w.wantKinds(request, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindExpired)
		if err := w.ack(delivered.MessageID); err != nil {
			t.Errorf("a message that was delivered in time cannot be acknowledged: %v", err)
		}
	})
}

// Many messages of one queue end at once, some of them requests that nobody has
// answered. Polls do not read past them, and the sweep looks at each a few times and
// not at all of them for each.
func TestManyEndAtOnce(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	const many = 30_000
	unanswered := w.message(func(m *adapter.Message) { m.EOL = w.now.Add(time.Minute) })
	w.put(unanswered)
	w.query(exec("ALTER TABLE queue SET (autovacuum_enabled = off)"))
	w.query(exec(fmt.Sprintf(`INSERT INTO queue (queue, prio, message, message_id, root, eol, facts)
		SELECT 1, 1, gen_random_uuid(), 'e' || g, 1, '%s', '{"direction": "broadcast"}' FROM generate_series(1, %d) g`, w.now.Add(2*time.Minute).Format(time.RFC3339), many)))
	last := w.message()
	w.put(last)
	fetched := func() int {
		time.Sleep(1100 * time.Millisecond) // statistics are sent once a second
		w.lease(adapter.Poll{})
		if err := w.Health(ctx); err != nil {
			t.Fatal(err)
		}
		return w.count("SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'queue'")
	}
	w.now = w.now.Add(time.Hour)
	if d := w.lease(adapter.Poll{}); d == nil || d.Message.ID != last.ID {
		t.Fatalf("leased %+v, want the message behind those that have ended", d)
	}
	before, began := fetched(), time.Now()
	for range 10 {
		w.lease(adapter.Poll{})
	}
	looks := int(time.Since(began).Seconds()) + 2 // once a second, however slow the machine
	if n := fetched() - before; n > (looks+1)*many {
		t.Errorf("ten polls fetched %d rows, want no more than %d looks past the %d that have ended", n, looks, many)
	}
	before = fetched()
	sweeps := 0
	for more := true; more; sweeps++ {
		s, err := w.Sweep(ctx, w.now)
		if err != nil || len(s.Expired) != 1 || s.Expired[0].ID != unanswered.ID {
			t.Fatalf("sweep %d: %d expired, %v; want the unanswered request", sweeps, len(s.Expired), err)
		}
		more = w.count("SELECT count(*) FROM (SELECT FROM queue LIMIT 3) q") > 2
		if sweeps > many/500 {
			t.Fatalf("%d sweeps were not enough", sweeps)
		}
	}
	if n := fetched() - before; n > 5*many {
		t.Errorf("%d sweeps fetched %d rows for %d that have ended", sweeps, n, many)
	}
}

func TestSweepForgetsMessageIDs(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		at := func(age time.Duration) *adapter.Message {
			return w.message(func(m *adapter.Message) { m.ID = idAt(w.now.Add(-age)) })
		}
		old, young := at(8*24*time.Hour), at(6*24*time.Hour)
		w.accept(old)
		w.accept(young)
		for range 16 {
			if _, err := w.Sweep(ctx, w.now); err != nil {
				t.Fatal(err)
			}
		}
		for m, want := range map[*adapter.Message]bool{old: false, young: true} {
			again := w.message(func(x *adapter.Message) { x.MessageID = m.MessageID })
			if a := w.accept(again); (a.First != nil) != want {
				t.Errorf("message of %v: first %v, want a duplicate: %v", m.ID, a.First, want)
			}
		}
	})
}

// idAt is a UUIDv7 of a time.
func idAt(t time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

func TestDays(t *testing.T) {
	w := newWorld(t)
	w.Store = w.another(postgres.Options{Keep: 30 * 24 * time.Hour, DedupLife: 90 * 24 * time.Hour})
	ctx := context.Background()
	partitions := func(table string) (names []string) {
		w.query(func(c *pgx.Conn) error {
			rows, _ := c.Query(ctx, "SELECT relid::text FROM pg_partition_tree($1) WHERE isleaf ORDER BY 1", table)
			var err error
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		return names
	}
	day := func(table string, d int) string { return table + w.now.AddDate(0, 0, d).Format("_20060102") }
	for _, table := range []string{"message", "attachment", "answered", "placed"} {
		names := partitions(table)
		for d := -1; d <= 7; d++ {
			if !slices.Contains(names, day(table, d)) {
				t.Errorf("no partition %s in %v", day(table, d), names)
			}
		}
	}

	// A message of a day without a partition is not lost, nor in the way later.
	far := w.message(func(m *adapter.Message) { m.ID = idAt(w.now.AddDate(0, 0, 20)) })
	today := w.message()
	w.put(far, today)
	if _, err := w.Sweep(ctx, w.now.AddDate(0, 0, 20)); err != nil {
		t.Fatal(err)
	}
	if names := partitions("message"); slices.Contains(names, day("message", 20)) || !slices.Contains(names, day("message", 21)) {
		t.Errorf("partitions %v, want the day of the stray message without and the next with", names)
	}
	for _, m := range []*adapter.Message{far, today} {
		if found, err := w.Find(ctx, m.MessageID); err != nil || len(found) != 1 {
			t.Errorf("message of %v: %v %v", m.ID, found, err)
		}
	}

	// Old days go when nothing of theirs waits.
	later := w.now.AddDate(0, 0, 35)
	sweep := func() {
		for {
			if s, err := w.Sweep(ctx, later); err != nil {
				t.Fatal(err)
			} else if !s.More {
				break
			}
		}
		later = later.Add(time.Hour)
	}
	sweep()
	if names := partitions("message"); !slices.Contains(names, day("message", 0)) || slices.Contains(names, day("message", -1)) {
		t.Errorf("partitions %v: want yesterday gone, and today kept for the message that waits", names)
	}
	for range 2 {
		d := w.lease(adapter.Poll{})
		if err := w.ack(d.Message.MessageID); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	for _, table := range []string{"message", "attachment", "answered", "placed"} {
		if names := partitions(table); slices.Contains(names, day(table, 0)) {
			t.Errorf("partitions %v: want today gone", names)
		}
	}
	if _, err := w.Find(ctx, today.MessageID); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("a dropped message: %v, want ErrNotFound", err)
	}
	// Its dedup key may outlive it.
	again := w.message(func(m *adapter.Message) { m.MessageID = today.MessageID })
	if a := w.accept(again); a.First == nil || a.First.ID != today.ID {
		t.Errorf("first is %v, want what is known of the dropped message", a.First)
	}
}

func TestDepths(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *world) {
		first := w.message()
		w.put(first, w.message(), w.message(func(m *adapter.Message) {
			m.Recipients = []adapter.Queue{{System: "MNSV05", Kind: adapter.QueueResponses, Node: "n"}}
		}))
		w.lease(adapter.Poll{})
		depths, err := w.Depths(context.Background())
		if err != nil || len(depths) != 2 {
			t.Fatal(depths, err)
		}
		if d := depths[1]; d.Queue != rosreestr || d.Waiting != 1 || d.Leased != 1 || d.Oldest.UnixMilli() != int64(first.ID[0])<<40|int64(first.ID[1])<<32|int64(first.ID[2])<<24|int64(first.ID[3])<<16|int64(first.ID[4])<<8|int64(first.ID[5]) {
			t.Errorf("depth %+v", d)
		}
		if d := depths[0]; d.Queue.Node != "n" || d.Waiting != 1 || d.Leased != 0 {
			t.Errorf("depth %+v", d)
		}
	})
}

// The lease must stay a HOT update, and the poll must not read dead rows.
func TestLeaseIsCheap(t *testing.T) {
	w := open(t)
	w.query(func(c *pgx.Conn) error {
		rows, _ := c.Query(context.Background(), "SELECT indexdef FROM pg_indexes WHERE tablename = 'queue'")
		defs, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, def := range defs {
			for _, column := range []string{"visible_at", "attempts", "returned"} {
				if strings.Contains(def, column) {
					t.Errorf("%s: a lease would not be a HOT update", def)
				}
			}
		}
		if len(defs) == 0 {
			t.Error("no indexes found")
		}
		return err
	})
	messages := make([]*adapter.Message, 300)
	for i := range messages {
		messages[i] = w.message()
	}
	w.put(messages...)
	for range messages {
		if d := w.lease(adapter.Poll{}); d == nil {
			t.Fatal("nothing to lease")
		}
	}
	time.Sleep(1100 * time.Millisecond) // statistics are sent once a second
	w.lease(adapter.Poll{})
	hot := w.count("SELECT 100 * n_tup_hot_upd / greatest(n_tup_upd, 1) FROM pg_stat_user_tables WHERE relname = 'queue'")
	if hot < 80 {
		t.Errorf("%d %% of the leases were HOT updates, want nearly all", hot)
	}
}

// Plans that were made while the queue was empty must do when it is full, and
// before statistics say so.
func TestPlansOfAnEmptyQueue(t *testing.T) {
	w := open(t)
	m := w.message()
	w.put(m)
	w.lease(adapter.Poll{})
	if err := w.ack(m.MessageID); err != nil {
		t.Fatal(err)
	}
	w.query(exec("ALTER TABLE queue SET (autovacuum_enabled = off)"))
	w.query(exec("VACUUM ANALYZE queue"))
	for range 20 { // the plans are cached after some uses
		w.lease(adapter.Poll{})
		w.lease(adapter.Poll{Roots: []adapter.QName{extract}})
		w.ack("none")
	}
	w.query(exec(fmt.Sprintf("INSERT INTO queue (queue, prio, message, message_id, root, facts) SELECT 1, 1, '%s', g::text, 1, '{}' FROM generate_series(1, 50000) g", m.ID)))
	before := w.count("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'queue'")
	for i := range 20 {
		if d := w.lease(adapter.Poll{}); d == nil {
			t.Fatal("nothing to lease")
		}
		w.lease(adapter.Poll{Roots: []adapter.QName{extract}})
		if err := w.ack(adapter.MessageID(fmt.Sprint(2*i + 1))); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // statistics are sent once a second
	w.lease(adapter.Poll{})
	if read := w.count("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'queue'") - before; read > 0 {
		t.Errorf("%d rows were read by scans of the whole table, want none", read)
	}
}

func TestRefusals(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	ev := journal.Event{Kind: journal.KindRefused, Time: w.now, Incident: "inc-1", Sender: "MNSV05", Outcome: "SignatureVerificationFault"}
	body := []byte("what was refused \x00\xff")
	for range 2 {
		if err := w.Refuse(ctx, ev, "0af7651916cd43dd8448eb211c80319c", "text/xml", body); err != nil {
			t.Fatal(err)
		}
	}
	empty := ev
	empty.Incident = "inc-2"
	if err := w.Refuse(ctx, empty, "", "", nil); err != nil {
		t.Fatal(err)
	}
	got, contentType, bytes, err := w.Refused(ctx, "inc-1")
	if err != nil || contentType != "text/xml" || string(bytes) != string(body) || got.Outcome != ev.Outcome {
		t.Errorf("refused: %+v %q %q %v", got, contentType, bytes, err)
	}
	if events, err := w.Trace(ctx, "inc-1"); err != nil || len(events) != 1 {
		t.Errorf("trace of the incident: %v, %v, want one event", events, err)
	}
	if _, _, bytes, err := w.Refused(ctx, "inc-2"); err != nil || len(bytes) != 0 {
		t.Errorf("refused without bytes: %q %v", bytes, err)
	}
	if _, err := w.Sweep(ctx, w.now.AddDate(0, 0, 31)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.Refused(ctx, "inc-1"); !errors.Is(err, adapter.ErrNotFound) {
		t.Errorf("after its retention: %v, want ErrNotFound", err)
	}
}

func TestRecordAndTrace(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	request := w.message()
	w.accept(request)
	reply := w.message(func(m *adapter.Message) {
		m.Direction, m.Original, m.Request = adapter.DirResponse, request.MessageID, request.ID
	})
	w.accept(reply)
	if err := w.Record(ctx, journal.Event{Kind: journal.KindStrangers, Time: w.now, Count: 7}, journal.Event{Kind: journal.KindConfigChanged, Time: w.now}); err != nil {
		t.Fatal(err)
	}
	events, err := w.Trace(ctx, string(request.MessageID))
	if err != nil || len(events) != 2 || events[0].Message != request.ID.String() || events[1].Message != reply.ID.String() {
		t.Errorf("trace of the request: %+v, %v, want it and its reply", events, err)
	}
	if got := w.count("SELECT sum((event->>'count')::int) FROM journal_pending WHERE event->>'kind' = 'strangers'"); got != 7 {
		t.Errorf("count %d, want 7", got)
	}
}

// The journal takes events up while the exchange goes on.
func TestTraceOverTheJournal(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	desk := journaltest.NewDesk(t)
	book, pool, err := postgres.OpenTracedJournal(ctx, w.url, journaltest.Origin, desk.Vault, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	m := w.message()
	w.put(m, w.message())
	w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
	if err := desk.Settle(desk.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	if got := w.count("SELECT count(*) FROM journal_pending"); got != 0 {
		t.Fatalf("%d events are not taken up", got)
	}
	w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
	w.lease(adapter.Poll{})
	if err := w.ack(m.MessageID); err != nil {
		t.Fatal(err)
	}
	w.wantKinds(m, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged)
	events, err := w.Trace(ctx, string(m.MessageID))
	if err != nil || len(events) != 5 || events[0].MessageID != string(m.MessageID) || events[0].Sender != "MNSV05" {
		t.Errorf("trace by MessageID: %+v, %v, want the same five events", events, err)
	}
}

// Acks of all systems share statements, and yet one whose message somebody holds waits
// alone.
func TestAnAckThatWaitsHoldsUpNoOther(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	held := w.message()
	w.put(held)
	if d := w.lease(adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute}); d == nil {
		t.Fatal("nothing to hold")
	}
	release := w.block("SELECT FROM queue WHERE message = '" + held.ID.String() + "' FOR UPDATE")
	waits := make(chan error, 1)
	go func() { waits <- w.Ack(ctx, rosreestr.System, held.MessageID, w.now, journal.Event{}, nil) }()
	for range 5 {
		m := w.message()
		m.Recipients = []adapter.Queue{{System: "FNS01", Kind: adapter.QueueRequests}}
		w.put(m)
		if d := w.lease(adapter.Poll{Queue: m.Recipients[0], Now: w.now, For: time.Minute}); d == nil || d.Message.ID != m.ID {
			t.Fatalf("leased %+v", d)
		}
		if err := w.Ack(ctx, "FNS01", m.MessageID, w.now, journal.Event{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-waits:
		t.Errorf("the Ack of a message that is held: %v", err)
	default:
	}
	release()
	if err := <-waits; err != nil {
		t.Error(err)
	}
	if n := w.count("SELECT count(*) FROM queue"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// Polls and acknowledgements that come together are served together: each poll
// gets a message of its own with its own lease and event, in the order of the
// queue; each acknowledgement is told what became of it.
func TestPollsAndAcksTogether(t *testing.T) {
	w := open(t)
	const n = 40
	var ids []adapter.MessageID
	for range n {
		m := w.message()
		w.put(m)
		ids = append(ids, m.MessageID)
	}
	ctx := context.Background()
	together := func(count int, do func(i int)) {
		var wg sync.WaitGroup
		for i := range count {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	got := make([]*adapter.Delivery, n+10)
	together(len(got), func(i int) {
		var err error
		poll := adapter.Poll{Queue: adapter.Queue{System: "RRTR01", Kind: adapter.QueueRequests}, Now: w.now, For: time.Duration(i+1) * time.Minute,
			Event: journal.Event{Operation: fmt.Sprint("poll-", i)}}
		if got[i], err = w.Lease(ctx, poll); err != nil {
			t.Error(err)
		}
	})
	by := map[adapter.MessageID]int{}
	for i, d := range got {
		if d == nil {
			continue
		}
		if before, twice := by[d.Message.MessageID]; twice {
			t.Errorf("%s went to polls %d and %d", d.Message.MessageID, before, i)
		}
		by[d.Message.MessageID] = i
		if want := w.now.Add(time.Duration(i+1) * time.Minute); !d.Until.Equal(want) {
			t.Errorf("poll %d has its message until %v, want %v", i, d.Until, want)
		}
	}
	if len(by) != n {
		t.Fatalf("%d messages were handed out, want %d", len(by), n)
	}
	for _, id := range ids {
		events, err := w.Trace(ctx, string(id))
		if err != nil {
			t.Fatal(err)
		}
		last := events[len(events)-1]
		if last.Kind != journal.KindDelivered || last.Operation != fmt.Sprint("poll-", by[id]) {
			t.Errorf("%s went to poll %d, the journal says %s of %s", id, by[id], last.Kind, last.Operation)
		}
	}
	told := make([]error, n+1)
	together(len(told), func(i int) {
		id := adapter.MessageID("unknown")
		if i < n {
			id = ids[i]
		}
		told[i] = w.Ack(ctx, "RRTR01", id, w.now, journal.Event{}, nil)
	})
	for i, err := range told {
		if i < n && err != nil || i == n && !errors.Is(err, adapter.ErrNotAwaiting) {
			t.Errorf("acknowledgement %d is told %v", i, err)
		}
	}
}
