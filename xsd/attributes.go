package xsd

import (
	"bytes"
	"slices"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

var booleanType = value.BuiltinType("boolean")

func (v *Validator) attrsOf(tok *xmltape.Token) []xmltape.Attr {
	return v.tape.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)]
}

// attrValue is the value of an attribute, valid until the next one is asked for.
func (v *Validator) attrValue(a *xmltape.Attr) []byte {
	if a.Flags&xmltape.Decode == 0 {
		return v.tape.AttrValue(a, nil)
	}
	v.attr = v.tape.AttrValue(a, v.attr[:0])
	return v.attr
}

func (v *Validator) hasXsiType(i int32) bool { return v.hasInstance(i, v.s.xsiType) }

// hasInstance: the element has the attribute, one of those of xsi.
func (v *Validator) hasInstance(i, sym int32) bool {
	attrs := v.attrsOf(&v.tokens[i])
	for k := range attrs {
		if v.name(attrs[k].Name).sym == sym {
			return true
		}
	}
	return false
}

// instanceAttributes applies xsi:type and xsi:nil (cvc-elt.3 and .4). The
// declared type stays when xsi:type is not usable.
func (v *Validator) instanceAttributes(i int32, tok *xmltape.Token, decl *elementDecl, declared typeDef) (typ typeDef, nilled bool) {
	typ = declared
	attrs := v.attrsOf(tok)
	for k := range attrs {
		info := v.name(attrs[k].Name)
		if info.space != xsiNumber {
			continue
		}
		switch info.sym {
		case v.s.xsiType:
			typ = v.instanceType(i, tok, &attrs[k], decl, declared)
		case v.s.xsiNil:
			raw := v.attrValue(&attrs[k])
			if f := booleanType.Validate(raw, &v.ctx); f != nil {
				v.reportAttr(i, &attrs[k], "cvc-datatype-valid.1.2.1", quote(raw), []string{"true", "false"}, "xsi:nil=%[1]s: нужно true или false", "xsi:nil=%[1]s: true or false is needed", quote(raw))
				continue
			}
			on := bytes.ContainsAny(raw, "t1")
			switch {
			case decl == nil:
				nilled = false
			case !decl.nillable:
				v.reportAttr(i, &attrs[k], "cvc-elt.3.1", quote(raw), nil, "элемент %[1]s не может иметь xsi:nil: он не объявлен как nillable", "element %[1]s may not have xsi:nil: it is not declared nillable", v.nameAt(i))
			default:
				nilled = on
			}
		}
	}
	return typ, nilled
}

// instanceType resolves xsi:type and checks that it may stand for the declared type.
func (v *Validator) instanceType(i int32, tok *xmltape.Token, a *xmltape.Attr, decl *elementDecl, declared typeDef) typeDef {
	raw := bytes.Trim(v.attrValue(a), " \t\r\n")
	prefix, local, found := bytes.Cut(raw, []byte(":"))
	if !found {
		prefix, local = nil, raw
	}
	id, ok := v.tape.LookupPrefix(tok.Scope, prefix)
	if !ok || !isQName(string(raw)) {
		v.reportAttr(i, a, "cvc-elt.4.1", quote(raw), nil, "xsi:type=%[1]s — не имя типа: префикс не объявлен или форма неверна", "xsi:type=%[1]s is no name of a type: its prefix is not declared or its form is wrong", quote(raw))
		return declared
	}
	var typ typeDef
	if space := v.space(id); space != unknownSpace {
		if sym := v.s.symbols.lookup(qname{v.s.symbols.spaces[space], string(local)}); sym != 0 {
			typ = v.s.types[sym]
		}
	}
	if typ == nil {
		v.reportAttr(i, a, "cvc-elt.4.2", quote(raw), nil, "типа xsi:type=%[1]s в схеме нет", "the schema has no type xsi:type=%[1]s", quote(raw))
		return declared
	}
	if typ == declared && !v.PrefixesUnsigned {
		return typ
	}
	var blocked derivation
	if decl != nil {
		blocked = decl.block
	}
	if ct, ok := declared.(*complexType); ok {
		blocked |= ct.block
	}
	if !v.s.derivedOK(typ, declared, blocked&^bySubstitution) {
		v.reportAttr(i, a, "cvc-elt.4.3", quote(raw), nil, "тип xsi:type=%[1]s не выведен из объявленного типа %[2]s, или такая замена закрыта (block)",
			"type xsi:type=%[1]s is not derived from the declared type %[2]s, or the substitution is blocked", quote(raw), declared.display())
		return declared
	}
	if v.PrefixesUnsigned {
		v.onlyType(i, a, typ, raw, declared, blocked&^bySubstitution)
	}
	return typ
}

