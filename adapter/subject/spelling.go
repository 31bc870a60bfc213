package subject

import (
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
func (f Form) Spell(value string) string {
	switch f {
	case Digits:
		return clip(strings.Map(func(c rune) rune {
			if c < '0' || c > '9' {
				return -1
			}
			return c
		}, value))
	case Date:
		return date(strings.TrimSpace(value))
	case Exact:
		return clip(strings.TrimSpace(value))
	case Hash:
		words := strings.FieldsFunc(value, func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == ';' })
		for i, w := range words {
			if words[i] = date(w); words[i] == "" {
				words[i] = text(w)
			}
		}
		if len(words) == 0 {
			return ""
		}
		sum := sha256.Sum256([]byte(strings.Join(words, " ")))
		return hex.EncodeToString(sum[:])
	}
	return clip(text(value))
}

func text(s string) string {
	s = strings.ReplaceAll(strings.ToUpper(norm.NFC.String(s)), "Ё", "Е")
	if plainlySpaced(s) {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// plainlySpaced says that a text, as nearly all are, has single spaces between words and no
// other white space.
func plainlySpaced(s string) bool {
	space := true
	for _, c := range s {
		if unicode.IsSpace(c) && (c != ' ' || space) {
			return false
		}
		space = c == ' '
	}
	return !space || s == ""
}

// date reads a day as schemas (xs:date, with or without a zone, xs:dateTime) and
// people write it.
func date(s string) string {
	if len(s) < len("2.1.2006") || len(s) > len("2006-01-02T15:04:05.000000000+03:00") {
		return ""
	}
	if c := s[0]; c < '0' || c > '9' {
		return ""
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02Z07:00", time.RFC3339, "2006-01-02T15:04:05", "2.1.2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Format(time.DateOnly) // the day as it is written: a zone does not move somebody's birth
		}
	}
	return ""
}

func clip(s string) string {
	if len(s) <= maxValue {
		return s
	}
	end := maxValue
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
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
