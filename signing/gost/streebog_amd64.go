//go:build !purego

package gost

import "golang.org/x/sys/cpu"

// vectors says that the processor multiplies octets by matrices of bits (GFNI)
// and looks octets up in registers (AVX-512 VBMI). compressVectors then does
// without tables in memory, in less than half of the time.
var vectors = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI && cpu.X86.HasAVX512GFNI

// streebogVectors are the constants of compressVectors, in the order in which
// it loads them.
type streebogVectors struct {
	pi [256]uint8
	// matrices[r] holds, for octet b of a word of the result, the matrix of what
	// octet (b+r)%8 of the word before L adds to it. The row of the highest bit
	// is the lowest octet.
	matrices  [8][8]uint64
	transpose [64]uint8
}

var streebogVector = func() *streebogVectors {
	v := &streebogVectors{pi: streebogPi}
	for r := range 8 {
		for b := range 8 {
			from := (b + r) % 8
			for in := range 8 {
				column := streebogA[63-(8*from+in)] >> (8 * b)
				for out := range 8 {
					v.matrices[r][b] |= column >> out & 1 << (8*(7-out) + in)
				}
			}
		}
	}
	for i := range v.transpose {
		v.transpose[i] = uint8(i%8*8 + i/8)
	}
	return v
}()

func compress(h, n, m *[8]uint64) {
	if vectors {
		compressVectors(h, n, m, streebogVector)
		return
	}
	compressOctets(h, n, m, &streebogTable, &streebogC)
}

// compressOctets is compressTables with octets taken out of words in pairs, of which
// the compiler knows nothing: it needs 5 instructions where compiled code has 8.
//
//go:noescape
func compressOctets(h, n, m *[8]uint64, t *[8][256]uint64, c *[12][8]uint64)

// compressVectors is compressTables in the registers of AVX-512.
//
//go:noescape
func compressVectors(h, n, m *[8]uint64, v *streebogVectors)
