package papers

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Anchors are the authorities that an auditor believes about certificates. With none,
// signatures are proved under the certificates that they bring along, and their paths
// are not looked at.
type Anchors struct {
	Roots, Intermediates []*signing.Certificate
	// Bus are the bus's own certificates, all that it has had: no other's signature in an
	// answer is the bus's. With none that is not looked at.
	Bus []*signing.Certificate
}

// Signature is a signature in an envelope of a bundle, held against the certificate
// that made it as of the time of the entry.
type Signature struct {
	Index int64 // of the entry that vouches for the envelope
	Of    string
	// Certificate is whose key signed; nil when that could not be told.
	Certificate *signing.Certificate
	// Path leads from it to a root; nil without anchors.
	Path []*signing.Certificate
	// Revocation are the answers in the bundle by which the certificates of the path
	// were not revoked, and Unchecked is why nothing in the bundle says so of one.
	Revocation []*signing.RevocationAnswer
	Unchecked  error
	// Timestamp is an authority's word, by one of the anchors, that a file's signature was
	// there at a time (CAdES-T).
	Timestamp *signing.Timestamp
	// Asked is when a poll says that it was made: of another time than its delivery it
	// proves less.
	Asked time.Time
	// Absent is why the signature could not be looked at: what it covers is not in the
	// bundle.
	Absent error
	// Err is why it does not hold.
	Err error
	// Refused: so the entry says of the call itself. That a signature does not hold then
	// is no finding.
	Refused bool
}

// Bad says that the signature speaks against the bundle.
func (s *Signature) Bad() bool { return s.Err != nil && !s.Refused }

// Whose signatures there are (Signature.Of); before them stands which of several
// envelopes of an entry it is: "poll: ", "answer: " or "ack: ", the receipts of its step.
const (
	OfCaller   = "caller"   // the information system that called (ЭП-ОВ)
	OfOfficial = "official" // the person who signed the content (ЭП-СП)
	OfBus      = "bus"      // the bus, in its answer (ЭП-СМЭВ)
	OfSender   = "sender"   // the system whose message the bus handed out
	OfFile     = "file "    // and the name of an attachment
)

// What stands before them.
const (
	paperPoll   = "poll: "
	paperAnswer = "answer: "
	paperAck    = "ack: "
)

// Signatures proves the signatures in every envelope of a bundle that was verified, of
// messages and of the receipts of their deliveries: of calling systems, officials and
// files, and of the bus. Certificates are judged as of
// the time of the entry, revocation by the answers that the bundle has: what an entry
// says was relied on then. Nobody is asked.
func Signatures(e *audit.Evidence, anchors *Anchors) ([]Signature, error) {
	answers, certificates := brought(e)
	known := append([]*signing.Certificate(nil), anchors.Intermediates...)
	for _, der := range certificates {
		if c, err := signing.ParseCertificate(der); err == nil {
			known = append(known, c)
		}
	}
	p := &prover{bus: anchors.Bus}
	var err error
	if len(anchors.Roots) > 0 {
		if p.trust, err = signing.NewTrust(signing.TrustOptions{Roots: anchors.Roots, Intermediates: known, Revocation: signing.KeptRevocation(answers...)}); err != nil {
			return nil, err
		}
	}
	if p.verifier, err = signing.NewVerifier(signing.Options{Trust: p.trust}); err != nil {
		return nil, err
	}
	for i := range e.Entries {
		p.entry = &e.Entries[i]
		for _, paper := range []struct {
			of   string
			body []byte
		}{{"", p.entry.Envelope}, {paperPoll, p.entry.Poll}, {paperAnswer, p.entry.Answer}, {paperAck, p.entry.Ack}} {
			if paper.body != nil {
				p.paper = paper.of
				p.envelope(paper.body)
			}
		}
	}
	return p.found, nil
}

// brought are the answers about revocation and the certificates of a bundle, each once
// however many entries name it.
func brought(e *audit.Evidence) (answers, certificates [][]byte) {
	lists, had := map[string]bool{}, map[*byte]bool{}
	add := func(to *[][]byte, file []byte) {
		if len(file) > 0 && !had[&file[0]] { // entries that name the same share it
			had[&file[0]] = true
			*to = append(*to, file)
		}
	}
	for i := range e.Entries {
		x := &e.Entries[i]
		add(&certificates, x.Certificate)
		if name := x.Leaf.Revocation; !lists[name] {
			lists[name] = true
			for _, a := range x.Revocation {
				add(&answers, a)
			}
		}
	}
	return answers, certificates
}

