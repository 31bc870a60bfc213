package xsd

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
	"mezhved/xsd/internal/xsdregex"
)

// registerBuiltins makes the components that every schema has: the built-in
// simple types and the ur-type; of the XML namespace see builtinXML.
func (c *compiler) registerBuiltins() {
	c.byValue = map[*value.Type]*simpleType{}
	for _, local := range value.BuiltinNames() {
		c.builtin(value.BuiltinType(local))
	}
	c.anySimpleType = c.byValue[value.BuiltinType("anySimpleType")]
	c.anySimpleType.variety = anySimple
	any := &wildcard{spaces: spaceSet{kind: anySpace}, process: lax}
	c.anyType = &complexType{name: qname{xsdSpace, "anyType"}, method: byRestriction, content: mixedContent, state: done, wildcard: any}
	c.anyType.base = c.anyType
	c.anyType.particle = &particle{min: 1, max: 1, group: &modelGroup{compositor: sequence, particles: []*particle{
		{min: 0, max: unbounded, wild: any},
	}}}
	c.types[c.anyType.name] = c.anyType
	c.complexes = append(c.complexes, c.anyType)
}

// registerXML makes the attributes of the XML namespace when documents import
// it and the bundle does not have a schema for it.
func (c *compiler) registerXML() {
	imported := false
	for _, d := range c.order {
		if d.target == xmltape.XMLURI {
			return
		}
		imported = imported || d.imports[xmltape.XMLURI]
	}
	if !imported {
		return
	}
	wrap := func(v *value.Type) *simpleType {
		t := &simpleType{v: v, base: c.anySimpleType, variety: union, state: done, members: []*simpleType{c.byValue[value.BuiltinType("language")]}}
		if v.Variety() == value.Atomic {
			t.base, t.variety, t.members = c.byValue[v.Base()], atomicType, nil
		}
		t.classify()
		return t
	}
	enumerated := func(base string, values ...string) *value.Type {
		var f []value.Facet
		for _, v := range values {
			f = append(f, value.Facet{Kind: value.Enumeration, Value: v})
		}
		t, err := value.BuiltinType(base).Restrict(value.Name{}, f, value.Options{})
		if err != nil {
			panic(err)
		}
		return t
	}
	lang, err := value.UnionOf(value.Name{}, value.BuiltinType("language"), enumerated("string", ""))
	if err != nil {
		panic(err)
	}
	group := &attributeGroup{name: qname{xmltape.XMLURI, "specialAttrs"}, state: done}
	for local, t := range map[string]*simpleType{
		"lang":  wrap(lang),
		"space": wrap(enumerated("NCName", "default", "preserve")),
		"base":  c.byValue[value.BuiltinType("anyURI")],
		"id":    c.byValue[value.BuiltinType("ID")],
	} {
		a := &attributeDecl{name: qname{xmltape.XMLURI, local}, global: true, typ: t, state: done}
		c.attributes[a.name] = a
		group.uses = append(group.uses, &attributeUse{decl: a})
	}
	slices.SortFunc(group.uses, func(a, b *attributeUse) int { return strings.Compare(a.decl.name.local, b.decl.name.local) })
	c.attrGroups[group.name] = group
}

// registerInstance makes the four attributes that every schema has (Part 1,
// 3.2.7) when documents import their namespace and so may refer to them.
func (c *compiler) registerInstance() {
	if !slices.ContainsFunc(c.order, func(d *document) bool { return d.imports[xsiSpace] }) {
		return
	}
	uri := c.byValue[value.BuiltinType("anyURI")]
	uris, err := value.ListOf(value.Name{}, uri.v)
	if err != nil {
		panic(err)
	}
	locations := &simpleType{v: uris, base: c.anySimpleType, variety: list, item: uri, state: done}
	locations.classify()
	for local, t := range map[string]*simpleType{
		"type":                      c.byValue[value.BuiltinType("QName")],
		"nil":                       c.byValue[value.BuiltinType("boolean")],
		"schemaLocation":            locations,
		"noNamespaceSchemaLocation": uri,
	} {
		a := &attributeDecl{name: qname{xsiSpace, local}, global: true, typ: t, state: done}
		c.attributes[a.name] = a
	}
}

