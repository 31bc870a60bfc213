package envelopes

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"mezhved/envelopes/xmltape"
)

// Violation is one place where an envelope breaks the schema of its operation.
type Violation struct {
	Rule     string // the rule of XML Schema, cvc-...
	Offset   int    // byte offset in the envelope (root part)
	Line     int    // from 1
	Col      int    // from 1, in characters
	XPath    string // path to the element that is wrong or whose content is wrong
	Found    string // what stands there, capped and escaped; empty: the end of the element
	Expected []string
}

// FormatError says that an envelope is not what its operation prescribes. It
// becomes the fault InvalidContent.
type FormatError struct {
	Version    Version
	Operation  Operation
	Violations []Violation // at least one, in document order
}

func (e *FormatError) Error() string {
	v := &e.Violations[0]
	s := fmt.Sprintf("%s %s: %s", e.Operation, e.Version, v.English())
	if n := len(e.Violations) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// WithoutValues says where the call breaks which rule, and nothing of what stands
// there, for logs.
func (e *FormatError) WithoutValues() string {
	v := &e.Violations[0]
	return fmt.Sprintf("%s %s: line %d, column %d: %s: %s", e.Operation, e.Version, v.Line, v.Col, v.XPath, v.Rule)
}

// Russian gives the violation as a sentence for the sender.
func (v *Violation) Russian() string {
	r := Violation{Rule: v.Rule, Line: v.Line, Col: v.Col, XPath: v.XPath, Found: russian(v.Found)}
	for _, e := range v.Expected {
		r.Expected = append(r.Expected, russian(e))
	}
	return r.sentence("строка %d, позиция %d: ", "найдено: %s", "конец элемента", "ожидалось: %s", " или ")
}

// English gives the violation as a sentence for logs and tools.
func (v *Violation) English() string {
	return v.sentence("line %d, column %d: ", "found %s", "the end of the element", "expected %s", " or ")
}

func (v *Violation) sentence(place, found, end, expected, or string) string {
	var b strings.Builder
	fmt.Fprintf(&b, place, v.Line, v.Col)
	b.WriteString(v.Rule + ": ")
	if v.XPath != "" {
		b.WriteString(v.XPath + ": ")
	}
	what := v.Found
	if what == "" {
		what = end
	}
	fmt.Fprintf(&b, found, what)
	if len(v.Expected) > 0 {
		fmt.Fprintf(&b, ", "+expected, strings.Join(v.Expected, or))
	}
	return b.String()
}

// The phrases of violations, with which Violation.Found and Expected are made of
// more than names.
const (
	saysText       = "text"
	saysElements   = "elements only"
	saysOnlyText   = "text only"
	saysNoFurther  = "no further element"
	saysUUID       = "a UUID in lower case"
	saysDateTime   = "a date and time like 2020-02-27T07:01:04.000+03:00"
	saysZone       = "a time zone after the date and time"
	saysBase64     = "base64"
	saysInt        = "a whole number of 32 bits"
	saysBoolean    = "true or false"
	saysMimeType   = "a media type like application/pdf"
	saysName       = "an XML name without a colon, which does not begin with a digit"
	saysUnique     = "an Id that no other attachment has"
	saysSelector   = "both NamespaceURI and RootElementLocalName, or none of them"
	saysPart       = "href naming a MIME part by cid:"
	saysAttribute  = "attribute "
	saysMissing    = "no attribute "
	saysForeign    = "an element of a namespace other than "
	saysAtMost     = "at most "
	saysCharacters = " characters"
)

var inRussian = map[string]string{
	saysText:      "текст",
	saysElements:  "только элементы",
	saysOnlyText:  "только текст",
	saysNoFurther: "конец элемента",
	saysUUID:      "UUID строчными буквами",
	saysDateTime:  "дата и время вида 2020-02-27T07:01:04.000+03:00",
	saysZone:      "часовой пояс после даты и времени",
	saysBase64:    "данные в base64",
	saysInt:       "целое число (32 бита)",
	saysBoolean:   "true или false",
	saysMimeType:  "тип вида application/pdf",
	saysName:      "имя XML без двоеточия, не начинающееся с цифры",
	saysUnique:    "Id, которого нет у другого вложения",
	saysSelector:  "оба поля NamespaceURI и RootElementLocalName или ни одного",
	saysPart:      "ссылка cid: на часть MIME",
	saysAttribute: "атрибут ",
	saysMissing:   "нет атрибута ",
	saysForeign:   "элемент пространства имён, отличного от ",
}

// russian translates a phrase; names and values stay as they are.
func russian(s string) string {
	if t, ok := inRussian[s]; ok {
		return t
	}
	for _, prefix := range []string{saysAttribute, saysMissing, saysForeign} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return inRussian[prefix] + rest
		}
	}
	if n, ok := strings.CutPrefix(s, saysAtMost); ok {
		if n, ok := strings.CutSuffix(n, saysCharacters); ok {
			return "не более " + n + " символов"
		}
	}
	return s
}

// quote makes a value of the document fit for a message: short, in quotes, with
// nothing in it that a terminal or a log would act on.
func quote(s string) string { return quoteUpTo(60, s) }

// quoteName does the same with an expanded name.
func quoteName(n xmltape.Node) string { return quoteUpTo(200, "{"+n.Space()+"}"+n.Local()) }

