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
	// laggards is how long what is refused, or fails, is tried on when all else of its batch
	// has gone, which waits for it; failing is how long when nothing has.
	laggards = time.Second
	failing  = 3 * time.Second
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
// one partition. Neither a leader that does not answer nor a topic that is not there costs
// others anything of what they have taken.
func (b *Broker) Publish(ctx context.Context, records []adapter.Record) error {
	p := &publishing{Broker: b, records: records, began: time.Now()}
	left := make([]int, len(records))
	for i := range left {
		left[i] = i
	}
	for pause := shortPause; len(left) > 0 && p.unpublished.Err == nil; pause = min(2*pause, time.Second) {
		parts, absent, why := p.assign(ctx, left)
		// What is left was for partitions that are not there any more, and is
		// assigned anew.
		left = p.writeAll(ctx, parts)
		if len(absent) == 0 {
			continue
		}
		if p.unpublished.Err != nil || p.lags(time.Now()) || !sleep(ctx, pause) {
			p.fail(append(left, absent...), ended(ctx, why))
			break
		}
		left = append(left, absent...)
		sort.Ints(left)
	}
	var errs []error
	if len(p.rejected.Indexes) > 0 {
		sort.Ints(p.rejected.Indexes)
		errs = append(errs, &p.rejected)
	}
	if p.unpublished.Err != nil {
		sort.Ints(p.unpublished.Indexes)
		errs = append(errs, &p.unpublished)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// publishing is a batch on its way.
type publishing struct {
	*Broker
	records     []adapter.Record
	rejected    adapter.RejectedError
	unpublished adapter.UnpublishedError
	began       time.Time
	took        time.Time // when a partition took something last; zero: none has
}

// fail gives records up.
func (p *publishing) fail(indexes []int, err error) {
	p.unpublished.Indexes = append(p.unpublished.Indexes, indexes...)
	p.unpublished.Err = errors.Join(p.unpublished.Err, fmt.Errorf("kafka: publishing: %w", err))
}

// lags says that what fails is not to be tried on: what has gone of the batch waits, and
// whatever comes behind it.
func (p *publishing) lags(now time.Time) bool {
	if p.took.IsZero() {
		return now.Sub(p.began) > failing
	}
	return now.Sub(p.took) > laggards
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

// writeAll writes to all partitions, request by request, until they have taken everything,
// or ctx ends, or each has been failing for a while. It gives back those
// that it has not come to because their partition does not exist any more, unless others are
// unpublished by then: these are so, too.
func (p *publishing) writeAll(ctx context.Context, parts []*part) (left []int) {
	vanished := time.Time{} // until when partitions that are gone are not looked for
	for len(parts) > 0 {
		now := time.Now()
		var due []*part
		next, bytes, all := now.Add(time.Second), 0, true // all: that fail
		for _, o := range parts {
			all = all && o.err != nil
			switch {
			case o.due.After(now):
				next = earlier(next, o.due)
			case len(due) == 0 || bytes < mostBytes:
				o.cut(p.records)
				bytes += o.bytes
				due = append(due, o)
			}
		}
		late := all && p.lags(now)
		if late || len(due) == 0 {
			if late || !sleep(ctx, next.Sub(now)) {
				for _, o := range parts {
					p.fail(o.left, fmt.Errorf("%s/%d: %w", o.at.topic, o.at.partition, ended(ctx, o.err)))
				}
				break
			}
			continue
		}
		p.produce(ctx, due, p.records)
		var done []*part
		for _, o := range due {
			if o.err == nil {
				p.took = time.Now()
			}
			whole, e := p.conclude(o, p.records, &p.rejected)
			switch {
			case e != nil:
				p.fail(o.left, fmt.Errorf("%s/%d: %w", o.at.topic, o.at.partition, e))
			case o.err != nil && gone(o.err):
				left = append(left, o.left...)
				vanished = o.due
			case !whole:
				continue
			}
			done = append(done, o)
		}
		parts = slices.DeleteFunc(parts, func(o *part) bool { return slices.Contains(done, o) })
	}
	if pause := time.Until(vanished); len(left) > 0 && (p.unpublished.Err != nil || pause > 0 && !sleep(ctx, pause)) {
		p.fail(left, errors.New("partitions are gone"))
		return nil
	}
	sort.Ints(left)
	return left
}

// ended says with an error why nothing more is tried, where that is ctx's doing.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, ctx.Err())
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
		// Together too large for this topic; one by one in the end. It gets on: however many
		// requests that takes, nothing fails.
		p.limit, p.err = p.bytes/2, nil
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

// assign chooses the partition of every record, but for those whose topics are absent, and
// says why those are: Ensure may still be at it. What is too large is sorted out here,
// before a broker would drop the connection over it.
func (p *publishing) assign(ctx context.Context, indexes []int) (parts []*part, absent []int, why error) {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	found := map[place]*part{}
	var refused map[string]error // what became of asking for a topic
	for _, i := range indexes {
		r := &p.records[i]
		if n := size(r); n > p.opts.MaxRecord {
			p.rejected.Err = fmt.Errorf("kafka: record of %d bytes for %s, allowed are %d: %w", n, r.Topic, p.opts.MaxRecord, kafka.MessageSizeTooLarge)
			p.rejected.Indexes = append(p.rejected.Indexes, i)
			continue
		}
		partitions, err := []int(nil), refused[r.Topic]
		told := err != nil
		if !told {
			partitions, err = p.partitionsOf(ctx, r.Topic, why)
		}
		if err != nil {
			if refused == nil {
				refused = map[string]error{}
			}
			refused[r.Topic] = err
		}
		switch {
		case err != nil && p.passes(err):
			absent, why = append(absent, i), cmp.Or(why, err)
			continue
		case told: // said once for all of its topic
			p.unpublished.Indexes = append(p.unpublished.Indexes, i)
			continue
		case err != nil:
			p.fail([]int{i}, err)
			continue
		}
		at := place{r.Topic, balancer.Balance(kafka.Message{Key: r.Key}, partitions...)}
		o := found[at]
		if o == nil {
			o = &part{at: at, limit: requestBytes, pause: shortPause}
			found[at], parts = o, append(parts, o)
		}
		o.left = append(o.left, i)
	}
	return parts, absent, why
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
// one is gone: to notice that there are more would move keys in mid-stream. Nobody is asked
// where that has failed a moment ago for another topic, and not for what the topic is.
func (b *Broker) partitionsOf(ctx context.Context, topic string, failed error) ([]int, error) {
	b.mu.Lock()
	known := b.partitions[topic]
	b.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var of kafka.Error
	if failed != nil && !errors.As(failed, &of) {
		return nil, failed
	}
	partitions, err := b.askPartitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.partitions[topic] = partitions
	return partitions, nil
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
