package party

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Attachment is a file that goes with the message: inside it, or over the file
// store when Client.Store is set and the attachments of the message are more than
// Inline together.
type Attachment struct {
	ID       string // an XML name; empty: one is made
	Name     string // in the file store; empty: made of the id
	MimeType string // default application/octet-stream
	Content  []byte
	Source   Source // instead of Content, for files that need not be in memory
	Size     int64  // of Source
	PKCS7    []byte // detached CMS signature over the file; nil: one is made, of the official or of the system
}

func (a *Attachment) size() int64 {
	if a.Source != nil {
		return a.Size
	}
	return int64(len(a.Content))
}

// Request is what a consumer sends.
type Request struct {
	MessageID       string         // default: a new one; give the old one to repeat a request whose fate is unknown
	Unsure          bool           // an earlier call with this MessageID may have arrived: that the bus has it is then no refusal
	Content         []byte         // the business document
	Official        signing.Signer // signs the content (ЭП-СП); nil: nobody
	Attachments     []Attachment
	References      []envelopes.AttachmentReference // files in the file store
	Reference       string                          // ReferenceMessageID
	TransactionCode string
	NodeID          string
	EOL             time.Time
	Process         []byte // the elements of BusinessProcessMetadata, as one XML element that holds them
	Test            bool
	Routing         *envelopes.Routing // 1.3: signed by SignRouting
}

// Reply is what a provider answers. Exactly one of Content, Rejections and
// Status is set.
type Reply struct {
	MessageID   string // of the answer; default: a new one
	Unsure      bool   // as for a Request
	To          string // ReplyTo of the request, unchanged
	Content     []byte
	Official    signing.Signer
	Attachments []Attachment
	References  []envelopes.AttachmentReference
	Rejections  []envelopes.Rejection
	Status      *envelopes.RequestStatus
}

// Receipt is the bus's word that it has a message.
type Receipt struct {
	envelopes.Metadata
	Certificate *signing.Certificate // of the bus; nil when it did not sign
	XML         []byte               // the envelope as received
	Call        []byte               // the envelope as it was sent, without its MIME parts
	// Repeated: an attempt whose answer was lost had arrived, and the bus now
	// says that it has the message. Of Metadata only MessageID is known then.
	Repeated bool
}

// SendRequest sends a request. The same MessageID goes out at every attempt, so
// the bus takes the message once. On an error, other than an *UnsentError or a
// *FaultError that does not ask for a retry, the message may have arrived: send it
// again, Unsure, under the MessageID of the Receipt, which is given with the error
// too.
func (c *Client) SendRequest(ctx context.Context, r Request) (*Receipt, error) {
	if r.MessageID == "" {
		r.MessageID = NewMessageID(c.now())
	}
	receipt := &Receipt{Metadata: envelopes.Metadata{MessageID: r.MessageID}}
	call := &envelopes.SendRequestCall{
		MessageID: r.MessageID, ReferenceMessageID: r.Reference, TransactionCode: r.TransactionCode, NodeID: r.NodeID, EOL: r.EOL,
		Test: r.Test, Routing: r.Routing,
	}
	if r.Routing != nil && c.version() != envelopes.V13 {
		return receipt, &UnsentError{fmt.Errorf("routing: version %s has no routing block, 1.3 has", c.version())}
	}
	var err error
	if call.Content, call.PersonalSignature, err = contentOf(ctx, r.Content, r.Official); err != nil {
		return receipt, &UnsentError{err}
	}
	if r.Process != nil {
		if call.Process, err = parseContent(r.Process); err != nil {
			return receipt, &UnsentError{fmt.Errorf("process metadata: %w", err)}
		}
	}
	if call.Headers, call.Attachments, call.References, err = c.attach(ctx, r.Official, r.Attachments, r.References); err != nil {
		return receipt, &UnsentError{err}
	}
	return receipt, c.send(ctx, envelopes.SendRequest, call.Build(c.version(), c.XOP), r.Unsure, receipt)
}

// Reply sends an answer, a status or a rejection; see SendRequest about errors.
func (c *Client) Reply(ctx context.Context, r Reply) (*Receipt, error) {
	if r.MessageID == "" {
		r.MessageID = NewMessageID(c.now())
	}
	receipt := &Receipt{Metadata: envelopes.Metadata{MessageID: r.MessageID}}
	kinds := 0
	for _, set := range []bool{r.Content != nil, len(r.Rejections) > 0, r.Status != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return receipt, &UnsentError{errors.New("a reply has exactly one of content, rejections and a status")}
	}
	call := &envelopes.SendResponseCall{MessageID: r.MessageID, To: r.To, Rejections: r.Rejections, Status: r.Status}
	var err error
	if r.Content != nil {
		if call.Content, call.PersonalSignature, err = contentOf(ctx, r.Content, r.Official); err != nil {
			return receipt, &UnsentError{err}
		}
	} else if len(r.Attachments) > 0 || len(r.References) > 0 {
		return receipt, &UnsentError{errors.New("only a reply with content carries attachments")}
	}
	if call.Headers, call.Attachments, call.References, err = c.attach(ctx, r.Official, r.Attachments, r.References); err != nil {
		return receipt, &UnsentError{err}
	}
	return receipt, c.send(ctx, envelopes.SendResponse, call.Build(c.version(), c.XOP), r.Unsure, receipt)
}

