package adapter

import (
	"runtime"
	"testing"
	"time"
	"weak"
)

// A call that waits for the rest of a body that it has refused gives back the memory that
// it held, and so must not keep its scratch: the body in it may be as large as bodies are.
func TestARecordDoesNotKeepItsScratch(t *testing.T) {
	s := newScratch()
	c := s.call
	c.scratch = s
	kept := weak.Make(s)
	c.scratch, s = nil, nil
	for end := time.Now().Add(time.Minute); kept.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("the record keeps the scratch that was taken out of it")
		}
	}
	runtime.KeepAlive(c)
}
