package postgres

import (
	"testing"
	"time"
)

// The lock of an older release is passed over when one and the same row has been
// the oldest for a term.
func TestWhatIsStuck(t *testing.T) {
	l := &leads{term: time.Minute, stuck: map[string]stuck{}}
	w := relayWork(3)
	later := func(d time.Duration) {
		s := l.stuck[w.name]
		s.since = s.since.Add(-d)
		l.stuck[w.name] = s
	}
	want := func(after string, want bool) {
		t.Helper()
		if got := l.isStuck(w); got != want {
			t.Errorf("%s: stuck %v, want %v", after, got, want)
		}
	}
	want("nothing waits", false)
	l.waiting(w, 1)
	want("a row waits", false)
	later(50 * time.Second)
	l.waiting(w, 1)
	want("for less than a term", false)
	later(20 * time.Second)
	want("for more than a term", true)
	l.waiting(w, 1)
	want("the same row", true)
	l.waiting(w, 2)
	want("another row is the oldest", false)
	later(time.Hour)
	want("which does not move either", true)
	l.moved(w)
	want("rows have gone", false)
	if l.isStuck(relayWork(4)) {
		t.Error("another shard is stuck")
	}
}
