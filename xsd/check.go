package xsd

import (
	"mezhved/xsd/internal/value"
	"mezhved/xsd/internal/xsdregex"
)

func isNameStart(r rune) bool { return r != ':' && xsdregex.IsNameStart(r) }
func isNameChar(r rune) bool  { return r != ':' && xsdregex.IsNameChar(r) }

func isNCName(s string) bool { return s != "" && nameLength(s) == len(s) }

func isQName(s string) bool {
	n := nameLength(s)
	if n == 0 || n == len(s) {
		return n > 0
	}
	return s[n] == ':' && isNCName(s[n+1:])
}

var uriType = value.BuiltinType("anyURI")

func isAnyURI(s string) bool { return uriType.Validate([]byte(s), &value.Context{}) == nil }

// check holds what can be said only when all components are whole: derivation
// of content, substitution groups, value constraints. Determinism of content
// models is checked where the automata are made.
func (c *compiler) check() {
	for _, e := range c.allElems {
		c.checkSubstitution(e)
		c.checkNotationUse(e.node, e.typ)
	}
	if len(c.findings) > 0 {
		return // the walks below rely on sound substitution groups
	}
	c.collectMembers()
	for _, t := range c.complexes {
		c.checkContent(t)
	}
	for _, g := range c.redefinedGroups {
		// Compared are two model groups, not the particles of anything: whether the
		// outermost ones are pointless, which 3.9.6 says of the particle round a
		// group, is therefore left open, and either reading will do.
		r := &restriction{c: c, rule: "src-redefine.6.2.2", groups: true}
		one := func(m *modelGroup) *particle { return &particle{min: 1, max: 1, group: m, node: m.node} }
		r.check(one(g.model), one(g.original.model), g.node)
	}
}

// checkSubstitution holds e-props-correct.3, .4 and .6.
func (c *compiler) checkSubstitution(e *elementDecl) {
	if e.head == nil {
		return
	}
	c.tick()
	steps := 0
	for h := e.head; h != nil; h = h.head {
		if h == e {
			c.find(e.node, "e-props-correct.6", "группа подстановки элемента %[1]s замкнута на него самого", "the substitution group of element %[1]s leads back to itself", e.name.short())
			return
		}
		if steps++; steps > c.lim.Nesting {
			c.exceededAt(e.node, "nesting", c.lim.Nesting)
		}
	}
	if !c.derivedOK(e.typ, e.head.typ, e.head.final) {
		c.find(e.node, "e-props-correct.4", "тип %[1]s элемента %[2]s не выведен из типа %[3]s головного элемента %[4]s, или вывод закрыт (final)",
			"type %[1]s of element %[2]s is not derived from type %[3]s of the head %[4]s, or the derivation is final", e.typ.display(), e.name.short(), e.head.typ.display(), e.head.name.short())
	}
}

// collectMembers finds for each head what may stand for it (3.3.6,
// cos-equiv-derived-ok-rec). An element whose chain is blocked is left out.
func (c *compiler) collectMembers() {
	total := 0
	for _, e := range c.allElems {
		if !e.global {
			continue
		}
		for h := e.head; h != nil; h = h.head {
			if total++; total > c.lim.Components {
				c.exceededAt(e.node, "components", c.lim.Components)
			}
			if h.block&bySubstitution == 0 && !c.blocked(e.typ, h.typ, h.block) {
				h.members = append(h.members, e)
			}
		}
	}
}

// blocked: the way from base to d uses a method that the element or a type on
// the way blocks.
func (c *universe) blocked(d, base typeDef, block derivation) bool {
	if b, ok := base.(*complexType); ok {
		block |= b.block
	}
	var methods derivation
	for t := d; t != base; {
		switch x := t.(type) {
		case *simpleType:
			methods |= byRestriction
			if x.base == nil || x.base == c.anySimpleType {
				return methods&block != 0
			}
			t = x.base
		case *complexType:
			methods |= x.method
			if x == c.anyType {
				return methods&block != 0
			}
			t = x.base
			if b, ok := t.(*complexType); ok && t != base {
				block |= b.block
			}
		}
	}
	return methods&block != 0
}

// checkNotationUse: xs:NOTATION itself is no type to declare with.
func (c *compiler) checkNotationUse(n *node, t typeDef) {
	if s, ok := t.(*simpleType); ok && s.notation && !s.faulty && s.v.Allowed() == nil {
		c.find(n, "enumeration-required-notation", "тип xs:NOTATION без перечисления не годится: перечислите допустимые нотации", "xs:NOTATION without an enumeration cannot be used: enumerate the allowed notations")
	}
}

