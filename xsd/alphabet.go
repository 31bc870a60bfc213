package xsd

import (
	"encoding/binary"
	"sort"
)

// alphabet is the columns of a content model: one for each name in it, one for
// each way in which its wildcards tell other namespaces apart.
type alphabet struct {
	names     []qname
	index     map[qname]int
	spaces    []string // listed namespaces that have a column, sorted
	spaceCols []int
	other     int // column of other namespaces; -1: none
	columns   int
	columnsOf [][]int // by leaf
	terms     []int32 // by leaf: index of its term+1
	hidden    []bool  // by column of a name: every element of that name is abstract
}

func (a *alphabet) width() int { return a.columns }

func (a *alphabet) describe(col int) string {
	if col < len(a.names) {
		return a.names[col].short()
	}
	for i, c := range a.spaceCols {
		if c == col {
			if a.spaces[i] == "" {
				return "*"
			}
			return "{" + a.spaces[i] + "}*"
		}
	}
	return "*"
}

// term is the index of what a leaf stands for.
func (a *alphabet) term(m *model, l *leaf) int32 {
	if len(m.terms) == 0 {
		a.terms = make([]int32, len(a.columnsOf))
	}
	if a.terms[l.id] == 0 {
		m.terms = append(m.terms, l.term())
		a.terms[l.id] = int32(len(m.terms))
	}
	return a.terms[l.id] - 1
}

func (l *leaf) term() term {
	return term{elem: l.elem, wild: l.wild, leaf: l, head: l.elem != nil && l.elem.global && len(l.elem.members) > 0}
}

func (c *compiler) newAlphabet(at *node, leaves []*leaf) *alphabet {
	a := &alphabet{index: map[qname]int{}, other: -1, columnsOf: make([][]int, len(leaves))}
	var wilds []*leaf
	mentioned := map[string]bool{"": true}
	byHead := map[*elementDecl][]int{}
	for _, l := range leaves {
		if l.wild != nil {
			wilds = append(wilds, l)
			for _, s := range l.wild.spaces.set {
				mentioned[s] = true
			}
			mentioned[l.wild.spaces.not] = true
			continue
		}
		if cols, ok := byHead[l.elem]; ok {
			a.columnsOf[l.id] = cols
			continue
		}
		for _, e := range substitutes(l.elem) {
			c.tick()
			col, ok := a.index[e.name]
			if !ok {
				col = len(a.names)
				a.index[e.name] = col
				a.names = append(a.names, e.name)
				a.hidden = append(a.hidden, true)
			}
			a.hidden[col] = a.hidden[col] && e.abstract
			a.columnsOf[l.id] = append(a.columnsOf[l.id], col)
		}
		byHead[l.elem] = a.columnsOf[l.id]
	}
	a.columns = len(a.names)
	c.hold(at, len(a.names)*columnBytes)
	if len(wilds) == 0 {
		return a
	}
	c.hold(at, len(mentioned)*spaceBytes)
	pairs := 0
	for col, name := range a.names {
		for _, l := range wilds {
			c.tick()
			if l.wild.spaces.contains(name.space) {
				if pairs++; pairs > c.lim.TotalRows {
					c.exceededAt(at, "rows", c.lim.TotalRows)
				}
				a.columnsOf[l.id] = append(a.columnsOf[l.id], col)
			}
		}
	}
	signatures := map[string]int{}
	column := func(contains func(spaceSet) bool) int {
		var sig []byte
		for i, l := range wilds {
			c.tick()
			if contains(l.wild.spaces) {
				sig = binary.AppendUvarint(sig, uint64(i))
			}
		}
		if sig == nil {
			return -1
		}
		col, ok := signatures[string(sig)]
		if !ok {
			col = a.columns
			a.columns++
			signatures[string(sig)] = col
			for _, l := range wilds {
				if contains(l.wild.spaces) {
					a.columnsOf[l.id] = append(a.columnsOf[l.id], col)
				}
			}
		}
		return col
	}
	a.other = column(func(s spaceSet) bool { return s.kind != someSpaces })
	for s := range mentioned {
		a.spaces = append(a.spaces, s)
	}
	sort.Strings(a.spaces)
	for _, s := range a.spaces {
		a.spaceCols = append(a.spaceCols, column(func(set spaceSet) bool { return set.contains(s) }))
	}
	return a
}

// substitutes is an element and all that may stand for it.
func substitutes(e *elementDecl) []*elementDecl {
	if !e.global || len(e.members) == 0 {
		return []*elementDecl{e}
	}
	return append([]*elementDecl{e}, e.members...)
}

