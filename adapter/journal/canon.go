package journal

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
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
	b := w.b // stored once
	if w.next {
		b = append(b, ',')
	}
	w.next = true
	w.b = append(append(append(b, '"'), k...), '"', ':')
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

// moment writes a time as a leaf has it.
func (w *writer) moment(k string, t time.Time) {
	if !t.IsZero() {
		w.num(k, t.UnixMilli())
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
	if plain(s) {
		return append(append(b, s...), '"')
	}
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

// plain says that a string of JSON is written as it is, as nearly all are.
func plain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		w := wordOf(s)
		turned, slash := w^2*each, w^'\\'*each // see sheet.quoted
		if ((turned-0x21*each)&^turned|(slash-each)&^slash)&highBit != 0 {
			return false
		}
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// wordOf is the first 8 bytes of a text.
func wordOf(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// What follows reads what writer writes and nothing else: one value has one
// spelling. wrong is what was expected at byte end; it is empty when nothing is
// wrong.

// sheet is a leaf laid out for reading. A zero byte stands before it, as it is
// hashed, and zeros after it, as many as may be looked at beyond its end: no value
// has zeros, so nobody who reads need ask where the end is.
type sheet [sheetStart + MaxLeaf + 64]byte

const sheetStart = 1

// lay lays out a leaf.
func (s *sheet) lay(leaf []byte) (end int) {
	end = sheetStart + copy(s[sheetStart:sheetStart+MaxLeaf], leaf)
	clear(s[end : end+64])
	return end
}

// word is the 8 bytes from i on.
func (s *sheet) word(i int) uint64 { return binary.LittleEndian.Uint64(s[i : i+8]) }

// Eight bytes at a time: a byte of each word, repeated.
const (
	each    = 0x0101010101010101
	highBit = 0x80 * each
)

// quoted reads a string that is not empty, with its quotes. escaped says that it
// is not what stands between them: see unescaped.
func (s *sheet) quoted(i int) (end int, escaped bool, wrong string) {
	if s[i] != '"' {
		return i, false, "a string"
	}
	from := i + 1
	for i = from; ; i += 8 {
		w := s.word(i)
		// Subtracting sets the high bit of each byte that is less; a borrow may set
		// it falsely, but only above such a byte, and the lowest is what counts.
		// With bit 1 turned, '"' and the control characters are what is below 0x21.
		turned, slash := w^2*each, w^'\\'*each
		if stops := ((turned-0x21*each)&^turned | (slash-each)&^slash | w) & highBit; stops != 0 {
			i += bits.TrailingZeros64(stops) / 8
			break
		}
	}
	if s[i] == '"' && i > from {
		return i + 1, false, ""
	}
	return s.otherText(from, i)
}

// otherText reads a string that is empty, or not of ASCII, or has escapes, or is
// wrong. It has been read up to i.
func (s *sheet) otherText(from, i int) (end int, escaped bool, wrong string) {
	for s[i] >= ' ' && s[i] != '"' {
		n := 1
		if s[i] == '\\' {
			if _, n = unescape(s[i : i+6]); n == 0 {
				return i, true, "an escape of RFC 8785"
			}
			escaped = true
		}
		i += n
	}
	switch {
	case s[i] != '"':
		return i, escaped, "an escape for a control character, or the end of a string"
	case i == from:
		return i, escaped, "a string that is not empty"
	case !utf8.Valid(s[from:i]):
		return from, escaped, "UTF-8"
	}
	return i + 1, escaped, ""
}

// unescape reads the escape that text begins with: its byte and its length. Only
// the spelling that writer would use is one; the length of others is 0.
func unescape(text []byte) (c byte, n int) {
	for n := 2; n <= 6 && n <= len(text); n += 4 {
		c := text[1]
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
			u, err := strconv.ParseUint(string(text[2:n]), 16, 8)
			if err != nil {
				continue
			}
			c = byte(u)
		}
		var written [16]byte
		if string(appendString(written[:0], string([]byte{c}))) == `"`+string(text[:n])+`"` {
			return c, n
		}
	}
	return 0, 0
}

// unescaped is the string that raw stands for; quoted must have found it in order.
func unescaped(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		c, n := raw[i], 1
		if c == '\\' {
			c, n = unescape(raw[i:])
		}
		out = append(out, c)
		i += n
	}
	return out
}

// integer reads an integer, of which a 17th digit is not part: no value goes on
// with one.
func (s *sheet) integer(i int) (n int64, end int, wrong string) {
	n, digits := leadingDigits(s.word(i))
	if digits == 8 {
		more, k := leadingDigits(s.word(i + 8))
		n, digits = n*powersOf10[k]+more, 8+k
	}
	switch end = i + digits; {
	case digits == 0 || s[i] == '0' && digits > 1:
		return 0, end, "an integer"
	case n > maxInteger:
		return 0, end, "an integer below 2^53"
	}
	return n, end, ""
}

var powersOf10 = [9]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// leadingDigits reads the digits, 0 to 8, with which a word begins.
func leadingDigits(w uint64) (value int64, digits int) {
	// With the bits of '0' turned, digits are what is at most 9.
	turned := w ^ '0'*each
	others := (turned&(0x7f*each) + 0x76*each | turned) & highBit
	digits = bits.TrailingZeros64(others) / 8
	turned <<= 8 * (8 - digits)                             // zeros go before them
	turned = (turned*10 + turned>>8) & 0x00ff00ff00ff00ff   // four pairs
	turned = (turned*100 + turned>>16) & 0x0000ffff0000ffff // two fours
	return int64(turned&0xffffffff)*10000 + int64(turned>>32), digits
}

// reader decodes what few leaves have. After the first thing that is wrong it
// stands still.
type reader struct {
	*sheet
	i     int
	wrong string
}

func (r *reader) fail(what string) {
	if r.wrong == "" {
		r.wrong = what
	}
}

// at says whether the next byte is c.
func (r *reader) at(c byte) bool { return r.wrong == "" && r.sheet[r.i] == c }

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
	for r.wrong == "" {
		key := r.str()
		if key <= last {
			r.fail("keys in ascending order")
		}
		last = key
		r.byte(':')
		if r.wrong != "" {
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
	if r.wrong != "" {
		return ""
	}
	from := r.i + 1
	var escaped bool
	r.i, escaped, r.wrong = r.quoted(r.i)
	switch {
	case r.wrong != "":
		return ""
	case escaped:
		return string(unescaped(r.sheet[from : r.i-1]))
	}
	return string(r.sheet[from : r.i-1])
}

// index reads an integer.
func (r *reader) index() (n int64) {
	if r.wrong == "" {
		n, r.i, r.wrong = r.integer(r.i)
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
	for r.wrong == "" {
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
