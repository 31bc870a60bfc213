package xsd

import (
	"fmt"
	"strings"
)

// Finding is one thing that is wrong with a schema.
type Finding struct {
	Rule string // the rule of the standard (src-resolve, cos-nonambig, ...), or of this package (budget-..., document-missing, xml)
	File string // path in the bundle
	Line int    // from 1; 0: the whole file
	Col  int    // from 1, in characters

	ru, en string
}

// Russian is the finding in a sentence, without its place.
func (f Finding) Russian() string { return f.ru }

// English is the finding in a sentence, without its place.
func (f Finding) English() string { return f.en }

// String gives place, rule and the English sentence.
func (f Finding) String() string { return f.In(English) }

// In gives place, rule and the sentence in a language.
func (f Finding) In(l Language) string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	return fmt.Sprintf("%s: %s: %s", place, f.Rule, l.Pick(f.ru, f.en))
}

// CompileError says why a schema was refused: all findings, in the order of
// documents and lines, as far as Limits.Findings goes.
type CompileError struct {
	Findings []Finding
	More     bool // there were more than Limits.Findings
}

// Error joins the findings, one per line.
func (e *CompileError) Error() string {
	var b strings.Builder
	b.WriteString("schema refused: ")
	for i, f := range e.Findings {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(f.String())
	}
	if e.More {
		b.WriteString("\n... and more")
	}
	return b.String()
}
