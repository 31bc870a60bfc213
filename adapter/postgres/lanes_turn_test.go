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

// A mark stays behind the first row for rows that may still come in front of it, and no
// further.
func TestMarksWaitForWhoeverWrites(t *testing.T) {
	var s settled
	want := func(when string, seq, want int64) {
		t.Helper()
		if got := s.mark(seq); got != want {
			t.Errorf("%s the mark of %d is %d, want %d", when, seq, got, want)
		}
	}
	s.saw(5000, 90, 100) // 5000 is drawn, 90 writes, 100 comes next
	want("at the first look", 4000, 4000-markSlack)
	s.saw(6000, 99, 120)
	want("while one still writes that wrote then", 4000, 4000-markSlack)
	s.saw(7000, 100, 130)
	want("when none of these does", 4000, 4000)
	want("when none of these does", 5500, 5000)
	want("when none of these does", 8000, 8000-markSlack)
	s.saw(8000, 130, 140)
	want("with the next look", 6500, 6500)
	s.saw(3000, 150, 150)
	want("when the server has lost numbers", 2500, 2500-markSlack)
}
