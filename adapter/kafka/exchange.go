package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
)

// kafka-go connects, logs in, keeps connections and knows who leads what. Its own requests
// to produce and to fetch are for one partition each, and copy and allocate for every record
// what it is made of; so these two, which carry everything, are written and read here, and
// go over its connections to the brokers that it chooses.

// correlation is the number of every request: each waits for its answer.
const correlation = 7

// exchange sends a request over a connection and reads its answer.
func exchange(rw io.ReadWriter, client string, request kmsg.Request, answer kmsg.Response) error {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(client))
	if _, err := rw.Write(formatter.AppendRequest(nil, request, correlation)); err != nil {
		return err
	}
	answer.SetVersion(request.GetVersion())
	return receive(rw, answer)
}

// receive reads an answer, whose version is set.
func receive(r io.Reader, answer kmsg.Response) error {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	length, id := int32(binary.BigEndian.Uint32(head[:])), binary.BigEndian.Uint32(head[4:])
	if length < 4 || length > 64<<20 || id != correlation {
		return fmt.Errorf("answer of %d bytes to request %d", length, id)
	}
	body := make([]byte, length-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	// The header of a flexible answer ends in tags, of which there are none;
	// that of ApiVersions never has them.
	if answer.IsFlexible() && answer.Key() != kmsg.NewPtrApiVersionsRequest().Key() {
		if len(body) == 0 || body[0] != 0 {
			return errors.New("answer with unknown header tags")
		}
		body = body[1:]
	}
	return answer.ReadFrom(body)
}

// refused is a broker's error, nil when there is none.
func refused(code int16, message *string) error {
	switch {
	case code == 0:
		return nil
	case message != nil && *message != "":
		return fmt.Errorf("%w: %s", kafka.Error(code), *message)
	}
	return kafka.Error(code)
}

// toBroker is a request that goes to one broker over a connection of kafka-go's.
type toBroker struct {
	broker  int32
	version int16
}

// Broker is protocol.BrokerMessage.Broker.
func (t *toBroker) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	b, ok := cluster.Brokers[t.broker]
	if !ok {
		return b, kafka.BrokerNotAvailable
	}
	return b, nil
}

// choose takes the version that kafka-go has agreed upon; that there is none is said when
// the request is made.
func (t *toBroker) choose(versions map[protocol.ApiKey]int16, key protocol.ApiKey) bool {
	t.version = versions[key]
	return true
}

// produce is a request to write to partitions, whoever leads them: kafka-go splits it by
// leader and merges the answers, which are then in the parts.
type produce struct {
	client  string
	now     time.Time
	records []adapter.Record
	parts   []*part
}

// ApiKey is protocol.Message.ApiKey.
func (p *produce) ApiKey() protocol.ApiKey { return protocol.Produce }

// Split is protocol.Splitter.Split.
func (p *produce) Split(cluster protocol.Cluster) ([]protocol.Message, protocol.Merger, error) {
	led := map[int32]*produceTo{}
	var messages []protocol.Message
	for _, part := range p.parts {
		partition, err := partitionIn(cluster, part.at)
		if part.err = err; err != nil {
			continue
		}
		to := led[partition.Leader]
		if to == nil {
			to = &produceTo{toBroker: toBroker{broker: partition.Leader}}
			led[partition.Leader] = to
			messages = append(messages, to)
		}
		to.parts = append(to.parts, part)
	}
	for _, m := range messages {
		p.write(m.(*produceTo))
	}
	return messages, p, nil
}

// partitionIn finds a partition that somebody leads.
func partitionIn(cluster protocol.Cluster, at place) (partition protocol.Partition, err error) {
	topic, ok := cluster.Topics[at.topic]
	if !ok {
		return partition, protocol.NewErrNoTopic(at.topic)
	}
	if partition, ok = topic.Partitions[int32(at.partition)]; !ok {
		return partition, protocol.NewErrNoPartition(at.topic, int32(at.partition))
	}
	if _, ok := cluster.Brokers[partition.Leader]; !ok {
		return partition, protocol.NewErrNoLeader(at.topic, int32(at.partition))
	}
	return partition, nil
}

