package enveloped

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const document = `<?xml version="1.0" encoding="UTF-8"?>
<e:Выписка xmlns:e="urn://mezhved/extract" Id="DOC"><e:Объект номер="77:01"> дом &amp; сад &gt; </e:Объект><!-- note --><e:x/></e:Выписка>`

func identity(t *testing.T, key signing.KeyType) *signing.Identity {
	t.Helper()
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: "Росреестр", Key: key}, now.AddDate(0, -1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func verify(t *testing.T, doc string, opt signing.Options) error {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	v, err := signing.NewVerifier(opt)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Verify(v, tape, now)
	if err == nil && signed.Element() != tape.Root() {
		t.Error("something else than the root was proved")
	}
	return err
}

func TestSignVerify(t *testing.T) {
	id := identity(t, signing.KeyRSA2048)
	signed, err := Sign([]byte(document), id)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(signed)
	if err := verify(t, doc, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	trust, err := signing.NewTrust(signing.TrustOptions{Roots: []*signing.Certificate{identity(t, signing.KeyECDSA256).Certificate}})
	if err != nil {
		t.Fatal(err)
	}
	var e *signing.Error
	if err := verify(t, doc, signing.Options{Trust: trust}); !errors.As(err, &e) || e.Code != signing.CertificateUntrusted {
		t.Errorf("a stranger's certificate: got %v", err)
	}
	sig := doc[strings.Index(doc, "<ds:Signature") : strings.Index(doc, "</ds:Signature>")+len("</ds:Signature>")]
	for _, tt := range []struct{ name, doc string }{
		{"content", strings.Replace(doc, "дом", "дам", 1)},
		{"attribute", strings.Replace(doc, "77:01", "77:02", 1)},
		{"more content", strings.Replace(doc, "<e:x", "<e:y></e:y><e:x", 1)},
		{"no signature", strings.Replace(doc, sig, "", 1)},
		{"two signatures", strings.Replace(doc, sig, sig+sig, 1)},
		{"signature deeper", strings.Replace(strings.Replace(doc, sig, "", 1), "<e:Объект номер=\"77:01\">", "<e:Объект номер=\"77:01\">"+sig, 1)},
		{"wrapped", "<w xmlns='urn:w'>" + doc[strings.Index(doc, "<e:"):] + "</w>"},
		{"Id claimed twice", strings.Replace(doc, "<e:x", `<e:x ID="DOC"`, 1)},
		{"reference to another", strings.Replace(doc, `URI="#DOC"`, `URI="#OTHER"`, 1)},
		{"ECDSA", strings.Replace(doc, "rsa-sha256", "ecdsa-sha256", 1)},
		{"SHA-1", strings.Replace(doc, "more#rsa-sha256", "more#rsa-sha1", 1)},
		{"no enveloped-signature", strings.Replace(doc, signing.Namespace+"enveloped-signature", signing.Exclusive.URI(), 1)},
		{"qualified attributes", strings.Replace(doc, "<e:x", `<e:x xmlns:a="u:a" xmlns:b="u:b" a:z="" b:a=""`, 1)},
		{"too many elements", strings.Replace(doc, "<e:x", strings.Repeat("<e:y></e:y>", 1000)+"<e:x", 1)},
	} {
		if tt.doc == doc {
			t.Errorf("%s: nothing was changed", tt.name)
		}
		if err := verify(t, tt.doc, signing.Options{}); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}

// A comment is no content: exclusive canonicalisation leaves it out.
func TestComments(t *testing.T) {
	signed, err := Sign([]byte(document), identity(t, signing.KeyRSA2048))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, strings.Replace(string(signed), "<!-- note -->", "", 1), signing.Options{}); err != nil {
		t.Error(err)
	}
}

func TestSignRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		key       signing.KeyType
	}{
		{"ECDSA key", document, signing.KeyECDSA256},
		{"no XML", "x", signing.KeyRSA2048},
		{"empty", "", signing.KeyRSA2048},
		{"signed already", `<a xmlns="u:a"><ds:Signature xmlns:ds="` + signing.Namespace + `"/></a>`, signing.KeyRSA2048},
		{"several qualified attributes", `<a xmlns="u:a" xmlns:p="u:p" xmlns:q="u:q" p:z="" q:a=""/>`, signing.KeyRSA2048},
	} {
		if out, err := Sign([]byte(tt.doc), identity(t, tt.key)); err == nil {
			t.Errorf("%s: signed: %s", tt.name, out)
		}
	}
}
