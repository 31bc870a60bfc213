package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Advisory locks are a class and a number.
const (
	lockClass = 0x6d7a // ours, of all users of this database
	lockDays  = 1000   // making and dropping partitions
	lockFeed  = 1001   // putting the log on the bus
	// 0 to adapter.Shards-1 are the shards of the outbox.
)

// Relay is adapter.Store.Relay. Messages come without their attachments: the
// bus does not carry them. The lock belongs to a session and no transaction is
// open while publish works, so that a bus that is down holds up nothing here.
func (s *Store) Relay(ctx context.Context, shard, max int, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) (n int, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()

	// Taken and read in one round trip; what was read without the lock is thrown away.
	var locked bool
	var out []adapter.Outgoing
	batch := &pgx.Batch{}
	batch.Queue("SELECT pg_try_advisory_lock($1, $2)", lockClass, shard).QueryRow(func(r pgx.Row) error { return r.Scan(&locked) })
	batch.Queue("SELECT seq, message, queue FROM outbox WHERE shard = $1 ORDER BY seq LIMIT $2", shard, max).Query(func(rows pgx.Rows) error {
		out, err = s.outgoing(rows)
		return err
	})
	err = conn.SendBatch(ctx, batch).Close()
	if locked {
		defer s.unlock(conn.Conn(), shard)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading outbox shard %d: %w", shard, err)
	case !locked:
		return 0, adapter.ErrShardTaken
	case len(out) == 0:
		return 0, nil
	}
	if err := s.fill(ctx, out); err != nil {
		return 0, fmt.Errorf("reading outbox shard %d: %w", shard, err)
	}
	events, err := publish(ctx, out)
	if err != nil {
		return 0, err
	}
	encoded, err := encodeEvents(events)
	if err != nil {
		return 0, err
	}
	seqs := make([]int64, len(out))
	for i := range out {
		seqs[i] = out[i].Seq
	}
	// On the session that holds the lock: if it is lost, nothing is deleted and
	// the rows are published again. A caller who is told to stop meanwhile gets
	// this batch finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StatementTimeout)
	defer cancel()
	// What the bus refused for good nobody will take: it holds no files.
	dead, systems := buried(events)
	_, err = conn.Exec(ctx, `WITH o AS (DELETE FROM outbox WHERE shard = $1 AND seq = ANY ($2) RETURNING message, queue),
		r AS (INSERT INTO relayed (message, queue, shard) SELECT message, queue, $1 FROM o
			WHERE NOT EXISTS (SELECT FROM unnest($4::uuid[], $5::text[]) t(message, system), queue_name q
				WHERE t.message = o.message AND q.id = o.queue AND q.system = t.system)
			ON CONFLICT (message, queue) DO UPDATE SET at = excluded.at),
		f AS (DELETE FROM file_awaited a USING unnest($4::uuid[], $5::text[]) t(message, system), queue_name q
			WHERE q.system = t.system AND a.queue = q.id AND a.message = t.message)
		INSERT INTO journal_pending (event) SELECT e FROM unnest($3::json[]) WITH ORDINALITY t(e, n) ORDER BY n`, shard, seqs, encoded, dead, systems)
	if err != nil {
		return 0, fmt.Errorf("committing a relayed batch of shard %d: %w", shard, err)
	}
	return len(out), nil
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

// unlock lets go of a lock. When that cannot be done the connection is closed,
// and the lock with it.
func (s *Store) unlock(conn *pgx.Conn, number int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1, $2)", lockClass, number); err != nil {
		conn.Close(ctx)
	}
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
