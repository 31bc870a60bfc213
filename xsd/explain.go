package xsd

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"mezhved/xsd/internal/value"
)

// Language chooses the words of Outline and Rule.
type Language uint8

// The languages.
const (
	Russian Language = iota
	English
)

// Pick is the one of two texts that is in the language.
func (l Language) Pick(ru, en string) string {
	if l == Russian {
		return ru
	}
	return en
}

// maxOutline bounds the lines of an outline: types may refer to each other
// without end.
const maxOutline = 5000

// maxOutlineBytes bounds what the lines hold: paths grow with the depth, and a union may
// have a thousand members.
const maxOutlineBytes = 8 << 20

// Outline writes what a document with the given root looks like: an indented
// list of elements and attributes with how often they occur, their types,
// facets and documentation. A type that was spelled out before is named only.
func (s *Schema) Outline(w io.Writer, root Name, lang Language) error {
	e := s.element(qname{root.Space, root.Local})
	if e == nil {
		return fmt.Errorf("outline: the schema has no element %s", root)
	}
	o := &outline{w: bufio.NewWriter(w), lang: lang, seen: map[typeDef]bool{}}
	o.element(e, 1, 1, 0)
	return o.w.Flush()
}

type outline struct {
	w     *bufio.Writer
	lang  Language
	seen  map[typeDef]bool
	lines int
	bytes int
}

func (o *outline) full() bool { return o.lines > maxOutline || o.bytes >= maxOutlineBytes }

func (o *outline) line(depth int, format string, args ...any) bool {
	if o.full() {
		return false
	}
	if o.lines++; o.lines > maxOutline {
		fmt.Fprintln(o.w, "...")
		return false
	}
	n, _ := fmt.Fprint(o.w, strings.Repeat("  ", depth)) // its error is Flush's
	m, _ := fmt.Fprintf(o.w, format, args...)
	fmt.Fprintln(o.w)
	if o.bytes += n + m + 1; o.full() {
		fmt.Fprintln(o.w, "...")
	}
	return true
}

func (o *outline) element(e *elementDecl, min, max, depth int) {
	if o.full() {
		return
	}
	text := e.name.local
	if depth == 0 {
		text = e.name.String()
	}
	if min != 1 || max != 1 {
		text += " [" + occurs(min, max) + "]"
	}
	if e.nillable {
		text += " nillable"
	}
	if e.abstract {
		text += o.lang.Pick(" (абстрактный)", " (abstract)")
	}
	if v := e.constraint; v.kind != noValue {
		text += valueText(&v)
	}
	if t := contentType(e.typ); t != nil {
		text += ": " + o.simple(t)
	}
	if e.about != "" {
		text += " — " + e.about
	}
	if !o.line(depth, "%s", text) {
		return
	}
	for _, m := range e.members {
		o.line(depth+1, "%s %s", o.lang.Pick("или:", "or:"), m.name)
	}
	for _, i := range e.identities {
		o.line(depth+1, "%s %s", i.kind, i.name.local)
	}
	ct, ok := e.typ.(*complexType)
	if !ok {
		return
	}
	if o.seen[ct] && ct.name.local != "" {
		o.line(depth+1, "%s %s", o.lang.Pick("как тип", "as type"), ct.display())
		return
	}
	o.seen[ct] = true
	for _, u := range ct.uses {
		if o.full() {
			return
		}
		text := "@" + u.decl.name.local
		if !u.required {
			text += " [0..1]"
		}
		if v := u.effective(); v.kind != noValue {
			text += valueText(v)
		}
		text += ": " + o.simple(u.decl.typ)
		if u.about != "" {
			text += " — " + u.about
		}
		o.line(depth+1, "%s", text)
	}
	if ct.wildcard != nil {
		o.line(depth+1, "@* (%s)", ct.wildcard.spaces)
	}
	if ct.content == mixedContent {
		o.line(depth+1, "%s", o.lang.Pick("(и текст)", "(and text)"))
	}
	if ct.content != simpleContent && ct.particle != nil {
		o.particle(ct.particle, depth+1, true)
	}
}

