package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Options are what a Sandbox is made of; all but Most are needed.
type Options struct {
	Catalog  func() *registry.Catalog
	Register Registrar              // of who calls for the first time
	Sets     func() []*scenario.Set // for faults that scenarios name
	Verifier *signing.Verifier      // that the gateway has: it explains
	Contour  string                 // of fault codes
	Now      func() time.Time
	Log      *slog.Logger
	Most     int             // calls of one system that are kept; default 200
	Memory   *adapter.Memory // that the gateway has: calls count there before it has them, too
	Body     int             // octets of a call that the gateway takes; default 16 MB
}

// Registrar registers a certificate, and gives the mnemonic that it was given.
type Registrar interface {
	Register(ctx context.Context, c *signing.Certificate) (registry.Mnemonic, error)
}

// Sandbox is the front of a gateway.
type Sandbox struct {
	o     Options
	doors http.Handler
	pages *pages
	key   []byte // makes the tokens of pages; it is another after each start

	mu     sync.Mutex
	calls  map[string]*Call   // by id
	of     map[string][]*Call // of a system by the digest of its certificate, or of an address that has proved none; the last is last
	on     map[string][]*Call // on a page, by its token
	held   int                // octets of all that is kept
	order  []*Call            // the oldest first
	counts map[string]*scenario.State
}

// Call is one call, as it was and as it was answered.
type Call struct {
	ID          string
	At          time.Time
	Took        time.Duration
	Remote      string
	Path        string
	ContentType string
	Body        []byte
	Status      int
	AnswerType  string
	Answer      []byte

	Certificate *signing.Certificate // nil: none could be read
	Proved      bool                 // its holder signed the call
	page        string               // token of the page on which it is listed; empty: of none
	Mnemonic    registry.Mnemonic
	New         bool // it was registered by this call
	Operation   envelopes.Operation
	Version     envelopes.Version
	MessageID   string
	Empty       bool             // an empty queue was answered
	Fault       *envelopes.Fault // nil: it was carried out, or is no SOAP
	OnDemand    string           // how the fault was asked for; empty: it was not
}

const (
	mostHeld = 256 << 20 // octets of calls that are kept
	mostBody = 16 << 20
	callSize = 4 << 10 // of a call beside its texts
)

// New makes the front.
func New(o Options) (*Sandbox, error) {
	if o.Most <= 0 {
		o.Most = 200
	}
	if o.Body <= 0 {
		o.Body = mostBody
	}
	if o.Memory == nil {
		o.Memory = adapter.NewMemory(adapter.LimitsConfig{})
	}
	s := &Sandbox{o: o, key: make([]byte, 32), calls: map[string]*Call{}, of: map[string][]*Call{}, on: map[string][]*Call{}, counts: map[string]*scenario.State{}}
	if _, err := rand.Read(s.key); err != nil {
		return nil, err
	}
	var err error
	s.pages, err = loadPages()
	return s, err
}

// Front puts the sandbox before the doors.
func (s *Sandbox) Front(doors http.Handler) http.Handler {
	s.doors = doors
	own := http.NewServeMux()
	s.mount(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/sandbox" || strings.HasPrefix(r.URL.Path, "/sandbox/"):
			own.ServeHTTP(w, r)
		case r.Method == http.MethodPost && isDoor(r.URL.Path):
			s.serve(w, r)
		default:
			doors.ServeHTTP(w, r)
		}
	})
}

func isDoor(path string) bool {
	return path == "/ws" || strings.HasPrefix(path, "/ws/") || strings.HasPrefix(path, "/smev/v")
}

// serve takes a call, and keeps it with its answer. Nobody is known here: what it holds of
// a call counts for strangers. What is longer than the gateway takes goes by unread.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request) {
	c := &Call{ID: uuid.NewString(), At: s.o.Now(), Remote: host(r.RemoteAddr), Path: r.URL.Path, ContentType: r.Header.Get("Content-Type")}
	holding := s.o.Memory.Begin("sandbox "+c.Remote, false)
	defer holding.Release()
	body, long, err := s.body(w, r, holding)
	var e *envelopes.Envelope
	if err == nil && !long {
		c.Body = body
		e, err = s.read(r.Context(), c, holding)
	}
	switch {
	case noRoom(err):
		w.Header().Set("Retry-After", "2")
		http.Error(w, "Too much is being received at once: come again.", http.StatusServiceUnavailable)
		return
	case err != nil:
		http.Error(w, "The body could not be read to its end.", http.StatusBadRequest)
		return
	}
	s.register(r.Context(), c)
	answer := &recorder{ResponseWriter: w, status: http.StatusOK}
	w.Header().Set("X-Mezhved-Sandbox", "/sandbox/call/"+c.ID)
	if c.page = s.pageOf(c, r.URL.Query().Get(Page)); c.Proved && !c.handedOn() {
		answer.calls = "/sandbox/calls/" + c.page
	}
	if asked, ok := s.demanded(r, c, e); ok {
		s.refuse(answer, c, asked)
	} else {
		e = nil // its markup need not stand here while the gateway has its own
		_ = holding.Hold(r.Context(), int64(cap(body)))
		rest := r.Body
		if r.Body = io.NopCloser(bytes.NewReader(body)); long {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), rest))
		} else {
			r.ContentLength = int64(len(body))
		}
		s.doors.ServeHTTP(answer, r)
	}
	c.Took, c.Status, c.AnswerType, c.Answer = s.o.Now().Sub(c.At), answer.status, answer.Header().Get("Content-Type"), answer.body.Bytes()
	c.readAnswer()
	s.keep(c)
}

