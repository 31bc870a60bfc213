package xpath

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"mezhved/adapter/contentpath"
)

// Error says what is wrong with an expression, in two languages, and where.
type Error struct {
	Source           string
	At               int // letters before the place
	english, russian string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s, at letter %d of %q", e.english, e.At+1, e.Source)
}

// Russian is the error in Russian.
func (e *Error) Russian() string {
	return fmt.Sprintf("%s, на букве %d в %q", e.russian, e.At+1, e.Source)
}

// Function is one that expressions may call.
type Function struct {
	Min, Max int  // arguments; Max -1: any number
	Exists   bool // it asks of its path whether something is there, not for a text
	Call     func(c *Context, args []Value) (Value, error)
}

// Functions are the caller's own by name; they go before the core's.
type Functions map[string]Function

// Scope is what an expression may name.
type Scope struct {
	Namespaces map[string]string
	Functions  Functions
	Variables  map[string]bool
}

// Expr is a parsed expression. Safe for concurrent use.
type Expr struct {
	source string
	root   expr
	paths  []*path
	calls  []*call
}

func (e *Expr) String() string { return e.source }

// Parse reads an expression. The error is an *Error.
func Parse(source string, s Scope) (*Expr, error) {
	p := &parser{src: []rune(source), scope: s, e: &Expr{source: source}}
	p.next()
	root, err := p.or()
	if err == nil && p.tok.kind != tokEnd {
		err = p.wrong("%s is not expected here", "здесь не ожидается %s", p.tok.show())
	}
	if err != nil {
		err.Source = source
		return nil, err
	}
	mark(root, false)
	p.e.root = root
	return p.e, nil
}

// Calls reports whether the expression calls a function, and with which arguments'
// sources.
func (e *Expr) Calls(name string) (arguments []string, called bool) {
	for _, c := range e.calls {
		if c.name == name {
			called = true
			arguments = append(arguments, c.source)
		}
	}
	return arguments, called
}

type tokKind uint8

const (
	tokEnd tokKind = iota
	tokName
	tokString
	tokNumber
	tokOp
	tokBad
)

type token struct {
	kind tokKind
	text string
	at   int
}

// show is the token in a sentence.
func (t token) show() *Error {
	if t.kind == tokEnd {
		return &Error{english: "the end", russian: "конец"}
	}
	quoted := fmt.Sprintf("%q", t.text)
	return &Error{english: quoted, russian: quoted}
}

type parser struct {
	src   []rune
	pos   int
	tok   token
	prev  token
	scope Scope
	e     *Expr
	depth int
}

func (p *parser) wrong(english, russian string, args ...any) *Error {
	ru, en := make([]any, len(args)), make([]any, len(args))
	for i, a := range args {
		ru[i], en[i] = a, a
		if part, ok := a.(*Error); ok {
			ru[i], en[i] = part.russian, part.english
		}
	}
	return &Error{At: p.tok.at, english: fmt.Sprintf(english, en...), russian: fmt.Sprintf(russian, ru...)}
}

func nameRune(r rune, first bool) bool {
	return r == '_' || unicode.IsLetter(r) || !first && (unicode.IsDigit(r) || r == '-' || r == '.' || unicode.Is(unicode.Mn, r))
}

// next reads the following token.
func (p *parser) next() {
	p.prev = p.tok
	for p.pos < len(p.src) && unicode.IsSpace(p.src[p.pos]) {
		p.pos++
	}
	at := p.pos
	take := func(kind tokKind, end int) {
		p.tok = token{kind, string(p.src[at:end]), at}
		p.pos = end
	}
	if at == len(p.src) {
		take(tokEnd, at)
		return
	}
	two := ""
	if at+1 < len(p.src) {
		two = string(p.src[at : at+2])
	}
	switch r := p.src[at]; {
	case r == '\'' || r == '"':
		for end := at + 1; end < len(p.src); end++ {
			if p.src[end] == r {
				p.tok = token{tokString, string(p.src[at+1 : end]), at}
				p.pos = end + 1
				return
			}
		}
		take(tokBad, len(p.src))
	case unicode.IsDigit(r) || r == '.' && at+1 < len(p.src) && unicode.IsDigit(p.src[at+1]):
		end := at
		for end < len(p.src) && (unicode.IsDigit(p.src[end]) || p.src[end] == '.') {
			end++
		}
		take(tokNumber, end)
	case two == "//" || two == ".." || two == "!=" || two == "<=" || two == ">=" || two == "::":
		take(tokOp, at+2)
	case strings.ContainsRune("/@.()[],+-*=<>$:|", r):
		take(tokOp, at+1)
	case nameRune(r, true):
		end := at
		for end < len(p.src) && nameRune(p.src[end], false) {
			end++
		}
		for p.src[end-1] == '.' { // a name does not end in a dot
			end--
		}
		take(tokName, end)
	default:
		take(tokBad, at+1)
	}
}

