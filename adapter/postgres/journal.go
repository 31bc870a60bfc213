package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/vault"
)

// Journal is a clerk.Book on PostgreSQL, and the auditor's questions to it.
// Any number of nodes may have one on the same database.
type Journal struct {
	pool  *sessions
	works *sessions // of the sequencer
	leads *leads
	vault *vault.Vault
	gates *gates
	tail  *tail
	log   *slog.Logger

	mu   sync.Mutex
	mark int64     // pending rows below this id are looked for only now and then
	full time.Time // when all were last looked for
	kept time.Time // when checkpoints were last thinned out

	partition int64           // entries to a partition; 0: not read yet
	made      map[string]bool // partitions that are there
	blocks    *int64          // the first entry that is in a block; nil: not known to have begun

	looking sync.Mutex
	last    lastBlocks
	edge    edge  // what the last transaction has left
	lastOf  int64 // the term of both

	tiles madeTiles
}

var _ clerk.Book = (*Journal)(nil)

// Journal opens the journal in the store's database and begins the log under
// origin if there is none yet. keys are those of what the entries commit to;
// on a node without them it is nil, and values cannot be read or searched there.
// A log that exists goes on under its own origin: Head tells which.
func (s *Store) Journal(ctx context.Context, origin string, keys *vault.Vault) (*Journal, error) {
	j, err := openJournal(ctx, s.pool, s.leads, origin, keys, s.log)
	if err != nil {
		return nil, err
	}
	j.works, j.gates, j.tail = s.works, &s.gates, &s.tail
	return j, nil
}

func openJournal(ctx context.Context, pool *sessions, leads *leads, origin string, keys *vault.Vault, log *slog.Logger) (*Journal, error) {
	empty, _ := tlog.TreeHash(0, nil)
	_, err := pool.Exec(ctx, `INSERT INTO journal_head (origin, epoch, size, root, period_from, totals)
		VALUES ($1, 1, 0, $2, 0, '{}') ON CONFLICT DO NOTHING`, origin, empty[:])
	if err != nil {
		return nil, fmt.Errorf("begin the journal: %w", err)
	}
	return &Journal{pool: pool, works: pool, leads: leads, vault: keys, gates: &gates{}, tail: &tail{}, log: log}, nil
}

