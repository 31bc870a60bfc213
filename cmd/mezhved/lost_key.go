package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/postgres"
)

type journalLostKeyCmd struct {
	Name   string        `arg:"" help:"The key's file in the folder of journal.vault, as the gateway's error names it."`
	Config string        `required:"" short:"c" placeholder:"FILE" type:"existingfile" help:"The gateway's configuration: names database and vault."`
	Ground string        `help:"What has happened, without names of people: it stands in the journal for ever."`
	DryRun bool          `help:"Count what goes with the key, and change nothing: gateways may run."`
	Wait   time.Duration `default:"3m" placeholder:"TIME" help:"How long to wait for gateways that have just been stopped: one counts as stopped when it has not been seen for two minutes (default 3m; 0s: not at all)."`
	JSON   bool          `help:"Print it as JSON."`
}

func (journalLostKeyCmd) Help() string {
	return `A gateway that lacks a key which the database is sealed with accepts nothing, until the vault's backup is put back: do that wherever
there is one. Only when no folder and no backup has the key any more, this goes on without it, and cannot be taken back: values that only
that key opens are removed, for what nobody can look at nobody could erase either, and messages on their way whose content it sealed are
taken out of their queues. They count as lost, not as erased, and an entry of the journal says so. Where the key of search tokens is lost
(blind.key), nothing goes: tokens are made anew from the values. Doing it again after a crash goes on.

Stop all gateways first, on all machines: one that runs may have the key. A gateway that has stopped counts as stopped two minutes after it
was last seen; until then the command waits, and says for which. One that says again that it is at work ends the command with exit code 3.
With --dry-run nothing has to be stopped and nothing is waited for: which gateways are at work, whose vault may have the key, is told beside
the count.

Examples:
  mezhved journal lost-key personal-2026-11.key --config /etc/mezhved/mezhved.yaml --dry-run
  mezhved journal lost-key personal-2026-11.key --config /etc/mezhved/mezhved.yaml --ground "the disk of the vault broke, its backup was empty"`
}

func (c *journalLostKeyCmd) Run(ctx context.Context, out *stdio) (err error) {
	config, err := adapter.LoadConfig(c.Config)
	switch {
	case err != nil:
		return usage(err)
	case config.Journal.Vault == "":
		return usage(errors.New("the configuration names no journal.vault"))
	case c.Ground == "" && !c.DryRun:
		return usage(errors.New("it needs a reason (--ground): it is what the journal will show; --dry-run counts what goes"))
	}
	store, _, stop, err := openStore(ctx, config, out.openLog(false, false), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := c.awaitStopped(ctx, out, store); err != nil {
		return unavailable(err)
	}
	lost, err := store.AdmitLost(ctx, c.Name, c.Ground, time.Now().UTC(), c.DryRun)
	switch {
	case errors.Is(err, postgres.ErrKeyNotLost):
		return no(err)
	case err != nil:
		return unavailable(err)
	case c.JSON:
		return printJSON(out.out, lost)
	}
	said := "%s: %s of values went with it, %s on their way died, the tokens of %s were made anew\n"
	if c.DryRun {
		said = "%s: %s of values would go with it, %s on their way would die, the tokens of %s would be made anew\n"
	}
	_, err = fmt.Fprintf(out.out, said, lost.Key, many(lost.Rows, "row", "rows"), many(lost.Waiting, "message", "messages"), many(lost.Renewed, "row", "rows"))
	return err
}

// awaitStopped waits until no gateway counts as at work any more, and says for which it
// waits; one that says meanwhile that it is there is at work, and not waited for.
func (c *journalLostKeyCmd) awaitStopped(ctx context.Context, out *stdio, store *postgres.Store) error {
	began := time.Now()
	var last map[string]time.Time // when each was seen at the first look
	for {
		working, err := store.AtWork(ctx)
		if err != nil || len(working) == 0 {
			return err
		}
		first := last == nil
		if first {
			last = map[string]time.Time{}
		}
		for _, w := range working {
			switch {
			case c.DryRun:
				fmt.Fprintf(out.err, "note: %v\n", w)
			case !first && !w.Seen.Equal(last[w.Name]), time.Since(began)+w.Left() > c.Wait:
				return w
			case first:
				fmt.Fprintf(out.err, "the gateway %s was at work %s ago: if it is stopped, it counts as stopped in %s; waiting\n", w.Name, w.Ago.Round(time.Second), w.Left().Round(time.Second))
				last[w.Name] = w.Seen
			}
		}
		if c.DryRun {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
