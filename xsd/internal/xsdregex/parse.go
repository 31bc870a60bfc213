package xsdregex

import (
	"math"
	"strings"
	"unicode/utf8"
)

// unbounded is the maximum of a repetition without one. Bounds in an
// expression that are larger are read as this: no value is that long.
const unbounded = math.MaxInt32

type nodeOp uint8

const (
	opEmpty  nodeOp = iota // matches the empty string
	opClass                // one character of set
	opConcat               // subs in order
	opAlt                  // one of subs
	opRepeat               // subs[0], min to max times
)

type node struct {
	op       nodeOp
	set      charset
	subs     []*node
	min, max int
}

// parser is a recursive descent over the grammar of Appendix F. Its methods
// panic with *SyntaxError or *BudgetError, which parse recovers.
type parser struct {
	in       string
	pos      int
	depth    int
	maxDepth int
}

func parse(pattern string, maxDepth int) (n *node, err error) {
	p := &parser{in: pattern, maxDepth: maxDepth}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *SyntaxError:
			err = r
		case *BudgetError:
			err = r
		default:
			panic(r)
		}
	}()
	if !utf8.ValidString(pattern) {
		p.fail(CodeUTF8, 0)
	}
	n = p.regExp()
	if p.pos < len(p.in) { // regExp stops at nothing else
		p.fail(CodeUnopenedGroup, p.pos)
	}
	return n, nil
}

func (p *parser) fail(code Code, offset int, args ...string) {
	panic(&SyntaxError{Code: code, Pattern: p.in, Offset: offset, Args: args})
}

func (p *parser) enter() {
	if p.depth++; p.depth > p.maxDepth {
		panic(overBudget(p.in, "Depth", p.maxDepth))
	}
}

// peek returns the next character, or -1 at the end.
func (p *parser) peek() rune {
	if p.pos >= len(p.in) {
		return -1
	}
	r, _ := utf8.DecodeRuneInString(p.in[p.pos:])
	return r
}

func (p *parser) next() rune {
	r, n := utf8.DecodeRuneInString(p.in[p.pos:])
	p.pos += n
	return r
}

// regExp ::= branch ( '|' branch )*
func (p *parser) regExp() *node {
	p.enter()
	defer func() { p.depth-- }()
	branches := []*node{p.branch()}
	for p.peek() == '|' {
		p.next()
		branches = append(branches, p.branch())
	}
	if len(branches) == 1 {
		return branches[0]
	}
	return &node{op: opAlt, subs: branches}
}

// branch ::= piece*
func (p *parser) branch() *node {
	var pieces []*node
	for r := p.peek(); r != -1 && r != '|' && r != ')'; r = p.peek() {
		pieces = append(pieces, p.piece())
	}
	switch len(pieces) {
	case 0:
		return &node{op: opEmpty}
	case 1:
		return pieces[0]
	}
	return &node{op: opConcat, subs: pieces}
}

// piece ::= atom quantifier?
func (p *parser) piece() *node {
	n := p.atom()
	start := p.pos
	lo, hi, ok := p.quantifier()
	if !ok {
		return n
	}
	if next := p.pos; next < len(p.in) && strings.IndexByte("?*+{", p.in[next]) >= 0 {
		p.fail(CodeDoubleQuantifier, next, p.in[next:next+1])
	}
	if lo > hi {
		bounds := strings.SplitN(strings.Trim(p.in[start:p.pos], "{}"), ",", 2)
		p.fail(CodeQuantityOrder, start, bounds...)
	}
	return &node{op: opRepeat, subs: []*node{n}, min: lo, max: hi}
}

func (p *parser) quantifier() (lo, hi int, ok bool) {
	start := p.pos
	switch p.peek() {
	case '?':
		p.next()
		return 0, 1, true
	case '*':
		p.next()
		return 0, unbounded, true
	case '+':
		p.next()
		return 1, unbounded, true
	case '{':
		p.next()
	default:
		return 0, 0, false
	}
	lo, ok = p.number()
	if !ok {
		p.fail(CodeQuantity, start)
	}
	hi = lo
	if p.peek() == ',' {
		p.next()
		if hi, ok = p.number(); !ok {
			hi = unbounded
		}
	}
	if p.peek() != '}' {
		p.fail(CodeQuantity, start)
	}
	p.next()
	return lo, hi, true
}

// number reads digits; it saturates at unbounded.
func (p *parser) number() (int, bool) {
	start, n := p.pos, 0
	for p.pos < len(p.in) && '0' <= p.in[p.pos] && p.in[p.pos] <= '9' {
		n = min(n*10+int(p.in[p.pos]-'0'), unbounded)
		p.pos++
	}
	return n, p.pos > start
}

// atom ::= Char | charClass | '(' regExp ')'
func (p *parser) atom() *node {
	start := p.pos
	switch r := p.next(); r {
	case '(':
		if p.peek() == '?' {
			p.fail(CodeGroupExtension, start)
		}
		n := p.regExp()
		if p.peek() != ')' {
			p.fail(CodeUnclosedGroup, start)
		}
		p.next()
		return n
	case '[':
		return &node{op: opClass, set: p.classExpr(start)}
	case '.':
		return &node{op: opClass, set: dotSet}
	case '\\':
		set, _, _ := p.escape(start)
		return &node{op: opClass, set: set}
	case '?', '*', '+':
		p.fail(CodeNothingToRepeat, start, string(r))
	case '{':
		p.fail(CodeNothingToRepeat, start, "{")
	case '}', ']':
		p.fail(CodeMetacharacter, start, string(r))
	default:
		return &node{op: opClass, set: charset{{r, r}}}
	}
	return nil
}

