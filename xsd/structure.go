package xsd

import (
	"math/bits"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

// The structure of schema documents: which attributes and children each
// element of the XSD namespace may have, as the schema for schemas of Part 1,
// appendix A, and the XML representation summaries say it.

// grammarKey names an element of the schema language in one of its places.
type grammarKey string

// lexical is the form of an attribute value in a schema document.
type lexical uint8

const (
	anyText lexical = iota
	ncName
	qName
	qNames
	boolean
	nonNegative
	nonNegativeOrUnbounded
	zeroOrOne
	onlyOne
	form
	blockSet     // #all or extension, restriction, substitution
	derivations  // #all or extension, restriction
	simpleFinals // #all or list, union, restriction
	allFinals    // #all or extension, restriction, list, union
	use
	processing
	namespaces
	anyURI
	identifier
)

type attrRule struct {
	lex      lexical
	required bool
}

// structure is the rule of one grammarKey.
type structure struct {
	attrs map[string]attrRule
	model *childModel
	kids  map[string]grammarKey // where the place of a child is not its name
}

const facetNamesModel = "length|minLength|maxLength|pattern|enumeration|whiteSpace|maxInclusive|maxExclusive|minInclusive|minExclusive|totalDigits|fractionDigits"

var facetNames = strings.Split(facetNamesModel, "|")

const attributesModel = "(attribute|attributeGroup)*,anyAttribute?"

var grammar = map[grammarKey]*structure{}

func define(key grammarKey, attrs, model string, kids ...string) {
	s := &structure{attrs: map[string]attrRule{"id": {lex: identifier}}, model: parseChildModel(model), kids: map[string]grammarKey{}}
	for f := range strings.FieldsSeq(attrs) {
		name, kind, _ := strings.Cut(f, ":")
		name, required := strings.CutSuffix(name, "!")
		lex, ok := lexicals[kind]
		if !ok {
			panic("xsd: grammar: " + f)
		}
		s.attrs[name] = attrRule{lex, required}
	}
	for _, k := range kids {
		name, place, _ := strings.Cut(k, "=")
		s.kids[name] = grammarKey(place)
	}
	grammar[key] = s
}

var lexicals = map[string]lexical{
	"text": anyText, "ncname": ncName, "qname": qName, "qnames": qNames, "bool": boolean, "count": nonNegative,
	"max": nonNegativeOrUnbounded, "01": zeroOrOne, "1": onlyOne, "form": form, "block": blockSet, "derivations": derivations,
	"simplefinals": simpleFinals, "allfinals": allFinals, "use": use, "processing": processing, "namespaces": namespaces, "uri": anyURI,
}

func init() {
	const particles = "(element|group|choice|sequence|any)*"
	const occurs = " minOccurs:count maxOccurs:max"
	particleKids := []string{"element=element-local", "group=group-ref", "choice=choice", "sequence=sequence"}
	typeKids := []string{"simpleType=simpleType-local", "complexType=complexType-local"}
	attrKids := []string{"attribute=attribute-local", "attributeGroup=attributeGroup-ref"}
	topKids := []string{"element=element-global", "attribute=attribute-global", "simpleType=simpleType-global",
		"complexType=complexType-global", "group=group-def", "attributeGroup=attributeGroup-def"}
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}

	define("schema", "targetNamespace:uri version:text finalDefault:allfinals blockDefault:block attributeFormDefault:form elementFormDefault:form",
		"(include|import|redefine|annotation)*,((simpleType|complexType|group|attributeGroup|element|attribute|notation),annotation*)*", topKids...)
	define("include", "schemaLocation!:uri", "annotation?")
	define("import", "namespace:uri schemaLocation:uri", "annotation?")
	define("redefine", "schemaLocation!:uri", "(annotation|simpleType|complexType|group|attributeGroup)*", topKids...)

	const elementModel = "annotation?,(simpleType|complexType)?,(unique|key|keyref)*"
	define("element-global", "name!:ncname type:qname substitutionGroup:qname default:text fixed:text nillable:bool abstract:bool final:derivations block:block",
		elementModel, typeKids...)
	define("element-local", "name:ncname ref:qname type:qname default:text fixed:text nillable:bool block:block form:form"+occurs, elementModel, typeKids...)
	define("element-all", "name:ncname ref:qname type:qname default:text fixed:text nillable:bool block:block form:form minOccurs:01 maxOccurs:01", elementModel, typeKids...)
	define("attribute-global", "name!:ncname type:qname default:text fixed:text", "annotation?,simpleType?", typeKids...)
	define("attribute-local", "name:ncname ref:qname type:qname use:use default:text fixed:text form:form", "annotation?,simpleType?", typeKids...)

	const complexModel = "annotation?,(simpleContent|complexContent|((group|all|choice|sequence)?," + attributesModel + "))"
	contentKids := join(attrKids, []string{"group=group-ref", "all=all", "choice=choice", "sequence=sequence"})
	define("complexType-global", "name!:ncname mixed:bool abstract:bool final:derivations block:derivations", complexModel, contentKids...)
	define("complexType-local", "mixed:bool", complexModel, contentKids...)
	define("simpleContent", "", "annotation?,(restriction|extension)", "restriction=restriction-simpleContent", "extension=extension-simpleContent")
	define("complexContent", "mixed:bool", "annotation?,(restriction|extension)", "restriction=restriction-complexContent", "extension=extension-complexContent")
	define("restriction-simpleContent", "base!:qname", "annotation?,simpleType?,("+facetNamesModel+")*,"+attributesModel, join(typeKids, attrKids)...)
	define("extension-simpleContent", "base!:qname", "annotation?,"+attributesModel, attrKids...)
	define("restriction-complexContent", "base!:qname", "annotation?,(group|all|choice|sequence)?,"+attributesModel, contentKids...)
	define("extension-complexContent", "base!:qname", "annotation?,(group|all|choice|sequence)?,"+attributesModel, contentKids...)

	define("simpleType-global", "name!:ncname final:simplefinals", "annotation?,(restriction|list|union)")
	define("simpleType-local", "", "annotation?,(restriction|list|union)")
	define("restriction", "base:qname", "annotation?,simpleType?,("+facetNamesModel+")*", typeKids...)
	define("list", "itemType:qname", "annotation?,simpleType?", typeKids...)
	define("union", "memberTypes:qnames", "annotation?,simpleType*", typeKids...)
	for f := range strings.SplitSeq(facetNamesModel, "|") {
		fixed := " fixed:bool"
		if f == "pattern" || f == "enumeration" {
			fixed = ""
		}
		define(grammarKey(f), "value!:text"+fixed, "annotation?")
	}

	define("group-def", "name!:ncname", "annotation?,(all|choice|sequence)", "all=all-def", "choice=choice-def", "sequence=sequence-def")
	define("group-ref", "ref!:qname"+occurs, "annotation?")
	define("all", "minOccurs:01 maxOccurs:1", "annotation?,element*", "element=element-all")
	define("all-def", "", "annotation?,element*", "element=element-all")
	define("choice", strings.TrimSpace(occurs), "annotation?,"+particles, particleKids...)
	define("sequence", strings.TrimSpace(occurs), "annotation?,"+particles, particleKids...)
	define("choice-def", "", "annotation?,"+particles, particleKids...)
	define("sequence-def", "", "annotation?,"+particles, particleKids...)
	define("any", "namespace:namespaces processContents:processing"+occurs, "annotation?")
	define("anyAttribute", "namespace:namespaces processContents:processing", "annotation?")
	define("attributeGroup-def", "name!:ncname", "annotation?,"+attributesModel, attrKids...)
	define("attributeGroup-ref", "ref!:qname", "annotation?")
	define("notation", "name!:ncname public:text system:uri", "annotation?")
	define("key", "name!:ncname", "annotation?,selector,field+")
	define("unique", "name!:ncname", "annotation?,selector,field+")
	define("keyref", "name!:ncname refer!:qname", "annotation?,selector,field+")
	define("selector", "xpath!:text", "annotation?")
	define("field", "xpath!:text", "annotation?")
	define("annotation", "", "(appinfo|documentation)*")
	define("appinfo", "source:uri", "")
	define("documentation", "source:uri", "")
	delete(grammar["appinfo"].attrs, "id")
	delete(grammar["documentation"].attrs, "id")
}