func quoteUpTo(most int, s string) string {
	if len(s) > 5*most { // the most bytes that can matter
		s = s[:5*most]
	}
	r := []rune(s)
	cut := len(r) > most
	if cut {
		r = r[:most]
	}
	for i, c := range r {
		if !unicode.IsPrint(c) {
			r[i] = '\uFFFD'
		}
	}
	out := "«" + string(r)
	if cut {
		out += "…"
	}
	return out + "»"
}

// ParseCode names the reason why a body is no call.
type ParseCode string

// The codes of a ParseError.
const (
	ParseContentType     ParseCode = "content-type"     // a media type that carries no SOAP
	ParseCharset         ParseCode = "charset"          // not UTF-8
	ParseMultipart       ParseCode = "multipart"        // a multipart body that is malformed, or has no root part
	ParseTooLarge        ParseCode = "too-large"        // too many parts or headers
	ParseNotSOAP         ParseCode = "not-soap"         // well-formed XML that is no SOAP 1.1 envelope
	ParseVersionMismatch ParseCode = "version-mismatch" // a SOAP 1.2 envelope
	ParseMustUnderstand  ParseCode = "must-understand"  // a header block that the gateway must understand and does not
	ParseUnknown         ParseCode = "unknown-operation"
)

// ParseError says why a body is no call of the exchange service. A body that is
// not well-formed gives an *xmltape.Error instead.
type ParseError struct {
	Code      ParseCode
	Offset    int // byte offset in the body or, for codes about the envelope, in the root part
	Line, Col int // 0 when the place is no place of the envelope
	Detail    string

	format string // of Detail
	args   []any
}

func (e *ParseError) Error() string {
	if e.Line > 0 {
		return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Col) + ": " + string(e.Code) + ": " + e.Detail
	}
	return string(e.Code) + ": " + e.Detail
}

// WithoutValues is code and place, for logs.
func (e *ParseError) WithoutValues() string {
	if e.Line > 0 {
		return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Col) + ": " + string(e.Code)
	}
	return string(e.Code)
}

// Russian is the detail in Russian, without place and code.
func (e *ParseError) Russian() string { return fmt.Sprintf(parseRussian[e.format], e.args...) }

// refuse is an error at a place of the envelope.
func refuse(t *xmltape.Tape, off int, code ParseCode, format string, args ...any) *ParseError {
	e := refuseBody(off, code, format, args...)
	e.Line, e.Col = t.Position(off)
	return e
}

// refuseBody is an error of the body that holds the envelope.
func refuseBody(off int, code ParseCode, format string, args ...any) *ParseError {
	return &ParseError{Code: code, Offset: off, Detail: fmt.Sprintf(format, args...), format: format, args: args}
}

// parseRussian has every sentence of a ParseError in Russian, by its English
// form; both take the same arguments.
var parseRussian = map[string]string{
	"content type %s; send text/xml, application/soap+xml or multipart/related": "тип содержимого %s; отправьте text/xml, application/soap+xml или multipart/related",
	"no part has the Content-ID %s that start names":                            "нет части с Content-ID %s, названной в start",
	"content type %s of the root part; send application/xop+xml or text/xml":    "тип содержимого корневой части %s; отправьте application/xop+xml или text/xml",
	"parameter %s twice in Content-Type":                                        "параметр %s указан в Content-Type дважды",
	"charset %s; send UTF-8":                                                    "кодировка %s (charset); отправьте UTF-8",
	"multipart/related without a usable boundary":                               "multipart/related без пригодной границы (boundary)",
	"the boundary does not occur in the body":                                   "граница (boundary) в теле не встречается",
	"too many MIME parts":                                                       "слишком много частей MIME",
	"the last part is not closed by the boundary":                               "последняя часть не закрыта границей (boundary)",
	"two parts have the Content-ID %s":                                          "у двух частей один Content-ID %s",
	"no part in the multipart body":                                             "в составном теле нет ни одной части",
	"a part without an empty line after its headers":                            "в части нет пустой строки после заголовков",
	"the headers of a part are too long":                                        "заголовки части слишком длинные",
	"a header line without a colon":                                             "строка заголовка без двоеточия",
	"transfer encoding %s":                                                      "неизвестное кодирование части (заголовок Content-Transfer-Encoding): %s",
	"a part that is not in the %s that it names":                                "содержимое части — не %s, как указано в её заголовке",
	"%s is no operation of the exchange service":                                "%s — не операция сервиса обмена сообщениями",
	"a SOAP 1.2 envelope; this service speaks SOAP 1.1":                         "конверт SOAP 1.2; сервис работает по SOAP 1.1",
	"the root element is %s, not the Envelope of SOAP 1.1":                      "корневой элемент — %s, а не Envelope из SOAP 1.1",
	"header block %s must be understood and is not":                             "заголовок SOAP %s обязателен для понимания, но неизвестен",
	"the envelope has no Body":                                                  "в конверте нет Body",
	"element %s after Body":                                                     "элемент %s после Body",
	"Body is empty":                                                             "Body пуст",
	"a second element %s in Body":                                               "второй элемент %s в Body",
	"text in %s":                                                                "текст в элементе %s",
	"%s is no answer of the exchange service":                                   "%s — не ответ сервиса обмена сообщениями",
	"two elements refer to the part %s":                                         "на часть %s ссылаются два элемента",
}
