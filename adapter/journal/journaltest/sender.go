package journaltest

import (
	"context"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Sender is an information system with a key, whose certificate a test authority has
// issued for the days round Start.
type Sender struct {
	T      testing.TB
	CA     *signing.TestCA
	Signer signing.Signer
}

// NewSender makes an authority and a key.
func NewSender(t testing.TB) *Sender {
	t.Helper()
	ca, err := signing.NewTestCA("Test CA", signing.KeyECDSA256, Start.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := &Sender{T: t, CA: ca}
	s.Signer = s.Issue(48 * time.Hour)
	return s
}

// Issue makes another key, whose certificate is of the same authority.
func (s *Sender) Issue(life time.Duration) signing.Signer {
	s.T.Helper()
	id, err := s.CA.Issue(signing.TestSubject{CommonName: "sender", Lifetime: life}, Start.Add(-time.Hour))
	if err != nil {
		s.T.Fatal(err)
	}
	signer, err := id.Signer()
	if err != nil {
		s.T.Fatal(err)
	}
	return signer
}

// Sign finishes a draft with the sender's signature.
func (s *Sender) Sign(d envelopes.Draft) []byte {
	s.T.Helper()
	xml, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, s.Signer)
	if err != nil {
		s.T.Fatal(err)
	}
	return xml
}

// MessageID is that of the message that Request makes, and that Desk.Exhibited tells of.
const MessageID = "5be1a7c2-0000-11f1-8000-000000000001"

// Request is a signed SendRequest with a file that has a signature of its own, inside
// the envelope, or, with xop, beside it.
func (s *Sender) Request(xop bool) []byte {
	s.T.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(`<q:Question xmlns:q="urn:question">Кто?</q:Question>`), xmltape.Limits{}); err != nil {
		s.T.Fatal(err)
	}
	file := []byte("plan of the house")
	pkcs7, err := signing.SignCMS(context.Background(), signing.Octets{Bytes: file}, s.Signer, Start)
	if err != nil {
		s.T.Fatal(err)
	}
	c := &envelopes.SendRequestCall{MessageID: MessageID, Content: tape.NodeAt(0),
		Headers: []envelopes.AttachmentHeader{{ContentID: "plan", MimeType: "text/plain", PKCS7: pkcs7}}, Attachments: []envelopes.Attachment{{ID: "plan", Content: file}}}
	return s.Sign(c.Build(envelopes.V12, xop))
}

// Poll is a signed GetRequest.
func (s *Sender) Poll(at time.Time) []byte {
	s.T.Helper()
	return s.Sign((&envelopes.PollCall{Operation: envelopes.GetRequest, Timestamp: at}).Build(envelopes.V12))
}

// Delivery is what the bus answers to a poll a second after the message of the event.
func (s *Sender) Delivery(e journal.Event) []byte {
	s.T.Helper()
	return s.Sign(envelopes.BuildRequestDelivery(envelopes.V12, envelopes.RequestDelivery{
		Data:     envelopes.Fragment{XML: []byte(`<typ:SenderProvidedRequestData xmlns:typ="` + envelopes.V12.TypesSpace() + `" Id="D"/>`)},
		Metadata: envelopes.Metadata{MessageID: e.MessageID, Type: envelopes.TypeRequest, Sent: e.Time, Delivered: e.Time.Add(time.Second)},
		ReplyTo:  "somewhere",
	}))
}

// Ack is a signed Ack.
func (s *Sender) Ack(message string, accepted bool) []byte {
	s.T.Helper()
	return s.Sign((&envelopes.AckCall{MessageID: message, Accepted: accepted}).Build(envelopes.V12))
}
