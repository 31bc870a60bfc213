package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mezhved/adapter/journal/clerk"
)

// Snapshot is the database at one moment, for a backup: what Dump writes, and what is
// read here, are of the same commit. It holds one transaction open until Close, which
// keeps dead rows from being cleared away meanwhile.
type Snapshot struct {
	At         time.Time  // of the server's clock
	Head       clerk.Head // of the journal; no origin: there is none yet
	Checkpoint []byte     // the latest that was signed; nil: none was
	Files      []SnapshotFile
	Position   string // of the write-ahead log
	Schema     int64
	Server     string

	url  string
	name string
	conn *pgx.Conn
	tx   pgx.Tx
}

// SnapshotFile is a file of the file store that the index names.
type SnapshotFile struct {
	Folder uuid.UUID
	Blob   string
	Held   bool // by a message that waits
}

// TakeSnapshot begins one. url names the server itself or a pooler of transactions.
func TakeSnapshot(ctx context.Context, url string) (s *Snapshot, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	connecting(config, migrating, nil)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s = &Snapshot{url: url, conn: conn}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("taking a snapshot of the database: %w", err)
		}
	}()
	if s.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
		return nil, err
	}
	if _, err = s.tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		return nil, err
	}
	if err = s.tx.QueryRow(ctx, `SELECT pg_export_snapshot(), now(), current_setting('server_version'),
		(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text,
		(SELECT max(version_id) FROM goose_db_version WHERE is_applied)`).Scan(&s.name, &s.At, &s.Server, &s.Position, &s.Schema); err != nil {
		return nil, err
	}
	if s.Head, err = readHead(ctx, s.tx, headSQL); errors.Is(err, pgx.ErrNoRows) {
		s.Head = clerk.Head{}
	} else if err != nil {
		return nil, err
	}
	if err = s.tx.QueryRow(ctx, "SELECT (SELECT note FROM journal_checkpoint WHERE NOT cosigned ORDER BY id DESC LIMIT 1)").Scan(&s.Checkpoint); err != nil {
		return nil, err
	}
	rows, _ := s.tx.Query(ctx, `SELECT coalesce(folder, id), blob, EXISTS (SELECT FROM message_file m WHERE m.file = f.id) FROM file f WHERE blob <> ''
		UNION ALL SELECT folder, blob, false FROM file_part`)
	s.Files, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (f SnapshotFile, err error) {
		return f, r.Scan((*[16]byte)(&f.Folder), &f.Blob, &f.Held)
	})
	return s, err
}

// Close ends it. It may be called twice.
func (s *Snapshot) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return s.conn.Close(ctx)
}

// Dump writes the database at the moment of the snapshot, in pg_dump's custom format,
// not compressed: whoever keeps it knows what has not changed since. program is pg_dump,
// of the server's release or newer.
func (s *Snapshot) Dump(ctx context.Context, program string, w io.Writer) error {
	return tool(ctx, s.url, nil, w, program, "--format=custom", "--compress=0", "--snapshot="+s.name)
}

// tool runs a client program of PostgreSQL against a database. No password stands in
// what other users of the machine see of its call.
func tool(ctx context.Context, conn string, in io.Reader, out io.Writer, program string, args ...string) error {
	dsn, password, err := forLibpq(conn)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(args, "--dbname="+dsn, "--no-password")...)
	cmd.Env = append(os.Environ(), "PGAPPNAME=mezhved", "LC_ALL=C")
	if password != "" {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, lastWords(said.String()))
	}
	return nil
}

// lastWords are the last lines that a program said.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "; ")
}

var passwordWord = regexp.MustCompile(`(?i)\bpassword\s*=\s*('(?:\\.|[^'\\])*'|\S+)`)

// forLibpq takes out of a connection string what only our driver understands, and the
// password.
func forLibpq(conn string) (dsn, password string, err error) {
	config, err := pgconn.ParseConfig(conn)
	if err != nil {
		return "", "", err
	}
	if !strings.HasPrefix(conn, "postgres://") && !strings.HasPrefix(conn, "postgresql://") {
		return passwordWord.ReplaceAllString(conn, ""), config.Password, nil
	}
	u, err := url.Parse(conn)
	if err != nil {
		return "", "", err
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for name := range q {
		if name == "password" || strings.HasPrefix(name, "pool_") || strings.HasSuffix(name, "_cache_capacity") || name == "default_query_exec_mode" || name == "min_read_buffer_size" {
			q.Del(name)
		}
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String(), config.Password, nil
}

// restoring is the table that says that a restore has not come to its end. It is in
// public, goes with everything, and is in no dump.
const restoring = "mezhved_restoring"

// ErrNotEmpty says that a database has tables, and no restore has begun in it.
var ErrNotEmpty = errors.New("the database is not empty")

// RestoreDump fills an empty database from what Dump wrote. program is pg_restore. One
// that was killed begins again, and until it has come to its end no gateway opens that
// database. Then the log is stopped: nothing is accepted before somebody has found out
// what was signed since. why says so.
func RestoreDump(ctx context.Context, url, program, backup, why string, dump io.Reader) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	connecting(config, migrating, nil)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var begun, tables bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('public."+restoring+"') IS NOT NULL, EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')").Scan(&begun, &tables); err != nil {
		return err
	}
	if tables && !begun {
		return fmt.Errorf("%w: a backup is restored into a new one (CREATE DATABASE), never over what may still be of use", ErrNotEmpty)
	}
	if err := endOthers(ctx, conn); err != nil {
		return err
	}
	// At once: without the table a gateway would take the empty schema for its own.
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range []string{"DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public", "CREATE TABLE public." + restoring + " (backup text NOT NULL)"} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO public."+restoring+" VALUES ($1)", backup)
		return err
	})
	if err != nil {
		return fmt.Errorf("making room for what is restored: %w", err)
	}
	args := []string{"--exit-on-error", "--no-owner"}
	var auditor bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mezhved_auditor')").Scan(&auditor); err != nil {
		return err
	}
	if !auditor {
		args = append(args, "--no-privileges")
	}
	if err := tool(ctx, url, dump, io.Discard, program, args...); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE public.journal_head SET stopped = $1", why)
		if err == nil {
			_, err = tx.Exec(ctx, "DROP TABLE public."+restoring)
		}
		return err
	})
}

// endOthers makes this session the only one that restores into the database, as long
// as it lasts. A restore that was killed may have left its pg_restore at work, which
// would go on in what the next one fills: its session is ended.
func endOthers(ctx context.Context, conn *pgx.Conn) error {
	var alone bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, lockRestore).Scan(&alone); err != nil {
		return err
	}
	if !alone {
		return errors.New("another mezhved restore is filling this database: let it come to its end, or end it, and run this one again")
	}
	for {
		var left int
		const sql = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore'`
		if err := conn.QueryRow(ctx, sql).Scan(&left); err != nil {
			return fmt.Errorf("ending what a killed restore has left at work: %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkRestored refuses a database that a restore has not come to an end in.
func checkRestored(ctx context.Context, q querier) error {
	var begun bool
	if err := q.QueryRow(ctx, "SELECT to_regclass('public."+restoring+"') IS NOT NULL").Scan(&begun); err != nil {
		return err
	}
	if begun {
		return fmt.Errorf("%w: a restore into it was begun and has not ended: run mezhved restore again, it begins anew", ErrSchema)
	}
	return nil
}
