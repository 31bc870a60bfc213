package adapter

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// pacer holds the door back when what was accepted is not passed on in time: the
// bus, the intake or the journal is slower than the senders. With limits.wait every
// party may send requests up to one level, which is lowered until the oldest of what
// waits is younger than half of that time, and raised again after. Who sends less
// than the level feels nothing. Answers are never held back: they end exchanges.
//
// What the bus does not take while it takes the rest (Apart), for a topic that cannot be made or
// a partition that nobody leads, holds back those alone who send it more: the queue has a
// level of its own, and the age of what waits there counts for no other.
//
// Without limits.wait an outage of the bus fills the outbox, and nobody is refused.
type pacer struct {
	bound   atomic.Int64 // limits.wait; 0: nobody is held back
	mu      sync.Mutex
	level   float64          // requests a second of one party; +Inf: any
	asked   map[Mnemonic]int // requests since the last look
	passed  int              // of them those that passed
	parties map[Mnemonic]*rate.Limiter
	looked  time.Duration // tick
	age     time.Duration // of the oldest thing that waited then
	past    []let         // what passed, from before that thing
	out     float64       // how many requests a second get on, about
}

// let is how many requests a second passed until a tick.
type let struct {
	until     time.Duration
	perSecond float64
}

func newPacer(bound time.Duration) *pacer {
	p := &pacer{level: math.Inf(1), asked: map[Mnemonic]int{}, parties: map[Mnemonic]*rate.Limiter{}}
	p.bound.Store(int64(bound))
	return p
}

// reconfigure changes the bound. Without one nobody is held back from now on.
func (p *pacer) reconfigure(bound time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bound.Store(int64(bound)); bound == 0 {
		p.level = math.Inf(1)
		clear(p.parties)
	}
}

// admit takes a request of a party's share.
func (p *pacer) admit(m Mnemonic, now time.Time) error {
	if p.bound.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[m]++
	if !math.IsInf(p.level, 1) {
		one := p.parties[m]
		if one == nil {
			one = rate.NewLimiter(rate.Limit(p.level), burst(p.level))
			p.parties[m] = one
		}
		if !one.AllowN(now, 1) {
			wait := time.Duration(float64(time.Second) / p.level)
			return &refusal{reason: "pace", retryAfter: min(max(wait, time.Second), time.Minute)}
		}
	}
	p.passed++
	return nil
}

// paced takes a request of its sender's share.
func (g *Gateway) paced(c *call) error { return g.pace.admit(c.party.Mnemonic, c.started) }

// pacedTo takes a request of its sender's share in a queue, where that waits apart.
func (g *Gateway) pacedTo(c *call, q Queue) error {
	apart := g.apart.Load()
	if apart == nil || g.pace.bound.Load() == 0 {
		return nil
	}
	if p := (*apart)[q]; p != nil {
		return p.admit(c.party.Mnemonic, c.started)
	}
	return nil
}

// setPace sets the levels by what was seen of what waits.
func (g *Gateway) setPace(seen Standing) {
	age := seen.Rest
	for _, o := range seen.Oldest {
		if o.Station == StationBus || o.Station == StationJournal {
			age = max(age, o.Age)
		}
	}
	was, level := g.pace.look(age, g.ticks(), g.now())
	g.metrics.pace.Set(min(level, g.setApart(seen.Apart)))
	switch free := math.IsInf(level, 1); {
	case free && !math.IsInf(was, 1):
		g.log.Info("parties may send as they like again")
	case !free && math.IsInf(was, 1):
		g.log.Warn("what was accepted waits too long: parties are told to send fewer requests", "waits", age.Round(time.Millisecond), "each may send a second", level)
	}
}

