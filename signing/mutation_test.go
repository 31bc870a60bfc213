package signing

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	mutate     = flag.Bool("mutate", false, "flip every comparison of the verifier in turn and expect a test to fail (takes many minutes)")
	mutateOnly = flag.String("mutate-only", "", "with -mutate: only this file")
)

// verifierFiles are the files in which a wrong comparison lets somebody in.
var verifierFiles = []string{"verify.go", "structure.go", "ids.go", "places.go", "trust.go", "chain.go", "crl.go", "ocsp.go", "revocation.go", "foreign.go", "algorithm.go", "certificate.go", "gost.go", "cms.go", "ber.go"}

// harmless are mutants that change nothing that can be seen from outside, with the
// reason. The key is the file, the line's text and the mutation.
var harmless = map[string]string{}

// flips is what becomes of an operator.
var flips = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS,
	token.GTR: token.LEQ, token.LEQ: token.GTR, token.LAND: token.LOR, token.LOR: token.LAND,
}

// TestMutation flips the comparisons of the verifier one by one and runs the other
// tests on the result: each mutant must be noticed. It runs with
//
//	go test -run TestMutation -timeout 0 ./signing -args -mutate
func TestMutation(t *testing.T) {
	if !*mutate {
		t.Skip("give -args -mutate to run; it takes many minutes")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range verifierFiles {
		if *mutateOnly != "" && file != *mutateOnly {
			continue
		}
		count := len(sites(t, filepath.Join(dir, file)))
		for k := range count {
			mutant(t, dir, file, k)
		}
	}
}

// sites lists the operators of a file that can be flipped.
func sites(t *testing.T, path string) []*ast.BinaryExpr {
	_, _, found := load(t, path)
	return found
}

func load(t *testing.T, path string) (*token.FileSet, *ast.File, []*ast.BinaryExpr) {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var found []*ast.BinaryExpr
	ast.Inspect(tree, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok {
			if _, ok := flips[b.Op]; ok {
				found = append(found, b)
			}
		}
		return true
	})
	return set, tree, found
}

// mutant flips the k-th operator of a file in an overlay and runs the tests.
func mutant(t *testing.T, dir, file string, k int) {
	path := filepath.Join(dir, file)
	set, tree, found := load(t, path)
	op := found[k]
	at := set.Position(op.OpPos)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(strings.Split(string(source), "\n")[at.Line-1])
	key := fmt.Sprintf("%s: %s: %s -> %s", file, line, op.Op, flips[op.Op])
	if _, ok := harmless[key]; ok {
		return
	}
	op.Op = flips[op.Op]
	tmp := t.TempDir()
	out, err := os.Create(filepath.Join(tmp, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := format.Node(out, set, tree); err != nil {
		t.Fatal(err)
	}
	out.Close()
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: out.Name()}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := exec.Command("go", "test", "-short", "-failfast", "-timeout", "120s", "-vet=off", "-overlay", overlayFile, ".").CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("%s:%d: no test notices: %s", file, at.Line, key)
	case strings.Contains(string(result), "[build failed]"):
		t.Logf("%s:%d: does not compile: %s", file, at.Line, key)
	}
}
