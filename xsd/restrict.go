package xsd

import "slices"

// restriction checks cos-particle-restrict (Part 1, 3.9.6) as the standard
// has it, case by case.
type restriction struct {
	c      *compiler
	rule   string
	groups bool // of model groups, which stand in no particle
	budget int
	at     *node // where the first mismatch was seen
	ru, en string
}

// rnode is a particle with pointless groups taken away and heads of
// substitution groups spelled out as choices.
type rnode struct {
	min, max int
	elem     *elementDecl
	wild     *wildcard
	op       compositor // when neither elem nor wild
	kids     []*rnode
	node     *node
	source   *particle
}

func (r *restriction) check(derived, base *particle, at *node) {
	d, b := r.normal(derived), r.normal(base)
	if b == nil {
		b = &rnode{min: 1, max: 1}
	}
	if d == nil {
		d = r.nothing(derived, b)
	}
	if r.valid(d, b, true) || r.groups && r.valid(r.asGroup(derived), r.asGroup(base), true) {
		return
	}
	if r.at == nil {
		r.at = at
	}
	if r.ru == "" {
		r.ru, r.en = "порядок, состав или число элементов", "order, kinds or number of elements"
	}
	r.c.find(r.at, r.rule, "содержимое не является ограничением содержимого основы: %[1]s%.0[2]s", "the content is not a restriction of the content of the base: %.0[1]s%[2]s", r.ru, r.en)
}

// nothing is what stands for derived content that has only pointless particles.
// Between groups the table still asks of which kind the content was.
func (r *restriction) nothing(derived *particle, b *rnode) *rnode {
	for g := derived.group; b.isGroup() && g.compositor != sequence; g = derived.group {
		if len(g.particles) != 1 || g.particles[0].group == nil {
			return &rnode{min: derived.min, max: derived.max, op: g.compositor, node: derived.node}
		}
		derived = g.particles[0]
	}
	return &rnode{min: 1, max: 1}
}

// normal takes pointless particles away (3.9.6, table note); nil when nothing is left.
func (r *restriction) normal(p *particle) *rnode {
	r.c.tick()
	if r.budget++; r.budget > r.c.lim.Positions {
		r.c.exceededAt(p.node, "positions", r.c.lim.Positions)
	}
	n := &rnode{min: p.min, max: p.max, elem: p.elem, wild: p.wild, node: p.node, source: p}
	switch {
	case p.group != nil:
		n = r.asGroup(p)
	case p.elem != nil:
		if p.elem.global && len(p.elem.members) > 0 {
			n.elem, n.op = nil, choice
			for _, m := range append([]*elementDecl{p.elem}, p.elem.members...) {
				n.kids = append(n.kids, &rnode{min: 1, max: 1, elem: m, node: p.node})
			}
		}
		return n
	case p.wild != nil:
		return n
	}
	switch {
	case len(n.kids) == 0 && (n.op != choice || n.min == 0 || len(p.group.particles) == 1 && n.min == 1 && n.max == 1):
		return nil
	case len(n.kids) == 1 && n.min == 1 && n.max == 1:
		return n.kids[0]
	}
	return n
}

// asGroup is a group whose particles have been rid of pointless ones, and which is
// not asked whether it is pointless itself.
func (r *restriction) asGroup(p *particle) *rnode {
	n := &rnode{min: p.min, max: p.max, op: p.group.compositor, node: p.node, source: p}
	for _, k := range p.group.particles {
		kid := r.normal(k)
		switch {
		case kid == nil:
		case kid.isGroup() && kid.min == 1 && kid.max == 1 && kid.op == n.op && n.op != all && kid.source != nil && !kid.ofHead():
			n.kids = append(n.kids, kid.kids...)
		default:
			n.kids = append(n.kids, kid)
		}
	}
	return n
}

func (n *rnode) isGroup() bool { return n.elem == nil && n.wild == nil }

// ofHead: the choice that stands for the head of a substitution group.
func (n *rnode) ofHead() bool { return n.isGroup() && n.source != nil && n.source.elem != nil }

