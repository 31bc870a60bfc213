// Package emulator plays the scenarios of services as their provider, against any
// SMEV 3 address: it polls, chooses, and sends what package scenario has planned, signed
// with the provider's own key. Whoever runs a provider that is none may enter: the
// sandbox, a gateway whose party says emulator: true, the command line, tests.
//
// What it has taken on is in its folder before it acknowledges a request, one file a
// request, so a crash loses nothing: a request that was not acknowledged comes again and
// is known by its file, and a message whose sending was cut off goes out again under the
// MessageID that was written down before, which the bus knows. What was counted is
// written before the file, and a request that comes again is not counted again. Two
// emulators of one provider may share its queue, each with a folder of its own.
package emulator
