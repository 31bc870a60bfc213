package signing

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// holes fills each «name» of a document with a signature of the element with the
// Id name, in the order given.
func holes(t *testing.T, doc string, s Signer, ids ...string) string {
	t.Helper()
	for _, id := range ids {
		mark := "«" + id + "»"
		slot := strings.Index(doc, mark)
		if slot < 0 {
			t.Fatalf("no hole for %s", id)
		}
		doc = strings.Replace(doc, mark, "", 1)
		out, err := SignInto(context.Background(), []byte(stripHoles(doc)), id, slot-holesBefore(doc, slot), s)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		// The signature goes into the document that still has its other holes.
		sig := string(out)[slot-holesBefore(doc, slot):]
		sig = sig[:strings.Index(sig, "</ds:Signature>")+len("</ds:Signature>")]
		doc = doc[:slot] + sig + doc[slot:]
	}
	return doc
}

func stripHoles(doc string) string {
	for {
		a := strings.Index(doc, "«")
		if a < 0 {
			return doc
		}
		b := strings.Index(doc, "»")
		doc = doc[:a] + doc[b+len("»"):]
	}
}

func holesBefore(doc string, slot int) int {
	n := 0
	for rest := doc[:slot]; ; {
		a := strings.Index(rest, "«")
		if a < 0 {
			return n
		}
		b := strings.Index(rest, "»")
		n += b + len("»") - a
		rest = rest[b+len("»"):]
	}
}

// registry is a GetRequestResponse of 1.3 with signatures of every kind: two
// records with their own, a personal one inside one of them, the official's, the
// sender's and the bus's.
func registry(version string) string {
	ns := fmt.Sprintf(`xmlns:t="%s" xmlns:b="%s" xmlns:d="%s"`, typesPrefix+version, basicPrefix+version, directiveSpace)
	record := func(n int, personal string) string {
		return fmt.Sprintf(`<d:RegistryRecord><d:RecordId>%d</d:RecordId><d:Record Id="R%d"><d:RecordContent Id="C%d"><q:a xmlns:q="urn://q">%d</q:a></d:RecordContent>%s</d:Record><d:RecordSignature>«R%d»</d:RecordSignature></d:RegistryRecord>`, n, n, n, n, personal, n)
	}
	return `<t:GetRequestResponse ` + ns + `><t:RequestMessage><t:Request Id="SMEV"><t:SenderProvidedRequestData Id="SENDER"><t:MessageID>1</t:MessageID><b:MessagePrimaryContent><d:Registry Id="PERSON">` +
		record(1, `<d:PersonalSignature>«C1»</d:PersonalSignature>`) + record(2, "") +
		`</d:Registry></b:MessagePrimaryContent><t:PersonalSignature>«PERSON»</t:PersonalSignature></t:SenderProvidedRequestData><t:SenderInformationSystemSignature>«SENDER»</t:SenderInformationSystemSignature></t:Request><t:SMEVSignature>«SMEV»</t:SMEVSignature></t:RequestMessage></t:GetRequestResponse>`
}

// Inner signatures are inside what outer ones cover, so they are made first;
// each proves exactly its own element.
func TestSeveralSignatures(t *testing.T) {
	s := signer(t, KeyECDSA256)
	doc := holes(t, registry("1.3"), s, "C1", "R1", "R2", "PERSON", "SENDER", "SMEV")
	tape := parse(t, doc)
	want := []struct {
		role   Role
		target string
	}{{RoleRecord, "R1"}, {RoleRecord, "R2"}, {RolePersonal, "C1"}, {RolePersonal, "PERSON"}, {RoleSender, "SENDER"}, {RoleSMEV, "SMEV"}}
	got := Places(tape)
	if len(got) != len(want) {
		t.Fatalf("%d places, want %d: %+v", len(got), len(want), got)
	}
	v := verifier(t, Options{})
	for i, p := range got {
		id, _ := p.Target.Attr("", "Id")
		if p.Role != want[i].role || id != want[i].target {
			t.Errorf("place %d: got %s of %q, want %s of %q", i, p.Role, id, want[i].role, want[i].target)
		}
		if _, err := v.Verify(p.Signature, p.Target); err != nil {
			t.Errorf("%s of %s: %v", p.Role, id, err)
		}
		// No signature proves another element.
		for j, other := range got {
			if i == j {
				continue
			}
			if _, err := v.Verify(p.Signature, other.Target); code(err) != WrongTarget {
				t.Errorf("%s against the target of %s: got %v, want %s", p.Role, other.Role, err, WrongTarget)
			}
		}
	}
	for i, want := range map[int]string{4: "RequestMessage/Request/SenderProvidedRequestData", 5: "RequestMessage/Request"} {
		if got[i].Prescribed != want {
			t.Errorf("prescribed: got %s, want %s", got[i].Prescribed, want)
		}
	}
	for _, x := range v.Explain(tape, testNow, 100) {
		if x.Verdict != "valid" {
			t.Errorf("%s: %s", x.Role, x.Reason)
		}
	}
}

