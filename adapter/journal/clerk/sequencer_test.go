package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"

	"golang.org/x/mod/sumdb/tlog"
)

// whole checks from outside that the log of book holds exactly these messages'
// accepted and other entries: nothing lost, doubled or out of order.
func whole(t *testing.T, d *journaltest.Desk, book *journaltest.Book, events []journal.Event) *audit.LogReport {
	t.Helper()
	rep := d.Audit(book, d.Checkpoint(book).Note)
	for _, f := range rep.Recount.Findings {
		t.Errorf("finding: %s", f)
	}
	i := 0
	for index := range rep.Recount.Size {
		l, err := journal.ParseLeaf(book.Entry(index))
		if err != nil {
			t.Fatal(err)
		}
		if l.Kind == journal.KindPeriodClose || l.Kind == journal.KindKeyChanged {
			continue
		}
		if i == len(events) {
			t.Fatalf("more entries than events: %d is %s", index, book.Entry(index))
		}
		if want := events[i]; l.Kind != want.Kind || l.Message != want.Message || !l.Time.Equal(want.Time) {
			t.Fatalf("entry %d: got %s of %q, want %s of %q", index, l.Kind, l.Message, want.Kind, want.Message)
		}
		i++
	}
	if i != len(events) {
		t.Fatalf("%d events in the log, want %d", i, len(events))
	}
	return rep
}

func TestEventsBecomeALogThatAStrangerAccepts(t *testing.T) {
	d := journaltest.NewDesk(t)
	const n = 3000
	book := d.Filled(7, n)
	d.Clock.Move(2 * time.Hour)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	rep := whole(t, d, book, journaltest.Events(7, n))
	if rep.Recount.Closes == 0 || rep.Recount.Kinds()[journal.KindAccepted] == 0 || len(rep.Recount.Counters) != 24 {
		t.Errorf("recounted %s", rep.Recount)
	}
	if signed := d.Checkpoint(book).Signed; !signed.Equal(d.Clock.Now().Truncate(time.Second)) {
		t.Errorf("checkpoint signed at %s, want %s", signed, d.Clock.Now())
	}
}

// A break at each statement of a step, before it and, for the commit, after it:
// the next step must go on with nothing lost, doubled or moved.
func TestBreakAtEachStatement(t *testing.T) {
	for _, statement := range []string{"look", "begin", "head", "pending", "counters", "last", "write", "commit", "commit done", "read head", "save checkpoint"} {
		for at := 1; at <= 3; at++ {
			t.Run(fmt.Sprintf("%s %d", statement, at), func(t *testing.T) {
				d := journaltest.NewDesk(t)
				book := journaltest.NewBook(journaltest.Origin)
				events := journaltest.Events(9, 450)
				left := events
				d.Clock.Move(3 * time.Minute)
				seen, broken := 0, 0
				book.Break = func(s string) error {
					if s == statement {
						if seen++; seen == at {
							broken++
							return errors.New("the connection broke")
						}
					}
					return nil
				}
				seq := d.Sequencer(book)
				for range 8 {
					// Messages begin in one step and go on in another.
					n := min(len(left), 70)
					if err := book.Add(left[:n]...); err != nil {
						t.Fatal(err)
					}
					left = left[n:]
					err := d.Settle(seq)
					d.Clock.Move(time.Second)
					if err == nil {
						seq = d.Sequencer(book) // and a restart in between
					}
				}
				if broken != 1 {
					t.Fatalf("statement %q ran %d times, the test broke none", statement, seen)
				}
				whole(t, d, book, events)
			})
		}
	}
}

