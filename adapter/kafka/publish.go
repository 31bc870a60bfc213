package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"mezhved/adapter"
)

const (
	// requestBytes bounds what one request has for a partition. A broker limits the
	// compressed batch to max.message.bytes, 1 MB by default; this is counted before
	// compression and leaves room for headers.
	requestBytes = 900 << 10
	// mostBytes bounds what is on its way to all partitions, about; Kafka takes 100 MB.
	mostBytes = 16 << 20
	// shortPause is before what has failed once is sent again.
	shortPause = 20 * time.Millisecond
	// recordOverhead is more than a batch header and a record's lengths take.
	recordOverhead = 1 << 10
	// produceTimeout is how long one request may take; then it is sent again.
	produceTimeout = 15 * time.Second
)

// place is where a record goes.
type place struct {
	topic     string
	partition int
}

// Publish is adapter.Broker.Publish. Records of one key go to one partition, the one that
// Java clients choose too. All that goes to partitions of one leader goes in one request.
// A partition is in one request at a time, which the broker takes or refuses as a whole for
// that partition, so what is sent again stays in its order, and what a partition has not
// taken in the end are its last records: of each key the last ones, since a key's are all in
// one partition. A leader that does not answer costs others nothing of what they have taken.
func (b *Broker) Publish(ctx context.Context, records []adapter.Record) error {
	rejected, unpublished := &adapter.RejectedError{}, &adapter.UnpublishedError{}
	left := make([]int, len(records))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 && unpublished.Err == nil {
		parts, err := b.assign(ctx, records, left, rejected)
		if err != nil {
			unpublished.Indexes, unpublished.Err = without(left, rejected.Indexes), err
			break
		}
		// What is left was for partitions that are not there any more, and is
		// assigned anew.
		left = b.writeAll(ctx, parts, records, rejected, unpublished)
	}
	var errs []error
	if len(rejected.Indexes) > 0 {
		sort.Ints(rejected.Indexes)
		errs = append(errs, rejected)
	}
	if unpublished.Err != nil {
		sort.Ints(unpublished.Indexes)
		errs = append(errs, unpublished)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// without are those of a list that are not in another.
func without(list, others []int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(i int) bool { return slices.Contains(others, i) })
}

// part is what goes to one partition, in order.
type part struct {
	at    place
	left  []int         // indexes of what it has not taken yet
	n     int           // how many of them are in the request under way
	bytes int           // of these
	limit int           // bytes of the next ones
	pause time.Duration // after the next failure
	due   time.Time     // of the next request

	sent time.Time // when the request was
	err  error     // what became of it
	base int64     // offset of its first record
	crc  uint32    // of its batch
}

// writeAll writes to all partitions, request by request, until they have taken everything
// or ctx ends. It gives back those that it has not come to because their partition does not
// exist any more, unless others are unpublished by then: these are so, too.
func (b *Broker) writeAll(ctx context.Context, parts []*part, records []adapter.Record, rejected *adapter.RejectedError, unpublished *adapter.UnpublishedError) (left []int) {
	fail := func(indexes []int, err error) {
		unpublished.Indexes = append(unpublished.Indexes, indexes...)
		unpublished.Err = errors.Join(unpublished.Err, fmt.Errorf("kafka: publishing: %w", err))
	}
	vanished := time.Time{} // until when partitions that are gone are not looked for
	for len(parts) > 0 {
		now := time.Now()
		var due []*part
		next, bytes := now.Add(time.Second), 0
		for _, p := range parts {
			switch {
			case p.due.After(now):
				next = earlier(next, p.due)
			case len(due) == 0 || bytes < mostBytes:
				p.cut(records)
				bytes += p.bytes
				due = append(due, p)
			}
		}
		if len(due) == 0 {
			if !sleep(ctx, next.Sub(now)) {
				for _, p := range parts {
					fail(p.left, fmt.Errorf("%s/%d: %w (%w)", p.at.topic, p.at.partition, p.err, ctx.Err()))
				}
				break
			}
			continue
		}
		b.produce(ctx, due, records)
		var done []*part
		for _, p := range due {
			ended, e := b.conclude(p, records, rejected)
			switch {
			case e != nil:
				fail(p.left, fmt.Errorf("%s/%d: %w", p.at.topic, p.at.partition, e))
			case p.err != nil && gone(p.err):
				left = append(left, p.left...)
				vanished = p.due
			case !ended:
				continue
			}
			done = append(done, p)
		}
		parts = slices.DeleteFunc(parts, func(p *part) bool { return slices.Contains(done, p) })
	}
	if pause := time.Until(vanished); len(left) > 0 && (unpublished.Err != nil || pause > 0 && !sleep(ctx, pause)) {
		fail(left, errors.New("partitions are gone"))
		return nil
	}
	sort.Ints(left)
	return left
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// cut says what goes into the next request.
func (p *part) cut(records []adapter.Record) {
	p.n, p.bytes = 0, 0
	for p.n < len(p.left) {
		size := size(&records[p.left[p.n]])
		if p.n > 0 && p.bytes+size > p.limit {
			break
		}
		p.n++
		p.bytes += size
	}
}

// conclude does what the answer to a partition's request asks for: it says whether the
// partition has everything, or an error that will not pass.
func (b *Broker) conclude(p *part, records []adapter.Record, rejected *adapter.RejectedError) (ended bool, err error) {
	switch {
	case p.err == nil:
		for i, index := range p.left[:p.n] {
			records[index].Partition, records[index].Offset = p.at.partition, p.base+int64(i)
		}
		b.own.put(p.at, p.base, ownBatch{p.n, p.crc, p.sent})
		p.left = p.left[p.n:]
		p.limit, p.pause = requestBytes, shortPause
		return len(p.left) == 0, nil
	case tooLarge(p.err) && p.n > 1:
		p.limit = p.bytes / 2 // together too large for this topic; one by one in the end
		return false, nil
	case tooLarge(p.err) || errors.Is(p.err, kafka.InvalidRecord):
		rejected.Err = errors.Join(rejected.Err, fmt.Errorf("%s: %w", p.at.topic, p.err))
		rejected.Indexes = append(rejected.Indexes, p.left[0])
		p.left, p.err = p.left[1:], nil
		return len(p.left) == 0, nil
	case !b.passes(p.err):
		return false, p.err
	case errors.Is(p.err, kafka.InvalidTimestamp):
		// One of two clocks is wrong, and no message is at fault.
		p.err = fmt.Errorf("the broker takes our time %s for wrong; set the clocks of the brokers and of the database: %w", b.opts.Now().UTC().Format(time.RFC3339), p.err)
	}
	if p.pause >= time.Second {
		b.log.Warn("kafka: a partition does not take records; trying on", "topic", p.at.topic, "partition", p.at.partition, "error", p.err)
	}
	p.due = time.Now().Add(p.pause)
	p.pause = min(2*p.pause, time.Second)
	if gone(p.err) {
		b.mu.Lock()
		delete(b.partitions, p.at.topic)
		b.mu.Unlock()
	}
	return false, nil
}

// produce sends what is due, one request to each leader, and waits until all in-sync
// replicas have it. What became of it is in the parts.
func (b *Broker) produce(ctx context.Context, due []*part, records []adapter.Record) {
	slices.SortFunc(due, func(x, y *part) int {
		return cmp.Or(strings.Compare(x.at.topic, y.at.topic), cmp.Compare(x.at.partition, y.at.partition))
	})
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	sent := time.Now()
	for _, p := range due {
		p.sent = sent
	}
	request := &produce{client: b.opts.ClientID, now: b.opts.Now(), records: records, parts: due}
	if _, err := b.transport.RoundTrip(ctx, b.client.Addr, request); err != nil {
		for _, p := range due {
			p.err = err
		}
	}
}

// assign chooses the partition of every record. Topics that do not exist are
// waited for: Ensure may still be at it. What is too large is sorted out here,
// before a broker would drop the connection over it.
func (b *Broker) assign(ctx context.Context, records []adapter.Record, indexes []int, rejected *adapter.RejectedError) ([]*part, error) {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	var parts []*part
	found := map[place]*part{}
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
		at := place{r.Topic, balancer.Balance(kafka.Message{Key: r.Key}, partitions...)}
		p := found[at]
		if p == nil {
			p = &part{at: at, limit: requestBytes, pause: shortPause}
			found[at], parts = p, append(parts, p)
		}
		p.left = append(p.left, i)
	}
	return parts, nil
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

// gone says that the partition is not there any more, as the broker or kafka-go's
// own list of partitions has it.
func gone(err error) bool {
	return errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, protocol.ErrNoTopic)
}

func tooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}
