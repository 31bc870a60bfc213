package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/console"
)

type journalReportCmd struct {
	deskFlags
	Person string `required:"" placeholder:"FIELD=VALUE" help:"Whom it is about, in any spelling: snils=\"112-233-445 95\"."`
	From   string `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or a day (UTC)."`
	To     string `placeholder:"TIME" help:"Up to this time, exclusive."`
	Lang   string `default:"ru" enum:"ru,en" help:"Language of the page: ru or en."`
	Out    string `short:"o" placeholder:"FILE" help:"Write the report as an HTML page to print, one file."`
	Bundle string `placeholder:"FILE" help:"Write the evidence: entries, proofs and openings, which mezhved-audit verifies. No envelopes: they name others, too."`
}

func (journalReportCmd) Help() string {
	return `Tells every exchange in which a person stands, in the request or in the answer, as far as services declare where (personal and
ground in service.yaml), and who has looked for the person in the journal. Making it is an entry of the journal itself.

Examples:
  mezhved journal report --person snils="112-233-445 95"
  mezhved journal report --person snils=11223344595 --from 2026-01-01 -o report.html --bundle evidence.zip
  mezhved journal report --person name-birth="Ёлкина Софья Андреевна 29.02.1984" --json`
}

func (c *journalReportCmd) Run(ctx context.Context, out *stdio) error {
	question := map[string]any{}
	if err := (&aboutFlags{Person: c.Person}).add(question); err != nil {
		return err
	}
	for name, value := range map[string]string{"from": c.From, "to": c.To} {
		if value != "" {
			question[name] = value
		}
	}
	if c.JSON && c.Out != "" {
		return usage(errors.New("--json and -o do not go together: -o writes a page"))
	}
	desk, err := c.client("")
	if err != nil {
		return err
	}
	file := func(path, name string, question map[string]any) error {
		r, _, err := desk.open(ctx, path, question)
		if err != nil {
			return err
		}
		defer r.Close()
		return take(out, r, name)
	}
	if c.Bundle != "" {
		if err := file("/api/v1/journal/report/bundle", c.Bundle, question); err != nil {
			return err
		}
	}
	if c.Out != "" {
		question["lang"] = c.Lang
		return file("/api/v1/journal/report/page", c.Out, question)
	}
	if c.Bundle != "" && !c.JSON {
		return nil
	}
	var rep console.Report
	if err := desk.get(ctx, "/api/v1/journal/report", question, &rep); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, rep)
	}
	if err := printReport(out.out, &rep); err != nil {
		return err
	}
	_, err = fmt.Fprint(out.out, console.Unopened(rep.Unopened))
	return err
}

