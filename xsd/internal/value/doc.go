// Package value is the value layer of the schema engine: simple types of XML
// Schema 1.0 Part 2 (Second Edition), compiled once and shared for ever.
//
// It knows the 44 built-in types (19 primitives, 25 derived), restriction by
// facets, lists and unions, the value spaces behind the lexical forms, their
// (partial) order and their equality. It knows nothing of elements,
// attributes, schema documents or positions: the engine in package xsd reads
// those and comes here with a lexical form in its hand. Only package xsd
// enters.
//
// A [Type] is immutable and safe for concurrent use. Whoever validates brings
// a [Context], which belongs to one goroutine at a time and holds the scratch
// space and the namespaces in scope. Validating a valid value allocates
// nothing once the context's buffers have grown.
//
// # Two kinds of refusal
//
// A value that a type refuses is a [Failure]: it names the rule of the
// standard (cvc-...), the type and facet that refused, and what they wanted.
// A derivation that the standard forbids is a list of [FacetError]s, or a
// [TypeError]: schema-side rules (minLength-valid-restriction,
// cos-applicable-facets, ...). Both carry codes and arguments; sentences are
// made by whoever knows the reader's language.
//
// # Limits of this implementation
//
// The standard lets a processor limit some value spaces. Decimals are
// unlimited. Years of dateTime, date, gYearMonth and gYear have at most 15
// significant digits, the numbers in a duration as well (before its decimal
// point). Fractional seconds are unlimited. Values beyond are refused with
// [ReasonNumberTooLarge], never silently mangled.
package value
