package xsd

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/cost"
	"mezhved/xsd/internal/prolog"
)

var xstsDir = flag.String("xsts", "", "folder of the W3C XML Schema test suite (with tests.tsv); default ../shared/xsts beside the repository")

// w3cTest is a line of tests.tsv.
type w3cTest struct {
	kind        string // S: schema, I: instance
	contributor string
	id          string
	valid       bool
	schemas     []string
	instance    string
}

// The bars: what part of the tests of each kind must pass.
var w3cBars = map[string]float64{"S": 0.995, "I": 0.998}

// w3cSlow is what one test may cost, in megabytes of markup through the gate.
const w3cSlow = hostileCost

// TestW3C runs the W3C XML Schema 1.0 test suite:
//
//	go test -v ./xsd -run TestW3C -args -xsts DIR
//
// One line is printed per contributor and kind, with the ids that fail; each is
// explained in README.md. A line per kind sums up.
func TestW3C(t *testing.T) {
	dir := w3cDir(t)
	root, tests, strays := readW3C(t, dir)
	bundle := absoluteNames{os.DirFS(root)}
	there := func(name string) bool {
		info, err := fs.Stat(bundle.FS, name)
		return err == nil && !info.IsDir()
	}

	results := make([]w3cResult, len(tests))
	groups := map[string]*w3cGroup{}
	var order []*w3cGroup
	for i, test := range tests {
		schemas := test.schemas
		var hints w3cHints
		if test.kind == "I" && len(schemas) == 0 {
			hints = readHints(bundle, test.instance)
			schemas = hints.found
		}
		if test.kind == "I" && len(test.schemas) > 0 {
			schemas = append(slices.Clip(schemas), otherNamespaces(bundle, test)...)
		}
		if slices.ContainsFunc(test.schemas, func(s string) bool { return !there(s) }) || test.kind == "I" && !there(test.instance) {
			results[i] = w3cResult{note: "a document of the test is not in the folder", why: noDocument}
			continue
		}
		k := strings.Join(schemas, "|")
		g := groups[k]
		if g == nil {
			g = &w3cGroup{schemas: schemas, hints: map[int]w3cHints{}}
			groups[k] = g
			order = append(order, g)
		}
		g.tests, g.hints[i] = append(g.tests, i), hints
		g.sound = g.sound || test.kind == "S" && test.valid
	}
	work := make(chan *w3cGroup)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for g := range work {
				g.run(bundle, tests, results)
			}
		}()
	}
	for _, g := range order {
		work <- g
	}
	close(work)
	wg.Wait()
	type tally struct {
		passed, total int
		failed        []string
	}
	type heading struct{ contributor, kind string }
	lines := map[heading]*tally{}
	kinds := map[string]*tally{"S": {}, "I": {}}
	explained := map[string]map[explanation]int{"S": {}, "I": {}}
	for i, test := range tests {
		k := heading{test.contributor, test.kind}
		if lines[k] == nil {
			lines[k] = &tally{}
		}
		for _, l := range []*tally{lines[k], kinds[test.kind]} {
			l.total++
			if results[i].pass {
				l.passed++
			}
		}
		if !results[i].pass {
			lines[k].failed = append(lines[k].failed, test.id)
			explained[test.kind][results[i].why]++
			if testing.Verbose() {
				expected := "invalid"
				if test.valid {
					expected = "valid"
				}
				t.Logf("%s %s (%s) is %s: %s %s: %s", test.kind, test.id, test.contributor, expected, strings.Join(test.schemas, " "), test.instance, results[i].note)
			}
		}
		if results[i].panicked {
			t.Errorf("%s %s: %s", test.kind, test.id, results[i].note)
		}
		if results[i].took > w3cSlow {
			t.Errorf("%s %s cost as much as %.0f MB through the gate, more than %d", test.kind, test.id, results[i].took, w3cSlow)
		}
	}
	if *xstsDir == "" {
		readme, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			for _, id := range l.failed {
				if !bytes.Contains(readme, []byte("`"+path.Base(id)+"`")) {
					t.Errorf("%s fails and README.md does not say why", id)
				}
			}
		}
	}
	if strays > 0 {
		fmt.Printf("tests.tsv: %d lines are no tests of schemas or instances that are valid or invalid\n", strays)
	}
	headings := slices.SortedFunc(maps.Keys(lines), func(a, b heading) int {
		return cmp.Or(cmp.Compare(a.contributor, b.contributor), cmp.Compare(a.kind, b.kind))
	})
	for _, k := range headings {
		l := lines[k]
		fmt.Printf("%s %s: %d/%d", k.contributor, w3cKinds[k.kind], l.passed, l.total)
		if len(l.failed) > 0 {
			fmt.Printf(" failed: %s", strings.Join(l.failed, " "))
		}
		fmt.Println()
	}
	for _, kind := range []string{"S", "I"} {
		l, e := kinds[kind], explained[kind]
		if l.total == 0 {
			continue
		}
		fmt.Println(w3cSummary(kind, l.passed, l.total, e[noDocument], e[sixteenBit]))
		testable := l.total - e[noDocument] - e[sixteenBit]
		if float64(l.passed) < w3cBars[kind]*float64(testable) {
			t.Errorf("%s tests: %d of %d passed, want %.1f %%", w3cKinds[kind], l.passed, testable, 100*w3cBars[kind])
		}
	}
}

