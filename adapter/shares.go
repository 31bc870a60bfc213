package adapter

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"mezhved/adapter/registry"
)

// places are the places of calls at work, limits.concurrent of them. One party can hold
// a share of them, and so can the requests of one service: who sends or asks ever so much
// leaves room for the others, here and in the store, where each call at work has one
// connection at most. A share is known when its holder is proved; until then a call has a
// place and no more, and is worked on for as long as proving takes.
type places struct {
	all chan struct{}

	mu     sync.Mutex
	held   map[holder]int
	wanted map[holder][]*turn // those who wait for a place of the share, in their order
	loses  bool               // lose will come: a timer of its own for each who waits would be half of what waiting costs
	most   map[string]float64 // the fullest share since the last look, by whose it is
}

// holder is a party, or a service.
type holder struct{ of, name string }

// turn is of who waits for a place of a share of which there are so many.
type turn struct {
	most  int
	since time.Time
	came  chan bool // has room for one: whether it was given a place, or has waited for too long
}

// placePatience is how long a call waits for a place. It is short: whoever does not get
// in is told when to come again.
const placePatience = 2 * time.Second

func newPlaces(n int) *places {
	return &places{all: make(chan struct{}, n), held: map[holder]int{}, wanted: map[holder][]*turn{}, most: map[string]float64{}}
}

var errNoPlace = errors.New("too many calls at work")

// take waits for a place among all.
func (p *places) take(ctx context.Context) error {
	select {
	case p.all <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(placePatience)
	defer t.Stop()
	select {
	case p.all <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-t.C:
		return &refusal{reason: "unavailable", retryAfter: placePatience, cause: errNoPlace}
	}
}

// again takes a place for who had one before, and waits for as long as it has to.
func (p *places) again() { p.all <- struct{}{} }

func (p *places) give() { <-p.all }

// enter takes a place of a holder's share, most of which there are. Who waits for one
// leaves its place among all to others meanwhile.
func (p *places) enter(ctx context.Context, h holder, most int) error {
	p.mu.Lock()
	p.most[h.of] = max(p.most[h.of], math.Min(float64(p.held[h]+1)/float64(most), 1))
	if p.held[h] < most {
		p.held[h]++
		p.mu.Unlock()
		return nil
	}
	t := &turn{most, time.Now(), make(chan bool, 1)}
	p.wanted[h] = append(p.wanted[h], t)
	if !p.loses {
		p.loses = true
		time.AfterFunc(placePatience, p.lose)
	}
	p.mu.Unlock()
	p.give()
	defer p.again()
	given := false
	select {
	case given = <-t.came:
	case <-ctx.Done():
		if p.quit(h, t) {
			return ctx.Err()
		}
		given = <-t.came
	}
	if !given {
		return errNoPlace
	}
	return nil
}

// quit takes who waits out of its line, and reports whether it stood there: if not, it was
// told just now.
func (p *places) quit(h holder, t *turn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.wanted[h], t)
	if i < 0 {
		return false
	}
	p.waitFor(h, slices.Delete(p.wanted[h], i, i+1))
	return true
}

// lose tells those who have waited for too long, and comes again while somebody waits.
func (p *places) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	left := placePatience
	for h, line := range p.wanted {
		for len(line) > 0 && now.Sub(line[0].since) >= placePatience {
			line[0].came <- false
			line = line[1:]
		}
		if p.waitFor(h, line); len(line) > 0 {
			left = min(left, placePatience-now.Sub(line[0].since))
		}
	}
	if p.loses = len(p.wanted) > 0; p.loses {
		time.AfterFunc(left, p.lose)
	}
}

// waitFor is who waits for a place of a share now. It is called with the lock held.
func (p *places) waitFor(h holder, line []*turn) {
	if p.wanted[h] = line; len(line) == 0 {
		delete(p.wanted, h)
	}
}

// leave gives places of shares back, to who waits longest for them: but not while more are
// held than there are, by those who have taken theirs again or since a reload.
func (p *places) leave(shares []holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range shares {
		p.held[h]--
		if next := p.wanted[h]; len(next) > 0 && p.held[h] < next[0].most {
			p.held[h]++
			next[0].came <- true
			p.waitFor(h, next[1:])
		}
		if p.held[h] == 0 {
			delete(p.held, h)
		}
	}
}

// back takes them again for who had them before.
func (p *places) back(shares []holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range shares {
		p.held[h]++
	}
}

// fullest gives the fullest share since the last time, from 0 to 1.
func (p *places) fullest(of string) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := p.most[of]
	delete(p.most, of)
	return full
}

// leave gives the places of a call to others, for as long as it waits or for good.
func (c *call) leave() {
	c.g.places.leave(c.shares)
	c.g.places.give()
}

// back takes them again.
func (c *call) back() {
	c.g.places.again()
	c.g.places.back(c.shares)
}

// Whose shares there are.
const (
	ofParty   = "party"
	ofService = "service"
	ofLane    = "lane"
	ofSender  = "sender"
)

// sharePlaces has a call take its place of its party's share.
func (g *Gateway) sharePlaces(ctx context.Context, c *call) error {
	most := g.limits().PerParty
	if c.party.Concurrent > 0 {
		most = c.party.Concurrent
	}
	return c.enter(ctx, holder{ofParty, string(c.party.Mnemonic)}, most)
}

// placed has a request take its place of its service's share.
func (g *Gateway) placed(ctx context.Context, c *call, s *registry.Service) error {
	most := g.limits().PerService
	if s.Concurrent > 0 {
		most = s.Concurrent
	}
	return c.enter(ctx, holder{ofService, s.Name}, most)
}

func (c *call) enter(ctx context.Context, h holder, most int) error {
	switch err := c.g.places.enter(ctx, h, most); {
	case errors.Is(err, errNoPlace):
		return overShare(h, most)
	case err != nil:
		return unavailable(err)
	}
	c.shares = append(c.shares, h)
	return nil
}

// overShare refuses a call that has not got a place of a holder's share.
func overShare(h holder, most int) *refusal {
	if h.of == ofService {
		return &refusal{reason: "service-share", args: []any{h.name, most}, retryAfter: placePatience}
	}
	return &refusal{reason: "party-share", args: []any{most}, retryAfter: placePatience}
}
