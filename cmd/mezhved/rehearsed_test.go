package main

import (
	"os"
	"testing"
)

// rehearsed is for what takes minutes of two processors: a disaster, a fail-over, an
// upgrade, each with real programs under load. make rehearse runs them, and so does CI.
func rehearsed(t *testing.T) {
	t.Helper()
	if os.Getenv("MEZHVED_REHEARSE") == "" {
		t.Skip("make rehearse runs this")
	}
}
