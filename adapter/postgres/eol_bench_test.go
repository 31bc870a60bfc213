package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/gather"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// BenchmarkEndOfLife takes messages of one queue that have ended out of it, requests that
// wait for an answer, which is accepted as the gateway does it: one iteration is one message.
// What has not ended stands before and behind them, and four that poll and acknowledge it,
// each two hundred times a second at most, are measured before they end, while they are taken
// out, and after that.
//
// They are taken out in turns. Between these nothing is, and as many processors as that took
// are kept busy by something that touches no row: what polls lose by sharing processors they
// lose there too, and what they lose by rows, locks and the log they do not. cpus are how many
// processors this process and the server keep busy.
//
// With a selector, what stands before them is as much again of another root element.
func BenchmarkEndOfLife(b *testing.B) {
	b.Run("any", func(b *testing.B) { benchmarkEndOfLife(b, false) })
	b.Run("selector", func(b *testing.B) { benchmarkEndOfLife(b, true) })
}

func benchmarkEndOfLife(b *testing.B, selector bool) {
	const polls, pollers, turns = 1000, 4, 5
	s := benchStore(b, 1)
	ctx := context.Background()
	j, _ := benchJournal(b, s)
	w := &endings{B: b, Store: s, Journal: j, root: extract}
	ends := time.Now().Add(time.Hour)
	if selector {
		w.roots = []adapter.QName{extract}
		w.root = adapter.QName{Space: "urn:x:other", Local: "Request"}
		w.put(1, time.Time{})
		if err := postgres.Deepen(ctx, s, "RRTR0", 0, b.N); err != nil {
			b.Fatal(err)
		}
		w.root = extract
	}
	w.put(polls+2*pollers, time.Time{}) // those that poll at once go on for a moment
	w.put(b.N, ends)
	if err := postgres.Deepen(ctx, s, "RRTR0", 0, 4*polls+b.N, extract); err != nil {
		b.Fatal(err)
	}
	if err := postgres.Settle(ctx, s); err != nil {
		b.Fatal(err)
	}
	w.calibrate()
	queue := func(now time.Time, over func(n int) bool) measured { return w.measure(now, pollers, over) }
	enough := func(n int) bool { return n >= polls }
	before := queue(time.Now(), enough)

	ended := ends.Add(time.Minute)
	while := func(work func()) measured {
		var over atomic.Bool
		go func() {
			defer over.Store(true)
			work()
		}()
		return queue(ended, func(int) bool { return over.Load() })
	}
	var during, beside measured
	b.ResetTimer()
	for n := range turns {
		one := while(func() { w.end(ended, b.N*(n+1)/turns, n == turns-1) })
		b.StopTimer()
		during.add(one)
		here, there := before.busy()
		own, server := one.busy()
		beside.add(while(func() { w.burn(max(own-here, 0), max(server-there, 0), one.lasted) }))
		b.StartTimer()
	}
	b.StopTimer()
	after := queue(ended, enough)
	b.ReportMetric(float64(b.N)/during.lasted.Seconds(), "ended/s")
	for _, m := range []struct {
		when string
		measured
	}{{"before", before}, {"during", during}, {"beside", beside}, {"after", after}} {
		if len(m.took) == 0 {
			return // it has been said why
		}
		slices.Sort(m.took)
		for _, part := range []int{50, 99} {
			b.ReportMetric(float64(m.took[len(m.took)*part/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", m.when, part))
		}
		own, server := m.busy()
		b.ReportMetric(own+server, m.when+"-cpus")
	}
}

// measured is how long polls took meanwhile, and how long processors were busy, of this
// process and the server.
type measured struct {
	took                []time.Duration
	lasted, own, server time.Duration
}

func (m *measured) add(o measured) {
	m.took = append(m.took, o.took...)
	m.lasted, m.own, m.server = m.lasted+o.lasted, m.own+o.own, m.server+o.server
}

// busy is how many processors were.
func (m *measured) busy() (own, server float64) {
	return m.own.Seconds() / m.lasted.Seconds(), m.server.Seconds() / m.lasted.Seconds()
}

// endings is a queue of which much ends.
type endings struct {
	*testing.B
	*postgres.Store
	*postgres.Journal

	root  adapter.QName   // of what is put there
	roots []adapter.QName // that are polled for

	told    int
	hash    float64 // seconds of a processor that one takes
	counted float64 // and one row that the server counts
}

// at does n things at a time.
func (w *endings) at(n int, f func(i int)) {
	var next atomic.Int64
	var g sync.WaitGroup
	for range 1024 {
		g.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	g.Wait()
}

// put brings messages into the queue.
func (w *endings) put(n int, eol time.Time) {
	w.at(n, func(int) {
		m := benchMessage(0)
		m.EOL, m.Root = eol, w.root
		if _, err := w.Accept(context.Background(), m, benchEvents(m)); err != nil {
			w.Error(err)
		}
	})
	relay(w.B, w.Store, func(out []adapter.Outgoing) error {
		for i := range out {
			out[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: time.Now(), Node: "node-1"}
		}
		return nil
	})
}

// measure polls until it is told that it is over.
func (w *endings) measure(now time.Time, pollers int, over func(n int) bool) measured {
	own, both := w.busy()
	began := time.Now()
	took := w.poll(now, pollers, over)
	lasted := time.Since(began)
	own1, both1 := w.busy()
	return measured{took, lasted, own1 - own, both1 - both - (own1 - own)}
}

// poll polls and acknowledges until it is told that it is over, and gives how long polls took.
func (w *endings) poll(now time.Time, pollers int, over func(n int) bool) (took []time.Duration) {
	ctx := context.Background()
	var mu sync.Mutex
	var g sync.WaitGroup
	for range pollers {
		g.Go(func() {
			for mu.Lock(); !over(len(took)); mu.Lock() {
				mu.Unlock()
				queue, began := adapter.Queue{System: "RRTR0", Kind: adapter.QueueRequests}, time.Now()
				d, err := w.Lease(ctx, adapter.Poll{Queue: queue, Now: now, For: 15 * time.Minute, Roots: w.roots, Event: journal.Event{Node: "node-1", Operation: "GetRequest"}})
				if err != nil || d == nil || !d.Message.EOL.IsZero() {
					w.Errorf("lease: %v %v", d, err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				if err := w.Ack(ctx, queue.System, d.Message.MessageID, now, journal.Event{Node: "node-1", Operation: "Ack"}, nil); err != nil {
					w.Error(err)
				}
				time.Sleep(time.Duration(pollers) * time.Second / 800)
			}
			mu.Unlock()
		})
	}
	g.Wait()
	return took
}

// end takes messages out until so many senders have been told, or all.
func (w *endings) end(now time.Time, upto int, all bool) {
	ctx := context.Background()
	for all || w.told < upto {
		began := time.Now()
		swept, err := w.Sweep(ctx, now)
		if err != nil {
			w.Fatal(err)
		}
		if !swept.More {
			return
		}
		gather.Aside(ctx, time.Since(began))
		gather.Apart(ctx, len(swept.Expired), func(i int) {
			of := &swept.Expired[i]
			m := benchMessage(0)
			m.Direction, m.Request, m.Original, m.Body = adapter.DirAsync, of.ID, of.MessageID, []byte(`{"status": "requestIsRejectedBySmev"}`)
			m.Recipients = []adapter.Queue{{System: of.Sender, Kind: adapter.QueueResponses}}
			if _, err := w.Accept(ctx, m, benchEvents(m)); err != nil {
				w.Error(err)
			}
		})
		w.told += len(swept.Expired)
	}
}

// busy gives the processor time of this process, and of this and the server.
func (w *endings) busy() (own, both time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		w.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), busy(w.B, w.Journal)
}

const someHashes, someRows = 2_000, 20_000

func someWork() {
	var sum [32]byte
	for range someHashes {
		sum = sha256.Sum256(sum[:])
	}
}

// calibrate finds out what burn has to do.
func (w *endings) calibrate() {
	const n = 50
	own, _ := w.busy()
	for range n {
		someWork()
	}
	did, both := w.busy()
	for range n {
		if err := postgres.CountRows(context.Background(), w.Store, someRows); err != nil {
			w.Fatal(err)
		}
	}
	after, all := w.busy()
	w.hash = (did - own).Seconds() / n
	w.counted = ((all - both) - (after - did)).Seconds() / n
}

// burn keeps as many processors busy here, and as many in the server.
func (w *endings) burn(own, server float64, long time.Duration) {
	var g sync.WaitGroup
	until := time.Now().Add(long)
	spread := func(share, each float64, work func()) {
		n := int(share) + 1
		for range n {
			g.Go(func() {
				period := time.Duration(each / (share / float64(n)) * float64(time.Second))
				for next := time.Now(); time.Now().Before(until); next = next.Add(period) {
					time.Sleep(time.Until(next))
					work()
				}
			})
		}
	}
	if own > 0.01 {
		spread(own, w.hash, someWork)
	}
	if server > 0.01 {
		spread(server, w.counted, func() {
			if err := postgres.CountRows(context.Background(), w.Store, someRows); err != nil {
				w.Error(err)
			}
		})
	}
	g.Wait()
}
