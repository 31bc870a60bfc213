package postgres

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
	"mezhved/adapter/journal/clerk"
)

// tail are the last entries to which this node has given their places, for those of its
// loops that follow the log: blocks would be read and unpacked once for each of them, a
// second after they were packed here.
//
// It is believed under the very tree that the database says the log has, which commits to
// all of the entries: so never of a database that was put back, nor of a log to which
// another node adds, nor of a batch of which nobody knows whether it was committed. Who
// finds it not to be so reads the log. The zero value is ready.
type tail struct {
	mu      sync.Mutex
	batches [][]adapter.LogEntry // in their order, without a gap
	entries int                  // in all of them
	bytes   int                  // and how many they have
	tree    tlog.Tree            // up to the last one
}

// What a tail has at most: who follows it comes before half of that has been added.
const (
	tailEntries = 16384
	tailBytes   = 16 << 20
)

// add adds the entries that a batch has put behind was. They are the tail's from then on.
func (t *tail) add(was, tree tlog.Tree, entries []adapter.LogEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tree != was {
		t.batches, t.entries, t.bytes = nil, 0, 0
	}
	count := func(list []adapter.LogEntry, sign int) {
		t.entries += sign * len(list)
		for i := range list {
			t.bytes += sign * len(list[i].Leaf)
		}
	}
	count(entries, 1)
	t.tree, t.batches = tree, append(t.batches, entries)
	for t.entries > tailEntries || t.bytes > tailBytes {
		count(t.batches[0], -1)
		t.batches = slices.Delete(t.batches, 0, 1)
	}
}

// from gives at most max entries from an index on, of the log of a tree; false: it is not
// known what they are. They are others' too: nobody writes to them.
func (t *tail) from(next int64, max int, tree tlog.Tree) ([]adapter.LogEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tree != tree || next < tree.N-int64(t.entries) || next > tree.N {
		return nil, false
	}
	want := int(min(int64(max), tree.N-next))
	var list []adapter.LogEntry
	for _, batch := range t.batches {
		skip := next + int64(len(list)) - batch[0].Index
		if len(list) == want || skip >= int64(len(batch)) {
			continue
		}
		batch = batch[skip:]
		if len(list) == 0 && len(batch) >= want {
			return batch[:want:want], true
		}
		list = append(slices.Grow(list, want-len(list)), batch[:min(len(batch), want-len(list))]...)
	}
	return list, true
}

// tailOf copies the entries of a batch, which are good only until its transaction ends.
func tailOf(b *clerk.Batch) []adapter.LogEntry {
	bytes, texts := 0, 0
	for i := range b.Entries {
		bytes, texts = bytes+len(b.Entries[i].Bytes), texts+len(b.Entries[i].Leaf.Message)
	}
	leaves := make([]byte, 0, bytes)
	var messages strings.Builder
	messages.Grow(texts)
	list := make([]adapter.LogEntry, len(b.Entries))
	for i := range b.Entries {
		e := &b.Entries[i]
		begin, from := len(leaves), messages.Len()
		leaves = append(leaves, e.Bytes...)
		messages.WriteString(e.Leaf.Message)
		list[i] = adapter.LogEntry{Index: e.Index, Kind: string(e.Leaf.Kind), Message: messages.String()[from:], Leaf: leaves[begin:len(leaves):len(leaves)]}
	}
	return list
}

// rootColumn takes journal_head.root into the hash of a tree; where there is no log yet, none.
type rootColumn tlog.Hash

// ScanBytes implements pgtype.BytesScanner.
func (r *rootColumn) ScanBytes(b []byte) error {
	copy(r[:], b)
	return nil
}

// batcher is a pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// logFrom gives at most max entries of the log from an index on; tree is the log's, as the
// database has just said.
func (s *Store) logFrom(ctx context.Context, db batcher, next int64, max int, tree tlog.Tree) ([]adapter.LogEntry, error) {
	if list, ok := s.tail.from(next, max, tree); ok {
		return list, nil
	}
	return readStretch(ctx, db, next, max)
}
