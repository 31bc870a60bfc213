package xsd

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// model is a compiled content model: a deterministic automaton over the
// columns of its own small alphabet, or an xs:all.
type model struct {
	columns  columnTable
	names    []qname // by column; zero for a column of namespaces
	hidden   []bool  // by column of a name: abstract, nobody can write it
	syms     []int32 // by column, once symbols are given; -1 for a column of namespaces
	spaces   []spaceColumn
	other    int32 // column of the namespaces not listed; -1: none
	terms    []term
	rows     []transition // by state*width+column
	width    int32
	accept   []int32 // by state: 0 no, 1 yes, else -(index+1) into exits
	guarded  [][]guarded
	exits    [][][]counterOp // alternatives, each a conjunction of guards
	counters []counterRange

	isAll    bool
	optional bool // an xs:all that may be missing altogether
	needed   []bool
	members  []term // xs:all: by column
	slots    []int32
}

// term is what a child element is matched with.
type term struct {
	elem *elementDecl
	wild *wildcard
	leaf *leaf // while the schema is compiled
	head bool  // elem has a substitution group: the child's own name says which declaration
}

// transition is one cell of the automaton. next < 0: guarded[-next-2], or no
// way when -1.
type transition struct{ next, term int32 }

const noWay = -1

// guarded is a transition that counters take part in.
type guarded struct {
	ops  []counterOp
	next int32
	term int32
}

type counterOp struct {
	kind    opKind
	counter int32
}

type opKind uint8

const (
	enterCount opKind = iota // first turn
	loopCount                // another turn: needs count < max
	leaveCount               // no more: needs count >= min
)

type counterRange struct{ min, max int32 } // max -1: unbounded

type spaceColumn struct {
	space  string
	id     int32 // of the namespace, once numbered
	column int32
}

// columnTable finds the column of a symbol: open addressing, at most half full.
type columnTable struct {
	keys []int32 // symbol+1, 0: free
	cols []int32
	mask uint32
}

func (t *columnTable) build(syms []int32) {
	size := 2
	for size < 2*len(syms)+1 {
		size *= 2
	}
	t.keys, t.cols, t.mask = make([]int32, size), make([]int32, size), uint32(size-1)
	for col, sym := range syms {
		if sym < 0 {
			continue
		}
		h := hashSymbol(sym) & t.mask
		for t.keys[h] != 0 {
			h = (h + 1) & t.mask
		}
		t.keys[h], t.cols[h] = sym+1, int32(col)
	}
}

func hashSymbol(sym int32) uint32 {
	h := uint32(sym) * 0x9E3779B1
	return h ^ h>>15
}

func (t *columnTable) find(sym int32) int32 {
	if len(t.keys) == 0 {
		return -1
	}
	for h := hashSymbol(sym) & t.mask; ; h = (h + 1) & t.mask {
		switch t.keys[h] {
		case sym + 1:
			return t.cols[h]
		case 0:
			return -1
		}
	}
}

// edge leads to a position of the written-out model, or to its end.
type edge struct {
	pos int32 // atEnd: the end
	ops int32 // index into builder.ops; 0: none
}

const atEnd = -1

// builder makes an automaton from a written-out expression.
type builder struct {
	c        *compiler
	at       *node
	leaves   []*leaf
	position []*leaf // by position
	follow   []int32 // by position: index into sets
	sets     [][]edge
	setIndex map[string]int32
	setCache map[*edge]int32 // by identity of the slice
	ops      [][]counterOp
	opIndex  map[string]int32
	counters []counterRange
	firsts   map[*expr][]edge
	edges    int
	number   map[*expr]int32 // positions of leaves

	alphabet *alphabet
}

func newBuilder(c *compiler, at *node, a *alphabet) *builder {
	return &builder{c: c, at: at, alphabet: a, setIndex: map[string]int32{}, setCache: map[*edge]int32{},
		ops: [][]counterOp{nil}, opIndex: map[string]int32{"": 0}, firsts: map[*expr][]edge{}, number: map[*expr]int32{}}
}

