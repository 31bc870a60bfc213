package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// as is the URL with another user and options.
func as(t *testing.T, address, user string, options ...string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		u.User = url.User(user)
	}
	q := u.Query()
	for i := 0; i+1 < len(options); i += 2 {
		q.Set(options[i], options[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// role makes a role that goes with the test.
func (w *world) role(attributes string) string {
	w.Helper()
	name := fmt.Sprintf("doctor_%d", time.Now().UnixNano())
	w.query(exec("CREATE ROLE " + name + " LOGIN " + attributes))
	w.Cleanup(func() { w.query(exec("DROP OWNED BY " + name + "; DROP ROLE " + name)) })
	return name
}

func examined(t *testing.T, url string) (errors string) {
	t.Helper()
	x, err := postgres.Examine(context.Background(), url)
	if err != nil {
		return err.Error()
	}
	var bad []string
	for _, e := range x.Errors {
		if !strings.HasPrefix(e, "fsync is ") && !strings.HasPrefix(e, "synchronous_commit is ") { // of a server for tests
			bad = append(bad, e)
		}
	}
	return strings.Join(bad, "\n")
}

// A database is good when a gateway can work with it, tried and not guessed.
func TestExamineTriesWhatServeNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if bad := examined(t, w.url); bad != "" {
		t.Errorf("a good database: %s", bad)
	}
	if n := w.count("SELECT count(*) FROM pg_class WHERE relname LIKE 'mezhved_doctor%'"); n != 0 {
		t.Errorf("%d things of the doctor stay", n)
	}
	reader := w.role("")
	w.query(exec("GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + reader))
	writer := w.role("")
	w.query(exec("GRANT ALL ON ALL TABLES IN SCHEMA public TO " + writer))
	maker := w.role("")
	w.query(exec("GRANT CREATE ON SCHEMA public TO " + maker))
	for _, c := range []struct{ what, url, says string }{
		{"a role that only reads", as(t, w.url, reader), "may not read and write the tables"},
		{"a role that may create nothing", as(t, w.url, writer), "make a table: ERROR: permission denied for schema public"},
		{"a role that does not own the tables", as(t, w.url, writer), "does not own the tables"},
		{"a role without rights to the tables", as(t, w.url, maker), "may not read and write the tables"},
		{"read-only sessions", as(t, w.url, "", "default_transaction_read_only", "on"), "sessions are read-only"},
		{"no schema", as(t, w.url, "", "search_path", "nowhere"), "there is no schema to make tables in"},
	} {
		if bad := examined(t, c.url); !strings.Contains(bad, c.says) {
			t.Errorf("%s: %q, want %q", c.what, bad, c.says)
		}
	}
}

// A pooler that drops session settings, or refuses them, is named.
func TestExamineBehindAPooler(t *testing.T) {
	t.Parallel()
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("pgbouncer is not installed (Debian: apt-get install pgbouncer): what a pooler does is not tried")
	}
	p, err := embedded.StartPostgres(context.Background(), embedded.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	target, err := pgx.ParseConfig(p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ignore, says string }{
		{"", "does not take our session settings"},
		{"statement_timeout,lock_timeout,idle_in_transaction_session_timeout,work_mem,enable_seqscan,default_transaction_isolation,timezone,extra_float_digits",
			"drops our session settings"},
	} {
		address := pooler(t, program, target, "ignore_startup_parameters = "+c.ignore)
		if bad := examined(t, as(t, address, "", "default_query_exec_mode", "exec")); !strings.Contains(bad, c.says) || c.ignore != "" && !strings.Contains(bad, "statement_timeout is 0 instead of 15s") {
			t.Errorf("ignoring %q: %q, want %q", c.ignore, bad, c.says)
		}
	}
}

// pooler starts PgBouncer in transaction mode before a server and gives its address.
func pooler(t *testing.T, program string, target *pgx.ConnConfig, settings string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir, err := os.MkdirTemp("", "mezhved-pooler-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // it leaves root
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	ini := fmt.Sprintf("[databases]\npostgres = host=%s port=%d dbname=postgres user=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n%s\n",
		target.Host, target.Port, target.User, port, settings)
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{file}
	if os.Getuid() == 0 {
		args = []string{"-u", "postgres", file}
	}
	c := osexec.Command(program, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	address := "127.0.0.1:" + strconv.Itoa(port)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the pooler does not listen: %v", err)
		}
	}
	return "postgres://" + target.User + "@" + address + "/postgres?sslmode=disable"
}
