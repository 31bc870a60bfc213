package party

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// Client speaks for one information system. Its fields are set before the first
// call and not changed after; the methods are safe for concurrent use.
type Client struct {
	URL     string            // where the bus answers, for instance http://bus.example/smev/v1.2/ws
	Version envelopes.Version // default 1.2
	Signer  signing.Signer    // the system's key (ЭП-ОВ); required

	// Bus proves the signatures of the bus. Nil: the signature must hold and the
	// certificate be within its dates, whoever issued it.
	Bus *signing.Verifier
	// Sender proves the signature of the message's author, which the bus hands
	// on. Nil: it is not looked at; the bus has verified it.
	Sender *signing.Verifier
	// Files proves the signatures (PKCS#7) of attachments inside delivered messages,
	// which the bus's signature does not cover: one that does not hold is a *FileError,
	// and the message is not given. Nil: they are not looked at. An attachment without a
	// signature is given as it is.
	Files *signing.Verifier
	// AllowUnsigned accepts answers that the bus left unsigned: emulators.
	AllowUnsigned bool

	HTTP     *http.Client                                     // default: a client with a time limit of one minute
	Clock    func() time.Time                                 // default time.Now
	Wait     func(ctx context.Context, d time.Duration) error // default: sleeps; between attempts
	Attempts int                                              // tries of one call, the first included; default 3
	Pause    time.Duration                                    // before the second try, doubled before each further one; default 1 s
	XOP      bool                                             // send attachments as MIME parts, not inline
	Limit    int64                                            // bytes of an answer; default 64 MiB

	Store  *FileStore // where attachments go that are more than Inline together; nil: they go inside the message
	Stored bool       // bring attachments there whatever their size

	once     sync.Once
	dateOnly *signing.Verifier // stands in for Bus
	broken   error
}

// ErrUnsigned says that the bus did not sign an answer that it must sign.
var ErrUnsigned = errors.New("the bus did not sign its answer: refuse it, or allow unsigned answers if this is an emulator")

// FaultError is a refusal by the bus, in the words of the protocol.
type FaultError struct {
	Fault  *envelopes.Fault
	Status int    // of HTTP
	XML    []byte // the envelope as received
	// Incident leads the operator of a Mezhved gateway to the journal entry of
	// this refusal; other buses give none.
	Incident string

	after time.Duration // of Retry-After
}

func (e *FaultError) Error() string {
	s := "the bus refuses: " + e.Fault.Error()
	if e.Incident != "" && !strings.Contains(s, e.Incident) {
		s += " (incident " + e.Incident + ")"
	}
	return s
}

// Unwrap gives the *envelopes.Fault.
func (e *FaultError) Unwrap() error { return e.Fault }

// Retry reports whether the protocol tells the sender to repeat the same call
// until it succeeds.
func (e *FaultError) Retry() bool {
	switch e.Fault.Kind {
	case envelopes.SMEVFailure, envelopes.DestinationOverflow:
		return true
	}
	return retryStatus(e.Status)
}

// HTTPError is an answer that is no answer of a bus.
type HTTPError struct {
	Status int
	Body   []byte // its beginning
	Err    error  // why the body could not be read as an answer; may be nil

	after time.Duration
}

func (e *HTTPError) Error() string {
	s := fmt.Sprintf("the address answers with HTTP status %d and no SOAP envelope", e.Status)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *HTTPError) Unwrap() error { return e.Err }

// UnsentError says that no attempt of a call has reached a bus: it has not
// happened, and will not.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UnsentError) Unwrap() error { return e.Err }

// outside reports that one attempt stayed outside any bus: there was no connection,
// or what answered knows no such address.
func outside(err error) bool {
	var dial *net.OpError
	var odd *HTTPError
	return errors.As(err, &dial) && dial.Op == "dial" ||
		errors.As(err, &odd) && (odd.Status == http.StatusNotFound || odd.Status == http.StatusMethodNotAllowed)
}

func retryStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (c *Client) version() envelopes.Version {
	if c.Version == 0 {
		return envelopes.V12
	}
	return c.Version
}

func (c *Client) now() time.Time {
	if c.Clock == nil {
		return time.Now()
	}
	return c.Clock()
}

// outcome is an answer, with what is known of the attempts before it.
type outcome struct {
	*envelopes.AnswerEnvelope
	unsure bool   // an earlier attempt may have reached the bus
	sent   []byte // the envelope
}

// call seals a draft and posts it until it is answered. A fault is a
// *FaultError; when it comes back, unsure tells of earlier attempts.
func (c *Client) call(ctx context.Context, op envelopes.Operation, d envelopes.Draft) (outcome, error) {
	return c.callWaiting(ctx, op, d, 0)
}

