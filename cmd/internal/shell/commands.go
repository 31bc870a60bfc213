package shell

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Output is where the commands of this package write.
type Output interface{ Output() io.Writer }

// VersionCommand prints which build a program is.
type VersionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run is the command.
func (c *VersionCommand) Run(app *kong.Kong, out Output) error {
	build := ThisBuild(app.Model.Name)
	if !c.JSON {
		_, err := fmt.Fprintln(out.Output(), build)
		return err
	}
	e := json.NewEncoder(out.Output())
	e.SetIndent("", "  ")
	return e.Encode(build)
}

// CompletionCommand prints the completion for a shell.
type CompletionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run is the command.
func (c *CompletionCommand) Run(app *kong.Kong, out Output) error {
	return Completion(out.Output(), app.Model, c.Shell)
}

// ManualCommand writes the man pages.
type ManualCommand struct {
	Out string `required:"" short:"o" placeholder:"DIR" help:"Folder to write them into."`
}

// Run is the command.
func (c *ManualCommand) Run(app *kong.Kong, out Output) error {
	written, err := Manual(app.Model, ThisBuild(app.Model.Name), c.Out)
	for _, name := range written {
		fmt.Fprintln(out.Output(), name)
	}
	return err
}
