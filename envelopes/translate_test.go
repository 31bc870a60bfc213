package envelopes

import (
	"testing"
)

func TestTranslateBetweenAllVersions(t *testing.T) {
	for _, from := range Versions {
		for _, to := range Versions {
			for _, name := range []string{"SendRequest", "SendResponse", "SendResponse-status", "SendResponse-rejected"} {
				e := parse(t, "text/xml", someCalls(t, from)[name].Seal([]byte(signature)))
				_, target := e.Caller()
				data, err := Translate(FragmentOf(target), from, to)
				if err != nil {
					t.Fatalf("%s %s to %s: %v", name, from, to, err)
				}
				delivered := someMetadata(TypeRequest, to.Delivered())
				draft := BuildRequestDelivery(to, RequestDelivery{Data: data, Metadata: delivered, ReplyTo: someReply})
				if name != "SendRequest" {
					draft = BuildResponseDelivery(to, ResponseDelivery{Data: data, Metadata: delivered})
				}
				xmllint(t, to, draft.Seal([]byte(signature)))
				a, p := answer(t, draft)
				d, err := DecodeDelivery(a, p)
				if err != nil {
					t.Fatal(err)
				}
				switch name {
				case "SendRequest":
					if got := string(d.Request.Content.Bytes()); got != someContent || string(d.Request.PersonalSignature.Bytes()) != signature {
						t.Errorf("%s to %s: content %s", from, to, got)
					}
					if d.Request.MessageID != someID || d.Request.NodeID != "узел-1" || !d.Request.Test || len(d.Request.Headers) != 1 || len(d.Request.References) != 1 {
						t.Errorf("%s to %s: %+v", from, to, d.Request)
					}
					if got := d.Request.Headers[0].NamespaceURI; (got != "") != (from == V13 && to == V13) {
						t.Errorf("%s to %s: NamespaceUri %q", from, to, got)
					}
				case "SendResponse-status":
					if d.Response.Status == nil || d.Response.Status.Code != 3 {
						t.Errorf("%s to %s: %+v", from, to, d.Response)
					}
				case "SendResponse-rejected":
					if len(d.Response.Rejections) != 2 || d.Response.Rejections[1].Code != RejectFailure {
						t.Errorf("%s to %s: %+v", from, to, d.Response)
					}
				}
			}
			async := AsyncStatus{OriginalMessageID: someID, Category: StatusRequestIsRejectedBySmev, Fault: someFault(InvalidContent)}
			made := BuildAsyncData(from, AsyncMessage{MessageID: otherID, To: someReply, AsyncStatus: async})
			data, err := Translate(made, from, to)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(data.XML), string(BuildAsyncData(to, AsyncMessage{MessageID: otherID, To: someReply, AsyncStatus: async}).XML); got != want {
				t.Errorf("%s to %s:\ngot  %s\nwant %s", from, to, got, want)
			}
		}
	}
	if _, err := Translate(Fragment{XML: []byte(someContent)}, V11, V12); err == nil {
		t.Errorf("a business document was translated")
	}
	if _, err := Translate(Fragment{XML: []byte("<a>")}, V11, V12); err == nil {
		t.Errorf("what is no XML was translated")
	}
}
