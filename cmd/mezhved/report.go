package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	return printReport(out.out, &rep)
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
	fmt.Fprintf(w, "\n%d exchanges\n", len(rep.Inquiries))
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
