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
	now   time.Time
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
	a := &ack{id: id, now: now, event: event, done: make(chan error, 1)}
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
//
// In "s" are the delivered messages under the id: one, but for messages of before
// MessageIDs were unique on the bus, of which two senders may have sent one each.
// An Ack does not say which of them it means, and taking out the wrong one would
// lose it. So it counts when one of them alone is out. When several are, the
// oldest stays out and the others come back at once, in "b": whoever acknowledges
// next means the oldest, and the others are handed out anew after it. When none
// is, the Ack is late, and they come back anyhow.
const ackSQL = `
WITH i AS MATERIALIZED (
	SELECT DISTINCT ON (id) id, event, n FROM unnest($2::text[], $3::jsonb[]) WITH ORDINALITY AS t(id, event, n) ORDER BY id, n
), s AS MATERIALIZED (
	SELECT q.queue, q.prio, q.seq, q.visible_at > $4 AS out, i.event, i.n FROM i, LATERAL (
		SELECT queue, prio, seq, visible_at FROM queue
		WHERE message_id = i.id AND attempts > 0 AND queue IN (SELECT id FROM queue_name WHERE system = $1)
		ORDER BY seq FOR UPDATE) q
), k AS (
	SELECT *, count(*) OVER w AS same, count(*) FILTER (WHERE out) OVER w AS outs, row_number() OVER (PARTITION BY n, out ORDER BY seq) AS place
	FROM s WINDOW w AS (PARTITION BY n)
), b AS (
	UPDATE queue q SET visible_at = $4 FROM k
	WHERE q.queue = k.queue AND q.prio = k.prio AND q.seq = k.seq AND k.outs > 1 AND k.out AND k.place > 1
), d AS (
	DELETE FROM queue q USING k WHERE q.queue = k.queue AND q.prio = k.prio AND q.seq = k.seq AND (k.same = 1 OR k.outs = 1 AND k.out)
	RETURNING q.facts, q.attempts, k.event, k.n
), e AS (
	INSERT INTO journal_pending (event) SELECT facts - 'wire' || event || jsonb_build_object('attempt', attempts) FROM d ORDER BY n
)
SELECT DISTINCT n, same = 1 OR outs = 1 FROM k`

// ack runs the statement for acknowledgements of one system and tells each its outcome.
func (s *Store) ack(system adapter.Mnemonic, batch []*ack) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	ids, events := make([]string, len(batch)), make([]string, len(batch))
	for i, a := range batch {
		ids[i], events[i] = string(a.id), a.event
	}
	rows, err := s.polls.Query(ctx, ackSQL, string(system), ids, events, batch[0].now)
	outcomes := make([]error, len(batch))
	for i := range outcomes {
		outcomes[i] = adapter.ErrNotAwaiting
	}
	if err == nil {
		var n int
		var taken bool
		_, err = pgx.ForEachRow(rows, []any{&n, &taken}, func() error {
			outcomes[n-1] = nil
			if !taken {
				outcomes[n-1] = fmt.Errorf("%w: messages of several senders bear this id, and which of them is meant cannot be told", adapter.ErrNotAwaiting)
			}
			return nil
		})
	}
	for i, a := range batch {
		if err != nil {
			outcomes[i] = err
		}
		a.done <- outcomes[i]
	}
}
