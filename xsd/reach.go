package xsd

import (
	"slices"

	"mezhved/xsd/internal/value"
)

// Reach is where a path into documents of a schema may have led: what may be
// declared of the elements at its end. It errs to one side only: what it says
// cannot be, no valid document has; what may be in one place of a content model it
// takes for possible in all of them.
type Reach struct {
	s     *Schema
	decls []*elementDecl
	open  bool // elements that no declaration speaks of may stand here, with anything below
}

// Reach begins at the global element root; it is empty when there is none.
func (s *Schema) Reach(root Name) *Reach {
	r := &Reach{s: s}
	if e := s.element(qname{root.Space, root.Local}); e != nil {
		r.decls = []*elementDecl{e}
	}
	return r
}

// Empty says that no valid document has an element here.
func (r *Reach) Empty() bool { return len(r.decls) == 0 && !r.open }

// Step goes to the children whose names match.
func (r *Reach) Step(match func(Name) bool) *Reach {
	out := &Reach{s: r.s, open: r.open}
	seen := map[*elementDecl]bool{}
	r.children(func(e *elementDecl) {
		if !seen[e] && match(Name{e.name.space, e.name.local}) {
			seen[e] = true
			out.decls = append(out.decls, e)
		}
	}, func() { out.open = true })
	return out
}

// Children are the names of the elements that may stand one step below, as far as
// the schema declares them.
func (r *Reach) Children() []Name {
	var out []Name
	seen := map[qname]bool{}
	r.children(func(e *elementDecl) {
		if !seen[e.name] {
			seen[e.name] = true
			out = append(out, Name{e.name.space, e.name.local})
		}
	}, func() {})
	return out
}

// Attributes are the names of the attributes that may stand here; open says that
// others may, too.
func (r *Reach) Attributes() (names []Name, open bool) {
	open = r.open
	seen := map[qname]bool{}
	for _, t := range r.types() {
		ct, ok := t.(*complexType)
		if !ok {
			continue
		}
		open = open || ct.wildcard != nil
		for _, u := range ct.uses {
			if n := u.decl.name; !seen[n] {
				seen[n] = true
				names = append(names, Name{n.space, n.local})
			}
		}
	}
	return names, open
}

// Text says whether an element here may have characters of its own other than
// white space.
func (r *Reach) Text() bool {
	for _, t := range r.types() {
		if ct, ok := t.(*complexType); contentType(t) != nil || ok && ct.content == mixedContent {
			return true
		}
	}
	return r.open
}

// Values are the simple types of values that a Reach leads to. Safe for concurrent use.
type Values struct{ types []*value.Type }

// Values are those of the elements here, or of their attributes whose names match.
func (r *Reach) Values(attribute func(Name) bool) *Values {
	out := &Values{}
	add := func(t *simpleType) {
		if t != nil && t.v != nil && !slices.Contains(out.types, t.v) {
			out.types = append(out.types, t.v)
		}
	}
	for _, t := range r.types() {
		if attribute == nil {
			add(contentType(t))
			continue
		}
		if ct, ok := t.(*complexType); ok {
			for _, u := range ct.uses {
				if n := u.decl.name; attribute(Name{n.space, n.local}) {
					add(u.decl.typ)
				}
			}
		}
	}
	if !slices.ContainsFunc(out.types, func(t *value.Type) bool { return t.Listed() || t.Whitespace() == value.Collapse }) {
		out.types = nil // whatever it is, it is one value as it stands
	}
	return out
}

// Atoms gives the atomic values in a value: the items of a list, and of a union what the
// first member that takes the value makes of it. Where it may be of several types, because
// its declaration depends on the place or on xsi:type, it is read by the first that takes
// it, declared ones before those derived from them. What none takes is one value.
func (v *Values) Atoms(text string) []string {
	if v == nil {
		return []string{text}
	}
	var ctx value.Context
	for _, t := range v.types {
		if t.Validate([]byte(text), &ctx) == nil {
			out := []string{}
			t.VisitAtoms([]byte(text), &ctx, func(b []byte) { out = append(out, string(b)) })
			return out
		}
	}
	return []string{text}
}

// types are the types that elements here may have: the declared ones, and those
// that xsi:type may name instead.
func (r *Reach) types() []typeDef {
	var out []typeDef
	seen := map[typeDef]bool{}
	add := func(t typeDef) {
		if t != nil && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	for _, e := range r.decls {
		add(e.typ)
		blocked := e.block
		if ct, ok := e.typ.(*complexType); ok {
			blocked |= ct.block
		}
		for _, t := range r.s.types {
			if t != nil && r.s.derivedOK(t, e.typ, blocked&^bySubstitution) {
				add(t)
			}
		}
	}
	return out
}

// children gives take the declarations of the elements one step below; open is
// called where a wildcard lets others stand.
func (r *Reach) children(take func(*elementDecl), open func()) {
	var walk func(p *particle)
	walk = func(p *particle) {
		switch {
		case p == nil || p.max == 0:
		case p.elem != nil:
			for _, e := range substitutes(p.elem) {
				take(e)
			}
		case p.wild != nil:
			if p.wild.process != strict {
				open()
			}
			for _, e := range r.s.elements {
				if e != nil && p.wild.spaces.contains(e.name.space) {
					take(e)
				}
			}
		case p.group != nil:
			for _, k := range p.group.particles {
				walk(k)
			}
		}
	}
	for _, t := range r.types() {
		if ct, ok := t.(*complexType); ok && (ct.content == elementContent || ct.content == mixedContent) {
			walk(ct.particle)
		}
	}
}
