package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Bounds of a connection. A host that dies says nothing, and a network may swallow
// what it is given: nobody may wait for longer than this, on either side.
const (
	connectTimeout = 5 * time.Second
	// unheard is how long the other side's kernel may leave data, or a question
	// whether it is there, without an answer.
	unheard = 10 * time.Second
	// slack is how much longer than its statement may take we wait for a server.
	slack = 5 * time.Second
	// migrating is how long one statement of a migration may take.
	migrating = time.Hour
)

// SilentError says that a server has not answered in time although the connection
// is there: the host has died, or packets vanish on the way.
type SilentError struct{ For time.Duration }

func (e *SilentError) Error() string {
	return fmt.Sprintf("the database has not answered for %s: its host or the network is down", e.For.Round(time.Second))
}

// dialer opens connections to hosts on which nothing waits for longer than bound for
// the next byte, whatever the deadline of the caller. silent, if given, is told when
// a server that has spoken does not answer: the other connections to it are as dead.
// One that never spoke tells nothing of them; they may be to another host.
func dialer(to *hosts, bound time.Duration, silent func()) pgconn.DialFunc {
	d := &net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: unheard / 2, Interval: unheard / 4, Count: 2},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			if e := c.Control(func(fd uintptr) { err = setUserTimeout(fd, unheard) }); e != nil {
				return e
			}
			return err
		},
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := to.admit(network, address); err != nil {
			return nil, err
		}
		start := time.Now()
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			to.left(address, time.Since(start) >= given)
			return nil, err
		}
		return &bounded{Conn: c, bound: bound, silent: silent, to: to, address: address}, nil
	}
}

// bounded is a connection whose reads and writes end. The driver's own deadlines,
// which it sets when a context ends, hold as before.
type bounded struct {
	net.Conn
	bound  time.Duration
	silent func()

	to      *hosts
	address string
	spoken  atomic.Bool // the server has

	mu          sync.Mutex
	read, write time.Time // the driver's deadlines; zero: none
}

// given is how long without an answer makes us doubt a server, when a caller with
// a shorter deadline has given up.
const given = 1500 * time.Millisecond

func (c *bounded) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.write = t, t
	return c.Conn.SetDeadline(t)
}

func (c *bounded) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