// What each operation signs, in every version, bare and in SOAP.
func TestPlacesOfOperations(t *testing.T) {
	for _, tt := range []struct {
		op, holder, target string
		role               Role
	}{
		{"SendRequestRequest", "t:CallerInformationSystemSignature", "t:SenderProvidedRequestData", RoleCaller},
		{"SendResponseRequest", "t:CallerInformationSystemSignature", "t:SenderProvidedResponseData", RoleCaller},
		{"GetRequestRequest", "t:CallerInformationSystemSignature", "b:MessageTypeSelector", RoleCaller},
		{"GetResponseRequest", "t:CallerInformationSystemSignature", "b:MessageTypeSelector", RoleCaller},
		{"GetStatusRequest", "t:CallerInformationSystemSignature", "b:Timestamp", RoleCaller},
		{"GetIncomingQueueStatisticsRequest", "t:CallerInformationSystemSignature", "b:Timestamp", RoleCaller},
		{"AckRequest", "t:CallerInformationSystemSignature", "b:AckTargetMessage", RoleCaller},
		{"SendRequestResponse", "t:SMEVSignature", "t:MessageMetadata", RoleSMEV},
		{"SendResponseResponse", "t:SMEVSignature", "t:MessageMetadata", RoleSMEV},
	} {
		for _, version := range []string{"1.1", "1.2", "1.3"} {
			for _, wrap := range []string{"%s", `<S:Envelope xmlns:S="` + soap11Namespace + `"><S:Header/><S:Body>%s</S:Body></S:Envelope>`, `<S:Envelope xmlns:S="` + soap12Namespace + `"><S:Body>%s</S:Body></S:Envelope>`, `<S:Body xmlns:S="` + soap11Namespace + `">%s</S:Body>`} {
				op := fmt.Sprintf(`<t:%[1]s xmlns:t="%[2]s" xmlns:b="%[3]s"><%[4]s Id="X"/><%[5]s>«X»</%[5]s></t:%[1]s>`, tt.op, typesPrefix+version, basicPrefix+version, tt.target, tt.holder)
				tape := parse(t, holes(t, fmt.Sprintf(wrap, op), signer(t, KeyECDSA256), "X"))
				got := Places(tape)
				if len(got) != 1 || got[0].Role != tt.role || got[0].Prescribed != tt.target[2:] || got[0].Target.Local() != tt.target[2:] {
					t.Fatalf("%s %s: got %+v", tt.op, version, got)
				}
				if _, err := verifier(t, Options{}).Verify(got[0].Signature, got[0].Target); err != nil {
					t.Errorf("%s %s: %v", tt.op, version, err)
				}
			}
		}
	}
}

