package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
)

// intake takes records from the bus into queues. The store keeps the offset in
// the same transaction as the queue rows, so a record that comes twice, after a
// crash or a rebalance or from a relay that published twice, is queued once.
func (g *Gateway) intake(ctx context.Context) error {
	topics := func() []string {
		_, intake := g.Catalog().Topics(g.config.Kafka.Prefix)
		return intake
	}
	return g.broker.Consume(ctx, g.config.Kafka.Group, topics, g.enqueue)
}

// storeAway says why the store cannot be written to, when it has been so for a
// while.
func (g *Gateway) storeAway(ctx context.Context) (err error) {
	for range 3 {
		if err = g.store.Health(ctx); err == nil || !sleep(ctx, 300*time.Millisecond) {
			return nil
		}
	}
	return err
}

// enqueueWithin is how long a batch may take before the node lets go of what it
// has been given to read.
const enqueueWithin = 5 * time.Second

// enqueue puts one batch of one partition into its queues and wakes the polls
// that wait there.
func (g *Gateway) enqueue(ctx context.Context, from Partition, records []Record) error {
	defer g.metrics.stage("intake")()
	began := time.Now()
	arrivals, traces := make([]Arrival, 0, len(records)), make([]string, 0, len(records))
	for i := range records {
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
		arrivals, traces = append(arrivals, a), append(traces, trace)
	}
	if len(arrivals) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, enqueueWithin)
	defer cancel()
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

// topicOf is where the records of a queue stand.
func (g *Gateway) topicOf(q Queue) string {
	if q.Kind == QueueRequests {
		return requestTopic(g.config.Kafka.Prefix, q.System)
	}
	return responseTopic(g.config.Kafka.Prefix, q.System)
}
