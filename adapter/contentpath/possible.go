package contentpath

import (
	"slices"
	"strings"

	"mezhved/xsd"
)

// Possible says, as an *Error, why the path can find nothing in any valid document
// whose root is root, with the names that may have been meant; nil when it may.
func (p *Path) Possible(schema *xsd.Schema, root xsd.Name) error {
	if err := p.possible(schema, root, true); err != nil {
		return err.in(p.source)
	}
	return nil
}

// Leads is Possible for a path that need not end at a text of its own.
func (p *Path) Leads(schema *xsd.Schema, root xsd.Name) error {
	if err := p.possible(schema, root, false); err != nil {
		return err.in(p.source)
	}
	return nil
}

func (p *Path) possible(schema *xsd.Schema, root xsd.Name, text bool) *Error {
	if !p.steps[0].takes(root) {
		return wrong("it begins with %[1]s, the root is %[2]s", "он начинается с %[1]s, а корневой элемент — %[2]s", p.steps[0], root)
	}
	at := schema.Reach(root)
	for i := range p.steps[1:] {
		s := &p.steps[1+i]
		next := at.Step(s.takes)
		if next.Empty() {
			return absent(s, at.Children(), "", "element", "элемента")
		}
		at = next
	}
	if p.attr != nil {
		names, open := at.Attributes()
		if !open && !slices.ContainsFunc(names, p.attr.takes) {
			return absent(p.attr, names, "@", "attribute", "атрибута")
		}
		return nil
	}
	if text && !at.Text() {
		return wrong("the element has no text of its own; in it stand %[1]s", "у элемента нет собственного текста; в нём стоят %[1]s", list(at.Children(), ""))
	}
	return nil
}

// Values are the types of what the path finds in valid documents whose root is root.
func (p *Path) Values(schema *xsd.Schema, root xsd.Name) *xsd.Values {
	at := schema.Reach(root)
	for i := range p.steps[1:] {
		at = at.Step(p.steps[1+i].takes)
	}
	if p.attr != nil {
		return at.Values(p.attr.takes)
	}
	return at.Values(nil)
}

func (s *step) takes(n xsd.Name) bool {
	return (s.local == "" || n.Local == s.local) && (s.anySpace || n.Space == s.space)
}

func (s step) String() string {
	local := s.local
	if local == "" {
		local = "*"
	}
	if s.anySpace || s.space == "" {
		return local
	}
	return "{" + s.space + "}" + local
}

// absent says that nothing of this name may stand there, and what may.
func absent(s *step, names []xsd.Name, mark, what, russian string) *Error {
	if near := nearest(s.local, names); len(near) > 0 {
		return wrong("the schema allows no %[1]s %[3]s%[4]s there; is %[5]s meant?", "по схеме там не может быть %[2]s %[3]s%[4]s; не имеется ли в виду %[5]s?", what, russian, mark, s, list(near, mark))
	}
	if len(names) == 0 {
		return wrong("the schema allows no %[1]s %[3]s%[4]s there, nor any other", "по схеме там не может быть %[2]s %[3]s%[4]s, как и никакого другого", what, russian, mark, s)
	}
	return wrong("the schema allows no %[1]s %[3]s%[4]s there; there may be %[5]s", "по схеме там не может быть %[2]s %[3]s%[4]s; может быть %[5]s", what, russian, mark, s, list(names, mark))
}

// list names at most eight.
func list(names []xsd.Name, mark string) string {
	var out []string
	for i, n := range names {
		if i == 8 {
			out = append(out, "…")
			break
		}
		out = append(out, mark+n.Local)
	}
	return strings.Join(out, ", ")
}

// nearest are the names that a slip of the keyboard or another case tells from
// local, and those that are local in another namespace.
func nearest(local string, names []xsd.Name) (out []xsd.Name) {
	best := (len([]rune(local)) + 2) / 3
	for _, n := range names {
		switch d := Distance(strings.ToLower(local), strings.ToLower(n.Local)); {
		case d < best:
			best, out = d, []xsd.Name{n}
		case d == best:
			out = append(out, n)
		}
	}
	return out
}

// Distance counts the letters to be put in, taken out or exchanged (Levenshtein).
func Distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, c := range from {
		left := row[0]
		row[0] = i + 1
		for j, d := range to {
			change := left
			if c != d {
				change++
			}
			left = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(to)]
}
