package xsd

import (
	"strings"

	"mezhved/xsd/internal/value"
)

// derivation is a set of derivation methods, and of the kinds of substitution
// that block and final name.
type derivation uint8

const (
	byExtension derivation = 1 << iota
	byRestriction
	bySubstitution
	byList
	byUnion
)

func (d derivation) String() string {
	var s []string
	for i, name := range []string{"extension", "restriction", "substitution", "list", "union"} {
		if d&(1<<i) != 0 {
			s = append(s, name)
		}
	}
	return strings.Join(s, " ")
}

// derivationSet reads a block or final attribute, or the document's default
// for it, and keeps what applies.
func (n *node) derivationSet(name, defaultName string, applies derivation) derivation {
	v, ok := n.attr(name)
	if !ok {
		v, _ = n.doc.root.attr(defaultName)
	}
	var d derivation
	for f := range strings.FieldsSeq(v) {
		switch f {
		case "#all":
			return applies
		case "extension":
			d |= byExtension
		case "restriction":
			d |= byRestriction
		case "substitution":
			d |= bySubstitution
		case "list":
			d |= byList
		case "union":
			d |= byUnion
		}
	}
	return d & applies
}

// progress of a component whose body is read when it is first needed.
type progress uint8

const (
	untouched progress = iota
	underway
	done
)

// typeDef is a *simpleType or a *complexType.
type typeDef interface {
	typeName() qname // zero when anonymous
	place() *node
	display() string
}

// universe is the types that everything else is derived from.
type universe struct {
	anyType       *complexType
	anySimpleType *simpleType
}

type variety uint8

const (
	atomicType variety = iota
	list
	union
	anySimple // the simple ur-type
)

type simpleType struct {
	name     qname
	node     *node
	original *simpleType // the definition that this one redefines
	base     *simpleType // nil for xs:anySimpleType
	about    string      // documentation
	variety  variety
	item     *simpleType
	members  []*simpleType
	final    derivation
	v        *value.Type
	state    progress
	faulty   bool // a finding was made: v is a stand-in

	id       bool // an atomic xs:ID
	refers   bool // values may hold an ID, IDREF or ENTITY
	qname    bool // values are QNames or NOTATIONs, or may hold some
	notation bool // derived from xs:NOTATION

	loosened []*simpleType // members of a union that are restricted unions: their facets are lost
}

func (t *simpleType) typeName() qname { return t.name }
func (t *simpleType) place() *node    { return t.node }
func (t *simpleType) display() string { return displayType(t.name) }

func displayType(name qname) string {
	if name.local == "" {
		return "(anonymous)"
	}
	return name.short()
}

type contentKind uint8

const (
	emptyContent contentKind = iota
	simpleContent
	elementContent
	mixedContent
)

type complexType struct {
	name     qname
	node     *node
	original *complexType
	base     typeDef
	method   derivation // byExtension or byRestriction
	abstract bool
	final    derivation
	block    derivation
	state    progress

	uses     []*attributeUse
	wildcard *wildcard
	about    string // documentation
	content  contentKind
	simple   *simpleType // of simple content
	particle *particle   // of element and mixed content; nil: nothing

	attrTable *attrTable // made by emit
	model     *model     // made by emit; nil unless element or mixed content
}

func (t *complexType) typeName() qname { return t.name }
func (t *complexType) place() *node    { return t.node }
func (t *complexType) display() string { return displayType(t.name) }

type constraintKind uint8

const (
	noValue constraintKind = iota
	defaultValue
	fixedValue
)

// valueConstraint is a default or fixed value.
type valueConstraint struct {
	kind  constraintKind
	value string
	node  *node // whose namespaces apply
	key   []byte
}

type elementDecl struct {
	name       qname
	node       *node
	global     bool
	typ        typeDef
	constraint valueConstraint
	nillable   bool
	abstract   bool
	about      string       // documentation
	head       *elementDecl // of the substitution group it joins
	final      derivation
	block      derivation
	identities []*identity
	state      progress

	members []*elementDecl // what may stand for it, itself left out; by check
	sym     int32
}

type attributeDecl struct {
	name       qname
	node       *node
	global     bool
	typ        *simpleType
	constraint valueConstraint
	state      progress
	sym        int32
}

type attributeUse struct {
	decl       *attributeDecl
	about      string // documentation
	required   bool
	prohibited bool // only while attributes of one type are gathered
	constraint valueConstraint
	node       *node
}

// effective is the value constraint that governs: the use's own or the declaration's.
func (u *attributeUse) effective() *valueConstraint {
	if u.constraint.kind != noValue {
		return &u.constraint
	}
	return &u.decl.constraint
}

