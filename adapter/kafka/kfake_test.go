package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka"
)

func TestMain(m *testing.M) {
	embedded.ServeKafkaChild()
	os.Exit(m.Run())
}

func startKafka(t *testing.T, opts embedded.KafkaOptions) *embedded.Kafka {
	t.Helper()
	opts.Dir = t.TempDir()
	k, err := embedded.StartKafka(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Stop() })
	return k
}

func TestContract(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	contract(t, bus{brokers: k.Brokers(), replication: 3, move: func(t *testing.T, topic string) {
		for _, p := range k.Cluster().PartitionInfos(topic) {
			if err := k.Cluster().MoveTopicPartition(topic, p.Partition, (k.Cluster().LeaderFor(topic, p.Partition)+1)%3); err != nil {
				t.Fatal(err)
			}
		}
	}})
}

func TestFaults(t *testing.T) {
	for _, fault := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError, kerr.UnknownServerError} {
		t.Run(fault.Message, func(t *testing.T) {
			e := startKafka(t, embedded.KafkaOptions{})
			k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
			ensure(t, k, topic)
			h := e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: fault, Count: 5})
			if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 100)); err != nil {
				t.Fatal(err)
			}
			if h.Hits() == 0 {
				t.Error("the fault was not met")
			}
			e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.OffsetCommit}, Topic: topic, Err: fault, Count: 3})
			var s sink
			consume(t, k, name(t), list(topic), s.take(t))
			s.wait(t, 100)
			complete(t, &s, 100)
		})
	}
}

func TestLastingRefusalIsReported(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
	ensure(t, k, topic)
	e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 1))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish without the right to: %v, want to be told at once", err)
	}
}

// The broker is killed and started again under load, in a process of its own.
func TestBrokerIsKilled(t *testing.T) {
	dir := t.TempDir()
	start := func() *embedded.KafkaChild {
		c, err := embedded.StartKafkaChild(embedded.KafkaOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	child := start()
	b := bus{brokers: child.Brokers(), replication: 1}
	k, topic := b.open(t), name(t)
	ensure(t, k, topic)
	var s sink
	stop := consume(t, k, name(t), list(topic), s.take(t))
	var written atomic.Int64
	done := make(chan error, 1)
	const total = 5000
	go func() {
		for i := 0; i < total; i += 50 {
			if err := k.Publish(context.Background(), numbered(topic, i, i+50)); err != nil {
				done <- err
				return
			}
			written.Store(int64(i + 50))
			time.Sleep(5 * time.Millisecond)
		}
		done <- nil
	}()
	for range 3 {
		time.Sleep(150 * time.Millisecond)
		if err := child.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := k.Health(within(t, 5*time.Second)); err == nil {
			t.Error("healthy without a broker")
		}
		time.Sleep(200 * time.Millisecond)
		child = start()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.wait(t, total)
	complete(t, &s, total)
	stop()
	child.Stop()
}

func TestTopicMadeAnewHasAnotherEpoch(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	for i := range 2 {
		ensure(t, k, topic)
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, 100*i, 100*i+20)); err != nil {
			t.Fatal(err)
		}
		s.wait(t, 20*(i+1))
		if err := e.Cluster().DeleteTopic(topic); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, second := s.from[0].Epoch, s.from[39].Epoch; first == second {
		t.Errorf("both topics have the epoch %s", first)
	}
}

// A topic made anew with fewer partitions does not keep records waiting for
// the ones that it has lost, whether the broker says so or kafka-go, which has
// heard of it by then.
func TestTopicMadeAnewWithFewerPartitions(t *testing.T) {
	for _, later := range []time.Duration{0, 3 * time.Second} {
		t.Run(later.String(), func(t *testing.T) { fewerPartitions(t, later) })
	}
}

func fewerPartitions(t *testing.T, later time.Duration) {
	e := startKafka(t, embedded.KafkaOptions{})
	b := bus{brokers: e.Brokers(), replication: 1}
	k, topic := b.open(t, func(o *kafka.Options) { o.Partitions = 8 }), name(t)
	ensure(t, k, topic)
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 50)); err != nil {
		t.Fatal(err)
	}
	if err := e.Cluster().DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	ensure(t, b.open(t, func(o *kafka.Options) { o.Partitions = 1 }), topic)
	time.Sleep(later)
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 100, 150)); err != nil {
		t.Fatal(err)
	}
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	s.wait(t, 50)
	complete(t, &s, 50)
}