// prover goes through the envelopes of a bundle.
type prover struct {
	trust    *signing.Trust
	verifier *signing.Verifier
	bus      []*signing.Certificate
	entry    *audit.EvidenceEntry
	paper    string // which of the entry's envelopes
	found    []Signature
}

// add notes what was found out about a signature.
func (p *prover) add(of string, certificate *signing.Certificate, revocation []*signing.RevocationAnswer, unchecked, err error) *Signature {
	s := Signature{Index: p.entry.Index, Of: p.paper + of, Certificate: certificate, Revocation: revocation, Unchecked: unchecked, Err: err, Refused: p.entry.Leaf.Kind == journal.KindRefused}
	if bad := (*signing.Error)(nil); errors.As(err, &bad) && s.Certificate == nil {
		s.Certificate, s.Revocation = bad.Certificate, bad.Revocation
	}
	if p.trust != nil && certificate != nil && err == nil {
		s.Path, _ = p.trust.Chain(certificate, p.at())
	}
	p.found = append(p.found, s)
	return &p.found[len(p.found)-1]
}

func (p *prover) at() time.Time { return p.entry.Leaf.Time }

// xml proves a ds:Signature over an element.
func (p *prover) xml(of string, signature, target xmltape.Node) (signing.Signed, *Signature) {
	if !signature.Valid() {
		return signing.Signed{}, p.add(of, nil, nil, nil, errors.New("there is no signature where one belongs"))
	}
	signed, err := p.verifier.VerifyAt(signature, target, p.at())
	return signed, p.add(of, signed.Certificate(), signed.Revocation(), signed.Unchecked(), err)
}

// envelope proves what is signed in an envelope of the entry: a call, or an answer.
func (p *prover) envelope(body []byte) {
	limits := limitsFor(body)
	call, err := envelopes.Parse(envelopes.TextXML, body, new(xmltape.Tape), limits)
	if err == nil && p.paper != paperAnswer {
		p.call(call, body)
		return
	}
	answer, err2 := envelopes.ParseAnswer(envelopes.TextXML, body, new(xmltape.Tape), limits)
	if err2 == nil && (p.paper == "" || p.paper == paperAnswer) {
		p.answer(answer)
		return
	}
	if p.paper != "" && (err == nil || err2 == nil) {
		p.add(OfCaller, nil, nil, nil, errors.New("it is an envelope of another kind"))
		return
	}
	s := p.add(OfCaller, nil, nil, nil, nil)
	if p.entry.Leaf.Certificate != "" { // somebody was proved to have called
		s.Err = fmt.Errorf("the envelope cannot be read: %w", err)
		return
	}
	s.Absent = errors.New("it is no SOAP envelope")
}

func (p *prover) call(call *envelopes.Envelope, body []byte) {
	signature, target := call.Caller()
	signed, s := p.xml(OfCaller, signature, target)
	if named := p.entry.Leaf.Certificate; s.Err == nil && named != "" && named != hex.EncodeToString(s.Certificate.SHA256[:]) {
		s.Err = fmt.Errorf("it is made with another certificate than the one that the entry names, %s", named)
	}
	if s.Err != nil {
		return
	}
	caller := s.Certificate
	if s.Err = p.about(call, signed); s.Err != nil {
		return
	}
	if p.paper == paperPoll && call.Operation() != envelopes.GetStatus {
		if c, _ := envelopes.DecodePoll(call, signed); c != nil {
			s.Asked = c.Timestamp
		}
	}
	// What follows is read whether or not all parts of a multipart message are here:
	// an entry commits to the envelope alone.
	switch call.Operation() {
	case envelopes.SendRequest:
		if c, _ := envelopes.DecodeSendRequest(call, signed); c != nil {
			p.content(c.Content, c.PersonalSignature)
			p.files(body, c.Headers, c.References, c.Attachments, caller)
		}
	case envelopes.SendResponse:
		if c, _ := envelopes.DecodeSendResponse(call, signed); c != nil {
			p.content(c.Content, c.PersonalSignature)
			p.files(body, c.Headers, c.References, c.Attachments, caller)
		}
	}
}

