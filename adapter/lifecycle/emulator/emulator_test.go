package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/emulator"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// Scenarios of the world's service Extract1, by the number that is asked for.
var scenarios = map[string]string{
	"10-full.yaml": `title: two statuses, one of them twice, an answer with a file, and again
when: ends-with(/ExtractRequest/КадастровыйНомер, ':1')
steps:
  - {status: {code: 1, text: "принят: ${/ExtractRequest/КадастровыйНомер}", parameters: {часть: "1"}}}
  - {duplicate: new}
  - {after: 2h, status: {code: 2, text: ждём}}
  - after: 2h
    answer: '<ExtractResponse xmlns="urn://mezhved.test/extract/1.0"><Owner>${sender()} &amp; ${sequence()}</Owner><Area>${decimal(1 div 4, 2)}</Area></ExtractResponse>'
    attachments: [{name: план.txt, type: text/plain, text: "участок ${/ExtractRequest/КадастровыйНомер}"}]
  - {duplicate: same}
  - {duplicate: new}
`,
	"20-no.yaml":     "title: rejected\nwhen: ends-with(/ExtractRequest/КадастровыйНомер, ':2')\nsteps:\n  - {reject: {code: NO_DATA, text: нет}}\n",
	"30-wrong.yaml":  "title: the schema refuses\nwhen: ends-with(/ExtractRequest/КадастровыйНомер, ':3')\nsteps:\n  - {answer: '<ExtractResponse xmlns=\"urn://mezhved.test/extract/1.0\"><Owner>x</Owner><Area>${/ExtractRequest/КадастровыйНомер}</Area></ExtractResponse>'}\n",
	"40-fault.yaml":  "title: the bus's word\nwhen: ends-with(/ExtractRequest/КадастровыйНомер, ':4')\nsteps:\n  - {fault: AccessDenied}\n",
	"50-silent.yaml": "title: silence\nwhen: ends-with(/ExtractRequest/КадастровыйНомер, ':5')\nsteps:\n  - {silence: true}\n",
}

type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// provider is an emulated REGISTRY at the gateway of a world.
type provider struct {
	*emulator.Emulator
	log  *log
	dir  string
	stop func()
}

func sets(w *adaptertest.World) []*scenario.Set {
	w.T.Helper()
	for name, text := range scenarios {
		w.Write("services/extract/1.0/scenarios/"+name, text)
	}
	s := w.Gateway.Catalog().Service("extract", "1.0")
	set, found := scenario.Open(filepath.Join(w.Dir, "services/extract/1.0"), scenario.Of(s, nil))
	if len(found) > 0 {
		w.T.Fatal(found)
	}
	return []*scenario.Set{set}
}

func client(w *adaptertest.World, mnemonic string, transport http.RoundTripper) *party.Client {
	return &party.Client{URL: w.URL + "/ws", Signer: w.Party(mnemonic).Signer, Clock: w.Clock.Now, HTTP: &http.Client{Transport: transport, Timeout: time.Minute},
		Pause: time.Millisecond, Attempts: 1}
}

func start(w *adaptertest.World, dir string, transport http.RoundTripper, change func(*emulator.Options)) *provider {
	w.T.Helper()
	all := sets(w)
	p := &provider{log: &log{}, dir: dir}
	o := emulator.Options{Client: client(w, "REGISTRY", transport), Sets: func() []*scenario.Set { return all }, Dir: dir, Haste: 24 * 3600, Now: w.Clock.Now, Wait: time.Second, Pause: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(p.log, nil))}
	if change != nil {
		change(&o)
	}
	e, err := emulator.Open(o)
	if err != nil {
		w.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	p.Emulator, p.stop = e, sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.T.Cleanup(func() {
		p.stop()
		if w.T.Failed() {
			w.T.Logf("log of the emulator:\n%s", p.log.String())
		}
	})
	return p
}

func request(number string) party.Request {
	return party.Request{Content: []byte(strings.Replace(adaptertest.Content(adaptertest.Extract1), ":42<", ":"+number+"<", 1))}
}

// next is what MUNI finds in its response queue.
func next(w *adaptertest.World, muni *party.Client) *party.Message {
	w.T.Helper()
	for range 60 {
		m, err := muni.PollResponse(w.T.Context(), party.Selector{Wait: time.Second})
		if err != nil {
			w.T.Fatal(err)
		}
		if m == nil {
			continue
		}
		if err := muni.Ack(w.T.Context(), m.Metadata.MessageID, true); err != nil {
			w.T.Fatal(err)
		}
		return m
	}
	w.T.Fatal("no message came")
	return nil
}

