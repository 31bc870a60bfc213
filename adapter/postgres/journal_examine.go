package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// Examine reads every entry that is kept and says where the columns and terms by
// which it is found, the daily totals or the counters differ from what the leaves
// say. The
// leaves themselves are what audit.VerifyLog checks: the two together leave
// nothing in these tables that could be changed unnoticed. It reads in pages, so
// it may run beside a working journal; entries that are sequenced after it began
// are not examined. Totals and counters are compared only while nothing has been
// archived.
func (j *Journal) Examine(ctx context.Context) ([]audit.Finding, error) {
	var out []audit.Finding
	find := func(index int64, format string, args ...any) {
		out = append(out, audit.Finding{Index: index, What: fmt.Sprintf(format, args...)})
	}
	var dropped, size, tallied, blocks int64
	totals, counters := map[dayCombination]places{}, map[string]journal.Counter{}
	var stretches *sumChecker
	// One snapshot for what the pages must add up to.
	err := pgx.BeginTxFunc(ctx, j.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "SELECT dropped, size, tallied, coalesce(blocks, size) FROM journal_head").Scan(&dropped, &size, &tallied, &blocks); err != nil {
			return err
		}
		var behind *int64
		if err := tx.QueryRow(ctx, `SELECT max(i) FROM (SELECT max(idx) AS i FROM journal_entry WHERE idx >= $1
			UNION ALL SELECT max(first + entries - 1) FROM journal_block WHERE first > $1 - 256 AND first + entries > $1
			UNION ALL SELECT max(first + entries - 1) FROM journal_piece WHERE first + entries > $1 OR first < 0) t`, size).Scan(&behind); err != nil {
			return err
		}
		if behind != nil {
			find(*behind, "is kept, and the log has no more than %d entries", size)
		}
		rows, _ := tx.Query(ctx, "SELECT "+dayText+", kind, sender, recipient, service, version, outcome, channel, test, entries, first, last FROM journal_tally")
		var k dayCombination
		var p places
		if _, err := pgx.ForEachRow(rows, []any{&k.day, &k.kind, &k.sender, &k.recipient, &k.service, &k.version, &k.outcome, &k.channel, &k.test, &p.entries, &p.first, &p.last}, func() error {
			totals[k] = p
			return nil
		}); err != nil {
			return err
		}
		var err error
		if stretches, err = readSums(ctx, tx, dropped); err == nil {
			counters, err = (&journalTx{tx: tx, j: j}).Counters(ctx, nil)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("examine the journal: %w", err)
	}
	wrong := func(list []sumRow) {
		for _, row := range list {
			find(row.first, "what the %d entries from here on come to is put down otherwise than they are: counts of a part of a day would be wrong", row.entries)
		}
	}
	seen, made := map[string]journal.Counter{}, sums{}
	next := dropped
	for next < size {
		from := next
		to := min(next/examineStep*examineStep+examineStep, size)
		terms, err := j.termsOf(ctx, next, to)
		if err != nil {
			return nil, fmt.Errorf("examine the journal from entry %d on: %w", next, err)
		}
		references, err := j.referencesOf(ctx, next, to)
		if err != nil {
			return nil, fmt.Errorf("examine the journal from entry %d on: %w", next, err)
		}
		rows, _ := j.pool.Query(ctx, `SELECT idx, logged, kind, message, message_id, original, sender, recipient, service, version, outcome, incident, certificate, channel, reference, test, leaf
			FROM journal_entry WHERE idx >= $1 AND idx < $2 ORDER BY idx`, next, to)
		var index int64
		var logged time.Time
		var have [13]string
		var test bool
		var leaf []byte
		into := []any{&index, &logged}
		for i := range have {
			into = append(into, &have[i])
		}
		reach := func(index int64) {
			if index < next {
				find(index, "stands in more than one place")
				return
			}
			for ; next < index; next++ {
				find(next, "is missing from the table")
			}
			next++
		}
		found := func(index int64, l *journal.Leaf) {
			if references[index] != l.Reference {
				find(index, "is kept as of the chain of %q, the leaf says %q: it could not be found by it", references[index], l.Reference)
			}
			c := combinationOf(l)
			for _, t := range c.terms(index / chunkSize) {
				if t.value != "" && !terms[t] {
					find(index, "%s %q is not among the terms of its %d entries: it could not be found by it", t.dim, t.value, chunkSize)
				}
			}
			if index < tallied {
				made.count(index, l)
			}
			wrong(stretches.count(index, l))
			count(seen, l)
		}
		_, err = pgx.ForEachRow(rows, append(into, &test, &leaf), func() error {
			reach(index)
			if index >= blocks {
				find(index, "is a row, and from entry %d on they are kept in blocks", blocks)
			}
			l, err := journal.ParseLeaf(leaf)
			if err != nil {
				find(index, "%v", err)
				return nil
			}
			want := [13]string{string(l.Kind), l.Message, l.MessageID, l.Original, l.Sender, l.Recipient, l.Service, l.Version, l.Outcome, l.Incident, l.Certificate, l.Channel, l.Reference}
			for i, column := range entryColumns[2:15] {
				if have[i] != want[i] {
					find(index, "column %s says %q, the leaf %q: it could not be found by what it is", column, have[i], want[i])
				}
			}
			if test != l.Test {
				find(index, "column test says %t, the leaf %t: it could not be told from what is no test", test, l.Test)
			}
			if !logged.Equal(l.Logged) {
				find(index, "column logged says %s, the leaf %s", logged.UTC().Format(time.RFC3339Nano), l.Logged.Format(time.RFC3339Nano))
			}
			found(index, &l)
			return nil
		})
		if err == nil {
			err = j.examineBlocks(ctx, from, to, func(first int64, count int, finished bool) bool {
				if first < from && from > dropped {
					return false // the page before has it
				}
				if first < blocks {
					find(first, "stands in a block, and up to entry %d they are rows", blocks)
				}
				if finished && (count != blockSize || first%blockSize != 0) {
					find(first, "its block has %d entries: it could not be found by its number", count)
				}
				return true
			}, reach, found, find)
		}
		if err != nil {
			return nil, fmt.Errorf("examine the journal from entry %d on: %w", next, err)
		}
		for ; next < to; next++ {
			find(next, "is missing from the table")
		}
	}
	wrong(stretches.end())
	if dropped > 0 {
		return out, nil
	}
	for k, p := range made {
		if totals[k] != p {
			find(journal.NoEntry, "the total of %s says %d entries from %d to %d, there are %d from %d to %d",
				k, totals[k].entries, totals[k].first, totals[k].last, p.entries, p.first, p.last)
		}
		delete(totals, k)
	}
	for k, p := range totals {
		find(journal.NoEntry, "the total of %s says %d entries, there are none", k, p.entries)
	}
	maps.DeleteFunc(counters, func(party string, c journal.Counter) bool { return seen[party] == c })
	for _, party := range slices.Sorted(maps.Keys(counters)) {
		find(journal.NoEntry, "the counters of %s say %+v, its entries %+v", party, counters[party], seen[party])
	}
	return out, nil
}

