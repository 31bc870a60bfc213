package adapter_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

var anything = adapter.QName{}

// A municipality asks the register for an extract and gets it.
func TestARequestIsAnswered(t *testing.T) {
	t.Parallel()
	for _, v := range envelopes.Versions {
		t.Run(v.String(), func(t *testing.T) {
			w := adaptertest.Start(t)
			muni, registry := w.Party("MUNI").In(v), w.Party("REGISTRY").In(v)

			sent := muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Code: "код-1", Reference: "0a0f8f5c-0000-11f0-8000-000000000001"})
			if sent.Fault != nil {
				t.Fatalf("the request was refused: %v", sent.Fault)
			}
			if got, want := sent.Receipt.Status, envelopes.StatusRequestIsQueued; got != want {
				t.Errorf("receipt: status %s, want %s", got, want)
			}
			if got, want := sent.Receipt.Recipient.Mnemonic, "REGISTRY"; got != want {
				t.Errorf("receipt: recipient %s, want %s", got, want)
			}

			got := registry.Await(envelopes.GetRequest, "").Message
			if got.Metadata.MessageID != sent.Receipt.MessageID || got.Metadata.Sender.Mnemonic != "MUNI" || got.Metadata.Type != envelopes.TypeRequest {
				t.Errorf("delivered metadata: %+v", got.Metadata)
			}
			if got, want := string(got.Request.Content.Bytes()), adaptertest.Content(adaptertest.Extract1); got != want {
				t.Errorf("delivered content:\n%s\nwant\n%s", got, want)
			}
			if a := registry.Ack(got.Metadata.MessageID); a.Fault != nil {
				t.Fatalf("ack: %v", a.Fault)
			}

			replied := registry.Reply(got.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
			if replied.Fault != nil {
				t.Fatalf("the reply was refused: %v", replied.Fault)
			}
			back := muni.Await(envelopes.GetResponse, "").Message
			if got, want := back.OriginalMessageID, sent.Receipt.MessageID; got != want {
				t.Errorf("OriginalMessageId %s, want %s", got, want)
			}
			if got, want := back.OriginalTransactionCode, "код-1"; got != want {
				t.Errorf("OriginalTransactionCode %q, want %q", got, want)
			}
			if got, want := back.ReferenceMessageID, "0a0f8f5c-0000-11f0-8000-000000000001"; got != want {
				t.Errorf("ReferenceMessageID %q, want %q", got, want)
			}
			if a := muni.Ack(back.Metadata.MessageID); a.Fault != nil {
				t.Fatalf("ack: %v", a.Fault)
			}
			if a := muni.Get(envelopes.GetResponse, anything, ""); a.Message != nil {
				t.Error("the response was delivered after its Ack")
			}
			want := "accepted queued delivered acknowledged answered"
			if got := life(t, w, sent.Receipt.MessageID); got != want {
				t.Errorf("life of the request: %s, want %s", got, want)
			}
			w.Check()
		})
	}
}

// life is the kinds of a message's own events, in order. "routed" is left out:
// it is written when the outbox row goes, which may be after the message is in
// its queue, or even taken from there.
func life(t *testing.T, w *adaptertest.World, id string) string {
	t.Helper()
	events, err := w.Store.Trace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		if e.MessageID == id && e.Kind != journal.KindRouted {
			kinds = append(kinds, string(e.Kind))
		}
	}
	return strings.Join(kinds, " ")
}

// fatal stops at a refusal that the story does not expect.
func accepted(t *testing.T, a adaptertest.Answered) adaptertest.Answered {
	t.Helper()
	if a.Fault != nil {
		t.Fatalf("refused: %v", a.Fault)
	}
	return a
}

// take polls until the expected message is there, and acknowledges it.
func take(t *testing.T, p *adaptertest.Party, op envelopes.Operation, node string) *envelopes.Delivered {
	t.Helper()
	m := p.Await(op, node).Message
	accepted(t, p.Ack(m.Metadata.MessageID))
	return m
}

