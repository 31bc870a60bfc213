package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// wire is a caller's connection at a door. net/http hands an answer down in pieces of
// 4 KB, and each piece costs a call of the system, a packet, and with TLS a record of its
// own, and may wake its reader for half of an answer. Between gather and rest what is
// written is held, and goes out in one piece. What is written at other times goes out at
// once.
//
// net/http changes a connection's deadlines eight times for each call, nearly always to a
// later one or to none, and before data that is there already. Each change costs a timer of
// the runtime. Here a deadline is what somebody wants until a read or write begins: only an
// earlier one than the connection has is given to it then. The connection may so give up
// before it should, and goes on; it never does so later.
type wire struct {
	net.Conn

	mu     sync.Mutex
	held   *[]byte   // nil: nothing is gathered
	until  time.Time // when the call has to have its answer, for what is held
	reads  deadline
	writes deadline
}

// deadline is that of the reads of a connection, or of its writes. wire.mu guards it.
type deadline struct {
	wanted time.Time // zero: none
	has    time.Time // what the connection has
	over   bool      // and it has passed
	at     int       // reads, or writes, that go on
}

// setting is net.Conn.SetReadDeadline or net.Conn.SetWriteDeadline.
type setting func(net.Conn, time.Time) error

// want changes the deadline. What goes on has it at once.
func (d *deadline) want(t time.Time, of net.Conn, set setting) error {
	d.wanted = t
	if d.at == 0 {
		return nil
	}
	d.has, d.over = t, false
	return set(of, t)
}

// begin gives the connection the deadline for what begins, if it must be given it. An
// error is that of a closed connection, which what begins will find out.
func (d *deadline) begin(of net.Conn, set setting) {
	d.at++
	if d.over || !d.wanted.IsZero() && (d.has.IsZero() || d.wanted.Before(d.has)) {
		d.give(of, set)
	}
}

func (d *deadline) give(of net.Conn, set setting) {
	d.has, d.over = d.wanted, false
	_ = set(of, d.wanted)
}

// early says that what has ended was given up before the deadline, and lets it go on.
func (d *deadline) early(err error, of net.Conn, set setting) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if d.over = !d.wanted.IsZero() && !time.Now().Before(d.wanted); !d.over {
		d.give(of, set)
	}
	return !d.over
}

// SetReadDeadline is net.Conn's.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads.want(t, w.Conn, net.Conn.SetReadDeadline)
}

// SetWriteDeadline is net.Conn's.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes.want(t, w.Conn, net.Conn.SetWriteDeadline)
}

// SetDeadline is net.Conn's.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// Read is net.Conn's.
func (w *wire) Read(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads.begin(w.Conn, net.Conn.SetReadDeadline)
	defer func() { w.reads.at-- }()
	for {
		w.mu.Unlock()
		n, err = w.Conn.Read(p)
		w.mu.Lock()
		if err == nil || n > 0 || !w.reads.early(err, w.Conn, net.Conn.SetReadDeadline) {
			return n, err
		}
	}
}

// write writes to the network. The lock is not held meanwhile: Close ends a write that stands.
func (w *wire) write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes.begin(w.Conn, net.Conn.SetWriteDeadline)
	defer func() { w.writes.at-- }()
	for {
		w.mu.Unlock()
		some, err := w.Conn.Write(p[n:])
		w.mu.Lock()
		if n += some; err == nil || !w.writes.early(err, w.Conn, net.Conn.SetWriteDeadline) {
			return n, err
		}
	}
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
		w.held, w.until = gatherings.Get().(*[]byte), w.writes.wanted
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
	return w.write(p)
}

// rest writes what is held. net/http takes the deadline of a call away before the connection
// rests: a caller who does not read has it nevertheless.
func (w *wire) rest() error {
	w.mu.Lock()
	held := w.held
	w.held = nil
	if held != nil && w.writes.wanted.IsZero() {
		w.writes.wanted = w.until
	}
	w.mu.Unlock()
	if held == nil {
		return nil
	}
	_, err := w.write(*held)
	*held = (*held)[:0]
	gatherings.Put(held)
	return err
}

// ReadFrom is io.ReaderFrom's, by which a file goes out without passing through here.
func (w *wire) ReadFrom(r io.Reader) (int64, error) {
	if err := w.rest(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	w.writes.at++
	w.writes.give(w.Conn, net.Conn.SetWriteDeadline) // the very one: a copy cannot be gone on with
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.writes.at--
		w.mu.Unlock()
	}()
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
		_ = w.SetWriteDeadline(time.Now().Add(time.Second))
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
		// Behind half of an answer no other may go out: a call that net/http has read already
		// is carried out, and its answer finds the connection closed.
		if w := wireOf(c); w != nil && w.rest() != nil {
			_ = w.Conn.Close()
		}
	}
}

// gatherAnswer says that what a handler writes now is its whole answer.
func gatherAnswer(ctx context.Context) {
	if w, ok := ctx.Value(wireKey{}).(*wire); ok && w != nil {
		w.gather()
	}
}
