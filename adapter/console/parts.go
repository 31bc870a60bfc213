package console

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
)

// Overview is what whoever sits down at the desk sees first.
type Overview struct {
	Node     string    `json:"node"`
	At       time.Time `json:"at"`
	Ready    bool      `json:"ready"` // new messages are accepted
	Parts    []Part    `json:"parts"`
	Standing []Still   `json:"standing"` // what waits longer than it should
	Queues   Queues    `json:"queues"`
	Services int       `json:"services"`
	Parties  int       `json:"parties"`
	Journal  *Log      `json:"journal,omitempty"`  // absent on a node that does not keep it
	Today    []Total   `json:"today,omitempty"`    // entries of the last 24 hours by kind
	Refusals []Entry   `json:"refusals,omitempty"` // the latest, newest first
	// Expiring are registered certificates that end within 30 days, or have ended.
	Expiring []Expiring `json:"expiring"`
}

// Still is something that stands still, as /readyz tells it too.
type Still struct {
	Station string    `json:"station"`
	Since   time.Time `json:"since"`
	Text    string    `json:"text"` // what waits, and what to do
}

// Part is a part of the node and whether it works.
type Part struct {
	Name   string `json:"name"` // store, bus, journal; clock and gateway when they do not work
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Log says where the journal stands.
type Log struct {
	Origin  string    `json:"origin"`
	Size    int64     `json:"size"`    // entries
	Covered int64     `json:"covered"` // of them under the latest checkpoint
	Signed  time.Time `json:"signed,omitzero"`
	Stopped string    `json:"stopped,omitempty"` // why, when it is
}

// Expiring is a certificate whose end is near.
type Expiring struct {
	Party    string    `json:"party"`
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"notAfter"`
	Expired  bool      `json:"expired"`
}

// Queues tells what waits.
type Queues struct {
	Waiting int     `json:"waiting"`
	Leased  int     `json:"leased"`
	Queues  []Queue `json:"queues"`
}

// Queue is one queue of a system that is not empty.
type Queue struct {
	System  string    `json:"system"`
	Kind    string    `json:"kind"` // request, response or status
	Node    string    `json:"node,omitempty"`
	Waiting int       `json:"waiting"`
	Leased  int       `json:"leased"` // handed out and not acknowledged yet
	Oldest  time.Time `json:"oldest,omitzero"`
	Lanes   []Lane    `json:"lanes"`
}

// Lane is what of a queue is one service's and one sender's, handed out or not.
type Lane struct {
	Service  string `json:"service"`
	Sender   string `json:"sender"`
	Messages int    `json:"messages"`
}

func (c *Console) queues(ctx context.Context) (Queues, error) {
	out := Queues{Queues: []Queue{}}
	depths, err := c.Store.Depths(ctx)
	if err != nil {
		return out, err
	}
	list, err := c.Store.Lanes(ctx)
	lanes := map[adapter.Queue][]Lane{}
	for _, l := range list {
		if l.Messages == 0 {
			continue // all of it is on its way there
		}
		lanes[l.Queue] = append(lanes[l.Queue], Lane{l.Service, string(l.Sender), l.Messages})
	}
	for _, d := range depths {
		out.Waiting, out.Leased = out.Waiting+d.Waiting, out.Leased+d.Leased
		out.Queues = append(out.Queues, Queue{string(d.Queue.System), string(d.Queue.Kind), d.Queue.Node, d.Waiting, d.Leased, d.Oldest.UTC(), slices.Concat([]Lane{}, lanes[d.Queue])})
	}
	return out, err
}

func (c *Console) serveQueues(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := c.queues(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, q)
}

// Service is one version of a service.
type Service struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Title     string   `json:"title"`
	Stage     string   `json:"stage"`
	Request   string   `json:"request"` // {namespace}local
	Response  string   `json:"response,omitempty"`
	Broadcast bool     `json:"broadcast,omitempty"`
	Providers []string `json:"providers"`
	Callers   []string `json:"callers,omitempty"` // absent: every registered party
	Deadline  string   `json:"deadline,omitempty"`
	Schema    string   `json:"schema"`           // hex SHA-256, as entries name it
	Shadow    bool     `json:"shadow,omitempty"` // a draft that live traffic is held against

	Held      bool     `json:"held,omitempty"`      // it is to be published, and is at the stage test until its test protocol holds
	Protocol  string   `json:"protocol,omitempty"`  // hex SHA-256 of the test protocol
	SignedBy  []string `json:"signedBy,omitempty"`  // whose signatures over it hold
	Unchecked []string `json:"unchecked,omitempty"` // what of the signatures nobody could check, and why
	Missing   []string `json:"missing,omitempty"`   // why the protocol does not hold, where somebody has to sign
	Forced    string   `json:"forced,omitempty"`    // why it is published nevertheless

	LastDay     string        `json:"lastDay,omitempty"`     // of a retired version that still takes requests
	StillCalled []StillCalled `json:"stillCalled,omitempty"` // who has called it in the last 30 days
}

// StillCalled is a party that calls a version that comes to its end.
type StillCalled struct {
	Party    string `json:"party"`
	Requests int64  `json:"requests"`
}

// stillSince is how far back it is asked who still calls a version.
const stillSince = 30 * 24 * time.Hour

// services are all versions; what is missing is told in the language.
func (c *Console) services(ctx context.Context, lang string) ([]Service, error) {
	out := []Service{}
	for _, s := range c.Gateway().Catalog().Services() {
		v := Service{Name: s.Name, Version: s.Version, Title: s.Title, Stage: string(s.Stage), Request: s.Request.String(), Broadcast: s.Broadcast, Schema: s.SchemaDigest,
			Providers: words(s.Providers), Callers: words(s.Callers()), Held: s.Held, LastDay: s.LastDay()}
		if s.Response.Local != "" {
			v.Response = s.Response.String()
		}
		v.Deadline, v.Shadow = s.Deadline.String(), s.Shadow
		if p := s.Protocol; p != nil {
			v.Protocol = p.Digest
			for _, one := range p.Signatures {
				v.SignedBy = append(v.SignedBy, one.Mnemonic)
				for _, u := range one.Unchecked {
					v.Unchecked = append(v.Unchecked, one.Mnemonic+": "+map[bool]string{true: u.English, false: u.Russian}[lang == "en"])
				}
			}
			if p.Forced != nil {
				v.Forced = p.Forced.Reason
			}
			if len(s.Signers) > 0 {
				for _, f := range p.Flaws {
					v.Missing = append(v.Missing, map[bool]string{true: f.String(), false: f.InRussian()}[lang == "en"])
				}
			}
		}
		if v.LastDay != "" && c.Journal != nil {
			var err error
			if v.StillCalled, err = c.stillCalled(ctx, s); err != nil {
				return nil, err
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// stillCalled counts the requests of a version by who has sent them. What its providers
// send are answers.
func (c *Console) stillCalled(ctx context.Context, s *registry.Service) (out []StillCalled, err error) {
	q := postgres.Query{Kind: journal.KindAccepted, Service: s.Name, Version: s.Version, From: c.Now().Add(-stillSince)}
	list, err := c.Journal.Totals(ctx, q, "sender")
	for _, t := range list {
		if m := registry.Mnemonic(t.Sender); s.Admits(m) && !slices.Contains(s.Providers, m) {
			out = append(out, StillCalled{t.Sender, t.Entries})
		}
	}
	return out, err
}

func words(list []adapter.Mnemonic) []string {
	var out []string
	for _, m := range list {
		out = append(out, string(m))
	}
	return out
}

func (c *Console) serveServices(w http.ResponseWriter, r *http.Request, _ Actor) error {
	list, err := c.services(r.Context(), "en")
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"services": list})
}

// Party is a registered system.
type Party struct {
	Mnemonic     string        `json:"mnemonic"`
	Name         string        `json:"name"`
	VIP          bool          `json:"vip,omitempty"`
	Certificates []Certificate `json:"certificates"`
}

// Certificate is one by which a party is known.
type Certificate struct {
	Subject   string    `json:"subject"`
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	DaysLeft  int       `json:"daysLeft"` // whole days until it ends, negative after
}

func (c *Console) parties() []Party {
	out := []Party{}
	now := c.Now()
	for _, p := range c.Gateway().Catalog().Parties() {
		v := Party{Mnemonic: string(p.Mnemonic), Name: p.Name, VIP: p.VIP, Certificates: []Certificate{}}
		for _, reg := range p.Certificates {
			v.Certificates = append(v.Certificates, Certificate{reg.Subject, hex.EncodeToString(reg.SHA256[:]), reg.NotBefore.UTC(), reg.NotAfter.UTC(), daysLeft(reg.NotAfter, now)})
		}
		out = append(out, v)
	}
	return out
}

func daysLeft(end, now time.Time) int {
	d := end.Sub(now)
	days := int(d / (24 * time.Hour))
	if d < 0 {
		days--
	}
	return days
}

func (c *Console) serveParties(w http.ResponseWriter, _ *http.Request, _ Actor) error {
	return writeJSON(w, map[string]any{"parties": c.parties()})
}

// expiryNear is when a certificate's end is worth a line on the first page.
const expiryNear = 30

func (c *Console) expiring() []Expiring {
	out := []Expiring{}
	for _, p := range c.parties() {
		for _, cert := range p.Certificates {
			if cert.DaysLeft < expiryNear {
				out = append(out, Expiring{p.Mnemonic, cert.Subject, cert.NotAfter, cert.DaysLeft < 0})
			}
		}
	}
	slices.SortFunc(out, func(a, b Expiring) int { return a.NotAfter.Compare(b.NotAfter) })
	return out
}

func (c *Console) serveOverview(w http.ResponseWriter, r *http.Request, who Actor) error {
	if err := c.note(r.Context(), who, reading{act: "overview"}); err != nil {
		return err
	}
	tests, err := testsOf(r.URL.Query().Get("test"))
	if err != nil {
		return err
	}
	o, err := c.overview(r.Context(), tests)
	if err != nil {
		return err
	}
	return writeJSON(w, o)
}

// overview gathers the state of the parts. A part that does not answer is a line
// of the answer, not its end.
func (c *Console) overview(ctx context.Context, tests postgres.Tests) (*Overview, error) {
	g := c.Gateway()
	o := &Overview{Node: g.Config().Node, At: c.Now().UTC(), Queues: Queues{Queues: []Queue{}}, Services: len(g.Catalog().Services()), Parties: len(g.Catalog().Parties()), Expiring: c.expiring()}
	readiness(ctx, g, o)
	q, err := c.queues(ctx)
	if err != nil {
		c.Log.Warn("console: depths of queues", "error", err)
	} else {
		o.Queues = q
	}
	if c.Journal == nil {
		return o, nil
	}
	if err := c.journalState(ctx, o, tests); err != nil {
		c.Log.Warn("console: state of the journal", "error", err)
		o.Parts = append(o.Parts, Part{Name: "journal", Detail: "it cannot be read now"})
	}
	return o, nil
}

func (c *Console) journalState(ctx context.Context, o *Overview, tests postgres.Tests) error {
	head, err := c.Journal.Head(ctx)
	if err != nil {
		return err
	}
	cp, err := c.checkpoint(ctx)
	if err != nil {
		return err
	}
	o.Journal = &Log{Origin: head.Origin, Size: head.Tree.N, Stopped: head.Stopped}
	part := Part{Name: "journal", OK: head.Stopped == "" && cp != nil, Detail: head.Stopped}
	if cp != nil {
		o.Journal.Covered, o.Journal.Signed = cp.Tree.N, cp.Signed.UTC()
	} else if part.Detail == "" {
		part.Detail = "no checkpoint yet"
	}
	if !slices.ContainsFunc(o.Parts, func(p Part) bool { return p.Name == part.Name }) {
		o.Parts = append(o.Parts, part)
	}

	if o.Today, err = c.today(ctx, tests); err != nil {
		return err
	}
	rows, err := c.Journal.Search(ctx, postgres.Query{Kind: journal.KindRefused, Tests: tests, Descending: true, Limit: 10})
	if err != nil {
		return err
	}
	for i := range rows {
		o.Refusals = append(o.Refusals, rowEntry(&rows[i], o.Journal.Covered))
	}
	return nil
}

// today are the entries of the last 24 hours by kind, as a message meets them.
func (c *Console) today(ctx context.Context, tests postgres.Tests) (list []Total, err error) {
	totals, err := c.Journal.Totals(ctx, postgres.Query{From: c.Now().Add(-24 * time.Hour), Tests: tests}, "kind")
	if err != nil {
		return nil, err
	}
	for _, t := range totals {
		list = append(list, Total(t))
	}
	slices.SortFunc(list, func(a, b Total) int {
		return slices.Index(kinds, journal.Kind(a.Kind)) - slices.Index(kinds, journal.Kind(b.Kind))
	})
	return list, nil
}

// readiness asks the gateway's own door what it would tell a load balancer.
func readiness(ctx context.Context, g *adapter.Gateway, o *Overview) {
	o.Standing = []Still{}
	// The route that led to this question must not be gone on with.
	ctx = context.WithValue(ctx, chi.RouteCtxKey, (*chi.Context)(nil))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return
	}
	var answer kept
	g.Handler().ServeHTTP(&answer, r)
	var state struct {
		Ready                      bool
		Store, Bus, Journal, Clock string
		Standing                   []Still
	}
	if err := json.Unmarshal(answer.Bytes(), &state); err != nil {
		o.Parts = []Part{{Name: "gateway", Detail: "its readiness cannot be read"}}
		return
	}
	o.Ready = state.Ready
	part := func(name, said, why string) {
		p := Part{Name: name, OK: said == "ok"}
		if !p.OK {
			p.Detail = why
		}
		o.Parts = append(o.Parts, p)
	}
	part("store", state.Store, "it does not answer")
	part("bus", state.Bus, "accepted messages wait in the outbox until it answers")
	if state.Clock != "ok" {
		part("clock", state.Clock, "the clocks of node and database differ by more than clock.refuse")
	} else if state.Journal != "ok" {
		part("journal", state.Journal, "no node places events in the log, or signs it")
	}
	for _, s := range state.Standing { // shards of one station are one line for a person
		if n := slices.IndexFunc(o.Standing, func(o Still) bool { return o.Station == s.Station }); n < 0 {
			o.Standing = append(o.Standing, s)
		} else if s.Since.Before(o.Standing[n].Since) {
			o.Standing[n].Since = s.Since
		}
	}
}

// kept is an answer that stays here.
type kept struct {
	bytes.Buffer
	header http.Header
}

func (k *kept) Header() http.Header {
	if k.header == nil {
		k.header = http.Header{}
	}
	return k.header
}

func (k *kept) WriteHeader(int) {}
