package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/impact"
)

var (
	_ impact.Store   = (*Store)(nil)
	_ impact.Shadows = (*Store)(nil)
)

// LatestMessages is impact.Store.LatestMessages. It reads the rows of the days between,
// without their bodies, to find whose they are: ask for days, not for years.
func (s *Store) LatestMessages(ctx context.Context, service string, directions []adapter.Direction, from, to time.Time, last, most int, each func(*adapter.Message) error) (more bool, err error) {
	words := make([]string, len(directions))
	for i, d := range directions {
		words[i] = string(d)
	}
	rows, _ := s.pool.Query(ctx, `SELECT id FROM (
		SELECT id, row_number() OVER (PARTITION BY sender, direction ORDER BY id DESC) n FROM `+kindsOf+` m
		WHERE service = $1 AND direction = ANY ($2) AND NOT test AND id >= $3 AND id < $4
	) m WHERE n <= $5 ORDER BY id DESC LIMIT $6`, service, words, [16]byte(floor(from)), [16]byte(floor(to)), last, most+1)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return false, fmt.Errorf("looking for messages of %s: %w", service, err)
	}
	if more = len(ids) > most; more {
		ids = ids[:most]
	}
	for _, id := range ids {
		m, err := s.load(ctx, uuid.UUID(id), false)
		if errors.Is(err, adapter.ErrNotFound) {
			continue // its day has gone meanwhile
		}
		if err != nil {
			return more, err
		}
		if err := each(m); err != nil {
			return more, err
		}
	}
	return more, nil
}

// AddShadow is impact.Shadows.AddShadow. Rows are taken in one order, so that nodes do
// not wait for one another in a circle.
func (s *Store) AddShadow(ctx context.Context, drafts []impact.Draft, tallies []impact.Tally, seen []impact.Seen) error {
	slices.SortFunc(tallies, func(a, b impact.Tally) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Direction, b.Direction))
	})
	slices.SortFunc(seen, func(a, b impact.Seen) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Direction, b.Direction),
			strings.Compare(a.Rule, b.Rule), strings.Compare(a.Path, b.Path))
	})
	var services, versions []string
	for _, d := range drafts {
		services, versions = append(services, d.Service), append(versions, d.Version)
	}
	batch := &pgx.Batch{}
	for _, t := range tallies {
		batch.Queue(`INSERT INTO shadow_tally AS s (service, version, sender, direction, seen, differ, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (service, version, sender, direction) DO UPDATE SET seen = s.seen + excluded.seen, differ = s.differ + excluded.differ, at = greatest(s.at, excluded.at)`,
			t.Service, t.Version, string(t.Sender), string(t.Direction), t.Seen, t.Differ, t.At)
	}
	for _, d := range seen {
		batch.Queue(`INSERT INTO shadow_seen AS s (service, version, sender, direction, looser, rule, path, messages, first, last, message_id, line, col)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (service, version, sender, direction, looser, rule, path) DO UPDATE SET messages = s.messages + excluded.messages,
				first = least(s.first, excluded.first), last = excluded.last, message_id = excluded.message_id, line = excluded.line, col = excluded.col`,
			d.Service, d.Version, string(d.Sender), string(d.Direction), d.Looser, d.Rule, d.Path, d.Messages, d.First, d.Last, d.Example, d.Line, d.Col)
	}
	const other = "(service, version) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))"
	batch.Queue("DELETE FROM shadow_seen WHERE "+other, services, versions)
	batch.Queue("DELETE FROM shadow_tally WHERE "+other, services, versions)
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
}

// ShadowTallies is impact.Shadows.ShadowTallies.
func (s *Store) ShadowTallies(ctx context.Context) ([]impact.Tally, error) {
	rows, _ := s.pool.Query(ctx, "SELECT service, version, sender, direction, seen, differ, at FROM shadow_tally ORDER BY service, version, differ DESC, sender, direction")
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[impact.Tally])
	if err != nil {
		return nil, fmt.Errorf("reading what drafts would do: %w", err)
	}
	return list, nil
}

// ShadowSeen is impact.Shadows.ShadowSeen.
func (s *Store) ShadowSeen(ctx context.Context, limit int) ([]impact.Seen, error) {
	rows, _ := s.pool.Query(ctx, `SELECT service, version, sender, direction, looser, rule, path, messages, first, last, message_id, line, col FROM shadow_seen
		ORDER BY service, version, messages DESC, sender, path, rule LIMIT $1`, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[impact.Seen])
	if err != nil {
		return nil, fmt.Errorf("reading what drafts would do: %w", err)
	}
	return list, nil
}

// sweepShadow forgets what was not seen for long.
func (s *Store) sweepShadow(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, "WITH t AS (DELETE FROM shadow_tally WHERE at < $1) DELETE FROM shadow_seen WHERE last < $1", now.AddDate(0, 0, -31))
	if err != nil {
		return fmt.Errorf("forgetting what drafts would do: %w", err)
	}
	return nil
}
