// Package adapter is the gateway itself: one flat package, one file per step
// of an envelope's way from the door to the journal.
package adapter
