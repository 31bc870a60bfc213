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
	"mezhved/adapter/backup"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
)

// witnessedBy is the policy of a log of which nobody has the key, with witnesses.
func witnessedBy(t *testing.T, names ...string) string {
	t.Helper()
	_, public, err := journal.NewKey("journal.test/witnessed")
	if err != nil {
		t.Fatal(err)
	}
	text := "log " + public + "\n"
	for _, name := range names {
		_, verifier, err := journal.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		text += "witness " + name + " " + verifier + " http://127.0.0.1:1\n"
	}
	return text + "group g 1 " + strings.Join(names, " ") + "\nquorum g\n"
}

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
	figures := prometheus.NewRegistry()
	w := adaptertest.Start(t, adaptertest.WithRooms(func(r *adapter.Rooms) {
		r.Metrics = figures
		store, quiet := r.Store.(*adaptertest.Breakable).Store.(*postgres.Store), slog.New(slog.DiscardHandler)
		probe.New(probe.Options{Store: store, Now: r.Now, Log: quiet, Metrics: figures})
		impact.NewShadow(store, nil, quiet, figures)
		backup.Measure(figures, t.TempDir())
		(&remote.Stamper{Now: r.Now}).Measure(figures)
		policy, err := journal.ParsePolicy([]byte(witnessedBy(t, "w1")))
		if err != nil {
			t.Fatal(err)
		}
		(&remote.Collector{Policy: policy, Now: r.Now}).Measure(figures)
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
	// What has told of nothing yet has no series; that it is there shows when another one
	// is to take its name.
	there := func(name string) bool {
		name = strings.TrimSuffix(name, "_bucket")
		if named[name] || named[name+"_sum"] {
			return true
		}
		other := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "another"}, []string{"another"})
		if err := figures.Register(other); err != nil {
			return true
		}
		figures.Unregister(other)
		return false
	}
	queries := 0
	rules := []map[string]any{}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			queries++
			rules = append(rules, map[string]any{"record": "dashboard:query", "expr": q.Expr, "labels": map[string]string{"n": p.Title + q.Expr}})
			for _, name := range regexp.MustCompile(`mezhved_[a-z_]+`).FindAllString(q.Expr, -1) {
				if name != "mezhved_reloads_total" && !there(name) { // that one is the program's
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
