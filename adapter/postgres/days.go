package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	undefinedTable  = "42P01"
	undefinedColumn = "42703"
)

// daily are the tables with a partition for each day, by UUIDv7.
var daily = []string{"message", "attachment", "answered", "placed", "receipt"}

// ahead is how many days get their partitions before they come.
const ahead = 7

// days knows which daily partitions there are.
type days struct {
	mu    sync.RWMutex
	known map[string]bool // "message_20260131"
}

// partition names the partition of a table that has the messages of a time.
func partition(table string, t time.Time) string {
	return table + "_" + t.UTC().Format("20060102")
}

// leaf names the partition to look into for an id, or the whole table when the
// day has none of its own.
func (d *days) leaf(table string, id uuid.UUID) string {
	name := partition(table, timeOf(id))
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.known[name] {
		return name
	}
	return table
}

// timeOf reads the time in a UUIDv7.
func timeOf(id uuid.UUID) time.Time {
	ms := binary.BigEndian.Uint64(id[:8]) >> 16
	return time.UnixMilli(int64(ms)).UTC()
}

// floor is the least UUIDv7 of a time.
func floor(t time.Time) (id uuid.UUID) {
	ms := min(max(t.UnixMilli(), 0), 1<<48-1) // a time before 1970, by which a century is kept, is no time far ahead
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16)
	return id
}

// ensure makes the partitions of yesterday, today and the days ahead, and
// learns of those that other nodes have made. A day whose messages are in the
// default partition already stays there.
func (d *days) ensure(ctx context.Context, pool *sessions, now time.Time) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", lockClass, lockDays); err != nil {
			return err
		}
		known, err := partitions(ctx, tx)
		if err != nil {
			return err
		}
		today := now.UTC().Truncate(24 * time.Hour)
		for n := -1; n <= ahead; n++ {
			day := today.AddDate(0, 0, n)
			for _, table := range daily {
				name := partition(table, day)
				if known[name] {
					continue
				}
				made, err := attach(ctx, tx, table, name, day)
				if err != nil {
					return fmt.Errorf("making partition %s: %w", name, err)
				}
				known[name] = made
			}
		}
		d.mu.Lock()
		d.known = known
		d.mu.Unlock()
		return nil
	})
}

// attach makes a table like its parent and attaches it. Unlike CREATE TABLE …
// PARTITION OF this does not lock the parent against readers and writers.
func attach(ctx context.Context, tx pgx.Tx, table, name string, day time.Time) (bool, error) {
	step, err := tx.Begin(ctx) // a savepoint
	if err != nil {
		return false, err
	}
	err = attachLike(ctx, step, table, name, fmt.Sprintf("FROM ('%s') TO ('%s')", floor(day), floor(day.AddDate(0, 0, 1))), growing)
	if err == nil {
		return true, step.Commit(ctx)
	}
	if rollback := step.Rollback(ctx); rollback != nil {
		return false, rollback
	}
	if isCode(err, "23514") { // rows of this day are in the default partition
		return false, nil
	}
	return false, err
}

// growing are when autovacuum looks at what only grows (migration 00176).
const growing = "autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_vacuum_insert_threshold = 50000"

// growingBlocks are when it looks at partitions of the log, whose rows have hundreds of entries
// each (migration 00178).
const growingBlocks = "autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_vacuum_insert_threshold = 2000"

// attachLike does so for bounds as FOR VALUES takes them, with storage parameters of the new
// table. What LIKE does not take over is how many values of a column, or of an expression in
// an index, the planner's statistics keep.
func attachLike(ctx context.Context, tx pgx.Tx, parent, name, bounds, options string) error {
	quoted := pgx.Identifier{name}.Sanitize()
	_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING ALL) WITH (%[4]s);
		DO $$
		DECLARE c record;
		BEGIN
			FOR c IN SELECT attname, attstattarget FROM pg_attribute WHERE attrelid = '%[2]s'::regclass AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0 LOOP
				EXECUTE format('ALTER TABLE %[1]s ALTER COLUMN %%I SET STATISTICS %%s', c.attname, c.attstattarget);
			END LOOP;
		END
		$$;
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES %[3]s;
		DO $$
		DECLARE c record;
		BEGIN
			FOR c IN SELECT h.inhrelid::regclass AS of, a.attnum, a.attstattarget FROM pg_index x
				JOIN pg_inherits h ON h.inhrelid = x.indexrelid JOIN pg_attribute a ON a.attrelid = h.inhparent
				WHERE x.indrelid = '%[1]s'::regclass AND a.attstattarget >= 0 LOOP
				EXECUTE format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', c.of, c.attnum, c.attstattarget);
			END LOOP;
		END
		$$`, quoted, parent, bounds, options))
	return err
}

func partitions(ctx context.Context, tx pgx.Tx) (map[string]bool, error) {
	rows, _ := tx.Query(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = ANY (SELECT to_regclass(t) FROM unnest($1::text[]) t) AND c.relname ~ '_[0-9]{8}$'`, daily)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	known := make(map[string]bool, len(names))
	for _, n := range names {
		known[n] = true
	}
	return known, err
}

// drop removes the partitions of days that ended before the time, oldest first
// and one day a call, unless a message of that day still waits somewhere. It
// says whether it dropped one.
func (d *days) drop(ctx context.Context, pool *sessions, before time.Time) (dropped bool, err error) {
	d.mu.RLock()
	var old []string
	for name := range d.known {
		// Of whatever table: a node of before drops those that it knows.
		day := name[strings.LastIndexByte(name, '_')+1:]
		if t, err := time.Parse("20060102", day); err == nil && !t.AddDate(0, 0, 1).After(before) && !slices.Contains(old, day) {
			old = append(old, day)
		}
	}
	d.mu.RUnlock()
	slices.Sort(old)
	for _, day := range old {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			t, _ := time.Parse("20060102", day)
			var waits bool
			err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM queue WHERE message >= $1 AND message < $2)
				OR EXISTS (SELECT FROM outbox WHERE message >= $1 AND message < $2)
				OR EXISTS (SELECT FROM relayed WHERE message >= $1 AND message < $2)`,
				[16]byte(floor(t)), [16]byte(floor(t.AddDate(0, 0, 1)))).Scan(&waits)
			if err != nil || waits {
				return err
			}
			for _, table := range daily {
				if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+table+"_"+day); err != nil {
					return err
				}
			}
			dropped = true
			return nil
		})
		if err != nil {
			return false, fmt.Errorf("dropping the messages of %s: %w", day, err)
		}
		if dropped {
			d.mu.Lock()
			for _, table := range daily {
				delete(d.known, table+"_"+day)
			}
			d.mu.Unlock()
			return true, nil
		}
	}
	return false, nil
}
