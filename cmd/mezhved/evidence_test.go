package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/postgres"
)

// TestTheLogGoesOnUnderANewOrigin: a node whose signer has lost its memory does
// not start; after reopen, under a new origin, key and state, it exchanges again
// and what was logged before is still there.
func TestTheLogGoesOnUnderANewOrigin(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	address := l.Addr().String()
	must(l.Close())
	_, err = prepareDemo(dir, address)
	must(err)
	file := filepath.Join(dir, "mezhved.yaml")
	edit := func(pairs ...string) {
		t.Helper()
		text, err := os.ReadFile(file)
		must(err)
		must(os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o644))
	}
	database := embedded.Test(t, postgres.Migrate)
	edit("  private: postgres\n", "  url: "+database+"\n")

	// exchange starts a node, plays one exchange and gives the size of the log.
	exchange := func() (size int64) {
		t.Helper()
		config, err := adapter.LoadConfig(file)
		must(err)
		n, err := openNode(ctx, config, slog.New(slog.DiscardHandler))
		must(err)
		l, err := n.gateway.Listen()
		must(err)
		serving, stop := context.WithCancel(ctx)
		served := make(chan error, 1)
		go func() { served <- n.serve(serving, l) }()
		must(awaitReady(ctx, "http://"+address, 30*time.Second))
		p, err := newPlay(ctx, io.Discard, dir, "http://"+address)
		must(err)
		must(p.answered(ctx))
		stop()
		must(<-served)
		head, err := n.book.Head(ctx)
		must(err)
		must(n.close())
		return head.Tree.N
	}
	before := exchange()

	must(os.Rename(filepath.Join(dir, "keys", "journal.state"), filepath.Join(dir, "keys", "lost.state")))
	// lacks says what a node and the doctor must say before it may sign.
	lacks := func(what string, sentences ...string) {
		t.Helper()
		config, err := adapter.LoadConfig(file)
		must(err)
		n, err := openNode(ctx, config, slog.New(slog.DiscardHandler))
		if err == nil {
			n.close()
			t.Fatalf("%s: it opened", what)
		}
		var out, errOut bytes.Buffer
		if code := run([]string{"doctor", "--config", file}, strings.NewReader(""), &out, &errOut); code != 1 {
			t.Errorf("%s: the doctor's exit code is %d", what, code)
		}
		for _, s := range append(sentences, "mezhved journal reopen") {
			if !strings.Contains(err.Error(), s) || !strings.Contains(out.String(), s) {
				t.Errorf("%s: neither node nor doctor may leave out %q:\n%v\n%s", what, s, err, out.String())
			}
		}
	}
	lacks("a signer without its memory", "is not on this node", "copy from the node that signs: its journal.key to", "its journal.state to", "be the same folder as there")

	// The signer's memory beside another database, or one that has gone back: nothing
	// could be signed, and the log there would be stopped for good.
	must(os.Rename(filepath.Join(dir, "keys", "lost.state"), filepath.Join(dir, "keys", "journal.state")))
	other := embedded.Test(t, postgres.Migrate)
	edit(database, other)
	lacks("a signer with another database", fmt.Sprintf("says that %d were signed", before), "Name the database and the state that belong together")
	edit(other, database)
	must(os.Rename(filepath.Join(dir, "keys", "journal.state"), filepath.Join(dir, "keys", "lost.state")))

	command := func(args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(args, strings.NewReader(""), &out, &errOut); code != 0 {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out.String(), errOut.String())
		}
		return out.String()
	}
	// A key that is not the log's is refused by name: of another origin, and of the
	// same with a signer's memory of its own.
	refused := func(wants ...string) {
		t.Helper()
		config, err := adapter.LoadConfig(file)
		must(err)
		n, err := openNode(ctx, config, slog.New(slog.DiscardHandler))
		if err == nil {
			n.close()
			t.Fatal("a node with a key that is not the log's opened")
		}
		var e *exitError
		if !errors.As(err, &e) || e.code != exitUsage {
			t.Errorf("exit code of %v", err)
		}
		for _, want := range append(wants, "mezhved journal reopen", fmt.Sprintf("mezhved.demo/journal, with %d entries", before)) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
	}
	for name, origin := range map[string]string{"foreign": "other.example/log", "twin": "mezhved.demo/journal"} {
		key := filepath.Join(dir, "keys", name+".key")
		public := command("keys", "journal", "--origin", origin, "--out", key)
		secret, err := os.ReadFile(key)
		must(err)
		must(clerk.CreateSignerState(filepath.Join(dir, "keys", name+".state"), strings.TrimSpace(string(secret))))
		edit("keys/journal.key", "keys/"+name+".key", "keys/journal.state", "keys/"+name+".state")
		refused(strings.TrimSpace(public), key)
		edit("keys/"+name+".key", "keys/journal.key", "keys/"+name+".state", "keys/journal.state")
	}

	// Under the old name it is not reopened, and no memory is begun in place of the lost one.
	var still bytes.Buffer
	code := run([]string{"journal", "reopen", "--config", file}, strings.NewReader(""), io.Discard, &still)
	if _, err := os.Stat(filepath.Join(dir, "keys", "journal.state")); code != exitUsage || !strings.Contains(still.String(), "still the key of mezhved.demo/journal,") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reopen under the old name: exit code %d, %q, and the signer's memory: %v", code, still.String(), err)
	}

	command("keys", "journal", "--origin", "mezhved.demo/journal/2", "--out", filepath.Join(dir, "keys", "journal2.key"))
	edit("origin: mezhved.demo/journal\n", "origin: mezhved.demo/journal/2\n", "keys/journal.key", "keys/journal2.key", "keys/journal.state", "keys/journal2.state")
	lacks("a node with a key of its own", "the log in the database is mezhved.demo/journal, with ", "is the key of mezhved.demo/journal/2", "To join it, copy from the node that signs")
	if said := command("journal", "reopen", "--config", file); !strings.Contains(said, "mezhved.demo/journal/2") {
		t.Errorf("reopen says %q", said)
	}
	if after := exchange(); after <= before {
		t.Errorf("%d entries after, %d before", after, before)
	}
}

// TestALogIsBegunUnderTheNameOfItsKey: an origin that nobody has chosen is the key's,
// also when a node without the key was first; one that was chosen and is another's is
// refused with both names, and mended in the configuration.
func TestALogIsBegunUnderTheNameOfItsKey(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := prepareDemo(dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	config, err := adapter.LoadConfig(filepath.Join(dir, "mezhved.yaml"))
	must(err)
	config.Database = adapter.DatabaseConfig{URL: embedded.Test(t, postgres.Migrate)}
	open := func(c adapter.Config) error {
		n, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		head, err := n.store.Journal(t.Context(), "unused", nil)
		must(err)
		h, err := head.Head(t.Context())
		must(err)
		if n.book != nil && h.Origin != "mezhved.demo/journal" {
			t.Errorf("the log is %s", h.Origin)
		}
		return n.close()
	}
	watcher := config
	watcher.Node, watcher.Journal = "watcher", adapter.JournalConfig{}
	must(open(watcher.WithDefaults()))
	wrong := config
	wrong.Journal.Origin = "chosen.example/log"
	for range 2 {
		if err := open(wrong); err == nil || !strings.Contains(err.Error(), "journal.origin is chosen.example/log") || !strings.Contains(err.Error(), "set journal.origin to mezhved.demo/journal") {
			t.Errorf("got %v", err)
		}
	}
	config.Journal.Origin = config.DefaultOrigin()
	must(open(config))
	must(open(config))
}
