package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// relay puts everything of the outbox on a bus that nobody reads.
func (w *world) relay() {
	w.Helper()
	for shard := range adapter.Shards {
		_, _, err := w.Relay(context.Background(), shard, 100, func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
			return nil, nil
		})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// age makes the rows of a table older.
func (w *world) age(table, by string) {
	w.Helper()
	w.query(exec("UPDATE " + table + " SET at = at - interval '" + by + "'"))
}

func (w *world) standing() map[adapter.Station]time.Duration {
	w.Helper()
	s, err := w.Standing(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	oldest := map[adapter.Station]time.Duration{}
	for _, o := range s.Oldest {
		oldest[o.Station] = max(oldest[o.Station], o.Age)
		if got, want := s.At.Sub(o.Since), o.Age; got != want {
			w.Errorf("%s: since %v and age %v", o.Station, got, want)
		}
	}
	return oldest
}

// What waits is told by the database's clock, station by station, until it has
// gone on.
func TestStanding(t *testing.T) {
	t.Parallel()
	w := open(t)
	if got := w.standing(); len(got) != 0 {
		t.Errorf("an empty store tells of %v", got)
	}
	m := w.message(func(m *adapter.Message) {
		m.EOL = w.now.Add(-time.Minute)
		m.Accepted = w.now.Add(1000 * time.Hour) // a node whose clock nobody can rely on
	})
	w.accept(m)
	w.age("outbox", "1 hour")
	w.age("journal_pending", "2 hours")
	near := func(station adapter.Station, want time.Duration) {
		t.Helper()
		if got := w.standing()[station]; got < want || got > want+time.Minute {
			t.Errorf("%s has waited for %v, want %v", station, got, want)
		}
	}
	near(adapter.StationOutbox, time.Hour)
	near(adapter.StationJournal, 2*time.Hour)
	w.relay()
	if _, ok := w.standing()[adapter.StationOutbox]; ok {
		t.Error("the outbox is empty and something waits in it")
	}
	w.age("relayed", "3 hours")
	near(adapter.StationBus, 3*time.Hour)
	arrive(w, m)
	if _, ok := w.standing()[adapter.StationBus]; ok {
		t.Error("the message is in its queue, and waited for")
	}
	near(adapter.StationTerm, time.Minute)
	if n := w.count("SELECT count(*) FROM relayed"); n != 0 {
		t.Errorf("%d rows are left of what has arrived", n)
	}
}

func arrive(w *world, messages ...*adapter.Message) {
	w.Helper()
	for _, m := range messages {
		w.offset++
		_, err := w.Enqueue(context.Background(), adapter.Partition{Epoch: "e", Topic: "t"}, []adapter.Arrival{{Offset: w.offset, Message: m.ID, Queue: m.Recipients[0], Event: event(journal.KindQueued, m)}})
		if err != nil {
			w.Fatal(err)
		}
	}
}

// What the bus has lost goes back to the outbox, and what has arrived does not,
// in whatever order arrival and the relay's commit came.
func TestRecall(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := open(t)
	lost, arrived, early := w.message(), w.message(), w.message()
	for _, m := range []*adapter.Message{lost, arrived, early} {
		w.accept(m)
	}
	arrive(w, early) // the intake was quicker than the relay's commit
	w.relay()
	arrive(w, arrived)
	if n := w.count("SELECT count(*) FROM relayed"); n != 2 {
		t.Errorf("%d rows are on the bus, want the lost and the early one", n)
	}
	if got, err := w.Strays(ctx, time.Minute); err != nil || len(got) != 0 {
		t.Errorf("strays that are too young: %v, %v", got, err)
	}
	w.age("relayed", "2 minutes")
	if _, err := w.Sweep(ctx, w.now); err != nil {
		t.Fatal(err)
	}
	if n := w.count("SELECT count(*) FROM relayed"); n != 1 {
		t.Errorf("%d rows are on the bus after a sweep, want the lost one", n)
	}
	strays, err := w.Strays(ctx, time.Minute)
	if err != nil || len(strays) != 1 || strays[0] != rosreestr {
		t.Fatalf("strays: %v, %v", strays, err)
	}
	if n, err := w.Recall(ctx, rosreestr, time.Minute); err != nil || n != 1 {
		t.Errorf("recalled %d, %v, want 1", n, err)
	}
	if n, err := w.Recall(ctx, rosreestr, time.Minute); err != nil || n != 0 {
		t.Errorf("recalled %d more, %v", n, err)
	}
	w.pump()
	w.wantKinds(lost, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
	if n := w.count("SELECT count(*) FROM queue"); n != 3 {
		t.Errorf("%d messages stand in the queue, want 3", n)
	}
}

// A message that the bus refused for good is waited for nowhere.
func TestDeadIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := open(t)
	m := w.message()
	w.accept(m)
	_, _, err := w.Relay(context.Background(), adapter.ShardOf(rosreestr), 10, func(context.Context, []adapter.Outgoing) ([]journal.Event, error) {
		e := event(journal.KindDead, m)
		e.Recipient = string(rosreestr.System)
		return []journal.Event{e}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.standing(); got[adapter.StationBus] != 0 || got[adapter.StationOutbox] != 0 {
		t.Errorf("waits: %v", got)
	}
}

// Looking is cheap however much waits: every part of the plan is a step into an
// index, also when the plan was made while all was empty.
func TestStandingIsCheap(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.standing() // planned on empty tables
	w.query(exec(`INSERT INTO outbox (message, shard, queue) SELECT gen_random_uuid(), n % 4, 1 FROM generate_series(1, 50000) n`))
	w.query(exec(`INSERT INTO relayed (message, shard, queue) SELECT gen_random_uuid(), n % 4, 1 FROM generate_series(1, 50000) n`))
	w.query(exec(`INSERT INTO journal_pending (event) SELECT '{}' FROM generate_series(1, 50000) n`))
	var plan []string
	w.query(func(c *pgx.Conn) error {
		if _, err := c.Exec(context.Background(), "SET enable_seqscan = off"); err != nil {
			return err
		}
		rows, _ := c.Query(context.Background(), "EXPLAIN (ANALYZE, TIMING off, SUMMARY off) "+strings.ReplaceAll(postgres.StandingSQL, "$1", "4"))
		var err error
		plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	for _, line := range plan {
		if strings.Contains(line, "Seq Scan on outbox") || strings.Contains(line, "Seq Scan on relayed") || strings.Contains(line, "Seq Scan on journal_pending") || strings.Contains(line, "rows=50000") {
			t.Errorf("a table is read through:\n%s", strings.Join(plan, "\n"))
			break
		}
	}
}

// The log's topic was deleted and made anew: it is fed again what it would still hold.
func TestRefeed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := open(t)
	desk := journaltest.NewDesk(t)
	j, err := w.Journal(ctx, journaltest.Origin, desk.Vault)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*adapter.Message{w.message(), w.message(), w.message()} {
		w.accept(m)
	}
	if err := desk.Settle(desk.Sequencer(j)); err != nil {
		t.Fatal(err)
	}
	fed := func() (from, n int) {
		t.Helper()
		n, err := w.Feed(ctx, 100, func(_ context.Context, entries []adapter.LogEntry) error {
			from = int(entries[0].Index)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return from, n
	}
	refeed := func(epoch string, want bool) {
		t.Helper()
		if again, err := w.Refeed(ctx, epoch); err != nil || again != want {
			t.Errorf("refeed to %s: %v, %v, want %v", epoch, again, err, want)
		}
	}
	refeed("one", false)
	if _, n := fed(); n != 3 {
		t.Errorf("fed %d entries, want 3", n)
	}
	refeed("one", false)
	if _, n := fed(); n != 0 {
		t.Errorf("fed %d entries twice", n)
	}
	refeed("two", true)
	refeed("two", false)
	if from, n := fed(); from != 0 || n != 3 {
		t.Errorf("fed %d entries from %d to the new topic, want all 3", n, from)
	}
	if s := w.standing(); s[adapter.StationFeed] != 0 {
		t.Errorf("the feed waits: %v", s)
	}
}
