package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // zones of periods, on a machine that has none

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/reports"
	"mezhved/adapter/reports/paper"
	"mezhved/adapter/terms"
	"mezhved/cmd/mezhved-audit/verdict"
)

type reportLogCommand struct {
	logFlags
	Kind     string   `arg:"" enum:"service,party,quality,lateness,rating,again" help:"What it is about: service, party, quality, lateness or rating; again: what the report of --report is about."`
	Dir      string   `arg:"" type:"existingdir" help:"The log: a mirror, or any copy in the layout of c2sp.org/tlog-tiles."`
	Report   string   `placeholder:"FILE" type:"existingfile" help:"With again: a report as JSON that somebody has given you. Its question is answered again, from the same number of entries, and compared."`
	Period   string   `placeholder:"NAME" help:"A year, quarter, month or day: 2026, 2026-Q3, 2026-11, 2026-11-29. Instead of --from and --to."`
	From     string   `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or the beginning of a day, month, quarter or year; default: the month in which the period ends."`
	To       string   `placeholder:"TIME" help:"Up to this time, exclusive, named like --from; default: when the mirror's checkpoint was signed."`
	AsOf     string   `name:"as-of" placeholder:"TIME" help:"Figures as they stood then, within the period; default: its end, or when the mirror's checkpoint was signed."`
	Zone     string   `default:"Europe/Moscow" help:"Of days and periods."`
	Service  string   `placeholder:"NAME" help:"Of one service alone, all versions."`
	Party    string   `placeholder:"MNEMONIC" help:"Of exchanges of one party alone, on either side."`
	Test     string   `default:"no" enum:"no,with,only" help:"What to do with messages that are marked as tests: no leaves them out, with counts them too, only counts nothing else."`
	Promise  []string `placeholder:"[SERVICE=]FAULTS:INTIME" help:"What is promised, in percent: most refusals by the fault of bus or provider, least answers in time; of all services, or of one. Default 1:99."`
	Calendar []string `placeholder:"FILE" type:"existingfile" help:"A production calendar that the gateway had, for terms that count from a delivery; may be repeated. Default: the shipped ones."`
	Size     int64    `placeholder:"ENTRIES" help:"Of the first so many entries alone; default: of all that the mirror's checkpoint signs."`
	Form     string   `default:"json" enum:"json,text,html,csv,xlsx" help:"json (default), text, html, csv or xlsx."`
	Table    string   `placeholder:"NAME" help:"Which table, for csv; default: the first."`
	Lang     string   `default:"ru" enum:"ru,en" help:"Language of text, html and xlsx: ru or en."`
}

// Help is what --help adds.
func (reportLogCommand) Help() string {
	return `The whole log is verified as verify log does it, and counted while it is read. Exit code 0: here is the report, of a log in which nothing is
missing or changed; with again, it is the same. 1: findings in the log, or another report than the given one.

Examples:
  mezhved-audit report log rating --policy policy.txt --period 2026-Q3 --form html ./mirror > rating.html
  mezhved-audit report log again --report given.json --policy policy.txt ./mirror`
}

// Run implements the command.
func (c *reportLogCommand) Run(s *streams) error {
	var given []byte
	if (c.Kind == "again") != (c.Report != "") {
		return fmt.Errorf("%w: again and --report FILE go together", errQuestion)
	}
	log, err := c.open(c.Dir)
	if err != nil {
		return err
	}
	defer log.unlock()
	signed, err := log.policy.Open(log.checkpoint)
	if err != nil {
		return err
	}
	var q reports.Question
	size := cmp.Or(c.Size, signed.Tree.N)
	if c.Report != "" {
		if given, err = os.ReadFile(c.Report); err != nil {
			return err
		}
		var r struct {
			Question reports.Question `json:"question"`
			Log      reports.Log      `json:"log"`
		}
		if err := json.Unmarshal(given, &r); err != nil {
			return fmt.Errorf("%w: %s is no report: %w", errQuestion, c.Report, err)
		}
		q, size = r.Question, r.Log.Size
	} else if q, err = c.question(signed); err != nil {
		return fmt.Errorf("%w: %w", errQuestion, err)
	}
	if q.Calendar, err = c.calendar(); err != nil {
		return fmt.Errorf("%w: %w", errQuestion, err)
	}
	if size < 1 || size > signed.Tree.N {
		return fmt.Errorf("%w: the mirror has %d entries, a report of %d cannot be made from it", errQuestion, signed.Tree.N, size)
	}
	report, err := figures(s, log, q, reports.Log{Origin: signed.Origin, Size: size, Root: signed.Tree.Hash}, size < signed.Tree.N)
	if err != nil {
		return err
	}
	if given == nil {
		return c.print(s, report)
	}
	made, err := report.JSON()
	if err != nil {
		return err
	}
	if line := differs(given, made); line > 0 {
		s.say("DIFFERENT from line %d on:\ngiven: %s\nmade:  %s\n", line, lineOf(given, line), lineOf(made, line))
		return errFindings
	}
	fmt.Fprintf(s.out, "EQUAL: the log gives the same report, byte for byte (%d bytes)\n", len(made))
	return nil
}

