package xsd

import "slices"

// needComplex reads a complex type: its base first, then attributes and
// content (Part 1, 3.4.2). It gives false when the type is being read: a circle.
func (c *compiler) needComplex(t *complexType) bool {
	switch t.state {
	case done:
		return true
	case underway:
		return false
	}
	t.state = underway
	n := t.node
	c.enter(n)
	defer c.leave()
	if t.original != nil {
		c.needComplex(t.original)
	}
	t.base, t.method, t.about = c.anyType, byRestriction, n.about
	t.abstract = n.boolean("abstract")
	t.block = n.derivationSet("block", "blockDefault", byExtension|byRestriction)
	t.final = n.derivationSet("final", "finalDefault", byExtension|byRestriction)
	switch k := n.kid("simpleContent", "complexContent"); {
	case k == nil:
		if t.original != nil {
			c.find(n, "src-redefine.5", "переопределение типа %[1]s должно быть его собственным расширением или ограничением", "a redefinition of type %[1]s must extend or restrict itself", t.display())
		}
		c.complexBody(t, n, n.boolean("mixed"))
	case k.name == "complexContent":
		mixed := n.boolean("mixed")
		if k.has("mixed") {
			mixed = k.boolean("mixed")
		}
		d := k.kid("restriction", "extension")
		t.method = methodOf(d)
		if c.baseOf(t, d) {
			if _, ok := t.base.(*complexType); !ok {
				c.find(d, "src-ct.1", "основа complexContent %[1]s — простой тип; нужен simpleContent", "the base %[1]s of complexContent is a simple type; use simpleContent", t.base.display())
				t.base = c.anyType
			}
		}
		c.complexBody(t, d, mixed)
	default:
		d := k.kid("restriction", "extension")
		t.method = methodOf(d)
		c.simpleBody(t, d)
	}
	t.state = done
	c.later(func() { c.checkOneID(n, "ct-props-correct.5", t.uses) })
	return true
}

func methodOf(d *node) derivation {
	if d.name == "extension" {
		return byExtension
	}
	return byRestriction
}

// baseOf resolves and reads the base type of a derivation. On a finding the
// base is left at the ur-type and false is given.
func (c *compiler) baseOf(t *complexType, d *node) bool {
	base := c.typeNamed(d, d.token("base"))
	if t.original != nil {
		if base == nil || base.typeName() != t.name {
			c.find(d, "src-redefine.5", "переопределение типа %[1]s должно быть его собственным расширением или ограничением", "a redefinition of type %[1]s must extend or restrict itself", t.display())
			return false
		}
		base = t.original
	}
	if base == nil {
		return false
	}
	switch b := base.(type) {
	case *complexType:
		if !c.needComplex(b) {
			c.find(d, "ct-props-correct.3", "тип %[1]s выводится сам из себя", "type %[1]s is derived from itself", b.display())
			return false
		}
		if b.final&t.method != 0 {
			rule := "derivation-ok-restriction.1"
			if t.method == byExtension {
				rule = "cos-ct-extends.1.1"
			}
			c.find(d, rule, "тип %[1]s закрыт (final) для вывода способом %[2]s", "type %[1]s is final for %[2]s", b.display(), t.method)
		}
	case *simpleType:
		if !c.needSimple(b) {
			return false
		}
	}
	t.base = base
	return true
}

