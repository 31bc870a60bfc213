package parcel_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"mezhved/adapter/lifecycle/parcel"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
)

const demo = "../../../testdata/services/"

func demoFile(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(demo + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// zipped makes a zip in a fresh folder.
func zipped(t *testing.T, name string, files ...[2]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f[0], Method: zip.Deflate, NonUTF8: !strings.Contains(f[0], "Сх") && strings.ContainsAny(f[0], "\x80\x9f\xae")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func in1251(t *testing.T, s string) string {
	t.Helper()
	out, err := charmap.Windows1251.NewEncoder().String(strings.Replace(s, `encoding="UTF-8"`, `encoding="windows-1251"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// register lays a provider, so that the imported service is whole.
func lint(t *testing.T, services string) (*registry.Catalog, string) {
	t.Helper()
	parties := t.TempDir()
	c, found := registry.Lint(services, filepath.Join(parties, "none"), time.Now())
	found = append(found, scenario.LintAll(services, c, time.Now())...)
	var bad []string
	for _, f := range found {
		if !strings.Contains(f.Text, "there is no such folder") {
			bad = append(bad, f.String())
		}
	}
	return c, strings.Join(bad, "\n")
}

// A package as offices have it becomes a service that lint finds nothing wrong with, and
// whose scenarios answer each sample request with its own sample answer.
func TestImport(t *testing.T) {
	request := demoFile(t, "egrn-extract/1.1.0/samples/request.xml")
	response := demoFile(t, "egrn-extract/1.1.0/samples/response.xml")
	other := strings.ReplaceAll(request, "50:21:0110103:512", "77:01:000101:42")
	enveloped := `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:c="urn://mezhved/demo/common/1.0.0"><S:Body><m:MessagePrimaryContent xmlns:m="urn:m">` +
		strings.Replace(response, ` xmlns:c="urn://mezhved/demo/common/1.0.0"`, "", 1) + `</m:MessagePrimaryContent></S:Body></S:Envelope>`
	enveloped = strings.Replace(enveloped, "3400517", "3400518", 1)
	types := strings.Replace(demoFile(t, "egrn-extract/1.1.0/types.xsd"), "types.xsd", "", 1)
	schemas := zipped(t, "XSDShemas_4711.zip",
		[2]string{"XSDShemas_4711/egrn-extract.xsd", strings.Replace(demoFile(t, "egrn-extract/1.1.0/egrn-extract.xsd"), `schemaLocation="types.xsd"`, `schemaLocation="http://example.org/types.xsd"`, 1)},
		[2]string{"XSDShemas_4711/commons/Типы.xsd", in1251(t, types)},
		[2]string{"../evil.xsd", "<x/>"})
	samples := zipped(t, "SampleMessages_4711.zip",
		[2]string{"Request0.xml", request}, [2]string{"Response0.xml", response}, [2]string{"Request1.xml", other}, [2]string{"Response1.xml", enveloped},
		[2]string{"Request2.xml", demoFile(t, "egrn-extract/1.1.0/samples/request-refused.xml")}, [2]string{"описание.docx", "x"}, [2]string{"broken.xml", "<a>"}, [2]string{"foreign.xml", "<a xmlns='urn:b'/>"})
	services := filepath.Join(t.TempDir(), "services")
	r, err := parcel.Import([]string{schemas, samples}, parcel.Options{Services: services, Provider: "ROSREESTR"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "mezhved-demo-egrn-extract" || r.Version != "1.1.0" || r.Request != "ExtractRequest" || r.Response != "ExtractResponse" || r.Title != "Выписка из Единого государственного реестра недвижимости." {
		t.Errorf("understood: %+v", r)
	}
	said := r.Findings.Error()
	for _, want := range []string{
		"XSDShemas_4711.zip/../evil.xsd: is left out: the name leads out of the package",
		"commons/Типы.xsd: was in windows-1251 and is written in UTF-8",
		"Response1.xml: is an envelope: its content was taken",
		"Request2.xml: warning: does not hold against the schema: line ", "Request2.xml: is laid down as samples/request-refused.xml",
		"описание.docx: is left out: it is neither", "broken.xml: warning: is left out: line 1, column ", "foreign.xml: warning: is left out: its root is {urn:b}a",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("not said: %s", want)
		}
	}
	for _, f := range r.Findings {
		if text := f.Russian().Text; strings.Contains(text, " is ") || strings.Contains(text, "was in") {
			t.Errorf("in Russian: %s", text)
		}
	}
	c, bad := lint(t, services)
	if bad != "" || len(c.Services()) != 1 || c.Services()[0].Stage != registry.StageDraft {
		t.Fatalf("lint of what was made:\n%s\n%s", bad, said)
	}
	set, found := scenario.Open(r.Dir, scenario.Of(c.Services()[0], nil))
	if len(found) > 0 || len(set.Scenarios) != 2 { // none that no sample leads to
		t.Fatalf("%d scenarios, %v", len(set.Scenarios), found)
	}
	for content, want := range map[string]string{request: "3400517", other: "3400518", strings.Replace(other, "77:01", "78:01", 1): "3400517"} {
		tape := new(xmltape.Tape)
		if err := tape.Parse([]byte(content), xmltape.Limits{}); err != nil {
			t.Fatal(err)
		}
		p, err := set.Play(scenario.Request{Content: tape.Root(), Received: time.Now()}, &scenario.State{})
		if err != nil || !strings.Contains(string(p.Steps[0].Content), want) {
			t.Errorf("answered by %v, %v, want %s", p, err, want)
		}
	}
	if _, err := parcel.Import([]string{schemas, samples}, parcel.Options{Services: services}); !errors.Is(err, parcel.ErrThere) {
		t.Errorf("a second time: %v", err)
	}
	if list, _ := os.ReadDir(filepath.Join(services, r.Name)); len(list) != 1 {
		t.Errorf("something half done is left: %v", list)
	}
}

// Every demonstration service is understood from its schemas and samples alone.
func TestEveryDemoServiceIsUnderstood(t *testing.T) {
	dirs, err := filepath.Glob(demo + "*/*/service.yaml")
	if err != nil || len(dirs) < 6 {
		t.Fatalf("%v, %v", dirs, err)
	}
	services := t.TempDir()
	for _, d := range dirs {
		dir := t.TempDir()
		for _, from := range []string{"*.xsd", "samples/*.xml"} {
			names, _ := filepath.Glob(filepath.Join(filepath.Dir(d), from))
			for _, n := range names {
				src, err := os.ReadFile(n)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, filepath.Base(n)), src, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := parcel.Import([]string{dir}, parcel.Options{Services: services, Provider: "X"}); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
	c, bad := lint(t, services)
	if bad != "" || len(c.Services()) != len(dirs) {
		t.Errorf("%d services of %d:\n%s", len(c.Services()), len(dirs), bad)
	}
}

// What cannot be understood is an error that says what to do.
func TestWhatIsNoPackage(t *testing.T) {
	text := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(text, []byte("no zip"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		text: "x.zip: zip: not a valid zip file",
		zipped(t, "a.zip", [2]string{"a.xml", "<a/>"}): "there is no schema",
		zipped(t, "b.zip", [2]string{"a.xsd", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a"><xs:element name="a"/></xs:schema>`}): "no root of requests could be found",
		"/nonexistent.zip": "no such file",
	} {
		if _, err := parcel.Import([]string{name}, parcel.Options{Services: t.TempDir()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// What a package says becomes a value of service.yaml and no setting of it: neither by its
// namespace nor by the name of a file.
func TestAPackageSetsNothing(t *testing.T) {
	xsd := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:probe/1.0.0&#10;delivery: stream&#10;limits: {queue: 1}"><xs:element name="ProbeRequest" type="xs:string"/><xs:element name="ProbeResponse" type="xs:string"/></xs:schema>`
	services := t.TempDir()
	file := zipped(t, "XSDShemas_1.zip", [2]string{"схема, ред. 2 [new]: #1.xsd", xsd})
	if _, err := parcel.Import([]string{file}, parcel.Options{Services: services}); err == nil || !strings.Contains(err.Error(), "cannot be the name of a folder") {
		t.Errorf("a folder of two lines: %v", err)
	}
	r, err := parcel.Import([]string{file}, parcel.Options{Services: services, Name: "probe", Version: "1.0.0", Provider: "REG"})
	if err != nil {
		t.Fatal(err)
	}
	c, found := lint(t, services)
	s := c.Service("probe", "1.0.0")
	if s == nil || s.Stream || s.QueueLimit != 0 || s.Request.Space != r.Namespace || s.Schema == nil {
		src, _ := os.ReadFile(filepath.Join(r.Dir, "service.yaml"))
		t.Errorf("got %+v\n%s\n%s", s, found, src)
	}
}

// Files of one name, of many packages, each get a name that a file can have; one that would
// speak to a terminal is left out.
func TestNamesOfFiles(t *testing.T) {
	xsd := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:probe/1.0.0"><xs:element name="ProbeRequest%" type="xs:string"/></xs:schema>`
	var files []string
	for i := range 120 {
		files = append(files, zipped(t, "XSDShemas_1.zip", [2]string{"types.xsd", strings.Replace(xsd, "%", strings.Repeat("A", i), 1)}))
	}
	files = append(files, zipped(t, "SampleMessages_1.zip", [2]string{"\x1b[31mred.xml", "<a/>"}))
	r, err := parcel.Import(files, parcel.Options{Services: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "types-120.xsd")); err != nil {
		t.Error(err)
	}
	if said := r.Findings.Error(); strings.Contains(said, "\x1b") || !strings.Contains(said, "there are control characters in the name") {
		t.Errorf("said %q", said)
	}
}
