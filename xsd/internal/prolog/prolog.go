// Package prolog makes of a schema document as an office hands it over what the
// XML gate takes: UTF-8 without a document type declaration. It is for files that
// an operator lays down; messages never come here.
//
// [Read] decodes what the first bytes and the XML declaration announce (XML 1.0,
// 4.3.3 and appendix F), takes the internal subset of a document type declaration
// (entities and attribute defaults) and writes its effect into the document.
// Nothing outside the document is read; what was passed over for that is told.
// Lines stay where they were; a column is off only behind a place where text was
// put in.
//
// Trust: a schema may come from somebody who wants to harm. Expansion is bounded
// in octets, number and depth, and an entity that contains itself is refused.
package prolog

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is why a document cannot be read, with its place; line and column from 1.
type Error struct {
	Line, Col int
	ru, en    string
}

// Russian is the reason in a sentence, without its place.
func (e *Error) Russian() string { return e.ru }

// Error is the reason in a sentence, without its place.
func (e *Error) Error() string { return e.en }

// Note is something that was done or passed over on reading.
type Note struct{ Russian, English string }

// The bounds on a document type declaration, which is small in any honest schema.
const (
	maxDeclared = 1000   // entities, attributes
	maxExpanded = 10_000 // references to entities
	maxDepth    = 16     // of entities in entities
	maxName     = 256    // octets of a reference: none further on is looked for
	maxGrowth   = 8 << 20
)

// Read gives src as UTF-8 without a document type declaration. Entities and
// defaults may add 8 MiB. What needs nothing is given back as it is; src is never
// changed. The error, if any, is an *Error.
func Read(src []byte) (out []byte, notes []Note, err error) {
	d := &document{noted: map[Note]bool{}}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			out, err = nil, e
		}
	}()
	d.src = d.decode(src)
	d.limit = len(d.src) + maxGrowth
	at, ok := d.doctypeAt()
	if !ok {
		return d.src, d.notes, nil
	}
	end := d.doctype(at)
	d.out.Write(d.src[:at])
	d.blank(d.src[at:end])
	d.content(d.src[end:], end, 0)
	return d.out.Bytes(), d.notes, nil
}

// document is one document on its way.
type document struct {
	src   []byte
	limit int
	notes []Note // each once
	noted map[Note]bool
	out   bytes.Buffer

	entities   map[string]entity
	parameters map[string]entity
	defaults   map[string][]attribute // by element, in order of declaration
	declared   int
	expanded   int
	standalone bool
	outside    bool     // something that could declare was not read
	blind      bool     // ... and declarations after it do not count (5.1)
	open       []string // entities being expanded
}

// entity is a declared entity; an external one has no text.
type entity struct {
	text     string
	external bool
}

// attribute is what an attribute-list declaration says of one attribute.
type attribute struct {
	name     string
	tokens   bool   // not CDATA: its value is a list of tokens, blanks fold (3.3.3)
	value    string // between its quotes, entities expanded
	quote    byte
	fallback bool // has a default
}

func (d *document) fail(off int, ru, en string, args ...any) {
	line := 1 + bytes.Count(d.src[:off], []byte("\n"))
	begin := bytes.LastIndexByte(d.src[:off], '\n') + 1
	panic(&Error{Line: line, Col: 1 + utf8.RuneCount(d.src[begin:off]), ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)})
}

func (d *document) note(ru, en string, args ...any) {
	n := Note{fmt.Sprintf(ru, args...), fmt.Sprintf(en, args...)}
	if !d.noted[n] {
		d.noted[n] = true
		d.notes = append(d.notes, n)
	}
}

// room refuses to grow beyond the limit.
func (d *document) room(off, n int) {
	if d.out.Len()+n > d.limit {
		d.fail(off, "с раскрытыми сущностями документ больше %d байт", "with its entities expanded the document is larger than %d bytes", d.limit)
	}
}

// blank puts white space in the place of what is taken away, line for line.
func (d *document) blank(gone []byte) {
	for _, b := range gone {
		if b != '\n' {
			b = ' '
		}
		d.out.WriteByte(b)
	}
}

