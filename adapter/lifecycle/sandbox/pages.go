package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/console"
	"mezhved/envelopes"
	"mezhved/signing"
)

//go:embed pages
var pageFiles embed.FS

type pages struct{ of map[string]*template.Template }

func loadPages() (*pages, error) {
	p := &pages{of: map[string]*template.Template{}}
	for _, name := range []string{"home", "calls", "call", "none", "all"} {
		t, err := template.New("frame.html").Funcs(functions).ParseFS(pageFiles, "pages/frame.html", "pages/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.of[name] = t
	}
	return p, nil
}

var functions = template.FuncMap{
	"time":   func(t time.Time) string { return t.In(signingZone).Format("02.01.2006 15:04:05.000") },
	"text":   console.Visible,
	"lines":  visibleLines,
	"octets": func(b []byte) []line { return lines(b) },
	"ms":     func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + " мс" },
	"why":    func(x signing.Explanation) string { return x.Why(signing.Russian) },
	"whose":  func(x signing.Explanation) string { return x.Whose(signing.Russian) },
	"num":    func(i int) int { return i + 1 },
	"hex":    func(b [32]byte) string { return hex.EncodeToString(b[:]) },
}

var signingZone = time.FixedZone("+03:00", 3*60*60)

// mostShown bounds what a page shows of octets; all of them can be had as a file.
const mostShown = 64 << 10

type line struct{ Text string }

func lines(b []byte) (out []line) {
	more := len(b) > mostShown
	if more {
		b = b[:mostShown]
	}
	for l := range bytes.SplitSeq(b, []byte("\n")) {
		out = append(out, line{console.Visible(string(l))})
	}
	if more {
		out = append(out, line{"… (целиком — по ссылке)"})
	}
	return out
}

func visibleLines(s string) string {
	parts := strings.Split(s, "\n")
	for i := range parts {
		parts[i] = console.Visible(parts[i])
	}
	return strings.Join(parts, "\n")
}

func (s *Sandbox) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.of[name].Execute(&b, data); err != nil {
		s.o.Log.Error("sandbox: a page", "page", name, "error", err)
		http.Error(w, "The page could not be made; the log of the node has the cause.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// mount lays the pages under /sandbox/.
func (s *Sandbox) mount(m *http.ServeMux) {
	page := func(pattern string, h http.HandlerFunc) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h2 := w.Header()
			h2.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
			h2.Set("X-Content-Type-Options", "nosniff")
			h2.Set("Referrer-Policy", "no-referrer")
			h2.Set("Cache-Control", "no-store")
			h(w, r)
		})
	}
	page("GET /sandbox", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/sandbox/", http.StatusMovedPermanently)
	})
	page("GET /sandbox/{$}", s.serveHome)
	page("GET /sandbox/all/{token}", s.serveAll)
	page("GET /sandbox/calls", func(w http.ResponseWriter, r *http.Request) { // the form of the first page
		http.Redirect(w, r, "/sandbox/calls/"+url.PathEscape(r.URL.Query().Get("token")), http.StatusSeeOther)
	})
	page("GET /sandbox/calls/{token}", s.serveCalls)
	page("GET /sandbox/call/{id}", s.serveCall)
	page("GET /sandbox/call/{id}/{what}", s.serveBytes)
	page("GET /sandbox/call/{id}/signature/{n}/{what}", s.serveOctets)
	page("POST /sandbox/call/{id}/signature/{n}", s.serveCompare)
	page("/sandbox/", func(w http.ResponseWriter, _ *http.Request) { s.render(w, http.StatusNotFound, "none", nil) })
}

// system is one that has called from somewhere.
type system struct {
	Token    string
	Name     string
	Mnemonic string
	Calls    int
	Last     time.Time
}

// serveHome says how a sandbox is used.
func (s *Sandbox) serveHome(w http.ResponseWriter, _ *http.Request) {
	type fault struct {
		Kind envelopes.FaultKind
		By   string
		Only string
	}
	var data struct {
		Services []shown
		Faults   []fault
		Header   string
	}
	data.Services, data.Header = s.services(), Header
	for _, k := range envelopes.FaultKinds(envelopes.V13) {
		f := fault{Kind: k}
		var by []string
		for _, op := range envelopes.Operations {
			switch {
			case envelopes.Declared(envelopes.V11, op, k), envelopes.Declared(envelopes.V12, op, k):
				by = append(by, op.String())
			case envelopes.Declared(envelopes.V13, op, k):
				by, f.Only = append(by, op.String()), "1.3"
			}
		}
		if f.By = strings.Join(by, ", "); f.By == "" {
			f.By = "объявлена схемой, операции её не возвращают; песочница вернёт её на любую"
		}
		data.Faults = append(data.Faults, f)
	}
	s.render(w, http.StatusOK, "home", data)
}

