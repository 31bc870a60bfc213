package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
)

// The values behind the commitments of entries that are rows are rows of journal_open,
// one each: two thirds of such a row is what it is found by. Those of entries in blocks
// are kept together, all that one batch of the sequencer brings for one block under one
// key of the vault (journal_opening): their boxes stay apart, so that one value can go
// while the others stay, and the key can go for all of them.

// openingsKey is which values a row of journal_opening has.
type openingsKey struct {
	key          string
	block, first int64
}

// packOpenings writes openings of entries of one block: the entry's place in the block,
// field, class, box and search token, each text with its length before it.
// Short, the row begins with two zeros, which no other does; a field is its place in
// openingFields, or zero and the text, and a class stands there only where the key does
// not begin with it.
func packOpenings(block int64, list []journal.Sealed, short bool) []byte {
	var b []byte
	text := func(t []byte) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	if short {
		b = append(b, 0, 0)
	}
	for i := range list {
		s := &list[i]
		b = binary.AppendUvarint(b, uint64(s.Index-block))
		if !short {
			text([]byte(s.Field))
			text([]byte(s.Class))
			text(s.Box)
			text(s.Blind)
			continue
		}
		n := max(slices.Index(openingFields, s.Field), 0)
		ownClass := s.Class != classOf(s.Key)
		b = binary.AppendUvarint(b, uint64(n)<<1|flag(ownClass))
		if n == 0 {
			text([]byte(s.Field))
		}
		if ownClass {
			text([]byte(s.Class))
		}
		text(s.Box)
		text(s.Blind)
	}
	return b
}

func flag(on bool) uint64 {
	if on {
		return 1
	}
	return 0
}

// classOf is the class that a key of the vault is of; the month follows.
func classOf(key string) string {
	const month = len("-2006-01")
	return key[:max(len(key)-month, 0)]
}

// openingFields are fields that have a number. It is never another's, and the first
// place is nobody's.
var openingFields = []string{"", journal.FieldDigest, journal.FieldReceipt, "snils", "inn", "name", "surname", "birth", "birthdate", "document", "passport",
	"ground", "ogrn", "actor", "address", "query", "snils-2", "inn-2", "name-2", "document-2"}

func unpackOpenings(k openingsKey, b []byte) (list []journal.Sealed, err error) {
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > 1<<30 {
			b, err = nil, &journal.BrokenError{What: fmt.Sprintf("the values under key %s behind the entries from %d on", k.key, k.first)}
			return 0
		}
		b = b[size:]
		return n
	}
	text := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			b, err = nil, &journal.BrokenError{What: fmt.Sprintf("the values under key %s behind the entries from %d on", k.key, k.first)}
			return nil
		}
		out := slices.Clone(b[:n])
		b = b[n:]
		return out
	}
	short := len(b) > 1 && b[0] == 0 && b[1] == 0
	if short {
		b = b[2:]
	}
	for len(b) > 0 {
		s := journal.Sealed{Key: k.key, Index: k.block + int64(number())}
		if short {
			head := number()
			if n := head >> 1; n == 0 {
				s.Field = string(text())
			} else if n < uint64(len(openingFields)) {
				s.Field = openingFields[n]
			} else {
				return nil, &journal.BrokenError{What: fmt.Sprintf("a value under key %s behind the entries from %d on is of field %d, which this release does not know", k.key, k.first, n)}
			}
			if s.Class = classOf(k.key); head&1 == 1 {
				s.Class = string(text())
			}
			s.Box, s.Blind = text(), text()
			list = append(list, s)
			continue
		}
		s.Field, s.Class, s.Box, s.Blind = string(text()), string(text()), text(), text()
		list = append(list, s)
	}
	return list, err
}

// openingTokens are what a row is found by, and what it is asked for.
func openingTokens(blinds [][]byte) []int64 {
	tokens := make([]int64, 0, len(blinds))
	for _, blind := range blinds {
		if len(blind) >= 8 {
			tokens = append(tokens, int64(binary.BigEndian.Uint64(blind)))
		}
	}
	slices.Sort(tokens)
	return slices.Compact(tokens)
}

func tokensOf(list []journal.Sealed) []int64 {
	blinds := make([][]byte, len(list))
	for i := range list {
		blinds[i] = list[i].Blind
	}
	return openingTokens(blinds)
}

// copyOpenings writes the openings of a batch: those of the entries before from as rows
// of journal_open, the others together.
func (t *journalTx) copyOpenings(ctx context.Context, sealed []journal.Sealed, from int64) error {
	rows := newCopied(256)
	together := map[openingsKey][]journal.Sealed{}
	for i := range sealed {
		s := &sealed[i]
		if s.Index >= from {
			k := openingsKey{key: s.Key, block: s.Index / blockSize * blockSize}
			k.first = max(k.block, sealed[0].Index)
			together[k] = append(together[k], *s)
			continue
		}
		rows.row(len(openColumns))
		rows.text(s.Key)
		rows.bigint(s.Index)
		rows.text(s.Field)
		rows.text(s.Class)
		rows.bytea(s.Box)
		rows.bytea(s.Blind)
	}
	if rows.rows > 0 {
		if err := rows.into(ctx, t.tx, "journal_open", openColumns); err != nil {
			return fmt.Errorf("openings: %w", err)
		}
	}
	if len(together) == 0 {
		return nil
	}
	packed := newCopied(160 * len(sealed))
	for _, k := range slices.SortedFunc(maps.Keys(together), func(a, b openingsKey) int {
		return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.key, b.key))
	}) {
		packed.row(len(openingColumns))
		packed.text(k.key)
		packed.bigint(k.block)
		packed.bigint(k.first)
		packed.bigints(tokensOf(together[k]))
		packed.bytea(packOpenings(k.block, together[k], t.j.gates.openings.Load()))
	}
	if err := packed.into(ctx, t.tx, "journal_opening", openingColumns); err != nil {
		return fmt.Errorf("openings: %w", err)
	}
	return nil
}

