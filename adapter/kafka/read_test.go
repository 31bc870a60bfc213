package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka"
)

// readAll gives the values of a topic by partition, in the order in which they come.
func readAll(t *testing.T, k *kafka.Broker, topic string, from map[adapter.Partition]int64) (values map[int][]string, err error) {
	t.Helper()
	values, next := map[int][]string{}, map[int]int64{}
	err = k.Read(within(t, 60*time.Second), topic, from, func(at adapter.Partition, r adapter.Record) error {
		if at.Topic != topic || at.Epoch == "" || r.Topic != topic || r.Partition != at.Partition || r.Offset < next[at.Partition] {
			t.Errorf("%+v came of %+v, after offset %d", r, at, next[at.Partition])
		}
		next[at.Partition] = r.Offset + 1
		values[at.Partition] = append(values[at.Partition], string(r.Value))
		return nil
	})
	return values, err
}

// numbersOf are the numbers of numbered records.
func numbersOf(t *testing.T, values []string) (numbers []int) {
	t.Helper()
	for _, v := range values {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Errorf("%q came: %v", v, err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func total(values map[int][]string) (n int) {
	for _, v := range values {
		n += len(v)
	}
	return n
}

// Read gives what is there, of whoever has compressed it, and ends: at marks of transactions,
// too, which are no records, and while brokers have faults that pass.
func TestRead(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	k, topic := bus{brokers: e.Brokers(), replication: 3}.open(t), name(t)
	if values, err := readAll(t, k, topic, nil); err != nil || total(values) > 0 {
		t.Errorf("a topic that is not there: %v, %v", values, err)
	}
	ensure(t, k, topic)
	if values, err := readAll(t, k, topic, nil); err != nil || total(values) > 0 {
		t.Errorf("a topic without records: %v, %v", values, err)
	}
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 100)); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []kafkago.Compression{kafkago.Gzip, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd} {
		w := &kafkago.Writer{Addr: kafkago.TCP(e.Brokers()...), Topic: topic, Compression: codec, RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond}
		if err := w.WriteMessages(within(t, 30*time.Second), kafkago.Message{Key: []byte("key 0"), Value: []byte(codec.String())}); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	others, err := kgo.NewClient(kgo.SeedBrokers(e.Brokers()...), kgo.TransactionalID(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	ctx := within(t, 60*time.Second)
	if err := others.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := others.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("key 0"), Value: []byte("in a transaction")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := others.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 3})
	values, err := readAll(t, k, topic, nil)
	if err != nil || total(values) != 105 {
		t.Fatalf("%d records, want 105: %v", total(values), err)
	}
	// From an offset on, of the same incarnation of the topic.
	extents, err := k.Extents(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	from := map[adapter.Partition]int64{}
	for at, e := range extents {
		from[at] = e.First + (e.End-e.First)/2
	}
	rest, err := readAll(t, k, topic, from)
	if err != nil || total(rest) == 0 || total(rest) == 105 {
		t.Errorf("%d records from the middle on: %v", total(rest), err)
	}
	for p, v := range rest {
		if !slices.Equal(v, values[p][len(values[p])-len(v):]) {
			t.Errorf("partition %d from the middle on: %v, all of it is %v", p, v, values[p])
		}
	}
	bad := errors.New("no more")
	if err := k.Read(ctx, topic, nil, func(adapter.Partition, adapter.Record) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("whoever takes the records ends it: %v", err)
	}
}

// What grows beyond all that gateways write is passed over, and of it no more is in memory
// than that. What nobody can read ends the reading, and the error says where.
func TestReadOfWhatIsNoneOfOurs(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	var log lines
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions, o.Log = 1, log.logger() }), name(t)
	ensure(t, k, topic)
	bomb := &kafkago.Writer{Addr: kafkago.TCP(e.Brokers()...), Topic: topic, Compression: kafkago.Zstd, RequiredAcks: kafkago.RequireAll, BatchTimeout: time.Millisecond, BatchBytes: 64 << 20}
	defer bomb.Close()
	if err := bomb.WriteMessages(within(t, 60*time.Second), kafkago.Message{Value: make([]byte, 48<<20)}); err != nil {
		t.Fatal(err)
	}
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 10)); err != nil {
		t.Fatal(err)
	}
	if values, err := readAll(t, k, topic, nil); err != nil || total(values) != 10 {
		t.Errorf("%d records beside a batch that grows: %v", total(values), err)
	}
	if !strings.Contains(log.String(), "passing over offsets 0 to 0") {
		t.Errorf("what was passed over is not told:\n%s", log.String())
	}
	at := adaptertest.Damage(t, e.Brokers(), topic, 0, 3)
	values, err := readAll(t, k, topic, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s/0 from offset %d", topic, at)) || total(values) != 10 {
		t.Errorf("%d records before a batch that nobody can read: %v", total(values), err)
	}
	passing := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) {
		o.Skip, o.Log = []adapter.Skip{{Topic: topic, First: at, Last: at + 2}}, log.logger()
	})
	if values, err := readAll(t, passing, topic, nil); err != nil || total(values) != 11 || !strings.Contains(log.String(), fmt.Sprintf("passing over offsets %d to %d, as kafka.skip says", at, at+2)) {
		t.Errorf("%d records, with one for what is passed over: %v\n%s", total(values), err, log.String())
	}
}

