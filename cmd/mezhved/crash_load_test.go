package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	violations []string

	fresh    int64        // exchanges that were begun after mark, and have ended
	mark     time.Time    //
	accepted atomic.Int64 // messages
	repeated atomic.Int64 // calls that had to be made again
	begun    atomic.Int64 // exchanges whose request was accepted
	finished atomic.Int64 // exchanges that have come to their end
}

func newLedger() *ledger {
	return &ledger{sent: map[string]*sent{}, taken: map[inbox]*taken{}, replies: map[string]string{}}
}

// violated notes what must never happen.
func (l *ledger) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
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
	if s := l.sent[request]; s != nil && s.since.After(l.mark) {
		l.fresh++
	}
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

// load is parties at work against one gateway that comes and goes.
type load struct {
	*ledger
	play     *play
	http     *http.Client
	dark     atomic.Bool // the database is down: nothing may be accepted
	calm     atomic.Bool // nothing is killed any more: every ack is repeated until it is answered
	sending  sync.WaitGroup
	taking   sync.WaitGroup
	noMore   chan struct{} // closed: senders finish what they have begun
	leave    context.CancelFunc
	ctx      context.Context
	absent   sync.Map // systems whose requests nobody takes at the moment
	unasked  sync.Map // systems that nobody sends new requests to
	throttle int64    // exchanges that may be under way at once
}

// pause between two attempts of a party that was told to come again.
const pause = 50 * time.Millisecond

func startLoad(ctx context.Context, p *play, senders int) *load {
	l := &load{ledger: newLedger(), play: p, noMore: make(chan struct{}), throttle: 400,
		http: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	l.ctx, l.leave = context.WithCancel(ctx)
	for i := range senders {
		l.sending.Go(func() { l.send(i) })
	}
	for _, system := range []string{"SFR01", "ROSREESTR", "PRIMERSK", "MFC01"} {
		l.taking.Go(func() { l.take(system, envelopes.GetRequest) })
	}
	for _, system := range []string{"MFC01", "PRIMERSK"} {
		l.taking.Go(func() { l.take(system, envelopes.GetResponse) })
	}
	return l
}

func (l *load) client(system string, v envelopes.Version) *party.Client {
	c := l.play.client(system, v)
	c.HTTP, c.Attempts = l.http, 1 // we do the repeating, to see every outcome
	return c
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
	s.since = time.Now()
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
		if l.begun.Load()-l.finished.Load() > l.throttle {
			l.sleep()
			continue
		}
		tr := trades[i%len(trades)]
		if _, skip := l.unasked.Load(tr.to); skip {
			continue
		}
		s := &sent{recipients: tr.broadcast, broadcast: tr.broadcast != nil}
		if !s.broadcast {
			s.recipients = []string{tr.to}
		}
		id := party.NewMessageID(time.Now())
		c := l.client(tr.from, tr.version)
		content := sample(tr.service, tr.release, "request")
		l.deliver(id, s, func() error {
			_, err := c.SendRequest(l.ctx, party.Request{MessageID: id, Content: content})
			return err
		})
		l.begun.Add(1)
	}
}

// take is one recipient's loop over one of its queues: what comes is answered,
// if it is a request, and acknowledged.
func (l *load) take(system string, op envelopes.Operation) {
	c := l.client(system, envelopes.V12)
	poll := c.PollResponse
	if op == envelopes.GetRequest {
		poll = c.PollRequest
	}
	for l.ctx.Err() == nil {
		if _, away := l.absent.Load(system); away && op == envelopes.GetRequest {
			l.sleep()
			continue
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
			return
		}
		if m == nil {
			l.sleep()
			continue
		}
		l.receive(c, system, m, asked)
	}
}

// receive writes a delivery down and does what a good recipient does: it works
// once for a message, however often it comes, and then acknowledges.
func (l *load) receive(c *party.Client, system string, m *party.Message, asked time.Time) {
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
	first, closed := t.times == 1, t.closed
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
		l.answer(c, m)
	case first && m.Response != nil:
		l.ended(m.OriginalMessageID)
	case first && m.Request != nil: // a broadcast ends with its second recipient
		l.mu.Lock()
		whole := l.taken[inbox{id, "MFC01"}] != nil && l.taken[inbox{id, "PRIMERSK"}] != nil
		l.mu.Unlock()
		if whole {
			l.ended(id)
		}
	}
	l.acknowledge(c, key, t)
}

// answer replies to a request, always with the same MessageID.
func (l *load) answer(c *party.Client, m *party.Message) {
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
	l.deliver(id, &sent{recipients: []string{m.Metadata.Sender.Mnemonic}, answers: request}, func() error {
		_, err := c.Reply(l.ctx, party.Reply{MessageID: id, To: m.ReplyTo, Content: content})
		return err
	})
}

// acknowledge sends the Ack. When its fate is unknown it is sent again once;
// then the recipient goes on, and the message comes again if it has to.
func (l *load) acknowledge(c *party.Client, key inbox, t *taken) {
	for {
		l.mu.Lock()
		t.asked++
		asked := t.asked
		l.mu.Unlock()
		err := c.Ack(l.ctx, key.id, true)
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
		l.acknowledge(l.client(key.system, envelopes.V12), key, t)
	}
}
