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
	defer s.release()
	return s.smev.run(w, element, form)
}

// smevEmitter is the scratch of one transform. The prefixes table is indexed by
// SpaceID; an entry is live while an element that declared it is open.
type smevEmitter struct {
	out    sink
	prefix []smevPrefix
	names  []byte     // of the namespaces that have been declared, as they are written
	undo   []smevUndo // prefixes of the open elements, innermost last
	keys   []uint64   // by NameID: attrKey, 0 when not known
	attrs  []uint32   // attributes of one element in output order
	text   []byte     // a text that is made of several tokens
	value  []byte     // a decoded value
	next   counter
	form   Form
	head   *canonEmitter // of the JDK form: the beginning of the canonical document
	plain  bool          // no DEL and no C1 control anywhere in the range
}

// smevPrefix is an allocated prefix as a start tag and an end tag begin with it,
// "<ns12:" and "</ns12:"; n is the length of "ns12:", or 0 when the namespace has
// none now.
type smevPrefix struct {
	start, end [16]byte
	n          uint8
	name       uint32 // of the namespace, in smevEmitter.names, once it has been written
	nameLen    uint32 // with the quotation mark behind it
}

// text is the prefix with its colon.
func (p *smevPrefix) text() []byte { return p.start[1 : 1+p.n] }

// smevUndo is a namespace to which the element that is open at a depth gave a prefix.
type smevUndo struct {
	space xmltape.SpaceID
	depth uint16
}

