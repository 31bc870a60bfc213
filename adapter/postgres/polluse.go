package postgres

import (
	"context"
	"fmt"
	"time"

	"mezhved/adapter"
)

// FirstUse is adapter.Store.FirstUse. Its table is not logged, so its commit waits
// for no disk.
func (s *Store) FirstUse(ctx context.Context, u adapter.Use) (first string, err error) {
	uses := useArrays{}
	uses.add(u)
	if err := s.polls.QueryRow(ctx, usesSQL+` SELECT operation FROM u`, uses.arguments()...).Scan(&first); err != nil {
		return "", fmt.Errorf("noting a poll: %w", err)
	}
	return first, nil
}

// usesSQL notes polls, in "u", with the operation that each came with first. $1… are
// parallel arrays with a row per poll. Marks are inserted in order, so that two
// nodes do not wait for each other crosswise; the update changes nothing and is
// there to be told of the row that stands, whoever has just inserted it.
const usesSQL = `
WITH i AS MATERIALIZED (
	SELECT * FROM unnest($1::bytea[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS t(mark, operation, until, n)
), u AS (
	INSERT INTO poll_use (mark, operation, until) SELECT DISTINCT ON (mark) mark, operation, until FROM i ORDER BY mark, n
	ON CONFLICT (mark) DO UPDATE SET until = poll_use.until
	RETURNING mark, operation
)`

// usesHoldSQL undoes the whole transaction, by a division by zero, when a poll came
// with another operation first.
const usesHoldSQL = usesSQL + `
SELECT 1 / (CASE WHEN EXISTS (SELECT FROM i JOIN u USING (mark) WHERE i.operation <> u.operation) THEN 0 ELSE 1 END)`

// useArrays are the arguments of usesSQL.
type useArrays struct {
	marks      [][]byte
	operations []string
	untils     []time.Time
}

func (a *useArrays) add(u adapter.Use) {
	a.marks = append(a.marks, u.Mark[:])
	a.operations = append(a.operations, u.Operation)
	a.untils = append(a.untils, u.Until)
}

func (a *useArrays) arguments() []any { return []any{a.marks, a.operations, a.untils} }

// sweepUses forgets polls that are too old to come again.
func (s *Store) sweepUses(ctx context.Context, now time.Time) (bool, error) {
	gone, end, err := s.sweepSome(ctx, "poll_use", &s.sweeps.uses, "until < $3", now)
	if err != nil {
		return false, fmt.Errorf("forgetting old polls: %w", err)
	}
	return gone > 0 && !end, nil
}
