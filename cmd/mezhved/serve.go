package main

import (
	"context"
	"errors"
	"log/slog"

	"mezhved/adapter"
)

type serveCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML)."`
	JSON   bool   `name:"log-json" help:"Log as JSON."`
	Debug  bool   `help:"Log more."`
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
	log := newLog(out, c.JSON, c.Debug)
	stopTracing, err := startTracing(ctx)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, stopTracing()) }()
	n, err := openNode(ctx, config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	l, err := n.gateway.Listen()
	if err != nil {
		return unavailable(err)
	}
	return n.serve(ctx, l)
}

func newLog(out *stdio, asJSON, debug bool) *slog.Logger {
	opt := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		opt.Level = slog.LevelDebug
	}
	if asJSON {
		return slog.New(slog.NewJSONHandler(out.err, opt))
	}
	return slog.New(slog.NewTextHandler(out.err, opt))
}
