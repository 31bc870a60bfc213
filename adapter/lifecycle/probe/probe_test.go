package probe_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/alarms"
	"mezhved/adapter/journal"
	"mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
)

// ns is the service that the stories probe.
const ns = "urn://mezhved.test/watched/1.0"

const settings = `title: Справка
root: {namespace: "urn://mezhved.test/watched/1.0", request: ExtractRequest, response: ExtractResponse}
providers: [REGISTRY]
callers: [MUNI, PROBE]
deadline: 1h
`

// watched is a world with a service that is probed.
type watched struct {
	*adaptertest.World
	store *postgres.Store
}

func open(t *testing.T, how string) *watched {
	t.Helper()
	w := &watched{World: adaptertest.Start(t, func(w *adaptertest.World) {
		w.Config.Probe.Party = "PROBE"
		now := w.Clock.Now()
		w.NewParty("PROBE", now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)).AddCertificate("PROBE.pem")
		w.Write("parties/PROBE.yaml", "name: Проверки\n")
		w.Write("services/watched/1.0/service.yaml", settings+how)
		w.Write("services/watched/1.0/watched.xsd", adaptertest.Schema(ns))
		w.Write("services/watched/1.0/samples/request.xml", adaptertest.Content(ns))
	})}
	w.store = w.Store.Store.(*postgres.Store)
	return w
}