// A topic is new, and the broker that coordinates the group has not heard of it
// when partitions are shared out; right after that it has. What no member was
// given would wait until somebody notices.
func TestCoordinatorHearsOfATopicLate(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	b := bus{brokers: e.Brokers(), replication: 3}
	k, topic := b.open(t), name(t)
	ensure(t, k, topic)
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 10)); err != nil {
		t.Fatal(err)
	}
	group := name(t)
	for e.Cluster().CoordinatorFor(group) == 0 {
		group = name(t) // not the one that Consume asks first
	}
	late := e.Cluster().CoordinatorFor(group)
	var asked, shared, given atomic.Int32 // given: partitions of the topic that were shared out the first time
	e.Cluster().ControlKey(int16(kmsg.SyncGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		if shared.Add(1) == 1 {
			given.Store(assigned(t, r.(*kmsg.SyncGroupRequest), topic))
		}
		return nil, nil, false
	})
	e.Cluster().ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		if e.Cluster().CurrentNode() != late || shared.Load() > 0 || asked.Add(1) > 5 {
			return nil, nil, false
		}
		answer := r.ResponseKind().(*kmsg.MetadataResponse)
		for _, asked := range r.(*kmsg.MetadataRequest).Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = asked.Topic, kerr.UnknownTopicOrPartition.Code
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	var s sink
	consume(t, k, group, list(topic), s.take(t))
	s.wait(t, 10)
	if given.Load() == 0 {
		t.Errorf("the group shared out partitions %d times, and none of the topic the first time", shared.Load())
	}
}

// assigned counts the partitions of a topic that a group's leader shares out.
func assigned(t *testing.T, r *kmsg.SyncGroupRequest, topic string) (n int32) {
	t.Helper()
	for _, member := range r.GroupAssignment {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(member.MemberAssignment); err != nil {
			t.Errorf("an assignment: %v", err)
		}
		for _, of := range a.Topics {
			if of.Topic == topic {
				n += int32(len(of.Partitions))
			}
		}
	}
	return n
}

// A broker gets the time to hear from its replicas that a request of ours leaves
// it. A request that is given up is written all the same, and once more when it
// is sent again.
func TestReplicasGetTime(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
	ensure(t, k, topic)
	var least atomic.Int32
	e.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		least.Store(r.(*kmsg.ProduceRequest).TimeoutMillis)
		return nil, nil, false
	})
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(least.Load()) * time.Millisecond; got < 5*time.Second {
		t.Errorf("the broker gives its replicas %v", got)
	}
}

// Records have the time of the clock that the broker was given, not that of the
// host, and a time that Kafka refuses makes no message a dead one.
func TestTimeOfRecords(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Now = func() time.Time { return at } }), name(t)
	ensure(t, k, topic)
	var refused atomic.Int32
	e.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if refused.Add(1) > 3 {
			return nil, nil, false
		}
		e.Cluster().KeepControl()
		answer := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, asked := range r.(*kmsg.ProduceRequest).Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			for _, p := range asked.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.InvalidTimestamp.Code
				topic.Partitions = append(topic.Partitions, partition)
			}
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if n := refused.Load(); n != 4 {
		t.Errorf("asked %d times, want 4", n)
	}
	partitions := e.Cluster().PartitionInfos(topic)
	for _, p := range partitions {
		if p.HighWatermark == 0 {
			continue
		}
		r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: e.Brokers(), Topic: topic, Partition: int(p.Partition)})
		defer r.Close()
		m, err := r.ReadMessage(within(t, 30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if !m.Time.Equal(at) {
			t.Errorf("the record is of %s, want %s", m.Time, at)
		}
	}
}

