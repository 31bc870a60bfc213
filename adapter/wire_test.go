package adapter

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
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
