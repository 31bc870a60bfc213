package adapter

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/lately"
)

// placing remembers what this node's relay puts into queues, so that the intake, to
// which the bus brings the same records a moment later, need not ask the store. It may
// forget: what it does not know, the store does. What it remembers has no pointers: the
// collector of garbage passes over it.
type placing struct {
	mu       sync.Mutex
	placed   lately.Map[atQueue, uint64] // by which batch of the relay
	standing lately.Map[onBus, atQueue]
	topics   numbers[string]
	queues   numbers[Queue]

	underWay map[uint64]*placement // batches that have not ended
	begun    uint64                // how many were begun, and the number of the last one
}

func newPlacing() *placing {
	return &placing{placed: lately.Map[atQueue, uint64]{Most: mostPlaced}, standing: lately.Map[onBus, atQueue]{Most: mostPlaced}, underWay: map[uint64]*placement{}}
}

// onBus is where a record stands, the topic by its number.
type onBus struct {
	topic     uint32
	partition int32
	offset    int64
}

// atQueue is a message in a queue, which is there by its number.
type atQueue struct {
	message uuid.UUID
	queue   uint32
}

// numbers gives names numbers, from 1. It forgets the names when they become many, and of those
// that come again what was remembered by number is not found.
type numbers[K comparable] struct {
	of   map[K]uint32
	last uint32
}

const mostNumbers = 10_000

// find gives 0 for a name that has none.
func (n *numbers[K]) find(name K) uint32 { return n.of[name] }

// give gives a name its number.
func (n *numbers[K]) give(name K) uint32 {
	if known := n.of[name]; known != 0 {
		return known
	}
	if n.of == nil || len(n.of) >= mostNumbers {
		n.of = map[K]uint32{}
	}
	n.last++
	n.of[name] = n.last
	return n.last
}

// placement is a batch of the relay, and how it ended: committed is to be read when done is
// closed.
type placement struct {
	number    uint64
	queues    []uint32 // of its messages, as they were numbered when it was begun; 0: goes into none
	done      chan struct{}
	committed bool
}

const (
	// mostPlaced is how many places are remembered at least.
	mostPlaced = 20_000
	// placingFor is how long the intake waits for the commit of what has come back
	// before it. It is about work that would be done twice, and nothing else.
	placingFor = time.Second
)

// begin says that these messages are on their way to the bus and into their queues.
func (p *placing) begin(batch []Outgoing) *placement {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun++
	in := &placement{number: p.begun, queues: make([]uint32, len(batch)), done: make(chan struct{})}
	p.underWay[in.number] = in
	for i := range batch {
		if batch[i].Arrival.Kind == "" {
			continue
		}
		in.queues[i] = p.queues.give(batch[i].Queue)
		p.placed.Put(atQueue{batch[i].Message.ID, in.queues[i]}, in.number)
	}
	return in
}

// end says what came of the batch. Of what did not go into its queue nothing is known.
func (p *placing) end(in *placement, batch []Outgoing, committed bool) {
	p.mu.Lock()
	for i := range batch {
		if !committed || !batch[i].Queued {
			p.placed.Delete(atQueue{batch[i].Message.ID, in.queues[i]}, func(of uint64) bool { return of == in.number })
		}
	}
	in.committed = committed
	delete(p.underWay, in.number)
	p.mu.Unlock()
	close(in.done)
}

// stand says where the bus has the records of messages that are on their way into their
// queues.
func (p *placing) stand(in *placement, batch []Outgoing, records []*Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range records {
		if r == nil || batch[i].Left {
			continue
		}
		where := onBus{p.topics.give(r.Topic), int32(r.Partition), r.Offset}
		if batch[i].Arrival.Kind == "" { // what stood there before its topic was made anew is not this
			p.standing.Delete(where, func(atQueue) bool { return true })
			continue
		}
		p.standing.Put(where, atQueue{batch[i].Message.ID, in.queues[i]})
	}
}

// stands says whether a record is one that this node has put where it stands, and whose
// message it has put into its queue (has). That it claims to be that message's is looked
// at too: its topic may have been made anew.
func (p *placing) stands(ctx context.Context, topic string, r *Record) bool {
	at, known := p.at(topic, r.Partition, r.Offset)
	if !known {
		return false
	}
	for _, h := range r.Headers {
		if h.Key == headerID {
			id, err := uuid.ParseBytes(h.Value)
			return err == nil && id == at.message && p.is(ctx, at)
		}
	}
	return false
}

// all is Stands for the intake: the records are ones that this node has put there, and
// all of their messages are in their queues.
func (p *placing) all(ctx context.Context, topic string, partition int, first int64, n int) bool {
	for offset := first; offset < first+int64(n); offset++ {
		at, known := p.at(topic, partition, offset)
		if !known || !p.is(ctx, at) {
			return false
		}
	}
	return true
}

// at says whose message this node has put there.
func (p *placing) at(topic string, partition int, offset int64) (at atQueue, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing.Get(onBus{p.topics.find(topic), int32(partition), offset})
}

// has says whether this node's relay has put the message into the queue, and told
// those who wait there. Where it is about to, its commit is waited for.
func (p *placing) has(ctx context.Context, message uuid.UUID, q Queue) bool {
	p.mu.Lock()
	number := p.queues.find(q)
	p.mu.Unlock()
	return p.is(ctx, atQueue{message, number})
}

// is is has, of a queue by its number.
func (p *placing) is(ctx context.Context, at atQueue) bool {
	number, in := p.find(at)
	if in == nil {
		return number != 0 // what came to nothing is not remembered
	}
	late := time.NewTimer(placingFor)
	defer late.Stop()
	select {
	case <-in.done:
		now, _ := p.find(at)
		return in.committed && now == number
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// find gives the number of the batch that has put a message into a queue, 0 for none, and the
// batch if it has not ended.
func (p *placing) find(at atQueue) (number uint64, in *placement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, _ = p.placed.Get(at)
	return number, p.underWay[number]
}
