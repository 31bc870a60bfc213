package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"mezhved/adapter/registry"
	"mezhved/adapter/settings"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Rooms are what a gateway is put together from. Store, Broker, Registry,
// Verifier and ReplyKeys are needed; the rest has defaults.
type Rooms struct {
	Store    Store
	Broker   Broker
	Registry *registry.Registry
	Verifier *signing.Verifier // of ЭП-ОВ
	Personal *signing.Verifier // of ЭП-СП; default: Verifier
	Signer   signing.Signer    // the bus signature, a RotatingSigner where the key is to change while running; nil only with Config.Signature.Off
	// ReplyKeys are the secrets of reply addresses, 32 bytes or more each; the
	// first makes, all verify. Default: the files of Config.ReplyTo.
	ReplyKeys [][]byte
	// SealKeys are the secrets of the seals on the bus, 32 bytes or more each; the
	// first makes, all verify. Default: the files of Config.Kafka, or made from
	// ReplyKeys.
	SealKeys [][]byte
	// OldSeals is when the last node of before is taken to be upgraded: until then
	// records bear the seal of before too, and of messages accepted before it that
	// one is enough. Zero: there are no such nodes. See seal.go.
	OldSeals time.Time

	Files   FileStore    // nil: messages that refer to files in the file store are refused
	Objects http.Handler // its door for clients of S3, under /attachment; nil: none

	Build   Build // of the program, for the other nodes and who compares them
	Log     *slog.Logger
	Clock   *Clock           // the time that all nodes go by; nil: Now
	Now     func() time.Time // default: Clock's, or the machine's
	Metrics *prometheus.Registry
	Memory  *Memory              // what calls may hold, shared with the other doors of the process; default: one of the gateway's own
	Tracing trace.TracerProvider // default: OpenTelemetry's global one

	Journal Journal // nil: events are kept, but nobody puts them into a log
	// Shadow is offered what was accepted, and what a schema refused, for drafts that
	// messages are held against beside the version in force (package lifecycle/impact). It
	// copies what it keeps and must not wait. Nil: nobody is.
	Shadow func(*registry.Catalog, Shadowed)

	Loops []Loop           // run beside the gateway's own
	Mount func(chi.Router) // more doors: the console and its API

	// What a sandbox has and no configuration can say.
	Front func(doors http.Handler) http.Handler // stands before the doors
	Haste float64                               // ends of life and terms come so many times as soon; 0: in their time
}

// Journal puts committed events into the log and has it signed; the sequencer
// of package journal is one.
type Journal interface {
	// Run works until ctx ends, takes up what is left and publishes a last
	// checkpoint.
	Run(ctx context.Context) error
	// Writable says why nothing may be accepted now, or nil.
	Writable() error
}

// Loop is work that goes on until its context ends. An error starts it again
// after a pause.
type Loop struct {
	Name string
	Run  func(context.Context) error
}

// Gateway is one node of the exchange. New builds it, Run runs its loops,
// Handler is its doors; Serve does both in the right order.
type Gateway struct {
	config   Config                 // of the start; what changes while the gateway runs is read of inForce
	inForce  atomic.Pointer[Config] // see reconfigure.go
	store    Store
	broker   Broker
	registry *registry.Registry
	verifier *signing.Verifier
	personal *signing.Verifier
	signer   signing.Signer // nil: answers are not signed
	replies  replyKeys
	seals    sealKeys
	log      *slog.Logger
	now      func() time.Time
	ticks    func() time.Duration // monotonic: for how long something has been so
	metrics  *metrics
	tracer   trace.Tracer
	rooms    Rooms

	doors     http.Handler
	inside    http.Handler // behind proxies and front
	places    *places
	memory    *Memory
	proxies   proxies
	transport atomic.Pointer[transport] // nil: plain HTTP
	busLook   busLook
	discards  Discards // bytes of bodies that are refused and read to their end
	scratches sync.Pool
	strangers *strangers
	rates     rates
	pace      *pacer
	apart     atomic.Pointer[map[Queue]*pacer] // levels of queues that wait while others get on; nil: none does
	outbox    [Shards]bell                     // rung when something was accepted for the shard
	arrivals  bells                            // rung when something was queued
	placing   *placing                         // what the relay puts into queues, for the intake
	depth     depths
	polls     polls
	draining  atomic.Bool
	watchMu   sync.Mutex
	watched   watcher
	nodeTold  time.Time     // when this node first told the others of itself; zero: not yet
	nodeTick  time.Duration // tick of the last time

	reloading sync.Mutex
	told      atomic.Pointer[settings.State] // the settings that the journal was told of; nil: not known yet
	marks     map[string]string              // of secrets, made by Opened
}

