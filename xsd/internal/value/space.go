package value

import (
	"encoding/binary"
	"math/bits"
)

// normalize applies a whiteSpace facet. It returns raw itself, or a part of
// it, where that is possible, and otherwise builds the value in *buf.
func normalize(raw []byte, w Whitespace, buf *[]byte) []byte {
	switch w {
	case Preserve:
		return raw
	case Replace:
		for i, c := range raw {
			if c == '\t' || c == '\n' || c == '\r' {
				return replaceFrom(raw, i, buf)
			}
		}
		return raw
	}
	for len(raw) > 0 && isSpace(raw[0]) {
		raw = raw[1:]
	}
	for len(raw) > 0 && isSpace(raw[len(raw)-1]) {
		raw = raw[:len(raw)-1]
	}
	for i, c := range raw {
		if c <= ' ' && (c == ' ' && isSpace(raw[i+1]) || c == '\t' || c == '\n' || c == '\r') {
			return collapseFrom(raw, i, buf)
		}
	}
	return raw
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func replaceFrom(raw []byte, i int, buf *[]byte) []byte {
	out := append((*buf)[:0], raw...)
	for ; i < len(out); i++ {
		if c := out[i]; c == '\t' || c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	*buf = out
	return out
}

// collapseFrom copies trimmed raw, whose first i bytes stay as they are.
func collapseFrom(raw []byte, i int, buf *[]byte) []byte {
	out := append((*buf)[:0], raw[:i]...)
	for i < len(raw) {
		if !isSpace(raw[i]) {
			out = append(out, raw[i])
			i++
			continue
		}
		out = append(out, ' ')
		for i < len(raw) && isSpace(raw[i]) {
			i++
		}
	}
	*buf = out
	return out
}

// fields walks over the items of a list literal, white space handled as by collapse.
type fields struct{ rest []byte }

func (f *fields) next() (item []byte, ok bool) {
	r := f.rest
	i := 0
	for i < len(r) && isSpace(r[i]) {
		i++
	}
	if i == len(r) {
		f.rest = nil
		return nil, false
	}
	j := i + 1
	for j < len(r) && !isSpace(r[j]) {
		j++
	}
	f.rest = r[j:]
	return r[i:j], true
}

// characters counts the characters of UTF-8 text: the bytes that do not
// continue one, eight at a time.
func characters(v []byte) int {
	n := len(v)
	for ; len(v) >= 8; v = v[8:] {
		w := binary.LittleEndian.Uint64(v)
		// Bit 7 set and bit 6 clear.
		n -= bits.OnesCount64(w & ^(w << 1) & 0x8080808080808080)
	}
	for _, b := range v {
		if b>>6 == 0b10 {
			n--
		}
	}
	return n
}
