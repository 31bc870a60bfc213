package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mezhved/adapter/lifecycle/protocol"
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
		if s.Protocol == nil || s.Protocol.Document == nil {
			t.Errorf("%s %s has no protocol: make protocols", s.Name, s.Version)
			continue
		}
		dir := filepath.Join("../../testdata/services", s.Name, s.Version)
		page, err := os.ReadFile(filepath.Join(dir, "protocol", protocol.FileHTML))
		if held, wrong := protocol.AllSignatures(dir); err != nil || len(wrong) > 0 || !bytes.Equal(page, protocol.Page(s.Protocol.Document, s.Protocol.Digest, held)) {
			t.Errorf("%s %s: the page is not that of the protocol and its signatures (%v, %v): make protocols", s.Name, s.Version, err, wrong)
		}
		kinds := map[string]int{}
		for _, c := range s.Protocol.Document.Cases {
			kinds[string(c.Kind)]++
		}
		if kinds["sample"] == 0 || kinds["negative"] < 2 || !s.Broadcast && kinds["scenario"] == 0 || s.Stage != registry.StagePublished {
			t.Errorf("%s %s at the stage %s was tried with %v", s.Name, s.Version, s.Stage, kinds)
		}
	}
}

// A setting is changed however its name is written, and once.
func TestWithSetting(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nstage: test\nb: 2\n":             "a: 1\nstage: published\nb: 2\n",
		"\"stage\": test # not yet\r\na: 1\r\n": "stage: published\na: 1\r\n",
		"'stage' : test":                        "stage: published\n",
		"a: {stage: test}":                      "a: {stage: test}\nstage: published\n",
	} {
		if got := string(withSetting([]byte(text), "stage", "published")); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