// calendar is the shipped calendar with the given years.
func (c *reportLogCommand) calendar() (*terms.Calendar, error) {
	calendar := terms.Shipped()
	for _, name := range c.Calendar {
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		year, problems := terms.ParseYear(src)
		for _, p := range problems {
			if !p.Warning {
				return nil, fmt.Errorf("%s: line %d: %v", name, p.Line, p.Form)
			}
		}
		calendar = calendar.With(year)
	}
	return calendar, nil
}

// print writes the report. What a reader would not see of a text is shown as its number;
// the other forms are for programs.
func (c *reportLogCommand) print(s *streams, report *reports.Report) error {
	form := paper.Form(c.Form)
	if form == paper.XLSX {
		if workbookOf == nil {
			return fmt.Errorf("%w: this program was built without what writes workbooks (-tags offline): take csv or html", errQuestion)
		}
		return workbookOf(s.out, report, c.Lang)
	}
	var b bytes.Buffer
	if err := paper.Write(&b, form, report, paper.Options{Lang: c.Lang, Table: c.Table}); err != nil {
		return fmt.Errorf("%w: %w", errQuestion, err)
	}
	if form != paper.Text && form != paper.HTML {
		_, err := s.out.Write(b.Bytes())
		return err
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(s.out, verdict.Visible(strings.TrimSuffix(line, "\n")))
	}
	return nil
}

// workbookOf writes a report as a workbook; nil in a build that has no network among
// its imports.
var workbookOf func(w io.Writer, r *reports.Report, lang string) error

// question is what the flags ask, as of when the checkpoint was signed if the period
// has not ended then.
func (c *reportLogCommand) question(signed *journal.Checkpoint) (q reports.Question, err error) {
	q = reports.Question{Kind: reports.Kind(c.Kind), Name: c.Period, Service: c.Service, Party: c.Party, Tests: reports.Tests(c.Test), Target: reports.DefaultTarget}
	if q.Zone, err = time.LoadLocation(c.Zone); err != nil {
		return q, err
	}
	now := signed.Signed
	if now.IsZero() {
		now = time.Now()
	}
	now = now.Truncate(time.Second).In(q.Zone)
	if q.Period, err = reports.Bounds(c.Period, c.From, c.To, now, q.Zone); err != nil {
		return q, err
	}
	if c.AsOf != "" {
		if q.AsOf, err = reports.Moment(c.AsOf, q.Zone); err != nil {
			return q, err
		}
	} else if q.Period.To.After(now) {
		q.AsOf = now
	}
	for _, text := range c.Promise {
		service, shares, named := strings.Cut(text, "=")
		if !named {
			service, shares = "", text
		}
		faults, inTime, _ := strings.Cut(shares, ":")
		var t reports.Target
		var err1, err2 error
		t.Faults, err1 = reports.ParseShare(faults)
		t.InTime, err2 = reports.ParseShare(inTime)
		if err := errors.Join(err1, err2); err != nil {
			return q, fmt.Errorf("--promise %s: %w", text, err)
		}
		if !named {
			q.Target = t
			continue
		}
		if q.Targets == nil {
			q.Targets = map[string]reports.Target{}
		}
		q.Targets[service] = t
	}
	return q, q.Check()
}

// figures verifies a log and makes a report of it, or of its beginning.
func figures(s *streams, log *openedLog, q reports.Question, of reports.Log, part bool) (*reports.Report, error) {
	fold, err := reports.NewFold(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errQuestion, err)
	}
	edge, more, failed := &journal.Edge{}, true, error(nil)
	rep, err := audit.ReadLog(context.Background(), log, log.policy, log.checkpoint, log.known, func(index int64, leaf []byte, _ *journal.Facts) {
		if index >= of.Size {
			return
		}
		if part {
			edge.Append(journal.LeafHash(leaf))
		}
		if more && failed == nil {
			more, failed = fold.Add(leaf)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, f := range rep.Recount.Findings {
		fmt.Fprintln(s.err, verdict.Visible("FINDING: "+f.String()))
	}
	if !rep.OK() {
		fmt.Fprintf(s.err, "NOT VERIFIED: %d findings, and no report of such a log\n", rep.Recount.Found)
		return nil, errFindings
	}
	if failed != nil {
		return nil, failed
	}
	if part {
		of.Root = edge.Root()
	}
	return fold.Report(of)
}

// differs is the first line in which two texts are not the same, from 1; 0: they are.
func differs(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	line := 1
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

func lineOf(text []byte, n int) string {
	lines := strings.Split(string(text), "\n")
	if n > len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[n-1])
}
