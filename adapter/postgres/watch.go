package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/vault"
)

// standingSQL asks for the oldest row of everything that waits for somebody. Each
// answer is one step into an index, however much waits. $1 is the number of shards.
//
//   - An entry is signed when a checkpoint covers it: the first that none covers
//     has waited longest. The same goes for the topic of the journal.
//   - A row past its end of life that is leased is not late: it comes back first.
const standingSQL = `SELECT clock_timestamp(),
	ARRAY(SELECT (SELECT at FROM outbox WHERE shard = s ORDER BY seq LIMIT 1) FROM generate_series(0, $1::int - 1) s ORDER BY s),
	ARRAY(SELECT (SELECT at FROM relayed WHERE shard = s ORDER BY at LIMIT 1) FROM generate_series(0, $1::int - 1) s ORDER BY s),
	(SELECT at FROM journal_pending ORDER BY id LIMIT 1),
	journal_logged(coalesce((SELECT size FROM journal_checkpoint WHERE NOT cosigned ORDER BY id DESC LIMIT 1), 0)),
	journal_logged((SELECT greatest(next, dropped) FROM journal_feed, journal_head)),
	(SELECT eol FROM queue WHERE eol IS NOT NULL ORDER BY eol LIMIT 1),
	EXISTS (SELECT FROM outbox_left)`

// Standing is adapter.Store.Standing. It runs on the sessions that never read a
// table through: the plan is made while the tables are empty.
func (s *Store) Standing(ctx context.Context) (adapter.Standing, error) {
	var at time.Time
	var outbox, bus []*time.Time
	var pending, unsigned, unfed, eol *time.Time
	var left bool
	err := s.polls.QueryRow(ctx, standingSQL, adapter.Shards).Scan(&at, &outbox, &bus, &pending, &unsigned, &unfed, &eol, &left)
	if err != nil {
		return adapter.Standing{}, fmt.Errorf("looking how long rows have waited: %w", err)
	}
	out := adapter.Standing{At: at.UTC()}
	add := func(station adapter.Station, shard int, since *time.Time) {
		if since != nil {
			out.Oldest = append(out.Oldest, adapter.Oldest{Station: station, Shard: shard, Since: since.UTC(), Age: max(at.Sub(*since), 0)})
		}
	}
	for shard := range outbox {
		add(adapter.StationOutbox, shard, outbox[shard])
		add(adapter.StationBus, shard, bus[shard])
	}
	add(adapter.StationJournal, 0, pending)
	add(adapter.StationCheckpoint, 0, unsigned)
	add(adapter.StationFeed, 0, unfed)
	if eol != nil && eol.Before(at) {
		add(adapter.StationTerm, 0, eol)
	}
	if err := s.standApart(ctx, &out, outbox, left); err != nil {
		return adapter.Standing{}, err
	}
	if s.opts.Vault != nil {
		if missed, err := s.opts.Vault.Lacking(); err != nil {
			station, since, lacks := adapter.StationVault, at.Add(-missed), (*vault.KeyError)(nil)
			if errors.As(err, &lacks) && lacks.Away != "" {
				station = adapter.StationVaultFolder
			}
			add(station, 0, &since)
		}
	}
	return out, nil
}

// Time is the database's clock, which all nodes go by.
func (s *Store) Time(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), err
}

const (
	// strayRows is how many of the oldest rows of a shard are looked at in one go.
	strayRows = 1000
	// settleAfter is how long a row of relayed may outlive its arrival: the intake
	// can be quicker than the relay's own commit, and then finds no row to remove.
	settleAfter = "5 seconds"
)

