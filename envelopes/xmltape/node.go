package xmltape

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf8"
)

// Node is an element of a tape. The zero Node is no element: its methods give
// zero values, so that a chain of steps needs one check at its end.
type Node struct {
	t *Tape
	i int32
}

// Valid reports whether there is an element.
func (n Node) Valid() bool { return n.t != nil }

// Tape is the tape the element is on.
func (n Node) Tape() *Tape { return n.t }

// Index is the index of the Start token in Tape.Tokens.
func (n Node) Index() int { return int(n.i) }

// Token is the Start token.
func (n Node) Token() *Token { return &n.t.Tokens[n.i] }

// Name is the expanded name.
func (n Node) Name() NameID {
	if n.t == nil {
		return 0
	}
	return n.t.Tokens[n.i].Name
}

// Is reports whether the element's name is {space}local.
func (n Node) Is(space, local string) bool { return n.t != nil && n.t.Is(n.Name(), space, local) }

// Space is the namespace name.
func (n Node) Space() string {
	if n.t == nil {
		return ""
	}
	return string(n.t.SpaceURI(n.t.Space(n.Name())))
}

// Local is the local part of the name.
func (n Node) Local() string {
	if n.t == nil {
		return ""
	}
	return string(n.t.Local(n.Name()))
}

// Range is the byte range of the element in the source, tags included.
func (n Node) Range() (off, end int) {
	if n.t == nil {
		return 0, 0
	}
	s := &n.t.Tokens[n.i]
	return int(s.Off), int(n.t.Tokens[s.Match].End)
}

// Bytes is the element as written, tags included: a slice of the source.
func (n Node) Bytes() []byte {
	if n.t == nil {
		return nil
	}
	off, end := n.Range()
	return n.t.src[off:end]
}

// Inner is what stands between the tags: a slice of the source.
func (n Node) Inner() []byte {
	if n.t == nil {
		return nil
	}
	s := &n.t.Tokens[n.i]
	if s.Flags&SelfClosing != 0 {
		return nil
	}
	return n.t.src[s.End:n.t.Tokens[s.Match].Off]
}

// Parent is the element round this one; invalid for the root.
func (n Node) Parent() Node {
	if n.t == nil {
		return Node{}
	}
	for i := n.i - 1; i >= 0; i-- {
		switch tok := &n.t.Tokens[i]; tok.Kind {
		case Start:
			return Node{n.t, i}
		case End:
			i = tok.Match
		}
	}
	return Node{}
}

// Elements are those of the document in their order, each with the elements in which it
// stands, the root first; the list is good until the next one. To ask each for its Parent
// would look through all that stands before it: many beside each other would take hours.
func (t *Tape) Elements() iter.Seq2[Node, []Node] {
	return func(yield func(Node, []Node) bool) {
		var round []Node
		for i := range t.Tokens {
			switch t.Tokens[i].Kind {
			case Start:
				n := t.NodeAt(i)
				if !yield(n, round) {
					return
				}
				round = append(round, n)
			case End:
				round = round[:len(round)-1]
			}
		}
	}
}

// First is the first child element.
func (n Node) First() Node {
	if n.t == nil {
		return Node{}
	}
	return n.t.elementFrom(n.i + 1)
}

// Next is the next sibling element.
func (n Node) Next() Node {
	if n.t == nil {
		return Node{}
	}
	return n.t.elementFrom(n.t.Tokens[n.i].Match + 1)
}

func (t *Tape) elementFrom(i int32) Node {
	for ; int(i) < len(t.Tokens); i++ {
		switch t.Tokens[i].Kind {
		case Start:
			return Node{t, i}
		case End:
			return Node{}
		}
	}
	return Node{}
}

// Children goes through the child elements.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		for c := n.First(); c.Valid(); c = c.Next() {
			if !yield(c) {
				return
			}
		}
	}
}

// Child is the first child element named {space}local.
func (n Node) Child(space, local string) Node {
	for c := n.First(); c.Valid(); c = c.Next() {
		if c.Is(space, local) {
			return c
		}
	}
	return Node{}
}

// attr is the attribute {space}local; nil when there is none.
func (n Node) attr(space, local string) *Attr {
	if n.t == nil {
		return nil
	}
	s := &n.t.Tokens[n.i]
	for i := range n.t.Attrs[s.Attr : s.Attr+uint32(s.NAttr)] {
		if a := &n.t.Attrs[int(s.Attr)+i]; n.t.Is(a.Name, space, local) {
			return a
		}
	}
	return nil
}

