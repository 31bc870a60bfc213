package adaptertest

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Damage puts a batch of so many records on a partition, which no broker of ours finds fault
// with and nobody can read, and gives its first offset.
func Damage(t testing.TB, brokers []string, topic string, partition, records int) (offset int64) {
	t.Helper()
	if os.Getenv("KAFKA_BROKERS") != "" {
		t.Skip("Apache Kafka takes no batch that it cannot read itself: what a disk does to one is tried on the embedded broker alone")
	}
	batch := append(make([]byte, 61), "these are no records"...)
	order, none := binary.BigEndian, ^uint64(0)
	order.PutUint32(batch[8:], uint32(len(batch)-12))
	order.PutUint32(batch[12:], uint32(none))
	batch[16] = 2
	order.PutUint32(batch[23:], uint32(records-1))
	order.PutUint64(batch[27:], uint64(time.Now().UnixMilli()))
	order.PutUint64(batch[35:], uint64(time.Now().UnixMilli()))
	order.PutUint64(batch[43:], none)
	order.PutUint16(batch[51:], uint16(none))
	order.PutUint32(batch[53:], uint32(none))
	order.PutUint32(batch[57:], uint32(records))
	order.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
	set := append(order.AppendUint32(nil, uint32(len(batch))), batch...)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer, err := (&kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}).RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: protocol.NewBytes(set)},
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.BaseOffset
}
