package xsd

import (
	"slices"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

// Validator checks documents against one schema. It belongs to one goroutine
// at a time and is to be reused: its tables grow to the size of the traffic,
// after that a valid document costs no allocation.
type Validator struct {
	// MaxViolations ends the check of a document; default 20.
	MaxViolations int
	// MaxKeys bounds the entries of identity constraints and the IDs of one
	// document; default 200,000.
	MaxKeys int
	// Root says what to do with a root that the schema does not declare.
	Root RootPolicy
	// PrefixesUnsigned says that what prefixes are bound to is not under the
	// signature over the document, as with the SMEV transform, but for the names of
	// elements and attributes: whoever stands on the way can bind them anew. A name
	// in a value is taken then only when the schema leaves it one meaning (rule
	// unsigned-prefix): an xsi:type when just one type of its local name could stand
	// there, a QName or NOTATION when just one name of its enumeration has its local
	// part or the value is fixed.
	PrefixesUnsigned bool

	s      *Schema
	tape   *xmltape.Tape
	tokens []xmltape.Token

	serial uint32
	names  []nameInfo  // by NameID, valid when its serial is ours
	spaces []spaceInfo // by SpaceID, the same
	frames []frame
	counts []int32 // counters of the open frames; of an xs:all, what was seen
	text   []byte
	attr   []byte
	key    []byte
	ctx    value.Context
	steps  int // of patterns that are simulated; less than none: they are used up
	scope  scopeResolver

	ids   idTable
	visit func(value.Identity, []byte)
	at    int32 // token of the element whose value is being visited

	idc     identityState
	watched []watched
	asleep  int32 // elements open below the innermost watched one, where no path can reach anything

	root       int32
	violations []Violation
	more       bool
	settled    int
}

// Settled is how many names in values of the document last checked were taken for
// the one meaning that the schema leaves them. It counts with PrefixesUnsigned only.
func (v *Validator) Settled() int { return v.settled }

// RootPolicy is what may be the root of a document.
type RootPolicy uint8

// The policies. A gateway wants the first; the others are for those who check
// documents in the looser ways that the standard knows (Part 1, 5.2).
const (
	DeclaredRoot RootPolicy = iota // an element that the schema declares; all else is a violation
	TypedRoot                      // or one that names a type of the schema by xsi:type
	LaxRoot                        // or any: what the schema does not know is not checked
)

type nameInfo struct {
	serial uint32
	sym    int32 // 0: the schema does not know the name
	space  int32 // unknownSpace: nor its namespace
	column int32 // of the name in model, with which it was last met as a child; -1: the model does not list it
	model  *model
}

type spaceInfo struct {
	serial uint32
	number int32
	uri    string // for QName values; made when needed
}

// frame is an open element whose children are being matched. Elements with
// simple or empty content need none.
type frame struct {
	decl   *elementDecl // nil: the element has no declaration
	model  *model
	state  int32
	counts int32 // where its counters begin
	tok    int32
	broken bool // its content has been found wrong: no more about it
}

// scopeResolver resolves prefixes at an element of the document.
type scopeResolver struct {
	v     *Validator
	scope int32
}

// ResolvePrefix implements value.Resolver.
func (r *scopeResolver) ResolvePrefix(prefix []byte) (string, bool) {
	id, ok := r.v.tape.LookupPrefix(r.scope, prefix)
	if !ok {
		return "", false
	}
	r.v.space(id)
	info := &r.v.spaces[id]
	if info.number != unknownSpace {
		return r.v.s.symbols.spaces[info.number], true
	}
	if info.uri == "" {
		info.uri = string(r.v.tape.SpaceURI(id))
	}
	return info.uri, true
}

// NewValidator makes a validator for use by one goroutine.
func (s *Schema) NewValidator() *Validator {
	v := &Validator{s: s}
	v.scope.v = v
	v.ctx.Namespaces, v.ctx.Steps = &v.scope, &v.steps
	v.visit = v.visitIdentity
	return v
}

// Validate checks the element in place, as the root of a document of its own:
// nil, or an *Invalid. The tape must stay unchanged meanwhile.
func (v *Validator) Validate(element xmltape.Node) error {
	if !element.Valid() {
		return &Invalid{Violations: []Violation{{Rule: "no-element", ru: "проверять нечего: элемента нет", en: "there is no element to check"}}}
	}
	v.begin(element)
	v.run()
	if v.steps < 0 && !v.full() { // in a value that was taken otherwise, such as a union's
		v.exhausted(int(v.tokens[v.root].Off), v.root)
	}
	if v.ids.used() && !v.full() {
		v.checkReferences()
	}
	v.tape, v.tokens = nil, nil
	if len(v.violations) == 0 {
		return nil
	}
	slices.SortStableFunc(v.violations, func(a, b Violation) int { return a.Offset - b.Offset })
	return &Invalid{Violations: v.violations, More: v.more}
}

func (v *Validator) begin(element xmltape.Node) {
	v.tape = element.Tape()
	v.tokens = v.tape.Tokens
	v.root = int32(element.Index())
	v.serial++
	if v.serial == 0 { // wrapped: old entries could look new
		clear(v.names)
		clear(v.spaces)
		v.serial = 1
	}
	if n := v.tape.NumNames(); len(v.names) < n {
		v.names = append(v.names, make([]nameInfo, n-len(v.names))...)
	}
	if n := v.tape.NumSpaces(); len(v.spaces) < n {
		v.spaces = append(v.spaces, make([]spaceInfo, n-len(v.spaces))...)
	}
	v.frames, v.counts = v.frames[:0], v.counts[:0]
	v.ids.reset()
	v.idc.reset()
	v.watched, v.asleep = v.watched[:0], 0
	v.violations, v.more, v.settled = nil, false, 0
	v.steps = mostSimulated
}

// mostSimulated is how many steps the patterns of a document that are simulated may take, a quarter
// of a second or a half: one may take thousands for each character, and megabytes of text minutes.
const mostSimulated = 20_000_000

func (v *Validator) maxViolations() int {
	if v.MaxViolations > 0 {
		return v.MaxViolations
	}
	return 20
}

func (v *Validator) maxKeys() int {
	if v.MaxKeys > 0 {
		return v.MaxKeys
	}
	return 200_000
}

// full: enough was found, the check ends.
func (v *Validator) full() bool { return v.more }

// name resolves a name of the document against the schema.
func (v *Validator) name(id xmltape.NameID) *nameInfo {
	info := &v.names[id]
	if info.serial != v.serial {
		info.serial = v.serial
		info.space = v.space(v.tape.Space(id))
		info.sym, info.model = 0, nil
		if info.space != unknownSpace {
			info.sym = v.s.symbols.find(v.tape.NameHash(id), info.space, v.tape.Local(id))
		}
	}
	return info
}

func (v *Validator) space(id xmltape.SpaceID) int32 {
	info := &v.spaces[id]
	if info.serial != v.serial {
		info.serial, info.uri = v.serial, ""
		n, ok := v.s.symbols.numbers[string(v.tape.SpaceURI(id))]
		if !ok {
			n = unknownSpace
		}
		info.number = n
	}
	return info.number
}

// run walks over the tokens of the element. It knows three cases: a child
// begins, the open element ends, and everything else, which the element's own
// check has looked at when it began.
func (v *Validator) run() {
	i := v.rootElement()
	for len(v.frames) > 0 && !v.full() {
		tok := &v.tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			i = v.child(i, tok)
			continue
		case xmltape.End:
			v.end(i)
		}
		i++
	}
}

