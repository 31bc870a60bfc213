package gost

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// The examples of RFC 7091, section 7: the only published signatures with
// their nonces.
func TestRFC7091Examples(t *testing.T) {
	for _, v := range []struct {
		curve               *Curve
		d, x, y, e, k, r, s string
	}{
		{
			CurveTest,
			"7a929ade789bb9be10ed359dd39a72c11b60961f49397eee1d19ce9891ec3b28",
			"7f2b49e270db6d90d8595bec458b50c58585ba1d4e9b788f6689dbd8e56fd80b",
			"26f1b489d6701dd185c8413a977b3cbbaf64d1c593d26627dffb101a87ff77da",
			"2dfbc1b372d89a1188c09c52e0eec61fce52032ab1022e8e67ece6672b043ee5",
			"77105c9b20bcd3122823c8cf6fcc7b956de33814e95b7fe64fed924594dceab3",
			"41aa28d2f1ab148280cd9ed56feda41974053554a42767b83ad043fd39dc0493",
			"01456c64ba4642a1653c235a98a60249bcd6d3f746b631df928014f6c5bf9c40",
		},
		{
			Curve512Test,
			"0ba6048aadae241ba40936d47756d7c93091a0e8514669700ee7508e508b102072e8123b2200a0563322dad2827e2714a2636b7bfd18aadfc62967821fa18dd4",
			"115dc5bc96760c7b48598d8ab9e740d4c4a85a65be33c1815b5c320c854621dd5a515856d13314af69bc5b924c8b4ddff75c45415c1d9dd9dd33612cd530efe1",
			"37c7c90cd40b0f5621dc3ac1b751cfa0e2634fa0503b3d52639f5d7fb72afd61ea199441d943ffe7f0c70a2759a3cdb84c114e1f9339fdf27f35eca93677beec",
			"3754f3cfacc9e0615c4f4a7c4d8dab531b09b6f9c170c533a71d147035b0c5917184ee536593f4414339976c647c5d5a407adedb1d560c4fc6777d2972075b8c",
			"0359e7f4b1410feacc570456c6801496946312120b39d019d455986e364f365886748ed7a44b3e794434006011842286212273a6d14cf70ea3af71bb1ae679f1",
			"2f86fa60a081091a23dd795e1e3c689ee512a3c82ee0dcc2643c78eea8fcacd35492558486b20f1c9ec197c90699850260c93bcbcd9c5c3317e19344e173ae36",
			"1081b394696ffe8e6585e7a9362d26b6325f56778aadbc081c0bfbe933d52ff5823ce288e8c4f362526080df7f70ce406a6eeb1f56919cb92a9853bde73e5b4a",
		},
	} {
		group := v.curve.group
		x, y := group.base(unhex(t, v.d))
		if !bytes.Equal(x, unhex(t, v.x)) || !bytes.Equal(y, unhex(t, v.y)) {
			t.Errorf("%s: public key (%x, %x), want (%s, %s)", v.curve.name, x, y, v.x, v.y)
		}
		r, s, ok := group.sign(unhex(t, v.d), unhex(t, v.e), unhex(t, v.k))
		if !ok || !bytes.Equal(r, unhex(t, v.r)) || !bytes.Equal(s, unhex(t, v.s)) {
			t.Errorf("%s: signature (%x, %x), want (%s, %s)", v.curve.name, r, s, v.r, v.s)
		}
		key, err := NewPublicKey(algorithmOf(v.curve), v.curve, unhex(t, v.x), unhex(t, v.y))
		if err != nil {
			t.Fatal(err)
		}
		digest := reversed(unhex(t, v.e))
		if err := key.VerifyDigest(digest, append(unhex(t, v.s), unhex(t, v.r)...)); err != nil {
			t.Errorf("%s: %v", v.curve.name, err)
		}
	}
}

func algorithmOf(c *Curve) Algorithm {
	if c.size == octets512 {
		return GOST512
	}
	return GOST256
}

