package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
	"mezhved/adapter/lately"
)

const (
	// longPoll is how long a leader waits for records before it says that there are none. A
	// record ends the wait.
	longPoll = time.Second
	// mostFetched bounds an answer: one at a time of each leader is in memory.
	mostFetched = 8 << 20
	// mostHeld bounds what the records of an answer take once they are read, about, and a
	// batch beside: what is left of it is asked for again.
	mostHeld = 32 << 20
	// ownRest is how many times Gather what brings nothing but this process's own rests.
	ownRest = 2
)

// cursor is how far a partition has been read.
type cursor struct {
	at    place
	next  int64
	quiet time.Time // until then it is not asked for
	tell  time.Time // from then on it is told again that it stands still
}

// taking is what one leader has answered: of each partition that has something, what it
// is. Its leader is asked again when it is done.
type taking struct {
	parts []taken
	done  chan struct{}
}

// taken is what a partition has brought: records, and those that need not come in between.
type taken struct {
	at      place
	records []adapter.Record
	next    int64 // offset after all of it
}

// follow asks the leaders of partitions for what they have, each for all of its partitions
// at once, until ctx ends, and hands over what they answer.
func (s *session) follow(ctx context.Context, cursors []*cursor, answers chan<- taking) {
	if len(cursors) == 0 { // others of the group have them all
		return
	}
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, time.Second) {
		began := time.Now()
		led, err := s.b.led(ctx, cursors)
		if err != nil {
			s.complain(ctx, err)
		}
		round, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		read := map[place]bool{}
		for leader, cursors := range led {
			for _, c := range cursors {
				read[c.at] = true
			}
			wg.Go(func() {
				defer cancel() // another leads one of them, perhaps all
				s.keepAsking(round, leader, cursors, answers)
			})
		}
		if left := slices.DeleteFunc(slices.Clone(cursors), func(c *cursor) bool { return read[c.at] }); len(left) > 0 {
			wg.Go(func() {
				defer cancel()
				s.b.lead(round, left)
			})
		}
		wg.Wait()
		cancel()
		if time.Since(began) > 5*time.Second {
			pause = 100 * time.Millisecond
		}
		sleep(ctx, pause)
	}
}

// lead waits until somebody leads one of the partitions, or ctx ends.
func (b *Broker) lead(ctx context.Context, cursors []*cursor) {
	for sleep(ctx, time.Second/2) {
		if led, err := b.led(ctx, cursors); err == nil && len(led) > 0 {
			return
		}
	}
}

// keepAsking asks one leader until others lead what it has led, or ctx ends. One that does
// not answer holds up no other.
func (s *session) keepAsking(ctx context.Context, leader int32, cursors []*cursor, answers chan<- taking) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		began := time.Now()
		if err := s.ask(ctx, leader, cursors, answers); err != nil {
			s.complain(ctx, err)
		}
		if time.Since(began) > 5*time.Second {
			pause = 100 * time.Millisecond
		}
		if !sleep(ctx, pause) || !s.b.leads(ctx, leader, cursors) {
			return
		}
	}
}

// leads says that a broker leads all of the partitions still, as far as is known.
func (b *Broker) leads(ctx context.Context, leader int32, cursors []*cursor) bool {
	led, err := b.led(ctx, cursors)
	return err != nil || len(led[leader]) == len(cursors)
}

// complain logs what is tried again.
func (s *session) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.b.log.Warn("kafka: the reader complains", "says", err)
	}
}

// led shares partitions out by leader, as kafka-go knows them. Those that nobody leads
// are left out.
func (b *Broker) led(ctx context.Context, cursors []*cursor) (map[int32][]*cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	var topics []string
	seen := map[string]bool{}
	for _, c := range cursors {
		if !seen[c.at.topic] {
			seen[c.at.topic], topics = true, append(topics, c.at.topic)
		}
	}
	m, err := b.client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("asking who leads: %w", err)
	}
	leaders := map[place]int32{}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if p.Leader.Host != "" {
				leaders[place{t.Name, p.ID}] = int32(p.Leader.ID)
			}
		}
	}
	led := map[int32][]*cursor{}
	for _, c := range cursors {
		if leader, ok := leaders[c.at]; ok {
			led[leader] = append(led[leader], c)
		}
	}
	return led, nil
}