// queued waits until the provider's queue holds n messages.
func queued(t *testing.T, w *adaptertest.World, system string, kind adapter.QueueKind, n int) {
	t.Helper()
	w.Eventually(system+"'s queue is filled", func() bool {
		depths, err := w.Store.Depths(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		have := 0
		for _, d := range depths {
			if d.Queue.System == adapter.Mnemonic(system) && d.Queue.Kind == kind {
				have += d.Waiting + d.Leased
			}
		}
		return have == n
	})
}

func request(ns string) adaptertest.Request {
	return adaptertest.Request{Content: adaptertest.Content(ns)}
}

// What a signature does not cover stands in a delivery nevertheless, under the bus's signature. A
// sender cannot put there what the bus could not sign: its recipient would get nothing any more.
func TestWhatCouldNotBeHandedOutIsRefused(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	for _, name := range []string{
		`<ds:X509SubjectName xml:lang="ru">CN=x</ds:X509SubjectName>`,
		`<ds:X509SubjectName><x xmlns=""/></ds:X509SubjectName>`,
		`<ds:X509IssuerSerial><ds:X509IssuerName xml:space="preserve">CN=x</ds:X509IssuerName></ds:X509IssuerSerial>`,
	} {
		kind, body, _ := muni.BuildRequest(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
		body = bytes.Replace(body, []byte("</ds:X509Data>"), []byte(name+"</ds:X509Data>"), 1)
		if a := muni.Post("/ws", kind, body); a.Fault == nil {
			t.Errorf("accepted with %s beside the certificate", name)
		}
	}
	sent := muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)})
	if got := registry.Await(envelopes.GetRequest, "").Message; got.Metadata.MessageID != sent.Receipt.MessageID {
		t.Errorf("delivered %s, want %s", got.Metadata.MessageID, sent.Receipt.MessageID)
	}
}

// What is not acknowledged comes back, at the head, until it is.
func TestWhatIsNotAcknowledgedComesBack(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *adaptertest.World) {
		muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
		first := accepted(t, muni.Send(request(adaptertest.Extract1))).Receipt.MessageID
		second := accepted(t, muni.Send(request(adaptertest.Extract1))).Receipt.MessageID
		queued(t, w, "REGISTRY", adapter.QueueRequests, 2)

		if got := registry.Await(envelopes.GetRequest, "").Message.Metadata.MessageID; got != first {
			t.Errorf("first poll gives %s, want %s", got, first)
		}
		if got := registry.Await(envelopes.GetRequest, "").Message.Metadata.MessageID; got != second {
			t.Errorf("second poll gives %s, want the next one, %s", got, second)
		}
		if a := registry.Get(envelopes.GetRequest, anything, ""); a.Message != nil {
			t.Errorf("third poll gives %s within the lease", a.Message.Metadata.MessageID)
		}
		accepted(t, registry.Ack(second))
		third := accepted(t, muni.Send(request(adaptertest.Extract1))).Receipt.MessageID
		queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
		w.Clock.Advance(16 * time.Minute)
		w.Eventually("the sweep has told that the lease ran out", func() bool { // while it does, polls pass the message over
			return strings.HasSuffix(life(t, w, first), " returned")
		})
		if got := registry.Await(envelopes.GetRequest, "").Message.Metadata.MessageID; got != first {
			t.Errorf("after the lease the poll gives %s, want the first again, %s", got, first)
		}
		accepted(t, registry.Ack(first))
		if a := registry.Ack(first); a.Fault == nil || a.Fault.Kind != envelopes.TargetMessageIsNotFound {
			t.Errorf("a second Ack: %v, want TargetMessageIsNotFound", a.Fault)
		}
		if got := take(t, registry, envelopes.GetRequest, "").Metadata.MessageID; got != third {
			t.Errorf("then %s, want %s", got, third)
		}
		if got, want := life(t, w, first), "accepted queued delivered returned delivered acknowledged refused"; got != want {
			t.Errorf("life: %s, want %s", got, want)
		}
		w.Check()
	})
}

