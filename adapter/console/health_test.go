package console

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/postgres"
)

// withProbes lets two services of the world be watched.
func withProbes(w *adaptertest.World) {
	for dir, ns := range map[string]string{"good": "urn://mezhved.test/good/1.0", "bad": "urn://mezhved.test/bad/1.0"} {
		w.Write("services/"+dir+"/1.0/service.yaml", "title: Сведения "+dir+"\nroot: {namespace: '"+ns+"', request: ExtractRequest, response: ExtractResponse}\nproviders: [REGISTRY]\ncallers: [MUNI]\nprobe: {short: 1m}\n")
		w.Write("services/"+dir+"/1.0/s.xsd", adaptertest.Schema(ns))
	}
}

// probed keeps what probes have found: one service is well, the other is not.
func (d *desk) probed() {
	d.t.Helper()
	now := d.Clock.Now().UTC()
	d.must(d.console.Content.LeadProbes(context.Background(), func(ctx context.Context, t probe.Term) error {
		states := []probe.State{
			{Key: probe.Key{Service: "good", Version: "1.0", Kind: probe.Full}, At: now, Since: now.Add(-time.Hour), Next: now, Provider: "REGISTRY", Took: 1500 * time.Millisecond},
			{Key: probe.Key{Service: "bad", Version: "1.0", Kind: probe.Short}, At: now, Since: now, Next: now, Problem: probe.Silent, Provider: "REGISTRY"},
			{Key: probe.Key{Service: "bad", Version: "1.0", Kind: probe.Full}, At: now, Since: now, Next: now, MessageID: "0b1d0000-e60f-11f1-b256-e3ebba651313"},
		}
		results := []probe.Result{
			{Key: states[0].Key, At: now, Provider: "REGISTRY", Took: 1500 * time.Millisecond},
			{Key: states[1].Key, At: now.Add(-2 * time.Hour)}, {Key: states[1].Key, At: now, Problem: probe.Silent, Provider: "REGISTRY"},
		}
		return t.Save(ctx, states, results)
	}))
}

// How services do is told to everybody, and of parties to the desk alone.
func TestHealthNamesNobodyInPublic(t *testing.T) {
	d := openDesk(t, withProbes)
	d.probed()
	r := chi.NewRouter()
	d.must(PublicHealth(r, Rooms{Gateway: func() *adapter.Gateway { return d.Gateway }, Probes: d.Store.Store.(*postgres.Store), Log: slog.New(slog.DiscardHandler), Now: d.Clock.Now}))
	public := httptest.NewServer(r)
	defer public.Close()
	get := func(path string) string {
		t.Helper()
		a, err := http.Get(public.URL + path)
		d.must(err)
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		d.must(err)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.StatusCode, body)
		}
		return string(body)
	}
	for path, wants := range map[string][]string{
		"/status":         {"Состояние видов сведений", "Сведения good", "неисправно", "поставщик не опрашивает очередь", "1.5 с", "Есть неисправные", "/console/static/desk.css"},
		"/status?lang=en": {"State of services", "the provider does not poll"},
		"/status.json":    {`"state":"bad"`, `"found":"silent"`, `"answerMs":1500`},
	} {
		page := get(path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
		for _, name := range []string{"REGISTRY", "Ведомство", "0b1d0000"} {
			if strings.Contains(page, name) {
				t.Errorf("%s names %q", path, name)
			}
		}
	}
	get("/console/static/desk.css")

	page := string(d.ask(operatorToken, "/console/health", nil).body)
	for _, want := range []string{"REGISTRY", "Ведомство REGISTRY", "Сведения bad", "ждёт ответа", "опросов не было"} {
		if !strings.Contains(page, want) {
			t.Errorf("the desk's page does not say %q", want)
		}
	}
	var h Health
	d.must(json.Unmarshal(d.ask(auditorToken, "/api/v1/health?service=bad&version=1.0", nil).body, &h))
	if len(h.Services) != 1 || len(h.Outcomes) != 2 || h.Outcomes[0].Provider != "REGISTRY" || h.Services[0].Found != "silent" || h.Services[0].Parties[0].Party != "REGISTRY" {
		t.Errorf("of one version: %+v", h)
	}
	if hours := h.Services[0].Hours; len(hours) != 24 || hours[23] != "bad" || hours[21] != "good" || hours[20] != "none" {
		t.Errorf("the last 24 hours: %v", hours)
	}
}
