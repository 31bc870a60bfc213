// Package xsd is the schema engine: XML Schema 1.0 (Second Edition), compiled
// once and shared for ever. Whoever has a tape of envelopes/xmltape may enter;
// of envelopes, signatures and the gateway it knows nothing.
//
// [Compile] reads schema documents from a closed bundle (a folder, an embed.FS,
// a zip): nothing outside it is ever opened, and locations in instances are
// ignored. A schema that breaks a rule of the standard, or would cost more than
// its budget, is refused with all findings at once. The [Schema] is immutable;
// each goroutine takes a [Validator] from it and reuses it.
//
// [Validator.Validate] checks an element of a tape in place, as if it were a
// document of its own. Content models are deterministic automata, large
// maxOccurs are counters, patterns are byte automata; nothing recurses on the
// depth of a document, nothing backtracks, and a valid document costs no
// allocation once the validator has grown to the size of the traffic. Line,
// column and path are computed only when there is a violation.
//
// Trust: a schema document may come from a department that wants to harm (its
// cost is bounded by [Limits]); an instance document comes from anybody. Values
// of the document are shortened and escaped in everything this package says.
package xsd
