package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter/registry"
	"mezhved/adapter/router"
	"mezhved/adapter/yamlfile"
)

type routeCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration (YAML) of the router: see deploy/route.yaml."`
	Check  bool   `help:"Read configuration, services and parties as a start does, say what is wrong, and end."`
	JSON   bool   `name:"log-json" help:"Log as JSON."`
	Debug  bool   `help:"Log more."`
}

func (routeCmd) Help() string {
	return `Runs one SMEV 3 address in front of several installations, each with a database, journal and keys of its own. A request
goes to the installation in which its provider lives, an answer to where the request came from; a poll asks those where
something may wait for the caller, one after the other. Calls are passed on byte for byte: the installations verify
them. A router keeps nothing: any number of them may run, and be stopped, at any time. SIGHUP reads services and parties
again, a start the configuration; have the routers read them before the installations do.
With --check it opens no address and asks no installation; exit code 1 says that a router would not start.

Examples:
  mezhved route --config /etc/mezhved/route.yaml
  mezhved route --config /etc/mezhved/route.yaml --check    # what is wrong, before it is started
  mezhved route --config route.yaml --log-json`
}

func (c *routeCmd) Run(ctx context.Context, out *stdio) error {
	config, err := router.LoadConfig(c.Config)
	if c.Check {
		return checkRouter(config, err, out)
	}
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

// checkRouter goes the way of a start up to where it would open its doors. bad is what loading
// the configuration has said.
func checkRouter(config router.Config, bad error, out *stdio) error {
	var findings yamlfile.Findings
	if bad == nil {
		var services *registry.Registry
		if services, findings = registry.Open(config.Services, config.Parties, time.Now); services != nil {
			_, bad = router.New(config, services, quietLog(), prometheus.NewRegistry())
		}
	}
	for _, f := range findings {
		fmt.Fprintln(out.out, f)
	}
	if bad != nil {
		fmt.Fprintln(out.out, bad)
	}
	if bad != nil || len(findings.Errors()) > 0 {
		fmt.Fprintln(out.out, "a router would not start")
		return no(errSaid)
	}
	fmt.Fprintf(out.out, "good: %s, %s\n", many(len(config.Installations), "installation", "installations"), many(len(findings), "warning", "warnings"))
	return nil
}
