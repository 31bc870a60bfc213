package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// latencies are the times of one kind of call, in microseconds.
type latencies struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newLatencies() *latencies { return &latencies{h: hdrhistogram.New(1, 60_000_000, 3)} }

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.h.RecordValue(max(d.Microseconds(), 1)) // beyond a minute the call has failed anyway
}

func (l *latencies) ms(q float64) float64 { return float64(l.h.ValueAtQuantile(q)) / 1000 }

type benchAcceptCmd struct {
	loadFlags
	Sustained bool `help:"Providers take and acknowledge meanwhile, and senders wait for them, so that the queue stays flat; a line is printed every ten seconds."`
}

func (benchAcceptCmd) Help() string {
	return `Senders post signed requests of about 4 KB, each when its last was answered, to a gateway that is a process of
its own. The requests are signed before the clock starts (sustained: a little ahead); everything, the generator
included, shares the machine. Processor times are counted from the first request until the last one is queued and
journalled. At the end every accepted message must have been in the provider's queue, once, and the bus's signature over
each hold. Exit code 1 says that something was lost, or that the run was interrupted: its figures are of what was done
until then.

Without --sustained nobody takes anything until the senders have ended, and what an accept alone takes is measured. With
it providers take and acknowledge all the time, no sender sends while more than a few messages for each of them wait, and
the figures are of a message that was accepted, delivered and acknowledged: what can go on for ever. How much of their
time the senders were held back is told. Where that is much, the providers are what the rate is of: if the processors
are not at work all the time, take more of them (--providers).

Examples:
  mezhved bench accept
  mezhved bench accept --senders 128 --duration 30s --json
  mezhved bench accept --sustained --duration 5m
  mezhved bench accept --stages
  mezhved bench accept --dir mezhved-demo --url http://127.0.0.1:7500,http://127.0.0.1:7501`
}

// acceptResult is what bench accept prints.
type acceptResult struct {
	Accepted  int         `json:"accepted"`
	Cut       float64     `json:"interruptedAfterSeconds,omitzero"` // the figures are of that time
	PerSecond float64     `json:"acceptedPerSecond"`
	P50       float64     `json:"p50Ms"`
	P99       float64     `json:"p99Ms"`
	QueuedP50 float64     `json:"queuedAfterP50Ms"` // from acceptance until the message stood in its queue, of a sample
	QueuedP99 float64     `json:"queuedAfterP99Ms"`
	Cost      costs       `json:"processorTime"`
	Stages    []stageCost `json:"stages,omitempty"`
	Machine   shares      `json:"processors,omitzero"` // while the senders sent
	Storage   storage     `json:"storage,omitzero"`    // of a message that waits for its recipient; sustained: taken and acknowledged
	Refused   int         `json:"refused"`
	Failed    int         `json:"failed"`
	Lost      int         `json:"lost"`
	Doubled   int         `json:"doubled"`
	Unproved  int         `json:"unproved"`          // deliveries of which the bus's signature does not hold
	Whys      whysSeen    `json:"reasons,omitempty"` // of what was refused, failed or lost, with how often
	Senders   int         `json:"senders"`
	Bytes     int         `json:"messageBytes"`
	Cores     int         `json:"cores"`
	Drain     float64     `json:"drainSeconds"`                 // for polls and acknowledgements of what was left in the queue
	Delivered float64     `json:"deliveredPerSecond,omitempty"` // sustained: while the senders sent
	Held      float64     `json:"held,omitempty"`               // sustained: the share of the senders' time in which they waited for the providers
	Waiting   int         `json:"waiting"`                      // for the provider when the senders ended
	Providers int         `json:"providers"`
}

func (c *benchAcceptCmd) Run(ctx context.Context, out *stdio) error {
	c.notes = out.err
	r, err := c.measure(ctx, out.out)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		if c.Sustained {
			fmt.Fprintf(out.out, "%.0f delivered/s to %d providers while they sent, senders held back for %.0f %% of the time; %d waited at the end, delivered in %.1f s\n", r.Delivered, r.Providers, 100*r.Held, r.Waiting, r.Drain)
		}
		fmt.Fprintf(out.out, "%.0f accepted/s (%d, %d senders, %d bytes, %d cores, generator included)\np50 %.1f ms, p99 %.1f ms; in the queue after p50 %.0f ms, p99 %.0f ms; refused %d, failed %d\n%s\n%s%s\n%s\ntaken from the queue and acknowledged: %d, lost %d, twice %d\n%s",
			r.PerSecond, r.Accepted, r.Senders, r.Bytes, r.Cores, r.P50, r.P99, r.QueuedP50, r.QueuedP99, r.Refused, r.Failed, r.Cost, stagesText(r.Stages), r.Machine, r.Storage, r.Accepted-r.Lost, r.Lost, r.Doubled, r.Whys)
	}
	return errors.Join(err, r.wrong(), cutShort(r.Cut, c.Duration))
}

