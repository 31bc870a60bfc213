package router_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/adapter/router"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// bus is two installations with a router in front: REGISTRY and MOSCOW live in the north,
// OBLAST in the south; MUNI and MFC ask, and subscribe to broadcasts, which live in the north.
type bus struct {
	t            *testing.T
	north, south *adaptertest.World
	way          *adaptertest.Proxy // to the south
	config       string
	router       *router.Router
	url          string
	log          *adaptertest.Log
	stop         func()
}

// start opens both installations and a router. more is added to its configuration.
func start(t *testing.T, more string) *bus {
	t.Helper()
	patient := adaptertest.WithConfig(func(c *adapter.Config) { c.Queues.LongPoll = yamlfile.Period(patience) })
	b := &bus{t: t, north: adaptertest.Start(t, patient)}
	b.south = adaptertest.Start(t, patient, adaptertest.Like(b.north), adaptertest.Beside(b.north))
	b.north.HTTP.Timeout = 3 * patience
	var err error
	if b.way, err = adaptertest.NewProxy("tcp", strings.TrimPrefix(b.south.URL, "http://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.way.Close() })
	b.config = filepath.Join(t.TempDir(), "route.yaml")
	text := fmt.Sprintf(`listen: 127.0.0.1:0
services: %s
parties: %s
installations:
  - name: north
    url: %s
    providers: [REGISTRY, MOSCOW]
  - name: south
    url: http://%s
    providers: [OBLAST]
broadcasts: north
times: {longPoll: 60s, turn: 40s}
%s`, b.north.Config.Services, b.north.Config.Parties, b.north.URL, b.way.Address(), more)
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.router, b.url, b.log, b.stop = b.open()
	t.Cleanup(func() { // before the worlds, which wait for their connections
		b.stop()
		if t.Failed() {
			t.Logf("log of the router:\n%s", b.log)
		}
	})
	return b
}

// open starts one more router, whose log goes through what is named.
func (b *bus) open(through ...func(slog.Handler) slog.Handler) (r *router.Router, url string, log *adaptertest.Log, stop func()) {
	b.t.Helper()
	log = &adaptertest.Log{}
	config, err := router.LoadConfig(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	services, found := registry.Open(config.Services, config.Parties, b.north.Clock.Now)
	if bad := found.Errors(); len(bad) > 0 {
		b.t.Fatal(bad)
	}
	var handler slog.Handler = slog.NewTextHandler(log, nil)
	for _, way := range through {
		handler = way(handler)
	}
	r, err = router.New(config, services, slog.New(handler), prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	l, err := r.Listen()
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	once := false
	return r, "http://" + l.Addr().String(), log, func() {
		if once {
			return
		}
		once = true
		b.north.HTTP.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the router did not close well: %v", err)
		}
	}
}

// party is a party that knows the router's address alone.
func (b *bus) party(mnemonic string) *adaptertest.Party { return b.north.Party(mnemonic).At(b.url) }

// good is an answer that is no fault.
func good(t *testing.T, a adaptertest.Answered) adaptertest.Answered {
	t.Helper()
	if a.Fault != nil || a.Status != http.StatusOK {
		t.Fatalf("HTTP status %d, fault %v", a.Status, a.Fault)
	}
	return a
}

// refused demands a fault of a kind, by HTTP status.
func refused(t *testing.T, a adaptertest.Answered, kind envelopes.FaultKind, status int) {
	t.Helper()
	if a.Fault == nil || a.Fault.Kind != kind || a.Status != status {
		t.Fatalf("HTTP status %d, fault %v; want %s with status %d\n%s", a.Status, a.Fault, kind, status, a.Body)
	}
}

// outage demands that the caller is told to come again, in words that the log has too.
func (b *bus) outage(a adaptertest.Answered) {
	b.t.Helper()
	refused(b.t, a, envelopes.SMEVFailure, http.StatusServiceUnavailable)
	incident := a.Header.Get("X-Mezhved-Incident")
	if a.Header.Get("Retry-After") == "" || incident == "" || !strings.Contains(b.log.String(), incident) {
		b.t.Errorf("an outage without Retry-After, or without a line in the log: %v", a.Header)
	}
}

// eventually waits until what is asked holds.
func (b *bus) eventually(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("still not true: %s", what)
		}
	}
}

// only demands that a message lives in one of the two.
func (b *bus) only(home, other *adaptertest.World, messageID string) {
	b.t.Helper()
	for w, want := range map[*adaptertest.World]int{home: 1, other: 0} {
		list, err := w.Store.Find(b.t.Context(), adapter.MessageID(messageID))
		if err != nil && !errors.Is(err, adapter.ErrNotFound) {
			b.t.Fatal(err)
		}
		if len(list) != want {
			b.t.Errorf("message %s stands %d times in an installation, want %d", messageID, len(list), want)
		}
	}
}

// waiting says how many messages wait for a party in an installation.
func waiting(t *testing.T, w *adaptertest.World, mnemonic string, kind adapter.QueueKind) (n int) {
	t.Helper()
	depths, err := w.Store.Depths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range depths {
		if d.Queue.System == adapter.Mnemonic(mnemonic) && d.Queue.Kind == kind {
			n += int(d.Waiting)
		}
	}
	return n
}

// answer has a provider take a request and answer it; it gives the answer's MessageID when it
// waits for who asked.
func (b *bus) answer(home *adaptertest.World, provider, ns, asker string) {
	b.t.Helper()
	before := waiting(b.t, home, asker, adapter.QueueResponses)
	p := b.party(provider)
	taken := p.Await(envelopes.GetRequest, "")
	good(b.t, p.Reply(taken.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(ns)}))
	good(b.t, p.Ack(taken.Message.Metadata.MessageID))
	b.eventually("the answer waits", func() bool { return waiting(b.t, home, asker, adapter.QueueResponses) > before })
}

