package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// call is everything about a call from its first byte to its answer.
type call struct {
	request   *http.Request
	wait      time.Duration    // for which an empty poll may wait
	body      *adapter.Holding // what is held of memory for it
	reply     *adapter.Holding // and for the answer
	bytes     []byte
	operation envelopes.Operation // 0: nobody can tell
	version   envelopes.Version   // of the answer
	order     []*installation     // who may carry it out, in the order in which they are asked
	looked    bool                // into answers, for who has what is asked for
	broken    bool                // by a panic of ours
}

// left says that the caller has hung up.
func (c *call) left() bool { return c.request.Context().Err() != nil }

// several says that more than one installation may carry the call out.
func (c *call) several() bool { return len(c.order) > 1 }

// answer is what an installation says to a call.
type answer struct {
	from    *installation
	status  int
	header  http.Header
	body    []byte
	verdict verdict
}

// serveCall takes a call, has it carried out and passes the answer on.
func (r *Router) serveCall(w http.ResponseWriter, req *http.Request) {
	r.metrics.atWork.Inc()
	defer r.metrics.atWork.Dec()
	who := adapter.Neighbourhood(remoteHost(req))
	c := &call{
		request: req, wait: adapter.AskedWait(req.Header.Values("Prefer"), r.config.Times.LongPoll.D()),
		body: r.memory.Begin(who, false), reply: r.memory.Begin(who, true), // nobody gets a large answer whom a gateway has not proved
		version: doorVersion(req.URL.Path),
	}
	defer c.body.Release()
	defer c.reply.Release()
	if err := r.read(w, c); err != nil {
		rest := r.discards.After(w, req)
		r.refuse(w, c, err)
		if rest != nil {
			c.bytes = nil // nothing is held while the rest comes
			c.body.Release()
			rest()
		}
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), r.config.Times.Answer.D()+c.wait)
	defer cancel()
	a, err := r.carried(ctx, c)
	if err != nil {
		r.refuse(w, c, err)
		return
	}
	r.write(w, c, a)
}

// carried is carry, whose panic is our bug and one caller's bad luck: it ends this call only.
func (r *Router) carried(ctx context.Context, c *call) (a *answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.metrics.panics.Inc()
			c.broken = true
			err = adapter.Caught(p)
		}
	}()
	return r.carry(ctx, c)
}

// carry finds out where the call belongs and has it carried out there.
func (r *Router) carry(ctx context.Context, c *call) (*answer, error) {
	if err := r.place(ctx, c); err != nil {
		return nil, err
	}
	if c.several() && c.polls() {
		return r.waiting(ctx, c)
	}
	return r.inTurn(ctx, c)
}

func (c *call) polls() bool {
	switch c.operation {
	case envelopes.GetRequest, envelopes.GetResponse, envelopes.GetStatus:
		return true
	}
	return false
}

// sends says that the call brings a message, which one installation may accept and no other.
func (c *call) sends() bool {
	return c.operation == envelopes.SendRequest || c.operation == envelopes.SendResponse
}

// read takes the body, up to the limit and no further.
func (r *Router) read(w http.ResponseWriter, c *call) error {
	limit, req := int64(r.config.Limits.Body), c.request
	if req.ContentLength > limit {
		return adapter.Unreadable(&http.MaxBytesError{Limit: limit}, limit)
	}
	c.body.Coming(func() { http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) })
	body := req.Body
	if req.ContentLength < 0 {
		body = http.MaxBytesReader(w, body, limit)
	}
	buf, err := c.body.ReadBody(req.Context(), nil, body, limit, req.ContentLength)
	if cut := c.body.Came(); cut { // and no more can be read of this connection
		return adapter.ErrNoRoom
	}
	if err != nil {
		return adapter.Unreadable(err, limit)
	}
	c.bytes = buf
	return nil
}

