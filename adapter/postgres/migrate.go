package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
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
		_, err := p.Up(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrating the database: %w", explained(err))
	}
	var d days
	return explained(d.ensure(ctx, pool, time.Now()))
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
	ask := func(ctx context.Context) (got bool, err error) { // again and again: a lock that is held is got again
		err = conn.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", pgx.QueryExecModeExec, lock.DefaultLockID).Scan(&got)
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
	db := stdlib.OpenDB(*config)
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
		return fmt.Errorf("%w: it is at version %d of a newer program, this one knows %d; upgrade this program", ErrSchema, have, want)
	}
	return nil
}
