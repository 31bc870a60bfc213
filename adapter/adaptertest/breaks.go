package adaptertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/journal"
)

// ErrBroken is what a broken write says.
var ErrBroken = errors.New("broken by the test")

// How a write breaks.
type How int

// The ways: nothing was done; all was done and the word of it was lost; a panic.
const (
	Failed How = iota + 1
	DoneButFailed
	Panicked
)

// String names the way in a test's name.
func (h How) String() string {
	if h == DoneButFailed {
		return "done-but-failed"
	}
	return "failed"
}

// breaker breaks the next calls of named methods.
type breaker struct {
	mu     sync.Mutex
	next   map[string][]How
	always map[string]How
	first  map[string]func()
	calls  map[string]int
}

// Break makes the next call of the method go wrong; several calls of Break
// break several.
func (b *breaker) Break(method string, how How) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = map[string][]How{}
	}
	b.next[method] = append(b.next[method], how)
}

// Always makes every call of the method go wrong from now on; 0 mends it.
func (b *breaker) Always(method string, how How) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.always == nil {
		b.always = map[string]How{}
	}
	b.always[method] = how
}

// Before has something done just before the next call of the method.
func (b *breaker) Before(method string, act func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil {
		b.first = map[string]func(){}
	}
	b.first[method] = act
}

// Calls is how often a method was called.
func (b *breaker) Calls(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[method]
}

// Unbroken reports whether every break has happened.
func (b *breaker) Unbroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.next {
		if len(list) > 0 {
			return false
		}
	}
	return true
}

func (b *breaker) do(method string, act func() error) error {
	b.mu.Lock()
	how := b.always[method]
	if list := b.next[method]; len(list) > 0 {
		how, b.next[method] = list[0], list[1:]
	}
	if b.calls == nil {
		b.calls = map[string]int{}
	}
	b.calls[method]++
	first := b.first[method]
	delete(b.first, method)
	b.mu.Unlock()
	if first != nil {
		first()
	}
	switch how {
	case Failed:
		return ErrBroken
	case Panicked:
		panic(ErrBroken)
	}
	err := act()
	if how == DoneButFailed {
		return ErrBroken
	}
	return err
}

// Breakable is a store whose writes can be broken.
type Breakable struct {
	adapter.Store
	breaker
	accepted []*adapter.Message
}

// Accepted are the messages whose acceptance was committed, broken or not.
func (b *Breakable) Accepted() []*adapter.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.accepted)
}

// Accept is adapter.Store.Accept.
func (b *Breakable) Accept(ctx context.Context, m *adapter.Message, events []journal.Event) (out adapter.Accepted, err error) {
	err = b.do("Accept", func() error {
		if out, err = b.Store.Accept(ctx, m, events); err == nil && out.First == nil {
			kept := *m // the body is the call's, which will reuse it
			kept.Body, kept.Attachments = nil, nil
			b.mu.Lock()
			b.accepted = append(b.accepted, &kept)
			b.mu.Unlock()
		}
		return err
	})
	if err != nil {
		out = adapter.Accepted{}
	}
	return out, err
}

// Record is adapter.Store.Record.
func (b *Breakable) Record(ctx context.Context, events ...journal.Event) error {
	return b.do("Record", func() error { return b.Store.Record(ctx, events...) })
}

// ChangeSettings is adapter.Store.ChangeSettings.
func (b *Breakable) ChangeSettings(ctx context.Context, node string, state []byte, events ...journal.Event) error {
	return b.do("ChangeSettings", func() error { return b.Store.ChangeSettings(ctx, node, state, events...) })
}

// Refuse is adapter.Store.Refuse.
func (b *Breakable) Refuse(ctx context.Context, ev journal.Event, trace, contentType string, body []byte) error {
	return b.do("Refuse", func() error { return b.Store.Refuse(ctx, ev, trace, contentType, body) })
}

// Relay is adapter.Store.Relay. Only passes that have something to relay break: as
// "Relay" in their middle, as "Relayed" when they have committed, so that this is not
// known.
func (b *Breakable) Relay(ctx context.Context, shard, max int, publish func(context.Context, []adapter.Outgoing) ([]journal.Event, error)) (n int, err error) {
	n, err = b.Store.Relay(ctx, shard, max, func(ctx context.Context, batch []adapter.Outgoing) (events []journal.Event, err error) {
		err = b.do("Relay", func() error { events, err = publish(ctx, batch); return err })
		return events, err
	})
	if n > 0 && err == nil {
		err = b.do("Relayed", func() error { return nil })
	}
	return n, err
}

// Feed is adapter.Store.Feed. Only passes that have something to feed break.
func (b *Breakable) Feed(ctx context.Context, max int, publish func(context.Context, []adapter.LogEntry) error) (n int, err error) {
	return b.Store.Feed(ctx, max, func(ctx context.Context, entries []adapter.LogEntry) error {
		return b.do("Feed", func() error { return publish(ctx, entries) })
	})
}

// Passed is adapter.Store.Passed.
func (b *Breakable) Passed(ctx context.Context, from adapter.Partition, group string, committed int64, now time.Time) (n int, err error) {
	err = b.do("Passed", func() error { n, err = b.Store.Passed(ctx, from, group, committed, now); return err })
	return n, err
}

// Standing is adapter.Store.Standing.
func (b *Breakable) Standing(ctx context.Context) (s adapter.Standing, err error) {
	err = b.do("Standing", func() error { s, err = b.Store.Standing(ctx); return err })
	return s, err
}

