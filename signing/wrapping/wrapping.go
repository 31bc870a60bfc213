// Package wrapping makes attacks on signed documents for tests: signature
// wrapping in all the forms that have been published, and the forms between
// them. From one validly signed envelope come well over a thousand documents in
// which the signature is untouched or nearly so, and something else has changed:
// what stands where the signed element stood, where the signed element went, who
// claims its Id, what the Reference says.
//
// The property that a verifier must hold for every variant is simple: it refuses
// the document, or the element that it hands on has exactly the octets that were
// signed. The package is for tests of any room and of other people's gateways;
// nothing in production imports it.
package wrapping

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"mezhved/envelopes/xmltape"
)

// Variant is one attack: the document, and a name that tells what was done.
type Variant struct {
	Name string
	Doc  []byte
}

// Variants makes all attacks from a document and its signature sig of target.
// Both must be on one tape and sig outside target. The sequence is the same every
// time; some documents are not well-formed to a strict reader, as an attacker's
// may be.
func Variants(sig, target xmltape.Node) iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		m := newMaker(sig, target)
		for _, family := range []func(*maker) iter.Seq[Variant]{
			(*maker).moved, (*maker).claimed, (*maker).nested, (*maker).hidden, (*maker).signatures,
			(*maker).references, (*maker).algorithms, (*maker).transforms, (*maker).doubled, (*maker).rerooted, (*maker).namespaces, (*maker).content,
		} {
			for v := range family(m) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// maker holds the pieces of the signed document.
type maker struct {
	src         []byte
	tape        *xmltape.Tape
	sig, target xmltape.Node
	id          string
	signed      string         // the target as it was written, with the declarations that it needs
	forged      string         // the target with other content and the same Id
	places      []xmltape.Node // elements outside signature and target
	inside      []xmltape.Node // elements of the target
}

// edit replaces src[from:to].
type edit struct {
	from, to int
	with     string
}

func newMaker(sig, target xmltape.Node) *maker {
	m := &maker{src: sig.Tape().Source(), tape: sig.Tape(), sig: sig, target: target}
	m.id, _ = target.Attr("", "Id")
	m.signed = withDeclarations(target)
	m.forged = forge(m.signed)
	for i := range m.tape.Tokens {
		n := m.tape.NodeAt(i)
		switch {
		case !n.Valid() || within(n, sig):
		case within(n, target):
			m.inside = append(m.inside, n)
		default:
			m.places = append(m.places, n)
		}
	}
	return m
}

func within(n, outer xmltape.Node) bool {
	return n.Index() >= outer.Index() && n.Index() <= int(outer.Token().Match)
}

// apply makes a document of the edits.
func (m *maker) apply(name string, edits ...edit) Variant {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		if e.from < at {
			return Variant{name, nil}
		}
		out.Write(m.src[at:e.from])
		out.WriteString(e.with)
		at = e.to
	}
	out.Write(m.src[at:])
	return Variant{name, out.Bytes()}
}

// replace is an edit that puts text in the place of an element.
func replace(n xmltape.Node, with string) edit {
	from, to := n.Range()
	return edit{from, to, with}
}

// spot is a place for an element beside or in another.
type spot struct {
	name string
	at   func(n xmltape.Node) int
}

var spots = []spot{
	{"before", func(n xmltape.Node) int { from, _ := n.Range(); return from }},
	{"after", func(n xmltape.Node) int { _, to := n.Range(); return to }},
	{"first in", func(n xmltape.Node) int { return int(n.Token().End) }},
	{"last in", func(n xmltape.Node) int { return int(n.Tape().Tokens[n.Token().Match].Off) }},
}

func (m *maker) usable(s spot, n xmltape.Node) bool {
	selfClosing := n.Token().Flags&xmltape.SelfClosing != 0
	atRoot := n == m.tape.Root() && (s.name == "before" || s.name == "after")
	return !atRoot && !(selfClosing && (s.name == "first in" || s.name == "last in"))
}

func insert(at int, what string) edit { return edit{at, at, what} }

// identities are ways in which the forged element may claim the Id, or not.
func (m *maker) identities() []struct{ name, attr string } {
	id := m.id
	return []struct{ name, attr string }{
		{"same Id", ` Id="` + id + `"`},
		{"ID", ` ID="` + id + `"`},
		{"id", ` id="` + id + `"`},
		{"iD", ` iD="` + id + `"`},
		{"xml:id", ` xml:id="` + id + `"`},
		{"prefixed Id", ` xmlns:w="urn:w" w:Id="` + id + `"`},
		{"prefixed ID", ` xmlns:w="urn:w" w:ID="` + id + `"`},
		{"Id with blanks", ` Id=" ` + id + ` "`},
		{"Id with reference", ` Id="` + fmt.Sprintf("&#%d;", id[0]) + id[1:] + `"`},
		{"Id in single quotes", ` Id='` + id + `'`},
		{"other Id", ` Id="OTHER"`},
		{"no Id", ``},
		{"other Id, own ID", ` Id="OTHER" ID="` + id + `"`},
	}
}

