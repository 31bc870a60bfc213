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