// checkElementValue holds e-props-correct.2 and .5.
func (c *compiler) checkElementValue(e *elementDecl) {
	v := &e.constraint
	if v.kind == noValue {
		return
	}
	t, ok := e.typ.(*simpleType)
	if ct, complex := e.typ.(*complexType); complex {
		switch {
		case ct.content == simpleContent:
			t, ok = ct.simple, true
		case ct.content == mixedContent && (ct.particle == nil || ct.particle.emptiable()):
			return // any text; compared as a string
		default:
			c.find(e.node, "cos-valid-default.2.1", "значение по умолчанию возможно только при простом содержимом или при смешанном, которое может быть пустым", "a default or fixed value needs simple content, or mixed content that may be empty")
			return
		}
	}
	if ok {
		c.checkValue(e.node, "e-props-correct", t, v)
	}
}

func (c *compiler) checkAttributeValue(n *node, t *simpleType, v *valueConstraint) {
	c.checkNotationUse(n, t)
	if v.kind != noValue {
		c.checkValue(n, "a-props-correct", t, v)
	}
}

// checkValue checks a default or fixed value against its type and keeps its key.
func (c *compiler) checkValue(n *node, rule string, t *simpleType, v *valueConstraint) {
	if t.faulty {
		return
	}
	if t.id {
		part := ".3"
		if rule == "e-props-correct" {
			part = ".5"
		}
		c.find(n, rule+part, "у типа xs:ID не может быть значения по умолчанию или постоянного", "type xs:ID may not have a default or fixed value")
		return
	}
	c.literal(n, v.value)
	ctx := &value.Context{Namespaces: v.node}
	if f := t.v.Validate([]byte(v.value), ctx); f != nil {
		ru, en := describe(f)
		c.find(n, rule+".2", "значение %[1]s не принадлежит типу %[2]s: %[3]s%.0[4]s", "value %[1]s is not of type %[2]s: %.0[3]s%[4]s", quoteString(v.value), t.display(), ru, en)
		return
	}
	v.key, _ = t.v.AppendKey(nil, []byte(v.value), ctx)
}

// checkFixedUse: a use of an attribute with a fixed value keeps it (au-props-correct.2).
func (c *compiler) checkFixedUse(u *attributeUse) {
	own, decl := &u.constraint, &u.decl.constraint
	if decl.kind != fixedValue || own.kind == noValue {
		return
	}
	if own.kind != fixedValue || !c.sameValue(u.decl.typ, own, u.decl.typ, decl) {
		c.find(u.node, "au-props-correct.2", "атрибут %[1]s объявлен с постоянным значением %[2]s: другое невозможно", "attribute %[1]s is declared with the fixed value %[2]s: no other is possible", u.decl.name.short(), quoteString(decl.value))
	}
}

// sameValue compares two value constraints in value space.
func (c *compiler) sameValue(ta *simpleType, a *valueConstraint, tb *simpleType, b *valueConstraint) bool {
	if ta.faulty || tb.faulty {
		return true
	}
	key := func(t *simpleType, v *valueConstraint) (string, bool) {
		c.literal(v.node, v.value)
		ctx := &value.Context{Namespaces: v.node}
		if t.v.Validate([]byte(v.value), ctx) != nil {
			return "", false
		}
		k, ok := t.v.AppendKey(nil, []byte(v.value), ctx)
		return string(k), ok
	}
	x, okx := key(ta, a)
	y, oky := key(tb, b)
	return !okx || !oky || x == y
}

// checkContent holds derivation-ok-restriction.5 for a type that restricts.
func (c *compiler) checkContent(t *complexType) {
	c.tick()
	base, ok := t.base.(*complexType)
	if !ok || t == c.anyType || base == c.anyType || t.method != byRestriction || t.content == simpleContent {
		return
	}
	switch {
	case t.content == emptyContent:
		if base.content != emptyContent && (base.content == simpleContent || base.particle != nil && !base.particle.emptiable()) {
			c.find(t.node, "derivation-ok-restriction.5.3.2", "содержимое пусто, а содержимое основы %[1]s пустым быть не может", "the content is empty, but that of the base %[1]s may not be", base.display())
		}
	case base.content == simpleContent || base.content == emptyContent && (t.particle != nil || t.content == mixedContent):
		c.find(t.node, "derivation-ok-restriction.5.4.1", "содержимое основы %[1]s не допускает элементов", "the content of the base %[1]s does not allow elements", base.display())
	case t.content == mixedContent && base.content != mixedContent:
		c.find(t.node, "derivation-ok-restriction.5.4.1.2", "смешанный тип не может ограничивать несмешанный %[1]s", "a mixed type cannot restrict the unmixed %[1]s", base.display())
	default:
		r := &restriction{c: c, rule: "derivation-ok-restriction.5.4.2"}
		at := t.node
		if t.particle != nil {
			at = t.particle.node
		}
		r.check(orEmpty(t.particle), orEmpty(base.particle), at)
	}
}

// orEmpty is the particle, or an empty sequence where there is none.
func orEmpty(p *particle) *particle {
	if p == nil {
		return &particle{min: 1, max: 1, group: &modelGroup{}}
	}
	return p
}
