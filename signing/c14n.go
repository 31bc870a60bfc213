package signing

import (
	"bytes"
	"io"
	"slices"

	"mezhved/envelopes/xmltape"
)

// C14N is a canonicalisation of the W3C.
type C14N uint8

// The canonicalisations. Exclusive XML Canonicalization 1.0 is the one that the
// SMEV profile uses; the others serve tools and foreign documents.
const (
	Exclusive C14N = iota + 1
	ExclusiveWithComments
	Inclusive10
	Inclusive10WithComments
	Inclusive11
	Inclusive11WithComments
)

var c14nURIs = [...]string{
	Exclusive:               "http://www.w3.org/2001/10/xml-exc-c14n#",
	ExclusiveWithComments:   "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
	Inclusive10:             "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
	Inclusive10WithComments: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
	Inclusive11:             "http://www.w3.org/2006/12/xml-c14n11",
	Inclusive11WithComments: "http://www.w3.org/2006/12/xml-c14n11#WithComments",
}

// URI is the algorithm identifier.
func (c C14N) URI() string { return c14nURIs[c] }

func (c C14N) exclusive() bool { return c == Exclusive || c == ExclusiveWithComments }
func (c C14N) comments() bool {
	return c == ExclusiveWithComments || c == Inclusive10WithComments || c == Inclusive11WithComments
}
func (c C14N) eleven() bool { return c == Inclusive11 || c == Inclusive11WithComments }

// C14NByURI finds a canonicalisation by its algorithm identifier.
func C14NByURI(uri string) (C14N, bool) {
	for c := Exclusive; c <= Inclusive11WithComments; c++ {
		if c14nURIs[c] == uri {
			return c, true
		}
	}
	return 0, false
}

// Subset says which nodes of the document are canonicalised.
type Subset struct {
	Element  xmltape.Node  // the apex
	Document *xmltape.Tape // the whole document with what stands outside its root, when Element is not valid
	Without  xmltape.Node  // left out, as the enveloped-signature transform has it; may be invalid
	Prefixes []string      // InclusiveNamespaces PrefixList of the exclusive method; "#default" or "" is the default namespace
}

// Canonicalize writes the canonical form of the subset.
func Canonicalize(w io.Writer, subset Subset, method C14N) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	return s.c14n.run(w, subset, method)
}

// canonEmitter is the scratch of one canonicalisation.
type canonEmitter struct {
	out    sink
	method C14N
	bound  []canonPrefix // every prefix met in this run
	index  map[string]int32
	undo   []canonUndo // bindings written by the open elements, innermost last
	marks  []uint32    // len(undo) when each open element began
	decls  []int32     // into bound: to be declared on this element
	attrs  []uint32    // attributes of this element in output order
	value  []byte
	base   []byte  // the fixed-up xml:base of a C14N 1.1 apex
	listed []int32 // into bound: the PrefixList

	// With a limit the run ends behind the token that reaches so many bytes, and
	// offsets tells where each token's form begins.
	limit   int
	offsets []canonOffset
}

type canonOffset struct{ token, offset int32 }

// canonPrefix is a prefix and the namespace that the nearest written ancestor
// binds to it; NoSpace: none, or, for the empty prefix, no default namespace.
type canonPrefix struct {
	text    []byte // of the source
	written xmltape.SpaceID
	list    bool // in the PrefixList
}

type canonUndo struct {
	prefix int32
	was    xmltape.SpaceID
}

// baseAttr stands in canonEmitter.attrs for the fixed-up xml:base.
const baseAttr = ^uint32(0)

