package adapter_test

import (
	"hash/fnv"
	"io"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// A bus of many parties has few topics: who polls shares them, and who reads the bus
// itself does not. A queue keeps its order.
func TestSharedTopics(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Kafka.Shared = 3 }))
	prefix := w.Config.Kafka.Prefix
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	var sent []string
	for range 5 {
		sent = append(sent, accepted(t, muni.Send(request(adaptertest.Extract1))).Receipt.MessageID)
	}
	for i, id := range sent {
		m := take(t, registry, envelopes.GetRequest, "")
		if m.Metadata.MessageID != id {
			t.Errorf("message %d of the queue is %s, want %s", i, m.Metadata.MessageID, id)
		}
		accepted(t, registry.Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
		take(t, muni, envelopes.GetResponse, "")
	}
	on := map[string]int{}
	for _, r := range w.Bus.Published() {
		on[r.Topic]++
	}
	if on[prefix+".requests"] != 5 || on[prefix+".responses"] != 5 {
		t.Errorf("records by topic: %v", on)
	}
	if extents, err := w.Bus.Extents(t.Context(), prefix+".requests"); err != nil || len(extents) != 3 {
		t.Errorf("the topic has the partitions %v, %v", extents, err)
	}

	w.Write("services/stream/1.0/service.yaml", "title: Поток\nroot: {namespace: '"+streamNS+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: MUNI\ndelivery: stream\n")
	w.Write("services/stream/1.0/s.xsd", adaptertest.Schema(streamNS))
	w.Reload()
	w.Eventually("the stream's topic is made", func() bool {
		extents, err := w.Bus.Extents(t.Context(), prefix+".requests.REGISTRY")
		return err == nil && len(extents) > 0
	})
	id := accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(streamNS)})).Receipt.MessageID
	read(t, w, "REGISTRY", id)
	w.Check()
}

// The layout changes, either way, while records are on the bus that no queue has:
// they come to their queues.
func TestTheLayoutOfTopicsChanges(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, byIntake)
	for _, shared := range []int{2, 0} {
		w.Store.Always("Enqueue", adaptertest.Failed)
		for range 3 {
			accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
		}
		w.Eventually("they are on the bus", func() bool { return w.Number("SELECT count(*) FROM relayed") == 3 })
		w.LayOut(shared)
		w.Store.Always("Enqueue", 0)
		for range 3 {
			take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")
		}
	}
	w.Check()
}

// The shard of a queue is the same on all nodes, older ones too: an FNV-1a hash of its names.
func TestShardOfQueue(t *testing.T) {
	t.Parallel()
	for _, q := range []adapter.Queue{{}, {System: "MUNI", Kind: adapter.QueueRequests}, {System: "МФЦ", Kind: adapter.QueueResponses, Node: "n1"}, {System: "A", Node: "\x00"}} {
		h := fnv.New32a()
		io.WriteString(h, string(q.System)+"\x00"+string(q.Kind)+"\x00"+q.Node)
		if got, want := adapter.ShardOf(q), int(h.Sum32()%adapter.Shards); got != want {
			t.Errorf("%+v: shard %d, want %d", q, got, want)
		}
	}
}
