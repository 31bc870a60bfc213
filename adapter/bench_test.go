package adapter_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// BenchmarkAccept posts signed requests of some 4 KB (ECDSA) over HTTP, 32 at a
// time, on the private PostgreSQL without fsync. What is measured is the
// gateway, its database and its bus together; the envelopes are signed before.
func BenchmarkAccept(b *testing.B) {
	w := adaptertest.Start(b, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PerSecond = 1e6 }))
	bodies := requests(w, b.N)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var next, bad atomic.Int64
	b.SetBytes(int64(len(bodies[0])))
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := client.Post(w.URL+"/ws", envelopes.TextXML, bytes.NewReader(bodies[next.Add(1)-1]))
			if err != nil || resp.StatusCode != 200 {
				bad.Add(1)
			}
			if err == nil {
				io.Copy(io.Discard, resp.Body) // or the connection is not used again
				resp.Body.Close()
			}
		}
	})
	b.StopTimer()
	if bad.Load() > 0 {
		b.Fatalf("%d calls failed", bad.Load())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
}

// requests are n signed requests of some 4 KB.
func requests(w *adaptertest.World, n int) [][]byte {
	muni := w.Party("MUNI")
	padding := "<!--" + strings.Repeat("x", 1500) + "-->"
	content := strings.Replace(adaptertest.Content(adaptertest.Extract1), "><e:", ">"+padding+"<e:", 1)
	bodies := make([][]byte, n)
	for i := range bodies {
		_, bodies[i], _ = muni.BuildRequest(adaptertest.Request{Content: content})
	}
	return bodies
}

// BenchmarkJournalShareOfGateway is what the journal takes of a gateway's accepts:
// the same calls with the sequencer standing still and at work, turn by turn. A
// turn ends when all its messages are accepted, on the bus and in their queues,
// and, with the sequencer, in the log: three entries a message.
func BenchmarkJournalShareOfGateway(b *testing.B) {
	w := adaptertest.Start(b, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PerSecond = 1e6 }))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	const turns, each, callers = 12, 4000, 32
	var took, used [2]time.Duration
	var shares []float64 // of time, of neighbours: the machine's pace changes from turn to turn
	var before time.Duration
	queued := 0
	for range b.N {
		for turn := range turns {
			on := (turn + turn/2) % 2 // off, on, on, off: what grows in the run weighs on both alike
			bodies := requests(w, each)
			w.Sequence()
			runtime.GC()
			began, worked := time.Now(), processorTime(b)
			stop := func() {}
			if on == 1 {
				stop = w.StartSequencer()
			}
			var next atomic.Int64
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for i := next.Add(1) - 1; i < each; i = next.Add(1) - 1 {
						resp, err := client.Post(w.URL+"/ws", envelopes.TextXML, bytes.NewReader(bodies[i]))
						if err != nil || resp.StatusCode != 200 {
							b.Error("a call failed", err)
							return
						}
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			all.Wait()
			queued += each
			w.AwaitQueued(queued)
			stop()
			this := time.Since(began)
			took[on] += this
			used[on] += processorTime(b) - worked
			if turn%2 == 1 {
				off, with := before, this
				if on == 0 {
					off, with = this, before
				}
				shares = append(shares, 100*(1-off.Seconds()/with.Seconds()))
			}
			before = this
		}
	}
	rate := func(on int) float64 { return turns / 2 * each * float64(b.N) / took[on].Seconds() }
	b.ReportMetric(rate(0), "accepts/s-off")
	b.ReportMetric(rate(1), "accepts/s-on")
	slices.Sort(shares)
	b.ReportMetric(shares[len(shares)/2], "%-lost")
	b.ReportMetric(100*(1-used[0].Seconds()/used[1].Seconds()), "%-cpu")
}

// processorTime is what the whole machine has worked so far: the sessions of the
// private PostgreSQL come and go and cannot be asked one by one. On a machine
// that others use the share means little.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Skip("the share of processor time is read from /proc/stat")
	}
	var user, nice, system int64
	if _, err := fmt.Sscanf(string(stat), "cpu %d %d %d", &user, &nice, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+nice+system) * 10 * time.Millisecond
}
