package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// of makes messages of a service.
func (w *world) of(service string, n int, change ...func(*adapter.Message)) (out []*adapter.Message) {
	for range n {
		out = append(out, w.message(append(change, func(m *adapter.Message) {
			m.Service, m.Root = service, adapter.QName{Space: "urn:x:" + service, Local: "Request"}
		})...))
	}
	return out
}

// However much of one service waits, a message of another is next when its lane's turn
// comes. Within a lane the order of the queue holds, VIP requests go before all lanes, and
// a node that has just begun does as one that has put the messages there.
func TestLanesInTurn(t *testing.T) {
	w := open(t)
	vip := func(m *adapter.Message) { m.VIP = true }
	all := w.of("egrn", 40)
	all = append(all, w.of("passport", 2)...)
	all = append(all, w.of("egrn", 1, vip)[0], w.of("taxes", 1, vip)[0])
	all = append(all, w.of("taxes", 1)...)
	w.put(all...)
	place := map[adapter.MessageID]int{} // in the queue, from 1
	for i, m := range all {
		place[m.MessageID] = i + 1
	}
	nodes := []*postgres.Store{w.Store, w.another(postgres.Options{})}
	seen := map[string]int{}
	last := map[string]int{}
	for i := range 11 {
		d, err := nodes[i%2].Lease(context.Background(), adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute})
		if err != nil || d == nil {
			t.Fatalf("poll %d: %v %v", i, d, err)
		}
		m := d.Message
		if m.VIP != (i < 2) {
			t.Errorf("poll %d gives VIP %t, want those two first", i, m.VIP)
		}
		if m.VIP {
			continue
		}
		seen[m.Service]++
		if place[m.MessageID] < last[m.Service] {
			t.Errorf("poll %d gives %d of the queue after %d, which is of the same lane", i, place[m.MessageID], last[m.Service])
		}
		last[m.Service] = place[m.MessageID]
	}
	if seen["passport"] != 2 || seen["taxes"] != 1 || seen["egrn"] != 6 {
		t.Errorf("nine polls gave %v, want all of the services that have little", seen)
	}
}

// Polls that come together get fair shares too, and what one lane does not have the
// others give.
func TestLanesOfPollsTogether(t *testing.T) {
	w := open(t)
	egrn := w.of("egrn", 30)
	w.put(egrn...)
	w.lease(adapter.Poll{}) // this node polls the queue: it hears what comes there
	w.put(w.of("passport", 3)...)
	polls := make([]adapter.Poll, 12)
	for i := range polls {
		polls[i] = adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute}
	}
	got, err := postgres.LeaseTogether(w.Store, polls...)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{}
	for _, id := range got {
		if w.count("SELECT count(*) FROM queue WHERE message = $1 AND facts->>'service' = 'passport'", [16]byte(id)) == 1 {
			of["passport"]++
		} else {
			of["egrn"]++
		}
	}
	if of["passport"] != 3 || of["egrn"] != 9 {
		t.Errorf("twelve polls together gave %v, want the three of one service and nine of the other", of)
	}
	for i, m := range egrn[1:10] {
		if n := w.count("SELECT attempts FROM queue WHERE message = $1", [16]byte(m.ID)); n != 1 {
			t.Errorf("message %d of the lane was handed out %d times, want the first nine once", i, n)
		}
	}
}

