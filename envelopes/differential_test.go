package envelopes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// bend makes every systematic variant of a call: each of the envelope's own
// elements deleted, doubled, swapped, renamed, moved to another namespace, given
// text, an attribute, another value.
func bend(t *testing.T, doc string) map[string]string {
	out := map[string]string{}
	root := element(t, doc)
	var walk func(n xmltape.Node)
	walk = func(n xmltape.Node) {
		if !strings.HasPrefix(n.Space(), smev) || n.Space() == ProcessSpace {
			return // content, signatures: the wildcards' business
		}
		off, end := n.Range()
		path := n.XPath()
		put := func(what, with string) { out[what+" "+path] = doc[:off] + with + doc[end:] }
		self := doc[off:end]
		put("delete", "")
		put("double", self+self)
		put("rename", strings.ReplaceAll(self, ":"+n.Local(), ":"+n.Local()+"X"))
		put("comment", "<!-- x -->"+self)
		put("text before", "x"+self)
		tok := n.Token()
		name := 1 + int(tok.NameLen)
		put("attribute", self[:name]+` foo="1"`+self[name:])
		put("schemaLocation", self[:name]+` xmlns:si="`+XSISpace+`" si:schemaLocation="a b"`+self[name:])
		put("xsi:nil", self[:name]+` xmlns:si="`+XSISpace+`" si:nil="true"`+self[name:])
		if _, ok := n.Attr("", "Id"); ok {
			put("Id deleted", dropAttr(self, "Id"))
			put("Id 1", strings.Replace(self, `Id="`, `Id="1`, 1))
			put("Id lower", strings.Replace(self, ` Id="`, ` id="`, 1))
		}
		if next := n.Next(); next.Valid() {
			_, nextEnd := next.Range()
			noff, _ := next.Range()
			out["swap "+path] = doc[:off] + doc[noff:nextEnd] + doc[end:noff] + self + doc[nextEnd:]
		}
		if !n.First().Valid() && tok.Flags&xmltape.SelfClosing == 0 {
			open := int(tok.End) - off
			for _, v := range []string{"", " ", "zzz", "1", "-1", "ййй", strings.Repeat("x", 51), strings.Repeat("y", 501), strings.Repeat("я", 1501), strings.Repeat("z", 4001),
				"2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "true", otherID, "application/pdf", "a/b", "AQID", "AQI", "NO_DATA", "urn:x y"} {
				put("value "+cut(v, 20)+fmt.Sprint(len(v)), self[:open]+v+self[open+len(n.Inner()):])
			}
		}
		for c := range n.Children() {
			walk(c)
		}
	}
	walk(root.Child(SOAPSpace, "Body").First())
	return out
}

func dropAttr(s, name string) string {
	i := strings.Index(s, " "+name+`="`)
	j := strings.Index(s[i+len(name)+3:], `"`)
	return s[:i] + s[i+len(name)+3+j+1:]
}

// TestCheckAgreesWithTheSchema holds Check against libxml2 and the XSD that we
// serve, on thousands of bent calls. The two may differ only where Check says so.
func TestCheckAgreesWithTheSchema(t *testing.T) {
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	for _, v := range Versions {
		dir := t.TempDir()
		for _, name := range Documents(v) {
			b, err := os.ReadFile(filepath.Join("schemas", v.String(), name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		all := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="` + v.TypesSpace() + `" schemaLocation="smev-message-exchange-types-` + v.String() + `.xsd"/></xs:schema>`
		if err := os.WriteFile(filepath.Join(dir, "all.xsd"), []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
		type verdict struct {
			name, doc string
			ours      error
		}
		docs := map[string]verdict{}
		var files []string
		for call, draft := range someCalls(t, v) {
			doc := strings.ReplaceAll(string(draft.Seal([]byte(signature))), ` xsi:type="q:Лицо"`, "")
			for name, bent := range bend(t, doc) {
				tape := new(xmltape.Tape)
				e, err := Parse("text/xml", []byte(bent), tape, Limits{})
				var refused *ParseError
				if errors.As(err, &refused) || err == nil && e.call.Local() != op(call)+"Request" {
					continue // Body itself was bent
				}
				if err != nil {
					t.Fatalf("%s %s: %v", call, name, err)
				}
				file := fmt.Sprintf("%05d.xml", len(files))
				if err := os.WriteFile(filepath.Join(dir, file), inContext(e.call), 0o644); err != nil {
					t.Fatal(err)
				}
				docs[file] = verdict{call + ": " + name, bent, e.Check()}
				files = append(files, file)
			}
		}
		args := append([]string{"--noout", "--nonet", "--schema", "all.xsd"}, files...)
		c := exec.Command(tool, args...)
		c.Dir = dir
		out, _ := c.CombinedOutput()
		valid := map[string]bool{}
		told := 0
		for line := range strings.SplitSeq(string(out), "\n") {
			if f, ok := strings.CutSuffix(line, " validates"); ok {
				valid[f], told = true, told+1
			} else if strings.HasSuffix(line, " fails to validate") {
				told++
			}
		}
		if told != len(files) {
			t.Fatalf("%s: xmllint judged %d of %d documents", v, told, len(files))
		}
		accepted := 0
		for file, d := range docs {
			if valid[file] {
				accepted++
			}
			if valid[file] == (d.ours == nil) || excused(v, d.name, d.doc, d.ours) {
				continue
			}
			t.Errorf("%s %s: schema valid %v, Check says %v", v, d.name, valid[file], d.ours)
		}
		t.Logf("%s: %d bent calls, %d valid", v, len(files), accepted)
	}
}

func op(call string) string {
	name, _, _ := strings.Cut(call, "-")
	return name
}

// excused are the differences that are meant: each has its reason in the code
// that makes it.
func excused(v Version, name, doc string, ours error) bool {
	has := func(s string) bool { return strings.Contains(name, s) }
	switch {
	case ours == nil && has(":MessageID") && !has("Routing") && has("value "):
		return true // the sender's own MessageID has a fault of its own, InvalidMessageIdFormat
	case ours == nil && has("AckTargetMessage") && has("value "):
		return true // what cannot be awaited gives TargetMessageIsNotFound
	case ours == nil && has("delete") && strings.HasPrefix(name, "GetStatus") && has("CallerInformationSystemSignature"):
		return true // a missing signature is NoSignatureFound, not a matter of format
	case ours == nil && (has(":NamespaceURI") || has(":RootElementLocalName")):
		return true // an empty selector selects everything
	case ours != nil && (has(":NamespaceURI") || has(":RootElementLocalName")):
		return true // both or none, which the schema as generic clients can read it does not say
	case ours != nil && has("value ") && (has(":Content") || has(":Hash") || has(":SignaturePKCS7")):
		return true // libxml2 skips what is no base64 instead of refusing it
	case ours != nil && has("double") && has("/bas:AttachmentContent"):
		return true // libxml2 does not hold elements of type xs:ID against one another
	case has("value ") && has(":NamespaceUri"):
		return true // libxml2 has its own idea of anyURI; XML Schema takes nearly everything
	}
	return false
}
