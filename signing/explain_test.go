package signing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"mezhved/envelopes/xmltape"
)

// explainContent differs under every deviation that is looked for.
const explainContent = `<q:Запрос xmlns:z="u:z" xmlns:b="u:b" xmlns:q="urn://q" q:я="2" z:a="1" b:z="0" в="&#10;&gt;x" а="1">` +
	" текст \n  <q:x> </q:x><b:y>a&gt;b&gt;&#13;</b:y><b:y>e\u0301\u00a0</b:y><b:w>\u00a0</b:w><q:n>один\nдва  &amp;  три\n\n </q:n><b:k z:p='1'/>" +
	`<d:m xmlns:d="u:d"/><e:m xmlns:e="u:e" xmlns:c="u:c" c:x="1"/><d:m xmlns:d="u:d"/></q:Запрос>`

// sender signs the request in a way of its own.
func sender(t *testing.T, kind KeyType, octets func(target xmltape.Node, right []byte) []byte) string {
	t.Helper()
	doc, slot := request(explainContent)
	tape := parse(t, doc)
	target := tape.Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	var right bytes.Buffer
	if err := Transform(&right, target, Woodstox); err != nil {
		t.Fatal(err)
	}
	s := signer(t, kind)
	m := methodByURI(string(s.Algorithm()))
	sum := digestOf(digestByURI(string(m.digest)), octets(target, right.Bytes()))
	info := appendSignedInfo(nil, m, []byte("SIGNED_BY_CONSUMER"), sum)
	return string(Splice([]byte(doc), slot, assemble(t, info, s)))
}

func explainOne(t *testing.T, doc string, opt Options) Explanation {
	t.Helper()
	list := verifier(t, opt).Explain(parse(t, doc), testNow, 100)
	if len(list) != 1 {
		t.Fatalf("%d explanations, want 1", len(list))
	}
	return list[0]
}

func TestExplainValid(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	s, err := p.leaf.Signer()
	if err != nil {
		t.Fatal(err)
	}
	x := explainOne(t, signedRequest(t, sampleContent, s), Options{Trust: p.trust(t, TrustOptions{})})
	if x.Verdict != "valid" || !x.DigestOK || !x.SignatureValueOK || x.WriterForm != "woodstox" || x.Profile != "smev3" || x.Role != RoleCaller ||
		!strings.HasSuffix(x.SignedElement, "/ns2:SenderProvidedRequestData") || x.Certificate.Subject != p.leaf.Certificate.Subject() ||
		len(x.Chain) != 3 || x.ExpectedDigest != x.ActualDigest || x.Code != "" || len(x.Deviations) != 0 {
		t.Errorf("got %+v", x)
	}
	for _, lang := range []Language{English, Russian} {
		var b bytes.Buffer
		if err := WriteExplanations(&b, []Explanation{x}, lang, true); err != nil || !strings.Contains(b.String(), "Информационная система") && !strings.Contains(b.String(), "CN=Leaf") {
			t.Errorf("%s: %v, %s", lang, err, b.String())
		}
	}
	var back map[string]any
	data, _ := json.Marshal(x)
	json.Unmarshal(data, &back)
	for _, key := range []string{"profile", "signed_element", "algorithms", "digest_ok", "signature_value_ok", "writer_form", "certificate", "verdict", "reason"} {
		if _, ok := back[key]; !ok {
			t.Errorf("the JSON has no %q", key)
		}
	}
}

