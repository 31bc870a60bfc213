package envelopes

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// requestOf writes a SendRequest of a version with prefixes t (types) and b
// (basic); the first line of inside is line 2 of the document.
func requestOf(v Version, inside string) string {
	return `<e:Envelope xmlns:e="` + SOAPSpace + `" xmlns:t="` + v.TypesSpace() + `" xmlns:b="` + v.BasicSpace() + `" xmlns:r="` + RoutingSpace + `" xmlns:d="` + DirectiveSpace + `"><e:Body><t:SendRequestRequest>` + "\n" + inside + `</t:SendRequestRequest></e:Body></e:Envelope>`
}

func responseOf(v Version, inside string) string {
	return strings.ReplaceAll(requestOf(v, inside), "SendRequestRequest", "SendResponseRequest")
}

const (
	goodID      = `<t:MessageID>b5a7f0a0-5a10-11ee-8c99-0242ac120002</t:MessageID>`
	goodContent = `<b:MessagePrimaryContent><q:A xmlns:q="urn:q"/></b:MessagePrimaryContent>`
)

func TestFormatErrors(t *testing.T) {
	T, B := "{"+V12.TypesSpace()+"}", "{"+V12.BasicSpace()+"}"
	data := func(s string) string {
		return `<t:SenderProvidedRequestData Id="x">` + s + `</t:SenderProvidedRequestData>`
	}
	reply := func(s string) string {
		return `<t:SenderProvidedResponseData Id="x">` + goodID + `<t:To>q</t:To>` + s + `</t:SenderProvidedResponseData>`
	}
	poll := func(op, s string) string {
		return strings.ReplaceAll(requestOf(V12, s), "SendRequestRequest", op+"Request")
	}
	for name, c := range map[string]struct {
		doc      string
		rule     string
		line     int
		col      int
		xpath    string // end of it
		found    string
		expected []string
	}{
		"nothing in the call": {requestOf(V12, ""), "cvc-complex-type.2.4.b", 2, 1, "/e:Body/t:SendRequestRequest", "",
			[]string{T + "SenderProvidedRequestData"}},
		"another element first": {requestOf(V12, `<t:X/>`), "cvc-complex-type.2.4.a", 2, 1, "/t:SendRequestRequest/t:X", "«" + T + "X»",
			[]string{T + "SenderProvidedRequestData"}},
		"no MessageID": {requestOf(V12, data(goodContent)), "cvc-complex-type.2.4.a", 2, 37, "/b:MessagePrimaryContent", "«" + B + "MessagePrimaryContent»",
			[]string{T + "MessageID"}},
		"no content": {requestOf(V12, data(goodID+"\n")), "cvc-complex-type.2.4.b", 3, 1, "/t:SenderProvidedRequestData", "",
			[]string{T + "ReferenceMessageID", T + "TransactionCode", T + "NodeID", T + "EOL", B + "MessagePrimaryContent"}},
		"out of order": {requestOf(V12, data(goodID+"\n"+goodContent+"\n<t:NodeID>1</t:NodeID>")), "cvc-complex-type.2.4.a", 4, 1, "/t:NodeID", "«" + T + "NodeID»",
			[]string{T + "PersonalSignature", B + "AttachmentHeaderList", B + "RefAttachmentHeaderList", T + "BusinessProcessMetadata", T + "TestMessage"}},
		"element after the last": {requestOf(V12, data(goodID+goodContent+"<t:TestMessage/>\n<t:TestMessage/>")), "cvc-complex-type.2.4.d", 3, 1, "/t:TestMessage[2]", "«" + T + "TestMessage»",
			[]string{"no further element"}},
		"MessageID of another namespace": {requestOf(V12, data("\n<b:MessageID/>"+goodContent)), "cvc-complex-type.2.4.a", 3, 1, "/b:MessageID", "«" + B + "MessageID»",
			[]string{T + "MessageID"}},
		"two contents": {requestOf(V12, data(goodID+"<b:MessagePrimaryContent><q:A xmlns:q=\"urn:q\"/>\n<q:B xmlns:q=\"urn:q\"/></b:MessagePrimaryContent>")), "cvc-complex-type.2.4.d", 3, 1, "/q:B", "«{urn:q}B»",
			[]string{"no further element"}},
		"content of no namespace": {requestOf(V12, data(goodID+"<b:MessagePrimaryContent>\n<A/></b:MessagePrimaryContent>")), "cvc-complex-type.2.4.a", 3, 1, "/b:MessagePrimaryContent/A", "«{}A»",
			[]string{"an element of a namespace other than «" + V12.BasicSpace() + "»"}},
		"content of the envelope": {requestOf(V12, data(goodID+"<b:MessagePrimaryContent>\n<b:A/></b:MessagePrimaryContent>")), "cvc-complex-type.2.4.a", 3, 1, "/b:A", "«" + B + "A»",
			[]string{"an element of a namespace other than «" + V12.BasicSpace() + "»"}},
		"text between elements": {requestOf(V12, "\n<t:SenderProvidedRequestData Id=\"x\">oops"+goodID+goodContent+"</t:SenderProvidedRequestData>"), "cvc-complex-type.2.3", 3, 1, "/t:SenderProvidedRequestData", "text",
			[]string{"elements only"}},
		"unknown attribute": {requestOf(V12, `<t:SenderProvidedRequestData`+"\n"+`id="x">`+goodID+goodContent+`</t:SenderProvidedRequestData>`), "cvc-complex-type.3.2.2", 3, 1, "/t:SenderProvidedRequestData", "attribute «id»",
			[]string{"attribute «Id»"}},
		"Id that is no name": {requestOf(V12, `<t:SenderProvidedRequestData Id="1x">`+goodID+goodContent+`</t:SenderProvidedRequestData>`), "cvc-id.1", 2, 1, "/t:SenderProvidedRequestData", "«1x»",
			[]string{saysName}},
		"EOL without a zone": {requestOf(V12, data(goodID+"\n<t:EOL>2026-01-01T00:00:00</t:EOL>"+goodContent)), "cvc-pattern-valid", 3, 1, "/t:EOL", "«2026-01-01T00:00:00»",
			[]string{"a time zone after the date and time"}},
		"EOL that is no date": {requestOf(V12, data(goodID+"\n<t:EOL>завтра</t:EOL>"+goodContent)), "cvc-datatype-valid.1.2.1", 3, 1, "/t:EOL", "«завтра»",
			[]string{"a date and time like 2020-02-27T07:01:04.000+03:00"}},
		"reference that is no UUID": {requestOf(V12, data(goodID+"\n<t:ReferenceMessageID>7</t:ReferenceMessageID>"+goodContent)), "cvc-pattern-valid", 3, 1, "/t:ReferenceMessageID", "«7»",
			[]string{"a UUID in lower case"}},
		"NodeID too long": {requestOf(V12, data(goodID+"\n<t:NodeID>"+strings.Repeat("ж", 51)+"</t:NodeID>"+goodContent)), "cvc-maxLength-valid", 3, 1, "/t:NodeID", "«" + strings.Repeat("ж", 51) + "»",
			[]string{"at most 50 characters"}},
		"element in a text": {requestOf(V12, data("<t:MessageID>\n<t:X/></t:MessageID>"+goodContent)), "cvc-type.3.1.2", 3, 1, "/t:MessageID/t:X", "«X»",
			[]string{"text only"}},
		"TestMessage with content": {requestOf(V12, data(goodID+goodContent+"<t:TestMessage>\n<t:X/></t:TestMessage>")), "cvc-complex-type.2.4.d", 3, 1, "/t:TestMessage/t:X", "«" + T + "X»",
			[]string{"no further element"}},
		"media type": {requestOf(V12, data(goodID+goodContent+"<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId>\n<b:MimeType>pdf</b:MimeType></b:AttachmentHeader></b:AttachmentHeaderList>")), "cvc-pattern-valid", 3, 1, "/b:MimeType", "«pdf»",
			[]string{"a media type like application/pdf"}},
		"header list without headers": {requestOf(V12, data(goodID+goodContent+"\n<b:AttachmentHeaderList/>")), "cvc-complex-type.2.4.b", 3, 1, "/b:AttachmentHeaderList", "",
			[]string{B + "AttachmentHeader"}},
		"1.3 field in 1.2": {requestOf(V12, data(goodID+goodContent+"<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId>\n<b:NamespaceUri>u</b:NamespaceUri></b:AttachmentHeader></b:AttachmentHeaderList>")), "cvc-complex-type.2.4.a", 3, 1, "/b:NamespaceUri", "«" + B + "NamespaceUri»",
			[]string{B + "MimeType"}},
		"routing in 1.2": {requestOf(V12, data(goodID+goodContent)+"\n<r:Routing/>"), "cvc-complex-type.2.4.a", 3, 1, "/r:Routing", "«{" + RoutingSpace + "}Routing»",
			[]string{B + "AttachmentContentList", T + "CallerInformationSystemSignature"}},
		"attachment Id begins with a digit": {requestOf(V12, data(goodID+goodContent)+"<b:AttachmentContentList><b:AttachmentContent>\n<b:Id>1a</b:Id><b:Content/></b:AttachmentContent></b:AttachmentContentList>"), "cvc-datatype-valid.1.2.1", 3, 1, "/b:Id", "«1a»",
			[]string{saysName}},
		"signature wrapper is empty": {requestOf(V12, data(goodID+goodContent)+"\n<t:CallerInformationSystemSignature/>"), "cvc-complex-type.2.4.b", 3, 1, "/t:CallerInformationSystemSignature", "",
			[]string{"{" + DSigSpace + "}Signature"}},
		"two signatures": {requestOf(V12, data(goodID+goodContent)+`<t:CallerInformationSystemSignature><x:Signature xmlns:x="`+DSigSpace+"\"/>\n"+`<x:Signature xmlns:x="`+DSigSpace+`"/></t:CallerInformationSystemSignature>`), "cvc-complex-type.2.4.d", 3, 1, "/x:Signature[2]", "«{" + DSigSpace + "}Signature»",
			[]string{"no further element"}},

		"answer without content": {responseOf(V12, reply("")), "cvc-complex-type.2.4.b", 2, 115, "/t:SenderProvidedResponseData", "",
			[]string{B + "MessagePrimaryContent", T + "RequestRejected", T + "RequestStatus"}},
		"the bus's own branch": {responseOf(V12, reply("\n<t:AsyncProcessingStatus/>")), "cvc-complex-type.2.4.a", 3, 1, "/t:AsyncProcessingStatus", "«" + T + "AsyncProcessingStatus»",
			[]string{B + "MessagePrimaryContent", T + "RequestRejected", T + "RequestStatus"}},
		"rejection and status": {responseOf(V12, reply("<t:RequestRejected><t:RejectionReasonCode>NO_DATA</t:RejectionReasonCode><t:RejectionReasonDescription/></t:RequestRejected>\n<t:RequestStatus/>")), "cvc-complex-type.2.4.a", 3, 1, "/t:RequestStatus", "«" + T + "RequestStatus»",
			[]string{T + "RequestRejected"}},
		"unknown rejection code": {responseOf(V12, reply("<t:RequestRejected>\n<t:RejectionReasonCode>NO</t:RejectionReasonCode><t:RejectionReasonDescription/></t:RequestRejected>")), "cvc-enumeration-valid", 3, 1, "/t:RejectionReasonCode", "«NO»",
			[]string{"ACCESS_DENIED, NO_DATA, UNKNOWN_REQUEST_DESCRIPTION, FAILURE"}},
		"status code that is no number": {responseOf(V12, reply("<t:RequestStatus>\n<t:StatusCode>2147483648</t:StatusCode><t:StatusDescription/></t:RequestStatus>")), "cvc-datatype-valid.1.2.1", 3, 1, "/t:StatusCode", "«2147483648»",
			[]string{"a whole number of 32 bits"}},

		"selector without a time": {poll("GetResponse", "<b:MessageTypeSelector Id=\"x\">\n</b:MessageTypeSelector>"), "cvc-complex-type.2.4.b", 3, 1, "/b:MessageTypeSelector", "",
			[]string{B + "NamespaceURI", B + "RootElementLocalName", B + "Timestamp"}},
		"half a selector": {poll("GetRequest", "<b:MessageTypeSelector Id=\"x\"><b:NamespaceURI>urn:q</b:NamespaceURI><b:Timestamp>2026-01-01T00:00:00</b:Timestamp></b:MessageTypeSelector>"), "cvc-complex-type.2.4.b", 2, 1, "/b:MessageTypeSelector", "«{urn:q}»",
			[]string{"both NamespaceURI and RootElementLocalName, or none of them"}},
		"ack without an Id": {poll("Ack", `<b:AckTargetMessage>x</b:AckTargetMessage>`), "cvc-complex-type.4", 2, 1, "/b:AckTargetMessage", "no attribute «Id»",
			[]string{"attribute «Id»"}},
		"ack with a maybe": {poll("Ack", `<b:AckTargetMessage Id="x" accepted="maybe">x</b:AckTargetMessage>`), "cvc-datatype-valid.1.2.1", 2, 1, "/b:AckTargetMessage", "«maybe»",
			[]string{"true or false"}},
		"timestamp of no time": {poll("GetStatus", `<b:Timestamp Id="x">now</b:Timestamp>`), "cvc-datatype-valid.1.2.1", 2, 1, "/b:Timestamp", "«now»",
			[]string{"a date and time like 2020-02-27T07:01:04.000+03:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Parse("text/xml", []byte(c.doc), new(xmltape.Tape), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			err = e.Check()
			var bad *FormatError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a *FormatError", err)
			}
			v := bad.Violations[0]
			if !strings.HasSuffix(v.XPath, c.xpath) {
				t.Errorf("xpath %s, want …%s", v.XPath, c.xpath)
			}
			got := fmt.Sprint(v.Rule, " ", v.Line, ":", v.Col, " ", v.Found)
			want := fmt.Sprint(c.rule, " ", c.line, ":", c.col, " ", c.found)
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if !reflect.DeepEqual(v.Expected, c.expected) {
				t.Errorf("expected %q, want %q", v.Expected, c.expected)
			}
			for _, e := range v.Expected {
				if !strings.HasPrefix(e, "{") && v.Rule != "cvc-enumeration-valid" && russian(e) == e {
					t.Errorf("%q is not translated", e)
				}
			}
			if len(bad.Violations) > 1 {
				t.Errorf("%d violations, want one: %v", len(bad.Violations), bad.Violations)
			}
		})
	}
}

