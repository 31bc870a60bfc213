package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"mezhved/adapter"
)

// Records stand on the bus in batches, which travel and are stored as they were made: a
// head, and behind it the records, which may be compressed together. Made here, a record's
// bytes are copied once on their way into a request; read here, a batch that this process
// has made is known by its head.
const (
	// batchHead is where records begin, behind
	//
	//	 0  int64   offset of the first record, which the broker puts there
	//	 8  int32   length of what follows
	//	12  int32   epoch of the leader, which the broker puts there
	//	16  int8    2, the form
	//	17  uint32  CRC-32C of all that follows
	//	21  int16   attributes: codec, control batch and others
	//	23  int32   offset of the last record from the first
	//	27  int64   time of the first record, in milliseconds
	//	35  int64   time of the newest
	//	43          whose batch it is, for producers that number theirs
	//	57  int32   how many records
	batchHead   = 61
	batchLength = 12 // from there on its length is counted
	batchForm   = 2
	crcFrom     = 21
	codecs      = 7      // of the attributes
	controls    = 1 << 5 // of the attributes: no records, but marks of transactions
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Records that are not sealed are entries of the journal and signed XML: higher levels cost
// twice the time and save nothing worth it. A batch has its checksum in its head, and needs no
// other.
var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("kafka: " + err.Error()) // the options are constants
	}
	return e
})

// appendBatch appends the records with these indexes as a batch, and gives the checksum that
// stands in its head. What is sealed does not compress: a batch of such records is as they
// are. That costs some 400 bytes of headers each, and spares most of what a record costs here.
func appendBatch(b []byte, records []adapter.Record, indexes []int, now time.Time) ([]byte, uint32) {
	at, n, room := len(b), len(indexes), batchHead
	for _, index := range indexes {
		room += size(&records[index]) // a buffer that grows record by record is copied over and over
	}
	var head [batchHead]byte
	attributes := uint16(0)
	if dense(records, indexes) {
		b = appendRecords(append(slices.Grow(b, room), head[:]...), records, indexes)
	} else {
		b = append(b, head[:]...)
		attributes = uint16(kafka.Zstd)
		plain := plains.get()
		*plain = appendRecords(slices.Grow((*plain)[:0], room), records, indexes)
		b = encoder().EncodeAll(*plain, b)
		plains.release(plain)
	}
	made := b[at:]
	order, none := binary.BigEndian, ^uint64(0)
	order.PutUint32(made[8:], uint32(len(made)-batchLength))
	order.PutUint32(made[12:], uint32(none))
	made[16] = batchForm
	order.PutUint16(made[21:], attributes)
	order.PutUint32(made[23:], uint32(n-1))
	order.PutUint64(made[27:], uint64(now.UnixMilli()))
	order.PutUint64(made[35:], uint64(now.UnixMilli()))
	order.PutUint64(made[43:], none)
	order.PutUint16(made[51:], uint16(none))
	order.PutUint32(made[53:], uint32(none))
	order.PutUint32(made[57:], uint32(n))
	sum := crc32.Checksum(made[crcFrom:], castagnoli)
	order.PutUint32(made[17:], sum)
	return b, sum
}

func dense(records []adapter.Record, indexes []int) bool {
	for _, index := range indexes {
		if !records[index].Dense {
			return false
		}
	}
	return true
}

// buffers are for what is written and not kept: requests, and what is compressed for them. The
// latter is of entries of the journal, and many times as large as most requests.
type buffers struct{ pool sync.Pool }

var requests, plains buffers

