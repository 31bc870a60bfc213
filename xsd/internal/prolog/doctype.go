package prolog

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// doctype reads the document type declaration at a place [28] and gives its end.
func (d *document) doctype(at int) int {
	d.entities, d.parameters, d.defaults = map[string]entity{}, map[string]entity{}, map[string][]attribute{}
	s := &scanner{d: d, text: string(d.src), i: at + len("<!DOCTYPE"), direct: true}
	s.space()
	s.name("имя элемента", "the name of the element")
	s.skip()
	if system, ok := s.external(); ok {
		d.outside = true
		d.note("внешнее подмножество DTD %[1]q не читается", "the external subset %[1]q of the DTD is not read", system)
	}
	s.skip()
	if s.take("[") {
		s.subset(0)
		s.want("]")
		s.skip()
	}
	s.want(">")
	return s.i
}

// scanner reads declarations: those of the document, or of a parameter entity.
type scanner struct {
	d      *document
	text   string
	i      int
	direct bool // text is the document itself
	base   int  // where the reference stands, when it is not
}

func (s *scanner) off() int {
	if s.direct {
		return min(s.i, len(s.d.src))
	}
	return s.base
}

func (s *scanner) rest() string { return s.text[s.i:] }

func (s *scanner) take(word string) bool {
	if strings.HasPrefix(s.rest(), word) {
		s.i += len(word)
		return true
	}
	return false
}

func (s *scanner) want(word string) {
	if !s.take(word) {
		s.d.fail(s.off(), "объявление типа документа (DOCTYPE): здесь ожидается %[1]q", "document type declaration (DOCTYPE): %[1]q is expected here", word)
	}
}

func (s *scanner) skip() {
	for s.i < len(s.text) && isSpace(s.text[s.i]) {
		s.i++
	}
}

// space is S, at least one.
func (s *scanner) space() {
	begin := s.i
	if s.skip(); s.i == begin {
		s.want(" ")
	}
}

func (s *scanner) name(ru, en string) string {
	begin := s.i
	for s.i < len(s.text) && nameByte(s.text[s.i]) {
		s.i++
	}
	if s.i == begin {
		s.d.fail(s.off(), "объявление типа документа (DOCTYPE): здесь ожидается %[1]s", "document type declaration (DOCTYPE): %.0[1]s%[2]s is expected here", ru, en)
	}
	return s.text[begin:s.i]
}

// literal is a quoted string.
func (s *scanner) literal() (text string, quote byte) {
	if s.i >= len(s.text) || s.text[s.i] != '"' && s.text[s.i] != '\'' {
		s.want(`"`)
	}
	quote = s.text[s.i]
	n := strings.IndexByte(s.text[s.i+1:], quote)
	if n < 0 {
		s.d.fail(s.off(), "объявление типа документа (DOCTYPE): кавычка не закрыта", "document type declaration (DOCTYPE): the quotation mark is not closed")
	}
	text = s.text[s.i+1 : s.i+1+n]
	s.i += n + 2
	return text, quote
}

// external is ExternalID [75]; it gives the system identifier.
func (s *scanner) external() (system string, ok bool) {
	switch {
	case s.take("SYSTEM"):
		s.space()
	case s.take("PUBLIC"):
		s.space()
		s.literal()
		s.space()
	default:
		return "", false
	}
	system, _ = s.literal()
	return system, true
}

// subset reads declarations [28b] up to the closing bracket or the end of an entity.
func (s *scanner) subset(depth int) {
	for {
		s.skip()
		switch rest := s.rest(); {
		case rest == "" || rest[0] == ']':
			return
		case strings.HasPrefix(rest, "<!--"):
			s.i += until([]byte(rest), 4, "-->")
		case strings.HasPrefix(rest, "<?"):
			s.i += until([]byte(rest), 2, "?>")
		case rest[0] == '%':
			at := s.off()
			s.i++
			name := s.name("имя сущности", "the name of an entity")
			s.want(";")
			s.parameter(name, at, depth)
		case s.take("<!ENTITY"):
			s.entity()
		case s.take("<!ATTLIST"):
			s.attlist()
		case s.take("<!ELEMENT"), s.take("<!NOTATION"):
			s.over()
		default:
			s.d.fail(s.off(), "объявление типа документа (DOCTYPE): здесь не стоит объявление", "document type declaration (DOCTYPE): no declaration stands here")
		}
	}
}

