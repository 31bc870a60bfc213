//go:build !purego

package p256

import (
	mathrand "math/rand/v2"
	"testing"
)

// atBorders draws a number of which words are often all ones, all noughts or the prime's.
func atBorders(random *mathrand.Rand) (x element) {
	for {
		for i := range x {
			switch random.IntN(6) {
			case 0:
				x[i] = 0
			case 1:
				x[i] = ^uint64(0)
			case 2:
				x[i] = prime[i] - random.Uint64N(3)
			default:
				x[i] = random.Uint64()
			}
		}
		if x.less(&prime) {
			return x
		}
	}
}

// What the processor's longer instructions add is what the words of field.go add, whatever
// the coordinates are: they need not be of points for that.
func TestAdditionsAgree(t *testing.T) {
	if !adx {
		t.Skip("this processor has no ADX")
	}
	random := mathrand.New(mathrand.NewPCG(5, 6))
	number := func() element { return atBorders(random) }
	special := 0
	for i := range 300_000 {
		p, q := extended{number(), number(), number(), number()}, affine{number(), number()}
		if i%1000 == 0 { // one abscissa
			p.x.mul(&q.x, &p.zz)
		}
		if p.zz.isZero() {
			continue
		}
		got, want := p, p
		if !addADX(&got, &q) {
			special++
			if got != p {
				t.Fatalf("%x and %x are not added, and changed", p, q)
			}
			continue
		}
		adx = false
		want.add(&q)
		adx = true
		if got != want {
			t.Fatalf("%x and %x: %x, want %x", p, q, got, want)
		}
	}
	if special < 300 {
		t.Errorf("of 300 points of one abscissa %d have been left alone", special)
	}
}