// onlyType holds that no other type with the local name of typ could stand where
// xsi:type names that one: bound to any other namespace, the name would be refused.
func (v *Validator) onlyType(i int32, a *xmltape.Attr, typ typeDef, raw []byte, declared typeDef, blocked derivation) {
	var others []string
	for _, t := range v.s.typesOf[typ.typeName().local] {
		if ct, ok := t.(*complexType); t == typ || ok && ct.abstract || !v.s.derivedOK(t, declared, blocked) {
			continue
		}
		others = append(others, t.typeName().String())
	}
	if len(others) == 0 {
		v.settled++
		return
	}
	slices.Sort(others)
	v.reportAttr(i, a, "unsigned-prefix", quote(raw), nil,
		"xsi:type=%[1]s может означать здесь не только %[2]s, но и %[3]s, а подпись не охватывает, какому пространству имён соответствует префикс: по дороге это можно изменить",
		"xsi:type=%[1]s may mean here not only %[2]s but also %[3]s, and what namespace the prefix stands for is not under the signature: it can be changed on the way",
		quote(raw), typ.typeName().String(), strings.Join(others, ", "))
}

// noAttributes: an element of simple type has none but those of xsi.
func (v *Validator) noAttributes(i int32, tok *xmltape.Token) {
	attrs := v.attrsOf(tok)
	for k := range attrs {
		if !v.ofInstance(v.name(attrs[k].Name)) {
			v.reportAttr(i, &attrs[k], "cvc-type.3.1.1", v.attrNameAt(&attrs[k]), nil, "у элемента %[2]s простой тип: атрибута %[1]s быть не может", "element %[2]s has a simple type: it may not have attribute %[1]s", v.attrNameAt(&attrs[k]), v.nameAt(i))
		}
	}
}

// ofInstance: one of the four attributes that every element may have.
func (v *Validator) ofInstance(info *nameInfo) bool {
	return info.space == xsiNumber && (info.sym == v.s.xsiType || info.sym == v.s.xsiNil || info.sym == v.s.xsiLocation || info.sym == v.s.xsiNoLocation)
}

// attributes checks the attributes of an element against its type (cvc-complex-type.3 to .5).
func (v *Validator) attributes(i int32, tok *xmltape.Token, ct *complexType) {
	t := ct.attrTable
	attrs := v.attrsOf(tok)
	required, wildIDs := 0, 0
	for k := range attrs {
		a := &attrs[k]
		info := v.name(a.Name)
		col := int32(-1)
		if info.sym != 0 {
			col = t.columns.find(info.sym)
		}
		if col >= 0 {
			u := t.uses[col]
			if u.required {
				required++
			}
			v.attribute(i, a, u.decl, u.effective())
			continue
		}
		if v.ofInstance(info) {
			continue
		}
		if ct.wildcard == nil || !ct.wildcard.allows(info.space) {
			v.unexpectedAttribute(i, a, ct)
			continue
		}
		if ct.wildcard.process == skip {
			continue
		}
		decl := v.s.attributes[info.sym]
		if decl == nil {
			if ct.wildcard.process == strict {
				v.reportAttr(i, a, "cvc-complex-type.3.2.2", v.attrNameAt(a), nil, "атрибут %[1]s разрешён здесь, только если он объявлен в схеме, а он не объявлен", "attribute %[1]s is allowed here only when it is declared in the schema, and it is not", v.attrNameAt(a))
			}
			continue
		}
		if decl.typ.id {
			if wildIDs++; wildIDs > 1 || t.hasID {
				v.reportAttr(i, a, "cvc-complex-type.5", v.attrNameAt(a), nil, "у элемента второй атрибут типа xs:ID: %[1]s", "the element has a second attribute of type xs:ID: %[1]s", v.attrNameAt(a))
			}
		}
		v.attribute(i, a, decl, &decl.constraint)
	}
	if required < t.required {
		v.missingAttributes(i, tok, ct)
	}
	if t.references {
		v.defaultReferences(i, attrs, t)
	}
}