// w3cSummary is the line of a kind: what passed of all, as the suite records it,
// and of what can be held against a processor with the folder at hand.
func w3cSummary(kind string, passed, total, missing, units int) string {
	percent := func(of int) string {
		return fmt.Sprintf("%d/%d (%.2f %%)", passed, of, 100*float64(passed)/float64(max(of, 1)))
	}
	line := fmt.Sprintf("%s: %s as recorded", w3cKinds[kind], percent(total))
	var leftOut []string
	if missing > 0 {
		leftOut = append(leftOut, fmt.Sprintf("tests whose documents are not all in the folder (%d)", missing))
	}
	if units > 0 {
		leftOut = append(leftOut, fmt.Sprintf("tests recorded by processors on sixteen-bit characters (%d)", units))
	}
	if leftOut == nil {
		return line
	}
	return line + "; " + percent(total-missing-units) + " without " + strings.Join(leftOut, " and ")
}

var w3cKinds = map[string]string{"S": "schema", "I": "instance"}

// w3cResult is what came of a test.
type w3cResult struct {
	pass     bool
	note     string
	why      explanation
	took     float64
	panicked bool
}

// w3cGroup is the tests of one set of schema documents: it is compiled once.
type w3cGroup struct {
	schemas []string
	tests   []int // into the list of all
	hints   map[int]w3cHints
	sound   bool // said to be valid by a test of its own
}

// run runs the tests of a group.
func (g *w3cGroup) run(bundle fs.FS, tests []w3cTest, results []w3cResult) {
	var schema *Schema
	var err error
	compiling := cost.Of(func() { schema, err = compileW3C(bundle, g.schemas) })
	for _, i := range g.tests {
		test := tests[i]
		var r w3cResult
		var crash *w3cCrash
		r.took = compiling + cost.Of(func() {
			switch {
			case errors.As(err, &crash):
				r.note, r.panicked = err.Error(), true
			case test.kind == "S":
				r.pass = (err == nil) == test.valid
				if err != nil {
					r.note = firstLine(err)
				}
			case err != nil:
				// Nothing is valid against a bad schema; but when the suite calls it
				// good, the instance was not tested at all.
				r.pass = !test.valid && !g.sound
				r.note = "schema refused: " + firstLine(err)
			default:
				invalid := validateW3C(schema, bundle, test.instance, g.hints[i], false)
				r.pass = (invalid == nil) == test.valid
				if invalid != nil {
					r.note = firstLine(invalid)
				}
				if errors.As(invalid, &crash) {
					r.pass, r.panicked = false, true
				} else if !r.pass {
					r.why = explain(schema, bundle, test, g.hints[i])
				}
			}
		})
		results[i] = r
	}
}

// w3cCrash is a panic: the test fails, the others go on.
type w3cCrash struct{ value any }

func (c *w3cCrash) Error() string { return fmt.Sprintf("panic: %v", c.value) }

func caught(err *error) {
	if r := recover(); r != nil {
		*err = &w3cCrash{r}
	}
}

func compileW3C(bundle fs.FS, schemas []string) (s *Schema, err error) {
	defer caught(&err)
	return Compile(bundle, schemas, Options{IgnoreMissing: true})
}

// explanation is why a test fails, where that can be shown.
type explanation uint8

const (
	unexplained explanation = iota
	noDocument              // the folder lacks the test's own document, or a schema that the instance names and that it would be valid by
	sixteenBit              // its outcome is true where a character beyond U+FFFF counts as two without properties
)

// explain runs a failed instance test another way. The outcomes of a dozen
// pattern tests were recorded by processors that see UTF-16 code units, against
// their own comments and against Unicode 3.1, to which the standard refers.
func explain(s *Schema, bundle fs.FS, test w3cTest, hints w3cHints) explanation {
	if (validateW3C(s, bundle, test.instance, hints, true) == nil) == test.valid {
		return sixteenBit
	}
	if test.valid && len(readHints(bundle, test.instance).missing) > 0 {
		return noDocument
	}
	return unexplained
}