// Requests of VIP systems are delivered first; answers to them are not.
func TestVIPFirst(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("MFC", "vip: true\n")
	plain := accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1))).Receipt.MessageID
	vip := accepted(t, w.Party("MFC").Send(request(adaptertest.Extract1))).Receipt.MessageID
	queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
	for _, want := range []string{vip, plain} {
		if got := take(t, w.Party("REGISTRY"), envelopes.GetRequest, "").Metadata.MessageID; got != want {
			t.Errorf("delivered %s, want %s", got, want)
		}
	}
	w.Check()
}

// A selector takes the messages of one service, whichever of its versions and
// roots it names, and leaves the others in their places.
func TestSelectors(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	official := w.NewParty("ИВАНОВА", w.Clock.Now().AddDate(-1, 0, 0), w.Clock.Now().AddDate(1, 0, 0)).Signer
	personal := `<e:ExtractRequest xmlns:e="` + adaptertest.Signed + `" Id="PERSONAL"><e:КадастровыйНомер>77:01:000101:42</e:КадастровыйНомер></e:ExtractRequest>`
	other := accepted(t, muni.Send(adaptertest.Request{Content: personal, Personal: official})).Receipt.MessageID
	v1 := accepted(t, muni.Send(request(adaptertest.Extract1))).Receipt.MessageID
	v2 := accepted(t, muni.Send(request(adaptertest.Extract2))).Receipt.MessageID
	queued(t, w, "REGISTRY", adapter.QueueRequests, 3)

	one := registry.Get(envelopes.GetRequest, adapter.QName{Space: adaptertest.Extract2, Local: "ExtractResponse"}, "").Message
	if one == nil || one.Metadata.MessageID != v1 {
		t.Fatalf("the response root of 2.0 selects %+v, want the request in 1.0", one)
	}
	two := registry.Get(envelopes.GetRequest, adapter.QName{Space: adaptertest.Extract1, Local: "ExtractRequest"}, "").Message
	if two == nil || two.Metadata.MessageID != v2 {
		t.Fatalf("the request root of 1.0 selects %+v, want the request in 2.0", two)
	}
	if a := registry.Get(envelopes.GetRequest, adapter.QName{Space: adaptertest.Extract1, Local: "ExtractRequest"}, ""); a.Message != nil {
		t.Error("nothing of the service is left, yet a message came")
	}
	if got := take(t, registry, envelopes.GetRequest, "").Metadata.MessageID; got != other {
		t.Errorf("without a selector: %s, want %s", got, other)
	}
	accepted(t, registry.Ack(v1))
	accepted(t, registry.Ack(v2))

	// Statuses and rejections are of the service too.
	accepted(t, registry.Reply(one.ReplyTo, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 1, Description: "принято"}}))
	queued(t, w, "MUNI", adapter.QueueResponses, 1)
	if a := muni.Get(envelopes.GetResponse, adapter.QName{Space: adaptertest.Extract2, Local: "ExtractRequest"}, ""); a.Message == nil || a.Message.Response.Status == nil {
		t.Errorf("the selector does not find a status: %+v", a.Message)
	}
	w.Check()
}

// Answers to a request with NodeID are for polls with that NodeID only.
func TestNodeID(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Node: "отдел-7"}))
	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	accepted(t, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	queued(t, w, "MUNI", adapter.QueueResponses, 1)
	for _, node := range []string{"", "отдел-8"} {
		if a := muni.Get(envelopes.GetResponse, anything, node); a.Message != nil {
			t.Errorf("NodeID %q was given an answer to отдел-7", node)
		}
	}
	take(t, muni, envelopes.GetResponse, "отдел-7")
	w.Check()
}

