package signing

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/envelopes/xmltape/cost"
)

// In the steady state the walks over the tape allocate nothing, and a
// verification only what crypto/rsa and crypto/ecdsa do.
func TestAllocations(t *testing.T) {
	doc := signedRequest(t, benchContent(40<<10), signer(t, KeyRSA2048))
	tape := parse(t, doc)
	sig, target := caller(tape)
	v := verifier(t, Options{})
	scratch := new(scratch)
	for _, tt := range []struct {
		name string
		max  float64
		run  func() error
	}{
		{"transform", 0, func() error { return scratch.smev.run(io.Discard, target, Woodstox) }},
		{"transform, JDK form", 0, func() error { return scratch.smev.run(io.Discard, target, JDK) }},
		{"canonicalisation", 0, func() error { return scratch.c14n.run(io.Discard, Subset{Element: target}, Exclusive) }},
		{"verification, RSA", 12, func() error { _, err := v.verify(scratch, sig, target, testNow); return err }},
	} {
		if err := tt.run(); err != nil {
			t.Fatal(err)
		}
		got := testing.AllocsPerRun(50, func() {
			if err := tt.run(); err != nil {
				t.Fatal(err)
			}
		})
		if got > tt.max {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.max)
		}
	}
}

// hostile documents are made to be expensive: what they cost must grow with their
// size and not faster.
func TestCostIsLinear(t *testing.T) {
	wide := func(n int) string { // elements with many attributes of many prefixes
		var decls, attrs strings.Builder
		for i := range 100 {
			fmt.Fprintf(&decls, ` xmlns:p%d="urn:p%d"`, i, i)
			fmt.Fprintf(&attrs, ` p%d:a="%d"`, 99-i, i)
		}
		return `<p0:r Id="I"` + decls.String() + `>` + strings.Repeat(`<p0:e`+attrs.String()+`/>`, n) + `</p0:r>`
	}
	rebound := func(n int) string { // each element declares anew
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `<a xmlns="urn:%d" xmlns:p="urn:q%d" p:x="1"><p:b/></a>`, i, i)
		}
		return `<r xmlns="urn:r" Id="I">` + b.String() + `</r>`
	}
	ids := func(n int) string { // all of one length, as someone might who knows the hash
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `<a Id="x%08d"/>`, i)
		}
		return `<r xmlns="urn:r" Id="I">` + b.String() + `</r>`
	}
	texts := func(n int) string { // a text of as many tokens as there can be
		return `<r xmlns="urn:r" Id="I">` + strings.Repeat(`x<!---->&gt;<![CDATA[]]]]>`, n) + `</r>`
	}
	for name, make := range map[string]func(int) string{"wide": wide, "rebound": rebound, "ids": ids, "texts": texts} {
		of := func(n int) (time.Duration, int) {
			rounds := 1600 / n
			doc := make(n)
			tape := new(xmltape.Tape)
			if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			best := time.Hour
			for range 5 {
				best = min(best, cost.Spent(func() {
					for range rounds {
						s := new(scratch)
						if _, err := s.ids.find(tape, []byte("I")); err != nil {
							t.Fatal(err)
						}
						for form := Woodstox; form <= JDK; form++ {
							if err := s.smev.run(io.Discard, tape.Root(), form); err != nil {
								t.Fatal(err)
							}
						}
						if err := s.c14n.run(io.Discard, Subset{Element: tape.Root()}, Exclusive); err != nil {
							t.Fatal(err)
						}
					}
				})/time.Duration(rounds))
			}
			return best, len(doc)
		}
		small, smallSize := of(100)
		large, largeSize := of(1600)
		growth := float64(large) / float64(small) / (float64(largeSize) / float64(smallSize))
		if growth > 6 {
			t.Errorf("%s: %d bytes take %v, %d bytes %v: %.1f times more than linear", name, smallSize, small, largeSize, large, growth)
		}
	}
}

// Namespace names are attribute values and escaped as such; libxml2 forgets it.
func TestNamespaceNamesAreEscaped(t *testing.T) {
	var got bytes.Buffer
	const doc = `<a xmlns="http://e.org/?x=1&amp;y=&quot;2&quot;&lt;"></a>`
	if err := Canonicalize(&got, Subset{Element: parse(t, doc).Root()}, Exclusive); err != nil || got.String() != doc {
		t.Errorf("got %s, %v, want %s", got.String(), err, doc)
	}
}
