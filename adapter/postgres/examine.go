package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/vault"
)

// Examination is what a look at a database found.
type Examination struct {
	Version string        // of the server
	Commit  time.Duration // median time of a durable commit of one small row
	Skew    time.Duration // our clock minus the server's
	Within  time.Duration // how wrong Skew may be
	Head    clerk.Head    // of the journal; without an origin when there is none yet

	Vault string    // the identity of the vault that content is sealed with; empty: of none yet
	Since time.Time // from when on; zero: the schema does not know of it yet

	Keys map[string][]byte // of that vault which rows are sealed with, by their files' names, with their marks

	Nodes []adapter.Node // that have told of themselves lately, by name

	ReadOnly bool // nothing can be written, as Errors says

	Advice []Said          // what to change, and why
	Errors []Said          // what cannot work
	Sizes  map[string]Size // the largest tables by name
}

// Said is one thing that was found: a word that stays, and the sentence.
type Said struct{ Code, Text string }

func (x *Examination) bad(code, text string)    { x.Errors = append(x.Errors, Said{code, text}) }
func (x *Examination) advise(code, text string) { x.Advice = append(x.Advice, Said{code, text}) }

// Size is how large a table is.
type Size struct {
	Bytes int64
	Rows  int64 // estimated
}

// minimum is the oldest server that the statements were written for.
const minimum = 150000

// Examine connects to a database as a gateway does and tries what a gateway needs
// of it. Nothing of that stays. An error means that it could not be looked at.
func Examine(ctx context.Context, url string) (*Examination, error) {
	pool, err := openSessions(ctx, Options{URL: url, Connections: 3, Writers: 1}, planned...)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	x := &Examination{Sizes: map[string]Size{}}
	if pool.each != "" {
		x.advise("pooler", "a pooler stands between gateway and PostgreSQL: that works, and costs each statement its settings anew; connect straight where there are connections enough")
	}
	if err := x.settings(ctx, pool); err != nil {
		return nil, err
	}
	if err := x.try(ctx, pool); err != nil {
		return nil, err
	}
	if err := x.clocks(ctx, pool); err != nil {
		return nil, err
	}
	if !x.ReadOnly {
		if err := x.measure(ctx, pool); err != nil {
			return nil, err
		}
	}
	if x.Head, err = readHead(ctx, pool, headSQL); isCode(err, undefinedTable) || errors.Is(err, pgx.ErrNoRows) {
		x.Head = clerk.Head{} // never started yet
	} else if isCode(err, "42501") {
		x.Head = clerk.Head{} // it was said that the role may not read the tables
	} else if err != nil {
		return nil, err
	}
	err = pool.QueryRow(ctx, "SELECT vault, since FROM content_vault").Scan(&x.Vault, &x.Since)
	if err != nil && !isCode(err, undefinedTable) && !isCode(err, "42501") {
		return nil, err
	}
	x.Keys = map[string][]byte{}
	rows, _ := pool.Query(ctx, "SELECT name, mark FROM vault_key")
	var name string
	var mark []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &mark}, func() error { x.Keys[name] = bytes.Clone(mark); return nil })
	if err != nil && !isCode(err, undefinedTable) && !isCode(err, "42501") {
		return nil, err
	}
	if x.Nodes, err = readNodes(ctx, pool); err != nil && !isCode(err, undefinedTable) && !isCode(err, "42501") {
		return nil, err
	}
	return x, x.sizes(ctx, pool)
}

// ExamineKeys holds the folder of a vault against what is sealed with it. strange are files
// that stand in the place of keys which the database has rows of, though it has never seen
// either; elsewhere are keys of which the last rows, of a day for content, are sealed with
// others than the folder has under their names. Nothing is made or noted.
func ExamineKeys(ctx context.Context, url, dir string) (strange, elsewhere []string, err error) {
	pool, err := openSessions(ctx, Options{URL: url, Connections: 3, Writers: 1}, planned...)
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	keys, err := vault.Open(dir, time.Now)
	if err != nil {
		return nil, nil, err
	}
	files, err := keys.Files()
	if err != nil {
		return nil, nil, err
	}
	w, now := &witness{pool, keys}, time.Now()
	if strange, err = w.strange(ctx, files); err == nil {
		elsewhere, err = w.elsewhere(ctx, now, now.AddDate(0, 0, -1))
	}
	if isCode(err, undefinedTable) || isCode(err, undefinedColumn) || isCode(err, "42501") { // of a release before; or it was said that the role may not read
		return nil, nil, nil
	}
	return strange, elsewhere, err
}

