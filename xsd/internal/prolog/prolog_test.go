package prolog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"

	"mezhved/envelopes/xmltape"
)

func TestEncodings(t *testing.T) {
	text := func(name string) string {
		return `<?xml version="1.0" encoding="` + name + `" standalone="no"?>` + "\n<схема о='ё—№'>Я</схема>"
	}
	wide := func(name string, order binary.AppendByteOrder, mark bool) []byte {
		var b []byte
		if mark {
			b = order.AppendUint16(b, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(text(name) + "<!--\U0001F4DC-->")) {
			b = order.AppendUint16(b, u)
		}
		return b
	}
	cyrillic := func(name string, m *charmap.Charmap) []byte {
		b, err := m.NewEncoder().String(strings.ReplaceAll(text(name), "—", "-"))
		if err != nil {
			b, err = m.NewEncoder().String(strings.NewReplacer("—", "-", "№", "N").Replace(text(name)))
		}
		if err != nil {
			t.Fatal(err)
		}
		return []byte(b)
	}
	for name, src := range map[string][]byte{
		"utf-8":                       []byte(text("UTF-8")),
		"utf-8 with a mark":           []byte("\xef\xbb\xbf" + text("utf-8")),
		"windows-1251":                cyrillic("windows-1251", charmap.Windows1251),
		"cp1251":                      cyrillic("CP1251", charmap.Windows1251),
		"koi8-r":                      cyrillic("KOI8-R", charmap.KOI8R),
		"iso-8859-5":                  cyrillic("ISO-8859-5", charmap.ISO8859_5),
		"ibm866":                      cyrillic("IBM866", charmap.CodePage866),
		"utf-16, big end first":       wide("UTF-16", binary.BigEndian, true),
		"utf-16, little end first":    wide("utf-16", binary.LittleEndian, true),
		"utf-16 without a mark, big":  wide("UTF-16", binary.BigEndian, false),
		"utf-16le without a mark":     wide("UTF-16LE", binary.LittleEndian, false),
		"utf-16 without a word of it": bytes.Replace(wide("q", binary.LittleEndian, true), utf16le(` encoding="q"`), nil, 1),
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := Read(src)
			if err != nil {
				t.Fatal(err)
			}
			var tape xmltape.Tape
			if err := tape.Parse(out, xmltape.Limits{}); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
			if got, want := string(tape.Root().Local()), "схема"; got != want {
				t.Errorf("root %q, want %q", got, want)
			}
			if line, col := tape.Position(bytes.Index(out, []byte("о="))); line != 2 || col != 8 {
				t.Errorf("attribute at %d:%d, want 2:8", line, col)
			}
		})
	}
}

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func TestRefused(t *testing.T) {
	lol := `<!DOCTYPE s [<!ENTITY a0 "lol">`
	for c := 'b'; c <= 'k'; c++ {
		lol += "<!ENTITY " + string(c) + `0 "` + strings.Repeat("&"+string(c-1)+"0;", 10) + `">`
	}
	for _, c := range []struct{ name, src, place, want string }{
		{"windows-1251 without that octet", "<?xml version='1.0' encoding='windows-1251'?>\n<a>\x98</a>", "2:4", "here stands an octet that the declared encoding windows-1251 does not have"},
		{"no ASCII", "<?xml version='1.0' encoding='US-ASCII'?>\n<a>\xe9</a>", "2:4", "octet 0xe9 does not belong to the declared encoding US-ASCII"},
		{"an encoding of nobody", "<?xml version='1.0' encoding='x-mac-elvish'?><a/>", "1:31", "encoding x-mac-elvish is not supported"},
		{"UTF-16 in word only", "<?xml version='1.0' encoding='UTF-16'?><a/>", "1:31", "the declaration says UTF-16, but the octets are not"},
		{"UTF-8 in word only", string(append([]byte("\xff\xfe"), utf16le("<?xml version='1.0' encoding='utf-8'?><a/>")...)), "1:31", "the document is written in UTF-16"},
		{"half a pair", "\xff\xfe<\x00a\x00\x00\xd8/\x00>\x00", "1:3", "half a pair of UTF-16"},
		{"half a character", "\xff\xfe<\x00a\x00/\x00>\x00\x20", "1:5", "in the middle of a character"},
		{"UTF-32", "\x00\x00\xfe\xff\x00\x00\x00<", "1:1", "encoding UTF-32 is not supported"},
		{"EBCDIC", "\x4c\x6f\xa7\x94", "1:1", "encoding EBCDIC is not supported"},
		{"a billion laughs", lol + "]>\n<s>&k0;</s>", "2:4", "too many entities"},
		{"a circle", `<!DOCTYPE s [<!ENTITY a "&b;"><!ENTITY b "&a;">]><s x="&a;"/>`, "1:50", "entity a contains itself"},
		{"a circle of parameters", `<!DOCTYPE s [<!ENTITY % a "&#37;a;">%a;]><s/>`, "1:37", "entity %a contains itself"},
		{"half an element", `<!DOCTYPE s [<!ENTITY a "<b>">]><s>&a;</b></s>`, "1:36", "entity a opens an element and does not close it"},
		{"the other half", `<!DOCTYPE s [<!ENTITY a "</s>">]><s>&a;`, "1:37", "entity a closes an element that was not opened in it"},
		{"markup in an attribute", `<!DOCTYPE s [<!ENTITY a "<b/>">]><s x="&a;"/>`, "1:34", "entity a brings a < into an attribute value"},
		{"not declared", "<!DOCTYPE s [<!ENTITY a ''>]>\n<s>&b;</s>", "2:4", "entity b is not declared"},
		{"declared elsewhere", "<!DOCTYPE s SYSTEM 's.dtd'>\n<s>&b;</s>", "2:4", "nothing outside it is read: write its text in"},
		{"a file of the machine", "<!DOCTYPE s [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>\n<s>&x;</s>", "2:4", "entity x lies outside the document, where nothing is read"},
		{"a parameter inside a declaration", "<!DOCTYPE s [<!ENTITY % p 'x'><!ENTITY a '%p;'>]><s/>", "1:42", "may not be referred to inside a declaration"},
		{"declared after something unread", "<!DOCTYPE s [<!ENTITY % p SYSTEM 'p'>%p;<!ENTITY a 'x'>]><s>&a;</s>", "1:61", "nothing outside it is read"},
		{"unfinished", "<!DOCTYPE s [<!ENTITY a 'x'>", "1:29", `"]" is expected here`},
		{"no such character", "<!DOCTYPE s [<!ENTITY a '&#0;'>]><s/>", "1:25", "a reference to a character that XML does not have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Read([]byte(c.src))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an error", err)
			}
			if !strings.Contains(e.Error(), c.want) || e.Russian() == "" || strings.Contains(e.Error()+e.Russian(), "%!") {
				t.Errorf("got %q, %q; want %q", e.Error(), e.Russian(), c.want)
			}
			if got := place(e); got != c.place {
				t.Errorf("at %s, want %s", got, c.place)
			}
		})
	}
}

