package party

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes"
)

// A bus may hand out as many attachments as an answer of 64 MB holds, none of which any
// header names: each is asked for its signature.
func TestSignaturesOfManyAttachments(t *testing.T) {
	const many = 150_000
	var headers, contents strings.Builder
	for i := range many {
		fmt.Fprintf(&headers, `<AttachmentHeader><contentId>h%06d</contentId><MimeType>text/plain</MimeType></AttachmentHeader>`, i)
		fmt.Fprintf(&contents, `<AttachmentContent><Id>a%06d</Id><Content/></AttachmentContent>`, i)
	}
	v := envelopes.V12
	body := fmt.Sprintf(`<e:Envelope xmlns:e=%q><e:Body><GetRequestResponse xmlns=%q><RequestMessage><Request><SenderProvidedRequestData><MessageID>1</MessageID>`+
		`<AttachmentHeaderList xmlns=%q>%s</AttachmentHeaderList></SenderProvidedRequestData></Request><AttachmentContentList xmlns=%[3]q>%[5]s</AttachmentContentList></RequestMessage></GetRequestResponse></e:Body></e:Envelope>`,
		envelopes.SOAPSpace, v.TypesSpace(), v.BasicSpace(), headers.String(), contents.String())
	c := &Client{AllowUnsigned: true}
	m, err := c.ReadMessage(envelopes.GetRequest, Answer{Status: 200, ContentType: envelopes.TextXML, Body: []byte(body)})
	if err != nil || len(m.Attachments) != many || len(m.Request.Headers) != many {
		t.Fatalf("%+v, %v", m, err)
	}
	began := time.Now()
	for i, a := range m.Attachments {
		if m.PKCS7(a.ID) != nil {
			t.Fatal("a signature of another")
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d attachments have taken ten seconds", i+1)
		}
	}
}
