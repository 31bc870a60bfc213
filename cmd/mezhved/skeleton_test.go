package main

import "testing"

// A skeleton has the elements of a document and nothing that is said between them.
func TestASkeletonHasNoText(t *testing.T) {
	for document, want := range map[string]string{
		"<a xmlns=\"urn:x\">\n  <b>Иванов</b>\n  <c/>x\n</a>\n": "<a xmlns=\"urn:x\">\n  <b></b>\n  <c/></a>",
		"<a>text":        "<a>",
		"no element":     "",
		"<a><b> </b></a": "<a><b> </b>",
		"":               "",
	} {
		if got := string(skeleton([]byte(document))); got != want {
			t.Errorf("%q: %q, want %q", document, got, want)
		}
	}
}
