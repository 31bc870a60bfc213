package gost

// The arithmetic comes in two widths of the same shape. field256.go and
// group256.go are written by hand; gen.go derives field512.go and group512.go
// from them by changing the number, and writes the unrolled products, sums and
// reductions of both (arithmetic256.go, arithmetic512.go), because the compiler
// does not unroll loops. A change goes to the 256-bit file or to gen.go,
// followed by go generate.

//go:generate go run gen.go

// reduction tells how a product is brought below the modulus of a field. The
// moduli of most curves are a small number away from a power of two, and
// folding them costs a quarter of what Montgomery's method does.
type reduction int

const (
	byMontgomery reduction = iota
	byMinus                // p = R - small, where R is 2^256 or 2^512
	byPlus                 // p = R/2 + small
)
