package envelopes

import (
	"errors"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// pollBody is a GetRequest of 1.2 in pieces that the tests bend.
func pollBody(prolog, envelopeAttrs, header string) string {
	return prolog + `<soapenv:Envelope xmlns:soapenv="` + SOAPSpace + `"` + envelopeAttrs + `>` + header + `<soapenv:Body><ns:GetRequestRequest xmlns:ns="` + V12.TypesSpace() + `" xmlns:ns1="` + V12.BasicSpace() + `"><ns1:MessageTypeSelector Id="SIGNED_BY_CALLER"><ns1:Timestamp>2026-02-27T07:01:04.000+03:00</ns1:Timestamp></ns1:MessageTypeSelector></ns:GetRequestRequest></soapenv:Body></soapenv:Envelope>`
}

// mimeBody packs a root part and others, in the manner of a client.
func mimeBody(boundary, eol string, parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + eol + p + eol)
	}
	b.WriteString("--" + boundary + "--" + eol)
	return b.String()
}

// TestWhatClientsSend: everything here was seen from real clients and is let in.
func TestWhatClientsSend(t *testing.T) {
	plain := pollBody("", "", "")
	xop := "Content-Type: application/xop+xml; charset=UTF-8; type=\"text/xml\"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <root@x>\r\n\r\n"
	for name, c := range map[string]struct{ kind, body string }{
		"JAX-WS":                        {`text/xml; charset=utf-8`, pollBody(`<?xml version='1.0' encoding='UTF-8'?>`, "", "")},
		"zeep":                          {`text/xml; charset=utf-8`, pollBody("<?xml version='1.0' encoding='utf-8'?>\n", "", "")},
		".NET without SOAPAction":       {`application/soap+xml; charset=utf-8`, plain},
		"soap+xml with action":          {`application/soap+xml;charset=UTF-8;action="urn:GetRequest"`, plain},
		"no content type":               {``, plain},
		"no charset":                    {`text/xml`, plain},
		"charset in quotes":             {`text/xml; charset="UTF-8"`, plain},
		"charset utf8":                  {`text/xml;charset=utf8`, plain},
		"charset of another alphabet":   {`text/xml; charset=windows-1251`, plain},
		"us-ascii":                      {`text/xml; charset=us-ascii`, plain},
		"upper case type":               {`TEXT/XML; CHARSET=UTF-8`, plain},
		"parameters that are malformed": {`text/xml; charset=utf-8; =`, plain},
		"application/xml":               {`application/xml`, plain},
		"empty header":                  {`text/xml`, pollBody("", "", "<soapenv:Header/>")},
		"header with a block":           {`text/xml`, pollBody("", "", `<soapenv:Header><wsa:To xmlns:wsa="urn:wsa" soapenv:mustUnderstand="0">x</wsa:To></soapenv:Header>`)},
		"byte order mark":               {`text/xml`, "\ufeff" + pollBody(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`, "", "")},
		"nonsense declarations":         {`text/xml`, pollBody("", ` xmlns:ns2="undefined" xmlns:ns3="undefined"`, "")},
		"comment before":                {`text/xml`, pollBody("<!-- generated -->\n", "", "\n  ")},
		"white space after":             {`text/xml`, plain + "\r\n\r\n"},
		"MTOM without attachments": {`multipart/related; type="application/xop+xml"; boundary="uuid:1f0e3dad"; start="<root@x>"; start-info="text/xml"`,
			mimeBody("uuid:1f0e3dad", "\r\n", xop+plain)},
		"CXF begins with an empty line": {`multipart/related; type="application/xop+xml"; boundary="uuid:1f0e3dad"; start="<root@x>"; start-info="text/xml"`,
			"\r\n" + mimeBody("uuid:1f0e3dad", "\r\n", xop+plain)},
		"MTOM without start": {`multipart/related;boundary=MIME_boundary;type="text/xml"`, mimeBody("MIME_boundary", "\r\n", "Content-Type: text/xml\r\n\r\n"+plain)},
		"boundary unquoted with a colon": {`multipart/related; boundary=uuid:1f0e3dad; type="application/xop+xml"`,
			mimeBody("uuid:1f0e3dad", "\r\n", xop+plain)},
		"line feeds only":      {`multipart/related; boundary="b"`, mimeBody("b", "\n", "Content-Type: text/xml\n\n"+plain)},
		"preamble":             {`multipart/related; boundary="b"`, "This is a multi-part message\r\n" + mimeBody("b", "\r\n", xop+plain)},
		"root part not first":  {`multipart/related; boundary="b"; start="<root@x>"`, mimeBody("b", "\r\n", "Content-ID: <a@x>\r\n\r\nattachment", xop+plain)},
		"start without angles": {`multipart/related; boundary="b"; start="root@x"`, mimeBody("b", "\r\n", xop+plain)},
		"root part in base64": {`multipart/related; boundary="b"`, mimeBody("b", "\r\n",
			"Content-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n"+base64Lines(plain))},
		"folded headers":              {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "Content-Type: application/xop+xml;\r\n\tcharset=UTF-8;\r\n type=\"text/xml\"\r\n\r\n"+plain)},
		"no final delimiter line end": {`multipart/related; boundary="b"`, strings.TrimSuffix(mimeBody("b", "\r\n", xop+plain), "\r\n")},
		"epilogue":                    {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", xop+plain) + "bye"},
	} {
		t.Run(name, func(t *testing.T) {
			e := parse(t, c.kind, []byte(c.body))
			if e.Operation() != GetRequest || e.Version() != V12 {
				t.Errorf("got %s %s", e.Operation(), e.Version())
			}
			if err := e.Check(); err != nil {
				t.Error(err)
			}
			if got, want := strings.TrimSpace(strings.TrimPrefix(string(e.Bytes()), "\ufeff")), strings.TrimSpace(strings.TrimPrefix(c.body, "\ufeff")); !e.Multipart() && got != want {
				t.Errorf("the bytes were not kept\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func base64Lines(s string) string {
	var b strings.Builder
	enc := newWriter(V12, 0)
	enc.binaryIf("x", []byte(s))
	text := strings.TrimSuffix(strings.TrimPrefix(string(enc.b), "<x>"), "</x>")
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text
}

// TestWhatIsNoCall: bodies that are refused before an operation is known.
func TestWhatIsNoCall(t *testing.T) {
	plain := pollBody("", "", "")
	cyrillic := strings.Replace(plain, "SIGNED_BY_CALLER", "Подпись", 1)
	part := "Content-Type: text/xml\r\nContent-ID: <r>\r\n\r\n" + plain
	for name, c := range map[string]struct {
		kind, body string
		want       ParseCode
	}{
		"form":                         {`application/x-www-form-urlencoded`, plain, ParseContentType},
		"json":                         {`application/json`, `{}`, ParseContentType},
		"multipart/form-data":          {`multipart/form-data; boundary=b`, mimeBody("b", "\r\n", part), ParseContentType},
		"another charset, really":      {`text/xml; charset=windows-1251`, cyrillic, ParseCharset},
		"utf-16 by label":              {`text/xml; charset=utf-16`, "<\x00a\x00", ParseCharset},
		"no boundary":                  {`multipart/related; type="text/xml"`, plain, ParseMultipart},
		"boundary not in the body":     {`multipart/related; boundary="b"`, plain, ParseMultipart},
		"not closed":                   {`multipart/related; boundary="b"`, "--b\r\n" + part, ParseMultipart},
		"no parts":                     {`multipart/related; boundary="b"`, "--b--\r\n", ParseMultipart},
		"no empty line":                {`multipart/related; boundary="b"`, "--b\r\nContent-Type: text/xml\r\n--b--\r\n", ParseMultipart},
		"header without a colon":       {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "Content-Type\r\n\r\n"+plain), ParseMultipart},
		"start names nothing":          {`multipart/related; boundary="b"; start="<q>"`, mimeBody("b", "\r\n", part), ParseMultipart},
		"two parts of one id":          {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", part, part), ParseMultipart},
		"unknown transfer encoding":    {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "Content-Transfer-Encoding: x-zip\r\n\r\n"+plain), ParseMultipart},
		"base64 that is none":          {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "Content-Transfer-Encoding: base64\r\n\r\n"+plain), ParseMultipart},
		"root part is an image":        {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "Content-Type: image/png\r\n\r\n"+plain), ParseContentType},
		"too many parts":               {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", append([]string{part}, strings.Split(strings.Repeat("\r\n,", 200), ",")...)...), ParseTooLarge},
		"too many headers":             {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", strings.Repeat("X: y\r\n", 100)+part), ParseTooLarge},
		"headers too long":             {`multipart/related; boundary="b"`, mimeBody("b", "\r\n", "X: "+strings.Repeat("y", 10000)+"\r\n"+part), ParseTooLarge},
		"SOAP 1.2":                     {`text/xml`, strings.ReplaceAll(plain, SOAPSpace, SOAP12Space), ParseVersionMismatch},
		"no envelope":                  {`text/xml`, `<GetRequestRequest xmlns="` + V12.TypesSpace() + `"/>`, ParseNotSOAP},
		"must understand":              {`text/xml`, pollBody("", "", `<soapenv:Header><w:Security xmlns:w="urn:w" soapenv:mustUnderstand="1"/></soapenv:Header>`), ParseMustUnderstand},
		"no body":                      {`text/xml`, `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Header/></e:Envelope>`, ParseNotSOAP},
		"empty body":                   {`text/xml`, `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Body/></e:Envelope>`, ParseUnknown},
		"two calls":                    {`text/xml`, strings.Replace(plain, "</soapenv:Body>", "<x/></soapenv:Body>", 1), ParseNotSOAP},
		"two bodies":                   {`text/xml`, strings.Replace(plain, "</soapenv:Envelope>", "<soapenv:Body/></soapenv:Envelope>", 1), ParseNotSOAP},
		"text in the body":             {`text/xml`, strings.Replace(plain, "<soapenv:Body>", "<soapenv:Body>text", 1), ParseNotSOAP},
		"unknown operation":            {`text/xml`, strings.ReplaceAll(plain, "GetRequestRequest", "CancelRequest"), ParseUnknown},
		"answer as a call":             {`text/xml`, strings.ReplaceAll(plain, "GetRequestRequest", "GetRequestResponse"), ParseUnknown},
		"statistics in 1.2":            {`text/xml`, strings.ReplaceAll(plain, "GetRequestRequest", "GetIncomingQueueStatisticsRequest"), ParseUnknown},
		"version 1.4":                  {`text/xml`, strings.ReplaceAll(plain, "types/1.2", "types/1.4"), ParseUnknown},
		"operation in basic":           {`text/xml`, strings.ReplaceAll(plain, "ns:GetRequestRequest", "ns1:GetRequestRequest"), ParseUnknown},
		"operation without namespace":  {`text/xml`, `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Body><GetRequestRequest/></e:Body></e:Envelope>`, ParseUnknown},
		"operation of the adapter API": {`text/xml`, `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Body><x:Send xmlns:x="urn://x-artefacts-smev-gov-ru/services/service-adapter/types"/></e:Body></e:Envelope>`, ParseUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.kind, []byte(c.body), new(xmltape.Tape), Limits{})
			var refused *ParseError
			if !errors.As(err, &refused) || refused.Code != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	_, err := Parse("text/xml", []byte(`<!DOCTYPE x><x/>`), new(xmltape.Tape), Limits{})
	var gate *xmltape.Error
	if !errors.As(err, &gate) || gate.Code != xmltape.CodeDoctype {
		t.Errorf("a DOCTYPE: %v", err)
	}
}

// TestXOPReferences: how contents of attachments are found.
func TestXOPReferences(t *testing.T) {
	call := func(content string) string {
		return `<e:Envelope xmlns:e="` + SOAPSpace + `"><e:Body><SendRequestRequest xmlns="` + V12.TypesSpace() + `" xmlns:b="` + V12.BasicSpace() + `"><SenderProvidedRequestData Id="x"><MessageID>` + someID + `</MessageID><b:MessagePrimaryContent><q xmlns="urn:q"/></b:MessagePrimaryContent></SenderProvidedRequestData><b:AttachmentContentList><b:AttachmentContent><b:Id>a</b:Id><b:Content>` + content + `</b:Content></b:AttachmentContent></b:AttachmentContentList></SendRequestRequest></e:Body></e:Envelope>`
	}
	include := func(href string) string {
		return `<xop:Include xmlns:xop="` + XOPSpace + `" href="` + href + `"/>`
	}
	send := func(content, part string) (*SendRequestCall, error) {
		body := mimeBody("b", "\r\n", "Content-Type: application/xop+xml\r\n\r\n"+call(content), part)
		e, err := Parse(`multipart/related; boundary="b"`, []byte(body), new(xmltape.Tape), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return DecodeSendRequest(e, proof(e))
	}
	for name, c := range map[string]struct{ content, part, want string }{
		"plain":               {include("cid:a@x"), "Content-ID: <a@x>\r\n\r\nhello", "hello"},
		"percent":             {include("cid:http%3A%2F%2Fx%2Fa"), "Content-ID: <http://x/a>\r\n\r\nhello", "hello"},
		"percent in both":     {include("cid:a%40x"), "Content-ID: <a%40x>\r\n\r\nhello", "hello"},
		"without angles":      {include("cid:a"), "Content-ID: a\r\n\r\nhello", "hello"},
		"other header case":   {include("CID:a"), "content-id: <a>\r\n\r\nhello", "hello"},
		"line ends stay":      {include("cid:a"), "Content-ID: <a>\r\n\r\n\r\nhello\r\n\r\n", "\r\nhello\r\n\r\n"},
		"a boundary as text":  {include("cid:a"), "Content-ID: <a>\r\n\r\nx--b\r\n--bc\r\n --b", "x--b\r\n--bc\r\n --b"},
		"empty":               {include("cid:a"), "Content-ID: <a>\r\n\r\n", ""},
		"part in base64":      {include("cid:a"), "Content-ID: <a>\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=", "hello"},
		"inline":              {"aGVsbG8=", "Content-ID: <a>\r\n\r\nunused", "hello"},
		"inline, white space": {" aGVs\n bG8= ", "Content-ID: <a>\r\n\r\nunused", "hello"},
		"inline, CR escaped":  {"aGVs&#13;\nbG8=", "Content-ID: <a>\r\n\r\nunused", "hello"},
		"inline, empty":       {"", "Content-ID: <a>\r\n\r\nunused", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := send(c.content, c.part)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(got.Attachments[0].Content); got != c.want {
				t.Errorf("content %q, want %q", got, c.want)
			}
		})
	}
	for name, content := range map[string]string{
		"no such part":  include("cid:b"),
		"http":          include("http://x/a"),
		"file":          include("file:///etc/passwd"),
		"no href":       `<xop:Include xmlns:xop="` + XOPSpace + `"/>`,
		"two includes":  include("cid:a") + include("cid:a"),
		"text and part": "aGVs" + include("cid:a"),
		"not base64":    "Привет",
		"other element": "<x/>",
	} {
		_, err := send(content, "Content-ID: <a>\r\n\r\nhello")
		var bad *FormatError
		if !errors.As(err, &bad) {
			t.Errorf("%s: got %v, want a *FormatError", name, err)
		}
	}
}

// TestSignedValuesInParts: a client with MTOM put a signed base64 value into a
// part; the envelope is read as it was signed.
func TestSignedValuesInParts(t *testing.T) {
	include := func(id string) string { return `<xop:Include xmlns:xop="` + XOPSpace + `" href="cid:` + id + `"/>` }
	inline := requestOf(V12, `<t:SenderProvidedRequestData Id="x">`+goodID+`<b:MessagePrimaryContent><q:A xmlns:q="urn:q"><q:B>VALUE1</q:B></q:A></b:MessagePrimaryContent><b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId><b:MimeType>a/b</b:MimeType><b:SignaturePKCS7>VALUE2</b:SignaturePKCS7></b:AttachmentHeader></b:AttachmentHeaderList></t:SenderProvidedRequestData><b:AttachmentContentList><b:AttachmentContent><b:Id>a</b:Id><b:Content>`+include("file")+`</b:Content></b:AttachmentContent></b:AttachmentContentList>`)
	inline = strings.Replace(inline, "a/b", "text/plain", 1)
	with := func(one, two string) string {
		return strings.Replace(strings.Replace(inline, "VALUE1", one, 1), "VALUE2", two, 1)
	}
	send := func(root string) (*Envelope, error) {
		body := mimeBody("b", "\r\n", "Content-Type: application/xop+xml\r\n\r\n"+root, "Content-ID: <one>\r\n\r\nhello", "Content-ID: <two>\r\n\r\npkcs7", "Content-ID: <file>\r\n\r\nfile")
		return Parse(`multipart/related; boundary="b"`, []byte(body), new(xmltape.Tape), Limits{})
	}
	e, err := send(with(include("one"), include("two")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(e.Bytes()), with("aGVsbG8=", "cGtjczc="); got != want {
		t.Errorf("envelope\ngot  %s\nwant %s", got, want)
	}
	c, err := DecodeSendRequest(e, proof(e))
	if err != nil || string(c.Headers[0].PKCS7) != "pkcs7" || string(c.Attachments[0].Content) != "file" {
		t.Errorf("%+v, %v", c, err)
	}
	var refused *ParseError
	if _, err := send(with(include("one"), include("one"))); !errors.As(err, &refused) || refused.Code != ParseMultipart {
		t.Errorf("one part for two values: %v", err)
	}
	var bad *FormatError
	for _, two := range []string{include("none"), "x" + include("two"), include("two") + include("one"), "<i>" + include("two") + "</i>"} {
		e, err := send(with("", two))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Check(); !errors.As(err, &bad) {
			t.Errorf("%s: %v", two, err)
		}
	}
}

// TestCallerByPosition: the signature and its target are where the operation
// prescribes, or they are not there.
func TestCallerByPosition(t *testing.T) {
	data := func(id string) string {
		return `<t:SenderProvidedRequestData Id="` + id + `">` + goodID + goodContent + `</t:SenderProvidedRequestData>`
	}
	sig := func(inside string) string {
		return `<t:CallerInformationSystemSignature>` + inside + `</t:CallerInformationSystemSignature>`
	}
	files := `<b:AttachmentContentList><b:AttachmentContent><b:Id>a</b:Id><b:Content/></b:AttachmentContent></b:AttachmentContentList>`
	for name, c := range map[string]struct {
		inside         string
		signed, target bool
		format         bool
	}{
		"right":                        {data("x") + sig(signature), true, true, true},
		"with attachments":             {data("x") + files + sig(signature), true, true, true},
		"no signature":                 {data("x"), false, true, true},
		"empty wrapper":                {data("x") + sig(""), false, true, false},
		"two signatures":               {data("x") + sig(signature+signature), false, true, false},
		"not a signature":              {data("x") + sig(`<d:SignedInfo xmlns:d="`+DSigSpace+`"/>`), false, true, false},
		"signature first":              {sig(signature) + data("x"), false, false, false},
		"attachments first":            {files + data("x") + sig(signature), false, false, false},
		"forged copy before":           {data("forged") + data("x") + sig(signature), false, true, false},
		"forged copy after":            {data("x") + data("forged") + sig(signature), false, true, false},
		"wrapped data":                 {`<t:Wrapper>` + data("x") + `</t:Wrapper>` + sig(signature), false, false, false},
		"wrapped signature":            {data("x") + `<t:Wrapper>` + sig(signature) + `</t:Wrapper>`, false, true, false},
		"signature inside the data":    {strings.Replace(data("x"), "</t:SenderProvidedRequestData>", sig(signature)+"</t:SenderProvidedRequestData>", 1), false, true, false},
		"two wrappers":                 {data("x") + sig(signature) + sig(signature), true, true, false},
		"something before the wrapper": {data("x") + `<t:X/>` + sig(signature), false, true, false},
		"response data":                {strings.ReplaceAll(data("x"), "RequestData", "ResponseData") + sig(signature), false, false, false},
	} {
		e := parse(t, "text/xml", []byte(requestOf(V12, c.inside)))
		s, target := e.Caller()
		if s.Valid() != c.signed || target.Valid() != c.target {
			t.Errorf("%s: signature %v, target %v; want %v, %v", name, s.Valid(), target.Valid(), c.signed, c.target)
		}
		if name == "forged copy before" {
			if id, _ := target.Attr("", "Id"); id != "forged" {
				t.Errorf("the target is %q: it was searched for, not taken by position", id)
			}
		}
		if err := e.Check(); (err == nil) != c.format {
			t.Errorf("%s: check says %v", name, err)
		}
	}
}

func TestFaultOfSOAPItself(t *testing.T) {
	a, err := ParseAnswer("text/xml", []byte(`<soap:Envelope xmlns:soap="`+SOAPSpace+`"><soap:Body><soap:Fault><faultcode>soap:VersionMismatch</faultcode><faultstring>SOAP 1.1 &lt;нужен></faultstring></soap:Fault></soap:Body></soap:Envelope>`), new(xmltape.Tape), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if f := a.Fault(); f == nil || f.Kind != "" || f.Code != "soap:VersionMismatch" || f.Text != "SOAP 1.1 <нужен>" || a.Version() != 0 {
		t.Errorf("fault %+v", a.Fault())
	}
}