// ask asks one leader for what its partitions have, again and again, until ctx ends or
// something is wrong. What has brought something is asked again after Gather: until then
// more comes together, and each question costs the broker and us as much as several records.
// When all of it was this process's own, the rest is longer, and what it has put there in the
// meantime is not asked for: only whether there is anything else, and that is not waited for,
// since what ended the wait would be the next of its own.
func (s *session) ask(ctx context.Context, leader int32, cursors []*cursor, answers chan<- taking) error {
	defer func() {
		for _, c := range cursors {
			s.b.hold(c.at, false) // whoever asks next says whether it does
		}
	}()
	complain := func(err error) { s.complain(ctx, err) }
	known := func(c *cursor) func(*batch) bool { // put there by this process, and its records need not come
		return func(b *batch) bool {
			return s.stands != nil && s.b.own.has(c.at, b) && s.stands(ctx, c.at.topic, c.at.partition, b.first, b.count)
		}
	}
	for since := time.Now(); ctx.Err() == nil; {
		var own []taken
		for _, c := range cursors {
			if part := s.own(ctx, c, since); part.next > c.next {
				own = append(own, part)
			}
		}
		if !handOver(ctx, own, cursors, answers) {
			return nil
		}
		wait := longPoll
		if len(own) > 0 {
			wait = 0
		}
		answer, err := s.b.fetch(ctx, leader, cursors, wait)
		if err != nil {
			return fmt.Errorf("asking broker %d for records: %w", leader, err)
		}
		var found []taken
		moved, troubled, room := error(nil), false, mostHeld
		for _, c := range cursors {
			p := answer[c.at]
			if p == nil {
				continue
			}
			var part taken
			var h *hole
			err := refused(p.ErrorCode, nil)
			switch {
			case err == nil:
				if part, err = open(c, p, &room, known(c), complain); errors.As(err, &h) && s.b.pass(&part, h) {
					err = nil
				}
			case errors.Is(err, kafka.OffsetOutOfRange):
				err = s.b.inRange(ctx, c)
			case errors.Is(err, kafka.NotLeaderForPartition), gone(err):
				moved = fmt.Errorf("reading %s/%d at broker %d: %w", c.at.topic, c.at.partition, leader, err)
				continue
			}
			switch {
			case err == nil && !c.tell.IsZero(): // it stood still
				c.tell = time.Time{}
				s.b.hold(c.at, false)
			case err == nil:
			case h != nil:
				s.stand(ctx, c, h)
			default:
				s.complain(ctx, fmt.Errorf("reading %s/%d from offset %d: %w", c.at.topic, c.at.partition, c.next, err))
			}
			if err != nil { // the other partitions go on
				c.quiet, troubled = time.Now().Add(time.Second), true
			}
			if part.next > c.next {
				found = append(found, part)
			}
		}
		if !handOver(ctx, found, cursors, answers) {
			return nil
		}
		cursors = inTurn(cursors, found)
		if moved != nil || troubled && !s.b.leads(ctx, leader, cursors) { // a broker whose disk has failed says so, and not who leads now
			return moved
		}
		rest := s.b.opts.Gather
		if !slices.ContainsFunc(found, func(p taken) bool { return len(p.records) > 0 }) {
			rest *= ownRest
		}
		if len(own)+len(found) > 0 && !sleep(ctx, rest) {
			return nil
		}
	}
	return nil
}

// own is what need not be asked for where a cursor stands: this process has put it there,
// and its records need not come. That is believed of what was sent since this leader is
// asked, none of whose answers was an error. What is older may have been on a topic
// that was made anew since, or may be what a broker has lost that came back: it is fetched,
// and known by its checksum. That the topic is the same still is asked, as ever, before the
// group is told.
func (s *session) own(ctx context.Context, c *cursor, since time.Time) taken {
	part := taken{at: c.at, next: c.next}
	for s.stands != nil {
		n := s.b.own.count(c.at, part.next, since)
		if n == 0 || !s.stands(ctx, c.at.topic, c.at.partition, part.next, n) {
			break
		}
		part.next += int64(n)
	}
	return part
}

