package sandbox_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/sandbox"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/signing"
)

// world is a gateway with a sandbox before it, in which an hour takes a second.
type world struct {
	*adaptertest.World
	sets  []*scenario.Set
	n     int
	front *sandbox.Sandbox
}

// Register registers at the world's gateway.
func (w *world) Register(ctx context.Context, c *signing.Certificate) (registry.Mnemonic, error) {
	w.n++
	m := fmt.Sprintf("TEST%04d", w.n)
	w.Write("parties/"+m+".yaml", "name: a partner\n")
	w.Write("parties/"+m+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})))
	if bad := w.Gateway.Reload(ctx).Errors(); len(bad) > 0 {
		return "", bad
	}
	return registry.Mnemonic(m), nil
}

func open(t *testing.T, set ...func(*sandbox.Options)) *world {
	t.Helper()
	w := &world{}
	var services, parties string
	w.World = adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { services, parties = c.Services, c.Parties }),
		adaptertest.WithRooms(func(r *adapter.Rooms) {
			opened, found := registry.OpenSandbox(services, parties, r.Now)
			if bad := found.Errors(); len(bad) > 0 {
				t.Fatal(bad)
			}
			o := sandbox.Options{
				Catalog: opened.Catalog, Register: w, Sets: func() []*scenario.Set { return w.sets }, Verifier: r.Verifier, Contour: "sandbox", Now: r.Now,
				Log: slog.New(slog.DiscardHandler), Most: 30,
			}
			for _, one := range set {
				one(&o)
			}
			front, err := sandbox.New(o)
			if err != nil {
				t.Fatal(err)
			}
			w.front = front
			r.Registry, r.Front, r.Haste = opened, front.Front, 3600
		}))
	return w
}

// partner is somebody whom nobody has registered.
func (w *world) partner(transport http.RoundTripper) *party.Client {
	return &party.Client{URL: w.URL + "/ws", Signer: w.Party("STRANGER").Signer, Attempts: 1, HTTP: &http.Client{Timeout: time.Minute, Transport: transport}}
}

func content(ns string) party.Request { return party.Request{Content: []byte(adaptertest.Content(ns))} }

func fault(t *testing.T, err error) *envelopes.Fault {
	t.Helper()
	var refused *party.FaultError
	if !errors.As(err, &refused) {
		t.Fatalf("a fault was expected, not %v", err)
	}
	return refused.Fault
}

// A partner is registered by his first call, and may call what others may not, drafts
// too; the second finds him registered.
func TestFirstSight(t *testing.T) {
	w := open(t)
	p := w.partner(nil)
	for _, ns := range []string{adaptertest.Extract1, adaptertest.Draft, adaptertest.Trial} {
		r, err := p.SendRequest(t.Context(), content(ns))
		if err != nil || r.Sender.Mnemonic != "TEST0001" {
			t.Errorf("%s: sender %+v, %v", ns, r.Sender, err)
		}
	}
	if w.n != 1 {
		t.Errorf("he was registered %d times", w.n)
	}
	if m, err := p.PollResponse(t.Context(), party.Selector{}); err != nil || m != nil {
		t.Errorf("his queue: %v, %v", m, err)
	}
}

// asking is a client that asks for a fault in its own way.
type asking struct{ header, query string }

func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if a.header != "" {
		r.Header.Set(sandbox.Header, a.header)
	}
	if a.query != "" {
		r.URL.RawQuery = sandbox.Query + "=" + a.query
	}
	return http.DefaultTransport.RoundTrip(r)
}

