package conform

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf16"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// independently verifies a signature, whose value package signing has verified over
// its own octets, on another way: the document is parsed by encoding/xml into a tree
// of etree, the SMEV transform is written once more, from the guidelines, over the
// tree and gives the digest, and goxmldsig makes SignedInfo canonical, in the same
// octets as those over which the value held. A line end written as itself in an
// attribute, which encoding/xml does not make a blank, is more than this way can
// take; a receipt has none.
func independently(doc []byte, sig, target xmltape.Node) error {
	tree := etree.NewDocument()
	tree.ReadSettings.PreserveCData = false
	if err := tree.ReadFromBytes(doc); err != nil {
		return fmt.Errorf("разбор: %w", err)
	}
	id, _ := target.Attr("", "Id")
	var element *etree.Element
	for _, e := range tree.FindElements("//[@Id='" + id + "']") {
		if element != nil {
			return fmt.Errorf("Id %q не единственный", id)
		}
		element = e
	}
	if element == nil {
		return fmt.Errorf("нет элемента с Id %q", id)
	}
	ref := sig.Child(signing.Namespace, "SignedInfo").Child(signing.Namespace, "Reference")
	method, _ := ref.Child(signing.Namespace, "DigestMethod").Attr("", "Algorithm")
	want, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(ref.Child(signing.Namespace, "DigestValue").Text())), ""))
	if err != nil {
		return fmt.Errorf("DigestValue: %w", err)
	}
	switch signing.Digest(method) {
	case signing.SHA256, signing.SHA384, signing.SHA512, signing.Streebog256, signing.Streebog512:
	default:
		return fmt.Errorf("алгоритм хэша %q", method)
	}
	got, err := digestOf(signing.Digest(method), transformed(element))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("хэш преобразованного элемента не равен DigestValue")
	}
	var info *etree.Element
	walkTree(tree.Root(), func(e *etree.Element) {
		if e.Tag == "SignedInfo" && e.NamespaceURI() == signing.Namespace && strings.Contains(digestValueOf(e), strings.TrimSpace(string(ref.Child(signing.Namespace, "DigestValue").Text()))) {
			info = e
		}
	})
	if info == nil {
		return errors.New("SignedInfo не найден")
	}
	theirs, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(detached(info))
	if err != nil {
		return err
	}
	var ours bytes.Buffer
	if err := signing.Canonicalize(&ours, signing.Subset{Element: sig.Child(signing.Namespace, "SignedInfo")}, signing.Exclusive); err != nil {
		return err
	}
	if !bytes.Equal(theirs, ours.Bytes()) {
		return errors.New("каноническая форма SignedInfo зависит от способа канонизации")
	}
	return nil
}

func digestValueOf(e *etree.Element) (out string) {
	walkTree(e, func(n *etree.Element) {
		if n.Tag == "DigestValue" {
			out = n.Text()
		}
	})
	return out
}

func walkTree(e *etree.Element, do func(*etree.Element)) {
	do(e)
	for _, c := range e.ChildElements() {
		walkTree(c, do)
	}
}

// detached is a copy of an element that declares itself what it inherits.
func detached(e *etree.Element) *etree.Element {
	out := e.Copy()
	declared := map[string]bool{}
	for at := e; at != nil; at = at.Parent() {
		for _, a := range at.Attr {
			name := ""
			switch {
			case a.Space == "xmlns":
				name = a.Key
			case a.Space != "" || a.Key != "xmlns":
				continue
			}
			if declared[name] {
				continue
			}
			declared[name] = true
			if at != e {
				out.Attr = append(out.Attr, a)
			}
		}
	}
	return out
}

// transformed is the SMEV transform of an element by the rules of the guidelines
// (appendix 1; 3.5, rule 9).
func transformed(e *etree.Element) []byte {
	t := &treeTransform{}
	t.element(e, nil)
	return t.b.Bytes()
}

type treeTransform struct {
	b    bytes.Buffer
	made int
}

// mapping is a prefix in force; the innermost stands last.
type mapping struct{ uri, prefix string }

func (t *treeTransform) element(e *etree.Element, scope []mapping) {
	scope = scope[:len(scope):len(scope)]
	var declared []mapping
	prefix := func(uri string) string {
		if uri == "" {
			return ""
		}
		for i := len(scope) - 1; i >= 0; i-- {
			if scope[i].uri == uri {
				return scope[i].prefix + ":"
			}
		}
		t.made++
		m := mapping{uri, fmt.Sprintf("ns%d", t.made)}
		scope, declared = append(scope, m), append(declared, m)
		return m.prefix + ":"
	}
	name := prefix(e.NamespaceURI()) + e.Tag
	var attrs []etree.Attr
	for _, a := range e.Attr {
		if a.Space != "xmlns" && !(a.Space == "" && a.Key == "xmlns") {
			attrs = append(attrs, a)
		}
	}
	uri := func(a etree.Attr) string {
		if a.Space == "" {
			return ""
		}
		return a.NamespaceURI()
	}
	sort.SliceStable(attrs, func(i, j int) bool {
		a, b := uri(attrs[i]), uri(attrs[j])
		if (a == "") != (b == "") {
			return a != ""
		}
		if a != b {
			return javaLess(a, b)
		}
		return javaLess(attrs[i].Key, attrs[j].Key)
	})
	written := make([]string, len(attrs))
	for i, a := range attrs {
		written[i] = prefix(uri(a)) + a.Key
	}
	t.b.WriteString("<" + name)
	for _, m := range declared {
		t.b.WriteString(" xmlns:" + m.prefix + `="` + attributeText(m.uri) + `"`)
	}
	for i, a := range attrs {
		t.b.WriteString(" " + written[i] + `="` + attributeText(a.Value) + `"`)
	}
	t.b.WriteString(">")
	var text strings.Builder
	flush := func() {
		if s := text.String(); strings.ContainsFunc(s, func(r rune) bool { return r > ' ' }) {
			t.b.WriteString(characterText(s))
		}
		text.Reset()
	}
	for _, c := range e.Child {
		switch c := c.(type) {
		case *etree.CharData:
			text.WriteString(c.Data)
		case *etree.ProcInst: // ends a piece of text, a comment does not
			flush()
		case *etree.Element:
			flush()
			t.element(c, scope)
		}
	}
	flush()
	t.b.WriteString("</" + name + ">")
}

// javaLess is String.compareTo: by UTF-16 code units.
func javaLess(a, b string) bool {
	x, y := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return len(x) < len(y)
}

func attributeText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\r", "&#xd;", "\n", "&#xa;", "\t", "&#x9;").Replace(s)
}

// characterText escapes as the Woodstox writer does: lengths and chunks are of
// UTF-16 code units.
func characterText(s string) string {
	units := utf16.Encode([]rune(s))
	short := len(units) <= 11
	var out []uint16
	str := func(s string) { out = append(out, utf16.Encode([]rune(s))...) }
	escaped := false // the unit before was written as a reference
	for i, u := range units {
		first := i == 0 || !short && i%512 == 0
		was := escaped
		escaped = true
		switch {
		case u == '<':
			str("&lt;")
		case u == '&':
			str("&amp;")
		case u == '\r':
			str("&#xd;")
		case u == '>' && (first || i > 0 && units[i-1] == ']' || !short && was):
			str("&gt;")
		case u >= 0x7f && u <= 0x9f || u == 0xfffe || u == 0xffff:
			str(fmt.Sprintf("&#x%x;", u))
		default:
			out = append(out, u)
			escaped = false
		}
	}
	return string(utf16.Decode(out))
}
