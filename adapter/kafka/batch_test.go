package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mezhved/adapter"
)

func someRecords(dense bool) []adapter.Record {
	return []adapter.Record{
		{Key: []byte("k"), Value: []byte(strings.Repeat("value ", 100)), Headers: []adapter.Header{{Key: "n", Value: []byte("1")}, {Key: "", Value: []byte{}}, {Key: "none"}}, Dense: dense},
		{Value: []byte{}, Headers: []adapter.Header{}, Dense: dense},
		{Key: []byte{}, Headers: []adapter.Header{}, Dense: dense},
		{Key: bytes.Repeat([]byte("long"), 5000), Value: bytes.Repeat([]byte{0}, 100_000), Headers: []adapter.Header{}, Dense: dense},
	}
}

// What is written is what others read, to the byte: the head as kmsg has it, the records as
// kafka-go has them, and both as we do.
func TestBatchIsWhatOthersRead(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	for _, dense := range []bool{false, true} {
		in := someRecords(dense)
		set, _ := appendBatch([]byte("before"), in, []int{0, 1, 3, 2}, now)
		set = set[len("before"):]
		var head kmsg.RecordBatch
		if err := head.ReadFrom(set); err != nil {
			t.Fatal(err)
		}
		if head.Magic != 2 || head.NumRecords != 4 || head.LastOffsetDelta != 3 || head.FirstTimestamp != now.UnixMilli() || head.MaxTimestamp != now.UnixMilli() || head.ProducerID != -1 || head.ProducerEpoch != -1 || head.FirstSequence != -1 || (head.Attributes&7 == 0) != dense {
			t.Errorf("the head is %+v", head)
		}
		var theirs protocol.RecordSet
		if _, err := theirs.ReadFrom(bytes.NewReader(append([]byte{byte(len(set) >> 24), byte(len(set) >> 16), byte(len(set) >> 8), byte(len(set))}, set...))); err != nil {
			t.Fatal(err)
		}
		b, rest, ok, err := nextBatch(set)
		if err != nil || !ok || len(rest) > 0 {
			t.Fatalf("batch: %v, %v, and %d bytes more", ok, err, len(rest))
		}
		ours, err := b.records(place{"t", 3}, 1)
		if err != nil || len(ours) != 3 {
			t.Fatalf("%d records from the second one on, %v", len(ours), err)
		}
		if ours, err = b.records(place{"t", 3}, 0); err != nil {
			t.Fatal(err)
		}
		for i, of := range []int{0, 1, 3, 2} {
			r, err := theirs.Records.ReadRecord()
			if err != nil {
				t.Fatal(err)
			}
			want := in[of]
			var key, value []byte
			if r.Key != nil {
				key, _ = protocol.ReadAll(r.Key)
			}
			if r.Value != nil {
				value, _ = protocol.ReadAll(r.Value)
			}
			if !bytes.Equal(key, want.Key) || !bytes.Equal(value, want.Value) || (r.Key == nil) != (want.Key == nil) || (r.Value == nil) != (want.Value == nil) || len(r.Headers) != len(want.Headers) || r.Offset != int64(i) || !r.Time.Equal(now) {
				t.Errorf("kafka-go reads record %d as %+v", of, r)
			}
			for n, h := range r.Headers {
				if h.Key != want.Headers[n].Key || !bytes.Equal(h.Value, want.Headers[n].Value) {
					t.Errorf("kafka-go reads header %d as %+v", n, h)
				}
			}
			want.Topic, want.Partition, want.Offset, want.Dense = "t", 3, int64(i), false
			if !reflect.DeepEqual(ours[i], want) {
				t.Errorf("we read record %d as %+v, want %+v", of, ours[i], want)
			}
		}
	}
}

// What has been changed on its way, or cut off, is not read as records.
func TestBatchThatIsNotWhole(t *testing.T) {
	set, _ := appendBatch(nil, someRecords(true), []int{0, 1, 2}, time.Now())
	single, _ := appendBatch(nil, someRecords(true), []int{0}, time.Now())
	for _, set := range [][]byte{set, single} {
		for at := range set {
			if at < 8 || at >= 12 && at < 16 { // what the broker fills in
				continue
			}
			for bit := range 8 {
				changed := bytes.Clone(set)
				changed[at] ^= 1 << bit
				if at == 16 && changed[at] > batchForm { // a newer form is read as this one
					continue
				}
				b, _, ok, err := nextBatch(changed)
				if err == nil && ok {
					_, err = b.records(place{}, 0)
				}
				if ok && err == nil {
					t.Fatalf("bit %d of byte %d was changed, and nobody noticed", bit, at)
				}
			}
		}
	}
	for n := range len(set) - 1 {
		if _, _, ok, err := nextBatch(set[:n]); ok || err != nil {
			t.Fatalf("of %d bytes %d are a batch: %v, %v", len(set), n, ok, err)
		}
	}
}