var languageType = value.BuiltinType("language")

// checkStructure checks a whole document against the grammar and then leaves
// annotations out of the tree.
func (c *compiler) checkStructure(doc *document) {
	ids := map[string]bool{}
	doc.root.key = "schema"
	c.checkNode(doc.root, ids)
}

func (c *compiler) checkNode(n *node, ids map[string]bool) {
	rule := grammar[n.key]
	c.checkAttributes(n, rule, ids)
	if n.key == "appinfo" || n.key == "documentation" {
		return
	}
	if n.el.Token().Flags&xmltape.HasText != 0 {
		c.find(n, "s4s-elt-character", "внутри xs:%[1]s не может быть текста", "no text may stand inside xs:%[1]s", n.name)
	}
	state := rule.model.start()
	bad := false
	i := 0
	for el := range n.el.Children() {
		if el.Space() != xsdSpace {
			if !bad {
				c.findAt(n.doc, el, "s4s-elt-must-match.1", "элемент %[1]s не из пространства имён XML Schema и может стоять только в xs:appinfo и xs:documentation",
					"element %[1]s is not of the XML Schema namespace and may stand only in xs:appinfo and xs:documentation", quoteString(el.Local()))
			}
			bad = true
			continue
		}
		kid := n.kids[i]
		i++
		next := rule.model.step(state, kid.name)
		if next == 0 && !bad {
			bad = true
			c.find(kid, "s4s-elt-must-match.1", "xs:%[1]s не может стоять здесь внутри xs:%[2]s; допустимо: %[3]s",
				"xs:%[1]s may not stand here inside xs:%[2]s; allowed: %[3]s", quoteName(kid.name), n.name, rule.model.expected(state))
		}
		state = next
		kid.key = grammarKey(kid.name)
		if k, ok := rule.kids[kid.name]; ok {
			kid.key = k
		}
	}
	if !bad && !rule.model.accepts(state) {
		c.find(n, "s4s-elt-must-match.2", "содержимое xs:%[1]s не полно; здесь нужно: %[2]s", "the content of xs:%[1]s is incomplete; needed here: %[2]s",
			n.name, rule.model.expected(state))
		bad = true
	}
	kept := n.kids[:0]
	for _, kid := range n.kids {
		if grammar[kid.key] == nil {
			continue // refused above
		}
		c.checkNode(kid, ids)
		if kid.name != "annotation" {
			kept = append(kept, kid)
		} else if n.about == "" {
			n.about = documentation(kid)
		}
	}
	n.kids = kept
}

