package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/console"
	"mezhved/adapter/lifecycle/reference"
	"mezhved/adapter/registry"
)

type servicesDictionaryCmd struct {
	Import dictionaryImportCmd `cmd:"" help:"Bring a dictionary of codes (CSV or XML) into the services' folder, with its version."`
	List   dictionaryListCmd   `cmd:"" help:"List dictionaries and their versions."`
}

type servicesRegisterCmd struct {
	Import registerImportCmd `cmd:"" help:"Bring the register of kinds of data (CSV or XML) into the services' folder, with its version."`
	Check  registerCheckCmd  `cmd:"" help:"Hold names and parameters of services against the register."`
}

// versionName is what a version of a file may be called.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// importFlags are common to imports.
type importFlags struct {
	foldersFlags
	File       string `arg:"" type:"existingfile" help:"CSV or XML, in UTF-8."`
	Version    string `required:"" name:"edition" placeholder:"VERSION" help:"Version of what is imported, such as 2026-03-01: letters, digits, . _ and -. One that is there is not changed."`
	CodeColumn string `placeholder:"NAME" help:"Column of the code; default: code, код, value, ..."`
	NameColumn string `placeholder:"NAME" help:"Column of the title; default: title, name, наименование, ..."`
	FromColumn string `placeholder:"NAME" help:"Column of the first day of use."`
	ToColumn   string `placeholder:"NAME" help:"Column of the last day of use."`
}

// take writes what was imported and tells of it.
func (f *importFlags) take(out *stdio, folder, name string, got *reference.Imported) error {
	for _, p := range got.Problems {
		where := f.File
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", f.File, p.Line)
		}
		fmt.Fprintf(out.out, "%s: %s%s\n", where, map[bool]string{true: "warning: "}[p.Warning], console.Visible(p.String()))
	}
	report := struct {
		File    string   `json:"file"`
		Rows    int      `json:"rows"`
		Used    []string `json:"columns"`
		Left    []string `json:"leftOut,omitempty"`
		Already bool     `json:"already,omitempty"` // the same was imported before
	}{File: filepath.Join(folder, name), Rows: got.Rows, Used: got.Used, Left: got.Left}
	if got.File == nil {
		return no(fmt.Errorf("%s was not imported: %d rows were read, and something is wrong with them", f.File, got.Rows))
	}
	was, err := os.ReadFile(report.File)
	switch {
	case err == nil && !slices.Equal(was, got.File):
		return no(fmt.Errorf("%s is there already and says something else: a version is not changed, name another one with --edition", report.File))
	case err == nil:
		report.Already = true
	default:
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return usage(err)
		}
		if err := take(&stdio{out: out.out, err: io.Discard}, strings.NewReader(string(got.File)), report.File); err != nil {
			return err
		}
	}
	if f.JSON {
		return printJSON(out.out, report)
	}
	fmt.Fprintf(out.out, "%s: %d rows of the columns %s\n", report.File, report.Rows, strings.Join(report.Used, ", "))
	if len(report.Left) > 0 {
		fmt.Fprintf(out.out, "left out: %s\n", console.Visible(strings.Join(report.Left, ", ")))
	}
	if report.Already {
		fmt.Fprintln(out.out, "it was there already, and is the same")
	}
	return nil
}

type dictionaryImportCmd struct {
	importFlags
	Name        string `required:"" help:"Name of the dictionary, as services have it: letters, digits, . _ and -."`
	Enumeration string `placeholder:"FILE" help:"Write the codes as a simple type of a schema, too."`
	Namespace   string `placeholder:"URI" help:"Namespace of the schema of --enumeration."`
	Type        string `default:"Code" help:"Name of the type in the schema of --enumeration."`
}

func (dictionaryImportCmd) Help() string {
	return `Writes _dictionaries/NAME/VERSION.csv in the services' folder; a service names it in codes, and what is no code of it is refused
when a message is admitted. A dictionary has 2,000 rows at most, each code once. Nothing is written while anything is wrong, and
everything that is wrong is named with its line.

Examples:
  mezhved services dictionary import okato.xml --name regions --edition 2026-03-01 --services services
  mezhved services dictionary import kinds.csv --name kinds --edition 5 --code-column KOD --name-column NAIM --config mezhved.yaml
  mezhved services dictionary import kinds.csv --name kinds --edition 5 --enumeration kinds.xsd --namespace urn://example.gov/kinds/5`
}

