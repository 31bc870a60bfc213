package xmltape

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Parse reads src into the tape, forgetting what was there. The error, if any,
// is an *Error, or what lim.Hold answered, and the tape then holds no document.
// src must not change while the tape is in use.
func (t *Tape) Parse(src []byte, lim Limits) error {
	lim = lim.withDefaults()
	if len(src) <= lim.Size { // else it is refused before anything is read
		m := measureOf(src, lim)
		if lim.Hold != nil {
			if err := lim.Hold(m.bytes()); err != nil {
				t.reset(nil, lim)
				return err
			}
		}
		t.room(m)
	}
	t.reset(src, lim)
	m := memories.Get().(*memory)
	defer memories.Put(m)
	m.begin()
	p := parser{t: t, src: src, scope: -1, memory: m}
	if err := p.document(); err != nil {
		err.Line, err.Col = position(src, err.Offset)
		t.reset(nil, t.lim)
		return err
	}
	return nil
}

func (t *Tape) reset(src []byte, lim Limits) {
	t.src, t.lim, t.root = src, lim, 0
	t.Tokens, t.Attrs, t.Decls = t.Tokens[:0], t.Attrs[:0], t.Decls[:0]
	t.open, t.scratch = t.open[:0], t.scratch[:0]
	t.resetNames()
}

// parser is the state of one pass. Its methods take the offset at which they
// stand and give the offset behind what they read.
type parser struct {
	t      *Tape
	memory *memory
	src    []byte
	scope  int32 // innermost declaration in force
	inside int   // declarations in force
	ef     bool  // the byte 0xEF, with which U+FFFE and U+FFFF begin, is somewhere in src

	// The prefix met last, since neighbours mostly share theirs.
	lastOff, lastLen int
	lastPrefix       int32

	last, next uint32  // into the memory's tags: the start tag before, and the one that is expected
	expected   *uint32 // into its attrNames: the attribute that is expected
}

func fail(code Code, off int, format string, args ...any) *Error {
	return &Error{Code: code, Offset: off, Detail: fmt.Sprintf(format, args...), format: format, args: args}
}

// document is [1] document ::= prolog element Misc*.
func (p *parser) document() *Error {
	if len(p.src) > p.t.lim.Size {
		return fail(CodeLimitSize, p.t.lim.Size, "document of %d bytes; at most %d are taken", len(p.src), p.t.lim.Size)
	}
	if err := p.checkEncoding(); err != nil {
		return err
	}
	i := 0
	if bytes.HasPrefix(p.src, []byte("\xef\xbb\xbf")) {
		i = 3
	}
	if isXMLDecl(p.src[i:]) {
		var err *Error
		if i, err = p.xmlDecl(i); err != nil {
			return err
		}
	}
	i, err := p.misc(i)
	if err != nil {
		return err
	}
	if i == len(p.src) {
		return fail(CodeNoRoot, i, "no document element")
	}
	p.t.root = int32(len(p.t.Tokens))
	if i, err = p.content(i); err != nil {
		return err
	}
	if i, err = p.misc(i); err != nil {
		return err
	}
	if i < len(p.src) {
		return fail(CodeOutside, i, "a second document element")
	}
	return nil
}

