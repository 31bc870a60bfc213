package xsd

import (
	"slices"
	"strings"
)

// spaceSet is the namespace constraint of a wildcard (Part 1, 3.10.1).
type spaceSet struct {
	kind spaceKind
	not  string   // of notSpace: the namespace left out; the absent one is left out as well
	set  []string // of someSpaces, sorted; "" is the absent namespace
}

type spaceKind uint8

const (
	anySpace   spaceKind = iota
	notSpace             // any but s.not and the absent one
	someSpaces           // those in s.set
)

// contains is cvc-wildcard-namespace.
func (s spaceSet) contains(space string) bool {
	switch s.kind {
	case anySpace:
		return true
	case notSpace:
		return space != s.not && space != ""
	}
	_, found := slices.BinarySearch(s.set, space)
	return found
}

func (s spaceSet) equal(o spaceSet) bool {
	return s.kind == o.kind && s.not == o.not && slices.Equal(s.set, o.set)
}

// String is the constraint as a schema would write it.
func (s spaceSet) String() string {
	switch s.kind {
	case anySpace:
		return "##any"
	case notSpace:
		return "##other (" + s.not + ")"
	}
	names := make([]string, len(s.set))
	for i, n := range s.set {
		if names[i] = n; n == "" {
			names[i] = "##local"
		}
	}
	return strings.Join(names, " ")
}

// subsetOf is cos-ns-subset.
func (s spaceSet) subsetOf(super spaceSet) bool {
	switch {
	case super.kind == anySpace:
		return true
	case s.kind == notSpace:
		return super.kind == notSpace && super.not == s.not
	case s.kind == anySpace:
		return false
	}
	for _, n := range s.set {
		if !super.contains(n) {
			return false
		}
	}
	return true
}

// intersect is cos-aw-intersect; false: not expressible.
func intersect(a, b spaceSet) (spaceSet, bool) {
	switch {
	case a.equal(b) || b.kind == anySpace:
		return a, true
	case a.kind == anySpace:
		return b, true
	case a.kind == notSpace && b.kind == notSpace:
		if a.not == "" {
			return b, true
		}
		if b.not == "" {
			return a, true
		}
		return spaceSet{}, false
	case a.kind == notSpace:
		a, b = b, a
	}
	return spaceSet{kind: someSpaces, set: slices.DeleteFunc(slices.Clone(a.set), func(n string) bool { return !b.contains(n) })}, true
}

// unite is cos-aw-union; false: not expressible.
func unite(a, b spaceSet) (spaceSet, bool) {
	switch {
	case a.equal(b) || a.kind == anySpace:
		return a, true
	case b.kind == anySpace:
		return b, true
	case a.kind == notSpace && b.kind == notSpace:
		return spaceSet{kind: notSpace}, true // not(absent)
	case a.kind == someSpaces && b.kind == someSpaces:
		all := slices.Concat(a.set, b.set)
		slices.Sort(all)
		return spaceSet{kind: someSpaces, set: slices.Compact(all)}, true
	case a.kind == notSpace:
		a, b = b, a
	}
	// a is a set, b a negation.
	negated, absent := slices.Contains(a.set, b.not), slices.Contains(a.set, "")
	switch {
	case b.not == "" && absent:
		return spaceSet{kind: anySpace}, true
	case b.not == "":
		return b, true
	case negated && absent:
		return spaceSet{kind: anySpace}, true
	case negated:
		return spaceSet{kind: notSpace}, true
	case absent:
		return spaceSet{}, false
	}
	return b, true
}

// wildcard reads xs:any and xs:anyAttribute.
func (c *compiler) wildcard(n *node) *wildcard {
	w := &wildcard{node: n}
	switch n.token("processContents") {
	case "lax":
		w.process = lax
	case "skip":
		w.process = skip
	}
	value, ok := n.attr("namespace")
	switch v := collapse(value); {
	case !ok || v == "##any":
		w.spaces.kind = anySpace
	case v == "##other":
		w.spaces = spaceSet{kind: notSpace, not: n.doc.target}
	default:
		w.spaces.kind = someSpaces
		for f := range strings.FieldsSeq(v) {
			switch f {
			case "##targetNamespace":
				f = n.doc.target
			case "##local":
				f = ""
			}
			w.spaces.set = append(w.spaces.set, f)
		}
		slices.Sort(w.spaces.set)
		w.spaces.set = slices.Compact(w.spaces.set)
	}
	return w
}
