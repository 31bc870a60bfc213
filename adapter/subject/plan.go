package subject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/journal"
	"mezhved/envelopes/xmltape"
)

// Fields of a request's ground.
const (
	Ground      = "ground"       // the legal ground
	Case        = "case"         // number of the case
	ServiceCode = "service-code" // of the service that it is for
	Consent     = "consent"      // a document by which a person has agreed
)

// Ties is the field under which an entry says whose consents its consents are, as far as
// the service's description and the content tell: see ParseTies. It is there where
// several people or several consents are.
const Ties = "consent-of"

// LongestName is how long the name of a field may be.
const LongestName = 28

// Sought is the field under which an entry that tells of a reading has the value
// that was asked by: who looked for somebody is found by it, and it is erased with
// him, but it is no message about him.
func Sought(field string) string { return "by-" + field }

// Grounds are the fields of a ground.
var Grounds = []string{Ground, Case, ServiceCode, Consent}

// Room is how many bytes of a leaf the commitments to one message's values may take:
// what it says besides takes less than half of it. These are some forty values.
const Room = 2600

// roomOf is what a commitment takes: its name, 32 bytes in base64, and marks.
func roomOf(field string) int { return len(field) + len(`"":"",`) + 44 }

// Field is a place in the content of a message, or several that make one value
// together, and what stands there.
type Field struct {
	Name  string
	Form  Form
	Paths []*contentpath.Path
}

// Plan is what is read from the content of one kind of message. The zero value
// reads nothing. Safe for concurrent use.
type Plan struct {
	fields []planned
}

type planned struct {
	Field
	shared int // steps that the paths of a value with several parts have in common
}

// ties are the consents that stand with a person in an element of their own, which is
// neither the document nor all of its people.
func (p *Plan) ties(content xmltape.Node, values []journal.PersonalField) (journal.PersonalField, bool) {
	people, consents, several := 0, 0, false
	for _, v := range values {
		switch base := journal.FieldBase(v.Field); {
		case base == Consent:
			consents++
		case !slices.Contains(Grounds, base):
			several = several || v.Field != base
			people++
		}
	}
	if consents == 0 || people == 0 || consents == 1 && !several {
		return journal.PersonalField{}, false
	}
	named := func(f *planned, value string) string {
		for _, v := range values {
			if journal.FieldBase(v.Field) == f.Name && v.Value == value {
				return v.Field
			}
		}
		return "" // there was no room for it
	}
	found := map[string][]string{}
	for i := range p.fields {
		consent := &p.fields[i]
		if consent.Name != Consent {
			continue
		}
		for j := range p.fields {
			person := &p.fields[j]
			if slices.Contains(Grounds, person.Name) {
				continue
			}
			together := contentpath.Common(append(slices.Clone(person.Paths), consent.Paths...))
			if together < 2 { // the document itself
				continue
			}
			person.Paths[0].Holders(0, together, content, func(holder xmltape.Node) {
				var whose []string
				person.below(together, holder, func(value string) {
					if name := named(person, value); name != "" {
						whose = append(whose, name)
					}
				})
				consent.below(together, holder, func(value string) {
					if name := named(consent, value); name != "" && len(whose) > 0 {
						found[name] = append(found[name], whose...)
					}
				})
			})
		}
	}
	for name, whose := range found {
		slices.Sort(whose)
		found[name] = slices.Compact(whose)
	}
	text, err := json.Marshal(found) // keys in order
	if err != nil {
		panic(err) // texts
	}
	return journal.PersonalField{Field: Ties, Value: string(text)}, true
}

// ParseTies reads the value of Ties: by the name of a consent, those of the values of
// the people whose consent it is. A consent that is not there may be anybody's.
func ParseTies(value string) (map[string][]string, error) {
	var ties map[string][]string
	if err := json.Unmarshal([]byte(value), &ties); err != nil {
		return nil, fmt.Errorf("whose consents there are: %w", err)
	}
	return ties, nil
}

// NewPlan makes a plan of its fields.
func NewPlan(fields []Field) *Plan {
	p := &Plan{}
	for _, f := range fields {
		p.fields = append(p.fields, planned{f, contentpath.Common(f.Paths)})
	}
	return p
}

// Fields names the fields that the plan reads.
func (p *Plan) Fields() []string {
	if p == nil {
		return nil
	}
	var out []string
	for _, f := range p.fields {
		out = append(out, f.Name)
	}
	return out
}

// Read takes the values out of content. A field that stands there several times
// gives name, name-2, name-3 and so on, each value once; left says how many values
// there was no room for.
func (p *Plan) Read(content xmltape.Node) (values []journal.PersonalField, left int) {
	if p == nil {
		return nil, 0
	}
	room := Room - roomOf(Ties)
	for i := range p.fields {
		f := &p.fields[i]
		first := len(values)
		f.each(content, func(value string) {
			for _, v := range values[first:] {
				if v.Value == value {
					return
				}
			}
			name := f.Name
			if n := len(values) - first; n > 0 {
				name += "-" + strconv.Itoa(n+1)
			}
			if room -= roomOf(name); room < 0 || len(values) == journal.MaxPersonal-1 {
				left++
				return
			}
			values = append(values, journal.PersonalField{Field: name, Value: value})
		})
	}
	if ties, ok := p.ties(content, values); ok {
		values = append(values, ties)
	}
	return values, left
}

// each gives the field's values in their form.
func (f *planned) each(content xmltape.Node, take func(value string)) { f.below(0, content, take) }

// below is each for what stands below a node that the first steps of the field's paths
// have led to; with 0, the content.
func (f *planned) below(steps int, n xmltape.Node, take func(value string)) {
	take = func(take func(string)) func(string) {
		return func(value string) {
			if value = f.Form.Spell(value); value != "" {
				take(value)
			}
		}
	}(take)
	if len(f.Paths) == 1 {
		f.Paths[0].Below(steps, n, func(value string) bool {
			take(value)
			return true
		})
		return
	}
	// Each element that holds all parts is one value. Those between the first part
	// and the last may be missing, as a patronymic is.
	f.Paths[0].Holders(steps, f.shared, n, func(holder xmltape.Node) {
		var whole strings.Builder
		for i, p := range f.Paths {
			found := false
			p.Below(f.shared, holder, func(value string) bool {
				if found = true; whole.Len() > 0 {
					whole.WriteByte(' ')
				}
				whole.WriteString(value)
				return false
			})
			if !found && (i == 0 || i == len(f.Paths)-1) {
				return
			}
		}
		take(whole.String())
	})
}
