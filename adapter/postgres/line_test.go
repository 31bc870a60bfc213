package postgres

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mezhved/adapter/gather"
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

// A call that comes alone goes at once. Behind a run of several the next one waits for
// company, once, and no longer than that run was at the database, while others are at work.
func TestLineGathers(t *testing.T) {
	for range runtime.GOMAXPROCS(0) { // the processors have enough to do
		gather.Begin()
		defer gather.End()
	}
	synctest.Test(t, func(t *testing.T) {
		const work = 8 * time.Millisecond
		var sizes []int
		l := line[string, time.Time]{}
		l.run = func(_ string, batch []time.Time) {
			sizes = append(sizes, len(batch))
			time.Sleep(work) // at the database
		}
		join := func() { l.join("queue", time.Now()) }
		join()
		synctest.Wait()
		if !slices.Equal(sizes, []int{1}) {
			t.Fatalf("runs of %v, want the call that came alone at work", sizes)
		}
		join()
		join()
		time.Sleep(work) // the first run ends and that of the two begins
		synctest.Wait()
		if !slices.Equal(sizes, []int{1, 2}) {
			t.Fatalf("runs of %v, want one and then two", sizes)
		}
		join()
		rest := gather.After(2, 0, work)
		time.Sleep(work + rest/2)
		join() // while the third waits for company
		time.Sleep(rest)
		synctest.Wait()
		if !slices.Equal(sizes, []int{1, 2, 2}) {
			t.Errorf("runs of %v, want the last two calls in one", sizes)
		}
		l.working.Wait()
	})
}
