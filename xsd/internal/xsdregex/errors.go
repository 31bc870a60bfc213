package xsdregex

import "fmt"

// Code says what is wrong with an expression.
type Code string

// Codes of SyntaxError. Args, where there are any, are named behind each.
const (
	CodeUTF8              Code = "utf8"               // the expression is not UTF-8
	CodeNothingToRepeat   Code = "nothing-to-repeat"  // quantifier
	CodeDoubleQuantifier  Code = "double-quantifier"  // quantifier: lazy and possessive forms do not exist here
	CodeQuantity          Code = "quantity"           // malformed {...}
	CodeQuantityOrder     Code = "quantity-order"     // minimum, maximum
	CodeUnclosedGroup     Code = "unclosed-group"     // "(" without ")"
	CodeUnopenedGroup     Code = "unopened-group"     // ")" without "("
	CodeGroupExtension    Code = "group-extension"    // (?...) of other languages
	CodeUnclosedClass     Code = "unclosed-class"     // "[" without "]"
	CodeEmptyClass        Code = "empty-class"        // [] or [^]
	CodeClassChar         Code = "class-char"         // a character that must be escaped in a class
	CodeHyphen            Code = "hyphen"             // "-" in the middle of a class
	CodeRangeOrder        Code = "range-order"        // first, last
	CodeRangeEnd          Code = "range-end"          // a range to or from a class escape
	CodeSubtraction       Code = "subtraction"        // a subtraction that is not the end of its class
	CodeEscape            Code = "escape"             // the unknown escape
	CodeTrailingBackslash Code = "trailing-backslash" // "\" at the end
	CodeProperty          Code = "property"           // malformed \p{...}
	CodeUnknownCategory   Code = "unknown-category"   // name
	CodeUnknownBlock      Code = "unknown-block"      // name
	CodeMetacharacter     Code = "metacharacter"      // a character that must be escaped outside a class
)

var codeText = map[Code]string{
	CodeUTF8:              "not UTF-8",
	CodeNothingToRepeat:   "nothing before the quantifier %s to repeat",
	CodeDoubleQuantifier:  "quantifier %s follows a quantifier",
	CodeQuantity:          "malformed quantifier; {n}, {n,} or {n,m} expected",
	CodeQuantityOrder:     "quantifier {%s,%s} has its bounds in the wrong order",
	CodeUnclosedGroup:     "parenthesis is not closed",
	CodeUnopenedGroup:     "closing parenthesis without an opening one",
	CodeGroupExtension:    "groups of the form (?...) do not exist in XML Schema",
	CodeUnclosedClass:     "character class is not closed",
	CodeEmptyClass:        "empty character class",
	CodeClassChar:         "character %s must be escaped in a character class",
	CodeHyphen:            "hyphen in the middle of a character class must be escaped",
	CodeRangeOrder:        "range %s-%s has its ends in the wrong order",
	CodeRangeEnd:          "a range cannot end or begin with the class %s",
	CodeSubtraction:       "a subtraction must be the end of its character class",
	CodeEscape:            "unknown escape %s",
	CodeTrailingBackslash: "backslash at the end",
	CodeProperty:          "malformed property; \\p{Name} expected",
	CodeUnknownCategory:   "unknown category %s",
	CodeUnknownBlock:      "unknown block %s",
	CodeMetacharacter:     "character %s must be escaped",
}

// SyntaxError is an expression that is not one of Appendix F.
type SyntaxError struct {
	Code    Code
	Pattern string
	Offset  int      // byte offset in Pattern of the offending part
	Args    []string // see the codes
}

// Error returns an English sentence.
func (e *SyntaxError) Error() string {
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		args[i] = a
	}
	return fmt.Sprintf("pattern %q, byte %d: %s", e.Pattern, e.Offset, fmt.Sprintf(codeText[e.Code], args...))
}

// BudgetError is an expression that is too long, too deep or too big for the
// limits it was compiled with.
type BudgetError struct {
	Pattern string // capped at 100 bytes
	Limit   string // name of the field of Limits
	Max     int    // its value
}

// Error returns an English sentence.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("pattern %q exceeds limit %s = %d", e.Pattern, e.Limit, e.Max)
}

func overBudget(pattern, limit string, max int) *BudgetError {
	if len(pattern) > 100 {
		pattern = pattern[:100]
	}
	return &BudgetError{Pattern: pattern, Limit: limit, Max: max}
}