// serveAll shows who runs the sandbox all systems, and the last calls of those that have
// proved nothing.
func (s *Sandbox) serveAll(w http.ResponseWriter, r *http.Request) {
	if !hmac.Equal([]byte(r.PathValue("token")), []byte(s.token("all", nil))) {
		s.render(w, http.StatusNotFound, "none", nil)
		return
	}
	var unproved []*Call
	s.mu.Lock()
	for i := len(s.order) - 1; i >= 0 && len(unproved) < s.o.Most; i-- {
		if !s.order[i].Proved {
			unproved = append(unproved, s.order[i])
		}
	}
	s.mu.Unlock()
	s.render(w, http.StatusOK, "all", struct {
		Systems []system
		Calls   []*Call
	}{s.systems(), unproved})
}

// systems are those that have proved who they are.
func (s *Sandbox) systems() []system {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]*system{}
	for _, c := range s.order {
		if !c.Proved {
			continue
		}
		one := found[c.page]
		if one == nil {
			one = &system{Token: c.page, Mnemonic: string(c.Mnemonic), Name: c.Certificate.Subject()}
			found[c.page] = one
		}
		one.Calls, one.Last = one.Calls+1, c.At
	}
	out := make([]system, 0, len(found))
	for _, one := range found {
		out = append(out, *one)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Last.After(out[j].Last) })
	return out
}

// shown is a service that can be tried.
type shown struct {
	Name, Version, Title, Root string
	Providers                  string
	Scenarios                  []string
}