func valueText(v *valueConstraint) string {
	if v.kind == fixedValue {
		return " =" + quoteString(v.value) + "!"
	}
	return " =" + quoteString(v.value)
}

func (o *outline) particle(p *particle, depth int, top bool) {
	switch {
	case o.full():
	case p.elem != nil:
		o.element(p.elem, p.min, p.max, depth)
	case p.wild != nil:
		o.line(depth, "* [%s] (%s)", occurs(p.min, p.max), p.wild.spaces)
	default:
		if !top || p.group.compositor != sequence || p.min != 1 || p.max != 1 {
			words := [...]string{o.lang.Pick("по порядку", "in order"), o.lang.Pick("одно из", "one of"), o.lang.Pick("в любом порядке", "in any order")}
			text := words[p.group.compositor]
			if p.min != 1 || p.max != 1 {
				text += " [" + occurs(p.min, p.max) + "]"
			}
			o.line(depth, "%s:", text)
			depth++
		}
		for _, k := range p.group.particles {
			o.particle(k, depth, false)
		}
	}
}

// simple describes a simple type in one line.
func (o *outline) simple(t *simpleType) string {
	v := t.v
	base := v
	for base != nil && !base.Builtin() {
		base = base.Base()
	}
	text := t.display()
	if t.name.local == "" || t.name.space != xsdSpace {
		text = base.Display()
		if t.name.local != "" {
			text = t.name.local + " (" + base.Display() + ")"
		}
	}
	switch t.variety {
	case list:
		text += o.lang.Pick(", список из ", ", list of ") + t.item.display()
	case union:
		var m []string
		for _, x := range t.members {
			m = append(m, o.simple(x))
		}
		text = o.lang.Pick("одно из: ", "one of: ") + strings.Join(m, " | ")
	}
	if t.name.space == xsdSpace {
		return text
	}
	var facets []string
	for _, k := range []value.FacetKind{value.Length, value.MinLength, value.MaxLength, value.MinInclusive, value.MinExclusive, value.MaxInclusive, value.MaxExclusive, value.TotalDigits, value.FractionDigits} {
		if lit, owner, ok := v.Effective(k); ok && !owner.Builtin() {
			facets = append(facets, fmt.Sprintf("%s=%s", k, lit))
		}
	}
	for _, p := range v.Patterns() {
		facets = append(facets, "pattern="+quoteString(strings.Join(p, "|")))
	}
	if a := v.Allowed(); a != nil {
		facets = append(facets, shortList(a))
	}
	if facets != nil {
		text += "; " + strings.Join(facets, "; ")
	}
	return text
}

// Rule explains a rule id that a violation or finding carries: what it asks
// for and where the standard has it. The empty string: not known.
func Rule(id string, lang Language) string {
	best := -1
	for i, r := range ruleTexts {
		if (id == r.prefix || strings.HasPrefix(id, r.prefix+".") || strings.HasSuffix(r.prefix, "-") && strings.HasPrefix(id, r.prefix)) &&
			(best < 0 || len(r.prefix) > len(ruleTexts[best].prefix)) {
			best = i
		}
	}
	if best < 0 {
		for _, f := range facetNames {
			if strings.HasPrefix(id, f+"-") {
				return lang.Pick("Фасеты типа не должны противоречить друг другу и могут только сужать основу. (XML Schema 1.0, Part 2, 4.3)",
					"The facets of a type must not contradict each other and may only narrow the base. (XML Schema 1.0, Part 2, 4.3)")
			}
		}
		return ""
	}
	r := ruleTexts[best]
	text := lang.Pick(r.ru, r.en)
	if r.clause != "" {
		text += " (XML Schema 1.0, " + r.clause + ")"
	}
	return text
}

type ruleText struct{ prefix, clause, ru, en string }

