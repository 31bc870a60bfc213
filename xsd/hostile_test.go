package xsd

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/cost"
)

// hostileCost is what any hostile schema or document may take, in megabytes of
// markup through the gate: far below what an explosion needs.
const hostileCost = 100

// hostileMemory is how much the heap may grow for one.
const hostileMemory = 512 << 20

// bounded runs f and checks what it took.
func bounded(t *testing.T, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took := cost.Of(f)
	runtime.ReadMemStats(&after)
	if took > hostileCost {
		t.Errorf("cost as much as %.0f MB through the gate, more than %d", took, hostileCost)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > hostileMemory {
		t.Errorf("allocated %d MiB, more than %d", grown>>20, hostileMemory>>20)
	}
}

var expectation = regexp.MustCompile(`<!-- expect: (\S+) -->`)

// TestHostileSchemas: each file of testdata/xsd/hostile says what must come of
// it, in bounded time and memory.
func TestHostileSchemas(t *testing.T) {
	dir := filepath.Join(repository(t), "testdata/xsd/hostile")
	files, err := filepath.Glob(filepath.Join(dir, "*.xsd"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d hostile schemas, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			m := expectation.FindSubmatch(src)
			if m == nil {
				t.Fatal("no expectation in the file")
			}
			want := string(m[1])
			bounded(t, func() {
				_, err = Compile(os.DirFS(dir), []string{filepath.Base(f)}, Options{})
			})
			got := "accepted"
			var refused *CompileError
			if errors.As(err, &refused) {
				got = refused.Findings[0].Rule
			} else if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s, want %s: %.300v", got, want, err)
			}
		})
	}
}

// TestCompileTimeout: a compilation ends at its deadline, whatever it is doing.
func TestCompileTimeout(t *testing.T) {
	now := time.Unix(0, 0)
	clock := func() time.Time { now = now.Add(time.Second); return now }
	_, err := Compile(os.DirFS(filepath.Join(repository(t), "testdata/xsd/hostile")), []string{"wide-choice.xsd"}, Options{Timeout: 2 * time.Second, Now: clock})
	var refused *CompileError
	if !errors.As(err, &refused) || refused.Findings[len(refused.Findings)-1].Rule != "budget-time" {
		t.Errorf("got %v, want budget-time", err)
	}
}