func (c *bounded) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *bounded) Read(p []byte) (int, error) {
	start := time.Now()
	if err := c.arm(start, &c.read, c.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 && c.spoken.CompareAndSwap(false, true) {
		c.to.heard(c.address)
	}
	return n, c.judge(start, err)
}

func (c *bounded) Write(p []byte) (int, error) {
	start := time.Now()
	if err := c.arm(start, &c.write, c.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	return n, c.judge(start, err)
}

func (c *bounded) Close() error {
	if !c.spoken.Load() {
		c.to.left(c.address, false)
	}
	return c.Conn.Close()
}

// arm sets the earlier deadline of the driver's and ours.
func (c *bounded) arm(now time.Time, driver *time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := now.Add(c.bound)
	if !driver.IsZero() && driver.Before(until) {
		until = *driver
	}
	return set(until)
}

// judge tells a server that is silent from a caller who has no more time.
func (c *bounded) judge(start time.Time, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	waited := time.Since(start)
	switch {
	case waited < given:
	case !c.spoken.Load():
		c.to.left(c.address, true)
	case c.silent != nil:
		c.silent()
	}
	if waited >= c.bound {
		return &SilentError{waited} // no timeout to the driver, which would keep the connection
	}
	return err
}

// statementTimeout is the default of Options.
const statementTimeout = 15 * time.Second

// planned are of the sessions whose plans are made once, while tables may be empty,
// and must be right when they are not (queuerow.go). Left to itself PostgreSQL finds that a plan
// for the very values of an acknowledgement would be a little cheaper, and makes one
// each time, which costs twice what running it does. And where the first rows by an
// index are wanted, or those that a few others say, it would read all, to sort or to hash
// them: of a few, which it thinks there are, that is no dearer. What it would remember of
// rows that it has found is of none that comes again.
var planned = []setting{{"enable_seqscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_memoize", "off"}, {"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"}, {"enable_sort", "off"}, {"enable_incremental_sort", "off"}, {"plan_cache_mode", "force_generic_plan"}}

// setting is a session setting that our statements rely on.
type setting struct{ name, value string }

func settings(opts Options) []setting {
	return []setting{
		{"statement_timeout", strconv.FormatInt(opts.StatementTimeout.Milliseconds(), 10)},
		{"lock_timeout", "5000"},
		{"idle_in_transaction_session_timeout", "30000"},
		{"work_mem", "32MB"}, // a batch of bodies is unnested in memory
		{"jit", "off"},       // compiling a statement takes hundreds of times longer than any of ours
		{"timezone", "UTC"},
	}
}

// ofSession are those that only a session of our own can have: the server's side
// of a connection whose client's host has died.
var ofSession = []setting{
	{"default_transaction_isolation", "read committed"},
	{"tcp_user_timeout", strconv.FormatInt(unheard.Milliseconds(), 10)},
	{"tcp_keepalives_idle", strconv.Itoa(int((unheard / 2).Seconds()))},
	{"tcp_keepalives_interval", strconv.Itoa(int((unheard / 4).Seconds()))},
	{"tcp_keepalives_count", "2"},
}

// durable is a promise that is answered before it is on the disk: none. A test
// server without fsync may do as it likes.
const durable = "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'off' AND current_setting('fsync') = 'on' THEN 'on' ELSE current_setting('synchronous_commit') END, %t)"

// unwaited, among what a statement returns, lets its transaction wait for no disk. It is
// for what nobody is answered by, and what is done again when a crash of the server has
// lost it. What is committed behind it, and waits, has it on the disk too.
const unwaited = "set_config('synchronous_commit', 'off', true)"

// give is the SQL that gives settings to a session, or to a transaction alone. The
// names and values are ours.
func give(list []setting, transaction bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT "+durable, transaction)
	for _, s := range list {
		fmt.Fprintf(&b, ", set_config('%s', '%s', %t)", s.name, s.value, transaction)
	}
	return b.String()
}

// sessions is a pool of connections whose every statement runs under our settings.
//
// On a connection of our own they are given to the session, once. Behind a pooler
// of transactions (PgBouncer) the next statement may run in another session, whose
// settings are not ours to change: there each statement and transaction is given
// them anew, in the same round trip.
type sessions struct {
	*pgxpool.Pool
	each string // SQL that gives a transaction our settings; empty: the sessions are ours
}

// ErrPooler says that a pooler between gateway and PostgreSQL does not do what a
// gateway needs.
var ErrPooler = errors.New("the pooler between this program and PostgreSQL cannot be used")

// openSessions opens a pool for opts; more are settings beside the usual ones.
func openSessions(ctx context.Context, opts Options, more ...setting) (*sessions, error) {
	config, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		return nil, err
	}
	orDefault(&opts.StatementTimeout, statementTimeout)
	config.MaxConns = int32(max(opts.Connections+opts.Writers, 4))
	config.MinIdleConns = 1
	config.HealthCheckPeriod = 15 * time.Second
	config.PingTimeout = 2 * time.Second
	s := &sessions{}
	var opened atomic.Pointer[pgxpool.Pool]
	connecting(config.ConnConfig, opts.StatementTimeout+slack, resetter(&opened))
	pooled, err := behindPooler(ctx, config.ConnConfig)
	if err != nil {
		return nil, err
	}
	list := slices.Concat(settings(opts), more)
	// What the connection string itself sets is left as it is.
	own := func(list []setting) []setting {
		return slices.DeleteFunc(list, func(s setting) bool { _, theirs := config.ConnConfig.RuntimeParams[s.name]; return theirs })
	}
	if pooled {
		s.each = give(own(list), true)
	}
	perSession := give(own(slices.Concat(list, ofSession)), false)
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		var l *lent
		if opts.tracer == nil {
			l = lend(c)
		}
		plainArrays(c.TypeMap(), l)
		switch is, err := isPooled(ctx, c); {
		case err != nil:
			return err
		case is != pooled:
			return fmt.Errorf("%w: some connections go through one and some do not; give one address, or several of one kind", ErrPooler)
		case pooled:
			return nil
		}
		_, err := c.Exec(ctx, perSession, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	if config.ConnConfig.Tracer = opts.tracer; opts.tracer == nil {
		config.ConnConfig.Tracer = roomy{}
	}
	if s.Pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	opened.Store(s.Pool)
	return s, nil
}

// connecting adds to a configuration what every connection of ours has.
func connecting(c *pgx.ConnConfig, bound time.Duration, silent func()) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if _, ok := c.RuntimeParams["application_name"]; !ok {
		c.RuntimeParams["application_name"] = "mezhved"
	}
	c.DialFunc = dialer(hostsOf(c), bound, silent)
}

// resetter makes a pool forget its connections, once a second at most: the one
// that did not answer was not the only one.
func resetter(pool *atomic.Pointer[pgxpool.Pool]) func() {
	var last atomic.Int64
	return func() {
		now := time.Now().UnixNano()
		if before := last.Load(); now-before < int64(time.Second) || !last.CompareAndSwap(before, now) {
			return
		}
		if p := pool.Load(); p != nil {
			go p.Reset()
		}
	}
}

// behindPooler finds out whether a pooler stands between us and the server, and
// that it can be used. It sets how statements are run: a statement that was
// prepared in one session is unknown in the next.
func behindPooler(ctx context.Context, c *pgx.ConnConfig) (pooled bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if pooled, err = isPooled(ctx, conn); err != nil || !pooled {
		return pooled, err
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	// A transaction must be one session, and keep what it is given.
	var kept string
	if _, err := conn.Exec(ctx, "BEGIN; SET LOCAL lock_timeout = 4321"); err != nil {
		return true, fmt.Errorf("%w: it takes no transactions (%w); set pool_mode = transaction", ErrPooler, err)
	}
	err = conn.QueryRow(ctx, "SELECT current_setting('lock_timeout')", pgx.QueryExecModeSimpleProtocol).Scan(&kept)
	if err != nil {
		return true, fmt.Errorf("%w: a transaction broke off (%w); set pool_mode = transaction", ErrPooler, err)
	}
	if kept != "4321ms" {
		return true, fmt.Errorf("%w: a transaction lost its settings (lock_timeout is %s instead of 4321ms); set pool_mode = transaction", ErrPooler, kept)
	}
	_, err = conn.Exec(ctx, "ROLLBACK")
	return true, err
}

// isPooled tells whether the process that runs our statements is the one that has
// greeted us: a pooler greets under a number of its own.
func isPooled(ctx context.Context, c *pgx.Conn) (bool, error) {
	var pid uint32
	err := c.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid != c.PgConn().PID(), err
}

// batch puts a statement behind the settings.
func (s *sessions) batch(sql string, args []any) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(s.each)
	if len(args) > 0 {
		if _, ok := args[0].(pgx.QueryExecMode); ok { // no statement stays prepared here anyway
			args = args[1:]
		}
	}
	b.Queue(sql, args...)
	return b
}

// Exec runs a statement.
func (s *sessions) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if s.each == "" {
		return s.Pool.Exec(ctx, sql, args...)
	}
	results := s.Pool.SendBatch(ctx, s.batch(sql, args))
	_, err := results.Exec()
	var tag pgconn.CommandTag
	if err == nil {
		tag, err = results.Exec()
	}
	if e := results.Close(); err == nil { // it has committed then
		err = e
	}
	return tag, err
}