// over passes a declaration that says nothing about what a schema means.
func (s *scanner) over() {
	for s.i < len(s.text) && s.text[s.i] != '>' {
		if s.text[s.i] == '"' || s.text[s.i] == '\'' {
			s.literal()
			continue
		}
		s.i++
	}
	s.want(">")
}

// parameter reads the declarations of a parameter entity where it is referred to.
func (s *scanner) parameter(name string, at, depth int) {
	d := s.d
	e, ok := d.parameters[name]
	d.enter("%"+name, at)
	defer func() { d.open = d.open[:len(d.open)-1] }()
	if !ok || e.external {
		d.outside, d.blind = true, !d.standalone
		d.note("сущность %%%[1]s; лежит вне документа и не читается", "entity %%%[1]s; lies outside the document and is not read", name)
		return
	}
	inner := &scanner{d: d, text: e.text, base: at}
	inner.subset(depth + 1)
	inner.skip()
	if inner.rest() != "" {
		inner.want("<!")
	}
}

// count bounds what is declared.
func (s *scanner) count() {
	if s.d.declared++; s.d.declared > maxDeclared {
		s.d.fail(s.off(), "больше %[1]d объявлений сущностей и атрибутов", "more than %[1]d declarations of entities and attributes", maxDeclared)
	}
}

// entity reads an entity declaration [70]. The first of a name binds, and none
// does after something that was not read (5.1).
func (s *scanner) entity() {
	s.count()
	s.space()
	into := s.d.entities
	if s.take("%") {
		into = s.d.parameters
		s.space()
	}
	name := s.name("имя сущности", "the name of an entity")
	s.space()
	var e entity
	if _, ok := s.external(); ok {
		e.external = true
		s.over() // NDATA
	} else {
		at := s.off()
		text, _ := s.literal()
		e.text = s.entityValue(text, at)
		s.skip()
		s.want(">")
	}
	if _, known := into[name]; !known && !s.d.blind {
		into[name] = e
	}
}

// entityValue is the replacement text of an entity value (4.5): characters are
// put in, references to general entities stay.
func (s *scanner) entityValue(text string, at int) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '%':
			s.d.fail(at, "ссылка на параметрическую сущность внутри объявления во внутреннем подмножестве не допускается", "a parameter entity may not be referred to inside a declaration of the internal subset")
		case strings.HasPrefix(text[i:], "&#"):
			end := strings.IndexByte(text[i:], ';')
			r, ok := character(text[i+2 : max(i+end, i+2)])
			if !ok {
				s.d.fail(at, "ссылка на знак, которого нет в XML", "a reference to a character that XML does not have")
			}
			b.WriteRune(r)
			i += end
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// character reads the number of a character reference [66].
func character(digits string) (rune, bool) {
	base := 10
	if rest, ok := strings.CutPrefix(digits, "x"); ok {
		base, digits = 16, rest
	}
	n, err := strconv.ParseUint(digits, base, 32)
	r := rune(n)
	ok := err == nil && n <= utf8.MaxRune && (r == '\t' || r == '\n' || r == '\r' || r >= 0x20) && utf8.ValidRune(r) && r != 0xfffe && r != 0xffff
	return r, ok
}

// attlist reads an attribute-list declaration [52].
func (s *scanner) attlist() {
	s.space()
	element := s.name("имя элемента", "the name of an element")
	for {
		s.skip()
		if s.take(">") {
			return
		}
		s.count()
		a := attribute{name: s.name("имя атрибута", "the name of an attribute"), tokens: true}
		s.space()
		if s.take("NOTATION") {
			s.space()
		}
		if s.take("(") {
			n := strings.IndexByte(s.rest(), ')')
			if n < 0 {
				s.want(")")
			}
			s.i += n + 1
		} else {
			a.tokens = s.name("тип атрибута", "the type of the attribute") != "CDATA"
		}
		s.space()
		if !s.take("#REQUIRED") && !s.take("#IMPLIED") {
			if s.take("#FIXED") {
				s.space()
			}
			at := s.off()
			a.value, a.quote = s.literal()
			if strings.Contains(a.value, "<") {
				s.d.fail(at, "знак < в значении атрибута %[1]s по умолчанию", "a < in the default of attribute %[1]s", a.name)
			}
			a.value = s.d.value(a.value, at, 0)
			if a.tokens {
				a.value = strings.Join(strings.Fields(a.value), " ")
			}
			a.fallback = true
		}
		known := s.d.blind
		for _, other := range s.d.defaults[element] {
			known = known || other.name == a.name
		}
		if !known {
			s.d.defaults[element] = append(s.d.defaults[element], a)
		}
	}
}
