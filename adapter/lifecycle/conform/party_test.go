package conform_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/conform"
	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/signing"
)

// system is a department's software on package party: a consumer that sends one
// request after another and a provider that answers what it is asked. Its fields
// are what the doubles do wrong.
type system struct {
	t      *testing.T
	client *party.Client
	idle   time.Duration // after an empty poll

	sent     map[string]bool   // requests by id, answered or not
	answered map[string]string // request -> MessageID of the answer

	once        bool // a call is made once: what fails is forgotten
	newIDs      bool // each attempt has a new MessageID
	repeats     func(err error) bool
	ackless     func(m *party.Message) bool
	ackAs       func(m *party.Message) string
	ackOnce     bool
	one         bool // takes one message and stops polling until it sends again
	forgetful   bool // answers a request as often as it comes
	replyID     func(m *party.Message) string
	replyTo     func(m *party.Message) string
	stops       func(err error) bool // ends the system
	attachments []party.Attachment
	id          func() string
}

// run works until ctx ends.
func (s *system) run(ctx context.Context) {
	s.sent, s.answered = map[string]bool{}, map[string]string{}
	for ctx.Err() == nil {
		if s.ask(ctx) || s.take(ctx, envelopes.GetResponse) || s.take(ctx, envelopes.GetRequest) {
			return
		}
	}
}

// ask sends a request until its fate is known.
func (s *system) ask(ctx context.Context) (stopped bool) {
	id := party.NewMessageID(time.Now())
	if s.id != nil {
		id = s.id()
	}
	s.sent[id] = true
	for try := 0; ctx.Err() == nil; try++ {
		if s.newIDs {
			id = party.NewMessageID(time.Now())
		}
		_, err := s.client.SendRequest(ctx, party.Request{MessageID: id, Unsure: try > 0, Content: []byte(adaptertest.Content(adaptertest.Extract1)), Attachments: s.attachments})
		switch {
		case err == nil || s.once:
			return false
		case s.stops != nil && s.stops(err):
			return true
		case s.repeats != nil && s.repeats(err):
		case final(err):
			return false
		}
		s.rest(ctx)
	}
	return false
}

// final says that repeating a call changes nothing.
func final(err error) bool {
	var fault *party.FaultError
	return errors.As(err, &fault) && !fault.Retry()
}

func (s *system) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(s.idle):
	}
}

// take empties a queue.
func (s *system) take(ctx context.Context, op envelopes.Operation) (stopped bool) {
	for ctx.Err() == nil {
		var m *party.Message
		var err error
		if op == envelopes.GetRequest {
			m, err = s.client.PollRequest(ctx, party.Selector{})
		} else {
			m, err = s.client.PollResponse(ctx, party.Selector{})
		}
		switch {
		case err != nil && s.stops != nil && s.stops(err):
			return true
		case err != nil: // the message, if it was one, comes again
			s.rest(ctx)
			continue
		case m == nil:
			s.rest(ctx)
			return false
		}
		if op == envelopes.GetRequest {
			s.reply(ctx, m)
		}
		if s.ackless == nil || !s.ackless(m) {
			s.ack(ctx, m)
		}
		if s.one {
			return false
		}
	}
	return false
}

func (s *system) ack(ctx context.Context, m *party.Message) {
	id := m.Metadata.MessageID
	if s.ackAs != nil {
		id = s.ackAs(m)
	}
	for ctx.Err() == nil {
		err := s.client.Ack(ctx, id, true)
		if err == nil || s.ackOnce || final(err) && (s.repeats == nil || !s.repeats(err)) {
			return
		}
		s.rest(ctx)
	}
}

func (s *system) reply(ctx context.Context, m *party.Message) {
	if m.ReplyTo == "" || s.answered[m.Metadata.MessageID] != "" && !s.forgetful {
		return
	}
	id, to := party.NewMessageID(time.Now()), m.ReplyTo
	if s.replyID != nil {
		id = s.replyID(m)
	}
	if s.replyTo != nil {
		to = s.replyTo(m)
	}
	s.answered[m.Metadata.MessageID] = id
	for try := 0; ctx.Err() == nil; try++ {
		if s.newIDs {
			id = party.NewMessageID(time.Now())
		}
		_, err := s.client.Reply(ctx, party.Reply{MessageID: id, Unsure: try > 0, To: to, Content: []byte(adaptertest.Answer(adaptertest.Extract1))})
		if err == nil || s.once || final(err) && (s.repeats == nil || !s.repeats(err)) {
			return
		}
		s.rest(ctx)
	}
}

const pause = 150 * time.Millisecond

// bench is a kit with keys, and a good system for it.
type bench struct {
	kit  conform.PartyKit
	key  signing.Signer
	busy signing.Signer
}

