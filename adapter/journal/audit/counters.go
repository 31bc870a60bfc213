package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"mezhved/adapter/journal"
)

// counters are those of all parties of a log. Whoever wrote it may have closed a period after
// every entry, and each close has the digest of all of them: so what is hashed stands ready,
// and only the lines of those change whose counters did.
type counters struct {
	of      map[string]*party
	sorted  []*party // by name; behind them come, in any order, those that are new
	known   int      // of sorted that are in order
	changed bool     // since digest was made
	digest  string
}

// party is one with its counters and its line as journal.CountersDigest has it.
type party struct {
	journal.Counter
	name string
	line []byte // empty: to be written anew
}

func newCounters(of map[string]journal.Counter) counters {
	c := counters{of: map[string]*party{}, changed: true}
	for name, counter := range of {
		c.party([]byte(name)).Counter = counter
	}
	return c
}

// party gives a party whose counters are about to change. A counter without a party is a
// finding, not a party.
func (c *counters) party(name []byte) *party {
	p := c.of[string(name)]
	if p == nil {
		p = &party{name: string(name)}
		if len(name) > 0 {
			c.of[p.name], c.sorted = p, append(c.sorted, p)
		}
	}
	p.line, c.changed = p.line[:0], true
	return p
}

// sum is journal.CountersDigest of the counters.
func (c *counters) sum() string {
	if !c.changed {
		return c.digest
	}
	if c.known < len(c.sorted) {
		slices.SortFunc(c.sorted, func(a, b *party) int { return strings.Compare(a.name, b.name) })
		c.known = len(c.sorted)
	}
	h, some := sha256.New(), make([]byte, 0, 32<<10)
	for _, p := range c.sorted {
		if len(p.line) == 0 {
			p.line = append(append(p.line, p.name...), '\t')
			p.line = append(strconv.AppendInt(p.line, p.Sent, 10), '\t')
			p.line = append(strconv.AppendInt(p.line, p.Received, 10), '\n')
		}
		if len(some)+len(p.line) > cap(some) {
			h.Write(some)
			some = some[:0]
		}
		some = append(some, p.line...)
	}
	h.Write(some)
	c.digest, c.changed = hex.EncodeToString(h.Sum(nil)), false
	return c.digest
}
