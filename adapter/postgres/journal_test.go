package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
)

// archive is a journal on a database of its own, with a desk around it.
type archive struct {
	*journaltest.Desk
	*postgres.Journal
	pool *pgxpool.Pool
	url  string
}

func openArchive(t testing.TB) *archive {
	t.Helper()
	a := &archive{Desk: journaltest.NewDesk(t), url: embedded.Test(t, postgres.Migrate)}
	a.Journal, a.pool = a.node(t, nil)
	return a
}

// rows keeps blocks from beginning, as while nodes of the release before may run; blocks
// lets them begin.
func (a *archive) rows()   { a.since("infinity") }
func (a *archive) blocks() { a.since("-infinity") }

func (a *archive) since(t string) {
	a.T.Helper()
	_, err := a.pool.Exec(context.Background(), "UPDATE journal_head SET blocks_since = $1::text::timestamptz", t)
	a.must(err)
}

// node is one more gateway node's journal on the same database.
func (a *archive) node(t testing.TB, tracer pgx.QueryTracer) (*postgres.Journal, *pgxpool.Pool) {
	t.Helper()
	j, pool, err := postgres.OpenTracedJournal(context.Background(), a.url, journaltest.Origin, a.Vault, tracer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return j, pool
}

func (a *archive) must(err error) {
	a.T.Helper()
	if err != nil {
		a.T.Fatal(err)
	}
}

// fill appends events and settles.
func (a *archive) fill(events []journal.Event) {
	a.T.Helper()
	seq := a.Sequencer(a.Journal)
	for i := 0; i < len(events); i += 500 {
		part := events[i:min(i+500, len(events))]
		a.must(a.Append(context.Background(), part...))
		if at := part[len(part)-1].Time; at.After(a.Clock.Now()) {
			a.Clock.Move(at.Sub(a.Clock.Now()))
		}
		a.must(a.Settle(seq))
	}
}

// drain settles until nothing is pending: a broken session holds the lead until
// the server has noticed.
func (a *archive) drain() {
	a.T.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := a.Settle(a.Sequencer(a.Journal))
		var left int
		a.must(a.pool.QueryRow(context.Background(), "SELECT count(*) FROM journal_pending").Scan(&left))
		if left == 0 && err == nil {
			return
		}
		if time.Now().After(deadline) {
			a.T.Fatalf("%d rows are not taken up: %v", left, err)
		}
	}
}

// check audits the log from outside and compares it, entry by entry, with the
// events that went in.
func (a *archive) check(t testing.TB, events []journal.Event) *audit.LogReport {
	t.Helper()
	ctx := context.Background()
	rep := a.Audit(a.Journal, a.Desk.Checkpoint(a.Journal).Note)
	for _, f := range rep.Recount.Findings {
		t.Errorf("finding: %s", f)
	}
	i := 0
	a.must(a.Each(ctx, postgres.Query{}, func(r postgres.Row) error {
		if r.Leaf.Kind == journal.KindPeriodClose || r.Leaf.Kind == journal.KindKeyChanged {
			return nil
		}
		if i >= len(events) {
			t.Fatalf("entry %d is one more than there were events: %s", r.Index, r.Bytes)
		}
		if want := events[i]; r.Leaf.Kind != want.Kind || r.Leaf.Message != want.Message || !r.Leaf.Time.Equal(want.Time) {
			t.Fatalf("entry %d: got %s of %q, want %s of %q", r.Index, r.Leaf.Kind, r.Leaf.Message, want.Kind, want.Message)
		}
		i++
		return nil
	}))
	if i != len(events) {
		t.Fatalf("%d events in the log, want %d", i, len(events))
	}
	return rep
}

func TestJournalKeepsALogThatAStrangerAccepts(t *testing.T) {
	a := openArchive(t)
	events := journaltest.Events(1, 3000)
	a.fill(events)
	a.Clock.Move(2 * time.Hour)
	a.must(a.Settle(a.Sequencer(a.Journal)))
	rep := a.check(t, events)
	if rep.Recount.Closes == 0 || rep.Tiles < 12 {
		t.Errorf("%s, %d tiles", rep.Recount, rep.Tiles)
	}
	var left int
	a.must(a.pool.QueryRow(context.Background(), "SELECT count(*) FROM journal_pending").Scan(&left))
	if left != 0 {
		t.Errorf("%d rows are still pending", left)
	}
}

// breaker, when armed, breaks the connection at the first statement that it has
// not broken before. mode says how: "close" the socket before the statement,
// "kill" the server's process, or let a commit happen and close the socket before
// its answer is read ("deaf").
type breaker struct {
	admin *pgxpool.Pool
	mode  string

	mu     sync.Mutex
	armed  bool
	broken map[string]bool
}

