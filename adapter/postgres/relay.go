package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/gather"
	"mezhved/adapter/journal"
)

// Relay is adapter.Store.Relay. Messages come without their attachments: the
// bus does not carry them. The shard is led for one batch, so that what is accepted
// at any node goes soon, and no transaction is open while publish works: a bus that
// is down holds up nothing here.
func (s *Store) Relay(ctx context.Context, shard, max int, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) (n int, err error) {
	gather.Begin()
	defer gather.End()
	w := relayWork(shard)
	// Claimed and read in one round trip; what was read without the lead is thrown away.
	var got claimed
	var rows []outboxRow
	batch := &pgx.Batch{}
	reading := s.left[shard].read(time.Now(), shard, max)
	reading.look(batch)
	s.leads.claim(batch, w, fmt.Sprintf("EXISTS (SELECT FROM outbox WHERE shard = %d)", shard), &got)
	reading.queue(batch, &rows)
	if err = s.writes.SendBatch(ctx, batch).Close(); err != nil {
		return 0, fmt.Errorf("reading outbox shard %d: %w", shard, err)
	}
	s.left[shard].saw(reading, rows)
	switch {
	case got.epoch == 0 && len(rows) == 0:
		return 0, nil
	case got.epoch == 0:
		s.leads.refused(ctx, w, got, rows[0].seq)
		return 0, adapter.ErrShardTaken
	}
	s.leads.moved(w)
	done := false
	defer func() {
		if !done {
			s.leads.release(w, got.epoch)
		}
	}()
	if len(rows) == 0 {
		return 0, nil
	}
	kept, stop := s.leads.keep(ctx, w, got.epoch)
	out, events, err := s.relayed(kept, rows, publish)
	stop()
	taken := len(seqsOf(out))
	if err == nil && taken == 0 {
		err = deposed(kept) // which left them, and not the bus
	}
	if err != nil {
		return 0, fmt.Errorf("relaying %d messages of shard %d: %w", len(rows), shard, cmp.Or(deposed(kept), err))
	}
	batches := s.batches.Load()
	if taken > 0 {
		batches = s.batches.Add(1)
	}
	apart := s.left[shard].learn(time.Now(), reading, out, rows, batches)
	if taken == 0 {
		s.tellApart(ctx, shard, apart)
		return 0, nil
	}
	encoded, err := s.waiting(events...)
	if err != nil {
		return 0, err
	}
	// A caller who is told to stop meanwhile gets this batch finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	p, err := s.direct(out, rows)
	if err == nil {
		err = s.took(ctx, s.leads.proof(w, got.epoch), shard, out, p, encoded, events)
	}
	if isCode(err, divisionByZero) {
		err = &DeposedError{w.name, got.epoch}
	}
	if err != nil {
		return 0, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, err)
	}
	s.came(p)
	done = true
	s.tellApart(ctx, shard, apart)
	return taken, nil
}

// seqsOf are the rows of a batch that the bus has taken.
func seqsOf(out []adapter.Outgoing) []int64 {
	seqs := make([]int64, 0, len(out))
	for i := range out {
		if !out[i].Left {
			seqs = append(seqs, out[i].Seq)
		}
	}
	return seqs
}

// took commits a batch that is on the bus, as far as it goes with its queue rows, and notes
// what has come into a queue. It divides by zero when the batch is not this node's to take.
func (s *Store) took(ctx context.Context, proof []any, shard int, out []adapter.Outgoing, p *placements, encoded [][]byte, events []journal.Event) error {
	seqs := seqsOf(out)
	proof = append(proof, shard, seqs)
	direct := len(p.messages)
	if direct == len(seqs) && s.usual.relays.expected() {
		_, err := s.writes.Exec(ctx, s.gates.sql(relayedNewSQL), append(slices.Clip(proof), p.newArguments(encoded)...)...)
		if err == nil {
			for i := range out {
				out[i].Queued = !out[i].Left
			}
		}
		if !isCode(err, uniqueViolation) {
			return err
		}
		s.usual.relays.failed()
	}
	// What the bus refused for good nobody will take: it holds no files.
	dead, systems := buried(events)
	sql, args := relayedSQL, append(proof, encoded)
	switch {
	case direct == len(seqs):
		sql, args = relayedQueuedSQL, append(args, p.arguments()...)
	case direct+len(dead) > 0:
		sql, args = relayedMixedSQL, append(append(args, p.arguments()...), dead, systems)
	}
	var queued []int64 // places in out
	err := s.writes.QueryRow(ctx, s.gates.sql(sql), args...).Scan(nil, &queued)
	if err != nil {
		return err
	}
	for _, n := range queued {
		out[n].Queued = true
	}
	return nil
}

