package adapter_test

import (
	"context"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// Parties on every pair of versions understand each other: the reader is
// answered in its own version, can verify, acknowledge and answer; the content
// is the same bytes. The sender's signature comes along when both speak the same
// version, and cannot otherwise.
func TestVersionsMix(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	for _, from := range envelopes.Versions {
		for _, to := range envelopes.Versions {
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				muni, registry := w.Party("MUNI").In(from), w.Party("REGISTRY").In(to)
				sent := accepted(t, muni.Send(adaptertest.Request{
					Content: adaptertest.Content(adaptertest.Extract1), Code: "код", Files: map[string][]byte{"scan1": []byte("%PDF")},
				}))
				a := registry.Await(envelopes.GetRequest, "")
				inVersion(t, a, to, adaptertest.Content(adaptertest.Extract1), from == to)
				if len(a.Message.Attachments) != 1 || string(a.Message.Attachments[0].Content) != "%PDF" {
					t.Errorf("attachments: %+v", a.Message.Attachments)
				}
				accepted(t, registry.Ack(a.Message.Metadata.MessageID))
				deliveredAs(t, w, sent.Receipt.MessageID, from == to)

				back := accepted(t, registry.Reply(a.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
				b := muni.Await(envelopes.GetResponse, "")
				inVersion(t, b, from, adaptertest.Answer(adaptertest.Extract1), from == to)
				if b.Message.OriginalMessageID != sent.Receipt.MessageID || b.Message.OriginalTransactionCode != "код" {
					t.Errorf("the answer is to %s with code %q", b.Message.OriginalMessageID, b.Message.OriginalTransactionCode)
				}
				accepted(t, muni.Ack(b.Message.Metadata.MessageID))
				deliveredAs(t, w, back.Receipt.MessageID, from == to)
			})
		}
	}
	w.Check()
}

// inVersion holds a delivery to the reader's version. That the sender's
// signature holds when it is there, and is there when it can be, the party has
// proved already.
func inVersion(t *testing.T, a adaptertest.Answered, v envelopes.Version, content string, signed bool) {
	t.Helper()
	if got := a.Envelope.Version(); got != v {
		t.Errorf("delivered in %s, want %s", got, v)
	}
	var got string
	if r := a.Message.Request; r != nil {
		got = string(r.Content.Bytes())
	} else {
		got = string(a.Message.Response.Content.Bytes())
	}
	if got != content {
		t.Errorf("content:\n%s\nwant\n%s", got, content)
	}
	if a.SenderSigned != signed {
		t.Errorf("sender's signature there: %v, want %v", a.SenderSigned, signed)
	}
}

// deliveredAs holds what the journal says about the delivery.
func deliveredAs(t *testing.T, w *adaptertest.World, id string, signed bool) {
	t.Helper()
	events, err := w.Store.Trace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := adapter.OutcomeRewrapped
	if signed {
		want = "ok"
	}
	for _, e := range events {
		if e.MessageID == id && e.Kind == journal.KindDelivered && e.Outcome != want {
			t.Errorf("delivered with outcome %q, want %q", e.Outcome, want)
		}
		if e.MessageID == id && e.Kind == journal.KindAcknowledged && e.Outcome != "accepted" {
			t.Errorf("acknowledged with outcome %q", e.Outcome)
		}
	}
}

// Rejections and statuses are read in every version, too.
func TestVersionsMixInRefusals(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI").In(envelopes.V11), w.Party("REGISTRY").In(envelopes.V13)
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	m := take(t, registry, envelopes.GetRequest, "")
	accepted(t, registry.Reply(m.ReplyTo, adaptertest.Reply{Status: &envelopes.RequestStatus{Code: 1, Description: "в работе"}}))
	if s := take(t, muni, envelopes.GetResponse, ""); s.Response == nil || s.Response.Status == nil || s.Response.Status.Description != "в работе" {
		t.Errorf("status: %+v", s)
	}
	accepted(t, registry.Reply(m.ReplyTo, adaptertest.Reply{Reject: []envelopes.Rejection{{Code: "NO_DATA", Description: "нет сведений"}}}))
	if r := take(t, muni, envelopes.GetResponse, ""); r.Response == nil || len(r.Response.Rejections) != 1 || r.Response.Rejections[0].Description != "нет сведений" {
		t.Errorf("rejection: %+v", r)
	}
	w.Check()
}

// What the door lets in under wide limits can be delivered under them, also
// when it has to be written anew.
func TestWideLimitsReachTheReader(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Limits.Body, c.Limits.Attachments, c.Limits.Depth = 64<<20, 32<<20, 400
	}))
	big := make([]byte, 15<<20) // 20 MB in base64
	for i, v := range []envelopes.Version{envelopes.V12, envelopes.V13} {
		accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Files: map[string][]byte{"scan1": big}}))
		m := take(t, w.Party("REGISTRY").In(v), envelopes.GetRequest, "")
		if len(m.Attachments) != 1 || len(m.Attachments[0].Content) != len(big) {
			t.Errorf("%d: attachments are not what was sent", i)
		}
	}
	w.Check()
}