func (p *parser) is(op string) bool { return p.tok.kind == tokOp && p.tok.text == op }

func (p *parser) takes(op string) bool {
	if p.is(op) {
		p.next()
		return true
	}
	return false
}

func (p *parser) need(op string) *Error {
	if !p.takes(op) {
		return p.wrong("%q is expected here", "здесь ожидается %q", op)
	}
	return nil
}

// word reports an operator that is written as a name.
func (p *parser) word(names ...string) string {
	if p.tok.kind != tokName {
		return ""
	}
	for _, n := range names {
		if p.tok.text == n {
			return n
		}
	}
	return ""
}

// left parses a chain of operators of one strength.
func (p *parser) left(operand func() (expr, *Error), operator func() string) (expr, *Error) {
	if p.depth++; p.depth > 200 {
		return nil, p.wrong("is nested too deeply", "вложено слишком глубоко")
	}
	defer func() { p.depth-- }()
	a, err := operand()
	for err == nil {
		op := operator()
		if op == "" {
			return a, nil
		}
		p.next()
		var b expr
		if b, err = operand(); err == nil {
			a = &binary{op, a, b}
		}
	}
	return nil, err
}

func (p *parser) op(list ...string) string {
	if p.tok.kind == tokOp {
		for _, o := range list {
			if p.tok.text == o {
				return o
			}
		}
	}
	return ""
}

func (p *parser) or() (expr, *Error) {
	return p.left(p.and, func() string { return p.word("or") })
}

func (p *parser) and() (expr, *Error) {
	return p.left(p.equality, func() string { return p.word("and") })
}

func (p *parser) equality() (expr, *Error) {
	return p.left(p.relation, func() string { return p.op("=", "!=") })
}

func (p *parser) relation() (expr, *Error) {
	return p.left(p.additive, func() string { return p.op("<", "<=", ">", ">=") })
}

func (p *parser) additive() (expr, *Error) {
	return p.left(p.product, func() string { return p.op("+", "-") })
}

func (p *parser) product() (expr, *Error) {
	return p.left(p.unary, func() string {
		if o := p.op("*"); o != "" {
			return o
		}
		return p.word("div", "mod")
	})
}

func (p *parser) unary() (expr, *Error) {
	if p.takes("-") {
		a, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &binary{"-", literal{Int(0)}, a}, nil
	}
	return p.union()
}

func (p *parser) union() (expr, *Error) {
	return p.left(p.primary, func() string { return p.op("|") })
}

func (p *parser) primary() (expr, *Error) {
	switch {
	case p.tok.kind == tokString:
		v := p.tok.text
		p.next()
		return literal{v}, nil
	case p.tok.kind == tokNumber:
		n := ParseNumber(p.tok.text)
		if n.r == nil {
			return nil, p.wrong("%s is no number", "%s — не число", p.tok.show())
		}
		p.next()
		return literal{n}, nil
	case p.is("("):
		p.next()
		a, err := p.or()
		if err != nil {
			return nil, err
		}
		return a, p.need(")")
	case p.is("$"):
		p.next()
		if p.tok.kind != tokName {
			return nil, p.wrong("the name of a variable is expected after $", "после $ ожидается имя переменной")
		}
		name := p.tok.text
		if !p.scope.Variables[name] {
			return nil, p.wrong("there is no variable $%s; there are: %s", "переменной $%s нет; есть: %s", name, names(p.scope.Variables))
		}
		p.next()
		return variable{name}, nil
	case p.tok.kind == tokName && p.calls():
		return p.call()
	case p.tok.kind == tokBad && strings.ContainsAny(p.tok.text[:1], `'"`):
		return nil, p.wrong("an unclosed quote", "кавычка не закрыта")
	case p.tok.kind == tokEnd:
		return nil, p.wrong("something is missing", "чего-то не хватает")
	}
	return p.path()
}

// calls reports that a name is followed by a parenthesis, and is no node test.
func (p *parser) calls() bool {
	for i := p.pos; i < len(p.src); i++ {
		if !unicode.IsSpace(p.src[i]) {
			return p.src[i] == '(' && p.tok.text != "text" && p.tok.text != "node"
		}
	}
	return false
}

func names[V any](m map[string]V) string {
	list := make([]string, 0, len(m))
	for n := range m {
		list = append(list, n)
	}
	sort.Strings(list)
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}

