package postgres_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// life plays the whole way of two messages, of which one is handed out again after its
// lease, and gives what the journal hears of each, before it takes the events up and
// after.
func life(t *testing.T, packed bool, first, second uuid.UUID, at time.Time) (events [][]journal.Event) {
	w := newWorld(t)
	since := "infinity"
	if packed {
		since = "-infinity"
	}
	w.query(exec("UPDATE release_gate SET since = '" + since + "'"))
	w.now = at
	w.Store = w.another(postgres.Options{})
	ctx := context.Background()
	m := w.message(func(m *adapter.Message) {
		m.ID, m.MessageID, m.Body = first, "11111111-2222-1333-8444-555555555555", envelope("1")
		m.ReplyTo = base64.StdEncoding.EncodeToString([]byte(`a seal{"mid":"11111111-2222-1333-8444-555555555555"}`))
	})
	later := w.message(func(m *adapter.Message) {
		m.ID, m.MessageID, m.Body, m.ReplyTo = second, "not a UUID, as old systems have it", envelope("2"), "not base64: somebody else's"
	})
	w.put(m, later)
	const digest = "<d>w7hOdJ4+8zcudtuDxgkkpdQ7apxyc3rA5Td1lvyPY8A=</d><i>7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6</i>"
	poll, answer, signed := []byte("<poll>"+digest+"</poll>"), []byte(digest+"<answer/>"), []byte("<ack>"+digest+"</ack>")
	lease := func(wire string, now time.Time) *adapter.Delivery {
		d, err := w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: now, For: time.Minute, Wire: wire, Event: journal.Event{Node: "node-1", Operation: "GetRequest", Channel: "smev/1.3"},
			Envelope: poll, Answer: func(*adapter.Delivery) ([]byte, error) { return answer, nil }})
		if err != nil || d == nil {
			t.Fatal(d, err)
		}
		return d
	}
	ack := func(id adapter.MessageID, now time.Time) {
		if err := w.Ack(ctx, rosreestr.System, id, now, journal.Event{Node: "node-1", Operation: "Ack"}, signed); err != nil {
			t.Fatal(err)
		}
	}
	lease("1.2", w.now)
	lease("1.3", w.now) // the second, for a reader of another version
	lease("1.2", w.now.Add(2*time.Minute))
	ack(m.MessageID, w.now.Add(2*time.Minute))
	other := w.another(postgres.Options{}) // which has not handed it out
	if err := other.Ack(ctx, rosreestr.System, later.MessageID, w.now.Add(3*time.Minute), journal.Event{Node: "node-1", Operation: "Ack"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []*adapter.Message{m, later} {
		found, err := other.Find(ctx, want.MessageID)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if d := difference(&found[0], want); d != "" {
			t.Errorf("read by a node that has not accepted it: %s", d)
		}
	}
	kept, err := other.Receipts(ctx, first)
	if err != nil || len(kept) != 3 || !bytes.Equal(kept[0].Poll, poll) || !bytes.Equal(kept[1].Answer, answer) || !bytes.Equal(kept[2].Ack, signed) {
		t.Errorf("kept of the first message: %+v, %v", kept, err)
	}
	if got := w.count("SELECT count(*) FROM receipt WHERE codec & 8 <> 0"); packed == (got == 0) {
		t.Errorf("%d receipts are tight", got)
	}
	if got := w.count("SELECT count(*) FROM message WHERE codec & 16 <> 0 AND parts IS NULL AND reply_to IS NULL"); packed != (got == 2) {
		t.Errorf("%d messages are woven, with their parts and reply addresses", got)
	}
	trace := func() {
		for _, id := range []string{first.String(), string(later.MessageID)} {
			list, err := w.Trace(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, list)
		}
	}
	trace()
	if got := w.count("SELECT count(*) FROM journal_waiting WHERE event IS NULL"); packed == (got == 0) {
		t.Errorf("%d packed events wait", got)
	}
	_, seq := benchJournal(t, w.Store)
	for {
		n, err := seq.Step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if got := w.count("SELECT count(*) FROM journal_pending"); got != 0 {
		t.Errorf("%d events wait still", got)
	}
	trace()
	return events
}

// What waits packed says what it says as JSON, which nodes of the release before read,
// and a message with its parts behind its body is the same message.
func TestWhatIsWrittenShortSaysTheSame(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	first, second := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	packed, plain := life(t, true, first, second, now), life(t, false, first, second, now)
	if len(packed[0]) != 7 || len(packed[1]) != 5 {
		t.Errorf("the journal has heard %d and %d events, want 7 and 5", len(packed[0]), len(packed[1]))
	}
	for i := range packed {
		for n := range packed[i] {
			if got, want := packed[i][n], plain[i][n]; !reflect.DeepEqual(got, want) {
				t.Errorf("list %d, event %d\npacked: %+v\nplain:  %+v", i, n, got, want)
			}
		}
	}
	if rewrapped := packed[1][3]; rewrapped.Kind != journal.KindDelivered || rewrapped.Outcome != adapter.OutcomeRewrapped || rewrapped.Service == "" {
		t.Errorf("handed out in another version: %+v", rewrapped)
	}
}

// Who is told that a message's life has ended is found in its reply address, wherever that
// stands.
func TestAnExpiredMessageHasItsReplyAddress(t *testing.T) {
	w := newWorld(t)
	w.query(exec("UPDATE release_gate SET since = '-infinity'"))
	w.Store = w.another(postgres.Options{})
	m := w.message(func(m *adapter.Message) {
		m.EOL, m.ReplyTo = w.now.Add(time.Minute), base64.StdEncoding.EncodeToString([]byte("where an answer goes to"))
	})
	w.put(m)
	swept, err := w.another(postgres.Options{}).Sweep(context.Background(), w.now.Add(time.Hour))
	if err != nil || len(swept.Expired) != 1 || swept.Expired[0].ReplyTo != m.ReplyTo || swept.Expired[0].Root != m.Root || swept.Expired[0].Body != nil {
		t.Errorf("%+v, %v", swept.Expired, err)
	}
}

// In a database of before, events are packed when no node of before can lead the journal
// any more, which is from its first block on, however long it is since the migration.
func TestEventsArePackedFromTheFirstBlockOn(t *testing.T) {
	w := newWorld(t)
	w.query(exec("UPDATE release_gate SET since = now() - interval '1 day'"))
	w.Store = w.another(postgres.Options{})
	benchJournal(t, w.Store) // begins the log
	packed := func() int {
		w.Store = w.another(postgres.Options{})
		w.accept(w.message())
		return w.count("SELECT count(*) FROM journal_waiting WHERE event IS NULL")
	}
	if got := packed(); got != 0 {
		t.Errorf("%d events are packed before the first block", got)
	}
	w.query(exec("UPDATE journal_head SET blocks = 0"))
	if got := packed(); got != 1 {
		t.Errorf("%d of the events since the first block are packed, want 1", got)
	}
}

// What the relay may put into its queue stands there with its commit, once, and never
// before what is still to come there from the bus.
func TestTheRelayPutsMessagesIntoTheirQueues(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	relay := func(direct bool) (sent []adapter.Outgoing) {
		t.Helper()
		_, err := w.Relay(ctx, adapter.ShardOf(rosreestr), 10, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			for i := range out {
				events = append(events, event(journal.KindRouted, out[i].Message))
				if direct {
					out[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: w.now, Node: "node-1", Outcome: "ok"}
				}
			}
			sent = out
			return events, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	arrive := func(sent []adapter.Outgoing) int {
		t.Helper()
		var arrivals []adapter.Arrival
		for i := range sent {
			arrivals = append(arrivals, adapter.Arrival{Offset: w.offset, Message: sent[i].Message.ID, Queue: sent[i].Queue, Event: event(journal.KindQueued, sent[i].Message)})
			w.offset++
		}
		n, err := w.Enqueue(ctx, place, arrivals)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, second, third := w.message(), w.message(), w.message()
	w.accept(first)
	sent := relay(true)
	if len(sent) != 1 || !sent[0].Queued || w.count("SELECT count(*) FROM queue") != 1 || w.count("SELECT count(*) FROM relayed") != 0 {
		t.Fatalf("sent %+v; %d in the queue, %d on the bus alone", sent, w.count("SELECT count(*) FROM queue"), w.count("SELECT count(*) FROM relayed"))
	}
	if n := arrive(sent); n != 0 {
		t.Errorf("the intake has queued it %d times more", n)
	}
	if got := w.count("SELECT count(*) FROM kafka_offset"); got != 0 {
		t.Error("the intake has written where there was nothing to do")
	}
	kinds := w.count("SELECT count(*) FROM journal_pending WHERE event->>'kind' IN ('routed', 'queued') AND event->>'recipient' IS NOT NULL AND event->>'message' = $1", first.ID.String())
	if kinds != 1 { // the test's own "routed" has no recipient
		t.Errorf("%d events say that it is queued, want 1", kinds)
	}

	w.accept(second)
	waits := relay(false) // as a relay of the release before
	w.accept(third)
	if sent = relay(true); sent[0].Queued {
		t.Error("a message was queued before one that is still on the bus")
	}
	if n := arrive(append(waits, sent...)); n != 2 {
		t.Errorf("the intake has queued %d, want 2", n)
	}
	for _, want := range []*adapter.Message{first, second, third} {
		d, err := w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Hour})
		if err != nil || d == nil || d.Message.ID != want.ID {
			t.Fatalf("handed out %+v, %v, want %s", d, err, want.ID)
		}
	}
	w.accept(first) // a repetition
	if sent = relay(true); len(sent) != 0 {
		t.Errorf("a repetition was relayed: %+v", sent)
	}
}

// Each statement leaves one row, whatever it tells of; and what it tells of stands in the
// log in the order in which nodes of before would have had it.
func TestTheEventsOfAStatementAreOneRow(t *testing.T) {
	ctx := context.Background()
	log := func(together bool) (order []string, rows, entries int) {
		w := newWorld(t)
		if together {
			w.query(exec("UPDATE release_gate SET since = '-infinity'"))
		}
		w.Store = w.another(postgres.Options{})
		number := map[string]string{"": "none"}
		for _, n := range []string{"first", "second", "third"} {
			m := w.message()
			number[m.ID.String()] = n
			w.accept(m)
		}
		if _, err := w.Relay(ctx, adapter.ShardOf(rosreestr), 10, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
			for i := range out {
				events = append(events, event(journal.KindRouted, out[i].Message))
				out[i].Arrival = event(journal.KindQueued, out[i].Message)
			}
			return events, nil
		}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			d := w.lease(adapter.Poll{For: time.Minute})
			if err := w.Ack(ctx, rosreestr.System, d.Message.MessageID, w.now, event(journal.KindAcknowledged, d.Message), nil); err != nil {
				t.Fatal(err)
			}
		}
		changed := []journal.Event{{Kind: journal.KindConfigChanged, Time: w.now, Fields: []string{"b"}}, {Kind: journal.KindConfigChanged, Time: w.now, Fields: []string{"a"}}}
		if err := w.Record(ctx, changed...); err != nil {
			t.Fatal(err)
		}
		rows, entries = w.count("SELECT count(*) FROM journal_pending"), w.count("SELECT sum(entries) FROM journal_pending")
		if got := w.count("SELECT count(*) FROM journal_waiting"); got != entries {
			t.Errorf("%d events wait in rows of %d", got, entries)
		}
		j, seq := benchJournal(t, w.Store)
		if n, err := seq.Step(ctx); err != nil || n != entries {
			t.Errorf("the sequencer took up %d events of %d: %v", n, entries, err)
		}
		if err := j.Each(ctx, postgres.Query{}, func(r postgres.Row) error {
			order = append(order, string(r.Leaf.Kind)+" "+number[r.Leaf.Message])
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return order, rows, entries
	}
	order, rows, entries := log(true)
	if rows != 3+1+3+3+1 || entries != 3+6+3+3+2 {
		t.Errorf("%d events wait in %d rows, want 17 in 11", entries, rows)
	}
	before, rows, entries := log(false)
	if rows != entries {
		t.Errorf("%d events wait in %d rows, which nodes of before cannot read", entries, rows)
	}
	if !slices.Equal(order, before) {
		t.Errorf("the log is\n%q\nwant\n%q", order, before)
	}
}

// The events of many accepts, which do not compress, stand in rows that nothing is kept
// apart of, in their order; one that is longer than a row waits all the same.
func TestEventsWaitInPlace(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.query(exec("UPDATE release_gate SET since = '-infinity'"))
	w.Store = w.another(postgres.Options{})
	var rows [][]byte
	for i := range 60 {
		e := journal.Event{Kind: journal.KindAccepted, Time: w.now, Message: uuid.NewString(), Attempt: i, Personal: []journal.PersonalField{{Field: "name", Value: string(chance(200))}}}
		row, err := e.Pack()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	wait := func(rows [][]byte) {
		t.Helper()
		if err := postgres.Wait(ctx, w.Store, true, rows); err != nil {
			t.Fatal(err)
		}
	}
	wait(nil)
	wait(rows)
	apart := func() int {
		return w.count("SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'journal_pending'::regclass")
	}
	if n := w.count("SELECT count(*) FROM journal_pending"); n != 8 || apart() > 0 {
		t.Errorf("60 events wait in %d rows, with %d bytes apart", n, apart())
	}
	wait([][]byte{rows[0], append(rows[1][:len(rows[1]):len(rows[1])], chance(20_000)...), rows[2]})
	if apart() == 0 {
		t.Error("an event that is longer than a row is not kept apart: nothing was tried")
	}
	if got := w.count("SELECT sum(entries) FROM journal_pending"); got != 63 {
		t.Errorf("%d events wait, want 63", got)
	}
	for i, row := range rows {
		if got := w.count("SELECT count(*) FROM (SELECT row, row_number() OVER (ORDER BY id, n) AS at FROM journal_waiting) AS w WHERE at = $1 AND row = $2", i+1, row); got != 1 {
			t.Fatalf("event %d is not in its place", i)
		}
	}
}

// A batch takes rows whole and ends with the one that fills it, by its events or by its
// bytes; what it leaves comes in the next one, at once.
func TestBatchesOfRowsWithManyEventsAreBounded(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(77, 450)
	for i := 0; i < 400; i += 40 {
		a.must(a.Append(ctx, events[i:i+40]...))
	}
	a.Clock.Move(events[len(events)-1].Time.Sub(a.Clock.Now()))
	seq := a.Sequencer(a.Journal)
	seq.Batch = 100
	for n, want := range []int{120, 120} {
		if got, err := seq.Step(ctx); err != nil || got != want {
			t.Errorf("batch %d has %d events, %v; want %d", n, got, err, want)
		}
	}
	postgres.BatchBytes(t, 1) // a row fills it
	if got, err := seq.Step(ctx); err != nil || got != 40 {
		t.Errorf("a batch has %d events, %v; want those of one row", got, err)
	}
	// A row of more than a page.
	large := slices.Clone(events[400:])
	for i := range large {
		large[i].Personal = []journal.PersonalField{{Field: "document", Value: strings.Repeat("z", 3000), Class: journal.ClassPersonal}}
	}
	a.must(a.Append(ctx, large...))
	// Without a pause between batches: this sequencer makes none that ends.
	run, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	seq.Tick = time.Hour
	done.Go(func() { seq.Run(run) })
	until(t, "everything is taken up", func() (all bool) {
		a.must(a.pool.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM journal_pending)").Scan(&all))
		return all
	})
	stop()
	done.Wait()
	a.must(a.Settle(seq))
	a.check(t, append(events[:400:400], large...))
}

// Rows as nodes of before have left them, one event each, as JSON or packed, among those of
// today: each has its place, in the order of the rows, and is found before that.
func TestRowsOfBeforeAreTakenUpAmongThoseOfToday(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(78, 90)
	for i := 0; i < len(events); i += 5 {
		row, err := events[i].Row()
		a.must(err)
		_, err = a.pool.Exec(ctx, "INSERT INTO journal_pending (event) VALUES ($1)", string(row))
		a.must(err)
		packed, err := events[i+1].Pack()
		a.must(err)
		if packed == nil {
			packed, err = events[i+1].Row()
			a.must(err)
		}
		_, err = a.pool.Exec(ctx, "INSERT INTO journal_pending (packed) VALUES ($1)", packed)
		a.must(err)
		a.must(a.Append(ctx, events[i+2:i+5]...))
	}
	s, err := postgres.Open(ctx, postgres.Options{URL: a.url, Node: "node-1"})
	a.must(err)
	t.Cleanup(s.Close)
	found := func() (n int) {
		t.Helper()
		met := map[string]bool{}
		for _, e := range events {
			if e.Message == "" || met[e.Message] {
				continue
			}
			met[e.Message] = true
			list, err := s.Trace(ctx, e.Message)
			a.must(err)
			n += len(list)
		}
		return n
	}
	waiting := found()
	a.must(a.Settle(a.Sequencer(a.Journal)))
	if got := found(); got != waiting || got == 0 {
		t.Errorf("%d events are found of messages in the log, %d when they waited", got, waiting)
	}
	a.check(t, events)
}

// The values of an event wait in one seal, and open to what they are: the entry commits to
// each, as it does to those that were sealed one by one.
func TestValuesWaitInOneSeal(t *testing.T) {
	ctx := context.Background()
	values := []journal.PersonalField{{Field: "snils", Value: snils}, {Field: "name", Value: "Иванов Иван"}, {Field: "consent", Value: "c-1", Class: "personal"}}
	opened := func(gates string) (open []journal.Opening, bytes int) {
		w, dir := newWorld(t), t.TempDir()
		w.query(exec("UPDATE release_gate SET since = '-infinity' WHERE " + gates))
		w.Store = w.another(postgres.Options{Vault: openVault(t, dir)})
		m := w.message()
		e := event(journal.KindAccepted, m)
		e.Personal = values
		if _, err := w.Accept(ctx, m, []journal.Event{e}); err != nil {
			t.Fatal(err)
		}
		if all := string(w.raw()); strings.Contains(all, snils) || strings.Contains(all, "Иванов") {
			t.Error("the database holds values in the clear")
		}
		bytes = w.count("SELECT sum(length(row)) FROM journal_waiting")
		keys := openVault(t, dir)
		j, err := w.Journal(ctx, journaltest.Origin, keys)
		if err != nil {
			t.Fatal(err)
		}
		_, seq := benchJournal(t, w.Store)
		seq.Book, seq.Vault = j, keys
		if n, err := seq.Step(ctx); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		_, open, err = j.Find(ctx, m.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		for i := range open {
			open[i].Salt = [32]byte{}
		}
		return slices.DeleteFunc(open, func(o journal.Opening) bool { return o.Field == journal.FieldDigest }), bytes
	}
	shared, least := opened("true") // under a key that others share
	one, small := opened("name <> 'shared pending keys'")
	each, large := opened("false")
	if !slices.Equal(one, each) || !slices.Equal(shared, each) || len(one) != len(values) {
		t.Errorf("opened from one seal: %+v\nunder a key that others share: %+v\nfrom one for each: %+v", one, shared, each)
	}
	if small*2 > large || least > small {
		t.Errorf("in one seal the event takes %d bytes, %d under a key that others share, %d as releases before wrote it", small, least, large)
	}
}

// Under load the log grows by whole blocks: the row that finishes one ends the batch, what is
// behind it waits for the next turn, and no longer.
func TestABatchEndsBehindAWholeBlock(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	events := journaltest.Events(79, 400)
	for i := 0; i < len(events); i += 40 {
		a.must(a.Append(ctx, events[i:i+40]...))
	}
	a.Clock.Move(events[len(events)-1].Time.Sub(a.Clock.Now()))
	size := func() int64 {
		head, err := a.Head(ctx)
		a.must(err)
		return head.Tree.N
	}
	run := func(tick time.Duration, want int64) (end func()) {
		seq := a.Sequencer(a.Journal)
		seq.Tick, seq.Batch = tick, 0 // all 400 fit into one: a batch that is full would be followed by the next at once
		running, stop := context.WithCancel(ctx)
		var done sync.WaitGroup
		done.Go(func() { seq.Run(running) })
		until(t, "the turn has come to its end", func() bool { return size() >= want && seq.Status().Size >= want })
		return func() { stop(); done.Wait() }
	}
	end := run(time.Hour, 256)
	var waits, piece int
	a.must(a.pool.QueryRow(ctx, "SELECT (SELECT coalesce(sum(entries), 0) FROM journal_pending), (SELECT coalesce(sum(entries), 0) FROM journal_piece)").Scan(&waits, &piece))
	if got := size(); got != 280 || waits != 120 || piece != 24 {
		t.Errorf("one turn took up %d events, %d of them behind the block, and left %d; want 280, 24 and 120", got, piece, waits)
	}
	end() // and takes up what it had left
	if got := size(); got != 400 {
		t.Errorf("%d events are in the log when the sequencer has ended", got)
	}
	more := journaltest.Events(80, 130)
	for i := range more {
		more[i].Time = events[len(events)-1].Time
	}
	for i := 0; i < len(more); i += 10 {
		a.must(a.Append(ctx, more[i:i+10]...))
	}
	run(10*time.Millisecond, 530)() // the next turn takes what no block is finished with
	a.check(t, append(events, more...))
}
