package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

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
				if firsts[i], err = nodes[i%2].FirstUse(ctx, mark, operation, w.now.Add(time.Minute)); err != nil {
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
