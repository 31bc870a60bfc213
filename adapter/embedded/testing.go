package embedded

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// TB is the part of testing.TB that we need. The package testing itself stays
// out of the gateway's binary.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
}

// Test gives the URL of an empty database for one test, with the schema that
// migrate makes, and drops the database when the test ends. All tests of a
// process share one server (DATABASE_URL, or a private cluster that is not
// Durable, is in memory where there is room, and ends with the process). On the private
// one migrate runs once for all of them: the database is copied from a migrated template,
// a thousand files, in some 30 ms of processor time; on a disk it would be half a second.
func Test(t TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	ctx := context.Background()
	server, err := testServer()
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	name := fmt.Sprintf("mezhved_test_%d_%d", os.Getpid(), testCount.Add(1))
	create := "CREATE DATABASE " + name
	private := os.Getenv("DATABASE_URL") == ""
	if private {
		template, err := testTemplate(ctx, server, migrate)
		if err != nil {
			t.Fatalf("template database: %v", err)
		}
		create += " TEMPLATE " + template + " STRATEGY FILE_COPY" // there is nothing to write into a log that nobody reads
	}
	if err := execute(ctx, server, create); err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(ctx, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("test database %s stays: %v", name, err)
		}
	})
	u := withDatabase(server, name)
	if !private {
		// Nobody would drop a template there when this process ends.
		if err := migrate(ctx, u); err != nil {
			t.Fatalf("migrating test database: %v", err)
		}
	}
	return u
}

var (
	testCount     atomic.Int64
	testTemplates sync.Map // address of migrate -> *sync.OnceValues

	// testServer is the URL of the server that the tests of this process share.
	testServer = sync.OnceValues(func() (string, error) {
		if u := os.Getenv("DATABASE_URL"); u != "" {
			return u, nil
		}
		// Never stopped by hand: it goes with the process.
		p, err := StartPostgres(context.Background(), PostgresOptions{Memory: true})
		if err != nil {
			return "", err
		}
		return p.URL("postgres"), nil
	})
)

// testTemplate migrates the template of this migrate function, once.
func testTemplate(ctx context.Context, server string, migrate func(context.Context, string) error) (string, error) {
	key := reflect.ValueOf(migrate).Pointer()
	once, _ := testTemplates.LoadOrStore(key, sync.OnceValues(func() (string, error) {
		name := fmt.Sprintf("mezhved_template_%d_%x", os.Getpid(), key)
		if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
			return "", err
		}
		return name, migrate(ctx, withDatabase(server, name))
	}))
	return once.(func() (string, error))()
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return server + " dbname=" + name // key=value form; the last one wins
	}
	u.Path = "/" + name
	return u.String()
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
