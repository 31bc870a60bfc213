package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// trouble is a section of the operator's book: what is seen, and the test that makes it.
type trouble struct{ seen, tried string }

// The operator's book has twenty troubles in both languages. What it says is seen is what
// the program says, … standing for what differs each time, and a test makes each.
func TestTwentyTroubles(t *testing.T) {
	russian := troubles(t, "operations.ru.md", "Видно", "Проверено")
	english := troubles(t, "operations.md", "Seen", "Tried")
	if len(russian) != 20 || !slices.Equal(russian, english) {
		t.Fatalf("%d troubles in Russian, %d in English; they are to be the same twenty:\n%v\n%v", len(russian), len(english), russian, english)
	}
	said, tests := sentences(t), testFunctions(t)
	story, err := os.ReadFile("../../testdata/scripts/troubles.txtar")
	if err != nil {
		t.Fatal(err)
	}
	told := strings.NewReplacer(`\`, "", "''", "'").Replace(string(story))
	for n, one := range russian {
		parts := strings.Split(one.seen, "…")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
			if !strings.Contains(said, parts[i]) {
				t.Errorf("trouble %d: the program does not say %q", n+1, parts[i])
			}
		}
		longest := slices.MaxFunc(parts, func(a, b string) int { return len(a) - len(b) })
		switch {
		case one.tried != "troubles":
			if tests[one.tried] == nil {
				t.Errorf("trouble %d: there is no %s", n+1, one.tried)
			}
		case !strings.Contains(told, strings.TrimSuffix(longest, ".")):
			t.Errorf("trouble %d: the story does not hear %q", n+1, longest)
		}
	}
}

func troubles(t *testing.T, book, seen, tried string) (out []trouble) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + book)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile("(?m)^### (\\d+)\\. .+\n- " + seen + ": `(.+)`\n- .+\n- .+\n- " + tried + ": (\\w+)$")
	for _, m := range section.FindAllStringSubmatch(string(text), -1) {
		if out = append(out, trouble{m[2], m[3]}); m[1] != strconv.Itoa(len(out)) {
			t.Errorf("docs/%s: trouble %s is the %dth", book, m[1], len(out))
		}
	}
	return out
}

// sentences are the texts of the program's source, each on a line of its own.
func sentences(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	verb := regexp.MustCompile(`%(\[\d\])?[a-z]`)
	for _, dir := range []string{"../../adapter", "."} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					out.WriteString(verb.ReplaceAllString(text, "…") + "\n")
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// What the operator's book tells its reader to call is called by a story in
// testdata/scripts with the programs as they are shipped, or by the rehearsal named here.
func TestCommandsOfTheOperatorAreTold(t *testing.T) {
	rehearsed := map[string]string{
		"restore": "TestABackupIsRestored", "journal lost": "TestAStandbyTakesOver", "journal reopen": "TestTheLogGoesOnUnderANewOrigin",
	}
	tests, told := testFunctions(t), map[string]bool{}
	stories, err := filepath.Glob("../../testdata/scripts/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatal(stories, err)
	}
	for _, name := range stories {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:exits|until) \d (mezhved .*)$`).FindAllStringSubmatch(string(text), -1) {
			if ctx, err := newTree(t).Parse(words(m[1])[1:]); err == nil {
				told[command(ctx)] = true
			}
		}
	}
	for _, book := range []string{"operations.md", "operations.ru.md"} {
		text, err := os.ReadFile("../../docs/" + book)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range calls(string(text)) {
			ctx, err := newTree(t).Parse(words(call)[1:])
			if err != nil {
				t.Errorf("docs/%s: %s: %v", book, call, err)
				continue
			}
			if what := command(ctx); !told[what] && tests[rehearsed[what]] == nil {
				t.Errorf("docs/%s: nobody calls mezhved %s: %s", book, what, call)
			}
		}
	}
}

// command is what is called, without its arguments.
func command(ctx *kong.Context) string {
	what, _, _ := strings.Cut(ctx.Command(), " <")
	return what
}
