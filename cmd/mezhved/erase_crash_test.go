package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/console"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// eraseWorld is a gateway in a process of its own, on a database and a vault that the
// test can reach, with exchanges whose content is to be erased.
type eraseWorld struct {
	t        *testing.T
	dir      string
	address  string
	database string
	vault    string
	gateway  *running
	play     *play
	book     *postgres.Journal
}

func openEraseWorld(t *testing.T) *eraseWorld {
	w := &eraseWorld{t: t, dir: t.TempDir(), address: freeAddress(t), database: embedded.Test(t, postgres.Migrate)}
	_, err := prepareDemo(w.dir, w.address)
	w.must(err)
	replaceIn(t, w.config(), "  private: postgres\n", "  url: "+w.database+"\n")
	replaceIn(t, w.config(), "console:\n", "retention: {fourEyes: true}\nconsole:\n")
	head := filepath.Join(w.dir, "keys", "head.token")
	w.must(os.WriteFile(head, []byte("operator-token-for-tests-0002\n"), 0o600))
	replaceIn(t, w.config(), "  tokens:\n", "  tokens:\n    - {name: head, role: operator, file: keys/head.token}\n")
	c, err := adapter.LoadConfig(w.config())
	w.must(err)
	w.vault = c.Journal.Vault
	w.must(os.MkdirAll(w.vault, 0o700))
	mountSmall(t, w.vault, "256k")
	w.start()
	w.play, err = newPlay(t.Context(), io.Discard, w.dir, "http://"+w.address)
	w.must(err)
	// The test's own is the second process on the folder.
	store, err := postgres.Open(t.Context(), postgres.Options{URL: w.database, Node: "test", Log: quietLog()})
	w.must(err)
	t.Cleanup(store.Close)
	keys, err := vault.Open(w.vault, time.Now)
	w.must(err)
	w.book, err = store.Journal(t.Context(), c.Journal.Origin, keys)
	w.must(err)
	return w
}

func (w *eraseWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *eraseWorld) config() string { return filepath.Join(w.dir, "mezhved.yaml") }

func (w *eraseWorld) start() {
	w.t.Helper()
	w.gateway = launch(w.t, "mezhved", "serve", "--config", w.config())
	if err := awaitReady(w.t.Context(), "http://"+w.address, patience); err != nil {
		w.t.Fatalf("%v\n%s", err, w.gateway.out)
	}
}

func (w *eraseWorld) await(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("still not true: %s\n%s", what, w.gateway.out)
		}
	}
}

// desk runs a command as one of the two operators.
func (w *eraseWorld) desk(operator string, args ...string) (code int, said string) {
	var out, errs bytes.Buffer
	code = run(append(args, "--config", w.config(), "--token-file", filepath.Join(w.dir, "keys", operator+".token")), strings.NewReader(""), &out, &errs)
	return code, out.String() + errs.String()
}

// exchanged plays an exchange and gives its request, when nothing of it waits.
func (w *eraseWorld) exchanged() string {
	w.t.Helper()
	w.must(w.play.answered(w.t.Context()))
	return w.play.traced
}

// proposed is an order to erase an exchange that waits for the other operator.
func (w *eraseWorld) proposed(id string) (proposal string) {
	w.t.Helper()
	w.await("the order is proposed", func() bool { // the journal writes within a second what the order must wait for
		code, said := w.desk("operator", "journal", "erase", "--content", "--message", id, "--exchange", "--count", "2", "--ground", "order 7", "--json")
		var e console.ErasedContent
		if code == 0 {
			w.must(json.Unmarshal([]byte(said), &e))
		}
		proposal = e.Proposal
		return code == 0
	})
	return proposal
}

func (w *eraseWorld) sql() *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	w.must(err)
	w.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// locked holds a table until release.
func (w *eraseWorld) locked(table, mode string) (release func()) {
	w.t.Helper()
	conn := w.sql()
	_, err := conn.Exec(w.t.Context(), "BEGIN; LOCK TABLE "+table+" IN "+mode+" MODE")
	w.must(err)
	return func() {
		_, err := conn.Exec(w.t.Context(), "ROLLBACK")
		w.must(err)
	}
}

// waits tells whether somebody waits for a table.
func (w *eraseWorld) waits(conn *pgx.Conn, table string) (yes bool) {
	w.must(conn.QueryRow(w.t.Context(), "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relname LIKE $1)", table+"%").Scan(&yes))
	return yes
}

func (w *eraseWorld) noted() int {
	text, err := os.ReadFile(filepath.Join(w.vault, "erasures"))
	if err != nil {
		return 0
	}
	all, err := vault.ReadErasures(text)
	w.must(err)
	return slices.IndexFunc(append(all, vault.Erasure{}), func(e vault.Erasure) bool { return e.ID == "" })
}

