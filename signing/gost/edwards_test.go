package gost

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// plainOf is the group of the same curve that adds its points in the form
// y^2 = x^3 + ax + b alone.
func plainOf(p *parameters) group {
	plain := *p
	plain.d = nil
	if len(p.p) == octets256 {
		return newGroup256(&plain)
	}
	return newGroup512(&plain)
}

// In the twisted Edwards form a curve gives the same octets, the same verdicts
// and the same refusals as in the other form.
func TestEdwardsFormChangesNothing(t *testing.T) {
	for _, p := range []*parameters{&tc26A256, &tc26C512} {
		plain, q, c := plainOf(p), new(big.Int).SetBytes(p.q), referenceOf(p)
		size := len(p.p)
		octets := func(n *big.Int) []byte { return n.FillBytes(make([]byte, size)) }
		s, tt := edwards(c, new(big.Int).SetBytes(p.d))
		four := &place{c.mod(new(big.Int).Add(s, tt)), s}
		small := []*place{nil, four, c.add(four, four), c.negative(four)}

		scalar := rapid.Custom(func(t *rapid.T) *big.Int {
			n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 1, size).Draw(t, "octets"))
			if rapid.Bool().Draw(t, "high") {
				n.Sub(q, n)
			}
			if n.Mod(n, q).Sign() == 0 {
				n.SetInt64(1)
			}
			return n
		})
		t.Run(fmt.Sprint(8*size), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				d, e, k := scalar.Draw(t, "d"), scalar.Draw(t, "e"), scalar.Draw(t, "k")
				x, y := p.group.base(octets(d))
				if px, py := plain.base(octets(d)); !bytes.Equal(x, px) || !bytes.Equal(y, py) {
					t.Fatalf("%x * G = (%x, %x), want (%x, %x)", d, x, y, px, py)
				}
				r, s, ok := p.group.sign(octets(d), octets(e), octets(k))
				if pr, ps, pok := plain.sign(octets(d), octets(e), octets(k)); ok != pok || !bytes.Equal(r, pr) || !bytes.Equal(s, ps) {
					t.Fatalf("signature (%x, %x), want (%x, %x)", r, s, pr, ps)
				}
				point, err := p.group.admit(x, y)
				if err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "table") {
					point = point.withTable()
				}
				same, err := plain.admit(x, y)
				if err != nil {
					t.Fatal(err)
				}
				// A right signature, any two numbers, and two that lead to the
				// point at infinity.
				anyR, anyS := scalar.Draw(t, "r"), scalar.Draw(t, "s")
				infinity := new(big.Int).Mul(anyR, d)
				infinity.Mod(infinity, q)
				for _, v := range []struct {
					r, s []byte
					want bool
				}{{r, s, ok}, {octets(anyR), octets(anyS), same.verify(octets(e), octets(anyR), octets(anyS))}, {octets(anyR), octets(infinity), false}} {
					if v.r == nil {
						continue
					}
					for _, key := range []interface{ verify(e, r, s []byte) bool }{point, same} {
						if got := key.verify(octets(e), v.r, v.s); got != v.want {
							t.Fatalf("%T: (%x, %x) over %x by %x: %v, want %v", key, v.r, v.s, e, d, got, v.want)
						}
					}
				}
				// Points moved out of the subgroup, and off the curve.
				moved := c.add(&place{new(big.Int).SetBytes(x), new(big.Int).SetBytes(y)}, rapid.SampledFrom(small).Draw(t, "small"))
				if rapid.Bool().Draw(t, "alone") {
					moved = rapid.SampledFrom(small[1:]).Draw(t, "point")
				}
				off := big.NewInt(rapid.Int64Range(0, 1).Draw(t, "off"))
				mx, my := octets(moved.x), octets(c.mod(new(big.Int).Add(moved.y, off)))
				_, err = p.group.admit(mx, my)
				if _, want := plain.admit(mx, my); fmt.Sprint(err) != fmt.Sprint(want) {
					t.Fatalf("(%x, %x): %v, want %v", mx, my, err, want)
				}
			})
		})
	}
}