// simpleBody reads a type with simple content.
func (c *compiler) simpleBody(t *complexType, d *node) {
	t.content, t.simple = simpleContent, c.anySimpleType
	known := c.baseOf(t, d)
	uses, wild := c.gatherAttributes(d, nil)
	if !known {
		t.base = c.anyType
		t.uses = slices.DeleteFunc(uses, func(u *attributeUse) bool { return u.prohibited })
		t.wildcard = wild
		t.method = byRestriction
		return
	}
	switch b := t.base.(type) {
	case *simpleType:
		if t.method == byRestriction {
			c.find(d, "src-ct.2", "ограничить простой тип %[1]s в simpleContent нельзя: расширьте его или возьмите xs:simpleType", "simple type %[1]s cannot be restricted in simpleContent: extend it, or use xs:simpleType", b.display())
			return
		}
		if b.final&byExtension != 0 {
			c.find(d, "cos-ct-extends.2.2", "тип %[1]s закрыт (final) для расширения", "type %[1]s is final for extension", b.display())
		}
		t.simple = b
	case *complexType:
		switch {
		case t.method == byExtension && b.content == simpleContent:
			t.simple = b.simple
		case t.method == byExtension:
			c.find(d, "src-ct.2", "содержимое основы %[1]s не простое", "the content of the base %[1]s is not simple", b.display())
			return
		case b.content == simpleContent:
			t.simple = c.restrictContent(t, d, b.simple)
		case b.content == mixedContent && (b.particle == nil || b.particle.emptiable()):
			if d.kid("simpleType") == nil {
				c.find(d, "src-ct.2", "при ограничении смешанного типа %[1]s до простого нужен вложенный xs:simpleType", "restricting mixed type %[1]s to simple content needs a nested xs:simpleType", b.display())
				return
			}
			t.simple = c.restrictContent(t, d, nil)
		default:
			c.find(d, "src-ct.2", "содержимое основы %[1]s не простое", "the content of the base %[1]s is not simple", b.display())
			return
		}
	}
	c.inheritAttributes(t, uses, wild)
}

// restrictContent is the content type of a restriction of simple content: the
// nested type if there is one, or that of the base, narrowed by the facets.
func (c *compiler) restrictContent(t *complexType, d *node, base *simpleType) *simpleType {
	from := base
	if k := d.kid("simpleType"); k != nil {
		from = c.anonymousSimple(k)
		c.needSimple(from)
		if base != nil && !from.faulty && !base.faulty && !simpleDerivedOK(from, base, 0) {
			c.find(k, "derivation-ok-restriction.5.2.2.1", "вложенный тип не выведен из типа содержимого основы %[1]s", "the nested type is not derived from the content type %[1]s of the base", base.display())
		}
	}
	if d.kid(facetNames...) == nil && from != nil {
		return from
	}
	return c.restricted(&simpleType{node: d}, d, from)
}

// complexBody reads a type with complex content; n holds the particle and the attributes.
func (c *compiler) complexBody(t *complexType, n *node, mixed bool) {
	base, ok := t.base.(*complexType)
	if !ok {
		base = c.anyType
	}
	uses, wild := c.gatherAttributes(n, nil)
	explicit := c.explicitContent(n)
	kind := elementContent
	if mixed {
		kind = mixedContent
	}
	switch {
	case t.method == byRestriction:
		t.particle = explicit
		t.content = kind
		if explicit == nil && !mixed {
			t.content = emptyContent
		}
	case explicit == nil && !mixed:
		t.content, t.simple, t.particle = base.content, base.simple, base.particle
	case explicit == nil && (base.content == emptyContent || base.content == mixedContent):
		t.content, t.particle = mixedContent, base.particle
	case base.content == emptyContent:
		t.content, t.particle = kind, explicit
	case base.content == simpleContent:
		c.find(n, "cos-ct-extends.1.4.3", "основа %[1]s имеет простое содержимое: добавить к нему элементы или текст нельзя", "the base %[1]s has simple content: elements cannot be added", base.display())
	case base.content != kind:
		c.find(n, "cos-ct-extends.1.4.3.2.2.1", "тип и его основа %[1]s должны быть оба смешанными или оба нет (mixed)", "the type and its base %[1]s must both be mixed, or neither", base.display())
	default:
		t.content = kind
		switch {
		case base.particle == nil:
			t.particle = explicit
		case explicit == nil:
			t.particle = base.particle
		default:
			if base.particle.isAll() || explicit.isAll() {
				c.find(n, "cos-all-limited.1.2", "xs:all должен быть всем содержимым типа: расширить его или добавить его к непустой основе %[1]s нельзя", "xs:all must be the whole content of a type: it can neither be extended nor added to the non-empty base %[1]s", base.display())
			}
			t.particle = &particle{min: 1, max: 1, node: n, group: &modelGroup{compositor: sequence, node: n, particles: []*particle{base.particle, explicit}}}
		}
	}
	c.inheritAttributes(t, uses, wild)
}

