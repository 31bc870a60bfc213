package embedded

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain also plays the program that owns a server and is killed: the tests
// start this binary again with MEZHVED_TEST_ROLE set.
func TestMain(m *testing.M) {
	ctx := context.Background()
	switch os.Getenv("MEZHVED_TEST_ROLE") {
	case "":
		ServeKafkaChild()
		os.Exit(m.Run())
	case "postgres":
		p, err := StartPostgres(ctx, PostgresOptions{Dir: os.Getenv("MEZHVED_TEST_DIR"), Durable: true})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(p.URL("postgres"))
		time.Sleep(time.Hour)
	case "postgres-exit":
		p, err := StartPostgres(ctx, PostgresOptions{})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(p.URL("postgres"), p.dir)
		os.Exit(0) // without Stop
	}
}

func query[T any](t *testing.T, url, sql string, args ...any) T {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var v T
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func do(t *testing.T, url, sql string) {
	t.Helper()
	if err := execute(context.Background(), url, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
