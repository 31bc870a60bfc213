package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mezhved/adapter/journal"
)

// The digest of counters that is kept ready is that of journal.CountersDigest, whatever
// changes in between.
func TestCountersAreAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	want := map[string]journal.Counter{}
	c := newCounters(want)
	for step := range 2000 {
		name := fmt.Sprint("P", r.IntN(1+step))
		p := c.party([]byte(name))
		if p.Counter != want[name] {
			t.Fatalf("step %d: %s has %+v, want %+v", step, name, p.Counter, want[name])
		}
		if p.Sent++; r.IntN(2) == 0 {
			p.Received += r.Int64N(1000)
		}
		want[name] = p.Counter
		if r.IntN(3) == 0 && (c.sum() != journal.CountersDigest(want) || c.sum() != journal.CountersDigest(want) || len(c.sorted) != len(want)) {
			t.Fatalf("step %d: another digest of %d parties", step, len(want))
		}
		if r.IntN(100) == 0 {
			c = newCounters(want)
		}
	}
	if c.party(nil).Sent = 5; c.party(nil).Sent != 0 || c.sum() != journal.CountersDigest(want) {
		t.Error("a party without a name is kept")
	}
}
