package lately

import "testing"

// The last ones are known, and no more than twice as many are kept, however many come.
func TestTheLastOnesAreKnown(t *testing.T) {
	m := Map[int, int]{Most: 10}
	for i := range 1000 {
		m.Put(i, -i)
		for k := max(0, i-9); k <= i; k++ {
			if v, ok := m.Get(k); !ok || v != -k {
				t.Fatalf("after %d, of %d is known %d, %v", i, k, v, ok)
			}
		}
		if m.Len() > 20 {
			t.Fatalf("%d are kept", m.Len())
		}
	}
	if v, ok := m.Get(0); ok || v != 0 {
		t.Errorf("the first one is known as %d", v)
	}
}

// What was put last counts, whichever half it stands in, and what is forgotten is forgotten in
// both.
func TestWhatWasPutLastCounts(t *testing.T) {
	m := Map[string, int]{Most: 2}
	is := func(n int) func(int) bool { return func(v int) bool { return v == n } }
	m.Put("a", 1)
	m.Put("b", 1)
	m.Put("a", 2) // in the younger half
	m.Delete("a", is(3))
	if v, _ := m.Get("a"); v != 2 {
		t.Errorf("a is %d", v)
	}
	m.Delete("a", is(1)) // in the older half
	m.Delete("a", is(2))
	if v, ok := m.Get("a"); ok {
		t.Errorf("a is %d", v)
	}
	if _, ok := m.Get("b"); !ok {
		t.Error("b is forgotten")
	}
}
