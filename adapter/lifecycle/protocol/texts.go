package protocol

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Text is a sample or a reference message of a version: content that is tried.
type Text struct {
	File    string // in the version's folder, with /
	Content []byte
	Kind    Kind   // Sample, Negative or Reference
	Rule    string // Negative: what must refuse it, cvc-… or a fault's name; empty: anything may
	About   string // Negative: what is wrong with it, for people
	Answer  *Text  // Reference: the answer that belongs to the request; nil: it is not answered
}

// refusedSuffix ends the name of a sample that shows what is refused.
const refusedSuffix = "-refused"

// refusedBy is how a negative sample says what must refuse it: a comment before its
// root, <!-- refused by cvc-pattern-valid: what is wrong -->.
var refusedBy = regexp.MustCompile(`^(?:\s|<\?[^>]*\?>)*<!--\s*refused by\s+([A-Za-z][A-Za-z0-9.\-]*)\s*(?::\s*((?s:.*?)))?\s*-->`)

// ReadTexts reads what a version's folder has to try:
//
//	samples/*.xml                content that must pass; NAME-refused.xml: that must not
//	samples/invalid/*.xml        content that must be refused, by the rule in its comment
//	reference/NAME/request.xml   a request, and response.xml beside it the answer that belongs to it
//
// A file that cannot be read, or does not say which rule refuses it, is a Flaw. The
// order is that of the names.
func ReadTexts(dir string) (out []Text, flaws []Flaw) {
	read := func(name string) ([]byte, bool) {
		src, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			flaws = append(flaws, Flaw{name, errors.Unwrap(err).Error(), errors.Unwrap(err).Error()})
		}
		return src, err == nil
	}
	for _, name := range list(dir, Samples, &flaws) {
		src, ok := read(name)
		if !ok {
			continue
		}
		one := Text{File: name, Content: src, Kind: Sample}
		if strings.HasSuffix(strings.TrimSuffix(name, ".xml"), refusedSuffix) {
			one.Kind = Negative
			one.reason()
		}
		out = append(out, one)
	}
	for _, name := range list(dir, Invalid, &flaws) {
		src, ok := read(name)
		if !ok {
			continue
		}
		one := Text{File: name, Content: src, Kind: Negative}
		if !one.reason() {
			flaws = append(flaws, Flaw{name, "does not say which rule must refuse it: begin it with <!-- refused by RULE: what is wrong -->", "не сказано, какое правило его отклоняет: начните файл с <!-- refused by ПРАВИЛО: что в нём неверно -->"})
			continue
		}
		out = append(out, one)
	}
	cases, err := os.ReadDir(filepath.Join(dir, References))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		flaws = append(flaws, Flaw{References, errors.Unwrap(err).Error(), errors.Unwrap(err).Error()})
	}
	for _, c := range cases {
		if !c.IsDir() || hidden(c.Name()) {
			continue
		}
		name := path.Join(References, c.Name())
		src, ok := read(name + "/request.xml")
		if !ok {
			flaws = append(flaws, Flaw{name, "has no request.xml", "нет файла request.xml"})
			continue
		}
		one := Text{File: name + "/request.xml", Content: src, Kind: Reference}
		if answer, ok := read(name + "/response.xml"); ok {
			one.Answer = &Text{File: name + "/response.xml", Content: answer, Kind: Reference}
		}
		out = append(out, one)
	}
	return out, flaws
}

// reason reads what must refuse a negative sample.
func (t *Text) reason() bool {
	m := refusedBy.FindSubmatch(t.Content)
	if m == nil {
		return false
	}
	t.Rule, t.About = string(m[1]), strings.Join(strings.Fields(string(m[2])), " ")
	return true
}

// RefusedBy says that a rule is the one that must refuse a negative sample: cvc-identity-
// constraint stands for all its clauses.
func (t *Text) RefusedBy(rule string) bool {
	return t.Rule == "" || rule == t.Rule || strings.HasPrefix(rule, t.Rule+".")
}

// list are the .xml files of one folder, by name.
func list(dir, sub string, flaws *[]Flaw) (out []string) {
	names, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(sub)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		*flaws = append(*flaws, Flaw{sub, errors.Unwrap(err).Error(), errors.Unwrap(err).Error()})
	}
	for _, n := range names {
		if !n.IsDir() && !hidden(n.Name()) && filepath.Ext(n.Name()) == ".xml" {
			out = append(out, path.Join(sub, n.Name()))
		}
	}
	slices.Sort(out)
	return out
}

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }
