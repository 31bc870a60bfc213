package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/gather"
	"mezhved/adapter/journal"
)

// Bounds of one batch. Bytes bound what one statement may carry, so that a few
// large messages do not make hundreds of small ones wait.
const (
	batchRows  = 256
	batchBytes = 8 << 20
)

// accept is one message on its way through the writer. Everything that costs
// time is done by the caller before, in parallel.
type accept struct {
	ctx         context.Context
	message     *adapter.Message
	key         []byte
	root        int32
	body        packed
	kept        *adapter.Kept
	attachments []packed
	recipients  string       // JSON
	parts       string       // JSON
	replyTo     string       // empty where it stands with the body
	kind        *int64       // what says sender, recipients, service ...; nil: the row does
	queues      []int32      // of the recipients
	events      [][]byte     // for waitSQL
	done        chan outcome // of capacity 1: the writer never waits for a caller
}

// outcome of an accept: committed, a duplicate of first, or an error: answered,
// taken by another sender, or trouble.
type outcome struct {
	first uuid.UUID // zero: committed
	err   error
}

func (a *accept) final() bool { return a.message.Direction.Final() && a.message.Request != uuid.Nil }

// replies reports whether the message needs its request to be open.
func (a *accept) replies() bool {
	return a.final() || a.message.Direction == adapter.DirStatus && a.message.Request != uuid.Nil
}

func (a *accept) bytes() int {
	n := len(a.body.bytes)
	for _, p := range a.attachments {
		n += len(p.bytes)
	}
	return n
}

// Accept is adapter.Store.Accept.
func (s *Store) Accept(ctx context.Context, m *adapter.Message, events []journal.Event) (adapter.Accepted, error) {
	a, err := s.prepare(ctx, m, events)
	if err != nil {
		return adapter.Accepted{}, err
	}
	if m.Direction == adapter.DirStatus {
		late, err := s.late(ctx, a)
		if err != nil || late != nil {
			return s.accepted(ctx, a, late, err)
		}
	}
	s.fresh.put(m, a.kept, a.root)
	select {
	case s.accepts <- a:
	case <-ctx.Done():
		return s.accepted(ctx, a, nil, fmt.Errorf("message %s was not accepted: the writer is busy: %w", m.MessageID, ctx.Err()))
	case <-s.stopped:
		return s.accepted(ctx, a, nil, fmt.Errorf("message %s was not accepted: %w", m.MessageID, errClosed))
	}
	select {
	case o := <-a.done:
		return s.accepted(ctx, a, &o, nil)
	case <-ctx.Done():
		return adapter.Accepted{}, &UnknownError{m.MessageID, ctx.Err()}
	case <-s.stopped:
		return adapter.Accepted{}, &UnknownError{m.MessageID, errClosed}
	}
}

// accepted is what the caller is told of an outcome.
func (s *Store) accepted(ctx context.Context, a *accept, o *outcome, err error) (adapter.Accepted, error) {
	m := a.message
	if err == nil {
		err = o.err
	}
	if err == nil && o.first == uuid.Nil {
		return adapter.Accepted{}, nil
	}
	s.fresh.drop(m.ID)
	if err != nil {
		return adapter.Accepted{}, err
	}
	first, err := s.load(ctx, o.first, true)
	if errors.Is(err, adapter.ErrNotFound) {
		// Retention was quicker than the dedup key. What is known is enough
		// to say that it is a duplicate.
		first, err = &adapter.Message{ID: o.first, MessageID: m.MessageID, Sender: m.Sender, Accepted: timeOf(o.first)}, nil
	}
	return adapter.Accepted{First: first}, err
}

// late gives the outcome of a status whose request has its final reply already:
// the receipt of an earlier copy of it, or ErrAnswered. It is nil when the
// request is open. A status that is on its way while the final reply is
// accepted counts as the earlier of the two.
func (s *Store) late(ctx context.Context, a *accept) (*outcome, error) {
	m := a.message
	var answered bool
	err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+s.days.leaf("answered", m.Request)+" WHERE request = $1)", [16]byte(m.Request)).Scan(&answered)
	if err != nil || !answered {
		return nil, err
	}
	outcomes, err := s.conflicts(ctx, []*accept{a}, nil)
	if err != nil {
		return nil, err
	}
	return &outcomes[0], nil
}

