package gost

import (
	"fmt"
	"hash"
	"testing"
)

func BenchmarkHash(b *testing.B) {
	for _, v := range []struct {
		name    string
		newHash func() hash.Hash
	}{{"streebog256", NewStreebog256}, {"streebog512", NewStreebog512}, {"gost94", NewGOST94}} {
		for _, size := range []int{64, 1024, 4096, 65536} {
			b.Run(fmt.Sprintf("%s/%d", v.name, size), func(b *testing.B) {
				data, h := make([]byte, size), v.newHash()
				sum := make([]byte, 0, h.Size())
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					h.Reset()
					h.Write(data)
					h.Sum(sum)
				}
			})
		}
	}
}

// benchmarkCurves has one name for each curve.
var benchmarkCurves = []*Curve{Curve256A, Curve256B, Curve256C, Curve256D, Curve512A, Curve512B, Curve512C}

func BenchmarkVerify(b *testing.B) {
	for _, c := range benchmarkCurves {
		s := newSigned(b, c)
		public := s.key.PublicKey()
		for name, key := range map[string]*PublicKey{"plain": public, "precomputed": public.Precomputed()} {
			b.Run(c.Name()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := key.VerifyDigest(s.digest, s.signature); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, c := range benchmarkCurves {
		s := newSigned(b, c)
		b.Run(c.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.key.Sign(nil, s.digest, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	for _, c := range benchmarkCurves {
		der := MarshalPublicKey(newSigned(b, c).key.PublicKey())
		b.Run(c.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePublicKey(der); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
