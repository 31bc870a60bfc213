package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mezhved/adapter/gather"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// relay takes one shard of the outbox to the bus, woken by accept, and what the bus
// has acknowledged into its queue. All nodes try all shards; the store lets one lead a
// shard at a time, for a batch. A crash between the bus's acknowledgement and the
// commit publishes the rows again; a message goes into its queue once. The record
// stays on the bus for all who read it there, and the intake that reads it finds the
// message in its place. What the bus has taken of a batch is committed although it has not
// taken the rest, which stays in the outbox: that is the last of each queue, whose records
// have one key (record), so the queues keep their order. The order of streams is the topic's.
// The store reads past those queues for a while: a topic that is not there, or a partition that
// nobody leads, holds up its own.
func (g *Gateway) relay(ctx context.Context, shard int) error {
	var told time.Time // that messages wait
	for {
		bytes, again := 0, false
		var sent []Outgoing
		var placing *placement
		var late error
		began := time.Now()
		n, err := g.store.Relay(ctx, shard, RelayBatch, func(ctx context.Context, batch []Outgoing) ([]journal.Event, error) {
			sent = batch
			for i := range batch {
				bytes += len(batch[i].Message.Body)
				again = again || batch[i].Again
			}
			records, err := g.records(batch)
			if err != nil {
				return nil, err
			}
			placing = g.placing.begin(batch) // before the bus can give it back
			var events []journal.Event
			events, late, err = g.publish(ctx, batch, records)
			if err == nil {
				g.placing.stand(placing, batch, records)
			}
			return events, err
		})
		if placing != nil {
			g.placing.end(placing, sent, err == nil)
		}
		wait := g.config.Times.Relay.D()
		switch {
		case errors.Is(err, ErrShardTaken):
			wait = 50 * time.Millisecond // its holder may have looked before our row was there
		case errors.Is(err, journal.ErrDeposed):
			g.log.Warn("this node was too slow: another one relays the shard", "shard", shard, "error", err)
		case err != nil:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("relaying shard %d: %w", shard, err)
		case n > 0 || late != nil:
			g.metrics.relayed.Add(float64(n))
			for q, n := range queued(sent) {
				g.metrics.queued.Add(float64(n))
				g.arrivals.ring(q, n)
			}
			if ctx.Err() != nil {
				return nil
			}
			if late != nil && g.now().Sub(told) > tellWaiting {
				told = g.now()
				g.log.Warn("the bus does not take messages of some queues; they are tried again, and others go on", "shard", shard, "messages", len(sent)-n, "queues", leftOf(sent), "error", late)
			}
			if late != nil || again || n == RelayBatch || bytes >= RelayBytes {
				continue
			}
			// What was accepted meanwhile has rung the bell; how much it is, nobody has counted.
			// And a batch is never large enough to spare the rest: to set it up costs several
			// statements, a request to the bus and a write to its disk.
			gather.Rest(gather.After(min(n, gather.Enough-1), 0, time.Since(began)))
		}
		if !g.pause(ctx, g.outbox[shard], wait, errors.Is(err, ErrShardTaken)) {
			return nil
		}
	}
}

// leftOf are the queues of which the bus has not taken all, some of many.
func leftOf(batch []Outgoing) []string {
	var left []Queue
	for i := range batch {
		if batch[i].Left {
			left = append(left, batch[i].Queue)
		}
	}
	return queueNames(left)
}

// pause waits for the bell or the timer; false says that ctx ended. With again
// the bell stays unheard, so that a shard held by another node is not asked
// for in a spin.
func (g *Gateway) pause(ctx context.Context, b bell, d time.Duration, again bool) bool {
	if again {
		return sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-b:
	case <-t.C:
	}
	return true
}

// queued counts, by queue, what the store has put there.
func queued(batch []Outgoing) map[Queue]int {
	count := map[Queue]int{}
	for i := range batch {
		if batch[i].Queued {
			count[batch[i].Queue]++
		}
	}
	return count
}

// records makes the records of a batch, and says which messages go into their queues
// when the bus has them. A message whose content is erased has none.
func (g *Gateway) records(batch []Outgoing) ([]*Record, error) {
	records := make([]*Record, len(batch))
	for i := range batch {
		if batch[i].Message.Erased != nil {
			continue
		}
		r, stream, err := g.record(&batch[i])
		if err != nil {
			return nil, err
		}
		records[i] = &r
		if !stream && g.config.Kafka.Fills == FillsRelay {
			batch[i].Arrival = journal.Event{Kind: journal.KindQueued, Time: g.now().UTC(), Node: g.config.Node, Outcome: "ok"}
		}
	}
	return records, nil
}