// prober makes a prober as a node that begins has one.
func (w *watched) prober(change ...func(*probe.Options)) *probe.Prober {
	o := probe.Options{Store: w.store, Gateway: func() *adapter.Gateway { return w.Gateway }, Signer: w.Party("PROBE").Signer, Bus: w.Verifier(),
		Now: w.Clock.Now, Log: slog.New(slog.NewTextHandler(w.Log, nil)), Metrics: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	return probe.New(o)
}

func (w *watched) round(p *probe.Prober) {
	w.T.Helper()
	if err := p.Round(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

func (w *watched) state(kind probe.Kind) (s probe.State) {
	w.T.Helper()
	list, err := w.store.Probes(context.Background())
	if err != nil {
		w.T.Fatal(err)
	}
	for _, one := range list {
		if one.Kind == kind && one.Service == "watched" {
			return one
		}
	}
	return s
}

func (w *watched) history() []probe.Result {
	w.T.Helper()
	list, err := w.store.ProbeHistory(context.Background(), "watched", "1.0", time.Time{}, 0)
	if err != nil {
		w.T.Fatal(err)
	}
	return list
}

// told are the events that alarms are made of, in their order; they are taken out.
func (w *watched) told() (kinds []string) {
	w.T.Helper()
	_, err := w.store.ExpandAlarms(context.Background(), 100, func(events []journal.Event) []alarms.Alarm {
		for _, e := range events {
			kinds = append(kinds, strings.TrimSpace(string(e.Kind)+" "+e.Outcome))
		}
		return nil
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return kinds
}

// outcome goes on with rounds until a full probe has ended.
func (w *watched) outcome(p *probe.Prober) probe.State {
	w.T.Helper()
	before := w.state(probe.Full).At
	w.Eventually("the probe has an outcome", func() bool {
		w.round(p)
		return w.state(probe.Full).At.After(before)
	})
	return w.state(probe.Full)
}

// take is the provider's next request, acknowledged.
func (w *watched) take() *envelopes.Delivered {
	w.T.Helper()
	m := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message
	w.Party("REGISTRY").Ack(m.Metadata.MessageID)
	return m
}

// A full probe is a real exchange, marked as a test; each way in which it may end has its
// colour, and alarms hear of every change of it, once.
func TestAFullProbeShowsWhatACallerWouldGet(t *testing.T) {
	w := open(t, "probe: {full: 15m, answer: 5m}\n")
	p := w.prober()
	begin := func() *envelopes.Delivered {
		w.Clock.Advance(16 * time.Minute)
		w.round(p)
		if w.state(probe.Full).MessageID == "" {
			t.Fatal("no probe is under way")
		}
		return w.take()
	}
	reply := func(m *envelopes.Delivered, r adaptertest.Reply) {
		t.Helper()
		if a := w.Party("REGISTRY").Reply(m.ReplyTo, r); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	m := begin()
	if !m.Request.Test || m.Request.EOL.IsZero() {
		t.Errorf("the provider sees a request that is marked as a test: %v, with an end of life: %s", m.Request.Test, m.Request.EOL)
	}
	reply(m, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 7, Description: "в работе"}})
	w.round(p)
	if s := w.state(probe.Full); s.Known() || s.MessageID == "" {
		t.Errorf("a status has ended the probe: %+v", s)
	}
	reply(m, adaptertest.Reply{Content: adaptertest.Answer(ns)})
	if s := w.outcome(p); s.Red() || s.Provider != "REGISTRY" || s.MessageID != "" {
		t.Errorf("after a good answer: %+v", s)
	}
	if got := w.told(); len(got) != 0 {
		t.Errorf("alarms heard of a first good probe: %v", got)
	}

	reply(begin(), adaptertest.Reply{Reject: []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "нет данных"}}})
	if s := w.outcome(p); s.Problem != probe.Rejected || s.Detail != string(envelopes.RejectNoData) {
		t.Errorf("after a rejection: %+v", s)
	}
	m = begin()
	w.Clock.Advance(6 * time.Minute)
	if s := w.outcome(p); s.Problem != probe.Unanswered {
		t.Errorf("without an answer: %+v", s)
	}
	red := w.state(probe.Full)
	reply(m, adaptertest.Reply{Content: adaptertest.Answer(ns)}) // late: it is taken out of the queue and changes nothing
	w.Eventually("the late answer is taken", func() bool {
		w.round(p)
		waiting, err := w.store.Depths(context.Background())
		return err == nil && !slices.ContainsFunc(waiting, func(d adapter.Depth) bool { return d.Queue.System == "PROBE" })
	})
	if s := w.state(probe.Full); s.At != red.At || !s.Red() {
		t.Errorf("after a late answer: %+v", s)
	}
	reply(begin(), adaptertest.Reply{Content: adaptertest.Answer(ns)})
	if s := w.outcome(p); s.Red() || s.Since != s.At {
		t.Errorf("after a good answer again: %+v", s)
	}
	if got, want := w.told(), []string{"probe-red rejected", "probe-green"}; !slices.Equal(got, want) {
		t.Errorf("alarms heard %v, want %v", got, want)
	}
	if got := w.history(); len(got) != 4 {
		t.Errorf("the history has %d outcomes, want 4: %+v", len(got), got)
	}

	// What is not taken is an outcome, too.
	w.Write("services/watched/1.0/service.yaml", settings+"limits: {content: 10B}\nprobe: {full: 15m}\n")
	w.Reload()
	w.Clock.Advance(16 * time.Minute)
	if s := w.outcome(p); s.Problem != probe.Refused || s.Detail != "InvalidContent" {
		t.Errorf("a request that the gateway refuses: %+v", s)
	}
	// What is probed no more is forgotten.
	w.Write("services/watched/1.0/service.yaml", settings)
	w.Reload()
	w.round(p)
	if s := w.state(probe.Full); s.Known() {
		t.Errorf("a service that is not probed any more: %+v", s)
	}
	w.Check()
}

// breaking is the store with one write that fails, done or not.
type breaking struct {
	probe.Store
	left int // writes until it breaks
	done bool
}

var errBroken = errors.New("broken by the test")

func (b *breaking) LeadProbes(ctx context.Context, do func(context.Context, probe.Term) error) error {
	return b.Store.LeadProbes(ctx, func(ctx context.Context, t probe.Term) error { return do(ctx, breakingTerm{t, b}) })
}

type breakingTerm struct {
	probe.Term
	b *breaking
}

func (t breakingTerm) Save(ctx context.Context, states []probe.State, results []probe.Result) error {
	if t.b.left--; t.b.left != 0 {
		return t.Term.Save(ctx, states, results)
	}
	if t.b.done {
		if err := t.Term.Save(ctx, states, results); err != nil {
			return err
		}
	}
	return errBroken
}

// A node dies at each write, before it is done and after, and another goes on: each probe
// is one request to its provider and one outcome.
func TestAProbeIsDoneOnceWhoeverDies(t *testing.T) {
	w := open(t, "probe: {full: 15m}\n")
	for _, at := range []int{1, 2} { // the request that is to be sent; its outcome
		for _, done := range []bool{false, true} {
			w.Clock.Advance(16 * time.Minute)
			before := len(w.history())
			b := &breaking{Store: w.store, left: at, done: done}
			dies := w.prober(func(o *probe.Options) { o.Store = b })
			if at == 1 {
				if err := dies.Round(context.Background()); !errors.Is(err, errBroken) {
					t.Fatalf("the first write was to break: %v", err)
				}
			}
			next := w.prober()
			if at == 1 {
				w.round(next)
			} else {
				w.round(dies)
			}
			m := w.take()
			if id := string(w.state(probe.Full).MessageID); m.Metadata.MessageID != id {
				t.Errorf("write %d, done %v: the provider has %s, %s was committed", at, done, m.Metadata.MessageID, id)
			}
			if a := w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(ns)}); a.Fault != nil {
				t.Fatal(a.Fault)
			}
			if at == 2 {
				w.Eventually("the outcome's write breaks", func() bool { return errors.Is(dies.Round(context.Background()), errBroken) })
				w.Clock.Advance(16 * time.Minute) // the lease of the answer that was not acknowledged runs out
			}
			w.Eventually("the other node has the outcome", func() bool {
				w.round(next)
				return len(w.history()) > before
			})
			if at == 1 { // else the next probe is due
				if again := w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{}, ""); again.Message != nil {
					t.Errorf("write %d, done %v: the provider was asked twice", at, done)
				}
			}
			if got := w.history(); len(got) != before+1 || got[0].Problem != "" {
				t.Errorf("write %d, done %v: %d outcomes, want %d more: %+v", at, done, len(got), 1, got)
			}
			w.drain(next)
		}
	}
	w.Check()
}

