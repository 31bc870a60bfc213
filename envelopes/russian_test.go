package envelopes

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"mezhved/internal/sentences"
)

// Every reason why a body is no call can be told in Russian.
func TestEveryReasonHasItsRussianSentence(t *testing.T) {
	t.Parallel()
	sentences.Room{Makers: map[string]int{"refuse": 3, "refuseBody": 2}, Russian: parseRussian}.Check(t)
}

// So can every phrase of a violation.
func TestEveryPhraseIsTranslated(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "formaterror.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	phrases := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "says") {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			phrases++
			if s != saysAtMost && s != saysCharacters && russian(s) == s {
				t.Errorf("%q is not translated", s)
			}
		}
		return true
	})
	if got := russian(saysAtMost + "5" + saysCharacters); phrases < 15 || got != "не более 5 символов" {
		t.Errorf("%d phrases, %q", phrases, got)
	}
}
