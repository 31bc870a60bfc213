package adapter

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// feedStore has a long log and takes note of how much of it is asked for; it gives all of
// that, until the turn that fails.
type feedStore struct {
	Store
	asked []int
	fails int
	stop  context.CancelFunc
}

func (s *feedStore) Feed(_ context.Context, max int, _ func(context.Context, []LogEntry) error) (int, error) {
	s.asked = append(s.asked, max)
	switch len(s.asked) {
	case s.fails:
		return 0, errors.New("the bus has not taken all of it")
	case s.fails + 2:
		s.stop()
	}
	return max, nil
}

// What fails is put on the bus again as a whole: so what follows a failure is little.
func TestFeedBeginsWithFewEntries(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := &feedStore{fails: 6, stop: stop}
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