func (e *canonEmitter) run(w io.Writer, sub Subset, method C14N) error {
	t := sub.Document
	if sub.Element.Valid() {
		t = sub.Element.Tape()
	}
	if t == nil || !t.Root().Valid() {
		return &Error{Code: NoSignature, Detail: "nothing to canonicalise"}
	}
	e.reset(w, t.Source(), method, sub.Prefixes)
	skipFrom, skipTo := -1, -1
	if sub.Without.Valid() {
		skipFrom, skipTo = sub.Without.Index(), int(sub.Without.Token().Match)
	}
	first, last := 0, len(t.Tokens)-1
	root := t.Root().Index()
	if sub.Element.Valid() {
		root = sub.Element.Index()
		first, last = root, int(sub.Element.Token().Match)
	}
	rootEnd := int(t.Tokens[root].Match)
	src := t.Source()
	for i := first; i <= last; i++ {
		if i == skipFrom {
			i = skipTo
			continue
		}
		if e.limit > 0 {
			if e.out.total() >= e.limit {
				break
			}
			e.offsets = append(e.offsets, canonOffset{int32(i), int32(e.out.total())})
		}
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			e.start(t, src, i, tok, i == root)
		case xmltape.End:
			e.end(t, src, tok)
		case xmltape.Text, xmltape.CData:
			if i < root || i > rootEnd {
				continue
			}
			if tok.Kind == xmltape.Text && tok.Flags&(xmltape.Decode|xmltape.Greater) == 0 {
				e.out.keep(int(tok.Off), int(tok.End))
				continue
			}
			if tok.Kind == xmltape.Text && tok.Flags&xmltape.Greater == 0 && e.rawText(tok) {
				continue
			}
			e.out.release()
			v := t.CharData(tok, e.value[:0])
			if tok.Flags&xmltape.Decode != 0 {
				e.value = v
			}
			e.text(v)
		case xmltape.Comment:
			if method.comments() {
				e.outside(i, root, rootEnd, func() { e.lines(src[tok.Off:tok.End]) })
			}
		case xmltape.PI:
			e.outside(i, root, rootEnd, func() { e.instruction(src[tok.Off:tok.End], int(tok.NameLen)) })
		}
		e.out.room()
	}
	return e.out.close()
}

func (e *canonEmitter) reset(w io.Writer, src []byte, method C14N, prefixes []string) {
	e.out.reset(w, src)
	e.method = method
	e.offsets = e.offsets[:0]
	e.bound, e.undo, e.marks = e.bound[:0], e.undo[:0], e.marks[:0]
	if e.index == nil {
		e.index = map[string]int32{}
	}
	clear(e.index)
	e.listed = e.listed[:0]
	if method.exclusive() {
		for _, p := range prefixes {
			if p == "#default" {
				p = ""
			}
			k := e.intern([]byte(p))
			if !e.bound[k].list {
				e.bound[k].list = true
				e.listed = append(e.listed, k)
			}
		}
	}
}

// intern gives the index of a prefix in e.bound.
func (e *canonEmitter) intern(p []byte) int32 {
	// Documents use a handful of prefixes; the map is for those who do not.
	for i := range min(len(e.bound), 8) {
		if string(e.bound[i].text) == string(p) {
			return int32(i)
		}
	}
	if len(e.bound) >= 8 {
		if k, ok := e.index[string(p)]; ok {
			return k
		}
		e.index[string(p)] = int32(len(e.bound))
	}
	e.bound = append(e.bound, canonPrefix{text: p})
	return int32(len(e.bound) - 1)
}

// bind notes that prefix k has to be declared here if no ancestor's declaration
// already says the same.
func (e *canonEmitter) bind(k int32, space xmltape.SpaceID) {
	b := &e.bound[k]
	if b.written == space {
		return
	}
	e.undo = append(e.undo, canonUndo{k, b.written})
	b.written = space
	e.decls = append(e.decls, k)
}

