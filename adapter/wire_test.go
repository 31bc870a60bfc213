package adapter

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// counting counts the writes to the network.
type counting struct {
	net.Listener
	writes atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c, &l.writes}, nil
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// An answer that a handler gives whole goes out in one write, whatever the connection is
// wrapped in, is the same bytes, and is there before its connection is closed.
func TestAnswerInOneWrite(t *testing.T) {
	t.Parallel()
	answer := bytes.Repeat([]byte("ответ "), 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/whole" {
			gatherAnswer(r.Context())
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.Write(answer)
	})
	known := httptest.NewTLSServer(nil) // has a certificate, and a client that trusts it
	defer known.Close()
	for name, over := range map[string]func(net.Listener) net.Listener{
		"plain": func(l net.Listener) net.Listener { return l },
		"TLS":   func(l net.Listener) net.Listener { return tls.NewListener(l, known.TLS) },
		"PROXY": func(l net.Listener) net.Listener {
			return &proxyproto.Listener{Listener: l, ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.USE, nil }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			scheme, client := "http://", &http.Client{Transport: &http.Transport{}}
			if name == "TLS" {
				scheme, client = "https://", known.Client()
			}
			network, served := &counting{Listener: l}, &http.Server{Handler: handler}
			gathering(served)
			go served.Serve(over(wires{network}))
			ask := func(path string, last bool) int64 {
				t.Helper()
				before := network.writes.Load()
				r, err := http.NewRequest("GET", scheme+l.Addr().String()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Close = last
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, answer) {
					t.Errorf("%s: %d bytes, %v, want %d", path, len(got), err, len(answer))
				}
				return network.writes.Load() - before
			}
			ask("/whole", false) // TLS shakes hands
			if n := ask("/whole", false); n != 1 {
				t.Errorf("an answer of %d bytes in %d writes, want 1", len(answer), n)
			}
			if n := ask("/pieces", false); n < 2 {
				t.Errorf("%d writes: there is nothing to gather any more", n)
			}
			if n := ask("/whole", true); name != "TLS" && n != 1 { // TLS says goodbye in another
				t.Errorf("the last answer in %d writes, want 1", n)
			}
			down, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := served.Shutdown(down); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who closes a connection that net/http believes to rest loses no answer.
func TestGatheredBeforeClose(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*wire) error{"Close": (*wire).Close, "CloseWrite": (*wire).CloseWrite} {
		ours, theirs := net.Pipe()
		w := &wire{Conn: ours}
		w.gather()
		if _, err := w.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		go func() {
			if end(w) == nil && name == "CloseWrite" {
				ours.Close() // a pipe has no half
			}
		}()
		if got, err := io.ReadAll(theirs); string(got) != "answer" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What is held for a caller who does not read is given up when the call had to have its
// answer, although net/http has taken that deadline away by then.
func TestGatheredHasADeadline(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	w := &wire{Conn: ours}
	defer w.Close()
	w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	w.gather()
	if _, err := w.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	w.SetWriteDeadline(time.Time{})
	if err := w.rest(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody reads: %v, want a deadline", err)
	}
}

// timed counts the changes of its deadlines, and tells of reads and writes that it has
// given up.
type timed struct {
	net.Conn
	changes *atomic.Int64
	gaveUp  chan struct{}
}

func (c *timed) SetReadDeadline(t time.Time) error {
	c.changes.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func (c *timed) SetWriteDeadline(t time.Time) error {
	c.changes.Add(1)
	return c.Conn.SetWriteDeadline(t)
}

func (c *timed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tell(err)
	return n, err
}

func (c *timed) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.tell(err)
	return n, err
}

func (c *timed) tell(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.gaveUp <- struct{}{}
	}
}

// A call changes the deadlines of its connection twice: when net/http stops waiting for the
// caller to hang up, and for the wait that comes then.
func TestDeadlinesOfCall(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	network := &timing{Listener: l}
	served := &http.Server{ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			gatherAnswer(r.Context())
			io.WriteString(w, "answer")
		})}
	gathering(served)
	go served.Serve(wires{network})
	defer served.Close()
	client := &http.Client{Transport: &http.Transport{}}
	ask := func() {
		t.Helper()
		resp, err := client.Post("http://"+l.Addr().String(), "text/xml", strings.NewReader("call"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != "answer" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	ask()
	before := network.changes.Load()
	const calls = 50
	for range calls {
		ask()
	}
	if n := network.changes.Load() - before; n > 3*calls {
		t.Errorf("%d changes of deadlines in %d calls, want 2 a call", n, calls)
	}
}

// timing has its connections timed.
type timing struct {
	net.Listener
	changes atomic.Int64
}

func (l *timing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &timed{c, &l.changes, make(chan struct{}, 1000)}, nil
}

// A read or a write has until its deadline, whatever the deadlines before were, and one that
// goes on is ended by a new one.
func TestDeadlinesOfWire(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	network := &timed{Conn: ours, changes: new(atomic.Int64), gaveUp: make(chan struct{}, 10)}
	w := &wire{Conn: network}
	defer w.Close()
	for name, of := range map[string]struct {
		set         func(time.Time) error
		deadline    *deadline
		setting     setting
		here, there func() error
	}{
		"read": {w.SetReadDeadline, &w.reads, net.Conn.SetReadDeadline, func() error {
			_, err := w.Read(make([]byte, 1))
			return err
		}, func() error {
			_, err := theirs.Write([]byte{1})
			return err
		}},
		"write": {w.SetWriteDeadline, &w.writes, net.Conn.SetWriteDeadline, func() error {
			_, err := w.Write([]byte{1})
			return err
		}, func() error {
			_, err := theirs.Read(make([]byte, 1))
			return err
		}},
	} {
		done := make(chan error, 1)
		begin := func() { go func() { done <- of.here() }() }
		// One that is short, and passes.
		of.set(time.Now().Add(10 * time.Millisecond))
		if begin(); !errors.Is(<-done, os.ErrDeadlineExceeded) {
			t.Errorf("%s: no deadline of its own", name)
		}
		<-network.gaveUp
		// None, on a connection that has one of before: it gives up, and is not heard.
		w.mu.Lock()
		of.deadline.wanted = time.Now().Add(10 * time.Millisecond)
		of.deadline.give(network, of.setting)
		of.deadline.wanted = time.Time{}
		w.mu.Unlock()
		begin()
		<-network.gaveUp
		if err := of.there(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s without a deadline: %v", name, err)
		}
		// One that was long, and is ended.
		of.set(time.Now().Add(time.Hour))
		begin()
		for ended := false; !ended; { // it may not have begun yet, and is ended then
			of.set(time.Unix(1, 0))
			select {
			case err := <-done:
				if ended = true; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s that was ended: %v", name, err)
				}
			case <-time.After(time.Millisecond):
			}
		}
		for len(network.gaveUp) > 0 {
			<-network.gaveUp
		}
		of.set(time.Time{})
		begin()
		if err := of.there(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s after one that was ended: %v", name, err)
		}
	}
}

// An answer of which a part has gone out, and whose reader has stopped for too long, is the
// last on its connection: what was asked behind it is not answered into the middle of it.
func TestNothingFollowsHalfAnAnswer(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l := &handed{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- ours
	served := &http.Server{WriteTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gatherAnswer(r.Context())
		io.WriteString(w, strings.Repeat(r.URL.Path[1:], 1000))
	})}
	gathering(served)
	go served.Serve(wires{l})
	defer served.Close()

	if _, err := io.WriteString(theirs, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 200)
	if _, err := io.ReadFull(theirs, first); err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond) // of real time: it is the deadline of a connection that passes
	theirs.SetReadDeadline(time.Now().Add(10 * time.Second))
	rest, err := io.ReadAll(theirs)
	if answers := strings.Count(string(first)+string(rest), "HTTP/1.1 200"); answers != 1 || err != nil {
		t.Errorf("%d answers, %v, behind %d bytes of the first, want the end of the connection", answers, err, len(first))
	}
}

// handed is a listener of one connection.
type handed struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *handed) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handed) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handed) Addr() net.Addr { return &net.TCPAddr{} }
