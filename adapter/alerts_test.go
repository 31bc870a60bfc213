package adapter_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/alarms"
	"mezhved/adapter/backup"
	"mezhved/adapter/files"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/remote"
	"mezhved/adapter/kafka"
	"mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/oplog"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/router"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// timeline is what Prometheus would have read of a gateway, a step apart.
type timeline struct {
	step    time.Duration
	scrapes []map[string]float64
	begins  float64 // Unix time of the first; 0: now. To promtool it is 1970, so moments are moved
}

// scrape reads /metrics as Prometheus does; of a gateway that does not answer it
// knows only that.
func (l *timeline) scrape(w *adaptertest.World) {
	w.T.Helper()
	l.read(w, w.URL)
}

// read does so at any address.
func (l *timeline) read(w *adaptertest.World, address string) {
	w.T.Helper()
	at := map[string]float64{`up{job="mezhved"}`: 0}
	l.scrapes = append(l.scrapes, at)
	answer, err := w.HTTP.Get(address + "/metrics")
	if err != nil {
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.T.Fatal(err)
	}
	at[`up{job="mezhved"}`] = 1
	for line := range strings.Lines(string(text)) {
		i := strings.LastIndexByte(line, ' ')
		if !strings.HasPrefix(line, "mezhved_") || strings.Contains(line, "_bucket{") {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		if err != nil {
			w.T.Fatalf("metric %q: %v", line, err)
		}
		at[line[:i]] = v
	}
}

// until begins the timeline so long before the moment that a metric tells.
func (l *timeline) until(t *testing.T, metric string, left time.Duration) {
	t.Helper()
	for name, v := range l.scrapes[0] {
		if strings.HasPrefix(name, metric) && v > 0 {
			l.begins = v - left.Seconds()
			return
		}
	}
	t.Fatalf("there is no %s", metric)
}

// await scrapes until a metric is above 0, and keeps that alone.
func (l *timeline) await(w *adaptertest.World, metric string) {
	w.T.Helper()
	w.Eventually(metric+" is told", func() bool {
		probe := &timeline{}
		probe.scrape(w)
		for name, v := range probe.scrapes[0] {
			if strings.HasPrefix(name, metric) && v > 0 {
				l.scrapes = append(l.scrapes, probe.scrapes[0])
				return true
			}
		}
		return false
	})
}

// lasts repeats what was read last.
func (l *timeline) lasts(times int) {
	for range times {
		l.scrapes = append(l.scrapes, l.scrapes[len(l.scrapes)-1])
	}
}

// fires asks promtool whether the alert fires when what was read last goes on
// for a quarter of an hour.
func (l *timeline) fires(t *testing.T, alert string) bool {
	t.Helper()
	names := map[string]bool{}
	begins := cmp.Or(l.begins, float64(time.Now().Unix()))
	moved := make([]map[string]float64, len(l.scrapes))
	for i, at := range l.scrapes {
		moved[i] = maps.Clone(at)
		for series, v := range at {
			names[series] = true
			if (strings.Contains(series, "_expires_seconds") || strings.Contains(series, "_at_seconds")) && v > 0 {
				moved[i][series] = v - begins
			}
		}
	}
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	var input []series
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var values []string
		for _, at := range moved {
			if v, ok := at[name]; ok {
				values = append(values, strconv.FormatFloat(v, 'g', -1, 64))
			} else {
				values = append(values, "_")
			}
		}
		if last, ok := moved[len(moved)-1][name]; ok {
			values = append(values, fmt.Sprintf("%s+0x%d", strconv.FormatFloat(last, 'g', -1, 64), int(2*time.Minute/l.step)+1))
		}
		input = append(input, series{name, strings.Join(values, " ")})
	}
	rules, err := filepath.Abs("../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	end := time.Duration(len(l.scrapes))*l.step + 2*time.Minute
	evaluated, looked := 10*time.Second, 30*time.Second
	if end > 4*time.Hour {
		evaluated, looked = 2*time.Minute, 30*time.Minute
	}
	var expected []map[string]any
	for at := time.Duration(0); at <= end; at += looked {
		expected = append(expected, map[string]any{"expr": `count(ALERTS{alertname="` + alert + `",alertstate="firing"}) > bool 0 or vector(0)`,
			"eval_time": at.String(), "exp_samples": []any{map[string]any{"labels": "{}", "value": 0}}})
	}
	file := filepath.Join(t.TempDir(), alert+".yaml")
	src, err := yaml.Marshal(map[string]any{
		"rule_files": []string{rules}, "evaluation_interval": evaluated.String(),
		"tests": []any{map[string]any{"interval": l.step.String(), "input_series": input, "promql_expr_test": expected}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, src, 0o644); err != nil {
		t.Fatal(err)
	}
	// The test file expects silence, so a fired alert is a failed expectation with
	// the value 1.
	out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput()
	switch {
	case err == nil:
		return false
	case strings.Contains(string(out), "1E+00"):
		return true
	}
	t.Fatalf("promtool: %v\n%s", err, out)
	return false
}

// alertNames reads deploy/alerts.yaml.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	src, err := os.ReadFile("../deploy/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert string `yaml:"alert"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(src, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
		}
	}
	return names
}