func (e *canonEmitter) start(t *xmltape.Tape, src []byte, i int, tok *xmltape.Token, apex bool) {
	e.marks = append(e.marks, uint32(len(e.undo)))
	e.decls = e.decls[:0]
	e.attrs = e.attrs[:0]
	for a := tok.Attr; a < tok.Attr+uint32(tok.NAttr); a++ {
		e.attrs = append(e.attrs, a)
	}
	if e.method.exclusive() {
		e.utilised(t, src, tok, apex)
	} else {
		e.inScope(t, tok, apex)
		if apex {
			e.inherit(t, i)
		}
	}
	if len(e.decls) > 1 {
		slices.SortFunc(e.decls, func(x, y int32) int { return bytes.Compare(e.bound[x].text, e.bound[y].text) })
	}
	if len(e.attrs) > 1 {
		slices.SortFunc(e.attrs, func(x, y uint32) int { return compareAttrs(t, x, y) })
	}
	e.out.keep(int(tok.Off), int(tok.Off)+1+int(tok.NameLen))
	if len(e.decls) > 0 {
		e.out.release()
	}
	for _, k := range e.decls {
		b := &e.bound[k]
		out := append(e.out.buf, " xmlns"...)
		if len(b.text) > 0 {
			out = append(out, ':')
			out = append(out, b.text...)
		}
		out = append(out, '=', '"')
		if uri := t.SpaceURI(b.written); bytes.ContainsAny(uri, "<&\"\r\n\t") {
			out = appendCanonAttr(out, uri)
		} else {
			out = append(out, uri...)
		}
		e.out.buf = append(out, '"')
	}
	for _, ai := range e.attrs {
		e.attribute(t, ai)
	}
	if end := int(tok.End); end == e.out.to+1 {
		e.out.keep(e.out.to, end)
	} else {
		e.out.release()
		e.out.buf = append(e.out.buf, '>')
		e.out.from, e.out.to = end, end
	}
}

// attribute writes an attribute, as it stands where that is canonical.
func (e *canonEmitter) attribute(t *xmltape.Tape, ai uint32) {
	if ai == baseAttr {
		e.out.release()
		out := append(e.out.buf, ` xml:base="`...)
		e.out.buf = append(appendCanonAttr(out, e.base), '"')
		return
	}
	a := &t.Attrs[ai]
	from, nameEnd := int(a.Off), int(a.Off)+int(a.NameLen)
	if e.out.src[from-1] == ' ' {
		from--
	} else {
		e.out.release()
		e.out.buf = append(e.out.buf, ' ')
	}
	asWritten := a.Flags&xmltape.Decode == 0 && e.out.src[a.ValOff-1] == '"'
	if asWritten && int(a.ValOff) == nameEnd+len(`="`) {
		e.out.keep(from, int(a.ValEnd)+1)
		return
	}
	e.out.keep(from, nameEnd)
	e.out.release()
	e.out.buf = append(e.out.buf, '=', '"')
	if asWritten {
		e.out.keep(int(a.ValOff), int(a.ValEnd)+1)
		return
	}
	v := t.AttrValue(a, e.value[:0])
	if a.Flags&xmltape.Decode != 0 {
		e.value = v
	}
	e.out.buf = append(appendCanonAttr(e.out.buf, v), '"')
}

// utilised finds the declarations of the exclusive method: prefixes that the
// element or its attributes use, and those of the PrefixList.
func (e *canonEmitter) utilised(t *xmltape.Tape, src []byte, tok *xmltape.Token, apex bool) {
	p := src[tok.Off+1 : tok.Off+1+uint32(tok.PrefixLen)]
	if space := t.Space(tok.Name); space != xmltape.XMLSpace {
		e.bind(e.intern(p), space)
	}
	for _, ai := range e.attrs {
		a := &t.Attrs[ai]
		if a.PrefixLen == 0 {
			continue
		}
		if space := t.Space(a.Name); space != xmltape.XMLSpace {
			e.bind(e.intern(src[a.Off:a.Off+uint32(a.PrefixLen)]), space)
		}
	}
	switch {
	case len(e.listed) == 0:
	case apex:
		for _, k := range e.listed {
			if space, ok := t.LookupPrefix(tok.Scope, e.bound[k].text); ok && space != xmltape.XMLSpace {
				e.bind(k, space)
			}
		}
	default:
		for d := tok.Decl; d < tok.Decl+uint32(tok.NDecl); d++ {
			k := e.intern(t.DeclPrefix(&t.Decls[d]))
			if e.bound[k].list && t.Decls[d].Space != xmltape.XMLSpace {
				e.bind(k, t.Decls[d].Space)
			}
		}
	}
}

