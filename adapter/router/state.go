package router

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/envelopes"
)

// metrics is what the router counts. Labels come from closed sets: operations, outcomes,
// names of installations.
type metrics struct {
	asked   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	refused *prometheus.CounterVec
	answers *prometheus.GaugeVec
	atWork  prometheus.Gauge
	reloads *prometheus.CounterVec
	panics  prometheus.Counter
}

func newMetrics(r *prometheus.Registry) *metrics {
	m := &metrics{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "mezhved", Name: "route_asked_total",
			Help: "Calls that a router has passed on, by operation, installation and what it said: ok, empty, refused, later (to come again), lost (it has not answered), passed (not asked, for it has just not answered), gone (the caller hung up), no-room.",
		}, []string{"operation", "installation", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "mezhved", Name: "route_seconds", Help: "Time until an installation has answered a router.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40},
		}, []string{"installation"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "mezhved", Name: "route_refused_total",
			Help: "Calls that a router has refused by itself, by reason.",
		}, []string{"reason"}),
		answers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "mezhved", Name: "route_installation_answers",
			Help: "Whether an installation has answered the last call that a router passed on to it: 1 or 0; not there before the first.",
		}, []string{"installation"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "mezhved", Name: "route_reloads_total",
			Help: "Readings of services and parties again by a router, by outcome: ok or refused.",
		}, []string{"outcome"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "mezhved", Name: "panics_total", Help: "Calls that ended in a panic of ours."}), // as a gateway has it, and the alert with it
		atWork: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "mezhved", Name: "route_calls_at_work", Help: "Calls that a router is passing on now."}),
	}
	r.MustRegister(m.asked, m.seconds, m.refused, m.answers, m.atWork, m.reloads, m.panics)
	return m
}

func (m *metrics) count(op envelopes.Operation, i *installation, outcome string) {
	name := "none"
	if op != 0 {
		name = op.String()
	}
	m.asked.WithLabelValues(name, i.name, outcome).Inc()
}

// installationState is what readiness tells of an installation.
type installationState struct {
	Name    string `json:"name"`
	State   string `json:"state"`             // as its /readyz has it: ready, degraded, unavailable; or unreachable, and the log says why
	Differs bool   `json:"differs,omitempty"` // it has other services or parties than the router
}

// serveReadiness says which installations can be reached and what they say of themselves.
// The router is ready while one of them takes calls: those for others are answered with an
// outage, wherever they come in.
func (r *Router) serveReadiness(w http.ResponseWriter, req *http.Request) {
	h := r.homes.Load()
	state := struct {
		Ready         bool                `json:"ready"`
		State         string              `json:"state"` // ready, degraded, unavailable
		Draining      bool                `json:"draining,omitempty"`
		Installations []installationState `json:"installations"`
		Services      int                 `json:"services"`
		Parties       int                 `json:"parties"`
	}{State: "unavailable", Installations: r.states(req.Context()), Services: len(h.catalog.Services()), Parties: len(h.catalog.Parties())}
	if req.Context().Err() != nil {
		return // who asks has hung up
	}
	well := 0
	for _, i := range state.Installations {
		switch i.State {
		case "ready":
			well++
			state.Ready = true
		case "degraded":
			state.Ready = true
		}
	}
	select {
	case <-r.draining:
		state.Draining, state.Ready = true, false
	default:
	}
	switch {
	case state.Ready && well == len(state.Installations):
		state.State = "ready"
	case state.Ready:
		state.State = "degraded"
	}
	w.Header().Set("Content-Type", "application/json")
	if !state.Ready {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(state)
}

// round is one asking of all installations, which all who ask meanwhile share.
type round struct {
	began  time.Time
	done   chan struct{} // closed when states are there
	states []installationState
}

// fresh is for how long a round is good from its beginning: however many ask whether the
// router is ready, and they are proved by nothing, an installation is asked no more often.
const fresh = time.Second

// states are what the installations say of themselves now; nil: who asks has hung up.
func (r *Router) states(ctx context.Context) []installationState {
	now, mine := r.thisRound()
	if mine {
		defer close(now.done)
		now.states = r.askAll(context.WithoutCancel(ctx)) // others wait for it, whoever hangs up
		return now.states
	}
	select {
	case <-now.done:
		return now.states
	case <-ctx.Done():
		return nil
	}
}

// thisRound is the round that counts now, and whether it is the caller's to ask.
func (r *Router) thisRound() (now *round, mine bool) {
	r.asking.Lock()
	defer r.asking.Unlock()
	if r.round != nil {
		select {
		case <-r.round.done:
			if time.Since(r.round.began) < fresh {
				return r.round, false
			}
		default:
			return r.round, false
		}
	}
	r.round = &round{began: time.Now(), done: make(chan struct{})}
	return r.round, true
}

// askAll asks all installations at once.
func (r *Router) askAll(ctx context.Context) []installationState {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second) // a node takes three at most
	defer cancel()
	out := make([]installationState, len(r.installations))
	var all sync.WaitGroup
	for n, i := range r.installations {
		all.Go(func() {
			says, err := r.state(ctx, i)
			if err != nil {
				r.log.Warn("an installation cannot be asked whether it is ready", "installation", i.name, "error", err)
			}
			out[n] = installationState{i.name, says.State, r.differs(i, says.Registry)}
		})
	}
	all.Wait()
	return out
}

// differs says whether an installation has other services or parties than the router, by what
// its node says of them; a node of a release before says nothing. It is told in the log once
// for each change. The rounds, which come one after the other, ask it.
func (r *Router) differs(i *installation, has string) bool {
	own := r.homes.Load().catalog.Likeness
	switch {
	case has == "":
		return false
	case has == own:
		if i.unlike != "" {
			r.log.Info("an installation has the services and parties of this router again", "installation", i.name)
		}
		i.unlike = ""
		return false
	case i.unlike != own+has:
		i.unlike = own + has
		r.log.Warn("an installation has other services or parties than this router: have both read the same folders", "installation", i.name, "has", has, "own", own)
	}
	return true
}

// says is what a node tells at /readyz, as far as a router reads it.
type says struct {
	State    string `json:"state"`
	Registry string `json:"registry"`
}

// state is what an installation says of itself. An error says why it says nothing.
func (r *Router) state(ctx context.Context, i *installation) (says, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.base+"/readyz", nil)
	if err != nil {
		return says{State: "unreachable"}, err
	}
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return says{State: "unreachable"}, err
	}
	defer resp.Body.Close()
	var said says
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&said)
	switch {
	case err == nil && (said.State == "ready" || said.State == "degraded" || said.State == "unavailable"):
		return said, nil
	case resp.StatusCode == http.StatusOK:
		return says{State: "ready"}, nil
	}
	return says{State: "unavailable"}, fmt.Errorf("HTTP status %d, and nothing that a gateway says", resp.StatusCode)
}
