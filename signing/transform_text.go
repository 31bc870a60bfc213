package signing

import (
	"bytes"

	"mezhved/envelopes/xmltape"
)

// Woodstox writes a text shorter than this many UTF-16 units by its String
// routine and any other by its array routine, in chunks; the two differ in where
// they escape ">" (BufferingXmlWriter, BaseStreamWriter).
const (
	woodstoxShort = 12
	woodstoxChunk = 512
)

// woodstoxText writes a text event as Woodstox's UTF-8 writer does: "<", "&" and
// CR always as references, DEL and C1 controls too; ">" when it is the first
// unit of the text (in the array routine: of a chunk), or follows "]", or, in the
// array routine, follows a unit that was itself escaped.
func (e *smevEmitter) woodstoxText(v []byte) {
	if bytes.IndexByte(v, '>') < 0 {
		e.woodstoxPlain(v)
		return
	}
	long := utf16Len(v) >= woodstoxShort
	unit := 0 // UTF-16 units before v[i]
	var prev byte
	escaped := false
	from := 0 // v[from:i] is to be written as it is
	for i := 0; i < len(v); i++ {
		c := v[i]
		var ref string
		switch {
		case c == '<':
			ref = "&lt;"
		case c == '&':
			ref = "&amp;"
		case c == '\r':
			ref = "&#xd;"
		case c == '>':
			first := unit == 0 || long && unit%woodstoxChunk == 0
			if first || prev == ']' || long && escaped {
				ref = "&gt;"
			}
		case c == 0x7f || c == 0xc2 && v[i+1] < 0xa0:
			e.out.piece(v[from:i])
			if c == 0xc2 {
				i++
			}
			e.out.buf = appendHexRef(e.out.buf, v[i])
			e.out.room()
			from = i + 1
			prev, escaped = 0, true
			unit++
			continue
		}
		prev, escaped = c, ref != ""
		if escaped {
			e.out.piece(v[from:i])
			e.out.buf = append(e.out.buf, ref...)
			e.out.room()
			from = i + 1
		}
		switch {
		case c >= 0xf0:
			unit += 2
		case c < 0x80 || c >= 0xc0:
			unit++
		}
	}
	e.out.piece(v[from:])
}

// woodstoxRaw writes a text from its source, where its value need not be looked
// at: there is no ">", no carriage return and no reference but those whose form
// is certain. It tells whether it did; the caller has made sure that there is no
// C1 control.
func (e *smevEmitter) woodstoxRaw(tok *xmltape.Token) bool {
	if tok.Flags&xmltape.Greater != 0 {
		return false
	}
	raw := e.out.src[tok.Off:tok.End]
	return bytes.IndexByte(raw, '\r') < 0 && e.out.certain(raw)
}

// certain is woodstoxRaw of a text with references, whose ">" and carriage returns the caller
// has looked for.
func (s *sink) certain(raw []byte) bool {
	for i := bytes.IndexByte(raw, '&'); i < len(raw); i++ {
		if _, ok := certainReference(raw[i:]); !ok {
			return false
		}
		next := bytes.IndexByte(raw[i+1:], '&')
		if next < 0 {
			break
		}
		i += next
	}
	s.release()
	for {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			s.piece(raw)
			return true
		}
		kept, _ := certainReference(raw[i:])
		switch kept {
		case 0: // a quotation mark or apostrophe
			s.piece(raw[:i])
			c := byte('"')
			if raw[i+1] == 'a' {
				c = '\''
			}
			s.buf = append(s.buf, c)
			raw = raw[i+len("&quot;"):]
		default:
			s.piece(raw[:i+kept])
			raw = raw[i+kept:]
		}
		s.room()
	}
}

// certainReference tells how many bytes of a reference Woodstox would write as
// they are: all of "&amp;" and "&lt;", none of "&quot;" and "&apos;". ok is false
// for any other, whose form depends on what stands round it.
func certainReference(b []byte) (kept int, ok bool) {
	switch {
	case len(b) >= 5 && string(b[:5]) == "&amp;":
		return 5, true
	case len(b) >= 4 && string(b[:4]) == "&lt;":
		return 4, true
	case len(b) >= 6 && (string(b[:6]) == "&quot;" || string(b[:6]) == "&apos;"):
		return 0, true
	}
	return 0, false
}

// woodstoxPlain is woodstoxText for a text without ">".
func (e *smevEmitter) woodstoxPlain(v []byte) {
	from := 0
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c > '&' && c != '<' && c < 0x7f || c > 0xc2 {
			continue
		}
		var ref string
		switch {
		case c == '<':
			ref = "&lt;"
		case c == '&':
			ref = "&amp;"
		case c == '\r':
			ref = "&#xd;"
		case c == 0x7f || c == 0xc2 && v[i+1] < 0xa0:
			e.out.piece(v[from:i])
			if c == 0xc2 {
				i++
			}
			e.out.buf = appendHexRef(e.out.buf, v[i])
			e.out.room()
			from = i + 1
			continue
		default:
			continue
		}
		e.out.piece(v[from:i])
		e.out.buf = append(e.out.buf, ref...)
		e.out.room()
		from = i + 1
	}
	e.out.piece(v[from:])
}

