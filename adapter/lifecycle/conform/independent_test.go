package conform

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// TestTheOtherTransform: written twice, over the tape and over a tree, the transform
// gives the same octets, whatever the prefixes, attributes and characters.
func TestTheOtherTransform(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func() string {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(pick("a", "межвед ", "&lt;", "&gt;", ">", "&amp;", "]]&gt;", "&#13;", "\n", "\t", " ", "\u0080", "𝕏", `"`))
		}
		return strings.ReplaceAll(b.String(), "]]>", "]] >")
	}
	var element func(depth int) string
	element = func(depth int) string {
		p := pick("a", "b", "c")
		attrs := ""
		if r.IntN(2) == 0 {
			attrs += ` xmlns:c="` + pick("urn:1", "urn:2", "urn:three") + `"`
		}
		if r.IntN(2) == 0 {
			attrs += ` Id="` + strings.NewReplacer(`"`, "&quot;", "\n", " ", "\t", " ").Replace(text()) + `"`
		}
		for _, q := range []string{"a:z", "b:y", "Я"} {
			if r.IntN(3) == 0 {
				attrs += " " + q + `="` + pick("1", "&#9;", "&amp;") + `"`
			}
		}
		inner := text()
		if depth > 0 {
			for range r.IntN(4) {
				inner += element(depth-1) + pick("", " ", "\n  ", text(), "<!-- x -->", "<?p x?>")
			}
		}
		return fmt.Sprintf("<%s:%s%s>%s</%s:%[2]s>", p, "Имя", attrs, inner, p)
	}
	for i := range 2000 {
		doc := `<a:root xmlns:a="urn:1" xmlns:b="urn:2" xmlns:c="urn:three">` + element(3) + `</a:root>`
		tape := new(xmltape.Tape)
		if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		var want bytes.Buffer
		if err := signing.Transform(&want, tape.Root().First(), signing.Woodstox); err != nil {
			t.Fatal(err)
		}
		tree := etree.NewDocument()
		if err := tree.ReadFromBytes([]byte(doc)); err != nil {
			t.Fatal(err)
		}
		if got := transformed(tree.Root().ChildElements()[0]); !bytes.Equal(got, want.Bytes()) {
			at := 0
			for at < len(got) && at < want.Len() && got[at] == want.Bytes()[at] {
				at++
			}
			from := max(at-40, 0)
			t.Fatalf("document %d, byte %d:\ngot  %q\nwant %q", i, at, got[from:min(at+40, len(got))], want.Bytes()[from:min(at+40, want.Len())])
		}
	}
}
