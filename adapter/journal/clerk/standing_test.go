package clerk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
)

// What a sequencer has placed itself it need not look up, and what another has
// placed in between it must.
func TestWhatIsRememberedOfALog(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	ctx := context.Background()
	looks := 0
	book.Break = func(statement string) error {
		if statement == "last" {
			looks++
		}
		return nil
	}
	events := journaltest.Events(31, 600)
	d.Clock.Move(3 * time.Minute)
	one, other := d.Sequencer(book), d.Sequencer(book)
	step := func(s *clerk.Sequencer, from, to int) {
		t.Helper()
		if err := book.Add(events[from:to]...); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Step(ctx); err != nil || n != to-from {
			t.Fatalf("step: %d, %v", n, err)
		}
	}
	for i := 0; i < 300; i += 50 {
		step(one, i, i+50)
	}
	if looks != 0 {
		t.Errorf("%d look-ups of messages that this sequencer has placed", looks)
	}
	for i := 300; i < 600; i += 100 { // they take turns, as after a lead that moves to and fro
		step(other, i, i+50)
		step(one, i+50, i+100)
	}
	if looks == 0 {
		t.Error("nothing was looked up of what the other has placed")
	}
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	whole(t, d, book, events)
}

// resized is a book whose head tells another size, as after a page that was torn.
type resized struct{ *journaltest.Book }

type resizedTx struct{ clerk.Tx }

func (b resized) Sequence(ctx context.Context, term int64, step func(clerk.Tx) error) error {
	return b.Book.Sequence(ctx, term, func(tx clerk.Tx) error { return step(resizedTx{tx}) })
}

func (t resizedTx) Head(ctx context.Context) (clerk.Head, error) {
	h, err := t.Tx.Head(ctx)
	h.Tree.N++
	return h, err
}

func TestAHeadOfAnotherSizeIsNotBuiltUpon(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(37, 300)
	ctx := context.Background()
	seq := d.Sequencer(book)
	if err := d.Settle(seq); err != nil {
		t.Fatal(err)
	}
	seq = d.Sequencer(book)
	events := journaltest.Events(38, 20)
	if err := book.Add(events[:10]...); err != nil {
		t.Fatal(err)
	}
	if _, err := seq.Step(ctx); err != nil { // it knows the edge
		t.Fatal(err)
	}
	if err := book.Add(events[10:]...); err != nil {
		t.Fatal(err)
	}
	before, err := book.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seq.Book = resized{book}
	if _, err := seq.Step(ctx); err == nil {
		t.Error("entries were put behind a head whose size and root do not fit")
	}
	if after, err := book.Head(ctx); err != nil || after.Tree != before.Tree {
		t.Errorf("the log went from %v to %v, %v", before.Tree, after.Tree, err)
	}
}

// A backup that was brought back and has grown to the same size by other events is
// another log: what was known of the first is not built upon.
func TestALogOfAnotherPastIsReadAnew(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(39, 300)
	ctx := context.Background()
	backup := book.Snapshot()
	step := func(s *clerk.Sequencer, events []journal.Event) {
		t.Helper()
		if err := book.Add(events...); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Step(ctx); err != nil || n != len(events) {
			t.Fatalf("step: %d, %v", n, err)
		}
	}
	events := journaltest.Events(40, 40)
	seq := d.Sequencer(book)
	step(seq, events[:10])
	book.Restore(backup)
	step(d.Sequencer(book), events[10:20])
	step(seq, events[20:30])
	last := d.Sequencer(book)
	step(last, events[30:])
	if err := d.Settle(last); err != nil {
		t.Fatal(err)
	}
	if rep := d.Audit(book, d.Checkpoint(book).Note); !rep.OK() {
		t.Errorf("the auditor: %v", rep.Recount.Findings)
	}
}

// told is a book that tells a node how the log stands, and what it asked.
type told struct {
	clerk.Book
	standing clerk.Standing
	claims   []clerk.Claim
}

func (b *told) Look(_ context.Context, c clerk.Claim) (clerk.Standing, error) {
	b.claims = append(b.claims, c)
	return b.standing, nil
}