func TestTwoSequencersAtOnceDoNotFork(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	events := journaltest.Events(11, 4000)
	d.Clock.Move(10 * time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for range 2 {
		seq := d.Sequencer(book)
		seq.Batch = 17
		done.Go(func() { seq.Run(ctx) })
	}
	for i := 0; i < len(events); i += 50 {
		if err := book.Add(events[i : i+50]...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	done.Wait()
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	whole(t, d, book, events)
}

func TestYesterdaysBackupIsRefusedAndReopened(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(13, 900)
	yesterday := book.Snapshot()
	events := journaltest.Events(13, 900)
	more := journaltest.Events(14, 300)
	if err := book.Add(more[:200]...); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(time.Minute)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	before := d.Checkpoint(book)

	book.Restore(yesterday)
	if err := book.Add(more[200:]...); err != nil {
		t.Fatal(err)
	}
	seq := d.Sequencer(book)
	var back *clerk.RollbackError
	if err := d.Settle(seq); !errors.As(err, &back) {
		t.Fatalf("got %v, want a *RollbackError", err)
	}
	if back.Signed != before.Tree {
		t.Errorf("the signer remembers %v, want %v", back.Signed, before.Tree)
	}
	var stopped *clerk.StoppedError
	other := d.Sequencer(book)
	if err := d.Settle(other); !errors.As(err, &stopped) {
		t.Fatalf("another node: got %v, want a *StoppedError", err)
	}
	if c := d.Checkpoint(book); c.Tree.N > before.Tree.N || len(c.Note) == 0 {
		t.Errorf("a checkpoint of %d entries was published", c.Tree.N)
	}
	if err := clerk.Reopen(context.Background(), book, d.Signer, before.Tree, d.Clock.Now()); !errors.As(err, &stopped) {
		t.Errorf("reopened under the name that it was stopped under: got %v, want a *StoppedError", err)
	}

	// The way out: a new origin, announced.
	secret, public, err := journal.NewKey(journaltest.Origin + "/2")
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(d.Dir, "signer2.json")
	if err := clerk.CreateSignerState(state, secret); err != nil {
		t.Fatal(err)
	}
	signer, err := clerk.NewFileSigner(state, secret, d.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer signer.Close()
	for range 2 { // twice equals once
		if err := clerk.Reopen(context.Background(), book, signer, before.Tree, d.Clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Sequencer(book).Step(context.Background()); err == nil || !strings.Contains(err.Error(), "goes on as") {
		t.Errorf("a node with the old key: %v", err)
	}
	d.Signer = signer
	if d.Policy, err = journal.LogPolicy(public); err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	rep := whole(t, d, book, append(events, more[200:]...))
	if rep.Recount.Kinds()[journal.KindKeyChanged] != 1 {
		t.Errorf("%d key-changed entries, want 1", rep.Recount.Kinds()[journal.KindKeyChanged])
	}
}

func TestSignerRefuses(t *testing.T) {
	ctx := context.Background()
	d := journaltest.NewDesk(t)
	book := d.Filled(17, 600)
	last := d.Checkpoint(book).Tree
	prover := journal.NewProver(ctx, last, book)
	good, err := prover.Consistency(300)
	if err != nil {
		t.Fatal(err)
	}
	other := last
	other.Hash[0] ^= 1
	for name, tree := range map[string]tlog.Tree{"smaller": {N: 300}, "same size, other root": other, "larger, not a continuation": {N: 700, Hash: last.Hash}} {
		for _, p := range [][]journal.Hash{nil, good} {
			var back *clerk.RollbackError
			if _, err := d.Signer.Sign(ctx, last, tree, p); !errors.As(err, &back) {
				t.Errorf("%s: got %v, want a *RollbackError", name, err)
			}
		}
	}
	if again, err := d.Signer.Sign(ctx, last, last, nil); err != nil || len(again) == 0 {
		t.Errorf("a heartbeat: %v", err)
	}
	if _, err := d.Signer.Sign(ctx, tlog.Tree{N: 300}, last, nil); !errors.Is(err, clerk.ErrSignedMeanwhile) {
		t.Errorf("from a tree that is not the last: got %v, want ErrSignedMeanwhile", err)
	}
	state := filepath.Join(d.Dir, "signer.json")
	if _, err := clerk.NewFileSigner(state, d.Secret, d.Clock.Now); err == nil {
		t.Error("two signers opened one memory")
	}
	if err := clerk.CreateSignerState(state, d.Secret); err == nil {
		t.Error("a signer's memory was begun again")
	}
	if _, err := clerk.NewFileSigner(filepath.Join(d.Dir, "none.json"), d.Secret, d.Clock.Now); err == nil {
		t.Error("a signer without memory was opened")
	}
}

func TestRowsThatCannotBeExpressedAreKeptWhole(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	events := journaltest.Events(19, 3)
	events[1].Kind = "invented-tomorrow"
	if err := book.Add(events...); err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	l, err := journal.ParseLeaf(book.Entry(1))
	if err != nil || l.Kind != journal.KindUnknown {
		t.Fatalf("got %s, %v; want an unknown entry", l.Kind, err)
	}
	o, err := d.Vault.Unseal(book.Sealed(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := l.Committed(journal.FieldRow); o.Commitment() != c || !strings.Contains(o.Value, "invented-tomorrow") {
		t.Errorf("opening %+v does not give the row back", o)
	}
}

func TestUnwritableIsKnownWithinASecond(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	seq := d.Sequencer(book)
	if seq.Writable() == nil {
		t.Error("writable before the database was ever reached")
	}
	if err := d.Settle(seq); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(time.Second)
	if seq.Writable() == nil {
		t.Error("writable although the database has been silent for a second")
	}
	if err := d.Settle(seq); err != nil {
		t.Fatal(err)
	}
	book.Break = func(string) error { return errors.New("disk full") }
	if err := d.Settle(seq); err == nil {
		t.Error("writable with a disk that is full")
	}
	book.Break = nil
	if err := d.Settle(seq); err != nil {
		t.Errorf("not writable again: %v", err)
	}
}

// A machine that is too busy for whole batches sequences smaller ones, and whole ones again
// when it has time.
func TestBatchesThatFailBecomeSmaller(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	seq := d.Sequencer(book)
	seq.Batch = 4096
	if err := book.Add(journaltest.Events(1, 9000)...); err != nil {
		t.Fatal(err)
	}
	late := true
	taken := 0
	book.Break = func(s string) error {
		if s == "write" && late {
			return errors.New("idle for too long")
		}
		return nil
	}
	var steps []int
	for taken < 9000 {
		n, err := seq.Step(t.Context())
		if err != nil {
			n = -1
		}
		steps = append(steps, n)
		taken += max(n, 0)
		late = late && len(steps) < 6
	}
	if want := []int{-1, -1, -1, -1, -1, -1, 256, 512, 1024, 2048, 4096, 1064}; !slices.Equal(steps, want) {
		t.Errorf("steps took %v, want %v", steps, want)
	}
}

// The room that a batch is made in is kept for the next one, and nothing of what it said:
// each of its texts is a part of a larger one, and some are about people.
func TestNothingOfABatchIsKept(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	seq := d.Sequencer(book)
	seq.Batch = 8192
	events, at := journaltest.Events(1, 5000), 0
	for i, n := range []int{900, 30, 1000, 1, 700, 300, 2000} {
		if err := book.Add(events[at : at+n]...); err != nil {
			t.Fatal(err)
		}
		at += n
		book.Break = func(s string) error {
			if s == "write" && i%3 == 1 {
				return errors.New("not now")
			}
			return nil
		}
		if _, err := seq.Step(t.Context()); err == nil != (i%3 != 1) {
			t.Fatal(err)
		}
		if texts, room := seq.Kept(); texts > 0 || room < n {
			t.Errorf("behind a batch of %d events %d texts are kept; there is room for %d leaves", n, texts, room)
		}
	}
}

// The signer's device may be away for a while; a log without checkpoints for
// long must not accept.
func TestSignerAway(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	book.Break = func(s string) error {
		if s == "save checkpoint" {
			return errors.New("away")
		}
		return nil
	}
	if err := book.Add(journaltest.Events(1, 5)...); err != nil {
		t.Fatal(err)
	}
	seq := d.Sequencer(book)
	if err := d.Settle(seq); err != nil {
		t.Errorf("not writable at once: %v", err)
	}
	d.Clock.Move(16 * time.Second)
	if err := d.Settle(seq); err == nil {
		t.Error("writable after 16 s without a checkpoint")
	}
	book.Break = nil
	d.Clock.Move(30 * time.Second) // it has let others go first, and nobody came
	if err := d.Settle(seq); err != nil {
		t.Errorf("not writable again: %v", err)
	}
}

// A node without the log's key watches: it knows when the log is stopped, and
// when nobody takes up what is accepted.
func TestANodeWithoutTheKeyWatches(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	watcher := d.Sequencer(book)
	watcher.Signer, watcher.Vault = nil, nil
	if err := d.Settle(watcher); err != nil {
		t.Fatal(err)
	}
	if err := book.Add(journaltest.Events(1, 5)...); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(10 * time.Second)
	if err := d.Settle(watcher); err != nil {
		t.Errorf("after 10 s: %v", err)
	}
	if head, err := book.Head(context.Background()); err != nil || head.Tree.N != 0 {
		t.Fatalf("it has sequenced %d entries", head.Tree.N)
	}
	d.Clock.Move(time.Minute)
	if err := d.Settle(watcher); err == nil {
		t.Error("writable although rows have waited for a minute")
	}
	leader := d.Sequencer(book)
	if err := d.Settle(leader); err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(watcher); err != nil {
		t.Errorf("after the leader's turn: %v", err)
	}
	if got, want := leader.Status(), int64(5); !got.Leads || got.Size != want || got.Signed != want || got.Err != nil {
		t.Errorf("the leader's status: %+v", got)
	}
	if watcher.Status().Leads {
		t.Error("the watcher says that it leads")
	}
	if err := book.Stop(context.Background(), "restored"); err != nil {
		t.Fatal(err)
	}
	var stopped *clerk.StoppedError
	if err := d.Settle(watcher); !errors.As(err, &stopped) {
		t.Errorf("a stopped log: %v", err)
	}
}

// A leader whose signer cannot write its memory gives the lead up, and the node
// that can sign goes on; neither stops accepting meanwhile.
func TestALeaderThatCannotSignGivesTheLeadUp(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	ctx := context.Background()
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	full, healthy := d.Sequencer(book), d.Sequencer(book)
	broken := &fullDisk{Signer: d.Signer, full: true}
	full.Signer = broken
	events := journaltest.Events(23, 40)
	for i := range events {
		events[i].Time = d.Clock.Now()
	}
	turns := func(n int) {
		t.Helper()
		for range n {
			if err := book.Add(events[0]); err != nil {
				t.Fatal(err)
			}
			events = events[1:]
			for _, s := range []*clerk.Sequencer{full, healthy} {
				_ = s.Turn(ctx) // what it says is logged; what counts is Writable
				if err := s.Writable(); err != nil {
					t.Fatalf("after %d events: %v", 40-len(events), err)
				}
			}
			d.Clock.Move(500 * time.Millisecond)
		}
	}
	turns(2)
	if !full.Status().Leads {
		t.Fatal("the first node does not lead")
	}
	turns(10)
	if !healthy.Status().Leads || full.Status().Leads {
		t.Errorf("after 6 s the healthy node leads: %v, the other: %v", healthy.Status().Leads, full.Status().Leads)
	}
	if c, err := book.Checkpoint(ctx); err != nil || c.Tree.N < 10 {
		t.Errorf("signed are %v, %v; want nearly all of 12 entries", c, err)
	}
	// The other one mends: it leads again when nobody else does.
	broken.full = false
	healthy.Resign()
	turns(5)
	if full.Status().Leads {
		t.Error("it did not let the others go first")
	}
	healthy.Signer, healthy.Vault = nil, nil
	healthy.Resign()
	turns(5)
	if !full.Status().Leads {
		t.Error("nobody leads although a node can")
	}
}

// fullDisk is a signer whose memory lies on a disk that is full.
type fullDisk struct {
	clerk.Signer
	full bool
}

func (f *fullDisk) Sign(ctx context.Context, last, tree tlog.Tree, proof []journal.Hash) ([]byte, error) {
	if f.full {
		return nil, fmt.Errorf("write signer state: %w", syscall.ENOSPC)
	}
	return f.Signer.Sign(ctx, last, tree, proof)
}

// What a leader commits after its term has ended fails, by name, and changes
// nothing; the next leader goes on from where the log stands.
func TestADeposedLeaderCommitsNothing(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	ctx := context.Background()
	events := journaltest.Events(29, 30)
	late, next := d.Sequencer(book), d.Sequencer(book)
	if err := book.Add(events[:10]...); err != nil {
		t.Fatal(err)
	}
	if err := late.Turn(ctx); err != nil {
		t.Fatal(err)
	}
	if err := book.Add(events[10:20]...); err != nil {
		t.Fatal(err)
	}
	book.Break = func(s string) error {
		if s == "write" { // its step is under way
			book.Depose()
		}
		return nil
	}
	if err := late.Turn(ctx); !errors.Is(err, journal.ErrDeposed) {
		t.Errorf("got %v, want ErrDeposed", err)
	}
	book.Break = nil
	if head, err := book.Head(ctx); err != nil || head.Tree.N != 10 {
		t.Errorf("the log has %d entries, want 10", head.Tree.N)
	}
	book.Release()
	if err := book.Add(events[20:]...); err != nil {
		t.Fatal(err)
	}
	if err := d.Settle(next); err != nil {
		t.Fatal(err)
	}
	whole(t, d, book, events)
}
