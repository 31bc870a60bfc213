package signing

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

// testNow is the clock of the tests.
var testNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func testClock() time.Time { return testNow }

const (
	typesNS = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"
	basicNS = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"
)

var testIdentities sync.Map

// identity gives one key and certificate per type for the whole test run.
func identity(t testing.TB, kind KeyType) *Identity {
	t.Helper()
	if id, ok := testIdentities.Load(kind); ok {
		return id.(*Identity)
	}
	ca, err := NewTestCA("Root of the tests", kind, testNow.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.Issue(TestSubject{CommonName: "Информационная система", Organization: "Мэрия", Key: kind}, testNow.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	testIdentities.Store(kind, id)
	return id
}

func signer(t testing.TB, kind KeyType) Signer {
	t.Helper()
	s, err := identity(t, kind).Signer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request is a SendRequest with one hole for the caller's signature.
func request(content string) (doc string, slot int) {
	head := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<ns2:SendRequestRequest xmlns:ns2="` + typesNS + `" xmlns="` + basicNS + `">` + "\n  " +
		`<ns2:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER"><ns2:MessageID>db0486d0-3c08-11e5-95e2-d4c9eff07b77</ns2:MessageID>` +
		`<MessagePrimaryContent>` + content + `</MessagePrimaryContent></ns2:SenderProvidedRequestData>` + "\n  " +
		`<ns2:CallerInformationSystemSignature>`
	tail := `</ns2:CallerInformationSystemSignature></ns2:SendRequestRequest></S:Body></S:Envelope>`
	return head + tail, len(head)
}

const sampleContent = `<q:Request xmlns:q="urn://mezhved/egrn/1.0" id="1"><q:Объект Номер='77:01:0001'>ООО «Ромашка» &amp; Ко > всех</q:Объект><q:x/></q:Request>`

// signed is the request with a signature by the signer.
func signedRequest(t testing.TB, content string, s Signer) string {
	t.Helper()
	doc, slot := request(content)
	out, err := SignInto(context.Background(), []byte(doc), "SIGNED_BY_CONSUMER", slot, s)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// caller gives the signature and the target that SendRequest prescribes.
func caller(tape *xmltape.Tape) (sig, target xmltape.Node) {
	op := tape.Root().First().First()
	return op.Child(typesNS, "CallerInformationSystemSignature").First(), op.Child(typesNS, "SenderProvidedRequestData")
}

func verifier(t testing.TB, opt Options) *Verifier {
	t.Helper()
	if opt.Now == nil {
		opt.Now = testClock
	}
	v, err := NewVerifier(opt)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// code gives the Code of an error, empty for nil.
func code(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return Code("untyped: " + err.Error())
	}
	return ""
}

var keyTypes = []KeyType{KeyECDSA256, KeyECDSA384, KeyRSA2048, KeyGOST256, KeyGOST512}

func TestSignVerify(t *testing.T) {
	for _, kind := range keyTypes {
		t.Run(string(kind), func(t *testing.T) {
			s := signer(t, kind)
			doc := signedRequest(t, sampleContent, s)
			tape := parse(t, doc)
			sig, target := caller(tape)
			signed, err := verifier(t, Options{}).Verify(sig, target)
			if err != nil {
				t.Fatal(err)
			}
			if signed.Element() != target || signed.Certificate().SHA256 != s.Certificate().SHA256 || signed.Form() != "woodstox" || signed.Algorithm() != s.Algorithm() {
				t.Errorf("got %v by %s, %s, %s", signed.Element().XPath(), signed.Certificate().Subject(), signed.Form(), signed.Algorithm())
			}
			for _, c := range []string{" ", "\t", "\n"} {
				if strings.Contains(string(sig.Bytes()), c) && c != " " {
					t.Errorf("signature holds white space: %q", sig.Bytes())
				}
			}
		})
	}
}

// Every change of one byte inside the signed element or the signature is found,
// unless it changes nothing that is signed.
func TestEveryByteCounts(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc := signedRequest(t, sampleContent, s)
	tape := parse(t, doc)
	sig, target := caller(tape)
	v := verifier(t, Options{SignatureOnly: true})
	tOff, tEnd := target.Range()
	sOff, sEnd := sig.Range()
	var want strings.Builder
	if err := Transform(&want, target, Woodstox); err != nil {
		t.Fatal(err)
	}
	changed := new(xmltape.Tape)
	accepted := 0
	for i := range len(doc) {
		if !(i >= tOff && i < tEnd || i >= sOff && i < sEnd) {
			continue
		}
		for _, flip := range []byte{0x01, 0x02, 0x20} {
			b := []byte(doc)
			b[i] ^= flip
			if changed.Parse(b, xmltape.Limits{}) != nil {
				continue
			}
			sig, target := caller(changed)
			signed, err := v.Verify(sig, target)
			if err != nil {
				continue
			}
			accepted++
			var got strings.Builder
			Transform(&got, signed.Element(), Woodstox)
			if got.String() != want.String() {
				t.Errorf("byte %d ^ %#x: accepted with other content %q", i, flip, b[max(0, i-20):min(len(b), i+20)])
			}
		}
	}
	t.Logf("%d changes without meaning were accepted", accepted)
}

// The transforms as appendSignedInfo writes them, and two more.
const (
	exclusiveStep = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform>`
	inclusiveStep = `<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"></ds:Transform>`
	smevStep      = `<ds:Transform Algorithm="` + TransformURI + `"></ds:Transform>`
	envelopedStep = `<ds:Transform Algorithm="` + envelopedURI + `"></ds:Transform>`
)

// looserForms are what real clients write beside what the profile has: edits of a
// canonical SignedInfo, none of which changes an octet of what is digested.
var looserForms = map[string]func(info string) string{
	"enveloped-signature first": func(info string) string { return strings.Replace(info, exclusiveStep, envelopedStep+exclusiveStep, 1) },
	"enveloped-signature between": func(info string) string {
		return strings.Replace(info, smevStep, envelopedStep+smevStep, 1)
	},
	"enveloped-signature last": func(info string) string { return strings.Replace(info, smevStep, smevStep+envelopedStep, 1) },
	"inclusive canonicalisation between": func(info string) string {
		return strings.Replace(info, smevStep, inclusiveStep+smevStep, 1)
	},
	"exclusive canonicalisation twice": func(info string) string {
		return strings.Replace(info, smevStep, exclusiveStep+smevStep, 1)
	},
	"inclusive between, enveloped last": func(info string) string {
		return strings.Replace(info, smevStep, inclusiveStep+smevStep+envelopedStep, 1)
	},
}

// looserly signs the element with an Id in a document as SignInto does, its
// SignedInfo edited.
func looserly(t testing.TB, doc, id string, slot int, s Signer, edit func(string) string) string {
	t.Helper()
	target, err := new(idIndex).find(parse(t, doc), []byte(id))
	if err != nil {
		t.Fatal(err)
	}
	m := methodByURI(string(s.Algorithm()))
	sum, err := new(scratch).digest(digestByURI(string(m.digest)), target, Woodstox)
	if err != nil {
		t.Fatal(err)
	}
	info := edit(string(appendSignedInfo(nil, m, []byte(id), sum)))
	return string(Splice([]byte(doc), slot, assemble(t, []byte(info), s)))
}

// What real clients write beside the profile is taken where it changes nothing.
func TestLooserForms(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc, slot := request(sampleContent)
	v := verifier(t, Options{})
	for name, edit := range looserForms {
		if _, err := v.Verify(caller(parse(t, looserly(t, doc, "SIGNED_BY_CONSUMER", slot, s, edit)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The names of the CryptoPro set for the legacy algorithms mean what the others mean.
func TestAliases(t *testing.T) {
	const alias = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102001-gostr3411"
	if m := methodByURI(alias); m == nil || m.uri != GOST2001 {
		t.Fatalf("%s is %v, want GOST R 34.10-2001", alias, m)
	}
	if k := digestByURI("urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr3411"); k < 0 || digests[k].uri != GOST94 {
		t.Errorf("the alias of the digest is line %d of the table", k)
	}
	if methodByURI("") != nil || digestByURI("") >= 0 {
		t.Error("no name is a name of something")
	}
	for _, name := range []Algorithm{alias, GOST2001} {
		v, err := NewVerifier(Options{Algorithms: []Algorithm{name}})
		if err != nil || !v.allowed[GOST2001] {
			t.Errorf("a policy that names %s: %v, allows %v", name, err, v.allowed)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc := signedRequest(t, sampleContent, s)
	replace := func(old, new string) string {
		if strings.Count(doc, old) < 1 {
			t.Fatalf("%q is not in the document", old)
		}
		return strings.Replace(doc, old, new, 1)
	}
	cert := strings.Split(strings.Split(doc, "<ds:X509Certificate>")[1], "<")[0]
	value := strings.Split(strings.Split(doc, "<ds:SignatureValue>")[1], "<")[0]
	reference := doc[strings.Index(doc, "<ds:Reference"):strings.Index(doc, "</ds:SignedInfo>")]
	x509Data := doc[strings.Index(doc, "<ds:X509Data>"):strings.Index(doc, "</ds:KeyInfo>")]
	for _, tt := range []struct {
		name string
		doc  string
		want Code
	}{
		{"untouched", doc, ""},
		{"content", replace("Ромашка", "Ромашкa"), DigestMismatch},
		{"white space only text is no content", replace("</q:Объект><q:x/>", "</q:Объект>\n <q:x/>"), ""},
		{"prefix is no content", strings.NewReplacer("q:", "r:", "xmlns:q", "xmlns:r").Replace(doc), ""},
		{"namespace", replace("egrn/1.0", "egrn/1.1"), DigestMismatch},
		{"white space in Signature", replace("</ds:SignedInfo><", "</ds:SignedInfo>\n<"), Malformed},
		{"white space in KeyInfo", replace("<ds:X509Data>", "<ds:X509Data> "), Malformed},
		{"text in Signature", replace("</ds:SignedInfo><", "</ds:SignedInfo>x<"), Malformed},
		{"comment in Signature", replace("</ds:SignedInfo><", "</ds:SignedInfo><!-- --><"), Malformed},
		{"instruction in SignedInfo", replace("<ds:SignedInfo>", "<ds:SignedInfo><?p?>"), Malformed},
		{"comment in DigestValue", replace("</ds:DigestValue>", "<!-- --></ds:DigestValue>"), Malformed},
		{"CDATA in SignatureValue", replace(value, "<![CDATA["+value+"]]>"), Malformed},
		{"base64 wrapped", replace(value, value[:20]+"\n"+value[20:]), ""},
		{"base64 wrapped with CR", replace(value, value[:20]+"&#13;\n"+value[20:]), ""},
		{"DigestValue wrapped is another SignedInfo", replace("=</ds:DigestValue>", "=\n</ds:DigestValue>"), ValueInvalid},
		{"not base64", replace(value, "*"+value[1:]), Malformed},
		{"empty SignatureValue", replace(value, ""), Malformed},
		{"short SignatureValue", replace(value, "AAAA"), ValueInvalid},
		{"other SignatureValue", replace(value[:4], "AAAA"), ValueInvalid},
		{"no KeyInfo", replace(doc[strings.Index(doc, "<ds:KeyInfo>"):strings.Index(doc, "</ds:Signature>")], ""), CertificateMissing},
		{"no X509Data", replace(x509Data, ""), CertificateMissing},
		{"KeyName", replace(x509Data, x509Data+"<ds:KeyName>x</ds:KeyName>"), Malformed},
		{"KeyName alone", replace(x509Data, "<ds:KeyName>x</ds:KeyName>"), CertificateMissing},
		{"subject name before the certificate", replace("<ds:X509Data>", "<ds:X509Data><ds:X509SubjectName>CN=x</ds:X509SubjectName>"), ""},
		{"all that names the certificate beside it", replace("</ds:X509Data>", "<ds:X509IssuerSerial><ds:X509IssuerName>CN=x</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial><ds:X509SKI>AA==</ds:X509SKI></ds:X509Data>"), ""},
		{"a subject name with an element in no namespace", replace("</ds:X509Data>", `<ds:X509SubjectName><x xmlns=""/></ds:X509SubjectName></ds:X509Data>`), Unsignable},
		{"a subject name with a language", replace("</ds:X509Data>", `<ds:X509SubjectName xml:lang="ru">CN=x</ds:X509SubjectName></ds:X509Data>`), Unsignable},
		{"an issuer with a language", replace("</ds:X509Data>", `<ds:X509IssuerSerial><ds:X509IssuerName xml:lang="ru">CN=x</ds:X509IssuerName></ds:X509IssuerSerial></ds:X509Data>`), Unsignable},
		{"a serial number with a type", replace("</ds:X509Data>", `<ds:X509IssuerSerial xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ds:X509IssuerSerialType"/></ds:X509Data>`), ""},
		{"subject name alone", replace("<ds:X509Certificate>"+cert+"</ds:X509Certificate>", "<ds:X509SubjectName>CN=x</ds:X509SubjectName>"), CertificateMissing},
		{"a revocation list beside the certificate", replace("</ds:X509Data>", "<ds:X509CRL>AA==</ds:X509CRL></ds:X509Data>"), Malformed},
		{"a subject name of another namespace", replace("</ds:X509Data>", `<X509SubjectName xmlns="urn:x"/></ds:X509Data>`), Malformed},
		{"KeyValue", replace(x509Data, "<ds:KeyValue/>"), CertificateMissing},
		{"two certificates", replace("</ds:X509Data>", "<ds:X509Certificate>"+cert+"</ds:X509Certificate></ds:X509Data>"), Malformed},
		{"certificate not DER", replace(cert, cert[:40]), CertificateMalformed},
		{"certificate too long", replace(cert, strings.Repeat("AAAA", 3000)), CertificateMalformed},
		{"certificate text too long", replace(cert, strings.Repeat("AAAA", 5000)), Malformed},
		{"Object", replace("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object/>"), Malformed},
		{"foreign element", replace("</ds:KeyInfo>", `</ds:KeyInfo><x xmlns="u:x"/>`), Malformed},
		{"unknown attribute", replace("<ds:SignedInfo>", `<ds:SignedInfo x="1">`), Malformed},
		{"Id on Signature", replace("<ds:Signature ", `<ds:Signature Id="S" `), ""},
		{"Id on SignedInfo is signed", replace("<ds:SignedInfo>", `<ds:SignedInfo Id="S">`), ValueInvalid},
		{"two References", replace(reference, reference+reference), Malformed},
		{"no Reference", replace(reference, ""), Malformed},
		{"order", replace("<ds:SignatureValue>"+value+"</ds:SignatureValue>", ""), Malformed},
		{"inclusive canonicalisation", replace(`CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`, `CanonicalizationMethod Algorithm="`+Inclusive10.URI()+`"`), BadAlgorithm},
		{"canonicalisation with comments", replace(`CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`, `CanonicalizationMethod Algorithm="`+ExclusiveWithComments.URI()+`"`), BadAlgorithm},
		{"PrefixList", replace(`"></ds:CanonicalizationMethod>`, `"><ds:InclusiveNamespaces PrefixList="x"/></ds:CanonicalizationMethod>`), BadAlgorithm},
		{"SHA-1", replace(string(ECDSASHA256), "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"), BadAlgorithm},
		{"HMAC", replace(string(ECDSASHA256), "http://www.w3.org/2000/09/xmldsig#hmac-sha1"), BadAlgorithm},
		{"digest SHA-1", replace(string(SHA256), "http://www.w3.org/2000/09/xmldsig#sha1"), BadAlgorithm},
		{"digest of another length", replace(string(SHA256), string(SHA512)), Malformed},
		{"digest legacy", replace(string(SHA256), string(GOST94)), BadAlgorithm},
		{"another kind of key", replace(string(ECDSASHA256), string(RSASHA256)), KeyUnfit},
		{"another method of the key", replace(string(ECDSASHA256), string(ECDSASHA512)), ValueInvalid},
		{"a digest with a parameter", replace(`"></ds:DigestMethod>`, `"><ds:Size/></ds:DigestMethod>`), BadAlgorithm},
		{"a digest without a name", replace(`<ds:DigestMethod Algorithm="`+string(SHA256)+`">`, `<ds:DigestMethod>`), Malformed},
		{"a method with a parameter", replace(`"></ds:SignatureMethod>`, `"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>`), BadAlgorithm},
		{"a method without a name", replace(`<ds:SignatureMethod Algorithm="`+string(ECDSASHA256)+`">`, `<ds:SignatureMethod>`), Malformed},
		{"a canonicalisation without a name", replace(`<ds:CanonicalizationMethod Algorithm="`+Exclusive.URI()+`">`, `<ds:CanonicalizationMethod>`), Malformed},
		{"a transform without a name", replace(`<ds:Transform Algorithm="`+TransformURI+`">`, `<ds:Transform>`), Malformed},
		{"something else among the transforms", replace(smevStep, smevStep+`<ds:Reference Algorithm="`+envelopedURI+`"></ds:Reference>`), Malformed},
		{"no SMEV transform", replace(`<ds:Transform Algorithm="`+TransformURI+`"></ds:Transform>`, ""), BadAlgorithm},
		{"another canonicalisation as transform", replace(`<ds:Transform Algorithm="`+Exclusive.URI(), `<ds:Transform Algorithm="`+Inclusive10.URI()), BadAlgorithm},
		{"canonicalisation twice and no SMEV transform", replace(TransformURI, Exclusive.URI()), BadAlgorithm},
		{"canonicalisation after the SMEV transform", replace(smevStep, smevStep+exclusiveStep), BadAlgorithm},
		{"canonicalisation three times", replace(smevStep, exclusiveStep+inclusiveStep+smevStep), BadAlgorithm},
		{"canonicalisation with comments between", replace(smevStep, `<ds:Transform Algorithm="`+ExclusiveWithComments.URI()+`"></ds:Transform>`+smevStep), BadAlgorithm},
		{"inclusive canonicalisation first", replace(exclusiveStep, inclusiveStep+exclusiveStep), BadAlgorithm},
		{"enveloped twice", replace(exclusiveStep, envelopedStep+exclusiveStep+envelopedStep), BadAlgorithm},
		{"more transforms than the profile has", replace(smevStep, inclusiveStep+smevStep+envelopedStep+envelopedStep), BadAlgorithm},
		{"canonicalisation between is tolerated, but signed", replace(smevStep, inclusiveStep+smevStep), ValueInvalid},
		{"enveloped last is tolerated, but signed", replace(smevStep, smevStep+envelopedStep), ValueInvalid},
		{"base64 as second transform", replace(TransformURI, Namespace+"base64"), BadAlgorithm},
		{"transforms in the other order", replace(`<ds:Transform Algorithm="`+Exclusive.URI()+`"></ds:Transform><ds:Transform Algorithm="`+TransformURI, `<ds:Transform Algorithm="`+TransformURI+`"></ds:Transform><ds:Transform Algorithm="`+Exclusive.URI()), BadAlgorithm},
		{"SMEV transform twice", replace(`<ds:Transform Algorithm="`+TransformURI+`">`, `<ds:Transform Algorithm="`+TransformURI+`"></ds:Transform><ds:Transform Algorithm="`+TransformURI+`">`), BadAlgorithm},
		{"enveloped is tolerated, but signed", replace(`<ds:Transforms>`, `<ds:Transforms><ds:Transform Algorithm="`+envelopedURI+`"></ds:Transform>`), ValueInvalid},
		{"XSLT", replace(`<ds:Transforms>`, `<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>`), BadAlgorithm},
		{"XPath in transform", replace(`"></ds:Transform>`, `"><ds:XPath>1</ds:XPath></ds:Transform>`), BadAlgorithm},
		{"no Transforms", replace(doc[strings.Index(doc, "<ds:Transforms>"):strings.Index(doc, "<ds:DigestMethod")], ""), Malformed},
		{"no URI", replace(` URI="#SIGNED_BY_CONSUMER"`, ""), Malformed},
		{"empty URI", replace(`URI="#SIGNED_BY_CONSUMER"`, `URI=""`), WrongTarget},
		{"only #", replace(`URI="#SIGNED_BY_CONSUMER"`, `URI="#"`), WrongTarget},
		{"external URI", replace(`URI="#SIGNED_BY_CONSUMER"`, `URI="http://e.org/#SIGNED_BY_CONSUMER"`), WrongTarget},
		{"xpointer", replace(`URI="#SIGNED_BY_CONSUMER"`, `URI="#xpointer(id('SIGNED_BY_CONSUMER'))"`), WrongTarget},
		{"another Id", replace(`URI="#SIGNED_BY_CONSUMER"`, `URI="#OTHER"`), WrongTarget},
		{"Id of the target", replace(`Id="SIGNED_BY_CONSUMER"`, `Id="OTHER"`), WrongTarget},
		{"Id with blanks", replace(`Id="SIGNED_BY_CONSUMER"`, `Id=" SIGNED_BY_CONSUMER "`), WrongTarget},
		{"ID of the target", replace(`Id="SIGNED_BY_CONSUMER"`, `ID="SIGNED_BY_CONSUMER"`), WrongTarget},
		{"prefixed Id of the target", replace(`Id="SIGNED_BY_CONSUMER"`, `ns2:Id="SIGNED_BY_CONSUMER"`), WrongTarget},
		{"Id claimed elsewhere", replace("<S:Body>", `<S:Body Id="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"ID claimed elsewhere", replace("<S:Body>", `<S:Body ID="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"id claimed elsewhere", replace("<S:Body>", `<S:Body id="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"iD claimed elsewhere", replace("<S:Body>", `<S:Body iD=" SIGNED_BY_CONSUMER&#10;">`), DuplicateID},
		{"xml:id claimed elsewhere", replace("<S:Body>", `<S:Body xml:id="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"prefixed Id claimed elsewhere", replace("<S:Body>", `<S:Body S:Id="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"two Ids on the target", replace(`Id="SIGNED_BY_CONSUMER"`, `Id="SIGNED_BY_CONSUMER" ID="SIGNED_BY_CONSUMER"`), DuplicateID},
		{"two other elements of one Id", replace("<S:Body>", `<S:Body Id="X"><!-- --><S:y Id="X"/>`), ""},
		{"the signature claims the Id", replace("<ds:Signature ", `<ds:Signature Id="SIGNED_BY_CONSUMER" `), DuplicateID},
		{"SignatureValue claims the Id", replace("<ds:SignatureValue>", `<ds:SignatureValue Id="SIGNED_BY_CONSUMER">`), DuplicateID},
		{"names that are no Id", replace("<S:Body>", `<S:Body xd="SIGNED_BY_CONSUMER" ix="SIGNED_BY_CONSUMER" ids="SIGNED_BY_CONSUMER" i="SIGNED_BY_CONSUMER" S:name="SIGNED_BY_CONSUMER">`), ""},
		{"rows of one id are content", replace("<S:Body>", `<S:Body id="1">`), ""},
		{"signature is not ds:Signature", strings.NewReplacer("<ds:Signature ", "<ds:Signatur ", "</ds:Signature>", "</ds:Signatur>").Replace(doc), Malformed},
		{"no namespace in content", replace(sampleContent, `<a xmlns="">x</a>`), Unsignable},
		{"xml:lang in content", replace(`id="1"`, `xml:lang="ru"`), Unsignable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tape := new(xmltape.Tape)
			if err := tape.Parse([]byte(tt.doc), xmltape.Limits{}); err != nil {
				t.Fatal(err)
			}
			op := tape.Root().First().First()
			if op.Local() != "SendRequestRequest" {
				op = op.Next()
			}
			_, err := verifier(t, Options{}).Verify(op.Child(typesNS, "CallerInformationSystemSignature").First(), op.Child(typesNS, "SenderProvidedRequestData"))
			if got := code(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// A policy may tolerate white space between the elements of the signature, and
// then that alone.
func TestBlankPolicy(t *testing.T) {
	doc := signedRequest(t, sampleContent, signer(t, KeyECDSA256))
	v := verifier(t, Options{Blank: true})
	for with, want := range map[string]Code{"\n  ": "", "&#32;": "", "x": Malformed, "\u00a0": Malformed, "<!-- -->": Malformed, "<?p?>": Malformed, "<![CDATA[ ]]>": Malformed} {
		changed := strings.Replace(doc, "</ds:SignedInfo>", "</ds:SignedInfo>"+with, 1)
		if _, err := v.Verify(caller(parse(t, changed))); code(err) != want {
			t.Errorf("%q between the elements: got %v, want %q", with, err, want)
		}
	}
	// The strict reader names white space, because senders do not see it.
	for with, says := range map[string]string{"\n": "white space", "x": "text, comment", "<!-- -->": "text, comment"} {
		changed := strings.Replace(doc, "</ds:SignedInfo>", "</ds:SignedInfo>"+with, 1)
		if _, err := verifier(t, Options{}).Verify(caller(parse(t, changed))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q between the elements: got %v, want it to say %q", with, err, says)
		}
	}
	// White space inside SignedInfo is signed, so there it must have been from
	// the beginning.
	inside := strings.Replace(doc, "</ds:Reference>", "</ds:Reference>\n", 1)
	if _, err := v.Verify(caller(parse(t, inside))); code(err) != ValueInvalid {
		t.Errorf("white space put into SignedInfo: got %v, want %s", err, ValueInvalid)
	}
}

// The caller prescribes the target; a good signature of another element is no
// signature of this one.
func TestPrescribedTarget(t *testing.T) {
	tape := parse(t, signedRequest(t, sampleContent, signer(t, KeyECDSA256)))
	sig, target := caller(tape)
	v := verifier(t, Options{})
	for _, other := range []xmltape.Node{{}, tape.Root(), target.Parent(), target.First(), sig} {
		if _, err := v.Verify(sig, other); code(err) != WrongTarget {
			t.Errorf("target %s: got %v, want %s", other.XPath(), err, WrongTarget)
		}
	}
	elsewhere := parse(t, signedRequest(t, sampleContent, signer(t, KeyECDSA256)))
	_, foreign := caller(elsewhere)
	if _, err := v.Verify(sig, foreign); code(err) != WrongTarget {
		t.Errorf("target on another tape: got %v, want %s", err, WrongTarget)
	}
	if _, err := v.Verify(xmltape.Node{}, target); code(err) != NoSignature {
		t.Errorf("no signature: got %v, want %s", err, NoSignature)
	}
	// Inside its target a signature would have to leave itself out.
	inner := strings.Replace(string(tape.Source()), string(sig.Bytes()), "", 1)
	inner = strings.Replace(inner, "</ns2:MessageID>", "</ns2:MessageID>"+string(sig.Bytes()), 1)
	moved := parse(t, inner)
	target = moved.Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	if _, err := v.Verify(target.Child(Namespace, "Signature"), target); code(err) != WrongTarget {
		t.Errorf("signature inside its target: got %v, want %s", err, WrongTarget)
	}
}

func TestPolicy(t *testing.T) {
	tape := parse(t, signedRequest(t, sampleContent, signer(t, KeyECDSA256)))
	sig, target := caller(tape)
	cert := identity(t, KeyECDSA256).Certificate
	at := func(now time.Time) func() time.Time { return func() time.Time { return now } }
	for _, tt := range []struct {
		name string
		opt  Options
		want Code
	}{
		{"algorithm not named", Options{Algorithms: []Algorithm{GOST2012_256}}, BadAlgorithm},
		{"algorithm named", Options{Algorithms: []Algorithm{ECDSASHA256}}, ""},
		{"first moment", Options{Now: at(cert.NotBefore())}, ""},
		{"too early", Options{Now: at(cert.NotBefore().Add(-time.Second))}, CertificateNotYetValid},
		{"last moment", Options{Now: at(cert.NotAfter())}, ""},
		{"too late", Options{Now: at(cert.NotAfter().Add(time.Second))}, CertificateExpired},
		{"dates left out", Options{Now: at(cert.NotAfter().Add(time.Hour)), SignatureOnly: true}, ""},
	} {
		_, err := verifier(t, tt.opt).Verify(sig, target)
		if got := code(err); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, err, tt.want)
		}
		var e *Error
		if errors.As(err, &e) && tt.want != BadAlgorithm && (e.Certificate == nil || !e.NotAfter.Equal(cert.NotAfter()) || !e.NotBefore.Equal(cert.NotBefore())) {
			t.Errorf("%s: the error does not carry certificate and dates: %+v", tt.name, e)
		}
	}
	if _, err := NewVerifier(Options{Algorithms: []Algorithm{"urn:x"}}); err == nil {
		t.Error("a policy with an unknown algorithm was accepted")
	}
}

// The name that a signature refers to may be claimed once, whatever the spelling;
// other names decide nothing.
func TestDuplicateIDs(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		want      Code
	}{
		{"once", `<x Id="A"/>`, ""},
		{"two strong", `<x Id="A"/><x ID="A"/>`, DuplicateID},
		{"strong, weak", `<x Id="A"/><x id="A"/>`, DuplicateID},
		{"weak, strong", `<x id="A"/><x Id="A"/>`, DuplicateID},
		{"weak, weak", `<x id="A"/><x id="A"/>`, DuplicateID},
		{"three", `<x id="A"/><x id="A"/><x xml:id="A"/>`, DuplicateID},
		{"with blanks", `<x Id="A"/><x Id=" A&#10;"/>`, DuplicateID},
		{"with a reference", `<x Id="A"/><x Id="&#65;"/>`, DuplicateID},
		{"one element", `<x Id="A" ID="A"/>`, DuplicateID},
		{"others", `<x Id="A"/><x Id="B"/><x ID="B"/><x id="a"/><x id="a"/><x Id=""/><x Id=""/>`, ""},
		{"none", `<x Id="B"/>`, WrongTarget},
		{"under another spelling", `<x ID="A"/>`, WrongTarget},
	} {
		tape := parse(t, `<r xmlns="u:r">`+tt.doc+`</r>`)
		at, err := new(idIndex).find(tape, []byte("A"))
		if got := code(err); got != tt.want || err == nil && at != tape.Root().First() {
			t.Errorf("%s: got %q at %s, want %q", tt.name, got, at.XPath(), tt.want)
		}
	}
}

// The cache of certificates is bounded, and nobody gets in whose signature does
// not hold.
func TestCertificateCache(t *testing.T) {
	v := verifier(t, Options{Certificates: 2})
	for i := range 5 {
		id, err := SelfSigned(TestSubject{CommonName: fmt.Sprint(i)}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		s, err := id.Signer()
		if err != nil {
			t.Fatal(err)
		}
		good := signedRequest(t, sampleContent, s)
		bad := strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA", 1)
		if _, err := v.Verify(caller(parse(t, bad))); code(err) != ValueInvalid || v.certs.certs[id.Certificate.SHA256] != nil {
			t.Errorf("a stranger's certificate is kept (%v)", err)
		}
		first, err := v.Verify(caller(parse(t, good)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Verify(caller(parse(t, good)))
		if err != nil || first.Certificate() != again.Certificate() {
			t.Errorf("a certificate was read twice in a row (%v)", err)
		}
		text := base64.StdEncoding.EncodeToString(id.Certificate.DER)
		if sum, ok := v.Kept([]byte(text)); !ok || sum != id.Certificate.SHA256 {
			t.Error("a certificate that is kept is not found by its text")
		}
		for _, other := range []string{text[:64] + "\n" + text[64:], text[:64] + " " + text[64:], text} {
			again, err := v.Verify(caller(parse(t, strings.Replace(good, text, other, 1))))
			if err != nil || again.Certificate() != first.Certificate() || v.certs.written([]byte(strings.ReplaceAll(other, " ", ""))) != first.Certificate() {
				t.Errorf("a certificate written otherwise is not kept (%v)", err)
			}
		}
		if _, ok := v.Kept([]byte(text[:len(text)-4])); ok {
			t.Error("what nobody has signed with is kept")
		}
	}
	if n, texts := len(v.certs.certs), len(v.certs.texts); n != 2 || texts != 2 {
		t.Errorf("%d certificates are kept by %d texts, want 2", n, texts)
	}
	if n := verifier(t, Options{}).certs.limit; n != 1024 {
		t.Errorf("%d certificates by default, want 1024", n)
	}
}

// A partner whose transform runs over the JDK's writer signs other octets.
func TestJDKForm(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc, slot := request(sampleContent)
	tape := parse(t, doc)
	target := tape.Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	sig := signAs(t, target, s, JDK)
	signedDoc := parse(t, string(Splice([]byte(doc), slot, sig)))
	got, err := verifier(t, Options{}).Verify(caller(signedDoc))
	if err != nil || got.Form() != "jdk" {
		t.Errorf("got %q, %v; want the jdk form accepted", got.Form(), err)
	}
}

// signAs signs what another writer would have made of the element.
func signAs(t testing.TB, target xmltape.Node, s Signer, form Form) []byte {
	t.Helper()
	sc := new(scratch)
	m := methodByURI(string(s.Algorithm()))
	sum, err := sc.digest(digestByURI(string(m.digest)), target, form)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := attrValue(target, "Id", nil)
	return assemble(t, appendSignedInfo(nil, m, id, sum), s)
}

// assemble signs a canonical SignedInfo and puts a ds:Signature round it.
func assemble(t testing.TB, signedInfo []byte, s Signer) []byte {
	t.Helper()
	value, err := s.Sign(context.Background(), signedInfo)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%s%s<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s%s",
		signatureHead, signedInfo, b64(value), b64(s.Certificate().DER), signatureTail)
}

// Signatures as clients write them: without a prefix, with another, with Ids, with self-closing elements and wrapped base64.
func TestSignaturesOfClients(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc, slot := request(sampleContent)
	target := parse(t, doc).Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	m := methodByURI(string(s.Algorithm()))
	sum, err := new(scratch).digest(digestByURI(string(m.digest)), target, Woodstox)
	if err != nil {
		t.Fatal(err)
	}
	info := string(appendSignedInfo(nil, m, []byte("SIGNED_BY_CONSUMER"), sum))
	for name, tt := range map[string]struct {
		info  string              // what is signed
		shape func(string) string // what is sent
	}{
		"no prefix": {strings.NewReplacer("</ds:", "</", "<ds:", "<", "xmlns:ds", "xmlns").Replace(info), func(sig string) string {
			return strings.NewReplacer("</ds:", "</", "<ds:", "<", "xmlns:ds", "xmlns").Replace(sig)
		}},
		"Ids": {strings.NewReplacer("<ds:SignedInfo", `<ds:SignedInfo`, `xmldsig#"><ds:Canon`, `xmldsig#" Id="I1"><ds:Canon`, "<ds:Reference", `<ds:Reference Id="I2"`).Replace(info), func(sig string) string {
			return strings.NewReplacer("<ds:SignatureValue>", `<ds:SignatureValue Id="I3">`, "<ds:KeyInfo>", `<ds:KeyInfo Id="I4">`).Replace(sig)
		}},
		"self-closing elements": {info, func(sig string) string {
			return strings.NewReplacer("></ds:CanonicalizationMethod>", "/>", "></ds:SignatureMethod>", " />", "></ds:Transform>", "/>", "></ds:DigestMethod>", "\n/>").Replace(sig)
		}},
		"single quotes and declarations": {info, func(sig string) string {
			return strings.NewReplacer("Algorithm=\"", "Algorithm = '", "\"></ds:Transform>", "'></ds:Transform>", "\"></ds:CanonicalizationMethod>", "'></ds:CanonicalizationMethod>", "\"></ds:SignatureMethod>", "'></ds:SignatureMethod>", "\"></ds:DigestMethod>", "'></ds:DigestMethod>", "<ds:KeyInfo>", `<ds:KeyInfo xmlns:x="urn:x">`).Replace(sig)
		}},
		"wrapped base64": {info, func(sig string) string {
			return strings.NewReplacer("</ds:SignatureValue>", "\r\n</ds:SignatureValue>", "<ds:X509Certificate>", "<ds:X509Certificate>\n  ").Replace(sig)
		}},
	} {
		sig := string(assemble(t, []byte(tt.info), s))
		if tt.shape != nil {
			sig = tt.shape(sig)
		}
		signed, err := verifier(t, Options{}).Verify(caller(parse(t, string(Splice([]byte(doc), slot, []byte(sig))))))
		if err != nil || signed.Form() != "woodstox" {
			t.Errorf("%s: %v\n%s", name, err, sig)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	s := signer(t, KeyECDSA256)
	for _, tt := range []struct{ name, doc string }{
		{"no Id", `<a xmlns="u:a"/>`},
		{"empty Id", `<a xmlns="u:a" Id=""/>`},
		{"Id is no name", `<a xmlns="u:a" Id="1"/>`},
		{"Id with markup", `<a xmlns="u:a" Id="a&quot;b"/>`},
		{"only ID", `<a xmlns="u:a" ID="a"/>`},
		{"no namespace", `<a Id="a"/>`},
		{"no namespace inside", `<a xmlns="u:a" Id="a"><b xmlns=""/></a>`},
		{"xml:lang", `<a xmlns="u:a" Id="a" xml:lang="ru"/>`},
	} {
		if _, err := Sign(context.Background(), parse(t, tt.doc).Root(), s); code(err) != Unsignable {
			t.Errorf("%s: got %v, want %s", tt.name, err, Unsignable)
		}
	}
	if _, err := SignInto(context.Background(), []byte(`<a xmlns="u:a" Id="i"><b Id="i"/></a>`), "i", 0, s); code(err) != DuplicateID {
		t.Errorf("duplicate Id: got %v", err)
	}
	if _, err := SignInto(context.Background(), []byte(`<a xmlns="u:a" Id="i"/>`), "j", 0, s); code(err) != WrongTarget {
		t.Errorf("absent Id: got %v", err)
	}
}

func TestRotation(t *testing.T) {
	old, next := signer(t, KeyECDSA256), signer(t, KeyRSA2048)
	r := NewRotatingSigner(old)
	v := verifier(t, Options{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				r.Replace([]Signer{old, next}[i%2])
			}
		}
	})
	for range 50 {
		if _, err := v.Verify(caller(parse(t, signedRequest(t, sampleContent, r)))); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestExpiringWithin(t *testing.T) {
	cert := identity(t, KeyECDSA256).Certificate
	if got := ExpiringWithin(30*24*time.Hour, testNow, cert); len(got) != 0 {
		t.Errorf("got %v, want no warning", got)
	}
	got := ExpiringWithin(30*24*time.Hour, cert.NotAfter().Add(-48*time.Hour), cert)
	if len(got) != 1 || !strings.Contains(got[0].Warning(), "in 2 days") {
		t.Errorf("got %v", got)
	}
	got = ExpiringWithin(0, cert.NotAfter().Add(time.Hour), cert)
	if len(got) != 1 || !strings.Contains(got[0].Warning(), "expired") {
		t.Errorf("got %v", got)
	}
}
