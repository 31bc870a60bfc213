package xpath

import (
	"strings"

	"mezhved/adapter/contentpath"
	"mezhved/xsd"
)

// markExists notes of the paths that are asked for whether they lead anywhere; of an
// expression as a whole, when it is a condition.
func markExists(e expr) { mark(e, true) }

func mark(e expr, exists bool) {
	switch e := e.(type) {
	case *path:
		e.exists = e.exists || exists
	case *binary:
		logical := e.op == "or" || e.op == "and"
		mark(e.a, logical || exists && e.op == "|")
		mark(e.b, logical || exists && e.op == "|")
	case *call:
		for _, a := range e.args {
			mark(a, e.f.Exists)
		}
	}
}

// Possible says why a path of the expression can find nothing in any valid document
// whose root is root. within is the path of the element that relative paths begin at,
// from the root; empty: the root itself. What cannot be told from the schema alone, as
// after // or .., is passed over. Errors are those of package contentpath, in two
// languages.
func (e *Expr) Possible(schema *xsd.Schema, root xsd.Name, within string) (wrong []error) {
	for _, p := range e.paths {
		source, plain := p.plain(within)
		if !plain {
			continue
		}
		c, err := contentpath.Parse(source, p.namespaces)
		if err != nil {
			continue // not a path that its grammar has
		}
		check := c.Possible
		if p.exists {
			check = c.Leads
		}
		if err := check(schema, root); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// Exists tells the expression that it is asked whether something is there, not for a
// text: a condition, or what is gone through.
func (e *Expr) Exists() *Expr {
	markExists(e.root)
	return e
}

// Plain is the path that the expression is, from the root and without predicates, for
// what is evaluated at each of its nodes; ok is false when it is none.
func (e *Expr) Plain(within string) (source string, ok bool) {
	p, isPath := e.root.(*path)
	if !isPath {
		return "", false
	}
	return p.plain(within)
}

func (p *path) plain(within string) (string, bool) {
	if p.outer != nil && !p.absolute {
		outer := *p.outer
		outer.steps = outer.steps[:p.at+1]
		var ok bool
		if within, ok = outer.plain(within); !ok {
			return "", false
		}
	}
	var b strings.Builder
	if !p.absolute {
		if within == "" {
			return "", false
		}
		b.WriteString(within)
	}
	for _, s := range p.steps {
		if s.anywhere || s.kind == stepParent {
			return "", false
		}
		if s.kind == stepSelf {
			continue
		}
		b.WriteByte('/')
		switch {
		case s.kind == stepText:
			b.WriteString("text()")
			continue
		case s.kind == stepAttribute:
			b.WriteByte('@')
		}
		if s.prefix != "" {
			b.WriteString(s.prefix + ":")
		}
		if s.local == "" {
			if s.prefix != "" || s.kind == stepAttribute {
				return "", false
			}
			b.WriteByte('*')
		}
		b.WriteString(s.local)
	}
	return b.String(), b.Len() > 0
}
