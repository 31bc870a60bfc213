package xsd

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// TestFields: what Outline prints for people is there as a list, with documentation
// of types where elements have none.
func TestFields(t *testing.T) {
	s, err := Compile(fstest.MapFS{"a.xsd": {Data: []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a" xmlns="urn:a" elementFormDefault="qualified">
  <xs:element name="Запрос"><xs:complexType><xs:sequence>
    <xs:element name="Код" type="Код"><xs:annotation><xs:documentation>Код региона</xs:documentation></xs:annotation></xs:element>
    <xs:choice minOccurs="0"><xs:element name="Лицо" type="Лицо"/><xs:sequence><xs:element name="А" type="xs:int"/><xs:element name="Б" type="Лицо"/></xs:sequence></xs:choice>
    <xs:any namespace="##other" processContents="lax" minOccurs="0" maxOccurs="unbounded"/>
  </xs:sequence><xs:attribute name="Вид" type="xs:string" default="полный"/></xs:complexType></xs:element>
  <xs:simpleType name="Код"><xs:annotation><xs:documentation>Две цифры</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="\d\d"/></xs:restriction></xs:simpleType>
  <xs:complexType name="Лицо"><xs:annotation><xs:documentation>Физическое лицо</xs:documentation></xs:annotation><xs:sequence><xs:element name="Имя" type="Код" maxOccurs="3"/></xs:sequence><xs:attribute name="Пол" use="required" type="xs:string"/></xs:complexType>
</xs:schema>`)}}, []string{"a.xsd"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Fields(Name{"urn:a", "Запрос"}, Russian)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintln(&b, strings.Join([]string{fmt.Sprint(f.Depth), string(f.Kind), f.Path, f.Occurs, f.Type, f.Value, f.About, f.As}, "|"))
	}
	want := `0|element|/Запрос|1||||
1|attribute|/Запрос/@Вид|0..1|xs:string|полный||
1|element|/Запрос/Код|1|Код (xs:string); pattern="\d\d"||Код региона|
1|choice||0..1||||
2|element|/Запрос/Лицо|1|||Физическое лицо|
3|attribute|/Запрос/Лицо/@Пол|1|xs:string|||
3|element|/Запрос/Лицо/Имя|1..3|Код (xs:string); pattern="\d\d"||Две цифры|
2|group||1||||
3|element|/Запрос/А|1|xs:int|||
3|element|/Запрос/Б|1|||Физическое лицо|{urn:a}Лицо
1|any||0..∞||||
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := s.Fields(Name{"urn:a", "Нет"}, Russian); err == nil {
		t.Error("an element that there is not has fields")
	}
}