// A batch that a broker has taken, and that grows a thousand times when it is opened, or whose
// records are many and of nothing, is not opened any further than a gateway's own could be.
func TestBatchThatGrows(t *testing.T) {
	zeros := make([]byte, 2*mostOpened)
	sets := map[string][]byte{
		"records of nothing":              batchOf(0, appendRecords(nil, make([]adapter.Record, 1e6), upTo(1e6)), 1e6),
		"headers of nothing":              batchOf(0, appendRecords(nil, []adapter.Record{{Headers: make([]adapter.Header, 1e6)}}, upTo(1)), 1),
		"a length that is not so, snappy": batchOf(uint16(compress.Snappy), []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x07\xff\xff\xff\xff\x0f\x00\x00"), 1),
	}
	for _, c := range []compress.Compression{compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		var text bytes.Buffer
		w := c.Codec().NewWriter(&text)
		w.Write(appendRecords(nil, []adapter.Record{{Value: zeros}}, upTo(1)))
		w.Close()
		sets[c.String()] = batchOf(uint16(c), text.Bytes(), 1)
	}
	for what, set := range sets {
		b, _, ok, err := nextBatch(set)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", what, ok, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		records, err := b.records(place{}, 0)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errLarge) {
			t.Errorf("%s: %d records, %v", what, len(records), err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 8*mostOpened {
			t.Errorf("%s: %d bytes grow to %d", what, len(set), took)
		}
	}
}

// Of what was cut off no more is read than was there.
func TestSnappyThatIsNotWhole(t *testing.T) {
	var text bytes.Buffer
	w := compress.Snappy.Codec().NewWriter(&text)
	w.Write(appendRecords(nil, someRecords(false), upTo(4)))
	w.Close()
	whole := text.Bytes()
	all, err := unsnap(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if plain, err := unsnap(whole[:n]); err == nil && (len(plain) >= len(all) || !bytes.HasPrefix(all, plain)) {
			t.Fatalf("%d of %d bytes are read as %d", n, len(whole), len(plain))
		}
	}
}

// What nobody can read goes up to what is behind it, whatever its own head says of it.
func TestHoleEndsWhereTheNextBatchBegins(t *testing.T) {
	numbered := func(first int64, n int) []byte {
		b, _ := appendBatch(nil, someRecords(true), upTo(n), time.Now())
		binary.BigEndian.PutUint64(b, uint64(first))
		return b
	}
	for name, damage := range map[string]func(bad, behind []byte){
		"far":      func(bad, _ []byte) { binary.BigEndian.PutUint32(bad[23:], 500) },
		"short":    func(bad, _ []byte) { binary.BigEndian.PutUint32(bad[23:], 0) },
		"no head":  func(bad, _ []byte) { binary.BigEndian.PutUint32(bad[23:], 1<<31) },
		"old form": func(bad, _ []byte) { bad[16] = 0 },
		"control":  func(bad, _ []byte) { bad[22] |= controls },
		"both":     func(bad, behind []byte) { bad[70]++; behind[70]++ },
	} {
		bad, behind := numbered(10, 3), numbered(13, 1)
		damage(bad, behind)
		room := mostHeld
		part, err := open(&cursor{next: 10}, &kmsg.FetchResponseTopicPartition{RecordBatches: append(bad, behind...), HighWatermark: 1000}, &room, func(*batch) bool { return false }, func(error) {})
		if h := (*hole)(nil); !errors.As(err, &h) || h.first != 10 || h.last != 12 || part.next != 10 {
			t.Errorf("%s: %+v, %+v; want a hole from 10 to 12", name, part, err)
		}
	}
}

// batchOf is a batch of what may be anything.
func batchOf(attributes uint16, text []byte, n int) []byte {
	b, _ := appendBatch(nil, nil, nil, time.UnixMilli(0))
	b = append(b[:batchHead], text...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batchLength))
	binary.BigEndian.PutUint16(b[21:], attributes)
	binary.BigEndian.PutUint32(b[23:], uint32(n-1))
	binary.BigEndian.PutUint32(b[57:], uint32(n))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[crcFrom:], castagnoli))
	return b
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// FuzzBatch reads what anybody may have put on the bus. What comes of it is written as it
// was read.
func FuzzBatch(f *testing.F) {
	for _, dense := range []bool{true, false} {
		set, _ := appendBatch(nil, someRecords(dense), []int{0, 1, 2}, time.UnixMilli(0))
		f.Add(set)
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		for {
			b, rest, ok, err := nextBatch(set)
			if err != nil || !ok {
				return
			}
			if len(rest) >= len(set) {
				t.Fatal("a batch of nothing")
			}
			set = rest
			records, err := b.records(place{}, 0)
			if err != nil || len(records) == 0 {
				continue
			}
			indexes := make([]int, len(records))
			for i := range records {
				indexes[i], records[i].Offset, records[i].Dense = i, int64(i), true
			}
			again, _ := appendBatch(nil, records, indexes, time.Now())
			b, _, _, _ = nextBatch(again)
			read, err := b.records(place{}, 0)
			for i := range records {
				records[i].Dense = false
			}
			if err != nil || !reflect.DeepEqual(read, records) {
				t.Fatalf("%s\nis read again as\n%s, %v", fmt.Sprint(records), fmt.Sprint(read), err)
			}
		}
	})
}

// BenchmarkAppendBatch is what the relay's records and the journal's entries take to be made
// a batch of.
func BenchmarkAppendBatch(b *testing.B) {
	for _, dense := range []bool{true, false} {
		b.Run(fmt.Sprintf("dense=%v", dense), func(b *testing.B) {
			records, indexes := make([]adapter.Record, 64), make([]int, 64)
			for i := range records {
				records[i] = adapter.Record{Key: []byte("delivery.REGISTRY._REQUEST_"), Value: bytes.Repeat([]byte("0123456789abcdef"), 64), Dense: dense}
				for n := range 14 {
					records[i].Headers = append(records[i].Headers, adapter.Header{Key: fmt.Sprintf("header-%d", n), Value: bytes.Repeat([]byte("v"), 20)})
				}
				indexes[i] = i
			}
			var into []byte
			b.ReportAllocs()
			for b.Loop() {
				into, _ = appendBatch(into[:0], records, indexes, time.Now())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/record")
		})
	}
}
