package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
)

// When the daily totals are brought up, what the entries behind them come to is kept by
// itself, too, in a row of journal_sum for each stretch of them. The last 24 hours, and the
// days of a clock in Moscow, are no whole days of the totals, and a busy day has millions of
// entries. Stretches that have no row, those of a release before, are counted by their
// entries.

// pack writes combinations and how many entries each has, those of one text together: a text
// that the one before has in its place is not written again.
func (s sums) pack() []byte {
	keys := slices.SortedFunc(maps.Keys(s), func(a, b dayCombination) int {
		x, y := a.texts(), b.texts()
		return slices.Compare(x[:], y[:])
	})
	b := make([]byte, 0, 16*len(keys))
	var before [counted]string
	for _, k := range keys {
		texts := k.texts()
		for n, text := range texts {
			if text == before[n] {
				b = append(b, 0)
				continue
			}
			b = append(binary.AppendUvarint(b, uint64(len(text))+1), text...)
		}
		b, before = binary.AppendUvarint(b, uint64(s[k].entries)), texts
	}
	return squeezed(b)
}

// eachSum reads what pack wrote, of the stretch that begins at first.
func eachSum(first int64, packed []byte, f func(k *dayCombination, entries int64)) error {
	b, err := unsqueezed(packed)
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = cmp.Or(err, errLeaves)
			return 0
		}
		b = b[size:]
		return n
	}
	var v [counted]string
	for err == nil && len(b) > 0 {
		for n := range v {
			length := number()
			if length == 0 {
				continue
			}
			if length-1 > uint64(len(b)) {
				err = cmp.Or(err, errLeaves)
				break
			}
			v[n], b = string(b[:length-1]), b[length-1:]
		}
		if entries := number(); err == nil {
			k := combinationOfTexts(v)
			f(&k, int64(entries))
		}
	}
	if err != nil {
		return &journal.BrokenError{What: fmt.Sprintf("what the entries from %d on come to", first)}
	}
	return nil
}

// stretchSums counts the entries that stand from from up to end, of which those from size on
// are being written, and puts down what each stretch of them comes to.
func stretchSums(ctx context.Context, db querier, add func(int64, string, ...any), from, size, end int64, entries []clerk.Entry) (sums, error) {
	all := sums{}
	for from < end {
		to := end
		if end-from > 2*tallyEvery {
			to = from + tallyEvery
		}
		here, err := blockSums(ctx, db, nil, from, min(to, size))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Index >= from && e.Index < to {
				here.count(e.Index, e.Leaf)
			}
		}
		for k, p := range here {
			all.join(k, p)
		}
		add(1, `INSERT INTO journal_sum (first, entries, sums) VALUES ($1, $2, $3) ON CONFLICT (first) DO UPDATE SET entries = excluded.entries, sums = excluded.sums`, from, to-from, here.pack())
		from = to
	}
	return all, nil
}

// countWithin counts the entries in blocks from from up to to that q asks for in its
// dimensions: of stretches that lie wholly within, by what is put down of them.
func countWithin(ctx context.Context, db querier, q *Query, from, to int64, f func(k *dayCombination, entries int64)) error {
	var rest [][2]int64
	next := from
	rows, _ := db.Query(ctx, "SELECT first, entries, sums FROM journal_sum WHERE first >= $1 AND first + entries <= $2 ORDER BY first", from, to)
	var first, entries int64
	var packed []byte
	if _, err := pgx.ForEachRow(rows, []any{&first, &entries, &packed}, func() error {
		if first < next {
			return nil // that one has been counted in part
		}
		rest, next = append(rest, [2]int64{next, first}), first+entries
		return eachSum(first, packed, func(k *dayCombination, entries int64) {
			if q.wants(&k.combination) {
				f(k, entries)
			}
		})
	}); err != nil {
		return err
	}
	for _, piece := range append(rest, [2]int64{next, to}) {
		if piece[0] == piece[1] {
			continue
		}
		found, err := blockSums(ctx, db, q, piece[0], piece[1])
		if err != nil {
			return err
		}
		for k, p := range found {
			f(&k, p.entries)
		}
	}
	return nil
}

// sumChecker holds what is put down of stretches against their entries, which come in their
// order.
type sumChecker struct {
	rows []sumRow
	made sums // of the first of rows
}

type sumRow struct {
	first, entries int64
	packed         []byte
}

// readSums reads what is put down of the entries from from on.
func readSums(ctx context.Context, db querier, from int64) (*sumChecker, error) {
	rows, _ := db.Query(ctx, "SELECT first, entries, sums FROM journal_sum WHERE first >= $1 ORDER BY first", from)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sumRow, err error) {
		return r, row.Scan(&r.first, &r.entries, &r.packed)
	})
	return &sumChecker{list, sums{}}, err
}

// count adds an entry, and gives the stretches that are known to be wrong by then.
func (c *sumChecker) count(index int64, l *journal.Leaf) (wrong []sumRow) {
	for len(c.rows) > 0 && index >= c.rows[0].first+c.rows[0].entries {
		wrong = append(wrong, c.next()...)
	}
	if len(c.rows) > 0 && index >= c.rows[0].first {
		c.made.count(index, l)
	}
	return wrong
}

// end gives the stretches that are wrong, when all entries have come.
func (c *sumChecker) end() (wrong []sumRow) {
	for len(c.rows) > 0 {
		wrong = append(wrong, c.next()...)
	}
	return wrong
}

// next goes on to the next stretch, and gives this one if it is wrong.
func (c *sumChecker) next() []sumRow {
	row, made := c.rows[0], c.made
	c.rows, c.made = c.rows[1:], sums{}
	entries, same := int64(0), true
	err := eachSum(row.first, row.packed, func(k *dayCombination, n int64) {
		same = same && made[*k].entries == n
		entries += n
		delete(made, *k)
	})
	if err == nil && same && entries == row.entries && len(made) == 0 {
		return nil
	}
	return []sumRow{row}
}
