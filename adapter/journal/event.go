package journal

import (
	"cmp"
	"time"
)

// Kind names what happened. The set is closed: a reader of an old journal must
// know every word in it.
type Kind string

// The events of a message's life, in the order in which they usually come.
const (
	KindAccepted     Kind = "accepted"     // committed: message, dedup key, outbox and this row in one statement
	KindRefused      Kind = "refused"      // a known party's call was refused; Outcome is the fault, Rule and Line/Col the place
	KindRouted       Kind = "routed"       // acknowledged by the bus
	KindQueued       Kind = "queued"       // stands in the recipient's queue
	KindDelivered    Kind = "delivered"    // handed out under a lease; Attempt counts from 1
	KindReturned     Kind = "returned"     // the lease ran out, the message is at the head of its queue again
	KindAcknowledged Kind = "acknowledged" // the recipient's Ack; Outcome says accepted or rejected
	KindAnswered     Kind = "answered"     // a final reply to this request was accepted
	KindExpired      Kind = "expired"      // end of life reached before delivery
	KindDueSoon      Kind = "due-soon"     // a stage of the message (Stage) comes due at Deadline, and was not reached
	KindOverdue      Kind = "overdue"      // Deadline has passed, and the stage was not reached
	KindDead         Kind = "dead"         // cannot be delivered; kept in the dead-letter topic
	KindStrangers    Kind = "strangers"    // summary of refused calls by unknown callers that have no entry of their own; Count of them since the last summary
)

// Kinds of the journal's own life.
const (
	KindConfigChanged Kind = "config-changed"
	KindErased        Kind = "erased"        // values were removed: Target is the entry, Fields the removed fields, Ground the legal ground
	KindEvidenceRead  Kind = "evidence-read" // an auditor asked, was shown or took away something
	KindAlarm         Kind = "alarm"         // somebody was told, or is not to be told: Rule is the alarm's rule, Outcome what happened, Operation the way
	KindPeriodClose   Kind = "period-close"  // written by the sequencer: totals of the entries since the last close
	KindKeyChanged    Kind = "key-changed"   // the log goes on under another key or origin; Log says which
	KindUnknown       Kind = "unknown"       // a row that the sequencer could not express; it is committed to whole, as field "row"
)

// begins says that an event of this kind is the first of its message.
func (k Kind) Begins() bool { return k == KindAccepted || k == KindRefused }

// Sealer is the id under which the values of an event are sealed while it waits for its
// place: of its message, or of a refused call, which is none, the incident.
func (e *Event) Sealer() string { return cmp.Or(e.Message, e.Incident) }

