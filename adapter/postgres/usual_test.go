package postgres

import "testing"

// Of work that always fails in its quick form few are tried in it; of work that never does
// all are, but for those behind a failure.
func TestUsual(t *testing.T) {
	var u usual
	for range 100 {
		if !u.expected() {
			t.Fatal("what has never failed is taken for unusual")
		}
	}
	tried := 0
	for range 10 * (carefulFor + 1) {
		if u.expected() {
			tried++
			u.failed()
		}
	}
	if tried != 10 {
		t.Errorf("%d were tried, want one behind each %d that were not", tried, carefulFor)
	}
	u.failed()
	for range carefulFor {
		if u.expected() {
			t.Fatal("tried too soon behind a failure")
		}
	}
	for range 100 {
		if !u.expected() {
			t.Fatal("one failure has no end")
		}
	}
}
