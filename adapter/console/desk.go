package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// desk are the pages.
func (c *Console) desk(r chi.Router) {
	r.Use(c.remember)
	r.Get("/login", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, r, http.StatusOK, "login", Actor{}, loginPage{Next: local(r.URL.Query().Get("next"))})
	})
	r.Post("/login", c.login)
	r.Post("/logout", c.logout)
	r.Get("/", c.page("overview", c.pageOverview))
	r.Get("/queues", c.page("queues", c.pageQueues))
	r.Get("/late", c.page("late", c.pageLate))
	r.Get("/search", c.page("search", c.pageSearch))
	r.Post("/search", c.page("search", c.pagePerson))
	r.Post("/report", c.page("report", c.pageReport))
	r.Get("/report", func(w http.ResponseWriter, r *http.Request) { c.redirect(w, r, "/console/search") }) // where the switches of its page lead: the person is in no address
	r.Get("/reports", c.page("figures", c.pageFigures))
	r.Get("/reports/{kind}", c.page("figures", c.pageFigures))
	r.Get("/trace", c.goTrace)
	r.Get("/trace/{id}", c.page("trace", c.pageTrace))
	r.Get("/incident/{incident}", c.page("incident", c.pageIncident))
	r.Get("/message/{message}", c.page("message", c.pageMessage))
	r.Get("/entry/{index}", c.page("entry", c.pageEntry))
	r.Get("/services", c.page("services", func(r *http.Request, _ Actor) (any, error) { return c.services(r.Context(), readerOf(r).lang) }))
	r.Get("/services/{name}/{version}", c.servePassport)
	r.Get("/shadow", c.page("shadow", c.pageShadows))
	r.Get("/health", c.page("health", c.pageHealth))
	r.Get("/parties", c.page("parties", func(*http.Request, Actor) (any, error) { return c.parties(), nil }))
	r.NotFound(c.page("problem", func(*http.Request, Actor) (any, error) {
		return nil, problem(http.StatusNotFound, Text{"Такой страницы здесь нет.", "There is no such page here."})
	}))
}

// remember takes ?lang=ru|en, ?zone=local|utc and ?tests=shown|hidden off the address
// and remembers them.
func (c *Console) remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values, chosen := r.URL.Query(), false
		for _, one := range choices {
			to := values.Get(one.param)
			if r.Method != http.MethodGet || to == "" || to != one.values[0] && to != one.values[1] {
				continue
			}
			chosen = true
			values.Del(one.param)
			http.SetCookie(w, &http.Cookie{Name: one.cookie, Value: to, Path: c.prefix() + "/console", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
		}
		if !chosen {
			next.ServeHTTP(w, r)
			return
		}
		back := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: values.Encode()}
		c.redirect(w, r, local(back.String()))
	})
}

// local is an address within the desk; anything else is the desk's first page.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.Contains(to, "\\") || u.Path != "/console" && !strings.HasPrefix(u.Path, "/console/") {
		return "/console/"
	}
	return u.String()
}

// prefix is the path under which a proxy has put this node, as its url says.
func (c *Console) prefix() string { return c.Gateway().Config().PathPrefix() }

// redirect leads to an address within the desk.
func (c *Console) redirect(w http.ResponseWriter, r *http.Request, to string) {
	http.Redirect(w, r, c.prefix()+to, http.StatusSeeOther)
}

// page wraps a page: who asks, what they see, errors as pages.
func (c *Console) page(name string, look func(*http.Request, Actor) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := c.bearer(r)
		if !ok {
			c.redirect(w, r, "/console/login?next="+url.QueryEscape(r.URL.RequestURI()))
			return
		}
		data, err := look(r, who)
		if err != nil {
			p := c.known(r, err)
			c.render(w, r, p.Status, "problem", who, p)
			return
		}
		c.render(w, r, http.StatusOK, name, who, data)
	}
}

type loginPage struct {
	Next  string
	Wrong bool
}

// login lets a person in with a token and gives the browser a session.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	next := local(r.PostFormValue("next"))
	who, ok := c.find(strings.TrimSpace(r.PostFormValue("token")))
	if !ok {
		c.Log.Info("console: a wrong token", "remote", r.RemoteAddr)
		c.render(w, r, http.StatusForbidden, "login", Actor{}, loginPage{Next: next, Wrong: true})
		return
	}
	c.cookie(w, r, c.newSession(who), int(sessionLength.Seconds()))
	c.Log.Info("console: somebody sits down", "actor", who.Name, "role", string(who.Role), "remote", r.RemoteAddr)
	c.redirect(w, r, next)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	c.cookie(w, r, "", -1)
	c.redirect(w, r, "/console/login")
}

