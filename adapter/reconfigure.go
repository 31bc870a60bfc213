package adapter

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"golang.org/x/time/rate"

	"mezhved/adapter/registry"
	"mezhved/adapter/settings"
)

// reconfigured is the configuration that comes into force while a gateway runs, when its
// file says fresh now: what may change is taken of fresh, all else stays as it was at the
// start. What is refused there by name, and not by a list, is the difference that is left.
//
// May change: what bounds one call or one party, how long things are kept, who may enter
// the desk, whose certificates the doors and the answers show, the file with the rules of
// alarms, and what the commands of backups read. May not: what loops, connections and stores were built with.
func reconfigured(running, fresh Config) Config {
	next := running
	next.Limits = fresh.Limits
	next.Limits.Memory, next.Limits.Concurrent = running.Limits.Memory, running.Limits.Concurrent
	next.Queues.Limit, next.Queues.PerSender = fresh.Queues.Limit, fresh.Queues.PerSender
	next.Keep, next.Journal.Retention = fresh.Keep, fresh.Journal.Retention
	next.Quality = fresh.Quality
	next.Backup = fresh.Backup // its commands read it with each call; a start alone begins to watch what they leave
	next.Backup.State = running.Backup.State
	if (running.Backup.To == "") != (fresh.Backup.To == "") {
		next.Backup.To = running.Backup.To
	}
	if (running.TLS.Certificate == "") == (fresh.TLS.Certificate == "") {
		next.TLS = fresh.TLS
	}
	if !running.Signature.Off && !fresh.Signature.Off {
		next.Signature = fresh.Signature
	}
	if len(running.Console.Tokens) > 0 { // without, the desk has no doors
		next.Console.Tokens = fresh.Console.Tokens
	}
	if running.Alarms.Rules != "" && fresh.Alarms.Rules != "" {
		next.Alarms.Rules = fresh.Alarms.Rules
	}
	return next
}

// Reconfigured is what a reading of the configuration again comes to.
type Reconfigured struct {
	Config  Config          // in force from now on
	Applied []settings.Line // what is another than before
	Later   []settings.Line // what stands in the file and comes into force at the next start
}

// Reconfigure brings into force what of a configuration may change while the gateway
// runs. The journal is told first: what it cannot be told does not happen, and with an
// error nothing has changed. Before that, ready is asked whether everything else that
// hangs on the configuration can follow, and it follows with what ready gives back.
func (g *Gateway) Reconfigure(ctx context.Context, fresh Config, ready func(next Config) (follow func(), err error)) (Reconfigured, error) {
	g.reloading.Lock() // one difference at a time
	defer g.reloading.Unlock()
	running := g.Config()
	next := reconfigured(running, fresh.WithDefaults())
	r := Reconfigured{Config: next, Applied: differences(running, next), Later: differences(next, fresh.WithDefaults())}
	var doors *transport
	if g.transport.Load() != nil && next.TLS != running.TLS {
		var err error
		if doors, err = newTransport(next.TLS, g.log, g.metrics.countTransport); err != nil {
			return Reconfigured{}, fmt.Errorf("tls: %w", err)
		}
	}
	follow, err := ready(next)
	if err != nil {
		return Reconfigured{}, err
	}
	marks := g.marks
	var secrets, waiting []settings.Line
	g.marks, secrets, waiting = marksInForce(marks, g.secretMarks(next))
	r.Applied, r.Later = append(r.Applied, secrets...), append(r.Later, waiting...)
	if err := g.tellChanges(ctx, "reload", g.Catalog(), next); err != nil {
		g.marks = marks
		return Reconfigured{}, fmt.Errorf("the journal could not be told of the change: %w", err)
	}
	g.inForce.Store(&next)
	g.pace.reconfigure(next.Limits.Wait.D())
	g.rates.reconfigure(next.Limits)
	g.strangers.reconfigure(next.Limits)
	g.metrics.promises(g.Catalog(), next.Quality.Target())
	if doors != nil {
		g.transport.Store(doors)
	}
	g.metrics.pending.Set(float64(len(r.Later)))
	follow()
	return r, nil
}

func differences(before, after Config) []settings.Line {
	return different(settings.Of(before), settings.Of(after))
}

func different(before, after map[string]string) (out []settings.Line) {
	for _, c := range settings.Diff(settings.State{configuration: before}, settings.State{configuration: after}) {
		out = append(out, c.Lines...)
	}
	return out
}

// marksInForce are the marks of secrets after a reading again: those of tokens are the
// fresh ones, the others as at the start, since connections and keys stay what they were.
func marksInForce(running, fresh map[string]string) (next map[string]string, applied, later []settings.Line) {
	tokens := func(setting, _ string) bool { return strings.HasPrefix(setting, "console.tokens.") }
	next = maps.Clone(running)
	maps.DeleteFunc(next, tokens)
	for setting, mark := range fresh {
		if tokens(setting, mark) {
			next[setting] = mark
		}
	}
	return next, different(running, next), different(next, fresh)
}

// reconfigure changes what a party may without bounds of its own; its limiter follows
// with its next call.
func (r *rates) reconfigure(c LimitsConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config = c
}

// allowance is what a party may: its own bounds, or everybody's.
func (r *rates) allowance(p *registry.Party) (perSecond float64, burst int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	perSecond, burst = p.PerSecond, p.Burst
	def(&perSecond, r.config.PerSecond)
	if burst == 0 {
		burst = max(int(2*perSecond), 1)
		if p.PerSecond == 0 {
			burst = r.config.Burst
		}
	}
	return perSecond, burst
}

func (s *strangers) reconfigure(c LimitsConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Strangers != s.config.Strangers {
		for _, l := range s.rates {
			l.SetLimitAt(s.now(), rate.Limit(c.Strangers))
			l.SetBurstAt(s.now(), max(int(4*c.Strangers), 1))
		}
	}
	s.config = c
}
