package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// enqueueSQL places arrivals. $1… are parallel arrays with a row per arrival.
// "placed" remembers for good, so that a copy that comes after the message was
// acknowledged is known too.
const enqueueSQL = `
WITH i AS MATERIALIZED (
	SELECT * FROM unnest($1::uuid[], $2::int[], $3::smallint[], $4::text[], $5::int[], $6::timestamptz[], $7::jsonb[], $8::json[])
	WITH ORDINALITY AS t(message, queue, prio, message_id, root, eol, facts, event, n)
), p AS (
	INSERT INTO placed (message, queue) SELECT message, queue FROM i ORDER BY message, queue
	ON CONFLICT DO NOTHING RETURNING message, queue
), q AS (
	INSERT INTO queue (queue, prio, message, message_id, root, eol, facts)
	SELECT queue, prio, message, message_id, root, eol, facts FROM i
	WHERE ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE ORDER BY n
), r AS (
	DELETE FROM relayed r USING i WHERE r.message = i.message AND r.queue = i.queue
), e AS (
	INSERT INTO journal_pending (event) SELECT event FROM i
	WHERE event IS NOT NULL AND ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE ORDER BY n
)
SELECT count(*) FROM p`

// Enqueue is adapter.Store.Enqueue. An arrival whose message this database
// does not have (another installation's bus, a restored backup) is passed over
// with a "dead" event: to stop there would hold up everything behind it.
func (s *Store) Enqueue(ctx context.Context, from adapter.Partition, arrivals []adapter.Arrival) (n int, err error) {
	if len(arrivals) == 0 {
		return 0, nil
	}
	queues := make([]int32, len(arrivals))
	for i, a := range arrivals {
		if queues[i], err = s.names.queueID(ctx, s.pool, a.Queue, true); err != nil {
			return 0, err
		}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		stored, err := lockOffset(ctx, tx, from)
		if err != nil {
			return err
		}
		fresh, freshQueues, last := after(stored, arrivals, queues)
		if len(fresh) == 0 {
			return nil
		}
		known, err := loadFacts(ctx, tx, fresh)
		if err != nil {
			return err
		}
		placement, dead, err := s.place(known, fresh, freshQueues)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(enqueueSQL, placement.arguments()...).QueryRow(func(r pgx.Row) error { return r.Scan(&n) })
		if len(placement.streams.messages) > 0 {
			batch.Queue(streamSQL, placement.streams.arguments(from)...)
		}
		batch.Queue(`UPDATE kafka_offset SET "offset" = $4 WHERE epoch = $1 AND topic = $2 AND partition = $3`,
			from.Epoch, from.Topic, from.Partition, last)
		if len(dead) > 0 {
			batch.Queue(recordSQL, dead)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("queueing from %s/%d: %w", from.Topic, from.Partition, err)
	}
	return n, nil
}

// lockOffset reads the offset of a partition and holds its row until the
// transaction ends: of two intakes that believe to own the partition, one
// waits here and then finds its work done.
func lockOffset(ctx context.Context, tx pgx.Tx, from adapter.Partition) (offset int64, err error) {
	batch := &pgx.Batch{}
	// What is planned here while the tables are empty must be right when they are not.
	batch.Queue("SET LOCAL enable_seqscan = off")
	batch.Queue(`INSERT INTO kafka_offset (epoch, topic, partition, "offset") VALUES ($1, $2, $3, -1) ON CONFLICT DO NOTHING`,
		from.Epoch, from.Topic, from.Partition)
	batch.Queue(`SELECT "offset" FROM kafka_offset WHERE epoch = $1 AND topic = $2 AND partition = $3 FOR UPDATE`,
		from.Epoch, from.Topic, from.Partition).QueryRow(func(r pgx.Row) error { return r.Scan(&offset) })
	return offset, tx.SendBatch(ctx, batch).Close()
}

// after drops what has an offset at or below the stored one, and tells the
// highest of the rest.
func after(stored int64, arrivals []adapter.Arrival, queues []int32) (fresh []adapter.Arrival, freshQueues []int32, last int64) {
	last = stored
	for i, a := range arrivals {
		if a.Offset > stored {
			fresh = append(fresh, a)
			freshQueues = append(freshQueues, queues[i])
			last = max(last, a.Offset)
		}
	}
	return fresh, freshQueues, last
}

// arrived is what a queue row takes from its message.
type arrived struct {
	event     journal.Event
	wire      string // empty for the gateway's own words, which are of no version
	messageID string
	prio      int16
	root      int32
	eol       *time.Time
}

func loadFacts(ctx context.Context, tx pgx.Tx, arrivals []adapter.Arrival) (map[uuid.UUID]arrived, error) {
	ids := make([][16]byte, len(arrivals))
	for i, a := range arrivals {
		ids[i] = a.Message
	}
	rows, _ := tx.Query(ctx, `SELECT id, sender, message_id, direction, original, service, version, root, vip, eol, deadline, digest, size, wire
		FROM message WHERE id = ANY ($1)`, pgx.QueryExecModeCacheDescribe, ids)
	found := make(map[uuid.UUID]arrived, len(arrivals))
	var (
		m             adapter.Message
		id            [16]byte
		root, size    int32
		eol, deadline *time.Time
		digest        []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&id, &m.Sender, &m.MessageID, &m.Direction, &m.Original, &m.Service, &m.Version, &root, &m.VIP, &eol, &deadline, &digest, &size, &m.Wire}, func() error {
		m.ID = id
		copy(m.Digest[:], digest)
		m.Deadline = time.Time{}
		if deadline != nil {
			m.Deadline = deadline.UTC()
		}
		a := arrived{event: facts(&m, adapter.Queue{}), messageID: string(m.MessageID), prio: 1, root: root, eol: eol}
		a.event.Size = int(size)
		if m.Direction != adapter.DirAsync {
			a.wire = m.Wire
		}
		if m.VIP && m.Direction == adapter.DirRequest {
			a.prio = 0 // answers of VIP systems and broadcasts wait like all others
		}
		found[m.ID] = a
		return nil
	})
	return found, err
}