// jdkText writes the events into which the JDK's scanner (XMLEntityScanner,
// XMLDocumentFragmentScannerImpl) splits a text of the canonical document, blank
// ones left out. Every reference and every character beyond U+FFFF is an event of
// its own, or ends one; between them the scanner stops at line ends, every second
// time, behind a run of "]", and where its first read ended: at v[:cut], when cut
// is not negative.
func (e *smevEmitter) jdkText(v []byte, cut int) {
	sc := jdkScanner{v, cut}
	for i := 0; i < len(v); {
		e.out.room()
		switch v[i] {
		case '&':
			e.out.buf = append(e.out.buf, "&amp;"...)
			i++
			continue
		case '<':
			e.out.buf = append(e.out.buf, "&lt;"...)
			i++
			continue
		case '>':
			e.out.buf = append(e.out.buf, "&gt;"...)
			i++
			continue
		case '\r':
			i++ // an event of one blank character
			continue
		}
		end := sc.event(i)
		if !blank(v[i:end]) {
			e.out.piece(v[i:end]) // holds nothing that is escaped
		}
		i = end
	}
}

// jdkScanner is the JDK's view of one text.
type jdkScanner struct {
	v   []byte
	cut int // where the read buffer ends inside v; -1: it does not
}

// event gives the end of the event that begins at i, which is no reference.
func (s *jdkScanner) event(i int) int {
	end, known := s.scan(i)
	if end == len(s.v) {
		return end
	}
	s.loaded(end) // the scanner looks whether "<" follows
	if known {
		switch c := s.v[end]; {
		case jdkReference(c):
			return end
		case c >= 0xf0:
			return end + 4
		}
	}
	if s.v[end] == ']' && known {
		end = s.brackets(end)
	}
	end, known = s.scan(end)
	if known && end < len(s.v) && s.v[end] == ']' {
		end = s.brackets(end)
	}
	return end
}

// scan is scanContent: line ends at the beginning, then up to the next line end,
// "]", reference or large character. known is false when it stopped because its
// buffer ended, and the scanner has not seen what follows.
func (s *jdkScanner) scan(i int) (end int, known bool) {
	if s.cut >= 0 && (i >= s.cut || s.last(i)) {
		s.cut = -1
	}
	if i < len(s.v) && s.v[i] == '\n' {
		for i < len(s.v) && s.v[i] == '\n' && !s.last(i) {
			i++
		}
		if s.last(i) {
			return i, false
		}
	}
	for ; i < len(s.v) && i != s.cut; i++ {
		if c := s.v[i]; c == '\n' || c == ']' || c >= 0xf0 || jdkReference(c) {
			return i, true
		}
	}
	return i, i != s.cut
}

// last tells whether the character at i is the last of the buffer.
func (s *jdkScanner) last(i int) bool {
	if s.cut < 0 || i >= s.cut {
		return false
	}
	for i++; i < s.cut && s.v[i]&0xc0 == 0x80; i++ {
	}
	return i == s.cut
}

// loaded notes that the scanner has looked at the character at i.
func (s *jdkScanner) loaded(i int) {
	if i >= s.cut {
		s.cut = -1
	}
}

func (s *jdkScanner) brackets(i int) int {
	for i < len(s.v) && s.v[i] == ']' {
		i++
	}
	s.loaded(i)
	return i
}

// jdkReference reports whether the canonical form writes the character as a reference.
func jdkReference(c byte) bool { return c == '&' || c == '<' || c == '>' || c == '\r' }

// appendWoodstoxAttr escapes an attribute value or namespace name as Woodstox does.
func appendWoodstoxAttr(out, v []byte) []byte {
	from := 0
	for i := 0; i < len(v); i++ {
		var ref string
		switch v[i] {
		case '<':
			ref = "&lt;"
		case '&':
			ref = "&amp;"
		case '"':
			ref = "&quot;"
		case '\r':
			ref = "&#xd;"
		case '\n':
			ref = "&#xa;"
		case '\t':
			ref = "&#x9;"
		default:
			continue
		}
		out = append(out, v[from:i]...)
		out = append(out, ref...)
		from = i + 1
	}
	return append(out, v[from:]...)
}

// appendJDKAttr escapes an attribute value or namespace name as SJSXP does.
func appendJDKAttr(out, v []byte) []byte {
	from := 0
	for i := 0; i < len(v); i++ {
		var ref string
		switch v[i] {
		case '<':
			ref = "&lt;"
		case '&':
			ref = "&amp;"
		case '>':
			ref = "&gt;"
		case '"':
			ref = "&quot;"
		default:
			continue
		}
		out = append(out, v[from:i]...)
		out = append(out, ref...)
		from = i + 1
	}
	return append(out, v[from:]...)
}

// appendHexRef writes U+007F-U+009F, all of two digits, in lower-case hexadecimal.
func appendHexRef(out []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(out, '&', '#', 'x', digits[c>>4], digits[c&15], ';')
}

// utf16Len counts UTF-16 code units, no further than it takes to tell a short text.
func utf16Len(v []byte) int {
	n := 0
	for _, c := range v {
		switch {
		case c >= 0xf0:
			n += 2
		case c < 0x80 || c >= 0xc0:
			n++
		}
		if n >= woodstoxShort {
			return n
		}
	}
	return n
}
