package value

// Context is what validation needs beside the type: the namespaces in scope
// and scratch space. The zero value is ready. It must not be used by two
// goroutines at a time; reuse it, its buffers make validation free of
// allocations.
type Context struct {
	// Namespaces resolves prefixes of QName and NOTATION values. When nil,
	// such values are checked lexically only and every prefix stands for itself.
	Namespaces Resolver

	// Steps are those that patterns which are simulated may still take; less than none says
	// that they are used up, and that a value which was refused for its pattern may be
	// valid. Nil: there is no bound.
	Steps *int

	// Member is set by Validate and AppendKey: the atomic or list type that
	// took the value, that is the type itself, or the active member of a union.
	Member *Type

	norm []byte // white-space normalised value
	key  []byte // key under test against an enumeration
	val  atom   // the value last parsed
	fail fault  // why the last check refused
}