func (p *parser) call() (expr, *Error) {
	name := p.tok.text
	f, ok := p.scope.Functions[name]
	if !ok {
		f, ok = core[name]
	}
	if !ok {
		known := map[string]bool{}
		for n := range core {
			known[n] = true
		}
		for n := range p.scope.Functions {
			known[n] = true
		}
		if near := Nearest(name, known); near != "" {
			return nil, p.wrong("there is no function %s(); is %s() meant?", "функции %s() нет; не имеется ли в виду %s()?", name, near)
		}
		return nil, p.wrong("there is no function %s(); there are: %s", "функции %s() нет; есть: %s", name, names(known))
	}
	c := &call{name: name, f: f}
	start := p.tok
	p.next()
	if err := p.need("("); err != nil {
		return nil, err
	}
	from := p.tok.at
	for !p.is(")") {
		if len(c.args) > 0 {
			if err := p.need(","); err != nil {
				return nil, err
			}
		}
		a, err := p.or()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, a)
	}
	c.source = strings.TrimSpace(string(p.src[from:p.tok.at]))
	p.next()
	if len(c.args) < f.Min || f.Max >= 0 && len(c.args) > f.Max {
		p.tok = start
		want := fmt.Sprint(f.Min)
		switch {
		case f.Max < 0:
			want += " or more"
		case f.Max > f.Min:
			want += " to " + fmt.Sprint(f.Max)
		}
		return nil, p.wrong("%s() takes %s arguments, not %d", "%s(): аргументов должно быть %s, а не %d", name, want, len(c.args))
	}
	p.e.calls = append(p.e.calls, c)
	return c, nil
}

// path parses a location path.
func (p *parser) path() (expr, *Error) {
	out := &path{namespaces: p.scope.Namespaces}
	anywhere := false
	switch {
	case p.takes("//"):
		out.absolute, anywhere = true, true
	case p.takes("/"):
		out.absolute = true
	}
	for {
		s, err := p.step(out)
		if err != nil {
			return nil, err
		}
		s.anywhere = anywhere
		out.steps = append(out.steps, s)
		switch {
		case p.takes("//"):
			anywhere = true
		case p.takes("/"):
			anywhere = false
		default:
			p.e.paths = append(p.e.paths, out)
			return out, nil
		}
		if s.kind == stepAttribute || s.kind == stepText {
			return nil, p.wrong("nothing can follow an attribute or text()", "после атрибута или text() ничего быть не может")
		}
	}
}

// step parses a step of a path that has those before it.
func (p *parser) step(out *path) (step, *Error) {
	s := step{kind: stepChild}
	switch {
	case p.takes("."):
		return step{kind: stepSelf}, nil
	case p.takes(".."):
		return step{kind: stepParent}, nil
	case p.takes("@"):
		s.kind = stepAttribute
	}
	switch {
	case p.takes("*"):
		s.anySpace = true
	case p.tok.kind == tokName:
		if err := p.nameTest(&s); err != nil {
			return s, err
		}
	default:
		return s, p.wrong("a path, a value or a function is expected here, not %s", "здесь ожидается путь, значение или функция, а не %s", p.tok.show())
	}
	for p.takes("[") {
		before := len(p.e.paths)
		a, err := p.or()
		if err != nil {
			return s, err
		}
		markExists(a)
		for _, inner := range p.e.paths[before:] {
			if inner.outer == nil {
				inner.outer, inner.at = out, len(out.steps)
			}
		}
		if err := p.need("]"); err != nil {
			return s, err
		}
		s.predicates = append(s.predicates, a)
	}
	return s, nil
}

func (p *parser) nameTest(s *step) *Error {
	name := p.tok.text
	p.next()
	switch {
	case p.is("(") && (name == "text" || name == "node") && s.kind == stepChild:
		p.next()
		if s.kind = stepText; name == "node" {
			s.kind, s.anySpace = stepChild, true
		}
		return p.need(")")
	case p.is("::"):
		return p.wrong("axes are not written out here: use /, //, .. and @", "оси здесь не пишутся: используйте /, //, .. и @")
	case !p.is(":"):
		s.local, s.anySpace = name, s.kind == stepChild
		return nil
	}
	space, ok := p.scope.Namespaces[name]
	if !ok {
		p.tok = p.prev
		if near := Nearest(name, p.scope.Namespaces); near != "" {
			return p.wrong("prefix %q is not declared in namespaces; is %s meant?", "префикс %q не объявлен в namespaces; не имеется ли в виду %s?", name, near)
		}
		return p.wrong("prefix %q is not declared in namespaces", "префикс %q не объявлен в namespaces", name)
	}
	s.space, s.prefix = space, name
	p.next()
	if p.takes("*") {
		return nil
	}
	if p.tok.kind != tokName {
		return p.wrong("a name is expected after %s:", "после %s: ожидается имя", name)
	}
	s.local = p.tok.text
	p.next()
	return nil
}

// Nearest is the known name that a slip of the keyboard tells from s; empty: none is.
func Nearest[V any](s string, known map[string]V) (near string) {
	best := (utf8.RuneCountInString(s)+2)/3 + 1
	list := make([]string, 0, len(known))
	for n := range known {
		list = append(list, n)
	}
	sort.Strings(list)
	for _, n := range list {
		if d := contentpath.Distance(strings.ToLower(s), strings.ToLower(n)); d < best {
			best, near = d, n
		}
	}
	return near
}
