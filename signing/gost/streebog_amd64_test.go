//go:build !purego

package gost

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// All forms of the compression give the same, whatever goes in.
func FuzzCompress(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0xff})
	random := rand.NewChaCha8([32]byte{1})
	for range 200 {
		octets := make([]byte, 3*64)
		random.Read(octets)
		f.Add(octets)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		var in [3][8]uint64
		for i := range in {
			for j := range in[i] {
				var word [8]byte
				octets = octets[copy(word[:], octets):]
				in[i][j] = binary.LittleEndian.Uint64(word[:])
			}
		}
		want, got := in, in
		compressTables(&want[0], &want[1], &want[2])
		compressOctets(&got[0], &got[1], &got[2], &streebogTable, &streebogC)
		if got != want {
			t.Errorf("g_N of %x: octets give %x, tables %x", in, got, want)
		}
		if !vectors {
			return // the processor lacks AVX-512 VBMI or GFNI
		}
		got = in
		compressVectors(&got[0], &got[1], &got[2], streebogVector)
		if got != want {
			t.Errorf("g_N of %x: vectors give %x, tables %x", in, got, want)
		}
	})
}

// Processors without the vectors' instructions hash by octets.
func TestStreebogByOctets(t *testing.T) {
	defer func(v bool) { vectors = v }(vectors)
	vectors = false
	TestStreebogVectors(t)
	TestHMACVectors(t)
}