// defaultReferences notes the IDREFs in default values of attributes that are
// not there: they refer like written ones.
func (v *Validator) defaultReferences(i int32, attrs []xmltape.Attr, t *attrTable) {
next:
	for _, u := range t.uses {
		c := u.effective()
		if c.kind == noValue || !u.decl.typ.refers {
			continue
		}
		for k := range attrs {
			if v.name(attrs[k].Name).sym == u.decl.sym {
				continue next
			}
		}
		v.attr = append(v.attr[:0], c.value...)
		v.identities(i, u.decl.typ, v.attr)
	}
}

// attribute checks the value of one attribute.
func (v *Validator) attribute(i int32, a *xmltape.Attr, decl *attributeDecl, constraint *valueConstraint) {
	raw := v.attrValue(a)
	if f := decl.typ.v.Validate(raw, &v.ctx); f != nil {
		v.badAttribute(i, a, raw, f)
		return
	}
	if constraint.kind == fixedValue {
		v.key, _ = decl.typ.v.AppendKey(v.key[:0], raw, &v.ctx)
		if string(v.key) != string(constraint.key) {
			v.reportAttr(i, a, "cvc-au", quote(raw), []string{constraint.value}, "значение атрибута %[3]s — %[1]s, а должно быть %[2]s (fixed)", "attribute %[3]s is %[1]s but must be %[2]s (fixed)", quote(raw), quoteString(constraint.value), v.attrNameAt(a))
		}
	}
	if v.PrefixesUnsigned && decl.typ.qname && !v.meansOne(decl.typ, raw, constraint.kind == fixedValue) {
		v.reportAttr(i, a, "unsigned-prefix", quote(raw), nil, unsignedValueRU, unsignedValueEN, quote(raw))
	}
	v.identities(i, decl.typ, raw)
}

// missingAttributes reports each required attribute that is not there.
func (v *Validator) missingAttributes(i int32, tok *xmltape.Token, ct *complexType) {
	attrs := v.attrsOf(tok)
next:
	for _, u := range ct.attrTable.uses {
		if !u.required {
			continue
		}
		for k := range attrs {
			if v.name(attrs[k].Name).sym == u.decl.sym {
				continue next
			}
		}
		v.report(i, "cvc-complex-type.4", "", []string{u.decl.name.String()}, "у элемента %[1]s нет обязательного атрибута %[2]s", "element %[1]s lacks the required attribute %[2]s", v.nameAt(i), u.decl.name.String())
	}
}

func (v *Validator) unexpectedAttribute(i int32, a *xmltape.Attr, ct *complexType) {
	var allowed []string
	for _, u := range ct.attrTable.uses {
		if allowed = append(allowed, u.decl.name.String()); len(allowed) == maxExpected {
			break
		}
	}
	v.reportAttr(i, a, "cvc-complex-type.3.2.2", v.attrNameAt(a), allowed, "у элемента %[2]s не может быть атрибута %[1]s", "element %[2]s may not have attribute %[1]s", v.attrNameAt(a), v.nameAt(i))
}
