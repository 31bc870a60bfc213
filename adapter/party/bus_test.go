package party

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// bus is a small bus with one queue of each kind: it verifies callers, keeps
// what they signed, delivers it and signs what it says. It exists to have
// somebody at the other end who knows nothing of this package.
type bus struct {
	t        *testing.T
	signer   signing.Signer
	verifier *signing.Verifier
	now      time.Time

	mu        sync.Mutex
	requests  []*stored
	responses []*stored
	seen      map[string]bool
	awaiting  map[string]bool
	calls     int

	// spoil may answer instead of the bus; before it is done, the call was
	// taken (after) or not.
	spoil func(call int, w http.ResponseWriter, take func()) bool
	xop   bool
}

// with lets a test look into the bus, or change it, between calls.
func (b *bus) with(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// counted is the number of calls that arrived.
func (b *bus) counted() (n int) {
	b.with(func() { n = b.calls })
	return n
}

// stored is a message as the bus keeps it: the bytes, and where in them the pieces are.
type stored struct {
	version     envelopes.Version
	envelope    []byte
	data, sig   envelopes.Fragment
	id          string
	original    string
	attachments []envelopes.Attachment
}

func (b *bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	rec := httptest.NewRecorder()
	answer := func() { b.answer(rec, r, body) }
	if b.spoil != nil && b.spoil(b.calls, w, answer) {
		return
	}
	answer()
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (b *bus) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	e, err := envelopes.Parse(r.Header.Get("Content-Type"), body, new(xmltape.Tape), envelopes.Limits{})
	if err != nil {
		b.t.Errorf("parse: %v", err)
		return
	}
	if got, want := r.Header.Get("SOAPAction"), `"urn:`+e.Operation().String()+`"`; got != "" && got != want {
		b.t.Errorf("SOAPAction %s, want %s", got, want)
	}
	sig, target := e.Caller()
	signed, err := b.verifier.Verify(sig, target)
	if err != nil {
		b.t.Logf("refused: %v", err)
		b.fault(w, e, &envelopes.Fault{Kind: envelopes.SignatureVerificationFault, Signature: envelopes.SignatureIsInvalid, Text: err.Error()})
		return
	}
	switch v := e.Version(); e.Operation() {
	case envelopes.SendRequest:
		c, err := envelopes.DecodeSendRequest(e, signed)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.keep(w, e, &b.requests, &stored{version: v, envelope: body, data: envelopes.FragmentOf(c.Data), sig: envelopes.FragmentOf(c.Signature), id: c.MessageID, attachments: c.Attachments})
	case envelopes.SendResponse:
		c, err := envelopes.DecodeSendResponse(e, signed)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.keep(w, e, &b.responses, &stored{version: v, envelope: body, data: envelopes.FragmentOf(c.Data), sig: envelopes.FragmentOf(c.Signature), id: c.MessageID, original: c.To, attachments: c.Attachments})
	case envelopes.GetRequest:
		b.deliver(w, e, &b.requests)
	case envelopes.GetResponse:
		b.deliver(w, e, &b.responses)
	case envelopes.Ack:
		c, err := envelopes.DecodeAck(e, signed)
		if err != nil {
			b.t.Error(err)
			return
		}
		if !b.awaiting[c.MessageID] {
			b.fault(w, e, &envelopes.Fault{Kind: envelopes.TargetMessageIsNotFound, Text: "нет такого"})
			return
		}
		delete(b.awaiting, c.MessageID)
		b.say(w, envelopes.BuildAck(v))
	case envelopes.GetStatus:
		b.say(w, envelopes.BuildStatus(v, envelopes.AsyncStatus{OriginalMessageID: NewMessageID(b.now), Category: envelopes.StatusDoesNotExist}))
	case envelopes.GetIncomingQueueStatistics:
		b.say(w, envelopes.BuildStatistics([]envelopes.QueueStatistics{{Name: "requests", Pending: int64(len(b.requests))}}))
	}
}

func (b *bus) keep(w http.ResponseWriter, e *envelopes.Envelope, queue *[]*stored, m *stored) {
	if b.seen[m.id] {
		b.fault(w, e, &envelopes.Fault{Kind: envelopes.MessageIsAlreadySent, Text: "было послано ранее"})
		return
	}
	b.seen[m.id] = true
	*queue = append(*queue, m)
	b.say(w, envelopes.BuildReceipt(e.Version(), e.Operation(), envelopes.Metadata{
		MessageID: m.id, Type: envelopes.TypeRequest, Sender: envelopes.Participant{Mnemonic: "MNSV05"}, Sent: b.now, Status: envelopes.StatusRequestIsQueued,
	}))
}

func (b *bus) deliver(w http.ResponseWriter, e *envelopes.Envelope, queue *[]*stored) {
	if len(*queue) == 0 {
		b.say(w, envelopes.BuildEmpty(e.Version(), e.Operation()))
		return
	}
	m := (*queue)[0]
	*queue = (*queue)[1:]
	b.awaiting[m.id] = true
	meta := envelopes.Metadata{MessageID: m.id, Type: envelopes.TypeRequest, Sender: envelopes.Participant{Mnemonic: "MNSV05"}, Sent: b.now, Delivered: b.now, Status: m.version.Delivered()}
	if e.Operation() == envelopes.GetRequest {
		b.say(w, envelopes.BuildRequestDelivery(m.version, envelopes.RequestDelivery{Data: m.data, Signature: m.sig, Metadata: meta, ReplyTo: "reply to " + m.id, Attachments: m.attachments, XOP: b.xop}))
		return
	}
	b.say(w, envelopes.BuildResponseDelivery(m.version, envelopes.ResponseDelivery{OriginalMessageID: m.original, Data: m.data, Signature: m.sig, Metadata: meta, Attachments: m.attachments, XOP: b.xop}))
}

func (b *bus) say(w http.ResponseWriter, d envelopes.Draft) {
	xml := d.XML
	if d.SignID != "" && b.signer != nil {
		var err error
		if xml, err = signing.SignInto(context.Background(), xml, d.SignID, d.Slot, b.signer); err != nil {
			b.t.Errorf("the bus cannot sign: %v", err)
		}
	}
	kind, body := envelopes.Package(xml, d.Parts, false)
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}

func (b *bus) fault(w http.ResponseWriter, e *envelopes.Envelope, f *envelopes.Fault) {
	w.Header().Set("Content-Type", envelopes.TextXML)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(f.Build(e.Version()))
}

// world is a bus with a party at it.
type world struct {
	*bus
	client *Client
	now    time.Time
	waits  []time.Duration
}

func newWorld(t *testing.T, key signing.KeyType) *world {
	t.Helper()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	identity := func(name string) signing.Signer {
		id, err := signing.SelfSigned(signing.TestSubject{CommonName: name, Key: key}, now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		s, err := id.Signer()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	verifier, err := signing.NewVerifier(signing.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{now: now}
	w.bus = &bus{t: t, signer: identity("bus"), verifier: verifier, now: now, seen: map[string]bool{}, awaiting: map[string]bool{}}
	server := httptest.NewServer(w.bus)
	t.Cleanup(server.Close)
	w.client = &Client{
		URL: server.URL + "/ws", Signer: identity("party"), Sender: verifier, Clock: clock, HTTP: server.Client(),
		Wait: func(_ context.Context, d time.Duration) error { w.waits = append(w.waits, d); return nil },
	}
	return w
}

// breakConnection ends the HTTP connection without an answer.
func breakConnection(t *testing.T, w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		t.Fatal("the test server cannot break connections")
	}
	c, _, err := h.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
