package journal

import (
	"fmt"
	"slices"
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

// reader scans what writer writes. It accepts a little more than canonical
// JSON; ParseLeaf closes the difference by writing the leaf again.
type reader struct {
	b   []byte
	i   int
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: expected %s", r.i, what)
	}
}

func (r *reader) byte(c byte) {
	if r.err != nil {
		return
	}
	if r.i >= len(r.b) || r.b[r.i] != c {
		r.fail(strconv.QuoteRune(rune(c)))
		return
	}
	r.i++
}

// object calls member for each key, with the reader standing at its value. Keys
// must ascend: a duplicate or a disordered key is an error at its place.
func (r *reader) object(member func(key []byte)) {
	r.byte('{')
	if r.err == nil && r.i < len(r.b) && r.b[r.i] == '}' {
		r.i++
		return
	}
	var last []byte
	for r.err == nil {
		key := r.raw()
		if last != nil && slices.Compare(last, key) >= 0 {
			r.fail("keys in ascending order")
		}
		last = key
		r.byte(':')
		if r.err != nil {
			return
		}
		member(key)
		if r.err == nil && r.i < len(r.b) && r.b[r.i] == ',' {
			r.i++
			continue
		}
		r.byte('}')
		return
	}
}

// raw reads a string without escapes and returns the bytes in place.
func (r *reader) raw() []byte {
	r.byte('"')
	from := r.i
	for r.err == nil {
		if r.i >= len(r.b) || r.b[r.i] < 0x20 || r.b[r.i] == '\\' {
			r.fail("a plain string")
			return nil
		}
		if r.b[r.i] == '"' {
			r.i++
			return r.b[from : r.i-1]
		}
		r.i++
	}
	return nil
}

func (r *reader) str() string {
	if r.err != nil {
		return ""
	}
	// Nearly every string of a leaf has no escape.
	for j := r.i + 1; r.i < len(r.b) && r.b[r.i] == '"' && j < len(r.b) && r.b[j] != '\\'; j++ {
		if r.b[j] == '"' {
			s := r.b[r.i+1 : j]
			if !utf8.Valid(s) {
				r.fail("UTF-8")
				return ""
			}
			r.i = j + 1
			return string(s)
		}
	}
	r.byte('"')
	var out []byte
	for r.err == nil {
		if r.i >= len(r.b) {
			r.fail("the end of a string")
			return ""
		}
		c := r.b[r.i]
		r.i++
		switch c {
		case '"':
			if !utf8.Valid(out) {
				r.fail("UTF-8")
			}
			return string(out)
		case '\\':
			out = append(out, r.escape())
		default:
			out = append(out, c)
		}
	}
	return ""
}

func (r *reader) escape() byte {
	if r.i >= len(r.b) {
		r.fail("an escape")
		return 0
	}
	c := r.b[r.i]
	r.i++
	switch c {
	case '"', '\\':
		return c
	case 'b':
		return '\b'
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'f':
		return '\f'
	case 'r':
		return '\r'
	case 'u':
		if r.i+4 <= len(r.b) {
			if n, err := strconv.ParseUint(string(r.b[r.i:r.i+4]), 16, 8); err == nil && n < 0x20 {
				r.i += 4
				return byte(n)
			}
		}
	}
	r.fail("an escape of RFC 8785")
	return 0
}

func (r *reader) num() int64 {
	if r.err != nil {
		return 0
	}
	var n int64
	from := r.i
	for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' {
		n = n*10 + int64(r.b[r.i]-'0')
		r.i++
		if n > maxInteger {
			r.fail("an integer below 2^53")
			return 0
		}
	}
	if r.i == from {
		r.fail("an integer")
	}
	return n
}

func (r *reader) strings() []string {
	r.byte('[')
	out := []string{}
	for r.err == nil {
		out = append(out, r.str())
		if r.err == nil && r.i < len(r.b) && r.b[r.i] == ',' {
			r.i++
			continue
		}
		r.byte(']')
		return out
	}
	return nil
}
