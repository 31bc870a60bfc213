package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"mezhved/adapter"
)

// FirstUse is adapter.Store.FirstUse. Its table is not logged, so its commit waits
// for no disk.
func (s *Store) FirstUse(ctx context.Context, u adapter.Use) (first string, err error) {
	if err := s.polls.QueryRow(ctx, usesSQL+` SELECT operation FROM u`, useArguments([]adapter.Use{u})...).Scan(&first); err != nil {
		return "", fmt.Errorf("noting a poll: %w", err)
	}
	return first, nil
}

// useRows are polls that are noted, in their order, so that two nodes do not wait for each
// other crosswise: $1… are parallel arrays with a row per poll.
var useRows = rowsOf("$1::bytea[], $2::text[], $3::timestamptz[]")

// usesNewSQL notes polls that have not come before, as nearly all: of another that one is a
// unique violation.
var usesNewSQL = `INSERT INTO poll_use (mark, operation, until) ` + useRows

// usesSQL notes polls, in "u", with the operation that each came with first. The update
// changes nothing and is there to be told of the row that stands, whoever has just inserted
// it.
var usesSQL = `
WITH i AS MATERIALIZED (
	SELECT * FROM (` + useRows + `) AS t(mark, operation, until)
), u AS (
	INSERT INTO poll_use (mark, operation, until) SELECT DISTINCT ON (mark) mark, operation, until FROM i ORDER BY mark
	ON CONFLICT (mark) DO UPDATE SET until = poll_use.until
	RETURNING mark, operation
)`

// usesHoldSQL undoes the whole transaction, by a division by zero, when a poll came
// with another operation first.
var usesHoldSQL = usesSQL + `
SELECT 1 / (CASE WHEN EXISTS (SELECT FROM i JOIN u USING (mark) WHERE i.operation <> u.operation) THEN 0 ELSE 1 END)`

// useArguments are those of useRows.
func useArguments(uses []adapter.Use) []any {
	uses = slices.Clone(uses)
	slices.SortStableFunc(uses, func(a, b adapter.Use) int { return bytes.Compare(a.Mark[:], b.Mark[:]) })
	marks, operations, untils := make([][]byte, len(uses)), make([]string, len(uses)), make([]time.Time, len(uses))
	for i := range uses {
		marks[i], operations[i], untils[i] = uses[i].Mark[:], uses[i].Operation, uses[i].Until
	}
	return []any{marks, operations, untils}
}

// sweepUses forgets polls that are too old to come again.
func (s *Store) sweepUses(ctx context.Context, now time.Time) (bool, error) {
	gone, end, err := s.sweepSome(ctx, "poll_use", &s.sweeps.uses, "until < $3", now)
	if err != nil {
		return false, fmt.Errorf("forgetting old polls: %w", err)
	}
	return gone > 0 && !end, nil
}
