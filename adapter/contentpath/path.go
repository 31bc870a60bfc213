// Package contentpath is the part of XPath 1.0 by which a service's description
// points into the content of its messages: at a routing code (MR 3.3, section
// 2.2.3), at a person, at the ground of a request. Whoever reads descriptions may
// enter.
//
// A path is absolute: child steps, each a name, a prefixed name, * or
// *[local-name()="x"] with an optional namespace-uri()="u", ended by an element,
// text() or an attribute. Nothing else is accepted, so that a path costs one walk
// whatever the content is, and so that a compiled schema can say whether it may
// ever find anything.
package contentpath

import (
	"bytes"
	"fmt"
	"strings"

	"mezhved/envelopes/xmltape"
)

// Path points into content. Safe for concurrent use.
type Path struct {
	source string
	steps  []step
	attr   *step // the last step is an attribute
}

// step matches elements, or attributes, by name.
type step struct {
	local    string // empty: any
	space    string
	anySpace bool
}

func (p *Path) String() string { return p.source }

// Error says what is wrong with a path, in two languages.
type Error struct{ english, russian string }

func (e *Error) Error() string { return e.english }

// Russian is the error in Russian.
func (e *Error) Russian() string { return e.russian }

func wrong(english, russian string, args ...any) *Error {
	return &Error{fmt.Sprintf(english, args...), fmt.Sprintf(russian, args...)}
}

// in puts an error under the path that it was found in.
func (e *Error) in(path string) *Error {
	return &Error{fmt.Sprintf("path %q: %s", path, e.english), fmt.Sprintf("путь %q: %s", path, e.russian)}
}

// Parse reads a path. namespaces maps its prefixes; a name without a
// prefix matches in any namespace, because the registered paths mean it so. The
// error is an *Error.
func Parse(s string, namespaces map[string]string) (*Path, error) {
	p, err := parse(s, namespaces)
	if err != nil {
		return nil, err.in(s)
	}
	return p, nil
}

func parse(s string, namespaces map[string]string) (*Path, *Error) {
	p := &Path{source: s}
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "/")
	if !ok {
		return nil, wrong("it must begin with /", "он должен начинаться с /")
	}
	for {
		one, more, err := cutStep(rest)
		if err != nil {
			return nil, err
		}
		last := more == ""
		if one == "text()" && last && len(p.steps) > 0 {
			return p, nil
		}
		if name, ok := strings.CutPrefix(one, "@"); ok && last && len(p.steps) > 0 {
			a, err := parseStep(name, namespaces)
			if err != nil {
				return nil, err
			}
			a.anySpace = false
			p.attr = &a
			return p, nil
		}
		parsed, err := parseStep(one, namespaces)
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, parsed)
		if last {
			return p, nil
		}
		rest = more[1:]
	}
}

// cutStep gives the next step and what follows it, its slash included. Slashes
// in quotes belong to the step.
func cutStep(s string) (first, rest string, err *Error) {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '/':
			if i == 0 || i == len(s)-1 {
				return "", "", wrong("an empty step (// is not supported)", "пустой шаг (// не поддерживается)")
			}
			return s[:i], s[i:], nil
		}
	}
	if quote != 0 {
		return "", "", wrong("an unclosed quote", "кавычка не закрыта")
	}
	if s == "" {
		return "", "", wrong("an empty step", "пустой шаг")
	}
	return s, "", nil
}

func parseStep(text string, namespaces map[string]string) (step, *Error) {
	name, predicate, filtered := strings.Cut(strings.TrimSpace(text), "[")
	if !filtered {
		return parseNameTest(name, namespaces)
	}
	predicate, closed := strings.CutSuffix(strings.TrimSpace(predicate), "]")
	if !closed || name != "*" {
		return step{}, wrong("step %q: only *[local-name()=\"…\"] may have a predicate", "шаг %q: условие возможно только в *[local-name()=\"…\"]", text)
	}
	out := step{anySpace: true}
	for part := range strings.SplitSeq(predicate, " and ") {
		fn, value, ok := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != value[len(value)-1] || (value[0] != '"' && value[0] != '\'') {
			return step{}, badPredicate(text)
		}
		value = value[1 : len(value)-1]
		switch strings.TrimSpace(fn) {
		case "local-name()":
			out.local = value
		case "namespace-uri()":
			out.space, out.anySpace = value, false
		default:
			return step{}, badPredicate(text)
		}
	}
	return out, nil
}

func badPredicate(text string) *Error {
	return wrong("step %q: local-name()=\"…\" or namespace-uri()=\"…\" is expected in the predicate", "шаг %q: в условии ожидается local-name()=\"…\" или namespace-uri()=\"…\"", text)
}

