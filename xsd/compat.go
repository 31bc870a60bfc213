package xsd

import (
	"fmt"
	"slices"
	"strings"

	"mezhved/xsd/internal/value"
)

// Change is one difference between two versions of a schema, as a sender sees it.
type Change struct {
	// Breaking: a document that the old schema takes may be refused by the new one.
	Breaking bool
	Kind     string   // element-removed, element-required, attribute-required, value-narrowed, ...
	Path     string   // from the root, local names
	Removed  []string // values or names that are gone
	Added    []string // values or names that are new

	ru, en string
}

// Russian is the change in a sentence, without its place.
func (c Change) Russian() string { return c.ru }

// English is the change in a sentence, without its place.
func (c Change) English() string { return c.en }

// Compare says what a sender of documents with the old root must change to
// send the new one. Names of the old root's namespace are taken for those of
// the new root's, because a new version of a service has a new namespace.
//
// Content models are compared by running both automata side by side, so that a
// reordering or a different grouping that allows the same documents is no
// change. Counters are compared by their ranges alone; a pattern that differs
// is reported as breaking, since whether it is narrower is not computed.
func Compare(old, new *Schema, oldRoot, newRoot Name) ([]Change, error) {
	a, b := old.element(qname{oldRoot.Space, oldRoot.Local}), new.element(qname{newRoot.Space, newRoot.Local})
	if a == nil {
		return nil, fmt.Errorf("compare: the old schema has no element %s", oldRoot)
	}
	if b == nil {
		return nil, fmt.Errorf("compare: the new schema has no element %s", newRoot)
	}
	c := &comparison{old: old, new: new, from: oldRoot.Space, to: newRoot.Space, seen: map[[2]typeDef]bool{}}
	c.queue = []pair{{a, b, newRoot.Local}}
	for len(c.queue) > 0 {
		p := c.queue[0]
		c.queue = c.queue[1:]
		c.elements(p)
	}
	return c.out, nil
}

type pair struct {
	old, new *elementDecl
	path     string
}

type comparison struct {
	old, new *Schema
	from, to string
	seen     map[[2]typeDef]bool
	queue    []pair
	out      []Change
}

// renamed maps a name of the old version to the new one.
func (c *comparison) renamed(n qname) qname {
	if n.space == c.from {
		n.space = c.to
	}
	return n
}

func (c *comparison) add(breaking bool, kind, path, ru, en string, args ...any) *Change {
	c.out = append(c.out, Change{Breaking: breaking, Kind: kind, Path: path, ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)})
	return &c.out[len(c.out)-1]
}

func (c *comparison) elements(p pair) {
	if p.old.nillable && !p.new.nillable {
		c.add(true, "nil-forbidden", p.path, "xsi:nil больше не допускается", "xsi:nil is no longer allowed")
	} else if p.new.nillable && !p.old.nillable {
		c.add(false, "nil-allowed", p.path, "теперь допускается xsi:nil", "xsi:nil is now allowed")
	}
	if v := p.new.constraint; v.kind == fixedValue && (p.old.constraint.kind != fixedValue || p.old.constraint.value != v.value) {
		c.add(true, "value-fixed", p.path, "значение теперь должно быть %[1]s", "the value must now be %[1]s", quoteString(v.value))
	}
	o, oldComplex := p.old.typ.(*complexType)
	n, newComplex := p.new.typ.(*complexType)
	if oldComplex && newComplex {
		// A type that is used in many places is compared at the first.
		k := [2]typeDef{o, n}
		if c.seen[k] {
			return
		}
		c.seen[k] = true
	}
	so, sn := contentType(p.old.typ), contentType(p.new.typ)
	if oldComplex || newComplex {
		c.attributes(p.path, o, n)
	}
	switch {
	case so != nil && sn != nil:
		c.values(p.path, so, sn)
	case so != nil || sn != nil:
		c.add(true, "content-kind", p.path, "вид содержимого изменился: было %[1]s, стало %[2]s%.0[3]s%.0[4]s", "the kind of content changed: %.0[1]s%.0[2]s%[3]s became %[4]s",
			kindOf(p.old.typ, Russian), kindOf(p.new.typ, Russian), kindOf(p.old.typ, English), kindOf(p.new.typ, English))
	default:
		if o.content == mixedContent && n.content != mixedContent {
			c.add(true, "text-forbidden", p.path, "текст между элементами больше не допускается", "text between elements is no longer allowed")
		}
		c.content(p.path, o, n)
	}
}

