package adapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/envelopes"
)

// personal is a value that must stay between the sender, the answer and the
// journal.
const personal = "ЗНАЧЕНИЕ-112-233-445"

// What callers write, wherever they write it and however they are refused, is in
// no line of the log, no span and no metric; the sender is told it where a
// sentence quotes it.
func TestValuesStayOutOfLogTracesAndMetrics(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	w := adaptertest.Start(t, adaptertest.WithTracing(sdk.NewTracerProvider(sdk.WithSyncer(spans))),
		adaptertest.WithFiles(func(c *adapter.Config) { c.Files.S3 = true }), adaptertest.WithConfig(func(c *adapter.Config) {
			c.Limits.Strangers, c.Limits.KeptPerMin = 1000, 1000
		}))
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	quoted := 0
	refused := func(name string, a adaptertest.Answered) {
		t.Helper()
		if a.Fault == nil {
			t.Errorf("%s was not refused: %s", name, a.Body)
		}
		if bytes.Contains(a.Body, []byte(personal)) {
			quoted++
		}
	}
	content := func(inner string) adaptertest.Request {
		return adaptertest.Request{Content: `<e:ExtractRequest xmlns:e="` + adaptertest.Extract1 + `">` + inner + `</e:ExtractRequest>`}
	}
	good := adaptertest.Content(adaptertest.Extract1)
	tamper := func(old, new string) adaptertest.Request {
		return adaptertest.Request{Content: good, Tamper: func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("there is no %q in the envelope", old)
			}
			return bytes.ReplaceAll(b, []byte(old), []byte(new))
		}}
	}
	for _, v := range envelopes.Versions {
		muni.Version, registry.Version = v, v
		for name, r := range map[string]adaptertest.Request{
			"a value of the wrong form":  content(`<e:КадастровыйНомер>` + personal + `</e:КадастровыйНомер>`),
			"a stranger attribute":       content(`<e:КадастровыйНомер x="` + personal + `">77:01:000101:42</e:КадастровыйНомер>`),
			"a stranger namespace":       content(`<x xmlns="urn:` + personal + `"/>`),
			"text where none may stand":  content(personal + `<e:КадастровыйНомер>77:01:000101:42</e:КадастровыйНомер>`),
			"a root of no service":       {Content: `<x xmlns="urn:` + personal + `">` + personal + `</x>`},
			"an unknown code":            {Content: adaptertest.ContentFor(adaptertest.Regional, personal)},
			"an id of no form":           {Content: good, ID: personal},
			"no node":                    {Content: good, Node: strings.Repeat(personal, 100)},
			"a file nobody brought":      {Content: good, Stored: []envelopes.AttachmentReference{{UUID: w.NewMessageID(), MimeType: personal, Hash: []byte(personal)}}},
			"a file of no id":            {Content: good, Stored: []envelopes.AttachmentReference{{UUID: personal, MimeType: "a/b", Hash: []byte(personal)}}},
			"a file without a header":    {Content: good, Files: map[string][]byte{personal: []byte(personal)}, Headless: true},
			"a file's broken signature":  {Content: adaptertest.Content(adaptertest.Sealed), Files: map[string][]byte{personal: []byte(personal)}, PKCS7: map[string][]byte{personal: []byte(personal)}},
			"an unknown entity":          tamper("77:01:000101:42", "&"+personal+";"),
			"a changed value":            tamper("77:01:000101:42", personal),
			"not closed":                 tamper("</e:ExtractRequest>", personal+"</e:"+personal+">"),
			"a digest of no form":        tamper("<ds:DigestValue>", "<ds:DigestValue>"+personal),
			"an algorithm":               tamper("http://www.w3.org/2001/04/xmlenc#sha256", "urn:"+personal),
			"a certificate of no form":   tamper("<ds:X509Certificate>", "<ds:X509Certificate>"+personal),
			"an id nobody refers to":     tamper(`URI="#`, `URI="#`+personal),
			"a header to be understood":  {Content: good, Tamper: func(b []byte) []byte { return mustUnderstand(b) }},
			"a changed routing of a ref": {Content: good, Reference: personal},
		} {
			refused(v.String()+": "+name, muni.Send(r))
		}
		refused("a reply to nowhere", registry.Reply(personal, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}))
		refused("an ack of nothing", muni.Ack(w.NewMessageID()))
		refused("an ack of no id", muni.Ack(personal))
		refused("a poll of another kind", muni.Get(envelopes.GetRequest, adapter.QName{Space: "urn:" + personal, Local: personal}, ""))
		refused("a stranger", w.Party("STRANGER").Send(adaptertest.Request{Content: content(personal).Content}))
		refused("no call", muni.Post("/ws", envelopes.TextXML, []byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><x xmlns="urn:`+personal+`">`+personal+`</x></s:Body></s:Envelope>`)))
		refused("no XML", muni.Post("/smev/v"+v.String()+"/ws", envelopes.TextXML, []byte(personal)))
		refused("another encoding", muni.Post("/ws", "text/xml; charset="+personal, []byte(good)))
		refused("a declared encoding", muni.Post("/ws", envelopes.TextXML, []byte(`<?xml version="1.0" encoding="`+personal+`"?>`+good)))
		refused("a version of XML", muni.Post("/ws", envelopes.TextXML, []byte(`<?xml version="`+personal+`"?>`+good)))
		refused("a kind of body", muni.Post("/ws", personal+"/x", []byte(good)))
		refused("broken parts", muni.Post("/ws", `multipart/related; boundary="b"; start="`+personal+`"`, []byte("--b\r\n"+personal+"\r\n\r\n"+personal+"\r\n--b--")))
	}
	if quoted < 20 {
		t.Errorf("only %d refusals tell the sender what it wrote", quoted)
	}

	// What is accepted is not told either, whatever befalls it.
	w.Bus.Break("Publish", adaptertest.Failed)
	registry.Version, muni.Version = envelopes.V12, envelopes.V12
	sent := accepted(t, muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, personal), Files: map[string][]byte{personal + ".pdf": []byte(personal)}}))
	take(t, registry, envelopes.GetRequest, sent.Receipt.MessageID)
	w.Store.Break("Accept", adaptertest.Panicked)
	muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, personal)})

	// Headers and addresses are the caller's too.
	for _, path := range []string{"/ws", "/" + personal, "/smev/v1.2/" + personal, "/attachment/" + personal + "/" + personal + "?x=" + personal, "/attachment?x=" + personal, "/healthz?x=" + personal, "/readyz?x=" + personal} {
		methods := []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodDelete}
		if strings.HasPrefix(path, "/attachment") {
			methods = methods[1:3] // each refusal there takes a while
		}
		for _, method := range methods {
			req, err := http.NewRequest(method, w.URL+path, strings.NewReader(personal))
			if err != nil {
				t.Fatal(err)
			}
			for header, value := range map[string]string{
				"Content-Type": "text/xml", "Content-Encoding": personal, "SOAPAction": personal, "User-Agent": personal, "Prefer": "wait=" + personal,
				"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=112-233-445", "baggage": "a=112-233-445",
				"Authorization": "AWS4-HMAC-SHA256 Credential=" + personal + "/20260302/x/s3/aws4_request, SignedHeaders=host, Signature=" + personal, "X-Amz-Date": personal,
			} {
				req.Header.Set(header, value)
			}
			resp, err := w.HTTP.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	for _, script := range []string{"USER " + personal + "\r\nPASS " + personal + "\r\n", personal + " x\r\n" + "QUIT\r\n",
		"USER anonymous\r\nPASS " + personal + "\r\nCWD " + personal + "\r\nMKD " + personal + "\r\nSTOR " + personal + "\r\nRETR " + personal + "\r\nDELE " + personal + "\r\nQUIT\r\n"} {
		c := w.RawFTP()
		io.WriteString(c, script)
		answered := make([]byte, 64)
		io.ReadAtLeast(c, answered, 20)
	}

	resp, err := w.HTTP.Get(w.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	w.Eventually("the refused login is in the log", func() bool { return strings.Contains(w.Log.String(), "a login to the file store was refused") })
	traces, err := json.Marshal(spans.GetSpans().Snapshots())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans.GetSpans() {
		traces = fmt.Append(traces, s.Name, s.SpanContext.TraceState().String(), s.Parent.TraceState().String(), s.Attributes, s.Events, s.Links, s.Status)
	}
	for what, text := range map[string]string{"log": w.Log.String(), "traces": string(traces), "metrics": string(metrics)} {
		for line := range strings.Lines(text) {
			for _, form := range []string{personal, "112-233-445", fmt.Sprintf("%+q", personal)[1:20], fmt.Sprintf("%x", personal)} {
				if strings.Contains(line, form) {
					t.Errorf("%s: %s", what, line)
				}
			}
		}
	}
	if !strings.Contains(w.Log.String(), "КадастровыйНомер") || !strings.Contains(w.Log.String(), "cvc-pattern-valid") {
		t.Error("the log does not tell rule and element of a refused value")
	}
}

func mustUnderstand(b []byte) []byte {
	i := bytes.Index(b, []byte("Body"))
	i = bytes.LastIndexByte(b[:i], '<')
	return append(append(append([]byte(nil), b[:i]...), `<s:Header xmlns:s="`+envelopes.SOAPSpace+`"><x xmlns="urn:`+personal+`" s:mustUnderstand="1">`+personal+`</x></s:Header>`...), b[i:]...)
}
