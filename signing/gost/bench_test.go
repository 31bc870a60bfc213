package gost

import (
	"fmt"
	"hash"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/signing/internal/openssl"
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

// BenchmarkBesideEngine times an operation here and in OpenSSL's GOST engine
// in one run. The metric "x-engine" is how many times as fast as the engine we
// are: above one is faster.
func BenchmarkBesideEngine(b *testing.B) {
	e := openssl.WithGOST(b)
	program := e.Dir + "/engine_bench"
	if out, err := exec.Command("cc", "-O2", "-o", program, "testdata/engine_bench.c", "-lcrypto").CombinedOutput(); err != nil {
		b.Skipf("no C compiler with OpenSSL's headers (Debian: gcc libssl-dev): %v\n%s", err, out)
	}
	theirs := func(b *testing.B, args ...string) float64 {
		b.Helper()
		command := exec.Command(program, args...)
		command.Env = append(command.Environ(), "OPENSSL_CONF="+e.Config)
		out, err := command.Output()
		if err != nil {
			b.Fatalf("engine_bench %s: %v", strings.Join(args, " "), err)
		}
		ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			b.Fatal(err)
		}
		return ns
	}
	compare := func(b *testing.B, operation func(), args ...string) {
		start, count := time.Now(), 0
		for b.Loop() {
			operation()
			count++
		}
		ours := float64(time.Since(start).Nanoseconds()) / float64(count)
		engine := theirs(b, args...)
		b.ReportMetric(engine, "engine-ns/op")
		b.ReportMetric(engine/ours, "x-engine")
	}

	const octets = 65536
	data := make([]byte, octets)
	for _, v := range []struct {
		engine  string
		newHash func() hash.Hash
	}{{"md_gost12_256", NewStreebog256}, {"md_gost12_512", NewStreebog512}, {"md_gost94", NewGOST94}} {
		b.Run(v.engine, func(b *testing.B) {
			b.SetBytes(octets)
			h := v.newHash()
			compare(b, func() { h.Reset(); h.Write(data); h.Sum(nil) }, "digest", v.engine, strconv.Itoa(octets))
		})
	}
	for _, v := range engineSets {
		if strings.HasPrefix(v.set, "X") || strings.HasPrefix(v.set, "TC") && v.curve != Curve256A {
			continue // the same curves under other names
		}
		s := newSigned(b, v.curve)
		b.Run("verify/"+v.curve.Name(), func(b *testing.B) {
			compare(b, func() {
				if err := s.key.PublicKey().VerifyDigest(s.digest, s.signature); err != nil {
					b.Fatal(err)
				}
			}, "verify", v.algorithm, v.set)
		})
		b.Run("sign/"+v.curve.Name(), func(b *testing.B) {
			compare(b, func() {
				if _, err := s.key.Sign(nil, s.digest, nil); err != nil {
					b.Fatal(err)
				}
			}, "sign", v.algorithm, v.set)
		})
	}
}
