package xsd

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuoted is how many characters of a document's value a message repeats.
const maxQuoted = 60

// quoteString repeats a value of a document in a message: at most maxQuoted
// characters, everything that could disturb a log, a terminal or the direction
// of the line escaped. Backslashes stand as they are, because patterns are full
// of them and have to be readable.
func quoteString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	n := 0
	for i, r := range s {
		if n == maxQuoted {
			b.WriteString("...")
			break
		}
		n++
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			b.WriteString(`\x`)
			b.WriteByte(hexDigits[s[i]>>4])
			b.WriteByte(hexDigits[s[i]&15])
		case r == '"':
			b.WriteString(`\"`)
		case harmless(r):
			b.WriteRune(r)
		default:
			b.WriteString(`\u{`)
			hex := false
			for shift := 20; shift >= 0; shift -= 4 {
				d := byte(r>>shift) & 15
				if hex = hex || d != 0 || shift == 0; hex {
					b.WriteByte(hexDigits[d])
				}
			}
			b.WriteByte('}')
		}
	}
	b.WriteByte('"')
	return b.String()
}

const hexDigits = "0123456789abcdef"

// quoteName is quoteString without quotes where the name is harmless.
func quoteName(s string) string {
	q := quoteString(s)
	if len(q) == len(s)+2 && s != "" {
		return s
	}
	return q
}

// harmless: graphic characters that neither change the direction of text nor
// hide. Format characters (Cf) hold both kinds.
func harmless(r rune) bool {
	return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Variation_Selector, r)
}
