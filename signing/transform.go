package signing

import (
	"bytes"
	"io"
	"slices"

	"mezhved/envelopes/xmltape"
)

// TransformURI names the SMEV transform (MR 3.3, appendix 1; MR 3.5).
const TransformURI = "urn://smev-gov-ru/xmldsig/transform"

// Form is one of the two octet forms that the SMEV transform has in the field.
// The standard gives the transform as a StAX program; what it writes depends on
// the StAX library below it, and the two differ in escaping.
type Form uint8

const (
	// Woodstox is the form of the reference since MR 3.5, and the one that is
	// signed with.
	Woodstox Form = iota
	// JDK is what the same program writes over the JDK's own StAX (SJSXP): every
	// ">" escaped, carriage returns lost, blank pieces of a text dropped where
	// its scanner happens to split it. It splits at the ends of its reads too:
	// the first, of 31 bytes, is modelled; the later ones, 8 KiB apart, are
	// not, so a text whose blank run straddles one of them is not recognised.
	JDK
)

// canonicalForm is the Form of what was digested without the SMEV transform.
const canonicalForm Form = 255

// String is "woodstox", "jdk" or, for signatures outside the SMEV profile, "canonical".
func (f Form) String() string {
	switch f {
	case Woodstox:
		return "woodstox"
	case JDK:
		return "jdk"
	}
	return "canonical"
}

// Transform writes the octets that a SMEV signature digests for the element:
// exclusive canonicalisation (comments left out) followed by the SMEV transform,
// in one walk over the tape. Content for which the Woodstox form is not
// defined, an element without a namespace or an attribute of the xml namespace,
// is an *Error with code Unsignable; the JDK form writes for it what the JDK
// writes.
func Transform(w io.Writer, element xmltape.Node, form Form) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return s.smev.run(w, element, form)
}

// smevEmitter is the scratch of one transform. The prefixes table is indexed by
// SpaceID; an entry is live while an element that declared it is open.
type smevEmitter struct {
	out    sink
	prefix []smevPrefix
	undo   []xmltape.SpaceID // declared by the open elements, innermost last
	marks  []uint32          // len(undo) when each open element began
	attrs  []uint32          // attributes of one element in output order
	text   []byte            // a text that is made of several tokens
	value  []byte            // a decoded value
	next   counter
	form   Form
	head   *canonEmitter // of the JDK form: the beginning of the canonical document
	plain  bool          // no DEL and no C1 control anywhere in the range
}

// smevPrefix is the text of an allocated prefix with its colon ("ns12:"); n is 0 when
// the namespace has none now.
type smevPrefix struct {
	text [14]byte
	n    uint8
	name uint8 // what writing the namespace name takes; uriUnknown at first
}

const (
	uriUnknown = iota
	uriPlain   // nothing to escape
	uriEscaped
)

func (e *smevEmitter) run(w io.Writer, element xmltape.Node, form Form) error {
	if !element.Valid() {
		return &Error{Code: NoSignature, Detail: "no element to transform"}
	}
	t := element.Tape()
	e.out.reset(w)
	e.form = form
	e.next.reset()
	if n := t.NumSpaces(); cap(e.prefix) < n {
		e.prefix = make([]smevPrefix, n)
	} else {
		e.prefix = e.prefix[:n]
		clear(e.prefix)
	}
	e.undo, e.marks = e.undo[:0], e.marks[:0]
	e.plain = form == JDK || !hasC1(element.Bytes())

	src := t.Source()
	first := element.Index()
	last := int(element.Token().Match)
	gathered := 0 // token at which the text in e.text began; 0: there is none
	if form == JDK {
		e.jdkHead(element)
	}
	for i := first; i <= last; i++ {
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			if gathered > 0 {
				e.textValue(e.text, gathered)
				gathered = 0
			}
			if err := e.start(t, src, i, tok); err != nil {
				return err
			}
			e.out.room()
		case xmltape.End:
			if gathered > 0 {
				e.textValue(e.text, gathered)
				gathered = 0
			}
			e.end(t, src, tok)
		case xmltape.Text, xmltape.CData:
			// A text before a tag is whole; anything else may have to be joined
			// with what follows a comment or CDATA section.
			if k := t.Tokens[i+1].Kind; gathered == 0 && (k == xmltape.Start || k == xmltape.End) {
				if tok.Flags&xmltape.Blank != 0 {
					continue
				}
				if tok.Kind == xmltape.Text && form == Woodstox && e.plain && e.woodstoxRaw(src[tok.Off:tok.End], tok.Flags&xmltape.Decode != 0) {
					continue
				}
				e.textValue(e.charData(t, tok), i)
				continue
			}
			if gathered == 0 {
				e.text = e.text[:0]
				gathered = i
			}
			e.text = append(e.text, e.charData(t, tok)...)
		case xmltape.PI:
			if gathered > 0 {
				e.textValue(e.text, gathered)
				gathered = 0
			}
		}
	}
	return e.out.close()
}

