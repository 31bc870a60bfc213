package adapter

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
)

// Mnemonic names an information system, as the registry does.
type Mnemonic = registry.Mnemonic

// MessageID is a sender's identifier of a message: a UUID in lower case, 36 characters.
type MessageID string

// Direction says what a message is to its recipient.
type Direction string

// The directions. A request and a broadcast wait in a request queue, the
// others in a response queue, except that push failures go to the status queue.
const (
	DirRequest   Direction = "request"
	DirBroadcast Direction = "broadcast"
	DirResponse  Direction = "response"  // final, with content
	DirRejection Direction = "rejection" // final, RequestRejected
	DirStatus    Direction = "status"    // intermediate, RequestStatus
	DirAsync     Direction = "async"     // made by the gateway, AsyncProcessingStatus
)

// Final reports whether a message of this direction closes its request.
func (d Direction) Final() bool { return d == DirResponse || d == DirRejection || d == DirAsync }

// QueueKind is the kind of an incoming queue of an information system.
type QueueKind string

// The three incoming queues of a system.
const (
	QueueRequests  QueueKind = "request"
	QueueResponses QueueKind = "response"
	QueueStatus    QueueKind = "status"
)

// Queue identifies one incoming queue. Node is the NodeID of the request that
// is answered and is empty for requests.
type Queue struct {
	System Mnemonic
	Kind   QueueKind
	Node   string
}

// destination is the queue's name as the real bus writes it in faults and statistics.
func (q Queue) destination() string {
	s := "delivery." + string(q.System) + "._" + strings.ToUpper(string(q.Kind)) + "_"
	if q.Node != "" {
		s += "." + q.Node
	}
	return s
}

// QName is an expanded XML name.
type QName = registry.QName

// Span is a byte range of Message.Body.
type Span struct {
	Off int `json:"o"`
	Len int `json:"l"`
}

// Binding is a namespace declaration in scope; Prefix is empty for the default one.
type Binding struct {
	Prefix string `json:"p,omitempty"`
	URI    string `json:"u"`
}

// Parts says where in the received body the delivered pieces are. The pieces
// are handed on byte for byte; Scope are the namespace declarations that they
// inherit from the elements round them.
type Parts struct {
	Data      Span      `json:"data"`          // SenderProvidedRequestData or SenderProvidedResponseData
	Signature Span      `json:"sig,omitzero"`  // ds:Signature of the sender's system
	Scope     []Binding `json:"ns,omitempty"`  // in scope at the parent of Data
	SigScope  []Binding `json:"sns,omitempty"` // in scope at the parent of Signature
	Attached  int       `json:"a,omitzero"`    // number of attachments, also where they are not loaded
	Files     int       `json:"f,omitzero"`    // number of files in the file store, also where they are not loaded
}

// Attachment is one attachment carried inside the message, decoded.
type Attachment struct {
	ID      string // AttachmentContent/Id
	Content []byte
}

// Message is what accept commits and poll delivers.
type Message struct {
	ID              uuid.UUID // UUIDv7, ours
	MessageID       MessageID // the sender's
	Direction       Direction
	Original        MessageID // for replies: MessageID of the request
	Request         uuid.UUID // for replies: our id of the request; zero for requests
	Reference       MessageID
	TransactionCode string

	Sender     Mnemonic
	Recipients []Queue // one, or all subscribers of a broadcast
	Service    string
	Version    string // of the service
	Root       QName  // root element of the content; of the request's content for statuses, rejections and async, so that selectors find them
	VIP        bool
	Test       bool
	EOL        time.Time // zero: none
	Accepted   time.Time // SendingTimestamp
	Deadline   time.Time // of its answer; zero: none

	Due   terms.Due // by when each stage is due, and what counts from the delivery: in the entry "accepted", not kept with the message
	Later terms.Later

	Wire        string // "1.1", "1.2" or "1.3": the version in which the sender signed
	Body        []byte // the SOAP envelope (root part) as received; DirAsync: the gateway's own words as JSON, rendered in the version of whoever reads them
	Parts       Parts
	Attachments []Attachment
	Files       []File // in the file store, until the message has been taken by all its recipients
	ReplyTo     string // authenticated token that the answer must carry in To

	Digest      [32]byte // SHA-256 of Body
	Certificate [32]byte // SHA-256 of the sender's certificate (DER)
	Trace       string   // W3C traceparent of the accepting call, may be empty

	Erased *Erasure // Body and Attachments are gone for good; nil: they are here
}

// Shadowed is a message with content as Rooms.Shadow is offered it. Body is lent.
type Shadowed struct {
	Service   *registry.Service // the version that it was sent for
	Sender    Mnemonic
	Direction Direction
	MessageID MessageID
	At        time.Time
	Body      []byte
	Data      Span   // the signed element in Body
	Refused   string // the rule by which the schema has refused it, at Line and Col; empty: it was accepted
	Line, Col int
}

// Erasure is when content was erased, and on what legal ground. Both are empty
// while an erasure is under way.
type Erasure struct {
	At     time.Time
	Ground string
}

// ErasedError says that what is asked for was erased.
type ErasedError struct{ Erasure }

func (e *ErasedError) Error() string {
	if e.At.IsZero() {
		return "the content is being erased"
	}
	return "the content was erased at " + e.At.Format(time.RFC3339) + ": " + e.Ground
}

// ContentClass names the keys that the content of messages is sealed with: by
// service, and requests apart from what answers them, because each may be kept for
// another time. A service whose name is no name of a file goes by its digest.
func ContentClass(service string, d Direction) string {
	to := "response"
	if d == DirRequest || d == DirBroadcast {
		to = "request"
	}
	if !plainName(service) {
		sum := sha256.Sum256([]byte(service))
		service = "x-" + hex.EncodeToString(sum[:12])
	}
	return service + "." + to
}

func plainName(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && s[0] != '.' && len(s) <= 120 && !strings.HasPrefix(s, "x-")
}
