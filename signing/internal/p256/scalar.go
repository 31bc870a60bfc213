package p256

import (
	"encoding/binary"
	"math/bits"
)

// scalar is a number modulo the order n of the group, least significant word first and
// always below n. What computes with it takes the same time for all numbers.
type scalar [4]uint64

var (
	order = scalar{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000}
	// orderSquare is 2^512 mod n: a product with it gives a number Montgomery's form.
	orderSquare = scalar{0x83244c95be79eea2, 0x4699799c49bd6fa6, 0x2845b2392b6bec59, 0x66e12d94f3d95620}
)

// orderNegative is -1/n modulo 2^64.
const orderNegative = 0xccd1c8aaee00bc4f

// scalarOf reads 32 big-endian octets modulo n, which any of them need one subtraction for.
func scalarOf(octets []byte) (z scalar) {
	w := wordsOf(octets)
	z.reduce(w[0], w[1], w[2], w[3], 0)
	return z
}

// put writes the number as 32 big-endian octets.
func (x *scalar) put(octets []byte) {
	for i, w := range x {
		binary.BigEndian.PutUint64(octets[24-8*i:], w)
	}
}

// belowOrder says of 32 octets read as they are that they are such a number.
func (x *scalar) belowOrder() bool { return (*element)(x).less((*element)(&order)) }

func (x *scalar) isZero() bool { return x[0]|x[1]|x[2]|x[3] == 0 }

// reduce sets z to (t + top*2^256) mod n, for anything below 2n.
func (z *scalar) reduce(t0, t1, t2, t3, top uint64) {
	s0, b := bits.Sub64(t0, order[0], 0)
	s1, b := bits.Sub64(t1, order[1], b)
	s2, b := bits.Sub64(t2, order[2], b)
	s3, b := bits.Sub64(t3, order[3], b)
	_, b = bits.Sub64(top, 0, b)
	keep := -b // all ones when t was below n
	z[0] = s0 ^ (s0^t0)&keep
	z[1] = s1 ^ (s1^t1)&keep
	z[2] = s2 ^ (s2^t2)&keep
	z[3] = s3 ^ (s3^t3)&keep
}

func (z *scalar) add(x, y *scalar) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	z.reduce(t0, t1, t2, t3, c)
}

// negate sets z to n-z when minus is all ones, and leaves it when it is nought. z is not zero.
func (z *scalar) negate(minus uint64) {
	t0, b := bits.Sub64(order[0], z[0], 0)
	t1, b := bits.Sub64(order[1], z[1], b)
	t2, b := bits.Sub64(order[2], z[2], b)
	t3, _ := bits.Sub64(order[3], z[3], b)
	z[0] ^= (z[0] ^ t0) & minus
	z[1] ^= (z[1] ^ t1) & minus
	z[2] ^= (z[2] ^ t2) & minus
	z[3] ^= (z[3] ^ t3) & minus
}

// mul sets z to x*y/2^256: the product of two numbers of which one has Montgomery's form.
func (z *scalar) mul(x, y *scalar) {
	var t0, t1, t2, t3, t4, c uint64
	for _, w := range y {
		// t += x*w, which has five words: n*2^64 + 2n is below 2^320.
		h0, l0 := bits.Mul64(x[0], w)
		h1, l1 := bits.Mul64(x[1], w)
		h2, l2 := bits.Mul64(x[2], w)
		h3, l3 := bits.Mul64(x[3], w)
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		l4 := h3 + c
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, _ = bits.Add64(t4, l4, c)

		// t = (t + m*n)/2^64, with the m that makes the lowest word vanish.
		m := t0 * orderNegative
		h0, l0 = bits.Mul64(order[0], m)
		h1, l1 = bits.Mul64(order[1], m)
		h2, l2 = bits.Mul64(order[2], m)
		h3, l3 = bits.Mul64(order[3], m)
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		l4 = h3 + c
		_, c = bits.Add64(t0, l0, 0)
		t0, c = bits.Add64(t1, l1, c)
		t1, c = bits.Add64(t2, l2, c)
		t2, c = bits.Add64(t3, l3, c)
		t3, t4 = bits.Add64(t4, l4, c)
	}
	z.reduce(t0, t1, t2, t3, t4)
}
