package adapter

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
)

// Store is the durable memory of the gateway. package postgres implements it.
// Every method is safe for concurrent use. A nil error means that the effect is
// committed and survives a crash; an error that is not one of the Err values
// below means "unknown or not done" and the caller may repeat the same call:
// each method done twice has the effect of once.
type Store interface {
	// Accept commits the message, its dedup key, one outbox row per recipient,
	// its hold on its files, the journal events and, for a final reply, the mark
	// on its request, in one statement. A file that has gone or changed since it
	// was looked at gives ErrFileGone. A MessageID is used once on the bus,
	// whatever it names: repeated by the same sender it gives Accepted.First with
	// the earlier message and commits only the events of the duplicate given by the
	// caller's next Record; used by another sender it gives ErrTaken. A second final reply to
	// one request gives ErrAnswered, and so does a status after the final reply.
	Accept(ctx context.Context, m *Message, events []journal.Event) (Accepted, error)

	// Record commits events that change nothing else: summaries, changes of the
	// configuration, evidence read.
	Record(ctx context.Context, events ...journal.Event) error

	// ChangeSettings keeps the settings of a node, as it encodes them, together with
	// the events that tell what is different.
	ChangeSettings(ctx context.Context, node string, state []byte, events ...journal.Event) error

	// Settings gives what ChangeSettings kept last for a node; nil when it never did.
	Settings(ctx context.Context, node string) ([]byte, error)

	// Refuse commits the event of a refused call together with the bytes that
	// were refused (the HTTP body as far as it was read, already capped by the
	// caller; nil when there is nothing to keep). They are found again by
	// ev.Incident, and by the trace id of the call, and kept for the store's refusal
	// retention. Repeating an incident changes nothing.
	Refuse(ctx context.Context, ev journal.Event, trace, contentType string, body []byte) error

	// Refused gives back what Refuse kept; ErrNotFound when there is no such
	// incident or its bytes were dropped by retention.
	Refused(ctx context.Context, incident string) (ev journal.Event, contentType string, body []byte, err error)

	// KeepAnswers keeps answers about revocation, each once by its digest, and
	// notes that they have decided at the time. Those that this node has kept on
	// the same day cost nothing. They go with the messages and refusals about which
	// they decided.
	KeepAnswers(ctx context.Context, answers []RevocationAnswer, now time.Time) error

	// Answer gives back what KeepAnswers kept; ErrNotFound when it never was, or
	// is not any more.
	Answer(ctx context.Context, digest [32]byte) (RevocationAnswer, error)

	// Relay takes up to max outbox rows of one shard (ShardOf of the row's
	// queue), oldest first, and no more than with which their bodies come to
	// RelayBytes, gives them to publish and, when that returns nil,
	// deletes them, but for those that publish says are left (Outgoing.Left), and commits
	// the events that publish returned for them ("routed", or
	// "dead" for what the bus refuses for good). Of what was routed, that for which
	// publish has set Outgoing.Arrival goes into its queue in the same commit, as by
	// Enqueue, unless messages of that queue are still to come there from the bus; the
	// rest is remembered until Enqueue has it, for Strays. It leads the shard meanwhile;
	// ErrShardTaken says that another node does. A lead that is not renewed, since
	// its node has died or stands still, runs out, and what is committed under it
	// later fails with journal.ErrDeposed: the rows are another's, and publish has
	// told the bus of them twice. n is the number of rows taken. Nothing waiting:
	// 0, nil and publish is not called. The messages come without their
	// attachments, which the bus does not carry, and with Erased and no body when
	// their content is being erased. Queues of which something was left are read past for a
	// second, and for the longer, up to half a minute, the longer the bus takes other queues'
	// messages and not theirs; then they are tried again with a part of a batch, behind others
	// (Outgoing.Again), and their backlog goes so too. What a batch costs does not grow with theirs.
	Relay(ctx context.Context, shard, max int, publish func(context.Context, []Outgoing) ([]journal.Event, error)) (n int, err error)

	// Enqueue puts arrivals of one topic partition into their queues and stores
	// the highest offset, in one transaction with the arrivals' events (those of
	// the newly queued only). Of an arrival that its recipient reads itself it
	// only remembers where it stands, for Passed. Offsets at or below the stored one, and messages
	// that a queue has or had, are skipped. n is the number newly queued.
	Enqueue(ctx context.Context, from Partition, arrivals []Arrival) (n int, err error)

	// Awaited reports whether the message was accepted for the queue and has not
	// come to it yet.
	Awaited(ctx context.Context, message uuid.UUID, q Queue) (bool, error)

	// Streaming tells of the partitions in which records wait to be read by
	// their recipients themselves.
	Streaming(ctx context.Context) ([]Streaming, error)

	// Passed takes the records below the offset that the recipient's consumer group
	// has committed for read by it and commits their "delivered" events, which commit
	// to where they stood and how far the group had read (journal.Stream). n is their
	// number.
	Passed(ctx context.Context, from Partition, group string, committed int64, now time.Time) (n int, err error)

	// Feed gives the next entries of the log, up to max and in their order, to
	// publish and, when that returns nil, remembers how far it has come: what
	// was published is not given again unless a crash came between the two. One
	// node feeds at a time; ErrShardTaken says that another one does, and
	// journal.ErrDeposed that one has begun meanwhile, as in Relay. n is the
	// number of entries. Nothing new: 0, nil and publish is not called.
	Feed(ctx context.Context, max int, publish func(context.Context, []LogEntry) error) (n int, err error)

	// Strays gives queues for which the bus has acknowledged messages longer
	// than age ago that have not come to the queue: queues of the oldest, when
	// there are very many.
	Strays(ctx context.Context, age time.Duration) ([]Queue, error)

	// Recall puts such messages of a queue into the outbox again, a bounded
	// number at a time: the caller knows that the bus has lost them. What has come
	// to its queue meanwhile is left there. n is the number put back.
	Recall(ctx context.Context, q Queue, age time.Duration) (n int, err error)

	// Restream does the same for records that their recipient was to read in a
	// partition that is gone.
	Restream(ctx context.Context, w Streaming) (n int, err error)

	// Seal encrypts what is to leave the store with the key of a message's content,
	// which its erasure destroys; part names it. ok is false while content is not
	// sealed: see postgres.Options.Vault.
	Seal(m *Message, part string, plain []byte) (sealed []byte, ok bool, err error)

	// Unseal gives back what Seal encrypted.
	Unseal(m *Message, part string, sealed []byte) ([]byte, error)

	// OpenKept fills in body, parts and reply address of a message that is Kept, whether the
	// store has it still or not; what it is and who it is from and for m says. Of what was
	// erased it fills in that.
	OpenKept(ctx context.Context, m *Message, k Kept) error

	// Erasure tells when and on what ground the content of a message was erased, also
	// when the message itself is not kept any more; nil when it was not.
	Erasure(ctx context.Context, service string, d Direction, id uuid.UUID) (*Erasure, error)

	// Standing tells what has waited longest at each station, by the store's own
	// clock. It is cheap however much waits.
	Standing(ctx context.Context) (Standing, error)

	// Refeed says which incarnation of its topic the log is fed to. When it is
	// another than before, again is true and Feed begins again with what the topic
	// that is gone would still hold.
	Refeed(ctx context.Context, epoch string) (again bool, err error)

	// Lease notes the poll's use, as FirstUse does, and gives a *UsedError when the
	// poll came with another operation before. Else it
	// hands out the next message that the poll matches, VIP first and
	// else of each service in turn, of one service in queue order, makes it invisible until now+p.For and commits the
	// "delivered" event, whose outcome is OutcomeRewrapped when p.Wire is given
	// and is not the version that the message is in. Before that it has p.Answer make
	// what is handed out; the event commits to poll and answer (journal.Receipt), and
	// both are kept with it. When no answer can be made the message was not
	// delivered: it steps aside for the time of the lease. No message: nil, nil. A
	// message whose EOL has passed is not handed out, nor is one whose content is
	// being erased.
	Lease(ctx context.Context, p Poll) (*Delivery, error)

	// FirstUse notes with which operation a signed poll came, and gives the operation
	// that it came with first. It is remembered by all nodes; a crash of the store may
	// forget it.
	FirstUse(ctx context.Context, u Use) (first string, err error)

	// Ack removes a delivered message from a queue of its system and commits
	// the "acknowledged" event made from ev, which commits to the envelope of the
	// signed Ack; that is kept with it. No envelope: the message was consumed by
	// being read. ErrNotAwaiting: no such message
	// of this system has been delivered and not acknowledged. Where two messages
	// bear the id, from the time when ids were unique by sender only, it counts
	// only when one of them alone is out; else ErrNotAwaiting too.
	Ack(ctx context.Context, system Mnemonic, id MessageID, now time.Time, ev journal.Event, envelope []byte) error

	// Receipts gives what is kept of the deliveries and acknowledgements of a message,
	// byte for byte: by queue and attempt, delivery before acknowledgement.
	Receipts(ctx context.Context, message uuid.UUID) ([]Receipt, error)

	// FollowTerms brings the index of open terms up to the log, reading up to max
	// entries, and commits the events that tell of what comes due and what is late, each
	// with the mark that it was told, once over all nodes and restarts; the events wait
	// for Alarms, too. One node does it at a time; ErrShardTaken and journal.ErrDeposed
	// are as in Feed. Of a moment that has just passed nothing is told until the log has
	// what was committed before it.
	FollowTerms(ctx context.Context, now time.Time, max int, rules TermRules) (TermsDone, error)

	// OpenTerms gives open terms that have a moment, the earliest first.
	OpenTerms(ctx context.Context, q TermQuestion) ([]OpenTerm, error)

	// TermCounts counts what is late now and what is due until a time, by who is to reach
	// the stage, service and stage; of sender, recipient, service and stage of the question
	// alone, as far as it names them.
	TermCounts(ctx context.Context, now, until time.Time, of TermQuestion) ([]TermCount, error)

	// Sweep does what time brings: leases that ran out ("returned" events),
	// ends of life ("expired" events), low-water marks, old dedup keys and polls, refusals
	// and partitions. It does a bounded amount of work and says whether more
	// waits. An expired request is among Swept.Expired in every sweep until its
	// final reply has been accepted (the gateway's own AsyncProcessingStatus),
	// so a crash between the two loses nothing.
	Sweep(ctx context.Context, now time.Time) (Swept, error)

	// Depths tells the number of messages waiting in each queue.
	Depths(ctx context.Context) ([]Depth, error)

	// Lanes tells how many messages of each sender and service each queue has, and will have.
	Lanes(ctx context.Context) ([]Lane, error)

	// Load gives a message by our id, which says where it stands; ErrNotFound when it is
	// not there any more.
	Load(ctx context.Context, id uuid.UUID) (*Message, error)

	// Find gives a message by the sender's MessageID, newest first (several
	// can have one from the time when ids were unique by sender only, or with
	// longer retention than dedup keys have), ErrNotFound when none.
	Find(ctx context.Context, id MessageID) ([]Message, error)

	// Trace gives the journal events that bear the id: our message id, a
	// MessageID (and the replies to it), or an incident. Oldest first.
	Trace(ctx context.Context, id string) ([]journal.Event, error)

	// Traced gives what calls of a trace have left: our ids of messages and incidents of
	// kept refusals, the oldest first, a hundred at most. None when nothing bears the id.
	Traced(ctx context.Context, trace string) ([]string, error)

	// TracesOf gives the trace ids of messages, by our ids, and of incidents; those that
	// the store does not have are left out.
	TracesOf(ctx context.Context, messages []uuid.UUID, incidents []string) (map[string]string, error)

	// TellNode keeps what a node says of itself, and when.
	TellNode(ctx context.Context, n Node) error

	// Nodes gives the nodes that have told of themselves within 31 days, by name.
	Nodes(ctx context.Context) ([]Node, error)

	// Health is nil when the store can commit now.
	Health(ctx context.Context) error
}

