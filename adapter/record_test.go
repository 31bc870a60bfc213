package adapter_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// What nobody but gateways reads is on the bus as the store keeps it, sealed, and is read
// there when the store has it no more: by its sender's signature the content is proved.
// What has attachments in its body is sealed for the bus, as releases before do with all.
func TestRecordsAreReadWithoutTheirMessages(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	accepted(t, muni.Send(request(adaptertest.Extract1)))
	to := take(t, registry, envelopes.GetRequest, "").ReplyTo
	accepted(t, registry.Reply(to, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
	var records []adapter.Record
	published := func(n int) {
		w.Eventually("the records are on the bus", func() bool {
			records = w.Bus.Published()
			return len(records) == n
		})
	}
	published(2) // each shard of the outbox is relayed in its own time
	accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Files: map[string][]byte{"f1": []byte("a file")}}))
	published(3)
	take(t, muni, envelopes.GetResponse, "")
	w.SQL("DELETE FROM message")
	for i, form := range []string{"kept", "kept", "sealed"} {
		r := records[i]
		if got := header(r, "mezhved-body"); got != form {
			t.Errorf("record %d is %q, want %q", i, got, form)
		}
		for _, h := range r.Headers { // providers' clients take the headers of their topic for text
			if !strings.HasPrefix(h.Key, "mezhved-seal") && !utf8.Valid(h.Value) {
				t.Errorf("record %d: the header %s is no text", i, h.Key)
			}
		}
		value, err := w.RecordValue(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`="urn:mezhved:bus:1"`, header(r, "message-id"), "<ds:SignatureValue>"} {
			if !strings.Contains(string(value), want) {
				t.Errorf("record %d has no %s:\n%s", i, want, value)
			}
		}
		if strings.Contains(string(r.Value), header(r, "message-id")) {
			t.Errorf("record %d is in the clear", i)
		}
		other := records[(i+1)%3]
		r.Value = other.Value
		if _, err := w.RecordValue(r); err == nil {
			t.Errorf("record %d is read with another's value", i)
		}
	}
}
