//go:build !amd64 || purego

package gost

func compress(h, n, m *[8]uint64) { compressTables(h, n, m) }
