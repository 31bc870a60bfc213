package postgres

import (
	"testing"
	"testing/synctest"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/gather"
)

// The gateway's own words, which nobody waits for, are committed together; whoever waits is
// committed at once, and they with him.
func TestOwnWordsWaitForOneAnother(t *testing.T) {
	const own, theirs = adapter.DirAsync, adapter.DirRequest
	for name, c := range map[string]struct {
		come  []adapter.Direction // one each 1.5 ms
		want  int                 // in the first batch
		after time.Duration
	}{
		"a request goes at once":     {[]adapter.Direction{theirs, theirs}, 1, 0},
		"own words wait":             {[]adapter.Direction{own, own, own}, 3, gather.Most},
		"and go with whoever comes":  {[]adapter.Direction{own, own, theirs, own}, 3, 3 * time.Millisecond},
		"no longer than for a while": {make([]adapter.Direction, 20), 7, gather.Most},
		"a word alone waits in vain": {[]adapter.Direction{own}, 1, gather.Most},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{accepts: make(chan *accept, 4*batchRows)}
				go func() {
					for _, d := range c.come {
						if d == "" {
							d = own
						}
						s.accepts <- &accept{message: &adapter.Message{Direction: d}}
						time.Sleep(1500 * time.Microsecond)
					}
				}()
				first, began := <-s.accepts, time.Now()
				batch, next := s.together(first)
				if took := time.Since(began); len(batch) != c.want || next != nil || took != c.after {
					t.Errorf("%d after %s, next %v; want %d after %s", len(batch), took, next, c.want, c.after)
				}
				time.Sleep(time.Second)
			})
		})
	}
	s := &Store{accepts: make(chan *accept, 4*batchRows)}
	for range gather.Together + 1 {
		s.accepts <- &accept{message: &adapter.Message{Direction: own}}
	}
	if batch, _ := s.together(<-s.accepts); len(batch) != gather.Together+1 {
		t.Errorf("%d of those that are there, want all %d", len(batch), gather.Together+1)
	}
}
