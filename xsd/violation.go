package xsd

import (
	"fmt"
	"strings"
)

// Violation is one rule of the schema that a document breaks.
type Violation struct {
	Rule   string // the rule of the standard: cvc-complex-type.2.4.a, cvc-pattern-valid, ...
	Offset int    // byte offset in the source of the tape
	Line   int    // from 1
	Col    int    // from 1, in characters
	XPath  string // path to the element or attribute, names as written, with positions
	Found  string // what stands there, shortened and escaped
	// Expected is what may stand there: names as {namespace}local, local when
	// there is no namespace, or allowed values. It is empty when the sentence says all.
	Expected []string

	ru, en string
}

// Russian is the violation in a sentence, without its place.
func (v Violation) Russian() string { return v.ru }

// English is the violation in a sentence, without its place.
func (v Violation) English() string { return v.en }

// String gives place, rule and the English sentence.
func (v Violation) String() string {
	return fmt.Sprintf("line %d, column %d: %s: %s: %s", v.Line, v.Col, v.XPath, v.Rule, v.en)
}

// Invalid is the error of a document that breaks its schema: violations in
// document order, as many as the validator's limit allows.
type Invalid struct {
	Violations []Violation
	More       bool // there were more than the limit
}

// WithoutValues says where the document breaks which rules, and nothing of what
// stands there, for logs.
func (e *Invalid) WithoutValues() string {
	v := &e.Violations[0]
	s := fmt.Sprintf("line %d, column %d: %s: %s", v.Line, v.Col, v.XPath, v.Rule)
	if n := len(e.Violations) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// Error joins the violations, one per line.
func (e *Invalid) Error() string {
	var b strings.Builder
	for i, v := range e.Violations {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(v.String())
	}
	if e.More {
		b.WriteString("\n... and more")
	}
	return b.String()
}
