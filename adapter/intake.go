package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
)

// intake takes records from the bus into queues: those that no relay has put there
// with its own commit, such as what a relay of a release before has published. The
// store keeps the offset in the same transaction as the queue rows, so a record that
// comes twice, after a crash or a rebalance or from a relay that published twice, is
// queued once. Of what stands in its queue already it wakes the polls of this node.
//
// A node that has not reached the store for a while takes no part: what the bus
// has given it to read would stand still, and another node can read it. A store that
// is slow for a moment is no reason: to leave and to come back costs all nodes a
// sharing out of the topics.
func (g *Gateway) intake(ctx context.Context) error {
	var taking atomic.Bool // this node takes part
	var since atomic.Int64 // when the store began not to answer, in nanoseconds; 0: it does
	began := time.Now()
	topics := func() []string {
		if err := g.store.Health(ctx); err != nil && ctx.Err() == nil {
			now := int64(time.Since(began)) + 1
			since.CompareAndSwap(0, now)
			if !taking.Load() || now-since.Load() >= int64(awayFor) {
				if taking.Swap(false) {
					g.log.Warn("the intake leaves the bus to other nodes until the store answers", "error", err)
				}
				return nil
			}
		} else {
			since.Store(0)
			taking.Store(true)
		}
		_, intake := g.config.Kafka.Topics(g.Catalog())
		return intake
	}
	return g.broker.Consume(ctx, g.config.Kafka.Group, topics, g.placing.all, g.enqueue)
}

// awayFor is how long the store may not answer before the intake leaves the bus.
const awayFor = 5 * time.Second

// enqueueWithin is how long a batch may take before the node lets go of what it
// has been given to read.
const enqueueWithin = 5 * time.Second

// enqueue puts one batch of one partition into its queues and wakes the polls
// that wait there.
func (g *Gateway) enqueue(ctx context.Context, from Partition, records []Record) error {
	defer g.metrics.stage("intake", "").end()
	began := time.Now()
	arrivals, traces := make([]Arrival, 0, len(records)), make([]string, 0, len(records))
	var skipped []journal.Event
	for i := range records {
		if records[i].Skipped != nil {
			skipped = append(skipped, g.skipped(from, &records[i]))
			continue
		}
		if g.placing.stands(ctx, from.Topic, &records[i]) {
			continue // it has come from this node, and need not be opened
		}
		a, trace, err := g.arrival(from.Topic, &records[i])
		if errors.Is(err, errSealKey) {
			// Ours all the same when it brings what was accepted and has not come
			// yet. To pass over it would lose it: the partition waits for the key.
			awaited, bad := g.store.Awaited(ctx, a.Message, a.Queue)
			if bad != nil {
				return bad
			}
			if awaited {
				return fmt.Errorf("the record of message %s at %s/%d, offset %d, cannot be queued: %w", a.Message, from.Topic, from.Partition, records[i].Offset, err)
			}
		}
		if err != nil {
			// Not ours, or not whole: nobody but a gateway may fill queues. It
			// is passed over, because an error would stop the partition for ever.
			g.metrics.foreign.Inc()
			g.log.Warn("a record that no gateway wrote is passed over", "topic", from.Topic, "partition", from.Partition, "offset", records[i].Offset, "error", err)
			continue
		}
		// It may have been quicker than the relay's word of where it stands. What stands
		// elsewhere is another copy: whose message was placed, unless the database has
		// lost that, the store knows.
		if !a.Stream && g.placing.has(ctx, a.Message, a.Queue) && g.placing.stands(ctx, from.Topic, &records[i]) {
			continue
		}
		arrivals, traces = append(arrivals, a), append(traces, trace)
	}
	bounded, cancel := context.WithTimeout(ctx, enqueueWithin)
	defer cancel()
	if len(skipped) > 0 { // what the journal cannot be told is not passed over
		if err := g.store.Record(bounded, skipped...); err != nil {
			return fmt.Errorf("passing over what cannot be read on %s/%d: %w", from.Topic, from.Partition, err)
		}
	}
	if len(arrivals) == 0 {
		return nil
	}
	n, err := g.store.Enqueue(bounded, from, arrivals)
	if err != nil {
		return fmt.Errorf("enqueueing from %s/%d: %w", from.Topic, from.Partition, err)
	}
	g.metrics.queued.Add(float64(n))
	for _, trace := range traces {
		g.span(trace, "intake", began)
	}
	for q, n := range arrived(arrivals) {
		g.arrivals.ring(q, n)
	}
	return nil
}

// skipped tells of a place on the bus that cannot be read and is passed over, since the
// operator has named it. It may be told twice, when the node dies before the bus is told.
func (g *Gateway) skipped(from Partition, r *Record) journal.Event {
	s := Skip{Topic: from.Topic, Partition: from.Partition, First: r.Offset, Last: r.Skipped.Last}
	g.log.Error("what cannot be read on the bus is passed over, as kafka.skip says; messages that were in it and in no queue are put there again", "skip", s.String(), "error", r.Skipped.Why)
	return journal.Event{Kind: journal.KindConfigChanged, Time: g.now().UTC(), Node: g.config.Node, Operation: "skip", Outcome: "skipped", Rule: s.String(), Count: int(s.Last - s.First + 1)}
}

// arrived counts the arrivals of each queue.
func arrived(arrivals []Arrival) map[Queue]int {
	count := map[Queue]int{}
	for _, a := range arrivals {
		if !a.Stream {
			count[a.Queue]++
		}
	}
	return count
}

// arrival reads a record's headers, those that its seal covers. With errSealKey
// it says what the record claims to be.
func (g *Gateway) arrival(topic string, r *Record) (a Arrival, trace string, err error) {
	covered, bad := g.seals.open(topic, r)
	if errors.Is(bad, errNotSealed) {
		covered, bad = g.openOld(r)
	}
	if bad != nil && !errors.Is(bad, errSealKey) {
		return a, "", bad
	}
	a.Offset = r.Offset
	for _, h := range covered {
		switch h.Key {
		case headerID:
			a.Message, err = uuid.ParseBytes(h.Value)
		case headerQueue:
			err = json.Unmarshal(h.Value, &a.Queue)
		case headerStream:
			a.Stream = true
		case headerTrace:
			trace = string(h.Value)
		}
		if err != nil {
			return a, "", err
		}
	}
	if bad != nil {
		return a, "", bad
	}
	if topic != g.topicOf(a.Queue) {
		return a, "", fmt.Errorf("it stands on another topic than that of its queue, %s", g.topicOf(a.Queue))
	}
	a.Event = journal.Event{Time: g.now().UTC(), Node: g.config.Node}
	if !a.Stream { // that one is told of when its recipient has read it
		a.Event.Kind, a.Event.Outcome = journal.KindQueued, "ok"
	}
	return a, trace, nil
}