var errClosed = errors.New("the store is closed")

// prepare packs the bodies and looks up the numbers.
func (s *Store) prepare(ctx context.Context, m *adapter.Message, events []journal.Event) (*accept, error) {
	a := &accept{ctx: ctx, message: m, key: usedKey(m.MessageID), done: make(chan outcome, 1)}
	var err error
	if err = s.prepareBody(a); err != nil {
		return nil, err
	}
	if a.recipients, err = s.names.recipientsText(m.Recipients); err != nil {
		return nil, err
	}
	if err = s.number(ctx, a); err != nil {
		return nil, err
	}
	for n, x := range m.Attachments {
		p, err := s.seal(contentOf(m), attachmentPart(n), s.bodies.pack(x.Content))
		if err != nil {
			return nil, err
		}
		a.attachments = append(a.attachments, p)
	}
	if err = s.sealable(events); err != nil {
		return nil, err
	}
	a.events = make([][]byte, len(events))
	room := waitingRoom(len(events))
	for i, e := range events {
		if err = s.sealValues(&e); err == nil {
			a.events[i], room, err = s.waitingIn(room, &e)
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// number looks up the numbers of what the message names.
func (s *Store) number(ctx context.Context, a *accept) (err error) {
	m := a.message
	if a.root, err = s.names.rootID(ctx, s.pool, m.Root, true); err != nil {
		return err
	}
	a.queues = make([]int32, len(m.Recipients))
	for i, q := range m.Recipients {
		if a.queues[i], err = s.names.queueID(ctx, s.pool, q, true); err != nil {
			return err
		}
	}
	if a.kind = nil; s.gates.kinds.Load() {
		if k, ok := kindOf(m, a.recipients, a.root); ok {
			a.kind, err = s.names.kindNumber(ctx, s.pool, k)
		}
	}
	return err
}

// prepareBody packs the body and says where its parts are. The namespace declarations
// around these stand in the body, and cost next to nothing when they are packed behind
// it. So does half of the message's reply address, which says what the message says in
// other words. Better still is what weaves all of it (woven.go). Nodes of releases before do not know either.
func (s *Store) prepareBody(a *accept) (err error) {
	m := a.message
	if s.gates.wovenBodies.Load() && len(m.Body) <= mostWoven {
		if err = a.say(behindRow{Attached: m.Parts.Attached, Files: m.Parts.Files}); err != nil {
			return err
		}
		pack := s.bodies.packWoven
		if s.gates.pressed.Load() {
			pack = s.bodies.packPressed
		}
		return s.sealBody(a, pack(m), 0, 0)
	}
	all, err := json.Marshal(m.Parts)
	if err != nil {
		return err
	}
	text := m.Body
	var reply []byte
	behind := 0
	a.parts, a.replyTo = string(all), m.ReplyTo
	if s.gates.partsBehind.Load() {
		behind = len(all)
		if s.gates.replyToBehind.Load() {
			if reply, err = base64.StdEncoding.Strict().DecodeString(m.ReplyTo); err != nil {
				reply = nil // it is somebody else's, as in an imported message
			} else {
				a.replyTo = ""
			}
		}
		text = append(append(slices.Clip(text), reply...), all...)
		if err = a.say(behindRow{m.Parts.Attached, m.Parts.Files, len(all), len(reply)}); err != nil {
			return err
		}
	}
	p := s.bodies.pack(text)
	p.size = int32(len(m.Body))
	return s.sealBody(a, p, behind, len(reply))
}

// say has the row say that of its parts. Nearly always it is nothing.
func (a *accept) say(b behindRow) error {
	if a.parts = "{}"; b == (behindRow{}) {
		return nil
	}
	text, err := json.Marshal(b)
	a.parts = string(text)
	return err
}

// sealBody seals a body that is packed, for its row and for the bus.
func (s *Store) sealBody(a *accept, p packed, behind, reply int) (err error) {
	if a.body, err = s.seal(contentOf(a.message), partBody, p); err == nil {
		a.kept, err = s.keptOf(a.ctx, a.message, a.body, behind, reply)
	}
	return err
}

// startWriters starts the goroutines that commit batches. They end with Close.
func (s *Store) startWriters() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.stopped = stop, make(chan struct{})
	s.accepts = make(chan *accept, 4*batchRows)
	for range s.opts.Writers {
		s.writing.Go(func() { s.write(ctx) })
	}
}

// write takes whatever has come in while the last batch was committed, and
// commits it. Alone, a message goes at once; in company, it waits for a little more
// (package gather).
func (s *Store) write(ctx context.Context) {
	var next *accept
	for {
		if next == nil {
			select {
			case next = <-s.accepts:
			case <-ctx.Done():
				return
			}
		}
		var batch []*accept
		batch, next = s.together(next)
		n, began := len(batch), time.Now()
		gather.Begin()
		s.commit(batch)
		gather.End()
		gather.Rest(gather.After(n, len(s.accepts), time.Since(began)) / acceptShare)
	}
}

// acceptShare is by how much shorter the rests between accepts are than others': most of
// what an accept costs the database are its own rows, so that company spares less of it.
const acceptShare = 4

// together gives the batch that begins with a message, and one that did not fit into it.
// Where nobody waits for any of them, since they are the gateway's own words, it waits until
// they are enough: each commit is a write to the disk that others' commits wait for.
func (s *Store) together(first *accept) (batch []*accept, next *accept) {
	batch = make([]*accept, 0, 16)
	var enough <-chan time.Time
	unhurried, bytes := true, 0
	for next = first; len(batch) < batchRows && (len(batch) == 0 || bytes+next.bytes() <= batchBytes); {
		batch, bytes = append(batch, next), bytes+next.bytes()
		unhurried = unhurried && next.message.Direction == adapter.DirAsync
		select {
		case next = <-s.accepts:
			continue
		default:
		}
		if !unhurried || len(batch) >= gather.Together {
			return batch, nil
		}
		if enough == nil {
			enough = time.After(gather.Most)
		}
		select {
		case next = <-s.accepts:
		case <-enough:
			return batch, nil
		}
	}
	return batch, next
}

// commit brings a batch to its end: it tries the same statement again while
// the trouble is of the passing kind, and halves a batch in which a row is bad
// until the bad row is alone.
func (s *Store) commit(batch []*accept) {
	// Who has gone before anything was written need not be written.
	live := batch[:0]
	for _, a := range batch {
		if err := a.ctx.Err(); err != nil {
			a.done <- outcome{err: fmt.Errorf("message %s was not accepted: %w", a.message.MessageID, err)}
			continue
		}
		live = append(live, a)
	}
	batch = live
	if len(batch) == 0 {
		return
	}
	start := time.Now()
	deadline := start.Add(s.opts.AcceptTimeout)
	pause := 5 * time.Millisecond
	doubt := false // some try may have committed
	for {
		err := s.tryCommit(batch, deadline)
		if err == nil {
			s.health.accepted(nil)
			return
		}
		doubt = doubt || uncertain(err)
		if !doubt {
			// Nothing was done, and that can be said: a sender who is told soon
			// is better off than one who waits for a database that is down.
			deadline = start.Add(min(s.opts.AcceptTimeout, unreachable))
		} else {
			deadline = start.Add(s.opts.AcceptTimeout)
		}
		switch kind := classify(err); {
		case kind == data && len(batch) > 1:
			s.commit(batch[:len(batch)/2])
			s.commit(batch[len(batch)/2:])
			return
		case kind == data && violates(err, "message_file_file"):
			batch[0].done <- outcome{err: fmt.Errorf("message %s: %w", batch[0].message.MessageID, adapter.ErrFileGone)}
			return
		case kind == data:
			batch[0].done <- outcome{err: fmt.Errorf("message %s cannot be stored: %w", batch[0].message.MessageID, err)}
			return
		case kind == passing && time.Now().Add(pause).Before(deadline):
			s.log.Warn("accept is tried again", "messages", len(batch), "error", err)
			time.Sleep(pause)
			pause = min(2*pause, 250*time.Millisecond)
			continue
		}
		s.health.accepted(err)
		for _, a := range batch {
			if doubt {
				a.done <- outcome{err: &UnknownError{a.message.MessageID, err}}
			} else {
				a.done <- outcome{err: fmt.Errorf("message %s was not accepted: %w", a.message.MessageID, err)}
			}
		}
		return
	}
}

// unreachable is how long a batch is tried while nothing can have come of it.
const unreachable = time.Second

// tryCommit runs the statement once and tells every caller its outcome, or
// tells nobody and returns an error.
func (s *Store) tryCommit(batch []*accept, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	done, err := s.insertNew(ctx, batch)
	var committed map[uuid.UUID]bool
	if err == nil && !done {
		committed, err = s.insert(ctx, batch)
	}
	switch {
	case err == nil && (done || len(committed) == len(batch)):
		for _, a := range batch {
			a.done <- outcome{}
		}
		return nil
	case isCode(err, divisionByZero) && len(batch) == 1:
		committed = nil // its MessageID is taken: the look-up below finds by whom
	case err != nil:
		return err
	}
	outcomes, err := s.conflicts(ctx, batch, committed)
	if err != nil {
		return err
	}
	for i, a := range batch {
		a.done <- outcomes[i]
	}
	return nil
}

const (
	divisionByZero  = "22012"
	uniqueViolation = "23505"
)

// The one statement of an accept, in two forms. Nearly always nothing is in use that the
// messages of a batch bring, each has a kind, and none has attachments or files: then it is
// acceptNewSQL, which asks for nothing and puts rows where they belong. Whatever is not as
// it expects undoes it: a key that is there already is a unique violation, and a number
// that the database has not by that name (a server that has lost its last commits may not,
// or may have given it to another) a division by zero. Then nothing was done, and the other
// form is run, which leaves out what is in conflict, and whose answer says why.
//
// $1… of both are parallel arrays with a row per message, then one group each for outbox
// rows and events, and for what only some messages have: attachments, files and the queues
// that files are awaited from. They are unnested as columns of a SELECT: as functions of a
// FROM each would be written into a store of its own first.
//
// Keys are inserted in order, in both forms first those of requests that are answered, so
// that two writers with the same keys wait for each other and do not deadlock. PostgreSQL
// carries out what nothing else of its statement asks for from the last one to the first.
var acceptNewSQL = `
WITH m AS (
	INSERT INTO message (id, message_id, original, request, reference, transaction_code, eol, accepted, deadline,
		parts, reply_to, digest, trace, codec, dictionary, size, body, kind, attachments)
	` + rowsOf(`$6::uuid[], $7::text[], $8::text[], $9::uuid[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[],
		$15::jsonb[], $16::text[], $17::bytea[], $18::text[], $19::smallint[], $20::int[], $21::int[], $22::bytea[], $23::bigint[]`) + `, 0
), o AS (
	INSERT INTO outbox (message, shard, queue) ` + rowsOf("$24::uuid[], $25::smallint[], $26::int[]") + `
), e AS (
	` + waitInPlaceSQL("$27::bytea[]") + `
), d AS (
	INSERT INTO used_id (key, id, sender) ` + rowsOf("$3::bytea[], $4::uuid[], $5::text[]") + `
), a AS (
	INSERT INTO answered (request, reply) ` + rowsOf("$1::uuid[], $2::uuid[]") + `
)
SELECT 1 / (CASE WHEN ` + numbersGone(28, 29, 30, 31, 32) + ` THEN 0 ELSE 1 END)`

// The careful form. A batch without attachments and files takes the shorter of its two
// statements: to set up what finds nothing to do costs as much as a message.
//
//   - "n" looks whether the database has the numbers that this node remembers. Nothing is
//     written when it has not.
//   - "a" marks the requests of final replies, "d" takes the MessageIDs. Only
//     messages in "d" are written; ids that are not returned met a conflict.
//   - A reply that got its mark but not its key would leave a request answered
//     by nothing. The division by zero undoes the whole statement then; the
//     batch is halved until that message is alone.
//   - "(… IN (SELECT …)) IS TRUE" keeps the planner at a hashed subplan. It
//     does not know how long the arrays are, and its join would be quadratic.
var (
	acceptSQL         = acceptMessages + acceptEnd
	acceptAttachedSQL = acceptMessages + acceptAttached + acceptEnd

	acceptMessages = `
WITH n AS MATERIALIZED (
	SELECT ` + numbersGone(38, 39, 40, 41, 42) + ` AS gone
), i AS MATERIALIZED (
	SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::text[]) AS t(id, key, request, sender) WHERE NOT (SELECT gone FROM n)
), a AS (
	INSERT INTO answered (request, reply) SELECT request, id FROM i WHERE request IS NOT NULL ORDER BY request
	ON CONFLICT DO NOTHING RETURNING reply
), d AS (
	INSERT INTO used_id (key, id, sender) SELECT key, id, sender FROM i WHERE request IS NULL OR id IN (SELECT reply FROM a) ORDER BY key
	ON CONFLICT DO NOTHING RETURNING id
), m AS (
	INSERT INTO message (id, sender, message_id, direction, original, request, reference, transaction_code,
		recipients, service, version, root, vip, test, eol, accepted, deadline,
		wire, parts, reply_to, digest, certificate, trace, attachments, codec, dictionary, size, body, kind)
	SELECT t.* FROM (` + rowsOf(`$1::uuid[], $36::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::text[], $10::text[],
		$11::jsonb[], $12::text[], $13::text[], $14::int[], $15::bool[], $16::bool[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[],
		$20::text[], $21::jsonb[], $22::text[], $23::bytea[], $24::bytea[], $25::text[], $26::int[], $27::smallint[], $28::int[], $29::int[], $30::bytea[], $37::bigint[]`) + `) AS t(id)
	WHERE (t.id IN (SELECT id FROM d)) IS TRUE
), o AS (
	INSERT INTO outbox (message, shard, queue)
	SELECT t.message, t.shard, t.queue FROM unnest($31::uuid[], $32::smallint[], $33::int[]) WITH ORDINALITY AS t(message, shard, queue, n)
	WHERE (t.message IN (SELECT id FROM d)) IS TRUE ORDER BY t.n
), e AS (
	` + waitSQL(`SELECT t.e, t.n FROM unnest($34::uuid[], $35::bytea[]) WITH ORDINALITY AS t(message, e, n)
	WHERE (t.message IN (SELECT id FROM d)) IS TRUE`) + `
)`
	acceptAttached = `, x AS (
	INSERT INTO attachment (message, n, id, codec, dictionary, size, content)
	SELECT t.* FROM unnest($43::uuid[], $44::int[], $45::text[], $46::smallint[], $47::int[], $48::int[], $49::bytea[]) AS t(message)
	WHERE (t.message IN (SELECT id FROM d)) IS TRUE
), f AS (
	INSERT INTO message_file (message, n, file, gost, size, sender)
	SELECT t.* FROM unnest($50::uuid[], $51::int[], $52::uuid[], $53::bytea[], $54::bigint[], $55::text[]) AS t(message)
	WHERE (t.message IN (SELECT id FROM d)) IS TRUE ORDER BY t.message
), w AS (
	INSERT INTO file_awaited (message, queue, message_id)
	SELECT t.* FROM unnest($56::uuid[], $57::int[], $58::text[]) AS t(message)
	WHERE (t.message IN (SELECT id FROM d)) IS TRUE
)`
	acceptEnd = `
SELECT id, 1 FROM d
UNION ALL
SELECT NULL, 0 FROM n WHERE gone
UNION ALL
SELECT NULL, 1 / (CASE WHEN EXISTS (SELECT FROM a WHERE reply NOT IN (SELECT id FROM d)) THEN 0 ELSE 1 END)`
)

// insertNew puts a batch in of which nothing is in use; not done: it may be, or the batch is
// no usual one, and nothing was done.
func (s *Store) insertNew(ctx context.Context, batch []*accept) (done bool, err error) {
	for _, a := range batch {
		if a.kind == nil || len(a.attachments)+len(a.message.Files) > 0 {
			return false, nil
		}
	}
	if !s.usual.accepts.expected() {
		return false, nil
	}
	_, err = s.writes.Exec(ctx, s.gates.sql(acceptNewSQL), newArguments(batch)...)
	if isCode(err, uniqueViolation) || isCode(err, divisionByZero) {
		s.usual.accepts.failed()
		return false, nil
	}
	return err == nil, err
}

// insert runs the careful statement and gives the ids that it committed.
func (s *Store) insert(ctx context.Context, batch []*accept) (map[uuid.UUID]bool, error) {
	for tries := 0; ; tries++ {
		committed, gone, err := s.insertNumbered(ctx, batch)
		if err != nil || !gone {
			return committed, err
		}
		if err := s.namesLost(tries); err != nil {
			return nil, err
		}
		for _, a := range batch {
			s.fresh.drop(a.message.ID) // it says a number of before
			if err := s.number(ctx, a); err != nil {
				return nil, err
			}
		}
	}
}

// insertNumbered is insert as long as the numbers stand in the database; gone: they do not,
// and nothing was done.
func (s *Store) insertNumbered(ctx context.Context, batch []*accept) (committed map[uuid.UUID]bool, gone bool, err error) {
	p := newAcceptArrays(len(batch))
	for _, a := range batch {
		p.add(a)
	}
	sql, args := acceptSQL, p.arguments()
	if p.attached() {
		sql, args = acceptAttachedSQL, append(args, p.attachedArguments()...)
	}
	rows, err := s.writes.Query(ctx, s.gates.sql(sql), args...)
	if err != nil {
		return nil, false, err
	}
	committed = make(map[uuid.UUID]bool, len(batch))
	var id *[16]byte
	var stand int
	_, err = pgx.ForEachRow(rows, []any{&id, &stand}, func() error {
		if id != nil {
			committed[*id] = true
		}
		gone = gone || stand == 0
		return nil
	})
	return committed, gone, err
}

// conflicts finds out why messages of a batch were not inserted: an earlier
// run of the same batch has committed them, or another message has their
// MessageID, of the same sender or of another, or their request has another
// reply.
func (s *Store) conflicts(ctx context.Context, batch []*accept, committed map[uuid.UUID]bool) ([]outcome, error) {
	var keys [][]byte
	var requests [][16]byte
	for _, a := range batch {
		if !committed[a.message.ID] {
			keys = append(keys, a.key)
			if a.replies() {
				requests = append(requests, a.message.Request)
			}
		}
	}
	type use struct {
		id     uuid.UUID
		sender adapter.Mnemonic
	}
	holders := make(map[string]use, len(keys))
	rows, _ := s.pool.Query(ctx, "SELECT key, id, sender FROM used_id WHERE key = ANY ($1)", keys)
	var key []byte
	var id [16]byte
	var sender string
	if _, err := pgx.ForEachRow(rows, []any{&key, &id, &sender}, func() error {
		holders[string(key)] = use{id, adapter.Mnemonic(sender)}
		return nil
	}); err != nil {
		return nil, err
	}
	answered := make(map[uuid.UUID]bool, len(requests))
	if len(requests) > 0 {
		rows, _ := s.pool.Query(ctx, "SELECT request FROM answered WHERE request = ANY ($1)", requests)
		if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			answered[id] = true
			return nil
		}); err != nil {
			return nil, err
		}
	}
	outcomes := make([]outcome, len(batch))
	var foreign []int // those whose MessageID another sender has
	for i, a := range batch {
		holder, held := holders[string(a.key)]
		switch {
		case committed[a.message.ID], held && holder.id == a.message.ID:
		case held && holder.sender != a.message.Sender:
			foreign = append(foreign, i)
		case held:
			outcomes[i].first = holder.id
		case a.replies() && answered[a.message.Request]:
			outcomes[i].err = adapter.ErrAnswered
		default:
			// The holder has gone in between, by retention. As good as new.
			outcomes[i].err = &UnknownError{a.message.MessageID, errors.New("its dedup key changed meanwhile")}
		}
	}
	return outcomes, s.taken(ctx, batch, foreign, outcomes)
}

// taken gives the outcomes of messages whose MessageID another sender has. It is
// refused, unless their own sender had it too at a time when ids were unique by
// sender only: that one hears of its earlier message.
func (s *Store) taken(ctx context.Context, batch []*accept, foreign []int, outcomes []outcome) error {
	if len(foreign) == 0 {
		return nil
	}
	ids, senders := make([]string, len(foreign)), make([]string, len(foreign))
	for n, i := range foreign {
		m := batch[i].message
		ids[n], senders[n] = string(m.MessageID), string(m.Sender)
		outcomes[i].err = adapter.ErrTaken
	}
	rows, _ := s.pool.Query(ctx, `SELECT i.n, m.id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(message_id, sender, n),
		LATERAL (SELECT m.id FROM message m LEFT JOIN message_kind k ON k.id = m.kind WHERE message_id = i.message_id AND coalesce(m.sender, k.sender) = i.sender ORDER BY m.id LIMIT 1) m`, ids, senders)
	var n int
	var id [16]byte
	_, err := pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		outcomes[foreign[n-1]] = outcome{first: id}
		return nil
	})
	return err
}
