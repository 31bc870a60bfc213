package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
)

// How entries are kept.
//
// A leaf is some 600 bytes of JSON, and says again and again what its neighbours say.
// As a row of its own, with copies of what it is found by and an index on each, it took
// a kilobyte; among 255 others, compressed, it takes a hundred bytes. So entries are
// kept in blocks: block n has the entries from 256n up to 256(n+1), which is the bundle
// n of a log of tiles, in zstd. A finished block (journal_block) never changes. What is
// behind the last finished block, fewer than 256 entries, stands in pieces
// (journal_piece), one for each batch of the sequencer; the batch that finishes a block
// removes its pieces. Leaves that several batches brought are written twice, compressed,
// and never a third time.
//
// What a block is found by:
//
//   - its number, which is an index divided by 256: proofs, bundles, openings;
//   - keys: digests of the ids of its messages, of the sender's MessageIDs, of the
//     MessageIDs answered, incidents and certificates, once for each block (GIN), with the
//     times of those that bear one in front. Whoever
//     has found a block looks into it for what was meant: a key that two values share
//     costs time, and nothing else;
//   - journal_term: which senders, recipients, services ... stand in four blocks;
//   - columns: what entries are counted by, for each of them (blockColumns). A question
//     after several of these reads the leaves of those entries alone that have all of
//     them, and counting reads no leaf.
//
// Pieces have none of it: they are read whole, and told from blocks by their table.
// One statement reads both, or an entry that has moved meanwhile would be missed.
// Nothing in these columns is believed: Examine holds them against the leaves, and the
// leaves are what the tree commits to.
//
// Entries of before are rows of journal_entry, and stay so: they are in front of all
// blocks (journal_head.blocks), and questions ask both. Nodes of the release before see
// rows only. So blocks begin a week after the migration (journal_head.blocks_since), and
// from then on a trigger keeps such nodes from adding rows. A database whose journal is
// begun by this release has blocks from the first entry on.

// blockSize is how many entries a block has: a tile's width, and a divisor of
// chunkSize and of a partition.
const blockSize = journal.TileWidth

// block is a run of entries that a row keeps.
type block struct {
	first   int64
	leaves  [][]byte
	unread  bool // a finished one of which only that is known, and perhaps its columns
	columns *blockColumns
}

func (b *block) end() int64 {
	if b.unread {
		return b.first + blockSize
	}
	return b.first + int64(len(b.leaves))
}

// row is the entry at an index of the block.
func (b *block) row(index int64) (Row, error) {
	row := Row{Index: index, Bytes: b.leaves[index-b.first]}
	var err error
	if row.Leaf, err = journal.ParseLeaf(row.Bytes); err != nil {
		// A person must see this, not an empty page.
		return row, &journal.BrokenError{What: fmt.Sprintf("entry %d: %v", index, err)}
	}
	return row, nil
}

// within are the indexes of the block's entries from from up to to.
func (b *block) within(from, to int64) (first, end int64) {
	first = max(b.first, from)
	return first, max(first, min(b.end(), to))
}

// sums counts entries by day and combination.
type sums map[dayCombination]places

func (s sums) count(index int64, l *journal.Leaf) {
	k := dayCombination{l.Logged.UTC().Format(time.DateOnly), combinationOf(l)}
	p := s[k]
	p.add(index)
	s[k] = p
}

// addAll counts the block's entries from from up to to that q asks for, by its
// dimensions, or all; they are behind those counted so far.
func (s sums) addAll(c *blockColumns, q *Query, from, to int64) {
	here := map[[counted]byte]places{}
	c.each(q, from, to, func(index int64) {
		k := c.codesOf(index)
		p := here[k]
		p.add(index)
		here[k] = p
	})
	for codes, add := range here {
		s.join(c.combination(codes), add)
	}
}

// join adds entries of a combination that are behind those counted so far.
func (s sums) join(k dayCombination, add places) {
	p, ok := s[k]
	if !ok {
		p.first = add.first
	}
	p.entries, p.last = p.entries+add.entries, max(p.last, add.last)
	s[k] = p
}

