package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/embedded"
	"mezhved/adapter/postgres"
)

// BenchmarkTenants is what a tenant costs who has a gateway process of his own, beside
// others on one PostgreSQL server and one Kafka: memory and processor time of a process
// while nobody calls. One iteration is one second:
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
		})
	}
}