func kindOf(t typeDef, lang Language) string {
	if s := contentType(t); s != nil {
		return s.display()
	}
	i := t.(*complexType).content
	return lang.Pick([...]string{"пусто", "значение", "элементы", "смешанное"}[i], [...]string{"empty", "simple", "elements", "mixed"}[i])
}

func (c *comparison) attributes(path string, o, n *complexType) {
	var old, new []*attributeUse
	if o != nil {
		old = o.uses
	}
	if n != nil {
		new = n.uses
	}
	byName := map[qname]*attributeUse{}
	for _, u := range new {
		byName[u.decl.name] = u
	}
	for _, u := range old {
		at := path + "/@" + u.decl.name.local
		m := byName[c.renamed(u.decl.name)]
		if m == nil {
			if n != nil && n.wildcard != nil && n.wildcard.spaces.contains(c.renamed(u.decl.name).space) {
				continue
			}
			c.add(true, "attribute-removed", at, "атрибута больше нет: не посылайте его", "the attribute is gone: do not send it").Removed = []string{u.decl.name.String()}
			continue
		}
		delete(byName, m.decl.name)
		if m.required && !u.required {
			c.add(true, "attribute-required", at, "атрибут стал обязательным", "the attribute is now required")
		} else if u.required && !m.required {
			c.add(false, "attribute-optional", at, "атрибут стал необязательным", "the attribute is now optional")
		}
		if v := m.effective(); v.kind == fixedValue && (u.effective().kind != fixedValue || u.effective().value != v.value) {
			c.add(true, "value-fixed", at, "значение теперь должно быть %[1]s", "the value must now be %[1]s", quoteString(v.value))
		}
		c.values(at, u.decl.typ, m.decl.typ)
	}
	for _, m := range new {
		if byName[m.decl.name] == nil {
			continue
		}
		at := path + "/@" + m.decl.name.local
		ch := c.add(m.required, "attribute-added", at, "новый необязательный атрибут", "a new optional attribute")
		if m.required {
			ch.Kind, ch.ru, ch.en = "attribute-required", "новый обязательный атрибут", "a new required attribute"
		}
		ch.Added = []string{m.decl.name.String()}
	}
}

// values compares simple types, facet by facet.
func (c *comparison) values(path string, o, n *simpleType) {
	if o.v == n.v {
		return
	}
	if o.variety != n.variety {
		c.add(true, "type-changed", path, "тип изменился: %[1]s, стал %[2]s", "the type changed: %[1]s became %[2]s", o.display(), n.display())
		return
	}
	switch o.variety {
	case list:
		c.values(path, o.item, n.item)
	case union:
		if len(o.members) != len(n.members) {
			c.add(len(n.members) < len(o.members), "type-changed", path, "изменился состав объединения типов", "the member types of the union changed")
			return
		}
		for i := range o.members {
			c.values(path, o.members[i], n.members[i])
		}
	case atomicType:
		if o.v.Primitive() != n.v.Primitive() {
			c.add(n.v.Primitive() != value.String || n.v.Facets() != nil, "type-changed", path, "тип изменился: %[1]s, стал %[2]s", "the type changed: %[1]s became %[2]s", o.v.Display(), n.v.Display())
			return
		}
	}
	c.enumerations(path, o, n)
	c.patterns(path, o, n)
	for _, k := range []value.FacetKind{value.Length, value.MinLength, value.MaxLength, value.TotalDigits, value.FractionDigits,
		value.MinInclusive, value.MinExclusive, value.MaxInclusive, value.MaxExclusive} {
		was, _, had := o.v.Effective(k)
		is, _, has := n.v.Effective(k)
		switch {
		case had && has && was == is, !had && !has:
		case !had:
			c.add(true, "value-narrowed", path, "новое ограничение %[1]s=%[2]s", "a new restriction %[1]s=%[2]s", k, is)
		case !has:
			c.add(false, "value-widened", path, "ограничение %[1]s=%[2]s снято", "the restriction %[1]s=%[2]s is gone", k, was)
		case c.admits(o, n, k, was):
			c.add(false, "value-widened", path, "ограничение %[1]s ослаблено: было %[2]s, стало %[3]s", "the restriction %[1]s is looser: %[2]s became %[3]s", k, was, is)
		default:
			c.add(true, "value-narrowed", path, "ограничение %[1]s ужесточено: было %[2]s, стало %[3]s", "the restriction %[1]s is tighter: %[2]s became %[3]s", k, was, is)
		}
	}
}

