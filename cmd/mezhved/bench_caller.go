package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// caller is one party at one door, with a connection of its own. It makes each call once,
// signed ahead or now; what comes of that that is no good answer is its Client's to go on
// with, which asks again where the bus says so. It is for one goroutine.
type caller struct {
	*party.Client
	kept  *proofs        // of its answers
	quick signing.Signer // signing.Repeatable: what it signs has to differ, see pollNow

	lane  *lane
	heads map[envelopes.Operation][]byte
	call  []byte       // the one that is made
	tape  xmltape.Tape // of answers that it gives
}

// patient is for calls that are made again.
var patient = &http.Client{Timeout: laneCall, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// caller is the n-th caller of a party.
func (b *bed) caller(n int, mnemonic string, kept *proofs) (*caller, error) {
	c := &caller{Client: b.client(n, mnemonic), kept: kept, heads: map[envelopes.Operation][]byte{}}
	c.HTTP, c.quick = patient, signing.Repeatable(c.Signer)
	var err error
	if c.lane, err = newLane(c.URL); err != nil {
		return nil, usage(err)
	}
	kind, _ := envelopes.Package(nil, nil, false)
	for _, op := range []envelopes.Operation{envelopes.SendRequest, envelopes.SendResponse, envelopes.GetRequest, envelopes.GetResponse, envelopes.Ack} {
		headers := []string{"Accept", "text/xml", "Content-Type", kind, "SOAPAction", `"urn:` + op.String() + `"`}
		if op == envelopes.GetRequest || op == envelopes.GetResponse {
			headers = append(headers, "Prefer", pollWish)
		}
		c.heads[op] = c.lane.head(headers...)
	}
	return c, nil
}

// say makes a call: the one that was signed ahead, or else the one that draft writes. The
// answer's body is good until the next one.
func (c *caller) say(ctx context.Context, op envelopes.Operation, ahead pressed, draft func() envelopes.Draft) (party.Answer, error) {
	if ahead.like != nil {
		c.call = ahead.write(c.call)
	} else {
		d := draft()
		signed, err := signing.AppendSigned(ctx, c.call[:0], d.XML, d.SignID, d.Slot, c.quick)
		if err != nil {
			return party.Answer{}, err
		}
		c.call = signed
	}
	return c.lane.post(ctx, c.heads[op], c.call)
}

// pollWait is how long a poll waits in an empty queue, and pollWish how it says so.
const (
	pollWait = 5 * time.Second
	pollWish = "wait=5"
)

// polled is the microsecond of the last poll that was written.
var polled atomic.Int64

// pollNow is a poll of this moment and of a microsecond of its own. The bus knows a poll again by
// its signature, and a repeatable one is the same for the same poll.
func pollNow(op envelopes.Operation) envelopes.Draft {
	for {
		last := polled.Load()
		if now := max(time.Now().UnixMicro(), last+1); polled.CompareAndSwap(last, now) {
			call := envelopes.PollCall{Operation: op, Timestamp: time.UnixMicro(now), Fine: true}
			return call.Build(envelopes.V12)
		}
	}
}

// poll takes what comes next, if anything does. An answer in which not everything stands
// where it usually does is proved at once: an empty one, for instance.
func (c *caller) poll(ctx context.Context, op envelopes.Operation, ahead pressed) (glimpse, error) {
	a, err := c.say(ctx, op, ahead, func() envelopes.Draft { return pollNow(op) })
	var m *party.Message
	switch {
	case ctx.Err() != nil:
		return glimpse{}, ctx.Err()
	case err == nil && a.Status == http.StatusOK:
		if s, ok := skim(op, a.Body); ok && c.kept.take(c.Client, op, a, s) {
			return s, nil
		}
		m, err = c.ReadMessage(op, a)
	case op == envelopes.GetRequest:
		m, err = c.PollRequest(ctx, party.Selector{Wait: pollWait})
	default:
		m, err = c.PollResponse(ctx, party.Selector{Wait: pollWait})
	}
	if m == nil {
		return glimpse{}, err
	}
	return glimpseOf(m), nil
}

// send sends a request.
func (c *caller) send(ctx context.Context, e *exchange, content []byte) error {
	if c.receipt(ctx, envelopes.SendRequest, e.id, e.request, content, func(content xmltape.Node) envelopes.Draft {
		call := envelopes.SendRequestCall{MessageID: e.id, Content: content}
		return call.Build(envelopes.V12, false)
	}) {
		return nil
	}
	_, err := c.SendRequest(ctx, party.Request{MessageID: e.id, Content: content, Unsure: true})
	return err
}

// reply answers a request. Nothing of it can be signed ahead.
func (c *caller) reply(ctx context.Context, e *exchange, to string, content []byte) error {
	if c.receipt(ctx, envelopes.SendResponse, e.reply, pressed{}, content, func(content xmltape.Node) envelopes.Draft {
		call := envelopes.SendResponseCall{MessageID: e.reply, To: to, Content: content}
		return call.Build(envelopes.V12, false)
	}) {
		return nil
	}
	_, err := c.Reply(ctx, party.Reply{MessageID: e.reply, To: to, Content: content, Unsure: true})
	return err
}

// receipt sends a message and says that it has the bus's receipt. A caller has messages of
// one content.
func (c *caller) receipt(ctx context.Context, op envelopes.Operation, id string, ahead pressed, content []byte, draft func(content xmltape.Node) envelopes.Draft) bool {
	if ahead.like == nil && c.tape.Root() == (xmltape.Node{}) && c.tape.Parse(content, xmltape.Limits{}) != nil {
		return false
	}
	a, err := c.say(ctx, op, ahead, func() envelopes.Draft { return draft(c.tape.Root()) })
	if err != nil || a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(id)) {
		return false
	}
	if c.kept.take(c.Client, op, a, glimpse{message: id}) {
		return true
	}
	_, err = c.ReadReceipt(op, id, a)
	return err == nil
}

