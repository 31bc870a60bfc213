package xsd

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strings"

	"mezhved/envelopes/xmltape"
)

// Name is an expanded name.
type Name struct{ Space, Local string }

func (n Name) String() string { return qname{n.Space, n.Local}.String() }

// Severity ranks what lint finds.
type Severity uint8

// The severities.
const (
	Advice  Severity = iota // works, but costs someone something
	Warning                 // registration or signing may fail
	Fault                   // cannot be registered, or is no schema at all
)

func (s Severity) String() string { return [...]string{"advice", "warning", "fault"}[s] }

// Remark is a finding of Lint.
type Remark struct {
	Finding
	Severity Severity
}

// Registration is what a service says about its schema when it is registered
// in SMEV.
type Registration struct {
	Request   Name // root of a request
	Response  Name // root of a response; zero for a broadcast
	Broadcast bool
}

// versioned is the form that SMEV gives target namespaces: ending in a version.
var versioned = regexp.MustCompile(`^urn://.+/\d+\.\d+\.\d+$|^(https?|urn):.*[/:]v?\d+(\.\d+)*/?$`)

// Lint checks a bundle against the rules for schemas registered in SMEV:
// schema rules first (as Compile has them), then those of registration, then
// what is better avoided. A zero Registration leaves the roots unchecked. The
// error is nil or says what could not be read; a bad schema is not an error
// but remarks.
func Lint(fsys fs.FS, roots []string, reg Registration, opts Options) (remarks []Remark, err error) {
	s, err := Compile(fsys, roots, opts)
	var refused *CompileError
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	if refused != nil {
		var out []Remark
		for _, f := range refused.Findings {
			out = append(out, Remark{f, Fault})
		}
		return out, nil
	}
	c := newCompiler(fsys, opts)
	l := &linter{c: c, schema: s}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stop); !ok {
				panic(r)
			}
			remarks, err = l.out, c.refusal() // it was compiled once: only time can have run out
		}
	}()
	if err := c.load(roots); err != nil {
		return nil, err
	}
	l.registration(reg)
	own := map[string]bool{}
	for _, r := range roots {
		for _, d := range c.order {
			if d.path == r {
				own[d.target] = true
			}
		}
	}
	for _, d := range c.order {
		l.document(d, own[d.target])
	}
	c.register()
	c.resolve()
	for _, t := range c.simples {
		for _, m := range t.loosened {
			l.add(Warning, t.node, "smev-union-facets", "объединение берёт из типа %[1]s только его члены: ограничения, наложенные на %[1]s, в нём не действуют; наложите их на само объединение или на члены",
				"the union takes only the members of type %[1]s: the facets put on %[1]s do not hold in it; put them on the union itself or on the members", m.display())
		}
	}
	l.unsigned()
	sort.SliceStable(l.out, func(i, j int) bool { return l.out[i].Severity > l.out[j].Severity })
	return l.out, nil
}

type linter struct {
	c      *compiler
	schema *Schema
	out    []Remark
}

func (l *linter) add(sev Severity, n *node, rule, ru, en string, args ...any) {
	f := Finding{Rule: rule, ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)}
	if n != nil {
		f.File = n.doc.path
		f.Line, f.Col = n.doc.tape.Position(int(n.el.Token().Off))
	}
	l.out = append(l.out, Remark{f, sev})
}

// unsigned finds where messages could bear names whose prefixes the SMEV signature
// does not cover: the gateway refuses those (rule unsigned-prefix).
func (l *linter) unsigned() {
	seen := map[*node]bool{}
	value := func(n *node, name qname, t typeDef, fixed bool) {
		if s := contentType(t); n != nil && !seen[n] && s != nil && !fixed && s.v.Unsettled() {
			seen[n] = true
			l.add(Warning, n, "smev-unsigned-name", "значение %[1]s — имя с префиксом (xs:QName или xs:NOTATION), а подпись СМЭВ не охватывает объявлений таких префиксов: шлюз такие значения отвергает; передайте имя строкой или перечислите допустимые имена",
				"the value of %[1]s is a name with a prefix (xs:QName or xs:NOTATION), and the SMEV signature does not cover what such a prefix stands for: the gateway refuses such values; give the name as a string, or enumerate the names", name.short())
		}
	}
	for _, e := range l.c.allElems {
		value(e.node, e.name, e.typ, e.constraint.kind == fixedValue)
	}
	for _, t := range l.c.complexes {
		for _, u := range t.uses {
			value(u.decl.node, u.decl.name, u.decl.typ, u.effective().kind == fixedValue)
		}
	}
}