// scratch is what one call needs and the next may reuse.
type scratch struct {
	call   *call // the record itself, apart: it outlives the rest where the scratch is taken out of it
	body   []byte
	tape   xmltape.Tape
	answer []byte // signed
}

func newScratch() *scratch { return &scratch{call: new(call)} }

// New puts a gateway together. The error names everything that is missing.
func New(c Config, p Rooms) (*Gateway, error) {
	c = c.WithDefaults()
	var missing []error
	need := func(ok bool, what string) {
		if !ok {
			missing = append(missing, errors.New(what))
		}
	}
	need(p.Store != nil, "a Store is needed")
	need(p.Broker != nil, "a Broker is needed")
	need(p.Registry != nil, "a Registry is needed")
	need(p.Verifier != nil, "a Verifier is needed")
	if r, ok := p.Signer.(*signing.RotatingSigner); ok && r == nil {
		p.Signer = nil // what Config.LoadSigner gives with Signature.Off
	}
	need(p.Signer != nil || c.Signature.Off, "a Signer is needed, or Signature.Off")
	keys := replyKeys(p.ReplyKeys)
	if len(keys) == 0 {
		read, err := c.LoadReplyKeys()
		if err != nil {
			missing = append(missing, err)
		}
		keys = read
	}
	seals := p.SealKeys
	if len(seals) == 0 {
		read, err := c.LoadSealKeys(keys)
		if err != nil {
			missing = append(missing, err)
		}
		seals = read
	}
	if p.Registry != nil {
		need(p.Registry.Catalog().Party(Mnemonic(c.Name)) == nil, fmt.Sprintf("%s is the gateway's own mnemonic (name) and may be no party's", c.Name))
	}
	if p.Registry != nil {
		if bad := p.Registry.Catalog().CheckProbes(Mnemonic(c.Probe.Party), c.Services, c.Parties); len(bad) > 0 {
			missing = append(missing, bad)
		}
	}
	need(len(keys) > 0, "a key of reply addresses is needed")
	for _, k := range keys {
		need(len(k) >= 32, "a key of reply addresses is shorter than 32 bytes")
	}
	for _, k := range seals {
		need(len(k) >= 32, "a key of seals is shorter than 32 bytes")
	}
	proxies, err := c.proxies()
	if err != nil {
		missing = append(missing, err)
	}
	if err := errors.Join(missing...); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		config: c, store: p.Store, broker: p.Broker, registry: p.Registry,
		verifier: p.Verifier, personal: p.Personal, placing: newPlacing(), signer: p.Signer, replies: keys, seals: newSealKeys(seals),
		log: p.Log, now: p.Now, metrics: newMetrics(p.Metrics), rooms: p,
		places:    newPlaces(c.Limits.Concurrent),
		memory:    p.Memory,
		proxies:   proxies,
		pace:      newPacer(c.Limits.Wait.D()),
		discards:  NewDiscards(),
		scratches: sync.Pool{New: func() any { return newScratch() }},
	}
	g.inForce.Store(&c)
	if g.memory == nil {
		g.memory = NewMemory(c.Limits)
	}
	if p.Tracing == nil {
		p.Tracing = otel.GetTracerProvider()
	}
	g.tracer = p.Tracing.Tracer("mezhved/adapter")
	if g.personal == nil {
		g.personal = p.Verifier
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	if g.now == nil && p.Clock != nil {
		g.now = p.Clock.Now
	}
	if g.now == nil {
		g.now = time.Now
	}
	if p.Clock != nil {
		p.Clock.init()
		g.ticks = p.Clock.Ticks
	} else {
		g.ticks = ticks()
	}
	g.watched = watcher{still: map[Oldest]*stillTold{}, seen: g.ticks()}
	g.metrics.blind(func() time.Duration {
		g.watchMu.Lock()
		defer g.watchMu.Unlock()
		return g.blindFor()
	})
	for i := range g.outbox {
		g.outbox[i] = newBell()
	}
	g.strangers = newStrangers(c.Limits, g.now)
	g.rates.config = c.Limits
	g.metrics.certificates(p.Registry.Catalog())
	if g.signer != nil {
		g.metrics.ownCertificate(g.signer)
	}
	g.metrics.promises(p.Registry.Catalog(), g.config.Quality.Target())
	g.inside = g.within(g.routes())
	g.doors = g.inside
	if p.Front != nil {
		g.doors = p.Front(g.doors)
	}
	g.doors = g.proxies.handler(g.doors)
	return g, nil
}

// Handler is the doors.
func (g *Gateway) Handler() http.Handler { return g.doors }

