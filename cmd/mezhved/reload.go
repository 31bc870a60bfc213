package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/console"
	"mezhved/adapter/registry"
	"mezhved/adapter/settings"
	"mezhved/adapter/yamlfile"
)

// reloadOutcome is what a reading of everything again came to. What is refused has
// changed nothing: configuration and registry are each taken whole or not at all.
type reloadOutcome struct {
	OK      bool     `json:"ok"`
	Applied []string `json:"applied,omitempty"` // settings that are others from now on
	Later   []string `json:"later,omitempty"`   // settings whose new values come into force at the next start
	Read    []string `json:"read,omitempty"`    // what else was read again
	Refused []string `json:"refused,omitempty"` // why something stays as it was
}

// print writes the outcome for people.
func (o reloadOutcome) print(out *stdio) {
	for _, line := range o.Applied {
		fmt.Fprintln(out.out, "applied  ", line)
	}
	for _, line := range o.Later {
		fmt.Fprintln(out.out, "next start", line)
	}
	for _, line := range o.Read {
		fmt.Fprintln(out.out, "read     ", line)
	}
	for _, line := range o.Refused {
		fmt.Fprintln(out.out, "refused  ", strings.ReplaceAll(line, "\n", "\n           "))
	}
}

// newReloads counts readings again.
func newReloads(r *prometheus.Registry) *prometheus.CounterVec {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "mezhved", Name: "reloads_total", Help: "Readings of configuration, services, parties, keys and rules again, by outcome: ok or refused."}, []string{"outcome"})
	total.WithLabelValues("ok")
	total.WithLabelValues("refused")
	r.MustRegister(total)
	return total
}

// reload reads everything again that can change while the node runs: what of the
// configuration can, services and parties, the certificates and keys of doors and
// answers, tokens, the rules of alarms.
func (n *node) reload(ctx context.Context) (o reloadOutcome) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if n.file != "" {
		n.reloadConfig(ctx, &o)
	}
	if bad := n.gateway.Reload(ctx).Errors(); len(bad) > 0 {
		o.Refused = append(o.Refused, "services and parties: "+bad.Error())
	} else {
		c := n.gateway.Catalog()
		o.Read = append(o.Read, "services and parties: "+registered(c))
	}
	if another, err := n.reloadKey(ctx); another {
		o.Applied = append(o.Applied, "signature: the gateway signs with a new key, certificate "+n.signer.Certificate().Fingerprint())
	} else if err != nil {
		o.Refused = append(o.Refused, "the gateway's key: "+err.Error())
	}
	if err := n.reloadAlarms(); err != nil {
		o.Refused = append(o.Refused, "the rules of alarms: "+err.Error())
	}
	o.OK = len(o.Refused) == 0
	outcome := "ok"
	if !o.OK {
		outcome = "refused"
	}
	n.reloads.WithLabelValues(outcome).Inc()
	return o
}

// reloadConfig takes the configuration from its file again, whole or not at all.
func (n *node) reloadConfig(ctx context.Context, o *reloadOutcome) {
	r, err := n.reconfigure(ctx)
	if err != nil {
		n.log.Error("the configuration was not read again, the old one stays: mend it and reload", "error", err)
		o.Refused = append(o.Refused, "the configuration: "+err.Error())
		return
	}
	for _, l := range r.Applied {
		o.Applied = append(o.Applied, said(l))
	}
	for _, l := range r.Later {
		o.Later = append(o.Later, said(l))
	}
	n.log.Info("the configuration was read again", "applied", names(r.Applied), "at the next start", names(r.Later))
}

func said(l settings.Line) string {
	value := func(s string) string {
		if s == "" {
			return "not set"
		}
		return s
	}
	return fmt.Sprintf("%s: %s (was %s)", l.Setting, value(l.After), value(l.Before))
}

func names(lines []settings.Line) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Setting
	}
	return out
}

// reconfigure looks whether everything that hangs on the configuration can follow, and
// brings it into force.
func (n *node) reconfigure(ctx context.Context) (adapter.Reconfigured, error) {
	fresh, err := adapter.LoadConfig(n.file)
	if err != nil {
		return adapter.Reconfigured{}, err
	}
	return n.gateway.Reconfigure(ctx, fresh, func(next adapter.Config) (func(), error) {
		tokens, err := console.LoadTokens(next.Console)
		if err != nil {
			return nil, fmt.Errorf("console.tokens: %w", err)
		}
		if n.signer != nil {
			if _, err := next.LoadSigner(ctx); err != nil {
				return nil, fmt.Errorf("signature: %w", err)
			}
		}
		if n.teller != nil {
			if _, found, _ := loadAlarms(next, n.gateway.Catalog()); len(found.Errors()) > 0 && next.Alarms.Rules != n.config.Alarms.Rules {
				return nil, fmt.Errorf("alarms.rules: %w", found.Errors())
			}
		}
		return func() {
			n.config = next
			if n.console != nil {
				n.console.ReplaceTokens(tokens)
			}
			n.content.set(next)
			n.values.set(next)
		}, nil
	})
}

