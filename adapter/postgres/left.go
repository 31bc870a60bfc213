package postgres

import (
	"sync"
	"time"

	"mezhved/adapter"
)

// leftQueues remembers of which queues of a shard this node's relay could not bring the bus
// their messages: their topic is not there, or nobody leads its partition. Any number of
// those may stand at the head of the outbox, and what is behind them for other queues is not
// to wait: they are read past for a while, and then tried with a few messages beside a batch
// of the others, so that they cannot fill one batch after the other, each of which takes as
// long as the bus is given to come to itself. A queue is passed over as a whole, so it keeps
// its order.
type leftQueues struct {
	mu    sync.Mutex
	of    map[int32]*leftQueue
	began time.Time // where times to try again are counted from
	taken bool      // something, since the last time that something was left
}

type leftQueue struct {
	wait  time.Duration
	next  time.Time
	taken int64 // batches of which the bus had taken something when it was left
}

const (
	leastLeft = time.Second
	mostLeft  = 32 * time.Second // a multiple of all that are shorter
)

// past are all of these queues, and due those whose time has come.
func (l *leftQueues) past(now time.Time) (queues, due []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for queue, q := range l.of {
		if now.Sub(q.next) > time.Minute {
			delete(l.of, queue) // another node has relayed what there was
			continue
		}
		if queues = append(queues, queue); !q.next.After(now) {
			due = append(due, queue)
		}
	}
	return queues, due
}

// learn takes over what became of a batch. While the bus takes nothing at all, nobody
// waits longer for it than the first time: when it comes back it is to be found out soon.
// taken counts the batches of all shards of which the bus has taken something, this one too.
// It gives the queues that are apart, which were left once more after the bus had taken
// something of whichever queue, and of each the row in which it was left.
func (l *leftQueues) learn(now time.Time, out []adapter.Outgoing, rows []outboxRow, taken int64) (apart map[int32]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left map[int32]int64
	for i := range out {
		switch {
		case !out[i].Left:
			l.taken = true
			continue
		case left == nil:
			left = map[int32]int64{}
		}
		if _, ok := left[rows[i].queue]; !ok {
			left[rows[i].queue] = rows[i].seq
		}
	}
	if len(l.of) > 0 {
		for i := range out {
			if _, ok := left[rows[i].queue]; !ok {
				delete(l.of, rows[i].queue)
			}
		}
	}
	for queue, seq := range left {
		if q := l.of[queue]; q != nil && q.taken < taken {
			if apart == nil {
				apart = map[int32]int64{}
			}
			apart[queue] = seq
		}
		l.again(queue, now).taken = taken
	}
	l.taken = l.taken && left == nil
	return apart
}

// again says when a queue is to be tried again: about when its wait is over, at a multiple of
// it, so that many are tried together. Each time costs the batch a second or more.
func (l *leftQueues) again(queue int32, now time.Time) *leftQueue {
	q := l.of[queue]
	switch {
	case q == nil:
		if l.of == nil {
			l.of, l.began = map[int32]*leftQueue{}, now
		}
		q = &leftQueue{wait: leastLeft}
		l.of[queue] = q
	case l.taken:
		q.wait = min(2*q.wait, mostLeft)
	}
	q.next = l.began.Add((now.Sub(l.began) + q.wait).Round(q.wait))
	return q
}
