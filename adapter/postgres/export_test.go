package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

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
