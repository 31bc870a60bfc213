package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// trade is one kind of exchange under the load.
type trade struct {
	from, to         string
	version          envelopes.Version
	service, release string
	broadcast        []string // who gets it; nobody answers
}

var trades = []trade{
	{from: "MFC01", to: "SFR01", version: envelopes.V12, service: "family-benefits", release: "1.0.0"},
	{from: "PRIMERSK", to: "ROSREESTR", version: envelopes.V12, service: "egrn-extract", release: "1.1.0"},
	{from: "MFC01", to: "PRIMERSK", version: envelopes.V13, service: "advertising-permit", release: "1.0.0"},
	{from: "FNS01", version: envelopes.V11, service: "register-notice", release: "1.0.0", broadcast: []string{"MFC01", "PRIMERSK"}},
}

// sent is what a sender keeps of one message: it was accepted when the gateway
// has said so, at whichever attempt.
type sent struct {
	recipients []string
	answers    string // MessageID of the request, for answers
	broadcast  bool
	attempts   int
	accepted   bool
	since      time.Time // when it was begun
	round      int       // of the ledger, when it was begun
	givenUp    bool      // it counts as lost
	trade      *trade    // of a request
}

// taken is what a recipient keeps of one message.
type taken struct {
	times     int       // handed out
	asked     int       // acks sent
	confirmed int       // acks that the gateway has confirmed
	closed    time.Time // when the first confirmation, or "not awaiting", was read
}

// inbox names one message of one recipient.
type inbox struct{ id, system string }

// ledger is everything that the parties have written down. It is all that the
// proofs take from this side: nothing in it comes from the gateway's own stores.
type ledger struct {
	mu         sync.Mutex
	sent       map[string]*sent
	taken      map[inbox]*taken
	replies    map[string]string // MessageID of the answer, by that of the request
	violations []violation
	round      int // what is begun now belongs to it
	routings   int // how often a message may have been routed: twice beside a release that leads by locks of sessions

	watches  []*watch
	accepted atomic.Int64 // messages
	repeated atomic.Int64 // calls that had to be made again
	begun    atomic.Int64 // exchanges whose request was accepted
	finished atomic.Int64 // exchanges that have come to their end
}

func newLedger() *ledger {
	return &ledger{sent: map[string]*sent{}, taken: map[inbox]*taken{}, replies: map[string]string{}, routings: 1}
}

// violation is what must never happen.
type violation struct {
	round int
	text  string
}

func (l *ledger) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, violation{l.round, fmt.Sprintf(format, args...)})
}

// watch sees what becomes of messages that are begun after a moment.
type watch struct {
	since     time.Time
	accepted  time.Time // the first of them
	delivered time.Time // the first of them, to somebody
	ended     int       // exchanges
}

// watch begins to watch, and forgets all that has been watched before keep.
func (l *ledger) watch(keep ...*watch) *watch {
	w := &watch{since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches = append(slices.Clone(keep), w)
	return w
}

// seen is what a watch has seen until now.
func (l *ledger) seen(w *watch) watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *w
}

// tell tells the watches of a message; l.mu is held.
func (l *ledger) tell(s *sent, of func(*watch)) {
	if s == nil {
		return
	}
	for _, w := range l.watches {
		if s.since.After(w.since) {
			of(w)
		}
	}
}

func first(t *time.Time) {
	if t.IsZero() {
		*t = time.Now()
	}
}

// open lists the accepted messages that a recipient has not been seen to be
// done with.
func (l *ledger) open(system string) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.sent {
		if !s.accepted || !slices.Contains(s.recipients, system) {
			continue
		}
		if t := l.taken[inbox{id, system}]; t == nil || t.closed.IsZero() {
			ids = append(ids, id)
		}
	}
	return ids
}

// ended counts an exchange that has come to its end.
func (l *ledger) ended(request string) {
	l.finished.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(l.sent[request], func(w *watch) { w.ended++ })
}

// unsure counts messages that were sent and not yet answered for.
func (l *ledger) unsure() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sent {
		if !s.accepted {
			n++
		}
	}
	return n
}

