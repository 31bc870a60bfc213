package party_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// TestServedSchemas lets the project's own schema engine, which does not know
// envelopes, compile the schemas that are served and judge every golden call,
// answer and fault by them.
func TestServedSchemas(t *testing.T) {
	for _, v := range envelopes.Versions {
		var roots []string
		for _, name := range envelopes.Documents(v) {
			if strings.HasSuffix(name, ".xsd") {
				roots = append(roots, name)
			}
		}
		schema, err := xsd.Compile(envelopes.SchemaFS(v), roots, xsd.Options{})
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		validator := schema.NewValidator()
		judged := 0
		for _, pattern := range []string{"*.xml", "fault/*.xml"} {
			files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "envelopes", v.String(), pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				// The lax wildcards of 1.3 would want the schema of the content's xsi:type.
				b = bytes.ReplaceAll(b, []byte(` xsi:type="q:Лицо"`), nil)
				tape := new(xmltape.Tape)
				if err := tape.Parse(b, xmltape.Limits{}); err != nil {
					t.Fatal(err)
				}
				n := tape.Root().Child(envelopes.SOAPSpace, "Body").First()
				if n.Is(envelopes.SOAPSpace, "Fault") {
					n = n.Child("", "detail").First()
				}
				if err := validator.Validate(n); err != nil {
					t.Errorf("%s: %v", file, err)
				}
				judged++
			}
		}
		if judged < 40 {
			t.Errorf("%s: only %d documents were judged", v, judged)
		}
	}
}
