// Package xmltape is the gate through which all received XML enters: bytes in,
// a flat token tape out. It is the only parser of received XML in the gateway;
// signatures, schemas and envelopes all read the same tape, so that what was
// verified is what is used.
//
// Accepted is XML 1.0 (Fifth Edition) with Namespaces in XML 1.0 (Third
// Edition) in UTF-8, standalone of any DTD: a DOCTYPE, an encoding other than
// UTF-8 and a version other than 1.0 are refused, as is everything that is not
// well-formed or not namespace-well-formed. All limits are checked in constant
// time per token, without recursion; a refusal is an *Error with a stable code
// and the offset in the input.
//
// A Tape is reused: Parse forgets the document before and allocates nothing
// once its tables have grown to the size of the traffic. It keeps a reference
// to the parsed bytes, which must not change while the tape is in use. A parsed
// tape may be read by several goroutines at once.
package xmltape
