package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"

	"mezhved/adapter"
	"mezhved/adapter/kafka"
)

// bus is a cluster that the contract is tried on.
type bus struct {
	brokers     []string
	replication int
	move        func(t *testing.T, topic string) // makes every partition's leader another, or is nil
}

func (b bus) open(t *testing.T, change ...func(*kafka.Options)) *kafka.Broker {
	t.Helper()
	opts := kafka.Options{Brokers: b.brokers, Replication: b.replication, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range change {
		c(&opts)
	}
	k, err := kafka.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// name is a topic or group of this test alone; a real cluster is not new.
func name(t *testing.T) string {
	return "mezhved.test." + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name()) + "." + uuid.NewString()[:8]
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func ensure(t *testing.T, k *kafka.Broker, topics ...string) {
	t.Helper()
	if err := k.Ensure(within(t, 60*time.Second), named(topics)); err != nil {
		t.Fatal(err)
	}
}

func named(topics []string) []adapter.Topic {
	wanted := make([]adapter.Topic, len(topics))
	for i, name := range topics {
		wanted[i].Name = name
	}
	return wanted
}

// sink collects what a consumer is given and checks its manners.
type sink struct {
	mu      sync.Mutex
	records []adapter.Record
	from    []adapter.Partition
	last    map[adapter.Partition]int64
	again   int // records given more than once
}

func (s *sink) take(t *testing.T) func(context.Context, adapter.Partition, []adapter.Record) error {
	s.last = map[adapter.Partition]int64{}
	return func(_ context.Context, from adapter.Partition, records []adapter.Record) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, r := range records {
			if i > 0 && r.Offset <= records[i-1].Offset {
				t.Errorf("offset %d after %d in one batch", r.Offset, records[i-1].Offset)
			}
			// As the store does it: an offset is taken once.
			if last, ok := s.last[from]; ok && r.Offset <= last {
				s.again++
				continue
			}
			s.last[from] = r.Offset
			s.records = append(s.records, r)
			s.from = append(s.from, from)
		}
		return nil
	}
}

// wait waits until n different values have come.
func (s *sink) wait(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		values := map[string]bool{}
		for _, r := range s.records {
			values[r.Topic+string(r.Value)] = true
		}
		got := len(values)
		s.mu.Unlock()
		if got >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d records came, want %d", got, n)
		}
	}
}

// consume runs Consume until the test ends, or stop is called.
func consume(t *testing.T, k *kafka.Broker, group string, topics func() []string, handle func(context.Context, adapter.Partition, []adapter.Record) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Consume(ctx, group, topics, nil, handle) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("consume: %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Error("consume does not end with its context")
		}
	})
	t.Cleanup(stop)
	return stop
}

func list(topics ...string) func() []string { return func() []string { return topics } }

func numbered(topic string, from, to int) []adapter.Record {
	var records []adapter.Record
	for i := from; i < to; i++ {
		records = append(records, adapter.Record{Topic: topic, Key: fmt.Appendf(nil, "key %d", i%7), Value: fmt.Append(nil, i),
			Headers: []adapter.Header{{Key: "n", Value: fmt.Append(nil, i)}, {Key: "empty", Value: []byte{}}}})
	}
	return records
}

