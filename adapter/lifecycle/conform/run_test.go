package conform

import (
	"slices"
	"testing"
)

// A run over a chosen few is not whole, however often they are named.
func TestChosen(t *testing.T) {
	all := []string{"a", "b", "c"}
	same := func(s string) string { return s }
	for _, c := range []struct {
		only, want []string
		whole      bool
	}{
		{nil, all, true},
		{[]string{"a", "a", "a"}, []string{"a"}, false},
		{[]string{"c", "a", "b"}, []string{"c", "a", "b"}, true},
	} {
		if got, whole, err := chosen(all, same, c.only); err != nil || whole != c.whole || !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, %v, %v, want %v, %v", c.only, got, whole, err, c.want, c.whole)
		}
	}
}
