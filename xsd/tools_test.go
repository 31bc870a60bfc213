package xsd

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const propertySpace = "urn://x-artefacts-mezhved/property/1.0.0"

func propertyBundle(t testing.TB) fs.FS {
	return os.DirFS(filepath.Join(repository(t), "testdata/xsd/property"))
}

// edited is a bundle with one text replaced in one file.
func edited(t testing.TB, bundle fs.FS, file string, replacements ...string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(bundle, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(bundle, p)
		if p == file {
			for i := 0; i < len(replacements); i += 2 {
				if !bytes.Contains(data, []byte(replacements[i])) {
					t.Fatalf("%s does not hold %q", file, replacements[i])
				}
				data = bytes.ReplaceAll(data, []byte(replacements[i]), []byte(replacements[i+1]))
			}
		}
		out[p] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLint(t *testing.T) {
	good := Registration{Request: Name{propertySpace, "ЗапросСведений"}, Response: Name{propertySpace, "ОтветСведений"}}
	rules := func(bundle fs.FS, reg Registration) (out []string) {
		t.Helper()
		remarks, err := Lint(bundle, []string{"request.xsd"}, reg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range remarks {
			out = append(out, r.Severity.String()+" "+r.Rule)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	bundle := propertyBundle(t)
	for _, c := range []struct {
		name   string
		bundle fs.FS
		reg    Registration
		want   []string
	}{
		{"a good service", bundle, good, nil},
		{"no response", bundle, Registration{Request: good.Request}, []string{"fault smev-root"}},
		{"broadcast", bundle, Registration{Request: good.Request, Broadcast: true}, nil},
		{"broadcast with response", bundle, Registration{Request: good.Request, Response: good.Response, Broadcast: true}, []string{"fault smev-broadcast"}},
		{"unknown root", bundle, Registration{Request: Name{propertySpace, "Нет"}, Response: good.Response}, []string{"fault smev-root"}},
		{"roots in two namespaces", bundle, Registration{Request: good.Request, Response: Name{"urn:other", "ОтветСведений"}}, []string{"fault smev-one-namespace", "fault smev-root"}},
		{"unqualified", edited(t, bundle, "request.xsd", ` elementFormDefault="qualified"`, "", `xpath="Объекты/Объект"`, `xpath="Объекты/Объект"`), good, []string{"warning smev-unqualified"}},
		{"no version", edited(t, bundle, "request.xsd", "property/1.0.0", "property"), Registration{}, []string{"warning smev-target-namespace"}},
		{"any, mixed, list, untyped", edited(t, bundle, "request.xsd", `<xs:element name="НетСведений" type="типы:Строка500"/>`,
			`<xs:element name="НетСведений"/><xs:any namespace="##other"/>`, `<xs:complexType name="ТОтвет">`,
			`<xs:simpleType name="Л"><xs:list itemType="xs:int"/></xs:simpleType><xs:element name="Всё" type="xs:anyType"/><xs:complexType name="ТОтвет" mixed="true">`), good,
			[]string{"advice smev-list", "warning smev-any-type", "warning smev-mixed", "warning smev-untyped", "warning smev-wildcard"}},
		{"a restricted union in a union", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:simpleType name="В"><xs:union memberTypes="xs:int xs:date"/></xs:simpleType><xs:simpleType name="У"><xs:restriction base="В"><xs:pattern value="1"/></xs:restriction></xs:simpleType>
			<xs:simpleType name="О"><xs:union memberTypes="У xs:boolean"/></xs:simpleType><xs:complexType name="ТОтвет">`), good, []string{"warning smev-union-facets"}},
		{"another encoding and a DOCTYPE", edited(t, bundle, "request.xsd", `<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE xs:schema SYSTEM "XMLSchema.dtd">`), good, []string{"warning smev-document"}},
		{"an escape of other languages", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:simpleType name="В"><xs:restriction base="xs:string"><xs:pattern value="\\\.\/"/></xs:restriction></xs:simpleType><xs:complexType name="ТОтвет">`), good, []string{"warning smev-pattern-escape"}},
		{"no such escape", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:simpleType name="В"><xs:restriction base="xs:string"><xs:pattern value="\\/\d"/></xs:restriction></xs:simpleType><xs:complexType name="ТОтвет">`), good, nil},
		{"names in values", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:element name="Имя" type="xs:QName"/><xs:complexType name="ТОтвет">`), good, []string{"warning smev-unsigned-name"}},
		{"names in attributes", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:complexType name="Т"><xs:attribute name="имя"><xs:simpleType><xs:union memberTypes="xs:int xs:QName"/></xs:simpleType></xs:attribute></xs:complexType><xs:complexType name="ТОтвет">`), good, []string{"warning smev-unsigned-name"}},
		{"names that have one meaning", edited(t, bundle, "request.xsd", `<xs:complexType name="ТОтвет">`,
			`<xs:element name="Имя" type="xs:QName" fixed="xs:int"/><xs:element name="Одно"><xs:simpleType><xs:restriction base="xs:QName"><xs:enumeration value="xs:int"/><xs:enumeration value="xs:date"/></xs:restriction></xs:simpleType></xs:element><xs:complexType name="ТОтвет">`), good, nil},
		{"not a schema", edited(t, bundle, "request.xsd", "xs:enumeration", "xs:enumeratio"), good, []string{"fault s4s-elt-must-match.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rules(c.bundle, c.reg); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestCompare: what a sender must change from one version to the next.
func TestCompare(t *testing.T) {
	bundle := propertyBundle(t)
	old := propertySchema(t)
	compare := func(file string, replacements ...string) (out []string) {
		t.Helper()
		next := edited(t, edited(t, bundle, file, replacements...), "request.xsd", "property/1.0.0", "property/1.1.0")
		s, err := Compile(next, []string{"request.xsd"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		changes, err := Compare(old, s, Name{propertySpace, "ЗапросСведений"}, Name{"urn://x-artefacts-mezhved/property/1.1.0", "ЗапросСведений"})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			mark := " "
			if c.Breaking {
				mark = "!"
			}
			if c.Russian() == "" || strings.Contains(c.Russian()+c.English(), "%!") {
				t.Errorf("bad text: %q %q", c.Russian(), c.English())
			}
			out = append(out, mark+c.Kind+" "+strings.TrimPrefix(c.Path, "ЗапросСведений/"))
		}
		return out
	}
	for _, c := range []struct {
		name         string
		file         string
		replacements []string
		want         []string
	}{
		{"nothing", "request.xsd", nil, nil},
		{"an enumerated value less and one more", "request.xsd", []string{`<xs:enumeration value="Машино-место"/>`, `<xs:enumeration value="Гараж"/>`},
			[]string{"!value-narrowed Объекты/Объект/Вид", " value-widened Объекты/Объект/Вид"}},
		{"an optional element becomes required", "request.xsd", []string{`<xs:element name="Основание" type="типы:Строка500" minOccurs="0"/>`, `<xs:element name="Основание" type="типы:Строка500"/>`},
			[]string{"!count-narrowed Основание"}},
		{"a required element becomes optional", "request.xsd", []string{`<xs:element name="Площадь" type="ТПлощадь"/>`, `<xs:element name="Площадь" type="ТПлощадь" minOccurs="0"/>`},
			[]string{" count-widened Объекты/Объект/Площадь"}},
		{"an element is gone", "request.xsd", []string{`<xs:element name="Стоимость" type="ТДеньги" minOccurs="0"/>`, ``},
			[]string{"!element-removed Объекты/Объект/Стоимость"}},
		{"a new required element", "request.xsd", []string{`<xs:element name="Вид" type="ТВид"/>`, `<xs:element name="Вид" type="ТВид"/><xs:element name="Этаж" type="xs:int"/>`},
			[]string{"!element-required Объекты/Объект/Этаж"}},
		{"fewer objects", "request.xsd", []string{`maxOccurs="5000"`, `maxOccurs="100"`}, []string{"!count-narrowed Объекты/Объект"}},
		{"a new required attribute", "request.xsd", []string{`<xs:attribute name="Дата"`, `<xs:attribute name="Канал" type="xs:string" use="required"/><xs:attribute name="Дата"`},
			[]string{"!attribute-required @Канал"}},
		{"shorter strings", "common/types.xsd", []string{`<xs:maxLength value="500"/>`, `<xs:maxLength value="200"/>`},
			[]string{"!value-narrowed Основание", "!value-narrowed Объекты/Объект/Адрес/Город", "!value-narrowed Объекты/Объект/Адрес/Улица", "!value-narrowed Объекты/Объект/Адрес/Дом", "!value-narrowed Заявитель/Организация/Наименование"}},
		{"another pattern", "common/types.xsd", []string{`\d{13}`, `\d{13}|\d{15}`},
			[]string{"!pattern-changed Заявитель/Организация/ОГРН", " pattern-changed Заявитель/Организация/ОГРН"}},
		{"another type", "request.xsd", []string{`name="ДатаПостановки" type="xs:dateTime"`, `name="ДатаПостановки" type="xs:date"`}, []string{"!type-changed Объекты/Объект/ДатаПостановки"}},
		{"no longer nillable", "request.xsd", []string{` nillable="true"`, ``}, []string{"!nil-forbidden Объекты/Объект/Примечание"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := compare(c.file, c.replacements...)
			want := slices.Clone(c.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestOutline(t *testing.T) {
	var b strings.Builder
	if err := propertySchema(t).Outline(&b, Name{propertySpace, "ЗапросСведений"}, Russian); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ЗапросСведений — Запрос сведений об объектах недвижимости", "key НомерОбъекта", "@Дата: xs:date", "одно из:", "Объект [1..5000]",
		`СНИЛС (xs:string); pattern="\d{3}-\d{3}-\d{3} \d{2}"`, `"Земельный участок", "Здание"`, "fractionDigits=2", "Примечание [0..1] nillable",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestRulesAreExplained: each rule id that the package can utter has a text.
func TestRulesAreExplained(t *testing.T) {
	id := regexp.MustCompile(`^(cvc|cos|src|sch|ct|st|e|a|au|ag|mg|p|c|s4s|no|derivation-ok|enumeration|limit|budget|document|smev|length|(min|max)(Length|Inclusive|Exclusive)|totalDigits|fractionDigits|whiteSpace)-[A-Za-z0-9_.-]+$`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("internal/value/*.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, f := range append(files, more...) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if err != nil || !id.MatchString(s) {
				return true
			}
			count++
			if Rule(s, Russian) == "" || Rule(s, English) == "" {
				t.Errorf("%s: rule %q has no text", f, s)
			}
			return true
		})
	}
	if count < 150 {
		t.Errorf("only %d rule ids found: the search is broken", count)
	}
}

// TestMemory: the estimate is of the size of the heap that a schema takes.
func TestMemory(t *testing.T) {
	for _, c := range []struct{ dir, root string }{{"property", "request.xsd"}, {"hostile", "wide-choice.xsd"}, {"hostile", "substitution-width.xsd"}} {
		bundle := os.DirFS(filepath.Join(repository(t), "testdata/xsd", c.dir))
		var before, after runtime.MemStats
		kept := make([]*Schema, 4)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range kept {
			s, err := Compile(bundle, []string{c.root}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			kept[i] = s
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		real := int(after.HeapAlloc-before.HeapAlloc) / len(kept)
		if stated := kept[0].Memory(); stated < real/2 || stated > real*2 {
			t.Errorf("%s: stated %d bytes, the heap grew by %d", c.root, stated, real)
		}
	}
}
