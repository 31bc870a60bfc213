package adapter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A seal covers the topic, the key, the value and each header before it, in their
// places; nothing of a record can be changed or moved to its neighbour.
func TestASealCoversAllBeforeIt(t *testing.T) {
	one, two := newSealKeys([][]byte{bytes.Repeat([]byte{1}, 32)}), newSealKeys([][]byte{bytes.Repeat([]byte{2}, 32)})
	sealed := func(k sealKeys) Record {
		r := Record{Topic: "topic", Key: []byte("key"), Value: []byte("value"), Headers: []Header{{"a", []byte("bc")}, {"d", []byte("ef")}}}
		k.seal(&r)
		return r
	}
	// Records of before are on topics for a week, and nodes of before beside us.
	if r, want := sealed(one), "0241536c1780c9c8199a30fd3eba9c1d628198eec43aefb60346044e5c4242dfdf62f335f4"; hex.EncodeToString(r.Headers[2].Value) != want {
		t.Errorf("the seal is %x, want %s", r.Headers[2].Value, want)
	}
	for name, c := range map[string]struct {
		change func(*Record)
		want   error
	}{
		"nothing":                    {func(*Record) {}, nil},
		"a header behind the seal":   {func(r *Record) { r.Headers = append(r.Headers, Header{"x", nil}) }, nil},
		"the topic":                  {func(r *Record) { r.Topic = "topiC" }, errNotSealed},
		"the key":                    {func(r *Record) { r.Key = []byte("keY") }, errNotSealed},
		"no key":                     {func(r *Record) { r.Key = nil }, errNotSealed},
		"from topic to key":          {func(r *Record) { r.Topic, r.Key = "topi", []byte("ckey") }, errNotSealed},
		"the value":                  {func(r *Record) { r.Value = []byte("valuE") }, errNotSealed},
		"a header's name":            {func(r *Record) { r.Headers[0].Key = "A" }, errNotSealed},
		"a header's value":           {func(r *Record) { r.Headers[1].Value = []byte("eF") }, errNotSealed},
		"from name to value":         {func(r *Record) { r.Headers[0] = Header{"ab", []byte("c")} }, errNotSealed},
		"from a header to the next":  {func(r *Record) { r.Headers[0].Value, r.Headers[1].Key = []byte("b"), "cd" }, errNotSealed},
		"the order of headers":       {func(r *Record) { r.Headers[0], r.Headers[1] = r.Headers[1], r.Headers[0] }, errNotSealed},
		"a header less":              {func(r *Record) { r.Headers = slices.Delete(r.Headers, 0, 1) }, errNotSealed},
		"a header more":              {func(r *Record) { r.Headers = slices.Insert(r.Headers, 0, Header{"x", nil}) }, errNotSealed},
		"another seal before it":     {func(r *Record) { r.Headers = slices.Insert(r.Headers, 2, Header{headerSeal, nil}) }, errNotSealed},
		"the seal's form":            {func(r *Record) { r.Headers[2].Value[0] = 1 }, errNotSealed},
		"the seal's key":             {func(r *Record) { r.Headers[2].Value[1] ^= 1 }, errSealKey},
		"the seal's end":             {func(r *Record) { r.Headers[2].Value[sealSize-1] ^= 1 }, errNotSealed},
		"the seal cut":               {func(r *Record) { r.Headers[2].Value = r.Headers[2].Value[:sealSize-1] }, errNotSealed},
		"something behind the seal":  {func(r *Record) { r.Headers[2].Value = append(r.Headers[2].Value, 0) }, errNotSealed},
		"no seal":                    {func(r *Record) { r.Headers = r.Headers[:2] }, errNotSealed},
		"the seal of another key":    {func(r *Record) { *r = sealed(two) }, errSealKey},
		"another key under the name": {func(r *Record) { x := sealed(two); copy(r.Headers[2].Value[5:], x.Headers[2].Value[5:]) }, errNotSealed},
	} {
		r := sealed(one)
		c.change(&r)
		got, err := one.open(r.Topic, &r)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && len(got) != 2 {
			t.Errorf("%s: %d headers are taken, the seal covers 2", name, len(got))
		}
	}
	// The first of several keys seals, each of them opens.
	both := sealKeys{two[0], one[0]}
	for name, k := range map[string]sealKeys{"first": two, "second": one} {
		r := sealed(k)
		if _, err := both.open(r.Topic, &r); err != nil {
			t.Errorf("the %s of two keys: %v", name, err)
		}
	}
	if r := sealed(both); bytes.Equal(r.Headers[2].Value, sealed(one).Headers[2].Value) || !bytes.Equal(r.Headers[2].Value, sealed(two).Headers[2].Value) {
		t.Error("it is not the first key that seals")
	}
}

