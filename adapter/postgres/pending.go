package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"mezhved/adapter/journal"
)

// Events wait in journal_pending, in the transaction of what they tell of, until the
// sequencer takes them up. Those of the way of a message, which are nearly all, are
// packed (journal.Event.Pack); the rest is JSON, which statements make of facts and of
// what they find. All events of a statement are one row, or a few: to write, index and
// remove a row costs more than an event.
//
// Nodes of the release before read JSON alone, an event to a row. So events are written
// in that way while such nodes may be about: until a week after migration 00101, and
// until the first block (openGates). Rows of one event have to be read by every release
// that may run beside one that may write them: by this one and the next.

// waitSQL is the part of a statement that lets the events wait that another one selects:
// e, the event, and n, its place among them.
func waitSQL(events string) string { return waitTogether + events + waitTogetherEnd }

// waitAllSQL does so for all events of an array, in its order.
func waitAllSQL(events string) string { return waitAllTogether + events + waitAllTogetherEnd }

// waitInPlaceSQL is waitAllSQL for events that are chance for the most part, of accepts, polls
// and acknowledgements. To compress them gains nothing, and what is longer than a row is
// kept apart, in pieces with an index: that takes longer to write, and again to remove. So
// they stand eight to a row, which is nearly always short enough to be left as it is
// (migration 00165).
func waitInPlaceSQL(events string) string { return waitInPlace + events + waitInPlaceEnd }

const (
	waitTogether    = `INSERT INTO journal_pending (events, entries) SELECT array_agg(e ORDER BY n), count(*) FROM (`
	waitTogetherEnd = `) AS e (e, n) HAVING count(*) > 0`

	waitApart    = `INSERT INTO journal_pending (event) SELECT convert_from(e, 'UTF8')::json FROM (`
	waitApartEnd = `) AS e (e, n) ORDER BY n`

	waitAllTogether    = `INSERT INTO journal_pending (events, entries) SELECT w.e, cardinality(w.e) FROM (VALUES (`
	waitAllTogetherEnd = `)) AS w (e) WHERE cardinality(w.e) > 0`

	waitInPlace    = `INSERT INTO journal_pending (events, entries) SELECT w.e[i:i+7], least(cardinality(w.e) - i + 1, 8) FROM (VALUES (`
	waitInPlaceEnd = `)) AS w (e), generate_series(1, cardinality(w.e), 8) i`

	waitAllApart    = `INSERT INTO journal_pending (event) SELECT convert_from(w.e, 'UTF8')::json FROM (SELECT unnest(`
	waitAllApartEnd = `)) AS w (e)`
)

var waitsApart = strings.NewReplacer(waitInPlace, waitAllApart, waitInPlaceEnd, waitAllApartEnd, waitTogether, waitApart, waitTogetherEnd, waitApartEnd,
	waitAllTogether, waitAllApart, waitAllTogetherEnd, waitAllApartEnd)

// sql is a statement with waitSQL in the form that every node that may be about can read.
// Ask it after the statement's events were made: they are packed only when the gate is
// open, which it then stays.
func (g *gates) sql(statement string) string {
	if g.packedEvents.Load() {
		return statement
	}
	return waitsApart.Replace(statement)
}

// recordSQL lets events wait that are JSON, $1.
var recordSQL = waitSQL(`SELECT convert_to(e, 'UTF8'), n FROM unnest($1::text[]) WITH ORDINALITY AS t (e, n)`)

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// record lets events wait that are told by no other statement.
func (g *gates) record(ctx context.Context, db executor, events ...journal.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows, err := encodeEvents(events)
	if err == nil {
		_, err = db.Exec(ctx, g.sql(recordSQL), rows)
	}
	return err
}

// waiting makes the rows of events that waitSQL is given.
func (s *Store) waiting(events ...journal.Event) ([][]byte, error) {
	rows, room := make([][]byte, len(events)), waitingRoom(len(events))
	for i := range events {
		var err error
		if rows[i], room, err = s.waitingIn(room, &events[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// waitingRoom is room for about so many rows. One that has values is longer than most.
func waitingRoom(events int) []byte { return make([]byte, 0, 128+192*events) }

// waitingIn is waiting for one event: its row stands behind those in room.
func (s *Store) waitingIn(room []byte, e *journal.Event) (row, with []byte, err error) {
	if s.gates.packedEvents.Load() {
		with, err = e.AppendPack(room)
		if with != nil {
			return with[len(room):len(with):len(with)], with, nil
		}
	}
	if err == nil {
		rare := *e // so that e may stay on the stack
		row, err = rare.Row()
	}
	if err != nil {
		return nil, room, fmt.Errorf("encoding a journal event: %w", err)
	}
	return row, room, nil
}

func encodeEvents(events []journal.Event) ([]string, error) {
	encoded := make([]string, len(events))
	for i := range events {
		b, err := events[i].Row()
		if err != nil {
			return nil, fmt.Errorf("encoding a journal event: %w", err)
		}
		encoded[i] = string(b)
	}
	return encoded, nil
}

// completed is an event that says what its message's facts say, where it says nothing
// itself.
func completed(e, facts journal.Event) journal.Event {
	e.Complete(&facts)
	return e
}

// rowsOf is SQL that gives rows of parallel arrays. Named in a FROM, each of these would be
// written into a store of its own before the first row is there, which costs several times
// what a row does.
func rowsOf(arrays string) string {
	return "SELECT unnest(" + strings.ReplaceAll(strings.Join(strings.Fields(arrays), " "), ", ", "), unnest(") + ")"
}
