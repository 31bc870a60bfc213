package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// tracedMost is how many calls of one trace are told of.
const tracedMost = 100

// Traced is adapter.Store.Traced. A message that came without a trace has the id of its
// own; those that came with one are looked for in the partitions that have an index of
// them, which is all that were made since it is there.
func (s *Store) Traced(ctx context.Context, trace string) (ids []string, err error) {
	var own uuid.UUID
	if n, err := hex.Decode(own[:], []byte(trace)); err != nil || n != len(own) || len(trace) != 2*len(own) {
		return nil, nil
	}
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT i.indrelid::regclass::text FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid
			WHERE h.inhparent = 'message_trace'::regclass ORDER BY 1`)
		parts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		looked := []string{
			"SELECT incident FROM refusal_trace WHERE trace = $1",
			"SELECT id::text FROM message WHERE id = $2 AND trace = ''",
		}
		for _, part := range parts {
			looked = append(looked, "SELECT id::text FROM "+part+" WHERE substr(trace, 4, 32) = $1 AND trace <> ''")
		}
		rows, _ = tx.Query(ctx, fmt.Sprintf("SELECT * FROM (%s) found(id) ORDER BY id LIMIT %d", strings.Join(looked, " UNION ALL "), tracedMost), trace, own)
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding a trace: %w", err)
	}
	return ids, nil
}

// tracesSQL asks for the traces of messages. Between which ids they are tells in which days
// they stand: the others are not looked at, however many are kept.
const tracesSQL = "SELECT id, trace FROM message WHERE id = ANY ($1) AND id >= $2 AND id <= $3"

// TracesOf is adapter.Store.TracesOf.
func (s *Store) TracesOf(ctx context.Context, messages []uuid.UUID, incidents []string) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, "SELECT incident, trace FROM refusal_trace WHERE incident = ANY ($1)", incidents)
	out := map[string]string{}
	var id, trace string
	if _, err := pgx.ForEachRow(rows, []any{&id, &trace}, func() error { out[id] = trace; return nil }); err != nil {
		return nil, fmt.Errorf("asking for traces: %w", err)
	}
	if len(messages) == 0 {
		return out, nil
	}
	first := slices.MinFunc(messages, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	last := slices.MaxFunc(messages, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	rows, _ = s.pool.Query(ctx, tracesSQL, messages, first, last)
	var message uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&message, &trace}, func() error {
		out[message.String()] = adapter.TraceOf(trace, message)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("asking for traces: %w", err)
	}
	return out, nil
}