func (c *Console) cookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	secure := r.TLS != nil || strings.HasPrefix(c.Gateway().Config().URL, "https:")
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode})
}

func (c *Console) pageOverview(r *http.Request, who Actor) (any, error) {
	if err := c.note(r.Context(), who, reading{act: "overview"}); err != nil {
		return nil, err
	}
	p := &overviewPage{}
	var err error
	if p.Overview, err = c.overview(r.Context(), tests(r)); err != nil || p.Journal == nil || tests(r) != postgres.TestsToo {
		return p, err
	}
	// What is done for people and what is only tried are not one number.
	only, err := c.today(r.Context(), postgres.TestsOnly)
	if err != nil {
		return nil, err
	}
	for _, t := range only {
		p.Tests += t.Entries
	}
	p.Today, err = c.today(r.Context(), postgres.NoTests)
	return p, err
}

// overviewPage is the overview with the entries of tests apart.
type overviewPage struct {
	*Overview
	Tests int64
}

func (c *Console) pageQueues(r *http.Request, _ Actor) (any, error) { return c.queues(r.Context()) }

// searchPage is the form with its answer. Asked is false for the empty form,
// which reads nothing.
type searchPage struct {
	Question *question
	Asked    bool
	By       string // group of the totals
	Found    *Found
	Totals   *Totals
	Most     int64    // largest total, for the bars
	Fields   []string // that a value can be looked for by
	Kinds    []journal.Kind
	NextPage string
	Bundle   string // addresses of what can be taken away
	CSV      string
	JSON     string
}

func (c *Console) pageSearch(r *http.Request, who Actor) (any, error) {
	values := r.URL.Query()
	for name, v := range values { // a browser sends every field of a form
		if len(v) == 1 && v[0] == "" {
			values.Del(name)
		}
	}
	by := values.Get("by")
	switch by {
	case "day", "service", "outcome", "sender", "kind", "channel", "test":
	default:
		by = "day"
	}
	p := &searchPage{Question: &question{zone: c.zoneOf(readerOf(r))}, By: by, Kinds: kinds, Fields: c.personalFields(), Asked: len(values) > 0}
	if err := p.Question.read(values, []string{"by"}); err != nil {
		return nil, err
	}
	if err := p.Question.check(); err != nil {
		return nil, err
	}
	if !p.Asked {
		return p, nil
	}
	if p.Question.Test == "" {
		p.Question.Test = string(tests(r)) // so that what is taken away is what was shown
		p.Question.query.Tests = tests(r)
	}
	if err := c.note(r.Context(), who, p.Question.reading("search")); err != nil {
		return nil, err
	}
	var err error
	if p.Found, err = c.search(r.Context(), p.Question); err != nil {
		return nil, err
	}
	if p.Totals, err = c.totals(r.Context(), p.Question, by); err != nil {
		return nil, err
	}
	for _, t := range p.Totals.Totals {
		p.Most = max(p.Most, t.Entries)
	}
	q := p.Question.values()
	for name, at := range map[string]time.Time{"from": p.Question.query.From, "to": p.Question.query.To} {
		if !at.IsZero() { // the API and other readers have other zones
			q.Set(name, at.In(p.Question.zone).Format(time.RFC3339Nano))
		}
	}
	if p.Found.Next != "" {
		next := clone(q)
		next.Set("after", p.Found.Next)
		next.Set("by", by)
		p.NextPage = "/console/search?" + next.Encode()
	}
	q.Del("after")
	q.Del("limit")
	q.Del("order")
	p.Bundle = "/api/v1/journal/bundle?" + q.Encode()
	q.Set("format", "csv")
	p.CSV = "/api/v1/journal/export?" + q.Encode()
	q.Set("format", "json")
	p.JSON = "/api/v1/journal/export?" + q.Encode()
	return p, nil
}

// pagePerson searches by a value that entries commit to. It is a form that is
// posted, so that the value stands in no address, history or log.
func (c *Console) pagePerson(r *http.Request, who Actor) (any, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, 8<<10)
	q := &question{Person: &person{Field: strings.TrimSpace(r.PostFormValue("field")), Value: strings.TrimSpace(r.PostFormValue("value"))}, Limit: pageMost, Test: string(tests(r))}
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := c.note(r.Context(), who, q.reading("search")); err != nil {
		return nil, err
	}
	p := &searchPage{Question: q, By: "kind", Kinds: kinds, Fields: c.personalFields(), Asked: true}
	var err error
	if p.Found, err = c.search(r.Context(), q); err != nil {
		return nil, err
	}
	if p.Totals, err = c.totals(r.Context(), q, p.By); err != nil {
		return nil, err
	}
	for _, t := range p.Totals.Totals {
		p.Most = max(p.Most, t.Entries)
	}
	return p, nil
}

