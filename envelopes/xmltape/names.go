package xmltape

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// seed makes hashes unpredictable from outside: an attacker cannot choose names
// that collide.
var seed = rand.Uint64()

func hash(b []byte, h uint64) uint32 {
	const k1, k2 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h ^= seed ^ uint64(len(b))<<32
	for len(b) >= 8 {
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(b), k1)
		h = hi ^ lo
		b = b[8:]
	}
	var tail uint64
	switch {
	case len(b) >= 4:
		tail = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))<<32
	case len(b) > 0:
		tail = uint64(b[0]) | uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])<<16
	}
	hi, lo := bits.Mul64(h^tail, k2^seed)
	return uint32(hi ^ lo ^ (hi^lo)>>32)
}

// HashName is the hash that Tape.NameHash gives for {space}local in every tape
// of this process.
func HashName(space, local string) uint32 {
	return hash([]byte(local), uint64(hash([]byte(space), 0)))
}

// fixedSpaces are the namespaces of every tape, by SpaceID.
var fixedSpaces = func() []spaceEntry {
	spaces := []spaceEntry{NoSpace: {}, XMLSpace: {uri: []byte(XMLURI)}, XMLNSSpace: {uri: []byte(XMLNSURI)}}
	for i := range spaces {
		spaces[i].hash = hash(spaces[i].uri, 0)
	}
	return spaces
}()

// resetNames forgets the names of the document before.
func (t *Tape) resetNames() {
	if t.nameTab == nil {
		t.nameTab = make([]uint32, 256)
		t.spaceTab = make([]uint32, 64)
		t.prefixTab = make([]uint32, 64)
	}
	// Only the slots in use are cleared: a small document after a large one stays cheap.
	// To look for one takes as long as to clear dozens that are side by side.
	if len(t.names)*64 < len(t.nameTab) {
		for _, n := range t.names[min(1, len(t.names)):] {
			t.clearSlots(t.nameTab, n.hash)
		}
	} else {
		clear(t.nameTab)
	}
	t.spaceTab = cleared(t.spaceTab, 64)
	t.prefixTab = cleared(t.prefixTab, 64)
	t.names = append(t.names[:0], nameEntry{})
	t.spaces = append(t.spaces[:0], fixedSpaces...)
	for i := range fixedSpaces {
		insertSlot(t.spaceTab, fixedSpaces[i].hash, uint32(i+1))
	}
	t.prefixes = append(t.prefixes[:0], prefixEntry{decl: -1}) // [0]: the default namespace
	clear(t.seen)
	t.serial = 0
}

// cleared gives an empty table: the same one, or a small one when an unusual
// document has made it large.
func cleared(tab []uint32, small int) []uint32 {
	if len(tab) > 64*small {
		return make([]uint32, small)
	}
	clear(tab)
	return tab
}

// clearSlots frees the run of used slots that begins at or after a hash's home.
func (t *Tape) clearSlots(tab []uint32, h uint32) {
	mask := uint32(len(tab) - 1)
	for i := h & mask; tab[i] != 0; i = (i + 1) & mask {
		tab[i] = 0
	}
}

func (t *Tape) findSpace(uri []byte) (id SpaceID, h uint32, ok bool) {
	h = hash(uri, 0)
	if len(t.spaces) == 0 {
		return 0, h, false
	}
	mask := uint32(len(t.spaceTab) - 1)
	for i := h & mask; t.spaceTab[i] != 0; i = (i + 1) & mask {
		if e := &t.spaces[t.spaceTab[i]-1]; e.hash == h && string(e.uri) == string(uri) {
			return SpaceID(t.spaceTab[i] - 1), h, true
		}
	}
	return 0, h, false
}

// internSpace gives the ID of a namespace name; uri must stay as it is while the tape is in use.
func (t *Tape) internSpace(uri []byte) SpaceID {
	id, h, ok := t.findSpace(uri)
	if ok {
		return id
	}
	t.spaces = append(t.spaces, spaceEntry{uri: uri, hash: h})
	if len(t.spaces)*2 > len(t.spaceTab) {
		t.spaceTab = make([]uint32, len(t.spaceTab)*4)
		for i := range t.spaces {
			insertSlot(t.spaceTab, t.spaces[i].hash, uint32(i+1))
		}
	} else {
		insertSlot(t.spaceTab, h, uint32(len(t.spaces)))
	}
	return SpaceID(len(t.spaces) - 1)
}

