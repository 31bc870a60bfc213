package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/reports"
	"mezhved/adapter/vault"
)

// SequenceBegin begins a transaction of the sequencer.
const SequenceBegin = sequenceBegin

// shortTerm is how long a journal of these tests leads without renewing its lease.
const shortTerm = 400 * time.Millisecond

// OpenTracedJournal opens a journal over connections that tracer sees.
func OpenTracedJournal(ctx context.Context, url, origin string, keys *vault.Vault, tracer pgx.QueryTracer) (*Journal, *pgxpool.Pool, error) {
	pool, err := openSessions(ctx, Options{URL: url, Connections: 8, tracer: tracer})
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.DiscardHandler)
	j, err := openJournal(ctx, pool, newLeads(pool, Options{Term: shortTerm}, log), origin, keys, log)
	if err == nil {
		j.gates.together.Store(true)
		j.gates.madeTiles.Store(true)
		j.gates.packedLeaves.Store(true)
		j.gates.timedKeys.Store(true)
		j.gates.packedEvents.Store(true) // events of one Append wait in one row
	}
	return j, pool.Pool, err
}

// BatchBytes changes with how many bytes of rows a batch of the sequencer is full, until
// the test ends.
func BatchBytes(t *testing.T, n int) {
	was := pendingBytes
	pendingBytes = n
	t.Cleanup(func() { pendingBytes = was })
}

// Boxes has the journal seal each value by itself, as releases before did, or not.
func Boxes(j *Journal, on bool) { j.gates.together.Store(!on) }

// DropStandings lets go of standings in front of entry $1.
const DropStandings = dropStandings

// BeginStanding has the first standing made as soon as there are so many entries.
func BeginStanding(ctx context.Context, pool *pgxpool.Pool, entries int64) error {
	_, err := pool.Exec(ctx, "INSERT INTO journal_standing ("+standingColumns+") VALUES (0, $1, $2, 0, 0, $3, $3)", entries, reports.Rules(nil), squeezed([]byte{0}))
	return err
}

// PlainKeys says whether keys of blocks are written without times.
func PlainKeys(j *Journal, on bool) { j.gates.timedKeys.Store(!on) }

// KeepTiles has the journal keep tiles of level 0, as releases before did, or not.
func KeepTiles(j *Journal, on bool) { j.gates.madeTiles.Store(!on) }

// Plains opens every row of journal_opening that is sealed together, as whoever has the
// database and the keys can, and gives what is in it, unpacked.
func Plains(ctx context.Context, j *Journal) (plains [][]byte, err error) {
	rows, _ := j.pool.Query(ctx, "SELECT key, block, first, sealed FROM journal_opening WHERE substring(sealed, 1, 4) = $1", []byte(togetherMark))
	var k openingsKey
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&k.key, &k.block, &k.first, &sealed}, func() error {
		plain, err := j.vault.OpenTogether(k.key, k.place(), sealed[len(togetherMark):])
		if err != nil {
			return err
		}
		plains = append(plains, plain)
		for _, start := range []int{1, 1 + len(journal.Seed{})} {
			if body, err := unsqueezed(plain[min(start, len(plain)):]); err == nil {
				plains = append(plains, body)
			}
		}
		return nil
	})
	return plains, err
}

// ServerPID is the process of the server itself, which has the sessions' processes
// as children.
func ServerPID(j *Journal) (pid int, err error) {
	ctx := context.Background()
	var file string
	err = j.pool.QueryRow(ctx, "SELECT pg_read_file('postmaster.pid')").Scan(&file)
	if err == nil {
		_, err = fmt.Sscan(file, &pid)
	}
	return pid, err
}

// Tally brings the daily totals up to date at once.
func (j *Journal) Tally(ctx context.Context) error { return j.tally(ctx) }

// TallyEvery sets how many entries the daily totals may be behind, until restore.
func TallyEvery(n int64) (restore func()) {
	was := tallyEvery
	tallyEvery = n
	return func() { tallyEvery = was }
}

// Stretch reads the log as the feed and the open terms do: the indexes of at most max
// entries from an index on.
func Stretch(ctx context.Context, pool *pgxpool.Pool, from int64, max int) (indexes []int64, leaves [][]byte, err error) {
	list, err := readStretch(ctx, pool, from, max)
	for i := range list {
		indexes, leaves = append(indexes, list[i].Index), append(leaves, list[i].Leaf)
	}
	return indexes, leaves, err
}

