package signing

import (
	"bytes"
	"io"
	"slices"

	"mezhved/envelopes/xmltape"
)

// plainEmitter is the transform, in the Woodstox form, without a tape: one walk over the
// bytes of a document that is known to be well-formed, namespaces included, because we wrote
// it round what has passed the gate. It does what the form does to nearly all that is
// signed: prefixes are given anew, attributes are put in order, blank texts are left out.
// A document with anything that may want more, such as comments, attributes with a prefix
// or a ">" in a text, is left to those who parse it.
type plainEmitter struct {
	out    sink
	next   counter
	spaces []plainSpace // namespaces that have been declared in the document
	decls  []plainDecl  // declarations in force, the innermost last
	open   []plainOpen  // elements
	attrs  []plainAttr  // of one element, but for declarations
	id     []byte       // of the element that is transformed
	found  bool         // something claims the Id
	from   int          // how many elements are open round that element, while it is open; else -1

	refers, breaks bool // there is a "&" in the document; there is a line feed or tab

	// The prefix that was looked up last, as it stands with its colon, and what it means; nothing
	// is known, to is 0, once a declaration has come or gone.
	known struct{ from, to, space int }
}

// What stands in the document is kept by its place there.
type (
	plainSpace struct {
		from, to int
		prefix   smevPrefix // n is 0 when it has none now
	}
	plainDecl struct {
		from, to int // the prefix
		space    int // in spaces; -1: the default namespace is undeclared
	}
	plainOpen struct {
		from, to int // its name
		local    int // where the local part begins
		space    int
		fresh    bool // it gave the space its prefix
		decls    int  // how many were in force before
	}
	plainAttr struct{ from, local, nameEnd, end int } // end is behind the closing quote
)

// plainFew is how many elements may be open at once, how many declarations in force, and how many
// namespaces there may be and attributes in an element: they are searched one by one.
const plainFew = 64

// run writes the octets of the element with an Id, which nothing else in the document may claim,
// as idIndex has it. When it gives false, what has been written is of no use.
func (e *plainEmitter) run(w io.Writer, doc, id []byte) bool {
	if len(doc) > xmltape.Widest.Size || bytes.IndexByte(doc, '\r') >= 0 || hasC1(doc) {
		return false
	}
	e.out.reset(w, doc)
	e.next.reset()
	e.spaces, e.decls, e.open = e.spaces[:0], e.decls[:0], e.open[:0]
	e.id, e.found, e.from = id, false, -1
	e.refers, e.breaks = bytes.IndexByte(doc, '&') >= 0, bytes.IndexByte(doc, '\n') >= 0 || bytes.IndexByte(doc, '\t') >= 0
	e.known.from, e.known.to = 0, 0
	whole := e.walk(doc)
	e.id = nil
	return e.out.close() == nil && whole
}

func (e *plainEmitter) walk(doc []byte) bool {
	for at := 0; at < len(doc); {
		if doc[at] != '<' {
			n := bytes.IndexByte(doc[at:], '<')
			if n < 0 {
				break
			}
			if e.from >= 0 && !e.text(at, at+n) {
				return false
			}
			at += n
		}
		if at = e.tag(doc, at); at < 0 {
			return false
		}
	}
	return e.found && len(e.open) == 0
}

// text writes a text that stands between two tags.
func (e *plainEmitter) text(from, to int) bool {
	v := e.out.src[from:to]
	if v[0] <= ' ' && blank(v) {
		return true
	}
	if bytes.IndexByte(v, '>') >= 0 {
		return false
	}
	if e.refers && bytes.IndexByte(v, '&') >= 0 {
		return e.out.certain(v)
	}
	e.out.keep(from, to)
	return true
}

// tag reads the tag at a place and gives what is behind it; -1: it is none of those that are
// known here.
func (e *plainEmitter) tag(doc []byte, at int) int {
	if at+1 >= len(doc) {
		return -1
	}
	switch doc[at+1] {
	case '!', '?':
		return -1
	case '/':
		return e.end(doc, at+2)
	}
	return e.start(doc, at+1)
}

