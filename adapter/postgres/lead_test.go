package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// until waits for something, generously.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not true: %s", what)
		}
	}
}

// deposed checks that err is what a leader is told whose term has ended.
func deposed(t testing.TB, err error) {
	t.Helper()
	var e *postgres.DeposedError
	if !errors.As(err, &e) || !errors.Is(err, journal.ErrDeposed) {
		t.Errorf("got %v, want a *DeposedError", err)
	}
}

// member is a node's journal as its store gives it.
func (a *archive) member(t testing.TB, node string, term time.Duration) *postgres.Journal {
	t.Helper()
	s, err := postgres.Open(context.Background(), postgres.Options{URL: a.url, Node: node, Term: term})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	j, err := s.Journal(context.Background(), journaltest.Origin, a.Vault)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// One node leads the journal. When it says nothing for a term another does, and
// what the first one commits then fails and changes nothing.
func TestOneLeadsTheJournal(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	a.Journal = a.member(t, "a", time.Minute)
	other := a.member(t, "b", time.Minute)
	look := func(j *postgres.Journal, term int64) clerk.Standing {
		t.Helper()
		s, err := j.Look(ctx, clerk.Claim{Term: term, Want: true})
		a.must(err)
		return s
	}
	first := look(a.Journal, 0).Term
	if first == 0 || look(a.Journal, first).Term != first {
		t.Fatal("the only node does not lead, or not under one term")
	}
	if got := look(other, 0).Term; got != 0 {
		t.Fatalf("two lead, the other under term %d", got)
	}
	if s, err := other.Look(ctx, clerk.Claim{}); err != nil || s.Term != 0 {
		t.Fatalf("who does not want the lead has it: %+v, %v", s, err)
	}

	a.Resign(first)
	events := journaltest.Events(31, 20)
	a.must(a.Append(ctx, events...))
	// Its step is under way and takes longer than its term.
	slow := &slowBook{Journal: a.Journal}
	slow.during = func() {
		_, err := a.pool.Exec(ctx, "UPDATE lead SET until = '-infinity'")
		a.must(err)
		if slow.next = look(other, 0).Term; slow.next <= first {
			t.Errorf("the next term is %d, want one after %d", slow.next, first)
		}
	}
	seq := a.Sequencer(slow)
	a.Settle(seq)
	deposed(t, slow.err)
	if head, err := a.Head(ctx); err != nil || head.Tree.N != 0 {
		t.Errorf("the deposed leader has placed %d entries, %v", head.Tree.N, err)
	}
	if got := look(a.Journal, first).Term; got != 0 {
		t.Errorf("the deposed leader leads under term %d", got)
	}
	other.Resign(slow.next)
	a.must(a.Settle(a.Sequencer(other)))
	a.check(t, events)
}

// slowBook is a journal whose first step takes long.
type slowBook struct {
	*postgres.Journal
	during func()
	next   int64
	err    error
}

func (b *slowBook) Sequence(ctx context.Context, term int64, step func(clerk.Tx) error) error {
	err := b.Journal.Sequence(ctx, term, func(tx clerk.Tx) error {
		b.during()
		return step(tx)
	})
	b.err = err
	return err
}

// The same of a relay whose bus was slow: its rows have been taken by another,
// and what it commits late fails. The journal has each message routed once.
func TestADeposedRelayCommitsNothing(t *testing.T) {
	w := open(t)
	other := w.another(postgres.Options{Node: "other"})
	ctx := context.Background()
	var want []uuid.UUID
	for range 3 {
		m := w.message()
		w.accept(m)
		want = append(want, m.ID)
	}
	shard := adapter.ShardOf(rosreestr)
	var got []uuid.UUID
	publish := func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
		for _, o := range out {
			got = append(got, o.Message.ID)
			events = append(events, event(journal.KindRouted, o.Message))
		}
		return events, nil
	}
	_, err := w.Relay(ctx, shard, 10, func(ctx context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		w.query(exec("UPDATE lead SET until = '-infinity'"))
		if n, err := other.Relay(ctx, shard, 2, publish); n != 2 || err != nil {
			t.Errorf("the next leader relayed %d, %v, want 2", n, err)
		}
		events, err := publish(ctx, out)
		got = got[:2] // its copies come late and are known
		return events, err
	})
	deposed(t, err)
	if n, err := w.Relay(ctx, shard, 10, publish); n != 1 || err != nil {
		t.Errorf("afterwards: relayed %d, %v, want what was left", n, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("relayed %v, want the order of acceptance %v", got, want)
	}
	if got := w.count("SELECT count(*) FROM journal_pending WHERE event->>'kind' = 'routed'"); got != 3 {
		t.Errorf("%d routed events, want 3", got)
	}
}

// A relay that was deposed while the bus had taken nothing says so, and takes no queue for one that
// the bus does not take.
func TestADeposedRelayLeavesNothing(t *testing.T) {
	w := open(t)
	slow := w.another(postgres.Options{Node: "slow", Term: 300 * time.Millisecond})
	w.accept(w.message())
	shard := adapter.ShardOf(rosreestr)
	_, err := slow.Relay(t.Context(), shard, 10, func(ctx context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		w.query(exec("UPDATE lead SET epoch = epoch + 1, until = '-infinity'"))
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Error("nobody has told it")
		}
		for i := range out {
			out[i].Left = true
		}
		return nil, nil
	})
	deposed(t, err)
	n, err := slow.Relay(t.Context(), shard, 10, func(_ context.Context, out []adapter.Outgoing) (events []journal.Event, err error) {
		if out[0].Again {
			t.Error("the bus is said to have left it")
		}
		return []journal.Event{event(journal.KindRouted, out[0].Message)}, nil
	})
	if n != 1 || err != nil {
		t.Errorf("afterwards: relayed %d, %v, want 1", n, err)
	}
}

