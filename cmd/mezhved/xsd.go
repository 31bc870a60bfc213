package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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

// treeFlags say how far imports may lead.
type treeFlags struct {
	Within string `name:"root" placeholder:"DIR" help:"Folder that the schema may import from; default: the one it is in."`
}

// bundle opens a folder, all of whose schemas are roots, those in folders below
// it too, or one schema. within is the folder that it may import from; empty: the
// schema's own.
func bundle(name, within string) (fsys fs.FS, roots []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	dir := name
	if !info.IsDir() {
		dir = filepath.Dir(name)
	}
	if within == "" {
		within = dir
	}
	from, err := relativeTo(within, name)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(within) // unlike os.DirFS it follows no link out of the folder
	if err != nil {
		return nil, nil, err
	}
	fsys = root.FS() // open as long as the program
	if !info.IsDir() {
		return fsys, []string{from}, nil
	}
	err = fs.WalkDir(fsys, from, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(p) == ".xsd" {
			roots = append(roots, p)
		}
		return err
	})
	if err == nil && len(roots) == 0 {
		err = fmt.Errorf("%s holds no .xsd file", name)
	}
	return fsys, roots, err
}

// relativeTo is the path of name in a folder, as fs.FS has it.
func relativeTo(dir, name string) (string, error) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	rel, err := filepath.Rel(dir, name)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not in the folder %s of --root", name, dir)
	}
	return filepath.ToSlash(rel), nil
}

// compile makes the schema of a bundle; what is wrong with it is said in the
// language asked for.
func (f *schemaFlags) compile(name, within string) (*xsd.Schema, error) {
	fsys, roots, err := bundle(name, within)
	if err != nil {
		return nil, usage(err)
	}
	s, err := xsd.Compile(fsys, roots, xsd.Options{})
	var refused *xsd.CompileError
	if errors.As(err, &refused) {
		lines := []string{f.language().Pick(name+" — не годная схема:", name+" is no valid schema:")}
		for _, one := range refused.Findings {
			lines = append(lines, one.In(f.language()))
		}
		if slices.ContainsFunc(refused.Findings, func(one xsd.Finding) bool { return one.Rule == "document-missing" }) {
			lines = append(lines, f.language().Pick("если документ лежит вне папки схемы, назовите папку, в которой лежит всё: вместо схемы или, кроме compat, в --root", "if a document lies outside the folder of the schema, name the folder that holds all: in place of the schema or, but for compat, as --root"))
		}
		if refused.More {
			lines = append(lines, f.language().Pick("... и другие", "... and more"))
		}
		return nil, usage(errors.New(strings.Join(lines, "\n")))
	}
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}

type xsdValidateCmd struct {
	schemaFlags
	treeFlags
	Schema string   `required:"" short:"s" placeholder:"FILE|DIR" help:"Schema, or a folder of schemas and all below it."`
	Signed bool     `help:"As the gateway takes signed content: names in values must have one meaning whatever their prefixes are bound to."`
	Files  []string `arg:"" help:"XML documents; - is standard input."`
}

func (xsdValidateCmd) Help() string {
	return `Every file is checked. Exit code 1: a document is not valid, or no XML as the gateway takes it (rule xml). Exit code 2: a file cannot
be read, or the schema is none.

Examples:
  mezhved xsd validate --schema services/egrn-extract/1.1.0 request.xml
  mezhved xsd validate --schema schemas/maindoc/request.xsd --root schemas request.xml`
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
	s, err := c.compile(c.Schema, c.Within)
	if err != nil {
		return err
	}
	v := s.NewValidator()
	v.PrefixesUnsigned = c.Signed
	var unread error
	all := []violationJSON{}
	for _, name := range c.Files {
		src, err := readInput(out, name)
		if err != nil {
			unread = err
			fmt.Fprintln(out.err, "mezhved:", err)
			continue
		}
		found, more := c.check(v, name, src)
		all = append(all, found...)
		if !c.JSON {
			for _, one := range found {
				fmt.Fprintf(out.out, "%s:%d:%d: %s: %s\n", one.File, one.Line, one.Col, one.Rule, strings.TrimPrefix(one.XPath+": "+one.Text, ": "))
			}
			if len(found) == 0 {
				fmt.Fprintf(out.out, "%s: %s\n", name, c.language().Pick("соответствует схеме", "valid"))
			}
		}
		if more {
			fmt.Fprintf(out.err, "mezhved: %s: %s\n", name, c.language().Pick("показаны не все нарушения", "there are more violations than these"))
		}
	}
	if c.JSON {
		if err := printJSON(out.out, all); err != nil {
			return err
		}
	}
	switch {
	case unread != nil:
		return usage(errors.Join(errSaid, unread))
	case len(all) > 0:
		return no(errSaid)
	}
	return nil
}

// check validates one document.
func (c *xsdValidateCmd) check(v *xsd.Validator, name string, src []byte) (found []violationJSON, more bool) {
	var tape xmltape.Tape
	var xe *xmltape.Error
	if err := tape.Parse(src, xmltape.Limits{Size: 1 << 30}); errors.As(err, &xe) {
		return []violationJSON{{File: name, Rule: "xml", Line: xe.Line, Col: xe.Col, Text: c.language().Pick("это не XML, который принимает шлюз", "no XML that the gateway takes") + ": " + string(xe.Code) + ": " + c.language().Pick(xe.Russian(), xe.Detail)}}, false
	}
	var invalid *xsd.Invalid
	if !errors.As(v.Validate(tape.Root()), &invalid) {
		return nil, false
	}
	for _, one := range invalid.Violations {
		found = append(found, violationJSON{name, one.Rule, one.Line, one.Col, one.XPath, one.Found, one.Expected, c.language().Pick(one.Russian(), one.English())})
	}
	return found, invalid.More
}

type xsdLintCmd struct {
	schemaFlags
	treeFlags
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
	fsys, roots, err := bundle(c.Schema, c.Within)
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
		Rule     string `json:"rule"`
		File     string `json:"file,omitempty"`
		Line     int    `json:"line,omitempty"`
		Col      int    `json:"col,omitempty"`
		Text     string `json:"text"`
	}
	list, faults := []remark{}, 0
	for _, r := range remarks {
		list = append(list, remark{r.Severity.String(), r.Rule, r.File, r.Line, r.Col, r.In(c.language())})
		if r.Severity == xsd.Fault {
			faults++
		}
	}
	if c.JSON {
		err = printJSON(out.out, list)
	} else {
		for _, r := range list {
			fmt.Fprintf(out.out, "%-7s %s\n", c.language().Pick(severities[r.Severity], r.Severity), r.Text)
		}
		fmt.Fprintf(out.out, c.language().Pick("ошибок: %d, других замечаний: %d\n", "%d faults, %d other remarks\n"), faults, len(list)-faults)
	}
	if faults > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

// severities are those of remarks in Russian, by their English names.
var severities = map[string]string{"advice": "совет", "warning": "важно", "fault": "ошибка"}

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
	before, err := c.compile(c.Old, "")
	if err != nil {
		return err
	}
	after, err := c.compile(c.New, "")
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
		list = append(list, change{one.Breaking, one.Kind, one.Path, one.Removed, one.Added, c.language().Pick(one.Russian(), one.English())})
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
		fmt.Fprintf(out.out, c.language().Pick("изменений: %d, из них несовместимых: %d\n", "%d changes, %d of them breaking\n"), len(list), breaking)
	}
	if breaking > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

type xsdExplainCmd struct {
	schemaFlags
	treeFlags
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
	s, err := c.compile(c.Schema, c.Within)
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