func printReport(w io.Writer, rep *console.Report) error {
	see := console.Visible
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format("2006-01-02 15:04:05Z")
	}
	rows := [][]string{{"ASKED", "WHO", "OF WHOM", "SERVICE", "GROUND", "ANSWERED", "MESSAGE", "ENTRY"}}
	for _, q := range rep.Inquiries {
		var grounds, answers []string
		for _, g := range q.Grounds {
			grounds = append(grounds, g.Field+" "+g.Value)
		}
		for _, name := range q.Closed {
			grounds = append(grounds, name+" (erased)")
		}
		if q.Others > 0 {
			grounds = append(grounds, fmt.Sprintf("%d consents of other people", q.Others))
		}
		if q.Unclear {
			grounds = append(grounds, "whose the consents are is not told")
		}
		for _, a := range q.Answers {
			answers = append(answers, a.Direction+" "+at(a.Time))
		}
		entry := "-"
		if len(q.Steps) > 0 {
			entry = strconv.FormatInt(q.Steps[0].Index, 10) + " " + string(q.Steps[0].State)
		}
		rows = append(rows, []string{at(q.Asked), see(q.Sender), see(q.Recipient), see(strings.TrimSpace(q.Service + " " + q.Version)), see(strings.Join(grounds, "; ")), strings.Join(answers, "; "), see(q.MessageID), entry})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", many(len(rep.Inquiries), "exchange", "exchanges"))
	if len(rep.Refused) > 0 {
		fmt.Fprintln(w)
		rows = [][]string{{"REFUSED", "WHO", "SERVICE", "OUTCOME", "INCIDENT", "ENTRY"}}
		for _, a := range rep.Refused {
			rows = append(rows, []string{at(a.Time), see(a.Sender), see(strings.TrimSpace(a.Service + " " + a.Version)), see(a.Outcome), see(a.Incident), strconv.FormatInt(a.Index, 10) + " " + string(a.State)})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	if len(rep.Readings) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows = [][]string{{"LOOKED", "WHO", "WHAT", "ENTRY"}}
	for _, l := range rep.Readings {
		rows = append(rows, []string{at(l.Time), see(l.Actor), l.Operation, strconv.FormatInt(l.Index, 10) + " " + string(l.State)})
	}
	return table(w, rows)
}

type journalReadingsCmd struct {
	deskFlags
	Exchange string `arg:"" optional:"" help:"Any name of an exchange, or an incident: readings that named it."`
	Person   string `placeholder:"FIELD=VALUE" help:"Readings that asked by this value, in any spelling."`
	From     string `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or a day (UTC)."`
	To       string `placeholder:"TIME" help:"Up to this time, exclusive."`
	Limit    int    `default:"50" help:"Readings of a page, 500 at most, where all of a time are asked for."`
	After    string `help:"The page after: the value that the page before ended with."`
}

func (journalReadingsCmd) Help() string {
	return `Who has read the journal, or envelopes and values behind it, when, and what was asked: by auditors everything, by operators
what shows content or values. A search that named the exchange beside other restrictions is found by its time alone, and what has no place in
the log yet is told a moment later. Asking is an entry of the journal itself.

Examples:
  mezhved journal readings fbaaa8e0-e60f-11f1-b256-e3ebba651313 --config mezhved.yaml
  mezhved journal readings --person snils="112-233-445 95"
  mezhved journal readings --from 2026-03-01 --to 2026-04-01 --json`
}

func (c *journalReadingsCmd) Run(ctx context.Context, out *stdio) error {
	question := map[string]any{}
	if c.Person != "" {
		if c.Exchange != "" {
			return usage(errors.New("give the name of an exchange, or --person, not both"))
		}
		if err := (&aboutFlags{Person: c.Person}).add(question); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"from": c.From, "to": c.To, "exchange": c.Exchange, "after": c.After} {
		if value != "" {
			question[name] = value
		}
	}
	question["limit"] = c.Limit
	desk, err := c.client("")
	if err != nil {
		return err
	}
	var found console.Readings
	if err := desk.get(ctx, "/api/v1/journal/readings", question, &found); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, found)
	}
	rows := [][]string{{"READ", "WHO", "WHAT", "ASKED", "ENTRY"}}
	for _, r := range found.Readings {
		who, asked := r.Actor, r.Query
		if who == "" {
			who = "(erased)"
		}
		rows = append(rows, []string{r.Time.Format("2006-01-02 15:04:05Z"), console.Visible(who), r.Operation, console.Visible(asked), strconv.FormatInt(r.Index, 10) + " " + string(r.State)})
	}
	if err := table(out.out, rows); err != nil {
		return err
	}
	fmt.Fprint(out.out, console.Unopened(found.Unopened))
	if found.Next != "" {
		fmt.Fprintf(out.out, "\nnext page: --after %s\n", found.Next)
	}
	return nil
}

type journalChangesCmd struct {
	deskFlags
	From  string `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or a day (UTC)."`
	To    string `placeholder:"TIME" help:"Up to this time, exclusive."`
	Limit int    `default:"50" help:"Entries of a page, 500 at most."`
	After string `help:"The page after: the value that the page before ended with."`
}

func (journalChangesCmd) Help() string {
	return `At its start and on SIGHUP each node compares its settings with those that it told the journal of last, and tells the difference: which
service, party or setting, from what to what, and who it was as far as the process knows. Of secrets it tells that they are others.

Example:
  mezhved journal changes --from 2026-03-01`
}

func (c *journalChangesCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	v := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	for name, value := range map[string]string{"from": c.From, "to": c.To, "after": c.After} {
		if value != "" {
			v.Set(name, value)
		}
	}
	var found console.Changes
	if err := desk.get(ctx, "/api/v1/journal/changes?"+v.Encode(), nil, &found); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, found)
	}
	see := console.Visible
	for _, ch := range found.Changes {
		fmt.Fprintf(out.out, "%s  %s %s  on %s at its %s, by %s  entry %d %s\n", ch.Time.Format("2006-01-02T15:04:05.000Z"), ch.Outcome, see(ch.Subject), see(ch.Node), ch.Operation, see(cmp.Or(ch.Actor, "(erased)")), ch.Index, ch.State)
		for _, line := range ch.Lines {
			fmt.Fprintf(out.out, "    %s\n", see(line))
		}
	}
	fmt.Fprintf(out.out, "\n%s in all\n", many(found.Count, "entry", "entries"))
	if found.Next != "" {
		fmt.Fprintf(out.out, "next page: --after %s\n", found.Next)
	}
	return nil
}
