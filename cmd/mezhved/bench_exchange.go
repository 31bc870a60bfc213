package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

type benchExchangeCmd struct {
	loadFlags
	Sustained bool `help:"Print a line every ten seconds."`
}

func (benchExchangeCmd) Help() string {
	return `Consumers send requests and providers take, acknowledge and answer them; the consumers take the answers and
acknowledge: six signed calls an exchange, every answer of the bus verified. So that the gateway is what is measured,
what the bus has signed is verified when the clock has stopped, and a run of up to 30 s signs its calls before the clock
starts, but for the providers' answers (longer and sustained ones: as they go). Exit code 1 says that something was
lost or came twice, that a signature of the bus does not hold, or that the run was interrupted: its figures are of what
was done until then.

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
	Cut       float64     `json:"interruptedAfterSeconds,omitzero"` // the figures are of that time
	PerSecond float64     `json:"exchangesPerSecond"`
	P50       float64     `json:"p50Ms"` // from before the request until its answer was acknowledged
	P99       float64     `json:"p99Ms"`
	Cost      costs       `json:"processorTime"`
	Stages    []stageCost `json:"stages,omitempty"`
	Machine   shares      `json:"processors,omitzero"`
	Storage   storage     `json:"storage,omitzero"` // of a message, of which an exchange has two
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
	c.notes = out.err
	r, err := c.measure(ctx, lines)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		fmt.Fprintf(out.out, "%.0f exchanges/s (%d, %d senders, %d providers, %d cores, generator included)\np50 %.1f ms, p99 %.1f ms; lost %d, twice %d, failed calls %d, unproved answers %d\n%s%s\n%s%s\n%s\n",
			r.PerSecond, r.Exchanges, r.Senders, r.Providers, r.Cores, r.P50, r.P99, r.Lost, r.Doubled, r.Failed, r.Unproved, r.Whys, r.Cost, stagesText(r.Stages), r.Machine, r.Storage)
	}
	return errors.Join(err, r.wrong(), cutShort(r.Cut, c.Duration))
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
		return r, early(ctx, err)
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	whole := context.WithoutCancel(ctx) // what was begun is brought to its end
	warm, x := b.exchanges(), b.exchanges()
	if c.Warm+c.Duration <= aheadFor && !c.Sustained {
		done := c.signing()
		for _, of := range []struct {
			load     *exchangeLoad
			duration time.Duration
		}{{warm, c.Warm}, {x, c.Duration}} {
			if of.load.ahead, err = b.signExchanges(ctx, int(of.duration.Seconds()*aheadPerSecond)+c.Senders); err != nil {
				done()
				return r, early(ctx, err)
			}
		}
		done()
	}
	load := func(x *exchangeLoad, duration time.Duration, lines io.Writer) error {
		if err := x.drive(ctx, c.Senders, c.providers(), duration, lines); err != nil {
			return err
		}
		return b.settle(whole, 0)
	}
	if err := early(ctx, load(warm, c.Warm, nil)); err != nil {
		return r, err
	}
	had, err := b.written(whole, true)
	if err != nil {
		return r, err
	}
	runtime.GC() // of what was signed ahead
	before := b.spent()
	if err := load(x, c.Duration, lines); err != nil {
		return r, err
	}
	spent := b.spent().minus(before)
	x.prove()
	warm.prove()
	r = exchangeResult{Exchanges: x.done, PerSecond: float64(x.inTime) / x.took.Seconds(), P50: x.times.ms(50), P99: x.times.ms(99), Lost: len(warm.open) + len(x.open),
		Cost: spent.per(x.done), Machine: x.shares, Failed: x.failed, Unproved: warm.unproved + x.unproved, Senders: c.Senders, Providers: c.providers(), Cores: runtime.NumCPU(), problem: errors.Join(warm.problem, x.problem)}
	if ctx.Err() != nil {
		r.Cut = x.took.Seconds()
	}
	has, err := b.written(whole, false)
	if err != nil {
		return r, err
	}
	x.whys.lost(whole, b, slices.Concat(slices.Collect(maps.Keys(warm.open)), slices.Collect(maps.Keys(x.open))))
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
	times *latencies

	request, response []byte // contents

	ahead *ahead  // calls that were signed before; nil: each is signed when it is made
	kept  *proofs // answers to be proved

	mu       sync.Mutex
	open     map[string]*exchange // by request: those without their answer
	answered map[string]int       // answers by request
	done     int
	inTime   int           // done before the clock ran out
	took     time.Duration // until the clock ran out
	shares   shares        // of the machine, meanwhile
	failed   int
	unproved int   // answers that were kept and do not hold
	problem  error // the first failed call
	whys     whys
}

// exchanges opens the books.
func (b *bed) exchanges() *exchangeLoad {
	return &exchangeLoad{bed: b, times: newLatencies(), kept: &proofs{}, open: map[string]*exchange{}, answered: map[string]int{}}
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

// drive lets the senders send for the duration, or until ctx ends, one open exchange each,
// and then waits until the last answers are in. Every ten seconds it writes a line.
func (x *exchangeLoad) drive(ctx context.Context, senders, providers int, duration time.Duration, lines io.Writer) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var err error
	if x.request, err = x.sample("request"); err != nil {
		return err
	}
	if x.response, err = x.sample("response"); err != nil {
		return err
	}
	callers := func(n int, mnemonic string) []*caller {
		list := make([]*caller, n)
		for i := range list {
			var wrong error
			list[i], wrong = x.caller(i, mnemonic, x.kept)
			err = errors.Join(err, wrong)
		}
		return list
	}
	consumers, providing, taking := callers(max(senders/4, 1), benchSender), callers(providers, benchProvider), callers(providers, benchSender)
	if err != nil {
		return err
	}
	defer fewCores()()
	had, start := x.machine(), time.Now()
	sendingTime, over := context.WithDeadline(ctx, start.Add(duration))
	defer over()
	tickets := make(chan struct{}, senders) // a sender sends again when an exchange has ended
	for range senders {
		tickets <- struct{}{}
	}
	var loops, sending sync.WaitGroup
	if lines != nil {
		loops.Go(func() { x.tell(work, lines) })
	}
	for _, c := range consumers {
		sending.Go(func() {
			defer c.lane.close()
			for {
				select {
				case <-tickets:
				case <-sendingTime.Done():
				}
				if sendingTime.Err() != nil {
					return
				}
				e := x.ahead.next()
				e.sent = time.Now()
				x.mu.Lock()
				x.open[e.id] = e
				x.mu.Unlock()
				x.note(c.send(work, e, x.request))
			}
		})
	}
	for _, c := range providing {
		loops.Go(func() {
			defer c.lane.close()
			x.poll(work, c, envelopes.GetRequest, func(s glimpse) {
				x.mu.Lock()
				e := x.open[s.message]
				x.mu.Unlock()
				if e == nil { // of a load before
					e = &exchange{id: s.message, reply: party.NewMessageID(time.Now())}
				}
				x.note(c.reply(work, e, s.replyTo, x.response))
				x.note(c.ack(work, e.ackRequest, s.message))
			})
		})
	}
	for _, c := range taking {
		loops.Go(func() {
			defer c.lane.close()
			x.poll(work, c, envelopes.GetResponse, func(s glimpse) {
				x.mu.Lock()
				e := x.open[s.original]
				x.mu.Unlock()
				ack := pressed{}
				if e != nil && e.reply == s.message {
					ack = e.ackResponse
				}
				x.note(c.ack(work, ack, s.message))
				x.mu.Lock()
				x.answered[s.original]++
				if _, ok := x.open[s.original]; ok {
					delete(x.open, s.original)
					x.times.add(time.Since(e.sent))
					x.done++
					if sendingTime.Err() == nil {
						x.inTime++
					}
					tickets <- struct{}{}
				}
				x.mu.Unlock()
			})
		})
	}
	<-sendingTime.Done()
	x.took, x.shares = min(time.Since(start), duration), x.machine().since(had)
	sending.Wait()
	for settle := time.Now().Add(20 * time.Second); time.Now().Before(settle); time.Sleep(20 * time.Millisecond) {
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

// poll takes what comes, until ctx ends.
func (x *exchangeLoad) poll(ctx context.Context, c *caller, op envelopes.Operation, got func(glimpse)) {
	for ctx.Err() == nil {
		s, err := c.poll(ctx, op, x.ahead.poll(op))
		x.note(err)
		if s.message != "" {
			got(s)
		}
	}
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
