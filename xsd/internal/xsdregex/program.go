package xsdregex

import (
	"slices"
	"strings"
)

// size returns how many character positions the program of n will have. With
// expand, counted classes are copied, without they are one position. It
// saturates at unbounded.
func size(n *node, expand bool) int {
	switch n.op {
	case opClass:
		return 1
	case opConcat, opAlt:
		sum := 0
		for _, s := range n.subs {
			sum = min(sum+size(s, expand), unbounded)
		}
		return sum
	case opRepeat:
		if !expand && n.subs[0].op == opClass {
			return 1
		}
		copies := n.max
		if copies == unbounded {
			copies = max(n.min, 1)
		}
		return mul(size(n.subs[0], expand), copies)
	}
	return 0
}

// mul multiplies non-negative counts, saturating at unbounded.
func mul(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	if a > unbounded/b {
		return unbounded
	}
	return a * b
}

// simplify removes what matches only the empty string from repetitions and
// alternatives, so that the size of a program is in proportion to its
// positions, and joins nested repetitions and single characters that are
// alternatives, so that more of them can be counted.
func simplify(n *node) *node {
	for i, s := range n.subs {
		n.subs[i] = simplify(s)
	}
	switch n.op {
	case opConcat:
		kept := n.subs[:0]
		for _, s := range n.subs {
			if s.op != opEmpty {
				kept = append(kept, s)
			}
		}
		n.subs = kept
		switch len(kept) {
		case 0:
			return &node{op: opEmpty}
		case 1:
			return kept[0]
		}
	case opAlt:
		kept, empty := n.subs[:0], false
		var single *node // the alternatives of one character, together
		for _, s := range n.subs {
			switch {
			case s.op == opEmpty && empty:
				continue
			case s.op == opEmpty:
				empty = true
			case s.op == opClass && single != nil:
				single.set = normalize(slices.Concat(single.set, s.set))
				continue
			case s.op == opClass:
				s = &node{op: opClass, set: s.set}
				single = s
			}
			kept = append(kept, s)
		}
		n.subs = kept
		if len(kept) == 1 {
			return kept[0]
		}
	case opRepeat:
		sub := n.subs[0]
		switch {
		case sub.op == opEmpty || n.max == 0:
			return &node{op: opEmpty}
		case n.min == 1 && n.max == 1:
			return sub
		case sub.op == opRepeat:
			return joinRepeats(n, sub)
		}
	}
	return n
}

// joinRepeats returns (X{a,b}){c,d} as X{ac,bd} where the counts of X that it
// allows have no gaps.
func joinRepeats(outer, inner *node) *node {
	a, b, c, d := inner.min, inner.max, outer.min, outer.max
	joined := &node{op: opRepeat, subs: inner.subs, min: mul(a, c), max: mul(b, d)}
	if c == d {
		return joined
	}
	if c == 0 {
		// No X at all, then a: a gap unless a <= 1. From then on as from c = 1.
		if a > 1 {
			return outer
		}
		c = 1
	}
	// j rounds end at jb, j+1 rounds begin at (j+1)a; the gap is widest at j = c.
	if c < d && mul(b, c) < unbounded && mul(b, c)+1 < mul(a, c+1) {
		return outer
	}
	return joined
}

type instOp uint8

const (
	instSplit instOp = iota // to out or alt, consuming nothing
	instClass               // one character of set, then out
	instCount               // min to max characters of set, then out; min >= 1
	instMatch
)

type inst struct {
	op       instOp
	set      int // index into program.sets
	out, alt int
	min, max int
}

// program is a Thompson automaton. Without instCount it is an ordinary one.
type program struct {
	insts []inst
	start int
	sets  []charset // distinct
}

type builder struct {
	program
	expand bool
	index  map[string]int // content of a set -> index in sets
	known  map[*node]int  // the same for nodes that have been copied before
}

// newProgram translates a simplified tree. With expand, counted classes are
// copied instead of counted.
func newProgram(tree *node, expand bool) *program {
	b := &builder{expand: expand, index: make(map[string]int), known: make(map[*node]int)}
	b.start = b.add(tree, b.emit(inst{op: instMatch}))
	return &b.program
}

func (b *builder) emit(i inst) int {
	b.insts = append(b.insts, i)
	return len(b.insts) - 1
}

func (b *builder) setIndex(n *node) int {
	if i, ok := b.known[n]; ok {
		return i
	}
	var key strings.Builder
	for _, s := range n.set {
		for _, r := range [2]rune{s.lo, s.hi} {
			key.Write([]byte{byte(r >> 16), byte(r >> 8), byte(r)})
		}
	}
	i, ok := b.index[key.String()]
	if !ok {
		i = len(b.sets)
		b.sets = append(b.sets, n.set)
		b.index[key.String()] = i
	}
	b.known[n] = i
	return i
}

// add emits the program of n that goes on at next; it returns its entry.
func (b *builder) add(n *node, next int) int {
	switch n.op {
	case opClass:
		return b.emit(inst{op: instClass, set: b.setIndex(n), out: next})
	case opConcat:
		for i := len(n.subs) - 1; i >= 0; i-- {
			next = b.add(n.subs[i], next)
		}
		return next
	case opAlt:
		entry := b.add(n.subs[len(n.subs)-1], next)
		for i := len(n.subs) - 2; i >= 0; i-- {
			entry = b.emit(inst{op: instSplit, out: b.add(n.subs[i], next), alt: entry})
		}
		return entry
	case opRepeat:
		return b.repeat(n, next)
	}
	return next
}

func (b *builder) repeat(n *node, next int) int {
	sub := n.subs[0]
	counted := n.min > 1 || n.max > 1 && n.max < unbounded
	if counted && sub.op == opClass && !b.expand {
		entry := b.emit(inst{op: instCount, set: b.setIndex(sub), out: next, min: max(n.min, 1), max: n.max})
		if n.min == 0 {
			entry = b.emit(inst{op: instSplit, out: entry, alt: next})
		}
		return entry
	}
	entry, copies := next, n.min
	if n.max == unbounded {
		loop := b.emit(inst{op: instSplit, alt: next})
		b.insts[loop].out = b.add(sub, loop)
		entry = loop
		if n.min > 0 {
			entry, copies = b.insts[loop].out, n.min-1
		}
	} else {
		for range n.max - n.min {
			entry = b.emit(inst{op: instSplit, out: b.add(sub, entry), alt: next})
		}
	}
	for range copies {
		entry = b.add(sub, entry)
	}
	return entry
}
