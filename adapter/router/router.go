package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mezhved/adapter"
	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
)

// Router is one address over several installations.
type Router struct {
	config        Config
	registry      *registry.Registry
	log           *slog.Logger
	installations []*installation
	homes         atomic.Pointer[homes]
	transport     *http.Transport
	memory        *adapter.Memory
	large         chan struct{} // places of large calls that are parsed
	discards      adapter.Discards
	origins       origins
	tapes         sync.Pool
	metrics       *metrics
	told          http.Handler // the metrics
	asking        sync.Mutex   // guards round
	round         *round       // the last one, or the one at work; nil: nobody has asked yet
	doors         http.Handler // behind proxies; nil before Listen
	draining      chan struct{}
}

// New makes a router. The error holds all mistakes of the configuration that the folders
// bring out.
func New(c Config, services *registry.Registry, log *slog.Logger, m *prometheus.Registry) (*Router, error) {
	c = c.withDefaults()
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	r := &Router{
		config: c, registry: services, log: log,
		memory: adapter.NewMemory(adapter.LimitsConfig{Body: c.Limits.Body, Memory: c.Limits.Memory}), discards: adapter.NewDiscards(),
		large:   make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)),
		tapes:   sync.Pool{New: func() any { return new(xmltape.Tape) }},
		metrics: newMetrics(m), told: promhttp.HandlerFor(m, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		draining: make(chan struct{}),
		transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConnsPerHost:    256,
			IdleConnTimeout:        30 * time.Second, // sooner than who is called, so that no call meets a connection that ends
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
	}
	for _, in := range c.Installations {
		r.installations = append(r.installations, &installation{name: in.Name, base: in.base()})
	}
	for _, outcome := range []string{"ok", "refused"} {
		r.metrics.reloads.WithLabelValues(outcome) // there at 0: the first refusal is an increase
	}
	h, bad := settle(c, r.installations, services.Catalog())
	if len(bad) > 0 {
		return nil, bad
	}
	r.homes.Store(h)
	return r, nil
}

// Handler is the doors.
func (r *Router) Handler() http.Handler {
	return adapter.Surviving(http.HandlerFunc(r.serve), r.log, r.metrics.panics)
}

var soapDoors = adapter.SOAPDoors()

func (r *Router) serve(w http.ResponseWriter, req *http.Request) {
	at := req.URL.Path
	switch {
	case slices.Contains(soapDoors, at) && req.Method == http.MethodPost:
		r.serveCall(w, req)
	case at == "/healthz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	case at == "/readyz":
		r.serveReadiness(w, req)
	case at == "/metrics":
		r.told.ServeHTTP(w, req)
	case isDocument(req):
		r.serveDocument(w, req)
	case at == "/attachment" || strings.HasPrefix(at, "/attachment/"):
		http.Error(w, "The router has no file store: files are brought to the address of the installation in which the provider lives.", http.StatusNotFound)
	default:
		http.Error(w, "The doors are "+strings.Join(soapDoors, ", ")+".", http.StatusNotFound)
	}
}

// isDocument says that a request is one for what stands beside the doors, and for nothing
// else that an installation has: whoever stands before it might read another path in one that
// is not clean.
func isDocument(req *http.Request) bool {
	at := req.URL.Path
	return path.Clean(at) == at && req.URL.RawPath == "" &&
		(slices.Contains(soapDoors, at) || strings.HasPrefix(at, "/smev/v") || strings.HasPrefix(at, "/ws/") || strings.HasPrefix(at, "/smev-message-exchange-"))
}

// Reload reads services and parties again. With mistakes among the findings the old set
// stays in force.
func (r *Router) Reload() yamlfile.Findings {
	var next *homes
	found, err := r.registry.Reload(func(c *registry.Catalog) error {
		h, bad := settle(r.config, r.installations, c)
		if len(bad) > 0 {
			return bad
		}
		next = h
		return nil
	})
	var bad yamlfile.Findings
	if errors.As(err, &bad) {
		found = append(found, bad...)
	}
	if bad := found.Errors(); len(bad) > 0 || next == nil {
		r.metrics.reloads.WithLabelValues("refused").Inc()
		r.log.Error("the registry was not reloaded, the old set stays in force: mend the files and reload again", "findings", bad.Error())
		return found
	}
	r.homes.Store(next)
	r.metrics.reloads.WithLabelValues("ok").Inc()
	r.log.Info("registry reloaded", "services", len(next.catalog.Services()), "parties", len(next.catalog.Parties()), "digest", next.catalog.Digest)
	return found
}

// Listen opens the configured address, with TLS when it is configured.
func (r *Router) Listen() (net.Listener, error) {
	l, doors, err := r.config.doors().OpenDoors(r.Handler(), r.log)
	r.doors = doors
	return l, err
}

// Serve runs the router on the listener until ctx ends. Open calls have the longest time that
// a poll may wait, and five seconds, to be answered then; polls that wait ask once more.
func (r *Router) Serve(ctx context.Context, l net.Listener) error {
	doors := r.doors
	if doors == nil { // not one of Listen's
		doors = r.Handler()
	}
	longest := r.config.Times.Answer.D() + r.config.Times.LongPoll.D()
	server := &http.Server{
		Handler:           doors,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       r.config.Times.Answer.D(),
		WriteTimeout:      r.config.Times.Answer.D() + longest, // for reading the body, too
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	inside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { r.memory.Keep(inside) })
	defer keeper.Wait()
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	r.log.Info("router is open", "address", l.Addr().String(), "installations", len(r.installations), "tls", r.config.TLS.Certificate != "")
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	close(r.draining)
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Times.LongPoll.D()+5*time.Second)
	defer cancel()
	if e := server.Shutdown(down); e != nil {
		err = errors.Join(err, fmt.Errorf("closing the doors: %w", e), server.Close())
	}
	r.transport.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	r.log.Info("router is closed")
	return err
}