// TestHostileDocuments: documents that try to cost more than they are.
func TestHostileDocuments(t *testing.T) {
	keys := inSchema(`<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="a" maxOccurs="unbounded"><xs:complexType><xs:attribute name="k" type="xs:string"/><xs:attribute name="id" type="xs:ID"/></xs:complexType></xs:element></xs:sequence></xs:complexType>
		<xs:key name="K"><xs:selector xpath=".//t:a"/><xs:field xpath="@k"/></xs:key><xs:keyref name="R" refer="K"><xs:selector xpath=".//t:a"/><xs:field xpath="@k"/></xs:keyref></xs:element>`)
	nested := inSchema(`<xs:element name="r" type="T"/><xs:complexType name="T"><xs:sequence><xs:element name="r" type="T" minOccurs="0" maxOccurs="unbounded"/></xs:sequence><xs:attribute name="k" type="xs:int"/></xs:complexType>
		<xs:element name="root"><xs:complexType><xs:sequence><xs:element name="r" type="T" maxOccurs="unbounded"/></xs:sequence></xs:complexType>
		<xs:unique name="U"><xs:selector xpath=".//t:r|t:r/t:r|.//t:r/t:r"/><xs:field xpath=".//t:r/@k|@k"/></xs:unique></xs:element>`)
	values := inSchema(`<xs:element name="r"><xs:complexType><xs:sequence>
		<xs:element name="d" type="xs:decimal" minOccurs="0"/><xs:element name="i" type="xs:int" minOccurs="0"/><xs:element name="t" type="xs:dateTime" minOccurs="0"/><xs:element name="u" type="xs:duration" minOccurs="0"/>
		<xs:element name="p" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string"><xs:pattern value="(a+)+(a|aa)*([a-z]*[a-z]*)*!"/></xs:restriction></xs:simpleType></xs:element>
		</xs:sequence></xs:complexType></xs:element>`)
	wide := inSchema(`<xs:element name="root" type="T"/><xs:complexType name="T"><xs:sequence><xs:element name="r" type="T" minOccurs="0"/></xs:sequence><xs:attribute name="k" type="xs:string"/></xs:complexType>
		<xs:element name="top"><xs:complexType><xs:sequence><xs:element name="r" type="T"/></xs:sequence></xs:complexType>
		<xs:unique name="U"><xs:selector xpath=".//t:r"/><xs:field xpath=".//@k"/></xs:unique></xs:element>`)
	listed := inSchema(`<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="s" type="xs:string"/><xs:element name="ids"><xs:simpleType><xs:list itemType="xs:ID"/></xs:simpleType></xs:element></xs:sequence></xs:complexType></xs:element>`)
	words := inSchema(`<xs:simpleType name="W"><xs:restriction base="xs:string"><xs:pattern value="(\w+ ?){1,900}"/></xs:restriction></xs:simpleType>
		<xs:element name="r"><xs:complexType><xs:simpleContent><xs:extension base="t:W"><xs:attribute name="a" type="t:W"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>
		<xs:element name="u"><xs:simpleType><xs:union memberTypes="t:W xs:string"/></xs:simpleType></xs:element>`)
	digits := strings.Repeat("9", 500_000)
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, c := range []struct {
		name, schema, doc, rule string
	}{
		{"a hundred thousand keys", keys, `<r xmlns="urn:t">` + many(`<a k="v%d"/>`, 100_000) + `</r>`, ""},
		{"a hundred thousand keys and IDs", keys, `<r xmlns="urn:t">` + many(`<a k="v%[1]d" id="i%[1]d"/>`, 100_000) + `</r>`, ""},
		{"the same key again and again", keys, `<r xmlns="urn:t">` + strings.Repeat(`<a k="v"/>`, 100_000) + `</r>`, "cvc-identity-constraint.4.2.2"},
		{"the same ID again and again in a list", listed, `<r xmlns="urn:t"><s>` + digits + `</s><ids>` + strings.Repeat("a ", 500_000) + `</ids></r>`, "cvc-id.2"},
		{"a pattern that is simulated", words, `<r xmlns="urn:t">` + strings.Repeat("ab ", 200) + `</r>`, ""},
		{"megabytes against a pattern that is simulated", words, `<r xmlns="urn:t">` + strings.Repeat("a", 2_000_000) + `</r>`, "limit-patterns"},
		{"and in an attribute", words, `<r xmlns="urn:t" a="` + strings.Repeat("a", 1_000_000) + `">a</r>`, "limit-patterns"},
		{"and in a member of a union that takes all", words, `<u xmlns="urn:t">` + strings.Repeat("a", 2_000_000) + `</u>`, "limit-patterns"},
		{"more keys than allowed", keys, `<r xmlns="urn:t">` + many(`<a k="v%d"/>`, 250_000) + `</r>`, "limit-keys"},
		{"deep targets with many fields", nested, `<root xmlns="urn:t">` + strings.Repeat(strings.Repeat("<r>", 90)+strings.Repeat("</r>", 90), 200) + `</root>`, ""},
		{"one giant value in every key", wide, `<top xmlns="urn:t">` + strings.Repeat("<r>", 90) + `<r k="` + strings.Repeat("x", 1_000_000) + `"/>` + strings.Repeat("</r>", 90) + `</top>`, "limit-keys"},
		{"giant numbers", values, `<r xmlns="urn:t"><d>` + digits + `</d></r>`, ""},
		{"giant int", values, `<r xmlns="urn:t"><i>` + digits + `</i></r>`, "cvc-maxInclusive-valid"},
		{"giant year", values, `<r xmlns="urn:t"><t>` + digits + `-01-01T00:00:00Z</t></r>`, "cvc-datatype-valid.1.2.1"},
		{"giant duration", values, `<r xmlns="urn:t"><u>P` + digits + `Y</u></r>`, "cvc-datatype-valid.1.2.1"},
		{"a pattern that backtracks", values, `<r xmlns="urn:t"><p>` + strings.Repeat("a", 500_000) + `</p></r>`, "cvc-pattern-valid"},
		{"thousands of unknown names", values, `<r xmlns="urn:t">` + many(`<n%d/>`, 15_000) + `</r>`, "cvc-complex-type.2.4.a"},
		{"every element wrong", keys, `<r xmlns="urn:t">` + strings.Repeat(`<a k="v" x="1"/>`, 100_000) + `</r>`, "cvc-complex-type.3.2.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustCompile(t, c.schema)
			var tape xmltape.Tape
			if err := tape.Parse([]byte(c.doc), xmltape.Limits{Names: 50_000}); err != nil {
				t.Fatal(err)
			}
			var err error
			bounded(t, func() { err = s.NewValidator().Validate(tape.Root()) })
			var invalid *Invalid
			switch {
			case c.rule == "" && err != nil:
				t.Errorf("refused: %.300v", err)
			case c.rule != "" && !errors.As(err, &invalid):
				t.Errorf("accepted, want %s", c.rule)
			case c.rule != "" && invalid.Violations[0].Rule != c.rule:
				t.Errorf("refused by %s, want %s", invalid.Violations[0].Rule, c.rule)
			}
			if invalid != nil && len(invalid.Error()) > 100_000 {
				t.Errorf("the report has %d bytes", len(invalid.Error()))
			}
		})
	}
}

