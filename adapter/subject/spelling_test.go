package subject

import (
	"strings"
	"testing"
)

// Single spaces stand between words, whatever stood there.
func TestWhiteSpaceOfTexts(t *testing.T) {
	for _, s := range []string{"", " ", "А", "А Б", "А  Б", " А", "А ", "А\tБ", "А\u00a0Б", "А\u2003 Б", "\nА Б", "А Б В\r\n"} {
		if got, want := text(s), strings.Join(strings.Fields(s), " "); got != want {
			t.Errorf("%q is spelled %q, want %q", s, got, want)
		}
	}
}
