package adapter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/signing"
)

// anyVersion is the door /ws: the body says its version.
const anyVersion envelopes.Version = 0

// soapDoors are the paths of the doors that speak SOAP, with their versions.
var soapDoors = func() map[string]envelopes.Version {
	doors := map[string]envelopes.Version{"/ws": anyVersion, "/ws/smev-message-exchange-service-1.3.wsdl": envelopes.V13}
	for _, v := range envelopes.Versions {
		doors["/smev/v"+v.String()+"/ws"] = v
	}
	return doors
}()

// SOAPDoors are the paths at which gateways speak SOAP: a call is a POST, what is asked by
// GET is a description.
func SOAPDoors() []string { return slices.Sorted(maps.Keys(soapDoors)) }

// routes are the doors. The paths are those of the real bus, so that a client
// changes nothing but the host.
func (g *Gateway) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(headAsGet)
	r.MethodNotAllowed(g.serveNotAllowed)
	r.Use(g.surviving)
	posts := map[string]http.Handler{}
	soap := func(path string, v envelopes.Version) {
		door := g.serveSOAP(v)
		posts[path] = g.surviving(door)
		r.Post(path, door)
		r.Get(path, g.serveDescription(v))
	}
	for path, v := range soapDoors {
		soap(path, v)
	}
	for _, v := range envelopes.Versions {
		r.Get("/smev/v"+v.String()+"/{file}", g.serveDocument)
	}
	r.Get("/ws/{file}", g.serveDocument)
	r.Get("/{file:smev-message-exchange-.*}", g.serveDocument)
	r.Get("/healthz", g.serveHealth)
	r.Get("/readyz", g.serveReadiness)
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	r.Get("/", g.serveFront)
	if g.rooms.Objects != nil {
		r.Handle("/attachment", g.rooms.Objects)
		r.Handle("/attachment/*", g.rooms.Objects)
	}
	if g.rooms.Mount != nil {
		g.rooms.Mount(r)
	}
	return straight(posts, r)
}

// straight leads calls to the doors that speak SOAP, which are nearly all that comes: the
// router looks for a path step by step, and hands on a copy of the request.
func straight(posts map[string]http.Handler, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.RawPath == "" {
			if door := posts[r.URL.Path]; door != nil {
				door.ServeHTTP(w, r)
				return
			}
		}
		others.ServeHTTP(w, r)
	})
}

// headAsGet leads HEAD to where GET goes, in the rooms that are mounted too.
func headAsGet(doors http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		}
		doors.ServeHTTP(w, r)
	})
}

// serveNotAllowed refuses a method that a door does not have; one that speaks SOAP
// says it in SOAP.
func (g *Gateway) serveNotAllowed(w http.ResponseWriter, r *http.Request) {
	doors := chi.RouteContext(r.Context()).Routes
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if doors.Match(chi.NewRouteContext(), method, r.URL.Path) {
			if allowed = append(allowed, method); method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	if door, ok := soapDoors[r.URL.Path]; ok {
		g.serveSOAP(door)(w, r)
		return
	}
	http.Error(w, "This address takes "+strings.Join(allowed, ", ")+".", http.StatusMethodNotAllowed)
}

// within takes the path of the configured address off, for proxies that leave it
// there.
func (g *Gateway) within(doors http.Handler) http.Handler {
	path := g.config.PathPrefix()
	if path == "" {
		return doors
	}
	stripped := http.StripPrefix(path, doors)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == path:
			http.Redirect(w, r, path+"/", http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, path+"/"):
			stripped.ServeHTTP(w, r)
		default:
			doors.ServeHTTP(w, r)
		}
	})
}