// lines is a log that a test reads while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually waits for what is to be true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: waited for in vain", what)
		}
	}
}

// A batch that nobody can read holds its partition, and no other; the log and the metric say
// so, and what would pass over it. Where the operator has named the place it is passed over,
// as far as he has named it and it goes, and the handler is told.
func TestWhatNobodyCanReadHoldsItsPartition(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	b, topic, group := bus{brokers: e.Brokers(), replication: 1}, name(t), name(t)
	var log lines
	k := b.open(t, func(o *kafka.Options) { o.Partitions, o.Log = 4, log.logger() })
	ensure(t, k, topic)
	publish := func(from, to int) {
		t.Helper()
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	publish(0, 100)
	held := int(partitionOf(t, k, topic))
	at := adaptertest.Damage(t, e.Brokers(), topic, held, 3)
	publish(100, 200)
	figures := prometheus.NewRegistry()
	k.Measure(figures)
	standing := func(n float64) func() bool {
		return func() bool {
			families, err := figures.Gather()
			return err == nil && families[0].GetName() == "mezhved_bus_unreadable_partitions" && families[0].Metric[0].Gauge.GetValue() == n
		}
	}

	var s sink
	take := s.take(t)
	stop := consume(t, k, group, list(topic), take)
	skip := fmt.Sprintf("%s/%d@%d-%d", topic, held, at, at+2)
	eventually(t, "the log names the place", func() bool { return strings.Contains(log.String(), skip) })
	eventually(t, "the metric counts it", standing(1))
	extents, err := k.Extents(within(t, 60*time.Second), topic)
	if err != nil {
		t.Fatal(err)
	}
	read := func(p int) (end int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for from, last := range s.last {
			if from.Partition == p {
				end = last + 1
			}
		}
		return end
	}
	for p, e := range extents {
		if p.Partition != held {
			eventually(t, "the other partitions go on", func() bool { return read(p.Partition) == e.End })
		}
	}
	if n := read(held); n != at {
		t.Errorf("the partition is read to offset %d, and stands at %d", n, at)
	}
	stop()
	eventually(t, "it stands at this node no more", standing(0))

	// Named, and with it a good deal of what is behind it: that can be read, and comes.
	where, err := adapter.ParseSkip(skip)
	if err != nil {
		t.Fatal(err)
	}
	where.Last += 5
	k = b.open(t, func(o *kafka.Options) {
		o.Skip = []adapter.Skip{{Topic: topic, Partition: held, First: 0, Last: at - 1}, where}
	})
	consume(t, k, group, list(topic), take)
	for p, e := range extents {
		eventually(t, "all are read", func() bool { return read(p.Partition) == e.End })
	}
	var skipped []adapter.Record
	values := map[string]bool{}
	for _, r := range s.records {
		if r.Skipped != nil {
			skipped = append(skipped, r)
			continue
		}
		values[string(r.Value)] = true
	}
	if len(skipped) != 1 || skipped[0].Offset != at || skipped[0].Skipped.Last != at+2 || skipped[0].Skipped.Why == nil || skipped[0].Partition != held {
		t.Errorf("passed over was %+v, want offsets %d to %d", skipped, at, at+2)
	}
	if len(values) != 200 {
		t.Errorf("%d records came, want 200", len(values))
	}
}

// What has not been taken note of is not passed over.
func TestWhatIsPassedOverIsTakenNoteOf(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	topic, group := name(t), name(t)
	k := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) {
		o.Partitions, o.Skip = 1, []adapter.Skip{{Topic: topic, First: 0, Last: 0}}
	})
	ensure(t, k, topic)
	adaptertest.Damage(t, e.Brokers(), topic, 0, 1)
	refused := make(chan adapter.Record, 100)
	stop := consume(t, k, group, list(topic), func(_ context.Context, _ adapter.Partition, records []adapter.Record) error {
		refused <- records[0]
		return errors.New("the journal is away")
	})
	for range 2 {
		if r := <-refused; r.Skipped == nil {
			t.Errorf("%+v came", r)
		}
	}
	stop()
	committed, err := k.Committed(within(t, 60*time.Second), group, topic)
	if err != nil {
		t.Fatal(err)
	}
	for at, n := range committed {
		if n > 0 {
			t.Errorf("offset %d of %v is committed", n, at)
		}
	}
}