// A lane that only another node knows of is heard of here, too, while the others are full.
func TestALaneThatAnotherNodeFilled(t *testing.T) {
	w := open(t)
	w.put(w.of("egrn", 3)...)
	if err := postgres.Deepen(context.Background(), w.Store, "RRTR01", 0, 20_000); err != nil {
		t.Fatal(err)
	}
	here := w.another(postgres.Options{})
	poll := func() string {
		d, err := here.Lease(context.Background(), adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute})
		if err != nil || d == nil {
			t.Fatal(d, err)
		}
		return d.Message.Service
	}
	poll()
	w.put(w.of("passport", 1)...)
	for end := time.Now().Add(2 * time.Minute); poll() != "passport"; {
		if time.Now().After(end) {
			t.Fatal("the other service's message stands behind all of this one's")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Neither what waits nor what has been acknowledged is read by a poll, also while a
// transaction of somebody (a backup) keeps dead rows where they are.
func TestPollsReadNothingThatHasGone(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	w.put(w.of("egrn", 1)...)
	const gone, waiting = 20_000, 10_000
	w.query(exec("ALTER TABLE queue SET (autovacuum_enabled = off)"))
	if err := postgres.Deepen(ctx, w.Store, "RRTR01", 0, gone+waiting); err != nil {
		t.Fatal(err)
	}
	backup, err := pgx.Connect(ctx, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close(ctx)
	if _, err := backup.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM queue"); err != nil {
		t.Fatal(err)
	}
	w.query(exec(fmt.Sprintf("DELETE FROM queue WHERE seq <= %d", gone)))
	w.lease(adapter.Poll{}) // looks at the queue
	read := func() int {
		time.Sleep(1100 * time.Millisecond) // statistics are sent once a second
		w.lease(adapter.Poll{})
		if err := w.Health(ctx); err != nil {
			t.Fatal(err)
		}
		return w.count("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'queue'")
	}
	const polls = 20
	before, began := read(), time.Now()
	for range polls {
		w.lease(adapter.Poll{})
	}
	looks := int(time.Since(began).Seconds()/5) + 1 // from the beginning, and not in the way of polls
	// A mark stays some rows behind, and a row's lane and the row are found by an index each.
	if n := read() - before; n > 3*looks*gone+polls*2500 {
		t.Errorf("%d polls read %d index entries, want no more than %d looks of %d rows that have gone", polls, n, looks, gone)
	}
}

// A poll with a selector of two roots that waits for its answer holds the message that it
// takes, and no other: whoever polls meanwhile gets the next one.
func TestASelectedPollHoldsWhatItTakes(t *testing.T) {
	w := open(t)
	of := func(root string) *adapter.Message {
		return w.message(func(m *adapter.Message) {
			m.Service, m.Root = "egrn", adapter.QName{Space: "urn:x:" + root, Local: "Request"}
		})
	}
	a, b, c := of("v1"), of("v2"), of("v2")
	w.put(a, b, c)
	ctx := context.Background()
	var meanwhile *adapter.Delivery
	d, err := w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Roots: []adapter.QName{a.Root, b.Root},
		Answer: func(*adapter.Delivery) ([]byte, error) {
			var err error
			meanwhile, err = w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute})
			return []byte("<answer/>"), err
		}})
	if err != nil || d == nil || meanwhile == nil {
		t.Fatalf("got %v and %v, %v", d, meanwhile, err)
	}
	if d.Message.MessageID != a.MessageID || meanwhile.Message.MessageID != b.MessageID {
		t.Errorf("got %s and meanwhile %s, want %s and %s; the third is %s", d.Message.MessageID, meanwhile.Message.MessageID, a.MessageID, b.MessageID, c.MessageID)
	}
}

