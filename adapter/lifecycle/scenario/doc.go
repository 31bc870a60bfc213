// Package scenario says what an emulator answers: the scenarios of a service's version
// as files (services/<name>/<version>/scenarios/*.yaml), conditions over a request and
// what is sent when they hold.
//
// It is pure. A request, the scenarios and what they remember of earlier requests give
// a Plan: every message to be sent, finished, with its moment. No clock is asked, no
// file is read while playing, nothing is sent; what looks made up (ids, digits) follows
// from the request, so that the same request gives the same plan. An answer that the
// schema would refuse is never in a plan: it is an error that says why.
//
// Whoever emulates, checks or describes a service may enter: the emulator beside it,
// lint, tests of services, passports. It knows no gateway. Files are read as strictly as
// the registry's, and mistakes in them are findings with line and column.
package scenario