// The parameters: primes, generator on the curve and of order q, Hasse's bound
// with the cofactor, no weakness that the standard excludes.
func TestParametersHold(t *testing.T) {
	one := big.NewInt(1)
	for _, p := range everyParameters {
		c := referenceOf(p)
		if !c.p.ProbablyPrime(20) || !c.q.ProbablyPrime(20) {
			t.Errorf("%x: p or q is not prime", p.p)
		}
		if !c.contains(c.generator()) || c.multiply(c.generator(), c.q) != nil {
			t.Errorf("%x: the generator is not on the curve or not of order q", p.p)
		}
		trace := new(big.Int).Mul(c.q, big.NewInt(int64(p.cofactor)))
		trace.Sub(trace, c.p).Sub(trace, one)
		bound := new(big.Int).Lsh(c.p, 2)
		if trace.Mul(trace, trace).Cmp(bound) > 0 {
			t.Errorf("%x: cofactor %d does not fit the order", p.p, p.cofactor)
		}
		if c.p.Cmp(c.q) == 0 {
			t.Errorf("%x: p = q", p.p)
		}
		power := new(big.Int).Set(one)
		for i := 1; i <= 131; i++ { // GOST R 34.10-2012, section 5.2: p^t != 1 mod q
			if power.Mul(power, c.p).Mod(power, c.q).Cmp(one) == 0 {
				t.Errorf("%x: p^%d = 1 mod q", p.p, i)
			}
		}
	}
}

// RFC 7836, appendix A, gives two curves as twisted Edwards ones too; the
// numbers of the other form follow from those by the map of the RFC.
func TestTwistedEdwardsForm(t *testing.T) {
	for _, v := range []struct {
		parameters *parameters
		d, u, v    string
	}{
		{
			&tc26A256, "0605f6b7c183fa81578bc39cfad518132b9df62897009af7e522c32d6dc7bffb", "0d",
			"60ca1e32aa475b348488c38fab07649ce7ef8dbe87f22e81f92b2592dba300e7",
		},
		{
			&tc26C512, "9e4f5d8c017d8d9f13a5cf3cdf5bfe4dab402d54198e31ebde28a0621050439ca6b39e0a515c06b304e2ce43e79e369e91a0cfc2bc2a22b4ca302dbb33ee7550", "12",
			"469af79d1fb1f5e16b99592b77a01e2a0fdfb0d01794368d9a56117f7b38669522dd4b650cf789eebf068c5d139732f0905622c04b2baae7600303ee73001a3d",
		},
	} {
		if !bytes.Equal(v.parameters.d, unhex(t, v.d)) {
			t.Errorf("d = %x, want %s", v.parameters.d, v.d)
		}
		c := referenceOf(v.parameters)
		s, tt := edwards(c, new(big.Int).SetBytes(unhex(t, v.d)))
		a := new(big.Int).Mul(s, s)
		a.Sub(a, new(big.Int).Mul(big.NewInt(3), new(big.Int).Mul(tt, tt)))
		b := new(big.Int).Exp(tt, big.NewInt(3), c.p)
		b.Lsh(b, 1).Sub(b, new(big.Int).Mul(tt, new(big.Int).Mul(s, s)))
		if c.mod(a).Cmp(c.a) != 0 || c.mod(b).Cmp(c.b) != 0 {
			t.Errorf("coefficients %x, %x, want %x, %x", a, b, c.a, c.b)
		}
		u, w := new(big.Int).SetBytes(unhex(t, v.u)), new(big.Int).SetBytes(unhex(t, v.v))
		x := new(big.Int).Add(w, big.NewInt(1))
		c.mod(x.Mul(x, s))
		x.Mul(x, new(big.Int).ModInverse(c.mod(new(big.Int).Sub(big.NewInt(1), w)), c.p)) // s(1+v)/(1-v)
		y := new(big.Int).Mul(x, new(big.Int).ModInverse(u, c.p))
		x.Add(x, tt)
		if c.mod(x).Cmp(c.x) != 0 || c.mod(y).Cmp(c.y) != 0 {
			t.Errorf("generator (%x, %x), want (%x, %x)", x, y, c.x, c.y)
		}
	}
}

// edwards gives the numbers s = (e-d)/4 and t = (e+d)/6 of the map, e = 1.
func edwards(c *reference, d *big.Int) (s, t *big.Int) {
	s = new(big.Int).Sub(big.NewInt(1), d)
	s.Mul(s, new(big.Int).ModInverse(big.NewInt(4), c.p))
	t = new(big.Int).Add(big.NewInt(1), d)
	t.Mul(t, new(big.Int).ModInverse(big.NewInt(6), c.p))
	return c.mod(s), c.mod(t)
}

