package tally

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Counters is a prometheus.CounterVec of at most three labels, which looks labels up once
// for all that has them.
type Counters struct {
	*prometheus.CounterVec
	of found[[3]string, prometheus.Counter]
}

// NewCounters makes the metric. Each set of labels that was counted is remembered: there may
// only be so many.
func NewCounters(o prometheus.CounterOpts, labels ...string) *Counters {
	return &Counters{CounterVec: prometheus.NewCounterVec(o, labels)}
}

// WithLabelValues is the counter of these.
func (c *Counters) WithLabelValues(labels ...string) prometheus.Counter {
	var key [3]string
	n := copy(key[:], labels)
	return c.of.find(key, func(key [3]string) prometheus.Counter { return c.CounterVec.WithLabelValues(key[:n]...) })
}

// found is what was made for a key once.
type found[K comparable, V any] struct {
	mu sync.RWMutex
	of map[K]V
}

func (f *found[K, V]) find(k K, made func(K) V) V {
	f.mu.RLock()
	v, ok := f.of[k]
	f.mu.RUnlock()
	if ok {
		return v
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok = f.of[k]; ok {
		return v
	}
	if f.of == nil {
		f.of = map[K]V{}
	}
	v = made(k)
	f.of[k] = v
	return v
}

// all is what was made until now.
func (f *found[K, V]) all() map[K]V {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return maps.Clone(f.of)
}
