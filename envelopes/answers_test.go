package envelopes

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

// schemaText is what the live bus says of content that does not match its schema.
var schemaText = "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ. MessageId = " + someID

func someMetadata(t MessageType, s Status) Metadata {
	return Metadata{
		MessageID: someID, Type: t, Sender: Participant{"MNSV05", "Муниципалитет"}, Sent: someTime,
		Recipient: Participant{"RR01", "Росреестр"}, Status: s,
	}
}

// someAnswers are answers of every operation.
func someAnswers(t testing.TB, v Version) map[string]Draft {
	call := parse(t, "text/xml", someCalls(t, v)["SendRequest"].Seal([]byte(signature)))
	request, err := DecodeSendRequest(call, proof(call))
	if err != nil {
		t.Fatal(err)
	}
	replyCall := parse(t, "text/xml", someCalls(t, v)["SendResponse-status"].Seal([]byte(signature)))
	reply, err := DecodeSendResponse(replyCall, proof(replyCall))
	if err != nil {
		t.Fatal(err)
	}
	delivered := someMetadata(TypeRequest, v.Delivered())
	delivered.Delivered = someTime.Add(time.Minute)
	broadcast := delivered
	broadcast.Type, broadcast.Recipient = TypeBroadcast, Participant{}
	answered := delivered
	answered.Type, answered.MessageID = TypeResponse, otherID
	async := AsyncStatus{OriginalMessageID: someID, Category: StatusRequestIsRejectedBySmev, Details: schemaText, Fault: &Fault{
		Kind: InvalidContent, Code: "mezhved:1", Text: schemaText, Validation: []ValidationError{{Position: -1, Text: "cvc-complex-type.2.4.b: …"}},
	}}
	plain := AsyncStatus{OriginalMessageID: someID, Category: StatusRequestIsRejectedBySmev, Fault: &Fault{Kind: AttachmentContentMiscoordination, Code: "x", Text: "Некорректная информация о фтп вложениях; message id = " + someID}}
	fs := []FSAttachment{{UUID: otherID, UserName: "u", Password: "p&<", FileName: "/план.zip"}}
	answers := map[string]Draft{
		"SendRequest":  BuildReceipt(v, SendRequest, someMetadata(TypeRequest, StatusRequestIsQueued)),
		"SendResponse": BuildReceipt(v, SendResponse, someMetadata(TypeResponse, StatusRequestIsQueued)),
		"GetRequest": BuildRequestDelivery(v, RequestDelivery{
			Data: FragmentOf(request.Data), Signature: FragmentOf(request.Signature), Metadata: delivered, Files: fs, ReplyTo: someReply, Attachments: request.Attachments,
		}),
		"GetRequest-broadcast": BuildRequestDelivery(v, RequestDelivery{Data: FragmentOf(request.Data), Metadata: broadcast}),
		"GetRequest-empty":     BuildEmpty(v, GetRequest),
		"GetResponse": BuildResponseDelivery(v, ResponseDelivery{
			OriginalMessageID: someID, OriginalTransactionCode: "код", ReferenceMessageID: someID, Data: FragmentOf(reply.Data), Signature: FragmentOf(reply.Signature), Metadata: answered,
		}),
		"GetResponse-async":  BuildResponseDelivery(v, ResponseDelivery{OriginalMessageID: someID, Data: BuildAsyncData(v, AsyncMessage{MessageID: otherID, To: someReply, AsyncStatus: async}), Metadata: answered}),
		"GetResponse-async2": BuildResponseDelivery(v, ResponseDelivery{OriginalMessageID: someID, Data: BuildAsyncData(v, AsyncMessage{MessageID: otherID, To: someReply, AsyncStatus: plain}), Metadata: answered}),
		"GetResponse-empty":  BuildEmpty(v, GetResponse),
		"GetStatus":          BuildStatus(v, async),
		"GetStatus-empty":    BuildEmpty(v, GetStatus),
		"Ack":                BuildAck(v),
	}
	if v == V11 {
		answers["GetIncomingQueueStatistics"] = BuildStatistics([]QueueStatistics{{"request.RR01", 3}, {"response.RR01", 0}})
	}
	return answers
}

