package adapter_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/alarms"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
)

// The dashboard of deploy/ asks for what a gateway tells and nothing else, in queries
// that Prometheus can read.
func TestTheDashboardNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(src, &board); err != nil {
		t.Fatal(err)
	}
	w := adaptertest.Start(t, adaptertest.WithRooms(func(r *adapter.Rooms) {
		r.Metrics = prometheus.NewRegistry()
		alarms.New(alarms.Options{Store: r.Store.(*adaptertest.Breakable).Store.(*postgres.Store), Rules: &alarms.Rules{}, Calendar: terms.Shipped, Now: r.Now, Log: slog.New(slog.DiscardHandler), Metrics: r.Metrics})
	}))
	id, got := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	if a := w.Party("REGISTRY").Reply(got.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	w.Party("REGISTRY").Ack(id)
	w.Party("MUNI").Await(envelopes.GetResponse, "") // it stays leased
	w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Draft)})
	w.SQL(`INSERT INTO open_term (message, stage, due, next, told, later, message_id, direction, sender, recipient, service, version, accepted)
		VALUES (gen_random_uuid(), 3, now() - interval '5 minutes', now() - interval '5 minutes', 0, '', 'm', 'request', 'MUNI', 'REGISTRY', 'extract', '1.0', now() - interval '1 day')`)
	told := &timeline{}
	told.await(w, "mezhved_service_overdue_total")
	told.await(w, "mezhved_queue_leased")
	named := map[string]bool{}
	for _, scrape := range told.scrapes {
		for series := range scrape {
			name, _, _ := strings.Cut(series, "{")
			named[name] = true
		}
	}
	queries := 0
	rules := []map[string]any{}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			queries++
			rules = append(rules, map[string]any{"record": "dashboard:query", "expr": q.Expr, "labels": map[string]string{"n": p.Title + q.Expr}})
			for _, name := range regexp.MustCompile(`mezhved_[a-z_]+`).FindAllString(q.Expr, -1) {
				if !named[name] {
					t.Errorf("%s: no gateway tells %s", p.Title, name)
				}
			}
		}
	}
	if queries < 20 {
		t.Errorf("%d queries", queries)
	}
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus): queries are not parsed")
	}
	file := filepath.Join(t.TempDir(), "queries.yaml")
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
