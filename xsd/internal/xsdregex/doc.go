// Package xsdregex compiles and matches the regular expressions of XML Schema
// 1.0 Part 2 (Second Edition), Appendix F, in linear time.
//
// The language is not Go's and not Perl's: an expression always matches the
// whole value, so ^ and $ are ordinary characters; "." excludes only line
// feed and carriage return; \d is every decimal digit of Unicode; \i and \c
// are XML name characters (XML 1.0 Second Edition, Appendix B); character
// classes can be subtracted, [a-z-[aeiou]]; \p{IsCyrillic} names a block and
// \p{Lu} a general category; counts may have any size.
//
// An expression is parsed into sets of code points, the code points are
// divided into classes that no set tells apart, and a deterministic automaton
// over these classes is built ahead of time. If that would exceed the limits,
// the expression is run as a nondeterministic automaton whose counted classes
// ([0-9]{1,100000}) are counters, not copies. Neither ever backtracks. An
// expression that fits neither is refused with a [BudgetError].
//
// Block names are those of XML Schema 1.0 (Unicode 3.1) and of Unicode 14.
// General categories are those of the Unicode version of Go's unicode package,
// so a character assigned after Unicode 3.1 is a letter here, where the letter
// of the standard calls it unassigned.
//
// Only the value layer of package xsd enters.
package xsdregex