// load is parties at work against gateway nodes that come and go.
type load struct {
	*ledger
	play     *play
	store    *party.FileStore // of files that messages refer to; nil: none do
	http     *http.Client
	nodes    *balance
	paused   atomic.Bool // nobody begins an exchange
	dark     atomic.Bool // the database is down: nothing may be accepted
	calm     atomic.Bool // nothing is killed any more: every ack is repeated until it is answered
	sending  sync.WaitGroup
	taking   sync.WaitGroup
	noMore   chan struct{} // closed: senders finish what they have begun
	leave    context.CancelFunc
	ctx      context.Context
	absent   sync.Map // systems whose requests nobody takes at the moment
	unasked  sync.Map // systems that nobody sends new requests to
	slow     int64
	throttle atomic.Int64 // exchanges that may be under way at once
	receipts string       // a folder in which the bus's signed answers are kept; empty: none are
}

// pause between two attempts of a party that was told to come again.
const pause = 50 * time.Millisecond

// loadOptions say how hard the parties work and where.
type loadOptions struct {
	nodes    []string // base addresses of the gateway
	senders  int
	takers   int           // of each queue
	slow     int64         // exchanges under way from which on senders take their time; 0: they never do
	throttle int64         // exchanges that may be under way at once
	timeout  time.Duration // of a call
	receipts string        // where the bus's signed answers are kept; empty: nowhere
	ledger   *ledger       // to go on with; nil: a new one
}

func startLoad(ctx context.Context, p *play, o loadOptions) *load {
	if o.ledger == nil {
		o.ledger = newLedger()
	}
	l := &load{ledger: o.ledger, play: p, noMore: make(chan struct{}), slow: o.slow, nodes: newBalance(o.nodes), receipts: o.receipts}
	l.throttle.Store(o.throttle)
	l.http = &http.Client{Timeout: o.timeout, Transport: l.nodes}
	l.ctx, l.leave = context.WithCancel(ctx)
	for i := range o.senders {
		l.sending.Go(func() { l.send(i) })
	}
	for range o.takers {
		for _, system := range []string{"SFR01", "ROSREESTR", "PRIMERSK", "MFC01"} {
			l.taking.Go(func() { l.take(system, envelopes.GetRequest) })
		}
		for _, system := range []string{"MFC01", "PRIMERSK"} {
			l.taking.Go(func() { l.take(system, envelopes.GetResponse) })
		}
	}
	return l
}

// client speaks for a system with the node whose turn it is.
func (l *load) client(system string, v envelopes.Version) *party.Client {
	c := l.play.client(system, v)
	c.URL = l.nodes.next() + strings.TrimPrefix(c.URL, l.play.base)
	c.HTTP, c.Attempts = l.http, 1 // we do the repeating, to see every outcome
	return c
}

// balance shares the calls out to the nodes, as whatever stands before them
// does: one that did not answer is left alone for a while.
type balance struct {
	http.Transport
	bases []string
	turn  atomic.Int64

	mu       sync.Mutex
	resting  map[string]time.Time // until when, by host
	answered map[string]time.Time // when the last call began that the host answered well
}

func newBalance(bases []string) *balance {
	return &balance{Transport: http.Transport{MaxIdleConnsPerHost: 64}, bases: bases, resting: map[string]time.Time{}, answered: map[string]time.Time{}}
}

// next is the base address of the node whose turn it is.
func (b *balance) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for range b.bases {
		base := b.bases[int(b.turn.Add(1))%len(b.bases)]
		if now.After(b.resting[strings.TrimPrefix(base, "http://")]) {
			return base
		}
	}
	return b.bases[int(b.turn.Load())%len(b.bases)]
}

// RoundTrip notes which nodes answer.
func (b *balance) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := b.Transport.RoundTrip(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil && len(b.bases) > 1:
		b.resting[r.URL.Host] = time.Now().Add(time.Second)
	case err == nil && resp.StatusCode == http.StatusOK:
		delete(b.resting, r.URL.Host)
		if began.After(b.answered[r.URL.Host]) {
			b.answered[r.URL.Host] = began
		}
	}
	return resp, err
}

// all tells whether every node has answered a call well that began after a moment.
func (b *balance) all(since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, base := range b.bases {
		if !b.answered[strings.TrimPrefix(base, "http://")].After(since) {
			return false
		}
	}
	return true
}

func (l *load) sleep() {
	select {
	case <-l.ctx.Done():
	case <-time.After(pause):
	}
}

// verdict sorts what became of a call.
type verdict int

const (
	done    verdict = iota
	again           // refused for now, or unknown: the same call is to be repeated
	refused         // refused for good
	over            // the test is over
)

