package adapter

import (
	"context"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
)

func hexDigest(sum [32]byte) string {
	var text [2 * len(sum)]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// rates hold each party to its calls per second.
type rates struct {
	config LimitsConfig
	mu     sync.Mutex
	party  map[Mnemonic]*rate.Limiter
	over   map[overRate]int // calls refused since the last summary
}

// overRate is what calls of a party are refused for and only counted: for too many
// calls, or by our own failure while the journal cannot be written. Reports hold
// services to what is promised, so it says which call it was, as far as that is known.
type overRate struct {
	party            Mnemonic
	why              reason
	operation        string
	service, version string
	recipient        string
	test             bool
}

// overRateOf is what a call of a party is counted under.
func overRateOf(c *call, why reason) overRate {
	ev := &c.event
	return overRate{c.party.Mnemonic, why, ev.Operation, ev.Service, ev.Version, ev.Recipient, ev.Test}
}

// refuse counts a refused call that gets no entry of its own.
func (r *rates) refuse(c *call, why reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(overRateOf(c, why), 1)
}

// admit takes one call of the party's allowance. Calls over it are counted, and
// journalled in summary: a flood must not become a flood of journal entries.
func (r *rates) admit(p *registry.Party, now time.Time) error {
	per, burst := r.allowance(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.party[p.Mnemonic]
	if one == nil {
		if r.party == nil {
			r.party = map[Mnemonic]*rate.Limiter{}
		}
		one = rate.NewLimiter(rate.Limit(per), burst)
		r.party[p.Mnemonic] = one
	}
	if float64(one.Limit()) != per || one.Burst() != burst { // changed by a reload
		one.SetLimitAt(now, rate.Limit(per))
		one.SetBurstAt(now, burst)
	}
	if one.AllowN(now, 1) {
		return nil
	}
	r.count(overRate{party: p.Mnemonic, why: "rate"}, 1)
	return &refusal{reason: "rate", retryAfter: time.Second}
}

// count counts refused calls. Call it with mu held.
func (r *rates) count(what overRate, n int) {
	if r.over == nil {
		r.over = map[overRate]int{}
	}
	r.over[what] += n
}

// take gives the calls refused since the last time.
func (r *rates) take() map[overRate]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.over
	r.over = nil
	return out
}

// strangers counts callers that could not be proved to be a party, holds each to
// a rate, and keeps some of what they sent, so that a partner who is just being
// connected can be helped. Each has an account: his address, or the party that he
// seems to be, which may share its address with others.
type strangers struct {
	config LimitsConfig
	now    func() time.Time
	mu     sync.Mutex
	rates  map[string]*rate.Limiter // by account
	counts map[reason]int
	kept   map[string]int // calls kept in this minute, by whose they seem to be; empty: nobody's
	room   int            // bytes that may still be kept in it
	minute time.Time
}

// maxAccounts bounds the memory that strangers can take; past it the table is
// begun anew.
const maxAccounts = 10_000

func newStrangers(c LimitsConfig, now func() time.Time) *strangers {
	return &strangers{config: c, now: now, rates: map[string]*rate.Limiter{}, counts: map[reason]int{}, kept: map[string]int{}}
}

// admit takes one refused call of an account's allowance.
func (s *strangers) admit(account string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.rates[account]
	if l == nil {
		if len(s.rates) >= maxAccounts {
			clear(s.rates)
		}
		l = rate.NewLimiter(rate.Limit(s.config.Strangers), max(int(4*s.config.Strangers), 1))
		s.rates[account] = l
	}
	if !l.AllowN(s.now(), 1) {
		return &refusal{reason: "rate", retryAfter: 10 * time.Second}
	}
	return nil
}

// count says whether a refused call is to be kept, and at most how many of its bytes;
// one that is not is counted for the summary, so that each is told once. What seems
// to be a party's is kept beside what is nobody's; anybody can seem to be a party, so
// all of them share the bytes of a minute, and each leaves three quarters of what is
// left to the next.
func (s *strangers) count(why reason, seems string) (most int, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.minute) >= time.Minute || now.Before(s.minute) {
		s.minute = now
		clear(s.kept)
		s.room = s.config.KeptPerMin * int(s.config.Kept)
	}
	if why == "rate" || why == "no-room" || s.kept[seems] >= s.config.KeptPerMin {
		s.counts[why]++
		return 0, false
	}
	s.kept[seems]++
	return min(int(s.config.Kept), s.room/4), true
}

// took notes that bytes of a stranger are kept.
func (s *strangers) took(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room -= n
}

// take gives the counts since the last time.
func (s *strangers) take() map[reason]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.counts
	s.counts = map[reason]int{}
	return out
}