// A party that knows one address exchanges with providers of both installations, in every
// version: each message lives where its provider does, and its bytes are as they were signed.
func TestConversationsLiveWhereTheirProvidersDo(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	for _, v := range envelopes.Versions {
		for _, c := range []struct {
			home, other  *adaptertest.World
			provider, ns string
			content      string
		}{
			{b.north, b.south, "REGISTRY", adaptertest.Extract1, adaptertest.Content(adaptertest.Extract1)},
			{b.north, b.south, "MOSCOW", adaptertest.Regional, adaptertest.ContentFor(adaptertest.Regional, "77")},
			{b.south, b.north, "OBLAST", adaptertest.Regional, adaptertest.ContentFor(adaptertest.Regional, "50")},
		} {
			muni, provider := b.party("MUNI").In(v), b.party(c.provider).In(v)
			sent := good(t, muni.Send(adaptertest.Request{Content: c.content, XOP: true, Files: map[string][]byte{"a": bytes.Repeat([]byte("содержание"), 300)}}))
			id := sent.Receipt.MessageID
			b.only(c.home, c.other, id)
			taken := provider.Await(envelopes.GetRequest, "")
			if got := taken.Message; got.Metadata.MessageID != id || !taken.SenderSigned || len(got.Attachments) != 1 {
				t.Fatalf("%s, %s takes %+v, want %s", v, c.provider, got.Metadata, id)
			}
			replied := good(t, provider.Reply(taken.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(c.ns)}))
			b.only(c.home, c.other, replied.Receipt.MessageID)
			good(t, provider.Ack(id))
			got := muni.Await(envelopes.GetResponse, "")
			if got.Message.OriginalMessageID != id {
				t.Fatalf("%s, MUNI is answered about %s, want %s", v, got.Message.OriginalMessageID, id)
			}
			good(t, muni.Ack(got.Message.Metadata.MessageID))
			refused(t, muni.Ack(got.Message.Metadata.MessageID), envelopes.TargetMessageIsNotFound, http.StatusInternalServerError)
		}
	}
	b.north.Check()
	b.south.Check()
}

// The client that parties use knows nothing of installations either.
func TestTheClientOfParties(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	client := func(mnemonic string) *party.Client {
		return &party.Client{URL: b.url + "/ws", Signer: b.north.Party(mnemonic).Signer, Bus: b.north.Verifier(), Sender: b.north.Verifier(), Clock: b.north.Clock.Now, HTTP: b.north.HTTP, XOP: true}
	}
	muni := client("MUNI")
	for provider, region := range map[string]string{"MOSCOW": "77", "OBLAST": "50"} {
		if _, err := muni.SendRequest(t.Context(), party.Request{Content: []byte(adaptertest.ContentFor(adaptertest.Regional, region))}); err != nil {
			t.Fatal(err)
		}
		m, err := client(provider).PollRequest(t.Context(), party.Selector{Wait: patience})
		if err != nil || m == nil {
			t.Fatalf("%s takes %v, %v", provider, m, err)
		}
		if err := client(provider).Ack(t.Context(), m.Metadata.MessageID, true); err != nil {
			t.Error(err)
		}
	}
}

// What waits in two installations comes one by one: no poll takes two, and none of the two
// waits behind the other for ever.
func TestPollsTakeOneMessageAtATime(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	muni := b.party("MUNI")
	const each = 3
	for range each {
		good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "77")}))
		b.answer(b.north, "MOSCOW", adaptertest.Regional, "MUNI")
		good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")}))
		b.answer(b.south, "OBLAST", adaptertest.Regional, "MUNI")
	}
	from := map[string]int{}
	for n := range 2 * each {
		a := good(t, muni.Get(envelopes.GetResponse, adapter.QName{}, ""))
		if a.Message == nil {
			t.Fatalf("poll %d finds nothing", n)
		}
		from[a.Message.Metadata.Sender.Mnemonic]++
		left := waiting(t, b.north, "MUNI", adapter.QueueResponses) + waiting(t, b.south, "MUNI", adapter.QueueResponses)
		if want := 2*each - n - 1; left != want {
			t.Fatalf("after %d polls %d messages wait, want %d", n+1, left, want)
		}
		good(t, muni.Ack(a.Message.Metadata.MessageID))
	}
	if a := good(t, muni.Get(envelopes.GetResponse, adapter.QName{}, "")); a.Message != nil {
		t.Errorf("there is one more: %+v", a.Message.Metadata)
	}
	b.north.Check()
	b.south.Check()
}

