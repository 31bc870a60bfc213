package adapter_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/postgres"
	"mezhved/adapter/vault"
	"mezhved/envelopes"
)

// A message whose key has gone while it waited, as after a database was put back that
// had forgotten its delivery: nobody is handed it, at the queue or on the bus, what
// waits behind it goes on, and the erasure takes it out with an entry.
func TestAnErasedMessageIsNotDelivered(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	ctx := context.Background()
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	store := w.Store.Store.(*postgres.Store)
	erase := func(id string) uuid.UUID {
		t.Helper()
		found, err := w.Store.Find(ctx, adapter.MessageID(id))
		if err != nil {
			t.Fatal(err)
		}
		m := found[0]
		e := vault.Erasure{ID: uuid.NewString(), At: w.Clock.Now().UTC(), Ground: "order 7", Items: []vault.Item{{Class: adapter.ContentClass(m.Service, m.Direction), ID: vault.ID(m.ID)}}}
		if err := w.Vault.Erase(e); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	kinds := func(id uuid.UUID) map[journal.Kind]string {
		t.Helper()
		events, err := w.Store.Trace(ctx, id.String())
		if err != nil {
			t.Fatal(err)
		}
		out := map[journal.Kind]string{}
		for _, e := range events {
			out[e.Kind] = e.Outcome
		}
		return out
	}

	// What has an attachment no node keeps in memory.
	attached := request(adaptertest.Extract1)
	attached.Files = map[string][]byte{"a.txt": []byte("scan")}

	// In a queue.
	gone := accepted(t, muni.Send(attached))
	w.AwaitQueued(1)
	next := accepted(t, muni.Send(request(adaptertest.Extract1)))
	w.AwaitQueued(2)
	inQueue := erase(gone.Receipt.MessageID)
	d := registry.Await(envelopes.GetRequest, "")
	if d.Message.Metadata.MessageID != next.Receipt.MessageID {
		t.Errorf("handed out %s, want the message behind the erased one", d.Message.Metadata.MessageID)
	}
	if a := registry.Ack(next.Receipt.MessageID); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	if _, err := store.Reerase(ctx, nil, false, ""); err != nil {
		t.Fatal(err)
	}
	if k := kinds(inQueue); k[journal.KindDead] != adapter.OutcomeErased {
		t.Errorf("its life ended as %v", k)
	}
	if waits, err := w.Store.Depths(ctx); err != nil || len(waits) > 0 && waits[0].Waiting+waits[0].Leased > 0 {
		t.Errorf("still in the queue: %+v, %v", waits, err)
	}

	// Before the bus.
	w.Bus.Always("Publish", adaptertest.Failed)
	late := accepted(t, muni.Send(attached))
	inOutbox := erase(late.Receipt.MessageID)
	published := len(w.Bus.Published())
	w.Bus.Always("Publish", 0)
	w.Eventually("the relay is through with it", func() bool { return kinds(inOutbox)[journal.KindDead] == adapter.OutcomeErased })
	for _, r := range w.Bus.Published()[published:] {
		for _, h := range r.Headers {
			if h.Key == "message-id" && string(h.Value) == late.Receipt.MessageID {
				t.Error("a record of the erased message is on the bus")
			}
		}
	}
	if _, err := store.Reerase(ctx, nil, false, ""); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{inQueue, inOutbox} {
		if _, ok := kinds(id)[journal.KindErased]; !ok {
			t.Errorf("no entry tells of the erasure of %s", id)
		}
	}
}

// Values about people wait for their place in the journal sealed, so neither a dump of
// the database nor its own log holds them; the entry commits to them as they were, and
// they are found.
func TestValuesAboutPeopleWaitSealed(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	ctx := context.Background()
	const snils = "112-233-445 95"
	w.Write("services/extract/1.0/service.yaml", "title: Выписка из реестра\nroot:\n  namespace: "+adaptertest.Extract1+"\n  request: ExtractRequest\n  response: ExtractResponse\n"+
		"providers: [REGISTRY]\ncallers: [MUNI, MFC]\npersonal:\n  request:\n    - {field: snils, xpath: /ExtractRequest/RegionCode}\n")
	w.Reload()
	accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, snils)}))
	dump := w.Dump()
	if !bytes.Contains(dump, []byte(`"snils"`)) {
		t.Fatal("no event about the person waits: nothing is tried here")
	}
	for _, spelling := range []string{snils, "11223344595"} {
		if adaptertest.Holds(dump, spelling) {
			t.Errorf("%s stands in the clear while it waits", spelling)
		}
	}
	w.Sequence()
	book, err := w.Store.Store.(*postgres.Store).Journal(ctx, journaltest.Origin, w.Vault)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := book.Search(ctx, postgres.Query{Values: []journal.PersonalField{{Field: "snils", Value: snils}}})
	if err != nil || len(rows) == 0 || rows[0].Leaf.Kind == journal.KindUnknown {
		t.Errorf("found by the person: %d entries, %v", len(rows), err)
	}
	if adaptertest.Holds(w.Dump(), "11223344595") {
		t.Error("the journal holds the number in the clear")
	}
}
