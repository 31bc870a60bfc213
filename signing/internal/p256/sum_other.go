//go:build !amd64 || purego

package p256

const ifma = false

func sumIFMA(*block, int, *[2][5]uint64) {}

func selectIFMA(*[8]block, *secretTable, *[8]choice) {}
