package xpath

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

const document = `<r:Request xmlns:r="urn:r" xmlns:p="urn:p" kind="full" p:mark="7">
  <r:Number> 50:21:0110103:512 </r:Number>
  <r:Asked>2026-11-20</r:Asked>
  <p:Person id="1"><p:Name>Ёлкина</p:Name><p:Born>1984-02-29</p:Born><p:Sum>0.10</p:Sum></p:Person>
  <p:Person id="2"><p:Name>Ёлкин</p:Name><p:Born>1982-10-03</p:Born><p:Sum>0.20</p:Sum></p:Person>
  <r:Mixed>a <r:b>b</r:b> c</r:Mixed>
  <r:Empty/>
</r:Request>`

func tapeOf(t testing.TB, xml string) xmltape.Node {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(xml), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	return tape.Root()
}

var spaces = map[string]string{"r": "urn:r", "p": "urn:p"}

func TestExpressions(t *testing.T) {
	root := tapeOf(t, document)
	for source, want := range map[string]string{
		`/Request/Number`: "50:21:0110103:512", `/r:Request/r:Number`: "50:21:0110103:512", `/p:Request/Number`: "",
		`/Request/@kind`: "full", `/Request/@mark`: "", `/Request/@p:mark`: "7", `//@id`: "1", `count(//@id)`: "2",
		`//Name`: "Ёлкина", `count(//Name)`: "2", `count(//*)`: "14", `//Person[2]/Name`: "Ёлкин", `/Request/Person[@id='2']/Name`: "Ёлкин",
		`/Request/Person[last()]/Name/text()`: "Ёлкин", `/Request/Person[Name='Ёлкин']/../Number`: "50:21:0110103:512",
		`/Request/Person[Born < '1983-01-01']/Name`: "Ёлкин", `/Request/Person[position()=1]/Name`: "Ёлкина",
		`/Request/Mixed`: "a b c", `/Request/Mixed/text()`: "a  c", `Number`: "50:21:0110103:512", `./Number`: "50:21:0110103:512",
		`sum(//Sum)`: "0.3", `sum(//Sum) = 0.3`: "true", `decimal(sum(//Sum), 2)`: "0.30", `max(//Sum)`: "0.2", `min(//Sum, 0.05)`: "0.05",
		`avg(//Sum)`: "0.15", `1 div 3`: "0.3333333333", `5 mod 3`: "2", `-5 mod 3`: "-2", `1 div 0`: "NaN", `2 + 3 * 4 - 1`: "13", `-(2)`: "-2",
		`round(2.5)`: "3", `round(-2.5)`: "-3", `round(2.345, 2)`: "2.35", `floor(-1.5)`: "-2", `ceiling(1.2)`: "2", `abs(-3)`: "3",
		`'x' = 'x' and not(1 = 2)`: "true", `1 = 2 or 3 = 3`: "true", `'10' < '9'`: "false", `'2026-11-20' < '2026-11-20T00:00:01+03:00'`: "true",
		`/Request/Asked >= '2026-11-01' and /Request/Asked < '2026-12-01'`: "true", `/Request/Nothing`: "", `exists(/Request/Empty)`: "true", `exists(//Nothing)`: "false",
		`concat('a', 1, true())`: "a1true", `starts-with(/Request/Number, '50:')`: "true", `ends-with('абв', 'в')`: "true", `contains('абв', 'б')`: "true",
		`substring('абвгд', 2, 3)`: "бвг", `substring('абв', 0)`: "абв", `substring-before('1:2', ':')`: "1", `substring-after('1:2', ':')`: "2", `substring-after('12', ':')`: "",
		`string-length('абв')`: "3", `normalize-space('  a   b ')`: "a b", `upper-case('ёж')`: "ЁЖ", `translate('a-b', '-', '')`: "ab",
		`matches(/Request/Number, '^\d\d:')`: "true", `replace('2026-11-20', '(\d+)-(\d+)-(\d+)', '$3.$2.$1')`: "20.11.2026",
		`in(/Request/@kind, 'short', 'full')`: "true", `if(/Request/Empty, 'yes', 'no')`: "yes", `string-join(//Name, ', ')`: "Ёлкина, Ёлкин",
		`local-name(//Person/*)`: "Name", `count(//Name | //Born)`: "4", `//Person/Name = 'Ёлкин'`: "true", `//Person/Name != 'Ёлкин'`: "true", `"it's"`: "it's",
		`$n + 1`: "43", `number('x')`: "NaN", `.5 + 0.25`: "0.75", `/Request/*[local-name()='Number']`: "50:21:0110103:512",
		`/Request/Person[1] [Name]/Name`: "Ёлкина", `div`: "", `1 - 1`: "0", `/Request/Person/p:*[1]`: "Ёлкина", `0.1 + 0.2 = 0.3`: "true",
	} {
		e, err := Parse(source, Scope{Namespaces: spaces, Variables: map[string]bool{"n": true}})
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		v, err := e.Eval(&Context{Root: root, Variables: map[string]Value{"n": Int(42)}})
		if got := String(v); err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	for source, want := range map[string]string{
		``:                       `something is missing, at letter 1 of ""`,
		`/Request/`:              `a path, a value or a function is expected here, not the end, at letter 10 of "/Request/"`,
		`/Request/x:Number`:      `prefix "x" is not declared in namespaces; is p meant?, at letter 10 of "/Request/x:Number"`,
		`cuont(//Name)`:          `there is no function cuont(); is count() meant?, at letter 1 of "cuont(//Name)"`,
		`count()`:                `count() takes 1 arguments, not 0, at letter 1 of "count()"`,
		`/a = 'x`:                `an unclosed quote, at letter 6 of "/a = 'x"`,
		`/a = 1 1`:               `"1" is not expected here, at letter 8 of "/a = 1 1"`,
		`child::a`:               `axes are not written out here: use /, //, .. and @, at letter 6 of "child::a"`,
		`/a/@b/c`:                `nothing can follow an attribute or text(), at letter 7 of "/a/@b/c"`,
		`$x`:                     `there is no variable $x; there are: n, at letter 2 of "$x"`,
		`/a[1`:                   `"]" is expected here, at letter 5 of "/a[1"`,
		strings.Repeat("(", 500): "",
	} {
		_, err := Parse(source, Scope{Namespaces: spaces, Variables: map[string]bool{"n": true}})
		var e *Error
		if !errors.As(err, &e) || want != "" && err.Error() != want {
			t.Errorf("%s: %v, want %s", source, err, want)
		} else if e.Russian() == "" || strings.Contains(e.Russian(), "expected") {
			t.Errorf("%s in Russian: %s", source, e.Russian())
		}
	}
	e, err := Parse("sum(//Name)", Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Eval(&Context{Root: tapeOf(t, document)}); err == nil || err.Error() != `sum(): "Ёлкина" is no number` {
		t.Errorf("the sum of names: %v", err)
	}
}

// An expression that would walk without end is an error, soon.
func TestTheWalkHasAnEnd(t *testing.T) {
	root := tapeOf(t, "<a>"+strings.Repeat("<b><c/></b>", 3000)+"</a>")
	e, err := Parse("count(//*[count(//*[count(//*) > 1]) > 1])", Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := e.Eval(&Context{Root: root}); !errors.Is(err, ErrEndless) {
		t.Errorf("%v, %v", v, err)
	}
}

// Paths are held against the schema, where they begin at and what is asked of them
// considered.
func TestPossible(t *testing.T) {
	schema, err := xsd.Compile(fstest.MapFS{"s.xsd": {Data: []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:r" elementFormDefault="qualified">
		<xs:element name="Request"><xs:complexType><xs:sequence><xs:element name="Number" type="xs:string"/>
		<xs:element name="Person" maxOccurs="9"><xs:complexType><xs:sequence><xs:element name="Name" type="xs:string"/></xs:sequence><xs:attribute name="id"/></xs:complexType></xs:element>
		</xs:sequence></xs:complexType></xs:element></xs:schema>`)}}, []string{"s.xsd"}, xsd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		`/Request/Number = 'x'`: "", `/Request/Person and 1 = 1`: "", `count(/Request/Person[Name = 'x' and @id]) > 1`: "", `//Anything`: "",
		`/Request/Person = 'x'`:                `path "/Request/Person": the element has no text of its own; in it stand Name`,
		`/Request/Nmuber = 'x'`:                `path "/Request/Nmuber": the schema allows no element Nmuber there; is Number meant?`,
		`/Request/Person[Nmae = 'x']`:          `path "/Request/Person/Nmae": the schema allows no element Nmae there; is Name meant?`,
		`starts-with(/r:Request/r:Numbr, '1')`: `path "/r:Request/r:Numbr": the schema allows no element {urn:r}Numbr there; is Number meant?`,
		`Nam = 'x'`:                            `path "/Request/Person/Nam": the schema allows no element Nam there; is Name meant?`,
		`exists(/Request/Persons)`:             `path "/Request/Persons": the schema allows no element Persons there; is Person meant?`,
	} {
		e, err := Parse(source, Scope{Namespaces: spaces})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, one := range e.Exists().Possible(schema, xsd.Name{Space: "urn:r", Local: "Request"}, "/Request/Person") {
			got += one.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

// What is taken as an expression can be evaluated over any content, and ends.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{`/Request/Number`, `//Person[@id='2']/Name`, `sum(//Sum) > 0.1 and not(//x)`, `if(1, 'a', "b")`, `..`, `-.5 div 3`, `substring('a', -1, 1 div 0)`} {
		f.Add(s)
	}
	root := tapeOf(f, document)
	f.Fuzz(func(t *testing.T, source string) {
		e, err := Parse(source, Scope{Namespaces: spaces})
		if err != nil {
			return
		}
		if v, err := e.Eval(&Context{Root: root}); err == nil && v == nil {
			t.Errorf("%q gives nothing", source)
		}
	})
}
