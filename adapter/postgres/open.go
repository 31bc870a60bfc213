package postgres

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/vault"
)

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
	// TermGrace is how long after a moment it is told to be past: what was accepted
	// before it may still be on its way into the log. It should be longer than
	// AcceptTimeout. Default: 20s.
	TermGrace time.Duration
	// StatementTimeout is PostgreSQL's statement_timeout, 15 s when zero.
	StatementTimeout time.Duration
	// Term is how long a node leads the journal, the feed or a shard of the outbox
	// without renewing its lease, 10 s when zero: the longest that their work rests
	// after a leader's host has died.
	Term time.Duration
	// DedupLife is how long a MessageID is remembered after its acceptance, 7
	// days when zero. It must exceed the shelf life of MessageIDs.
	DedupLife time.Duration
	// Keep is how long messages are kept, in whole days; zero keeps them for
	// ever. Days with messages that still wait in a queue stay.
	Keep time.Duration
	// KeepRefusals is how long the bytes of refused calls are kept, 30 days
	// when zero.
	KeepRefusals time.Duration
	// Samples are bytes that many messages will repeat: the registered certificates in
	// base64, what the contents of a service have in common. They join the compression
	// dictionary, which is not sealed.
	Samples [][]byte
	// Vault has the keys that content is sealed with. Nil: content is stored as it
	// is, and what others have sealed cannot be read.
	Vault  *vault.Vault
	tracer pgx.QueryTracer // sees the statements; for tests

	// Log gets what an operator should know, slog.Default when nil.
	Log *slog.Logger
}

// Store is an adapter.Store on PostgreSQL.
type Store struct {
	opts Options
	log  *slog.Logger
	pool *sessions
	// polls are the sessions of leases and acknowledgements. Their plans are
	// made once, often while a queue is empty, and must still be right when it
	// holds a million (planned).
	polls *sessions
	// works are the sessions of what is at work all the time, and never much of it at once:
	// the sequencer, terms and alarms. Each session plans what it runs by itself, and anew
	// when a table has been vacuumed, so they should be few.
	works *sessions
	// writes are those of writers and of the commits of relays, whose plans are made once as
	// those of polls are: left to itself PostgreSQL finds that a plan for the few rows of a
	// small batch would be a little cheaper, and makes one for each.
	writes *sessions
	// Calls that come together are served together: polls by queue and selector, Acks all.
	leases line[leaseLine, *lease]
	acks   line[struct{}, *ack]

	names  names
	bodies *bodies
	days   days
	leads  *leads
	fresh  fresh
	lanes  lanes
	leased leasedCounts
	coming coming
	apart  apart
	health healthCheck
	sweeps sweeps
	gates  gates
	tail   tail
	usual  struct{ accepts, relays, uses, acks usual }
	left   [adapter.Shards]leftQueues

	batches atomic.Int64 // that this node's relays have published, in part at least

	answers answers      // about revocation
	handed  handedOut    // to be acknowledged
	sealing atomic.Bool  // content is sealed from now on
	naming  atomic.Bool  // and whom refused calls were about is told
	keep    atomic.Int64 // how long retention has rows of messages kept; 0: as Options.Keep says

	accepts  chan *accept
	writing  sync.WaitGroup
	stop     context.CancelFunc
	unheeded func()        // the vault asks this database no more; nil: there is no vault
	stopped  chan struct{} // closed when no writer is left
	close    sync.Once
}

var _ adapter.Store = (*Store)(nil)

// Open connects and checks that the schema is that of this program; an
// ErrSchema means that Migrate is to be called first. Close it after the last
// call has returned.
func Open(ctx context.Context, opts Options) (*Store, error) {
	orDefault(&opts.Writers, 1)
	orDefault(&opts.Connections, 8*runtime.GOMAXPROCS(0))
	orDefault(&opts.AcceptTimeout, 10*time.Second)
	orDefault(&opts.TermGrace, 20*time.Second)
	orDefault(&opts.StatementTimeout, statementTimeout)
	orDefault(&opts.DedupLife, 7*24*time.Hour)
	orDefault(&opts.KeepRefusals, 30*24*time.Hour)
	s := &Store{opts: opts, log: opts.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.pool, err = openSessions(ctx, opts); err != nil {
		return nil, err
	}
	if err := errors.Join(checkRestored(ctx, s.pool), checkSchema(ctx, opts.URL)); err != nil {
		s.closeSessions()
		return nil, err
	}
	if s.polls, err = openSessions(ctx, opts, planned...); err != nil {
		s.closeSessions()
		return nil, err
	}
	few := opts
	few.Connections = writesSessions
	if s.writes, err = openSessions(ctx, few, planned...); err != nil {
		s.closeSessions()
		return nil, err
	}
	few.Connections, few.Writers = worksSessions, 0
	if s.works, err = openSessions(ctx, few); err != nil {
		s.closeSessions()
		return nil, err
	}
	s.leads = newLeads(s.pool, opts, s.log)
	if s.bodies, err = openBodies(ctx, s.pool, opts.Samples); err == nil {
		err = s.days.ensure(ctx, s.pool, time.Now())
	}
	if err == nil {
		err = s.openContent(ctx)
	}
	if err == nil {
		err = s.openGates(ctx)
	}
	if err == nil && opts.Vault != nil {
		s.unheeded = opts.Vault.Heed(&witness{s.pool, opts.Vault})
		if err = s.checkKeys(ctx, time.Now()); err != nil {
			s.unheeded()
		}
	}
	if err != nil {
		s.closeSessions()
		return nil, explained(err)
	}
	s.leases.run, s.acks.run = s.lease, s.ack
	s.startWriters()
	return s, nil
}

// closeSessions closes those that there are, the narrowest first.
func (s *Store) closeSessions() {
	for _, of := range []*sessions{s.works, s.writes, s.polls, s.pool} {
		if of != nil {
			of.Close()
		}
	}
}

// writesSessions bounds writes, beside the writers, and worksSessions works: each shard's
// relay, the sequencer, terms and alarms have one at most, and may want another while one to
// a host that is cut off closes.
const (
	writesSessions = 2 * adapter.Shards
	worksSessions  = 2 * 3
)

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
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
		if s.unheeded != nil {
			s.unheeded()
		}
		s.closeSessions()
		s.bodies.close()
	})
}