// write makes the request to one broker, in the form of versions 3 to 8.
func (p *produce) write(to *produceTo) {
	order := binary.BigEndian
	to.text = requests.get()
	b := append((*to.text)[:0], 0, 0, 0, 0, 0, 0, 0, 0) // length; which request, and the version of it
	b = order.AppendUint32(b, correlation)
	b = appendName(b, p.client)
	b = order.AppendUint16(b, ^uint16(0)) // in no transaction
	b = order.AppendUint16(b, ^uint16(0)) // acknowledged by all that are in sync
	// Without time replicas have half a second, and a request that takes longer is in the
	// log already when it is sent again.
	b = order.AppendUint32(b, uint32((produceTimeout / 2).Milliseconds()))
	topics := 0
	for i, part := range to.parts {
		if i == 0 || to.parts[i-1].at.topic != part.at.topic {
			topics++
		}
	}
	b = order.AppendUint32(b, uint32(topics))
	for i, part := range to.parts {
		if i == 0 || to.parts[i-1].at.topic != part.at.topic {
			n := 1
			for n < len(to.parts)-i && to.parts[i+n].at.topic == part.at.topic {
				n++
			}
			b = appendName(b, part.at.topic)
			b = order.AppendUint32(b, uint32(n))
		}
		b = order.AppendUint32(b, uint32(part.at.partition))
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		b, part.crc = appendBatch(b, p.records, part.left[:part.n], p.now)
		order.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	order.PutUint32(b, uint32(len(b)-4))
	*to.text = b
}

func appendName(b []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}

// Merge is protocol.Merger.Merge.
func (p *produce) Merge(messages []protocol.Message, results []any) (protocol.Message, error) {
	for i, m := range messages {
		to := m.(*produceTo)
		// kafka-go waits for one leader after another: when time is up with one that does not
		// answer, it may not look at what those behind it have answered long since.
		answer := to.answer.Load()
		if answer == nil {
			_, err := protocol.Result(results[i])
			for _, part := range to.parts {
				part.err = err
			}
			continue // whether the request is still being written nobody knows: its buffer is not used again
		}
		requests.release(to.text)
		answered := map[place]*kmsg.ProduceResponseTopicPartition{}
		topics := answer.Topics
		for t := range topics {
			for n := range topics[t].Partitions {
				a := &topics[t].Partitions[n]
				answered[place{topics[t].Topic, int(a.Partition)}] = a
			}
		}
		for _, part := range to.parts {
			a := answered[part.at]
			switch {
			case a == nil:
				part.err = errors.New("the broker says nothing of the partition")
			case a.ErrorCode == 0 && len(a.ErrorRecords) > 0:
				part.err = kafka.InvalidRecord
			default:
				part.err, part.base = refused(a.ErrorCode, a.ErrorMessage), a.BaseOffset
			}
		}
	}
	return p, nil
}

// produceTo is the request to one of the leaders.
type produceTo struct {
	toBroker
	parts  []*part
	text   *[]byte
	answer atomic.Pointer[produced]
}

// produced is its answer.
type produced struct{ kmsg.ProduceResponse }

// ApiKey is protocol.Message.ApiKey.
func (*produceTo) ApiKey() protocol.ApiKey { return protocol.Produce }

// ApiKey is protocol.Message.ApiKey.
func (*produced) ApiKey() protocol.ApiKey { return protocol.Produce }

// Required is protocol.RawExchanger.Required.
func (p *produceTo) Required(versions map[protocol.ApiKey]int16) bool {
	return p.choose(versions, protocol.Produce)
}

// RawExchange is protocol.RawExchanger.RawExchange.
func (p *produceTo) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if p.version < 3 || p.version > 8 {
		return nil, fmt.Errorf("%w: the broker takes no records with headers (Kafka before 0.11)", kafka.UnsupportedVersion)
	}
	binary.BigEndian.PutUint16((*p.text)[4:], uint16(protocol.Produce))
	binary.BigEndian.PutUint16((*p.text)[6:], uint16(p.version))
	if _, err := rw.Write(*p.text); err != nil {
		return nil, err
	}
	answer := &produced{kmsg.NewProduceResponse()}
	answer.SetVersion(p.version)
	if err := receive(rw, answer); err != nil {
		return nil, err
	}
	p.answer.Store(answer)
	return answer, nil
}

// fetch asks one leader for what its partitions have.
type fetch struct {
	toBroker
	ctx     context.Context
	client  string
	request *kmsg.FetchRequest
}

// fetched is its answer.
type fetched struct{ kmsg.FetchResponse }

// ApiKey is protocol.Message.ApiKey.
func (*fetch) ApiKey() protocol.ApiKey { return protocol.Fetch }

// ApiKey is protocol.Message.ApiKey.
func (*fetched) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Required is protocol.RawExchanger.Required.
func (f *fetch) Required(versions map[protocol.ApiKey]int16) bool {
	return f.choose(versions, protocol.Fetch)
}

// RawExchange is protocol.RawExchanger.RawExchange. It ends with the context: the broker
// may have nothing to say for a while.
func (f *fetch) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if f.version < 4 {
		return nil, fmt.Errorf("%w: the broker gives no records with headers (Kafka before 0.11)", kafka.UnsupportedVersion)
	}
	if conn, ok := rw.(net.Conn); ok {
		defer context.AfterFunc(f.ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	}
	f.request.SetVersion(min(f.version, 11)) // the last one that names topics and not their ids, and is in the plain form
	answer := &fetched{kmsg.NewFetchResponse()}
	return answer, exchange(rw, f.client, f.request, answer)
}
