package signing

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mezhved/envelopes/xmltape"
)

// A deviant is the SMEV transform as some implementation gets it wrong. It is
// slow, keeps everything in memory, and serves only to recognise what a sender
// did: nothing is ever accepted because a deviant matches.
type deviant struct {
	escape   string // "": Woodstox; "canonical", "jdk", "minimal"
	blank    string // "": dropped; "keep", "unicode" (a text of any white space is dropped)
	trim     string // "": as it is; "trim", "lines" (line feeds inside are dropped)
	counter  string // "": never goes back; "restored" (numbers return with the element), "global" (one prefix per namespace for ever)
	attrs    string // "": by namespace and name; "document", "unqualified-first", "local"
	prefixes string // "": allocated in output order; "attributes-first", "document"
}

// deviations names the ones that are looked for, one by one and in pairs. What
// each is about is in smev3 practice: the escaping rule is younger than most
// implementations, and the others are the known slips in the rest.
var deviations = []struct {
	name, en, ru string
	apply        func(*deviant)
}{
	{"jdk-writer", "the transform ran over the JDK's StAX writer", "преобразование выполнено на StAX из состава JDK", func(d *deviant) { d.escape = "jdk" }},
	{"escaping-canonical", "characters are escaped as canonical XML has it: the escaping rule of the transform (MR 3.5, step 9) is missing", "символы экранированы как в Canonical XML: не реализован шаг 9 преобразования (МР 3.5)", func(d *deviant) { d.escape = "canonical" }},
	{"escaping-minimal", "only < and & are escaped: the escaping rule of the transform (MR 3.5, step 9) is missing", "экранированы только < и &: не реализован шаг 9 преобразования (МР 3.5)", func(d *deviant) { d.escape = "minimal" }},
	{"blank-kept", "white space only text was not dropped", "не удалены тексты из одних пробельных символов", func(d *deviant) { d.blank = "keep" }},
	{"blank-unicode", "text of no-break or other Unicode spaces was dropped", "удалены тексты из неразрывных и иных пробелов Unicode", func(d *deviant) { d.blank = "unicode" }},
	{"text-trimmed", "spaces at the ends of texts were trimmed", "обрезаны пробелы по краям текстов", func(d *deviant) { d.trim = "trim" }},
	{"line-feeds-dropped", "line feeds inside texts were dropped", "удалены переводы строк внутри текстов", func(d *deviant) { d.trim = "lines" }},
	{"counter-restored", "prefix numbers are used again in sibling elements", "номера префиксов повторно использованы в соседних элементах", func(d *deviant) { d.counter = "restored" }},
	{"prefix-per-namespace", "a namespace keeps one prefix in the whole fragment", "за пространством имён закреплён один префикс на весь фрагмент", func(d *deviant) { d.counter = "global" }},
	{"attributes-unsorted", "attributes are in document order", "атрибуты в порядке документа", func(d *deviant) { d.attrs = "document" }},
	{"attributes-unqualified-first", "attributes without a namespace come first", "атрибуты без пространства имён стоят первыми", func(d *deviant) { d.attrs = "unqualified-first" }},
	{"attributes-by-local-name", "attributes are ordered by local name alone", "атрибуты упорядочены только по локальному имени", func(d *deviant) { d.attrs = "local" }},
	{"prefix-order-attributes-first", "prefixes are given to attributes before the element", "префиксы выданы атрибутам раньше, чем элементу", func(d *deviant) { d.prefixes = "attributes-first" }},
	{"prefix-order-declarations", "prefixes are given in the order of the declarations in the document", "префиксы выданы в порядке объявлений в документе", func(d *deviant) { d.prefixes = "document" }},
}

// octets runs the deviant over an element.
func (d deviant) octets(n xmltape.Node) []byte {
	w := deviantWriter{deviant: d, t: n.Tape(), prefix: map[xmltape.SpaceID]string{}, open: map[xmltape.SpaceID]bool{}}
	w.element(n)
	return w.out
}

type deviantWriter struct {
	deviant
	t      *xmltape.Tape
	out    []byte
	next   int
	prefix map[xmltape.SpaceID]string
	open   map[xmltape.SpaceID]bool // declared by an open element
	e      smevEmitter
}

