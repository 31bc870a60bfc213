// Package gather says how long a loop that carries calls to the database together waits
// for more of them. To set a statement up and to commit it costs as much as several of
// its rows, on both sides of the connection, so fewer and larger statements leave more of
// the processors for the messages themselves; but whoever waits for company is answered
// later. Which of the two counts depends on the load, and the load is seen in what the
// last statement was like:
//
//   - It carried one call: nobody else comes, and the next call goes at once.
//   - As many as it carried have come meanwhile: the company is there already.
//   - It carried a few and was quick: the processors have time left. To wait longer than a
//     statement takes would leave them idle, and each caller would be later for nothing.
//   - It carried many, or was slow because the processors are busy: calls wait for these
//     anyhow. Those that wait together wait no longer, and cost less.
//
// So the rest grows with both: see After. What is busy finds its own length, since longer
// rests make statements larger and the processors less busy, and those make it shorter. And
// a rest ends early when little is under way at the database, where all rest at once: see Rest.
//
// Work that nobody waits for is carried together as well, and steps aside for what somebody
// waits for: see Apart.
//
// The package decides nothing else: what comes first, what is committed and what a crash
// leaves is with those who gather.
package gather

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Enough is of how many calls a statement is large enough: what setting it up costs
	// has become a small part of it, and the next one need not wait for more.
	Enough = 32
	// Most is the longest rest. No caller is answered later than that for the sake of others.
	Most = 10 * time.Millisecond
	// share is for how many calls a loop rests as long as their statement took.
	share = 4
)

// After is the rest behind a statement of n calls that took that long, from when it was
// begun until its last caller was told, while so many are waiting for the next one.
func After(n, waiting int, took time.Duration) time.Duration {
	if n <= 1 || n >= Enough || waiting >= n {
		return 0
	}
	return min(took*time.Duration(n)/share, Most)
}

// underWay counts the statements of all loops. The processors are the process's, and so is it.
var underWay atomic.Int64

// Begin says that a loop's statement is under way, until End.
func Begin() { underWay.Add(1) }

// End is the other side of Begin.
func End() { underWay.Add(-1) }

// look is how long a rest lasts at least before it looks whether it still serves anybody: a
// caller who has its answer comes with its next call by then.
const look = 400 * time.Microsecond

// Rest waits that long, or until fewer statements are under way than there are processors:
// what these would do next waits for this rest to end, or for another.
func Rest(d time.Duration) {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, look))
		if left > look && int(underWay.Load()) < runtime.GOMAXPROCS(0) {
			return
		}
	}
}

const (
	// Together is how many things that nobody waits for are done at a time. Each statement
	// is a write to the disk for which the commits of others wait, so it carries many; of too
	// many others would wait for the statement.
	Together = 4 * Enough
	// mostAside is the longest rest from such work.
	mostAside = time.Second
)

// Aside rests from work that nobody waits for, which took that long: the busier the
// processors, the longer. It ends with ctx.
func Aside(ctx context.Context, took time.Duration) {
	rest := time.NewTimer(min(took/2, mostAside))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
	}
}

// Apart does n things that nobody waits for, some together, with rests between them. When
// ctx ends it begins no more.
func Apart(ctx context.Context, n int, do func(i int)) {
	for from := 0; from < n && ctx.Err() == nil; from += Together {
		began := time.Now()
		var some sync.WaitGroup
		for i := from; i < min(from+Together, n); i++ {
			some.Go(func() { do(i) })
			runtime.Gosched() // to it, and to whoever else is ready: so few are before him
		}
		some.Wait()
		Aside(ctx, time.Since(began))
	}
}
