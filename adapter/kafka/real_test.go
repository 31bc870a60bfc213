package kafka_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/kafka"
	"mezhved/adapter/kafka/realkafka"
)

// The same contract on a cluster that somebody has set up.
func TestContractOnGivenCluster(t *testing.T) {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("KAFKA_BROKERS is not set")
	}
	replication, err := strconv.Atoi(os.Getenv("KAFKA_REPLICATION"))
	if err != nil {
		replication = 1
	}
	contract(t, bus{brokers: strings.Split(brokers, ","), replication: replication})
}

// The contract, and what only a real cluster can show: a leader killed under
// load, and writing that waits while too few replicas are left.
func TestRealKafka(t *testing.T) {
	if os.Getenv("MEZHVED_TEST_REAL_KAFKA") == "" {
		t.Skip("set MEZHVED_TEST_REAL_KAFKA=1 to start Apache Kafka (needs Java 17 and Maven)")
	}
	for _, nodes := range []int{1, 3} {
		t.Run(strconv.Itoa(nodes)+" nodes", func(t *testing.T) {
			c, err := realkafka.Start(within(t, 10*time.Minute), t.TempDir(), nodes)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Stop)
			b := bus{brokers: c.Brokers(), replication: nodes}
			contract(t, b)
			if nodes == 3 {
				t.Run("a leader is killed under load", func(t *testing.T) { leaderKilled(t, c, b) })
				t.Run("two of three are down", func(t *testing.T) { quorumLost(t, c, b) })
			}
		})
	}
}

// load publishes total records in the background and says how long the longest
// call took.
func load(k *kafka.Broker, topic string, total int) (written *atomic.Int64, done chan error, longest *atomic.Int64) {
	written, longest, done = new(atomic.Int64), new(atomic.Int64), make(chan error, 1)
	go func() {
		for i := 0; i < total; i += 50 {
			start := time.Now()
			if err := publishAll(k, numbered(topic, i, i+50)); err != nil {
				done <- err
				return
			}
			longest.Store(max(longest.Load(), int64(time.Since(start))))
			written.Store(int64(i + 50))
		}
		done <- nil
	}()
	return written, done, longest
}

// publishAll publishes again, in their order, what was not taken, as the relay does.
func publishAll(k *kafka.Broker, records []adapter.Record) error {
	for {
		err := k.Publish(context.Background(), records)
		var left *adapter.UnpublishedError
		if !errors.As(err, &left) {
			return err
		}
		var again []adapter.Record
		for _, i := range left.Indexes {
			again = append(again, records[i])
		}
		records = again
	}
}

func leaderKilled(t *testing.T, c *realkafka.Cluster, b bus) {
	k, topic := b.open(t), name(t)
	ensure(t, k, topic)
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	const total = 20_000
	written, done, longest := load(k, topic, total)
	for i := range 3 { // each leads some of the partitions
		for written.Load() < int64(total*(i+1)/5) {
			time.Sleep(5 * time.Millisecond)
		}
		c.KillNode(i)
		time.Sleep(4 * time.Second) // longer than a broker may be silent
		if err := c.StartNode(i); err != nil {
			t.Fatal(err)
		}
		// The next one must not go before this one is in sync again.
		for end := time.Now().Add(60 * time.Second); kafka.InSync(t, k, topic) < 3; time.Sleep(200 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the node has not come back in sync")
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.wait(t, total)
	complete(t, &s, total)
	t.Logf("longest call %v", time.Duration(longest.Load()).Round(time.Millisecond))
}

func quorumLost(t *testing.T, c *realkafka.Cluster, b bus) {
	k, topic := b.open(t), name(t)
	ensure(t, k, topic)
	const total = 2_000
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 50)); err != nil {
		t.Fatal(err)
	}
	c.KillNode(0)
	c.KillNode(1)
	written, done, _ := load(k, topic, total)
	time.Sleep(5 * time.Second)
	if n := written.Load(); n != 0 {
		t.Errorf("%d records were acknowledged by one of three replicas", n)
	}
	for i := range 2 {
		if err := c.StartNode(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	s.wait(t, total)
}