// checkEncoding refuses what is not UTF-8. The BOMs and first bytes of other
// encodings get a sentence of their own.
func (p *parser) checkEncoding() *Error {
	switch s := p.src; {
	case bytes.HasPrefix(s, []byte("\xfe\xff")), bytes.HasPrefix(s, []byte("\xff\xfe")),
		bytes.HasPrefix(s, []byte("\x00<")), bytes.HasPrefix(s, []byte("<\x00")), bytes.HasPrefix(s, []byte("\x00\x00\x00<")):
		return fail(CodeEncoding, 0, "looks like UTF-16 or UTF-32; send UTF-8")
	}
	valid, ef := validUTF8(p.src)
	if valid {
		p.ef = ef
		return nil
	}
	// A declared encoding says more to its sender than the first octet that is wrong.
	if begin := len(p.src) - len(bytes.TrimPrefix(p.src, []byte("\xef\xbb\xbf"))); isXMLDecl(p.src[begin:]) {
		if _, err := p.xmlDecl(begin); err != nil && err.Code == CodeEncoding {
			return err
		}
	}
	off := 0
	for off < len(p.src) {
		r, n := utf8.DecodeRune(p.src[off:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		off += n
	}
	return fail(CodeEncoding, off, "byte 0x%02x is not UTF-8 here", p.src[off])
}

// misc reads [27] Misc* and stops at the document element or the end.
func (p *parser) misc(i int) (int, *Error) {
	for {
		i = skipSpace(p.src, i)
		if i == len(p.src) {
			return i, nil
		}
		if p.src[i] != '<' {
			return i, fail(CodeOutside, i, "text outside the document element")
		}
		var err *Error
		switch {
		case hasPrefixAt(p.src, i, "<?"):
			i, err = p.pi(i)
		case hasPrefixAt(p.src, i, "<!--"):
			i, err = p.comment(i)
		case hasPrefixAt(p.src, i, "<!"):
			return i, p.markupDecl(i)
		default:
			return i, nil
		}
		if err != nil {
			return i, err
		}
	}
}

// markupDecl names what begins with <! and may not stand where it stands.
func (p *parser) markupDecl(i int) *Error {
	const doctype = "<!DOCTYPE"
	switch rest := p.src[i:min(len(p.src), i+len(doctype))]; {
	case bytes.EqualFold(rest, []byte(doctype)):
		return fail(CodeDoctype, i, "a document type declaration; send the document without it")
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		return fail(CodeOutside, i, "a CDATA section outside the document element")
	}
	return fail(CodeTag, i, "<! begins neither a comment nor a CDATA section")
}

// content reads the document element with all that is in it. It is one loop
// over an explicit stack: depth costs no goroutine stack.
func (p *parser) content(i int) (int, *Error) {
	t, src := p.t, p.src
	for {
		// i stands at '<' or, inside the document element, at text.
		var err *Error
		if i >= len(src) {
			return i, p.unclosed()
		}
		if src[i] != '<' {
			if i, err = p.text(i); err != nil {
				return i, err
			}
			continue
		}
		if len(t.Tokens) >= t.lim.Tokens {
			return i, fail(CodeLimitTokens, i, "more than %d pieces of markup and text", t.lim.Tokens)
		}
		if i+1 >= len(src) {
			return i, fail(CodeTag, i, "the document ends in a tag")
		}
		switch src[i+1] {
		case '/':
			if len(t.open) == 0 {
				return i, fail(CodeMismatch, i, "an end tag before any start tag")
			}
			if i, err = p.endTag(i); err != nil {
				return i, err
			}
		case '!':
			switch {
			case hasPrefixAt(src, i, "<!--"):
				i, err = p.comment(i)
			case hasPrefixAt(src, i, "<![CDATA["):
				i, err = p.cdata(i)
			default:
				err = p.markupDecl(i)
			}
			if err != nil {
				return i, err
			}
			continue
		case '?':
			if i, err = p.pi(i); err != nil {
				return i, err
			}
			continue
		default:
			if i, err = p.startTag(i); err != nil {
				return i, err
			}
		}
		if len(t.open) == 0 {
			return i, nil
		}
	}
}

func (p *parser) unclosed() *Error {
	tok := &p.t.Tokens[p.t.open[len(p.t.open)-1]]
	return fail(CodeUnclosed, int(tok.Off), "element %s is never closed", quote(p.src[tok.Off+1:tok.Off+1+uint32(tok.NameLen)]))
}

// text reads [14] CharData with references up to the next '<'.
func (p *parser) text(start int) (int, *Error) {
	src := p.src
	var flags Flags
	i := start
	if c := src[i]; c == '\n' || c == ' ' { // mostly the end of a line and an indent, and nothing else
		for i++; i+8 <= len(src); i += 8 {
			if x := word(src, i) ^ ' '*ones; x != 0 {
				i += stop(x)
				break
			}
		}
		if i < len(src) && src[i] == '<' {
			p.push(Text, Blank, start, i)
			return i, nil
		}
	}
	for i < len(src) && spaceTable[src[i]] {
		if src[i] == '\r' {
			flags |= Decode
		}
		i++
	}
	blank := true
scan:
	for i < len(src) {
		if from := i; !p.ef {
			for i+8 <= len(src) {
				if m := textStops(word(src, i)); m != 0 {
					i += stop(m)
					break
				}
				i += 8
			}
			blank = blank && i == from
		}
		if i >= len(src) {
			break
		}
		switch c := src[i]; textTable[c] {
		case clSpecial: // '<'
			break scan
		case clSpace:
			if c == '\r' {
				flags |= Decode
			}
			i++
		case clAmp:
			end, r, err := p.reference(i)
			if err != nil {
				return i, err
			}
			blank = blank && isSpaceRune(r)
			flags |= Decode
			for i = end; i < len(src) && spaceTable[src[i]]; i++ {
			}
		case clGreater:
			flags |= Greater
			blank = false
			i++
		case clBracket:
			if hasPrefixAt(src, i, "]]>") {
				return i, fail(CodeCDEnd, i, "]]> in text; write ]]&gt;")
			}
			blank = false
			i++
		case clHigh:
			if err := p.checkHigh(i); err != nil {
				return i, err
			}
			blank = false
			i++
		case clBad:
			return i, badChar(src, i)
		default:
			blank = false
			i++
		}
	}
	if blank {
		flags |= Blank
	} else {
		p.t.Tokens[p.t.open[len(p.t.open)-1]].Flags |= HasText
	}
	p.push(Text, flags, start, i)
	return i, nil
}

// token adds a token, all zero.
func (t *Tape) token() *Token {
	n := len(t.Tokens)
	if n == cap(t.Tokens) {
		t.Tokens = append(t.Tokens, Token{})
		return &t.Tokens[n]
	}
	t.Tokens = t.Tokens[:n+1]
	tok := &t.Tokens[n]
	*tok = Token{}
	return tok
}

// push adds a token that is no tag. Tokens are written field by field where
// they are to stay: a literal would be put together elsewhere and copied in wide
// moves, each of which has to wait for the narrow ones.
func (p *parser) push(kind Kind, flags Flags, off, end int) {
	tok := p.t.token()
	tok.Kind, tok.Flags, tok.Depth = kind, flags, uint16(len(p.t.open))
	tok.Off, tok.End, tok.Scope = uint32(off), uint32(end), p.scope
}

// checkHigh refuses U+FFFE and U+FFFF; the byte at i is 0xEF and the text is valid UTF-8.
func (p *parser) checkHigh(i int) *Error {
	if p.src[i+1] == 0xbf && p.src[i+2] >= 0xbe {
		return badChar(p.src, i)
	}
	return nil
}

func badChar(src []byte, i int) *Error {
	r, _ := utf8.DecodeRune(src[i:])
	return fail(CodeChar, i, "character U+%04X is not allowed in XML", r)
}

// checkChars refuses the characters that XML forbids in a run without markup.
func (p *parser) checkChars(from, to int) *Error {
	for i := from; i < to; i++ {
		switch textTable[p.src[i]] {
		case clBad:
			return badChar(p.src, i)
		case clHigh:
			if err := p.checkHigh(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// cdata reads [18] CDSect.
func (p *parser) cdata(i int) (int, *Error) {
	from := i + len("<![CDATA[")
	n := bytes.Index(p.src[from:], []byte("]]>"))
	if n < 0 {
		return i, fail(CodeCData, i, "a CDATA section that is never closed")
	}
	to := from + n
	if err := p.checkChars(from, to); err != nil {
		return i, err
	}
	var flags Flags
	value := p.src[from:to]
	if bytes.IndexByte(value, '\r') >= 0 {
		flags |= Decode
	}
	if skipSpace(value, 0) == len(value) {
		flags |= Blank
	} else {
		p.t.Tokens[p.t.open[len(p.t.open)-1]].Flags |= HasText
	}
	end := to + len("]]>")
	p.push(CData, flags, i, end)
	return end, nil
}

// comment reads [15] Comment.
func (p *parser) comment(i int) (int, *Error) {
	from := i + len("<!--")
	n := bytes.Index(p.src[from:], []byte("--"))
	if n < 0 {
		return i, fail(CodeComment, i, "a comment that is never closed")
	}
	to := from + n
	if to-from > p.t.lim.ValueLen {
		return i, fail(CodeLimitValue, i, "a comment of more than %d bytes", p.t.lim.ValueLen)
	}
	if to+2 >= len(p.src) || p.src[to+2] != '>' {
		return i, fail(CodeComment, to, "-- inside a comment")
	}
	if err := p.checkChars(from, to); err != nil {
		return i, err
	}
	if len(p.t.Tokens) >= p.t.lim.Tokens {
		return i, fail(CodeLimitTokens, i, "more than %d pieces of markup and text", p.t.lim.Tokens)
	}
	p.push(Comment, 0, i, to+3)
	return to + 3, nil
}

// pi reads [16] PI. Its target is an NCName other than "xml".
func (p *parser) pi(i int) (int, *Error) {
	nameEnd, prefix, err := p.qname(i + 2)
	if err != nil {
		return i, err
	}
	target := p.src[i+2 : nameEnd]
	if prefix > 0 {
		return i, fail(CodePI, i, "a colon in the target %s of a processing instruction", quote(target))
	}
	if bytes.EqualFold(target, []byte("xml")) {
		return i, fail(CodeDeclaration, i, "an XML declaration may stand only at the very start of the document")
	}
	n := bytes.Index(p.src[nameEnd:], []byte("?>"))
	if n < 0 {
		return i, fail(CodePI, i, "a processing instruction that is never closed")
	}
	to := nameEnd + n
	if n > 0 && !spaceTable[p.src[nameEnd]] {
		return i, fail(CodePI, nameEnd, "no space after the target %s of a processing instruction", quote(target))
	}
	if n > p.t.lim.ValueLen {
		return i, fail(CodeLimitValue, i, "a processing instruction of more than %d bytes", p.t.lim.ValueLen)
	}
	if err := p.checkChars(nameEnd, to); err != nil {
		return i, err
	}
	if len(p.t.Tokens) >= p.t.lim.Tokens {
		return i, fail(CodeLimitTokens, i, "more than %d pieces of markup and text", p.t.lim.Tokens)
	}
	p.push(PI, 0, i, to+2)
	p.t.Tokens[len(p.t.Tokens)-1].NameLen = uint16(len(target))
	return to + 2, nil
}

// endTag reads [42] ETag and closes the element.
func (p *parser) endTag(i int) (int, *Error) {
	t := p.t
	start := t.open[len(t.open)-1]
	st := &t.Tokens[start]
	name := p.src[st.Off+1 : st.Off+1+uint32(st.NameLen)]
	j := i + 2
	if len(p.src)-j <= len(name) || !bytes.Equal(p.src[j:j+len(name)], name) || nameTable[p.src[j+len(name)]] != 0 {
		return i, p.mismatch(i, name)
	}
	j += len(name)
	if p.src[j] != '>' {
		if j = skipSpace(p.src, j); j >= len(p.src) || p.src[j] != '>' {
			return i, fail(CodeTag, i, "the end tag of %s is not closed by >", quote(name))
		}
	}
	p.close(start, i, j+1)
	return j + 1, nil
}

func (p *parser) mismatch(i int, open []byte) *Error {
	end, _, err := p.qname(i + 2)
	if err != nil {
		return err
	}
	return fail(CodeMismatch, i, "end tag of %s where %s is open", quote(p.src[i+2:end]), quote(open))
}

// close writes the End token of an open element and takes its declarations out of force.
func (p *parser) close(start int32, off, end int) {
	t := p.t
	tok := t.token()
	st := &t.Tokens[start]
	st.Match = int32(len(t.Tokens) - 1)
	tok.Kind, tok.PrefixLen, tok.NameLen, tok.Depth = End, st.PrefixLen, st.NameLen, st.Depth
	tok.Off, tok.End, tok.Name, tok.Match, tok.Scope = uint32(off), uint32(end), st.Name, start, st.Scope
	if st.NDecl > 0 {
		for k := int(st.NDecl) - 1; k >= 0; k-- {
			d := &t.Decls[int(st.Decl)+k]
			t.prefixes[d.prefix].decl = d.shadowed
		}
		p.scope = t.Decls[st.Decl].Outer
		p.inside -= int(st.NDecl)
	}
	t.open = t.open[:len(t.open)-1]
}

// startTag reads [40] STag or [44] EmptyElemTag: first the attributes as
// written, then, with all declarations known, the names.
func (p *parser) startTag(i int) (int, *Error) {
	t := p.t
	j, tag, err := p.tagName(i + 1)
	if err != nil {
		return i, err
	}
	if len(t.open) >= t.lim.Depth {
		return i, fail(CodeLimitDepth, i, "elements nested deeper than %d", t.lim.Depth)
	}
	if j >= len(p.src) || p.src[j] != '>' {
		return p.fullTag(i, j, tag)
	}
	// Most tags have no attributes.
	name := tag.name
	if name == 0 || t.prefixes[tag.prefix].decl != tag.decl {
		if name, err = p.elementName(tag, i+1, j); err != nil {
			return i, err
		}
	}
	depth := len(t.open)
	t.open = append(t.open, int32(len(t.Tokens)))
	tok := t.token()
	tok.Kind, tok.PrefixLen, tok.NameLen, tok.Depth = Start, tag.prefixLen, tag.len, uint16(depth)
	tok.Off, tok.End, tok.Name, tok.Scope = uint32(i), uint32(j+1), name, p.scope
	tok.Attr, tok.Decl = uint32(len(t.Attrs)), uint32(len(t.Decls))
	return j + 1, nil
}

// fullTag reads a start tag from the end of its name at j, with what it may have
// before its ">".
func (p *parser) fullTag(i, j int, tag *tagName) (_ int, err *Error) {
	t, src := p.t, p.src
	nameEnd, attr, decl := j, len(t.Attrs), len(t.Decls)
	var flags Flags
	p.expected = &tag.attr
	for j >= len(src) || src[j] != '>' {
		k := skipSpace(src, j)
		if k >= len(src) {
			return i, fail(CodeTag, i, "the document ends inside the tag of %s", quote(src[i+1:nameEnd]))
		}
		if c := src[k]; c == '>' {
			j = k
			break
		} else if c == '/' {
			if k+1 >= len(src) || src[k+1] != '>' {
				return i, fail(CodeTag, k, "/ inside a tag is not followed by >")
			}
			flags = SelfClosing
			j = k + 1
			break
		}
		if k == j {
			return i, fail(CodeAttribute, k, "no space before an attribute, or a character that may not stand in a tag")
		}
		if n := len(t.Attrs) - attr + len(t.Decls) - decl; n >= t.lim.Attrs {
			return i, fail(CodeLimitAttrs, k, "more than %d attributes in one element", t.lim.Attrs)
		}
		if j, err = p.attribute(k); err != nil {
			return i, err
		}
	}
	j++
	if len(t.Decls) > decl {
		if err := p.declare(decl); err != nil {
			return i, err
		}
	}
	name, err := p.elementName(tag, i+1, nameEnd)
	if err != nil {
		return i, err
	}
	if len(t.Attrs) > attr {
		if err := p.attributeNames(t.Attrs[attr:]); err != nil {
			return i, err
		}
	}
	t.open = append(t.open, int32(len(t.Tokens)))
	tok := t.token()
	tok.Kind, tok.Flags, tok.PrefixLen, tok.NameLen = Start, flags, tag.prefixLen, tag.len
	tok.NAttr, tok.NDecl, tok.Depth = uint16(len(t.Attrs)-attr), uint16(len(t.Decls)-decl), uint16(len(t.open)-1)
	tok.Off, tok.End, tok.Name, tok.Attr, tok.Decl, tok.Scope = uint32(i), uint32(j), name, uint32(attr), uint32(decl), p.scope
	if flags&SelfClosing != 0 {
		p.close(int32(len(t.Tokens)-1), j, j)
	}
	return j, nil
}

// attribute reads [41] Attribute and files it as attribute or declaration.
func (p *parser) attribute(i int) (int, *Error) {
	src := p.src
	nameEnd, tag, err := p.attrName(i)
	if err != nil {
		return i, err
	}
	j := nameEnd
	if j >= len(src) || src[j] != '=' {
		j = skipSpace(src, nameEnd)
	}
	if j >= len(src) || src[j] != '=' {
		return i, fail(CodeAttribute, i, "attribute %s has no value", quote(src[i:nameEnd]))
	}
	if j++; j < len(src) && src[j] != '"' {
		j = skipSpace(src, j)
	}
	if j >= len(src) || (src[j] != '"' && src[j] != '\'') {
		return i, fail(CodeAttribute, i, "the value of attribute %s is not in quotes", quote(src[i:nameEnd]))
	}
	from := j + 1
	to, flags, err := p.attrValue(from, src[j])
	if err != nil {
		return i, err
	}
	t := p.t
	switch prefix := int(tag.prefixLen); {
	case prefix == 0 && string(src[i:nameEnd]) == "xmlns":
		t.Decls = append(t.Decls, Decl{Flags: flags, PrefixOff: uint32(i), ValOff: uint32(from), ValEnd: uint32(to)})
	case prefix == 5 && string(src[i:i+5]) == "xmlns":
		t.Decls = append(t.Decls, Decl{Flags: flags, PrefixOff: uint32(i + 6), PrefixLen: uint16(nameEnd - i - 6), ValOff: uint32(from), ValEnd: uint32(to)})
	default:
		n := len(t.Attrs)
		if n == cap(t.Attrs) {
			t.Attrs = append(t.Attrs, Attr{})
		}
		t.Attrs = t.Attrs[:n+1]
		a := &t.Attrs[n]
		a.Flags, a.PrefixLen, a.NameLen, a.Name = flags, tag.prefixLen, tag.len, tag.name
		a.Off, a.ValOff, a.ValEnd = uint32(i), uint32(from), uint32(to)
	}
	return to + 1, nil
}

// attrValue reads [10] AttValue up to its quote.
func (p *parser) attrValue(from int, quoteChar byte) (end int, flags Flags, err *Error) {
	src := p.src
	i := from
	quotes := uint64(quoteChar) * ones
	for {
		if !p.ef {
			for i+8 <= len(src) {
				if m := valueStops(word(src, i), quotes); m != 0 {
					i += stop(m)
					break
				}
				i += 8
			}
		}
		for i < len(src) && attrTable[src[i]] == 0 {
			i++
		}
		if i >= len(src) {
			return i, 0, fail(CodeAttribute, from, "an attribute value that is never closed")
		}
		switch attrTable[src[i]] {
		case clQuote:
			if src[i] == quoteChar {
				if i-from > p.t.lim.ValueLen {
					return i, 0, fail(CodeLimitValue, from, "an attribute value of more than %d bytes", p.t.lim.ValueLen)
				}
				return i, flags, nil
			}
			i++
		case clSpecial:
			return i, 0, fail(CodeAttribute, i, "< in an attribute value; write &lt;")
		case clSpace:
			flags |= Decode
			i++
		case clAmp:
			if i, _, err = p.reference(i); err != nil {
				return i, 0, err
			}
			flags |= Decode
		case clHigh:
			if err := p.checkHigh(i); err != nil {
				return i, 0, err
			}
			i++
		default:
			return i, 0, badChar(src, i)
		}
	}
}

// maxReference is the length of a reference with & and ;, beyond which it is
// refused: the longest useful one is &#x10FFFF; and some senders pad with zeros.
const maxReference = 16

// reference reads [67] Reference: one of the five entities or a character reference.
func (p *parser) reference(i int) (end int, r rune, err *Error) {
	window := p.src[i:min(len(p.src), i+maxReference)]
	n := bytes.IndexByte(window, ';')
	if n < 0 {
		if len(window) == maxReference && bytes.HasPrefix(window, []byte("&#")) {
			return i, 0, fail(CodeLimitReference, i, "a character reference of more than %d characters", maxReference)
		}
		return i, 0, fail(CodeReference, i, "& begins no reference; write &amp;")
	}
	r, ok := decodeReference(window[1:n])
	if !ok {
		return i, 0, fail(CodeReference, i, "%s is none of the five predefined entities and no reference to an XML character", quote(window[:n+1]))
	}
	return i + n + 1, r, nil
}

// quote makes a short, printable quotation of bytes of the document for a message.
func quote(b []byte) string {
	const most = 40
	if len(b) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(b[cut]) {
			cut--
		}
		return fmt.Sprintf("%+q…", b[:cut])
	}
	s := fmt.Sprintf("%q", b)
	return s
}
