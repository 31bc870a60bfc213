package adapter_test

import (
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// With limits.wait a party is told to send fewer requests while the bus does not take
// what was accepted, and to send them again later; answers pass. What is refused is
// counted in the journal.
func TestRequestsArePaced(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.Wait = adapter.Period(2 * time.Second) }))
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
