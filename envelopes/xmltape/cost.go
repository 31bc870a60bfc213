package xmltape

import (
	"bytes"
	"unsafe"
)

// What an entry of each table takes. Tables that grow by doubling may stand in
// memory twice while they do.
const (
	tokenSize  = int(unsafe.Sizeof(Token{}))
	attrSize   = int(unsafe.Sizeof(Attr{}))
	declSize   = int(unsafe.Sizeof(Decl{}))
	nameCost   = 2*int(unsafe.Sizeof(nameEntry{})) + 8 + 40
	spaceCost  = 2*int(unsafe.Sizeof(spaceEntry{})) + 40
	prefixCost = 2*int(unsafe.Sizeof(prefixEntry{})) + 40

	fixedCost = int(unsafe.Sizeof(memory{})) + 4*maxDecoded + 32<<10
)

// maxDecoded bounds the namespace names that cannot be taken as they are written.
const maxDecoded = 16 << 10

// countedFrom is the size from which the tags that close themselves are counted:
// below it the count costs more than the memory is worth.
const countedFrom = 256 << 10

// measure is how many entries the tables of a document can need at most.
type measure struct{ tokens, attrs, decls, names int }

// measureOf counts what no entry can do without: a token of markup begins with
// "<", a text ends before one, an element that closes itself has one token more;
// an attribute has its "=" and its element, a declaration its "xmlns".
func measureOf(src []byte, lim Limits) measure {
	tags, equals := bytes.Count(src, []byte("<")), bytes.Count(src, []byte("="))
	closed := tags
	if len(src) >= countedFrom {
		closed = bytes.Count(src, []byte("/>"))
	}
	equals = min(equals, tags*lim.Attrs)
	decls := equals
	if decls > 64 {
		decls = min(decls, bytes.Count(src, []byte("xmlns")))
	}
	return measure{
		tokens: min(2*tags+closed, lim.Tokens) + 4,
		attrs:  equals,
		decls:  min(decls, lim.TotalDecls+lim.Attrs),
		names:  min(tags+equals, lim.Names+1),
	}
}

// bytes is a bound of the memory that a tape takes for the document, known before
// any of it is taken: markup can make tables many times as large as itself.
func (m measure) bytes() int {
	return m.tokens*tokenSize + m.attrs*attrSize + m.decls*(declSize+spaceCost+prefixCost) + m.names*nameCost + fixedCost
}

// Size is the memory that the tape's tables hold now, whatever is on them.
func (t *Tape) Size() int {
	return cap(t.Tokens)*tokenSize + cap(t.Attrs)*attrSize + cap(t.Decls)*declSize +
		cap(t.names)*int(unsafe.Sizeof(nameEntry{})) + cap(t.spaces)*int(unsafe.Sizeof(spaceEntry{})) + cap(t.prefixes)*int(unsafe.Sizeof(prefixEntry{})) +
		4*(cap(t.nameTab)+cap(t.spaceTab)+cap(t.prefixTab)+cap(t.seen)+cap(t.open)) +
		cap(t.scratch)
}

// room makes the large tables as large as they can become, so that they never
// move: what a table left behind would be held as well until it is collected.
func (t *Tape) room(m measure) {
	if cap(t.Tokens) < m.tokens {
		t.Tokens = make([]Token, 0, m.tokens)
	}
	if cap(t.Attrs) < m.attrs {
		t.Attrs = make([]Attr, 0, m.attrs)
	}
	if cap(t.Decls) < m.decls {
		t.Decls = make([]Decl, 0, m.decls)
	}
}