// builtin wraps a built-in type and those that it is made of.
func (c *compiler) builtin(v *value.Type) *simpleType {
	if t := c.byValue[v]; t != nil {
		return t
	}
	t := &simpleType{name: qname{v.Name().Space, v.Name().Local}, v: v, state: done, variety: atomicType}
	c.byValue[v] = t
	if v.Base() != nil {
		t.base = c.builtin(v.Base())
	}
	if v.Variety() == value.List {
		t.variety = list
		t.item = c.builtin(v.Item())
	}
	t.classify()
	if v.Name().Local != "" {
		c.types[t.name] = t
	}
	return t
}

// classify notes what values of the type refer to.
func (t *simpleType) classify() {
	t.id = t.v.Variety() == value.Atomic && t.v.Identity() == value.ID
	t.refers = t.v.MayIdentify()
	switch t.variety {
	case atomicType:
		t.notation = t.v.Primitive() == value.NOTATION
		t.qname = t.notation || t.v.Primitive() == value.QName
	case list:
		t.qname = t.item.qname
	case union:
		for _, m := range t.members {
			t.qname = t.qname || m.qname
		}
	}
}

// needSimple reads a simple type. It gives false when the type is being read: a circle.
func (c *compiler) needSimple(t *simpleType) bool {
	switch t.state {
	case done:
		return true
	case underway:
		return false
	}
	t.state = underway
	c.enter(t.node)
	defer c.leave()
	if t.original != nil {
		c.needSimple(t.original)
	}
	t.final = t.node.derivationSet("final", "finalDefault", byRestriction|byList|byUnion)
	switch k := t.node.kid("restriction", "list", "union"); k.name {
	case "restriction":
		c.restrictionBody(t, k)
	case "list":
		c.listBody(t, k)
	case "union":
		c.unionBody(t, k)
	}
	if t.original != nil && t.base != t.original && !t.faulty {
		c.find(t.node, "src-redefine.5", "переопределение типа %[1]s должно быть его собственным ограничением", "a redefinition of type %[1]s must restrict itself", t.display())
	}
	t.state = done
	return true
}

// stand lets a faulty type be used without further findings.
func (c *compiler) stand(t *simpleType) *simpleType {
	t.faulty, t.base, t.variety, t.v = true, c.anySimpleType, atomicType, value.BuiltinType("string")
	return t
}

// component finds the simple type that an attribute names or a child defines.
// Just one of them must be there.
func (c *compiler) component(t *simpleType, n *node, attr, rule string) *simpleType {
	inline := n.kid("simpleType")
	if n.has(attr) == (inline != nil) {
		c.find(n, rule, "в xs:%[1]s нужно одно из двух: атрибут %[2]s или вложенный xs:simpleType", "xs:%[1]s needs one of the two: attribute %[2]s or a nested xs:simpleType", n.name, attr)
		return nil
	}
	var s *simpleType
	if inline != nil {
		s = c.anonymousSimple(inline)
	} else if s = c.simpleNamed(n, n.token(attr), "src-simple-type"); s != nil && t.original != nil && s.name == t.name {
		s = t.original
	}
	if s == nil {
		return nil
	}
	if !c.needSimple(s) {
		c.find(n, "st-props-correct.2", "тип %[1]s определён через самого себя", "type %[1]s is defined by itself", s.display())
		return nil
	}
	return s
}

func (c *compiler) restrictionBody(t *simpleType, n *node) {
	base := c.component(t, n, "base", "src-restriction-base-or-simpleType")
	if base == nil {
		c.stand(t)
		return
	}
	if base.variety == anySimple {
		c.find(n, "cos-st-restricts.1.1", "ограничить xs:anySimpleType нельзя: возьмите xs:string или другой тип", "xs:anySimpleType cannot be restricted: take xs:string or another type")
		c.stand(t)
		return
	}
	if base.final&byRestriction != 0 {
		c.find(n, "st-props-correct.3", "тип %[1]s закрыт (final) для ограничения", "type %[1]s is final for restriction", base.display())
	}
	c.restricted(t, n, base)
}

