package xmltape

import "sync"

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens. A self-closing element gives a Start and an End token;
// the End then is empty (Off == End of its Start).
const (
	Start Kind = iota + 1
	End
	Text    // character data between markup, raw in [Off,End)
	CData   // a CDATA section with its delimiters in [Off,End)
	Comment // with its delimiters
	PI      // a processing instruction with its delimiters
)

// Flags describe a token or attribute value.
type Flags uint8

const (
	// Decode: the raw bytes differ from the value (references, CR, or, in an
	// attribute, literal white space to be normalised).
	Decode Flags = 1 << iota
	// Blank: the value of a Text or CData is white space only (#x20, #x9, #xD, #xA),
	// references decoded.
	Blank
	// SelfClosing: a Start token written as <a/>.
	SelfClosing
	// HasText: somewhere directly in this element there is a non-blank Text or CData.
	HasText
	// Greater: a Text in which ">" stands as it is; canonical forms write it otherwise.
	Greater
)

// NameID identifies an expanded name within one tape; 0 is no name. IDs are
// dense from 1 in order of first appearance: a reader may cache per ID.
type NameID uint32

// SpaceID identifies a namespace name within one tape.
type SpaceID uint32

// The fixed namespaces of every tape.
const (
	NoSpace    SpaceID = 0 // no namespace
	XMLSpace   SpaceID = 1 // http://www.w3.org/XML/1998/namespace
	XMLNSSpace SpaceID = 2 // http://www.w3.org/2000/xmlns/
)

// URIs of the fixed namespaces.
const (
	XMLURI   = "http://www.w3.org/XML/1998/namespace"
	XMLNSURI = "http://www.w3.org/2000/xmlns/"
)

// Token is one piece of markup or text. Offsets are bytes of the source.
type Token struct {
	Kind      Kind
	Flags     Flags
	PrefixLen uint16 // Start, End: length of the prefix without colon; 0: none
	NameLen   uint16 // Start, End: length of the QName as written; PI: of the target
	NAttr     uint16 // Start: number of attributes, at Tape.Attrs[Attr:]
	NDecl     uint16 // Start: number of namespace declarations, at Tape.Decls[Decl:]
	Depth     uint16 // elements open round this token (root: 0)
	Off, End  uint32 // the token as written, delimiters included
	Name      NameID // Start, End
	Match     int32  // Start: index of its End; End: index of its Start
	Attr      uint32
	Decl      uint32
	Scope     int32 // Start: innermost namespace declaration in scope (index into Tape.Decls), its own included; -1: none
}

// Attr is one attribute that is not a namespace declaration, in document order.
type Attr struct {
	Flags          Flags
	PrefixLen      uint16
	NameLen        uint16 // of the QName
	Name           NameID
	Off            uint32 // of the QName
	ValOff, ValEnd uint32 // raw value between the quotes
}

// Decl is one namespace declaration.
type Decl struct {
	Flags          Flags
	PrefixLen      uint16 // 0: the default namespace
	PrefixOff      uint32
	ValOff, ValEnd uint32
	Space          SpaceID // NoSpace: xmlns="" undeclares the default namespace
	Outer          int32   // the next declaration outwards in scope; -1: none
	prefix         int32   // index of the prefix in the tape's table
	shadowed       int32   // the declaration of the same prefix that this one hides; -1: none
}

// Tape is a parsed document: tokens in document order and their tables. The
// exported slices are to be read only.
type Tape struct {
	Tokens []Token
	Attrs  []Attr
	Decls  []Decl

	src    []byte
	root   int32
	names  []nameEntry
	spaces []spaceEntry

	nameTab   []uint32 // open addressing; index into names, 0: free
	spaceTab  []uint32
	prefixTab []uint32
	prefixes  []prefixEntry
	seen      []uint32 // per NameID: serial of the element on which it was last an attribute
	serial    uint32
	open      []int32 // Start tokens of the open elements
	scratch   []byte  // decoded namespace names
	lim       Limits
}

type nameEntry struct {
	space SpaceID
	off   uint32 // local part
	len   uint32
	hash  uint32
}

type spaceEntry struct {
	uri  []byte
	hash uint32
}

// memory is what a parser remembers of the names that it has met: a fixed number of
// them, found by hash, the younger driving out the older. Nothing depends on it but
// speed. It is the parser's and not the tape's: a tape is held for as long as its call is
// answered, a memory for a few microseconds, so the next document finds it in the
// processor's caches still.
type memory struct {
	document  uint32                   // counts documents: what bears another number is of the past
	tags      [rememberedNames]tagName // of start tags
	attrNames [rememberedNames]tagName // of attributes and declarations
}

const rememberedNames = 256 // a power of two

var memories = sync.Pool{New: func() any { return new(memory) }}

// begin makes what is remembered that of documents before.
func (m *memory) begin() {
	if m.document++; m.document == 0 { // wrapped: old entries could look new
		*m = memory{document: 1}
	}
}