// A node dies between its word that it asks and the question: when another one comes to it
// after the time for an answer, nobody was asked, so that is no outcome and the question is
// put anew. One that was put is without an answer then.
func TestWhatNobodyWasAskedIsNoOutcome(t *testing.T) {
	w := open(t, "probe: {full: 15m}\n")
	w.Clock.Advance(16 * time.Minute)
	dies := w.prober(func(o *probe.Options) { o.Store = &breaking{Store: w.store, left: 1, done: true} })
	if err := dies.Round(context.Background()); !errors.Is(err, errBroken) {
		t.Fatalf("the first write was to break: %v", err)
	}
	before := w.state(probe.Full)
	w.Clock.Advance(before.Due.Sub(w.Clock.Now()) + time.Second)
	w.round(w.prober())
	if s := w.state(probe.Full); s.MessageID == before.MessageID || !s.Due.After(w.Clock.Now()) || len(w.history()) != 0 {
		t.Errorf("%+v, %+v; want a new question", s, w.history())
	}
	if m, s := w.take(), w.state(probe.Full); m.Metadata.MessageID != string(s.MessageID) {
		t.Errorf("the provider was asked %s, want %s", m.Metadata.MessageID, s.MessageID)
	}
	w.Clock.Advance(w.state(probe.Full).Due.Sub(w.Clock.Now()) + time.Second)
	w.round(w.prober())
	if got := w.history(); len(got) != 1 || got[0].Problem != probe.Unanswered {
		t.Errorf("%+v; want one that was not answered", got)
	}
	w.Check()
}