// doctypeAt finds the document type declaration, which stands before the
// document element among comments and instructions.
func (d *document) doctypeAt() (int, bool) {
	for i := 0; i < len(d.src); {
		rest := d.src[i:]
		switch {
		case isSpace(rest[0]):
			i++
		case bytes.HasPrefix(rest, []byte("<?")):
			n := bytes.Index(rest, []byte("?>"))
			if n < 0 {
				return 0, false
			}
			if i == 0 && bytes.HasPrefix(rest, []byte("<?xml")) {
				decl := string(rest[:n])
				d.standalone = strings.Contains(decl, `standalone="yes"`) || strings.Contains(decl, `standalone='yes'`)
			}
			i += n + 2
		case bytes.HasPrefix(rest, []byte("<!--")):
			n := bytes.Index(rest[4:], []byte("-->"))
			if n < 0 {
				return 0, false
			}
			i += 4 + n + 3
		default:
			return i, bytes.HasPrefix(rest, []byte("<!DOCTYPE"))
		}
	}
	return 0, false
}

// content copies text with references expanded and defaults put in. base is
// where text stands in the document, depth the number of entities round it.
func (d *document) content(text []byte, base, depth int) {
	level := 0
	at := func(i int) int { return min(base+i, len(d.src)) }
	if depth > 0 {
		at = func(int) int { return base } // the place of the reference
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		n := 1
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			n = until(rest, 4, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			n = until(rest, 9, "]]>")
		case bytes.HasPrefix(rest, []byte("<?")):
			n = until(rest, 2, "?>")
		case bytes.HasPrefix(rest, []byte("</")):
			n = until(rest, 2, ">")
			if level--; level < 0 && depth > 0 {
				d.fail(base, "сущность %[1]s закрывает элемент, который открыт не в ней", "entity %[1]s closes an element that was not opened in it", d.open[len(d.open)-1])
			}
		case rest[0] == '<' && len(rest) > 1 && nameByte(rest[1]):
			var empty bool
			n, empty = d.startTag(rest, at(i), depth)
			if !empty {
				level++
			}
			i += n
			continue
		case rest[0] == '&':
			if name, size, ok := reference(rest); ok {
				d.expand(name, at(i), func(text string) { d.content([]byte(text), at(i), depth+1) })
				i += size
				continue
			}
		default:
			if n = bytes.IndexAny(rest, "<&"); n < 0 {
				n = len(rest)
			} else if n == 0 {
				n = 1
			}
		}
		d.copy(rest[:n], at(i), depth)
		i += n
	}
	if depth > 0 && level != 0 {
		d.fail(base, "сущность %[1]s открывает элемент и не закрывает его", "entity %[1]s opens an element and does not close it", d.open[len(d.open)-1])
	}
}

// copy writes text; that of an entity without its line ends, so that the lines
// of the document stay where they were.
func (d *document) copy(text []byte, off, depth int) {
	d.room(off, len(text))
	if depth == 0 {
		d.out.Write(text)
		return
	}
	for _, b := range text {
		if b == '\n' || b == '\r' {
			b = ' '
		}
		d.out.WriteByte(b)
	}
}

// startTag copies a start tag, its values with their entities expanded and the
// defaults that it lacks at its end.
func (d *document) startTag(text []byte, off, depth int) (n int, empty bool) {
	i := 1
	for i < len(text) && nameByte(text[i]) {
		i++
	}
	list := d.defaults[string(text[1:i])]
	d.copy(text[:i], off, depth)
	given := map[string]bool{}
	for i < len(text) {
		begin := i
		for i < len(text) && !nameByte(text[i]) && text[i] != '>' && text[i] != '/' {
			i++
		}
		d.copy(text[begin:i], off, depth)
		if i == len(text) || text[i] == '>' || text[i] == '/' {
			break
		}
		begin = i
		for i < len(text) && nameByte(text[i]) {
			i++
		}
		name := string(text[begin:i])
		given[name] = true
		for i < len(text) && (isSpace(text[i]) || text[i] == '=') {
			i++
		}
		d.copy(text[begin:i], off, depth)
		if i == len(text) || text[i] != '"' && text[i] != '\'' {
			continue // the gate says what is wrong here
		}
		quote := text[i]
		end := bytes.IndexByte(text[i+1:], quote)
		if end < 0 {
			break
		}
		value := d.value(string(text[i+1:i+1+end]), off, 0)
		if tokens(list, name) {
			value = strings.Join(strings.Fields(value), " ")
		}
		d.copy([]byte{quote}, off, depth)
		d.copy([]byte(value), off, depth)
		d.copy([]byte{quote}, off, depth)
		i += end + 2
	}
	for _, a := range list {
		if a.fallback && !given[a.name] {
			d.copy(fmt.Appendf(nil, " %s=%c%s%c", a.name, a.quote, a.value, a.quote), off, 1)
		}
	}
	begin := i
	if i < len(text) && text[i] == '/' {
		empty = true
		i++
	}
	if i < len(text) && text[i] == '>' {
		i++
	}
	d.copy(text[begin:i], off, depth)
	return i, empty
}