func (l *load) judge(err error) verdict {
	var fault *party.FaultError
	switch {
	case err == nil:
		return done
	case l.ctx.Err() != nil:
		return over
	case errors.As(err, &fault) && !fault.Retry():
		return refused
	}
	l.repeated.Add(1)
	return again
}

// deliver sends one message until the gateway has said that it has it.
func (l *load) deliver(id string, s *sent, attempt func() error) {
	l.mu.Lock()
	s.since, s.round = time.Now(), l.round
	l.sent[id] = s
	l.mu.Unlock()
	for {
		dark := l.dark.Load()
		l.mu.Lock()
		s.attempts++
		l.mu.Unlock()
		err := attempt()
		switch l.judge(err) {
		case over:
			return
		case again:
			l.sleep()
			continue
		case refused:
			var fault *party.FaultError
			if errors.As(err, &fault); fault.Fault.Kind != envelopes.MessageIsAlreadySent || s.attempts == 1 {
				l.violated("message %s, attempt %d: %v", id, s.attempts, err)
				return
			}
		}
		if dark && l.dark.Load() {
			l.violated("message %s was accepted while the database was down", id)
		}
		l.mu.Lock()
		s.accepted = true
		l.tell(s, func(w *watch) { first(&w.accepted) })
		l.mu.Unlock()
		l.accepted.Add(1)
		return
	}
}

