package shell

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// sample has a command of every kind.
type sample struct {
	Serve struct {
		Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Where it's said: a file."`
		Debug  bool   `help:"Say [much] more."`
	} `cmd:"" help:"Run it."`
	Look struct {
		At struct {
			Lang  string   `enum:"ru,en" default:"ru" help:"Language."`
			Named []string `help:"A name: may be repeated."`
			Place string   `arg:"" type:"existingdir" help:"Where."`
		} `cmd:"" help:"Look at a folder."`
		Away struct{} `cmd:"" help:"Look away."`
	} `cmd:"" help:"Look."`
	Hidden     struct{}          `cmd:"" hidden:"" help:"Nobody is told."`
	Version    VersionCommand    `cmd:"" help:"Print version, commit and build."`
	Completion CompletionCommand `cmd:"" help:"Print the completion."`
	Manual     ManualCommand     `cmd:"" help:"Write the man pages."`
}

type writer struct{ bytes.Buffer }

func (w *writer) Output() io.Writer { return w }

func run(t *testing.T, args ...string) string {
	t.Helper()
	var out writer
	app, err := kong.New(&sample{}, kong.Name("sample-program"), kong.Description("Sample: a program that does nothing.\n\nIt is for a test.\n\n  sample-program look at .\n.not a request"),
		kong.BindTo(&out, (*Output)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := app.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := ctx.Run(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// completed is what a shell offers for the words so far; the last one is being typed.
var completed = map[string]func(t *testing.T, dir string, words []string) string{
	"bash": func(t *testing.T, dir string, words []string) string {
		return program(t, dir, "bash", "-c", `source ./completion; COMP_WORDS=(sample-program "$@"); COMP_CWORD=$#; _sample_program; printf '%s\n' "${COMPREPLY[@]}"`,
			append([]string{"bash"}, strings.Split(strings.ReplaceAll(strings.Join(words, "\x00"), "=", "\x00=\x00"), "\x00")...))
	},
	"zsh": func(t *testing.T, dir string, words []string) string {
		if err := os.MkdirAll(filepath.Join(dir, "functions"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "completion"), filepath.Join(dir, "functions", "_sample-program")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		// A shell at a terminal of its own, in which the tabulator is pressed.
		return program(t, dir, "zsh", "-f", "-c", `
			zmodload zsh/zpty
			zpty z zsh -f -i
			zpty -w z 'PS1=; PS2=; fpath=($PWD/functions $fpath); zstyle ":completion:*" menu no; setopt list_rows_first; autoload -Uz compinit; compinit -u -d $PWD/dump; print RE""ADY'
			zpty -m -r z seen '*READY*'
			zpty -w -n z "sample-program $1"$'\t\t' # the second one lists
			zpty -w -n z $'\C-a: \C-e\n'; zpty -w z 'print EN""DED'
			zpty -m -r z seen '*ENDED*'
			print -r -- $seen`, "zsh", strings.Join(words, " "))
	},
	"fish": func(t *testing.T, dir string, words []string) string {
		return program(t, dir, "fish", "--no-config", "-c", `source ./completion; complete -C $argv[1]`, "sample-program "+strings.Join(words, " "))
	},
}

func program(t *testing.T, dir string, name string, args ...any) string {
	t.Helper()
	var flat []string
	for _, a := range args {
		switch a := a.(type) {
		case string:
			flat = append(flat, a)
		case []string:
			flat = append(flat, a...)
		}
	}
	cmd := exec.Command(name, flat...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "TERM=xterm", "COLUMNS=200")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestCompletion(t *testing.T) {
	for _, shell := range Shells {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(shell + " is not installed")
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "completion"), []byte(run(t, "completion", shell)), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"folder-a", "folder-b"} {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"file-a", "file-b"} {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range []struct {
				typed       string
				want, never string
			}{
				{"ser", "serve", "look"},
				{"look a", "away", "serve"},
				{"hid", "", "hidden"},
				{"serve --co", "--config", "--lang"},
				{"serve -c file", "file-b", "serve"},
				{"serve -c look --de", "--debug", "--lang"}, // the file is called as a command is
				{"look at --lang r", "ru", "en"},
				{"look at --lang=r", "ru", "en"},
				{"look at --named x fol", "folder-b", "file-a"},
				{"completion ", "zsh", "serve"},
			} {
				got := completed[shell](t, dir, strings.Split(c.typed, " "))
				if !strings.Contains(got, c.want) || strings.Contains(strings.ReplaceAll(got, c.typed, ""), c.never) {
					t.Errorf("%s: sample-program %s: offered are %q, with %q and without %q", shell, c.typed, got, c.want, c.never)
				}
			}
		})
	}
}

func TestManual(t *testing.T) {
	dir := t.TempDir()
	written := strings.Fields(run(t, "manual", "--out", dir))
	want := []string{"sample-program.1", "sample-program-serve.1", "sample-program-look.1", "sample-program-version.1", "sample-program-completion.1", "sample-program-manual.1"}
	for i, name := range want {
		if len(written) != len(want) || written[i] != filepath.Join(dir, name) {
			t.Fatalf("written: %q, want %q", written, want)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "sample-program-look.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{`\fBsample\-program\fR look at <place> [flags]`, ".SS sample\\-program look away", `\fB\-\-lang\fR`, "A name: may be repeated."} {
		if !strings.Contains(string(page), has) {
			t.Errorf("the page has no %q:\n%s", has, page)
		}
	}
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed: whether the pages are clean is not known")
	}
	for _, name := range written {
		out, _ := exec.Command("mandoc", "-T", "lint", "-W", "warning", name).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "missing date") { // the sources of a test have none
				t.Error(line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	release, commit, date = "1.2.3", "0123456789abcdef0123", "2026-11-29T14:07:09Z"
	defer func() { release, commit, date = "", "", "" }()
	if got, want := run(t, "version"), "sample-program 1.2.3 (commit 0123456789ab of 2026-11-29T14:07:09Z"; !strings.HasPrefix(got, want) {
		t.Errorf("%q does not begin with %q", got, want)
	}
	var b Build
	if err := json.Unmarshal([]byte(run(t, "version", "--json")), &b); err != nil {
		t.Fatal(err)
	}
	if b.Version != "1.2.3" || b.Commit != commit || b.Date != date || b.Go == "" || b.Platform == "" {
		t.Errorf("%+v", b)
	}
}
