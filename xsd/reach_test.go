package xsd

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Where a path may lead: through substitutions, derived types and wildcards, and
// nowhere else.
func TestReach(t *testing.T) {
	const schema = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:r" targetNamespace="urn:r" elementFormDefault="qualified">
		<xs:element name="Request"><xs:complexType><xs:sequence>
			<xs:element name="Person" type="Person"/>
			<xs:element ref="document" minOccurs="0"/>
			<xs:element name="Code" type="xs:string"/>
			<xs:element name="Never" type="xs:string" minOccurs="0" maxOccurs="0"/>
			<xs:element name="More" minOccurs="0"><xs:complexType><xs:sequence><xs:any processContents="lax"/></xs:sequence><xs:anyAttribute/></xs:complexType></xs:element>
			<xs:element name="Known" minOccurs="0"><xs:complexType><xs:sequence><xs:any namespace="##targetNamespace" processContents="strict"/></xs:sequence></xs:complexType></xs:element>
		</xs:sequence></xs:complexType></xs:element>
		<xs:complexType name="Person"><xs:sequence><xs:element name="Name" type="xs:string"/></xs:sequence><xs:attribute name="id"/></xs:complexType>
		<xs:complexType name="Citizen"><xs:complexContent><xs:extension base="Person"><xs:sequence><xs:element name="Snils" type="xs:string"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
		<xs:element name="document" abstract="true"/>
		<xs:element name="passport" substitutionGroup="document"><xs:complexType mixed="true"><xs:attribute name="number"/></xs:complexType></xs:element>
		<xs:element name="Other" type="xs:int"/>
	</xs:schema>`
	s, err := Compile(fstest.MapFS{"r.xsd": {Data: []byte(schema)}}, []string{"r.xsd"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) *Reach {
		r := s.Reach(Name{"urn:r", "Request"})
		for step := range strings.SplitSeq(path, "/") {
			if step != "" {
				r = r.Step(func(n Name) bool { return n.Local == step })
			}
		}
		return r
	}
	for path, want := range map[string]bool{
		"": true, "Person": true, "Person/Name": true, "Person/Snils": true, "passport": true, "Code": true, "More/anything/below": true, "Known/Other": true, "Known/Request/Person": true,
		"Snils": false, "Person/Nmae": false, "Code/x": false, "Never": false, "Known/anything": false, "passport/x": false,
	} {
		if got := !at(path).Empty(); got != want {
			t.Errorf("%s: possible %t, want %t", path, got, want)
		}
	}
	for path, want := range map[string]bool{"": false, "Person": false, "Person/Name": true, "passport": true, "More": false, "More/x": true} {
		if got := at(path).Text(); got != want {
			t.Errorf("%s: text %t, want %t", path, got, want)
		}
	}
	if names, open := at("Person").Attributes(); open || !slices.Equal(names, []Name{{"", "id"}}) {
		t.Errorf("attributes of Person: %v, %t", names, open)
	}
	if _, open := at("More").Attributes(); !open {
		t.Error("More takes no other attributes")
	}
	var children []string
	for _, n := range at("Person").Children() {
		children = append(children, n.Local)
	}
	if !slices.Equal(children, []string{"Name", "Snils"}) {
		t.Errorf("children of Person: %v", children)
	}
	if !s.Reach(Name{"urn:r", "Nothing"}).Empty() {
		t.Error("an element that is not there is reached")
	}
}

// A value is taken apart as its type says: a list by items, a union by the member that
// takes it, blanks as whiteSpace has them.
func TestAtoms(t *testing.T) {
	const schema = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:r" targetNamespace="urn:r">
		<xs:simpleType name="code"><xs:restriction base="xs:token"><xs:pattern value="\d\d"/></xs:restriction></xs:simpleType>
		<xs:simpleType name="codes"><xs:list itemType="code"/></xs:simpleType>
		<xs:simpleType name="some"><xs:restriction base="codes"><xs:maxLength value="3"/></xs:restriction></xs:simpleType>
		<xs:simpleType name="either"><xs:union memberTypes="codes xs:string"/></xs:simpleType>
		<xs:simpleType name="first"><xs:union memberTypes="xs:string codes"/></xs:simpleType>
		<xs:simpleType name="named"><xs:restriction base="either"><xs:enumeration value="77 78"/><xs:enumeration value="all of them"/></xs:restriction></xs:simpleType>
		<xs:simpleType name="items"><xs:list><xs:simpleType><xs:union memberTypes="xs:int code"/></xs:simpleType></xs:list></xs:simpleType>
		<xs:element name="R"><xs:complexType><xs:sequence>
			<xs:element name="code" type="code"/><xs:element name="codes" type="codes"/><xs:element name="some" type="some"/><xs:element name="either" type="either"/>
			<xs:element name="first" type="first"/><xs:element name="named" type="named"/><xs:element name="items" type="items"/><xs:element name="text" type="xs:string"/>
			<xs:element name="held"><xs:complexType><xs:simpleContent><xs:extension base="codes"><xs:attribute name="of" type="codes"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>
		</xs:sequence></xs:complexType></xs:element>
	</xs:schema>`
	s, err := Compile(fstest.MapFS{"r.xsd": {Data: []byte(schema)}}, []string{"r.xsd"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at, text string
		want     []string
	}{
		{"code", " 77 ", []string{"77"}}, {"codes", "77", []string{"77"}}, {"codes", " 77\n78  79", []string{"77", "78", "79"}}, {"codes", "", []string{}},
		{"some", "77 78", []string{"77", "78"}}, {"either", "77 78", []string{"77", "78"}}, {"either", "77 and 78", []string{"77 and 78"}},
		{"first", "77 78", []string{"77 78"}}, {"named", "77 78", []string{"77", "78"}}, {"named", "all of them", []string{"all of them"}},
		{"items", "5 07", []string{"5", "07"}}, {"text", "a  b", []string{"a  b"}}, {"held", "77 78", []string{"77", "78"}}, {"held/@of", "01 02", []string{"01", "02"}},
		{"codes", "no codes", []string{"no codes"}}, // which no schema lets through
	} {
		step, attribute, _ := strings.Cut(c.at, "/@")
		r := s.Reach(Name{"urn:r", "R"}).Step(func(n Name) bool { return n.Local == step })
		var match func(Name) bool
		if attribute != "" {
			match = func(n Name) bool { return n.Local == attribute }
		}
		if got := r.Values(match).Atoms(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: got %q, want %q", c.at, c.text, got, c.want)
		}
	}
}
