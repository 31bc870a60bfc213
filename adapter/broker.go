package adapter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Broker is the bus between accept and queue. package kafka implements it.
// All methods are safe for concurrent use.
type Broker interface {
	// Publish returns nil when every record is acknowledged by all in-sync
	// replicas, in order per key. It repeats what failed for some seconds, one
	// after all others are written, and waits for an answer until ctx ends; a record may be written twice, never lost. A record that the broker will
	// never take (too large) is reported by a *RejectedError while the others
	// are written. Those that are not acknowledged in the end are named by an
	// *UnpublishedError; the error may be both. All others are on the bus, and
	// say afterwards where they stand.
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

	Skipped *Skipped // of consumed records: there is none here that anybody could read
}

// Skipped says of a record that it stands for whatever is from its offset on up to Last:
// that cannot be read, and the operator has named the place, so it is passed over.
type Skipped struct {
	Last int64
	Why  error
}

// Skip is a place on the bus that the operator has named, for what stands there cannot be
// read and holds its partition: kafka.skip.
type Skip struct {
	Topic       string
	Partition   int
	First, Last int64 // offsets, both included
}

var skipForm = regexp.MustCompile(`^([A-Za-z0-9._-]+)/([0-9]+)@([0-9]+)(?:-([0-9]+))?$`)

// ParseSkip reads topic/partition@offset, or topic/partition@first-last.
func ParseSkip(text string) (s Skip, err error) {
	m := skipForm.FindStringSubmatch(text)
	if m == nil {
		return s, fmt.Errorf("topic/partition@offset or topic/partition@first-last is expected, not %q", text)
	}
	s.Topic = m[1]
	number := func(text string) (n int64) {
		var bad error
		n, bad = strconv.ParseInt(text, 10, 64)
		err = errors.Join(err, bad)
		return n
	}
	s.Partition, s.First = int(number(m[2])), number(m[3])
	if s.Last = s.First; m[4] != "" {
		s.Last = number(m[4])
	}
	if err == nil && s.Last < s.First {
		err = fmt.Errorf("%q ends before it begins", text)
	}
	return s, err
}

// String is as ParseSkip reads it.
func (s Skip) String() string {
	at := fmt.Sprintf("%s/%d@%d", s.Topic, s.Partition, s.First)
	if s.Last == s.First {
		return at
	}
	return at + "-" + strconv.FormatInt(s.Last, 10)
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

// UnpublishedError names the records, by index in the published batch, that the broker has
// not acknowledged: whether it has them nobody knows. Among those of one key they are the
// last, so publishing them again, and then what comes after them, keeps the order.
type UnpublishedError struct {
	Indexes []int
	Err     error
}

func (e *UnpublishedError) Error() string { return e.Err.Error() }

// Unwrap gives what was in the way.
func (e *UnpublishedError) Unwrap() error { return e.Err }
