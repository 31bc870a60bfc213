package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// enqueueSQL places arrivals and stores how far the partition has been read. $1…
// are parallel arrays with a row per arrival, in the order of their offsets; one of
// an unknown message has no queue and only an event.
//
//   - "k" holds the partition's row until the transaction ends: of two intakes that
//     believe to own the partition, one waits here and then finds its work done. No
//     row: nothing is done, and the caller makes it.
//   - A queue that the database does not have by the number that this node remembers
//     undoes the transaction, by the division by zero.
//   - "placed" remembers for good, so that a copy that comes after the message was
//     acknowledged is known too.
var enqueueSQL = `
WITH k AS MATERIALIZED (
	SELECT "offset" FROM kafka_offset WHERE epoch = $10 AND topic = $11 AND partition = $12 FOR UPDATE
), i AS MATERIALIZED (
	SELECT t.* FROM k, unnest($1::bigint[], $2::uuid[], $3::int[], $4::smallint[], $5::text[], $6::int[], $7::timestamptz[], $8::jsonb[], $9::bytea[])
	WITH ORDINALITY AS t(at, message, queue, prio, message_id, root, eol, facts, event, n) WHERE t.at > k."offset"
)` + placeSQL + `, r AS (
	DELETE FROM relayed r USING i WHERE ` + relayedIs("i") + `
), e AS (
	` + waitSQL(`SELECT event, n FROM i WHERE event IS NOT NULL AND (queue IS NULL OR ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE)`) + `
), o AS (
	UPDATE kafka_offset o SET "offset" = greatest(k."offset", $13) FROM k WHERE o.epoch = $10 AND o.topic = $11 AND o.partition = $12
)
SELECT (SELECT count(*) FROM p), EXISTS (SELECT FROM k), 1 / (CASE WHEN ` + queuesGone(14, 15) + ` THEN 0 ELSE 1 END)`

// placeSQL puts the rows of "i" into their queues; "p" has those that had not been
// there before.
const placeSQL = `, p AS (
	INSERT INTO placed (message, queue) SELECT message, queue FROM i WHERE queue IS NOT NULL ORDER BY message, queue
	ON CONFLICT DO NOTHING RETURNING message, queue
), q AS (
	INSERT INTO queue (queue, prio, message, message_id, root, eol, facts)
	SELECT queue, prio, message, message_id, root, eol, facts FROM i
	WHERE ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE ORDER BY n
)`

// Enqueue is adapter.Store.Enqueue. An arrival whose message this database
// does not have (another installation's bus, a restored backup) is passed over
// with a "dead" event: to stop there would hold up everything behind it.
func (s *Store) Enqueue(ctx context.Context, from adapter.Partition, arrivals []adapter.Arrival) (n int, err error) {
	for tries := 0; ; tries++ {
		n, err = s.enqueue(ctx, from, arrivals)
		if isCode(err, divisionByZero) {
			if err = s.namesLost(tries); err == nil {
				continue
			}
		}
		if err != nil {
			return 0, fmt.Errorf("queueing from %s/%d: %w", from.Topic, from.Partition, err)
		}
		return n, nil
	}
}

