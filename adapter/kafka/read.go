package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"mezhved/adapter"
)

// Read gives the records that a topic holds now, partition by partition: from the given
// offsets on, or from the first that is there. It joins no group and commits nothing. A
// topic that does not exist has none.
func (b *Broker) Read(ctx context.Context, topic string, from map[adapter.Partition]int64, each func(adapter.Partition, adapter.Record) error) error {
	extents, err := b.Extents(ctx, topic)
	if err != nil {
		return err
	}
	for at, e := range extents {
		first := max(e.First, from[at])
		if first >= e.End {
			continue
		}
		if err := b.readPartition(ctx, at, first, e.End, each); err != nil {
			return fmt.Errorf("kafka: reading %s/%d: %w", topic, at.Partition, err)
		}
	}
	return nil
}

func (b *Broker) readPartition(ctx context.Context, at adapter.Partition, from, end int64, each func(adapter.Partition, adapter.Record) error) error {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: b.opts.Brokers, Topic: at.Topic, Partition: at.Partition, Dialer: b.dialer(), MinBytes: 1, MaxBytes: 16 << 20, MaxWait: asking})
	defer r.Close()
	if err := r.SetOffset(from); err != nil {
		return err
	}
	for next := from; next < end; {
		// What stands at the end may be no record (a transaction's mark): nobody waits for it.
		bounded, cancel := context.WithTimeout(ctx, stalled)
		m, err := r.ReadMessage(bounded)
		cancel()
		if err != nil {
			return err
		}
		if next = m.Offset + 1; m.Offset >= end {
			return nil
		}
		if err := each(at, adapter.Record{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: headersIn(m.Headers), Offset: m.Offset}); err != nil {
			return err
		}
	}
	return nil
}
