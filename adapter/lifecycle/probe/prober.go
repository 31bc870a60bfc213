package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/signing"
)

// Options put a Prober together. All are needed but Signer, without which no probe is
// full.
type Options struct {
	Store   Store
	Gateway func() *adapter.Gateway
	Signer  signing.Signer    // of probe.party; nil: there is none
	Bus     *signing.Verifier // proves the gateway's answers; nil: they are not signed
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *prometheus.Registry
}

// Prober does the probes of a node.
type Prober struct {
	o      Options
	client *party.Client
	began  time.Time
	sent   map[adapter.MessageID]bool   // by this process: what another one may have sent is sent again
	shut   map[adapter.MessageID]string // by this process, and the door could not take it: why
	good   *prometheus.GaugeVec
	at     *prometheus.GaugeVec
	took   *prometheus.GaugeVec
	runs   *prometheus.CounterVec
	waits  prometheus.Gauge
}

// New makes a Prober.
func New(o Options) *Prober {
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "mezhved", Name: name, Help: help}, []string{"service", "version", "kind"})
	}
	p := &Prober{
		o: o, began: o.Now(), sent: map[adapter.MessageID]bool{}, shut: map[adapter.MessageID]string{},
		good:  gauges("probe_good", "What the last probe of a service version has found: 1 all is well, 0 something is wrong."),
		at:    gauges("probe_at_seconds", "Unix time of the last probe's outcome."),
		took:  gauges("probe_answer_seconds", "How long the provider took to answer the last full probe."),
		runs:  prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Name: "probes_total", Help: "Probes that this node has done, by what they have found (ok, or the problem)."}, []string{"service", "version", "kind", "outcome"}),
		waits: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "probe_waiting_seconds", Help: "For how long the probe that is to be done next waits for it; 0: none does."}),
	}
	o.Metrics.MustRegister(p.good, p.at, p.took, p.runs, p.waits)
	if o.Signer != nil {
		p.client = &party.Client{URL: "http://" + here + "/ws", Signer: o.Signer, Bus: o.Bus, AllowUnsigned: o.Bus == nil, Clock: o.Now, Attempts: 1,
			HTTP: &http.Client{Transport: p, Timeout: callTime}}
	}
	return p
}

const (
	pause    = 2 * time.Second  // between rounds
	callTime = 30 * time.Second // of a call
	mostRead = 200              // answers of one round
)

