package kafka

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"

	"mezhved/adapter"
)

const (
	// requestBytes bounds one produce request. A broker limits the compressed
	// batch to max.message.bytes, 1 MB by default; this is counted before
	// compression and leaves room for headers.
	requestBytes = 900 << 10
	// recordOverhead is more than a batch header and a record's lengths take.
	recordOverhead = 1 << 10
	// produceTimeout is how long one request may take; then it is sent again.
	produceTimeout = 15 * time.Second
)

// Other records are mostly signatures and certificates in base64: higher levels cost
// twice the time and save nothing worth it. The codec is kafka-go's only one.
func init() { compress.ZstdCodec.Level = 1 }

// place is where a record goes.
type place struct {
	topic     string
	partition int
}

// Publish is adapter.Broker.Publish. Records of one key go to one partition,
// the one that Java clients choose too. A partition has one request in flight
// at a time, which the broker takes or refuses as a whole, so what is sent
// again stays in its order.
func (b *Broker) Publish(ctx context.Context, records []adapter.Record) error {
	rejected := &adapter.RejectedError{}
	left := make([]int, len(records))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		pending, err := b.assign(ctx, records, left, rejected)
		if err != nil {
			return err
		}
		// What is left was for partitions that are not there any more, and is
		// assigned anew.
		if left, err = b.writeAll(ctx, pending, records, rejected); err != nil {
			return fmt.Errorf("kafka: publishing: %w", err)
		}
	}
	if len(rejected.Indexes) > 0 {
		sort.Ints(rejected.Indexes)
		return rejected
	}
	return nil
}

// writeAll writes to all partitions at a time.
func (b *Broker) writeAll(ctx context.Context, pending map[place][]int, records []adapter.Record, rejected *adapter.RejectedError) (left []int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for at, indexes := range pending {
		wg.Go(func() {
			refused, rest, e := b.write(ctx, at, records, indexes)
			mu.Lock()
			defer mu.Unlock()
			rejected.Indexes = append(rejected.Indexes, refused.Indexes...)
			rejected.Err = errors.Join(rejected.Err, refused.Err)
			left = append(left, rest...)
			err = errors.Join(err, e)
		})
	}
	wg.Wait()
	sort.Ints(left)
	return left, err
}

// assign chooses the partition of every record. Topics that do not exist are
// waited for: Ensure may still be at it. What is too large is sorted out here,
// before a broker would drop the connection over it.
func (b *Broker) assign(ctx context.Context, records []adapter.Record, indexes []int, rejected *adapter.RejectedError) (map[place][]int, error) {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	pending := map[place][]int{}
	for _, i := range indexes {
		r := &records[i]
		if n := size(r); n > b.opts.MaxRecord {
			rejected.Err = fmt.Errorf("kafka: record of %d bytes for %s, allowed are %d: %w", n, r.Topic, b.opts.MaxRecord, kafka.MessageSizeTooLarge)
			rejected.Indexes = append(rejected.Indexes, i)
			continue
		}
		partitions, err := b.partitionsOf(ctx, r.Topic)
		if err != nil {
			return nil, err
		}
		partition := balancer.Balance(kafka.Message{Key: r.Key}, partitions...)
		pending[place{r.Topic, partition}] = append(pending[place{r.Topic, partition}], i)
	}
	return pending, nil
}

// size of a record as far as the broker counts it.
func size(r *adapter.Record) int {
	n := len(r.Key) + len(r.Value) + 32
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 8
	}
	return n
}

