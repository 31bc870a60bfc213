package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter/journal"
)

// What one node does at a time is a work: the journal, the feed, each shard of
// the outbox. A row of the table lead says who does it and until when.
//
//   - A node that finds the row free, or its term run out by the database's clock,
//     makes itself the holder of the next epoch (claim). It renews its term before
//     it ends (keep, Look) and lets go at the end (release).
//   - Each write of a leader proves holder and epoch in its own transaction, with
//     the row locked, and so either comes before the next leader's claim or fails
//     with a DeposedError. No clock has a part in that.
//   - A session that a dead host has left behind in a transaction would hold the
//     row for as long as TCP believes in the host. Whoever waits for a term that
//     has run out ends such a session (evict).
//
// Nothing of this needs a session: it works through a pooler of transactions.
//
// Releases before this one lead by advisory locks of sessions. Beside such a node
// a claim waits while the old lock is taken, so the two do not work at once in the
// ordinary case. The wait is bounded, because an old node may hold its lock and be
// unable to work, its SQL no longer fitting the tables, or be dead: when the oldest
// row has not moved for a whole term, the lock is passed over. An old node may also
// begin while a new one is at work. That is safe, too: two sequencers take turns at
// the locked head of the log and do not fork it; of two relays each publishes in
// order from the oldest row on, so the first copy of each message comes in order,
// the intake queues it once, and the delete of the new one fails when rows are gone.
// At the worst the journal says "routed" twice of a message that was routed twice.
type work struct {
	name string
	old  string // SQL: true when no node of an older release is at it, and none can begin before the transaction ends
}

// lockClass is the class of our advisory locks of two numbers, of all users of
// this database.
const lockClass = 0x6d7a

const (
	lockDays    = 1000 // making and dropping partitions
	lockOldFeed = 1001 // older releases: putting the log on the bus; 0 to adapter.Shards-1 are their relays
	lockRestore = 1002 // filling an empty database from a backup, for a session
	lockCounts  = 1003 // adding up what stands in the queues
)

// lockOldJournal is the lock of the node that sequences, in older releases.
const lockOldJournal = 0x6d657a68_6c6f67 // "mezhlog"

func oldLock(number int) string {
	return fmt.Sprintf("pg_try_advisory_xact_lock(%d, %d)", lockClass, number)
}

var (
	journalWork = work{"journal", fmt.Sprintf("pg_try_advisory_xact_lock(%d)", lockOldJournal)}
	feedWork    = work{"feed", oldLock(lockOldFeed)}
)

func relayWork(shard int) work { return work{"relay-" + strconv.Itoa(shard), oldLock(shard)} }

// DeposedError says that a leader's write was not committed, because another node
// leads since. errors.Is(err, journal.ErrDeposed) is true of it.
type DeposedError struct {
	Work  string
	Epoch int64 // of the term that has ended
}

func (e *DeposedError) Error() string {
	return fmt.Sprintf("nothing was committed: the term %d of this node at work %s has ended, another node leads", e.Epoch, e.Work)
}

// Is makes every DeposedError a journal.ErrDeposed.
func (e *DeposedError) Is(target error) bool { return target == journal.ErrDeposed }

// leads is this node as a candidate and leader.
type leads struct {
	pool   *sessions
	node   string
	term   time.Duration
	holder uuid.UUID // of this run alone: an epoch that a fail-over has lost may be counted again, by another
	log    *slog.Logger

	mu      sync.Mutex
	evicted map[string]time.Time // when sessions were last looked for
	stuck   map[string]stuck
}

// stuck is the oldest row of a work that this node may not do, since when.
type stuck struct {
	row   int64
	since time.Time // of this process: only a time that passes is measured
}

func newLeads(pool *sessions, opts Options, log *slog.Logger) *leads {
	orDefault(&opts.Term, 10*time.Second)
	return &leads{pool: pool, node: opts.Node, term: opts.Term, holder: uuid.New(), log: log, evicted: map[string]time.Time{}, stuck: map[string]stuck{}}
}

// claimed is what came of a claim.
type claimed struct {
	epoch int64 // of our term; 0: we do not lead
	free  bool  // it was free, or its term had run out
}

// claim asks for a work if there is anything to do, which the SQL waits tells. What
// this node holds it may claim again: it has not heard that it does. The claim need not survive a crash of the server and so waits for no disk.
func (l *leads) claim(batch *pgx.Batch, w work, waits string, out *claimed) {
	batch.Queue(`WITH c AS (
	UPDATE lead SET epoch = epoch + 1, holder = $2, node = $3, until = clock_timestamp() + make_interval(secs => $4::float8)
	WHERE work = (SELECT work FROM lead WHERE work = $1 AND (until <= clock_timestamp() OR holder = $2) AND `+waits+` AND ($5 OR `+w.old+`) FOR UPDATE SKIP LOCKED)
	RETURNING epoch, `+unwaited+`
)
SELECT coalesce((SELECT epoch FROM c), 0), until <= clock_timestamp() FROM lead WHERE work = $1`,
		w.name, [16]byte(l.holder), l.node, l.term.Seconds(), l.isStuck(w)).QueryRow(func(r pgx.Row) error { return r.Scan(&out.epoch, &out.free) })
}