// noRoom says whether an error is that of a memory that is full.
func noRoom(err error) bool {
	var never *adapter.TooMuchError
	return errors.Is(err, adapter.ErrNoRoom) || errors.As(err, &never)
}

// body reads a call, up to what the gateway takes; long says that there is more.
func (s *Sandbox) body(w http.ResponseWriter, r *http.Request, h *adapter.Holding) (body []byte, long bool, err error) {
	if r.ContentLength > int64(s.o.Body) {
		return nil, true, nil
	}
	ctl := http.NewResponseController(w)
	h.Coming(func() { _ = ctl.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if h.Came() {
			err = adapter.ErrNoRoom
		}
	}()
	for err == nil && len(body) <= s.o.Body {
		if len(body) == cap(body) {
			larger := min(max(2*cap(body), 8<<10), s.o.Body+1)
			if err := h.Hold(r.Context(), int64(cap(body)+larger)); err != nil { // both stand there while one is copied
				return nil, false, err
			}
			body = append(make([]byte, 0, larger), body...)
		}
		var n int
		n, err = r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
	}
	if err == io.EOF {
		err = nil
	}
	return body, len(body) > s.o.Body, err
}

func host(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}

// recorder keeps what goes to the caller.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	calls  string // page of his calls, for an answer that carries one out
}