// identified gives an element another claim to the Id.
func (m *maker) identified(element, attr string) string {
	for _, q := range []string{`"`, `'`} {
		if old := ` Id=` + q + m.id + q; strings.Contains(element, old) {
			return strings.Replace(element, old, attr, 1)
		}
	}
	return element
}

// moved takes the signed element somewhere else and puts a forged one in its place.
func (m *maker) moved() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for _, id := range m.identities() {
			for _, s := range spots {
				for _, n := range m.places {
					if !m.usable(s, n) {
						continue
					}
					name := fmt.Sprintf("moved %s %s, forged with %s", s.name, n.Local(), id.name)
					v := m.apply(name, replace(m.target, m.identified(m.forged, id.attr)), insert(s.at(n), m.signed))
					if v.Doc != nil && !yield(v) {
						return
					}
				}
			}
		}
	}
}

// claimed leaves the signed element and lets others claim its Id, before or after.
func (m *maker) claimed() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for _, id := range m.identities() {
			for _, n := range slices.Concat(m.places, m.inside[1:], m.elementsOf(m.sig)) {
				v := m.apply(fmt.Sprintf("%s claims the Id by %s", n.Local(), id.name), insert(int(n.Token().Off)+1+int(n.Token().NameLen), id.attr))
				if id.attr != "" && !yield(v) {
					return
				}
			}
			for _, n := range []xmltape.Node{m.target, m.sig.Parent()} {
				for _, s := range spots[:2] {
					v := m.apply(fmt.Sprintf("forged %s %s with %s", s.name, n.Local(), id.name), insert(s.at(n), m.identified(m.forged, id.attr)))
					if !yield(v) {
						return
					}
				}
			}
		}
	}
}

// nested puts the signed element into the forged one, at every place in it.
func (m *maker) nested() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		base, _ := m.target.Range()
		own := string(m.target.Bytes())
		for _, id := range m.identities() {
			outer := m.identified(own, id.attr)
			shift := len(outer) - len(own)
			for _, s := range spots {
				for _, n := range m.inside {
					if n == m.target && s.name != "first in" && s.name != "last in" || !m.usable(s, n) {
						continue
					}
					at := s.at(n) - base + shift
					forged := outer[:at] + m.signed + outer[at:]
					if !yield(m.apply(fmt.Sprintf("nested %s %s, outer with %s", s.name, n.Local(), id.name), replace(m.target, forged))) {
						return
					}
				}
			}
			for _, wrapper := range []string{"<w:Wrapper xmlns:w='urn:w'>%s</w:Wrapper>", "<Extension xmlns='urn:w'><Any>%s</Any></Extension>"} {
				for _, s := range spots {
					v := m.apply(fmt.Sprintf("wrapped %s signature holder, forged with %s", s.name, id.name),
						replace(m.target, m.identified(m.forged, id.attr)), insert(s.at(m.sig.Parent()), fmt.Sprintf(wrapper, m.signed)))
					if !yield(v) {
						return
					}
				}
				if !yield(m.apply("wrapped in place, "+id.name, replace(m.target, fmt.Sprintf(wrapper, m.identified(m.signed, id.attr))))) {
					return
				}
			}
		}
	}
}

// hidden puts the signed element into the signature, where few readers look.
func (m *maker) hidden() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		object := "<ds:Object xmlns:ds='http://www.w3.org/2000/09/xmldsig#'>" + m.signed + "</ds:Object>"
		elements := m.elementsOf(m.sig)
		for _, id := range m.identities() {
			forged := replace(m.target, m.identified(m.forged, id.attr))
			for _, n := range elements {
				for _, s := range spots {
					if !m.usable(s, n) || n == m.sig && s.name == "before" {
						continue
					}
					for what, text := range ordered(map[string]string{"signed element": m.signed, "Object": object}) {
						if !yield(m.apply(fmt.Sprintf("%s %s %s, forged with %s", what, s.name, n.Local(), id.name), forged, insert(s.at(n), text))) {
							return
						}
					}
				}
			}
		}
	}
}

// elementsOf lists an element and those below it.
func (m *maker) elementsOf(n xmltape.Node) (elements []xmltape.Node) {
	for i := n.Index(); i < int(n.Token().Match); i++ {
		if n := m.tape.NodeAt(i); n.Valid() {
			elements = append(elements, n)
		}
	}
	return elements
}

// ordered goes through a map by its keys, so that the variants come in one order.
func ordered[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
