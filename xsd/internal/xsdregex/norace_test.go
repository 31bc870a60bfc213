//go:build !race

package xsdregex

const raceDetector = false