// And of the feed.
func TestADeposedFeedRemembersNothing(t *testing.T) {
	w := open(t)
	other := w.another(postgres.Options{Node: "other"})
	ctx := context.Background()
	j, seq := benchJournal(t, w.Store)
	if err := j.Append(ctx, journaltest.Events(1, 5)...); err != nil {
		t.Fatal(err)
	}
	if _, err := seq.Step(ctx); err != nil {
		t.Fatal(err)
	}
	var fed []int64
	publish := func(_ context.Context, out []adapter.LogEntry) error {
		for _, e := range out {
			fed = append(fed, e.Index)
		}
		return nil
	}
	_, err := w.Feed(ctx, 3, func(ctx context.Context, out []adapter.LogEntry) error {
		if _, err := other.Feed(ctx, 1, nil); !errors.Is(err, adapter.ErrShardTaken) {
			t.Errorf("another node meanwhile: %v, want ErrShardTaken", err)
		}
		w.query(exec("UPDATE lead SET until = '-infinity'"))
		if n, err := other.Feed(ctx, 1, publish); n != 1 || err != nil {
			t.Errorf("the next leader fed %d, %v, want 1", n, err)
		}
		return nil
	})
	deposed(t, err)
	if n, err := other.Feed(ctx, 10, publish); n != 4 || err != nil || !slices.Equal(fed, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("fed %v, %d, %v, want each entry once and in order", fed, n, err)
	}
}

// A leader whose host has died in a transaction holds rows for as long as TCP
// believes in it. The next leader ends that session.
func TestADeadLeadersTransactionIsEnded(t *testing.T) {
	for name, lock := range map[string]string{
		"the head":  "SELECT FROM journal_head FOR UPDATE",
		"the proof": "SELECT FROM lead WHERE work = 'journal' FOR UPDATE",
	} {
		t.Run(name, func(t *testing.T) {
			a := openArchive(t)
			ctx := context.Background()
			s, err := a.Look(ctx, clerk.Claim{Want: true})
			a.must(err)
			if s.Term == 0 {
				t.Fatal("it does not lead")
			}
			dead, err := pgx.Connect(ctx, a.url)
			a.must(err)
			t.Cleanup(func() { dead.Close(ctx) })
			for _, sql := range []string{"BEGIN", lock} {
				_, err := dead.Exec(ctx, sql)
				a.must(err)
			}
			other, _ := a.node(t, nil)
			events := journaltest.Events(37, 10)
			a.must(a.Append(ctx, events...))
			until(t, "the next leader places what waits", func() bool {
				a.Settle(a.Sequencer(other))
				head, err := other.Head(ctx)
				a.must(err)
				return head.Tree.N > 0
			})
			if err := dead.Ping(ctx); err == nil {
				t.Error("the session of the dead leader is still there")
			}
			a.must(a.Settle(a.Sequencer(other)))
			a.check(t, events)
		})
	}
}

