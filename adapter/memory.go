package adapter

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"
)

// Memory is what all that comes in through the doors of a process may hold at
// once: bodies, the tapes that they are parsed onto, which can be many times as
// large, and the copies that are made while nobody knows yet who calls. What a
// step will hold is told before it holds it.
//
// Strangers can have half of it, however many they are, and one caller a quarter.
// The last eighths are for small calls, and where even one of middle size finds no
// room, bodies that have been coming for longest are cut off: whoever trickles many of
// them holds nothing for long, so that whatever is sent, a registered party's
// ordinary message finds room.
type Memory struct {
	most, half, share int64
	now               func() time.Time // of the machine: only durations are taken
	patience          time.Duration

	mu    sync.Mutex
	held  int64
	by    map[string]int64 // by caller; only those that hold something
	slow  list.List        // of *Holding whose bodies are coming, the oldest first
	freed chan struct{}    // closed when something is given back; nil: nobody waits for it
	peak  int64            // since memory was last given back to the system

	// heavy are the places of large calls whose sender is not known. Few are at
	// work at once, so that they do not take the processors from everybody else.
	heavy chan struct{}
}

// Sizes of calls, with all that they hold: ordinary ones, and those for which
// there is room while strangers have filled theirs.
const (
	smallCall  = 128 << 10
	middleCall = 1 << 20
)

// memoryPatience is how long a call waits for room before it is told to come again.
const memoryPatience = time.Second

// trickling is how long a body may be coming before it gives way to others where
// there is no room. An ordinary one comes within some milliseconds.
const trickling = 100 * time.Millisecond

// NewMemory makes the memory of a process. There is always room for two bodies,
// because a buffer that grows stands there twice.
func NewMemory(c LimitsConfig) *Memory {
	c = Config{Limits: c}.WithDefaults().Limits
	bodies := 2 * (int64(c.Body) + 1)
	return &Memory{
		most: int64(c.Memory), half: max(int64(c.Memory)/2, bodies), share: max(int64(c.Memory)/4, bodies),
		now: time.Now, patience: memoryPatience, by: map[string]int64{},
		heavy: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)),
	}
}

// Holding is what one call holds. It is used by one goroutine at a time; give it
// back with Release.
type Holding struct {
	m     *Memory
	who   string
	known bool
	bytes int64
	heavy bool

	// away gives the call's place among those at work to others while it waits, and takes
	// one again. Nil: it has none.
	away interface {
		leave()
		back()
	}

	cut    func()        // ends the coming of its body
	coming *list.Element // its place in Memory.slow; nil: all has come, or it was cut off
	since  time.Time
	gone   bool // it was cut off: what it held counts no more, and it holds nothing again
}

// ErrNoRoom says that others hold too much just now.
var ErrNoRoom = errors.New("too much is being received at once")

// TooMuchError says that a call would never find room.
type TooMuchError struct{ Bytes, Most int64 }

func (e *TooMuchError) Error() string {
	return fmt.Sprintf("%d bytes of memory are needed, %d are allowed to one call", e.Bytes, e.Most)
}

// Begin opens the account of a call. who is its caller, as far as that is known;
// known says that it was proved.
func (m *Memory) Begin(who string, known bool) *Holding {
	h := m.begin(who, known)
	return &h
}

func (m *Memory) begin(who string, known bool) Holding {
	return Holding{m: m, who: who, known: known}
}

// Coming says that the body of the call begins to come. While it comes, cut may be
// called, once and with the memory locked, to end that.
func (h *Holding) Coming(cut func()) {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	h.cut, h.since = cut, m.now()
	h.coming = m.slow.PushBack(h)
}

// Came says that no more of the body comes, and gives whether it was cut off.
func (h *Holding) Came() (cut bool) {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	h.stop()
	return h.gone
}

func (h *Holding) stop() {
	if h.coming != nil {
		h.m.slow.Remove(h.coming)
		h.coming = nil
	}
}

