package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/vault"
)

// The values behind the commitments of entries that are rows are rows of journal_open,
// one each: two thirds of such a row is what it is found by. Those of entries in blocks
// are kept together, all that one batch of the sequencer brings for one block under one
// key of the vault (journal_opening).
//
// They are sealed together, too. A salt of 32 bytes, a nonce and a tag for each of them
// would be three times what they say: so the row has the seed of which all its salts are
// made (journal.Seed), and says of each value which field of which entry it is of. To
// erase one of them is to write the row anew without the seed, with a salt for each of
// those that are left: then nothing is left of the salt that has gone, and nobody finds
// the value by trying, not even with the key. Whoever asks for a value opens the whole
// row: a block's worth.
//
// Releases before sealed each value by itself ("boxes"), and their rows stay so. They
// cannot read the others, which begin a week after migration 00130.

// openingsKey is which values a row of journal_opening has.
type openingsKey struct {
	key          string
	block, first int64
}

// place is what ties openings that are sealed together to their row.
func (k openingsKey) place() string { return fmt.Sprintf("block %d, from %d on", k.block, k.first) }

// togetherMark begins a row whose openings are sealed together. Of those with boxes none
// begins so: the third number would be an entry's place in its block.
const togetherMark = "\x00\x00\xff\x7f"

// The forms of what is sealed together.
const (
	togetherSeeded = 1 // behind it the seed of all salts
	togetherSalted = 2 // each opening has its own salt
	togetherPacked = 4 // with either: the rest is compressed
)

// togetherPacker packs openings of one row after the other, in the same room. The zero value
// is ready. Not for concurrent use.
type togetherPacker struct{ body, packed, short []byte }

// pack writes openings of one class, of entries of one block: how far the entry
// is behind the one before, the field, as a number or zero and the text, without seed the
// salt, and the value, shortened and with its length before it.
func (p *togetherPacker) pack(v clerk.Vault, k openingsKey, list []*clerk.Opened, seed *journal.Seed) ([]byte, error) {
	form, room := byte(togetherSeeded), len(seed)
	if seed == nil {
		form, room = togetherSalted, 0
	}
	body, at := p.body[:0], k.block
	for _, o := range list {
		body, at = binary.AppendUvarint(body, uint64(o.Index-at)), o.Index
		n := max(slices.Index(openingFields, o.Field), 0)
		if body = binary.AppendUvarint(body, uint64(n)); n == 0 {
			body = append(binary.AppendUvarint(body, uint64(len(o.Field))), o.Field...)
		}
		if seed == nil {
			body = append(body, o.Salt[:]...)
		}
		p.short = vault.AppendShortened(p.short[:0], o.Value)
		body = append(binary.AppendUvarint(body, uint64(len(p.short))), p.short...)
	}
	p.body = body
	head := append(p.packed[:0], make([]byte, 1+room)...)
	if seed != nil {
		copy(head[1:], seed[:])
	}
	plain := blockCodec().EncodeAll(body, head)
	if form |= togetherPacked; len(plain)-len(head) >= len(body) {
		form, plain = form&^togetherPacked, append(plain[:len(head)], body...)
	}
	plain[0], p.packed = form, plain
	sealed := append(make([]byte, 0, len(togetherMark)+len(plain)+vault.Overhead), togetherMark...)
	sealed, err := v.SealTogether(sealed, k.key, k.place(), plain)
	if err != nil {
		return nil, fmt.Errorf("sealing the values under key %s behind the entries from %d on: %w", k.key, k.first, err)
	}
	return sealed, nil
}

// brokenOpenings says that a row of journal_opening cannot be read.
func brokenOpenings(k openingsKey) error {
	return &journal.BrokenError{What: fmt.Sprintf("the values under key %s behind the entries from %d on", k.key, k.first)}
}