// registration checks what MR 2.2.2 to 2.2.4 ask of the roots.
func (l *linter) registration(reg Registration) {
	if reg == (Registration{}) {
		return
	}
	root := func(name Name, ru, en string) {
		if !l.schema.HasElement(name.Space, name.Local) {
			l.add(Fault, nil, "smev-root", "корневой элемент "+ru+" %[1]s в схеме не объявлен как глобальный", "the root of the "+en+", %[1]s, is not a global element of the schema", name)
		}
	}
	root(reg.Request, "запроса", "request")
	switch {
	case reg.Broadcast && reg.Response != (Name{}):
		l.add(Fault, nil, "smev-broadcast", "у рассылки не бывает ответа: уберите корневой элемент ответа %[1]s", "a broadcast has no response: leave out its root %[1]s", reg.Response)
	case reg.Broadcast:
	case reg.Response == (Name{}):
		l.add(Fault, nil, "smev-root", "не указан корневой элемент ответа", "the root of the response is not named")
	default:
		root(reg.Response, "ответа", "response")
		if reg.Request.Space != reg.Response.Space {
			l.add(Fault, nil, "smev-one-namespace", "запрос (%[1]s) и ответ (%[2]s) должны быть в одном пространстве имён", "request (%[1]s) and response (%[2]s) must be in one namespace", reg.Request, reg.Response)
		}
		if reg.Request == reg.Response {
			l.add(Fault, nil, "smev-root", "запрос и ответ не могут иметь один корневой элемент %[1]s", "request and response cannot have one root, %[1]s", reg.Request)
		}
	}
}

func (l *linter) document(d *document, own bool) {
	switch {
	case d.target == "":
		l.add(Fault, d.root, "smev-target-namespace", "у схемы нет целевого пространства имён: по нему СМЭВ узнаёт вид сведений", "the schema has no target namespace: SMEV knows a service by it")
	case own && !versioned.MatchString(d.target):
		l.add(Warning, d.root, "smev-target-namespace", "целевое пространство имён %[1]s не оканчивается версией: новая версия схемы требует нового пространства имён, например urn://.../1.0.0",
			"the target namespace %[1]s does not end in a version: a new version needs a new namespace, such as urn://.../1.0.0", quoteString(d.target))
	}
	if src := string(d.tape.Source()); !strings.HasPrefix(strings.TrimPrefix(src, "\ufeff"), "<?xml") {
		l.add(Warning, d.root, "smev-encoding", "нет объявления XML с кодировкой: начните файл с <?xml version=\"1.0\" encoding=\"UTF-8\"?>", "no XML declaration with an encoding: begin the file with <?xml version=\"1.0\" encoding=\"UTF-8\"?>")
	}
	for _, n := range l.c.files[d.path].notes {
		l.add(Warning, d.root, "smev-document", "%.0[2]s%[1]s; сохраните файл в UTF-8 и без DOCTYPE: такой прочтут все", "%[2]s; save the file as UTF-8 without a DOCTYPE: that is read by everybody", n.Russian, n.English)
	}
	l.node(d.root)
}

// foreignEscape finds an escape that the grammar of patterns does not have.
var foreignEscape = regexp.MustCompile("^(?:[^\\\\]|\\\\[^!\"#$%,/:;=@`~])*(\\\\[!\"#$%,/:;=@`~])")

