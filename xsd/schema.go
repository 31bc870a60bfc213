package xsd

import (
	"time"
)

// Options say how a bundle is compiled. The zero value is ready.
type Options struct {
	// Catalog maps a namespace name or an absolute location, as written in
	// schemaLocation, to a path in the bundle: dictionaries and standard
	// schemas that documents import from the network are found here instead.
	// A location in the catalog wins over the namespace.
	Catalog map[string]string
	// IgnoreMissing accepts an include or import whose document is not in the
	// bundle, as the standard allows (src-include, src-import): references to
	// its components are then refused, nothing else. Without it a missing
	// document is a finding by itself, because a bundle should be whole.
	IgnoreMissing bool
	// Limits bound what compiling may cost.
	Limits Limits
	// Timeout ends a compilation that takes longer; default 10 s.
	Timeout time.Duration
	// Now is the clock for Timeout; default time.Now.
	Now func() time.Time
}

// Limits bound what a schema may cost to compile. The zero value of a field
// means the default.
type Limits struct {
	Documents  int // schema documents, a chameleon include into each namespace counted; default 1,000
	Bytes      int // bytes of all schema documents; default 64 MiB
	Components int // elements of all schema documents; default 500,000
	Nesting    int // length of a chain of derivations, group references or substitutions; default 500
	Positions  int // places for a child element in one content model, after expansion; default 10,000
	States     int // states of one content automaton; default 10,000
	TotalRows  int // transitions of all content automata; default 4,000,000
	Members    int // member types of one union, expanded; default 1,000
	Memory     int // bytes of what components multiply, by estimate: inherited attributes, members, namespaces, columns, patterns; default 256 MiB
	Findings   int // findings reported; default 100
}

// DefaultLimits are the limits of the zero Limits.
var DefaultLimits = Limits{
	Documents: 1000, Bytes: 64 << 20, Components: 500_000, Nesting: 500,
	Positions: 10_000, States: 10_000, TotalRows: 4_000_000, Members: 1000, Memory: 256 << 20, Findings: 100,
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	set := func(v, def int) int {
		if v > 0 {
			return v
		}
		return def
	}
	return Limits{
		Documents: set(l.Documents, d.Documents), Bytes: set(l.Bytes, d.Bytes), Components: set(l.Components, d.Components),
		Nesting: min(set(l.Nesting, d.Nesting), 5000), Positions: set(l.Positions, d.Positions), States: set(l.States, d.States),
		TotalRows: set(l.TotalRows, d.TotalRows), Members: set(l.Members, d.Members), Memory: set(l.Memory, d.Memory), Findings: set(l.Findings, d.Findings),
	}
}
