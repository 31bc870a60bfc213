package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// poll carries out GetRequest and GetResponse: the next message of the caller's
// queue is leased, its answer written and signed, and both are committed together:
// the entry "delivered" commits to the signed poll and to the answer, and both are
// kept. A crash before that leaves the message where it was; one after it leaves the
// message invisible until the lease runs out, and then it is delivered again.
func (g *Gateway) poll(ctx context.Context, c *call) error {
	ask, err := envelopes.DecodePoll(c.envelope, c.signed)
	if err != nil {
		return err
	}
	use, err := g.fresh(c, ask.Timestamp, ask.Zoneless)
	if err != nil {
		return err
	}
	p := Poll{Queue: Queue{System: c.party.Mnemonic, Kind: QueueRequests}, Wire: c.version().String(), For: g.config.Queues.Lease.D(), Use: use}
	if c.party.Lease > 0 {
		p.For = c.party.Lease
	}
	if ask.Operation == envelopes.GetResponse {
		p.Queue.Kind, p.Queue.Node = QueueResponses, ask.NodeID
	}
	if p.Roots, err = g.selected(c, ask); err != nil {
		return err
	}
	g.notePoll(c, ask)
	queue := p.Queue // and not all of p
	d, err := g.lease(ctx, c, p, func(d *Delivery) error {
		waiting, err := g.grantFiles(ctx, d.Message, queue)
		if err != nil {
			return err
		}
		return g.deliver(c, d, waiting)
	})
	if err != nil {
		return err
	}
	if d == nil {
		c.outcome = "empty"
		c.answer = envelopes.BuildEmpty(c.version(), c.operation())
		return nil
	}
	c.outcome = "ok"
	c.aside(d.Message.Sender, d.Message.Test)
	if c.span.IsRecording() {
		c.span.AddLink(trace.LinkFromContext(carried(context.Background(), d.Message.Trace)))
	}
	return nil
}

// grantFiles gives the reader an account for the message's files in the file
// store, new at each delivery. When that fails the message is not handed out: it
// steps aside for the time of the lease.
func (g *Gateway) grantFiles(ctx context.Context, m *Message, q Queue) ([]envelopes.FSAttachment, error) {
	if m.Parts.Files == 0 {
		return nil, nil
	}
	if g.rooms.Files == nil || len(m.Files) != m.Parts.Files {
		return nil, unavailable(fmt.Errorf("message %s has %d files in the file store, of which this node finds %d: configure it like the node that accepted the message (files.dir)", m.ID, m.Parts.Files, len(m.Files)))
	}
	user, password, err := g.rooms.Files.Grant(ctx, m.ID, q)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]envelopes.FSAttachment, len(m.Files))
	for i, name := range FileNames(m.Files) {
		out[i] = envelopes.FSAttachment{UUID: m.Files[i].ID.String(), UserName: user, Password: password, FileName: name}
	}
	return out, nil
}

// fresh holds the Timestamp that a caller signed against the window for polls:
// beyond it the call may be one that somebody captured and repeats. Within it, a
// call that came with one operation does not come with another: which of them is
// meant is not under the signature. The use that it gives is for the store to hold
// against what came before. The WSDL declares no fault for either; InvalidContent is
// the nearest.
func (g *Gateway) fresh(c *call, signed time.Time, zoneless bool) (Use, error) {
	window := g.limits().PollAge.D()
	if window == 0 {
		return Use{}, nil
	}
	if zoneless {
		signed = inZone(signed, c.party.Zone)
	}
	away := signed.Sub(c.started)
	if away.Abs() > window {
		return Use{}, stale(c, "soap.timestamp", fmt.Sprintf("Timestamp вызова (%s) отличается от времени узла (%s) больше чем на %d с%s, проверьте часы и подпишите вызов заново",
			signed.Format(time.RFC3339), c.started.In(terms.Moscow).Format(time.RFC3339), int64(window/time.Second), zoneHint(signed, away, window, zoneless)))
	}
	return Use{Mark: c.signed.Mark(), Operation: c.operation().String(), Until: signed.Add(window)}, nil
}

