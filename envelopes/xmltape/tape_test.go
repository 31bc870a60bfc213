package xmltape_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/template"

	"mezhved/envelopes/xmltape"
)

func parse(t *testing.T, src string) *xmltape.Tape {
	t.Helper()
	var tape xmltape.Tape
	if err := tape.Parse([]byte(src), xmltape.Limits{}); err != nil {
		t.Fatalf("Parse(%.80q): %v", src, err)
	}
	return &tape
}

// TestGateVectors runs every vector of testdata/attacks that names the gate's
// answer. The first line says what must come, the rest is the document; with
// "expand" the document is a template, for what is too large to keep.
func TestGateVectors(t *testing.T) {
	files, err := filepath.Glob("../../testdata/attacks/gate/*.xml")
	if err != nil || len(files) < 50 {
		t.Fatalf("testdata/attacks/gate: %d vectors, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, doc, _ := bytes.Cut(raw, []byte("\n"))
			fields := strings.Fields(strings.Trim(string(header), "<!->; \r"))
			if len(fields) < 2 || fields[0] != "gate:" {
				t.Fatalf("header %q; want <!-- gate: CODE -->", header)
			}
			if len(fields) > 2 && fields[2] == "expand" {
				doc = expand(t, string(doc))
			}
			var tape xmltape.Tape
			err = tape.Parse(doc, xmltape.Limits{})
			got := "accept"
			var refused *xmltape.Error
			if errors.As(err, &refused) {
				got = string(refused.Code)
				if refused.Line < 1 || refused.Col < 1 || refused.Detail == "" {
					t.Errorf("refusal without place or reason: %#v", refused)
				}
			}
			if got != fields[1] {
				t.Errorf("got %s (%v), want %s", got, err, fields[1])
			}
			if err != nil && tape.Root().Valid() {
				t.Error("the tape of a refused document holds a root")
			}
		})
	}
}

