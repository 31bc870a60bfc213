package adapter

import (
	"context"
	"fmt"
	"time"
)

// strayAge is how long the intake may take over a record before anybody asks
// whether the bus still has it: three looks.
func (g *Gateway) strayAge() time.Duration { return 3 * g.config.Times.Watch.D() }

// recallStrays puts what the bus has lost there once more: messages that it
// acknowledged, that no queue has, and that are not on the topic any more, as the
// intake has read it to its end. A deleted topic, a broker that comes back without
// its data or with an old copy, a retention shorter than an outage, and another
// layout of topics (kafka.shared) end here.
// A record that is there after all comes twice, and is queued once.
func (g *Gateway) recallStrays(ctx context.Context) error {
	strays, err := g.store.Strays(ctx, g.strayAge())
	if err != nil {
		return err
	}
	read := map[string]bool{} // topics: to the end?
	until := time.Now().Add(toldWithin)
	for _, q := range strays {
		topic := g.topicOf(q)
		if _, asked := read[topic]; !asked {
			if read[topic], err = g.readToEnd(ctx, topic, until); err != nil {
				return fmt.Errorf("asking whether %s is read to its end: %w", topic, err)
			}
		}
		if !read[topic] {
			continue // on its way
		}
		n, err := g.store.Recall(ctx, q, g.strayAge())
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		g.metrics.recalled.Add(float64(n))
		g.outbox[ShardOf(q)].ring()
		g.log.Error("the bus has lost records before they came to their queue, or kafka.shared was changed; they are put there again", "topic", topic, "records", n)
	}
	return nil
}

// toldWithin is more than the time in which the bus is told how far the intake has read.
const toldWithin = 2 * time.Second

// readToEnd says that the intake has taken in everything that the topic held when it was
// asked. Of a topic that is not there nothing is said: it has to be made first. The bus may
// be told of it until then.
func (g *Gateway) readToEnd(ctx context.Context, topic string, until time.Time) (bool, error) {
	extents, err := g.broker.Extents(ctx, topic)
	if err != nil || len(extents) == 0 {
		return false, err
	}
	for {
		committed, err := g.broker.Committed(ctx, g.config.Kafka.Group, topic)
		if err != nil {
			return false, err
		}
		read := true
		for at, e := range extents {
			read = read && e.End <= max(committed[at], e.First)
		}
		if read || time.Now().After(until) || !sleep(ctx, toldWithin/8) {
			return read, nil
		}
	}
}
