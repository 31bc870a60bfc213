package adapter

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// wire is a caller's connection at a door. net/http hands an answer down in pieces of
// 4 KB, and each piece costs a call of the system, a packet, and with TLS a record of its
// own, and may wake its reader for half of an answer. Between gather and rest what is
// written is held, and goes out in one piece. Nothing else is changed: what is written at
// other times goes out at once.
type wire struct {
	net.Conn

	mu   sync.Mutex
	held *[]byte // nil: nothing is gathered
}

// gathered is how much of an answer is held. Of a longer one the rest goes out in the
// pieces that it comes in, which are large.
const gathered = 32 << 10

var gatherings = sync.Pool{New: func() any { b := make([]byte, 0, gathered); return &b }}

// gather holds what is written from now on until the connection rests.
func (w *wire) gather() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = gatherings.Get().(*[]byte)
	}
}

// Write is net.Conn's.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.held != nil && len(*w.held)+len(p) <= gathered {
		*w.held = append(*w.held, p...)
		w.mu.Unlock()
		return len(p), nil
	}
	w.mu.Unlock()
	if err := w.rest(); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// rest writes what is held. The lock is not held meanwhile: Close ends a write that stands.
func (w *wire) rest() error {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	if held == nil {
		return nil
	}
	_, err := w.Conn.Write(*held)
	*held = (*held)[:0]
	gatherings.Put(held)
	return err
}

// ReadFrom is io.ReaderFrom's, by which a file goes out without passing through here.
func (w *wire) ReadFrom(r io.Reader) (int64, error) {
	if err := w.rest(); err != nil {
		return 0, err
	}
	return io.Copy(w.Conn, r)
}

// CloseWrite says that nothing more comes, behind what is held.
func (w *wire) CloseWrite() error {
	if err := w.rest(); err != nil {
		return err
	}
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close is net.Conn's. An answer that was given goes out before: a server that shuts down
// closes what rests, and this one may rest to net/http already. It has a second for it.
func (w *wire) Close() error {
	w.mu.Lock()
	holds := w.held != nil
	w.mu.Unlock()
	if holds {
		_ = w.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = w.rest() // its reader has gone then
	}
	return w.Conn.Close()
}

// wires makes the connections of a listener wires. It stands next to the network, under
// TLS and whatever proxies say.
type wires struct{ net.Listener }

// Accept is net.Listener's.
func (l wires) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c}, nil
}

// wireOf finds the wire under a connection; nil: it has none.
func wireOf(c net.Conn) *wire {
	for {
		switch outer := c.(type) {
		case *wire:
			return outer
		case *tls.Conn:
			c = outer.NetConn()
		case *proxyproto.Conn:
			c = outer.Raw()
		default:
			return nil
		}
	}
}

type wireKey struct{}

// gathering has a server's answers gathered: those before which a handler says so.
func gathering(s *http.Server) {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, wireKey{}, wireOf(c))
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateIdle {
			return // what ends otherwise is closed
		}
		if w := wireOf(c); w != nil {
			_ = w.rest() // net/http finds out at the next call, as it would by its own write
		}
	}
}

// gatherAnswer says that what a handler writes now is its whole answer.
func gatherAnswer(ctx context.Context) {
	if w, ok := ctx.Value(wireKey{}).(*wire); ok && w != nil {
		w.gather()
	}
}
