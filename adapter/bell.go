package adapter

import (
	"runtime/debug"
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

// bells wake the polls that wait at a queue.
type bells struct {
	mu    sync.Mutex
	queue map[Queue]*waiters
}

type waiters struct {
	rung  chan struct{}
	count int
}

// wait gives a channel that is closed at the queue's next ring, and a function
// to be called when the wait is over. Ask for it before looking into the queue,
// or a ring between the two is lost.
func (b *bells) wait(q Queue) (rung <-chan struct{}, done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.queue[q]
	if w == nil {
		if b.queue == nil {
			b.queue = map[Queue]*waiters{}
		}
		w = &waiters{rung: make(chan struct{})}
		b.queue[q] = w
	}
	w.count++
	return w.rung, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if w.count--; w.count == 0 && b.queue[q] == w {
			delete(b.queue, q)
		}
	}
}

func (b *bells) ring(q Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.queue[q]; w != nil {
		close(w.rung)
		delete(b.queue, q)
	}
}

func (b *bells) ringAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for q, w := range b.queue {
		close(w.rung)
		delete(b.queue, q)
	}
}

func stack() string { return string(debug.Stack()) }
