package tally

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// What Prometheus reads of a metric is what it would read of its own histogram that has seen
// the same: classic and native buckets, their counts, schema and thresholds, and examples.
func TestAsPrometheusHasIt(t *testing.T) {
	t.Parallel()
	for name, durations := range map[string]func(i int) time.Duration{
		"nothing yet": nil,
		"usual": func(int) time.Duration {
			return time.Duration(math.Exp(rand.NormFloat64()) * float64(300*time.Microsecond))
		},
		"any": func(int) time.Duration { return time.Duration(math.Exp(rand.Float64() * 30)) },
		"bounds": func(i int) time.Duration {
			return time.Duration(Bounds[i%len(Bounds)]*float64(time.Second)) + time.Duration(i%3-1)
		},
		"doublings": func(i int) time.Duration { return time.Second << (i % 5) },
		"none":      func(i int) time.Duration { return 0 },
	} {
		theirs := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "took_seconds", Help: "Time.", Buckets: Bounds[:], NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: mostBuckets,
		}, []string{"stage"})
		ours := NewDurations("took_seconds", "Time.", "stage")
		h, o := ours.Of("parse"), theirs.WithLabelValues("parse")
		for i := range 5000 {
			if durations == nil {
				break
			}
			took := durations(i)
			h.observe(took, "", 0)
			o.Observe(took.Seconds())
		}
		got, want := read(t, ours), read(t, theirs)
		if off := got.Histogram.GetSampleSum() - want.Histogram.GetSampleSum(); math.Abs(off) > 1e-9*want.Histogram.GetSampleSum() {
			t.Errorf("%s: sum %v, want %v", name, got.Histogram.GetSampleSum(), want.Histogram.GetSampleSum())
		}
		for _, m := range []*dto.Metric{got, want} {
			m.Histogram.SampleSum, m.Histogram.CreatedTimestamp = nil, nil
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s: is read as\n%v\nwant\n%v", name, got, want)
		}
	}
}

// A bucket has the example that came first, until it has been there for a while.
func TestExamples(t *testing.T) {
	t.Parallel()
	v := NewDurations("took_seconds", "Time.", "stage")
	h := v.Of("parse")
	began := Now()
	h.observe(2*time.Millisecond, "first", began)
	h.observe(2*time.Millisecond, "second", began+1)
	h.observe(time.Minute, "long", began)
	h.observe(3*time.Millisecond, "", began)
	examples := func() map[float64]string {
		out := map[float64]string{}
		for _, b := range read(t, v).Histogram.Bucket {
			if e := b.Exemplar; e != nil {
				out[b.GetUpperBound()] = e.Label[0].GetName() + "=" + e.Label[0].GetValue()
			}
		}
		return out
	}
	got := examples()
	if len(got) != 2 || got[.0025] != "trace_id=first" || got[math.Inf(1)] != "trace_id=long" {
		t.Errorf("examples %v, want the first of each bucket", got)
	}
	h.observe(2*time.Millisecond, "third", began+Moment(exampled))
	if got = examples(); got[.0025] != "trace_id=third" {
		t.Errorf("examples %v after a while, want the next one", got)
	}
	if n := len(read(t, v).Histogram.Exemplars); n != 2 {
		t.Errorf("%d examples beside the native buckets, want 2", n)
	}
}

// A counter that is found is the one of its labels.
func TestCounters(t *testing.T) {
	t.Parallel()
	c := NewCounters(prometheus.CounterOpts{Name: "calls_total", Help: "Calls."}, "operation", "outcome")
	for range 3 {
		c.WithLabelValues("Ack", "ok").Inc()
	}
	c.WithLabelValues("ok", "Ack").Inc()
	c.CounterVec.WithLabelValues("Ack", "ok").Inc()
	for labels, want := range map[[2]string]float64{{"Ack", "ok"}: 4, {"ok", "Ack"}: 1} {
		var got dto.Metric
		if err := c.CounterVec.WithLabelValues(labels[:]...).Write(&got); err != nil || got.Counter.GetValue() != want {
			t.Errorf("%v: %v, %v, want %v", labels, got.Counter.GetValue(), err, want)
		}
	}
}

// read is what is read of the one histogram of a metric.
func read(t *testing.T, c prometheus.Collector) *dto.Metric {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || len(families[0].Metric) != 1 {
		t.Fatalf("%v, want one histogram", families)
	}
	return families[0].Metric[0]
}

func BenchmarkObserve(b *testing.B) {
	theirs := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "took_seconds", Help: "Time.", Buckets: Bounds[:], NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: mostBuckets,
	}, []string{"stage"}).WithLabelValues("parse")
	ours := NewDurations("took_seconds", "Time.", "stage").Of("parse")
	for name, observe := range map[string]func(time.Duration){
		"theirs": func(took time.Duration) { theirs.Observe(took.Seconds()) },
		"ours":   func(took time.Duration) { ours.observe(took, "trace", Moment(took)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				observe(time.Duration(50_000 + i%1000*997))
			}
		})
	}
}