// kept is what is kept how long, for loops that begin anew when it changes.
type kept struct {
	changes chan adapter.Config // holds one at most, the newest
}

func newKept() *kept { return &kept{make(chan adapter.Config, 1)} }

func (k *kept) set(c adapter.Config) {
	for {
		select {
		case k.changes <- c:
			return
		case <-k.changes:
		}
	}
}

// loop runs run under the configuration in force, and again when another one is.
func (k *kept) loop(c adapter.Config, run func(context.Context, adapter.Config) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			round, end := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func(c adapter.Config) { done <- run(round, c) }(c)
			select {
			case c = <-k.changes:
				end()
				<-done
			case err := <-done:
				end()
				if err != nil || ctx.Err() != nil {
					return err
				}
				select { // there is nothing to do under this one
				case c = <-k.changes:
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
}

// listenControl opens the socket on which "mezhved reload" asks. Its caller says nothing
// but that the node is to read its own files again, and is told names and values of
// settings, which hold no secret; still it is the operator's: the socket is open to the
// account of the node alone (and to root), in a folder of that account (/run/mezhved,
// 0750). Whoever can write there could put a socket of his own in its place, and learn
// that somebody wanted to reload.
func listenControl(name string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", name, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("control: another running gateway listens on %s: give each a socket of its own", name)
	}
	if info, err := os.Lstat(name); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("control: %s is there and is no socket: name another place", name)
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) { // left by one that was killed
		return nil, fmt.Errorf("control: %w", err)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control: %w", err), l.Close())
	}
	return l, nil
}

// serveControl answers on the socket until the listener is closed.
func (n *node) serveControl(ctx context.Context, l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		o := n.reload(ctx)
		w.Header().Set("Content-Type", "application/json")
		if !o.OK {
			w.WriteHeader(http.StatusConflict)
		}
		json.NewEncoder(w).Encode(o)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		n.log.Error("the control socket is closed", "error", err)
	}
}

type reloadCmd struct {
	Config string `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"Configuration of the running node; its control names the socket."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (reloadCmd) Help() string {
	return `Tells the running node to read everything again that can change while it runs, waits for it, and prints what
became of it: settings that are others from now on, and those whose new values wait for the next start; services and
parties; certificates, keys and tokens; the rules of alarms. SIGHUP does the same and tells the log alone. What is
refused has changed nothing (exit code 1).

Examples:
  mezhved reload --config /etc/mezhved/mezhved.yaml
  mezhved config show --config /etc/mezhved/mezhved.yaml    # what is in the file now`
}

func (c *reloadCmd) Run(ctx context.Context, out *stdio) error {
	config, err := adapter.LoadConfig(c.Config)
	if err != nil {
		return no(fmt.Errorf("the node would refuse it, and was not asked:\n%w", err))
	}
	if config.Control == "" {
		return usage(fmt.Errorf("%s has no control, the socket to ask on: set it and start the node again, or send it SIGHUP and read its log", c.Config))
	}
	client := http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", config.Control)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/reload", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	switch {
	case errors.Is(err, os.ErrPermission):
		return no(fmt.Errorf("%w: the socket is open to the node's own account and to root", err))
	case err != nil:
		return unavailable(fmt.Errorf("no node answers on %s: %w", config.Control, err))
	}
	defer answer.Body.Close()
	var o reloadOutcome
	if err := json.NewDecoder(answer.Body).Decode(&o); err != nil {
		return fmt.Errorf("the answer on %s: %w", config.Control, err)
	}
	if c.JSON {
		err = printJSON(out.out, o)
	} else {
		o.print(out)
	}
	if !o.OK {
		return no(errors.Join(errSaid, err))
	}
	return err
}

// loadAlarms reads the rules that a configuration names.
func loadAlarms(c adapter.Config, catalog *registry.Catalog) (*alarms.Rules, yamlfile.Findings, error) {
	rules, found := alarms.Load(c.Alarms.Rules, catalog, c.Alarms.Mail.Server != "")
	if bad := found.Errors(); len(bad) > 0 {
		return nil, found, bad
	}
	return rules, found, nil
}
