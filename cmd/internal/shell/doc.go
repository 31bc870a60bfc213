// Package shell is what the two programs tell a machine of themselves: which build
// they are, their man pages, and their completion for bash, zsh and fish. Pages and
// completion are made from the commands that there are, so they cannot tell of others.
//
// It is entered by cmd/mezhved and cmd/mezhved-audit alone, knows nothing of what their
// commands do, and keeps nothing.
package shell

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// command is one command of a program, its program included.
type command struct {
	node *kong.Node
	path []string // below the program; empty: the program itself
}

// commands are the program and all commands that are shown, parents first.
func commands(app *kong.Application) []command {
	var out []command
	var walk func(n *kong.Node, path []string)
	walk = func(n *kong.Node, path []string) {
		out = append(out, command{n, path})
		for _, child := range n.Children {
			if child.Type == kong.CommandNode && !child.Hidden {
				walk(child, append(slices.Clone(path), child.Name))
			}
		}
	}
	walk(app.Node, nil)
	return out
}

// key is the path as one word list, "journal trace"; the program's is empty.
func (c command) key() string { return strings.Join(c.path, " ") }

// children are the commands below.
func (c command) children() []*kong.Node {
	return slices.DeleteFunc(slices.Clone(c.node.Children), func(n *kong.Node) bool { return n.Type != kong.CommandNode || n.Hidden })
}

// flags are those that may stand with the command, of the commands above too.
func (c command) flags() (out []*kong.Flag) {
	for _, group := range c.node.AllFlags(true) {
		for _, f := range group {
			if c.node.Type != kong.ApplicationNode && f.Name == "version" {
				continue // it is the program's
			}
			out = append(out, f)
		}
	}
	return out
}

// takes says what a value is, so that a shell can offer some.
type takes struct {
	words []string // one of these
	files bool     // the name of a file
	dirs  bool     // the name of a folder
}

// of a flag or an argument: by its type, and by the word that its help has for it.
func of(v *kong.Value, placeholder string) takes {
	if v.Enum != "" {
		return takes{words: slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })}
	}
	switch {
	case v.Tag.Type == "existingdir", placeholder == "DIR":
		return takes{dirs: true}
	case v.Tag.Type == "existingfile", v.Tag.Type == "path", strings.Contains(placeholder, "FILE"), placeholder == "PROGRAM":
		return takes{files: true}
	}
	return takes{}
}

// sentence is a help text in one line.
func sentence(s string) string { return strings.Join(strings.Fields(s), " ") }
