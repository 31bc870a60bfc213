package xsd

import (
	"slices"
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// resolve reads the bodies of all components.
func (c *compiler) resolve() {
	for _, doc := range c.order {
		for _, n := range doc.root.kids {
			name := qname{doc.target, n.token("name")}
			switch n.name {
			case "element":
				if e := c.elements[name]; e != nil {
					c.needElement(e)
				}
			case "attribute":
				if a := c.attributes[name]; a != nil {
					c.needAttribute(a)
				}
			case "group":
				if g := c.groups[name]; g != nil {
					c.needGroup(g)
				}
			case "attributeGroup":
				if g := c.attrGroups[name]; g != nil {
					c.needAttributeGroup(g)
				}
			}
		}
	}
	// Redefined originals are reachable only through their redefinitions.
	// Reading a body may discover anonymous types: the lists grow meanwhile.
	for i, j, k := 0, 0, 0; i < len(c.simples) || j < len(c.complexes) || k < len(c.bodies); {
		switch {
		case i < len(c.simples):
			c.needSimple(c.simples[i])
			i++
		case j < len(c.complexes):
			c.needComplex(c.complexes[j])
			j++
		default:
			c.bodies[k]()
			k++
		}
	}
}

// later puts work off until the components round it are whole.
func (c *compiler) later(f func()) { c.bodies = append(c.bodies, f) }

// typeOf reads the type that an element or attribute declaration names or
// holds; nil when it has none.
func (c *compiler) typeOf(n *node) typeDef {
	inline := n.kid("simpleType", "complexType")
	if n.has("type") {
		if inline != nil {
			rule := "src-element.3"
			if n.name == "attribute" {
				rule = "src-attribute.4"
			}
			c.find(inline, rule, "у xs:%[1]s есть и атрибут type, и вложенный тип: оставьте одно", "xs:%[1]s has both a type attribute and a nested type: keep one", n.name)
		}
		return c.typeNamed(n, n.token("type"))
	}
	if inline == nil {
		return nil
	}
	return c.anonymousType(inline)
}

func (c *compiler) anonymousType(n *node) typeDef {
	if n.name == "simpleType" {
		return c.anonymousSimple(n)
	}
	t := &complexType{node: n}
	c.complexes = append(c.complexes, t)
	return t
}

func (c *compiler) anonymousSimple(n *node) *simpleType {
	t := &simpleType{node: n, about: n.about}
	c.simples = append(c.simples, t)
	return t
}

// simpleNamed finds a simple type by a QName; nil after a finding. The type is read.
func (c *compiler) simpleNamed(n *node, lexical, rule string) *simpleType {
	t := c.typeNamed(n, lexical)
	if t == nil {
		return nil
	}
	s, ok := t.(*simpleType)
	if !ok {
		c.find(n, rule, "тип %[1]s сложный, а нужен простой", "type %[1]s is complex where a simple one is needed", t.display())
		return nil
	}
	return s
}

// ---- elements ----

// needElement reads a global element declaration.
func (c *compiler) needElement(e *elementDecl) {
	if e.state != untouched {
		return
	}
	e.state = underway
	c.elementBody(e)
	e.state = done
}

func (c *compiler) elementBody(e *elementDecl) {
	n := e.node
	e.typ = c.typeOf(n)
	e.about = n.about
	e.nillable = n.boolean("nillable")
	e.abstract = n.boolean("abstract")
	e.block = n.derivationSet("block", "blockDefault", byExtension|byRestriction|bySubstitution)
	e.final = n.derivationSet("final", "finalDefault", byExtension|byRestriction)
	if e.global && n.has("substitutionGroup") {
		if name, ok := c.lookup(n, "substitutionGroup"); ok {
			if e.head = c.elements[name]; e.head == nil {
				c.unresolved(n, "головной элемент группы подстановки", "head of the substitution group", name)
			}
		}
	}
	if e.typ == nil && !n.has("type") && n.kid("simpleType", "complexType") == nil {
		e.typ = c.inheritedType(e)
	}
	if e.typ == nil {
		e.typ = c.anyType // after a finding, or the default
	}
	e.constraint = c.valueConstraint(n, "src-element.1")
	for _, k := range n.kids {
		switch k.name {
		case "key", "unique", "keyref":
			if i := c.identity(k); i != nil {
				e.identities = append(e.identities, i)
			}
		}
	}
	c.later(func() { c.checkElementValue(e) })
}

// inheritedType is the type of the nearest head that states one.
func (c *compiler) inheritedType(e *elementDecl) typeDef {
	seen := map[*elementDecl]bool{e: true}
	for h := e.head; h != nil && !seen[h]; {
		if seen[h] = true; len(seen) > c.lim.Nesting {
			c.exceededAt(e.node, "nesting", c.lim.Nesting)
		}
		if h.node.has("type") || h.node.kid("simpleType", "complexType") != nil {
			c.enter(e.node)
			c.needElement(h)
			c.leave()
			return h.typ
		}
		if !h.node.has("substitutionGroup") {
			return c.anyType
		}
		name, ok := h.node.resolveName(h.node.token("substitutionGroup"))
		if !ok {
			return nil
		}
		h = c.elements[name]
	}
	return nil
}

func (c *compiler) valueConstraint(n *node, rule string) valueConstraint {
	def, hasDefault := n.attr("default")
	fixed, hasFixed := n.attr("fixed")
	switch {
	case hasDefault && hasFixed:
		c.find(n, rule, "у xs:%[1]s есть и default, и fixed: оставьте одно", "xs:%[1]s has both default and fixed: keep one", n.name)
	case hasDefault:
		return valueConstraint{kind: defaultValue, value: def, node: n}
	case hasFixed:
		return valueConstraint{kind: fixedValue, value: fixed, node: n}
	}
	return valueConstraint{}
}

// localElement reads an element inside a content model: a declaration, or a
// reference to a global one. It is nil after a finding.
func (c *compiler) localElement(n *node) *elementDecl {
	if n.has("ref") {
		if n.has("name") {
			c.find(n, "src-element.2.1", "у xs:element есть и name, и ref: оставьте одно", "xs:element has both name and ref: keep one")
			return nil
		}
		for _, a := range []string{"nillable", "default", "fixed", "form", "block", "type"} {
			if n.has(a) {
				c.find(n, "src-element.2.2", "у ссылки xs:element ref не может быть атрибута %[1]s", "a reference xs:element ref may not have an attribute %[1]s", a)
			}
		}
		for _, k := range n.kids {
			c.find(k, "src-element.2.2", "внутри ссылки xs:element ref не может быть xs:%[1]s", "xs:%[1]s may not stand inside a reference xs:element ref", k.name)
		}
		name, ok := c.lookup(n, "ref")
		if !ok {
			return nil
		}
		e := c.elements[name]
		if e == nil {
			c.unresolved(n, "элемент", "element", name)
		}
		return e
	}
	if !n.has("name") {
		c.find(n, "src-element.2.1", "у xs:element нет ни name, ни ref", "xs:element has neither name nor ref")
		return nil
	}
	e := &elementDecl{node: n, name: qname{local: n.token("name")}, state: underway}
	qualified := n.doc.elementQualified
	if n.has("form") {
		qualified = n.token("form") == "qualified"
	}
	if qualified {
		e.name.space = n.doc.target
	}
	c.allElems = append(c.allElems, e)
	c.elementBody(e)
	e.final = 0
	e.state = done
	return e
}

// ---- attributes ----

func (c *compiler) needAttribute(a *attributeDecl) {
	if a.state != untouched {
		return
	}
	a.state = underway
	n := a.node
	a.typ = c.attributeType(n)
	a.constraint = c.valueConstraint(n, "src-attribute.1")
	c.checkAttributeName(n, a.name)
	c.later(func() { c.checkAttributeValue(n, a.typ, &a.constraint) })
	a.state = done
}

func (c *compiler) checkAttributeName(n *node, name qname) {
	if name.local == "xmlns" {
		c.find(n, "no-xmlns", "атрибут не может называться xmlns", "an attribute may not be named xmlns")
	}
	if name.space == xsiSpace {
		c.find(n, "no-xsi", "атрибуты пространства имён %[1]s не объявляют", "attributes of namespace %[1]s are not to be declared", xsiSpace)
	}
}

func (c *compiler) attributeType(n *node) *simpleType {
	t := c.typeOf(n)
	if t == nil {
		return c.anySimpleType
	}
	s, ok := t.(*simpleType)
	if !ok {
		c.find(n, "src-resolve", "тип атрибута %[1]s сложный, а нужен простой", "attribute type %[1]s is complex where a simple one is needed", t.display())
		return c.anySimpleType
	}
	return s
}

// attributeUse reads an attribute inside a type or group; nil after a finding.
func (c *compiler) attributeUse(n *node) *attributeUse {
	u := &attributeUse{node: n, about: n.about}
	switch n.token("use") {
	case "required":
		u.required = true
	case "prohibited":
		u.prohibited = true
	}
	if n.has("default") && n.has("use") && n.token("use") != "optional" {
		c.find(n, "src-attribute.2", "значение по умолчанию бывает только у необязательного атрибута (use=\"optional\")", "only an optional attribute may have a default (use=\"optional\")")
	}
	if n.has("ref") {
		if n.has("name") {
			c.find(n, "src-attribute.3.1", "у xs:attribute есть и name, и ref: оставьте одно", "xs:attribute has both name and ref: keep one")
			return nil
		}
		for _, a := range []string{"type", "form"} {
			if n.has(a) {
				c.find(n, "src-attribute.3.2", "у ссылки xs:attribute ref не может быть атрибута %[1]s", "a reference xs:attribute ref may not have an attribute %[1]s", a)
			}
		}
		if k := n.kid("simpleType"); k != nil {
			c.find(k, "src-attribute.3.2", "внутри ссылки xs:attribute ref не может быть xs:simpleType", "xs:simpleType may not stand inside a reference xs:attribute ref")
		}
		name, ok := c.lookup(n, "ref")
		if !ok {
			return nil
		}
		if u.decl = c.attributes[name]; u.decl == nil {
			c.unresolved(n, "атрибут", "attribute", name)
			return nil
		}
		c.needAttribute(u.decl)
		u.constraint = c.valueConstraint(n, "src-attribute.1")
	} else {
		if !n.has("name") {
			c.find(n, "src-attribute.3.1", "у xs:attribute нет ни name, ни ref", "xs:attribute has neither name nor ref")
			return nil
		}
		a := &attributeDecl{node: n, name: qname{local: n.token("name")}, state: done}
		qualified := n.doc.attrQualified
		if n.has("form") {
			qualified = n.token("form") == "qualified"
		}
		if qualified {
			a.name.space = n.doc.target
		}
		c.checkAttributeName(n, a.name)
		a.typ = c.attributeType(n)
		u.decl = a
		u.constraint = c.valueConstraint(n, "src-attribute.1")
	}
	c.later(func() {
		c.checkAttributeValue(n, u.decl.typ, &u.constraint)
		c.checkFixedUse(u)
	})
	return u
}

// gatherAttributes reads the uses and the wildcard under a type, a derivation or
// an attribute group (Part 1, 3.4.2 and 3.6.2). self is the group being
// redefined, if any.
func (c *compiler) gatherAttributes(n *node, self *attributeGroup) (uses []*attributeUse, wild *wildcard) {
	var groups []*wildcard
	byName := map[qname]*attributeUse{}
	add := func(at *node, u *attributeUse) {
		if u.prohibited {
			uses = append(uses, u)
			return
		}
		old := byName[u.decl.name]
		if old == u {
			return // the same group by two ways: attribute uses are a set
		}
		if old != nil {
			rule := "ct-props-correct.4"
			if n.name == "attributeGroup" {
				rule = "ag-props-correct.2"
			}
			c.find(at, rule, "атрибут %[1]s указан дважды", "attribute %[1]s occurs twice", u.decl.name.short())
			return
		}
		byName[u.decl.name] = u
		uses = append(uses, u)
	}
	selfSeen := false
	for _, k := range n.kids {
		switch k.name {
		case "attribute":
			if u := c.attributeUse(k); u != nil {
				add(k, u)
			}
		case "attributeGroup":
			name, ok := c.lookup(k, "ref")
			if !ok {
				continue
			}
			g := c.attrGroups[name]
			if g == nil {
				c.unresolved(k, "группа атрибутов", "attribute group", name)
				continue
			}
			if self != nil && self.original != nil && name == self.name {
				if selfSeen {
					c.find(k, "src-redefine.7.1", "переопределяемая группа атрибутов ссылается на себя дважды", "the redefined attribute group refers to itself twice")
					continue
				}
				selfSeen = true
				g = self.original
			}
			c.enter(k)
			if !c.needAttributeGroup(g) {
				c.find(k, "src-attribute_group.3", "группа атрибутов %[1]s ссылается сама на себя", "attribute group %[1]s refers to itself", name.short())
				c.leave()
				continue
			}
			c.leave()
			c.hold(k, len(g.uses)*useBytes)
			for _, u := range g.uses {
				c.tick()
				add(k, u)
			}
			if g.wildcard != nil {
				groups = append(groups, g.wildcard)
			}
		case "anyAttribute":
			wild = c.wildcard(k)
		}
	}
	// The complete wildcard: the local one narrowed by those of the groups.
	for _, g := range groups {
		if wild == nil {
			w := *g
			wild = &w
			continue
		}
		both, ok := intersect(wild.spaces, g.spaces)
		if !ok {
			c.find(n, "src-attribute_group.2", "пересечение anyAttribute невыразимо", "the intersection of the anyAttribute wildcards is not expressible")
			continue
		}
		c.hold(n, len(both.set)*spaceBytes)
		wild = &wildcard{spaces: both, process: wild.process, node: wild.node}
	}
	if self != nil && self.original != nil && !selfSeen {
		c.checkRedefinedAttributes(self, uses, wild)
	}
	return uses, wild
}

// needAttributeGroup reads an attribute group. It gives false when the group
// is being read: a circle.
func (c *compiler) needAttributeGroup(g *attributeGroup) bool {
	switch g.state {
	case done:
		return true
	case underway:
		return false
	}
	g.state = underway
	if g.node.name == "attributeGroup" && g.original != nil {
		c.needAttributeGroup(g.original)
	}
	g.uses, g.wildcard = c.gatherAttributes(g.node, g)
	// A prohibited attribute is no component: outside a restriction it says nothing.
	g.uses = slices.DeleteFunc(slices.Clone(g.uses), func(u *attributeUse) bool { return u.prohibited })
	c.later(func() { c.checkOneID(g.node, "ag-props-correct.3", g.uses) })
	g.state = done
	return true
}
