package p256

import (
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// scalars are numbers at the borders, of words of all ones and all noughts, and drawn at random.
func scalars(n int) (out []scalar) {
	random := mathrand.New(mathrand.NewPCG(3, 4))
	for _, k := range []int64{0, 1, 2, 3} {
		out = append(out, scalar(toWords(big.NewInt(k))), scalar(toWords(new(big.Int).Sub(curve.N, big.NewInt(k+1)))))
	}
	for len(out) < n {
		var x scalar
		for i := range x {
			switch random.IntN(4) {
			case 0:
			case 1:
				x[i] = ^uint64(0)
			default:
				x[i] = random.Uint64()
			}
		}
		if x.belowOrder() {
			out = append(out, x)
		}
	}
	return out
}

// Sums, products and what octets are read as are those of math/big.
func TestScalars(t *testing.T) {
	number := func(x scalar) *big.Int { return fromWords((*element)(&x)) }
	if number(order).Cmp(curve.N) != 0 {
		t.Fatalf("the order is %x", number(order))
	}
	shift := new(big.Int).Lsh(big.NewInt(1), 256)
	back := new(big.Int).ModInverse(shift, curve.N)
	holds := func(what string, got scalar, want *big.Int) {
		t.Helper()
		if want = new(big.Int).Mod(want, curve.N); number(got).Cmp(want) != 0 {
			t.Fatalf("%s: %x, want %x", what, number(got), want)
		}
	}
	holds("2^512", orderSquare, new(big.Int).Mul(shift, shift))
	var octets [32]byte
	for _, n := range []*big.Int{new(big.Int), curve.N, new(big.Int).Add(curve.N, big.NewInt(5)), new(big.Int).Sub(shift, big.NewInt(1))} {
		holds("octets", scalarOf(n.FillBytes(octets[:])), n)
	}
	all := scalars(300)
	for i := range all {
		x := &all[i]
		a := number(*x)
		x.put(octets[:])
		holds("written and read", scalarOf(octets[:]), a)
		for j := range all {
			y := &all[j]
			b := number(*y)
			var z scalar
			z.mul(x, y)
			holds("product", z, new(big.Int).Mul(back, new(big.Int).Mul(a, b)))
			z.add(x, y)
			holds("sum", z, new(big.Int).Add(a, b))
		}
	}
}

// Inversions are math/big's, and that of nought is nought, whatever hides what is inverted.
func TestInversions(t *testing.T) {
	numbers := scalars(3000)
	for i, x := range numbers {
		want := new(big.Int)
		if !x.isZero() {
			want.ModInverse(fromWords((*element)(&x)), curve.N)
		}
		var z scalar
		if z.invert(&x); fromWords((*element)(&z)).Cmp(want) != 0 {
			t.Fatalf("1/%x: %x, want %x", x, z, want)
		}
		blinder := numbers[len(numbers)-1-i]
		if blinder.isZero() {
			continue
		}
		if z.invertHidden(&x, &blinder); fromWords((*element)(&z)).Cmp(want) != 0 {
			t.Fatalf("1/%x, hidden by %x: %x, want %x", x, blinder, z, want)
		}
		e, hidden, by := element(x), element{}, element(blinder) // the order is below the prime
		e.invert(&e)
		hidden.invertHidden((*element)(&x), &by)
		if hidden != e {
			t.Fatalf("1/%x modulo the prime, hidden by %x: %x, want %x", x, blinder, hidden, e)
		}
	}
}

// Whatever number it is, what was inverted twice is what it was.
func FuzzInversions(f *testing.F) {
	f.Add(curve.N.Bytes())
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, octets []byte) {
		x := scalarOf(new(big.Int).SetBytes(octets[:min(len(octets), 32)]).FillBytes(make([]byte, 32)))
		var once, hidden, again scalar
		once.invert(&x)
		hidden.invertHidden(&x, &orderSquare)
		again.invert(&once)
		if once != hidden || again != x || !once.belowOrder() {
			t.Errorf("1/%x: %x and %x", x, once, hidden)
		}
	})
}

func BenchmarkInversion(b *testing.B) {
	// Many numbers: a processor learns the branches that a few take.
	random := mathrand.New(mathrand.NewPCG(5, 6))
	numbers := make([]scalar, 1<<12)
	for i := range numbers {
		numbers[i] = scalar{random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64() >> 1}
	}
	for name, invert := range map[string]func(z, x *scalar){
		"invert":  (*scalar).invert,
		"hidden":  func(z, x *scalar) { z.invertHidden(x, &orderSquare) },
		"product": func(z, x *scalar) { z.mul(x, &orderSquare) },
	} {
		b.Run(name, func(b *testing.B) {
			var z scalar
			for i := 0; b.Loop(); i++ {
				invert(&z, &numbers[i%len(numbers)])
			}
		})
	}
}
