package p256

import (
	"encoding/binary"
	"math/bits"
)

// element is a number modulo p = 2^256 - 2^224 + 2^192 + 2^96 - 1, least significant
// word first, always below p. It is held as x*2^256 (Montgomery's form), except where
// a comment says otherwise.
type element [4]uint64

var (
	prime = element{0xffffffffffffffff, 0x00000000ffffffff, 0, 0xffffffff00000001}
	// one is 1, and square 2^256, in Montgomery's form: enter multiplies by square.
	one    = element{0x0000000000000001, 0xffffffff00000000, 0xffffffffffffffff, 0x00000000fffffffe}
	square = element{0x0000000000000003, 0xfffffffbffffffff, 0xfffffffffffffffe, 0x00000004fffffffd}
)

// wordsOf reads 32 big-endian octets as they are.
func wordsOf(octets []byte) (z element) {
	for i := range z {
		z[i] = binary.BigEndian.Uint64(octets[24-8*i:])
	}
	return z
}

// less compares numbers of any form.
func (x *element) less(y *element) bool {
	_, b := bits.Sub64(x[0], y[0], 0)
	_, b = bits.Sub64(x[1], y[1], b)
	_, b = bits.Sub64(x[2], y[2], b)
	_, b = bits.Sub64(x[3], y[3], b)
	return b != 0
}

func (x *element) isZero() bool { return x[0]|x[1]|x[2]|x[3] == 0 }

// enter gives a number below p its form.
func (z *element) enter(x *element) { z.mul(x, &square) }

// reduce sets z to (t + top*2^256) mod p, for anything below 2p.
func (z *element) reduce(t0, t1, t2, t3, top uint64) {
	s0, b := bits.Sub64(t0, prime[0], 0)
	s1, b := bits.Sub64(t1, prime[1], b)
	s2, b := bits.Sub64(t2, prime[2], b)
	s3, b := bits.Sub64(t3, prime[3], b)
	_, b = bits.Sub64(top, 0, b)
	keep := -b // all ones when t was below p
	z[0] = s0 ^ (s0^t0)&keep
	z[1] = s1 ^ (s1^t1)&keep
	z[2] = s2 ^ (s2^t2)&keep
	z[3] = s3 ^ (s3^t3)&keep
}

func (z *element) add(x, y *element) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	z.reduce(t0, t1, t2, t3, c)
}

func (z *element) sub(x, y *element) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	borrowed := -b
	t0, c := bits.Add64(t0, prime[0]&borrowed, 0)
	t1, c = bits.Add64(t1, prime[1]&borrowed, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, _ = bits.Add64(t3, prime[3]&borrowed, c)
	*z = element{t0, t1, t2, t3}
}

// negate sets z to p-z when minus is all ones, and leaves it when it is nought. z is not zero:
// no point of the curve has such an ordinate.
func (z *element) negate(minus uint64) {
	t0, b := bits.Sub64(prime[0], z[0], 0)
	t1, b := bits.Sub64(prime[1], z[1], b)
	t2, b := bits.Sub64(prime[2], z[2], b)
	t3, _ := bits.Sub64(prime[3], z[3], b)
	z[0] ^= (z[0] ^ t0) & minus
	z[1] ^= (z[1] ^ t1) & minus
	z[2] ^= (z[2] ^ t2) & minus
	z[3] ^= (z[3] ^ t3) & minus
}

// fold is one step of Montgomery's reduction. Since -1/p = 1 modulo 2^64, what is
// added to make the lowest word t0 vanish is t0*p itself; the words above it become
// (r0, r1, r2), and r3 is what goes to the word behind them.
func fold(t0, t1, t2, t3 uint64) (r0, r1, r2, r3 uint64) {
	high, low := bits.Mul64(t0, prime[3])
	r0, c := bits.Add64(t1, t0<<32, 0)
	r1, c = bits.Add64(t2, t0>>32, c)
	r2, c = bits.Add64(t3, low, c)
	return r0, r1, r2, high + c
}

