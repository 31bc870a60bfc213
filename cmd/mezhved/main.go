// Command mezhved is the gateway and everything that is done with it at a
// terminal: it serves, it plays a demonstration, it is a party that sends and
// polls, an operator who looks after queues, and an auditor who traces.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"mezhved/adapter/oplog"
	"mezhved/adapter/postgres"
	"mezhved/cmd/internal/shell"
)

// Exit codes, the same for every command.
const (
	exitNo          = 1 // the answer is no: refused, invalid, not found, lost
	exitUsage       = 2 // the call or a file it names cannot be understood
	exitUnavailable = 3 // a server did not answer, or said "later": the same call may be repeated
)

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// notOpened says why a database was not opened, and by the code whether the same call may
// be repeated: what is of another release, half restored or sealed with another vault
// stays so until somebody acts.
func notOpened(err error) error {
	switch {
	case errors.Is(err, postgres.ErrSchema):
		return no(fmt.Errorf("database: %w", err))
	case errors.Is(err, postgres.ErrVault):
		return usage(err)
	}
	return unavailable(fmt.Errorf("database: %w", err))
}

func no(err error) error          { return &exitError{exitNo, err} }
func usage(err error) error       { return &exitError{exitUsage, err} }
func unavailable(err error) error { return &exitError{exitUnavailable, err} }

type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the gateway."`
	Route    routeCmd    `cmd:"" help:"Run one address in front of several installations."`
	Demo     demoCmd     `cmd:"" help:"Start everything privately and play real exchanges."`
	Sandbox  sandboxCmd  `cmd:"" help:"Run a gateway to try: an emulator behind every service, faults on demand, fast time."`
	Send     sendCmd     `cmd:"" group:"party" help:"Send a request and print the receipt."`
	Poll     pollCmd     `cmd:"" group:"party" help:"Take the next request or response from the party's queue."`
	Reply    replyCmd    `cmd:"" group:"party" help:"Answer a request: content, status or rejection."`
	Ack      ackCmd      `cmd:"" group:"party" help:"Acknowledge a message that was taken."`
	Status   statusCmd   `cmd:"" group:"party" help:"Take the next message from the party's status queue."`
	Keys     keysCmd     `cmd:"" group:"tools" help:"Make and look at keys and certificates for tests."`
	Sign     signCmd     `cmd:"" group:"tools" help:"Sign an element of an XML file under the SMEV profile."`
	Verify   verifyCmd   `cmd:"" group:"tools" help:"Verify the SMEV signatures of an XML file, and explain."`
	XSD      xsdCmd      `cmd:"" name:"xsd" group:"tools" help:"Validate documents, check and compare schemas."`
	Services servicesCmd `cmd:"" group:"operator" help:"List and check the services folder."`
	Parties  partiesCmd  `cmd:"" group:"operator" help:"List and check the parties folder."`
	Alarms   alarmsCmd   `cmd:"" group:"operator" help:"Check, try and mute the rules by which people are told of what is late."`
	Conform  conformCmd  `cmd:"" group:"tools" help:"Try whether a bus or a party speaks SMEV 3 as the guidelines have it; sign and verify the report."`
	Queues   queuesCmd   `cmd:"" group:"operator" help:"Show what waits in the queues of a gateway."`
	Report   reportCmd   `cmd:"" group:"auditor" help:"Report how services and bodies work, what is late, whose fault refusals are, how bodies rate."`
	Journal  journalCmd  `cmd:"" group:"auditor" help:"Trace what happened to a message."`
	Config   configCmd   `cmd:"" group:"operator" help:"Show the configuration: what is in force and where it stands, defaults, schema."`
	Reload   reloadCmd   `cmd:"" group:"operator" help:"Have the running node read its files again, and print what became of it."`
	Doctor   doctorCmd   `cmd:"" group:"operator" help:"Check a configuration, its database and its bus, and say what to do."`
	Backup   backupCmd   `cmd:"" group:"operator" help:"Make, list, check and prune backups."`
	Restore  restoreCmd  `cmd:"" group:"operator" help:"Put a backup back, verify it, and say what was lost since."`
	Schema   schemaCmd   `cmd:"" group:"operator" help:"Look at the version of the database, migrate it, take migrations back."`
	Bench    benchCmd    `cmd:"" group:"operator" help:"Measure, and check that nothing is lost."`
	Version  versionCmd  `cmd:"" help:"Print version, commit and build."`

	Completion completionCmd `cmd:"" help:"Print the completion for a shell: bash, zsh, fish."`
	Manual     manualCmd     `cmd:"" help:"Write the man pages."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print version, commit and build."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// stdio are the streams of one run, so that a test can give its own.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	log      *oplog.Log // of a command that serves; it writes to err
}

// Output is the standard output.
func (s *stdio) Output() io.Writer { return s.out }

// close ends the log, with what the command said last.
func (s *stdio) close() {
	if s.log != nil {
		s.log.Close(logFlush)
	}
}

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	std := &stdio{in: in, out: out, err: errOut}
	defer std.close()

	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("mezhved"),
		kong.Description("Mezhved: a gateway for interdepartmental exchange that speaks SMEV 3.\n\n"+
			"Exit codes: 0 done; 1 the answer is no (refused, invalid, not found, lost); 2 the call or a file cannot be understood; "+
			"3 a server does not answer, the same call may be repeated."),
		kong.UsageOnError(), kong.Writers(out, errOut), kong.Exit(func(n int) { code = n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "party", Title: "A party at a terminal (against any SMEV 3 address):"},
			{Key: "tools", Title: "Keys, signatures, schemas:"},
			{Key: "operator", Title: "An operator:"},
			{Key: "auditor", Title: "An auditor:"},
		}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
		kong.BindTo(std, (*shell.Output)(nil)),
		kong.Vars{"version": shell.ThisBuild("mezhved").String()},
	)
	if err != nil {
		fmt.Fprintln(errOut, "mezhved:", err)
		return exitUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if code >= 0 { // --help has been printed
		return code
	}
	if err != nil {
		fmt.Fprintln(errOut, "mezhved:", err)
		fmt.Fprintln(errOut, "See mezhved --help, or mezhved COMMAND --help for examples.")
		return exitUsage
	}
	if err := k.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(std.err, "mezhved:", err)
		}
		var e *exitError
		if errors.As(err, &e) {
			return e.code
		}
		return exitNo
	}
	return 0
}

// errSaid ends a command that has printed its bad news already.
var errSaid = errors.New("said")
