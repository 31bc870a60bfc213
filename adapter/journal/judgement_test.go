package journal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter/journal"
)

// A single answer is named by its own digest, several by that of their list, which
// has one spelling.
func TestJudgement(t *testing.T) {
	a, b := sha256.Sum256([]byte("answer")), sha256.Sum256([]byte("list"))
	if name, list := journal.Judgement(nil); name != "" || list != nil {
		t.Errorf("of nothing: %q, %q", name, list)
	}
	if name, list := journal.Judgement([][32]byte{a}); name != hex.EncodeToString(a[:]) || list != nil {
		t.Errorf("of one: %q, %q", name, list)
	}
	name, list := journal.Judgement([][32]byte{b, a})
	if sum := sha256.Sum256(list); name != hex.EncodeToString(sum[:]) {
		t.Errorf("named %s, want the digest of %q", name, list)
	}
	if got, err := journal.ParseJudgement(list); err != nil || !slices.Equal(got, [][32]byte{b, a}) {
		t.Errorf("read back %x, %v", got, err)
	}
	one := hex.EncodeToString(a[:]) + "\n"
	two := string(list)
	for _, bad := range []string{"", "\n", one, one + one, strings.ToUpper(two), two[:len(two)-1], two + "\n", " " + two, two + "0", strings.ReplaceAll(two, "\n", "\r\n"), "30820122" + two,
		one + hex.EncodeToString(b[:31]) + "\n", one + hex.EncodeToString(b[:]) + "00\n", one + strings.Repeat("g", 64) + "\n"} {
		if got, err := journal.ParseJudgement([]byte(bad)); err == nil {
			t.Errorf("%q was read as %x", bad, got)
		}
	}
	if _, err := journal.ParseJudgement(bytes.Repeat([]byte(one), 1<<15)); err == nil {
		t.Error("a list without bounds was read")
	}
}
