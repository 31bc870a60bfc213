package registry

import (
	"mezhved/adapter/reports"
	"mezhved/adapter/yamlfile"
)

// Quality is what is promised of services: how many of their calls may be
// refused by the fault of the bus or of the provider at most, and how many of their
// answers come in time at least; numbers of percents. A service may say otherwise
// for its own.
type Quality struct {
	Faults string `yaml:"faults"` // default 1
	InTime string `yaml:"inTime"` // default 99
}

// Read gives the target, with what is left out from another one.
func (q Quality) Read(f *yamlfile.File, otherwise reports.Target) reports.Target {
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
			f.Errorf("quality."+one.name, "%v", err)
			continue
		}
		*one.share = s
	}
	return t
}

// Target is what is promised of services that say nothing else.
func (q Quality) Target() reports.Target {
	return q.Read(&yamlfile.File{}, reports.DefaultTarget) // checked when it was read
}

// Targets are what is promised of services that say it themselves, by name. Of several
// versions the last that says something holds for all.
func (c *Catalog) Targets(otherwise reports.Target) map[string]reports.Target {
	out := map[string]reports.Target{}
	for _, s := range c.services {
		if s.Quality != (Quality{}) {
			out[s.Name] = s.Quality.Read(&yamlfile.File{}, otherwise)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
