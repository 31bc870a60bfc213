//go:build !amd64 || purego

package p256

const bmi = false

func divideBMI(*division, *modulus) {}
