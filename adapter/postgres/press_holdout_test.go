package postgres

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"mezhved/adapter"
)

// The codes of press1.txt were made of our samples, so that what these take says too little
// of what others send. Codes that were made without a kind of message, and press that kind,
// say it: they have seen neither its words nor its values. They must not do much worse, nor
// be worse than what was before.
func TestKindsThatWereNoSamplesArePressedToo(t *testing.T) {
	type text struct {
		what   string
		steps  []byte
		before int // of a body, as it was packed before there were codes
		more   int // what a pressed one has beside its steps
	}
	texts, tallies := map[string][]text{}, map[string]*tally{}
	ownSteps(t, func(file, what string, b *bodies, m *adapter.Message, steps []byte) {
		kind := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(file)))) // the service
		one := text{what: what, steps: slices.Clone(steps)}
		if m != nil && len(m.Body) <= mostPressed {
			one.before = len(b.packWoven(m).bytes)
			one.more = len(b.packPressed(m).bytes) - len(pressing1.press(nil, steps))
		}
		if texts[kind] = append(texts[kind], one); tallies[kind] == nil {
			tallies[kind] = &tally{}
		}
		tallies[kind].count(steps)
	})
	var all, allBodies sizes3
	for _, kind := range slices.Sorted(maps.Keys(texts)) {
		others := &tally{}
		for k, one := range tallies {
			if k != kind {
				others.join(one)
			}
		}
		codes := newPressing(others.String())
		var bodies, sum sizes3
		for _, one := range texts[kind] {
			pressed, held := pressing1.press(nil, one.steps), codes.press(nil, one.steps)
			s := sizes3{one.before, len(pressed) + one.more, len(held) + one.more}
			if pressed == nil || held == nil {
				s.with, s.without = one.before, one.before // it would be packed as before
			}
			if one.before > 0 {
				bodies.join(s)
			}
			sum.join(s)
		}
		t.Logf("%-20s bodies: %d bytes before, %d pressed, %d by codes that never saw the kind; all texts: %d, %d", kind, bodies.before, bodies.with, bodies.without, sum.with, sum.without)
		if sum.without > sum.with*11/10 {
			t.Errorf("%s: %d bytes by codes of other kinds, %d by those of all", kind, sum.without, sum.with)
		}
		all.join(sum)
		allBodies.join(bodies)
	}
	t.Logf("together: bodies take %.3f of before, by codes that never saw the kind %.3f; all texts by those %.3f times as much", allBodies.ratio(allBodies.with), allBodies.ratio(allBodies.without), float64(all.without)/float64(all.with))
	if allBodies.without > allBodies.before*9/10 {
		t.Errorf("bodies of kinds that were no samples: %d bytes, %d before", allBodies.without, allBodies.before)
	}
}

// sizes3 are sizes before there were codes, with codes of all kinds, and of others.
type sizes3 struct{ before, with, without int }

func (s *sizes3) join(o sizes3) {
	s.before, s.with, s.without = s.before+o.before, s.with+o.with, s.without+o.without
}

func (s *sizes3) ratio(n int) float64 { return float64(n) / float64(s.before) }

func (c *tally) join(o *tally) {
	for i := range c {
		for b := range c[i] {
			c[i][b] += o[i][b]
		}
	}
}
