package xmltape

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// Classes of bytes in text and attribute values. 0 is "goes on".
const (
	clSpecial = iota + 1 // '<'
	clSpace              // white space that matters where it stands
	clAmp
	clBracket // ']'
	clHigh    // 0xEF: may begin U+FFFE or U+FFFF
	clBad     // a control character
	clQuote
	clGreater // '>'
)

var (
	textTable  [256]uint8 // in character data
	attrTable  [256]uint8 // in attribute values
	spaceTable [256]bool
	nameTable  [256]uint8 // 1: NameStartChar, 2: NameChar only, 3: first byte of a longer character, 0: neither. ':' is 0
)

func init() {
	for c := range 0x20 {
		textTable[c], attrTable[c] = clBad, clBad
	}
	for _, c := range " \t\n\r" {
		spaceTable[c] = true
		textTable[c] = clSpace
	}
	// Spaces inside text need no look: text() treats leading ones itself and
	// only a CR changes the value.
	textTable[' '], textTable['\t'], textTable['\n'] = 0, 0, 0
	attrTable['\t'], attrTable['\n'], attrTable['\r'] = clSpace, clSpace, clSpace
	textTable['<'], attrTable['<'] = clSpecial, clSpecial
	textTable['&'], attrTable['&'] = clAmp, clAmp
	textTable[']'] = clBracket
	textTable['>'] = clGreater
	textTable[0xef], attrTable[0xef] = clHigh, clHigh
	attrTable['"'], attrTable['\''] = clQuote, clQuote

	for c := 'a'; c <= 'z'; c++ {
		nameTable[c], nameTable[c-'a'+'A'] = 1, 1
	}
	nameTable['_'] = 1
	for c := '0'; c <= '9'; c++ {
		nameTable[c] = 2
	}
	nameTable['-'], nameTable['.'] = 2, 2
	for c := 0x80; c < 0x100; c++ {
		nameTable[c] = 3
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && spaceTable[b[i]] {
		i++
	}
	return i
}

func isSpaceRune(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

func hasPrefixAt(b []byte, i int, s string) bool {
	return len(b)-i >= len(s) && string(b[i:i+len(s)]) == s
}

// qname reads a QName at i: its end and the length of its prefix (0: none).
// XML 1.0 (Fifth Edition) [4], [4a], [5]; Namespaces in XML [7].
func (p *parser) qname(i int) (end, prefix int, err *Error) {
	src := p.src
	start, part := i, i // part: start of the NCName being read
	for {
		for i < len(src) && nameTable[src[i]] == 1 {
			i++
		}
		if i >= len(src) {
			break
		}
		switch c := src[i]; nameTable[c] {
		case 2:
			if i == part {
				return i, 0, fail(CodeName, i, "a name may not begin with %q", c)
			}
			i++
			continue
		case 3:
			if c >= 0xce && c <= 0xdf { // U+0380 to U+07FF: NameStartChar all, Cyrillic among them
				i += 2
				continue
			}
			r, n := utf8.DecodeRune(src[i:])
			if !isNameStart(r) && (i == part || !isNameRune(r)) {
				if i == part {
					return i, 0, fail(CodeName, i, "character U+%04X may not begin a name", r)
				}
				return i, 0, fail(CodeName, i, "character U+%04X may not stand in a name", r)
			}
			i += n
			continue
		}
		if src[i] != ':' {
			break
		}
		if i == part || prefix > 0 {
			return i, 0, fail(CodeName, i, "a colon where no qualified name has one")
		}
		prefix = i - start
		i++
		part = i
	}
	switch {
	case i == part:
		return i, 0, fail(CodeName, i, "a name is missing")
	case i-start > p.t.lim.NameLen:
		return i, 0, fail(CodeLimitName, start, "a name of more than %d bytes", p.t.lim.NameLen)
	}
	return i, prefix, nil
}

// validUTF8 is utf8.Valid, faster where it matters here: on letters of two
// bytes, Cyrillic among them, mixed with ASCII. What has longer sequences goes
// character by character. ef: the byte 0xEF, with which U+FFFE and U+FFFF begin,
// is somewhere in b.
func validUTF8(b []byte) (valid, ef bool) {
	i, carry := 0, uint64(0) // carry: the byte before i is a lead byte
	for i+32 <= len(b) {
		w := (*[32]byte)(b[i:])
		v0, v1, v2, v3 := binary.LittleEndian.Uint64(w[0:]), binary.LittleEndian.Uint64(w[8:]), binary.LittleEndian.Uint64(w[16:]), binary.LittleEndian.Uint64(w[24:])
		if (v0|v1|v2|v3|carry)&highs == 0 { // ASCII, as nearly all around the content is
			i += 32
			continue
		}
		bad0, carry0 := oddUTF8(v0, carry)
		bad1, carry1 := oddUTF8(v1, carry0)
		bad2, carry2 := oddUTF8(v2, carry1)
		bad3, carry3 := oddUTF8(v3, carry2)
		if (bad0|bad1|bad2|bad3)&highs == 0 {
			carry = carry3
			i += 32
			continue
		}
		switch { // on to the word that is odd, and in it to the beginning of a character
		case bad0&highs != 0:
		case bad1&highs != 0:
			i, carry = i+8, carry0
		case bad2&highs != 0:
			i, carry = i+16, carry1
		default:
			i, carry = i+24, carry2
		}
		if carry&0x80 != 0 {
			i--
		}
		carry = 0
		for first := true; i < len(b) && (first || b[i] >= 0xe0); first = false {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return false, false
			}
			ef = ef || b[i] == 0xef
			i += n
		}
	}
	if carry&0x80 != 0 {
		i--
	}
	return utf8.Valid(b[i:]), ef || bytes.IndexByte(b[i:], 0xef) >= 0
}

// oddUTF8 looks at eight bytes: bad has a high bit in some byte when there is
// anything but ASCII and letters of two bytes in them, in which every
// continuation byte follows a lead byte and the other way round. carry, of the
// word before and for the next, has bit 7 when that ends in a lead byte. The
// other bits of both mean nothing: to clear them here would take as long as the
// rest.
func oddUTF8(v, carry uint64) (bad, next uint64) {
	lead := v & (v << 1)
	overlong := highs - v&(0x1e*ones) // C0 and C1
	return v ^ lead ^ (lead<<8 | carry) | lead&(v<<2|overlong), lead >> 56
}

// Eight bytes at once. A mask has the high bit of each byte that is meant; each
// byte of v plus 0x7F, with its own high bit off, has its high bit on unless it
// is zero.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
	lows  = 0x7f * ones
)

