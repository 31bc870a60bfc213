package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mezhved/adapter"
	"mezhved/envelopes"

	"github.com/rogpeppe/go-internal/testscript"
)

// The books are told as the scripts are, with the programs as they are shipped: each
// block of commands in their order, in one shell from the first to the last. What
// stands behind ```sh says how a block ends:
//
//	exit=CODE   its last command ends with this exit code
//	open=URL    it is one command that stays open until the end of the book; it is ready when there is something at URL
//	with=MODULES it is left out where Python does not have these modules (.ci/test-clients brings them)
//
// A block ```text is what the block before it says, line by line in this order; … stands
// for anything. Addresses of the books are replaced by free ones.
func TestBooks(t *testing.T) {
	bin := filepath.Dir(program(t, "mezhved"))
	dir := t.TempDir()
	for _, book := range []string{"integrator", "provider"} {
		original, translated := blocks(t, book+".ru.md"), blocks(t, book+".md")
		if !slices.Equal(original, translated) {
			for i := range min(len(original), len(translated)) {
				if original[i] != translated[i] {
					t.Fatalf("docs/%s.md has another block than docs/%s.ru.md:\n%s\nwant\n%s", book, book, translated[i].text, original[i].text)
				}
			}
			t.Fatalf("docs/%s.md has %d blocks, docs/%s.ru.md %d", book, len(translated), book, len(original))
		}
		if len(original) < 20 {
			t.Fatalf("docs/%s.ru.md has %d blocks", book, len(original))
		}
		if err := os.WriteFile(filepath.Join(dir, book+".txtar"), []byte(script(t, original)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			findPrograms(e, bin)
			// What calls keep of themselves is not the user's.
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			for _, name := range []string{"services", "clients"} {
				if err := os.CopyFS(filepath.Join(e.WorkDir, "testdata", name), os.DirFS(filepath.Join("../../testdata", name))); err != nil {
					return err
				}
			}
			return nil
		},
		Condition: func(what string) (bool, error) {
			modules, ok := strings.CutPrefix(what, "python:")
			if !ok {
				return false, fmt.Errorf("unknown condition %s", what)
			}
			return exec.Command("python3", "-c", "import "+modules).Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await, "says": says},
	})
}

// block is a fenced block of a book: its language with what follows, and its text.
type block struct{ kind, text string }

func blocks(t *testing.T, name string) (out []block) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	fence := regexp.MustCompile("(?ms)^```(.*?)\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatch(rest, -1) {
		if kind, _, _ := strings.Cut(m[1], " "); kind == "sh" || kind == "text" {
			out = append(out, block{m[1], m[2]})
		}
	}
	// A command stands where it is run.
	if m := regexp.MustCompile(`(?m)^ +(bin/)?(mezhved|curl|openssl) .*$`).FindString(fence.ReplaceAllString(rest, "")); m != "" {
		t.Errorf("docs/%s: a command that nobody runs; it belongs into a block ```sh: %s", name, m)
	}
	return out
}

// oneShell runs one block in the environment that the block before it has left.
const oneShell = `set -e -o pipefail
[ ! -e .shell ] || . ./.shell 2>/dev/null
trap '{ declare -p | grep -v "^declare -[a-zA-Z]*r"; declare -f; } >.shell' EXIT
. "./$1" 2>&1
`

// script is the txtar of a book.
func script(t *testing.T, book []block) string {
	free := map[string]string{} // one address for one, however often it stands there
	local := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	var lines, files strings.Builder
	fmt.Fprintf(&files, "-- shell.sh --\n%s", oneShell)
	where := "" // the condition of the last block of commands
	for i, b := range book {
		kind, how, _ := strings.Cut(b.kind, " ")
		name := fmt.Sprintf("%02d.%s", i+1, kind)
		told := func(s string) string {
			return local.ReplaceAllStringFunc(s, func(address string) string {
				if free[address] == "" {
					free[address] = freeAddress(t)
				}
				return free[address]
			})
		}
		text := told(b.text)
		attribute, value, _ := strings.Cut(how, "=")
		if kind == "sh" {
			where = ""
		}
		switch {
		case kind == "text":
			fmt.Fprintf(&lines, "%ssays %s\n", where, name)
		case attribute == "":
			fmt.Fprintf(&lines, "exits 0 bash shell.sh %s\n", name)
		case attribute == "exit":
			fmt.Fprintf(&lines, "exits %s bash shell.sh %s\n", value, name)
		case attribute == "with":
			where = fmt.Sprintf("[python:%s] ", value)
			fmt.Fprintf(&lines, "%sexits 0 bash shell.sh %s\n", where, name)
		case attribute == "open":
			text = "[ ! -e .shell ] || . ./.shell 2>/dev/null\nexec " + text
			fmt.Fprintf(&lines, "exec bash %s &open&\nawait %s\n", name, told(value))
		default:
			t.Fatalf("a block that nobody knows how to run: %s", b.kind)
		}
		fmt.Fprintf(&files, "-- %s --\n%s", name, text)
	}
	return lines.String() + files.String()
}

// says holds the last output against what a book promises of it.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: says FILE")
	}
	said := ts.ReadFile("stdout")
	rest := said
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		for part := range strings.SplitSeq(strings.TrimSpace(line), "…") {
			at := strings.Index(rest, part)
			if at < 0 {
				ts.Fatalf("it is not said, or not there: %q\n%s", part, said)
			}
			rest = rest[at+len(part):]
		}
	}
}

// The integrator's book has every fault of the protocol and every row of the gateway's
// table, in the gateway's words.
func TestTheBookOfRefusals(t *testing.T) {
	for _, name := range []string{"integrator.ru.md", "integrator.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		rows := map[string][]string{} // by fault and code
		for line := range strings.Lines(string(text)) {
			cells := strings.Split(strings.TrimSpace(line), " | ")
			if fault, ok := strings.CutPrefix(cells[0], "| `"); ok && len(cells) == 5 {
				fault, _, _ = strings.Cut(fault, "`")
				rows[fault+" "+cells[1]] = cells
			}
		}
		seen := map[envelopes.FaultKind]bool{}
		for _, r := range adapter.Reasons() {
			seen[r.Fault] = true
			cells := rows[fmt.Sprintf("%s %s", r.Fault, r.Code)]
			if cells == nil {
				t.Errorf("docs/%s does not have %s %s (%s)", name, r.Fault, r.Code, r.Name)
				continue
			}
			delete(rows, fmt.Sprintf("%s %s", r.Fault, r.Code))
			if want := fmt.Sprintf("| `%s` SMEV-%d", r.Fault, r.Fault.Number()); cells[0] != want {
				t.Errorf("docs/%s: %s: got %q, want %q", name, r.Code, cells[0], want)
			}
			if cells[2] != r.Text {
				t.Errorf("docs/%s: the sentence of %s: got %q, want %q", name, r.Code, cells[2], r.Text)
			}
			if got := strings.TrimSuffix(cells[4], " |"); strings.Contains(name, ".ru.") && got != r.Do {
				t.Errorf("docs/%s: the cure of %s: got %q, want %q", name, r.Code, got, r.Do)
			}
		}
		for _, kind := range envelopes.FaultKinds(envelopes.V13) {
			cells := rows[string(kind)+" —"]
			if seen[kind] != (cells == nil) {
				t.Errorf("docs/%s: %s: raised %t, told of as never raised %t", name, kind, seen[kind], cells != nil)
			}
			delete(rows, string(kind)+" —")
		}
		for row := range rows {
			t.Errorf("docs/%s has a refusal that is none: %s", name, row)
		}
	}
}