// handOver hands over what partitions have, and moves their cursors when it was taken;
// false: ctx has ended.
func handOver(ctx context.Context, parts []taken, cursors []*cursor, answers chan<- taking) bool {
	if len(parts) == 0 {
		return true
	}
	done := make(chan struct{})
	select {
	case answers <- taking{parts, done}:
	case <-ctx.Done():
		return false
	}
	select {
	case <-done:
	case <-ctx.Done():
		return false
	}
	next := map[place]int64{}
	for _, p := range parts {
		next[p.at] = p.next
	}
	for _, c := range cursors {
		c.next = max(c.next, next[c.at])
	}
	return true
}

// inTurn puts those cursors behind whose turn it was: a broker fills its answer in the order
// of the question.
func inTurn(cursors []*cursor, found []taken) []*cursor {
	had := map[place]bool{}
	for _, p := range found {
		had[p.at] = true
	}
	first := slices.DeleteFunc(slices.Clone(cursors), func(c *cursor) bool { return had[c.at] })
	return append(first, slices.DeleteFunc(slices.Clone(cursors), func(c *cursor) bool { return !had[c.at] })...)
}

// fetch asks a leader once, and lets it wait for records.
func (b *Broker) fetch(ctx context.Context, leader int32, cursors []*cursor, wait time.Duration) (map[place]*kmsg.FetchResponseTopicPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+asking)
	defer cancel()
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = int32(wait.Milliseconds()), 1, int32(max(mostFetched, b.opts.MaxRecord+recordOverhead))
	now := time.Now()
	for _, c := range cursors {
		if c.quiet.After(now) {
			continue
		}
		at := len(request.Topics) - 1
		if at < 0 || request.Topics[at].Topic != c.at.topic { // a topic may come more than once: the order is that of the cursors
			topic := kmsg.NewFetchRequestTopic()
			topic.Topic = c.at.topic
			request.Topics, at = append(request.Topics, topic), at+1
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(c.at.partition), c.next, request.MaxBytes
		request.Topics[at].Partitions = append(request.Topics[at].Partitions, p)
	}
	if len(request.Topics) == 0 {
		sleep(ctx, 100*time.Millisecond)
		return nil, ctx.Err()
	}
	answer, err := b.transport.RoundTrip(ctx, b.client.Addr, &fetch{toBroker: toBroker{broker: leader}, ctx: ctx, client: b.opts.ClientID, request: request})
	if err != nil {
		return nil, err
	}
	said := answer.(*fetched)
	if err := refused(said.ErrorCode, nil); err != nil {
		return nil, err
	}
	found := map[place]*kmsg.FetchResponseTopicPartition{}
	for t := range said.Topics {
		for p := range said.Topics[t].Partitions {
			part := &said.Topics[t].Partitions[p]
			found[place{said.Topics[t].Topic, int(part.Partition)}] = part
		}
	}
	return found, nil
}

// inRange moves a cursor to where records are, when what it stands at has been removed by
// age. What stands behind the end waits there: the log is shorter than what the group has
// read of it, and only who looks after the brokers knows why.
func (b *Broker) inRange(ctx context.Context, c *cursor) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	firsts, err := b.offsets(ctx, []string{c.at.topic}, kafka.FirstOffsetOf)
	if err != nil {
		return fmt.Errorf("where %s begins: %w", c.at.topic, err)
	}
	first, ok := firsts[c.at]
	if !ok || c.next >= first {
		return fmt.Errorf("%s/%d has no offset %d, it begins at %d: %w", c.at.topic, c.at.partition, c.next, first, kafka.OffsetOutOfRange)
	}
	c.next = first
	return nil
}

