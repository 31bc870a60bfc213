package gost

import "math/bits"

// The arithmetic comes in two widths of the same shape. The files that end in
// 256.go are written by hand, except arithmetic256.go; gen.go derives their
// namesakes in 512 by changing the number, and writes the unrolled products,
// sums and reductions of both (arithmetic256.go, arithmetic512.go), because the
// compiler does not unroll loops. A change goes to the 256-bit file or to
// gen.go, followed by go generate.

//go:generate go run gen.go

// reduction tells how a product is brought below the modulus of a field. The
// moduli of most curves are a small number away from a power of two, and
// folding them costs a quarter of what Montgomery's method does.
type reduction int

const (
	byMontgomery reduction = iota
	byMinus                // p = R - small, where R is 2^256 or 2^512
	byPlus                 // p = R/2 + small
)

// sum128 is a sum of products of signed words, signed too.
type sum128 struct{ low, high uint64 }

func (s *sum128) add(x, y int64) {
	high, low := bits.Mul64(uint64(x), uint64(y))
	high -= uint64(x>>63&y) + uint64(y>>63&x)
	var carry uint64
	s.low, carry = bits.Add64(s.low, low, 0)
	s.high, _ = bits.Add64(s.high, high, carry)
}

// shift takes the lowest 62 bits out.
func (s *sum128) shift() int64 {
	low := s.low & (1<<62 - 1)
	s.low = s.low>>62 | s.high<<2
	s.high = uint64(int64(s.high) >> 62)
	return int64(low)
}

// same is all ones when a = b and zero otherwise, in constant time.
func same(a, b uint64) uint64 {
	different := a ^ b
	return -((different - 1) &^ different >> 63)
}