// looked are the server's settings that decide whether what is committed stays, and
// whether it stays quick.
var looked = []string{
	"server_version", "server_version_num", "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "autovacuum", "track_counts",
	"autovacuum_naptime", "default_toast_compression", "idle_in_transaction_session_timeout", "max_connections", "superuser_reserved_connections", "data_checksums",
}

// settings looks at the server's settings, and at what of it is short.
func (x *Examination) settings(ctx context.Context, pool *sessions) error {
	rows, _ := pool.Query(ctx, "SELECT name, current_setting(name), reset_val FROM pg_settings WHERE name = ANY($1)", looked)
	now, before := map[string]string{}, map[string]string{}
	var name, current, reset string
	if _, err := pgx.ForEachRow(rows, []any{&name, &current, &reset}, func() error {
		now[name], before[name] = current, reset // our own sessions set some
		return nil
	}); err != nil {
		return fmt.Errorf("asking for the server's settings: %w", err)
	}
	x.Version = now["server_version"]
	x.judge(now, before)
	var used int
	var held int64
	if err := pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
			(SELECT coalesce(max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)), 0)::bigint
			   FROM pg_replication_slots)`).Scan(&used, &held); err != nil {
		return fmt.Errorf("asking what the server holds: %w", err)
	}
	var lies, allowed int64
	var failing bool
	err := pool.QueryRow(ctx, `SELECT (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()), pg_size_bytes(current_setting('max_wal_size')),
		(SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver)`).Scan(&lies, &allowed, &failing)
	if err == nil {
		x.wal(lies, allowed, failing)
	} else if !isCode(err, "42501") { // it is for who may monitor
		return fmt.Errorf("asking for the WAL: %w", err)
	}
	most, _ := strconv.Atoi(now["max_connections"])
	reserved, _ := strconv.Atoi(now["superuser_reserved_connections"])
	x.room(most-reserved, used, held)
	return nil
}

// judge says of the server's settings, as they are and as a new session has them, what
// is wrong.
func (x *Examination) judge(now, before map[string]string) {
	if n, _ := strconv.Atoi(now["server_version_num"]); n < minimum {
		x.bad("version", "PostgreSQL 15 or newer is needed, this is "+now["server_version"])
	}
	if v := now["fsync"]; v != "on" {
		x.bad("fsync", "fsync is "+v+": a power cut loses accepted messages; set it on")
	}
	if v := now["full_page_writes"]; v != "on" {
		x.bad("full-page-writes", "full_page_writes is "+v+": a power cut in the middle of a page's write damages pages beyond repair; set it on")
	}
	if v := before["synchronous_commit"]; v == "off" {
		x.bad("synchronous-commit", "synchronous_commit is off: a crash loses accepted messages; set it on")
	}
	for _, name := range []string{"autovacuum", "track_counts"} {
		if v := now[name]; v != "on" {
			x.bad("autovacuum", name+" is "+v+": dead rows of the queues are never cleaned up, and every poll reads past them; set it on")
		}
	}
	switch v := now["synchronous_standby_names"]; {
	case v == "":
		x.advise("standby", "synchronous_standby_names is empty: the loss of this one server loses what was accepted; name a standby")
	case before["synchronous_commit"] == "local":
		x.bad("synchronous-commit-local", "synchronous_commit is local, and synchronous_standby_names names a standby: no commit waits for it, and a fail-over loses accepted messages; set it on")
	}
	if v := now["autovacuum_naptime"]; !slices.Contains([]string{"1s", "2s", "3s", "4s", "5s"}, v) {
		x.advise("autovacuum-naptime", "autovacuum_naptime is "+v+": with busy queues dead rows pile up; set 5s")
	}
	if v := now["default_toast_compression"]; v != "lz4" {
		x.advise("toast-compression", "default_toast_compression is "+v+": lz4 is several times faster where the server supports it")
	}
	if v := before["idle_in_transaction_session_timeout"]; v == "0" {
		x.advise("idle-timeout", "idle_in_transaction_session_timeout is off: one forgotten transaction stops the clean-up of all queues; set 30s")
	}
	if v := now["data_checksums"]; v == "off" {
		x.advise("checksums", "data_checksums is off: a disk that returns other bytes than were written goes unnoticed; pg_checksums --enable turns it on while the server is down")
	}
}

// slotsHeld is from how many bytes on a replication slot is told that holds WAL back.
const slotsHeld = 4 << 30

// room says what of the server is nearly used up: connections, and the disk by WAL that
// nobody fetches.
func (x *Examination) room(connections, used int, held int64) {
	if need := perNode(); connections-used < need {
		x.advise("connections", fmt.Sprintf("max_connections leaves %d to programs and %d are in use: a gateway of this machine takes up to %d; raise it, or let a pooler stand between", connections, used, need))
	}
	if held > slotsHeld {
		x.advise("slot-holds-wal", fmt.Sprintf("a replication slot holds back %d MB of WAL: its reader is away, and the disk fills up; see pg_replication_slots, bring it back or drop it", held>>20))
	}
}

// wal says when more of it lies on the disk than checkpoints leave, and when it is not archived.
func (x *Examination) wal(lies, most int64, failing bool) {
	if lies > 2*most && lies > slotsHeld {
		x.advise("wal-huge", fmt.Sprintf("%d MB of WAL lie on the server's disk and max_wal_size is %d MB: a replication slot, wal_keep_size or an archive_command that fails holds it back; see pg_replication_slots and pg_stat_archiver", lies>>20, most>>20))
	}
	if failing {
		x.advise("wal-not-archived", "archive_command fails: the WAL stays on the server's disk until it is full, and no backup goes on from it; the server's log says why")
	}
}

// perNode is how many connections a gateway on a machine such as this takes at most.
func perNode() int { return 2*max(8*runtime.GOMAXPROCS(0)+1, 4) + writesSessions + worksSessions + 2 }

// clocks compares the two, by the quickest of some answers.
func (x *Examination) clocks(ctx context.Context, pool *sessions) error {
	for i := range 5 {
		var server time.Time
		before := time.Now()
		if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&server); err != nil {
			return fmt.Errorf("asking for the server's time: %w", err)
		}
		way := time.Since(before)
		if i == 0 || way/2 < x.Within {
			x.Skew, x.Within = before.Round(0).Add(way/2).Sub(server), way/2
		}
	}
	return nil
}

// measure times commits that write nothing but a WAL record.
func (x *Examination) measure(ctx context.Context, pool *sessions) error {
	const tries = 25
	var times []time.Duration
	for range tries {
		start := time.Now()
		if _, err := pool.Exec(ctx, "SELECT pg_logical_emit_message(true, 'mezhved', 'doctor')"); err != nil {
			return fmt.Errorf("timing a commit: %w", err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	x.Commit = times[tries/2]
	if x.Commit > 3*time.Millisecond {
		x.advise("commit-slow", fmt.Sprintf("a durable commit takes %.1f ms: accepting stays below 5 ms only where it takes less than 2; put the WAL on a faster disk", float64(x.Commit.Microseconds())/1000))
	}
	return nil
}

// sizes are those of tables. What was not vacuumed or analyzed yet has its rows in the
// server's statistics alone, which a crash empties; what was, in the catalogue too.
func (x *Examination) sizes(ctx context.Context, pool *sessions) error {
	rows, _ := pool.Query(ctx, `
SELECT c.relname, sum(pg_total_relation_size(coalesce(i.inhrelid, c.oid)))::bigint, sum(greatest(coalesce(p.reltuples, c.reltuples), pg_stat_get_live_tuples(coalesce(i.inhrelid, c.oid)), 0))::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_inherits i ON i.inhparent = c.oid LEFT JOIN pg_class p ON p.oid = i.inhrelid
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition GROUP BY 1 ORDER BY 2 DESC LIMIT 6`)
	var name string
	var s Size
	_, err := pgx.ForEachRow(rows, []any{&name, &s.Bytes, &s.Rows}, func() error {
		x.Sizes[name] = s
		return nil
	})
	return err
}
