package xsd

import "testing"

// TestAcceptedSchemas: schemas at the edge of what the standard allows, each of
// which was refused once, here or elsewhere.
func TestAcceptedSchemas(t *testing.T) {
	const heads = `<xs:element name="head"/><xs:element name="m2" substitutionGroup="head"/><xs:element name="m1" substitutionGroup="head"/><xs:element name="mm" substitutionGroup="m1"/><xs:element name="x"/>`
	restricts := func(base, derived string) string {
		return inSchema(heads + `<xs:complexType name="B"><xs:sequence>` + base + `</xs:sequence></xs:complexType>
			<xs:complexType name="R"><xs:complexContent><xs:restriction base="B"><xs:sequence>` + derived + `</xs:sequence></xs:restriction></xs:complexContent></xs:complexType>`)
	}
	for _, c := range []struct {
		name  string
		texts []string
	}{
		{"a group that cannot occur may be an xs:all", []string{inSchema(`<xs:group name="G"><xs:all><xs:element name="a"/></xs:all></xs:group>
			<xs:complexType name="T"><xs:sequence><xs:group ref="G" minOccurs="0" maxOccurs="0"/><xs:element name="b"/></xs:sequence></xs:complexType>`)}},
		{"the schema for schemas defines what is built in", []string{
			inSchema(`<xs:import namespace="http://www.w3.org/2001/XMLSchema" schemaLocation="b.xsd"/><xs:element name="e" type="xs:string"/>`),
			`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/2001/XMLSchema"><xs:simpleType name="string"><xs:restriction base="xs:anySimpleType"/></xs:simpleType>
			<xs:complexType name="anyType" mixed="true"><xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence></xs:complexType></xs:schema>`}},
		// 3.9.6: a head is a choice of all that may stand for it, in no order.
		{"members of a substitution group in another order", []string{restricts(`<xs:element ref="head"/>`, `<xs:choice><xs:element ref="m1"/><xs:element ref="m2"/></xs:choice>`)}},
		{"two members where a choice of the base has the head", []string{restricts(`<xs:choice><xs:element ref="head"/><xs:element ref="x"/></xs:choice>`, `<xs:choice><xs:element ref="m1"/><xs:element ref="m2"/><xs:element ref="x"/></xs:choice>`)}},
		{"a head alone where the base has a sequence", []string{restricts(`<xs:element ref="x" minOccurs="0"/><xs:element ref="head"/>`, `<xs:element ref="head"/>`)}},
		{"a head alone where the base repeats a choice", []string{restricts(`<xs:choice maxOccurs="unbounded"><xs:element ref="head" maxOccurs="unbounded"/></xs:choice>`, `<xs:element ref="m1" maxOccurs="unbounded"/>`)}},
		{"exactly two turns, then the same again", []string{inSchema(`<xs:complexType name="T"><xs:sequence><xs:choice minOccurs="2" maxOccurs="2"><xs:any namespace="##targetNamespace"/><xs:any namespace="##other"/></xs:choice><xs:any namespace="##targetNamespace"/></xs:sequence></xs:complexType>`)}},
		{"a member that is a head itself", []string{restricts(`<xs:element ref="head" maxOccurs="3"/>`, `<xs:choice maxOccurs="2"><xs:element ref="m1"/><xs:element ref="m2"/></xs:choice>`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := compileText(t, Options{}, c.texts...); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
