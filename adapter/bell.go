package adapter

import (
	"slices"
	"sync"
)

// bell wakes one loop. Ringing a bell that rings already does nothing, so a
// loop that was woken must take everything there is.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// bells wake the polls that wait at a queue: one poll for each message that has
// come, since the others would only look in vain. Polls with a selector may not
// be able to take what has come; they are woken besides, all of them.
type bells struct {
	mu      sync.Mutex
	waiters map[Queue][]*waiter // longest waiting first
	spare   []*waiter           // that have left; the next polls take them
}

type waiter struct {
	queue    Queue
	selects  bool
	rung     chan struct{} // of capacity 1
	standing bool          // in the row of waiters
}

// wait takes a place at a queue. Take it before looking into the queue, or a ring
// between the two is lost, and leave it when the wait is over.
func (b *bells) wait(q Queue, selects bool) *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters == nil {
		b.waiters = map[Queue][]*waiter{}
	}
	var w *waiter
	if n := len(b.spare); n > 0 {
		w, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		w = &waiter{rung: make(chan struct{}, 1)}
	}
	w.queue, w.selects, w.standing = q, selects, true
	b.waiters[q] = append(b.waiters[q], w)
	return w
}

// leave gives the place up, once. A ring that came and was not heard, because the poll
// found a message before or its caller went away, goes to the next in the row.
func (b *bells) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.spare = append(b.spare, w) }() // nobody rings for it any more, and it has heard
	if w.standing {
		b.keep(w.queue, slices.DeleteFunc(b.waiters[w.queue], func(other *waiter) bool { return other == w }))
		return
	}
	select {
	case <-w.rung:
		if !w.selects {
			b.wake(w.queue, 1, false)
		}
	default:
	}
}

// ring tells that n messages have come into the queue.
func (b *bells) ring(q Queue, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake(q, n, true)
}

func (b *bells) ringAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for q, row := range b.waiters {
		b.wake(q, len(row), true)
	}
}

// wake wakes the first n of those who take anything and, if told to, those who select.
func (b *bells) wake(q Queue, n int, selecting bool) {
	row := b.waiters[q]
	left := row[:0]
	for _, w := range row {
		switch {
		case w.selects && !selecting, !w.selects && n == 0:
			left = append(left, w)
			continue
		case !w.selects:
			n--
		}
		w.standing = false
		w.rung <- struct{}{}
	}
	clear(row[len(left):])
	b.keep(q, left)
}

func (b *bells) keep(q Queue, row []*waiter) {
	if len(row) == 0 {
		delete(b.waiters, q)
		return
	}
	b.waiters[q] = row
}
