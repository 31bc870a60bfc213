package adapter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

var anything = adapter.QName{}

// A municipality asks the register for an extract and gets it.
func TestARequestIsAnswered(t *testing.T) {
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
			want := "accepted routed queued delivered acknowledged answered"
			if got := life(t, w, sent.Receipt.MessageID); got != want {
				t.Errorf("life of the request: %s, want %s", got, want)
			}
			w.Check()
		})
	}
}

// life is the kinds of a message's own events, in order.
func life(t *testing.T, w *adaptertest.World, id string) string {
	t.Helper()
	events, err := w.Store.Trace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		if e.MessageID == id {
			kinds = append(kinds, string(e.Kind))
		}
	}
	return strings.Join(kinds, " ")
}

var _ = journal.KindAccepted
var _ = time.Second
