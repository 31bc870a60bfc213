package xsd

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"
)

// each writes a format for the numbers below n.
func each(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestWhatIsMultipliedIsBounded: a few hundred kilobytes in which each of many types has
// what the largest has, or each pattern is a large automaton, would hold gigabytes.
func TestWhatIsMultipliedIsBounded(t *testing.T) {
	const n = 4000
	spaces := each(n, "u:%d ")
	for name, c := range map[string]struct{ body, rule string }{
		"attributes of a base": {`<xs:complexType name="B">` + each(n, `<xs:attribute name="a%d"/>`) + `</xs:complexType>` +
			each(n, `<xs:complexType name="D%d"><xs:complexContent><xs:extension base="t:B"/></xs:complexContent></xs:complexType>`), "budget-memory"},
		"attributes of a group": {`<xs:attributeGroup name="G">` + each(n, `<xs:attribute name="a%d"/>`) + `</xs:attributeGroup>` +
			each(n, `<xs:complexType name="D%d"><xs:attributeGroup ref="t:G"/></xs:complexType>`), "budget-memory"},
		"members of unions": {each(1000, `<xs:simpleType name="m%d"><xs:restriction base="xs:string"/></xs:simpleType>`) +
			`<xs:simpleType name="U"><xs:union memberTypes="` + each(1000, "t:m%d ") + `"/></xs:simpleType>` +
			each(10_000, `<xs:simpleType name="V%d"><xs:union memberTypes="t:U"/></xs:simpleType>`), "budget-memory"},
		"namespaces of wildcards": {`<xs:attributeGroup name="G"><xs:anyAttribute namespace="` + spaces + `"/></xs:attributeGroup><xs:attributeGroup name="H"><xs:anyAttribute namespace="` + spaces + `u:x"/></xs:attributeGroup>` +
			each(n, `<xs:complexType name="D%d"><xs:attributeGroup ref="t:G"/><xs:attributeGroup ref="t:H"/></xs:complexType>`), "budget-memory"},
		"members of a head": {`<xs:element name="h" type="xs:string"/>` + each(n, `<xs:element name="s%d" substitutionGroup="t:h"/>`) +
			each(n, `<xs:complexType name="D%d"><xs:all><xs:element ref="t:h"/></xs:all></xs:complexType>`), "budget-memory"},
		"patterns of types":   {each(n, `<xs:simpleType name="F%d"><xs:restriction base="xs:string"><xs:pattern value="((ab?){1,70}c?){1,45}"/></xs:restriction></xs:simpleType>`), "budget-memory"},
		"patterns of a type":  {`<xs:simpleType name="F"><xs:restriction base="xs:string">` + each(n, `<xs:pattern value="((ab?){1,70}c?){1,45}x{%d}"/>`) + `</xs:restriction></xs:simpleType>`, "budget-memory"},
		"a long default":      {`<xs:element name="e" type="xs:string" default="` + strings.Repeat("a", 70_000) + `"/>`, "budget-value"},
		"a long enumeration":  {`<xs:simpleType name="E"><xs:restriction base="xs:string"><xs:enumeration value="` + strings.Repeat("a", 70_000) + `"/></xs:restriction></xs:simpleType>`, "budget-value"},
		"wildcards and names": {`<xs:element name="h" type="xs:string"/>` + each(n, `<xs:element name="s%d" substitutionGroup="t:h"/>`) + `<xs:complexType name="D"><xs:sequence><xs:element ref="t:h"/>` + each(n, `<xs:any/><!-- %d -->`) + `</xs:sequence></xs:complexType>`, "budget-rows"},
	} {
		t.Run(name, func(t *testing.T) {
			src := inSchema(c.body)
			var err error
			bounded(t, func() {
				_, err = Compile(fstest.MapFS{"s.xsd": {Data: []byte(src)}}, []string{"s.xsd"}, Options{})
			})
			var refused *CompileError
			if !errors.As(err, &refused) || refused.Findings[0].Rule != c.rule {
				t.Errorf("%.300v, want %s", err, c.rule)
			}
		})
	}
}

// TestLargeVersionsAreCompared: what a comparison costs is in proportion to the
// automata and the values, and not to their squares.
func TestLargeVersionsAreCompared(t *testing.T) {
	codes := func(first string) string {
		return `<xs:element name="r"><xs:simpleType><xs:restriction base="xs:string">` + each(100_000, `<xs:enumeration value="`+first+`%d"/>`) + `</xs:restriction></xs:simpleType></xs:element>`
	}
	fields := `<xs:element name="r"><xs:complexType><xs:sequence>` + each(600, `<xs:element name="a%d" minOccurs="0"/>`) + `</xs:sequence></xs:complexType></xs:element>`
	for name, c := range map[string]struct {
		old, new string
		changes  int
	}{
		"codes":           {codes("a"), codes("b"), 2},
		"optional fields": {fields, fields, 0},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := mustCompile(t, inSchema(c.old)), mustCompile(t, inSchema(c.new))
			var changes []Change
			var err error
			bounded(t, func() {
				changes, err = Compare(old, now, Name{"urn:t", "r"}, Name{"urn:t", "r"})
			})
			if err != nil || len(changes) != c.changes {
				t.Errorf("%d changes, %v, want %d", len(changes), err, c.changes)
			}
		})
	}
}

// TestDescriptionsAreBounded: deep types make paths long, and wide unions make words of
// their types long.
func TestDescriptionsAreBounded(t *testing.T) {
	var deep, wide strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&deep, `<xs:complexType name="T%d"><xs:sequence><xs:element name="%s" type="t:T%d"/></xs:sequence></xs:complexType>`, i, strings.Repeat("n", 150), min(i+1, 5999))
	}
	names := ""
	for i := range 1000 {
		names += fmt.Sprintf("t:m%d ", i)
		fmt.Fprintf(&wide, `<xs:simpleType name="m%d"><xs:restriction base="xs:string"><xs:enumeration value="%s"/></xs:restriction></xs:simpleType>`, i, strings.Repeat("v", 60))
	}
	wide.WriteString(`<xs:simpleType name="U"><xs:union memberTypes="` + names + `"/></xs:simpleType><xs:element name="r"><xs:complexType>`)
	for i := range 6000 {
		fmt.Fprintf(&wide, `<xs:attribute name="a%d" type="t:U"/>`, i)
	}
	for name, body := range map[string]string{"depth": `<xs:element name="r" type="t:T0"/>` + deep.String(), "unions": wide.String() + `</xs:complexType></xs:element>`} {
		t.Run(name, func(t *testing.T) {
			s := mustCompile(t, inSchema(body))
			var list []Field
			var err, outlined error
			bounded(t, func() {
				list, err = s.Fields(Name{"urn:t", "r"}, English)
				outlined = s.Outline(io.Discard, Name{"urn:t", "r"}, English)
			})
			if err != nil || outlined != nil || len(list) < 100 {
				t.Errorf("%d fields, %v, %v", len(list), err, outlined)
			}
		})
	}
}
