package envelopes

import (
	"errors"
	"fmt"

	"mezhved/envelopes/xmltape"
)

// Limits bounds what a body may cost. Zero fields mean the defaults.
type Limits struct {
	XML     xmltape.Limits // of the root part; a call gets a little less, see Parse
	Parts   int            // MIME parts, the root included; default 128
	Headers int            // header lines of one part; default 32
	Header  int            // bytes of the headers of one part; default 8 KiB
}

func (l Limits) withDefaults() Limits {
	if l.Parts <= 0 {
		l.Parts = 128
	}
	if l.Headers <= 0 {
		l.Headers = 32
	}
	if l.Header <= 0 {
		l.Header = 8 << 10
	}
	return l
}

// headroom lowers the limits of a call a little below those of a document of
// ours: what is let in must still fit when it stands in a delivery, two elements
// deeper, under a few more declarations and beside what the bus adds. A message
// that could be accepted and never delivered would stop its recipient's queue.
func headroom(l xmltape.Limits) xmltape.Limits {
	d := xmltape.DefaultLimits
	lower := func(v, def, by int) int {
		if v <= 0 {
			v = def
		}
		return max(v-by, 1)
	}
	l.Size = lower(l.Size, d.Size, 64<<10)
	l.Depth = lower(l.Depth, d.Depth, 4)
	l.Tokens = lower(l.Tokens, d.Tokens, 1000)
	l.Spaces = lower(l.Spaces, d.Spaces, 16)
	l.TotalDecls = lower(l.TotalDecls, d.TotalDecls, 1000)
	l.Names = lower(l.Names, d.Names, 100)
	return l
}

// Envelope is a received call that nobody has verified. It tells what is needed
// to verify it and nothing of its content.
type Envelope struct {
	version   Version
	operation Operation
	tape      *xmltape.Tape
	call      xmltape.Node // the child of Body
	parts     []part
	multipart bool
}

// Version is the version of the exchange schemas in which the call is written.
func (e *Envelope) Version() Version { return e.version }

// Operation is the operation that the first child of Body names. SOAPAction has no say.
func (e *Envelope) Operation() Operation { return e.operation }

// Bytes is the SOAP envelope as received: the root part of a multipart body,
// else the body; base64 values that the client put into parts by XOP are back in
// it, contents of attachments excepted. Offsets of nodes and violations are
// offsets in it.
func (e *Envelope) Bytes() []byte { return e.tape.Source() }

// Tape is the tape that the envelope stands on.
func (e *Envelope) Tape() *xmltape.Tape { return e.tape }

// Multipart reports whether the body was multipart/related; its sender
// understands a multipart answer.
func (e *Envelope) Multipart() bool { return e.multipart }

// Parse reads an HTTP body of a content type that clients of SMEV 3 use
// (text/xml, application/soap+xml, application/xml, or multipart/related with
// such a root part) onto the tape, and finds the operation. The limits are applied
// with some room left, so that a delivery round the call stays within them. The
// error is a *ParseError or an *xmltape.Error. body must not change while the tape is in use.
func Parse(contentType string, body []byte, tape *xmltape.Tape, lim Limits) (*Envelope, error) {
	lim.XML = headroom(lim.XML)
	e := &Envelope{tape: tape}
	child, err := e.read(contentType, body, lim)
	if err != nil {
		return nil, err
	}
	v, ok := bySpace(child.Space())
	op := callNamed(child.Local())
	if !ok || !op.In(v) {
		off, _ := child.Range()
		return nil, refuse(tape, off, ParseUnknown, "%s is no operation of the exchange service", quoteName(child))
	}
	e.version, e.operation, e.call = v, op, child
	return e, nil
}

func callNamed(local string) Operation {
	for _, op := range Operations {
		if len(local) == len(operationNames[op])+len("Request") && local[:len(operationNames[op])] == operationNames[op] && local[len(operationNames[op]):] == "Request" {
			return op
		}
	}
	return 0
}

// read takes the root part onto the tape and gives the first child of Body.
func (e *Envelope) read(contentType string, body []byte, lim Limits) (xmltape.Node, error) {
	lim = lim.withDefaults()
	root, parts, multi, err := openBody(contentType, body, lim)
	if err != nil {
		return xmltape.Node{}, err
	}
	if err := e.tape.Parse(root, lim.XML); err != nil {
		return xmltape.Node{}, err
	}
	whole, err := reconstitute(e.tape, parts)
	if err != nil {
		return xmltape.Node{}, err
	}
	if whole != nil {
		if err := e.tape.Parse(whole, lim.XML); err != nil {
			return xmltape.Node{}, err
		}
	}
	e.parts, e.multipart = parts, multi
	return soapBody(e.tape)
}