// Each way in which a sender can go wrong with the digest is recognised by name.
func TestExplainDigestDeviations(t *testing.T) {
	type test struct {
		want   string
		octets func(target xmltape.Node, right []byte) []byte
	}
	tests := []test{
		{"transform-missing", func(n xmltape.Node, _ []byte) []byte { return canonicalOctets(n, Exclusive) }},
		{"inclusive-c14n", func(n xmltape.Node, _ []byte) []byte { return canonicalOctets(n, Inclusive10) }},
		{"bytes-as-sent", func(n xmltape.Node, _ []byte) []byte { return n.Bytes() }},
		{"unicode-composed", func(_ xmltape.Node, b []byte) []byte { return bytes.ReplaceAll(b, []byte("e\u0301"), []byte("\u00e9")) }},
		{"encoded-bom", func(_ xmltape.Node, b []byte) []byte { return append([]byte("\ufeff"), b...) }},
		{"line-ends-rewritten", func(_ xmltape.Node, b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }},
		{"another-element", func(n xmltape.Node, _ []byte) []byte {
			var b bytes.Buffer
			Transform(&b, n.Child(basicNS, "MessagePrimaryContent"), Woodstox)
			return b.Bytes()
		}},
	}
	for _, d := range deviations {
		tests = append(tests, test{d.name, func(n xmltape.Node, _ []byte) []byte {
			var w deviant
			d.apply(&w)
			return w.octets(n)
		}})
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			x := explainOne(t, sender(t, KeyECDSA256, tt.octets), Options{})
			wantCode := DigestMismatch
			if tt.want == "jdk-writer" {
				wantCode = ""
			}
			if len(x.Deviations) != 1 || x.Deviations[0].Name != tt.want || x.Code != wantCode || !x.SignatureValueOK {
				t.Fatalf("got %q, %s; deviations %+v", x.Code, x.Reason, x.Deviations)
			}
			if wantCode != "" && tt.want != "another-element" && (x.Deviations[0].Signed == "" || x.Deviations[0].Signed == x.Deviations[0].Expected) {
				t.Errorf("no first difference: %+v", x.Deviations[0])
			}
		})
	}
	// The right octets are those of the transform: a deviant without deviation
	// is the transform itself.
	doc, _ := request(explainContent)
	target := parse(t, doc).Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	var right bytes.Buffer
	Transform(&right, target, Woodstox)
	if got := (deviant{}).octets(target); !bytes.Equal(got, right.Bytes()) {
		t.Errorf("a deviant without deviation:\ngot  %s\nwant %s", got, right.Bytes())
	}
}

