package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// What happens to the node that leads stops the other one for no longer than the
// term of a lease: its disk is full where its signer remembers; PostgreSQL ends at
// once and the network between swallows everything; its host dies and nobody is
// told. The times are those of the README: accepts go on within 15 s, delivery
// within 20. They are measured and told; a busy machine is given four times as long.
func TestNothingThatHappensToALeaderStopsTheOther(t *testing.T) {
	w := openStormWorld(t, newStorm(t), "kfake")
	for _, n := range w.nodes {
		n.start()
		t.Cleanup(n.kill)
	}
	play, err := newPlay(w.ctx, t.Output(), w.dir, w.nodes[0].base)
	w.must(err)
	p := &pair{stormWorld: w, play: play}
	defer func() {
		if t.Failed() {
			for _, n := range w.nodes {
				t.Logf("the end of the log of %s:\n%s", n.name, lastOf(n.run.out.String(), 40))
			}
		}
	}()

	p.leads(w.nodes[0])
	if why := needsMount(w.nodes[0].dir); why != "" {
		t.Logf("a full disk: not tried: %s", why)
	} else {
		var free func()
		p.strike("the leader's disk is full", w.nodes[1], func() {
			var err error
			free, err = fillDisk(w.nodes[0].dir)
			w.must(err)
		})
		p.leads(w.nodes[1])
		free()
	}

	leader, other := p.leader()
	p.strike("PostgreSQL ends at once behind a network that swallows", other, func() {
		for _, wire := range leader.wires {
			wire.Swallow(adaptertest.Both)
		}
		w.must(w.database.End(syscall.SIGQUIT))
		w.must(w.database.Start(w.ctx))
	})
	for _, wire := range leader.wires {
		wire.HideEnds() // what has ended meanwhile is never told
	}
	p.refusing = true
	p.strike("the network passes again, its connections are dead", leader, func() {
		for _, wire := range leader.wires {
			wire.Swallow(0)
		}
	})
	for _, wire := range leader.wires {
		wire.Mend()
	}
	p.refusing = false

	leader, other = p.leader()
	p.strike("the leader's host dies", other, func() {
		for _, wire := range leader.wires {
			wire.Swallow(adaptertest.Both)
		}
		for _, wire := range w.wires {
			wire.HideEnds()
		}
		leader.kill()
	})
	p.leads(other)
}

// pair is two nodes, one of which leads.
type pair struct {
	*stormWorld
	play     *play
	refusing bool // the node called refuses before the next strike
}

// await waits until something holds.
func (p *pair) await(what string, holds func() bool) {
	p.t.Helper()
	if !p.within(patience, holds) {
		p.t.Fatalf("still not true after %s: %s", patience, what)
	}
}

const (
	acceptsWithin  = 15 * time.Second
	deliversWithin = 20 * time.Second
	busy           = 4
)

// leader is the node that leads the journal, and the other.
func (p *pair) leader() (leader, other *stormNode) {
	p.t.Helper()
	n := int64(0)
	p.await("somebody leads the journal", func() bool {
		var ok bool
		n, ok = p.ask("SELECT right(node, 1)::bigint FROM lead WHERE work = 'journal' AND until > clock_timestamp()")
		return ok
	})
	return p.nodes[n-1], p.nodes[2-n]
}

// leads waits until a node leads the journal.
func (p *pair) leads(n *stormNode) {
	p.t.Helper()
	p.await(n.name+" leads the journal", func() bool { l, _ := p.leader(); return l == n })
}

// strike lets a party call a node all the time, does something, and tells for how
// long calls were refused, and when a message sent after it was delivered and stood
// under a checkpoint.
func (p *pair) strike(what string, at *stormNode, do func()) {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	client := func(system string) *party.Client {
		c := p.play.client(system, envelopes.V12)
		c.URL, c.HTTP, c.Attempts = at.base+"/smev/v1.2/ws", &http.Client{Timeout: 30 * time.Second}, 1
		return c
	}
	var mu sync.Mutex
	accepted := map[string]time.Time{} // not yet delivered
	var refusedSince, struck, delivered time.Time
	var longest time.Duration
	var last error
	count := 0
	work.Go(func() {
		c := client("MFC01")
		for ctx.Err() == nil {
			id := party.NewMessageID(time.Now())
			begun := time.Now()
			_, err := c.SendRequest(ctx, party.Request{MessageID: id, Content: sample("family-benefits", "1.0.0", "request")})
			mu.Lock()
			switch {
			case ctx.Err() != nil:
			case err == nil:
				accepted[id] = begun
				count++
				if !refusedSince.IsZero() {
					longest = max(longest, time.Since(refusedSince))
				}
				refusedSince = time.Time{}
			default:
				last = err
				if refusedSince.IsZero() {
					refusedSince = begun
				}
			}
			mu.Unlock()
			pauseFor(ctx, 50*time.Millisecond)
		}
	})
	for range 2 {
		work.Go(func() {
			c := client("SFR01")
			for ctx.Err() == nil {
				m, err := c.PollRequest(ctx, party.Selector{Wait: time.Second})
				if err != nil || m == nil {
					pauseFor(ctx, 50*time.Millisecond)
					continue
				}
				mu.Lock()
				if begun, ok := accepted[m.Metadata.MessageID]; ok && !struck.IsZero() && begun.After(struck) && delivered.IsZero() {
					delivered = time.Now()
				}
				mu.Unlock()
				if err := c.Ack(ctx, m.Metadata.MessageID, true); err != nil && ctx.Err() == nil {
					var fault *party.FaultError
					if !errors.As(err, &fault) {
						continue // handed out again after its lease
					}
				}
			}
		})
	}
	p.await("messages are accepted before "+what, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return count >= 5 || p.refusing && !refusedSince.IsZero()
	})
	do()
	mu.Lock()
	struck, count = time.Now(), 0
	from := struck
	if p.refusing {
		refusedSince = from
	}
	mu.Unlock()
	placed, _ := p.ask("SELECT size FROM journal_head")
	p.await("after "+what+": accepted, delivered and signed", func() bool {
		signed, ok := p.ask("SELECT max(size) FROM journal_checkpoint")
		mu.Lock()
		defer mu.Unlock()
		return ok && signed > placed && !delivered.IsZero() && refusedSince.IsZero() && count >= 5
	})
	mu.Lock()
	defer mu.Unlock()
	p.t.Logf("%s: calls were refused for %s at the longest (%v), delivery went on after %s", what, longest.Round(10*time.Millisecond), last, delivered.Sub(from).Round(10*time.Millisecond))
	if longest > busy*acceptsWithin {
		p.t.Errorf("%s: calls were refused for %s: %v", what, longest, last)
	}
	if d := delivered.Sub(from); d > busy*deliversWithin {
		p.t.Errorf("%s: nothing was delivered for %s", what, d)
	}
}

// pauseFor waits, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