// examineStep is how many entries Examine reads at a time: whole blocks.
const examineStep = 8 * blockSize

// examineBlocks is the part of Examine that stands in blocks and pieces, of those that
// are fit for it.
func (j *Journal) examineBlocks(ctx context.Context, from, to int64, fit func(first int64, count int, finished bool) bool, reach func(int64), found func(int64, *journal.Leaf), find func(int64, string, ...any)) error {
	rows, _ := j.pool.Query(ctx, `SELECT first, entries, logged, keys, columns, leaves FROM journal_block WHERE first > $1 - 256 AND first + entries > $1 AND first < $2
		UNION ALL SELECT first, entries, logged, NULL, NULL, leaves FROM journal_piece WHERE first + entries > $1 AND first < $2 ORDER BY first`, from, to)
	var first int64
	var count int
	var logged []time.Time
	var keys []int64
	var packed, leaves []byte
	_, err := pgx.ForEachRow(rows, []any{&first, &count, &logged, &keys, &packed, &leaves}, func() error {
		if !fit(first, count, packed != nil) {
			return nil
		}
		b, err := unpackBlock(first, count, leaves)
		if err != nil {
			for i := first; i < min(first+int64(count), to); i++ {
				reach(i)
			}
			find(first, "%v", err)
			return nil
		}
		m := newBlockMaker(first)
		for i := first; i < b.end(); i++ {
			if i < to { // entries behind it came meanwhile
				reach(i)
			}
			row, err := b.row(i)
			if err != nil {
				find(i, "%v", err)
				continue
			}
			m.add(&row.Leaf, row.Bytes)
			if n := int(i - first); n >= len(logged) || !logged[n].Equal(row.Leaf.Logged) {
				find(i, "is kept as logged at another time than the leaf says, %s", row.Leaf.Logged.Format(time.RFC3339Nano))
			}
			if i < to {
				found(i, &row.Leaf)
			}
		}
		if packed == nil {
			return nil
		}
		if !slices.Equal(keys, m.keys(timedKey)) && !slices.Equal(keys, m.keys(blockKey)) {
			find(first, "its block of %d entries is found by other keys than those of its leaves", count)
		}
		if columns, err := unsqueezed(packed); err != nil || !bytes.Equal(columns, m.columns.pack()) {
			find(first, "the columns of its block of %d entries are not those of its leaves", count)
		}
		return nil
	})
	return err
}

// dayCombination is what a daily total is of.
type dayCombination struct {
	day string
	combination
}

func (k dayCombination) String() string {
	return fmt.Sprintf("%s %s from %q to %q (%s %s, %s, by %q, test %t)", k.day, k.kind, k.sender, k.recipient, k.service, k.version, k.outcome, k.channel, k.test)
}

// termsOf are the terms of the chunks of the entries from from up to to.
func (j *Journal) termsOf(ctx context.Context, from, to int64) (map[term]bool, error) {
	out := map[term]bool{}
	rows, _ := j.pool.Query(ctx, "SELECT dim, value, chunk FROM journal_term WHERE chunk >= $1 AND chunk <= $2", from/chunkSize, (to-1)/chunkSize)
	var t term
	_, err := pgx.ForEachRow(rows, []any{&t.dim, &t.value, &t.chunk}, func() error {
		out[t] = true
		return nil
	})
	return out, err
}

// referencesOf are the chains by which the entries from from up to to are found.
func (j *Journal) referencesOf(ctx context.Context, from, to int64) (map[int64]string, error) {
	out := map[int64]string{}
	rows, _ := j.pool.Query(ctx, "SELECT idx, reference FROM journal_reference WHERE idx >= $1 AND idx < $2", from, to)
	var index int64
	var reference string
	_, err := pgx.ForEachRow(rows, []any{&index, &reference}, func() error {
		out[index] = reference
		return nil
	})
	return out, err
}

// count adds a leaf to the counters that its entries make.
func count(seen map[string]journal.Counter, l *journal.Leaf) {
	if l.Sender != "" {
		c := seen[l.Sender]
		c.Sent++
		seen[l.Sender] = c
	}
	if l.Recipient != "" {
		c := seen[l.Recipient]
		c.Received++
		seen[l.Recipient] = c
	}
}