// Releases before the lease lead by a lock of their session. While they work they
// are not disturbed; one that holds its lock and does not work, because its SQL
// fits the tables no more, or its host has died, is passed over.
func TestALockOfAnOlderRelease(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	old, err := pgx.Connect(ctx, a.url)
	a.must(err)
	t.Cleanup(func() { old.Close(ctx) })
	_, err = old.Exec(ctx, "SELECT pg_advisory_lock(30792348873813863), pg_advisory_lock(28026, $1)", adapter.ShardOf(rosreestr))
	a.must(err)

	patient := a.member(t, "patient", time.Minute)
	if s, err := patient.Look(ctx, clerk.Claim{Want: true}); err != nil || s.Term != 0 {
		t.Fatalf("it leads beside the older release: %+v, %v", s, err)
	}
	a.must(a.Append(ctx, journaltest.Events(41, 10)...))
	if s, err := patient.Look(ctx, clerk.Claim{Want: true}); err != nil || s.Term != 0 {
		t.Fatalf("it does not wait for the older release: %+v, %v", s, err)
	}
	until(t, "an event has waited for a term", func() bool {
		s, err := a.Look(ctx, clerk.Claim{Want: true})
		a.must(err)
		return s.Term != 0
	})

	s, err := postgres.Open(ctx, postgres.Options{URL: a.url, Term: 300 * time.Millisecond})
	a.must(err)
	defer s.Close()
	w := &world{T: t, Store: s, url: a.url}
	w.accept(w.message())
	shard := adapter.ShardOf(rosreestr)
	publish := func(_ context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		return []journal.Event{event(journal.KindRouted, out[0].Message)}, nil
	}
	if _, err := w.Relay(ctx, shard, 10, publish); !errors.Is(err, adapter.ErrShardTaken) {
		t.Fatalf("got %v, want ErrShardTaken", err)
	}
	until(t, "the oldest row has not moved for a term", func() bool {
		n, err := w.Relay(ctx, shard, 10, publish)
		if err != nil && !errors.Is(err, adapter.ErrShardTaken) {
			t.Fatal(err)
		}
		return n == 1
	})

	// What an older relay has taken meanwhile is not committed twice.
	w.accept(w.message())
	_, err = old.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	a.must(err)
	_, err = w.Relay(ctx, shard, 10, func(ctx context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		_, err := old.Exec(ctx, "DELETE FROM outbox")
		a.must(err)
		return publish(ctx, out)
	})
	deposed(t, err)
}

// under is a journal whose steps are taken under one term, whatever the sequencer
// believes.
type under struct {
	*postgres.Journal
	term int64
}

func (b under) Sequence(ctx context.Context, _ int64, step func(clerk.Tx) error) error {
	return b.Journal.Sequence(ctx, b.term, step)
}