// A node that does not lead goes by what it sees: a log that grows faster than it
// is signed is signed all the same, as long as the signature moves.
func TestAWatcherSeesTheSignatureMove(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := &told{Book: journaltest.NewBook(journaltest.Origin)}
	watcher := d.Sequencer(book)
	watcher.Signer, watcher.Vault = nil, nil
	look := func(size, signed int64) error {
		t.Helper()
		book.standing = clerk.Standing{Leader: "other", Size: size, Signed: signed, At: d.Clock.Now()}
		err := watcher.Turn(context.Background())
		if says := watcher.Writable(); (err == nil) != (says == nil) {
			t.Errorf("a turn says %v, Writable %v", err, says)
		}
		return err
	}
	for i := range int64(10) {
		if err := look(100*i+50, 100*i); err != nil {
			t.Fatalf("signed are %d of %d: %v", 100*i, 100*i+50, err)
		}
		d.Clock.Move(10 * time.Second)
	}
	if err := look(2000, 900); err != nil {
		t.Errorf("10 s without a checkpoint: %v", err)
	}
	d.Clock.Move(6 * time.Second)
	if err := look(2000, 900); err == nil || !strings.Contains(err.Error(), "no checkpoint has been signed for 16s") || !strings.Contains(err.Error(), "node other led last") {
		t.Errorf("16 s without a checkpoint: %v", err)
	}
	if err := look(2000, 2000); err != nil {
		t.Errorf("all is signed: %v", err)
	}
	d.Clock.Move(time.Hour)
	if err := look(2000, 2000); err != nil {
		t.Errorf("a log that rests: %v", err)
	}
	if err := look(2001, 2000); err != nil {
		t.Errorf("the first entry after a rest: %v", err)
	}
	for _, c := range book.claims {
		if c.Want {
			t.Fatal("a node that cannot sign wants to lead")
		}
	}
}

// A leader whose signer is told that the log went back says so at once, and one
// whose work ends for good has nothing to say of it when another does the work.
func TestWhatALeaderLeavesBehind(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	ctx := context.Background()
	away := errors.New("away")
	one, other := d.Sequencer(book), d.Sequencer(book)
	one.Signer = refusing{d.Signer, away}
	events := journaltest.Events(41, 30)
	for i := range events {
		events[i].Time = d.Clock.Now()
	}
	for i := range 4 { // four seconds of failing, one more than Yield
		if err := book.Add(events[i]); err != nil {
			t.Fatal(err)
		}
		if err := one.Turn(ctx); !errors.Is(err, away) {
			t.Fatalf("turn %d: %v", i, err)
		}
		d.Clock.Move(time.Second)
	}
	if err := other.Turn(ctx); err != nil {
		t.Fatal(err)
	}
	if !other.Status().Leads {
		t.Fatal("the term was not ended: the other does not lead")
	}
	if err := one.Turn(ctx); err != nil {
		t.Errorf("it says %v of work that another does", err)
	}
	d.Clock.Move(time.Minute)
	if err := other.Turn(ctx); err != nil {
		t.Fatal(err)
	}
	if err := one.Turn(ctx); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	if s := one.Status(); s.Leads || s.Err != nil {
		t.Errorf("its status: %+v", s)
	}
	// When that one signs no more, it is not for the reason that this one had.
	if err := book.Add(events[5]); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Step(ctx); err != nil {
		t.Fatal(err)
	}
	one.Turn(ctx)
	d.Clock.Move(16 * time.Second)
	if err := one.Turn(ctx); err == nil || errors.Is(err, away) {
		t.Errorf("another does not sign: %v", err)
	}
}

// A node that loses the lead while it cannot sign, and has it again much later, is
// given the time again that any leader has.
func TestAFailureOfAnotherTermIsForgotten(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := journaltest.NewBook(journaltest.Origin)
	ctx := context.Background()
	away := errors.New("away")
	seq := d.Sequencer(book)
	seq.Signer = refusing{d.Signer, away}
	if err := book.Add(journaltest.Events(42, 3)...); err != nil {
		t.Fatal(err)
	}
	if err := seq.Turn(ctx); !errors.Is(err, away) {
		t.Fatal(err)
	}
	book.Depose()
	if err := seq.Turn(ctx); err != nil || seq.Status().Leads {
		t.Fatalf("deposed: %v, leads %v", err, seq.Status().Leads)
	}
	d.Clock.Move(10 * time.Second)
	book.Release()
	for range 2 {
		if err := seq.Turn(ctx); !errors.Is(err, away) || !seq.Status().Leads {
			t.Errorf("it has failed in this term for no time: %v, leads %v", err, seq.Status().Leads)
		}
	}
}

// refusing is a signer that does not sign.
type refusing struct {
	clerk.Signer
	err error
}

func (r refusing) Sign(context.Context, tlog.Tree, tlog.Tree, []journal.Hash) ([]byte, error) {
	return nil, r.err
}