// A selector leads to the installations of its service.
func TestSelectors(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	muni := b.party("MUNI")
	good(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	b.answer(b.north, "REGISTRY", adaptertest.Extract1, "MUNI")
	b.way.Refuse()
	b.way.Cut()
	root := adapter.QName{Space: adaptertest.Extract2, Local: "ExtractRequest"} // any version stands for the service
	a := good(t, muni.Get(envelopes.GetResponse, root, ""))
	if a.Message == nil {
		t.Fatal("the answer is not found by its selector")
	}
	good(t, muni.Ack(a.Message.Metadata.MessageID))
	if a := good(t, muni.Get(envelopes.GetResponse, root, "")); a.Message != nil {
		t.Error("there is one more")
	}
	refused(t, muni.Get(envelopes.GetResponse, adapter.QName{Space: "urn://nobody", Local: "X"}, ""), envelopes.UnknownMessageType, http.StatusInternalServerError)
}

// A poll that waits is woken by what comes in any installation, and a caller that hangs up
// takes nothing with it.
func TestPollsWait(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	muni := b.party("MUNI")
	muni.HangUp(envelopes.GetResponse)()
	for home, region := range map[*adaptertest.World]string{b.north: "77", b.south: "50"} {
		got := make(chan string, 1)
		go func() { got <- muni.Await(envelopes.GetResponse, "").Message.Metadata.MessageID }()
		good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, region)}))
		provider := b.party(map[string]string{"77": "MOSCOW", "50": "OBLAST"}[region])
		taken := provider.Await(envelopes.GetRequest, "")
		replied := good(t, provider.Reply(taken.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Regional)}))
		select {
		case id := <-got:
			if id != replied.Receipt.MessageID {
				t.Errorf("the poll gets %s, want %s", id, replied.Receipt.MessageID)
			}
			good(t, muni.Ack(id))
		case <-time.After(2 * patience):
			t.Fatal("nobody has woken the poll")
		}
		good(t, provider.Ack(taken.Message.Metadata.MessageID))
		home.Check()
	}
}

// What nobody can tell the way of is refused as it is everywhere, by an installation that
// keeps it.
func TestWhatHasNoWayIsRefusedByAnInstallation(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	muni, direct := b.party("MUNI"), b.north.Party("MUNI")
	same := func(what string, call func(*adaptertest.Party) adaptertest.Answered) {
		t.Helper()
		got, want := call(muni), call(direct)
		if want.Fault == nil || got.Fault == nil || got.Fault.Kind != want.Fault.Kind || got.Fault.Code != want.Fault.Code || got.Status != want.Status {
			t.Errorf("%s: refused with %d %v, directly with %d %v", what, got.Status, got.Fault, want.Status, want.Fault)
		}
		incident := got.Header.Get("X-Mezhved-Incident")
		if incident == "" || !strings.Contains(b.north.Log.String()+b.south.Log.String(), incident) || strings.Contains(b.log.String(), incident) {
			t.Errorf("%s: incident %q is not the installation's", what, incident)
		}
	}
	same("a service that there is not", func(p *adaptertest.Party) adaptertest.Answered {
		return p.Send(adaptertest.Request{Content: adaptertest.Content("urn://nobody")})
	})
	same("a region without a provider", func(p *adaptertest.Party) adaptertest.Answered {
		return p.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "99")})
	})
	same("a reply address that is none", func(p *adaptertest.Party) adaptertest.Answered {
		return p.Reply("nowhere", adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
	})
	same("no XML", func(p *adaptertest.Party) adaptertest.Answered {
		return p.Post("/ws", envelopes.TextXML, []byte("<bad"))
	})
	same("another version's door", func(p *adaptertest.Party) adaptertest.Answered {
		return p.Post("/smev/v1.1/ws", envelopes.TextXML, p.BuildPoll(envelopes.GetRequest))
	})
	same("a stranger", func(p *adaptertest.Party) adaptertest.Answered {
		return b.north.Party("STRANGER").At(p.URL()).Get(envelopes.GetResponse, adapter.QName{}, "")
	})
	same("an Ack of nothing", func(p *adaptertest.Party) adaptertest.Answered { return p.Ack(p.ID()) })
}

// lost are the ways in which an installation is away.
var lost = map[string]func(*adaptertest.Proxy){
	"refuses":  func(p *adaptertest.Proxy) { p.Refuse(); p.Cut() },
	"swallows": func(p *adaptertest.Proxy) { p.Swallow(adaptertest.Both) },
}

// While one installation is away the other's messages come and go, and nobody is told that
// the queues of the one are empty.
func TestAnInstallationThatIsAway(t *testing.T) {
	t.Parallel()
	for how, away := range lost {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := start(t, "")
			b.away(away)
		})
	}
}