// A node that has not heard that it leads claims again and gets another term. What
// it does under the term before fails, and ending that one ends nothing.
func TestANodeMayClaimAgain(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	a.Journal = a.member(t, "a", time.Hour)
	other := a.member(t, "b", time.Hour)
	first, err := a.Look(ctx, clerk.Claim{Want: true})
	a.must(err)
	second, err := a.Look(ctx, clerk.Claim{Want: true}) // the answer was lost
	a.must(err)
	if first.Term == 0 || second.Term <= first.Term {
		t.Fatalf("terms %d and %d, want a second one after the first", first.Term, second.Term)
	}
	events := journaltest.Events(43, 10)
	a.must(a.Append(ctx, events...))
	_, err = a.Sequencer(under{a.Journal, first.Term}).Step(ctx)
	deposed(t, err)
	a.Resign(first.Term)
	if s, err := other.Look(ctx, clerk.Claim{Want: true}); err != nil || s.Term != 0 {
		t.Errorf("another leads beside the second term: %+v, %v", s, err)
	}
	if _, err = a.Sequencer(under{a.Journal, second.Term}).Step(ctx); err != nil {
		t.Errorf("under the second term: %v", err)
	}
	a.Resign(second.Term)
	if s, err := other.Look(ctx, clerk.Claim{Want: true}); err != nil || s.Term == 0 {
		t.Errorf("the term was ended, and nobody leads: %+v, %v", s, err)
	}
	a.must(a.Settle(a.Sequencer(other)))
	a.check(t, events)
}

// A slow bus does not cost a relay its term: it is renewed meanwhile. When it has
// ended all the same, whatever waits is told, and why.
func TestATermIsKeptWhileItsWorkGoesOn(t *testing.T) {
	w := open(t)
	s, err := postgres.Open(context.Background(), postgres.Options{URL: w.url, Term: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.accept(w.message())
	const ends = "SELECT (extract(epoch FROM until) * 1000)::bigint FROM lead WHERE node <> '' OR until > '-infinity' ORDER BY until DESC LIMIT 1"
	_, err = s.Relay(context.Background(), adapter.ShardOf(rosreestr), 10, func(ctx context.Context, out []adapter.Outgoing) ([]journal.Event, error) {
		for range 3 {
			was := w.count(ends)
			until(t, "the term is renewed", func() bool { return w.count(ends) > was })
		}
		w.query(exec("UPDATE lead SET epoch = epoch + 1, holder = gen_random_uuid(), until = 'infinity'"))
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Minute):
			t.Error("nobody says that the term has ended")
		}
		deposed(t, context.Cause(ctx))
		return nil, context.Cause(ctx)
	})
	deposed(t, err)
}

// A session that holds the row of a leader's work is left alone while that leader's
// term runs, however long it takes, and after it for half a term.
func TestALivingLeadersTransactionIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		ends string
		term time.Duration // of who waits
	}{
		"the term runs":     {"infinity", 100 * time.Millisecond},
		"it has just ended": {"-infinity", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			a := openArchive(t)
			ctx := context.Background()
			_, err := a.pool.Exec(ctx, "UPDATE lead SET until = $1::timestamptz, holder = gen_random_uuid()", c.ends)
			a.must(err)
			busy, err := pgx.Connect(ctx, a.url)
			a.must(err)
			t.Cleanup(func() { busy.Close(ctx) })
			for _, sql := range []string{"BEGIN", "SELECT FROM lead WHERE work = 'journal' FOR UPDATE"} {
				_, err := busy.Exec(ctx, sql)
				a.must(err)
			}
			other := a.member(t, "other", c.term)
			a.must(a.Append(ctx, journaltest.Events(47, 3)...))
			for range 3 {
				time.Sleep(70 * time.Millisecond) // it is older than half of the short term
				if s, err := other.Look(ctx, clerk.Claim{Want: true}); err != nil || s.Term != 0 {
					t.Fatalf("another leads: %+v, %v", s, err)
				}
			}
			if err := busy.Ping(ctx); err != nil {
				t.Errorf("its session was ended: %v", err)
			}
		})
	}
}

// A node may run before a log has been begun: there is nothing to feed, and nothing is wrong.
func TestThereMayBeNoLogToFeed(t *testing.T) {
	w := open(t)
	n, err := w.Feed(t.Context(), 10, func(context.Context, []adapter.LogEntry) error {
		t.Error("something was published")
		return nil
	})
	if n != 0 || err != nil {
		t.Errorf("fed %d: %v, want nothing", n, err)
	}
}