// summarise puts into the journal, once a minute, what is too much to put there
// call by call, or could not be put there. What could not be written is written with the next summary.
func (g *Gateway) summarise(ctx context.Context) error {
	for sleep(ctx, g.config.Times.Summary.D()) {
		if err := g.writeSummary(ctx); err != nil {
			return err
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return g.writeSummary(last)
}

func (g *Gateway) writeSummary(ctx context.Context) error {
	now := g.now().UTC()
	var events []journal.Event
	unknown := g.strangers.take()
	for why, n := range unknown {
		events = append(events, journal.Event{Kind: journal.KindStrangers, Time: now, Node: g.config.Node, Rule: string(why), Outcome: string(table[why].fault), Count: n})
	}
	over := g.rates.take()
	for what, n := range over {
		events = append(events, journal.Event{Kind: journal.KindRefused, Time: now, Node: g.config.Node, Sender: string(what.party), Recipient: what.recipient, Operation: what.operation, Service: what.service, Version: what.version, Test: what.test, Rule: string(what.why), Outcome: string(table[what.why].fault), Count: n})
	}
	if len(events) == 0 {
		return nil
	}
	err := g.store.Record(ctx, events...)
	if err != nil {
		g.strangers.giveBack(unknown)
		g.rates.giveBack(over)
	}
	return err
}

func (s *strangers) giveBack(counts map[reason]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for why, n := range counts {
		s.counts[why] += n
	}
}

func (r *rates) giveBack(over map[overRate]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, n := range over {
		r.count(what, n)
	}
}

// depths is what was last seen of the queues, with what this node has accepted
// since added. It is good enough to refuse before a queue grows without end.
type depths struct {
	mu      sync.Mutex
	seen    map[Queue]Depth
	held    map[Queue]int // messages in each and on their way there, when it was looked
	since   map[Queue]int
	lanes   map[part]int // messages, with those accepted since
	senders map[part]int
	most    map[string]float64 // the fullest share since the last look, by whose it is
}

// part is what of a queue is one service's, or one sender's.
type part struct {
	queue Queue
	of    string
}

// full reports whether one more message would go over the limit.
func (d *depths) full(q Queue, limit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[q]+d.since[q] >= limit
}

// laneFull reports whether one more message of a service would go over its limit.
func (d *depths) laneFull(q Queue, service string, limit int) bool {
	return d.fullOf(ofLane, &d.lanes, part{q, service}, limit)
}

// senderFull reports whether one more message of a sender would go over his.
func (d *depths) senderFull(q Queue, sender Mnemonic, limit int) bool {
	return d.fullOf(ofSender, &d.senders, part{q, string(sender)}, limit)
}

func (d *depths) fullOf(whose string, counts *map[part]int, p part, limit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := (*counts)[p]
	if d.most == nil {
		d.most = map[string]float64{}
	}
	d.most[whose] = max(d.most[whose], float64(min(n, limit))/float64(limit))
	return n >= limit
}

// fullest gives the fullest share that was asked for since the last time, from 0 to 1.
func (d *depths) fullest(whose string) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.most[whose]
	delete(d.most, whose)
	return full
}

func (d *depths) add(m *Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil {
		d.since, d.lanes, d.senders = map[Queue]int{}, map[part]int{}, map[part]int{}
	}
	for _, q := range m.Recipients {
		d.since[q]++
		d.lanes[part{q, m.Service}]++
		d.senders[part{q, string(m.Sender)}]++
	}
}

func (d *depths) set(list []Depth, lanes []Lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lanes, d.senders, d.held = map[part]int{}, map[part]int{}, map[Queue]int{}
	for _, one := range lanes {
		n := one.Messages + one.Coming // what the bus has not taken will stand there when it does
		d.held[one.Queue] += n
		d.lanes[part{one.Queue, one.Service}] += n
		d.senders[part{one.Queue, string(one.Sender)}] += n
	}
	d.seen, d.since = make(map[Queue]Depth, len(list)), map[Queue]int{}
	for _, one := range list {
		d.seen[one.Queue] = one
	}
}

// of lists the queues of one system.
func (d *depths) of(m Mnemonic) []Depth {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Depth
	for q, one := range d.seen {
		if q.System == m {
			out = append(out, one)
		}
	}
	return out
}

// watchDepths looks at the queues every few seconds; less often when they have so
// many messages that counting them takes long.
func (g *Gateway) watchDepths(ctx context.Context) error {
	for {
		began := time.Now()
		list, err := g.store.Depths(ctx)
		if err != nil {
			return err
		}
		lanes, err := g.store.Lanes(ctx)
		took := time.Since(began)
		if err != nil {
			return err
		}
		g.depth.set(list, lanes)
		g.metrics.depths(list, lanes, g.now())
		for _, whose := range []string{ofParty, ofService} {
			g.metrics.shares.WithLabelValues(whose).Set(g.places.fullest(whose))
		}
		for _, whose := range []string{ofLane, ofSender} {
			g.metrics.shares.WithLabelValues(whose).Set(g.depth.fullest(whose))
		}
		if !sleep(ctx, max(g.config.Times.Depths.D(), 20*took)) {
			return nil
		}
	}
}

// PollOf is who asks for requests, and of which service; empty: of any.
type PollOf struct {
	Party   Mnemonic
	Service string
}

// polls remembers who has asked this node for requests, and when last: how many there
// may be is bounded by the registry.
type polls struct{ of sync.Map } // PollOf -> *atomic.Int64, milliseconds; 0: it was taken

// notePoll remembers that a party has asked for requests.
func (g *Gateway) notePoll(c *call, ask *envelopes.PollCall) {
	if ask.Operation != envelopes.GetRequest {
		return
	}
	of := PollOf{Party: c.party.Mnemonic}
	if ask.Selects() {
		of.Service = c.catalog.ByRoot(QName(ask.Root)).Name // selected has found it
	}
	last, ok := g.polls.of.Load(of)
	if !ok {
		last, _ = g.polls.of.LoadOrStore(of, new(atomic.Int64))
	}
	last.(*atomic.Int64).Store(c.started.UnixMilli())
}

// TakePolls tells who has asked this node for requests since it was last called, and
// when last.
func (g *Gateway) TakePolls() map[PollOf]time.Time {
	out := map[PollOf]time.Time{}
	g.polls.of.Range(func(of, last any) bool {
		if at := last.(*atomic.Int64).Swap(0); at != 0 {
			out[of.(PollOf)] = time.UnixMilli(at).UTC()
		}
		return true
	})
	return out
}
