package adapter

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// feedStore has a long log and takes note of how much of it is asked for; it gives all of
// that, but in the turn that fails.
type feedStore struct {
	Store
	asked []int
	fails int
	each  []time.Duration // that an entry takes the bus, by turns
	turns int
	stop  context.CancelFunc
}

func (s *feedStore) Feed(_ context.Context, max int, _ func(context.Context, []LogEntry) error) (int, error) {
	turn := len(s.asked)
	if s.asked = append(s.asked, max); len(s.asked) == s.turns {
		s.stop()
	}
	if len(s.asked) == s.fails {
		return 0, errors.New("the bus has not taken all of it")
	}
	if turn < len(s.each) {
		took := time.Duration(max) * s.each[turn]
		time.Sleep(min(took, publishWithin))
		if took > publishWithin {
			return 0, context.DeadlineExceeded
		}
	}
	return max, nil
}

// What fails is put on the bus again as a whole: so what follows a failure is little.
func TestFeedBeginsWithFewEntries(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := &feedStore{fails: 6, turns: 8, stop: stop}
	g := &Gateway{store: s, metrics: newMetrics(prometheus.NewRegistry())}
	if err := g.feed(ctx); err == nil {
		t.Error("a feed that fails goes on")
	}
	if err := g.feed(ctx); err != nil {
		t.Error(err)
	}
	if want := []int{1024, 2048, 4096, 8192, 8192, 8192, 1024, 2048}; !slices.Equal(s.asked, want) {
		t.Errorf("asked for %v entries, want %v", s.asked, want)
	}
}

// A slow bus is given no more than it takes in its time, nor one that has become slow for
// long: what it has not taken then comes again, all of it.
func TestFeedGivesASlowBusWhatItTakes(t *testing.T) {
	const quick, slow, slower, slowest = time.Millisecond / 2, 2 * time.Millisecond, 3 * time.Millisecond, 15 * time.Millisecond
	for name, x := range map[string]struct {
		each []time.Duration
		want []int
	}{
		"quick":         {[]time.Duration{quick, quick, quick, quick, quick, quick}, []int{1024, 2048, 4096, 8192, 8192, 8192}},
		"slow":          {[]time.Duration{slow, slow, slow, slow, slow, slow}, []int{1024, 2048, 4096, 4096, 4096, 4096}},
		"slower":        {[]time.Duration{slower, slower, slower, slower, slower, slower}, []int{1024, 2048, 2048, 2048, 2048, 2048}},
		"slowest":       {[]time.Duration{slowest, slowest, slowest, slowest, slowest, slowest}, []int{1024, 1024, 1024, 1024, 1024, 1024}},
		"becomes slow":  {[]time.Duration{quick, quick, quick, slow, slow, slower}, []int{1024, 2048, 4096, 8192, 4096, 4096}},
		"becomes quick": {[]time.Duration{slower, slower, slower, quick, quick, quick}, []int{1024, 2048, 2048, 2048, 4096, 8192}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				s := &feedStore{each: x.each, turns: len(x.each), stop: stop}
				g := &Gateway{store: s, metrics: newMetrics(prometheus.NewRegistry())}
				if err := g.feed(ctx); err != nil || !slices.Equal(s.asked, x.want) {
					t.Errorf("%v, asked for %v entries, want %v", err, s.asked, x.want)
				}
			})
		})
	}
}
