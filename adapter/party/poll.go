package party

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Selector says which messages a poll wants. The zero value takes any.
type Selector struct {
	Root   envelopes.Name // request or response root of a service
	NodeID string         // responses to requests that were sent with this NodeID
	// Wait asks the bus to answer an empty queue only after this time (Prefer:
	// wait, RFC 7240), in whole seconds. Buses that do not know it answer at
	// once. Client.HTTP must be more patient.
	Wait time.Duration
}

// Message is a message taken from a queue. It comes again after the bus's lease
// unless it is acknowledged: store it, then Ack Metadata.MessageID. Faults of
// requests (Async) are to be acknowledged as well.
type Message struct {
	*envelopes.Delivered
	Certificate       *signing.Certificate // of the bus; nil when it did not sign
	SenderCertificate *signing.Certificate // of the author; nil when it was not verified
	XML               []byte               // the envelope as received

	signatures map[string][]byte                        // of attachments, by id: what a bus hands out may have very many
	stored     map[string]envelopes.AttachmentReference // by uuid in lower case
}

// PollRequest takes the next request; nil when there is none.
func (c *Client) PollRequest(ctx context.Context, s Selector) (*Message, error) {
	return c.poll(ctx, envelopes.GetRequest, s)
}

// PollResponse takes the next response, status, rejection or fault; nil when
// there is none.
func (c *Client) PollResponse(ctx context.Context, s Selector) (*Message, error) {
	return c.poll(ctx, envelopes.GetResponse, s)
}

// References are what the sender signed about the message's files in the file
// store; Files say how to fetch them.
func (m *Message) References() []envelopes.AttachmentReference {
	_, references := m.headers()
	return references
}

// headers are what the sender signed about the message's files.
func (m *Message) headers() ([]envelopes.AttachmentHeader, []envelopes.AttachmentReference) {
	switch {
	case m.Request != nil:
		return m.Request.Headers, m.Request.References
	case m.Response != nil:
		return m.Response.Headers, m.Response.References
	}
	return nil, nil
}

// note makes what the sender signed about files ready to be asked for. Of several of a
// name the first counts.
func (m *Message) note() {
	inside, stored := m.headers()
	m.signatures, m.stored = map[string][]byte{}, map[string]envelopes.AttachmentReference{}
	for _, h := range inside {
		if _, twice := m.signatures[h.ContentID]; !twice {
			m.signatures[h.ContentID] = h.PKCS7
		}
	}
	for _, r := range stored {
		id := strings.ToLower(r.UUID)
		if _, twice := m.stored[id]; !twice {
			m.stored[id] = r
		}
	}
}

// PKCS7 is the signature of the attachment or the file in the file store of this
// id or uuid; nil when it has none.
func (m *Message) PKCS7(id string) []byte {
	if signature, ok := m.signatures[id]; ok {
		return signature
	}
	return m.stored[strings.ToLower(id)].PKCS7
}

// Hash is the digest that the sender signed for a file; nil when it signed none,
// and then the file is not of this message.
func (m *Message) Hash(f envelopes.FSAttachment) []byte {
	return m.stored[strings.ToLower(f.UUID)].Hash
}

func (c *Client) poll(ctx context.Context, op envelopes.Operation, s Selector) (*Message, error) {
	call := &envelopes.PollCall{Operation: op, Root: s.Root, NodeID: s.NodeID, Timestamp: c.now()}
	out, err := c.callWaiting(ctx, op, call.Build(c.version()), s.Wait)
	if err != nil {
		return nil, err
	}
	return c.message(out.AnswerEnvelope)
}

