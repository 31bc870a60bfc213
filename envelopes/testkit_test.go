package envelopes

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testdata = "../testdata/envelopes"

// signature stands for a ds:Signature; these tests prove nothing by it.
const signature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature>`

// someContent is a business document whose meaning depends on its context:
// prefixes in QName values and an element without a namespace prefix.
const someContent = `<q:Запрос xmlns:q="urn://test/register/1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Id="PERSONAL_SIGNATURE"><q:Кому xsi:type="q:Лицо">Иванов &amp; сыновья</q:Кому></q:Запрос>`

var (
	someTime  = time.Date(2026, 2, 27, 7, 1, 4, 0, moscow)
	someID    = "b5a7f0a0-5a10-11ee-8c99-0242ac120002"
	otherID   = "c0de0a3e-5a10-11ee-8c99-0242ac120002"
	someReply = "eyJzaWQiOjgwMDgwLCJtaWQiOiJiNWE3ZjBhMCJ9"
)

// element parses a document and gives its root.
func element(t testing.TB, doc string) xmltape.Node {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatalf("parse %s: %v", doc, err)
	}
	return tape.Root()
}

// parse reads a call that must be let in.
func parse(t testing.TB, contentType string, body []byte) *Envelope {
	t.Helper()
	e, err := Parse(contentType, body, new(xmltape.Tape), Limits{})
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, body)
	}
	return e
}

// proof stands for a verified signature over the element in the right place.
func proof(e *Envelope) Proven {
	_, target := e.Caller()
	return placed{target}
}

// golden compares with a file of testdata/envelopes, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(testdata, name)
	got = stable(got)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
	}
}

var randomID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// stable replaces random UUIDs (version 4) by a fixed one.
func stable(b []byte) []byte {
	return randomID.ReplaceAll(b, []byte("00000000-0000-4000-8000-000000000000"))
}

// xmllint validates the only child of Body against the schemas of a version
// with libxml2, an implementation that is not ours.
func xmllint(t *testing.T, v Version, envelope []byte) {
	t.Helper()
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	n := element(t, string(envelope))
	body := n.Child(SOAPSpace, "Body").First()
	if body.Is(SOAPSpace, "Fault") {
		body = body.Child("", "detail").First()
	}
	dir := t.TempDir()
	for _, name := range Documents(v) {
		b, err := os.ReadFile(filepath.Join("schemas", v.String(), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="` + v.TypesSpace() + `" schemaLocation="smev-message-exchange-types-` + v.String() + `.xsd"/><xs:import namespace="` + v.FaultsSpace() + `" schemaLocation="smev-message-exchange-faults-` + v.String() + `.xsd"/></xs:schema>`
	if err := os.WriteFile(filepath.Join(dir, "all.xsd"), []byte(all), 0o644); err != nil {
		t.Fatal(err)
	}
	// The lax wildcards of 1.3 would want the schema of the content's xsi:type.
	untyped := bytes.ReplaceAll(inContext(body), []byte(` xsi:type="q:Лицо"`), nil)
	if err := os.WriteFile(filepath.Join(dir, "doc.xml"), untyped, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "--noout", "--nonet", "--schema", filepath.Join(dir, "all.xsd"), filepath.Join(dir, "doc.xml")).CombinedOutput()
	if err != nil {
		t.Errorf("xmllint: %.1000s", out)
	}
}

// inContext writes an element as a document of its own, with the declarations
// that it inherits added to its start tag.
func inContext(n xmltape.Node) []byte {
	src := n.Bytes()
	tok := n.Token()
	own := map[string]bool{}
	for i := range n.Tape().Decls[tok.Decl : tok.Decl+uint32(tok.NDecl)] {
		own[string(n.Tape().DeclPrefix(&n.Tape().Decls[int(tok.Decl)+i]))] = true
	}
	var b strings.Builder
	at := 1 + int(tok.NameLen)
	b.Write(src[:at])
	for _, d := range n.Parent().InScope() {
		if own[d.Prefix] {
			continue
		}
		if d.Prefix == "" {
			b.WriteString(` xmlns="` + d.URI + `"`)
		} else {
			b.WriteString(` xmlns:` + d.Prefix + `="` + d.URI + `"`)
		}
	}
	b.Write(src[at:])
	return []byte(b.String())
}