// numbers gives scalars below q: the ends, powers of two, long runs of equal
// bits, random ones.
func numbers(q *big.Int, count int, random *rand.Rand) (list []*big.Int) {
	for i := int64(1); i <= 6; i++ {
		list = append(list, big.NewInt(i), new(big.Int).Sub(q, big.NewInt(i)))
	}
	half := new(big.Int).Rsh(q, 1)
	list = append(list, half, new(big.Int).Add(half, big.NewInt(1)))
	for i := range count {
		list = append(list, new(big.Int).Lsh(big.NewInt(1), uint(random.IntN(q.BitLen()-1))))
		octets := make([]byte, len(q.Bytes()))
		for j := range octets {
			octets[j] = byte(random.Uint32())
			if i%2 == 0 {
				octets[j] = -(octets[j] & 1)
			}
		}
		octets[0] &= 0x3f
		if n := new(big.Int).SetBytes(octets); n.Sign() != 0 && n.Cmp(q) < 0 {
			list = append(list, n)
		}
	}
	return list
}

func TestGroupAgainstMathBig(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, p := range everyParameters {
		c := referenceOf(p)
		size := len(p.p)
		octets := func(n *big.Int) []byte { return n.FillBytes(make([]byte, size)) }
		all := numbers(c.q, 6, random)
		for i, d := range all {
			want := c.multiply(c.generator(), d)
			x, y := p.group.base(octets(d))
			if !bytes.Equal(x, octets(want.x)) || !bytes.Equal(y, octets(want.y)) {
				t.Fatalf("%x: %x * G = (%x, %x), want (%x, %x)", p.p, d, x, y, want.x, want.y)
			}
			point, err := p.group.admit(x, y)
			if err != nil {
				t.Fatalf("%x: %x * G refused: %v", p.p, d, err)
			}
			faster := point.withTable()
			for range 2 {
				k := all[random.IntN(len(all))]
				e := all[(i+random.IntN(len(all)))%len(all)]
				r, s, ok := p.group.sign(octets(d), octets(e), octets(k))
				wantR, wantS := c.sign(d, e, k)
				if ok != (wantR.Sign() != 0 && wantS.Sign() != 0) {
					t.Fatalf("%x: sign(%x, %x, %x) ok: %v", p.p, d, e, k, ok)
				}
				if !ok {
					continue
				}
				if !bytes.Equal(r, octets(wantR)) || !bytes.Equal(s, octets(wantS)) {
					t.Fatalf("%x: sign(%x, %x, %x) = (%x, %x), want (%x, %x)", p.p, d, e, k, r, s, wantR, wantS)
				}
				// The digest -e mod q has the same signatures, by the equation of
				// the standard; any other must not.
				other := new(big.Int).Xor(e, big.NewInt(2))
				if sum := new(big.Int).Add(other, e); sum.Mod(sum, c.q).Sign() == 0 {
					other.Xor(other, big.NewInt(4))
				}
				for _, key := range []interface{ verify(e, r, s []byte) bool }{point, faster} {
					if !key.verify(octets(e), r, s) {
						t.Fatalf("%x: (%x, %x) over %x by %x does not verify with %T", p.p, r, s, e, d, key)
					}
					if key.verify(octets(other), r, s) {
						t.Fatalf("%x: (%x, %x) over %x by %x verifies over %x too", p.p, r, s, e, d, other)
					}
				}
			}
		}
	}
}

