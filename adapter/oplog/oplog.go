// Package oplog is the log of the process: what a running node writes to its
// standard error. It is for whoever operates the node; what happened to a
// message stands in the journal. Commands that run a server enter here; the
// rooms of the gateway only know a *slog.Logger.
//
// It holds three promises:
//
// Nobody waits for a line. Lines go into a queue of bounded size, one goroutine
// writes them. A reader that stands still, is gone, or a disk that is full costs
// lines and nothing else: they are counted, and the first line that gets through
// again says how many are missing. The end of the queue is kept for errors, a
// caught panic among them. What the runtime prints when it crashes does not come
// this way at all.
//
// Nobody can fill a disk. Whatever a stranger or a broken neighbour can cause at
// will is of few kinds. A kind is a message with the values of the attributes of
// Kinds: of each, a few lines come out in a minute, the rest is counted, and the
// next minute says how often the same happened again. Lines of Debug, which
// somebody has asked for, are not held to that.
//
// A stop is short: Close writes what is queued, within the time it is given.
package oplog

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kinds are the attributes whose values, beside the message, tell one kind of
// line from another. Their values come from closed sets of ours.
var Kinds = map[string]bool{"reason": true, "party": true, "loop": true, "finding": true, "group": true, "fault": true, "class": true, "warning": true}

// Options say how lines look and how many of a kind come out.
type Options struct {
	JSON  bool
	Debug bool
	Every time.Duration    // the span in which lines of a kind are counted; default one minute
	Now   func() time.Time // default time.Now
}

// Lines of one kind that come out in a minute. A warning is of a state that goes
// on, its first line tells it; refusals and errors are events, each with an
// incident or a cause of its own.
const (
	mostWarnings = 1
	mostOthers   = 10
)

// maxKinds bounds the memory of kinds. Past it, kinds are told apart by message
// alone, and past twice of it not at all.
const maxKinds = 1000

// Log is an open log. It is safe for concurrent use.
type Log struct {
	queue   *queue
	logger  *slog.Logger
	every   time.Duration
	now     func() time.Time
	stop    chan struct{}
	counter sync.WaitGroup

	mu      sync.Mutex
	kinds   map[string]*kind
	counted uint64
}

// kind is what is known of one kind of line in the minute that goes on.
type kind struct {
	began  time.Time
	told   int          // lines of this minute that came out
	again  int64        // lines that did not
	to     slog.Handler // writes how often it happened again
	record slog.Record  // with the attributes of the kind alone
}

// Open begins a log that is written to w.
func Open(w io.Writer, o Options) *Log {
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	level := slog.LevelInfo
	if o.Debug {
		level = slog.LevelDebug
	}
	form := func(w io.Writer) slog.Handler {
		opt := &slog.HandlerOptions{Level: level}
		if o.JSON {
			return named{slog.NewJSONHandler(w, opt)}
		}
		return named{slog.NewTextHandler(w, opt)}
	}
	l := &Log{every: o.Every, now: o.Now, stop: make(chan struct{}), kinds: map[string]*kind{}}
	l.queue = newQueue(w, func(lost int64) error {
		r := slog.NewRecord(o.Now(), slog.LevelWarn, "lines of this log are missing: its reader did not take them", 0)
		r.Add("lines", lost)
		return form(w).Handle(context.Background(), r)
	})
	l.logger = slog.New(&handler{log: l, plain: form(writer(l.queue.put)), urgent: form(writer(l.queue.putUrgent))})
	l.counter.Go(l.count)
	return l
}

// Of is the log behind a logger, nil when it is no log of this package.
func Of(l *slog.Logger) *Log {
	if h, ok := l.Handler().(*handler); ok {
		return h.log
	}
	return nil
}

// Logger is the log for those who write to it.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Write takes a line that has its form already, such as a command's last word.
// It never waits and never fails.
func (l *Log) Write(p []byte) (int, error) { return l.queue.putUrgent(p) }

// Lost is how many lines the log's reader did not take.
func (l *Log) Lost() uint64 { return l.queue.lost.Load() }

// Counted is how many lines were counted instead of written.
func (l *Log) Counted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

// Measure publishes what of the log was lost and what was counted.
func (l *Log) Measure(r prometheus.Registerer) {
	counter := func(name, help string, value func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "mezhved", Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	r.MustRegister(counter("log_lost_total", "Lines of the process's log that its reader did not take.", l.Lost),
		counter("log_counted_total", "Lines of the process's log that were counted instead of written, because others of their kind had been.", l.Counted))
}

// Close says what was counted and waits until everything queued is written, for
// the time given at most. What comes later is lost.
func (l *Log) Close(within time.Duration) {
	close(l.stop)
	l.counter.Wait()
	l.tell(true)
	l.queue.close(within)
}

// count ends minutes in which nothing more comes.
func (l *Log) count() {
	t := time.NewTicker(l.every / 4)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.tell(false)
		case <-l.stop:
			return
		}
	}
}

// tell writes how often things happened again in minutes that are over, or in
// all when the log ends, and forgets kinds of which nothing came.
func (l *Log) tell(all bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, k := range l.kinds {
		if (all || k.over(now, l.every)) && !k.next(now) {
			delete(l.kinds, key)
		}
	}
}

// over reports whether the kind's minute has passed, or a clock was set back.
func (k *kind) over(now time.Time, every time.Duration) bool {
	return now.Sub(k.began) >= every || now.Before(k.began)
}

// next begins a new minute; false says that nothing was left to tell. The line
// that tells it is one of those of the new minute.
func (k *kind) next(now time.Time) bool {
	again := k.again
	k.began, k.told, k.again = now, 0, 0
	if again == 0 {
		return false
	}
	r := k.record.Clone()
	r.Time = now
	r.Add("again", again)
	k.to.Handle(context.Background(), r)
	k.told = 1
	return true
}

// admit reports whether a line comes out, and counts it when not.
func (l *Log) admit(to slog.Handler, r slog.Record) bool {
	if r.Level < slog.LevelInfo {
		return true
	}
	key, attrs := r.Message, []slog.Attr(nil)
	r.Attrs(func(a slog.Attr) bool {
		if Kinds[a.Key] {
			key += "\x00" + a.Key + "\x00" + a.Value.String()
			attrs = append(attrs, a)
		}
		return true
	})
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds[key] == nil && len(l.kinds) >= maxKinds {
		key, attrs = r.Message, nil
		if l.kinds[key] == nil && len(l.kinds) >= 2*maxKinds {
			key = ""
		}
	}
	k := l.kinds[key]
	if k == nil {
		k = &kind{began: now, to: to, record: slog.NewRecord(now, r.Level, r.Message, 0)}
		if key == "" {
			k.record.Message = "other lines"
		}
		k.record.AddAttrs(attrs...)
		l.kinds[key] = k
	}
	if k.over(now, l.every) {
		k.next(now)
	}
	most := mostOthers
	if r.Level == slog.LevelWarn {
		most = mostWarnings
	}
	if k.told < most {
		k.told++
		return true
	}
	k.again++
	l.counted++
	return false
}

// handler is the slog.Handler in front of the queue.
type handler struct {
	log           *Log
	plain, urgent slog.Handler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.plain.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	to := h.plain
	if r.Level >= slog.LevelError {
		to = h.urgent
	}
	if !h.log.admit(to, r) {
		return nil
	}
	return to.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{log: h.log, plain: h.plain.WithAttrs(attrs), urgent: h.urgent.WithAttrs(attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{log: h.log, plain: h.plain.WithGroup(name), urgent: h.urgent.WithGroup(name)}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