// Every alert fires when what it is for happens to a real gateway, and none does
// when nothing happens.
func TestEveryAlertFires(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus): alerts are not evaluated")
	}
	send := func(w *adaptertest.World) adaptertest.Answered {
		return w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	}
	// watched waits until the gateway has looked again.
	watched := func(w *adaptertest.World) {
		w.T.Helper()
		n := w.Store.Calls("Standing")
		w.Eventually("the gateway has looked", func() bool { return w.Store.Calls("Standing") > n+1 })
	}
	type story struct {
		options []adaptertest.Option
		step    time.Duration // between scrapes; default 30s
		// What happens between two scrapes, or, with scrapes of its own, over many.
		happens func(t *testing.T, w *adaptertest.World)
		goes    func(t *testing.T, w *adaptertest.World, l *timeline)
	}
	openTerm := func(stage int) func(*testing.T, *adaptertest.World, *timeline) {
		return func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			w.SQL(`INSERT INTO open_term (message, stage, due, next, told, later, message_id, direction, sender, recipient, service, version, accepted)
				VALUES (gen_random_uuid(), $1, now() - interval '5 minutes', now() - interval '5 minutes', 0, '', 'm', 'request', 'MUNI', 'REGISTRY', 'extract', '1.0', now() - interval '1 day')`, stage)
			l.await(w, "mezhved_late{")
		}
	}
	certificate := func(metric string, left time.Duration) func(*testing.T, *adaptertest.World, *timeline) {
		return func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			l.until(t, metric, left)
		}
	}
	// tellers have a teller of alarms, and a program that takes none.
	tellers := []adaptertest.Option{adaptertest.WithRooms(func(r *adapter.Rooms) {
		r.Metrics = prometheus.NewRegistry()
		teller := alarms.New(alarms.Options{Store: r.Store.(*adaptertest.Breakable).Store.(*postgres.Store), Rules: &alarms.Rules{Language: "en", Zone: terms.Moscow}, Calendar: terms.Shipped,
			Now: r.Now, Log: slog.New(slog.DiscardHandler), Metrics: r.Metrics})
		r.Loops = append(r.Loops, adapter.Loop{Name: "alarms", Run: teller.Run})
	})}
	alarm := func(dead bool, metric string) func(*testing.T, *adaptertest.World, *timeline) {
		return func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			w.SQL(`INSERT INTO alarm (rule, way, target, event, message, stage, escalated, since, at, dead)
				VALUES ('late', 'webhook', 'http://127.0.0.1:1/', '{"kind":"overdue","time":"2026-01-01T00:00:00Z"}', gen_random_uuid(), 3, false, now() - interval '1 hour', now() - interval '1 hour', $1)`, dead)
			l.await(w, metric)
		}
	}
	// probed worlds have a service that is looked at, by a prober that the story sets going.
	probed := func(happens func(*adaptertest.World)) story {
		var p *probe.Prober
		return story{
			options: []adaptertest.Option{func(w *adaptertest.World) {
				const ns = "urn://mezhved.test/watched/1.0"
				w.Write("services/watched/1.0/service.yaml", "title: t\nroot: {namespace: '"+ns+"', request: ExtractRequest, response: ExtractResponse}\nproviders: [REGISTRY]\ncallers: [MUNI]\nprobe: {short: 1m}\n")
				w.Write("services/watched/1.0/watched.xsd", adaptertest.Schema(ns))
				adaptertest.WithRooms(func(r *adapter.Rooms) {
					r.Metrics = prometheus.NewRegistry()
					p = probe.New(probe.Options{Store: r.Store.(*adaptertest.Breakable).Store.(*postgres.Store), Gateway: func() *adapter.Gateway { return w.Gateway },
						Now: r.Now, Log: slog.New(slog.DiscardHandler), Metrics: r.Metrics})
				})(w)
			}},
			goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
				round := func() {
					if err := p.Round(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				round()
				l.scrape(w)
				happens(w)
				round()
				l.scrape(w)
			},
		}
	}
	// measured worlds have figures of rooms that the story opens itself.
	measured := func(goes func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry)) story {
		figures := prometheus.NewRegistry()
		return story{
			options: []adaptertest.Option{adaptertest.WithRooms(func(r *adapter.Rooms) { r.Metrics = figures })},
			goes:    func(t *testing.T, w *adaptertest.World, l *timeline) { goes(t, w, l, figures) },
		}
	}
	// witnessed worlds have a log that two witnesses sign, until one is gone, or both.
	witnessed := func(gone int) story {
		return measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			book := w.Book()
			_, public, err := journal.KeyOf(w.LogKey())
			if err != nil {
				t.Fatal(err)
			}
			accepted(t, send(w))
			w.Sequence()
			text, names, sites := "log "+public+"\n", "", []*httptest.Server{}
			for _, name := range []string{"w1", "w2"} {
				key, verifier, err := journal.NewKey(name)
				if err != nil {
					t.Fatal(err)
				}
				cosigner, err := audit.NewCosigner(t.TempDir(), key, []string{public}, w.Clock.Now)
				if err != nil {
					t.Fatal(err)
				}
				site := httptest.NewServer(&remote.Witness{Cosigner: cosigner, Slog: slog.New(slog.DiscardHandler)})
				defer site.Close()
				text, names, sites = text+"witness "+name+" "+verifier+" "+site.URL+"\n", names+" "+name, append(sites, site)
			}
			policy, err := journal.ParsePolicy([]byte(text + "group g 1" + names + "\nquorum g\n"))
			if err != nil {
				t.Fatal(err)
			}
			collector := &remote.Collector{Policy: policy, Log: book.Published(false), Save: book.SaveCosigned, Now: w.Clock.Now, Slog: slog.New(slog.DiscardHandler)}
			collector.Measure(figures)
			if err := collector.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.scrape(w)
			for _, site := range sites[:gone] {
				site.Close()
			}
			w.Clock.Advance(14 * time.Minute)
			if err := collector.Collect(t.Context()); (err != nil) != (gone == 2) {
				t.Fatal(err)
			}
			l.scrape(w)
		})
	}
	blind, ahead := &adaptertest.Clock{}, &adaptertest.Clock{}
	ahead.Advance(3 * time.Second)
	faults := story{step: time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
		l.scrape(w)
		for range 30 {
			accepted(t, send(w))
		}
		l.scrape(w)
		w.Store.Always("Accept", adaptertest.Failed)
		for range 30 {
			for range 2 {
				send(w)
			}
			l.scrape(w)
		}
	}}
	lateness := story{step: 5 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
		defer w.StartSequencer()()
		l.scrape(w)
		for range 6 {
			accepted(t, send(w))
		}
		w.AwaitQueued(6)
		w.Clock.Advance(30 * 24 * time.Hour) // past the deadline whatever holidays moved it: five days from a Monday end on the Monday after
		w.Eventually("it is told that they are late", func() bool {
			var probe timeline
			probe.scrape(w)
			n := 0.0
			for series, v := range probe.scrapes[0] {
				if strings.HasPrefix(series, "mezhved_service_overdue_total{") {
					n += v
				}
			}
			return n == 6
		})
		for range 6 {
			l.scrape(w)
		}
	}}
	// routed worlds are an installation with a router in front, which is what is read.
	routed := func(goes func(t *testing.T, w *adaptertest.World, r *router.Router, get func(string), read func())) story {
		return story{goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			services, found := registry.Open(w.Config.Services, w.Config.Parties, w.Clock.Now)
			if bad := found.Errors(); len(bad) > 0 {
				t.Fatal(bad)
			}
			r, err := router.New(router.Config{Broadcasts: "north", Installations: []router.InstallationConfig{{Name: "north", URL: w.URL, Providers: []string{"REGISTRY", "MOSCOW", "OBLAST"}}}},
				services, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			site := httptest.NewServer(r.Handler())
			defer site.Close()
			get := func(path string) {
				answer, err := w.HTTP.Get(site.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
			}
			goes(t, w, r, get, func() { l.read(w, site.URL) })
		}}
	}
	stories := map[string]story{
		"MezhvedInstallationAway": routed(func(t *testing.T, w *adaptertest.World, r *router.Router, get func(string), read func()) {
			get("/smev/v1.2/ws?wsdl")
			read()
			w.Stop()
			get("/smev/v1.2/ws?wsdl")
			read()
		}),
		"MezhvedRouterReloadRefused": routed(func(t *testing.T, w *adaptertest.World, r *router.Router, get func(string), read func()) {
			read()
			w.Write("services/extract/1.0/service.yaml", "title: [")
			if r.Reload().Errors() == nil {
				t.Fatal("a broken service was taken")
			}
			read()
		}),
		"MezhvedWitnessSilent": witnessed(1), "MezhvedWitnessQuorum": witnessed(2),
		"MezhvedTimestampsMissing": measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			book := w.Book()
			accepted(t, send(w))
			w.Sequence()
			stamper := &remote.Stamper{URL: "http://127.0.0.1:1/", Log: book.Published(false), Now: w.Clock.Now, Slog: slog.New(slog.DiscardHandler)}
			stamper.Measure(figures)
			l.scrape(w)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go stamper.Run(ctx)
			w.Eventually("the authority does not answer", func() bool {
				w.Clock.Advance(time.Second)
				probe := &timeline{}
				probe.scrape(w)
				return probe.scrapes[0]["mezhved_timestamp_missing_seconds"] > 0
			})
			w.Clock.Advance(15 * time.Minute)
			l.scrape(w)
		}),
		"MezhvedVersionsMixed": {step: 4 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			w.SQL("INSERT INTO node VALUES ('node-of-yesterday', '0.9.0', '', now(), now())")
			l.await(w, `mezhved_nodes{version="0.9.0"}`)
			l.lasts(25 * 15)
		}},
		"MezhvedSettingsPending": {step: 4 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			c := w.Gateway.Config()
			c.Limits.Concurrent++
			if r, err := w.Gateway.Reconfigure(t.Context(), c, func(adapter.Config) (func(), error) { return func() {}, nil }); err != nil || len(r.Later) != 1 {
				t.Fatal(r.Later, err)
			}
			l.scrape(w)
			l.lasts(18)
		}},
		"MezhvedReloadRefused": {happens: func(t *testing.T, w *adaptertest.World) {
			w.Write("services/extract/1.0/service.yaml", "title: [")
			if w.Gateway.Reload(t.Context()).Errors() == nil {
				t.Fatal("a broken service was taken")
			}
		}},
		"MezhvedBackupOld": measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			l.step = 5 * time.Minute
			state := t.TempDir()
			backup.Measure(figures, state)
			l.scrape(w)
			last, err := json.Marshal(backup.Manifest{ID: "1", At: time.Now().Add(-27 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(state, "last"), last, 0o600); err != nil {
				t.Fatal(err)
			}
			l.scrape(w)
			l.lasts(3)
		}),
		"MezhvedDiskShort": measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			folder := filepath.Join(t.TempDir(), "state")
			move := func(disk string) {
				os.Remove(folder)
				if err := os.Symlink(disk, folder); err != nil {
					t.Fatal(err)
				}
			}
			move(t.TempDir())
			files.MeasureFree(figures, "journal.state", folder)
			l.scrape(w)
			move("/proc") // a file system that has no room
			l.scrape(w)
		}),
		"MezhvedLogLost": measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			pipe, stands := io.Pipe() // whose reader stands still
			log := oplog.Open(stands, oplog.Options{})
			defer log.Close(0)
			defer pipe.Close()
			log.Measure(figures)
			l.scrape(w)
			for log.Lost() == 0 {
				log.Write([]byte(strings.Repeat("x", 1<<10)))
			}
			l.scrape(w)
		}),
		"MezhvedNoRoom": {options: []adaptertest.Option{adaptertest.WithConfig(func(c *adapter.Config) {
			c.Limits.Body, c.Limits.Content, c.Limits.Memory = 100<<10, 50<<10, 1600<<10
		})}, happens: func(t *testing.T, w *adaptertest.World) {
			for i := range 16 {
				h := w.Gateway.Memory().Begin(fmt.Sprintf("10.0.0.%d", i), false)
				defer h.Release()
				if err := h.Hold(t.Context(), 98<<10); err != nil {
					t.Fatal(err)
				}
			}
			var calls sync.WaitGroup
			for range 12 { // each waits for room
				calls.Go(func() { send(w) })
			}
			calls.Wait()
		}},
		"MezhvedRevocationsUnchecked": {options: []adaptertest.Option{adaptertest.WithTrust(failOpen(t))}, happens: func(t *testing.T, w *adaptertest.World) { accepted(t, send(w)) }},
		"MezhvedForeignRecords": {options: []adaptertest.Option{byIntake}, happens: func(t *testing.T, w *adaptertest.World) {
			accepted(t, send(w))
			w.AwaitQueued(1) // the topic is there
			put(t, w, adapter.Record{Topic: w.Config.Kafka.Prefix + ".requests.REGISTRY", Key: []byte("k"), Value: []byte("<forged/>")})
			w.Eventually("it is passed over", passedOver(t, w, 1))
		}},
		"MezhvedPaced": {step: time.Minute, options: []adaptertest.Option{adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Wait = yamlfile.Period(2 * time.Second) })},
			goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
				l.scrape(w)
				w.Store.Always("Relay", adaptertest.Failed)
				w.Eventually("a request is held back", func() bool { return send(w).Fault != nil })
				l.scrape(w)
				l.lasts(8)
			}},
		"MezhvedFaultsBurn": faults, "MezhvedFaultsBurnSlowly": faults, "MezhvedLatenessBurn": lateness, "MezhvedLatenessBurnSlowly": lateness,
		"MezhvedDown": {happens: func(t *testing.T, w *adaptertest.World) { w.Stop() }},
		"MezhvedBusBehind": {happens: func(t *testing.T, w *adaptertest.World) {
			w.Bus.Always("Publish", adaptertest.Failed)
			accepted(t, send(w))
			w.SQL("UPDATE outbox SET at = at - interval '2 minutes'")
			watched(w)
		}},
		"MezhvedJournalBehind": {happens: func(t *testing.T, w *adaptertest.World) {
			accepted(t, send(w)) // and nobody sequences
			w.SQL("UPDATE journal_pending SET at = at - interval '2 minutes'")
			watched(w)
		}},
		"MezhvedVaultKeyMissing": {happens: func(t *testing.T, w *adaptertest.World) {
			accepted(t, send(w))
			keys, err := filepath.Glob(filepath.Join(w.Dir, "vault", "envelope-*.key"))
			if err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
			if err := os.Remove(keys[0]); err != nil {
				t.Fatal(err)
			}
			w.Eventually("nothing is accepted", func() bool { return send(w).Fault != nil })
			watched(w)
			if _, err := os.Stat(keys[0]); err == nil {
				t.Error("the key was made anew")
			}
			// The same alert, and another sentence, where the whole folder is away.
			if err := os.Rename(filepath.Join(w.Dir, "vault"), filepath.Join(w.Dir, "away")); err != nil {
				t.Fatal(err)
			}
			w.Eventually("/readyz says so", func() bool {
				_, _, said := get(t, w.URL+"/readyz")
				return strings.Contains(said, `"station":"vault-folder"`) && strings.Contains(said, "is the storage mounted")
			})
			watched(w)
		}},
		"MezhvedTermsBehind": {happens: func(t *testing.T, w *adaptertest.World) {
			w.Store.Always("Sweep", adaptertest.Failed)
			accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), EOL: w.Clock.Now().Add(time.Hour)}))
			w.AwaitQueued(1)
			w.SQL("UPDATE queue SET eol = eol - interval '2 hours'")
			watched(w)
		}},
		"MezhvedBlind": {options: []adaptertest.Option{adaptertest.WithMachine(blind)}, happens: func(t *testing.T, w *adaptertest.World) {
			w.Store.Always("Standing", adaptertest.Failed)
			watched(w)
			blind.Wait(2 * time.Minute)
		}},
		"MezhvedBusUnreadable": measured(func(t *testing.T, w *adaptertest.World, l *timeline, figures *prometheus.Registry) {
			w.Bus.Broker.(*kafka.Broker).Measure(figures)
			l.scrape(w)
			accepted(t, send(w))
			w.AwaitQueued(1)
			adaptertest.Damage(t, w.Brokers(), w.Bus.Published()[0].Topic, 0, 1)
			l.await(w, "mezhved_bus_unreadable_partitions")
		}),
		"MezhvedBusLost": {options: []adaptertest.Option{byIntake}, happens: func(t *testing.T, w *adaptertest.World) {
			accepted(t, send(w))
			w.AwaitQueued(1) // the topic is read to its end
			w.Bus.Lose(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
			accepted(t, send(w))
			w.Eventually("the bus has acknowledged it", func() bool { return len(w.Bus.Published()) >= 2 })
			w.Bus.Lose(nil)
			w.AwaitQueued(2)
		}},
		"MezhvedClock": {options: []adaptertest.Option{adaptertest.WithMachine(ahead)}, happens: func(t *testing.T, w *adaptertest.World) { watched(w) }},
		"MezhvedDeadLetters": {happens: func(t *testing.T, w *adaptertest.World) {
			w.Bus.Reject(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
			accepted(t, send(w))
			w.Eventually("it is dead", func() bool { return strings.Contains(w.Log.String(), "refuses") })
			watched(w)
		}},
		"MezhvedFailures": {step: time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			w.Store.Always("Accept", adaptertest.Failed)
			for range 12 {
				l.scrape(w)
				for range 12 {
					send(w)
				}
			}
		}},
		"MezhvedPanics": {happens: func(t *testing.T, w *adaptertest.World) {
			w.Store.Break("Lease", adaptertest.Panicked)
			w.Party("REGISTRY").Get(envelopes.GetRequest, anything, "")
		}},
		"MezhvedRedeliveries": {step: 5 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			const messages = 45
			for range messages {
				accepted(t, send(w))
			}
			w.AwaitQueued(messages)
			for n := range 8 {
				for range messages {
					if w.Party("REGISTRY").Get(envelopes.GetRequest, anything, "").Message == nil {
						t.Fatal("nothing was delivered")
					}
				}
				w.Clock.Advance(time.Hour)
				w.Eventually("the leases have run out", func() bool {
					var probe timeline
					probe.scrape(w)
					return probe.scrapes[0]["mezhved_returned_total"] == float64((n+1)*messages)
				})
				l.scrape(w)
			}
		}},
		"MezhvedLoops": {step: time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			w.Store.Always("Sweep", adaptertest.Failed)
			for sweeps := 1; sweeps < 11; sweeps++ { // with the loop's own pauses between
				l.scrape(w)
				w.Eventually("the loop has failed again", func() bool { return w.Store.Calls("Sweep") >= sweeps })
			}
			l.scrape(w)
		}},
		"MezhvedOverdue":          {goes: openTerm(3)},
		"MezhvedOverdueOnOurSide": {goes: openTerm(0)},
		"MezhvedCalendarMissing": {goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			w.Clock.Advance(4 * 365 * 24 * time.Hour)
			l.await(w, "mezhved_calendar_missing_year")
		}},
		"MezhvedAlarmsDead":            {options: tellers, goes: alarm(true, "mezhved_alarms_dead")},
		"MezhvedAlarmsWait":            {options: tellers, goes: alarm(false, "mezhved_alarms_waiting_seconds")},
		"MezhvedPartyCertificateMonth": {goes: certificate("mezhved_certificate_expires_seconds", 29*24*time.Hour)},
		"MezhvedPartyCertificateWeek":  {goes: certificate("mezhved_certificate_expires_seconds", 6*24*time.Hour)},
		"MezhvedPartyCertificateDay":   {goes: certificate("mezhved_certificate_expires_seconds", 23*time.Hour)},
		"MezhvedOwnCertificateMonth":   {goes: certificate("mezhved_signature_certificate_expires_seconds", 29*24*time.Hour)},
		"MezhvedOwnCertificateWeek":    {goes: certificate("mezhved_signature_certificate_expires_seconds", 6*24*time.Hour)},
		"MezhvedOwnCertificateDay":     {options: []adaptertest.Option{withFTPS(t)}, goes: certificate("mezhved_files_tls_certificate_expires_seconds", 23*time.Hour)},
		"MezhvedProbeRed":              probed(func(w *adaptertest.World) { w.Clock.Advance(11 * time.Minute) }), // and its provider has not polled
		"MezhvedProbesRest": probed(func(w *adaptertest.World) { // another node holds the lead and does nothing
			w.SQL("UPDATE lead SET holder = gen_random_uuid(), until = now() + interval '1 day' WHERE work = 'probe'")
			w.Clock.Advance(20 * time.Minute)
		}),
		"MezhvedPartyDoesNotPoll": {step: 4 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			accepted(t, send(w))
			l.await(w, `mezhved_queue_waiting{kind="request",system="REGISTRY"}`)
			l.lasts(18)
		}},
		"MezhvedPartyDoesNotAcknowledge": {step: 4 * time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
			l.await(w, `mezhved_queue_leased{kind="request",system="REGISTRY"}`)
			l.lasts(18)
		}},
		"MezhvedPartyErrors": {step: time.Minute, goes: func(t *testing.T, w *adaptertest.World, l *timeline) {
			l.scrape(w)
			for range 30 {
				if a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Draft)}); a.Fault == nil {
					t.Fatal("a draft was taken")
				}
			}
			l.scrape(w)
			l.lasts(10)
		}},
		"MezhvedFileStoreFull": {
			options: []adaptertest.Option{adaptertest.WithFiles(func(c *adapter.Config) { c.Files.Total, c.Files.File, c.Files.Waiting = 1000, 1000, 100_000 })},
			happens: func(t *testing.T, w *adaptertest.World) {
				w.Bring("a.bin", make([]byte, 900))
				c, err := w.FTP("anonymous", "")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Quit()
				if err := c.MakeDir("0a0f8f5c-0000-11f0-8000-000000000001"); err != nil {
					t.Fatal(err)
				}
				if err := c.Stor("0a0f8f5c-0000-11f0-8000-000000000001/b.bin", strings.NewReader(strings.Repeat("b", 900))); err == nil {
					t.Error("a full store takes a file")
				}
			},
		},
		"MezhvedFileStoreDoor": {
			options: []adaptertest.Option{adaptertest.WithFiles(func(c *adapter.Config) { c.FTP.PerAddress = 1 })},
			happens: func(t *testing.T, w *adaptertest.World) {
				w.RawFTP()
				second, err := net.Dial("tcp", w.FTPAddress)
				if err != nil {
					t.Fatal(err)
				}
				defer second.Close()
				io.Copy(io.Discard, second) // until it is turned away
			},
		},
	}
	for _, alert := range alertNames(t) {
		t.Run(alert, func(t *testing.T) {
			t.Parallel()
			s, ok := stories[alert]
			if !ok {
				t.Fatal("nothing here makes this alert fire")
			}
			w, l := adaptertest.Start(t, s.options...), &timeline{step: cmp.Or(s.step, 30*time.Second)}
			if s.happens != nil {
				l.scrape(w)
				s.happens(t, w)
				l.scrape(w)
			} else {
				s.goes(t, w, l)
			}
			if !l.fires(t, alert) {
				t.Errorf("it does not fire; last read:\n%v", l.scrapes[len(l.scrapes)-1])
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		w := adaptertest.Start(t, adaptertest.WithFiles())
		l := &timeline{step: time.Minute}
		for range 5 {
			w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
			l.scrape(w)
		}
		for _, alert := range alertNames(t) {
			if l.fires(t, alert) {
				t.Errorf("%s fires and nothing has happened", alert)
			}
		}
	})
}
