package xsd

import (
	"encoding/binary"

	"mezhved/envelopes/xmltape"
)

// Identity constraints at work (Part 1, 3.11.4). Everything is a stack that
// follows the nesting of elements: paths being matched, targets whose fields
// are being gathered, scopes whose tables are being filled. All of it is
// reused from document to document.

type entryState uint8

const (
	ownEntry   entryState = iota
	childEntry            // came up from an inner scope
	clashEntry            // came up from two inner scopes: refers to nothing
)

type identityState struct {
	depth   int      // elements open inside the outermost scope
	levels  []int    // by depth: where its bits begin
	bits    []uint64 // by depth and path: steps done
	paths   []activePath
	targets []target
	values  []fieldValue
	scopes  []scope
	tables  []keyTable // those of closed scopes are reused
	free    []int32
	refs    []keyReference
	arena   []byte
	entries int
	limit   bool
}

// activePath is a selector or field path being matched below an element.
type activePath struct {
	path   *xpath
	depth  int   // of the element it starts from
	scope  int32 // selector: its scope; -1 for a field
	ident  *identity
	target int32 // field: index into targets
	field  int32
}

// target is an element that a selector chose.
type target struct {
	ident  *identity
	scope  int32
	tok    int32
	depth  int
	values int32 // its fields in identityState.values
}

type fieldValue struct {
	state    fieldState
	node     int64 // of an attribute: its element and which one
	off, len uint32
}

// defaultedNode marks an attribute that is there by default.
const defaultedNode = 1 << 31

type fieldState uint8

const (
	absentField fieldState = iota
	openField              // the element was found, its value is not known yet
	presentField
	nilledField // the element was found and has no value: as if absent, but it is there
	wrongField  // reported, or of an invalid value
)

type scope struct {
	depth int
	table int32 // first of its tables; -1: none
	refs  int   // where its keyrefs begin
}

type keyTable struct {
	ident *identity
	set   byteTable
	next  int32 // next table of the scope
}

type keyReference struct {
	ident    *identity
	scope    int32
	off, len uint32
	tok      int32
}

func (s *identityState) reset() {
	s.depth = 0
	s.levels, s.bits, s.paths, s.targets = s.levels[:0], s.bits[:0], s.paths[:0], s.targets[:0]
	s.values, s.scopes, s.refs, s.arena = s.values[:0], s.scopes[:0], s.refs[:0], s.arena[:0]
	s.entries, s.limit = 0, false
	if cap(s.arena) > maxKeptBytes {
		s.arena = nil
	}
	s.free = s.free[:0]
	for i := range s.tables {
		s.tables[i].set.reset()
		s.free = append(s.free, int32(i))
	}
}

// maxKeyBytes bounds the values that identity constraints and IDs of one
// document may hold: one long value can be a field of every element round it.
const maxKeyBytes = 64 << 20

// maxKeptBytes is how much of that a validator keeps for the next document.
const maxKeptBytes = 4 << 20

// room reports whether n more bytes may be kept; the first time they may not,
// that is a violation.
func (v *Validator) room(i int32, n int) bool {
	s := &v.idc
	if len(s.arena)+n <= maxKeyBytes {
		return true
	}
	if !s.limit {
		s.limit = true
		v.report(i, "limit-keys", "", nil, "значения ключей документа длиннее %[1]d МиБ", "the key values of the document are longer than %[1]d MiB", maxKeyBytes>>20)
	}
	return false
}

// active: some scope is open.
func (s *identityState) active() bool { return len(s.scopes) > 0 }

// identityStart steps all paths into an element, opens its scope and takes the
// attributes that fields ask for.
func (v *Validator) identityStart(i int32, tok *xmltape.Token, decl *elementDecl, typ typeDef) {
	s := &v.idc
	own := decl != nil && len(decl.identities) > 0
	if !own && !s.active() {
		return
	}
	s.depth++
	s.levels = append(s.levels, len(s.bits))
	if s.depth > 1 {
		above := s.levels[s.depth-2]
		n := s.levels[s.depth-1] - above
		info := v.name(tok.Name)
		for k := range n {
			s.bits = append(s.bits, s.paths[k].path.step(s.bits[above+k], info.sym, info.space))
		}
		// Paths pushed from here on start at this element and are not asked again.
		for k := range n {
			p := s.paths[k]
			if s.bits[s.levels[s.depth-1]+k]>>len(p.path.steps)&1 != 0 {
				v.reached(i, tok, typ, p)
			}
		}
	}
	if own {
		s.scopes = append(s.scopes, scope{depth: s.depth, table: -1, refs: len(s.refs)})
		for _, ident := range decl.identities {
			for p := range ident.selector {
				v.startPath(i, tok, typ, activePath{path: &ident.selector[p], depth: s.depth, scope: int32(len(s.scopes) - 1), ident: ident})
			}
		}
	}
}