// Each of the 21 faults can be had, in each way, from an operation that declares it,
// with the gateway's own words, and in the shape that the protocol's schema has for it.
func TestFaultsOnDemand(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	n := 0
	for _, kind := range envelopes.FaultKinds(envelopes.V13) {
		version := envelopes.V12
		if kind == envelopes.PersonalAccessDenied {
			version = envelopes.V13
		}
		call := func(a asking, spoken string) error {
			p := w.partner(a)
			p.Version = version
			mark := func(s string) string {
				if spoken != "" {
					return spoken
				}
				return s
			}
			switch {
			case envelopes.Declared(version, envelopes.SendRequest, kind), kind == envelopes.RequestIsNotFound:
				r := content(adaptertest.Extract1)
				r.NodeID = mark("")
				_, err := p.SendRequest(ctx, r)
				return err
			case envelopes.Declared(version, envelopes.SendResponse, kind):
				_, err := p.Reply(ctx, party.Reply{To: mark("x"), Content: []byte(adaptertest.Answer(adaptertest.Extract1))})
				return err
			case envelopes.Declared(version, envelopes.Ack, kind):
				return p.Ack(ctx, mark("00000000-0000-1000-8000-000000000000"), true)
			}
			_, err := p.PollRequest(ctx, party.Selector{NodeID: mark("")})
			return err
		}
		for _, c := range []struct {
			how asking
			say string
		}{{asking{header: string(kind)}, ""}, {asking{query: string(kind)}, ""}, {asking{}, sandbox.Value + string(kind)}} {
			f := fault(t, call(c.how, c.say))
			if f.Kind != kind || f.Text == "" || strings.Contains(f.Text, "%") || !strings.HasPrefix(f.Code, "sandbox : TR:SYNC:") {
				t.Errorf("%s by %+v%s: %+v", kind, c.how, c.say, f)
			}
		}
		n++
	}
	if n != 21 {
		t.Errorf("%d faults, want 21", n)
	}
	if f := fault(t, func() error {
		_, err := w.partner(asking{header: "SignatureVerificationFault/CertificateIsExpired"}).SendRequest(ctx, content(adaptertest.Extract1))
		return err
	}()); f.Signature != envelopes.CertificateIsExpired {
		t.Errorf("a detail that was asked for: %+v", f)
	}
	for asked, want := range map[string]string{
		"AccesDenied":               "AccesDenied: такой ошибки в протоколе нет; не имеется ли в виду AccessDenied?",
		"Nonsense":                  "Nonsense: такой ошибки в протоколе нет; какие есть, сказано на странице /sandbox/",
		"TargetMessageIsNotFound":   "SendRequest в версии 1.2 не возвращает ошибку TargetMessageIsNotFound; её возвращают: Ack",
		"AccessDenied/NoSuchDetail": "уточнение бывает только у SignatureVerificationFault",
		"PersonalAccessDenied":      "(версия 1.3)",
	} {
		_, err := w.partner(asking{header: asked}).SendRequest(ctx, content(adaptertest.Extract1))
		var odd *party.HTTPError
		if !errors.As(err, &odd) || odd.Status != http.StatusBadRequest || !strings.Contains(string(odd.Body), want) {
			t.Errorf("%s: %v", asked, err)
		}
	}
}