// Attr gives the value of the attribute {space}local; space is empty for an
// unqualified attribute.
func (n Node) Attr(space, local string) (string, bool) {
	a := n.attr(space, local)
	if a == nil {
		return "", false
	}
	return string(n.t.AttrValue(a, nil)), true
}

// AttrText is the value that Attr gives, empty where the attribute is not there. It may
// be a slice of the source.
func (n Node) AttrText(space, local string) []byte {
	if a := n.attr(space, local); a != nil {
		return n.t.AttrValue(a, nil)
	}
	return nil
}

// Text is the concatenated character data directly in the element, CDATA
// included, comments and processing instructions left out. It may be a slice of
// the source.
func (n Node) Text() []byte {
	if n.t == nil {
		return nil
	}
	var one, all []byte
	pieces := 0
	for i := n.i + 1; ; i++ {
		tok := &n.t.Tokens[i]
		switch tok.Kind {
		case Start:
			i = tok.Match
		case End:
			if pieces <= 1 {
				return one
			}
			return all
		case Text, CData:
			d := n.t.CharData(tok, nil)
			if pieces == 0 {
				one = d
			} else {
				if pieces == 1 {
					all = append(all, one...)
				}
				all = append(all, d...)
			}
			pieces++
		}
	}
}

// TrimText is Text without white space round it.
func (n Node) TrimText() string { return string(n.Trimmed()) }

// Trimmed is TrimText that may be a slice of the source.
func (n Node) Trimmed() []byte {
	b := n.Text()
	for len(b) > 0 && spaceTable[b[0]] {
		b = b[1:]
	}
	for len(b) > 0 && spaceTable[b[len(b)-1]] {
		b = b[:len(b)-1]
	}
	return b
}

// Binding is a namespace declaration in scope.
type Binding struct{ Prefix, URI string }

// InScope lists the namespace declarations in scope at the element, innermost
// first, hidden ones and undeclarations (xmlns="") left out.
func (n Node) InScope() []Binding {
	if n.t == nil {
		return nil
	}
	innermost, most := n.t.Tokens[n.i].Scope, 0
	for i := innermost; i >= 0; i = n.t.Decls[i].Outer {
		most++
	}
	if most == 0 {
		return nil
	}
	var room [512]byte
	texts := room[:0] // of all bindings: they share one string
	out, ends := make([]Binding, 0, most), make([][2]int, 0, 16)
next:
	for i := innermost; i >= 0; i = n.t.Decls[i].Outer {
		d := &n.t.Decls[i]
		if d.Space == NoSpace {
			continue
		}
		prefix := n.t.DeclPrefix(d)
		for j := innermost; j != i; j = n.t.Decls[j].Outer {
			if bytes.Equal(n.t.DeclPrefix(&n.t.Decls[j]), prefix) {
				continue next // hidden
			}
		}
		texts = append(texts, prefix...)
		at := len(texts)
		texts = append(texts, n.t.SpaceURI(d.Space)...)
		ends = append(ends, [2]int{at, len(texts)})
	}
	text, from := string(texts), 0
	for _, e := range ends {
		out, from = append(out, Binding{text[from:e[0]], text[e[0]:e[1]]}), e[1]
	}
	return out
}

// XPath is the path to the element with positions, for messages: names as
// written, a position where a sibling of the same name exists.
func (n Node) XPath() string {
	if n.t == nil {
		return ""
	}
	var chain []Node
	for e := n; e.Valid(); e = e.Parent() {
		chain = append(chain, e)
	}
	var b []byte
	for i := len(chain) - 1; i >= 0; i-- {
		e := chain[i]
		b = append(b, '/')
		b = append(b, n.t.src[e.Token().Off+1:][:e.Token().NameLen]...)
		pos, same := 1, 0
		if i < len(chain)-1 {
			for c := chain[i+1].First(); c.Valid(); c = c.Next() {
				if c.Name() == e.Name() {
					same++
					if c.i < e.i {
						pos++
					}
				}
			}
		}
		if same > 1 {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(pos), 10)
			b = append(b, ']')
		}
	}
	return string(b)
}

// Position gives line and column, both from 1, of a byte offset. Columns count
// characters; a line ends at LF, CR or CRLF.
func (t *Tape) Position(off int) (line, col int) { return position(t.src, off) }

func position(src []byte, off int) (line, col int) {
	off = min(max(off, 0), len(src))
	line, start := 1, 0
	for i := 0; i < off; i++ {
		switch src[i] {
		case '\n':
			line, start = line+1, i+1
		case '\r':
			if i+1 >= len(src) || src[i+1] != '\n' {
				line, start = line+1, i+1
			}
		}
	}
	return line, utf8.RuneCount(src[start:off]) + 1
}
