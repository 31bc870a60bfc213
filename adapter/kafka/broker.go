package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"mezhved/adapter"
)

// Options of a broker connection. Only Brokers is needed.
type Options struct {
	// Brokers are some of the cluster's addresses, host:port.
	Brokers []string
	// ClientID is told to the brokers, "mezhved" when empty.
	ClientID string
	// TLS makes every connection a TLS one. Its ServerName is usually left
	// empty: it is then that of the broker connected to.
	TLS *tls.Config
	// SASL logs every connection in, unless Mechanism is empty.
	SASL SASL

	// Partitions of a topic that Ensure creates, 4 when zero. More let more
	// gateway nodes share the work of one topic.
	Partitions int
	// Replication is the replication factor of such a topic, 3 when zero.
	Replication int
	// MinInSync is its min.insync.replicas, 2 when zero and Replication is more
	// than 2, else 1. With 3 and 2 an acknowledged record survives the loss of
	// any one broker, and writing goes on meanwhile.
	MinInSync int
	// Retention is how long such a topic keeps records, 7 days when zero. The
	// store keeps messages longer: the bus needs them until they are queued.
	Retention time.Duration
	// MaxRecord is the largest record in bytes that such a topic takes, 1 MiB
	// when zero. A larger record is rejected for good.
	MaxRecord int
	// Gather is how long a batch of Consume waits for more records once it has one, 2 ms
	// when zero. A batch costs a look at its topics and a commit of offsets, of however many
	// records it is. While all that comes is this Broker's own and taken care of, it is twice
	// as long.
	Gather time.Duration

	// Skip are places that Consume and Read pass over where nobody can read what they hold.
	// Who takes the records is given one instead that says so.
	Skip []adapter.Skip

	// Now gives records their time, time.Now when nil. A broker refuses records
	// that come from its future (message.timestamp.after.max.ms, an hour) and ends
	// their life by this time, so it should be a clock that all nodes share.
	Now func() time.Time
	// Log gets what an operator should know, slog.Default when nil.
	Log *slog.Logger
}

// SASL is a login. Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
type SASL struct{ Mechanism, User, Password string }

// Broker is an adapter.Broker on a Kafka cluster.
type Broker struct {
	opts      Options
	log       *slog.Logger
	mechanism sasl.Mechanism
	transport *kafka.Transport
	client    *kafka.Client
	own       ownBatches

	mu         sync.Mutex
	partitions map[string][]int // of topics that were written to
	ours       map[string]bool  // topics that have been there
	wanted     []string         // topics that Ensure was asked for last
	gone       map[string]bool  // of ours, what has vanished and was told, until it is there again
	held       map[place]bool   // what stands still, for nobody can read it on
}

var _ adapter.Broker = (*Broker)(nil)

// Open checks the options; it does not connect. Close it after the last call
// has returned.
func Open(opts Options) (*Broker, error) {
	if len(opts.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers are named")
	}
	for _, b := range opts.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker %q is not host:port", b)
		}
	}
	orDefault(&opts.ClientID, "mezhved")
	orDefault(&opts.Partitions, 4)
	orDefault(&opts.Replication, 3)
	if opts.MinInSync == 0 {
		opts.MinInSync = 1
		if opts.Replication > 2 {
			opts.MinInSync = 2
		}
	}
	if opts.MinInSync > opts.Replication {
		return nil, fmt.Errorf("kafka: min.insync.replicas %d is more than the replication factor %d; nothing could be written", opts.MinInSync, opts.Replication)
	}
	orDefault(&opts.Retention, 7*24*time.Hour)
	orDefault(&opts.MaxRecord, 1<<20)
	orDefault(&opts.Gather, 2*time.Millisecond)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	b := &Broker{opts: opts, log: opts.Log, partitions: map[string][]int{}, ours: map[string]bool{}, gone: map[string]bool{}, held: map[place]bool{}}
	b.own.batches.Most = mostOwn
	if b.log == nil {
		b.log = slog.Default()
	}
	var err error
	if b.mechanism, err = mechanism(opts.SASL); err != nil {
		return nil, err
	}
	b.transport = &kafka.Transport{
		ClientID:    opts.ClientID,
		TLS:         opts.TLS,
		SASL:        b.mechanism,
		DialTimeout: 5 * time.Second,
		MetadataTTL: time.Second, // the default of 6 s is how long a moved leader would not be found
	}
	b.client = &kafka.Client{Addr: kafka.TCP(opts.Brokers...), Transport: b.transport}
	return b, nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func mechanism(s SASL) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.User, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.User, s.Password)
	}
	return nil, fmt.Errorf("kafka: SASL mechanism %q; known are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512", s.Mechanism)
}

// hold notes whether a partition stands still.
func (b *Broker) hold(at place, held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if held {
		b.held[at] = true
	} else {
		delete(b.held, at)
	}
}

