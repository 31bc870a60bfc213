package adapter

import (
	"context"
	"fmt"
)

// watchStreams journals the delivery of what providers read from their topics
// themselves (delivery: stream): a record is delivered when the provider's
// consumer group has committed an offset beyond it. The intake has noted where
// the records stand, so a crash anywhere here leaves them noted, and the next
// pass finds them.
func (g *Gateway) watchStreams(ctx context.Context) error {
	for {
		if err := g.streamsOnce(ctx); err != nil {
			return err
		}
		if !sleep(ctx, g.config.Times.Streams.D()) {
			return nil
		}
	}
}

func (g *Gateway) streamsOnce(ctx context.Context) error {
	waiting, err := g.store.Streaming(ctx)
	if err != nil {
		return fmt.Errorf("looking for streamed records: %w", err)
	}
	type asked struct{ group, topic string }
	known := map[asked]map[Partition]int64{}
	there := map[string]map[Partition]Extent{}
	for _, w := range waiting {
		if _, ok := there[w.From.Topic]; !ok {
			if there[w.From.Topic], err = g.broker.Extents(ctx, w.From.Topic); err != nil {
				return fmt.Errorf("looking at the records of %s: %w", w.Recipient, err)
			}
		}
		if _, ok := there[w.From.Topic][w.From]; !ok && len(there[w.From.Topic]) > 0 {
			if err := g.restream(ctx, w); err != nil {
				return err
			}
			continue
		}
		p := g.Catalog().Party(w.Recipient)
		if p == nil {
			continue // not registered now: nobody knows its group
		}
		ask := asked{p.Group, w.From.Topic}
		if _, ok := known[ask]; !ok {
			if known[ask], err = g.broker.Committed(ctx, ask.group, ask.topic); err != nil {
				return fmt.Errorf("asking how far %s has read: %w", w.Recipient, err)
			}
		}
		committed, ok := known[ask][w.From]
		if !ok {
			continue
		}
		n, err := g.store.Passed(ctx, w.From, ask.group, committed, g.now().UTC())
		if err != nil {
			return err
		}
		g.metrics.streamed.Add(float64(n))
	}
	return nil
}

// restream relays once more what stood in a partition that is gone, because its
// topic was deleted or the bus has lost its data, and was not read, as far as the
// recipient's group has said.
func (g *Gateway) restream(ctx context.Context, w Streaming) error {
	n, err := g.store.Restream(ctx, w)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	g.metrics.recalled.Add(float64(n))
	g.outbox[ShardOf(Queue{System: w.Recipient, Kind: QueueRequests})].ring()
	g.log.Error("the bus has lost records before they were read; they are put there again", "topic", w.From.Topic, "partition", w.From.Partition, "recipient", w.Recipient, "records", n)
	return nil
}