// open reads batches from where a cursor stands. What is known need not come, and is passed
// over unread; tell hears what is passed over because no gateway has written it. An error is
// a *hole at part.next, behind what could be read.
func open(c *cursor, p *kmsg.FetchResponseTopicPartition, room *int, known func(*batch) bool, tell func(error)) (part taken, err error) {
	part = taken{at: c.at, next: c.next}
	set := p.RecordBatches
	for sent := len(set); *room > 0; {
		b, rest, ok, err := nextBatch(set)
		if err == nil && !ok && sent > 0 && part.next == c.next {
			err = fmt.Errorf("%w, or none from there on, in the %d bytes that the broker has sent", errBatch, sent)
		}
		if err != nil {
			return part, &hole{part.next, holeEnd(part.next, -1, rest), err}
		}
		if !ok {
			return part, nil
		}
		set = rest
		if b.last < part.next {
			continue
		}
		if b.first < part.next || !known(&b) {
			records, err := b.records(c.at, part.next)
			switch {
			case errors.Is(err, errLarge):
				tell(fmt.Errorf("reading %s/%d: passing over offsets %d to %d: %w", c.at.topic, c.at.partition, b.first, b.last, err))
			case err != nil:
				if b.last >= p.HighWatermark { // the head, too
					b.last = -1
				}
				return part, &hole{part.next, holeEnd(part.next, b.last, rest), err}
			}
			part.records = append(part.records, records...)
			*room -= b.opened
		}
		part.next = b.last + 1
	}
	return part, nil
}

// hole is what stands in a partition and nobody can read, from an offset on up to another; -1:
// how far it goes nobody knows, for the batch's head is damaged, too.
type hole struct {
	first, last int64
	err         error
}

func (h *hole) Error() string { return h.err.Error() }

// Unwrap gives what is wrong.
func (h *hole) Unwrap() error { return h.err }

// skip is the setting that passes over a hole, as far as is known how far it goes.
func (h *hole) skip(at place) string {
	return adapter.Skip{Topic: at.topic, Partition: at.partition, First: h.first, Last: max(h.first, h.last)}.String()
}

// holeEnd is how far a hole goes: up to what is behind it, when that is whole. Else there is
// what the head says, which may be damaged as what it heads.
func holeEnd(first, said int64, behind []byte) int64 {
	if b, _, ok, err := nextBatch(behind); err == nil && ok && b.first > first && b.whole() == nil {
		return b.first - 1
	}
	return said
}

// pass passes over a hole that the operator has named, with a record that says so.
func (b *Broker) pass(part *taken, h *hole) bool {
	for _, o := range b.opts.Skip {
		if o.Topic != part.at.topic || o.Partition != part.at.partition || h.first < o.First || h.first > o.Last {
			continue
		}
		last := o.Last
		if h.last >= 0 { // what is behind it may be read
			last = min(last, h.last)
		}
		part.records = append(part.records, adapter.Record{Topic: o.Topic, Partition: o.Partition, Offset: h.first, Skipped: &adapter.Skipped{Last: last, Why: h.err}})
		part.next = last + 1
		return true
	}
	return false
}

// stand holds a partition at a hole that the operator has not named: what stands there may be
// a message that was accepted.
func (s *session) stand(ctx context.Context, c *cursor, h *hole) {
	s.b.hold(c.at, true)
	now := time.Now()
	if ctx.Err() != nil || now.Before(c.tell) {
		return
	}
	c.tell = now.Add(time.Minute)
	s.b.log.Error("kafka: a partition stands still, for nobody can read what it holds at an offset: see the runbook, MezhvedBusUnreadable; kafka.skip passes over it",
		"topic", c.at.topic, "partition", c.at.partition, "offset", h.first, "skip", h.skip(c.at), "error", h.err)
}

// ownBatches remembers what batches this process has put on the bus, and where, so that
// they are known when they come back. It may forget.
type ownBatches struct {
	mu      sync.Mutex
	batches lately.Map[batchAt, ownBatch]
}

// batchAt is where a batch stands: at its first record's offset.
type batchAt struct {
	at    place
	first int64
}

// ownBatch is a batch by how many records it is and its checksum, which the broker keeps.
type ownBatch struct {
	count int
	crc   uint32
	sent  time.Time
}

// mostOwn is how many batches are remembered at least.
const mostOwn = 4096

func (o *ownBatches) put(at place, first int64, is ownBatch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches.Put(batchAt{at, first}, is)
}

func (o *ownBatches) has(at place, b *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	is, ok := o.batches.Get(batchAt{at, b.first})
	return ok && is.count == b.count && is.crc == b.crc
}

// count is of how many records the batch is that was put there and sent after a time, 0 when
// there is none.
func (o *ownBatches) count(at place, first int64, since time.Time) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if is, ok := o.batches.Get(batchAt{at, first}); ok && is.sent.After(since) {
		return is.count
	}
	return 0
}