// MigrateTo brings a database down, and then up, to a version.
func MigrateTo(ctx context.Context, url string, version int64) error {
	p, closeAll, err := migrator(url)
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := p.DownTo(ctx, version); err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// RewriteBlock changes the leaves of a block or piece, and what it is found by with
// them: as somebody does who has the database and knows this code.
func RewriteBlock(ctx context.Context, pool *pgxpool.Pool, table string, first int64, change func(leaves [][]byte) [][]byte) error {
	return eachBlock(ctx, pool, "SELECT first, entries, leaves FROM "+table+" WHERE first = $1", []any{first}, func(b *block) error {
		m := newBlockMaker(first)
		for _, leaf := range change(b.leaves) {
			l, err := journal.ParseLeaf(leaf)
			if err != nil {
				return err
			}
			m.add(&l, leaf)
		}
		if table == "journal_piece" {
			_, err := pool.Exec(ctx, "UPDATE journal_piece SET logged = $2, leaves = $3 WHERE first = $1", first, m.logged, squeezed(m.bundle))
			return err
		}
		_, err := pool.Exec(ctx, "UPDATE journal_block SET logged = $2, keys = $3, columns = $4, leaves = $5 WHERE first = $1",
			first, m.logged, m.keys(timedKey), squeezed(m.columns.pack()), packLeaves(m.bundle))
		return err
	})
}

// FillBlocks writes a journal of size entries in blocks, terms and totals with them:
// all that searching reads; there is no tree over it.
func FillBlocks(ctx context.Context, pool *pgxpool.Pool, j *Journal, size int64, leaf func(int) journal.Leaf) error {
	const step = 32 * blockSize
	for from := int64(0); from < size; from += step {
		b := clerk.Batch{}
		for i := from; i < min(from+step, size); i++ {
			l := leaf(int(i))
			b.Entries = append(b.Entries, clerk.Entry{Index: i, Leaf: &l, Bytes: l.Append(nil)})
		}
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			t := &journalTx{tx: tx, j: j}
			if err := t.partitions(ctx, &b, 0, &sealedOpenings{}); err != nil {
				return err
			}
			batch := &pgx.Batch{}
			add := func(_ int64, sql string, args ...any) { batch.Queue(sql, args...) }
			if err := t.queueBlocks(ctx, add, b.Entries); err != nil {
				return err
			}
			(&journalTx{}).queueTerms(add, b.Entries)
			last := b.Entries[len(b.Entries)-1]
			add(1, "UPDATE journal_head SET size = $1, logged = $2, blocks = 0", last.Index+1, last.Leaf.Logged)
			return tx.SendBatch(ctx, batch).Close()
		})
		if err != nil {
			return err
		}
	}
	return j.tally(ctx)
}

// TimedKey is the key of a block that has a MessageID.
var TimedKey = timedKey

// BlocksWithSQL selects the blocks that have one of the keys $1.
var BlocksWithSQL = blocksWith("$1")

// Remembered says whether the store has the entries of the log from an index on at hand.
func Remembered(s *Store, from int64) bool {
	_, ok := s.tail.from(from, 1, s.tail.tree)
	return ok
}

// OpeningsSQL is the statement by which values are kept.
const OpeningsSQL = openingsSQL

// Wait lets packed events wait, as the statements do that tell of something; in place, as
// those of accepts, polls and acknowledgements do.
func Wait(ctx context.Context, s *Store, inPlace bool, events [][]byte) error {
	sql := waitAllSQL
	if inPlace {
		sql = waitInPlaceSQL
	}
	_, err := s.pool.Exec(ctx, sql("$1::bytea[]"), events)
	return err
}

// TakeUp takes all events that wait, and does nothing with them.
func TakeUp(ctx context.Context, j *Journal) error {
	for more := true; more; {
		err := j.Sequence(ctx, 0, func(tx clerk.Tx) (err error) {
			_, more, err = tx.Pending(ctx, 8192, journal.NoEntry)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// WALBytes is how much the server has written into its own log so far.
func WALBytes(j *Journal) (n int64, err error) {
	err = j.pool.QueryRow(context.Background(), "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&n)
	return n, err
}
