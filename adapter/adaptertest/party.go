package adaptertest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Party is an information system with a key, talking to the gateway over HTTP.
type Party struct {
	Mnemonic string
	Signer   signing.Signer
	Version  envelopes.Version
	DER      []byte
	Trace    string // the traceparent of its calls; empty: it tells of none

	w  *World
	at string // address of the doors; empty: the world's gateway
}

// Traced is the same party whose calls belong to a trace.
func (p *Party) Traced(traceparent string) *Party {
	q := *p
	q.Trace = traceparent
	return &q
}

// At is the same party calling another node.
func (p *Party) At(url string) *Party {
	q := *p
	q.at = url
	return &q
}

// URL is the address that the party calls.
func (p *Party) URL() string {
	if p.at != "" {
		return p.at
	}
	return p.w.URL
}

// In is the same party speaking another version.
func (p *Party) In(v envelopes.Version) *Party {
	q := *p
	q.Version = v
	return &q
}

// newParty makes a key and a certificate valid around now.
func newParty(w *World, mnemonic string, from, to time.Time) *Party {
	w.T.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	w.must(err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: mnemonic, Organization: []string{"Ведомство " + mnemonic}},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
	}, &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: mnemonic}}, &key.PublicKey, key)
	w.must(err)
	cert, err := signing.ParseCertificate(der)
	w.must(err)
	signer, err := signing.NewSigner(key, cert, "")
	w.must(err)
	return &Party{Mnemonic: mnemonic, Signer: signer, Version: envelopes.V12, DER: der, w: w}
}

// register writes the party's files.
func (p *Party) register(dir, settings string) {
	p.w.T.Helper()
	p.w.must(os.WriteFile(filepath.Join(dir, p.Mnemonic+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.DER}), 0o644))
	p.w.must(os.WriteFile(filepath.Join(dir, p.Mnemonic+".yaml"), []byte("name: Ведомство "+p.Mnemonic+"\n"+settings), 0o644))
}

// AddCertificate writes the party's certificate beside its others; a reload takes it.
func (p *Party) AddCertificate(name string) {
	p.w.T.Helper()
	p.w.Write("parties/"+name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.DER})))
}

// Request is what a party sends. The zero value of everything but Content is good.
type Request struct {
	ID        string // default: a fresh UUID of version 1
	Content   string
	Node      string
	EOL       time.Time
	Reference string
	Code      string
	Test      bool
	Personal  signing.Signer // signs the content, which must then have an Id
	Shown     string         // what the official was shown and signed, when it was not Content
	Files     map[string][]byte
	PKCS7     map[string][]byte               // signatures of some of Files
	Stored    []envelopes.AttachmentReference // files in the file store
	Headless  bool                            // leave the attachment headers out
	XOP       bool
	Tamper    func([]byte) []byte // changes the sealed envelope
}

// Reply is what a party answers; exactly one of Content, Reject and Status.
type Reply struct {
	ID      string
	Content string
	Reject  []envelopes.Rejection
	Status  *envelopes.RequestStatus
	Files   map[string][]byte
	PKCS7   map[string][]byte
	Stored  []envelopes.AttachmentReference
}

// Answer is what came back over HTTP.
type Answered struct {
	Status   int
	Header   http.Header
	Body     []byte
	Envelope *envelopes.AnswerEnvelope
	Fault    *envelopes.Fault
	Receipt  *envelopes.Metadata
	Message  *envelopes.Delivered // of Get answers; nil: the queue was empty
	State    *envelopes.AsyncStatus
	// SenderSigned says that the delivered message bears its sender's signature,
	// which holds.
	SenderSigned bool
}

// ID is a new MessageID by the world's clock.
func (p *Party) ID() string { return p.w.NewMessageID() }

// BuildRequest makes the signed envelope of a request.
func (p *Party) BuildRequest(r Request) (contentType string, body []byte, id string) {
	p.w.T.Helper()
	if r.ID == "" {
		r.ID = p.ID()
	}
	call := envelopes.SendRequestCall{
		MessageID: r.ID, ReferenceMessageID: r.Reference, TransactionCode: r.Code, NodeID: r.Node, EOL: r.EOL, Test: r.Test, References: r.Stored,
	}
	call.Content, call.PersonalSignature = p.content(r.Content, r.Shown, r.Personal)
	call.Headers, call.Attachments = inside(r.Files, r.PKCS7)
	if r.Headless {
		call.Headers = nil
	}
	draft := call.Build(p.Version, r.XOP)
	sealed := p.seal(draft)
	if r.Tamper != nil {
		sealed = r.Tamper(sealed)
	}
	contentType, body = envelopes.Package(sealed, draft.Parts, false)
	return contentType, body, r.ID
}

// Send posts a request.
func (p *Party) Send(r Request) Answered {
	p.w.T.Helper()
	kind, body, _ := p.BuildRequest(r)
	return p.Post("/ws", kind, body)
}