// maxAbout is how many bytes of a documentation are kept.
const maxAbout = 400

// documentation is the text of the first xs:documentation of an annotation.
func documentation(annotation *node) string {
	for _, k := range annotation.kids {
		if k.name == "documentation" {
			text := collapse(string(k.el.Text()))
			if len(text) > maxAbout {
				text = strings.ToValidUTF8(text[:maxAbout], "") + "..."
			}
			if text != "" {
				return text
			}
		}
	}
	return ""
}

func (c *compiler) checkAttributes(n *node, rule *structure, ids map[string]bool) {
	tok := n.el.Token()
	for i := range int(tok.NAttr) {
		a := &n.doc.tape.Attrs[int(tok.Attr)+i]
		switch string(n.doc.tape.SpaceURI(n.doc.tape.Space(a.Name))) {
		case xmltape.XMLURI:
			lang := n.doc.tape.AttrValue(a, nil)
			if string(n.doc.tape.Local(a.Name)) == "lang" && languageType.Validate(lang, &value.Context{}) != nil {
				c.findOff(n.doc, int(a.Off), "s4s-att-invalid-value", "xml:lang=%[1]s — не код языка", "xml:lang=%[1]s is no language code", quoteString(string(lang)))
			}
		case xsdSpace:
			c.findOff(n.doc, int(a.Off), "s4s-att-not-allowed", "атрибут %[1]s с пространством имён XML Schema не допустим", "attribute %[1]s of the XML Schema namespace is not allowed",
				quoteName(string(n.doc.tape.Local(a.Name))))
		case "":
			name := string(n.doc.tape.Local(a.Name))
			r, ok := rule.attrs[name]
			if !ok {
				c.findOff(n.doc, int(a.Off), "s4s-att-not-allowed", "у xs:%[1]s здесь не может быть атрибута %[2]s", "xs:%[1]s may not have an attribute %[2]s here", n.name, quoteName(name))
				continue
			}
			value, _ := n.attr(name)
			if want, ok := checkLexical(r.lex, value); !ok {
				c.findOff(n.doc, int(a.Off), "s4s-att-invalid-value", "значение атрибута %[1]s=%[2]s не допустимо; нужно: %[3]s", "attribute %[1]s=%[2]s is not valid; needed: %[3]s",
					name, quoteString(value), want)
				continue
			}
			if r.lex == identifier {
				id := collapse(value)
				if ids[id] {
					c.findOff(n.doc, int(a.Off), "cvc-id.2", "идентификатор %[1]s уже есть в документе", "id %[1]s occurs already in the document", quoteString(id))
				}
				ids[id] = true
			}
			if r.lex == qName || r.lex == qNames {
				for q := range strings.FieldsSeq(value) {
					if _, ok := n.resolveName(q); !ok {
						c.findOff(n.doc, int(a.Off), "src-qname", "префикс в %[1]s не объявлен", "the prefix in %[1]s is not declared", quoteString(q))
					}
				}
			}
		}
	}
	for name, r := range rule.attrs {
		if r.required && !n.has(name) {
			c.find(n, "s4s-att-must-appear", "у xs:%[1]s нет обязательного атрибута %[2]s", "xs:%[1]s lacks the required attribute %[2]s", n.name, name)
		}
	}
}