// ended says that an exchange is erased, on what ground, and by whom, once.
func (w *eraseWorld) ended(what, id string) {
	w.t.Helper()
	if code, said := w.desk("operator", "journal", "trace", id, "--envelope"); code != exitNo || !strings.Contains(said, "was erased at") || !strings.Contains(said, "order 7") {
		w.t.Errorf("%s: the envelope: exit code %d: %s", what, code, said)
	}
	told := func() (names []string) {
		rows, err := w.book.Trace(w.t.Context(), id)
		w.must(err)
		for _, r := range rows {
			if r.Leaf.Kind != journal.KindErased || r.Leaf.MessageID != id {
				continue
			}
			open, err := w.book.Openings(w.t.Context(), r.Index)
			w.must(err)
			for _, o := range open {
				names = append(names, o.Field+" "+o.Value)
			}
		}
		slices.Sort(names)
		return names
	}
	w.await(what+": an entry tells of it", func() bool { return len(told()) > 0 })
	if got, want := fmt.Sprint(told()), "[actor operator demo-operator confirmed-by operator head]"; got != want {
		w.t.Errorf("%s: the entries name %s, want %s", what, got, want)
	}
}

// Killed in the middle of an erasure, wherever that is, a gateway that is started again
// ends it by itself: nothing can be read, one entry tells of it, in the names of those
// who ordered and confirmed it; what was not to be erased is there. A disk that is full
// is told of, and costs no key.
func TestAnErasureIsEndedWhereverTheGatewayIsKilled(t *testing.T) {
	t.Parallel()
	w := openEraseWorld(t)
	conn := w.sql()
	kept := w.exchanged()
	confirm := func(proposal string) <-chan string {
		done := make(chan string, 1)
		go func() {
			code, said := w.desk("head", "journal", "erase", "--confirm", proposal)
			done <- fmt.Sprintf("%d %s", code, said)
		}()
		return done
	}
	for _, at := range []struct {
		what string
		stop func() (reached func() bool, release func())
	}{
		{"noted, and no key taken", func() (func() bool, func()) {
			// In place of the trees stand pipes that nobody writes into.
			trees, err := filepath.Glob(filepath.Join(w.vault, "egrn-extract.*.tree"))
			w.must(err)
			for _, tree := range trees {
				w.must(os.Rename(tree, tree+"-aside"))
				w.must(syscall.Mkfifo(tree, 0o600))
			}
			before := w.noted()
			return func() bool { return w.noted() > before }, func() {
				for _, tree := range trees {
					w.must(os.Rename(tree+"-aside", tree))
				}
			}
		}},
		{"keys taken, and the database not told", func() (func() bool, func()) {
			release := w.locked("content_erasure", "EXCLUSIVE")
			return func() bool { return w.waits(conn, "content_erasure") }, release
		}},
		{"in the middle of the bytes", func() (func() bool, func()) {
			release := w.locked("receipt", "SHARE")
			return func() bool { return w.waits(conn, "receipt") }, release
		}},
	} {
		id := w.exchanged()
		proposal := w.proposed(id)
		reached, release := at.stop()
		answer := confirm(proposal)
		w.await(at.what, reached)
		w.gateway.kill()
		if said := <-answer; strings.HasPrefix(said, "0 ") {
			t.Errorf("%s: said to be done: %s", at.what, said)
		}
		release()
		w.start()
		w.await(at.what+": it is ended", func() bool {
			code, said := w.desk("operator", "journal", "trace", id, "--envelope")
			return code == exitNo && strings.Contains(said, "order 7")
		})
		w.ended(at.what, id)
		// The order itself is still there, and confirming it again does nothing more.
		if code, said := w.desk("head", "journal", "erase", "--confirm", proposal); code != 0 || !strings.Contains(said, "0 erased") {
			t.Errorf("%s: confirmed again: exit code %d: %s", at.what, code, said)
		}
		w.ended(at.what+", and confirmed again", id)
	}

	// Answered, and the journal not told yet.
	id := w.exchanged()
	proposal := w.proposed(id)
	release := w.locked("journal_tile", "EXCLUSIVE")
	if said := <-confirm(proposal); !strings.HasPrefix(said, "0 ") {
		t.Fatal(said)
	}
	w.gateway.kill()
	release()
	w.start()
	w.ended("answered, and the journal not told", id)

	if mounted(w.vault) {
		id, proposal := w.exchanged(), ""
		proposal = w.proposed(id)
		free, err := fillDisk(w.vault)
		w.must(err)
		code, said := w.desk("head", "journal", "erase", "--confirm", proposal)
		if code == 0 || !strings.Contains(said, "noted") && !strings.Contains(said, "could not be given now") {
			t.Errorf("with a full disk: exit code %d: %s", code, said)
		}
		free()
		if code, said := w.desk("head", "journal", "erase", "--confirm", proposal); code != 0 || !strings.Contains(said, "2 erased") {
			t.Errorf("with room again: exit code %d: %s", code, said)
		}
		w.ended("after a full disk", id)
	} else {
		t.Log("the vault has no file system of its own, which needs root: a full disk is not tried")
	}
	if code, said := w.desk("operator", "journal", "trace", kept, "--envelope"); code != 0 || !strings.Contains(said, "Envelope") {
		t.Errorf("what was not erased: exit code %d: %s", code, said)
	}
}
