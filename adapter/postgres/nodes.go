package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// TellNode is adapter.Store.TellNode.
func (s *Store) TellNode(ctx context.Context, n adapter.Node) error {
	_, err := s.pool.Exec(ctx, `WITH gone AS (DELETE FROM node WHERE seen < now() - interval '31 days' AND name <> $1)
		INSERT INTO node (name, version, commit, started, seen) VALUES ($1, $2, $3, $4, now())
		ON CONFLICT (name) DO UPDATE SET version = $2, commit = $3, started = $4, seen = now()`, n.Name, n.Version, n.Commit, n.Started)
	if err != nil {
		return fmt.Errorf("telling of this node: %w", err)
	}
	return nil
}

// Nodes is adapter.Store.Nodes.
func (s *Store) Nodes(ctx context.Context) ([]adapter.Node, error) { return readNodes(ctx, s.pool) }

func readNodes(ctx context.Context, db querier) ([]adapter.Node, error) {
	rows, _ := db.Query(ctx, "SELECT name, version, commit, started, seen, now() - seen FROM node ORDER BY name")
	nodes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n adapter.Node, err error) {
		err = row.Scan(&n.Name, &n.Version, &n.Commit, &n.Started, &n.Seen, &n.Ago)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("asking for the nodes: %w", err)
	}
	return nodes, nil
}
