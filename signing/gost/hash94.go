package gost

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

// Sizes of GOST R 34.11-94 in octets.
const (
	GOST94Size      = 32
	GOST94BlockSize = 32
)

// hash94Boxes are the eight rows of a GOST 28147-89 substitution; row 0 serves
// the least significant four bits.
type hash94Boxes [8][16]uint8

// cryptoProBoxes is id-GostR3411-94-CryptoProParamSet (RFC 4357, section 11.2), which every
// deployed system uses.
var cryptoProBoxes = hash94Boxes{
	{10, 4, 5, 6, 8, 1, 3, 7, 13, 12, 14, 0, 9, 2, 11, 15},
	{5, 15, 4, 0, 2, 13, 11, 9, 1, 7, 6, 3, 12, 14, 10, 8},
	{7, 15, 12, 14, 9, 4, 1, 0, 3, 11, 5, 2, 6, 10, 8, 13},
	{4, 10, 7, 12, 0, 15, 2, 8, 14, 1, 6, 5, 13, 11, 9, 3},
	{7, 6, 4, 11, 9, 12, 2, 10, 1, 8, 0, 14, 15, 13, 3, 5},
	{7, 6, 2, 4, 13, 9, 15, 0, 10, 1, 5, 11, 8, 14, 12, 3},
	{13, 14, 4, 1, 7, 0, 5, 10, 3, 12, 8, 15, 6, 2, 9, 11},
	{1, 3, 10, 9, 5, 11, 4, 15, 8, 6, 7, 14, 13, 0, 2, 12},
}

// hash94Table is a substitution spread to octets and rotated left by 11 bits,
// as the round function of the cipher needs it.
type hash94Table [4][256]uint32

func (b *hash94Boxes) table() *hash94Table {
	var t hash94Table
	for i := range t {
		for v := range 256 {
			substituted := uint32(b[2*i+1][v>>4])<<4 | uint32(b[2*i][v&15])
			t[i][v] = bits.RotateLeft32(substituted<<(8*i), 11)
		}
	}
	return &t
}

var cryptoProTable = cryptoProBoxes.table()

// hash94 is the running state of GOST R 34.11-94. 256-bit values are kept as
// four words, word 0 the least significant.
type hash94 struct {
	table    *hash94Table
	h, sum   [4]uint64
	length   uint64 // octets
	buffer   [GOST94BlockSize]byte
	buffered int
}

// NewGOST94 returns a hash.Hash computing GOST R 34.11-94 with the CryptoPro
// substitution. It exists to verify signatures made before 2019; the algorithm
// is withdrawn.
func NewGOST94() hash.Hash { return &hash94{table: cryptoProTable} }

func (d *hash94) Size() int { return GOST94Size }

func (d *hash94) BlockSize() int { return GOST94BlockSize }

func (d *hash94) Reset() { *d = hash94{table: d.table} }

func (d *hash94) Write(data []byte) (int, error) {
	written := len(data)
	d.length += uint64(written)
	for len(data) > 0 {
		n := copy(d.buffer[d.buffered:], data)
		d.buffered += n
		data = data[n:]
		if d.buffered == GOST94BlockSize {
			d.block()
			d.buffered = 0
		}
	}
	return written, nil
}

// Sum appends the digest of what was written so far; writing may go on.
func (d *hash94) Sum(in []byte) []byte {
	end := *d
	if end.buffered > 0 {
		clear(end.buffer[end.buffered:])
		end.block()
	}
	end.step(&[4]uint64{end.length << 3, end.length >> 61})
	end.step(&end.sum)
	for _, word := range end.h {
		in = binary.LittleEndian.AppendUint64(in, word)
	}
	return in
}

// block takes the buffer in as one block of the message.
func (d *hash94) block() {
	var m [4]uint64
	var carry uint64
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(d.buffer[8*i:])
		d.sum[i], carry = bits.Add64(d.sum[i], m[i], carry)
	}
	d.step(&m)
}

// hash94C3 is the constant C3 of RFC 5831, section 5.1; C2 and C4 are zero.
var hash94C3 = [4]uint64{0xff00ff00ff00ff00, 0x00ff00ff00ff00ff, 0xff0000ff00ffff00, 0xff00ffff000000ff}

// step is the step hash function of RFC 5831, section 5: keys, encryption of
// the four words of h, mixing.
func (d *hash94) step(m *[4]uint64) {
	var s [4]uint64
	u, v := d.h, *m
	for j := range s {
		if j > 0 {
			u = hash94A(u)
			v = hash94A(hash94A(v))
		}
		if j == 2 {
			for i := range u {
				u[i] ^= hash94C3[i]
			}
		}
		key := hash94Key(&[4]uint64{u[0] ^ v[0], u[1] ^ v[1], u[2] ^ v[2], u[3] ^ v[3]})
		s[j] = d.encrypt(&key, d.h[j])
	}
	for range 12 {
		hash94Mix(&s)
	}
	for i := range s {
		s[i] ^= m[i]
	}
	hash94Mix(&s)
	for i := range s {
		s[i] ^= d.h[i]
	}
	for range 61 {
		hash94Mix(&s)
	}
	d.h = s
}

// hash94A is the transformation A of RFC 5831, section 5.1.
func hash94A(x [4]uint64) [4]uint64 {
	return [4]uint64{x[1], x[2], x[3], x[0] ^ x[1]}
}

// hash94Key is the permutation P of RFC 5831, section 5.1: octet i+4k of the
// result is octet 8i+k of w.
func hash94Key(w *[4]uint64) (key [8]uint32) {
	for k := range key {
		for i := range w {
			key[k] |= uint32(uint8(w[i]>>(8*k))) << (8 * i)
		}
	}
	return key
}

// hash94Mix is the linear step psi of RFC 5831, section 5.3.
func hash94Mix(x *[4]uint64) {
	top := x[0] ^ x[0]>>16 ^ x[0]>>32 ^ x[0]>>48 ^ x[3] ^ x[3]>>48
	x[0] = x[0]>>16 | x[1]<<48
	x[1] = x[1]>>16 | x[2]<<48
	x[2] = x[2]>>16 | x[3]<<48
	x[3] = x[3]>>16 | top<<48
}

// encrypt is GOST 28147-89 in the mode of simple replacement (RFC 5830).
func (d *hash94) encrypt(key *[8]uint32, block uint64) uint64 {
	n1, n2 := uint32(block), uint32(block>>32)
	for range 3 {
		for i := 0; i < 8; i += 2 {
			n2 ^= d.substitute(n1 + key[i])
			n1 ^= d.substitute(n2 + key[i+1])
		}
	}
	for i := 7; i > 0; i -= 2 {
		n2 ^= d.substitute(n1 + key[i])
		n1 ^= d.substitute(n2 + key[i-1])
	}
	return uint64(n1)<<32 | uint64(n2)
}

func (d *hash94) substitute(x uint32) uint32 {
	t := d.table
	return t[0][uint8(x)] ^ t[1][uint8(x>>8)] ^ t[2][uint8(x>>16)] ^ t[3][uint8(x>>24)]
}