// rootElement begins the element to be validated and gives the next token.
func (v *Validator) rootElement() int32 {
	info := v.name(v.tokens[v.root].Name)
	decl := v.s.elements[info.sym]
	if decl == nil && v.Root != LaxRoot && !(v.Root == TypedRoot && v.hasXsiType(v.root)) {
		v.unknownRoot()
		return v.root
	}
	return v.element(v.root, decl)
}

// child matches a child element with the content model of its parent and
// begins it; it gives the token to go on with.
func (v *Validator) child(i int32, tok *xmltape.Token) int32 {
	f := &v.frames[len(v.frames)-1]
	info := v.name(tok.Name)
	m := f.model
	if info.model != m {
		info.model, info.column = m, -1
		if info.sym != 0 {
			info.column = m.columns.find(info.sym)
		}
		if info.column < 0 {
			info.column = m.spaceColumn(info.space)
		}
	}
	col := info.column
	if f.broken {
		return v.astray(i, m, col, info)
	}
	var t *term
	switch {
	case col < 0:
	case m.isAll:
		if t = &m.members[col]; t.elem != nil && v.counts[f.counts+m.slots[col]] != 0 {
			t = nil
		} else if t.elem != nil {
			v.counts[f.counts+m.slots[col]] = 1
			f.state = 1
		}
	default:
		tr := m.rows[f.state*m.width+col]
		switch {
		case tr.next >= 0:
			f.state = tr.next
			t = &m.terms[tr.term]
		case tr.next < noWay:
			t = v.guarded(f, m.guarded[-tr.next-2])
		}
	}
	if t == nil {
		f.broken = true
		v.unexpected(i, f, col)
		return v.astray(i, m, col, info)
	}
	if t.elem != nil {
		return v.element(i, v.meant(t, info))
	}
	return v.wild(i, t.wild, info)
}