func TestTLSAndSASL(t *testing.T) {
	config, pool := selfSigned(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			e := startKafka(t, embedded.KafkaOptions{TLS: config, Users: []embedded.KafkaUser{{Mechanism: mechanism, Name: "mezhved", Password: "пароль"}}})
			b := bus{brokers: e.Brokers(), replication: 1}
			login := func(password string, roots *x509.CertPool) func(*kafka.Options) {
				return func(o *kafka.Options) {
					o.TLS = &tls.Config{RootCAs: roots}
					o.SASL = kafka.SASL{Mechanism: mechanism, User: "mezhved", Password: password}
				}
			}
			k, topic := b.open(t, login("пароль", pool)), name(t)
			ensure(t, k, topic)
			if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 10)); err != nil {
				t.Fatal(err)
			}
			var s sink
			consume(t, k, name(t), list(topic), s.take(t))
			s.wait(t, 10)

			for what, other := range map[string]*kafka.Broker{
				"a wrong password":  b.open(t, login("wrong", pool)),
				"an unknown issuer": b.open(t, login("пароль", x509.NewCertPool())),
				"no login":          b.open(t, func(o *kafka.Options) { o.TLS = &tls.Config{RootCAs: pool} }),
				"no TLS":            b.open(t),
			} {
				if err := other.Health(within(t, 10*time.Second)); err == nil {
					t.Errorf("%s: the broker answers", what)
				}
			}
			err := b.open(t, login("пароль", x509.NewCertPool())).Ensure(within(t, 20*time.Second), []adapter.Topic{{Name: topic}})
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("an unknown issuer: %v, want to be told at once", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for want, opts := range map[string]kafka.Options{
		"no brokers":          {},
		"host:port":           {Brokers: []string{"kafka"}},
		"SASL mechanism":      {Brokers: []string{"kafka:9092"}, SASL: kafka.SASL{Mechanism: "GSSAPI"}},
		"min.insync.replicas": {Brokers: []string{"kafka:9092"}, Replication: 1, MinInSync: 2},
	} {
		if _, err := kafka.Open(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error about %s", opts, err, want)
		}
	}
}

func TestEnsureSetsTheTopicUp(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	k, topic := bus{brokers: e.Brokers()}.open(t, func(o *kafka.Options) { o.Replication, o.Partitions = 0, 6 }), name(t)
	ensure(t, k, topic)
	info := e.Cluster().TopicInfo(topic)
	if got := fmt.Sprintf("%+v", info); !strings.Contains(got, "min.insync.replicas") {
		t.Errorf("topic %s", got)
	}
	if got := len(e.Cluster().PartitionInfos(topic)); got != 6 {
		t.Errorf("%d partitions, want 6", got)
	}
}

// Topics that cannot be made are not told as made, and the bus is not well meanwhile;
// those that vanish are told once, however often they are asked for.
func TestTopicsThatCannotBeMade(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	var log strings.Builder
	k := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	first, second := name(t), name(t)
	refuse := func() func() {
		return e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1}).Remove
	}
	try := func(topics ...string) {
		t.Helper()
		for range 3 {
			if err := k.Ensure(within(t, 30*time.Second), named(topics)); err == nil {
				t.Fatal("a topic is there that could not be made")
			}
		}
		if err := k.Health(within(t, 30*time.Second)); err == nil || !strings.Contains(err.Error(), topics[0]) {
			t.Errorf("health while %s cannot be made: %v", topics[0], err)
		}
	}
	told := func(line string, want int) {
		t.Helper()
		if n := strings.Count(log.String(), line); n != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", line, n, want, log.String())
		}
	}

	again := refuse()
	try(first)
	told("topics are made", 0)
	again()
	ensure(t, k, first)
	told("topics are made", 1)
	if err := k.Health(within(t, 30*time.Second)); err != nil {
		t.Error(err)
	}

	again = refuse()
	client := &kafkago.Client{Addr: kafkago.TCP(e.Brokers()...)}
	if _, err := client.DeleteTopics(within(t, 30*time.Second), &kafkago.DeleteTopicsRequest{Topics: []string{first}}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); k.Health(within(t, 30*time.Second)) == nil && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // what is known of topics is a second old at most
	}
	try(first, second)
	told("topics have vanished", 1)
	told("topics are made", 1)
	again()
	ensure(t, k, first, second)
	told("topics have vanished", 1)
	told("topics are made", 2)

	// A party that has left the registry leaves its topics: they may be deleted.
	ensure(t, k, second)
	if _, err := client.DeleteTopics(within(t, 30*time.Second), &kafkago.DeleteTopicsRequest{Topics: []string{first}}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // ditto
	if err := k.Health(within(t, 30*time.Second)); err != nil {
		t.Errorf("a topic that nobody wants is missed: %v", err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	ignore := goleak.IgnoreCurrent()
	b := bus{brokers: e.Brokers(), replication: 1}
	k, topic := b.open(t), name(t)
	ensure(t, k, topic)
	if err := k.Publish(within(t, 30*time.Second), numbered(topic, 0, 10)); err != nil {
		t.Fatal(err)
	}
	var s sink
	stop := consume(t, k, name(t), list(topic), s.take(t))
	s.wait(t, 10)
	stop()
	k.Close()
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).read"), goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn).write"),
		goleak.IgnoreAnyFunction("mezhved/adapter/embedded.(*lingeringConn).Read"))
}

