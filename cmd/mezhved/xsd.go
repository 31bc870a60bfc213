package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

type xsdCmd struct {
	Validate xsdValidateCmd `cmd:"" help:"Validate documents against a schema."`
	Lint     xsdLintCmd     `cmd:"" help:"Check a schema, and against the rules for registration in SMEV."`
	Compat   xsdCompatCmd   `cmd:"" help:"Say what a sender must change between two versions of a schema."`
	Explain  xsdExplainCmd  `cmd:"" help:"Show what a document looks like, or what a rule means."`
}

// schemaFlags name a bundle: the documents given and all that they include.
type schemaFlags struct {
	Lang string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (f *schemaFlags) language() xsd.Language {
	if f.Lang == "ru" {
		return xsd.Russian
	}
	return xsd.English
}

// bundle opens a folder, all of whose schemas are roots, or one schema, whose
// folder is the world that it may import from.
func bundle(name string) (fsys fs.FS, roots []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	dir := name
	if !info.IsDir() {
		dir, roots = filepath.Dir(name), []string{filepath.Base(name)}
	}
	root, err := os.OpenRoot(dir) // unlike os.DirFS it follows no link out of the folder
	if err != nil || roots != nil {
		return rootFS(root), roots, err
	}
	found, err := filepath.Glob(filepath.Join(name, "*.xsd"))
	if err != nil {
		return nil, nil, err
	}
	for _, one := range found {
		roots = append(roots, filepath.Base(one))
	}
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("%s holds no .xsd file", name)
	}
	return rootFS(root), roots, nil
}

// rootFS is the folder as a file system; it stays open as long as the program.
func rootFS(root *os.Root) fs.FS {
	if root == nil {
		return nil
	}
	return root.FS()
}

func compileBundle(name string) (*xsd.Schema, error) {
	fsys, roots, err := bundle(name)
	if err != nil {
		return nil, usage(err)
	}
	s, err := xsd.Compile(fsys, roots, xsd.Options{})
	if err != nil {
		return nil, usage(fmt.Errorf("%s is no valid schema:\n%w", name, err))
	}
	return s, nil
}

type xsdValidateCmd struct {
	schemaFlags
	Schema string   `required:"" short:"s" placeholder:"FILE|DIR" help:"Schema, or a folder of schemas."`
	Files  []string `arg:"" help:"XML documents; - is standard input."`
}

func (xsdValidateCmd) Help() string {
	return `Exit code 1: a document is not valid. Exit code 2: a file cannot be read, or the schema is none.

Example:
  mezhved xsd validate --schema services/egrn-extract/1.1.0 request.xml`
}

// violationJSON is one violation for programs.
type violationJSON struct {
	File     string   `json:"file"`
	Rule     string   `json:"rule"`
	Line     int      `json:"line"`
	Col      int      `json:"col"`
	XPath    string   `json:"xpath"`
	Found    string   `json:"found,omitempty"`
	Expected []string `json:"expected,omitempty"`
	Text     string   `json:"text"`
}

func (c *xsdValidateCmd) Run(out *stdio) error {
	s, err := compileBundle(c.Schema)
	if err != nil {
		return err
	}
	v := s.NewValidator()
	var tape xmltape.Tape
	found := []violationJSON{}
	for _, name := range c.Files {
		src, err := readInput(out, name)
		if err != nil {
			return err
		}
		if err := tape.Parse(src, xmltape.Limits{Size: 1 << 30}); err != nil {
			return usage(fmt.Errorf("%s: %w", name, err))
		}
		err = v.Validate(tape.Root())
		var invalid *xsd.Invalid
		if err != nil && !errors.As(err, &invalid) {
			return usage(fmt.Errorf("%s: %w", name, err))
		}
		if invalid != nil {
			for _, one := range invalid.Violations {
				text := one.English()
				if c.Lang == "ru" {
					text = one.Russian()
				}
				found = append(found, violationJSON{name, one.Rule, one.Line, one.Col, one.XPath, one.Found, one.Expected, text})
			}
		} else if !c.JSON {
			fmt.Fprintf(out.out, "%s: valid\n", name)
		}
	}
	if c.JSON {
		if err := printJSON(out.out, found); err != nil {
			return err
		}
	} else {
		for _, one := range found {
			fmt.Fprintf(out.out, "%s:%d:%d: %s: %s: %s\n", one.File, one.Line, one.Col, one.Rule, one.XPath, one.Text)
		}
	}
	if len(found) > 0 {
		return no(errSaid)
	}
	return nil
}

type xsdLintCmd struct {
	schemaFlags
	Schema    string `arg:"" help:"Schema, or a folder of schemas."`
	Request   string `placeholder:"{NS}ROOT" help:"Root of the request, {namespace}root."`
	Response  string `placeholder:"{NS}ROOT" help:"Root of the response, {namespace}root."`
	Broadcast bool   `help:"The service is a broadcast: there is no response."`
}

func (xsdLintCmd) Help() string {
	return `Exit code 1 says that the schema cannot be registered.

Example:
  mezhved xsd lint services/egrn-extract/1.1.0 --request '{urn://mezhved/demo/egrn-extract/1.1.0}ExtractRequest'`
}

