package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"mezhved/adapter"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of a store. Only URL is needed.
type Options struct {
	// URL is the connection string: postgres://… or key=value words, with TLS
	// as libpq has it (sslmode, sslrootcert, sslcert, sslkey).
	URL string
	// Node is the name of this gateway node in the events that the store makes
	// by itself.
	Node string
	// Writers is the number of accept batches that may be in commit at a time,
	// 1 when zero. 2 help where one is busy all the time.
	Writers int
	// Connections bounds the connections for polls, and again those for all
	// else beside the writers; 8 per core when zero.
	Connections int
	// AcceptTimeout bounds how long an accept is tried again after lost
	// connections, 10 s when zero. A caller's own deadline may be shorter.
	AcceptTimeout time.Duration
	// StatementTimeout is PostgreSQL's statement_timeout, 15 s when zero.
	StatementTimeout time.Duration
	// DedupLife is how long a MessageID is remembered after its acceptance, 7
	// days when zero. It must exceed the shelf life of MessageIDs.
	DedupLife time.Duration
	// Keep is how long messages are kept, in whole days; zero keeps them for
	// ever. Days with messages that still wait in a queue stay.
	Keep time.Duration
	// KeepRefusals is how long the bytes of refused calls are kept, 30 days
	// when zero.
	KeepRefusals time.Duration
	// Samples are bytes that many messages will repeat, such as the registered
	// certificates in base64. They join the compression dictionary.
	Samples [][]byte
	// Log gets what an operator should know, slog.Default when nil.
	Log *slog.Logger
}

// Store is an adapter.Store on PostgreSQL.
type Store struct {
	opts Options
	log  *slog.Logger
	pool *pgxpool.Pool
	// polls are the sessions of leases and acknowledgements. Their plans are
	// made once, often while a queue is empty, and must still be right when it
	// holds a million: there they are told never to read the table through.
	polls *pgxpool.Pool
	// Calls that come together are served together.
	leases line[int32, *lease]          // by queue
	acks   line[adapter.Mnemonic, *ack] // by system

	names  names
	bodies *bodies
	days   days
	fresh  fresh
	marks  marks
	health healthCheck
	sweeps sweeps

	accepts chan *accept
	writing sync.WaitGroup
	stop    context.CancelFunc
	stopped chan struct{} // closed when no writer is left
	close   sync.Once
}

var _ adapter.Store = (*Store)(nil)

// ErrSchema says that the database has not the schema of this program.
var ErrSchema = errors.New("the database schema is not that of this program")

// Migrate brings the schema of the database up to date. Several processes may
// do it at the same time: an advisory lock lets one go first.
func Migrate(ctx context.Context, url string) error {
	p, closeAll, err := migrator(url)
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var d days
	return d.ensure(ctx, pool, time.Now())
}

func migrator(url string) (*goose.Provider, func(), error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDB(*config)
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return p, func() { closeDB(db) }, nil
}

func closeDB(db *sql.DB) { db.Close() }

// Open connects and checks that the schema is that of this program; an
// ErrSchema means that Migrate is to be called first. Close it after the last
// call has returned.
func Open(ctx context.Context, opts Options) (*Store, error) {
	orDefault(&opts.Writers, 1)
	orDefault(&opts.Connections, 8*runtime.GOMAXPROCS(0))
	orDefault(&opts.AcceptTimeout, 10*time.Second)
	orDefault(&opts.StatementTimeout, 15*time.Second)
	orDefault(&opts.DedupLife, 7*24*time.Hour)
	orDefault(&opts.KeepRefusals, 30*24*time.Hour)
	s := &Store{opts: opts, log: opts.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := checkSchema(ctx, opts.URL); err != nil {
		return nil, err
	}
	config, err := poolConfig(opts)
	if err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	config = config.Copy()
	config.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	if s.polls, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		s.pool.Close()
		return nil, err
	}
	if s.bodies, err = openBodies(ctx, s.pool, opts.Samples); err == nil {
		err = s.days.ensure(ctx, s.pool, time.Now())
	}
	if err != nil {
		s.polls.Close()
		s.pool.Close()
		return nil, err
	}
	s.leases.run, s.acks.run = s.lease, s.ack
	s.startWriters()
	return s, nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
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

// poolConfig reads the connection string and adds what every session of ours
// needs. What the string itself sets is left as it is.
func poolConfig(opts Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(opts.Connections + opts.Writers)
	config.MinIdleConns = 1
	config.HealthCheckPeriod = 15 * time.Second
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	set := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    "mezhved",
		"statement_timeout":                   strconv.FormatInt(opts.StatementTimeout.Milliseconds(), 10),
		"lock_timeout":                        "5000",
		"idle_in_transaction_session_timeout": "30000",
		"default_transaction_isolation":       "read committed",
		"timezone":                            "UTC",
		"datestyle":                           "ISO, YMD", // what values in text are read as
		"work_mem":                            "32MB",     // a batch of bodies is unnested in memory
	} {
		if _, ok := set[name]; !ok {
			set[name] = value
		}
	}
	// A promise that is answered before it is on the disk is none. A test
	// server without fsync may do as it likes.
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off' AND current_setting('fsync') = 'on'")
		return err
	}
	return config, nil
}

// Close ends the writers after the batch in hand, and the connections. An
// Accept that still waits then returns an error. It may be called twice.
func (s *Store) Close() {
	s.close.Do(func() {
		s.stop()
		s.writing.Wait()
		close(s.stopped)
		s.leases.working.Wait()
		s.acks.working.Wait()
		s.polls.Close()
		s.pool.Close()
		s.bodies.close()
	})
}
