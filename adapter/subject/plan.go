package subject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
	tied   []tie
}

type planned struct {
	Field
	shared int      // steps that the paths of a value with several parts have in common
	ground bool     // it is of the ground, and no person's
	names  []string // of its first values
}

// name is what the entry calls the field's value that follows n others.
func (f *planned) name(n int) string {
	if n < len(f.names) {
		return f.names[n]
	}
	return f.Name + "-" + strconv.Itoa(n+1)
}

// tie is a consent that stands with a person in an element of their own, to which so many
// steps of their paths lead and which is not the document.
type tie struct {
	consent, person *planned
	together        int
}

// ties are the consents that stand with a person in an element of their own, which is
// neither the document nor all of its people.
func (p *Plan) ties(r *reading, content xmltape.Node, values []journal.PersonalField) journal.PersonalField {
	if len(p.tied) == 0 {
		return journal.PersonalField{Field: Ties, Value: "{}"}
	}
	add := func(names []string, name string) []string { // a holder may have the same value a million times
		if slices.Contains(names, name) {
			return names
		}
		return append(names, name)
	}
	named := func(f *planned, value []byte) string {
		for _, v := range values {
			if v.Value == string(value) && journal.FieldBase(v.Field) == f.Name {
				return v.Field
			}
		}
		return "" // there was no room for it
	}
	found := map[string][]string{}
	for _, t := range p.tied {
		t.person.Paths[0].Holders(0, t.together, content, func(holder xmltape.Node) {
			var whose []string
			r.below(t.person, t.together, holder, func(value []byte) {
				if name := named(t.person, value); name != "" {
					whose = add(whose, name)
				}
			})
			r.below(t.consent, t.together, holder, func(value []byte) {
				if name := named(t.consent, value); name != "" {
					for _, w := range whose {
						found[name] = add(found[name], w)
					}
				}
			})
		})
	}
	for _, whose := range found {
		slices.Sort(whose)
	}
	text, err := json.Marshal(found) // keys in order
	if err != nil {
		panic(err) // texts
	}
	return journal.PersonalField{Field: Ties, Value: string(text)}
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
		one := planned{Field: f, shared: contentpath.Common(f.Paths), ground: slices.Contains(Grounds, f.Name), names: []string{f.Name}}
		for n := range 7 {
			one.names = append(one.names, f.Name+"-"+strconv.Itoa(n+2))
		}
		p.fields = append(p.fields, one)
	}
	for i := range p.fields {
		for j := range p.fields {
			consent, person := &p.fields[i], &p.fields[j]
			if consent.Name != Consent || person.ground {
				continue
			}
			if together := contentpath.Common(append(slices.Clone(person.Paths), consent.Paths...)); together >= 2 { // the first is the document
				p.tied = append(p.tied, tie{consent, person, together})
			}
		}
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
	if p == nil || len(p.fields) == 0 {
		return nil, 0
	}
	r := new(reading)
	r.parts, r.spelled = r.room[:0:len(r.room)/2], r.room[len(r.room)/2:][:0]
	room := Room - roomOf(Ties)
	people, consents, several := 0, 0, false
	first := 0 // of the field's values
	for i := range p.fields {
		f := &p.fields[i]
		if i == 0 || p.fields[i-1].Name != f.Name { // consents may stand in several places
			first = len(values)
		}
		before := len(values)
		r.below(f, 0, content, func(value []byte) {
			for _, v := range values[first:] {
				if v.Value == string(value) {
					return
				}
			}
			name := f.name(len(values) - first)
			if room -= roomOf(name); room < 0 || len(values) == journal.MaxPersonal-1 {
				left++
				return
			}
			if values == nil {
				values = make([]journal.PersonalField, 0, 2*len(p.fields))
			}
			values = append(values, journal.PersonalField{Field: name, Value: string(value)})
		})
		switch n := len(values) - before; {
		case f.Name == Consent:
			consents += n
		case !f.ground:
			people += n
			several = several || n > 1
		}
	}
	if people > 0 && (consents > 1 || consents == 1 && several) {
		values = append(values, p.ties(r, content, values))
	}
	return values, left
}

// reading is what one Read works in.
type reading struct {
	room           [512]byte
	parts, spelled []byte
}

// below gives the values of a field in their form that stand below a node that the first
// steps of its paths have led to; with 0, the content. A value is good until take returns.
func (r *reading) below(f *planned, steps int, n xmltape.Node, take func(value []byte)) {
	spell := func(value []byte) {
		if r.spelled = f.Form.appendSpelled(r.spelled[:0], value); len(r.spelled) > 0 {
			take(r.spelled)
		}
	}
	if len(f.Paths) == 1 {
		f.Paths[0].Below(steps, n, func(value []byte) bool {
			spell(value)
			return true
		})
		return
	}
	// Each element that holds all parts is one value. Those between the first part
	// and the last may be missing, as a patronymic is.
	f.Paths[0].Holders(steps, f.shared, n, func(holder xmltape.Node) {
		r.parts = r.parts[:0]
		for i, p := range f.Paths {
			found := false
			p.Below(f.shared, holder, func(value []byte) bool {
				if found = true; len(r.parts) > 0 {
					r.parts = append(r.parts, ' ')
				}
				r.parts = append(r.parts, value...)
				return false
			})
			if !found && (i == 0 || i == len(f.Paths)-1) {
				return
			}
		}
		spell(r.parts)
	})
}