// counted is how many columns entries are counted by: the day, and those of a
// combination.
const counted = 9

// texts are the columns' values.
func (k *dayCombination) texts() [counted]string {
	test := ""
	if k.test {
		test = "true"
	}
	return [counted]string{k.day, k.kind, k.sender, k.recipient, k.service, k.version, k.outcome, k.channel, test}
}

// blockColumns are, for each column, its values in a block and which of them each entry
// has.
type blockColumns struct {
	first, n int64
	values   [counted][]string
	codes    [counted][]byte // by entry; nil where there is one value
}

// columnsMaker makes the columns of a block, entry by entry.
type columnsMaker [counted]struct {
	values []string
	codes  []byte          // of each entry
	known  map[string]byte // when values are many
}

// fewColumnValues is up to how many values are looked through one by one.
const fewColumnValues = 12

func (m *columnsMaker) add(k *dayCombination) {
	for n, text := range k.texts() {
		c := &m[n]
		code := -1
		if last := len(c.codes) - 1; last >= 0 && c.values[c.codes[last]] == text {
			code = int(c.codes[last])
		} else if c.known != nil {
			if known, ok := c.known[text]; ok {
				code = int(known)
			}
		} else {
			code = slices.Index(c.values, text)
		}
		if code < 0 {
			code = len(c.values)
			c.values = append(c.values, text)
			if c.known == nil && code >= fewColumnValues {
				c.known = make(map[string]byte, 2*fewColumnValues)
				for i, v := range c.values {
					c.known[v] = byte(i)
				}
			} else if c.known != nil {
				c.known[text] = byte(code)
			}
		}
		c.codes = append(c.codes, byte(code))
	}
}

// pack writes, for each column, the number of its values and each with its
// length before it, and where there are several a byte for each entry. A block has no
// more entries than a byte has values.
func (m *columnsMaker) pack() []byte {
	b := make([]byte, 0, 1024)
	for n := range m {
		c := &m[n]
		b = binary.AppendUvarint(b, uint64(len(c.values)))
		for _, v := range c.values {
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		}
		if len(c.values) > 1 {
			b = append(b, c.codes...)
		}
	}
	return b
}

func unpackColumns(first, n int64, packed []byte) (*blockColumns, error) {
	broken := func() (*blockColumns, error) {
		return nil, &journal.BrokenError{What: fmt.Sprintf("the columns of the entries from %d on", first)}
	}
	b, err := unsqueezed(packed)
	if err != nil {
		return broken()
	}
	c := &blockColumns{first: first, n: n}
	for k := range counted {
		count, size := binary.Uvarint(b)
		if size <= 0 || count == 0 || count > uint64(n) {
			return broken()
		}
		b = b[size:]
		for range count {
			length, size := binary.Uvarint(b)
			if size <= 0 || length > uint64(len(b)-size) {
				return broken()
			}
			c.values[k] = append(c.values[k], string(b[size:size+int(length)]))
			b = b[size+int(length):]
		}
		if count == 1 {
			continue
		}
		if int64(len(b)) < n {
			return broken()
		}
		c.codes[k], b = b[:n], b[n:]
		if uint64(slices.Max(c.codes[k])) >= count {
			return broken()
		}
	}
	return c, nil
}

func (c *blockColumns) codesOf(index int64) (codes [counted]byte) {
	for n, list := range c.codes {
		if list != nil {
			codes[n] = list[index-c.first]
		}
	}
	return codes
}

func (c *blockColumns) combination(codes [counted]byte) dayCombination {
	var v [counted]string
	for n := range counted {
		v[n] = c.values[n][codes[n]]
	}
	return combinationOfTexts(v)
}

// combinationOfTexts is the other side of texts.
func combinationOfTexts(v [counted]string) dayCombination {
	return dayCombination{v[0], combination{v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8] != ""}}
}