func (e *smevEmitter) run(w io.Writer, element xmltape.Node, form Form) error {
	if !element.Valid() {
		return &Error{Code: NoSignature, Detail: "no element to transform"}
	}
	t := element.Tape()
	e.out.reset(w, t.Source())
	e.form = form
	e.next.reset()
	if n := t.NumSpaces(); cap(e.prefix) < n {
		e.prefix = make([]smevPrefix, n)
	} else {
		e.prefix = e.prefix[:n]
		clear(e.prefix)
	}
	if n := t.NumNames(); cap(e.keys) < n {
		e.keys = make([]uint64, n)
	} else {
		e.keys = e.keys[:n]
		clear(e.keys)
	}
	e.names, e.undo = e.names[:0], e.undo[:0]
	e.plain = form == JDK || !hasC1(element.Bytes())

	first := element.Index()
	last := int(element.Token().Match)
	gathered := 0 // token at which the text in e.text began; 0: there is none
	if form == JDK {
		e.jdkHead(element)
	}
	tokens, raw := t.Tokens[:last+1], form == Woodstox && e.plain
	for i := first; i < len(tokens); i++ {
		tok := &tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			if gathered > 0 {
				e.textValue(e.text, gathered)
				gathered = 0
			}
			if err := e.start(t, i, tok); err != nil {
				e.out.src = nil // the scratch outlives the document
				return err
			}
		case xmltape.End:
			if gathered > 0 {
				e.textValue(e.text, gathered)
				gathered = 0
			}
			e.end(t, tok)
		case xmltape.Text, xmltape.CData:
			// A text before a tag is whole; anything else may have to be joined
			// with what follows a comment or CDATA section.
			if k := tokens[i+1].Kind; gathered == 0 && (k == xmltape.Start || k == xmltape.End) {
				if tok.Flags&xmltape.Blank != 0 {
					continue
				}
				if raw && tok.Kind == xmltape.Text {
					if tok.Flags&(xmltape.Greater|xmltape.Decode) == 0 {
						e.out.keep(int(tok.Off), int(tok.End))
						continue
					}
					if e.woodstoxRaw(tok) {
						continue
					}
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

func (e *smevEmitter) start(t *xmltape.Tape, i int, tok *xmltape.Token) error {
	space := t.Space(tok.Name)
	if space == xmltape.NoSpace && e.form == Woodstox {
		return refuse(Unsignable, t.NodeAt(i), "element in no namespace: the SMEV transform is not defined for it")
	}
	p := &e.prefix[space]
	fresh := p.n == 0
	if fresh {
		e.allocate(space, tok.Depth)
	}
	local := int(tok.Off) + 1 // where the local part begins
	if tok.PrefixLen > 0 {
		local += int(tok.PrefixLen) + 1
	}
	nameEnd := int(tok.Off) + 1 + int(tok.NameLen)
	if !fresh && int(tok.End) == nameEnd+1 {
		e.out.tag(&p.start, 1+int(p.n), local, nameEnd+1) // nothing but the prefix changes
		return nil
	}
	e.out.tag(&p.start, 1+int(p.n), local, nameEnd)
	if fresh {
		e.out.release()
		e.declare(t, space)
	}
	if tok.NAttr > 0 {
		if err := e.attributes(t, i, tok); err != nil {
			return err
		}
	}
	if end := int(tok.End); end == e.out.to+1 {
		e.out.keep(e.out.to, end)
	} else {
		e.out.release()
		e.out.buf = append(e.out.buf, '>')
		e.out.room()
		e.out.from, e.out.to = end, end
	}
	return nil
}

// attributes writes the attributes of a start tag, and the declarations that
// they need.
func (e *smevEmitter) attributes(t *xmltape.Tape, i int, tok *xmltape.Token) error {
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
			e.allocate(space, tok.Depth)
			e.out.release()
			e.declare(t, space)
		}
	}
	for _, ai := range e.attrs {
		a := &t.Attrs[ai]
		from, nameEnd := int(a.Off), int(a.Off)+int(a.NameLen)
		if space := t.Space(a.Name); space != xmltape.NoSpace {
			e.out.release()
			e.out.buf = append(append(e.out.buf, ' '), e.prefix[space].text()...)
			if a.PrefixLen > 0 {
				from += int(a.PrefixLen) + 1
			}
		} else if e.out.src[from-1] == ' ' {
			from--
		} else {
			e.out.release()
			e.out.buf = append(e.out.buf, ' ')
		}
		asWritten := a.Flags&xmltape.Decode == 0 && e.form == Woodstox && e.out.src[a.ValOff-1] == '"'
		if asWritten && int(a.ValOff) == nameEnd+len(`="`) {
			e.out.keep(from, int(a.ValEnd)+1)
			continue
		}
		e.out.keep(from, nameEnd)
		e.out.release()
		e.out.buf = append(e.out.buf, '=', '"')
		if asWritten {
			e.out.keep(int(a.ValOff), int(a.ValEnd)+1)
			continue
		}
		v := t.AttrValue(a, e.value[:0])
		if a.Flags&xmltape.Decode != 0 {
			e.value = v
		}
		e.out.buf = append(e.attrValue(e.out.buf, v), '"')
		e.out.room()
	}
	return nil
}

func (e *smevEmitter) end(t *xmltape.Tape, tok *xmltape.Token) {
	p := &e.prefix[t.Space(tok.Name)]
	at := tok.Off + 2
	if tok.End == tok.Off {
		at = t.Tokens[tok.Match].Off + 1 // of a self-closing tag
	}
	nameEnd := int(at) + int(tok.NameLen)
	local := int(at)
	if tok.PrefixLen > 0 {
		local += int(tok.PrefixLen) + 1
	}
	if int(tok.End) == nameEnd+1 {
		e.out.tag(&p.end, 2+int(p.n), local, nameEnd+1)
	} else {
		e.out.tag(&p.end, 2+int(p.n), local, nameEnd)
		e.out.release()
		e.out.buf = append(e.out.buf, '>')
		e.out.from, e.out.to = int(tok.End), int(tok.End)
	}
	n := len(e.undo)
	for n > 0 && e.undo[n-1].depth == tok.Depth {
		n--
		e.prefix[e.undo[n].space].n = 0
	}
	e.undo = e.undo[:n]
}

// allocate gives a namespace the next prefix; numbers never come back.
func (e *smevEmitter) allocate(space xmltape.SpaceID, depth uint16) {
	p := &e.prefix[space]
	p.start, p.end, p.n = e.next.start, e.next.end, e.next.n
	e.next.increment()
	e.undo = append(e.undo, smevUndo{space, depth})
}

// counter is the prefix that comes next. It counts in decimal, because that is
// how its numbers are used, and behind the use: what has just been written byte
// by byte is slow to copy. Ten digits have room, and no document that many prefixes.
type counter struct {
	start, end [16]byte // as in smevPrefix
	n          uint8
}

func (c *counter) reset() {
	*c = counter{n: uint8(len("ns1:"))}
	copy(c.start[:], "<ns1:")
	copy(c.end[:], "</ns1:")
}

func (c *counter) increment() {
	const first = len("<ns")
	i := int(c.n) - 1 // the last digit, in start
	for ; i >= first && c.start[i] == '9'; i-- {
		c.start[i], c.end[i+1] = '0', '0'
	}
	if i >= first {
		c.start[i]++
		c.end[i+1]++
		return
	}
	c.start[first], c.end[first+1] = '1', '1'
	c.n++
	n := int(c.n)
	c.start[n-1], c.start[n] = '0', ':'
	c.end[n], c.end[n+1] = '0', ':'
}

// declare writes the declaration of a prefix that has just been allocated.
func (e *smevEmitter) declare(t *xmltape.Tape, space xmltape.SpaceID) {
	p := &e.prefix[space]
	if p.nameLen == 0 {
		p.name = uint32(len(e.names))
		e.names = append(e.attrValue(e.names, t.SpaceURI(space)), '"')
		p.nameLen = uint32(len(e.names)) - p.name
		e.names = append(e.names, make([]byte, short)...) // to be copied with it
	}
	name := e.names[p.name : p.name+p.nameLen+short]
	const begin = " xmlns:ns"
	need := len(begin) + len(p.start) + len(name) + short
	if len(e.out.buf)+need > cap(e.out.buf) {
		e.out.flush()
		e.out.buf = slices.Grow(e.out.buf, need)
	}
	k := len(e.out.buf)
	dst := e.out.buf[k : k+need]
	// "<ns12:" with its "<" where the colon of xmlns: comes, and the beginning over it.
	*(*[16]byte)(dst[len(begin)-len("<ns"):]) = p.start
	copy(dst, begin)
	n := len(begin) - len("ns") + int(p.n)
	dst[n-1], dst[n] = '=', '"'
	n++
	for from := 0; from < int(p.nameLen); from += short {
		copyShort((*[short]byte)(dst[n+from:]), (*[short]byte)(name[from:]), int(p.nameLen)-from)
	}
	e.out.buf = e.out.buf[:k+n+int(p.nameLen)]
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
	if len(e.attrs) > smevFew {
		slices.SortFunc(e.attrs, compare)
		return
	}
	// Most attributes are unqualified and differ in their first letters.
	var keys [smevFew]uint64
	for i, a := range e.attrs {
		key := e.attrKey(t, t.Attrs[a].Name)
		j := i
		for ; j > 0; j-- {
			if before := keys[j-1]; key == noKey || before == noKey || key == before {
				if compare(a, e.attrs[j-1]) >= 0 {
					break
				}
			} else if key > before {
				break
			}
			keys[j], e.attrs[j] = keys[j-1], e.attrs[j-1]
		}
		keys[j], e.attrs[j] = key, a
	}
}

// smevFew is the number of attributes beyond which they are sorted by the library.
const smevFew = 12

// noKey is the sort key of a name that has to be compared as such.
const noKey = 1

// attrKey gives the beginning of an unqualified name as a number, in the order
// of compareUTF16.
func (e *smevEmitter) attrKey(t *xmltape.Tape, name xmltape.NameID) uint64 {
	if key := e.keys[name]; key != 0 {
		return key
	}
	key := uint64(noKey)
	if t.Space(name) == xmltape.NoSpace {
		local := t.Local(name)
		for i := range 8 {
			key <<= 8
			if i < len(local) {
				key |= uint64(local[i])
			}
			if key&0xff >= 0xee {
				key = noKey
				break
			}
		}
	}
	e.keys[name] = key
	return key
}

// textValue writes one text that began with token i, unless it is blank.
func (e *smevEmitter) textValue(v []byte, i int) {
	e.out.release()
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