func insertSlot(tab []uint32, h, v uint32) {
	mask := uint32(len(tab) - 1)
	i := h & mask
	for tab[i] != 0 {
		i = (i + 1) & mask
	}
	tab[i] = v
}

func (t *Tape) findName(s SpaceID, local []byte) NameID {
	id, _ := t.probeName(s, local)
	return id
}

func (t *Tape) probeName(s SpaceID, local []byte) (NameID, uint32) {
	h := hash(local, uint64(t.spaces[s].hash))
	mask := uint32(len(t.nameTab) - 1)
	for i := h & mask; t.nameTab[i] != 0; i = (i + 1) & mask {
		e := &t.names[t.nameTab[i]]
		if e.hash == h && e.space == s && string(t.src[e.off:e.off+e.len]) == string(local) {
			return NameID(t.nameTab[i]), h
		}
	}
	return 0, h
}

// internName gives the ID of {s}local, whose local part stands at [off,end) of the source.
func (p *parser) internName(s SpaceID, off, end int) (NameID, *Error) {
	t := p.t
	id, h := t.probeName(s, p.src[off:end])
	if id != 0 {
		return id, nil
	}
	if len(t.names) > t.lim.Names {
		return 0, fail(CodeLimitNames, off, "more than %d different names", t.lim.Names)
	}
	t.names = append(t.names, nameEntry{space: s, off: uint32(off), len: uint32(end - off), hash: h})
	if len(t.names)*2 > len(t.nameTab) {
		t.nameTab = make([]uint32, len(t.nameTab)*4)
		for i := 1; i < len(t.names); i++ {
			insertSlot(t.nameTab, t.names[i].hash, uint32(i))
		}
	} else {
		insertSlot(t.nameTab, h, uint32(len(t.names)-1))
	}
	return NameID(len(t.names) - 1), nil
}

// prefix gives the index of a prefix in the tape's table, entering it when it is new.
func (t *Tape) prefix(off, n int) int32 {
	if n == 0 {
		return 0
	}
	b := t.src[off : off+n]
	h := hash(b, 1)
	mask := uint32(len(t.prefixTab) - 1)
	i := h & mask
	for ; t.prefixTab[i] != 0; i = (i + 1) & mask {
		e := &t.prefixes[t.prefixTab[i]]
		if e.hash == h && string(t.src[e.off:e.off+e.len]) == string(b) {
			return int32(t.prefixTab[i])
		}
	}
	t.prefixes = append(t.prefixes, prefixEntry{off: uint32(off), len: uint32(n), hash: h, decl: -1})
	id := uint32(len(t.prefixes) - 1)
	if len(t.prefixes)*2 > len(t.prefixTab) {
		t.prefixTab = make([]uint32, len(t.prefixTab)*4)
		for k := 1; k < len(t.prefixes); k++ {
			insertSlot(t.prefixTab, t.prefixes[k].hash, uint32(k))
		}
	} else {
		t.prefixTab[i] = id
	}
	return int32(id)
}

