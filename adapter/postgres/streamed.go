package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// streamSQL notes where records stand that their recipients read themselves.
// $1… are parallel arrays with a row per record. A record that the relay
// published twice is noted once, where it came first. It goes before enqueueSQL, and
// like it does nothing of what the partition's row knows, or without that row.
const streamSQL = `
WITH k AS MATERIALIZED (
	SELECT "offset" FROM kafka_offset WHERE epoch = $6 AND topic = $7 AND partition = $8 FOR UPDATE
), i AS MATERIALIZED (
	SELECT t.* FROM k, unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::jsonb[]) AS t(message, queue, "offset", system, facts)
	WHERE t."offset" > k."offset"
), p AS (
	INSERT INTO placed (message, queue) SELECT message, queue FROM i ORDER BY message, queue
	ON CONFLICT DO NOTHING RETURNING message, queue
), r AS (
	DELETE FROM relayed r USING i WHERE r.message = i.message AND r.queue = i.queue
)
INSERT INTO streamed (epoch, topic, partition, "offset", message, system, facts)
SELECT $6, $7, $8, "offset", message, system, facts FROM i
WHERE ((message, queue) IN (SELECT message, queue FROM p)) IS TRUE`

// streams are the arrays of streamSQL.
type streams struct {
	messages [][16]byte
	queues   []int32
	offsets  []int64
	systems  []string
	facts    []string
}

func (s *streams) arguments(from adapter.Partition) []any {
	return []any{s.messages, s.queues, s.offsets, s.systems, s.facts, from.Epoch, from.Topic, from.Partition}
}

// Streaming is adapter.Store.Streaming.
func (s *Store) Streaming(ctx context.Context) ([]adapter.Streaming, error) {
	// A loose scan of the key: one look per partition, however many records wait.
	rows, _ := s.pool.Query(ctx, `
WITH RECURSIVE p AS (
	(SELECT epoch, topic, partition, system FROM streamed ORDER BY epoch, topic, partition, "offset" LIMIT 1)
	UNION ALL
	SELECT n.* FROM p, LATERAL (
		SELECT epoch, topic, partition, system FROM streamed s WHERE (s.epoch, s.topic, s.partition) > (p.epoch, p.topic, p.partition)
		ORDER BY epoch, topic, partition, "offset" LIMIT 1) n
)
SELECT epoch, topic, partition, system FROM p`)
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w adapter.Streaming, err error) {
		err = r.Scan(&w.From.Epoch, &w.From.Topic, &w.From.Partition, &w.Recipient)
		return w, err
	})
}

// Passed is adapter.Store.Passed.
func (s *Store) Passed(ctx context.Context, from adapter.Partition, group string, committed int64, now time.Time) (n int, err error) {
	// The receipt is that of offset 0, cut where the offset stands.
	field := journal.Receipt{Stream: &journal.Stream{Committed: committed, Epoch: from.Epoch, Group: group, Partition: from.Partition, Topic: from.Topic}}.Field()
	const mark = `"offset":`
	at := strings.LastIndex(field.Value, mark+`0,"partition":`) + len(mark)
	before, after := field.Value[:at], field.Value[at+1:]
	event, err := s.stamp(journal.Event{Node: s.opts.Node, Outcome: "stream", Channel: "stream", Attempt: 1}, journal.KindDelivered, now)
	if err != nil {
		return 0, err
	}
	for {
		var passed int
		err := s.pool.QueryRow(ctx, s.gates.sql(`
WITH s AS (
	SELECT "offset" FROM streamed WHERE epoch = $1 AND topic = $2 AND partition = $3 AND "offset" < $4
	ORDER BY "offset" LIMIT $5 FOR UPDATE SKIP LOCKED
), d AS (
	DELETE FROM streamed t USING s WHERE t.epoch = $1 AND t.topic = $2 AND t.partition = $3 AND t."offset" = s."offset"
	RETURNING t."offset", t.facts
), e AS (
	`+waitSQL(`SELECT convert_to((facts || $6::jsonb || jsonb_build_object('personal', coalesce($6::jsonb->'personal', '[]') ||
	jsonb_build_array(jsonb_build_object('field', $7::text, 'class', $8::text, 'value', $9::text || "offset" || $10::text))))::text, 'UTF8'), "offset" FROM d`)+`
)
SELECT count(*) FROM d`),
			from.Epoch, from.Topic, from.Partition, committed, sweepRows, event, field.Field, field.Class, before, after).Scan(&passed)
		if err != nil {
			return n, fmt.Errorf("journalling what was read from %s/%d: %w", from.Topic, from.Partition, err)
		}
		n += passed
		if passed < sweepRows {
			return n, nil
		}
	}
}