// startPath begins to match a path at the open element, which may be its end already.
func (v *Validator) startPath(i int32, tok *xmltape.Token, typ typeDef, p activePath) {
	s := &v.idc
	s.paths = append(s.paths, p)
	s.bits = append(s.bits, 1)
	if len(p.path.steps) == 0 {
		v.reached(i, tok, typ, p)
	}
}

// step moves a path one element down. Bit k: k steps are done. A path that
// begins with .// can begin at every element below.
func (p *xpath) step(bits uint64, sym, space int32) uint64 {
	var next uint64
	if p.descend {
		next = bits & 1
	}
	for k := range p.steps {
		if bits>>k&1 != 0 && p.steps[k].matches(sym, space) {
			next |= 1 << (k + 1)
		}
	}
	return next
}

// reached: the element is at the end of a path.
func (v *Validator) reached(i int32, tok *xmltape.Token, typ typeDef, p activePath) {
	s := &v.idc
	if p.scope >= 0 {
		// Two alternatives of a selector choose an element once.
		for k := len(s.targets) - 1; k >= 0 && s.targets[k].tok == i; k-- {
			if s.targets[k].ident == p.ident && s.targets[k].scope == p.scope {
				return
			}
		}
		t := target{ident: p.ident, scope: p.scope, tok: i, depth: s.depth, values: int32(len(s.values))}
		n := int32(len(s.targets))
		s.targets = append(s.targets, t)
		for range p.ident.fields {
			s.values = append(s.values, fieldValue{})
		}
		for f := range p.ident.fields {
			for k := range p.ident.fields[f] {
				v.startPath(i, tok, typ, activePath{path: &p.ident.fields[f][k], depth: s.depth, scope: -1, ident: p.ident, target: n, field: int32(f)})
			}
		}
		return
	}
	if p.path.attr != nil {
		v.fieldAttributes(i, tok, typ, p)
		return
	}
	v.setField(i, p, openField, 0, 0)
}

// setField notes that a field has a node. A second node is a violation; one that
// two alternatives reach is one.
func (v *Validator) setField(i int32, p activePath, state fieldState, node int64, off uint32) {
	s := &v.idc
	t := &s.targets[p.target]
	f := &s.values[t.values+p.field]
	switch f.state {
	case absentField:
		*f = fieldValue{state: state, node: node, off: off, len: uint32(len(s.arena)) - off}
		if state != presentField {
			*f = fieldValue{state: state, off: uint32(i)}
		}
	case openField, presentField, nilledField:
		if f.state == openField && state == openField && f.off == uint32(i) || f.node != 0 && f.node == node {
			return
		}
		f.state = wrongField
		v.report(i, "cvc-identity-constraint.3", v.nameAt(i), nil, "поле %[1]d ограничения %[2]s находит больше одного узла", "field %[1]d of %[2]s finds more than one node", p.field+1, t.ident.name.short())
	}
}

// fieldAttributes takes the attributes of an element that a field path names.
func (v *Validator) fieldAttributes(i int32, tok *xmltape.Token, typ typeDef, p activePath) {
	ct, _ := typ.(*complexType)
	if ct == nil {
		return
	}
	s := &v.idc
	v.scope.scope = tok.Scope
	attrs := v.attrsOf(tok)
	take := func(t *simpleType, raw []byte, node int64) {
		off := len(s.arena)
		if !v.room(i, len(raw)) {
			v.setField(i, p, wrongField, node, 0)
			return
		}
		key, ok := t.v.AppendKey(s.arena, raw, &v.ctx)
		if !ok {
			v.setField(i, p, wrongField, node, 0)
			return
		}
		s.arena = key
		v.setField(i, p, presentField, node, uint32(off))
	}
	for k := range attrs {
		info := v.name(attrs[k].Name)
		if !p.path.attr.matches(info.sym, info.space) {
			continue
		}
		node := int64(i)<<32 | int64(k+1)
		if v.ofInstance(info) {
			take(v.s.anySimpleType, v.attrValue(&attrs[k]), node)
		} else if col := ct.attrTable.columns.find(info.sym); info.sym != 0 && col >= 0 {
			take(ct.attrTable.uses[col].decl.typ, v.attrValue(&attrs[k]), node)
		} else if decl := v.s.attributes[info.sym]; decl != nil && ct.wildcard != nil && ct.wildcard.process != skip {
			take(decl.typ, v.attrValue(&attrs[k]), node)
		}
	}
	if !ct.attrTable.defaults {
		return
	}
uses:
	for _, u := range ct.attrTable.uses {
		c := u.effective()
		if c.kind == noValue || !p.path.attr.matches(u.decl.sym, v.s.symbols.entries[u.decl.sym].space) {
			continue
		}
		for k := range attrs {
			if v.name(attrs[k].Name).sym == u.decl.sym {
				continue uses
			}
		}
		off, node := len(s.arena), int64(i)<<32|defaultedNode|int64(u.decl.sym)
		if !v.room(i, len(c.key)) {
			v.setField(i, p, wrongField, node, 0)
			continue
		}
		s.arena = append(s.arena, c.key...)
		v.setField(i, p, presentField, node, uint32(off))
	}
}