// enqueue is Enqueue as long as the database has the queues by the numbers that this node
// remembers; else it divides by zero.
func (s *Store) enqueue(ctx context.Context, from adapter.Partition, arrivals []adapter.Arrival) (n int, err error) {
	queues := make([]int32, len(arrivals))
	for i, a := range arrivals {
		if queues[i], err = s.names.queueID(ctx, s.pool, a.Queue, true); err != nil {
			return 0, err
		}
	}
	arrivals, queues, err = s.unplaced(ctx, arrivals, queues)
	if err != nil || len(arrivals) == 0 {
		return 0, err
	}
	last := int64(-1)
	for _, a := range arrivals {
		last = max(last, a.Offset)
	}
	ids := make([][16]byte, len(arrivals))
	for i := range arrivals {
		ids[i] = arrivals[i].Message
	}
	// What this node remembers of messages may be what the server has lost.
	known := make(map[uuid.UUID]arrived, len(ids))
	if err := s.readFacts(ctx, ids, known); err != nil {
		return 0, err
	}
	p := newPlacements(len(arrivals))
	for i := range arrivals {
		var k *arrived
		if of, ok := known[arrivals[i].Message]; ok {
			k = &of
		}
		if err = s.place(p, &arrivals[i], &queues[i], k); err != nil {
			return 0, err
		}
	}
	named := numberedQueues(arrivals, queues)
	for tries := 0; tries < 2; tries++ {
		there := false
		batch := &pgx.Batch{} // one transaction
		if len(p.streams.messages) > 0 {
			batch.Queue(streamSQL, p.streams.arguments(from)...)
		}
		batch.Queue(s.gates.sql(enqueueSQL), append(p.arguments(), from.Epoch, from.Topic, from.Partition, last, named.queues, named.queueIs)...).
			QueryRow(func(r pgx.Row) error { return r.Scan(&n, &there, nil) })
		if err = s.polls.SendBatch(ctx, batch).Close(); err != nil || there {
			break
		}
		// The first records of the partition, ever.
		if _, err = s.pool.Exec(ctx, `INSERT INTO kafka_offset (epoch, topic, partition, "offset") VALUES ($1, $2, $3, -1) ON CONFLICT DO NOTHING`,
			from.Epoch, from.Topic, from.Partition); err != nil {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	s.came(p)
	return n, nil
}

// numberedQueues are the queues of arrivals by their numbers.
func numberedQueues(arrivals []adapter.Arrival, queues []int32) (named numbered) {
	for i, a := range arrivals {
		named.addQueue(queues[i], a.Queue)
	}
	return named
}

// came notes into which lanes messages have been put.
func (s *Store) came(p *placements) {
	for i, queue := range p.queues {
		if queue != nil {
			s.lanes.came(*queue, p.lanes[i], p.prios[i])
		}
	}
}

// relaysCommit is how long a relay may take, after the bus has acknowledged a record, to
// put it into its queue. The bus may be quicker to bring it here.
const relaysCommit = 20 * time.Millisecond

// unplaced leaves those arrivals whose messages are in no queue yet. Nearly all are, put
// there by the relay of another node: to see that writes nothing and waits for no disk.
// It divides by zero when the database has not these queues by these numbers.
func (s *Store) unplaced(ctx context.Context, arrivals []adapter.Arrival, queues []int32) ([]adapter.Arrival, []int32, error) {
	for try := range 2 {
		var looked []int32 // places in arrivals
		var messages [][16]byte
		var of []int32
		for i := range arrivals {
			if !arrivals[i].Stream {
				looked, messages, of = append(looked, int32(i)), append(messages, arrivals[i].Message), append(of, queues[i])
			}
		}
		if len(looked) == 0 {
			return arrivals, queues, nil
		}
		named := numberedQueues(arrivals, queues)
		rows, _ := s.polls.Query(ctx, `SELECT i.at FROM unnest($1::int[], $2::uuid[], $3::int[]) i(at, message, queue)
			WHERE `+inPlace("i")+`
			UNION ALL SELECT 0 WHERE 1 / (CASE WHEN `+queuesGone(4, 5)+` THEN 0 ELSE 1 END) = 0`, looked, messages, of, named.queues, named.queueIs)
		there, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil {
			return nil, nil, err
		}
		placed := make(map[int]bool, len(there))
		for _, at := range there {
			placed[int(at)] = true
		}
		var rest []adapter.Arrival
		var restQueues []int32
		for i := range arrivals {
			if !placed[i] {
				rest, restQueues = append(rest, arrivals[i]), append(restQueues, queues[i])
			}
		}
		if arrivals, queues = rest, restQueues; len(rest) == 0 || try > 0 {
			break
		}
		select {
		case <-time.After(relaysCommit):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	return arrivals, queues, nil
}

// placements are the arguments of enqueueSQL.
type placements struct {
	offsets    []int64
	messages   [][16]byte
	queues     []*int32
	prios      []int16
	messageIDs []string
	roots      []int32
	eols       []*time.Time
	facts      []*string
	events     [][]byte
	lanes      []string
	streams    streams // those that are only noted

	seen map[placed]bool
	room []byte // of events
}

// placed is a message in a queue.
type placed struct {
	message uuid.UUID
	queue   int32
}

func newPlacements(n int) *placements {
	return &placements{
		offsets: make([]int64, 0, n), messages: make([][16]byte, 0, n), queues: make([]*int32, 0, n), prios: make([]int16, 0, n),
		messageIDs: make([]string, 0, n), roots: make([]int32, 0, n), eols: make([]*time.Time, 0, n), facts: make([]*string, 0, n),
		events: make([][]byte, 0, n), lanes: make([]string, 0, n), seen: make(map[placed]bool, n), room: waitingRoom(n),
	}
}

func (p *placements) arguments() []any {
	return []any{p.offsets, p.messages, p.queues, p.prios, p.messageIDs, p.roots, p.eols, p.facts, p.events}
}

// newArguments are those of relayedNewSQL from its sixth on: events that are told first,
// and, of messages that have been in no queue, what place has made of them. Of the keys of
// placed, which are in order, two nodes with the same wait for each other and do not
// deadlock.
func (p *placements) newArguments(events [][]byte) []any {
	order := make([]int, len(p.messages))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(bytes.Compare(p.messages[a][:], p.messages[b][:]), cmp.Compare(*p.queues[a], *p.queues[b]))
	})
	messages, queues := make([][16]byte, len(order)), make([]*int32, len(order))
	for i, at := range order {
		messages[i], queues[i] = p.messages[at], p.queues[at]
	}
	return []any{slices.Concat(events, p.events), messages, queues, p.queues, p.prios, p.messages, p.messageIDs, p.roots, p.eols, p.facts}
}

// place makes the queue row of an arrival, or, where its message is not known (nil), a
// "dead" event.
func (s *Store) place(p *placements, a *adapter.Arrival, queue *int32, k *arrived) error {
	at := placed{a.Message, *queue}
	if p.seen[at] { // a copy may follow at once
		return nil
	}
	p.seen[at] = true
	var e journal.Event
	switch {
	case k == nil:
		s.log.Error("a record on the bus names a message that this database does not have", "message", a.Message, "queue", a.Queue)
		k, e, queue = &arrived{}, a.Event, nil
		e.Kind, e.Message, e.Recipient, e.Outcome = journal.KindDead, a.Message.String(), string(a.Queue.System), "unknown message"
	case a.Stream:
		e = k.event
		e.Recipient = string(a.Queue.System)
		facts, err := encodeFacts(e, "")
		if err != nil {
			return err
		}
		p.streams.messages = append(p.streams.messages, a.Message)
		p.streams.queues = append(p.streams.queues, *queue)
		p.streams.offsets = append(p.streams.offsets, a.Offset)
		p.streams.systems = append(p.streams.systems, string(a.Queue.System))
		p.streams.facts = append(p.streams.facts, facts)
		return nil
	default:
		// Of the message the journal hears what the store knows, not what
		// the bus says.
		k.event.Recipient = string(a.Queue.System)
		e = k.event
		e.Kind, e.Time, e.Node, e.Outcome, e.Digest, e.Size = a.Event.Kind, a.Event.Time, a.Event.Node, a.Event.Outcome, "", 0
	}
	facts, err := s.queueFacts(k)
	if err != nil {
		return err
	}
	var event []byte
	if e.Kind != "" {
		if event, p.room, err = s.waitingIn(p.room, &e); err != nil {
			return err
		}
	}
	p.offsets = append(p.offsets, a.Offset)
	p.messages = append(p.messages, a.Message)
	p.queues = append(p.queues, queue)
	p.prios = append(p.prios, k.prio)
	p.messageIDs = append(p.messageIDs, k.messageID)
	p.roots = append(p.roots, k.root)
	p.eols = append(p.eols, k.eol)
	p.facts = append(p.facts, &facts)
	p.events = append(p.events, event)
	p.lanes = append(p.lanes, k.event.Service)
	return nil
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
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+kindsOf+` m, jsonb_array_elements(recipients) r WHERE m.id = $1 AND r = $2::jsonb)
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
