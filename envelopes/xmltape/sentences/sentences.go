// Package sentences is for tests. It holds that every sentence which a room can
// say of a call has its Russian form: it reads the room's source, so that a new
// reason without one fails the test of its room.
package sentences

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Room is a package, in the current directory, whose sentences are checked.
type Room struct {
	// Makers are the functions that take a sentence, with the index of that
	// argument. A sentence is a literal, whose arguments follow it.
	Makers  map[string]int
	Russian map[string]string // the Russian form of each sentence
	Files   []string          // only these are read; default: all
	Terms   []string          // what stands in Latin letters in Russian, too, beside what Latin knows
}

// Check holds that every sentence of the room has a Russian form that takes the
// same arguments and has no Latin prose, and that every form is of a sentence.
func (r Room) Check(t *testing.T) {
	t.Helper()
	used := map[string]bool{}
	for where, s := range r.literals(t) {
		used[s] = true
		ru, ok := r.Russian[s]
		switch {
		case !ok:
			t.Errorf("%s: %q has no Russian form", where, s)
		case !slices.Equal(verbs(s), verbs(ru)):
			t.Errorf("%s: %q and %q take different arguments", where, s, ru)
		default:
			if prose := Latin(ru, r.Terms...); prose != nil {
				t.Errorf("%s: %q has the Latin words %q", where, ru, prose)
			}
		}
	}
	if len(used) == 0 {
		t.Fatal("no sentence was found")
	}
	for s := range r.Russian {
		if !used[s] {
			t.Errorf("nobody says %q", s)
		}
	}
}

// literals finds the sentences, by their places.
func (r Room) literals(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range names {
		if !strings.HasSuffix(name.Name(), ".go") || strings.HasSuffix(name.Name(), "_test.go") || len(r.Files) > 0 && !slices.Contains(r.Files, name.Name()) {
			continue
		}
		f, err := parser.ParseFile(set, name.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				name = fun.Name
			case *ast.SelectorExpr:
				if of, ok := fun.X.(*ast.Ident); ok && of.Name == "fmt" {
					return true // what the program says to itself
				}
				name = fun.Sel.Name
			}
			i, ok := r.Makers[name]
			if !ok || i >= len(call.Args) {
				return true
			}
			where := set.Position(call.Pos()).String()
			lit, ok := call.Args[i].(*ast.BasicLit)
			if !ok {
				if id, ok := call.Args[i].(*ast.Ident); !ok || id.Name != "format" { // a maker that hands it on
					t.Errorf("%s: the sentence of %s is no literal", where, name)
				}
				return true
			}
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[where] = s
			return true
		})
	}
	return found
}

var (
	verb = regexp.MustCompile(`(?:0x)?%[+#]?[0-9.]*[a-zA-Z]`)
	word = regexp.MustCompile(`[A-Za-z][A-Za-z0-9:./_-]*`)
	// names are what stands in Latin letters in Russian, too: names of elements and
	// headers, of formats and algorithms, and what is to be typed as it is.
	names = regexp.MustCompile(`^(XML|DOCTYPE|CDATA|UTF-(8|16|32)|U|xml|xmlns(:[a-z]+)?|version|encoding|standalone|yes|no|gt|lt|amp|SOAP|MIME|Content-(ID|Type|Transfer-Encoding)|Envelope|Body|charset|boundary|start|ds|XPath|enveloped-signature|multipart/related|(text|application)/[a-z+]+|base64|Id|URI|Algorithm|ds:[A-Za-z0-9]*|X509[A-Za-z]*|true|false|CMS|[0-9.]+)$`)
)

// Latin gives the words of a text that are prose in Latin letters: neither names
// that are known here nor any of also.
func Latin(s string, also ...string) (prose []string) {
	for _, w := range word.FindAllString(verb.ReplaceAllString(s, " "), -1) {
		if w = strings.TrimRight(w, ":./-"); !names.MatchString(w) && !slices.Contains(also, w) {
			prose = append(prose, w)
		}
	}
	return prose
}

func verbs(s string) []string { return verb.FindAllString(strings.ReplaceAll(s, "%%", ""), -1) }
