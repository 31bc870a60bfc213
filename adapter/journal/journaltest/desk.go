package journaltest

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/vault"
)

// Clock is a time that tests move. Safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock starts at Start.
func NewClock() *Clock { return &Clock{at: Start} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Move puts the clock forward, or back.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Desk is a log with everything around it: key, signer, vault, clock.
type Desk struct {
	T      testing.TB
	Dir    string
	Clock  *Clock
	Secret string // the log's signing key
	Signer *clerk.FileSigner
	Vault  *vault.Vault
	Policy *journal.Policy
	TSA    func(octets []byte) []byte // puts a time stamp over the checkpoints that bundles enclose; nil: none
}

// Origin is the name of the logs that desks make.
const Origin = "journal.example.gov/mezhved"

// NewDesk makes a fresh key, signer state and vault in a temporary directory.
func NewDesk(t testing.TB) *Desk {
	t.Helper()
	d := &Desk{T: t, Dir: t.TempDir(), Clock: NewClock()}
	secret, public, err := journal.NewKey(Origin)
	d.ok(err)
	d.Secret = secret
	state := filepath.Join(d.Dir, "signer.json")
	d.ok(clerk.CreateSignerState(state, secret))
	d.Signer, err = clerk.NewFileSigner(state, secret, d.Clock.Now)
	d.ok(err)
	t.Cleanup(func() { d.Signer.Close() })
	keys := filepath.Join(d.Dir, "keys")
	d.ok(os.Mkdir(keys, 0o700))
	d.Vault, err = vault.Open(keys, d.Clock.Now)
	d.ok(err)
	d.Policy, err = journal.LogPolicy(public)
	d.ok(err)
	return d
}

// Second gives the log a second key, ML-DSA-44, from now on, and a policy that wants it.
func (d *Desk) Second() {
	d.T.Helper()
	skey, vkey, err := journal.NewMLDSAKey(Origin)
	d.ok(err)
	d.Signer.MLDSA, err = journal.ParseMLDSAKey(skey)
	d.ok(err)
	d.Policy, err = journal.ParsePolicy([]byte(strings.TrimSuffix(string(d.Policy.Text()), "quorum none\n") + "witness second " + vkey + "\nquorum second\n"))
	d.ok(err)
}

func (d *Desk) ok(err error) {
	d.T.Helper()
	if err != nil {
		d.T.Fatal(err)
	}
}

// Sequencer makes one over book with the desk's signer and vault.
func (d *Desk) Sequencer(book clerk.Book) *clerk.Sequencer {
	if b, ok := book.(*Book); ok {
		b.goBy(d.Clock.Now)
	}
	return &clerk.Sequencer{Book: book, Signer: d.Signer, Vault: d.Vault, Now: d.Clock.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Batch: 100, Tick: time.Millisecond, Publish: -1}
}

// Settle sequences everything that is pending and has the head signed.
func (d *Desk) Settle(s *clerk.Sequencer) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // Run then only takes up what is left and publishes
	if err := s.Run(ctx); err != nil {
		return err
	}
	return s.Writable()
}

// Filled is a book with n events in it, signed.
func (d *Desk) Filled(seed uint64, n int) *Book {
	d.T.Helper()
	book := NewBook(Origin)
	seq := d.Sequencer(book)
	events := Events(seed, n)
	for i := 0; i < n; i += 700 {
		part := events[i:min(i+700, n)]
		d.ok(book.Add(part...))
		if at := part[len(part)-1].Time; at.After(d.Clock.Now()) {
			d.Clock.Move(at.Sub(d.Clock.Now()))
		}
		d.ok(d.Settle(seq))
	}
	return book
}

// Checkpoint opens the book's latest checkpoint with the desk's policy.
func (d *Desk) Checkpoint(book clerk.Book) *journal.Checkpoint {
	d.T.Helper()
	latest, err := book.Checkpoint(context.Background())
	d.ok(err)
	c, err := d.Policy.Open(latest.Note)
	d.ok(err)
	return c
}

// Audit verifies the whole log as a stranger would, from its files.
func (d *Desk) Audit(log journal.TileSource, checkpoint []byte, known ...*journal.Checkpoint) *audit.LogReport {
	d.T.Helper()
	rep, err := audit.VerifyLog(context.Background(), log, d.Policy, checkpoint, known)
	d.ok(err)
	return rep
}

// Forged is another history under the desk's own key, with a forged signer
// memory: what an operator could make who holds every key.
func (d *Desk) Forged(seed uint64, n int) *Book {
	d.T.Helper()
	state := filepath.Join(d.T.TempDir(), "forged.json")
	d.ok(clerk.CreateSignerState(state, d.Secret))
	forged, err := clerk.NewFileSigner(state, d.Secret, d.Clock.Now)
	d.ok(err)
	defer forged.Close()
	other := *d
	other.Signer = forged
	return other.Filled(seed, n)
}
