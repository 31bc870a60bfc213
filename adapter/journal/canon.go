package journal

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Canonical JSON of RFC 8785, as far as a leaf needs it: objects, arrays of
// strings, strings, and integers from 0 to 2^53-1. Keys are ASCII, so sorting
// by bytes is sorting by UTF-16 units.

const maxInteger = 1<<53 - 1

// writer appends one canonical object. Callers add members in sorted order; a
// leaf that breaks it is caught by ParseLeaf, which the tests run over all.
type writer struct {
	b    []byte
	next bool // a member has been written: the next one needs a comma
}

func (w *writer) open() {
	w.b = append(w.b, '{')
	w.next = false
}

func (w *writer) close() {
	w.b = append(w.b, '}')
	w.next = true
}

// key begins a member. Keys are ours or checked names: they need no escaping.
func (w *writer) key(k string) {
	if w.next {
		w.b = append(w.b, ',')
	}
	w.next = true
	w.b = append(w.b, '"')
	w.b = append(w.b, k...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) str(k, v string) {
	if v != "" {
		w.key(k)
		w.b = appendString(w.b, v)
	}
}

func (w *writer) num(k string, v int64) {
	if v != 0 {
		w.index(k, v)
	}
}

// index writes a number even when it is 0.
func (w *writer) index(k string, v int64) {
	w.key(k)
	w.b = strconv.AppendInt(w.b, v, 10)
}

const hexDigits = "0123456789abcdef"

// appendString writes s as RFC 8785 section 3.2.2.2 has it: short escapes where
// they exist, \u00xx in lower case for other controls, everything else as is.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// reader scans what writer writes and nothing else: one value has one spelling.
// The strings that it returns share the memory of s, so that reading a leaf costs
// one copy and not thirty.
type reader struct {
	s   string
	i   int
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: expected %s", r.i, what)
	}
}

// at says whether the next byte is c.
func (r *reader) at(c byte) bool { return r.err == nil && r.i < len(r.s) && r.s[r.i] == c }

func (r *reader) byte(c byte) {
	if !r.at(c) {
		r.fail(strconv.QuoteRune(rune(c)))
		return
	}
	r.i++
}

// object calls member for each key, with the reader standing at its value. Keys
// must ascend: a duplicate or a disordered key is an error at its place.
func (r *reader) object(member func(key string)) {
	r.byte('{')
	if r.at('}') {
		r.i++
		return
	}
	last := ""
	for r.err == nil {
		key := r.str()
		if key <= last {
			r.fail("keys in ascending order")
		}
		last = key
		r.byte(':')
		if r.err != nil {
			return
		}
		member(key)
		if r.at(',') {
			r.i++
			continue
		}
		r.byte('}')
		return
	}
}

// str reads a string that is not empty.
func (r *reader) str() string {
	r.byte('"')
	from := r.i
	high := byte(0)
	if r.err != nil {
		return ""
	}
	rest := r.s[from:]
	n := 0
	for n < len(rest) && plain[rest[n]] {
		high |= rest[n]
		n++
	}
	switch {
	case n == len(rest):
		r.fail("the end of a string")
	case rest[n] == '"':
		r.i = from + n + 1
		return r.text(rest[:n], high)
	case rest[n] == '\\':
		return r.escaped(from)
	default:
		r.fail("an escape for a control character")
	}
	return ""
}

// plain are the bytes of a string that mean themselves.
var plain = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return table
}()

// text ends a string; high has the bits of all its bytes.
func (r *reader) text(s string, high byte) string {
	if s == "" {
		r.fail("a string that is not empty")
	}
	if high >= utf8.RuneSelf && !utf8.ValidString(s) {
		r.fail("UTF-8")
	}
	return s
}

// escaped reads a string that has escapes, from its first byte.
func (r *reader) escaped(from int) string {
	var out []byte
	for r.i = from; r.err == nil && r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '"':
			r.i++
			return r.text(string(out), utf8.RuneSelf)
		case c == '\\':
			out = append(out, r.escape())
		case c < 0x20:
			r.fail("an escape for a control character")
		default:
			out = append(out, c)
		}
	}
	r.fail("the end of a string")
	return ""
}

// escape reads an escape up to its last byte. Only the spelling that writer would
// use is one.
func (r *reader) escape() byte {
	for n := 2; n <= 6 && r.i+n <= len(r.s); n += 4 {
		c, ok := unescape(r.s[r.i : r.i+n])
		if ok {
			r.i += n - 1
			return c
		}
	}
	r.fail("an escape of RFC 8785")
	return 0
}

func unescape(escape string) (byte, bool) {
	c := escape[1]
	switch c {
	case 'b':
		c = '\b'
	case 't':
		c = '\t'
	case 'n':
		c = '\n'
	case 'f':
		c = '\f'
	case 'r':
		c = '\r'
	case 'u':
		n, err := strconv.ParseUint(escape[2:], 16, 8)
		if err != nil {
			return 0, false
		}
		c = byte(n)
	}
	var written [16]byte
	return c, string(appendString(written[:0], string([]byte{c}))) == `"`+escape+`"`
}

// index reads an integer.
func (r *reader) index() int64 {
	var n int64
	from := r.i
	for r.err == nil && r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		n = n*10 + int64(r.s[r.i]-'0')
		r.i++
		if n > maxInteger {
			r.fail("an integer below 2^53")
			return 0
		}
	}
	if r.i == from || r.s[from] == '0' && r.i > from+1 {
		r.fail("an integer")
	}
	return n
}

// num reads an integer that is not 0.
func (r *reader) num() int64 {
	n := r.index()
	if n == 0 {
		r.fail("an integer that is not 0")
	}
	return n
}

// strings reads an array that is not empty, of strings that are not.
func (r *reader) strings() []string {
	r.byte('[')
	var out []string
	for r.err == nil {
		out = append(out, r.str())
		if r.at(',') {
			r.i++
			continue
		}
		r.byte(']')
		return out
	}
	return nil
}