// Very many lives end at once. One poll steps over them all; the next ones do not, of
// whatever service they are, though none of them has been taken out yet, and neither do
// those of a queue in which all have ended.
func TestPollsStepOverWhatHasEndedOnce(t *testing.T) {
	w := open(t)
	const many, polls = 30_000, 20
	ends := w.now.Add(time.Hour)
	eol := func(m *adapter.Message) { m.EOL = ends }
	w.put(w.of("egrn", 2)...)
	w.put(w.of("egrn", 1, eol)...)
	for range 2 { // this node knows the queue
		if d := w.lease(adapter.Poll{}); d == nil || w.ack(d.Message.MessageID) != nil {
			t.Fatal(d)
		}
	}
	if err := postgres.Deepen(t.Context(), w.Store, "RRTR01", 0, many); err != nil {
		t.Fatal(err)
	}
	w.put(w.of("passport", polls)...)
	w.put(w.of("egrn", polls)...)
	w.exec("ANALYZE queue")
	read := func() int {
		postgres.FlushStatistics(t, w.Store)
		return w.count("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'queue'")
	}
	before := read()
	w.lease(adapter.Poll{})            // marks are moved on now, and not for a second
	time.Sleep(200 * time.Millisecond) // unless they are far behind
	for i := range 2 * polls {
		if d := w.lease(adapter.Poll{Now: ends.Add(time.Second)}); d == nil || !d.Message.EOL.IsZero() {
			t.Fatal("poll", i, d)
		}
	}
	if n := read() - before; n > 8*many { // a poll, and looks at both lanes and the queue while they go on
		t.Errorf("%d polls have read %d rows, of which %d had ended", 2*polls, n, many)
	}
	w.exec("DELETE FROM queue WHERE eol IS NULL")
	w.Store = w.another(postgres.Options{})
	before = read()
	for i := range polls {
		if d := w.lease(adapter.Poll{Now: ends.Add(time.Second)}); d != nil {
			t.Fatal("poll", i, d)
		}
	}
	if n := read() - before; n > 8*many {
		t.Errorf("%d polls of what has ended have read %d rows of %d", polls, n, many)
	}
}

// Where what waits in front is of other root elements, a poll with a selector steps over
// what has ended of its own once, as it does over all of a queue.
func TestPollsOfARootStepOverWhatHasEndedOnce(t *testing.T) {
	w := open(t)
	const many, polls = 20_000, 15
	ends := w.now.Add(time.Hour)
	w.put(w.of("egrn", 2)...)
	w.put(w.of("passport", 1, func(m *adapter.Message) { m.EOL = ends })...)
	w.exec(fmt.Sprintf(`INSERT INTO queue (queue, prio, message, message_id, root, eol, facts)
		SELECT queue, prio, message, message_id || g, root, eol, facts FROM queue, generate_series(1, %d) g WHERE eol IS NOT NULL; SELECT pg_stat_force_next_flush()`, many))
	w.put(w.of("passport", 2*polls)...)
	w.put(w.of("taxes", 1)...)
	w.exec("ANALYZE queue")
	read := func() int {
		postgres.FlushStatistics(t, w.Store)
		return w.count("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'queue'")
	}
	root := func(service string) adapter.QName { return adapter.QName{Space: "urn:x:" + service, Local: "Request"} }
	for _, of := range [][]adapter.QName{{root("passport")}, {root("passport"), root("taxes")}} {
		before := read()
		for i := range polls {
			if d := w.lease(adapter.Poll{Now: ends.Add(time.Second), Roots: of}); d == nil || d.Message.Service != "passport" || !d.Message.EOL.IsZero() {
				t.Fatal("poll", i, d)
			}
		}
		if n := read() - before; n > 6*many { // looks, from time to time, on a slow machine
			t.Errorf("%d polls for %v have read %d rows, of which %d had ended", polls, of, n, many)
		}
	}
	if d := w.lease(adapter.Poll{Now: ends.Add(time.Second)}); d == nil || d.Message.Service != "egrn" {
		t.Errorf("a poll for whatever comes gives %v, want what stands in front", d)
	}
}