func (b *builder) op(ops []counterOp) int32 {
	var k strings.Builder
	for _, o := range ops {
		k.WriteByte(byte(o.kind))
		k.WriteString(itoa(int(o.counter)))
	}
	if i, ok := b.opIndex[k.String()]; ok {
		return i
	}
	i := int32(len(b.ops))
	b.ops = append(b.ops, ops)
	b.opIndex[k.String()] = i
	return i
}

// prefixed puts operations before those of each edge.
func (b *builder) prefixed(ops []counterOp, edges []edge) []edge {
	out := make([]edge, len(edges))
	for i, e := range edges {
		out[i] = edge{e.pos, b.op(slices.Concat(ops, b.ops[e.ops]))}
	}
	b.spend(len(out))
	return out
}

func (b *builder) spend(n int) {
	b.c.tick()
	if b.edges += n; b.edges > b.c.lim.TotalRows {
		b.c.exceededAt(b.at, "rows", b.c.lim.TotalRows)
	}
}

// union merges sorted edge lists.
func (b *builder) union(lists ...[]edge) []edge {
	lists = slices.DeleteFunc(lists, func(l []edge) bool { return len(l) == 0 })
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	out := slices.Concat(lists...)
	slices.SortFunc(out, func(e, f edge) int { return cmp.Or(cmp.Compare(e.pos, f.pos), cmp.Compare(e.ops, f.ops)) })
	out = slices.Compact(out)
	b.spend(len(out))
	return out
}

// count numbers counters and positions.
func (b *builder) count(e *expr) {
	switch e.op {
	case opLeaf:
		b.number[e] = int32(len(b.position))
		b.position = append(b.position, e.leaf)
		return
	case opCount:
		e.counter = len(b.counters) // the number of its counter
		b.counters = append(b.counters, counterRange{int32(e.min), int32(e.max)})
		if e.kids[0].empty {
			b.counters[e.counter].min = 0
		}
	}
	for _, k := range e.kids {
		b.count(k)
	}
}

// first is the edges into an expression.
func (b *builder) first(e *expr) []edge {
	if f, ok := b.firsts[e]; ok {
		return f
	}
	var f []edge
	switch e.op {
	case opLeaf:
		f = []edge{{pos: b.number[e]}}
	case opSequence, opRepeat:
		var all [][]edge
		for _, k := range e.kids {
			all = append(all, b.first(k))
			if !k.empty {
				break
			}
		}
		f = b.union(all...)
	case opChoice:
		all := make([][]edge, len(e.kids))
		for i, k := range e.kids {
			all[i] = b.first(k)
		}
		f = b.union(all...)
	case opCount:
		f = b.prefixed([]counterOp{{enterCount, int32(e.counter)}}, b.first(e.kids[0]))
	}
	b.firsts[e] = f
	return f
}

// link gives each position below e what follows it, next being what follows e.
func (b *builder) link(e *expr, next []edge) {
	switch e.op {
	case opLeaf:
		b.follow[b.number[e]] = b.set(next)
	case opSequence:
		for i := len(e.kids) - 1; i >= 0; i-- {
			k := e.kids[i]
			b.link(k, next)
			if k.empty {
				next = b.union(b.first(k), next)
			} else {
				next = b.first(k)
			}
		}
	case opChoice:
		for _, k := range e.kids {
			b.link(k, next)
		}
	case opRepeat:
		after := next
		for i := len(e.kids) - 1; i >= 0; i-- {
			k := e.kids[i]
			if i == len(e.kids)-1 && e.max == unbounded {
				after = b.union(b.first(k), next)
			}
			b.link(k, after)
			// What follows the copy before: this copy, and the end when enough were seen.
			before := b.first(k)
			if k.empty {
				before = b.union(before, after)
			}
			if i >= e.min {
				before = b.union(before, next)
			}
			after = before
		}
	case opCount:
		n := int32(e.counter)
		k := e.kids[0]
		loop := b.prefixed([]counterOp{{loopCount, n}}, b.first(k))
		leave := b.prefixed([]counterOp{{leaveCount, n}}, next)
		b.link(k, b.union(loop, leave))
	}
}

