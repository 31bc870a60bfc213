package signing

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
	"mezhved/signing/wrapping"
)

// attack runs every variant of a document against its places and checks the one
// property: refused, or exactly the octets that were signed. It runs every so many
// and gives the number of distinct variants.
func attack(t *testing.T, doc string, v *Verifier, every int) int {
	t.Helper()
	tape := parse(t, doc)
	octets := func(n xmltape.Node) string {
		var b bytes.Buffer
		if err := Transform(&b, n, Woodstox); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	places := Places(tape)
	signed := map[Role]map[string]bool{}
	for _, p := range places {
		if signed[p.Role] == nil {
			signed[p.Role] = map[string]bool{}
		}
		signed[p.Role][octets(p.Target)] = true
		if _, err := v.Verify(p.Signature, p.Target); err != nil {
			t.Fatalf("%s of the untouched document: %v", p.Role, err)
		}
	}
	seen := map[[32]byte]bool{}
	malformed, refused, accepted := 0, 0, 0
	changed := new(xmltape.Tape)
	for _, p := range places {
		for variant := range wrapping.Variants(p.Signature, p.Target) {
			sum := sha256.Sum256(variant.Doc)
			if seen[sum] || len(variant.Doc) == 0 {
				continue
			}
			seen[sum] = true
			if len(seen)%every != 0 || testing.Short() && len(seen)%(5*every) != 0 {
				continue
			}
			if changed.Parse(variant.Doc, xmltape.Limits{}) != nil {
				malformed++
				continue
			}
			held := false
			for _, q := range Places(changed) {
				got, err := v.Verify(q.Signature, q.Target)
				if err != nil {
					continue
				}
				held = true
				if got.Element() != q.Target {
					t.Errorf("%s: handed on another element than the prescribed", variant.Name)
				}
				if !signed[q.Role][octets(got.Element())] {
					t.Errorf("%s: %s accepted with octets that were never signed:\n%s", variant.Name, q.Role, variant.Doc)
				}
			}
			if held {
				accepted++
			} else {
				refused++
			}
		}
	}
	t.Logf("%d variants: %d refused by the gate, %d by the verifier, %d without effect on what was signed", len(seen), malformed, refused, accepted)
	return len(seen)
}

// twoOfOneID is a request with a personal signature and a caller's, as libraries
// make them that give every signature the same Id.
func twoOfOneID(t *testing.T, s Signer) string {
	ns := fmt.Sprintf(`xmlns:t="%s" xmlns:b="%s"`, typesPrefix+"1.2", basicPrefix+"1.2")
	doc := holes(t, `<t:SendRequestRequest `+ns+`><t:SenderProvidedRequestData Id="CALLER"><t:MessageID>1</t:MessageID><b:MessagePrimaryContent><q:a xmlns:q="urn://q" Id="PERSON">1</q:a></b:MessagePrimaryContent>`+
		`<t:PersonalSignature>«PERSON»</t:PersonalSignature></t:SenderProvidedRequestData><t:CallerInformationSystemSignature>«CALLER»</t:CallerInformationSystemSignature></t:SendRequestRequest>`, s, "PERSON")
	doc = strings.Replace(doc, "<ds:Signature ", `<ds:Signature Id="sigID" `, 1) // before the caller signs over it
	doc = holes(t, doc, s, "CALLER")
	at := strings.LastIndex(doc, "<ds:Signature ")
	return doc[:at] + strings.Replace(doc[at:], "<ds:Signature ", `<ds:Signature Id="sigID" `, 1)
}

func TestWrapping(t *testing.T) {
	v := verifier(t, Options{})
	s := signer(t, KeyECDSA256)
	ns := fmt.Sprintf(`xmlns:t="%s" xmlns:b="%s"`, typesPrefix+"1.2", basicPrefix+"1.2")
	plain, slot := request(sampleContent)
	for _, tt := range []struct {
		name, doc string
		every     int // every so many variants are run; all take ten seconds
	}{
		{"SendRequest", signedRequest(t, sampleContent, s), 1},
		{"bare Ack", holes(t, `<t:AckRequest `+ns+`><b:AckTargetMessage Id="ACK" accepted="true">db0486d0-3c08-11e5-95e2-d4c9eff07b77</b:AckTargetMessage><t:CallerInformationSystemSignature>«ACK»</t:CallerInformationSystemSignature></t:AckRequest>`, s, "ACK"), 1},
		{"GetRequestResponse with six signatures", holes(t, registry("1.3"), s, "C1", "R1", "R2", "PERSON", "SENDER", "SMEV"), 10},
		{"SendRequest with looser transforms", looserly(t, plain, "SIGNED_BY_CONSUMER", slot, s, looserForms["inclusive between, enveloped last"]), 3},
		{"two signatures of one Id", twoOfOneID(t, s), 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n := attack(t, tt.doc, v, tt.every); n < 1000 {
				t.Errorf("%d variants, want at least 1000", n)
			}
		})
	}
}