// inScope finds the declarations of the inclusive methods.
func (e *canonEmitter) inScope(t *xmltape.Tape, tok *xmltape.Token, apex bool) {
	if !apex {
		for d := tok.Decl; d < tok.Decl+uint32(tok.NDecl); d++ {
			if s := t.Decls[d].Space; s != xmltape.XMLSpace {
				e.bind(e.intern(t.DeclPrefix(&t.Decls[d])), s)
			}
		}
		return
	}
	for d := tok.Scope; d >= 0; d = t.Decls[d].Outer {
		before := len(e.bound)
		k := e.intern(t.DeclPrefix(&t.Decls[d]))
		if int(k) < before {
			continue // an inner declaration hides this one
		}
		if s := t.Decls[d].Space; s != xmltape.XMLSpace {
			e.bind(k, s)
		}
	}
}

// inherit adds the attributes of the xml namespace that an apex takes from the
// ancestors that are left out: all of them in 1.0; xml:lang and xml:space, and
// xml:base resolved along the way, in 1.1.
func (e *canonEmitter) inherit(t *xmltape.Tape, i int) {
	have := func(n xmltape.NameID) bool {
		for _, a := range e.attrs {
			if a != baseAttr && t.Attrs[a].Name == n {
				return true
			}
		}
		return false
	}
	var bases []uint32 // xml:base attributes, innermost first
	own := len(e.attrs)
	for a := range own {
		if t.Is(t.Attrs[e.attrs[a]].Name, xmltape.XMLURI, "base") {
			bases = append(bases, e.attrs[a])
		}
	}
	ownBase := len(bases)
	for p := t.NodeAt(i).Parent(); p.Valid(); p = p.Parent() {
		tok := p.Token()
		for a := tok.Attr; a < tok.Attr+uint32(tok.NAttr); a++ {
			n := t.Attrs[a].Name
			if t.Space(n) != xmltape.XMLSpace {
				continue
			}
			switch local := string(t.Local(n)); {
			case !e.method.eleven():
				if !have(n) {
					e.attrs = append(e.attrs, a)
				}
			case local == "base":
				bases = append(bases, a)
			case local == "lang" || local == "space":
				if !have(n) {
					e.attrs = append(e.attrs, a)
				}
			}
		}
	}
	if !e.method.eleven() || len(bases) == ownBase {
		return
	}
	e.base = e.base[:0]
	for k := len(bases) - 1; k >= 0; k-- {
		ref := t.AttrValue(&t.Attrs[bases[k]], nil)
		e.base = append(e.base[:0], joinURI(string(e.base), string(ref))...)
	}
	if ownBase == 1 {
		e.attrs = slices.DeleteFunc(e.attrs, func(a uint32) bool { return a == bases[0] })
	}
	if len(e.base) > 0 {
		e.attrs = append(e.attrs, baseAttr)
	}
}

func (e *canonEmitter) end(t *xmltape.Tape, src []byte, tok *xmltape.Token) {
	if tok.End == tok.Off+3+uint32(tok.NameLen) {
		e.out.keep(int(tok.Off), int(tok.End))
	} else {
		start := &t.Tokens[tok.Match]
		e.out.release()
		out := append(e.out.buf, '<', '/')
		out = append(out, src[start.Off+1:start.Off+1+uint32(start.NameLen)]...)
		e.out.buf = append(out, '>')
	}
	top := len(e.marks) - 1
	mark := int(e.marks[top])
	e.marks = e.marks[:top]
	for k := len(e.undo) - 1; k >= mark; k-- {
		u := e.undo[k]
		e.bound[u.prefix].written = u.was
	}
	e.undo = e.undo[:mark]
}

