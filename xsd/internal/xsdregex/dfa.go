package xsdregex

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"unicode/utf8"
)

// classes divides the code points into classes that no set of a program tells
// apart.
type classes struct {
	n     int
	ascii [utf8.RuneSelf]uint16
	two   [32]*[64]uint16 // by the first byte of a two byte sequence, then by the second
	lo    []rune          // first code points of the intervals, ascending
	class []uint16        // class of each interval
}

// maxClasses keeps the membership table of the sets small; an expression that
// tells more characters apart is simulated.
const maxClasses = 1024

// newClasses returns the classes and, for each set, the classes in it. It
// returns nil when there are more than maxClasses.
func newClasses(sets []charset) (*classes, [][]bool) {
	// Sweep over the code points: each set has a random number, the sum of the
	// numbers of the sets that hold a code point identifies its class.
	type edge struct {
		at  rune
		set int
	}
	edges := []edge{{0, -1}}
	for i, set := range sets {
		for _, s := range set {
			edges = append(edges, edge{s.lo, i}, edge{s.hi + 1, i})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return int(a.at) - int(b.at) })
	type signature struct{ a, b uint64 }
	numbers := make([]signature, len(sets))
	for i := range numbers {
		numbers[i] = signature{rand.Uint64(), rand.Uint64()}
	}
	c := &classes{}
	ids := make(map[signature]uint16)
	var holders []rune // one code point of each class
	var now signature
	for i := 0; i < len(edges); {
		at := edges[i].at
		for ; i < len(edges) && edges[i].at == at; i++ {
			if s := edges[i].set; s >= 0 {
				now.a ^= numbers[s].a
				now.b ^= numbers[s].b
			}
		}
		if at > utf8.MaxRune {
			break
		}
		id, ok := ids[now]
		if !ok {
			if len(ids) == maxClasses {
				return nil, nil
			}
			id = uint16(len(ids))
			ids[now] = id
			holders = append(holders, at)
		}
		c.lo = append(c.lo, at)
		c.class = append(c.class, id)
	}
	c.n = len(ids)
	for r := range c.ascii {
		c.ascii[r] = c.search(rune(r))
	}
	blocks := make(map[[64]uint16]*[64]uint16)
	for lead := range c.two {
		var b [64]uint16
		for i := range b {
			b[i] = c.search(rune(lead<<6 | i))
		}
		if blocks[b] == nil {
			blocks[b] = &b
		}
		c.two[lead] = blocks[b]
	}
	in := make([][]bool, len(sets))
	for i, set := range sets {
		in[i] = make([]bool, c.n)
		for id, r := range holders {
			in[i][id] = set.contains(r)
		}
	}
	return c, in
}

// search finds the class of any code point.
func (c *classes) search(r rune) uint16 {
	i, j := 0, len(c.lo) // c.lo[i] <= r < c.lo[j]
	for j-i > 1 {
		if h := int(uint(i+j) >> 1); c.lo[h] <= r {
			i = h
		} else {
			j = h
		}
	}
	return c.class[i]
}

// dfa is a deterministic automaton over classes. State 0 is dead, state 1 the
// start. The row of state s begins at s<<shift, and that is what next holds
// for the state s.
type dfa struct {
	classes *classes
	shift   uint
	next    []uint32
	accept  []bool
}

// newDFA determinises an expanded program. It returns nil when the result, or
// the work to get there, exceeds the limits.
func newDFA(p *program, limits Limits) *dfa {
	cl, in := newClasses(p.sets)
	if cl == nil {
		return nil
	}
	d := &dfa{classes: cl}
	for 1<<d.shift < cl.n {
		d.shift++
	}
	maxStates := min(limits.States, limits.Table/4>>d.shift)
	work := 1000 * limits.States // steps over instructions; enough for all but the degenerate

	ids := map[string]uint32{"": 0}
	sets := [][]int{nil} // instructions of each state
	d.accept = []bool{false}
	seen := newMarks(len(p.insts))
	var stack, members []int
	var key []byte
	// closure returns the state of everything reachable from pcs without input.
	closure := func(pcs []int) (uint32, bool) {
		seen.reset()
		members = members[:0]
		stack = append(stack[:0], pcs...)
		for len(stack) > 0 {
			pc := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if !seen.add(pc) {
				continue
			}
			work--
			if i := &p.insts[pc]; i.op == instSplit {
				stack = append(stack, i.out, i.alt)
			} else {
				members = append(members, pc)
			}
		}
		slices.Sort(members)
		key = key[:0]
		for _, pc := range members {
			key = binary.AppendUvarint(key, uint64(pc))
		}
		id, ok := ids[string(key)]
		if !ok {
			if len(sets) >= maxStates {
				return 0, false
			}
			id = uint32(len(sets))
			ids[string(key)] = id
			sets = append(sets, slices.Clone(members))
			d.accept = append(d.accept, slices.ContainsFunc(members, func(pc int) bool { return p.insts[pc].op == instMatch }))
		}
		return id, true
	}
	if _, ok := closure([]int{p.start}); !ok {
		return nil
	}
	d.next = make([]uint32, 1<<d.shift, 2<<d.shift) // the dead state's row
	var outs []int
	for s := 1; s < len(sets); s++ {
		row := make([]uint32, 1<<d.shift)
		for class := range cl.n {
			outs = outs[:0]
			for _, pc := range sets[s] {
				if i := &p.insts[pc]; i.op == instClass && in[i.set][class] {
					outs = append(outs, i.out)
				}
			}
			if work -= len(sets[s]); work < 0 {
				return nil
			}
			if len(outs) == 0 {
				continue
			}
			id, ok := closure(outs)
			if !ok {
				return nil
			}
			row[class] = id << d.shift
		}
		d.next = append(d.next, row...)
	}
	d.next = slices.Clip(d.next)
	return d
}

func (d *dfa) match(value []byte) bool {
	cl, next := d.classes, d.next
	state := uint32(1) << d.shift
	for i := 0; i < len(value); {
		b := value[i]
		var class uint16
		switch {
		case b < utf8.RuneSelf:
			class = cl.ascii[b]
			i++
		case b>>5 == 0b110 && b >= 0xC2 && i+1 < len(value) && value[i+1]>>6 == 0b10:
			class = cl.two[b&31][value[i+1]&63]
			i += 2
		default:
			r, n := utf8.DecodeRune(value[i:])
			if r == utf8.RuneError && n <= 1 {
				return false
			}
			class = cl.search(r)
			i += n
		}
		state = next[state+uint32(class)]
		if state == 0 {
			return false
		}
	}
	return d.accept[state>>d.shift]
}

// marks is a set of small integers that is emptied in constant time.
type marks struct {
	round uint32
	at    []uint32
}

func newMarks(n int) *marks { return &marks{round: 1, at: make([]uint32, n)} }

func (m *marks) reset() {
	if m.round++; m.round == 0 {
		clear(m.at)
		m.round = 1
	}
}

// add reports whether i was not in the set before.
func (m *marks) add(i int) bool {
	if m.at[i] == m.round {
		return false
	}
	m.at[i] = m.round
	return true
}
