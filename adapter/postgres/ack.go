package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// ack is one acknowledgement on its way to the database.
type ack struct {
	id    adapter.MessageID
	event string
	done  chan error
}

// Ack is adapter.Store.Ack. It also takes the acknowledgement of a message
// whose lease has run out meanwhile, as long as it has not been taken out of
// the queue: the recipient has it, and to hand it out again helps nobody.
// Acknowledgements of one system that come at the same time share a statement.
func (s *Store) Ack(ctx context.Context, system adapter.Mnemonic, id adapter.MessageID, now time.Time, ev journal.Event) error {
	event, err := s.stamp(ev, journal.KindAcknowledged, now)
	if err != nil {
		return err
	}
	a := &ack{id: id, event: event, done: make(chan error, 1)}
	s.acks.join(system, a)
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

// ackSQL takes rows out of the queues of a system. $2 and $3 are parallel arrays
// with a place per acknowledgement; of two for one message the first one counts.
const ackSQL = `
WITH i AS MATERIALIZED (
	SELECT DISTINCT ON (id) id, event, n FROM unnest($2::text[], $3::jsonb[]) WITH ORDINALITY AS t(id, event, n) ORDER BY id, n
), s AS (
	SELECT q.queue, q.prio, q.seq, i.event, i.n FROM i, LATERAL (
		SELECT queue, prio, seq FROM queue
		WHERE message_id = i.id AND attempts > 0 AND queue IN (SELECT id FROM queue_name WHERE system = $1)
		ORDER BY seq LIMIT 1 FOR UPDATE) q
), d AS (
	DELETE FROM queue q USING s WHERE q.queue = s.queue AND q.prio = s.prio AND q.seq = s.seq
	RETURNING q.facts, q.attempts, s.event, s.n
), e AS (
	INSERT INTO journal_pending (event) SELECT facts - 'wire' || event || jsonb_build_object('attempt', attempts) FROM d ORDER BY n
)
SELECT n FROM d`

// ack runs the statement for acknowledgements of one system and tells each its outcome.
func (s *Store) ack(system adapter.Mnemonic, batch []*ack) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	ids, events := make([]string, len(batch)), make([]string, len(batch))
	for i, a := range batch {
		ids[i], events[i] = string(a.id), a.event
	}
	rows, err := s.polls.Query(ctx, ackSQL, string(system), ids, events)
	taken := make([]bool, len(batch))
	if err == nil {
		var n int
		_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
			taken[n-1] = true
			return nil
		})
	}
	for i, a := range batch {
		switch {
		case err != nil:
			a.done <- err
		case !taken[i]:
			a.done <- adapter.ErrNotAwaiting
		default:
			a.done <- nil
		}
	}
}
