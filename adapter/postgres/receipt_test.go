package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// answering is a poll of REGISTRY's queue whose answer is made by the given function.
func answering(w *world, answer func(*adapter.Delivery) ([]byte, error)) adapter.Poll {
	return adapter.Poll{Queue: adapter.Queue{System: "RRTR01", Kind: adapter.QueueRequests}, Now: w.now, For: 15 * time.Minute,
		Event: journal.Event{Node: "node-1", Outcome: "ok"}, Envelope: []byte("<poll/>"), Answer: answer}
}

// What receipts add to the log is not searched for by value: it is in no index.
func TestReceiptsAreNotSearchedFor(t *testing.T) {
	d := journaltest.NewDesk(t)
	for field, found := range map[string]bool{journal.FieldReceipt: false, journal.FieldDigest: false, "snils": true} {
		sealed, err := d.Vault.Seal(7, journal.Opening{Field: field, Class: journal.ClassReceipt, Value: "x"})
		if err != nil || len(sealed.Blind) > 0 != found {
			t.Errorf("%s: blind %x, %v", field, sealed.Blind, err)
		}
	}
}

// A poll that finds a message commits once, and so does an Ack; what finds nothing
// commits nothing and leaves nothing.
func TestReceiptsCostNoCommits(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	m := w.message()
	w.put(m)
	// Of transactions in all of the server there may be others: it vacuums when it likes.
	commits := func() int {
		return w.count("SELECT count(DISTINCT by) FROM (SELECT xmin::text AS by FROM receipt UNION ALL SELECT xmin::text FROM journal_pending UNION ALL SELECT xmin::text FROM queue) rows")
	}
	rows := func() int {
		return w.count("SELECT (SELECT count(*) FROM receipt) + (SELECT count(*) FROM journal_pending)")
	}
	poll := answering(w, func(d *adapter.Delivery) ([]byte, error) { return append([]byte("<answer>"), d.Message.Body...), nil })
	step := func(what string, commit, row int, do func() error) {
		t.Helper()
		c, r := commits(), rows()
		if err := do(); err != nil && !errors.Is(err, adapter.ErrNotAwaiting) {
			t.Fatalf("%s: %v", what, err)
		}
		if c, r = commits()-c, rows()-r; c != commit || r != row {
			t.Errorf("%s: %d commits and %d rows, want %d and %d", what, c, r, commit, row)
		}
	}
	lease := func() error { _, err := w.Lease(ctx, poll); return err }
	ack := func() error { return w.Ack(ctx, "RRTR01", m.MessageID, w.now, journal.Event{}, []byte("<ack/>")) }
	step("a poll", 1, 2, lease) // an event and what is kept
	step("an empty poll", 0, 0, lease)
	step("an Ack", 1, 2, ack)
	step("an Ack of nothing", 0, 0, ack)
	got, err := w.Receipts(ctx, m.ID)
	if err != nil || len(got) != 2 || string(got[0].Poll) != "<poll/>" || !bytes.Equal(got[0].Answer, append([]byte("<answer>"), m.Body...)) || string(got[1].Ack) != "<ack/>" ||
		got[0].Queue != poll.Queue || got[0].Attempt != 1 || got[1].Attempt != 1 {
		t.Errorf("kept %v, %v", got, err)
	}
}

