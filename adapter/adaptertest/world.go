package adaptertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"mezhved/adapter"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/adapter/vault"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/signing"
)

// World is a gateway and everything round it.
type World struct {
	T       testing.TB
	Config  adapter.Config
	Gateway *adapter.Gateway
	Store   *Breakable // the gateway's store, for breaking and for looking
	Bus     *BreakableBus
	Clock   *Clock
	URL     string // of the doors
	HTTP    *http.Client
	Dir     string // services and parties
	Log     *Log
	Journal *Switch // what the gateway is told of the journal
	Vault   *vault.Vault

	FileIndex  *BreakableFiles // of the file store, for breaking
	Late       int             // entries that the last Check found logged long after their time
	FTPAddress string          // of the file store's door; empty: the world has none (WithFiles)

	tracing trace.TracerProvider
	trust   *signing.Trust
	machine *Clock                  // the gateway's
	clock   *adapter.Clock          // what the gateway goes by; nil: Clock
	way     func(url string) string // to the database; nil: straight
	rooms   func(*adapter.Rooms)

	store *postgres.Store
	desk  *journaltest.Desk // of the journal, once it was needed
	book  *postgres.Journal

	parties  map[string]*Party
	bus      *Party // the gateway's own key
	verifier *signing.Verifier
	registry *registry.Registry
	database string       // its address
	apart    []*Breakable // stores of nodes that have their own
	brokers  []string     // addresses of the bus
	lossy    bool         // the bus has lost topics, or they were laid out anew
	stop     func()
	key      []byte
}

// Clock is a machine's clock: it runs like the real one, and the test moves it.
type Clock struct{ ahead, waited atomic.Int64 }

// Now is the time in the world.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Ticks is the machine's monotonic counter, which goes on by what Wait adds.
func (c *Clock) Ticks() time.Duration {
	return time.Since(began) + time.Duration(c.waited.Load())
}

// Wait lets time pass: the clock and the counter go on.
func (c *Clock) Wait(d time.Duration) {
	c.ahead.Add(int64(d))
	c.waited.Add(int64(d))
}

var began = time.Now()

// WithMachine gives the node a clock of its own that is set to something else
// than the database's: the gateway goes by adapter.Clock, as a real node does.
func WithMachine(machine *Clock) Option { return func(w *World) { w.machine = machine } }

// Log keeps the gateway's log for the test.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write is for the handler.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is everything that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Switch is the gateway's view of the journal: writable, or stopped by the test.
// The log itself is made and verified by Check.
type Switch struct{ why atomic.Pointer[error] }

// Stop makes the journal unwritable; nil makes it writable again.
func (s *Switch) Stop(why error) { s.why.Store(&why) }

// Run is adapter.Journal.Run.
func (s *Switch) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Writable is adapter.Journal.Writable.
func (s *Switch) Writable() error {
	if why := s.why.Load(); why != nil {
		return *why
	}
	return nil
}

// Option changes the world before it starts.
type Option func(*World)

// WithConfig changes the gateway's configuration.
func WithConfig(change func(*adapter.Config)) Option {
	return func(w *World) { change(&w.Config) }
}

// WithTracing gives the gateway a tracer.
func WithTracing(p trace.TracerProvider) Option { return func(w *World) { w.tracing = p } }

// WithTrust holds the certificates of callers against more than their registration.
func WithTrust(t *signing.Trust) Option { return func(w *World) { w.trust = t } }

// WithWay lets the gateway reach its database by another URL.
func WithWay(way func(url string) string) Option { return func(w *World) { w.way = way } }

// Beside puts the world's topics on the brokers of another world, whose prefix is another.
func Beside(other *World) Option { return func(w *World) { w.brokers = other.brokers } }

// Like gives the world the parties, services and keys of another one: a second
// installation of the same bus.
func Like(other *World) Option {
	return func(w *World) {
		w.parties, w.bus = other.parties, other.bus
		w.Config.Services, w.Config.Parties = other.Config.Services, other.Config.Parties
	}
}

// Brokers are the addresses of the world's bus.
func (w *World) Brokers() []string { return w.brokers }

