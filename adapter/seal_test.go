package adapter_test

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
)

// with is a record with a header changed, or put before the seal where it had none.
func with(r adapter.Record, key, value string) adapter.Record {
	r.Headers = slices.Clone(r.Headers)
	for i, h := range r.Headers {
		if h.Key == key {
			r.Headers[i].Value = []byte(value)
			return r
		}
	}
	r.Headers = slices.Insert(r.Headers, 0, adapter.Header{Key: key, Value: []byte(value)})
	return r
}

func without(r adapter.Record, key string) adapter.Record {
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h adapter.Header) bool { return h.Key == key })
	return r
}

// A lie is an event that would have the journal say what never happened.
const lie = `{"sender":"MFC","recipient":"MFC","service":"news","version":"9.9","messageId":"0a0f8f5c-0000-11f0-8000-00000000dead","message":"0197b3a0-0000-7000-8000-000000000000"}`

// hold sends a request whose record the bus keeps to itself, and gives both.
func hold(t *testing.T, w *adaptertest.World) (id string, held adapter.Record) {
	t.Helper()
	w.Bus.Withhold(func(adapter.Record) bool { return true })
	id = accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1))).Receipt.MessageID
	w.Eventually("the relay has published it", func() bool {
		published := w.Bus.Published()
		i := slices.IndexFunc(published, func(r adapter.Record) bool { return header(r, "message-id") == id })
		if i >= 0 {
			held = published[i]
		}
		return i >= 0
	})
	w.Bus.Withhold(nil)
	return id, held
}

// put writes records to the bus as anybody might who can.
func put(t *testing.T, w *adaptertest.World, records ...adapter.Record) {
	t.Helper()
	if err := w.Bus.Broker.Publish(context.Background(), records); err != nil {
		t.Fatal(err)
	}
}