// A door that takes nothing for as long as an answer is waited for is an outcome, and not
// the provider's: else the last one, a good one perhaps, would stand for as long as that.
func TestADoorThatTakesNothingIsAnOutcome(t *testing.T) {
	w := open(t, "probe: {full: 15m}\n")
	w.Clock.Advance(16 * time.Minute)
	w.Store.Always("Accept", adaptertest.Failed)
	p := w.prober()
	w.round(p)
	before := w.state(probe.Full)
	if before.MessageID == "" || before.Known() {
		t.Fatalf("%+v; want one that is under way", before)
	}
	w.Clock.Advance(before.Due.Sub(w.Clock.Now()) + time.Second)
	w.round(p)
	if got := w.history(); len(got) != 1 || got[0].Problem != probe.Refused || got[0].Detail == "" || got[0].Provider != "" {
		t.Errorf("%+v; want one that was not taken", got)
	}
	if s := w.state(probe.Full); s.MessageID != "" || !s.Next.After(w.Clock.Now()) {
		t.Errorf("%+v; want the next one in its time", s)
	}
	w.Store.Always("Accept", 0)
	w.Clock.Advance(16 * time.Minute)
	w.round(p)
	if m := w.take(); m.Metadata.MessageID != string(w.state(probe.Full).MessageID) {
		t.Errorf("the provider was asked %s, want %s", m.Metadata.MessageID, w.state(probe.Full).MessageID)
	}
	w.Check()
}

// drain lets what is still under way end.
func (w *watched) drain(p *probe.Prober) {
	w.T.Helper()
	if s := w.state(probe.Full); s.MessageID != "" {
		m := w.take()
		w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(ns)})
		w.outcome(p)
	}
}

// Of two nodes one probes.
func TestOneNodeProbes(t *testing.T) {
	w := open(t, "probe: {full: 15m}\n")
	one, other := w.prober(), w.prober()
	errs := make(chan error)
	for _, p := range []*probe.Prober{one, other} {
		go func() { errs <- p.Round(context.Background()) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	w.round(one)
	w.round(other)
	w.take()
	if again := w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{}, ""); again.Message != nil {
		t.Error("the provider was asked twice")
	}
}

// The short probe looks at the provider's polls, of this service, and at its queue.
func TestAShortProbeSeesWhetherAProviderWorks(t *testing.T) {
	w := open(t, "probe: {short: 1m, silent: 10m, age: 30m}\n")
	p := w.prober()
	after := func(d time.Duration) probe.State {
		w.Clock.Advance(d)
		w.round(p)
		return w.state(probe.Short)
	}
	if s := after(0); !s.Known() || s.Red() {
		t.Errorf("nobody knows yet whether the provider polls: %+v", s)
	}
	if s := after(11 * time.Minute); s.Problem != probe.Silent || s.Provider != "REGISTRY" {
		t.Errorf("a provider that never polled: %+v", s)
	}
	w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{Space: adaptertest.Extract1, Local: "ExtractRequest"}, "")
	if s := after(2 * time.Minute); s.Problem != probe.Silent {
		t.Errorf("a provider that polls for another service: %+v", s)
	}
	w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{Space: ns, Local: "ExtractRequest"}, "")
	if s := after(2 * time.Minute); s.Red() {
		t.Errorf("a provider that polls: %+v", s)
	}
	sent := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(ns)})
	if sent.Fault != nil {
		t.Fatal(sent.Fault)
	}
	w.Eventually("it stands in the queue", func() bool {
		at, err := w.store.OldestRequest(context.Background(), "REGISTRY", []registry.QName{{Space: ns, Local: "ExtractRequest"}})
		return err == nil && !at.IsZero()
	})
	w.Clock.Advance(31 * time.Minute)
	w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{Space: ns, Local: "ExtractResponse"}, "") // handed out: it waits no more
	if s := after(0); s.Red() {
		t.Errorf("a request that was handed out: %+v", s)
	}
	if sent = w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(ns)}); sent.Fault != nil {
		t.Fatal(sent.Fault)
	}
	w.Eventually("it stands in the queue", func() bool {
		at, err := w.store.OldestRequest(context.Background(), "REGISTRY", []registry.QName{{Space: ns, Local: "ExtractRequest"}})
		return err == nil && !at.IsZero()
	})
	w.Clock.Advance(31 * time.Minute)
	w.Party("REGISTRY").Get(envelopes.GetRequest, registry.QName{Space: adaptertest.Regional, Local: "ExtractRequest"}, "") // not its own queue: no poll
	if s := after(0); s.Problem != probe.Silent {
		t.Errorf("a poll that was refused counts: %+v", s)
	}
}