// meant is the declaration of a child that was matched with an element: of its
// own name, where that has a substitution group (cvc-accept of 3.9.4).
func (v *Validator) meant(t *term, info *nameInfo) *elementDecl {
	if t.head {
		return v.s.elements[info.sym]
	}
	return t.elem
}

// spaceColumn is the column of a name that the model does not list.
func (m *model) spaceColumn(space int32) int32 {
	for i := range m.spaces {
		if m.spaces[i].id == space {
			return m.spaces[i].column
		}
	}
	return m.other
}

// guarded takes the transition whose guards hold; nil when none does.
func (v *Validator) guarded(f *frame, alternatives []guarded) *term {
	counts := v.counts[f.counts:]
	for k := range alternatives {
		g := &alternatives[k]
		if !open(f.model, counts, g.ops) {
			continue
		}
		for _, o := range g.ops {
			switch o.kind {
			case enterCount:
				counts[o.counter] = 1
			case loopCount:
				counts[o.counter]++
			}
		}
		f.state = g.next
		return &f.model.terms[g.term]
	}
	return nil
}

// open reports whether the guards of a transition or an exit hold.
func open(m *model, counts []int32, ops []counterOp) bool {
	for _, o := range ops {
		r := m.counters[o.counter]
		switch o.kind {
		case loopCount:
			if r.max >= 0 && counts[o.counter] >= r.max {
				return false
			}
		case leaveCount:
			if counts[o.counter] < r.min {
				return false
			}
		}
	}
	return true
}

// wild assesses a child that a wildcard took.
func (v *Validator) wild(i int32, w *wildcard, info *nameInfo) int32 {
	if w.process == skip {
		return v.tokens[i].Match + 1
	}
	decl := v.s.elements[info.sym]
	if decl == nil && w.process == strict && !v.hasXsiType(i) {
		v.report(i, "cvc-complex-type.2.4.c", v.nameAt(i), nil,
			"элемент %[1]s разрешён здесь, только если он объявлен в схеме, а он не объявлен", "element %[1]s is allowed here only when it is declared in the schema, and it is not", v.nameAt(i))
		return v.tokens[i].Match + 1
	}
	return v.element(i, decl)
}

