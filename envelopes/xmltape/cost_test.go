package xmltape_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// hostile are documents whose tape is as large as their kind can make it.
var hostile = map[string]func(n int) string{
	"empty elements":     func(n int) string { return "<a>" + strings.Repeat(`<a b=""/>`, n/9) + "</a>" },
	"elements and texts": func(n int) string { return "<a>" + strings.Repeat(`<a/>t`, n/5) + "</a>" },
	"pairs":              func(n int) string { return "<a>" + strings.Repeat(`<a>t</a>t`, n/9) + "</a>" },
	"comments":           func(n int) string { return "<a>" + strings.Repeat(`<!---->t`, n/8) + "</a>" },
	"many attributes":    func(n int) string { return "<a>" + strings.Repeat("<a"+attributes(250)+"/>", n/2200+1) + "</a>" },
	"many names":         func(n int) string { return "<a>" + numbered(min(n/9, 19_000), "<n%d/>") + "</a>" },
	"many namespaces":    func(n int) string { return "<a>" + numbered(min(n/22, 90_000), `<a xmlns:p%[1]d="u:%[1]d"/>`) + "</a>" },
	"namespaces written": func(n int) string { return "<a>" + numbered(min(n/40, 1000), `<a xmlns="u:&#65;&#66;%d"/>`) + "</a>" },
	"nesting": func(n int) string {
		return "<a>" + strings.Repeat(strings.Repeat("<a>", 90)+strings.Repeat("</a>", 90), n/630+1) + "</a>"
	},
	"too deep":            func(n int) string { return strings.Repeat("<a>", n/3) },
	"one text":            func(n int) string { return "<a>" + strings.Repeat("text ", n/5) + "</a>" },
	"markup in a section": func(n int) string { return "<a><![CDATA[" + strings.Repeat(`<a b="c"/>`, n/10) + "]]></a>" },
	"references":          func(n int) string { return "<a>" + strings.Repeat("&amp;", n/5) + "</a>" },
	"no such entity":      func(n int) string { return "<a>" + strings.Repeat("&lol;", n/5) + "</a>" },
	"equals signs":        func(n int) string { return "<a>" + strings.Repeat("=", n) + "</a>" },
	"cut off":             func(n int) string { return "<a>" + strings.Repeat(`<a b=""/>`, n/9) },
}

func attributes(n int) string { return numbered(n, ` a%d=""`) }

func numbered(n int, form string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}

// What a tape takes is told before it takes it, whatever the document: it is what
// a caller that nobody has proved makes us hold.
func TestCostIsABound(t *testing.T) {
	for name, make := range hostile {
		for _, n := range []int{100, 5_000, 300_000, 2 << 20} {
			doc := []byte(make(n))
			var tape xmltape.Tape
			told := 0
			err := tape.Parse(doc, xmltape.Limits{Hold: func(bytes int) error { told = bytes; return nil }})
			if size := tape.Size(); size > told || told != xmltape.Cost(doc, xmltape.Limits{}) {
				t.Errorf("%s, %d bytes: the tape takes %d bytes, told were %d (%v)", name, len(doc), size, told, err)
			}
		}
	}
}

// An ordinary document is not told to be many times as large as it is.
func TestCostOfOrdinaryDocuments(t *testing.T) {
	for _, n := range []int{40 << 10, 1 << 20} {
		doc := []byte(sample(n))
		var tape xmltape.Tape
		if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
			t.Fatal(err)
		}
		if cost, used := xmltape.Cost(doc, xmltape.Limits{}), 40*len(tape.Tokens); cost > 3*used+128<<10 {
			t.Errorf("%d bytes: told %d, the tokens take %d", len(doc), cost, used)
		}
	}
}

// Who holds the purse can say no, and the tape then takes nothing.
func TestHoldRefuses(t *testing.T) {
	no := errors.New("no room")
	var tape xmltape.Tape
	doc := []byte(hostile["empty elements"](1 << 20))
	if err := tape.Parse(doc, xmltape.Limits{Hold: func(int) error { return no }}); err != no {
		t.Errorf("got %v, want the answer of Hold as it is", err)
	}
	if tape.Size() > 100<<10 || tape.Root().Valid() {
		t.Errorf("the tape has taken %d bytes", tape.Size())
	}
}
