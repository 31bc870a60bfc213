package envelopes

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

// someCalls are calls of every operation with everything that a version has.
func someCalls(t testing.TB, v Version) map[string]Draft {
	content := element(t, someContent)
	personal := element(t, signature)
	headers := []AttachmentHeader{{ContentID: "scan", MimeType: "application/pdf", PKCS7: []byte{1, 2, 3}}}
	refs := []AttachmentReference{{UUID: otherID, Hash: []byte("hash of a file"), MimeType: "application/zip"}}
	if v == V13 {
		headers[0].NamespaceURI = "urn://test/scan"
		refs[0].FileName, refs[0].NamespaceURI = "план.zip", "urn://test/plan"
		refs[0].Archive = []ArchiveFile{{Name: "план.xml", NamespaceURI: "urn://test/plan"}}
	}
	files := []Attachment{{ID: "scan", Content: []byte("%PDF-1.7 скан")}}
	process := element(t, `<x:BusinessProcessMetadata xmlns:x="`+v.TypesSpace()+`" xmlns:p="`+ProcessSpace+`"><p:frgu>5000000000</p:frgu></x:BusinessProcessMetadata>`)
	request := &SendRequestCall{
		MessageID: someID, ReferenceMessageID: someID, TransactionCode: "код", NodeID: "узел-1", EOL: someTime.Add(24 * time.Hour),
		Content: content, PersonalSignature: personal, Headers: headers, References: refs, Process: process, Test: true, Attachments: files,
	}
	if v == V13 {
		routing := (&Routing{MessageID: someID, Dynamic: []string{"45000000"}, Records: []RecordRouting{{RecordID: 1, UseGeneral: true, Identifiers: []string{"7701"}}}}).Build()
		var err error
		if request.Routing, err = ReadRouting(routing.Seal([]byte(signature))); err != nil {
			t.Fatal(err)
		}
	}
	answer := &SendResponseCall{MessageID: otherID, To: someReply, Content: content, PersonalSignature: personal, Headers: headers, References: refs, Attachments: files}
	calls := map[string]Draft{
		"SendRequest":           request.Build(v, false),
		"SendRequest-minimal":   (&SendRequestCall{MessageID: someID, Content: content}).Build(v, false),
		"SendResponse":          answer.Build(v, false),
		"SendResponse-rejected": (&SendResponseCall{MessageID: otherID, To: someReply, Rejections: []Rejection{{RejectNoData, "Сведений нет"}, {RejectFailure, "Сбой <ведомственной> системы"}}}).Build(v, false),
		"SendResponse-status":   (&SendResponseCall{MessageID: otherID, To: someReply, Status: &RequestStatus{Code: 3, Parameters: []StatusParameter{{"срок", "5 дней"}}, Description: "Принято в работу"}}).Build(v, false),
		"GetRequest":            (&PollCall{Operation: GetRequest, Timestamp: someTime, Root: Name{"urn://test/register/1.0", "Запрос"}, NodeID: "узел-1"}).Build(v),
		"GetRequest-any":        (&PollCall{Operation: GetRequest, Timestamp: someTime}).Build(v),
		"GetResponse":           (&PollCall{Operation: GetResponse, Timestamp: someTime}).Build(v),
		"GetStatus":             (&GetStatusCall{Timestamp: someTime}).Build(v),
		"Ack":                   (&AckCall{MessageID: someID, Accepted: true}).Build(v),
	}
	if v == V11 {
		calls["GetIncomingQueueStatistics"] = (&StatisticsCall{Timestamp: someTime, NodeID: "узел-1"}).Build()
	}
	return calls
}