// unpackTogether reads what togetherPacker wrote; it opens with the vault alone.
func unpackTogether(v *vault.Vault, k openingsKey, b []byte) (list []keptValue, err error) {
	if v == nil {
		return nil, ErrNoVault
	}
	plain, err := v.OpenTogether(k.key, k.place(), b[len(togetherMark):])
	if err != nil {
		return nil, err
	}
	if len(plain) == 0 {
		return nil, brokenOpenings(k)
	}
	form, body := plain[0], plain[1:]
	var seed *journal.Seed
	switch form &^ togetherPacked {
	case togetherSalted:
	case togetherSeeded:
		if len(body) < len(seed) {
			return nil, brokenOpenings(k)
		}
		seed = (*journal.Seed)(body)
		body = body[len(seed):]
	default:
		return nil, brokenOpenings(k)
	}
	if form&togetherPacked != 0 {
		if body, err = unsqueezed(body); err != nil {
			return nil, brokenOpenings(k)
		}
	}
	r := openingReader{b: body}
	at := k.block
	for len(r.b) > 0 {
		at += int64(r.number())
		o := &journal.Opening{Class: classOf(k.key)}
		if n := r.number(); n == 0 {
			o.Field = string(r.text())
		} else if n < uint64(len(openingFields)) {
			o.Field = openingFields[n]
		} else {
			r.broken = true
		}
		if seed != nil {
			o.Salt = seed.Salt(at, o.Field)
		} else {
			copy(o.Salt[:], r.bytes(uint64(len(o.Salt))))
		}
		var short error
		if o.Value, short = vault.Lengthened(r.text()); r.broken || short != nil || at >= k.block+blockSize {
			return nil, brokenOpenings(k)
		}
		list = append(list, keptValue{Sealed: journal.Sealed{Index: at, Field: o.Field, Class: o.Class, Key: k.key}, open: o})
	}
	return list, nil
}

// openingReader reads numbers and texts of a row; these are parts of it.
type openingReader struct {
	b      []byte
	broken bool
}

