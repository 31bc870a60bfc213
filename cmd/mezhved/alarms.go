package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/console"
	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
)

// openAlarms makes the node tell of what comes due and is late, if its configuration
// has rules.
func (n *node) openAlarms(rooms *adapter.Rooms, c *registry.Catalog) error {
	if n.config.Alarms.Rules == "" {
		return nil
	}
	rules, found := alarms.Load(n.config.Alarms.Rules, c, n.config.Alarms.Mail.Server != "")
	for _, f := range found {
		if f.Warning {
			n.log.Warn("alarms", "finding", f.String())
		}
	}
	if bad := found.Errors(); len(bad) > 0 {
		return usage(fmt.Errorf("rules of alarms:\n%w", bad))
	}
	mailer, err := alarms.NewMailer(n.config.Alarms.Mail)
	if err != nil {
		return usage(err)
	}
	n.teller = alarms.New(alarms.Options{
		Store: n.store, Rules: rules, Mailer: mailer, Calendar: func() *terms.Calendar { return n.gateway.Catalog().Calendar },
		Node: n.config.Node, URL: n.config.URL, Now: n.clock.Now, Log: n.log, Metrics: rooms.Metrics,
	})
	rooms.Loops = append(rooms.Loops, adapter.Loop{Name: "alarms", Run: n.teller.Run})
	return nil
}

// reloadAlarms reads the rules again; with mistakes the old ones stay.
func (n *node) reloadAlarms() error {
	if n.teller == nil {
		return nil
	}
	rules, found, err := loadAlarms(n.config, n.gateway.Catalog())
	if err != nil {
		n.log.Error("the rules of alarms were not read again, the old ones stay: mezhved alarms lint", "findings", err.Error())
		return err
	}
	for _, f := range found {
		n.log.Warn("alarms", "finding", f.String())
	}
	n.teller.Replace(rules)
	return nil
}

type alarmsCmd struct {
	Lint  alarmsLintCmd  `cmd:"" help:"Name every problem of the rules at once, with file and line."`
	Test  alarmsTestCmd  `cmd:"" help:"Tell one rule's people and programs that this is a test."`
	Mute  alarmsMuteCmd  `cmd:"" help:"Have a rule tell nobody for a time; the journal says so."`
	Dead  alarmsDeadCmd  `cmd:"" help:"List alarms that could not be told, and rules that are muted."`
	Retry alarmsRetryCmd `cmd:"" help:"Try dead alarms again."`
}

// alarmRules are the flags that name a configuration and its rules.
type alarmRules struct {
	Config string `short:"c" required:"" placeholder:"FILE" type:"existingfile" help:"Configuration of the gateway."`
}

func (f *alarmRules) load() (adapter.Config, *alarms.Rules, yamlfile.Findings, error) {
	c, err := adapter.LoadConfig(f.Config)
	if err != nil {
		return c, nil, nil, usage(err)
	}
	if c.Alarms.Rules == "" {
		return c, nil, nil, usage(errors.New("the configuration names no rules: alarms.rules"))
	}
	registry, found := openRegistry(c, false)
	if registry == nil {
		return c, nil, found, no(fmt.Errorf("%w\nSee mezhved services lint", found.Errors()))
	}
	rules, found := alarms.Load(c.Alarms.Rules, registry.Catalog(), c.Alarms.Mail.Server != "")
	return c, rules, found, nil
}

type alarmsLintCmd struct{ alarmRules }

func (alarmsLintCmd) Help() string {
	return "Example:\n  mezhved alarms lint --config mezhved.yaml"
}

func (c *alarmsLintCmd) Run(out *stdio) error {
	_, _, found, err := c.load()
	if err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintln(out.out, f)
	}
	if bad := len(found.Errors()); bad > 0 {
		fmt.Fprintf(out.out, "%d errors, %d warnings: a gateway would keep its old rules\n", bad, len(found)-bad)
		return no(errSaid)
	}
	fmt.Fprintf(out.out, "good, %d warnings\n", len(found))
	return nil
}

type alarmsTestCmd struct {
	alarmRules
	Rule string `arg:"" help:"Name of the rule."`
}

