//go:build !amd64 || purego

package p256

const adx = false

func addADX(*extended, *affine) bool { return false }