func (b *breaker) strike(ctx context.Context, c *pgx.Conn, sql string) {
	b.mu.Lock()
	hit := b.armed && !b.broken[sql]
	if hit {
		b.broken[sql], b.armed = true, false
	}
	b.mu.Unlock()
	if !hit {
		return
	}
	ctx = context.WithoutCancel(ctx) // a statement may be given little time; it is broken all the same
	switch {
	case b.mode == "kill":
		if _, err := b.admin.Exec(ctx, "SELECT pg_terminate_backend($1)", c.PgConn().PID()); err != nil {
			panic(err)
		}
		return
	case b.mode == "deaf" && sql == "commit":
		if _, err := c.PgConn().Exec(ctx, "commit").ReadAll(); err != nil {
			panic(err)
		}
	}
	c.PgConn().Conn().Close()
}

func (b *breaker) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	b.strike(ctx, c, d.SQL)
	return ctx
}
func (b *breaker) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (b *breaker) TraceBatchStart(ctx context.Context, c *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	b.strike(ctx, c, "batch")
	return ctx
}
func (b *breaker) TraceBatchQuery(ctx context.Context, c *pgx.Conn, d pgx.TraceBatchQueryData) {
	b.strike(ctx, c, "in batch: "+d.SQL)
}
func (b *breaker) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
func (b *breaker) TraceCopyFromStart(ctx context.Context, c *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	b.strike(ctx, c, "copy "+d.TableName.Sanitize())
	return ctx
}
func (b *breaker) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

// blockInsert is where a block is finished.
const blockInsert = "in batch: INSERT INTO journal_block (first, entries, logged, keys, columns, leaves) VALUES ($1, $2, $3, $4, $5, $6)"

// The connection is lost at each statement of the sequencer, in three ways:
// nothing is lost, doubled or moved.
func TestJournalSurvivesABreakAtEachStatement(t *testing.T) {
	for _, mode := range []string{"close", "kill", "deaf"} {
		t.Run(mode, func(t *testing.T) {
			a := openArchive(t)
			b := &breaker{admin: a.pool, mode: mode, broken: map[string]bool{}}
			j, _ := a.node(t, b)
			events := journaltest.Events(2, 4000)
			next := 0
			for done := false; !done; {
				a.must(a.Append(context.Background(), events[next:next+30]...))
				next += 30
				a.Clock.Move(25 * time.Minute) // periods close on the way
				a.vacant()
				b.mu.Lock()
				b.armed = true
				b.mu.Unlock()
				err := a.Settle(a.Sequencer(j))
				b.mu.Lock()
				done = b.armed && b.broken[blockInsert] // it met no statement that it has not broken already
				b.armed = false
				b.mu.Unlock()
				if done {
					a.must(err)
				}
				a.drain()
			}
			a.check(t, events[:next])
			broken := b.broken
			for _, must := range []string{postgres.SequenceBegin, "commit", "in batch: " + postgres.OpeningsSQL, "batch", blockInsert} {
				if !broken[must] {
					t.Errorf("%q was not broken, only %v", must, broken)
				}
			}
		})
	}
}

