package oplog

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the queue, in bytes. What is not urgent leaves the last part free.
const (
	queueBytes  = 1 << 20
	urgentBytes = queueBytes / 4
	lineBytes   = 64 << 10 // of one line; the rest of it is cut off
)

// queue is lines on their way to a reader who may not read. One goroutine
// writes them in order; whoever brings one never waits.
type queue struct {
	w       io.Writer
	missing func(lost int64) error // tells, by w, of lines that were lost

	mu     sync.Mutex
	lines  [][]byte
	bytes  int   // of lines, and of the line being written
	gap    int64 // lines lost since the last that was written
	closed bool

	wake chan struct{}
	done chan struct{}
	lost atomic.Uint64
}

func newQueue(w io.Writer, missing func(int64) error) *queue {
	q := &queue{w: w, missing: missing, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.write()
	return q
}

func (q *queue) put(line []byte) (int, error) { return q.add(line, queueBytes-urgentBytes) }

func (q *queue) putUrgent(line []byte) (int, error) { return q.add(line, queueBytes) }

func (q *queue) add(line []byte, room int) (int, error) {
	n := len(line)
	if n > lineBytes {
		line = append(line[:lineBytes-1:lineBytes-1], '\n')
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+len(line) > room {
		q.lose(1)
		return n, nil
	}
	q.lines = append(q.lines, append([]byte(nil), line...))
	q.bytes += len(line)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return n, nil
}

func (q *queue) lose(lines int64) {
	q.gap += lines
	q.lost.Add(uint64(lines))
}

// write is the only one who writes, and the only one who may have to wait. A
// write that fails costs its line; the next one is tried, because a disk may
// have room again and a pipe another reader.
func (q *queue) write() {
	defer close(q.done)
	for {
		line, ok := q.next()
		if !ok {
			return
		}
		_, err := q.w.Write(line)
		q.mu.Lock()
		q.bytes -= len(line)
		gap := int64(0)
		switch {
		case err != nil:
			q.lose(1)
		case len(q.lines) == 0: // it flows again
			gap, q.gap = q.gap, 0
		}
		q.mu.Unlock()
		if gap > 0 && q.missing(gap) != nil {
			q.mu.Lock()
			q.gap += gap
			q.mu.Unlock()
		}
	}
}

// next waits for a line; false says that the queue is closed and empty.
func (q *queue) next() ([]byte, bool) {
	for {
		q.mu.Lock()
		if len(q.lines) > 0 {
			line := q.lines[0]
			q.lines[0] = nil
			q.lines = q.lines[1:]
			q.mu.Unlock()
			return line, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, false
		}
		<-q.wake
	}
}

// close takes no more lines and waits until the others are written, for the
// time given at most.
func (q *queue) close(within time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-q.done:
	case <-t.C:
	}
}