// total is the effective total range.
func (n *rnode) total() (lo, hi int) {
	if !n.isGroup() {
		return n.min, n.max
	}
	for i, k := range n.kids {
		l, h := k.total()
		switch {
		case n.op != choice:
			lo, hi = min(lo+l, maxCount), sumMax(hi, h)
		case i == 0:
			lo, hi = l, h
		default:
			lo = min(lo, l)
			if h == unbounded || hi == unbounded {
				hi = unbounded
			} else {
				hi = max(hi, h)
			}
		}
	}
	lo = mulCount(lo, n.min)
	switch {
	case hi == 0 || n.max == 0:
		return lo, 0
	case hi == unbounded || n.max == unbounded:
		return lo, unbounded
	}
	return lo, mulCount(hi, n.max)
}

func (n *rnode) emptiable() bool {
	lo, _ := n.total()
	return lo == 0
}

// within is range-ok.
func within(min, max, baseMin, baseMax int) bool {
	return min >= baseMin && (baseMax == unbounded || max != unbounded && max <= baseMax)
}

// no notes the first mismatch.
func (r *restriction) no(at *node, ru, en string) bool {
	if r.ru == "" {
		r.at, r.ru, r.en = at, ru, en
	}
	return false
}

func (r *restriction) ranges(d, b *rnode) bool {
	if within(d.min, d.max, b.min, b.max) {
		return true
	}
	return r.no(d.node, "число повторений ("+occurs(d.min, d.max)+") выходит за пределы основы ("+occurs(b.min, b.max)+")",
		"occurrence "+occurs(d.min, d.max)+" is outside that of the base, "+occurs(b.min, b.max))
}

func occurs(min, max int) string {
	if max == unbounded {
		return itoa(min) + "..unbounded"
	}
	return itoa(min) + ".." + itoa(max)
}

// valid is the table of cos-particle-restrict. counted says whether the range
// of the base wildcard counts: not for members of a group against a wildcard,
// whose total is checked instead.
func (r *restriction) valid(d, b *rnode, counted bool) bool {
	r.c.tick()
	if d.source != nil && d.source == b.source && d.min == b.min && d.max == b.max {
		return true
	}
	switch {
	case b.wild != nil:
		switch {
		case d.elem != nil: // NSCompat
			if !b.wild.spaces.contains(d.elem.name.space) {
				return r.no(d.node, "xs:any основы не допускает элемент "+d.elem.name.short(), "the wildcard of the base does not allow element "+d.elem.name.short())
			}
			return !counted || r.ranges(d, b)
		case d.wild != nil: // NSSubset
			switch {
			case !r.ranges(d, b):
				return false
			case !d.wild.spaces.subsetOf(b.wild.spaces):
				return r.no(d.node, "xs:any допускает больше пространств имён, чем в основе", "the wildcard allows more namespaces than that of the base")
			case d.wild.process > b.wild.process:
				return r.no(d.node, "processContents слабее, чем в основе", "processContents is weaker than in the base")
			}
			return true
		}
		// NSRecurseCheckCardinality
		for _, k := range d.kids {
			if !r.valid(k, b, false) {
				return false
			}
		}
		if !counted {
			return true
		}
		lo, hi := d.total()
		if !within(lo, hi, b.min, b.max) {
			return r.no(d.node, "число элементов ("+occurs(lo, hi)+") выходит за пределы xs:any основы ("+occurs(b.min, b.max)+")",
				"the number of elements, "+occurs(lo, hi)+", is outside that of the wildcard of the base, "+occurs(b.min, b.max))
		}
		return true
	case d.wild != nil:
		return r.no(d.node, "xs:any не может заменить то, что стоит в основе", "a wildcard cannot replace what the base has")
	case b.elem != nil:
		if d.elem == nil {
			return r.no(d.node, "группа не может заменить элемент "+b.elem.name.short(), "a group cannot replace element "+b.elem.name.short())
		}
		return r.nameAndType(d, b)
	case d.elem != nil: // RecurseAsIfGroup
		d = &rnode{min: 1, max: 1, op: b.op, kids: []*rnode{d}, node: d.node}
	case d.ofHead(): // an element all the same, where that fits
		saved := *r
		if r.group(&rnode{min: 1, max: 1, op: b.op, kids: []*rnode{d}, node: d.node}, b) {
			return true
		}
		r.at, r.ru, r.en = saved.at, saved.ru, saved.en
	}
	return r.group(d, b)
}