// Enqueue is adapter.Store.Enqueue.
func (b *Breakable) Enqueue(ctx context.Context, from adapter.Partition, arrivals []adapter.Arrival) (n int, err error) {
	err = b.do("Enqueue", func() error { n, err = b.Store.Enqueue(ctx, from, arrivals); return err })
	return n, err
}

// Lease is adapter.Store.Lease.
func (b *Breakable) Lease(ctx context.Context, p adapter.Poll) (d *adapter.Delivery, err error) {
	err = b.do("Lease", func() error { d, err = b.Store.Lease(ctx, p); return err })
	if err != nil {
		d = nil
	}
	return d, err
}

// Ack is adapter.Store.Ack.
func (b *Breakable) Ack(ctx context.Context, system adapter.Mnemonic, id adapter.MessageID, now time.Time, ev journal.Event, envelope []byte) error {
	return b.do("Ack", func() error { return b.Store.Ack(ctx, system, id, now, ev, envelope) })
}

// Lanes is adapter.Store.Lanes.
func (b *Breakable) Lanes(ctx context.Context) (out []adapter.Lane, err error) {
	err = b.do("Lanes", func() error { out, err = b.Store.Lanes(ctx); return err })
	return out, err
}

// Sweep is adapter.Store.Sweep.
func (b *Breakable) Sweep(ctx context.Context, now time.Time) (out adapter.Swept, err error) {
	err = b.do("Sweep", func() error { out, err = b.Store.Sweep(ctx, now); return err })
	return out, err
}

// BreakableBus is a broker whose writes can be broken.
type BreakableBus struct {
	adapter.Broker
	breaker
	mu        sync.Mutex
	reject    func(adapter.Record) bool
	withhold  func(adapter.Record) bool
	lose      func(adapter.Record) bool
	silent    func(adapter.Record) bool
	kept      map[string]int64 // how many were withheld, by topic
	published []adapter.Record
}

// Published are the records that the bus has acknowledged.
func (b *BreakableBus) Published() []adapter.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.published)
}

// Reject makes the bus refuse for good the records that match; nil: none.
func (b *BreakableBus) Reject(match func(adapter.Record) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reject = match
}

// Withhold makes the bus acknowledge the records that match and keep them to
// itself, as whoever rules it could; nil: none.
func (b *BreakableBus) Withhold(match func(adapter.Record) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withhold = match
}

// Lose makes the bus acknowledge the records that match and have them no more, as
// one does whose broker comes back without its data; nil: none.
func (b *BreakableBus) Lose(match func(adapter.Record) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = match
}

// Extents is adapter.Broker.Extents. What is withheld stands on its topic, unread,
// as far as anybody can ask: the gateway does not take it for lost.
func (b *BreakableBus) Extents(ctx context.Context, topic string) (map[adapter.Partition]adapter.Extent, error) {
	extents, err := b.Broker.Extents(ctx, topic)
	b.mu.Lock()
	defer b.mu.Unlock()
	for at, e := range extents {
		extents[at] = adapter.Extent{First: e.First, End: e.End + b.kept[topic]}
	}
	return extents, err
}

// Silence makes the bus say nothing of the records that match, and not have them; nil: none.
func (b *BreakableBus) Silence(match func(adapter.Record) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = match
}

// Ensure is adapter.Broker.Ensure.
func (b *BreakableBus) Ensure(ctx context.Context, topics []adapter.Topic) error {
	return b.do("Ensure", func() error { return b.Broker.Ensure(ctx, topics) })
}

// Publish is adapter.Broker.Publish.
func (b *BreakableBus) Publish(ctx context.Context, records []adapter.Record) error {
	return b.do("Publish", func() error {
		b.mu.Lock()
		reject, withhold, lose, silent := b.reject, b.withhold, b.lose, b.silent
		b.mu.Unlock()
		var good, kept, lost []adapter.Record
		var bad, unheard, of []int // of: where the good ones were
		for i, r := range records {
			switch {
			case reject != nil && reject(r):
				bad = append(bad, i)
			case silent != nil && silent(r):
				unheard = append(unheard, i)
			case withhold != nil && withhold(r):
				kept = append(kept, r)
			case lose != nil && lose(r):
				lost = append(lost, r)
			default:
				good, of = append(good, r), append(of, i)
			}
		}
		for i := range records {
			records[i].Offset = -1 // of those that are nowhere
		}
		err := b.Broker.Publish(ctx, good)
		var unpublished *adapter.UnpublishedError
		if err != nil && !errors.As(err, &unpublished) {
			return err
		}
		missing := map[int]bool{}
		if unpublished != nil {
			for k, n := range unpublished.Indexes {
				missing[n], unpublished.Indexes[k] = true, of[n]
			}
		}
		on := make([]adapter.Record, 0, len(good))
		for n, i := range of {
			if !missing[n] {
				records[i].Partition, records[i].Offset = good[n].Partition, good[n].Offset
				on = append(on, good[n])
			}
		}
		b.mu.Lock()
		b.published = append(append(append(b.published, on...), kept...), lost...) // in place: all that was ever published is long
		for _, r := range kept {
			b.kept[r.Topic]++
		}
		b.mu.Unlock()
		if len(bad) > 0 {
			err = errors.Join(err, &adapter.RejectedError{Indexes: bad, Err: errors.New("too large, says the test")})
		}
		if len(unheard) > 0 {
			if unpublished == nil {
				unpublished = &adapter.UnpublishedError{Err: errors.New("a leader is silent, says the test")}
				err = errors.Join(err, unpublished)
			}
			unpublished.Indexes = append(unpublished.Indexes, unheard...)
		}
		return err
	})
}