// identityEnd ends an element: its value, if it has a simple one, goes to the
// fields that wait for it, its targets to their tables, its scope is closed.
func (v *Validator) identityEnd(i int32, decl *elementDecl, t *simpleType, raw []byte) {
	s := &v.idc
	off, taken := len(s.arena), false
	level := s.levels[s.depth-1]
	for k := range s.bits[level:] {
		p := s.paths[k]
		if p.scope >= 0 || p.path.attr != nil || s.bits[level+k]>>len(p.path.steps)&1 == 0 {
			continue
		}
		f := &s.values[s.targets[p.target].values+p.field]
		if f.state != openField || f.off != uint32(i) {
			continue
		}
		if t == nil {
			v.noSimpleValue(i, decl, f, p)
			continue
		}
		if decl != nil && decl.nillable && p.ident.kind == key {
			f.state = wrongField
			v.report(i, "cvc-identity-constraint.4.2.3", v.nameAt(i), nil, "поле %[1]d ключа %[2]s объявлено как nillable: так нельзя", "field %[1]d of key %[2]s is declared nillable: that is not possible", p.field+1, p.ident.name.short())
			continue
		}
		if !taken {
			v.scope.scope = v.tokens[i].Scope
			key, ok := s.arena, v.room(i, len(raw))
			if ok {
				key, ok = t.v.AppendKey(s.arena, raw, &v.ctx)
			}
			if !ok {
				f.state = wrongField
				continue
			}
			s.arena, taken = key, true
		}
		*f = fieldValue{state: presentField, off: uint32(off), len: uint32(len(s.arena) - off)}
	}
	for n := len(s.targets); n > 0 && s.targets[n-1].depth == s.depth; n = len(s.targets) {
		v.tuple(&s.targets[n-1])
		s.values = s.values[:s.targets[n-1].values]
		s.targets = s.targets[:n-1]
	}
	if n := len(s.scopes); n > 0 && s.scopes[n-1].depth == s.depth {
		v.closeScope(int32(n - 1))
		s.scopes = s.scopes[:n-1]
	}
	for n := len(s.paths); n > 0 && s.paths[n-1].depth == s.depth; n = len(s.paths) {
		s.paths = s.paths[:n-1]
	}
	s.bits = s.bits[:level]
	s.levels = s.levels[:s.depth-1]
	s.depth--
}

// noSimpleValue: a field chose an element without a simple value. That is a
// violation when its type has none; a nilled element has no value to compare.
func (v *Validator) noSimpleValue(i int32, decl *elementDecl, f *fieldValue, p activePath) {
	f.state = nilledField
	if len(v.violations) > 0 {
		f.state = wrongField // it may well be because of what was found before
		return
	}
	if decl != nil && v.hasInstance(i, v.s.xsiNil) && (contentType(decl.typ) != nil || v.hasInstance(i, v.s.xsiType)) {
		return
	}
	f.state = wrongField
	v.report(i, "cvc-identity-constraint.3", v.nameAt(i), nil, "поле %[1]d ограничения %[2]s находит элемент %[3]s, содержимое которого не простое", "field %[1]d of %[2]s finds element %[3]s, whose content is not simple", p.field+1, p.ident.name.short(), v.nameAt(i))
}

