package main

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"
)

// Every command has an example in its help, and every example is a call that
// the program takes: commands, flags and values are there.
func TestEveryCommandHasAnExample(t *testing.T) {
	root := newTree(t)
	for _, leaf := range root.Model.Leaves(true) {
		path := leaf.FullPath()
		t.Run(strings.ReplaceAll(path, " ", "_"), func(t *testing.T) {
			var out bytes.Buffer
			if code := run(append(strings.Fields(path)[1:], "--help"), strings.NewReader(""), &out, &out); code != 0 {
				t.Fatalf("--help: exit code %d", code)
			}
			examples := calls(out.String())
			own := false
			for _, e := range examples {
				own = own || strings.HasPrefix(e, path)
				parses(t, e)
			}
			if !own {
				t.Errorf("the help has no example that begins with %q:\n%s", path, out.String())
			}
		})
	}
}

// What the documents tell a reader to type is understood, too.
func TestCallsInDocuments(t *testing.T) {
	found := 0
	for _, name := range []string{"README.md", "README.ru.md", "docs"} {
		for file, text := range documents(t, "../../"+name) {
			if strings.Contains(file, "/integrator.") || strings.Contains(file, "/provider.") {
				continue // TestBooks runs them, in a shell that knows their variables and loops
			}
			for _, e := range calls(text) {
				found++
				t.Run(file, func(t *testing.T) { parses(t, e) })
			}
		}
	}
	if found == 0 {
		t.Skip("there are no documents with calls")
	}
}

// documents reads a file, or the Markdown files of a folder.
func documents(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	info, err := os.Stat(name)
	if os.IsNotExist(err) {
		return out
	}
	if err != nil {
		t.Fatal(err)
	}
	files := []string{name}
	if info.IsDir() {
		files = nil
		list, err := os.ReadDir(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if strings.HasSuffix(f.Name(), ".md") {
				files = append(files, name+"/"+f.Name())
			}
		}
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(text)
	}
	return out
}

func newTree(t *testing.T) *kong.Kong {
	t.Helper()
	// The files that an example names need not exist.
	anything := kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		if target.Kind() != reflect.Slice {
			return ctx.Scan.PopValueInto("file", target.Addr().Interface())
		}
		for ctx.Scan.Peek().IsValue() {
			target.Set(reflect.Append(target, reflect.ValueOf(ctx.Scan.Pop().String())))
			if ctx.Value.Flag != nil {
				break
			}
		}
		return nil
	})
	k, err := kong.New(&cli{}, kong.Name("mezhved"), kong.Exit(func(int) {}), kong.Writers(&bytes.Buffer{}, &bytes.Buffer{}),
		kong.NamedMapper("existingfile", anything), kong.NamedMapper("existingdir", anything))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// callLine is a line of a help or document that is a call of the program: it is
// indented or stands in a code block, perhaps behind a prompt.
var callLine = regexp.MustCompile(`(?m)^(?:\s+|)(?:\$ )?(?:bin/|\./)?(mezhved [a-z].*)$`)

// shellVariable is a line that gives a shell's variable a value.
var shellVariable = regexp.MustCompile(`(?m)^\s+([A-Z]+)="([^"]*)"$`)

// calls finds the calls in a text, with the values of variables in their place.
func calls(text string) (out []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, m := range shellVariable.FindAllStringSubmatch(text, -1) {
		text = strings.ReplaceAll(text, "$"+m[1]+" ", m[2]+" ")
	}
	for _, m := range callLine.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// parses demands that the program understands a call.
func parses(t *testing.T, call string) {
	t.Helper()
	args := words(call)
	if _, err := newTree(t).Parse(args[1:]); err != nil {
		t.Errorf("%s\n%v", call, err)
	}
}

// words cuts a line as a shell does, up to a comment, pipe or redirection.
func words(line string) (out []string) {
	word, quote, inside, depth := "", rune(0), false, 0
	for _, r := range line + " " {
		switch {
		case r == '(' && strings.HasSuffix(word, "$"), depth > 0 && r == '(':
			depth++
			word += string(r)
		case depth > 0: // what another command prints
			if r == ')' {
				depth--
			}
			word += string(r)
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, inside = r, true
		case !inside && word == "" && strings.ContainsRune("#|>&;", r):
			return out
		case unicode.IsSpace(r):
			if inside || word != "" {
				out = append(out, word)
			}
			word, inside = "", false
		default:
			word += string(r)
		}
	}
	return out
}