// message proves the answer to a poll; nil: nothing waited.
func (c *Client) message(a *envelopes.AnswerEnvelope) (*Message, error) {
	if a.Empty() {
		return nil, nil
	}
	proof, cert, err := c.prove(a)
	if err != nil {
		return nil, err
	}
	d, err := envelopes.DecodeDelivery(a, proof)
	if err != nil {
		return nil, err
	}
	m := &Message{Delivered: d, Certificate: cert, XML: a.Bytes()}
	m.note()
	if c.Sender != nil {
		if sig, data := a.SenderSigned(proof); sig.Valid() {
			signed, err := c.Sender.Verify(sig, data)
			if err != nil {
				return nil, fmt.Errorf("the author's signature on message %s: %w", d.Metadata.MessageID, err)
			}
			m.SenderCertificate = signed.Certificate()
		}
	}
	if c.Files == nil {
		return m, nil
	}
	author, _ := a.SenderSigned(proof)
	if err := c.proveFiles(m, author); err != nil {
		return nil, err
	}
	return m, nil
}

// FileError says that an attachment of a delivered message is not what its signature
// covers. The message is not acknowledged: it comes again, or is refused by an Ack
// with accepted false.
type FileError struct {
	MessageID string
	File      string // id of the attachment
	Err       error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("attachment %s of message %s is not what was signed: %v", e.File, e.MessageID, e.Err)
}

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// proveFiles holds the attachments against their own signatures. One that bears no
// certificate is the author's, whose certificate stands in what the bus has signed.
func (c *Client) proveFiles(m *Message, author xmltape.Node) error {
	var known []*signing.Certificate
	text := author.Child(author.Space(), "KeyInfo").Child(author.Space(), "X509Data").Child(author.Space(), "X509Certificate").Text()
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")); err == nil {
		if cert, err := signing.ParseCertificate(der); err == nil {
			known = append(known, cert)
		}
	}
	for _, a := range m.Attachments {
		pkcs7 := m.PKCS7(a.ID)
		if len(pkcs7) == 0 {
			continue
		}
		if _, err := c.Files.VerifyCMS(pkcs7, signing.Octets{Bytes: a.Content}, known...); err != nil {
			return &FileError{m.Metadata.MessageID, a.ID, err}
		}
	}
	return nil
}

// Ack confirms a message; accepted is false when the bus's signature did not
// hold. A message that the bus does not await gives a *FaultError with
// TargetMessageIsNotFound, which means that it is acknowledged already, or was
// never handed out; after an attempt whose answer was lost it means success.
func (c *Client) Ack(ctx context.Context, messageID string, accepted bool) error {
	call := &envelopes.AckCall{MessageID: messageID, Accepted: accepted}
	out, err := c.call(ctx, envelopes.Ack, call.Build(c.version()))
	var fault *FaultError
	if out.unsure && errors.As(err, &fault) && fault.Fault.Kind == envelopes.TargetMessageIsNotFound {
		return nil
	}
	return err
}

// StatusMessage is a message of the status queue. Taking it consumes it.
type StatusMessage struct {
	*envelopes.AsyncStatus
	Certificate *signing.Certificate
	XML         []byte
}

// Status takes the next message of the status queue; nil when there is none.
func (c *Client) Status(ctx context.Context) (*StatusMessage, error) {
	call := &envelopes.GetStatusCall{Timestamp: c.now()}
	out, err := c.call(ctx, envelopes.GetStatus, call.Build(c.version()))
	if err != nil {
		return nil, err
	}
	if out.Empty() {
		return nil, nil
	}
	proof, cert, err := c.prove(out.AnswerEnvelope)
	if err != nil {
		return nil, err
	}
	s, err := envelopes.DecodeStatusMessage(out.AnswerEnvelope, proof)
	if err != nil {
		return nil, err
	}
	return &StatusMessage{AsyncStatus: s, Certificate: cert, XML: out.Bytes()}, nil
}

// Statistics tells how many messages wait in the party's queues. Version 1.1
// alone has this call; it is made in 1.1 whatever the Client's version. The bus
// does not sign the answer.
func (c *Client) Statistics(ctx context.Context, nodeID string) ([]envelopes.QueueStatistics, error) {
	call := &envelopes.StatisticsCall{NodeID: nodeID, Timestamp: c.now()}
	out, err := c.call(ctx, envelopes.GetIncomingQueueStatistics, call.Build())
	if err != nil {
		return nil, err
	}
	return envelopes.DecodeQueueStatistics(out.AnswerEnvelope)
}
