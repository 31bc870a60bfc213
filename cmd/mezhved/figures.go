package main

import (
	"context"
	"net/url"
)

type reportCmd struct {
	deskFlags
	Kind    string `arg:"" enum:"service,party,quality,lateness,rating" help:"What it is about: service, party, quality, lateness or rating."`
	Period  string `placeholder:"NAME" help:"A year, quarter, month or day: 2026, 2026-Q3, 2026-11, 2026-11-29. Instead of --from and --to."`
	From    string `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or the beginning of a day, month, quarter or year; default: the month in which the period ends."`
	To      string `placeholder:"TIME" help:"Up to this time, exclusive, named like --from; default: now."`
	AsOf    string `name:"as-of" placeholder:"TIME" help:"Figures as they stood then, within the period; default: its end, or now."`
	Zone    string `placeholder:"ZONE" help:"Of days and periods, such as Europe/Moscow; default: the desk's."`
	Service string `placeholder:"NAME" help:"Of one service alone, all versions."`
	Party   string `placeholder:"MNEMONIC" help:"Of exchanges of one party alone, on either side."`
	Test    string `default:"no" enum:"no,with,only" help:"What to do with messages that are marked as tests: no (default) leaves them out, with counts them too, only counts nothing else."`
	Form    string `default:"text" enum:"text,html,csv,xlsx,json" help:"text (default), html (a page to print), csv, xlsx or json."`
	Table   string `placeholder:"NAME" help:"Which table, for csv; default: the first."`
	Lang    string `default:"ru" enum:"ru,en" help:"Language of text, html and xlsx: ru or en."`
	Out     string `short:"o" placeholder:"FILE" help:"Write to this file; default: the standard output."`
}

func (reportCmd) Help() string {
	return `Figures are of what stands under the latest checkpoint of the journal; mezhved-audit report log makes the same from a mirror, byte for byte
in JSON. A request counts as late in the period in which its term ended. What a report says of a past period does not change any more.

Examples:
  mezhved report service --period 2026-11
  mezhved report party --party FNS01 --from 2026-11-01
  mezhved report quality --period 2026-Q3 --form xlsx -o quality.xlsx
  mezhved report lateness --from 2026-10-01 --to 2026-11-01 --form csv --table latest
  mezhved report rating --period 2026-Q3 --form html -o rating.html`
}

func (c *reportCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	v := url.Values{"test": {c.Test}, "form": {c.Form}, "lang": {c.Lang}}
	if c.JSON {
		v.Set("form", "json")
	}
	for name, value := range map[string]string{"period": c.Period, "from": c.From, "to": c.To, "asOf": c.AsOf, "zone": c.Zone, "service": c.Service, "party": c.Party, "table": c.Table} {
		if value != "" {
			v.Set(name, value)
		}
	}
	r, _, err := desk.open(ctx, "/api/v1/reports/"+c.Kind+"?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	return take(out, r, c.Out)
}