// sweepRelayed removes the rows of what has arrived in its queue after all.
func (s *Store) sweepRelayed(ctx context.Context) (bool, error) {
	tag, err := s.polls.Exec(ctx, `WITH o AS MATERIALIZED (
		SELECT r.* FROM generate_series(0, $1::int - 1) s, LATERAL (
			SELECT message, queue FROM relayed WHERE shard = s AND at < now() - interval '`+settleAfter+`' ORDER BY at LIMIT $2) r
	), d AS MATERIALIZED (
		SELECT message, queue FROM o WHERE `+inPlace("o")+`
	) DELETE FROM relayed r USING d WHERE `+relayedIs("d"), adapter.Shards, strayRows)
	if err != nil {
		return false, fmt.Errorf("settling what has arrived from the bus: %w", err)
	}
	return tag.RowsAffected() >= strayRows, nil
}

// Strays is adapter.Store.Strays.
func (s *Store) Strays(ctx context.Context, age time.Duration) ([]adapter.Queue, error) {
	rows, _ := s.polls.Query(ctx, `SELECT DISTINCT q.system, q.kind, q.node FROM generate_series(0, $1::int - 1) s, LATERAL (
			SELECT queue FROM relayed WHERE shard = s AND at < now() - $3::interval ORDER BY at LIMIT $2) r
		JOIN queue_name q ON q.id = r.queue`, adapter.Shards, strayRows, age)
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (q adapter.Queue, err error) {
		err = r.Scan(&q.System, &q.Kind, &q.Node)
		return q, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for what the bus has and no queue: %w", err)
	}
	return list, nil
}

// Recall is adapter.Store.Recall. What has been placed meanwhile only loses its
// row. They go back in the order in which they were accepted, behind what waits.
func (s *Store) Recall(ctx context.Context, q adapter.Queue, age time.Duration) (n int, err error) {
	queue, err := s.names.queueID(ctx, s.pool, q, false)
	if err != nil || queue == 0 {
		return 0, err
	}
	err = s.polls.QueryRow(ctx, `WITH o AS MATERIALIZED (
		SELECT message, queue, shard FROM relayed WHERE shard = $1 AND queue = $2 AND at < now() - $3::interval
		ORDER BY at LIMIT $4 FOR UPDATE SKIP LOCKED
	), d AS (
		DELETE FROM relayed r USING o WHERE `+relayedIs("o")+`
	), b AS (
		INSERT INTO outbox (message, shard, queue) SELECT message, shard, queue FROM o
		WHERE NOT `+inPlace("o")+` ORDER BY message RETURNING 1
	) SELECT count(*) FROM b`, adapter.ShardOf(q), queue, age, strayRows).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("taking back what the bus has lost for %v: %w", q, err)
	}
	return n, nil
}

// Restream is adapter.Store.Restream: the notes of a topic that is gone are
// forgotten, and what they were of is relayed once more.
func (s *Store) Restream(ctx context.Context, w adapter.Streaming) (n int, err error) {
	q := adapter.Queue{System: w.Recipient, Kind: adapter.QueueRequests}
	queue, err := s.names.queueID(ctx, s.pool, q, false)
	if err != nil || queue == 0 {
		return 0, err
	}
	err = s.polls.QueryRow(ctx, `WITH s AS MATERIALIZED (
		SELECT "offset", message FROM streamed WHERE epoch = $1 AND topic = $2 AND partition = $3 ORDER BY "offset" LIMIT $4 FOR UPDATE SKIP LOCKED
	), d AS (
		DELETE FROM streamed t USING s WHERE t.epoch = $1 AND t.topic = $2 AND t.partition = $3 AND t."offset" = s."offset"
	), p AS (
		DELETE FROM placed p USING s WHERE p.message = s.message AND p.queue = $5 RETURNING p.message
	), b AS (
		INSERT INTO outbox (message, shard, queue) SELECT message, $6, $5 FROM p ORDER BY message RETURNING 1
	) SELECT count(*) FROM b`, w.From.Epoch, w.From.Topic, w.From.Partition, strayRows, queue, adapter.ShardOf(q)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("taking back what %s/%d had for %s: %w", w.From.Topic, w.From.Partition, w.Recipient, err)
	}
	return n, nil
}
