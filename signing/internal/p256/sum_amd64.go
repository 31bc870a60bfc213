//go:build !purego

package p256

import "golang.org/x/sys/cpu"

// ifma says that the processor multiplies eight pairs of 52 bits at once.
var ifma = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA

// sumIFMA adds up n points, at least eight, and gives x and zz of the sum, both times 16 and
// in digits of 52 bits of numbers below 2p. zz is nought modulo p when one abscissa has met
// itself on the way: what the sum is then is not known.
//
//go:noescape
func sumIFMA(blocks *block, n int, sum *[2][5]uint64)

// selectIFMA puts into blocks those points of a table that are chosen. Its time and what it
// reads are the same whatever is chosen.
//
//go:noescape
func selectIFMA(blocks *[8]block, table *secretTable, choices *[8]choice)
