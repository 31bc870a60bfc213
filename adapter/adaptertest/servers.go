package adaptertest

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	kafkago "github.com/segmentio/kafka-go"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
)

// openStore gives a database of this test alone, reached by way when it is given,
// and its address.
func openStore(t testing.TB, node string, way func(url string) string, keys *vault.Vault, log *slog.Logger) (*postgres.Store, string) {
	t.Helper()
	url := embedded.Test(t, postgres.Migrate)
	if way != nil {
		url = way(url)
	}
	s, err := postgres.Open(context.Background(), postgres.Options{URL: url, Node: node, Vault: keys, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

// RecordValue is what a record of the gateway's carries, in the clear.
func (w *World) RecordValue(r adapter.Record) ([]byte, error) {
	keys, err := w.Config.LoadSealKeys([][]byte{w.key})
	if err != nil {
		return nil, err
	}
	return adapter.RecordValue(w.T.Context(), w.Store, keys, r.Topic, &r)
}

// SQL changes the world's database behind the gateway's back.
func (w *World) SQL(sql string, args ...any) {
	w.T.Helper()
	conn, err := pgx.Connect(context.Background(), w.database)
	w.must(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), sql, args...)
	w.must(err)
}

// Number reads one from the world's database behind the gateway's back.
func (w *World) Number(sql string, args ...any) (n int64) {
	w.T.Helper()
	conn, err := pgx.Connect(context.Background(), w.database)
	w.must(err)
	defer conn.Close(context.Background())
	w.must(conn.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// DeleteTopics takes topics away from a running bus, and waits until they have gone.
func (w *World) DeleteTopics(topics ...string) {
	w.T.Helper()
	w.lossy = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := &kafkago.Client{Addr: kafkago.TCP(w.brokers...)}
	answer, err := c.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: topics})
	w.must(err)
	for topic, err := range answer.Errors {
		if err != nil {
			w.T.Fatalf("deleting topic %s: %v", topic, err)
		}
	}
}

// openBus gives the brokers that there are, those of KAFKA_BROKERS, or a broker of this
// test alone, which takes less than a millisecond to start. Topics bear the test's own prefix.
func openBus(t testing.TB, there []string, log *slog.Logger) (*kafka.Broker, []string) {
	t.Helper()
	addresses := there
	if len(addresses) == 0 {
		addresses = strings.Split(os.Getenv("KAFKA_BROKERS"), ",")
	}
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
	return b, addresses
}