// contentModel makes the automaton of a type and checks cos-nonambig and
// cos-element-consistent on the way; nil after a finding, or when the content
// is empty.
func (c *compiler) contentModel(t *complexType) *model {
	p := orEmpty(t.particle)
	var leaves []*leaf
	e := c.expand(p, &leaves)
	a := c.newAlphabet(t.node, leaves)
	if !c.consistent(t, leaves) {
		return nil
	}
	if p.isAll() {
		return c.allModel(t, a, leaves)
	}
	if e == nil {
		e = &expr{op: opSequence, min: 1, max: 1, empty: true}
	}
	at := p.node
	if at == nil {
		at = t.node
	}

	// Unique Particle Attribution on a model with shortened ranges.
	found := false
	u := &unrolling{reduced: true, limit: c.lim.Positions}
	w := e.write(u)
	if w == nil {
		c.exceededAt(at, "positions", c.lim.Positions)
	}
	saved := c.rows
	newBuilder(c, at, a).automaton(w, func(x conflict) bool {
		found = true
		where := x.b.node
		if where == nil {
			where = at
		}
		c.find(where, "cos-nonambig", "неоднозначность: %[1]s можно отнести к двум местам модели содержимого (строка %[2]d и эта)", "ambiguous: %[1]s can be matched with two places of the content model (line %[2]d and this one)", x.name, lineOf(x.a.node))
		return false
	})
	c.rows = saved
	if found {
		return nil
	}

	// As the sizes suggest; else with counters alone, which can be told apart where
	// copies beside counters cannot; else all written out.
	for _, u := range []unrolling{{}, {counted: true}, {full: true}} {
		u.limit = c.lim.Positions
		if w = e.write(&u); w == nil {
			c.exceededAt(at, "positions", c.lim.Positions)
		}
		if m, how := newBuilder(c, at, a).automaton(w, nil); how == built {
			m.alphabet(a)
			return m
		}
	}
	panic("xsd: a model without counters is ambiguous")
}

func lineOf(n *node) int {
	if n == nil {
		return 0
	}
	line, _ := n.doc.tape.Position(int(n.el.Token().Off))
	return line
}

// alphabet keeps what the runtime needs of the columns.
func (m *model) alphabet(a *alphabet) {
	m.width = int32(a.columns)
	m.names = make([]qname, a.columns)
	copy(m.names, a.names)
	m.hidden = a.hidden
	m.other = int32(a.other)
	for i, s := range a.spaces {
		if col := a.spaceCols[i]; col != a.other {
			m.spaces = append(m.spaces, spaceColumn{space: s, column: int32(col)})
		}
	}
}

// consistent is cos-element-consistent: one name, one type.
func (c *compiler) consistent(t *complexType, leaves []*leaf) bool {
	types := map[qname]*elementDecl{}
	seen := map[*elementDecl]bool{}
	for _, l := range leaves {
		if l.elem == nil || seen[l.elem] {
			continue
		}
		seen[l.elem] = true
		for _, e := range substitutes(l.elem) {
			c.tick()
			if o := types[e.name]; o == nil {
				types[e.name] = e
			} else if o.typ != e.typ {
				c.find(l.node, "cos-element-consistent", "элемент %[1]s встречается в одном содержимом с разными типами: %[2]s и %[3]s", "element %[1]s occurs in one content model with different types: %[2]s and %[3]s",
					e.name.short(), o.typ.display(), e.typ.display())
				return false
			}
		}
	}
	return true
}

// allModel makes the model of an xs:all.
func (c *compiler) allModel(t *complexType, a *alphabet, leaves []*leaf) *model {
	m := &model{isAll: true, optional: t.particle.min == 0}
	m.alphabet(a)
	m.members = make([]term, a.columns)
	m.slots = make([]int32, a.columns)
	needed := map[int]bool{}
	for _, p := range t.particle.group.particles {
		needed[len(needed)] = p.min > 0
	}
	for _, l := range leaves {
		m.needed = append(m.needed, needed[l.id])
		for _, col := range a.columnsOf[l.id] {
			if o := m.members[col].leaf; o != nil {
				c.find(l.node, "cos-nonambig", "неоднозначность: %[1]s можно отнести к двум местам модели содержимого (строка %[2]d и эта)", "ambiguous: %[1]s can be matched with two places of the content model (line %[2]d and this one)", a.describe(col), lineOf(o.node))
				return nil
			}
			m.members[col] = l.term()
			m.slots[col] = int32(l.id)
		}
	}
	return m
}