// each calls f with the entries from from up to to that have what q asks for in its
// dimensions; a nil q asks for all.
func (c *blockColumns) each(q *Query, from, to int64, f func(index int64)) {
	var asked [counted]string
	test, tests := "", false
	if q != nil {
		asked = [counted]string{"", string(q.Kind), q.Sender, q.Recipient, q.Service, q.Version, q.Outcome, q.Channel}
		if tests = q.Tests != TestsToo; q.Tests == TestsOnly {
			test = "true"
		}
	}
	type filter struct {
		codes []byte
		code  byte
	}
	var filters []filter
	for n, text := range asked {
		if n == counted-1 && tests {
			text = test
		} else if text == "" {
			continue
		}
		code := slices.Index(c.values[n], text)
		if code < 0 {
			return
		}
		if c.codes[n] != nil {
			filters = append(filters, filter{c.codes[n], byte(code)})
		}
	}
entries:
	for i := max(0, from-c.first); i < min(c.n, to-c.first); i++ {
		for _, f := range filters {
			if f.codes[i] != f.code {
				continue entries
			}
		}
		f(c.first + i)
	}
}

// blockCodec compresses blocks. Both parts may be used by many at once.
var blockCodec = sync.OnceValue(func() (c struct {
	*zstd.Encoder
	*zstd.Decoder
}) {
	var err error
	if c.Encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<18), zstd.WithLowerEncoderMem(true)); err == nil {
		c.Decoder, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
	}
	if err != nil {
		panic(err) // an option that does not exist
	}
	return c
})

func squeezed(b []byte) []byte { return blockCodec().EncodeAll(b, make([]byte, 0, len(b)/4+64)) }

func unsqueezed(b []byte) ([]byte, error) { return blockCodec().DecodeAll(b, nil) }

// unpackBlock reads the leaves of a row of count entries.
func unpackBlock(first int64, count int, packed []byte) (*block, error) {
	bundle, err := unpackLeaves(packed)
	b := &block{first: first}
	if err == nil {
		b.leaves, err = journal.Entries(bundle)
	}
	if err == nil && len(b.leaves) != count {
		err = fmt.Errorf("%d entries, want %d", len(b.leaves), count)
	}
	if err != nil {
		return nil, &journal.BrokenError{What: fmt.Sprintf("the entries from %d on: %v", first, err)}
	}
	return b, nil
}

// What a block has keys of.
const (
	keyMessage     = "message"
	keyMessageID   = "message_id" // of entries that begin a message
	keyOriginal    = "original"   // of entries that begin a message
	keyIncident    = "incident"
	keyCertificate = "certificate"
)

// blockKey is what a block is found by that has an entry with a value: of our own ids,
// which begin with their time and end in chance, that and their last two bytes, so that
// those of one hour lie together in the index; of all others, eight bytes of a digest.
func blockKey(of, value string) int64 {
	if of == keyMessage {
		if id, err := uuid.Parse(value); err == nil {
			return int64(binary.BigEndian.Uint64(id[:])&^math.MaxUint16 | uint64(binary.BigEndian.Uint16(id[14:])))
		}
	}
	var room [256]byte
	digest := sha256.Sum256(append(append(append(room[:0], of...), 0), value...))
	return int64(binary.BigEndian.Uint64(digest[:8]))
}

// timedKey is the key of a MessageID that has a time in it, as those of the protocol have:
// the second, and four bytes of the digest. The senders' ids of one hour lie together, too,
// while by their digests alone each would touch another page of an index that has grown
// large. Who writes a false time into his ids touches more pages, and is found all the same.
// Of all other values it is the blockKey.
func timedKey(of, value string) int64 {
	key := blockKey(of, value)
	if of != keyMessageID && of != keyOriginal {
		return key
	}
	id, err := uuid.Parse(value)
	if err != nil {
		return key
	}
	switch id.Version() {
	case 1, 6, 7:
		seconds, _ := id.Time().UnixTime()
		return seconds<<32 | key&math.MaxUint32
	}
	return key
}

// blockKeys are all keys under which blocks may have the values: those that releases of
// before wrote have no times in them.
func blockKeys(of string, values []string) (keys []int64) {
	for _, v := range values {
		key, timed := blockKey(of, v), timedKey(of, v)
		if keys = append(keys, key); timed != key {
			keys = append(keys, timed)
		}
	}
	return keys
}

