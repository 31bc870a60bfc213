package prolog

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
)

// encodingDecl is the pseudo-attribute of the XML declaration [80].
var encodingDecl = regexp.MustCompile(`^<\?xml[ \t\r\n][^>?]*?([ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._-]*)["'])`)

// decode gives UTF-8 without byte order mark, and without a word of the encoding
// where it was another one.
func (d *document) decode(src []byte) []byte {
	switch {
	case bytes.HasPrefix(src, []byte("\x00\x00\xfe\xff")), bytes.HasPrefix(src, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(src, []byte("\x00\x00\x00<")), bytes.HasPrefix(src, []byte("<\x00\x00\x00")):
		d.refuse(0, "UTF-32")
	case bytes.HasPrefix(src, []byte("\xfe\xff")):
		return d.wide(src[2:], binary.BigEndian)
	case bytes.HasPrefix(src, []byte("\xff\xfe")):
		return d.wide(src[2:], binary.LittleEndian)
	case bytes.HasPrefix(src, []byte("\x00<")):
		return d.wide(src, binary.BigEndian)
	case bytes.HasPrefix(src, []byte("<\x00")):
		return d.wide(src, binary.LittleEndian)
	case bytes.HasPrefix(src, []byte("\x4c\x6f\xa7\x94")):
		d.refuse(0, "EBCDIC")
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	m := encodingDecl.FindSubmatchIndex(src)
	if m == nil {
		return src // UTF-8, or the gate says that it is not
	}
	name := string(src[m[4]:m[5]])
	lower := strings.ToLower(name)
	switch {
	case lower == "utf-8":
		return src
	case strings.HasPrefix(lower, "utf-16"), strings.HasPrefix(lower, "utf-32"), strings.HasPrefix(lower, "iso-10646-ucs"):
		d.src = src
		d.fail(m[4], "объявлена кодировка %[1]s, но октеты документа другие: исправьте объявление", "the declaration says %[1]s, but the octets are not: mend the declaration", name)
	case lower == "us-ascii", lower == "ascii":
		for i, b := range src {
			if b >= 0x80 {
				d.src = src
				d.fail(i, "октет 0x%02[1]x не принадлежит объявленной кодировке %[2]s", "octet 0x%02[1]x does not belong to the declared encoding %[2]s", b, name)
			}
		}
		return d.forget(bytes.Clone(src), name)
	}
	enc := encodingOf(lower)
	if enc == nil {
		d.src = src
		d.refuse(m[4], name)
	}
	out, err := enc.NewDecoder().Bytes(src)
	if bad := bytes.IndexRune(out, utf8.RuneError); err != nil || bad >= 0 {
		d.src = out
		d.fail(max(bad, 0), "здесь стоит октет, которого нет в объявленной кодировке %[1]s", "here stands an octet that the declared encoding %[1]s does not have", name)
	}
	return d.forget(out, name)
}

// encodingOf finds an encoding by its registered name or by what people call it;
// nil when it is not known.
func encodingOf(name string) encoding.Encoding {
	switch name {
	case "cp1251", "win-1251":
		return charmap.Windows1251
	case "cp866", "cp-866":
		return charmap.CodePage866
	case "koi8r":
		return charmap.KOI8R
	}
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil {
		return nil
	}
	return e
}

func (d *document) refuse(off int, name string) {
	d.fail(off, "кодировка %[1]s не поддерживается: сохраните файл в UTF-8", "encoding %[1]s is not supported: save the file as UTF-8", name)
}

// wide decodes UTF-16. Half a pair is refused, not replaced.
func (d *document) wide(src []byte, order binary.ByteOrder) []byte {
	out := make([]byte, 0, len(src))
	for i := 0; i+1 < len(src); i += 2 {
		r := rune(order.Uint16(src[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i+3 < len(src) {
				low = rune(order.Uint16(src[i+2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				d.src = out
				d.fail(len(out), "половина пары UTF-16 без другой половины", "half a pair of UTF-16 without the other half")
			}
			i += 2
		}
		out = utf8.AppendRune(out, r)
	}
	if len(src)%2 != 0 {
		d.src = out
		d.fail(len(out), "документ UTF-16 обрывается на половине знака", "the UTF-16 document ends in the middle of a character")
	}
	if m := encodingDecl.FindSubmatchIndex(out); m != nil {
		if name := string(out[m[4]:m[5]]); !strings.HasPrefix(strings.ToLower(name), "utf-16") && !strings.EqualFold(name, "iso-10646-ucs-2") {
			d.src = out
			d.fail(m[4], "объявлена кодировка %[1]s, но документ записан в UTF-16: исправьте объявление", "the declaration says %[1]s, but the document is written in UTF-16: mend the declaration", name)
		}
	}
	return d.forget(out, "UTF-16")
}

// forget blanks the word of the encoding out of the XML declaration of decoded
// text, so that no place moves.
func (d *document) forget(text []byte, name string) []byte {
	if m := encodingDecl.FindSubmatchIndex(text); m != nil {
		for i := m[2]; i < m[3]; i++ {
			text[i] = ' '
		}
	}
	d.note("документ в кодировке %[1]s: его сочли за UTF-8 того же текста", "the document is in %[1]s: it was read as the same text in UTF-8", name)
	return text
}
