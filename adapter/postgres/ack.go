package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// ack is one acknowledgement on its way to the database.
type ack struct {
	system   adapter.Mnemonic
	id       adapter.MessageID
	now      time.Time
	event    journal.Event
	envelope []byte // with the signed Ack; nil: there is none
	done     chan error
}

// acked is a delivered message under the id of an Ack.
type acked struct {
	n         int // of the Ack in its batch, from 0
	queue     int32
	prio      int16
	seq       int64
	out       bool // its lease has not run out
	attempt   int
	message   [16]byte
	service   string
	direction adapter.Direction
	facts     *journal.Event
}

// Ack is adapter.Store.Ack. It also takes the acknowledgement of a message
// whose lease has run out meanwhile, as long as it has not been taken out of
// the queue: the recipient has it, and to hand it out again helps nobody.
// Acknowledgements that come at the same time share a statement, whosever they are.
func (s *Store) Ack(ctx context.Context, system adapter.Mnemonic, id adapter.MessageID, now time.Time, ev journal.Event, envelope []byte) error {
	if envelope != nil {
		ev.Personal = append(slices.Clip(ev.Personal), journal.Receipt{Ack: digestOf(envelope)}.Field())
	}
	a := &ack{system: system, id: id, now: now, event: stamped(ev, journal.KindAcknowledged, now), envelope: envelope, done: make(chan error, 1)}
	s.acks.join(struct{}{}, a)
	var err error
	select {
	case err = <-a.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("acknowledging a message: %w", err)
	}
	return nil
}

// An Ack is one statement, which takes the message out of the queue with the event and
// with what is kept of the Ack, packed for its message. Where that is not known it is
// found and locked before, in the same transaction. In ackFind, $2 has a place per
// acknowledgement; of two for one message the first one counts.
const ackFind = `
WITH i AS MATERIALIZED (
	SELECT DISTINCT ON (id) id, n FROM unnest($2::text[]) WITH ORDINALITY AS t(id, n) ORDER BY id, n
)
SELECT i.n - 1, q.queue, q.prio, q.seq, q.visible_at > $3, q.attempts, q.message, ` + factsIfWhole + ` FROM i, LATERAL (
	SELECT * FROM queue WHERE message_id = i.id AND attempts > 0 AND queue + 0 IN (SELECT id FROM queue_name WHERE system = $1)
	ORDER BY seq FOR UPDATE) q`

// ackKnownSQL takes out messages that stand as they did when they were handed out, as nearly
// all: when one does not, the division by zero undoes it. $1 to $6 are parallel arrays with
// a row per message, $7 are the events, $8 to $14 are arrays with a row per Ack of which
// something is kept. Of what stands and locks see ackTell, which finds out which it is.
var ackKnownSQL = `
WITH s AS MATERIALIZED (
	SELECT ` + ackPatience + `, ` + countsItself + `
), i (queue, prio, seq, attempt, message_id, system) AS MATERIALIZED (
	` + rowsOf("$1::int[], $2::smallint[], $3::bigint[], $4::int[], $5::text[], $6::text[]") + ` FROM s
), d AS (
	DELETE FROM queue q USING i WHERE ` + ackStands + ` RETURNING ` + countedOf + `
), c AS (
	` + countSQL("d", "-") + `
), e AS (
	` + waitInPlaceSQL("$7::bytea[]") + `
), r AS (
	INSERT INTO receipt (message, queue, attempt, codec, dictionary, size, body, step)
	` + rowsOf("$8::uuid[], $9::int[], $10::int[], $11::smallint[], $12::int[], $13::int[], $14::bytea[]") + `, 2
)
SELECT 1 / (CASE WHEN (SELECT count(*) FROM d) = cardinality($1::int[]) THEN 1 ELSE 0 END)`

const ackPatience = "set_config('lock_timeout', '100', true)"

