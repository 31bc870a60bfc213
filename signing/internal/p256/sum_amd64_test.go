//go:build !purego

package p256

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// abscissa is x/zz.
func (p *extended) abscissa() (x element) {
	x.invert(&p.zz)
	x.mul(&x, &p.x)
	return x
}

// sumPoints is sumLanes of points, of which every other one is the opposite of its opposite.
func sumPoints(points []affine) (extended, bool) {
	terms, opposites := make([]term, len(points)), append([]affine(nil), points...)
	for i := range terms {
		minus := -uint64(i % 2)
		opposites[i].y.negate(minus)
		terms[i] = term{&opposites[i], minus}
	}
	return sumLanes(terms)
}

// What eight lanes add up is what is added one by one, of however many points; and where two
// of one abscissa meet nothing is said.
func TestLanesAgree(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	random := mathrand.New(mathrand.NewPCG(7, 8))
	all := generator().points
	room := make([]affine, positions)
	for round := range 4000 {
		points := room[:lanes+round%(positions-lanes+1)]
		for i := range points {
			points[i] = all[random.IntN(len(all))]
			points[i].y.negate(-random.Uint64N(2))
		}
		var want extended
		for i := range points {
			want.add(&points[i])
		}
		got, ok := sumPoints(points)
		if !ok || got.abscissa() != want.abscissa() {
			t.Fatalf("%d points: %x, %v, want %x", len(points), got.abscissa(), ok, want.abscissa())
		}
		// The same point, or its opposite, in the same lane or in another.
		i, j := random.IntN(len(points)), random.IntN(len(points))
		if i == j || len(points) > 2*lanes {
			continue
		}
		if points[j] = points[i]; round%2 == 0 {
			points[j].y.negate(^uint64(0))
		}
		want = extended{}
		for i := range points {
			want.add(&points[i])
		}
		if got, ok := sumPoints(points); ok && (want.zz.isZero() || got.abscissa() != want.abscissa()) {
			t.Fatalf("%d points, of which %d and %d are of one abscissa: %x, want %x", len(points), i, j, got, want)
		}
	}
	for k := range 2 { // two that are the first of their lane's
		points := append([]affine(nil), all[:2*lanes]...)
		points[3+lanes] = points[3]
		points[3+lanes].y.negate(-uint64(k))
		if got, ok := sumPoints(points); ok {
			t.Errorf("a point that met itself makes %x", got)
		}
	}
	if _, ok := sumPoints(all[:lanes-1]); ok {
		t.Error("fewer points than lanes are added up")
	}
}

// The formulas of an addition hold for coordinates of no point as well, so numbers at the
// borders come to what the words of field.go make of them.
func TestLanesAgreeAtTheBorders(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	random := mathrand.New(mathrand.NewPCG(9, 10))
	points := make([]affine, positions)
	for round := range 20000 {
		points := points[:lanes+round%(positions-lanes+1)]
		for i := range points {
			points[i] = affine{atBorders(random), atBorders(random)}
		}
		got, ok := sumPoints(points)
		want, known := sumAsLanes(points)
		if ok != known || ok && got.abscissa() != want.abscissa() {
			t.Fatalf("%x: %x, %v, want %x, %v", points, got.abscissa(), ok, want.abscissa(), known)
		}
	}
}

// sumAsLanes adds in the order of the lanes: the sum of what are no points depends on it.
func sumAsLanes(points []affine) (extended, bool) {
	var sums [lanes]extended
	for i := range points {
		sum := &sums[i%lanes]
		if i >= lanes {
			var x element
			if x.mul(&points[i].x, &sum.zz); x == sum.x {
				return extended{}, false
			}
		}
		sum.add(&points[i])
	}
	for far := lanes / 2; far > 0; far /= 2 {
		for i := range far {
			if !sums[i].join(&sums[i+far]) {
				return extended{}, false
			}
		}
	}
	return sums[0], true
}

// join adds q to p; false: their abscissas are the same.
func (p *extended) join(q *extended) bool {
	var u1, u2, s1, s2, h, r, hh, hhh, v element
	u1.mul(&p.x, &q.zz)
	u2.mul(&q.x, &p.zz)
	s1.mul(&p.y, &q.zzz)
	s2.mul(&q.y, &p.zzz)
	h.sub(&u2, &u1)
	r.sub(&s2, &s1)
	hh.sqr(&h)
	hhh.mul(&h, &hh)
	v.mul(&u1, &hh)
	p.x.sqr(&r)
	p.x.sub(&p.x, &hhh)
	p.x.sub(&p.x, &v)
	p.x.sub(&p.x, &v)
	v.sub(&v, &p.x)
	v.mul(&v, &r)
	s1.mul(&s1, &hhh)
	p.y.sub(&v, &s1)
	p.zz.mul(&p.zz, &q.zz)
	p.zz.mul(&p.zz, &hh)
	p.zzz.mul(&p.zzz, &q.zzz)
	p.zzz.mul(&p.zzz, &hhh)
	return !h.isZero()
}

