package xsd

import (
	"slices"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// Three documents: t includes no type of u but imports it, and both have a Sub
// that may stand for Base; Only is in t alone, and u's Only derives from nothing
// of ours.
const (
	unsignedT = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" xmlns:u="urn:u" targetNamespace="urn:t" elementFormDefault="qualified">
<xs:import namespace="urn:u" schemaLocation="b.xsd"/>
<xs:complexType name="Base"><xs:sequence><xs:element name="A" type="xs:string"/></xs:sequence></xs:complexType>
<xs:complexType name="Sub"><xs:complexContent><xs:extension base="t:Base"><xs:sequence><xs:element name="B" type="xs:string" minOccurs="0"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
<xs:complexType name="Only"><xs:complexContent><xs:extension base="t:Base"/></xs:complexContent></xs:complexType>
<xs:complexType name="Shy"><xs:complexContent><xs:extension base="t:Base"/></xs:complexContent></xs:complexType>
<xs:simpleType name="Fixed"><xs:restriction base="xs:QName"><xs:enumeration value="t:one"/><xs:enumeration value="t:two"/><xs:enumeration value="u:two"/></xs:restriction></xs:simpleType>
<xs:simpleType name="Either"><xs:union memberTypes="xs:QName xs:decimal"/></xs:simpleType>
<xs:simpleType name="Many"><xs:list itemType="t:Fixed"/></xs:simpleType>
<xs:notation name="gif" public="gif"/><xs:notation name="png" public="png"/>
<xs:simpleType name="Picture"><xs:restriction base="xs:NOTATION"><xs:enumeration value="t:gif"/><xs:enumeration value="t:png"/><xs:enumeration value="u:png"/></xs:restriction></xs:simpleType>
<xs:element name="R"><xs:complexType><xs:choice maxOccurs="unbounded">
<xs:element name="It" type="t:Base"/><xs:element name="Any" type="xs:anyType"/><xs:element name="S" type="xs:string"/>
<xs:element name="Q" type="xs:QName"/><xs:element name="F" type="t:Fixed"/><xs:element name="E" type="t:Either"/><xs:element name="M" type="t:Many"/>
<xs:element name="C" type="xs:QName" fixed="t:c"/><xs:element name="D" type="xs:QName" default="t:d"/>
</xs:choice><xs:attribute name="q" type="xs:QName"/><xs:attribute name="p" type="t:Picture"/></xs:complexType></xs:element>
</xs:schema>`
	unsignedU = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" xmlns:u="urn:u" targetNamespace="urn:u" elementFormDefault="qualified">
<xs:import namespace="urn:t" schemaLocation="a.xsd"/>
<xs:complexType name="Sub"><xs:complexContent><xs:extension base="t:Base"><xs:sequence><xs:element name="B" type="xs:integer" minOccurs="0"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
<xs:complexType name="Only"><xs:sequence/></xs:complexType>
<xs:complexType name="Shy" abstract="true"><xs:complexContent><xs:extension base="t:Base"/></xs:complexContent></xs:complexType>
<xs:notation name="png" public="png"/>
</xs:schema>`
)

// Where the bindings of prefixes are not signed, a name in a value is taken only
// when the schema leaves it one meaning. That is the property: whatever another
// binding makes of the document, it is not another valid document.
func TestUnsignedPrefixes(t *testing.T) {
	s := mustCompile(t, unsignedT, unsignedU)
	const head = `<r:R xmlns:r="urn:t" xmlns:t="urn:t" xmlns:u="urn:u" xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	for _, tt := range []struct {
		name, body string // body begins inside the root's start tag
		settled    int
		refused    bool
	}{
		{"one type fits", `><r:It xsi:type="t:Only"><r:A/></r:It>`, 1, false},
		{"an abstract one fits beside it", `><r:It xsi:type="t:Shy"><r:A/></r:It>`, 1, false},
		{"the declared type itself", `><r:It xsi:type="t:Base"><r:A/></r:It>`, 1, false},
		{"a type of the standard", `><r:S xsi:type="xs:token">x</r:S>`, 1, false},
		{"two types fit", `><r:It xsi:type="t:Sub"><r:A/></r:It>`, 0, true},
		{"two types fit, and the other is named", `><r:It xsi:type="u:Sub"><r:A/></r:It>`, 0, true},
		{"two types fit where any may stand", `><r:Any xsi:type="t:Only"><r:A/></r:Any>`, 0, true},
		{"the default namespace is no better", ` xmlns="urn:t"><r:It xsi:type="Sub"><r:A/></r:It>`, 0, true},
		{"a QName", `><r:Q>t:x</r:Q>`, 0, true},
		{"a QName without a prefix", `><r:Q>x</r:Q>`, 0, true},
		{"a QName whose prefix an element bears", `><r:Q>r:x</r:Q>`, 0, true}, // the transform gives elements other prefixes
		{"a QName in an attribute", ` q="t:x">`, 0, true},
		{"an enumeration with one such name", `><r:F>t:one</r:F>`, 1, false},
		{"an enumeration with two", `><r:F>t:two</r:F>`, 0, true},
		{"a list", `><r:M>t:one t:one</r:M>`, 1, false},
		{"a list with one that has two meanings", `><r:M>t:one u:two</r:M>`, 0, true},
		{"a union that could read a name", `><r:E>t:one</r:E>`, 0, true},
		{"a union that could not", `><r:E> 1.50 </r:E>`, 1, false},
		{"a fixed value", `><r:C>t:c</r:C>`, 1, false},
		{"a default in its place", `><r:D/>`, 0, false},
		{"a notation", ` p="t:gif">`, 1, false},
		{"a notation of two meanings", ` p="u:png">`, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := head + tt.body
			if strings.HasSuffix(tt.body, ">") && !strings.Contains(tt.body, "</") && !strings.Contains(tt.body, "/>") {
				doc += "<r:S/>"
			}
			doc += `</r:R>`
			if got := rulesOf(t, s, doc); got != nil {
				t.Fatalf("with signed prefixes: %v", got)
			}
			settled, got := unsignedRules(t, s, doc)
			var want []string
			if tt.refused {
				want = []string{"unsigned-prefix"}
			}
			if !slices.Equal(got, want) || settled != tt.settled {
				t.Errorf("%v with %d settled, want %v with %d", got, settled, want, tt.settled)
			}
			if tt.refused {
				return
			}
			// What is taken, is taken under no other bindings.
			for _, other := range []string{"urn:t", "urn:u", "urn:other", "http://www.w3.org/2001/XMLSchema"} {
				for _, binding := range []string{`xmlns:t="urn:t"`, `xmlns:xs="http://www.w3.org/2001/XMLSchema"`} {
					prefix, uri, _ := strings.Cut(binding, "=")
					if uri == `"`+other+`"` || !strings.Contains(tt.body, strings.TrimPrefix(prefix, "xmlns:")+":") {
						continue
					}
					if _, rules := unsignedRules(t, s, strings.Replace(doc, binding, prefix+`="`+other+`"`, 1)); rules == nil {
						t.Errorf("with %s=%q it is another valid document", prefix, other)
					}
				}
			}
		})
	}
}

func unsignedRules(t *testing.T, s *Schema, doc string) (settled int, rules []string) {
	t.Helper()
	v := s.NewValidator()
	v.PrefixesUnsigned = true
	var tape xmltape.Tape
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if err := v.Validate(tape.Root()); err != nil {
		for _, x := range err.(*Invalid).Violations {
			rules = append(rules, x.Rule)
			if strings.Contains(x.Russian()+x.English(), "%!") {
				t.Errorf("bad text: %q %q", x.Russian(), x.English())
			}
		}
	}
	return v.Settled(), rules
}
