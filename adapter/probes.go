package adapter

import "path/filepath"

// CheckProbes says what keeps services of a catalog from being probed as their settings
// want it: whoever asks must be there, and be let in.
func (c Config) CheckProbes(catalog *Catalog) (found Findings) {
	party := Mnemonic(c.Probe.Party)
	if party != "" && catalog.Party(party) == nil {
		found = append(found, finding(c.Parties, "", "party %q, which probes (probe.party of the configuration), is not registered (parties/%s.yaml is missing)", party, party))
	}
	for _, s := range catalog.Services() {
		if s.Probe == nil || s.Probe.Full == 0 {
			continue
		}
		file := filepath.Join(c.Services, s.Name, s.Version, "service.yaml")
		switch {
		case party == "":
			found = append(found, finding(file, "probe.full", "nobody could ask: name a registered party and its key in the configuration (probe.party, probe.key), or let full be off"))
		case !s.Admits(party):
			found = append(found, finding(file, "probe.full", "%s probes (probe.party of the configuration) and may not call: put it among the callers, or let full be off", party))
		}
	}
	return found
}