// Query runs a statement that gives rows.
func (s *sessions) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if s.each == "" {
		return s.Pool.Query(ctx, sql, args...)
	}
	results := s.Pool.SendBatch(ctx, s.batch(sql, args))
	results.Exec() // its error comes again below
	rows, err := results.Query()
	return &givenRows{Rows: rows, results: results}, err
}

// QueryRow runs a statement that gives one row.
func (s *sessions) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if s.each == "" {
		return s.Pool.QueryRow(ctx, sql, args...)
	}
	rows, err := s.Query(ctx, sql, args...)
	return givenRow{rows, err}
}

// SendBatch runs statements in one transaction.
func (s *sessions) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if s.each == "" {
		return s.Pool.SendBatch(ctx, b)
	}
	given := &pgx.Batch{}
	given.Queue(s.each)
	given.QueuedQueries = append(given.QueuedQueries, b.QueuedQueries...)
	results := s.Pool.SendBatch(ctx, given)
	results.Exec()
	return results
}

// Begin begins a transaction.
func (s *sessions) Begin(ctx context.Context) (pgx.Tx, error) {
	return s.BeginTx(ctx, pgx.TxOptions{})
}

// BeginTx begins a transaction.
func (s *sessions) BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error) {
	if s.each == "" {
		return s.Pool.BeginTx(ctx, o)
	}
	if o.BeginQuery == "" {
		level, mode := o.IsoLevel, o.AccessMode
		if level == "" {
			level = pgx.ReadCommitted
		}
		if mode == "" {
			mode = pgx.ReadWrite
		}
		o.BeginQuery = fmt.Sprintf("begin isolation level %s %s", level, mode)
	}
	begin, rest, _ := strings.Cut(o.BeginQuery, ";") // what the caller sets wins
	o.BeginQuery = begin + "; " + s.each + "; " + rest
	return s.Pool.BeginTx(ctx, o)
}

