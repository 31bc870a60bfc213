package adapter

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// status carries out GetStatus: the next message of the caller's status queue.
// The protocol has no Ack for it, so a message that was read is consumed; it is
// taken off the queue before the answer goes out.
func (g *Gateway) status(ctx context.Context, c *call) error {
	ask, err := envelopes.DecodeGetStatus(c.envelope, c.signed)
	if err != nil {
		return err
	}
	use, err := g.fresh(c, ask.Timestamp, ask.Zoneless)
	if err != nil {
		return err
	}
	d, err := g.lease(ctx, c, Poll{Queue: Queue{System: c.party.Mnemonic, Kind: QueueStatus}, For: time.Minute, Use: use}, func(d *Delivery) error {
		return g.deliverAsync(c, d.Message)
	})
	if err != nil {
		return err
	}
	if d == nil {
		c.outcome = "empty"
		c.answer = envelopes.BuildEmpty(c.version(), envelopes.GetStatus)
		return nil
	}
	ev := c.event
	ev.Kind, ev.Outcome, ev.Recipient, ev.Sender, ev.Size = journal.KindAcknowledged, "accepted", string(c.party.Mnemonic), "", 0
	if err := g.store.Ack(ctx, c.party.Mnemonic, d.Message.MessageID, c.started, ev, nil); err != nil && !errors.Is(err, ErrNotAwaiting) {
		return unavailable(err)
	}
	c.outcome = "ok"
	return nil
}

// statistics carries out GetIncomingQueueStatistics of 1.1: the depths of the
// caller's queues as they were a few seconds ago at most.
func (g *Gateway) statistics(ctx context.Context, c *call) error {
	ask, err := envelopes.DecodeStatistics(c.envelope, c.signed)
	if err != nil {
		return err
	}
	use, err := g.fresh(c, ask.Timestamp, ask.Zoneless)
	if err != nil {
		return err
	}
	if use != (Use{}) {
		switch first, err := g.store.FirstUse(ctx, use); {
		case err != nil:
			return unavailable(err)
		case first != use.Operation:
			return replayed(c, first)
		}
	}
	var out []envelopes.QueueStatistics
	for _, d := range g.depth.of(c.party.Mnemonic) {
		if ask.NodeID == "" || d.Queue.Node == ask.NodeID {
			out = append(out, envelopes.QueueStatistics{Name: d.Queue.destination(), Pending: int64(d.Waiting)})
		}
	}
	slices.SortFunc(out, func(a, b envelopes.QueueStatistics) int { return strings.Compare(a.Name, b.Name) })
	c.outcome = "ok"
	c.answer = envelopes.BuildStatistics(out)
	return nil
}
