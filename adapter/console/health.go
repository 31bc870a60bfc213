package console

import (
	"cmp"
	"context"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/probe"
	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
)

// Probes are what the desk looks into for how services do. package postgres implements it.
type Probes interface {
	Probes(ctx context.Context) ([]probe.State, error)
	ProbeHistory(ctx context.Context, service, version string, from time.Time, limit int) ([]probe.Result, error)
	LastPolls(ctx context.Context) (map[adapter.PollOf]time.Time, error)
	OldestRequest(ctx context.Context, to registry.Mnemonic, roots []registry.QName) (time.Time, error)
}

// ServiceHealth is how a service version does, as probes show it. What names parties is
// for the desk alone.
type ServiceHealth struct {
	Service string    `json:"service"`
	Version string    `json:"version"`
	Title   string    `json:"title"`
	State   string    `json:"state"` // good, bad, unknown
	Since   time.Time `json:"since,omitzero"`
	At      time.Time `json:"at,omitzero"`         // of the last probe
	Found   string    `json:"found,omitempty"`     // what is wrong: description, schema, silent, waits, refused, unanswered, rejected, undelivered, answer
	Answer  int64     `json:"answerMs,omitempty"`  // of the last full probe that was well
	Hours   []string  `json:"hours"`               // the last 24, the oldest first: good, bad, mixed, none
	Probes  []Probed  `json:"probes,omitempty"`    // the desk's
	Parties []Watched `json:"providers,omitempty"` // the desk's
	worst   *probe.State
}

// Probed is what one probe has found last.
type Probed struct {
	Kind     string    `json:"kind"` // short, full
	State    string    `json:"state"`
	At       time.Time `json:"at,omitzero"`
	Since    time.Time `json:"since,omitzero"`
	Next     time.Time `json:"next"`
	Found    string    `json:"found,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Took     int64     `json:"tookMs,omitempty"`
	Waits    string    `json:"messageId,omitempty"` // the request that awaits its answer
}

// Watched is a provider of a service that is probed.
type Watched struct {
	Party  string    `json:"party"`
	Polled time.Time `json:"polled,omitzero"` // it has last asked for requests of the service
	Oldest time.Time `json:"oldest,omitzero"` // its oldest request waits since then
	Stream bool      `json:"stream,omitempty"`
}

// Health is how all services do that are probed.
type Health struct {
	At       time.Time       `json:"at"`
	State    string          `json:"state"` // good, bad; unknown while nothing is known
	Services []ServiceHealth `json:"services"`
	Outcomes []Outcome       `json:"outcomes,omitempty"` // of the version that was asked for, the latest first
}

// Outcome is what came of one probe.
type Outcome struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Found    string    `json:"found,omitempty"` // empty: all was well
	Detail   string    `json:"detail,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Took     int64     `json:"tookMs,omitempty"`
}

const healthHours = 24

