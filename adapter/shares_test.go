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

// Two nodes on one database that know nothing of one another's memory, and that are asked
// in turn: in each lane the order of acceptance holds, requests of VIP senders go first, a
// service of which little waits stands before the many of another, a selector finds its
// service behind them, and what one sender may have waiting holds for both nodes together.
func TestLanesAndQuotasOverTwoNodes(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	nodes := []string{w.URL, w.JoinApart("second")}
	w.Register("MFC", "vip: true\n")
	w.Register("MUNI", "limits: {waiting: 30}\n")
	official := w.NewParty("ИВАНОВА", w.Clock.Now().AddDate(-1, 0, 0), w.Clock.Now().AddDate(1, 0, 0)).Signer
	signed := adaptertest.Request{Personal: official, Content: `<e:ExtractRequest xmlns:e="` + adaptertest.Signed + `" Id="PERSONAL"><e:КадастровыйНомер>77:01:000101:42</e:КадастровыйНомер></e:ExtractRequest>`}
	place, lane := map[string]int{}, map[string]string{}
	send := func(sender, of string, r adaptertest.Request) adaptertest.Answered {
		a := w.Party(sender).At(nodes[len(place)%2]).Send(r)
		if a.Fault == nil {
			id := a.Receipt.MessageID
			place[id], lane[id] = len(place), of
		}
		return a
	}
	for range 20 {
		accepted(t, send("MUNI", "extract", request(adaptertest.Extract1)))
	}
	for range 6 {
		accepted(t, send("MUNI", "signed", signed))
	}
	for range 4 {
		accepted(t, send("MFC", "vip", request(adaptertest.Extract1)))
	}
	queued(t, w, "REGISTRY", adapter.QueueRequests, 30)

	last, polls, counts := map[string]int{}, 0, map[string]int{}
	poll := func(selector adapter.QName) string {
		t.Helper()
		at := w.Party("REGISTRY").At(nodes[polls%2])
		polls++
		a := accepted(t, at.Get(envelopes.GetRequest, selector, ""))
		if a.Message == nil {
			t.Fatalf("poll %d is given nothing", polls)
		}
		id := a.Message.Metadata.MessageID
		of := lane[id]
		counts[of]++
		if now := place[id] + 1; now < last[of] {
			t.Errorf("poll %d gives message %d after %d of the lane %s", polls, now, last[of], of)
		} else {
			last[of] = now
		}
		accepted(t, w.Party("REGISTRY").At(nodes[polls%2]).Ack(id)) // at the other node
		return of
	}
	for range 4 {
		if of := poll(anything); of != "vip" {
			t.Errorf("poll %d is given one of %s, while VIP requests wait", polls, of)
		}
	}
	for range 8 {
		poll(anything)
	}
	if counts["signed"] < 3 || counts["extract"] < 3 {
		t.Errorf("eight polls at two nodes gave %v, want of both services alike", counts)
	}
	if of := poll(adapter.QName{Space: adaptertest.Signed, Local: "ExtractRequest"}); of != "signed" {
		t.Errorf("a selector of one service gives %s", of)
	}

	// MUNI may have 30 waiting at both nodes together, and has 17.
	fill := func(most int) (n int) {
		for ; n < most; n++ {
			if a := send("MUNI", "extract", request(adaptertest.Extract1)); a.Fault != nil {
				refused{fault: envelopes.DestinationOverflow, text: "предельное число сообщений отправителя (30)", rule: "sender-overflow"}.check(t, w, a)
				return n
			}
			queued(t, w, "REGISTRY", adapter.QueueRequests, len(place)-polls)
		}
		return n
	}
	stands := len(place) - polls
	n := 0
	w.Eventually("what was taken at either node makes room", func() bool { // a node may know of it some moments later
		n += fill(100 - n)
		return stands+n >= 30
	})
	if n == 100 {
		t.Errorf("%d of the sender waited and %d more were accepted, want 30 together", stands, n)
	}
	for _, node := range nodes { // the other node knows as soon as it has looked
		w.Eventually("the sender's share is full", func() bool {
			a := w.Party("MUNI").At(node).Send(request(adaptertest.Extract1))
			if a.Fault == nil {
				place[a.Receipt.MessageID], lane[a.Receipt.MessageID] = len(place), "extract"
			}
			return a.Fault != nil
		})
	}
	accepted(t, send("MFC", "vip", request(adaptertest.Extract1)))
	queued(t, w, "REGISTRY", adapter.QueueRequests, len(place)-polls)
	if of := poll(anything); of != "vip" {
		t.Errorf("a VIP request behind a full share: %s is given first", of)
	}
	for len(place)-polls > 15 { // before a node had looked it may have accepted some more
		poll(anything)
	}
	for _, node := range nodes {
		w.Eventually("there is room again", func() bool { return w.Party("MUNI").At(node).Send(request(adaptertest.Extract1)).Fault == nil })
	}
	w.Check()
}
