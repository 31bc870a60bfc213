package main

import (
	"testing"
	"time"

	"mezhved/adapter/registry"
)

// The demonstration's services have test protocols over what stands in their folders,
// signed by the operator and by those who provide them.
func TestDemoServicesHaveProtocolsThatHold(t *testing.T) {
	catalog, found := registry.Lint("../../testdata/services", "../../testdata/parties", time.Now(), registry.Gate{Operator: "OPERATOR", Signers: []string{"operator", "provider"}})
	for _, f := range found {
		if f.Gate || !f.Warning {
			t.Errorf("%v\nmake protocols makes them again", f)
		}
	}
	for _, s := range catalog.Services() {
		kinds := map[string]int{}
		if s.Protocol.Document != nil {
			for _, c := range s.Protocol.Document.Cases {
				kinds[string(c.Kind)]++
			}
		}
		if kinds["sample"] == 0 || kinds["negative"] < 2 || !s.Broadcast && kinds["scenario"] == 0 || s.Stage != registry.StagePublished {
			t.Errorf("%s %s at the stage %s was tried with %v", s.Name, s.Version, s.Stage, kinds)
		}
	}
}
