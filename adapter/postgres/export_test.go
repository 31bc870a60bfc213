package postgres

import (
	"context"
	"testing"
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