func parseNameTest(name string, namespaces map[string]string) (step, *Error) {
	if name == "*" {
		return step{anySpace: true}, nil
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "()[]=@|* \t\"'") {
		return step{}, wrong("step %q is not a name", "шаг %q — не имя", name)
	}
	prefix, local, prefixed := strings.Cut(name, ":")
	if !prefixed {
		return step{local: name, anySpace: true}, nil
	}
	space, ok := namespaces[prefix]
	if !ok {
		return step{}, wrong("prefix %q is not declared in namespaces", "префикс %q не объявлен в namespaces", prefix)
	}
	return step{local: local, space: space}, nil
}

// matches compares without making texts of the names.
func (s *step) matches(n xmltape.Node) bool {
	t, name := n.Tape(), n.Name()
	return (s.local == "" || string(t.Local(name)) == s.local) && (s.anySpace || string(t.SpaceURI(t.Space(name))) == s.space)
}

// First gives the first value that is not empty, without white space round it.
// The content element is the first step.
func (p *Path) First(content xmltape.Node) (value string, ok bool) {
	p.Below(0, content, func(v []byte) bool {
		value, ok = string(v), true
		return false
	})
	return value, ok
}

// Each calls yield with every value that is not empty, in document order, without
// white space round it, until yield says false. Each element is looked at once per
// step.
func (p *Path) Each(content xmltape.Node, yield func(value string) bool) {
	p.Below(0, content, func(v []byte) bool { return yield(string(v)) })
}

// Below is Each for a node that the first steps of the path have led to, itself
// included: with 0, the content. The values may belong to the tape.
func (p *Path) Below(steps int, n xmltape.Node, yield func(value []byte) bool) {
	if steps == 0 {
		if !n.Valid() || !p.steps[0].matches(n) {
			return
		}
		steps = 1
	}
	p.descend(n, p.steps[steps:], func(_ xmltape.Node, v []byte) bool { return len(v) == 0 || yield(v) })
}

// Places is Each with the element that each value stands in, and with values that are
// empty: an element without anything in it that is not xsi:nil, an attribute that is there.
func (p *Path) Places(content xmltape.Node, yield func(at xmltape.Node, value string) bool) {
	if content.Valid() && p.steps[0].matches(content) {
		p.descend(content, p.steps[1:], func(at xmltape.Node, v []byte) bool {
			return len(v) == 0 && !p.empty(at) || yield(at, string(v))
		})
	}
}

// empty says that where no value was found, one stands that is empty.
func (p *Path) empty(n xmltape.Node) bool {
	if p.attr != nil {
		_, there := n.Attr(p.attr.space, p.attr.local)
		return there
	}
	null, _ := n.Attr("http://www.w3.org/2001/XMLSchema-instance", "nil")
	null = strings.TrimSpace(null)
	return null != "true" && null != "1" && !n.First().Valid()
}

func (p *Path) descend(n xmltape.Node, steps []step, yield func(xmltape.Node, []byte) bool) bool {
	if len(steps) == 0 {
		return yield(n, p.value(n))
	}
	for c := n.First(); c.Valid(); c = c.Next() {
		if steps[0].matches(c) && !p.descend(c, steps[1:], yield) {
			return false
		}
	}
	return true
}

func (p *Path) value(n xmltape.Node) []byte {
	if p.attr == nil {
		return n.Trimmed()
	}
	return bytes.TrimSpace(n.AttrText(p.attr.space, p.attr.local))
}

// Common is how many steps the paths have in common that do not lead to a value of
// one of them: the element that holds them all.
func Common(paths []*Path) (steps int) {
	for {
		for _, p := range paths {
			most := len(p.steps) - 1
			if p.attr != nil {
				most++
			}
			if steps >= most || p.steps[steps] != paths[0].steps[steps] {
				return steps
			}
		}
		steps++
	}
}

// Holders calls yield with the elements that the steps of the path up to one lead to
// from a node that the first of them have led to: with 0, the content.
func (p *Path) Holders(from, to int, n xmltape.Node, yield func(xmltape.Node)) {
	if from == 0 {
		if !n.Valid() || to == 0 || !p.steps[0].matches(n) {
			return
		}
		from = 1
	}
	holders(n, p.steps[from:to], yield)
}

func holders(n xmltape.Node, steps []step, yield func(xmltape.Node)) {
	if len(steps) == 0 {
		yield(n)
		return
	}
	for c := n.First(); c.Valid(); c = c.Next() {
		if steps[0].matches(c) {
			holders(c, steps[1:], yield)
		}
	}
}