var openingColumns = []string{"key", "block", "first", "tokens", "sealed"}

// eachOpenings calls f with all openings of a row of journal_opening, one row after the
// other; condition and args say which.
func eachOpenings(ctx context.Context, db querier, condition string, args []any, f func(openingsKey, []journal.Sealed) error) error {
	rows, _ := db.Query(ctx, "SELECT key, block, first, sealed FROM journal_opening WHERE "+condition, args...)
	var k openingsKey
	var packed []byte
	_, err := pgx.ForEachRow(rows, []any{&k.key, &k.block, &k.first, &packed}, func() error {
		list, err := unpackOpenings(k, packed)
		if err != nil {
			return err
		}
		return f(k, list)
	})
	return err
}

// openingsOf are the openings of an entry that are left, by field.
func openingsOf(ctx context.Context, db querier, index int64) ([]journal.Sealed, error) {
	rows, _ := db.Query(ctx, "SELECT idx, field, class, key, box, blind FROM journal_open WHERE idx = $1", index)
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[journal.Sealed])
	if err == nil {
		err = eachOpenings(ctx, db, "block = $1 AND first <= $2", []any{index / blockSize * blockSize, index}, func(_ openingsKey, list []journal.Sealed) error {
			out = append(out, slices.DeleteFunc(list, func(s journal.Sealed) bool { return s.Index != index })...)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("openings of entry %d: %w", index, err)
	}
	slices.SortFunc(out, func(a, b journal.Sealed) int { return cmp.Compare(a.Field, b.Field) })
	return out, nil
}

// committing tells which fields of which entries, from from up to to, have one of the
// search tokens.
func committing(ctx context.Context, db querier, tokens [][]byte, from, to int64) (map[int64][]string, error) {
	rows, _ := db.Query(ctx, "SELECT idx, field FROM journal_open WHERE blind = ANY ($1) AND blind <> '' AND idx >= $2 AND idx < $3", tokens, from, to)
	fields := map[int64][]string{}
	var index int64
	var field string
	_, err := pgx.ForEachRow(rows, []any{&index, &field}, func() error {
		fields[index] = append(fields[index], strings.Clone(field))
		return nil
	})
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, t := range tokens {
		wanted[string(t)] = len(t) > 0
	}
	err = eachOpenings(ctx, db, "tokens && $1 AND block > $2 AND block < $3", []any{openingTokens(tokens), from - blockSize, to}, func(_ openingsKey, list []journal.Sealed) error {
		for _, s := range list {
			if wanted[string(s.Blind)] && s.Index >= from && s.Index < to {
				fields[s.Index] = append(fields[s.Index], s.Field)
			}
		}
		return nil
	})
	for _, list := range fields {
		slices.Sort(list)
	}
	return fields, err
}

// eraseOpenings removes the openings of entries, or of these fields of them, and says
// which it removed of which entry.
func eraseOpenings(ctx context.Context, tx pgx.Tx, indexes []int64, fields []string) (gone map[int64][]string, err error) {
	gone = map[int64][]string{}
	rows, _ := tx.Query(ctx, "DELETE FROM journal_open WHERE idx = ANY ($1) AND ($2::text[] IS NULL OR field = ANY ($2)) RETURNING idx, field", indexes, fields)
	var index int64
	var field string
	if _, err := pgx.ForEachRow(rows, []any{&index, &field}, func() error {
		gone[index] = append(gone[index], strings.Clone(field))
		return nil
	}); err != nil {
		return nil, err
	}
	wanted := map[int64]bool{}
	for _, i := range indexes {
		wanted[i] = true
	}
	left := map[openingsKey][]journal.Sealed{}
	// Locked: whoever erases another value of the same row waits, and finds it without
	// these.
	err = eachOpenings(ctx, tx, "block = ANY ($1) ORDER BY block, first, key FOR UPDATE", []any{(&sought{indexes: indexes}).numbers()}, func(k openingsKey, list []journal.Sealed) error {
		n := len(list)
		rest := slices.DeleteFunc(list, func(s journal.Sealed) bool {
			if !wanted[s.Index] || fields != nil && !slices.Contains(fields, s.Field) {
				return false
			}
			gone[s.Index] = append(gone[s.Index], s.Field)
			return true
		})
		if len(rest) < n {
			left[k] = rest
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	for k, rest := range left {
		if len(rest) == 0 {
			batch.Queue("DELETE FROM journal_opening WHERE key = $1 AND block = $2 AND first = $3", k.key, k.block, k.first)
			continue
		}
		batch.Queue("UPDATE journal_opening SET tokens = $4, sealed = $5 WHERE key = $1 AND block = $2 AND first = $3",
			k.key, k.block, k.first, tokensOf(rest), packOpenings(k.block, rest, false))
	}
	if batch.Len() > 0 {
		err = tx.SendBatch(ctx, batch).Close()
	}
	for _, list := range gone {
		slices.Sort(list)
	}
	return gone, err
}

// people says whether values about people are left behind the entries from from up to
// to.
func people(ctx context.Context, db querier, from, to int64) (found bool, err error) {
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM journal_open WHERE idx >= $1 AND idx < $2 AND blind <> '')
		OR EXISTS (SELECT FROM journal_opening WHERE block >= $1 AND block < $2 AND tokens <> '{}')`, from, to).Scan(&found)
	return found, err
}
