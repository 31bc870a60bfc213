package adapter_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
)

// read reads the request topic of a party in a consumer group, as a provider
// with delivery: stream does, until a message has come.
func read(t *testing.T, w *adaptertest.World, group, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	topics := func() []string { return []string{w.Config.Kafka.Prefix + ".requests.REGISTRY"} }
	found := false
	err := w.Bus.Consume(ctx, group, topics, nil, func(_ context.Context, _ adapter.Partition, records []adapter.Record) error {
		for _, r := range records {
			if header(r, "message-id") == id {
				found = true
				time.AfterFunc(100*time.Millisecond, cancel) // after the commit
			}
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("%s did not come on the topic: %v", id, err)
	}
}

func header(r adapter.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

const streamNS = "urn://mezhved.test/stream/1.0"

func streamWorld(t *testing.T) *adaptertest.World {
	t.Helper()
	w := adaptertest.Start(t)
	w.Write("services/stream/1.0/service.yaml", "title: Поток\nroot: {namespace: '"+streamNS+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: MUNI\ndelivery: stream\n")
	w.Write("services/stream/1.0/s.xsd", adaptertest.Schema(streamNS))
	w.Reload()
	return w
}

// Delivery is told by the group that the provider registered, by no other, once,
// although the relay has put the record on the bus twice.
func TestStreamOfANamedGroup(t *testing.T) {
	t.Parallel()
	w := streamWorld(t)
	w.Register("REGISTRY", "group: обработка\n")
	w.Store.Break("Relay", adaptertest.DoneButFailed)
	first := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(streamNS)})).Receipt.MessageID
	second := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(streamNS)})).Receipt.MessageID
	w.Eventually("both are on the topic, the first of them twice", func() bool {
		var ids []string
		for _, r := range w.Bus.Published() {
			ids = append(ids, header(r, "message-id"))
		}
		return slices.Contains(ids, second) && len(ids) > 2
	})
	read(t, w, "REGISTRY", second) // somebody else's group
	time.Sleep(300 * time.Millisecond)
	for _, id := range []string{first, second} {
		if got := life(t, w, id); got != "accepted" {
			t.Errorf("life after another group has read: %s", got)
		}
	}
	read(t, w, "обработка", second)
	for _, id := range []string{first, second} {
		w.Eventually("the journal has the delivery", func() bool { return life(t, w, id) == "accepted delivered" })
	}
	time.Sleep(300 * time.Millisecond)
	events, err := w.Store.Trace(context.Background(), first)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == journal.KindDelivered && (e.Outcome != "stream" || e.Channel != "stream" || e.Attempt != 1 || e.Recipient != "REGISTRY" || e.Sender != "MUNI") {
			t.Errorf("delivered: %+v", e)
		}
		// What proves it: where the record stood, and how far the group had read.
		topic := w.Config.Kafka.Prefix + ".requests.REGISTRY"
		if e.Kind != journal.KindDelivered {
			continue
		}
		if s := receiptOf(t, e).Stream; s == nil || s.Group != "обработка" || s.Topic != topic || s.Committed <= s.Offset || s.Epoch == "" {
			t.Errorf("the receipt of the delivery: %+v", s)
		}
	}
	w.Check()
}

// Who can write to the bus but has no key can neither have a queued message
// taken for streamed nor a streamed one queued.
func TestStreamRecordsAreSealed(t *testing.T) {
	t.Parallel()
	w := streamWorld(t)
	id := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(streamNS)})).Receipt.MessageID
	queuedID := accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1))).Receipt.MessageID
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	w.Eventually("both are on the bus", func() bool { return len(w.Bus.Published()) >= 2 })
	for _, r := range w.Bus.Published() {
		if header(r, "mezhved-to") == "stream" {
			r = without(r, "mezhved-to")
		} else {
			r = with(r, "mezhved-to", "stream")
		}
		if err := w.Bus.Broker.Publish(context.Background(), []adapter.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	w.Eventually("the gateway has passed over them", passedOver(t, w, 2))
	if got, want := life(t, w, id), "accepted"; got != want {
		t.Errorf("the streamed one: %s, want %s", got, want)
	}
	if got, want := life(t, w, queuedID), "accepted queued"; got != want {
		t.Errorf("the queued one: %s, want %s", got, want)
	}
	read(t, w, "REGISTRY", id)
	w.Eventually("the journal has the delivery", func() bool { return life(t, w, id) == "accepted delivered" })
	w.Check()
}

// The log stands on its topic: every entry, in order, keyed by its message, and
// again at most where a crash came between; a restart goes on where it stopped.
func TestFeed(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	fed := func() (records []adapter.Record) {
		for _, r := range w.Bus.Published() {
			if r.Topic == w.Config.Kafka.Prefix+".journal" {
				records = append(records, r)
			}
		}
		return records
	}
	id, delivered := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	accepted(t, w.Party("REGISTRY").Ack(delivered.Message.Metadata.MessageID))
	w.Store.Break("Feed", adaptertest.DoneButFailed)
	w.Sequence()
	w.Eventually("the log is on the bus", func() bool { return len(fed()) >= 8 }) // four entries twice
	w.Restart()
	w.Exchange("MFC", "REGISTRY", adaptertest.Extract1)
	w.Sequence()
	next, last := 0, -1
	w.Eventually("the rest of it, too", func() bool {
		next, last = 0, -1
		for _, r := range fed() {
			i, err := strconv.Atoi(header(r, "mezhved-index"))
			if err != nil || i > last+1 && i > next {
				t.Fatalf("entry %q follows %d", header(r, "mezhved-index"), last)
			}
			last, next = i, max(next, i+1)
		}
		return next >= 7 // accepted, routed, queued and delivered of the second, too
	})
	kinds := map[string]bool{}
	for _, r := range fed() {
		var leaf struct {
			Kind      string `json:"kind"`
			Message   string `json:"message"`
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(r.Value, &leaf); err != nil {
			t.Fatal(err)
		}
		if leaf.Kind != header(r, "mezhved-kind") || leaf.Message != "" && string(r.Key) != leaf.Message {
			t.Errorf("key %s, kind %s of %s", r.Key, header(r, "mezhved-kind"), r.Value)
		}
		if leaf.MessageID == id {
			kinds[leaf.Kind] = true
		}
	}
	for _, want := range []journal.Kind{journal.KindAccepted, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged} {
		if !kinds[string(want)] {
			t.Errorf("%s of the first message is not on the bus", want)
		}
	}
	w.Check()
}