// A broadcast reaches every subscriber, names no recipient and cannot be answered.
func TestBroadcast(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	sent := accepted(t, w.Party("REGISTRY").Send(request(adaptertest.News)))
	if sent.Receipt.Recipient.Mnemonic != "" || sent.Receipt.Type != envelopes.TypeBroadcast {
		t.Errorf("receipt: %+v", sent.Receipt)
	}
	for _, name := range []string{"MUNI", "MFC"} {
		m := take(t, w.Party(name), envelopes.GetRequest, "")
		if m.Metadata.MessageID != sent.Receipt.MessageID || m.Metadata.Type != envelopes.TypeBroadcast || m.ReplyTo != "" || m.Metadata.Recipient.Mnemonic != "" {
			t.Errorf("%s got %+v, reply to %q", name, m.Metadata, m.ReplyTo)
		}
	}
	w.Check()
}

// A request whose end of life comes before anybody took it is answered by the
// gateway itself, in the response queue of the same node.
func TestEndOfLife(t *testing.T) {
	straightAndPooled(t, func(t *testing.T, w *adaptertest.World) {
		muni := w.Party("MUNI")
		sent := accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), EOL: w.Clock.Now().Add(time.Hour), Node: "n1", Code: "код"}))
		queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
		w.Clock.Advance(2 * time.Hour)
		m := take(t, muni.In(envelopes.V13), envelopes.GetResponse, "n1")
		if m.Async == nil || m.Async.OriginalMessageID != sent.Receipt.MessageID || m.Async.Category != envelopes.StatusRequestIsRejectedBySmev || m.OriginalTransactionCode != "код" {
			t.Fatalf("the sender is told %+v", m)
		}
		if m.Metadata.Sender.Mnemonic != "SMEV" {
			t.Errorf("sender %s, want SMEV", m.Metadata.Sender.Mnemonic)
		}
		if a := w.Party("REGISTRY").Get(envelopes.GetRequest, anything, ""); a.Message != nil {
			t.Error("an expired request was delivered")
		}
		w.Eventually("the request has left the queue", func() bool {
			return life(t, w, sent.Receipt.MessageID) == "accepted queued answered expired"
		})
		w.Check()
	})
}

// Senders of requests whose life ends together are told together: each of them one
// after another would wait for a commit of its own.
func TestManyEndTogether(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni := w.Party("MUNI")
	for range 3 {
		accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), EOL: w.Clock.Now().Add(time.Hour)}))
	}
	queued(t, w, "REGISTRY", adapter.QueueRequests, 3)
	before := w.Store.Calls("Accept")
	together := make(chan bool, 1)
	w.Store.Before("Accept", func() {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if w.Store.Calls("Accept") >= before+3 {
				together <- true
				return
			}
		}
		together <- false
	})
	w.Clock.Advance(2 * time.Hour)
	if !<-together {
		t.Error("the second sender is told when the first has been")
	}
	for range 3 {
		if m := take(t, muni, envelopes.GetResponse, ""); m.Async == nil || m.Async.Category != envelopes.StatusRequestIsRejectedBySmev {
			t.Errorf("the sender is told %+v", m)
		}
	}
	w.Check()
}

// A system registered for status messages reads the gateway's own words there,
// once, without an Ack.
func TestStatusQueue(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("MUNI", "asyncErrors: statuses\n")
	muni := w.Party("MUNI").In(envelopes.V11)
	sent := accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), EOL: w.Clock.Now().Add(time.Hour)}))
	queued(t, w, "REGISTRY", adapter.QueueRequests, 1)
	w.Eventually("the queue is in the statistics", func() bool {
		list, err := envelopes.DecodeQueueStatistics(w.Party("REGISTRY").In(envelopes.V11).Statistics().Envelope)
		return err == nil && len(list) == 1 && list[0].Name == "delivery.REGISTRY._REQUEST_" && list[0].Pending == 1
	})
	w.Clock.Advance(2 * time.Hour)
	queued(t, w, "MUNI", adapter.QueueStatus, 1)
	a := accepted(t, muni.GetStatus())
	if a.State == nil || a.State.OriginalMessageID != sent.Receipt.MessageID || a.State.Category != envelopes.StatusRequestIsRejectedBySmev {
		t.Fatalf("the status is %+v", a.State)
	}
	if a := accepted(t, muni.GetStatus()); a.State != nil {
		t.Errorf("it was given twice: %+v", a.State)
	}
	w.Check()
}

