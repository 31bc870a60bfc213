package gost

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

// Sizes of the digests and of the input block in octets.
const (
	Streebog256Size   = 32
	Streebog512Size   = 64
	StreebogBlockSize = 64
)

// streebogTable[i][v] is L(pi(v) placed at octet i). With it the step LPS,
// which substitutes 64 octets, transposes them and multiplies eight words by
// the matrix, is 64 look-ups: octet j of word i contributes to word j.
var streebogTable = func() (t [8][256]uint64) {
	for i := range t {
		for v := range t[i] {
			word := uint64(streebogPi[v]) << (8 * i)
			for ; word != 0; word &= word - 1 {
				t[i][v] ^= streebogA[63-bits.TrailingZeros64(word)]
			}
		}
	}
	return t
}()

// streebog is the running state of one hash. On most processors its table
// look-ups depend on the data hashed; where that is secret (the nonce of a
// signature), see nonce.go.
type streebog struct {
	h, n, sigma [8]uint64
	buffer      [StreebogBlockSize]byte
	buffered    int
	size        int
}

// NewStreebog256 returns a hash.Hash computing GOST R 34.11-2012 with a digest
// of 256 bits (RFC 6986).
func NewStreebog256() hash.Hash {
	d := &streebog{size: Streebog256Size}
	d.Reset()
	return d
}

// NewStreebog512 returns a hash.Hash computing GOST R 34.11-2012 with a digest
// of 512 bits (RFC 6986).
func NewStreebog512() hash.Hash {
	d := &streebog{size: Streebog512Size}
	d.Reset()
	return d
}

// SumStreebog256 returns the 256-bit GOST R 34.11-2012 digest of data.
func SumStreebog256(data []byte) (digest [Streebog256Size]byte) {
	d := streebog{size: Streebog256Size}
	d.Reset()
	d.Write(data)
	d.finish()
	d.put(digest[:])
	return digest
}

func (d *streebog) Size() int { return d.size }

func (d *streebog) BlockSize() int { return StreebogBlockSize }

// Reset sets the initial vector, RFC 6986, section 6.1.
func (d *streebog) Reset() {
	*d = streebog{size: d.size}
	if d.size == Streebog256Size {
		for i := range d.h {
			d.h[i] = 0x0101010101010101
		}
	}
}

func (d *streebog) Write(data []byte) (int, error) {
	written := len(data)
	if d.buffered > 0 {
		n := copy(d.buffer[d.buffered:], data)
		d.buffered += n
		data = data[n:]
		if d.buffered < StreebogBlockSize {
			return written, nil
		}
		d.block(&d.buffer, 8*StreebogBlockSize)
		d.buffered = 0
	}
	for len(data) >= StreebogBlockSize {
		d.block((*[StreebogBlockSize]byte)(data), 8*StreebogBlockSize)
		data = data[StreebogBlockSize:]
	}
	d.buffered = copy(d.buffer[:], data)
	return written, nil
}

// Sum appends the digest of what was written so far; writing may go on.
func (d *streebog) Sum(in []byte) []byte {
	end := *d
	end.finish()
	var digest [Streebog512Size]byte
	end.put(digest[:d.size])
	return append(in, digest[:d.size]...)
}

// block takes in one padded block holding length bits of the message: stage 2
// (and the first half of stage 3) of RFC 6986, section 9.
func (d *streebog) block(block *[StreebogBlockSize]byte, length uint64) {
	var m [8]uint64
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(block[8*i:])
	}
	compress(&d.h, &d.n, &m)
	carry := uint64(0)
	d.n[0], carry = bits.Add64(d.n[0], length, 0)
	for i := 1; carry != 0 && i < len(d.n); i++ {
		d.n[i], carry = bits.Add64(d.n[i], 0, carry)
	}
	add512(&d.sigma, &m)
}

// finish is stage 3: the last, padded block, then the length and the sum.
func (d *streebog) finish() {
	var last [StreebogBlockSize]byte
	copy(last[:], d.buffer[:d.buffered])
	last[d.buffered] = 1
	d.block(&last, uint64(8*d.buffered))
	var zero [8]uint64
	compress(&d.h, &zero, &d.n)
	compress(&d.h, &zero, &d.sigma)
}

// put writes the digest: the whole state, or its most significant half.
func (d *streebog) put(digest []byte) {
	words := d.h[8-len(digest)/8:]
	for i, word := range words {
		binary.LittleEndian.PutUint64(digest[8*i:], word)
	}
}