func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// textStops marks the bytes of a word that text has to look at: '<', '>', '&',
// ']' and control characters. 0xEF is not among them.
func textStops(v uint64) uint64 {
	low := v & lows
	goesOn := ((low | 2*ones ^ '>'*ones) + lows) & ((low ^ '&'*ones) + lows) & ((low ^ ']'*ones) + lows) & (low + 0x60*ones)
	return ^(goesOn | v) & highs
}

// valueStops marks the bytes that an attribute value has to look at: its quote,
// '<', '&' and control characters. 0xEF is not among them.
func valueStops(v, quotes uint64) uint64 {
	low := v & lows
	goesOn := ((low ^ '<'*ones) + lows) & ((low ^ '&'*ones) + lows) & ((low ^ quotes) + lows) & (low + 0x60*ones)
	return ^(goesOn | v) & highs
}

// stop is the index of the first byte that a mask marks.
func stop(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }

// isNameStart is [4] NameStartChar beyond ASCII.
func isNameStart(r rune) bool {
	switch {
	case r < 0xC0:
		return false
	case r <= 0x2FF:
		return r != 0xD7 && r != 0xF7
	case r < 0x370:
		return false
	case r <= 0x1FFF:
		return r != 0x37E
	case r <= 0x218F:
		return r >= 0x2070 || r == 0x200C || r == 0x200D
	case r <= 0x2FEF:
		return r >= 0x2C00
	case r <= 0xD7FF:
		return r >= 0x3001
	case r <= 0xFDCF:
		return r >= 0xF900
	case r <= 0xFFFD:
		return r >= 0xFDF0
	}
	return r >= 0x10000 && r <= 0xEFFFF
}

// isNameRune is [4a] NameChar beyond ASCII, without what isNameStart has.
func isNameRune(r rune) bool {
	return r == 0xB7 || (r >= 0x300 && r <= 0x36F) || r == 0x203F || r == 0x2040
}

// isChar is [2] Char.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || (r >= 0x20 && r <= 0xD7FF) || (r >= 0xE000 && r <= 0xFFFD) || (r >= 0x10000 && r <= 0x10FFFF)
}