// place parses the call and says who may carry it out. What cannot be parsed any
// installation refuses.
func (r *Router) place(ctx context.Context, c *call) error {
	tape := r.tapes.Get().(*xmltape.Tape)
	defer r.spare(tape)
	held, large := int64(cap(c.bytes)), false
	defer func() {
		if large {
			<-r.large
		}
	}()
	hold := func(more int) error {
		if err := c.body.Hold(ctx, held+int64(more)); err != nil || large || held+int64(more) <= largeCall {
			return err
		}
		select {
		case r.large <- struct{}{}:
			large = true
			return nil
		case <-ctx.Done():
			return adapter.ErrNoRoom
		}
	}
	e, err := envelopes.Parse(c.request.Header.Get("Content-Type"), c.bytes, tape, envelopes.Limits{XML: xmltape.Widest, Hold: hold})
	switch {
	case isRoom(err):
		return err
	case err != nil:
		c.order = r.homes.Load().all
	default:
		r.order(c, e)
	}
	return c.body.Hold(ctx, held) // the tape is done with
}

// order says who may carry out a call, by what it claims.
func (r *Router) order(c *call, e *envelopes.Envelope) {
	h, claims := r.homes.Load(), e.Claims()
	c.operation, c.version = e.Operation(), e.Version()
	caller := adapter.ClaimedCaller(h.catalog, claims.Certificate)
	var own *installation
	if caller != nil {
		own = h.of[caller.Mnemonic]
	}
	selector := registry.QName(claims.Root)
	switch c.operation {
	case envelopes.SendRequest:
		c.order = one(h.request(claims.Content), h.all)
	case envelopes.SendResponse:
		c.order = one(h.of[adapter.ClaimedReplier(claims.To)], h.all)
	case envelopes.GetRequest:
		c.order, c.looked = rotated(h.requests(caller, selector)), true
	case envelopes.GetResponse:
		c.order, c.looked = rotated(h.answers(selector)), true
	case envelopes.GetStatus:
		c.order, c.looked = rotated(h.all), true
	case envelopes.Ack:
		c.order, c.looked = h.first(r.origins.of(claims.MessageID), own), true
	default:
		c.order = one(own, h.all)
	}
}

// one is the installation that alone carries a call out, or all of them where it is not
// known: the first that answers does.
func one(i *installation, all []*installation) []*installation {
	if i == nil {
		return all
	}
	return []*installation{i}
}

// first are all installations, those before the others.
func (h *homes) first(before ...*installation) []*installation {
	var order places
	for _, i := range slices.Concat(before, h.all) {
		order.add(i)
	}
	return order
}

// rotated begins with any one, so that nobody's messages wait for ever behind those of others.
// By lot: to count would lead a caller who asks for two things by turns to the same one each
// time.
func rotated(list []*installation) []*installation {
	if len(list) < 2 {
		return list
	}
	n := rand.N(len(list))
	return slices.Concat(list[n:], list[:n])
}

// largeCall is what a call may hold while it is parsed without waiting for a place: few larger
// ones are parsed at once, so that they do not take the processors from everybody else.
const largeCall = 1 << 20

// spare keeps a tape for the next call, unless it has grown large.
func (r *Router) spare(t *xmltape.Tape) {
	if t.Size() <= largeCall {
		r.tapes.Put(t)
	}
}

