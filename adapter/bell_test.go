package adapter

import "testing"

func heard(w *waiter) bool { return len(w.rung) > 0 }

// As many polls wake as messages have come, longest waiting first; those with a
// selector wake besides.
func TestBellsWakeAsManyAsCame(t *testing.T) {
	q := Queue{System: "REGISTRY", Kind: QueueRequests}
	var b bells
	b.ring(q, 3) // nobody is there
	row := []*waiter{b.wait(q, false), b.wait(q, true), b.wait(q, false), b.wait(q, false)}
	other := b.wait(Queue{System: "MUNI", Kind: QueueRequests}, false)
	b.ring(q, 2)
	for i, want := range []bool{true, true, true, false} {
		if got := heard(row[i]); got != want {
			t.Errorf("waiter %d heard: %v, want %v", i, got, want)
		}
	}
	if heard(other) {
		t.Error("a poll at another queue was woken")
	}
	b.ringAll()
	if !heard(row[3]) || !heard(other) {
		t.Error("not all were woken")
	}
}

// A ring that its poll did not need is passed on, and one that was heard is not.
func TestBellsPassOn(t *testing.T) {
	q := Queue{System: "REGISTRY", Kind: QueueRequests}
	var b bells
	first, second, third := b.wait(q, false), b.wait(q, false), b.wait(q, false)
	b.ring(q, 1)
	b.leave(first) // its caller went away
	if !heard(second) || heard(third) {
		t.Fatalf("second heard %v, third %v; want the second alone", heard(second), heard(third))
	}
	<-second.rung
	b.leave(second)
	if heard(third) {
		t.Error("a ring that was heard was passed on")
	}
	b.leave(third) // without a ring
	if len(b.waiters) != 0 {
		t.Errorf("%d rows are left behind", len(b.waiters))
	}
}
