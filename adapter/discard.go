package adapter

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// What is read of a body that is refused before its end: of one, how long, and of
// all together in a second, so that a flood of them leaves time for other work.
const (
	discardedBytes  = 64 << 20
	discardedTime   = 10 * time.Second
	discardedAtOnce = 128 << 20
	discardedPiece  = 64 << 10
)

// Discards reads bodies that are refused to their end and throws them away, within bounds
// for all of them together.
type Discards struct{ bytes *rate.Limiter }

// NewDiscards is for all doors of a process.
func NewDiscards() Discards {
	return Discards{rate.NewLimiter(discardedAtOnce, discardedAtOnce/8)}
}

// After prepares for the refusal of a call whose body has not come to its end,
// and gives what is to be done after it, nil when nothing is: most clients read no answer before they
// have sent everything, and closing on what they still send would reset the
// connection and take the answer with it. So the answer is sent, and what comes is
// read on and thrown away, within bounds.
func (d Discards) After(w http.ResponseWriter, r *http.Request) func() {
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" { // who asks first sends nothing now
		return nil
	}
	ctl := http.NewResponseController(w)
	if ctl.EnableFullDuplex() != nil {
		return nil
	}
	w.Header().Set("Connection", "close")
	return func() {
		if ctl.Flush() != nil || ctl.SetReadDeadline(time.Now().Add(discardedTime)) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), discardedTime)
		defer cancel()
		for range discardedBytes / discardedPiece {
			if d.bytes.WaitN(ctx, discardedPiece) != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, r.Body, discardedPiece); err != nil {
				return
			}
		}
	}
}