func (w *deviantWriter) element(n xmltape.Node) {
	t, tok := w.t, n.Token()
	before := w.next
	var fresh []xmltape.SpaceID
	give := func(s xmltape.SpaceID) {
		if s == xmltape.NoSpace || w.open[s] {
			return
		}
		if w.prefix[s] == "" || w.counter != "global" {
			w.next++
			w.prefix[s] = "ns" + strconv.Itoa(w.next)
		}
		w.open[s] = true
		fresh = append(fresh, s)
	}
	var attrs []*xmltape.Attr
	for i := tok.Attr; i < tok.Attr+uint32(tok.NAttr); i++ {
		attrs = append(attrs, &t.Attrs[i])
	}
	w.sort(attrs)
	own := t.Space(tok.Name)
	if w.prefixes == "document" {
		used := func(s xmltape.SpaceID) bool {
			return s == own || slices.ContainsFunc(attrs, func(a *xmltape.Attr) bool { return t.Space(a.Name) == s })
		}
		for i := tok.Decl; i < tok.Decl+uint32(tok.NDecl); i++ {
			if s := t.Decls[i].Space; used(s) {
				give(s)
			}
		}
	}
	if w.prefixes != "attributes-first" {
		give(own)
	}
	for _, a := range attrs {
		give(t.Space(a.Name))
	}
	give(own)
	w.out = append(w.out, '<')
	w.name(tok.Name)
	for _, s := range fresh {
		w.out = append(w.out, ` xmlns:`+w.prefix[s]+`="`...)
		w.attr(t.SpaceURI(s))
		w.out = append(w.out, '"')
	}
	for _, a := range attrs {
		w.out = append(w.out, ' ')
		w.name(a.Name)
		w.out = append(w.out, '=', '"')
		w.attr(t.AttrValue(a, nil))
		w.out = append(w.out, '"')
	}
	w.out = append(w.out, '>')
	w.content(n)
	w.out = append(w.out, '<', '/')
	w.name(tok.Name)
	w.out = append(w.out, '>')
	for _, s := range fresh {
		w.open[s] = false
	}
	if w.counter == "restored" {
		w.next = before
	}
}

func (w *deviantWriter) content(n xmltape.Node) {
	t := w.t
	var text []byte
	have := false
	flush := func() {
		if have {
			w.text(text)
		}
		text, have = nil, false
	}
	for i := n.Index() + 1; i < int(n.Token().Match); i++ {
		tok := &t.Tokens[i]
		switch tok.Kind {
		case xmltape.Text, xmltape.CData:
			text = append(text, t.CharData(tok, nil)...)
			have = true
		case xmltape.PI:
			flush()
		case xmltape.Start:
			flush()
			w.element(t.NodeAt(i))
			i = int(tok.Match)
		}
	}
	flush()
}

// One replacer takes as long to make as kilobytes to escape, and most texts are short.
var (
	canonicalText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	minimalText   = strings.NewReplacer("&", "&amp;", "<", "&lt;")
	minimalAttr   = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")
)

func (w *deviantWriter) text(v []byte) {
	drop := blank(v)
	switch w.blank {
	case "keep":
		drop = false
	case "unicode":
		drop = strings.TrimFunc(string(v), unicode.IsSpace) == ""
	}
	if drop {
		return
	}
	switch w.trim {
	case "trim":
		v = bytes.Trim(v, " \t\r\n")
	case "lines":
		v = bytes.ReplaceAll(bytes.ReplaceAll(v, []byte("\n"), nil), []byte("\r"), nil)
	}
	switch w.escape {
	case "canonical":
		w.out = append(w.out, canonicalText.Replace(string(v))...)
	case "minimal":
		w.out = append(w.out, minimalText.Replace(string(v))...)
	default:
		var b bytes.Buffer
		w.e.out.reset(&b, nil)
		if w.escape == "jdk" {
			w.e.jdkText(v, -1)
		} else {
			w.e.woodstoxText(v)
		}
		w.e.out.close()
		w.out = append(w.out, b.Bytes()...)
	}
}

func (w *deviantWriter) attr(v []byte) {
	switch w.escape {
	case "canonical":
		w.out = appendCanonAttr(w.out, v)
	case "minimal":
		w.out = append(w.out, minimalAttr.Replace(string(v))...)
	case "jdk":
		w.out = appendJDKAttr(w.out, v)
	default:
		w.out = appendWoodstoxAttr(w.out, v)
	}
}

func (w *deviantWriter) name(n xmltape.NameID) {
	if p := w.prefix[w.t.Space(n)]; p != "" && w.t.Space(n) != xmltape.NoSpace {
		w.out = append(w.out, p...)
		w.out = append(w.out, ':')
	}
	w.out = append(w.out, w.t.Local(n)...)
}

func (w *deviantWriter) sort(attrs []*xmltape.Attr) {
	t := w.t
	if w.attrs == "document" {
		return
	}
	slices.SortStableFunc(attrs, func(x, y *xmltape.Attr) int {
		sx, sy := t.Space(x.Name), t.Space(y.Name)
		local := compareUTF16(t.Local(x.Name), t.Local(y.Name))
		if sx == sy || w.attrs == "local" {
			return local
		}
		first := 1
		if w.attrs == "unqualified-first" {
			first = -1
		}
		switch {
		case sx == xmltape.NoSpace:
			return first
		case sy == xmltape.NoSpace:
			return -first
		}
		return compareUTF16(t.SpaceURI(sx), t.SpaceURI(sy))
	})
}