// restricted makes t the restriction of base by the facets under n.
func (c *compiler) restricted(t *simpleType, n *node, base *simpleType) *simpleType {
	t.state = done
	if base == nil || base.faulty {
		return c.stand(t)
	}
	t.base, t.variety, t.item, t.members = base, base.variety, base.item, base.members
	var facets []value.Facet
	var places []*node
	for _, k := range n.kids {
		kind := value.FacetByName(k.name)
		if kind == value.NoFacet {
			continue
		}
		v, _ := k.attr("value")
		facets = append(facets, value.Facet{Kind: kind, Value: v, Fixed: k.boolean("fixed"), Namespaces: k})
		places = append(places, k)
		if kind == value.Enumeration {
			c.literal(k, v)
		}
	}
	if base.variety == anySimple && len(facets) > 0 {
		c.find(n, "cos-applicable-facets", "у xs:anySimpleType нет фасетов", "xs:anySimpleType has no facets")
		return c.stand(t)
	}
	v, err := base.v.Restrict(value.Name{Space: t.name.space, Local: t.name.local}, facets, value.Options{Step: func(bytes int) {
		c.look()
		c.hold(n, bytes)
	}})
	if err != nil {
		var all value.FacetErrors
		if !errors.As(err, &all) {
			c.find(n, "src-simple-type", "%[1]s", "%[1]s", err.Error())
		}
		for _, f := range all {
			at := n
			if f.Index >= 0 && f.Index < len(places) {
				at = places[f.Index]
			}
			c.find(at, string(f.Rule), "фасет "+facetRussian(f), "%[3]s", f.Kind, quoteString(f.Value), englishOf(f))
		}
		return c.stand(t)
	}
	t.v = v
	t.classify()
	if t.notation {
		for i, name := range v.AllowedNames() {
			if c.notations[qname{name.Space, name.Local}] == nil && i < len(v.Allowed()) {
				c.find(n, "enumeration-valid-restriction", "нотация %[1]s не объявлена", "notation %[1]s is not declared", quoteString(v.Allowed()[i]))
			}
		}
	}
	return t
}

// englishOf is the sentence of a facet error without its rule, which stands beside it.
func englishOf(f *value.FacetError) string {
	return strings.TrimPrefix(f.Error(), string(f.Rule)+": ")
}

// facetRussian is the same in Russian, with %[1] the facet and %[2] its value.
func facetRussian(f *value.FacetError) string {
	s := "%[1]s=%[2]s не годится для типа " + strings.ReplaceAll(f.Base.Display(), "%", "%%")
	if f.Other != value.NoFacet {
		s += ": противоречит " + f.Other.String() + "=" + strings.ReplaceAll(quoteString(f.OtherValue), "%", "%%")
	}
	switch f.Rule {
	case value.RuleApplicable:
		s += ": у этого типа такого фасета нет"
	case value.RuleSingleFacet:
		s += ": фасет указан дважды"
	case value.RuleFixedFacet:
		s += ": в основе значение закреплено (fixed)"
	case value.RulePatternSyntax:
		s += ": ошибка в регулярном выражении"
		var syntax *xsdregex.SyntaxError
		var budget *xsdregex.BudgetError
		switch {
		case errors.As(f.Err, &syntax):
			s += ", символ " + itoa(utf8.RuneCountInString(syntax.Pattern[:min(syntax.Offset, len(syntax.Pattern))])+1) + ": " + strings.ReplaceAll(syntax.Russian(), "%", "%%")
		case errors.As(f.Err, &budget):
			s += ": " + strings.ReplaceAll(budget.Russian(), "%", "%%")
		}
	case value.RuleEnumRestriction:
		s += ": значение не принадлежит типу"
	}
	if f.Cause != nil && f.Other == value.NoFacet {
		ru, _ := describe(f.Cause)
		s += ": " + strings.ReplaceAll(ru, "%", "%%")
	}
	return s + "%.0[3]s"
}

