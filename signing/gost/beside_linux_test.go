package gost

import (
	"hash"
	"math"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"mezhved/signing/internal/openssl"

	"golang.org/x/sys/unix"
)

// BenchmarkBesideEngine times an operation here and in OpenSSL's GOST engine
// in one run, each by the processor time of the quickest of many short slices, which
// is what another load on the machine changes least. The metric "x-engine" is how many times as fast
// as the engine we are: above one is faster.
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
		ours, engine := quickest(operation), theirs(b, args...)
		b.ReportMetric(ours, "ns/op")
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

// quickest repeats an operation as testdata/engine_bench.c does: nanoseconds of
// processor time for one in the quickest of 25 slices of 20 ms.
func quickest(operation func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := math.Inf(1)
	for range 25 {
		start, count, spent := threadTime(), 0, time.Duration(0)
		for ; spent < 20*time.Millisecond; spent = threadTime() - start {
			for range 10 {
				operation()
			}
			count += 10
		}
		least = min(least, float64(spent.Nanoseconds())/float64(count))
	}
	return least
}

// threadTime is what this thread has had of the processor.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