// set interns a list of edges.
func (b *builder) set(edges []edge) int32 {
	if len(edges) > 0 {
		if i, ok := b.setCache[&edges[0]]; ok && len(b.sets[i]) == len(edges) {
			return i
		}
	}
	buf := make([]byte, 0, 8*len(edges))
	for _, e := range edges {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(e.pos))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(e.ops))
	}
	i, ok := b.setIndex[string(buf)]
	if !ok {
		i = int32(len(b.sets))
		b.sets = append(b.sets, edges)
		b.setIndex[string(buf)] = i
	}
	if len(edges) > 0 {
		b.setCache[&edges[0]] = i
	}
	return i
}

// outcome of building an automaton.
type outcome uint8

const (
	built     outcome = iota
	ambiguous         // counters cannot tell which way to go: write the ranges out
)

// conflict is two places that one child could be matched with.
type conflict struct {
	a, b *leaf
	name string
}

// automaton runs the subset construction. With conflicts it only looks for
// violations of Unique Particle Attribution.
func (b *builder) automaton(e *expr, conflicts func(conflict) bool) (*model, outcome) {
	b.count(e)
	b.follow = make([]int32, len(b.position))
	end := []edge{{pos: atEnd}}
	start := b.first(e)
	b.link(e, end)
	if e.empty {
		start = b.union(start, end)
	}
	a := b.alphabet
	m := &model{width: int32(a.width()), counters: b.counters, other: -1}

	// A state is a sorted set of follow sets; nearly always one.
	states := map[string]int32{}
	var queue [][]int32
	state := func(sets []int32) int32 {
		slices.Sort(sets)
		sets = slices.Compact(sets)
		buf := make([]byte, 0, 4*len(sets))
		for _, s := range sets {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(s))
		}
		if i, ok := states[string(buf)]; ok {
			return i
		}
		i := int32(len(queue))
		if len(queue) >= b.c.lim.States {
			b.c.exceededAt(b.at, "states", b.c.lim.States)
		}
		states[string(buf)] = i
		queue = append(queue, sets)
		return i
	}
	state([]int32{b.set(start)})
	byColumn := make([][]edge, a.width())
	for done := 0; done < len(queue); done++ {
		b.c.tick()
		var all []edge
		for _, s := range queue[done] {
			all = b.union(all, b.sets[s])
		}
		for i := range byColumn {
			byColumn[i] = byColumn[i][:0]
		}
		var exits [][]counterOp
		accept := int32(0)
		for _, x := range all {
			if x.pos == atEnd {
				if x.ops == 0 {
					accept = 1
				} else {
					exits = append(exits, b.ops[x.ops])
				}
				continue
			}
			for _, col := range a.columnsOf[b.position[x.pos].id] {
				byColumn[col] = append(byColumn[col], x)
			}
		}
		if accept == 0 && exits != nil {
			m.exits = append(m.exits, exits)
			accept = -int32(len(m.exits))
		}
		m.accept = append(m.accept, accept)
		if b.c.rows += a.width(); b.c.rows > b.c.lim.TotalRows {
			b.c.exceededAt(b.at, "rows", b.c.lim.TotalRows)
		}
		for col, edges := range byColumn {
			if len(edges) == 0 {
				m.rows = append(m.rows, transition{noWay, 0})
				continue
			}
			if conflicts == nil {
				edges = b.undominated(edges)
			}
			first := b.position[edges[0].pos]
			if conflicts != nil {
				for _, x := range edges[1:] {
					if l := b.position[x.pos]; l != first && !conflicts(conflict{first, l, a.describe(col)}) {
						return nil, built
					}
				}
			}
			plain := true
			for _, x := range edges {
				plain = plain && x.ops == 0
			}
			if plain {
				var targets []int32
				for _, x := range edges {
					targets = append(targets, b.follow[x.pos])
				}
				m.rows = append(m.rows, transition{state(targets), a.term(m, first)})
				continue
			}
			if !b.decided(edges) {
				return nil, ambiguous
			}
			var alternatives []guarded
			for _, x := range edges {
				alternatives = append(alternatives, guarded{b.ops[x.ops], state([]int32{b.follow[x.pos]}), a.term(m, b.position[x.pos])})
			}
			m.guarded = append(m.guarded, alternatives)
			m.rows = append(m.rows, transition{-int32(len(m.guarded)) - 1, 0})
		}
	}
	return m, built
}