// montgomery sets z to t/2^256 mod p.
func (z *element) montgomery(t0, t1, t2, t3, t4, t5, t6, t7 uint64) {
	var r3, c uint64
	t0, t1, t2, r3 = fold(t0, t1, t2, t3)
	t3, c = bits.Add64(t4, r3, 0)
	var d uint64
	t0, t1, t2, r3 = fold(t0, t1, t2, t3)
	t3, d = bits.Add64(t5, r3, c)
	t0, t1, t2, r3 = fold(t0, t1, t2, t3)
	t3, c = bits.Add64(t6, r3, d)
	t0, t1, t2, r3 = fold(t0, t1, t2, t3)
	t3, c = bits.Add64(t7, r3, c)
	z.reduce(t0, t1, t2, t3, c)
}

// mul sets z to x*y.
func (z *element) mul(x, y *element) {
	var c uint64
	h0, t0 := bits.Mul64(x[0], y[0])
	h1, t1 := bits.Mul64(x[0], y[1])
	h2, t2 := bits.Mul64(x[0], y[2])
	h3, t3 := bits.Mul64(x[0], y[3])
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, h1, c)
	t3, c = bits.Add64(t3, h2, c)
	t4 := h3 + c

	h0, l0 := bits.Mul64(x[1], y[0])
	h1, l1 := bits.Mul64(x[1], y[1])
	h2, l2 := bits.Mul64(x[1], y[2])
	h3, l3 := bits.Mul64(x[1], y[3])
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	l4 := h3 + c
	t1, c = bits.Add64(t1, l0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, l2, c)
	t4, c = bits.Add64(t4, l3, c)
	t5 := l4 + c

	h0, l0 = bits.Mul64(x[2], y[0])
	h1, l1 = bits.Mul64(x[2], y[1])
	h2, l2 = bits.Mul64(x[2], y[2])
	h3, l3 = bits.Mul64(x[2], y[3])
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	l4 = h3 + c
	t2, c = bits.Add64(t2, l0, 0)
	t3, c = bits.Add64(t3, l1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, l3, c)
	t6 := l4 + c

	h0, l0 = bits.Mul64(x[3], y[0])
	h1, l1 = bits.Mul64(x[3], y[1])
	h2, l2 = bits.Mul64(x[3], y[2])
	h3, l3 = bits.Mul64(x[3], y[3])
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	l4 = h3 + c
	t3, c = bits.Add64(t3, l0, 0)
	t4, c = bits.Add64(t4, l1, c)
	t5, c = bits.Add64(t5, l2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7 := l4 + c
	z.montgomery(t0, t1, t2, t3, t4, t5, t6, t7)
}

// sqr sets z to x*x.
func (z *element) sqr(x *element) {
	var c uint64
	h1, t1 := bits.Mul64(x[0], x[1])
	h2, t2 := bits.Mul64(x[0], x[2])
	h3, t3 := bits.Mul64(x[0], x[3])
	t2, c = bits.Add64(t2, h1, 0)
	t3, c = bits.Add64(t3, h2, c)
	t4 := h3 + c
	h3, l3 := bits.Mul64(x[1], x[2])
	h4, l4 := bits.Mul64(x[1], x[3])
	h5, t5 := bits.Mul64(x[2], x[3])
	l4, c = bits.Add64(l4, h3, 0)
	h4 += c
	t3, c = bits.Add64(t3, l3, 0)
	t4, c = bits.Add64(t4, l4, c)
	t5, c = bits.Add64(t5, h4, c)
	t6 := h5 + c

	t7 := t6 >> 63
	t6 = t6<<1 | t5>>63
	t5 = t5<<1 | t4>>63
	t4 = t4<<1 | t3>>63
	t3 = t3<<1 | t2>>63
	t2 = t2<<1 | t1>>63
	t1 <<= 1

	h0, t0 := bits.Mul64(x[0], x[0])
	h1, l1 := bits.Mul64(x[1], x[1])
	h2, l2 := bits.Mul64(x[2], x[2])
	h3, l3 = bits.Mul64(x[3], x[3])
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, h1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, h2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7 += h3 + c
	z.montgomery(t0, t1, t2, t3, t4, t5, t6, t7)
}
