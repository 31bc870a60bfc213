package kafka_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
	"mezhved/adapter/embedded"
	"mezhved/adapter/kafka"
)

// Of a leader that does not answer those records are given back that are for its partitions.
// What the others have taken is on the bus and says where; published again, the rest comes
// behind it, in its order.
func TestOneLeaderThatIsSilent(t *testing.T) {
	e, k, topic := threeLeaders(t)
	records := numbered(topic, 0, 200)
	if err := k.Publish(within(t, 60*time.Second), records); err != nil {
		t.Fatal(err)
	}
	silent := map[string]bool{} // keys
	for _, r := range records {
		silent[string(r.Key)] = r.Partition%3 == 1
	}
	records = numbered(topic, 200, 400)
	var want []int
	for i, r := range records {
		if silent[string(r.Key)] {
			want = append(want, i)
		}
	}
	if len(want) == 0 || len(want) == len(records) {
		t.Fatalf("%d of %d records are for the silent one", len(want), len(records))
	}
	speak := make(chan struct{})
	speaks := sync.OnceFunc(func() { close(speak) })
	t.Cleanup(speaks)
	e.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.Cluster().KeepControl()
		select {
		case <-speak:
			return nil, nil, false
		default:
		}
		if e.Cluster().CurrentNode() != 1 {
			return nil, nil, false
		}
		e.Cluster().SleepControl(func() { <-speak })
		return nil, errors.New("go away"), true
	})
	var unpublished *adapter.UnpublishedError
	for limit := 2 * time.Second; ; limit *= 2 { // the others may be slow
		records = numbered(topic, 200, 400)
		err := k.Publish(within(t, limit), records)
		var rejected *adapter.RejectedError
		if !errors.As(err, &unpublished) || errors.As(err, &rejected) {
			t.Fatalf("one of three leaders is silent: %v", err)
		}
		if slices.Equal(unpublished.Indexes, want) {
			break
		}
		if limit > time.Minute {
			t.Fatalf("not published are %v, want %v: %v", unpublished.Indexes, want, err)
		}
	}
	for i, r := range records {
		if !slices.Contains(unpublished.Indexes, i) && (r.Partition%3 == 1 || r.Offset < 1) {
			t.Errorf("record %d stands at %d/%d", i, r.Partition, r.Offset)
		}
	}
	speaks()
	var again []adapter.Record
	for _, i := range unpublished.Indexes {
		again = append(again, records[i])
	}
	for err := error(unpublished); err != nil; { // what sleeps still goes away first
		if err = k.Publish(within(t, 60*time.Second), again); err != nil && !errors.As(err, &unpublished) {
			t.Fatal(err)
		}
	}
	values, err := readAll(t, k, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, list := range values {
		for _, v := range list {
			seen[v] = true
		}
	}
	if len(seen) != 400 {
		t.Errorf("%d different records are on the bus, want 400", len(seen))
	}
	for _, p := range []int{1, 4} { // the silent one has each once, in order
		if !slices.IsSorted(numbersOf(t, values[p])) {
			t.Errorf("partition %d has %v", p, values[p])
		}
	}
}

// What is refused for good and what has not been taken are told apart, of one batch.
func TestRefusedAndNotTaken(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, topics := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), []string{name(t) + "1", name(t) + "2"}
	ensure(t, k, topics...)
	e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topics[0], Err: kerr.TopicAuthorizationFailed, Count: -1})
	records := []adapter.Record{
		{Topic: topics[0], Key: []byte("k"), Value: []byte("0")},
		{Topic: topics[1], Key: []byte("k"), Value: make([]byte, 2<<20)},
		{Topic: topics[0], Key: []byte("k"), Value: []byte("2")},
		{Topic: topics[1], Key: []byte("k"), Value: []byte("3")},
	}
	err := k.Publish(within(t, 60*time.Second), records)
	var unpublished *adapter.UnpublishedError
	var rejected *adapter.RejectedError
	if !errors.As(err, &unpublished) || !errors.As(err, &rejected) || !slices.Equal(unpublished.Indexes, []int{0, 2}) || !slices.Equal(rejected.Indexes, []int{1}) {
		t.Fatalf("%+v, not taken are %+v, refused are %+v", err, unpublished, rejected)
	}
	if values, err := readAll(t, k, topics[1], nil); err != nil || !slices.Equal(values[0], []string{"3"}) {
		t.Errorf("the other topic has %v: %v", values, err)
	}
}

// A topic that is not there, or whose partition nobody leads, costs others of its batch a second: they are on the
// bus, and what is for it is named, although there would be time to wait.
func TestATopicThatIsNotThereHoldsUpItsOwn(t *testing.T) {
	e := startKafka(t, embedded.KafkaOptions{})
	k, there, never, refused := bus{brokers: e.Brokers(), replication: 1}.open(t, func(o *kafka.Options) { o.Partitions = 1 }), name(t)+"1", name(t)+"2", name(t)+"3"
	ensure(t, k, there, refused)
	e.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: refused, Err: kerr.LeaderNotAvailable, Count: -1})
	to := func(topic string, n int) adapter.Record {
		return adapter.Record{Topic: topic, Key: []byte("k"), Value: fmt.Append(nil, n)}
	}
	records := []adapter.Record{to(never, 0), to(there, 1), to(refused, 2), to(never, 3), to(there, 4)}
	ctx := within(t, 10*time.Minute)
	err := k.Publish(ctx, records)
	var unpublished *adapter.UnpublishedError
	if !errors.As(err, &unpublished) || !slices.Equal(unpublished.Indexes, []int{0, 2, 3}) || ctx.Err() != nil {
		t.Fatalf("two of three topics take nothing: %v, not taken are %+v", err, unpublished)
	}
	for _, topic := range []string{never, refused} {
		if !strings.Contains(err.Error(), topic) {
			t.Errorf("%v does not name %s", err, topic)
		}
	}
	if values, err := readAll(t, k, there, nil); err != nil || !slices.Equal(values[0], []string{"1", "4"}) {
		t.Errorf("the topic that is there has %v: %v", values, err)
	}
	if err := k.Publish(ctx, records[:1]); !errors.As(err, &unpublished) || ctx.Err() != nil {
		t.Errorf("all of a batch is for a topic that is not there: %v", err)
	}
	go func() { // it is waited for as long as that
		_ = k.Ensure(ctx, named([]string{never}))
	}()
	for err = k.Publish(ctx, records[:1]); err != nil && ctx.Err() == nil; {
		err = k.Publish(ctx, records[:1])
	}
	if values, err := readAll(t, k, never, nil); err != nil || len(values[0]) == 0 {
		t.Errorf("the topic that came has %v: %v", values, err)
	}
}
