package adaptertest

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka"
	"mezhved/adapter/postgres"
)

// openStore gives a database of this test alone, reached by way when it is given.
func openStore(t testing.TB, node string, way func(url string) string, log *slog.Logger) *postgres.Store {
	t.Helper()
	url := embedded.Test(t, postgres.Migrate)
	if way != nil {
		url = way(url)
	}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: url, Node: node, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// openBus gives the brokers of KAFKA_BROKERS, or a broker of this test alone,
// which takes less than a millisecond to start. Topics bear the test's own prefix.
func openBus(t testing.TB, log *slog.Logger) *kafka.Broker {
	t.Helper()
	addresses := strings.Split(os.Getenv("KAFKA_BROKERS"), ",")
	if addresses[0] == "" {
		k, err := embedded.StartKafka(embedded.KafkaOptions{})
		if err != nil {
			t.Fatalf("broker for tests: %v", err)
		}
		t.Cleanup(func() {
			if err := k.Stop(); err != nil {
				t.Logf("broker for tests: %v", err)
			}
		})
		addresses = k.Brokers()
	}
	replication, _ := strconv.Atoi(os.Getenv("KAFKA_REPLICATION"))
	b, err := kafka.Open(kafka.Options{Brokers: addresses, Partitions: 1, Replication: max(replication, 1), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
