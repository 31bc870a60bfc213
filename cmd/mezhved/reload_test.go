package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter"
)

// The socket is the node's own: one that was left is replaced, one on which somebody
// answers is not, and no file of another kind is.
func TestControlSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "control")
	first, err := listenControl(name)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if _, err := listenControl(name); err == nil || !strings.Contains(err.Error(), "another running gateway") {
		t.Errorf("a socket on which somebody answers: %v", err)
	}
	first.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false) // as after kill -9
	first.Close()
	again, err := listenControl(name)
	if err != nil {
		t.Fatalf("a socket that was left: %v", err)
	}
	again.Close()
	if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenControl(name); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
}

// A loop that ends what has been kept long enough goes on under the newest
// configuration, also from nothing to do, and ends with its context.
func TestKeptFollowsTheConfiguration(t *testing.T) {
	k, at := newKept(), make(chan string)
	run := func(ctx context.Context, c adapter.Config) error {
		at <- c.Keep.Ground
		if c.Keep.Ground == "" { // nothing is to end
			return nil
		}
		<-ctx.Done()
		return nil
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.loop(adapter.Config{}, run)(ctx) }()
	if got := <-at; got != "" {
		t.Errorf("it begins with %q", got)
	}
	for _, ground := range []string{"order 1", "order 2", ""} {
		k.set(adapter.Config{Keep: adapter.KeepConfig{Ground: "an older one"}})
		k.set(adapter.Config{Keep: adapter.KeepConfig{Ground: ground}})
		got := <-at
		if got == "an older one" { // taken before the newer one came
			got = <-at
		}
		if got != ground {
			t.Errorf("it goes on with %q, want %q", got, ground)
		}
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