// admits reports whether the new facet is looser than the old: whether a type
// with the old value of the facet could be restricted from one with the new.
func (c *comparison) admits(o, n *simpleType, k value.FacetKind, was string) bool {
	is, _, _ := n.v.Effective(k)
	base := c.new.typeIndex[qname{xsdSpace, "string"}].(*simpleType).v
	switch {
	case n.variety == list:
		base = value.BuiltinType("NMTOKENS")
	case n.v.Primitive() != value.AnySimple:
		for _, local := range value.BuiltinNames() {
			if b := value.BuiltinType(local); b.Variety() == value.Atomic && b.Primitive() == n.v.Primitive() && b.Base() == value.BuiltinType("anySimpleType") {
				base = b
			}
		}
	}
	wide, err := base.Restrict(value.Name{}, []value.Facet{{Kind: k, Value: is}}, value.Options{})
	if err != nil {
		return false
	}
	if k == value.Length {
		return was == is
	}
	_, err = wide.Restrict(value.Name{}, []value.Facet{{Kind: k, Value: was}}, value.Options{})
	return err == nil
}

func (c *comparison) enumerations(path string, o, n *simpleType) {
	was, is := o.v.Allowed(), n.v.Allowed()
	if was == nil && is == nil {
		return
	}
	if was == nil {
		c.add(true, "value-narrowed", path, "теперь допустимы только: %[1]s", "allowed are now only: %[1]s", shortList(is)).Added = is
		return
	}
	if is == nil {
		c.add(false, "value-widened", path, "перечень допустимых значений снят", "the list of allowed values is gone").Removed = was
		return
	}
	removed, added := without(was, is), without(is, was)
	if removed != nil {
		c.add(true, "value-narrowed", path, "больше не допустимы значения: %[1]s", "no longer allowed: %[1]s", shortList(removed)).Removed = removed
	}
	if added != nil {
		c.add(false, "value-widened", path, "новые допустимые значения: %[1]s", "newly allowed: %[1]s", shortList(added)).Added = added
	}
}

// without are the values that are not among others.
func without(values, others []string) (out []string) {
	among := make(map[string]bool, len(others))
	for _, v := range others {
		among[v] = true
	}
	for _, v := range values {
		if !among[v] {
			out = append(out, v)
		}
	}
	return out
}

func shortList(values []string) string {
	more := ""
	if len(values) > maxExpected {
		values, more = values[:maxExpected], ", ..."
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quoteString(v)
	}
	return strings.Join(quoted, ", ") + more
}

func (c *comparison) patterns(path string, o, n *simpleType) {
	was, is := o.v.Patterns(), n.v.Patterns()
	has := func(steps [][]string, step []string) bool {
		return slices.ContainsFunc(steps, func(s []string) bool { return slices.Equal(s, step) })
	}
	for _, p := range is {
		if !has(was, p) {
			c.add(true, "pattern-changed", path, "значение должно иметь вид %[1]s", "the value must match %[1]s", quoteString(strings.Join(p, "|"))).Added = p
		}
	}
	for _, p := range was {
		if !has(is, p) {
			c.add(false, "pattern-changed", path, "вид %[1]s больше не требуется", "matching %[1]s is no longer required", quoteString(strings.Join(p, "|"))).Removed = p
		}
	}
}