// WithRooms changes what the world's gateways are put together from.
func WithRooms(change func(*adapter.Rooms)) Option { return func(w *World) { w.rooms = change } }

// Start makes a world and opens its gateway; it ends with the test.
func Start(t testing.TB, options ...Option) *World {
	t.Helper()
	w := &World{T: t, Clock: &Clock{}, parties: map[string]*Party{}, HTTP: &http.Client{Timeout: 60 * time.Second}, Log: &Log{}, Journal: &Switch{}}
	w.Dir = t.TempDir()
	now := w.Clock.Now()
	for _, name := range append([]string{"STRANGER", "SMEV"}, Parties...) {
		w.parties[name] = newParty(w, name, now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	}
	w.bus = w.parties["SMEV"]
	w.must(os.MkdirAll(w.path("parties"), 0o755))
	for _, name := range Parties {
		w.parties[name].register(w.path("parties"), "")
	}
	w.must(writeServices(w.path("services")))

	var err error
	prefix := fmt.Sprintf("t%d", time.Now().UnixNano())
	w.Config = adapter.Config{
		Node: "test", Listen: "127.0.0.1:0", Services: w.path("services"), Parties: w.path("parties"),
		Kafka: adapter.KafkaConfig{Prefix: prefix, Group: prefix},
		Times: adapter.TimesConfig{
			Relay: yamlfile.Period(200 * time.Millisecond), Sweep: yamlfile.Period(100 * time.Millisecond), Depths: yamlfile.Period(200 * time.Millisecond), Streams: yamlfile.Period(100 * time.Millisecond),
			Summary: yamlfile.Period(200 * time.Millisecond), Poll: yamlfile.Period(200 * time.Millisecond), Watch: yamlfile.Period(200 * time.Millisecond),
		},
	}.WithDefaults()
	w.Config.Listen = "127.0.0.1:0"
	for _, o := range options {
		o(w)
	}
	w.verifier, err = signing.NewVerifier(signing.Options{Now: w.Clock.Now, Trust: w.trust})
	w.must(err)
	w.Vault, err = vault.Open(w.path("vault"), w.Clock.Now)
	w.must(err)
	w.store, w.database = openStore(t, w.Config.Node, w.way, w.Vault, w.logger())
	w.Store = &Breakable{Store: w.store}
	w.FileIndex = &BreakableFiles{Index: w.store}
	bus, brokers := openBus(t, w.brokers, w.logger())
	w.Bus, w.brokers = &BreakableBus{Broker: bus, kept: map[string]int64{}}, brokers
	registry, findings := registry.Open(w.Config.Services, w.Config.Parties, w.Clock.Now, w.Config.Protocols)
	if bad := findings.Errors(); len(bad) > 0 {
		t.Fatalf("registry of the world:\n%v", bad)
	}
	w.registry = registry
	w.key = make([]byte, 32)
	rand.Read(w.key)
	w.open()
	t.Cleanup(func() {
		w.stop()
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", w.Log.String())
		}
	})
	return w
}

// open starts the world's gateway on its store and bus.
func (w *World) open() {
	w.T.Helper()
	w.Gateway, w.URL, w.FTPAddress, w.stop = w.start(w.Config)
}

// Join starts one more node on the same store and bus and gives its address.
func (w *World) Join(node string) string { return w.JoinMachine(node, w.machine) }

// JoinMachine does so on a machine with a clock of its own.
func (w *World) JoinMachine(node string, machine *Clock) string {
	w.T.Helper()
	c := w.Config
	c.Node = node
	first := w.machine
	w.machine = machine
	defer func() { w.machine = first }()
	_, url, _, stop := w.start(c)
	w.T.Cleanup(stop)
	return url
}

// JoinApart starts one more node with a store of its own on the database: it knows nothing
// of what another one has in memory, as on another machine. Faults of the world's Store are
// not its.
func (w *World) JoinApart(node string) string {
	w.T.Helper()
	s, err := postgres.Open(context.Background(), postgres.Options{URL: w.database, Node: node, Vault: w.Vault, Log: w.logger()})
	w.must(err)
	w.T.Cleanup(s.Close)
	first := w.Store
	w.Store = &Breakable{Store: s}
	w.apart = append(w.apart, w.Store)
	defer func() { w.Store = first }()
	return w.Join(node)
}

