package oplog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// page keeps what was written.
type page struct {
	mu  sync.Mutex
	buf bytes.Buffer
	err error // of every write
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	return p.buf.Write(b)
}

func (p *page) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *page) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Split(strings.TrimSuffix(p.buf.String(), "\n"), "\n")
}

// clock is moved by the test; the log's own ticker sleeps for an hour.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func open(w io.Writer) (*Log, *clock) {
	c := &clock{at: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	return Open(w, Options{Every: time.Hour, Now: c.now}), c
}

// A hundred thousand foreign records are one line at once and one line an hour
// that says how many more there were; refusals of one reason do not hide those
// of another.
func TestWhatCanBeCausedAtWillIsCounted(t *testing.T) {
	p := &page{}
	l, c := open(p)
	log := l.Logger()
	for i := range 100_000 {
		log.Warn("a foreign record", "offset", i)
	}
	for i := range 50 {
		log.Info("call refused", "reason", "content", "incident", i)
	}
	log.Info("call refused", "reason", "xml", "incident", 50)
	c.advance(time.Hour)
	log.Warn("a foreign record", "offset", 100_000)
	log.Warn("a foreign record", "offset", 100_001)
	l.Close(10 * time.Second)

	count := map[string]int{}
	for _, line := range p.lines() {
		switch {
		case strings.Contains(line, "a foreign record") && strings.Contains(line, "again=99999"):
			count["foreign, counted"]++
		case strings.Contains(line, "a foreign record") && strings.Contains(line, "again=2"):
			count["foreign, counted at the end"]++
		case strings.Contains(line, "a foreign record"):
			count["foreign"]++
		case strings.Contains(line, "reason=content") && strings.Contains(line, "again=40"):
			count["content, counted"]++
		case strings.Contains(line, "reason=content"):
			count["content"]++
		case strings.Contains(line, "reason=xml"):
			count["xml"]++
		default:
			t.Errorf("line %q", line)
		}
	}
	want := map[string]int{"foreign": 1, "foreign, counted": 1, "foreign, counted at the end": 1, "content": mostOthers, "content, counted": 1, "xml": 1}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("lines %v, want %v", count, want)
	}
	if got := l.Counted(); got != 99_999+2+40 {
		t.Errorf("counted %d", got)
	}
}

// Lines whose very message a neighbour makes up are bounded too, and so is the
// memory of kinds.
func TestKindsAreBounded(t *testing.T) {
	p := &page{}
	l, _ := open(p)
	for i := range 20_000 {
		l.Logger().Warn(fmt.Sprint("a library says ", i))
	}
	if n := len(l.kinds); n > 2*maxKinds+1 {
		t.Errorf("%d kinds are remembered", n)
	}
	l.Close(10 * time.Second)
	if n := len(p.lines()); n > 2*maxKinds+10 {
		t.Errorf("%d lines came out", n)
	}
}

// stuck is a reader that stands still until it is let go.
type stuck struct {
	page
	held  chan struct{} // a write has come
	letGo chan struct{}
	once  sync.Once
}

func (s *stuck) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.held) })
	<-s.letGo
	return s.page.Write(b)
}

// A reader that stands still holds nobody; what it did not take is counted, and
// told when it reads on. Errors have room after other lines have none.
func TestAReaderThatStandsStill(t *testing.T) {
	s := &stuck{held: make(chan struct{}), letGo: make(chan struct{})}
	l := Open(s, Options{Debug: true}) // lines of Debug are not counted by kind
	log := l.Logger()
	log.Debug("the first")
	<-s.held
	long := strings.Repeat("x", 1000)
	for range 3000 {
		log.Debug(long)
	}
	lost := l.Lost()
	if lost < 2000 || lost > 2800 {
		t.Fatalf("%d lines of 3,000 were lost, a queue of %d bytes was to hold the rest", lost, queueBytes)
	}
	log.Error("an error", "stack", "where it was")
	if l.Lost() != lost {
		t.Error("an error found no room")
	}
	l.queue.close(0) // returns although nothing can be written
	close(s.letGo)
	l.Close(10 * time.Second)
	lines := s.lines()
	if !strings.Contains(strings.Join(lines, "\n"), "where it was") {
		t.Error("the error did not come out")
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, fmt.Sprintf("lines=%d", lost)) {
		t.Errorf("the last line is %q, it should say that %d are missing", last, lost)
	}
}

// A broken pipe or a full disk costs lines, not the log: when it takes lines
// again, it says how many are missing.
func TestAReaderThatIsGone(t *testing.T) {
	p := &page{}
	l, _ := open(p)
	p.fail(errors.New("broken pipe"))
	for range 5 {
		l.Logger().Info("gone")
	}
	for end := time.Now().Add(30 * time.Second); l.Lost() < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("lost %d of 5", l.Lost())
		}
	}
	p.fail(nil)
	l.Logger().Info("back")
	l.Close(10 * time.Second)
	got := p.lines()
	if len(got) != 2 || !strings.Contains(got[0], "msg=back") || !strings.Contains(got[1], "lines=5") {
		t.Errorf("lines %q", got)
	}
}

// Loggers that were derived write through the same queue and are held to the
// same bounds; JSON is JSON.
func TestDerivedLoggers(t *testing.T) {
	p := &page{}
	c := &clock{at: time.Now()}
	l := Open(p, Options{JSON: true, Every: time.Hour, Now: c.now})
	log := l.Logger().With("node", "a").WithGroup("g")
	if Of(log) != l || Of(slog.New(slog.DiscardHandler)) != nil {
		t.Error("Of does not know its own")
	}
	for range 3 {
		log.WarnContext(context.Background(), "w", "x", 1)
	}
	l.Close(10 * time.Second)
	got := p.lines()
	if len(got) != 2 || !strings.HasSuffix(got[0], `"msg":"w","node":"a","g":{"x":1}}`) || !strings.HasSuffix(got[1], `"msg":"w","node":"a","g":{"again":2}}`) {
		t.Errorf("lines %q", got)
	}
}
