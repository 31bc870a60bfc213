package xpath

import (
	"math/big"
	"regexp"
	"strings"
	"time"

	"mezhved/envelopes/xmltape"
)

// Value is what an expression gives: a string, a bool, a Number or Nodes.
type Value any

// Number is an exact decimal, or nothing that is a number.
type Number struct{ r *big.Rat }

// NaN is what a text gives that is no number.
var NaN = Number{}

// Int is a whole number.
func Int(n int64) Number { return Number{big.NewRat(n, 1)} }

// Rat is the number as the standard library has it; nil for NaN.
func (n Number) Rat() *big.Rat { return n.r }

var decimalForm = regexp.MustCompile(`^[-+]?(\d{1,60}(\.\d{0,60})?|\.\d{1,60})$`)

// ParseNumber reads a decimal; anything else is NaN.
func ParseNumber(s string) Number {
	s = strings.TrimSpace(s)
	if !decimalForm.MatchString(s) {
		return NaN
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return NaN
	}
	return Number{r}
}

// String writes the number without trailing zeros; what has no end as a decimal is
// rounded to ten digits.
func (n Number) String() string {
	if n.r == nil {
		return "NaN"
	}
	digits, exact := n.r.FloatPrec()
	if !exact {
		digits = 10
	}
	s := n.r.FloatString(digits)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// item is a node of the content: an element, or an attribute of it.
type item struct {
	n    xmltape.Node
	attr int // index in the tape's attributes, from 1; 0: the element itself
	text bool
}

func (i item) value() string {
	switch {
	case i.attr > 0:
		t := i.n.Tape()
		return string(t.AttrValue(&t.Attrs[i.attr-1], nil))
	case i.text:
		return string(i.n.Text())
	}
	return stringValue(i.n)
}

// stringValue is the text of an element and all below it.
func stringValue(n xmltape.Node) string {
	if !n.First().Valid() {
		return string(n.Text())
	}
	t := n.Tape()
	var b []byte
	for k := n.Index(); k <= int(n.Token().Match); k++ {
		switch tok := &t.Tokens[k]; tok.Kind {
		case xmltape.Text, xmltape.CData:
			b = append(b, t.CharData(tok, nil)...)
		}
	}
	return string(b)
}

func (i item) name() string {
	t := i.n.Tape()
	if i.attr > 0 {
		_, local := t.AttrName(&t.Attrs[i.attr-1])
		return string(local)
	}
	if i.text {
		return ""
	}
	return i.n.Local()
}

// Nodes are places in the content, in document order.
type Nodes struct{ items []item }

// Len is how many there are.
func (n Nodes) Len() int { return len(n.items) }

// Strings are the texts of all, without white space round them.
func (n Nodes) Strings() []string {
	out := make([]string, len(n.items))
	for i := range n.items {
		out[i] = strings.TrimSpace(n.items[i].value())
	}
	return out
}

// Element is the element at a place, or the one that an attribute stands in.
func (n Nodes) Element(i int) xmltape.Node { return n.items[i].n }

// String is a value as text. Of nodes it is the first one's, without white space round
// it, which in these documents is layout.
func String(v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	case Number:
		return v.String()
	case Nodes:
		if len(v.items) > 0 {
			return strings.TrimSpace(v.items[0].value())
		}
	}
	return ""
}

// Bool is a value as a condition: nodes are true when there are any, texts when they
// are not empty, numbers when they are neither 0 nor NaN.
func Bool(v Value) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case bool:
		return v
	case Number:
		return v.r != nil && v.r.Sign() != 0
	case Nodes:
		return len(v.items) > 0
	}
	return false
}

// AsNumber is a value as a number.
func AsNumber(v Value) Number {
	switch v := v.(type) {
	case Number:
		return v
	case bool:
		if v {
			return Int(1)
		}
		return Int(0)
	}
	return ParseNumber(String(v))
}

// Moment reads a date or a moment of XML Schema; a date is its first instant in the
// zone, Moscow's when it says none, as all times of the protocol are.
func Moment(s string) (t time.Time, dateOnly, ok bool) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.DateOnly, "2006-01-02Z07:00"} {
		if t, err := time.ParseInLocation(layout, s, Moscow); err == nil {
			return t, true, true
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.ParseInLocation(layout, s, Moscow); err == nil {
			return t, false, true
		}
	}
	return time.Time{}, false, false
}

// Moscow is the zone of times that say none.
var Moscow = time.FixedZone("+03:00", 3*60*60)
