package impact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/registry"
)

// Tally is what was found of one draft, sender and direction since it was written last.
type Tally struct {
	Service, Version string // of the draft
	Sender           registry.Mnemonic
	Direction        adapter.Direction
	Seen             int64 // messages that were held against both
	Differ           int64 // of these, taken by one and not by the other
	At               time.Time
}

// Seen is a difference: a rule by which the draft refuses what is taken now or, with
// Looser, by which the version in force refuses what the draft would take.
type Seen struct {
	Service, Version string
	Sender           registry.Mnemonic
	Direction        adapter.Direction
	Looser           bool
	Rule, Path       string
	Messages         int64
	First, Last      time.Time
	Example          string // MessageID of the latest
	Line, Col        int
}

// Shadows keep what was found. package postgres implements it.
type Shadows interface {
	// AddShadow adds what was found, and forgets drafts that are not named.
	AddShadow(ctx context.Context, drafts []Draft, tallies []Tally, seen []Seen) error

	// ShadowTallies and ShadowSeen give what is known, all that differs first.
	ShadowTallies(ctx context.Context) ([]Tally, error)
	ShadowSeen(ctx context.Context, limit int) ([]Seen, error)
}

// Draft names a version.
type Draft struct{ Service, Version string }

// Bounds of what waits to be held against drafts.
const (
	MostWaiting = 256
	MostBytes   = 16 << 20
	mostSeen    = 500 // differences that are told apart between two writings
)

const (
	shadowEvery = 5 * time.Second
	lastFlush   = 5 * time.Second
)

// Of the time of one processor drafts have one part in share at most: under load more is
// dropped, and what is measured is a sample. After each message the loop rests as long as
// the others' parts are, in pieces of at least leastRest.
const (
	share     = 8
	leastRest = 2 * time.Millisecond
)

// Shadow holds what comes in against drafts.
type Shadow struct {
	store   Shadows
	catalog func() *registry.Catalog
	log     *slog.Logger

	work    chan shadowed
	waiting atomic.Int64 // bytes

	mu      sync.Mutex
	tallies map[tallyKey]*Tally
	seen    map[seenKey]*Seen

	pause func(ctx context.Context, d time.Duration)
	busy  time.Duration // how long messages were held against drafts, all in all

	held    *prometheus.CounterVec
	dropped prometheus.Counter
}

type tallyKey struct {
	Draft
	sender    registry.Mnemonic
	direction adapter.Direction
}

type seenKey struct {
	tallyKey
	looser     bool
	rule, path string
}

// shadowed is a message that waits to be held against drafts.
type shadowed struct {
	adapter.Shadowed
	drafts []*registry.Service
}

