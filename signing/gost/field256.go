package gost

import (
	"encoding/binary"
	"math/bits"
)

// field256 is arithmetic modulo an odd prime p of at most 256 bits. Elements
// are always below p. In a field reduced byMontgomery they are held as x*R mod
// p with R = 2^256, in the others as they are: enter and leave convert.
//
// Methods whose names end in Vartime take time that depends on the values and
// are for public ones only; all others run in constant time.
type field256 struct {
	modulus   fe256
	reduction reduction
	small     uint64 // distance from the power of two
	inverse   uint64 // -1/p mod 2^64
	square    fe256  // R*R mod p, which enter multiplies by
	one       fe256
	limbs     signed256 // p once more, for invert
}

// newField256 prepares the field of a modulus given in big-endian octets.
// Scalars are few and their moduli have no shape: they set folding to false.
func newField256(modulus []byte, folding bool) *field256 {
	f := &field256{modulus: words256of(modulus)}
	f.inverse = 1
	for range 6 { // Newton: each step doubles the number of right bits.
		f.inverse *= 2 - f.modulus[0]*f.inverse
	}
	f.inverse = -f.inverse
	if folding {
		f.chooseFolding()
	}

	// R mod p by doubling 1, and then R*R the same way: add needs nothing but
	// the modulus.
	x := fe256{1}
	for range 64 * words256 {
		f.add(&x, &x, &x)
	}
	f.one = x
	for range 64 * words256 {
		f.add(&x, &x, &x)
	}
	f.square = x
	if f.reduction != byMontgomery {
		f.one = fe256{1}
	}
	f.limbs = f.modulus.signed()
	return f
}

// chooseFolding recognises a modulus that lies up to 2^16 below
// 2^256 or above one half of it.
func (f *field256) chooseFolding() {
	const near = 1 << 16
	low, top := f.modulus[0], f.modulus[words256-1]
	middle, ones := uint64(0), ^uint64(0)
	for _, word := range f.modulus[1 : words256-1] {
		middle |= word
		ones &= word
	}
	switch {
	case top == 1<<63 && middle == 0 && low < near:
		f.reduction, f.small = byPlus, low
	case top == ^uint64(0) && ones == ^uint64(0) && -low < near:
		f.reduction, f.small = byMinus, -low
	}
}

// mul sets z to x*y.
func (f *field256) mul(z, x, y *fe256) {
	if f.reduction == byMinus {
		f.mulMinus(z, x, y)
		return
	}
	var t [2 * words256]uint64
	product256(&t, x, y)
	f.reduce(z, &t)
}

// sqr sets z to x*x.
func (f *field256) sqr(z, x *fe256) {
	if f.reduction == byMinus {
		f.sqrMinus(z, x)
		return
	}
	var t [2 * words256]uint64
	square256(&t, x)
	f.reduce(z, &t)
}

func (f *field256) reduce(z *fe256, t *[2 * words256]uint64) {
	switch f.reduction {
	case byMinus:
		f.foldMinus(z, t)
	case byPlus:
		f.foldPlus(z, t)
	default:
		f.montgomery(z, t)
	}
}

// enter takes a plain number of any size below 2^256 into the field.
func (f *field256) enter(z, x *fe256) {
	if f.reduction == byMontgomery {
		f.mul(z, x, &f.square)
		return
	}
	var t [2 * words256]uint64
	copy(t[:], x[:])
	f.reduce(z, &t)
}

// leave gives the plain number, below p, that x stands for.
func (f *field256) leave(z, x *fe256) {
	*z = *x
	if f.reduction == byMontgomery {
		var t [2 * words256]uint64
		copy(t[:], x[:])
		f.montgomery(z, &t)
	}
}

// triple sets x to 3x.
func (f *field256) triple(x *fe256) {
	var twice fe256
	f.add(&twice, x, x)
	f.add(x, x, &twice)
}

// invertAll inverts numbers none of which is zero, by inverting their product.
func (f *field256) invertAll(xs []fe256) {
	products := make([]fe256, len(xs)) // of those before
	product := f.one
	for i := range xs {
		products[i] = product
		f.mul(&product, &product, &xs[i])
	}
	var inverse fe256
	f.invert(&inverse, &product)
	for i := len(xs) - 1; i >= 0; i-- {
		f.mul(&products[i], &products[i], &inverse)
		f.mul(&inverse, &inverse, &xs[i])
		xs[i] = products[i]
	}
}

// subtract sets x to x - y modulo 2^256 and returns the borrow.
func (x *fe256) subtract(y *fe256) (borrow uint64) {
	for i := range x {
		x[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return borrow
}

// less reports x < y.
func (x *fe256) less(y *fe256) bool {
	difference := *x
	return difference.subtract(y) == 1
}

func (x *fe256) isZero() bool {
	var any uint64
	for _, word := range x {
		any |= word
	}
	return any == 0
}

// choose sets x to y when mask is all ones and leaves it when mask is zero.
func (x *fe256) choose(y *fe256, mask uint64) {
	for i := range x {
		x[i] ^= (x[i] ^ y[i]) & mask
	}
}

// words256of reads big-endian octets.
func words256of(octets []byte) (x fe256) {
	for i := range x {
		x[i] = binary.BigEndian.Uint64(octets[8*(words256-1-i):])
	}
	return x
}

// octets gives x in big-endian octets.
func (x *fe256) octets() []byte {
	octets := make([]byte, 0, octets256)
	for i := words256 - 1; i >= 0; i-- {
		octets = binary.BigEndian.AppendUint64(octets, x[i])
	}
	return octets
}