// Measure publishes how many partitions stand still at this node.
func (b *Broker) Measure(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "mezhved", Name: "bus_unreadable_partitions", Help: "Partitions that stand still at this node, for nobody can read what they hold."}, func() float64 {
		b.mu.Lock()
		defer b.mu.Unlock()
		return float64(len(b.held))
	}))
}

// Close closes idle connections.
func (b *Broker) Close() { b.transport.CloseIdleConnections() }

// Ensure is adapter.Broker.Ensure. It returns when every topic has its
// leaders. Topics that are there already are left as they are. It is asked again
// and again: a look at topics that are there is one question to one broker.
func (b *Broker) Ensure(ctx context.Context, wanted []adapter.Topic) error {
	partitions, topics := map[string]int{}, make([]string, len(wanted))
	for i, t := range wanted {
		topics[i], partitions[t.Name] = t.Name, cmp.Or(t.Partitions, b.opts.Partitions)
	}
	b.mu.Lock()
	b.wanted = topics
	b.mu.Unlock()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		missing, leaderless, err := b.look(ctx, topics)
		if err == nil && len(missing) == 0 && len(leaderless) == 0 {
			break
		}
		if err == nil && len(missing) > 0 {
			b.tellGone(missing)
			err = b.create(ctx, missing, partitions)
		}
		if err != nil && !b.passes(err) {
			return err
		}
		if err == nil {
			err = fmt.Errorf("topics without a leader: %v", some(leaderless))
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("kafka: making topics: %w (%w)", err, ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range topics {
		b.ours[t] = true
		delete(b.gone, t)
	}
	return nil
}

// tellGone says which of the missing topics were there before, once of each until it is
// there again: whoever asks again because they cannot be made says nothing new.
func (b *Broker) tellGone(missing []string) {
	var gone []string
	b.mu.Lock()
	for _, t := range missing {
		if b.ours[t] && !b.gone[t] {
			gone = append(gone, t)
			delete(b.partitions, t) // there may be another number of them
			b.gone[t] = true
		}
	}
	b.mu.Unlock()
	if len(gone) > 0 {
		b.log.Error("kafka: topics have vanished and are made again: somebody deleted them, or a broker has lost its data", "topics", some(gone))
	}
}

// some are the first of many names, and how many more there are.
func some(names []string) []string {
	const most = 20
	if len(names) <= most+1 {
		return names
	}
	return append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", len(names)-most))
}

// look asks a broker for the topics and says which are missing, and which
// partitions have no leader.
func (b *Broker) look(ctx context.Context, topics []string) (missing, leaderless []string, err error) {
	m, err := b.metadata(ctx, topics)
	if err != nil {
		return nil, nil, err
	}
	there := map[string]bool{}
	for _, t := range m.Topics {
		switch e := kafka.Error(t.ErrorCode); {
		case t.Topic == nil || e == kafka.UnknownTopicOrPartition:
			continue
		case e != 0 && e != kafka.LeaderNotAvailable:
			return nil, nil, fmt.Errorf("kafka: topic %s: %w", *t.Topic, e)
		}
		there[*t.Topic] = true
		for _, p := range t.Partitions {
			if p.Leader < 0 || kafka.Error(p.ErrorCode) == kafka.LeaderNotAvailable {
				leaderless = append(leaderless, *t.Topic+"/"+strconv.Itoa(int(p.Partition)))
			}
		}
		if len(t.Partitions) == 0 {
			leaderless = append(leaderless, *t.Topic)
		}
	}
	for _, t := range topics {
		if !there[t] {
			missing = append(missing, t)
		}
	}
	return missing, leaderless, nil
}

func (b *Broker) create(ctx context.Context, topics []string, partitions map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		request.Topics = append(request.Topics, kafka.TopicConfig{
			Topic: t, NumPartitions: partitions[t], ReplicationFactor: b.opts.Replication,
			ConfigEntries: []kafka.ConfigEntry{
				{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(b.opts.MinInSync)},
				{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
				{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(b.opts.Retention.Milliseconds(), 10)},
				{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(b.opts.MaxRecord + recordOverhead)},
			},
		})
	}
	answer, err := b.client.CreateTopics(ctx, request)
	if err != nil {
		return fmt.Errorf("kafka: creating topics: %w", err)
	}
	var made []string
	for _, t := range topics {
		if err, ok := answer.Errors[t]; ok && err == nil {
			made = append(made, t)
		}
	}
	if len(made) > 0 {
		b.log.Info("kafka: topics are made", "topics", some(made))
	}
	for topic, err := range answer.Errors {
		switch {
		case errors.Is(err, kafka.InvalidReplicationFactor):
			return fmt.Errorf("kafka: creating topic %s with %d copies: %w (%w)", topic, b.opts.Replication, ErrFewBrokers, err) // Kafka's own says that waiting does not help
		case err != nil && !errors.Is(err, kafka.TopicAlreadyExists):
			return fmt.Errorf("kafka: creating topic %s: %w", topic, err)
		}
	}
	return nil
}

// ErrFewBrokers says that a topic was to have more copies than there are brokers.
var ErrFewBrokers = errors.New("there are not so many brokers")

// Health is adapter.Broker.Health, of the topics that Ensure was asked for last, whether
// they could be made or not.
func (b *Broker) Health(ctx context.Context) error {
	b.mu.Lock()
	topics := b.wanted
	b.mu.Unlock()
	missing, leaderless, err := b.look(ctx, topics)
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return fmt.Errorf("kafka: topics are missing: %v", some(missing))
	case len(leaderless) > 0:
		return fmt.Errorf("kafka: partitions have no leader: %v", some(leaderless))
	}
	return nil
}

// Try does what a gateway will do: it makes a topic, writes a record to it, and
// asks how far the group has read. The topic stays.
func (b *Broker) Try(ctx context.Context, topic, group string) error {
	if err := b.Ensure(ctx, []adapter.Topic{{Name: topic}}); err != nil {
		return err
	}
	if err := b.Publish(ctx, []adapter.Record{{Topic: topic, Key: []byte("doctor"), Value: []byte("mezhved doctor was here")}}); err != nil {
		return err
	}
	if _, err := b.Extents(ctx, topic); err != nil {
		return err
	}
	_, err := b.Committed(ctx, group, topic)
	return err
}

// Forever is how long a topic keeps records from which it removes none by age.
const Forever = time.Duration(1<<63 - 1)

// TopicState is how a topic is kept.
type TopicState struct {
	Partitions  int
	Replication int           // copies, of the partition that has fewest
	InSync      int           // copies that are up to date, of the partition that has fewest
	MinInSync   int           // copies that have to have a record before it is acknowledged
	Unclean     bool          // a copy that lacks acknowledged records may lead
	Kept        time.Duration // how long records stay; Forever
	MaxRecord   int           // bytes of the largest batch that it takes
}

// Describe tells how topics are kept. One that does not exist is absent.
func (b *Broker) Describe(ctx context.Context, topics []string) (map[string]TopicState, error) {
	const at = 500 // topics of one request
	states := map[string]TopicState{}
	for some := range slices.Chunk(topics, at) {
		if err := b.describe(ctx, some, states); err != nil {
			return nil, err
		}
	}
	return states, nil
}

func (b *Broker) describe(ctx context.Context, topics []string, states map[string]TopicState) error {
	m, err := b.metadata(ctx, topics)
	if err != nil {
		return err
	}
	for _, t := range m.Topics {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		state := TopicState{Partitions: len(t.Partitions)}
		for i, p := range t.Partitions {
			if i == 0 || len(p.Replicas) < state.Replication {
				state.Replication = len(p.Replicas)
			}
			if i == 0 || len(p.ISR) < state.InSync {
				state.InSync = len(p.ISR)
			}
		}
		states[*t.Topic] = state
	}
	request := &kafka.DescribeConfigsRequest{}
	for _, t := range topics {
		request.Resources = append(request.Resources, kafka.DescribeConfigRequestResource{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: t,
			ConfigNames: []string{"retention.ms", "cleanup.policy", "min.insync.replicas", "unclean.leader.election.enable", "max.message.bytes"},
		})
	}
	answer, err := b.client.DescribeConfigs(ctx, request)
	if err != nil {
		return fmt.Errorf("kafka: asking how topics are kept: %w", err)
	}
	for _, r := range answer.Resources {
		if errors.Is(r.Error, kafka.UnknownTopicOrPartition) {
			continue
		}
		if r.Error != nil {
			return fmt.Errorf("kafka: asking how topic %s is kept: %w", r.ResourceName, r.Error)
		}
		state := states[r.ResourceName]
		state.Kept = Forever
		compacted := false
		for _, e := range r.ConfigEntries {
			n, err := strconv.ParseInt(e.ConfigValue, 10, 64)
			switch {
			case e.ConfigName == "cleanup.policy":
				compacted = !strings.Contains(e.ConfigValue, "delete")
			case e.ConfigName == "unclean.leader.election.enable":
				state.Unclean = e.ConfigValue == "true"
			case err != nil:
			case e.ConfigName == "retention.ms" && n >= 0 && n < int64(Forever/time.Millisecond):
				state.Kept = time.Duration(n) * time.Millisecond
			case e.ConfigName == "min.insync.replicas":
				state.MinInSync = int(n)
			case e.ConfigName == "max.message.bytes":
				state.MaxRecord = int(n)
			}
		}
		if compacted {
			state.Kept = Forever
		}
		states[r.ResourceName] = state
	}
	return nil
}

// passes tells whether an error may go away by itself. What does not: being
// refused, and requests that the cluster cannot fulfil.
func (b *Broker) passes(err error) bool {
	for _, lasting := range []error{
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState,
		kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.InvalidTopic, kafka.InvalidPartitionNumber, kafka.InvalidReplicationFactor, kafka.InvalidConfiguration, kafka.PolicyViolation,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	var certificate *tls.CertificateVerificationError
	return !errors.As(err, &certificate)
}

// sleep says whether the time was slept through.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