// The formulas hold for all points of the curve, those of small order among
// them, in whatever z: sums and doubles are those of the other form.
func TestEdwards256SpecialSums(t *testing.T) {
	p := &tc26A256
	g, c := p.group.(*group256), referenceOf(p)
	f := g.field
	if new(big.Int).ModSqrt(new(big.Int).SetBytes(p.d), c.p) != nil {
		t.Fatal("d is a square: the formulas are not complete")
	}
	number := func(x fe256) *big.Int { return new(big.Int).SetBytes(x.octets()) }
	element := func(n *big.Int) fe256 { return words256of(n.FillBytes(make([]byte, octets256))) }
	s, tt := edwards(c, new(big.Int).SetBytes(p.d))
	// there maps to the Edwards form with a z of its own; back maps from it.
	there := func(p *place, z int64) extended256 {
		image := g.edwards.neutral()
		switch {
		case p == nil:
		case p.y.Sign() == 0:
			f.negate(&image.y, ^uint64(0))
		default:
			var ok bool
			if image, ok = g.edwards.image(&affine256{element(p.x), element(p.y)}); !ok {
				t.Fatalf("(%x, %x) has no image", p.x, p.y)
			}
		}
		factor := element(big.NewInt(z))
		for _, x := range []*fe256{&image.x, &image.y, &image.z, &image.t} {
			f.mul(x, x, &factor)
		}
		return image
	}
	back := func(p *extended256) *place {
		z := new(big.Int).ModInverse(number(p.z), c.p)
		if z == nil {
			t.Fatal("z is zero")
		}
		u, v := c.mod(new(big.Int).Mul(number(p.x), z)), c.mod(new(big.Int).Mul(number(p.y), z))
		if product := c.mod(new(big.Int).Mul(number(p.t), z)); product.Cmp(c.mod(new(big.Int).Mul(u, v))) != 0 {
			t.Fatalf("t/z = %x at (%x, %x)", product, u, v)
		}
		one := big.NewInt(1)
		if u.Sign() == 0 {
			if v.Cmp(one) == 0 {
				return nil
			}
			return &place{tt, new(big.Int)}
		}
		x := c.mod(new(big.Int).Sub(one, v))
		x.ModInverse(x, c.p).Mul(x, s).Mul(x, new(big.Int).Add(one, v))
		y := c.mod(new(big.Int).Mul(x, new(big.Int).ModInverse(u, c.p)))
		return &place{c.mod(x.Add(x, tt)), y}
	}
	equal := func(a, b *place) bool {
		return a == nil && b == nil || a != nil && b != nil && a.x.Cmp(b.x) == 0 && a.y.Cmp(b.y) == 0
	}

	four := &place{c.mod(new(big.Int).Add(s, tt)), s}
	G := c.generator()
	points := []*place{
		nil, four, c.add(four, four), c.negative(four),
		G, c.negative(G), c.multiply(G, big.NewInt(3)), c.add(G, four), c.add(c.negative(G), c.add(four, four)),
	}
	for i, a := range points {
		if got := back(new(there(a, 5))); !equal(got, a) {
			t.Errorf("point %d comes back as %v, want %v", i, got, a)
		}
		double := there(a, 7)
		g.edwards.double(&double, true)
		if got, want := back(&double), c.add(a, a); !equal(got, want) {
			t.Errorf("twice point %d = %v, want %v", i, got, want)
		}
		if a != nil {
			_, ok := g.edwards.image(&affine256{element(a.x), element(a.y)})
			if want := a.y.Sign() != 0; ok != want {
				t.Errorf("point %d has an image: %v, want %v", i, ok, want)
			}
		}
		for j, b := range points {
			sum, other := there(a, 9), there(b, 11)
			var zz fe256
			f.mul(&zz, &sum.z, &other.z)
			summand := g.edwards.summand(&other)
			g.edwards.add(&sum, &summand, &zz)
			if got, want := back(&sum), c.add(a, b); !equal(got, want) {
				t.Errorf("point %d + point %d = %v, want %v", i, j, got, want)
			}
		}
	}
}