// begins says whether the sender's ids of an entry are what its message is found by;
// the rest of the message is found by ours.
func begins(l *journal.Leaf) bool {
	return l.Kind == journal.KindAccepted || l.Kind == journal.KindRefused
}

// blockMaker makes the columns of rows from their entries: of a block, and of the pieces
// that it stands in until it is finished.
type blockMaker struct {
	first   int64
	packed  bool // by columns, in a finished one
	timed   bool // keys have the times of MessageIDs in them
	bundle  []byte
	logged  []time.Time
	day     string          // of the time logged last: that of a batch is one
	found   [][2]string     // what there is a key of
	met     map[string]bool // certificates, which are few
	columns columnsMaker
	pieces  int64 // in which it stands
	stands  int   // how many of its entries do
	behind  int   // where the others begin in the bundle
}

func newBlockMaker(first int64) *blockMaker {
	return &blockMaker{first: first, met: map[string]bool{}}
}

// next is the maker of the block behind this one, which is written, in its room.
func (m *blockMaker) next() *blockMaker {
	clear(m.met)
	clear(m.found)
	return &blockMaker{first: m.end(), met: m.met, bundle: m.bundle[:0], found: m.found[:0]}
}

func (m *blockMaker) end() int64 { return m.first + int64(len(m.logged)) }

func (m *blockMaker) add(l *journal.Leaf, leaf []byte) {
	if n := len(m.logged); n == 0 || !m.logged[n-1].Equal(l.Logged) {
		m.day = l.Logged.UTC().Format(time.DateOnly)
	}
	m.columns.add(&dayCombination{m.day, combinationOf(l)})
	m.bundle, m.logged = journal.AppendEntry(m.bundle, leaf), append(m.logged, l.Logged)
	key := func(of, value string) {
		if value != "" {
			m.found = append(m.found, [2]string{of, value})
		}
	}
	key(keyMessage, l.Message)
	key(keyIncident, l.Incident)
	if !m.met[l.Certificate] {
		m.met[l.Certificate] = true
		key(keyCertificate, l.Certificate)
	}
	if begins(l) {
		key(keyMessageID, l.MessageID)
		key(keyOriginal, l.Original)
	}
}