func replayed(c *call, first string) *refusal {
	return stale(c, "soap.replay", fmt.Sprintf("вызов с этой подписью уже был операцией %s, для операции %s подпишите вызов заново", first, c.operation()))
}

func stale(c *call, rule, says string) *refusal {
	r := because("envelope", ": "+says)
	off, _ := c.signed.Element().Range()
	r.marks = []mark{{rule: rule, offset: off}}
	return r
}

// inZone reads the clock face of a time anew, in another zone.
func inZone(t time.Time, zone *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
}

// zoneHint says what is likely wrong when two times are apart by the difference of
// two zones, which come in quarters of an hour.
func zoneHint(signed time.Time, away, window time.Duration, zoneless bool) string {
	const most = 14 * time.Hour
	whole := away.Round(15 * time.Minute)
	likely := whole != 0 && whole.Abs() <= most && (away-whole).Abs() <= min(window, 2*time.Minute)
	switch {
	case zoneless:
		return fmt.Sprintf(" (часовой пояс во времени не указан, принят %s: указывайте его или сообщите свой для регистрации, timeZone)", signed.Format("-07:00"))
	case likely:
		return " (похоже, в нём указан не тот часовой пояс)"
	}
	return ""
}

// selected are the roots that the selector stands for; nil means any. A
// selector for a service that the caller neither provides nor calls names a
// queue that it does not own.
func (g *Gateway) selected(c *call, ask *envelopes.PollCall) ([]QName, error) {
	if !ask.Selects() {
		return nil, nil
	}
	s := c.catalog.ByRoot(QName(ask.Root))
	owns := false
	if s != nil {
		if ask.Operation == envelopes.GetRequest {
			owns = c.catalog.Provides(c.party.Mnemonic, s)
		} else {
			owns = c.catalog.Calls(c.party.Mnemonic, s)
		}
	}
	if !owns {
		return nil, because("no-such-queue", c.signed.Certificate().Subject())
	}
	return c.catalog.Selected(s), nil
}

