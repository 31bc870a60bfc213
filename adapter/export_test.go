package adapter

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// CallerOf is the caller of a request that a neighbour has passed on.
func CallerOf(c Config, neighbour string, h http.Header) (netip.Addr, bool) {
	p, err := c.proxies()
	if err != nil {
		panic(err)
	}
	return p.caller(&http.Request{RemoteAddr: neighbour, Header: h})
}

// NewID is an id of a message that is accepted now.
func NewID(now time.Time) uuid.UUID { return newID(now) }

// Later lets time pass for what the calls hold.
func Later(m *Memory, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now
	m.now = func() time.Time { return now().Add(d) }
}

// Fill takes the places of the large calls of strangers, and lets who comes then wait
// until they are given back.
func Fill(m *Memory) (empty func()) {
	m.patience = time.Hour
	for range cap(m.heavy) {
		m.heavy <- struct{}{}
	}
	return func() {
		for range cap(m.heavy) {
			<-m.heavy
		}
	}
}

// KeptOfStrangers are the bytes that are kept in one minute of refused calls of size
// bytes each, which come from every name.
func KeptOfStrangers(c LimitsConfig, now func() time.Time, names []string, calls, size int) (kept, fewest int) {
	s := newStrangers(c, now)
	fewest = size
	for range calls {
		for _, name := range names {
			if most, keep := s.count("malformed", name); keep {
				n := min(most, size)
				s.took(n)
				kept, fewest = kept+n, min(fewest, n)
			}
		}
	}
	return kept, fewest
}

// GCPercent is how much a heap may grow between collections.
// GCPercent is what the collector is told of a heap.
func (m *Memory) GCPercent(live int64, busy bool) int { return m.gcPercent(live, busy) }

var TermsPause = termsPause
