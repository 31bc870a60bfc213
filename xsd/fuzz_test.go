package xsd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/cost"
)

// FuzzCompile: whatever the schema document, compiling ends within its
// deadline in a schema or a *CompileError, and what was compiled validates
// documents without panic.
func FuzzCompile(f *testing.F) {
	for _, dir := range []string{"property", "hostile"} {
		files, err := filepath.Glob(filepath.Join(repository(f), "testdata/xsd", dir, "*.xsd"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			src, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			if len(src) < 20_000 {
				f.Add(src)
			}
		}
	}
	f.Add([]byte(inSchema(`<xs:element name="r" type="T"/><xs:complexType name="T" mixed="true"><xs:all><xs:element name="a" minOccurs="0"/></xs:all><xs:anyAttribute/></xs:complexType>`)))
	f.Add([]byte(inSchema(`<xs:redefine schemaLocation="a.xsd"><xs:group name="g"><xs:choice><xs:group ref="g"/></xs:choice></xs:group></xs:redefine><xs:group name="g"><xs:sequence/></xs:group>`)))
	f.Add([]byte(inSchema(`<xs:element name="r"><xs:complexType><xs:sequence maxOccurs="50"><xs:choice minOccurs="3" maxOccurs="70"><xs:element name="a" maxOccurs="40"/><xs:any namespace="##other"/></xs:choice></xs:sequence></xs:complexType></xs:element>`)))
	docs := [][]byte{[]byte(`<r xmlns="urn:t"><a>1</a><a/><b x="1"/>text</r>`), []byte(`<r xmlns="urn:h"><a>1</a><b/></r>`), propertyDocument(1500)}
	f.Fuzz(func(t *testing.T, src []byte) {
		var s *Schema
		var err error
		if took := cost.Of(func() {
			s, err = Compile(fstest.MapFS{"a.xsd": {Data: src}}, []string{"a.xsd"}, Options{Timeout: 2 * time.Second, Limits: Limits{Positions: 2000, States: 2000, TotalRows: 200_000}})
		}); took > 2*hostileCost {
			t.Fatalf("compiling cost as much as %.0f MB through the gate", took)
		}
		var refused *CompileError
		if err != nil {
			if !errors.As(err, &refused) || len(refused.Findings) == 0 {
				t.Fatalf("error %T without findings: %v", err, err)
			}
			return
		}
		v := s.NewValidator()
		v.Root = LaxRoot
		for _, d := range docs {
			var tape xmltape.Tape
			if tape.Parse(d, xmltape.Limits{}) != nil {
				continue
			}
			first := fmt.Sprint(v.Validate(tape.Root()))
			if again := fmt.Sprint(v.Validate(tape.Root())); again != first {
				t.Fatalf("the second time differs:\n%s\n%s", first, again)
			}
		}
	})
}

// FuzzValidate: a document has the same verdict when its prefixes are renamed
// and its attributes come in another order, and a used validator gives the
// verdict of a fresh one.
func FuzzValidate(f *testing.F) {
	s := propertySchema(f)
	f.Add(propertyDocument(1500))
	valid, err := os.ReadFile(filepath.Join(repository(f), "testdata/xsd/property/valid.xml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	for _, m := range mutants(40) {
		f.Add(m.text)
	}
	used := s.NewValidator()
	f.Fuzz(func(t *testing.T, src []byte) {
		var tape, other xmltape.Tape
		if tape.Parse(src, xmltape.Limits{}) != nil {
			return
		}
		err := used.Validate(tape.Root())
		if fresh := s.NewValidator().Validate(tape.Root()); fmt.Sprint(fresh) != fmt.Sprint(err) {
			t.Fatalf("a used validator: %v\na fresh one: %v", err, fresh)
		}
		again := respelled(&tape)
		if perr := other.Parse(again, xmltape.Limits{Spaces: 1000, Attrs: 5000}); perr != nil {
			t.Fatalf("respelled document: %v\n%s", perr, again)
		}
		if second := used.Validate(other.Root()); (second == nil) != (err == nil) {
			t.Fatalf("verdict changed with spelling:\n%v\n%v\n%s", err, second, again)
		}
	})
}

// respelled writes a document with other prefixes and the attributes of each
// element in reverse order. The declarations of the original stay, for values
// that are QNames.
func respelled(tape *xmltape.Tape) []byte {
	var b bytes.Buffer
	src := tape.Source()
	name := func(id xmltape.NameID) string {
		if sp := tape.Space(id); sp != xmltape.NoSpace {
			if sp == xmltape.XMLSpace {
				return "xml:" + string(tape.Local(id))
			}
			return fmt.Sprintf("respelled%d:%s", sp, tape.Local(id))
		}
		return string(tape.Local(id))
	}
	for i := range tape.Tokens {
		tok := &tape.Tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			fmt.Fprintf(&b, "<%s", name(tok.Name))
			for k := range int(tok.NDecl) {
				d := &tape.Decls[int(tok.Decl)+k]
				if d.PrefixLen == 0 {
					continue // elements without namespace would fall into it
				}
				fmt.Fprintf(&b, ` xmlns:%s=%s`, tape.DeclPrefix(d), src[d.ValOff-1:d.ValEnd+1])
			}
			declared := map[xmltape.SpaceID]bool{xmltape.NoSpace: true, xmltape.XMLSpace: true}
			declare := func(id xmltape.NameID) {
				if sp := tape.Space(id); !declared[sp] {
					declared[sp] = true
					fmt.Fprintf(&b, ` xmlns:respelled%d="%s"`, sp, attributeText(tape.SpaceURI(sp)))
				}
			}
			declare(tok.Name)
			for k := int(tok.NAttr) - 1; k >= 0; k-- {
				a := &tape.Attrs[int(tok.Attr)+k]
				declare(a.Name)
				value := string(tape.AttrValue(a, nil))
				// An xsi:type without prefix means the default namespace, which is gone.
				if tape.Is(a.Name, xsiSpace, "type") && !strings.Contains(value, ":") {
					if id, _ := tape.LookupPrefix(tok.Scope, nil); id != xmltape.NoSpace {
						if !declared[id] {
							declared[id] = true
							fmt.Fprintf(&b, ` xmlns:respelled%d="%s"`, id, attributeText(tape.SpaceURI(id)))
						}
						value = fmt.Sprintf("respelled%d:%s", id, strings.TrimSpace(value))
					}
				}
				fmt.Fprintf(&b, ` %s="%s"`, name(a.Name), attributeText([]byte(value)))
			}
			b.WriteByte('>')
		case xmltape.End:
			fmt.Fprintf(&b, "</%s>", name(tok.Name))
		default:
			b.Write(src[tok.Off:tok.End])
		}
	}
	return b.Bytes()
}

func attributeText(v []byte) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#9;", "\n", "&#10;", "\r", "&#13;").Replace(string(v))
}
