package xpath

import (
	"errors"
	"math/big"
	"slices"
	"strings"

	"mezhved/envelopes/xmltape"
)

// Context is where an expression is evaluated.
type Context struct {
	Root           xmltape.Node // of the content: where / begins
	Node           xmltape.Node // where relative paths begin; zero: Root
	Position, Last int          // of Node among those that are gone through; 0: 1
	Variables      map[string]Value
	Host           any    // for the caller's own functions
	Arguments      string // of the function that is called, as they are written
	Left           *int   // how much work all evaluations that share it may still do; nil: each for itself

	steps int // left; 0: not begun
}

// maxSteps bounds the work of one evaluation: the nodes that it looks at, and the texts
// that its functions are given, by sixteen octets.
const maxSteps = 1 << 20

// maxBits bounds numbers, which have no end of their own.
const maxBits = 1 << 12

// ErrEndless says that an evaluation, or all that share Context.Left, would take too long.
var ErrEndless = errors.New("the expression is too much work: it looks at too many elements or makes too long texts; say it with fewer // and predicates")

var errHuge = errors.New("a number has become too large to count with")

// Eval gives the expression's value.
func (e *Expr) Eval(c *Context) (Value, error) {
	own := *c
	own.steps = maxSteps
	if c.Left != nil {
		if *c.Left--; *c.Left < 0 {
			return nil, ErrEndless
		}
		own.steps = min(maxSteps, *c.Left)
		defer func(begun int) { *c.Left -= begun - own.steps }(own.steps)
	}
	if !own.Node.Valid() {
		own.Node = own.Root
	}
	if own.Position == 0 {
		own.Position, own.Last = 1, 1
	}
	return e.root.eval(&own)
}

// expr is a part of an expression.
type expr interface {
	eval(c *Context) (Value, error)
}

type literal struct{ v Value }

func (l literal) eval(*Context) (Value, error) { return l.v, nil }

type variable struct{ name string }

func (v variable) eval(c *Context) (Value, error) { return c.Variables[v.name], nil }

type call struct {
	name   string
	source string // of the arguments
	f      Function
	args   []expr
}

func (k *call) eval(c *Context) (Value, error) {
	args := make([]Value, len(k.args))
	for i, a := range k.args {
		v, err := a.eval(c)
		if err != nil {
			return nil, err
		}
		if text, ok := v.(string); ok { // before more is made of it
			if c.steps -= len(text) / 16; c.steps < 0 {
				return nil, ErrEndless
			}
		}
		args[i] = v
	}
	inner := *c
	inner.Arguments = k.source
	return k.f.Call(&inner, args)
}

type binary struct {
	op   string
	a, b expr
}

func (x *binary) eval(c *Context) (Value, error) {
	a, err := x.a.eval(c)
	if err != nil {
		return nil, err
	}
	switch {
	case x.op == "or" && Bool(a):
		return true, nil
	case x.op == "and" && !Bool(a):
		return false, nil
	}
	b, err := x.b.eval(c)
	if err != nil {
		return nil, err
	}
	switch x.op {
	case "or", "and":
		return Bool(b), nil
	case "=", "!=", "<", "<=", ">", ">=":
		return compareAny(x.op, a, b), nil
	case "|":
		return unite(a, b)
	}
	n := arithmetic(x.op, AsNumber(a).r, AsNumber(b).r)
	if n.r != nil && (n.r.Num().BitLen() > maxBits || n.r.Denom().BitLen() > maxBits) {
		return nil, errHuge
	}
	return n, nil
}

func arithmetic(op string, a, b *big.Rat) Number {
	if a == nil || b == nil {
		return NaN
	}
	out := new(big.Rat)
	switch op {
	case "+":
		return Number{out.Add(a, b)}
	case "-":
		return Number{out.Sub(a, b)}
	case "*":
		return Number{out.Mul(a, b)}
	}
	if b.Sign() == 0 {
		return NaN
	}
	out.Quo(a, b)
	if op == "div" {
		return Number{out}
	}
	whole := new(big.Rat).SetInt(new(big.Int).Quo(out.Num(), out.Denom())) // towards zero, as mod wants
	return Number{whole.Sub(a, whole.Mul(whole, b))}
}

func unite(a, b Value) (Value, error) {
	x, ok := a.(Nodes)
	y, also := b.(Nodes)
	if !ok || !also {
		return nil, errors.New("| joins paths only")
	}
	return Nodes{inOrder(slices.Concat(x.items, y.items))}, nil
}

// inOrder sorts by document order and leaves out what is there twice.
func inOrder(list []item) []item {
	key := func(i item) [2]int {
		k := [2]int{i.n.Index(), i.attr}
		if i.text {
			k[1] = 1 << 30
		}
		return k
	}
	slices.SortFunc(list, func(a, b item) int {
		x, y := key(a), key(b)
		return slices.Compare(x[:], y[:])
	})
	return slices.CompactFunc(list, func(a, b item) bool { return key(a) == key(b) })
}