func contentOf(ctx context.Context, xml []byte, official signing.Signer) (content, signature xmltape.Node, err error) {
	if official != nil {
		return signContent(ctx, xml, official)
	}
	content, err = parseContent(xml)
	return content, signature, err
}

// attach signs attachments and puts them into the message, or, all of them, into
// the file store.
func (c *Client) attach(ctx context.Context, official signing.Signer, list []Attachment, refs []envelopes.AttachmentReference) (headers []envelopes.AttachmentHeader, contents []envelopes.Attachment, references []envelopes.AttachmentReference, err error) {
	seen := map[string]bool{}
	var total int64
	for i := range list {
		total += list[i].size()
	}
	stored := c.Store != nil && (total > Inline || c.Stored)
	references = append(references, refs...)
	for i := range list {
		a := list[i]
		if a.ID == "" {
			a.ID = fmt.Sprintf("attachment-%d", i+1)
		}
		if seen[a.ID] {
			return nil, nil, nil, fmt.Errorf("two attachments have the id %q", a.ID)
		}
		seen[a.ID] = true
		if a.MimeType == "" {
			a.MimeType = "application/octet-stream"
		}
		if a.Source != nil && !stored {
			if a.Content, err = readSource(a.Source); err != nil {
				return nil, nil, nil, fmt.Errorf("attachment %s: %w", a.ID, err)
			}
			a.Source = nil
		}
		if a.PKCS7 == nil {
			if a.PKCS7, err = signing.SignCMS(ctx, a.octets(), cmp.Or(official, c.Signer), c.now()); err != nil {
				return nil, nil, nil, fmt.Errorf("signing attachment %s: %w", a.ID, err)
			}
		}
		if stored {
			ref, err := c.bring(ctx, a)
			if err != nil {
				return nil, nil, nil, err
			}
			references = append(references, ref)
			continue
		}
		headers = append(headers, envelopes.AttachmentHeader{ContentID: a.ID, MimeType: a.MimeType, PKCS7: a.PKCS7})
		contents = append(contents, envelopes.Attachment{ID: a.ID, Content: a.Content})
	}
	return headers, contents, references, nil
}

// octets are the attachment's, for its signature.
func (a *Attachment) octets() signing.Octets {
	if a.Source == nil {
		return signing.Octets{Bytes: a.Content}
	}
	return signing.OctetsOf(a.Source)
}

func (c *Client) bring(ctx context.Context, a Attachment) (envelopes.AttachmentReference, error) {
	if a.Name == "" {
		a.Name = a.ID
	}
	if a.Source == nil {
		a.Source = Bytes(a.Content)
	}
	ref, err := c.Store.Bring(ctx, a.Name, a.MimeType, a.Source)
	ref.PKCS7 = a.PKCS7
	return ref, err
}

func readSource(src Source) ([]byte, error) {
	r, err := src()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// send posts a SendRequest or SendResponse and fills the receipt.
func (c *Client) send(ctx context.Context, op envelopes.Operation, d envelopes.Draft, unsure bool, receipt *Receipt) error {
	out, err := c.call(ctx, op, d)
	receipt.Call = out.sent
	var fault *FaultError
	if (unsure || out.unsure) && errors.As(err, &fault) && fault.Fault.Kind == envelopes.MessageIsAlreadySent {
		receipt.Repeated, receipt.XML = true, fault.XML
		return nil
	}
	if err != nil {
		return err
	}
	return c.receipt(out.AnswerEnvelope, receipt)
}

// receipt proves the answer to a SendRequest or SendResponse and fills the receipt.
func (c *Client) receipt(a *envelopes.AnswerEnvelope, receipt *Receipt) error {
	proof, cert, err := c.prove(a)
	if err != nil {
		return err
	}
	m, err := envelopes.DecodeReceipt(a, proof)
	if err != nil {
		return err
	}
	if m.MessageID != "" && m.MessageID != receipt.MessageID {
		return fmt.Errorf("the bus gives a receipt for message %s, not for %s", m.MessageID, receipt.MessageID)
	}
	m.MessageID = receipt.MessageID
	receipt.Metadata, receipt.Certificate, receipt.XML = *m, cert, a.Bytes()
	return nil
}

// SignRouting signs a routing block of 1.3 with the system's key, ready for
// Request.Routing. Its MessageID must be the request's.
func (c *Client) SignRouting(ctx context.Context, r *envelopes.Routing) (*envelopes.Routing, error) {
	d := r.Build()
	sealed, err := signing.SignInto(ctx, d.XML, d.SignID, d.Slot, c.Signer)
	if err != nil {
		return nil, fmt.Errorf("signing the routing block: %w", err)
	}
	return envelopes.ReadRouting(sealed)
}
