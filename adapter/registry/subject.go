package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/journal"
	"mezhved/adapter/subject"
	"mezhved/adapter/yamlfile"
	"mezhved/xsd"
)

// personalFile is personal in a service.yaml: whose data the messages hold.
type personalFile struct {
	Namespaces map[string]string `yaml:"namespaces"`
	Request    []personalField   `yaml:"request"`
	Response   []personalField   `yaml:"response"`
}

type personalField struct {
	Field string   `yaml:"field"` // snils, inn, name-birth, ...
	As    string   `yaml:"as"`    // digits, text, date, exact, hash; default: by the field's name, else text
	XPath string   `yaml:"xpath"`
	Parts []string `yaml:"parts"` // several places that make one value, instead of xpath
}

// groundFile is ground in a service.yaml: on what ground the requests ask.
type groundFile struct {
	Namespaces map[string]string `yaml:"namespaces"`
	Legal      string            `yaml:"legal"`
	Case       string            `yaml:"case"`
	Service    string            `yaml:"service"`
	Consent    []string          `yaml:"consent"`
}

// reserved are the names of fields that have a meaning in the journal already.
var reserved = append([]string{journal.FieldDigest, journal.FieldRow, "actor", "query", subject.Ties}, subject.Grounds...)

// checkSubject makes the plans by which the journal is told whom a message is about
// and on what ground it asks, and holds every path against the compiled schema: one
// that can never find anything would be noticed when somebody asks who looked at
// him, and nobody did.
func (r *catalogReader) checkSubject(f *yamlfile.File, s *Service, in *serviceFile) {
	paths := func(setting string, sources []string, namespaces map[string]string, root QName) (out []*contentpath.Path) {
		for i, source := range sources {
			at := setting
			if len(sources) > 1 || f.Has(yamlfile.Join(setting, "0")) {
				at = yamlfile.Join(setting, fmt.Sprint(i))
			}
			p, err := contentpath.Parse(source, namespaces)
			if err == nil && s.Schema != nil && s.Schema.HasElement(root.Space, root.Local) {
				err = p.Possible(s.Schema, xsd.Name(root))
			}
			if err != nil {
				f.Errorf(at, "%v", err)
				continue
			}
			out = append(out, p)
		}
		if len(out) < len(sources) {
			return nil
		}
		return out
	}
	plan := func(setting string, list []personalField, root QName) (fields []subject.Field) {
		for i, one := range list {
			at := setting
			if f.Has(yamlfile.Join(setting, "0")) {
				at = yamlfile.Join(setting, fmt.Sprint(i))
			}
			if field, ok := r.personalField(f, at, one, fields); ok {
				sources, where := []string{one.XPath}, yamlfile.Join(at, "xpath")
				if len(one.Parts) > 0 {
					sources, where = one.Parts, yamlfile.Join(at, "parts")
				}
				if field.Paths = paths(where, sources, in.Personal.Namespaces, root); field.Paths == nil {
					continue
				}
				if len(field.Paths) > 1 && contentpath.Common(field.Paths) == 0 {
					f.Errorf(where, "the parts stand in no element together")
				}
				fields = append(fields, field)
			}
		}
		return fields
	}
	var ground, request, response []subject.Field
	if in.Personal != nil {
		request = plan("personal.request", in.Personal.Request, s.Request)
		if response = plan("personal.response", in.Personal.Response, s.Response); len(in.Personal.Response) > 0 && s.Response.Local == "" {
			f.Errorf("personal.response", "a broadcast has no response")
		}
	}
	if g := in.Ground; g != nil {
		for _, one := range []struct {
			setting, field string
			sources        []string
		}{{"ground.legal", subject.Ground, []string{g.Legal}}, {"ground.case", subject.Case, []string{g.Case}},
			{"ground.service", subject.ServiceCode, []string{g.Service}}, {"ground.consent", subject.Consent, g.Consent}} {
			for i, source := range one.sources {
				if source == "" && !f.Has(one.setting) {
					continue
				}
				setting := one.setting
				if f.Has(yamlfile.Join(setting, "0")) {
					setting = yamlfile.Join(setting, fmt.Sprint(i))
				}
				if p := paths(setting, []string{source}, g.Namespaces, s.Request); p != nil {
					ground = append(ground, subject.Field{Name: one.field, Form: subject.Text, Paths: p})
				}
			}
		}
	}
	s.AboutRequest, s.AboutResponse = subject.NewPlan(append(ground, request...)), subject.NewPlan(response)
}

// personalField checks what a field is called and how its values are spelled.
func (r *catalogReader) personalField(f *yamlfile.File, at string, one personalField, before []subject.Field) (subject.Field, bool) {
	field := subject.Field{Name: one.Field, Form: subject.Form(one.As)}
	field.Form = cmp.Or(field.Form, subject.FormOf(one.Field))
	good := len(f.Findings)
	switch {
	case !journal.ValidName(one.Field) || len(one.Field) > subject.LongestName || journal.FieldBase(one.Field) != one.Field:
		f.Errorf(yamlfile.Join(at, "field"), "a name such as snils is expected, of a-z, 0-9 and '-', at most 28 long, that does not end in a number, not %q", one.Field)
	case slices.Contains(reserved, one.Field) || strings.HasPrefix(one.Field, subject.Sought("")):
		f.Errorf(yamlfile.Join(at, "field"), "%q is the journal's own name for something else", one.Field)
	case slices.ContainsFunc(before, func(b subject.Field) bool { return b.Name == one.Field }):
		f.Errorf(yamlfile.Join(at, "field"), "%s is listed twice", one.Field)
	case r.forms[one.Field] != "" && r.forms[one.Field] != field.Form:
		f.Errorf(at, "%s is spelled as %s in another service and as %s here: who looks for it would find one of the two", one.Field, r.forms[one.Field], field.Form)
	}
	if !slices.Contains(subject.Forms, field.Form) {
		f.Errorf(yamlfile.Join(at, "as"), "digits, text, date, exact or hash is expected, not %q", one.As)
	}
	switch {
	case one.XPath == "" && len(one.Parts) == 0:
		f.Errorf(at, "where does it stand? give xpath, or parts")
	case one.XPath != "" && len(one.Parts) > 0:
		f.Errorf(at, "give xpath or parts, not both")
	}
	if len(f.Findings) > good {
		return field, false
	}
	r.forms[one.Field] = field.Form
	return field, true
}

// checkRoute warns of a routing code that no request can have. It is no error, since
// services with one are in use, and refuse what they are asked.
func checkRoute(f *yamlfile.File, s *Service) {
	if s.code == nil || s.Schema == nil || !s.Schema.HasElement(s.Request.Space, s.Request.Local) {
		return
	}
	var wrong *contentpath.Error
	if err := s.code.Possible(s.Schema, xsd.Name(s.Request)); errors.As(err, &wrong) {
		f.Warnf("routing.xpath", "%v: no request can be routed by it", wrong)
	}
}

// checkOfficial warns of content that an official is to sign and that nobody can: his
// signature refers to an Id of the content's root, and the schema must allow one.
func checkOfficial(f *yamlfile.File, s *Service) {
	if s.Personal != PersonalRequired || s.Schema == nil {
		return
	}
	for _, root := range []QName{s.Request, s.Response} {
		if root.Local == "" || !s.Schema.HasElement(root.Space, root.Local) {
			continue
		}
		if p, err := contentpath.Parse("/"+root.Local+"/@Id", nil); err != nil || p.Possible(s.Schema, xsd.Name(root)) == nil {
			continue
		}
		f.Warnf("personalSignature", "is required, and the schema allows no attribute Id at %s: nobody can sign such content", root)
	}
}
