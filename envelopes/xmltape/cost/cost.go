// Package cost is for tests that hold what something may cost. It tells processor
// time of the calling thread in units of the gate's own work on this machine at
// this moment, so that neither a slow machine nor a busy one nor the race detector
// changes a verdict. Nothing in production imports it.
package cost

import (
	"bytes"
	"runtime"
	"sync"
	"time"

	"mezhved/envelopes/xmltape"
)

// unit is what the gate takes for a megabyte of dense markup.
var unit = sync.OnceValue(func() time.Duration {
	doc := append(append([]byte("<r>"), bytes.Repeat([]byte(`<a b="1">c</a>`), 1<<20/14)...), "</r>"...)
	best := time.Hour
	for range 3 {
		best = min(best, Spent(func() {
			if err := new(xmltape.Tape).Parse(doc, xmltape.Widest); err != nil {
				panic(err)
			}
		}))
	}
	return best
})

// Of is the processor time that f takes, in units: 1 is a megabyte of dense markup
// through the gate. What f leaves to other goroutines is not counted.
func Of(f func()) float64 { return float64(Spent(f)) / float64(unit()) }

// Spent is the processor time that f takes on this thread.
func Spent(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := now()
	f()
	return max(now()-began, time.Microsecond)
}