// makeRoom cuts off what has been coming for long, from who or from anybody, until n
// bytes are free for a call. Those who are cut off are on their way out and need
// not have left when their room is given away: there would always be others who wait
// for it.
func (m *Memory) makeRoom(n int64, to *Holding, who string) {
	for e := m.slow.Front(); e != nil && n > 0; {
		h := e.Value.(*Holding)
		e = e.Next()
		if m.now().Sub(h.since) < trickling {
			return
		}
		if h == to || h.bytes == 0 || who != "" && who != h.who {
			continue
		}
		n -= h.bytes
		m.held -= h.bytes
		m.move(h.who, -h.bytes)
		h.stop()
		h.bytes, h.gone = 0, true
		h.cut()
	}
}

// Prove says that the caller is known now.
func (h *Holding) Prove(who string) {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move(h.who, -h.bytes)
	h.who, h.known = who, true
	m.move(h.who, h.bytes)
	h.leave()
}

// Hold makes the call hold n bytes in all, waiting a little for room. The error is
// ErrNoRoom, or says that so much never has room.
func (h *Holding) Hold(ctx context.Context, n int64) error {
	m := h.m
	if n > h.bytes && n > smallCall {
		if most := min(m.share, m.ceiling(n, h.known)); n > most {
			return &TooMuchError{n, most}
		}
	}
	var patience <-chan time.Time
	for {
		m.mu.Lock()
		if h.gone {
			m.mu.Unlock()
			return ErrNoRoom
		}
		if n <= middleCall {
			m.makeRoom(m.held+n-h.bytes-m.ceiling(n, h.known), h, "")
			m.makeRoom(m.by[h.who]+n-h.bytes-m.share, h, h.who)
		}
		if m.admits(h, n) {
			m.held += n - h.bytes
			m.peak = max(m.peak, m.held)
			m.move(h.who, n-h.bytes)
			if n < h.bytes {
				m.ring()
			}
			h.bytes = n
			m.mu.Unlock()
			return nil
		}
		if m.freed == nil {
			m.freed = make(chan struct{})
		}
		freed := m.freed
		m.mu.Unlock()
		if patience == nil {
			t := time.NewTimer(m.patience)
			defer t.Stop()
			patience = t.C
			if h.away != nil {
				h.away.leave()
				defer h.away.back()
			}
		}
		select {
		case <-freed:
		case <-patience:
			return ErrNoRoom
		case <-ctx.Done():
			return ErrNoRoom
		}
	}
}

