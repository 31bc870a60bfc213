package adapter

import (
	"context"
	"crypto/hmac"
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

// enqueue puts one batch of one partition into its queues and wakes the polls
// that wait there.
func (g *Gateway) enqueue(ctx context.Context, from Partition, records []Record) error {
	defer g.metrics.stage("intake")()
	began := time.Now()
	arrivals := make([]Arrival, 0, len(records))
	for i := range records {
		a, err := g.arrival(&records[i])
		if err != nil {
			// Not ours, or not whole: nobody but a gateway may fill queues. It
			// is passed over, because an error would stop the partition for ever.
			g.metrics.foreign.Inc()
			g.log.Warn("a record that no gateway wrote is passed over", "topic", from.Topic, "partition", from.Partition, "offset", records[i].Offset, "error", err)
			continue
		}
		arrivals = append(arrivals, a)
	}
	if len(arrivals) == 0 {
		return nil
	}
	n, err := g.store.Enqueue(ctx, from, arrivals)
	if err != nil {
		return fmt.Errorf("enqueueing from %s/%d: %w", from.Topic, from.Partition, err)
	}
	g.metrics.queued.Add(float64(n))
	for i := range records {
		g.span(string(headerOf(&records[i], headerTrace)), "intake", began)
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

func headerOf(r *Record, key string) []byte {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}

// arrival reads a record's headers.
func (g *Gateway) arrival(r *Record) (Arrival, error) {
	var id, queue, seal, event []byte
	stream := false
	for _, h := range r.Headers {
		switch h.Key {
		case headerID:
			id = h.Value
		case headerQueue:
			queue = h.Value
		case headerSeal:
			seal = h.Value
		case headerEvent:
			event = h.Value
		case headerStream:
			stream = true
		}
	}
	if !g.sealed(string(id), queue, stream, seal) {
		return Arrival{}, errors.New("the seal is missing or wrong")
	}
	a := Arrival{Offset: r.Offset, Stream: stream}
	var err error
	if a.Message, err = uuid.ParseBytes(id); err != nil {
		return Arrival{}, err
	}
	if err := json.Unmarshal(queue, &a.Queue); err != nil {
		return Arrival{}, err
	}
	if stream {
		a.Event.Time, a.Event.Node = g.now().UTC(), g.config.Node
		return a, nil // it is told of when its recipient has read it
	}
	if err := json.Unmarshal(event, &a.Event); err != nil {
		return Arrival{}, err
	}
	a.Event.Kind, a.Event.Time, a.Event.Node = journal.KindQueued, g.now().UTC(), g.config.Node
	return a, nil
}

func (g *Gateway) sealed(id string, queue []byte, stream bool, seal []byte) bool {
	for _, k := range g.replies {
		if hmac.Equal(seal, sealRecord(k, id, queue, stream)) {
			return true
		}
	}
	return false
}
