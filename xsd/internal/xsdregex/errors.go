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

// codeText has a sentence in English and one in Russian for each code.
var codeText = map[Code][2]string{
	CodeUTF8:              {"not UTF-8", "не UTF-8"},
	CodeNothingToRepeat:   {"nothing before the quantifier %s to repeat", "перед квантификатором %s нечего повторять"},
	CodeDoubleQuantifier:  {"quantifier %s follows a quantifier", "квантификатор %s стоит после квантификатора"},
	CodeQuantity:          {"malformed quantifier; {n}, {n,} or {n,m} expected", "неправильный квантификатор: нужно {n}, {n,} или {n,m}"},
	CodeQuantityOrder:     {"quantifier {%s,%s} has its bounds in the wrong order", "в квантификаторе {%s,%s} наименьшее больше наибольшего"},
	CodeUnclosedGroup:     {"parenthesis is not closed", "скобка не закрыта"},
	CodeUnopenedGroup:     {"closing parenthesis without an opening one", "закрывающая скобка без открывающей"},
	CodeGroupExtension:    {"groups of the form (?...) do not exist in XML Schema", "групп вида (?...) в XML Schema нет"},
	CodeUnclosedClass:     {"character class is not closed", "класс символов не закрыт"},
	CodeEmptyClass:        {"empty character class", "пустой класс символов"},
	CodeClassChar:         {"character %s must be escaped in a character class", "в классе символов перед %s нужна обратная косая черта"},
	CodeHyphen:            {"hyphen in the middle of a character class must be escaped", "перед дефисом в середине класса символов нужна обратная косая черта"},
	CodeRangeOrder:        {"range %s-%s has its ends in the wrong order", "границы диапазона %s-%s стоят в обратном порядке"},
	CodeRangeEnd:          {"a range cannot end or begin with the class %s", "диапазон не может начинаться или кончаться классом %s"},
	CodeSubtraction:       {"a subtraction must be the end of its character class", "вычитание должно стоять в конце класса символов"},
	CodeEscape:            {"unknown escape %s", "неизвестная последовательность %s"},
	CodeTrailingBackslash: {"backslash at the end", "обратная косая черта в конце"},
	CodeProperty:          {"malformed property; \\p{Name} expected", "неправильное свойство: нужно \\p{Имя}"},
	CodeUnknownCategory:   {"unknown category %s", "неизвестная категория %s"},
	CodeUnknownBlock:      {"unknown block %s", "неизвестный блок %s"},
	CodeMetacharacter:     {"character %s must be escaped", "перед %s нужна обратная косая черта"},
}

// SyntaxError is an expression that is not one of Appendix F.
type SyntaxError struct {
	Code    Code
	Pattern string
	Offset  int      // byte offset in Pattern of the offending part
	Args    []string // see the codes
}

// Error returns an English sentence with the expression.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("pattern %q, byte %d: %s", e.Pattern, e.Offset, e.English())
}

// English says what is wrong, without the expression and the place.
func (e *SyntaxError) English() string { return e.text(0) }

// Russian says what is wrong, without the expression and the place.
func (e *SyntaxError) Russian() string { return e.text(1) }

func (e *SyntaxError) text(language int) string {
	args := make([]any, len(e.Args))
	for i, a := range e.Args {
		args[i] = a
	}
	return fmt.Sprintf(codeText[e.Code][language], args...)
}

// BudgetError is an expression that is too long, too deep or too big for the
// limits it was compiled with.
type BudgetError struct {
	Pattern string // capped at 100 bytes
	Limit   string // name of the field of Limits
	Max     int    // its value
}

// Error returns an English sentence with the expression.
func (e *BudgetError) Error() string { return fmt.Sprintf("pattern %q: %s", e.Pattern, e.English()) }

// English says what is exceeded, without the expression.
func (e *BudgetError) English() string {
	return fmt.Sprintf("exceeds the limit %s = %d", e.Limit, e.Max)
}

// Russian says what is exceeded, without the expression.
func (e *BudgetError) Russian() string {
	return fmt.Sprintf("превышен предел %s = %d", e.Limit, e.Max)
}

func overBudget(pattern, limit string, max int) *BudgetError {
	if len(pattern) > 100 {
		pattern = pattern[:100]
	}
	return &BudgetError{Pattern: pattern, Limit: limit, Max: max}
}
