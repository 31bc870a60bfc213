//go:build !purego

package p256

import "golang.org/x/sys/cpu"

// bmi says that the processor counts noughts and shifts without its flags.
var bmi = cpu.X86.HasBMI1 && cpu.X86.HasBMI2

// divideBMI is divide where the processor has BMI1 and BMI2.
//
//go:noescape
func divideBMI(t *division, m *modulus)
