package envelopes

import (
	"bytes"
	"testing"

	"mezhved/envelopes/xmltape"
)

// FuzzParse states: what is let in and decodes, decodes to the same after the
// client's builder wrote it anew, and stands in the built document byte for
// byte; what a delivery makes of it gives back the sender's element unchanged.
func FuzzParse(f *testing.F) {
	for _, v := range Versions {
		for _, d := range someCalls(f, v) {
			kind, body := Package(d.Seal([]byte(signature)), d.Parts, false)
			f.Add(kind, body)
		}
		kind, body := Package(someCalls(f, v)["SendRequest"].Seal([]byte(signature)), nil, true)
		f.Add(kind, body)
	}
	f.Add("text/xml", []byte(pollBody("\ufeff", ` xmlns:ns2="undefined"`, "<soapenv:Header/>")))
	f.Fuzz(roundTrip)
}

// TestBentCallsRoundTrip holds every systematic variant of every call to the
// property of FuzzParse.
func TestBentCallsRoundTrip(t *testing.T) {
	for _, v := range Versions {
		for _, d := range someCalls(t, v) {
			for _, bent := range bend(t, string(d.Seal([]byte(signature)))) {
				roundTrip(t, "text/xml", []byte(bent))
			}
		}
	}
}

func roundTrip(t *testing.T, kind string, body []byte) {
	e, err := Parse(kind, body, new(xmltape.Tape), Limits{})
	if err != nil {
		return
	}
	sig, target := e.Caller()
	if sig.Valid() && !target.Valid() {
		t.Fatal("a signature of nothing")
	}
	if !target.Valid() {
		if e.Check() == nil {
			t.Fatal("a call without the element to be signed passed")
		}
		return
	}
	draft, first, err := rebuild(e)
	if (err == nil) != (e.Check() == nil) {
		t.Fatalf("decode says %v, check says %v", err, e.Check())
	}
	if err != nil {
		return
	}
	claimsAgree(t, e.Claims(), first)
	again := parse(t, "text/xml", draft.Seal([]byte(signature)))
	redraft, second, err := rebuild(again)
	if err != nil {
		t.Fatalf("decoded, built, and refused: %v\n%s", err, draft.XML)
	}
	same(t, first, second)
	if !bytes.Equal(draft.XML, redraft.XML) {
		t.Fatalf("building is not stable\n%s\n%s", draft.XML, redraft.XML)
	}
	if c, ok := first.(*SendRequestCall); ok {
		deliver(t, e.Version(), c)
	}
}

// same compares what two decodings of one call say.
func same(t *testing.T, a, b any) {
	t.Helper()
	switch a := a.(type) {
	case *SendRequestCall:
		b := b.(*SendRequestCall)
		if !bytes.Equal(a.Content.Bytes(), b.Content.Bytes()) || !bytes.Equal(a.PersonalSignature.Bytes(), b.PersonalSignature.Bytes()) || !bytes.Equal(a.Process.Inner(), b.Process.Inner()) {
			t.Fatal("content, personal signature or process metadata changed")
		}
		if a.MessageID != b.MessageID || a.ReferenceMessageID != b.ReferenceMessageID || a.TransactionCode != b.TransactionCode || a.NodeID != b.NodeID || a.Test != b.Test ||
			!a.EOL.Truncate(1e6).Equal(b.EOL) || len(a.Headers) != len(b.Headers) || len(a.References) != len(b.References) || len(a.Attachments) != len(b.Attachments) {
			t.Fatalf("got %+v, want %+v", b, a)
		}
		for i := range a.Attachments {
			if a.Attachments[i].ID != b.Attachments[i].ID || !bytes.Equal(a.Attachments[i].Content, b.Attachments[i].Content) {
				t.Fatal("an attachment changed")
			}
		}
	case *SendResponseCall:
		b := b.(*SendResponseCall)
		if !bytes.Equal(a.Content.Bytes(), b.Content.Bytes()) || a.MessageID != b.MessageID || a.To != b.To || len(a.Rejections) != len(b.Rejections) || (a.Status == nil) != (b.Status == nil) {
			t.Fatalf("got %+v, want %+v", b, a)
		}
		for i := range a.Rejections {
			if a.Rejections[i] != b.Rejections[i] {
				t.Fatalf("got %+v, want %+v", b.Rejections[i], a.Rejections[i])
			}
		}
	case *PollCall:
		b := b.(*PollCall)
		if a.Operation != b.Operation || a.Root != b.Root || a.NodeID != b.NodeID || !a.Timestamp.Truncate(1e6).Equal(b.Timestamp) {
			t.Fatalf("got %+v, want %+v", b, a)
		}
	case *AckCall:
		b := b.(*AckCall)
		if a.MessageID != b.MessageID || a.Accepted != b.Accepted || a.ID != b.ID {
			t.Fatalf("got %+v, want %+v", b, a)
		}
	}
}

func deliver(t *testing.T, v Version, c *SendRequestCall) {
	t.Helper()
	draft := BuildRequestDelivery(v, RequestDelivery{Data: FragmentOf(c.Data), Signature: FragmentOf(c.Signature), Metadata: someMetadata(TypeRequest, v.Delivered()), ReplyTo: someReply})
	a, err := ParseAnswer("text/xml", draft.Seal([]byte(signature)), new(xmltape.Tape), Limits{})
	if err != nil {
		t.Fatalf("the delivery cannot be read: %v\n%s", err, draft.XML)
	}
	_, target := a.Signed()
	if id, _ := target.Attr("", "Id"); id != draft.SignID {
		t.Fatalf("the signed element has Id %q, want %q", id, draft.SignID)
	}
	d, err := DecodeDelivery(a, placed{target})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.Request.Data.Bytes(), c.Data.Bytes()) || !bytes.Equal(d.Request.Signature.Bytes(), c.Signature.Bytes()) || d.ReplyTo != someReply || d.Metadata.MessageID != someID {
		t.Fatalf("the delivery changed the message\n%s", draft.XML)
	}
}

// FuzzParseAnswer states: an answer is read or refused, and only what the
// position prescribes is given as signed.
func FuzzParseAnswer(f *testing.F) {
	for _, v := range Versions {
		for _, d := range someAnswers(f, v) {
			f.Add("text/xml", d.XML)
		}
		for _, k := range FaultKinds(v) {
			f.Add("text/xml", someFault(k).Build(v))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		a, err := ParseAnswer(kind, body, new(xmltape.Tape), Limits{})
		if err != nil {
			return
		}
		sig, target := a.Signed()
		if sig.Valid() && (!target.Valid() || sig.Parent().Parent() != target.Parent()) {
			t.Fatal("the signature's wrapper is no sibling of the signed element")
		}
		if f := a.Fault(); f != nil {
			_ = f.Error()
			return
		}
		if target.Valid() {
			_, _ = DecodeReceipt(a, placed{target})
			_, _ = DecodeDelivery(a, placed{target})
			_, _ = DecodeStatusMessage(a, placed{target})
		}
		_, _ = DecodeQueueStatistics(a)
	})
}
