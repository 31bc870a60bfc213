package console

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible shows what would not be seen as it stands: control characters, those
// that turn the direction of a line or have no width, line and paragraph
// separators, and bytes that are no UTF-8, each as its number. Escaping for HTML
// is html/template's; this is against texts that look like other texts.
func Visible(s string) string { return shown(s, false) }

// visibleLines is Visible for texts of many lines: tabs and line feeds stay.
func visibleLines(s string) string { return shown(s, true) }

func shown(s string, lines bool) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return hidden(r, lines) }) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "⟨%02X⟩", s[i])
		case hidden(r, lines):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func hidden(r rune, lines bool) bool {
	if lines && (r == '\n' || r == '\t') {
		return false
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == '\u115F' || r == '\u1160' || r == '\u3164' || r == '\uFFA0'
}

// clipped cuts a text to so many characters.
func clipped(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
