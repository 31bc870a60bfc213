package main

import (
	"bufio"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkIdle is what an open gateway costs while nobody calls: the share of
// one core, and memory, of the process of "mezhved serve" on a demonstration's
// configuration, the in-process broker included. One iteration is one second:
//
//	go test -run '^$' -bench Idle -benchtime 60x ./cmd/mezhved
func BenchmarkIdle(b *testing.B) {
	dir, address := filepath.Join(b.TempDir(), "demo"), freeAddress(b)
	if _, err := prepareDemo(dir, address); err != nil {
		b.Fatal(err)
	}
	r := launch(b, "mezhved", "serve", "--config", filepath.Join(dir, "mezhved.yaml"))
	defer r.terminate()
	if err := awaitReady(b.Context(), "http://"+address, patience); err != nil {
		b.Fatalf("%v\n%s", err, r.out)
	}
	time.Sleep(5 * time.Second) // topics are made, the consumer group comes together
	before, start := processMetric(b, address, "process_cpu_seconds_total"), time.Now()
	b.ResetTimer()
	for range b.N {
		time.Sleep(time.Second)
	}
	b.StopTimer()
	used := processMetric(b, address, "process_cpu_seconds_total") - before
	b.ReportMetric(100*used/time.Since(start).Seconds(), "%core")
	b.ReportMetric(processMetric(b, address, "process_resident_memory_bytes")/1e6, "MB")
}

// processMetric reads one number from a gateway's /metrics.
func processMetric(b *testing.B, address, name string) (v float64) {
	b.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if _, err := fmt.Sscan(value, &v); err != nil {
				b.Fatal(err)
			}
			return v
		}
	}
	b.Fatalf("/metrics has no %s (%v)", name, lines.Err())
	return 0
}
