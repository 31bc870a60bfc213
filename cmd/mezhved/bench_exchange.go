package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

type benchExchangeCmd struct {
	loadFlags
	Providers int  `default:"16" help:"Providers at work at once."`
	Sustained bool `help:"Print a line every ten seconds."`
}

func (benchExchangeCmd) Help() string {
	return `Consumers send requests and providers take, acknowledge and answer them; the consumers take the answers and
acknowledge: six signed calls an exchange, every answer of the bus verified. So that the gateway is what is measured,
a run of up to 30 s signs its calls before the clock starts, but for the providers' answers, and verifies what the bus
has signed when the clock has stopped (longer and sustained ones: as they go). Exit code 1 says that something was
lost or came twice, or that a signature of the bus does not hold.

Examples:
  mezhved bench exchange
  mezhved bench exchange --key gost-2012-256
  mezhved bench exchange --duration 5m --sustained --stages
  mezhved bench exchange --dir mezhved-demo --url http://127.0.0.1:7500 --url http://127.0.0.1:7501
  mezhved bench exchange --duration 30s --json`
}

// exchangeResult is what bench exchange prints.
type exchangeResult struct {
	Exchanges int         `json:"exchanges"`
	PerSecond float64     `json:"exchangesPerSecond"`
	P50       float64     `json:"p50Ms"` // from before the request until its answer was acknowledged
	P99       float64     `json:"p99Ms"`
	Cost      costs       `json:"processorTime"`
	Stages    []stageCost `json:"stages,omitempty"`
	Storage   storage     `json:"storage"` // of a message, of which an exchange has two
	Lost      int         `json:"lost"`
	Doubled   int         `json:"doubled"`
	Failed    int         `json:"failed"`
	Unproved  int         `json:"unproved"`          // answers that were used, and of which the bus's signature does not hold
	Whys      whysSeen    `json:"reasons,omitempty"` // of what failed or was lost, with how often
	Senders   int         `json:"senders"`
	Providers int         `json:"providers"`
	Cores     int         `json:"cores"`

	problem error // the first failed call
}

func (c *benchExchangeCmd) Run(ctx context.Context, out *stdio) error {
	var lines io.Writer
	if c.Sustained && !c.JSON {
		lines = out.out
	}
	r, err := c.measure(ctx, lines)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		fmt.Fprintf(out.out, "%.0f exchanges/s (%d, %d senders, %d providers, %d cores, generator included)\np50 %.1f ms, p99 %.1f ms; lost %d, twice %d, failed calls %d, unproved answers %d\n%s%s\n%s%s\n",
			r.PerSecond, r.Exchanges, r.Senders, r.Providers, r.Cores, r.P50, r.P99, r.Lost, r.Doubled, r.Failed, r.Unproved, r.Whys, r.Cost, stagesText(r.Stages), r.Storage)
	}
	return errors.Join(err, r.wrong())
}

// wrong says what must not have happened.
func (r *exchangeResult) wrong() error {
	if r.Lost+r.Doubled+r.Unproved == 0 {
		return nil
	}
	return no(errors.Join(r.problem, fmt.Errorf("%d exchanges lost, %d answered twice, %d answers of the bus not proved", r.Lost, r.Doubled, r.Unproved)))
}

// measure opens a gateway, drives it and counts. lines, unless nil, is told every ten
// seconds.
func (c *benchExchangeCmd) measure(ctx context.Context, lines io.Writer) (r exchangeResult, err error) {
	b, err := c.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	client := httpClient(b.base, c.Senders+2*c.Providers)
	warm, x := b.exchanges(client), b.exchanges(client)
	if c.Warm+c.Duration <= aheadFor && !c.Sustained {
		for _, of := range []struct {
			load     *exchangeLoad
			duration time.Duration
		}{{warm, c.Warm}, {x, c.Duration}} {
			if of.load.ahead, err = b.signExchanges(ctx, int(of.duration.Seconds()*aheadPerSecond)+c.Senders); err != nil {
				return r, err
			}
			of.load.kept = &proofs{}
		}
	}
	load := func(x *exchangeLoad, duration time.Duration, lines io.Writer) error {
		if err := x.drive(ctx, c.Senders, c.Providers, duration, lines); err != nil {
			return err
		}
		return b.settle(ctx, 0)
	}
	if err := load(warm, c.Warm, nil); err != nil {
		return r, err
	}
	had, err := b.written(ctx, true)
	if err != nil {
		return r, err
	}
	before := b.spent()
	if err := load(x, c.Duration, lines); err != nil {
		return r, err
	}
	spent := b.spent().minus(before)
	x.prove()
	warm.prove()
	r = exchangeResult{Exchanges: x.done, PerSecond: float64(x.inTime) / c.Duration.Seconds(), P50: x.times.ms(50), P99: x.times.ms(99), Lost: len(warm.open) + len(x.open),
		Cost: spent.per(x.done), Failed: x.failed, Unproved: warm.unproved + x.unproved, Senders: c.Senders, Providers: c.Providers, Cores: runtime.NumCPU(), problem: errors.Join(warm.problem, x.problem)}
	has, err := b.written(ctx, false)
	if err != nil {
		return r, err
	}
	x.whys.lost(ctx, b, slices.Concat(slices.Collect(maps.Keys(warm.open)), slices.Collect(maps.Keys(x.open))))
	r.Whys = x.whys.all()
	r.Storage = storagePer(had, has, 2*x.done)
	for _, n := range x.answered {
		if n > 1 {
			r.Doubled++
		}
	}
	r.Stages, err = c.stages(b, r.Cost.Gateway)
	return r, err
}