// contract is what every cluster must let the Broker keep.
func contract(t *testing.T, b bus) {
	t.Run("publish and consume in order", func(t *testing.T) {
		k, topic := b.open(t), name(t)
		ensure(t, k, topic)
		ensure(t, k, topic) // twice is once
		if err := k.Health(within(t, 30*time.Second)); err != nil {
			t.Errorf("health: %v", err)
		}
		var s sink
		consume(t, k, name(t), list(topic), s.take(t))
		type spot struct {
			partition int
			offset    int64
		}
		said := map[spot]string{} // where Publish says that records stand
		for i := range 10 {
			batch := numbered(topic, 100*i, 100*i+100)
			for n := range batch {
				batch[n].Dense = i%2 == 0
			}
			if err := k.Publish(within(t, 60*time.Second), batch); err != nil {
				t.Fatal(err)
			}
			for _, r := range batch {
				said[spot{r.Partition, r.Offset}] = string(r.Value)
			}
		}
		s.wait(t, 1000)
		next := map[string]int{}
		partition := map[string]adapter.Partition{}
		for i, r := range s.records {
			key := string(r.Key)
			var n int
			if _, err := fmt.Sscan(string(r.Value), &n); err != nil || n%7 != int(key[4]-'0') {
				t.Fatalf("record %q of key %q: %v", r.Value, key, err)
			}
			if want := next[key]; want != 0 && n > want {
				t.Fatalf("key %q: %d, want %d next", key, n, want)
			}
			next[key] = max(next[key], n+7) // a request may have been sent twice
			if p, ok := partition[key]; ok && p != s.from[i] {
				t.Errorf("key %q is in %v and %v", key, p, s.from[i])
			}
			partition[key] = s.from[i]
			if at := (spot{r.Partition, r.Offset}); said[at] != string(r.Value) && said[at] != "" || r.Partition != s.from[i].Partition {
				t.Errorf("at %+v stands %s, and Publish has put %s there", at, r.Value, said[at])
			} else {
				delete(said, at)
			}
			if len(r.Headers) != 2 || r.Headers[0].Key != "n" || string(r.Headers[0].Value) != string(r.Value) || r.Headers[1].Key != "empty" || len(r.Headers[1].Value) != 0 {
				t.Fatalf("headers %v", r.Headers)
			}
			if s.from[i].Epoch == "" || s.from[i].Topic != topic || r.Topic != topic {
				t.Fatalf("from %+v", s.from[i])
			}
		}
		if len(said) > 0 {
			t.Errorf("nothing was read where Publish says that records stand: %v", said)
		}
	})

	t.Run("committed offsets of a group", func(t *testing.T) {
		k, topic, group := b.open(t), name(t), name(t)
		if got, err := k.Committed(within(t, 30*time.Second), group, topic); err != nil || len(got) != 0 {
			t.Errorf("of a topic that is not there: %v, %v", got, err)
		}
		ensure(t, k, topic)
		if got, err := k.Committed(within(t, 30*time.Second), group, topic); err != nil || len(got) != 0 {
			t.Errorf("of a group that is not there: %v, %v", got, err)
		}
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 50)); err != nil {
			t.Fatal(err)
		}
		var s sink
		stop := consume(t, k, group, list(topic), s.take(t))
		s.wait(t, 50)
		want := map[adapter.Partition]int64{}
		s.mu.Lock()
		for from, last := range s.last {
			want[from] = last + 1
		}
		s.mu.Unlock()
		var got map[adapter.Partition]int64
		for end := time.Now().Add(30 * time.Second); !maps.Equal(got, want) && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			var err error
			if got, err = k.Committed(within(t, 30*time.Second), group, topic); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if !maps.Equal(got, want) {
			t.Errorf("committed are %v, want %v", got, want)
		}
		if other, err := k.Committed(within(t, 30*time.Second), group+".other", topic); err != nil || len(other) != 0 {
			t.Errorf("of another group: %v, %v", other, err)
		}
	})

	t.Run("a topic that vanishes is made again", func(t *testing.T) {
		k, topic, group := b.open(t), name(t), name(t)
		if got, err := k.Extents(within(t, 30*time.Second), topic); err != nil || len(got) != 0 {
			t.Errorf("extents of a topic that is not there: %v, %v", got, err)
		}
		ensure(t, k, topic)
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 10)); err != nil {
			t.Fatal(err)
		}
		var s sink
		consume(t, k, group, list(topic), s.take(t))
		s.wait(t, 10)
		before, err := k.Extents(within(t, 30*time.Second), topic)
		records := int64(0)
		for _, e := range before {
			records += e.End - e.First
		}
		if err != nil || records != 10 {
			t.Fatalf("extents %v, %v, want 10 records", before, err)
		}
		client := &kafkago.Client{Addr: kafkago.TCP(b.brokers...)}
		if _, err := client.DeleteTopics(within(t, 30*time.Second), &kafkago.DeleteTopicsRequest{Topics: []string{topic}}); err != nil {
			t.Fatal(err)
		}
		// The same broker object: nobody restarts. A real cluster takes its time to
		// let go of the name.
		var after map[adapter.Partition]adapter.Extent
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			ensure(t, k, topic)
			after, err = k.Extents(within(t, 30*time.Second), topic)
			fresh := err == nil && len(after) > 0
			for at := range after {
				if _, ok := before[at]; ok {
					fresh = false
				}
			}
			if fresh {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the topic was not made anew: %v, %v", after, err)
			}
		}
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, 10, 30)); err != nil {
			t.Fatal(err)
		}
		s.wait(t, 30)
	})

	t.Run("the group goes on where it was", func(t *testing.T) {
		k, topic, group := b.open(t), name(t), name(t)
		ensure(t, k, topic)
		for i := range 3 {
			if err := k.Publish(within(t, 60*time.Second), numbered(topic, 50*i, 50*i+50)); err != nil {
				t.Fatal(err)
			}
			var s sink
			stop := consume(t, k, group, list(topic), s.take(t))
			s.wait(t, 50)
			stop()
			for _, r := range s.records {
				var n int
				if _, err := fmt.Sscan(string(r.Value), &n); err != nil || n < 50*i {
					t.Errorf("start %d: record %s again, which was committed", i, r.Value)
				}
			}
		}
	})

	t.Run("a failing handler gets the same batch again", func(t *testing.T) {
		k, topic := b.open(t), name(t)
		ensure(t, k, topic)
		if err := k.Publish(within(t, 60*time.Second), []adapter.Record{{Topic: topic, Key: []byte("k"), Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
		calls := make(chan string, 100)
		failures := 3
		consume(t, k, name(t), list(topic), func(_ context.Context, from adapter.Partition, records []adapter.Record) error {
			calls <- fmt.Sprint(from.Partition, records[0].Offset, len(records), string(records[0].Value))
			if failures--; failures >= 0 {
				return errors.New("the store is away")
			}
			return nil
		})
		first := <-calls
		for range 3 {
			if again := <-calls; again != first {
				t.Errorf("tried again with %s, want %s", again, first)
			}
		}
		select {
		case more := <-calls:
			t.Errorf("taken, and given again: %s", more)
		case <-time.After(500 * time.Millisecond):
		}
	})

	t.Run("topics come later", func(t *testing.T) {
		k := b.open(t)
		topics := []string{name(t) + "1", name(t) + "2"}
		var mu sync.Mutex
		var seen []string
		var s sink
		consume(t, k, name(t), func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), seen...) }, s.take(t))
		for i, topic := range topics {
			ensure(t, k, topic)
			mu.Lock()
			seen = append(seen, topic)
			mu.Unlock()
			if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 10)); err != nil {
				t.Fatal(err)
			}
			s.wait(t, 10*(i+1))
		}
	})

	t.Run("what is too large is named and the rest is written", func(t *testing.T) {
		k, topic := b.open(t, func(o *kafka.Options) { o.MaxRecord = 200_000 }), name(t)
		ensure(t, k, topic)
		// This one believes in more than the topic takes, and learns it from
		// the broker.
		bold := b.open(t, func(o *kafka.Options) { o.MaxRecord = 800_000 })
		for i, k := range []*kafka.Broker{k, bold} {
			records := numbered(topic, 20*i, 20*i+9)
			records[3].Value = noise(300_000)
			records[5].Value = noise(300_001)
			err := k.Publish(within(t, 60*time.Second), records)
			var rejected *adapter.RejectedError
			if !errors.As(err, &rejected) || fmt.Sprint(rejected.Indexes) != "[3 5]" {
				t.Errorf("publish: %v, want records 3 and 5 rejected", err)
			}
		}
		var s sink
		consume(t, k, name(t), list(topic), s.take(t))
		s.wait(t, 14)
	})

	t.Run("two consumers share and lose nothing", func(t *testing.T) {
		k, topic, group := b.open(t), name(t), name(t)
		ensure(t, k, topic)
		var s sink
		take := s.take(t)
		consume(t, k, group, list(topic), take)
		stop := consume(t, b.open(t), group, list(topic), take)
		for i := range 20 {
			if err := k.Publish(within(t, 60*time.Second), numbered(topic, 50*i, 50*i+50)); err != nil {
				t.Fatal(err)
			}
			if i == 10 {
				stop() // and one leaves in the middle
			}
		}
		s.wait(t, 1000)
		complete(t, &s, 1000)
	})

	t.Run("leaders move", func(t *testing.T) {
		if b.move == nil {
			t.Skip("this cluster's leaders cannot be moved")
		}
		k, topic := b.open(t), name(t)
		ensure(t, k, topic)
		var s sink
		consume(t, k, name(t), list(topic), s.take(t))
		for i := range 40 {
			if i%10 == 5 {
				b.move(t, topic)
			}
			if err := k.Publish(within(t, 60*time.Second), numbered(topic, 25*i, 25*i+25)); err != nil {
				t.Fatal(err)
			}
		}
		s.wait(t, 1000)
		complete(t, &s, 1000)
	})

	t.Run("what the cluster cannot give is refused at once", func(t *testing.T) {
		k := b.open(t, func(o *kafka.Options) { o.Replication = 50 })
		err := k.Ensure(within(t, 60*time.Second), []adapter.Topic{{Name: name(t)}})
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a topic with 50 replicas: %v, want to be told", err)
		}
	})

	t.Run("publish ends with its context", func(t *testing.T) {
		k := b.open(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := k.Publish(ctx, numbered(name(t), 0, 1)) // a topic that is not there
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publish to a missing topic: %v, want the deadline", err)
		}
	})
}

// complete checks that each number came, and in the order of its key. Numbers
// may come again: a request may be sent twice.
func complete(t *testing.T, s *sink, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[int]bool{}
	newest := map[string]int{}
	for _, r := range s.records {
		var i int
		if _, err := fmt.Sscan(string(r.Value), &i); err != nil {
			t.Fatal(err)
		}
		if !seen[i] && i < newest[string(r.Key)] {
			t.Errorf("%d came first after %d", i, newest[string(r.Key)])
		}
		seen[i] = true
		newest[string(r.Key)] = max(newest[string(r.Key)], i)
	}
	if len(seen) != n {
		t.Errorf("%d of %d came", len(seen), n)
	}
	t.Logf("%d records, %d of them twice in the log, %d handed over again", n, len(s.records)-n, s.again)
}

func noise(n int) []byte { return noiseOf(n, n) }

func noiseOf(seed, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