func TestAnswersOfEveryOperationAndVersion(t *testing.T) {
	for _, v := range Versions {
		for name, draft := range someAnswers(t, v) {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				sealed := draft.Seal([]byte(signature))
				golden(t, v.String()+"/"+name+".answer.xml", sealed)
				xmllint(t, v, sealed)

				a, err := ParseAnswer("text/xml", sealed, new(xmltape.Tape), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				op, _, _ := strings.Cut(name, "-")
				if got, want := a.Operation().String()+" "+a.Version().String(), op+" "+v.String(); got != want {
					t.Errorf("answer is %s, want %s", got, want)
				}
				if got, want := a.Empty(), strings.HasSuffix(name, "-empty"); got != want {
					t.Errorf("empty is %v, want %v", got, want)
				}
				sig, target := a.Signed()
				if id, _ := target.Attr("", "Id"); id != draft.SignID {
					t.Errorf("signed element has Id %q, want %q", id, draft.SignID)
				}
				if got := sig.Valid(); got != (draft.SignID != "") {
					t.Errorf("signature found: %v", got)
				}
				acknowledged := ""
				if d, err := DecodeDelivery(a, placed{target}); err == nil {
					acknowledged = d.Metadata.MessageID
				}
				if got := a.Claim(); got != acknowledged {
					t.Errorf("it claims to hand out %q, want %q", got, acknowledged)
				}
			})
		}
	}
}

// TestDeliveryReadsBack walks a message through all four hands: client, server,
// server, client.
func TestDeliveryReadsBack(t *testing.T) {
	for _, v := range Versions {
		answers := someAnswers(t, v)
		a, p := answer(t, answers["GetRequest"])
		d, err := DecodeDelivery(a, p)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(d.Request.Content.Bytes()), someContent; got != want {
			t.Errorf("%s: content %s, want %s", v, got, want)
		}
		if got, want := d.ReplyTo, someReply; got != want {
			t.Errorf("%s: ReplyTo %s, want %s", v, got, want)
		}
		if got, want := d.Metadata.Sender.Mnemonic+d.Metadata.Recipient.Mnemonic, "MNSV05RR01"; got != want {
			t.Errorf("%s: participants %s, want %s", v, got, want)
		}
		if got, want := d.Metadata.Sent, someTime; !got.Equal(want) {
			t.Errorf("%s: sent %v, want %v", v, got, want)
		}
		if got, want := d.Files, []FSAttachment{{otherID, "u", "p&<", "/план.zip"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: files %v, want %v", v, got, want)
		}
		if got, want := fmt.Sprintf("%s", d.Attachments), "[{scan %PDF-1.7 скан}]"; got != want {
			t.Errorf("%s: attachments %s, want %s", v, got, want)
		}
		sig, data := a.SenderSigned(p)
		if string(sig.Bytes()) != signature || data != d.Request.Data {
			t.Errorf("%s: the sender's signature is not where it must be", v)
		}

		a, p = answer(t, answers["GetResponse"])
		if d, err = DecodeDelivery(a, p); err != nil {
			t.Fatal(err)
		}
		want := &RequestStatus{Code: 3, Parameters: []StatusParameter{{"срок", "5 дней"}}, Description: "Принято в работу"}
		if got := d.Response.Status; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: status %+v, want %+v", v, got, want)
		}
		if d.OriginalMessageID != someID || d.Metadata.MessageID != otherID {
			t.Errorf("%s: ids %s and %s", v, d.OriginalMessageID, d.Metadata.MessageID)
		}

		a, p = answer(t, answers["GetResponse-async"])
		if d, err = DecodeDelivery(a, p); err != nil {
			t.Fatal(err)
		}
		if d.Async == nil || d.Async.Fault == nil || d.Async.Fault.Kind != InvalidContent || len(d.Async.Fault.Validation) != 1 || d.Async.Category != StatusRequestIsRejectedBySmev {
			t.Errorf("%s: async %+v", v, d.Async)
		}
		a, p = answer(t, answers["GetStatus"])
		s, err := DecodeStatusMessage(a, p)
		if err != nil || s.OriginalMessageID != someID || s.Fault.Description != "SMEV-403:"+schemaText {
			t.Errorf("%s: status message %+v, %v", v, s, err)
		}
		a, p = answer(t, answers["SendRequest"])
		m, err := DecodeReceipt(a, p)
		if err != nil || m.MessageID != someID || m.Status != StatusRequestIsQueued {
			t.Errorf("%s: receipt %+v, %v", v, m, err)
		}
	}
	a, _ := answer(t, someAnswers(t, V11)["GetIncomingQueueStatistics"])
	q, err := DecodeQueueStatistics(a)
	if want := []QueueStatistics{{"request.RR01", 3}, {"response.RR01", 0}}; err != nil || !reflect.DeepEqual(q, want) {
		t.Errorf("statistics %v, %v; want %v", q, err, want)
	}
}