func place(e *Error) string {
	return strings.TrimSuffix(strings.Join([]string{itoa(e.Line), itoa(e.Col)}, ":"), ":")
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// documents are read by us and by libxml2 with the same result; the comment is
// what they try.
var documents = []string{
	`<!DOCTYPE s><s/>`,
	`<?xml version="1.0" standalone="yes"?><!-- <!DOCTYPE --><?p <!DOCTYPE?><!DOCTYPE s SYSTEM "none.dtd" [ ]><s a="1"/>`,
	`<!DOCTYPE s [<!ATTLIST s xmlns:p CDATA #FIXED "urn:p" b NMTOKENS " x  y " c (a|b) "a" d CDATA #IMPLIED e ID #REQUIRED>]><s b=" 1  2 "><p:t/></s>`,
	`<!DOCTYPE s [<!ATTLIST s a CDATA "1"><!ATTLIST s a CDATA "2" b CDATA "'&lt;&#38;'">]><s/>`,
	`<!DOCTYPE s [<!ENTITY u 'urn:"a"'><!ENTITY e "<b c='&u;'>&#38;#60; &u;</b>">]><s a='&u;' b="&u;">x&e;y<![CDATA[&e;]]><!-- &e; --></s>`,
	`<!DOCTYPE s [<!ENTITY a "1"><!ENTITY a "2"><!ENTITY % d '<!ENTITY b "3"><!ATTLIST s x CDATA "&a;">'>%d;]><s>&a;&b;</s>`,
	"<!DOCTYPE s [\n<!ELEMENT s ANY>\n<!NOTATION n SYSTEM \">\">\n<!-- ] -->\n<?x ]> ?>\n<!ENTITY z SYSTEM 'x' NDATA n>\n]>\n<s>\n</s>",
	"<!DOCTYPE s [<!ENTITY l 'a\nb'>]>\n<s t='&l;'>&l;</s>",
	`<!DOCTYPE s [<!ENTITY lt "&#38;#60;"><!ENTITY amp "&#38;#38;">]><s a="&lt;">&lt;&amp;</s>`,
	`<!DOCTYPE s [<!ATTLIST t a CDATA "v">]><s><t/><t a="w"></t><t ></t></s>`,
	`<!DOCTYPE п:с [<!ATTLIST п:с xmlns:п CDATA #FIXED "urn:p">]><п:с/>`,
}

func TestAsLibxml2(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed: nothing to compare with")
	}
	canonical := func(src string) string {
		cmd := exec.Command(xmllint, "--c14n", "--noent", "--dtdattr", "--nonet", "-")
		cmd.Stdin = strings.NewReader(src)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("xmllint: %v on %q", err, src)
		}
		return strings.NewReplacer("&#xA;", " ", "\n", " ").Replace(string(out))
	}
	for _, src := range documents {
		out, _, err := Read([]byte(src))
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		if err := new(xmltape.Tape).Parse(out, xmltape.Limits{}); err != nil {
			t.Errorf("%q became %q: %v", src, out, err)
			continue
		}
		if got, want := canonical(string(out)), canonical(src); got != want {
			t.Errorf("%q\n became %q\n got %q\nwant %q", src, out, got, want)
		}
		if got, want := strings.Count(string(out), "\n"), strings.Count(src, "\n"); got != want {
			t.Errorf("%q has %d lines, want %d", out, got, want)
		}
	}
}