// declare brings the declarations from index first on into force, as
// Namespaces in XML 1.0 section 3 allows them.
func (p *parser) declare(first int) *Error {
	t := p.t
	if p.inside += len(t.Decls) - first; p.inside > t.lim.Spaces {
		return fail(CodeLimitSpaces, int(t.Decls[first].PrefixOff), "more than %d namespace declarations in scope", t.lim.Spaces)
	}
	if len(t.Decls) > t.lim.TotalDecls {
		return fail(CodeLimitSpaces, int(t.Decls[first].PrefixOff), "more than %d namespace declarations", t.lim.TotalDecls)
	}
	for k := first; k < len(t.Decls); k++ {
		d := &t.Decls[k]
		uri := p.src[d.ValOff:d.ValEnd]
		// A canonical form may have to repeat it at every element.
		if len(uri) > t.lim.NameLen {
			return fail(CodeLimitName, int(d.ValOff), "a namespace name of more than %d bytes", t.lim.NameLen)
		}
		if d.Flags&Decode != 0 {
			from := len(t.scratch)
			if from+len(uri) > maxDecoded {
				return fail(CodeLimitSpaces, int(d.ValOff), "namespace names of more than %d bytes in which characters are written as references or white space", maxDecoded)
			}
			t.scratch = appendAttrValue(t.scratch, uri)
			uri = t.scratch[from:len(t.scratch):len(t.scratch)]
		}
		at, prefix := int(d.PrefixOff), t.DeclPrefix(d)
		switch {
		case string(prefix) == "xmlns":
			return fail(CodeNamespace, at, "the prefix xmlns may not be declared")
		case (string(prefix) == "xml") != (string(uri) == XMLURI):
			return fail(CodeNamespace, at, "the prefix xml and its namespace belong to each other only")
		case string(uri) == XMLNSURI:
			return fail(CodeNamespace, at, "the namespace %s may not be declared", XMLNSURI)
		case len(prefix) > 0 && len(uri) == 0:
			return fail(CodeNamespace, at, "prefix %s is bound to no namespace", quote(prefix))
		}
		d.Space = t.internSpace(uri)
		d.prefix = t.prefix(at, int(d.PrefixLen))
		e := &t.prefixes[d.prefix]
		if int(e.decl) >= first {
			return fail(CodeDuplicate, at, "prefix %s is declared twice in one element", quote(prefix))
		}
		d.shadowed, e.decl = e.decl, int32(k)
		d.Outer, p.scope = p.scope, int32(k)
	}
	return nil
}

// resolve gives the namespace of a prefix written at [off,off+n).
func (p *parser) resolve(off, n int) (SpaceID, *Error) {
	t := p.t
	if n == 0 {
		p.lastPrefix, p.lastLen = 0, 0
	} else if n != p.lastLen || string(p.src[off:off+n]) != string(p.src[p.lastOff:p.lastOff+n]) {
		p.lastPrefix, p.lastOff, p.lastLen = t.prefix(off, n), off, n
	}
	e := &t.prefixes[p.lastPrefix]
	if e.decl >= 0 {
		s := t.Decls[e.decl].Space
		if s != NoSpace && s != XMLSpace && !isAbsoluteURI(t.spaces[s].uri) {
			return 0, fail(CodeNamespace, off, "the relative namespace name %s is in use; Canonical XML knows no such thing", quote(t.spaces[s].uri))
		}
		return s, nil
	}
	switch b := p.src[off : off+n]; string(b) {
	case "":
		return NoSpace, nil
	case "xml":
		return XMLSpace, nil
	default:
		return 0, fail(CodePrefix, off, "prefix %s is not declared", quote(b))
	}
}

// isAbsoluteURI reports whether a namespace name begins with a scheme (RFC 3986 section 3.1).
func isAbsoluteURI(uri []byte) bool {
	for i, c := range uri {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return true
		default:
			return false
		}
	}
	return false
}

// tagName reads the QName of a start tag at i: its end, and its entry. Documents
// repeat their names, and in the same order; so the name that followed the tag
// before when that was last met is tried first.
func (p *parser) tagName(i int) (end int, tag *tagName, err *Error) {
	m := p.memory
	tag = &m.tags[p.next%rememberedNames]
	if end = i + int(tag.len); end+8 < len(p.src) && p.again(tag, i) {
		switch p.src[end] {
		case '>', ' ', '/', '\n', '\t', '\r':
			p.last, p.next = p.next, tag.next
			return end, tag, nil
		}
	}
	end, prefix, err := p.qname(i)
	if err != nil {
		return end, nil, err
	}
	k := p.remember(&m.tags, i, end, prefix)
	m.tags[p.last%rememberedNames].next = k
	tag = &m.tags[k]
	p.last, p.next = k, tag.next
	return end, tag, nil
}

// attrName is tagName for an attribute or declaration.
func (p *parser) attrName(i int) (end int, tag *tagName, err *Error) {
	m := p.memory
	tag = &m.attrNames[*p.expected%rememberedNames]
	if end = i + int(tag.len); end+8 < len(p.src) && p.again(tag, i) {
		switch p.src[end] {
		case '=', ' ', '\n', '\t', '\r':
			tag.at, p.expected = uint32(i), &tag.next
			return end, tag, nil
		}
	}
	end, prefix, err := p.qname(i)
	if err != nil {
		return end, nil, err
	}
	k := p.remember(&m.attrNames, i, end, prefix)
	*p.expected = k
	tag = &m.attrNames[k]
	tag.at, p.expected = uint32(i), &tag.next
	return end, tag, nil
}

