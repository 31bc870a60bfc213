package value

import "mezhved/xsd/internal/xsdregex"

// FacetKind is one of the twelve constraining facets.
type FacetKind uint8

// The constraining facets of Part 2, section 4.3.
const (
	NoFacet FacetKind = iota
	Length
	MinLength
	MaxLength
	Pattern
	Enumeration
	WhiteSpace
	MaxInclusive
	MaxExclusive
	MinExclusive
	MinInclusive
	TotalDigits
	FractionDigits
	facetKinds
)

var facetNames = [...]string{
	NoFacet: "", Length: "length", MinLength: "minLength", MaxLength: "maxLength", Pattern: "pattern",
	Enumeration: "enumeration", WhiteSpace: "whiteSpace", MaxInclusive: "maxInclusive", MaxExclusive: "maxExclusive",
	MinExclusive: "minExclusive", MinInclusive: "minInclusive", TotalDigits: "totalDigits", FractionDigits: "fractionDigits",
}

// String returns the element name of the facet in a schema document.
func (k FacetKind) String() string { return facetNames[k] }

// FacetByName returns the facet with that element name, or NoFacet.
func FacetByName(local string) FacetKind {
	for k := Length; k < facetKinds; k++ {
		if facetNames[k] == local {
			return k
		}
	}
	return NoFacet
}

// Facet is one facet of a restriction step as a schema document states it.
type Facet struct {
	Kind  FacetKind
	Value string // the value attribute, after attribute-value normalisation by the parser
	Fixed bool   // the fixed attribute
	// Namespaces resolves prefixes in an enumeration of QName or NOTATION: those in scope at the facet.
	Namespaces Resolver
}

// Options bound the work a restriction step may cause.
type Options struct {
	Regex xsdregex.Limits // zero fields take xsdregex's defaults
	// Step is told before each piece of work that may take long, and how many bytes
	// each pattern holds. It may panic, to end the restriction; nil: nobody is told.
	Step func(bytes int)
}

// Resolver finds the namespace bound to a prefix at the place of a value.
//
// ResolvePrefix returns the namespace name and true; for the empty prefix
// without a default namespace it returns "" and true; for an undeclared
// prefix false. It must not keep prefix. The prefix xml is not asked for.
type Resolver interface {
	ResolvePrefix(prefix []byte) (uri string, ok bool)
}