func TestExplainWindows1251(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc, slot := request(`<q:a xmlns:q="urn://q">Объект</q:a>`)
	target := parse(t, doc).Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	var right bytes.Buffer
	Transform(&right, target, Woodstox)
	octets, err := charmap.Windows1251.NewEncoder().Bytes(right.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m := methodByURI(string(s.Algorithm()))
	info := appendSignedInfo(nil, m, []byte("SIGNED_BY_CONSUMER"), digestOf(digestByURI(string(m.digest)), octets))
	x := explainOne(t, string(Splice([]byte(doc), slot, assemble(t, info, s))), Options{})
	if len(x.Deviations) != 1 || x.Deviations[0].Name != "encoded-windows-1251" {
		t.Errorf("got %+v", x.Deviations)
	}

	// Read as windows-1251 and written as UTF-8 on the way.
	good := signedRequest(t, `<q:a xmlns:q="urn://q">Объект</q:a>`, s)
	twice, err := charmap.Windows1251.NewDecoder().String("Объект")
	if err != nil {
		t.Fatal(err)
	}
	x = explainOne(t, strings.Replace(good, "Объект", twice, 1), Options{})
	if len(x.Deviations) != 1 || x.Deviations[0].Name != "encoded-twice" {
		t.Errorf("got %+v", x.Deviations)
	}
}

// Each way in which a sender or its tools can spoil SignedInfo or the value is
// recognised by name.
func TestExplainValueDeviations(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc := signedRequest(t, sampleContent, s)
	value := strings.Split(strings.Split(doc, "<ds:SignatureValue>")[1], "<")[0]
	tape := parse(t, doc)
	sig, _ := caller(tape)
	info := canonicalOctets(sig.First(), Exclusive)
	key := identity(t, KeyECDSA256).Key.(*ecdsa.PrivateKey)
	der, err := ecdsa.SignASN1(rand.Reader, key, digestOf(digestByURI(string(SHA256)), info))
	if err != nil {
		t.Fatal(err)
	}
	over := func(octets []byte) string {
		v, err := s.Sign(context.Background(), octets)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(doc, value, b64(v), 1)
	}
	bare := bytes.Replace(info, []byte(` xmlns:ds="`+Namespace+`"`), nil, 1)
	digestAt := strings.Index(string(info), "</ds:DigestValue>")
	crlf := slices.Concat(info[:digestAt-10], []byte("&#xD;\n"), info[digestAt-10:])
	wrappedDoc := func(d, with string) string {
		at := strings.Index(d, "</ds:DigestValue>")
		return d[:at-10] + with + d[at-10:]
	}
	for _, tt := range []struct{ want, doc string }{
		{"pretty-printed-after-signing", strings.ReplaceAll(doc, "><ds:", ">\n    <ds:")},
		{"value-der", strings.Replace(doc, value, b64(der), 1)},
		{"signedinfo-as-sent", over(bare)},
		{"signedinfo-inclusive-c14n", over(canonicalOctets(sig.First(), Inclusive10))},
		{"signedinfo-other-prefix", over([]byte(strings.NewReplacer("ds:", "", "xmlns:ds", "xmlns").Replace(string(info))))},
		{"signedinfo-transformed", over(deviant{}.octets(sig.First()))},
		{"base64-rewrapped", wrappedDoc(doc, "\n")},
		{"base64-crlf", wrappedDoc(over(crlf), "\n")},
	} {
		t.Run(tt.want, func(t *testing.T) {
			x := explainOne(t, tt.doc, Options{})
			if len(x.Deviations) != 1 || x.Deviations[0].Name != tt.want || x.Verdict != "invalid" || x.SignatureValueOK || !x.DigestOK {
				t.Errorf("got %q, %s; digest %v, value %v; deviations %+v", x.Code, x.Reason, x.DigestOK, x.SignatureValueOK, x.Deviations)
			}
		})
	}
}

func TestExplainGOSTOrder(t *testing.T) {
	doc := signedRequest(t, sampleContent, signer(t, KeyGOST256))
	value := strings.Split(strings.Split(doc, "<ds:SignatureValue>")[1], "<")[0]
	tape := parse(t, doc)
	sig, _ := caller(tape)
	var r structureReader
	st, err := r.read(sig)
	if err != nil {
		t.Fatal(err)
	}
	reversed := slices.Clone(st.value)
	slices.Reverse(reversed)
	x := explainOne(t, strings.Replace(doc, value, b64(reversed), 1), Options{})
	if len(x.Deviations) != 1 || x.Deviations[0].Name != "value-form" || x.Code != ValueInvalid {
		t.Errorf("got %q, %+v", x.Code, x.Deviations)
	}
	x = explainOne(t, strings.Replace(doc, value, value[:10]+"AAAA"+value[14:], 1), Options{})
	if len(x.Deviations) != 0 {
		t.Errorf("a spoilt value is explained by %+v", x.Deviations)
	}
	var b bytes.Buffer
	WriteExplanations(&b, []Explanation{x}, Russian, false)
	if !strings.Contains(b.String(), "ни одно известное отклонение") {
		t.Errorf("got %s", b.String())
	}
}

// The report is for a terminal: nothing of the document moves its cursor.
func TestExplainIsPrintable(t *testing.T) {
	x := explainOne(t, signedRequest(t, "<q:a xmlns:q='urn://q'>\u009b31m\u202e\u0085</q:a>", signer(t, KeyECDSA256)), Options{})
	var b bytes.Buffer
	WriteExplanations(&b, []Explanation{x}, English, true)
	if strings.ContainsAny(b.String(), "\u009b\u202e\u0085\x1b\r") {
		t.Errorf("control characters in %q", b.String())
	}
}

// A body of a million elements beside each other is explained as any other is: to look for
// the parent of each of them from its beginning would take hours.
func TestExplainManyElements(t *testing.T) {
	doc := sender(t, KeyECDSA256, func(_ xmltape.Node, right []byte) []byte { return right })
	begin := strings.Index(doc, "MessagePrimaryContent>") + len("MessagePrimaryContent>")
	doc = doc[:begin] + strings.Repeat("<b/>", 1_000_000) + doc[begin:]
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Widest); err != nil {
		t.Fatal(err)
	}
	list := verifier(t, Options{}).Explain(tape, testNow, 100)
	if len(list) != 1 || list[0].Code != DigestMismatch || len(list[0].Deviations) != 0 {
		t.Errorf("got %d explanations: %+v", len(list), list)
	}
}

