package scenario

import (
	"errors"
	"fmt"
	"strings"

	"mezhved/adapter/lifecycle/xpath"
	"mezhved/envelopes/xmltape"
)

// Template is a document with places to be filled. Any well-formed document is one; a
// sample answer, too. In text and in attributes ${expression} is replaced by its
// value, $${ stands for ${ itself. Processing instructions decide what is there:
//
//	<?for expression?> … <?end?>   for each node that a path finds, or so many times
//	<?if expression?> … <?else?> … <?end?>
//	<?let name = expression?>      $name, until the end of the block
//
// Inside for, relative paths begin at the node. Comments are left out.
type Template struct {
	parts []part
}

// most bounds what one template may give.
const (
	mostOutput = 16 << 20
	mostTurns  = 10_000
	mostWork   = 8 << 20 // of all its expressions and turns: see xpath.Context.Left
)

// part is a piece of a template.
type part interface {
	write(b *builder, c *xpath.Context) error
}

type builder struct{ out []byte }

func (b *builder) add(s string) error {
	if len(b.out)+len(s) > mostOutput {
		return fmt.Errorf("the template gives more than %d MB", mostOutput>>20)
	}
	b.out = append(b.out, s...)
	return nil
}

// as is octets as they stand in the template.
type as string

func (a as) write(b *builder, _ *xpath.Context) error { return b.add(string(a)) }

// value is an expression to be filled in.
type value struct {
	e      *xpath.Expr
	escape *strings.Replacer // nil: plain text
}

var (
	escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")
	escapeAttr = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "'", "&apos;", "\t", "&#9;", "\n", "&#10;", "\r", "&#13;")
)

func (v value) write(b *builder, c *xpath.Context) error {
	got, err := v.e.Eval(c)
	if err != nil {
		return fmt.Errorf("${%s}: %w", v.e, err)
	}
	s := xpath.String(got)
	if n, ok := got.(xpath.Number); ok && n.Rat() == nil {
		return fmt.Errorf("${%s} is no number", v.e)
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return -1 // no character of XML
		}
		return r
	}, s)
	if v.escape != nil {
		s = v.escape.Replace(s)
	}
	return b.add(s)
}

// block is <?for?>, <?if?> or <?let?>.
type block struct {
	kind       string
	name       string // let
	e          *xpath.Expr
	body, also []part // also: <?else?>
}

func (k *block) write(b *builder, c *xpath.Context) error {
	v, err := k.e.Eval(c)
	if err != nil {
		return fmt.Errorf("<?%s %s?>: %w", k.kind, k.e, err)
	}
	switch k.kind {
	case "let":
		c.Variables[k.name] = v
		return nil
	case "if":
		if xpath.Bool(v) {
			return writeAll(k.body, b, c)
		}
		return writeAll(k.also, b, c)
	}
	turns := 0
	nodes, isNodes := v.(xpath.Nodes)
	if isNodes {
		turns = nodes.Len()
	} else if r := xpath.AsNumber(v).Rat(); r == nil || !r.IsInt() || !r.Num().IsInt64() {
		return fmt.Errorf("<?for %s?>: a path or a whole number is expected", k.e)
	} else {
		turns = int(r.Num().Int64())
	}
	if turns > mostTurns {
		return fmt.Errorf("<?for %s?> would go round %d times; %d is the most", k.e, turns, mostTurns)
	}
	if *c.Left -= max(turns, 0); *c.Left < 0 {
		return fmt.Errorf("<?for %s?>: %w", k.e, xpath.ErrEndless)
	}
	for i := range turns {
		inner := *c
		inner.Position, inner.Last = i+1, turns
		if isNodes {
			inner.Node = nodes.Element(i)
		}
		if err := writeAll(k.body, b, &inner); err != nil {
			return err
		}
	}
	return nil
}

// writeAll writes the parts of one block. What they name is known in it only.
func writeAll(parts []part, b *builder, c *xpath.Context) error {
	inner := *c
	inner.Variables = make(map[string]xpath.Value, len(c.Variables))
	for k, v := range c.Variables {
		inner.Variables[k] = v
	}
	for _, p := range parts {
		if err := p.write(b, &inner); err != nil {
			return err
		}
	}
	return nil
}

// render fills the template.
func (t *Template) render(c *xpath.Context) ([]byte, error) {
	var b builder
	own, left := *c, mostWork
	own.Left = &left
	if err := writeAll(t.parts, &b, &own); err != nil {
		return nil, err
	}
	return b.out, nil
}

// Mistake is one thing that is wrong in a template, and where.
type Mistake struct {
	Offset    int // of octets
	Line, Col int // from 1
	Err       error
}