// Inside is the doors for callers in the same process: behind proxies, and behind what
// a sandbox puts before them.
func (g *Gateway) Inside() http.Handler { return g.inside }

// Config is the configuration in force, defaults filled in.
func (g *Gateway) Config() Config { return *g.inForce.Load() }

// limits are those in force.
func (g *Gateway) limits() *LimitsConfig { return &g.inForce.Load().Limits }

// Catalog is the set of services and parties in force.
func (g *Gateway) Catalog() *registry.Catalog { return g.registry.Catalog() }

var reloadSayings = yamlfile.Russian(map[string]string{
	"the journal could not be told of the change, so the old set stays in force: reload again when the store answers": "журнал не смог принять запись об изменении, поэтому действует прежний набор: перечитайте его, когда хранилище ответит",
})

// Reload reads services, parties and what the doors' TLS stands on again. With errors among the findings the
// old set stays in force; warnings do not stop it.
func (g *Gateway) Reload(ctx context.Context) yamlfile.Findings {
	if t := g.transport.Load(); t != nil {
		t.reload()
	}
	before := g.registry.Catalog().Digest
	g.reloading.Lock() // one difference at a time
	defer g.reloading.Unlock()
	found, err := g.registry.Reload(func(c *registry.Catalog) error {
		if bad := c.CheckProbes(Mnemonic(g.config.Probe.Party), g.config.Services, g.config.Parties); len(bad) > 0 {
			return bad
		}
		return g.tellChanges(ctx, "reload", c, g.Config())
	})
	var unasked yamlfile.Findings
	if errors.As(err, &unasked) {
		found, err = append(found, unasked...), nil
	}
	if bad := found.Errors(); len(bad) > 0 {
		g.metrics.reloads.WithLabelValues("refused").Inc()
		g.log.Error("the registry was not reloaded, the old set stays in force: mend the files and reload again", "findings", bad.Error())
		return found
	}
	if err != nil {
		g.metrics.reloads.WithLabelValues("refused").Inc()
		g.log.Error("the registry was not reloaded, because the journal could not be told of it; the old set stays in force: reload again when the store answers", "error", loggable(err))
		return append(found, yamlfile.NewFinding(g.config.Services, "", "the journal could not be told of the change, so the old set stays in force: reload again when the store answers"))
	}
	g.metrics.reloads.WithLabelValues("ok").Inc()
	for _, f := range found {
		if f.Gate {
			g.log.Warn("registry", "finding", f.String())
		}
	}
	c := g.registry.Catalog()
	g.metrics.certificates(c)
	g.metrics.promises(c, g.inForce.Load().Quality.Target())
	if c.Digest == before {
		g.log.Info("registry read again: nothing has changed", "services", len(c.Services()), "parties", len(c.Parties()))
		return found
	}
	g.log.Info("registry reloaded", "services", len(c.Services()), "parties", len(c.Parties()), "digest", c.Digest)
	return found
}

// Run runs the loops until ctx ends and they have finished the batch in hand.
// Each loop starts again after an error: what is normal at start-up mends what
// a crash left.
func (g *Gateway) Run(ctx context.Context) error {
	loops := []Loop{
		{"intake", g.intake}, {"sweep", g.sweep}, {"depths", g.watchDepths}, {"summary", g.summarise}, {"topics", g.watchTopics},
		{"streams", g.watchStreams}, {"feed", g.feed}, {"watch", g.watch}, {"terms", g.openTerms}, {"clock", g.keepClock},
	}
	for shard := range Shards {
		loops = append(loops, Loop{fmt.Sprintf("relay-%d", shard), func(ctx context.Context) error { return g.relay(ctx, shard) }})
	}
	loops = append(loops, g.rooms.Loops...)
	var journal, work sync.WaitGroup
	journalCtx, stopJournal := context.WithCancel(context.WithoutCancel(ctx))
	defer stopJournal()
	if j := g.rooms.Journal; j != nil {
		journal.Go(func() { g.keepRunning(journalCtx, Loop{"journal", j.Run}) })
	}
	for _, l := range loops {
		g.metrics.loops.WithLabelValues(l.Name) // at 0: what begins at 1 has not increased, as Prometheus sees it
		work.Go(func() { g.keepRunning(ctx, l) })
	}
	work.Wait()
	stopJournal() // last: what the other loops have written is in its last checkpoint
	journal.Wait()
	return nil
}