func (c *compiler) listBody(t *simpleType, n *node) {
	item := c.component(t, n, "itemType", "src-list-itemType-or-simpleType")
	if item == nil || item.faulty {
		c.stand(t)
		return
	}
	if item.final&byList != 0 {
		c.find(n, "cos-st-restricts.2.3.1.1", "тип %[1]s закрыт (final) для списков", "type %[1]s is final for lists", item.display())
	}
	v, err := value.ListOf(value.Name{Space: t.name.space, Local: t.name.local}, item.v)
	if err != nil {
		c.find(n, "cos-list-of-atomic", "список из %[1]s невозможен: элементами списка могут быть только атомарные значения", "a list of %[1]s is not possible: its items must be atomic", item.display())
		c.stand(t)
		return
	}
	t.base, t.variety, t.item, t.v = c.anySimpleType, list, item, v
	t.classify()
}

func (c *compiler) unionBody(t *simpleType, n *node) {
	var members []*simpleType
	faulty := false
	add := func(at *node, m *simpleType) {
		if m == nil {
			faulty = true
			return
		}
		if t.original != nil && m.name == t.name {
			m = t.original
		}
		if !c.needSimple(m) {
			c.find(at, "src-simple-type.4", "объединение %[1]s содержит само себя", "union %[1]s contains itself", m.display())
			faulty = true
			return
		}
		if m.final&byUnion != 0 {
			c.find(at, "cos-st-restricts.3.3.1.1", "тип %[1]s закрыт (final) для объединений", "type %[1]s is final for unions", m.display())
		}
		faulty = faulty || m.faulty
		if m.variety != union {
			members = append(members, m)
			return
		}
		// In 1.0 the members of a union take its place, without the facets that a
		// restriction may have put on it (Part 1, 3.14.2).
		if members = append(members, m.members...); m.base.variety == union {
			t.loosened = append(t.loosened, m)
		}
		if len(members) > c.lim.Members {
			c.exceededAt(n, "members", c.lim.Members)
		}
	}
	for f := range strings.FieldsSeq(n.token("memberTypes")) {
		add(n, c.simpleNamed(n, f, "src-union-memberTypes-or-simpleTypes"))
	}
	for _, k := range n.kids {
		add(k, c.anonymousSimple(k))
	}
	c.hold(n, len(members)*memberBytes)
	if len(members) == 0 && !faulty {
		c.find(n, "src-union-memberTypes-or-simpleTypes", "в xs:union нет ни memberTypes, ни вложенных типов", "xs:union has neither memberTypes nor nested types")
		faulty = true
	}
	if faulty {
		c.stand(t)
		return
	}
	values := make([]*value.Type, len(members))
	for i, m := range members {
		values[i] = m.v
	}
	v, err := value.UnionOf(value.Name{Space: t.name.space, Local: t.name.local}, values...)
	if err != nil {
		c.find(n, "cos-st-restricts.3.1", "член объединения не может быть таким типом: %[1]s", "not a possible member: %[1]s", err.Error())
		c.stand(t)
		return
	}
	t.base, t.variety, t.members, t.v = c.anySimpleType, union, members, v
	t.classify()
}

// simpleDerivedOK is cos-st-derived-ok: d is validly derived from b without
// the methods in excluded. A member of a union is derived from it as if by
// restriction, and the same exclusions apply to it.
func simpleDerivedOK(d, b *simpleType, excluded derivation) bool {
	if d == b {
		return true
	}
	if excluded&byRestriction != 0 {
		return false
	}
	for t := d; t.base != nil && t.base.final&byRestriction == 0; t = t.base {
		if t.base == b || t.memberOf(b) || t.base.memberOf(b) {
			return true
		}
	}
	return false
}

// memberOf: t is a member type of the union. How many there are is bounded by
// Limits.Members.
func (t *simpleType) memberOf(b *simpleType) bool {
	return b.variety == union && slices.Contains(b.members, t)
}

// derivedOK is cos-st-derived-ok or cos-ct-derived-ok, whichever applies.
func (c *universe) derivedOK(d, b typeDef, excluded derivation) bool {
	for t := d; ; {
		if t == b {
			return true
		}
		switch x := t.(type) {
		case *simpleType:
			if s, ok := b.(*simpleType); ok {
				return simpleDerivedOK(x, s, excluded)
			}
			return b == typeDef(c.anyType) && excluded&byRestriction == 0
		case *complexType:
			if x == c.anyType || x.method&excluded != 0 {
				return false
			}
			t = x.base
		}
	}
}
