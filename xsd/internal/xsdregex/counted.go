package xsdregex

import "unicode/utf8"

// quickSet answers for characters of one and two bytes from a table.
type quickSet struct {
	low [twoByteEnd / 64]uint64
	set charset
}

func newQuickSet(set charset) quickSet { return quickSet{low: set.bits(), set: set} }

func (q *quickSet) contains(r rune) bool {
	if uint32(r) < twoByteEnd {
		return q.low[r>>6]>>(r&63)&1 != 0
	}
	return q.set.contains(r)
}

// countedClass is an expression that is nothing but C{min,max}: the usual form
// of a limit on text, too long to spend a state on each character.
type countedClass struct {
	quickSet
	min, max int
}

// worthCounting is the number of states a deterministic automaton may take
// before counting is preferred.
const worthCounting = 64

func newCountedClass(tree *node) *countedClass {
	if tree.op != opRepeat || tree.subs[0].op != opClass || tree.max <= worthCounting || tree.max == unbounded && tree.min <= worthCounting {
		return nil
	}
	return &countedClass{newQuickSet(tree.subs[0].set), tree.min, tree.max}
}

func (c *countedClass) match(value []byte) bool {
	n := 0
	for i := 0; i < len(value); n++ {
		r, width := rune(value[i]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRune(value[i:])
			if r == utf8.RuneError && width <= 1 {
				return false
			}
		}
		if !c.contains(r) {
			return false
		}
		i += width
	}
	return c.min <= n && (n <= c.max || c.max == unbounded)
}
