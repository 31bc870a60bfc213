package xsd

import (
	"strings"
	"testing"
)

// The value of an element is its text, however it is written: nothing, one plain
// run, one with references, CDATA, or runs with comments in between.
func TestContentIsTheTextHoweverWritten(t *testing.T) {
	s := mustCompile(t, inSchema(`<xs:element name="a" type="t:T"/>
		<xs:simpleType name="T"><xs:restriction base="xs:string"><xs:enumeration value=""/><xs:enumeration value="x&amp;y"/></xs:restriction></xs:simpleType>`))
	for doc, want := range map[string]bool{
		`<a/>`:                       true,
		`<a></a>`:                    true,
		`<a><!-- nothing --></a>`:    true,
		`<a><![CDATA[]]></a>`:        true,
		`<a>x&amp;y</a>`:             true,
		`<a>x&#38;y</a>`:             true,
		`<a><![CDATA[x&y]]></a>`:     true,
		`<a>x<!-- and -->&amp;y</a>`: true,
		`<a>x&amp;amp;y</a>`:         false,
		`<a><![CDATA[x&amp;y]]></a>`: false,
		`<a>x</a>`:                   false,
		`<a> </a>`:                   false,
		`<a>x&amp;y<!-- --> </a>`:    false,
		`<a><!--x&amp;y--></a>`:      true, // which is empty
	} {
		if f := s.Validate(parseTape(t, []byte(strings.Replace(doc, "<a", `<a xmlns="urn:t"`, 1))).Root()); (f == nil) != want {
			t.Errorf("%s: %v, want valid: %v", doc, f, want)
		}
	}
}

// One plain run, as nearly all values are, is not copied.
func TestAPlainRunIsNotCopied(t *testing.T) {
	tape := parseTape(t, []byte("<a>text</a>"))
	v := Validator{tape: tape, tokens: tape.Tokens}
	root := tape.Root()
	raw, ok := v.content(int32(root.Index()), root.Token())
	if !ok || string(raw) != "text" || &raw[0] != &tape.Source()[3] {
		t.Errorf("%q, %v: not the bytes of the document", raw, ok)
	}
}