// tuple takes the fields of a target into the table of its scope.
func (v *Validator) tuple(t *target) {
	s := &v.idc
	fields := s.values[t.values : int(t.values)+len(t.ident.fields)]
	for n, f := range fields {
		switch f.state {
		case wrongField:
			return
		case absentField, openField, nilledField:
			if t.ident.kind == key {
				v.report(t.tok, "cvc-identity-constraint.4.2.1", v.nameAt(t.tok), nil, "у элемента %[1]s нет поля %[2]d ключа %[3]s", "element %[1]s lacks field %[2]d of key %[3]s", v.nameAt(t.tok), n+1, t.ident.name.short())
			}
			return
		}
	}
	if s.entries++; s.entries > v.maxKeys() {
		if !s.limit {
			s.limit = true
			v.report(t.tok, "limit-keys", "", nil, "в документе больше %[1]d ключей и ссылок", "the document has more than %[1]d keys and references", v.maxKeys())
		}
		return
	}
	size := 0
	for _, f := range fields {
		size += int(f.len) + binary.MaxVarintLen32
	}
	if !v.room(t.tok, size) {
		return
	}
	off := len(s.arena)
	for _, f := range fields {
		s.arena = binary.AppendUvarint(s.arena, uint64(f.len))
		s.arena = append(s.arena, s.arena[f.off:f.off+f.len]...)
	}
	seq := s.arena[off:]
	if t.ident.kind == keyref {
		if t.ident.refer != nil {
			s.refs = append(s.refs, keyReference{t.ident, t.scope, uint32(off), uint32(len(seq)), t.tok})
		}
		return
	}
	table := s.table(t.scope, t.ident)
	if e := table.set.find(s.arena, seq); e != nil {
		rule := "cvc-identity-constraint.4.1"
		if t.ident.kind == key {
			rule = "cvc-identity-constraint.4.2.2"
		}
		if e.state == ownEntry {
			line, _ := v.tape.Position(int(v.tokens[e.tok].Off))
			v.report(t.tok, rule, v.nameAt(t.tok), nil, "значение %[1]s уже встречалось: строка %[2]d", "the value of %[1]s has occurred already: line %[2]d", t.ident.name.short(), line)
			s.arena = s.arena[:off]
			return
		}
		e.state, e.tok = ownEntry, t.tok // its own goes before those of inner scopes
		return
	}
	table.set.insert(s.arena, uint32(off), t.tok)
}

// table is the table of a constraint in a scope, made when first needed.
func (s *identityState) table(scope int32, ident *identity) *keyTable {
	for n := s.scopes[scope].table; n >= 0; n = s.tables[n].next {
		if s.tables[n].ident == ident {
			return &s.tables[n]
		}
	}
	var n int32
	if k := len(s.free); k > 0 {
		n, s.free = s.free[k-1], s.free[:k-1]
	} else {
		n = int32(len(s.tables))
		s.tables = append(s.tables, keyTable{})
	}
	s.tables[n].ident, s.tables[n].next = ident, s.scopes[scope].table
	s.scopes[scope].table = n
	return &s.tables[n]
}

// closeScope looks up the references of a scope and hands its keys to the
// scope round it, where a keyref may still ask for them.
func (v *Validator) closeScope(n int32) {
	s := &v.idc
	sc := &s.scopes[n]
	kept := s.refs[:sc.refs]
	for _, r := range s.refs[sc.refs:] {
		if r.scope != n {
			kept = append(kept, r) // of a scope further out
			continue
		}
		seq := s.arena[r.off : r.off+r.len]
		found := false
		for k := sc.table; k >= 0; k = s.tables[k].next {
			if s.tables[k].ident == r.ident.refer {
				e := s.tables[k].set.find(s.arena, seq)
				found = e != nil && e.state != clashEntry
			}
		}
		if !found {
			v.report(r.tok, "cvc-identity-constraint.4.3", v.nameAt(r.tok), nil, "ссылка %[1]s: ключа %[2]s с таким значением нет", "reference %[1]s: there is no key %[2]s of that value", r.ident.name.short(), r.ident.refer.name.short())
		}
	}
	s.refs = kept
	for k := sc.table; k >= 0; {
		next := s.tables[k].next
		if n > 0 && s.tables[k].ident.referred {
			v.handUp(n-1, k)
		}
		s.tables[k].set.reset()
		s.free = append(s.free, k)
		k = next
	}
}

func (v *Validator) handUp(outer, inner int32) {
	s := &v.idc
	up := s.table(outer, s.tables[inner].ident)
	for k := range s.tables[inner].set.entries {
		e := s.tables[inner].set.entries[k]
		seq := s.arena[e.off : e.off+e.len]
		if o := up.set.find(s.arena, seq); o != nil {
			if o.state == childEntry {
				o.state = clashEntry
			}
			continue
		}
		n := up.set.insert(s.arena[:e.off+e.len], e.off, e.tok)
		if n.state = childEntry; e.state == clashEntry {
			n.state = clashEntry
		}
	}
}