func TestCallsOfEveryOperationAndVersion(t *testing.T) {
	for _, v := range Versions {
		for name, draft := range someCalls(t, v) {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				sealed := draft.Seal([]byte(signature))
				golden(t, v.String()+"/"+name+".call.xml", sealed)
				xmllint(t, v, sealed)

				e := parse(t, "text/xml; charset=utf-8", sealed)
				op, _, _ := strings.Cut(name, "-")
				if got, want := e.Operation().String()+" "+e.Version().String(), op+" "+v.String(); got != want {
					t.Errorf("call is %s, want %s", got, want)
				}
				sig, target := e.Caller()
				if id, _ := target.Attr("", "Id"); id != draft.SignID {
					t.Errorf("signed element has Id %q, want %q", id, draft.SignID)
				}
				if got := string(sig.Bytes()); got != signature {
					t.Errorf("signature is %q, want %q", got, signature)
				}
				if err := e.Check(); err != nil {
					t.Errorf("check: %v", err)
				}
				again, call, err := rebuild(e)
				if err != nil {
					t.Fatalf("decode: %v", err)
				}
				if got, want := string(again.Seal([]byte(signature))), string(sealed); got != want {
					t.Errorf("decoded and built again\ngot  %s\nwant %s", got, want)
				}
				claimsAgree(t, e.Claims(), call)
			})
		}
	}
}

// claimsAgree demands that what a call claims of where it belongs is what Decode reads when
// it is proved: who passes a call on and who carries it out find the same.
func claimsAgree(t *testing.T, claims Claims, call any) {
	t.Helper()
	want := Claims{}
	switch c := call.(type) {
	case *SendRequestCall:
		want.Content = c.Content
	case *SendResponseCall:
		want.To = c.To
	case *PollCall:
		want.Root = c.Root
	case *AckCall:
		want.MessageID = c.MessageID
	}
	claims.Certificate = nil // someCalls are signed without one
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("it claims %+v, want %+v", claims, want)
	}
}

// rebuild decodes a call and builds it again, and gives what was decoded.
func rebuild(e *Envelope) (Draft, any, error) {
	v, p := e.Version(), proof(e)
	switch e.Operation() {
	case SendRequest:
		c, err := DecodeSendRequest(e, p)
		if err != nil {
			return Draft{}, nil, err
		}
		return c.Build(v, false), c, nil
	case SendResponse:
		c, err := DecodeSendResponse(e, p)
		if err != nil {
			return Draft{}, nil, err
		}
		return c.Build(v, false), c, nil
	case GetRequest, GetResponse:
		c, err := DecodePoll(e, p)
		if err != nil {
			return Draft{}, nil, err
		}
		return c.Build(v), c, nil
	case GetStatus:
		c, err := DecodeGetStatus(e, p)
		if err != nil {
			return Draft{}, nil, err
		}
		return c.Build(v), c, nil
	case Ack:
		c, err := DecodeAck(e, p)
		if err != nil {
			return Draft{}, nil, err
		}
		return c.Build(v), c, nil
	}
	c, err := DecodeStatistics(e, p)
	if err != nil {
		return Draft{}, nil, err
	}
	return c.Build(), c, nil
}

// TestMadeByHand reads a call that the builder has no part in.
func TestMadeByHand(t *testing.T) {
	body := `<?xml version="1.0" encoding="UTF-8"?>
<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/">
  <S:Header/>
  <S:Body>
    <ns2:SendRequestRequest xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2">
      <ns2:SenderProvidedRequestData Id="SIGNED_BY_CALLER">
        <ns2:MessageID>` + someID + `</ns2:MessageID>
        <ns2:EOL>2026-03-01T00:00:00Z</ns2:EOL>
        <MessagePrimaryContent><t:Root xmlns:t="urn://test/1">text</t:Root></MessagePrimaryContent>
        <AttachmentHeaderList><AttachmentHeader><contentId>a1</contentId><MimeType>text/plain</MimeType></AttachmentHeader></AttachmentHeaderList>
        <ns2:TestMessage/>
      </ns2:SenderProvidedRequestData>
      <AttachmentContentList><AttachmentContent><Id>a1</Id><Content>aGVs
bG8=</Content></AttachmentContent></AttachmentContentList>
    </ns2:SendRequestRequest>
  </S:Body>
</S:Envelope>`
	e := parse(t, "text/xml", []byte(body))
	sig, _ := e.Caller()
	if sig.Valid() {
		t.Errorf("a signature was found where there is none")
	}
	c, err := DecodeSendRequest(e, proof(e))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.MessageID, someID; got != want {
		t.Errorf("MessageID %q, want %q", got, want)
	}
	if got, want := c.EOL, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("EOL %v, want %v", got, want)
	}
	if got, want := string(c.Content.Bytes()), `<t:Root xmlns:t="urn://test/1">text</t:Root>`; got != want {
		t.Errorf("content %s, want %s", got, want)
	}
	if got, want := c.Headers, []AttachmentHeader{{ContentID: "a1", MimeType: "text/plain"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("headers %+v, want %+v", got, want)
	}
	if got, want := fmt.Sprintf("%s", c.Attachments), "[{a1 hello}]"; got != want {
		t.Errorf("attachments %s, want %s", got, want)
	}
	if !c.Test {
		t.Errorf("TestMessage was not seen")
	}
}