// tagName is a name as it was written before in a start tag, and what came of it. Of a
// document before it is the name alone that holds, and what mostly follows it.
type tagName struct {
	first, mask uint64 // its first eight bytes
	document    uint32 // 0: there is no name
	len         uint16
	prefixLen   uint16
	next        uint32 // index of the name of its kind that followed
	attr        uint32 // of a start tag: index of its first attribute
	at          uint32 // where it stood last
	prefix      int32  // index into prefixes
	decl        int32  // the declaration of the prefix that was in force
	name        NameID // 0: not resolved yet
	text        [rememberedBytes]byte
}

// rememberedBytes is how long a name may be to be known again. Longer ones are read anew
// each time.
const rememberedBytes = 40

type prefixEntry struct {
	off, len uint32
	hash     uint32
	decl     int32 // in force now; -1: none
}

// Source is the parsed input, a byte order mark included.
func (t *Tape) Source() []byte { return t.src }

// Root is the document element. It is invalid before the first successful Parse.
func (t *Tape) Root() Node {
	if t == nil || len(t.Tokens) == 0 {
		return Node{}
	}
	return Node{t, t.root}
}

// NodeAt gives the element whose Start token has index i.
func (t *Tape) NodeAt(i int) Node {
	if i < 0 || i >= len(t.Tokens) || t.Tokens[i].Kind != Start {
		return Node{}
	}
	return Node{t, int32(i)}
}

// NumNames is one more than the highest NameID.
func (t *Tape) NumNames() int { return len(t.names) }

// NumSpaces is one more than the highest SpaceID.
func (t *Tape) NumSpaces() int { return len(t.spaces) }

// Space gives the namespace of a name.
func (t *Tape) Space(n NameID) SpaceID { return t.names[n].space }

// SpaceURI gives a namespace name; it is empty for NoSpace. The bytes belong to the tape.
func (t *Tape) SpaceURI(s SpaceID) []byte { return t.spaces[s].uri }

// Local gives the local part of a name. The bytes belong to the source.
func (t *Tape) Local(n NameID) []byte {
	e := &t.names[n]
	return t.src[e.off : e.off+e.len]
}

// NameHash is a hash over namespace and local part, the same in every tape of
// this process for the same name.
func (t *Tape) NameHash(n NameID) uint32 { return t.names[n].hash }

// Is reports whether the name is {space}local.
func (t *Tape) Is(n NameID, space, local string) bool {
	return n != 0 && string(t.Local(n)) == local && string(t.SpaceURI(t.names[n].space)) == space
}

// LookupName finds the NameID of {space}local in this document; 0 when the name does not occur.
func (t *Tape) LookupName(space, local string) NameID {
	s, _, ok := t.findSpace([]byte(space))
	if !ok {
		return 0
	}
	return t.findName(s, []byte(local))
}

// AttrName gives prefix and local part of an attribute as written.
func (t *Tape) AttrName(a *Attr) (prefix, local []byte) {
	q := t.src[a.Off : a.Off+uint32(a.NameLen)]
	return splitQName(q, int(a.PrefixLen))
}

// QName gives prefix and local part of a Start token's name as written.
func (t *Tape) QName(tok *Token) (prefix, local []byte) {
	q := t.src[tok.Off+1 : tok.Off+1+uint32(tok.NameLen)]
	return splitQName(q, int(tok.PrefixLen))
}

func splitQName(q []byte, prefixLen int) (prefix, local []byte) {
	if prefixLen == 0 {
		return nil, q
	}
	return q[:prefixLen], q[prefixLen+1:]
}

// DeclPrefix gives the prefix that a declaration binds, empty for the default namespace.
func (t *Tape) DeclPrefix(d *Decl) []byte {
	return t.src[d.PrefixOff : d.PrefixOff+uint32(d.PrefixLen)]
}

// AttrValue gives the value of an attribute, references decoded and white space
// normalised as XML 1.0 section 3.3.3 has it for CDATA attributes. When nothing
// needs decoding the result is a slice of the source; else the value is
// appended to buf.
func (t *Tape) AttrValue(a *Attr, buf []byte) []byte {
	raw := t.src[a.ValOff:a.ValEnd]
	if a.Flags&Decode == 0 {
		return raw
	}
	return appendAttrValue(buf, raw)
}

// CharData gives the value of a Text or CData token: references decoded, line
// ends normalised. When nothing needs decoding the result is a slice of the
// source; else the value is appended to buf.
func (t *Tape) CharData(tok *Token, buf []byte) []byte {
	raw := t.src[tok.Off:tok.End]
	if tok.Kind == CData {
		raw = raw[len("<![CDATA[") : len(raw)-len("]]>")]
	}
	if tok.Flags&Decode == 0 {
		return raw
	}
	if tok.Kind == CData {
		return appendLines(buf, raw)
	}
	return appendText(buf, raw)
}

// LookupPrefix resolves a prefix in the scope of a Start token. The empty
// prefix resolves to the default namespace, NoSpace when there is none; any
// other unbound prefix gives false.
func (t *Tape) LookupPrefix(scope int32, prefix []byte) (SpaceID, bool) {
	for i := scope; i >= 0; i = t.Decls[i].Outer {
		d := &t.Decls[i]
		if int(d.PrefixLen) == len(prefix) && string(t.DeclPrefix(d)) == string(prefix) {
			return d.Space, true
		}
	}
	switch string(prefix) {
	case "":
		return NoSpace, true
	case "xml":
		return XMLSpace, true
	}
	return NoSpace, false
}