func (bs *buffers) get() *[]byte {
	if b, ok := bs.pool.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// release gives a buffer back, unless it is of a size that is seldom needed.
func (bs *buffers) release(b *[]byte) {
	if cap(*b) <= 4<<20 {
		bs.pool.Put(b)
	}
}

// appendRecords appends records as they stand in a batch.
func appendRecords(b []byte, records []adapter.Record, indexes []int) []byte {
	for i, index := range indexes {
		r := &records[index]
		length := 2 + varintSize(i) + octetsSize(r.Key) + octetsSize(r.Value) + varintSize(len(r.Headers))
		for _, h := range r.Headers {
			length += varintSize(len(h.Key)) + len(h.Key) + octetsSize(h.Value)
		}
		b = binary.AppendVarint(b, int64(length))
		b = append(b, 0, 0) // no attributes; the time of the first one
		b = binary.AppendVarint(b, int64(i))
		b = appendOctets(b, r.Key)
		b = appendOctets(b, r.Value)
		b = binary.AppendVarint(b, int64(len(r.Headers)))
		for _, h := range r.Headers {
			b = binary.AppendVarint(b, int64(len(h.Key)))
			b = append(b, h.Key...)
			b = appendOctets(b, h.Value)
		}
	}
	return b
}

// varintSize is of a number that is not negative.
func varintSize(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }

func octetsSize(b []byte) int { return varintSize(len(b)) + len(b) } // of none: -1 is as long as 0

func appendOctets(b, octets []byte) []byte {
	if octets == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(octets))), octets...)
}

// batch is one that was read, its records still as they stand in it.
type batch struct {
	first, last int64
	count       int
	crc         uint32
	attributes  uint16
	bytes       []byte
	opened      int // what its records take beside these bytes, once they are read; about
}

// errBatch says that what stands on the bus is no batch of records.
var errBatch = errors.New("a batch of records that is not whole")

// errLarge says that a batch is none of a gateway's, whatever is in it: its records would
// take more than mostOpened.
var errLarge = errors.New("a batch of records that grows beyond all that a gateway writes")

const (
	// mostOpened bounds what the records of one batch take: a broker bounds what they are
	// compressed to, and a kilobyte may become gigabytes. Gateways write less than 1 MB before
	// it is compressed, or one record.
	mostOpened = 32 << 20
	// What a record and a header take beside their bytes, which may be two.
	recordOpened, headerOpened = 128, 48
)

// nextBatch takes the first batch off what a broker has answered; false: there is none, or
// the answer has not all of it. What is behind one whose head is none is given, too.
func nextBatch(set []byte) (b batch, rest []byte, ok bool, err error) {
	order := binary.BigEndian
	if len(set) < batchLength {
		return b, nil, false, nil
	}
	length := int64(order.Uint32(set[8:]))
	if int64(len(set)) < batchLength+length {
		return b, nil, false, nil
	}
	b.bytes, rest = set[:batchLength+length], set[batchLength+length:]
	b.first = int64(order.Uint64(b.bytes))
	if len(b.bytes) > 16 && b.bytes[16] < batchForm { // of a producer before Kafka 0.11: it has no headers, so it is nobody's
		b.last = b.first
		return b, rest, true, nil
	}
	if len(b.bytes) < batchHead {
		return b, rest, false, errBatch
	}
	b.crc = order.Uint32(b.bytes[17:])
	b.attributes = order.Uint16(b.bytes[21:])
	b.last = b.first + int64(int32(order.Uint32(b.bytes[23:])))
	b.count = int(int32(order.Uint32(b.bytes[57:])))
	if b.last < b.first || b.count < 0 {
		return b, rest, false, errBatch
	}
	return b, rest, true, nil
}

// whole holds a batch against its checksum. In the old form that is one of another kind, and
// follows the length.
func (b *batch) whole() error {
	sum, want := uint32(0), b.crc
	if b.bytes[16] < batchForm {
		sum, want = crc32.ChecksumIEEE(b.bytes[16:]), binary.BigEndian.Uint32(b.bytes[batchLength:])
	} else {
		sum = crc32.Checksum(b.bytes[crcFrom:], castagnoli)
	}
	if sum != want {
		return fmt.Errorf("%w: its checksum is %08x, and should be %08x", errBatch, sum, want)
	}
	return nil
}