// call is one request record: everything about a call from its first byte to
// its answer.
type call struct {
	g           *Gateway
	door        envelopes.Version
	remote      string
	connection  string // digest of the verified client certificate of the connection
	contentType string
	multipart   bool // the caller understands a multipart answer
	wait        time.Duration
	started     time.Time
	catalog     *registry.Catalog // one set of services and parties for the whole call
	id          uuid.UUID         // ours: of the message that it brings, too
	trace       string            // the traceparent that goes along with what it brings; empty: nobody traces
	traceID     string            // by which log, metrics, spans and desk are one: see tracing.go
	span        trace.Span

	scratch   *scratch
	holding   Holding  // what the call holds of the gateway's memory
	shares    []holder // of which it has a place: shareRoom, as far as it goes
	shareRoom [2]holder
	body      []byte
	whole     bool // the body has come to its end
	envelope  *envelopes.Envelope
	signed    signing.Signed
	party     *registry.Party // nil until authenticate has proved it
	claimed   [32]byte
	counted   bool                        // the call was taken off its address's allowance of strangers
	judged    []*signing.RevocationAnswer // by what its certificates were judged, the caller's first
	named     int                         // how many of these the event names
	event     journal.Event               // what is known of the call so far
	about     []journal.PersonalField     // whom its content is about, once that was proved to hold against its schema

	answer       envelopes.Draft
	signedAnswer []byte   // of a poll that a message answers; nil: answer is to be signed yet
	unwritten    error    // why it could not be written
	outcome      string   // for metrics: ok, empty, repeated, or the fault
	refused      reason   // why it was not carried out; empty: it was
	final        bool     // what was accepted is the final answer to a request
	probe        bool     // it is about a message of a probe: see probed.go
	shadowed     Shadowed // what drafts are to be tried with; no Service: nothing
}

// stage begins one stage of the call, for the metrics and as a span of its trace.
func (c *call) stage(name string) stageRun {
	r := c.g.metrics.stage(name, c.traceID)
	if c.span.IsRecording() {
		_, r.span = c.g.tracer.Start(trace.ContextWithSpan(context.Background(), c.span), name)
	}
	return r
}

// version is the protocol version in which the call is answered: its own, or
// while that is unknown the door's.
func (c *call) version() envelopes.Version {
	switch {
	case c.envelope != nil:
		return c.envelope.Version()
	case c.door != anyVersion:
		return c.door
	}
	return envelopes.V12
}

var doorChannels, anyChannels = channels("smev/"), channels("ws/")

func channels(of string) map[envelopes.Version]string {
	names := map[envelopes.Version]string{}
	for _, v := range envelopes.Versions {
		names[v] = of + v.String()
	}
	return names
}

// channel is the door that the call came by, with the version that is spoken there,
// as the journal has it.
func (c *call) channel() string {
	switch {
	case c.door != anyVersion:
		return doorChannels[c.door]
	case c.envelope != nil:
		return anyChannels[c.envelope.Version()]
	}
	return "ws"
}

func (c *call) operation() envelopes.Operation {
	if c.envelope == nil {
		return 0
	}
	return c.envelope.Operation()
}

// serveSOAP is the first step of the corridor: one HTTP call in, one answer or
// fault out, whatever happens in between.
func (g *Gateway) serveSOAP(door envelopes.Version) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.metrics.atWork.Inc()
		defer g.metrics.atWork.Dec()
		c := g.begin(door, r)
		defer func() { g.end(c) }()
		ctx := r.Context()
		if c.span.SpanContext().IsValid() {
			ctx = trace.ContextWithSpan(ctx, c.span)
		}
		ctx, cancel := context.WithTimeout(ctx, g.config.Times.Request.D()+c.wait)
		defer cancel()

		out, err := g.serveCall(ctx, c, w, r)
		if err != nil {
			var rest func()
			if !c.whole {
				rest = g.discards.After(w, r)
			}
			g.writeFault(ctx, c, w, err)
			if rest != nil {
				c.scratch, c.body = nil, nil // nothing is held while the rest comes
				c.holding.Release()
				rest()
			}
			return
		}
		gatherAnswer(r.Context())
		g.write(c, w, http.StatusOK, out, c.answer.Parts)
	}
}

// ofServer says that a span is of who is called.
var ofServer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

// begin opens the request record.
func (g *Gateway) begin(door envelopes.Version, r *http.Request) *call {
	s := g.scratches.Get().(*scratch)
	c := s.call // empty, as end has left it
	c.g, c.scratch, c.door, c.catalog = g, s, door, g.registry.Catalog()
	c.remote, c.contentType, c.multipart = remoteHost(r), r.Header.Get("Content-Type"), envelopes.TakesMultipart(r.Header)
	now := g.now().UTC()
	c.wait, c.started = AskedWait(r.Header.Values("Prefer"), g.config.Queues.LongPoll.D()), now.Truncate(time.Millisecond)
	c.shares = c.shareRoom[:0]
	sctx, span := g.tracer.Start(carried(context.Background(), r.Header.Get("Traceparent")), "smev", ofServer...)
	c.trace, c.span = carriedOn(sctx, span), span
	c.id = newID(now)
	c.traceID = traceOf(span.SpanContext(), c.id)
	c.event = journal.Event{Time: c.started, Node: g.config.Node, Channel: c.channel()}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		c.connection = hexDigest(sha256.Sum256(r.TLS.PeerCertificates[0].Raw))
	}
	c.holding = g.memory.begin(c.account(), c.connection != "")
	return c
}

