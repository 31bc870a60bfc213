package envelopes

import (
	"time"

	"mezhved/envelopes/xmltape"
)

// Proven is an element that a signature was proved to cover. signing.Signed is
// one. The Decode functions trust it: whoever makes one without a proof reads
// what anybody may have written.
type Proven interface{ Element() xmltape.Node }

// Fragment is an element as its author wrote it, with the namespace
// declarations that it inherits from the elements round it. It is spliced into
// other documents byte for byte.
type Fragment struct {
	XML   []byte
	Scope []xmltape.Binding
}

// FragmentOf gives the element with the declarations in scope at its parent.
// The bytes belong to the tape. It is empty for an invalid node.
func FragmentOf(n xmltape.Node) Fragment {
	if !n.Valid() {
		return Fragment{}
	}
	return Fragment{XML: n.Bytes(), Scope: n.Parent().InScope()}
}

// SendRequestCall is what a consumer asks: SenderProvidedRequestData, and the parts
// of SendRequestRequest outside the caller's signature.
type SendRequestCall struct {
	ID                 string // attribute Id of SenderProvidedRequestData; Build gives one when empty
	MessageID          string // as written; whether it is a UUID of version 1 is for the caller to judge
	ReferenceMessageID string
	TransactionCode    string
	NodeID             string
	EOL                time.Time    // zero: none
	Content            xmltape.Node // the child of MessagePrimaryContent
	PersonalSignature  xmltape.Node // ds:Signature over Content; invalid when absent
	Headers            []AttachmentHeader
	References         []AttachmentReference
	Process            xmltape.Node // BusinessProcessMetadata itself; invalid when absent
	Test               bool         // TestMessage

	Attachments []Attachment // outside the signature: trust only what Headers vouch for
	Routing     *Routing     // 1.3, outside the signature: has its own

	Data      xmltape.Node // SenderProvidedRequestData, for keeping; Build ignores it
	Signature xmltape.Node // ds:Signature of the caller; Build ignores it
}

// SendResponseCall is what a provider answers. Exactly one of Content, Rejections
// and Status is there.
type SendResponseCall struct {
	ID                string // attribute Id of SenderProvidedResponseData; Build gives one when empty
	MessageID         string // of the answer itself, as written
	To                string // verbatim copy of Request/ReplyTo
	Content           xmltape.Node
	PersonalSignature xmltape.Node
	Headers           []AttachmentHeader
	References        []AttachmentReference
	Rejections        []Rejection
	Status            *RequestStatus

	Attachments []Attachment // outside the signature

	Data      xmltape.Node // SenderProvidedResponseData; Build ignores it
	Signature xmltape.Node // ds:Signature of the caller; Build ignores it
}

// Rejection is RequestRejected: the provider will not fulfil the request.
type Rejection struct {
	Code        RejectionCode
	Description string // up to 4000 characters
}

// RequestStatus is an intermediate status of the provider's work.
type RequestStatus struct {
	Code        int // StatusCode, the provider's own
	Parameters  []StatusParameter
	Description string // up to 4000 characters
}

// StatusParameter is one Key and Value of a RequestStatus.
type StatusParameter struct{ Key, Value string }

// AttachmentHeader describes a file carried in the message.
type AttachmentHeader struct {
	ContentID    string // equals Attachment.ID
	NamespaceURI string // 1.3
	MimeType     string
	PKCS7        []byte // detached signature over the file; nil when absent
	Archive      []ArchiveFile
}

// AttachmentReference describes a file in the file store.
type AttachmentReference struct {
	UUID         string // folder in the file store
	FileName     string // 1.3
	NamespaceURI string // 1.3
	Hash         []byte // digest of the file
	MimeType     string
	PKCS7        []byte
	Archive      []ArchiveFile
}

// ArchiveFile is one file in a zip attachment (1.3).
type ArchiveFile struct{ Name, NamespaceURI string }

// Attachment is the content of an attachment, decoded.
type Attachment struct {
	ID      string
	Content []byte
}

// Routing is the routing block of 1.3. Signature must cover Information; the
// fields say what Information says.
type Routing struct {
	ID          string // attribute Id of RoutingInformation; Build gives one when empty
	MessageID   string
	Dynamic     []string
	Identifiers []string
	Records     []RecordRouting

	Information xmltape.Node // RoutingInformation
	Signature   xmltape.Node // ds:Signature in RoutingSignature
}

// RecordRouting routes one record of a registry message.
type RecordRouting struct {
	RecordID    int
	UseGeneral  bool
	Dynamic     []string
	Identifiers []string
}

// PollCall asks for the next message of a request or response queue.
type PollCall struct {
	Operation Operation // GetRequest or GetResponse
	ID        string
	Root      Name // the selector: a request or response root of a service; zero: any
	Timestamp time.Time
	Fine      bool // Timestamp is written to the microsecond, so that polls of one millisecond differ
	Zoneless  bool // Timestamp came without a zone and was read as Moscow time
	NodeID    string

	Signature xmltape.Node
}

// Selects reports whether the poll asks for one service only.
func (p *PollCall) Selects() bool { return p.Root.Local != "" }

// GetStatusCall asks for the next message of the status queue.
type GetStatusCall struct {
	ID        string
	Timestamp time.Time
	Zoneless  bool // as in PollCall

	Signature xmltape.Node
}

// AckCall confirms a delivered message.
type AckCall struct {
	ID        string
	MessageID string // MessageMetadata/MessageId of the delivered message
	Accepted  bool   // false: the bus's signature did not hold; true when the attribute is absent

	Signature xmltape.Node
}

// StatisticsCall asks for the depths of the caller's queues (1.1).
type StatisticsCall struct {
	ID        string
	NodeID    string // stands outside the signed Timestamp
	Timestamp time.Time
	Zoneless  bool // as in PollCall

	Signature xmltape.Node
}