// answer parses a sealed draft and stands in for the verification of its signature.
func answer(t *testing.T, d Draft) (*AnswerEnvelope, Proven) {
	t.Helper()
	b := d.Seal([]byte(signature))
	kind, body := Package(b, d.Parts, false)
	a, err := ParseAnswer(kind, body, new(xmltape.Tape), Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	_, target := a.Signed()
	return a, placed{target}
}

// TestSpliceKeepsBytesAndMeaning delivers elements that were written in nasty
// contexts: whatever the sender's scope, the element arrives byte for byte, its
// bindings are the sender's, and the bus's own elements are in their namespaces.
func TestSpliceKeepsBytesAndMeaning(t *testing.T) {
	for _, v := range Versions {
		T, B, F := v.TypesSpace(), v.BasicSpace(), v.FaultsSpace()
		scopes := map[string]string{
			"own prefixes":        `xmlns:a="` + T + `" xmlns:b="` + B + `"`,
			"the bus's prefixes":  `xmlns="` + B + `" xmlns:ns2="` + T + `" xmlns:ns3="` + F + `"`,
			"swapped":             `xmlns="` + T + `" xmlns:ns2="` + B + `" xmlns:ns3="urn:other"`,
			"rotated":             `xmlns:ns3="` + T + `" xmlns:ns2="` + F + `" xmlns:soap="` + B + `"`,
			"foreign default":     `xmlns="urn:foreign" xmlns:a="` + T + `" xmlns:b="` + B + `"`,
			"smev taken too":      `xmlns:ns2="urn:1" xmlns:smev="urn:2" xmlns:smev1="urn:3" xmlns:a="` + T + `" xmlns:b="` + B + `"`,
			"markup in the names": `xmlns:q="urn:x?a=1&amp;b=&quot;&lt;2" xmlns:a="` + T + `" xmlns:b="` + B + `"`,
			"nonsense":            `xmlns:ns2="undefined" xmlns:a="` + T + `" xmlns:b="` + B + `"`,
		}
		for name, decls := range scopes {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				// Find the prefixes that this scope offers.
				scope := element(t, `<x `+decls+`><y/></x>`).First().InScope()
				prefix := func(space string) string {
					for _, b := range scope {
						if b.URI == space {
							if b.Prefix == "" {
								return ""
							}
							return b.Prefix + ":"
						}
					}
					t.Fatalf("no prefix for %s", space)
					return ""
				}
				a, b := prefix(T), prefix(B)
				xsi := ` xmlns:xsi="` + XSISpace + `"`
				for _, p := range scope {
					if p.Prefix == "xsi" {
						xsi = ""
					}
				}
				data := `<` + a + `SenderProvidedRequestData  Id='SIGNED_BY_SMEV' ><` + a + `MessageID>` + someID + `</` + a + `MessageID><` + b + `MessagePrimaryContent><t:Root` + xsi + ` xmlns:t="urn:t"  xsi:type="t:Тип"><!-- как есть -->&#1040;<![CDATA[<>]]></t:Root></` + b + `MessagePrimaryContent></` + a + `SenderProvidedRequestData>`
				sig := `<Signature xmlns="` + DSigSpace + `"><SignedInfo/></Signature>`
				call := `<e:Envelope xmlns:e="` + SOAPSpace + `" ` + decls + `><e:Body><` + a + `SendRequestRequest>` + data + `<` + a + `CallerInformationSystemSignature>` + sig + `</` + a + `CallerInformationSystemSignature></` + a + `SendRequestRequest></e:Body></e:Envelope>`
				e := parse(t, "text/xml", []byte(call))
				c, err := DecodeSendRequest(e, proof(e))
				if err != nil {
					t.Fatal(err)
				}
				draft := BuildRequestDelivery(v, RequestDelivery{
					Data: FragmentOf(c.Data), Signature: FragmentOf(c.Signature), Metadata: someMetadata(TypeRequest, v.Delivered()),
					Files: []FSAttachment{{otherID, "u", "p", "f"}}, ReplyTo: someReply, Attachments: []Attachment{{"a", []byte("x")}},
				})
				got, p := answer(t, draft)
				d, err := DecodeDelivery(got, p)
				if err != nil {
					t.Fatal(err)
				}
				if string(d.Request.Data.Bytes()) != data {
					t.Errorf("data\ngot  %s\nwant %s", d.Request.Data.Bytes(), data)
				}
				if string(d.Request.Signature.Bytes()) != sig {
					t.Errorf("signature\ngot  %s\nwant %s", d.Request.Signature.Bytes(), sig)
				}
				for _, want := range c.Content.InScope() {
					if space, ok := lookup(d.Request.Content, want.Prefix); !ok || space != want.URI {
						t.Errorf("prefix %q means %q at the recipient, %q at the sender", want.Prefix, space, want.URI)
					}
				}
				if _, bound := lookup(c.Content, ""); !bound {
					if uri, bound := lookup(d.Request.Content, ""); bound {
						t.Errorf("the default namespace became %q", uri)
					}
				}
				if len(d.Files) != 1 || d.Files[0].UUID != otherID || d.ReplyTo != someReply || d.Metadata.MessageID != someID || len(d.Attachments) != 1 {
					t.Errorf("the bus's own elements: %+v", d)
				}
				if draft.SignID == "SIGNED_BY_SMEV" {
					t.Errorf("the bus's Id collides with the sender's")
				}
				xmllint(t, v, []byte(strings.ReplaceAll(string(draft.Seal([]byte(signature))), ` xsi:type="t:Тип"`, "")))
			})
		}
	}
}

