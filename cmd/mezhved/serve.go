package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/oplog"
)

type serveCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML)."`
	JSON   bool   `name:"log-json" help:"Log as JSON."`
	Debug  bool   `help:"Log more."`

	CPUProfile  string `name:"cpu-profile" placeholder:"FILE" help:"Write a profile of the processor time until the end (go tool pprof reads it)."`
	Allocations string `name:"allocation-profile" placeholder:"FILE" help:"Write a profile of what was allocated until the end, and of what is live then."`
}

func (serveCmd) Help() string {
	return `Runs one node until it is interrupted; SIGHUP reads services and parties again. Several nodes may run on
one database and bus: they share the work.

Examples:
  mezhved serve --config /etc/mezhved/mezhved.yaml
  mezhved doctor --config /etc/mezhved/mezhved.yaml    # what is wrong, before it is started`
}

func (c *serveCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	if err := keepMemory(); err != nil {
		return err
	}
	log := out.openLog(c.JSON, c.Debug)
	stopTracing, err := startTracing(ctx, log)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, stopTracing()) }()
	if c.CPUProfile != "" {
		file, err := os.Create(c.CPUProfile)
		if err != nil {
			return usage(err)
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if c.Allocations != "" {
		file, err := os.Create(c.Allocations)
		if err != nil {
			return usage(err)
		}
		defer func() { err = errors.Join(err, pprof.Lookup("allocs").WriteTo(file, 0), file.Close()) }()
	}
	n, err := openNode(ctx, config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	n.file = c.Config
	l, err := n.gateway.Listen()
	if err != nil {
		return unavailable(err)
	}
	tellManager(log, "READY=1") // who connects now is answered
	go func() {
		<-ctx.Done()
		tellManager(log, "STOPPING=1")
	}()
	return n.serve(ctx, l)
}

// logFlush is how long the end of a command waits for the reader of its log.
const logFlush = 2 * time.Second

// surviveLostReaders takes SIGPIPE, by which a write to a standard stream that
// nobody reads any more would end the process. The write fails instead.
func surviveLostReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// openLog begins the log of a node on the standard error. The last word of the
// command goes the same way, so that a reader who stands still does not hold the
// end either.
func (s *stdio) openLog(asJSON, debug bool) *slog.Logger {
	surviveLostReaders()
	s.log = oplog.Open(s.err, oplog.Options{JSON: asJSON, Debug: debug})
	s.err = s.log
	slog.SetDefault(s.log.Logger()) // what libraries say by package log
	return s.log.Logger()
}