// charData gives the value of a text token, in e.value where it had to be decoded.
func (e *smevEmitter) charData(t *xmltape.Tape, tok *xmltape.Token) []byte {
	v := t.CharData(tok, e.value[:0])
	if tok.Flags&xmltape.Decode != 0 {
		e.value = v
	}
	return v
}

func (e *smevEmitter) start(t *xmltape.Tape, src []byte, i int, tok *xmltape.Token) error {
	space := t.Space(tok.Name)
	if space == xmltape.NoSpace && e.form == Woodstox {
		return refuse(Unsignable, t.NodeAt(i), "element in no namespace: the SMEV transform is not defined for it")
	}
	e.marks = append(e.marks, uint32(len(e.undo)))
	out := append(e.out.buf, '<')
	p := &e.prefix[space]
	fresh := p.n == 0
	if fresh {
		e.allocate(space)
	}
	out = append(out, p.text[:p.n]...)
	local := localOf(src, tok.Off+1, tok.PrefixLen, tok.NameLen)
	if !fresh && tok.End == tok.Off+2+uint32(tok.NameLen) {
		// "<p:local>" needs nothing but its prefix changed.
		e.out.buf = append(out, local[:len(local)+1]...)
		return nil
	}
	out = append(out, local...)
	if fresh {
		out = e.declare(out, t, space)
	}
	if tok.NAttr == 0 {
		e.out.buf = append(out, '>')
		return nil
	}
	e.attrs = e.attrs[:0]
	for a := tok.Attr; a < tok.Attr+uint32(tok.NAttr); a++ {
		e.attrs = append(e.attrs, a)
	}
	if len(e.attrs) > 1 {
		e.sortAttrs(t)
	}
	// All declarations come first, so prefixes are allocated before any
	// attribute is written.
	for _, a := range e.attrs {
		space := t.Space(t.Attrs[a].Name)
		if space == xmltape.NoSpace {
			break // these are last
		}
		if space == xmltape.XMLSpace && e.form == Woodstox {
			return refuse(Unsignable, t.NodeAt(i), "attribute of the xml namespace: the SMEV transform is not defined for it")
		}
		if e.prefix[space].n == 0 {
			e.allocate(space)
			out = e.declare(out, t, space)
		}
	}
	for _, ai := range e.attrs {
		a := &t.Attrs[ai]
		out = append(out, ' ')
		if space := t.Space(a.Name); space != xmltape.NoSpace {
			p := &e.prefix[space]
			out = append(out, p.text[:p.n]...)
		}
		out = append(out, localOf(src, a.Off, a.PrefixLen, a.NameLen)...)
		out = append(out, '=', '"')
		if a.Flags&xmltape.Decode == 0 && e.form == Woodstox && src[a.ValOff-1] == '"' {
			out = append(out, src[a.ValOff:a.ValEnd]...)
		} else {
			v := t.AttrValue(a, e.value[:0])
			if a.Flags&xmltape.Decode != 0 {
				e.value = v
			}
			out = e.attrValue(out, v)
		}
		out = append(out, '"')
	}
	e.out.buf = append(out, '>')
	return nil
}

func (e *smevEmitter) end(t *xmltape.Tape, src []byte, tok *xmltape.Token) {
	p := &e.prefix[t.Space(tok.Name)]
	start := &t.Tokens[tok.Match]
	out := append(e.out.buf, '<', '/')
	out = append(out, p.text[:p.n]...)
	local := localOf(src, start.Off+1, start.PrefixLen, start.NameLen)
	if start.End == start.Off+2+uint32(start.NameLen) {
		e.out.buf = append(out, local[:len(local)+1]...) // the start tag's ">" is as good
	} else {
		e.out.buf = append(append(out, local...), '>')
	}
	top := len(e.marks) - 1
	mark := int(e.marks[top])
	e.marks = e.marks[:top]
	if len(e.undo) == mark {
		return
	}
	for _, space := range e.undo[mark:] {
		e.prefix[space].n = 0
	}
	e.undo = e.undo[:mark]
}

// allocate gives a namespace the next prefix; numbers never come back.
func (e *smevEmitter) allocate(space xmltape.SpaceID) {
	p := &e.prefix[space]
	p.n = e.next.increment(&p.text)
	e.undo = append(e.undo, space)
}

// counter counts in decimal, because that is how its numbers are used.
type counter struct {
	digits [10]byte // right-aligned
	from   uint8
}

func (c *counter) reset() { *c = counter{from: uint8(len(c.digits))} }

