package adapter_test

import (
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// With limits.wait a party is told to send fewer requests while the bus does not take
// what was accepted, and to send them again later; answers pass. What is refused is
// counted in the journal.
func TestRequestsArePaced(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Wait = yamlfile.Period(2 * time.Second) }))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	w.Store.Always("Relay", adaptertest.Failed)
	var held adaptertest.Answered
	w.Eventually("a request is held back", func() bool {
		held = muni.Send(request(adaptertest.Extract1))
		return held.Fault != nil
	})
	if held.Status != 429 || held.Header.Get("Retry-After") == "" || held.Fault.Kind != envelopes.SMEVFailure {
		t.Errorf("held back with %d, Retry-After %q, %v", held.Status, held.Header.Get("Retry-After"), held.Fault)
	}
	accepted(t, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	w.Store.Always("Relay", 0)
	for range 3 {
		w.Eventually("requests are taken again", func() bool { return muni.Send(request(adaptertest.Extract1)).Fault == nil })
	}
	w.Eventually("the journal counts what was refused", func() bool { return w.Store.Calls("Record") > 0 })
	w.Check()
}

// A party that repeats what was accepted, as one does who was told to send fewer, is
// given its receipt, and the journal does not tell of it as refused.
func TestRepeatsAreNotPaced(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Wait = yamlfile.Period(2 * time.Second) }))
	muni := w.Party("MUNI")
	kind, again, id := muni.BuildRequest(request(adaptertest.Extract1))
	send := func() string { return accepted(t, muni.Post("/ws", kind, again)).Receipt.MessageID }
	send()
	w.Store.Always("Relay", adaptertest.Failed)
	held := int64(0)
	w.Eventually("a request is held back", func() bool {
		if muni.Send(request(adaptertest.Extract1)).Fault != nil {
			held++
		}
		return held > 0
	})
	for range 50 {
		if got := send(); got != id {
			t.Fatalf("the receipt is of %s, want %s", got, id)
		}
	}
	w.Store.Always("Relay", 0)
	w.Stop() // the summary is written
	counted := int64(0)
	for _, e := range w.Entries() {
		if e.Leaf.Rule == "pace" {
			counted += int64(e.Leaf.Count)
		}
	}
	if counted != held {
		t.Errorf("the journal tells of %d refused requests, want %d", counted, held)
	}
}

// A topic that takes nothing while the bus takes everything else holds back those alone who
// send to it, until it takes what waits; that it stands still is told as ever.
func TestAQueueThatWaitsHoldsBackItsOwn(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Wait = yamlfile.Period(2 * time.Minute) }))
	muni := w.Party("MUNI")
	other := func() adaptertest.Answered {
		return muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "77")})
	}
	w.Bus.Silence(func(r adapter.Record) bool { return strings.HasSuffix(r.Topic, ".requests.REGISTRY") })
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	w.Eventually("the bus is seen to take what is for others", func() bool {
		accepted(t, other())
		return w.Number("SELECT count(*) FROM outbox_left") == 1
	})
	w.SQL("UPDATE outbox SET at = at - interval '1 hour' WHERE queue = (SELECT queue FROM outbox_left)")
	w.Eventually("a request to the queue that waits is held back", func() bool {
		held := muni.Send(request(adaptertest.Extract1))
		return held.Status == 429 && held.Header.Get("Retry-After") != "" && held.Fault.Kind == envelopes.SMEVFailure
	})
	for range 20 {
		accepted(t, other())
	}
	w.Eventually("it is told that something stands still", func() bool {
		_, _, said := get(t, w.URL+"/readyz")
		return strings.Contains(string(said), `"station":"outbox"`)
	})
	w.Bus.Silence(nil)
	for range 3 {
		w.Eventually("requests are taken again", func() bool { return muni.Send(request(adaptertest.Extract1)).Fault == nil })
	}
	w.Eventually("no queue is apart any more", func() bool { return w.Number("SELECT count(*) FROM outbox_left") == 0 })
	w.Check()
}
