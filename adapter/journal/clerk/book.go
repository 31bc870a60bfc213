package clerk

import (
	"context"
	"time"

	"mezhved/adapter/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Head is where the log stands and what the next batch starts from.
type Head struct {
	Origin      string
	Epoch       int64 // counts the origins, from 1
	Tree        tlog.Tree
	Logged      time.Time              // of the last entry
	PeriodFrom  int64                  // first entry of the open period
	PeriodStart time.Time              // when it began
	Totals      map[journal.Kind]int64 // its entries so far, by kind
	Stopped     string                 // why nothing may be appended; empty when all is well
}

// Pending is an event that was committed with the act it tells of and waits for its
// place in the log.
type Pending struct {
	ID    int64  // of the row that it stands in, alone or with others
	Event []byte // an Event as Event.Row or Event.Pack writes it; good until the transaction ends
}

// Entry is a leaf in its place.
type Entry struct {
	Index int64
	Leaf  *journal.Leaf
	Bytes []byte
}

// Latest is what the next entry of a message takes from the latest one.
type Latest struct {
	Index int64
	Test  bool
}

// Batch is everything that one step of the sequencer changes. It is written in
// one transaction or not at all.
type Batch struct {
	Was, Head Head
	Entries   []Entry                    // from Was.Tree.N to Head.Tree.N-1, in order; leaves and bytes are good until the transaction ends
	Open      []Opened                   // openings of their commitments, in the order of the entries
	Vault     Vault                      // to seal them with: no book keeps them open
	Tiles     []journal.Tile             // tiles that changed, whole
	Counters  map[string]journal.Counter // new values of those that changed
}

// Opened is an opening of an entry. Those of one class behind the entries of one tile
// that a batch brings have one seed, of which their salts are made: a book may keep it
// instead, for as long as it keeps all of them.
type Opened struct {
	journal.Opening
	Index int64
	Seed  *journal.Seed
}

// Tx is one transaction of a Book that holds the head locked. Not for
// concurrent use.
type Tx interface {
	journal.TileSource
	// Head locks the head row and reads it.
	Head(ctx context.Context) (Head, error)
	// Pending takes committed rows in the order of their ids, whole, until their
	// events are limit or more, or as many bytes as a batch should have; more says
	// that this is why it took no others. They are gone when the transaction
	// commits. Rows of transactions still open are not seen and come in a later batch.
	// first is the index of the first of them, for a book that would rather leave some
	// of them to the next batch; negative, it must not.
	Pending(ctx context.Context, limit int, first int64) (events []Pending, more bool, err error)
	// Counters reads the counters of the parties, or of all parties for nil.
	// Parties without one are absent.
	Counters(ctx context.Context, parties []string) (map[string]journal.Counter, error)
	// Last finds the latest entry of each message; messages without one are
	// absent.
	Last(ctx context.Context, messages []string) (map[string]Latest, error)
	// Write stores a batch.
	Write(ctx context.Context, b *Batch) error
}

// Claim is what a node asks of the lead.
type Claim struct {
	Term   int64 // under which it leads now; 0: none
	Want   bool  // it can sign, and will lead if nobody else does
	Behind bool  // others go first: it could not do the work a while ago
}

// Standing is how the log stands, by what is in it and by the clock of the book.
type Standing struct {
	Term    int64         // of the node that asked; 0: it does not lead
	Leader  string        // the node that leads, or that led last
	Size    int64         // entries
	Signed  int64         // entries under the latest checkpoint
	Waits   time.Duration // for how long the oldest pending row has waited; 0: none waits
	Stopped string        // why nothing may be appended; empty when all is well
	At      time.Time     // when this was so
}

// Book is where a log is kept. Safe for concurrent use, by several nodes too.
type Book interface {
	journal.TileSource
	// Sequence runs step in a transaction and commits it. When it returns nil
	// the batch is durable; when it returns an error, the batch may have been
	// committed nevertheless, and the next Head tells. The transaction proves the
	// term: when another node leads since, nothing is committed and the error is
	// journal.ErrDeposed. Without a term (0) only the locked head keeps the log whole: for
	// acts that are not a leader's.
	Sequence(ctx context.Context, term int64, step func(Tx) error) error
	// Head reads the committed head without locking it.
	Head(ctx context.Context) (Head, error)
	// Look tells how the log stands. It renews the term of the claim, or begins a
	// new one when the claim wants one and nobody leads. It is asked before each
	// step. At most one node leads; safety does not rest on it.
	Look(ctx context.Context, c Claim) (Standing, error)
	// Resign ends a term, so that another node may lead at once.
	Resign(term int64)
	// SaveCheckpoint keeps a signed checkpoint as the latest. Saving a smaller
	// one than the latest does nothing.
	SaveCheckpoint(ctx context.Context, c *journal.Checkpoint) error
	// Checkpoint gives the latest, or fs.ErrNotExist.
	Checkpoint(ctx context.Context) (*journal.Checkpoint, error)
	// Stop writes into the head why nothing may be appended any more.
	Stop(ctx context.Context, why string) error
}

// Vault seals openings. It keeps the keys, apart from the database and its
// backups: package vault is it. Safe for concurrent use.
type Vault interface {
	// Seal encrypts an opening of the entry at index.
	Seal(index int64, o journal.Opening) (journal.Sealed, error)
	// KeyOf names the key with which values of a class are sealed now.
	KeyOf(class string) string
	// SealTogether encrypts openings of one class with a key, and appends that; place says
	// where they are kept, and they open there and nowhere else.
	SealTogether(to []byte, key, place string, plain []byte) ([]byte, error)
	// Blinder gives what appends the search token of a value of a field, 16 bytes, for
	// those who make many: not for concurrent use, and for no longer than a batch.
	Blinder() (func(to []byte, field, value string) []byte, error)
	// OpenPending decrypts the value of a field as it waited (journal.PendingClass). An
	// error with a method Lacks, the name of a key, says that the vault has not the key
	// that the value waits under, and that it may come back.
	OpenPending(message, field, sealed string) (value string, err error)
	// OpenWaiting decrypts all values of an event (journal.PendingShared), packed, with the
	// same errors.
	OpenWaiting(message, sealed string) (values []byte, err error)
}