// What gateways of before sealed, and for how long that is taken.
func TestWhatASealOfBeforeCovers(t *testing.T) {
	key := bytes.Repeat([]byte{3}, 32)
	limit := time.UnixMilli(1_750_000_000_000)
	g := &Gateway{replies: replyKeys{bytes.Repeat([]byte{4}, 32), key}, rooms: Rooms{OldSeals: limit}}
	at := func(when time.Time) string {
		id := uuid.UUID{6: 0x70, 8: 0x80}
		for i := range 6 {
			id[i] = byte(when.UnixMilli() >> (40 - 8*i))
		}
		return id.String()
	}
	record := func(id string, stream bool) Record {
		r := Record{Headers: []Header{{headerID, []byte(id)}, {headerQueue, []byte("q")}, {headerOldSeal, oldSeal(key, id, []byte("q"), stream)}}}
		if stream {
			r.Headers = append(r.Headers, Header{headerStream, []byte("stream")})
		}
		return r
	}
	last, late := at(limit.Add(-time.Millisecond)), at(limit)
	for name, c := range map[string]struct {
		record Record
		covers int // headers; 0: it is not taken
	}{
		"for a queue":           {record(last, false), 2},
		"for a stream":          {record(last, true), 3},
		"accepted too late":     {record(late, false), 0},
		"a queue's as stream's": {Record{Headers: append(record(last, false).Headers, Header{headerStream, nil})}, 0},
		"a stream's as queue's": {Record{Headers: record(last, true).Headers[:3]}, 0},
		"of another message":    {Record{Headers: append([]Header{{headerID, []byte(at(limit.Add(-time.Hour)))}}, record(last, false).Headers[1:]...)}, 0},
		"for another queue":     {Record{Headers: []Header{record(last, false).Headers[0], {headerQueue, []byte("p")}, record(last, false).Headers[2]}}, 0},
		"no seal":               {Record{Headers: record(last, false).Headers[:2]}, 0},
		"no message":            {Record{Headers: record(last, false).Headers[1:]}, 0},
	} {
		got, err := g.openOld(&c.record)
		if len(got) != c.covers || (err == nil) != (c.covers > 0) {
			t.Errorf("%s: %d headers, %v, want %d", name, len(got), err, c.covers)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	keys := newSealKeys([][]byte{bytes.Repeat([]byte{1}, 32)})
	r := Record{Topic: "mezhved.requests.fns", Key: []byte("FNS/requests"), Value: make([]byte, 2000)}
	for _, h := range []string{headerID, headerQueue, headerMessage, "sender", "recipient", "service", "wire"} {
		r.Headers = append(r.Headers, Header{h, []byte("5f1c6c2e-cd1d-11f0-8de9-0242ac120002")})
	}
	bare := r.Headers[:len(r.Headers):len(r.Headers)]
	b.ReportAllocs()
	for b.Loop() {
		r.Headers = bare
		keys.seal(&r)
		if _, err := keys.open(r.Topic, &r); err != nil {
			b.Fatal(err)
		}
	}
}