// The errors of a Store that a caller acts on.
var (
	ErrNotAwaiting = errors.New("message is not awaiting acknowledgement")
	ErrAnswered    = errors.New("request has its final reply already")
	ErrTaken       = errors.New("another sender's message has this MessageID")
	ErrShardTaken  = errors.New("outbox shard is held by another node")
	ErrNotFound    = errors.New("not found")
)

// Accepted is the outcome of Accept. First is nil when the message was
// committed by this call (or by an earlier try of this very call); else it is
// the earlier message with the same sender and MessageID.
type Accepted struct{ First *Message }

// RelayBytes is how much of bodies goes to the bus at once, except for what the
// last message has beyond it.
const RelayBytes = 4 << 20

// RelayBatch is how many outbox rows of a shard go to the bus at once, at most: what has gone
// of a shard has been among its first RelayBatch rows, but for those of queues that are read past.
const RelayBatch = 500

// Shards is the number of outbox shards. Each is relayed by one node at a time.
const Shards = 4

// ShardOf is the outbox shard of a queue: what goes to one queue is relayed in
// the order of acceptance. It is made of an FNV-1a hash, on all nodes.
func ShardOf(q Queue) int {
	const basis, prime = 2166136261, 16777619
	sum := uint32(basis)
	for i, part := range [...]string{string(q.System), string(q.Kind), q.Node} {
		if i > 0 {
			sum *= prime // of a zero byte
		}
		for j := range len(part) {
			sum = (sum ^ uint32(part[j])) * prime
		}
	}
	return int(sum % Shards)
}

