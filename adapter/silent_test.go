package adapter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// While the leader of one topic is silent, what goes to others in the same batch gets to its
// queue, and is put on the bus once. The rest comes when it answers, in the order of its
// acceptance.
func TestALeaderThatIsSilentHoldsUpItsOwn(t *testing.T) {
	t.Parallel()
	node := nodeBesideRequests()
	w := adaptertest.Start(t)
	ask := func() string {
		return accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Node: node})).Receipt.MessageID
	}
	ids := []string{ask()}
	got := w.Party("REGISTRY").Await(envelopes.GetRequest, "")
	w.Bus.Always("Publish", adaptertest.Failed) // so that all of it is one batch
	for range 3 {
		ids = append(ids, ask())
	}
	accepted(t, w.Party("REGISTRY").Reply(got.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	w.Bus.Silence(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
	w.Bus.Always("Publish", 0)
	w.Party("MUNI").Await(envelopes.GetResponse, node)
	waiting(w, 3)
	w.Bus.Silence(nil)
	queued(t, w, "REGISTRY", adapter.QueueRequests, 4)
	times := map[string]int{}
	for _, r := range w.Bus.Published() {
		times[header(r, "message-id")]++
	}
	for id, n := range times {
		if id != "" && n != 1 {
			t.Errorf("%s was put on the bus %d times", id, n)
		}
	}
	routed := map[string]int{}
	var order []string
	for _, row := range w.Entries() {
		if l := row.Leaf; l.Kind == journal.KindRouted {
			if routed[l.MessageID]++; slices.Contains(ids, l.MessageID) {
				order = append(order, l.MessageID)
			}
		}
	}
	if len(routed) != 5 || !slices.Equal(order, ids) {
		t.Errorf("routed are %v, of the requests %v, want %v", routed, order, ids)
	}
}

// More messages than the relay takes at once are for a topic that takes nothing: answers of
// the same shard do not wait for them, and neither is lost.
func TestATopicThatTakesNothingHoldsUpItsOwn(t *testing.T) {
	t.Parallel()
	node := nodeBesideRequests()
	w := adaptertest.Start(t)
	ask := func() {
		accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Node: node}))
	}
	const more = adapter.RelayBatch + 1
	for range 3 {
		ask()
	}
	var to []string
	for range 3 {
		got := w.Party("REGISTRY").Await(envelopes.GetRequest, "")
		w.Party("REGISTRY").Ack(got.Message.Metadata.MessageID)
		to = append(to, got.Message.ReplyTo)
	}
	w.Bus.Silence(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
	for range more {
		ask()
	}
	for _, reply := range to {
		accepted(t, w.Party("REGISTRY").Reply(reply, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	}
	queued(t, w, "MUNI", adapter.QueueResponses, len(to))
	waiting(w, more)
	w.Bus.Silence(nil)
	queued(t, w, "REGISTRY", adapter.QueueRequests, more)
}

// What the bus refuses waits where the topic of dead letters takes no note of it: answers of the
// same batch do not, and go once. When it takes notes, the sender is told.
func TestDeadLettersThatWaitHoldUpTheirOwn(t *testing.T) {
	t.Parallel()
	node := nodeBesideRequests()
	w := adaptertest.Start(t)
	ask := func() string {
		return accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Node: node})).Receipt.MessageID
	}
	ask()
	got := w.Party("REGISTRY").Await(envelopes.GetRequest, "")
	w.Party("REGISTRY").Ack(got.Message.Metadata.MessageID)
	w.Bus.Always("Publish", adaptertest.Failed) // so that all of it is one batch
	refused := []string{ask(), ask()}
	accepted(t, w.Party("REGISTRY").Reply(got.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	w.Bus.Reject(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
	w.Bus.Silence(func(r adapter.Record) bool { return strings.HasSuffix(r.Topic, ".dead") })
	w.Bus.Always("Publish", 0)
	queued(t, w, "MUNI", adapter.QueueResponses, 1)
	waiting(w, len(refused))
	w.Bus.Silence(nil)
	queued(t, w, "MUNI", adapter.QueueResponses, 1+len(refused))
	for _, id := range refused {
		w.Eventually("its sender is told", func() bool { return life(t, w, id) == "accepted answered dead" })
	}
	answers := 0
	for _, r := range w.Bus.Published() {
		if header(r, "direction") == string(adapter.DirResponse) {
			answers++
		}
	}
	if answers != 1 {
		t.Errorf("the answer was put on the bus %d times", answers)
	}
	w.Check()
}

// waiting waits until so many messages wait for the bus. The intake may have brought the others
// to their queue before the relay has committed them.
func waiting(w *adaptertest.World, n int) {
	w.Eventually(fmt.Sprint(n, " messages wait for the bus"), func() bool { return w.Number("SELECT count(*) FROM outbox") == int64(n) })
}

// nodeBesideRequests is a node of a consumer whose answers are in the shard of the
// registry's requests.
func nodeBesideRequests() (node string) {
	shard := adapter.ShardOf(adapter.Queue{System: "REGISTRY", Kind: adapter.QueueRequests})
	for n := 0; adapter.ShardOf(adapter.Queue{System: "MUNI", Kind: adapter.QueueResponses, Node: node}) != shard; n++ {
		node = fmt.Sprint("node-", n)
	}
	return node
}
