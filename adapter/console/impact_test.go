package console

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/registry"
)

// sketchOf is a version 3.0 of the world's service that asks for the region.
func sketchOf(t *testing.T) registry.Sketch {
	t.Helper()
	const ns = "urn://mezhved.test/extract/3.0"
	dir := filepath.Join(t.TempDir(), "extract", "3.0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	schema := strings.Replace(adaptertest.Schema(ns), `name="RegionCode" type="xs:string" minOccurs="0"`, `name="RegionCode" type="xs:string"`, 1)
	for name, text := range map[string]string{"service.yaml": "root: {namespace: '" + ns + "', request: ExtractRequest, response: ExtractResponse}\n", "s.xsd": schema} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k, found := registry.ReadSketch(dir)
	if k == nil {
		t.Fatal(found)
	}
	return *k
}

// Holding messages against a schema is a reading of content: it is noted before it
// begins, for an operator, too, and an auditor may not.
func TestMeasuringIsNotedAsAReading(t *testing.T) {
	d := openDesk(t)
	d.exchange()
	order := ImpactOrder{Sketch: sketchOf(t), From: d.Clock.Now().AddDate(0, 0, -1)}
	if a := d.ask(auditorToken, "/api/v1/services/impact", order); a.StatusCode != http.StatusForbidden {
		t.Errorf("an auditor is answered %d", a.StatusCode)
	}
	bad := order
	bad.Sketch.Schemas = nil
	if a := d.ask(operatorToken, "/api/v1/services/impact", bad); a.StatusCode != http.StatusBadRequest {
		t.Errorf("no schema: %d %s", a.StatusCode, a.body)
	}
	a := d.ask(operatorToken, "/api/v1/services/impact", order)
	if a.StatusCode != http.StatusOK || strings.Contains(string(a.body), "77:01:000101:42") {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	var r impact.Report
	d.must(json.Unmarshal(a.body, &r))
	if r.Refused != 1 || r.Parties[0].Reasons[0].Rule != "cvc-complex-type.2.4.b" {
		t.Errorf("measured %+v", r)
	}
	acts, opened := d.readings()
	if len(acts) != 1 || acts[0] != "impact" || !strings.Contains(opened[0], "actor=operator duty") || !strings.Contains(opened[0], "query=service extract 3.0") {
		t.Errorf("the journal tells of %v: %v", acts, opened)
	}
	d.Store.Always("Record", adaptertest.Failed)
	if a := d.ask(operatorToken, "/api/v1/services/impact", order); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a reading that cannot be noted happens: %d", a.StatusCode)
	}
}