func newBench(t *testing.T) *bench {
	signer := func(name string) signing.Signer {
		id, err := signing.SelfSigned(signing.TestSubject{CommonName: name}, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		s, err := id.Signer()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	b := &bench{key: signer("PARTY"), busy: signer("BUS")}
	b.kit = conform.PartyKit{
		Signer: b.busy, Party: []*signing.Certificate{b.key.Certificate()}, Mnemonic: "MUNI", Request: []byte(adaptertest.Content(adaptertest.Extract1)), Response: []byte(adaptertest.Answer(adaptertest.Extract1)),
		RetryAfter: time.Second, Pause: pause, Hold: 3 * time.Second, Kit: "mezhved test",
	}
	return b
}

// file is an attachment that is signed once: the same message again is the same bytes.
func (b *bench) file(t *testing.T) []party.Attachment {
	pkcs7, err := signing.SignCMS(t.Context(), signing.Octets{Bytes: []byte("файл")}, b.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return []party.Attachment{{Content: []byte("файл"), PKCS7: pkcs7}}
}

// try lets a system work at the kit and gives the kit's report.
func (b *bench) try(t *testing.T, k conform.PartyKit, change func(*system)) *paper.Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.URL = "http://" + l.Addr().String() + "/smev/v1.2/ws"
	trust, err := signing.NewTrust(signing.TrustOptions{Registered: func(c *signing.Certificate) bool { return c.SHA256 == b.busy.Certificate().SHA256 }})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signing.NewVerifier(signing.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	files, err := signing.NewVerifier(signing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	s := &system{t: t, idle: pause, client: &party.Client{
		URL: k.URL, Signer: b.key, Bus: verifier, Files: files, HTTP: &http.Client{Timeout: 2 * time.Second, Transport: transport}, Pause: pause,
	}}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { s.run(ctx) })
	report, err := k.Serve(t.Context(), l)
	cancel()
	transport.CloseIdleConnections()
	working.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestOurPartyIsFit: every check of a party is asked of a system on package party,
// and passes.
func TestOurPartyIsFit(t *testing.T) {
	t.Parallel() // they wait more than they work
	b := newBench(t)
	report := b.try(t, b.kit, func(s *system) { s.attachments = b.file(t) })
	for _, r := range report.Results {
		if r.Verdict != paper.Passed {
			t.Errorf("%s: %s: %s", r.ID, r.Verdict, r.Why)
		}
	}
	if !report.Fit() || len(report.Results) != len(conform.PartyChecks()) {
		t.Errorf("fit %v after %d checks of %d", report.Fit(), len(report.Results), len(conform.PartyChecks()))
	}
	if c := report.Subject.Certificates; len(c) != 1 || c[0] != b.key.Certificate().Fingerprint() {
		t.Errorf("certificates %v", c)
	}
}

// tardy is a listener whose connections say nothing before it is closed, and a little after.
type tardy struct {
	net.Listener
	closed chan struct{}
	once   sync.Once
}

type tardyConn struct {
	net.Conn
	l *tardy
}

func (l *tardy) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *tardy) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tardyConn{c, l}, err
}

func (c tardyConn) Write(b []byte) (int, error) {
	<-c.l.closed
	time.Sleep(50 * time.Millisecond)
	return c.Conn.Write(b)
}

// TestTheLastCallIsAnswered: the kit does not end under a call that it has heard. The
// party would ask again, and nobody would be there.
func TestTheLastCallIsAnswered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.kit.Only, b.kit.URL = []string{"party.signature"}, "http://"+inner.Addr().String()+"/smev/v1.2/ws"
	client, called := &party.Client{URL: b.kit.URL, Signer: b.key}, make(chan error, 1)
	go func() {
		_, err := client.SendRequest(t.Context(), party.Request{Content: []byte(adaptertest.Content(adaptertest.Extract1))})
		called <- err
	}()
	if _, err := b.kit.Serve(t.Context(), &tardy{Listener: inner, closed: make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	if err := <-called; err != nil {
		t.Errorf("the call that ended the trial: %v", err)
	}
}

// breaking ends every other call that has brought a certain message, of a kind, before its
// answer is read. Of messages that come by turns none is broken off each time.
type breaking struct {
	http.RoundTripper
	kind     string // text in the message
	messages atomic.Int32
	mu       sync.Mutex
	broken   map[string]bool // by what the message is called: its last delivery was
}

var messageNames = regexp.MustCompile(`MessageI[dD]>([^<]+)<`)

func (b *breaking) breaks(body []byte) bool {
	b.messages.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	name := string(bytes.Join(messageNames.FindAll(body, -1), nil))
	b.broken[name] = !b.broken[name]
	return b.broken[name]
}

func (b *breaking) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if bytes.Contains(body, []byte(b.kind)) && b.breaks(body) {
		return nil, io.ErrUnexpectedEOF
	}
	return resp, err
}

// TestAPollThatBreaksOffIsNoFlaw: what a poll did not bring to its end comes again, each
// time that the kit lays it into the queue, as with a bus.
func TestAPollThatBreaksOffIsNoFlaw(t *testing.T) {
	t.Parallel() // they wait more than they work
	for check, times := range map[string]int32{"party.answer-ack": 2, "party.answer-again": 4, "party.request-ack": 2} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			kind := "<ns2:OriginalMessageId>"
			if conform.PartyRole(check) == conform.Provider {
				kind = "<ns2:ReplyTo>"
			}
			b := newBench(t)
			b.kit.Only, b.kit.Patience = []string{check}, 20*time.Second
			b.kit.Roles = []conform.Role{conform.PartyRole(check)}
			var way *breaking
			report := b.try(t, b.kit, func(s *system) {
				way = &breaking{RoundTripper: s.client.HTTP.Transport, kind: kind, broken: map[string]bool{}}
				s.client.HTTP.Transport = way
			})
			if r := report.Results[0]; r.Verdict != paper.Passed || way.messages.Load() < times {
				t.Errorf("%s after %d deliveries: %s", r.Verdict, way.messages.Load(), r.Why)
			}
		})
	}
}
