package envelopes

import (
	"sync"
	"time"
)

// Draft is a document that still lacks one signature: the caller's in a call,
// the bus's in an answer.
type Draft struct {
	XML    []byte
	SignID string // Id of the element to be signed; empty: nothing is to be signed, XML is complete
	Slot   int    // offset in XML where the ds:Signature element goes
	Parts  []Part // attachments that XML refers to by XOP; then it must travel as multipart

	room *[]byte // that XML stands in and another draft may have; nil: it has it alone
}

// rooms are what drafts of answers are written into: a gateway copies each when it signs
// it, and has no more use for it.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// widest is the largest room that is kept.
const widest = 64 << 10

// Release gives what XML stands in to another draft. XML, and everything cut out of it, must not be used
// any more; nor must a copy of the draft be released too.
func (d *Draft) Release() {
	if d.room != nil && cap(d.XML) <= widest {
		*d.room = d.XML[:0]
		rooms.Put(d.room)
	}
	d.XML, d.room = nil, nil
}

// Seal gives the document with the signature in its slot; a complete document
// stays as it is. The draft is not changed.
func (d Draft) Seal(signature []byte) []byte {
	if d.SignID == "" {
		return d.XML
	}
	out := make([]byte, 0, len(d.XML)+len(signature))
	out = append(out, d.XML[:d.Slot]...)
	out = append(out, signature...)
	return append(out, d.XML[d.Slot:]...)
}

// Part is one MIME part beside the root part.
type Part struct {
	ContentID   string // without angle brackets
	ContentType string
	Data        []byte
}

// Participant is a sender or recipient as MessageMetadata names it. Name is
// written in 1.1 and 1.3 only.
type Participant struct{ Mnemonic, Name string }

// Metadata is MessageMetadata. Zero times and empty fields are left out.
type Metadata struct {
	ID        string // attribute Id; empty: "SIGNED_BY_SMEV" where the bus signs it, else none
	MessageID string
	Type      MessageType
	Sender    Participant
	Sent      time.Time // SendingTimestamp: when the bus received the message
	Recipient Participant
	Delivered time.Time // DeliveryTimestamp
	Status    Status

	Destination string // 1.1: DestinationName; empty: "unknown"
}

// FSAttachment tells the recipient where a file of the file store waits.
type FSAttachment struct{ UUID, UserName, Password, FileName string }

// RequestDelivery is what GetRequest hands out.
type RequestDelivery struct {
	Data        Fragment // SenderProvidedRequestData, spliced byte for byte
	Metadata    Metadata
	Files       []FSAttachment
	ReplyTo     string
	Signature   Fragment // the sender's ds:Signature; empty: SenderInformationSystemSignature is left out
	Attachments []Attachment
	XOP         bool // put attachments into parts of their own, not inline
}

// ResponseDelivery is what GetResponse hands out.
type ResponseDelivery struct {
	OriginalMessageID       string
	OriginalTransactionCode string
	ReferenceMessageID      string
	Data                    Fragment // SenderProvidedResponseData, spliced byte for byte
	Metadata                Metadata
	Files                   []FSAttachment
	Signature               Fragment
	Attachments             []Attachment
	XOP                     bool
}

// AsyncStatus is AsyncProcessingStatus: the bus's own word on a message that it
// had accepted.
type AsyncStatus struct {
	OriginalMessageID string
	Category          Status
	Details           string // cut to 500 characters
	Fault             *Fault // SmevFault; nil: none
}

// AsyncMessage is an AsyncStatus as a message in the sender's response queue.
type AsyncMessage struct {
	ID        string // attribute Id; empty: "SIGNED_ASYNC_BY_SMEV"
	MessageID string // made by the bus; the receiver acknowledges this one
	To        string // the request's ReplyTo
	AsyncStatus
}

// QueueStatistics is the depth of one queue (1.1).
type QueueStatistics struct {
	Name    string
	Pending int64
}
