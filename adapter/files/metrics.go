package files

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
)

// metrics is what the file store counts. Labels come from closed sets.
type metrics struct {
	files, bytes     prometheus.Gauge
	brought, fetched prometheus.Counter
	refused          *prometheus.CounterVec
	swept, orphans   prometheus.Counter
	connections      prometheus.Gauge
	certificates     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Subsystem: "files", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mezhved", Subsystem: "files", Name: name, Help: help})
	}
	m := &metrics{
		files:       gauge("stored", "Files in the file store."),
		bytes:       gauge("stored_bytes", "Bytes of the files in the file store."),
		brought:     counter("brought_bytes_total", "Bytes of files that senders have brought."),
		fetched:     counter("fetched_bytes_total", "Bytes of files that recipients have fetched."),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Subsystem: "files", Name: "refused_total", Help: "What the file store refused, by reason: file, waiting, total (limits), name, taken, login, connections."}, []string{"reason"}),
		swept:       counter("swept_total", "Files that were removed: their messages were taken, or no message referred to them."),
		orphans:     counter("orphans_total", "Bytes of no file that were removed from the disk: a crash or a broken upload had left them."),
		connections: gauge("connections", "Connections to the FTP door."),
		certificates: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Subsystem: "files", Name: "tls_reads_total",
			Help: "Readings of the FTP door's certificate by outcome; after a failed one the old stays in use."}, []string{"outcome"}),
	}
	for _, reason := range []string{"file", "waiting", "total", "name", "taken", "login", "connections"} {
		m.refused.WithLabelValues(reason) // at 0: what begins at 1 has not increased, as Prometheus sees it
	}
	if r != nil {
		r.MustRegister(m.files, m.bytes, m.brought, m.fetched, m.refused, m.swept, m.orphans, m.connections, m.certificates)
	}
	return m
}

// refuse counts a refusal that is the caller's doing.
func (m *metrics) refuse(err error) {
	var limit *LimitError
	var name *NameError
	switch {
	case errors.As(err, &limit):
		m.refused.WithLabelValues(limit.Limit).Inc()
	case errors.As(err, &name):
		m.refused.WithLabelValues("name").Inc()
	case errors.Is(err, adapter.ErrFileTaken):
		m.refused.WithLabelValues("taken").Inc()
	}
}
