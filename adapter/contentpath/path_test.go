package contentpath

import (
	"slices"
	"testing"
	"testing/fstest"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

func TestPath(t *testing.T) {
	const doc = `<a:Req xmlns:a="urn:a"><x:Region xmlns:x="urn:x"><Code/></x:Region><x:Region xmlns:x="urn:x" okato="45"><Code> 77 </Code></x:Region><a:K> 50
</a:K></a:Req>`
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	spaces := map[string]string{"a": "urn:a", "x": "urn:x"}
	for path, want := range map[string]string{
		`/Req/K`:      "50",
		`/a:Req/a:K`:  "50",
		`/x:Req/a:K`:  "",
		`/*/K/text()`: "50",
		`/*[local-name()="Req"]/*[local-name()='K']/text()`:               "50",
		`/*[local-name()="Req" and namespace-uri()="urn:a"]/K`:            "50",
		`/*[local-name()="Req" and namespace-uri()="http://other/a/b"]/K`: "",
		`/Req/Region/Code`:     "77",
		`/Req/x:Region/@okato`: "45",
		`/Req/Region/@x:okato`: "",
		`/Req/Nothing`:         "",
	} {
		p, err := Parse(path, spaces)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got, ok := p.First(tape.Root()); got != want || ok != (want != "") {
			t.Errorf("%s finds %q, want %q", path, got, want)
		}
	}
	for _, bad := range []string{"", "Req/K", "//K", "/Req//K", "/Req/", "/Req/K[1]", "/Req[K]/K", "/u:Req", "/Req/.", "/Req/..", `/*[local-name()="Req]`, "/text()", "/@a", "/Req/@a/b", "/Req|/K", "/count(K)"} {
		if _, err := Parse(bad, spaces); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// A path that is taken finds only what stands in the document, and one
// that is not taken is an error, whatever is written.
func FuzzPath(f *testing.F) {
	for _, s := range []string{`/Req/K`, `/*[local-name()="Req"]/*[local-name()='K']/text()`, `/x:Req/@x:a`, `//`, `/Req[`} {
		f.Add(s)
	}
	tape := new(xmltape.Tape)
	const doc = `<Req xmlns="urn:a"><K>77</K><L a="50"/></Req>`
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, err := Parse(path, map[string]string{"x": "urn:a"})
		if err != nil {
			return
		}
		if code, ok := p.First(tape.Root()); ok && code != "77" && code != "50" {
			t.Errorf("%q finds %q", path, code)
		}
	})
}

// Every match is given, in document order, and values that are split over an
// element are taken by the element that holds them.
func TestEachAndCommon(t *testing.T) {
	tape := new(xmltape.Tape)
	const doc = `<R xmlns="urn:a"><P><L>Иванов</L><D><B>1980-03-02</B></D></P><P><L/><D><B>x</B></D></P><Q><L>чужой</L></Q><P><L> Петров </L></P></R>`
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	paths := make([]*Path, 2)
	for i, source := range []string{"/R/P/L", "/R/P/D/B/text()"} {
		var err error
		if paths[i], err = Parse(source, nil); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	paths[0].Each(tape.Root(), func(v string) bool {
		all = append(all, v)
		return true
	})
	if !slices.Equal(all, []string{"Иванов", "Петров"}) {
		t.Errorf("every L: %q", all)
	}
	n := Common(paths)
	if n != 2 {
		t.Fatalf("%d steps in common, want 2", n)
	}
	var grouped []string
	paths[0].Holders(0, n, tape.Root(), func(holder xmltape.Node) {
		person := ""
		for _, p := range paths {
			p.Below(n, holder, func(v []byte) bool {
				person += string(v) + ";"
				return false
			})
		}
		grouped = append(grouped, person)
	})
	if want := []string{"Иванов;1980-03-02;", "x;", "Петров;"}; !slices.Equal(grouped, want) {
		t.Errorf("by holder: %q, want %q", grouped, want)
	}
	if n := Common(paths[:1]); n != 2 {
		t.Errorf("one path has %d steps before its value, want 2", n)
	}
}

// What a path can never find is told with what may have been meant, in both
// languages.
func TestPossible(t *testing.T) {
	schema, err := xsd.Compile(fstest.MapFS{"s.xsd": {Data: []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a" elementFormDefault="qualified">
		<xs:element name="Request"><xs:complexType><xs:sequence><xs:element name="Snils" type="xs:string"/>
		<xs:element name="Person"><xs:complexType><xs:sequence><xs:element name="Имя" type="xs:string"/></xs:sequence><xs:attribute name="id"/></xs:complexType></xs:element>
		</xs:sequence></xs:complexType></xs:element></xs:schema>`)}}, []string{"s.xsd"}, xsd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]string{
		"/Request/Snils": {}, "/a:Request/a:Person/a:Имя/text()": {}, "/Request/Person/@id": {}, `/*[local-name()="Request"]/*/Имя`: {},
		"/Request/Snlis":        {`path "/Request/Snlis": the schema allows no element Snlis there; is Snils meant?`, `путь "/Request/Snlis": по схеме там не может быть элемента Snlis; не имеется ли в виду Snils?`},
		"/Request/b:Snils":      {`path "/Request/b:Snils": the schema allows no element {urn:b}Snils there; is Snils meant?`, `путь "/Request/b:Snils": по схеме там не может быть элемента {urn:b}Snils; не имеется ли в виду Snils?`},
		"/Request/Passport":     {`path "/Request/Passport": the schema allows no element Passport there; there may be Snils, Person`, `путь "/Request/Passport": по схеме там не может быть элемента Passport; может быть Snils, Person`},
		"/Response/Snils":       {`path "/Response/Snils": it begins with Response, the root is {urn:a}Request`, `путь "/Response/Snils": он начинается с Response, а корневой элемент — {urn:a}Request`},
		"/Request/Person":       {`path "/Request/Person": the element has no text of its own; in it stand Имя`, `путь "/Request/Person": у элемента нет собственного текста; в нём стоят Имя`},
		"/Request/Person/@Id":   {`path "/Request/Person/@Id": the schema allows no attribute @Id there; is @id meant?`, `путь "/Request/Person/@Id": по схеме там не может быть атрибута @Id; не имеется ли в виду @id?`},
		"/Request/Snils/Number": {`path "/Request/Snils/Number": the schema allows no element Number there, nor any other`, `путь "/Request/Snils/Number": по схеме там не может быть элемента Number, как и никакого другого`},
	} {
		p, err := Parse(path, map[string]string{"a": "urn:a", "b": "urn:b"})
		if err != nil {
			t.Fatal(err)
		}
		var got [2]string
		if err := p.Possible(schema, xsd.Name{Space: "urn:a", Local: "Request"}); err != nil {
			got = [2]string{err.Error(), err.(*Error).Russian()}
		}
		if got != want {
			t.Errorf("%s:\n%q\nwant\n%q", path, got, want)
		}
	}
}