// maker reads a template.
type maker struct {
	scope    xpath.Scope
	mistakes []Mistake
	paths    func(e *xpath.Expr, within string) []error // what the schema says of an expression; nil: nothing is known
	tape     *xmltape.Tape                              // nil: plain text
}

func (m *maker) wrong(offset int, err error) {
	one := Mistake{Offset: offset, Err: err, Line: 1, Col: 1 + offset}
	if m.tape != nil {
		one.Line, one.Col = m.tape.Position(offset)
	}
	m.mistakes = append(m.mistakes, one)
}

// expression reads one, with the variables that are known where it stands.
func (m *maker) expression(source string, offset int, f *frame, condition bool) *xpath.Expr {
	scope := m.scope
	scope.Variables = f.known
	e, err := xpath.Parse(strings.TrimSpace(source), scope)
	if err != nil {
		m.wrong(offset, err)
		return nil
	}
	if condition {
		e.Exists()
	}
	if m.paths != nil {
		for _, one := range m.paths(e, f.within) {
			m.wrong(offset, one)
		}
	}
	return e
}

// root is the path that relative paths begin at outside <?for?>.
const root = "/*"

// frame is an open block while a template is read.
type frame struct {
	block  *block // nil: the template itself
	parts  []part
	also   bool // behind <?else?>
	depth  int  // of elements, where it began
	offset int
	known  map[string]bool
	within string // the path that relative paths begin at; "?" is not known
}

func (f *frame) inner() map[string]bool {
	known := make(map[string]bool, len(f.known))
	for k := range f.known {
		known[k] = true
	}
	return known
}

// filled reads text with ${…} in it. raw is as it stands in the template at offset;
// decode says how what is in the braces is read.
func (m *maker) filled(raw string, offset int, f *frame, escape *strings.Replacer, decode func(string) string) (out []part) {
	for {
		i := strings.Index(raw, "${")
		if i < 0 {
			return append(out, as(raw))
		}
		if i > 0 && raw[i-1] == '$' {
			out = append(out, as(raw[:i-1]+"${"))
			raw, offset = raw[i+2:], offset+i+2
			continue
		}
		end := closing(raw[i+2:])
		if end < 0 {
			m.wrong(offset+i, say("${ is not closed by }", "${ не закрыто скобкой }"))
			return append(out, as(raw))
		}
		out = append(out, as(raw[:i]))
		if e := m.expression(decode(raw[i+2:i+2+end]), offset+i, f, false); e != nil {
			out = append(out, value{e, escape})
		}
		raw, offset = raw[i+2+end+1:], offset+i+2+end+1
	}
}

// closing is where the brace stands that ends an expression; quotes may hold others.
func closing(s string) int {
	var quote rune
	for i, r := range s {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '}':
			return i
		}
	}
	return -1
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

// text reads a plain text with ${…} in it: of a status, a rejection.
func (m *maker) text(source string) *Template {
	f := &frame{known: map[string]bool{}, within: root}
	return &Template{parts: m.filled(source, 0, f, nil, func(s string) string { return s })}
}

// document reads a template that is a document.
func (m *maker) document(src []byte) *Template {
	m.tape = new(xmltape.Tape)
	if err := m.tape.Parse(src, xmltape.Limits{}); err != nil {
		var bad *xmltape.Error
		if errors.As(err, &bad) {
			m.mistakes = append(m.mistakes, Mistake{bad.Offset, bad.Line, bad.Col, fromGate(bad)})
		} else {
			m.wrong(0, err)
		}
		return nil
	}
	open := []*frame{{known: map[string]bool{}, within: root}}
	start, end := m.tape.Root().Range()
	at := start
	top := func() *frame { return open[len(open)-1] }
	put := func(to int, parts ...part) {
		f := top()
		if to > at {
			f.parts = append(f.parts, as(src[at:to]))
		}
		f.parts = append(f.parts, parts...)
	}
	for i := range m.tape.Tokens {
		tok := &m.tape.Tokens[i]
		if int(tok.Off) < start || int(tok.Off) >= end {
			if tok.Kind == xmltape.PI {
				m.wrong(int(tok.Off), say("an instruction stands outside the document's root", "инструкция стоит вне корневого элемента документа"))
			}
			continue
		}
		switch tok.Kind {
		case xmltape.Start:
			m.attributes(tok, top(), func(off, to int, parts []part) {
				put(off, parts...)
				at = to
			})
		case xmltape.End:
			for len(open) > 1 && top().depth > int(tok.Depth) {
				m.wrong(top().offset, say("<?%s?> must end in the element in which it begins", "<?%s?> должно кончиться в том элементе, где началось", top().block.kind))
				open = open[:len(open)-1]
			}
		case xmltape.Text:
			if raw := string(src[tok.Off:tok.End]); strings.Contains(raw, "${") {
				put(int(tok.Off), m.filled(raw, int(tok.Off), top(), escapeText, unescape.Replace)...)
				at = int(tok.End)
			}
		case xmltape.Comment:
			put(int(tok.Off))
			at = int(tok.End)
		case xmltape.PI:
			put(int(tok.Off))
			at = int(tok.End)
			open = m.instruction(tok, open)
		}
	}
	for ; len(open) > 1; open = open[:len(open)-1] {
		m.wrong(top().offset, say("<?%s?> is not closed by <?end?>", "<?%s?> не закрыто инструкцией <?end?>", top().block.kind))
	}
	put(end)
	return &Template{parts: open[0].parts}
}