func (r *openingReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > 1<<30 {
		r.b, r.broken = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *openingReader) text() []byte { return r.bytes(r.number()) }

func (r *openingReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.broken = nil, true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// keptValue is a value that is kept for an entry: in a box, or opened, where it was sealed
// with others.
type keptValue struct {
	journal.Sealed
	open *journal.Opening
}

// opened gives what it opens to.
func (s *keptValue) opened(v *vault.Vault) (journal.Opening, error) {
	if s.open != nil {
		return *s.open, nil
	}
	return v.Unseal(s.Sealed)
}

// blinder makes search tokens: a vault, or one that makes no key for them (asItIs).
type blinder interface {
	Blind(to []byte, field, value string) ([]byte, error)
}

// token gives its search token, empty where it is not searched for.
func (s *keptValue) token(v blinder) ([]byte, error) {
	if s.open == nil || !vault.Sought(s.Field) {
		return s.Blind, nil
	}
	return v.Blind(nil, s.Field, s.open.Value)
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

func unpackOpenings(v *vault.Vault, k openingsKey, b []byte) (list []keptValue, err error) {
	if strings.HasPrefix(string(b[:min(len(b), len(togetherMark))]), togetherMark) {
		return unpackTogether(v, k, b)
	}
	short := len(b) > 1 && b[0] == 0 && b[1] == 0
	if short {
		b = b[2:]
	}
	r := openingReader{b: b}
	for len(r.b) > 0 {
		s := journal.Sealed{Key: k.key, Index: k.block + int64(r.number())}
		if short {
			head := r.number()
			if n := head >> 1; n == 0 {
				s.Field = string(r.text())
			} else if n < uint64(len(openingFields)) {
				s.Field = openingFields[n]
			} else {
				return nil, &journal.BrokenError{What: fmt.Sprintf("a value under key %s behind the entries from %d on is of field %d, which this release does not know", k.key, k.first, n)}
			}
			if s.Class = classOf(k.key); head&1 == 1 {
				s.Class = string(r.text())
			}
			s.Box, s.Blind = r.text(), r.text()
		} else {
			s.Field, s.Class, s.Box, s.Blind = string(r.text()), string(r.text()), r.text(), r.text()
		}
		list = append(list, keptValue{Sealed: s})
	}
	if r.broken {
		return nil, brokenOpenings(k)
	}
	return list, nil
}

// openingTokens are what a row is found by, and what it is asked for.
func openingTokens(blinds [][]byte) []int64 {
	tokens := make([]int64, 0, len(blinds))
	for _, blind := range blinds {
		if len(blind) >= 8 {
			tokens = append(tokens, openingToken(blind))
		}
	}
	slices.Sort(tokens)
	return slices.Compact(tokens)
}

// openingToken is what is kept of a search token.
func openingToken(blind []byte) int64 { return int64(binary.BigEndian.Uint64(blind)) }

// tokenMaker makes those of values that are sealed together. The vault is asked for the key
// when there is one: else it would make one that nobody needs.
type tokenMaker struct {
	vault clerk.Vault
	blind func(to []byte, field, value string) []byte
}

func (m *tokenMaker) of(list []*clerk.Opened) (tokens []int64, err error) {
	tokens = make([]int64, 0, len(list))
	var room [64]byte
	for _, o := range list {
		if !vault.Sought(o.Field) {
			continue
		}
		if m.blind == nil {
			if m.blind, err = m.vault.Blinder(); err != nil {
				return nil, err
			}
		}
		tokens = append(tokens, openingToken(m.blind(room[:0], o.Field, o.Value)))
	}
	slices.Sort(tokens)
	return slices.Compact(tokens), nil
}

func tokensOf(v blinder, list []keptValue) ([]int64, error) {
	blinds := make([][]byte, len(list))
	for i := range list {
		var err error
		if blinds[i], err = list[i].token(v); err != nil {
			return nil, err
		}
	}
	return openingTokens(blinds), nil
}

// sealedOpenings are the openings of a batch as they are kept.
type sealedOpenings struct {
	rows     []journal.Sealed // of entries that are rows
	together []openingRow
}

type openingRow struct {
	openingsKey
	tokens []int64
	sealed []byte
}

// sealOpenings seals the openings of a batch, those of the entries before from for rows
// of journal_open, the others together.
func (t *journalTx) sealOpenings(b *clerk.Batch, from int64) (*sealedOpenings, error) {
	s := openingSealer{vault: b.Vault, gates: t.j.gates, tokens: tokenMaker{vault: b.Vault}}
	keys := map[string]string{} // of the classes: they do not change within a batch
	for i := range b.Open {
		o := &b.Open[i]
		if o.Index < from {
			box, err := s.alone(o)
			if err != nil {
				return nil, err
			}
			s.out.rows = append(s.out.rows, box)
			continue
		}
		if keys[o.Class] == "" {
			keys[o.Class] = b.Vault.KeyOf(o.Class)
		}
		k := openingsKey{key: keys[o.Class], block: o.Index / blockSize * blockSize}
		k.first = max(k.block, b.Open[0].Index)
		if err := s.add(k, o); err != nil {
			return nil, err
		}
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return &s.out, nil
}

// openingSealer seals the openings of a batch, which come block by block.
type openingSealer struct {
	vault  clerk.Vault
	gates  *gates
	packer togetherPacker
	tokens tokenMaker
	groups []openingGroup // of the block at hand, in room that the next one has again
	out    sealedOpenings
}

// openingGroup are the openings of a batch that are kept in one row.
type openingGroup struct {
	openingsKey
	list []*clerk.Opened
}

// alone seals an opening by itself.
func (s *openingSealer) alone(o *clerk.Opened) (journal.Sealed, error) {
	box, err := s.vault.Seal(o.Index, o.Opening)
	if err != nil {
		err = fmt.Errorf("seal field %s of entry %d: %w", o.Field, o.Index, err)
	}
	return box, err
}

// add puts an opening to those that it is kept with.
func (s *openingSealer) add(k openingsKey, o *clerk.Opened) error {
	if len(s.groups) > 0 && s.groups[0].block != k.block {
		if err := s.finish(); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(s.groups, func(g openingGroup) bool { return g.key == k.key })
	if at < 0 {
		at, s.groups = len(s.groups), slices.Grow(s.groups, 1)[:len(s.groups)+1]
		s.groups[at].openingsKey = k
	}
	s.groups[at].list = append(s.groups[at].list, o)
	return nil
}

// finish seals what there is of a block.
func (s *openingSealer) finish() error {
	slices.SortFunc(s.groups, func(a, b openingGroup) int { return cmp.Compare(a.key, b.key) })
	for i := range s.groups {
		g := &s.groups[i]
		row, err := s.seal(g)
		if err != nil {
			return err
		}
		s.out.together, g.list = append(s.out.together, row), g.list[:0]
	}
	s.groups = s.groups[:0]
	return nil
}

func (s *openingSealer) seal(g *openingGroup) (row openingRow, err error) {
	row.openingsKey = g.openingsKey
	if s.gates.together.Load() {
		if row.tokens, err = s.tokens.of(g.list); err == nil {
			row.sealed, err = s.packer.pack(s.vault, g.openingsKey, g.list, g.list[0].Seed)
		}
		return row, err
	}
	boxes, blinds := make([]journal.Sealed, len(g.list)), make([][]byte, len(g.list))
	for i, o := range g.list {
		if boxes[i], err = s.alone(o); err != nil {
			return row, err
		}
		boxes[i].Key = g.key
		blinds[i] = boxes[i].Blind
	}
	row.tokens, row.sealed = openingTokens(blinds), packOpenings(g.block, boxes, s.gates.openings.Load())
	return row, nil
}

// copyOpenings writes those openings of a batch that are rows of their own.
func (t *journalTx) copyOpenings(ctx context.Context, o *sealedOpenings) error {
	if len(o.rows) > 0 {
		rows := newCopied(256 * len(o.rows))
		for i := range o.rows {
			s := &o.rows[i]
			rows.row(len(openColumns))
			rows.text(s.Key)
			rows.bigint(s.Index)
			rows.text(s.Field)
			rows.text(s.Class)
			rows.bytea(s.Box)
			rows.bytea(s.Blind)
		}
		if err := rows.into(ctx, t.tx, "journal_open", openColumns); err != nil {
			return fmt.Errorf("openings: %w", err)
		}
	}
	return nil
}

// queueOpenings writes the others. They are few, and a COPY would be two more round trips
// while the head is locked.
func queueOpenings(add func(int64, string, ...any), rows []openingRow) {
	if len(rows) == 0 {
		return
	}
	var keys []string
	var blocks, firsts []int64
	tokens := []int64{}      // of all rows: an array of arrays cannot be of several lengths
	var begins, ends []int32 // of a row's tokens among them
	var sealed [][]byte
	for i := range rows {
		r := &rows[i]
		keys, blocks, firsts, sealed = append(keys, r.key), append(blocks, r.block), append(firsts, r.first), append(sealed, r.sealed)
		begins = append(begins, int32(len(tokens)+1))
		tokens = append(tokens, r.tokens...)
		ends = append(ends, int32(len(tokens)))
	}
	add(int64(len(rows)), openingsSQL, keys, blocks, firsts, tokens, begins, ends, sealed)
}

const openingsSQL = `INSERT INTO journal_opening (key, block, first, tokens, sealed)
	SELECT key, block, first, ($4::bigint[])[begins:ends], sealed FROM unnest($1::text[], $2::bigint[], $3::bigint[], $5::int[], $6::int[], $7::bytea[]) AS o (key, block, first, begins, ends, sealed)`

// unopenable says that a value is not opened for want of its key.
func unopenable(err error) bool {
	lacks := (*vault.KeyError)(nil)
	return errors.Is(err, vault.ErrKeyDestroyed) || errors.As(err, &lacks)
}

// eachOpenings calls f with all openings of a row of journal_opening, one row after the
// other; condition and args say which. Rows whose key is destroyed, or missing, have none:
// where that must not be, keysThere is asked before.
func eachOpenings(ctx context.Context, db querier, v *vault.Vault, condition string, args []any, f func(openingsKey, []keptValue) error) error {
	rows, _ := db.Query(ctx, "SELECT key, block, first, sealed FROM journal_opening WHERE "+condition, args...)
	var k openingsKey
	var packed []byte
	_, err := pgx.ForEachRow(rows, []any{&k.key, &k.block, &k.first, &packed}, func() error {
		list, err := unpackOpenings(v, k, packed)
		if unopenable(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(k, list)
	})
	return err
}

// needsKey are rows of which nothing is seen without their key, unless retention destroys
// it just now.
const needsKey = ` AND substring(sealed FOR 4) = '\x0000ff7f' AND key <> ALL (ARRAY(SELECT unnest(keys) FROM content_ordered))`

// keysThere refuses to erase with a vault that lacks keys of the rows that the condition
// names, unless retention destroys them just now: what is sealed together in
// such a row (togetherMark) cannot be seen, let alone taken out of it.
func keysThere(ctx context.Context, db querier, v *vault.Vault, condition string, args ...any) error {
	rows, _ := db.Query(ctx, "SELECT DISTINCT key FROM journal_opening WHERE "+condition+needsKey+" ORDER BY key", args...)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("looking for the keys of what is to be erased: %w", err)
	}
	var missing []string
	for _, key := range keys {
		there, err := v.Opens(key)
		if err != nil {
			return err
		}
		if !there {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &KeysMissingError{missing}
}

// valuesReachable is keysThere for the values behind an entry.
func valuesReachable(ctx context.Context, db querier, v *vault.Vault, index int64) error {
	return keysThere(ctx, db, v, "block = $1 AND first <= $2", index/blockSize*blockSize, index)
}

// KeysMissingError is an ErrVault: the vault lacks keys of values that an erasure is, or may
// be, about.
type KeysMissingError struct{ Keys []string }

func (e *KeysMissingError) Error() string {
	return fmt.Sprintf("%v, or not whole: values beside those that are to be erased are sealed with %s, which the folder of journal.vault does not have, so nothing was erased: "+
		"put it back from the vault's own backup; where retention has destroyed it and the database is of an older backup, order it again after the next pass of retention (every 6 h), which removes them", ErrVault, strings.Join(e.Keys, ", "))
}

func (e *KeysMissingError) Unwrap() error { return ErrVault }

// openingsOf are the openings of an entry that are left, by field.
func openingsOf(ctx context.Context, db querier, v *vault.Vault, index int64) ([]keptValue, error) {
	rows, _ := db.Query(ctx, "SELECT idx, field, class, key, box, blind FROM journal_open WHERE idx = $1", index)
	boxes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[journal.Sealed])
	var out []keptValue
	for _, s := range boxes {
		out = append(out, keptValue{Sealed: s})
	}
	if err == nil {
		err = eachOpenings(ctx, db, v, "block = $1 AND first <= $2", []any{index / blockSize * blockSize, index}, func(_ openingsKey, list []keptValue) error {
			out = append(out, slices.DeleteFunc(list, func(s keptValue) bool { return s.Index != index })...)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("openings of entry %d: %w", index, err)
	}
	slices.SortFunc(out, func(a, b keptValue) int { return cmp.Compare(a.Field, b.Field) })
	return out, nil
}

// committing tells which fields of which entries, from from up to to, have one of the
// search tokens.
func committing(ctx context.Context, db querier, v *vault.Vault, tokens [][]byte, from, to int64) (map[int64][]string, error) {
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
	err = eachOpenings(ctx, db, v, "tokens && $1 AND block > $2 AND block < $3", []any{openingTokens(tokens), from - blockSize, to}, func(_ openingsKey, list []keptValue) error {
		for i := range list {
			s := &list[i]
			if s.Index < from || s.Index >= to {
				continue
			}
			token, err := s.token(v)
			if err != nil {
				return err
			}
			if wanted[string(token)] {
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
func eraseOpenings(ctx context.Context, tx pgx.Tx, v *vault.Vault, indexes []int64, fields []string) (gone map[int64][]string, err error) {
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
	left := map[openingsKey][]keptValue{}
	// Locked: whoever erases another value of the same row waits, and finds it without
	// these.
	err = eachOpenings(ctx, tx, v, "block = ANY ($1) ORDER BY block, first, key FOR UPDATE", []any{(&sought{indexes: indexes}).numbers()}, func(k openingsKey, list []keptValue) error {
		n := len(list)
		rest := slices.DeleteFunc(list, func(s keptValue) bool {
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
		tokens, err := tokensOf(v, rest)
		if err != nil {
			return nil, err
		}
		packed, err := repackOpenings(v, k, rest)
		if err != nil {
			return nil, err
		}
		batch.Queue("UPDATE journal_opening SET tokens = $4, sealed = $5 WHERE key = $1 AND block = $2 AND first = $3",
			k.key, k.block, k.first, tokens, packed)
	}
	if batch.Len() > 0 {
		err = tx.SendBatch(ctx, batch).Close()
	}
	for _, list := range gone {
		slices.Sort(list)
	}
	return gone, err
}

// repackOpenings writes what is left of a row. Of what has gone nothing can be made any
// more: there is no seed.
func repackOpenings(v *vault.Vault, k openingsKey, rest []keptValue) ([]byte, error) {
	if rest[0].open == nil {
		boxes := make([]journal.Sealed, len(rest))
		for i := range rest {
			boxes[i] = rest[i].Sealed
		}
		return packOpenings(k.block, boxes, false), nil
	}
	list := make([]*clerk.Opened, len(rest))
	for i := range rest {
		list[i] = &clerk.Opened{Opening: *rest[i].open, Index: rest[i].Index}
	}
	var p togetherPacker
	return p.pack(v, k, list, nil)
}

// people says whether values about people are left behind the entries from from up to
// to.
func people(ctx context.Context, db querier, from, to int64) (found bool, err error) {
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM journal_open WHERE idx >= $1 AND idx < $2 AND blind <> '')
		OR EXISTS (SELECT FROM journal_opening WHERE block >= $1 AND block < $2 AND tokens <> '{}')`, from, to).Scan(&found)
	return found, err
}