// astray assesses a child of an element whose content is wrong already, as far
// as its name tells what it should have been.
func (v *Validator) astray(i int32, m *model, col int32, info *nameInfo) int32 {
	if col >= 0 && m.syms[col] == info.sym && info.sym != 0 {
		if m.isAll {
			return v.element(i, v.meant(&m.members[col], info))
		}
		for k := range m.terms {
			if e := m.terms[k].elem; e != nil && e.sym == info.sym {
				return v.element(i, e)
			}
		}
		if e := v.s.elements[info.sym]; e != nil {
			return v.element(i, e) // a member of some substitution group here
		}
	}
	return v.tokens[i].Match + 1
}

// end closes the open element.
func (v *Validator) end(i int32) {
	f := &v.frames[len(v.frames)-1]
	if !f.broken && !v.complete(f) {
		v.incomplete(i, f)
	}
	v.exit(f.tok, f.decl, nil, nil)
	v.counts = v.counts[:f.counts]
	v.frames = v.frames[:len(v.frames)-1]
}

// complete reports whether the content may end here.
func (v *Validator) complete(f *frame) bool {
	m := f.model
	if m.isAll {
		if m.optional && f.state == 0 {
			return true
		}
		for i, needed := range m.needed {
			if needed && v.counts[f.counts+int32(i)] == 0 {
				return false
			}
		}
		return true
	}
	a := m.accept[f.state]
	if a >= 0 {
		return a == 1
	}
	for _, ops := range m.exits[-a-1] {
		if open(m, v.counts[f.counts:], ops) {
			return true
		}
	}
	return false
}

// element assesses an element: its type, attributes and, unless it has
// children to be matched, its content. It gives the token to go on with.
func (v *Validator) element(i int32, decl *elementDecl) int32 {
	tok := &v.tokens[i]
	typ := typeDef(v.s.anyType)
	if decl != nil {
		typ = decl.typ
		if decl.abstract {
			v.report(i, "cvc-elt.2", v.nameAt(i), nil, "элемент %[1]s абстрактный: на его месте должен стоять элемент его группы подстановки", "element %[1]s is abstract: a member of its substitution group must stand in its place", v.nameAt(i))
			return tok.Match + 1
		}
	}
	nilled := false
	if tok.NAttr > 0 {
		v.scope.scope = tok.Scope
		typ, nilled = v.instanceAttributes(i, tok, decl, typ)
	}
	if v.s.identities != nil {
		v.enter(i, tok, decl, typ)
	}
	ct, complex := typ.(*complexType)
	if !complex {
		if tok.NAttr > 0 {
			v.noAttributes(i, tok)
		}
		v.simpleElement(i, tok, decl, typ.(*simpleType), nilled)
		return tok.Match + 1
	}
	if ct.abstract {
		v.report(i, "cvc-type.2", "", nil, "тип %[1]s абстрактный: укажите через xsi:type выведенный из него", "type %[1]s is abstract: name one derived from it by xsi:type", ct.display())
		v.leave(i, decl)
		return tok.Match + 1
	}
	if tok.NAttr > 0 || ct.attrTable.required > 0 || ct.attrTable.references {
		v.attributes(i, tok, ct)
	}
	switch {
	case nilled:
		v.nilElement(i, tok, decl)
	case ct.content == simpleContent:
		v.simpleElement(i, tok, decl, ct.simple, false)
		return tok.Match + 1
	case decl != nil && decl.constraint.kind != noValue && v.constrained(i, tok, decl, ct):
	case ct.content == emptyContent || ct.model == nil:
		v.emptyElement(i, tok)
	default:
		if ct.content == elementContent && tok.Flags&xmltape.HasText != 0 {
			v.strayText(i, tok)
		}
		v.push(i, decl, ct)
		return i + 1
	}
	v.leave(i, decl)
	return tok.Match + 1
}

// leave ends an element without a frame for the identity constraints.
func (v *Validator) leave(i int32, decl *elementDecl) { v.exit(i, decl, nil, nil) }

// watched is an open element that the paths of identity constraints have been
// stepped into.
type watched struct {
	asleep int32 // Validator.asleep when it began
	lively bool  // some path goes on into its children
}

