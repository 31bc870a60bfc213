package postgres

import (
	"fmt"
	"reflect"

	"mezhved/adapter/journal"
)

// Events wait in journal_pending, in the transaction of what they tell of, until the
// sequencer takes them up. Those of the way of a message, which are nearly all, are
// packed (journal.Event.Pack) once no node of the release before is about; the rest is
// JSON, which statements make of facts and of what they find.

// pendingColumns are the columns event and packed of a row that stands in e, in
// either form.
const pendingColumns = `CASE WHEN get_byte(e, 0) = 1 THEN NULL ELSE convert_from(e, 'UTF8')::json END, CASE WHEN get_byte(e, 0) = 1 THEN e END`

// packedMessage is the message of a row whose event is packed.
const packedMessage = `encode(substr(packed, 2, 16), 'hex')::uuid`

// waiting makes rows of events, for pendingColumns.
func (s *Store) waiting(events ...journal.Event) ([][]byte, error) {
	rows := make([][]byte, len(events))
	for i := range events {
		var err error
		if s.gates.packedEvents.Load() {
			rows[i], err = events[i].Pack()
		}
		if err == nil && rows[i] == nil {
			rows[i], err = events[i].Row()
		}
		if err != nil {
			return nil, fmt.Errorf("encoding a journal event: %w", err)
		}
	}
	return rows, nil
}

// completed is an event that says what its message's facts say, where it says nothing
// itself.
func completed(e, facts journal.Event) journal.Event {
	into, from := reflect.ValueOf(&e).Elem(), reflect.ValueOf(&facts).Elem()
	for i := range into.NumField() {
		if f := into.Field(i); f.IsZero() {
			f.Set(from.Field(i))
		}
	}
	return e
}
