package clerk

import (
	"fmt"
	"strings"
	"testing"
)

// The entries of the last messages are remembered, at least half of what there is
// room for and never more than it.
func TestRecentForgetsTheOlderHalf(t *testing.T) {
	var r recent
	name := func(i int) string { return fmt.Sprintf("019c0000-0000-7000-8000-%012x", i) }
	for i := range 3*recentHalf + 1 {
		r.put(name(i), Latest{int64(i), i%2 == 0})
		if i%1000 == 0 || i >= 3*recentHalf-2 {
			for _, back := range []int{0, 1, recentHalf / 2, recentHalf - 1} {
				if latest, ok := r.get(name(i - back)); i >= back && (!ok || latest != Latest{int64(i - back), (i-back)%2 == 0}) {
					t.Fatalf("after %d entries, the one %d before: %v, %v", i+1, back, latest, ok)
				}
			}
		}
		if n := len(r.young) + len(r.old); n > 2*recentHalf {
			t.Fatalf("%d entries are remembered, room is for %d", n, 2*recentHalf)
		}
	}
	if _, ok := r.get(name(0)); ok {
		t.Error("the first of many is still remembered")
	}
	r.put(name(3*recentHalf), Latest{Index: 7})
	if latest, _ := r.get(name(3 * recentHalf)); latest.Index != 7 {
		t.Errorf("a later entry of the same message: %d, want 7", latest.Index)
	}
	for _, other := range []string{"", "m1", strings.ToUpper(name(10)), "00000000-0000-0000-0000-00000000000"} {
		r.put(other, Latest{Index: 1})
		if _, ok := r.get(other); ok {
			t.Errorf("entries of message %q are remembered", other)
		}
	}
}