// An emulated provider says through a real gateway what its scenarios say.
func TestScenariosAreProvided(t *testing.T) {
	w := adaptertest.Start(t)
	p := start(w, t.TempDir(), nil, nil)
	muni := client(w, "MUNI", nil)
	send := func(number string) string {
		t.Helper()
		r, err := muni.SendRequest(t.Context(), request(number))
		if err != nil {
			t.Fatal(err)
		}
		return r.MessageID
	}
	id := send("1")
	var ids []string
	for _, want := range []string{"принят: 77:01:000101:1", "принят: 77:01:000101:1", "ждём"} {
		m := next(w, muni)
		if m.OriginalMessageID != id || m.Response.Status == nil || m.Response.Status.Description != want {
			t.Fatalf("status %q of %s: %+v", want, id, m.Response)
		}
		ids = append(ids, m.Metadata.MessageID)
	}
	if ids[0] == ids[1] {
		t.Errorf("the duplicate has the same MessageID")
	}
	m := next(w, muni)
	if got := string(m.Response.Content.Bytes()); !strings.Contains(got, "<Owner>MUNI &amp; 1</Owner><Area>0.25</Area>") {
		t.Errorf("the answer is %s", got)
	}
	if len(m.Attachments) != 1 || string(m.Attachments[0].Content) != "участок 77:01:000101:1" {
		t.Errorf("its attachments are %+v", m.Attachments)
	}
	for _, c := range []struct{ number, code, text string }{
		{"2", "NO_DATA", "нет"},
		{"3", "FAILURE", "Эмулятор: сценарий 30-wrong, шаг 1: схема не принимает ответ: cvc-datatype-valid"},
		{"4", "FAILURE", "Эмулятор: по сценарию на этот запрос отвечает шина, ошибкой AccessDenied"},
		{"6", "FAILURE", "Эмулятор: ни один сценарий не подходит к этому запросу"},
	} {
		id := send(c.number)
		m := next(w, muni)
		if m.OriginalMessageID != id || len(m.Response.Rejections) != 1 || string(m.Response.Rejections[0].Code) != c.code || !strings.HasPrefix(m.Response.Rejections[0].Description, c.text) {
			t.Errorf("%s: %+v", c.number, m.Response)
		}
	}
	send("5")
	w.Eventually("nothing is under way", func() bool { return len(p.Waiting()) == 0 })
	if m, err := muni.PollResponse(t.Context(), party.Selector{}); err != nil || m != nil {
		t.Errorf("after silence and duplicates: %v, %v", m, err)
	}
	if got := p.log.String(); !strings.Contains(got, "the bus refuses a duplicate, as it must") {
		t.Errorf("the second final answer was not refused: %s", got)
	}
	w.Check()
}

// Where only test messages are to be answered, others are rejected, and say why.
func TestTestMessagesOnly(t *testing.T) {
	w := adaptertest.Start(t)
	start(w, t.TempDir(), nil, func(o *emulator.Options) { o.TestOnly = true })
	muni := client(w, "MUNI", nil)
	for _, test := range []bool{false, true} {
		r := request("2")
		r.Test = test
		if _, err := muni.SendRequest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want := map[bool]envelopes.RejectionCode{false: envelopes.RejectFailure, true: envelopes.RejectNoData}[test]
		if m := next(w, muni); m.Response.Rejections[0].Code != want {
			t.Errorf("test %v: %+v", test, m.Response.Rejections)
		}
	}
}

// cut breaks the connection, or the answer's way back, for calls of an operation.
type cut struct {
	operation string
	arrives   bool // the call does arrive, its answer is lost
	left      int

	mu sync.Mutex
}

var errCut = errors.New("the cable is cut")

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := c.left > 0 && strings.Contains(r.Header.Get("SOAPAction"), c.operation)
	if hit {
		c.left--
	}
	if hit && !c.arrives {
		return nil, errCut
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if hit && err == nil {
		resp.Body.Close()
		return nil, errCut
	}
	return resp, err
}

// Whatever is cut, and whenever the emulator is killed and started again, the consumer
// gets each message once, and numbers have no hole.
func TestCutsAndRestarts(t *testing.T) {
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Queues.Lease = yamlfile.Period(2 * time.Second) }))
	dir := t.TempDir()
	muni := client(w, "MUNI", nil)
	for i, c := range []*cut{{operation: "SendResponse", left: 2}, {operation: "SendResponse", arrives: true, left: 2}, {operation: "Ack", left: 1}, {operation: "Ack", arrives: true, left: 1}} {
		p := start(w, dir, c, nil)
		r, err := muni.SendRequest(t.Context(), request("1"))
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for len(kinds) < 4 {
			m := next(w, muni)
			if m.OriginalMessageID != r.MessageID {
				t.Fatalf("%s: an answer to %s", c.operation, m.OriginalMessageID)
			}
			kind := "status"
			if m.Response.Status == nil {
				kind = string(m.Response.Content.Bytes())
			}
			kinds = append(kinds, kind)
			if len(kinds) == 2 {
				p.stop()
				p = start(w, dir, c, nil)
			}
		}
		if want := "MUNI &amp; " + string(rune('1'+i)); !strings.Contains(kinds[3], want) {
			t.Errorf("%s: %q, want %q in the last", c.operation, kinds, want)
		}
		w.Eventually("nothing is under way", func() bool { return len(p.Waiting()) == 0 })
		p.stop()
	}
	if m, err := muni.PollResponse(t.Context(), party.Selector{}); err != nil || m != nil {
		t.Errorf("one more came: %v, %v", m, err)
	}
	w.Eventually("the request queue is empty", func() bool {
		m, err := client(w, "REGISTRY", nil).PollRequest(t.Context(), party.Selector{})
		return err == nil && m == nil
	})
	w.Check()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 5 { // four requests and the counters
		t.Errorf("%d files are left: %v", len(list), err)
	}
	for _, f := range list {
		if src, _ := os.ReadFile(filepath.Join(dir, f.Name())); bytes.Contains(src, []byte("000101")) || bytes.Contains(src, []byte("content")) {
			t.Errorf("%s still has content: %s", f.Name(), src)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := emulator.Open(emulator.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "x.json") {
		t.Errorf("a broken file: %v", err)
	}
}