// records are those of a batch from an offset on. They share its bytes. That there are none
// in it is not believed of one that is not whole.
func (b *batch) records(at place, from int64) ([]adapter.Record, error) {
	if err := b.whole(); err != nil {
		return nil, err
	}
	if b.attributes&controls != 0 || b.count == 0 {
		return nil, nil
	}
	text := b.bytes[batchHead:]
	if compression := compress.Compression(b.attributes & codecs); compression != compress.None {
		plain, err := decompress(compression, text)
		if err != nil {
			return nil, err
		}
		text, b.opened = plain, len(plain)
	}
	records := make([]adapter.Record, 0, min(b.count, len(text)/6+1, 1000))
	for range b.count {
		r := reader{text: text}
		one := reader{text: r.octets()}
		text = r.text
		one.take(1)  // attributes
		one.varint() // time
		record := adapter.Record{Topic: at.topic, Partition: at.partition, Offset: b.first + one.varint()}
		record.Key, record.Value = one.octets(), one.octets()
		headers := one.varint()
		if r.short || one.short || headers < 0 || headers > int64(len(one.text)) {
			return nil, errBatch
		}
		if b.opened += recordOpened + int(headers)*headerOpened; b.opened > mostOpened {
			return nil, errLarge
		}
		record.Headers = make([]adapter.Header, headers)
		for i := range record.Headers {
			record.Headers[i] = adapter.Header{Key: string(one.octets()), Value: one.octets()}
		}
		if one.short {
			return nil, errBatch
		}
		if record.Offset >= from {
			records = append(records, record)
		}
	}
	return records, nil
}

// decompress gives what was compressed, unless it is more than mostOpened.
func decompress(compression compress.Compression, text []byte) (plain []byte, err error) {
	switch compression {
	case compress.Zstd:
		plain, err = decoder().DecodeAll(text, nil)
	case compress.Snappy:
		plain, err = unsnap(text)
	default:
		codec := compression.Codec()
		if codec == nil {
			return nil, fmt.Errorf("a batch of records is compressed in a way that nobody knows, %d", compression)
		}
		r := codec.NewReader(bytes.NewReader(text))
		plain, err = io.ReadAll(io.LimitReader(r, mostOpened+1))
		r.Close()
	}
	switch {
	case errors.Is(err, errLarge), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded), len(plain) > mostOpened:
		return nil, errLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBatch, err)
	}
	return plain, nil
}

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(mostOpened))
	if err != nil {
		panic("kafka: " + err.Error()) // the options are constants
	}
	return d
})

// unsnap reads snappy as Java clients write it, in blocks behind a head of 16 bytes, each
// behind its length, and as others do, in one block without.
func unsnap(text []byte) (plain []byte, err error) {
	if len(text) < 16 || !bytes.HasPrefix(text, []byte("\x82SNAPPY\x00")) {
		return unsnapBlock(nil, text)
	}
	for text = text[16:]; len(text) > 0; {
		if len(text) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(text))
		if text = text[4:]; n > int64(len(text)) {
			return nil, io.ErrUnexpectedEOF
		}
		if plain, err = unsnapBlock(plain, text[:n]); err != nil {
			return nil, err
		}
		text = text[n:]
	}
	return plain, nil
}

func unsnapBlock(plain, block []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > mostOpened-len(plain) {
		return nil, errLarge
	}
	at := len(plain)
	plain = slices.Grow(plain, n)[:at+n]
	_, err = snappy.Decode(plain[at:], block)
	return plain, err
}

// reader reads what a record is made of. When there is less than it should it is short, and
// gives nothing.
type reader struct {
	text  []byte
	short bool
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.text)
	if n <= 0 {
		r.text, r.short = nil, true
		return 0
	}
	r.text = r.text[n:]
	return v
}

func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.text)) {
		r.text, r.short = nil, true
		return nil
	}
	taken := r.text[:n:n]
	r.text = r.text[n:]
	return taken
}

// octets gives nil for none.
func (r *reader) octets() []byte {
	n := r.varint()
	if n == -1 {
		return nil
	}
	return r.take(n)
}
