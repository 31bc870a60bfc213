package xsd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDictionaries: an import that does not say where its dictionary lies finds
// it by the catalog.
func TestDictionaries(t *testing.T) {
	property := propertyBundle(t)
	service := edited(t, property, "request.xsd", ` schemaLocation="common/okato.xsd"`, "")
	if _, err := Compile(service, []string{"request.xsd"}, Options{}); err == nil || !strings.Contains(err.Error(), "src-resolve") {
		t.Errorf("without knowing where the dictionary lies: got %v, want src-resolve", err)
	}
	s, err := Compile(service, []string{"request.xsd"}, Options{Catalog: map[string]string{"urn://cnsi-dictionary/types/okato/1.0.0": "common/okato.xsd"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(parseTape(t, propertyDocument(2000)).Root()); err != nil {
		t.Error(err)
	}
}

// TestNoWayOut: a link in the bundle's folder does not lead out of it when the
// folder is opened as a root.
func TestNoWayOut(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside.xsd")
	inside := filepath.Join(dir, "bundle")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, inSchema(`<xs:element name="secret"/>`))
	write(filepath.Join(inside, "a.xsd"), inSchema(`<xs:include schemaLocation="link.xsd"/>`))
	if err := os.Symlink(outside, filepath.Join(inside, "link.xsd")); err != nil {
		t.Skip(err)
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if s, err := Compile(root.FS(), []string{"a.xsd"}, Options{}); err == nil {
		t.Errorf("a link led out of the bundle: %v", s.Files())
	}
}
