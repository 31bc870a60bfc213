package passport

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/xsd"
)

var update = flag.Bool("update", false, "write the golden files anew")

const bus = "http://bus.example:7500/"

// made is the passport of a demo service.
func made(t *testing.T, name, version string) *Passport {
	t.Helper()
	services := "../../../testdata/services"
	parties := t.TempDir()
	for mnemonic, name := range map[string]string{"MFC01": "МФЦ", "PRIMERSK": "Администрация Примерска", "FNS01": "ФНС", "ROSREESTR": "Росреестр", "SFR01": "СФР", "OPERATOR": "Оператор"} {
		id, err := signing.SelfSigned(signing.TestSubject{CommonName: mnemonic}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		cert := id.Certificate.PEM()
		for file, content := range map[string][]byte{mnemonic + ".yaml": []byte("name: " + name + "\n"), mnemonic + ".pem": cert} {
			if err := os.WriteFile(filepath.Join(parties, file), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, found := registry.Open(services, parties, func() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) })
	if bad := found.Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	s := r.Catalog().Service(name, version)
	if s == nil {
		t.Fatalf("no service %s %s", name, version)
	}
	p, err := Of(r.Catalog(), s, filepath.Join(services, name, version), bus)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	head  = regexp.MustCompile(`(?s)^.*?<main>|<nav>.*?</nav>`)
	cells = regexp.MustCompile(`</(th|td)>\s*<(th|td)[^>]*>`)
	tags  = regexp.MustCompile(`<[^>]*>`)
	blank = regexp.MustCompile(`\n\s*\n+`)
)

// text is what a page says, without its looks, and without the table of all
// refusals, which grows with the gateway's own.
func text(page []byte) string {
	s, _, _ := strings.Cut(string(page), "<h3>Отказы по кодам</h3>")
	s = head.ReplaceAllString(s, "")
	s = cells.ReplaceAllString(s, " | ")
	s = tags.ReplaceAllString(s, "")
	return strings.TrimSpace(blank.ReplaceAllString(s, "\n")) + "\n"
}

// TestPassports: the pages of the demo's services say what they said, and the same
// page is the same bytes.
func TestPassports(t *testing.T) {
	for _, c := range []struct{ name, version string }{{"egrul-extract", "2.0.0"}, {"advertising-permit", "1.0.0"}, {"register-notice", "1.0.0"}} {
		page, err := made(t, c.name, c.version).HTML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := made(t, c.name, c.version).HTML()
		if err != nil || !bytes.Equal(page, again) {
			t.Errorf("%s: two passports of one service differ (%v)", c.name, err)
		}
		golden := filepath.Join("testdata", c.name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(text(page)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(page); got != string(want) {
			t.Errorf("%s: the passport says otherwise than %s (go test ./adapter/lifecycle/passport -update writes it anew):\n%s", c.name, golden, difference(got, string(want)))
		}
	}
}

// difference is the first line that differs.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + strings.Join(w[min(i, len(w)):min(i+1, len(w))], "")
		}
	}
	return "it ends too soon"
}

// TestNamespaces: a field of another namespace than the root's says so, with the prefix
// that the sample below it has, and one that the sample has no prefix for gets one.
func TestNamespaces(t *testing.T) {
	p := made(t, "egrul-extract", "2.0.0")
	if want := []Space{{"c", "urn://mezhved/demo/common/1.0.0"}}; !slices.Equal(p.Request.Spaces, want) {
		t.Errorf("%v, want %v", p.Request.Spaces, want)
	}
	for _, f := range p.Request.Fields {
		if want := map[bool]string{true: "c"}[f.Space == "urn://mezhved/demo/common/1.0.0"]; f.Prefix != want {
			t.Errorf("%s: prefix %q, want %q", f.Path, f.Prefix, want)
		}
	}
	m := &Message{Root: registry.QName{Space: "urn:a", Local: "A"}}
	for _, c := range []struct {
		f    xsd.Field
		want string
	}{
		{xsd.Field{Kind: xsd.ElementField, Space: "urn:a"}, ""}, {xsd.Field{Kind: xsd.AttributeField}, ""}, {xsd.Field{Kind: xsd.ChoiceField}, ""},
		{xsd.Field{Kind: xsd.ElementField}, "∅"}, {xsd.Field{Kind: xsd.ElementField, Space: "urn:b"}, "n2"}, {xsd.Field{Kind: xsd.ElementField, Space: "urn:b"}, "n2"},
	} {
		if got := m.prefix(c.f, nil); got != c.want {
			t.Errorf("%+v: %q, want %q", c.f, got, c.want)
		}
	}
	tape, written := new(xmltape.Tape), map[string]string{}
	if err := tape.Parse([]byte(`<a xmlns="urn:a" xmlns:q="urn:q" t=":a"><q:a/></a>`), xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	if collect(tape.Root(), "", map[string]string{}, written); written["urn:q"] != "q" || len(written) != 1 {
		t.Errorf("prefixes %v", written)
	}
}

// TestWhatConcernsAService: refusals that cannot befall it are not in its passport,
// and all others are.
func TestWhatConcernsAService(t *testing.T) {
	has := func(p *Passport, name string) bool {
		for _, r := range p.Refusals {
			if r.Name == name {
				return true
			}
		}
		return false
	}
	fixed, routed, broadcast := made(t, "egrul-extract", "2.0.0"), made(t, "advertising-permit", "1.0.0"), made(t, "register-notice", "1.0.0")
	for name, want := range map[string][3]bool{
		"no-code": {false, true, false}, "no-reply-address": {true, true, false}, "content": {true, true, true}, "access": {true, true, true}, "undeclared": {false, false, false},
	} {
		for i, p := range []*Passport{fixed, routed, broadcast} {
			if got := has(p, name); got != want[i] {
				t.Errorf("%s %s: %v, want %v", p.Name, name, got, want[i])
			}
		}
	}
	if all := len(adapter.Reasons()); len(routed.Refusals) < all-8 {
		t.Errorf("%d refusals of %d", len(routed.Refusals), all)
	}
	for _, s := range fixed.Situations {
		if s.Seen == "" || s.Why == "" || s.Say == "" || strings.HasSuffix(s.Seen, ": ") {
			t.Errorf("situation %+v", s)
		}
	}
}

// TestStyleSource: the page's style is the one that StyleSource lets in, in a real
// browser.
func TestStyleSource(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page cannot be opened here")
	}
	page, err := made(t, "egrul-extract", "2.0.0").HTML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "passport.html")
	page = bytes.Replace(page, []byte("<head>"), []byte(`<head><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src `+StyleSource()+`">`), 1)
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom", "file://"+file).CombinedOutput()
	if err != nil {
		t.Skipf("chromium does not run here: %v\n%s", err, said)
	}
	if bytes.Contains(said, []byte("violates the following Content Security Policy")) {
		t.Errorf("the policy refuses the page's own style:\n%s", said[:min(len(said), 4000)])
	}
}