func TestProofOfAnotherElementIsRefused(t *testing.T) {
	e := parse(t, "text/xml", someCalls(t, V12)["SendRequest"].Seal([]byte(signature)))
	_, target := e.Caller()
	inner := target.Child(V12.BasicSpace(), "MessagePrimaryContent").First()
	for name, n := range map[string]xmltape.Node{"content": inner, "parent": target.Parent(), "none": {}, "other tape": element(t, someContent)} {
		if _, err := DecodeSendRequest(e, placed{n}); err != ErrNotProven {
			t.Errorf("%s: error %v, want ErrNotProven", name, err)
		}
	}
	if _, err := DecodeAck(e, proof(e)); err == nil {
		t.Errorf("a SendRequest was decoded as an Ack")
	}
}

func TestEmptySelectorSelectsEverything(t *testing.T) {
	b := V12.BasicSpace()
	call := func(selector string) *Envelope {
		return parse(t, "text/xml", []byte(`<s:Envelope xmlns:s="`+SOAPSpace+`"><s:Body><GetRequestRequest xmlns="`+V12.TypesSpace()+`" xmlns:b="`+b+`"><b:MessageTypeSelector Id="x">`+selector+`<b:Timestamp>2026-01-01T00:00:00</b:Timestamp></b:MessageTypeSelector></GetRequestRequest></s:Body></s:Envelope>`))
	}
	for _, s := range []string{``, `<b:NamespaceURI/><b:RootElementLocalName/>`, `<b:NamespaceURI> </b:NamespaceURI><b:RootElementLocalName></b:RootElementLocalName>`, `<b:NamespaceURI/>`} {
		e := call(s)
		c, err := DecodePoll(e, proof(e))
		if err != nil || c.Selects() {
			t.Errorf("%s: %+v, %v; want a poll of everything", s, c, err)
		}
	}
	for _, s := range []string{`<b:NamespaceURI>urn:x</b:NamespaceURI>`, `<b:RootElementLocalName>x</b:RootElementLocalName>`, `<b:NamespaceURI>urn:x</b:NamespaceURI><b:RootElementLocalName/>`} {
		e := call(s)
		if _, err := DecodePoll(e, proof(e)); err == nil {
			t.Errorf("%s: half a selector was accepted", s)
		}
	}
	e := call(`<b:NamespaceURI>urn:x</b:NamespaceURI><b:RootElementLocalName>Запрос</b:RootElementLocalName>`)
	c, err := DecodePoll(e, proof(e))
	if err != nil || c.Root != (Name{"urn:x", "Запрос"}) {
		t.Errorf("got %+v, %v", c, err)
	}
	if got, want := c.Timestamp, time.Date(2026, 1, 1, 0, 0, 0, 0, moscow); !got.Equal(want) {
		t.Errorf("time without a zone %v, want %v", got, want)
	}
}

// A poll is read with the microsecond that it names, if it names one.
func TestPollsOfAMicrosecond(t *testing.T) {
	at := someTime.Truncate(time.Second).Add(123456 * time.Microsecond)
	for fine, want := range map[bool]time.Time{false: at.Truncate(time.Millisecond), true: at} {
		for _, v := range Versions {
			draft := (&PollCall{Operation: GetRequest, Timestamp: at, Fine: fine}).Build(v)
			sealed := draft.Seal([]byte(signature))
			xmllint(t, v, sealed)
			e := parse(t, "text/xml; charset=utf-8", sealed)
			c, err := DecodePoll(e, proof(e))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Timestamp; !got.Equal(want) {
				t.Errorf("%v, fine %v: Timestamp %v, want %v", v, fine, got, want)
			}
		}
	}
}
