// Command mezhved-audit is the auditor's own program: it verifies evidence
// bundles and whole logs of a Mezhved journal on a machine that need not trust,
// or reach, the gateway.
//
// The commands verify, report, page, proofs, receipts and keygen use no network; mirror and witness
// are the two that do. Built with -tags offline, the program has only the former,
// and no network code is linked in at all. No build has a database or Kafka among
// its imports; a test holds this.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"mezhved/adapter/journal/audit"
	"mezhved/cmd/internal/shell"
)

// program is the command line.
type program struct {
	Verify   verifyCommand   `cmd:"" help:"Verify an evidence bundle, or a whole log in a directory."`
	Report   reportCommand   `cmd:"" help:"Print what a bundle proves, or make a report of figures from a mirror."`
	Page     pageCommand     `cmd:"" help:"Write the single-file page that verifies a bundle in a browser, offline."`
	Proofs   proofsCommand   `cmd:"" help:"Verify a bundle and write the proof of each of its entries alone, for other people's programs."`
	Receipts receiptsCommand `cmd:"" help:"Hold the receipts that a party has kept against a mirror of the log: each has its entry, or here is the proof that the log lacks it."`
	Keygen   keygenCommand   `cmd:"" help:"Make a signing key for a log or a witness."`

	networkCommands

	Version    shell.VersionCommand    `cmd:"" help:"Print version, commit and build."`
	Completion shell.CompletionCommand `cmd:"" help:"Print the completion for a shell: bash, zsh, fish."`
	Manual     shell.ManualCommand     `cmd:"" help:"Write the man pages."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print version, commit and build."`
}

const description = `The auditor's program for the Mezhved journal.

Get the policy file from the audit body, not from the journal's operator: it names the keys that you trust.

Examples:
  mezhved-audit verify --policy policy.txt bundle.zip
  mezhved-audit verify log --policy policy.txt ./mirror
  mezhved-audit report --policy policy.txt --lang ru bundle.zip > report.html
  mezhved-audit report log quality --policy policy.txt --period 2026-Q3 ./mirror
  mezhved-audit page > verify.html
  mezhved-audit receipts --policy policy.txt --bus bus.pem --mirror ./mirror ./receipts
` + networkExamples

// errFindings ends the program with status 1 when everything has been said.
var errFindings = errors.New("the verification has failed")

// errUnusable ends a command that could not begin: exit code 2, as for a call
// that cannot be understood.
var errUnusable = errors.New("the policy cannot be used")

// errQuestion is the same for a report that cannot be made as it was asked for.
var errQuestion = errors.New("the report cannot be made")

// streams is where commands write.
type streams struct{ out, err io.Writer }

// Output is the standard output.
func (s *streams) Output() io.Writer { return s.out }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main for tests: 0 is verified, 1 not, 2 a command that could not begin.
func run(args []string, out, errs io.Writer) (status int) {
	exit := -1
	std := &streams{out, errs}
	parser, err := kong.New(&program{}, kong.Name("mezhved-audit"), kong.Description(description), kong.Writers(out, errs),
		kong.Exit(func(code int) { exit = code }), kong.UsageOnError(), kong.BindTo(std, (*shell.Output)(nil)),
		kong.Vars{"version": shell.ThisBuild("mezhved-audit").String()})
	if err != nil {
		panic(err) // the struct above is wrong
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		parser.Errorf("%s", err)
		return 2
	}
	err = ctx.Run(std)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, errFindings):
		fmt.Fprintf(errs, "mezhved-audit: %s\n", strings.Join(lines(err), "\n"))
	}
	busy := (*audit.BusyError)(nil)
	if errors.Is(err, errUnusable) || errors.Is(err, errQuestion) || errors.As(err, &busy) {
		return 2
	}
	return 1
}
