package shell

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are those that there is completion for.
var Shells = []string{"bash", "zsh", "fish"}

// Completion writes what a shell reads to complete the commands, flags and values of a
// program.
func Completion(w io.Writer, app *kong.Application, shell string) error {
	write, ok := map[string]func(*strings.Builder, *kong.Application){"bash": bash, "zsh": zsh, "fish": fish}[shell]
	if !ok {
		return fmt.Errorf("there is completion for %s, not for %q", strings.Join(Shells, ", "), shell)
	}
	var b strings.Builder
	write(&b, app)
	_, err := io.WriteString(w, b.String())
	return err
}

// word is a name in the functions of a shell.
func word(s string) string { return strings.NewReplacer("-", "_", " ", "_").Replace(s) }

// quoted is a string in single quotes, as bash and zsh read it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// valued are the flags of a command that take a value, each in all of its spellings.
func valued(c command, each func(f *kong.Flag, names []string)) {
	for _, f := range c.flags() {
		if f.IsBool() || f.IsCounter() {
			continue
		}
		names := []string{"--" + f.Name}
		if f.Short != 0 {
			names = append(names, "-"+string(f.Short))
		}
		each(f, names)
	}
}

// bash: the words before the cursor lead to a command ("at"), and a table says what
// may come after it. A word after a flag that takes a value is no command.
func bash(b *strings.Builder, app *kong.Application) {
	name := word(app.Name)
	fmt.Fprintf(b, `# Completion of %[1]s for bash, made by "%[1]s completion bash".

# _%[2]s_next: what the word may be that comes after a command.
_%[2]s_next() {
    case $1 in
`, app.Name, name)
	for _, c := range commands(app) {
		var words, flags []string
		for _, n := range c.children() {
			words = append(words, n.Name)
		}
		for _, f := range c.flags() {
			flags = append(flags, "--"+f.Name)
		}
		files := ""
		if len(c.node.Positional) > 0 {
			p := c.node.Positional[len(c.node.Positional)-1]
			files = bashKind(of(p, strings.ToUpper(p.Name)))
		}
		fmt.Fprintf(b, "    %s) words=%s flags=%s kind=%s ;;\n", quoted(c.key()), quoted(strings.Join(words, " ")), quoted(strings.Join(flags, " ")), quoted(files))
	}
	fmt.Fprintf(b, `    *) return 1 ;;
    esac
}

# _%[1]s_value: what the value of a flag may be; 1: the flag takes none.
_%[1]s_value() {
    case "$1 $2" in
`, name)
	for _, c := range commands(app) {
		valued(c, func(f *kong.Flag, names []string) {
			var alternatives []string
			for _, n := range names {
				alternatives = append(alternatives, quoted(c.key()+" "+n))
			}
			fmt.Fprintf(b, "    %s) kind=%s ;;\n", strings.Join(alternatives, "|"), quoted(bashKind(of(f.Value, f.FormatPlaceHolder()))))
		})
	}
	fmt.Fprintf(b, `    *) return 1 ;;
    esac
}

_%[1]s() {
    local cur=${COMP_WORDS[COMP_CWORD]} at='' flag='' words='' flags='' kind='' i word
    COMPREPLY=()
    _%[1]s_next ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == '=' ]]; then continue; fi
        if [[ -n $flag ]]; then flag=''; continue; fi
        if [[ $word == -* ]]; then
            if _%[1]s_value "$at" "$word"; then flag=$word; fi
        elif [[ " $words " == *" $word "* ]]; then
            at=${at:+$at }$word
            _%[1]s_next "$at"
        fi
    done
    # --flag=value is three words here, and the last may be the sign alone.
    if [[ $cur == '=' ]]; then cur=''; fi
    if [[ -n $flag ]]; then
        words=''
        _%[1]s_value "$at" "$flag"
    else
        _%[1]s_next "$at"
        if [[ $cur == -* ]]; then words=$flags kind=''; fi
    fi
    case $kind in
    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    dir) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words$kind" -- "$cur") ;;
    esac
}
complete -F _%[1]s %[2]s
`, name, app.Name)
}

// bashKind is file, dir, or the words themselves.
func bashKind(t takes) string {
	switch {
	case t.files:
		return "file"
	case t.dirs:
		return "dir"
	}
	return strings.Join(t.words, " ")
}