// about says why a call that was proved does not prove what its entry tells: it names
// another message, or is another operation. Who writes the log chooses what an entry
// commits to, and has many a signed Ack.
func (p *prover) about(call *envelopes.Envelope, signed signing.Signed) error {
	switch op := call.Operation(); {
	case p.paper == paperPoll && op != envelopes.GetRequest && op != envelopes.GetResponse && op != envelopes.GetStatus, p.paper == paperAck && op != envelopes.Ack:
		return fmt.Errorf("it is a %s", op)
	case op == envelopes.SendRequest:
		c, err := envelopes.DecodeSendRequest(call, signed)
		if c == nil {
			return err
		}
		return p.names(c.MessageID)
	case op == envelopes.SendResponse:
		c, err := envelopes.DecodeSendResponse(call, signed)
		if c == nil {
			return err
		}
		return p.names(c.MessageID)
	case op == envelopes.Ack:
		a, err := envelopes.DecodeAck(call, signed)
		if err != nil {
			return err
		}
		if told := p.entry.Leaf.Outcome; p.paper == paperAck && a.Accepted != (told == "accepted") {
			return fmt.Errorf("it says accepted=%t, and the entry says %s", a.Accepted, told)
		}
		return p.names(a.MessageID)
	}
	return nil
}

// names holds the message that an envelope names against that of the entry.
func (p *prover) names(message string) error {
	if want := p.entry.Leaf.MessageID; want != "" && message != want {
		return fmt.Errorf("it is of message %.80q, and the entry is of %s", message, want)
	}
	return nil
}

func (p *prover) answer(answer *envelopes.AnswerEnvelope) {
	signature, target := answer.Signed()
	if answer.Fault() != nil || answer.Empty() || !target.Valid() {
		if p.paper == paperAnswer {
			p.add(OfBus, nil, nil, nil, errors.New("it hands out no message"))
		}
		return // the bus signs none of them
	}
	signed, s := p.xml(OfBus, signature, target)
	if s.Err == nil && len(p.bus) > 0 && !slices.ContainsFunc(p.bus, func(c *signing.Certificate) bool { return c.SHA256 == s.Certificate.SHA256 }) {
		s.Err = errors.New("it is made with a certificate that is none of the bus's")
	}
	if s.Err == nil && p.paper == paperAnswer {
		s.Err = p.handsOut(answer, signed)
	}
	if s.Err != nil {
		return
	}
	if inner, data := answer.SenderSigned(signed); inner.Valid() {
		p.xml(OfSender, inner, data)
	}
}

// handsOut says why an answer does not prove a delivery of the entry's message.
func (p *prover) handsOut(answer *envelopes.AnswerEnvelope, signed signing.Signed) error {
	switch op := answer.Operation(); op {
	case envelopes.GetStatus: // names the request, not the status message
		return nil
	case envelopes.GetRequest, envelopes.GetResponse:
		d, err := envelopes.DecodeDelivery(answer, signed)
		if err != nil {
			return err
		}
		return p.names(d.Metadata.MessageID)
	default:
		return fmt.Errorf("it answers a %s", op)
	}
}

// content proves the official's signature, where one has signed.
func (p *prover) content(content, personal xmltape.Node) {
	if personal.Valid() {
		p.xml(OfOfficial, personal, content)
	}
}

// files proves the signatures of attachments whose octets are in the envelope.
func (p *prover) files(body []byte, headers []envelopes.AttachmentHeader, references []envelopes.AttachmentReference, contents []envelopes.Attachment, caller *signing.Certificate) {
	octets := map[string][]byte{}
	for _, a := range contents {
		octets[a.ID] = a.Content
	}
	beside := bytes.Contains(body, []byte(envelopes.XOPSpace))
	for _, h := range headers {
		if len(h.PKCS7) == 0 {
			continue
		}
		content, here := octets[h.ContentID]
		if !here || len(content) == 0 && beside {
			p.add(OfFile+h.ContentID, nil, nil, nil, nil).Absent = errors.New("the file travelled beside the envelope and is not in the bundle")
			continue
		}
		signed, err := p.verifier.VerifyCMSAt(h.PKCS7, signing.Octets{Bytes: content}, p.at(), caller)
		p.add(OfFile+h.ContentID, signed.Certificate(), signed.Revocation(), signed.Unchecked(), err).Timestamp, _ = signed.Timestamp()
	}
	for _, r := range references {
		if len(r.PKCS7) > 0 {
			p.add(OfFile+r.UUID, nil, nil, nil, nil).Absent = errors.New("the file is in the file store and not in the bundle")
		}
	}
}
