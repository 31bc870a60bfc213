package postgres

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Relay is adapter.Store.Relay. Messages come without their attachments: the
// bus does not carry them. The shard is led for one batch, so that what is accepted
// at any node goes soon, and for the next ones while rows wait behind it, until a third
// of the term has passed. No transaction is open while publish works: a bus that
// is down holds up nothing here.
func (s *Store) Relay(ctx context.Context, shard, max int, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) (n int, more bool, err error) {
	w := relayWork(shard)
	t, out, rows, err := s.relayRows(ctx, w, shard, max)
	if err != nil || t.epoch == 0 {
		return 0, false, err
	}
	done := false
	defer func() {
		if !done {
			s.leads.release(w, t.epoch)
		}
	}()
	if len(out) == 0 {
		return 0, false, nil
	}
	kept, stop := s.leads.keep(ctx, w, t.epoch)
	out, events, err := s.relayed(kept, out, publish)
	if stop(); err != nil {
		return 0, false, fmt.Errorf("relaying %d messages of shard %d: %w", len(out), shard, cmp.Or(deposed(kept), err))
	}
	encoded, err := s.waiting(events...)
	if err != nil {
		return 0, false, err
	}
	seqs := make([]int64, len(out))
	for i := range out {
		seqs[i] = out[i].Seq
	}
	again := 0.0 // seconds for which the shard is led on
	if ctx.Err() == nil && time.Since(t.began) < s.leads.term/3 {
		again = s.leads.term.Seconds()
	}
	// A caller who is told to stop meanwhile gets this batch finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	direct, p, err := s.direct(ctx, out, rows)
	if err != nil {
		return 0, false, fmt.Errorf("relaying %d messages of shard %d: %w", len(out), shard, err)
	}
	// What the bus refused for good nobody will take: it holds no files.
	dead, systems := buried(events)
	sql, args := relayedSQL, append(s.leads.proof(w, t.epoch), shard, seqs, encoded, again)
	switch {
	case len(direct) == len(out):
		sql, args = relayedQueuedSQL, append(args, p.arguments()...)
	case len(direct)+len(dead) > 0:
		sql, args = relayedMixedSQL, append(append(args, p.arguments()...), dead, systems)
	}
	var led bool
	var queued []int64 // places in out
	t.renewed = time.Now()
	err = s.pool.QueryRow(ctx, s.gates.sql(sql), args...).Scan(&led, &more, &queued)
	switch {
	case isCode(err, divisionByZero), err == nil && !led:
		return 0, false, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, &DeposedError{w.name, t.epoch})
	case err != nil:
		return 0, false, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, err)
	}
	for _, n := range queued {
		out[n].Queued = true
	}
	s.came(p)
	if done = true; more {
		s.relays.put(w, t)
	}
	return len(out), more, nil
}

// relayRows reads a batch under a term in which this node leads the shard: the one of the
// batch before, or a new one. Without it nothing is there to relay, and epoch is 0.
func (s *Store) relayRows(ctx context.Context, w work, shard, max int) (t relayTerm, out []adapter.Outgoing, rows []outboxRow, err error) {
	t = s.relays.take(w)
	fresh := t.epoch != 0 && time.Since(t.renewed) < s.leads.term/3
	var got claimed
	batch := &pgx.Batch{}
	if !fresh { // claimed and read in one round trip; what was read without the lead is thrown away
		t.began = time.Now()
		s.leads.claim(batch, w, fmt.Sprintf("EXISTS (SELECT FROM outbox WHERE shard = %d)", shard), &got)
	}
	batch.Queue(outboxSQL, shard, max).Query(func(found pgx.Rows) error {
		out, rows, err = outgoing(found)
		return err
	})
	if err = s.polls.SendBatch(ctx, batch).Close(); err != nil {
		if fresh {
			s.leads.release(w, t.epoch)
		}
		return relayTerm{}, nil, nil, fmt.Errorf("reading outbox shard %d: %w", shard, err)
	}
	switch {
	case fresh:
		return t, out, rows, nil
	case got.epoch == 0 && len(out) == 0:
		return relayTerm{}, nil, nil, nil
	case got.epoch == 0:
		s.leads.refused(ctx, w, got, out[0].Seq)
		return relayTerm{}, nil, nil, adapter.ErrShardTaken
	}
	s.leads.moved(w)
	t.epoch = got.epoch
	return t, out, rows, nil
}

