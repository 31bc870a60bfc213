package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"mezhved/adapter/embedded"
)

// released is the schema that the first release had. What comes after it must be put
// onto a database that is large and in use.
const released = 99

// large are the tables that grow with what is exchanged.
var large = []string{"message", "attachment", "answered", "placed", "used_id", "receipt", "refusal", "queue", "outbox", "relayed", "journal_pending", "journal_entry", "journal_block", "journal_opening", "journal_open", "journal_term", "journal_tally", "journal_tile", "open_term"}

// rowsOfTables is how many rows each large table has under a migration: MEZHVED_ROWS.
func rowsOfTables(t testing.TB) int {
	text := os.Getenv("MEZHVED_ROWS")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MEZHVED_ROWS=%s: a number from 1 on is expected", text)
	}
	return n
}

// atReleased is a database with the schema of the first release.
func atReleased(t *testing.T) (url string, p *goose.Provider) {
	t.Helper()
	url = embedded.Test(t, func(context.Context, string) error { return nil })
	p, closeAll, err := migrator(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeAll)
	if _, err := p.UpTo(t.Context(), released); err != nil {
		t.Fatal(err)
	}
	return url, p
}

// A migration changes what PostgreSQL knows of a large table, and not the table: its
// files stay, and not one of its rows is read. So its locks last as long with ten million
// messages as with none: what it takes is told. MEZHVED_ROWS says how many rows there are.
func TestMigrationsLeaveLargeTablesAlone(t *testing.T) {
	rows := rowsOfTables(t)
	ctx := t.Context()
	url, p := atReleased(t)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, table := range large {
		fill(t, conn, table, rows)
	}
	if _, err := conn.Exec(ctx, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	// A session tells what it has read when it rests, which may be some migrations later:
	// what counts is the sum, and what of it is nobody's fault.
	told, first := map[string]int64{}, look(t, conn)
	for {
		before := look(t, conn)
		began := time.Now()
		result, err := p.UpByOne(ctx)
		if err != nil {
			if v, bad := p.GetDBVersion(ctx); bad == nil && !errors.Is(err, context.Canceled) {
				if sources := p.ListSources(); sources[len(sources)-1].Version == v {
					return // that was all
				}
			}
			t.Fatal(err)
		}
		took := time.Since(began)
		after := look(t, conn)
		t.Logf("%s: %s with %d rows in each large table", result.Source.Path, took.Round(time.Microsecond), rows)
		for table, was := range before {
			is, there := after[table]
			if builtBeside(t, result.Source.Path, table) {
				told[table] += 2 * int64(rows)
			}
			if path.Base(result.Source.Path) == counts[table] {
				told[table] += int64(rows)
			}
			untold := is.read - first[table].read - told[table]
			switch {
			case !there:
				t.Errorf("%s: %s has gone; the release before needs it", result.Source.Path, table)
			case is.node != was.node:
				t.Errorf("%s: %s was written anew, row by row, under a lock that stops everything", result.Source.Path, table)
			case untold >= int64(rows) && !emptied[table]: // what is emptied all the time is small, and 00100 reads it for an index
				t.Errorf("%s: %d rows of %s were read", result.Source.Path, untold, table)
				told[table] += untold
			}
		}
	}
}

// builtBeside says whether a migration builds an index on a table while everybody goes on
// to write there, which reads the table twice and stops nobody.
func builtBeside(t testing.TB, file, table string) bool {
	t.Helper()
	text, err := fs.ReadFile(migrations, "migrations/"+path.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`CREATE INDEX CONCURRENTLY \w+ ON ` + table + `\b`).Match(text)
}

// stand is how a table stands: the file that it is in, and how many of its rows were ever
// read one after the other.
type stand struct {
	node uint32
	read int64
}

// look looks at the large tables and their partitions.
func look(t testing.TB, conn *pgx.Conn) map[string]stand {
	t.Helper()
	out := map[string]stand{}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // what other sessions have read is told when they rest
		rows, _ := conn.Query(t.Context(), `SELECT pg_stat_force_next_flush(), c.relname, pg_relation_filenode(c.oid), coalesce(s.seq_tup_read, 0)
			FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
			WHERE c.relkind = 'r' AND (c.relname = ANY ($1) OR i.inhparent::regclass::text = ANY ($1))`, large)
		now := map[string]stand{}
		var name string
		var s stand
		if _, err := pgx.ForEachRow(rows, []any{nil, &name, &s.node, &s.read}, func() error { now[name] = s; return nil }); err != nil {
			t.Fatal(err)
		}
		same := len(now) == len(out)
		for name, s := range now {
			same = same && out[name] == s
		}
		if out = now; same || time.Now().After(end) {
			return out
		}
	}
}