// decodeReference decodes what stands between & and ;.
func decodeReference(b []byte) (rune, bool) {
	switch string(b) {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(b) < 2 || b[0] != '#' {
		return 0, false
	}
	digits, base := b[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	for _, c := range digits { // ParseUint takes signs and underscores in places
		if (c < '0' || c > '9') && (base == 10 || ((c < 'a' || c > 'f') && (c < 'A' || c > 'F'))) {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(digits), base, 32)
	if err != nil || n > utf8.MaxRune || !isChar(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

// appendText decodes character data: references, and CRLF and CR to LF (XML 1.0
// section 2.11). raw is well-formed.
func appendText(buf, raw []byte) []byte { return appendDecoded(buf, raw, false) }

// appendAttrValue decodes an attribute value: references, and each literal
// white space character, CRLF being one, to a space (XML 1.0 section 3.3.3).
func appendAttrValue(buf, raw []byte) []byte { return appendDecoded(buf, raw, true) }

func appendDecoded(buf, raw []byte, attr bool) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '&':
			n := i + 1
			for raw[n] != ';' {
				n++
			}
			r, _ := decodeReference(raw[i+1 : n])
			buf = utf8.AppendRune(buf, r)
			i = n + 1
		case c == '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
			i++
			if attr {
				buf = append(buf, ' ')
			} else {
				buf = append(buf, '\n')
			}
		case attr && (c == '\n' || c == '\t'):
			buf = append(buf, ' ')
			i++
		default:
			j := i + 1
			for j < len(raw) && raw[j] != '&' && raw[j] != '\r' && (!attr || (raw[j] != '\n' && raw[j] != '\t')) {
				j++
			}
			buf = append(buf, raw[i:j]...)
			i = j
		}
	}
	return buf
}

// appendLines decodes a CDATA section: CRLF and CR to LF.
func appendLines(buf, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\r' {
			buf = append(buf, raw[i])
			continue
		}
		if i+1 < len(raw) && raw[i+1] == '\n' {
			i++
		}
		buf = append(buf, '\n')
	}
	return buf
}

func isXMLDecl(b []byte) bool {
	return len(b) > 5 && string(b[:5]) == "<?xml" && (spaceTable[b[5]] || b[5] == '?')
}

// xmlDecl reads [23] XMLDecl: version 1.0, encoding UTF-8 or absent.
func (p *parser) xmlDecl(i int) (int, *Error) {
	n := 0
	for n < 256 && i+n+1 < len(p.src) && !hasPrefixAt(p.src, i+n, "?>") {
		n++
	}
	if !hasPrefixAt(p.src, i+n, "?>") {
		return i, fail(CodeDeclaration, i, "an XML declaration that is not closed")
	}
	rest := p.src[i+5 : i+n]

	version, rest, ok := pseudoAttr(rest, "version")
	if !ok {
		return i, fail(CodeDeclaration, i, "the XML declaration has no version where one is needed")
	}
	if string(version) != "1.0" {
		return i, fail(CodeVersion, i, "XML version %s; send 1.0", quote(version))
	}
	if enc, r, ok := pseudoAttr(rest, "encoding"); ok {
		if !equalFoldASCII(enc, "utf-8") {
			return i, fail(CodeEncoding, i, "declared encoding %s; send UTF-8", quote(enc))
		}
		rest = r
	}
	if alone, r, ok := pseudoAttr(rest, "standalone"); ok {
		if string(alone) != "yes" && string(alone) != "no" {
			return i, fail(CodeDeclaration, i, "the XML declaration has a standalone that is neither yes nor no")
		}
		rest = r
	}
	if skipSpace(rest, 0) != len(rest) {
		return i, fail(CodeDeclaration, i, "the XML declaration is malformed; write <?xml version=\"1.0\" encoding=\"UTF-8\"?>")
	}
	return i + n + 2, nil
}

// pseudoAttr reads S name Eq quoted-value from the front of b.
func pseudoAttr(b []byte, name string) (value, rest []byte, ok bool) {
	i := skipSpace(b, 0)
	if i == 0 || !hasPrefixAt(b, i, name) {
		return nil, b, false
	}
	i = skipSpace(b, i+len(name))
	if i >= len(b) || b[i] != '=' {
		return nil, b, false
	}
	i = skipSpace(b, i+1)
	if i >= len(b) || (b[i] != '"' && b[i] != '\'') {
		return nil, b, false
	}
	for j := i + 1; j < len(b); j++ {
		if b[j] == b[i] {
			return b[i+1 : j], b[j+1:], true
		}
	}
	return nil, b, false
}

func equalFoldASCII(a []byte, lower string) bool {
	if len(a) != len(lower) {
		return false
	}
	for i, c := range a {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