var ruleTexts = []ruleText{
	{"unsigned-prefix", "", "Подпись СМЭВ не охватывает объявлений префиксов, которые встречаются только в значениях. Имя в значении (xsi:type, xs:QName, xs:NOTATION) принимается, только если схема оставляет ему единственный смысл: один подходящий тип с таким локальным именем, одно такое имя в перечислении или постоянное значение (fixed).", "The SMEV signature does not cover declarations of prefixes that occur in values only. A name in a value (xsi:type, xs:QName, xs:NOTATION) is taken only when the schema leaves it one meaning: one type of that local name that could stand there, one such name in an enumeration, or a fixed value."},
	{"cvc-elt.1", "Part 1, 3.3.4", "Элемент должен быть объявлен в схеме.", "The element must be declared in the schema."},
	{"cvc-elt.2", "Part 1, 3.3.4", "Абстрактный элемент в документе стоять не может: нужен элемент его группы подстановки.", "An abstract element may not stand in a document: a member of its substitution group is needed."},
	{"cvc-elt.3", "Part 1, 3.3.4", "xsi:nil=\"true\" возможен только у элемента, объявленного nillable, и такой элемент должен быть совсем пуст, без пробелов и вложенных элементов.", "xsi:nil=\"true\" is possible only for an element declared nillable, and such an element must be quite empty, without white space or children."},
	{"cvc-elt.4", "Part 1, 3.3.4", "xsi:type должен называть тип этой схемы, выведенный из объявленного, и такая замена не должна быть закрыта.", "xsi:type must name a type of this schema derived from the declared one, and the substitution must not be blocked."},
	{"cvc-elt.5.1", "Part 1, 3.3.4", "Значение по умолчанию или постоянное (default, fixed) занимает место пустого содержимого и должно годиться для типа, который назван в xsi:type.", "A default or fixed value takes the place of empty content and must suit the type that xsi:type names."},
	{"cvc-elt.5", "Part 1, 3.3.4", "У элемента постоянное значение (fixed): другого быть не может.", "The element has a fixed value: no other is possible."},
	{"cvc-type.2", "Part 1, 3.4.4", "Тип абстрактный: назовите выведенный из него через xsi:type.", "The type is abstract: name one derived from it by xsi:type."},
	{"cvc-type.3.1.1", "Part 1, 3.4.4", "У элемента простого типа не бывает атрибутов, кроме xsi:type, xsi:nil и указаний на схему.", "An element of simple type has no attributes but xsi:type, xsi:nil and schema locations."},
	{"cvc-type.3.1.2", "Part 1, 3.4.4", "Внутри элемента простого типа не бывает других элементов.", "An element of simple type holds no other elements."},
	{"cvc-complex-type.2.1", "Part 1, 3.4.4", "Содержимое должно быть пустым.", "The content must be empty."},
	{"cvc-complex-type.2.3", "Part 1, 3.4.4", "Здесь допустимы только элементы, текст не допускается.", "Only elements are allowed here, no text."},
	{"cvc-complex-type.2.4", "Part 1, 3.4.4", "Элементы должны идти в том порядке и в том числе, которые задаёт схема: a — стоит не тот элемент, b — чего-то не хватает в конце, c — элемент не объявлен, d — элемент лишний.", "Elements must stand in the order and number that the schema gives: a, another element stands here; b, something lacks at the end; c, the element is not declared; d, one element too many."},
	{"cvc-complex-type.3", "Part 1, 3.4.4", "Атрибут не объявлен для этого элемента.", "The attribute is not declared for this element."},
	{"cvc-complex-type.4", "Part 1, 3.4.4", "Обязательный атрибут должен быть указан.", "A required attribute must be there."},
	{"cvc-complex-type.5", "Part 1, 3.4.4", "У элемента может быть только один атрибут типа xs:ID.", "An element may have only one attribute of type xs:ID."},
	{"cvc-au", "Part 1, 3.5.4", "У атрибута постоянное значение (fixed): другого быть не может.", "The attribute has a fixed value: no other is possible."},
	{"cvc-id.1", "Part 1, 3.15.4", "Ссылка IDREF должна указывать на идентификатор, который есть в документе.", "An IDREF must refer to an ID that is in the document."},
	{"cvc-id.2", "Part 1, 3.15.4", "Идентификатор xs:ID не повторяется в документе.", "An xs:ID occurs once in a document."},
	{"cvc-identity-constraint.3", "Part 1, 3.11.4", "Поле ключа должно находить не более одного узла с простым значением.", "A field of a key must find at most one node with a simple value."},
	{"cvc-identity-constraint.4.1", "Part 1, 3.11.4", "Значение, объявленное уникальным (unique), повторяется.", "A value declared unique occurs again."},
	{"cvc-identity-constraint.4.2", "Part 1, 3.11.4", "Ключ (key) должен быть у каждого выбранного элемента и не повторяться.", "Each selected element must have its key, and keys do not occur again."},
	{"cvc-identity-constraint.4.3", "Part 1, 3.11.4", "Ссылка (keyref) должна указывать на существующий ключ.", "A keyref must refer to a key that exists."},
	{"cvc-datatype-valid", "Part 2, 4.1.4", "Запись значения не подходит типу: проверьте формат даты, числа, имени.", "The value is not written as its type asks: check the form of date, number, name."},
	{"cvc-enumeration-valid", "Part 2, 4.3.5", "Допустимы только перечисленные значения.", "Only the enumerated values are allowed."},
	{"cvc-pattern-valid", "Part 2, 4.3.4", "Значение должно целиком соответствовать регулярному выражению.", "The whole value must match the regular expression."},
	{"cvc-length-valid", "Part 2, 4.3.1", "Длина значения задана точно (символы; для двоичных данных октеты; для списков элементы).", "The length of the value is given exactly (characters; octets of binary data; items of lists)."},
	{"cvc-minLength-valid", "Part 2, 4.3.2", "Значение слишком коротко.", "The value is too short."},
	{"cvc-maxLength-valid", "Part 2, 4.3.3", "Значение слишком длинно.", "The value is too long."},
	{"cvc-minInclusive-valid", "Part 2, 4.3.10", "Значение меньше наименьшего.", "The value is below the least."},
	{"cvc-minExclusive-valid", "Part 2, 4.3.9", "Значение должно быть больше границы.", "The value must be greater than the bound."},
	{"cvc-maxInclusive-valid", "Part 2, 4.3.7", "Значение больше наибольшего.", "The value is above the greatest."},
	{"cvc-maxExclusive-valid", "Part 2, 4.3.8", "Значение должно быть меньше границы.", "The value must be less than the bound."},
	{"cvc-totalDigits-valid", "Part 2, 4.3.11", "В числе слишком много цифр.", "The number has too many digits."},
	{"cvc-fractionDigits-valid", "Part 2, 4.3.12", "Слишком много цифр после запятой.", "Too many fraction digits."},
	{"limit-patterns", "", "Длинные значения и сложные шаблоны: проверка заняла бы слишком много времени. Сократите значение; поставщику: упростите шаблон или ограничьте в нём длину.", "Long values and intricate patterns: the check would take too much time. Shorten the value; providers: simplify the pattern, or bound the length in it."},
	{"limit-keys", "", "В документе больше ключей и идентификаторов, чем принимает шлюз.", "The document has more keys and identifiers than the gateway takes."},

	{"cos-nonambig", "Part 1, 3.8.6", "Модель содержимого должна быть однозначной: по имени элемента видно, какому месту модели он соответствует (Unique Particle Attribution).", "A content model must be unambiguous: the name of an element tells its place in the model (Unique Particle Attribution)."},
	{"cos-element-consistent", "Part 1, 3.8.6", "Элементы одного имени в одной модели содержимого должны иметь один тип.", "Elements of one name in one content model must have one type."},
	{"cos-all-limited", "Part 1, 3.8.6", "xs:all может быть только всем содержимым типа.", "xs:all may only be the whole content of a type."},
	{"cos-ct-extends", "Part 1, 3.4.6", "Расширение должно сохранять содержимое основы и добавлять в конец.", "An extension keeps the content of its base and adds at the end."},
	{"derivation-ok-restriction", "Part 1, 3.4.6", "Ограничение не может допускать того, чего не допускает основа.", "A restriction cannot allow what its base does not."},
	{"src-resolve", "Part 1, 3.15.3", "Ссылка должна указывать на существующий компонент, а его пространство имён должно быть импортировано этим же документом.", "A reference must be to a component that exists, in a namespace that this very document imports."},
	{"src-import", "Part 1, 4.2.3", "import берёт чужое пространство имён, и документ по указанному адресу должен быть именно для него.", "import takes another namespace, and the document at the location must be one for it."},
	{"src-include", "Part 1, 4.2.1", "include берёт документ того же пространства имён или без него.", "include takes a document of the same namespace, or of none."},
	{"src-redefine", "Part 1, 4.2.2", "redefine меняет определения того же пространства имён, каждое через него самого.", "redefine changes definitions of the same namespace, each by means of itself."},
	{"sch-props-correct", "Part 1, 3.15.6", "Компоненты одного рода не могут иметь одно имя.", "Two components of a kind cannot have one name."},
	{"ct-props-correct", "Part 1, 3.4.6", "Определение сложного типа противоречиво.", "The definition of the complex type contradicts itself."},
	{"st-props-correct", "Part 1, 3.14.6", "Определение простого типа противоречиво.", "The definition of the simple type contradicts itself."},
	{"cos-st-restricts", "Part 1, 3.14.6", "Простой тип выведен из того, из чего выводить нельзя.", "The simple type is derived from what cannot be derived from."},
	{"cos-applicable-facets", "Part 2, 4.1.5", "У этого типа нет такого фасета.", "The type does not have this facet."},
	{"e-props-correct", "Part 1, 3.3.6", "Объявление элемента противоречиво.", "The declaration of the element contradicts itself."},
	{"a-props-correct", "Part 1, 3.2.6", "Объявление атрибута противоречиво.", "The declaration of the attribute contradicts itself."},
	{"au-props-correct", "Part 1, 3.5.6", "Использование атрибута противоречит его объявлению.", "The use of the attribute contradicts its declaration."},
	{"src-element", "Part 1, 3.3.3", "Объявление элемента записано неверно: либо name, либо ref; либо type, либо вложенный тип; либо default, либо fixed.", "The element is written wrongly: name or ref, type or a nested type, default or fixed, one of each two."},
	{"src-attribute", "Part 1, 3.2.3", "Объявление атрибута записано неверно: либо name, либо ref; либо type, либо вложенный тип; либо default, либо fixed.", "The attribute is written wrongly: name or ref, type or a nested type, default or fixed, one of each two."},
	{"src-attribute_group", "Part 1, 3.6.3", "Группа атрибутов не может содержать саму себя, а пересечение её anyAttribute должно быть выразимо.", "An attribute group cannot contain itself, and the intersection of its wildcards must be expressible."},
	{"ag-props-correct", "Part 1, 3.6.6", "В группе атрибутов имя встречается один раз, и тип xs:ID тоже.", "In an attribute group a name occurs once, and so does type xs:ID."},
	{"mg-props-correct", "Part 1, 3.8.6", "Группа не может содержать саму себя.", "A group cannot contain itself."},
	{"p-props-correct", "Part 1, 3.9.6", "minOccurs не может быть больше maxOccurs.", "minOccurs cannot exceed maxOccurs."},
	{"no-xmlns", "Part 1, 3.2.6", "Атрибут не может называться xmlns.", "An attribute may not be named xmlns."},
	{"no-xsi", "Part 1, 3.2.6", "Атрибуты пространства имён xsi уже определены стандартом.", "Attributes of the xsi namespace are the standard's own."},
	{"no-element", "", "Проверять нечего: элемента нет.", "There is no element to check."},
	{"src-ct", "Part 1, 3.4.3", "simpleContent и complexContent должны подходить к своей основе.", "simpleContent and complexContent must fit their base."},
	{"src-simple-type", "Part 1, 3.14.3", "Определение простого типа записано неверно.", "The simple type is written wrongly."},
	{"src-restriction-base-or-simpleType", "Part 1, 3.14.3", "Основа restriction — либо атрибут base, либо вложенный тип.", "A restriction has a base attribute or a nested type."},
	{"src-list-itemType-or-simpleType", "Part 1, 3.14.3", "Тип элементов списка — либо атрибут itemType, либо вложенный тип.", "A list has an itemType attribute or a nested type."},
	{"src-union-memberTypes-or-simpleTypes", "Part 1, 3.14.3", "В объединении должен быть хотя бы один тип.", "A union has at least one member type."},
	{"cos-list-of-atomic", "Part 2, 2.5.1.2", "Элементами списка могут быть только атомарные значения.", "The items of a list must be atomic."},
	{"cos-valid-default", "Part 1, 3.3.6", "Значение по умолчанию возможно только там, где содержимое простое или смешанное и может быть пустым.", "A default is possible only where the content is simple, or mixed and possibly empty."},
	{"cvc-simple-type", "Part 1, 3.14.4", "Имя сущности должно быть объявлено в DTD, а документы с DTD не принимаются.", "An entity must be declared in a DTD, and documents with a DTD are not accepted."},
	{"src-qname", "Part 1, 3.15.3", "Префикс имени должен быть объявлен.", "The prefix of a name must be declared."},
	{"src-notation", "Part 1, 3.12.3", "У нотации должен быть public или system.", "A notation has public or system."},
	{"enumeration-required-notation", "Part 2, 3.2.19", "Тип xs:NOTATION можно использовать только с перечислением нотаций.", "Type xs:NOTATION can only be used with an enumeration of notations."},
	{"enumeration-valid-restriction", "Part 2, 4.3.5", "Перечисленные значения должны принадлежать типу-основе.", "Enumerated values must be of the base type."},
	{"src-single-facet-value", "Part 2, 4.3", "Фасет указывают один раз.", "A facet is given once."},
	{"st-restrict-facets", "Part 1, 3.14.6", "Фасет закреплён в основе (fixed) с другим значением.", "The base has fixed the facet at another value."},
	{"src-pattern-value", "Part 2, 4.3.4", "Ошибка в регулярном выражении.", "The regular expression is wrong."},
	{"c-selector-xpath", "Part 1, 3.11.6", "Путь selector: шаги по дочерним элементам, в начале может стоять .//, условий и осей нет.", "A selector is child steps, with .// at the start if need be; no predicates, no axes."},
	{"c-fields-xpaths", "Part 1, 3.11.6", "Путь field: как selector, в конце может стоять атрибут.", "A field is like a selector and may end in an attribute."},
	{"c-props-correct", "Part 1, 3.11.6", "keyref должен ссылаться на key или unique с тем же числом полей.", "A keyref must refer to a key or unique with as many fields."},
	{"s4s-", "Part 1, appendix A", "Документ схемы построен не по правилам языка схем.", "The schema document is not built as the schema language asks."},
	{"document-missing", "", "Все документы схемы должны лежать в её пакете: из сети ничего не берётся.", "All documents of a schema must be in its bundle: nothing is fetched from the network."},
	{"budget-", "", "Схема превышает предел сложности: упростите её или поднимите предел.", "The schema exceeds a limit of complexity: simplify it or raise the limit."},
	{"smev-union-facets", "Part 1, 3.14.2", "Объединение, вошедшее в другое, заменяется своими членами: фасеты, которыми его ограничили, при этом теряются.", "A union inside another one is replaced by its members: facets that it was restricted by are lost."},
	{"smev-", "", "Правило для схем, регистрируемых в СМЭВ.", "A rule for schemas registered in SMEV."},
}