// placements are the arguments of enqueueSQL.
type placements struct {
	messages      [][16]byte
	queues        []int32
	prios         []int16
	messageIDs    []string
	roots         []int32
	eols          []*time.Time
	facts, events []*string
	streams       streams // those that are only noted
}

func (p *placements) arguments() []any {
	return []any{p.messages, p.queues, p.prios, p.messageIDs, p.roots, p.eols, p.facts, p.events}
}

// place makes the queue rows of arrivals, and "dead" events of those whose
// message is unknown.
func (s *Store) place(known map[uuid.UUID]arrived, arrivals []adapter.Arrival, queues []int32) (*placements, []string, error) {
	type place struct {
		message uuid.UUID
		queue   int32
	}
	p := &placements{messages: make([][16]byte, 0, len(arrivals))}
	seen := make(map[place]bool, len(arrivals)) // a copy may follow at once
	var dead []journal.Event
	for i, a := range arrivals {
		at := place{a.Message, queues[i]}
		if seen[at] {
			continue
		}
		seen[at] = true
		k, ok := known[a.Message]
		if !ok {
			s.log.Error("a record on the bus names a message that this database does not have", "message", a.Message, "queue", a.Queue)
			e := a.Event
			e.Kind, e.Message, e.Recipient, e.Outcome = journal.KindDead, a.Message.String(), string(a.Queue.System), "unknown message"
			dead = append(dead, e)
			continue
		}
		k.event.Recipient = string(a.Queue.System)
		if a.Stream {
			facts, err := encodeFacts(k.event, "")
			if err != nil {
				return nil, nil, err
			}
			p.streams.messages = append(p.streams.messages, a.Message)
			p.streams.queues = append(p.streams.queues, queues[i])
			p.streams.offsets = append(p.streams.offsets, a.Offset)
			p.streams.systems = append(p.streams.systems, string(a.Queue.System))
			p.streams.facts = append(p.streams.facts, facts)
			continue
		}
		facts, err := encodeFacts(k.event, k.wire)
		if err != nil {
			return nil, nil, err
		}
		var event *string
		if a.Event.Kind != "" {
			// Of the message the journal hears what the store knows, not what
			// the bus says.
			e := k.event
			e.Kind, e.Time, e.Node, e.Outcome, e.Digest, e.Size = a.Event.Kind, a.Event.Time, a.Event.Node, a.Event.Outcome, "", 0
			encoded, err := encodeEvents([]journal.Event{e})
			if err != nil {
				return nil, nil, err
			}
			event = &encoded[0]
		}
		p.messages = append(p.messages, a.Message)
		p.queues = append(p.queues, queues[i])
		p.prios = append(p.prios, k.prio)
		p.messageIDs = append(p.messageIDs, k.messageID)
		p.roots = append(p.roots, k.root)
		p.eols = append(p.eols, k.eol)
		p.facts = append(p.facts, &facts)
		p.events = append(p.events, event)
	}
	encoded, err := encodeEvents(dead)
	return p, encoded, err
}

// encodeFacts leaves out what every event brings itself. It adds what no event
// says: the version that the message is in, for the lease to compare with the
// reader's. Whoever makes an event of facts takes it off.
func encodeFacts(e journal.Event, wire string) (string, error) {
	b, err := json.Marshal(struct {
		journal.Event
		Kind journal.Kind `json:"kind,omitzero"`
		Time time.Time    `json:"time,omitzero"`
		Wire string       `json:"wire,omitempty"`
	}{Event: e, Wire: wire})
	return string(b), err
}

// Awaited is adapter.Store.Awaited.
func (s *Store) Awaited(ctx context.Context, message uuid.UUID, q adapter.Queue) (awaited bool, err error) {
	to, err := json.Marshal(recipient(q))
	if err != nil {
		return false, err
	}
	queue, err := s.names.queueID(ctx, s.pool, q, false)
	if err != nil || queue == 0 {
		return false, err
	}
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM message, jsonb_array_elements(recipients) r WHERE message.id = $1 AND r = $2::jsonb)
		AND NOT EXISTS (SELECT FROM placed WHERE message = $1 AND queue = $3)`, [16]byte(message), string(to), queue).Scan(&awaited)
	return awaited, err
}

// OldSeals is the time for adapter.Rooms.OldSeals: a week after the database
// learnt of seals of today, or zero when it was new then.
func (s *Store) OldSeals(ctx context.Context) (time.Time, error) {
	var until *time.Time
	err := s.pool.QueryRow(ctx, "SELECT old_until FROM record_seal").Scan(&until)
	if err != nil || until == nil {
		return time.Time{}, err
	}
	return until.UTC(), nil
}
