package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// use is one signed poll on its way to the database.
type use struct {
	mark      [32]byte
	operation string
	until     time.Time
	done      chan used
}

type used struct {
	first string
	err   error
}

// FirstUse is adapter.Store.FirstUse. Polls that come at the same time share a
// statement. Its table is not logged, so its commit waits for no disk.
func (s *Store) FirstUse(ctx context.Context, mark [32]byte, operation string, until time.Time) (string, error) {
	u := &use{mark: mark, operation: operation, until: until, done: make(chan used, 1)}
	s.uses.join(struct{}{}, u)
	var out used
	select {
	case out = <-u.done:
	case <-ctx.Done():
		out.err = ctx.Err()
	}
	if out.err != nil {
		return "", fmt.Errorf("noting a poll: %w", out.err)
	}
	return out.first, nil
}

// usesSQL notes polls and gives the operation that each came with first. $1… are
// parallel arrays with a row per poll. Marks are inserted in order, so that two
// nodes do not wait for each other crosswise; the update changes nothing and is
// there to be told of the row that stands, whoever has just inserted it.
const usesSQL = `
INSERT INTO poll_use (mark, operation, until)
SELECT DISTINCT ON (mark) mark, operation, until FROM unnest($1::bytea[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS t(mark, operation, until, n) ORDER BY mark, n
ON CONFLICT (mark) DO UPDATE SET until = poll_use.until
RETURNING mark, operation`

func (s *Store) noteUses(_ struct{}, batch []*use) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.StatementTimeout)
	defer cancel()
	marks, operations, untils := make([][]byte, len(batch)), make([]string, len(batch)), make([]time.Time, len(batch))
	for i, u := range batch {
		marks[i], operations[i], untils[i] = u.mark[:], u.operation, u.until
	}
	first := make(map[[32]byte]string, len(batch))
	rows, _ := s.pool.Query(ctx, usesSQL, marks, operations, untils)
	var mark []byte
	var operation string
	_, err := pgx.ForEachRow(rows, []any{&mark, &operation}, func() error {
		first[[32]byte(mark)] = operation
		return nil
	})
	for _, u := range batch {
		u.done <- used{first[u.mark], err}
	}
}

// sweepUses forgets polls that are too old to come again.
func (s *Store) sweepUses(ctx context.Context, now time.Time) (bool, error) {
	const rows = 5000
	tag, err := s.pool.Exec(ctx, "DELETE FROM poll_use WHERE mark IN (SELECT mark FROM poll_use WHERE until < $1 ORDER BY until LIMIT $2)", now, rows)
	if err != nil {
		return false, fmt.Errorf("forgetting old polls: %w", err)
	}
	return tag.RowsAffected() == rows, nil
}
