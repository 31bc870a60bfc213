package adapter

import (
	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
)

// promises publishes what is promised of each service, for the alerts that watch
// whether it is kept, and begins their counters: what begins at 1 has not increased, as
// Prometheus sees it.
func (m *metrics) promises(c *registry.Catalog, otherwise reports.Target) {
	m.target.Reset()
	own := c.Targets(otherwise)
	for _, s := range c.Services() {
		t, ok := own[s.Name]
		if !ok {
			t = otherwise
		}
		m.target.WithLabelValues(s.Name, "faults").Set(float64(t.Faults) / 10000)
		m.target.WithLabelValues(s.Name, "late").Set(1 - float64(t.InTime)/10000)
		for _, fault := range []string{faultNone, string(reports.OfSender), string(reports.OfProvider), string(reports.OfBus), string(reports.OfAuthority)} {
			m.served.WithLabelValues(s.Name, fault)
		}
		m.replied.WithLabelValues(s.Name)
		m.overdueOf.WithLabelValues(s.Name)
	}
}

// faultNone is whose fault it is that a call was carried out.
const faultNone = "none"

// countQuality counts a call of a service, when it is one, by whose fault it is that it
// was not carried out. Only a service of the catalog has a name here.
func (g *Gateway) countQuality(c *call) {
	operation := c.operation().String()
	if operation != "SendRequest" && operation != "SendResponse" || c.event.Service == "" || c.event.Test {
		return
	}
	switch {
	case c.refused != "":
		g.metrics.served.WithLabelValues(c.event.Service, string(table[c.refused].whose.Of(operation))).Inc()
	case c.outcome == "ok":
		g.metrics.served.WithLabelValues(c.event.Service, faultNone).Inc()
		if c.final {
			g.metrics.replied.WithLabelValues(c.event.Service).Inc()
		}
	}
}

// answerOverdue says whether an event tells that a request was not answered in time.
func answerOverdue(t *OpenTerm, kind journal.Kind) bool {
	return kind == journal.KindOverdue && t.Stage == terms.StageAnswered && t.Direction == DirRequest
}
