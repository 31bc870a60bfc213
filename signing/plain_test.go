package signing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// plainly says for how many Ids of a document the emitter without a tape knew the octets, and
// holds these against what the transform makes of what is parsed. A document that the gate
// refuses has none.
func plainly(t testing.TB, doc []byte) (knew, ids int) {
	t.Helper()
	tape := new(xmltape.Tape)
	if tape.Parse(doc, xmltape.Widest) != nil {
		return 0, 0
	}
	names := map[string]bool{"absent": true}
	for i := range tape.Attrs {
		names[strings.Trim(string(tape.AttrValue(&tape.Attrs[i], nil)), " \t\r\n")] = true
	}
	s := new(scratch)
	for id := range names {
		if !isNCName([]byte(id)) {
			continue
		}
		if id != "absent" {
			ids++
		}
		var got, want bytes.Buffer
		if !s.plain.run(&got, doc, []byte(id)) {
			continue
		}
		knew++
		element, err := s.ids.find(tape, []byte(id))
		if err != nil {
			t.Fatalf("Id %q: the element was found by the bytes, and by the tape: %v\n%q", id, err, doc)
		}
		if err := Transform(&want, element, Woodstox); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("Id %q of %q\nplainly %q\nparsed  %q, %v", id, doc, got.Bytes(), want.Bytes(), err)
		}
	}
	return knew, ids
}

