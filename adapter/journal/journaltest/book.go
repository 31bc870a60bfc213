// Package journaltest is for tests of the journal and of whoever uses it: a Book
// in memory, events to fill it, and the suite that every Book must pass. Only
// tests may enter.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"

	"golang.org/x/mod/sumdb/tlog"
)

// Book is a clerk.Book in memory. Break, when set, is called with the name of
// each statement before it runs, and of each again with " done" after it ran; an
// error from it fails the statement, and " done" after commit is the commit that
// happened and was reported failed.
type Book struct {
	Break func(statement string) error
	Now   func() time.Time // the book's clock; by it pending rows grow old

	lock    chan struct{} // the head row
	mu      sync.Mutex
	head    clerk.Head
	entries [][]byte
	tiles   map[[2]int64][]byte
	count   map[string]journal.Counter
	last    map[string]clerk.Latest
	pending []clerk.Pending
	nextID  int64
	sealed  []journal.Sealed
	latest  *journal.Checkpoint
	term    int64 // of the leader, the last term when free
	led     bool  // somebody leads
	free    int   // looks since nobody does
}

// NewBook makes an empty log of an origin.
func NewBook(origin string) *Book {
	empty, _ := tlog.TreeHash(0, nil)
	return &Book{lock: make(chan struct{}, 1), head: clerk.Head{Origin: origin, Epoch: 1, Tree: tlog.Tree{Hash: empty}},
		Now: time.Now, tiles: map[[2]int64][]byte{}, count: map[string]journal.Counter{}, last: map[string]clerk.Latest{}}
}

// Add commits events as pending rows.
func (b *Book) Add(events ...journal.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		row, err := e.Row()
		if err != nil {
			return err
		}
		b.nextID++
		b.pending = append(b.pending, clerk.Pending{ID: b.nextID, Event: row})
	}
	return nil
}

// Restore makes the book what the snapshot was: a backup brought back.
func (b *Book) Restore(snapshot *Book) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := snapshot.Snapshot()
	b.head, b.entries, b.tiles, b.count, b.last, b.pending, b.nextID, b.sealed, b.latest =
		c.head, c.entries, c.tiles, c.count, c.last, c.pending, c.nextID, c.sealed, c.latest
}

// Snapshot copies the book.
func (b *Book) Snapshot() *Book {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Book{lock: make(chan struct{}, 1), head: b.head, entries: slices.Clone(b.entries), tiles: maps.Clone(b.tiles), count: maps.Clone(b.count),
		last: maps.Clone(b.last), pending: slices.Clone(b.pending), nextID: b.nextID, sealed: slices.Clone(b.sealed), latest: b.latest}
}

// Sealed lists the stored openings of an entry.
func (b *Book) Sealed(index int64) []journal.Sealed {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []journal.Sealed
	for _, s := range b.sealed {
		if s.Index == index {
			out = append(out, s)
		}
	}
	return out
}

// Entry gives the bytes of an entry.
func (b *Book) Entry(index int64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[index]
}

func (b *Book) breaks(statement string) error {
	if b.Break == nil {
		return nil
	}
	return b.Break(statement)
}