// transaction is one with something in its middle that is not SQL: two round trips,
// of which the first one begins it and the second one commits.
type transaction struct{ conn *pgxpool.Conn }

// open begins a transaction with its first statements. end must be called, whatever
// comes of it.
func (s *sessions) open(ctx context.Context, first *pgx.Batch) (*transaction, error) {
	conn, err := s.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	t := &transaction{conn}
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	if s.each != "" {
		b.Queue(s.each)
	}
	b.QueuedQueries = append(b.QueuedQueries, first.QueuedQueries...)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// send runs further statements of the transaction, in a round trip of their own.
func (t *transaction) send(ctx context.Context, more *pgx.Batch) error {
	return t.conn.SendBatch(ctx, more).Close()
}

// commit ends the transaction with its last statements; nil: there are none.
func (t *transaction) commit(ctx context.Context, last *pgx.Batch) error {
	b := &pgx.Batch{}
	if last != nil {
		b.QueuedQueries = append(b.QueuedQueries, last.QueuedQueries...)
	}
	b.Queue("COMMIT")
	return t.conn.SendBatch(ctx, b).Close()
}

// end gives the connection back. What was not committed has not happened.
func (t *transaction) end() {
	if c := t.conn.Conn(); c.PgConn().TxStatus() != 'I' && !c.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		c.Exec(ctx, "ROLLBACK") // if it fails, the pool closes the connection, which does the same
		cancel()
	}
	t.conn.Release()
}

// givenRows are the rows of a statement that ran behind the settings. The whole is
// committed when they have been read, and only then known to be.
type givenRows struct {
	pgx.Rows
	results pgx.BatchResults
	closed  bool
	err     error
}

func (r *givenRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *givenRows) Close() {
	r.Rows.Close()
	if !r.closed {
		r.closed = true
		r.err = r.results.Close()
	}
}

func (r *givenRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type givenRow struct {
	rows pgx.Rows
	err  error
}

func (r givenRow) Scan(dest ...any) error {
	if r.err != nil {
		r.rows.Close()
		return r.err
	}
	if !r.rows.Next() {
		r.rows.Close()
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	err := r.rows.Scan(dest...)
	r.rows.Close()
	if e := r.rows.Err(); err == nil {
		err = e
	}
	return err
}