func expand(t *testing.T, src string) []byte {
	t.Helper()
	tmpl, err := template.New("").Funcs(template.FuncMap{
		"repeat": func(n int, s string) string { return strings.Repeat(s, n) },
		"number": func(n int, s string) string {
			var b strings.Builder
			for i := range n {
				b.WriteString(strings.ReplaceAll(s, "#", strconv.Itoa(i)))
			}
			return b.String()
		},
		"nested": func(n int, open, end string) string {
			var b strings.Builder
			for i := range n {
				b.WriteString(strings.ReplaceAll(open, "#", strconv.Itoa(i)))
			}
			return b.String() + strings.Repeat(end, n)
		},
	}).Parse(strings.TrimSuffix(src, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestValues(t *testing.T) {
	for _, tt := range []struct{ src, attr, text string }{
		{`<a z="x">y</a>`, "x", "y"},
		{"<a z=\"1\t2\n3\r\n4\r5\">1\t2\n3\r\n4\r5</a>", "1 2 3 4 5", "1\t2\n3\n4\n5"},
		{`<a z="&#9;&#xA;&#13;&lt;&gt;&amp;&quot;&apos;">&#9;&#xA;&#13;&lt;&gt;&amp;&quot;&apos;</a>`, "\t\n\r<>&\"'", "\t\n\r<>&\"'"},
		{"<a z='\"'>ad<!-- x -->m<![CDATA[<i>\r\n]]>n<?pi?>.</a>", `"`, "adm<i>\nn."},
		{`<a z="Ёж &#x1F600;">Ёж &#128512; 😀</a>`, "Ёж 😀", "Ёж 😀 😀"},
		{`<a z="">x<b>not this</b>y</a>`, "", "xy"},
		{`<a z="]]>"/>`, "]]>", ""},
	} {
		root := parse(t, tt.src).Root()
		if got, ok := root.Attr("", "z"); got != tt.attr || !ok {
			t.Errorf("%q: attribute %q, want %q", tt.src, got, tt.attr)
		}
		if got := string(root.Text()); got != tt.text {
			t.Errorf("%q: text %q, want %q", tt.src, got, tt.text)
		}
	}
}

func TestBlank(t *testing.T) {
	for src, want := range map[string]bool{
		"<a> \t\r\n</a>": true, "<a>&#32;</a>": true, "<a>&#32; &#xA;\n</a>": true, "<a><![CDATA[ \n]]></a>": true,
		"<a>x</a>": false, "<a> x</a>": false, "<a>&#32;x</a>": false, "<a>&#32;]</a>": false, "<a>\u00a0</a>": false, "<a>&#160;</a>": false,
		"<a><![CDATA[]]></a>": true, "<a> \r x</a>": false,
	} {
		tok := parse(t, src).Tokens[1]
		if got := tok.Flags&xmltape.Blank != 0; got != want {
			t.Errorf("%q: blank %v, want %v", src, got, want)
		}
	}
}

func TestGreater(t *testing.T) {
	for src, want := range map[string]bool{
		"<a>x</a>": false, "<a>a lot of text and &gt; after it</a>": false, "<a>&#62;</a>": false, "<a> &amp; &lt; </a>": false,
		"<a>></a>": true, "<a>x > y</a>": true, "<a>a lot of text and > after it</a>": true, "<a>&amp;></a>": true, "<a>]]] ></a>": true, "<a>\uFEFF></a>": true,
	} {
		tok := parse(t, src).Tokens[1]
		if got := tok.Flags&xmltape.Greater != 0; got != want {
			t.Errorf("%q: greater %v, want %v", src, got, want)
		}
	}
}

// TestNamesMetAgain: what a name was resolved to before, in this document or in
// one before it, says nothing where its prefix is bound otherwise. The other
// opinion is that of encoding/xml.
func TestNamesMetAgain(t *testing.T) {
	names := []string{"a", "b", "p:a", "q:a", "abcdefgh", "abcdefghi", "abcdefghj", "p:abcdefgh", "p:abcdefghi", "p:abcdefghj", "имя", "имена", "p:имя",
		"p:" + strings.Repeat("n", 37), "p:" + strings.Repeat("n", 38), "p:" + strings.Repeat("n", 39), strings.Repeat("n", 39), strings.Repeat("n", 40) + "1", strings.Repeat("n", 40) + "2"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var element func(b *strings.Builder, depth int)
	element = func(b *strings.Builder, depth int) {
		name := pick(names...)
		b.WriteString("<" + name)
		attrs := map[string]bool{}
		for range random.IntN(4) {
			if attr := pick(names...); attr != "q:a" && !attrs[attr] { // p and q may be one namespace
				attrs[attr] = true
				b.WriteString(" " + attr + `="v"`)
			}
		}
		for _, prefix := range []string{"xmlns", "xmlns:p", "xmlns:q"} {
			if random.IntN(6) == 0 {
				b.WriteString(" " + prefix + `="urn:` + pick("1", "2", "3") + `"`)
			}
		}
		b.WriteString(pick(">", ">", " >", "\n>"))
		for range random.IntN(4) {
			if depth < 5 {
				element(b, depth+1)
			}
		}
		b.WriteString("</" + name + ">")
	}
	var tape xmltape.Tape
	for range 3000 {
		var b strings.Builder
		b.WriteString(`<r xmlns:p="urn:1" xmlns:q="urn:2">`)
		for range 4 {
			element(&b, 0)
		}
		b.WriteString("</r>")
		src := b.String()
		if err := tape.Parse([]byte(src), xmltape.Limits{}); err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		var got, want []string
		for i := range tape.Tokens {
			tok := &tape.Tokens[i]
			if tok.Kind != xmltape.Start {
				continue
			}
			got = append(got, tape.NodeAt(i).Space()+" "+tape.NodeAt(i).Local())
			for _, a := range tape.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
				got = append(got, "@"+string(tape.SpaceURI(tape.Space(a.Name)))+" "+string(tape.Local(a.Name)))
			}
		}
		for d := xml.NewDecoder(strings.NewReader(src)); ; {
			tok, err := d.Token()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			start, ok := tok.(xml.StartElement)
			if !ok {
				continue
			}
			want = append(want, start.Name.Space+" "+start.Name.Local)
			for _, a := range start.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					want = append(want, "@"+a.Name.Space+" "+a.Name.Local)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\n%q, want\n%q", src, got, want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	root := parse(t, `<p:a xmlns:p="urn:1" xmlns="urn:d" p:x="1" x="2"><b xmlns:p="urn:2"><p:c/><c xmlns=""/></b><p:a/></p:a>`).Root()
	if !root.Is("urn:1", "a") {
		t.Errorf("root is {%s}%s", root.Space(), root.Local())
	}
	if v, _ := root.Attr("urn:1", "x"); v != "1" {
		t.Errorf("qualified attribute %q", v)
	}
	if v, _ := root.Attr("", "x"); v != "2" {
		t.Errorf("unqualified attribute %q", v)
	}
	b := root.Child("urn:d", "b")
	if c := b.First(); !c.Is("urn:2", "c") || !c.Next().Is("", "c") || c.Next().Next().Valid() {
		t.Errorf("children of b: {%s}%s, {%s}%s", c.Space(), c.Local(), c.Next().Space(), c.Next().Local())
	}
	if after := b.Next(); !after.Is("urn:1", "a") || after.Name() != root.Name() {
		t.Errorf("the hidden prefix did not come back: {%s}%s", after.Space(), after.Local())
	}
	got := b.First().InScope()
	if len(got) != 2 || got[0] != (xmltape.Binding{Prefix: "p", URI: "urn:2"}) || got[1] != (xmltape.Binding{Prefix: "", URI: "urn:d"}) {
		t.Errorf("in scope: %v", got)
	}
	if got := b.First().Next().InScope(); len(got) != 1 || got[0].Prefix != "p" {
		t.Errorf("in scope where the default namespace is taken back: %v", got)
	}
	if got, want := b.First().Next().XPath(), "/p:a/b/c"; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if got := len(parse(t, `<a xmlns:x="undefined" xmlns="urn:a"/>`).Decls); got != 2 {
		t.Errorf("an unused relative namespace name: %d declarations, want 2", got)
	}
}

func TestPositionsAndPaths(t *testing.T) {
	tape := parse(t, "<a>\r\n<b/>\n\t<b>Ёлка<c/></b></a>")
	c := tape.Root().First().Next().First()
	off, _ := c.Range()
	if line, col := tape.Position(off); line != 3 || col != 9 {
		t.Errorf("position %d:%d, want 3:9", line, col)
	}
	if got, want := c.XPath(), "/a/b[2]/c"; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if got, want := string(c.Parent().Bytes()), "<b>Ёлка<c/></b>"; got != want {
		t.Errorf("bytes %s, want %s", got, want)
	}
}

// A document in another encoding that says so is told of the encoding, not of the
// first octet that is not UTF-8.
func TestADeclaredEncodingIsNamed(t *testing.T) {
	for src, want := range map[string]string{
		"<?xml version=\"1.0\" encoding=\"windows-1251\"?>\n<a>\xfe</a>": `declared encoding "windows-1251"; send UTF-8`,
		"<?xml version='1.0' encoding='UTF-8'?>\n<a>\xfe</a>":            "byte 0xfe is not UTF-8 here",
		"<a>\xfe</a>":                   "byte 0xfe is not UTF-8 here",
		"<?xml version='1.0'\xfe?><a/>": "byte 0xfe is not UTF-8 here",
	} {
		var e *xmltape.Error
		if err := new(xmltape.Tape).Parse([]byte(src), xmltape.Limits{}); !errors.As(err, &e) || e.Code != xmltape.CodeEncoding || e.Detail != want || e.Russian() == "" {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
	}
}

func TestParseReusesItsTables(t *testing.T) {
	doc := []byte(sample(4 << 10))
	var tape xmltape.Tape
	parseOnce := func() {
		if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	parseOnce()
	if n := testing.AllocsPerRun(50, parseOnce); n > 0 {
		t.Errorf("%v allocations per document in the steady state, want 0", n)
	}
	big := expand(t, `<a>{{number 15000 "<n#/>"}}</a>`)
	if err := tape.Parse(big, xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	parseOnce()
	if tape.LookupName("", "n7") != 0 {
		t.Error("a name of the document before is still known")
	}
	if tape.LookupName("urn:example:docs", "Фамилия") == 0 {
		t.Error("a name of this document is not known")
	}
}

// serialise writes the tape out again, with every value escaped.
func serialise(t *xmltape.Tape) []byte {
	var b bytes.Buffer
	esc := func(v []byte, attr bool) {
		for _, r := range string(v) {
			switch {
			case r == '<' || r == '&' || r == '>' || r == '"' || r == '\r' || (attr && (r == '\n' || r == '\t')):
				b.WriteString("&#" + strconv.Itoa(int(r)) + ";")
			default:
				b.WriteRune(r)
			}
		}
	}
	for i := range t.Tokens {
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Start:
			name := t.Source()[tok.Off+1 : tok.Off+1+uint32(tok.NameLen)]
			b.WriteString("<")
			b.Write(name)
			for k := range t.Decls[tok.Decl : tok.Decl+uint32(tok.NDecl)] {
				d := &t.Decls[int(tok.Decl)+k]
				b.WriteString(" xmlns")
				if d.PrefixLen > 0 {
					b.WriteString(":")
					b.Write(t.DeclPrefix(d))
				}
				b.WriteString(`="`)
				esc(t.SpaceURI(d.Space), true)
				b.WriteString(`"`)
			}
			for k := range t.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
				a := &t.Attrs[int(tok.Attr)+k]
				b.WriteString(" ")
				b.Write(t.Source()[a.Off : a.Off+uint32(a.NameLen)])
				b.WriteString(`="`)
				esc(t.AttrValue(a, nil), true)
				b.WriteString(`"`)
			}
			b.WriteString(">")
		case xmltape.End:
			start := &t.Tokens[tok.Match]
			b.WriteString("</")
			b.Write(t.Source()[start.Off+1 : start.Off+1+uint32(start.NameLen)])
			b.WriteString(">")
		case xmltape.Text, xmltape.CData:
			esc(t.CharData(tok, nil), false)
		default:
			b.Write(t.Source()[tok.Off:tok.End])
		}
	}
	return b.Bytes()
}

// infoset is a text form of what a document says, adjacent text joined.
func infoset(t *xmltape.Tape) string {
	var b strings.Builder
	text := ""
	flush := func() {
		if text != "" {
			b.WriteString("T" + strconv.Quote(text) + "\n")
		}
		text = ""
	}
	name := func(n xmltape.NameID) string {
		return "{" + string(t.SpaceURI(t.Space(n))) + "}" + string(t.Local(n))
	}
	for i := range t.Tokens {
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Text, xmltape.CData:
			text += string(t.CharData(tok, nil))
			continue
		}
		flush()
		switch tok.Kind {
		case xmltape.Start:
			b.WriteString("S" + name(tok.Name))
			for k := range t.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
				a := &t.Attrs[int(tok.Attr)+k]
				b.WriteString(" " + name(a.Name) + "=" + strconv.Quote(string(t.AttrValue(a, nil))))
			}
			b.WriteString("\n")
		case xmltape.End:
			b.WriteString("E" + name(tok.Name) + "\n")
		default:
			// A CR inside a comment or PI is a line end that parsers turn into LF.
			b.WriteString("M" + strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(t.Source()[tok.Off:tok.End])) + "\n")
		}
	}
	flush()
	return b.String()
}

// FuzzGate: what the gate accepts, serialised from the tape and parsed again,
// says the same; tokens nest and cover; and xmllint accepts it too.
func FuzzGate(f *testing.F) {
	for _, dir := range []string{"gate"} {
		files, _ := filepath.Glob("../../testdata/attacks/" + dir + "/*.xml")
		for _, file := range files {
			if raw, err := os.ReadFile(file); err == nil {
				_, doc, _ := bytes.Cut(raw, []byte("\n"))
				f.Add(doc)
			}
		}
	}
	f.Add([]byte(sample(2000)))
	xmllint, _ := exec.LookPath("xmllint")
	f.Fuzz(func(t *testing.T, doc []byte) {
		var tape xmltape.Tape
		err := tape.Parse(doc, xmltape.Limits{})
		if size, cost := tape.Size(), xmltape.Cost(doc, xmltape.Limits{}); size > cost {
			t.Fatalf("the tape takes %d bytes, %d were told", size, cost)
		}
		if err != nil {
			var refused *xmltape.Error
			if !errors.As(err, &refused) || refused.Offset < 0 || refused.Offset > len(doc) {
				t.Fatalf("refusal %v", err)
			}
			return
		}
		checkShape(t, &tape)
		out := serialise(&tape)
		var again xmltape.Tape
		if err := again.Parse(out, xmltape.Limits{Size: 64 << 20, ValueLen: 8 << 20}); err != nil {
			t.Fatalf("serialised form refused: %v\n%q\n%q", err, doc, out)
		}
		if a, b := infoset(&tape), infoset(&again); a != b {
			t.Fatalf("infoset changed:\n%s\n%s", a, b)
		}
		if xmllint != "" {
			cmd := exec.Command(xmllint, "--noout", "--nonet", "--huge", "-")
			cmd.Stdin = bytes.NewReader(doc)
			if msg, err := cmd.CombinedOutput(); err != nil && !bytes.Contains(msg, []byte("Extra content")) {
				t.Fatalf("the gate accepts %q, xmllint does not: %s", doc, msg)
			}
		}
	})
}

func checkShape(t *testing.T, tape *xmltape.Tape) {
	t.Helper()
	var open []int32
	pos := uint32(0)
	for i := range tape.Tokens {
		tok := &tape.Tokens[i]
		if tok.Off < pos || tok.End < tok.Off {
			t.Fatalf("token %d covers [%d,%d) after %d", i, tok.Off, tok.End, pos)
		}
		pos = tok.End
		switch tok.Kind {
		case xmltape.Start:
			if int(tok.Depth) != len(open) {
				t.Fatalf("token %d has depth %d, want %d", i, tok.Depth, len(open))
			}
			open = append(open, int32(i))
		case xmltape.End:
			if tok.Match != open[len(open)-1] || tape.Tokens[tok.Match].Match != int32(i) {
				t.Fatalf("token %d closes %d", i, tok.Match)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Fatalf("%d elements open at the end", len(open))
	}
}

// sample makes a document of about n bytes like those that departments send.
func sample(n int) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<d:Реестр xmlns:d="urn:example:docs" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`)
	for i := 0; b.Len() < n; i++ {
		b.WriteString("\n  <d:Person Id=\"p" + strconv.Itoa(i) + "\" kind=\"owner\">\n    <d:Фамилия>Константинопольский</d:Фамилия><d:Имя>Александр</d:Имя>\n" +
			"    <d:BirthDate>1974-05-0" + strconv.Itoa(i%9+1) + "</d:BirthDate>\n    <d:Share>1/" + strconv.Itoa(i+1) + "</d:Share>\n" +
			"    <d:Note>Квартира &amp; гараж, площадь &lt; 30 м², ул. Ленина, д. 5, корп. 2</d:Note>\n  </d:Person>")
	}
	return b.String() + "\n</d:Реестр>\n"
}

// Parsers take turns with what they remember of names, and documents are parsed at once:
// the same tags at the same places mean in each document what it declares itself.
func TestWhatIsRememberedIsOfOneDocument(t *testing.T) {
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			tape := new(xmltape.Tape)
			space := fmt.Sprintf("urn:%d", n)
			src := []byte(fmt.Sprintf(`<p:a xmlns:p="%s" b="1" p:c="2"><p:d><p:a c="%d"/><p:d b="x"/></p:d></p:a>`, space, n))
			for range 200 {
				if err := tape.Parse(src, xmltape.Limits{}); err != nil {
					t.Error(err)
					return
				}
				root := tape.Root()
				d := root.Child(space, "d")
				a := d.Child(space, "a")
				if root.Space() != space || !d.Valid() || !a.Valid() || a.Space() != space {
					t.Errorf("root in %q, want %q; d %v, a %v", root.Space(), space, d.Valid(), a.Valid())
					return
				}
				if value, _ := a.Attr("", "c"); value != strconv.Itoa(n) {
					t.Errorf("c is %q, want %d", value, n)
					return
				}
			}
		})
	}
	work.Wait()
}

// A name that is known from a document with wider limits is refused all the same.
func TestWhatIsRememberedIsWithinLimits(t *testing.T) {
	var tape xmltape.Tape
	for _, src := range []string{`<r><a><a-longer-name/></a></r>`, `<r><a b-longer-name="1"/><a b-longer-name="2"/></r>`} {
		for range 20 {
			if err := tape.Parse([]byte(src), xmltape.Limits{}); err != nil {
				t.Fatal(err)
			}
			var refused *xmltape.Error
			if err := tape.Parse([]byte(src), xmltape.Limits{NameLen: 12}); !errors.As(err, &refused) || refused.Code != xmltape.CodeLimitName {
				t.Fatalf("%s: %v, want %s", src, err, xmltape.CodeLimitName)
			}
		}
	}
}

// A namespace has a name and not a book: it is looked at wherever it is used, and a canonical
// form writes it at each element that needs it. A megabyte of it beside a million attributes
// would take hours.
func TestNamespaceNamesAreShort(t *testing.T) {
	var tape xmltape.Tape
	for _, n := range []int{1024 - len("x:"), 1025 - len("x:"), 1_000_000} {
		src := `<r xmlns="urn:r" xmlns:a="` + strings.Repeat("x", n) + `x:">` + strings.Repeat(`<b a:c=""/>`, 900_000) + "</r>"
		var refused *xmltape.Error
		err := tape.Parse([]byte(src), xmltape.Limits{})
		if short := n+len("x:") <= 1024; short && err != nil || !short && (!errors.As(err, &refused) || refused.Code != xmltape.CodeLimitName) {
			t.Errorf("a name of %d bytes: %v", n+len("x:"), err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{4 << 10, 40 << 10, 200 << 10} {
		b.Run(strconv.Itoa(n>>10)+"KB", func(b *testing.B) {
			doc := []byte(sample(n))
			var tape xmltape.Tape
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Elements of one Scope inherit the same declarations: who has listed those of one has listed
// those of the other.
func TestOneScopeIsOneList(t *testing.T) {
	var tape xmltape.Tape
	const doc = `<r xmlns="urn:r" xmlns:a="urn:a"><x><y/></x><x xmlns:a="urn:b" xmlns=""><y xmlns:c="urn:c"/><y/></x><x a:b=""/><x xmlns:a="urn:a"/></r>`
	if err := tape.Parse([]byte(doc), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	lists := map[int32][]xmltape.Binding{}
	elements := 0
	for i := range tape.Tokens {
		n := tape.NodeAt(i)
		if !n.Valid() {
			continue
		}
		elements++
		scope := n.Token().Scope
		if known, ok := lists[scope]; ok && !slices.Equal(n.InScope(), known) {
			t.Errorf("in scope of %s is %v, of another of its Scope %v", n.XPath(), n.InScope(), known)
		}
		lists[scope] = n.InScope()
	}
	if elements != 8 || len(lists) != 4 {
		t.Errorf("%d elements of %d scopes, want 8 of 4", elements, len(lists))
	}
}
