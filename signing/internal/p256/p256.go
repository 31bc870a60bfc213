// Package p256 verifies and makes ECDSA signatures over P-256 in less time than
// crypto/ecdsa.
//
// crypto/ecdsa multiplies the signer's point afresh for each signature: two thirds of
// a verification. A gateway sees the same few keys all day, so a table of multiples of
// the point makes of that multiplication some fifty additions.
//
// What verifies (Key) sees public values only: signatures, digests, public keys. Its time
// depends on them, and nothing secret may be fed to it. It says "yes" or "I do not say
// so": whoever asks turns to crypto/ecdsa then, so a fault of this package cannot make
// a good signature bad. That it makes no bad one good is what its tests are for, with
// crypto/ecdsa and crypto/elliptic as oracles.
//
// What signs (PrivateKey) computes in a time that is the same for every key and nonce. It
// makes the signatures that crypto/ecdsa makes without random numbers (RFC 6979), bit by
// bit, which is what its tests hold it to; the multiplication of the generator by the
// nonce is left to crypto/ecdh.
//
// Only package signing may enter.
package p256

import (
	"crypto/elliptic"
	"math/bits"
	"sync"
)

// affine is the point (x, y), jacobian (x/z^2, y/z^3), or the one at infinity when z = 0.
type (
	affine   struct{ x, y element }
	jacobian struct{ x, y, z element }
)

// double sets p to 2p (a = -3).
func (p *jacobian) double() {
	var delta, gamma, beta, alpha, t element
	delta.sqr(&p.z)
	gamma.sqr(&p.y)
	beta.mul(&p.x, &gamma)
	alpha.sub(&p.x, &delta)
	t.add(&p.x, &delta)
	alpha.mul(&alpha, &t)
	t.add(&alpha, &alpha)
	alpha.add(&alpha, &t)

	p.z.add(&p.y, &p.z)
	p.z.sqr(&p.z)
	p.z.sub(&p.z, &gamma)
	p.z.sub(&p.z, &delta)

	beta.add(&beta, &beta)
	beta.add(&beta, &beta)
	p.x.sqr(&alpha)
	p.x.sub(&p.x, &beta)
	p.x.sub(&p.x, &beta)

	gamma.add(&gamma, &gamma)
	gamma.sqr(&gamma)
	gamma.add(&gamma, &gamma)
	p.y.sub(&beta, &p.x)
	p.y.mul(&p.y, &alpha)
	p.y.sub(&p.y, &gamma)
}

// add sets p to p+q.
func (p *jacobian) add(q *affine) {
	if p.z.isZero() {
		*p = jacobian{q.x, q.y, one}
		return
	}
	var zz, h, r, hh, v element
	zz.sqr(&p.z)
	h.mul(&q.x, &zz)
	h.sub(&h, &p.x)
	r.mul(&q.y, &p.z)
	r.mul(&r, &zz)
	r.sub(&r, &p.y)
	if h.isZero() {
		if r.isZero() {
			p.double()
		} else {
			*p = jacobian{}
		}
		return
	}
	hh.sqr(&h)
	v.mul(&p.x, &hh)
	p.z.mul(&p.z, &h)
	hh.mul(&hh, &h) // h^3
	p.x.sqr(&r)
	p.x.sub(&p.x, &hh)
	p.x.sub(&p.x, &v)
	p.x.sub(&p.x, &v)
	v.sub(&v, &p.x)
	v.mul(&v, &r)
	hh.mul(&hh, &p.y)
	p.y.sub(&v, &hh)
}

// settle gives the affine forms of points, none of them at infinity, with one
// inversion for all.
func settle(points []jacobian) []affine {
	products, all := make([]element, len(points)), one
	for i := range points {
		products[i] = all
		all.mul(&all, &points[i].z)
	}
	all.invert(&all)
	out := make([]affine, len(points))
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		var inverse, squared element
		inverse.mul(&all, &products[i])
		all.mul(&all, &p.z)
		squared.sqr(&inverse)
		out[i].x.mul(&p.x, &squared)
		squared.mul(&squared, &inverse)
		out[i].y.mul(&p.y, &squared)
	}
	return out
}

// table holds, for each position i of a digit of so many bits, the multiples 1, 2 ...
// 2^(bits-1) of 2^(i*bits) * P. A digit may be negative.
type table struct {
	bits   uint
	points []affine
}