// keys are those of all that was met, each as one of blockKey and timedKey says.
func (m *blockMaker) keys(as func(of, value string) int64) []int64 {
	keys := make([]int64, len(m.found))
	for i, v := range m.found {
		keys[i] = as(v[0], v[1])
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// queue writes the row of a finished block, and takes what it stands in away; of another
// one, a piece with those of its entries that stand in none.
func (m *blockMaker) queue(add func(int64, string, ...any)) {
	if len(m.logged) < blockSize {
		logged := m.logged[m.stands:]
		add(1, "INSERT INTO journal_piece (first, entries, logged, leaves) VALUES ($1, $2, $3, $4)", m.first+int64(m.stands), len(logged), logged, squeezed(m.bundle[m.behind:]))
		m.pieces, m.stands, m.behind = m.pieces+1, len(m.logged), len(m.bundle)
		return
	}
	if m.pieces > 0 {
		add(m.pieces, "DELETE FROM journal_piece")
	}
	leaves, key := squeezed, blockKey
	if m.packed {
		leaves = packLeaves
	}
	if m.timed {
		key = timedKey
	}
	add(1, "INSERT INTO journal_block (first, entries, logged, keys, columns, leaves) VALUES ($1, $2, $3, $4, $5, $6)",
		m.first, len(m.logged), m.logged, m.keys(key), squeezed(m.columns.pack()), leaves(m.bundle))
}

// readPieces makes a block again of the pieces that it stands in.
func (t *journalTx) readPieces(ctx context.Context, first, end int64) (*blockMaker, error) {
	m := newBlockMaker(first)
	var pieces []*block
	if err := eachBlock(ctx, t.tx, "SELECT first, entries, leaves FROM journal_piece", nil, func(b *block) error {
		pieces = append(pieces, b)
		return nil
	}); err != nil {
		return nil, err
	}
	m.pieces = int64(len(pieces))
	slices.SortFunc(pieces, func(a, b *block) int { return cmp.Compare(a.first, b.first) })
	for _, b := range pieces {
		if b.first != m.end() {
			break
		}
		for i := b.first; i < b.end(); i++ {
			row, err := b.row(i)
			if err != nil {
				return nil, err
			}
			m.add(&row.Leaf, row.Bytes)
		}
	}
	if m.end() != end {
		return nil, &journal.BrokenError{What: fmt.Sprintf("%d entries stand in pieces from %d up to %d", len(m.logged), first, end)}
	}
	m.stands, m.behind = len(m.logged), len(m.bundle)
	return m, nil
}

// queueBlocks writes entries. When they finish a block, its pieces go into it.
func (t *journalTx) queueBlocks(ctx context.Context, add func(int64, string, ...any), entries []clerk.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first, end := entries[0].Index, entries[len(entries)-1].Index+1
	begun := first / blockSize * blockSize
	m := t.known.block
	switch {
	case m != nil && m.first == begun && m.end() == first:
	case begun == first, end < begun+blockSize: // not what stands in front of it is needed
		m = newBlockMaker(first)
	default:
		var err error
		if m, err = t.readPieces(ctx, begun, first); err != nil {
			return err
		}
	}
	packed, timed := t.j.gates.packedLeaves.Load(), t.j.gates.timedKeys.Load()
	for len(entries) > 0 {
		n := min(len(entries), int(blockSize-entries[0].Index%blockSize))
		room := 0
		for _, e := range entries[:n] {
			room += 2 + len(e.Bytes)
		}
		m.bundle = slices.Grow(m.bundle, room)
		for _, e := range entries[:n] {
			m.add(e.Leaf, e.Bytes)
		}
		entries = entries[n:]
		if m.end()%blockSize == 0 {
			m.packed, m.timed = packed, timed
			m.queue(add)
			m = m.next()
		}
	}
	if m.stands < len(m.logged) {
		m.queue(add)
	}
	if m.first%blockSize == 0 { // else its beginning is not known
		t.next.block = m
	}
	return nil
}

// blocksFrom is the first entry that the batch which begins at size is to keep in a
// block; blocks begin with it when their time has come.
func (t *journalTx) blocksFrom(ctx context.Context, size int64) (from int64, err error) {
	t.j.mu.Lock()
	known := t.j.blocks
	t.j.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var begun *int64
	err = t.tx.QueryRow(ctx, `WITH b AS (
		UPDATE journal_head SET blocks = $1 WHERE blocks IS NULL AND blocks_since <= clock_timestamp() RETURNING blocks
	) SELECT coalesce((SELECT blocks FROM b), blocks) FROM journal_head`, (size+blockSize-1)/blockSize*blockSize).Scan(&begun)
	if err != nil {
		return 0, fmt.Errorf("where the blocks begin: %w", err)
	}
	if begun == nil {
		return 1 << 62, nil
	}
	t.begun = begun
	return *begun, nil
}

// readBlocks calls f with the blocks and pieces that have entries from from up to to,
// in order, leaves and all.
func readBlocks(ctx context.Context, db querier, from, to int64, f func(*block) error) error {
	return eachBlock(ctx, db, `SELECT first, entries, leaves FROM journal_block WHERE first > $1 - 256 AND first < $2
		UNION ALL SELECT first, entries, leaves FROM journal_piece WHERE first + entries > $1 AND first < $2 ORDER BY first`, []any{from, to}, f)
}

// eachBlock calls f with what a statement selects: first, entries, leaves.
func eachBlock(ctx context.Context, db querier, sql string, args []any, f func(*block) error) error {
	rows, _ := db.Query(ctx, sql, args...)
	for rows.Next() {
		b, err := readBlock(rows)
		if err == nil {
			err = f(b)
		}
		if err != nil {
			rows.Close()
			return err
		}
	}
	return rows.Err()
}

func readBlock(r pgx.CollectableRow) (*block, error) {
	var first int64
	var count int
	var packed []byte
	if err := r.Scan(&first, &count, &packed); err != nil {
		return nil, err
	}
	return unpackBlock(first, count, packed)
}
