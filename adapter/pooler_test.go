package adapter_test

import (
	"testing"

	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// straightAndPooled tells a story twice: with PostgreSQL, and with a pooler of transactions
// in between.
func straightAndPooled(t *testing.T, story func(t *testing.T, w *adaptertest.World)) {
	t.Parallel()
	t.Run("straight", func(t *testing.T) {
		t.Parallel()
		story(t, adaptertest.Start(t))
	})
	t.Run("behind a pooler", func(t *testing.T) {
		t.Parallel()
		story(t, adaptertest.Start(t, adaptertest.WithWay(func(url string) string { return adaptertest.Pooler(t, url, "transaction") })))
	})
}

// A pooler of transactions stands between gateway and PostgreSQL and drops what
// sessions are begun with. Everything goes its way: requests, replies,
// acknowledgements, the journal.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithWay(func(url string) string { return adaptertest.Pooler(t, url, "transaction") }))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	for range 20 {
		_, asked := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
		got := asked.Message
		if a := registry.Reply(got.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
			t.Fatalf("the reply was refused: %v", a.Fault)
		}
		if a := registry.Ack(got.Metadata.MessageID); a.Fault != nil {
			t.Fatalf("ack: %v", a.Fault)
		}
		back := muni.Await(envelopes.GetResponse, "").Message
		if a := muni.Ack(back.Metadata.MessageID); a.Fault != nil {
			t.Fatalf("ack of the reply: %v", a.Fault)
		}
	}
	w.Check()
}