// end closes the request record; nobody may use it any more. A scratch that somebody may
// still be reading has been taken out of the record, and neither is used again.
func (g *Gateway) end(c *call) {
	op, v := "none", "none"
	if c.envelope != nil {
		op, v = c.operation().String(), c.version().String()
	}
	if !g.uncounted(c) {
		g.metrics.calls.WithLabelValues(op, v, c.outcome).Inc()
		if c.party != nil {
			g.metrics.byParty(c.party.Mnemonic, op, c.outcome)
		}
	}
	g.countQuality(c)
	g.offerShadow(c)
	if c.span.IsRecording() {
		if c.event.Message != "" {
			c.span.SetAttributes(attribute.String("smev.message", c.event.Message))
		}
		c.span.SetAttributes(attribute.String("smev.operation", op), attribute.String("smev.version", v), attribute.String("smev.outcome", c.outcome))
	}
	c.span.End()
	c.holding.Release()
	if s := c.scratch; s != nil && s.spare() {
		*c = call{} // nothing of it stays for the next one, nor in memory
		g.scratches.Put(s)
	}
}

// offerShadow offers a message that was answered to be held against drafts.
func (g *Gateway) offerShadow(c *call) {
	if g.rooms.Shadow == nil || c.shadowed.Service == nil || c.event.Test || c.scratch == nil {
		return
	}
	c.shadowed.At, c.shadowed.Body = c.started, c.envelope.Bytes()
	g.rooms.Shadow(c.catalog, c.shadowed)
}

// serveCall reads, works and signs; it gives the bytes of the answer.
func (g *Gateway) serveCall(ctx context.Context, c *call, w http.ResponseWriter, r *http.Request) (out []byte, err error) {
	// A panic is our bug and one caller's bad luck: it ends this call only.
	defer func() {
		if p := recover(); p != nil {
			g.metrics.panics.Inc()
			c.scratch = nil
			err = &refusal{reason: "failure", cause: Caught(p)}
		}
	}()
	if r.Method != http.MethodPost {
		return nil, because("method")
	}
	// Read first: a caller that trickles its body must hold no place of those
	// that work.
	if err := g.read(ctx, c, w, r); err != nil {
		return nil, err
	}
	if err := g.places.take(ctx); err != nil {
		return nil, err
	}
	c.holding.away = c // who waits does not work
	defer func() {
		c.holding.away = nil
		c.leave()
	}()
	if err := g.handle(ctx, c); err != nil {
		return nil, err
	}
	return g.sign(ctx, c)
}