var ackStands = rowIs("i") + ` AND q.attempts = i.attempt
		AND (i.system IS NULL OR NOT EXISTS (SELECT FROM queue o WHERE o.message_id = i.message_id AND o.attempts > 0 AND (o.queue, o.prio, o.seq) <> (i.queue, i.prio, i.seq)
			AND o.queue + 0 IN (SELECT id FROM queue_name WHERE system = i.system)))`

// In ackTell, $1 to $12 are parallel arrays with a row per message that goes out. It
// goes out when it stands as it did when it was found, and alone under its id in the
// queues of its system; the numbers of those that went come back. A row without a system
// was seen to be alone. It waits for nobody's lock: one message that is being handed out
// again would hold up the Acks of all systems.
var ackTell = `
WITH s AS MATERIALIZED (
	SELECT ` + ackPatience + `
), i (n, queue, prio, seq, attempt, message_id, event, codec, dictionary, size, body, system) AS MATERIALIZED (
	` + rowsOf("$1::int[], $2::int[], $3::smallint[], $4::bigint[], $5::int[], $6::text[], $7::bytea[], $8::smallint[], $9::int[], $10::int[], $11::bytea[], $12::text[]") + ` FROM s
), d AS (
	DELETE FROM queue q USING i WHERE ` + ackStands + `
	RETURNING q.message, i.*
), e AS (
	` + waitSQL(`SELECT event, n FROM d`) + `
), r AS (
	INSERT INTO receipt (message, queue, attempt, step, codec, dictionary, size, body)
	SELECT message, queue, attempt, 2, codec, dictionary, size, body FROM d WHERE body IS NOT NULL
)
SELECT n FROM d`

// ackBack lets messages come back at once.
var ackBack = `
UPDATE queue q SET visible_at = $4 FROM unnest($1::int[], $2::smallint[], $3::bigint[]) AS f(queue, prio, seq), ` + rowAt("f.queue, f.prio, f.seq") + ` WHERE ` + rowIs("k")

var errAmbiguous = fmt.Errorf("%w: messages of several senders bear this id, and which of them is meant cannot be told", adapter.ErrNotAwaiting)

// ack takes out what acknowledgements mean and tells each its outcome. Nearly always this
// node has handed the message out and remembers where it stands: then one statement does
// for all of them. What has changed meanwhile is looked up, system by system, beside the
// next batch.
func (s *Store) ack(_ struct{}, batch []*ack) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	left, err := s.ackKnown(ctx, batch)
	if err != nil && !isCode(err, lockNotAvailable) { // then nothing was done
		tell(left, err, nil)
		return
	}
	left = slices.Clone(left) // the batch is the line's
	slices.SortStableFunc(left, func(a, b *ack) int { return cmp.Compare(a.system, b.system) })
	for len(left) > 0 {
		n := 1
		for n < len(left) && left[n].system == left[0].system {
			n++
		}
		mine := left[:n]
		s.acks.working.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
			defer cancel()
			outcomes, err := s.ackFound(ctx, mine[0].system, mine)
			tell(mine, err, outcomes)
		})
		left = left[n:]
	}
}

func tell(batch []*ack, err error, outcomes []error) {
	for i, a := range batch {
		if err != nil {
			a.done <- err
		} else {
			a.done <- outcomes[i]
		}
	}
}

// ackKnown takes out what is remembered, and gives those that are left.
func (s *Store) ackKnown(ctx context.Context, batch []*ack) (left []*ack, err error) {
	t := &takings{}
	for n, a := range batch {
		if m, ok := s.handed.take(a.system, a.id); ok {
			m.n = n
			if err := s.taking(t, &m, a, &a.system); err != nil {
				return batch, err
			}
		}
	}
	if len(t.seqs) == 0 {
		return batch, nil
	}
	went := make([]bool, len(batch))
	stood := s.usual.acks.expected()
	if stood {
		_, err = s.polls.Exec(ctx, s.gates.sql(ackKnownSQL), t.knownArguments()...)
		if isCode(err, divisionByZero) {
			stood, err = false, nil
			s.usual.acks.failed()
		}
		for _, n := range t.numbers {
			went[n] = stood
		}
	}
	if !stood {
		rows, _ := s.polls.Query(ctx, s.gates.sql(ackTell), t.arguments()...)
		var n int
		_, err = pgx.ForEachRow(rows, []any{&n}, func() error { went[n] = true; return nil })
	}
	if err != nil {
		return batch, err
	}
	for i, a := range batch {
		if went[i] {
			a.done <- nil
		} else {
			left = append(left, a)
		}
	}
	return left, nil
}

