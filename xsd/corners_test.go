package xsd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/cost"
)

// compileText compiles schemas given as text; the first is the root a.xsd, the
// others b.xsd, c.xsd and so on.
func compileText(t testing.TB, opts Options, texts ...string) (*Schema, error) {
	t.Helper()
	bundle := fstest.MapFS{}
	for i, s := range texts {
		bundle[string(rune('a'+i))+".xsd"] = &fstest.MapFile{Data: []byte(s)}
	}
	return Compile(bundle, []string{"a.xsd"}, opts)
}

func mustCompile(t testing.TB, texts ...string) *Schema {
	t.Helper()
	s, err := compileText(t, Options{}, texts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const xsHead = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" xmlns:t="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">`

func inSchema(body string) string { return xsHead + body + `</xs:schema>` }

// rulesOf are the rules that a document breaks, in order.
func rulesOf(t testing.TB, s *Schema, doc string) []string {
	t.Helper()
	var tape xmltape.Tape
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	err := s.NewValidator().Validate(tape.Root())
	var invalid *Invalid
	if err == nil {
		return nil
	}
	if !errors.As(err, &invalid) {
		t.Fatalf("Validate gave %T, want *Invalid", err)
	}
	var rules []string
	for _, v := range invalid.Violations {
		rules = append(rules, v.Rule)
		if v.Russian() == "" || v.English() == "" || strings.Contains(v.Russian()+v.English(), "%!") {
			t.Errorf("%s: bad text: %q %q", v.Rule, v.Russian(), v.English())
		}
	}
	return rules
}

// TestCorners: schema, documents and the rules they break.
func TestCorners(t *testing.T) {
	const xsi = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema"`
	doc := func(body string) string { return `<r xmlns="urn:t"` + xsi + `>` + body + `</r>` }
	type check struct {
		doc   string
		rules string // separated by spaces
	}
	for _, c := range []struct {
		name   string
		schema string
		checks []check
	}{
		{"a value without a type equals none that has one", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="a"><xs:complexType><xs:attribute name="d"/></xs:complexType></xs:element>
				<xs:element name="o" type="xs:string" minOccurs="0"/><xs:element name="p" minOccurs="0"><xs:complexType><xs:attribute name="d"/></xs:complexType></xs:element></xs:sequence></xs:complexType>
				<xs:key name="K"><xs:selector xpath="t:a"/><xs:field xpath="@d"/></xs:key>
				<xs:keyref name="O" refer="K"><xs:selector xpath="t:o"/><xs:field xpath="."/></xs:keyref>
				<xs:keyref name="P" refer="K"><xs:selector xpath="t:p"/><xs:field xpath="@d"/></xs:keyref></xs:element>`,
			[]check{
				{doc(`<a d="1"/><o>1</o>`), "cvc-identity-constraint.4.3"},
				{doc(`<a d="1"/><p d="1"/>`), ""},
				{doc(`<a d="1"/><p d="01"/>`), "cvc-identity-constraint.4.3"},
			}},
		{"xsi:type must derive and not be blocked", `
			<xs:element name="r" type="B"/>
			<xs:complexType name="B"><xs:sequence><xs:element name="a" type="xs:int"/></xs:sequence></xs:complexType>
			<xs:complexType name="X"><xs:complexContent><xs:extension base="B"><xs:sequence><xs:element name="b" type="xs:int"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
			<xs:complexType name="Blocked" block="extension"><xs:sequence/></xs:complexType>
			<xs:complexType name="Other"><xs:sequence/></xs:complexType>`, []check{
			{`<r xmlns="urn:t"><a>1</a></r>`, ""},
			{`<r xmlns="urn:t" xmlns:q="urn:t"` + xsi + ` xsi:type="q:X"><a>1</a><b>2</b></r>`, ""},
			{`<r xmlns="urn:t"` + xsi + ` xsi:type="X"><a>1</a></r>`, "cvc-complex-type.2.4.b"},
			{`<r xmlns="urn:t"` + xsi + ` xsi:type="Other"><a>1</a></r>`, "cvc-elt.4.3"},
			{`<r xmlns="urn:t"` + xsi + ` xsi:type="Nothing"><a>1</a></r>`, "cvc-elt.4.2"},
			{`<r xmlns="urn:t"` + xsi + ` xsi:type="q:X"><a>1</a></r>`, "cvc-elt.4.1"},
		}},
		{"block on the declaration", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="e" type="B" block="extension"/></xs:sequence></xs:complexType></xs:element>
			<xs:complexType name="B"><xs:sequence/></xs:complexType>
			<xs:complexType name="X"><xs:complexContent><xs:extension base="B"/></xs:complexContent></xs:complexType>`, []check{
			{doc(`<e xsi:type="X"/>`), "cvc-elt.4.3"},
			{doc(`<e/>`), ""},
		}},
		{"a member of a union stands for it, unless restriction is blocked", `
			<xs:element name="r"><xs:complexType><xs:choice><xs:element name="e" type="U"/><xs:element name="b" type="U" block="restriction"/></xs:choice></xs:complexType></xs:element>
			<xs:simpleType name="U"><xs:union memberTypes="xs:int V"/></xs:simpleType>
			<xs:simpleType name="V"><xs:union memberTypes="xs:boolean xs:NMTOKENS"/></xs:simpleType>
			<xs:simpleType name="W"><xs:restriction base="U"><xs:pattern value="1|true"/></xs:restriction></xs:simpleType>`, []check{
			{doc(`<e xsi:type="xs:int">1</e>`), ""},
			{doc(`<e xsi:type="xs:byte">1</e>`), ""},
			{doc(`<e xsi:type="xs:boolean">true</e>`), ""},
			{doc(`<e xsi:type="W">true</e>`), ""},
			{doc(`<e xsi:type="xs:string">1</e>`), "cvc-elt.4.3"},
			{doc(`<e xsi:type="xs:NMTOKEN">1</e>`), "cvc-elt.4.3"},
			{doc(`<b xsi:type="U">1</b>`), ""},
			{doc(`<b xsi:type="xs:int">1</b>`), "cvc-elt.4.3"},
			{doc(`<b xsi:type="W">1</b>`), "cvc-elt.4.3"},
		}},
		{"a union in a union gives its members, not its facets", `
			<xs:element name="r"><xs:complexType><xs:choice><xs:element name="e" type="N"/><xs:element name="n" type="U"/></xs:choice></xs:complexType></xs:element>
			<xs:simpleType name="U"><xs:restriction><xs:simpleType><xs:union memberTypes="xs:int xs:boolean"/></xs:simpleType><xs:pattern value="1|true"/></xs:restriction></xs:simpleType>
			<xs:simpleType name="N"><xs:union memberTypes="U xs:date"/></xs:simpleType>`, []check{
			{doc(`<n>1</n>`), ""},
			{doc(`<n>5</n>`), "cvc-pattern-valid"},
			{doc(`<e>5</e>`), ""},
			{doc(`<e>2024-02-29</e>`), ""},
			{doc(`<e>x</e>`), "cvc-datatype-valid.1.2.3"},
			{doc(`<e xsi:type="xs:boolean">false</e>`), ""},
			{doc(`<e xsi:type="U">1</e>`), "cvc-elt.4.3"},
		}},
		{"abstract types and elements", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element ref="h"/></xs:sequence></xs:complexType></xs:element>
			<xs:element name="h" abstract="true" type="A"/>
			<xs:element name="m" substitutionGroup="h" type="C"/>
			<xs:element name="n" substitutionGroup="m"/>
			<xs:complexType name="A" abstract="true"><xs:sequence/></xs:complexType>
			<xs:complexType name="C"><xs:complexContent><xs:extension base="A"><xs:attribute name="x" type="xs:int"/></xs:extension></xs:complexContent></xs:complexType>`, []check{
			{doc(`<m x="1"/>`), ""},
			{doc(`<n x="1"/>`), ""},
			{doc(`<h/>`), "cvc-elt.2"},
			{doc(`<m x="y"/>`), "cvc-datatype-valid.1.2.1"},
		}},
		{"nil", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:element name="a" type="xs:int" nillable="true"/><xs:element name="b" type="xs:int"/>
			</xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(`<a xsi:nil="true"/><b>1</b>`), ""},
			{doc(`<a xsi:nil=" 1 "/><b>1</b>`), ""},
			{doc(`<a xsi:nil="true"> </a><b>1</b>`), "cvc-elt.3.2.1"},
			{doc(`<a xsi:nil="true"><!-- c --></a><b>1</b>`), ""},
			{doc(`<a xsi:nil="false"/><b>1</b>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<a>1</a><b xsi:nil="true"/>`), "cvc-datatype-valid.1.2.1 cvc-elt.3.1"},
			{doc(`<a xsi:nil="yes">1</a><b>1</b>`), "cvc-datatype-valid.1.2.1"},
		}},
		{"wildcards", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:element name="lax" minOccurs="0"><xs:complexType><xs:sequence><xs:any namespace="##any" processContents="lax" maxOccurs="unbounded"/></xs:sequence><xs:anyAttribute processContents="lax"/></xs:complexType></xs:element>
				<xs:element name="strict" minOccurs="0"><xs:complexType><xs:sequence><xs:any namespace="##any" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>
				<xs:element name="other" minOccurs="0"><xs:complexType><xs:sequence><xs:any namespace="##other" processContents="skip" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>
			</xs:sequence></xs:complexType></xs:element>
			<xs:element name="n" type="xs:int"/>
			<xs:attribute name="a" type="xs:int"/>`, []check{
			{doc(`<lax><n>1</n><u xmlns="urn:u"><n xmlns="urn:t">2</n></u></lax>`), ""},
			{doc(`<lax><u xmlns="urn:u"><n xmlns="urn:t">x</n></u></lax>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<lax xmlns:t="urn:t" t:a="x" b="y"><n>1</n></lax>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<strict><n>1</n></strict>`), ""},
			{doc(`<strict><u xmlns="urn:u"/></strict>`), "cvc-complex-type.2.4.c"},
			{doc(`<strict><u xmlns="urn:u" xsi:type="xs:int">1</u></strict>`), ""},
			{doc(`<strict><u xmlns="urn:u" xsi:type="xs:int">x</u></strict>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<other><u xmlns="urn:u"><anything/></u></other>`), ""},
			{doc(`<other><n>1</n></other>`), "cvc-complex-type.2.4.a"},
			{doc(`<other><u xmlns=""/></other>`), "cvc-complex-type.2.4.a"},
		}},
		{"attributes", `
			<xs:element name="r"><xs:complexType>
				<xs:attribute name="req" type="xs:int" use="required"/>
				<xs:attribute name="fix" type="xs:decimal" fixed="1.0"/>
			</xs:complexType></xs:element>`, []check{
			{`<r xmlns="urn:t" req="1" fix="1.00"/>`, ""},
			{`<r xmlns="urn:t" req="1" fix="2"/>`, "cvc-au"},
			{`<r xmlns="urn:t"/>`, "cvc-complex-type.4"},
			{`<r xmlns="urn:t" req="1" xml:lang="ru"/>`, "cvc-complex-type.3.2.2"},
			{`<r xmlns="urn:t" req="1"` + xsi + ` xsi:schemaLocation="urn:t http://example.org/no.xsd" xsi:noNamespaceSchemaLocation="x"/>`, ""},
			{`<r xmlns="urn:t" req="1"` + xsi + ` xsi:other="1"/>`, "cvc-complex-type.3.2.2"},
			{`<r xmlns="urn:t" req="1"> </r>`, "cvc-complex-type.2.1"},
			{`<r xmlns="urn:t" req="1"><!-- c --><?p i?></r>`, ""},
		}},
		{"defaults and fixed values of elements", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:element name="d" type="xs:int" default="5"/>
				<xs:element name="f" type="xs:decimal" fixed="1.0"/>
				<xs:element name="s" type="xs:string" default="x"/>
			</xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(`<d/><f/><s/>`), ""},
			{doc(`<d></d><f>1.00</f><s> </s>`), ""},
			{doc(`<d> </d><f/><s/>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<d/><f>2</f><s/>`), "cvc-elt.5.2.2.2.2"},
		}},
		{"fixed values under xsi:type", `
			<xs:element name="r"><xs:complexType><xs:choice>
				<xs:element name="e" fixed="alpha"/><xs:element name="u" fixed="1"><xs:simpleType><xs:union memberTypes="xs:boolean xs:int xs:string"/></xs:simpleType></xs:element>
				<xs:element name="d" default="alpha"/>
			</xs:choice></xs:complexType></xs:element>
			<xs:complexType name="Elements"><xs:sequence><xs:element name="a" minOccurs="0"/></xs:sequence></xs:complexType>
			<xs:complexType name="Mixed" mixed="true"><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType>
			<xs:complexType name="Loose" mixed="true"><xs:sequence><xs:element name="a" minOccurs="0"/></xs:sequence></xs:complexType>
			<xs:complexType name="Nothing"/>`, []check{
			{doc(`<d xsi:type="Elements"/>`), "cvc-elt.5.1.1"},
			{doc(`<d xsi:type="Elements"> </d>`), ""},
			{doc(`<d xsi:type="Elements"><a/></d>`), ""},
			{doc(`<d xsi:type="Nothing"/>`), "cvc-elt.5.1.1"},
			{doc(`<d xsi:type="Mixed"/>`), "cvc-elt.5.1.1"},
			{doc(`<d xsi:type="Mixed"><!-- --><a/></d>`), ""},
			{doc(`<d xsi:type="Loose"><!-- --></d>`), ""},
			{doc(`<e xsi:type="Elements"/>`), "cvc-elt.5.1.1"},
			{doc(`<e xsi:type="Elements"><a/></e>`), "cvc-elt.5.2.2.1"},
			{doc(`<e xsi:type="Mixed">alpha</e>`), "cvc-complex-type.2.4.b"},
			{doc(`<e xsi:type="Loose">alpha</e>`), ""},
			{doc(`<e xsi:type="Loose">beta</e>`), "cvc-elt.5.2.2.2.1"},
			{doc(`<e xsi:type="Loose">alpha<a/></e>`), "cvc-elt.5.2.2.1"},
			{doc(`<e>alpha</e>`), ""},
			{doc(`<e> alpha</e>`), "cvc-elt.5.2.2.2.1"},
			{doc(`<e xsi:type="xs:string">alpha</e>`), ""},
			{doc(`<e xsi:type="xs:token"> alpha </e>`), ""},
			{doc(`<e xsi:type="xs:string">beta</e>`), "cvc-elt.5.2.2.2.2"},
			{doc(`<e xsi:type="xs:string"/>`), ""},
			{doc(`<e xsi:type="xs:int"/>`), "cvc-datatype-valid.1.2.1"},
			{doc(`<u xsi:type="xs:token"/>`), ""},
			{doc(`<u>true</u>`), ""},
			{doc(`<u xsi:type="xs:boolean">true</u>`), ""},
			{doc(`<u xsi:type="xs:int">1</u>`), "cvc-elt.5.2.2.2.2"},
		}},
		{"mixed and element content", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:element name="m" minOccurs="0"><xs:complexType mixed="true"><xs:sequence><xs:element name="b" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
				<xs:element name="c" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="b" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
			</xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(`<m>text <b>x</b> more</m>`), ""},
			{doc(`<c> <b>x</b> </c>`), ""},
			{doc(`<c>text<b>x</b></c>`), "cvc-complex-type.2.3"},
			{doc(`<c><![CDATA[x]]><b>x</b></c>`), "cvc-complex-type.2.3"},
			{doc(`<c><b><i/></b></c>`), "cvc-type.3.1.2"},
		}},
		{"text in pieces is one value", `
			<xs:element name="r" type="xs:int"/>`, []check{
			{`<r xmlns="urn:t">1<!-- a -->2<![CDATA[3]]>&#52;</r>`, ""},
			{`<r xmlns="urn:t"><![CDATA[1]]> 2</r>`, "cvc-datatype-valid.1.2.1"},
		}},
		{"counted content", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:element name="a" minOccurs="40" maxOccurs="100000"/><xs:element name="b" minOccurs="2" maxOccurs="3"/>
			</xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(strings.Repeat("<a/>", 40) + "<b/><b/>"), ""},
			{doc(strings.Repeat("<a/>", 39) + "<b/><b/>"), "cvc-complex-type.2.4.a"},
			{doc(strings.Repeat("<a/>", 100000) + "<b/><b/>"), ""},
			{doc(strings.Repeat("<a/>", 100001) + "<b/><b/>"), "cvc-complex-type.2.4.a"},
			{doc(strings.Repeat("<a/>", 40) + "<b/>"), "cvc-complex-type.2.4.b"},
			{doc(strings.Repeat("<a/>", 40) + "<b/><b/><b/><b/>"), "cvc-complex-type.2.4.d"},
		}},
		{"counted groups", `
			<xs:element name="r"><xs:complexType><xs:sequence>
				<xs:sequence minOccurs="3" maxOccurs="500"><xs:element name="a"/><xs:element name="b" minOccurs="0" maxOccurs="200"/></xs:sequence>
				<xs:element name="c"/>
			</xs:sequence></xs:complexType></xs:element>`, []check{
			{doc("<a/><a/><b/><a/><c/>"), ""},
			{doc("<a/><a/><c/>"), "cvc-complex-type.2.4.a"},
			{doc(strings.Repeat("<a/><b/><b/>", 500) + "<c/>"), ""},
			{doc(strings.Repeat("<a/><b/><b/>", 501) + "<c/>"), "cvc-complex-type.2.4.a"},
			{doc("<a/><a/><a/>" + strings.Repeat("<b/>", 201) + "<c/>"), "cvc-complex-type.2.4.a"},
		}},
		{"counted elements in a counted choice", `
			<xs:element name="r"><xs:complexType><xs:choice maxOccurs="1000">
				<xs:element name="a" minOccurs="5" maxOccurs="5"/><xs:element name="b" maxOccurs="6000"/>
			</xs:choice></xs:complexType></xs:element>`, []check{
			{doc(strings.Repeat("<b/>", 6001) + strings.Repeat("<a/>", 5*998)), ""},
			{doc(strings.Repeat("<b/>", 6001) + strings.Repeat("<a/>", 5*999)), "cvc-complex-type.2.4.d"},
			{doc(strings.Repeat("<b/>", 6000) + strings.Repeat("<a/>", 5*999)), ""},
			{doc(strings.Repeat("<b/>", 6000) + strings.Repeat("<a/>", 4)), "cvc-complex-type.2.4.b"},
		}},
		{"counted elements in a choice of few turns", `
			<xs:element name="r"><xs:complexType><xs:choice maxOccurs="3">
				<xs:element name="a" minOccurs="5" maxOccurs="5"/><xs:element name="b" maxOccurs="6000"/>
			</xs:choice></xs:complexType></xs:element>`, []check{
			{doc(strings.Repeat("<b/>", 6001) + "<a/><a/><a/><a/><a/>"), ""},
			{doc(strings.Repeat("<b/>", 18000)), ""},
			{doc(strings.Repeat("<b/>", 18001)), "cvc-complex-type.2.4.d"},
			{doc("<b/><a/><a/><a/><a/><a/><b/>"), ""},
			{doc("<b/><a/><a/><a/><a/><a/><b/><a/>"), "cvc-complex-type.2.4.a"},
		}},
		{"a choice of nothing", `
			<xs:element name="r"><xs:complexType><xs:choice/></xs:complexType></xs:element>`, []check{
			{doc(``), "cvc-complex-type.2.4.b"},
			{doc(`<a/>`), "cvc-complex-type.2.4.d"},
		}},
		{"xs:all", `
			<xs:element name="r"><xs:complexType><xs:all>
				<xs:element name="a"/><xs:element name="b" minOccurs="0"/><xs:element name="c"/>
			</xs:all></xs:complexType></xs:element>`, []check{
			{doc("<c/><a/>"), ""},
			{doc("<b/><c/><a/>"), ""},
			{doc("<c/>"), "cvc-complex-type.2.4.b"},
			{doc("<c/><a/><c/>"), "cvc-complex-type.2.4.a"},
		}},
		{"keys are typed and scoped", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="s" maxOccurs="unbounded"><xs:complexType><xs:sequence>
				<xs:element name="k" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:attribute name="id" type="xs:decimal"/></xs:complexType></xs:element>
				<xs:element name="f" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:attribute name="to" type="xs:decimal"/></xs:complexType></xs:element>
			</xs:sequence></xs:complexType>
				<xs:key name="K"><xs:selector xpath="t:k"/><xs:field xpath="@id"/></xs:key>
			</xs:element></xs:sequence></xs:complexType>
				<xs:keyref name="F" refer="K"><xs:selector xpath=".//t:f"/><xs:field xpath="@to"/></xs:keyref>
			</xs:element>`, []check{
			{doc(`<s><k id="1"/><k id="2"/><f to="1.0"/></s>`), ""},
			{doc(`<s><k id="1"/><k id="1.0"/></s>`), "cvc-identity-constraint.4.2.2"},
			{doc(`<s><k id="1"/></s><s><k id="2"/><f to="1"/></s>`), ""},
			{doc(`<s><k id="1"/></s><s><k id="1"/><f to="1"/></s>`), "cvc-identity-constraint.4.3"}, // two inner keys: neither counts
			{doc(`<s><k/></s>`), "cvc-identity-constraint.4.2.1"},
			{doc(`<s><f to="7"/></s>`), "cvc-identity-constraint.4.3"},
		}},
		{"unique over elements, nil and absent do not count", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="p" maxOccurs="unbounded"><xs:complexType><xs:sequence>
				<xs:element name="a" type="xs:string" minOccurs="0" nillable="true"/><xs:element name="b" type="xs:int" minOccurs="0"/>
			</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType>
				<xs:unique name="U"><xs:selector xpath="t:p"/><xs:field xpath="t:a"/><xs:field xpath="t:b"/></xs:unique>
			</xs:element>`, []check{
			{doc(`<p><a>x</a><b>1</b></p><p><a>x</a><b>2</b></p><p><a>x</a></p><p><a>x</a></p>`), ""},
			{doc(`<p><a>x</a><b>1</b></p><p><a>x</a><b>01</b></p>`), "cvc-identity-constraint.4.1"},
			{doc(`<p><a xsi:nil="true"/><b>1</b></p><p><a xsi:nil="true"/><b>1</b></p>`), ""},
		}},
		{"a scope far below where the paths of the outer one have ended", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="p" maxOccurs="unbounded"><xs:complexType><xs:sequence>
				<xs:element name="x"><xs:complexType><xs:sequence>
					<xs:element name="y" type="xs:int" minOccurs="0"/>
					<xs:element name="s" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
						<xs:element name="i" maxOccurs="unbounded"><xs:complexType><xs:sequence><xs:element name="n" type="xs:decimal"/></xs:sequence></xs:complexType></xs:element>
					</xs:sequence></xs:complexType>
						<xs:unique name="U"><xs:selector xpath="t:i"/><xs:field xpath="t:n"/></xs:unique>
					</xs:element>
					<xs:element name="z" type="xs:int" minOccurs="0"/>
				</xs:sequence></xs:complexType></xs:element>
			</xs:sequence><xs:attribute name="id" type="xs:int"/></xs:complexType></xs:element></xs:sequence></xs:complexType>
				<xs:key name="K"><xs:selector xpath="t:p"/><xs:field xpath="@id"/></xs:key>
			</xs:element>`, []check{
			{doc(`<p id="1"><x><y>1</y><s><i><n>1</n></i><i><n>2</n></i></s><s><i><n>1</n></i></s><z>1</z></x></p><p id="2"><x><s><i><n>1</n></i></s></x></p>`), ""},
			{doc(`<p id="1"><x><y>1</y><s><i><n>1</n></i></s><s><i><n>1</n></i><i><n>1.0</n></i></s><z>1</z></x></p>`), "cvc-identity-constraint.4.1"},
			{doc(`<p id="1"><x><s><i><n>1</n></i></s><z>1</z></x></p><p id="01"><x/></p>`), "cvc-identity-constraint.4.2.2"},
			{doc(`<p id="1"><x><s><i><n>1</n></i></s></x></p><p><x><y>1</y></x></p>`), "cvc-identity-constraint.4.2.1"},
			{doc(`<p id="1"><x><y>a</y><s><i><n>b</n></i><i><n>1</n></i><i><n>1</n></i></s></x></p><p id="1"><x/></p>`), "cvc-datatype-valid.1.2.1 cvc-datatype-valid.1.2.1 cvc-identity-constraint.4.1 cvc-identity-constraint.4.2.2"},
		}},
		{"a nilled field is a node all the same", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="p" maxOccurs="unbounded"><xs:complexType><xs:sequence>
				<xs:element name="a" type="xs:int" minOccurs="0" maxOccurs="2" nillable="true"/><xs:element name="m" minOccurs="0" nillable="true"/>
			</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType>
				<xs:unique name="M"><xs:selector xpath="t:p"/><xs:field xpath="t:m"/></xs:unique>
				<xs:unique name="U"><xs:selector xpath="t:p"/><xs:field xpath="t:a"/></xs:unique>
			</xs:element>`, []check{
			{doc(`<p><a xsi:nil="true"/></p><p><a xsi:nil="true"/></p><p><a>1</a></p>`), ""},
			{doc(`<p><a xsi:nil="true"/><a xsi:nil="true"/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><m xsi:nil="true"/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><m/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><m xsi:type="xs:anyType"/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><m xsi:type="xs:int" xsi:nil="true"/></p><p><m xsi:type="xs:int">1</m></p>`), ""},
			{doc(`<p><a xsi:nil="true"/><a>1</a></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><a>1</a><a xsi:nil="true"/></p>`), "cvc-identity-constraint.3"},
		}},
		{"a node that two alternatives of a field reach is one", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="p" maxOccurs="unbounded"><xs:complexType>
				<xs:sequence><xs:element name="e" type="xs:int" minOccurs="0" maxOccurs="2"/><xs:element name="g" minOccurs="0" maxOccurs="2"><xs:complexType><xs:attribute name="h" default="1"/></xs:complexType></xs:element></xs:sequence>
				<xs:attribute name="a" type="xs:int"/><xs:attribute name="d" type="xs:int" default="7"/></xs:complexType></xs:element></xs:sequence></xs:complexType>
				<xs:unique name="U"><xs:selector xpath="t:p|*"/><xs:field xpath="@a|./@a|.//@a"/><xs:field xpath="@d|@d"/></xs:unique>
				<xs:unique name="V"><xs:selector xpath="t:p"/><xs:field xpath="t:e|./t:e"/></xs:unique>
				<xs:unique name="W"><xs:selector xpath="t:p"/><xs:field xpath=".//@h|t:g/@h"/></xs:unique>
			</xs:element>`, []check{
			{doc(`<p a="1"><g/></p><p a="2"><g h="2"/></p>`), ""},
			{doc(`<p><g/><g/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p><g h="1"/><g/></p>`), "cvc-identity-constraint.3"},
			{doc(`<p a="1"><e>1</e></p><p a="2"><e>2</e></p><p a="1" d="8"/>`), ""},
			{doc(`<p a="1"/><p a="1" d="7"/>`), "cvc-identity-constraint.4.1"},
			{doc(`<p><e>1</e><e>2</e></p>`), "cvc-identity-constraint.3"},
		}},
		{"ID and IDREF", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="e" maxOccurs="unbounded"><xs:complexType>
				<xs:attribute name="id" type="xs:ID"/><xs:attribute name="to" type="xs:IDREFS"/>
			</xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(`<e to="b a"/><e id="a"/><e id=" b "/>`), ""},
			{doc(`<e id="a"/><e id="a"/>`), "cvc-id.2"},
			{doc(`<e id="a" to="a c"/>`), "cvc-id.1"},
		}},
		{"unknown names and namespaces", `
			<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType></xs:element>`, []check{
			{doc(`<b/>`), "cvc-complex-type.2.4.a"},
			{`<r><a/></r>`, "cvc-elt.1"},
			{`<q xmlns="urn:t"/>`, "cvc-elt.1"},
			{doc(`<a xmlns=""/>`), "cvc-complex-type.2.4.a"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustCompile(t, inSchema(c.schema))
			for _, k := range c.checks {
				if got, want := rulesOf(t, s, k.doc), strings.Fields(k.rules); !slices.Equal(got, want) {
					if len(k.doc) > 300 {
						k.doc = k.doc[:300] + "..."
					}
					t.Errorf("%s\nbreaks %v, want %v", k.doc, got, want)
				}
			}
		})
	}
}

// TestRefusedSchemas: what a schema breaks, with the rule.
func TestRefusedSchemas(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		rule  string
	}{
		{"two declarations of one name", []string{inSchema(`<xs:element name="a"/><xs:element name="a"/>`)}, "sch-props-correct.2"},
		{"ambiguous content", []string{inSchema(`<xs:complexType name="T"><xs:sequence><xs:element name="a" minOccurs="0"/><xs:element name="a"/></xs:sequence></xs:complexType>`)}, "cos-nonambig"},
		{"element against wildcard", []string{inSchema(`<xs:complexType name="T"><xs:sequence><xs:element name="a" minOccurs="0"/><xs:any/></xs:sequence></xs:complexType>`)}, "cos-nonambig"},
		{"substitution group against member", []string{inSchema(`<xs:element name="h"/><xs:element name="m" substitutionGroup="h"/>
			<xs:complexType name="T"><xs:choice><xs:element ref="h"/><xs:element ref="m"/></xs:choice></xs:complexType>`)}, "cos-nonambig"},
		{"one name, two types", []string{inSchema(`<xs:complexType name="T"><xs:sequence><xs:element name="a" type="xs:int"/><xs:element name="a" type="xs:string"/></xs:sequence></xs:complexType>`)}, "cos-element-consistent"},
		{"missing type", []string{inSchema(`<xs:element name="a" type="Nothing"/>`)}, "src-resolve"},
		{"namespace not imported", []string{inSchema(`<xs:element name="a" type="q:T" xmlns:q="urn:q"/>`)}, "src-resolve.4.2"},
		{"import is not transitive", []string{
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:c" targetNamespace="urn:a"><xs:import namespace="urn:b" schemaLocation="b.xsd"/><xs:element name="e" type="c:T"/></xs:schema>`,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:b"><xs:import namespace="urn:c" schemaLocation="c.xsd"/></xs:schema>`,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:c"><xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`,
		}, "src-resolve.4.2"},
		{"undeclared prefix", []string{inSchema(`<xs:element name="a" type="q:T"/>`)}, "src-qname"},
		{"type derived from itself", []string{inSchema(`<xs:complexType name="T"><xs:complexContent><xs:extension base="T"/></xs:complexContent></xs:complexType>`)}, "ct-props-correct.3"},
		{"group that contains itself", []string{inSchema(`<xs:group name="G"><xs:sequence><xs:group ref="G" minOccurs="0"/></xs:sequence></xs:group>`)}, "mg-props-correct.2"},
		{"circle of attribute groups", []string{inSchema(`<xs:attributeGroup name="A"><xs:attributeGroup ref="B"/></xs:attributeGroup><xs:attributeGroup name="B"><xs:attributeGroup ref="A"/></xs:attributeGroup>`)}, "src-attribute_group.3"},
		{"circle of substitution", []string{inSchema(`<xs:element name="a" substitutionGroup="b"/><xs:element name="b" substitutionGroup="a"/>`)}, "e-props-correct.6"},
		{"restriction allows more", []string{inSchema(`<xs:complexType name="B"><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType>
			<xs:complexType name="R"><xs:complexContent><xs:restriction base="B"><xs:sequence><xs:element name="a" minOccurs="0"/></xs:sequence></xs:restriction></xs:complexContent></xs:complexType>`)}, "derivation-ok-restriction.5.4.2"},
		{"restriction drops a required attribute", []string{inSchema(`<xs:complexType name="B"><xs:attribute name="a" use="required"/></xs:complexType>
			<xs:complexType name="R"><xs:complexContent><xs:restriction base="B"><xs:attribute name="a" use="optional"/></xs:restriction></xs:complexContent></xs:complexType>`)}, "derivation-ok-restriction.2.1.1"},
		{"facet wider than the base", []string{inSchema(`<xs:simpleType name="B"><xs:restriction base="xs:string"><xs:maxLength value="5"/></xs:restriction></xs:simpleType>
			<xs:simpleType name="R"><xs:restriction base="B"><xs:maxLength value="6"/></xs:restriction></xs:simpleType>`)}, "maxLength-valid-restriction"},
		{"default outside its type", []string{inSchema(`<xs:element name="a" type="xs:int" default="x"/>`)}, "e-props-correct.2"},
		{"two IDs", []string{inSchema(`<xs:complexType name="T"><xs:attribute name="a" type="xs:ID"/><xs:attribute name="b" type="xs:ID"/></xs:complexType>`)}, "ct-props-correct.5"},
		{"xs:all in a sequence", []string{inSchema(`<xs:complexType name="T"><xs:sequence><xs:all><xs:element name="a"/></xs:all></xs:sequence></xs:complexType>`)}, "s4s-elt-must-match.1"},
		{"unknown attribute", []string{inSchema(`<xs:element name="a" nome="a"/>`)}, "s4s-att-not-allowed"},
		{"extension repeats an attribute and prohibits it too", []string{inSchema(`<xs:complexType name="B"><xs:attribute name="a"/></xs:complexType>
			<xs:complexType name="X"><xs:complexContent><xs:extension base="B"><xs:attribute name="a"/><xs:attribute name="a" use="prohibited"/></xs:extension></xs:complexContent></xs:complexType>`)}, "ct-props-correct.4"},
		{"final type extended", []string{inSchema(`<xs:complexType name="B" final="extension"/><xs:complexType name="X"><xs:complexContent><xs:extension base="B"/></xs:complexContent></xs:complexType>`)}, "cos-ct-extends.1.1"},
		{"keyref of unknown key", []string{inSchema(`<xs:element name="a"><xs:keyref name="k" refer="nothing"><xs:selector xpath="*"/><xs:field xpath="@a"/></xs:keyref></xs:element>`)}, "src-resolve"},
		{"selector beyond the subset", []string{inSchema(`<xs:element name="a"><xs:key name="k"><xs:selector xpath="a[1]"/><xs:field xpath="@a"/></xs:key></xs:element>`)}, "c-selector-xpath"},
		{"a document that redefines itself", []string{inSchema(`<xs:redefine schemaLocation="a.xsd"><xs:simpleType name="S"><xs:restriction base="S"/></xs:simpleType></xs:redefine>
			<xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>`)}, "sch-props-correct.2"},
		{"a document redefined by a part of it", []string{inSchema(`<xs:include schemaLocation="b.xsd"/><xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>`),
			inSchema(`<xs:redefine schemaLocation="a.xsd"><xs:simpleType name="S"><xs:restriction base="S"/></xs:simpleType></xs:redefine>`)}, "sch-props-correct.2"},
		{"two redefinitions beside each other", []string{
			inSchema(`<xs:include schemaLocation="b.xsd"/><xs:redefine schemaLocation="c.xsd"><xs:simpleType name="S"><xs:restriction base="S"/></xs:simpleType></xs:redefine>`),
			inSchema(`<xs:redefine schemaLocation="c.xsd"><xs:simpleType name="S"><xs:restriction base="S"/></xs:simpleType></xs:redefine>`),
			inSchema(`<xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>`)}, "sch-props-correct.2"},
		{"a document that imports itself for another namespace", []string{inSchema(`<xs:import namespace="urn:x" schemaLocation=""/>`)}, "src-import.3"},
		{"redefinition of what is not there", []string{inSchema(`<xs:redefine schemaLocation="b.xsd"><xs:simpleType name="S"><xs:restriction base="S"/></xs:simpleType></xs:redefine>`), inSchema(``)}, "src-redefine.6"},
		{"missing document", []string{inSchema(`<xs:include schemaLocation="nothing.xsd"/>`)}, "document-missing"},
		{"document outside the bundle", []string{inSchema(`<xs:include schemaLocation="../../etc/passwd"/>`)}, "document-missing"},
		{"remote document", []string{inSchema(`<xs:import namespace="urn:x" schemaLocation="http://example.org/x.xsd"/>`)}, "document-missing"},
		{"not XML", []string{`<xs:schema`}, "xml"},
		{"DOCTYPE without an end", []string{`<!DOCTYPE xs:schema [<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"/>`}, "xml"},
		{"an entity of another file", []string{`<!DOCTYPE xs:schema [<!ENTITY b SYSTEM "b.xsd">]><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">&b;</xs:schema>`, inSchema("")}, "xml"},
		{"an encoding that nobody knows", []string{`<?xml version="1.0" encoding="x-elvish"?><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"/>`}, "xml"},
		{"two that look alike", []string{inSchema(`<xs:include schemaLocation="b.xsd"/><xs:include schemaLocation="c.xsd"/>`), inSchema(`<xs:element name="e"/>`), inSchema(`<xs:element name="e" />`)}, "sch-props-correct.2"},
		{"not a schema", []string{`<html/>`}, "s4s-root"},
		{"no root document", nil, "document-missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := compileText(t, Options{}, c.texts...)
			var refused *CompileError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a *CompileError", err)
			}
			for _, f := range refused.Findings {
				if f.Russian() == "" || f.English() == "" || strings.Contains(f.Russian()+f.English(), "%!") {
					t.Errorf("%s: bad text: %q %q", f.Rule, f.Russian(), f.English())
				}
			}
			if got := refused.Findings[0].Rule; got != c.rule {
				t.Errorf("refused by %s, want %s: %v", got, c.rule, err)
			}
		})
	}
}