// What is sealed is not compressed, since that is lost labour; what anybody may read is, by
// zstd. A batch with one of the latter in it is.
func TestDenseBatchesAreNotCompressed(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
	ensure(t, k, topic)
	var codecs []int16
	e.Cluster().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				var batch kmsg.RecordBatch
				if err := batch.ReadFrom(p.Records); err != nil {
					t.Error(err)
				}
				codecs = append(codecs, batch.Attributes&7)
			}
		}
		return nil, nil, false
	})
	for _, dense := range [][2]bool{{true, true}, {false, false}, {true, false}} {
		batch := []adapter.Record{sealedRecord(dense[0]), sealedRecord(dense[1])}
		for i := range batch {
			batch[i].Topic = topic
		}
		if err := k.Publish(within(t, 30*time.Second), batch); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int16{0, 4, 4}; !slices.Equal(codecs, want) {
		t.Errorf("codecs of the batches: %v, want %v", codecs, want)
	}
	var s sink
	defer consume(t, k, name(t), list(topic), s.take(t))()
	s.wait(t, 6)
}

// BenchmarkPublish is the relay's share: batches as it makes them, from as many
// shards as there are.
func BenchmarkPublish(b *testing.B) {
	e, err := embedded.StartKafka(embedded.KafkaOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Stop()
	k, err := kafka.Open(kafka.Options{Brokers: e.Brokers(), Replication: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	if err := k.Ensure(context.Background(), []adapter.Topic{{Name: "bench"}}); err != nil {
		b.Fatal(err)
	}
	const batch = 500
	records := make([]adapter.Record, batch)
	for i := range records {
		records[i] = adapter.Record{Topic: "bench", Key: fmt.Append(nil, i%32), Value: noiseOf(i, 4096)} // compresses hardly at all
	}
	b.SetBytes(batch * 4096)
	b.SetParallelism(2)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := k.Publish(context.Background(), records); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkPublishSealed puts records as the relay makes them of sealed messages on the
// bus, with their headers, in batches of one partition: as they are, and compressed.
func BenchmarkPublishSealed(b *testing.B) {
	for _, dense := range []bool{false, true} {
		for _, batch := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("dense=%v/%d", dense, batch), func(b *testing.B) {
				dir := b.TempDir()
				e, err := embedded.StartKafka(embedded.KafkaOptions{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Stop()
				k, err := kafka.Open(kafka.Options{Brokers: e.Brokers(), Replication: 1, Partitions: 1})
				if err != nil {
					b.Fatal(err)
				}
				defer k.Close()
				if err := k.Ensure(b.Context(), []adapter.Topic{{Name: "bench"}}); err != nil {
					b.Fatal(err)
				}
				records := make([]adapter.Record, batch)
				for i := range records {
					records[i] = sealedRecord(dense)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := k.Publish(b.Context(), records); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "us/record")
				b.ReportMetric(float64(kept(b, filepath.Join(dir, "data", "partitions")))/float64(b.N*batch), "B/record")
			})
		}
	}
}

// BenchmarkConsume is the intake's share: records that come one by one, a millisecond from
// one another, to the queues of 16 parties. A batch takes a look at its topics and a commit;
// where the relay has put the records into their queues, neither.
func BenchmarkConsume(b *testing.B) {
	for _, of := range []struct {
		gather time.Duration
		placed bool
	}{{2 * time.Millisecond, false}, {25 * time.Millisecond, false}, {25 * time.Millisecond, true}} {
		gather := of.gather
		b.Run(fmt.Sprintf("%v/placed=%v", gather, of.placed), func(b *testing.B) {
			e, err := embedded.StartKafka(embedded.KafkaOptions{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Stop()
			k, err := kafka.Open(kafka.Options{Brokers: e.Brokers(), Replication: 1, Gather: gather})
			if err != nil {
				b.Fatal(err)
			}
			defer k.Close()
			if err := k.Ensure(b.Context(), []adapter.Topic{{Name: "bench"}}); err != nil {
				b.Fatal(err)
			}
			var commits, taken atomic.Int64
			e.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
				e.Cluster().KeepControl()
				commits.Add(1)
				return nil, nil, false
			})
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			all := make(chan struct{})
			take := func(n int) {
				if taken.Add(int64(n)) == int64(b.N) {
					close(all)
				}
			}
			var stands adapter.Stands
			if of.placed {
				stands = func(_ context.Context, _ string, _ int, _ int64, n int) bool { take(n); return true }
			}
			go func() {
				done <- k.Consume(ctx, "group", list("bench"), stands, func(_ context.Context, _ adapter.Partition, records []adapter.Record) error {
					take(len(records))
					return nil
				})
			}()
			b.ResetTimer()
			for i := range b.N {
				r := sealedRecord(true)
				r.Key = fmt.Append(nil, i%16)
				if err := k.Publish(b.Context(), []adapter.Record{r}); err != nil {
					b.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
			<-all
			b.StopTimer()
			b.ReportMetric(float64(commits.Load())/float64(b.N), "commits/record")
			stop()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// sealedRecord is like the record of a request.
func sealedRecord(dense bool) adapter.Record {
	noise := make([]byte, 716)
	rand.Read(noise)
	id, ours := uuid.NewString(), uuid.NewString()
	r := adapter.Record{Topic: "bench", Key: []byte("delivery.REGISTRY._REQUEST_"), Value: noise, Dense: dense}
	for _, h := range [][2]string{{"mezhved-body", "kept"}, {"mezhved-kept", base64.StdEncoding.EncodeToString([]byte("\x12\xee\x10\x00\x00 01234567890123456789012345678901\x00\x00"))}, {"mezhved-id", ours},
		{"mezhved-queue", `{"System":"REGISTRY","Kind":"request","Node":""}`}, {"message-id", id}, {"direction", "request"}, {"sender", "MUNI"}, {"recipient", "REGISTRY"},
		{"service", "extract"}, {"service-version", "1.0"}, {"wire", "1.2"}, {"conversation", id},
		{"reply-to", base64.StdEncoding.EncodeToString(fmt.Appendf(noise[:33:33], `{"rid":"%s","mid":"%s","mnm":"MUNI","prv":"REGISTRY","svc":"extract","ver":"1.0","wir":"1.2"}`, ours, id))},
		{"mezhved-seal-2", string(noise[100:137])}} {
		r.Headers = append(r.Headers, adapter.Header{Key: h[0], Value: []byte(h[1])})
	}
	return r
}

// kept is how many bytes lie in a folder.
func kept(b *testing.B, dir string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

func selfSigned(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// What a gateway may not do on a bus is told by name, before it is started.
func TestTry(t *testing.T) {
	for _, fault := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{{kmsg.CreateTopics, kerr.TopicAuthorizationFailed}, {kmsg.Produce, kerr.TopicAuthorizationFailed}, {kmsg.OffsetFetch, kerr.GroupAuthorizationFailed}} {
		e := startKafka(t, embedded.KafkaOptions{})
		k := bus{brokers: e.Brokers(), replication: 1}.open(t)
		if err := k.Try(within(t, 30*time.Second), name(t), name(t)); err != nil {
			t.Fatalf("a good bus: %v", err)
		}
		e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{fault.key}, Err: fault.err, Count: -1})
		err := k.Try(within(t, 30*time.Second), name(t), name(t))
		if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "uthoriz") {
			t.Errorf("%v refused: %v", fault.key, err)
		}
	}
}

// What goes to partitions of one leader goes in one request, each partition is acknowledged
// by itself, and only what a partition has not taken is sent again, in its order.
func TestOneRequestToEachLeader(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	k := bus{brokers: e.Brokers(), replication: 3}.open(t, func(o *kafka.Options) { o.Partitions = 6 })
	topics := []string{name(t) + "1", name(t) + "2"}
	ensure(t, k, topics...)
	records := func(from int) []adapter.Record {
		return append(numbered(topics[0], from, from+50), numbered(topics[1], from+50, from+100)...)
	}
	if err := k.Publish(within(t, 60*time.Second), records(0)); err != nil {
		t.Fatal(err)
	}
	var requests, partitions atomic.Int32
	e.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		requests.Add(1)
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			partitions.Add(int32(len(topic.Partitions)))
		}
		return nil, nil, false
	})
	if err := k.Publish(within(t, 60*time.Second), records(100)); err != nil {
		t.Fatal(err)
	}
	many := partitions.Load()
	if n := requests.Load(); n > 3 || many <= 3 {
		t.Errorf("%d requests with %d partitions to three leaders", n, many)
	}
	// One of the partitions does not take its records the first time.
	once := e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topics[0], Partitions: []int32{partitionOf(t, k, topics[0])}, Err: kerr.NotEnoughReplicas, Count: 1})
	partitions.Store(0)
	if err := k.Publish(within(t, 60*time.Second), records(200)); err != nil {
		t.Fatal(err)
	}
	if once.Hits() != 1 || partitions.Load() != many+1 {
		t.Errorf("%d refusals, and %d partitions in all requests, want %d", once.Hits(), partitions.Load(), many+1)
	}
	var s sink
	consume(t, k, name(t), list(topics...), s.take(t))
	s.wait(t, 300)
	newest := map[string]int{}
	for _, r := range s.records {
		var n int
		if _, err := fmt.Sscan(string(r.Value), &n); err != nil || n < newest[r.Topic+string(r.Key)] {
			t.Errorf("%s came after %d: %v", r.Value, newest[r.Topic+string(r.Key)], err)
		}
		newest[r.Topic+string(r.Key)] = n
	}
	if len(s.records) != 300 {
		t.Errorf("%d records are on the bus, want 300: something was sent twice", len(s.records))
	}
}

// partitionOf is one that has something.
func partitionOf(t *testing.T, k *kafka.Broker, topic string) int32 {
	t.Helper()
	extents, err := k.Extents(within(t, 30*time.Second), topic)
	if err != nil {
		t.Fatal(err)
	}
	for at, e := range extents {
		if e.End > e.First {
			return int32(at.Partition)
		}
	}
	t.Fatal("the topic is empty")
	return 0
}

// Records of others come, however they have compressed them.
func TestRecordsOfOthers(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t), name(t)
	ensure(t, k, topic)
	n := 0
	for _, codec := range []kafkago.Compression{0, kafkago.Gzip, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd} {
		w := &kafkago.Writer{Addr: kafkago.TCP(e.Brokers()...), Topic: topic, Compression: codec, BatchTimeout: time.Millisecond}
		for range 3 {
			if err := w.WriteMessages(within(t, 30*time.Second), kafkago.Message{Key: []byte("key 0"), Value: fmt.Append(nil, n), Headers: []kafkago.Header{{Key: "n", Value: fmt.Append(nil, n)}}}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		w.Close()
	}
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	s.wait(t, n)
	for _, r := range s.records {
		if len(r.Headers) != 1 || string(r.Headers[0].Value) != string(r.Value) {
			t.Errorf("record %q has the headers %v", r.Value, r.Headers)
		}
	}
}

// Records that this process has put on the bus and taken care of are passed over unread; the
// group is told of them, and seldom. Those of others between them come as ever, as do those
// that stand where ours stood before the topic was made anew.
func TestOwnRecordsArePassedOver(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	b := bus{brokers: e.Brokers(), replication: 1}
	k, other, topic, group := b.open(t), b.open(t), name(t), name(t)
	ensure(t, k, topic)
	var commits atomic.Int32
	e.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		commits.Add(1)
		return nil, nil, false
	})
	var stand atomic.Int64
	stands := func(_ context.Context, of string, _ int, _ int64, n int) bool {
		if of != topic {
			t.Errorf("%s is asked for", of)
		}
		stand.Add(int64(n))
		return true
	}
	var s sink
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Consume(ctx, group, list(topic), stands, s.take(t)) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := start()
	publish := func(k *kafka.Broker, from, to int) {
		t.Helper()
		if err := k.Publish(within(t, 30*time.Second), numbered(topic, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	publish(other, 0, 10)
	s.wait(t, 10) // it reads
	stand.Store(0)
	before := commits.Load()
	const ours = 100
	came := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.records) }
	for i := range ours {
		publish(k, 1000+i, 1001+i)
	}
	for end := time.Now().Add(time.Minute); int(stand.Load())+came()-10 < ours; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d records were passed over, %d came", stand.Load(), ours, came()-10)
		}
	}
	// Some may have come back before Publish knew where they stand.
	if n := int(stand.Load()); n < ours/2 {
		t.Errorf("%d of %d records were passed over", n, ours)
	}
	if n, met := int(commits.Load()-before), came()-10; n > met+ours/4 {
		t.Errorf("%d commits while %d records were passed over and %d came", n, stand.Load(), met)
	}
	publish(other, 10, 20)
	s.wait(t, 20)
	stop()
	extents, err := k.Extents(within(t, 30*time.Second), topic)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := k.Committed(within(t, 30*time.Second), group, topic)
	if err != nil {
		t.Fatal(err)
	}
	for at, e := range extents {
		if e.End > 0 && committed[at] != e.End {
			t.Errorf("partition %d is read to %d, and committed %d", at.Partition, e.End, committed[at])
		}
	}

	if err := e.Cluster().DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	ensure(t, k, topic)
	stand.Store(0)
	publish(other, 20, 60)
	had := came()
	stop = start()
	s.wait(t, had+40)
	stop()
	seen := map[string]bool{}
	for _, r := range s.records {
		seen[string(r.Value)] = true
	}
	for i := range 60 {
		if !seen[fmt.Sprint(i)] {
			t.Fatalf("record %d of another process did not come", i)
		}
	}
	if stand.Load() > 0 {
		t.Errorf("%d records of another process are taken for ours", stand.Load())
	}
}

// What this process puts on the bus while it asks the leader is passed over although the
// broker gives none of it. What it has put there before is asked for, and known then: the
// topic may be another by now.
func TestOwnRecordsAreNotFetched(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic, group := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), name(t), name(t)
	ensure(t, k, topic)
	publish := func(from, to int) {
		t.Helper()
		if err := k.Publish(within(t, 60*time.Second), numbered(topic, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	committed := func() (offset int64) {
		t.Helper()
		all, err := k.Committed(within(t, 60*time.Second), group, topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, offset = range all {
		}
		return offset
	}
	publish(0, 10)
	silent := e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Count: -1})
	var stand atomic.Int64
	stands := func(_ context.Context, _ string, _ int, _ int64, n int) bool {
		stand.Add(int64(n))
		return true
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- k.Consume(ctx, group, list(topic), stands, func(_ context.Context, _ adapter.Partition, records []adapter.Record) error {
			t.Errorf("%d records came that this process has taken care of", len(records))
			return nil
		})
	}()
	if err := silent.Wait(within(t, 60*time.Second), 2); err != nil {
		t.Fatal(err)
	}
	if n, at := stand.Load(), committed(); n > 0 || at > 0 {
		t.Errorf("%d records of before are passed over, and the group is told of %d", n, at)
	}
	silent.Remove()
	end := 10
	eventually(t, "what is put there meanwhile is passed over", func() bool {
		eventually(t, "what is put there before is known", func() bool { return committed() == int64(end) })
		silent := e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Count: -1})
		defer silent.Remove()
		if err := silent.Wait(within(t, 60*time.Second), 1); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			publish(end, end+1)
			end++
		}
		for until := time.Now().Add(10 * time.Second); committed() < int64(end); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) { // on a busy machine the conversation may break off
				return false
			}
		}
		return true
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// threeLeaders is a cluster of three brokers with a topic of six partitions, of which the
// broker P%3 leads partition P.
func threeLeaders(t *testing.T) (*embedded.Kafka, *kafka.Broker, string) {
	t.Helper()
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	k, topic := bus{brokers: e.Brokers(), replication: 3}.open(t, func(o *kafka.Options) { o.Partitions = 6 }), name(t)
	ensure(t, k, topic)
	for _, p := range e.Cluster().PartitionInfos(topic) {
		if err := e.Cluster().MoveTopicPartition(topic, p.Partition, p.Partition%3); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // what is known of leaders is a second old at most
	return e, k, topic
}

// A broker that does not answer us, although it leads, holds up nothing of the others.
func TestOneBrokerThatDoesNotAnswer(t *testing.T) {
	e, k, topic := threeLeaders(t)
	others := 0
	batch := numbered(topic, 0, 100)
	if err := k.Publish(within(t, 60*time.Second), batch); err != nil {
		t.Fatal(err)
	}
	for _, r := range batch {
		if r.Partition%3 != 1 {
			others++
		}
	}
	e.Cluster().ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		if e.Cluster().CurrentNode() == 1 {
			return nil, errors.New("go away"), true
		}
		// An answer takes longer than a refusal.
		e.Cluster().SleepControl(func() { time.Sleep(50 * time.Millisecond) })
		return nil, nil, false
	})
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	if s.wait(t, others); len(s.records) != others {
		t.Errorf("%d records came, want %d", len(s.records), others)
	}
}