func (p *particle) isAll() bool { return p != nil && p.group != nil && p.group.compositor == all }

// explicitContent is the particle that a type states itself; nil when it is
// empty in the sense of 3.4.2, "explicit content", clause 2.1.
func (c *compiler) explicitContent(n *node) *particle {
	k := n.kid("group", "all", "choice", "sequence")
	if k == nil {
		return nil
	}
	p := c.particle(k, true)
	switch {
	case p == nil || p.max == 0:
		return nil
	case (k.name == "all" || k.name == "sequence") && len(k.kids) == 0:
		return nil
	case k.name == "choice" && len(k.kids) == 0 && p.min == 0:
		return nil
	}
	return p
}

// inheritAttributes merges a type's own attributes with those of its base and
// checks the derivation of attributes.
func (c *compiler) inheritAttributes(t *complexType, own []*attributeUse, wild *wildcard) {
	base, _ := t.base.(*complexType)
	named := map[qname]*attributeUse{}
	for _, u := range own {
		if o := named[u.decl.name]; o == nil || o.prohibited { // a prohibition beside a use says nothing
			named[u.decl.name] = u
		}
	}
	kept := slices.DeleteFunc(slices.Clone(own), func(u *attributeUse) bool { return u.prohibited })
	t.wildcard = wild
	if base == nil {
		t.uses = kept
		return
	}
	c.hold(t.node, len(base.uses)*useBytes)
	if t.method == byExtension {
		t.uses = append(slices.Clone(base.uses), slices.DeleteFunc(kept, func(u *attributeUse) bool { return slices.Contains(base.uses, u) })...)
		for _, u := range base.uses {
			if o := named[u.decl.name]; o != nil && !o.prohibited && o != u {
				c.find(o.node, "ct-props-correct.4", "атрибут %[1]s уже есть в основе %[2]s", "the base %[2]s already has attribute %[1]s", u.decl.name.short(), base.display())
			}
		}
		switch {
		case wild == nil:
			t.wildcard = base.wildcard
		case base.wildcard != nil:
			both, ok := unite(wild.spaces, base.wildcard.spaces)
			if !ok {
				c.find(t.node, "src-ct.5", "объединение anyAttribute с основой %[1]s невыразимо", "the union of anyAttribute with that of the base %[1]s is not expressible", base.display())
				return
			}
			c.hold(t.node, len(both.set)*spaceBytes)
			t.wildcard = &wildcard{spaces: both, process: wild.process, node: wild.node}
		}
		return
	}
	t.uses = kept
	for _, u := range base.uses {
		if named[u.decl.name] == nil {
			t.uses = append(t.uses, u)
		}
	}
	c.later(func() { c.checkAttributeRestriction(t, base, named) })
}

// checkAttributeRestriction holds derivation-ok-restriction, clauses 2 to 4.
func (c *compiler) checkAttributeRestriction(t, base *complexType, own map[qname]*attributeUse) {
	if base == c.anyType {
		return
	}
	c.attributesRestrict(t.node, "derivation-ok-restriction", t.uses, t.wildcard, base.uses, base.wildcard)
	for _, u := range base.uses {
		if o := own[u.decl.name]; u.required && o != nil && o.prohibited {
			c.find(o.node, "derivation-ok-restriction.3", "обязательный атрибут %[1]s основы нельзя запретить", "the required attribute %[1]s of the base cannot be prohibited", u.decl.name.short())
		}
	}
}

