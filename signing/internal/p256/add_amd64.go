//go:build !purego

package p256

import "golang.org/x/sys/cpu"

// adx says that the processor multiplies without touching its flags (BMI2) and has two
// chains of carries at once (ADX).
var adx = cpu.X86.HasADX && cpu.X86.HasBMI2

// addADX is extended.add of two points of which neither is the other, nor its opposite, nor
// the one at infinity; otherwise it says false and has changed nothing.
//
//go:noescape
func addADX(p *extended, q *affine) bool
