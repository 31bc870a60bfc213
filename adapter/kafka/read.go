package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"mezhved/adapter"
)

// Read gives the records that a topic holds now, partition by partition: from the given
// offsets on, or from the first that is there. It joins no group and commits nothing. A
// topic that does not exist has none. What is in memory is one answer of a broker's. Where
// nobody can read what stands there it ends, with an error that names the place, unless
// Options.Skip does: then a record says so (Record.Skipped).
func (b *Broker) Read(ctx context.Context, topic string, from map[adapter.Partition]int64, each func(adapter.Partition, adapter.Record) error) error {
	extents, err := b.Extents(ctx, topic)
	if err != nil {
		return err
	}
	for at, e := range extents {
		c := &cursor{at: place{topic, at.Partition}, next: max(e.First, from[at])}
		err := b.readTo(ctx, c, e.End, func(r adapter.Record) error { return each(at, r) })
		if h := (*hole)(nil); errors.As(err, &h) {
			err = fmt.Errorf("%w; kafka.skip passes over it: %s", err, h.skip(c.at))
		}
		if err != nil {
			return fmt.Errorf("kafka: reading %s/%d from offset %d: %w", topic, at.Partition, c.next, err)
		}
	}
	return nil
}

// readTo reads a partition from where a cursor stands to an offset. What passes is waited
// for, as long as something has come in the last half minute.
func (b *Broker) readTo(ctx context.Context, c *cursor, end int64, each func(adapter.Record) error) error {
	for moved := time.Now(); c.next < end; {
		part, err := b.askOnce(ctx, c)
		for _, r := range part.records {
			if r.Offset >= end {
				return nil
			}
			if err := each(r); err != nil {
				return err
			}
		}
		if part.next > c.next {
			c.next, moved = part.next, time.Now()
		}
		switch {
		case err == nil:
		case errors.As(err, new(*hole)), !b.passes(err), time.Since(moved) > stalled:
			return err
		case !sleep(ctx, 200*time.Millisecond):
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
	return nil
}

// askOnce asks the leader of a partition once for what it has where a cursor stands.
func (b *Broker) askOnce(ctx context.Context, c *cursor) (part taken, err error) {
	part = taken{at: c.at, next: c.next}
	led, err := b.led(ctx, []*cursor{c})
	if err != nil {
		return part, err
	}
	for leader, cursors := range led {
		answer, err := b.fetch(ctx, leader, cursors, longPoll)
		if err != nil {
			return part, err
		}
		p := answer[c.at]
		if p == nil || p.ErrorCode == 0 && len(p.RecordBatches) == 0 {
			return part, errors.New("the broker sends nothing of it")
		}
		err = refused(p.ErrorCode, nil)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			err = b.inRange(ctx, c)
			part.next = c.next
		} else if err == nil {
			room := mostHeld
			none := func(*batch) bool { return false }
			tell := func(err error) { b.log.Warn("kafka: the reader complains", "says", err) }
			part, err = open(c, p, &room, none, tell)
			if h := (*hole)(nil); errors.As(err, &h) && b.pass(&part, h) {
				tell(fmt.Errorf("reading %s/%d: passing over offsets %d to %d, as kafka.skip says: %w", c.at.topic, c.at.partition, h.first, part.next-1, err))
				err = nil
			}
		}
		return part, err
	}
	return part, kafka.LeaderNotAvailable
}
