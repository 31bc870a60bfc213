package adapter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// three clocks: the database's and this machine's, which are set at will, and the
// machine's counter, which nobody sets.
type three struct {
	*adapter.Clock
	t        *testing.T
	start    time.Time
	passed   time.Duration
	database time.Duration // wrong by
	machine  time.Duration
	way      time.Duration // of each answer
	log      bytes.Buffer
}

func newThree(t *testing.T, machine time.Duration) *three {
	c := &three{t: t, start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), machine: machine, way: 2 * time.Millisecond}
	c.Clock = &adapter.Clock{
		Ask: func(context.Context) (time.Time, error) {
			c.passed += c.way / 2
			at := c.true().Add(c.database)
			c.passed += c.way - c.way/2
			return at, nil
		},
		Wall: func() time.Time { return c.true().Add(c.machine) }, Ticks: func() time.Duration { return c.passed },
		Tell: 2 * time.Second, Refuse: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(&c.log, nil)),
	}
	c.ask()
	return c
}

func (c *three) true() time.Time { return c.start.Add(c.passed) }

func (c *three) ask() {
	c.t.Helper()
	if err := c.Measure(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// wait lets time pass; the database is asked every five seconds.
func (c *three) wait(d time.Duration) {
	c.t.Helper()
	for end := c.passed + d; c.passed < end; {
		c.passed += 5 * time.Second
		c.ask()
	}
}

// wrong is how far the time that the node goes by is from the true one.
func (c *three) wrong() time.Duration { return c.Now().Sub(c.true()).Round(10 * time.Millisecond) }

func (c *three) want(what string, wrong time.Duration, trusted bool) {
	c.t.Helper()
	if got := c.wrong(); got != wrong {
		c.t.Errorf("%s: the node's time is wrong by %v, want %v", what, got, wrong)
	}
	if err := c.Trusted(); (err == nil) != trusted {
		c.t.Errorf("%s: trusted: %v, want %v", what, err, trusted)
	}
}

func TestClockOfTheMachine(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		c := newThree(t, 0)
		c.wait(time.Minute)
		c.want("at first", 0, true)
		c.machine = off
		c.wait(30 * time.Second)
		c.want("set for seconds", 0, true)
		c.machine = 0
		c.wait(time.Minute)
		c.want("set back", 0, true)
		c.machine = off
		c.wait(2 * time.Minute)
		c.want("set for good", 0, false)
		c.machine = 3 * time.Second
		c.wait(5 * time.Second)
		c.want("mended", 0, true)
		if n := strings.Count(c.log.String(), "this node's clock differs from the database's"); n != 2 {
			t.Errorf("it is told %d times, want twice:\n%s", n, c.log.String())
		}
	}
}

func TestClockThatWasWrongFromTheStart(t *testing.T) {
	c := newThree(t, time.Hour)
	c.want("at the start", 0, false)
	var skew *adapter.SkewError
	if err := c.Trusted(); !errors.As(err, &skew) || !strings.Contains(err.Error(), "1h0m0s ahead of the database's") {
		t.Errorf("it says %v", err)
	}
}

// A step of the database's clock is followed when it has lasted, and not when the
// machine's own clock says that it is the database's that is wrong.
func TestClockOfTheDatabase(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		c := newThree(t, 0)
		c.database = off
		c.wait(30 * time.Second)
		c.want("set for seconds", 0, true)
		c.database = 0
		c.wait(time.Minute)
		c.want("set back", 0, true)

		c.database = off
		c.wait(5 * time.Minute)
		c.want("set for good", 0, false)
		c.machine = off
		c.wait(5 * time.Second)
		c.want("and the machine's agrees: both were wrong before", off, true)
	}
	c := newThree(t, 0)
	c.database = 2 * time.Minute
	c.wait(55 * time.Second)
	c.want("a small step at first", 0, true)
	c.wait(30 * time.Second)
	c.want("a small step that lasts", 2*time.Minute, true)
	for range 100 {
		c.database += 10 * time.Millisecond // as slewing does
		c.wait(5 * time.Second)
	}
	c.want("slewed", 2*time.Minute+time.Second, true)
}

func TestClockOfASlowDatabase(t *testing.T) {
	c := newThree(t, 0)
	c.way = 1900 * time.Millisecond
	c.wait(time.Minute)
	c.want("slow answers", 0, true)
	if _, within := c.Skew(); within != 950*time.Millisecond {
		t.Errorf("the difference is known within %v, want half of the way", within)
	}
	c.way, c.machine = 3*time.Second, time.Hour
	c.ask()
	if skew, _ := c.Skew(); skew != 0 {
		t.Errorf("an answer that took three seconds is believed: %v", skew)
	}
}