// attributesRestrict checks that uses and wildcard allow only what those of
// the base allow.
func (c *compiler) attributesRestrict(n *node, rule string, uses []*attributeUse, wild *wildcard, baseUses []*attributeUse, baseWild *wildcard) {
	byName := map[qname]*attributeUse{}
	for _, u := range baseUses {
		byName[u.decl.name] = u
	}
	for _, u := range uses {
		c.tick()
		name := u.decl.name
		b := byName[name]
		if b == u {
			continue
		}
		if b == nil {
			if baseWild == nil || !baseWild.spaces.contains(name.space) {
				c.find(u.node, rule+".2.2", "атрибута %[1]s нет в основе, и её anyAttribute его не допускает", "the base has no attribute %[1]s, and no anyAttribute that allows it", name.short())
			}
			continue
		}
		if b.required && !u.required {
			c.find(u.node, rule+".2.1.1", "атрибут %[1]s обязателен в основе и должен остаться обязательным", "attribute %[1]s is required in the base and must stay so", name.short())
		}
		if !u.decl.typ.faulty && !b.decl.typ.faulty && !simpleDerivedOK(u.decl.typ, b.decl.typ, 0) {
			c.find(u.node, rule+".2.1.2", "тип %[2]s атрибута %[1]s не выведен из типа %[3]s в основе", "type %[2]s of attribute %[1]s is not derived from its type %[3]s in the base", name.short(), u.decl.typ.display(), b.decl.typ.display())
		}
		if bv := b.effective(); bv.kind == fixedValue {
			uv := u.effective()
			if uv.kind != fixedValue || !c.sameValue(u.decl.typ, uv, b.decl.typ, bv) {
				c.find(u.node, rule+".2.1.3", "атрибут %[1]s имеет в основе постоянное значение %[2]s; здесь должно быть то же", "attribute %[1]s is fixed to %[2]s in the base; it must be the same here", name.short(), quoteString(bv.value))
			}
		}
	}
	if rule != "derivation-ok-restriction" {
		have := map[qname]bool{}
		for _, u := range uses {
			have[u.decl.name] = true
		}
		for _, u := range baseUses {
			if u.required && !have[u.decl.name] {
				c.find(n, rule+".3", "нет обязательного атрибута %[1]s", "the required attribute %[1]s is left out", u.decl.name.short())
			}
		}
	}
	if wild != nil {
		at := wild.node
		switch {
		case baseWild == nil:
			c.find(at, rule+".4.1", "в основе нет anyAttribute", "the base has no anyAttribute")
		case !wild.spaces.subsetOf(baseWild.spaces):
			c.find(at, rule+".4.2", "anyAttribute допускает больше пространств имён, чем в основе", "anyAttribute allows more namespaces than that of the base")
		case wild.process > baseWild.process:
			c.find(at, rule+".4.3", "processContents здесь слабее, чем в основе", "processContents is weaker than in the base")
		}
	}
}

// checkRedefinedAttributes: a redefined attribute group that does not contain
// itself must restrict the original (src-redefine.7.2).
func (c *compiler) checkRedefinedAttributes(g *attributeGroup, uses []*attributeUse, wild *wildcard) {
	old := g.original
	c.later(func() {
		live := slices.DeleteFunc(slices.Clone(uses), func(u *attributeUse) bool { return u.prohibited })
		c.attributesRestrict(g.node, "src-redefine.7.2.2", live, wild, old.uses, old.wildcard)
	})
}

// checkOneID: a type has at most one attribute of type ID.
func (c *compiler) checkOneID(n *node, rule string, uses []*attributeUse) {
	first := ""
	for _, u := range uses {
		if !u.decl.typ.id {
			continue
		}
		if first != "" {
			c.find(n, rule, "два атрибута типа xs:ID: %[1]s и %[2]s", "two attributes of type xs:ID: %[1]s and %[2]s", first, u.decl.name.short())
			return
		}
		first = u.decl.name.short()
	}
}
