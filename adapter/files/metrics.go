package files

import (
	"errors"
	"math"
	"time"

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
	expires          prometheus.Gauge
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
	m.expires = gauge("tls_certificate_expires_seconds", "Unix time at which the certificate of the FTP door expires; 0: it has none.")
	for _, reason := range []string{"file", "waiting", "total", "name", "taken", "login", "connections"} {
		m.refused.WithLabelValues(reason) // at 0: what begins at 1 has not increased, as Prometheus sees it
	}
	if r != nil {
		r.MustRegister(m.files, m.bytes, m.brought, m.fetched, m.refused, m.swept, m.orphans, m.connections, m.certificates, m.expires)
	}
	return m
}

// countCertificate counts a reading of the FTP door's certificate.
func (m *metrics) countCertificate(outcome string, expires time.Time) {
	m.certificates.WithLabelValues(outcome).Inc()
	m.expires.Set(float64(expires.Unix()))
}

// MeasureFree publishes how much the disk of a folder that a setting names has left. It
// looks when it is asked; of a folder that is not there it tells nothing.
func MeasureFree(r prometheus.Registerer, setting, dir string) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "disk_free_bytes", Help: "What is free on the disk of a folder that a setting names and that is in no database: journal.state, journal.vault, journal.retention.dir, files.dir.",
		ConstLabels: prometheus.Labels{"setting": setting}}, func() float64 {
		free, err := Free(dir)
		if err != nil {
			return math.NaN()
		}
		return float64(free)
	}))
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