// A scenario may have the bus refuse: the first two requests here.
func TestFaultsByScenario(t *testing.T) {
	w := open(t)
	w.Write("services/extract/1.0/scenarios/10.yaml", "title: busy at first\nwhen: requests() <= 2\nsteps:\n  - {fault: DestinationOverflow}\n")
	set, found := scenario.Open(filepath.Join(w.Dir, "services/extract/1.0"), scenario.Of(w.Gateway.Catalog().Service("extract", "1.0"), nil))
	if len(found) > 0 {
		t.Fatal(found)
	}
	w.sets = []*scenario.Set{set}
	p := w.partner(nil)
	for i := range 3 {
		_, err := p.SendRequest(t.Context(), content(adaptertest.Extract1))
		if i < 2 {
			if f := fault(t, err); f.Kind != envelopes.DestinationOverflow || f.Destination == "" {
				t.Errorf("request %d: %+v", i, f)
			}
		} else if err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

// Ends of life and terms come as many times as soon: of a day nothing is left after
// half a minute, and five days take two minutes.
func TestTimePasses(t *testing.T) {
	w := open(t)
	p := w.partner(nil)
	before := time.Now()
	r := content(adaptertest.Extract1)
	r.EOL = before.Add(24 * time.Hour)
	receipt, err := p.SendRequest(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Store.Find(t.Context(), adapter.MessageID(receipt.MessageID))
	if err != nil || len(m) != 1 {
		t.Fatalf("%v, %v", m, err)
	}
	if left := m[0].EOL.Sub(before); left < 20*time.Second || left > time.Minute {
		t.Errorf("its life ends after %s, want 24 s", left)
	}
	if left := m[0].Deadline.Sub(before); left < 80*time.Second || left > 4*time.Minute {
		t.Errorf("its answer is due after %s, want 5 days in 3600 times the haste", left)
	}
}

// page reads a page, which must be there.
func (w *world) page(path string) string {
	w.T.Helper()
	resp, err := http.Get(w.URL + path)
	if err != nil {
		w.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.T.Fatalf("%s: %s, %v\n%s", path, resp.Status, err, b)
	}
	return string(b)
}

// tampering changes what goes out, and keeps where the sandbox says the call is shown.
type tampering struct {
	old, new string
	shown    *string
	calls    *string
}

func (c tampering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body = bytes.Replace(body, []byte(c.old), []byte(c.new), 1)
	r = r.Clone(r.Context())
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		*c.shown, *c.calls = resp.Header.Get("X-Mezhved-Sandbox"), resp.Header.Get("X-Mezhved-Sandbox-Calls")
	}
	return resp, err
}

// A partner sees his own calls: the verdict, the octets by the gateway's rule, and where
// his own differ. Others' calls he does not find.
func TestPages(t *testing.T) {
	w := open(t)
	var shown, sent, calls string
	p := w.partner(tampering{":42<", ":43<", &shown, &calls})
	_, err := p.SendRequest(t.Context(), content(adaptertest.Extract1))
	if f := fault(t, err); f.Signature != envelopes.SignatureIsInvalid {
		t.Fatalf("%+v", f)
	}
	home := w.page("/sandbox/")
	for _, want := range []string{"X-Mezhved-Sandbox-Calls", "TransactionCodeInvalid", "extract 1.0"} {
		if !strings.Contains(home, want) {
			t.Errorf("the first page does not have %s", want)
		}
	}
	if w.n != 0 || calls != "" {
		t.Errorf("who has proved nothing was registered (%d) and told of a page (%s)", w.n, calls)
	}
	if _, err := w.partner(tampering{shown: &sent, calls: &calls}).SendRequest(t.Context(), content(adaptertest.Extract1)); err != nil || calls != "" || w.n != 1 {
		t.Errorf("what is handed on, and could come from others: registered %d, page %q, %v", w.n, calls, err)
	}
	first := shown
	if _, err := p.PollResponse(t.Context(), party.Selector{}); err != nil || calls == "" {
		t.Fatalf("a poll is told of no page: %v", err)
	}
	mine := calls
	stranger := w.partner(tampering{":42<", ":43<", &shown, &calls})
	stranger.URL += "?" + sandbox.Page + "=" + strings.TrimPrefix(mine, "/sandbox/calls/")
	if calls = ""; fault(t, func() error { _, err := stranger.SendRequest(t.Context(), content(adaptertest.Extract1)); return err }()) == nil || calls != "" {
		t.Errorf("a call of nobody is told of a page: %s", calls)
	}
	list := w.page(mine)
	for _, want := range []string{shown, sent, "TEST0001", "SignatureVerificationFault (SignatureIsInvalid)"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not have %s:\n%s", want, list)
		}
	}
	if strings.Contains(list, first) {
		t.Error("a call that proves nothing is listed with the system whose certificate it showed")
	}
	if all := w.page(w.front.All()); !strings.Contains(all, mine) || !strings.Contains(all, first) {
		t.Errorf("the page of all:\n%s", all)
	}
	fingerprint := hex.EncodeToString(w.Party("STRANGER").Signer.Certificate().SHA256[:])
	shown = first
	call := w.page(shown)
	for _, want := range []string{"данные изменены после подписания", "Хеш в Reference", "не совпал", "не зарегистрирована: это делает первое обращение, подпись которого верна", "&lt;ds:SignedInfo", "77:01:000101:43"} {
		if !strings.Contains(call, want) {
			t.Errorf("the page of the call does not have %q", want)
		}
	}
	info := w.page(shown + "/signature/1/signedinfo")
	rule := w.page(shown + "/signature/1/transformed")
	if !strings.HasPrefix(info, "<ds:SignedInfo ") && !strings.HasPrefix(info, "<SignedInfo ") || !strings.HasPrefix(rule, "<ns1:SenderProvidedRequestData ") {
		t.Errorf("the octets are\n%s\n%s", info, rule)
	}
	own := strings.Replace(rule, ":43<", ":42<", 1)
	compared := w.compare(shown+"/signature/1", own)
	at := strings.Index(own, ":42<") + 2
	for _, want := range []string{fmt.Sprintf("различаются с байта %d", at), "тот, что в Reference", ":42", ":43"} {
		if !strings.Contains(compared, want) {
			t.Errorf("the comparison does not have %q", want)
		}
	}
	if same := w.compare(shown+"/signature/1", rule); !strings.Contains(same, "Октеты совпадают") || !strings.Contains(same, "не тот, что в Reference") {
		t.Errorf("the same octets:\n%s", same)
	}
	if body := w.page(shown + "/request"); !strings.Contains(body, ":43<") {
		t.Errorf("the bytes of the call: %s", body)
	}
	for _, nowhere := range []string{"/sandbox/call/x", "/sandbox/calls/" + fingerprint, "/sandbox/calls/" + strings.Repeat("0", 32), "/sandbox/all/" + strings.Repeat("0", 32), "/sandbox/calls?certificate=" + fingerprint, shown + "/signature/9/signedinfo", "/sandbox/x"} {
		resp, err := http.Get(w.URL + nowhere)
		if err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v, %v", nowhere, resp.Status, err)
		}
		resp.Body.Close()
	}
	for range 40 {
		_, _ = p.PollResponse(t.Context(), party.Selector{})
	}
	if n := len(regexp.MustCompile(`/sandbox/call/`).FindAllString(w.page(mine), -1)); n != 30 {
		t.Errorf("%d calls are kept, want 30", n)
	}
}