// keepClock keeps the time of this node at the database's.
func (g *Gateway) keepClock(ctx context.Context) error {
	c := g.rooms.Clock
	if c == nil {
		<-ctx.Done()
		return nil
	}
	for {
		skew, within := c.Skew()
		g.metrics.skew.Set(skew.Seconds())
		g.metrics.skewErr.Set(within.Seconds())
		if !c.keep(ctx, g.config.Times.Watch.D()) {
			return nil
		}
	}
}

// writable is nil when an accepted message's evidence can be written. The
// journal that cannot be written stops the act it would have told of; so does a
// clock that nobody can rely on.
func (g *Gateway) writable() error {
	if err := g.rooms.Clock.Trusted(); err != nil {
		skew, _ := g.rooms.Clock.Skew()
		return &refusal{reason: "clock", args: []any{int(skew.Abs().Round(time.Second).Seconds())}, cause: err, retryAfter: 30 * time.Second}
	}
	if g.rooms.Journal == nil {
		return nil
	}
	if err := g.rooms.Journal.Writable(); err != nil {
		return &refusal{reason: "journal-unwritten", cause: err, retryAfter: 5 * time.Second}
	}
	return nil
}

// keepRunning starts the loop again after an error, ever more slowly up to five
// seconds.
func (g *Gateway) keepRunning(ctx context.Context, l Loop) {
	pause := 200 * time.Millisecond
	for {
		started := time.Now()
		err := g.guarded(ctx, l)
		if ctx.Err() != nil {
			return
		}
		g.metrics.loops.WithLabelValues(l.Name).Inc()
		if time.Since(started) > time.Minute {
			pause = 200 * time.Millisecond
		}
		g.log.Error("loop ended, it starts again", "loop", l.Name, "pause", pause, "error", loggable(err))
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func (g *Gateway) guarded(ctx context.Context, l Loop) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Caught(p)
		}
	}()
	return l.Run(ctx)
}

// sleep waits; false says that ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// watchTopics makes the topics: at the start, of parties that a reload has
// brought, and those that have vanished while the node runs, with what they held.
// The bus being away is no reason not to start: accepts go on without it.
func (g *Gateway) watchTopics(ctx context.Context) error {
	for {
		all, _ := g.config.Kafka.Topics(g.registry.Catalog())
		// Bounded, so that topics of a later registry are not left out for as long
		// as one cannot be made.
		round, cancel := context.WithTimeout(ctx, time.Minute)
		err := g.broker.Ensure(round, all)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("making topics: %w", err)
		}
		if err := errors.Join(g.recallStrays(ctx), g.refeed(ctx)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if !sleep(ctx, g.config.Times.Watch.D()) {
			return nil
		}
	}
}

// Listen opens the configured address, with TLS when it is configured. A taken
// address is an error that names it.
func (g *Gateway) Listen() (net.Listener, error) {
	l, t, err := g.config.listen(g.proxies, g.log, g.metrics.countTransport)
	if err != nil || t == nil {
		return l, err
	}
	g.transport.Store(t)
	return tls.NewListener(l, forListener(g.transport.Load)), nil
}

// Serve runs the gateway on the listener until ctx ends. It stops in this
// order: doors (open calls are answered), loops (the batch in hand is
// finished), the journal with its last checkpoint. The store's pool is the
// caller's to close after that.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	loopCtx, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	loops := make(chan error, 1)
	go func() { loops <- g.Run(loopCtx) }()

	server := &http.Server{
		Handler:           g.doors,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       g.config.Times.Request.D(),
		WriteTimeout:      g.config.Times.Request.D() + g.config.Queues.LongPoll.D(),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
	gathering(server)
	if plain, ok := l.(*net.TCPListener); ok { // not one of Listen's
		l = wires{plain}
	}
	for range 60 { // the journal needs a moment before the first call can be accepted
		if g.writable() == nil || !sleep(ctx, 50*time.Millisecond) {
			break
		}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	g.log.Info("gateway is open", "address", l.Addr().String(), "node", g.config.Node, "tls", g.config.TLS.Certificate != "")

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	g.draining.Store(true)
	g.arrivals.ringAll()
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.Times.Shutdown.D())
	defer cancel()
	if e := server.Shutdown(down); e != nil {
		err = errors.Join(err, fmt.Errorf("closing the doors: %w", e), server.Close())
	}
	stopLoops()
	err = errors.Join(err, <-loops)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	g.log.Info("gateway is closed")
	return err
}

// Memory is what the calls at the doors of this process may hold.
func (g *Gateway) Memory() *Memory { return g.memory }

// limits of the gate, from the configuration.
func (g *Gateway) envelopeLimits() envelopes.Limits {
	return envelopes.Limits{XML: xmltape.Limits{Size: int(g.limits().Body), Depth: g.limits().Depth}}
}