// A provider may send any number of statuses before it answers, or refuse.
func TestStatusesAndRejection(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	for n := range 3 {
		accepted(t, registry.Reply(to, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: n, Description: "в работе"}}))
	}
	accepted(t, registry.Reply(to, adaptertest.Reply{Reject: []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "сведения отсутствуют"}}}))
	for n := range 3 {
		m := take(t, muni, envelopes.GetResponse, "")
		if m.Response.Status == nil || m.Response.Status.Code != n {
			t.Errorf("status %d is %+v", n, m.Response.Status)
		}
	}
	m := take(t, muni, envelopes.GetResponse, "")
	if len(m.Response.Rejections) != 1 || m.Response.Rejections[0].Code != envelopes.RejectNoData {
		t.Errorf("rejection: %+v", m.Response.Rejections)
	}
	refused{fault: envelopes.MessageIsAlreadySent, rule: "answered"}.check(t, w, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	w.Check()
}

// After the final reply there is nothing to report on: a status is refused like
// a second reply. One that was accepted before it and is repeated now is given
// its receipt.
func TestStatusAfterTheFinalReply(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	kind, early, id := registry.BuildReply(to, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 1, Description: "в работе"}})
	accepted(t, registry.Post("/ws", kind, early))
	accepted(t, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	refused{fault: envelopes.MessageIsAlreadySent, rule: "answered"}.check(t, w, registry.Reply(to, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 2, Description: "ещё в работе"}}))
	if again := accepted(t, registry.Post("/ws", kind, early)); again.Receipt.MessageID != id {
		t.Errorf("the repeated status is answered for %s, want %s", again.Receipt.MessageID, id)
	}
	if s := take(t, muni, envelopes.GetResponse, ""); s.Response.Status == nil || s.Response.Status.Code != 1 {
		t.Errorf("first: %+v", s.Response)
	}
	if r := take(t, muni, envelopes.GetResponse, ""); !r.Response.Content.Valid() {
		t.Errorf("second: %+v", r.Response)
	}
	if a := muni.Get(envelopes.GetResponse, anything, ""); a.Message != nil {
		t.Errorf("a third message was delivered: %+v", a.Message)
	}
	w.Check()
}

// A sender whose connection dropped asks again with the same MessageID and is
// told what it would have been told; another message under that id is refused.
func TestRepetition(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	kind, body, id := muni.BuildRequest(request(adaptertest.Extract1))
	first := accepted(t, muni.Post("/ws", kind, body))
	w.Clock.Advance(time.Minute)
	again := accepted(t, muni.Post("/ws", kind, body))
	if !again.Receipt.Sent.Equal(first.Receipt.Sent) {
		t.Errorf("the second receipt says %v, want the first time, %v", again.Receipt.Sent, first.Receipt.Sent)
	}
	signedAnew := accepted(t, muni.Send(adaptertest.Request{ID: id, Content: adaptertest.Content(adaptertest.Extract1)}))
	if !signedAnew.Receipt.Sent.Equal(first.Receipt.Sent) {
		t.Error("signed anew, the message is taken for another one")
	}
	refused{fault: envelopes.MessageIsAlreadySent, text: "отправьте его с новым MessageID", rule: "message-id-used"}.
		check(t, w, muni.Send(adaptertest.Request{ID: id, Content: adaptertest.Content(adaptertest.Extract2)}))
	w.Clock.Advance(25 * time.Hour) // stale by now, and yet it was accepted once
	accepted(t, muni.Post("/ws", kind, body))

	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	if a := registry.Get(envelopes.GetRequest, anything, ""); a.Message != nil {
		t.Error("the request was delivered twice")
	}
	kind, body, _ = registry.BuildReply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
	accepted(t, registry.Post("/ws", kind, body))
	accepted(t, registry.Post("/ws", kind, body))
	take(t, muni, envelopes.GetResponse, "")
	if a := muni.Get(envelopes.GetResponse, anything, ""); a.Message != nil {
		t.Error("the answer was delivered twice")
	}
	w.Check()
}