// setApart sets the levels of the queues that wait apart, and gives the lowest one.
func (g *Gateway) setApart(queues []Apart) (lowest float64) {
	lowest = math.Inf(1)
	bound, tick := g.pace.bound.Load(), g.ticks()
	if bound == 0 {
		queues = nil
	}
	var before, now map[Queue]*pacer
	if m := g.apart.Load(); m != nil {
		before = *m
	}
	var begun, ended []Queue
	for _, one := range queues {
		if now == nil {
			now = map[Queue]*pacer{}
		}
		p := before[one.Queue]
		if p == nil { // how much is asked of it is not known yet
			p = newPacer(time.Duration(bound))
			p.looked, p.age = tick, one.Age
			now[one.Queue] = p
			continue
		}
		p.bound.Store(bound)
		now[one.Queue] = p
		was, level := p.look(one.Age, tick, g.now())
		lowest = min(lowest, level)
		switch free := math.IsInf(level, 1); {
		case free && !math.IsInf(was, 1):
			ended = append(ended, one.Queue)
		case !free && math.IsInf(was, 1):
			begun = append(begun, one.Queue)
		}
	}
	for q, p := range before {
		if now[q] == nil && p.holds() {
			ended = append(ended, q)
		}
	}
	held := &now
	if len(now) == 0 {
		held = nil
	}
	g.apart.Store(held)
	if len(begun) > 0 {
		g.log.Warn("what was accepted for some queues waits too long while others get on: parties are told to send them fewer requests", "queues", queueNames(begun))
	}
	if len(ended) > 0 {
		g.log.Info("parties may send to queues that waited as they like again", "queues", queueNames(ended))
	}
	return lowest
}

// holds says whether somebody is held back.
func (p *pacer) holds() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !math.IsInf(p.level, 1)
}

// mostQueues is how many queues a line of the log names.
const mostQueues = 20

// queueNames are some of many queues, for a line of the log.
func queueNames(queues []Queue) (names []string) {
	for _, q := range queues {
		names = append(names, string(q.System)+" "+string(q.Kind))
	}
	slices.SortFunc(names, strings.Compare)
	names = slices.Compact(names)
	return names[:min(len(names), mostQueues)]
}

func burst(level float64) int { return max(int(level), 1) }

// slowest is the fewest requests a second that all parties together may send:
// somebody has to, or nobody would find out that things get on again.
const slowest = 1

// look sets the level by the age of the oldest thing that waits, and says what it was.
func (p *pacer) look(age, tick time.Duration, now time.Time) (was, level float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bound.Load() == 0 {
		return p.level, p.level
	}
	passed := (tick - p.looked).Seconds()
	if passed <= 0 {
		return p.level, p.level
	}
	var asked []float64
	total := 0.0
	for _, n := range p.asked {
		asked = append(asked, float64(n)/passed)
		total += float64(n) / passed
	}
	p.getsOn(age, tick, passed)
	was = p.level
	clear(p.asked)
	p.passed, p.looked, p.age = 0, tick, age
	half := time.Duration(p.bound.Load()) / 2
	if age <= half && math.IsInf(was, 1) {
		return was, was
	}
	// At half of the bound as much may come as gets on; the later it is the less.
	most := p.out * min(max(2-float64(age)/float64(half), 0.1), 1.5)
	if p.level = max(share(asked, max(most, slowest)), 1/60.0); age <= half/2 && most >= total {
		p.level = math.Inf(1)
	}
	if math.IsInf(p.level, 1) {
		clear(p.parties)
	}
	for _, one := range p.parties {
		one.SetLimitAt(now, rate.Limit(p.level))
		one.SetBurstAt(now, burst(p.level))
	}
	return was, p.level
}

// getsOn finds out how many requests a second get on. What waits longest now came
// when as many passed as the past knows; if it waits no longer than what did at the
// last look, as many get on; if it is as much older as time has passed, none do.
func (p *pacer) getsOn(age, tick time.Duration, passed float64) {
	p.past = append(p.past, let{tick, float64(p.passed) / passed})
	for len(p.past) > 1 && (p.past[1].until < tick-age || len(p.past) > 10_000) {
		p.past = p.past[1:]
	}
	on := p.past[0].perSecond * max(1-(age-p.age).Seconds()/passed, 0)
	p.out += (on - p.out) * 0.3 // one look sees little
}

// share is the level to which each may go so that all together get no more than
// most: who asks for less leaves the rest to the others.
func share(asked []float64, most float64) float64 {
	slices.Sort(asked)
	for i, a := range asked {
		each := most / float64(len(asked)-i)
		if a > each {
			return each
		}
		most -= a
	}
	return most
}