// exchangeLoad keeps the books of a run of exchanges.
type exchangeLoad struct {
	*bed
	client *http.Client
	times  *latencies

	request, response []byte // contents

	ahead *ahead  // calls that were signed before; nil: each is signed when it is made
	kept  *proofs // answers to be proved; nil: each is proved when it comes

	mu       sync.Mutex
	open     map[string]*exchange // by request: those without their answer
	answered map[string]int       // answers by request
	done     int
	inTime   int // done before the clock ran out
	failed   int
	unproved int   // answers that were kept and do not hold
	problem  error // the first failed call
	whys     whys
}

// exchanges opens the books.
func (b *bed) exchanges(client *http.Client) *exchangeLoad {
	return &exchangeLoad{bed: b, client: client, times: newLatencies(), open: map[string]*exchange{}, answered: map[string]int{}}
}

// prove proves what was kept.
func (x *exchangeLoad) prove() {
	x.kept.prove(func(err error) {
		x.whys.add("an answer of the bus: " + err.Error())
		x.mu.Lock()
		defer x.mu.Unlock()
		x.unproved++
		if x.problem == nil {
			x.problem = err
		}
	})
}

// drive lets the senders send for the duration, one open exchange each, and
// then waits until the last answers are in. Every ten seconds it writes a line.
func (x *exchangeLoad) drive(ctx context.Context, senders, providers int, duration time.Duration, lines io.Writer) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	var err error
	if x.request, err = x.sample("request"); err != nil {
		return err
	}
	if x.response, err = x.sample("response"); err != nil {
		return err
	}
	end := time.Now().Add(duration)
	tickets := make(chan struct{}, senders) // a sender sends again when an exchange has ended
	for range senders {
		tickets <- struct{}{}
	}
	var loops, sending sync.WaitGroup
	if lines != nil {
		loops.Go(func() { x.tell(work, lines) })
	}
	for n := range max(senders/4, 1) {
		sending.Go(func() {
			c := x.party(n, benchSender)
			for {
				select {
				case <-tickets:
				case <-time.After(time.Until(end)):
					return
				case <-work.Done():
					return
				}
				if time.Now().After(end) {
					return
				}
				e := x.ahead.next()
				e.sent = time.Now()
				x.mu.Lock()
				x.open[e.id] = e
				x.mu.Unlock()
				x.note(x.send(work, c, e))
			}
		})
	}
	for n := range providers {
		loops.Go(func() {
			c := x.party(n, benchProvider)
			x.poll(work, c, envelopes.GetRequest, func(s glimpse) {
				x.mu.Lock()
				e := x.open[s.message]
				x.mu.Unlock()
				if e == nil { // of a load before
					e = &exchange{id: s.message, reply: party.NewMessageID(time.Now())}
				}
				x.note(x.reply(work, c, e, s.replyTo))
				x.note(x.ack(work, c, e.ackRequest, s.message))
			})
		})
		loops.Go(func() {
			c := x.party(n, benchSender)
			x.poll(work, c, envelopes.GetResponse, func(s glimpse) {
				x.mu.Lock()
				e := x.open[s.original]
				x.mu.Unlock()
				ack := pressed{}
				if e != nil && e.reply == s.message {
					ack = e.ackResponse
				}
				x.note(x.ack(work, c, ack, s.message))
				x.mu.Lock()
				x.answered[s.original]++
				if _, ok := x.open[s.original]; ok {
					delete(x.open, s.original)
					x.times.add(time.Since(e.sent))
					x.done++
					if time.Now().Before(end) {
						x.inTime++
					}
					tickets <- struct{}{}
				}
				x.mu.Unlock()
			})
		})
	}
	sending.Wait()
	for settle := time.Now().Add(20 * time.Second); time.Now().Before(settle) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		left := len(x.open)
		x.mu.Unlock()
		if left == 0 {
			break
		}
	}
	stop()
	loops.Wait()
	return nil
}

