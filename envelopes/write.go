package envelopes

import (
	"strings"
	"time"
	"unicode/utf8"
)

// writer writes documents as bytes. Its text methods escape; raw does not.
type writer struct {
	b    []byte
	v    Version
	room *[]byte // of a draft
}

func newWriter(v Version, size int) *writer { return &writer{b: make([]byte, 0, size), v: v} }

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

// text writes character data. What XML cannot carry becomes U+FFFD.
func (w *writer) text(s string) { w.escape(s, false) }

// attr writes the value of an attribute in double quotes.
func (w *writer) attr(s string) { w.escape(s, true) }

func (w *writer) escape(s string, attribute bool) {
	from := 0
	for i := 0; i < len(s); {
		if plainText[s[i]] {
			i++
			continue
		}
		c, n := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, n = utf8.DecodeRuneInString(s[i:])
		}
		var to string
		switch {
		case c == '&':
			to = "&amp;"
		case c == '<':
			to = "&lt;"
		case c == '>':
			to = "&gt;"
		case c == '"' && attribute:
			to = "&quot;"
		case c == '\r':
			to = "&#13;"
		case c == '\n' && attribute:
			to = "&#10;"
		case c == '\t' && attribute:
			to = "&#9;"
		case c < 0x20 && c != '\n' && c != '\t', c == 0xFFFE, c == 0xFFFF, c == utf8.RuneError && n == 1:
			to = "\uFFFD"
		default:
			i += n
			continue
		}
		w.b = append(w.b, s[from:i]...)
		w.b = append(w.b, to...)
		i += n
		from = i
	}
	w.b = append(w.b, s[from:]...)
}

// plainText are the ASCII characters that are written as they are, in texts and in attributes.
var plainText = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = !strings.ContainsRune(`&<>"`, c)
	}
	return t
}()

// leaf writes an element of text; name is a QName as it is to be written.
func (w *writer) leaf(name, text string) {
	w.raw("<")
	w.raw(name)
	w.raw(">")
	w.text(text)
	w.raw("</")
	w.raw(name)
	w.raw(">")
}

// stamped is leaf of a time.
func (w *writer) stamped(name string, t time.Time) {
	w.raw("<")
	w.raw(name)
	w.raw(">")
	w.stamp(t)
	w.raw("</")
	w.raw(name)
	w.raw(">")
}

// stamp writes a time as the live bus does: milliseconds and the Moscow offset.
func (w *writer) stamp(t time.Time) {
	w.b = t.In(moscow).AppendFormat(w.b, "2006-01-02T15:04:05.000-07:00")
}

// leafIf writes the element unless its text is empty.
func (w *writer) leafIf(name, text string) {
	if text != "" {
		w.leaf(name, text)
	}
}

// envelope opens Envelope and Body as the live bus does, without a Header.
func (w *writer) envelope() {
	w.raw(`<soap:Envelope xmlns:soap="` + SOAPSpace + `"><soap:Body>`)
}

// answerSpaces declares the three namespaces of the version with the prefixes
// of the live bus: default basic, ns2 types, ns3 faults.
func (w *writer) answerSpaces() { w.raw(versionSpaces[w.v].declared) }

// cut shortens a text to at most n characters.
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for range n {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return strings.ToValidUTF8(s[:i], "\uFFFD")
}
