package adapter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Nobody has more places of a share than there are, once those who were at work beyond it
// have ended, however many wait: neither after polls that waited for messages have come
// back together, nor after a reload has made the share smaller.
func TestASharePastItsBoundShrinksWhileOthersWait(t *testing.T) {
	t.Parallel()
	h := holder{ofParty, "MUNI"}
	for name, x := range map[string]struct{ held, most int }{
		"polls came back":         {held: 4, most: 2},
		"the share was made less": {held: 2, most: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlaces(100)
			for range x.held {
				p.again()
				p.back([]holder{h})
			}
			entered := make(chan error, 1)
			go func() {
				err := p.take(context.Background())
				if err == nil {
					err = p.enter(context.Background(), h, x.most)
				}
				entered <- err
			}()
			for waits := 0; waits == 0; time.Sleep(time.Millisecond) {
				p.mu.Lock()
				waits = len(p.wanted[h])
				p.mu.Unlock()
			}
			for held := x.held; held > x.most; held-- {
				p.leave([]holder{h})
				p.give()
				p.mu.Lock()
				got, waits := p.held[h], len(p.wanted[h])
				p.mu.Unlock()
				if got != held-1 || waits != 1 {
					t.Errorf("%d are at work and %d wait, want %d and one", got, waits, held-1)
				}
			}
			p.leave([]holder{h})
			p.give()
			if err := <-entered; err != nil {
				t.Errorf("who waited is told %v when there is a place", err)
			}
			for range x.most {
				p.leave([]holder{h})
				p.give()
			}
			if len(p.held)+len(p.wanted)+len(p.all) != 0 {
				t.Errorf("at the end %v are held, %v wait, %d are at work", p.held, p.wanted, len(p.all))
			}
		})
	}
}

// Who waits for a place of a share is told after placePatience that there is none, each after
// its own, in its own order; who goes away before leaves the line, and who is left in it has
// the place that is given back.
func TestWaitingForAShareEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, h := newPlaces(10), holder{ofParty, "MUNI"}
		p.again()
		p.back([]holder{h})
		ended := map[string]chan error{}
		began := time.Now()
		wait := func(who string, ctx context.Context) {
			ended[who] = make(chan error, 1)
			go func() {
				p.again()
				ended[who] <- p.enter(ctx, h, 1)
			}()
			synctest.Wait()
		}
		for round := range 2 { // the second finds that nobody waited for long
			going, goAway := context.WithCancel(context.Background())
			wait("first", context.Background())
			time.Sleep(placePatience / 2)
			wait("goes", going)
			wait("second", context.Background())
			wait("third", context.Background())
			if goAway(); !errors.Is(<-ended["goes"], context.Canceled) {
				t.Error("who went away was not told so")
			}
			if err := <-ended["first"]; err != errNoPlace || time.Since(began) != placePatience {
				t.Errorf("round %d: the first is told %v after %v, want %v after %v", round, err, time.Since(began), errNoPlace, placePatience)
			}
			p.leave([]holder{h})
			if err := <-ended["second"]; err != nil {
				t.Errorf("round %d: the second is told %v when there is a place", round, err)
			}
			if err := <-ended["third"]; err != errNoPlace || time.Since(began) != 3*placePatience/2 {
				t.Errorf("round %d: the third is told %v after %v, want %v after %v", round, err, time.Since(began), errNoPlace, 3*placePatience/2)
			}
			for range 4 {
				p.give()
			}
			time.Sleep(3 * placePatience)
			p.mu.Lock()
			if len(p.wanted) != 0 || p.held[h] != 1 || len(p.all) != 1 || p.loses {
				t.Errorf("round %d: at the end %v are held, %v wait (looked for: %t), %d are at work", round, p.held, p.wanted, p.loses, len(p.all))
			}
			p.mu.Unlock()
			began = time.Now()
		}
	})
}

// Whoever is given a place, loses patience and goes away in one moment has the place or has
// it not: none is given to nobody, and none twice.
func TestNoPlaceOfAShareIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most, step = 3, placePatience / 4
		p := newPlaces(20)
		shares := []holder{{ofParty, "MUNI"}, {ofParty, "ZAGS"}, {ofService, "births"}}
		var at [3]atomic.Int32
		var told [3]atomic.Int32 // of a place, that there is none, and who went away
		var all sync.WaitGroup
		for caller := range 150 {
			all.Go(func() {
				for call := range 20 {
					n := caller*7 + call*13
					share := n % len(shares)
					h := shares[share]
					p.again()
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+n%5)*step) // the fourth is placePatience
					err := p.enter(ctx, h, most)
					cancel()
					switch {
					case err == nil:
						told[0].Add(1)
						if held := at[share].Add(1); held > most {
							t.Errorf("%d have a place of %v, of which there are %d", held, h, most)
						}
						time.Sleep(time.Duration(n%3) * step)
						at[share].Add(-1)
						p.leave([]holder{h})
					case errors.Is(err, errNoPlace):
						told[1].Add(1)
					default:
						told[2].Add(1)
					}
					p.give()
				}
			})
		}
		all.Wait()
		time.Sleep(2 * placePatience)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.held) > 0 || len(p.wanted) > 0 || p.loses || len(p.all) > 0 {
			t.Errorf("at the end %v are held, %v wait (looked for: %t), %d are at work", p.held, p.wanted, p.loses, len(p.all))
		}
		for i := range told {
			if told[i].Load() == 0 {
				t.Errorf("nobody was told one of the three: %d, %d, %d", told[0].Load(), told[1].Load(), told[2].Load())
			}
		}
	})
}
