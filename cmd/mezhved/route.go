package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mezhved/adapter/registry"
	"mezhved/adapter/router"
)

type routeCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML) of the router: see deploy/route.yaml."`
	JSON   bool   `name:"log-json" help:"Log as JSON."`
	Debug  bool   `help:"Log more."`
}

func (routeCmd) Help() string {
	return `Runs one SMEV 3 address in front of several installations, each with a database, journal and keys of its own. A request
goes to the installation in which its provider lives, an answer to where the request came from; a poll asks those where
something may wait for the caller, one after the other. Calls are passed on byte for byte: the installations verify
them. A router keeps nothing: any number of them may run, and be stopped, at any time. SIGHUP reads services and parties
again, a start the configuration; have the routers read them before the installations do.

Examples:
  mezhved route --config /etc/mezhved/route.yaml
  mezhved route --config route.yaml --log-json`
}

func (c *routeCmd) Run(ctx context.Context, out *stdio) error {
	config, err := router.LoadConfig(c.Config)
	if err != nil {
		return usage(err)
	}
	log := out.openLog(c.JSON, c.Debug)
	services, findings := registry.Open(config.Services, config.Parties, time.Now)
	for _, f := range findings {
		if f.Warning {
			log.Warn("registry", "finding", f.String())
		}
	}
	if bad := findings.Errors(); len(bad) > 0 {
		return usage(fmt.Errorf("services and parties:\n%w", bad))
	}
	r, err := router.New(config, services, log, newMetricsRegistry(log))
	if err != nil {
		return usage(err)
	}
	l, err := r.Listen()
	if err != nil {
		return unavailable(err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-hangup:
				r.Reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	tellManager(log, "READY=1") // who connects now is answered
	go func() {
		<-ctx.Done()
		tellManager(log, "STOPPING=1")
	}()
	return r.Serve(ctx, l)
}