// A MessageID is used once on the bus. Whoever comes with one that another sender
// has used, in a request, a reply, a status or a rejection, is refused and has
// changed nothing: the Ack of the message that bears it can mean no other.
func TestAnothersMessageID(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, mfc, registry := w.Party("MUNI"), w.Party("MFC"), w.Party("REGISTRY")
	kind, body, id := muni.BuildRequest(request(adaptertest.Extract1))
	first := accepted(t, muni.Post("/ws", kind, body))
	taken := refused{fault: envelopes.MessageIsAlreadySent, text: "отправьте его с новым MessageID", rule: "message-id-used"}

	hostile := adaptertest.Request{ID: id, Content: adaptertest.Content(adaptertest.Extract1)}
	taken.check(t, w, mfc.Send(hostile))
	to := registry.Await(envelopes.GetRequest, "").Message.ReplyTo
	for name, r := range map[string]adaptertest.Reply{
		"reply":     {ID: id, Content: adaptertest.Answer(adaptertest.Extract1)},
		"status":    {ID: id, Status: &envelopes.RequestStatus{Code: 1, Description: "принято"}},
		"rejection": {ID: id, Reject: []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "нет"}}},
	} {
		t.Run(name, func(t *testing.T) { taken.check(t, w, registry.Reply(to, r)) })
	}
	again := accepted(t, muni.Post("/ws", kind, body))
	if !again.Receipt.Sent.Equal(first.Receipt.Sent) {
		t.Errorf("a repetition's receipt says %v, want the first time, %v", again.Receipt.Sent, first.Receipt.Sent)
	}

	// The request is open still, and the id of its answer is used as well.
	status := accepted(t, registry.Reply(to, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 1, Description: "принято"}})).Receipt.MessageID
	mfcHas := refused{fault: envelopes.MessageIsAlreadySent, rule: "message-id-used"}
	mfcHas.check(t, w, mfc.Send(adaptertest.Request{ID: status, Content: adaptertest.Content(adaptertest.Extract1)}))
	accepted(t, registry.Ack(id))
	if a := registry.Get(envelopes.GetRequest, anything, ""); a.Message != nil {
		t.Errorf("%s of %s was delivered too", a.Message.Metadata.MessageID, a.Message.Metadata.Sender.Mnemonic)
	}
	if got := take(t, muni, envelopes.GetResponse, "").Metadata.MessageID; got != status {
		t.Errorf("MUNI got %s, want the status %s", got, status)
	}
	accepted(t, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	take(t, muni, envelopes.GetResponse, "")
	w.Check()
}

// In strict mode a repetition is told what the real bus tells it.
func TestRepetitionInStrictMode(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { c.MessageID.Strict = true }))
	kind, body, _ := w.Party("MUNI").BuildRequest(request(adaptertest.Extract1))
	accepted(t, w.Party("MUNI").Post("/ws", kind, body))
	refused{fault: envelopes.MessageIsAlreadySent, rule: "duplicate"}.check(t, w, w.Party("MUNI").Post("/ws", kind, body))
	w.Check()
}