// A broker whose disk has failed says so of what it led, for as long as it runs. Whoever leads
// now is asked.
func TestLeaderWhoseDiskHasFailed(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{Nodes: 3})
	k, topic := bus{brokers: e.Brokers(), replication: 3}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), name(t)
	ensure(t, k, topic)
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 10)); err != nil {
		t.Fatal(err)
	}
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	s.wait(t, 10)
	failed := e.Cluster().LeaderFor(topic, 0)
	e.Cluster().ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		if e.Cluster().CurrentNode() != failed {
			return nil, nil, false
		}
		answer := r.ResponseKind().(*kmsg.FetchResponse)
		for _, asked := range r.(*kmsg.FetchRequest).Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = asked.Topic
			for _, p := range asked.Partitions {
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.KafkaStorageError.Code
				topic.Partitions = append(topic.Partitions, partition)
			}
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	if err := e.Cluster().MoveTopicPartition(topic, 0, (failed+1)%3); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 10, 20)); err != nil {
		t.Fatal(err)
	}
	s.wait(t, 20)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("who leads now was asked after %v", took)
	}
}

// What waits in great numbers in one topic is read in turns with what waits in others.
func TestTopicsTakeTurns(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topics := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), []string{name(t) + "1", name(t) + "2"}
	ensure(t, k, topics...)
	const many = 14 // more than one answer has
	for _, topic := range topics {
		for i := range many {
			r := adapter.Record{Topic: topic, Value: noiseOf(i, 900_000), Dense: true}
			if err := k.Publish(within(t, 60*time.Second), []adapter.Record{r}); err != nil {
				t.Fatal(err)
			}
		}
	}
	came, most := map[string]int{}, make(chan int, 1)
	done := make(chan struct{})
	consume(t, k, name(t), list(topics...), func(_ context.Context, from adapter.Partition, records []adapter.Record) error {
		if came[from.Topic] += len(records); came[topics[0]] > 0 && came[topics[1]] > 0 && len(most) == 0 {
			most <- max(came[topics[0]], came[topics[1]])
		}
		if came[topics[0]]+came[topics[1]] == 2*many {
			close(done)
		}
		return nil
	})
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("of %d records each %v came", many, came)
	}
	if n := <-most; n == many {
		t.Errorf("all %d records of one topic came before the first one of the other", n)
	}
}

// A broker that sends what is no batch, or none that was asked for, is asked again after a
// while, and not at once for ever.
func TestAnswersThatBringNothing(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topic := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), name(t)
	ensure(t, k, topic)
	if err := k.Publish(within(t, 60*time.Second), numbered(topic, 0, 10)); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	e.Cluster().ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		asked.Add(1)
		answer := r.ResponseKind().(*kmsg.FetchResponse)
		topic, partition := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		topic.Topic, partition.RecordBatches = r.(*kmsg.FetchRequest).Topics[0].Topic, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff this is no batch")
		topic.Partitions = append(topic.Partitions, partition)
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	var s sink
	consume(t, k, name(t), list(topic), s.take(t))
	for end := time.Now().Add(time.Minute); asked.Load() == 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	if n := asked.Load(); n == 0 || n > 10 {
		t.Errorf("the broker was asked %d times in two seconds", n)
	}
}
