package adapter

import (
	"context"
	"testing"
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