// again tells whether the name of a tag stands at i, where there are eight bytes more.
func (p *parser) again(tag *tagName, i int) bool {
	if word(p.src, i)&tag.mask != tag.first {
		return false
	}
	n := int(tag.len)
	if n > 8 && (n > rememberedBytes || string(p.src[i+8:i+n]) != string(tag.text[8:n])) {
		return false
	}
	return tag.document == p.memory.document || p.renew(tag)
}

// renew makes an entry one of this document: false when it has no name, or one that is too
// long for the document's limits.
func (p *parser) renew(tag *tagName) bool {
	if tag.document == 0 || int(tag.len) > p.t.lim.NameLen {
		return false
	}
	tag.document, tag.name = p.memory.document, 0
	return true
}

// remember gives the index of the name at [i,end) among those that are
// remembered, entering it when it is not.
func (p *parser) remember(names *[rememberedNames]tagName, i, end, prefix int) uint32 {
	n := end - i
	k := hash(p.src[i:end], 2) % rememberedNames
	tag := &names[k]
	if n <= rememberedBytes && n == int(tag.len) && string(p.src[i:end]) == string(tag.text[:n]) {
		if tag.document != p.memory.document {
			p.renew(tag)
		}
		return k
	}
	// What followed is kept: it may well be the same that followed in the document before.
	tag.document, tag.len, tag.prefixLen, tag.name = p.memory.document, uint16(n), uint16(prefix), 0
	copy(tag.text[:], p.src[i:end])
	if tag.mask = 1<<64 - 1; n < 8 {
		tag.mask >>= 64 - 8*n
	}
	tag.first = binary.LittleEndian.Uint64(tag.text[:]) & tag.mask
	return k
}

// elementName resolves the name of an element. What it was resolved to before
// still holds when its prefix is bound by the same declaration.
func (p *parser) elementName(tag *tagName, off, end int) (NameID, *Error) {
	t := p.t
	if tag.name != 0 && t.prefixes[tag.prefix].decl == tag.decl {
		return tag.name, nil
	}
	prefix := int(tag.prefixLen)
	name, err := p.resolveElement(off, end, prefix)
	if err != nil {
		return 0, err
	}
	tag.name, tag.prefix = name, p.lastPrefix
	tag.decl = t.prefixes[p.lastPrefix].decl
	return name, nil
}

// resolveElement resolves the QName at [off,end).
func (p *parser) resolveElement(off, end, prefix int) (NameID, *Error) {
	if prefix == 5 && string(p.src[off:off+5]) == "xmlns" {
		return 0, fail(CodeNamespace, off, "an element may not have the prefix xmlns")
	}
	s, err := p.resolve(off, prefix)
	if err != nil {
		return 0, err
	}
	if prefix > 0 {
		off += prefix + 1
	}
	return p.internName(s, off, end)
}

// attributeName resolves the name of an attribute. One without a prefix stays
// what it is for the rest of the document.
func (p *parser) attributeName(a *Attr) (NameID, *Error) {
	off, end := int(a.Off), int(a.Off)+int(a.NameLen)
	if a.PrefixLen > 0 {
		space, err := p.resolve(off, int(a.PrefixLen))
		if err != nil {
			return 0, err
		}
		return p.internName(space, off+int(a.PrefixLen)+1, end)
	}
	id, err := p.internName(NoSpace, off, end)
	if tag := &p.memory.attrNames[hash(p.src[off:end], 2)%rememberedNames]; tag.document == p.memory.document && tag.at == a.Off {
		tag.name = id
	}
	return id, err
}

// attributeNames resolves the names of one element's attributes and refuses
// two of one expanded name, in time proportional to their number.
func (p *parser) attributeNames(attrs []Attr) *Error {
	t := p.t
	t.serial++
	for k := range attrs {
		a := &attrs[k]
		id, off := a.Name, int(a.Off)
		if id == 0 {
			var err *Error
			if id, err = p.attributeName(a); err != nil {
				return err
			}
		}
		for int(id) >= len(t.seen) {
			t.seen = append(t.seen, 0)
		}
		if t.seen[id] == t.serial {
			return fail(CodeDuplicate, off, "attribute %s stands twice in one element", quote(p.src[off:off+int(a.NameLen)]))
		}
		t.seen[id] = t.serial
		a.Name = id
	}
	return nil
}
