package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// Compiled by a profile that knows the insides of package crypto, sha256.Sum256 keeps its
// state on the heap: 128 bytes for each of some three hundred digests of an exchange.
func TestTheProfileLeavesCryptoAsItIs(t *testing.T) {
	f, err := os.Open("load.pgo")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil || len(p.Sample) == 0 {
		t.Fatalf("%d samples, %v", len(p.Sample), err)
	}
	for _, s := range p.Sample {
		for _, at := range s.Location {
			for _, line := range at.Line {
				if strings.HasPrefix(line.Function.Name, "crypto/") {
					t.Fatalf("a sample is of %s: make it as make profile does", line.Function.Name)
				}
			}
		}
	}
}