func (c *dictionaryImportCmd) Run(out *stdio) error {
	services, _, _, err := c.folders()
	if err != nil {
		return err
	}
	for _, name := range []string{c.Name, c.Version} {
		if !versionName.MatchString(name) {
			return usage(fmt.Errorf("%q: letters, digits, . _ and - are expected, 64 at most", name))
		}
	}
	if (c.Enumeration == "") != (c.Namespace == "") {
		return usage(errors.New("--enumeration and --namespace go together"))
	}
	src, err := os.ReadFile(c.File)
	if err != nil {
		return usage(err)
	}
	got, err := reference.Import(src, reference.Columns{Code: c.CodeColumn, Title: c.NameColumn, From: c.FromColumn, To: c.ToColumn})
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.File, err))
	}
	if err := c.take(out, filepath.Join(services, registry.DictionaryFolder, c.Name), c.Version+".csv", got); err != nil || c.Enumeration == "" {
		return err
	}
	d, _ := reference.ParseDictionary(c.Name, c.Version, got.File)
	if err := os.WriteFile(c.Enumeration, d.Enumeration(c.Namespace, c.Type), 0o644); err != nil {
		return usage(err)
	}
	return nil
}

type dictionaryListCmd struct{ foldersFlags }

func (dictionaryListCmd) Help() string {
	return "Example:\n  mezhved services dictionary list --config mezhved.yaml"
}

func (c *dictionaryListCmd) Run(out *stdio) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	type row struct {
		Name     string   `json:"name"`
		Version  string   `json:"version"`
		Rows     int      `json:"rows"`
		Digest   string   `json:"digest"`
		Services []string `json:"services,omitempty"`
	}
	rows := []row{}
	lines := [][]string{{"DICTIONARY", "VERSION", "ROWS", "SERVICES"}}
	for _, d := range catalog.Dictionaries() {
		r := row{Name: d.Name, Version: d.Version, Rows: d.Rows(), Digest: d.Digest}
		for _, s := range catalog.Services() {
			if slices.ContainsFunc(slices.Concat(s.RequestCodes, s.ResponseCodes), func(code registry.Code) bool { return code.Of == d }) {
				r.Services = append(r.Services, s.Name+" "+s.Version)
			}
		}
		rows = append(rows, r)
		lines = append(lines, []string{r.Name, r.Version, fmt.Sprint(r.Rows), strings.Join(r.Services, ", ")})
	}
	if c.JSON {
		return printJSON(out.out, rows)
	}
	return table(out.out, lines)
}

// registerFolder is that of the registers, in that of the services.
const registerFolder = "_register"

type registerImportCmd struct {
	importFlags
	NamespaceColumn string `placeholder:"NAME" help:"Column of the namespace."`
	VersionColumn   string `placeholder:"NAME" help:"Column of the version."`
	ProviderColumn  string `placeholder:"NAME" help:"Column of the provider."`
	StatusColumn    string `placeholder:"NAME" help:"Column of the status."`
}

func (registerImportCmd) Help() string {
	return `Writes _register/VERSION.csv in the services' folder.

Examples:
  mezhved services register import register.csv --edition 2026-03-01 --services services
  mezhved services register import register.xml --edition 2026-03-01 --code-column vsCode --namespace-column ns --config mezhved.yaml`
}

func (c *registerImportCmd) Run(out *stdio) error {
	services, _, _, err := c.folders()
	if err != nil {
		return err
	}
	if !versionName.MatchString(c.Version) {
		return usage(fmt.Errorf("%q: letters, digits, . _ and - are expected, 64 at most", c.Version))
	}
	src, err := os.ReadFile(c.File)
	if err != nil {
		return usage(err)
	}
	got, err := reference.ImportRegister(src, reference.RegisterColumns{Code: c.CodeColumn, Title: c.NameColumn, Namespace: c.NamespaceColumn, Version: c.VersionColumn,
		Provider: c.ProviderColumn, Status: c.StatusColumn, From: c.FromColumn, To: c.ToColumn})
	if err != nil {
		return usage(fmt.Errorf("%s: %w", c.File, err))
	}
	return c.take(out, filepath.Join(services, registerFolder), c.Version+".csv", got)
}

type registerCheckCmd struct {
	foldersFlags
	Register string `placeholder:"FILE" type:"existingfile" help:"A register that was imported; default: the last one of the services' folder, by its version."`
	Lang     string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
}

