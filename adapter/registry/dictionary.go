package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/lifecycle/reference"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// DictionaryFolder is the folder of dictionaries, in that of the services:
// _dictionaries/<name>/<version>.csv.
const DictionaryFolder = "_dictionaries"

// codesFile is codes in a service.yaml: what must be a code of a dictionary.
type codesFile struct {
	Namespaces map[string]string `yaml:"namespaces"`
	Request    []codeFile        `yaml:"request"`
	Response   []codeFile        `yaml:"response"`
}

type codeFile struct {
	XPath      string `yaml:"xpath"`
	Dictionary string `yaml:"dictionary"`
	Version    string `yaml:"version"` // default: the last one by name
	Class      string `yaml:"class"`   // what such a value is called when it is refused; default: the dictionary's name
}

// Code says that what a path finds must be a code of a dictionary: a value of a list type
// item by item, and one of a union as the member that takes it has it.
type Code struct {
	Path  *contentpath.Path
	Of    *reference.Dictionary
	Class string

	values *xsd.Values // of which types the values may be; nil: it is not known
}

// CodeError says that a value is no code of its dictionary, or none any more, and does not
// say which value.
type CodeError struct {
	Code
	At    xmltape.Node
	Until time.Time // the code was used until then; zero: it was not, or is not yet
	Early time.Time // it is used from then on
}

func (e *CodeError) Error() string {
	return fmt.Sprintf("%s: no code of the dictionary %s, version %s", e.Path, e.Of.Name, e.Of.Version)
}

// Russian is the error in Russian, for who sent the message.
func (e *CodeError) Russian() string {
	s := fmt.Sprintf("значения «%s» нет в справочнике %s версии %s", e.Class, e.Of.Name, e.Of.Version)
	switch {
	case !e.Until.IsZero():
		s = fmt.Sprintf("значение «%s» исключено из справочника %s версии %s с %s", e.Class, e.Of.Name, e.Of.Version, e.Until.AddDate(0, 0, 1).Format("02.01.2006"))
	case !e.Early.IsZero():
		s = fmt.Sprintf("значение «%s» действует по справочнику %s версии %s только с %s", e.Class, e.Of.Name, e.Of.Version, e.Early.Format("02.01.2006"))
	}
	return s
}

// CheckCodes holds content against dictionaries, as of a day. The error is a *CodeError.
func CheckCodes(codes []Code, content xmltape.Node, day time.Time) (err error) {
	for _, c := range codes {
		c.Path.Places(content, func(at xmltape.Node, value string) bool {
			for _, code := range c.values.Atoms(value) {
				row, known := c.Of.Find(code)
				if known && row.Used(day) {
					continue
				}
				wrong := &CodeError{Code: c, At: at}
				if known && row.Begun(day) {
					wrong.Until = row.To
				} else if known {
					wrong.Early = row.From
				}
				err = wrong
				return false
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Dictionaries are the versions of dictionaries that services lean on, or could.
func (c *Catalog) Dictionaries() []*reference.Dictionary { return c.dictionaries }

// readDictionaries reads all versions of all dictionaries.
func (r *catalogReader) readDictionaries(services string) {
	files, _ := filepath.Glob(filepath.Join(globQuote(filepath.Join(services, DictionaryFolder)), "*", "*.csv"))
	slices.Sort(files)
	for _, file := range files {
		name, version := filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".csv")
		src, err := os.ReadFile(file)
		if err != nil {
			r.errorf(file, "%v", err)
			continue
		}
		r.digest(filepath.Join(DictionaryFolder, name, filepath.Base(file)), src)
		d, problems := reference.ParseDictionary(name, version, src)
		bad := false
		for _, p := range problems {
			one := yamlfile.NewFinding(file, "", "%v", p)
			if one.Line, one.Warning = p.Line, p.Warning; p.Line > 0 {
				one.Col = 1
			}
			bad = bad || !p.Warning
			r.findings = append(r.findings, one)
		}
		if bad {
			continue
		}
		if !r.anyUsed(d) {
			r.warnf(file, "no code of it is used any more: all have ended")
		}
		r.catalog.dictionaries = append(r.catalog.dictionaries, d)
		r.catalog.Settings["dictionary "+name+" "+version] = map[string]string{"rows": fmt.Sprint(d.Rows()), "file": "sha256:" + d.Digest}
	}
}

func (r *catalogReader) anyUsed(d *reference.Dictionary) bool {
	return slices.ContainsFunc(d.Codes(), func(code string) bool {
		row, _ := d.Find(code)
		return row.To.IsZero() || row.Used(r.now) || row.From.After(r.now)
	})
}

// dictionary finds a version of a dictionary; without one the last, numbers in its name
// being compared as numbers.
func (r *catalogReader) dictionary(name, version string) (found *reference.Dictionary) {
	for _, d := range r.catalog.dictionaries {
		if d.Name == name && (d.Version == version || version == "" && (found == nil || CompareVersions(d.Version, found.Version) > 0)) {
			found = d
		}
	}
	return found
}

// checkCodes reads which places of the content are held against which dictionaries.
func (r *catalogReader) checkCodes(f *yamlfile.File, s *Service, in *codesFile) {
	if in == nil {
		return
	}
	read := func(setting string, list []codeFile, root QName) (out []Code) {
		for i, one := range list {
			at := setting
			if f.Has(yamlfile.Join(setting, "0")) {
				at = yamlfile.Join(setting, fmt.Sprint(i))
			}
			p, err := contentpath.Parse(one.XPath, in.Namespaces)
			if err == nil && s.Schema != nil && s.Schema.HasElement(root.Space, root.Local) {
				err = p.Possible(s.Schema, xsd.Name(root))
			}
			if err != nil {
				f.Errorf(yamlfile.Join(at, "xpath"), "%v", err)
				continue
			}
			d := r.dictionary(one.Dictionary, one.Version)
			if d == nil {
				f.Errorf(yamlfile.Join(at, "dictionary"), "there is no dictionary %q, version %q (%s/<name>/<version>.csv of the services' folder)", one.Dictionary, one.Version, DictionaryFolder)
				continue
			}
			class := one.Class
			if class == "" {
				class = d.Name
			}
			code := Code{Path: p, Of: d, Class: class}
			if s.Schema != nil && s.Schema.HasElement(root.Space, root.Local) {
				code.values = p.Values(s.Schema, xsd.Name(root))
			}
			out = append(out, code)
		}
		return out
	}
	s.RequestCodes = read("codes.request", in.Request, s.Request)
	s.ResponseCodes = read("codes.response", in.Response, s.Response)
}
