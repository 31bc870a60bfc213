package subject

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Form is how the values of a field are spelled before they are committed to: two
// spellings of one thing become one value.
type Form string

// The forms.
const (
	Digits Form = "digits" // digits alone: snils, inn, passport
	Text   Form = "text"   // capital letters, Е for Ё, one space between words, letters composed (NFC)
	Date   Form = "date"   // 1980-03-02
	Exact  Form = "exact"  // as it stands, without white space round it
	Hash   Form = "hash"   // hex SHA-256 of all parts: each as Date if it is one, else as Text, one space between them
)

// Forms are all of them.
var Forms = []Form{Digits, Text, Date, Exact, Hash}

// usual are the forms of fields whose description names none.
var usual = map[string]Form{
	"snils": Digits, "inn": Digits, "ogrn": Digits, "ogrnip": Digits, "passport": Digits, "phone": Digits, "birth-date": Date, "name-birth": Hash,
}

// FormOf is the form of a field whose description names none.
func FormOf(field string) Form {
	if f, ok := usual[field]; ok {
		return f
	}
	return Text
}

// Impossible gives an example of what a field's values are like when value cannot be one:
// it has fewer digits than every SNILS has, or is no day. Empty where it may be one: of
// most fields nobody knows more than their services.
func Impossible(field, value string) (example string) {
	of, ok := examples[field]
	spelled := FormOf(field).Spell(value)
	switch {
	case !ok, FormOf(field) == Date && spelled != "":
		return ""
	case FormOf(field) == Digits && slices.Contains(of.digits, len(spelled)):
		return ""
	}
	return of.example
}

var examples = map[string]struct {
	digits  []int // that a value has
	example string
}{
	"snils": {[]int{11}, "112-233-445 95"}, "inn": {[]int{10, 12}, "7707083893"}, "ogrn": {[]int{13}, "1027700132195"}, "ogrnip": {[]int{15}, "304500116000157"},
	"birth-date": {nil, "1984-02-29"},
}

// maxValue is how much of a value is kept, in bytes.
const maxValue = 1024

// Spell gives the value in the form; "" when nothing of it is left, or when it is
// no date.
func (f Form) Spell(value string) string { return string(f.appendSpelled(nil, []byte(value))) }

// appendSpelled is Spell behind out.
func (f Form) appendSpelled(out, value []byte) []byte {
	from := len(out)
	switch f {
	case Digits:
		for _, c := range value {
			if c >= '0' && c <= '9' {
				out = append(out, c)
			}
		}
	case Date:
		return appendDate(out, bytes.TrimSpace(value))
	case Exact:
		out = append(out, bytes.TrimSpace(value)...)
	case Hash:
		return appendHash(out, value)
	default:
		out = appendText(out, value)
	}
	return out[:from+clip(out[from:])]
}

// appendHash appends the hash of the value's words. What ends a word is no part of any.
func appendHash(out, value []byte) []byte {
	from := len(out)
	for len(value) > 0 {
		end, size := 0, 0
		for end < len(value) {
			c := rune(value[end])
			if size = 1; c >= utf8.RuneSelf {
				c, size = utf8.DecodeRune(value[end:])
			}
			if unicode.IsSpace(c) || c == ',' || c == ';' {
				break
			}
			end += size
		}
		if word := value[:end]; end > 0 {
			if len(out) > from {
				out = append(out, ' ')
			}
			before := len(out)
			if out = appendDate(out, word); len(out) == before {
				out = appendText(out, word)
			}
		}
		value = value[min(end+size, len(value)):]
	}
	if len(out) == from {
		return out
	}
	sum := sha256.Sum256(out[from:])
	return hex.AppendEncode(out[:from], sum[:])
}

// appendText appends a text in the form Text. Those of Cyrillic and ASCII letters and of the
// signs that stand between them, as nearly all are, are spelled byte by byte.
func appendText(out, s []byte) []byte {
	from := len(out)
	space := true // nothing has been written, or a space last
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ' ', c >= '\t' && c <= '\r':
			if !space {
				out = append(out, ' ')
			}
			space = true
			continue
		case c < utf8.RuneSelf:
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			out = append(out, c)
		default:
			plain := plainUpper(s[i:])
			if plain == "" {
				return append(out[:from], text(string(s))...)
			}
			out = append(out, plain...)
			i += len(plain) - 1
		}
		space = false
	}
	if space && len(out) > from {
		out = out[:len(out)-1]
	}
	return out
}

// plainUpper is how the character at the beginning of s is spelled, which is as long, when
// it is a letter of the Russian alphabet or a sign that has no capital, composes with nothing
// that plainUpper knows, and is no space; "" otherwise.
func plainUpper(s []byte) string {
	if len(s) < 2 {
		return ""
	}
	const upper = "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
	switch r := int(s[0])<<8 | int(s[1]); {
	case r >= 0xd090 && r <= 0xd0af: // А to Я
		return upper[2*(r-0xd090):][:2]
	case r >= 0xd0b0 && r <= 0xd0bf: // а to п
		return upper[2*(r-0xd0b0):][:2]
	case r >= 0xd180 && r <= 0xd18f: // р to я
		return upper[2*(r-0xd180+16):][:2]
	case r == 0xd081, r == 0xd191: // Ё, ё
		return "Е"
	case r == 0xc2ab:
		return "«"
	case r == 0xc2bb:
		return "»"
	case r == 0xe284 && len(s) > 2 && s[2] == 0x96:
		return "№"
	}
	return ""
}

// text spells any text in the form Text.
func text(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(strings.ToUpper(norm.NFC.String(s)), "Ё", "Е")), " ")
}

// appendDate appends the day that schemas (xs:date, with or without a zone, xs:dateTime) and
// people write so, and nothing for what is none.
func appendDate(out, s []byte) []byte {
	if len(s) < len("2.1.2006") || len(s) > len("2006-01-02T15:04:05.000000000+03:00") {
		return out
	}
	if c := s[0]; c < '0' || c > '9' {
		return out
	}
	if len(s) == len(time.DateOnly) && s[4] == '-' && s[7] == '-' {
		if isDay(s) {
			out = append(out, s...)
		}
		return out
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02Z07:00", time.RFC3339, "2006-01-02T15:04:05", "2.1.2006"} {
		if t, err := time.Parse(layout, string(s)); err == nil {
			return t.AppendFormat(out, time.DateOnly) // the day as it is written: a zone does not move somebody's birth
		}
	}
	return out
}

// isDay says of 2006-01-02, in which only the hyphens have been looked at, that there is
// such a day.
func isDay(s []byte) bool {
	number := func(from, to int) (n int) {
		for _, c := range s[from:to] {
			if c < '0' || c > '9' {
				return -1 << 20
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	y, m, d := number(0, 4), number(5, 7), number(8, 10)
	if y < 0 || m < 1 || m > 12 || d < 1 {
		return false
	}
	days := 31
	switch {
	case m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
		days = 29
	case m == 2:
		days = 28
	case m == 4, m == 6, m == 9, m == 11:
		days = 30
	}
	return d <= days
}

// clip is how much of a value is kept: whole characters.
func clip(s []byte) int {
	if len(s) <= maxValue {
		return len(s)
	}
	end := maxValue
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return end
}

// Spellings are the values that somebody may mean who looks for value: what it is
// in each form, and itself: fields of services that are gone are looked for, too,
// and those of the journal's own.
func Spellings(value string) []string {
	out := []string{value}
	for _, f := range Forms {
		if s := f.Spell(value); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