// tell writes what was done in each ten seconds, until ctx ends.
func (x *exchangeLoad) tell(ctx context.Context, lines io.Writer) {
	const every = 10
	start, before := time.Now(), 0
	tick := time.NewTicker(every * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		x.mu.Lock()
		done, open := x.done, len(x.open)
		x.mu.Unlock()
		fmt.Fprintf(lines, "%4.0f s: %.1f exchanges/s, %d under way\n", time.Since(start).Seconds(), float64(done-before)/every, open)
		before = done
	}
}

// pollWait is how long a poll waits in an empty queue, and pollWish how it says so.
const (
	pollWait = 5 * time.Second
	pollWish = "wait=5"
)

// poll takes what comes, until ctx ends.
func (x *exchangeLoad) poll(ctx context.Context, c *caller, op envelopes.Operation, got func(glimpse)) {
	for ctx.Err() == nil {
		s, err := x.pollOnce(ctx, c, op)
		x.note(err)
		if s.message != "" {
			got(s)
		}
	}
}

// pollOnce makes a poll that was signed ahead, if there is one left. An answer in which
// not everything stands where it usually does is proved at once: an empty one, for
// instance.
func (x *exchangeLoad) pollOnce(ctx context.Context, c *caller, op envelopes.Operation) (glimpse, error) {
	var m *party.Message
	var err error
	poll := x.ahead.poll(op)
	var a party.Answer
	if poll.like != nil {
		c.call = poll.write(c.call)
		a, err = c.say(ctx, op, c.call)
	}
	switch {
	case err != nil:
		return glimpse{}, err
	case a.Status == http.StatusOK:
		if s, ok := skim(op, a.Body); ok && x.kept.take(answered{c.Client, op, a, s}) {
			return s, nil
		}
		m, err = c.ReadMessage(op, a)
	case op == envelopes.GetRequest: // this one tries again where the bus asks for it
		m, err = c.PollRequest(ctx, party.Selector{Wait: pollWait})
	default:
		m, err = c.PollResponse(ctx, party.Selector{Wait: pollWait})
	}
	if m == nil {
		return glimpse{}, err
	}
	return glimpseOf(m), nil
}

// send sends a request. What was signed ahead is tried once; what comes of that that is
// no receipt is the party's to go on with.
func (x *exchangeLoad) send(ctx context.Context, c *caller, e *exchange) error {
	ahead := e.request.like != nil
	if ahead {
		if c.call = e.request.write(c.call); x.receipt(ctx, c, envelopes.SendRequest, c.call, e.id) {
			return nil
		}
	}
	_, err := c.SendRequest(ctx, party.Request{MessageID: e.id, Content: x.request, Unsure: ahead})
	return err
}

// reply answers a request. Nothing of it can be signed ahead.
func (x *exchangeLoad) reply(ctx context.Context, c *caller, e *exchange, to string) error {
	if x.kept != nil {
		if c.content.Root() == (xmltape.Node{}) {
			if err := c.content.Parse(x.response, xmltape.Limits{}); err != nil {
				return err
			}
		}
		call := envelopes.SendResponseCall{MessageID: e.reply, To: to, Content: c.content.Root()}
		d := call.Build(envelopes.V12, false)
		signed, err := signing.AppendSigned(ctx, c.call[:0], d.XML, d.SignID, d.Slot, c.Signer)
		if err != nil {
			return err
		}
		if c.call = signed; x.receipt(ctx, c, envelopes.SendResponse, signed, e.reply) {
			return nil
		}
	}
	_, err := c.Reply(ctx, party.Reply{MessageID: e.reply, To: to, Content: x.response, Unsure: x.kept != nil})
	return err
}

// receipt makes a signed call and says that it has the bus's receipt.
func (x *exchangeLoad) receipt(ctx context.Context, c *caller, op envelopes.Operation, call []byte, id string) bool {
	a, err := c.say(ctx, op, call)
	if err != nil || a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(id)) {
		return false
	}
	receipt := answered{c.Client, op, a, glimpse{message: id}}
	return x.kept.take(receipt) || receipt.prove() == nil
}

// ack acknowledges a message. The bus does not sign what it answers.
func (x *exchangeLoad) ack(ctx context.Context, c *caller, ack pressed, id string) error {
	if ack.like != nil {
		c.call = ack.write(c.call)
		if a, err := c.say(ctx, envelopes.Ack, c.call); err == nil && a.Status == http.StatusOK && bytes.Contains(a.Body, []byte("AckResponse")) {
			return nil
		}
	}
	return c.Ack(ctx, id, true)
}

func (x *exchangeLoad) note(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	x.whys.failed(err)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed++
	if x.problem == nil {
		x.problem = err
	}
}