// ack acknowledges a message. The bus does not sign what it answers.
func (c *caller) ack(ctx context.Context, ahead pressed, id string) error {
	a, err := c.say(ctx, envelopes.Ack, ahead, func() envelopes.Draft {
		call := envelopes.AckCall{MessageID: id, Accepted: true}
		return call.Build(envelopes.V12)
	})
	if err == nil && a.Status == http.StatusOK && bytes.Contains(a.Body, []byte("AckResponse")) {
		return nil
	}
	// A call without an answer, or one that the bus asks to repeat, may have been done.
	unsure := err != nil || a.Status == http.StatusServiceUnavailable
	err = c.Ack(ctx, id, true)
	var fault *party.FaultError
	if unsure && errors.As(err, &fault) && fault.Fault.Kind == envelopes.TargetMessageIsNotFound {
		return nil
	}
	return err
}

// glimpse is what a generator needs of an answer to go on. It reads it where it usually
// stands; what it has read is held against what is proved later.
type glimpse struct{ message, replyTo, original string }

// skim reads it of a delivery. ok: everything was found.
func skim(op envelopes.Operation, answer []byte) (s glimpse, ok bool) {
	_, metadata, _ := bytes.Cut(answer, []byte("MessageMetadata"))
	s.message = leaf(metadata, "MessageId")
	if op == envelopes.GetRequest {
		s.replyTo = leaf(answer, "ReplyTo")
		return s, s.message != "" && s.replyTo != ""
	}
	s.original = leaf(answer, "OriginalMessageId")
	return s, s.message != "" && s.original != ""
}

// leaf is the text of the first element of this local name without attributes; empty: there
// is none, or it is not written plainly.
func leaf(xml []byte, name string) string {
	_, behind, ok := bytes.Cut(xml, []byte(":"+name+">"))
	if !ok {
		_, behind, ok = bytes.Cut(xml, []byte("<"+name+">"))
	}
	end := bytes.IndexByte(behind, '<')
	if !ok || end < 0 {
		return ""
	}
	text := strings.TrimSpace(string(behind[:end]))
	if strings.ContainsAny(text, "&\r") {
		return ""
	}
	return text
}