// Outgoing is one outbox row: a message on its way to one recipient's topic.
type Outgoing struct {
	Seq     int64
	Message *Message // lent: the store hands the same one to others
	Queue   Queue

	// Arrival is for publish to set where the message may go into its queue with the
	// commit: the event of that, as of Arrival. Empty: the intake brings it there.
	Arrival journal.Event
	Queued  bool // set by the store when it went there and had not been there before

	// Left is for publish to set where the bus has not taken the message: its row stays in
	// the outbox. What goes into a queue by Arrival is left with all that comes behind it
	// for that queue, or the queue loses its order; but not what the bus refuses for good.
	Left bool

	// Again says that something of its queue was left before, and that more of it may wait
	// than the batch has.
	Again bool

	// Kept is the message's body as the store keeps it, for the bus to carry; nil where it
	// is not sealed.
	Kept *Kept
}

// Kept is the body of a message as a store keeps it: packed, and sealed with the message's
// key, which its erasure destroys.
type Kept struct {
	Form []byte // what it takes, beside the key, to open the box: the store's own affair
	Box  []byte
}

// Partition is a place in the bus. Epoch identifies the topic's incarnation
// (cluster id and topic id), so that a recreated topic is not taken for the
// old one with lower offsets.
type Partition struct {
	Epoch     string
	Topic     string
	Partition int
}