// tellWaiting is how often a node says of a shard that the bus does not take everything.
const tellWaiting = 30 * time.Second

// publishWithin is how long the bus may take over a batch. The shard is led meanwhile. When
// the bus is away, it is let go and tried again, here or at another node.
const publishWithin = 20 * time.Second

// publish puts a batch on the bus and gives its journal events. What the bus
// refuses for good goes to the dead letters, and its sender is told, before the
// rows are deleted. What it has not taken in time is left, and so is what it refuses and
// takes no note of; late says why. What is behind a message that is refused goes on: that
// one comes into no queue.
func (g *Gateway) publish(ctx context.Context, batch []Outgoing, made []*Record) (events []journal.Event, late, err error) {
	defer g.metrics.stage("relay", "").end()
	began := time.Now()
	records, of := make([]Record, 0, len(batch)), make([]int, 0, len(batch))
	dead := map[int]string{}
	for i, r := range made {
		if r == nil {
			dead[i] = OutcomeErased
			continue
		}
		records, of = append(records, *r), append(of, i)
	}
	bounded, cancel := context.WithTimeout(ctx, publishWithin)
	err = g.broker.Publish(bounded, records)
	cancel()
	for n, i := range of {
		made[i].Partition, made[i].Offset = records[n].Partition, records[n].Offset
	}
	var rejected *RejectedError
	var unpublished *UnpublishedError
	refused, left := errors.As(err, &rejected), errors.As(err, &unpublished)
	if err != nil && !refused && !left {
		return nil, nil, err
	}
	if left {
		late = unpublished
		for _, n := range unpublished.Indexes {
			batch[of[n]].Left = true
		}
	}
	if refused {
		var stays *UnpublishedError // a note: the next ones would take as long
		for _, n := range rejected.Indexes {
			if stays == nil {
				err := g.bury(ctx, &batch[of[n]], records[n], rejected.Err)
				if err != nil && !errors.As(err, &stays) {
					return nil, nil, err
				}
			}
			if stays != nil {
				batch[of[n]].Left = true
				continue
			}
			dead[of[n]] = "rejected by the bus"
		}
		if stays != nil {
			late = errors.Join(late, fmt.Errorf("a note of what the bus refuses: %w", stays))
		}
	}
	events = make([]journal.Event, 0, len(batch))
	for i := range batch {
		if batch[i].Left {
			continue
		}
		g.span(batch[i].Message.Trace, "relay", began)
		ev := journal.Event{Kind: journal.KindRouted, Time: g.now().UTC(), Node: g.config.Node, Outcome: "ok"}
		describe(&ev, batch[i].Message)
		ev.Recipient = string(batch[i].Queue.System)
		if why := dead[i]; why != "" {
			ev.Kind, ev.Outcome = journal.KindDead, why
			batch[i].Arrival = journal.Event{}
		}
		events = append(events, ev)
	}
	return events, late, nil
}

// bury keeps what the bus will not take: a note on the dead topic, and word to
// the sender. The message itself stays in the store.
func (g *Gateway) bury(ctx context.Context, o *Outgoing, r Record, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	m := o.Message
	note := Record{Topic: g.config.Kafka.Prefix + ".dead", Key: r.Key}
	for _, h := range r.Headers {
		if h.Key != headerSeal && h.Key != headerOldSeal { // nobody is to find here what fills a queue
			note.Headers = append(note.Headers, h)
		}
	}
	if err := g.broker.Publish(ctx, []Record{note}); err != nil {
		var rejected *RejectedError
		if !errors.As(err, &rejected) {
			return err
		}
		g.log.Error("the dead letter topic refuses a note too", "message", m.ID, "error", err)
	}
	g.metrics.dead.Inc()
	g.log.Error("the bus refuses a message for good; its sender is told", "message", m.ID, "messageId", string(m.MessageID), "recipient", string(o.Queue.System), "error", cause)
	why := "Сообщение не может быть доставлено получателю."
	return g.tellSender(ctx, m, envelopes.AsyncStatus{
		Category: envelopes.StatusRequestIsRejectedBySmev, Details: why,
		Fault: &envelopes.Fault{Kind: envelopes.SMEVFailure, Code: g.config.Contour + " : TR:ASYNC:DAS:1", Text: why},
	})
}