// TestAllFindingsAtOnce: independent mistakes are told together.
func TestAllFindingsAtOnce(t *testing.T) {
	doc := requestOf(V11, `<t:SenderProvidedRequestData Id="x">`+goodID+`<t:ReferenceMessageID>7</t:ReferenceMessageID><t:NodeID>`+strings.Repeat("x", 60)+`</t:NodeID><t:EOL>never</t:EOL>`+goodContent+`</t:SenderProvidedRequestData>`)
	err := parse(t, "text/xml", []byte(doc)).Check()
	var bad *FormatError
	if !errors.As(err, &bad) || len(bad.Violations) != 3 {
		t.Fatalf("got %v, want three violations", err)
	}
	if got, want := bad.Violations[2].Russian(), "строка 2, позиция 227: cvc-datatype-valid.1.2.1: /e:Envelope/e:Body/t:SendRequestRequest/t:SenderProvidedRequestData/t:EOL: найдено: «never», ожидалось: дата и время вида 2020-02-27T07:01:04.000+03:00"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestVersionsDiffer(t *testing.T) {
	ack := func(v Version, attrs string) error {
		doc := `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Body><AckRequest xmlns="` + v.TypesSpace() + `"><b:AckTargetMessage xmlns:b="` + v.BasicSpace() + `" ` + attrs + `>x</b:AckTargetMessage></AckRequest></e:Body></e:Envelope>`
		return parse(t, "text/xml", []byte(doc)).Check()
	}
	for _, v := range Versions {
		if err := ack(v, `Id="a" accepted="1"`); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if err := ack(v, `Id="a"`); (err != nil) != (v == V11) {
			t.Errorf("%s without accepted: %v", v, err)
		}
	}
}

// TestWhatMessagesMayShow: values of the document are short and harmless in messages.
func TestWhatMessagesMayShow(t *testing.T) {
	if got, want := quote("a\x1b[31m\u202eb\nc"), "«a\uFFFD[31m\uFFFDb\uFFFDc»"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := quote(strings.Repeat("ж", 1000)); len([]rune(got)) > 70 {
		t.Errorf("got %d characters", len([]rune(got)))
	}
}

func TestRegistryRecords(t *testing.T) {
	record := func(id int) string {
		return fmt.Sprintf(`<d:RegistryRecord><d:RecordId>%d</d:RecordId><d:Record Id="r%d"><d:RecordContent Id="c%d"><q:A xmlns:q="urn:q"/></d:RecordContent><d:PersonalSignature>%s</d:PersonalSignature></d:Record><d:RecordSignature>%s</d:RecordSignature></d:RegistryRecord>`, id, id, id, signature, signature)
	}
	doc := func(records string) string {
		return requestOf(V13, `<t:SenderProvidedRequestData Id="x">`+goodID+`<b:MessagePrimaryContent><d:Registry>`+records+`</d:Registry></b:MessagePrimaryContent></t:SenderProvidedRequestData>`)
	}
	good := doc(strings.Replace(record(1), "<d:PersonalSignature>", `<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId><b:MimeType>text/plain</b:MimeType></b:AttachmentHeader></b:AttachmentHeaderList><d:PersonalSignature>`, 1) + record(2))
	xmllint(t, V13, []byte(good))
	if err := parse(t, "text/xml", []byte(good)).Check(); err != nil {
		t.Errorf("two records: %v", err)
	}
	for name, bad := range map[string]string{
		"none":             "",
		"a thousand":       strings.Repeat(record(1), 1001),
		"no content":       `<d:RegistryRecord><d:RecordId>1</d:RecordId><d:Record><d:RecordContent/></d:Record></d:RegistryRecord>`,
		"id is no number":  strings.Replace(record(1), "<d:RecordId>1<", "<d:RecordId>один<", 1),
		"eleven officials": strings.Replace(record(1), "<d:PersonalSignature>"+signature+"</d:PersonalSignature>", strings.Repeat("<d:PersonalSignature>"+signature+"</d:PersonalSignature>", 11), 1),
	} {
		if err := parse(t, "text/xml", []byte(doc(bad))).Check(); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
}

func TestDateTimes(t *testing.T) {
	for s, want := range map[string]string{
		"2020-02-27T07:01:04.000+03:00":   "2020-02-27T07:01:04+03:00",
		"2020-02-27T07:01:04":             "2020-02-27T07:01:04+03:00",
		"2020-02-27T07:01:04Z":            "2020-02-27T07:01:04Z",
		"2020-02-27T07:01:04.1234567891Z": "2020-02-27T07:01:04.123456789Z",
		"2020-02-29T24:00:00-14:00":       "2020-03-01T00:00:00-14:00",
	} {
		got, _, ok := parseDateTime(s)
		if !ok || got.Format("2006-01-02T15:04:05.999999999Z07:00") != want {
			t.Errorf("%s: got %v, %v; want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "2020-02-30T00:00:00", "2020-02-27 07:01:04", "2020-02-27T07:01:04.", "2020-02-27T07:01:04.Z", "2020-02-27T07:01:04+3:00",
		"2020-02-27T07:01:04+14:01", "2020-02-27T07:01:04+15:00", "2020-02-27T24:00:01", "0000-01-01T00:00:00", "2020-02-27T7:01:04.0", "2020-02-27T07:01:60",
		"20200227T070104", "2020-02-27T07:01:04ZZ", "2020-02-27T07:01:04,5", "2020-02-27T07:01:04+0a:00", "-020-02-27T07:01:04"} {
		if got, _, ok := parseDateTime(s); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}