// proofSQL locks the row of our term, until the transaction ends, or finds that it
// is ours no more. $1 to $3 are the arguments of proof.
const proofSQL = `SELECT FROM lead WHERE work = $1 AND holder = $2 AND epoch = $3 FOR UPDATE`

// releaseSQL does the same and ends the term with the transaction.
const releaseSQL = `UPDATE lead SET until = clock_timestamp() WHERE work = $1 AND holder = $2 AND epoch = $3`

func (l *leads) proof(w work, epoch int64) []any { return []any{w.name, [16]byte(l.holder), epoch} }

// release lets go of a work, so that another node need not wait for the term to
// run out. When that cannot be said it runs out.
func (l *leads) release(w work, epoch int64) {
	ctx, cancel := context.WithTimeout(context.Background(), min(5*time.Second, l.term))
	defer cancel()
	if _, err := l.pool.Exec(ctx, releaseSQL+" RETURNING "+unwaited, l.proof(w, epoch)...); err != nil {
		l.log.Debug("a term was not ended and runs out", "work", w.name, "error", err)
	}
}

// keep renews the term until stop is called. When it is found to have ended, the
// context ends with a DeposedError as its cause.
func (l *leads) keep(ctx context.Context, w work, epoch int64) (kept context.Context, stop func()) {
	kept, cancel := context.WithCancelCause(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(l.term / 3)
		defer tick.Stop()
		for {
			select {
			case <-kept.Done():
				return
			case <-tick.C:
			}
			bounded, end := context.WithTimeout(kept, l.term/3)
			tag, err := l.pool.Exec(bounded, `WITH r AS (
	UPDATE lead SET until = clock_timestamp() + make_interval(secs => $4::float8) WHERE work = $1 AND holder = $2 AND epoch = $3
	RETURNING `+unwaited+`
) SELECT FROM r`, append(l.proof(w, epoch), l.term.Seconds())...)
			end()
			if err == nil && tag.RowsAffected() == 0 {
				cancel(&DeposedError{w.name, epoch})
			}
		}
	})
	return kept, func() {
		cancel(nil)
		done.Wait()
	}
}

// waiting remembers the oldest row of a work that we may not do.
func (l *leads) waiting(w work, row int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.stuck[w.name]; !ok || s.row != row {
		l.stuck[w.name] = stuck{row, time.Now()}
	}
}

// refused is a claim that was not granted although rows wait, the oldest of them
// given.
func (l *leads) refused(ctx context.Context, w work, c claimed, row int64) {
	l.waiting(w, row)
	if c.free {
		l.evict(ctx, w)
	}
}

// deposed is the DeposedError that has ended a kept context, or nil.
func deposed(kept context.Context) error {
	var e *DeposedError
	if errors.As(context.Cause(kept), &e) {
		return e
	}
	return nil
}

// moved forgets it.
func (l *leads) moved(w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.stuck, w.name)
}

// isStuck tells whether the oldest row has not moved for a term: whoever holds the
// lock of an older release does not work.
func (l *leads) isStuck(w work) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.stuck[w.name]
	return ok && time.Since(s.since) > l.term
}

// evict ends the sessions that hold the row of a work, or of the log's head, in a
// transaction for longer than half a term. Only a node that waits for a term that
// has run out, or that leads and cannot lock the head, may call it. What it undoes
// would have failed, or is done again: it ends leaders that are dead or deposed.
func (l *leads) evict(ctx context.Context, w work) {
	l.mu.Lock()
	soon := time.Since(l.evicted[w.name]) < time.Second
	if !soon {
		l.evicted[w.name] = time.Now()
	}
	l.mu.Unlock()
	if soon {
		return
	}
	rows, _ := l.pool.Query(ctx, `SELECT a.pid, pg_terminate_backend(a.pid)
FROM (SELECT xmax FROM lead WHERE work = $1 UNION SELECT xmax FROM journal_head WHERE $1 = 'journal') r
JOIN pg_locks k ON k.locktype = 'transactionid' AND k.transactionid = r.xmax AND k.mode = 'ExclusiveLock' AND k.granted
JOIN pg_stat_activity a ON a.pid = k.pid
WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - make_interval(secs => $2::float8)`, w.name, l.term.Seconds()/2)
	var pid int32
	var ended bool
	_, err := pgx.ForEachRow(rows, []any{&pid, &ended}, func() error {
		l.log.Warn("a session that a leader has left behind in a transaction was ended", "work", w.name, "pid", pid, "ended", ended)
		return nil
	})
	if err != nil {
		l.log.Warn("sessions that leaders have left behind could not be looked for", "work", w.name, "error", err)
	}
}
