package vault_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/vault"
)

// leftBy is what a process of TestSeveralProcessesUseOneFolder has sealed and erased.
type leftBy struct {
	Items  []vault.Item
	Boxes  [][]byte
	Erased []bool
	Values []journal.Sealed
}

// TestMain does the work of one of several processes when it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MEZHVED_TEST_VAULT"); dir != "" {
		if err := useFolder(dir, os.Getenv("MEZHVED_TEST_OUT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func useFolder(dir, out string) error {
	v, err := vault.Open(dir, time.Now)
	if err != nil {
		return err
	}
	var left leftBy
	for i := range 30 {
		it := item("s.request")
		box, err := v.SealContent(it, "body", []byte("content"))
		if err != nil {
			return err
		}
		value, err := v.Seal(int64(i), journal.Opening{Field: "snils", Class: "personal", Value: "value"})
		if err != nil {
			return err
		}
		if i%5 == 4 {
			if err := v.Erase(vault.Erasure{ID: uuid.NewString(), Ground: "g", Items: []vault.Item{it}}); err != nil {
				return err
			}
		}
		left.Items, left.Boxes, left.Values, left.Erased = append(left.Items, it), append(left.Boxes, box), append(left.Values, value), append(left.Erased, i%5 == 4)
	}
	b, err := json.Marshal(left)
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o600)
}

// Several processes that begin a folder at once, seal and erase in it, end with the same
// keys: everything of everybody opens, but for what was erased, and the register has all
// of that.
func TestSeveralProcessesUseOneFolder(t *testing.T) {
	dir, results := t.TempDir(), t.TempDir()
	const processes = 4
	var all [processes]*exec.Cmd
	for i := range all {
		all[i] = exec.Command(os.Args[0])
		all[i].Env = append(os.Environ(), "MEZHVED_TEST_VAULT="+dir, "MEZHVED_TEST_OUT="+filepath.Join(results, fmt.Sprint(i)))
		all[i].Stderr = t.Output()
		if err := all[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		if err := all[i].Wait(); err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
	}
	v, erased := open(t, dir), 0
	for i := range all {
		b, err := os.ReadFile(filepath.Join(results, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		var left leftBy
		if err := json.Unmarshal(b, &left); err != nil {
			t.Fatal(err)
		}
		for j, it := range left.Items {
			if left.Erased[j] {
				erased++
			}
			if opens(t, v, it, left.Boxes[j]) == left.Erased[j] {
				t.Errorf("item %d of process %d: erased %t", j, i, left.Erased[j])
			}
			if o, err := v.Unseal(left.Values[j]); err != nil || o.Value != "value" {
				t.Errorf("value %d of process %d: %q, %v", j, i, o.Value, err)
			}
		}
	}
	if list, err := v.Erasures(); err != nil || len(list) != erased {
		t.Errorf("the register has %d lines, want %d: %v", len(list), erased, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*new*")); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}