// Routing codes find the region; TestMessage opens a service on trial and is
// carried; attachments arrive as sent, inline or as parts.
func TestCarried(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni := w.Party("MUNI")
	accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Regional, "50")}))
	take(t, w.Party("OBLAST"), envelopes.GetRequest, "")

	accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Trial), Test: true}))
	if m := take(t, w.Party("REGISTRY"), envelopes.GetRequest, ""); !m.Request.Test {
		t.Error("TestMessage was lost")
	}

	scan := []byte("%PDF-1.7 \x00\xff скан")
	for _, xop := range []bool{false, true} {
		accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Files: map[string][]byte{"scan1": scan}, XOP: xop}))
		m := take(t, w.Party("REGISTRY"), envelopes.GetRequest, "")
		if len(m.Attachments) != 1 || string(m.Attachments[0].Content) != string(scan) || m.Attachments[0].ID != "scan1" {
			t.Errorf("XOP %v: attachments %+v", xop, m.Attachments)
		}
	}
	w.Check()
}

// A party changes its key without a gap: both certificates are good for a while.
func TestOverlappingCertificates(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	old := *w.Party("MUNI")
	successor := w.NewParty("MUNI", w.Clock.Now().AddDate(0, -1, 0), w.Clock.Now().AddDate(2, 0, 0))
	refused{fault: envelopes.SenderIsNotRegistered, rule: "stranger", stranger: true}.check(t, w, successor.Send(request(adaptertest.Extract1)))
	successor.AddCertificate("MUNI/2027.pem")
	w.Reload()
	accepted(t, successor.Send(request(adaptertest.Extract1)))
	accepted(t, old.Send(request(adaptertest.Extract1)))
	w.Check()
}

// A bad registry changes nothing; a mended one is taken at once.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Write("services/extract/1.0/service.yaml", "title: x\nroot: {namespace: a}\nprovider: [NOBODY]\n")
	found := w.Gateway.Reload(context.Background()).Errors()
	if len(found) == 0 {
		t.Fatal("a bad registry was taken")
	}
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	w.Write("services/extract/1.0/service.yaml", "title: Выписка\nroot: {namespace: '"+adaptertest.Extract1+"', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: MFC\n")
	w.Reload()
	refused{fault: envelopes.AccessDenied, rule: "access"}.check(t, w, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	w.Check()
}

// A queue that is full refuses more, and says which one.
func TestOverflow(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Register("REGISTRY", "limits: {queue: 2}\n")
	for range 2 {
		accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	}
	queued(t, w, "REGISTRY", adapter.QueueRequests, 2)
	var a adaptertest.Answered
	w.Eventually("the gateway has seen the queue", func() bool {
		a = w.Party("MUNI").Send(request(adaptertest.Extract1))
		return a.Fault != nil
	})
	refused{fault: envelopes.DestinationOverflow, text: "SMEV-600:Очередь", rule: "overflow"}.check(t, w, a)
	if got, want := a.Fault.Destination, "delivery.REGISTRY._REQUEST_"; got != want {
		t.Errorf("destination %s, want %s", got, want)
	}
	if a.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	w.Check()
}

// What the bus refuses for good is told to its sender.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Bus.Reject(func(r adapter.Record) bool { return strings.Contains(r.Topic, ".requests.") })
	sent := accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	m := take(t, w.Party("MUNI"), envelopes.GetResponse, "")
	if m.Async == nil || m.Async.OriginalMessageID != sent.Receipt.MessageID {
		t.Fatalf("the sender is told %+v", m)
	}
	w.Eventually("its life is told: it ends when the outbox row goes, after its sender has heard", func() bool {
		return life(t, w, sent.Receipt.MessageID) == "accepted answered dead"
	})
	w.Check()
}

// Everything survives a restart in the middle of an exchange.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	w.Restart()
	to := take(t, w.Party("REGISTRY"), envelopes.GetRequest, "").ReplyTo
	w.Restart()
	accepted(t, w.Party("REGISTRY").Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	w.Restart()
	take(t, w.Party("MUNI"), envelopes.GetResponse, "")
	w.Check()
}