// ackFound looks up and locks what is meant, and takes it out.
func (s *Store) ackFound(ctx context.Context, system adapter.Mnemonic, batch []*ack) ([]error, error) {
	ids, outcomes := make([]string, len(batch)), make([]error, len(batch))
	for i, a := range batch {
		ids[i], outcomes[i] = string(a.id), adapter.ErrNotAwaiting
	}
	now := batch[0].now
	delivered := make([][]acked, len(batch))
	var rows []standing
	var of [][2]int // their places in delivered
	first, last := &pgx.Batch{}, &pgx.Batch{}
	first.Queue(ackFind, string(system), ids, now).Query(func(found pgx.Rows) error {
		var f acked
		var facts []byte
		_, err := pgx.ForEachRow(found, []any{&f.n, &f.queue, &f.prio, &f.seq, &f.out, &f.attempt, &f.message, &facts}, func() error {
			rows, of = append(rows, standing{f.message, f.queue, facts}), append(of, [2]int{f.n, len(delivered[f.n])})
			delivered[f.n] = append(delivered[f.n], f)
			facts = nil
			return nil
		})
		return err
	})
	tx, err := s.polls.open(ctx, first)
	if err != nil {
		return nil, err
	}
	defer tx.end()
	facts, err := s.factsOf(ctx, rows)
	if err != nil {
		return nil, err
	}
	for i, at := range of {
		f := &delivered[at[0]][at[1]]
		f.facts, f.service, f.direction = &facts[i], facts[i].Service, adapter.Direction(facts[i].Direction)
	}
	t := &takings{}
	for i, a := range batch {
		taken, back := meant(delivered[i])
		t.back(back)
		switch {
		case taken != nil:
			if err := s.taking(t, taken, a, nil); err != nil {
				return nil, err
			}
			outcomes[i] = nil
		case len(delivered[i]) > 0:
			outcomes[i] = errAmbiguous
		}
	}
	if len(t.seqs) > 0 {
		last.Queue(s.gates.sql(ackTell), t.arguments()...)
	}
	if len(t.backSeqs) > 0 {
		last.Queue(ackBack, t.backQueues, t.backPrios, t.backSeqs, now)
	}
	if last.Len() == 0 {
		return outcomes, nil
	}
	return outcomes, tx.commit(ctx, last)
}

// meant says which of the delivered messages under one id an Ack takes out: the one
// that there is. There are more of messages of before MessageIDs were unique on the
// bus, of which two senders may have sent one each: an Ack does not say which of them
// it means, and taking out the wrong one would lose it. So it counts when one of them
// alone is out. When several are, the oldest stays out and the others come back at
// once: whoever acknowledges next means the oldest, and the others are handed out anew
// after it. When none is, the Ack is late, and they come back anyhow.
func meant(delivered []acked) (taken *acked, back []acked) {
	var out []*acked
	for i := range delivered {
		if delivered[i].out {
			out = append(out, &delivered[i])
		}
	}
	switch {
	case len(delivered) == 1:
		return &delivered[0], nil
	case len(out) == 1:
		return out[0], nil
	case len(out) > 1:
		for _, b := range out[1:] {
			back = append(back, *b)
		}
	}
	return nil, back
}