func (w *world) compare(address, own string) string {
	w.T.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	f, err := form.CreateFormFile("octets", "own.xml")
	if err != nil {
		w.T.Fatal(err)
	}
	_, _ = f.Write([]byte(own))
	_ = form.WriteField("what", "transformed")
	form.Close()
	resp, err := http.Post(w.URL+address, form.FormDataContentType(), &b)
	if err != nil {
		w.T.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.T.Fatalf("%s, %v\n%s", resp.Status, err, text)
	}
	return string(text)
}

// What a stranger sends holds no more in a sandbox than at a gateway: markup that takes
// more than there is room for is not read, a body that the gateway would not take goes by
// unread and is refused by it, and a partner's call finds room after both.
func TestHugeCalls(t *testing.T) {
	memory := adapter.NewMemory(adapter.LimitsConfig{Body: 1 << 20, Memory: 8 << 20})
	w := open(t, func(o *sandbox.Options) { o.Memory, o.Body = memory, 1<<20 })
	call := func(markup int) int {
		body := `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><a>` + strings.Repeat("<b/>", markup/4) + `</a></s:Body></s:Envelope>`
		r, err := http.Post(w.URL+"/smev/v1.2/ws", envelopes.TextXML, io.MultiReader(strings.NewReader(body))) // of no announced length
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		io.Copy(io.Discard, r.Body)
		return r.StatusCode
	}
	if got := call(900 << 10); got != http.StatusServiceUnavailable {
		t.Errorf("markup of 900 KB: %d, want 503", got)
	}
	if got := call(20 << 20); got != http.StatusRequestEntityTooLarge {
		t.Errorf("20 MB: %d, want 413", got)
	}
	w.Eventually("nothing is held after it", func() bool { return memory.Held() == 0 }) // who was refused early still sends
	if _, err := w.partner(nil).SendRequest(t.Context(), content(adaptertest.Extract1)); err != nil {
		t.Error(err)
	}
}

// Whatever of a kept call is large counts.
func TestSizeOfCalls(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]*sandbox.Call{
		"nothing": {}, "body": {Body: []byte(long)}, "path": {Path: long}, "type": {ContentType: long}, "MessageID": {MessageID: long},
		"certificate": {Certificate: &signing.Certificate{DER: []byte(long)}},
	} {
		least := 1 << 20
		if name == "nothing" {
			least = 1 << 10 // 256 MB of calls are no more than some hundred thousand
		}
		if c.Size() < least {
			t.Errorf("%s: %d octets count", name, c.Size())
		}
	}
}

// A name of a fault that is a megabyte long is answered at once, and not said again.
func TestLongDemand(t *testing.T) {
	w := open(t)
	body := `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><a>fault:` + strings.Repeat("Я", 400_000) + `</a></s:Body></s:Envelope>`
	r, err := http.Post(w.URL+"/smev/v1.2/ws?fault="+strings.Repeat("x", 5000), envelopes.TextXML, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusBadRequest || len(text) > 1000 {
		t.Errorf("%d, %d octets", r.StatusCode, len(text))
	}
}