// lease asks the store for the next message and, when the caller is willing to
// wait, waits for one: woken by this node's intake, and looking again once a
// second for what other nodes have queued. write writes the answer that hands it out,
// which is signed here: the store commits to what goes out.
func (g *Gateway) lease(ctx context.Context, c *call, p Poll, write func(*Delivery) error) (*Delivery, error) {
	p.Envelope = c.envelope.Bytes()
	p.Answer = func(d *Delivery) (out []byte, err error) {
		if err = write(d); err == nil {
			out, err = g.sign(ctx, c)
		}
		c.signedAnswer, c.unwritten = out, err
		return out, err
	}
	end := time.Now().Add(c.wait) // a duration of the connection, not a time of the domain
	for {
		place := g.arrivals.wait(p.Queue, len(p.Roots) > 0)
		p.Now = g.now().UTC().Truncate(time.Millisecond)
		p.Event = c.event
		p.Event.Kind, p.Event.Time, p.Event.Outcome, p.Event.Sender = journal.KindDelivered, p.Now, "ok", ""
		p.Event.Recipient, p.Event.Size = string(c.party.Mnemonic), 0
		stage := c.stage("lease")
		d, err := g.store.Lease(ctx, p)
		stage.end()
		if err != nil || c.unwritten != nil {
			err = c.unleased(err)
		}
		p.Use = Use{} // it is noted
		left := time.Until(end)
		if d != nil || err != nil || left <= 0 || g.draining.Load() {
			g.arrivals.leave(place)
			return d, err
		}
		c.leave() // who waits does not work
		t := time.NewTimer(min(left, g.config.Times.Poll.D()))
		select {
		case <-place.rung:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		g.arrivals.leave(place)
		c.back()
		if err := ctx.Err(); err != nil {
			return nil, unavailable(err)
		}
	}
}

// unleased says why nothing was handed out.
func (c *call) unleased(err error) error {
	var used *UsedError
	switch {
	case errors.As(err, &used):
		return replayed(c, used.First)
	case c.unwritten != nil:
		return c.unwritten // in its own words
	}
	return unavailable(err)
}

// deliver writes the answer, in the reader's version: round the sender's bytes
// and under the sender's signature when the message was signed in that version.
// The signed element bears its version's namespace, so for a reader of another
// one it is written anew and goes without that signature. The business content,
// and the official's signature over it, stay byte for byte; the bus's signature
// covers all of it.
func (g *Gateway) deliver(c *call, d *Delivery, waiting []envelopes.FSAttachment) error {
	m := d.Message
	if m.Direction == DirAsync {
		return g.deliverAsync(c, m)
	}
	v := c.version()
	body, signature, err := inVersion(m, v)
	if err != nil {
		return err
	}
	meta := g.metadata(c, m)
	meta.Delivered, meta.Status = g.now(), v.Delivered()
	files := make([]envelopes.Attachment, len(m.Attachments))
	for i, a := range m.Attachments {
		files[i] = envelopes.Attachment{ID: a.ID, Content: a.Content}
	}
	if c.operation() == envelopes.GetRequest {
		c.answer = envelopes.BuildRequestDelivery(v, envelopes.RequestDelivery{
			Data: body, Metadata: meta, ReplyTo: m.ReplyTo, Signature: signature, Files: waiting, Attachments: files, XOP: c.multipart,
		})
		return nil
	}
	c.answer = envelopes.BuildResponseDelivery(v, envelopes.ResponseDelivery{
		OriginalMessageID: string(m.Original), OriginalTransactionCode: m.TransactionCode, ReferenceMessageID: string(m.Reference),
		Data: body, Metadata: meta, Signature: signature, Files: waiting, Attachments: files, XOP: c.multipart,
	})
	return nil
}

// inVersion gives the sender's element and signature to a reader of version v;
// the signature is empty when the element had to be written anew.
func inVersion(m *Message, v envelopes.Version) (body, signature envelopes.Fragment, err error) {
	signed, ok := envelopes.VersionOf(m.Wire)
	if !ok {
		return body, signature, fmt.Errorf("stored message %s has the unknown version %q", m.ID, m.Wire)
	}
	body = envelopes.Fragment{XML: piece(m.Body, m.Parts.Data), Scope: bindings(m.Parts.Scope)}
	if len(body.XML) == 0 {
		return body, signature, fmt.Errorf("stored message %s: its pieces are not within its body", m.ID)
	}
	if signed != v {
		if body, err = envelopes.Translate(body, signed, v); err != nil {
			err = fmt.Errorf("stored message %s: %w", m.ID, err)
		}
		return body, signature, err
	}
	signature = envelopes.Fragment{XML: piece(m.Body, m.Parts.Signature), Scope: bindings(m.Parts.SigScope)}
	return body, signature, nil
}

// deliverAsync writes the gateway's own words about a message, in the version
// of whoever reads them.
func (g *Gateway) deliverAsync(c *call, m *Message) error {
	var own envelopes.AsyncMessage
	if err := json.Unmarshal(m.Body, &own); err != nil {
		return fmt.Errorf("stored message %s: %w", m.ID, err)
	}
	if c.operation() == envelopes.GetStatus {
		c.answer = envelopes.BuildStatus(c.version(), own.AsyncStatus)
		return nil
	}
	meta := g.metadata(c, m)
	meta.Delivered, meta.Status = g.now(), c.version().Delivered()
	c.answer = envelopes.BuildResponseDelivery(c.version(), envelopes.ResponseDelivery{
		OriginalMessageID: string(m.Original), OriginalTransactionCode: m.TransactionCode, ReferenceMessageID: string(m.Reference),
		Data: envelopes.BuildAsyncData(c.version(), own), Metadata: meta,
	})
	return nil
}

func bindings(in []Binding) []xmltape.Binding {
	out := make([]xmltape.Binding, len(in))
	for i, b := range in {
		out[i] = xmltape.Binding{Prefix: b.Prefix, URI: b.URI}
	}
	return out
}