// Elements of the protocol's names at other places are content.
func TestPlacesElsewhere(t *testing.T) {
	ns := `xmlns:t="` + typesPrefix + `1.2" xmlns:b="` + basicPrefix + `1.2" xmlns:b1="` + basicPrefix + `1.1"`
	sig := `<t:PersonalSignature><ds:Signature xmlns:ds="` + Namespace + `"/></t:PersonalSignature>`
	content := `<b:MessagePrimaryContent><q:a xmlns:q="urn://q" Id="P">%s</q:a></b:MessagePrimaryContent>`
	caller := `<t:CallerInformationSystemSignature><ds:Signature xmlns:ds="` + Namespace + `"/></t:CallerInformationSystemSignature>`
	for _, tt := range []struct {
		name, doc string
		places    int
		target    string // Id of the target of the last place; empty: none
	}{
		{"personal after content", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + fmt.Sprintf(content, "") + sig + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 1, "P"},
		{"personal not right after content", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + fmt.Sprintf(content, "") + `<t:x/>` + sig + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 1, ""},
		{"personal before content", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + sig + fmt.Sprintf(content, "") + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 1, ""},
		{"two contents", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + fmt.Sprintf(content, "") + fmt.Sprintf(content, "") + sig + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 1, ""},
		{"two personal", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + fmt.Sprintf(content, "") + sig + sig + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 2, ""},
		{"content of another version", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + strings.ReplaceAll(fmt.Sprintf(content, ""), "b:", "b1:") + sig + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 1, ""},
		{"inside content", `<t:SendRequestRequest ` + ns + `><t:SenderProvidedRequestData>` + fmt.Sprintf(content, sig+caller) + `</t:SenderProvidedRequestData></t:SendRequestRequest>`, 0, ""},
		{"second element of the body", `<S:Envelope xmlns:S="` + soap11Namespace + `"><S:Body><S:x/><t:AckRequest ` + ns + `><b:AckTargetMessage Id="P"/>` + caller + `</t:AckRequest></S:Body></S:Envelope>`, 0, ""},
		{"in the header", `<S:Envelope xmlns:S="` + soap11Namespace + `"><S:Header><t:AckRequest ` + ns + `><b:AckTargetMessage Id="P"/>` + caller + `</t:AckRequest></S:Header></S:Envelope>`, 0, ""},
		{"two targets", `<t:AckRequest ` + ns + `><b:AckTargetMessage Id="P"/><b:AckTargetMessage Id="Q"/>` + caller + `</t:AckRequest>`, 1, ""},
		{"unknown version", `<t:AckRequest xmlns:t="` + typesPrefix + `1.4" xmlns:b="` + basicPrefix + `1.4"><b:AckTargetMessage Id="P"/>` + caller + `</t:AckRequest>`, 0, ""},
		{"no operation", `<t:Request ` + ns + `>` + caller + `</t:Request>`, 0, ""},
	} {
		got := Places(parse(t, tt.doc))
		if len(got) != tt.places {
			t.Errorf("%s: %d places, want %d", tt.name, len(got), tt.places)
			continue
		}
		if tt.places == 0 {
			continue
		}
		if id, _ := got[len(got)-1].Target.Attr("", "Id"); id != tt.target {
			t.Errorf("%s: target %q, want %q", tt.name, id, tt.target)
		}
	}
	two := Places(parse(t, `<t:AckRequest `+ns+`><b:AckTargetMessage Id="P"/>`+caller+caller+`</t:AckRequest>`))
	if len(two) != 2 || !two[0].Target.Valid() || two[1].Target.Valid() {
		t.Errorf("two callers' signatures: got %+v; the second has no target", two)
	}
	for name, held := range map[string]string{
		"two signatures": `<ds:Signature xmlns:ds="` + Namespace + `"/><ds:Signature xmlns:ds="` + Namespace + `"/>`, "another element": "<b:x/>",
		"another before": `<b:x/><ds:Signature xmlns:ds="` + Namespace + `"/>`, "another after": `<ds:Signature xmlns:ds="` + Namespace + `"/><b:x/>`, "nothing": "",
	} {
		got := Places(parse(t, `<t:AckRequest `+ns+`><b:AckTargetMessage Id="P"/><t:CallerInformationSystemSignature>`+held+`</t:CallerInformationSystemSignature></t:AckRequest>`))
		if len(got) != 1 || got[0].Signature.Valid() {
			t.Errorf("%s in the holder: got %+v, want a place without a signature", name, got)
		}
	}
	if got := PlacesOf(xmltape.Node{}); got != nil {
		t.Errorf("places of nothing: %v", got)
	}
}