// increment counts on and writes "ns", the number and a colon to text; it gives the length.
func (c *counter) increment(text *[14]byte) uint8 {
	i := len(c.digits) - 1
	for ; i >= int(c.from) && c.digits[i] == '9'; i-- {
		c.digits[i] = '0'
	}
	if i < int(c.from) {
		c.from = uint8(i)
		c.digits[i] = '0'
	}
	c.digits[i]++
	text[0], text[1] = 'n', 's'
	n := 2 + copy(text[2:], c.digits[c.from:])
	text[n] = ':'
	return uint8(n + 1)
}

func (e *smevEmitter) declare(out []byte, t *xmltape.Tape, space xmltape.SpaceID) []byte {
	p := &e.prefix[space]
	out = append(out, " xmlns:"...)
	out = append(out, p.text[:p.n-1]...)
	out = append(out, '=', '"')
	uri := t.SpaceURI(space)
	if p.name == uriUnknown {
		p.name = uriPlain
		if bytes.ContainsAny(uri, "<>&\"\t\r\n") {
			p.name = uriEscaped
		}
	}
	if p.name == uriPlain {
		out = append(out, uri...)
	} else {
		out = e.attrValue(out, uri)
	}
	return append(out, '"')
}

// sortAttrs puts qualified attributes first, by namespace name and local part,
// then unqualified ones by local part.
func (e *smevEmitter) sortAttrs(t *xmltape.Tape) {
	compare := func(x, y uint32) int {
		nx, ny := t.Attrs[x].Name, t.Attrs[y].Name
		sx, sy := t.Space(nx), t.Space(ny)
		switch {
		case sx == sy:
		case sx == xmltape.NoSpace:
			return 1
		case sy == xmltape.NoSpace:
			return -1
		default:
			return compareUTF16(t.SpaceURI(sx), t.SpaceURI(sy))
		}
		return compareUTF16(t.Local(nx), t.Local(ny))
	}
	if len(e.attrs) > 12 {
		slices.SortFunc(e.attrs, compare)
		return
	}
	for i := 1; i < len(e.attrs); i++ {
		for j := i; j > 0 && compare(e.attrs[j], e.attrs[j-1]) < 0; j-- {
			e.attrs[j], e.attrs[j-1] = e.attrs[j-1], e.attrs[j]
		}
	}
}

// textValue writes one text that began with token i, unless it is blank.
func (e *smevEmitter) textValue(v []byte, i int) {
	if e.form == JDK {
		e.jdkText(v, e.jdkCut(v, i))
		return
	}
	if !blank(v) {
		e.woodstoxText(v)
	}
}

// jdkFirstRead is where the JDK's reader ends its first read of the canonical
// document: three bytes in which it looks for a byte order mark, and 28 for an
// XML declaration.
const jdkFirstRead = 31

// jdkHead canonicalises the beginning of the element, to see where the first
// read ends; mostly that is inside its start tag.
func (e *smevEmitter) jdkHead(element xmltape.Node) {
	if e.head == nil {
		e.head = new(canonEmitter)
	}
	e.head.limit = jdkFirstRead
	e.head.run(io.Discard, Subset{Element: element}, Exclusive)
}

// jdkCut finds the end of the first read in a text that began with token i; -1
// when it is not there.
func (e *smevEmitter) jdkCut(v []byte, i int) int {
	for _, at := range e.head.offsets {
		if int(at.token) != i {
			continue
		}
		canonical := int(at.offset)
		for k, c := range v {
			if canonical >= jdkFirstRead && c&0xc0 != 0x80 {
				return k
			}
			switch c {
			case '&', '\r':
				canonical += 5
			case '<', '>':
				canonical += 4
			default:
				canonical++
			}
		}
	}
	return -1
}

func (e *smevEmitter) attrValue(out, v []byte) []byte {
	if e.form == JDK {
		return appendJDKAttr(out, v)
	}
	return appendWoodstoxAttr(out, v)
}

// localOf gives the local part of a QName as written at off.
func localOf(src []byte, off uint32, prefixLen, nameLen uint16) []byte {
	from := off
	if prefixLen > 0 {
		from += uint32(prefixLen) + 1
	}
	return src[from : off+uint32(nameLen)]
}

// blank is Java's String.trim().isEmpty(): no character above U+0020.
func blank(v []byte) bool {
	for _, c := range v {
		if c > ' ' {
			return false
		}
	}
	return true
}

// hasC1 reports whether DEL or a C1 control stands literally in b.
func hasC1(b []byte) bool {
	if bytes.IndexByte(b, 0x7f) >= 0 {
		return true
	}
	for i := 0; ; {
		k := bytes.IndexByte(b[i:], 0xc2)
		if k < 0 || i+k+1 >= len(b) {
			return false
		}
		if i += k + 1; b[i] < 0xa0 {
			return true
		}
	}
}

// compareUTF16 orders UTF-8 strings as Java orders them, by UTF-16 code units:
// characters beyond U+FFFF come before U+E000-U+FFFF.
func compareUTF16(a, b []byte) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0) {
			x, y = y, x
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}