// What a transaction commits late is found at once, though what was drawn behind it has been
// handed out meanwhile: the marks wait for it, also where none that began to write behind it
// had ended when they were looked after.
func TestWhatIsCommittedLateIsFoundAtOnce(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	take := func() {
		t.Helper()
		if d := w.lease(adapter.Poll{}); d == nil || w.ack(d.Message.MessageID) != nil {
			t.Fatal(d)
		}
	}
	w.put(w.of("egrn", 2)...)
	relay := w.conn()
	tx, err := relay.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO queue (queue, prio, message, message_id, root, eol, facts)
		SELECT queue, prio, message, 'late ' || g, root, eol, facts FROM (SELECT * FROM queue ORDER BY seq DESC LIMIT 1) t, generate_series(1, 3) g`); err != nil {
		t.Fatal(err)
	}
	take() // looks
	take()
	for range 2 {
		time.Sleep(1100 * time.Millisecond)
		w.put(w.of("egrn", 1)...)
		take() // looks again, beside
	}
	time.Sleep(200 * time.Millisecond)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.lease(adapter.Poll{})
	}
	if n := w.count("SELECT count(*) FROM queue WHERE attempts = 0"); n != 0 {
		t.Errorf("%d of 3 messages that were committed late are passed over", n)
	}
}

// A poll locks what it takes, and no row beside it, which others would pass over.
func TestPollsLockNothingBeside(t *testing.T) {
	w := open(t)
	vip := func(m *adapter.Message) { m.VIP = true }
	w.put(append(append(w.of("egrn", 4), w.of("passport", 4)...), w.of("egrn", 2, vip)...)...)
	egrn, passport := adapter.QName{Space: "urn:x:egrn", Local: "Request"}, adapter.QName{Space: "urn:x:passport", Local: "Request"}
	for i, roots := range [][]adapter.QName{nil, {egrn}, {egrn, passport}, nil, {passport}, {egrn, passport}} {
		free := -1
		d, err := w.Lease(t.Context(), adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Roots: roots, Answer: func(*adapter.Delivery) ([]byte, error) {
			free = w.count("SELECT count(*) FROM (SELECT FROM queue FOR UPDATE SKIP LOCKED) q")
			return []byte("<answer/>"), nil
		}})
		if err != nil || d == nil || free != 9 {
			t.Errorf("poll %d: %v, %v; %d rows of 10 are free, want 9", i, d, err, free)
		}
	}
}

// The same poll, brought to a second node while the first makes its answer, waits there
// until that is committed, and holds no message meanwhile, which others would pass over.
func TestAPollThatWaitsForItselfHoldsNoMessage(t *testing.T) {
	w := open(t)
	messages := w.of("egrn", 3)
	w.put(messages...)
	egrn, passport := adapter.QName{Space: "urn:x:egrn", Local: "Request"}, adapter.QName{Space: "urn:x:passport", Local: "Request"}
	second := w.another(postgres.Options{})
	for name, roots := range map[string][]adapter.QName{"lanes": nil, "a root": {egrn}, "roots": {egrn, passport}} {
		t.Run(name, func(t *testing.T) {
			w.exec("UPDATE queue SET visible_at = '-infinity', attempts = 0, returned = 0")
			poll := func(s *postgres.Store, mark string, answer func(*adapter.Delivery) ([]byte, error)) (*adapter.Delivery, error) {
				return s.Lease(t.Context(), adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Roots: roots, Answer: answer,
					Use: adapter.Use{Mark: sha256.Sum256([]byte(name + mark)), Operation: "GetRequest", Until: w.now.Add(time.Minute)}})
			}
			quick := func(*adapter.Delivery) ([]byte, error) { return []byte("<answer/>"), nil }
			want := func(what string, d *adapter.Delivery, err error, m *adapter.Message) {
				t.Helper()
				if err != nil || d == nil || d.Message.ID != m.ID {
					t.Errorf("%s: %+v, %v; want message %s", what, d, err, m.ID)
				}
			}
			again := make(chan *adapter.Delivery, 1)
			d, err := poll(w.Store, "captured", func(*adapter.Delivery) ([]byte, error) {
				go func() {
					d, err := poll(second, "captured", quick)
					if err != nil {
						t.Error(err)
					}
					again <- d
				}()
				until(t, "the second node waits for the first", func() bool {
					return w.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") > 0
				})
				if free := w.count("SELECT count(*) FROM (SELECT FROM queue FOR UPDATE SKIP LOCKED) q"); free != 2 {
					t.Errorf("%d rows of 3 are free, want 2", free)
				}
				return quick(nil)
			})
			want("the first", d, err, messages[0])
			want("the second", <-again, nil, messages[1])
		})
	}
}
