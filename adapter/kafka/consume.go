package kafka

import (
	"context"
	"errors"
	"fmt"
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

// Consume is adapter.Broker.Consume. kafka-go joins the group and keeps it; what the
// partitions hold is asked for in one question to each of their leaders (fetch.go).
func (b *Broker) Consume(ctx context.Context, group string, topics func() []string, stands adapter.Stands, handle func(context.Context, adapter.Partition, []adapter.Record) error) error {
	for ctx.Err() == nil {
		known, err := b.metadata(ctx, topicSet(topics))
		if err == nil && len(epochsIn(known)) > 0 {
			b.settle(ctx, known)
			s := &session{b: b, group: group, topics: topics, epochs: epochsIn(known), stands: stands, handle: handle, progress: time.Now()}
			err = s.run(ctx)
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

// session reads one set of topics as a member of a group.
type session struct {
	b         *Broker
	group     string
	topics    func() []string // that the caller wants
	epochs    map[string]string
	stands    adapter.Stands
	handle    func(context.Context, adapter.Partition, []adapter.Record) error
	line      *line     // to ask for epochs
	progress  time.Time // of the last records
	committed map[string]map[int]int64
}

// errAnother says that another set of topics is to be read.
var errAnother = errors.New("the topics have changed")

// run reads until the set of topics changes, nothing comes any more, or ctx ends. Whenever
// the group shares the partitions out anew, it begins where others have got to.
func (s *session) run(ctx context.Context) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: s.group, Brokers: s.b.opts.Brokers, Topics: slices.Sorted(maps.Keys(s.epochs)), Dialer: s.b.dialer(),
		StartOffset:            kafka.FirstOffset,
		HeartbeatInterval:      3 * time.Second,
		SessionTimeout:         10 * time.Second,
		RebalanceTimeout:       15 * time.Second,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: look,
		ErrorLogger:            kafka.LoggerFunc(func(f string, a ...any) { s.b.log.Warn("kafka: the reader complains", "says", fmt.Sprintf(f, a...)) }),
	})
	if err != nil {
		return err
	}
	defer group.Close() // leaves the group; else it would wait for SessionTimeout
	defer s.hangUp()
	const attempts = 10
	for failed := 0; ; {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if failed++; failed == attempts || !s.b.passes(err) {
				return fmt.Errorf("joining the group: %w", err)
			}
			s.complain(ctx, err)
			continue
		}
		failed = 0
		ended := make(chan error, 1)
		generation.Start(func(over context.Context) { ended <- s.read(ctx, over, generation) })
		switch err := <-ended; {
		case errors.Is(err, errAnother):
			return nil
		case err != nil || ctx.Err() != nil:
			return err
		}
	}
}

// read reads the partitions that the group has given us, until the group shares them out
// anew (over) or the session ends. What was passed over is told to the group now and then:
// who begins there again passes over it again.
func (s *session) read(ctx, over context.Context, generation *kafka.Generation) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(over, cancel)()
	var cursors []*cursor
	for topic, partitions := range generation.Assignments {
		for _, p := range partitions {
			cursors = append(cursors, &cursor{at: place{topic, p.ID}, next: max(p.Offset, 0)}) // FirstOffset is moved to what is there
		}
	}
	answers := make(chan taking)
	var wg sync.WaitGroup
	wg.Go(func() { s.follow(ctx, cursors, answers) })
	defer wg.Wait()
	defer cancel()

	passed := offsets{}
	var since time.Time // of what was passed over and not told
	tell := time.NewTimer(time.Hour)
	defer tell.Stop()
	commit := func() error {
		if len(passed) == 0 {
			return nil
		}
		// Whoever ends the session has the records: the next one need not bring them again. That
		// the partitions are another's by now the group's coordinator knows, and refuses.
		telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
		defer cancel()
		if err := s.same(telling, passed); err != nil {
			return err
		}
		if err := generation.CommitOffsets(passed); err != nil {
			if ctx.Err() == nil {
				// The records are safe with the handler. They come again, and it knows them.
				s.b.log.Warn("kafka: offsets were not committed", "group", s.group, "error", err)
			}
			tell.Reset(tellWithin)
			return nil
		}
		passed, since = offsets{}, time.Time{}
		return nil
	}
	looks := time.NewTicker(look)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			if over.Err() == nil { // nobody has been given the partitions yet
				_ = commit() // what comes again is known
			}
			return nil
		case found := <-answers:
			s.progress = time.Now()
			some, err := s.deliver(ctx, found.parts, passed)
			if err != nil {
				if ctx.Err() != nil {
					continue // the others come again, here or at another member
				}
				return err
			}
			if some {
				if err := commit(); err != nil {
					return err
				}
			} else {
				if since.IsZero() {
					since = time.Now()
				}
				tell.Reset(min(tellAfter, tellWithin-time.Since(since)))
			}
			close(found.done)
		case <-tell.C:
			if err := commit(); err != nil {
				return err
			}
		case <-looks.C:
			if err := s.look(ctx); err != nil {
				return err
			}
		}
	}
}