// partitionsOf gives the partitions of a topic. They are asked for once, until
// one is gone: to notice that there are more would move keys in mid-stream.
func (b *Broker) partitionsOf(ctx context.Context, topic string) ([]int, error) {
	b.mu.Lock()
	known := b.partitions[topic]
	b.mu.Unlock()
	if known != nil {
		return known, nil
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		partitions, err := b.askPartitions(ctx, topic)
		if err == nil {
			b.mu.Lock()
			b.partitions[topic] = partitions
			b.mu.Unlock()
			return partitions, nil
		}
		if !b.passes(err) {
			return nil, err
		}
		if !sleep(ctx, pause) {
			return nil, fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

func (b *Broker) askPartitions(ctx context.Context, topic string) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	m, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("kafka: topic %s: %w", topic, err)
	}
	for _, t := range m.Topics {
		if t.Name != topic {
			continue
		}
		if t.Error != nil {
			return nil, fmt.Errorf("kafka: topic %s: %w", topic, t.Error)
		}
		partitions := make([]int, 0, len(t.Partitions))
		for _, p := range t.Partitions {
			partitions = append(partitions, p.ID)
		}
		sort.Ints(partitions)
		if len(partitions) > 0 {
			return partitions, nil
		}
	}
	return nil, fmt.Errorf("kafka: topic %s: %w", topic, kafka.UnknownTopicOrPartition)
}

// write sends the records with these indexes to one partition, in order,
// request by request, each until it is taken or ctx ends. It gives back those
// that the broker refuses for good, and those that it has not come to because
// the partition does not exist any more.
func (b *Broker) write(ctx context.Context, at place, records []adapter.Record, indexes []int) (refused adapter.RejectedError, rest []int, err error) {
	limit := requestBytes
	pause := 20 * time.Millisecond
	for len(indexes) > 0 {
		n, bytes := 0, 0
		for n < len(indexes) && (n == 0 || bytes+size(&records[indexes[n]]) <= limit) {
			bytes += size(&records[indexes[n]])
			n++
		}
		err := b.produce(ctx, at, records, indexes[:n])
		switch {
		case err == nil:
			indexes = indexes[n:]
			limit, pause = requestBytes, 20*time.Millisecond
			continue
		case tooLarge(err) && n > 1:
			limit = bytes / 2 // together too large for this topic; one by one in the end
			continue
		case tooLarge(err) || errors.Is(err, kafka.InvalidRecord):
			refused.Err = fmt.Errorf("%s: %w", at.topic, err)
			refused.Indexes = append(refused.Indexes, indexes[0])
			indexes = indexes[1:]
			continue
		case !b.passes(err):
			return refused, nil, err
		case errors.Is(err, kafka.InvalidTimestamp):
			// One of two clocks is wrong, and no message is at fault.
			err = fmt.Errorf("the broker takes our time %s for wrong; set the clocks of the brokers and of the database: %w", b.opts.Now().UTC().Format(time.RFC3339), err)
		}
		if pause >= time.Second {
			b.log.Warn("kafka: a partition does not take records; trying on", "topic", at.topic, "partition", at.partition, "error", err)
		}
		if !sleep(ctx, pause) {
			return refused, nil, fmt.Errorf("%s/%d: %w (%w)", at.topic, at.partition, err, ctx.Err())
		}
		pause = min(2*pause, time.Second)
		if gone(err) {
			b.mu.Lock()
			delete(b.partitions, at.topic)
			b.mu.Unlock()
			return refused, indexes, nil
		}
	}
	return refused, nil, nil
}

// gone says that the partition is not there any more, as the broker or kafka-go's
// own list of partitions has it.
func gone(err error) bool {
	return errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, protocol.ErrNoTopic)
}

func tooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}

// produce sends one request and waits until all in-sync replicas have it. What is sealed
// does not compress: a batch of such records goes out as it is. That costs some 400 bytes
// of headers each, and spares most of what a record costs here.
func (b *Broker) produce(ctx context.Context, at place, records []adapter.Record, indexes []int) error {
	batch, now := make([]kafka.Record, len(indexes)), b.opts.Now()
	compression := kafka.Compression(0) // none
	for i, index := range indexes {
		r := &records[index]
		if !r.Dense {
			compression = kafka.Zstd
		}
		batch[i] = kafka.Record{Time: now, Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value), Headers: headersOut(r.Headers)}
	}
	answer, err := b.producer.Produce(ctx, &kafka.ProduceRequest{
		Topic: at.topic, Partition: at.partition,
		RequiredAcks: kafka.RequireAll, // the zero value would ask for none
		Records:      kafka.NewRecordReader(batch...),
		Compression:  compression,
	})
	if err != nil {
		return err
	}
	if answer.Error == nil && len(answer.RecordErrors) > 0 {
		for _, err := range answer.RecordErrors {
			return fmt.Errorf("%w: %w", kafka.InvalidRecord, err)
		}
	}
	return answer.Error
}

func headersOut(headers []adapter.Header) []kafka.Header {
	out := make([]kafka.Header, len(headers))
	for i, h := range headers {
		out[i] = kafka.Header{Key: h.Key, Value: h.Value}
	}
	return out
}