// enter steps the paths of identity constraints into an element. Below an
// element in which all paths have ended or failed there is nothing to step, but
// for a scope of its own that an element may begin: most of a document is like
// that, and only counted.
func (v *Validator) enter(i int32, tok *xmltape.Token, decl *elementDecl, typ typeDef) {
	s := &v.idc
	if decl == nil || len(decl.identities) == 0 {
		if !s.active() {
			return
		}
		if !v.watched[len(v.watched)-1].lively {
			v.asleep++
			return
		}
	}
	v.watched = append(v.watched, watched{asleep: v.asleep})
	v.asleep = 0
	v.identityStart(i, tok, decl, typ)
	for k, bits := range s.bits[s.levels[s.depth-1]:] {
		if path := s.paths[k].path; bits&(1<<len(path.steps)-1) != 0 || path.descend && bits&1 != 0 {
			v.watched[len(v.watched)-1].lively = true
			break
		}
	}
}

// exit ends an element for the identity constraints; t and raw are its simple
// type and value, nil when it has none that is valid.
func (v *Validator) exit(i int32, decl *elementDecl, t *simpleType, raw []byte) {
	switch {
	case !v.idc.active():
	case v.asleep > 0:
		v.asleep--
	default:
		v.identityEnd(i, decl, t, raw)
		top := len(v.watched) - 1
		v.asleep = v.watched[top].asleep
		v.watched = v.watched[:top]
	}
}

func (v *Validator) push(i int32, decl *elementDecl, ct *complexType) {
	m := ct.model
	at := len(v.frames)
	if at == cap(v.frames) {
		v.frames = append(v.frames, frame{})
	}
	// Field by field: a literal would be put together elsewhere and copied.
	v.frames = v.frames[:at+1]
	f := &v.frames[at]
	f.decl, f.model, f.state, f.counts, f.tok, f.broken = decl, m, 0, int32(len(v.counts)), i, false
	n := len(m.counters)
	if m.isAll {
		n = len(m.needed)
	}
	for range n {
		v.counts = append(v.counts, 0)
	}
}

// simpleElement checks an element with simple content.
func (v *Validator) simpleElement(i int32, tok *xmltape.Token, decl *elementDecl, t *simpleType, nilled bool) {
	if nilled {
		v.nilElement(i, tok, decl)
		v.leave(i, decl)
		return
	}
	raw, ok := v.content(i, tok)
	if !ok {
		v.exit(i, decl, nil, nil)
		return
	}
	v.scope.scope = tok.Scope
	fixed := decl != nil && decl.constraint.kind == fixedValue
	written := true
	if decl != nil && decl.constraint.kind != noValue {
		if len(raw) == 0 {
			raw, fixed, written = v.defaulted(decl), false, false
			if v.s.elementDefaultKnown(decl, t) {
				v.exit(i, decl, t, raw)
				v.identities(i, t, raw)
				return
			}
		}
	}
	if f := t.v.Validate(raw, &v.ctx); f != nil {
		v.badValue(i, raw, f)
		v.exit(i, decl, nil, nil)
		return
	}
	if fixed && !v.sameAsFixed(decl, t, raw) {
		v.report(i, "cvc-elt.5.2.2.2.2", quote(raw), []string{decl.constraint.value}, "значение %[1]s, а должно быть %[2]s (fixed)", "the value is %[1]s but must be %[2]s (fixed)", quote(raw), quoteString(decl.constraint.value))
	}
	if v.PrefixesUnsigned && t.qname && written && !v.meansOne(t, raw, fixed) {
		v.report(i, "unsigned-prefix", quote(raw), nil, unsignedValueRU, unsignedValueEN, quote(raw))
	}
	v.identities(i, t, raw)
	v.exit(i, decl, t, raw)
}