// passedOver asks whether the gateway, since its start, has passed over n records.
func passedOver(t *testing.T, w *adaptertest.World, n int) func() bool {
	return func() bool {
		resp, err := w.HTTP.Get(w.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^mezhved_foreign_records_total (\d+)$`).FindSubmatch(body)
		return m != nil && string(m[1]) == strconv.Itoa(n)
	}
}

// byIntake has the intake put into queues what has gone to the bus, as it does with what
// gateways of before have relayed.
var byIntake = adaptertest.WithConfig(func(c *adapter.Config) { c.Kafka.Fills = adapter.FillsIntake })

// Who can write to the bus has a record that a gateway sealed, and changes it or
// puts it elsewhere. It fills no queue, the journal hears nothing of it, and
// nothing stops: the record as it was is queued behind all of them.
func TestSealedRecordsCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, byIntake)
	id, r := hold(t, w)
	otherID, other := hold(t, w)
	requests := w.Config.Kafka.Prefix + ".requests."

	elsewhere := r
	elsewhere.Topic = requests + "MFC"
	value := r
	value.Value = bytes.Clone(r.Value)
	value.Value[len(value.Value)/2] ^= 1
	key := r
	key.Key = []byte("delivery.MFC._REQUEST_")
	toMFC := with(r, "mezhved-queue", `{"System":"MFC","Kind":"request","Node":""}`)
	moved := toMFC
	moved.Topic = requests + "MFC"
	attacks := []adapter.Record{
		with(r, "mezhved-event", lie),
		with(r, "mezhved-id", header(other, "mezhved-id")), // another message
		with(r, "message-id", otherID),
		with(r, "sender", "MFC"),
		with(r, "service", "news"),
		with(r, "recipient", "MFC"),
		with(r, "reply-to", "somewhere else"),
		with(r, "mezhved-to", "stream"), // taken for read where it stands
		with(r, "mezhved-body", "store"),
		with(r, "mezhved-body", "sealed"),
		with(r, "mezhved-kept", header(other, "mezhved-kept")+"\x00"), // read as it is not kept
		without(r, "mezhved-kept"),
		without(r, "service"),
		toMFC, moved, elsewhere, value, key,
		with(r, "mezhved-seal-2", header(other, "mezhved-seal-2")),
		with(r, "mezhved-seal-2", header(r, "mezhved-seal-2")[:16]),
		without(r, "mezhved-seal-2"),
		with(without(r, "mezhved-seal-2"), "mezhved-seal", "0123456789abcdef"), // of before
		{Topic: r.Topic, Key: r.Key, Value: r.Value},
	}
	put(t, w, attacks...)
	w.Eventually("all of them are passed over", passedOver(t, w, len(attacks)))
	for _, m := range []string{id, otherID} {
		if got, want := life(t, w, m), "accepted"; got != want {
			t.Errorf("life of %s: %s, want %s", m, got, want)
		}
	}

	// What is added behind the seal is not read.
	r.Headers = append(slices.Clone(r.Headers), adapter.Header{Key: "mezhved-to", Value: []byte("stream")}, adapter.Header{Key: "mezhved-event", Value: []byte(lie)})
	put(t, w, r, other)
	queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
	truth(t, w, id)
	w.Check()
}

// truth holds that the journal tells of the queueing what is so.
func truth(t *testing.T, w *adaptertest.World, id string) {
	t.Helper()
	events, err := w.Store.Trace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range events {
		if e.Kind != journal.KindQueued || e.MessageID != id {
			continue
		}
		found++
		if e.Sender != "MUNI" || e.Recipient != "REGISTRY" || e.Service != "extract" || e.Version != "1.0" || e.Node != "test" || e.Outcome != "ok" || e.Direction != "request" {
			t.Errorf("the journal says %+v", e)
		}
	}
	if found != 1 {
		t.Errorf("%s was queued %d times, want once", id, found)
	}
}

// While gateways of before are at work, records bear their seal too, and what
// they write is taken. That seal leaves the event open, so the journal does not
// take it from there; later it is not taken at all.
func TestSealsOfBefore(t *testing.T) {
	t.Parallel()
	var until atomic.Pointer[time.Time]
	w := adaptertest.Start(t, byIntake, adaptertest.WithRooms(func(r *adapter.Rooms) {
		if at := until.Load(); at != nil {
			r.OldSeals = *at
		} else {
			r.OldSeals = time.Now().Add(time.Hour)
		}
	}))
	id, r := hold(t, w)
	lateID, late := hold(t, w)
	if header(r, "mezhved-event") == "" {
		t.Error("a gateway of before would pass over the record: it has no event")
	}
	ofBefore := with(without(r, "mezhved-seal-2"), "mezhved-event", lie)
	put(t, w,
		with(ofBefore, "mezhved-queue", `{"System":"MFC","Kind":"request","Node":""}`),
		with(ofBefore, "mezhved-to", "stream"),
		with(ofBefore, "mezhved-id", header(late, "mezhved-id")))
	w.Eventually("what its seal covers is not to be changed", passedOver(t, w, 3))
	elsewhere := ofBefore
	elsewhere.Topic = w.Config.Kafka.Prefix + ".requests.MFC"
	put(t, w, elsewhere)
	w.Eventually("it belongs on its topic", passedOver(t, w, 4))
	put(t, w, ofBefore)
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	truth(t, w, id)

	at := time.Now().Add(-time.Hour)
	until.Store(&at)
	w.Restart()
	put(t, w, without(late, "mezhved-seal-2"))
	w.Eventually("a message of today needs a seal of today", passedOver(t, w, 1))
	_, next := hold(t, w)
	if header(next, "mezhved-seal") != "" || header(next, "mezhved-event") != "" {
		t.Error("the seal of before is still written")
	}
	put(t, w, late, next)
	queued(t, w, "REGISTRY", adapter.QueueRequests, 3)
	truth(t, w, lateID)
	w.Check()
}

// Keys of seals are changed one node after another. A node that does not have the
// key of a record that is awaited waits for it, and loses nothing; who makes a key
// up stops nothing.
func TestKeysOfSealsAreChanged(t *testing.T) {
	t.Parallel()
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	var keys atomic.Pointer[[][]byte]
	use := func(k ...[]byte) { keys.Store(&k) }
	use(second, first)
	w := adaptertest.Start(t, byIntake, adaptertest.WithRooms(func(r *adapter.Rooms) { r.SealKeys = *keys.Load() }))
	id, r := hold(t, w)

	use(first)
	w.Restart()
	madeUp := with(r, "mezhved-id", "0197b3a0-0000-7000-8000-000000000000")
	put(t, w, madeUp)
	w.Eventually("a made-up one is passed over", passedOver(t, w, 1))
	firstID, ofFirst := hold(t, w)
	put(t, w, r, ofFirst)
	w.Eventually("the node says which key it needs", func() bool {
		return strings.Contains(w.Log.String(), "sealed with a key that this node does not have: give kafka.sealKeys")
	})
	if got, want := life(t, w, id), "accepted"; got != want {
		t.Errorf("life: %s, want %s", got, want)
	}
	use(first, second)
	w.Restart()
	queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
	truth(t, w, id)
	truth(t, w, firstID)
	w.Check()
}
