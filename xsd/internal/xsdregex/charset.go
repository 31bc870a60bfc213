package xsdregex

import (
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// span is an inclusive range of code points.
type span struct{ lo, hi rune }

// charset is a set of code points: sorted, disjoint, not adjacent.
type charset []span

// block is one extent of a named Unicode block.
type block struct {
	name   string
	lo, hi rune
}

var (
	emptySet = charset{}
	dotSet   = charset{{0, '\n' - 1}, {'\n' + 1, '\r' - 1}, {'\r' + 1, unicode.MaxRune}}
	spaceSet = charset{{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}}
)

// normalize sorts and merges spans in any order into a charset.
func normalize(s []span) charset {
	slices.SortFunc(s, func(a, b span) int { return int(a.lo) - int(b.lo) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (c charset) negate() charset {
	var out charset
	next := rune(0)
	for _, r := range c {
		if r.lo > next {
			out = append(out, span{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, span{next, utf8.MaxRune})
	}
	return out
}

func (c charset) subtract(d charset) charset {
	var out charset
	for _, r := range c {
		lo := r.lo
		i, _ := slices.BinarySearchFunc(d, lo, func(s span, v rune) int { return int(s.hi) - int(v) })
		for ; i < len(d) && d[i].lo <= r.hi; i++ {
			if d[i].lo > lo {
				out = append(out, span{lo, d[i].lo - 1})
			}
			lo = d[i].hi + 1
		}
		if lo <= r.hi {
			out = append(out, span{lo, r.hi})
		}
	}
	return out
}

func (c charset) contains(r rune) bool {
	_, ok := slices.BinarySearchFunc(c, r, func(s span, v rune) int {
		switch {
		case s.hi < v:
			return -1
		case s.lo > v:
			return 1
		}
		return 0
	})
	return ok
}

// fromTables returns the union of Go's range tables.
func fromTables(tables ...*unicode.RangeTable) charset {
	var s []span
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			s = append(s, span{lo, hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			s = append(s, span{r, r})
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return normalize(s)
}

// categories are the properties that Appendix F allows in \p{...}. Cs is not
// among them: surrogates are not characters.
var categories = map[string]func() charset{
	"L": category("L"), "Lu": category("Lu"), "Ll": category("Ll"), "Lt": category("Lt"), "Lm": category("Lm"), "Lo": category("Lo"),
	"M": category("M"), "Mn": category("Mn"), "Mc": category("Mc"), "Me": category("Me"),
	"N": category("N"), "Nd": category("Nd"), "Nl": category("Nl"), "No": category("No"),
	"P": category("P"), "Pc": category("Pc"), "Pd": category("Pd"), "Ps": category("Ps"), "Pe": category("Pe"),
	"Pi": category("Pi"), "Pf": category("Pf"), "Po": category("Po"),
	"Z": category("Z"), "Zs": category("Zs"), "Zl": category("Zl"), "Zp": category("Zp"),
	"S": category("S"), "Sm": category("Sm"), "Sc": category("Sc"), "Sk": category("Sk"), "So": category("So"),
	"C": otherSet, "Cc": category("Cc"), "Cf": category("Cf"), "Co": category("Co"), "Cn": unassignedSet,
}

func category(name string) func() charset {
	return sync.OnceValue(func() charset { return fromTables(unicode.Categories[name]) })
}

// otherSet is category C with the unassigned code points, which Go's table of
// C leaves out.
var otherSet = sync.OnceValue(func() charset {
	return fromTables(unicode.L, unicode.M, unicode.N, unicode.P, unicode.Z, unicode.S).negate()
})

var unassignedSet = sync.OnceValue(func() charset {
	return otherSet().subtract(fromTables(unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs))
})

// wordSet is \w: everything but punctuation, separators and others.
var wordSet = sync.OnceValue(func() charset {
	return fromTables(unicode.L, unicode.M, unicode.N, unicode.S)
})

var digitSet = sync.OnceValue(func() charset { return fromTables(unicode.Nd) })

// blockSet returns the block with that name, without the prefix Is.
func blockSet(name string) (charset, bool) {
	i, ok := slices.BinarySearchFunc(blocks, name, func(b block, n string) int {
		switch {
		case b.name < n:
			return -1
		case b.name > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil, false
	}
	var s []span
	for ; i < len(blocks) && blocks[i].name == name; i++ {
		s = append(s, span{blocks[i].lo, blocks[i].hi})
	}
	return normalize(s), true
}