func TestTwoSequencersOnOneDatabaseDoNotFork(t *testing.T) {
	a := openArchive(t)
	events := journaltest.Events(3, 3000)
	ctx := context.Background()
	a.Clock.Move(time.Hour)
	var done sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		j, _ := a.node(t, nil)
		seq := a.Sequencer(j)
		seq.Batch = 13
		done.Go(func() {
			for {
				// Step itself, without asking who leads.
				if _, err := seq.Step(ctx); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := 0; i < len(events); i += 10 { // rows of several events
		a.must(a.Append(ctx, events[i:i+10]...))
	}
	for left := 1; left > 0; {
		a.must(a.pool.QueryRow(ctx, "SELECT count(*) FROM journal_pending").Scan(&left))
	}
	close(stop)
	done.Wait()
	a.must(a.Settle(a.Sequencer(a.Journal)))
	a.check(t, events)
}

// vacant waits until nobody leads: a term that was not ended runs out.
func (a *archive) vacant() {
	a.T.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var free bool
		a.must(a.pool.QueryRow(context.Background(), "SELECT until <= clock_timestamp() FROM lead WHERE work = 'journal'").Scan(&free))
		if free {
			return
		}
		if time.Now().After(deadline) {
			a.T.Fatal("a term does not run out")
		}
	}
}

// endOfLog are the tables that say how a log ends.
var endOfLog = []string{"journal_block", "journal_piece", "journal_opening", "journal_tile", "journal_edge", "journal_tally", "journal_sum", "journal_counter", "journal_head", "journal_term", "journal_reference"}

// backup keeps tables as they are, for when they are put back.
func (a *archive) backup(tables ...string) (putBack func()) {
	each := func(sql string) {
		for _, table := range tables {
			_, err := a.pool.Exec(context.Background(), fmt.Sprintf(sql, table))
			a.must(err)
		}
	}
	each("CREATE TABLE backup_%[1]s AS TABLE %[1]s")
	return func() { each("TRUNCATE %[1]s; INSERT INTO %[1]s OVERRIDING SYSTEM VALUE TABLE backup_%[1]s") }
}

// step gives events their places, by a node.
func (a *archive) step(j *postgres.Journal, events []journal.Event) {
	ctx := context.Background()
	a.must(j.Append(ctx, events...))
	n, err := a.Sequencer(j).Step(ctx)
	if a.must(err); n != len(events) {
		a.must(fmt.Errorf("%d of %d events have their place", n, len(events)))
	}
}

func TestARestoredDatabaseStopsTheLog(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	events := journaltest.Events(4, 900)
	a.fill(events[:600])
	putBack := a.backup("journal_block", "journal_piece", "journal_opening", "journal_tile", "journal_edge", "journal_total", "journal_counter", "journal_head", "journal_checkpoint")
	a.fill(events[600:])
	signed := a.Desk.Checkpoint(a.Journal)
	putBack()
	var back *clerk.RollbackError
	if err := a.Settle(a.Sequencer(a.Journal)); !errors.As(err, &back) {
		t.Fatalf("got %v, want a *RollbackError", err)
	}
	if back.Signed != signed.Tree || back.Shown.N != 600 {
		t.Errorf("signed %d, shown %d; want %d and 600", back.Signed.N, back.Shown.N, signed.Tree.N)
	}
	other, _ := a.node(t, nil)
	var stopped *clerk.StoppedError
	if err := a.Settle(a.Sequencer(other)); !errors.As(err, &stopped) {
		t.Errorf("another node: got %v, want a *StoppedError", err)
	}

	// The way out: a new origin, whose first entry says where the old log ended.
	secret, _, err := journal.NewKey(journaltest.Origin + "/2")
	a.must(err)
	state := filepath.Join(a.Dir, "second.json")
	a.must(clerk.CreateSignerState(state, secret))
	a.Signer, err = clerk.NewFileSigner(state, secret, a.Clock.Now)
	a.must(err)
	defer a.Signer.Close()
	a.must(clerk.Reopen(ctx, other, a.Signer, signed.Tree, a.Clock.Now()))
	a.Policy, err = journal.LogPolicy(a.Signer.Key())
	a.must(err)
	a.must(a.Append(ctx, events[600:]...))
	a.must(a.Settle(a.Sequencer(other)))
	a.check(t, events)
	rows, err := a.Search(ctx, postgres.Query{Kind: journal.KindKeyChanged})
	if err != nil || len(rows) != 1 || rows[0].Index != 600 || rows[0].Leaf.Log.OldSize != signed.Tree.N {
		t.Errorf("key-changed entries: %v, %v", rows, err)
	}
}

// What the sequencer remembers of the end of the log is not believed when the log has gone
// another way since: in a database that was put back, and to which another node has added as
// many entries.
func TestTheEndOfTheLogIsRememberedUnderItsTreeAlone(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	other, _ := a.node(t, nil)
	a.step(a.Journal, journaltest.Events(61, 300))
	putBack := a.backup(endOfLog...)
	a.step(a.Journal, journaltest.Events(62, 100))
	putBack()
	elsewhere := journaltest.Events(63, 100)
	for i := range elsewhere {
		elsewhere[i].Service = "urn:x-elsewhere"
	}
	a.step(other, elsewhere)
	a.step(a.Journal, elsewhere) // finishes the block in which all of them stand, of its pieces
	a.step(a.Journal, elsewhere) // and now of what is remembered
	a.step(a.Journal, elsewhere)
	a.must(a.Settle(a.Sequencer(a.Journal)))
	if findings, err := a.Examine(ctx); err != nil || findings != nil {
		t.Errorf("the examination finds %v, %v", findings, err)
	}
	if report := a.Audit(a.Journal, a.Desk.Checkpoint(a.Journal).Note); !report.OK() {
		t.Errorf("the auditor finds %v", report.Recount.Findings)
	}
	if n, err := a.Count(ctx, postgres.Query{Service: "urn:x-elsewhere"}); n != 400 || err != nil {
		t.Errorf("%d entries of the service are found, %v; want 400", n, err)
	}
}

// Nor are blocks that were read of a log that has gone another way since.
func TestBlocksAreRememberedUnderTheirTreeAlone(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	other, _ := a.node(t, nil)
	var accepted, routed []journal.Event
	for range 256 {
		e := journal.Event{Kind: journal.KindAccepted, Time: time.Now(), Message: uuid.Must(uuid.NewV7()).String(), Sender: "MFC01", Service: "extract"}
		accepted = append(accepted, e)
		e.Kind = journal.KindRouted
		routed = append(routed, e)
	}
	putBack := a.backup(endOfLog...)
	a.step(a.Journal, accepted)
	a.step(a.Journal, routed[:10]) // reads the block
	putBack()
	slices.Reverse(accepted)
	a.step(other, accepted)
	a.step(a.Journal, routed[10:])
	a.must(a.Each(ctx, postgres.Query{Kind: journal.KindRouted}, func(r postgres.Row) error {
		was, err := a.Entry(ctx, r.Leaf.Prev)
		if err == nil && was.Leaf.Message != r.Leaf.Message {
			err = fmt.Errorf("entry %d of message %s follows entry %d, of another one", r.Index, r.Leaf.Message, was.Index)
		}
		return err
	}))
}

// Somebody with the database's password changes a row, a tile, the head: the
// triggers refuse the plain way, and an audit finds what was done past them.
func TestTamperingWithTheDatabase(t *testing.T) {
	ctx := context.Background()
	a := openArchive(t)
	a.rows()
	events := journaltest.Events(5, 1000)
	a.fill(events)
	for _, sql := range []string{
		"UPDATE journal_entry SET leaf = 'x' WHERE idx = 5",
		"DELETE FROM journal_entry WHERE idx = 5",
		"UPDATE journal_tile SET data = overlay(data placing '\\x00' from 5) WHERE level = 0 AND n = 0",
		"DELETE FROM journal_tile",
	} {
		if _, err := a.pool.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	checkpoint := a.Desk.Checkpoint(a.Journal).Note
	_, err := a.pool.Exec(ctx, "ALTER TABLE journal_entry DISABLE TRIGGER USER; ALTER TABLE journal_entry_0 DISABLE TRIGGER USER; ALTER TABLE journal_tile DISABLE TRIGGER USER")
	a.must(err)
	for _, c := range []struct{ do, undo string }{
		{"UPDATE journal_entry SET leaf = overlay(leaf placing 'X' from 30) WHERE idx = 5", "UPDATE journal_entry SET leaf = b.leaf FROM b WHERE journal_entry.idx = 5 AND b.idx = 5"},
		{"DELETE FROM journal_entry WHERE idx = 999", "INSERT INTO journal_entry SELECT * FROM b WHERE idx = 999"},
		{"UPDATE journal_entry e SET leaf = b.leaf FROM b WHERE (e.idx, b.idx) IN ((5, 6), (6, 5))", "UPDATE journal_entry e SET leaf = b.leaf FROM b WHERE e.idx = b.idx AND e.idx IN (5, 6)"},
		{"UPDATE journal_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 0 AND n = 1", "UPDATE journal_tile SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 0 AND n = 1"},
		{"UPDATE journal_edge SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 1", "UPDATE journal_edge SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 1"},
	} {
		_, err := a.pool.Exec(ctx, "CREATE TABLE b AS TABLE journal_entry")
		a.must(err)
		_, err = a.pool.Exec(ctx, c.do)
		a.must(err)
		if rep := a.Audit(a.Journal, checkpoint); rep.OK() {
			t.Errorf("%s: not found", c.do)
		}
		_, err = a.pool.Exec(ctx, c.undo)
		a.must(err)
		_, err = a.pool.Exec(ctx, "DROP TABLE b")
		a.must(err)
		if rep := a.Audit(a.Journal, checkpoint); !rep.OK() {
			t.Fatalf("%s: undone, and yet %v", c.do, rep.Recount.Findings)
		}
	}
	// A tampered right edge stops the sequencer itself.
	_, err = a.pool.Exec(ctx, "UPDATE journal_edge SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 1")
	a.must(err)
	a.must(a.Append(ctx, journaltest.Events(6, 1)...))
	var broken *journal.BrokenError
	if _, err := a.Sequencer(a.Journal).Step(ctx); !errors.As(err, &broken) {
		t.Errorf("sequenced on a broken log: %v", err)
	}
}

// A row committed late by a slow transaction is taken when it appears, and
// nothing waits for it.
func TestSlowTransactionsAreNotSkipped(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	events := journaltest.Events(7, 40)
	slow, err := a.pool.Begin(ctx)
	a.must(err)
	row, err := events[0].Row()
	a.must(err)
	_, err = slow.Exec(ctx, "INSERT INTO journal_pending (event) VALUES ($1)", string(row))
	a.must(err)
	a.fill(events[1:])
	if head, err := a.Head(ctx); err != nil || head.Tree.N != 39 {
		t.Fatalf("%d entries, %v; want 39", head.Tree.N, err)
	}
	a.must(slow.Commit(ctx))
	a.must(a.Settle(a.Sequencer(a.Journal)))
	a.check(t, append(events[1:], events[0]))
}

func TestPartitionsAppearAsTheLogGrows(t *testing.T) {
	a := openArchive(t)
	ctx := context.Background()
	_, err := a.pool.Exec(ctx, "UPDATE journal_head SET partition = 256")
	a.must(err)
	events := journaltest.Events(8, 1300)
	a.rows()
	a.fill(events[:300])
	a.blocks() // from 512 on: the one that has begun stays what it is
	a.fill(events[300:])
	var rows, blocks int
	a.must(a.pool.QueryRow(ctx, "SELECT count(*) FILTER (WHERE inhparent = 'journal_entry'::regclass), count(*) FILTER (WHERE inhparent = 'journal_block'::regclass) FROM pg_inherits").Scan(&rows, &blocks))
	if rows != 2 || blocks != 4 {
		t.Errorf("%d partitions of rows and %d of blocks, want 2 and 4", rows, blocks)
	}
	a.check(t, events)

	// Whole partitions go to an archive; their proofs still verify.
	dir := t.TempDir()
	c := a.Desk.Checkpoint(a.Journal)
	proofs := map[int64][]byte{}
	prover := journal.NewProver(ctx, c.Tree, a.Journal)
	leaves := map[int64][]byte{}
	for _, index := range []int64{0, 255, 300, 700} { // rows and blocks
		rows, err := a.Search(ctx, postgres.Query{After: index - 1, HasAfter: true, Limit: 1})
		a.must(err)
		leaves[index] = rows[0].Bytes
		hashes, err := prover.Inclusion(index)
		a.must(err)
		proofs[index] = journal.MarshalProof(index, hashes, c.Note)
	}
	// Not while people are found by them: an order would not reach their values.
	if done, err := a.Archive(ctx, a.Clock.Now().Add(time.Hour), dir); err != nil || done != 0 {
		t.Fatalf("archived %d with values about people, %v; want none", done, err)
	}
	_, err = a.pool.Exec(ctx, "DELETE FROM journal_open WHERE blind <> ''")
	a.must(err)
	if done, err := a.Archive(ctx, a.Clock.Now().Add(time.Hour), dir); err != nil || done != 512 {
		t.Fatalf("archived %d, %v; want the 512 behind which nobody stands any more", done, err)
	}
	_, err = a.pool.Exec(ctx, "DELETE FROM journal_opening WHERE tokens <> '{}'")
	a.must(err)
	done, err := a.Archive(ctx, a.Clock.Now().Add(time.Hour), dir)
	if err != nil || done != 1280-512 {
		t.Fatalf("archived %d more, %v; want %d", done, err, 1280-512)
	}
	if _, err := a.Tile(ctx, journal.EntriesLevel, 0, 256); err == nil {
		t.Error("archived entries are still in the database")
	}
	for index, proof := range proofs {
		if _, err := journal.VerifyProof(a.Policy, leaves[index], proof); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
		hashes, err := journal.NewProver(ctx, c.Tree, a.Journal).Inclusion(index)
		a.must(err)
		if _, err := journal.VerifyProof(a.Policy, leaves[index], journal.MarshalProof(index, hashes, c.Note)); err != nil {
			t.Errorf("entry %d, proven after it was archived: %v", index, err)
		}
	}
	a.fill(journaltest.Events(9, 300)) // the log goes on
	left, err := a.Search(ctx, postgres.Query{Limit: 1})
	if err != nil || len(left) != 1 || left[0].Index != 1280 {
		t.Errorf("search after archiving: %v, %v", left, err)
	}
	var root tlog.Hash
	if head, err := a.Head(ctx); err != nil || head.Tree.Hash == root || head.Tree.N != 1600 {
		t.Errorf("head %+v, %v", head, err)
	}
}
