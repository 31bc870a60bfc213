//go:build !purego

package p256

import (
	mathrand "math/rand/v2"
	"testing"
)

// What the processor's longer instructions divide is what the words of inverse.go divide, digit
// by digit, modulo the order and the prime.
func TestDivisionsAgree(t *testing.T) {
	if !bmi {
		t.Skip("this processor has no BMI")
	}
	random := mathrand.New(mathrand.NewPCG(11, 12))
	numbers := scalars(10_000)
	for range 100_000 {
		numbers = append(numbers, scalar(atBorders(random)))
	}
	for i := range uint(256) { // of one bit, and of all but one
		x := scalar{}
		x[i/64] = 1 << (i % 64)
		numbers = append(numbers, x, scalar{^x[0], ^x[1], ^x[2], ^x[3] >> 1})
	}
	for _, m := range []*modulus{modOrder, modPrime} {
		for _, x := range numbers {
			got := division{f: m.n, g: signedOf(x), e: signed{1}}
			want := got
			divideBMI(&got, m)
			want.divide(m)
			if x.isZero() { // is divided once for nothing
				got.g, got.e = want.g, want.e
			}
			if got != want {
				t.Fatalf("%x modulo %x: %x, want %x", x, m.n, got, want)
			}
		}
	}
}
