package adapter

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lasting is a server that answers with what it was sent. Calls that say "wait" last until
// they are let go or their context ends.
type lasting struct {
	*http.Server
	address string
	begun   chan *wire    // of calls that last
	letGo   chan struct{} // ends one
	ended   chan error    // how the context of one ended
	reads   atomic.Int64  // from the network
}

func startLasting(t *testing.T, most time.Duration, over func(net.Listener) net.Listener) *lasting {
	t.Helper()
	s := &lasting{begun: make(chan *wire, 1), letGo: make(chan struct{}), ended: make(chan error, 1)}
	s.Server = &http.Server{ReadTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wire := wireAt(r.Context())
		ctx, cancel := wire.untilHungUp(r, most)
		defer cancel()
		defer wire.unattend()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(string(body), "wait") {
			s.begun <- wire
			select {
			case <-s.letGo:
			case <-ctx.Done():
				s.ended <- ctx.Err()
			}
		}
		wire.gather()
		w.Write(body)
	})}
	gathering(s.Server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	go s.Serve(over(wires{reading{l, &s.reads}}))
	t.Cleanup(func() { s.Close() })
	return s
}

func asItIs(l net.Listener) net.Listener { return l }

// reading counts the reads of its connections.
type reading struct {
	net.Listener
	reads *atomic.Int64
}

func (l reading) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return readConn{c, l.reads}, err
}

type readConn struct {
	net.Conn
	reads *atomic.Int64
}

func (c readConn) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

// client is one connection to it.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (s *lasting) dial(t *testing.T, trusts *tls.Config) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	if trusts != nil {
		conn = tls.Client(conn, trusts)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(body string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a call of a client that asks first, which most libraries do with long bodies.
func (c *client) ask(body string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if got, err := c.in.ReadString('\n'); got != want || err != nil {
			c.t.Fatalf("answered %q, %v, want %q", got, err, want)
		}
	}
	if _, err := io.WriteString(c, body); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) answered(want string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
		c.t.Fatalf("answered %q, %v, want %q", got, err, want)
	}
}

// comes waits for a state of the wire.
func comes(t *testing.T, w *wire, what string, is func(*hearing) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		there := is(&w.hearing)
		w.mu.Unlock()
		if there {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func listens(h *hearing) bool { return h.ended != nil }

// Whoever hangs up ends his call, and so does a server that closes; a call that lasts for
// too long ends as such.
func TestHangingUpEndsACall(t *testing.T) {
	t.Parallel()
	known := httptest.NewTLSServer(nil) // has a certificate, and a client that trusts it
	defer known.Close()
	secret := func(l net.Listener) net.Listener { return tls.NewListener(l, known.TLS) }
	trusts := known.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusts.ServerName = "example.com"
	for name, x := range map[string]struct {
		over   func(net.Listener) net.Listener
		trusts *tls.Config
		asks   bool // before it sends the body
		most   time.Duration
		late   bool // when the wire listens already
		end    func(*lasting, *client)
		want   error
	}{
		"hung up at once":  {over: asItIs, end: func(_ *lasting, c *client) { c.Close() }, want: context.Canceled},
		"hung up":          {over: asItIs, late: true, end: func(_ *lasting, c *client) { c.Close() }, want: context.Canceled},
		"asked, hung up":   {over: asItIs, asks: true, end: func(_ *lasting, c *client) { c.Close() }, want: context.Canceled},
		"hung up over TLS": {over: secret, trusts: trusts, end: func(_ *lasting, c *client) { c.Close() }, want: context.Canceled},
		"closed":           {over: asItIs, end: func(s *lasting, _ *client) { s.Close() }, want: context.Canceled},
		"too long":         {over: asItIs, most: time.Millisecond, end: func(*lasting, *client) {}, want: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if x.most == 0 {
				x.most = time.Hour
			}
			s := startLasting(t, x.most, x.over)
			c := s.dial(t, x.trusts)
			if x.asks {
				c.ask("wait")
			} else {
				c.send("wait")
			}
			w := <-s.begun
			if x.late {
				comes(t, w, "the wire listens", listens)
			}
			x.end(s, c)
			select {
			case err := <-s.ended:
				if !errors.Is(err, x.want) {
					t.Errorf("ended with %v, want %v", err, x.want)
				}
			case <-time.After(time.Minute):
				t.Error("the call goes on")
			}
		})
	}
}

// A connection that was listened to goes on: with the call that came meanwhile, of which one
// byte was heard, and with one that comes when it is at rest.
func TestCallsAfterOneThatLasted(t *testing.T) {
	t.Parallel()
	s := startLasting(t, time.Hour, asItIs)
	c := s.dial(t, nil)
	for n := range 3 {
		c.send("wait")
		w := <-s.begun
		comes(t, w, "the wire listens", listens)
		behind := fmt.Sprintf("behind %d", n)
		c.send(behind)
		comes(t, w, "a byte of the next call is heard", func(h *hearing) bool { return h.came })
		s.letGo <- struct{}{}
		c.answered("wait")
		c.answered(behind)

		c.send("wait again")
		comes(t, <-s.begun, "the wire listens", listens)
		s.letGo <- struct{}{}
		c.answered("wait again")
		c.send("at rest")
		c.answered("at rest")
	}
}

// A call that is answered soon is one read of its connection: nobody listens.
func TestReadsOfCall(t *testing.T) {
	t.Parallel()
	s := startLasting(t, time.Hour, asItIs)
	c := s.dial(t, nil)
	const calls = 10
	var reads int64
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		before := s.reads.Load()
		for range calls {
			c.send("call")
			c.answered("call")
		}
		if reads = s.reads.Load() - before; reads <= calls+1 { // the last one's wait for the next
			return
		}
	}
	t.Errorf("%d reads in %d calls, want one each", reads, calls)
}