// A message for which no answer can be made was not delivered: there is no event and
// no attempt, and it does not stand in the way of the others.
func TestNoAnswerIsNoDelivery(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	first, second := w.message(), w.message()
	w.put(first)
	w.put(second)
	broken := errors.New("the signer is away")
	poll := answering(w, func(*adapter.Delivery) ([]byte, error) { return nil, broken })
	if _, err := w.Lease(ctx, poll); !errors.Is(err, broken) {
		t.Fatalf("a poll without an answer: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		w.Lease(ctx, answering(w, func(*adapter.Delivery) ([]byte, error) { panic("a bug") }))
	}()
	gone, leave := context.WithCancel(ctx)
	later := w.message()
	w.put(later)
	if _, err := w.Lease(gone, answering(w, func(*adapter.Delivery) ([]byte, error) { leave(); return []byte("x"), nil })); err == nil {
		t.Error("somebody who has gone was told of a message")
	}
	good := answering(w, func(*adapter.Delivery) ([]byte, error) { return []byte("<answer/>"), nil })
	if d, err := w.Lease(ctx, good); err != nil || d != nil {
		t.Errorf("what stepped aside came back at once: %+v, %v", d, err)
	}
	good.Now = w.now.Add(16 * time.Minute)
	for _, want := range []*adapter.Message{first, second} {
		d, err := w.Lease(ctx, good)
		if err != nil || d == nil || d.Message.MessageID != want.MessageID || d.Attempt != 1 {
			t.Fatalf("after the lease: %+v, %v; want the first delivery of %s", d, err, want.MessageID)
		}
		w.wantKinds(want, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered)
	}
}

// A slow caller does not take the others of its statement with it for ever, and whoever
// left while his message was being found gives it to the next one.
func TestPollsOfOneStatement(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	for range 8 {
		w.put(w.message())
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var polls []adapter.Poll
	for i := range 8 {
		polls = append(polls, answering(w, func(d *adapter.Delivery) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if seen[d.Message.ID.String()]++; i%4 == 3 {
				return nil, fmt.Errorf("poll %d cannot be answered", i)
			}
			return fmt.Appendf(nil, "<answer>%d</answer>", i), nil
		}))
	}
	got, err := postgres.LeaseTogether(w.Store, polls...)
	if err == nil || len(seen) != 8 {
		t.Errorf("%d messages were handed to callers, %v; want all 8 and the two errors", len(seen), err)
	}
	delivered := 0
	for i, id := range got {
		if failed := i%4 == 3; failed != (id == [16]byte{}) {
			t.Errorf("poll %d got %s", i, id)
		}
		if id != [16]byte{} {
			delivered++
			if kept, err := w.Receipts(ctx, id); err != nil || len(kept) != 1 || string(kept[0].Answer) != fmt.Sprintf("<answer>%d</answer>", i) {
				t.Errorf("poll %d: kept %v, %v", i, kept, err)
			}
		}
	}
	if events := w.count("SELECT count(*) FROM journal_pending WHERE event->>'kind' = 'delivered'"); events != delivered || delivered != 6 {
		t.Errorf("%d events for %d deliveries", events, delivered)
	}
}

// An answer that takes long holds up nobody else: the others are delivered while it is
// made, nobody is given its message meanwhile, and it is delivered when it is there.
func TestASlowAnswerHoldsUpNoOther(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	for range 4 {
		w.put(w.message())
	}
	polls := make([]adapter.Poll, 4)
	var slow, left adapter.Message
	for i := range polls {
		polls[i] = answering(w, func(d *adapter.Delivery) ([]byte, error) {
			if i > 1 {
				return []byte("<answer/>"), nil
			}
			end := time.Now().Add(20 * time.Second)
			for w.count("SELECT count(*) FROM receipt") < 2 {
				if time.Now().After(end) {
					t.Error("the others wait for the slow answer")
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if d.Attempt != 1 {
				t.Errorf("attempt %d", d.Attempt)
			}
			if i == 1 {
				left = *d.Message
				return nil, errors.New("none can be made")
			}
			slow = *d.Message
			if other, err := w.Lease(ctx, answering(w, func(*adapter.Delivery) ([]byte, error) { return []byte("<twice/>"), nil })); err != nil || other != nil {
				t.Errorf("another poll got %+v, %v", other, err)
			}
			return []byte("<answer>slow</answer>"), nil
		})
	}
	got, err := postgres.LeaseTogether(w.Store, polls...)
	if err == nil || got[0] != slow.ID || got[1] != [16]byte{} || got[2] == [16]byte{} || got[3] == [16]byte{} {
		t.Errorf("delivered %v, %v", got, err)
	}
	w.wantKinds(&slow, journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered)
	w.wantKinds(&left, journal.KindAccepted, journal.KindRouted, journal.KindQueued)
	if kept, err := w.Receipts(ctx, slow.ID); err != nil || len(kept) != 1 || string(kept[0].Answer) != "<answer>slow</answer>" || kept[0].Attempt != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
	if err := w.Ack(ctx, "RRTR01", slow.MessageID, w.now, journal.Event{}, nil); err != nil {
		t.Error(err)
	}
	d, err := w.Lease(ctx, func() adapter.Poll {
		p := answering(w, func(*adapter.Delivery) ([]byte, error) { return []byte("<answer/>"), nil })
		p.Now = w.now.Add(16 * time.Minute)
		return p
	}())
	if err != nil || d == nil || d.Message.ID != left.ID || d.Attempt != 1 {
		t.Errorf("after the lease %+v, %v; want the first delivery of what no answer could be made for", d, err)
	}
}

// Receipts are sealed with the key of their message and each for its place: they are
// nowhere in the clear, and go when their message's content goes, by an order or by
// retention.
func TestReceiptsAreSealedAndEndWithTheirMessage(t *testing.T) {
	w, dir := sealedWorld(t)
	ctx := context.Background()
	d := journaltest.NewDesk(t)
	if _, err := w.Store.Journal(ctx, journaltest.Origin, d.Vault); err != nil {
		t.Fatal(err)
	}
	m, moved, old := w.secret(), w.secret(), w.secret()
	w.through(m, moved, old)
	w.exec("DELETE FROM journal_pending") // where events wait, for a moment, for the vault of values
	if all := w.raw(); bytes.Contains(all, []byte(snils)) {
		t.Error("receipts are kept in the clear")
	}
	for _, s := range []*postgres.Store{w.Store, w.another(postgres.Options{Vault: openVault(t, dir)})} {
		got, err := s.Receipts(ctx, m.ID)
		if err != nil || len(got) != 2 || string(got[0].Answer) != "<answer><own>"+snils+"</own>"+string(m.Body)+"</answer>" || string(got[1].Ack) != "<ack>"+snils+"</ack>" {
			t.Fatalf("kept %v, %v", got, err)
		}
	}
	if _, err := w.another(postgres.Options{}).Receipts(ctx, m.ID); !errors.Is(err, postgres.ErrVault) {
		t.Errorf("a node without a vault reads: %v", err)
	}
	w.exec("UPDATE receipt SET attempt = 2 WHERE message = '" + moved.ID.String() + "'")
	if got, err := w.Receipts(ctx, moved.ID); err == nil {
		t.Errorf("receipts of another delivery: %v", got)
	}
	var gone *adapter.ErasedError
	ended := func(m *adapter.Message, how string) {
		t.Helper()
		if got, err := w.Receipts(ctx, m.ID); !errors.As(err, &gone) {
			t.Errorf("%s: %v, %v", how, got, err)
		}
		if n := w.count("SELECT count(*) FROM receipt WHERE message = $1", [16]byte(m.ID)); n != 0 {
			t.Errorf("%s: %d receipts are left", how, n)
		}
	}
	if n, err := w.EraseContent(ctx, postgres.EraseOrder{Messages: []uuid.UUID{m.ID}, Ground: "152-FZ, art. 21", By: "operator duty", Confirmed: "operator head", At: w.now}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	ended(m, "erased")
	r := postgres.ContentRetention{Store: w.Store, Services: func() []string { return []string{old.Service} }, For: func(string, bool) time.Duration { return 30 * 24 * time.Hour },
		Ground: "order 7", Now: func() time.Time { return w.now.AddDate(0, 0, 40) }, Log: slog.New(slog.DiscardHandler)}
	if err := r.Once(ctx); err != nil {
		t.Fatal(err)
	}
	ended(old, "past its time")
}
