package xmltape

import (
	"testing"
	"unicode/utf8"
)

// FuzzValidUTF8: validUTF8 says what utf8.Valid says.
func FuzzValidUTF8(f *testing.F) {
	for _, s := range []string{"", "abcdefgh", "Привет, мир", "ЁлкаЁлка", "12345678Ж", "\xd0\xd0\xd0\xd0\xd0\xd0\xd0\xd0", "abc\xd0", "\xc0\x80aaaaaaaa",
		"\xed\xa0\x80aaaaaaaa", "\xf4\x90\x80\x80aaaaaaaa", "😀😀😀😀", "Ж\x80ЖЖЖЖЖЖ", "\xd1\xbf\xd0\x80\xd1\x80\xd1\x3f", "€€€€€€a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validUTF8(b), utf8.Valid(b); got != want {
			t.Errorf("validUTF8(%q) = %v, want %v", b, got, want)
		}
	})
}
