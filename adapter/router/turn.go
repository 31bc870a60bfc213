package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/lately"
)

// rest is how long an installation that has not answered is passed over by calls that others
// may carry out, too. Then one of them tries it again.
const rest = 5 * time.Second

// Times from one round of a poll that waits to the next: they grow, for where much is on its
// way something comes soon, up to the time after which the nodes of an installation look for
// what others of them have queued.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// installation is one of those that calls go to.
type installation struct {
	name string
	base string // address, without its last slash

	again  atomic.Int64 // Unix nanoseconds at which it is tried again; 0: it answers
	tried  atomic.Bool  // a call has told whether it answers
	change sync.Mutex   // held while one of the two changes, and what is told of them
	unlike string       // how it last differed from the router, as was told; empty: it did not
}

// passedOver says that calls which others may carry out leave the installation alone for now.
// When its time has come, one caller is told to try.
func (i *installation) passedOver(now time.Time) bool {
	at := i.again.Load()
	return at != 0 && (now.UnixNano() < at || !i.again.CompareAndSwap(at, now.Add(rest).UnixNano()))
}

// lost notes that the installation has not answered.
func (r *Router) lost(i *installation, why error) {
	i.change.Lock()
	defer i.change.Unlock()
	i.tried.Store(true)
	if i.again.Swap(time.Now().Add(rest).UnixNano()) == 0 {
		r.metrics.answers.WithLabelValues(i.name).Set(0)
		r.log.Warn("an installation does not answer; calls that others may carry out pass it over, and try it again every few seconds", "installation", i.name, "error", why)
	}
}

// answered notes that it has.
func (r *Router) answered(i *installation) {
	if i.tried.Load() && i.again.Load() == 0 {
		return
	}
	i.change.Lock()
	defer i.change.Unlock()
	i.tried.Store(true)
	r.metrics.answers.WithLabelValues(i.name).Set(1)
	if i.again.Swap(0) != 0 {
		r.log.Info("an installation answers again", "installation", i.name)
	}
}

// errPassedOver says that an installation was not asked because it has just not answered.
var errPassedOver = errors.New("it has not answered a moment ago")

// waiting asks in turn until somebody has something, for as long as the caller wants to
// wait for it.
func (r *Router) waiting(ctx context.Context, c *call) (*answer, error) {
	end := time.Now().Add(c.wait)
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		a, err := r.inTurn(ctx, c)
		left := time.Until(end)
		if a != nil && a.verdict == done || ctx.Err() != nil || left <= 0 {
			return a, err
		}
		t := time.NewTimer(min(left, pause))
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-r.draining:
			end = time.Now() // one more round: what was there a second ago may be another's
		}
		t.Stop()
	}
}

// inTurn asks one installation after the other, never two at once, until one of them has
// what is asked for, or none. That one of them could not be asked, or has said to come later,
// outweighs that the others have nothing.
func (r *Router) inTurn(ctx context.Context, c *call) (*answer, error) {
	var nothing, later *answer
	var lost error
	for _, i := range c.order {
		if len(c.order) > 1 && i.passedOver(time.Now()) {
			r.metrics.count(c.operation, i, "passed")
			lost = errors.Join(lost, fmt.Errorf("installation %s: %w", i.name, errPassedOver))
			continue
		}
		a, err := r.ask(ctx, c, i)
		switch {
		case err != nil && c.left():
			return nil, err
		case c.sends() && err != nil: // perhaps it has accepted it, if it knows of services that we do not
			return nil, adapter.Unavailable(fmt.Errorf("installation %s: %w", i.name, err))
		case c.sends() && isCutOff(a.status):
			return a, nil
		case err != nil:
			lost = errors.Join(lost, fmt.Errorf("installation %s: %w", i.name, err))
		case a.verdict == done:
			return a, nil
		case a.verdict == empty:
			nothing = a
		case later == nil:
			later = a
		}
		if err := ctx.Err(); err != nil {
			lost = errors.Join(lost, err) // whoever is left was not asked
			break
		}
	}
	switch {
	case later != nil:
		return later, nil
	case lost != nil:
		return nil, adapter.Unavailable(lost)
	}
	return nothing, nil
}

// verdict is what an answer means for whether another installation is asked.
type verdict int

const (
	done  verdict = iota // it is the answer
	empty                // nothing waits there, or it is not the one to acknowledge
	come                 // later: it does not carry out the call now
)

// isCutOff are the statuses by which who stands before an installation says that it has not
// answered, or not in time.
func isCutOff(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// isLater are the statuses of HTTP by which a gateway, or what stands before it, does not
// carry out a call now.
func isLater(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || isCutOff(status)
}

// origins remember from which installation a message came. They spare an Ack the way to the
// others; nothing rests on them.
type origins struct {
	mu    sync.Mutex
	known lately.Map[string, *installation] // by MessageID
}

// longestID bounds what is remembered of a message: MessageIDs are shorter.
const longestID = 64

func (o *origins) note(messageID string, from *installation) {
	if messageID == "" || len(messageID) > longestID {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known.Most = 1 << 16
	o.known.Put(messageID, from)
}

// of is where the message came from; nil: it is not known here.
func (o *origins) of(messageID string) *installation {
	o.mu.Lock()
	defer o.mu.Unlock()
	from, _ := o.known.Get(messageID)
	return from
}
