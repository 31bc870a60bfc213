package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
)

const (
	batchRecords = 500
	// look is how often the list of topics is asked for, and whether they are
	// still the same ones.
	look = 3 * time.Second
	// stalled is how long a reader may bring nothing while records wait and
	// nobody in the group gets on. Then it is closed and opened again.
	stalled = 30 * time.Second
	// asking is how long a question about a topic or a group may take. kafka-go
	// waits for ever for a topic that vanishes while it is asked for.
	asking = 5 * time.Second
	// settling is how long brokers may take to hear of a topic.
	settling = 10 * time.Second
)

// Consume is adapter.Broker.Consume.
func (b *Broker) Consume(ctx context.Context, group string, topics func() []string, handle func(context.Context, adapter.Partition, []adapter.Record) error) error {
	for ctx.Err() == nil {
		known, err := b.metadata(ctx, topicSet(topics))
		if err == nil && len(epochsIn(known)) > 0 {
			b.settle(ctx, known)
			err = b.session(ctx, group, topics, epochsIn(known), handle)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			// Another set of topics, or none yet.
		case !b.passes(err):
			return fmt.Errorf("kafka: consuming as %s: %w", group, err)
		default:
			b.log.Warn("kafka: consuming was interrupted; trying again", "group", group, "error", err)
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return nil
		}
	}
	return nil
}

func topicSet(topics func() []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(topics())))
}

// session reads one set of topics until the set changes, the reader stalls or
// ctx ends.
func (b *Broker) session(ctx context.Context, group string, topics func() []string, epochs map[string]string, handle func(context.Context, adapter.Partition, []adapter.Record) error) error {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: b.opts.Brokers, GroupID: group, GroupTopics: slices.Sorted(maps.Keys(epochs)), Dialer: b.dialer(),
		StartOffset:            kafka.FirstOffset,
		MinBytes:               1,
		MaxBytes:               max(8<<20, b.opts.MaxRecord+recordOverhead),
		MaxWait:                time.Second, // a record ends the wait; many idle partitions cost little
		QueueCapacity:          1000,
		HeartbeatInterval:      3 * time.Second,
		SessionTimeout:         10 * time.Second,
		RebalanceTimeout:       15 * time.Second,
		CommitInterval:         0, // a commit is done when CommitMessages returns
		WatchPartitionChanges:  true,
		PartitionWatchInterval: look,
		MaxAttempts:            10,
		ErrorLogger:            kafka.LoggerFunc(func(f string, a ...any) { b.log.Warn("kafka: the reader complains", "says", fmt.Sprintf(f, a...)) }),
	})
	defer r.Close() // leaves the group; else it would wait for SessionTimeout
	s := &session{b: b, r: r, group: group, topics: topics, epochs: epochs, handle: handle, progress: time.Now()}
	defer s.hangUp()
	looked := time.Now()
	for {
		batch, err := s.fetch(ctx)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := s.deliver(ctx, batch); err != nil {
				return err
			}
			s.progress = time.Now()
		}
		if time.Since(looked) < look {
			continue
		}
		looked = time.Now()
		now, err := s.ask(ctx, topicSet(topics))
		switch {
		case err != nil:
			b.log.Warn("kafka: cannot see the topics", "error", err)
		case !maps.Equal(now, epochs):
			return nil
		}
		if time.Since(s.progress) > stalled && s.behind(ctx) {
			return fmt.Errorf("the reader has brought nothing for %v while records wait", stalled)
		}
	}
}