func clone(v url.Values) url.Values {
	out := url.Values{}
	for name, list := range v {
		out[name] = append([]string(nil), list...)
	}
	return out
}

// goTrace takes the id that was typed into the head of a page to its page.
func (c *Console) goTrace(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSpace(r.URL.Query().Get("id"))
	if id == "" {
		c.redirect(w, r, "/console/search")
		return
	}
	c.redirect(w, r, "/console/trace/"+url.PathEscape(id))
}

func (c *Console) pageTrace(r *http.Request, who Actor) (any, error) {
	id := param(r, "id")
	if err := c.note(r.Context(), who, reading{act: "trace", query: id, fields: []string{"id"}}); err != nil {
		return nil, err
	}
	return c.trace(r.Context(), id)
}

// incidentPage is the way from an incident to its cause and its envelope.
type incidentPage struct {
	Event    *Entry
	Refusal  *Refusal
	Envelope *envelopeView
}

func (c *Console) pageIncident(r *http.Request, who Actor) (any, error) {
	incident := param(r, "incident")
	if err := c.note(r.Context(), who, reading{act: "envelope", query: "incident " + incident, fields: []string{"incident"}, always: true}); err != nil {
		return nil, err
	}
	t := &Trace{}
	if err := c.gather(r.Context(), t, incident); err != nil {
		return nil, err
	}
	p := &incidentPage{}
	for i := range t.Events {
		if e := &t.Events[i]; e.Incident == incident && e.Kind == string(journal.KindRefused) {
			p.Event = e
		}
	}
	if p.Event == nil {
		return nil, problem(http.StatusNotFound, Text{"Инцидента %q нет.", "There is no incident %q."}, clipped(incident, 80))
	}
	p.Refusal = c.refusal(r.Context(), p.Event)
	if p.Refusal.Kept > 0 {
		_, contentType, body, err := c.Store.Refused(r.Context(), incident)
		if err != nil {
			return nil, err
		}
		hold, release := c.holding(r.Context(), len(body))
		defer release()
		p.Envelope = viewOf(contentType, body, p.Refusal.Line, p.Refusal.Col, hold)
	}
	return p, nil
}

type messagePage struct {
	ID, MessageID, Sender, Service, Version string
	Trace, TraceID, Download                string
	Envelope                                *envelopeView
}

func (c *Console) pageMessage(r *http.Request, who Actor) (any, error) {
	id := param(r, "message")
	if err := c.note(r.Context(), who, reading{act: "envelope", query: "message " + id, fields: []string{"message"}, always: true}); err != nil {
		return nil, err
	}
	m, err := c.message(r.Context(), id)
	if err != nil {
		return nil, err
	}
	hold, release := c.holding(r.Context(), len(m.Body))
	defer release()
	return &messagePage{ID: id, MessageID: string(m.MessageID), Sender: string(m.Sender), Service: m.Service, Version: m.Version,
		TraceID: adapter.TraceOf(m.Trace, m.ID), Trace: "/console/trace/" + url.PathEscape(id), Download: "/api/v1/messages/" + url.PathEscape(id) + "/envelope", Envelope: viewOf("text/xml", m.Body, 0, 0, hold)}, nil
}

// entryPage is an entry; of a change it tells what it was, which is noted for
// everybody.
type entryPage struct {
	*Single
	Changed *Changed
}

func (c *Console) pageEntry(r *http.Request, who Actor) (any, error) {
	index, err := indexOf(r)
	if err != nil {
		return nil, err
	}
	one, err := c.single(r.Context(), index)
	if err != nil {
		return nil, err
	}
	p := &entryPage{Single: one}
	change := one.Kind == string(journal.KindConfigChanged)
	if err := c.note(r.Context(), who, reading{act: "entry", query: r.URL.Path, always: change}); err != nil {
		return nil, err
	}
	if change {
		told, err := c.changed(r.Context(), &one.Entry)
		if err != nil {
			return nil, err
		}
		p.Changed = &told
	}
	return p, nil
}

// single is an entry without its openings.
func (c *Console) single(ctx context.Context, index int64) (*Single, error) {
	row, covered, err := c.entry(ctx, index)
	if err != nil {
		return nil, err
	}
	hash := journal.LeafHash(row.Bytes)
	return &Single{Entry: rowEntry(row, covered), Leaf: string(row.Bytes), Hash: hexHash(hash)}, nil
}
