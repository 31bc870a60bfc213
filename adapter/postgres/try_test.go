package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
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
		if e.Code != "fsync" && e.Code != "full-page-writes" && !strings.HasPrefix(e.Code, "synchronous-commit") { // of a server for tests
			bad = append(bad, e.Text)
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
		{"no bound on statements", as(t, w.url, "", "statement_timeout", "0"), "statement_timeout would be off"},
		{"no schema", as(t, w.url, "", "search_path", "nowhere"), "there is no schema to make tables in"},
	} {
		if bad := examined(t, c.url); !strings.Contains(bad, c.says) {
			t.Errorf("%s: %q, want %q", c.what, bad, c.says)
		}
	}
}

// A pooler of transactions is good, and named.
func TestExamineBehindAPooler(t *testing.T) {
	t.Parallel()
	x, err := postgres.Examine(context.Background(), adaptertest.Pooler(t, embedded.Test(t, postgres.Migrate), "transaction"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range x.Errors {
		if e.Code == "timeouts-off" || e.Code == "rights" || strings.HasPrefix(e.Code, "tables") {
			t.Errorf("behind a pooler: %s", e.Text)
		}
	}
	if !slices.ContainsFunc(x.Advice, func(s postgres.Said) bool { return s.Code == "pooler" }) {
		t.Errorf("the pooler is not named: %v", x.Advice)
	}
}