// settle waits until every broker that answers knows the topics that one knows. The leader of a
// group shares out the partitions that the group's coordinator knows of. Those of
// a topic that it has yet to hear of go to nobody, and when it hears of it before
// kafka-go begins to watch the topic, nobody notices that either.
func (b *Broker) settle(ctx context.Context, known *kmsg.MetadataResponse) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	epochs := epochsIn(known)
	topics := slices.Sorted(maps.Keys(epochs))
	var wg sync.WaitGroup
	for _, node := range known.Brokers {
		address := net.JoinHostPort(node.Host, strconv.Itoa(int(node.Port)))
		wg.Go(func() {
			l, err := b.line(ctx, address)
			if err != nil {
				return // it coordinates nothing
			}
			defer l.conn.Close()
			for {
				answer, err := l.metadata(ctx, topics)
				if err != nil || maps.Equal(epochsIn(answer), epochs) {
					return
				}
				if !sleep(ctx, 100*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// session is one reader's life.
type session struct {
	b         *Broker
	r         *kafka.Reader
	group     string
	topics    func() []string // that the caller wants
	epochs    map[string]string
	handle    func(context.Context, adapter.Partition, []adapter.Record) error
	line      *line     // to ask for epochs
	progress  time.Time // of the last records
	committed map[string]map[int]int64
}

// fetch waits for records, not longer than until the next look at the topics,
// and takes along what follows at once.
func (s *session) fetch(ctx context.Context) ([]kafka.Message, error) {
	wait, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	m, err := s.r.FetchMessage(wait)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	batch := []kafka.Message{m}
	soon, cancel := context.WithTimeout(ctx, s.b.opts.Gather)
	defer cancel()
	for len(batch) < batchRecords {
		m, err := s.r.FetchMessage(soon)
		if err != nil {
			break // it comes again if it matters
		}
		batch = append(batch, m)
	}
	return batch, nil
}

// deliver hands a batch to the handler, partition by partition, and commits.
// The handler is asked again until it has taken the records.
func (s *session) deliver(ctx context.Context, batch []kafka.Message) error {
	parts := map[place][]kafka.Message{}
	for _, m := range batch {
		at := place{m.Topic, m.Partition}
		parts[at] = append(parts[at], m)
	}
	if err := s.same(ctx, parts); err != nil {
		return err
	}
	for at, messages := range parts {
		if err := s.take(ctx, at, messages); err != nil {
			return err
		}
	}
	if err := s.r.CommitMessages(ctx, batch...); err != nil && ctx.Err() == nil {
		// The records are safe with the handler. They come again, and it knows them.
		s.b.log.Warn("kafka: offsets were not committed", "group", s.group, "error", err)
		if errors.Is(err, io.ErrClosedPipe) {
			return err
		}
	}
	return nil
}

// same checks that the topics of a batch are still the ones that this session
// began with. A topic that was deleted and made anew goes on at the old
// offsets, as the reader sees it: its records must not pass under the old
// epoch, which has seen such offsets, nor may offsets be committed that would
// skip the first ones.
func (s *session) same(ctx context.Context, parts map[place][]kafka.Message) error {
	topics := map[string]bool{}
	for at := range parts {
		topics[at.topic] = true
	}
	now, err := s.ask(ctx, slices.Sorted(maps.Keys(topics)))
	if err != nil {
		return err
	}
	for topic := range topics {
		if now[topic] != s.epochs[topic] {
			return fmt.Errorf("topic %s was made anew", topic)
		}
	}
	return nil
}

// ask gives the epochs of topics, over a line that stays open.
func (s *session) ask(ctx context.Context, topics []string) (map[string]string, error) {
	if s.line != nil {
		if answer, err := s.line.metadata(ctx, topics); err == nil {
			return epochsIn(answer), nil
		}
		s.hangUp()
	}
	var errs []error
	for _, broker := range s.b.opts.Brokers {
		l, err := s.b.line(ctx, broker)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		answer, err := l.metadata(ctx, topics)
		if err != nil {
			l.conn.Close()
			errs = append(errs, err)
			continue
		}
		s.line = l
		return epochsIn(answer), nil
	}
	return nil, fmt.Errorf("asking for topics: %w", errors.Join(errs...))
}

func (s *session) hangUp() {
	if s.line != nil {
		s.line.conn.Close()
		s.line = nil
	}
}

// take gives one partition's records to the handler until it has them, or until
// the caller wants the topic no more: then they are another's to take.
func (s *session) take(ctx context.Context, at place, messages []kafka.Message) error {
	records := make([]adapter.Record, len(messages))
	for i, m := range messages {
		records[i] = adapter.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: headersIn(m.Headers), Offset: m.Offset}
	}
	from := adapter.Partition{Epoch: s.epochs[at.topic], Topic: at.topic, Partition: at.partition}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := s.handle(ctx, from, records)
		if err == nil {
			return nil
		}
		if !slices.Contains(s.topics(), at.topic) {
			return fmt.Errorf("topic %s is let go, its records could not be taken in: %w", at.topic, err)
		}
		s.b.log.Warn("kafka: records could not be taken in; trying again", "topic", at.topic, "partition", at.partition, "records", len(records), "error", err)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

func headersIn(headers []kafka.Header) []adapter.Header {
	in := make([]adapter.Header, len(headers))
	for i, h := range headers {
		in[i] = adapter.Header{Key: h.Key, Value: h.Value}
	}
	return in
}

// behind tells whether records wait for the group and nobody in it has got on
// since it was last asked.
func (s *session) behind(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ends, err := s.b.offsets(ctx, slices.Sorted(maps.Keys(s.epochs)), kafka.LastOffsetOf)
	if err != nil {
		return false // the cluster is in trouble; a new reader would not help
	}
	request := &kafka.OffsetFetchRequest{GroupID: s.group, Topics: map[string][]int{}}
	for at := range ends {
		request.Topics[at.topic] = append(request.Topics[at.topic], at.partition)
	}
	answer, err := s.b.client.OffsetFetch(ctx, request)
	if err != nil || answer.Error != nil {
		return false
	}
	waiting := false
	now := map[string]map[int]int64{}
	for topic, partitions := range answer.Topics {
		now[topic] = map[int]int64{}
		for _, p := range partitions {
			if p.Error != nil {
				return false
			}
			now[topic][p.Partition] = p.CommittedOffset
			if end := ends[place{topic, p.Partition}]; end > max(p.CommittedOffset, 0) {
				waiting = true
			}
		}
	}
	before := s.committed
	s.committed = now
	if !waiting || before == nil {
		s.progress = time.Now() // look again after another while
		return false
	}
	for topic := range now {
		if !maps.Equal(now[topic], before[topic]) {
			s.progress = time.Now()
			return false
		}
	}
	return true
}

// Committed is adapter.Broker.Committed. The topic's epoch is asked for before
// the offsets and after them, so that offsets of a topic that was made anew
// meanwhile do not pass for the old one's.
func (b *Broker) Committed(ctx context.Context, group, topic string) (map[adapter.Partition]int64, error) {
	epochs, err := b.epochs(ctx, []string{topic})
	if err != nil || epochs[topic] == "" {
		return nil, err
	}
	partitions, err := b.askPartitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	answer, err := b.groupOffsets(ctx, group, map[string][]int{topic: partitions})
	if errors.Is(err, kafka.GroupIdNotFound) {
		return nil, nil // nobody has read in its name yet
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: offsets of group %s: %w", group, err)
	}
	committed := map[adapter.Partition]int64{}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("kafka: offsets of group %s in %s/%d: %w", group, topic, p.Partition, p.Error)
		}
		if p.CommittedOffset >= 0 {
			committed[adapter.Partition{Epoch: epochs[topic], Topic: topic, Partition: p.Partition}] = p.CommittedOffset
		}
	}
	again, err := b.epochs(ctx, []string{topic})
	if err != nil || again[topic] != epochs[topic] {
		return nil, err
	}
	return committed, nil
}

// groupOffsets asks a group's coordinator, which on a young cluster, or after its
// broker has died, takes a moment to be one.
func (b *Broker) groupOffsets(ctx context.Context, group string, topics map[string][]int) (answer *kafka.OffsetFetchResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for {
		answer, err = b.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: topics})
		if err == nil {
			err = answer.Error
		}
		if !errors.Is(err, kafka.NotCoordinatorForGroup) && !errors.Is(err, kafka.GroupCoordinatorNotAvailable) && !errors.Is(err, kafka.GroupLoadInProgress) {
			return answer, err
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return nil, err
		}
	}
}

// Extents is adapter.Broker.Extents. As in Committed, what a topic made anew
// meanwhile holds does not pass for the old one's.
func (b *Broker) Extents(ctx context.Context, topic string) (map[adapter.Partition]adapter.Extent, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	epochs, err := b.epochs(ctx, []string{topic})
	if err != nil || epochs[topic] == "" {
		return nil, err
	}
	ends, err := b.offsets(ctx, []string{topic}, kafka.LastOffsetOf)
	if err != nil {
		return nil, fmt.Errorf("kafka: where topic %s ends: %w", topic, err)
	}
	firsts, err := b.offsets(ctx, []string{topic}, kafka.FirstOffsetOf)
	if err != nil {
		return nil, fmt.Errorf("kafka: where topic %s begins: %w", topic, err)
	}
	extents := map[adapter.Partition]adapter.Extent{}
	for at, end := range ends {
		extents[adapter.Partition{Epoch: epochs[topic], Topic: topic, Partition: at.partition}] = adapter.Extent{First: firsts[at], End: end}
	}
	again, err := b.epochs(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	if again[topic] != epochs[topic] {
		return nil, fmt.Errorf("kafka: topic %s was made anew meanwhile", topic)
	}
	return extents, nil
}

// offsets gives the first or the end offset of every partition.
func (b *Broker) offsets(ctx context.Context, topics []string, which func(partition int) kafka.OffsetRequest) (map[place]int64, error) {
	request := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	for _, t := range topics {
		partitions, err := b.askPartitions(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, p := range partitions {
			request.Topics[t] = append(request.Topics[t], which(p))
		}
	}
	answer, err := b.client.ListOffsets(ctx, request)
	if err != nil {
		return nil, err
	}
	found := map[place]int64{}
	for topic, partitions := range answer.Topics {
		for _, p := range partitions {
			if p.Error != nil { // a zero offset comes along with it
				return nil, p.Error
			}
			found[place{topic, p.Partition}] = max(p.LastOffset, p.FirstOffset) // the one not asked for is -1
		}
	}
	return found, nil
}
