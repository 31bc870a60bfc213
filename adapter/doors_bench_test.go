package adapter_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// BenchmarkDoor makes single calls over connections that are kept, by callers who allocate
// nothing and sign before: what is counted is the gateway with its database's and its bus's
// clients. Beside time, of which most is waiting, it tells the process's processor time and
// how often it reads and writes, files and sockets, each call; the callers' share of that is
// a write and at most two reads.
func BenchmarkDoor(b *testing.B) {
	w := adaptertest.Start(b, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PerSecond = 1e6 }))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	b.Run("GetRequest", func(b *testing.B) {
		drain(b, w)
		polls := make([][]byte, b.N)
		for i := range polls {
			polls[i] = registry.BuildPoll(envelopes.GetRequest)
		}
		measure(b, w, polls)
	})
	b.Run("SendRequest", func(b *testing.B) { measure(b, w, requests(w, b.N)) })
	b.Run("Ack", func(b *testing.B) {
		sent, acks := make([][]byte, b.N), make([][]byte, b.N)
		for i := range acks {
			_, body, id := muni.BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
			sent[i], acks[i] = body, registry.BuildAck(id)
		}
		makeCalls(b, w, sent)()
		w.Eventually("all are handed out", func() bool { return drain(b, w) == 0 })
		measure(b, w, acks)
	})
}

// drain takes what waits for REGISTRY and says how much it was.
func drain(b *testing.B, w *adaptertest.World) (n int) {
	b.Helper()
	c := newCaller(b, w)
	defer c.Close()
	for poll := c.request(w.Party("REGISTRY").BuildPoll(envelopes.GetRequest)); ; n++ {
		answer, err := c.call(poll)
		if err != nil {
			b.Fatal(err)
		}
		if !bytes.Contains(answer, []byte("MessageMetadata>")) {
			return n
		}
	}
}

// measure makes the calls of a benchmark and says what they took.
func measure(b *testing.B, w *adaptertest.World, bodies [][]byte) {
	b.Helper()
	makeThem := makeCalls(b, w, bodies)
	b.ReportAllocs()
	b.ResetTimer()
	before := ownCosts(b)
	makeThem()
	b.StopTimer()
	after := ownCosts(b)
	per := func(what string, before, after float64) {
		b.ReportMetric((after-before)/float64(len(bodies)), what+"/op")
	}
	per("cpu-µs", before.micros, after.micros)
	per("reads", before.reads, after.reads)
	per("writes", before.writes, after.writes)
}

// makeCalls prepares calls; what it gives makes them, eight at a time.
func makeCalls(b *testing.B, w *adaptertest.World, bodies [][]byte) func() {
	b.Helper()
	callers := make([]*caller, 8)
	for i := range callers {
		callers[i] = newCaller(b, w)
		b.Cleanup(func() { callers[i].Close() })
	}
	calls := make([][]byte, len(bodies))
	for i := range calls {
		calls[i] = callers[0].request(bodies[i])
	}
	return func() {
		var next atomic.Int64
		var all sync.WaitGroup
		for _, c := range callers {
			all.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(calls); i = int(next.Add(1)) - 1 {
					if _, err := c.call(calls[i]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

// caller is one connection to the doors. It allocates nothing for a call.
type caller struct {
	net.Conn
	in []byte
}

func newCaller(b *testing.B, w *adaptertest.World) *caller {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	return &caller{conn, make([]byte, 64<<10)}
}

// request is a call as it goes over the wire.
func (c *caller) request(body []byte) []byte {
	return fmt.Appendf(nil, "POST /smev/v1.2/ws HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nContent-Type: %s\r\nContent-Length: %d\r\nAccept-Encoding: gzip\r\n\r\n%s",
		c.RemoteAddr(), envelopes.TextXML, len(body), body)
}

// call makes one and gives its answer, until the next.
func (c *caller) call(request []byte) (answer []byte, err error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	for has, all := 0, 0; ; {
		n, err := c.Read(c.in[has:])
		if has += n; err != nil {
			return nil, err
		}
		if head := bytes.Index(c.in[:has], []byte("\r\n\r\n")); head >= 0 && all == 0 {
			const length = "\r\nContent-Length: "
			said := c.in[bytes.Index(c.in[:has], []byte(length))+len(length) : head]
			for _, digit := range said[:bytes.IndexByte(append(said, '\r'), '\r')] {
				all = 10*all + int(digit-'0')
			}
			all += head + 4
		}
		if all > 0 && has >= all {
			if !bytes.HasPrefix(c.in, []byte("HTTP/1.1 200")) {
				return nil, fmt.Errorf("answered: %s", c.in[:has])
			}
			return c.in[:has], nil
		}
	}
}

// costs are what the process has taken so far.
type costs struct{ micros, reads, writes float64 }

func ownCosts(b *testing.B) (c costs) {
	b.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return c // this system counts elsewhere
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on: proc(5)
	for _, ticks := range fields[11:13] {
		n, _ := strconv.ParseFloat(ticks, 64)
		c.micros += n * float64(10*time.Millisecond/time.Microsecond)
	}
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return c
	}
	for line := range strings.Lines(string(io)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseFloat(number, 64)
		switch name {
		case "syscr":
			c.reads = n
		case "syscw":
			c.writes = n
		}
	}
	return c
}