// health gathers how services do; named says whether parties may be named.
func (c *Console) health(ctx context.Context, named bool) (*Health, error) {
	now := c.Now().UTC()
	h := &Health{At: now, State: "unknown", Services: []ServiceHealth{}}
	states, err := c.Probes.Probes(ctx)
	if err != nil {
		return nil, err
	}
	from := now.Truncate(time.Hour).Add(-(healthHours - 1) * time.Hour)
	results, err := c.Probes.ProbeHistory(ctx, "", "", from, 0)
	if err != nil {
		return nil, err
	}
	var polls map[adapter.PollOf]time.Time
	if named {
		if polls, err = c.Probes.LastPolls(ctx); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Gateway().Catalog().Services() {
		if s.Probe == nil || s.Stage != registry.StagePublished && s.Stage != registry.StageTest {
			continue
		}
		one := ServiceHealth{Service: s.Name, Version: s.Version, Title: cmp.Or(s.Title, s.Name), State: "unknown", Hours: hoursOf(results, s, from)}
		for i := range states {
			if p := &states[i]; p.Service == s.Name && p.Version == s.Version {
				one.add(p, named)
			}
		}
		if named {
			for _, m := range s.Providers {
				w := Watched{Party: string(m), Stream: s.Stream, Polled: probe.LastPoll(polls, m, s.Name)}
				if w.Oldest, err = c.Probes.OldestRequest(ctx, m, []registry.QName{s.Request}); err != nil {
					return nil, err
				}
				one.Parties = append(one.Parties, w)
			}
		}
		h.Services = append(h.Services, one)
		if one.State == "bad" || one.State == "good" && h.State == "unknown" {
			h.State = one.State
		}
	}
	return h, nil
}

// add puts what a probe has found to a service: what is wrong before what is well.
func (s *ServiceHealth) add(p *probe.State, named bool) {
	state := stateOf(p)
	if named {
		s.Probes = append(s.Probes, Probed{Kind: string(p.Kind), State: state, At: p.At, Since: p.Since, Next: p.Next, Found: string(p.Problem), Detail: p.Detail,
			Provider: string(p.Provider), Took: p.Took.Milliseconds(), Waits: string(p.MessageID)})
	}
	if !p.Known() {
		return
	}
	if p.Kind == probe.Full && !p.Red() {
		s.Answer = p.Took.Milliseconds()
	}
	if p.At.After(s.At) {
		s.At = p.At
	}
	if s.worst == nil || p.Red() && !s.worst.Red() || p.Red() == s.worst.Red() && p.Since.After(s.worst.Since) {
		s.worst = p
		s.State, s.Since, s.Found = state, p.Since, string(p.Problem)
	}
}

func stateOf(p *probe.State) string {
	switch {
	case !p.Known():
		return "unknown"
	case p.Red():
		return "bad"
	}
	return "good"
}

// hoursOf is what probes of a version have found, by the hour.
func hoursOf(results []probe.Result, s *registry.Service, from time.Time) []string {
	hours := slices.Repeat([]string{"none"}, healthHours)
	for _, r := range results {
		n := int(r.At.Sub(from) / time.Hour)
		if r.Service != s.Name || r.Version != s.Version || n < 0 || n >= healthHours {
			continue
		}
		found := "good"
		if r.Problem != "" {
			found = "bad"
		}
		if hours[n] != "none" && hours[n] != found {
			found = "mixed"
		}
		hours[n] = found
	}
	return hours
}

// healthOf is the desk's view, with the last outcomes of a version that is asked for.
func (c *Console) healthOf(r *http.Request) (*Health, error) {
	h, err := c.health(r.Context(), true)
	if err != nil {
		return nil, err
	}
	service, version := r.URL.Query().Get("service"), r.URL.Query().Get("version")
	if service == "" {
		return h, nil
	}
	results, err := c.Probes.ProbeHistory(r.Context(), service, version, c.Now().AddDate(0, 0, -31), 100)
	if err != nil {
		return nil, err
	}
	h.Services = slices.DeleteFunc(h.Services, func(s ServiceHealth) bool { return s.Service != service || s.Version != version })
	if len(h.Services) == 0 && len(results) == 0 {
		return nil, problem(http.StatusNotFound, Text{"Версия %q %q не проверяется.", "The version %q %q is not probed."}, clipped(service, 80), clipped(version, 80))
	}
	h.Outcomes = []Outcome{}
	for _, one := range results {
		h.Outcomes = append(h.Outcomes, Outcome{one.At, string(one.Kind), string(one.Problem), one.Detail, string(one.Provider), one.Took.Milliseconds()})
	}
	return h, nil
}

func (c *Console) serveHealth(w http.ResponseWriter, r *http.Request, _ Actor) error {
	h, err := c.healthOf(r)
	if err != nil {
		return err
	}
	return writeJSON(w, h)
}

func (c *Console) pageHealth(r *http.Request, _ Actor) (any, error) { return c.healthOf(r) }

// publicHealth is the page for everybody: how services do, and nothing of parties.
type publicHealth struct {
	*Console
	mu   sync.Mutex
	last *Health // kept for a moment: whoever asks often costs no more
}

const publicAge = 5 * time.Second

// PublicHealth opens /status, a page for everybody, and /status.json. Tokens are not
// needed, nor is a journal.
func PublicHealth(r Doors, rooms Rooms) error {
	c := &Console{Rooms: rooms}
	if c.Zone == nil {
		c.Zone = terms.Moscow
	}
	c.pages = c.preparePages()
	p := &publicHealth{Console: c}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return err
	}
	r.Group(func(r chi.Router) {
		r.Use(guarded)
		r.Get("/status", p.servePage)
		r.Get("/status.json", func(w http.ResponseWriter, r *http.Request) {
			h, err := p.look(r.Context())
			if err == nil {
				err = writeJSON(w, h)
			}
			if err != nil {
				http.Error(w, "It cannot be told now; ask again in a few seconds.", http.StatusServiceUnavailable)
			}
		})
		r.Get("/console/static/*", http.StripPrefix("/console/static/", http.FileServerFS(files)).ServeHTTP)
	})
	return nil
}

func (p *publicHealth) look(ctx context.Context) (*Health, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && p.Now().Sub(p.last.At).Abs() < publicAge {
		return p.last, nil
	}
	h, err := p.health(ctx, false)
	if err != nil {
		p.Log.Warn("how services do cannot be told now", "error", err)
		return nil, err
	}
	p.last = h
	return h, nil
}

func (p *publicHealth) servePage(w http.ResponseWriter, r *http.Request) {
	h, err := p.look(r.Context())
	if err != nil {
		http.Error(w, "Сейчас показать нельзя, повторите через несколько секунд.", http.StatusServiceUnavailable)
		return
	}
	for _, one := range choices[:2] { // language and zone, by the address alone
		if to := r.URL.Query().Get(one.param); slices.Contains(one.values[:], to) {
			r.AddCookie(&http.Cookie{Name: one.cookie, Value: to})
		}
	}
	p.render(w, r, http.StatusOK, "status", Actor{}, h)
}
