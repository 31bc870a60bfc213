package adapter

import "context"

// Broker is the bus between accept and queue. package kafka implements it.
// All methods are safe for concurrent use.
type Broker interface {
	// Publish returns nil when every record is acknowledged by all in-sync
	// replicas, in order per key. It repeats what failed until ctx ends; a
	// record may be written twice, never lost. A record that the broker will
	// never take (too large) is reported by a *RejectedError while the others
	// are written. Those that were say afterwards where they stand.
	Publish(ctx context.Context, records []Record) error

	// Consume calls handle for batches of one partition, in offset order, and
	// commits the offsets after handle returned nil. An error from handle is
	// retried with the same batch for as long as topics names its topic. It
	// returns when ctx ends, or with an error that will not pass. topics is asked
	// again every few seconds; what it names no more is let go, and others of the
	// group are given it. Records that this Broker has written itself are passed over
	// where stands, unless it is nil, says so; the offsets after them are committed
	// within a second or so.
	Consume(ctx context.Context, group string, topics func() []string, stands Stands, handle func(context.Context, Partition, []Record) error) error

	// Committed gives the offsets that a consumer group has committed in a
	// topic: everything below them it has read. Partitions without a committed
	// offset, and topics that do not exist, are absent.
	Committed(ctx context.Context, group, topic string) (map[Partition]int64, error)

	// Extents gives the offsets between which the records of a topic stand. A
	// topic that does not exist has no partitions.
	Extents(ctx context.Context, topic string) (map[Partition]Extent, error)

	// Ensure creates the topics that are missing, also those that were there and
	// have gone. Those that are there keep the partitions that they have.
	Ensure(ctx context.Context, topics []Topic) error

	// Health is nil when the broker answers and every topic that Ensure was asked for
	// last is there and has its leaders.
	Health(ctx context.Context) error
}

// Stands says that n records, which stand where Publish has said, one behind the other from
// an offset on, have been taken care of.
type Stands func(ctx context.Context, topic string, partition int, first int64, n int) bool

// Extent is where the records of a partition stand: from First, up to End
// excluded.
type Extent struct{ First, End int64 }

// Record is one record on the bus.
type Record struct {
	Topic   string
	Key     []byte
	Value   []byte
	Headers []Header
	Dense   bool // for Publish: the value is sealed, and does not compress

	Partition int // of consumed records, and of those that Publish has written
	Offset    int64
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// RejectedError names the records, by index in the published batch, that the
// broker refuses for good.
type RejectedError struct {
	Indexes []int
	Err     error
}

func (e *RejectedError) Error() string {
	return "the broker refuses records for good: " + e.Err.Error()
}

// Unwrap gives the broker's own words.
func (e *RejectedError) Unwrap() error { return e.Err }
