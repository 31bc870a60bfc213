package signing

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"mezhved/envelopes/xmltape"
)

// repoRoot is the directory of go.mod.
func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("go.mod not found above the package")
		}
		dir = up
	}
}

// sharedFile gives a path in the folder of reference vectors beside the
// repository; the test is skipped where there is none.
func sharedFile(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{repoRoot(t), "..", "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference vectors are not beside the repository: %v", err)
	}
	return path
}

func parse(t testing.TB, doc string) *xmltape.Tape {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatalf("parsing %.200q: %v", doc, err)
	}
	return tape
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// rounds is how often a test repeats; a twentieth with -short.
func rounds(n int) int {
	if testing.Short() {
		return n/20 + 1
	}
	return n
}
