package postgres

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mezhved/adapter/journal"
)

// OpenTracedJournal opens a journal over connections that tracer sees.
func OpenTracedJournal(ctx context.Context, url, origin string, vault *journal.Vault, tracer pgx.QueryTracer) (*Journal, *pgxpool.Pool, error) {
	config, err := poolConfig(Options{URL: url, Connections: 8})
	if err != nil {
		return nil, nil, err
	}
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	j, err := openJournal(ctx, pool, origin, vault, slog.New(slog.DiscardHandler))
	return j, pool, err
}