// Reply posts an answer to a request with its ReplyTo.
func (p *Party) Reply(to string, r Reply) Answered {
	p.w.T.Helper()
	kind, body, _ := p.BuildReply(to, r)
	return p.Post("/ws", kind, body)
}

// BuildReply makes the signed envelope of an answer.
func (p *Party) BuildReply(to string, r Reply) (contentType string, body []byte, id string) {
	p.w.T.Helper()
	if r.ID == "" {
		r.ID = p.ID()
	}
	call := envelopes.SendResponseCall{MessageID: r.ID, To: to, Rejections: r.Reject, Status: r.Status, References: r.Stored}
	if r.Content != "" {
		call.Content, _ = p.content(r.Content, "", nil)
	}
	call.Headers, call.Attachments = inside(r.Files, r.PKCS7)
	draft := call.Build(p.Version, false)
	contentType, body = envelopes.Package(p.seal(draft), draft.Parts, false)
	return contentType, body, r.ID
}

func inside(in, pkcs7 map[string][]byte) (h []envelopes.AttachmentHeader, a []envelopes.Attachment) {
	for id, content := range in {
		h = append(h, envelopes.AttachmentHeader{ContentID: id, MimeType: "application/pdf", PKCS7: pkcs7[id]})
		a = append(a, envelopes.Attachment{ID: id, Content: content})
	}
	return h, a
}

func (p *Party) content(xml, shown string, personal signing.Signer) (content, signature xmltape.Node) {
	p.w.T.Helper()
	t := new(xmltape.Tape)
	p.w.must(t.Parse([]byte(xml), xmltape.Limits{}))
	if personal == nil {
		return t.Root(), xmltape.Node{}
	}
	if shown != "" {
		p.w.must(t.Parse([]byte(shown), xmltape.Limits{}))
	}
	sig, err := signing.Sign(context.Background(), t.Root(), personal)
	p.w.must(err)
	both := new(xmltape.Tape)
	p.w.must(both.Parse([]byte("<w>"+xml+string(sig)+"</w>"), xmltape.Limits{}))
	return both.Root().First(), both.Root().First().Next()
}

func (p *Party) seal(d envelopes.Draft) []byte {
	p.w.T.Helper()
	out, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, p.Signer)
	p.w.must(err)
	return out
}

// Get polls a queue; root is the selector, zero for any message.
func (p *Party) Get(op envelopes.Operation, root adapter.QName, node string) Answered {
	p.w.T.Helper()
	return p.poll(op, root, node, 0)
}

// Await polls until a message is there, by the gateway's long poll, for as long as
// its configuration lets a poll wait.
func (p *Party) Await(op envelopes.Operation, node string) Answered {
	p.w.T.Helper()
	a := p.poll(op, adapter.QName{}, node, time.Hour)
	if a.Fault != nil || a.Message == nil {
		p.w.T.Fatalf("%s: %s got no message: %v", p.Mnemonic, op, a.Fault)
	}
	return a
}

// HangUp begins a long poll and gives what ends its connection without waiting for the
// answer.
func (p *Party) HangUp(op envelopes.Operation) (hangUp func()) {
	p.w.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL()+"/ws", bytes.NewReader(p.BuildPoll(op)))
	p.w.must(err)
	req.Header.Set("Content-Type", envelopes.TextXML)
	req.Header.Set("Prefer", "wait=3600")
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := p.w.HTTP.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	return func() { cancel(); <-over }
}

func (p *Party) poll(op envelopes.Operation, root adapter.QName, node string, wait time.Duration) Answered {
	p.w.T.Helper()
	call := envelopes.PollCall{Operation: op, Root: envelopes.Name(root), Timestamp: p.w.Clock.Now(), NodeID: node}
	return p.post("/ws", envelopes.TextXML, p.seal(call.Build(p.Version)), wait)
}

// BuildPoll makes the signed envelope of a poll for any message.
func (p *Party) BuildPoll(op envelopes.Operation) []byte {
	p.w.T.Helper()
	call := envelopes.PollCall{Operation: op, Timestamp: p.w.Clock.Now()}
	return p.seal(call.Build(p.Version))
}

// Ack acknowledges a message.
func (p *Party) Ack(id string) Answered {
	p.w.T.Helper()
	return p.Post("/ws", envelopes.TextXML, p.BuildAck(id))
}

// BuildAck makes the signed envelope of an acknowledgement.
func (p *Party) BuildAck(id string) []byte {
	p.w.T.Helper()
	call := envelopes.AckCall{MessageID: id, Accepted: true}
	return p.seal(call.Build(p.Version))
}

// GetStatus polls the status queue.
func (p *Party) GetStatus() Answered {
	p.w.T.Helper()
	call := envelopes.GetStatusCall{Timestamp: p.w.Clock.Now()}
	return p.Post("/ws", envelopes.TextXML, p.seal(call.Build(p.Version)))
}

