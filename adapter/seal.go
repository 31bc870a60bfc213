package adapter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A seal is the last header that a gateway puts on a record: nobody else can make
// a record that fills a queue, and nobody can change one or put it on another
// topic. It covers the topic, the key, the value and every header before it, so
// nothing of a record is used that is not sealed: what somebody on the way adds
// behind the seal is not read. Its form is
//
//	1 byte    sealForm
//	4 bytes   the key's id, so that keys can be changed one node after another
//	32 bytes  HMAC-SHA256 over "mezhved record 2", NUL, and then topic, key,
//	          SHA-256 of the value, and name and value of each header, each
//	          behind its length as a varint
//
// What a seal does not say is that the record is new or where it stood: records
// can be repeated, and the store knows what it has queued. Nor does it prove
// anything to those who read the topics beside us: to them the sender's signature
// in the value does.
const (
	sealForm = 2
	sealSize = 1 + 4 + sha256.Size
)

// sealKeys make and check seals: the first makes, all check.
type sealKeys []sealKey

// sealKey is a key with what is worked out of it once: its id, and hashes that have read
// it, which is most of what a seal over some hundred bytes costs.
type sealKey struct {
	id   []byte
	macs *sync.Pool // of *sealMAC
}

// sealMAC is a hash that has read a key, and room for what it is to read.
type sealMAC struct {
	hash.Hash
	text []byte
}

func newSealKeys(keys [][]byte) sealKeys {
	out := make(sealKeys, len(keys))
	for i, key := range keys {
		out[i] = sealKey{sealKeyID(key), &sync.Pool{New: func() any { return &sealMAC{Hash: hmac.New(sha256.New, key)} }}}
	}
	return out
}

// LoadSealKeys reads the keys of seals. Without files they are made from those of
// reply addresses, in the same order.
func (c Config) LoadSealKeys(replies [][]byte) ([][]byte, error) {
	if len(c.Kafka.SealKeys) > 0 {
		return readKeys("seal key", c.Kafka.SealKeys)
	}
	keys := make([][]byte, len(replies))
	for i := range replies {
		keys[i] = replyKeys(replies).derived(i, "record seal")
	}
	return keys, nil
}

func sealKeyID(key []byte) []byte {
	h := sha256.New()
	h.Write([]byte("mezhved seal key\x00"))
	h.Write(key)
	return h.Sum(nil)[:4]
}

// mac is over what stands in a record before the n-th header.
func (k sealKey) mac(topic string, r *Record, n int) []byte {
	h := k.macs.Get().(*sealMAC)
	defer k.macs.Put(h)
	h.Reset()
	digest := sha256.Sum256(r.Value)
	text := append(h.text[:0], "mezhved record 2\x00"...)
	text = appendField(text, topic)
	text = appendField(text, r.Key)
	text = appendField(text, digest[:])
	for _, x := range r.Headers[:n] {
		text = appendField(text, x.Key)
		text = appendField(text, x.Value)
	}
	h.Write(text)
	h.text = text
	return h.Sum(nil)
}

func appendField[T string | []byte](text []byte, field T) []byte {
	return append(binary.AppendUvarint(text, uint64(len(field))), field...)
}

// seal puts the seal on a finished record.
func (k sealKeys) seal(r *Record) {
	s := append(make([]byte, 0, sealSize), sealForm)
	s = append(s, k[0].id...)
	s = append(s, k[0].mac(r.Topic, r, len(r.Headers))...)
	r.Headers = append(r.Headers, Header{headerSeal, s})
}

var (
	errNotSealed = errors.New("the seal is missing or wrong")
	// errSealKey is also what somebody writes who wants us to look for a key.
	errSealKey = errors.New("it is sealed with a key that this node does not have: give kafka.sealKeys (or replyTo.keys) of all nodes the same keys")
)

// open gives the headers that the seal covers.
func (k sealKeys) open(topic string, r *Record) ([]Header, error) {
	n := slices.IndexFunc(r.Headers, func(h Header) bool { return h.Key == headerSeal })
	if n < 0 {
		return nil, errNotSealed
	}
	s := r.Headers[n].Value
	if len(s) != sealSize || s[0] != sealForm {
		return nil, errNotSealed
	}
	known := false
	for _, key := range k {
		if !hmac.Equal(s[1:5], key.id) {
			continue
		}
		known = true
		if hmac.Equal(s[5:], key.mac(topic, r, n)) {
			return r.Headers[:n], nil
		}
	}
	if !known {
		return r.Headers[:n], errSealKey
	}
	return nil, errNotSealed
}

// Gateways of before sealed with a key of reply addresses, and only the id, the
// queue and whether a queue is filled. Nothing else of such a record is used, and
// what the journal hears of it is the store's, so whoever takes a seal of today
// off a record to have it read like one of before gains nothing. It is taken for
// messages that were accepted before Rooms.OldSeals, and until then written too,
// for the nodes that are still of before.

// oldSeal is the seal of before.
func oldSeal(key []byte, id string, queue []byte, stream bool) []byte {
	h := hmac.New(sha256.New, key)
	what := "mezhved record 1"
	if stream {
		what = "mezhved stream 1"
	}
	fmt.Fprintf(h, "%s\x00%s\x00", what, id)
	h.Write(queue)
	return h.Sum(nil)[:16]
}

// openOld gives what a seal of before covers, as headers.
func (g *Gateway) openOld(r *Record) ([]Header, error) {
	var id, queue, seal []byte
	stream := false
	for _, h := range r.Headers {
		switch h.Key {
		case headerID:
			id = h.Value
		case headerQueue:
			queue = h.Value
		case headerOldSeal:
			seal = h.Value
		case headerStream:
			stream = true
		}
	}
	u, err := uuid.ParseBytes(id)
	if err != nil || len(seal) == 0 || !acceptedAt(u).Before(g.rooms.OldSeals) {
		return nil, errNotSealed
	}
	for _, key := range g.replies {
		if !hmac.Equal(seal, oldSeal(key, string(id), queue, stream)) {
			continue
		}
		covered := []Header{{headerID, id}, {headerQueue, queue}}
		if stream {
			covered = append(covered, Header{headerStream, []byte("stream")})
		}
		return covered, nil
	}
	return nil, errNotSealed
}

// acceptedAt is the time in an id of ours (a UUIDv7).
func acceptedAt(id uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// SealedHeaders gives the headers of a record that a gateway with one of the keys put on
// that topic, for who looks through topics after a disaster; an error says that none did.
func SealedHeaders(keys [][]byte, topic string, r *Record) (map[string]string, error) {
	covered, err := newSealKeys(keys).open(topic, r)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(covered))
	for _, h := range covered {
		out[h.Key] = string(h.Value)
	}
	return out, nil
}