type attributeGroup struct {
	name     qname
	node     *node
	original *attributeGroup
	uses     []*attributeUse
	wildcard *wildcard
	state    progress
}

type groupDef struct {
	name     qname
	node     *node
	original *groupDef
	model    *modelGroup
	state    progress
}

type notation struct {
	name qname
	node *node
}

// unbounded is the maxOccurs of that name.
const unbounded = -1

type particle struct {
	min, max int // max may be unbounded
	node     *node
	elem     *elementDecl // one of elem, wild, group is set
	wild     *wildcard
	group    *modelGroup
}

type compositor uint8

const (
	sequence compositor = iota
	choice
	all
)

type modelGroup struct {
	compositor compositor
	particles  []*particle
	node       *node

	sized    bool
	minTotal int // effective total range, by size
	maxTotal int
}

type processContents uint8

const (
	strict processContents = iota
	lax
	skip
)

type wildcard struct {
	spaces  spaceSet
	process processContents
	node    *node

	not    int32   // spaces.not, numbered by emit
	listed []int32 // spaces.set, numbered by emit
}

// register makes a component for each top-level definition and applies the
// redefinitions. Bodies are read later.
func (c *compiler) register() {
	c.registerBuiltins()
	c.registerXML()
	c.registerInstance()
	for _, doc := range c.order {
		for _, n := range doc.root.kids {
			c.registerOne(doc, n, nil)
		}
	}
	for _, doc := range c.innermostFirst() {
		for _, r := range doc.root.kids {
			if r.name != "redefine" {
				continue
			}
			base := c.redefined[r]
			if base == nil {
				continue
			}
			seen := map[string]bool{}
			for _, n := range r.kids {
				kind := n.name
				if kind == "simpleType" || kind == "complexType" {
					kind = "type"
				}
				if k := kind + " " + n.token("name"); seen[k] {
					c.find(n, "sch-props-correct.2", "компонент %[1]s переопределён дважды", "component %[1]s is redefined twice", quoteString(n.token("name")))
				} else {
					seen[k] = true
					c.registerOne(doc, n, base)
				}
			}
		}
	}
}

// innermostFirst orders the documents so that what a document includes or
// redefines comes before it, as far as there is no circle: a redefinition of a
// redefinition takes what the inner one left.
func (c *compiler) innermostFirst() []*document {
	var out []*document
	seen := map[*document]bool{}
	type visit struct {
		doc  *document
		next int
	}
	for _, d := range c.order {
		if seen[d] {
			continue
		}
		seen[d] = true
		for stack := []visit{{doc: d}}; len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == len(top.doc.includes) {
				out = append(out, top.doc)
				stack = stack[:len(stack)-1]
				continue
			}
			inner := top.doc.includes[top.next]
			if top.next++; !seen[inner] {
				seen[inner] = true
				stack = append(stack, visit{doc: inner})
			}
		}
	}
	return out
}

// closure reports whether doc includes or redefines of, over any number of steps.
func closure(doc, of *document) bool {
	seen := map[*document]bool{doc: true}
	queue := []*document{doc}
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		if d == of {
			return true
		}
		for _, i := range d.includes {
			if !seen[i] {
				seen[i] = true
				queue = append(queue, i)
			}
		}
	}
	return false
}