const (
	// tellAfter is how long nothing may have come before the group is told of what was
	// passed over, tellWithin how long it may take when something comes all the time.
	tellAfter  = 250 * time.Millisecond
	tellWithin = time.Second
)

// offsets are those after what was read, by topic and partition.
type offsets map[string]map[int]int64

func (o offsets) set(at place, next int64) {
	if o[at.topic] == nil {
		o[at.topic] = map[int]int64{}
	}
	o[at.topic][at.partition] = next
}

// look sees whether the topics are still those of the session, and whether it gets on.
func (s *session) look(ctx context.Context) error {
	now, err := s.epochsOf(ctx, topicSet(s.topics))
	switch {
	case err != nil:
		s.b.log.Warn("kafka: cannot see the topics", "error", err)
	case !maps.Equal(now, s.epochs):
		return errAnother
	}
	if time.Since(s.progress) > stalled && s.behind(ctx) {
		return fmt.Errorf("the reader has brought nothing for %v while records wait", stalled)
	}
	return nil
}

// deliver hands what a leader has answered to the handler, partition by partition, and says
// whether there was anything to hand over. The handler is asked again until it has taken the
// records. What it has, and what nobody needs to have, is passed.
func (s *session) deliver(ctx context.Context, parts []taken, passed offsets) (some bool, err error) {
	from := offsets{}
	for _, p := range parts {
		if len(p.records) > 0 {
			from.set(p.at, p.next)
		}
	}
	if len(from) > 0 {
		if err := s.same(ctx, from); err != nil {
			return true, err
		}
	}
	for _, p := range parts {
		for records := range slices.Chunk(p.records, batchRecords) {
			if err := s.take(ctx, p.at, records); err != nil {
				return true, err
			}
		}
		passed.set(p.at, p.next)
	}
	return len(from) > 0, nil
}

// same checks that the topics of a batch are still the ones that this session
// began with. A topic that was deleted and made anew goes on at the old
// offsets, as the reader sees it: its records must not pass under the old
// epoch, which has seen such offsets, nor may offsets be committed that would
// skip the first ones.
func (s *session) same(ctx context.Context, of offsets) error {
	now, err := s.epochsOf(ctx, slices.Sorted(maps.Keys(of)))
	if err != nil {
		return err
	}
	for topic := range of {
		if now[topic] != s.epochs[topic] {
			return fmt.Errorf("topic %s was made anew", topic)
		}
	}
	return nil
}

// epochsOf gives the epochs of topics, over a line that stays open.
func (s *session) epochsOf(ctx context.Context, topics []string) (map[string]string, error) {
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
func (s *session) take(ctx context.Context, at place, records []adapter.Record) error {
	from := adapter.Partition{Epoch: s.epochs[at.topic], Topic: at.topic, Partition: at.partition}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := s.handle(ctx, from, records)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
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
	s.b.mu.Lock()
	held := maps.Clone(s.b.held) // a new reader could not read them either
	s.b.mu.Unlock()
	waiting := false
	now := map[string]map[int]int64{}
	for topic, partitions := range answer.Topics {
		now[topic] = map[int]int64{}
		for _, p := range partitions {
			if p.Error != nil {
				return false
			}
			now[topic][p.Partition] = p.CommittedOffset
			at := place{topic, p.Partition}
			if ends[at] > max(p.CommittedOffset, 0) && !held[at] {
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
