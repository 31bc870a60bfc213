package adapter_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"testing"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// recorder keeps the envelopes that parties send and get, as they are on the wire.
type recorder struct {
	t     *testing.T
	next  http.RoundTripper
	mu    sync.Mutex
	calls []recorded
}

type recorded struct {
	operation  envelopes.Operation
	sent, came []byte // envelopes: of a multipart body, the root part
}

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q.Body = io.NopCloser(bytes.NewReader(sent))
	a, err := r.next.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	came, err := io.ReadAll(a.Body)
	a.Body.Close()
	a.Body = io.NopCloser(bytes.NewReader(came))
	call, bad := envelopes.Parse(q.Header.Get("Content-Type"), sent, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if err != nil || bad != nil {
		return a, err
	}
	answer, bad := envelopes.ParseAnswer(a.Header.Get("Content-Type"), came, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if bad == nil {
		r.mu.Lock()
		r.calls = append(r.calls, recorded{call.Operation(), bytes.Clone(call.Bytes()), bytes.Clone(answer.Bytes())})
		r.mu.Unlock()
	}
	return a, nil
}

// take gives what was recorded of an operation since the last time.
func (r *recorder) take(ops ...envelopes.Operation) (out []recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		for _, op := range ops {
			if c.operation == op {
				out = append(out, c)
			}
		}
	}
	r.calls = nil
	return out
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// receiptOf is what an event commits to.
func receiptOf(t *testing.T, e journal.Event) journal.Receipt {
	t.Helper()
	for _, p := range e.Personal {
		if p.Field == journal.FieldReceipt {
			r, err := journal.ParseReceipt(p.Value)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	return journal.Receipt{}
}

// kept holds the receipts of a message against what went over the wire: byte for
// byte the same, committed to by the message's events.
func kept(t *testing.T, w *adaptertest.World, id string, poll, ack recorded) {
	t.Helper()
	found, err := w.Store.Find(context.Background(), adapter.MessageID(id))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Store.Receipts(context.Background(), found[0].ID)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts are kept of %s, want a delivery and an Ack: %v", len(got), id, err)
	}
	for _, one := range []struct {
		what      string
		got, want []byte
	}{{"poll", got[0].Poll, poll.sent}, {"answer", got[0].Answer, poll.came}, {"ack", got[1].Ack, ack.sent}} {
		if !bytes.Equal(one.got, one.want) {
			t.Errorf("%s: kept\n%s\nwant\n%s", one.what, one.got, one.want)
		}
	}
	events, err := w.Store.Trace(context.Background(), found[0].ID.String())
	if err != nil {
		t.Fatal(err)
	}
	want := map[journal.Kind]journal.Receipt{
		journal.KindDelivered: {Poll: sha(poll.sent), Answer: sha(poll.came)}, journal.KindAcknowledged: {Ack: sha(ack.sent)},
	}
	for _, e := range events {
		if r := receiptOf(t, e); r != want[e.Kind] {
			t.Errorf("%s commits to %s, want %s", e.Kind, r, want[e.Kind])
		}
		delete(want, e.Kind)
	}
	if len(want) > 0 {
		t.Errorf("no events %v", want)
	}
}

// Who was handed a message has asked for it and has acknowledged it, and what he was
// handed is what we signed: polls, answers and Acks are kept byte for byte, in every
// version of sender and reader, with attachments inside and beside the envelope.
func TestReceiptsAreKept(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	r := &recorder{t: t, next: http.DefaultTransport}
	w.HTTP.Transport = r
	files := map[string][]byte{"scan1": []byte("%PDF"), "scan2": bytes.Repeat([]byte{0, 1, 2, 250}, 10_000)}
	for _, from := range envelopes.Versions {
		for _, to := range envelopes.Versions {
			muni, registry := w.Party("MUNI").In(from), w.Party("REGISTRY").In(to)
			sent := accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Files: files}))
			r.take()
			a := registry.Await(envelopes.GetRequest, "")
			polls := r.take(envelopes.GetRequest)
			accepted(t, registry.Ack(a.Message.Metadata.MessageID))
			kept(t, w, sent.Receipt.MessageID, polls[len(polls)-1], r.take(envelopes.Ack)[0])

			back := accepted(t, registry.Reply(a.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
			r.take()
			b := muni.Await(envelopes.GetResponse, "")
			polls = r.take(envelopes.GetResponse)
			accepted(t, muni.Ack(b.Message.Metadata.MessageID))
			kept(t, w, back.Receipt.MessageID, polls[len(polls)-1], r.take(envelopes.Ack)[0])
		}
	}
	// The answer's own bytes and not the message's again: two attachments of 53 KB in
	// base64 stand in it, and are kept once.
	if most := w.Number("SELECT max(octet_length(body)) FROM receipt WHERE size > 50000"); most > 6000 {
		t.Errorf("a receipt takes %d bytes", most)
	}
	w.Check()
}

// What is kept can be held against its signer: his signature covers what the receipt
// says, by the verifier that anybody has.
func TestReceiptsVerify(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	id, _ := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	accepted(t, w.Party("REGISTRY").Ack(id))
	found, err := w.Store.Find(context.Background(), adapter.MessageID(id))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Store.Receipts(context.Background(), found[0].ID)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d receipts: %v", len(got), err)
	}
	verifier, err := signing.NewVerifier(signing.Options{Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	by := func(envelope []byte) (*envelopes.Envelope, signing.Signed, error) {
		e, err := envelopes.Parse("text/xml", envelope, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
		if err != nil {
			return nil, signing.Signed{}, err
		}
		sig, target := e.Caller()
		signed, err := verifier.Verify(sig, target)
		return e, signed, err
	}
	e, signed, err := by(got[1].Ack)
	if err != nil || signed.Certificate().SHA256 != w.Party("REGISTRY").Signer.Certificate().SHA256 {
		t.Fatalf("the Ack is not REGISTRY's: %v", err)
	}
	ack, err := envelopes.DecodeAck(e, signed)
	if err != nil || ack.MessageID != id || !ack.Accepted {
		t.Errorf("the Ack says %+v, %v", ack, err)
	}
	if _, signed, err = by(got[0].Poll); err != nil || signed.Certificate().SHA256 != w.Party("REGISTRY").Signer.Certificate().SHA256 {
		t.Errorf("the poll is not REGISTRY's: %v", err)
	}
	if _, _, err := by(bytes.Replace(got[1].Ack, []byte(id), []byte(w.NewMessageID()), 1)); err == nil {
		t.Error("an Ack of another message verifies")
	}
}