// escape reads what follows a backslash at start: a single character escape,
// for which it returns the character, or a class.
func (p *parser) escape(start int) (set charset, char rune, single bool) {
	if p.peek() == -1 {
		p.fail(CodeTrailingBackslash, start)
	}
	switch r := p.next(); r {
	case 'n':
		char = '\n'
	case 'r':
		char = '\r'
	case 't':
		char = '\t'
	case '\\', '|', '.', '?', '*', '+', '(', ')', '{', '}', '-', '[', ']', '^':
		char = r
	case '!', '"', '#', '$', '%', ',', '/', ':', ';', '=', '@', '`', '~':
		// Not in the grammar. Patterns written for other languages escape them, and
		// libxml2 and Xerces-J take them for themselves.
		char = r
	case 's':
		return spaceSet, 0, false
	case 'S':
		return spaceSet.negate(), 0, false
	case 'i':
		return nameStart, 0, false
	case 'I':
		return nameStart.negate(), 0, false
	case 'c':
		return nameChar, 0, false
	case 'C':
		return nameChar.negate(), 0, false
	case 'd':
		return digitSet(), 0, false
	case 'D':
		return digitSet().negate(), 0, false
	case 'w':
		return wordSet(), 0, false
	case 'W':
		return wordSet().negate(), 0, false
	case 'p':
		return p.property(start), 0, false
	case 'P':
		return p.property(start).negate(), 0, false
	default:
		p.fail(CodeEscape, start, p.in[start:p.pos])
	}
	return charset{{char, char}}, char, true
}

// property reads {Name} after \p or \P.
func (p *parser) property(start int) charset {
	end := strings.IndexByte(p.in[p.pos:], '}')
	if p.peek() != '{' || end < 0 {
		p.fail(CodeProperty, start)
	}
	name := p.in[p.pos+1 : p.pos+end]
	p.pos += end + 1
	if block, ok := strings.CutPrefix(name, "Is"); ok {
		set, ok := blockSet(block)
		if !ok {
			p.fail(CodeUnknownBlock, start, block)
		}
		return set
	}
	set, ok := categories[name]
	if !ok {
		p.fail(CodeUnknownCategory, start, name)
	}
	return set()
}

// classExpr reads a character class expression after its opening bracket,
// which is at start, to its closing bracket.
//
//	charClassExpr ::= '[' charGroup ']'
//	charGroup     ::= posCharGroup | '^' posCharGroup | charGroup '-' charClassExpr
//	posCharGroup  ::= ( charRange | charClassEsc )+
//
// A hyphen stands for itself only at either end of the group.
func (p *parser) classExpr(start int) charset {
	p.enter()
	defer func() { p.depth-- }()
	negated := p.peek() == '^'
	if negated {
		p.next()
	}
	var spans []span
	var minus charset
	for first := true; ; first = false {
		at := p.pos
		r := p.peek()
		if r == -1 {
			p.fail(CodeUnclosedClass, start)
		}
		p.next()
		if r == ']' {
			if first {
				p.fail(CodeEmptyClass, start)
			}
			break
		}
		if r == '[' {
			p.fail(CodeClassChar, at, "[")
		}
		if r == '-' && !first && p.peek() == '[' {
			p.next()
			minus = p.classExpr(p.pos - 1)
			if p.peek() != ']' {
				p.fail(CodeSubtraction, at)
			}
			p.next()
			break
		}
		if r == '-' && !first && p.peek() != ']' {
			p.fail(CodeHyphen, at)
		}
		if r == '\\' {
			set, char, single := p.escape(at)
			if !single {
				spans = append(spans, set...)
				if p.rangeFollows() {
					p.fail(CodeRangeEnd, at, p.in[at:p.pos])
				}
				continue
			}
			r = char
		}
		hi := r
		// An unescaped hyphen at the beginning is a character, never the beginning of a range.
		if p.in[at] != '-' && p.rangeFollows() {
			p.next()
			hi = p.rangeEnd()
			if hi < r {
				p.fail(CodeRangeOrder, at, string(r), string(hi))
			}
		}
		spans = append(spans, span{r, hi})
	}
	set := normalize(spans)
	if negated {
		set = set.negate()
	}
	if minus != nil {
		set = set.subtract(minus)
	}
	return set
}

// rangeFollows reports whether the input goes on with a hyphen that is neither
// the end of the group nor a subtraction.
func (p *parser) rangeFollows() bool {
	rest := p.in[p.pos:]
	return len(rest) >= 2 && rest[0] == '-' && rest[1] != ']' && rest[1] != '['
}

// rangeEnd reads the upper end of a range: XmlChar or a single character escape.
func (p *parser) rangeEnd() rune {
	at := p.pos
	switch r := p.next(); r {
	case '-':
		p.fail(CodeHyphen, at)
	case '\\':
		_, char, single := p.escape(at)
		if !single {
			p.fail(CodeRangeEnd, at, p.in[at:p.pos])
		}
		return char
	default:
		return r
	}
	return 0
}