func (b *bus) away(away func(*adaptertest.Proxy)) {
	t := b.t
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	quick := strings.Replace(string(text), "turn: 40s", "turn: 8s, answer: 12s", 1) // what is away takes so long
	if err := os.WriteFile(b.config, []byte(quick), 0o600); err != nil {
		t.Fatal(err)
	}
	muni, registry := b.party("MUNI"), b.party("REGISTRY")
	good(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	b.answer(b.north, "REGISTRY", adaptertest.Extract1, "MUNI")
	b.stop()
	b.router, b.url, b.log, b.stop = b.open()
	muni, registry = b.party("MUNI"), b.party("REGISTRY")

	if text := b.get("/metrics"); strings.Contains(text, "mezhved_route_installation_answers{") {
		t.Errorf("the metrics tell who answers before anybody was asked:\n%s", text)
	}
	away(b.way)
	a := good(t, muni.Get(envelopes.GetResponse, adapter.QName{}, ""))
	if a.Message == nil {
		t.Fatal("what waits in the north does not come")
	}
	good(t, muni.Ack(a.Message.Metadata.MessageID))
	b.outage(muni.Get(envelopes.GetResponse, adapter.QName{}, ""))
	b.outage(muni.GetStatus())
	b.outage(muni.Ack(muni.ID())) // "not awaiting" would be taken for success
	b.outage(muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")}))
	if a := good(t, registry.Get(envelopes.GetRequest, adapter.QName{}, "")); a.Message != nil {
		t.Error("there is a request for REGISTRY")
	}
	good(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	if state := b.readiness(http.StatusOK); state.State != "degraded" || !slices.Contains(state.Installations, installation{"south", "unreachable", false}) || !slices.Contains(state.Installations, installation{"north", "ready", false}) {
		t.Errorf("the router says of itself: %+v", state)
	}
	if text := b.get("/metrics"); !strings.Contains(text, `mezhved_route_installation_answers{installation="south"} 0`) || !strings.Contains(text, `mezhved_route_installation_answers{installation="north"} 1`) {
		t.Errorf("the metrics do not tell who answers:\n%s", text)
	}

	b.way.Mend()
	b.eventually("the south is asked again", func() bool {
		a := muni.Get(envelopes.GetResponse, adapter.QName{}, "")
		return a.Fault == nil
	})
	good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")}))
	b.answer(b.south, "OBLAST", adaptertest.Regional, "MUNI")
	refused(t, muni.Ack(muni.ID()), envelopes.TargetMessageIsNotFound, http.StatusInternalServerError)
	for _, line := range []string{"an installation does not answer", "an installation cannot be asked whether it is ready", "an installation answers again"} {
		if !strings.Contains(b.log.String(), line) {
			t.Errorf("the log has no %q:\n%s", line, b.log)
		}
	}
}

// Callers who wait less long than the router find out that an installation is away, too.
func TestImpatientCallersFindOut(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.way.Swallow(adaptertest.Both)
	b.eventually("the south does not answer", func() bool {
		hangUp := b.party("MUNI").HangUp(envelopes.GetResponse)
		time.Sleep(6 * time.Second) // as their clients do
		hangUp()
		return strings.Contains(b.log.String(), "an installation does not answer")
	})
}

// Connections that an installation has ended, as one does whose nodes are restarted, are no
// outage.
func TestConnectionsThatHaveEnded(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	for range 5 {
		good(t, b.party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")}))
		b.way.Cut()
	}
	if strings.Contains(b.log.String(), "does not answer") {
		t.Errorf("the log has\n%s", b.log)
	}
}

// installation is what readiness tells of one.
type installation struct {
	Name, State string
	Differs     bool
}

type readiness struct {
	Ready         bool
	State         string
	Installations []installation
}

func (b *bus) readiness(status int) (state readiness) {
	b.t.Helper()
	resp, err := b.north.HTTP.Get(b.url + "/readyz")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil || resp.StatusCode != status {
		b.t.Fatalf("readiness: HTTP status %d, %v", resp.StatusCode, err)
	}
	return state
}

// However many strangers ask a router whether it is ready, at once or one after the other, and
// whether they wait for the answer or not, an installation is asked once a second at most.
func TestReadinessAsksOnceASecond(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	var asked atomic.Int64
	slow := make(chan struct{})
	north := before(t, b.north, func(r *http.Request) {
		if r.URL.Path == "/readyz" {
			asked.Add(1)
			<-slow
		}
	})
	url, began := b.rewritten("url: "+b.north.URL, "url: "+north), time.Now()
	ask := func(ctx context.Context) (state readiness, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return state, err
		}
		resp, err := b.north.HTTP.Do(req)
		if err != nil {
			return state, err
		}
		defer resp.Body.Close()
		return state, json.NewDecoder(resp.Body).Decode(&state)
	}
	first, hangUp := context.WithCancel(t.Context())
	hungUp := make(chan struct{})
	go func() { ask(first); close(hungUp) }()
	b.eventually("the installation is asked", func() bool { return asked.Load() > 0 })
	hangUp() // he in whose call it is asked
	<-hungUp
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if state, err := ask(t.Context()); err != nil || len(state.Installations) != 2 {
				t.Errorf("the router says of itself: %+v, %v", state, err)
			}
		})
	}
	close(slow)
	all.Wait()
	b.eventually("the installation is asked again", func() bool {
		_, err := ask(t.Context())
		return err == nil && asked.Load() > 2
	})
	if n, most := asked.Load(), 1+int64(time.Since(began)/time.Second); n > most {
		t.Errorf("the installation was asked %d times in %s, want %d at most", n, time.Since(began), most)
	}
}