// group is the part of the table where both are groups.
func (r *restriction) group(d, b *rnode) bool {
	switch {
	case d.op == b.op && d.op != choice:
		return r.recurse(d, b)
	case d.op == choice && b.op == choice:
		return r.recurseLax(d, b)
	case d.op == sequence && b.op == all:
		return r.recurseUnordered(d, b)
	case d.op == sequence && b.op == choice:
		return r.mapAndSum(d, b)
	}
	return r.no(d.node, "группы разного рода: такая замена не ограничение", "groups of different kinds: such a replacement is no restriction")
}

// nameAndType is rcase-NameAndTypeOK.
func (r *restriction) nameAndType(d, b *rnode) bool {
	e, f := d.elem, b.elem
	name := e.name.short()
	switch {
	case e.name != f.name:
		return r.no(d.node, "вместо "+f.name.short()+" стоит "+name, name+" stands where the base has "+f.name.short())
	case !r.ranges(d, b):
		return false
	case e == f:
		return true
	case e.nillable && !f.nillable:
		return r.no(d.node, "элемент "+name+" в основе не может быть nil", "element "+name+" is not nillable in the base")
	case f.constraint.kind == fixedValue && !(e.constraint.kind == fixedValue && r.c.sameFixed(e, f)):
		return r.no(d.node, "элемент "+name+" имеет в основе другое постоянное значение", "element "+name+" has another fixed value in the base")
	case e.block&f.block != f.block:
		return r.no(d.node, "block элемента "+name+" слабее, чем в основе", "block of element "+name+" is weaker than in the base")
	}
	for _, i := range e.identities {
		if !slices.ContainsFunc(f.identities, func(j *identity) bool { return i == j || sameIdentity(i, j) }) {
			return r.no(d.node, "у элемента "+name+" есть ограничение "+i.name.short()+", которого нет в основе", "element "+name+" has identity constraint "+i.name.short()+" that the base lacks")
		}
	}
	if !r.c.derivedOK(e.typ, f.typ, byExtension|byList|byUnion) {
		return r.no(d.node, "тип элемента "+name+" не ограничивает его тип в основе", "the type of element "+name+" is not a restriction of its type in the base")
	}
	return true
}

func sameIdentity(a, b *identity) bool {
	return a.kind == b.kind && a.name.local == b.name.local && a.refer == b.refer && slices.EqualFunc(a.selector, b.selector, samePath) &&
		slices.EqualFunc(a.fields, b.fields, func(x, y []xpath) bool { return slices.EqualFunc(x, y, samePath) })
}

func samePath(a, b xpath) bool {
	if a.descend != b.descend || !slices.Equal(a.steps, b.steps) || (a.attr == nil) != (b.attr == nil) {
		return false
	}
	return a.attr == nil || *a.attr == *b.attr
}

// sameFixed compares the fixed values of two elements: in value space when
// their content is simple, as strings otherwise.
func (c *compiler) sameFixed(e, f *elementDecl) bool {
	te, tf := contentType(e.typ), contentType(f.typ)
	if te == nil || tf == nil {
		return e.constraint.value == f.constraint.value
	}
	return c.sameValue(te, &e.constraint, tf, &f.constraint)
}

// contentType is the simple type of an element's content; nil when it is not simple.
func contentType(t typeDef) *simpleType {
	switch t := t.(type) {
	case *simpleType:
		return t
	case *complexType:
		if t.content == simpleContent {
			return t.simple
		}
	}
	return nil
}

