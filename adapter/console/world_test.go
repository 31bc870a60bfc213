package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/clerk"
	"mezhved/adapter/postgres"
	"mezhved/envelopes"
)

const (
	operatorToken = "operator-token-for-tests-0001"
	auditorToken  = "auditor-token-for-tests-00002"
	origin        = "journal.test/desk"
)

// desk is a whole gateway with its journal running and its desk open.
type desk struct {
	*adaptertest.World
	t       testing.TB
	console *Console
	book    *postgres.Journal
	policy  *journal.Policy
	site    *httptest.Server
	stop    func() // the sequencer
}

func openDesk(t testing.TB, options ...adaptertest.Option) *desk {
	t.Helper()
	d := &desk{World: adaptertest.Start(t, options...), t: t}
	store, ok := d.Store.Store.(*postgres.Store)
	if !ok {
		t.Fatalf("the world's store is a %T", d.Store.Store)
	}
	dir := t.TempDir()
	var err error
	d.book, err = store.Journal(context.Background(), origin, d.Vault)
	d.must(err)
	secret, public, err := journal.NewKey(origin)
	d.must(err)
	state := filepath.Join(dir, "signer")
	d.must(clerk.CreateSignerState(state, secret))
	signer, err := clerk.NewFileSigner(state, secret, d.Clock.Now)
	d.must(err)
	d.policy, err = journal.LogPolicy(public)
	d.must(err)
	sequencer := &clerk.Sequencer{Book: d.book, Signer: signer, Vault: d.Vault, Now: d.Clock.Now, Keys: func() error { _, err := d.Vault.Lacking(); return err }, Log: slog.New(slog.DiscardHandler), Tick: 5 * time.Millisecond, Publish: 20 * time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sequencer.Run(ctx) // nil, always: failures are told by Writable
	}()
	stopped := false
	d.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	t.Cleanup(func() {
		d.stop()
		signer.Close()
	})

	var tokens []Token
	for _, one := range []struct {
		name   string
		role   Role
		secret string
	}{{"duty", Operator, operatorToken}, {"court", Auditor, auditorToken}} {
		token, err := NewToken(one.name, one.role, one.secret)
		d.must(err)
		tokens = append(tokens, token)
	}
	d.console, err = New(Rooms{Gateway: func() *adapter.Gateway { return d.Gateway }, Store: d.Store, Content: store, Alarms: store, Probes: store, Impact: store, Journal: d.book, Policy: d.policy, Tokens: tokens,
		Log: slog.New(slog.NewTextHandler(d.Log, nil)), Now: d.Clock.Now})
	d.must(err)
	r := chi.NewRouter()
	d.console.Mount(r)
	Public(r, d.book, false, d.console.Log, d.console.AdmitReader)
	d.site = httptest.NewServer(r)
	t.Cleanup(d.site.Close)
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// settle waits until everything that is committed stands under a checkpoint: a
// mark that is committed now has then come through.
func (d *desk) settle() {
	d.t.Helper()
	mark := journal.Event{Kind: journal.KindConfigChanged, Time: d.Clock.Now(), Incident: "mark-" + newMessage()}
	d.must(d.Store.Store.Record(context.Background(), mark))
	d.Eventually("the mark stands under a checkpoint", func() bool {
		rows, err := d.book.Search(context.Background(), postgres.Query{Incident: mark.Incident})
		d.must(err)
		cp, err := d.console.checkpoint(context.Background())
		d.must(err)
		return len(rows) == 1 && cp != nil && cp.Tree.N > rows[0].Index
	})
}

type reply struct {
	*http.Response
	body []byte
}

// get asks with a token; body nil is a GET, anything else a POST of its JSON.
func (d *desk) ask(token, path string, body any) reply {
	d.t.Helper()
	method, in := http.MethodGet, io.Reader(nil)
	if body != nil {
		method = http.MethodPost
		b, err := json.Marshal(body)
		d.must(err)
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, d.site.URL+path, in)
	d.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return d.do(req)
}

func (d *desk) do(req *http.Request) reply {
	d.t.Helper()
	client := &http.Client{Timeout: 60 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	d.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	d.must(err)
	return reply{resp, b}
}

// ok asks and reads the JSON of a good answer.
func ok[T any](d *desk, token, path string) T {
	d.t.Helper()
	var out T
	a := d.ask(token, path, nil)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		d.t.Fatalf("%s: %v in %s", path, err, a.body)
	}
	return out
}

// refused sends content that breaks the schema and gives the incident.
func (d *desk) refused(content string) (incident, messageID string) {
	d.t.Helper()
	kind, body, id := d.Party("MUNI").BuildRequest(adaptertest.Request{Content: content})
	a := d.Party("MUNI").Post("/ws", kind, body)
	if a.Fault == nil {
		d.t.Fatalf("the request was not refused: %s", a.Body)
	}
	return a.Header.Get("X-Mezhved-Incident"), id
}

// broken is a request whose cadastral number is not one.
func broken(value string) string {
	return strings.Replace(adaptertest.Content(adaptertest.Extract1), "77:01:000101:42", value, 1)
}

// exchange plays a whole exchange and gives the MessageID of its request.
func (d *desk) exchange() string {
	d.t.Helper()
	id, request := d.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	registry, muni := d.Party("REGISTRY"), d.Party("MUNI")
	if a := registry.Ack(id); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
	if a := registry.Reply(request.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
	got := muni.Await(envelopes.GetResponse, "")
	if a := muni.Ack(got.Message.Metadata.MessageID); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
	return id
}

func readJSON[T any](d *desk, a reply) T {
	d.t.Helper()
	var out T
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		d.t.Fatalf("%v in %s", err, a.body)
	}
	return out
}