// callWaiting is call with the wish that the bus keeps an empty poll waiting.
func (c *Client) callWaiting(ctx context.Context, op envelopes.Operation, d envelopes.Draft, wait time.Duration) (outcome, error) {
	var out outcome
	sealed, err := signing.SignInto(ctx, d.XML, d.SignID, d.Slot, c.Signer)
	if err != nil {
		return out, &UnsentError{fmt.Errorf("signing %s: %w", op, err)}
	}
	out.sent = sealed
	header := http.Header{
		"Accept":     {"text/xml"},
		"Soapaction": {`"urn:` + op.String() + `"`},
		"User-Agent": {"mezhved"},
	}
	if c.XOP {
		header.Set("Accept", "text/xml, multipart/related")
	}
	if wait > 0 {
		header.Set("Prefer", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	kind, body := envelopes.Package(sealed, d.Parts, false)
	header.Set("Content-Type", kind)
	attempts, pause := max(c.Attempts, 0), c.Pause
	if attempts == 0 {
		attempts = 3
	}
	if pause <= 0 {
		pause = time.Second
	}
	for try := 1; ; try++ {
		out.AnswerEnvelope, err = c.post(ctx, op, header, body)
		again, after := retry(err)
		if !again || try == attempts || ctx.Err() != nil {
			if !out.unsure && outside(err) {
				err = &UnsentError{err}
			}
			return out, err
		}
		out.unsure = out.unsure || !outside(err)
		if waited := c.wait(ctx, max(pause, after)); waited != nil {
			if !out.unsure {
				waited = &UnsentError{errors.Join(waited, err)}
			}
			return out, waited
		}
		pause *= 2
	}
}

// retry says whether an error may pass, and what the bus asks to wait.
func retry(err error) (bool, time.Duration) {
	var fault *FaultError
	var odd *HTTPError
	var lost *lostError
	switch {
	case err == nil:
		return false, 0
	case errors.As(err, &fault):
		return fault.Retry(), fault.after
	case errors.As(err, &odd):
		return retryStatus(odd.Status), odd.after
	}
	return errors.As(err, &lost), 0
}

// lostError is a connection that broke before the answer: the call may have
// arrived or not.
type lostError struct{ err error }

func (e *lostError) Error() string {
	var dial *net.OpError
	if errors.As(e.err, &dial) && dial.Op == "dial" {
		return "nobody answers at the address of the bus, and nothing was sent: " + e.err.Error()
	}
	return "the connection broke before the answer: " + e.err.Error()
}
func (e *lostError) Unwrap() error { return e.err }

func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if c.Wait != nil {
		return c.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var defaultHTTP = &http.Client{Timeout: time.Minute}

// post makes one attempt.
func (c *Client) post(ctx context.Context, op envelopes.Operation, header http.Header, body []byte) (*envelopes.AnswerEnvelope, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", c.URL, err)
	}
	req.Header = header
	client := c.HTTP
	if client == nil {
		client = defaultHTTP
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, &lostError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	limit := c.Limit
	if limit <= 0 {
		limit = 64 << 20
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, &lostError{err}
	}
	if int64(len(got)) > limit {
		return nil, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return c.read(resp, op, got)
}

// read makes of an HTTP answer an answer of the bus, or an error.
func (c *Client) read(resp *http.Response, op envelopes.Operation, body []byte) (*envelopes.AnswerEnvelope, error) {
	after := retryAfter(resp.Header.Get("Retry-After"))
	lim := envelopes.Limits{XML: xmltape.Limits{Size: len(body) + 1, Tokens: 8_000_000}}
	a, err := envelopes.ParseAnswer(resp.Header.Get("Content-Type"), body, new(xmltape.Tape), lim)
	if err != nil {
		return nil, &HTTPError{Status: resp.StatusCode, Body: body[:min(len(body), 1024)], Err: err, after: after}
	}
	if f := a.Fault(); f != nil {
		return a, &FaultError{Fault: f, Status: resp.StatusCode, XML: a.Bytes(), Incident: resp.Header.Get("X-Mezhved-Incident"), after: after}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode, Body: body[:min(len(body), 1024)], after: after}
	}
	if a.Operation() != op {
		return nil, fmt.Errorf("the bus answers %s to %s", a.Operation(), op)
	}
	return a, nil
}

func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

// unproved stands for an answer that the Client was told to take unsigned.
type unproved struct{ n xmltape.Node }

func (u unproved) Element() xmltape.Node { return u.n }

// prove verifies the signature of the bus. The certificate is nil when an
// unsigned answer was allowed.
func (c *Client) prove(a *envelopes.AnswerEnvelope) (envelopes.Proven, *signing.Certificate, error) {
	sig, target := a.Signed()
	if !target.Valid() {
		return nil, nil, fmt.Errorf("the answer to %s has nothing where the signed part must be", a.Operation())
	}
	if !sig.Valid() {
		if c.AllowUnsigned {
			return unproved{target}, nil, nil
		}
		return nil, nil, ErrUnsigned
	}
	v := c.Bus
	if v == nil {
		c.once.Do(func() { c.dateOnly, c.broken = signing.NewVerifier(signing.Options{Now: c.Clock}) })
		if c.broken != nil {
			return nil, nil, c.broken
		}
		v = c.dateOnly
	}
	signed, err := v.Verify(sig, target)
	if err != nil {
		return nil, nil, fmt.Errorf("the bus's signature on the answer to %s: %w", a.Operation(), err)
	}
	return signed, signed.Certificate(), nil
}