// soapBody gives the only child of a SOAP 1.1 Body.
func soapBody(t *xmltape.Tape) (xmltape.Node, error) {
	root := t.Root()
	off, _ := root.Range()
	switch {
	case root.Is(SOAP12Space, "Envelope"):
		return xmltape.Node{}, refuse(t, off, ParseVersionMismatch, "a SOAP 1.2 envelope; this service speaks SOAP 1.1")
	case !root.Is(SOAPSpace, "Envelope"):
		return xmltape.Node{}, refuse(t, off, ParseNotSOAP, "the root element is %s, not the Envelope of SOAP 1.1", quote(root.Local()))
	}
	c := root.First()
	if c.Is(SOAPSpace, "Header") {
		for h := range c.Children() {
			if v, _ := h.Attr(SOAPSpace, "mustUnderstand"); v == "1" {
				off, _ := h.Range()
				return xmltape.Node{}, refuse(t, off, ParseMustUnderstand, "header block %s must be understood and is not", quote(h.Local()))
			}
		}
		c = c.Next()
	}
	if !c.Is(SOAPSpace, "Body") {
		return xmltape.Node{}, refuse(t, off, ParseNotSOAP, "the envelope has no Body")
	}
	if rest := c.Next(); rest.Valid() {
		off, _ := rest.Range()
		return xmltape.Node{}, refuse(t, off, ParseNotSOAP, "element %s after Body", quote(rest.Local()))
	}
	child := c.First()
	if !child.Valid() {
		off, _ := c.Range()
		return xmltape.Node{}, refuse(t, off, ParseUnknown, "Body is empty")
	}
	if second := child.Next(); second.Valid() {
		off, _ := second.Range()
		return xmltape.Node{}, refuse(t, off, ParseNotSOAP, "a second element %s in Body", quote(second.Local()))
	}
	for _, n := range []xmltape.Node{root, c} {
		if n.Token().Flags&xmltape.HasText != 0 {
			off, _ := n.Range()
			return xmltape.Node{}, refuse(t, off, ParseNotSOAP, "text in %s", quote(n.Local()))
		}
	}
	return child, nil
}

// Caller gives, by position, the ds:Signature of the calling system and the
// element that it must cover. A node is invalid when it is not where the
// operation prescribes; Check then says what is wrong with the layout, unless
// it is only that the signature is missing, which the schema allows.
func (e *Envelope) Caller() (signature, target xmltape.Node) {
	types, basic := e.version.TypesSpace(), e.version.BasicSpace()
	c := e.call.First()
	if e.operation == GetIncomingQueueStatistics && c.Is(types, "NodeID") {
		c = c.Next()
	}
	want := signedElement(e.version, e.operation)
	if !c.Is(want.Space, want.Local) {
		return xmltape.Node{}, xmltape.Node{}
	}
	target = c
	c = c.Next()
	if c.Is(basic, "AttachmentContentList") && (e.operation == SendRequest || e.operation == SendResponse) {
		c = c.Next()
	}
	if !c.Is(types, "CallerInformationSystemSignature") {
		return xmltape.Node{}, target
	}
	if s := c.First(); s.Is(DSigSpace, "Signature") && !s.Next().Valid() {
		signature = s
	}
	return signature, target
}

// signedElement is the element that the caller of an operation signs.
func signedElement(v Version, op Operation) Name {
	switch op {
	case SendRequest:
		return Name{v.TypesSpace(), "SenderProvidedRequestData"}
	case SendResponse:
		return Name{v.TypesSpace(), "SenderProvidedResponseData"}
	case GetRequest, GetResponse:
		return Name{v.BasicSpace(), "MessageTypeSelector"}
	case Ack:
		return Name{v.BasicSpace(), "AckTargetMessage"}
	}
	return Name{v.BasicSpace(), "Timestamp"}
}

// Check holds the whole call against the schema of its operation, before
// anything about it is proved; it gives away nothing but the *FormatError.
func (e *Envelope) Check() error {
	_, target := e.Caller()
	p := placed{target}
	var err error
	switch e.operation {
	case SendRequest:
		_, err = decodeSendRequest(e, p)
	case SendResponse:
		_, err = decodeSendResponse(e, p)
	case GetRequest, GetResponse:
		_, err = decodePoll(e, p)
	case GetStatus:
		_, err = decodeGetStatus(e, p)
	case Ack:
		_, err = decodeAck(e, p)
	case GetIncomingQueueStatistics:
		_, err = decodeStatistics(e, p)
	}
	return err
}

// placed is an element that stands where the signed one must stand; nothing is
// proved about it.
type placed struct{ n xmltape.Node }

func (p placed) Element() xmltape.Node { return p.n }

// ErrNotProven says that the element that a signature was proved to cover is
// not the one that the operation prescribes.
var ErrNotProven = errors.New("the proved element is not the one that the operation prescribes")

// admits holds a proof against the position that the operation prescribes.
func (e *Envelope) admits(op Operation, p Proven) error {
	if e.operation != op {
		return fmt.Errorf("the envelope carries %s, not %s", e.operation, op)
	}
	_, target := e.Caller()
	if !target.Valid() || p.Element() != target {
		return ErrNotProven
	}
	return nil
}