// outboxSQL reads a batch, and of each row its queue, as the database has it now, and
// whether messages of that are on the bus that were to come there by the intake and have
// not: none may overtake them.
//
// outboxPastSQL does not read the queues $5, but of those $7 among them some rows each, and some of those
// $11 together: behind the others, which they cannot crowd out where the batch is cut by its bytes. Where it begins
// to read holds as long as the session $1, $2 is there (leftQueues).
var (
	outboxSQL     = outboxOf("SELECT false AS again, * FROM outbox WHERE shard = $1 ORDER BY seq LIMIT $2")
	outboxPastSQL = outboxOf(`(SELECT false AS again, * FROM outbox WHERE shard = $3 AND seq >= (SELECT CASE WHEN EXISTS `+sessionSQL+` THEN $6::bigint ELSE 0 END)
			AND queue <> ALL ($5::int[]) ORDER BY seq LIMIT $4)
		UNION ALL SELECT true, r.* FROM unnest($7::int[], $8::bigint[], $9::int[]) t(queue, first, most), LATERAL (
			SELECT * FROM (SELECT * FROM outbox WHERE shard = $3 AND seq >= CASE WHEN (SELECT EXISTS `+sessionSQL+`) THEN t.first ELSE 0 END ORDER BY seq LIMIT `+strconv.Itoa(leftWindow)+`) w
			WHERE w.queue = t.queue ORDER BY seq LIMIT t.most) r
		UNION ALL (SELECT true, * FROM outbox WHERE shard = $3 AND seq >= (SELECT CASE WHEN EXISTS `+sessionSQL+` THEN $12::bigint ELSE 0 END)
			AND queue = ANY ($11::int[]) ORDER BY seq LIMIT $13)`) + " LIMIT $10"
)

func outboxOf(rows string) string {
	return `SELECT o.seq, o.message, o.queue, (SELECT r.queue FROM relayed r WHERE r.queue >= o.queue AND r.queue <= o.queue ORDER BY r.queue LIMIT 1) IS NULL, o.again, n.system, n.kind, n.node
	FROM (` + rows + `) o LEFT JOIN queue_name n ON n.id = o.queue ORDER BY o.again, o.seq`
}

// outboxRow is a row of outboxSQL, and what the store learns of its message.
type outboxRow struct {
	seq     int64
	message uuid.UUID
	to      adapter.Queue
	queue   int32
	free    bool  // goes into its queue if it may
	again   bool  // was left, or is behind what was
	root    int32 // number of the message's root element, as its own row has it
}

func scanOutboxRow(r pgx.CollectableRow) (row outboxRow, err error) {
	err = r.Scan(&row.seq, (*[16]byte)(&row.message), &row.queue, &row.free, &row.again, &row.to.System, &row.to.Kind, &row.to.Node)
	return row, err
}

