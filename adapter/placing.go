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
// forget: what it does not know, the store does.
type placing struct {
	mu       sync.Mutex
	placed   lately.Map[atQueue, *placement]
	standing lately.Map[onBus, atQueue]
}

func newPlacing() *placing {
	return &placing{placed: lately.Map[atQueue, *placement]{Most: mostPlaced}, standing: lately.Map[onBus, atQueue]{Most: mostPlaced}}
}

// onBus is where a record stands.
type onBus struct {
	topic     string
	partition int
	offset    int64
}

type atQueue struct {
	message uuid.UUID
	queue   Queue
}

// placement is how a batch of the relay ended: committed is to be read when done is
// closed.
type placement struct {
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
	in := &placement{done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch {
		if batch[i].Arrival.Kind == "" {
			continue
		}
		p.placed.Put(atQueue{batch[i].Message.ID, batch[i].Queue}, in)
	}
	return in
}

// end says what came of the batch. Of what did not go into its queue nothing is known.
func (p *placing) end(in *placement, batch []Outgoing, committed bool) {
	p.mu.Lock()
	for i := range batch {
		if !batch[i].Queued {
			p.placed.Delete(atQueue{batch[i].Message.ID, batch[i].Queue}, func(of *placement) bool { return of == in })
		}
	}
	in.committed = committed
	p.mu.Unlock()
	close(in.done)
}

// stand says where the bus has the records of messages that are on their way into their
// queues.
func (p *placing) stand(batch []Outgoing, records []*Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range records {
		if r == nil || batch[i].Left {
			continue
		}
		where := onBus{r.Topic, r.Partition, r.Offset}
		if batch[i].Arrival.Kind == "" { // what stood there before its topic was made anew is not this
			p.standing.Delete(where, func(atQueue) bool { return true })
			continue
		}
		p.standing.Put(where, atQueue{batch[i].Message.ID, batch[i].Queue})
	}
}

// stands says whether a record is one that this node has put where it stands, and whose
// message it has put into its queue (has). That it claims to be that message's is looked
// at too: its topic may have been made anew.
func (p *placing) stands(ctx context.Context, topic string, r *Record) bool {
	at, known := p.at(onBus{topic, r.Partition, r.Offset})
	if !known {
		return false
	}
	for _, h := range r.Headers {
		if h.Key == headerID {
			id, err := uuid.ParseBytes(h.Value)
			return err == nil && id == at.message && p.has(ctx, at.message, at.queue)
		}
	}
	return false
}

// all is Stands for the intake: the records are ones that this node has put there, and
// all of their messages are in their queues.
func (p *placing) all(ctx context.Context, topic string, partition int, first int64, n int) bool {
	for offset := first; offset < first+int64(n); offset++ {
		at, known := p.at(onBus{topic, partition, offset})
		if !known || !p.has(ctx, at.message, at.queue) {
			return false
		}
	}
	return true
}

// at says whose message this node has put there.
func (p *placing) at(where onBus) (at atQueue, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing.Get(where)
}

// has says whether this node's relay has put the message into the queue, and told
// those who wait there. Where it is about to, its commit is waited for.
func (p *placing) has(ctx context.Context, message uuid.UUID, q Queue) bool {
	at := atQueue{message, q}
	in := p.find(at)
	if in == nil {
		return false
	}
	select {
	case <-in.done:
		return in.committed && p.find(at) == in
	default:
	}
	late := time.NewTimer(placingFor)
	defer late.Stop()
	select {
	case <-in.done:
		return in.committed && p.find(at) == in
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

func (p *placing) find(at atQueue) *placement {
	p.mu.Lock()
	defer p.mu.Unlock()
	in, _ := p.placed.Get(at)
	return in
}