// Two nodes whose machines are two hours apart, each an hour off, and parties that
// know the time: what one node does holds for the other. The bound is lifted here,
// so that what would be refused is seen to go right.
func TestNodesHoursApart(t *testing.T) {
	t.Parallel()
	fast, slow := &adaptertest.Clock{}, &adaptertest.Clock{}
	fast.Advance(time.Hour)
	slow.Advance(-time.Hour)
	w := adaptertest.Start(t, adaptertest.WithMachine(fast), adaptertest.WithConfig(func(c *adapter.Config) {
		c.Clock.Refuse = yamlfile.Period(100 * time.Hour)
		c.Limits.PollAge = new(yamlfile.Period(5 * time.Minute))
	}))
	behind := w.JoinMachine("behind", slow)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	at := []*adaptertest.Party{muni, muni.At(behind)}

	// Shelf life: nearly a day old, and a few minutes ahead.
	for _, age := range []time.Duration{24*time.Hour - time.Minute, -4 * time.Minute} {
		for _, m := range at {
			accepted(t, m.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), ID: adaptertest.MessageIDAt(w.Clock.Now().Add(-age))}))
		}
	}
	// Dedup: a repetition at the other node gets the receipt of the first.
	contentType, body, id := muni.BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), EOL: w.Clock.Now().Add(10 * time.Minute)})
	first := accepted(t, at[1].Post("/ws", contentType, body))
	again := accepted(t, at[0].Post("/ws", contentType, body))
	if first.Receipt.MessageID != id || !again.Receipt.Sent.Equal(first.Receipt.Sent) {
		t.Errorf("the receipt at the other node: %+v, want %+v", again.Receipt, first.Receipt)
	}
	w.AwaitQueued(5)
	// Poll age and leases: whatever one node has handed out, the other does not.
	var ids []string
	for i := range 5 {
		d := []*adaptertest.Party{registry, registry.At(behind)}[i%2].Get(envelopes.GetRequest, anything, "")
		if d.Fault != nil || d.Message == nil {
			t.Fatalf("poll %d: %v, a message is there: %v", i, d.Fault, d.Message != nil)
		}
		ids = append(ids, d.Message.Metadata.MessageID)
		if got, now := d.Message.Metadata.Delivered, w.Clock.Now(); now.Sub(got).Abs() > time.Minute {
			t.Errorf("delivered at %v, it is %v", got, now)
		}
	}
	for _, r := range []*adaptertest.Party{registry, registry.At(behind)} {
		if d := r.Get(envelopes.GetRequest, anything, ""); d.Message != nil {
			t.Error("a message was handed out while its lease ran")
		}
	}
	// Terms and leases under the sweep of both: nothing comes to its end.
	sweeps := w.Store.Calls("Sweep")
	w.Eventually("both have swept", func() bool { return w.Store.Calls("Sweep") > sweeps+20 })
	for i, id := range ids {
		accepted(t, []*adaptertest.Party{registry.At(behind), registry}[i%2].Ack(id))
	}
	w.Check()
	if w.Late != 0 {
		t.Errorf("%d entries are late", w.Late)
	}
}

// A node whose clock nobody can rely on accepts nothing and says why; what it has
// accepted before is handed out and acknowledged.
func TestNodeWithAWrongClock(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
	w.AwaitQueued(1)
	wrong := &adaptertest.Clock{}
	wrong.Advance(time.Hour)
	node := w.JoinMachine("wrong", wrong)
	a := w.Party("MUNI").At(node).Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	if a.Status != http.StatusServiceUnavailable || a.Fault == nil || !strings.Contains(a.Fault.Error(), "расходятся на 3600 с") {
		t.Errorf("it answers %d %v", a.Status, a.Fault)
	}
	answer, err := w.HTTP.Get(node + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said readiness
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusServiceUnavailable || said.Ready || !strings.Contains(said.Clock, "1h0m0s ahead of the database's") {
		t.Errorf("/readyz: %d %+v", answer.StatusCode, said)
	}
	d := w.Party("REGISTRY").At(node).Await(envelopes.GetRequest, "").Message
	accepted(t, w.Party("REGISTRY").At(node).Ack(d.Metadata.MessageID))
	wrong.Advance(-time.Hour)
	w.Eventually("the clock is right, and it accepts", func() bool {
		return w.Party("MUNI").At(node).Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}).Fault == nil
	})
	w.Check()
}

// A machine's clock that is an hour ahead for seconds would leave the log's time
// there, because that never goes back: for an hour no entry would say when it was
// logged.
func TestAStepDoesNotPinTheLog(t *testing.T) {
	t.Parallel()
	machine := &adaptertest.Clock{}
	w := adaptertest.Start(t, adaptertest.WithMachine(machine))
	stop := w.StartSequencer()
	for _, step := range []time.Duration{0, time.Hour, -time.Hour} {
		machine.Advance(step)
		for range 3 {
			accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}))
		}
		looks := w.Store.Calls("Standing")
		w.Eventually("clocks were compared", func() bool { return w.Store.Calls("Standing") > looks+3 })
	}
	w.AwaitQueued(9)
	stop()
	w.Check()
	if w.Late != 0 {
		t.Errorf("%d entries are late", w.Late)
	}
}
