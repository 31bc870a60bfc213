package adapter

import (
	"context"
	"net"
	"net/http"
	"time"
)

// net/http reads from a connection while its call is worked on, to learn that the caller
// has hung up: a goroutine, a read that finds nothing, and before the answer a deadline that
// breaks it off and a wait for its end. Nearly all calls are over before anybody loses
// patience. So that read is told that there is nothing (connReader.backgroundRead ends then,
// and takes no error from it), and the wire reads itself, from when the call has lasted for
// hearAfter. Who hangs up later ends his call at once, who has hung up before ends it then.
//
// Under TLS, and behind the PROXY protocol, net/http does not read of the wire: there it
// listens itself.

// hearAfter is for how long a call is worked on before it is listened for its caller to hang
// up. Most are answered by then; what a caller who left sooner is handed meanwhile is as lost
// as what crosses with his leaving.
const hearAfter = 100 * time.Millisecond

// hearing is of the call that is worked on. wire.mu guards it.
type hearing struct {
	hangUp context.CancelFunc // ends the call; nil: there is none, or net/http listens
	deaf   bool               // net/http hears nothing: until the connection rests, for its read may come late
	whole  bool               // the body has come to its end, and the call has not
	after  *time.Timer        // of hearAfter; nil: no call has begun one
	ended  chan struct{}      // closed when the wire reads no more; nil: it does not
	next   [1]byte            // what it has read, of the next call
	came   bool               // and nobody has taken it yet
}

// untilHungUp gives the context of a call that came over a wire: it ends when the caller hangs
// up, or after most. unattend is to be called before the answer goes out.
func (w *wire) untilHungUp(r *http.Request, most time.Duration) (context.Context, context.CancelFunc) {
	if w == nil || !w.bare || r.ContentLength == 0 { // without a body net/http reads already
		return context.WithTimeout(r.Context(), most)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), most)
	w.attend(cancel)
	return ctx, cancel
}

// attend begins a call, before its body is read to its end.
func (w *wire) attend(hangUp context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hearing.hangUp, w.hearing.deaf = hangUp, true
}

// unattend ends it, if it was begun. The wire reads nothing then but for net/http.
func (w *wire) unattend() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.hearing
	if h.whole {
		h.after.Stop() // one that has run out already finds no call, or the next one
	}
	h.hangUp, h.whole = nil, false
	if h.ended == nil {
		return
	}
	ended := h.ended
	_ = w.reads.want(time.Unix(1, 0), w.Conn, net.Conn.SetReadDeadline) // of a closed connection it ends anyhow
	w.mu.Unlock()
	<-ended
	w.mu.Lock()
	_ = w.reads.want(time.Time{}, w.Conn, net.Conn.SetReadDeadline)
}

// hear lets net/http hear again, when the connection rests: not when something is written, for
// of who asks before he sends his body that is before its end.
func (w *wire) hear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hearing.deaf = false
}

// bodyEnded has the wire listen after a while, unless the call has ended, too. It is called
// with the lock held.
func (w *wire) bodyEnded() {
	h := &w.hearing
	if h.hangUp == nil {
		return
	}
	h.whole = true
	if h.after == nil {
		h.after = time.AfterFunc(hearAfter, w.listen)
		return
	}
	h.after.Reset(hearAfter)
}

// listen reads until the caller hangs up, which ends his call, or sends the next one, or
// has been answered.
func (w *wire) listen() {
	w.mu.Lock()
	h := &w.hearing
	if !h.whole || h.ended != nil || h.came {
		w.mu.Unlock()
		return
	}
	h.ended = make(chan struct{})
	n, err := w.read(h.next[:])
	h.came = n == 1
	close(h.ended)
	h.ended = nil
	hangUp := h.hangUp // nil: the read was broken off
	w.mu.Unlock()
	if err != nil && hangUp != nil {
		hangUp()
	}
}