// relayTerm is a term in which this node leads a shard. Its times are this process's, in
// which only what passes is measured.
type relayTerm struct {
	epoch          int64 // 0: there is none
	began, renewed time.Time
}

// relayTerms are those that last beyond a batch, because rows wait behind it. The zero
// value is ready.
type relayTerms struct {
	mu sync.Mutex
	of map[string]relayTerm
}

func (r *relayTerms) put(w work, t relayTerm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]relayTerm{}
	}
	r.of[w.name] = t
}

// take gives the term to whoever goes on in it.
func (r *relayTerms) take(w work) (t relayTerm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t = r.of[w.name]
	delete(r.of, w.name)
	return t
}

// leaveShards ends the terms in which nobody goes on.
func (s *Store) leaveShards() {
	for shard := range adapter.Shards {
		w := relayWork(shard)
		if t := s.relays.take(w); t.epoch != 0 {
			s.leads.release(w, t.epoch)
		}
	}
}

// outboxSQL reads a batch, and of each row its queue, as the database has it now, and
// whether messages of that are on the bus that were to come there by the intake and have
// not: none may overtake them.
const outboxSQL = `SELECT o.seq, o.message, o.queue, (SELECT r.queue FROM relayed r WHERE r.queue = o.queue LIMIT 1) IS NULL, n.system, n.kind, n.node
	FROM (SELECT * FROM outbox WHERE shard = $1 ORDER BY seq LIMIT $2) o LEFT JOIN queue_name n ON n.id = o.queue ORDER BY o.seq`

// outboxRow is what the store knows of a row beside.
type outboxRow struct {
	queue int32
	free  bool // goes into its queue if it may
}

// direct gives the places in out of what goes into its queue with the commit, and its
// rows there.
func (s *Store) direct(ctx context.Context, out []adapter.Outgoing, rows []outboxRow) (direct []int, p *placements, err error) {
	var arrivals []adapter.Arrival
	var queues []int32
	known := map[uuid.UUID]arrived{}
	for i := range out {
		m := out[i].Message
		if out[i].Arrival.Kind == "" || !rows[i].free {
			continue
		}
		root, err := s.names.rootID(ctx, s.pool, m.Root, true)
		if err != nil {
			return nil, nil, err
		}
		known[m.ID] = arrivedOf(m, root, timeOrNull(m.EOL), len(m.Body))
		direct, queues = append(direct, i), append(queues, rows[i].queue)
		arrivals = append(arrivals, adapter.Arrival{Offset: int64(i), Message: m.ID, Queue: out[i].Queue, Event: out[i].Arrival})
	}
	p, err = s.place(known, arrivals, queues)
	return direct, p, err
}

// relayedQueuedSQL takes a batch out of the outbox, puts it into its queues, writes its
// events and ends the term that it proves, or leads on when rows wait behind the batch
// and it may ($7). relayedSQL only remembers that the batch is
// on the bus: it waits for the intake. relayedMixedSQL is for a batch of which a part
// does, or of which the bus has refused something. Without the term nothing is done.
// When rows have gone all the same, a relay of an older release was at work: the
// division by zero undoes the statement, and what is left is relayed again.
var (
	relayedSQL       = relayedBatchSQL(false, true, "", "")
	relayedQueuedSQL = relayedBatchSQL(true, false, "", "")
	relayedMixedSQL  = relayedBatchSQL(true, true, `
	WHERE ((message, queue) IN (SELECT message, queue FROM i)) IS NOT TRUE
		AND NOT EXISTS (SELECT FROM unnest($17::uuid[], $18::text[]) t(message, system), queue_name q
		WHERE t.message = o.message AND q.id = o.queue AND q.system = t.system)`, `, f AS (
	DELETE FROM file_awaited a USING unnest($17::uuid[], $18::text[]) t(message, system), queue_name q
	WHERE q.system = t.system AND a.queue = q.id AND a.message = t.message AND EXISTS (SELECT FROM l)
)`)
)

