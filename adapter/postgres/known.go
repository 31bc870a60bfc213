package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// Accepted tells which of the MessageIDs this database has as accepted: a message, or,
// where its row has gone, an entry of the journal.
func (j *Journal) Accepted(ctx context.Context, ids []string) (map[string]bool, error) {
	rows, _ := j.pool.Query(ctx, "SELECT DISTINCT message_id FROM message WHERE message_id = ANY ($1)", ids)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for messages: %w", err)
	}
	known := make(map[string]bool, len(ids))
	for _, id := range found {
		known[id] = true
	}
	var rest []string
	for _, id := range ids {
		if !known[id] {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return known, nil
	}
	entries, err := find(ctx, j.pool, sought{messageIDs: rest})
	if err != nil {
		return nil, fmt.Errorf("looking for entries: %w", err)
	}
	for i := range entries {
		if entries[i].Leaf.Kind == journal.KindAccepted {
			known[entries[i].Leaf.MessageID] = true
		}
	}
	return known, nil
}

// Entry gives an entry that the database has; fs.ErrNotExist.
func (j *Journal) Entry(ctx context.Context, index int64) (Row, error) {
	return entryAt(ctx, j.pool, index)
}

// ReadOffsets tells how far the intake has come in each partition of the bus: the
// offset of the next record.
func (s *Store) ReadOffsets(ctx context.Context) (map[adapter.Partition]int64, error) {
	rows, _ := s.pool.Query(ctx, `SELECT epoch, topic, partition, "offset" FROM kafka_offset`)
	out := map[adapter.Partition]int64{}
	var at adapter.Partition
	var offset int64
	_, err := pgx.ForEachRow(rows, []any{&at.Epoch, &at.Topic, &at.Partition, &offset}, func() error {
		out[at] = offset + 1
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("how far the bus was read: %w", err)
	}
	return out, nil
}
