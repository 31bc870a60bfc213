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

// Russian gives the violation as a sentence for the sender.
func (v *Violation) Russian() string {
	return v.sentence("строка %d, позиция %d: ", "%s: ", "найдено %s", "конец элемента", "ожидалось %s", " или ")
}

// English gives the violation as a sentence for logs and tools.
func (v *Violation) English() string {
	return v.sentence("line %d, column %d: ", "%s: ", "found %s", "the end of the element", "expected %s", " or ")
}

func (v *Violation) sentence(place, path, found, end, expected, or string) string {
	var b strings.Builder
	fmt.Fprintf(&b, place, v.Line, v.Col)
	b.WriteString(v.Rule + ": ")
	if v.XPath != "" {
		fmt.Fprintf(&b, path, v.XPath)
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

// quote makes a value of the document fit for a message: short, in quotes, with
// nothing in it that a terminal or a log would act on.
func quote(s string) string {
	const most = 60
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
}

func (e *ParseError) Error() string {
	if e.Line > 0 {
		return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Col) + ": " + string(e.Code) + ": " + e.Detail
	}
	return string(e.Code) + ": " + e.Detail
}

func refuse(t *xmltape.Tape, off int, code ParseCode, detail string) *ParseError {
	line, col := t.Position(off)
	return &ParseError{Code: code, Offset: off, Line: line, Col: col, Detail: detail}
}