// Run probes until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	for {
		if err := p.Round(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Round notes who has polled this node, does what is due and publishes what is known.
func (p *Prober) Round(ctx context.Context) error {
	plans := p.plans()
	if len(plans) == 0 {
		known, err := p.o.Store.Probes(ctx)
		if err != nil || len(known) == 0 {
			return err
		}
	}
	if polls := p.o.Gateway().TakePolls(); len(polls) > 0 {
		if err := p.o.Store.NotePolls(ctx, polls); err != nil {
			return err
		}
	}
	err := p.o.Store.LeadProbes(ctx, func(ctx context.Context, t Term) error { return p.lead(ctx, t, plans) })
	if err != nil && !errors.Is(err, adapter.ErrShardTaken) && !errors.Is(err, journal.ErrDeposed) {
		return fmt.Errorf("probing: %w", err)
	}
	return p.publish(ctx)
}

// plan is a service version that is watched.
type plan struct {
	*registry.Service
	*registry.Probe
	provider registry.Mnemonic // whom the sample goes to
}

// plans are the versions that are watched, by name and version. What is no longer, or
// not yet, in use is not.
func (p *Prober) plans() (out []plan) {
	for _, s := range p.o.Gateway().Catalog().Services() {
		if s.Probe != nil && (s.Stage == registry.StagePublished || s.Stage == registry.StageTest) {
			out = append(out, plan{s, s.Probe, s.ProbedBy()})
		}
	}
	return out
}

// work is what a leader works on: the states by key.
type work struct {
	Term
	states map[Key]*State
}

func (w *work) state(k Key) *State {
	if w.states[k] == nil {
		w.states[k] = &State{Key: k}
	}
	return w.states[k]
}

// lead does what is due, as the node that leads.
func (p *Prober) lead(ctx context.Context, t Term, plans []plan) error {
	known, err := p.o.Store.Probes(ctx)
	if err != nil {
		return err
	}
	w := &work{t, map[Key]*State{}}
	for i := range known {
		w.states[known[i].Key] = &known[i]
	}
	var wanted []Key
	for i := range plans {
		for kind, every := range map[Kind]time.Duration{Short: plans[i].Short, Full: plans[i].Full} {
			if every > 0 {
				wanted = append(wanted, Key{plans[i].Name, plans[i].Version, kind})
			}
		}
	}
	if slices.ContainsFunc(known, func(s State) bool { return !slices.Contains(wanted, s.Key) }) {
		if err := t.Forget(ctx, wanted); err != nil {
			return err
		}
	}
	if err := p.short(ctx, w, plans); err != nil {
		return err
	}
	return p.full(ctx, w, plans)
}

// next is when a probe is to be done again: in the rhythm of its period, so that nothing
// is caught up on after a long rest.
func next(last, now time.Time, every time.Duration) time.Time {
	if at := last.Add(every); at.After(now) {
		return at
	}
	return now.Add(every)
}

// short does the short probes that are due.
func (p *Prober) short(ctx context.Context, w *work, plans []plan) error {
	now := p.o.Now().UTC()
	var polls map[adapter.PollOf]time.Time
	var states []State
	var results []Result
	for i := range plans {
		s := w.state(Key{plans[i].Name, plans[i].Version, Short})
		if plans[i].Short == 0 || s.Next.After(now) {
			continue
		}
		if polls == nil {
			var err error
			if polls, err = p.o.Store.LastPolls(ctx); err != nil {
				return err
			}
		}
		found, err := p.look(ctx, &plans[i], s, polls, now)
		if err != nil {
			return err
		}
		s.Next = next(s.Next, now, plans[i].Short)
		results = append(results, s.end(now, found))
		states = append(states, *s)
	}
	if len(states) == 0 {
		return nil
	}
	if err := w.Save(ctx, states, results); err != nil {
		return err
	}
	p.count(results)
	return nil
}

// look is one short probe. What is nearest to us is looked at first.
func (p *Prober) look(ctx context.Context, s *plan, before *State, polls map[adapter.PollOf]time.Time, now time.Time) (outcome, error) {
	if !p.described(ctx) {
		return outcome{problem: Undescribed}, nil
	}
	if s.Sample != nil && s.provider == "" {
		return outcome{problem: BadSchema}, nil
	}
	if rule := s.refuses(s.Sample); s.Sample != nil && rule != "" {
		return outcome{problem: BadSchema, detail: rule}, nil
	}
	if s.Stream { // its providers read the bus, and ask nobody
		return outcome{}, nil
	}
	roots := []registry.QName{s.Request}
	for _, m := range s.Providers {
		last := LastPoll(polls, m, s.Name)
		if last.IsZero() && before.Problem != Silent {
			last = p.began // nobody has noted polls before
		}
		if now.Sub(last) > s.Silent {
			return outcome{problem: Silent, provider: m}, nil
		}
	}
	for _, m := range s.Providers {
		oldest, err := p.o.Store.OldestRequest(ctx, m, roots)
		if err != nil {
			return outcome{}, err
		}
		if !oldest.IsZero() && now.Sub(oldest) > s.Age {
			return outcome{problem: Waits, provider: m}, nil
		}
	}
	return outcome{}, nil
}

// LastPoll is when a party has last asked for requests of a service.
func LastPoll(polls map[adapter.PollOf]time.Time, m registry.Mnemonic, service string) time.Time {
	last := polls[adapter.PollOf{Party: m}]
	if of := polls[adapter.PollOf{Party: m, Service: service}]; of.After(last) {
		last = of
	}
	return last
}

// described asks the door for its description.
func (p *Prober) described(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+here+"/smev/v1.2/ws?wsdl", nil)
	if err != nil {
		return false
	}
	a, err := p.RoundTrip(r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(a.Body)
	return err == nil && a.StatusCode == http.StatusOK && bytes.Contains(body, []byte("definitions"))
}

// full ends the full probes that have their answer or have waited long enough, and begins
// those that are due.
func (p *Prober) full(ctx context.Context, w *work, plans []plan) error {
	if p.client == nil {
		return nil
	}
	under := map[adapter.MessageID]*plan{}
	for i := range plans {
		if s := w.states[Key{plans[i].Name, plans[i].Version, Full}]; s != nil && s.MessageID != "" {
			under[s.MessageID] = &plans[i]
		}
	}
	maps.DeleteFunc(p.sent, func(id adapter.MessageID, _ bool) bool { return under[id] == nil }) // another node has ended it
	maps.DeleteFunc(p.shut, func(id adapter.MessageID, _ string) bool { return under[id] == nil })
	for i := range plans {
		s := w.state(Key{plans[i].Name, plans[i].Version, Full})
		if plans[i].Full == 0 {
			continue
		}
		if s.MessageID != "" && !p.sent[s.MessageID] && p.o.Now().Before(s.Due) {
			if err := p.ask(ctx, w, &plans[i], s); err != nil { // whoever led before may not have come to it
				return err
			}
		}
	}
	if err := p.answers(ctx, w, under); err != nil {
		return err
	}
	now := p.o.Now().UTC()
	for i := range plans {
		s := w.state(Key{plans[i].Name, plans[i].Version, Full})
		switch {
		case plans[i].Full == 0:
		case s.MessageID != "" && !now.Before(s.Due):
			asked, err := p.asked(ctx, s.MessageID)
			if err != nil {
				return err
			}
			switch why := p.shut[s.MessageID]; {
			case asked:
				err = p.done(ctx, w, s, outcome{problem: Unanswered, provider: plans[i].provider})
			case why != "": // begun anew it would find the same door
				err = p.done(ctx, w, s, outcome{problem: Refused, detail: why})
			default:
				err = p.begin(ctx, w, &plans[i], s, now)
			}
			if err != nil {
				return err
			}
		case s.MessageID == "" && !s.Next.After(now):
			s.Next = next(s.Next, now, plans[i].Full)
			if err := p.begin(ctx, w, &plans[i], s, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin commits to a MessageID and sends the sample under it.
func (p *Prober) begin(ctx context.Context, w *work, s *plan, state *State, now time.Time) error {
	state.MessageID, state.Sent, state.Due = p.o.Gateway().ProbeID(now), now, now.Add(s.Answer).Truncate(time.Second)
	if err := w.Save(ctx, []State{*state}, nil); err != nil {
		return err
	}
	return p.ask(ctx, w, s, state)
}

// asked says whether a probe's request was accepted, by whichever node: who led before may
// have died before it sent one, and then nobody is to blame that no answer came.
func (p *Prober) asked(ctx context.Context, id adapter.MessageID) (bool, error) {
	if p.sent[id] {
		return true, nil
	}
	_, err := p.o.Store.Find(ctx, id)
	if errors.Is(err, adapter.ErrNotFound) {
		return false, nil
	}
	return true, err
}

// ask sends the sample under the MessageID that was committed for it. What is refused is
// an outcome; what a door could not take now is tried again in the next round, until the
// wait is over, and then that is the outcome.
func (p *Prober) ask(ctx context.Context, w *work, s *plan, state *State) error {
	r := party.Request{MessageID: string(state.MessageID), Unsure: true, Content: s.Sample, EOL: state.Due, Test: true}
	if s.Personal == registry.PersonalRequired {
		r.Official = p.o.Signer
	}
	_, err := p.client.SendRequest(ctx, r)
	var fault *party.FaultError
	switch {
	case err == nil:
		p.sent[state.MessageID] = true
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !p.o.Now().Before(state.Due):
		return nil // refused for that, maybe
	case errors.As(err, &fault) && !fault.Retry():
		return p.done(ctx, w, state, outcome{problem: Refused, provider: s.provider, detail: string(fault.Fault.Kind)})
	}
	p.shut[state.MessageID] = kindOf(err)
	p.o.Log.Warn("a probe's request was not taken, it is sent again", "service", s.Name, "version", s.Version, "error", kindOf(err))
	return nil
}

// kindOf is what the log may have of an error of a call: it may quote what was sent.
func kindOf(err error) string {
	var fault *party.FaultError
	if errors.As(err, &fault) {
		return string(fault.Fault.Kind)
	}
	return "the call failed"
}

// answers takes what has come for the probe's party.
func (p *Prober) answers(ctx context.Context, w *work, under map[adapter.MessageID]*plan) error {
	for range mostRead {
		m, err := p.client.PollResponse(ctx, party.Selector{})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.o.Log.Warn("answers to probes cannot be taken now", "error", kindOf(err))
			return nil
		case m == nil:
			return nil
		}
		request := adapter.MessageID(m.OriginalMessageID)
		if m.Async != nil && request == "" {
			request = adapter.MessageID(m.Async.OriginalMessageID)
		}
		if s := under[request]; s != nil {
			if found, final := s.judge(m); final {
				state := w.state(Key{s.Name, s.Version, Full})
				found.provider, found.took = s.provider, max(m.Metadata.Sent.Sub(state.Sent), 0)
				if err := p.done(ctx, w, state, found); err != nil {
					return err // it comes again
				}
				delete(under, request)
			}
		}
		if err := p.client.Ack(ctx, m.Metadata.MessageID, true); err != nil && ctx.Err() == nil {
			p.o.Log.Warn("an answer to a probe was not acknowledged, it comes again", "error", kindOf(err))
			return nil
		}
	}
	return nil
}

// judge says what an answer shows; a status is no answer yet.
func (s *plan) judge(m *party.Message) (found outcome, final bool) {
	r := m.Response
	switch {
	case m.Async != nil:
		return outcome{problem: Undelivered, detail: string(m.Async.Category)}, true
	case r == nil:
		return outcome{problem: BadAnswer, detail: "empty"}, true
	case r.Status != nil:
		return outcome{}, false
	case len(r.Rejections) > 0:
		if s.Rejection {
			return outcome{}, true
		}
		return outcome{problem: Rejected, detail: string(r.Rejections[0].Code)}, true
	case !r.Content.Valid():
		return outcome{problem: BadAnswer, detail: "empty"}, true
	case (registry.QName{Space: r.Content.Space(), Local: r.Content.Local()}) != s.Response:
		return outcome{problem: BadAnswer, detail: "root"}, true
	}
	if rule := ruleOf(s.Validate(r.Content)); rule != "" {
		return outcome{problem: BadAnswer, detail: rule}, true
	}
	return outcome{}, true
}

// done commits the outcome of a full probe.
func (p *Prober) done(ctx context.Context, w *work, s *State, o outcome) error {
	id := s.MessageID
	result := s.end(p.o.Now().UTC(), o)
	if err := w.Save(ctx, []State{*s}, []Result{result}); err != nil {
		return err
	}
	delete(p.sent, id)
	p.count([]Result{result})
	return nil
}

func (p *Prober) count(results []Result) {
	for _, r := range results {
		found := string(r.Problem)
		if found == "" {
			found = "ok"
		}
		p.runs.WithLabelValues(r.Service, r.Version, string(r.Kind), found).Inc()
	}
}

// publish gives the metrics what all nodes know.
func (p *Prober) publish(ctx context.Context) error {
	states, err := p.o.Store.Probes(ctx)
	if err != nil {
		return err
	}
	p.good.Reset()
	p.at.Reset()
	p.took.Reset()
	now, waits := p.o.Now(), time.Duration(0)
	for i := range states {
		s := &states[i]
		if late := now.Sub(s.Next); s.MessageID == "" && late > waits {
			waits = late
		}
		if !s.Known() {
			continue
		}
		labels := []string{s.Service, s.Version, string(s.Kind)}
		good := 1.0
		if s.Red() {
			good = 0
		}
		p.good.WithLabelValues(labels...).Set(good)
		p.at.WithLabelValues(labels...).Set(float64(s.At.Unix()))
		if s.Kind == Full && !s.Red() {
			p.took.WithLabelValues(labels...).Set(s.Took.Seconds())
		}
	}
	p.waits.Set(waits.Seconds())
	return nil
}
