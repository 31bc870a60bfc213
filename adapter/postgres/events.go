package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Record is adapter.Store.Record.
func (s *Store) Record(ctx context.Context, events ...journal.Event) error {
	if err := s.gates.record(ctx, s.pool, events...); err != nil {
		return fmt.Errorf("recording %d journal events: %w", len(events), err)
	}
	return nil
}

// ChangeSettings is adapter.Store.ChangeSettings.
func (s *Store) ChangeSettings(ctx context.Context, node string, state []byte, events ...journal.Event) error {
	encoded, err := encodeEvents(events)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, s.gates.sql(`WITH k AS (
	INSERT INTO node_settings (node, state) VALUES ($2, $3) ON CONFLICT (node) DO UPDATE SET state = excluded.state, at = now()
) `+recordSQL), encoded, node, string(state))
	if err != nil {
		return fmt.Errorf("recording %d changes of settings: %w", len(events), err)
	}
	return nil
}

// Settings is adapter.Store.Settings.
func (s *Store) Settings(ctx context.Context, node string) (state []byte, err error) {
	err = s.pool.QueryRow(ctx, "SELECT state::text FROM node_settings WHERE node = $1", node).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings that were told last: %w", err)
	}
	return state, nil
}

// Refuse is adapter.Store.Refuse.
func (s *Store) Refuse(ctx context.Context, ev journal.Event, trace, contentType string, body []byte) error {
	kept := ev
	kept.Personal = nil // whom it is about stands in the journal alone
	waiting := kept
	if len(ev.Personal) > 0 && s.naming.Load() {
		waiting = ev
		if err := s.sealValues(&waiting); err != nil {
			return err
		}
	}
	encoded, err := encodeEvents([]journal.Event{kept, waiting})
	if err != nil {
		return err
	}
	p := s.bodies.pack(body)
	if s.sealing.Load() {
		it, err := itemOfIncident(ev.Incident)
		if err == nil {
			p, err = s.seal(it, partRefused, p)
		}
		if err != nil {
			return fmt.Errorf("recording refusal %s: %w", ev.Incident, err)
		}
	}
	_, err = s.pool.Exec(ctx, s.gates.sql(`
WITH r AS (
	INSERT INTO refusal (incident, at, event, content_type, codec, dictionary, size, body)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING incident
), t AS (
	INSERT INTO refusal_trace (incident, trace) SELECT incident, $10 FROM r WHERE $10 <> ''
)
`+waitSQL(`SELECT convert_to($9::text, 'UTF8'), 1 FROM r`)),
		ev.Incident, ev.Time, encoded[0], contentType, p.codec, p.dictionary, p.size, nonNil(p.bytes), encoded[1], trace)
	if err != nil {
		return fmt.Errorf("recording refusal %s: %w", ev.Incident, err)
	}
	return nil
}

// Refused is adapter.Store.Refused.
func (s *Store) Refused(ctx context.Context, incident string) (ev journal.Event, contentType string, body []byte, err error) {
	var p packed
	var event []byte
	err = s.pool.QueryRow(ctx, "SELECT event, content_type, codec, dictionary, size, body FROM refusal WHERE incident = $1", incident).
		Scan(&event, &contentType, &p.codec, &p.dictionary, &p.size, &p.bytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return ev, "", nil, fmt.Errorf("reading an incident: %w", adapter.ErrNotFound)
	}
	if err != nil {
		return ev, "", nil, err
	}
	if ev, err = journal.ParseRow(event); err != nil {
		return ev, "", nil, fmt.Errorf("reading an incident: %w", err)
	}
	it, err := itemOfIncident(incident)
	if err != nil && p.codec&codecSealed != 0 {
		return ev, contentType, nil, fmt.Errorf("reading an incident: %w", err)
	}
	body, err = s.open(ctx, it, partRefused, p)
	if errors.Is(err, errContentErased) {
		e, err := s.erasureOf(ctx, it)
		if err != nil {
			return ev, contentType, nil, err
		}
		return ev, contentType, nil, &adapter.ErasedError{Erasure: *e}
	}
	return ev, contentType, body, err
}

// Trace is adapter.Store.Trace: what the journal has taken up, and behind it
// what still waits for that. An entry of the journal holds no digest, only a
// commitment to it.
func (s *Store) Trace(ctx context.Context, id string) (events []journal.Event, err error) {
	// From one snapshot: an event that is taken up meanwhile is seen once.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		named, err := exchange(ctx, tx, id)
		if err != nil {
			return err
		}
		rows, err := find(ctx, tx, named)
		if err != nil {
			return err
		}
		for i := range rows {
			events = append(events, rows[i].Leaf.Event)
		}
		messages := []string{id}
		for _, e := range events {
			if e.Message != "" {
				messages = append(messages, e.Message)
			}
		}
		// Of packed events SQL knows too little; few wait at any time.
		waiting, _ := tx.Query(ctx, `SELECT row FROM journal_waiting
			WHERE event IS NULL OR event->>'message' = ANY ($2) OR event->>'messageId' = $1 OR event->>'original' = $1 OR event->>'incident' = $1
			ORDER BY id, n`, id, messages)
		var row []byte
		_, err = pgx.ForEachRow(waiting, []any{&row}, func() error {
			e, err := journal.ParseRow(row)
			if err == nil && (slices.Contains(messages, e.Message) || e.MessageID == id || e.Original == id || e.Incident == id) {
				events = append(events, e)
			}
			return err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tracing a message: %w", err) // an id is what a reader has typed, and no business of the log
	}
	return events, nil
}

// healthCheck keeps the last answer for a moment: many may ask, one writes.
type healthCheck struct {
	mu  sync.Mutex
	at  time.Time
	err error

	outcomes sync.Mutex
	failed   error // of the last batch of accepts; nil: it was committed
	failedAt time.Time
}

// healthAge is how long an answer is good.
const healthAge = 250 * time.Millisecond

// failedFor is how long an accept that the database did not take speaks against
// the store, when no other is tried.
const failedFor = 10 * time.Second

// accepted remembers how the last batch of accepts ended. What is wrong with one
// message is no failure of the store; that the server is away Health sees by itself,
// and sooner that it is back.
func (h *healthCheck) accepted(err error) {
	if err != nil && !answered(err) {
		return
	}
	h.outcomes.Lock()
	defer h.outcomes.Unlock()
	h.failed, h.failedAt = err, time.Now()
}

// lastAccept is why the last batch was not committed, if that was lately.
func (h *healthCheck) lastAccept() error {
	h.outcomes.Lock()
	defer h.outcomes.Unlock()
	if h.failed == nil || time.Since(h.failedAt) > failedFor {
		return nil
	}
	return fmt.Errorf("the last message was not taken, %s ago: %w", time.Since(h.failedAt).Round(time.Second), h.failed)
}

// Health is adapter.Store.Health. It commits a row, on a path that also needs
// the journal's table to be writable. That row has its place already: on a full
// disk, or behind a lock on another table, it is written and no message is. So the
// last accept is asked, too.
func (s *Store) Health(ctx context.Context) error {
	if err := s.health.lastAccept(); err != nil {
		return err
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if time.Since(s.health.at) < healthAge {
		return s.health.err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.pool.Exec(ctx, `WITH h AS (UPDATE health SET at = now())
		INSERT INTO journal_pending (event) SELECT '{}'::jsonb WHERE false`)
	if err != nil {
		err = fmt.Errorf("the database cannot be written to: %w", err)
	}
	s.health.at, s.health.err = time.Now(), err
	return err
}