func (w *World) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *World) start(c adapter.Config) (g *adapter.Gateway, url, ftp string, stop func()) {
	w.T.Helper()
	rooms := adapter.Rooms{
		Store: w.Store, Broker: w.Bus, Registry: w.registry, Verifier: w.verifier, Signer: w.bus.Signer, ReplyKeys: [][]byte{w.key}, Journal: w.Journal,
		Log: w.logger(), Now: w.Clock.Now, Metrics: prometheus.NewRegistry(), Tracing: w.tracing,
	}
	if m := w.machine; m != nil {
		rooms.Now = nil
		rooms.Clock = &adapter.Clock{Ask: w.store.Time, Wall: m.Now, Ticks: m.Ticks, Tell: c.Clock.Tell.D(), Refuse: c.Clock.Refuse.D(), Log: w.logger()}
		w.must(rooms.Clock.Measure(context.Background()))
		if w.clock == nil {
			w.clock = rooms.Clock
		}
	}
	if w.rooms != nil {
		w.rooms(&rooms)
	}
	ftp = w.openFiles(c, &rooms)
	g, err := adapter.New(c, rooms)
	w.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, l) }()
	return g, "http://" + l.Addr().String(), ftp, sync.OnceFunc(func() {
		w.HTTP.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			w.T.Errorf("the gateway did not close well: %v", err)
		}
	})
}

// Stop closes the gateway.
func (w *World) Stop() { w.stop() }

// Restart closes the gateway and opens another on the same store and bus.
func (w *World) Restart() {
	w.T.Helper()
	w.stop()
	w.open()
}

// LayOut opens the gateway anew with another layout of topics. What was on the bus
// then is put there again.
func (w *World) LayOut(shared int) {
	w.T.Helper()
	w.Config.Kafka.Shared, w.lossy = shared, true
	w.Restart()
}

// Verifier proves signatures by the world's clock and trust.
func (w *World) Verifier() *signing.Verifier { return w.verifier }

// Book is the journal, as far as it was sequenced.
func (w *World) Book() *postgres.Journal {
	w.T.Helper()
	w.openJournal()
	return w.book
}

// Party is a party of the world.
func (w *World) Party(mnemonic string) *Party {
	w.T.Helper()
	p := w.parties[mnemonic]
	if p == nil {
		w.T.Fatalf("there is no party %s in the world", mnemonic)
	}
	return p
}

// Register writes a party's settings anew and reloads the registry.
func (w *World) Register(mnemonic, settings string) {
	w.T.Helper()
	w.Party(mnemonic).register(w.path("parties"), settings)
	w.Reload()
}

// NewParty makes a party with a certificate of the given dates, not registered yet.
func (w *World) NewParty(mnemonic string, from, to time.Time) *Party {
	w.T.Helper()
	p := newParty(w, mnemonic, from, to)
	w.parties[mnemonic] = p
	return p
}

// Reload reloads the registry, which must be good.
func (w *World) Reload() {
	w.T.Helper()
	if bad := w.Gateway.Reload(context.Background()).Errors(); len(bad) > 0 {
		w.T.Fatalf("reload:\n%v", bad)
	}
}

// Write puts a file under the world's folder.
func (w *World) Write(name, content string) {
	w.T.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.must(os.WriteFile(w.path(name), []byte(content), 0o644))
}

func (w *World) path(name string) string { return filepath.Join(w.Dir, filepath.FromSlash(name)) }

func (w *World) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Eventually waits until what is asked holds, 30 s at most: the machine may be busy.
func (w *World) Eventually(what string, holds func() bool) {
	w.T.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.T.Fatalf("still not true: %s", what)
		}
	}
}

// Exchange sends a request of ns and gives what its provider receives.
func (w *World) Exchange(from, to, ns string) (id string, delivered Answered) {
	w.T.Helper()
	sent := w.Party(from).Send(Request{Content: Content(ns)})
	if sent.Fault != nil {
		w.T.Fatalf("%s was refused: %v", from, sent.Fault)
	}
	return sent.Receipt.MessageID, w.Party(to).Await(envelopes.GetRequest, "")
}