func (b *bus) get(path string) string {
	b.t.Helper()
	resp, err := b.north.HTTP.Get(b.url + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// Routers keep nothing that another one lacks: what came by one is repeated by another, and
// acknowledged there.
func TestRoutersAreAlike(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	kind, body, id := b.party("MUNI").BuildRequest(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")})
	first := good(t, b.party("MUNI").Post("/ws", kind, body))
	good(t, b.party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "77")}))
	b.answer(b.north, "MOSCOW", adaptertest.Regional, "MUNI")
	taken := b.party("MUNI").Await(envelopes.GetResponse, "")

	b.stop() // with what it remembered of taken
	b.router, b.url, b.log, b.stop = b.open()
	again := good(t, b.party("MUNI").Post("/ws", kind, body))
	if again.Receipt.MessageID != id || again.Receipt.ID != first.Receipt.ID {
		t.Errorf("the repetition is given receipt %+v, want %+v", again.Receipt, first.Receipt)
	}
	b.only(b.south, b.north, id)
	good(t, b.party("MUNI").Ack(taken.Message.Metadata.MessageID))

	_, second, _, stop := b.open()
	defer stop()
	b.answer(b.south, "OBLAST", adaptertest.Regional, "MUNI")
	beside := b.north.Party("MUNI").At(second)
	m := beside.Await(envelopes.GetResponse, "").Message
	good(t, b.party("MUNI").Ack(m.Metadata.MessageID))
	refused(t, beside.Ack(m.Metadata.MessageID), envelopes.TargetMessageIsNotFound, http.StatusInternalServerError)
	b.north.Check()
	b.south.Check()
}

// Two messages of one name in two installations are two messages: each is taken out by an
// Ack of its own.
func TestOneNameInTwoInstallations(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	muni := b.party("MUNI")
	name := muni.ID()
	for region, provider := range map[string]string{"77": "MOSCOW", "50": "OBLAST"} {
		good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, region)}))
		p := b.party(provider)
		taken := p.Await(envelopes.GetRequest, "")
		good(t, p.Reply(taken.Message.ReplyTo, adaptertest.Reply{ID: name, Content: adaptertest.Answer(adaptertest.Regional)}))
		good(t, p.Ack(taken.Message.Metadata.MessageID))
	}
	for range 2 {
		if m := muni.Await(envelopes.GetResponse, "").Message; m.Metadata.MessageID != name {
			t.Fatalf("MUNI gets %s, want %s", m.Metadata.MessageID, name)
		}
	}
	good(t, muni.Ack(name))
	good(t, muni.Ack(name))
	refused(t, muni.Ack(name), envelopes.TargetMessageIsNotFound, http.StatusInternalServerError)
	b.north.Check()
	b.south.Check()
}

// A broadcast lives where the configuration says, and reaches its subscribers, who live
// nowhere or elsewhere.
func TestBroadcasts(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	sent := good(t, b.party("REGISTRY").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.News)}))
	b.only(b.north, b.south, sent.Receipt.MessageID)
	for _, subscriber := range []string{"MUNI", "MFC"} {
		a := b.party(subscriber).Await(envelopes.GetRequest, "")
		if a.Message.Metadata.MessageID != sent.Receipt.MessageID {
			t.Errorf("%s takes %+v", subscriber, a.Message.Metadata)
		}
		good(t, b.party(subscriber).Ack(a.Message.Metadata.MessageID))
	}
}

