package emulator

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/party"
	"mezhved/adapter/registry"
	"mezhved/signing"
)

// House runs an emulator for each party that says emulator: true, at the doors of a
// gateway in the same process.
type House struct {
	Catalog  func() *registry.Catalog
	Services string              // their folder
	Dir      string              // what is under way is kept here, in a folder for each party
	Doors    func() http.Handler // the gateway's
	TestOnly bool                // only messages marked TestMessage are answered
	Passed   bool                // the gateway goes by the scenarios, too, where they name faults
	Haste    float64             // how many times as soon everything comes; default 1
	Every    time.Duration       // how often to look whether parties or services have changed; default 2 s
	Now      func() time.Time
	Log      *slog.Logger

	sets  atomic.Pointer[map[key]*scenario.Set]
	seen  *registry.Catalog
	plays map[registry.Mnemonic]*playing
}

type key struct{ name, version string }

// playing is an emulator at work.
type playing struct {
	certificate [32]byte
	stop        context.CancelFunc
	done        chan struct{}
}

// Run plays until ctx ends. Scenarios that cannot be read are told of in the log, and
// those that were in force stay; so does an emulator whose key cannot be read.
func (h *House) Run(ctx context.Context) error {
	h.plays = map[registry.Mnemonic]*playing{}
	h.seen = nil
	defer func() {
		for m := range h.plays {
			h.stop(m)
		}
	}()
	every := h.Every
	if every <= 0 {
		every = 2 * time.Second
	}
	for {
		if c := h.Catalog(); c != h.seen {
			h.seen = c
			h.read(c)
			h.staff(ctx, c)
		}
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// emulated are the parties that are played.
func emulated(c *registry.Catalog) (out []*registry.Party) {
	for _, p := range c.Parties() {
		if p.Emulator {
			out = append(out, p)
		}
	}
	return out
}

// read opens the scenarios of what emulated parties provide.
func (h *House) read(c *registry.Catalog) {
	old := h.sets.Load()
	sets := map[key]*scenario.Set{}
	for _, s := range c.Services() {
		if !slices.ContainsFunc(s.Providers, func(m registry.Mnemonic) bool { p := c.Party(m); return p != nil && p.Emulator }) {
			continue
		}
		k := key{s.Name, s.Version}
		set, found := scenario.Open(filepath.Join(h.Services, s.Name, s.Version), scenario.Of(s, c.Calendar))
		for _, f := range found {
			h.Log.Warn("scenarios", "finding", f.String())
		}
		if len(found.Errors()) > 0 && old != nil && (*old)[k] != nil {
			h.Log.Error("the scenarios were not read again, the old ones stay in force: mend the files and reload", "service", s.Name, "version", s.Version)
			set = (*old)[k]
		}
		sets[k] = set
	}
	h.sets.Store(&sets)
}

// staff starts and ends emulators as the catalog wants it.
func (h *House) staff(ctx context.Context, c *registry.Catalog) {
	wanted := map[registry.Mnemonic]*registry.Party{}
	for _, p := range emulated(c) {
		wanted[p.Mnemonic] = p
	}
	for m := range h.plays {
		if p := wanted[m]; p == nil || p.Certificates[0].SHA256 != h.plays[m].certificate {
			h.stop(m)
		}
	}
	for m, p := range wanted {
		if h.plays[m] == nil {
			if err := h.start(ctx, p); err != nil {
				h.Log.Error("a party is not emulated: put it right and reload", "party", string(m), "error", err)
			}
		}
	}
}

func (h *House) start(ctx context.Context, p *registry.Party) error {
	signer, err := signing.LoadSigner(ctx, signing.KeySource{Key: p.Key, Certificate: p.Certificates[0].File})
	if err != nil {
		return err
	}
	e, err := Open(Options{
		Client: &party.Client{URL: "http://gateway/ws", Signer: signer, AllowUnsigned: true, Clock: h.Now, HTTP: &http.Client{Transport: Inside(h.Doors)}},
		Sets:   h.InForce, Due: func(s scenario.Service, received time.Time) time.Time { return h.due(s, p.Mnemonic, received) },
		Dir: filepath.Join(h.Dir, string(p.Mnemonic)), TestOnly: h.TestOnly, Passed: h.Passed, Haste: h.Haste, Now: h.Now, Log: h.Log.With("emulator", string(p.Mnemonic)),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	play := &playing{certificate: p.Certificates[0].SHA256, stop: cancel, done: make(chan struct{})}
	h.plays[p.Mnemonic] = play
	go func() {
		defer close(play.done)
		_ = e.Run(ctx) // it has no error
	}()
	h.Log.Info("a party is emulated: its answers are made up", "party", string(p.Mnemonic), "testOnly", h.TestOnly)
	return nil
}

func (h *House) stop(m registry.Mnemonic) {
	h.plays[m].stop()
	<-h.plays[m].done
	delete(h.plays, m)
}

// InForce are the scenarios in force.
func (h *House) InForce() (out []*scenario.Set) {
	sets := h.sets.Load()
	if sets == nil {
		return nil
	}
	for _, s := range *sets {
		out = append(out, s)
	}
	return out
}

func (h *House) due(s scenario.Service, to registry.Mnemonic, received time.Time) time.Time {
	c := h.Catalog()
	registered := c.Service(s.Name, s.Version)
	if registered == nil {
		return time.Time{}
	}
	due, _ := c.Due(registered, false, to, received)
	return due.Answered
}

// Inside lets a client call doors in the same process, without a network between.
func Inside(doors func() http.Handler) http.RoundTripper { return inside(doors) }

type inside func() http.Handler

// RoundTrip carries the call to the doors.
func (d inside) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Clone(r.Context())
	call.RemoteAddr, call.RequestURI, call.Host = "127.0.0.1:0", call.URL.RequestURI(), call.URL.Host
	w := &answer{header: http.Header{}, status: http.StatusOK}
	d().ServeHTTP(w, call)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// answer is what the doors write.
type answer struct {
	header http.Header
	status int
	once   sync.Once
	body   bytes.Buffer
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) { w.once.Do(func() { w.status = status }) }

func (w *answer) Write(p []byte) (int, error) { return w.body.Write(p) }