// wrong says what must not have happened.
func (r *acceptResult) wrong() error {
	if r.Lost+r.Doubled+r.Failed+r.Unproved == 0 {
		return nil
	}
	return no(fmt.Errorf("%d lost, %d delivered twice, %d calls failed, %d deliveries not proved", r.Lost, r.Doubled, r.Failed, r.Unproved))
}

// cutShort says that a run was interrupted; nil: it was not.
func cutShort(seconds float64, of time.Duration) error {
	if seconds == 0 {
		return nil
	}
	return no(fmt.Errorf("interrupted after %.1f s of %s: the figures are of that time", seconds, of))
}

// errEarly ends a run of which there is nothing to tell.
var errEarly = no(errors.New("interrupted before anything was measured"))

// early is what a run ends with that comes to an end, or to err, before it measures: of an
// interruption is told what it is.
func early(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errEarly
	}
	return err
}

// measure opens a gateway, drives it and counts. told is for the lines of a
// sustained run.
func (c *benchAcceptCmd) measure(ctx context.Context, told io.Writer) (r acceptResult, err error) {
	b, err := c.open(ctx)
	if err != nil {
		return r, early(ctx, err)
	}
	defer func() { err = errors.Join(err, b.finish()) }()
	whole := context.WithoutCancel(ctx) // what was begun is brought to its end
	x := &acceptLoad{bed: b, tally: newTally(), kept: &proofs{}}
	var stopSigning func()
	if c.Sustained {
		x.requests, stopSigning = signAhead(ctx, b)
		x.most = max(waitForEach*c.Senders, leastWaiting)
	} else {
		done := c.signing()
		x.requests, stopSigning, err = signBefore(ctx, b, int((c.Duration+c.Warm).Seconds()*6000)+2*c.Senders)
		done()
	}
	if err != nil {
		return r, early(ctx, err)
	}
	defer stopSigning()
	draining, stop := context.WithCancel(whole)
	defer stop()
	drained := make(chan error, 1)
	drain := func() { drained <- x.drain(draining, c.providers()) }
	if c.Sustained {
		go drain()
	}
	if err := early(ctx, x.drive(ctx, c.Senders, c.Warm, nil)); err != nil {
		return r, err
	}
	if err := b.settle(whole, int(x.accepted.Load())); err != nil {
		return r, err
	}
	warm := int(x.accepted.Load())
	x.times, x.sample = newLatencies(), nil
	x.held.Store(0)
	var lines io.Writer
	if c.Sustained && !c.JSON {
		lines = told
	}
	had, err := b.written(whole, true)
	if err != nil {
		return r, err
	}
	runtime.GC() // of what was signed ahead
	before, machine, start, gone := b.spent(), b.machine(), time.Now(), x.tally.taken()
	if err := x.drive(ctx, c.Senders, c.Duration, lines); err != nil {
		return r, err
	}
	took, gone, waiting := time.Since(start), x.tally.taken()-gone, x.tally.waiting()
	r.Machine = b.machine().since(machine)
	if err := b.settle(whole, int(x.accepted.Load())); err != nil {
		return r, err
	}
	r = acceptResult{Accepted: int(x.accepted.Load()) - warm, Senders: c.Senders, Bytes: int(x.bytes.Load()), Cores: runtime.NumCPU(),
		P50: x.times.ms(50), P99: x.times.ms(99), Refused: int(x.refused.Load()), Providers: c.providers(), Waiting: waiting, Machine: r.Machine}
	if ctx.Err() != nil {
		r.Cut = took.Seconds()
	}
	if c.Sustained {
		r.Delivered, r.Held = float64(gone)/took.Seconds(), time.Duration(x.held.Load()).Seconds()/(took.Seconds()*float64(c.Senders))
	}
	r.PerSecond, r.Cost = float64(r.Accepted)/took.Seconds(), b.spent().minus(before).per(r.Accepted)
	has, err := b.written(whole, false)
	if err != nil {
		return r, err
	}
	r.Storage = storagePer(had, has, r.Accepted)
	queued, err := b.queuedAfter(whole, x.sample)
	if err != nil {
		return r, err
	}
	r.QueuedP50, r.QueuedP99 = queued.ms(50), queued.ms(99)

	start = time.Now()
	if !c.Sustained {
		go drain()
	}
	x.tally.wait(whole, 10*time.Second)
	stop()
	err = <-drained
	r.Drain = time.Since(start).Seconds()
	var unproved atomic.Int64
	x.kept.prove(func(err error) {
		unproved.Add(1)
		x.whys.add("an answer of the bus: " + err.Error())
	})
	lost, doubled := x.tally.count()
	x.whys.lost(whole, b, lost)
	r.Failed, r.Lost, r.Doubled, r.Unproved, r.Whys = int(x.broken.Load()), len(lost), doubled, int(unproved.Load()), x.whys.all()
	var failed error
	r.Stages, failed = c.stages(b, r.Cost.Gateway)
	return r, errors.Join(err, failed)
}