// read takes the body, up to the limit and no further.
func (g *Gateway) read(ctx context.Context, c *call, w http.ResponseWriter, r *http.Request) error {
	defer c.stage("read").end()
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &refusal{reason: "content-type", args: []any{saysEncoding}, cause: fmt.Errorf("content encoding %q", e)}
	}
	limit := int64(g.limits().Body)
	if r.ContentLength > limit {
		return tooLarge(limit, fmt.Errorf("%d bytes announced", r.ContentLength))
	}
	c.holding.Coming(func() { http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	body := r.Body
	if r.ContentLength < 0 { // else no more than that comes
		body = http.MaxBytesReader(w, body, limit)
	}
	buf, err := c.holding.ReadBody(ctx, c.scratch.body, body, limit, r.ContentLength)
	cut := c.holding.Came()
	c.scratch.body, c.body = buf, buf
	switch {
	case cut: // and no more can be read of this connection, even where all had come
		return ErrNoRoom
	case err != nil:
		return Unreadable(err, limit)
	}
	c.whole = true
	c.event.Size = len(buf)
	r.Body.Close() // or net/http looks for more of it before the answer
	return nil
}

// Unreadable says why a body of at most limit bytes could not be read to its end.
func Unreadable(err error, limit int64) error {
	var over *http.MaxBytesError
	var never *TooMuchError
	switch {
	case errors.Is(err, ErrNoRoom), errors.As(err, &never):
		return err
	case errors.As(err, &over):
		return tooLarge(limit, err)
	}
	return &refusal{reason: "incomplete", cause: err}
}

// tooLarge refuses a body of more than limit bytes.
func tooLarge(limit int64, cause error) *refusal {
	return &refusal{reason: "too-large", args: []any{strconv.FormatInt(limit, 10) + " байт"}, cause: cause}
}

// handle is the corridor: bytes -> envelope -> proof of the caller -> the
// operation's own steps.
func (g *Gateway) handle(ctx context.Context, c *call) error {
	if err := g.parse(ctx, c); err != nil {
		return err
	}
	if err := g.authenticate(ctx, c); err != nil {
		return err
	}
	if err := g.sharePlaces(ctx, c); err != nil {
		return err
	}
	switch c.operation() {
	case envelopes.SendRequest:
		return g.submit(ctx, c)
	case envelopes.SendResponse:
		return g.reply(ctx, c)
	case envelopes.GetRequest, envelopes.GetResponse:
		return g.poll(ctx, c)
	case envelopes.Ack:
		return g.ack(ctx, c)
	case envelopes.GetStatus:
		return g.status(ctx, c)
	default:
		return g.statistics(ctx, c)
	}
}

func (g *Gateway) parse(ctx context.Context, c *call) error {
	defer c.stage("parse").end()
	limits := g.envelopeLimits()
	limits.Hold = func(bytes int) error {
		if err := c.holding.Hold(ctx, int64(cap(c.body)+bytes)); err != nil {
			return err
		}
		return c.holding.enter(ctx)
	}
	e, err := envelopes.Parse(c.contentType, c.body, &c.scratch.tape, limits)
	if err != nil {
		return err
	}
	c.envelope = e
	c.event.Operation, c.event.Channel = e.Operation().String(), c.channel()
	if c.door != anyVersion && c.door != e.Version() {
		return because("wrong-door", e.Version(), c.door)
	}
	return nil
}

// sign puts the bus signature into the answer's slot.
func (g *Gateway) sign(ctx context.Context, c *call) ([]byte, error) {
	if c.signedAnswer != nil {
		return c.signedAnswer, nil
	}
	if c.answer.SignID == "" || g.signer == nil {
		return c.answer.XML, nil
	}
	defer c.stage("sign").end()
	a := &c.answer
	out, err := signing.AppendSigned(ctx, c.scratch.answer[:0], a.XML, a.SignID, a.Slot, g.signer)
	if err != nil {
		return nil, unavailable(fmt.Errorf("signing the answer: %w", err))
	}
	if cap(out) <= spareBytes {
		c.scratch.answer = out
	}
	a.Release()
	return out, nil
}

// write sends an answer. Clients that neither sent nor asked for multipart get
// plain text/xml, unlike from the real bus, because many of them break on it.
func (g *Gateway) write(c *call, w http.ResponseWriter, status int, xml []byte, parts []envelopes.Part) {
	contentType, xml := envelopes.Package(xml, parts, false)
	values := []string{contentType, strconv.Itoa(len(xml)), c.traceID} // a slice for each would be three
	h := w.Header()
	h["Content-Type"], h["Content-Length"], h[traceHeader] = values[0:1:1], values[1:2:2], values[2:]
	w.WriteHeader(status)
	if _, err := w.Write(xml); err != nil {
		g.log.Debug("the caller went away before its answer", "operation", c.operation().String(), "error", err)
	}
}

// AskedWait is how long an empty poll may wait, at most: Prefer: wait=N (RFC 7240), an
// extension of ours that no client of SMEV 3 sends by accident.
func AskedWait(prefer []string, most time.Duration) time.Duration {
	for _, line := range prefer {
		for p := range strings.SplitSeq(line, ",") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), "wait="); ok {
				n, err := strconv.Atoi(v)
				switch {
				case err != nil || n <= 0:
				case time.Duration(n) > most/time.Second: // in nanoseconds it may overflow
					return most
				default:
					return time.Duration(n) * time.Second
				}
			}
		}
	}
	return 0
}