func tokens(list []attribute, name string) bool {
	for i := range list {
		if list[i].name == name {
			return list[i].tokens
		}
	}
	return false
}

// value expands the general entities of an attribute value; quotes that come
// with them are no delimiters (4.4.5), a < is an error (3.1).
func (d *document) value(text string, off, depth int) string {
	if !strings.Contains(text, "&") && depth == 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '&' {
			if name, size, ok := reference([]byte(text[i:])); ok {
				d.expand(name, off, func(text string) { b.WriteString(d.value(text, off, depth+1)) })
				i += size - 1
				d.room(off, b.Len())
				continue
			}
		}
		switch {
		case depth > 0 && c == '<':
			d.fail(off, "сущность %[1]s приносит знак < в значение атрибута", "entity %[1]s brings a < into an attribute value", d.open[len(d.open)-1])
		case depth > 0 && c == '"':
			b.WriteString("&quot;")
		case depth > 0 && c == '\'':
			b.WriteString("&apos;")
		case depth > 0 && isSpace(c):
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// expand gives the text of a general entity to use.
func (d *document) expand(name string, off int, use func(string)) {
	e, ok := d.entities[name]
	switch {
	case !ok && d.outside:
		d.fail(off, "сущность %[1]s объявлена не в этом документе, а вне его ничего не читается: впишите её текст", "entity %[1]s is not declared in this document, and nothing outside it is read: write its text in", name)
	case !ok:
		d.fail(off, "сущность %[1]s не объявлена", "entity %[1]s is not declared", name)
	case e.external:
		d.fail(off, "сущность %[1]s лежит вне документа, а вне его ничего не читается: впишите её текст", "entity %[1]s lies outside the document, where nothing is read: write its text in", name)
	}
	d.enter(name, off)
	use(e.text)
	d.open = d.open[:len(d.open)-1]
}

// enter bounds expansion, of general entities and of parameter entities alike.
func (d *document) enter(name string, off int) {
	for _, o := range d.open {
		if o == name {
			d.fail(off, "сущность %[1]s содержит сама себя", "entity %[1]s contains itself", name)
		}
	}
	if d.expanded++; d.expanded > maxExpanded || len(d.open) >= maxDepth {
		d.fail(off, "слишком много сущностей: не больше %[1]d ссылок и %[2]d уровней", "too many entities: at most %[1]d references and %[2]d levels", maxExpanded, maxDepth)
	}
	d.open = append(d.open, name)
}

// reference reads a reference to a general entity; characters and the five
// entities of XML stay as they are.
func reference(text []byte) (name string, size int, ok bool) {
	end := bytes.IndexByte(text[:min(len(text), maxName)], ';')
	if end < 2 {
		return "", 0, false
	}
	for _, b := range text[1:end] {
		if !nameByte(b) {
			return "", 0, false
		}
	}
	name = string(text[1:end])
	return name, end + 1, !builtIn(name)
}

func builtIn(name string) bool {
	switch name {
	case "lt", "gt", "amp", "quot", "apos":
		return true
	}
	return false
}

// until is the length of text up to and with mark, looked for from skip.
func until(text []byte, skip int, mark string) int {
	if n := bytes.Index(text[min(skip, len(text)):], []byte(mark)); n >= 0 {
		return skip + n + len(mark)
	}
	return len(text)
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// nameByte tells the octets of names: the gate checks the characters.
func nameByte(b byte) bool {
	return b >= 0x80 || b == '_' || b == ':' || b == '-' || b == '.' ||
		'0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
