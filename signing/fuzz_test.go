package signing

import (
	"bytes"
	"testing"

	"mezhved/envelopes/xmltape"
)

// FuzzTransform states: canonicalising what is canonical changes nothing, and the
// transform computed from the tape in one walk is the transform of the canonical
// document, in both forms.
func FuzzTransform(f *testing.F) {
	for _, doc := range []string{
		`<a xmlns="u:a">x<![CDATA[ <y> & ]]>z<?p?> <!-- c -->&gt;</a>`,
		`<a xmlns="u:a" xmlns:z="u:z" xmlns:b="u:b" z:q="1" b:q="2"><z:c/><b:d/>&#13;]]&gt;</a>`,
		`<p:a xmlns:p="u:a" xmlns:q="u:a" q:x="1" p:b="2" c="&#10;"><p:b xmlns:p="u:b" xmlns=""/></p:a>`,
		explainContent,
		sampleContent,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		tape := new(xmltape.Tape)
		if tape.Parse(doc, xmltape.Limits{}) != nil {
			return
		}
		var canonical bytes.Buffer
		if err := Canonicalize(&canonical, Subset{Element: tape.Root()}, Exclusive); err != nil {
			t.Fatal(err)
		}
		again := new(xmltape.Tape)
		if err := again.Parse(canonical.Bytes(), xmltape.Limits{}); err != nil {
			t.Fatalf("the gate refuses the canonical form: %v\n%q", err, canonical.Bytes())
		}
		var twice bytes.Buffer
		if err := Canonicalize(&twice, Subset{Element: again.Root()}, Exclusive); err != nil || !bytes.Equal(twice.Bytes(), canonical.Bytes()) {
			t.Fatalf("canonicalised twice: %v\nonce  %q\ntwice %q", err, canonical.Bytes(), twice.Bytes())
		}
		for form := Woodstox; form <= JDK; form++ {
			var fused, stepwise bytes.Buffer
			err := Transform(&fused, tape.Root(), form)
			err2 := Transform(&stepwise, again.Root(), form)
			if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(fused.Bytes(), stepwise.Bytes()) {
				t.Fatalf("%s: %v, %v\nfused    %q\nstepwise %q", form, err, err2, fused.Bytes(), stepwise.Bytes())
			}
		}
	})
}

// FuzzVerify states: whatever a document holds, reading its signatures ends with
// a verdict; and one that is accepted has the octets that were signed.
func FuzzVerify(f *testing.F) {
	good := []byte(signedRequest(f, sampleContent, signer(f, KeyECDSA256)))
	tape := parse(f, string(good))
	_, target := caller(tape)
	var want bytes.Buffer
	if err := Transform(&want, target, Woodstox); err != nil {
		f.Fatal(err)
	}
	v := verifier(f, Options{})
	f.Add(good)
	f.Add([]byte(registry("1.3")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		tape := new(xmltape.Tape)
		if tape.Parse(doc, xmltape.Limits{}) != nil {
			return
		}
		for _, p := range Places(tape) {
			signed, err := v.Verify(p.Signature, p.Target)
			if err != nil {
				continue
			}
			var got bytes.Buffer
			if err := Transform(&got, signed.Element(), Woodstox); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("accepted with octets that were never signed: %v\n%q", err, got.Bytes())
			}
		}
		if len(doc) < 4096 {
			v.Explain(tape, testNow, 100)
		}
	})
}

func FuzzPublicKeyMaterial(f *testing.F) {
	for _, kind := range []KeyType{KeyECDSA256, KeyGOST256} {
		f.Add(identity(f, kind).Certificate.DER)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCertificate(der)
		if err != nil {
			return
		}
		if (c.key == nil) == (c.keyErr == nil) {
			t.Errorf("a certificate with neither a key nor a reason, or with both")
		}
		c.Subject()
		c.Issuer()
	})
}
