package xmltape

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// FuzzValidUTF8: validUTF8 says what utf8.Valid says, and finds 0xEF.
func FuzzValidUTF8(f *testing.F) {
	for _, s := range []string{"", "abcdefgh", "Привет, мир", "ЁлкаЁлка", "12345678Ж", "\xd0\xd0\xd0\xd0\xd0\xd0\xd0\xd0", "abc\xd0", "\xc0\x80aaaaaaaa",
		"\xed\xa0\x80aaaaaaaa", "\xf4\x90\x80\x80aaaaaaaa", "😀😀😀😀", "Ж\x80ЖЖЖЖЖЖ", "\xd1\xbf\xd0\x80\xd1\x80\xd1\x3f", "€€€€€€a",
		"0123456789abcdef0123456789abcdeЖ0123456789abcdef0123456789abcdef", "ЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖ№ЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖЖ", "abcdefgh\uFEFFabcdefghabcdefghabcdefgh",
		"0123456789abcdef0123456789abcde\xd0", "0123456789abcdef0123456789abcdef\x80", "0123456789abcdef0123456789abcd\uFFFD"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ef := validUTF8(b)
		if want := utf8.Valid(b); got != want {
			t.Errorf("validUTF8(%q) = %v, want %v", b, got, want)
		}
		if want := bytes.IndexByte(b, 0xef) >= 0; got && ef != want {
			t.Errorf("validUTF8(%q) sees 0xEF: %v, want %v", b, ef, want)
		}
	})
}

// TestStops: a word stops where its bytes, looked up one by one, would; but for
// 0xEF, and for the white space that the tables let pass.
func TestStops(t *testing.T) {
	quotes := uint64('"') * ones
	for c := range 256 {
		for _, around := range []byte{'a', 0xbf, '<', '=', '&', 0x7f, 0xff, 0, ' ', '"'} {
			for at := range 8 {
				w := bytes.Repeat([]byte{around}, 8)
				w[at] = byte(c)
				v := word(w, 0)
				control := c < ' '
				if got, want := textStops(v)>>(8*at+7)&1 != 0, control || textTable[c] != 0 && c != 0xef; got != want {
					t.Errorf("text stops at %#x among %#x: %v, want %v", c, around, got, want)
				}
				if got, want := valueStops(v, quotes)>>(8*at+7)&1 != 0, control || c == '"' || c == '<' || c == '&'; got != want {
					t.Errorf("a value stops at %#x among %#x: %v, want %v", c, around, got, want)
				}
			}
		}
	}
}
