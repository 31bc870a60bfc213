package adapter

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// accept commits an admitted message: dedup key, body, outbox rows and journal
// events in one statement. Before that nothing has been promised; after it the
// message is never lost, and a crash from here on leaves the sender to ask again
// with the same MessageID and be told what it would have been told now.
func (g *Gateway) accept(ctx context.Context, c *call, a admitted) error {
	if err := g.writable(); err != nil {
		return err
	}
	if err := g.keepJudgement(ctx, c); err != nil {
		return err
	}
	m := a.message
	c.event.Message, c.event.Direction, c.event.Original = m.ID.String(), string(m.Direction), string(m.Original)
	done := c.stage("accept")
	out, err := g.commit(ctx, m, acceptEvents(c, a))
	done.end()
	if err != nil {
		c.scratch = nil // the store may still be reading the body
		switch {
		case errors.Is(err, ErrAnswered):
			return &refusal{reason: "answered", args: []any{m.Original}, cause: err}
		case errors.Is(err, ErrTaken):
			return &refusal{reason: "message-id-used", args: []any{m.MessageID}, cause: err}
		case errors.Is(err, ErrFileGone):
			return &refusal{reason: "attachment-file-missing", args: []any{m.MessageID, fileIDs(m.Files)}, cause: err}
		}
		return unavailable(err)
	}
	if out.First != nil {
		switch {
		case !sameWords(out.First, m):
			return because("message-id-used", m.MessageID)
		case g.config.MessageID.Strict:
			return because("duplicate", m.MessageID)
		}
		return g.repeat(c, out.First)
	}
	c.outcome, c.final = "ok", m.Direction.Final()
	c.answer = g.receipt(c, m)
	c.shadowed = Shadowed{Service: a.service, Sender: m.Sender, Direction: m.Direction, MessageID: m.MessageID, Data: m.Parts.Data}
	return nil
}

func fileIDs(files []File) string {
	ids := make([]string, len(files))
	for i, f := range files {
		ids[i] = f.ID.String()
	}
	return strings.Join(ids, ", ")
}

// commit gives a message to the store and wakes the relay.
func (g *Gateway) commit(ctx context.Context, m *Message, events []journal.Event) (Accepted, error) {
	out, err := g.store.Accept(ctx, m, events)
	if err != nil || out.First != nil {
		return out, err
	}
	g.depth.add(m)
	for _, q := range m.Recipients {
		g.outbox[ShardOf(q)].ring()
	}
	return out, nil
}

// acceptEvents are what the journal hears of an accepted message: the message
// itself and, for a final reply, that its request is answered.
func acceptEvents(c *call, a admitted) []journal.Event {
	m := a.message
	ev := acceptedEvent(c, m)
	ev.Personal = a.about
	if m.Direction.Final() {
		return []journal.Event{ev, answeredEvent(ev, m)}
	}
	return []journal.Event{ev}
}

// answeredEvent is the end of a request, told with the acceptance of its final reply.
func answeredEvent(ev journal.Event, reply *Message) journal.Event {
	return journal.Event{
		Kind: journal.KindAnswered, Time: ev.Time, Node: ev.Node,
		Message: reply.Request.String(), MessageID: string(reply.Original), Direction: string(DirRequest),
		Sender: string(reply.Recipients[0].System), Recipient: string(reply.Sender), Service: reply.Service, Version: reply.Version,
		Outcome: string(reply.Direction),
	}
}

// sameWords reports whether a repeated message says what the first one said:
// the same bytes, or the same signed element in an envelope that was signed
// anew (ECDSA and GOST signatures differ each time).
func sameWords(first, again *Message) bool {
	if first.Digest == again.Digest {
		return true
	}
	return first.Wire == again.Wire && bytes.Equal(piece(first.Body, first.Parts.Data), piece(again.Body, again.Parts.Data))
}

// piece cuts a span out of a body; nil when the span is not in it.
func piece(body []byte, s Span) []byte {
	if s.Off < 0 || s.Len < 0 || s.Off+s.Len > len(body) {
		return nil
	}
	return body[s.Off : s.Off+s.Len]
}

// repeat answers a repetition of an accepted message with its receipt, so that
// a sender whose connection dropped learns that its message did leave.
func (g *Gateway) repeat(c *call, first *Message) error {
	g.metrics.repeated.Inc()
	c.outcome = "repeated"
	c.answer = g.receipt(c, first)
	return nil
}

// acceptedBefore finds an accepted message with the same id, sender and words.
// It is asked only when a call is about to be refused: what was accepted once
// is not refused later because a rule or a clock has moved on.
func (g *Gateway) acceptedBefore(ctx context.Context, c *call, id string, data xmltape.Node) *Message {
	if _, ok := parseLowerUUID(id); !ok || g.config.MessageID.Strict {
		return nil
	}
	list, err := g.store.Find(ctx, MessageID(id))
	if err != nil {
		return nil
	}
	for i := range list {
		m := &list[i]
		if m.Sender == c.party.Mnemonic && m.Wire == c.version().String() && bytes.Equal(piece(m.Body, m.Parts.Data), data.Bytes()) {
			return m
		}
	}
	return nil
}

// receipt is the answer to SendRequest and SendResponse.
func (g *Gateway) receipt(c *call, m *Message) envelopes.Draft {
	meta := g.metadata(c, m)
	meta.Status = envelopes.StatusRequestIsQueued
	return envelopes.BuildReceipt(c.version(), c.operation(), meta)
}

// metadata is MessageMetadata as senders and recipients see it.
func (g *Gateway) metadata(c *call, m *Message) envelopes.Metadata {
	meta := envelopes.Metadata{MessageID: string(m.MessageID), Sent: m.Accepted, Sender: g.participant(c, m.Sender), Type: envelopes.TypeResponse}
	switch m.Direction {
	case DirRequest:
		meta.Type = envelopes.TypeRequest
	case DirBroadcast:
		meta.Type = envelopes.TypeBroadcast
		return meta // no recipient: it goes to all
	}
	if len(m.Recipients) > 0 {
		meta.Recipient = g.participant(c, m.Recipients[0].System)
	}
	return meta
}

func (g *Gateway) participant(c *call, m Mnemonic) envelopes.Participant {
	p := envelopes.Participant{Mnemonic: string(m), Name: string(m)}
	if known := c.catalog.Party(m); known != nil {
		p.Name = known.Name
	}
	return p
}