// compareAny compares as XPath does: nodes compare when one of them does.
func compareAny(op string, a, b Value) bool {
	if n, ok := a.(Nodes); ok {
		if _, isBool := b.(bool); !isBool {
			return slices.ContainsFunc(n.Strings(), func(s string) bool { return compareAny(op, s, b) })
		}
	}
	if n, ok := b.(Nodes); ok {
		if _, isBool := a.(bool); !isBool {
			return slices.ContainsFunc(n.Strings(), func(s string) bool { return compareAny(op, a, s) })
		}
	}
	if op == "=" || op == "!=" {
		return equal(a, b) == (op == "=")
	}
	order, ok := ordered(a, b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func equal(a, b Value) bool {
	_, aBool := a.(bool)
	_, bBool := b.(bool)
	_, aNumber := a.(Number)
	_, bNumber := b.(Number)
	switch {
	case aBool || bBool:
		return Bool(a) == Bool(b)
	case aNumber || bNumber:
		x, y := AsNumber(a).r, AsNumber(b).r
		return x != nil && y != nil && x.Cmp(y) == 0
	}
	return String(a) == String(b)
}

func ordered(a, b Value) (order int, ok bool) {
	if x, _, isTime := Moment(String(a)); isTime {
		if y, _, also := Moment(String(b)); also {
			return x.Compare(y), true
		}
	}
	x, y := AsNumber(a).r, AsNumber(b).r
	if x == nil || y == nil {
		return 0, false
	}
	return x.Cmp(y), true
}

type stepKind uint8

const (
	stepChild stepKind = iota
	stepSelf
	stepParent
	stepAttribute
	stepText
)

type step struct {
	kind       stepKind
	anywhere   bool // // before it
	local      string
	prefix     string
	space      string
	anySpace   bool
	predicates []expr
}

type path struct {
	absolute   bool
	steps      []step
	exists     bool // it is asked whether something is there, not for a text
	namespaces map[string]string
	outer      *path // it stands in a predicate of this one
	at         int   // of the step with this index
}

func (p *path) eval(c *Context) (Value, error) {
	at := []item{{n: c.Node}}
	steps := p.steps
	if p.absolute { // the root element is the first step
		at = nil
		first := &steps[0]
		list := []item{}
		if first.anywhere {
			list = below(c, c.Root, list)
		} else {
			list = append(list, item{n: c.Root})
		}
		var err error
		if first.kind != stepChild { // //@id
			for _, i := range list {
				at = first.from(i.n, at)
			}
		} else {
			for _, i := range list {
				if first.takes(i.n) {
					at = append(at, i)
				}
			}
		}
		if at, err = first.filter(c, at); err != nil {
			return nil, err
		}
		steps = steps[1:]
	}
	for i := range steps {
		s := &steps[i]
		var next []item
		for _, from := range at {
			if from.attr > 0 || from.text {
				continue
			}
			holders := []item{from}
			if s.anywhere {
				holders = below(c, from.n, nil)
			}
			for _, h := range holders {
				found := s.from(h.n, nil)
				if c.steps -= 1 + len(found); c.steps < 0 {
					return nil, ErrEndless
				}
				found, err := s.filter(c, found)
				if err != nil {
					return nil, err
				}
				next = append(next, found...)
			}
		}
		if c.steps -= len(next); c.steps < 0 {
			return nil, ErrEndless
		}
		at = inOrder(next)
	}
	return Nodes{at}, nil
}

// below are a node and all elements in it.
func below(c *Context, n xmltape.Node, list []item) []item {
	if !n.Valid() {
		return list
	}
	t := n.Tape()
	for k := n.Index(); k < int(n.Token().Match); k++ {
		if t.Tokens[k].Kind == xmltape.Start {
			list = append(list, item{n: t.NodeAt(k)})
			c.steps--
		}
	}
	return list
}

// from are the nodes that a step leads to from an element.
func (s *step) from(n xmltape.Node, list []item) []item {
	if !n.Valid() {
		return list
	}
	switch s.kind {
	case stepSelf:
		return append(list, item{n: n})
	case stepParent:
		if p := n.Parent(); p.Valid() {
			list = append(list, item{n: p})
		}
		return list
	case stepText:
		if len(n.Text()) > 0 {
			list = append(list, item{n: n, text: true})
		}
		return list
	case stepAttribute:
		t, tok := n.Tape(), n.Token()
		for k := int(tok.Attr); k < int(tok.Attr)+int(tok.NAttr); k++ {
			a := &t.Attrs[k]
			if s.named(t, a.Name) {
				list = append(list, item{n: n, attr: k + 1})
			}
		}
		return list
	}
	for child := n.First(); child.Valid(); child = child.Next() {
		if s.takes(child) {
			list = append(list, item{n: child})
		}
	}
	return list
}

func (s *step) takes(n xmltape.Node) bool {
	return n.Valid() && (s.kind == stepSelf || s.named(n.Tape(), n.Name()))
}

func (s *step) named(t *xmltape.Tape, n xmltape.NameID) bool {
	return (s.local == "" || string(t.Local(n)) == s.local) && (s.anySpace || string(t.SpaceURI(t.Space(n))) == s.space)
}

// filter keeps what the predicates hold for.
func (s *step) filter(c *Context, list []item) ([]item, error) {
	for _, p := range s.predicates {
		var kept []item
		for i, one := range list {
			if c.steps--; c.steps < 0 {
				return nil, ErrEndless
			}
			inner := *c
			inner.Node, inner.Position, inner.Last = one.n, i+1, len(list)
			v, err := p.eval(&inner)
			c.steps = inner.steps
			if err != nil {
				return nil, err
			}
			holds := Bool(v)
			if n, ok := v.(Number); ok {
				holds = equal(n, Int(int64(i+1)))
			}
			if holds {
				kept = append(kept, one)
			}
		}
		list = kept
	}
	return list, nil
}

// Select gives the nodes of an expression that is a path.
func (e *Expr) Select(c *Context) (Nodes, error) {
	v, err := e.Eval(c)
	if err != nil {
		return Nodes{}, err
	}
	n, ok := v.(Nodes)
	if !ok {
		return Nodes{}, errors.New("a path is expected: " + strings.TrimSpace(e.source))
	}
	return n, nil
}