// codeUnits writes each character beyond U+FFFF, or reference to one, as two
// characters that will never be assigned.
func codeUnits(src []byte) []byte {
	src = highReference.ReplaceAllFunc(src, func(m []byte) []byte {
		var r rune
		if _, err := fmt.Sscanf(string(m), "&#x%x;", &r); err == nil && r > 0xFFFF {
			return []byte("\uFDD0\uFDD1")
		}
		return m
	})
	var out []byte
	for _, r := range string(src) {
		if r > 0xFFFF {
			out = append(out, "\uFDD0\uFDD1"...)
			continue
		}
		out = append(out, string(r)...)
	}
	return out
}

var highReference = regexp.MustCompile(`&#x[0-9a-fA-F]+;`)

func firstLine(err error) string {
	s, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "schema refused: "), "\n")
	return s
}

// absoluteNames shows the suite with relative namespace names made absolute. A
// good part of its instances uses relative ones, which the XML gate refuses
// because Canonical XML knows no such thing; the mapping is one to one and the
// same in schemas and instances, so it does not touch what is tested.
type absoluteNames struct{ fs.FS }

// plain turns a document of the suite, schema or instance, into what the XML
// gate takes: for schemas the product does the same.
func plain(src []byte) []byte {
	if out, _, err := prolog.Read(src); err == nil {
		return out
	}
	return src
}

var (
	spaceAttribute = regexp.MustCompile(`(\s(?:xmlns(?::[^\s=]+)?|targetNamespace|namespace)\s*=\s*)("[^"<]*"|'[^'<]*')`)
)

func (a absoluteNames) Open(name string) (fs.File, error) {
	f, err := a.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return f, err
	}
	f.Close()
	src, err := fs.ReadFile(a.FS, name)
	if err != nil {
		return nil, err
	}
	src = plain(src)
	src = spaceAttribute.ReplaceAllFunc(src, func(m []byte) []byte {
		parts := spaceAttribute.FindSubmatch(m)
		out := append([]byte{}, parts[1]...)
		value := string(parts[2])
		words := strings.Fields(value[1 : len(value)-1])
		for i, w := range words {
			words[i] = absoluteName(w)
		}
		if len(words) == 0 {
			return m
		}
		out = append(out, value[0])
		out = append(out, strings.Join(words, " ")...)
		return append(out, value[0])
	})
	return fstest.MapFS{name: &fstest.MapFile{Data: src}}.Open(name)
}

// absoluteName puts a scheme before a relative name. What is no URI reference at
// all stays what it is.
func absoluteName(name string) string {
	segment, _, colon := strings.Cut(name, ":")
	switch {
	case strings.HasPrefix(name, "##"), colon && !strings.ContainsAny(segment, "/?#"):
		return name
	case strings.HasPrefix(name, "#"):
		return "relative-fragment:/" + name
	}
	return "relative:" + name
}

func validateW3C(s *Schema, bundle fs.FS, instance string, hints w3cHints, units bool) (err error) {
	defer caught(&err)
	src, err := fs.ReadFile(bundle, instance)
	if err != nil {
		return err
	}
	if hints.wrong != "" {
		return errors.New(hints.wrong)
	}
	if units {
		src = codeUnits(src)
	}
	var tape xmltape.Tape
	if err := tape.Parse(src, xmltape.Widest); err != nil { // the limits of the door are not what is tested
		return err
	}
	v := s.NewValidator()
	v.Root = TypedRoot // the suite has instances whose root only xsi:type knows
	if len(hints.found) > 0 && hints.missing[tape.Root().Space()] {
		v.Root = LaxRoot // the schema of the root's namespace is not in this copy of the suite
	}
	return v.Validate(tape.Root())
}

// w3cHints are what the schemaLocation attributes of an instance say. The
// suite's tests without a schema of their own rely on them; the product never
// follows them.
type w3cHints struct {
	found   []string
	missing map[string]bool // by namespace: named, but not in this copy of the suite
	wrong   string          // a hint that Part 1, 4.3.2 forbids
}

