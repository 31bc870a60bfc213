package adapter

import (
	"context"
	"errors"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// ack carries out Ack: a delivered message leaves the queue of its system for
// ever. Any certificate of the system may acknowledge. A second Ack finds
// nothing and is told so; the standard has the client take that for success.
//
// accepted="false" (the recipient could not verify the bus's signature) removes
// the message too, because delivering the same bytes again would not help; the
// journal and the log tell the operator.
func (g *Gateway) ack(ctx context.Context, c *call) error {
	a, err := envelopes.DecodeAck(c.envelope, c.signed)
	if err != nil {
		return err
	}
	c.event.MessageID, c.probe = a.MessageID, g.ofProbe(a.MessageID)
	ev := c.event
	ev.Kind, ev.Outcome, ev.Recipient, ev.Sender, ev.Size = journal.KindAcknowledged, "accepted", string(c.party.Mnemonic), "", 0
	if !a.Accepted {
		ev.Outcome = "rejected"
	}
	done := c.stage("ack")
	err = g.store.Ack(ctx, c.party.Mnemonic, MessageID(a.MessageID), c.started, ev, c.envelope.Bytes())
	done.end()
	switch {
	case errors.Is(err, ErrNotAwaiting):
		return &refusal{reason: "not-awaiting", args: []any{a.MessageID}, cause: err}
	case err != nil:
		c.scratch = nil // the store may still be reading the envelope
		return unavailable(err)
	}
	if !a.Accepted {
		g.log.Error("a recipient rejected a message because our signature did not hold for it: compare its view of our certificate", "party", string(c.party.Mnemonic), "messageId", a.MessageID)
	}
	c.outcome = "ok"
	c.answer = envelopes.BuildAck(c.version())
	return nil
}