// zsh: a function a command, which hands on to those below it.
func zsh(b *strings.Builder, app *kong.Application) {
	fmt.Fprintf(b, "#compdef %[1]s\n# Completion of %[1]s for zsh, made by \"%[1]s completion zsh\".\n", app.Name)
	function := func(c command) string { return "_" + word(strings.TrimSpace(app.Name+" "+c.key())) }
	for _, c := range commands(app) {
		fmt.Fprintf(b, "\n%s() {\n", function(c))
		children := c.children()
		if len(children) > 0 {
			b.WriteString("    local context state state_descr line\n    typeset -A opt_args\n    local -a commands=(\n")
			for _, n := range children {
				fmt.Fprintf(b, "        %s\n", quoted(n.Name+":"+sentence(n.Help)))
			}
			b.WriteString("    )\n    _arguments -C \\\n")
		} else {
			b.WriteString("    _arguments \\\n")
		}
		for _, f := range c.flags() {
			for _, spec := range zshFlag(f) {
				fmt.Fprintf(b, "        %s \\\n", spec)
			}
		}
		switch {
		case len(children) > 0:
			b.WriteString("        '1: :->command' '*:: :->below'\n    case $state in\n    command) _describe -t commands command commands ;;\n    below)\n        case $line[1] in\n")
			for _, n := range children {
				fmt.Fprintf(b, "        %s) %s ;;\n", n.Name, function(command{path: append(c.path[:len(c.path):len(c.path)], n.Name)}))
			}
			b.WriteString("        esac ;;\n    esac\n")
		case len(c.node.Positional) > 0:
			p := c.node.Positional[len(c.node.Positional)-1]
			fmt.Fprintf(b, "        %s\n", quoted("*:"+p.Name+":"+zshAction(of(p, strings.ToUpper(p.Name)))))
		default:
			b.WriteString("        && return\n")
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(b, "\n_%[1]s \"$@\"\n", word(app.Name))
}

// zshFlag is a flag as _arguments takes it, once for each of its spellings.
func zshFlag(f *kong.Flag) (out []string) {
	help := strings.NewReplacer("[", "(", "]", ")", ":", " -", `\`, "").Replace(sentence(f.Help))
	many := ""
	if f.IsSlice() {
		many = "*"
	}
	end := func(sign string) string {
		if f.IsBool() || f.IsCounter() {
			return "[" + help + "]"
		}
		return sign + "[" + help + "]:" + strings.NewReplacer(":", " ", `\`, "").Replace(f.FormatPlaceHolder()) + ":" + zshAction(of(f.Value, f.FormatPlaceHolder()))
	}
	out = append(out, quoted(many+"--"+f.Name+end("=")))
	if f.Short != 0 {
		out = append(out, quoted(many+"-"+string(f.Short)+end("+")))
	}
	return out
}

func zshAction(t takes) string {
	switch {
	case t.files:
		return "_files"
	case t.dirs:
		return "_files -/"
	case len(t.words) > 0:
		return "(" + strings.Join(t.words, " ") + ")"
	}
	return " "
}

// fish: a function finds the command that the words lead to, and each completion
// names the command at which it is offered.
func fish(b *strings.Builder, app *kong.Application) {
	name := word(app.Name)
	var known, takers []string
	for _, c := range commands(app) {
		if len(c.path) > 0 {
			known = append(known, fishQuoted(c.key()))
		}
		valued(c, func(_ *kong.Flag, names []string) {
			for _, n := range names {
				takers = append(takers, fishQuoted(c.key()+" "+n))
			}
		})
	}
	fmt.Fprintf(b, `# Completion of %[1]s for fish, made by "%[1]s completion fish".

set -g __%[2]s_commands %[3]s
set -g __%[2]s_valued %[4]s

# The command that the words before the cursor lead to. A word after a flag that takes
# a value is no command.
function __%[2]s_at
    set -l at
    set -l value 0
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if test $value = 1
            set value 0
        else if string match -q -- '-*' $word
            contains -- "$at $word" $__%[2]s_valued; and set value 1
        else if contains -- (string trim -- "$at $word") $__%[2]s_commands
            set at (string trim -- "$at $word")
        end
    end
    test "$at" = "$argv"
end

complete -c %[1]s -f
`, app.Name, name, strings.Join(known, " "), strings.Join(takers, " "))
	for _, c := range commands(app) {
		at := fmt.Sprintf("complete -c %s -n %s", app.Name, fishQuoted(strings.TrimSpace("__"+name+"_at "+c.key())))
		for _, n := range c.children() {
			fmt.Fprintf(b, "%s -a %s -d %s\n", at, n.Name, fishQuoted(sentence(n.Help)))
		}
		for _, f := range c.flags() {
			fmt.Fprintf(b, "%s -l %s", at, f.Name)
			if f.Short != 0 {
				fmt.Fprintf(b, " -s %s", string(f.Short))
			}
			if !f.IsBool() && !f.IsCounter() {
				b.WriteString(" -r" + fishValue(of(f.Value, f.FormatPlaceHolder())))
			}
			fmt.Fprintf(b, " -d %s\n", fishQuoted(sentence(f.Help)))
		}
		if len(c.node.Positional) > 0 {
			p := c.node.Positional[len(c.node.Positional)-1]
			if value := fishValue(of(p, strings.ToUpper(p.Name))); value != " -f" {
				fmt.Fprintf(b, "%s%s\n", at, value)
			}
		}
	}
}

func fishValue(t takes) string {
	switch {
	case t.files:
		return " -F"
	case t.dirs:
		return " -f -a '(__fish_complete_directories)'"
	case len(t.words) > 0:
		return " -f -a " + fishQuoted(strings.Join(t.words, " "))
	}
	return " -f"
}

func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
