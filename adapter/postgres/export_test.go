package postgres

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// LeaseTogether gives polls of one queue to the database at once and tells which
// message each of them got.
func LeaseTogether(s *Store, polls ...adapter.Poll) (got []uuid.UUID, err error) {
	ctx := context.Background()
	queue, err := s.names.queueID(ctx, s.pool, polls[0].Queue, false)
	if err != nil {
		return nil, err
	}
	var batch []*lease
	for _, p := range polls {
		l := &lease{ctx: ctx, poll: p}
		if l.event, err = s.stamp(journal.Event{}, journal.KindDelivered, p.Now); err != nil {
			return nil, err
		}
		batch = append(batch, l)
	}
	outcomes, err := s.leaseRows(queue, batch)
	for _, o := range outcomes {
		got = append(got, o.id)
	}
	return got, err
}

// Setting reads a setting as a session of the store has it.
func Setting(t *testing.T, s *Store, name string) (value string) {
	t.Helper()
	if err := s.pool.QueryRow(context.Background(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// StandingSQL is what Standing asks.
const StandingSQL = standingSQL

// SettingInTransaction reads it as a transaction of the store has it.
func SettingInTransaction(t *testing.T, s *Store, name string) (value string) {
	t.Helper()
	err := pgx.BeginFunc(context.Background(), s.pool, func(tx pgx.Tx) error {
		return tx.QueryRow(context.Background(), "SELECT current_setting($1)", name).Scan(&value)
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// PlannedAnew counts how often the sessions of polls have planned a statement for the
// values that it was given.
func PlannedAnew(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, c := range s.polls.AcquireAllIdle(context.Background()) {
		var here int
		if err := c.QueryRow(context.Background(), "SELECT coalesce(sum(custom_plans), 0) FROM pg_prepared_statements").Scan(&here); err != nil {
			t.Error(err)
		}
		n += here
		c.Release()
	}
	return n
}