// A poll that is willing to wait is woken by the message it waits for.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) { // it looks again when it is woken, or too late
		c.Times.Poll, c.Queues.LongPoll = yamlfile.Period(time.Hour), yamlfile.Period(time.Hour)
	}))
	got := make(chan adaptertest.Answered, 1)
	go func() {
		defer close(got) // even when Await has failed the test
		got <- w.Party("REGISTRY").Await(envelopes.GetRequest, "")
	}()
	w.Eventually("the poll has looked and waits", func() bool { return w.Store.Calls("Lease") > 0 })
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	if a := <-got; a.Message == nil {
		t.Errorf("the waiting poll brought %+v", a)
	}
	w.Check()
}

// A provider that reads its topic itself finds there all that it needs, its
// queue stays empty, and its answer goes the usual way. What has attachments
// waits in the queue.
func TestStream(t *testing.T) {
	t.Parallel()
	w := streamWorld(t)
	const ns = streamNS
	sent := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(ns)}))
	var to, value string
	w.Eventually("the request is on the topic", func() bool {
		for _, r := range w.Bus.Published() {
			for _, h := range r.Headers {
				if h.Key == "reply-to" {
					to, value = string(h.Value), string(r.Value)
				}
			}
		}
		return to != ""
	})
	for _, want := range []string{adaptertest.Content(ns), "<ds:SignatureValue>"} {
		if !strings.Contains(value, want) {
			t.Errorf("the record has no %s:\n%s", want, value)
		}
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(value), xmltape.Limits{}); err != nil {
		t.Errorf("the record is no XML: %v", err)
	}
	accepted(t, w.Party("REGISTRY").Reply(to, adaptertest.Reply{Content: adaptertest.Answer(ns)}))
	take(t, w.Party("MUNI"), envelopes.GetResponse, "")
	if got, want := life(t, w, sent.Receipt.MessageID), "accepted answered"; got != want {
		t.Errorf("life before the provider's group has committed: %s, want %s", got, want)
	}
	w.Restart()
	read(t, w, "REGISTRY", sent.Receipt.MessageID)
	w.Eventually("the journal has the delivery", func() bool {
		return life(t, w, sent.Receipt.MessageID) == "accepted answered delivered"
	})

	file := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(ns), Files: map[string][]byte{"f1": make([]byte, 1<<10)}}))
	if got := take(t, w.Party("REGISTRY"), envelopes.GetRequest, ""); got.Metadata.MessageID != file.Receipt.MessageID || len(got.Attachments[0].Content) != 1<<10 {
		t.Errorf("the one with a file: %+v", got.Metadata)
	}
	w.Check()
}

// While the journal cannot be written nothing is accepted, and the gateway says
// that it is not ready.
func TestJournalStopsAccepts(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	w.Journal.Stop(errors.New("the signer refuses"))
	a := w.Party("MUNI").Send(request(adaptertest.Extract1))
	if a.Status != 503 || a.Fault.Kind != envelopes.SMEVFailure || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.Status, a.Fault)
	}
	if status, _, _ := get(t, w.URL+"/readyz"); status != 503 {
		t.Errorf("/readyz: %d", status)
	}
	w.Journal.Stop(nil)
	accepted(t, w.Party("MUNI").Send(request(adaptertest.Extract1)))
	w.Check()
}

// A document that was indented on the way has white space in reply addresses and
// round ids of acknowledgements; both are taken as meant.
func TestIndentedAddressesAndIDsAreTaken(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	for _, v := range envelopes.Versions {
		muni.Version, registry.Version = v, v
		id, request := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
		accepted(t, registry.Ack("\n\t"+id+" \n"))
		to := request.Message.ReplyTo
		half := len(to) / 2
		accepted(t, registry.Reply("\n  "+to[:half]+"\n  "+to[half:]+"\n", adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
		got := muni.Await(envelopes.GetResponse, "")
		accepted(t, muni.Ack(" "+got.Message.Metadata.MessageID))
		if again := muni.Get(envelopes.GetResponse, adapter.QName{}, ""); again.Message != nil {
			t.Errorf("%s: the acknowledged response came again", v)
		}
	}
	w.Check()
}
