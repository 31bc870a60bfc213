package audit_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// testdata/journal/v1 is a log and a bundle that the release before version 2 of
// the format made: they verify, the mirror's memory is taken on, and every leaf is
// the one spelling still of what it says.
func TestLogsOfVersion1(t *testing.T) {
	dir := filepath.FromSlash("../../../testdata/journal/v1")
	text, err := os.ReadFile(filepath.Join(dir, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := journal.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	signed, err := os.ReadFile(filepath.Join(log, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := audit.Remember(log, policy)
	if err != nil || len(memory.Damaged) > 0 || memory.Last() == nil {
		t.Fatalf("the mirror remembers %+v, %v", memory, err)
	}
	source := audit.DirSource{FS: os.DirFS(log)}
	report, err := audit.VerifyLog(context.Background(), source, policy, signed, memory.Known)
	if err != nil || len(report.Recount.Findings) > 0 || report.Recount.Size != 66 {
		t.Fatalf("%+v, %v", report, err)
	}
	tile, err := source.Tile(context.Background(), journal.EntriesLevel, 0, 66)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := journal.Entries(tile)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range leaves {
		l, err := journal.ParseLeaf(b)
		if err != nil || !bytes.Equal(l.Append(nil), b) || !bytes.Contains(b, []byte(`,"v":1`)) {
			t.Errorf("entry %d: %v\n%s\n%s", i, err, b, l.Append(nil))
		}
	}
	zip, err := os.ReadFile(filepath.Join(dir, "bundle.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.VerifyBundle(bytes.NewReader(zip), int64(len(zip)), policy); err != nil {
		t.Errorf("the bundle: %v", err)
	}
}
