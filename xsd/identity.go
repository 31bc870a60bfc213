package xsd

import "strings"

// identityKind is one of the three identity constraints of Part 1, 3.11.
type identityKind uint8

const (
	unique identityKind = iota
	key
	keyref
)

func (k identityKind) String() string { return [...]string{"unique", "key", "keyref"}[k] }

// identity is an identity-constraint definition.
type identity struct {
	kind     identityKind
	name     qname
	node     *node
	selector []xpath
	fields   [][]xpath
	refer    *identity // of a keyref

	referred bool // some keyref refers to it
}

// xpath is one alternative of the XPath subset of 3.11.6.
type xpath struct {
	descend bool       // starts with .//
	steps   []nameTest // child steps; none: the element itself
	attr    *nameTest  // of a field: the attribute at the end
}

// nameTest is a name, a namespace (local empty) or anything (both empty, any set).
type nameTest struct {
	any   bool
	space string
	local string

	sym, spaceNumber int32 // by emit
}

// maxSteps is how many steps a path may have: its automaton runs in 64 bits.
const maxSteps = 60

// identity reads a key, unique or keyref; nil after a finding.
func (c *compiler) identity(n *node) *identity {
	i := &identity{name: qname{n.doc.target, n.token("name")}, node: n}
	switch n.name {
	case "key":
		i.kind = key
	case "keyref":
		i.kind = keyref
	}
	if old := c.identities[i.name]; old != nil {
		line, _ := old.node.doc.tape.Position(int(old.node.el.Token().Off))
		c.find(n, "sch-props-correct.2", "ограничение %[1]s уже объявлено: %[2]s:%[3]d", "identity constraint %[1]s is declared already: %[2]s:%[3]d", i.name.short(), old.node.doc.path, line)
		return nil
	}
	c.identities[i.name] = i
	ok := true
	for _, k := range n.kids {
		text, _ := k.attr("xpath")
		paths, err := parsePaths(k, text)
		if err == "" && k.name == "selector" {
			for _, p := range paths {
				if p.attr != nil {
					err = "@"
				}
			}
		}
		if err != "" {
			rule := "c-selector-xpath"
			if k.name == "field" {
				rule = "c-fields-xpaths"
			}
			c.find(k, rule, "путь %[1]s не из подмножества XPath, разрешённого в xs:%[2]s (около %[3]s)", "path %[1]s is not in the XPath subset allowed in xs:%[2]s (near %[3]s)", quoteString(text), k.name, quoteString(err))
			ok = false
			continue
		}
		if k.name == "selector" {
			i.selector = paths
		} else {
			i.fields = append(i.fields, paths)
		}
	}
	if i.kind == keyref {
		c.later(func() { c.resolveKeyref(i) })
	}
	if !ok {
		return nil
	}
	return i
}

func (c *compiler) resolveKeyref(i *identity) {
	name, ok := c.lookup(i.node, "refer")
	if !ok {
		return
	}
	r := c.identities[name]
	switch {
	case r == nil:
		c.unresolved(i.node, "ключ", "key", name)
	case r.kind == keyref:
		c.find(i.node, "c-props-correct.1", "%[1]s — это keyref, а refer должен называть key или unique", "%[1]s is a keyref, but refer must name a key or unique", name.short())
	case len(r.fields) != len(i.fields):
		c.find(i.node, "c-props-correct.2", "полей %[1]d, а у ключа %[2]s их %[3]d", "%[1]d fields, but key %[2]s has %[3]d", len(i.fields), name.short(), len(r.fields))
	default:
		i.refer = r
		r.referred = true
	}
}

// parsePaths reads a selector or field. wrong is where the text leaves the
// subset, "" when it does not.
func parsePaths(n *node, text string) (paths []xpath, wrong string) {
	s := &pathScanner{n: n, rest: text}
	s.next()
	for {
		p, ok := s.path()
		if !ok {
			return nil, s.found()
		}
		paths = append(paths, p)
		if s.tok == "" {
			return paths, ""
		}
		if s.tok != "|" {
			return nil, s.found()
		}
		s.next()
	}
}

type pathScanner struct {
	n    *node
	rest string
	tok  string // ".", "..", "/", "//", "|", "@", "*", "::", ":", a name, or an unexpected character
}

func (s *pathScanner) found() string {
	if s.tok == "" {
		return "end"
	}
	return s.tok
}

func (s *pathScanner) next() {
	s.rest = strings.TrimLeft(s.rest, " \t\r\n")
	if s.rest == "" {
		s.tok = ""
		return
	}
	n := 1
	switch s.rest[0] {
	case '/', ':', '.':
		if len(s.rest) > 1 && s.rest[1] == s.rest[0] {
			n = 2
		}
	case '|', '@', '*':
	default:
		if n = nameLength(s.rest); n == 0 {
			n = 1
		}
	}
	s.tok, s.rest = s.rest[:n], s.rest[n:]
}

// nameLength is the length of the NCName that s starts with.
func nameLength(s string) int {
	n := 0
	for i, r := range s {
		if i == 0 && !isNameStart(r) || i > 0 && !isNameChar(r) {
			break
		}
		n = i + len(string(r))
	}
	return n
}

func (s *pathScanner) path() (p xpath, ok bool) {
	first := true
	for {
		switch {
		case s.tok == ".":
			s.next()
			if first && s.tok == "//" {
				p.descend = true
				s.next()
				first = false
				continue
			}
		case s.tok == "@":
			s.next()
			t, ok := s.nameTest()
			p.attr = &t
			return p, ok
		default:
			t, isAttr, ok := s.step()
			if !ok {
				return p, false
			}
			if isAttr {
				p.attr = &t
				return p, true
			}
			if p.steps = append(p.steps, t); len(p.steps) > maxSteps {
				return p, false
			}
		}
		first = false
		if s.tok != "/" {
			return p, true
		}
		s.next()
	}
}

// step is NameTest with an optional axis.
func (s *pathScanner) step() (t nameTest, isAttr, ok bool) {
	if s.tok == "child" || s.tok == "attribute" {
		if after := strings.TrimLeft(s.rest, " \t\r\n"); strings.HasPrefix(after, "::") {
			isAttr = s.tok == "attribute"
			s.next()
			s.next()
		}
	}
	t, ok = s.nameTest()
	return t, isAttr, ok
}

// nameTest is QName, NCName:* or *. No white space stands inside it.
func (s *pathScanner) nameTest() (t nameTest, ok bool) {
	if s.tok == "*" {
		s.next()
		return nameTest{any: true}, true
	}
	if nameLength(s.tok) == 0 {
		return t, false
	}
	name := s.tok
	if !strings.HasPrefix(s.rest, ":") || strings.HasPrefix(s.rest, "::") {
		s.next()
		return nameTest{local: name}, true
	}
	space, bound := s.n.ResolvePrefix([]byte(name))
	s.rest = s.rest[1:]
	if !bound || s.rest == "" || isXMLSpace(rune(s.rest[0])) {
		return t, false
	}
	s.next()
	if s.tok == "*" {
		s.next()
		return nameTest{space: space}, true
	}
	if nameLength(s.tok) == 0 {
		return t, false
	}
	t = nameTest{space: space, local: s.tok}
	s.next()
	return t, true
}