// send is one sender: it begins an exchange when not too many are under way.
func (l *load) send(n int) {
	for i := n; l.ctx.Err() == nil; i++ {
		select {
		case <-l.noMore:
			return
		default:
		}
		under := l.begun.Load() - l.finished.Load()
		if l.paused.Load() || under > l.throttle.Load() {
			l.sleep()
			continue
		}
		if l.slow > 0 && under > l.slow { // recipients do not keep up, or the bus is away
			select {
			case <-l.ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
		tr := &trades[i%len(trades)]
		if _, skip := l.unasked.Load(tr.to); skip {
			continue
		}
		s := l.request(party.NewMessageID(time.Now()), tr)
		if s.accepted { // else it was refused for good, which is a violation and no exchange
			l.begun.Add(1)
		}
	}
}

// request sends a request until it is accepted.
func (l *load) request(id string, tr *trade) *sent {
	s := &sent{recipients: tr.broadcast, broadcast: tr.broadcast != nil, trade: tr}
	if !s.broadcast {
		s.recipients = []string{tr.to}
	}
	content := sample(tr.service, tr.release, "request")
	l.deliver(id, s, func() error {
		r, err := l.client(tr.from, tr.version).SendRequest(l.ctx, party.Request{MessageID: id, Content: content})
		return l.keep(r, err)
	})
	return s
}

// keep keeps the bus's signed answer, as a party does that may have to show it.
func (l *load) keep(r *party.Receipt, err error) error {
	if err == nil && l.receipts != "" && len(r.XML) > 0 {
		if err := os.WriteFile(filepath.Join(l.receipts, r.MessageID+".xml"), r.XML, 0o644); err != nil {
			l.violated("a receipt cannot be kept: %v", err)
		}
	}
	return err
}

// take is one recipient's loop over one of its queues: what comes is answered,
// if it is a request, and acknowledged.
func (l *load) take(system string, op envelopes.Operation) {
	for l.ctx.Err() == nil {
		if _, away := l.absent.Load(system); away && op == envelopes.GetRequest {
			l.sleep()
			continue
		}
		c := l.client(system, envelopes.V12)
		poll := c.PollResponse
		if op == envelopes.GetRequest {
			poll = c.PollRequest
		}
		asked := time.Now()
		m, err := poll(l.ctx, party.Selector{Wait: time.Second})
		switch l.judge(err) {
		case over:
			return
		case again:
			l.sleep()
			continue
		case refused:
			l.violated("%s polls: %v", system, err)
			l.sleep()
			continue
		}
		if m == nil {
			l.sleep()
			continue
		}
		l.receive(system, m, asked)
	}
}

// receive writes a delivery down and does what a good recipient does: it works
// once for a message, however often it comes, and then acknowledges.
func (l *load) receive(system string, m *party.Message, asked time.Time) {
	id := m.Metadata.MessageID
	key := inbox{id, system}
	l.mu.Lock()
	known := l.sent[id]
	t := l.taken[key]
	if t == nil {
		t = &taken{}
		l.taken[key] = t
	}
	t.times++
	once, closed := t.times == 1, t.closed
	l.tell(known, func(w *watch) { first(&w.delivered) })
	l.mu.Unlock()
	switch {
	case known == nil:
		l.violated("%s was handed %s, which nobody has sent", system, id)
	case !slices.Contains(known.recipients, system):
		l.violated("%s was handed %s, which is for %v", system, id, known.recipients)
	case !closed.IsZero() && asked.After(closed):
		l.violated("%s was handed %s again after its acknowledgement", system, id)
	case m.Async != nil:
		l.violated("%s was told that %s failed: %+v", system, m.OriginalMessageID, m.Async)
	}
	switch {
	case m.Request != nil && m.ReplyTo != "":
		l.fetch(m)
		l.answer(system, m)
	case once && m.Response != nil:
		l.ended(m.OriginalMessageID)
	case once && m.Request != nil: // a broadcast ends with its second recipient
		l.mu.Lock()
		whole := l.taken[inbox{id, "MFC01"}] != nil && l.taken[inbox{id, "PRIMERSK"}] != nil
		l.mu.Unlock()
		if whole {
			l.ended(id)
		}
	}
	l.acknowledge(key, t)
}

// fetch gets the files of a request, each until it has come whole.
func (l *load) fetch(m *party.Message) {
	for _, f := range m.Files {
		for err := error(nil); l.ctx.Err() == nil; l.sleep() {
			if err = l.store.Fetch(l.ctx, f, m.Hash(f), io.Discard); err == nil {
				break
			}
			if time.Since(m.Metadata.Delivered) > time.Minute {
				l.violated("file %s of %s cannot be fetched: %v", f.UUID, m.Metadata.MessageID, err)
				return
			}
		}
	}
}

// answer replies to a request, always with the same MessageID.
func (l *load) answer(system string, m *party.Message) {
	request := m.Metadata.MessageID
	l.mu.Lock()
	id, begun := l.replies[request]
	var before *sent
	if begun {
		before = l.sent[id]
	} else {
		id = party.NewMessageID(time.Now())
		l.replies[request] = id
	}
	l.mu.Unlock()
	if before != nil && before.accepted {
		return
	}
	var content []byte
	for _, tr := range trades {
		if strings.Contains(m.Request.Content.Space(), "/"+tr.service+"/") {
			content = sample(tr.service, tr.release, "response")
		}
	}
	s := &sent{recipients: []string{m.Metadata.Sender.Mnemonic}, answers: request}
	l.deliver(id, s, func() error {
		r, err := l.client(system, envelopes.V12).Reply(l.ctx, party.Reply{MessageID: id, To: m.ReplyTo, Content: content})
		return l.keep(r, err)
	})
	if !s.accepted {
		l.finished.Add(1) // the answer was refused for good: there will be none
	}
}

// acknowledge sends the Ack. When its fate is unknown it is sent again once;
// then the recipient goes on, and the message comes again if it has to.
func (l *load) acknowledge(key inbox, t *taken) {
	for {
		l.mu.Lock()
		t.asked++
		asked := t.asked
		l.mu.Unlock()
		err := l.client(key.system, envelopes.V12).Ack(l.ctx, key.id, true)
		switch l.judge(err) {
		case over:
			return
		case again:
			if asked%2 == 0 && !l.calm.Load() {
				return
			}
			l.sleep()
			continue
		case refused:
			var fault *party.FaultError
			l.mu.Lock()
			asked = t.asked // askAgain may have asked, too, while we waited
			l.mu.Unlock()
			if errors.As(err, &fault); fault.Fault.Kind != envelopes.TargetMessageIsNotFound || asked == 1 {
				l.violated("%s acknowledges %s for the time %d: %v", key.system, key.id, asked, err)
				return
			}
		}
		l.mu.Lock()
		if t.closed.IsZero() {
			t.closed = time.Now()
		}
		if err == nil {
			t.confirmed++
		}
		l.mu.Unlock()
		return
	}
}

// end ends the work of all parties, whatever they are about.
func (l *load) end() {
	l.leave()
	l.sending.Wait()
	l.taking.Wait()
}

// askAgain clears up the acks whose fate has stayed unknown: such a message may
// be acknowledged, or wait for its next delivery.
func (l *load) askAgain() {
	l.calm.Store(true)
	unknown := map[inbox]*taken{}
	l.mu.Lock()
	for key, t := range l.taken {
		if t.asked > 0 && t.closed.IsZero() {
			unknown[key] = t
		}
	}
	l.mu.Unlock()
	for key, t := range unknown {
		l.acknowledge(key, t)
	}
}