// Name gives the log its origin while it has neither an entry nor a signature: a node
// without the log's key may have begun it, under a name of its own.
func (j *Journal) Name(ctx context.Context, origin string) error {
	_, err := j.pool.Exec(ctx, `UPDATE journal_head SET origin = $1 WHERE origin <> $1 AND size = 0 AND epoch = 1 AND NOT EXISTS (SELECT FROM journal_checkpoint)`, origin)
	if err != nil {
		return fmt.Errorf("name the journal: %w", err)
	}
	return nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const headSQL = `SELECT origin, epoch, size, root, coalesce(logged, '-infinity'), period_from, coalesce(period_start, '-infinity'), totals, stopped FROM journal_head`

func readHead(ctx context.Context, q querier, sql string) (clerk.Head, error) {
	var h clerk.Head
	var root, totals []byte
	var logged, start pgxTime
	err := q.QueryRow(ctx, sql).Scan(&h.Origin, &h.Epoch, &h.Tree.N, &root, &logged, &h.PeriodFrom, &start, &totals, &h.Stopped)
	if err != nil {
		return h, fmt.Errorf("read the journal's head: %w", err)
	}
	if len(root) != tlog.HashSize {
		return h, &journal.BrokenError{What: fmt.Sprintf("the head's root has %d bytes", len(root))}
	}
	h.Tree.Hash, h.Logged, h.PeriodStart = tlog.Hash(root), time.Time(logged), time.Time(start)
	if err := json.Unmarshal(totals, &h.Totals); err != nil {
		return h, &journal.BrokenError{What: "the head's totals: " + err.Error()}
	}
	return h, nil
}

// pgxTime reads a timestamp; -infinity is the zero time.
type pgxTime time.Time

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (t *pgxTime) ScanTimestamptz(v pgtype.Timestamptz) error {
	*t = pgxTime(time.Time{})
	if v.Valid && v.InfinityModifier == 0 {
		*t = pgxTime(v.Time.UTC())
	}
	return nil
}

// Head implements clerk.Book.
func (j *Journal) Head(ctx context.Context) (clerk.Head, error) {
	return readHead(ctx, j.pool, headSQL)
}

// Stop implements clerk.Book.
func (j *Journal) Stop(ctx context.Context, why string) error {
	_, err := j.pool.Exec(ctx, `UPDATE journal_head SET stopped = $1`, why)
	return err
}

// lookSQL renews the term that $1 to $3 name when a third of it has passed ($4 are
// its seconds), or claims the work when $5 says so and it is free since $6 seconds,
// and tells how the log stands. $7 is the low-water mark of the pending rows.
//
// The lock of older releases keeps us from claiming until an event has waited for a
// whole term.
var lookSQL = `
WITH p AS MATERIALIZED (
	SELECT id, at FROM journal_pending WHERE id >= $7 ORDER BY id LIMIT 1
), r AS (
	UPDATE lead SET until = clock_timestamp() + make_interval(secs => $4::float8)
	WHERE work = $1 AND holder = $2 AND epoch = $3 AND until < clock_timestamp() + make_interval(secs => $4::float8 * 2 / 3)
	RETURNING epoch, set_config('synchronous_commit', 'off', true)
), c AS (
	UPDATE lead SET epoch = epoch + 1, holder = $2, node = $8, until = clock_timestamp() + make_interval(secs => $4::float8)
	WHERE work = (SELECT work FROM lead WHERE $5 AND work = $1 AND (holder = $2 AND epoch <> $3 OR until <= clock_timestamp() - make_interval(secs => $6::float8)) AND (holder = $2 AND epoch = $3) IS NOT TRUE
		AND (` + journalWork.old + ` OR EXISTS (SELECT FROM p WHERE at < clock_timestamp() - make_interval(secs => $4::float8))) FOR UPDATE SKIP LOCKED)
	RETURNING epoch, set_config('synchronous_commit', 'off', true)
)
SELECT coalesce((SELECT epoch FROM r), (SELECT epoch FROM c), CASE WHEN l.holder = $2 AND l.epoch = $3 THEN l.epoch ELSE 0 END),
	l.node, l.until < clock_timestamp() - interval '1 second' AND (l.holder = $2 AND l.epoch = $3) IS NOT TRUE,
	h.size, h.stopped, coalesce((SELECT size FROM journal_checkpoint k WHERE NOT cosigned AND k.origin = h.origin ORDER BY id DESC LIMIT 1), 0),
	coalesce((SELECT id FROM p), 0), coalesce((SELECT extract(epoch FROM clock_timestamp() - at) FROM p), 0)::float8, clock_timestamp()
FROM journal_head h, lead l WHERE l.work = $1`

// Look implements clerk.Book.
func (j *Journal) Look(ctx context.Context, c clerk.Claim) (clerk.Standing, error) {
	behind := 0.0
	if c.Behind {
		behind = j.leads.term.Seconds() / 4
	}
	var s clerk.Standing
	var free bool
	var oldest int64
	var waits float64
	args := append(j.leads.proof(journalWork, c.Term), j.leads.term.Seconds(), c.Want, behind, j.from(), j.leads.node)
	err := j.pool.QueryRow(ctx, lookSQL, args...).Scan(&s.Term, &s.Leader, &free, &s.Size, &s.Stopped, &s.Signed, &oldest, &waits, &s.At)
	if err != nil {
		return s, err
	}
	s.Waits = time.Duration(waits * float64(time.Second))
	if s.Term != 0 && s.Term != c.Term {
		s.Leader = j.leads.node
	}
	if oldest > 0 {
		j.setMark(oldest)
	}
	if c.Want && s.Term == 0 && free {
		j.leads.evict(ctx, journalWork)
	}
	return s, nil
}

// Resign implements clerk.Book.
func (j *Journal) Resign(term int64) {
	if term != 0 {
		j.leads.release(journalWork, term)
	}
}

// Sequence implements clerk.Book.
func (j *Journal) Sequence(ctx context.Context, term int64, step func(clerk.Tx) error) error {
	t := &journalTx{j: j, term: term}
	defer func() { t.rows.release() }()
	j.looking.Lock()
	if j.lastOf != term {
		j.last, j.edge, j.lastOf = nil, edge{}, term // another led meanwhile, and the database may be another
	}
	t.known, j.edge = j.edge, edge{} // until it is known that the transaction was committed
	j.looking.Unlock()
	kept, stop := ctx, func() {}
	if term != 0 {
		kept, stop = j.leads.keep(ctx, journalWork, term)
	}
	err := pgx.BeginTxFunc(kept, j.works, pgx.TxOptions{BeginQuery: sequenceBegin}, func(tx pgx.Tx) error {
		t.tx = tx
		return step(t)
	})
	if stop(); err != nil {
		err = cmp.Or(deposed(kept), err)
	}
	if term != 0 && isCode(err, lockNotAvailable) {
		j.leads.evict(ctx, journalWork)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.made, j.partition, j.blocks = nil, 0, nil // one of them may be what has gone
		j.looking.Lock()
		j.last = nil
		j.looking.Unlock()
		return err
	}
	if t.begun != nil {
		j.blocks = t.begun
	}
	j.looking.Lock()
	if j.edge = t.next; !t.wrote {
		j.edge = t.known
	}
	j.looking.Unlock()
	if t.wrote {
		j.tail.add(t.was, t.next.tree, t.entries)
	}
	for _, name := range t.made {
		if j.made == nil {
			j.made = map[string]bool{}
		}
		j.made[name] = true
	}
	return nil
}

// sequenceBegin bounds how long a transaction of the sequencer waits for the head,
// and how long it holds it when its node has died.
const sequenceBegin = "begin isolation level read committed; set local lock_timeout = 2000; set local idle_in_transaction_session_timeout = 5000"

const lockNotAvailable = "55P03"

// journalTx is one transaction of the sequencer.
type journalTx struct {
	tx    pgx.Tx
	j     *Journal
	term  int64    // to be proved; 0: none
	made  []string // partitions that are there when it commits
	begun *int64   // where blocks begin when it commits

	known, next edge // what it begins with, and what it leaves when it commits
	wrote       bool
	was         tlog.Tree // behind which stand
	entries     []adapter.LogEntry
	rows        *pendingRoom // what waited
}

// edge is what the sequencer need not read again at the end of the log: what the last
// transaction has written there. It is believed under the very tree that this transaction
// has left, which the head, locked, says: then the leaves are those. So it is not in a
// database that was put back, nor behind another leader, nor when a transaction was
// committed and said that it failed.
type edge struct {
	tree  tlog.Tree
	block *blockMaker   // of the block that is not finished; nil: not known from its beginning
	terms map[term]bool // that are there, of the chunk
	chunk int64
}

// Head implements clerk.Tx: the lock that makes two sequencers take turns. What is
// remembered of the log is forgotten when it is not that which the last transaction left.
func (t *journalTx) Head(ctx context.Context) (clerk.Head, error) {
	h, err := readHead(ctx, t.tx, headSQL+" FOR UPDATE")
	if err == nil && h.Tree != t.known.tree {
		t.j.looking.Lock()
		t.j.last = nil
		t.j.looking.Unlock()
	}
	return h, err
}

// pendingSlack is how far below the oldest row of the last batch new rows may
// still appear and be found at once: transactions that were slow to commit.
// Older ones are found within pendingFull.
const (
	pendingSlack = 5_000
	pendingFull  = 2 * time.Second
)

// Pending implements clerk.Tx. It begins at a low-water mark, so that rows
// already taken but not vacuumed yet are not read again and again. The rows are
// found, read and removed in one pass; their places on the page are safe to go by
// because nobody ever updates one. The batch ends with the row that fills it: a
// row has the events of a statement, and they stay together. Where the rest may wait, it
// ends with the row that finishes the last block that they all finish: what is behind a
// block costs as much again, as a piece, and is written anew with the next batch.
func (t *journalTx) Pending(ctx context.Context, limit int, first int64) (events []clerk.Pending, more bool, err error) {
	if t.rows == nil {
		t.rows = pendingRooms.Get().(*pendingRoom)
	}
	found, _ := t.tx.Query(ctx, pendingSQL, t.j.from(), limit, pendingBytes, first)
	type row struct {
		id     int64
		events [][]byte
	}
	var rows []row
	var id int64
	if _, err = pgx.ForEachRow(found, []any{&id, t.rows, &more}, func() error {
		rows = append(rows, row{id, t.rows.row()})
		return nil
	}); err != nil || len(rows) == 0 {
		return nil, false, err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	events = make([]clerk.Pending, 0, len(t.rows.events))
	for _, r := range rows {
		for _, e := range r.events {
			events = append(events, clerk.Pending{ID: r.id, Event: e})
		}
	}
	t.j.setMark(rows[0].id)
	return events, more, nil
}

// pendingRoom takes the events of rows, one row behind the other: the driver would make an
// object of each. They are good until it is given back.
type pendingRoom struct {
	bytes  []byte
	events [][]byte
	begin  int // of the row's events
	at     int // where the next one goes
}

var pendingRooms = sync.Pool{New: func() any { return new(pendingRoom) }}

// release gives the room back, unless it is larger than a full batch leaves it.
func (r *pendingRoom) release() {
	if r != nil && cap(r.bytes) <= 2*pendingBytes {
		clear(r.events)
		*r = pendingRoom{bytes: r.bytes[:0], events: r.events[:0]}
		pendingRooms.Put(r)
	}
}

// row gives the events of the row that was read last.
func (r *pendingRoom) row() [][]byte { return r.events[r.begin:] }

// SetDimensions implements pgtype.ArraySetter.
func (r *pendingRoom) SetDimensions(dimensions []pgtype.ArrayDimension) error {
	r.begin, r.at = len(r.events), len(r.events)
	for _, d := range dimensions {
		r.events = slices.Grow(r.events, int(d.Length))[:len(r.events)+int(d.Length)]
	}
	return nil
}

// ScanIndex implements pgtype.ArraySetter.
func (r *pendingRoom) ScanIndex(i int) any {
	r.at = r.begin + i
	return r
}

// ScanIndexType implements pgtype.ArraySetter.
func (r *pendingRoom) ScanIndexType() any { return r }

// ScanBytes implements pgtype.BytesScanner.
func (r *pendingRoom) ScanBytes(b []byte) error {
	before := len(r.bytes)
	r.bytes = append(r.bytes, b...)
	r.events[r.at] = r.bytes[before:len(r.bytes):len(r.bytes)]
	return nil
}

// pendingSQL takes the rows from the id $1 on, until they have $2 events or $3 bytes, and
// says whether they have. $4 is the index of the first, or negative: then none of them waits
// for the next batch.
const pendingSQL = `
WITH p AS MATERIALIZED (
	SELECT * FROM (
		SELECT ctid, entries, bytes, sum(entries) OVER w - entries AS before, sum(bytes) OVER w - bytes AS bytes_before
		FROM (SELECT ctid, id, entries, coalesce(pg_column_size(events), pg_column_size(packed), pg_column_size(event)) AS bytes FROM journal_pending WHERE id >= $1 ORDER BY id LIMIT $2) p
		WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING)
	) p WHERE before < $2 AND bytes_before < $3
), n AS (
	SELECT sum(entries) >= $2 OR sum(bytes) >= $3 AS "full",
		CASE WHEN $4::bigint >= 0 AND ($4 + sum(entries)) / 256 > $4 / 256 THEN ($4 + sum(entries)) / 256 * 256 - $4 ELSE sum(entries) END AS whole
	FROM p
)
DELETE FROM journal_pending WHERE ctid = ANY (ARRAY(SELECT ctid FROM p WHERE before < (SELECT whole FROM n)))
RETURNING id, coalesce(events, ARRAY[coalesce(packed, convert_to(event::text, 'UTF8'))]), (SELECT "full" FROM n)`

// pendingBytes is with how many bytes of rows a batch is full, whatever its events come
// to.
var pendingBytes = 8 << 20 // less in tests

// from is where a search for pending rows begins.
func (j *Journal) from() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Since(j.full) > pendingFull {
		j.full = time.Now()
		return 0
	}
	return j.mark
}

// setMark remembers the oldest row that was found.
func (j *Journal) setMark(oldest int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mark = oldest - pendingSlack
}

// Counters implements clerk.Tx.
func (t *journalTx) Counters(ctx context.Context, parties []string) (map[string]journal.Counter, error) {
	rows, _ := t.tx.Query(ctx, `SELECT party, sent, received FROM journal_counter WHERE $1::text[] IS NULL OR party = ANY ($1)`, parties)
	out := map[string]journal.Counter{}
	var party string
	var c journal.Counter
	_, err := pgx.ForEachRow(rows, []any{&party, &c.Sent, &c.Received}, func() error {
		out[party] = c
		return nil
	})
	return out, err
}

// Last implements clerk.Tx.
func (t *journalTx) Last(ctx context.Context, messages []string) (map[string]clerk.Latest, error) {
	rows, _ := t.tx.Query(ctx, `
SELECT m, e.idx, e.test FROM (SELECT DISTINCT m FROM unnest($1::text[]) m) m,
LATERAL (SELECT idx, test FROM journal_entry WHERE message = m AND message <> '' ORDER BY idx DESC LIMIT 1) e`, messages)
	out := map[string]clerk.Latest{}
	var message string
	var latest clerk.Latest
	_, err := pgx.ForEachRow(rows, []any{&message, &latest.Index, &latest.Test}, func() error {
		out[message] = latest
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, t.lastInBlocks(ctx, messages, out)
}

// Write implements clerk.Tx.
func (t *journalTx) Write(ctx context.Context, b *clerk.Batch) error {
	if t.known.tree != b.Was.Tree {
		t.known = edge{}
	}
	t.next, t.wrote = edge{tree: b.Head.Tree}, true
	from, err := t.blocksFrom(ctx, b.Was.Tree.N)
	if err != nil {
		return err
	}
	rows := min(max(0, from-b.Was.Tree.N), int64(len(b.Entries))) // the first ones; the others are kept in blocks
	openings, err := t.sealOpenings(b, from)
	if err != nil {
		return err
	}
	if err := t.partitions(ctx, b, int(rows), openings); err != nil {
		return err
	}
	if rows > 0 {
		if err := t.copyEntries(ctx, b.Entries[:rows]); err != nil {
			return err
		}
	}
	if err := t.copyOpenings(ctx, openings); err != nil {
		return err
	}
	t.was, t.entries = b.Was.Tree, tailOf(b)
	return t.rest(ctx, b, b.Entries[rows:], openings.together)
}

// copyEntries writes rows of journal_entry.
func (t *journalTx) copyEntries(ctx context.Context, list []clerk.Entry) error {
	entries := newCopied(1200 * len(list))
	for i := range list {
		e := &list[i]
		l := e.Leaf
		entries.row(len(entryColumns))
		entries.bigint(e.Index)
		entries.timestamptz(l.Logged)
		for _, text := range []string{string(l.Kind), l.Message, l.MessageID, l.Original, l.Sender, l.Recipient, l.Service, l.Version, l.Outcome, l.Incident, l.Certificate, l.Channel, l.Reference} {
			entries.text(text)
		}
		entries.bool(l.Test)
		entries.bytea(e.Bytes)
	}
	if err := entries.into(ctx, t.tx, "journal_entry", entryColumns); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	return nil
}

var (
	entryColumns = []string{"idx", "logged", "kind", "message", "message_id", "original", "sender", "recipient", "service", "version", "outcome", "incident", "certificate", "channel", "reference", "test", "leaf"}
	openColumns  = []string{"key", "idx", "field", "class", "box", "blind"}
)

// rest writes everything but the rows of Write's copies, in one round trip.
func (t *journalTx) rest(ctx context.Context, b *clerk.Batch, blocks []clerk.Entry, openings []openingRow) error {
	batch := &pgx.Batch{}
	want := []int64{} // rows that each statement must have changed, -1 for any
	add := func(rows int64, sql string, args ...any) {
		batch.Queue(sql, args...)
		want = append(want, rows)
	}
	// First: it counts the pieces that a finished block takes up.
	if b.Head.Tree.N/tallyEvery > b.Was.Tree.N/tallyEvery {
		if err := queueTally(ctx, t.tx, add, b.Was.Tree.N, b.Entries); err != nil {
			return err
		}
	}
	if err := t.queueBlocks(ctx, add, blocks); err != nil {
		return fmt.Errorf("blocks: %w", err)
	}
	queueOpenings(add, openings)
	tiles := b.Tiles
	if t.j.gates.madeTiles.Load() {
		from := b.Head.Tree.N - int64(len(blocks))
		tiles = slices.DeleteFunc(slices.Clone(tiles), func(t journal.Tile) bool {
			return t.Level == 0 && t.Width() == journal.TileWidth && t.N*blockSize+blockSize > from
		})
	}
	queueTiles(add, tiles)
	if len(b.Counters) > 0 {
		parties := slices.Sorted(maps.Keys(b.Counters))
		sent, received := []int64{}, []int64{}
		for _, p := range parties {
			sent, received = append(sent, b.Counters[p].Sent), append(received, b.Counters[p].Received)
		}
		add(int64(len(parties)), `INSERT INTO journal_counter (party, sent, received) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
			ON CONFLICT (party) DO UPDATE SET sent = excluded.sent, received = excluded.received`, parties, sent, received)
	}
	t.queueTerms(add, b.Entries)
	queueReferences(add, b.Entries)
	totals, err := json.Marshal(b.Head.Totals)
	if err != nil {
		return err
	}
	h := b.Head
	add(1, `UPDATE journal_head SET origin = $1, epoch = $2, size = $3, root = $4, logged = $5, period_from = $6, period_start = $7, totals = $8, stopped = $9
		WHERE size = $10 AND epoch = $11`,
		h.Origin, h.Epoch, h.Tree.N, h.Tree.Hash[:], h.Logged, h.PeriodFrom, h.PeriodStart, totals, h.Stopped, b.Was.Tree.N, b.Was.Epoch)
	if t.term != 0 {
		add(1, proofSQL, t.j.leads.proof(journalWork, t.term)...) // last: the row is locked for no longer than it must be
	}
	results := t.tx.SendBatch(ctx, batch)
	defer results.Close()
	for i, rows := range want {
		tag, err := results.Exec()
		if err == nil && t.term != 0 && i == len(want)-1 && tag.RowsAffected() == 0 {
			return &DeposedError{journalWork.name, t.term}
		}
		if err == nil && rows >= 0 && tag.RowsAffected() != rows {
			err = fmt.Errorf("%d rows changed, want %d", tag.RowsAffected(), rows)
		}
		if err != nil {
			verb, _, _ := strings.Cut(batch.QueuedQueries[i].SQL, "(")
			return fmt.Errorf("%s: %w", strings.TrimSpace(verb), err)
		}
	}
	return results.Close()
}

// combination is what the daily totals count by, beside the day.
type combination struct {
	kind, sender, recipient, service, version, outcome, channel string
	test                                                        bool
}

func combinationOf(l *journal.Leaf) combination {
	return combination{string(l.Kind), l.Sender, l.Recipient, l.Service, l.Version, l.Outcome, l.Channel, l.Test}
}

// places is where entries stand: how many, and the first and the last of them.
type places struct{ entries, first, last int64 }

func (p *places) add(index int64) {
	if p.entries == 0 {
		p.first = index
	}
	p.entries, p.last = p.entries+1, index
}

// chunkSize is how many entries one row of journal_term speaks of.
const chunkSize = 1024

// term is a row of journal_term: a value that some entry of the chunk has in the
// column dim.
type term struct {
	dim, value string
	chunk      int64
}

// terms are the terms of a combination in a chunk; those with an empty value are
// not rows.
func (c *combination) terms(chunk int64) [7]term {
	test := ""
	if c.test {
		test = "true"
	}
	return [...]term{{"sender", c.sender, chunk}, {"recipient", c.recipient, chunk}, {"service", c.service, chunk},
		{"kind", c.kind, chunk}, {"outcome", c.outcome, chunk}, {"channel", c.channel, chunk}, {"test", test, chunk}}
}

// queueTerms writes the batch's terms. Most of those of the first chunk are there already.
func (t *journalTx) queueTerms(add func(int64, string, ...any), entries []clerk.Entry) {
	met := map[combination]bool{}
	var last combination
	chunk, seen := t.known.chunk, t.known.terms
	var dims, values []string
	var chunks []int64
	for i, e := range entries {
		c, in := combinationOf(e.Leaf), e.Index/chunkSize
		if seen == nil || in != chunk {
			chunk, seen = in, map[term]bool{}
			clear(met)
		} else if i > 0 && c == last || met[c] {
			continue
		}
		last, met[c] = c, true
		for _, t := range c.terms(chunk) {
			if t.value != "" && !seen[t] {
				seen[t] = true
				dims, values, chunks = append(dims, t.dim), append(values, t.value), append(chunks, t.chunk)
			}
		}
	}
	t.next.chunk, t.next.terms = chunk, seen
	if len(dims) > 0 {
		add(-1, `INSERT INTO journal_term (dim, value, chunk) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING`, dims, values, chunks)
	}
}

// queueReferences writes which messages name the one that their chain began with.
func queueReferences(add func(int64, string, ...any), entries []clerk.Entry) {
	var references []string
	var indexes []int64
	for _, e := range entries {
		if e.Leaf.Reference != "" {
			references, indexes = append(references, e.Leaf.Reference), append(indexes, e.Index)
		}
	}
	if len(indexes) > 0 {
		add(int64(len(indexes)), "INSERT INTO journal_reference (reference, idx) SELECT * FROM unnest($1::text[], $2::bigint[])", references, indexes)
	}
}

// tallyEvery is how many entries the daily totals may be behind. Who asks for
// totals counts these one by one.
var tallyEvery int64 = 32_768 // less in tests

// queueTally brings the daily totals up to the last of entries, which begin at size
// and are being written, or up to size. What is in blocks is counted here.
func queueTally(ctx context.Context, db querier, add func(int64, string, ...any), size int64, entries []clerk.Entry) error {
	const tally = `INSERT INTO journal_tally AS t (day, kind, sender, recipient, service, version, outcome, channel, test, entries, first, last) %s
		ON CONFLICT (day, kind, sender, recipient, service, version, outcome, channel, test) DO UPDATE SET entries = t.entries + excluded.entries, last = excluded.last`
	var tallied int64
	var blocks *int64
	if err := db.QueryRow(ctx, "SELECT tallied, blocks FROM journal_head").Scan(&tallied, &blocks); err != nil {
		return err
	}
	end := size + int64(len(entries))
	if blocks == nil || tallied < *blocks {
		rows := end
		if blocks != nil {
			rows = min(end, *blocks)
		}
		add(-1, fmt.Sprintf(tally, `SELECT (logged AT TIME ZONE 'UTC')::date, kind, sender, recipient, service, version, outcome, channel, test, count(*), min(idx), max(idx)
			FROM journal_entry WHERE idx >= $1 AND idx < $2 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9`), tallied, rows)
	}
	if blocks != nil && *blocks < end {
		counted, err := stretchSums(ctx, db, add, max(tallied, *blocks), size, end, entries)
		if err != nil {
			return fmt.Errorf("daily totals: %w", err)
		}
		var days []string
		var texts [7][]string
		var tests []bool
		var ns [3][]int64
		for k, p := range counted {
			days = append(days, k.day)
			for i, v := range []string{k.kind, k.sender, k.recipient, k.service, k.version, k.outcome, k.channel} {
				texts[i] = append(texts[i], v)
			}
			tests = append(tests, k.test)
			for i, n := range []int64{p.entries, p.first, p.last} {
				ns[i] = append(ns[i], n)
			}
		}
		add(-1, fmt.Sprintf(tally, `SELECT * FROM unnest($1::text[]::date[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bool[], $10::bigint[], $11::bigint[], $12::bigint[])`),
			days, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], tests, ns[0], ns[1], ns[2])
	}
	add(1, "SELECT set_config('mezhved.blocks', 'read', true)") // migration 00102
	add(1, `UPDATE journal_head SET tallied = $1`, end)
	return nil
}

// partitions makes those that the batch needs, whose first entries are rows. They
// appear with the batch or not at all.
func (t *journalTx) partitions(ctx context.Context, b *clerk.Batch, rows int, openings *sealedOpenings) error {
	t.j.mu.Lock()
	width := t.j.partition
	t.j.mu.Unlock()
	if width == 0 {
		if err := t.tx.QueryRow(ctx, "SELECT partition FROM journal_head").Scan(&width); err != nil {
			return err
		}
		t.j.mu.Lock()
		t.j.partition = width
		t.j.mu.Unlock()
	}
	parts := func(parent string, entries []clerk.Entry) error {
		if len(entries) == 0 {
			return nil
		}
		for n := entries[0].Index / width; n*width <= entries[len(entries)-1].Index; n++ {
			if err := t.attach(ctx, parent, fmt.Sprintf("%s_%d", parent, n), fmt.Sprintf("FROM (%d) TO (%d)", n*width, (n+1)*width)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := parts("journal_entry", b.Entries[:rows]); err != nil {
		return err
	}
	if err := parts("journal_block", b.Entries[rows:]); err != nil {
		return err
	}
	type of struct{ parent, key string }
	keys := map[of]bool{}
	for i := range openings.rows {
		keys[of{"journal_open", openings.rows[i].Key}] = true
	}
	for i := range openings.together {
		keys[of{"journal_opening", openings.together[i].key}] = true
	}
	for _, k := range slices.SortedFunc(maps.Keys(keys), func(a, b of) int { return cmp.Or(cmp.Compare(a.parent, b.parent), cmp.Compare(a.key, b.key)) }) {
		// The key's name is made of a class and a month, both checked.
		if err := t.attach(ctx, k.parent, k.parent+"_"+strings.ReplaceAll(k.key, "-", "_"), "IN ('"+k.key+"')"); err != nil {
			return err
		}
	}
	return nil
}

// attach makes a partition if it is not there. ATTACH lets readers of the parent
// go on; CREATE TABLE ... PARTITION OF would wait for the longest of them.
func (t *journalTx) attach(ctx context.Context, parent, name, bounds string) error {
	t.j.mu.Lock()
	there := t.j.made[name]
	t.j.mu.Unlock()
	if there {
		return nil
	}
	t.made = append(t.made, name)
	err := t.tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there)
	if err != nil || there {
		return err
	}
	if err := attachLike(ctx, t.tx, parent, name, bounds, growingBlocks); err != nil {
		return fmt.Errorf("make partition %s: %w", name, err)
	}
	return nil
}