// node walks over a document; the depth limit of the XML gate bounds the recursion.
func (l *linter) node(n *node) {
	switch n.name {
	case "any", "anyAttribute":
		l.add(Warning, n, "smev-wildcard", "xs:%[1]s: содержимое здесь не проверяется схемой; перечислите элементы", "xs:%[1]s: the content here is not checked; list the elements", n.name)
	case "complexType", "complexContent":
		if n.boolean("mixed") {
			l.add(Warning, n, "smev-mixed", "смешанное содержимое: текст между элементами теряется при преобразовании для подписи, если состоит из пробелов, и неудобен получателю", "mixed content: white space between elements is lost in the transform for signing, and receivers find it hard to read")
		}
	case "list":
		l.add(Advice, n, "smev-list", "xs:list: список в одном значении трудно разбирать получателю; лучше повторяющийся элемент", "xs:list: a list in one value is hard on receivers; a repeated element is better")
	case "element":
		if n.parent != nil && n.parent.name != "schema" && n.parent.name != "redefine" && !n.has("ref") {
			qualified := n.doc.elementQualified
			if n.has("form") {
				qualified = n.token("form") == "qualified"
			}
			if !qualified {
				l.add(Warning, n, "smev-unqualified", "элемент %[1]s без пространства имён: преобразование СМЭВ для подписи таких не допускает; поставьте elementFormDefault=\"qualified\"", "element %[1]s has no namespace: the SMEV transform for signing does not allow that; set elementFormDefault=\"qualified\"", quoteName(n.token("name")))
			}
		}
		l.elementType(n)
	case "attribute":
		if name, _ := n.resolveName(n.token("ref")); n.has("ref") && name.space == xmltape.XMLURI && name.local != "id" && name.local != "base" {
			l.add(Warning, n, "smev-xml-attribute", "атрибут xml:%[1]s: преобразование СМЭВ для подписи таких не допускает", "attribute xml:%[1]s: the SMEV transform for signing does not allow it", name.local)
		}
		if t := n.token("type"); !n.has("ref") && n.kid("simpleType") == nil && t == "" && n.token("use") != "prohibited" {
			l.add(Warning, n, "smev-untyped", "у атрибута %[1]s нет типа: его значение не проверяется", "attribute %[1]s has no type: its value is not checked", quoteName(n.token("name")))
		}
	case "pattern":
		if v, _ := n.attr("value"); foreignEscape.MatchString(v) {
			l.add(Warning, n, "smev-pattern-escape", "в образце %[1]s: такого экранирования в XML Schema нет, не каждый обработчик его примет; знак пишется без обратной черты",
				"%[1]s in the pattern: XML Schema has no such escape, and not every processor takes it; write the character without the backslash", foreignEscape.FindStringSubmatch(v)[1])
		}
	case "import":
		if !n.has("schemaLocation") && l.c.opts.Catalog[n.token("namespace")] == "" && n.token("namespace") != xmltape.XMLURI {
			l.add(Advice, n, "smev-import", "у импорта %[1]s нет schemaLocation, и в каталоге его нет", "the import of %[1]s has no schemaLocation and is not in the catalog", quoteString(n.token("namespace")))
		}
	}
	for _, k := range n.kids {
		l.node(k)
	}
}

func (l *linter) elementType(n *node) {
	if n.has("ref") || n.kid("simpleType", "complexType") != nil {
		return
	}
	name := quoteName(n.token("name"))
	if !n.has("type") {
		if !n.has("substitutionGroup") {
			l.add(Warning, n, "smev-untyped", "у элемента %[1]s нет типа: в нём допустимо что угодно", "element %[1]s has no type: anything may stand in it", name)
		}
		return
	}
	switch t, _ := n.resolveName(n.token("type")); t {
	case qname{xsdSpace, "anyType"}, qname{xsdSpace, "anySimpleType"}:
		l.add(Warning, n, "smev-any-type", "элемент %[1]s имеет тип xs:%[2]s: в нём допустимо что угодно", "element %[1]s is of type xs:%[2]s: anything may stand in it", name, t.local)
	}
}
