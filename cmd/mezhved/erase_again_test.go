package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// Erasures that are to be done again and wait for a key are no success: re-erase and restore
// name the key and end with exit code 1, until it is back.
func TestErasuresThatWaitForAKeyAreNoSuccess(t *testing.T) {
	ctx := context.Background()
	d := openDeskNode(t)
	d.stop()
	file := beside(t, d.config, d.url)
	db, err := pgx.Connect(ctx, d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, "CREATE TABLE opening_of_before PARTITION OF journal_opening DEFAULT"); err != nil {
		t.Fatal(err)
	}
	key := func(from, to string) {
		t.Helper()
		tag, err := db.Exec(ctx, "UPDATE journal_opening SET key = replace(key, $1, $2) WHERE substring(sealed FOR 4) = '\\x0000ff7f'", from, to)
		if err != nil || tag.RowsAffected() == 0 {
			t.Fatal("no values are sealed together: ", err)
		}
	}
	var id, service, direction string
	if err := db.QueryRow(ctx, "SELECT m.id::text, coalesce(m.service, k.service), coalesce(m.direction, k.direction) FROM message m LEFT JOIN message_kind k ON k.id = m.kind ORDER BY m.id LIMIT 1").Scan(&id, &service, &direction); err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	line := fmt.Sprintf(`{"id":"01a200c3-ff6e-713b-a695-b1d40770f4ba","at":"2026-01-02T03:04:05Z","ground":"order 6","items":[{"class":%q,"id":%q}]}`+"\n",
		adapter.ContentClass(service, adapter.Direction(direction)), id)
	if err := os.WriteFile(filepath.Join(kept, "erasures"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	reErase := []string{"journal", "re-erase", "--config", file, "--register", filepath.Join(kept, "erasures")}
	restore := []string{"restore", "--verify", "--config", file, "--from", kept}
	month := "-2" // of this century
	key(month, "-gone-2")
	waits := "1 erasure was not done again, for journal.vault has not the keys acknowledgements-gone-2"
	for _, c := range []struct {
		args []string
		code int
		says []string
	}{
		{reErase, exitNo, []string{"1 erasures had been forgotten; 0 messages", waits, "mezhved journal lost-key admits it"}},
		{restore, exitNo, []string{"FINDING    " + waits, "erasures   1 had been forgotten, 0 messages"}},
	} {
		var out, errOut bytes.Buffer
		code := run(c.args, strings.NewReader(""), &out, &errOut)
		for _, want := range c.says {
			if text := out.String() + errOut.String(); code != c.code || !strings.Contains(text, want) {
				t.Errorf("%v: exit code %d: %s, want %d and %q", c.args, code, text, c.code, want)
			}
		}
	}
	key("-gone-2", month)
	var out, errOut bytes.Buffer
	if code := run(reErase, strings.NewReader(""), &out, &errOut); code != 0 || !strings.Contains(out.String(), "1 erasures had been forgotten; 1 messages") {
		t.Errorf("with the key: exit code %d: %s%s", code, out.String(), errOut.String())
	}
	out.Reset()
	if code := run(restore, strings.NewReader(""), &out, &errOut); code != 0 || strings.Contains(out.String(), "FINDING") || !strings.Contains(out.String(), "erasures   0 had been forgotten") {
		t.Errorf("with the key: exit code %d: %s%s", code, out.String(), errOut.String())
	}
}
