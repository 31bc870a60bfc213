package gather

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAfter(t *testing.T) {
	for _, c := range []struct {
		n, waiting int
		took, want time.Duration
	}{
		{0, 0, time.Second, 0},
		{1, 0, time.Second, 0}, // alone
		{2, 0, time.Millisecond, time.Millisecond / 2},
		{8, 0, time.Millisecond, 2 * time.Millisecond},
		{8, 7, 2 * time.Millisecond, 4 * time.Millisecond},
		{8, 8, 2 * time.Millisecond, 0}, // the company is there
		{Enough - 1, 0, time.Millisecond, (Enough - 1) * time.Millisecond / share},
		{8, 0, time.Hour, Most},
		{Enough, 0, time.Hour, 0},
	} {
		if got := After(c.n, c.waiting, c.took); got != c.want {
			t.Errorf("%d calls that took %s, %d waiting: %s, want %s", c.n, c.took, c.waiting, got, c.want)
		}
	}
}

// A rest spares the processors only while they have enough to do.
func TestRest(t *testing.T) {
	const whole = 20 * look
	synctest.Test(t, func(t *testing.T) {
		rested := func() time.Duration {
			began := time.Now()
			Rest(whole)
			return time.Since(began)
		}
		if took := rested(); took != look {
			t.Errorf("nothing is under way: a rest of %s, want %s", took, look)
		}
		for range runtime.GOMAXPROCS(0) {
			Begin()
		}
		if took := rested(); took != whole {
			t.Errorf("as much is under way as there are processors: a rest of %s, want %s", took, whole)
		}
		time.AfterFunc(whole/2, End)
		if took := rested(); took < whole/2 || took > whole/2+look {
			t.Errorf("one of them has ended: a rest of %s, want about %s", took, whole/2)
		}
		for range runtime.GOMAXPROCS(0) - 1 {
			End()
		}
		began := time.Now()
		if Rest(look / 2); time.Since(began) != look/2 {
			t.Errorf("a short rest is of %s, want %s", time.Since(began), look/2)
		}
		if n := underWay.Load(); n != 0 {
			t.Errorf("%d are under way at the end", n)
		}
	})
}

// Exchanges are played through a gateway of two processors, in time of their own. Where
// few are under way the rest must be short, because they would wait while the processors
// do nothing; where many are, it must be long, because the processors are what they wait
// for. A rest of one length is wrong at one of the ends.
func TestRestFindsItsLength(t *testing.T) {
	always := func(rest time.Duration) rule {
		return func(n, _ int, _ time.Duration) time.Duration {
			if n <= 1 {
				return 0
			}
			return rest
		}
	}
	short, long := always(3*time.Millisecond), always(10*time.Millisecond)

	few := [3]played{play(t, 16, After), play(t, 16, short), play(t, 16, long)}
	some := [3]played{play(t, 64, After), play(t, 64, short), play(t, 64, long)}
	many := [3]played{play(t, 256, After), play(t, 256, short), play(t, 256, long)}
	t.Logf("ours, short, long: 16 senders %v, 64 %v, 256 %v", few, some, many)
	if few[0].rate < 1.05*few[1].rate || few[0].rate < 1.3*few[2].rate {
		t.Errorf("16 senders: %v a second, want more than with a short rest, %v, and a long one, %v", few[0], few[1], few[2])
	}
	if some[0].rate < 0.95*some[1].rate || some[0].rate < 1.05*some[2].rate {
		t.Errorf("64 senders: %v a second, want as many as with a short rest, %v, and more than with a long one, %v", some[0], some[1], some[2])
	}
	// The processors are full with either, and who of several comes first is chance.
	if many[0].rate < 0.98*many[1].rate || many[0].statements > 0.95*many[1].statements {
		t.Errorf("256 senders: %v, want as many exchanges, of fewer statements, as with a short rest, %v", many[0], many[1])
	}
	if alone := play(t, 1, After); alone.rested > 0 {
		t.Errorf("one sender waited for company: %s in all", alone.rested)
	}
}

type rule func(n, waiting int, took time.Duration) time.Duration

// played is what came of a run: exchanges a second, statements each.
type played struct {
	rate, statements float64
	rested           time.Duration
}

// processors are shared in slices. The database's work is done before the rest, as an
// operating system prefers whoever sleeps much.
type processors struct {
	mu     sync.Mutex
	free   int
	before []chan struct{}
	after  []chan struct{}
}

const slice = 250 * time.Microsecond

func (p *processors) work(d time.Duration, first bool) {
	for d > 0 {
		now := min(d, slice)
		p.take(first)
		time.Sleep(now)
		p.give()
		d -= now
	}
}

func (p *processors) take(first bool) {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	if first {
		p.before = append(p.before, turn)
	} else {
		p.after = append(p.after, turn)
	}
	p.mu.Unlock()
	<-turn
}

func (p *processors) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := &p.before
	if len(p.before) == 0 {
		row = &p.after
	}
	if len(*row) == 0 {
		p.free++
		return
	}
	close((*row)[0])
	*row = (*row)[1:]
}