// Tile implements journal.TileSource.
func (b *Book) Tile(_ context.Context, level int, n int64, width int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if level == journal.EntriesLevel {
		var out []byte
		for i := n * journal.TileWidth; i < n*journal.TileWidth+int64(width); i++ {
			if i >= int64(len(b.entries)) {
				return nil, fs.ErrNotExist
			}
			out = journal.AppendEntry(out, b.entries[i])
		}
		return out, nil
	}
	data := b.tiles[[2]int64{int64(level), n}]
	if len(data) < width*tlog.HashSize {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

// Sequence implements clerk.Book.
func (b *Book) Sequence(ctx context.Context, term int64, step func(clerk.Tx) error) error {
	select {
	case b.lock <- struct{}{}:
		defer func() { <-b.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := b.breaks("begin"); err != nil {
		return err
	}
	t := &tx{Book: b}
	if err := step(t); err != nil {
		return err
	}
	if err := b.breaks("commit"); err != nil {
		return err
	}
	if b.mu.Lock(); term != 0 && term != b.term {
		b.mu.Unlock()
		return journal.ErrDeposed
	}
	b.mu.Unlock()
	if t.batch != nil {
		b.apply(t.batch, t.values)
	}
	b.mu.Lock()
	b.pending = b.pending[t.taken:] // what was appended meanwhile stands behind them
	b.mu.Unlock()
	return b.breaks("commit done")
}

func (b *Book) apply(batch *clerk.Batch, sealed []journal.Sealed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = batch.Head
	for _, e := range batch.Entries {
		b.entries = append(b.entries, bytes.Clone(e.Bytes))
		if e.Leaf.Message != "" {
			b.last[e.Leaf.Message] = clerk.Latest{Index: e.Index, Test: e.Leaf.Test}
		}
	}
	for _, t := range batch.Tiles {
		b.tiles[[2]int64{int64(t.Level), t.N}] = t.Data
	}
	maps.Copy(b.count, batch.Counters)
	b.sealed = append(b.sealed, sealed...)
}

type tx struct {
	*Book
	batch  *clerk.Batch
	values []journal.Sealed
	taken  int
}

func (t *tx) Head(context.Context) (clerk.Head, error) {
	err := t.breaks("head")
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, err
}

func (t *tx) Pending(_ context.Context, limit int) ([]clerk.Pending, bool, error) {
	err := t.breaks("pending")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = min(limit, len(t.pending))
	return slices.Clone(t.pending[:t.taken]), t.taken == limit, err
}

func (t *tx) Counters(_ context.Context, parties []string) (map[string]journal.Counter, error) {
	err := t.breaks("counters")
	t.mu.Lock()
	defer t.mu.Unlock()
	if parties == nil {
		return maps.Clone(t.count), err
	}
	out := map[string]journal.Counter{}
	for _, p := range parties {
		if c, ok := t.count[p]; ok {
			out[p] = c
		}
	}
	return out, err
}

func (t *tx) Last(_ context.Context, messages []string) (map[string]clerk.Latest, error) {
	err := t.breaks("last")
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]clerk.Latest{}
	for _, m := range messages {
		if i, ok := t.last[m]; ok {
			out[m] = i
		}
	}
	return out, err
}

func (t *tx) Write(_ context.Context, batch *clerk.Batch) error {
	if t.batch != nil {
		return errors.New("two batches in one transaction")
	}
	t.batch = batch
	for _, o := range batch.Open {
		s, err := batch.Vault.Seal(o.Index, o.Opening)
		if err != nil {
			return err
		}
		t.values = append(t.values, s)
	}
	return t.breaks("write")
}

// Head implements clerk.Book.
func (b *Book) Head(context.Context) (clerk.Head, error) {
	err := b.breaks("read head")
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.head, err
}

// goBy sets the clock, also while sequencers are at work.
func (b *Book) goBy(now func() time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Now = now
}

// Look implements clerk.Book. A term does not run out by itself: Depose ends it.
// Who lets others go first leads when they have let three looks pass.
func (b *Book) Look(_ context.Context, c clerk.Claim) (clerk.Standing, error) {
	if err := b.breaks("look"); err != nil {
		return clerk.Standing{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := clerk.Standing{Size: b.head.Tree.N, Stopped: b.head.Stopped, At: b.Now()}
	switch {
	case b.led && c.Term == b.term:
		s.Term = b.term
	case !b.led && c.Want:
		if b.free++; !c.Behind || b.free > 3 {
			b.term, b.led, b.free = b.term+1, true, 0
			s.Term = b.term
		}
	}
	if b.latest != nil && b.latest.Origin == b.head.Origin {
		s.Signed = b.latest.Tree.N
	}
	if len(b.pending) > 0 {
		e, err := journal.ParseRow(b.pending[0].Event)
		if err != nil {
			return s, err
		}
		s.Waits = s.At.Sub(e.Time)
	}
	return s, nil
}

// Resign implements clerk.Book.
func (b *Book) Resign(term int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if term == b.term {
		b.led, b.free = false, 0
	}
}

// Depose ends the term of whoever leads, as when it has run out, and begins
// another's.
func (b *Book) Depose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.term++
}

// Release ends the term that Depose began.
func (b *Book) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.led, b.free = false, 0
}

// SaveCheckpoint implements clerk.Book.
func (b *Book) SaveCheckpoint(_ context.Context, c *journal.Checkpoint) error {
	if err := b.breaks("save checkpoint"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest == nil || b.latest.Origin != c.Origin || b.latest.Tree.N <= c.Tree.N {
		b.latest = c
	}
	return nil
}

// Checkpoint implements clerk.Book.
func (b *Book) Checkpoint(context.Context) (*journal.Checkpoint, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest == nil {
		return nil, fmt.Errorf("no checkpoint yet: %w", fs.ErrNotExist)
	}
	return b.latest, nil
}

// Stop implements clerk.Book.
func (b *Book) Stop(_ context.Context, why string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head.Stopped = why
	return nil
}

// Files writes the log out as a directory that a mirror would have, in memory.
func (b *Book) Files() map[string][]byte {
	b.mu.Lock()
	size := b.head.Tree.N
	var signed []byte
	if b.latest != nil {
		signed, size = b.latest.Note, b.latest.Tree.N
	}
	b.mu.Unlock()
	out := map[string][]byte{"checkpoint": signed}
	for _, level := range []int{journal.EntriesLevel, 0, 1, 2, 3} {
		for n := int64(0); ; n++ {
			width := journal.TileSize(level, n, size)
			if width == 0 {
				break
			}
			data, err := b.Tile(context.Background(), level, n, width)
			if err != nil {
				panic(err)
			}
			if level != journal.EntriesLevel {
				data = data[:width*tlog.HashSize]
			}
			out[journal.TilePath(level, n, width)] = slices.Clone(data)
		}
	}
	return out
}