func (c *xsdLintCmd) Run(out *stdio) error {
	fsys, roots, err := bundle(c.Schema)
	if err != nil {
		return usage(err)
	}
	reg := xsd.Registration{Broadcast: c.Broadcast}
	if reg.Request, err = parseName(c.Request); err != nil {
		return usage(err)
	}
	if reg.Response, err = parseName(c.Response); err != nil {
		return usage(err)
	}
	remarks, err := xsd.Lint(fsys, roots, reg, xsd.Options{})
	if err != nil {
		return usage(err)
	}
	type remark struct {
		Severity string `json:"severity"`
		Text     string `json:"text"`
	}
	list, faults := []remark{}, 0
	for _, r := range remarks {
		text := r.Finding.String()
		if c.Lang == "ru" {
			text = r.Russian()
		}
		list = append(list, remark{r.Severity.String(), text})
		if r.Severity == xsd.Fault {
			faults++
		}
	}
	if c.JSON {
		err = printJSON(out.out, list)
	} else {
		for _, r := range list {
			fmt.Fprintf(out.out, "%-7s %s\n", r.Severity, r.Text)
		}
		fmt.Fprintf(out.out, "%d faults, %d other remarks\n", faults, len(list)-faults)
	}
	if faults > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

// parseName reads {namespace}local; the empty string is the zero Name.
func parseName(s string) (xsd.Name, error) {
	if s == "" {
		return xsd.Name{}, nil
	}
	space, local, ok := strings.Cut(strings.TrimPrefix(s, "{"), "}")
	if !ok || !strings.HasPrefix(s, "{") {
		return xsd.Name{}, fmt.Errorf("%q: {namespace}root is expected", s)
	}
	return xsd.Name{Space: space, Local: local}, nil
}

type xsdCompatCmd struct {
	schemaFlags
	Old     string `arg:"" help:"Old schema, or its folder."`
	New     string `arg:"" help:"New schema, or its folder."`
	Root    string `required:"" placeholder:"{NS}ROOT" help:"Root of the documents in the old schema."`
	NewRoot string `placeholder:"{NS}ROOT" help:"Root in the new schema, if its name is another."`
}

func (xsdCompatCmd) Help() string {
	return `Lists what changed for somebody who sends documents. A line with ! says that documents that were valid may now be
refused; exit code 1 says that there is such a line.

Example:
  mezhved xsd compat services/egrn-extract/1.0.0 services/egrn-extract/1.1.0 \
    --root '{urn://mezhved/demo/egrn-extract/1.0.0}ExtractRequest' --new-root '{urn://mezhved/demo/egrn-extract/1.1.0}ExtractRequest'`
}

func (c *xsdCompatCmd) Run(out *stdio) error {
	before, err := compileBundle(c.Old)
	if err != nil {
		return err
	}
	after, err := compileBundle(c.New)
	if err != nil {
		return err
	}
	from, err := parseName(c.Root)
	if err != nil {
		return usage(err)
	}
	to := from
	if c.NewRoot != "" {
		if to, err = parseName(c.NewRoot); err != nil {
			return usage(err)
		}
	}
	changes, err := xsd.Compare(before, after, from, to)
	if err != nil {
		return usage(err)
	}
	type change struct {
		Breaking bool     `json:"breaking"`
		Kind     string   `json:"kind"`
		Path     string   `json:"path"`
		Removed  []string `json:"removed,omitempty"`
		Added    []string `json:"added,omitempty"`
		Text     string   `json:"text"`
	}
	list, breaking := []change{}, 0
	for _, one := range changes {
		text := one.English()
		if c.Lang == "ru" {
			text = one.Russian()
		}
		list = append(list, change{one.Breaking, one.Kind, one.Path, one.Removed, one.Added, text})
		if one.Breaking {
			breaking++
		}
	}
	if c.JSON {
		err = printJSON(out.out, list)
	} else {
		for _, one := range list {
			fmt.Fprintf(out.out, "%s %s: %s\n", map[bool]string{true: "!", false: " "}[one.Breaking], one.Path, one.Text)
		}
		fmt.Fprintf(out.out, "%d changes, %d of them breaking\n", len(list), breaking)
	}
	if breaking > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

type xsdExplainCmd struct {
	schemaFlags
	Schema string `arg:"" help:"Schema or folder, or a rule such as cvc-pattern-valid."`
	Root   string `arg:"" optional:"" help:"{namespace}root of the document to outline."`
}

func (xsdExplainCmd) Help() string {
	return `Examples:
  mezhved xsd explain services/egrn-extract/1.1.0 '{urn://mezhved/demo/egrn-extract/1.1.0}ExtractRequest'
  mezhved xsd explain cvc-complex-type.2.4.a --lang ru`
}

func (c *xsdExplainCmd) Run(out *stdio) error {
	if c.Root == "" {
		text := xsd.Rule(c.Schema, c.language())
		if text == "" {
			return no(fmt.Errorf("%q is no rule that is known; for a schema, name the root of its documents too", c.Schema))
		}
		_, err := fmt.Fprintln(out.out, text)
		return err
	}
	s, err := compileBundle(c.Schema)
	if err != nil {
		return err
	}
	root, err := parseName(c.Root)
	if err != nil {
		return usage(err)
	}
	if err := s.Outline(out.out, root, c.language()); err != nil {
		return usage(err)
	}
	return nil
}
