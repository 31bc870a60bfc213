//go:build race

package xsdregex

// raceDetector: sync.Pool forgets on purpose under it, so pooled scratch space
// is allocated anew.
const raceDetector = true