// Sums that meet the special cases of the formulas: equal points, opposite
// points, the point at infinity.
func TestGroup256SpecialSums(t *testing.T) {
	for _, p := range everyParameters {
		g, ok := p.group.(*group256)
		if !ok {
			continue
		}
		c := referenceOf(p)
		f := g.field
		leave := func(x, y fe256) *place {
			f.leave(&x, &x)
			f.leave(&y, &y)
			return &place{new(big.Int).SetBytes(x.octets()), new(big.Int).SetBytes(y.octets())}
		}
		affine := func(p *jacobian256) *place {
			if p.z.isZero() {
				return nil
			}
			var inverse, zz, x, y fe256
			f.invert(&inverse, &p.z)
			f.sqr(&zz, &inverse)
			f.mul(&x, &p.x, &zz)
			f.mul(&zz, &zz, &inverse)
			f.mul(&y, &p.y, &zz)
			return leave(x, y)
		}
		same := func(a, b *place) bool {
			return a == nil && b == nil || a != nil && b != nil && a.x.Cmp(b.x) == 0 && a.y.Cmp(b.y) == 0
		}
		point := g.generator
		var minus affine256
		minus.x = point.x
		f.sub(&minus.y, &fe256{}, &point.y)
		jacobian := func(a affine256) jacobian256 { return jacobian256{a.x, a.y, f.one} }
		infinity := jacobian256{}
		three := jacobian(point)
		g.double(&three)
		g.addAffine(&three, &point) // z is not one

		G := c.generator()
		for _, v := range []struct {
			name string
			a, b jacobian256
			want *place
		}{
			{"G+G", jacobian(point), jacobian(point), c.add(G, G)},
			{"G-G", jacobian(point), jacobian(minus), nil},
			{"0+G", infinity, jacobian(point), G},
			{"G+0", jacobian(point), infinity, G},
			{"0+0", infinity, infinity, nil},
			{"3G+G", three, jacobian(point), c.multiply(G, big.NewInt(4))},
			{"3G+3G", three, three, c.multiply(G, big.NewInt(6))},
			{"3G-G", three, jacobian(minus), c.multiply(G, big.NewInt(2))},
		} {
			sum := v.a
			g.add(&sum, &v.b)
			if got := affine(&sum); !same(got, v.want) {
				t.Errorf("%x: %s = %v, want %v", p.p, v.name, got, v.want)
			}
			if v.b.z == f.one {
				sum = v.a
				g.addAffine(&sum, &affine256{v.b.x, v.b.y})
				if got := affine(&sum); !same(got, v.want) {
					t.Errorf("%x: %s = %v with an affine point, want %v", p.p, v.name, got, v.want)
				}
				// The complete formula takes x/z, y/z.
				complete := projective256{y: f.one}
				if !v.a.z.isZero() {
					var zz fe256
					f.sqr(&zz, &v.a.z)
					f.mul(&complete.x, &v.a.x, &v.a.z)
					complete.y = v.a.y
					f.mul(&complete.z, &zz, &v.a.z)
				}
				g.addComplete(&complete, &affine256{v.b.x, v.b.y})
				var got *place
				if !complete.z.isZero() {
					var inverse, x, y fe256
					f.invert(&inverse, &complete.z)
					f.mul(&x, &complete.x, &inverse)
					f.mul(&y, &complete.y, &inverse)
					got = leave(x, y)
				}
				if !same(got, v.want) {
					t.Errorf("%x: %s = %v by the complete formula, want %v", p.p, v.name, got, v.want)
				}
			}
		}
		double := infinity
		g.double(&double)
		if !double.z.isZero() {
			t.Errorf("%x: twice infinity is not infinity", p.p)
		}
	}
}

// The digits of a scalar add up to it and are as sparse as promised.
func TestNonAdjacentForm(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	limit := new(big.Int).Lsh(big.NewInt(1), 256)
	list := append(numbers(limit, 100, random), new(big.Int).Sub(limit, big.NewInt(1)))
	for i, n := range slices.Concat(list, list) {
		width := 5
		if i < len(list) {
			width = 8
		}
		half := int8(1<<(width-1) - 1)
		x := words256of(n.FillBytes(make([]byte, octets256)))
		var digits [64*words256 + 1]int8
		length := x.nonAdjacentForm(&digits, width)
		sum, last := new(big.Int), len(digits)+width
		for i := len(digits) - 1; i >= 0; i-- {
			d := digits[i]
			sum.Lsh(sum, 1).Add(sum, big.NewInt(int64(d)))
			if d == 0 {
				continue
			}
			if i >= length || d%2 == 0 || d > half || d < -half || last-i < width {
				t.Errorf("%x: digit %d at %d of %d, the one before at %d", n, d, i, length, last)
			}
			last = i
		}
		if sum.Cmp(n) != 0 {
			t.Errorf("digits of %x add up to %x", n, sum)
		}
	}
}
