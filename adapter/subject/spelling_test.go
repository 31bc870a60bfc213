package subject

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Single spaces stand between words, whatever stood there.
func TestWhiteSpaceOfTexts(t *testing.T) {
	for _, s := range []string{"", " ", "А", "А Б", "А  Б", " А", "А ", "А\tБ", "А\u00a0Б", "А\u2003 Б", "\nА Б", "А Б В\r\n"} {
		if got, want := Text.Spell(s), strings.Join(strings.Fields(s), " "); got != want {
			t.Errorf("%q is spelled %q, want %q", s, got, want)
		}
	}
}

// What is spelled byte by byte is what the library's tables make of it.
func FuzzSpell(f *testing.F) {
	for _, s := range []string{
		"Ёлкина  Софья Андреевна, 1984-02-29", "съешь же ещё этих мягких французских булок, да выпей чаю", "АЗБУКАЁЯ", " №7 «Ромашка»; 02.03.1980\t", "Фе\u0308дорова и\u0306",
		"№\u0308", "«\u0301а", "straße İı ﬁ", "1980-13-02", "2000-02-30 2100-02-29 0000-02-29 1999-11-31", "1980-03-02T00:00:00 1980-03-02+03:00", "А\u00a0Б\u2003\u0085", "\xd0", "\xe2\x84", "Ѐѓє ѣ",
	} {
		f.Add(s)
	}
	upper := func(s string) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(strings.ToUpper(norm.NFC.String(s)), "Ё", "Е")), " ")
	}
	day := func(s string) string {
		if len(s) < 8 || s[0] < '0' || s[0] > '9' {
			return ""
		}
		for _, layout := range []string{time.DateOnly, "2006-01-02Z07:00", time.RFC3339, "2006-01-02T15:04:05", "2.1.2006"} {
			if t, err := time.Parse(layout, s); err == nil && len(s) <= 35 {
				return t.Format(time.DateOnly)
			}
		}
		return ""
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxValue/4 { // what is cut off has a test of its own
			return
		}
		if got, want := Text.Spell(s), upper(s); got != want {
			t.Errorf("text of %q: %q, want %q", s, got, want)
		}
		if got, want := Date.Spell(s), day(strings.TrimSpace(s)); got != want {
			t.Errorf("date of %q: %q, want %q", s, got, want)
		}
		var words []string
		for _, w := range strings.FieldsFunc(s, func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == ';' }) {
			if d := day(w); d != "" {
				w = d
			} else {
				w = upper(w)
			}
			words = append(words, w)
		}
		want := ""
		if len(words) > 0 {
			sum := sha256.Sum256([]byte(strings.Join(words, " ")))
			want = hex.EncodeToString(sum[:])
		}
		if got := Hash.Spell(s); got != want {
			t.Errorf("hash of %q: %q, want %q", s, got, want)
		}
	})
}