// What the bus has to tell of a request waits where the request lives, and statistics are a
// provider's own installation's.
func TestStatusAndStatistics(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.north.Register("MUNI", "asyncErrors: statuses\n")
	b.south.Reload()
	if bad := b.router.Reload().Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	muni := b.party("MUNI").In(envelopes.V11)
	sent := good(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50"), EOL: b.south.Clock.Now().Add(time.Hour)}))
	b.eventually("the queue is in the statistics", func() bool {
		list, err := envelopes.DecodeQueueStatistics(b.party("OBLAST").In(envelopes.V11).Statistics().Envelope)
		return err == nil && len(list) == 1 && list[0].Pending == 1
	})
	b.south.Clock.Advance(2 * time.Hour)
	b.eventually("the status waits", func() bool { return waiting(t, b.south, "MUNI", adapter.QueueStatus) == 1 })
	b.north.Clock.Advance(2 * time.Hour) // parties go by it
	a := good(t, muni.GetStatus())
	if a.State == nil || a.State.OriginalMessageID != sent.Receipt.MessageID {
		t.Fatalf("the status is %+v", a.State)
	}
	if a := good(t, muni.GetStatus()); a.State != nil {
		t.Errorf("there is one more: %+v", a.State)
	}
}

// What is too large is refused at the router, in a gateway's words, and read to its end.
func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	b := start(t, "limits: {body: 64KB}\n")
	kind, body, _ := b.party("MUNI").BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Files: map[string][]byte{"a": make([]byte, 8<<20)}})
	refused(t, b.party("MUNI").Post("/smev/v1.2/ws", kind, body), envelopes.InvalidContent, http.StatusRequestEntityTooLarge)
	if !strings.Contains(b.get("/metrics"), `mezhved_route_refused_total{reason="too-large"} 1`) {
		t.Error("the metrics do not tell of the refusal")
	}
}

// Descriptions come from any installation; nothing else that an installation shows is to be
// had here.
func TestDocuments(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.way.Refuse()
	b.way.Cut()
	for range 3 {
		if text := b.get("/smev/v1.2/ws?wsdl"); !strings.Contains(text, "definitions") {
			t.Fatalf("the description is\n%s", text)
		}
	}
	if text := b.get("/smev/v1.3/smev-message-exchange-types-1.3.xsd"); !strings.Contains(text, "schema") {
		t.Errorf("the schema is\n%s", text)
	}
	for _, path := range []string{"/", "/console", "/api/v1/messages", "/smev/../metrics", "/smev/v1.2/../../readyz", "/attachment/x"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = path
		resp, err := b.north.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: HTTP status %d, want 404", path, resp.StatusCode)
		}
	}
}

// What a stranger writes makes nobody believe that an installation is away: polls of others
// would pass it over.
func TestStrangersLoseNoInstallation(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	stranger := b.north.Party("STRANGER").At(b.url)
	for _, wait := range []string{"9223372036854775758", "9223372036854772208", "9223372036854775807"} { // as nanoseconds they overflow
		for _, body := range [][]byte{stranger.BuildPoll(envelopes.GetResponse), stranger.BuildAck(stranger.ID()), []byte("<bad")} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/ws", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", envelopes.TextXML)
			req.Header.Set("Prefer", "wait="+wait)
			resp, err := b.north.HTTP.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusInternalServerError {
				t.Errorf("wait=%s: HTTP status %d, want the refusal of an installation", wait, resp.StatusCode)
			}
		}
	}
	if strings.Contains(b.log.String(), "does not answer") {
		t.Errorf("the log has\n%s", b.log)
	}
	good(t, b.party("MUNI").Get(envelopes.GetResponse, adapter.QName{}, ""))
}

// Neither does who hangs up before he has the description that he has asked for.
func TestWhoHangsUpOnADocument(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.way.Swallow(adaptertest.Both)
	b.eventually("somebody has hung up on the south", func() bool { // where he begins is by lot
		ctx, hangUp := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer hangUp()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/smev/v1.2/ws?wsdl", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := b.north.HTTP.Do(req); err == nil {
			resp.Body.Close()
		}
		return strings.Contains(b.log.String(), "the caller hung up before it had its answer")
	})
	if strings.Contains(b.log.String(), "does not answer") {
		t.Errorf("the log has\n%s", b.log)
	}
}

// fragile is a log that breaks when it is to tell that an installation is lost.
type fragile struct{ slog.Handler }

func (f fragile) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "an installation does not answer") {
		panic(errors.New("secret"))
	}
	return f.Handler.Handle(ctx, r)
}

// A panic ends one call, is told with its stack and counted, and the router goes on.
func TestPanics(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.way.Refuse()
	b.way.Cut()
	reopen := func() {
		b.stop()
		b.router, b.url, b.log, b.stop = b.open(func(h slog.Handler) slog.Handler { return fragile{h} })
	}
	told := func(line, where string) {
		t.Helper()
		log := b.log.String()
		if !strings.Contains(log, line) || !strings.Contains(log, "panic: *errors.errorString") || !strings.Contains(log, where) || strings.Contains(log, "secret") {
			t.Errorf("the log has\n%s", log)
		}
		if text := b.get("/metrics"); !strings.Contains(text, "\nmezhved_panics_total 1\n") {
			t.Errorf("the panic is not counted:\n%s", text)
		}
	}

	reopen()
	a := b.party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")})
	refused(t, a, envelopes.SMEVFailure, http.StatusInternalServerError)
	told(`level=ERROR msg="call failed" incident=`+a.Header.Get("X-Mezhved-Incident"), "router.(*Router).inTurn")
	good(t, b.party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))

	reopen()
	b.eventually("a description is asked for in the south", func() bool { // where one begins is by lot
		if resp, err := b.north.HTTP.Get(b.url + "/smev/v1.2/ws?wsdl"); err == nil {
			resp.Body.Close()
		}
		return strings.Contains(b.log.String(), "panic")
	})
	told(`level=ERROR msg="a call ended in a panic"`, "router.(*Router).serveDocument")
}

