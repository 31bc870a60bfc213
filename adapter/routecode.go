package adapter

import (
	"strings"

	"mezhved/envelopes/xmltape"
)

// codePath is the XPath that extracts a routing code from the content of a
// request (MR 3.3, section 2.2.3). It is the part of XPath 1.0 that registered
// services use: an absolute path of child steps, each a name, a prefixed name,
// * or *[local-name()="x"] with an optional namespace-uri()="u", ended by an
// element, text() or an attribute. Nothing else is accepted, so that a path
// costs one walk whatever the content is.
type codePath struct {
	source string
	steps  []codeStep
	attr   *codeStep // the last step is an attribute
}

type codeStep struct {
	local    string // empty: any
	space    string
	anySpace bool
}

func (p *codePath) String() string { return p.source }

// parseCodePath reads a path. namespaces maps its prefixes; a name without a
// prefix matches in any namespace, because the registered paths mean it so.
func parseCodePath(s string, namespaces map[string]string) (*codePath, error) {
	p := &codePath{source: s}
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "/")
	if !ok {
		return nil, sayf("the path %q must begin with /", s)
	}
	for {
		step, more, err := cutStep(rest)
		if err != nil {
			return nil, sayf("path %q: %v", s, err)
		}
		last := more == ""
		if step == "text()" && last && len(p.steps) > 0 {
			return p, nil
		}
		if name, ok := strings.CutPrefix(step, "@"); ok && last && len(p.steps) > 0 {
			a, err := parseStep(name, namespaces)
			if err != nil {
				return nil, sayf("path %q: %v", s, err)
			}
			a.anySpace = false
			p.attr = &a
			return p, nil
		}
		one, err := parseStep(step, namespaces)
		if err != nil {
			return nil, sayf("path %q: %v", s, err)
		}
		p.steps = append(p.steps, one)
		if last {
			return p, nil
		}
		rest = more[1:]
	}
}

// cutStep gives the next step and what follows it, its slash included. Slashes
// in quotes belong to the step.
func cutStep(s string) (step, rest string, err error) {
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
				return "", "", sayf("an empty step (// is not supported)")
			}
			return s[:i], s[i:], nil
		}
	}
	if quote != 0 {
		return "", "", sayf("an unclosed quote")
	}
	if s == "" {
		return "", "", sayf("an empty step")
	}
	return s, "", nil
}

func parseStep(step string, namespaces map[string]string) (codeStep, error) {
	name, predicate, filtered := strings.Cut(strings.TrimSpace(step), "[")
	if !filtered {
		return parseNameTest(name, namespaces)
	}
	predicate, closed := strings.CutSuffix(strings.TrimSpace(predicate), "]")
	if !closed || name != "*" {
		return codeStep{}, sayf("step %q: only *[local-name()=\"…\"] may have a predicate", step)
	}
	out := codeStep{anySpace: true}
	for part := range strings.SplitSeq(predicate, " and ") {
		fn, value, ok := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		if !ok || len(value) < 2 || value[0] != value[len(value)-1] || (value[0] != '"' && value[0] != '\'') {
			return codeStep{}, sayf("step %q: local-name()=\"…\" or namespace-uri()=\"…\" is expected in the predicate", step)
		}
		value = value[1 : len(value)-1]
		switch strings.TrimSpace(fn) {
		case "local-name()":
			out.local = value
		case "namespace-uri()":
			out.space, out.anySpace = value, false
		default:
			return codeStep{}, sayf("step %q: local-name()=\"…\" or namespace-uri()=\"…\" is expected in the predicate", step)
		}
	}
	return out, nil
}

func parseNameTest(name string, namespaces map[string]string) (codeStep, error) {
	if name == "*" {
		return codeStep{anySpace: true}, nil
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "()[]=@|* \t\"'") {
		return codeStep{}, sayf("step %q is not a name", name)
	}
	prefix, local, prefixed := strings.Cut(name, ":")
	if !prefixed {
		return codeStep{local: name, anySpace: true}, nil
	}
	space, ok := namespaces[prefix]
	if !ok {
		return codeStep{}, sayf("prefix %q is not declared in namespaces", prefix)
	}
	return codeStep{local: local, space: space}, nil
}

func (s codeStep) matches(n xmltape.Node) bool {
	return (s.local == "" || n.Local() == s.local) && (s.anySpace || n.Space() == s.space)
}

// find gives the code, without white space round it. The content element is
// the first step. An empty code is none.
func (p *codePath) find(content xmltape.Node) (string, bool) {
	if !content.Valid() || !p.steps[0].matches(content) {
		return "", false
	}
	return p.descend(content, p.steps[1:])
}

// descend takes the first match in document order, going back over elements
// that match a step but lead nowhere. Each element is looked at once per step.
func (p *codePath) descend(n xmltape.Node, steps []codeStep) (string, bool) {
	if len(steps) == 0 {
		code := n.TrimText()
		if p.attr != nil {
			v, _ := n.Attr(p.attr.space, p.attr.local)
			code = strings.TrimSpace(v)
		}
		return code, code != ""
	}
	for c := range n.Children() {
		if steps[0].matches(c) {
			if code, ok := p.descend(c, steps[1:]); ok {
				return code, true
			}
		}
	}
	return "", false
}