func newTable(p *affine, bits uint) *table {
	positions := 256/int(bits) + 1
	bases, at := make([]jacobian, positions), jacobian{p.x, p.y, one}
	for i := range bases {
		bases[i] = at
		for range bits {
			at.double()
		}
	}
	half := 1 << (bits - 1)
	multiples := make([]jacobian, 0, positions*half)
	for _, base := range settle(bases) {
		var sum jacobian
		for range half {
			sum.add(&base)
			multiples = append(multiples, sum)
		}
	}
	return &table{bits, settle(multiples)}
}

// pick adds to points those whose sum is k*P. They are picked before any is added: rows
// are far apart in memory, and what the processor has to wait for it then waits for once.
func (t *table) pick(points []affine, k *scalar) []affine {
	half := int64(1) << (t.bits - 1)
	carry, row := int64(0), t.points
	for at := uint(0); len(row) > 0; at, row = at+t.bits, row[half:] {
		digit := carry
		if at < 256 {
			word := k[at/64] >> (at % 64)
			if over := at%64 + t.bits; over > 64 && at/64 < 3 {
				word |= k[at/64+1] << (64 - at%64)
			}
			digit += int64(word & (1<<t.bits - 1))
		}
		carry = 0
		if digit > half {
			digit, carry = digit-2*half, 1
		}
		switch {
		case digit > 0:
			points = append(points, row[digit-1])
		case digit < 0:
			p := row[-digit-1]
			p.y.sub(&element{}, &p.y)
			points = append(points, p)
		}
	}
	return points
}

const (
	// keyBits make of a key 88 KB in 43 rows, generatorBits of the generator 2.9 MB in 22.
	keyBits, generatorBits = 6, 12

	positions = 256/keyBits + 1 + 256/generatorBits + 1
)

// KeySize is about what a Key takes in memory.
const KeySize = (256/keyBits + 1) << (keyBits - 1) * 64

var (
	curve     = elliptic.P256().Params()
	generator = sync.OnceValue(func() *table {
		p := pointOf(curve.Gx.Bytes(), curve.Gy.Bytes())
		return newTable(&p, generatorBits)
	})
)

func pointOf(x, y []byte) (p affine) {
	p.x, p.y = wordsOf(x), wordsOf(y)
	p.x.enter(&p.x)
	p.y.enter(&p.y)
	return p
}

// Key is a public key with its table. It does not change and may be used by several
// goroutines.
type Key struct{ table *table }

// NewKey makes the table of a point that is known to be on the curve: 65 octets as
// crypto/ecdsa writes a key.
func NewKey(point []byte) *Key {
	p := pointOf(point[1:33], point[33:65])
	return &Key{newTable(&p, keyBits)}
}

// Verify says that r and s, each 32 octets, are a signature of the key over a digest
// of at least 32 octets (SEC 1, 4.1.4).
func (k *Key) Verify(digest, r, s []byte) bool {
	if len(digest) < 32 || len(r) != 32 || len(s) != 32 {
		return false
	}
	rn, sn := scalar(wordsOf(r)), scalar(wordsOf(s))
	if rn.isZero() || sn.isZero() || !rn.belowOrder() || !sn.belowOrder() {
		return false
	}
	var inverse, u1, u2 scalar
	inverse.invertPublic(&sn)
	inverse.mul(&inverse, &orderSquare)
	e := scalarOf(digest)
	u1.mul(&e, &inverse)
	u2.mul(&rn, &inverse)
	var room [positions]affine
	var sum jacobian
	points := generator().pick(room[:0], &u1)
	points = k.table.pick(points, &u2)
	for i := range points {
		sum.add(&points[i])
	}
	return sum.hasAbscissa(&rn)
}

// hasAbscissa says that x/z^2 mod n is r, without the division: it compares x with
// each number below p that r stands for, times z^2.
func (p *jacobian) hasAbscissa(r *scalar) bool {
	if p.z.isZero() {
		return false
	}
	var zz, x element
	zz.sqr(&p.z)
	x.enter((*element)(r))
	x.mul(&x, &zz)
	if x == p.x {
		return true
	}
	var second element
	var c uint64
	for i := range second {
		second[i], c = bits.Add64(r[i], order[i], c)
	}
	if c != 0 || !second.less(&prime) {
		return false
	}
	x.enter(&second)
	x.mul(&x, &zz)
	return x == p.x
}
