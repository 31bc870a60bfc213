package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// heard calls a function when something is written that contains a text.
type heard struct {
	bytes.Buffer
	text string
	then func()
}

func (h *heard) Write(b []byte) (int, error) {
	if h.then != nil && bytes.Contains(b, []byte(h.text)) {
		h.then()
		h.then = nil
	}
	return h.Buffer.Write(b)
}

// A key is admitted to be lost when no gateway is at work any more: until then the command
// says for which it waits, and one that is at work after all is not waited for. Counting
// waits for nobody.
func TestALostKeyWaitsForGatewaysToHaveStopped(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	config, err := prepareDemo(dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := embedded.Test(t, postgres.Migrate)
	file := beside(t, filepath.Join(dir, "mezhved.yaml"), url)
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Error(err)
		}
	}
	said := func(then func(), args ...string) (int, string) {
		t.Helper()
		errOut := &heard{text: "waiting", then: then}
		code := run(append([]string{"journal", "lost-key", "blind.key", "--config", file}, args...), strings.NewReader(""), new(bytes.Buffer), errOut)
		return code, errOut.String()
	}
	const unused = "nothing in the database is sealed with a key of the name blind.key" // where it came to look
	ground := "--ground=the disk broke"
	exec("INSERT INTO node VALUES ('gw-1', '1.0.0', '', now(), now() - interval '70 s'), ('gw-2', '1.0.0', '', now(), now() - interval '3 min')")
	for _, c := range []struct {
		what  string
		waits string // done while it waits
		args  []string
		code  int
		says  []string
		not   string
	}{
		{"counting", "", []string{"--dry-run"}, 1, []string{"note: the gateway gw-1 was at work 1m", "its vault may have the key", unused}, "gw-2"},
		{"a gateway says once a minute that it is there", "", []string{ground, "--wait", "0s"}, 3, []string{"gw-1 was at work 1m", "stop all gateways"}, "waiting"},
		{"it says so again", "UPDATE node SET seen = now() WHERE name = 'gw-1'", []string{ground}, 3, []string{"the gateway gw-1 was at work 1m", "counts as stopped in ", "look there first"}, unused},
		{"another one begins", "INSERT INTO node VALUES ('gw-3', '1.0.0', '', now(), now())", []string{ground}, 3, []string{"waiting", "gw-3 was at work", "look there first"}, unused},
		{"they have stopped", "UPDATE node SET seen = now() - interval '3 min'", []string{ground}, 1, []string{"the gateway gw-1 was at work", "the gateway gw-3 was at work", "waiting", unused}, "look there first"},
	} {
		code, text := said(func() {
			if c.waits != "" {
				exec(c.waits)
			}
		}, c.args...)
		for _, want := range c.says {
			if code != c.code || !strings.Contains(text, want) || strings.Contains(text, c.not) {
				t.Errorf("%s: exit code %d: %s; want %d, %q and no %q", c.what, code, text, c.code, want, c.not)
			}
		}
	}
	// Where the whole vault is away, no single key is lost.
	exec("UPDATE content_vault SET vault = 'THATVAULT'")
	if err := os.RemoveAll(config.Journal.Vault); err != nil {
		t.Fatal(err)
	}
	if code, text := said(nil, "--dry-run"); code != 2 || !strings.Contains(text, config.Journal.Vault+", is not there") || !strings.Contains(text, "THATVAULT") {
		t.Errorf("without the folder: exit code %d: %s", code, text)
	}
}