// What is made of the bytes of a document is what is made of its tape, for all samples that there
// are; and it is known for many.
func TestPlainSamples(t *testing.T) {
	knew, ids := 0, 0
	look := func(doc []byte) {
		k, n := plainly(t, doc)
		knew, ids = knew+k, ids+n
	}
	for _, dir := range []string{"testdata", "envelopes", "adapter"} {
		err := filepath.WalkDir(filepath.Join(repoRoot(t), dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".xml") {
				return err
			}
			doc, err := os.ReadFile(path)
			look(bytes.TrimSpace(doc))
			if i := bytes.Index(doc, []byte("?>")); i > 0 {
				look(doc[i+2:])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if t.Logf("known plainly: %d of %d elements", knew, ids); knew < ids/8 {
		t.Errorf("of %d elements with an Id of the samples %d were known plainly", ids, knew)
	}
}

// The vectors of the transform, as they are and as the content of a signed element.
func TestPlainVectors(t *testing.T) {
	var inputs []string
	for _, v := range transformVectors(t) {
		inputs = append(inputs, v.Input)
	}
	data, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "signing", "transform-generated.json"))
	if err != nil {
		t.Fatal(err)
	}
	var generated []struct{ Input string }
	if err := json.Unmarshal(data, &generated); err != nil {
		t.Fatal(err)
	}
	for _, v := range generated {
		inputs = append(inputs, v.Input)
	}
	knew := 0
	for _, input := range inputs {
		plainly(t, []byte(input))
		k, _ := plainly(t, []byte(`<s:E xmlns:s="urn:s" xmlns="urn:d"><d Id="_x">`+input+`</d><s:t/></s:E>`))
		knew += k
	}
	if t.Logf("known plainly: %d of %d", knew, len(inputs)); knew == 0 {
		t.Error("no vector was known plainly")
	}
}

var plainSeeds = []string{
	`<a xmlns="u:a" Id="i"/>`,
	`<a xmlns="u:a" Id="i"></a>`,
	`<a xmlns="u:a" Id="i"><b/><b c="1"/><b c="1" /></a>`,
	`<a xmlns="u:a" Id="i"><b Id="i"/></a>`,
	`<a xmlns="u:a" Id="i"/><a/>`,
	`<s:E xmlns:s="u:s"><s:B><p:a Id="i" xmlns:p="u:p" xmlns=""><p:b>x</p:b> <q:c xmlns:q="u:q"><q:d q="1" b="2" a="3"/></q:c><q:c xmlns:q="u:q">y</q:c></p:a><p:z xmlns:p="u:z"/></s:B></s:E>`,
	`<a xmlns="u:a" Id="i"><b xmlns="u:b"><c xmlns="u:a"/></b><b xmlns="u:b"/></a>`,
	`<a xmlns="u:a" Id="i"><b xmlns=""/></a>`,
	`<a xmlns="u:a" xmlns:p="u:a" Id="i"><p:b/><c/><p:b xmlns:p="u:b"><p:b/><c/></p:b><p:b/></a>`,
	`<a xmlns="u:a" Id="i" p:x="1" xmlns:p="u:p"/>`,
	`<a xmlns="u:a" p:x="1" xmlns:p="u:p"><b Id="i"/></a>`,
	`<a xmlns="u:a" xml:lang="ru"><b Id="i"/></a>`,
	`<a xmlns="u:a" xml:id="i"><b Id="i"/></a>`,
	`<a xmlns="u:a" Id=" i "><b ID="i"/></a>`,
	"<a xmlns=\"u:a\"\n Id=\"i\"\n><b\tc=\"1\"\n  b=\"2\"/>\n \n<c>\n x \n</c></a>",
	`<a xmlns="u:a" Id='i'><b>x > y</b></a>`,
	`<a xmlns="u:a" Id="i" v="x > y"><b v=">"/><b v="/"/><b v="="/></a>`,
	`<a xmlns="u:a" Id="i"><b>&lt;&amp;&quot;&apos;&gt;</b></a>`,
	`<a xmlns="u:a" Id="i"><b>&lt;&amp;&quot;&apos;</b> <c> &amp;</c></a>`,
	`<a xmlns="u:a" Id="i"><b>&#32;</b><c>]]</c></a>`,
	`<a xmlns="u:a" Id="i"><b v="&quot;"/></a>`,
	`<a xmlns="u:a" Id="i">x<!-- c -->y<![CDATA[z]]></a>`,
	`<a xmlns="u:a&amp;b" Id="i"/>`,
	"<a xmlns=\"u:a\" Id=\"i\">\u0085</a>",
	`<a xmlns="u:a" Id="i"><б xmlns="u:я" я="1" b="2" ` + "\U00010000" + `="3" ` + "\ufb00" + `="4">«Ромашка»</б></a>`,
	`<?xml version="1.0"?><a xmlns="u:a" Id="i"/>`,
	`<aid xmlns="u:a" Id="i" paid="i" a-Id="i"/>`,
}

// FuzzPlain states: of a document that the gate lets pass the octets that are known without a tape
// are those of the transform, for the element that the tape finds.
func FuzzPlain(f *testing.F) {
	for _, doc := range plainSeeds {
		f.Add([]byte(doc))
	}
	f.Add([]byte(sampleContent))
	doc, _ := request(benchContent(4 << 10))
	f.Add([]byte(doc[strings.Index(doc, "?>")+2:]))
	f.Fuzz(func(t *testing.T, doc []byte) { plainly(t, doc) })
}

// Whatever an element is cut to, of documents that nest as they may: prefixes hide others, come and
// go with their elements, and are given anew.
func TestPlainNesting(t *testing.T) {
	var write func(b *strings.Builder, seed *uint32, depth int)
	write = func(b *strings.Builder, seed *uint32, depth int) {
		next := func(n uint32) uint32 {
			*seed = *seed*1664525 + 1013904223
			return (*seed >> 16) % n
		}
		prefix := []string{"", "p:", "q:", "ns1:", "ns2:"}[next(5)]
		fmt.Fprintf(b, "<%se", prefix)
		declared := map[string]bool{}
		for range next(3) {
			if name := []string{"", ":p", ":q", ":ns1", ":ns2"}[next(5)]; !declared[name] {
				declared[name] = true
				fmt.Fprintf(b, ` xmlns%s="u:%d"`, name, next(4))
			}
		}
		attrs := map[uint32]bool{}
		for range next(4) {
			if k := next(6); !attrs[k] {
				attrs[k] = true
				fmt.Fprintf(b, `%s%c="%d"`, []string{" ", "\n", "  "}[next(3)], 'a'+k, next(9))
			}
		}
		if next(4) == 0 {
			fmt.Fprintf(b, ` Id="i%d"`, next(20))
		}
		if depth == 0 || next(4) == 0 {
			b.WriteString("/>")
			return
		}
		b.WriteByte('>')
		for range next(4) {
			b.WriteString([]string{"", " ", "x", " «y» ", "&amp;", "\n"}[next(6)])
			write(b, seed, depth-1)
		}
		fmt.Fprintf(b, "</%se>", prefix)
	}
	knew := 0
	for seed := range uint32(4000) {
		var b strings.Builder
		b.WriteString(`<r xmlns="u:0" xmlns:p="u:1" xmlns:q="u:2" xmlns:ns1="u:3" xmlns:ns2="u:0">`)
		write(&b, &seed, 5)
		b.WriteString("</r>")
		k, _ := plainly(t, []byte(b.String()))
		knew += k
	}
	if knew < 1000 {
		t.Errorf("%d elements were known plainly: this tells nothing", knew)
	}
}

// What is not well-formed is never gone through to its end, or past it.
func TestPlainBroken(t *testing.T) {
	doc, _ := request(benchContent(1 << 10))
	doc = doc[strings.Index(doc, "?>")+3:]
	if k, _ := plainly(t, []byte(doc)); k == 0 {
		t.Fatal("the whole document is not known plainly")
	}
	var e plainEmitter
	for n := range len(doc) - 1 {
		if e.run(io.Discard, []byte(doc[:n]), []byte("SIGNED_BY_CONSUMER")) {
			t.Errorf("a document that ends at %q was gone through", doc[max(0, n-20):n])
		}
	}
}

// What the gateway answers and its callers ask is known plainly.
func TestPlainOrdinary(t *testing.T) {
	call, _ := request(benchContent(2 << 10))
	for _, doc := range []string{
		strings.Replace(plainDelivery, "CONTENT", benchContent(2<<10), 1),
		call[strings.Index(call, "?>")+2:],
		`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><ns2:SendRequestResponse xmlns="` + basicNS + `" xmlns:ns2="` + typesNS + `"><ns2:MessageMetadata Id="SIGNED_BY_SMEV"><ns2:MessageId>1</ns2:MessageId></ns2:MessageMetadata><ns2:SMEVSignature></ns2:SMEVSignature></ns2:SendRequestResponse></soap:Body></soap:Envelope>`,
		`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:AckRequest xmlns:typ="` + typesNS + `" xmlns:bas="` + basicNS + `"><bas:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">1</bas:AckTargetMessage><typ:CallerInformationSystemSignature></typ:CallerInformationSystemSignature></typ:AckRequest></soap:Body></soap:Envelope>`,
	} {
		if knew, _ := plainly(t, []byte(doc)); knew == 0 {
			t.Errorf("not known plainly: %s", doc)
		}
	}
}

func BenchmarkPlain(b *testing.B) {
	doc := []byte(strings.Replace(plainDelivery, "CONTENT", benchContent(2<<10), 1))
	if k, _ := plainly(b, doc); k == 0 {
		b.Fatal("not plain")
	}
	id := []byte("SIGNED_BY_SMEV")
	s := new(scratch)
	s.tape = new(xmltape.Tape)
	b.Run("plainly", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			if !s.plain.run(io.Discard, doc, id) {
				b.Fatal("not plain")
			}
		}
	})
	b.Run("parsed", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			if err := s.tape.Parse(doc, xmltape.Widest); err != nil {
				b.Fatal(err)
			}
			element, err := s.ids.find(s.tape, id)
			if err == nil {
				err = s.smev.run(io.Discard, element, Woodstox)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// plainDelivery is an answer to GetRequest as the gateway writes it.
const plainDelivery = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><ns2:GetRequestResponse xmlns="` + basicNS + `" xmlns:ns2="` + typesNS + `" xmlns:ns3="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2"><ns2:RequestMessage><ns2:Request Id="SIGNED_BY_SMEV" xmlns:typ="` + typesNS + `" xmlns:bas="` + basicNS + `" xmlns="">` +
	`<typ:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER"><typ:MessageID>db0486d0-3c08-11e5-95e2-d4c9eff07b77</typ:MessageID><bas:MessagePrimaryContent>CONTENT</bas:MessagePrimaryContent></typ:SenderProvidedRequestData>` +
	`<ns2:MessageMetadata><ns2:MessageId>db0486d0-3c08-11e5-95e2-d4c9eff07b77</ns2:MessageId><ns2:MessageType>REQUEST</ns2:MessageType><ns2:Sender><ns2:Mnemonic>MUNI</ns2:Mnemonic></ns2:Sender><ns2:SendingTimestamp>2020-02-27T07:01:04.000+03:00</ns2:SendingTimestamp><ns2:Recipient><ns2:Mnemonic>REG</ns2:Mnemonic></ns2:Recipient><ns2:DeliveryTimestamp>2020-02-27T07:01:05.000+03:00</ns2:DeliveryTimestamp><ns2:Status>messageIsDelivered</ns2:Status></ns2:MessageMetadata><ns2:ReplyTo>eyJzaWQiOjEsIm1pZCI6IjAxIn0</ns2:ReplyTo>` +
	`<ns2:SenderInformationSystemSignature><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#SIGNED_BY_CONSUMER"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>rVZHr3CYzqhZY8Vxk2KXcdtCzrAEnYVtwhSwZ7FCmW8=</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>rVZHr3CYzqhZY8Vxk2KXcdtCzrAEnYVtwhSwZ7FCmW8rVZHr3CYzqhZY8Vxk2KXcdtCzrAEnYVtwhSwZ7FCmW8=</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>MIIB</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature></ns2:SenderInformationSystemSignature></ns2:Request><ns2:SMEVSignature></ns2:SMEVSignature></ns2:RequestMessage></ns2:GetRequestResponse></soap:Body></soap:Envelope>`