func (s *Sandbox) services() (out []shown) {
	c := s.o.Catalog()
	for _, one := range c.Services() {
		v := shown{Name: one.Name, Version: one.Version, Title: one.Title, Root: one.Request.String()}
		var names []string
		for _, m := range one.Providers {
			names = append(names, string(m))
		}
		v.Providers = strings.Join(names, ", ")
		for _, set := range s.o.Sets() {
			if set.Service.Name == one.Name && set.Service.Version == one.Version {
				for _, x := range set.Scenarios {
					v.Scenarios = append(v.Scenarios, x.Title)
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// serveCalls lists the calls of one system, by the token of its page.
func (s *Sandbox) serveCalls(w http.ResponseWriter, r *http.Request) {
	k := strings.TrimSpace(r.PathValue("token"))
	s.mu.Lock()
	list := slices.Clone(s.on[k])
	s.mu.Unlock()
	if len(list) == 0 {
		s.render(w, http.StatusNotFound, "none", nil)
		return
	}
	slices.Reverse(list)
	first := list[0]
	if i := slices.IndexFunc(list, func(c *Call) bool { return c.Proved }); i >= 0 {
		first = list[i]
	}
	s.render(w, http.StatusOK, "calls", struct {
		First       *Call
		Calls       []*Call
		Page, Token string
	}{first, list, Page, k})
}

func (s *Sandbox) call(w http.ResponseWriter, r *http.Request) *Call {
	s.mu.Lock()
	c := s.calls[r.PathValue("id")]
	s.mu.Unlock()
	if c == nil {
		s.render(w, http.StatusNotFound, "none", nil)
	}
	return c
}

// explained are the signatures of a call, judged as of its time; none where others hold
// too much just now.
func (s *Sandbox) explained(ctx context.Context, c *Call) []signing.Explanation {
	holding := s.o.Memory.Begin("the sandbox's pages", true)
	defer holding.Release()
	e, _, err := s.parse(ctx, c, holding)
	if err != nil {
		return nil
	}
	return s.o.Verifier.Explain(e.Tape(), c.At, signing.FewSignatures)
}

// comparison is what one's own octets look like beside those of the gateway's rule.
type comparison struct {
	Signature int
	What      string // signedinfo or transformed
	Same      bool
	Own, Rule int // lengths
	Offset    int
	Expected  string
	Found     string
	Digest    string // of one's own, base64
	Stated    string // in the Reference
	Digests   bool   // one's own octets give the stated digest
}

type callPage struct {
	C          *Call
	Signatures []signing.Explanation
	Compared   *comparison
	Verdict    string
	Good       bool
	Answer     []byte
}

// Verdict is what became of a call, in a sentence.
func (c *Call) Verdict() string {
	switch {
	case c.OnDemand != "" && c.Fault == nil:
		return "не принято: просьба об ошибке не понята"
	case c.OnDemand != "":
		return "отказ " + string(c.Fault.Kind) + " — " + c.OnDemand
	case c.Fault != nil && c.Fault.Signature != "":
		return "отказ " + string(c.Fault.Kind) + " (" + string(c.Fault.Signature) + ")"
	case c.Fault != nil:
		return "отказ " + string(c.Fault.Kind)
	case c.Empty:
		return "очередь пуста"
	case c.Status == http.StatusOK:
		return "принято"
	}
	return "HTTP " + strconv.Itoa(c.Status)
}

// Good reports that the call was carried out.
func (c *Call) Good() bool { return c.Fault == nil && c.Status == http.StatusOK }

func (s *Sandbox) page(ctx context.Context, c *Call) callPage {
	return callPage{C: c, Signatures: s.explained(ctx, c), Verdict: c.Verdict(), Good: c.Good(), Answer: c.Answer}
}

func (s *Sandbox) serveCall(w http.ResponseWriter, r *http.Request) {
	if c := s.call(w, r); c != nil {
		s.render(w, http.StatusOK, "call", s.page(r.Context(), c))
	}
}

// serveBytes gives a call or its answer as it went over the wire.
func (s *Sandbox) serveBytes(w http.ResponseWriter, r *http.Request) {
	c := s.call(w, r)
	if c == nil {
		return
	}
	switch r.PathValue("what") {
	case "request":
		file(w, "request.txt", c.Body)
	case "answer":
		file(w, "answer.txt", c.Answer)
	default:
		s.render(w, http.StatusNotFound, "none", nil)
	}
}

func file(w http.ResponseWriter, name string, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

// signature is the one that an address names, from 1.
func (s *Sandbox) signature(w http.ResponseWriter, r *http.Request, c *Call) (*signing.Explanation, int) {
	all := s.explained(r.Context(), c)
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 1 || n > len(all) {
		s.render(w, http.StatusNotFound, "none", nil)
		return nil, 0
	}
	return &all[n-1], n
}

func octetsOf(x *signing.Explanation, what string) ([]byte, bool) {
	switch what {
	case "signedinfo":
		return x.SignedInfo, true
	case "transformed":
		return x.Transformed, true
	case "canonical":
		return x.Canonical, true
	}
	return nil, false
}

// serveOctets gives the octets of a signature as a file.
func (s *Sandbox) serveOctets(w http.ResponseWriter, r *http.Request) {
	c := s.call(w, r)
	if c == nil {
		return
	}
	x, n := s.signature(w, r, c)
	if x == nil {
		return
	}
	b, ok := octetsOf(x, r.PathValue("what"))
	if !ok {
		s.render(w, http.StatusNotFound, "none", nil)
		return
	}
	file(w, fmt.Sprintf("signature-%d-%s.xml", n, r.PathValue("what")), b)
}

// serveCompare sets one's own octets beside those of the gateway's rule.
func (s *Sandbox) serveCompare(w http.ResponseWriter, r *http.Request) {
	c := s.call(w, r)
	if c == nil {
		return
	}
	x, n := s.signature(w, r, c)
	if x == nil {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<20)
	f, _, err := r.FormFile("octets")
	if err != nil {
		http.Error(w, "Приложите файл с октетами, от которых считался хеш.", http.StatusBadRequest)
		return
	}
	defer f.Close()
	own, err := io.ReadAll(f)
	if err != nil {
		http.Error(w, "Файл не прочитан.", http.StatusBadRequest)
		return
	}
	what := r.FormValue("what")
	rule, ok := octetsOf(x, what)
	if !ok {
		s.render(w, http.StatusNotFound, "none", nil)
		return
	}
	p := s.page(r.Context(), c)
	p.Compared = compare(n, what, rule, own, x)
	s.render(w, http.StatusOK, "call", p)
}

func compare(n int, what string, rule, own []byte, x *signing.Explanation) *comparison {
	out := &comparison{Signature: n, What: what, Same: bytes.Equal(rule, own), Own: len(own), Rule: len(rule)}
	if what == "transformed" {
		if d := signing.DigestBy(x.Algorithms.Digest, own); d != nil {
			out.Digest, out.Stated = base64.StdEncoding.EncodeToString(d), x.ExpectedDigest
			out.Digests = out.Digest == out.Stated
		}
	}
	if !out.Same {
		out.Offset, out.Expected, out.Found = signing.Difference(rule, own)
	}
	return out
}