// Event is one thing that happened, as the gateway tells it to the journal. It
// carries no content: digests, parties, codes and places only. Personal values
// stand in Personal and nowhere else; they and Digest never reach a leaf, only
// salted commitments to them do. Empty fields are absent.
type Event struct {
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"`           // UTC, millisecond precision
	Node string    `json:"node,omitempty"` // the gateway node that saw it

	Message   string `json:"message,omitempty"`   // the gateway's own id of the message (UUIDv7, lower case)
	MessageID string `json:"messageId,omitempty"` // the sender's MessageID (SMEV UUID)
	Original  string `json:"original,omitempty"`  // MessageID of the request that this message answers
	Operation string `json:"operation,omitempty"` // SendRequest, GetRequest, ...
	Direction string `json:"direction,omitempty"` // request, response, status, rejection, async, broadcast
	Channel   string `json:"-"`                   // the door that it came by, and the protocol's version there: smev/1.2, ws/1.3 (version by content), stream, gateway
	Reference string `json:"-"`                   // ReferenceMessageID: the message that began the chain
	Test      bool   `json:"-"`                   // the message is marked TestMessage; the sequencer puts it on all later entries of the message

	Sender    string `json:"sender,omitempty"`    // mnemonic of the sending information system
	Recipient string `json:"recipient,omitempty"` // mnemonic of the receiving information system
	Service   string `json:"service,omitempty"`
	Version   string `json:"version,omitempty"`
	Schema    string `json:"schema,omitempty"` // hex SHA-256 of the schema bundle that was applied

	Outcome  string    `json:"outcome,omitempty"`  // "ok" or the fault's name
	Incident string    `json:"incident,omitempty"` // the id that the refused caller was told
	Rule     string    `json:"rule,omitempty"`     // cvc-..., or the check that refused; with the outcome ok, what was let pass or decided: how names are read, a revocation that nobody could tell of, the code of a status (status.20)
	Line     int       `json:"line,omitempty"`
	Col      int       `json:"col,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Count    int       `json:"count,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"` // of the answer; with due-soon and overdue, of the stage

	// On an accepted message: by when it is to be queued, taken, and heard of first, what
	// counts from its delivery (text of package terms), and when nobody needs the answer
	// any more. Stage is the one that due-soon, overdue and alarm are about.
	DueQueued time.Time `json:"-"`
	DueTaken  time.Time `json:"-"`
	DueStatus time.Time `json:"-"`
	Terms     string    `json:"-"`
	EOL       time.Time `json:"-"`
	Stage     string    `json:"-"`

	Digest      string `json:"digest,omitempty"`      // hex SHA-256 of the envelope as received
	Certificate string `json:"certificate,omitempty"` // hex SHA-256 of the caller's certificate (DER)
	Size        int    `json:"size,omitempty"`        // bytes as received
	Revocation  string `json:"revocation,omitempty"`  // hex SHA-256 of the answers (OCSP or CRL) by which the call's certificates were judged: see Judgement

	Target   *int64          `json:"target,omitempty"`   // the entry that this one is about (erased)
	Fields   []string        `json:"fields,omitempty"`   // names of fields, never values (erased, evidence-read)
	Ground   string          `json:"ground,omitempty"`   // legal ground or reason, without names of people
	Log      *LogChange      `json:"log,omitempty"`      // key-changed only
	Personal []PersonalField `json:"personal,omitempty"` // committed to in the leaf, kept apart, erasable
}

// Complete takes from another event what this one does not say.
func (e *Event) Complete(from *Event) {
	texts, more := e.packedTexts(), from.packedTexts()
	for i := range texts {
		fill(texts[i], more[i])
	}
	numbers, others := e.packedNumbers(), from.packedNumbers()
	for i := range numbers {
		fill(numbers[i], others[i])
	}
	moments, then := e.moments(), from.moments()
	for i := range moments {
		fill(moments[i], then[i])
	}
	fill(&e.Time, &from.Time)
	fill(&e.Channel, &from.Channel)
	fill(&e.Reference, &from.Reference)
	fill(&e.Terms, &from.Terms)
	fill(&e.Stage, &from.Stage)
	fill(&e.Test, &from.Test)
	fill(&e.Target, &from.Target)
	fill(&e.Log, &from.Log)
	if e.Fields == nil {
		e.Fields = from.Fields
	}
	if e.Personal == nil {
		e.Personal = from.Personal
	}
}

func fill[T comparable](to, from *T) {
	var zero T
	if *to == zero {
		*to = *from
	}
}

// PersonalField is a value that may have to be forgotten. The leaf carries
// HMAC-SHA-256 of Value under a random salt; value and salt are kept apart, by
// retention class, and can be removed without touching the log.
type PersonalField struct {
	Field string `json:"field"`           // lower-case name: snils, inn, actor, query
	Value string `json:"value"`           // UTF-8, at most 64 KiB
	Class string `json:"class,omitempty"` // retention class; empty means ClassPersonal
}

// PendingClass begins the class of a value that is sealed while its event waits for
// its place in the log: what the database writes of it, to its own log and backups
// too, is then no value. The class itself follows. It is no valid name, so a value
// that nobody has opened is never committed to.
const PendingClass = "sealed:"

// PendingTogether is the class of all values of an event that wait in one seal: what it
// opens to is PackPersonal's. A seal, its nonce and its tag for each value are as long
// as the value.
const PendingTogether = PendingClass + "*"

// PendingShared is the same under a key that events of other messages share.
const PendingShared = PendingClass + "+"

// Retention classes that the journal itself uses. A deployment may name more.
const (
	ClassPersonal = "personal" // values about people
	ClassEnvelope = "envelope" // digests of envelopes, which live as long as the envelopes
	ClassLeaf     = "leaf"     // of a row alone: what is a member of the leaf, see Row
)

// LogChange announces in the log that it goes on under a new origin or key. A
// reader of the old origin finds here where the old one ended.
type LogChange struct {
	Origin    string `json:"origin"`              // the origin from now on
	Key       string `json:"key"`                 // its verifier key (C2SP vkey)
	OldOrigin string `json:"oldOrigin,omitempty"` // the origin until now
	OldSize   int64  `json:"oldSize,omitempty"`   // size of the last checkpoint that the old signer remembers
	OldRoot   string `json:"oldRoot,omitempty"`   // and its root, standard base64
}

// since3 are the kinds that came with version 3 of the leaf.
var since3 = map[Kind]bool{KindDueSoon: true, KindOverdue: true, KindAlarm: true}

// kinds is the closed set, for checking.
var kinds = map[Kind]bool{
	KindAccepted: true, KindRefused: true, KindRouted: true, KindQueued: true, KindDelivered: true, KindReturned: true,
	KindAcknowledged: true, KindAnswered: true, KindExpired: true, KindDead: true, KindDueSoon: true, KindOverdue: true, KindAlarm: true, KindStrangers: true,
	KindConfigChanged: true, KindErased: true, KindEvidenceRead: true, KindPeriodClose: true, KindKeyChanged: true, KindUnknown: true,
}
