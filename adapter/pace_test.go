package adapter

import (
	"math"
	"testing"
	"time"
)

// A bus that passes on 100 requests a second stands behind a door at which one party
// sends 1,000 and two send few. Nothing waits for longer than the bound, the bus is
// kept busy, the two are never refused, and when the bus is quick again so is nobody.
func TestPace(t *testing.T) {
	const step, bound = 250 * time.Millisecond, 10 * time.Second
	p := newPacer(bound)
	now, tick := time.Unix(1e9, 0), time.Duration(0)
	sends := map[Mnemonic]int{"FLOOD": 1000, "TEN": 10, "FIVE": 5}
	backlog, passes := 0.0, 100.0
	late, passed, refused := 0, 0.0, map[Mnemonic]int{}
	run := func(seconds int) {
		late, passed, refused = 0, 0, map[Mnemonic]int{}
		for range seconds * int(time.Second/step) {
			for m, n := range sends {
				for i := range n * int(step) / int(time.Second) {
					if p.admit(m, now.Add(time.Duration(i)*step/time.Duration(n))) == nil {
						backlog++
					} else {
						refused[m]++
					}
				}
			}
			now, tick = now.Add(step), tick+step
			out := min(backlog, passes*step.Seconds())
			backlog, passed = backlog-out, passed+out
			age := time.Duration(backlog / passes * float64(time.Second))
			if age > bound {
				late++
			}
			p.look(age, tick, now)
		}
	}
	run(60)
	run(60)
	if late > 0 || refused["FLOOD"] == 0 || refused["TEN"]+refused["FIVE"] > 0 {
		t.Errorf("%d looks saw something wait longer than the bound; refused: %v", late, refused)
	}
	if passed < 0.95*60*passes {
		t.Errorf("the bus passed on %.0f of %.0f that it could", passed, 60*passes)
	}
	passes = 2000
	run(60)
	run(10)
	if len(refused) > 0 || !math.IsInf(p.level, 1) {
		t.Errorf("the bus is quick again and %v are refused, the level is %v", refused, p.level)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		asked []float64
		most  float64
		want  float64
	}{
		{[]float64{100, 100}, 100, 50},
		{[]float64{1000, 10, 5}, 100, 85},
		{[]float64{3, 2, 1}, 3, 1},
		{[]float64{1, 1}, 100, 98},
		{nil, 7, 7},
	} {
		if got := share(c.asked, c.most); got != c.want {
			t.Errorf("of %v, %v together: %v each, want %v", c.asked, c.most, got, c.want)
		}
	}
}

// Looks and changes of the bound come from different goroutines (for the race detector).
func TestPaceIsChangedBesideALook(t *testing.T) {
	p := newPacer(time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 1000 {
			p.reconfigure(time.Duration(n%2) * time.Second)
		}
	}()
	for n := range 1000 {
		p.look(time.Minute, time.Duration(n+1)*time.Second, time.Unix(int64(n), 0))
	}
	<-done
}