// ReadBody reads a body of at most limit bytes into buf, which grows with what has come,
// not with what was announced (-1: nothing was). Whoever calls it sees to it that no more
// than that can be read. The error is that of Hold or of r; what has been read comes with it.
func (h *Holding) ReadBody(ctx context.Context, buf []byte, r io.Reader, limit, announced int64) ([]byte, error) {
	most := int(limit) + 1 // one more, so that the end of a body of full length is seen
	buf = buf[:0]
	if err := h.Hold(ctx, int64(cap(buf))); err != nil {
		return buf, err
	}
	for {
		if len(buf) == cap(buf) {
			larger := growth(cap(buf), most, announced)
			if err := h.Hold(ctx, int64(cap(buf)+larger)); err != nil { // both stand there while one is copied
				return buf, err
			}
			buf = append(make([]byte, 0, larger), buf...)
			if err := h.Hold(ctx, int64(larger)); err != nil {
				return buf, err
			}
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// growth is the size of the next buffer of a body that has filled one of size
// bytes. The last one is as large as was announced, and a byte more in which the
// end is seen.
func growth(size, most int, announced int64) int {
	larger := min(max(2*size, 8<<10), most)
	if full := announced + 1; announced >= 0 && full <= int64(most) && full > int64(size) && int64(larger) > full/2 {
		larger = int(full)
	}
	return larger
}

// Release gives back what is held.
func (h *Holding) Release() {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= h.bytes
	m.move(h.who, -h.bytes)
	if h.bytes > 0 {
		m.ring()
	}
	h.bytes = 0
	h.leave()
}

// enter waits for a place among the large calls, if this is one of a stranger.
func (h *Holding) enter(ctx context.Context) error {
	if h.known || h.heavy || h.bytes <= middleCall {
		return nil
	}
	select {
	case h.m.heavy <- struct{}{}:
		h.heavy = true
		return nil
	default:
	}
	if h.away != nil {
		h.away.leave()
		defer h.away.back()
	}
	t := time.NewTimer(h.m.patience)
	defer t.Stop()
	select {
	case h.m.heavy <- struct{}{}:
		h.heavy = true
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	return ErrNoRoom
}

func (h *Holding) leave() {
	if h.heavy {
		h.heavy = false
		<-h.m.heavy
	}
}

// ceiling is up to where a call of n bytes may fill the memory.
func (m *Memory) ceiling(n int64, known bool) int64 {
	switch {
	case n <= smallCall:
		return m.most
	case known:
		return m.most / 8 * 7
	case n <= middleCall:
		return m.most / 4 * 3
	}
	return m.half
}

func (m *Memory) admits(h *Holding, n int64) bool {
	more := n - h.bytes
	return more <= 0 || m.held+more <= m.ceiling(n, h.known) && m.by[h.who]+more <= m.share
}

func (m *Memory) move(who string, n int64) {
	if m.by[who] += n; m.by[who] == 0 {
		delete(m.by, who)
	}
}

func (m *Memory) ring() {
	if m.freed != nil {
		close(m.freed)
		m.freed = nil
	}
}

// Held is what all calls hold now.
func (m *Memory) Held() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// Keep holds the memory of the whole process near what its calls hold, until ctx
// ends: the collector is told how large the heap may become beside what it has at
// rest, and after a flood what is left over goes back to the system. It is for
// the program that runs a gateway. Where GOMEMLIMIT is set, that limit stands, and
// where GOGC is, that percentage.
func (m *Memory) Keep(ctx context.Context) error {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	var rest, cycles, flood, before int64
	percent, busy, quiet := 0, false, 0
	for n := 0; sleep(ctx, time.Second); n++ {
		runtimemetrics.Read(sample)
		live, cycle := int64(sample[0].Value.Uint64()), int64(sample[1].Value.Uint64())
		m.mu.Lock()
		held, peak := m.held, m.peak
		flood = max(flood, peak)
		m.peak = held
		m.mu.Unlock()
		if cycle != cycles {
			// The live bytes are those of a moment in which calls held no more than
			// the peak of this second or of the one before.
			if top := max(peak, before); top < 16<<20 {
				rest = live
			} else {
				rest = max(rest, live-top)
			}
			cycles = cycle
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(m.most + rest + 64<<20)
			}
			busy, quiet = busy || quiet <= 2, 0
		}
		if quiet++; quiet > 10 {
			busy = false
		}
		if p := m.gcPercent(live, busy); p != percent && cycles > 0 && os.Getenv("GOGC") == "" {
			percent = p
			debug.SetGCPercent(percent)
		}
		before = peak
		if flood >= 32<<20 && held <= flood/8 && n%5 == 0 {
			flood = held
			runtime.GC() // what pools keep survives one collection
			debug.FreeOSMemory()
		}
	}
	return nil
}

// gcPercent is how much the heap may grow before it is collected, in percent of what
// was live. The runtime's 100 is for heaps of any size; ours is mostly some 20 to 50 MB,
// and a gateway under load would collect it several times a second, a sixth of its work.
// So a small heap may grow by about the bytes that it would anyhow if it were large, and
// while collections follow one another within seconds (busy) by more, up to what calls may
// hold, which the process is bounded by anyhow (Keep).
func (m *Memory) gcPercent(live int64, busy bool) int {
	growth, most := int64(96<<20), int64(400)
	if busy {
		growth, most = max(growth, min(512<<20, m.most)), 2800
	}
	return int(min(max(100*growth/max(live, 1), 100), most)) / 25 * 25 // not anew for every few bytes
}

// spareBytes is the largest buffer of a call that is kept for the next one.
const spareBytes = 256 << 10

// spare tells whether what a call leaves behind is kept for the next one.
func (s *scratch) spare() bool {
	return cap(s.body) <= spareBytes && s.tape.Size() <= 4*spareBytes
}
