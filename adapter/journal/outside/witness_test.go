package outside

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/remote"
)

// missing is what the reference witness needs from an unreleased version of
// merkle, for signing subtrees, which nobody asks of it here.
const missing = `package proof

import (
	"errors"

	"github.com/transparency-dev/merkle"
)

func VerifySubtreeConsistency(merkle.LogHasher, uint64, uint64, uint64, [][]byte, []byte, []byte) error {
	return errors.New("this build signs no subtrees")
}
`

// referenceWitness builds the reference witness and runs it for one log. It gives
// its address.
func referenceWitness(t *testing.T, logKey, secret string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join("refwitness", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("mod", "vendor")
	if err := os.WriteFile(filepath.Join(dir, "vendor/github.com/transparency-dev/merkle/proof/subtree.go"), []byte(missing), 0o644); err != nil {
		t.Fatal(err)
	}
	run("build", "-mod=vendor", "-o", "refwitness", ".")
	cmd := exec.Command(filepath.Join(dir, "refwitness"), logKey, secret)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func TestReferenceWitnessCosignsOurLog(t *testing.T) {
	ctx := context.Background()
	s := serve(t, 300)
	secret, public, err := journal.NewKey("reference.example.org/witness")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := journal.ParsePolicy([]byte("log " + s.Signer.Key() + "\nwitness reference " + public + " " + referenceWitness(t, s.Signer.Key(), secret) + "\nquorum reference\n"))
	if err != nil {
		t.Fatal(err)
	}
	var saved *journal.Checkpoint
	collector := &remote.Collector{Policy: policy, Log: s.book, Now: s.Clock.Now, Slog: slog.New(slog.DiscardHandler), Save: func(_ context.Context, c *journal.Checkpoint) error {
		saved = c
		return nil
	}}
	for i := range uint64(4) {
		if err := collector.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Open(saved.Note); err != nil || saved.Tree != s.Checkpoint(s.book).Tree {
			t.Errorf("round %d: %v", i, err)
		}
		if err := collector.Collect(ctx); err != nil { // the same checkpoint again
			t.Fatal(err)
		}
		if err := s.book.Add(journaltest.Events(20+i, 200)...); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(s.Sequencer(s.book)); err != nil {
			t.Fatal(err)
		}
	}
	// And it refuses another history under the same key.
	collector.Log = s.Forged(77, 2500)
	if err := collector.Collect(ctx); err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("a fork: %v, want 422", err)
	}
}