// checkLexical checks the value of a schema attribute and says what is wanted.
func checkLexical(lex lexical, value string) (want string, ok bool) {
	v := collapse(value)
	oneOf := func(list ...string) (string, bool) {
		for _, l := range list {
			if v == l {
				return "", true
			}
		}
		return strings.Join(list, " | "), false
	}
	setOf := func(list ...string) (string, bool) {
		want := "#all | (" + strings.Join(list, " | ") + ")*"
		if v == "#all" {
			return want, true
		}
	next:
		for f := range strings.FieldsSeq(v) {
			for _, l := range list {
				if f == l {
					continue next
				}
			}
			return want, false
		}
		return want, true
	}
	switch lex {
	case ncName, identifier:
		return "NCName", isNCName(v)
	case qName:
		return "QName", isQName(v)
	case qNames:
		for f := range strings.FieldsSeq(v) {
			if !isQName(f) {
				return "QName*", false
			}
		}
		return "", true
	case boolean:
		return oneOf("true", "false", "1", "0")
	case nonNegative:
		return "nonNegativeInteger", isCount(v)
	case nonNegativeOrUnbounded:
		return "nonNegativeInteger | unbounded", v == "unbounded" || isCount(v)
	case zeroOrOne:
		return "0 | 1", isCount(v) && (countOf(v) == 0 || countOf(v) == 1)
	case onlyOne:
		return "1", isCount(v) && countOf(v) == 1
	case form:
		return oneOf("qualified", "unqualified")
	case blockSet:
		return setOf("extension", "restriction", "substitution")
	case derivations:
		return setOf("extension", "restriction")
	case simpleFinals:
		return setOf("list", "union", "restriction")
	case allFinals:
		return setOf("extension", "restriction", "list", "union")
	case use:
		return oneOf("optional", "prohibited", "required")
	case processing:
		return oneOf("skip", "lax", "strict")
	case namespaces:
		if v == "##any" || v == "##other" {
			return "", true
		}
		for f := range strings.FieldsSeq(v) {
			if f != "##targetNamespace" && f != "##local" && (strings.HasPrefix(f, "##") || !isAnyURI(f)) {
				return "##any | ##other | (anyURI | ##targetNamespace | ##local)*", false
			}
		}
		return "", true
	case anyURI:
		return "anyURI", isAnyURI(v)
	}
	return "", true
}