// TestMutatedSchemas compiles the documents of the W3C suite with elements
// moved, removed, renamed and values changed: no panic, no time lost.
func TestMutatedSchemas(t *testing.T) {
	dir := w3cDir(t)
	r := rand.New(rand.NewPCG(7, 7))
	accepted, refused := 0, 0
	seen := map[string]bool{}
	root, tests, _ := readW3C(t, dir)
	for _, test := range tests {
		if test.kind != "S" || len(test.schemas) != 1 || seen[test.schemas[0]] {
			continue
		}
		name := test.schemas[0]
		seen[name] = true
		src, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) && *xstsDir != "" {
			continue // a suite of somebody else, with gaps
		}
		if err != nil {
			t.Fatal(err)
		}
		var tape xmltape.Tape
		if tape.Parse(src, xmltape.Limits{}) != nil || !tape.Root().First().Valid() {
			continue
		}
		m := mutate(r, src)
		var again xmltape.Tape
		if r.IntN(2) == 0 && again.Parse(m.text, xmltape.Limits{}) == nil && again.Root().First().Valid() {
			m = mutate(r, m.text)
		}
		bundle := overlay{os.DirFS(root), name, m.text}
		took := cost.Of(func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s, %s: panic: %v\n%s", name, m.what, p, m.text)
				}
			}()
			s, err := Compile(bundle, []string{name}, Options{IgnoreMissing: true})
			if err != nil {
				refused++
				return
			}
			accepted++
			v := s.NewValidator()
			v.Root = LaxRoot
			var doc xmltape.Tape
			if doc.Parse([]byte(`<root><doc a="1">x</doc><elem/></root>`), xmltape.Limits{}) == nil {
				_ = v.Validate(doc.Root())
			}
		})
		if took > hostileCost {
			t.Errorf("%s, %s cost as much as %.0f MB through the gate", name, m.what, took)
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < 500 || refused < 500 {
		t.Errorf("%d accepted, %d refused: the mutations do not probe the edge", accepted, refused)
	}
}

// overlay is a bundle with one file replaced.
type overlay struct {
	fs.FS
	name string
	data []byte
}

func (o overlay) Open(name string) (fs.File, error) {
	if name == o.name {
		return fstest.MapFS{name: &fstest.MapFile{Data: o.data}}.Open(name)
	}
	return o.FS.Open(name)
}
