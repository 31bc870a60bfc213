package adapter

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mezhved/adapter/gather"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// sweep does what time brings: leases run out, messages come to their end of
// life, old keys are forgotten. Every node sweeps; the store sees to it that
// each thing is done once.
func (g *Gateway) sweep(ctx context.Context) error {
	for {
		more, err := g.sweepOnce(ctx)
		if err != nil {
			return err
		}
		if !more && !sleep(ctx, g.config.Times.Sweep.D()) {
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (g *Gateway) sweepOnce(ctx context.Context) (more bool, err error) {
	defer g.metrics.stage("sweep", "").end()
	if g.rooms.Clock.Trusted() != nil {
		return false, nil // a life that a wrong clock ends is not given back
	}
	began := time.Now()
	swept, err := g.store.Sweep(ctx, g.now().UTC())
	if err != nil {
		return false, fmt.Errorf("sweeping: %w", err)
	}
	if swept.More {
		gather.Aside(ctx, time.Since(began))
	}
	g.metrics.returned.Add(float64(swept.Returned))
	if err := g.tellExpired(ctx, swept.Expired); err != nil {
		return false, err
	}
	if swept.Returned > 0 {
		g.arrivals.ringAll() // the store does not say which queues they went back to
	}
	return swept.More, nil
}

// tellExpired tells the senders of requests whose life has ended. One after another, each
// would wait for a commit of its own; all at once, polls would wait for theirs.
func (g *Gateway) tellExpired(ctx context.Context, expired []Message) error {
	errs := make([]error, len(expired))
	gather.Apart(ctx, len(expired), func(i int) {
		m := &expired[i]
		errs[i] = g.tellSender(ctx, m, envelopes.AsyncStatus{
			Category: envelopes.StatusRequestIsRejectedBySmev,
			Details:  fmt.Sprintf("Срок жизни сообщения истёк до доставки получателю. MessageId = %s", m.MessageID),
			Fault:    &envelopes.Fault{Kind: envelopes.EndOfLifeReached, Code: g.config.Contour + " : TR:ASYNC:PP:45", Text: table["end-of-life"].text},
		})
		if errs[i] == nil && !m.Test {
			g.metrics.expired.Inc()
		}
	})
	return errors.Join(errs...)
}

// tellSender sends the gateway's own AsyncProcessingStatus about a message to
// its sender's response queue, of the same node, or to its status queue when the
// party is registered so. About a request it is the final reply. Said twice it
// is one message: its MessageID is made from the message that it is about, and
// a request has one final reply.
func (g *Gateway) tellSender(ctx context.Context, about *Message, s envelopes.AsyncStatus) error {
	if about.Direction == DirAsync || about.Direction == DirBroadcast {
		return nil
	}
	now := g.now().UTC()
	s.OriginalMessageID = string(about.MessageID)
	m := &Message{
		ID: newID(now), MessageID: ownMessageID(g.replies.derived(0, "own message"), about.ID, about.Accepted), Direction: DirAsync, Original: about.MessageID,
		Reference: about.Reference, TransactionCode: about.TransactionCode, Sender: Mnemonic(g.config.Name), Service: about.Service, Version: about.Version,
		Root: about.Root, Test: about.Test, Accepted: now, Wire: about.Wire, Trace: about.Trace,
		Recipients: []Queue{{System: about.Sender, Kind: QueueResponses}},
	}
	if about.Direction == DirRequest {
		m.Request = about.ID
		if to, err := g.replies.open(about.ReplyTo); err == nil {
			m.Recipients[0].Node = to.Node
		}
	}
	if p := g.Catalog().Party(about.Sender); p != nil && p.StatusQueue {
		m.Recipients[0] = Queue{System: about.Sender, Kind: QueueStatus}
	}
	body, err := json.Marshal(envelopes.AsyncMessage{MessageID: string(m.MessageID), To: about.ReplyTo, AsyncStatus: s})
	if err != nil {
		return fmt.Errorf("own message about %s: %w", about.ID, err)
	}
	m.Body, m.Digest = body, sha256.Sum256(body)

	ev := journal.Event{Kind: journal.KindAccepted, Time: now, Node: g.config.Node, Outcome: "ok", Digest: hexDigest(m.Digest), Size: len(body),
		Channel: "gateway", Reference: string(m.Reference), Test: m.Test}
	describe(&ev, m)
	events := []journal.Event{ev}
	if about.Direction == DirRequest {
		events = append(events, answeredEvent(ev, m))
	}
	if _, err := g.commit(ctx, m, events); err != nil && !errors.Is(err, ErrAnswered) {
		return fmt.Errorf("own message about %s: %w", about.ID, err)
	}
	return nil
}