// recurse is rcase-Recurse: in order, and what is left out may be empty.
func (r *restriction) recurse(d, b *rnode) bool {
	if !r.ranges(d, b) {
		return false
	}
	i := 0
	for _, k := range d.kids {
		for {
			if i == len(b.kids) {
				return r.no(k.node, "в основе нет места для этой частицы", "the base has no place for this particle")
			}
			saved := *r
			ok := r.valid(k, b.kids[i], true)
			if ok {
				i++
				break
			}
			if !b.kids[i].emptiable() {
				return r.no(k.node, "", "")
			}
			if i+1 < len(b.kids) {
				r.at, r.ru, r.en = saved.at, saved.ru, saved.en
			}
			i++
		}
	}
	for ; i < len(b.kids); i++ {
		if !b.kids[i].emptiable() {
			return r.no(d.node, "нет обязательной части основы", "a mandatory part of the base is left out")
		}
	}
	return true
}

// recurseLax is rcase-RecurseLax: in order, anything may be left out. The
// choice that stands for the head of a substitution group has no order of its
// own; inside another choice it counts as its members, as many places as they are.
func (r *restriction) recurseLax(d, b *rnode) bool {
	if !r.ranges(d, b) {
		return false
	}
	kids, unordered := d.kids, b.ofHead()
	if unordered {
		kids = nil
		for _, k := range d.kids {
			if k.ofHead() && k.min == 1 && k.max == 1 {
				kids = append(kids, k.kids...)
			} else {
				kids = append(kids, k)
			}
		}
	}
	i := 0
	for _, k := range kids {
		if unordered {
			i = 0
		}
		for ; ; i++ {
			if i == len(b.kids) {
				return r.no(k.node, "в выборе основы нет такой частицы в таком порядке", "the choice of the base has no such particle in this order")
			}
			saved := *r
			if r.valid(k, b.kids[i], true) {
				if x := b.kids[i]; !x.ofHead() || x.min != 1 || x.max != 1 {
					i++
				}
				break
			}
			r.at, r.ru, r.en = saved.at, saved.ru, saved.en
		}
	}
	return true
}

// recurseUnordered is rcase-RecurseUnordered: each part of the base at most once.
func (r *restriction) recurseUnordered(d, b *rnode) bool {
	if !r.ranges(d, b) {
		return false
	}
	taken := make([]bool, len(b.kids))
next:
	for _, k := range d.kids {
		for i := range b.kids {
			saved := *r
			if !taken[i] && r.valid(k, b.kids[i], true) {
				taken[i] = true
				continue next
			}
			r.at, r.ru, r.en = saved.at, saved.ru, saved.en
		}
		return r.no(k.node, "в основе нет места для этой частицы", "the base has no place for this particle")
	}
	for i, t := range taken {
		if !t && !b.kids[i].emptiable() {
			return r.no(d.node, "нет обязательной части основы", "a mandatory part of the base is left out")
		}
	}
	return true
}

// mapAndSum is rcase-MapAndSum: a sequence in place of a repeated choice.
func (r *restriction) mapAndSum(d, b *rnode) bool {
	for _, k := range d.kids {
		saved := *r
		if !slices.ContainsFunc(b.kids, func(x *rnode) bool { return r.valid(k, x, true) }) {
			r.at, r.ru, r.en = saved.at, saved.ru, saved.en
			return r.no(k.node, "в выборе основы нет такой частицы", "the choice of the base has no such particle")
		}
		r.at, r.ru, r.en = saved.at, saved.ru, saved.en
	}
	lo, hi := mulCount(d.min, len(d.kids)), d.max
	if hi != unbounded {
		hi = mulCount(hi, len(d.kids))
	}
	if !within(lo, hi, b.min, b.max) {
		return r.no(d.node, "число частей ("+occurs(lo, hi)+") выходит за пределы выбора основы ("+occurs(b.min, b.max)+")",
			"the number of parts, "+occurs(lo, hi)+", is outside that of the choice of the base, "+occurs(b.min, b.max))
	}
	return true
}
