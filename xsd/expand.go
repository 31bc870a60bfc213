package xsd

// A content model on its way to an automaton: the particle tree is expanded
// (group references followed), its occurrence ranges are simplified, and then
// written out with copies and counters.

// leaf is one place for a child element in an expanded content model. Two
// references to one group are different leaves: that is what Unique Particle
// Attribution is about.
type leaf struct {
	id   int
	elem *elementDecl
	wild *wildcard
	node *node
}

// expr is a node of the expanded content model.
type expr struct {
	op       exprOp
	min, max int
	kids     []*expr
	leaf     *leaf
	leaves   int // places below, for budgets
	counter  int // its number in the automaton, where it is counted
	empty    bool
}

type exprOp uint8

const (
	opLeaf exprOp = iota
	opSequence
	opChoice
	opRepeat // kids are copies of one thing, the first min of them needed; max unbounded: the last may go on
	opCount  // one kid, min to max times, by a counter
)

// expand makes the expression of a particle; nil when nothing can stand there.
func (c *compiler) expand(p *particle, leaves *[]*leaf) *expr {
	c.tick()
	if p == nil || p.max == 0 {
		return nil
	}
	var e *expr
	switch {
	case p.group == nil:
		if len(*leaves) >= c.lim.Positions {
			c.exceededAt(p.node, "positions", c.lim.Positions)
		}
		l := &leaf{id: len(*leaves), elem: p.elem, wild: p.wild, node: p.node}
		*leaves = append(*leaves, l)
		e = &expr{op: opLeaf, min: 1, max: 1, leaf: l, leaves: 1}
	default:
		e = &expr{op: opSequence, min: 1, max: 1}
		if p.group.compositor == choice {
			e.op = opChoice
		}
		for _, k := range p.group.particles {
			kid := c.expand(k, leaves)
			if kid == nil {
				kid = &expr{op: opSequence, min: 1, max: 1, empty: true}
			}
			e.kids = append(e.kids, kid)
			e.leaves += kid.leaves
		}
		e.settle()
		if e.leaves == 0 {
			if e.op == opChoice && len(e.kids) == 0 && p.min > 0 {
				return e // accepts nothing at all
			}
			return nil
		}
		if len(e.kids) == 1 {
			e = e.kids[0]
		}
	}
	return e.times(p.min, p.max)
}

// settle computes whether the body of an expression may be empty.
func (e *expr) settle() {
	e.empty = e.op == opSequence
	for _, k := range e.kids {
		nullable := k.nullable()
		if e.op == opSequence && !nullable {
			e.empty = false
		}
		if e.op == opChoice && nullable {
			e.empty = true
		}
	}
}

// nullable: the expression with its range accepts the empty sequence.
func (e *expr) nullable() bool { return e.empty || e.min == 0 }

// times applies an occurrence range to an expression that has one already.
// Where both are one range of repetitions they become one; else they nest.
func (e *expr) times(lo, hi int) *expr {
	if e.empty {
		lo = 0 // an empty turn costs nothing
	}
	if hi >= beyondDocuments {
		hi = unbounded
	}
	switch {
	case lo == 1 && hi == 1:
		return e
	case e.min == 1 && e.max == 1:
		e.min, e.max = lo, hi
		if e.op == opChoice && lo <= 1 && hi == unbounded {
			e.loosen()
		}
		return e
	}
	// e{min,max}{lo,hi}: the counts min*k..max*k for k in lo..hi leave no gap when
	// each interval touches the next; the widest step is the first.
	gapless := e.max == unbounded && (lo > 0 || e.min <= 1)
	if e.max != unbounded {
		k := lo
		if hi == lo {
			gapless = true
		} else {
			gapless = mulCount(e.min, k+1) <= mulCount(e.max, k)+1
		}
	}
	if gapless {
		e.min = mulCount(e.min, lo)
		if e.max == unbounded || hi == unbounded {
			e.max = unbounded
		} else {
			e.max = mulCount(e.max, hi)
		}
		return e
	}
	return &expr{op: opSequence, min: lo, max: hi, kids: []*expr{e}, leaves: e.leaves, empty: e.nullable()}
}

// beyondDocuments is more children than any document within the limits of the
// XML gate can have (2 GiB at four bytes each): as good as unbounded.
const beyondDocuments = 1 << 29

// loosen: in (a{m,n} | b)* neighbouring runs of a flow together, so that when the
// multiples of m..n leave no gap, n says nothing: it is (a{m,unbounded} | b)*.
func (e *expr) loosen() {
	for _, k := range e.kids {
		if k.max > 1 && mulCount(k.min, 2) <= k.max+1 {
			k.max = unbounded
		}
	}
}

// unrolling says how occurrence ranges are written out.
type unrolling struct {
	reduced bool // only as much as Unique Particle Attribution can see
	full    bool // never with counters
	counted bool // with counters for all, however small the range
	copies  int  // places made so far
	limit   int
}

// Below these sizes a range is written out as copies; above, it is counted.
const (
	smallRange = 32  // places of one range
	smallModel = 512 // places of a content model
)

// write turns ranges into copies and counters; nil when the limit is passed.
func (e *expr) write(u *unrolling) *expr {
	lo, hi := e.min, e.max
	if e.empty {
		lo = 0
	}
	if u.reduced {
		// Two copies show every neighbourhood that more would: what may follow
		// another turn, and what may follow the last one.
		switch {
		case hi == unbounded:
			lo = min(lo, 2)
		case hi == lo:
			lo = min(lo, 2)
			hi = lo
		default:
			lo = min(lo, 2)
			hi = min(hi, max(lo+1, 2))
		}
	}
	if lo == 1 && hi == 1 {
		return e.body(u)
	}
	copies := hi
	if hi == unbounded {
		copies = max(lo, 1)
	}
	if !u.reduced && !u.full && copies > 1 && (mulCount(copies, e.leaves) > smallRange || u.copies+mulCount(copies, e.leaves) > smallModel || u.counted) {
		kid := e.body(u)
		if kid == nil {
			return nil
		}
		return &expr{op: opCount, min: lo, max: hi, kids: []*expr{kid}, empty: lo == 0 || kid.empty}
	}
	r := &expr{op: opRepeat, min: lo, max: hi, empty: lo == 0}
	for range copies {
		kid := e.body(u)
		if kid == nil {
			return nil
		}
		r.kids = append(r.kids, kid)
	}
	r.empty = lo == 0 || len(r.kids) > 0 && r.kids[0].empty
	return r
}

// body is the expression without its own range.
func (e *expr) body(u *unrolling) *expr {
	if e.op == opLeaf {
		if u.copies++; u.copies > u.limit {
			return nil
		}
		return &expr{op: opLeaf, leaf: e.leaf}
	}
	b := &expr{op: e.op, empty: e.empty}
	for _, k := range e.kids {
		kid := k.write(u)
		if kid == nil {
			return nil
		}
		b.kids = append(b.kids, kid)
	}
	return b
}
