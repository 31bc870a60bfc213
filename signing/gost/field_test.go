package gost

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// fieldOps runs the operations of one width on numbers given as big.Int, so
// that both widths are held to the same arithmetic of math/big.
type fieldOps struct {
	modulus       *big.Int
	reduction     reduction
	mul, add, sub func(x, y *big.Int) *big.Int
	sqr, invert   func(x *big.Int) *big.Int
	enterLeave    func(x *big.Int) *big.Int
}

func ops256(modulus []byte, folding bool) fieldOps {
	f := newField256(modulus, folding)
	in := func(x *big.Int) (z fe256) {
		z = words256of(x.FillBytes(make([]byte, octets256)))
		f.enter(&z, &z)
		return z
	}
	out := func(z fe256) *big.Int {
		f.leave(&z, &z)
		return new(big.Int).SetBytes(z.octets())
	}
	two := func(op func(z, x, y *fe256)) func(x, y *big.Int) *big.Int {
		return func(x, y *big.Int) *big.Int {
			a, b := in(x), in(y)
			var z fe256
			op(&z, &a, &b)
			op(&a, &a, &b) // in place must give the same
			if a != z {
				panic("the result depends on where it is put")
			}
			return out(z)
		}
	}
	one := func(op func(z, x *fe256)) func(x *big.Int) *big.Int {
		return func(x *big.Int) *big.Int {
			z := in(x)
			op(&z, &z)
			return out(z)
		}
	}
	return fieldOps{
		new(big.Int).SetBytes(modulus), f.reduction, two(f.mul), two(f.add), two(f.sub), one(f.sqr), one(f.invert),
		func(x *big.Int) *big.Int { return out(in(x)) },
	}
}

func ops512(modulus []byte, folding bool) fieldOps {
	f := newField512(modulus, folding)
	in := func(x *big.Int) (z fe512) {
		z = words512of(x.FillBytes(make([]byte, octets512)))
		f.enter(&z, &z)
		return z
	}
	out := func(z fe512) *big.Int {
		f.leave(&z, &z)
		return new(big.Int).SetBytes(z.octets())
	}
	two := func(op func(z, x, y *fe512)) func(x, y *big.Int) *big.Int {
		return func(x, y *big.Int) *big.Int {
			a, b := in(x), in(y)
			var z fe512
			op(&z, &a, &b)
			op(&a, &a, &b) // in place must give the same
			if a != z {
				panic("the result depends on where it is put")
			}
			return out(z)
		}
	}
	one := func(op func(z, x *fe512)) func(x *big.Int) *big.Int {
		return func(x *big.Int) *big.Int {
			z := in(x)
			op(&z, &z)
			return out(z)
		}
	}
	return fieldOps{
		new(big.Int).SetBytes(modulus), f.reduction, two(f.mul), two(f.add), two(f.sub), one(f.sqr), one(f.invert),
		func(x *big.Int) *big.Int { return out(in(x)) },
	}
}

var everyParameters = []*parameters{
	&test256, &tc26A256, &tc26B256, &tc26C256, &tc26D256, &test512, &tc26A512, &tc26B512, &tc26C512,
}

// fieldModuli are the moduli of all fields and groups in use, and numbers, not
// prime, at the limits of each reduction.
func fieldModuli(t *testing.T) (moduli [][]byte) {
	t.Helper()
	for _, c := range everyParameters {
		moduli = append(moduli, c.p, c.q)
	}
	for _, octets := range []int{octets256, octets512} {
		power := func(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }
		number := func(terms ...*big.Int) {
			sum := new(big.Int)
			for _, term := range terms {
				sum.Add(sum, term)
			}
			moduli = append(moduli, sum.FillBytes(make([]byte, octets)))
		}
		full, half, minus := power(8*octets), power(8*octets-1), big.NewInt(-1)
		number(full, new(big.Int).Neg(power(16)), big.NewInt(1)) // the farthest that folds
		number(half, power(16), minus)
		number(full, new(big.Int).Neg(power(16)), minus) // the nearest that does not
		number(half, power(16), big.NewInt(1))
		number(half, power(100), big.NewInt(3)) // those that look alike in a part
		number(power(8*octets-2), big.NewInt(3))
		number(full, new(big.Int).Neg(power(100)), big.NewInt(-3))
		number(full, new(big.Int).Neg(half), new(big.Int).Neg(big.NewInt(3)))
		number(full, minus)
		number(half, big.NewInt(1))
	}
	return moduli
}

func TestFieldAgainstMathBig(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	kinds := map[reduction]int{}
	for _, modulus := range fieldModuli(t) {
		for _, folding := range []bool{true, false} {
			ops := ops256
			if len(modulus) == octets512 {
				ops = ops512
			}
			f := ops(modulus, folding)
			kinds[f.reduction]++
			checkField(t, f, len(modulus), random)
		}
	}
	for _, kind := range []reduction{byMontgomery, byMinus, byPlus} {
		if kinds[kind] == 0 {
			t.Errorf("no field is reduced by method %d", kind)
		}
	}
}

func checkField(t *testing.T, f fieldOps, octets int, random *rand.Rand) {
	t.Helper()
	p := f.modulus
	one := big.NewInt(1)
	var xs []*big.Int
	for i := range int64(4) {
		xs = append(xs, big.NewInt(i), new(big.Int).Sub(p, big.NewInt(i+1)))
	}
	// Numbers made of long runs of ones and zeros find lost carries.
	for range 40 {
		x := new(big.Int)
		for x.BitLen() < 8*octets {
			run := 1 + random.UintN(130)
			x.Lsh(x, run)
			if random.IntN(2) == 1 {
				x.Or(x, new(big.Int).Sub(new(big.Int).Lsh(one, run), one))
			}
			if x.BitLen() == 0 {
				x.SetInt64(1)
			}
		}
		xs = append(xs, x.Mod(x, p))
	}
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	check := func(name string, got, want *big.Int, of ...*big.Int) {
		t.Helper()
		if got.Cmp(want) != 0 {
			t.Fatalf("modulus %x, method %d: %s%x = %x, want %x", p, f.reduction, name, of, got, want)
		}
	}
	for _, x := range xs {
		check("leave(enter)", f.enterLeave(x), x, x)
		check("square", f.sqr(x), mod(new(big.Int).Mul(x, x)), x)
		if inverse := new(big.Int).ModInverse(x, p); inverse != nil {
			check("inverse", f.invert(x), inverse, x)
		}
		if x.Sign() == 0 {
			check("inverse", f.invert(x), x, x)
		}
		for _, y := range xs {
			check("product", f.mul(x, y), mod(new(big.Int).Mul(x, y)), x, y)
			check("sum", f.add(x, y), mod(new(big.Int).Add(x, y)), x, y)
			check("difference", f.sub(x, y), mod(new(big.Int).Sub(x, y)), x, y)
		}
	}
	// enter takes any number of the width, not only those below p.
	all := new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*octets)), one)
	check("enter above p", f.enterLeave(all), mod(new(big.Int).Set(all)), all)
}
