package adapter_test

import (
	"strings"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// While as many calls of a party are at work as it may have, another one of it is told to
// come later, and everybody else is served. The same holds for the requests of a service.
func TestSharesOfPlaces(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, mfc, registry := w.Party("MUNI"), w.Party("MFC"), w.Party("REGISTRY")
	held := func(what string, free func() bool) {
		t.Helper()
		at, open, done := make(chan struct{}), make(chan struct{}), make(chan adaptertest.Answered, 1)
		w.Store.Before("Accept", func() { close(at); <-open })
		go func() { done <- muni.Send(request(adaptertest.Extract1)) }()
		<-at
		if !free() {
			t.Errorf("%s: others are not served", what)
		}
		close(open)
		accepted(t, <-done)
	}
	refusedFor := func(a adaptertest.Answered, text string) {
		t.Helper()
		if a.Status != 429 || a.Header.Get("Retry-After") == "" || a.Fault == nil || a.Fault.Kind != envelopes.SMEVFailure || !strings.Contains(a.Fault.Description, text) {
			t.Errorf("it is told %d, Retry-After %q, %v; want 429 and %q", a.Status, a.Header.Get("Retry-After"), a.Fault, text)
		}
	}
	w.Register("MUNI", "limits: {concurrent: 1}\n")
	held("a party's share is full", func() bool {
		refusedFor(muni.Get(envelopes.GetResponse, adapter.QName{}, ""), "этой информационной системы (1)")
		return mfc.Send(request(adaptertest.Extract1)).Fault == nil && registry.Get(envelopes.GetRequest, adapter.QName{}, "").Fault == nil
	})
	w.Register("MUNI", "")
	w.Write("services/extract/1.0/service.yaml", "title: Выписка\nroot: {namespace: '"+adaptertest.Extract1+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: [MUNI, MFC]\nlimits: {concurrent: 1}\n")
	w.Reload()
	held("a service's share is full", func() bool {
		refusedFor(mfc.Send(request(adaptertest.Extract1)), "вида сведений extract (1)")
		return mfc.Get(envelopes.GetResponse, adapter.QName{}, "").Fault == nil
	})
	accepted(t, mfc.Send(request(adaptertest.Extract1)))
	w.Check()
}

// A poll that waits for a message does not work, and holds no place of its party's share.
func TestAWaitingPollHoldsNoShare(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("REGISTRY", "limits: {concurrent: 1}\n")
	got := make(chan adaptertest.Answered, 1)
	before := w.Store.Calls("Lease")
	go func() { got <- w.Party("REGISTRY").Await(envelopes.GetRequest, "") }()
	w.Eventually("the poll waits", func() bool { return w.Store.Calls("Lease") > before })
	w.Eventually("another call of the party is served", func() bool {
		return w.Party("REGISTRY").Get(envelopes.GetResponse, adapter.QName{}, "").Fault == nil
	})
	sent := accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	if a := <-got; a.Message == nil || a.Message.Metadata.MessageID != sent.Receipt.MessageID {
		t.Errorf("the poll that waited was given %+v", a.Fault)
	}
	w.Check()
}

// What one sender, and one service, may have waiting in a queue is bounded, and leaves the
// queue to others.
func TestQuotasOfAQueue(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, mfc := w.Party("MUNI"), w.Party("MFC")
	w.Register("MUNI", "limits: {waiting: 2}\n")
	for range 2 {
		accepted(t, muni.Send(request(adaptertest.Extract1)))
	}
	var a adaptertest.Answered
	full := func(p *adaptertest.Party, rule, text string) {
		t.Helper()
		w.Eventually("the gateway has seen the queue", func() bool {
			a = p.Send(request(adaptertest.Extract1))
			return a.Fault != nil
		})
		refused{fault: envelopes.DestinationOverflow, text: text, rule: rule}.check(t, w, a)
		if a.Fault.Destination != "delivery.REGISTRY._REQUEST_" || a.Header.Get("Retry-After") == "" {
			t.Errorf("destination %s, Retry-After %q", a.Fault.Destination, a.Header.Get("Retry-After"))
		}
	}
	full(muni, "sender-overflow", "предельное число сообщений отправителя (2)")
	accepted(t, mfc.Send(request(adaptertest.Extract1)))
	w.Write("services/extract/1.0/service.yaml", "title: Выписка\nroot: {namespace: '"+adaptertest.Extract1+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: [MUNI, MFC]\nlimits: {queue: 3}\n")
	w.Write("services/extract/2.0/service.yaml", "stage: retired\ntitle: Выписка\nroot: {namespace: '"+adaptertest.Extract2+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: [MUNI, MFC]\n")
	w.Reload()
	full(mfc, "lane-overflow", "вида сведений extract (3)")
	// What is taken makes room.
	take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")
	w.Eventually("there is room again", func() bool { return mfc.Send(request(adaptertest.Extract1)).Fault == nil })
	w.Check()
}

// A quota holds while the bus takes nothing: what a sender has on the way to a queue will
// stand there before all that others send later.
func TestQuotasHoldWhileTheBusIsAway(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, mfc := w.Party("MUNI"), w.Party("MFC")
	w.Register("MUNI", "limits: {waiting: 2}\n")
	w.Bus.Always("Publish", adaptertest.Failed)
	for range 2 {
		accepted(t, muni.Send(request(adaptertest.Extract1)))
	}
	looks := w.Store.Calls("Lanes")
	w.Eventually("the gateway has looked at its queues twice", func() bool { return w.Store.Calls("Lanes") >= looks+2 })
	refused{fault: envelopes.DestinationOverflow, text: "предельное число сообщений отправителя (2)", rule: "sender-overflow"}.check(t, w, muni.Send(request(adaptertest.Extract1)))
	accepted(t, mfc.Send(request(adaptertest.Extract1)))
	w.Bus.Always("Publish", 0)
	w.AwaitQueued(3)
	w.Check()
}

// Whoever hangs up while it waits is counted as gone: it is no failure of the gateway's,
// and no line at level ERROR.
func TestWhoHangsUpIsNoFailure(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	before := w.Store.Calls("Lease")
	hangUp := w.Party("REGISTRY").HangUp(envelopes.GetRequest)
	w.Eventually("the poll waits", func() bool { return w.Store.Calls("Lease") > before })
	hangUp()
	w.Eventually("the poll is counted as gone", func() bool {
		_, _, text := get(t, w.URL+"/metrics")
		return strings.Contains(text, `mezhved_calls_total{operation="GetRequest",outcome="gone",version="1.2"} 1`)
	})
	if log := w.Log.String(); strings.Contains(log, "level=ERROR") {
		t.Error(log)
	}
	if _, _, text := get(t, w.URL+"/metrics"); strings.Contains(text, `reason="unavailable"`) {
		t.Errorf("the metrics tell of a failure:\n%s", text)
	}
	w.Check()
}
