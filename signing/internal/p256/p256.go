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
// What signs (PrivateKey) computes in a time that tells nothing of key and nonce: it is the
// same for all of them, but for inversions of what was multiplied by a secret of its own before
// (invertHidden). It makes the signatures that crypto/ecdsa makes without random numbers (RFC
// 6979), bit by bit, which is what its tests hold it to. Where the processor does not multiply
// 52 bits in eight lanes (AVX-512 IFMA), the multiplication of the generator by the nonce is left
// to crypto/ecdh.
//
// Only package signing may enter.
package p256

import (
	"crypto/elliptic"
	"math/bits"
	"sync"
)

// affine is the point (x, y), extended (x/zz, y/zzz) with zz^3 = zzz^2, or the one at
// infinity when zz = 0. To add an affine point to an extended one takes ten
// multiplications, one less than to one of Jacobi's coordinates.
type (
	affine   struct{ x, y element }
	extended struct{ x, y, zz, zzz element }
)

// double sets p to 2p (a = -3).
func (p *extended) double() {
	var u, v, w, s, m, t element
	u.add(&p.y, &p.y)
	v.sqr(&u)
	w.mul(&u, &v)
	s.mul(&p.x, &v)
	m.sub(&p.x, &p.zz)
	t.add(&p.x, &p.zz)
	m.mul(&m, &t)
	t.add(&m, &m)
	m.add(&m, &t)
	p.x.sqr(&m)
	p.x.sub(&p.x, &s)
	p.x.sub(&p.x, &s)
	s.sub(&s, &p.x)
	t.mul(&w, &p.y)
	p.y.mul(&m, &s)
	p.y.sub(&p.y, &t)
	p.zz.mul(&p.zz, &v)
	p.zzz.mul(&p.zzz, &w)
}

// add sets p to p+q.
func (p *extended) add(q *affine) {
	if p.zz.isZero() {
		*p = extended{q.x, q.y, one, one}
		return
	}
	if adx && addADX(p, q) {
		return
	}
	var h, r, hh, v element
	h.mul(&q.x, &p.zz)
	h.sub(&h, &p.x)
	r.mul(&q.y, &p.zzz)
	r.sub(&r, &p.y)
	if h.isZero() {
		if r.isZero() {
			p.double()
		} else {
			*p = extended{}
		}
		return
	}
	hh.sqr(&h)
	h.mul(&h, &hh) // h^3
	v.mul(&p.x, &hh)
	p.zz.mul(&p.zz, &hh)
	p.zzz.mul(&p.zzz, &h)
	p.x.sqr(&r)
	p.x.sub(&p.x, &h)
	p.x.sub(&p.x, &v)
	p.x.sub(&p.x, &v)
	v.sub(&v, &p.x)
	v.mul(&v, &r)
	h.mul(&h, &p.y)
	p.y.sub(&v, &h)
}

// settle gives the affine forms of points, none of them at infinity, with one
// inversion for all.
func settle(points []extended) []affine {
	products, all := make([]element, len(points)), one
	for i := range points {
		products[i] = all
		all.mul(&all, &points[i].zzz)
	}
	all.invert(&all)
	out := make([]affine, len(points))
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		var inverse element
		inverse.mul(&all, &products[i]) // of zzz
		all.mul(&all, &p.zzz)
		out[i].y.mul(&p.y, &inverse)
		inverse.mul(&inverse, &p.zz)
		inverse.sqr(&inverse) // of zz
		out[i].x.mul(&p.x, &inverse)
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
	bases, at := make([]extended, positions), extended{p.x, p.y, one, one}
	for i := range bases {
		bases[i] = at
		for range bits {
			at.double()
		}
	}
	half := 1 << (bits - 1)
	multiples := make([]extended, 0, positions*half)
	for _, base := range settle(bases) {
		var sum extended
		for range half {
			sum.add(&base)
			multiples = append(multiples, sum)
		}
	}
	return &table{bits, settle(multiples)}
}

// term is a point of a table, or, where minus is all ones and not nought, its opposite.
type term struct {
	point *affine
	minus uint64
}

// terms appends to terms those whose sum is k*P. It reads no points: see touch.
func (t *table) terms(terms []term, k *scalar) []term {
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
		carry = int64(uint64(half-digit) >> 63) // 1 when digit > half
		digit -= 2 * half * carry
		minus := digit >> 63
		if digit != 0 {
			terms = append(terms, term{&row[(digit^minus)-minus-1], uint64(minus)})
		}
	}
	return terms
}

// affine gives the point: without a branch, for no processor guesses which sign a digit has.
func (t *term) affine() affine {
	p := *t.point
	p.y.negate(t.minus)
	return p
}

// touch reads a word of every point. Rows of tables are far apart in memory and mostly in no
// cache: with nothing else to do between, the processor waits for all of them at once.
//
//go:noinline
func touch(terms []term) (words uint64) {
	for i := range terms {
		words |= terms[i].point.x[0]
	}
	return words // or nothing would be read
}

// sumOf adds terms up.
func sumOf(terms []term) (sum extended) {
	touch(terms)
	for i := range terms {
		p := terms[i].affine()
		sum.add(&p)
	}
	return sum
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
	inverse.invert(&sn)
	inverse.mul(&inverse, &orderSquare)
	e := scalarOf(digest)
	u1.mul(&e, &inverse)
	u2.mul(&rn, &inverse)
	var room [positions]term
	terms := k.table.terms(generator().terms(room[:0], &u1), &u2)
	sum, ok := sumLanes(terms)
	if !ok {
		sum = sumOf(terms)
	}
	return sum.hasAbscissa(&rn)
}

// hasAbscissa says that x/zz mod n is r, without the division: it compares x with
// each number below p that r stands for, times zz.
func (p *extended) hasAbscissa(r *scalar) bool {
	if p.zz.isZero() {
		return false
	}
	var x element
	x.enter((*element)(r))
	x.mul(&x, &p.zz)
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
	x.mul(&x, &p.zz)
	return x == p.x
}