func (w *recorder) WriteHeader(status int) {
	if w.status = status; status == http.StatusOK && w.calls != "" {
		w.Header().Set("X-Mezhved-Sandbox-Calls", w.calls)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.body.Len() == 0 && w.status == http.StatusOK {
		w.WriteHeader(http.StatusOK)
	}
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap leads http.ResponseController to the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// parse brings a call onto a tape, within the bounds of the gateway.
func (s *Sandbox) parse(ctx context.Context, c *Call, h *adapter.Holding) (e *envelopes.Envelope, held int64, err error) {
	e, err = envelopes.Parse(c.ContentType, c.Body, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Limits{Size: s.o.Body}, Hold: func(bytes int) error {
		held = int64(cap(c.Body) + bytes)
		return h.Hold(ctx, held)
	}})
	return e, held, err
}

// read reads what a call says of itself; nil: that cannot be read. What it says of its
// caller is proved by the signature, or not. The error is that there was no room.
func (s *Sandbox) read(ctx context.Context, c *Call, h *adapter.Holding) (*envelopes.Envelope, error) {
	e, held, err := s.parse(ctx, c, h)
	if noRoom(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	c.Operation, c.Version = e.Operation(), e.Version()
	sig, target := e.Caller()
	for n := range target.Children() {
		if n.Local() == "MessageID" {
			c.MessageID = n.TrimText()
		}
	}
	if !sig.Valid() {
		return e, nil
	}
	text := sig.Child(sig.Space(), "KeyInfo").Child(sig.Space(), "X509Data").Child(sig.Space(), "X509Certificate").Text()
	if cert, err := signing.ParseCertificate(decode(text)); err == nil {
		c.Certificate = cert
	}
	if err := h.Hold(ctx, held+int64(signing.Cost(e.Tape()))); err != nil {
		return nil, err
	}
	if signed, err := s.o.Verifier.VerifyAt(sig, target, c.At); err == nil {
		c.Certificate, c.Proved = signed.Certificate(), true
	}
	return e, nil
}

// register registers who calls for the first time. A certificate is public: it is
// registered when its holder has signed the call, and not when somebody shows it.
func (s *Sandbox) register(ctx context.Context, c *Call) {
	if c.Certificate == nil {
		return
	}
	if p := s.o.Catalog().PartyOf(c.Certificate.SHA256); p != nil {
		c.Mnemonic = p.Mnemonic
		return
	}
	if !c.Proved {
		return
	}
	m, err := s.o.Register.Register(ctx, c.Certificate)
	if err != nil {
		s.o.Log.Error("a caller was not registered", "certificate", c.Certificate.Fingerprint(), "error", err)
		return
	}
	c.Mnemonic, c.New = m, true
	s.o.Log.Info("a caller was registered on first sight", "party", string(m), "certificate", c.Certificate.Fingerprint())
}

// readAnswer reads the verdict.
func (c *Call) readAnswer() {
	a, err := envelopes.ParseAnswer(c.AnswerType, c.Answer, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if err != nil {
		return
	}
	c.Fault = a.Fault()
	c.Empty = c.Fault == nil && a.Empty()
}

// Page names, in the address of a door, the page on which calls are to be listed whose
// signature is not proved: …/ws?page=TOKEN.
const Page = "page"

// pageOf is the token of the page for a call: that of the system that has signed it, else
// one that exists and that the caller names.
func (s *Sandbox) pageOf(c *Call, named string) string {
	if c.Proved {
		return s.token("system", c.Certificate.SHA256[:])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on[named] != nil {
		return named
	}
	return ""
}

// handedOn says that what the caller has signed goes on to others, who could send it here
// again: it proves that he signed, and not that he calls.
func (c *Call) handedOn() bool {
	return c.Operation == envelopes.SendRequest || c.Operation == envelopes.SendResponse
}

// token is what nobody can guess and only who is told knows.
func (s *Sandbox) token(of string, what []byte) string {
	m := hmac.New(sha256.New, s.key)
	io.WriteString(m, of+"\x00")
	m.Write(what)
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// All is the address of the page that shows everybody's calls: for who runs the sandbox.
func (s *Sandbox) All() string { return "/sandbox/all/" + s.token("all", nil) }

// key is with which calls a call has its room.
func (c *Call) key() string {
	if c.Proved {
		return hex.EncodeToString(c.Certificate.SHA256[:])
	}
	return addressKey(c.Remote)
}

func addressKey(remote string) string {
	sum := sha256.Sum256([]byte("address " + remote))
	return hex.EncodeToString(sum[:])
}

// size is what a call holds, whatever part of it is large: the fault is read out of the
// answer, and a certificate stands there in pieces, too.
func (c *Call) size() int {
	n := callSize + cap(c.Body) + 2*len(c.Answer) + len(c.Path) + len(c.ContentType) + len(c.AnswerType) + len(c.MessageID) + len(c.OnDemand)
	if c.Certificate != nil {
		n += 2 * len(c.Certificate.DER)
	}
	return n
}

// keep keeps a call, and forgets the oldest ones for which there is no room.
func (s *Sandbox) keep(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := c.key()
	s.calls[c.ID], s.of[k], s.order, s.held = c, append(s.of[k], c), append(s.order, c), s.held+c.size()
	if c.page != "" {
		s.on[c.page] = append(s.on[c.page], c)
	}
	for _, list := range [][]*Call{s.of[k], s.on[c.page]} { // what others file on a page is in it, too
		if len(list) > s.o.Most {
			s.forget(list[0])
		}
	}
	for s.held > mostHeld && len(s.order) > 1 {
		s.forget(s.order[0])
	}
}

func (s *Sandbox) forget(c *Call) {
	without := func(list []*Call) []*Call {
		for i := range list {
			if list[i] == c {
				return append(list[:i:i], list[i+1:]...)
			}
		}
		return list
	}
	delete(s.calls, c.ID)
	s.order, s.held = without(s.order), s.held-c.size()
	k := c.key()
	if s.of[k] = without(s.of[k]); len(s.of[k]) == 0 {
		delete(s.of, k)
	}
	if s.on[c.page] = without(s.on[c.page]); len(s.on[c.page]) == 0 {
		delete(s.on, c.page)
	}
}

// refuse answers with the fault that was asked for.
func (s *Sandbox) refuse(w http.ResponseWriter, c *Call, d demand) {
	c.OnDemand = d.how
	version := c.Version
	if version == 0 {
		version = envelopes.V12
	}
	if d.wrong != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, d.wrong)
		return
	}
	f := adapter.ExampleFault(d.kind, s.o.Contour, "Песочница: "+d.how)
	if d.sub != "" {
		f.Signature = d.sub
	}
	text := f.Build(version)
	w.Header().Set("Content-Type", envelopes.TextXML)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(text) // who went away needs no answer
}