// registerOne registers a top-level definition. With base, it is a
// redefinition of a component of that document or of one that it includes.
func (c *compiler) registerOne(doc *document, n *node, base *document) {
	c.tick()
	name := qname{doc.target, n.token("name")}
	known := func(old *node, exists bool) bool {
		if base == nil {
			// Without a node it is built in: the schema for schemas, when a bundle
			// holds it, defines those once more, and they stay what they are.
			if exists && old != nil {
				line, _ := old.doc.tape.Position(int(old.el.Token().Off))
				where := old.doc.path + ":" + itoa(line)
				c.find(n, "sch-props-correct.2", "компонент %[1]s %[2]s уже объявлен: %[3]s", "component %[1]s %[2]s is declared already: %[3]s", n.name, name.short(), where)
			}
			return exists
		}
		switch {
		case exists && old != nil && old.doc.number <= doc.number && closure(old.doc, doc):
			// The document that declares it holds the redefinition: both would be there.
			c.find(n, "sch-props-correct.2", "%[1]s %[2]s переопределяется документом, который сам входит в %[3]s, где это объявлено", "%[1]s %[2]s is redefined by a document that is itself part of %[3]s, where it is declared", n.name, name.short(), old.doc.path)
			return true
		case exists && old != nil && old.parent.name == "redefine" && !closure(base, old.doc):
			line, _ := old.doc.tape.Position(int(old.el.Token().Off))
			c.find(n, "sch-props-correct.2", "компонент %[1]s уже переопределён: %[2]s:%[3]d", "component %[1]s is redefined already: %[2]s:%[3]d", name.short(), old.doc.path, line)
			return true
		case !exists || old == nil || !closure(base, old.doc):
			c.find(n, "src-redefine.6", "переопределяется %[1]s %[2]s, но в документе %[3]s такого нет", "%[1]s %[2]s is redefined, but document %[3]s has none", n.name, name.short(), base.path)
			return true
		}
		return false
	}
	switch n.name {
	case "simpleType", "complexType":
		old, exists := c.types[name]
		var place *node
		if exists {
			place = old.place()
		}
		if known(place, exists) {
			return
		}
		if n.name == "simpleType" {
			t := &simpleType{name: name, node: n, about: n.about}
			if base != nil {
				var ok bool
				if t.original, ok = old.(*simpleType); !ok {
					c.find(n, "src-redefine.5", "простой тип %[1]s переопределяет сложный", "simple type %[1]s redefines a complex one", name.short())
					return
				}
			}
			c.types[name] = t
			c.simples = append(c.simples, t)
		} else {
			t := &complexType{name: name, node: n}
			if base != nil {
				var ok bool
				if t.original, ok = old.(*complexType); !ok {
					c.find(n, "src-redefine.5", "сложный тип %[1]s переопределяет простой", "complex type %[1]s redefines a simple one", name.short())
					return
				}
			}
			c.types[name] = t
			c.complexes = append(c.complexes, t)
		}
	case "element":
		old, exists := c.elements[name]
		if exists && known(old.node, true) {
			return
		}
		e := &elementDecl{name: name, node: n, global: true}
		c.elements[name] = e
		c.allElems = append(c.allElems, e)
	case "attribute":
		old, exists := c.attributes[name]
		if exists && known(old.node, true) {
			return
		}
		c.attributes[name] = &attributeDecl{name: name, node: n, global: true}
	case "group":
		old, exists := c.groups[name]
		var place *node
		if exists {
			place = old.node
		}
		if !known(place, exists) {
			c.groups[name] = &groupDef{name: name, node: n, original: old}
		}
	case "attributeGroup":
		old, exists := c.attrGroups[name]
		var place *node
		if exists {
			place = old.node
		}
		if !known(place, exists) {
			c.attrGroups[name] = &attributeGroup{name: name, node: n, original: old}
		}
	case "notation":
		old, exists := c.notations[name]
		if exists && known(old.node, true) {
			return
		}
		c.notations[name] = &notation{name: name, node: n}
		if !n.has("public") && !n.has("system") {
			c.find(n, "src-notation", "у нотации %[1]s нет ни public, ни system", "notation %[1]s has neither public nor system", name.short())
		}
	}
}

// lookup resolves a QName attribute and checks that the document may refer to
// its namespace (src-resolve.4). It reports and gives false otherwise.
func (c *compiler) lookup(n *node, attr string) (qname, bool) {
	return c.lookupName(n, n.token(attr))
}

func (c *compiler) lookupName(n *node, lexical string) (qname, bool) {
	name, ok := n.resolveName(lexical)
	if !ok {
		return name, false // reported with the structure
	}
	doc := n.doc
	if name.space == doc.target || name.space == xsdSpace || doc.imports[name.space] {
		return name, true
	}
	if name.space == "" {
		c.find(n, "src-resolve.4.1", "ссылка на %[1]s: у имени нет пространства имён, а документ его не импортирует (<xs:import/> без namespace)",
			"reference to %[1]s: the name has no namespace and the document does not import that (<xs:import/> without namespace)", quoteName(name.local))
	} else {
		c.find(n, "src-resolve.4.2", "ссылка на %[1]s: документ не импортирует пространство имён %[2]q", "reference to %[1]s: the document does not import namespace %[2]q", quoteName(name.local), name.space)
	}
	return name, false
}

// unresolved reports a reference to a component that does not exist; its kind is named in both languages.
func (c *compiler) unresolved(n *node, ru, en string, name qname) {
	if location, ok := n.doc.missing[name.space]; ok {
		c.find(n, "src-resolve", "не найдено: "+ru+" %[1]s; документа %[2]s нет в пакете", en+" %[1]s is not found: document %[2]s is not in the bundle", name.short(), quoteString(location))
		return
	}
	c.find(n, "src-resolve", "не найдено: "+ru+" %[1]s", en+" %[1]s is not found", name.short())
}

// typeNamed finds a type; nil after a finding.
func (c *compiler) typeNamed(n *node, lexical string) typeDef {
	name, ok := c.lookupName(n, lexical)
	if !ok {
		return nil
	}
	t, ok := c.types[name]
	if !ok {
		c.unresolved(n, "тип", "type", name)
		return nil
	}
	return t
}