// fill puts rows into a table that mean nothing and are of its types.
func fill(t testing.TB, conn *pgx.Conn, table string, n int) {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `SELECT column_name, udt_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 AND is_nullable = 'NO' AND is_identity = 'NO' AND column_default IS NULL`, table)
	var names, values []string
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error {
		value, ok := map[string]string{"uuid": "gen_random_uuid()", "text": "'t' || g", "int2": "1", "int4": "g", "int8": "g", "bool": "false", "jsonb": "'{}'", "json": "'{}'", "bytea": "sha256(g::text::bytea)",
			"timestamptz": "now()", "date": "'2026-01-01'::date", "_timestamptz": "ARRAY[now()]", "_int8": "ARRAY[g]", "_int4": "ARRAY[g]"}[kind]
		if !ok {
			return fmt.Errorf("column %s of %s has the type %s", name, table, kind)
		}
		names, values = append(names, pgx.Identifier{name}.Sanitize()), append(values, value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatalf("there is no table %s: it was renamed, or has gone", table)
	}
	// Tables whose partitions the sequencer makes get one for all.
	var partitioned bool
	if err := conn.QueryRow(t.Context(), "SELECT relkind = 'p' AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = oid) FROM pg_class WHERE relname = $1", table).Scan(&partitioned); err != nil {
		t.Fatal(err)
	}
	if partitioned {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("CREATE TABLE %[1]s_all PARTITION OF %[1]s DEFAULT", table)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(1::bigint, %d) g", table, strings.Join(names, ", "), strings.Join(values, ", "), n)); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
}

// heavy are words in a migration that take long, or that the release before does not
// survive, on a table that has rows.
var heavy = map[string]*regexp.Regexp{
	"changes the type of a column":                                    regexp.MustCompile(`(?i)ALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b`),
	"has a default that is computed for each row":                     regexp.MustCompile(`(?i)ADD\s+COLUMN[^,;]*DEFAULT[^,;]*(random|gen_random_uuid|clock_timestamp|nextval)\s*\(`),
	"validates a constraint over all rows (NOT VALID, then VALIDATE)": regexp.MustCompile(`(?i)ADD\s+CONSTRAINT\s+\w+\s+(CHECK|FOREIGN)(?:[^;]*)`),
	"reads all rows for NOT NULL":                                     regexp.MustCompile(`(?i)ALTER\s+(COLUMN\s+)?\w+\s+SET\s+NOT\s+NULL`),
	"takes a column away from nodes of the release before":            regexp.MustCompile(`(?i)\bDROP\s+COLUMN\b`),
	"takes a table away from nodes of the release before":             regexp.MustCompile(`(?i)\bDROP\s+TABLE\b`),
	"renames what nodes of the release before ask for":                regexp.MustCompile(`(?i)\bRENAME\b`),
	"writes a table anew":                                             regexp.MustCompile(`(?i)\b(CLUSTER|VACUUM\s+FULL|REINDEX)\b`),
	"empties a table":                                                 regexp.MustCompile(`(?i)\bTRUNCATE\b`),
}

// The same by the words, for what no row of a test shows: what nodes of the release before
// ask for stays, and no index is built on a table that has grown.
func TestMigrationsAreAdditive(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	comment := regexp.MustCompile(`--[^\n]*`)
	index := regexp.MustCompile(`(?i)CREATE\s+(UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?\w+\s+ON\s+(ONLY\s+)?(\w+)`)
	created := regexp.MustCompile(`(?i)CREATE\s+TABLE\s+(\w+)`)
	checked := 0
	for _, file := range files {
		version, _ := strconv.ParseInt(strings.SplitN(strings.TrimPrefix(file, "migrations/"), "_", 2)[0], 10, 64)
		text, err := fs.ReadFile(migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		up, down, ok := strings.Cut(string(text), "-- +goose Down")
		if !ok || strings.TrimSpace(comment.ReplaceAllString(down, "")) == "" {
			t.Errorf("%s has no way back: a statement, or an exception that says why", file)
		}
		if version <= released {
			continue
		}
		checked++
		up = comment.ReplaceAllString(up, "")
		own := map[string]bool{}
		for _, m := range created.FindAllStringSubmatch(up, -1) {
			own[m[1]] = true
		}
		for what, words := range heavy {
			if found := words.FindString(up); found != "" && !strings.Contains(strings.ToUpper(found), "NOT VALID") {
				t.Errorf("%s %s: %s", file, what, found)
			}
		}
		for _, m := range index.FindAllStringSubmatch(up, -1) {
			if m[3] != "" && slices.Contains(daily, m[4]) {
				continue // it names an index for partitions to come, and reads none
			}
			if table := m[4]; !own[table] && slices.Contains(large, table) && m[2] == "" && !emptied[table] {
				t.Errorf("%s builds an index on %s under a lock that stops writes: CREATE INDEX CONCURRENTLY (-- +goose NO TRANSACTION), or not at all", file, table)
			}
		}
	}
	if checked == 0 {
		t.Logf("no migration has come since the schema %d", released)
	}
}

// counts are migrations that read a table, and stop nobody from writing there meanwhile.
var counts = map[string]string{"queue": "00147_queue_counted.sql"}

// emptied are tables that have rows for moments only: what is on its way.
var emptied = map[string]bool{"relayed": true, "outbox": true, "journal_pending": true}

// A table that somebody reads for long, a backup for one, does not stop everybody else
// while a migration waits for it: it stands in line for a second and a half at a time.
func TestAMigrationDoesNotHoldUpAccepts(t *testing.T) {
	ctx := t.Context()
	url, _ := atReleased(t)
	// One reads, as pg_dump does; another one writes all the time.
	reader, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(ctx)
	tx, err := reader.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "SELECT count(*) FROM journal_pending"); err != nil { // 00101 alters it
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Migrate(ctx, url) }()
	writer, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(ctx)
	waited := false
	for end := time.Now().Add(2 * time.Minute); !waited && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := writer.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))").Scan(&waited); err != nil {
			t.Fatal(err)
		}
	}
	if !waited {
		t.Fatal("the migration has not come to the table: does any of them alter one?")
	}
	// Writes come through, although the migration cannot.
	for range 3 {
		if _, err := writer.Exec(ctx, `INSERT INTO journal_pending (event) VALUES ('{}')`); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("the migration has ended while the table was held: %v", err)
	default:
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Back to the release before: what cannot go back says so, by its name, and changes
// nothing; and the newer schema is refused by a program that does not know it, with what
// to do.
func TestASchemaGoesBackOrSaysWhyNot(t *testing.T) {
	url := embedded.Test(t, Migrate)
	ctx := t.Context()
	have, want, err := SchemaVersions(ctx, url)
	if err != nil || have != want {
		t.Fatal(have, want, err)
	}
	if _, err := Downgrade(ctx, url, have); !errors.Is(err, ErrSchema) {
		t.Errorf("back to where it is: %v", err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if have > released {
		// A connection that is lost on the way is no reason not to go back.
		holder, err := conn.Begin(ctx)
		if err == nil {
			_, err = holder.Exec(ctx, "LOCK TABLE goose_db_version IN SHARE MODE")
		}
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := Downgrade(ctx, url, have-1)
			ended <- err
		}()
		for cut := false; !cut; { // within a transaction the view stays as it was when first looked at
			if _, err := holder.Exec(ctx, "SELECT pg_stat_clear_snapshot()"); err != nil {
				t.Fatal(err)
			}
			if err := holder.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&cut); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err == nil || errors.Is(err, ErrOneWay) || !isCode(err, "57P01") {
			t.Errorf("a lost connection: %v", err)
		}
		if err := holder.Rollback(ctx); err != nil {
			t.Fatal(err)
		}

		exec("INSERT INTO journal_pending (packed) VALUES ('x')")
		now, err := Downgrade(ctx, url, released)
		if !errors.Is(err, ErrOneWay) || !strings.Contains(err.Error(), "events wait that the release before cannot read") || strings.Contains(err.Error(), "SQLSTATE") || now <= released {
			t.Errorf("back over what the release before cannot read: at %d, %v", now, err)
		}
		exec("DELETE FROM journal_pending")
		if now, err = Downgrade(ctx, url, released); err != nil || now != released {
			t.Errorf("back: at %d, %v", now, err)
		}
		if err := Migrate(ctx, url); err != nil { // and forth
			t.Error(err)
		}
	}
	exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	if err := Migrate(ctx, url); err != nil && !errors.Is(err, ErrSchema) {
		t.Errorf("migrating a newer schema: %v", err)
	}
	_, err = Open(ctx, Options{URL: url})
	if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "Start the newer release on this node too") || !strings.Contains(err.Error(), "mezhved schema down --to") {
		t.Errorf("opening a newer schema: %v", err)
	}
}

// Autovacuum is at work on a table that is busy for as long as the table is large. It makes
// way for a migration, and the migration waits for long enough to be made way for.
func TestAutovacuumMakesWayForAMigration(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	url, p := atReleased(t)
	if _, err := p.UpTo(ctx, 171); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A page in a tenth of a second, and thousands of them: 00176 alters the table.
	fill(t, conn, "open_term", 100_000)
	for _, sql := range []string{
		"ALTER TABLE open_term SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 1)",
		"DELETE FROM open_term", "SELECT pg_stat_force_next_flush()", "SELECT 1",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for works := false; !works; time.Sleep(20 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'open_term'::regclass)").Scan(&works); err != nil {
			t.Fatal(err)
		}
	}
	if err := Migrate(ctx, url); err != nil {
		t.Error(err)
	}
	// What is left to clear is not to keep one of the server's few workers.
	if _, err := conn.Exec(context.WithoutCancel(ctx), "ALTER TABLE open_term RESET (autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)"); err != nil {
		t.Error(err)
	}
}
