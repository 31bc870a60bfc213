package envelopes

import (
	"strings"
	"time"
	"unicode/utf8"
)

// looksLikeUUID reports whether s has the form of a UUID, in either case.
func looksLikeUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// isNCName reports whether s is an XML name without a colon.
func isNCName(s string) bool {
	if s == "" {
		return false
	}
	for i, c := range s {
		if c == utf8.RuneError {
			return false
		}
		if !nameStart(c) && (i == 0 || !nameRest(c)) {
			return false
		}
	}
	return true
}

// nameStart and nameRest are NameStartChar and NameChar of XML 1.0 (Fifth
// Edition) without the colon.
func nameStart(c rune) bool {
	switch {
	case c < 0x80:
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
	case c < 0x300:
		return c >= 0xC0 && c != 0xD7 && c != 0xF7
	}
	return c >= 0x370 && c != 0x37E && c <= 0x1FFF || c == 0x200C || c == 0x200D ||
		c >= 0x2070 && c <= 0x218F || c >= 0x2C00 && c <= 0x2FEF || c >= 0x3001 && c <= 0xD7FF ||
		c >= 0xF900 && c <= 0xFDCF || c >= 0xFDF0 && c <= 0xFFFD || c >= 0x10000 && c <= 0xEFFFF
}

func nameRest(c rune) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '.' || c == 0xB7 || c >= 0x300 && c <= 0x36F || c == 0x203F || c == 0x2040
}

// isMimeType holds a value against the pattern of b:MimeType.
func isMimeType(s string) bool {
	kind, rest, ok := strings.Cut(s, "/")
	if !ok {
		return false
	}
	switch kind {
	case "text", "image", "audio", "video", "application":
	default:
		return false
	}
	for i := range len(rest) {
		c := rest[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.' {
			continue
		}
		return false
	}
	return true
}

// parseDateTime reads the lexical form of xs:dateTime with years 0001 to 9999.
// Without a zone the time is taken as Moscow time.
func parseDateTime(s string) (t time.Time, zoned, ok bool) {
	const bare = "2006-01-02T15:04:05"
	if len(s) < len(bare) || s[:4] == "0000" || s[13] != ':' {
		return t, false, false
	}
	clock, rest := s[:len(bare)], s[len(bare):]
	frac := time.Duration(0)
	if rest != "" && rest[0] == '.' {
		n := 1
		for unit := time.Second / 10; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
			frac += time.Duration(rest[n]-'0') * unit
			unit /= 10
		}
		if n == 1 {
			return t, false, false
		}
		rest = rest[n:]
	}
	zone := moscow
	switch {
	case rest == "":
	case rest == "Z":
		zone, zoned = time.UTC, true
	default:
		minutes, good := offset(rest)
		if !good {
			return t, false, false
		}
		zone, zoned = time.FixedZone("", minutes*60), true
	}
	nextDay := false
	if clock[11:] == "24:00:00" && frac == 0 {
		clock, nextDay = clock[:11]+"00:00:00", true
	}
	t, err := time.ParseInLocation(bare, clock, zone)
	if err != nil {
		return time.Time{}, false, false
	}
	if nextDay {
		t = t.AddDate(0, 0, 1)
	}
	return t.Add(frac), zoned, true
}

// offset reads a zone like +03:00 in minutes.
func offset(s string) (int, bool) {
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	digit := func(c byte) (int, bool) { return int(c - '0'), c >= '0' && c <= '9' }
	h1, a := digit(s[1])
	h2, b := digit(s[2])
	m1, c := digit(s[4])
	m2, d := digit(s[5])
	minutes := (h1*10+h2)*60 + m1*10 + m2
	if !a || !b || !c || !d || m1 > 5 || minutes > 14*60 {
		return 0, false
	}
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

// moscow is the zone of the timestamps on the wire.
var moscow = time.FixedZone("MSK", 3*60*60)
