package signing

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

// foreignDoc is a document with a signature outside the SMEV profile: pretty
// printed, inclusive SignedInfo, two certificates, the way libraries write it.
type foreignDoc struct {
	doc        string // with %s where the signature goes
	uri        string
	transforms string
	c14n       C14N
	extra      string // after X509Certificate
	objects    string
}

const (
	envelopedTransform = `<Transform Algorithm="` + envelopedURI + `"/>`
	exclusiveTransform = `<Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
)

// make signs the document: it puts in a signature without values, digests what
// the Reference names, and fills the values in.
func (f foreignDoc) make(t *testing.T, s Signer) string {
	t.Helper()
	transforms := ""
	if f.transforms != "" {
		transforms = "<Transforms>" + f.transforms + "</Transforms>"
	}
	digest := b64(make([]byte, 32))
	build := func(digest, value string) string {
		return fmt.Sprintf(f.doc, `<Signature xmlns="`+Namespace+`">
  <SignedInfo>
    <CanonicalizationMethod Algorithm="`+f.c14n.URI()+`"/>
    <SignatureMethod Algorithm="`+string(s.Algorithm())+`"/>
    <Reference URI="`+f.uri+`">`+transforms+`<DigestMethod Algorithm="`+string(SHA256)+`"/><DigestValue>`+digest+`</DigestValue></Reference>
  </SignedInfo>
  <SignatureValue>`+value+`</SignatureValue>
  <KeyInfo><KeyName>x</KeyName><X509Data><X509SubjectName>CN=x</X509SubjectName><X509Certificate>`+b64(s.Certificate().DER)+`</X509Certificate>`+f.extra+`</X509Data></KeyInfo>`+f.objects+`
</Signature>`)
	}
	value := "AAAA"
	for step := range 2 {
		tape := parse(t, build(digest, value))
		sig := firstSignature(tape)
		fd, err := readForeign(sig)
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			subset, _, err := fd.resolve(new(scratch), sig)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := Canonicalize(&b, subset, fd.refC14N); err != nil {
				t.Fatal(err)
			}
			digest = b64(digestOf(fd.digest, b.Bytes()))
			continue
		}
		v, err := s.Sign(context.Background(), canonicalOctets(fd.signedInfo, f.c14n))
		if err != nil {
			t.Fatal(err)
		}
		value = b64(v)
	}
	return build(digest, value)
}

func TestForeignSignatures(t *testing.T) {
	s := signer(t, KeyECDSA256)
	ca := identity(t, KeyRSA2048).Certificate
	for name, f := range map[string]foreignDoc{
		"enveloped":                        {doc: `<?p?><a xmlns="u:a" b="1">x%s<!-- c --></a><?q?>`, transforms: envelopedTransform + exclusiveTransform, c14n: Exclusive},
		"enveloped, default method":        {doc: `<a xmlns="u:a" b="1">x%s</a>`, transforms: envelopedTransform, c14n: Inclusive10},
		"enveloped by Id":                  {doc: `<r><a xmlns="u:a" Id="A">x%s</a></r>`, uri: "#A", transforms: envelopedTransform + exclusiveTransform, c14n: Inclusive11},
		"detached":                         {doc: `<r><a xmlns="u:a" Id="A">x</a>%s</r>`, uri: "#A", transforms: exclusiveTransform, c14n: ExclusiveWithComments},
		"detached without transforms":      {doc: `<r xmlns:u="u:u"><a xmlns="u:a" ID="A">x</a>%s</r>`, uri: "#A", c14n: Inclusive10WithComments},
		"enveloping":                       {doc: `%s`, uri: "#O", c14n: Exclusive, objects: `<Object Id="O">text <b xmlns="u:b"/></Object>`},
		"XPath that says enveloped":        {doc: `<a xmlns="u:a" b="1">x%s</a>`, transforms: `<Transform Algorithm="` + xpathURI + `"><XPath xmlns:d="` + Namespace + `"> not(ancestor-or-self::d:Signature) </XPath></Transform>`, c14n: Inclusive10},
		"two certificates":                 {doc: `<a xmlns="u:a">x%s</a>`, transforms: envelopedTransform + exclusiveTransform, c14n: Exclusive, extra: `<X509Certificate>` + b64(ca.DER) + `</X509Certificate>`},
		"comments are no part of a subset": {doc: `<a xmlns="u:a">x<!-- c -->%s</a>`, transforms: envelopedTransform + `<Transform Algorithm="` + Inclusive11WithComments.URI() + `"/>`, c14n: Exclusive},
	} {
		doc := f.make(t, s)
		tape := parse(t, doc)
		signed, err := verifier(t, Options{}).VerifyForeign(firstSignature(tape))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
			continue
		}
		if signed.Form() != "canonical" || signed.Certificate().SHA256 != s.Certificate().SHA256 {
			t.Errorf("%s: got %s by %s", name, signed.Form(), signed.Certificate().Subject())
		}
		x := verifier(t, Options{}).Explain(tape, testNow, 100)
		if len(x) != 1 || x[0].Verdict != "valid" || x[0].Profile != "xmldsig" {
			t.Errorf("%s: explained as %+v", name, x)
		}
	}
}

func TestForeignRefusals(t *testing.T) {
	s := signer(t, KeyECDSA256)
	good := foreignDoc{doc: `<r xmlns:u="u:u"><a xmlns="u:a" Id="A">x</a>%s</r>`, uri: "#A", transforms: exclusiveTransform, c14n: Exclusive}.make(t, s)
	enveloped := foreignDoc{doc: `<a xmlns="u:a" Id="A">x%s</a>`, transforms: envelopedTransform + exclusiveTransform, c14n: Exclusive}.make(t, s)
	cert := between(good, "<X509Certificate>", "<")
	ref := "<Reference" + between(good, "<Reference", "</Reference>") + "</Reference>"
	for _, tt := range []struct {
		name, doc string
		want      Code
	}{
		{"good", good, ""},
		{"good, enveloped", enveloped, ""},
		{"content", strings.Replace(good, ">x<", ">y<", 1), DigestMismatch},
		{"content, enveloped", strings.Replace(enveloped, ">x<", ">y<", 1), DigestMismatch},
		{"after the signature, enveloped", strings.Replace(enveloped, "</Signature>", "</Signature>y", 1), DigestMismatch},
		{"SignedInfo", strings.Replace(good, "<SignedInfo>", "<SignedInfo> ", 1), ValueInvalid},
		{"Id claimed twice", strings.Replace(good, "<r ", `<r ID="A" `, 1), DuplicateID},
		{"no such Id", strings.Replace(good, `URI="#A"`, `URI="#B"`, 1), WrongTarget},
		{"no URI", strings.Replace(good, ` URI="#A"`, ``, 1), WrongTarget},
		{"external", strings.Replace(good, `URI="#A"`, `URI="http://e.org/"`, 1), WrongTarget},
		{"xpointer", strings.Replace(good, `URI="#A"`, `URI="#xpointer(/)"`, 1), WrongTarget},
		{"document without enveloped-signature", strings.Replace(good, `URI="#A"`, `URI=""`, 1), WrongTarget},
		{"enveloped-signature on another", strings.Replace(good, exclusiveTransform, envelopedTransform+exclusiveTransform, 1), WrongTarget},
		{"canonicalisation not last", strings.Replace(enveloped, envelopedTransform+exclusiveTransform, exclusiveTransform+envelopedTransform, 1), BadAlgorithm},
		{"XPath", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath>true()</XPath></Transform>`, 1), BadAlgorithm},
		{"XPath in a foreign element", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><w:XPath xmlns:w="urn:w" xmlns:d="`+Namespace+`">not(ancestor-or-self::d:Signature)</w:XPath></Transform>`, 1), BadAlgorithm},
		{"half an XPath", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath xmlns:d="`+Namespace+`">d:Signature)</XPath></Transform>`, 1), BadAlgorithm},
		{"the other half", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath xmlns:d="`+Namespace+`">not(ancestor-or-self::d</XPath></Transform>`, 1), BadAlgorithm},
		{"XPath with a prefix of another namespace", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath xmlns:d="urn:x">not(ancestor-or-self::d:Signature)</XPath></Transform>`, 1), BadAlgorithm},
		{"XPath with a prefix of none", strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath>not(ancestor-or-self::d:Signature)</XPath></Transform>`, 1), BadAlgorithm},
		{"XPath among two signatures", strings.Replace(strings.Replace(enveloped, envelopedTransform, `<Transform Algorithm="`+xpathURI+`"><XPath xmlns:d="`+Namespace+`">not(ancestor-or-self::d:Signature)</XPath></Transform>`, 1), "</a>", `<Signature xmlns="`+Namespace+`"/></a>`, 1), BadAlgorithm},
		{"XSLT", strings.Replace(good, exclusiveTransform, `<Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>`, 1), BadAlgorithm},
		{"SMEV transform", strings.Replace(good, exclusiveTransform, exclusiveTransform+`<Transform Algorithm="`+TransformURI+`"/>`, 1), BadAlgorithm},
		{"unknown canonicalisation", strings.Replace(good, `<CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`, `<CanonicalizationMethod Algorithm="urn:x"`, 1), BadAlgorithm},
		{"parameter of a canonicalisation", strings.Replace(good, exclusiveTransform, `<Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><x xmlns="urn:x"/></Transform>`, 1), BadAlgorithm},
		{"two prefix lists", strings.Replace(good, exclusiveTransform, `<Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">`+strings.Repeat(`<i:InclusiveNamespaces xmlns:i="`+exclusiveNS+`" PrefixList="a"/>`, 2)+`</Transform>`, 1), BadAlgorithm},
		{"prefix list of an inclusive method", strings.Replace(good, exclusiveTransform, `<Transform Algorithm="`+Inclusive10.URI()+`"><i:InclusiveNamespaces xmlns:i="`+exclusiveNS+`" PrefixList="a"/></Transform>`, 1), BadAlgorithm},
		{"SHA-1", strings.Replace(good, string(SHA256), Namespace+"sha1", 1), BadAlgorithm},
		{"legacy digest", strings.Replace(good, string(SHA256), string(GOST94), 1), BadAlgorithm},
		{"HMAC", strings.Replace(good, string(ECDSASHA256), Namespace+"hmac-sha1", 1), BadAlgorithm},
		{"legacy signature", strings.Replace(good, string(ECDSASHA256), string(GOST2001), 1), BadAlgorithm},
		{"another kind of key", strings.Replace(good, string(ECDSASHA256), string(RSASHA256), 1), ValueInvalid},
		{"two References", strings.Replace(good, ref, ref+ref, 1), Malformed},
		{"no Reference", strings.Replace(good, ref, "", 1), Malformed},
		{"no DigestValue", strings.Replace(good, "<DigestValue>"+between(good, "<DigestValue>", "</DigestValue>")+"</DigestValue>", "", 1), Malformed},
		{"no SignatureValue", strings.Replace(good, "<SignatureValue>"+between(good, "<SignatureValue>", "</SignatureValue>")+"</SignatureValue>", "", 1), Malformed},
		{"two SignatureValues", strings.Replace(good, "</SignatureValue>", "</SignatureValue><SignatureValue>AAAA</SignatureValue>", 1), Malformed},
		{"two KeyInfos", strings.Replace(good, "</KeyInfo>", "</KeyInfo><KeyInfo/>", 1), Malformed},
		{"two SignedInfos", strings.Replace(good, "</SignedInfo>", "</SignedInfo><SignedInfo/>", 1), Malformed},
		{"SignedInfo twice alike", strings.Replace(good, "</SignedInfo>", "</SignedInfo><SignedInfo>"+between(good, "<SignedInfo>", "</SignedInfo>")+"</SignedInfo>", 1), Malformed},
		{"KeyInfo twice alike", strings.Replace(good, "</KeyInfo>", "</KeyInfo><KeyInfo>"+between(good, "<KeyInfo>", "</KeyInfo>")+"</KeyInfo>", 1), Malformed},
		{"Object before SignedInfo", strings.Replace(good, "<SignedInfo>", "<Object/><SignedInfo>", 1), ""},
		{"URI without #", strings.Replace(good, `URI="#A"`, `URI="A"`, 1), WrongTarget},
		{"Id is no name", strings.NewReplacer(`URI="#A"`, `URI="#1"`, `Id="A"`, `Id="1"`).Replace(good), WrongTarget},
		{"foreign element", strings.Replace(good, "</KeyInfo>", "</KeyInfo><u:x/>", 1), Malformed},
		{"no certificate", strings.Replace(good, "<X509Certificate>"+cert+"</X509Certificate>", "", 1), CertificateMissing},
		{"no KeyInfo", strings.Replace(good, "<KeyInfo>"+between(good, "<KeyInfo>", "</KeyInfo>")+"</KeyInfo>", "", 1), CertificateMissing},
		{"certificate in a foreign element", strings.NewReplacer("<X509Data>", `<X509Data xmlns="urn:x">`).Replace(good), CertificateMissing},
		{"certificate not DER", strings.Replace(good, cert, "AAAA", 1), CertificateMalformed},
		{"certificate of another", strings.Replace(good, cert, b64(mustIssue(t).DER), 1), ValueInvalid},
		{"five certificates", strings.Replace(good, "</X509Data>", strings.Repeat("<X509Certificate>"+cert+"</X509Certificate>", 4)+"</X509Data>", 1), Malformed},
		{"four certificates", strings.Replace(good, "</X509Data>", strings.Repeat("<X509Certificate>"+cert+"</X509Certificate>", 3)+"</X509Data>", 1), ""},
	} {
		tape := new(xmltape.Tape)
		if err := tape.Parse([]byte(tt.doc), xmltape.Limits{}); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		_, err := verifier(t, Options{}).VerifyForeign(firstSignature(tape))
		if got := code(err); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
	tape := parse(t, good)
	sig := firstSignature(tape)
	if _, err := verifier(t, Options{}).VerifyForeign(tape.Root()); code(err) != NoSignature {
		t.Errorf("no ds:Signature: got %v", err)
	}
	late := s.Certificate().NotAfter().Add(time.Second)
	if _, err := verifier(t, Options{}).VerifyForeignAt(sig, late); code(err) != CertificateExpired {
		t.Errorf("expired: got %v", err)
	}
	if _, err := verifier(t, Options{SignatureOnly: true}).VerifyForeignAt(sig, late); err != nil {
		t.Errorf("signature only: got %v", err)
	}
	stranger := newPKI(t, KeyECDSA256)
	if _, err := verifier(t, Options{Trust: stranger.trust(t, TrustOptions{})}).VerifyForeign(sig); code(err) != CertificateUntrusted {
		t.Errorf("a stranger's: got %v", err)
	}
	if _, err := verifier(t, Options{Algorithms: []Algorithm{RSASHA256}}).VerifyForeign(sig); code(err) != BadAlgorithm {
		t.Errorf("an algorithm that is not named: got %v", err)
	}
}

func mustIssue(t *testing.T) *Certificate {
	t.Helper()
	id, err := SelfSigned(TestSubject{CommonName: "other"}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return id.Certificate
}

// Revocation is asked for foreign signatures too.
func TestForeignRevocation(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	s, err := p.leaf.Signer()
	if err != nil {
		t.Fatal(err)
	}
	sig := firstSignature(parse(t, foreignDoc{doc: `<a xmlns="u:a">x%s</a>`, transforms: envelopedTransform + exclusiveTransform, c14n: Exclusive}.make(t, s)))
	nobody := revocation(t, RevocationOptions{CRLs: []string{"/nowhere"}})
	if _, err := verifier(t, Options{Trust: p.trust(t, TrustOptions{Revocation: nobody})}).VerifyForeign(sig); code(err) != RevocationUnknown {
		t.Errorf("got %v, want %s", err, RevocationUnknown)
	}
	if _, err := verifier(t, Options{SignatureOnly: true, Trust: p.trust(t, TrustOptions{Revocation: nobody})}).VerifyForeign(sig); err != nil {
		t.Errorf("signature only: got %v", err)
	}
}