func lookup(n xmltape.Node, prefix string) (string, bool) {
	for _, b := range n.InScope() {
		if b.Prefix == prefix {
			return b.URI, true
		}
	}
	return "", false
}

func TestHiddenIdIsNotUsedTwice(t *testing.T) {
	for _, hidden := range []string{`SIGNED_BY_SMEV`, `SIGNED&#95;BY_SMEV`, `SIGNED&#x5f;BY_SMEV`} {
		if got := freeID(bySMEV, []byte(`<a Id="`+hidden+`"/>`)); got == bySMEV {
			t.Errorf("%s: the Id was used again", hidden)
		}
	}
	if got := freeID(bySMEV, []byte(`<a Id="x"/>`), nil); got != bySMEV {
		t.Errorf("got %s, want %s", got, bySMEV)
	}
}

// TestAttachmentsAsParts sends and delivers attachments by XOP.
func TestAttachmentsAsParts(t *testing.T) {
	content := []byte("--uuid:not a boundary\r\n\x00\x01\r\n--")
	call := &SendRequestCall{MessageID: someID, Content: element(t, someContent), Headers: []AttachmentHeader{{ContentID: "a", MimeType: "text/plain"}, {ContentID: "b", MimeType: "text/plain"}}, Attachments: []Attachment{{"a", content}, {"b", nil}}}
	draft := call.Build(V12, true)
	kind, body := Package(draft.Seal([]byte(signature)), draft.Parts, false)
	e := parse(t, kind, body)
	got, err := DecodeSendRequest(e, proof(e))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Attachments) != 2 || string(got.Attachments[0].Content) != string(content) || len(got.Attachments[1].Content) != 0 {
		t.Errorf("attachments %q", got.Attachments)
	}
	if !e.Multipart() {
		t.Errorf("the call is not taken for a multipart one")
	}
	delivery := BuildRequestDelivery(V12, RequestDelivery{Data: FragmentOf(got.Data), Metadata: someMetadata(TypeRequest, StatusMessageIsDelivered), Attachments: got.Attachments, XOP: true})
	a, p := answer(t, delivery)
	d, err := DecodeDelivery(a, p)
	if err != nil || len(d.Attachments) != 2 || string(d.Attachments[0].Content) != string(content) {
		t.Errorf("delivered %+v, %v", d, err)
	}
	kind, _ = Package(delivery.XML, delivery.Parts, false)
	if !strings.Contains(kind, `boundary="uuid:`) {
		t.Errorf("content type %s has no CXF boundary", kind)
	}
}

// TestReadsTheLiveBus reads answers written as the live bus writes them.
func TestReadsTheLiveBus(t *testing.T) {
	for name, check := range map[string]func(t *testing.T, a *AnswerEnvelope){
		"live-queue-empty-multipart.http": func(t *testing.T, a *AnswerEnvelope) {
			if !a.Empty() || a.Operation() != GetResponse {
				t.Errorf("got %s, empty %v", a.Operation(), a.Empty())
			}
		},
		"live-fault-ack.http": func(t *testing.T, a *AnswerEnvelope) {
			f := a.Fault()
			if f == nil || f.Kind != TargetMessageIsNotFound || !strings.HasPrefix(f.Description, "SMEV-501:") || f.Code == "" {
				t.Errorf("fault %+v", f)
			}
		},
		"live-fault-expired.http": func(t *testing.T, a *AnswerEnvelope) {
			f := a.Fault()
			if f == nil || f.Kind != SignatureVerificationFault || f.Signature != CertificateIsExpired || !strings.HasPrefix(f.Text, "Срок действия") {
				t.Errorf("fault %+v", f)
			}
		},
		"live-fault-overflow.http": func(t *testing.T, a *AnswerEnvelope) {
			f := a.Fault()
			if f == nil || f.Kind != DestinationOverflow || f.Broker != "unknown" || !strings.HasPrefix(f.Destination, "delivery.") {
				t.Errorf("fault %+v", f)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(testdata, "live", name))
			if err != nil {
				t.Fatal(err)
			}
			kind, body := splitHTTP(t, b)
			a, err := ParseAnswer(kind, body, new(xmltape.Tape), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			check(t, a)
		})
	}
}

