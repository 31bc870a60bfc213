package party_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/envelopes"
)

// TestAtTheGateway lets two parties exchange through a real gateway.
func TestAtTheGateway(t *testing.T) {
	w := adaptertest.Start(t)
	ctx := t.Context()
	client := func(mnemonic string, v envelopes.Version) *party.Client {
		return &party.Client{URL: w.URL + "/ws", Version: v, Signer: w.Party(mnemonic).Signer, Clock: w.Clock.Now, XOP: v == envelopes.V13}
	}
	patient := party.Selector{Wait: 20 * time.Second}
	for _, v := range envelopes.Versions {
		muni, registry := client("MUNI", v), client("REGISTRY", v)
		scan := party.Attachment{ID: "scan", MimeType: "application/pdf", Content: []byte("%PDF")}
		receipt, err := muni.SendRequest(ctx, party.Request{Content: []byte(adaptertest.Content(adaptertest.Extract1)), Attachments: []party.Attachment{scan}})
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		if got, want := receipt.Recipient.Mnemonic, "REGISTRY"; got != want {
			t.Errorf("%s: recipient %s, want %s", v, got, want)
		}
		asked, err := registry.PollRequest(ctx, patient)
		if err != nil || asked == nil {
			t.Fatalf("%s: %v, %v", v, asked, err)
		}
		if asked.Metadata.MessageID != receipt.MessageID || len(asked.Attachments) != 1 || string(asked.Attachments[0].Content) != "%PDF" {
			t.Errorf("%s: delivered %+v", v, asked)
		}
		if err := registry.Ack(ctx, asked.Metadata.MessageID, true); err != nil {
			t.Error(err)
		}
		for _, r := range []party.Reply{
			{To: asked.ReplyTo, Status: &envelopes.RequestStatus{Code: 1, Description: "Принято в работу"}},
			{To: asked.ReplyTo, Content: []byte(adaptertest.Answer(adaptertest.Extract1))},
		} {
			if _, err := registry.Reply(ctx, r); err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			back, err := muni.PollResponse(ctx, patient)
			if err != nil || back == nil {
				t.Fatalf("%s: %v, %v", v, back, err)
			}
			if got, want := back.OriginalMessageID, receipt.MessageID; got != want {
				t.Errorf("%s: original %s, want %s", v, got, want)
			}
			if (back.Response.Status != nil) != (r.Status != nil) || back.Response.Content.Valid() != (r.Content != nil) {
				t.Errorf("%s: answer %+v", v, back.Response)
			}
			if err := muni.Ack(ctx, back.Metadata.MessageID, true); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := client("STRANGER", envelopes.V12).SendRequest(ctx, party.Request{Content: []byte(adaptertest.Content(adaptertest.Extract1))})
	var refused *party.FaultError
	if !errors.As(err, &refused) || refused.Fault.Kind != envelopes.SenderIsNotRegistered || refused.Incident == "" {
		t.Errorf("a stranger: %v", err)
	}
	invalid := strings.Replace(adaptertest.Content(adaptertest.Extract1), "КадастровыйНомер>", "КадастровыйНомер>не номер ", 1)
	_, err = client("MUNI", envelopes.V12).SendRequest(ctx, party.Request{Content: []byte(invalid)})
	if !errors.As(err, &refused) || refused.Fault.Kind != envelopes.InvalidContent || len(refused.Fault.Validation) == 0 {
		t.Errorf("invalid content: %v", err)
	}
	w.Check()
}
