package xsdregex

import (
	"sync"
	"unicode/utf8"
)

// nfa simulates a program with counters, all threads in step. The work per
// character is at most in proportion to the program.
//
// A counted class holds, instead of threads, the offsets at which it was
// entered: all its counts grow together with the input, so the count of an
// entry is the distance from it. A character outside the class forgets them
// all, one inside forgets those that have gone beyond the maximum, and the
// oldest decides whether the minimum is reached.
type nfa struct {
	program
	quick    []quickSet // by set
	counters []int      // by instruction: index of its counter, or -1
	nCounter int
	scratch  sync.Pool // *nfaScratch
}

func newNFA(p *program) *nfa {
	n := &nfa{program: *p, counters: make([]int, len(p.insts))}
	for _, set := range p.sets {
		n.quick = append(n.quick, newQuickSet(set))
	}
	for pc, i := range p.insts {
		n.counters[pc] = -1
		if i.op == instCount {
			n.counters[pc] = n.nCounter
			n.nCounter++
		}
	}
	n.scratch.New = func() any {
		return &nfaScratch{
			now: newThreads(len(n.insts)), next: newThreads(len(n.insts)),
			counters: make([]counter, n.nCounter),
		}
	}
	return n
}

// threads are the instructions that wait for the next character.
type threads struct {
	seen  *marks
	list  []int
	match bool
}

func newThreads(n int) *threads { return &threads{seen: newMarks(n)} }

func (t *threads) reset() {
	t.seen.reset()
	t.list = t.list[:0]
	t.match = false
}

// counter is the state of one counted class.
type counter struct {
	entries []run  // offsets at which it was entered and not yet left, ascending
	head    int    // entries before are forgotten
	entered [2]int // offset of the latest entry at an even and at an odd offset, not yet in entries
}

// run is a stretch of consecutive offsets.
type run struct{ first, last int }

type nfaScratch struct {
	now, next *threads
	stack     []int
	counters  []counter
}

func (n *nfa) match(value []byte, steps *int) bool {
	s := n.scratch.Get().(*nfaScratch)
	defer n.scratch.Put(s)
	for i := range s.counters {
		c := &s.counters[i]
		*c = counter{entries: c.entries[:0], entered: [2]int{-1, -1}}
	}
	s.now.reset()
	n.follow(s, s.now, n.start, 0)
	for at, i := 0, 0; i < len(value); at++ {
		r, width := rune(value[i]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRune(value[i:])
			if r == utf8.RuneError && width <= 1 {
				return false
			}
		}
		i += width
		if steps != nil {
			if *steps -= 1 + len(s.now.list); *steps < 0 {
				return false
			}
		}
		s.next.reset()
		for _, pc := range s.now.list {
			in := &n.insts[pc]
			inside := n.quick[in.set].contains(r)
			if in.op == instCount {
				n.count(s, pc, at, inside)
			} else if inside {
				n.follow(s, s.next, in.out, at+1)
			}
		}
		s.now, s.next = s.next, s.now
		if len(s.now.list) == 0 {
			return i == len(value) && s.now.match
		}
	}
	return s.now.match
}

// count lets the counted class at pc see the character at offset at.
func (n *nfa) count(s *nfaScratch, pc, at int, inside bool) {
	in, c := &n.insts[pc], &s.counters[n.counters[pc]]
	if !inside {
		c.entries, c.head = c.entries[:0], 0
		return
	}
	if c.entered[at&1] == at {
		c.enter(at, in)
	}
	if c.head == len(c.entries) {
		return
	}
	if at+1-c.entries[c.head].first >= in.min {
		n.follow(s, s.next, in.out, at+1)
	}
	// What has reached the maximum cannot take another character.
	for c.head < len(c.entries) && at+1-c.entries[c.head].first >= in.max {
		if e := &c.entries[c.head]; e.first == e.last {
			c.head++
		} else {
			e.first++
		}
	}
	if c.head < len(c.entries) && s.next.seen.add(pc) {
		s.next.list = append(s.next.list, pc)
	}
}

// enter records an entry at offset at. Without a maximum the oldest entry is
// all that matters, with a minimum of one the youngest.
func (c *counter) enter(at int, in *inst) {
	live := c.head < len(c.entries)
	switch {
	case in.max == unbounded && live:
		return
	case in.min == 1 || !live:
		c.entries, c.head = append(c.entries[:0], run{at, at}), 0
		return
	}
	if last := &c.entries[len(c.entries)-1]; last.last == at-1 {
		last.last = at
		return
	}
	if c.head > 0 && len(c.entries) == cap(c.entries) {
		c.entries = c.entries[:copy(c.entries, c.entries[c.head:])]
		c.head = 0
	}
	c.entries = append(c.entries, run{at, at})
}

// follow adds to t everything reachable from pc without input, at offset at.
func (n *nfa) follow(s *nfaScratch, t *threads, pc, at int) {
	s.stack = append(s.stack[:0], pc)
	for len(s.stack) > 0 {
		pc := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		in := &n.insts[pc]
		if in.op == instCount {
			s.counters[n.counters[pc]].entered[at&1] = at
		}
		if !t.seen.add(pc) {
			continue
		}
		switch in.op {
		case instSplit:
			s.stack = append(s.stack, in.alt, in.out)
		case instMatch:
			t.match = true
		default:
			t.list = append(t.list, pc)
		}
	}
}