// taking adds a message that goes out of its queue. alone is the system under which its
// id must be that of one message; nil: it has been seen that it is.
func (s *Store) taking(t *takings, m *acked, a *ack, alone *adapter.Mnemonic) error {
	kept := packed{} // whose body is NULL
	if a.envelope != nil {
		var err error
		if kept, err = s.weaveAck(m, a.envelope); err != nil {
			return err
		}
	}
	t.systems, t.messages = append(t.systems, (*string)(alone)), append(t.messages, m.message)
	t.numbers, t.attempts, t.ids = append(t.numbers, int32(m.n)), append(t.attempts, int32(m.attempt)), append(t.ids, string(a.id))
	e := completed(a.event, *m.facts)
	e.Attempt = m.attempt
	rows, err := s.waiting(e)
	if err != nil {
		return err
	}
	t.queues, t.prios, t.seqs, t.events = append(t.queues, m.queue), append(t.prios, m.prio), append(t.seqs, m.seq), append(t.events, rows[0])
	t.codecs, t.dictionaries, t.sizes, t.bodies = append(t.codecs, kept.codec), append(t.dictionaries, kept.dictionary), append(t.sizes, kept.size), append(t.bodies, kept.bytes)
	return nil
}

// takings are the arrays of ackTell.
type takings struct {
	numbers      []int32
	attempts     []int32
	ids          []string
	queues       []int32
	prios        []int16
	seqs         []int64
	events       [][]byte
	codecs       []int16
	dictionaries []int32
	sizes        []int32
	bodies       [][]byte
	systems      []*string
	messages     [][16]byte

	backQueues []int32
	backPrios  []int16
	backSeqs   []int64
}

func (t *takings) back(rows []acked) {
	for _, r := range rows {
		t.backQueues, t.backPrios, t.backSeqs = append(t.backQueues, r.queue), append(t.backPrios, r.prio), append(t.backSeqs, r.seq)
	}
}

// arguments are those of ackTell.
func (t *takings) arguments() []any {
	return []any{t.numbers, t.queues, t.prios, t.seqs, t.attempts, t.ids, t.events, t.codecs, t.dictionaries, t.sizes, t.bodies, t.systems}
}

// knownArguments are those of ackKnownSQL.
func (t *takings) knownArguments() []any {
	n := len(t.seqs)
	messages, queues, attempts := make([][16]byte, 0, n), make([]int32, 0, n), make([]int32, 0, n)
	codecs, dictionaries, sizes, bodies := make([]int16, 0, n), make([]int32, 0, n), make([]int32, 0, n), make([][]byte, 0, n)
	for i, body := range t.bodies {
		if body != nil {
			messages, queues, attempts = append(messages, t.messages[i]), append(queues, t.queues[i]), append(attempts, t.attempts[i])
			codecs, dictionaries, sizes, bodies = append(codecs, t.codecs[i]), append(dictionaries, t.dictionaries[i]), append(sizes, t.sizes[i]), append(bodies, body)
		}
	}
	return []any{t.queues, t.prios, t.seqs, t.attempts, t.ids, t.systems, t.events, messages, queues, attempts, codecs, dictionaries, sizes, bodies}
}

// handedOut remembers where the messages stand that this node has handed out last. It
// may be wrong: whoever uses it holds it against the row. The zero value is ready.
type handedOut struct {
	mu         sync.Mutex
	young, old map[handedKey]acked
}

type handedKey struct {
	system adapter.Mnemonic
	id     adapter.MessageID
}

const mostHanded = 10_000 // of one generation

func (h *handedOut) put(system adapter.Mnemonic, id adapter.MessageID, m acked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.young) >= mostHanded {
		h.old, h.young = h.young, nil
	}
	if h.young == nil {
		h.young = map[handedKey]acked{}
	}
	h.young[handedKey{system, id}] = m
}

// take forgets what it gives.
func (h *handedOut) take(system adapter.Mnemonic, id adapter.MessageID) (acked, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := handedKey{system, id}
	m, ok := h.young[k]
	if !ok {
		m, ok = h.old[k]
	}
	delete(h.young, k)
	delete(h.old, k)
	return m, ok
}
