package xsdregex

import "unsafe"

// Limits bound what one expression may cost. A zero field takes its default.
type Limits struct {
	Length int // bytes of the expression; default 65536
	Depth  int // nesting of groups and classes; default 200

	// Positions bounds the characters and classes of the expression after
	// expansion of counts, where a counted class ([0-9]{1,1000}) is one; it
	// bounds the work per character of a value. Default 10000.
	Positions int
	// States bounds the deterministic automaton. Beyond, the expression is
	// simulated, at a cost per character of up to Positions. Default 2000.
	States int
	// Table bounds the transition table of the deterministic automaton, in
	// bytes. Default 262144.
	Table int
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&l.Length, 65536)
	set(&l.Depth, 200)
	set(&l.Positions, 10000)
	set(&l.States, 2000)
	set(&l.Table, 256<<10)
	return l
}

// Regexp is a compiled expression, immutable and safe for concurrent use.
type Regexp struct {
	pattern string

	// One of these is set.
	count *countedClass // nothing but a long counted class
	dfa   *dfa          // within the limits
	nfa   *nfa          // all else
}

// Compile compiles an expression. The error is a *SyntaxError or a *BudgetError.
func Compile(pattern string, limits Limits) (*Regexp, error) {
	limits = limits.withDefaults()
	if len(pattern) > limits.Length {
		return nil, overBudget(pattern, "Length", limits.Length)
	}
	tree, err := parse(pattern, limits.Depth)
	if err != nil {
		return nil, err
	}
	tree = simplify(tree)
	if size(tree, false) > limits.Positions {
		return nil, overBudget(pattern, "Positions", limits.Positions)
	}
	re := &Regexp{pattern: pattern}
	if re.count = newCountedClass(tree); re.count != nil {
		return re, nil
	}
	// Each copy of a counted class is a state at least, so this is no loss.
	if size(tree, true) <= limits.States {
		re.dfa = newDFA(newProgram(tree, true), limits)
	}
	if re.dfa == nil {
		re.nfa = newNFA(newProgram(tree, false))
	}
	return re, nil
}

// String returns the expression.
func (re *Regexp) String() string { return re.pattern }

// Deterministic reports whether the expression runs as a deterministic
// automaton: one step a character, whatever the size of the expression.
func (re *Regexp) Deterministic() bool { return re.nfa == nil }

// Match reports whether the whole of value, which is UTF-8, is in the language
// of the expression. Anything that is not UTF-8 is not.
func (re *Regexp) Match(value []byte) bool { return re.MatchWithin(value, nil) }

// MatchWithin is Match in no more than so many steps of a simulation (Deterministic), which it
// takes from steps: when they are used up, which it says by leaving less than none, it reports
// false of any value. Nil: there is no bound.
func (re *Regexp) MatchWithin(value []byte, steps *int) bool {
	switch {
	case re.dfa != nil:
		return re.dfa.match(value)
	case re.count != nil:
		return re.count.match(value)
	}
	return re.nfa.match(value, steps)
}

// MatchString is Match for a string.
func (re *Regexp) MatchString(value string) bool {
	return re.Match(unsafe.Slice(unsafe.StringData(value), len(value)))
}

// Size is about how many bytes the expression takes, while it is made and afterwards.
func (re *Regexp) Size() int {
	const fixed, inst, set, span = 1 << 10, 128, 320, 8
	n := fixed + len(re.pattern)
	if d := re.dfa; d != nil {
		n += 4*len(d.next) + len(d.accept) + 6*len(d.classes.lo)
	}
	if a := re.nfa; a != nil {
		n += inst * len(a.insts)
		for _, s := range a.sets {
			n += set + span*len(s)
		}
	}
	return n
}
