package console

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"

	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

func hexHash(h journal.Hash) string { return hex.EncodeToString(h[:]) }

// envelopeView shows bytes that somebody has sent, for reading only.
type envelopeView struct {
	ContentType string
	Size        int
	Raw         []codeLine // as received, the place of the cause marked
	Pretty      []codeLine // indented; empty when it is no XML that the gate lets in
	Cut         bool       // only the beginning is shown
}

// codeLine is one line of the view. Mark is the place that is wrong.
type codeLine struct {
	N                   int
	Before, Mark, After string
	Bad                 bool
}

// holding opens the account of something that is read again for a page or a
// bundle: hold is told what that takes beside what is there already, as the doors
// are, and the memory of the process is asked for it; release gives it back.
func (c *Console) holding(ctx context.Context, there int) (hold func(bytes int) error, release func()) {
	h := c.Gateway().Memory().Begin("the desk", true)
	return func(bytes int) error { return h.Hold(ctx, int64(there+bytes)) }, h.Release
}

// viewMost is how much of an envelope a page shows.
const viewMost = 256 << 10

// viewOf splits the root part of a body into lines. line and col, from 1, are the
// place of the cause; col counts characters.
func viewOf(contentType string, body []byte, line, col int, hold func(bytes int) error) *envelopeView {
	v := &envelopeView{ContentType: contentType, Size: len(body)}
	part := body
	if e, err := envelopes.Parse(contentType, body, new(xmltape.Tape), envelopes.Limits{Hold: hold}); err == nil {
		part = e.Bytes()
	}
	v.Pretty = pretty(part)
	if len(part) > viewMost {
		part, v.Cut = part[:viewMost], true
	}
	for i, text := range strings.Split(string(part), "\n") {
		l := codeLine{N: i + 1, Before: text}
		if l.N == line {
			l.Bad = true
			l.Before, l.Mark, l.After = around(text, col)
		}
		v.Raw = append(v.Raw, l)
	}
	return v
}

// around cuts a line at a column: what stands there up to the end of its tag or
// word is marked.
func around(text string, col int) (before, mark, after string) {
	at := 0
	for n := 1; n < col && at < len(text); n++ {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	end := len(text)
	if i := strings.IndexByte(text[at:], '>'); i >= 0 {
		end = at + i + 1
	}
	if end-at > 200 {
		for end = at + 200; !utf8.RuneStart(text[end]); end-- {
		}
	}
	return text[:at], text[at:end], text[end:]
}

// pretty indents XML. Only what the gate lets in is given to etree: its depth is
// bounded and it has no DOCTYPE. White space of the original is lost here, so
// this form is for reading and never for verifying.
func pretty(src []byte) []codeLine {
	if len(src) > viewMost || new(xmltape.Tape).Parse(src, xmltape.Limits{}) != nil {
		return nil
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(src); err != nil {
		return nil
	}
	doc.Indent(2)
	var b bytes.Buffer
	if _, err := doc.WriteTo(&b); err != nil {
		return nil
	}
	var out []codeLine
	for i, text := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		out = append(out, codeLine{N: i + 1, Before: text})
	}
	return out
}
