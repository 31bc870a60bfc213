package postgres

import (
	"sync"
	"testing"
)

// Calls about one thing share runs and are all told; calls about another thing do
// not wait for them.
func TestLine(t *testing.T) {
	type call struct{ done chan int }
	var mu sync.Mutex
	runs := map[string]int{}
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l := line[string, call]{}
	l.run = func(key string, batch []call) {
		mu.Lock()
		runs[key]++
		mu.Unlock()
		if key == "slow" {
			once.Do(func() { close(held); <-release })
		}
		if len(batch) > lineBatch {
			t.Errorf("%d calls in a run", len(batch))
		}
		for _, c := range batch {
			c.done <- len(batch)
		}
	}
	join := func(key string) call {
		c := call{done: make(chan int, 1)}
		l.join(key, c)
		return c
	}
	first := join("slow")
	<-held
	if got := <-join("quick").done; got != 1 {
		t.Errorf("the quick one went with %d others", got-1)
	}
	var rest []call
	for range lineBatch + 6 {
		rest = append(rest, join("slow"))
	}
	close(release)
	if got := <-first.done; got != 1 {
		t.Errorf("the first went with %d others", got-1)
	}
	sizes := map[int]int{}
	for _, c := range rest {
		sizes[<-c.done]++
	}
	if sizes[lineBatch] != lineBatch || sizes[6] != 6 {
		t.Errorf("the rest went as %v", sizes)
	}
	l.working.Wait()
	if runs["slow"] != 3 || len(l.waiting) != 0 {
		t.Errorf("%d runs, %d lines left behind", runs["slow"], len(l.waiting))
	}
}