// inContent is a signed document with something put into its content afterwards.
func inContent(t *testing.T, added string) *xmltape.Tape {
	t.Helper()
	doc := sender(t, KeyECDSA256, func(_ xmltape.Node, right []byte) []byte { return right })
	begin := strings.Index(doc, "MessagePrimaryContent>") + len("MessagePrimaryContent>")
	return parse(t, doc[:begin]+added+doc[begin:])
}

// Each element that may have been signed instead costs as much as all names of the document,
// and there may be as many of the one as of the other: some are tried, not all.
func TestExplainManyIds(t *testing.T) {
	doc := sender(t, KeyECDSA256, func(n xmltape.Node, _ []byte) []byte {
		var b bytes.Buffer
		Transform(&b, n.Child(basicNS, "MessagePrimaryContent"), Woodstox)
		return b.Bytes()
	})
	begin := strings.Index(doc, "Envelope")
	begin += strings.Index(doc[begin:], ">") + 1
	for ids, found := range map[int]bool{maxOthers / 2: true, maxOthers: false} {
		added := `<soap:Header xmlns:soap="` + soap11Namespace + `">` + strings.Repeat(`<soap:b Id=""/>`, ids) + "</soap:Header>"
		x := explainOne(t, doc[:begin]+added+doc[begin:], Options{})
		if len(x.Deviations) > 0 != found {
			t.Errorf("behind %d others: %+v", ids, x.Deviations)
		}
	}
}

// What is made for each of tens of thousands of texts, by each of a hundred deviants, is small.
func TestExplainManyTexts(t *testing.T) {
	const texts = 10_000
	tape := inContent(t, strings.Repeat("<b>x y</b>", texts))
	v := verifier(t, Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list := v.Explain(tape, testNow, FewSignatures)
	runtime.ReadMemStats(&after)
	if len(list) != 1 || list[0].Code != DigestMismatch {
		t.Errorf("%+v", list)
	}
	if got := int(after.TotalAlloc-before.TotalAlloc) / texts; got > 60_000 {
		t.Errorf("%d bytes for each text", got)
	}
}

// A stranger's document can be nothing but signatures.
func TestExplainManySignatures(t *testing.T) {
	doc := `<r xmlns="urn:r" xmlns:s="` + Namespace + `">` + strings.Repeat("<s:Signature/>", 500_000) + "</r>"
	if list := verifier(t, Options{}).Explain(parse(t, doc), testNow, FewSignatures); len(list) != FewSignatures {
		t.Errorf("%d explanations, want %d", len(list), FewSignatures)
	}
}

// An element whose canonical form is hundreds of times as large is neither digested to its
// end nor kept.
func TestGrownElements(t *testing.T) {
	many := strings.Repeat("<a:x/>", 300_000)
	tape := inContent(t, `<r xmlns="urn:r" xmlns:a="urn:`+strings.Repeat("A", 1000)+`">`+many+`</r>`)
	v := verifier(t, Options{})
	sig, target := caller(tape)
	if _, err := v.Verify(sig, target); code(err) != Unsignable {
		t.Errorf("got %v, want %s", err, Unsignable)
	}
	list := v.Explain(tape, testNow, FewSignatures)
	if len(list) != 1 || list[0].Code != Unsignable || list[0].Canonical != nil || list[0].Transformed != nil {
		t.Fatalf("got %d explanations", len(list))
	}
	if n := len(tape.Source()); n > 4<<20 {
		t.Errorf("a document of %d bytes is too large to show anything", n)
	}
}