// direct gives the rows in their queues of what goes there with the commit; their offsets
// are places in out.
func (s *Store) direct(out []adapter.Outgoing, rows []outboxRow) (*placements, error) {
	p := newPlacements(len(out))
	for i := range out {
		o := &out[i]
		if o.Arrival.Kind == "" || o.Left || !rows[i].free {
			continue
		}
		a := adapter.Arrival{Offset: int64(i), Message: o.Message.ID, Queue: o.Queue, Event: o.Arrival}
		k := arrivedOf(o.Message, rows[i].root, timeOrNull(o.Message.EOL), len(o.Message.Body))
		if err := s.place(p, &a, &rows[i].queue, &k); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// relayedQueuedSQL takes a batch out of the outbox, puts it into its queues, writes its
// events and ends the term that it proves. So does relayedNewSQL, of a batch that has been
// in no queue, as nearly all: what has been is a unique violation. relayedSQL only remembers that the batch is
// on the bus: it waits for the intake. relayedMixedSQL is for a batch of which a part
// does, or of which the bus has refused something. Without the term nothing is done: the
// division by zero undoes the statement. So it does when rows have gone all the same, and a
// relay of an older release was at work: what is left is relayed again.
//
// Nobody is answered by this commit, so it waits for no disk. What follows from it, a
// delivery or a place in the log, is committed behind it, and so is on the disk only when
// it is. A crash of the server that loses it brings the rows of the outbox back: they are
// relayed again, as after a crash before it.
var (
	relayedNewSQL = `
WITH l AS (
	` + releaseSQL + ` RETURNING work, ` + unwaited + `, ` + countsItself + `
), o AS (
	` + outboxGoes + ` RETURNING o.seq
), p AS (
	INSERT INTO placed (message, queue) ` + rowsOf("$7::uuid[], $8::int[]") + `
), q AS (
	INSERT INTO queue AS q (queue, prio, message, message_id, root, eol, facts)
	` + rowsOf("$9::int[], $10::smallint[], $11::uuid[], $12::text[], $13::int[], $14::timestamptz[], $15::jsonb[]") + `
	RETURNING ` + countedOf + `
), c AS (
	` + countSQL("q", "") + `
), e AS (
	` + waitAllSQL("$6::bytea[]") + `
)
SELECT 1 / (CASE WHEN EXISTS (SELECT FROM l) AND (SELECT count(*) FROM o) >= cardinality($5::bigint[]) THEN 1 ELSE 0 END)`

	relayedSQL       = relayedBatchSQL(false, true, "", "")
	relayedQueuedSQL = relayedBatchSQL(true, false, "", "")
	relayedMixedSQL  = relayedBatchSQL(true, true, `
	WHERE ((message, queue) IN (SELECT message, queue FROM i)) IS NOT TRUE
		AND NOT EXISTS (SELECT FROM unnest($16::uuid[], $17::text[]) t(message, system), queue_name q
		WHERE t.message = o.message AND q.id = o.queue AND q.system = t.system)`, `, f AS (
	DELETE FROM file_awaited a USING unnest($16::uuid[], $17::text[]) t(message, system), queue_name q
	WHERE q.system = t.system AND a.queue = q.id AND a.message = t.message AND EXISTS (SELECT FROM l)
)`)
)

// outboxGoes takes the rows $5 of the shard $4 out. Each is found by its key, whatever the planner
// believes to be in the table (queuerow.go): it would read all of a shard and hold each row
// against the array.
const outboxGoes = `DELETE FROM outbox o USING unnest($5::bigint[]) t(seq), LATERAL (SELECT ctid AS at FROM outbox WHERE shard = $4 AND seq = t.seq OFFSET 0) r WHERE o.ctid = r.at`

func relayedBatchSQL(queued, bus bool, onBus, unhold string) string {
	var into, after, told, placed string
	placed = "ARRAY[]::bigint[]"
	if queued {
		into = `, i AS MATERIALIZED (
	SELECT t.* FROM (` + rowsOf("$7::bigint[], $8::uuid[], $9::int[], $10::smallint[], $11::text[], $12::int[], $13::timestamptz[], $14::jsonb[], $15::bytea[]") + `, generate_subscripts($7::bigint[], 1))
	AS t(at, message, queue, prio, message_id, root, eol, facts, event, n) WHERE EXISTS (SELECT FROM l)
)` + placeSQL
		told = `
	UNION ALL SELECT event, cardinality($6::bytea[]) + n FROM i WHERE ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE`
		placed = "ARRAY(SELECT at FROM i JOIN p USING (message, queue))"
	}
	if bus {
		after = `, r AS (
	INSERT INTO relayed (message, queue, shard) SELECT message, queue, $4 FROM o` + onBus + `
	ON CONFLICT (message, queue) DO UPDATE SET at = excluded.at
)`
	}
	return `
WITH l AS (
	` + releaseSQL + ` RETURNING work, ` + unwaited + `
), o AS (
	` + outboxGoes + ` AND EXISTS (SELECT FROM l) RETURNING o.message, o.queue
)` + into + after + unhold + `, e AS (
	` + waitSQL(`SELECT e, n FROM unnest($6::bytea[]) WITH ORDINALITY t(e, n) WHERE EXISTS (SELECT FROM l)`+told) + `
)
SELECT 1 / (CASE WHEN EXISTS (SELECT FROM l) AND (SELECT count(*) FROM o) >= cardinality($5::bigint[]) THEN 1 ELSE 0 END), ` + placed
}

// relayed loads the messages of a batch, as many as may be held at once, and has
// them published.
func (s *Store) relayed(ctx context.Context, rows []outboxRow, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) ([]adapter.Outgoing, []journal.Event, error) {
	out, err := s.outgoing(ctx, rows)
	if err != nil {
		return nil, nil, err
	}
	events, err := publish(ctx, out)
	return out, events, err
}

// outgoing loads the messages of rows, up to the one with which their bodies come to
// adapter.RelayBytes, and notes the root elements of those. While the bus is away any
// number of large messages may wait.
func (s *Store) outgoing(ctx context.Context, rows []outboxRow) ([]adapter.Outgoing, error) {
	found := make([]loaded, len(rows))
	var rest [][16]byte
	for i := range rows {
		if found[i] = s.fresh.lend(rows[i].message); found[i].Message == nil {
			rest = append(rest, rows[i].message)
		}
	}
	found, err := s.bounded(ctx, rows, found, rest)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		if err := s.loadRest(ctx, rows, found); err != nil {
			return nil, err
		}
	}
	out := make([]adapter.Outgoing, len(found))
	for i, m := range found {
		out[i] = adapter.Outgoing{Seq: rows[i].seq, Message: m.Message, Queue: rows[i].to, Kept: m.kept, Again: rows[i].again}
		rows[i].root = m.root
	}
	return out, nil
}

// bounded leaves as many as may be held at once; of the rest it asks how large they are.
func (s *Store) bounded(ctx context.Context, rows []outboxRow, found []loaded, rest [][16]byte) ([]loaded, error) {
	sizes := map[uuid.UUID]int{}
	if len(rest) > 1 {
		rows, _ := s.pool.Query(ctx, "SELECT id, size FROM message WHERE id = ANY ($1)", pgx.QueryExecModeCacheDescribe, rest)
		var id [16]byte
		var size int
		if _, err := pgx.ForEachRow(rows, []any{&id, &size}, func() error {
			sizes[id] = size
			return nil
		}); err != nil {
			return nil, err
		}
	}
	total := 0
	for i := range found {
		if m := found[i].Message; m != nil {
			total += len(m.Body)
		} else {
			total += sizes[rows[i].message]
		}
		if total >= adapter.RelayBytes {
			return found[:i+1], nil
		}
	}
	return found, nil
}

// loadRest fills in what is not there.
func (s *Store) loadRest(ctx context.Context, rows []outboxRow, found []loaded) error {
	var rest [][16]byte
	for i := range found {
		if found[i].Message == nil {
			rest = append(rest, rows[i].message)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	messages, err := s.readMany(ctx, rest)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].Message != nil {
			continue
		}
		if found[i] = messages[rows[i].message]; found[i].Message == nil {
			return fmt.Errorf("message %s is in the outbox and nowhere else", rows[i].message)
		}
	}
	return nil
}

// buried are the messages of "dead" events and their recipients.
func buried(events []journal.Event) (messages [][16]byte, systems []string) {
	for i := range events {
		if id, err := uuid.Parse(events[i].Message); err == nil && events[i].Kind == journal.KindDead {
			messages, systems = append(messages, id), append(systems, events[i].Recipient)
		}
	}
	return messages, systems
}

// loaded is a message with its body as it is kept, if that is sealed, and the number that
// its row has of its root element: the database has that as long as it has the message,
// whatever this node remembers of it.
type loaded struct {
	*adapter.Message
	kept *adapter.Kept
	root int32
}

// readMany gives messages that the database has by our ids, without attachments.
func (s *Store) readMany(ctx context.Context, ids [][16]byte) (map[uuid.UUID]loaded, error) {
	messages := make(map[uuid.UUID]loaded, len(ids))
	// Planned each time (no cached plan), so that only the partitions of these
	// ids are opened and locked.
	rows, _ := s.pool.Query(ctx, "SELECT "+messageColumns+" FROM message WHERE id = ANY ($1)", pgx.QueryExecModeCacheDescribe, ids)
	found, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, err
	}
	for i := range found {
		m, err := s.complete(ctx, &found[i], false)
		if err != nil {
			return nil, err
		}
		kept, err := s.keptOf(ctx, m, found[i].packed, found[i].behind, found[i].reply)
		if err != nil {
			return nil, err
		}
		messages[m.ID] = loaded{m, kept, found[i].root}
	}
	return messages, nil
}