// acceptLoad is the senders of a run.
type acceptLoad struct {
	*bed
	requests <-chan signedRequest
	tally    *tally
	times    *latencies
	kept     *proofs // of what was taken from the queue

	most int          // may wait for the provider while a sender sends; 0: any number
	held atomic.Int64 // nanoseconds for which senders waited for that

	accepted, refused, broken, bytes atomic.Int64
	whys                             whys

	mu     sync.Mutex
	sample []string // MessageIDs of accepted messages, evenly over the run
}

// A sustained run's senders wait while so many messages wait for the provider: enough that
// he always finds some, and not more than he takes in a second or two.
const (
	waitForEach  = 4 // of a sender
	leastWaiting = 500
)

// hold waits until a sender may send, or ctx ends.
func (x *acceptLoad) hold(ctx context.Context) {
	if x.most > 0 {
		x.held.Add(int64(x.tally.hold(ctx, x.most)))
	}
}

// samples is of how many messages the journal is asked when they were queued.
const samples = 300

// drive lets the senders send for the duration, or until ctx ends. Every ten seconds it
// writes a line.
func (x *acceptLoad) drive(ctx context.Context, senders int, duration time.Duration, lines io.Writer) error {
	kind, _ := envelopes.Package(nil, nil, false)
	if x.times == nil {
		x.times = newLatencies()
	}
	lanes := make([]*lane, senders)
	for n := range lanes {
		var err error
		if lanes[n], err = newLane(x.nodes[n%len(x.nodes)] + partyDoor); err != nil {
			return usage(err)
		}
	}
	defer fewCores()()
	every := duration / samples
	var next atomic.Int64 // when the next sample is due, in nanoseconds of the run
	start := time.Now()
	work := context.WithoutCancel(ctx) // a call that was begun is brought to its end, or to the end of its time
	sendingTime, over := context.WithDeadline(ctx, start.Add(duration))
	defer over()
	context.AfterFunc(sendingTime, x.tally.wake)
	var sending sync.WaitGroup
	for _, l := range lanes {
		sending.Go(func() {
			defer l.close()
			head := l.head("Content-Type", kind)
			var body []byte
			for x.hold(sendingTime); sendingTime.Err() == nil; x.hold(sendingTime) {
				var r signedRequest
				select {
				case r = <-x.requests:
				case <-sendingTime.Done():
				}
				if r.like == nil {
					return
				}
				body = r.write(body)
				sent := time.Now()
				answer, err := l.post(work, head, body)
				switch {
				case err != nil:
					x.broken.Add(1)
					x.whys.failed(err)
				case answer.Status != http.StatusOK || !bytes.Contains(answer.Body, []byte(r.id)):
					x.refused.Add(1)
					x.whys.refused(answer.Status, answer.Body)
				default:
					x.times.add(time.Since(sent))
					x.tally.accepted(r.id)
					x.accepted.Add(1)
					x.bytes.Store(int64(len(body)))
					if due := next.Load(); int64(time.Since(start)) >= due && next.CompareAndSwap(due, due+int64(every)) {
						x.mu.Lock()
						x.sample = append(x.sample, r.id)
						x.mu.Unlock()
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { sending.Wait(); close(done) }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	before := x.accepted.Load()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		if lines != nil {
			now := x.accepted.Load()
			fmt.Fprintf(lines, "%4.0f s: %d accepted/s, %d waiting for the provider\n", time.Since(start).Seconds(), (now-before)/10, x.tally.waiting())
			before = now
		}
	}
}

// tally is which messages were accepted and which have come, by MessageID.
type tally struct {
	mu    sync.Mutex
	ours  map[string]int // how often it has come
	left  int
	moved time.Time
	early map[string]int // came before its sender had its receipt
	fewer sync.Cond      // fewer are left, or somebody has ended
}

func newTally() *tally {
	l := &tally{ours: map[string]int{}, early: map[string]int{}}
	l.fewer.L = &l.mu
	return l
}

// hold waits while so many are left, until ctx ends; wake has to be called then. It says
// how long it has waited.
func (l *tally) hold(ctx context.Context, most int) (waited time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left < most {
		return 0
	}
	began := time.Now()
	for l.left >= most && ctx.Err() == nil {
		l.fewer.Wait()
	}
	return time.Since(began)
}

// wake lets those that hold look anew.
func (l *tally) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fewer.Broadcast()
}

func (l *tally) accepted(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ours[id] = l.early[id]
	if l.ours[id] == 0 {
		l.left++
	}
	delete(l.early, id)
}

func (l *tally) delivered(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved = time.Now()
	n, ours := l.ours[id]
	switch {
	case !ours:
		l.early[id]++
		return
	case n == 0:
		l.left--
		l.fewer.Signal()
	}
	l.ours[id]++
}

func (l *tally) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// taken is how many have come.
func (l *tally) taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ours) - l.left
}

// wait ends when all have come, or nothing has for a while.
func (l *tally) wait(ctx context.Context, patience time.Duration) {
	began := time.Now()
	for ctx.Err() == nil {
		l.mu.Lock()
		still := min(time.Since(began), time.Since(l.moved))
		left := l.left
		l.mu.Unlock()
		if left == 0 || still > patience {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *tally) count() (lost []string, doubled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.ours {
		switch {
		case n == 0:
			lost = append(lost, id)
		case n > 1:
			doubled++
		}
	}
	return lost, doubled
}

type signedRequest struct {
	id string
	pressed
}

// signBefore makes n signed requests on all cores.
func signBefore(ctx context.Context, b *bed, n int) (out <-chan signedRequest, stop func(), err error) {
	all := make(chan signedRequest, n)
	ctx, stop = context.WithCancel(ctx)
	err = signInto(ctx, b, all, n)
	close(all)
	return all, stop, err
}

// signAhead makes signed requests as they are taken, a few hundred ahead.
func signAhead(ctx context.Context, b *bed) (out <-chan signedRequest, stop func()) {
	all := make(chan signedRequest, 512)
	ctx, stop = context.WithCancel(ctx)
	go func() {
		defer close(all)
		_ = signInto(ctx, b, all, math.MaxInt) // it ends with ctx; the senders find the channel closed
	}()
	return all, stop
}

func signInto(ctx context.Context, b *bed, out chan<- signedRequest, n int) error {
	content, err := b.sample("request")
	if err != nil {
		return err
	}
	signer := signing.Repeatable(b.signer)
	errs := make([]error, runtime.NumCPU())
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			var tape xmltape.Tape
			if errs[w] = tape.Parse(content, xmltape.Limits{}); errs[w] != nil {
				return
			}
			var like []byte
			for left.Add(-1) >= 0 {
				call := envelopes.SendRequestCall{MessageID: party.NewMessageID(time.Now()), Content: tape.Root()}
				draft := call.Build(envelopes.V12, false)
				var body []byte
				if body, errs[w] = signing.SignInto(ctx, draft.XML, draft.SignID, draft.Slot, signer); errs[w] != nil {
					return
				}
				if like == nil {
					like = body
				}
				select {
				case out <- signedRequest{call.MessageID, press(like, body)}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// drain has providers take and acknowledge what waits for them, until ctx ends. One whose
// call has failed goes on: its call is counted.
func (x *acceptLoad) drain(ctx context.Context, providers int) error {
	errs := make([]error, providers)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			var c *caller
			if c, errs[w] = x.caller(w, benchProvider, x.kept); errs[w] != nil {
				return
			}
			defer c.lane.close()
			for ctx.Err() == nil {
				s, err := c.poll(ctx, envelopes.GetRequest, pressed{})
				if err == nil && s.message != "" {
					x.tally.delivered(s.message)
					err = c.ack(context.WithoutCancel(ctx), pressed{}, s.message)
				}
				if err != nil && ctx.Err() == nil {
					x.broken.Add(1)
					x.whys.failed(err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