// rawText writes a text from its source, where it has no reference but those
// that stay as they are, and quotation marks. It tells whether it did.
func (e *canonEmitter) rawText(tok *xmltape.Token) bool {
	from, end := int(tok.Off), int(tok.End)
	raw := e.out.src[from:end]
	if bytes.IndexByte(raw, '\r') >= 0 {
		return false
	}
	for i := bytes.IndexByte(raw, '&'); i < len(raw); i++ {
		if _, ok := canonReference(raw[i:]); !ok {
			return false
		}
		next := bytes.IndexByte(raw[i+1:], '&')
		if next < 0 {
			break
		}
		i += next
	}
	for {
		i := bytes.IndexByte(e.out.src[from:end], '&')
		if i < 0 {
			e.out.keep(from, end)
			return true
		}
		kept, _ := canonReference(e.out.src[from+i : end])
		e.out.keep(from, from+i+kept)
		from += i + kept
		if kept == 0 {
			e.out.release()
			c := byte('"')
			if e.out.src[from+1] == 'a' {
				c = '\''
			}
			e.out.buf = append(e.out.buf, c)
			e.out.room()
			from += len("&quot;")
		}
	}
}

// canonReference is certainReference for the canonical form, which keeps "&gt;" too.
func canonReference(b []byte) (kept int, ok bool) {
	if len(b) >= 4 && string(b[:4]) == "&gt;" {
		return 4, true
	}
	return certainReference(b)
}

// text escapes character data.
func (e *canonEmitter) text(v []byte) {
	from := 0
	for i := 0; i < len(v); i++ {
		var ref string
		switch v[i] {
		case '<':
			ref = "&lt;"
		case '>':
			ref = "&gt;"
		case '&':
			ref = "&amp;"
		case '\r':
			ref = "&#xD;"
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

// outside writes a comment or instruction with the line feed that stands
// between it and the root when it is outside.
func (e *canonEmitter) outside(i, root, rootEnd int, write func()) {
	e.out.release()
	if i > rootEnd {
		e.out.buf = append(e.out.buf, '\n')
	}
	write()
	if i < root {
		e.out.buf = append(e.out.buf, '\n')
	}
}

// instruction writes a processing instruction: target, one space, data.
func (e *canonEmitter) instruction(raw []byte, targetLen int) {
	e.out.piece(raw[:2+targetLen])
	data := raw[2+targetLen : len(raw)-2]
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) > 0 {
		e.out.buf = append(e.out.buf, ' ')
		e.lines(data)
	}
	e.out.buf = append(e.out.buf, '?', '>')
}

// lines writes bytes with line ends normalised.
func (e *canonEmitter) lines(b []byte) {
	for {
		k := bytes.IndexByte(b, '\r')
		if k < 0 {
			e.out.piece(b)
			return
		}
		e.out.piece(b[:k])
		e.out.buf = append(e.out.buf, '\n')
		e.out.room()
		b = b[k+1:]
		if len(b) > 0 && b[0] == '\n' {
			b = b[1:]
		}
	}
}

// compareAttrs orders attributes by namespace name, none first, then local part.
func compareAttrs(t *xmltape.Tape, x, y uint32) int {
	sx, lx := attrKey(t, x)
	sy, ly := attrKey(t, y)
	if sx != sy {
		return bytes.Compare(t.SpaceURI(sx), t.SpaceURI(sy))
	}
	return bytes.Compare(lx, ly)
}

func attrKey(t *xmltape.Tape, a uint32) (xmltape.SpaceID, []byte) {
	if a == baseAttr {
		return xmltape.XMLSpace, []byte("base")
	}
	n := t.Attrs[a].Name
	return t.Space(n), t.Local(n)
}

// appendCanonAttr escapes an attribute value or namespace name.
func appendCanonAttr(out, v []byte) []byte {
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
			ref = "&#xD;"
		case '\n':
			ref = "&#xA;"
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
