package postgres

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Relay is adapter.Store.Relay. Messages come without their attachments: the
// bus does not carry them. The shard is led for one batch, so that what is accepted
// at any node goes soon, and no transaction is open while publish works: a bus that
// is down holds up nothing here.
func (s *Store) Relay(ctx context.Context, shard, max int, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) (n int, err error) {
	w := relayWork(shard)
	// Claimed and read in one round trip; what was read without the lead is thrown away.
	var got claimed
	var out []adapter.Outgoing
	batch := &pgx.Batch{}
	s.leads.claim(batch, w, fmt.Sprintf("EXISTS (SELECT FROM outbox WHERE shard = %d)", shard), &got)
	batch.Queue("SELECT seq, message, queue FROM outbox WHERE shard = $1 ORDER BY seq LIMIT $2", shard, max).Query(func(rows pgx.Rows) error {
		out, err = s.outgoing(rows)
		return err
	})
	err = s.pool.SendBatch(ctx, batch).Close()
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading outbox shard %d: %w", shard, err)
	case got.epoch == 0 && len(out) == 0:
		return 0, nil
	case got.epoch == 0:
		s.leads.refused(ctx, w, got, out[0].Seq)
		return 0, adapter.ErrShardTaken
	}
	s.leads.moved(w)
	done := false
	defer func() {
		if !done {
			s.leads.release(w, got.epoch)
		}
	}()
	if len(out) == 0 {
		return 0, nil
	}
	kept, stop := s.leads.keep(ctx, w, got.epoch)
	out, events, err := s.relayed(kept, out, publish)
	if stop(); err != nil {
		return 0, fmt.Errorf("relaying %d messages of shard %d: %w", len(out), shard, cmp.Or(deposed(kept), err))
	}
	encoded, err := encodeEvents(events)
	if err != nil {
		return 0, err
	}
	seqs := make([]int64, len(out))
	for i := range out {
		seqs[i] = out[i].Seq
	}
	// A caller who is told to stop meanwhile gets this batch finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	// What the bus refused for good nobody will take: it holds no files.
	dead, systems := buried(events)
	sql, args := relayedSQL, append(s.leads.proof(w, got.epoch), shard, seqs, encoded)
	if len(dead) > 0 {
		sql, args = relayedDeadSQL, append(args, dead, systems)
	}
	var led bool
	err = s.pool.QueryRow(ctx, sql, args...).Scan(&led)
	switch {
	case isCode(err, divisionByZero), err == nil && !led:
		return 0, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, &DeposedError{w.name, got.epoch})
	case err != nil:
		return 0, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, err)
	}
	done = true
	return len(out), nil
}

// relayedSQL takes a batch out of the outbox, remembers that it is on the bus,
// writes its events and ends the term that it proves. Without the term nothing is done. When rows have gone all the
// same, a relay of an older release was at work: the division by zero undoes the
// statement, and what is left is relayed again. relayedDeadSQL is for a batch of
// which the bus has refused something.
var (
	relayedSQL     = relayedBatchSQL("", "")
	relayedDeadSQL = relayedBatchSQL(`
	WHERE NOT EXISTS (SELECT FROM unnest($7::uuid[], $8::text[]) t(message, system), queue_name q
		WHERE t.message = o.message AND q.id = o.queue AND q.system = t.system)`, `, f AS (
	DELETE FROM file_awaited a USING unnest($7::uuid[], $8::text[]) t(message, system), queue_name q
	WHERE q.system = t.system AND a.queue = q.id AND a.message = t.message AND EXISTS (SELECT FROM l)
)`)
)

func relayedBatchSQL(alive, unhold string) string {
	return `
WITH l AS (
	` + releaseSQL + ` RETURNING work
), o AS (
	DELETE FROM outbox WHERE shard = $4 AND seq = ANY ($5) AND EXISTS (SELECT FROM l) RETURNING message, queue
), r AS (
	INSERT INTO relayed (message, queue, shard) SELECT message, queue, $4 FROM o` + alive + `
	ON CONFLICT (message, queue) DO UPDATE SET at = excluded.at
)` + unhold + `, e AS (
	INSERT INTO journal_pending (event) SELECT e FROM unnest($6::json[]) WITH ORDINALITY t(e, n) WHERE EXISTS (SELECT FROM l) ORDER BY n
)
SELECT EXISTS (SELECT FROM l) AND 1 / (CASE WHEN EXISTS (SELECT FROM l) AND (SELECT count(*) FROM o) < cardinality($5::bigint[]) THEN 0 ELSE 1 END) = 1`
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
		if m := s.fresh.get(out[i].Message.ID); m != nil {
			sizes[m.ID] = len(m.Body)
		} else {
			rest = append(rest, out[i].Message.ID)
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

// outgoing reads outbox rows; the messages have only their ids, the queues
// only their numbers, in Node.
func (s *Store) outgoing(rows pgx.Rows) ([]adapter.Outgoing, error) {
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (o adapter.Outgoing, err error) {
		var id [16]byte
		var queue int32
		err = r.Scan(&o.Seq, &id, &queue)
		o.Message = &adapter.Message{ID: id}
		if q, ok := s.names.queue.Load(queue); ok {
			o.Queue = q.(adapter.Queue)
		} else {
			o.Queue.Node = fmt.Sprint(queue) // looked up by fill: this connection is busy
		}
		return o, err
	})
}

// fill loads messages and queue names.
func (s *Store) fill(ctx context.Context, out []adapter.Outgoing) error {
	ids := make([][16]byte, 0, len(out))
	for i := range out {
		ids = append(ids, out[i].Message.ID)
		if out[i].Queue.System == "" {
			var number int32
			if _, err := fmt.Sscan(out[i].Queue.Node, &number); err != nil {
				return err
			}
			q, err := s.names.queueOf(ctx, s.pool, number)
			if err != nil {
				return err
			}
			out[i].Queue = q
		}
	}
	loaded, err := s.loadMany(ctx, ids)
	if err != nil {
		return err
	}
	for i := range out {
		m := loaded[out[i].Message.ID]
		if m == nil {
			return fmt.Errorf("message %s is in the outbox and nowhere else", out[i].Message.ID)
		}
		out[i].Message = m
	}
	return nil
}

// loadMany gives messages by our ids, without attachments.
func (s *Store) loadMany(ctx context.Context, ids [][16]byte) (map[uuid.UUID]*adapter.Message, error) {
	loaded := make(map[uuid.UUID]*adapter.Message, len(ids))
	var rest [][16]byte
	for _, id := range ids {
		if m := s.fresh.get(id); m != nil {
			loaded[id] = m
		} else {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return loaded, nil
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
		loaded[m.ID] = m
	}
	return loaded, nil
}
