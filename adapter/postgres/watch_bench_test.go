package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"mezhved/adapter"
)

// BenchmarkStanding looks at a store where a million rows wait at each station,
// and then at one from which they have just gone and nobody has cleaned up yet.
func BenchmarkStanding(b *testing.B) {
	ctx := context.Background()
	s, conn := openBare(b)
	do := func(format string, args ...any) {
		b.Helper()
		if _, err := conn.Exec(ctx, fmt.Sprintf(format, args...)); err != nil {
			b.Fatal(err)
		}
	}
	const rows = 1_000_000
	if _, err := s.Standing(ctx); err != nil { // planned while all is empty
		b.Fatal(err)
	}
	do("ALTER TABLE outbox SET (autovacuum_enabled = off); ALTER TABLE relayed SET (autovacuum_enabled = off); ALTER TABLE journal_pending SET (autovacuum_enabled = off)")
	do("INSERT INTO outbox (message, shard, queue) SELECT gen_random_uuid(), n %% %d, 1 FROM generate_series(1, %d) n", adapter.Shards, rows)
	do("INSERT INTO relayed (message, shard, queue) SELECT gen_random_uuid(), n %% %d, n %% 100 FROM generate_series(1, %d) n", adapter.Shards, rows)
	do("INSERT INTO journal_pending (event) SELECT '{}' FROM generate_series(1, %d) n", rows)
	look := func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Standing(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("waiting", look)
	b.Run("strays", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Strays(ctx, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	do("DELETE FROM outbox; DELETE FROM relayed; DELETE FROM journal_pending")
	b.Run("gone", look)
}