// meansOne reports whether the names in a valid value have one meaning only.
func (v *Validator) meansOne(t *simpleType, raw []byte, fixed bool) bool {
	if !fixed && !t.v.Settled(raw, &v.ctx) {
		return false
	}
	v.settled++
	return true
}

const (
	unsignedValueRU = "значение %[1]s — имя, но подпись не охватывает, какому пространству имён соответствует его префикс: по дороге это можно изменить, и схема не оставляет имени единственного смысла"
	unsignedValueEN = "the value %[1]s is a name, but what namespace its prefix stands for is not under the signature: it can be changed on the way, and the schema does not leave the name one meaning"
)

// sameAsFixed compares a value with the fixed one of a declaration. Where that
// declares mixed content or xs:anySimpleType, whose fixed value is as it is
// written, and xsi:type a simple type, it is read as a value of the latter.
func (v *Validator) sameAsFixed(decl *elementDecl, t *simpleType, raw []byte) bool {
	v.key, _ = t.v.AppendKey(v.key[:0], raw, &v.ctx)
	if declared := contentType(decl.typ); declared != nil && declared != v.s.anySimpleType {
		return string(v.key) == string(decl.constraint.key)
	}
	n := len(v.key)
	v.attr = append(v.attr[:0], decl.constraint.value...)
	if t.v.Validate(v.attr, &v.ctx) != nil {
		return false
	}
	v.key, _ = t.v.AppendKey(v.key, v.attr, &v.ctx)
	return string(v.key[:n]) == string(v.key[n:])
}

// elementDefaultKnown: the default of a declaration was checked against just
// this type when the schema was compiled.
func (s *Schema) elementDefaultKnown(decl *elementDecl, t *simpleType) bool {
	return contentType(decl.typ) == t
}

// defaulted is the value that an empty element takes.
func (v *Validator) defaulted(decl *elementDecl) []byte {
	v.text = append(v.text[:0], decl.constraint.value...)
	return v.text
}

// content is the text of an element that may have no children. It reports a child.
func (v *Validator) content(i int32, tok *xmltape.Token) (raw []byte, ok bool) {
	if t := &v.tokens[i+1]; tok.Match == i+2 && t.Kind == xmltape.Text && t.Flags&xmltape.Decode == 0 {
		return v.tape.Source()[t.Off:t.End], true
	}
	v.text = v.text[:0]
	for k := i + 1; k < tok.Match; k++ {
		t := &v.tokens[k]
		switch t.Kind {
		case xmltape.Start:
			rule := "cvc-type.3.1.2"
			v.report(k, rule, v.nameAt(k), nil, "внутри %[2]s может быть только значение, а не элемент %[1]s", "%[2]s may hold only a value, not element %[1]s", v.nameAt(k), v.nameAt(i))
			return nil, false
		case xmltape.Text, xmltape.CData:
			v.text = v.appendChars(v.text, t)
		}
	}
	return v.text, true
}

// appendChars appends the value of a text token.
func (v *Validator) appendChars(buf []byte, t *xmltape.Token) []byte {
	if t.Flags&xmltape.Decode == 0 {
		return append(buf, v.tape.CharData(t, nil)...)
	}
	return v.tape.CharData(t, buf)
}

// emptyElement checks an element whose type allows neither text nor children.
func (v *Validator) emptyElement(i int32, tok *xmltape.Token) {
	for k := i + 1; k < tok.Match; k++ {
		switch t := &v.tokens[k]; t.Kind {
		case xmltape.Start:
			v.report(k, "cvc-complex-type.2.1", v.nameAt(k), nil, "элемент %[2]s должен быть пустым, а в нём стоит %[1]s", "element %[2]s must be empty but holds %[1]s", v.nameAt(k), v.nameAt(i))
			return
		case xmltape.Text, xmltape.CData:
			if len(v.tape.CharData(t, v.text[:0])) > 0 {
				v.report(k, "cvc-complex-type.2.1", quote(v.tape.CharData(t, nil)), nil, "элемент %[1]s должен быть пустым, а в нём стоит текст", "element %[1]s must be empty but holds text", v.nameAt(i))
				return
			}
		}
	}
}

