package postgres

import "testing"

// Where one service alone waits there are no turns to take: a poll is one look at the
// queue, also when it finds less than it asks for.
func TestOneLaneTakesNoTurns(t *testing.T) {
	var l lanes
	l.of(1)
	turns := func() int {
		_, turns := l.begin(1, 4)
		return len(turns)
	}
	for _, came := range []struct {
		lane string
		prio int16
		want int
	}{
		{"egrn", 1, 0},
		{"taxes", 0, 0}, // VIP requests go before everything else anyhow
		{"taxes", 1, 3},
	} {
		l.came(1, came.lane, came.prio)
		if got := turns(); got != came.want {
			t.Errorf("%d turns after one of %s, %d, came; want %d", got, came.lane, came.prio, came.want)
		}
	}
}