// add512 adds y to x modulo 2^512. It is written out for the compiler, as lps is.
func add512(x, y *[8]uint64) {
	var c uint64
	x[0], c = bits.Add64(x[0], y[0], 0)
	x[1], c = bits.Add64(x[1], y[1], c)
	x[2], c = bits.Add64(x[2], y[2], c)
	x[3], c = bits.Add64(x[3], y[3], c)
	x[4], c = bits.Add64(x[4], y[4], c)
	x[5], c = bits.Add64(x[5], y[5], c)
	x[6], c = bits.Add64(x[6], y[6], c)
	x[7], _ = bits.Add64(x[7], y[7], c)
}

// compressTables is g_N of RFC 6986, section 8: h becomes
// E(LPS(h xor n), m) xor h xor m. Adding a round key is folded into the LPS
// that follows, which saves a pass over the state in each round.
func compressTables(h, n, m *[8]uint64) {
	var key, state [8]uint64
	lps(&key, h, n)
	lps(&state, m, &key)
	for round := range 11 {
		lps(&key, &key, &streebogC[round])
		lps(&state, &state, &key)
	}
	lps(&key, &key, &streebogC[11])
	for i := range h {
		h[i] ^= state[i] ^ m[i] ^ key[i]
	}
}

// lps sets out to LPS(x xor y): substitute, transpose, multiply. It is written
// out because the compiler does not unroll, which costs a third of the speed.
func lps(out, x, y *[8]uint64) {
	t := &streebogTable
	s0, s1, s2, s3 := x[0]^y[0], x[1]^y[1], x[2]^y[2], x[3]^y[3]
	s4, s5, s6, s7 := x[4]^y[4], x[5]^y[5], x[6]^y[6], x[7]^y[7]
	out[0] = t[0][uint8(s0)] ^ t[1][uint8(s1)] ^ t[2][uint8(s2)] ^ t[3][uint8(s3)] ^
		t[4][uint8(s4)] ^ t[5][uint8(s5)] ^ t[6][uint8(s6)] ^ t[7][uint8(s7)]
	out[1] = t[0][uint8(s0>>8)] ^ t[1][uint8(s1>>8)] ^ t[2][uint8(s2>>8)] ^ t[3][uint8(s3>>8)] ^
		t[4][uint8(s4>>8)] ^ t[5][uint8(s5>>8)] ^ t[6][uint8(s6>>8)] ^ t[7][uint8(s7>>8)]
	out[2] = t[0][uint8(s0>>16)] ^ t[1][uint8(s1>>16)] ^ t[2][uint8(s2>>16)] ^ t[3][uint8(s3>>16)] ^
		t[4][uint8(s4>>16)] ^ t[5][uint8(s5>>16)] ^ t[6][uint8(s6>>16)] ^ t[7][uint8(s7>>16)]
	out[3] = t[0][uint8(s0>>24)] ^ t[1][uint8(s1>>24)] ^ t[2][uint8(s2>>24)] ^ t[3][uint8(s3>>24)] ^
		t[4][uint8(s4>>24)] ^ t[5][uint8(s5>>24)] ^ t[6][uint8(s6>>24)] ^ t[7][uint8(s7>>24)]
	out[4] = t[0][uint8(s0>>32)] ^ t[1][uint8(s1>>32)] ^ t[2][uint8(s2>>32)] ^ t[3][uint8(s3>>32)] ^
		t[4][uint8(s4>>32)] ^ t[5][uint8(s5>>32)] ^ t[6][uint8(s6>>32)] ^ t[7][uint8(s7>>32)]
	out[5] = t[0][uint8(s0>>40)] ^ t[1][uint8(s1>>40)] ^ t[2][uint8(s2>>40)] ^ t[3][uint8(s3>>40)] ^
		t[4][uint8(s4>>40)] ^ t[5][uint8(s5>>40)] ^ t[6][uint8(s6>>40)] ^ t[7][uint8(s7>>40)]
	out[6] = t[0][uint8(s0>>48)] ^ t[1][uint8(s1>>48)] ^ t[2][uint8(s2>>48)] ^ t[3][uint8(s3>>48)] ^
		t[4][uint8(s4>>48)] ^ t[5][uint8(s5>>48)] ^ t[6][uint8(s6>>48)] ^ t[7][uint8(s7>>48)]
	out[7] = t[0][uint8(s0>>56)] ^ t[1][uint8(s1>>56)] ^ t[2][uint8(s2>>56)] ^ t[3][uint8(s3>>56)] ^
		t[4][uint8(s4>>56)] ^ t[5][uint8(s5>>56)] ^ t[6][uint8(s6>>56)] ^ t[7][uint8(s7>>56)]
}
