package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mezhved/adapter/oplog"
)

// Every line that a node can write has the name of its event, docs/log.md lists it with
// its level, and lists no other; what a program filters by does not change unseen.
func TestEveryLineOfTheLogHasAnEvent(t *testing.T) {
	doc, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	names := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+)` \\| ([a-z, ]+) \\| (.*?)…? \\|$").FindAllSubmatch(doc, -1) {
		name, line := string(m[1]), string(m[3])
		for level := range strings.SplitSeq(string(m[2]), ", ") {
			listed[level+" "+line] = false
		}
		if got := oplog.Event(line); got != name && oplog.Event(line+" x") != name {
			t.Errorf("docs/log.md calls %q %s, the log %q", line, name, got)
		}
		if other, ok := names[name]; ok {
			t.Errorf("%s is the name of two events: %q and %q", name, other, line)
		}
		names[name] = line
		if !regexp.MustCompile(`^[a-z0-9]+\.[a-z0-9-]+$`).MatchString(name) {
			t.Errorf("%q is no name of an event", name)
		}
	}
	for where, line := range logged(t, "../../adapter", ".") {
		level, message, _ := strings.Cut(line, " ")
		if oplog.Event(message) == "" && oplog.Event(message+"x") == "" {
			t.Errorf("%s: %q has no name: give it one in adapter/oplog/events.go, and a row in docs/log.md", where, message)
		}
		key := level + " " + strings.TrimSpace(message)
		if _, ok := listed[key]; !ok {
			t.Errorf("%s: docs/log.md does not list %q at level %s", where, message, level)
		}
		listed[key] = true
	}
	for line, found := range listed {
		if !found && !strings.Contains(line, "lines of this log are missing") && !strings.HasSuffix(line, "other lines") {
			t.Errorf("docs/log.md lists what nobody writes: %s", line)
		}
	}
}

// logged finds the messages of log calls in the source, level first, by place.
func logged(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	set := token.NewFileSet()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test") || d.Name() == "outside") {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if level, message, at := logCall(n); message != "" {
					found[set.Position(at).String()] = level + " " + message
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 50 {
		t.Fatalf("%d log calls were found", len(found))
	}
	return found
}

// logCall reads a call such as g.log.Warn("message", ...).
func logCall(n ast.Node) (level, message string, at token.Pos) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	switch method.Sel.Name {
	case "Info", "Warn", "Error":
	default:
		return
	}
	of := method.X
	if c, ok := of.(*ast.CallExpr); ok {
		of = c.Fun
	}
	name := ""
	switch x := of.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	if name = strings.ToLower(name); name != "log" && name != "logger" && name != "slog" {
		return
	}
	arg := call.Args[0]
	if sum, ok := arg.(*ast.BinaryExpr); ok {
		for ok {
			arg = sum.X
			sum, ok = arg.(*ast.BinaryExpr)
		}
	}
	lit, ok := arg.(*ast.BasicLit)
	if !ok {
		return
	}
	message, _ = strconv.Unquote(lit.Value)
	return strings.ToLower(method.Sel.Name), message, call.Pos()
}
