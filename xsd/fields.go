package xsd

import "fmt"

// FieldKind says what stands at a place of a document.
type FieldKind string

// The kinds of fields.
const (
	ElementField   FieldKind = "element"
	AttributeField FieldKind = "attribute"
	AnyField       FieldKind = "any"    // a wildcard
	ChoiceField    FieldKind = "choice" // one of the fields below it
	GroupField     FieldKind = "group"  // the fields below it, together, in order
	AllField       FieldKind = "all"    // the fields below it, together, in any order
)

// Field is one line of the description of a document.
type Field struct {
	Kind   FieldKind
	Depth  int    // of the list, from 0: the root
	Path   string // local names from the root: /Запрос/Лицо/@Код; empty for choices, groups and wildcards
	Name   string // local; of a wildcard: the namespaces that it takes
	Space  string // namespace of an element or attribute
	Occurs string // 1, 0..1, 2..5, 1..∞
	Type   string // in words; empty for elements that hold only others
	Value  string // default or fixed value
	Fixed  bool
	About  string // documentation: its own, else its type's
	As     string // name of a type that was spelled out above, which is not repeated
}

// Fields lists the fields of a document with the given root, in the order in which
// they stand: what Outline prints, for those who lay it out themselves.
func (s *Schema) Fields(root Name, lang Language) ([]Field, error) {
	e := s.element(qname{root.Space, root.Local})
	if e == nil {
		return nil, fmt.Errorf("fields: the schema has no element %s", root)
	}
	l := &fieldList{words: outline{lang: lang}, seen: map[typeDef]bool{}}
	l.element(e, 1, 1, 0, "")
	return l.list, nil
}

type fieldList struct {
	words outline // of simple types
	seen  map[typeDef]bool
	list  []Field
	bytes int
}

func (l *fieldList) full() bool { return len(l.list) >= maxOutline || l.bytes >= maxOutlineBytes }

func (l *fieldList) add(f Field) bool {
	if l.full() {
		return false
	}
	l.bytes += len(f.Path) + len(f.Type) + len(f.Name)
	l.list = append(l.list, f)
	return true
}

func (l *fieldList) element(e *elementDecl, min, max, depth int, path string) {
	if l.full() {
		return
	}
	path += "/" + e.name.local
	f := Field{Kind: ElementField, Depth: depth, Path: path, Name: e.name.local, Space: e.name.space, Occurs: times(min, max), About: e.about}
	if t := contentType(e.typ); t != nil {
		f.Type = l.words.simple(t)
	}
	f.constrained(&e.constraint)
	ct, complex := e.typ.(*complexType)
	if f.About == "" {
		f.About = aboutType(e.typ)
	}
	again := complex && l.seen[ct] && ct.name.local != ""
	if again {
		f.As = ct.display()
	}
	if !l.add(f) || !complex || again {
		return
	}
	l.seen[ct] = true
	for _, u := range ct.uses {
		if l.full() {
			return
		}
		min := 0
		if u.required {
			min = 1
		}
		a := Field{Kind: AttributeField, Depth: depth + 1, Path: path + "/@" + u.decl.name.local, Name: u.decl.name.local, Space: u.decl.name.space, Occurs: times(min, 1), Type: l.words.simple(u.decl.typ), About: u.about}
		a.constrained(u.effective())
		if a.About == "" {
			a.About = aboutType(u.decl.typ)
		}
		l.add(a)
	}
	if ct.wildcard != nil {
		l.add(Field{Kind: AnyField, Depth: depth + 1, Name: fmt.Sprint("@", ct.wildcard.spaces), Occurs: times(0, unbounded)})
	}
	if ct.content != simpleContent && ct.particle != nil {
		l.particle(ct.particle, depth+1, path, true)
	}
}

func (f *Field) constrained(v *valueConstraint) {
	f.Value, f.Fixed = v.value, v.kind == fixedValue
}

// times is how often something stands there.
func times(min, max int) string {
	switch {
	case max == unbounded:
		return itoa(min) + "..∞"
	case min == max:
		return itoa(min)
	}
	return itoa(min) + ".." + itoa(max)
}

// aboutType is what a type says of itself, or what it was restricted from.
func aboutType(t typeDef) string {
	switch t := t.(type) {
	case *complexType:
		return t.about
	case *simpleType:
		for ; t != nil; t = t.base {
			if t.about != "" {
				return t.about
			}
		}
	}
	return ""
}

func (l *fieldList) particle(p *particle, depth int, path string, top bool) {
	switch {
	case l.full():
	case p.elem != nil:
		l.element(p.elem, p.min, p.max, depth, path)
	case p.wild != nil:
		l.add(Field{Kind: AnyField, Depth: depth, Name: fmt.Sprint(p.wild.spaces), Occurs: times(p.min, p.max)})
	default:
		if !top || p.group.compositor != sequence || p.min != 1 || p.max != 1 {
			f := Field{Kind: GroupField, Depth: depth, Occurs: times(p.min, p.max)}
			switch p.group.compositor {
			case choice:
				f.Kind = ChoiceField
			case all:
				f.Kind = AllField
			}
			if !l.add(f) {
				return
			}
			depth++
		}
		for _, k := range p.group.particles {
			l.particle(k, depth, path, false)
		}
	}
}