func TestNotes(t *testing.T) {
	_, notes, err := Read([]byte("<?xml version='1.0' encoding='koi8-r'?><!DOCTYPE s PUBLIC '-//W3C//DTD XMLSCHEMA 200102//EN' 'XMLSchema.dtd' [<!ENTITY % x SYSTEM 'y'>%x;]><s/>"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range notes {
		got = append(got, n.English)
	}
	want := []string{"the document is in koi8-r: it was read as the same text in UTF-8", `the external subset "XMLSchema.dtd" of the DTD is not read`, "entity %x; lies outside the document and is not read"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzRead: reading ends within its bounds, and what comes out has no document
// type declaration that the gate would refuse.
// What is passed over is told once, and not as often as somebody writes it.
func TestNotesAreFew(t *testing.T) {
	_, notes, err := Read([]byte(`<!DOCTYPE a [` + strings.Repeat("%p;", 5000) + `]><a/>`))
	if err != nil || len(notes) != 1 {
		t.Errorf("%d notes, %v, want one", len(notes), err)
	}
	if _, notes, err := Read([]byte(`<!DOCTYPE a [` + strings.Repeat("%p;", 500_000) + `]><a/>`)); err == nil {
		t.Errorf("half a million references are read, with %d notes", len(notes))
	}
}

func FuzzRead(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		out, _, err := Read(src)
		if err != nil {
			return
		}
		if len(out) > 3*len(src)+maxGrowth {
			t.Errorf("%d octets from %d", len(out), len(src))
		}
		var xe *xmltape.Error
		if err := new(xmltape.Tape).Parse(out, xmltape.Limits{}); errors.As(err, &xe) && xe.Code == xmltape.CodeDoctype && bytes.HasPrefix(out[xe.Offset:], []byte("<!DOCTYPE")) && bytes.Count(src, []byte("<!DOCTYPE")) < 2 && !bytes.Contains(src, []byte("\x00")) {
			t.Errorf("a document type declaration is left in %q", out)
		}
	})
}
