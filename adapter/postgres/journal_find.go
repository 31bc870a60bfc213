package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
)

// How entries are found in blocks: by their ids, and by the columns of a block.

// sought is what entries are looked for by. An entry that has any of it is found.
type sought struct {
	indexes      []int64
	messages     []string // by our ids
	messageIDs   []string // of entries that begin a message
	originals    []string // of entries that begin a message
	incidents    []string
	certificates []string
}

// keys are those of the blocks in which it may stand.
func (s *sought) keys() []int64 {
	return slices.Concat(blockKeys(keyMessage, s.messages), blockKeys(keyMessageID, s.messageIDs), blockKeys(keyOriginal, s.originals),
		blockKeys(keyIncident, s.incidents), blockKeys(keyCertificate, s.certificates))
}

// blocksWith selects the first entries of the blocks that have one of the keys, an
// argument (migration 00180). Of "keys && many" the planner believes that most blocks have
// one, reads all of them, and holds each one's thousand keys against all that are wanted.
func blocksWith(keys string) string {
	return "SELECT first FROM journal_blocks_with(" + keys + ") AS b (first)"
}

// numbers are the first entries of the blocks in which its indexes stand.
func (s *sought) numbers() []int64 {
	out := make([]int64, 0, len(s.indexes))
	for _, i := range s.indexes {
		out = append(out, i/blockSize*blockSize)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// seeker looks for what is sought among leaves, most of which it need not parse.
type seeker struct {
	indexes map[int64]bool
	values  [5]map[string]bool // message, messageId, original, incident, certificate
}

// seekerMembers are the members of a leaf that a seeker compares.
var seekerMembers = [5][]byte{[]byte(`"message":"`), []byte(`"messageId":"`), []byte(`"original":"`), []byte(`"incident":"`), []byte(`"certificate":"`)}

func (s *sought) seeker() *seeker {
	k := &seeker{indexes: make(map[int64]bool, len(s.indexes))}
	for _, i := range s.indexes {
		k.indexes[i] = true
	}
	for n, list := range [5][]string{s.messages, s.messageIDs, s.originals, s.incidents, s.certificates} {
		for _, v := range list {
			if k.values[n] == nil {
				k.values[n] = make(map[string]bool, len(list))
			}
			k.values[n][v] = v != ""
		}
	}
	return k
}

// maybe says whether an entry may be one of those; a leaf that it denies is none. It
// looks for the members as they are spelled: an empty one is absent, and one with an
// escape is for the parser to judge.
func (k *seeker) maybe(index int64, leaf []byte) bool {
	if k.indexes[index] {
		return true
	}
	for n, wanted := range k.values {
		if wanted == nil {
			continue
		}
		for rest := leaf; ; { // a commitment may be named like a member
			at := bytes.Index(rest, seekerMembers[n])
			if at < 0 {
				break
			}
			rest = rest[at+len(seekerMembers[n]):]
			end := bytes.IndexAny(rest, `"\`)
			if end < 0 || rest[end] == '\\' || wanted[string(rest[:end])] {
				return true
			}
		}
	}
	return false
}

// is says whether an entry is one of those.
func (k *seeker) is(index int64, l *journal.Leaf) bool {
	return k.indexes[index] || k.values[0][l.Message] || k.values[3][l.Incident] || k.values[4][l.Certificate] ||
		begins(l) && (k.values[1][l.MessageID] || k.values[2][l.Original])
}

// find gives the entries that are sought, wherever they are, in the order of the log.
// It is for what few entries have.
func find(ctx context.Context, db querier, s sought) ([]Row, error) {
	w := &where{}
	var arms []string
	arm := func(condition string, values any, n int) {
		if n > 0 {
			w.conditions = nil
			w.add(condition, values)
			arms = append(arms, "SELECT idx, leaf FROM journal_entry WHERE "+w.sql())
		}
	}
	arm("idx = ANY (?)", s.indexes, len(s.indexes))
	arm("message = ANY (?) AND message <> ''", s.messages, len(s.messages))
	arm("message_id = ANY (?) AND kind IN ('accepted', 'refused') AND message_id <> ''", s.messageIDs, len(s.messageIDs))
	arm("original = ANY (?) AND kind IN ('accepted', 'refused') AND original <> ''", s.originals, len(s.originals))
	arm("incident = ANY (?) AND incident <> ''", s.incidents, len(s.incidents))
	arm("certificate = ANY (?) AND certificate <> ''", s.certificates, len(s.certificates))
	if len(arms) == 0 {
		return nil, nil
	}
	rows, _ := db.Query(ctx, strings.Join(arms, " UNION ALL "), w.args...)
	out, err := pgx.CollectRows(rows, readRow)
	if err != nil {
		return nil, err
	}
	k := s.seeker()
	err = eachBlock(ctx, db, `SELECT first, entries, leaves FROM journal_block WHERE first = ANY (ARRAY(SELECT unnest($1::bigint[]) UNION `+blocksWith("$2")+`))
		UNION ALL SELECT first, entries, leaves FROM journal_piece`, []any{s.numbers(), s.keys()}, func(b *block) error {
		for i := b.first; i < b.end(); i++ {
			if !k.maybe(i, b.leaves[i-b.first]) {
				continue
			}
			row, err := b.row(i)
			if err != nil {
				return err
			}
			if k.is(i, &row.Leaf) {
				row.Bytes = bytes.Clone(row.Bytes) // and let the block go
				out = append(out, row)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Row) int { return cmp.Compare(a.Index, b.Index) })
	return slices.CompactFunc(out, func(a, b Row) bool { return a.Index == b.Index }), err
}

// entryAt gives one entry, or fs.ErrNotExist.
func entryAt(ctx context.Context, db querier, index int64) (Row, error) {
	rows, err := find(ctx, db, sought{indexes: []int64{index}})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("entry %d: %w", index, fs.ErrNotExist)
	}
	if err != nil {
		return Row{}, err
	}
	return rows[0], nil
}

// loggedAt tells when an entry was logged.
func loggedAt(ctx context.Context, db querier, index int64) (logged time.Time, err error) {
	var at *time.Time
	if err := db.QueryRow(ctx, "SELECT journal_logged($1)", index).Scan(&at); err != nil {
		return logged, fmt.Errorf("time of entry %d: %w", index, err)
	}
	if at == nil {
		return logged, fmt.Errorf("time of entry %d: %w", index, fs.ErrNotExist)
	}
	return *at, nil
}

// blockSums counts the entries in blocks from from up to to that q asks for in its
// dimensions; a nil q asks for all.
func blockSums(ctx context.Context, db querier, q *Query, from, to int64) (sums, error) {
	out := sums{}
	rows, _ := db.Query(ctx, `SELECT first, entries, columns, NULL AS leaves FROM journal_block WHERE first > $1 - 256 AND first < $2
		UNION ALL SELECT first, entries, NULL, leaves FROM journal_piece WHERE first + entries > $1 AND first < $2 ORDER BY first`, from, to)
	var first int64
	var count int
	var packed, leaves []byte
	_, err := pgx.ForEachRow(rows, []any{&first, &count, &packed, &leaves}, func() error {
		if leaves == nil {
			c, err := unpackColumns(first, int64(count), packed)
			if err == nil {
				out.addAll(c, q, from, to)
			}
			return err
		}
		b, err := unpackBlock(first, count, leaves)
		if err != nil {
			return err
		}
		for i, end := b.within(from, to); i < end; i++ {
			row, err := b.row(i)
			if err != nil {
				return err
			}
			if c := combinationOf(&row.Leaf); q == nil || q.wants(&c) {
				out.count(i, &row.Leaf)
			}
		}
		return nil
	})
	return out, err
}

// lastBlocks remembers the blocks in which the sequencer has looked for the latest
// entries of messages: those that come to their recipient now came in together, too.
// Blocks do not change.
type lastBlocks map[int64]*block

const mostLastBlocks = 128 // of some 150 KB

// lastInBlocks puts the latest entry of each message that is in a block or piece into
// out.
func (t *journalTx) lastInBlocks(ctx context.Context, messages []string, out map[string]clerk.Latest) error {
	s := sought{messages: messages}
	k := s.seeker()
	look := func(b *block) error {
		for i := b.first; i < b.end(); i++ {
			if !k.maybe(i, b.leaves[i-b.first]) {
				continue
			}
			row, err := b.row(i)
			if err != nil {
				return err
			}
			if latest, ok := out[row.Leaf.Message]; k.is(i, &row.Leaf) && (!ok || latest.Index < i) {
				out[row.Leaf.Message] = clerk.Latest{Index: i, Test: row.Leaf.Test}
			}
		}
		return nil
	}
	rows, _ := t.tx.Query(ctx, "SELECT DISTINCT first FROM ("+blocksWith("$1")+") b", s.keys())
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	t.j.looking.Lock()
	defer t.j.looking.Unlock()
	if t.j.last == nil || len(t.j.last)+len(numbers) > mostLastBlocks {
		t.j.last = lastBlocks{}
	}
	var unread []int64
	for _, n := range numbers {
		if b := t.j.last[n]; b == nil {
			unread = append(unread, n)
		} else if err := look(b); err != nil {
			return err
		}
	}
	return eachBlock(ctx, t.tx, `SELECT first, entries, leaves FROM journal_block WHERE first = ANY ($1)
		UNION ALL SELECT first, entries, leaves FROM journal_piece`, []any{unread}, func(b *block) error {
		if len(b.leaves) == blockSize && len(t.j.last) < mostLastBlocks {
			t.j.last[b.first] = b
		}
		return look(b)
	})
}

// How many blocks are looked at in one go: by their columns, more and more of them, or
// only by their keys. And of how many the leaves are read.
const (
	columnsAtFirst = 4
	columnsAtOnce  = 512
	keysAtOnce     = 65536
	leavesAtOnce   = 8
)

// inBlocks calls f with the query's entries in blocks, from from up to to and in the
// query's order, until f says that it is enough.
func inBlocks(ctx context.Context, db querier, q *Query, named []sought, from, to int64, f func(Row) bool) error {
	seekers := make([]*seeker, len(named))
	for i := range named {
		seekers[i] = named[i].seeker()
	}
	tell := func(b *block) (more bool, err error) {
		i, end := b.within(from, to)
		var list []int64
		if b.columns != nil {
			b.columns.each(q, i, end, func(index int64) { list = append(list, index) })
		} else {
			for ; i < end; i++ {
				list = append(list, i)
			}
		}
		if q.Descending {
			slices.Reverse(list)
		}
		for _, index := range list {
			if !all(seekers, func(s *seeker) bool { return s.maybe(index, b.leaves[index-b.first]) }) {
				continue
			}
			row, err := b.row(index)
			if err != nil {
				return false, err
			}
			c := combinationOf(&row.Leaf)
			if q.wants(&c) && all(seekers, func(s *seeker) bool { return s.is(index, &row.Leaf) }) && !f(row) {
				return false, nil
			}
		}
		return true, nil
	}
	for limit := columnsAtFirst; from < to; limit = min(4*limit, columnsAtOnce) {
		list, err := candidates(ctx, db, q, named, from, to, limit)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		last := *list[len(list)-1]
		list = slices.DeleteFunc(list, func(b *block) bool {
			if b.columns == nil {
				return false
			}
			none := true
			b.columns.each(q, from, to, func(int64) { none = false })
			return none
		})
		for some := range slices.Chunk(list, leavesAtOnce) {
			if err := readLeaves(ctx, db, some); err != nil {
				return err
			}
			for _, b := range some {
				if b.unread {
					continue // it has gone to the archive meanwhile
				}
				if more, err := tell(b); err != nil || !more {
					return err
				}
			}
		}
		if q.Descending {
			to = last.first
		} else {
			from = last.end()
		}
	}
	return nil
}

func all[T any](list []T, ok func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !ok(v) })
}

// candidates are the next blocks in which an entry of the query may stand. Pieces come
// with their leaves.
func candidates(ctx context.Context, db querier, q *Query, named []sought, from, to int64, limit int) (list []*block, err error) {
	w := &where{}
	source, columns := "journal_block", "columns"
	if chunks := q.chunks(from, to, w); chunks != "" {
		source = fmt.Sprintf("(%s) c CROSS JOIN LATERAL (SELECT * FROM journal_block WHERE first >= c.chunk * %d AND first < c.chunk * %[2]d + %[2]d) b", chunks, chunkSize)
	}
	w.add("first > ?", from-blockSize)
	w.add("first < ?", to)
	if len(named) > 0 {
		columns, limit = "NULL::bytea", keysAtOnce
		w.add("first = ANY (ARRAY(SELECT unnest(?::bigint[]) UNION "+blocksWith("?")+"))", named[0].numbers(), named[0].keys())
	}
	blocks := w.sql()
	w.conditions = nil
	w.add("first + entries > ?", from)
	w.add("first < ?", to)
	rows, _ := db.Query(ctx, fmt.Sprintf(`SELECT first, entries, %s, NULL AS leaves FROM %s WHERE %s
		UNION ALL SELECT first, entries, NULL, leaves FROM journal_piece WHERE %s ORDER BY first%s LIMIT %d`, columns, source, blocks, w.sql(), q.down(), limit), w.args...)
	var first int64
	var count int
	var packed, leaves []byte
	_, err = pgx.ForEachRow(rows, []any{&first, &count, &packed, &leaves}, func() error {
		b := &block{first: first, unread: true}
		var err error
		switch {
		case leaves != nil:
			b, err = unpackBlock(first, count, leaves)
		case packed != nil:
			b.columns, err = unpackColumns(first, int64(count), packed)
		}
		list = append(list, b)
		return err
	})
	return list, err
}

// readLeaves reads the leaves of those blocks that have them not yet.
func readLeaves(ctx context.Context, db querier, list []*block) error {
	var numbers []int64
	at := map[int64]*block{}
	for _, b := range list {
		if b.unread {
			numbers, at[b.first] = append(numbers, b.first), b
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	return eachBlock(ctx, db, "SELECT first, entries, leaves FROM journal_block WHERE first = ANY ($1)", []any{numbers}, func(b *block) error {
		at[b.first].leaves, at[b.first].unread = b.leaves, false
		return nil
	})
}
