package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// A link of a document leads to a file that is there, and to a heading that the file has.
func TestLinksOfDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	found := 0
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "../.." && (strings.HasPrefix(d.Name(), ".git") || d.Name() == "testdata" || d.Name() == "mezhved-demo" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if to.Scheme != "" {
				continue
			}
			found++
			file := name
			if to.Path != "" {
				file = filepath.Join(filepath.Dir(name), to.Path)
			}
			there, err := os.Stat(file)
			switch {
			case err != nil:
				t.Errorf("%s leads to %s, which is not there", name, m[1])
			case to.Fragment != "" && !there.IsDir() && !anchors(t, file)[to.Fragment]:
				t.Errorf("%s leads to %s: there is no such heading", name, m[1])
			}
		}
		return nil
	})
	if err != nil || found < 20 {
		t.Fatalf("%d links, %v", found, err)
	}
}

// anchors are the names of the headings of a Markdown file, as the usual renderers
// make them.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(title)) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				b.WriteRune(r)
			}
		}
		out[b.String()] = true
	}
	return out
}