// content runs the automata of both versions side by side and reports, for
// each pair of states, what one goes on with and the other does not.
func (c *comparison) content(path string, o, n *complexType) {
	a, b := o.model, n.model
	if a == nil || b == nil {
		if a != nil && a.names != nil {
			c.add(true, "content-kind", path, "элемент теперь должен быть пустым", "the element must now be empty")
		} else if b != nil && !(&frameless{m: b}).mayEnd(0) {
			c.add(true, "content-kind", path, "элемент больше не может быть пустым", "the element may no longer be empty")
		}
		return
	}
	children := map[qname]bool{}
	fa, fb := newFrameless(a, c.renamed), newFrameless(b, func(q qname) qname { return q })
	type states struct{ a, b int32 }
	seen := map[states]bool{{0, 0}: true}
	queue := []states{{0, 0}}
	narrowed := c.counts(path, o.particle, n.particle)
	said := map[string]bool{}
	if b.isAll {
		for i, name := range b.names {
			if b.members[i].elem != nil && b.needed[b.slots[i]] && !fa.has(name) {
				said[fmt.Sprint("element-added", name)] = true
				c.add(true, "element-required", path+"/"+name.local, "новый обязательный элемент", "a new required element").Added = []string{name.String()}
			}
		}
	}
	first := func(kind string, name qname) bool {
		k := fmt.Sprint(kind, name)
		again := said[k]
		said[k] = true
		return !again
	}
	once := func(breaking bool, kind string, name qname, ru, en string, args ...any) {
		if first(kind, name) {
			c.add(breaking, kind, path+"/"+name.local, ru, en, args...)
		}
	}
	ended := map[int32]bool{} // states of the new version
	for cells := 0; len(queue) > 0 && len(seen) < 100_000 && cells < mostCells; cells += len(a.names) + len(b.names) {
		s := queue[0]
		queue = queue[1:]
		before, after := fa.names(s.a), fb.names(s.b)
		if fa.mayEnd(s.a) && !fb.mayEnd(s.b) && !ended[s.b] {
			ended[s.b] = true
			names := after
			known := len(names) > 0 && !slices.ContainsFunc(names, func(n qname) bool { return !narrowed[n] })
			if k := fmt.Sprint("end", names); !said[k] && !known {
				said[k] = true
				for _, name := range names {
					said[fmt.Sprint("element-added", name)] = true
				}
				c.add(true, "element-required", path, "содержимое больше не может на этом закончиться; нужно ещё: %[1]s", "the content may no longer end there; needed: %[1]s", joinNames(displayNames(names))).Added = displayNames(names)
			}
		}
		if inserted := c.inserted(fa, fb, s.b, before, after, narrowed); inserted != nil {
			// The new version wants something first: say so and go on behind it.
			for _, name := range inserted {
				if !narrowed[name] {
					once(true, "element-required", name, "новый обязательный элемент", "a new required element")
				}
				tb, _ := fb.step(s.b, name)
				if next := (states{s.a, tb}); !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
			continue
		}
		for _, name := range before {
			to := c.renamed(name)
			ta, ea := fa.step(s.a, name)
			tb, eb := fb.step(s.b, to)
			if tb < 0 {
				if narrowed[to] {
					continue // its range says it
				}
				if fb.has(to) {
					if first("element-moved", to) {
						c.add(true, "element-moved", path+"/"+to.local, "элемент больше не может стоять там, где мог; вместо него ожидается: %[1]s", "the element may no longer stand where it could; expected instead: %[1]s", joinNames(displayNames(after)))
					}
				} else {
					once(true, "element-removed", to, "элемента больше нет: не посылайте его", "the element is gone: do not send it")
				}
				continue
			}
			if ea != nil && eb != nil && !children[to] {
				children[to] = true
				c.queue = append(c.queue, pair{ea, eb, path + "/" + to.local})
			}
			if next := (states{ta, tb}); !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
		for _, name := range after {
			if !fa.has(name) {
				once(false, "element-added", name, "здесь теперь может стоять новый элемент", "a new element may stand here now")
			}
		}
	}
}

// inserted gives what a state of the new version asks for before anything else
// and the old one does not ask for at all; nil when there is no such thing.
func (c *comparison) inserted(fa, fb *frameless, b int32, before, names []qname, narrowed map[qname]bool) []qname {
	if fb.m.isAll || fb.mayEnd(b) || len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if fa.has(name) && !narrowed[name] {
			return nil
		}
		if len(before) == 1 && c.renamed(before[0]) == name {
			return nil // both ask for it
		}
	}
	return names
}

// counts compares how often each child may occur, where both models say it in one place.
// It gives the names, of the new version, whose range became narrower.
func (c *comparison) counts(path string, o, n *particle) map[qname]bool {
	was, is := map[qname][2]int{}, map[qname][2]int{}
	names := collectCounts(o, was)
	collectCounts(n, is)
	reported := map[qname]bool{}
	for _, name := range names {
		w := was[name]
		i, ok := is[c.renamed(name)]
		if !ok || w == i {
			continue
		}
		narrower := i[0] > w[0] || i[1] != unbounded && (w[1] == unbounded || w[1] > i[1])
		kind := "count-widened"
		if narrower {
			kind = "count-narrowed"
			reported[c.renamed(name)] = true
		}
		c.add(narrower, kind, path+"/"+name.local, "число повторений: было %[1]s, стало %[2]s", "occurrence: %[1]s became %[2]s", occurs(w[0], w[1]), occurs(i[0], i[1]))
	}
	return reported
}

// collectCounts notes the range of each child of a particle that stands in one
// place directly in a sequence or xs:all.
func collectCounts(p *particle, out map[qname][2]int) (names []qname) {
	if p == nil || p.group == nil || p.group.compositor == choice || p.min != 1 || p.max != 1 {
		return nil
	}
	for _, k := range p.group.particles {
		if k.elem != nil {
			out[k.elem.name] = [2]int{k.min, k.max}
			names = append(names, k.elem.name)
		} else {
			names = append(names, collectCounts(k, out)...)
		}
	}
	return names
}

func displayNames(names []qname) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.local
	}
	return out
}

