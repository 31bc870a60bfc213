package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// Openings gives the values behind the commitments of an entry that still exist
// and whose key does; none is no error.
func (j *Journal) Openings(ctx context.Context, index int64) ([]journal.Opening, error) {
	if j.vault == nil {
		return nil, ErrNoVault
	}
	sealed, err := openingsOf(ctx, j.pool, j.vault, index)
	if err != nil {
		return nil, err
	}
	var out []journal.Opening
	for _, s := range sealed {
		o, err := s.opened(j.vault)
		if unopenable(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Find is audit.Bundler.Find: the first entry of a message and its openings.
func (j *Journal) Find(ctx context.Context, message string) (int64, []journal.Opening, error) {
	rows, err := find(ctx, j.pool, sought{messages: []string{message}})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("message %s: %w", message, fs.ErrNotExist)
	}
	if err != nil {
		return 0, nil, err
	}
	index := rows[0].Index
	open, err := j.Openings(ctx, index)
	return index, open, err
}

// Append puts events into the journal that are part of no other act: reading,
// erasing, configuration. They are durable on return.
func (j *Journal) Append(ctx context.Context, events ...journal.Event) error {
	if err := j.gates.record(ctx, j.pool, events...); err != nil {
		return fmt.Errorf("append %d events to the journal: %w", len(events), err)
	}
	return nil
}

// Erase removes the values and salts of fields of an entry and says which it
// removed. The vault's register notes it first, so that a restored backup is held to
// it (Store.Reerase); the removal and an entry that tells of it are one transaction.
// ground is the legal ground, without names; by, the actor, is committed to like any
// personal value. Erasing what is gone already does nothing and leaves no second
// entry. The leaf and its proofs stay as they are.
func (j *Journal) Erase(ctx context.Context, index int64, fields []string, ground, by string, now time.Time) ([]string, error) {
	if j.vault == nil {
		return nil, ErrNoVault
	}
	return eraseValues(ctx, j.pool, j.vault, j.gates, index, fields, ground, by, "", now)
}

func eraseValues(ctx context.Context, pool *sessions, v *vault.Vault, g *gates, index int64, fields []string, ground, by, confirmed string, now time.Time) ([]string, error) {
	if ground == "" {
		return nil, errors.New("erasing needs a legal ground: it is what the journal will show")
	}
	if err := valuesReachable(ctx, pool, v, index); err != nil {
		return nil, err
	}
	open, err := openingsOf(ctx, pool, v, index)
	if err != nil {
		return nil, err
	}
	var there []string
	for i := range open {
		if slices.Contains(fields, open[i].Field) {
			there = append(there, open[i].Field)
		}
	}
	if len(there) == 0 {
		return nil, nil
	}
	e := vault.Erasure{ID: uuid.Must(uuid.NewV7()).String(), At: now.UTC(), Ground: ground, Target: &index, Fields: there}
	switch row, err := entryAt(ctx, pool, index); {
	case err == nil:
		e.Leaf = leafDigest(row.Bytes)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	did, err := erase(ctx, pool, v, g, []vault.Erasure{e}, by, confirmed)
	if err != nil || did == 0 {
		return nil, err
	}
	return there, nil
}

// Forget is retention of values: it destroys the vault's keys of a class for all
// months before the given one and drops their partitions. What they sealed is
// unreadable from then on, in backups too; leaves and proofs stay. An entry
// tells of it, with the class in Fields.
func (j *Journal) Forget(ctx context.Context, class string, before time.Time, ground string, now time.Time) ([]string, error) {
	if ground == "" {
		return nil, errors.New("forgetting needs a ground: it is what the journal will show")
	}
	if j.vault == nil {
		return nil, ErrNoVault
	}
	keys, err := j.vault.Doomed(class, before)
	if err != nil {
		return nil, err
	}
	// What is to go is noted first: a crash before the journal is told of it leaves
	// that to the next pass.
	id := [16]byte(uuid.MustParse(retentionID("values "+class, time.Time{})))
	if err := j.pool.QueryRow(ctx, `INSERT INTO content_ordered AS o (id, at, keys) VALUES ($1, $2, coalesce($3::text[], '{}'))
		ON CONFLICT (id) DO UPDATE SET keys = ARRAY(SELECT DISTINCT k FROM unnest(o.keys || excluded.keys) k ORDER BY k) RETURNING keys`, id, now, keys).Scan(&keys); err != nil {
		return nil, fmt.Errorf("noting what is to be forgotten: %w", err)
	}
	if err := j.vault.Destroy(keys); err != nil {
		return nil, err
	}
	// Partitions whose keys went in an earlier run that did not end, too.
	for _, parent := range []string{"journal_open", "journal_opening"} {
		prefix := parent + "_" + strings.ReplaceAll(class, "-", "_") + "_"
		rows, _ := j.pool.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = $1::text::regclass AND starts_with(c.relname, $2)`, parent, prefix)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, table := range tables {
			month, err := time.Parse("2006_01", strings.TrimPrefix(table, prefix))
			if err != nil || month.AddDate(0, 1, 0).After(before) {
				continue // another class that begins with this one's name, or a month that is kept
			}
			if err := j.dropPartition(ctx, parent, table); err != nil {
				return nil, err
			}
		}
	}
	err = pgx.BeginFunc(ctx, j.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "DELETE FROM content_ordered WHERE id = $1 RETURNING keys", id).Scan(&keys); errors.Is(err, pgx.ErrNoRows) || err == nil && len(keys) == 0 {
			keys = nil // another node has told of them
			return nil
		} else if err != nil {
			return err
		}
		return j.gates.record(ctx, tx, journal.Event{Kind: journal.KindErased, Time: now, Count: len(keys), Fields: []string{class}, Ground: ground})
	})
	if err != nil {
		return nil, fmt.Errorf("telling the journal of what was forgotten: %w", err)
	}
	return keys, endMarks(ctx, j.pool, class, keyFile, before)
}

// leafDigest is by what an erasure knows the leaf whose values it erased.
func leafDigest(leaf []byte) string { return fmt.Sprintf("%x", sha256.Sum256(leaf)) }

func (j *Journal) dropPartition(ctx context.Context, parent, table string) error {
	quoted := pgx.Identifier{table}.Sanitize()
	// Detached concurrently, so that neither readers nor the sequencer wait; not
	// possible inside a transaction.
	_, err := j.pool.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY", parent, quoted))
	if err == nil {
		_, err = j.pool.Exec(ctx, "DROP TABLE "+quoted)
	}
	if err != nil {
		return fmt.Errorf("drop %s: %w", table, err)
	}
	return nil
}

// Archive moves whole partitions of entries that were all logged before the
// given time into dir, as the entry bundles of a tlog-tiles log, and drops them.
// Each bundle is checked against the log's hash tiles before its entries go, and
// is on the disk before. Hash tiles, totals and checkpoints stay, so every proof
// of an archived entry can still be built from its bundle. Entries of messages
// that are still on their way must not be archived: what comes later could not
// name them as the entries before it. Entries wait, too, while somebody can be found
// by the values behind them: an order to erase finds its messages by entries in the
// table, and would leave the values of archived ones. It returns how many entries were
// archived.
func (j *Journal) Archive(ctx context.Context, before time.Time, dir string) (int64, error) {
	done := int64(0)
	for {
		var rows, dropped, size int64
		if err := j.pool.QueryRow(ctx, "SELECT partition, dropped, size FROM journal_head").Scan(&rows, &dropped, &size); err != nil {
			return done, err
		}
		end := dropped + rows
		if end >= size { // the next partition must have begun
			return done, nil
		}
		last, err := loggedAt(ctx, j.pool, end-1)
		if err != nil {
			return done, err
		}
		if !last.Before(before) {
			return done, nil
		}
		found, err := people(ctx, j.pool, dropped, end)
		if err != nil {
			return done, err
		}
		if found {
			j.log.Info("journal: entries wait for the archive until the values about people behind them have ended (journal.retention.personal)", "from", dropped, "to", end)
			return done, nil
		}
		for n := dropped / journal.TileWidth; n*journal.TileWidth < end; n++ {
			if err := j.archiveBundle(ctx, n, dir); err != nil {
				return done, err
			}
		}
		if err := j.tally(ctx); err != nil { // while the entries can be counted
			return done, err
		}
		// First the mark, then the rows: searches begin at the mark.
		if _, err := j.pool.Exec(ctx, "UPDATE journal_head SET dropped = $1 WHERE dropped = $2", end, dropped); err != nil {
			return done, err
		}
		for _, parent := range []string{"journal_entry", "journal_block"} {
			name := fmt.Sprintf("%s_%d", parent, dropped/rows)
			var there bool
			if err := j.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil {
				return done, err
			}
			if !there {
				continue
			}
			if err := j.dropPartition(ctx, parent, name); err != nil {
				return done, err
			}
		}
		if _, err := j.pool.Exec(ctx, "DELETE FROM journal_term WHERE chunk < $1", end/chunkSize); err != nil {
			return done, fmt.Errorf("archive: the terms of dropped entries: %w", err)
		}
		if _, err := j.pool.Exec(ctx, "DELETE FROM journal_reference WHERE idx < $1", end); err != nil {
			return done, fmt.Errorf("archive: the references of dropped entries: %w", err)
		}
		if _, err := j.pool.Exec(ctx, "DELETE FROM journal_sum WHERE first < $1", end); err != nil {
			return done, fmt.Errorf("archive: what dropped entries come to: %w", err)
		}
		if _, err := j.pool.Exec(ctx, dropStandings, end); err != nil {
			return done, fmt.Errorf("archive: what reports need of dropped entries: %w", err)
		}
		done += rows
	}
}

// ErrArchived says that totals cannot be made again: entries that they count are in the
// archive.
var ErrArchived = errors.New("entries were archived, and their share of the daily totals can be counted no more")

// Recount makes the daily totals again from the entries, where Examine says that they
// are wrong. The log takes up nothing meanwhile: a second or two for each million
// entries.
func (j *Journal) Recount(ctx context.Context) error {
	return pgx.BeginFunc(ctx, j.pool, func(tx pgx.Tx) error {
		var size, dropped int64
		if err := tx.QueryRow(ctx, "SELECT size, dropped FROM journal_head FOR UPDATE").Scan(&size, &dropped); err != nil {
			return err
		}
		if dropped > 0 {
			return ErrArchived
		}
		for _, sql := range []string{"SET LOCAL statement_timeout = 0", "DELETE FROM journal_tally", "DELETE FROM journal_sum", "UPDATE journal_head SET tallied = 0"} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return tallyUp(ctx, tx, size)
	})
}

// tally brings the daily totals up to date. It takes its turn with the sequencer.
func (j *Journal) tally(ctx context.Context) error {
	return pgx.BeginFunc(ctx, j.pool, func(tx pgx.Tx) error {
		var size int64
		if err := tx.QueryRow(ctx, "SELECT size FROM journal_head FOR UPDATE").Scan(&size); err != nil {
			return err
		}
		return tallyUp(ctx, tx, size)
	})
}

func tallyUp(ctx context.Context, tx pgx.Tx, size int64) error {
	batch := &pgx.Batch{}
	if err := queueTally(ctx, tx, func(_ int64, sql string, args ...any) { batch.Queue(sql, args...) }, size, nil); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("daily totals of the journal: %w", err)
	}
	return nil
}

func (j *Journal) archiveBundle(ctx context.Context, n int64, dir string) error {
	bundle, err := j.Tile(ctx, journal.EntriesLevel, n, journal.TileWidth)
	if err != nil {
		return fmt.Errorf("archive entry bundle %d: %w", n, err)
	}
	entries, err := journal.Entries(bundle)
	if err != nil {
		return err
	}
	hashes := hashesOf(entries)
	at := n % journal.TileWidth
	above, err := j.Tile(ctx, 1, n/journal.TileWidth, int(at)+1)
	if err != nil {
		return fmt.Errorf("archive entry bundle %d: the hash of its hashes: %w", n, err)
	}
	if tlog.Hash(above[at*tlog.HashSize:][:tlog.HashSize]) != journal.Subtree(hashes) {
		return &journal.BrokenError{What: fmt.Sprintf("entries %d to %d are not those that the log's tiles were made of; nothing is dropped", n*journal.TileWidth, (n+1)*journal.TileWidth-1)}
	}
	// From here on the leaves that it could be made of are elsewhere.
	if _, err := j.pool.Exec(ctx, "INSERT INTO journal_tile (level, n, data) VALUES (0, $1, $2) ON CONFLICT DO NOTHING", n, hashes); err != nil {
		return fmt.Errorf("archive entry bundle %d: its hashes: %w", n, err)
	}
	path := filepath.Join(dir, filepath.FromSlash(journal.TilePath(journal.EntriesLevel, n, journal.TileWidth)))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return journal.ReplaceFile(path, bundle, 0o644)
}