// Statistics asks for the depths of the party's queues (1.1).
func (p *Party) Statistics() Answered {
	p.w.T.Helper()
	call := envelopes.StatisticsCall{Timestamp: p.w.Clock.Now()}
	return p.Post("/ws", envelopes.TextXML, p.seal(call.Build()))
}

// Post posts bytes and reads what comes back, its bus signature verified.
func (p *Party) Post(path, contentType string, body []byte) Answered {
	p.w.T.Helper()
	return p.post(path, contentType, body, 0)
}

func (p *Party) post(path, contentType string, body []byte, wait time.Duration) Answered {
	p.w.T.Helper()
	req, err := http.NewRequest(http.MethodPost, p.URL()+path, bytes.NewReader(body))
	p.w.must(err)
	req.Header.Set("Content-Type", contentType)
	if p.Trace != "" {
		req.Header.Set("traceparent", p.Trace)
	}
	if wait > 0 {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	resp, err := p.w.HTTP.Do(req)
	p.w.must(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	p.w.must(err)
	a := Answered{Status: resp.StatusCode, Header: resp.Header, Body: raw}
	tape := new(xmltape.Tape)
	a.Envelope, err = envelopes.ParseAnswer(resp.Header.Get("Content-Type"), raw, tape, envelopes.Limits{XML: xmltape.Widest})
	if err != nil {
		p.w.T.Fatalf("%s: answer %d cannot be read: %v\n%s", p.Mnemonic, resp.StatusCode, err, raw)
	}
	a.Fault = a.Envelope.Fault()
	if a.Fault == nil {
		p.read(&a)
	}
	return a
}

// read proves the bus's signature and reads what it covers.
func (p *Party) read(a *Answered) {
	p.w.T.Helper()
	sig, target := a.Envelope.Signed()
	if !target.Valid() {
		return
	}
	proof, err := p.w.verifier.VerifyAt(sig, target, p.w.Clock.Now())
	if err != nil {
		p.w.T.Fatalf("%s: the bus signature does not hold: %v\n%s", p.Mnemonic, err, a.Body)
	}
	if got, want := proof.Certificate().SHA256, p.w.bus.Signer.Certificate().SHA256; got != want {
		p.w.T.Fatalf("%s: the answer is signed by %s", p.Mnemonic, proof.Certificate().Subject())
	}
	switch a.Envelope.Operation() {
	case envelopes.SendRequest, envelopes.SendResponse:
		a.Receipt, err = envelopes.DecodeReceipt(a.Envelope, proof)
	case envelopes.GetRequest, envelopes.GetResponse:
		if a.Message, err = envelopes.DecodeDelivery(a.Envelope, proof); err == nil && a.Message.Async == nil {
			p.readSender(a, proof)
		}
	case envelopes.GetStatus:
		a.State, err = envelopes.DecodeStatusMessage(a.Envelope, proof)
	}
	p.w.must(err)
}

// readSender proves the sender's own signature in a delivered message.
func (p *Party) readSender(a *Answered, proof signing.Signed) {
	p.w.T.Helper()
	sig, data := a.Envelope.SenderSigned(proof)
	a.SenderSigned = sig.Valid()
	if !a.SenderSigned {
		p.mustBeRewrapped(a)
		return
	}
	if _, err := p.w.verifier.VerifyAt(sig, data, p.w.Clock.Now()); err != nil {
		p.w.T.Fatalf("%s: the sender's signature does not hold after delivery: %v\n%s", p.Mnemonic, err, a.Body)
	}
}

// mustBeRewrapped holds that a message came without its sender's signature for
// the one good reason: it was signed in another version than the party speaks.
func (p *Party) mustBeRewrapped(a *Answered) {
	p.w.T.Helper()
	list, err := p.w.store.Find(context.Background(), adapter.MessageID(a.Message.Metadata.MessageID))
	p.w.must(err)
	for _, m := range list {
		if m.Wire == p.Version.String() {
			p.w.T.Fatalf("%s: %s was signed in the reader's version %s and came without its signature:\n%s", p.Mnemonic, m.MessageID, m.Wire, a.Body)
		}
	}
}

// NewMessageID is a UUID of version 1 with the time of the world's clock.
func (w *World) NewMessageID() string { return MessageIDAt(w.Clock.Now()) }

// MessageIDAt is a UUID of version 1 with the given time.
func MessageIDAt(at time.Time) string {
	id := uuid.New()
	t := uint64(at.UnixNano()/100) + 0x01b21dd213814000
	id[0], id[1], id[2], id[3] = byte(t>>24), byte(t>>16), byte(t>>8), byte(t)
	id[4], id[5] = byte(t>>40), byte(t>>32)
	id[6], id[7] = byte(t>>56)&0x0f|0x10, byte(t>>48)
	return id.String()
}