// splitHTTP takes the Content-Type and the body from a saved HTTP message.
func splitHTTP(t testing.TB, b []byte) (string, []byte) {
	t.Helper()
	head, body, ok := strings.Cut(string(b), "\n\n")
	if !ok {
		t.Fatal("the saved message has no empty line after its headers")
	}
	kind := ""
	for line := range strings.SplitSeq(head, "\n") {
		if k, v, _ := strings.Cut(line, ":"); strings.EqualFold(k, "Content-Type") {
			kind = strings.TrimSpace(v)
		}
	}
	return kind, []byte(body)
}

// TestWhatIsAcceptedCanBeDelivered bends calls up to the limits of the gate: each
// is refused, or its delivery is within the same limits.
func TestWhatIsAcceptedCanBeDelivered(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`<q:a>`, n) + strings.Repeat(`</q:a>`, n)
	}
	declared := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ` xmlns:p%d="urn:%d"`, i, i)
		}
		return b.String()
	}
	call := func(decls, content string) string {
		return `<e:Envelope xmlns:e="` + SOAPSpace + `"` + decls + `><e:Body><t:SendRequestRequest xmlns:t="` + V12.TypesSpace() + `" xmlns:b="` + V12.BasicSpace() + `"><t:SenderProvidedRequestData Id="x">` + goodID + `<b:MessagePrimaryContent><q:r xmlns:q="urn:q">` + content + `</q:r></b:MessagePrimaryContent></t:SenderProvidedRequestData></t:SendRequestRequest></e:Body></e:Envelope>`
	}
	for name, bent := range map[string]func(n int) string{
		"depth":        func(n int) string { return call("", nested(n)) },
		"declarations": func(n int) string { return call(declared(n), "") },
		"declarations inside": func(n int) string {
			return call(declared(n/2), `<q:a`+strings.ReplaceAll(declared(n-n/2), "xmlns:p", "xmlns:q")+`/>`)
		},
	} {
		accepted, refused := 0, 0
		for n := 60; n < 140; n++ {
			e, err := Parse("text/xml", []byte(bent(n)), new(xmltape.Tape), Limits{})
			if err != nil {
				refused++
				continue
			}
			accepted++
			c, err := DecodeSendRequest(e, proof(e))
			if err != nil {
				t.Fatal(err)
			}
			d := BuildRequestDelivery(V12, RequestDelivery{Data: FragmentOf(c.Data), Metadata: someMetadata(TypeRequest, StatusMessageIsDelivered), ReplyTo: someReply})
			if err := new(xmltape.Tape).Parse(d.Seal([]byte(signature)), xmltape.Limits{}); err != nil {
				t.Errorf("%s %d: accepted, and the delivery is refused: %v", name, n, err)
			}
		}
		if accepted == 0 || refused == 0 {
			t.Errorf("%s: %d accepted, %d refused: the test does not reach the limit", name, accepted, refused)
		}
	}
}

// A draft that was released gives its place to the next one, and those that were not stay
// as they are.
func TestReleasedDrafts(t *testing.T) {
	m := someMetadata(TypeRequest, StatusRequestIsQueued)
	want := string(BuildReceipt(V12, SendRequest, m).XML)
	kept := BuildReceipt(V12, SendRequest, m)
	for range 100 {
		d := BuildReceipt(V12, SendRequest, m)
		if string(d.XML) != want {
			t.Fatalf("a draft over another:\n%s\nwant\n%s", d.XML, want)
		}
		clear(d.XML)
		d.Release()
		if d.XML != nil {
			t.Fatal("released, and still to be read")
		}
		d.Release() // has nothing to give any more
	}
	if string(kept.XML) != want {
		t.Errorf("a draft that was not released:\n%s\nwant\n%s", kept.XML, want)
	}
	alone := testing.AllocsPerRun(1000, func() { BuildReceipt(V12, SendRequest, m) })
	if n := testing.AllocsPerRun(1000, func() { d := BuildReceipt(V12, SendRequest, m); d.Release() }); n >= alone {
		t.Errorf("%v allocations for a draft that is released, %v for one that is not", n, alone)
	}
}
