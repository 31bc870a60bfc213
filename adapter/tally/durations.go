// Package tally is the room of what the gateway counts for each call: how long stages take,
// and counters with labels. What Prometheus reads is what it would read of its own client's
// metrics. But there a histogram's native buckets are found in a map that many may change,
// and all that is counted is counted by atomic operations: one call's observations were a
// sixtieth of what the gateway does for it. Here it is one lock that nobody waits for and
// three additions; a test holds what is read of both against one another. And a counter is
// found by what it counts, not by labels that are looked up one by one.
//
// Who may enter: anybody who counts.
package tally

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Bounds are the bounds of the classic buckets, in seconds.
var Bounds = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}

// exampled is how often a bucket gets another example: who scrapes sees the last alone.
const exampled = 5 * time.Second

// Native buckets: eight in each doubling (schema 3, a factor of 2^(1/8)) from nanoseconds to
// hours. Where more than mostBuckets are in use two and two are told as one, as Prometheus's
// own histogram does it.
const (
	schema      = 3
	perDoubling = 1 << schema
	lowest      = -30 * perDoubling
	highest     = 14 * perDoubling
	mostBuckets = 100
)

// fractions are the upper bounds of the native buckets of one doubling, from 0.5 to 1.
var fractions = [perDoubling]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048, 0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// Moment is a time by the machine's monotonic counter, for which the system is asked once
// and not twice.
type Moment time.Duration

// Now is this moment.
func Now() Moment { return Moment(time.Since(started)) }

var started = time.Now()

// Durations are histograms of how long something takes: a prometheus.Collector.
type Durations struct {
	desc *prometheus.Desc
	made time.Time
	of   found[string, *Histogram] // by value of the label
}

// NewDurations makes the metric of a name, told apart by one label.
func NewDurations(name, help, label string) *Durations {
	return &Durations{desc: prometheus.NewDesc(name, help, []string{label}, nil), made: time.Now()}
}

// Of is the histogram of one value of the label, the same one each time.
func (d *Durations) Of(value string) *Histogram {
	return d.of.find(value, func(string) *Histogram { return new(Histogram) })
}

// Describe is prometheus.Collector's.
func (d *Durations) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect is prometheus.Collector's. A histogram that nobody has got does not appear.
func (d *Durations) Collect(to chan<- prometheus.Metric) {
	for value, h := range d.of.all() {
		to <- h.metric(d.desc, d.made, value)
	}
}

// Histogram counts durations.
type Histogram struct {
	mu       sync.Mutex
	sum      time.Duration
	zero     uint64 // that took nothing
	classic  [len(Bounds) + 1]uint64
	native   [highest - lowest + 1]uint64
	examples [len(Bounds) + 1]example
}

// example is an observation by whose trace others are understood.
type example struct {
	took  float64
	trace string
	at    Moment
}

// Since counts what has taken from a moment until now. Of a bucket that has had no example
// for a while it becomes the example: trace, where it is not empty, leads to the log, the
// desk and the collector of traces.
func (h *Histogram) Since(began Moment, trace string) {
	now := Now()
	h.observe(time.Duration(now-began), trace, now)
}

func (h *Histogram) observe(took time.Duration, trace string, now Moment) {
	seconds := took.Seconds()
	in := 0
	for in < len(Bounds) && seconds > Bounds[in] {
		in++
	}
	key := keyOf(seconds)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sum += took
	h.classic[in]++
	if seconds <= 0 {
		h.zero++
	} else {
		h.native[key-lowest]++
	}
	if e := &h.examples[in]; trace != "" && (e.trace == "" || time.Duration(now-e.at) >= exampled) {
		*e = example{seconds, trace, now}
	}
}

// keyOf is the native bucket of so many seconds.
func keyOf(seconds float64) int {
	if seconds <= 0 {
		return lowest
	}
	fraction, doublings := math.Frexp(seconds)
	i := 0
	for i < perDoubling && fraction > fractions[i] {
		i++
	}
	return min(max((doublings-1)*perDoubling+i, lowest), highest)
}

// metric is what is told of the histogram now.
func (h *Histogram) metric(desc *prometheus.Desc, made time.Time, value string) prometheus.Metric {
	h.mu.Lock()
	sum, zero, classic, native, examples := h.sum.Seconds(), h.zero, h.classic, h.native, h.examples
	h.mu.Unlock()

	var count uint64
	upTo, spread := map[float64]uint64{}, map[int]int64{}
	var shown []prometheus.Exemplar
	for i, n := range classic {
		if count += n; i < len(Bounds) {
			upTo[Bounds[i]] = count
		}
		if e := examples[i]; e.trace != "" {
			shown = append(shown, prometheus.Exemplar{Value: e.took, Labels: prometheus.Labels{"trace_id": e.trace}, Timestamp: started.Add(time.Duration(e.at))})
		}
	}
	for i, n := range native {
		if n > 0 {
			spread[i+lowest] = int64(n)
		}
	}
	at := int32(schema)
	for ; len(spread) > mostBuckets; at-- {
		wider := map[int]int64{}
		for key, n := range spread {
			if key > 0 {
				key++ // a bucket has its upper bound
			}
			wider[key/2] += n
		}
		spread = wider
	}
	m := prometheus.Metric(both{
		prometheus.MustNewConstHistogramWithCreatedTimestamp(desc, count, sum, upTo, made, value),
		prometheus.MustNewConstNativeHistogram(desc, count, sum, spread, nil, zero, at, prometheus.DefNativeHistogramZeroThreshold, made, value),
	})
	if len(shown) > 0 {
		m = prometheus.MustNewMetricWithExemplars(m, shown...)
	}
	return m
}

// both is a histogram as those who read classic buckets and those who read native ones
// are told of it.
type both struct{ classic, native prometheus.Metric }

func (b both) Desc() *prometheus.Desc { return b.native.Desc() }

func (b both) Write(to *dto.Metric) error {
	var classic dto.Metric
	if err := b.classic.Write(&classic); err != nil {
		return err
	}
	if err := b.native.Write(to); err != nil {
		return err
	}
	to.Histogram.Bucket = classic.Histogram.Bucket
	return nil
}