func (e *plainEmitter) end(doc []byte, from int) int {
	n := len(e.open) - 1
	if n < 0 {
		return -1
	}
	o := &e.open[n]
	to := from + o.to - o.from
	if to >= len(doc) || doc[to] != '>' || string(doc[from:to]) != string(doc[o.from:o.to]) {
		return -1
	}
	if e.from >= 0 {
		p := &e.spaces[o.space].prefix
		e.out.tag(&p.end, 2+int(p.n), from+o.local-o.from, to+1)
	}
	e.close(o)
	return to + 1
}

// close ends the innermost element.
func (e *plainEmitter) close(o *plainOpen) {
	if o.fresh {
		e.spaces[o.space].prefix.n = 0
	}
	if len(e.decls) != o.decls {
		e.decls = e.decls[:o.decls]
		e.known.from, e.known.to = 0, 0
	}
	e.open = e.open[:len(e.open)-1]
	if e.from == len(e.open) {
		e.from = -1
	}
}

func (e *plainEmitter) start(doc []byte, from int) int {
	if len(e.open) == plainFew {
		return -1
	}
	o := plainOpen{from: from, local: from, decls: len(e.decls)}
	if n := e.known.to - e.known.from; n > 0 && from+n < len(doc) && string(doc[from:from+n]) == string(doc[e.known.from:e.known.to]) {
		o.local += n
	}
	known := o.local > from
	at := nameEnd(doc, o.local)
	if at < len(doc) && doc[at] == ':' && o.local == from {
		o.local = at + 1
		at = nameEnd(doc, o.local)
	}
	if o.to = at; o.to == o.local {
		return -1
	}
	e.attrs = e.attrs[:0]
	if at < len(doc) && doc[at] != '>' {
		at = e.attributes(doc, at)
	}
	empty := at >= 0 && at < len(doc) && doc[at] == '/'
	if empty {
		at++
	}
	if at < 0 || at >= len(doc) || doc[at] != '>' || !e.resolve(doc, &o, known) {
		return -1
	}
	if e.from >= 0 {
		e.begin(doc, &o, at)
	}
	e.open = append(e.open, o)
	if empty {
		if e.from >= 0 {
			p := &e.spaces[o.space].prefix
			e.out.tag(&p.end, 2+int(p.n), o.local, o.to)
			e.out.byte('>', at+1)
		}
		e.close(&o)
	}
	return at + 1
}

// begin writes a start tag that ends with the ">" at a place, or the "/" before that.
func (e *plainEmitter) begin(doc []byte, o *plainOpen, end int) {
	s := &e.spaces[o.space]
	p := &s.prefix
	if o.fresh = p.n == 0; o.fresh {
		p.start, p.end, p.n = e.next.start, e.next.end, e.next.n
		e.next.increment()
	}
	if !o.fresh && o.to == end {
		e.out.tag(&p.start, 1+int(p.n), o.local, end+1) // nothing but the prefix changes
		return
	}
	e.out.tag(&p.start, 1+int(p.n), o.local, o.to)
	if o.fresh {
		e.out.release()
		e.out.buf = append(append(append(e.out.buf, " xmlns:"...), p.start[1:p.n]...), `="`...)
		e.out.piece(doc[s.from:s.to])
		e.out.buf = append(e.out.buf, '"')
		e.out.room()
	}
	if len(e.attrs) > 1 {
		slices.SortFunc(e.attrs, func(a, b plainAttr) int { return compareUTF16(doc[a.from:a.nameEnd], doc[b.from:b.nameEnd]) })
	}
	for _, a := range e.attrs {
		if from := a.from - 1; doc[from] == ' ' {
			e.out.keep(from, a.end)
		} else {
			e.out.byte(' ', a.from)
			e.out.keep(a.from, a.end)
		}
	}
	if e.out.to == end {
		e.out.keep(end, end+1)
	} else {
		e.out.byte('>', end+1)
	}
}