// What probes send counts nowhere: not in open terms, quality, reports, the totals of the
// journal that leave tests out, nor in the calls of others.
func TestProbesCountNowhere(t *testing.T) {
	w := open(t, "probe: {full: 15m, answer: 5m}\n")
	p := w.prober()
	w.round(p)
	m := w.take()
	if a := w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: "<e:Wrong xmlns:e=\"" + ns + "\"/>"}); a.Fault == nil {
		t.Fatal("a bad answer is taken")
	}
	if a := w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(ns)}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	w.outcome(p)
	w.Clock.Advance(16 * time.Minute)
	w.round(p)
	w.take() // and never answered: its term passes
	w.Clock.Advance(26 * time.Hour)
	w.outcome(p)

	metrics := w.metrics()
	for _, line := range metrics {
		for _, of := range []string{`mezhved_service_calls_total{`, `mezhved_service_answers_total{`, `mezhved_service_overdue_total{`, `mezhved_overdue_total{`, `mezhved_due_soon_total{`, `mezhved_late{`, `mezhved_expired_total`} {
			if strings.HasPrefix(line, of) && !strings.HasSuffix(line, " 0") {
				t.Errorf("a probe is counted: %s", line)
			}
		}
		for _, of := range []string{`mezhved_calls_total{`, `mezhved_party_calls_total{`, `mezhved_refused_total{`} {
			if strings.HasPrefix(line, of) && !strings.HasSuffix(line, " 0") && !strings.Contains(line, `outcome="empty"`) && !strings.Contains(line, `what="poll"`) {
				t.Errorf("a call for a probe is counted: %s", line)
			}
		}
	}
	entries := w.Entries()
	w.Eventually("the open terms have followed the log", func() bool {
		return w.Number("SELECT count(*) FROM open_term_mark WHERE next >= (SELECT size FROM journal_head)") == 1
	})
	open, err := w.store.OpenTerms(context.Background(), adapter.TermQuestion{})
	if err != nil || len(open) != 0 {
		t.Errorf("open terms: %+v, %v", open, err)
	}
	for tests, want := range map[reports.Tests]bool{reports.Without: false, reports.Only: true} {
		f, err := reports.NewFold(reports.Question{Kind: reports.Service, Period: reports.Period{From: w.Clock.Now().AddDate(0, 0, -3), To: w.Clock.Now()}, Zone: terms.Moscow, Tests: tests})
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			if _, err := f.Add(entries[i].Bytes); err != nil {
				t.Fatal(err)
			}
		}
		r, err := f.Report(reports.Log{Origin: "log", Size: int64(len(entries))})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := r.JSON(); err != nil || strings.Contains(string(text), "watched") != want {
			t.Errorf("report, tests %q: the service is in it: %v, want %v (%v)", tests, !want, want, err)
		}
	}
	book := w.Book()
	for tests, want := range map[postgres.Tests]bool{postgres.NoTests: false, postgres.TestsOnly: true} {
		totals, err := book.Totals(context.Background(), postgres.Query{Tests: tests, Service: "watched"}, "kind")
		if err != nil || (len(totals) > 0) != want {
			t.Errorf("totals of the journal, tests %q: %+v, %v", tests, totals, err)
		}
	}
	rows, err := book.Search(context.Background(), postgres.Query{Kind: journal.KindOverdue})
	if err != nil || len(rows) != 0 {
		t.Errorf("somebody was called late: %d entries, %v", len(rows), err)
	}
}

func (w *watched) metrics() []string {
	w.T.Helper()
	a, err := w.HTTP.Get(w.URL + "/metrics")
	if err != nil {
		w.T.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		w.T.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
