package adapter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Clock is the time of the exchange as this node has it. All nodes go by one
// clock, the database's: what one node accepts, another leases, sweeps and
// journals, and ages taken from two clocks are wrong by what they differ.
//
// The database is asked every few seconds; between, time runs by this machine's
// monotonic counter, which nobody sets. So a step of this machine's clock moves
// nothing here. A step of the database's clock is followed when it has lasted for
// a minute: one that is taken back within seconds would else end leases and
// lives of messages, and put the log's time, which never goes back, into the
// future. A step beyond Refuse is followed only when this machine's own clock has
// come to agree with it; until then nobody knows which of the two is right, and
// Trusted says so.
type Clock struct {
	Ask    func(context.Context) (time.Time, error) // the database's clock
	Wall   func() time.Time                         // this machine's; default time.Now
	Ticks  func() time.Duration                     // monotonic; default by time.Now
	Tell   time.Duration                            // a difference worth telling
	Refuse time.Duration                            // a difference beyond which nothing may be accepted
	Log    *slog.Logger

	once sync.Once
	mu   sync.Mutex

	base     time.Time     // the database's time
	at       time.Duration // and the tick when it was so
	skew     time.Duration // this machine's clock minus the database's
	within   time.Duration // how wrong skew may be: half of the answer's way
	jumped   *time.Duration
	apart    *time.Duration // since when skew has been beyond Refuse; from the first answer on if it was so then
	told     bool
	toldJump bool
	away     bool // the database did not answer
}

const (
	// clockStep is what the two clocks may gain on one another between two
	// questions without anybody having set one.
	clockStep = time.Second
	// clockLasts is how long a step has to last before it is believed.
	clockLasts = time.Minute
	// clockRound is the longest way of an answer that is worth anything.
	clockRound = 2 * time.Second
)

func (c *Clock) init() {
	c.once.Do(func() {
		if c.Wall == nil {
			c.Wall = time.Now
		}
		if c.Ticks == nil {
			c.Ticks = ticks()
		}
		if c.Log == nil {
			c.Log = slog.Default()
		}
	})
}

// ticks is the machine's monotonic counter.
func ticks() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Now is the database's time as far as this node knows it; before the database
// has been asked, this machine's.
func (c *Clock) Now() time.Time {
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.IsZero() {
		return c.Wall().Round(0)
	}
	return c.base.Add(c.Ticks() - c.at)
}

// Measure asks the database for its time once.
func (c *Clock) Measure(ctx context.Context) error {
	c.init()
	wall, from := c.Wall().Round(0), c.Ticks() // Round takes the monotonic reading off
	database, err := c.Ask(ctx)
	if err != nil {
		return fmt.Errorf("asking for the database's time: %w", err)
	}
	way := c.Ticks() - from
	c.mu.Lock()
	defer c.mu.Unlock()
	if way > clockRound && !c.base.IsZero() {
		return nil // says too little; the next answer will be quicker
	}
	middle := from + way/2
	c.skew, c.within = wall.Add(way/2).Sub(database), way/2
	first := c.base.IsZero()
	if first {
		c.base, c.at = database, middle
	} else {
		c.follow(database, middle)
	}
	c.judge(middle, first)
	return nil
}

// follow takes the database's time over, unless it has jumped.
func (c *Clock) follow(database time.Time, tick time.Duration) {
	drift := database.Sub(c.base.Add(tick - c.at))
	if drift.Abs() <= clockStep+c.within {
		c.jumped = nil
		if c.toldJump {
			c.toldJump = false
			c.Log.Warn("the database's clock is back where it was", "difference", drift.Round(time.Millisecond))
		}
		if drift.Abs() > c.within {
			c.base, c.at = database, tick
		}
		return
	}
	if c.jumped == nil {
		c.jumped = &tick
	}
	if !c.toldJump {
		c.toldJump = true
		c.Log.Error("the database's clock has jumped; it is not followed before this has lasted for a minute", "by", drift.Round(time.Millisecond))
	}
	if tick-*c.jumped < clockLasts || drift.Abs() > c.Refuse && c.skew.Abs() > c.Refuse {
		return
	}
	c.base, c.at, c.jumped, c.toldJump = database, tick, nil, false
	c.Log.Warn("the time of this node follows the database's clock, which has jumped", "by", drift.Round(time.Millisecond))
}

// judge remembers whether the two clocks are too far apart, and tells once.
func (c *Clock) judge(tick time.Duration, first bool) {
	if far := c.skew.Abs() - c.within; far <= c.Refuse {
		c.apart = nil
	} else if c.apart == nil {
		c.apart = &tick
		if first {
			began := tick - clockLasts
			c.apart = &began // there is no time before that could be gone by
		}
	}
	far := c.skew.Abs() > c.Tell+c.within
	switch {
	case far && !c.told:
		c.Log.Warn("this node's clock differs from the database's: synchronise both", "node minus database", c.skew.Round(time.Millisecond), "within", c.within.Round(time.Millisecond))
	case !far && c.told:
		c.Log.Info("this node's clock and the database's agree again", "node minus database", c.skew.Round(time.Millisecond))
	}
	c.told = far
}

// Skew is this machine's clock minus the database's, and how wrong that may be.
func (c *Clock) Skew() (skew, within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew, c.within
}

// SkewError says that the clocks of node and database are so far apart that
// nothing may be accepted, ended or journalled by either.
type SkewError struct{ Skew, Bound time.Duration }

func (e *SkewError) Error() string {
	where := "ahead of"
	if e.Skew < 0 {
		where = "behind"
	}
	return fmt.Sprintf("this node's clock is %s %s the database's, more than clock.refuse (%s): one of them is wrong; synchronise both (chronyc tracking, timedatectl), nothing has to be restarted",
		e.Skew.Abs().Round(time.Second), where, e.Bound)
}

// Trusted is nil when the time may be gone by, else a *SkewError. A difference
// has to last for a minute, unless it was there from the start: until then time
// runs on as it was when the clocks agreed.
func (c *Clock) Trusted() error {
	if c == nil {
		return nil // the machine's clock is all there is
	}
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apart == nil || c.Ticks()-*c.apart < clockLasts {
		return nil
	}
	return &SkewError{Skew: c.skew, Bound: c.Refuse}
}

// keep waits and measures; false says that ctx ended.
func (c *Clock) keep(ctx context.Context, every time.Duration) bool {
	if !sleep(ctx, every) {
		return false
	}
	round, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := c.Measure(round)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !c.away && ctx.Err() == nil {
		c.Log.Warn("the database does not tell its time; this node's runs on by itself", "error", err)
	}
	c.away = err != nil
	return ctx.Err() == nil
}