// TestComposition: include, chameleon, import, redefine.
func TestComposition(t *testing.T) {
	t.Run("a chameleon takes two namespaces", func(t *testing.T) {
		s := mustCompile(t,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a" xmlns:a="urn:a" xmlns:b="urn:b" elementFormDefault="qualified">
				<xs:include schemaLocation="c.xsd"/><xs:import namespace="urn:b" schemaLocation="b.xsd"/>
				<xs:element name="r"><xs:complexType><xs:sequence><xs:element ref="a:e"/><xs:element ref="b:e"/></xs:sequence></xs:complexType></xs:element></xs:schema>`,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:b"><xs:include schemaLocation="c.xsd"/></xs:schema>`,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="e" type="T"/><xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`)
		if got := rulesOf(t, s, `<r xmlns="urn:a"><e>1</e><e xmlns="urn:b">x</e></r>`); !slices.Equal(got, []string{"cvc-datatype-valid.1.2.1"}) {
			t.Errorf("broken rules %v", got)
		}
	})
	t.Run("a document that lies in two folders is one", func(t *testing.T) {
		d := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:d"><xs:include schemaLocation="e.xsd"/><xs:element name="d" type="xs:int"/></xs:schema>`
		e := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:d"><xs:element name="e"/></xs:schema>`
		bundle := fstest.MapFS{}
		for name, text := range map[string]string{"d.xsd": d, "x/d.xsd": d, "e.xsd": e, "x/e.xsd": e,
			"x/b.xsd": `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:b" xmlns:d="urn:d"><xs:import namespace="urn:d" schemaLocation="d.xsd"/><xs:element name="b"><xs:complexType><xs:sequence><xs:element ref="d:d"/></xs:sequence></xs:complexType></xs:element></xs:schema>`,
			"a.xsd": `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a" xmlns:b="urn:b" xmlns:d="urn:d"><xs:import namespace="urn:b" schemaLocation="x/b.xsd"/><xs:import namespace="urn:d" schemaLocation="d.xsd"/>
				<xs:element name="r"><xs:complexType><xs:sequence><xs:element ref="b:b"/><xs:element ref="d:d"/></xs:sequence></xs:complexType></xs:element></xs:schema>`} {
			bundle[name] = &fstest.MapFile{Data: []byte(text)}
		}
		s, err := Compile(bundle, []string{"a.xsd"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := rulesOf(t, s, `<r xmlns="urn:a"><b xmlns="urn:b"><d xmlns="urn:d">1</d></b><d xmlns="urn:d">x</d></r>`); !slices.Equal(got, []string{"cvc-datatype-valid.1.2.1"}) {
			t.Errorf("broken rules %v", got)
		}
		// Its neighbours are others there: then something is declared twice, and that is said.
		bundle["x/e.xsd"] = &fstest.MapFile{Data: []byte(strings.Replace(e, `name="e"`, `name="e" type="xs:int"`, 1))}
		var refused *CompileError
		if _, err := Compile(bundle, []string{"a.xsd"}, Options{}); !errors.As(err, &refused) || refused.Findings[0].Rule != "sch-props-correct.2" {
			t.Errorf("with another e.xsd: got %v, want sch-props-correct.2", err)
		}
	})
	t.Run("what a document type declaration says counts", func(t *testing.T) {
		s := mustCompile(t, `<?xml version="1.0" encoding="US-ASCII"?>
<!DOCTYPE xs:schema PUBLIC "-//W3C//DTD XMLSCHEMA 200102//EN" "XMLSchema.dtd" [<!ENTITY space "urn:t"><!ENTITY e '<xs:element name="r" type="xs:int" xmlns:xs="http://www.w3.org/2001/XMLSchema"/>'>
<!ATTLIST xs:schema xmlns:xs CDATA #FIXED "http://www.w3.org/2001/XMLSchema" targetNamespace CDATA "&space;">]><xs:schema>&e;</xs:schema>`)
		for doc, want := range map[string][]string{`<r xmlns="urn:t">1</r>`: nil, `<r xmlns="urn:t">x</r>`: {"cvc-datatype-valid.1.2.1"}} {
			if got := rulesOf(t, s, doc); !slices.Equal(got, want) {
				t.Errorf("%s breaks %v, want %v", doc, got, want)
			}
		}
	})
	t.Run("a redefined group may come to nothing", func(t *testing.T) {
		s := mustCompile(t,
			inSchema(`<xs:redefine schemaLocation="b.xsd"><xs:group name="g"><xs:choice><xs:group ref="i"/></xs:choice></xs:group></xs:redefine>
				<xs:group name="i"><xs:choice><xs:element ref="e" minOccurs="0" maxOccurs="0"/></xs:choice></xs:group>
				<xs:element name="r"><xs:complexType><xs:sequence><xs:group ref="g" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>`),
			inSchema(`<xs:element name="e"/><xs:group name="g"><xs:choice><xs:element ref="e"/><xs:group ref="i"/></xs:choice></xs:group>`))
		for doc, want := range map[string][]string{`<r xmlns="urn:t"/>`: nil, `<r xmlns="urn:t"><e/></r>`: {"cvc-complex-type.2.4.d"}} {
			if got := rulesOf(t, s, doc); !slices.Equal(got, want) {
				t.Errorf("%s breaks %v, want %v", doc, got, want)
			}
		}
	})
	t.Run("redefine replaces everywhere", func(t *testing.T) {
		s := mustCompile(t,
			inSchema(`<xs:redefine schemaLocation="b.xsd">
				<xs:complexType name="T"><xs:complexContent><xs:extension base="T"><xs:sequence><xs:element name="b" type="xs:int"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
				<xs:simpleType name="S"><xs:restriction base="S"><xs:maxInclusive value="5"/></xs:restriction></xs:simpleType>
				<xs:group name="G"><xs:sequence><xs:group ref="G"/><xs:element name="h"/></xs:sequence></xs:group>
				<xs:attributeGroup name="A"><xs:attributeGroup ref="A"/><xs:attribute name="y"/></xs:attributeGroup>
			</xs:redefine>`),
			inSchema(`<xs:complexType name="T"><xs:sequence><xs:element name="a" type="S"/><xs:group ref="G"/></xs:sequence><xs:attributeGroup ref="A"/></xs:complexType>
				<xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>
				<xs:group name="G"><xs:sequence><xs:element name="g"/></xs:sequence></xs:group>
				<xs:attributeGroup name="A"><xs:attribute name="x"/></xs:attributeGroup>
				<xs:element name="r" type="T"/>`))
		for doc, want := range map[string][]string{
			`<r xmlns="urn:t" x="1" y="2"><a>5</a><g/><h/><b>1</b></r>`: nil,
			`<r xmlns="urn:t"><a>6</a><g/><h/><b>1</b></r>`:             {"cvc-maxInclusive-valid"},
			`<r xmlns="urn:t"><a>5</a><g/><b>1</b></r>`:                 {"cvc-complex-type.2.4.a"},
			`<r xmlns="urn:t"><a>5</a><g/><h/></r>`:                     {"cvc-complex-type.2.4.b"},
		} {
			if got := rulesOf(t, s, doc); !slices.Equal(got, want) {
				t.Errorf("%s breaks %v, want %v", doc, got, want)
			}
		}
	})
	t.Run("a redefinition of a redefinition takes what the inner one left", func(t *testing.T) {
		outer := inSchema(`<xs:include schemaLocation="b.xsd"/><xs:redefine schemaLocation="d.xsd">
				<xs:simpleType name="S"><xs:restriction base="S"><xs:maxInclusive value="5"/></xs:restriction></xs:simpleType>
				<xs:complexType name="T"><xs:complexContent><xs:extension base="T"><xs:sequence><xs:element name="c" type="S"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
				<xs:group name="G"><xs:sequence><xs:group ref="G"/><xs:element name="i"/></xs:sequence></xs:group>
				<xs:attributeGroup name="A"><xs:attributeGroup ref="A"/><xs:attribute name="z"/></xs:attributeGroup>
			</xs:redefine>`)
		inner := inSchema(`<xs:redefine schemaLocation="c.xsd">
				<xs:simpleType name="S"><xs:restriction base="S"><xs:minInclusive value="2"/></xs:restriction></xs:simpleType>
				<xs:complexType name="T"><xs:complexContent><xs:extension base="T"><xs:sequence><xs:element name="b" type="S"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
				<xs:group name="G"><xs:sequence><xs:group ref="G"/><xs:element name="h"/></xs:sequence></xs:group>
				<xs:attributeGroup name="A"><xs:attributeGroup ref="A"/><xs:attribute name="y"/></xs:attributeGroup>
			</xs:redefine>`)
		s := mustCompile(t, outer, inner,
			inSchema(`<xs:complexType name="T"><xs:sequence><xs:group ref="G"/></xs:sequence><xs:attributeGroup ref="A"/></xs:complexType>
				<xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>
				<xs:group name="G"><xs:sequence><xs:element name="g"/></xs:sequence></xs:group>
				<xs:attributeGroup name="A"><xs:attribute name="x"/></xs:attributeGroup>
				<xs:element name="r" type="T"/>`),
			inSchema(`<xs:include schemaLocation="b.xsd"/>`)) // reaches the inner one a second way
		for doc, want := range map[string][]string{
			`<r xmlns="urn:t" x="1" y="2" z="3"><g/><h/><i/><b>2</b><c>5</c></r>`: nil,
			`<r xmlns="urn:t"><g/><h/><i/><b>1</b><c>5</c></r>`:                   {"cvc-minInclusive-valid"},
			`<r xmlns="urn:t"><g/><h/><i/><b>2</b><c>6</c></r>`:                   {"cvc-maxInclusive-valid"},
			`<r xmlns="urn:t"><g/><i/><b>2</b><c>3</c></r>`:                       {"cvc-complex-type.2.4.a"},
			`<r xmlns="urn:t"><g/><h/><i/><c>3</c></r>`:                           {"cvc-complex-type.2.4.a"},
		} {
			if got := rulesOf(t, s, doc); !slices.Equal(got, want) {
				t.Errorf("%s breaks %v, want %v", doc, got, want)
			}
		}
	})
	t.Run("a redefinition from within a circle", func(t *testing.T) {
		redefinition := `<xs:simpleType name="S"><xs:restriction base="S"><xs:maxInclusive value="5"/></xs:restriction></xs:simpleType>`
		mustCompile(t, inSchema(`<xs:redefine schemaLocation="b.xsd">`+redefinition+`</xs:redefine>`), inSchema(`<xs:include schemaLocation="a.xsd"/><xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType>`))
	})
	t.Run("includes in a circle", func(t *testing.T) {
		mustCompile(t, inSchema(`<xs:include schemaLocation="b.xsd"/><xs:element name="a" type="T"/>`), inSchema(`<xs:include schemaLocation="a.xsd"/><xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType>`))
	})
	t.Run("two documents of one imported namespace", func(t *testing.T) {
		mustCompile(t,
			inSchema(`<xs:import namespace="urn:x" schemaLocation="b.xsd"/><xs:import namespace="urn:x" schemaLocation="c.xsd"/><xs:element name="a" type="x:S" xmlns:x="urn:x"/><xs:element name="b" type="x:U" xmlns:x="urn:x"/>`),
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"><xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`,
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"><xs:simpleType name="U"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`)
	})
	t.Run("the attributes of xsi can be referred to", func(t *testing.T) {
		s := mustCompile(t, inSchema(`<xs:import namespace="http://www.w3.org/2001/XMLSchema-instance"/>
			<xs:element name="r" type="T"/><xs:complexType name="T"><xs:attribute ref="xsi:type" use="required" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"/></xs:complexType>`))
		for doc, want := range map[string][]string{
			`<r xmlns="urn:t" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="T"/>`:                        nil,
			`<r xmlns="urn:t" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="T" xsi:schemaLocation="["/>`: nil,
			`<r xmlns="urn:t"/>`: {"cvc-complex-type.4"},
		} {
			if got := rulesOf(t, s, doc); !slices.Equal(got, want) {
				t.Errorf("%s breaks %v, want %v", doc, got, want)
			}
		}
	})
	t.Run("an empty location is the document itself", func(t *testing.T) {
		mustCompile(t, inSchema(`<xs:include schemaLocation=""/><xs:include schemaLocation="#part"/><xs:element name="a"/>`))
	})
	t.Run("a catalog stands for the network", func(t *testing.T) {
		_, err := compileText(t, Options{Catalog: map[string]string{"urn:x": "b.xsd"}},
			inSchema(`<xs:import namespace="urn:x" schemaLocation="http://example.org/x.xsd"/><xs:element name="a" type="x:S" xmlns:x="urn:x"/>`),
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"><xs:simpleType name="S"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>`)
		if err != nil {
			t.Error(err)
		}
	})
}

// TestViolationHelps: a violation says where, what was found and what was
// expected, and nothing of the document can disturb the reader's screen.
func TestViolationHelps(t *testing.T) {
	s := propertySchema(t)
	src := string(propertyDocument(3000))
	broken := strings.Replace(src, "<ns:Вид>Здание</ns:Вид>", "<ns:Вид>Дача</ns:Вид>", 1)
	broken = strings.Replace(broken, "<ns:Площадь Единица=\"м2\">22.70</ns:Площадь>", "", 1)
	var tape xmltape.Tape
	if err := tape.Parse([]byte(broken), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	var invalid *Invalid
	if err := s.NewValidator().Validate(tape.Root()); !errors.As(err, &invalid) {
		t.Fatalf("got %v, want *Invalid", err)
	}
	if len(invalid.Violations) != 2 {
		t.Fatalf("%d violations, want 2: %v", len(invalid.Violations), invalid)
	}
	first, second := invalid.Violations[0], invalid.Violations[1]
	if first.Rule != "cvc-enumeration-valid" || first.Line != 7 || first.Col != 15 ||
		first.XPath != "/ns:ЗапросСведений/ns:Объекты/ns:Объект[1]/ns:Вид" || first.Found != `"Дача"` || !slices.Contains(first.Expected, "Здание") {
		t.Errorf("enumeration: %+v", first)
	}
	if !strings.Contains(first.Russian(), "Земельный участок") {
		t.Errorf("Russian: %s", first.Russian())
	}
	if second.Rule != "cvc-complex-type.2.4.a" || second.Found != "ns:Стоимость" || !slices.Equal(second.Expected, []string{"{urn://x-artefacts-mezhved/property/1.0.0}Площадь"}) {
		t.Errorf("missing element: %+v", second)
	}

	// A root of another version of the schema: which namespace it should have.
	wrong := strings.ReplaceAll(src, "property/1.0.0", "property/0.9.0")
	if err := tape.Parse([]byte(wrong), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := s.NewValidator().Validate(tape.Root()); !errors.As(err, &invalid) {
		t.Fatalf("got %v, want *Invalid", err)
	}
	root := invalid.Violations[0]
	if root.Rule != "cvc-elt.1" || root.Found != "{urn://x-artefacts-mezhved/property/0.9.0}ЗапросСведений" || !slices.Equal(root.Expected, []string{"{urn://x-artefacts-mezhved/property/1.0.0}ЗапросСведений"}) {
		t.Errorf("root of another namespace: %+v", root)
	}

	s = mustCompile(t, inSchema(`<xs:element name="r" type="xs:int"/>`))
	if err := tape.Parse([]byte("<r xmlns=\"urn:t\">\u202e\u200b&#x9b;"+strings.Repeat("x", 5000)+"</r>"), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := s.NewValidator().Validate(tape.Root()); !errors.As(err, &invalid) {
		t.Fatal("accepted")
	}
	v := invalid.Violations[0]
	if text := v.Found + v.Russian() + v.English(); len(v.Found) > 200 || strings.ContainsAny(text, "\u202e\u200b\u009b") || !strings.Contains(v.Found, `\u{202e}`) {
		t.Errorf("not harmless: %q", text)
	}
}

// TestViolationLimit: the list of violations is bounded and says so.
func TestViolationLimit(t *testing.T) {
	s := mustCompile(t, inSchema(`<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="a" type="xs:int" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>`))
	var tape xmltape.Tape
	if err := tape.Parse([]byte(`<r xmlns="urn:t">`+strings.Repeat("<a>x</a>", 10000)+`</r>`), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	v := s.NewValidator()
	v.MaxViolations = 7
	var invalid *Invalid
	if err := v.Validate(tape.Root()); !errors.As(err, &invalid) || len(invalid.Violations) != 7 || !invalid.More {
		t.Errorf("got %v, want 7 violations and more", err)
	}
}

// TestInPlace: an element inside another document is validated where it stands,
// with the namespaces in scope there.
func TestInPlace(t *testing.T) {
	s := mustCompile(t, inSchema(`<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="q" type="xs:QName"/></xs:sequence></xs:complexType></xs:element>`))
	var tape xmltape.Tape
	if err := tape.Parse([]byte(`<e xmlns:p="urn:p" xmlns:t="urn:t"><x/><t:r><t:q>p:name</t:q></t:r><t:r><t:q>none:name</t:q></t:r></e>`), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	v := s.NewValidator()
	good := tape.Root().First().Next()
	if err := v.Validate(good); err != nil {
		t.Error(err)
	}
	if err := v.Validate(good.Next()); err == nil || !strings.Contains(err.Error(), "/e/t:r[2]/t:q") {
		t.Errorf("got %v, want a violation at /e/t:r[2]/t:q", err)
	}
	if err := v.Validate(xmltape.Node{}); err == nil {
		t.Error("no element is valid")
	}
}

// TestFindingLimit: the list of findings is bounded, says so, and ends the work.
func TestFindingLimit(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "<xs:element name=\"e%d\" type=\"Nothing\"/>\n", i)
	}
	var err error
	took := cost.Of(func() { _, err = compileText(t, Options{Limits: Limits{Findings: 10}}, inSchema(b.String())) })
	var refused *CompileError
	if !errors.As(err, &refused) || len(refused.Findings) != 10 || !refused.More {
		t.Fatalf("got %.300v, want 10 findings and more", err)
	}
	if took > hostileCost {
		t.Errorf("cost as much as %.0f MB through the gate", took)
	}
	if f := refused.Findings[9]; f.Line != 10 || f.File != "a.xsd" {
		t.Errorf("the tenth finding is at %s:%d", f.File, f.Line)
	}
}
