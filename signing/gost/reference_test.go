package gost

import (
	"math/big"
	"testing"
)

// reference is the arithmetic of a curve in math/big, written from the
// definitions, to hold the fixed-width groups to.
type reference struct{ p, q, a, b, x, y *big.Int }

// place is a point of a reference; nil is the one at infinity.
type place struct{ x, y *big.Int }

func referenceOf(p *parameters) *reference {
	number := func(octets []byte) *big.Int { return new(big.Int).SetBytes(octets) }
	return &reference{number(p.p), number(p.q), number(p.a), number(p.b), number(p.x), number(p.y)}
}

func parametersOf(t testing.TB, c *Curve) *parameters {
	t.Helper()
	for _, p := range everyParameters {
		if p.group == c.group {
			return p
		}
	}
	t.Fatalf("no parameters for %s", c.name)
	return nil
}

func (c *reference) generator() *place { return &place{c.x, c.y} }

func (c *reference) mod(x *big.Int) *big.Int { return x.Mod(x, c.p) }

func (c *reference) contains(p *place) bool {
	right := new(big.Int).Mul(p.x, p.x)
	right.Add(right, c.a).Mul(right, p.x).Add(right, c.b)
	left := new(big.Int).Mul(p.y, p.y)
	return c.mod(left).Cmp(c.mod(right)) == 0
}

func (c *reference) negative(p *place) *place {
	return &place{p.x, c.mod(new(big.Int).Neg(p.y))}
}

func (c *reference) add(p, q *place) *place {
	if p == nil {
		return q
	}
	if q == nil {
		return p
	}
	var over, under *big.Int
	if p.x.Cmp(q.x) == 0 {
		if p.y.Cmp(q.y) != 0 || p.y.Sign() == 0 {
			return nil
		}
		over = new(big.Int).Mul(p.x, p.x)
		over.Mul(over, big.NewInt(3)).Add(over, c.a)
		under = new(big.Int).Lsh(p.y, 1)
	} else {
		over = new(big.Int).Sub(q.y, p.y)
		under = new(big.Int).Sub(q.x, p.x)
	}
	slope := under.ModInverse(c.mod(under), c.p)
	c.mod(slope.Mul(slope, over))
	x := new(big.Int).Mul(slope, slope)
	c.mod(x.Sub(x, p.x).Sub(x, q.x))
	y := new(big.Int).Sub(p.x, x)
	c.mod(y.Mul(y, slope).Sub(y, p.y))
	return &place{x, y}
}

func (c *reference) multiply(p *place, k *big.Int) *place {
	var sum *place
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum = c.add(sum, sum)
		if k.Bit(i) == 1 {
			sum = c.add(sum, p)
		}
	}
	return sum
}

// sign is GOST R 34.10-2012, section 6.1.
func (c *reference) sign(d, e, k *big.Int) (r, s *big.Int) {
	r = new(big.Int).Mod(c.multiply(c.generator(), k).x, c.q)
	e = new(big.Int).Mod(e, c.q)
	if e.Sign() == 0 {
		e.SetInt64(1)
	}
	s = new(big.Int).Mul(r, d)
	s.Add(s, e.Mul(e, k)).Mod(s, c.q)
	return r, s
}
