package adapter

import (
	"mezhved/adapter/journal"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
)

// QualityConfig is what is promised of services: how many of their calls may be
// refused by the fault of the bus or of the provider at most, and how many of their
// answers come in time at least; numbers of percents. A service may say otherwise
// for its own.
type QualityConfig struct {
	Faults string `yaml:"faults"` // default 1
	InTime string `yaml:"inTime"` // default 99
}

// read gives the target, with what is left out from another one.
func (q QualityConfig) read(f *yamlFile, otherwise reports.Target) reports.Target {
	t := otherwise
	for _, one := range []struct {
		name, text string
		share      *reports.Share
	}{{"faults", q.Faults, &t.Faults}, {"inTime", q.InTime, &t.InTime}} {
		if one.text == "" {
			continue
		}
		s, err := reports.ParseShare(one.text)
		if err != nil {
			f.errorf("quality."+one.name, "%v", err)
			continue
		}
		*one.share = s
	}
	return t
}

// Target is what is promised of services that say nothing else.
func (q QualityConfig) Target() reports.Target {
	return q.read(&yamlFile{}, reports.DefaultTarget) // checked when it was read
}

// Targets are what is promised of services that say it themselves, by name. Of several
// versions the last that says something holds for all.
func (c *Catalog) Targets(otherwise reports.Target) map[string]reports.Target {
	out := map[string]reports.Target{}
	for _, s := range c.services {
		if s.Quality != (QualityConfig{}) {
			out[s.Name] = s.Quality.read(&yamlFile{}, otherwise)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// promises publishes what is promised of each service, for the alerts that watch
// whether it is kept, and begins their counters: what begins at 1 has not increased, as
// Prometheus sees it.
func (m *metrics) promises(c *Catalog, otherwise reports.Target) {
	m.target.Reset()
	own := c.Targets(otherwise)
	for _, s := range c.services {
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
