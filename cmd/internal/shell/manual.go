package shell

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

// Manual writes the man pages of a program into a folder, section 1: one of the
// program, and one of each of its commands with everything below it. It returns the
// names of the files.
func Manual(app *kong.Application, build Build, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var written []string
	pages := append([]*kong.Node{app.Node}, command{node: app.Node}.children()...)
	for _, n := range pages {
		name := filepath.Join(dir, pageName(app, n)+".1")
		if err := os.WriteFile(name, page(app, build, n), 0o644); err != nil {
			return written, err
		}
		written = append(written, name)
	}
	return written, nil
}

func pageName(app *kong.Application, n *kong.Node) string {
	if n == app.Node {
		return app.Name
	}
	return app.Name + "-" + n.Name
}

func page(app *kong.Application, build Build, n *kong.Node) []byte {
	var b bytes.Buffer
	day, _, _ := strings.Cut(build.Date, "T")
	fmt.Fprintf(&b, ".TH %s 1 %q %q\n", strings.ToUpper(roff(pageName(app, n))), day, app.Name+" "+build.Version)
	if n == app.Node {
		help, detail, _ := strings.Cut(strings.TrimSpace(n.Help), "\n")
		fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(app.Name), roff(strings.TrimSuffix(strings.TrimPrefix(help, "Mezhved: "), ".")))
		fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I command\n[\\fIflags\\fR]\n", roff(app.Name))
		b.WriteString(".SH DESCRIPTION\n")
		paragraphs(&b, detail)
		b.WriteString(".SH COMMANDS\n")
		for _, c := range (command{node: n}).children() {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(app, c)), text(sentence(c.Help)))
		}
		options(&b, n)
		fmt.Fprintf(&b, ".SH SEE ALSO\n")
		for i, c := range (command{node: n}).children() {
			if i > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, ".BR %s (1)", roff(pageName(app, c)))
		}
		b.WriteString("\n")
		return b.Bytes()
	}
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(app, n)), roff(sentence(strings.TrimSuffix(n.Help, "."))))
	b.WriteString(".SH SYNOPSIS\n.nf\n")
	for _, leaf := range leaves(n) {
		fmt.Fprintf(&b, "\\fB%s\\fR %s\n", roff(app.Name), roff(strings.TrimSpace(leaf.Summary())))
	}
	b.WriteString(".fi\n.SH DESCRIPTION\n")
	b.WriteString(text(sentence(n.Help)) + "\n")
	paragraphs(&b, n.Detail)
	arguments(&b, n)
	options(&b, n)
	if len(n.Children) > 0 {
		b.WriteString(".SH COMMANDS\n")
		below(&b, app, n)
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(app.Name))
	return b.Bytes()
}

func leaves(n *kong.Node) []*kong.Node {
	if n.Leaf() {
		return []*kong.Node{n}
	}
	return n.Leaves(true)
}

// below tells of the commands below one.
func below(b *bytes.Buffer, app *kong.Application, n *kong.Node) {
	for _, c := range (command{node: n}).children() {
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(c.FullPath()), text(sentence(c.Help)))
		paragraphs(b, c.Detail)
		for _, p := range c.Positional {
			item(b, p.Summary(), p.Help)
		}
		for _, f := range c.Flags {
			if !f.Hidden {
				flag(b, f)
			}
		}
		below(b, app, c)
	}
}

func arguments(b *bytes.Buffer, n *kong.Node) {
	if len(n.Positional) == 0 {
		return
	}
	b.WriteString(".SH ARGUMENTS\n")
	for _, p := range n.Positional {
		item(b, p.Summary(), p.Help)
	}
}

// options are the flags of a node, and of those above it but the program.
func options(b *bytes.Buffer, n *kong.Node) {
	b.WriteString(".SH OPTIONS\n")
	for _, f := range (command{node: n}).flags() {
		flag(b, f)
	}
}

func flag(b *bytes.Buffer, f *kong.Flag) {
	name := `\fB` + roff("--"+f.Name) + `\fR`
	if f.Short != 0 {
		name = `\fB` + roff("-"+string(f.Short)) + `\fR, ` + name
	}
	if !f.IsBool() && !f.IsCounter() {
		name += `=\fI` + roff(f.FormatPlaceHolder()) + `\fR`
	}
	help := sentence(f.Help)
	if f.Required {
		help += " Required."
	}
	fmt.Fprintf(b, ".TP\n%s\n%s\n", name, text(help))
}

func item(b *bytes.Buffer, name, help string) {
	fmt.Fprintf(b, ".TP\n\\fI%s\\fR\n%s\n", roff(name), text(sentence(help)))
}

// paragraphs writes the long help: what stands indented in it is shown as it is.
func paragraphs(b *bytes.Buffer, s string) {
	apart := !bytes.HasSuffix(b.Bytes(), []byte(".SH DESCRIPTION\n")) // a paragraph begins, and not its section too
	shown := false                                                    // in what is shown as it is
	for line := range strings.Lines(strings.Trim(s, "\n")) {
		line = strings.TrimRight(line, " \n")
		if line == "" {
			apart = true
			continue
		}
		if is := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); is != shown {
			if shown {
				b.WriteString(".fi\n")
			} else {
				b.WriteString(".PP\n.nf\n")
			}
			shown, apart = is, !is
		}
		if apart {
			b.WriteString(".PP\n")
			apart = false
		}
		b.WriteString(text(line) + "\n")
	}
	if shown {
		b.WriteString(".fi\n")
	}
}

// roff is text that the formatter takes as it is.
func roff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(s)
}

// text is roff for a line of its own, which may begin with what would be a request.
func text(s string) string {
	s = roff(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}
