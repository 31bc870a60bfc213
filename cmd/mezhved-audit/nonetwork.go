//go:build offline

package main

const networkExamples = ""

// networkCommands: this build has none.
type networkCommands struct{}
