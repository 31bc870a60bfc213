package audit_test

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
)

// BenchmarkVerifyLog verifies a whole log, everything that "verify log" does, and
// reports entries per second. Run it with -cpu 1 for the figure per core.
func BenchmarkVerifyLog(b *testing.B) {
	for _, entries := range []int{50_000, 500_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			d := journaltest.NewDesk(b)
			files := journaltest.FS(d.Filled(1, entries).Files())
			size := int64(0)
			for n := range files {
				size += int64(len(files[n]))
			}
			runtime.GC()
			before := cpu(b)
			for b.Loop() {
				rep, err := audit.VerifyLog(context.Background(), audit.DirSource{FS: files}, d.Policy, files["checkpoint"], nil)
				if err != nil || !rep.OK() {
					b.Fatal(err, rep)
				}
			}
			b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(entries)*float64(b.N)/(cpu(b)-before).Seconds(), "entries/cpu-s")
			b.SetBytes(size)
		})
	}
}

// cpu is the processor time that this process has used, on all cores: a fairer
// figure than the clock's on a machine that does other things too.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