func (registerCheckCmd) Help() string {
	return `Each version of a service is looked for by its code (code in service.yaml), else by its namespace. Titles, namespaces, versions and
providers are compared without regard to case and quotation marks; a version that is in use must be in use there. Kinds of
data that the register has of our parties, and that are no service here, are told, too.

Exit code 1 says that something differs.

Examples:
  mezhved services register check --config mezhved.yaml
  mezhved services register check --register services/_register/2026-03-01.csv --services services --parties parties --lang ru`
}

// registerFinding is what differs, for programs.
type registerFinding struct {
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	What     string `json:"what"` // code, title, namespace, version, provider, status, dates; absent: no service is of this entry
	Here     string `json:"here,omitempty"`
	Register string `json:"register,omitempty"`
	Line     int    `json:"line,omitempty"` // of the register
}

func (c *registerCheckCmd) Run(out *stdio) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	file := c.Register
	if file == "" {
		services, _, _, err := c.folders()
		if err != nil {
			return err
		}
		found, _ := filepath.Glob(filepath.Join(services, registerFolder, "*.csv"))
		if len(found) == 0 {
			return usage(fmt.Errorf("%s holds no register: bring one there with mezhved services register import", filepath.Join(services, registerFolder)))
		}
		file = slices.Max(found)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return usage(err)
	}
	r, err := reference.ParseRegister(strings.TrimSuffix(filepath.Base(file), ".csv"), src)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", file, err))
	}
	findings, checked := []registerFinding{}, 0
	var entries []*reference.Entry
	for _, s := range catalog.Services() {
		claim := reference.Claim{Code: s.Code, Title: s.Title, Namespace: s.Request.Space, Version: s.Version, InUse: s.Stage == registry.StagePublished}
		for _, m := range s.Providers {
			claim.Providers = append(claim.Providers, string(m))
			if p := catalog.Party(m); p != nil {
				claim.Providers = append(claim.Providers, p.Name)
			}
		}
		e, differences := r.Check(claim, time.Now())
		entries = append(entries, e)
		checked++
		for _, d := range differences {
			findings = append(findings, registerFinding{s.Name, s.Version, d.What, d.Service, d.Entry, d.Line})
		}
	}
	ours := func(provider string) bool {
		return slices.ContainsFunc(catalog.Parties(), func(p *registry.Party) bool {
			return strings.EqualFold(string(p.Mnemonic), provider) || strings.EqualFold(p.Name, provider)
		})
	}
	for _, e := range r.Absent(entries, ours) {
		findings = append(findings, registerFinding{What: "absent", Register: strings.TrimSpace(e.Code + " " + e.Version + " " + e.Title), Line: e.Line})
	}
	if c.JSON {
		err = printJSON(out.out, findings)
	} else {
		for _, f := range findings {
			fmt.Fprintln(out.out, console.Visible(f.say(c.Lang == "ru", file)))
		}
		form := "%d versions held against the register of %s (%d entries): %d differences\n"
		if c.Lang == "ru" {
			form = "версий сверено: %d, реестр %s (записей: %d), расхождений: %d\n"
		}
		fmt.Fprintf(out.out, form, checked, r.Version, r.Rows(), len(findings))
	}
	if len(findings) > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

// say is a finding in a sentence.
func (f *registerFinding) say(russian bool, file string) string {
	at := file
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", file, f.Line)
	}
	switch {
	case f.What == "absent" && russian:
		return fmt.Sprintf("%s: %s: такого вида сведений здесь нет", at, f.Register)
	case f.What == "absent":
		return fmt.Sprintf("%s: %s: there is no such service here", at, f.Register)
	case f.What == "code" && f.Line == 0 && russian:
		return fmt.Sprintf("%s %s: %s в реестре нет", f.Service, f.Version, f.Here)
	case f.What == "code" && f.Line == 0:
		return fmt.Sprintf("%s %s: the register does not know %s", f.Service, f.Version, f.Here)
	case russian:
		return fmt.Sprintf("%s %s: %s: здесь %q, в реестре %q (%s)", f.Service, f.Version, whatRussian[f.What], f.Here, f.Register, at)
	}
	return fmt.Sprintf("%s %s: %s: %q here, %q in the register (%s)", f.Service, f.Version, f.What, f.Here, f.Register, at)
}

var whatRussian = map[string]string{
	"code": "код", "title": "наименование", "namespace": "пространство имён", "version": "версия", "provider": "поставщик", "status": "состояние", "dates": "срок действия",
}
