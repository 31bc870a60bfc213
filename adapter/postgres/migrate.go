package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrSchema says that the database has not the schema of this program.
var ErrSchema = errors.New("the database schema is not that of this program")

// Migrate brings the schema of the database up to date. Several processes may
// do it at the same time: one goes first.
func Migrate(ctx context.Context, url string) error {
	pool, err := openSessions(ctx, Options{URL: url})
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := checkRestored(ctx, pool); err != nil {
		return err
	}
	p, closeAll, err := migrator(url)
	if err != nil {
		return err
	}
	defer closeAll()
	err = alone(ctx, url, func(ctx context.Context) error {
		return patiently(ctx, pool, func() error { _, err := p.Up(ctx); return err })
	})
	if err != nil {
		return fmt.Errorf("migrating the database: %w", explained(err))
	}
	var d days
	return explained(d.ensure(ctx, pool, time.Now()))
}

const (
	// standsInLine is how long a migration may wait for a lock on a table: whoever comes
	// after it waits behind it, and so accepts would. It is more than a server's
	// deadlock_timeout (1s), after which autovacuum is told to make way, which otherwise
	// has a large table for longer than our patience.
	standsInLine = 1500 * time.Millisecond
	// between is how long everybody else has the tables before it tries again.
	between = 3 * time.Second
	// patience is how long it goes on to try.
	patience = 10 * time.Minute
)

// patiently repeats work that did not get a lock in time. A migration is one transaction,
// so what did not get its lock has done nothing.
func patiently(ctx context.Context, pool *sessions, work func() error) error {
	for began := time.Now(); ; {
		err := work()
		if !isCode(err, "55P03") {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("for %s a transaction of somebody else has held a table that is to be changed; end it, or wait for it (a backup, a report): %s: %w", patience, holders(ctx, pool), err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(between):
		}
	}
}

// holders names the oldest transactions.
func holders(ctx context.Context, pool *sessions) string {
	rows, _ := pool.Query(ctx, `SELECT format('process %s (%s) since %s', pid, application_name, xact_start) FROM pg_stat_activity
		WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 3`)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err.Error()
	}
	return strings.Join(list, "; ")
}

// ErrOneWay says that a release cannot be gone back from, and why: what stands in the
// database has no place in the schema of before. To try again does not help.
var ErrOneWay = errors.New("the database cannot go back")

// Downgrade takes back the migrations after a version, for the release that knew no more:
// the last one first, each whole or not at all. What cannot go back says so by its name
// and leaves everything as it is from there on. Any other trouble, such as a lost
// connection, does so too, and the same call goes on from there. No gateway may run.
func Downgrade(ctx context.Context, url string, to int64) (now int64, err error) {
	pool, err := openSessions(ctx, Options{URL: url})
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	p, closeAll, err := migrator(url)
	if err != nil {
		return 0, err
	}
	defer closeAll()
	if now, err = p.GetDBVersion(ctx); err != nil {
		return 0, err
	}
	if to >= now || to < 1 {
		return now, fmt.Errorf("%w: it is at version %d, and %d is not before it", ErrSchema, now, to)
	}
	err = alone(ctx, url, func(ctx context.Context) error {
		return patiently(ctx, pool, func() error { _, err := p.DownTo(ctx, to); return err })
	})
	if at, bad := p.GetDBVersion(context.WithoutCancel(ctx)); bad != nil {
		err = errors.Join(err, bad)
	} else {
		now = at
	}
	var pg *pgconn.PgError
	switch {
	case err == nil:
	case errors.As(err, &pg) && pg.Code == raisedCode: // a migration's own sentence, without the migrator's words round it
		err = fmt.Errorf("%w beyond version %d: %s", ErrOneWay, now, pg.Message)
	case classify(err) == data:
		err = fmt.Errorf("%w beyond version %d: %w", ErrOneWay, now, err)
	default:
		err = fmt.Errorf("taking back the migration beyond version %d: %w", now, explained(err))
	}
	return now, err
}

// SchemaVersions are the version that the database has, and the one that this program
// needs.
func SchemaVersions(ctx context.Context, url string) (have, want int64, err error) {
	p, closeAll, err := migrator(url)
	if err != nil {
		return 0, 0, err
	}
	defer closeAll()
	return p.GetVersions(ctx)
}

// alone runs work while nobody else migrates. The lock is the one that older
// releases take (goose's own), but of a transaction: so it is one session's behind
// a pooler, too, and ends half a minute after the host that holds it has died.
func alone(ctx context.Context, url string, work func(context.Context) error) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	connecting(config, unheard, nil)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "begin; set local idle_in_transaction_session_timeout = 30000; set local statement_timeout = 0"); err != nil {
		return err
	}
	// Again and again: a lock that is held is got again. By the simple protocol: what is
	// asked by the other one stays open, and with it a snapshot for which an index that is
	// built beside writes would wait for ever.
	ask := func(ctx context.Context) (got bool, err error) {
		err = conn.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", pgx.QueryExecModeSimpleProtocol, lock.DefaultLockID).Scan(&got)
		return got, err
	}
	for deadline := time.Now().Add(5 * time.Minute); ; {
		got, err := ask(ctx)
		if err != nil {
			return err
		}
		if got {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("another process has been migrating for five minutes: wait for it, or look whether it hangs")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	held, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
				if _, err := ask(context.WithoutCancel(ctx)); err != nil {
					cancel(fmt.Errorf("the lock of migrations was lost: %w", err))
				}
			}
		}
	}()
	err = work(held)
	if cause := context.Cause(held); err != nil && cause != nil {
		err = errors.Join(err, cause)
	}
	cancel(nil)
	<-kept
	return err
}

func migrator(url string) (*goose.Provider, func(), error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	connecting(config, migrating, nil)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing stays prepared: a pooler may stand in between
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		if pooled, err := isPooled(ctx, c); err != nil || pooled {
			return err // another's session is not ours to change: there a migration waits as long as the server lets it
		}
		_, err := c.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", standsInLine.Milliseconds()))
		return err
	}))
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return p, func() { db.Close() }, nil
}

func checkSchema(ctx context.Context, url string) error {
	p, closeAll, err := migrator(url)
	if err != nil {
		return err
	}
	defer closeAll()
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	switch {
	case have < want:
		return fmt.Errorf("%w: it is at version %d, needed is %d; migrate it", ErrSchema, have, want)
	case have > want:
		return fmt.Errorf("%w: it is at version %d of a newer release, this program knows %d. Start the newer release on this node too; or, to go back, stop all nodes and take the migrations back with the newer program: mezhved schema down --to %[3]d", ErrSchema, have, want)
	}
	return nil
}