// Where the key is the generator or its opposite, and its digits are the generator's, each
// lane meets the point that it has, or the opposite: such signatures hold, or do not, as they
// do to crypto/ecdsa.
func TestAgreesWhereLanesMeet(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	for _, d := range []*big.Int{big.NewInt(1), new(big.Int).Sub(curve.N, big.NewInt(1))} {
		k := key(t, d)
		point, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		fast := NewKey(point)
		for opposites := range 1 << (lanes - 1) { // the highest digit stays: u2 is positive
			u1, u2 := new(big.Int), new(big.Int)
			for i := range lanes {
				digit := new(big.Int).Lsh(big.NewInt(int64(i+9)), uint(generatorBits*i))
				u1.Add(u1, digit)
				if opposites>>i&1 == 1 {
					digit.Neg(digit)
				}
				u2.Add(u2, digit)
			}
			a, b := scalar(toWords(u1)), scalar(toWords(u2))
			terms := fast.table.terms(generator().terms(nil, &a), &b)
			if _, ok := sumLanes(terms); ok || len(terms) != 2*lanes {
				t.Fatalf("key %x, opposites %b: of %d terms none meet", d, opposites, len(terms))
			}
			sum, r := new(big.Int).Mul(u2, d), big.NewInt(12345)
			sum.Add(sum, u1).Mod(sum, curve.N)
			infinity := sum.Sign() == 0
			if !infinity {
				r.Mod(key(t, sum).X, curve.N)
			}
			s := new(big.Int).Mul(r, new(big.Int).ModInverse(u2, curve.N))
			s.Mod(s, curve.N)
			e := new(big.Int).Mul(u1, s)
			if agree(t, &k.PublicKey, e.Mod(e, curve.N).FillBytes(make([]byte, 32)), r, s) == infinity {
				t.Errorf("key %x, opposites %b: it does not hold, or the point at infinity does", d, opposites)
			}
		}
	}
}

// Processors without the instructions say, and sign, what those with them do.
func TestAgreesWithoutLanes(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	defer func() { ifma = true }()
	for i := range byte(40) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte{i})
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		for _, ifma = range []bool{false, true} {
			if !agree(t, &k.PublicKey, digest[:], r, s) || agree(t, &k.PublicKey, digest[:], r, new(big.Int).Xor(s, big.NewInt(2))) {
				t.Errorf("signature %d, eight lanes %v: it does not hold, or its change does", i, ifma)
			}
			signsAs(t, k, &digest)
		}
	}
}

// The abscissa of a secret multiple of the generator is crypto/ecdh's: of numbers at the
// borders, of such whose digits are all the same, and of others.
func TestSecretAbscissas(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	numbers := scalars(2000)
	for digit := range uint64(16) {
		x := scalar{}
		for i := range x {
			x[i] = digit * 0x1111111111111111
		}
		numbers = append(numbers, x, scalar{x[0], x[1], x[2], 0}, scalar{1: x[1], 3: x[3]}, scalar{x[0] ^ 1, x[1], x[2], x[3]})
	}
	for i := range 256 {
		x := scalar{}
		x[i/64] = 1 << (i % 64)
		numbers = append(numbers, x)
	}
	left := 0
	for _, k := range numbers {
		if k.isZero() || !k.belowOrder() {
			continue
		}
		var octets [32]byte
		k.put(octets[:])
		got, ok := secretAbscissa(&k, &square)
		if !ok {
			left++
			continue
		}
		point, err := ecdh.P256().NewPrivateKey(octets[:])
		if err != nil {
			t.Fatal(err)
		}
		if want := scalarOf(point.PublicKey().Bytes()[1:33]); got != want {
			t.Fatalf("%x: %x, want %x", octets, got, want)
		}
	}
	if left > 0 {
		t.Errorf("of %d numbers %d are left to crypto/ecdh", len(numbers), left)
	}
}

// The number of which the digits at even places make what those at odd places make, less the
// order, and its opposite: the last addition is of one abscissa, and crypto/ecdh is asked.
func TestSecretAbscissaWhereSumsMeet(t *testing.T) {
	if !ifma {
		t.Skip("this processor has no IFMA")
	}
	// The order is a sum of odd digits, too.
	half := new(big.Int).Add(new(big.Int).Rsh(curve.N, 1), new(big.Int).Lsh(big.NewInt(1), 255))
	number := new(big.Int)
	for i := range uint(64) {
		h := new(big.Int).Rsh(half, 4*i)
		digit := big.NewInt(2*h.And(h, big.NewInt(15)).Int64() - 15)
		if i%2 == 0 {
			digit.Neg(digit)
		}
		number.Add(number, digit.Lsh(digit, 4*i))
	}
	for _, n := range []*big.Int{number, new(big.Int).Sub(curve.N, number)} {
		k := scalar(toWords(n))
		if _, ok := secretAbscissa(&k, &square); ok {
			t.Errorf("%x: the sums of even and of odd places have not met", n)
		}
		want := new(big.Int).Mod(key(t, n).X, curve.N)
		if got, err := abscissa(&k, &square); err != nil || fromWords((*element)(&got)).Cmp(want) != 0 {
			t.Errorf("%x: %x, %v, want %x", n, got, err, want)
		}
	}
}