// isCount reports whether v is a nonNegativeInteger.
func isCount(v string) bool {
	v = strings.TrimPrefix(v, "+")
	if strings.HasPrefix(v, "-") && strings.Trim(v[1:], "0") != "" {
		return false
	}
	v = strings.TrimPrefix(v, "-")
	return v != "" && strings.Trim(v, "0123456789") == ""
}

// maxCount stands for every number that is larger: no document has so many children.
const maxCount = 1 << 30

// countOf is the number of a nonNegativeInteger, cut off at maxCount.
func countOf(v string) int {
	n := 0
	for _, r := range strings.TrimLeft(v, "+-") {
		n = min(n*10+int(r-'0'), maxCount)
	}
	return n
}

// childModel is a content model over element names: a Glushkov automaton of at
// most 64 positions, run as a set of positions. Bit 0 is the start.
type childModel struct {
	names  []string // by position
	follow []uint64
	last   uint64
}

func (m *childModel) start() uint64 { return 1 }

func (m *childModel) step(state uint64, name string) (next uint64) {
	for s := state; s != 0; s &= s - 1 {
		for f := m.follow[bits.TrailingZeros64(s)]; f != 0; f &= f - 1 {
			if p := bits.TrailingZeros64(f); m.names[p] == name {
				next |= 1 << p
			}
		}
	}
	return next
}

func (m *childModel) accepts(state uint64) bool { return state&m.last != 0 }

func (m *childModel) expected(state uint64) string {
	var names []string
	seen := map[string]bool{}
	for s := state; s != 0; s &= s - 1 {
		for f := m.follow[bits.TrailingZeros64(s)]; f != 0; f &= f - 1 {
			if n := m.names[bits.TrailingZeros64(f)]; !seen[n] {
				seen[n] = true
				names = append(names, "xs:"+n)
			}
		}
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

// parseChildModel reads "a?,(b|c)*": names, comma, bar, parentheses and ? * +.
// Comma and bar do not mix without parentheses.
func parseChildModel(src string) *childModel {
	p := &modelParser{src: src, m: &childModel{names: []string{""}, follow: []uint64{0}}}
	if src == "" {
		p.m.last = 1
		return p.m
	}
	f := p.list()
	p.m.follow[0] = f.first
	p.m.last = f.last
	if f.nullable {
		p.m.last |= 1
	}
	return p.m
}

type modelParser struct {
	src string
	pos int
	m   *childModel
}

type fragment struct {
	first, last uint64
	nullable    bool
}

func (p *modelParser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *modelParser) link(from, to uint64) {
	for ; from != 0; from &= from - 1 {
		p.m.follow[bits.TrailingZeros64(from)] |= to
	}
}

func (p *modelParser) list() fragment {
	f := p.item()
	for {
		switch p.peek() {
		case ',':
			p.pos++
			g := p.item()
			p.link(f.last, g.first)
			if f.nullable {
				f.first |= g.first
			}
			if g.nullable {
				f.last |= g.last
			} else {
				f.last = g.last
			}
			f.nullable = f.nullable && g.nullable
		case '|':
			p.pos++
			g := p.item()
			f = fragment{f.first | g.first, f.last | g.last, f.nullable || g.nullable}
		default:
			return f
		}
	}
}

func (p *modelParser) item() (f fragment) {
	if p.peek() == '(' {
		p.pos++
		f = p.list()
		p.pos++ // )
	} else {
		start := p.pos
		for c := p.peek(); c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; c = p.peek() {
			p.pos++
		}
		bit := uint64(1) << len(p.m.names)
		p.m.names = append(p.m.names, p.src[start:p.pos])
		p.m.follow = append(p.m.follow, 0)
		f = fragment{first: bit, last: bit}
	}
	switch p.peek() {
	case '?':
		f.nullable = true
		p.pos++
	case '*', '+':
		f.nullable = f.nullable || p.peek() == '*'
		p.link(f.last, f.first)
		p.pos++
	}
	return f
}
