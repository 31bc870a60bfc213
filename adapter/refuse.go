package adapter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// writeFault ends a call that is not carried out: the sender gets the table's
// sentence, the log gets the cause, the journal the event and the bytes; the
// incident id joins the three.
func (g *Gateway) writeFault(ctx context.Context, c *call, w http.ResponseWriter, err error) {
	r := refuse(err)
	if r.reason == "unavailable" && errors.Is(r.cause, context.Canceled) && ctx.Err() != nil {
		// Whoever hangs up is nobody's failure, and nobody is there to be told. What was
		// committed by then is, as after any lost answer.
		c.outcome = "gone"
		g.log.Info("the caller hung up before it had its answer", "operation", c.operation().String(), "remote", c.remote, "trace_id", c.traceID)
		return
	}
	r.incident = newIncident()
	if c.envelope != nil {
		for i := range r.marks {
			if m := &r.marks[i]; m.line == 0 {
				m.line, m.col = c.envelope.Tape().Position(m.offset)
			}
		}
	}
	r = g.declared(c, r)
	r = g.slowDown(c, r)
	r = g.keepRefusal(ctx, c, r)
	g.logRefusal(c, r)
	if !g.uncounted(c) {
		g.metrics.refused.WithLabelValues(string(r.reason), strconv.FormatBool(c.party != nil)).Inc()
	}
	c.outcome, c.refused = string(table[r.reason].fault), r.reason

	if c.span.IsRecording() {
		c.span.SetAttributes(attribute.String("smev.incident", r.incident), attribute.String("smev.reason", string(r.reason)))
	}

	h := w.Header()
	h.Set("X-Mezhved-Incident", r.incident)
	if r.retryAfter > 0 {
		h.Set("Retry-After", RetryAfter(r.retryAfter))
	}
	g.write(c, w, table[r.reason].status, r.fault(g.config.Contour).Build(c.version()), nil)
}

// RetryAfter is the header by which a caller is told to come again: whole seconds, one at least.
func RetryAfter(d time.Duration) string {
	return strconv.Itoa(max(int(d.Round(time.Second).Seconds()), 1))
}

// newIncident is an id that a caller can read to somebody over the telephone
// and that tells the time: a UUID of version 7.
func newIncident() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic("no randomness: " + err.Error())
	}
	return id.String()
}

// declared turns a fault that the operation's WSDL does not declare into
// SMEVFailure: clients have no exception for it. That is our bug, and logged as one.
func (g *Gateway) declared(c *call, r *refusal) *refusal {
	op := c.operation()
	kind := table[r.reason].fault
	if op == 0 || envelopes.Declared(c.version(), op, kind) {
		return r
	}
	g.log.Error("a fault that the operation does not declare", "operation", op.String(), "version", c.version().String(), "fault", string(kind), "reason", string(r.reason), "incident", r.incident)
	return &refusal{reason: "undeclared", cause: r, incident: r.incident, marks: r.marks}
}

// slowDown counts a refusal of a caller that was not proved to be a party
// against its account, and tells it to wait when there are too many. What is our
// own failure is not held against it.
func (g *Gateway) slowDown(c *call, r *refusal) *refusal {
	if c.party != nil || c.counted || table[r.reason].fault == envelopes.SMEVFailure {
		return r
	}
	var over *refusal
	if errors.As(g.strangers.admit(c.account()), &over) {
		over.incident, over.cause = r.incident, r
		return over
	}
	return r
}

// keepRefusal journals a refused call with what was refused. A known party's
// refusal that cannot be journalled is answered as an outage instead: the
// audit line that cannot be written stops the act it would have told of.
func (g *Gateway) keepRefusal(ctx context.Context, c *call, r *refusal) *refusal {
	most := int(g.limits().Kept)
	if c.party == nil {
		seems := c.connection
		if p := c.seems(); p != nil {
			seems = string(p.Mnemonic)
		}
		var keep bool
		if most, keep = g.strangers.count(r.reason, seems); !keep {
			return r
		}
	} else {
		switch r.reason {
		case "rate": // too many: counted where they were refused
			return r
		case "pace", "party-share", "service-share", "no-room", "unavailable", "journal-unwritten", "clock":
			g.rates.refuse(c, r.reason) // time to pass it on, room, the store, the journal or the clock is what fails: the journal hears of it in summary
			return r
		}
	}
	kctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := g.keepJudgement(kctx, c); err != nil {
		g.log.Warn("what a refused call's certificates were judged by was not kept, and its entry does not name it", "incident", r.incident, "error", loggable(err))
	}
	ev := r.event(c.event)
	ev.Personal = c.about
	if c.party == nil && c.claimed != [32]byte{} {
		ev.Certificate = hexDigest(c.claimed)
	}
	body := c.body
	if len(body) > 0 {
		ev.Digest = hexDigest(sha256.Sum256(c.envelopeBytes()))
	}
	if len(body) > most {
		body = body[:most]
	}
	if c.party == nil {
		g.strangers.took(len(body))
	}
	if err := g.store.Refuse(kctx, ev, c.traceID, c.contentType, body); err != nil {
		c.scratch = nil // the store may still be reading the body
		if c.party == nil {
			g.strangers.giveBack(map[reason]int{r.reason: 1})
			g.log.Warn("a stranger's refusal was not kept", "incident", r.incident, "error", loggable(err))
			return r
		}
		g.rates.refuse(c, "journal-unwritten")
		return &refusal{reason: "journal-unwritten", cause: errors.Join(r, fmt.Errorf("journal: %w", err)), incident: r.incident, retryAfter: 5 * time.Second}
	}
	return r
}

// envelopeBytes is the root part when it was found, else the body.
func (c *call) envelopeBytes() []byte {
	if c.envelope != nil {
		return c.envelope.Bytes()
	}
	return c.body
}

func (g *Gateway) logRefusal(c *call, r *refusal) {
	attrs := []any{"incident", r.incident, "reason", string(r.reason), "operation", c.operation().String(), "remote", c.remote}
	if c.party != nil {
		attrs = append(attrs, "party", string(c.party.Mnemonic))
	}
	if id, err := uuid.Parse(c.event.MessageID); err == nil { // else it may be anything
		attrs = append(attrs, "messageId", id.String())
	}
	attrs = append(attrs, "trace_id", c.traceID, "cause", r.WithoutValues())
	switch table[r.reason].fault {
	case envelopes.SMEVFailure:
		if table[r.reason].status == http.StatusTooManyRequests || r.reason == "no-room" {
			g.log.Info("call refused", attrs...)
			return
		}
		g.log.Error("call failed", attrs...)
	default:
		g.log.Info("call refused", attrs...)
	}
}

// acceptedEvent is the beginning of a message's life in the journal.
func acceptedEvent(c *call, m *Message) journal.Event {
	ev := c.event
	ev.Kind, ev.Outcome = journal.KindAccepted, "ok"
	ev.Digest = hexDigest(m.Digest)
	describe(&ev, m)
	tellDue(&ev, m)
	return ev
}

// describe fills an event with what a message tells about itself.
func describe(ev *journal.Event, m *Message) {
	ev.Message, ev.MessageID, ev.Original = m.ID.String(), string(m.MessageID), string(m.Original)
	ev.Direction, ev.Sender, ev.Service, ev.Version = string(m.Direction), string(m.Sender), m.Service, m.Version
	ev.Deadline = m.Deadline
	if len(m.Recipients) == 1 {
		ev.Recipient = string(m.Recipients[0].System)
	}
}
