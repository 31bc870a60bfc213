package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// signedBy proves the caller's signature over a kept call, as anybody can who has the
// bundle.
func signedBy(d *desk, envelope []byte) (*envelopes.Envelope, signing.Signed) {
	d.t.Helper()
	verifier, err := signing.NewVerifier(signing.Options{Now: d.Clock.Now})
	d.must(err)
	e, err := envelopes.Parse("text/xml", envelope, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	d.must(err)
	sig, target := e.Caller()
	signed, err := verifier.Verify(sig, target)
	d.must(err)
	return e, signed
}

// Delivery and acknowledgement are not our word alone: the trace leads to the signed
// poll, to what was handed out for it and to the signed Ack, and the bundle has them,
// vouched for by their entries, so that their signatures can be verified from it alone.
func TestReceiptsAreEvidence(t *testing.T) {
	d := openDesk(t)
	id := d.exchange()
	d.settle()
	trace := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+id)
	taken := map[string][]byte{} // by the entry and what it is
	for _, e := range trace.Events {
		paths := map[string]string{}
		if r := e.Receipt; r != nil {
			paths = map[string]string{"poll": r.Poll, "answer": r.Answer, "ack": r.Ack}
		}
		want := map[string][]string{"delivered": {"answer", "poll"}, "acknowledged": {"ack"}}[e.Kind]
		for what, path := range paths {
			if (path != "") != slices.Contains(want, what) {
				t.Errorf("%s: %s is at %q", e.Kind, what, path)
			}
			if path == "" {
				continue
			}
			a := d.ask(auditorToken, path, nil)
			if sum := sha256.Sum256(a.body); a.StatusCode != http.StatusOK || a.Header.Get("X-Mezhved-Sha256") != hex.EncodeToString(sum[:]) {
				t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
			}
			taken[fmt.Sprint(*e.Index, " ", what)] = a.body
		}
	}
	if len(taken) != 6 { // two messages
		t.Fatalf("%d envelopes in the trace", len(taken))
	}

	b := d.ask(auditorToken, "/api/v1/journal/bundle?exchange="+id, nil)
	evidence, err := audit.VerifyBundle(bytes.NewReader(b.body), int64(len(b.body)), d.policy)
	d.must(err)
	acks := 0
	for _, x := range evidence.Entries {
		for what, envelope := range map[string][]byte{"poll": x.Poll, "answer": x.Answer, "ack": x.Ack} {
			key := fmt.Sprint(x.Index, " ", what)
			if !bytes.Equal(envelope, taken[key]) {
				t.Errorf("%s of entry %d is another one in the bundle", what, x.Index)
			}
			delete(taken, key)
		}
		if x.Ack == nil {
			continue
		}
		acks++
		e, signed := signedBy(d, x.Ack)
		ack, err := envelopes.DecodeAck(e, signed)
		if sum := signed.Certificate().SHA256; err != nil || ack.MessageID != x.Leaf.MessageID || hex.EncodeToString(sum[:]) != x.Leaf.Certificate {
			t.Errorf("entry %d, of %s: the Ack is of %+v by %x: %v", x.Index, x.Leaf.MessageID, ack, sum, err)
		}
	}
	if acks != 2 || len(taken) != 0 {
		t.Errorf("%d Acks in the bundle, %d envelopes of the trace are not in it", acks, len(taken))
	}

	if a := d.ask(auditorToken, "/api/v1/messages/"+trace.Messages[0].Message+"/receipts/MUNI/1/ack", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("a receipt of another party: %d", a.StatusCode)
	}
}

// What a stream's reader has is proved by how far its group had read: the trace says
// it, and the bundle discloses it.
func TestTheReceiptOfAStream(t *testing.T) {
	d := openDesk(t)
	want := journal.Stream{Committed: 42, Epoch: "cluster/topic", Group: "обработка <1>", Offset: 41, Partition: 3, Topic: "mezhved.requests.REGISTRY"}
	message := newMessage()
	d.must(d.Store.Record(t.Context(), journal.Event{Kind: journal.KindDelivered, Time: d.Clock.Now(), Message: message, Recipient: "REGISTRY", Outcome: "stream", Channel: "stream", Attempt: 1,
		Personal: []journal.PersonalField{journal.Receipt{Stream: &want}.Field()}}))
	pending := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+message).Events[0]
	d.settle()
	logged := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+message).Events[0]
	for _, e := range []Entry{pending, logged} {
		if e.Receipt == nil || e.Receipt.Stream == nil || *e.Receipt.Stream != want || e.Receipt.Poll != "" {
			t.Errorf("%s: the receipt is %+v", e.State, e.Receipt)
		}
	}
	b := d.ask(auditorToken, "/api/v1/journal/bundle?exchange="+message, nil)
	evidence, err := audit.VerifyBundle(bytes.NewReader(b.body), int64(len(b.body)), d.policy)
	d.must(err)
	if r := evidence.Entries[0].Receipt; r == nil || r.Stream == nil || *r.Stream != want {
		t.Errorf("in the bundle: %+v", r)
	}
}
