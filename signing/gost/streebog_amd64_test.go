//go:build !purego

package gost

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// Both forms of the compression give the same, whatever goes in.
func FuzzCompress(f *testing.F) {
	if !vectors {
		f.Skip("this processor lacks AVX-512 VBMI or GFNI: compress is compressTables")
	}
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
		fast, slow := in, in
		compressVectors(&fast[0], &fast[1], &fast[2], streebogVector)
		compressTables(&slow[0], &slow[1], &slow[2])
		if fast != slow {
			t.Errorf("g_N of %x: vectors give %x, tables %x", in, fast, slow)
		}
	})
}

// Processors without the instructions hash by the tables.
func TestStreebogByTables(t *testing.T) {
	defer func(v bool) { vectors = v }(vectors)
	vectors = false
	TestStreebogVectors(t)
	TestHMACVectors(t)
}