func readHints(bundle fs.FS, instance string) (h w3cHints) {
	h.missing = map[string]bool{}
	src, err := fs.ReadFile(bundle, instance)
	if err != nil {
		return h
	}
	var tape xmltape.Tape
	if tape.Parse(src, xmltape.Limits{}) != nil {
		return h
	}
	used, seen := map[string]bool{}, map[string]bool{}
	hint := func(space, location string) {
		p := path.Join(path.Dir(instance), location)
		if seen[p] {
			return
		}
		seen[p] = true
		if used[space] {
			h.wrong = fmt.Sprintf("a schema for namespace %q is named after its first use", space)
		}
		src, err := fs.ReadFile(bundle, p)
		if err != nil {
			h.missing[space] = true
			return
		}
		h.found = append(h.found, p)
		var schema xmltape.Tape
		if schema.Parse(src, xmltape.Limits{}) == nil {
			if target, _ := schema.Root().Attr("", "targetNamespace"); target != space {
				h.wrong = fmt.Sprintf("the schema named for namespace %q is one for %q", space, target)
			}
		}
	}
	for i := range tape.Tokens {
		n := tape.NodeAt(i)
		if !n.Valid() {
			continue
		}
		if v, ok := n.Attr(xsiSpace, "schemaLocation"); ok {
			f := strings.Fields(v)
			for k := 1; k < len(f); k += 2 {
				hint(absoluteName(f[k-1]), f[k])
			}
		}
		if v, ok := n.Attr(xsiSpace, "noNamespaceSchemaLocation"); ok {
			hint("", strings.TrimSpace(v))
		}
		used[n.Space()] = true
	}
	return h
}

// otherNamespaces are the documents that an instance names for the namespace of
// its root when the schemas of the test do not speak of that namespace.
func otherNamespaces(bundle fs.FS, test w3cTest) []string {
	src, err := fs.ReadFile(bundle, test.instance)
	if err != nil {
		return nil
	}
	var tape xmltape.Tape
	if tape.Parse(src, xmltape.Limits{}) != nil {
		return nil
	}
	root := tape.Root().Space()
	for _, s := range test.schemas {
		src, err := fs.ReadFile(bundle, s)
		if err != nil {
			return nil
		}
		if bytes.Contains(src, []byte(root)) {
			return nil // its own, or imported
		}
	}
	var out []string
	for _, p := range readHints(bundle, test.instance).found {
		if !slices.Contains(test.schemas, p) {
			out = append(out, p)
		}
	}
	return out
}

func w3cDir(t *testing.T) string {
	t.Helper()
	if *xstsDir != "" {
		for _, d := range []string{*xstsDir, filepath.Join(repository(t), *xstsDir)} {
			if _, err := os.Stat(filepath.Join(d, "tests.tsv")); err == nil {
				return d
			}
		}
		t.Fatalf("-xsts %s: no tests.tsv there", *xstsDir)
	}
	d := filepath.Join(repository(t), "..", "shared", "xsts")
	if _, err := os.Stat(filepath.Join(d, "tests.tsv")); err != nil {
		t.Skipf("the W3C suite is not at %s; give its folder with -args -xsts DIR", d)
	}
	return d
}

// repository is the folder of go.mod.
func repository(t testing.TB) string {
	t.Helper()
	d, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
		up := filepath.Dir(d)
		if up == d {
			t.Fatal("no go.mod above the package")
		}
		d = up
	}
}

// readW3C reads tests.tsv. Paths are relative to its folder; when some lead out
// of it, or are absolute, the root of all is that of the file system. strays are
// lines that are no tests.
func readW3C(t *testing.T, dir string) (root string, tests []w3cTest, strays int) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "tests.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	within := true
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		line := strings.TrimRight(strings.TrimPrefix(scan.Text(), "\ufeff"), "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		lines = append(lines, line)
		for _, c := range strings.Split(line, "\t")[min(4, strings.Count(line, "\t")):] {
			for p := range strings.SplitSeq(c, "|") {
				within = within && fs.ValidPath(path.Clean(p))
			}
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	place := path.Clean
	if root = dir; !within {
		root = string(filepath.Separator)
		place = func(p string) string {
			if !path.IsAbs(p) {
				p = path.Join(filepath.ToSlash(abs), p)
			}
			return strings.TrimLeft(path.Clean(p), "/")
		}
	}
	for _, line := range lines {
		c := strings.Split(line, "\t")
		for len(c) < 6 {
			c = append(c, "")
		}
		test := w3cTest{kind: c[0], contributor: c[1], id: c[2], valid: c[3] == "valid"}
		for s := range strings.SplitSeq(c[4], "|") {
			if s != "" {
				test.schemas = append(test.schemas, place(s))
			}
		}
		if c[5] != "" {
			test.instance = place(c[5])
		}
		switch {
		case c[3] != "valid" && c[3] != "invalid",
			test.kind != "S" && test.kind != "I",
			test.kind == "S" && len(test.schemas) == 0,
			test.kind == "I" && test.instance == "":
			strays++
		default:
			tests = append(tests, test)
		}
	}
	return root, tests, strays
}
