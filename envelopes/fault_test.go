package envelopes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

func someFault(k FaultKind) *Fault {
	f := &Fault{Kind: k, Code: "mezhved:7", Text: "Отказ «" + string(k) + "» & <причина>"}
	switch k {
	case InvalidContent:
		f.Validation = []ValidationError{{Position: 411, Text: "cvc-complex-type.2.4.a: …"}, {Position: -1, Text: "cvc-elt.1"}}
	case BusinessDataTypeIsNotSupported:
		f.Root = Name{"urn://test/1", "Корень"}
	case SignatureVerificationFault:
		f.Signature = NoSignatureFound
	case AttachmentSizeLimitExceeded, QuoteLimitExceeded:
		f.Permitted, f.Real = 5<<20, 6<<20
	case DestinationOverflow:
		f.Broker, f.Destination = "unknown", "delivery.RR01._REQUEST_"
	}
	return f
}

func TestFaultsOfEveryKindAndVersion(t *testing.T) {
	for _, v := range Versions {
		for _, k := range FaultKinds(v) {
			t.Run(v.String()+"/"+string(k), func(t *testing.T) {
				want := someFault(k)
				b := want.Build(v)
				golden(t, v.String()+"/fault/"+string(k)+".xml", b)
				xmllint(t, v, b)
				a, err := ParseAnswer("text/xml", b, new(xmltape.Tape), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				got := a.Fault()
				if got == nil || a.Version() != v {
					t.Fatalf("fault %v of version %s", got, a.Version())
				}
				if got.Description != want.description() {
					t.Errorf("Description %q, want %q", got.Description, want.description())
				}
				same := *got
				same.Description = ""
				if g, w := same, *want; g.Kind != w.Kind || g.Code != w.Code || g.Text != w.Text || g.Root != w.Root || g.Signature != w.Signature ||
					g.Permitted != w.Permitted || g.Real != w.Real || g.Broker != w.Broker || g.Destination != w.Destination || !slices.Equal(g.Validation, w.Validation) {
					t.Errorf("got %+v, want %+v", g, w)
				}
			})
		}
	}
}

// TestVoidFaultsCarryCodeByType holds the trick of the live bus: a fault that
// the schema leaves empty says Code and Description as an xsi:type SmevFault.
func TestVoidFaultsCarryCodeByType(t *testing.T) {
	b := string((&Fault{Kind: MessageIsAlreadySent, Code: "c", Text: "Сообщение с идентификатором " + someID + " было послано ранее."}).Build(V12))
	for _, want := range []string{
		`<ns3:MessageIsAlreadySent xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"`,
		`xsi:type="SmevFault"`, `<Code>c</Code><Description>SMEV-301:Сообщение с идентификатором ` + someID + ` было послано ранее.</Description>`,
		`<faultcode>soap:Server</faultcode><faultstring>Сообщение с идентификатором`,
	} {
		if !strings.Contains(b, want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
	if b := string((&Fault{Kind: PersonalAccessDenied, Text: "Доступ запрещён"}).Build(V12)); !strings.Contains(b, "<ns3:AccessDenied ") {
		t.Errorf("1.2 has no PersonalAccessDenied, but: %s", b)
	}
}

func TestFaultOfNoKnownKind(t *testing.T) {
	a, err := ParseAnswer("text/xml", (&Fault{Kind: "Oops><x", Text: "сбой"}).Build(V12), new(xmltape.Tape), Limits{})
	if err != nil || a.Fault().Kind != SMEVFailure {
		t.Errorf("%v, %v", a, err)
	}
}

// TestMatrixIsTheWSDL compares Declared with what the WSDL tells the clients.
func TestMatrixIsTheWSDL(t *testing.T) {
	const wsdl = "http://schemas.xmlsoap.org/wsdl/"
	for _, v := range Versions {
		b, err := os.ReadFile(filepath.Join("schemas", v.String(), WSDLName(v)))
		if err != nil {
			t.Fatal(err)
		}
		root := element(t, string(b))
		kinds := map[string]FaultKind{}
		for m := range root.Children() {
			if !m.Is(wsdl, "message") {
				continue
			}
			if name, _ := m.Attr("", "name"); strings.HasSuffix(name, "Exception") {
				e, _ := m.First().Attr("", "element")
				kinds[name] = FaultKind(strings.TrimPrefix(e, "faults:"))
			}
		}
		seen := 0
		for o := range root.Child(wsdl, "portType").Children() {
			name, _ := o.Attr("", "name")
			op, ok := OperationOf(name)
			if !ok || !op.In(v) {
				t.Errorf("%s: the WSDL has an operation %s", v, name)
			}
			seen++
			raised := map[FaultKind]bool{}
			for f := range o.Children() {
				if f.Is(wsdl, "fault") {
					m, _ := f.Attr("", "message")
					raised[kinds[strings.TrimPrefix(m, "tns:")]] = true
				}
			}
			for _, k := range FaultKinds(V13) {
				if got, want := Declared(v, op, k), raised[k]; got != want {
					t.Errorf("%s %s %s: declared %v, in the WSDL %v", v, op, k, got, want)
				}
			}
		}
		want := 6
		if v == V11 {
			want = 7
		}
		if seen != want {
			t.Errorf("%s: %d operations in the WSDL, want %d", v, seen, want)
		}
	}
}

func TestDocuments(t *testing.T) {
	for _, v := range Versions {
		w := string(WSDL(v, `http://smev.example:7500/smev?a=1&b="2"`))
		if !strings.Contains(w, `<soap:address location="http://smev.example:7500/smev?a=1&amp;b=&quot;2&quot;"/>`) {
			t.Errorf("%s: the address is not in the WSDL", v)
		}
		if strings.Contains(w, "localhost") {
			t.Errorf("%s: the address of the file is still in the WSDL", v)
		}
		for _, name := range Documents(v) {
			if _, ok := Document(name); ok != strings.HasSuffix(name, ".xsd") {
				t.Errorf("%s: document %s served: %v", v, name, ok)
			}
			b, err := os.ReadFile(filepath.Join("schemas", v.String(), name))
			if err != nil {
				t.Fatal(err)
			}
			// Every relative location leads to a document that is served.
			for _, attr := range []string{`schemaLocation="`} {
				for rest := string(b); ; {
					_, after, ok := strings.Cut(rest, attr)
					if !ok {
						break
					}
					loc, after, _ := strings.Cut(after, `"`)
					rest = after
					if _, ok := Document(loc); !ok {
						t.Errorf("%s/%s: %s is not served", v, name, loc)
					}
				}
			}
		}
	}
	for _, name := range []string{"", "../names.go", "schemas/1.1/x.xsd", "smev-message-exchange-service-1.1.wsdl", "..\\x.xsd"} {
		if _, ok := Document(name); ok {
			t.Errorf("%q is served", name)
		}
	}
}