func (m *maker) attributes(tok *xmltape.Token, f *frame, put func(off, to int, parts []part)) {
	src := m.tape.Source()
	for k := range int(tok.NAttr) {
		a := &m.tape.Attrs[int(tok.Attr)+k]
		raw := string(src[a.ValOff:a.ValEnd])
		if strings.Contains(raw, "${") {
			put(int(a.ValOff), int(a.ValEnd), m.filled(raw, int(a.ValOff), f, escapeAttr, unescape.Replace))
		}
	}
}

// instruction opens or closes a block.
func (m *maker) instruction(tok *xmltape.Token, open []*frame) []*frame {
	f := open[len(open)-1]
	text := string(m.tape.Source()[tok.Off+2 : tok.End-2])
	kind, rest := text[:tok.NameLen], strings.TrimSpace(text[tok.NameLen:])
	offset := int(tok.Off)
	switch kind {
	case "for", "if":
		k := &block{kind: kind}
		next := &frame{block: k, depth: int(tok.Depth), offset: offset, known: f.inner(), within: f.within}
		if k.e = m.expression(rest, offset, f, true); k.e != nil && kind == "for" {
			next.within = "?" // where nothing is known, nothing is held against the schema
			if within, ok := k.e.Plain(f.within); ok && f.within != "?" {
				next.within = within
			}
		}
		return append(open, next)
	case "let":
		name, source, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " $'\"()/") {
			m.wrong(offset, say("<?let name = expression?> is expected", "ожидается <?let имя = выражение?>"))
			return open
		}
		if e := m.expression(source, offset, f, true); e != nil { // it may be gone through
			f.parts = append(f.parts, &block{kind: kind, name: name, e: e})
		}
		f.known[name] = true
	case "else":
		if f.block == nil || f.block.kind != "if" || f.also {
			m.wrong(offset, say("<?else?> stands in no <?if?>", "<?else?> стоит вне <?if?>"))
			return open
		}
		f.block.body, f.parts, f.also = f.parts, nil, true
	case "end":
		if f.block == nil {
			m.wrong(offset, say("<?end?> closes nothing", "<?end?> ничего не закрывает"))
			return open
		}
		if f.depth != int(tok.Depth) {
			m.wrong(offset, say("<?%s?> must end in the element in which it begins", "<?%s?> должно кончиться в том элементе, где началось", f.block.kind))
		}
		if f.also {
			f.block.also = f.parts
		} else {
			f.block.body = f.parts
		}
		outer := open[len(open)-2]
		if f.block.e != nil {
			outer.parts = append(outer.parts, f.block)
		}
		return open[:len(open)-1]
	default:
		if near := xpath.Nearest(kind, map[string]bool{"for": true, "if": true, "else": true, "end": true, "let": true}); near != "" {
			m.wrong(offset, say("there is no instruction <?%s?>; is <?%s?> meant?", "инструкции <?%s?> нет; не имеется ли в виду <?%s?>?", kind, near))
		} else {
			m.wrong(offset, say("there is no instruction <?%s?>; there are for, if, else, end and let", "инструкции <?%s?> нет; есть for, if, else, end и let", kind))
		}
	}
	return open
}

// said is a sentence in two languages.
type said struct{ english, russian string }

func (s *said) Error() string { return s.english }

// Russian is the sentence in Russian.
func (s *said) Russian() string { return s.russian }

func say(english, russian string, args ...any) *said {
	ru, en := make([]any, len(args)), make([]any, len(args))
	for i, a := range args {
		ru[i], en[i] = a, a
		if r, ok := a.(interface{ Russian() string }); ok {
			ru[i] = r.Russian()
		}
	}
	return &said{fmt.Sprintf(english, en...), fmt.Sprintf(russian, ru...)}
}

func fromGate(e *xmltape.Error) error {
	return &said{string(e.Code) + ": " + e.Detail, string(e.Code) + ": " + e.Russian()}
}