// mostCells bounds how many names of states are looked at in one pair of models.
const mostCells = 20_000_000

// frameless runs a content model without counters: a guarded way is open.
type frameless struct {
	m       *model
	columns map[qname]int
	known   map[qname]bool // as the new version has them
}

// newFrameless is for a model whose names renamed gives as the new version has them.
func newFrameless(m *model, renamed func(qname) qname) *frameless {
	f := &frameless{m: m, columns: map[qname]int{}, known: map[qname]bool{}}
	for i, n := range m.names {
		if n.local != "" {
			f.columns[n], f.known[renamed(n)] = i, true
		}
	}
	return f
}

func (f *frameless) column(name qname) int {
	if i, ok := f.columns[name]; ok {
		return i
	}
	for _, s := range f.m.spaces {
		if s.space == name.space {
			return int(s.column)
		}
	}
	return int(f.m.other)
}

// has reports whether the model has the name, as the new version has it, anywhere.
func (f *frameless) has(name qname) bool { return f.known[name] }

// names are the elements that a state goes on with.
func (f *frameless) names(state int32) (out []qname) {
	for i, n := range f.m.names {
		if n.local == "" {
			continue
		}
		switch {
		case f.m.isAll:
			if f.m.members[i].elem != nil {
				out = append(out, n)
			}
		case f.m.rows[state*f.m.width+int32(i)].next != noWay:
			out = append(out, n)
		}
	}
	return out
}

// step gives the next state, -1 for no way. An xs:all has the one state 0.
func (f *frameless) step(state int32, name qname) (int32, *elementDecl) {
	col := f.column(name)
	if col < 0 {
		return -1, nil
	}
	if f.m.isAll {
		return 0, f.decl(f.m.members[col], name)
	}
	tr := f.m.rows[state*f.m.width+int32(col)]
	if tr.next == noWay {
		return -1, nil
	}
	if tr.next < noWay {
		g := f.m.guarded[-tr.next-2][0]
		return g.next, f.decl(f.m.terms[g.term], name)
	}
	return tr.next, f.decl(f.m.terms[tr.term], name)
}

// decl is the declaration of a name that was matched with a term.
func (f *frameless) decl(t term, name qname) *elementDecl {
	if t.head {
		for _, m := range t.elem.members {
			if m.name == name {
				return m
			}
		}
	}
	return t.elem
}

func (f *frameless) mayEnd(state int32) bool {
	if f.m.isAll {
		return true
	}
	return f.m.accept[state] != 0
}
