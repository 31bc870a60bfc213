package adapter_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
)

// counting counts how often a bus is asked how it is, and how many ask at once.
type counting struct {
	adapter.Broker
	asked, now, most atomic.Int64
}

func (c *counting) Health(ctx context.Context) error {
	c.asked.Add(1)
	if n := c.now.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.now.Add(-1)
	return c.Broker.Health(ctx)
}

// Whoever asks whether a node is ready, and it may be anybody, shares the bus's answer.
func TestTheBusIsAskedOnceForAllWhoAsk(t *testing.T) {
	bus := &counting{}
	w := adaptertest.Start(t, adaptertest.WithRooms(func(r *adapter.Rooms) { bus.Broker, r.Broker = r.Broker, bus }))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if status, _, _ := get(t, w.URL+"/readyz"); status != http.StatusOK {
					t.Errorf("/readyz: %d", status)
				}
			}
		})
	}
	all.Wait()
	if asked, most := bus.asked.Load(), bus.most.Load(); asked == 0 || most != 1 || asked > 200 {
		t.Errorf("400 who ask whether it is ready have asked the bus %d times, %d at once", asked, most)
	}
}