// before stands before an installation: whatever is asked of it passes by look first.
func before(t *testing.T, w *adaptertest.World, look func(*http.Request)) (url string) {
	t.Helper()
	to, err := neturl.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	return serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		look(r)
		pass.ServeHTTP(rw, r)
	}))
}

// rewritten opens a router whose configuration has other words.
func (b *bus) rewritten(oldnew ...string) (url string) {
	b.t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.config, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600); err != nil {
		b.t.Fatal(err)
	}
	_, url, _, stop := b.open()
	b.t.Cleanup(stop)
	return url
}

// Whoever asks for several things by turns begins each of them in every installation: nobody's
// answers wait behind those of others for as long as these come.
func TestNoPatternOfPollsStarvesAnInstallation(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	var mu sync.Mutex
	var asked []string
	note := func(name string) func(*http.Request) {
		return func(*http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, name)
		}
	}
	muni := b.north.Party("MUNI").At(b.rewritten(
		b.north.URL, before(t, b.north, note("north")), "http://"+b.way.Address(), before(t, b.south, note("south"))))
	begun := map[string]int{}
	for range 40 {
		mu.Lock()
		asked = nil
		mu.Unlock()
		good(t, muni.Get(envelopes.GetResponse, adapter.QName{}, ""))
		mu.Lock()
		begun[asked[0]]++
		mu.Unlock()
		good(t, muni.GetStatus())
	}
	if len(begun) != 2 {
		t.Errorf("polls for answers have begun in %v", begun)
	}
}

// What an installation has perhaps accepted is given to no other one: a service that the
// installations know, and the router does not yet, would be asked twice.
func TestWhatMayBeAcceptedGoesToNoOther(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	for how, north := range map[string]http.HandlerFunc{
		"it does not answer":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"who stands before it says": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
	} {
		taken, asked := 0, 0
		var mu sync.Mutex
		inside := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			taken++
			mu.Unlock()
			north(w, r)
		}))
		other := before(t, b.south, func(*http.Request) {
			mu.Lock()
			asked++
			mu.Unlock()
		})
		was, err := os.ReadFile(b.config)
		if err != nil {
			t.Fatal(err)
		}
		address := b.rewritten(b.north.URL, inside, "http://"+b.way.Address(), other)
		if err := os.WriteFile(b.config, was, 0o600); err != nil {
			t.Fatal(err)
		}
		kind, body, _ := b.party("MUNI").BuildRequest(adaptertest.Request{Content: adaptertest.Content("urn://nobody")})
		resp, err := b.north.HTTP.Post(address+"/ws", kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		mu.Lock()
		if resp.StatusCode < 503 || taken == 0 || asked != 0 {
			t.Errorf("%s: HTTP status %d, after %d calls to the one and %d to the other", how, resp.StatusCode, taken, asked)
		}
		mu.Unlock()
	}
}

// Who has begun to answer has perhaps handed out a message: an answer that is long on its way
// is waited for, or its message would be taken out of the queue in vain each time.
func TestAnswersThatHaveBegunAreWaitedFor(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	const turn = 8 * time.Second
	slow := func(w *adaptertest.World) string {
		return serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			rw.Header().Set("Content-Type", envelopes.TextXML)
			http.NewResponseController(rw).Flush()
			time.Sleep(2 * turn)
			resp, err := w.HTTP.Post(w.URL+r.URL.Path, envelopes.TextXML, bytes.NewReader(body))
			if err != nil {
				return
			}
			defer resp.Body.Close()
			io.Copy(rw, resp.Body)
		}))
	}
	address := b.rewritten("turn: 40s", "turn: "+turn.String(), b.north.URL, slow(b.north), "http://"+b.way.Address(), slow(b.south))
	good(t, b.north.Party("MUNI").At(address).Get(envelopes.GetResponse, adapter.QName{}, ""))
}

// A path comes to an installation, and to whoever stands before it, as it came here: it is not
// decoded twice.
func TestDocumentsAreAskedForAsTheyCame(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	paths := make(chan string, 1)
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { paths <- r.RequestURI })
	address := b.rewritten(b.north.URL, serve(t, inside), "http://"+b.way.Address(), serve(t, inside))
	for _, path := range []string{
		"/ws/%252e%252e/metrics", "/ws/%253Fx", "/ws/%2523x", "/ws/%25zz", "/ws/%D1%85.xsd?a=%252e&b", "/ws?wsdl",
	} {
		resp, err := b.north.HTTP.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: HTTP status %d", path, resp.StatusCode)
			continue
		}
		if got := <-paths; got != path {
			t.Errorf("%s goes on as %s", path, got)
		}
	}
}

