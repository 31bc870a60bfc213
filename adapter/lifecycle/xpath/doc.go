// Package xpath is XPath 1.0 over a message's content, as far as those need it who
// write scenarios: location paths down, up and anywhere (child, //, ., .., @, text())
// with predicates, comparisons, arithmetic, the core functions, and the caller's own.
// Where contentpath points at one place by a walk whose cost is known, this answers
// questions.
//
// It differs from the recommendation in what would only be a trap here. A name
// without a prefix matches in any namespace, as in all paths of a service's
// description. Numbers are decimals and exact, so that sums of money are. Two values
// that are dates (2026-11-20) or moments (2026-11-20T10:15:30+03:00) are compared as
// such by <, <=, > and >=, where XPath 1.0 knows numbers only.
//
// Whoever has questions about content may enter. Nothing here keeps state: an Expr is
// safe for concurrent use, and an evaluation that would walk without end is an error.
package xpath
