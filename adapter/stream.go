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
	for _, w := range waiting {
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
		n, err := g.store.Passed(ctx, w.From, committed, g.now().UTC())
		if err != nil {
			return err
		}
		g.metrics.streamed.Add(float64(n))
	}
	return nil
}
