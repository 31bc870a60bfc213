package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter/party"
)

// site is a real server that answers in many ways, and counts calls by path and connections.
type site struct {
	*httptest.Server
	mu          sync.Mutex
	calls       map[string]int
	connections map[string]bool
	held        chan struct{} // lets /late answer
}

// raw is what a server says that is no server of Go: bytes, and then it may close.
var raw = map[string]struct {
	say   string
	close bool
}{
	"/until-end":   {"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nwords", true},
	"/middle":      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true},
	"/middle-part": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\nnot", true},
	"/middle-head": {"HTTP/1.1 200 OK\r\nContent-Le", true},
	"/no-answer":   {"", true},
	"/two-lengths": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwords", false},
	"/both":        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n0\r\n\r\n", false},
	"/unasked":     {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwordsHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", false},
	"/other-words": {"SSH-2.0-OpenSSH_9.2\r\n", true},
	"/switch":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", false},
	"/gzip":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", true},
	"/too-long":    {"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\nwords", false},
	"/plain-lines": {"HTTP/1.1 200 OK\nContent-Length:5\nconnection: x, Close\n\nwords", false},
}

func newSite(t *testing.T, start func(*httptest.Server)) *site {
	s := &site{calls: map[string]int{}, connections: map[string]bool{}, held: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r.URL.Path]++
	s.connections[r.RemoteAddr] = true
	s.mu.Unlock()
	if one, ok := raw[r.URL.Path]; ok {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, one.say)
			if one.close {
				_ = conn.Close()
			} else {
				time.AfterFunc(time.Minute, func() { _ = conn.Close() })
			}
		}
		return
	}
	if r.URL.Path == "/early" { // nothing of the call's body is read
		w.Header().Set("Connection", "close")
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
		return
	}
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	switch r.URL.Path {
	case "/chunked":
		for len(body) > 0 {
			n := min(len(body), 3000)
			_, _ = w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
		w.Header().Set(http.TrailerPrefix+"Digest", "none")
		return
	case "/announced":
		w.WriteHeader(http.StatusContinue)
		w.WriteHeader(http.StatusEarlyHints)
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
		return
	case "/last":
		w.Header().Set("Connection", "close")
	case "/late":
		select {
		case <-s.held:
		case <-r.Context().Done():
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

func (s *site) seen(path string) (calls, connections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path], len(s.connections)
}

// caller gives calls over one lane to the site, each to a path of its own.
func (s *site) lane(t *testing.T) (*lane, func(ctx context.Context, path string, body []byte) (party.Answer, error)) {
	l, err := newLane(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l, func(ctx context.Context, path string, body []byte) (party.Answer, error) {
		return l.post(ctx, bytes.Replace(l.head("Content-Type", "text/words"), []byte(" / "), []byte(" "+path+" "), 1), body)
	}
}

// Answers in every framing come whole, small ones and large ones, and share one connection
// where their server lets them.
func TestLaneAnswers(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"clear": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		s := newSite(t, start)
		l, call := s.lane(t)
		if name == "TLS" {
			l.tls.RootCAs = x509.NewCertPool()
			l.tls.RootCAs.AddCert(s.Certificate())
		}
		close(s.held)
		large := bytes.Repeat([]byte("words "), 1<<20)
		wanted := 0
		for _, c := range []struct {
			path   string
			status int
			body   []byte
			again  bool // on the same connection
		}{
			{"/plain", 200, []byte("words"), true},
			{"/plain", 200, nil, true},
			{"/plain", 200, large, true},
			{"/plain", 200, []byte("fewer"), true},
			{"/chunked", 200, []byte("words"), true},
			{"/chunked", 200, large[:100_000], true},
			{"/announced", 200, []byte("words"), true},
			{"/nothing", 204, nil, true},
			{"/late", 503, []byte("words"), true},
			{"/last", 200, []byte("words"), false},
			{"/until-end", 200, []byte("words"), false},
			{"/both", 200, []byte("words"), false},
			{"/unasked", 200, []byte("words"), false},
			{"/plain-lines", 200, []byte("words"), false},
			{"/plain", 200, []byte("words"), true},
		} {
			a, err := call(t.Context(), c.path, c.body)
			if err != nil || a.Status != c.status || !bytes.Equal(a.Body, c.body) {
				t.Errorf("%s %s: %d, %d bytes, %v; want %d and %d", name, c.path, a.Status, len(a.Body), err, c.status, len(c.body))
			}
			if raw[c.path].say == "" && a.ContentType != "text/words" {
				t.Errorf("%s %s: content of type %q", name, c.path, a.ContentType)
			}
			if again := l.conn != nil; again != c.again {
				t.Errorf("%s %s: its connection is kept: %v", name, c.path, again)
			}
			if !c.again {
				wanted++
			}
		}
		if _, n := s.seen(""); n != wanted+1 {
			t.Errorf("%s: %d connections, want %d", name, n, wanted+1)
		}
	}
}

// An answer that is none, or that breaks off, is an error, after one call: the bus may have
// done what it was asked to.
func TestLaneRefusesBrokenAnswers(t *testing.T) {
	s := newSite(t, (*httptest.Server).Start)
	_, call := s.lane(t)
	for path, want := range map[string]string{
		"/middle":      "unexpected EOF",
		"/middle-part": "unexpected EOF",
		"/middle-head": "unexpected EOF",
		"/two-lengths": `malformed HTTP header "Content-Length: 6"`,
		"/other-words": `malformed HTTP response "SSH-2.0-OpenSSH_9.2"`,
		"/switch":      "HTTP status 101",
		"/gzip":        `malformed HTTP header "Transfer-Encoding: gzip"`,
		"/too-long":    "the answer is longer than 67108864 bytes",
	} {
		if _, err := call(t.Context(), "/plain", nil); err != nil { // the connection has been used
			t.Fatal(err)
		}
		_, err := call(t.Context(), path, []byte("words"))
		if err == nil || !strings.HasPrefix(err.Error(), "Post ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if n, _ := s.seen(path); n != 1 {
			t.Errorf("%s: called %d times", path, n)
		}
	}
}

// A server that has heard enough answers before it has read everything, and closes.
func TestLaneHearsAnEarlyAnswer(t *testing.T) {
	s := newSite(t, (*httptest.Server).Start)
	l, call := s.lane(t)
	a, err := call(t.Context(), "/early", make([]byte, 16<<20))
	if err != nil || a.Status != http.StatusRequestEntityTooLarge || !strings.Contains(string(a.Body), "too much") || l.conn != nil {
		t.Errorf("%d %q, %v; its connection is kept: %v", a.Status, a.Body, err, l.conn != nil)
	}
}

// A connection that its server has closed while it rested costs no call; one that is closed
// without an answer costs a second try where it had been used before, and no third.
func TestLaneConnectsAgain(t *testing.T) {
	s := newSite(t, (*httptest.Server).Start)
	_, call := s.lane(t)
	for range 3 {
		if _, err := call(t.Context(), "/plain", []byte("words")); err != nil {
			t.Fatal(err)
		}
		s.CloseClientConnections()
	}
	if calls, connections := s.seen("/plain"); calls != 3 || connections != 3 {
		t.Errorf("%d calls on %d connections, want three of each", calls, connections)
	}
	_, fresh := s.lane(t)
	for calls, call := range map[int]func(context.Context, string, []byte) (party.Answer, error){1: fresh, 2: call} {
		before, _ := s.seen("/no-answer")
		if calls == 2 {
			if _, err := call(t.Context(), "/plain", nil); err != nil {
				t.Fatal(err)
			}
		}
		_, err := call(t.Context(), "/no-answer", nil)
		if after, _ := s.seen("/no-answer"); err == nil || after-before != calls {
			t.Errorf("called %d times, want %d (%v)", after-before, calls, err)
		}
	}
	s.Close()
	var dial *net.OpError
	if _, err := call(t.Context(), "/plain", nil); !errors.As(err, &dial) || dial.Op != "dial" {
		t.Errorf("a server that is gone: %v", err)
	}
}

// A call that is given up ends at once and takes its connection with it, and neither the
// next one nor one of another context feels it.
func TestLaneIsGivenUp(t *testing.T) {
	s := newSite(t, (*httptest.Server).Start)
	_, call := s.lane(t)
	for n := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := call(ctx, "/plain", nil); err != nil {
			t.Fatal(err)
		}
		var begun atomic.Bool
		go func() {
			for calls, _ := s.seen("/late"); calls <= n; calls, _ = s.seen("/late") {
				time.Sleep(time.Millisecond)
			}
			begun.Store(true)
			cancel()
		}()
		if _, err := call(ctx, "/late", nil); !errors.Is(err, context.Canceled) || !begun.Load() {
			t.Errorf("a call that was given up: %v", err)
		}
		if _, err := call(ctx, "/plain", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a call of a context that has ended: %v", err)
		}
		if a, err := call(context.WithoutCancel(ctx), "/plain", []byte("words")); err != nil || string(a.Body) != "words" {
			t.Errorf("the next call: %q, %v", a.Body, err)
		}
	}
	if _, n := s.seen("/plain"); n != 4 {
		t.Errorf("%d connections, want a new one after each call that was given up", n)
	}
}

// FuzzLaneAnswer: what a lane takes for an answer, net/http does too, and the same one.
func FuzzLaneAnswer(f *testing.F) {
	for _, one := range raw {
		f.Add([]byte(one.say))
	}
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nwords"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00005;x=y\r\nwords\r\n0\r\nA: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		l := &lane{in: bufio.NewReader(bytes.NewReader(said))}
		a, _, keep, err := l.answer()
		if err != nil {
			return
		}
		from := bufio.NewReader(bytes.NewReader(said))
		for {
			resp, err := http.ReadResponse(from, &http.Request{Method: http.MethodPost})
			if err != nil {
				return // a name of a header, for one, that a lane does not look at
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return
			}
			if resp.StatusCode < 200 {
				continue
			}
			if a.Status != resp.StatusCode || !bytes.Equal(a.Body, body) || keep && resp.Close {
				t.Errorf("%d %q, kept %v; net/http reads %d %q, closes %v", a.Status, a.Body, keep, resp.StatusCode, body, resp.Close)
			}
			return
		}
	})
}