func (alarmsTestCmd) Help() string {
	return `Sends one alarm of no message to everybody whom the rule names, escalations too, now, and says what came of each. No gateway is needed,
and no entry is made.

Example:
  mezhved alarms test late-answers --config mezhved.yaml`
}

func (c *alarmsTestCmd) Run(ctx context.Context, out *stdio) error {
	config, rules, found, err := c.load()
	if err != nil {
		return err
	}
	if bad := found.Errors(); len(bad) > 0 {
		return no(fmt.Errorf("%w\nSee mezhved alarms lint", bad))
	}
	i := slices.IndexFunc(rules.Rules, func(r alarms.Rule) bool { return r.Name == c.Rule })
	if i < 0 {
		return usage(fmt.Errorf("there is no rule %q in %s", c.Rule, config.Alarms.Rules))
	}
	mailer, err := alarms.NewMailer(config.Alarms.Mail)
	if err != nil {
		return usage(err)
	}
	failed := 0
	for _, one := range alarms.Try(ctx, rules, &rules.Rules[i], mailer, config.URL, time.Now()) {
		if one.Err != nil {
			failed++
			fmt.Fprintf(out.out, "FAILED  %-7s %s: %v\n", one.Way, one.Target, one.Err)
			continue
		}
		fmt.Fprintf(out.out, "told    %-7s %s\n", one.Way, one.Target)
	}
	if failed > 0 {
		return no(fmt.Errorf("%d could not be told", failed))
	}
	return nil
}

type alarmsMuteCmd struct {
	deskFlags
	Rule   string        `arg:"" help:"Name of the rule."`
	For    time.Duration `placeholder:"DURATION" default:"8h" help:"For how long, 31 days (744h) at most; 8h if left out; 0s ends it."`
	Ground string        `required:"" help:"Why, without names of people: it stands in the journal for ever."`
}

func (alarmsMuteCmd) Help() string {
	return `What the rule would have told meanwhile is not told later; it stands in the journal, on the desk and in the metrics all the same.
Needs an operator's token.

Example:
  mezhved alarms mute late-answers --for 8h --ground "planned works at the provider, letter 12-34" --config mezhved.yaml`
}

func (c *alarmsMuteCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client(console.Operator)
	if err != nil {
		return err
	}
	var done console.Muted
	if err := desk.get(ctx, "/api/v1/alarms/mute", console.MuteOrder{Rule: c.Rule, Seconds: int(c.For.Seconds()), Ground: c.Ground}, &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, done)
	}
	fmt.Fprintf(out.out, "%s tells nobody until %s\n", done.Rule, done.Until.Format(time.RFC3339))
	return nil
}

type alarmsDeadCmd struct{ deskFlags }

func (alarmsDeadCmd) Help() string {
	return "Example:\n  mezhved alarms dead --config mezhved.yaml"
}

func (c *alarmsDeadCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	var list console.AlarmList
	if err := desk.get(ctx, "/api/v1/alarms", nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, list)
	}
	see := console.Visible
	for _, m := range list.Muted {
		fmt.Fprintf(out.out, "muted: %s until %s: %s\n", see(m.Rule), m.Until.Format(time.RFC3339), see(m.Ground))
	}
	rows := [][]string{{"RULE", "WAY", "TO", "EVENT", "STAGE", "MESSAGE", "PROBLEM"}}
	for _, a := range list.Dead {
		rows = append(rows, []string{see(a.Rule), a.Way, see(a.Target), a.Event, a.Stage, see(a.MessageID), see(a.Problem)})
	}
	if len(list.Dead) == 0 {
		fmt.Fprintln(out.out, "no alarm is dead")
		return nil
	}
	return table(out.out, rows)
}

type alarmsRetryCmd struct{ deskFlags }

func (alarmsRetryCmd) Help() string {
	return "Needs an operator's token.\n\nExample:\n  mezhved alarms retry --config mezhved.yaml"
}

func (c *alarmsRetryCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client(console.Operator)
	if err != nil {
		return err
	}
	var done console.Retried
	if err := desk.get(ctx, "/api/v1/alarms/retry", struct{}{}, &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, done)
	}
	fmt.Fprintf(out.out, "%d alarms are tried again\n", done.Alarms)
	return nil
}