// Half a document is not passed on as if it were all of it.
func TestHalfADocument(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<schema>")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	address := b.rewritten(b.north.URL, serve(t, inside), "http://"+b.way.Address(), serve(t, inside))
	resp, err := b.north.HTTP.Get(address + "/ws?wsdl")
	if err != nil {
		return // not even its beginning
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
		t.Errorf("the document is %q", text)
	}
}

// For whom it calls the router says itself: what the caller has written of that is not
// passed on, nor is what concerns one connection.
func TestHeadersThatGoOn(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	seen := make(chan http.Header, 1)
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Connection", "X-Own")
		w.Header().Set("X-Own", "1")
		w.Header().Set("X-Mezhved-Trace", "t")
		w.WriteHeader(http.StatusInternalServerError)
	})
	url := serve(t, inside)
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), b.north.URL, url, 1)
	if err := os.WriteFile(b.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address, _, stop := b.open()
	defer stop()
	kind, body, _ := b.party("MUNI").BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/ws", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": kind, "Soapaction": `"urn:SendRequest"`, "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"X-Forwarded-For": "10.9.9.9", "Forwarded": "for=10.9.9.9", "Connection": "X-Hop", "X-Hop": "1",
	} {
		req.Header.Set(name, value)
	}
	resp, err := b.north.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError || resp.Header.Get("X-Mezhved-Trace") != "t" || resp.Header.Get("X-Own") != "" {
		t.Errorf("the answer comes as %d with %v", resp.StatusCode, resp.Header)
	}
	got := <-seen
	for name, want := range map[string]string{
		"Content-Type": kind, "Soapaction": `"urn:SendRequest"`, "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"X-Forwarded-For": "127.0.0.1", "Forwarded": "", "X-Hop": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s goes on as %q, want %q", name, got.Get(name), want)
		}
	}
}

// serve answers at an address of its own.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// The doors speak TLS where they have a certificate, and installations do, by whom the
// configuration names.
func TestTLS(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	to, err := neturl.Parse(b.north.URL)
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(to))
	t.Cleanup(inside.Close)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair := inside.TLS.Certificates[0] // for 127.0.0.1, and its own authority
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", "CERTIFICATE", pair.Certificate[0])
	write("key.pem", "PRIVATE KEY", key)
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	secure := strings.Replace(string(text), b.north.URL, inside.URL, 1) + fmt.Sprintf("cas: %[1]s/cert.pem\ntls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\n", dir)
	if err := os.WriteFile(b.config, []byte(secure), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address, _, stop := b.open()
	defer stop()
	b.north.HTTP.Transport = inside.Client().Transport
	muni := b.north.Party("MUNI").At(strings.Replace(address, "http://", "https://", 1))
	good(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	good(t, muni.Get(envelopes.GetResponse, adapter.QName{}, ""))
}

// A set of services of which somebody would live nowhere does not come into force.
func TestReload(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	service := filepath.Join(b.north.Config.Services, "extract", "1.0", "service.yaml")
	text, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(service, bytes.Replace(text, []byte("providers: [REGISTRY]"), []byte("providers: [MFC]"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := b.router.Reload().Errors()
	if len(bad) != 1 || !strings.Contains(bad.Error(), "MFC, a provider of extract 1.0, lives in no installation: name it among the providers of one, and start the router again") || !strings.Contains(bad.Error(), "route.yaml:5") {
		t.Fatalf("the findings are %v", bad)
	}
	good(t, b.party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	if err := os.WriteFile(service, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if bad := b.router.Reload().Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	figures := b.get("/metrics")
	for _, want := range []string{`mezhved_route_reloads_total{outcome="refused"} 1`, `mezhved_route_reloads_total{outcome="ok"} 1`} {
		if !strings.Contains(figures, want) {
			t.Errorf("the metrics have no %s:\n%s", want, figures)
		}
	}
}

// A router tells, once for each change, which installations have other services and parties.
func TestInstallationsThatDiffer(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	differ := func(want ...bool) {
		t.Helper()
		b.eventually(fmt.Sprintf("that they differ is %v", want), func() bool {
			state := b.readiness(http.StatusOK)
			return len(state.Installations) == 2 && state.Installations[0].Differs == want[0] && state.Installations[1].Differs == want[1]
		})
	}
	told := func(line, of string) int {
		return strings.Count(b.log.String(), fmt.Sprintf("msg=%q installation=%s", line, of))
	}
	const other, again = "an installation has other services or parties than this router: have both read the same folders", "an installation has the services and parties of this router again"
	differ(false, false)

	stranger := b.north.Party("STRANGER")
	b.north.Write("parties/NEWCOMER.yaml", "name: Newcomer\n")
	stranger.AddCertificate("NEWCOMER.pem")
	if bad := b.router.Reload().Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	differ(true, true)
	if bad := b.north.Gateway.Reload(t.Context()).Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	differ(false, true)
	if bad := b.south.Gateway.Reload(t.Context()).Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	differ(false, false)
	for _, of := range []string{"north", "south"} {
		if told(other, of) != 1 || told(again, of) != 1 {
			t.Errorf("of the %s the log has\n%s", of, b.log)
		}
	}
}
