package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Written is what a load has left in a database, and what it has written on the way.
type Written struct {
	Stays int64 // bytes of all tables and indexes, what can be used again not counted when it is at their end
	WAL   int64 // bytes of the whole server's write-ahead log
}

// ReadWritten reads both so far, for those who measure. It vacuums the database: after
// the log is read, or before it where a measurement begins, so that the log does not
// count it.
func ReadWritten(ctx context.Context, url string, begins bool) (w Written, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return w, err
	}
	defer c.Close(ctx)
	log := func() error { return c.QueryRow(ctx, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").Scan(&w.WAL) }
	stays := func() error {
		if _, err := c.Exec(ctx, "VACUUM"); err != nil {
			return err
		}
		return c.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&w.Stays)
	}
	steps := []func() error{log, stays}
	if begins {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return w, fmt.Errorf("measuring the database: %w", err)
		}
	}
	return w, nil
}