func relayedBatchSQL(queued, bus bool, onBus, unhold string) string {
	var into, after, told, placed string
	placed = "ARRAY[]::bigint[]"
	if queued {
		into = `, i AS MATERIALIZED (
	SELECT t.* FROM unnest($8::bigint[], $9::uuid[], $10::int[], $11::smallint[], $12::text[], $13::int[], $14::timestamptz[], $15::jsonb[], $16::bytea[])
	WITH ORDINALITY AS t(at, message, queue, prio, message_id, root, eol, facts, event, n) WHERE EXISTS (SELECT FROM l)
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
	UPDATE lead SET until = clock_timestamp() + make_interval(secs => CASE
		WHEN $7::float8 > 0 AND EXISTS (SELECT FROM outbox WHERE shard = $4 AND seq > ($5::bigint[])[cardinality($5::bigint[])]) THEN $7 ELSE 0 END)
	WHERE work = $1 AND holder = $2 AND epoch = $3 RETURNING until > clock_timestamp() AS "on"
), o AS (
	DELETE FROM outbox WHERE shard = $4 AND seq = ANY ($5) AND EXISTS (SELECT FROM l) RETURNING message, queue
)` + into + after + unhold + `, e AS (
	` + waitSQL(`SELECT e, n FROM unnest($6::bytea[]) WITH ORDINALITY t(e, n) WHERE EXISTS (SELECT FROM l)`+told) + `
)
SELECT EXISTS (SELECT FROM l) AND 1 / (CASE WHEN EXISTS (SELECT FROM l) AND (SELECT count(*) FROM o) < cardinality($5::bigint[]) THEN 0 ELSE 1 END) = 1, coalesce((SELECT "on" FROM l), false), ` + placed
}

// relayed loads the messages of a batch, as many as may be held at once, and has
// them published.
func (s *Store) relayed(ctx context.Context, out []adapter.Outgoing, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) ([]adapter.Outgoing, []journal.Event, error) {
	out, err := s.bounded(ctx, out)
	if err != nil {
		return out, nil, err
	}
	if err := s.fill(ctx, out); err != nil {
		return out, nil, err
	}
	events, err := publish(ctx, out)
	return out, events, err
}

// bounded cuts a batch behind the message with which its bodies come to
// adapter.RelayBytes. While the bus is away any number of large messages may wait.
func (s *Store) bounded(ctx context.Context, out []adapter.Outgoing) ([]adapter.Outgoing, error) {
	sizes := make(map[uuid.UUID]int, len(out))
	var rest [][16]byte
	for i := range out {
		id := out[i].Message.ID
		if bytes, known := s.fresh.size(id); known {
			sizes[id] = bytes
		} else {
			rest = append(rest, id)
		}
	}
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
	for i := range out {
		if total += sizes[out[i].Message.ID]; total >= adapter.RelayBytes {
			return out[:i+1], nil
		}
	}
	return out, nil
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

// outgoing reads rows of outboxSQL; the messages have only their ids.
func outgoing(found pgx.Rows) (out []adapter.Outgoing, rows []outboxRow, err error) {
	out, err = pgx.CollectRows(found, func(r pgx.CollectableRow) (o adapter.Outgoing, err error) {
		var id [16]byte
		var row outboxRow
		err = r.Scan(&o.Seq, &id, &row.queue, &row.free, &o.Queue.System, &o.Queue.Kind, &o.Queue.Node)
		rows = append(rows, row)
		o.Message = &adapter.Message{ID: id}
		return o, err
	})
	return out, rows, err
}

// fill loads messages.
func (s *Store) fill(ctx context.Context, out []adapter.Outgoing) error {
	ids := make([][16]byte, 0, len(out))
	for i := range out {
		ids = append(ids, out[i].Message.ID)
	}
	messages, err := s.loadMany(ctx, ids)
	if err != nil {
		return err
	}
	for i := range out {
		m := messages[out[i].Message.ID]
		if m.Message == nil {
			return fmt.Errorf("message %s is in the outbox and nowhere else", out[i].Message.ID)
		}
		out[i].Message, out[i].Kept = m.Message, m.kept
	}
	return nil
}

// loaded is a message with its body as it is kept, if that is sealed.
type loaded struct {
	*adapter.Message
	kept *adapter.Kept
}

// loadMany gives messages by our ids, without attachments.
func (s *Store) loadMany(ctx context.Context, ids [][16]byte) (map[uuid.UUID]loaded, error) {
	messages := make(map[uuid.UUID]loaded, len(ids))
	var rest [][16]byte
	for _, id := range ids {
		if m, kept := s.fresh.whole(id); m != nil {
			messages[id] = loaded{m, kept}
		} else {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return messages, nil
	}
	// Planned each time (no cached plan), so that only the partitions of these
	// ids are opened and locked.
	rows, _ := s.pool.Query(ctx, "SELECT "+messageColumns+" FROM message WHERE id = ANY ($1)", pgx.QueryExecModeCacheDescribe, rest)
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
		messages[m.ID] = loaded{m, kept}
	}
	return messages, nil
}
