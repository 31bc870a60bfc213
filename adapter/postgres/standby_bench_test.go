package postgres_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// What it costs that a commit waits for a standby, by how far it waits
// (synchronous_commit): local is not at all. Server and standby are on one disk.
func BenchmarkSynchronousCommit(b *testing.B) {
	ctx := b.Context()
	dir := b.TempDir()
	primary, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: filepath.Join(dir, "primary"), Durable: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { primary.Stop() })
	if err := primary.Create(ctx, "mezhved"); err != nil {
		b.Fatal(err)
	}
	if err := postgres.Migrate(ctx, primary.URL("mezhved")); err != nil {
		b.Fatal(err)
	}
	standby, err := primary.Standby(ctx, embedded.PostgresOptions{Dir: filepath.Join(dir, "standby"), Durable: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { standby.Stop() })
	conn, err := pgx.Connect(ctx, primary.URL("mezhved"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	for synchronous := false; !synchronous; time.Sleep(50 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')").Scan(&synchronous); err != nil {
			b.Fatal(err)
		}
	}
	for _, wait := range []string{"local", "remote_write", "on", "remote_apply"} {
		s, err := postgres.Open(ctx, postgres.Options{URL: primary.URL("mezhved") + "&synchronous_commit=" + wait, Node: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", wait, n), func(b *testing.B) {
				messages := make([]*adapter.Message, b.N)
				for i := range messages {
					messages[i] = benchMessage(i % 8)
				}
				callers(b, n, func(i int) error {
					m := messages[i]
					_, err := s.Accept(context.Background(), m, benchEvents(m))
					return err
				})
			})
		}
		s.Close()
	}
}
