package value

import (
	"fmt"
	"strings"
)

// MaxAllowed is how many allowed values of an enumeration a Failure lists.
const MaxAllowed = 20

// Failure says why a value is not valid. It is made only when something is
// wrong; it does not refer to the input.
type Failure struct {
	Rule   Rule
	Type   *Type     // the type whose lexical space or facet refused; for facets, the type that states the facet
	Facet  FacetKind // NoFacet when the lexical form, an item or a member is the matter
	Limit  string    // the facet's value as the schema has it; for pattern the alternatives joined by "|"
	Actual int       // measured length or digits, for length and digits facets

	Allowed      []string // enumeration: the first MaxAllowed values, in schema order
	AllowedTotal int      // enumeration: how many there are

	Reason Reason // lexical failures only
	Offset int    // lexical failures: byte offset in the white-space normalised value (within the item, in a list)

	Item    int        // 1-based index of the refused list item, 0 otherwise
	Members []*Failure // union: why each member refused, in member order
}

// Error returns an English sentence without the value itself, which may be
// personal data.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(string(f.Rule))
	b.WriteString(": ")
	if f.Item > 0 {
		fmt.Fprintf(&b, "list item %d: ", f.Item)
	}
	switch {
	case f.Facet == Enumeration:
		fmt.Fprintf(&b, "not among the %d values allowed by type %s", f.AllowedTotal, f.Type.Display())
	case f.Facet != NoFacet:
		fmt.Fprintf(&b, "facet %s=%q of type %s does not hold", f.Facet, f.Limit, f.Type.Display())
	case len(f.Members) > 0:
		fmt.Fprintf(&b, "no member of union %s takes it", f.Type.Display())
	default:
		fmt.Fprintf(&b, "not a %s", f.Type.Display())
		if f.Reason != ReasonNone {
			fmt.Fprintf(&b, ": %s at byte %d", f.Reason, f.Offset)
		}
	}
	return b.String()
}

// FacetError is one thing that the standard forbids in a restriction step.
type FacetError struct {
	Rule  Rule
	Index int       // which of the facets given to Restrict; -1 when it is about the whole step
	Kind  FacetKind // the facet
	Value string    // its value as written
	Base  *Type     // the base type

	Other      FacetKind // the facet it conflicts with, if any (in this step or in the base)
	OtherValue string

	Cause *Failure // why the value itself is not valid, if that is the matter
	Err   error    // *xsdregex.SyntaxError or *xsdregex.BudgetError of a pattern
}

// Error returns an English sentence.
func (e *FacetError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: facet %s=%q on base %s", e.Rule, e.Kind, e.Value, e.Base.Display())
	if e.Other != NoFacet {
		fmt.Fprintf(&b, " conflicts with %s=%q", e.Other, e.OtherValue)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the pattern's own error, if there is one.
func (e *FacetError) Unwrap() error { return e.Err }

// FacetErrors are all the faults of one restriction step, in the order of its
// facets. Restrict returns them as its error.
type FacetErrors []*FacetError

// Error joins the sentences.
func (e FacetErrors) Error() string {
	s := make([]string, len(e))
	for i, f := range e {
		s[i] = f.Error()
	}
	return strings.Join(s, "; ")
}

// Unwrap lets errors.As reach the single faults.
func (e FacetErrors) Unwrap() []error {
	s := make([]error, len(e))
	for i, f := range e {
		s[i] = f
	}
	return s
}

// TypeError is a list or union that the standard forbids.
type TypeError struct {
	Rule Rule
	Type *Type // the item or member type at fault
}

// Error returns an English sentence.
func (e *TypeError) Error() string {
	return fmt.Sprintf("%s: %s cannot stand there", e.Rule, e.Type.Display())
}