// resolve finds what the prefix of an element means. known says that it was the one that was looked
// up last, before the declarations of this element.
func (e *plainEmitter) resolve(doc []byte, o *plainOpen, known bool) bool {
	k := &e.known
	if known && k.to > 0 {
		o.space = k.space
		return o.space >= 0 || e.from < 0
	}
	k.from, k.to = o.from, o.local
	prefix := doc[o.from:max(o.from, o.local-1)]
	o.space = -1
	for i := len(e.decls) - 1; i >= 0; i-- {
		if d := &e.decls[i]; string(doc[d.from:d.to]) == string(prefix) {
			o.space = d.space
			break
		}
	}
	k.space = o.space
	return o.space >= 0 || e.from < 0
}

// attributes reads attributes and declarations behind the name of an element. It gives where the
// tag ends, at its ">" or "/"; -1: there is something that is not known here.
func (e *plainEmitter) attributes(doc []byte, at int) int {
	qualified, claims := false, false
	for {
		for at < len(doc) && (doc[at] == ' ' || doc[at] == '\n' || doc[at] == '\t') {
			at++
		}
		if at >= len(doc) {
			return -1
		}
		if doc[at] == '>' || doc[at] == '/' {
			break
		}
		a := plainAttr{from: at, local: at}
		at = nameEnd(doc, at)
		if at < len(doc) && doc[at] == ':' {
			a.local = at + 1
			at = nameEnd(doc, a.local)
		}
		a.nameEnd = at
		from := at + len(`="`)
		if from > len(doc) || string(doc[at:from]) != `="` {
			return -1
		}
		n := bytes.IndexByte(doc[from:], '"')
		if n < 0 {
			return -1
		}
		v := doc[from : from+n]
		if e.refers && bytes.IndexByte(v, '&') >= 0 || e.breaks && (bytes.IndexByte(v, '\n') >= 0 || bytes.IndexByte(v, '\t') >= 0) {
			return -1 // it is not written as it stands, or is no namespace's name as it stands
		}
		a.end = from + n + 1
		at = a.end
		switch name := doc[a.from:a.nameEnd]; {
		case string(name) == "xmlns":
			if !e.declare(doc, a.nameEnd, a.nameEnd, from, from+n) {
				return -1
			}
			continue
		case string(doc[a.from:a.local]) == "xmlns:":
			if string(name) == "xmlns:xml" || !e.declare(doc, a.local, a.nameEnd, from, from+n) {
				return -1
			}
			continue
		case len(e.attrs) == plainFew:
			return -1
		}
		qualified = qualified || a.local > a.from
		if local := doc[a.local:a.nameEnd]; len(local) == 2 && local[0]|0x20 == 'i' && local[1]|0x20 == 'd' && string(bytes.Trim(v, " ")) == string(e.id) {
			if e.found || a.local > a.from || string(local) != "Id" || len(v) != len(e.id) {
				return -1
			}
			e.found, claims = true, true
		}
		e.attrs = append(e.attrs, a)
	}
	if claims {
		e.from = len(e.open)
	}
	if qualified && e.from >= 0 {
		return -1
	}
	return at
}

// declare takes a declaration into force, unless there are too many.
func (e *plainEmitter) declare(doc []byte, from, to, uri, end int) bool {
	if len(e.decls) == plainFew || len(e.spaces) == plainFew {
		return false
	}
	space := -1
	if uri < end {
		for space = 0; space < len(e.spaces); space++ {
			if s := &e.spaces[space]; string(doc[s.from:s.to]) == string(doc[uri:end]) {
				break
			}
		}
		if space == len(e.spaces) {
			e.spaces = append(e.spaces, plainSpace{from: uri, to: end})
		}
	}
	e.decls = append(e.decls, plainDecl{from: from, to: to, space: space})
	e.known.from, e.known.to = 0, 0
	return true
}

// nameEnd gives the end of a name, or of its prefix, that begins at a place.
func nameEnd(doc []byte, at int) int {
	for at < len(doc) && !endsName[doc[at]] {
		at++
	}
	return at
}

var endsName = [256]bool{' ': true, '\n': true, '\t': true, '=': true, '>': true, '/': true, ':': true}
