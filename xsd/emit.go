package xsd

import (
	"sync"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

// Schema is a compiled schema: immutable, to be shared by all goroutines.
type Schema struct {
	universe
	pool    sync.Pool // of *Validator, for Validate
	digest  [32]byte
	files   []string
	symbols *symbolTable

	elements   []*elementDecl       // global ones by symbol; nil: none
	attributes []*attributeDecl     // global ones by symbol
	types      []typeDef            // named ones by symbol
	typesOf    map[string][]typeDef // named ones by local name
	typeIndex  map[qname]typeDef
	identities []*identity
	complexes  []*complexType
	allElems   []*elementDecl
	targets    []string // target namespaces of the documents
	memory     int

	xsiType, xsiNil, xsiLocation, xsiNoLocation int32
}

// attrTable is the attributes of a complex type.
type attrTable struct {
	columns  columnTable
	uses     []*attributeUse
	required int
	defaults bool // some use has a default or fixed value
	hasID    bool
	// references: some default or fixed value holds IDREFs.
	references bool
}

// emit makes the tables of the runtime.
func (c *compiler) emit(roots []string) *Schema {
	t := newSymbolTable()
	s := &Schema{universe: c.universe, digest: c.digest(roots), symbols: t, typeIndex: c.types, complexes: c.complexes, allElems: c.allElems}
	s.xsiType = t.add(qname{xsiSpace, "type"})
	s.xsiNil = t.add(qname{xsiSpace, "nil"})
	s.xsiLocation = t.add(qname{xsiSpace, "schemaLocation"})
	s.xsiNoLocation = t.add(qname{xsiSpace, "noNamespaceSchemaLocation"})
	seen := map[string]bool{}
	for _, d := range c.order {
		t.space(d.target)
		if !seen["t"+d.target] {
			seen["t"+d.target] = true
			s.targets = append(s.targets, d.target)
		}
		if !seen["f"+d.path] {
			seen["f"+d.path] = true
			s.files = append(s.files, d.path)
		}
	}
	for _, e := range c.allElems {
		e.sym = t.add(e.name)
		for _, i := range e.identities {
			s.identities = append(s.identities, i)
			c.numberPaths(t, i)
		}
	}
	for _, a := range c.attributes {
		a.sym = t.add(a.name)
	}
	for name := range c.types {
		t.add(name)
	}
	for _, ct := range c.complexes {
		c.tick()
		c.emitAttributes(t, ct)
		if ct.content == elementContent || ct.content == mixedContent {
			if ct.model = c.contentModel(ct); ct.model != nil {
				ct.model.number(t)
			}
		}
	}
	if len(c.findings) > 0 {
		return s
	}
	n := len(t.entries)
	s.elements, s.attributes, s.types = make([]*elementDecl, n), make([]*attributeDecl, n), make([]typeDef, n)
	for _, e := range c.elements {
		s.elements[e.sym] = e
	}
	for _, a := range c.attributes {
		s.attributes[a.sym] = a
	}
	s.typesOf = make(map[string][]typeDef, len(c.types))
	for name, typ := range c.types {
		s.types[t.add(name)] = typ
		s.typesOf[name.local] = append(s.typesOf[name.local], typ)
	}
	s.memory = s.measure()
	s.release()
	return s
}

func (c *compiler) emitAttributes(t *symbolTable, ct *complexType) {
	a := &attrTable{uses: ct.uses}
	syms := make([]int32, len(ct.uses))
	for i, u := range ct.uses {
		u.decl.sym = t.add(u.decl.name)
		syms[i] = u.decl.sym
		if u.required {
			a.required++
		}
		a.defaults = a.defaults || u.effective().kind != noValue
		a.references = a.references || u.effective().kind != noValue && u.decl.typ.refers
		a.hasID = a.hasID || u.decl.typ.id
	}
	if len(syms) > 0 {
		a.columns.build(syms)
	}
	ct.attrTable = a
	if ct.wildcard != nil {
		ct.wildcard.number(t)
	}
}

// number gives a wildcard the numbers of the namespaces it lists.
func (w *wildcard) number(t *symbolTable) {
	w.not = t.space(w.spaces.not)
	w.listed = w.listed[:0]
	for _, s := range w.spaces.set {
		w.listed = append(w.listed, t.space(s))
	}
}

// allows is cvc-wildcard-namespace for a numbered namespace.
func (w *wildcard) allows(space int32) bool {
	switch w.spaces.kind {
	case anySpace:
		return true
	case notSpace:
		return space != w.not && space != noSpace
	}
	for _, s := range w.listed {
		if s == space {
			return true
		}
	}
	return false
}

// number gives the columns of a model their symbols.
func (m *model) number(t *symbolTable) {
	m.syms = make([]int32, len(m.names))
	for i, n := range m.names {
		m.syms[i] = -1
		if n.local != "" {
			m.syms[i] = t.add(n)
		}
	}
	m.columns.build(m.syms)
	for i := range m.spaces {
		m.spaces[i].id = t.space(m.spaces[i].space)
	}
	for i := range m.terms {
		if w := m.terms[i].wild; w != nil {
			w.number(t)
		}
	}
}

func (c *compiler) numberPaths(t *symbolTable, i *identity) {
	number := func(paths []xpath) {
		for p := range paths {
			for s := range paths[p].steps {
				paths[p].steps[s].number(t)
			}
			if paths[p].attr != nil {
				paths[p].attr.number(t)
			}
		}
	}
	number(i.selector)
	for _, f := range i.fields {
		number(f)
	}
}

func (n *nameTest) number(t *symbolTable) {
	n.spaceNumber = t.space(n.space)
	if n.local != "" {
		n.sym = t.add(qname{n.space, n.local})
	}
}

// matches reports whether a name, given by symbol and namespace number, passes the test.
func (n *nameTest) matches(sym, space int32) bool {
	switch {
	case n.any:
		return true
	case n.local == "":
		return space == n.spaceNumber
	}
	return sym == n.sym
}

// measure estimates the bytes that the schema holds: its tables to the byte,
// components by what they cost on average. It is within a factor of two.
func (s *Schema) measure() int {
	const (
		pointer   = 8
		component = 500  // a declaration or definition with its share of maps and names
		pattern   = 4000 // the automaton of a pattern
	)
	n := len(s.symbols.slots)*4 + len(s.symbols.entries)*56 + (len(s.elements)+len(s.attributes)+2*len(s.types)+6*len(s.typeIndex))*pointer
	for _, e := range s.symbols.entries {
		n += len(e.name.local)
	}
	simples := map[*simpleType]bool{}
	simple := func(t typeDef) {
		st, ok := t.(*simpleType)
		if !ok || st == nil || simples[st] {
			return
		}
		simples[st] = true
		n += component + len(st.about)
		for _, v := range st.v.Allowed() {
			n += 2*len(v) + 64
		}
		for _, f := range st.v.Facets() {
			if n += 64; f.Kind == value.Pattern {
				n += pattern + 16*len(f.Value)
			}
		}
	}
	for _, t := range s.typeIndex {
		simple(t)
	}
	for _, e := range s.allElems {
		n += component + len(e.about)
		simple(e.typ)
	}
	n += len(s.identities) * component
	for _, ct := range s.complexes {
		n += component + len(ct.about) + len(ct.attrTable.columns.keys)*8
		simple(ct.simple)
		for _, u := range ct.uses {
			n += 64
			simple(u.decl.typ)
		}
		if m := ct.model; m != nil {
			n += component + len(m.rows)*8 + len(m.accept)*4 + len(m.columns.keys)*8 + len(m.names)*44 + len(m.terms)*32
		}
	}
	return n
}

// release lets go of the schema documents, which only compiling needs.
func (s *Schema) release() {
	for _, e := range s.allElems {
		e.node, e.constraint.node = nil, nil
		for _, i := range e.identities {
			i.node = nil
		}
	}
	for _, a := range s.attributes {
		if a != nil {
			a.node, a.constraint.node = nil, nil
		}
	}
	var particles func(p *particle)
	seen := map[*modelGroup]bool{}
	particles = func(p *particle) {
		if p == nil {
			return
		}
		p.node = nil
		if p.wild != nil {
			p.wild.node = nil
		}
		if p.group != nil && !seen[p.group] {
			seen[p.group] = true
			p.group.node = nil
			for _, k := range p.group.particles {
				particles(k)
			}
		}
	}
	for _, ct := range s.complexes {
		ct.node, ct.original = nil, nil
		if ct.wildcard != nil {
			ct.wildcard.node = nil
		}
		for _, u := range ct.uses {
			u.node, u.constraint.node, u.decl.node, u.decl.constraint.node = nil, nil, nil, nil
			releaseSimple(u.decl.typ)
		}
		releaseSimple(ct.simple)
		particles(ct.particle)
		if ct.model != nil {
			for i := range ct.model.terms {
				ct.model.terms[i].leaf = nil
			}
			for i := range ct.model.members {
				ct.model.members[i].leaf = nil
			}
		}
	}
	for _, t := range s.typeIndex {
		if st, ok := t.(*simpleType); ok {
			releaseSimple(st)
		}
	}
	for _, e := range s.allElems {
		if st, ok := e.typ.(*simpleType); ok {
			releaseSimple(st)
		}
	}
}

func releaseSimple(t *simpleType) {
	for ; t != nil && t.node != nil; t = t.base {
		t.node, t.original = nil, nil
		if t.item != nil {
			releaseSimple(t.item)
		}
		for _, m := range t.members {
			releaseSimple(m)
		}
	}
}

// Validate is Validator.Validate with a validator of the schema's own, safe for
// concurrent use.
func (s *Schema) Validate(element xmltape.Node) error {
	v, ok := s.pool.Get().(*Validator)
	if !ok {
		v = s.NewValidator()
	}
	defer s.pool.Put(v)
	return v.Validate(element)
}

// Digest is the SHA-256 over the documents of the schema and their paths.
func (s *Schema) Digest() [32]byte { return s.digest }

// Files are the paths of the documents that the schema was made of.
func (s *Schema) Files() []string { return s.files }

// Targets are the target namespaces of its documents, in the order of loading.
func (s *Schema) Targets() []string { return s.targets }

// Memory is an estimate of the bytes that the compiled schema holds.
func (s *Schema) Memory() int { return s.memory }

// HasElement reports whether {space}local is a global element: a possible root.
func (s *Schema) HasElement(space, local string) bool {
	e := s.element(qname{space, local})
	return e != nil && !e.abstract
}

func (s *Schema) element(name qname) *elementDecl {
	if sym := s.symbols.lookup(name); sym != 0 {
		return s.elements[sym]
	}
	return nil
}

var _ value.Resolver = (*node)(nil)
