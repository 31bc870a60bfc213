package clerk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// The entries of the last messages are remembered, at least half of what there is
// room for and never more than it.
func TestRecentForgetsTheOlderHalf(t *testing.T) {
	var r recent
	name := func(i int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("019c0000-0000-7000-8000-%012x", i)) }
	for i := range 3*recentHalf + 1 {
		r.put(name(i), Latest{int64(i), i%2 == 0})
		if i%1000 == 0 || i >= 3*recentHalf-2 {
			for _, back := range []int{0, 1, recentHalf / 2, recentHalf - 1} {
				if latest, ok := r.get(name(max(0, i-back))); i >= back && (!ok || latest != Latest{int64(i - back), (i-back)%2 == 0}) {
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
}

// What a message is called that is no UUID, or is not spelled as they are, is no other's
// name.
func TestMessagesAreToldApart(t *testing.T) {
	const id = "019c0000-0000-7000-8000-00000000000a"
	names := map[messageName]string{}
	for _, message := range []string{id, "019c0000-0000-7000-8000-00000000000b", "m1", strings.ToUpper(id), id[1:], "urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", "")} {
		name := nameOf(message)
		if before, ok := names[name]; ok {
			t.Errorf("%s and %s are one name", before, message)
		}
		if names[name] = message; (name.text == "") != (message[1:] == id[1:] && message == strings.ToLower(message) || message == "019c0000-0000-7000-8000-00000000000b") {
			t.Errorf("%s is called %+v", message, name)
		}
	}
}
