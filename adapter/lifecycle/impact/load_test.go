package impact_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/registry"
)

// broken keeps nothing: it fails, or panics, or never comes back.
type broken struct {
	impact.Shadows
	kept func(context.Context) error
}

func (b broken) AddShadow(ctx context.Context, _ []impact.Draft, _ []impact.Tally, _ []impact.Seen) error {
	return b.kept(ctx)
}

// shadowed is a gateway with a draft beside the version in use, and what holds messages
// against it, with a store of its own; loop says that it runs.
func shadowed(t testing.TB, store impact.Shadows, draft, loop bool) (*adaptertest.World, *impact.Shadow) {
	var shadow *impact.Shadow
	w := adaptertest.Start(t, func(w *adaptertest.World) {
		if draft {
			w.Write("services/extract/3.0/service.yaml", strictSettings+"shadow: true\n")
			w.Write("services/extract/3.0/s.xsd", strictSchema())
		}
		adaptertest.WithRooms(func(r *adapter.Rooms) {
			shadow = impact.NewShadow(store, func() *registry.Catalog { return w.Gateway.Catalog() }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			r.Shadow = shadow.Offer
			if loop {
				r.Loops = append(r.Loops, adapter.Loop{Name: "shadow", Run: shadow.Run})
			}
		})(w)
	})
	return w, shadow
}

// Whatever becomes of who holds messages against drafts, what is accepted is accepted: it
// stands still, and what has no room is dropped and counted, however many bring it at once.
func TestAShadowStopsNoAccept(t *testing.T) {
	w, shadow := shadowed(t, broken{}, true, false)
	catalog := w.Gateway.Catalog()
	body := make([]byte, impact.MostBytes/100)
	var work sync.WaitGroup
	const together, each = 8, 200
	var most atomic.Int64
	for range together {
		work.Go(func() {
			for range each {
				shadow.Offer(catalog, adapter.Shadowed{Service: catalog.Service("extract", "1.0"), Body: body})
				for n := shadow.Waiting(); ; { // the highest that anybody has seen
					old := most.Load()
					if n <= old || most.CompareAndSwap(old, n) {
						break
					}
				}
			}
		})
	}
	for range 5 { // meanwhile
		send(w, "MUNI", adaptertest.Content(adaptertest.Extract1))
	}
	work.Wait()
	taken := shadow.Waiting() / int64(len(body))
	if taken < 99 || taken > 100 {
		t.Errorf("%d bodies wait, want those for which there is room", taken)
	}
	if n := shadow.Dropped(); n < together*each-taken || n > together*each-taken+5 {
		t.Errorf("%d were dropped of %d offered, %d wait", n, together*each, taken)
	}
	if over := most.Load() - impact.MostBytes; over > together*int64(len(body)) {
		t.Errorf("%d octets more than there is room for were held at once", over)
	}
	w.Check()
}

// A store that fails, panics or never answers is the shadow's own misfortune.
func TestAShadowWithABrokenStoreStopsNoAccept(t *testing.T) {
	var called atomic.Int64
	w, _ := shadowed(t, broken{kept: func(ctx context.Context) error {
		switch called.Add(1) {
		case 1:
			return errors.New("the disk is full")
		case 2:
			panic("a mistake of ours")
		}
		<-ctx.Done()
		return ctx.Err()
	}}, true, true)
	for n := range int64(3) {
		send(w, "MUNI", adaptertest.Content(adaptertest.Extract1))
		w.Eventually("the store has failed, panicked, stands", func() bool { return called.Load() > n })
	}
	for range 20 {
		send(w, "MUNI", adaptertest.Content(adaptertest.Extract1))
	}
	w.Check()
}

// Drafts have their share of a processor and no more: what the loop works it rests many
// times over.
func TestAShadowRests(t *testing.T) {
	w, shadow := shadowed(t, broken{kept: func(context.Context) error { return nil }}, true, false)
	for range 100 {
		send(w, "MUNI", adaptertest.ContentFor(adaptertest.Extract1, "77"))
	}
	rested, pauses := time.Duration(0), 0
	shadow.Rests(func(d time.Duration) { rested, pauses = rested+d, pauses+1 })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- shadow.Run(ctx) }()
	w.Eventually("all were held against the draft", func() bool { return shadow.Waiting() == 0 })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The last message may have ended the loop before it could rest of it.
	if busy := shadow.Busy(); rested < (impact.Share-1)*busy*3/4-impact.LeastRest || busy == 0 {
		t.Errorf("it worked for %s and rested for %s, in %d pieces", busy, rested, pauses)
	}
}

// BenchmarkAcceptBesideADraft is what a whole accepted request takes: with no draft, with
// one that is held against every message, and with one whose queue is full, so that
// everything is dropped.
func BenchmarkAcceptBesideADraft(b *testing.B) {
	nothing := broken{kept: func(context.Context) error { return nil }}
	for _, c := range []struct {
		name              string
		draft, loop, full bool
	}{{"none", false, true, false}, {"held", true, true, false}, {"dropped", true, false, true}} {
		b.Run(c.name, func(b *testing.B) {
			w, shadow := shadowed(b, nothing, c.draft, c.loop)
			if c.full {
				for range impact.MostWaiting {
					shadow.Offer(w.Gateway.Catalog(), adapter.Shadowed{Service: w.Gateway.Catalog().Service("extract", "1.0"), Body: []byte("x")})
				}
			}
			content := adaptertest.ContentFor(adaptertest.Extract1, "77")
			b.ResetTimer()
			for range b.N {
				send(w, "MUNI", content)
			}
			b.ReportMetric(float64(shadow.Dropped())/float64(b.N), "dropped/op")
		})
	}
}

// BenchmarkOffer is what an accept pays for drafts itself: nothing waits, there is room, or
// there is none.
func BenchmarkOffer(b *testing.B) {
	w, shadow := shadowed(b, broken{}, true, false)
	catalog := w.Gateway.Catalog()
	for _, c := range []struct{ name, service, version string }{{"no draft", "news", "1.0"}, {"full", "extract", "1.0"}} {
		m := adapter.Shadowed{Service: catalog.Service(c.service, c.version), Body: make([]byte, 40<<10)}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				shadow.Offer(catalog, m)
			}
		})
	}
}
