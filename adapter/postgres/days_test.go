package postgres

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
)

// Identifiers are in the order of their times, those before 1970 too: what is kept for a
// century and what is asked for from 1900 on count from there.
func TestFloorKeepsTheOrderOfTimes(t *testing.T) {
	var before []byte
	for _, one := range []time.Time{{}, time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		id := floor(one)
		if bytes.Compare(before, id[:]) > 0 {
			t.Errorf("%v stands before what is earlier: %x", one, id)
		}
		before = id[:]
	}
}

// Days that are made, and what else only grows, are not looked at by autovacuum every few
// seconds while they are young.
func TestAutovacuumLeavesYoungTablesAlone(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: embedded.Test(t, Migrate)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tables := []string{"open_term", "used_id_0", "used_id_15"}
	for _, table := range daily {
		tables = append(tables, partition(table, time.Now()), partition(table, time.Now().AddDate(0, 0, ahead-1)))
	}
	rows, _ := s.pool.Query(t.Context(), "SELECT reloptions FROM pg_class WHERE relname = ANY ($1) AND relkind = 'r'", tables)
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil || len(found) != len(tables) {
		t.Fatalf("%d tables (%v), want %d", len(found), err, len(tables))
	}
	for _, options := range found {
		for _, want := range strings.Split(growing, ", ") {
			if !slices.Contains(options, strings.ReplaceAll(want, " ", "")) {
				t.Errorf("a table has %v, want %s", options, want)
			}
		}
	}
}

// ANALYZE reads few rows of what is found by its keys alone, in days that are made as in what
// was there: three hundred for each value that it may keep of a column, or of an expression
// in an index.
func TestFewRowsAreAnalyzed(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: embedded.Test(t, Migrate)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tables := []string{"open_term", "used_id_0", "used_id_15", "journal_block", "journal_opening"}
	for _, table := range daily {
		tables = append(tables, table, partition(table, time.Now()), partition(table, time.Now().AddDate(0, 0, ahead-1)))
	}
	rows, _ := s.pool.Query(t.Context(), `SELECT a.attrelid::regclass || '.' || a.attname, coalesce(a.attstattarget, -1) FROM pg_class c JOIN pg_attribute a
		ON a.attrelid = c.oid OR a.attrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid AND indexprs IS NOT NULL)
		WHERE c.relname = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped`, tables)
	var of string
	var values, columns int
	if _, err := pgx.ForEachRow(rows, []any{&of, &values}, func() error {
		if columns++; values < 0 || values > 10 {
			t.Errorf("of %s %d values are kept, want 10 at most", of, values)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if columns < 3*29 { // message has so many
		t.Errorf("%d columns were looked at", columns)
	}
}
