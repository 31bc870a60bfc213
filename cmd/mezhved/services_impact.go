package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mezhved/adapter/console"
	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
	"mezhved/xsd"
)

type servicesImpactCmd struct {
	deskFlags
	Folder  string `arg:"" type:"existingdir" placeholder:"DIR" help:"Folder <name>/<version> of the version, with its service.yaml and .xsd files."`
	From    string `placeholder:"TIME" help:"Messages from this time on: 2026-03-02T15:04:05+03:00, or a day; default: 30 days ago."`
	To      string `placeholder:"TIME" help:"Up to this time, exclusive; default: now."`
	Last    int    `default:"100" help:"How many of the latest messages of each caller, 1000 at most."`
	Answers bool   `help:"Hold the answers of providers against it, too."`
	Values  bool   `help:"Tell what stands in the messages at those places."`
	Lang    string `default:"en" enum:"en,ru" help:"Language of the words: en or ru."`
}

func (servicesImpactCmd) Help() string {
	return `Holds the latest real messages of every caller against the schema of a version that is not in use yet, on the node that
keeps them: nothing of them comes here but rules and places, and with --values what is wrong there. Content that was erased is
counted; messages marked TestMessage are left out. The reading is an entry of the journal. Needs an operator's token.

Exit code 1 says that somebody's messages would be refused.

Examples:
  mezhved services impact services/egrn-extract/1.1.0 --config mezhved.yaml
  mezhved services impact drafts/egrn-extract/2.0.0 --from 2026-03-01 --to 2026-04-01 --last 500 --answers --config mezhved.yaml --lang ru`
}

func (c *servicesImpactCmd) Run(ctx context.Context, out *stdio) error {
	sketch, found := registry.ReadSketch(c.Folder)
	if sketch == nil {
		return usage(found.Errors())
	}
	if _, err := sketch.Compile(); err != nil { // said here with place, before anybody is asked
		return usage(fmt.Errorf("%s: %w", c.Folder, err))
	}
	if c.Last < 1 || c.Last > impact.MostLast {
		return usage(fmt.Errorf("--last: 1 to %d are expected, not %d", impact.MostLast, c.Last))
	}
	order := console.ImpactOrder{Sketch: *sketch, Last: c.Last, Answers: c.Answers, Values: c.Values, To: time.Now()}
	var err error
	if c.To != "" {
		if order.To, err = reports.Moment(c.To, terms.Moscow); err != nil {
			return usage(err)
		}
	}
	order.From = order.To.AddDate(0, 0, -30)
	if c.From != "" {
		if order.From, err = reports.Moment(c.From, terms.Moscow); err != nil {
			return usage(err)
		}
	}
	if !order.From.Before(order.To) {
		return usage(errors.New("--from is not before --to"))
	}
	desk, err := c.client(console.Operator)
	if err != nil {
		return err
	}
	var r impact.Report
	if err := desk.get(ctx, "/api/v1/services/impact", order, &r); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out.out, r)
	} else {
		err = c.print(out, &r)
	}
	if r.Refused > 0 {
		return no(errors.Join(errSaid, err))
	}
	return err
}

func (c *servicesImpactCmd) print(out *stdio, r *impact.Report) error {
	lang := xsd.English
	if c.Lang == "ru" {
		lang = xsd.Russian
	}
	see := console.Visible
	fmt.Fprintf(out.out, lang.Pick("%s %s: отказ получили бы %d из %d отправителей; сверено сообщений: %d, содержание удалено у %d, сверить нельзя: %d\n",
		"%s %s: %d of %d parties would be refused; messages held against it: %d, erased: %d, that could not be: %d\n"),
		see(r.Service), see(r.Version), r.Refused, r.Count(), r.Read, r.Erased, r.Unread)
	if r.More {
		fmt.Fprintln(out.out, lang.Pick("сообщений больше, чем сверяется за один раз: сузьте время", "there were more messages than are held against it at once: ask for less time"))
	}
	if len(r.Parties) == 0 {
		return nil
	}
	rows := [][]string{strings.Fields(lang.Pick("ОТПРАВИТЕЛЬ ЧТО СВЕРЕНО ОТКАЗАНО УДАЛЕНО", "PARTY WHAT READ REFUSED ERASED"))}
	for _, p := range r.Parties {
		rows = append(rows, []string{see(string(p.Party)), string(p.Direction), fmt.Sprint(p.Read), fmt.Sprint(p.Refused), fmt.Sprint(p.Erased)})
	}
	if err := table(out.out, rows); err != nil {
		return err
	}
	explained := map[string]bool{}
	for _, p := range r.Parties {
		for _, one := range p.Reasons {
			fmt.Fprintf(out.out, "\n%s: %s %s: %d\n  %s %s %d:%d\n", see(string(p.Party)), one.Rule, see(one.Path), one.Messages, lang.Pick("пример", "example"), see(one.Example), one.Line, one.Col)
			if text := lang.Pick(one.Russian, one.English); text != "" {
				fmt.Fprintf(out.out, "  %s\n", see(text))
			}
			if text := xsd.Rule(one.Rule, lang); text != "" && !explained[one.Rule] {
				fmt.Fprintf(out.out, "  %s\n", text)
				explained[one.Rule] = true
			}
		}
	}
	return nil
}