// ask has one installation carry the call out. An error says that it has not answered, or
// nothing that a gateway says.
func (r *Router) ask(ctx context.Context, c *call, i *installation) (*answer, error) {
	limit, may := r.config.Times.Turn.D(), rest // for how long it may be silent
	if !c.several() {
		limit, may = r.config.Times.Answer.D()+c.wait, may+c.wait
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(limit, func() { cancel(context.DeadlineExceeded) })
	defer patience.Stop()
	began := time.Now()
	a, err := r.exchange(ctx, c, i, patience)
	switch {
	case err != nil && c.left():
		if patience.Stop() && time.Since(began) > may { // not a word: callers may be less patient than we are
			r.lost(i, err)
		}
		r.metrics.count(c.operation, i, "gone")
		return nil, err
	case isRoom(err): // here, not there
		r.metrics.count(c.operation, i, "no-room")
		return nil, err
	case err != nil:
		r.lost(i, err)
		r.metrics.count(c.operation, i, "lost")
		return nil, err
	}
	if isCutOff(a.status) {
		r.lost(i, fmt.Errorf("HTTP status %d", a.status))
	} else {
		r.answered(i)
	}
	r.metrics.seconds.WithLabelValues(i.name).Observe(time.Since(began).Seconds())
	r.metrics.count(c.operation, i, r.judge(ctx, c, a))
	return a, nil
}

// exchange posts the call as it came and reads the answer whole. patience is for its
// beginning: who answers may have handed out a message, which an answer that is cut off would
// only keep from everybody for the time of its lease.
func (r *Router) exchange(ctx context.Context, c *call, i *installation, patience *time.Timer) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.base+c.request.URL.Path, bytes.NewReader(c.bytes))
	if err != nil {
		return nil, err
	}
	req.Header = passedOn(c.request)
	req.Header.Del("Accept-Encoding") // answers are looked into
	req.Header.Del("Prefer")
	if c.wait > 0 && !c.several() {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(c.wait/time.Second)))
	}
	// A kept connection that its node has ended meanwhile, as one does that is restarted, is not
	// an answer that is missing: net/http tries another one then, if it may. Every call may be
	// repeated: what it does twice its caller would do, who is told to come again.
	req.Header["X-Idempotency-Key"] = nil
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	patience.Stop()
	limit := 2*int64(r.config.Limits.Body) + largeCall // what came in parts goes out in base64, and the bus adds to it
	body, err := c.reply.ReadBody(ctx, nil, http.MaxBytesReader(nil, resp.Body, limit), limit, resp.ContentLength)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return &answer{from: i, status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// isRoom says that there is no room here for a call or for its answer.
func isRoom(err error) bool {
	var never *adapter.TooMuchError
	var over *http.MaxBytesError
	return errors.Is(err, adapter.ErrNoRoom) || errors.As(err, &never) || errors.As(err, &over)
}

// judge finds out what the answer means, and gives the outcome as metrics have it.
func (r *Router) judge(ctx context.Context, c *call, a *answer) (outcome string) {
	if isLater(a.status) {
		a.verdict = come
		return "later"
	}
	if !c.looked {
		if a.status != http.StatusOK {
			return "refused"
		}
		return "ok"
	}
	tape := r.tapes.Get().(*xmltape.Tape)
	defer r.spare(tape)
	held := int64(cap(a.body))
	hold := func(more int) error { return c.reply.Hold(ctx, held+int64(more)) }
	said, err := envelopes.ParseAnswer(a.header.Get("Content-Type"), a.body, tape, envelopes.Limits{XML: xmltape.Widest, Hold: hold})
	switch {
	case isRoom(err):
		return "ok" // it is a message: an empty answer finds room, and this one must not be held back
	case err != nil:
		a.verdict = come
		return "later" // no gateway says so
	case said.Fault() == nil && said.Empty():
		a.verdict = empty
		return "empty"
	case said.Fault() == nil:
		r.origins.note(said.Claim(), a.from)
		return "ok"
	case c.operation == envelopes.Ack && said.Fault().Kind == envelopes.TargetMessageIsNotFound:
		a.verdict = empty
		return "empty"
	case said.Fault().Kind == envelopes.SMEVFailure:
		a.verdict = come
		return "later"
	}
	return "refused"
}

// write passes an answer on as it came.
func (r *Router) write(w http.ResponseWriter, c *call, a *answer) {
	h := w.Header()
	for name, values := range endToEnd(a.header) {
		h[name] = values
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if _, err := w.Write(a.body); err != nil {
		r.log.Debug("the caller went away before its answer", "operation", c.operation.String(), "error", err)
	}
}

// refuse ends a call that no installation has carried out, in the words of a gateway's doors.
func (r *Router) refuse(w http.ResponseWriter, c *call, err error) {
	if c.left() && !c.broken && !errors.Is(err, adapter.ErrNoRoom) {
		r.log.Info("the caller hung up before it had its answer", "operation", c.operation.String(), "remote", remoteHost(c.request))
		return
	}
	f := adapter.RefusalOf(err, r.config.Contour)
	r.metrics.refused.WithLabelValues(f.Reason).Inc()
	attrs := []any{"incident", f.Incident, "reason", f.Reason, "operation", c.operation.String(), "remote", remoteHost(c.request), "cause", err}
	if f.Fault.Kind == envelopes.SMEVFailure && !isRoom(err) {
		r.log.Error("call failed", attrs...)
	} else {
		r.log.Info("call refused", attrs...)
	}
	contentType, xml := envelopes.Package(f.Fault.Build(c.version), nil, false)
	h := w.Header()
	h.Set("X-Mezhved-Incident", f.Incident)
	if f.RetryAfter > 0 {
		h.Set("Retry-After", adapter.RetryAfter(f.RetryAfter))
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(xml)))
	w.WriteHeader(f.Status)
	w.Write(xml)
}

// hopByHop are headers of one connection (RFC 9110, section 7.6.1).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

// endToEnd are the headers that go on to the next one.
func endToEnd(h http.Header) http.Header {
	h = h.Clone()
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
	return h
}

// passedOn are the headers with which a request goes on. For whom it comes we say ourselves,
// in the one way that installations are told to believe: what the caller says of that is his.
func passedOn(req *http.Request) http.Header {
	h := endToEnd(req.Header)
	h.Del("Forwarded")
	h.Set("X-Forwarded-For", remoteHost(req))
	if _, named := h["User-Agent"]; !named {
		h.Set("User-Agent", "") // none, instead of net/http's
	}
	return h
}

// remoteHost is the caller's address without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// doorVersion is the version in which the router answers by itself a call that cannot be
// read: that of its path, as far as it has one.
func doorVersion(path string) envelopes.Version {
	for _, v := range envelopes.Versions {
		if strings.HasPrefix(path, "/smev/v"+v.String()+"/") {
			return v
		}
	}
	return envelopes.V12
}

// serveDocument has any installation answer what is no call: descriptions and schemas.
func (r *Router) serveDocument(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), r.config.Times.Answer.D())
	defer cancel()
	var why error
	for _, i := range rotated(r.installations) {
		if why = r.pass(ctx, w, req, i); why == nil {
			return
		}
	}
	r.refuse(w, &call{request: req, version: doorVersion(req.URL.Path)}, adapter.Unavailable(why))
}

// pass passes a document on. An error says that nothing was written; a document that ends too
// soon takes the connection with it.
func (r *Router) pass(ctx context.Context, w http.ResponseWriter, req *http.Request, i *installation) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Times.Turn.D())
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, req.Method, i.base+req.URL.EscapedPath(), nil)
	if err != nil {
		return err
	}
	out.URL.RawQuery = req.URL.RawQuery
	out.Header = passedOn(req)
	resp, err := r.transport.RoundTrip(out)
	if err != nil {
		if req.Context().Err() == nil { // else who asks has hung up
			r.lost(i, err)
		}
		return err
	}
	defer resp.Body.Close()
	if isLater(resp.StatusCode) {
		return fmt.Errorf("installation %s: HTTP status %d", i.name, resp.StatusCode)
	}
	r.answered(i)
	for name, values := range endToEnd(resp.Header) {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		r.log.Debug("a document was not passed on to its end", "error", err)
		panic(http.ErrAbortHandler) // a connection that is cut off is not taken for the end of the document
	}
	return nil
}