// loop carries calls of one kind to the database.
type loop struct {
	on          *processors
	rest        rule
	setup, each time.Duration // of the processors
	disk        time.Duration
	answer      time.Duration // that each caller makes while the transaction is open, before a second statement

	mu      sync.Mutex
	busy    bool
	waiting []chan struct{}
	runs    int
	rested  time.Duration
}

func (l *loop) call() {
	done := make(chan struct{})
	l.mu.Lock()
	l.waiting = append(l.waiting, done)
	if !l.busy {
		l.busy = true
		go l.run()
	}
	l.mu.Unlock()
	<-done
}

func (l *loop) run() {
	for {
		l.mu.Lock()
		batch := l.waiting[:min(2*Enough, len(l.waiting))]
		l.waiting = l.waiting[len(batch):]
		if len(batch) == 0 {
			l.busy = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		began := time.Now()
		l.statement(len(batch))
		if l.answer > 0 {
			var answers sync.WaitGroup
			for range batch {
				answers.Go(func() { l.on.work(l.answer, false) })
			}
			answers.Wait()
			l.statement(len(batch))
		}
		time.Sleep(l.disk)
		l.on.work(80*time.Microsecond, true)
		for _, done := range batch {
			close(done)
		}
		l.mu.Lock()
		rest := l.rest(len(batch), len(l.waiting), time.Since(began))
		l.runs, l.rested = l.runs+1, l.rested+rest
		l.mu.Unlock()
		time.Sleep(rest)
	}
}

func (l *loop) statement(n int) {
	l.on.work(80*time.Microsecond+l.setup+time.Duration(n)*l.each, true)
}

// play has senders play exchanges for three seconds: a request, its way to the provider,
// who acknowledges and answers it, and the answer's way back.
func play(t *testing.T, senders int, rest rule) (out played) {
	const us = time.Microsecond
	const long = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		on := &processors{free: 2}
		accepts := &loop{on: on, rest: rest, setup: 170 * us, each: 30 * us, disk: 1200 * us}
		acks := &loop{on: on, rest: rest, setup: 120 * us, each: 20 * us, disk: 1200 * us}
		var relays, polls [2]*loop
		for way := range 2 {
			relays[way] = &loop{on: on, rest: rest, setup: 300 * us, each: 90 * us, disk: 2000 * us}
			polls[way] = &loop{on: on, rest: rest, setup: 100 * us, each: 15 * us, answer: 250 * us, disk: 1200 * us}
		}
		ctx, stop := context.WithTimeout(context.Background(), long)
		defer stop()
		var working sync.WaitGroup
		queues := [2]chan struct{}{make(chan struct{}, senders), make(chan struct{}, senders)}
		free := make(chan struct{}, senders)
		for range senders {
			free <- struct{}{}
		}
		each := func(n int, of chan struct{}, work func()) {
			for range n {
				working.Go(func() {
					for {
						select {
						case <-of:
							work()
						case <-ctx.Done():
							return
						}
					}
				})
			}
		}
		send := func(way int) {
			on.work(450*us, false)
			accepts.call()
			on.work(100*us, false)
			working.Go(func() { relays[way].call(); queues[way] <- struct{}{} })
		}
		take := func(way int) {
			on.work(150*us, false)
			polls[way].call()
			on.work(100*us, false)
		}
		acknowledge := func() {
			on.work(200*us, false)
			acks.call()
			on.work(50*us, false)
		}
		var mu sync.Mutex
		done := 0
		each(max(senders/4, 1), free, func() { send(0) })
		each(max(senders/4, 1), queues[0], func() { take(0); send(1); acknowledge() })
		each(max(senders/4, 1), queues[1], func() {
			take(1)
			acknowledge()
			mu.Lock()
			done++
			mu.Unlock()
			free <- struct{}{}
		})
		working.Wait()
		time.Sleep(time.Second) // the last rests
		runs := 0
		for _, l := range []*loop{accepts, acks, relays[0], relays[1], polls[0], polls[1]} {
			l.mu.Lock()
			runs, out.rested = runs+l.runs, out.rested+l.rested
			l.mu.Unlock()
		}
		out.rate, out.statements = float64(done)/long.Seconds(), float64(runs)/float64(done)
	})
	return out
}

// What nobody waits for is done in parts, each thing once, with a rest behind each that is
// longer where the processors are busy; the end of the context ends it.
func TestApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, takes = 3*Together - 5, 10 * time.Millisecond
		var mu sync.Mutex
		did, at, most := make([]int, n), 0, 0
		began := time.Now()
		Apart(t.Context(), n, func(i int) {
			mu.Lock()
			at++
			did[i]++
			most = max(most, at)
			mu.Unlock()
			time.Sleep(takes)
			mu.Lock()
			at--
			mu.Unlock()
		})
		for i, times := range did {
			if times != 1 {
				t.Errorf("%d was done %d times", i, times)
			}
		}
		if took, want := time.Since(began), 3*(takes+takes/2); most != Together || took != want {
			t.Errorf("%d at a time, in %s; want %d in %s", most, took, Together, want)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := 0
		Apart(ctx, n, func(int) {
			mu.Lock()
			defer mu.Unlock()
			done++
			stop()
		})
		if done != Together {
			t.Errorf("%d were done when the context ended in the first part, want %d", done, Together)
		}
	})
}