// Arrival is one record of the bus that the intake puts into a queue.
type Arrival struct {
	Offset  int64
	Message uuid.UUID
	Queue   Queue
	Event   journal.Event // "queued": when and where; the store adds what it knows of the message; empty Kind: none
	Stream  bool          // the recipient reads the record where it stands: no queue is filled
}

// Streaming is a partition in which records wait to be read by their recipient.
type Streaming struct {
	From      Partition
	Recipient Mnemonic
}

// Station is a place where what was accepted, or is to be told of it, waits for
// the next step.
type Station string

// The stations. Outbox and Bus are told by shard.
const (
	StationOutbox     Station = "outbox"     // accepted, and not on the bus
	StationBus        Station = "bus"        // on the bus, and not in its queue
	StationJournal    Station = "journal"    // events without a place in the log
	StationCheckpoint Station = "checkpoint" // entries of the log that no checkpoint covers
	StationFeed       Station = "feed"       // entries of the log that are not on its topic
	StationTerm       Station = "term"       // messages past their end of life that were not taken out
	StationVault      Station = "vault"      // this node: everything that its vault lacks a key for
	// StationVaultFolder is StationVault where the whole vault is away.
	StationVaultFolder Station = "vault-folder"
)

// Oldest is what has waited longest at a station.
type Oldest struct {
	Station Station
	Shard   int
	Since   time.Time
	Age     time.Duration
}

