package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// BenchmarkTenants is what a tenant costs who has a gateway process of his own, beside
// others on one PostgreSQL server and one Kafka: memory and processor time of a process
// while nobody calls, and what an exchange costs all gateways together under one load.
// One iteration is one second of rest:
//
//	go test -run '^$' -bench Tenants -benchtime 20x ./cmd/mezhved
func BenchmarkTenants(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			bus, err := embedded.StartKafka(embedded.KafkaOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer bus.Stop()
			dirs, addresses := make([]string, n), make([]string, n)
			for i := range n {
				dirs[i], addresses[i] = filepath.Join(b.TempDir(), "demo"), freeAddress(b)
				if _, err := prepareDemo(dirs[i], addresses[i]); err != nil {
					b.Fatal(err)
				}
				file := filepath.Join(dirs[i], "mezhved.yaml")
				text, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				own := strings.NewReplacer("  private: postgres\n", "  url: "+embedded.Test(b, postgres.Migrate)+"\n",
					"  private: kafka\n", fmt.Sprintf("  brokers: [%s]\n  replication: 1\n  prefix: tenant%d\n", strings.Join(bus.Brokers(), ", "), i)).Replace(string(text))
				if err := os.WriteFile(file, []byte(own), 0o644); err != nil {
					b.Fatal(err)
				}
				r := launch(b, "mezhved", "serve", "--config", file)
				defer r.terminate()
				if err := awaitReady(b.Context(), "http://"+addresses[i], patience); err != nil {
					b.Fatalf("%v\n%s", err, r.out)
				}
			}
			all := func(name string) (sum float64) {
				for _, a := range addresses {
					sum += processMetric(b, a, name)
				}
				return sum
			}
			time.Sleep(5 * time.Second) // topics are made, the consumer groups come together
			before, start := all("process_cpu_seconds_total"), time.Now()
			b.ResetTimer()
			for range b.N {
				time.Sleep(time.Second)
			}
			b.StopTimer()
			b.ReportMetric(100*(all("process_cpu_seconds_total")-before)/time.Since(start).Seconds()/float64(n), "%core/tenant")
			b.ReportMetric(all("process_resident_memory_bytes")/1e6/float64(n), "MB/tenant")

			// The same 64 senders, at one tenant or dealt out to all of them.
			before = all("process_cpu_seconds_total")
			var did atomic.Int64
			var load sync.WaitGroup
			for i := range n {
				load.Go(func() {
					out, err := exec.Command(program(b, "mezhved"), "bench", "exchange", "--url", "http://"+addresses[i], "--dir", dirs[i], "--senders", fmt.Sprint(64/n), "--warm", "0s", "--duration", "15s", "--json").Output()
					var told struct{ Exchanges, Lost int64 }
					if err != nil || json.Unmarshal(out, &told) != nil || told.Exchanges == 0 || told.Lost > 0 {
						b.Errorf("tenant %d: %v\n%s", i, err, out)
					}
					did.Add(told.Exchanges)
				})
			}
			load.Wait()
			b.ReportMetric(float64(did.Load())/15, "exchanges/s")
			b.ReportMetric(1000*(all("process_cpu_seconds_total")-before)/float64(did.Load()), "gateway-ms/exchange")
		})
	}
}
