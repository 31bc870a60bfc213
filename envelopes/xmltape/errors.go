package xmltape

import "fmt"

// Code names the reason of a refusal. Codes are stable: tests, metrics and
// callers depend on them.
type Code string

// The codes.
const (
	CodeEncoding       Code = "encoding"            // not UTF-8, or declared as something else
	CodeVersion        Code = "xml-version"         // not XML 1.0
	CodeDoctype        Code = "doctype-forbidden"   // a document type declaration
	CodeReference      Code = "bad-reference"       // an entity other than the five, or a bad character reference
	CodeChar           Code = "bad-character"       // a character that XML forbids
	CodeName           Code = "bad-name"            // not a Name, NCName or QName where one is needed
	CodeTag            Code = "bad-tag"             // a start or end tag that is not well-formed
	CodeMismatch       Code = "mismatched-tag"      // an end tag that closes another element, or none
	CodeAttribute      Code = "bad-attribute"       // an attribute that is not well-formed
	CodeDuplicate      Code = "duplicate-attribute" // two attributes of one name, or one expanded name
	CodeCDEnd          Code = "cdata-end-in-text"   // ]]> in character data
	CodeCData          Code = "bad-cdata"           // an unterminated or misplaced CDATA section
	CodeComment        Code = "bad-comment"         // -- inside, or not terminated
	CodePI             Code = "bad-pi"              // not well-formed, or a target "xml"
	CodeDeclaration    Code = "bad-declaration"     // an XML declaration that is malformed or not at the start
	CodeOutside        Code = "content-outside-root"
	CodeNoRoot         Code = "no-root"
	CodeUnclosed       Code = "unclosed-element"
	CodePrefix         Code = "undeclared-prefix"
	CodeNamespace      Code = "bad-namespace" // a declaration that Namespaces in XML forbids, or a relative namespace name
	CodeLimitSize      Code = "limit-size"
	CodeLimitDepth     Code = "limit-depth"
	CodeLimitTokens    Code = "limit-tokens"
	CodeLimitAttrs     Code = "limit-attributes"
	CodeLimitName      Code = "limit-name"
	CodeLimitValue     Code = "limit-value"
	CodeLimitSpaces    Code = "limit-namespaces"
	CodeLimitNames     Code = "limit-names"
	CodeLimitReference Code = "limit-reference"
)

// Error is a refusal: the document is not one that the gate lets in.
type Error struct {
	Code   Code
	Offset int    // byte offset in the input
	Line   int    // from 1
	Col    int    // from 1, in characters
	Detail string // what was found and what was expected, without values of the document beyond a short quoted name

	format string // of Detail
	args   []any
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s: %s", e.Line, e.Col, e.Code, e.Detail)
}

// WithoutValues is code and place, for logs.
func (e *Error) WithoutValues() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Code)
}

// Limits bounds what a document may cost. The zero value of a field means the
// default; defaults are generous for envelopes and small for attackers.
type Limits struct {
	Size       int // bytes of the document; default 16 MiB
	Depth      int // nested elements; default 100
	Tokens     int // tokens of the document; default 2,000,000
	Attrs      int // attributes of one element, declarations included; default 256
	NameLen    int // bytes of a name, and of a namespace name as it is written; default 1,024
	ValueLen   int // bytes of an attribute value, comment or processing instruction; default 1 MiB
	Spaces     int // namespace declarations in scope at once; default 128
	TotalDecls int // namespace declarations of the document; default 100,000
	Names      int // distinct expanded names of the document; default 20,000

	// Hold, where it is set, is told a bound of the memory that the tape will take
	// before it takes any. Its error ends the parse and is given back as it is.
	Hold func(bytes int) error
}

// DefaultLimits are the limits of the zero Limits.
var DefaultLimits = Limits{
	Size: 16 << 20, Depth: 100, Tokens: 2_000_000, Attrs: 256, NameLen: 1024,
	ValueLen: 1 << 20, Spaces: 128, TotalDecls: 100_000, Names: 20_000,
}

// Widest are limits that only the tape itself sets. They are for documents of
// our own making, out of what has passed the limits of the door.
var Widest = Limits{
	Size: 1<<31 - 1, Depth: 1 << 15, Tokens: 1<<31 - 1, Attrs: 1 << 15, NameLen: 1 << 15,
	ValueLen: 1<<31 - 1, Spaces: 1<<31 - 1, TotalDecls: 1<<31 - 1, Names: 1<<31 - 1,
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	set := func(v, def int) int {
		if v > 0 {
			return v
		}
		return def
	}
	return Limits{
		Size: min(set(l.Size, d.Size), 1<<31-1), Depth: min(set(l.Depth, d.Depth), 1<<15), Tokens: set(l.Tokens, d.Tokens),
		Attrs: min(set(l.Attrs, d.Attrs), 1<<15), NameLen: min(set(l.NameLen, d.NameLen), 1<<15), ValueLen: set(l.ValueLen, d.ValueLen),
		Spaces: set(l.Spaces, d.Spaces), TotalDecls: set(l.TotalDecls, d.TotalDecls), Names: set(l.Names, d.Names),
		Hold: l.Hold,
	}
}