// Standing is what waits at a time of the store's clock. Stations where nothing
// waits are absent.
type Standing struct {
	At     time.Time
	Oldest []Oldest

	// Apart are the queues whose messages the bus did not take when it took those of others,
	// as long as they wait; Rest is the age of the oldest message in the outbox for any other.
	Apart []Apart
	Rest  time.Duration
}

// Apart is a queue that waits while others get on.
type Apart struct {
	Queue Queue
	Age   time.Duration // of its oldest message in the outbox
}

// LogEntry is an entry of the journal's log, as the bus is told of it.
type LogEntry struct {
	Index   int64  // its place in the log, from 0 and without gaps
	Kind    string // a journal.Kind
	Message string // our id of the message; empty for entries about something else
	Leaf    []byte // canonical JSON, see package journal: commitments in place of personal values
}

// Poll is one party's question for its next message.
type Poll struct {
	Queue Queue
	Roots []QName // the selector, all versions and both roots of a service; empty: any
	Now   time.Time
	For   time.Duration // lease
	Wire  string        // the version that the reader speaks
	Event journal.Event // what the caller knows: node, operation, certificate
	Use   Use           // to be noted; zero when it was before

	// Envelope is the one with the signed poll, and Answer makes the envelope that is
	// handed out for it. It is called by the caller of Lease, once, with the message
	// leased and nothing committed: it must not take longer than signing does. Nil:
	// nothing is kept of this delivery.
	Envelope []byte
	Answer   func(*Delivery) ([]byte, error)
}

// Receipt is what is kept of a delivery (Poll and Answer) or of an acknowledgement
// (Ack): envelopes as they came and went.
type Receipt struct {
	Queue   Queue
	Attempt int
	Poll    []byte
	Answer  []byte
	Ack     []byte
}

// Use is that a signed poll, known by its mark, came with an operation. It is
// remembered until the poll is too old to come again.
type Use struct {
	Mark      [32]byte
	Operation string
	Until     time.Time
}

// UsedError says that a poll came with another operation before.
type UsedError struct{ First string }

func (e *UsedError) Error() string { return "the poll came as " + e.First + " before" }

// OutcomeRewrapped is the outcome of the "delivered" event of a message that was
// written anew in the reader's version, without its sender's signature.
const OutcomeRewrapped = "rewrapped"

// OutcomeErased is the outcome of the "dead" event of a message that cannot be
// delivered because its content was erased.
const OutcomeErased = "erased"

// OutcomeKeyLost is that of one whose content nobody can open, because an operator has
// admitted that its key is lost.
const OutcomeKeyLost = "key-lost"

// Delivery is a leased message. Attempt counts from 1.
type Delivery struct {
	Message *Message
	Attempt int
	Until   time.Time
}

// Swept tells what a sweep did.
type Swept struct {
	Returned int
	Expired  []Message // without their bodies and attachments
	More     bool
}

// Lane is what of a queue is one service's, by sender: what waits, and what was handed
// out and is not acknowledged.
type Lane struct {
	Queue    Queue
	Service  string
	Sender   Mnemonic
	Messages int
	Coming   int // accepted, and not there yet: the bus has not taken them; of very many a store may have counted a part
}

// Depth is the number of messages in one queue.
type Depth struct {
	Queue   Queue
	Waiting int
	Leased  int
	Oldest  time.Time
}