// undominated leaves out an edge when another one to the same position keeps
// every way open that it would: the counters decide alone, and are better off.
func (b *builder) undominated(edges []edge) []edge {
	kept := edges[:0]
	for i, x := range edges {
		dominated := false
		for j, y := range edges {
			if i != j && x.pos == y.pos && b.dominates(b.ops[y.ops], b.ops[x.ops]) && (j < i || !b.dominates(b.ops[x.ops], b.ops[y.ops])) {
				dominated = true
			}
		}
		if !dominated {
			kept = append(kept, x)
		}
	}
	return kept
}

// effect of operations on one counter.
type effect uint8

const (
	unchanged effect = iota
	another          // one more turn
	restarted        // left and entered again
	entered
	left
)

func effectOn(ops []counterOp, counter int32) effect {
	e := unchanged
	for _, o := range ops {
		if o.counter != counter {
			continue
		}
		switch {
		case o.kind == loopCount:
			e = another
		case o.kind == leaveCount:
			e = left
		case e == left:
			e = restarted
		default:
			e = entered
		}
	}
	return e
}

// dominates: after y's operations no document is possible that is not possible
// after x's. A counter that needs no minimum likes to be low, one without
// maximum likes to be high.
func (b *builder) dominates(x, y []counterOp) bool {
	for n, r := range b.counters {
		ex, ey := effectOn(x, int32(n)), effectOn(y, int32(n))
		switch {
		case ex == ey:
		case r.min <= 1 && ex == unchanged && ey == another:
		case r.max < 0 && ex == another && (ey == restarted || ey == unchanged):
		default:
			return false
		}
	}
	return true
}

// decided puts the edges into the order in which they are to be tried. The first
// that is open is right when of any two, if both are, the earlier keeps every
// way open that the later would. It gives false when there is no such order.
func (b *builder) decided(edges []edge) bool {
	slices.SortStableFunc(edges, func(x, y edge) int {
		switch {
		case b.prefers(b.ops[x.ops], b.ops[y.ops]) && x.pos == y.pos:
			return -1
		case b.prefers(b.ops[y.ops], b.ops[x.ops]) && x.pos == y.pos:
			return 1
		}
		return 0
	})
	for i, y := range edges {
		for _, x := range edges[:i] {
			first, second := b.ops[x.ops], b.ops[y.ops]
			if !b.excludes(first, second) && !b.excludes(second, first) && (x.pos != y.pos || !b.prefers(first, second)) {
				return false
			}
		}
	}
	return true
}

// prefers: with the operations x, the counters that differ come out lower than
// with y, the outer ones weighing more, and none of them has a minimum to reach:
// another turn of an inner thing, for instance, against another turn of what is
// round it. Whatever may follow y may then follow x: where x is at the end of an
// inner range first, it has a turn of the outer one to spare.
func (b *builder) prefers(x, y []counterOp) bool {
	lower := false
	for n, r := range b.counters { // outer ones have lower numbers
		ex, ey := effectOn(x, int32(n)), effectOn(y, int32(n))
		switch {
		case ex == ey:
		case r.min > 1:
			return false
		case !lower:
			if ex != unchanged || ey != another {
				return false
			}
			lower = true
		case ey != restarted || ex != unchanged && ex != another:
			return false
		}
	}
	return lower
}

// excludes: two edges exclude each other when the same counter must go on for
// one and be finished for the other, and its range is a single number.
func (b *builder) excludes(x, y []counterOp) bool {
	for _, o := range x {
		if o.kind != loopCount || b.counters[o.counter].min != b.counters[o.counter].max {
			continue
		}
		if slices.Contains(y, counterOp{leaveCount, o.counter}) {
			return true
		}
	}
	return false
}