// nilElement checks an element with xsi:nil="true": nothing may stand in it.
func (v *Validator) nilElement(i int32, tok *xmltape.Token, decl *elementDecl) {
	for k := i + 1; k < tok.Match; k++ {
		switch t := &v.tokens[k]; t.Kind {
		case xmltape.Start, xmltape.Text, xmltape.CData:
			if t.Kind == xmltape.Start || len(v.tape.CharData(t, v.text[:0])) > 0 {
				v.report(k, "cvc-elt.3.2.1", "", nil, "у элемента %[1]s стоит xsi:nil=\"true\", но он не пуст", "element %[1]s has xsi:nil=\"true\" but is not empty", v.nameAt(i))
				return
			}
		}
	}
	if decl != nil && decl.constraint.kind == fixedValue {
		v.report(i, "cvc-elt.3.2.2", "", nil, "у элемента %[1]s постоянное значение (fixed): xsi:nil невозможен", "element %[1]s has a fixed value: xsi:nil is not possible", v.nameAt(i))
	}
}

// constrained holds a default or fixed value against content that is not
// simple; true ends the element. That the declared type may have such a value
// was checked with the schema, but xsi:type may name another one.
func (v *Validator) constrained(i int32, tok *xmltape.Token, decl *elementDecl, ct *complexType) bool {
	fixed := decl.constraint.kind == fixedValue
	v.text = v.text[:0]
	for k := i + 1; k < tok.Match && (fixed || len(v.text) == 0); k++ {
		switch t := &v.tokens[k]; t.Kind {
		case xmltape.Start:
			if fixed {
				v.report(k, "cvc-elt.5.2.2.1", v.nameAt(k), nil, "у элемента %[1]s постоянное значение (fixed): вложенных элементов быть не может", "element %[1]s has a fixed value: it may have no children", v.nameAt(i))
			}
			return fixed
		case xmltape.Text, xmltape.CData:
			v.text = v.appendChars(v.text, t)
		}
	}
	if len(v.text) == 0 { // the value stands for the content
		if ct.content != mixedContent || ct.model != nil && !ct.model.emptiable() {
			v.report(i, "cvc-elt.5.1.1", "", nil, "элемент %[1]s пуст, и значение %[2]s заняло бы его место, но тип %[3]s такого не допускает", "element %[1]s is empty, and the value %[2]s would take its place, but type %[3]s does not allow that",
				v.nameAt(i), quoteString(decl.constraint.value), ct.display())
		}
		return true
	}
	if fixed && ct.content == mixedContent && string(v.text) != decl.constraint.value {
		v.report(i, "cvc-elt.5.2.2.2.1", quote(v.text), []string{decl.constraint.value}, "значение %[1]s, а должно быть %[2]s (fixed)", "the value is %[1]s but must be %[2]s (fixed)", quote(v.text), quoteString(decl.constraint.value))
		return true
	}
	return false
}

// emptiable: no child is needed.
func (m *model) emptiable() bool {
	if m.isAll {
		return m.optional || !slices.Contains(m.needed, true)
	}
	return m.accept[0] == 1
}

// strayText finds the text that element-only content may not have.
func (v *Validator) strayText(i int32, tok *xmltape.Token) {
	for k := i + 1; k < tok.Match; k++ {
		switch t := &v.tokens[k]; t.Kind {
		case xmltape.Start:
			k = t.Match
		case xmltape.Text, xmltape.CData:
			if t.Flags&xmltape.Blank == 0 {
				v.report(k, "cvc-complex-type.2.3", quote(v.tape.CharData(t, nil)), nil, "внутри %[1]s могут быть только элементы, а стоит текст %[2]s", "%[1]s may hold only elements, not text %[2]s", v.nameAt(i), quote(v.tape.CharData(t, nil)))
				return
			}
		}
	}
}
