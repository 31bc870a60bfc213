package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

// All nodes agree on the operation that a poll came with first, however many hear
// of it at the same time, and forget it when it is too old to come again.
func TestFirstUse(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	nodes := []*postgres.Store{w.Store, w.another(postgres.Options{})}
	for n := range 20 {
		mark := [32]byte{byte(n)}
		var wg sync.WaitGroup
		firsts := make([]string, 16)
		for i := range firsts {
			wg.Go(func() {
				var err error
				operation := []string{"GetRequest", "GetResponse", "GetStatus"}[i%3]
				if firsts[i], err = nodes[i%2].FirstUse(ctx, adapter.Use{Mark: mark, Operation: operation, Until: w.now.Add(time.Minute)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, f := range firsts {
			if f == "" || f != firsts[0] {
				t.Fatalf("first uses %v, want one for all", firsts)
			}
		}
	}
	if _, err := w.Sweep(ctx, w.now.Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := w.count("SELECT count(*) FROM poll_use"); got != 20 {
		t.Errorf("%d polls are remembered, want 20", got)
	}
	if _, err := w.Sweep(ctx, w.now.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := w.count("SELECT count(*) FROM poll_use"); got != 0 {
		t.Errorf("%d polls outlive their window", got)
	}
}

// A poll that came as something else before is given nothing, and takes nothing from
// those that are served with it.
func TestLeaseHoldsUses(t *testing.T) {
	w := open(t)
	ctx := context.Background()
	use := func(n byte, operation string) adapter.Use {
		return adapter.Use{Mark: [32]byte{n}, Operation: operation, Until: w.now.Add(time.Minute)}
	}
	captured := use(1, "GetResponse")
	poll := func(u adapter.Use) (*adapter.Delivery, error) {
		return w.Lease(ctx, adapter.Poll{Queue: rosreestr, Now: w.now, For: time.Minute, Use: u})
	}
	if d, err := poll(captured); d != nil || err != nil { // a queue that nobody has ever filled
		t.Fatalf("%v, %v", d, err)
	}
	w.put(w.message(), w.message(), w.message())
	polls := []adapter.Use{use(2, "GetRequest"), use(1, "GetRequest"), use(3, "GetRequest"), captured}
	errs, got := make([]error, len(polls)), make([]*adapter.Delivery, len(polls))
	var wg sync.WaitGroup
	for i, u := range polls {
		wg.Go(func() { got[i], errs[i] = poll(u) })
	}
	wg.Wait()
	var used *adapter.UsedError
	if !errors.As(errs[1], &used) || used.First != "GetResponse" || got[1] != nil {
		t.Errorf("the captured poll as another operation: %v, %v; want a UsedError that names GetResponse", got[1], errs[1])
	}
	for _, i := range []int{0, 2, 3} {
		if errs[i] != nil || got[i] == nil || got[i].Attempt != 1 {
			t.Errorf("poll %d: %+v, %v; want a message, handed out the first time", i, got[i], errs[i])
		}
	}
	if n := w.count("SELECT count(*) FROM queue WHERE attempts = 1"); n != 3 {
		t.Errorf("%d messages are out, want 3", n)
	}
}

// What accepts, relays, polls and acknowledgements run is planned once for a session, not
// each time.
func TestStatementsOfEachMessageArePlannedOnce(t *testing.T) {
	w := open(t)
	for range 12 { // PostgreSQL makes up its mind after five
		m := w.message()
		w.put(m)
		w.lease(adapter.Poll{})
		if err := w.ack(m.MessageID); err != nil {
			t.Fatal(err)
		}
	}
	if n := postgres.PlannedAnew(t, w.Store); n != 0 {
		t.Errorf("%d statements were planned for their values, want none", n)
	}
}
