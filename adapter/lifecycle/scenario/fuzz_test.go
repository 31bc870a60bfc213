package scenario

import (
	"testing"
	"time"

	"mezhved/adapter/lifecycle/xpath"
	"mezhved/adapter/terms"
	"mezhved/envelopes/xmltape"
)

// What a template gives is a document, whatever the request says: nothing of a request
// becomes markup, and no block leaves an element open.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		`<a b="${/R/v}">${/R/v}</a>`, `<a><?for /R/v?><b>${.}</b><?end?></a>`, `<a><?if /R/v = 'x'?><b/><?else?><c/><?end?></a>`,
		`<a><?let n = count(//v)?>${$n}<!-- ${ --></a>`, `<a>$${x}${concat('<', "&")}</a>`, `<a><?for 3?>${position()}<?end?><![CDATA[${]]></a>`,
	} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		m := &maker{scope: xpath.Scope{Functions: functions}}
		tmpl := m.document([]byte(source))
		if len(m.mistakes) > 0 {
			return
		}
		request := new(xmltape.Tape)
		if request.Parse([]byte("<R><v>"+escapeText.Replace(value)+"</v><v/></R>"), xmltape.Limits{}) != nil {
			return
		}
		r := Request{Content: request.Root(), Received: time.Unix(1e9, 0)}
		c := &xpath.Context{Root: request.Root(), Variables: map[string]xpath.Value{}, Host: &moment{at: r.Received, request: &r, state: &State{}, calendar: terms.Shipped()}}
		out, err := tmpl.render(c)
		if err != nil {
			return
		}
		given, answer := new(xmltape.Tape), new(xmltape.Tape)
		if err := answer.Parse(out, xmltape.Limits{}); err != nil {
			t.Fatalf("%q with %q gives %q, which is no document: %v", source, value, out, err)
		}
		if given.Parse([]byte(source), xmltape.Limits{}) != nil {
			t.Fatal("a template that is no document was taken")
		}
		if got, want := answer.Root().Local(), given.Root().Local(); got != want {
			t.Errorf("the root is %s, want %s", got, want)
		}
	})
}