// NewShadow makes a Shadow. Its Offer is what the gateway is given, its Run is a loop.
func NewShadow(store Shadows, catalog func() *registry.Catalog, log *slog.Logger, metrics *prometheus.Registry) *Shadow {
	s := &Shadow{store: store, catalog: catalog, log: log, work: make(chan shadowed, MostWaiting), tallies: map[tallyKey]*Tally{}, seen: map[seenKey]*Seen{},
		held:    prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Name: "shadow_messages_total", Help: "Messages held against a draft beside the version in force: same, refused (by the draft alone), taken (by the draft alone)."}, []string{"service", "version", "outcome"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mezhved", Name: "shadow_dropped_total", Help: "Messages that were not held against a draft, because too many waited."}),
	}
	s.pause = func(ctx context.Context, d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	metrics.MustRegister(s.held, s.dropped)
	return s
}

// Offer takes a message to be held against the drafts of its service, if there is one
// and room. It copies what it takes and waits for nothing.
func (s *Shadow) Offer(c *registry.Catalog, m adapter.Shadowed) {
	drafts := c.Shadows(m.Service.Name)
	if len(drafts) == 0 {
		return
	}
	size := int64(len(m.Body))
	if len(s.work) == cap(s.work) { // before anything is copied
		s.dropped.Inc()
		return
	}
	if s.waiting.Add(size) > MostBytes {
		s.waiting.Add(-size)
		s.dropped.Inc()
		return
	}
	m.Body = slices.Clone(m.Body)
	select {
	case s.work <- shadowed{m, drafts}:
	default:
		s.waiting.Add(-size)
		s.dropped.Inc()
	}
}

// Run holds messages against drafts until ctx ends, and writes what it finds.
func (s *Shadow) Run(ctx context.Context) error {
	tick := time.NewTicker(shadowEvery)
	defer tick.Stop()
	rest := time.Duration(0)
	for {
		if rest >= leastRest {
			s.pause(ctx, min(rest, shadowEvery))
			rest = 0
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush) // a store that stands keeps no node from ending
			defer cancel()
			return s.Flush(last)
		case m := <-s.work:
			s.waiting.Add(-int64(len(m.Body)))
			began := time.Now()
			s.hold(&m)
			took := time.Since(began)
			s.busy += took
			rest += (share - 1) * took
		case <-tick.C:
			if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// hold holds one message against the drafts of its service.
func (s *Shadow) hold(m *shadowed) {
	for _, draft := range m.drafts {
		t := trial{to: draft}
		found, err := t.hold(m.Body, m.Data, m.Service)
		if errors.Is(err, errNoContent) {
			continue
		}
		if err != nil {
			s.log.Debug("a message was not held against a draft", "service", draft.Name, "version", draft.Version)
			continue
		}
		outcome := "same"
		switch {
		case m.Refused == "" && len(found) > 0:
			outcome = "refused"
		case m.Refused != "" && len(found) == 0:
			outcome = "taken"
			found = []Difference{{Rule: m.Refused, Line: m.Line, Col: m.Col}}
		}
		s.held.WithLabelValues(draft.Name, draft.Version, outcome).Inc()
		s.add(m, draft, outcome, found)
	}
}

func (s *Shadow) add(m *shadowed, draft *registry.Service, outcome string, found []Difference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := tallyKey{Draft{draft.Name, draft.Version}, m.Sender, m.Direction}
	t := s.tallies[k]
	if t == nil {
		t = &Tally{Service: draft.Name, Version: draft.Version, Sender: m.Sender, Direction: m.Direction}
		s.tallies[k] = t
	}
	t.Seen++
	t.At = m.At
	if outcome == "same" {
		return
	}
	t.Differ++
	counted := map[seenKey]bool{}
	for _, d := range found {
		sk := seenKey{k, outcome == "taken", d.Rule, d.Path}
		if counted[sk] {
			continue
		}
		counted[sk] = true
		one := s.seen[sk]
		if one == nil {
			if len(s.seen) >= mostSeen {
				continue
			}
			one = &Seen{Service: draft.Name, Version: draft.Version, Sender: m.Sender, Direction: m.Direction, Looser: sk.looser, Rule: d.Rule, Path: d.Path, First: m.At}
			s.seen[sk] = one
		}
		one.Messages++
		one.Last, one.Example, one.Line, one.Col = m.At, string(m.MessageID), d.Line, d.Col
	}
}

// Flush writes what was found.
func (s *Shadow) Flush(ctx context.Context) error {
	s.mu.Lock()
	tallies, seen := make([]Tally, 0, len(s.tallies)), make([]Seen, 0, len(s.seen))
	for _, t := range s.tallies {
		tallies = append(tallies, *t)
	}
	for _, one := range s.seen {
		seen = append(seen, *one)
	}
	clear(s.tallies)
	clear(s.seen)
	s.mu.Unlock()
	var drafts []Draft
	for _, v := range s.catalog().Services() {
		if v.Shadow {
			drafts = append(drafts, Draft{v.Name, v.Version})
		}
	}
	if err := s.store.AddShadow(ctx, drafts, tallies, seen); err != nil {
		return fmt.Errorf("keeping what drafts would do: %w", err)
	}
	return nil
}
