package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/console"
)

type journalCmd struct {
	Trace    journalTraceCmd    `cmd:"" help:"Tell what happened to a message, an exchange or a refused call."`
	Search   journalSearchCmd   `cmd:"" help:"Find entries, with their exact count."`
	Changes  journalChangesCmd  `cmd:"" help:"Tell what operators have changed: services, parties, configuration, before and after."`
	Report   journalReportCmd   `cmd:"" help:"Answer a person: who asked about me, when, on what ground, what was answered."`
	Readings journalReadingsCmd `cmd:"" help:"Tell who has read: of an exchange, about a person, or all of a time."`
	Export   journalExportCmd   `cmd:"" help:"Write every entry that a question asks for as CSV or JSON."`
	Bundle   journalBundleCmd   `cmd:"" help:"Take evidence away: a zip that mezhved-audit verifies offline."`
	Erase    journalEraseCmd    `cmd:"" help:"Erase content, or personal values behind an entry, on a legal ground."`
	Examine  journalExamineCmd  `cmd:"" help:"Hold what entries are found and counted by against the entries themselves."`
	Reopen   journalReopenCmd   `cmd:"" help:"Go on under a new origin when the signer refuses."`
	Lost     journalLostCmd     `cmd:"" help:"Say what others prove to have been accepted that is not here."`
	ReErase  journalReEraseCmd  `cmd:"" name:"re-erase" help:"After a restore: erase again what a backup has brought back."`
	LostKey  journalLostKeyCmd  `cmd:"" name:"lost-key" help:"Admit that a key of the vault is lost for good, and go on without it."`
}

type journalTraceCmd struct {
	deskFlags
	ID         string `arg:"" help:"An incident, a MessageID, the gateway's own id of a message, or a trace id."`
	Envelope   bool   `help:"Print the envelope instead: of the refused call, or of the message."`
	Of         string `default:"message" enum:"message,poll,answer,ack" help:"Whose envelope: the message's, that of the signed poll that it answered, of the answer that was handed out, or of the signed Ack."`
	Entry      int64  `default:"-1" placeholder:"NUMBER" help:"Of which entry, where there are several; default: the last one of the message that was asked for."`
	Revocation string `placeholder:"SHA256" help:"Print this answer about revocation instead, as it came."`
	Lang       string `default:"ru" enum:"ru,en" help:"Language of the sentences: ru or en."`
}

func (journalTraceCmd) Help() string {
	return `Examples:
  mezhved journal trace 01a200c3-ff6e-713b-a695-b1d40770f4ba --config mezhved.yaml       # an incident: cause, rule, line, column
  mezhved journal trace 01a200c3-ff6e-713b-a695-b1d40770f4ba --envelope > refused.xml    # what was refused, byte for byte
  mezhved journal trace fbaaa8e0-e60f-11f1-b256-e3ebba651313 --json                      # a MessageID: the whole exchange
  mezhved journal trace 0af7651916cd43dd8448eb211c80319c --config mezhved.yaml           # the trace_id of a log's line, of an exemplar, of X-Mezhved-Trace
  mezhved journal trace fbaaa8e0-e60f-11f1-b256-e3ebba651313 --envelope --of ack > ack.xml     # the recipient's signed Ack
  mezhved journal trace fbaaa8e0-e60f-11f1-b256-e3ebba651313 --revocation 5f2c… > answer.ors   # what a certificate was judged by`
}

func (c *journalTraceCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	var t console.Trace
	if err := desk.get(ctx, "/api/v1/journal/trace/"+url.PathEscape(c.ID), nil, &t); err != nil {
		return err
	}
	switch {
	case c.Of != "message":
		return c.receipt(ctx, out, desk, &t)
	case c.Envelope:
		return c.envelope(ctx, out, desk, &t)
	case c.Revocation != "":
		return c.answer(ctx, out, desk, &t)
	case c.JSON:
		return printJSON(out.out, t)
	}
	return printTrace(out.out, &t, c.Lang == "en", c.where())
}

// envelope prints what was sent: for a program byte for byte, for a person at a
// terminal with what would steer the terminal made visible.
func (c *journalTraceCmd) envelope(ctx context.Context, out *stdio, desk *deskClient, t *console.Trace) error {
	from := ""
	switch {
	case t.Refusal != nil && t.Refusal.Envelope != "":
		from = t.Refusal.Envelope
	case t.Refusal != nil:
		if r := t.Refusal; !r.Erased.IsZero() {
			return no(fmt.Errorf("the bytes of incident %s were erased at %s. Ground: %s", r.Incident, r.Erased.Format(time.RFC3339), console.Visible(r.Ground)))
		}
		return no(fmt.Errorf("the bytes of incident %s are not kept", t.Refusal.Incident))
	case len(t.Messages) > 0:
		from = t.Messages[0].Envelope
	default:
		return no(errors.New("there is no message in this trace"))
	}
	for _, m := range t.Messages { // the one that was asked for, else the request
		if m.Message == c.ID || m.MessageID == c.ID {
			from = m.Envelope
		}
	}
	return printKept(ctx, out, desk, from)
}

// receipt prints what proves a delivery or an acknowledgement: of the entry that was
// asked for, else of the last one of the message.
func (c *journalTraceCmd) receipt(ctx context.Context, out *stdio, desk *deskClient, t *console.Trace) error {
	asked := ""
	if len(t.Messages) > 0 {
		asked = t.Messages[0].Message
	}
	for _, m := range t.Messages {
		if m.Message == c.ID || m.MessageID == c.ID {
			asked = m.Message
		}
	}
	from := ""
	for _, e := range t.Events {
		if r := e.Receipt; r != nil && (c.Entry < 0 && e.Message == asked || e.Index != nil && *e.Index == c.Entry) {
			if path := map[string]string{"poll": r.Poll, "answer": r.Answer, "ack": r.Ack}[c.Of]; path != "" {
				from = path
			}
		}
	}
	if from == "" {
		return no(fmt.Errorf("there is no %s in this trace: it tells of none, or of a delivery over the bus", c.Of))
	}
	return printKept(ctx, out, desk, from)
}

// answer prints what a certificate was judged by, as it came.
func (c *journalTraceCmd) answer(ctx context.Context, out *stdio, desk *deskClient, t *console.Trace) error {
	for _, a := range t.Answers {
		if a.Digest == c.Revocation {
			return printKept(ctx, out, desk, a.Bytes)
		}
	}
	return no(fmt.Errorf("no entry of this trace names an answer %s that is kept", c.Revocation))
}

// printKept gives kept bytes: to a program as they are.
func printKept(ctx context.Context, out *stdio, desk *deskClient, from string) error {
	r, _, err := desk.open(ctx, from, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if !terminal(out.out) {
		_, err = io.Copy(out.out, r)
	} else {
		var all []byte
		if all, err = io.ReadAll(r); err == nil {
			for line := range strings.Lines(string(all)) {
				fmt.Fprintln(out.out, console.Visible(strings.TrimRight(line, "\r\n")))
			}
		}
	}
	if err != nil {
		return unavailable(fmt.Errorf("the bytes did not come whole: %w", err))
	}
	return nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printTrace tells a trace to a person. Whatever a sender has written is made
// visible: a terminal obeys more than a page does.
func printTrace(w io.Writer, t *console.Trace, english bool, where string) error {
	see := console.Visible
	say := func(s console.Text) string {
		if english {
			return see(s.EN)
		}
		return see(s.RU)
	}
	if r := t.Refusal; r != nil {
		fmt.Fprintf(w, "%s\n", say(r.Sentence))
		fmt.Fprintf(w, "  fault     %s\n  rule      %s\n", see(r.Outcome), see(r.Rule))
		if r.Line > 0 {
			fmt.Fprintf(w, "  place     line %d, column %d\n", r.Line, r.Col)
		}
		fmt.Fprintf(w, "  incident  %s\n", see(r.Incident))
		if r.TraceID != "" {
			fmt.Fprintf(w, "  trace     %s\n", see(r.TraceID))
		}
		for _, f := range r.Findings {
			fmt.Fprintf(w, "  cause     %s\n", say(f.Text))
			if f.XPath != "" {
				fmt.Fprintf(w, "            at %s\n", see(f.XPath))
			}
			if f.Found != "" {
				fmt.Fprintf(w, "            found %s\n", see(f.Found))
			}
			if len(f.Expected) > 0 {
				fmt.Fprintf(w, "            expected %s\n", see(strings.Join(f.Expected, ", ")))
			}
		}
		if len(r.Findings) > 0 && !r.Same {
			fmt.Fprintln(w, "            (checked again now: the service or the certificates have changed since)")
		}
		fmt.Fprintf(w, "  sender    %s\n", say(r.Advice))
		if r.Envelope != "" {
			fmt.Fprintf(w, "  envelope  %d of %d bytes: mezhved journal trace %s --envelope%s\n", r.Kept, r.Size, see(r.Incident), where)
		}
		fmt.Fprintln(w)
	}
	if len(t.Messages) > 0 {
		rows := [][]string{{"MESSAGE", "DIRECTION", "FROM", "TO", "SERVICE", "STANDS", "DEADLINE"}}
		for _, m := range t.Messages {
			deadline := "-"
			if !m.Deadline.IsZero() {
				deadline = m.Deadline.Format(time.RFC3339)
				if m.Late {
					deadline += " LATE"
				}
			}
			rows = append(rows, []string{see(m.MessageID), m.Direction, see(m.Sender), see(m.Recipient), see(m.Service + " " + m.Version), m.Stands, deadline})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		for _, m := range t.Messages {
			if m.TraceID != "" {
				fmt.Fprintf(w, "%s trace %s\n", see(m.MessageID), see(m.TraceID))
			}
			if !m.Erased.IsZero() {
				text := "содержание %s удалено %s. Основание: %s\n"
				if english {
					text = "the content of %s was erased at %s. Ground: %s\n"
				}
				fmt.Fprintf(w, text, see(m.MessageID), m.Erased.Format(time.RFC3339), see(m.Ground))
			}
		}
		fmt.Fprintln(w)
	}
	if err := printEntries(w, t.Events); err != nil {
		return err
	}
	if err := printReceipts(w, t); err != nil {
		return err
	}
	return printAnswers(w, t)
}

// printReceipts tells what proves deliveries and acknowledgements.
func printReceipts(w io.Writer, t *console.Trace) error {
	ended := map[string]bool{}
	for _, m := range t.Messages {
		ended[m.MessageID] = !m.Erased.IsZero()
	}
	rows := [][]string{{"PROOF OF", "ENTRY", "RECIPIENT", "WHAT"}}
	for _, e := range t.Events {
		if e.Receipt == nil {
			continue
		}
		entry, of := "pending", ""
		if e.Index != nil {
			entry = strconv.FormatInt(*e.Index, 10)
			of = " --entry " + entry
		}
		kind := e.Kind
		if e.Attempt > 1 {
			kind += fmt.Sprintf(" (%d)", e.Attempt)
		}
		what := ""
		switch r := e.Receipt; {
		case ended[e.MessageID]:
			what = "ended with the content; the entry still commits to it"
		case r.Stream != nil:
			what = fmt.Sprintf("group %s has read %s/%d to offset %d; it stood at %d", r.Stream.Group, r.Stream.Topic, r.Stream.Partition, r.Stream.Committed, r.Stream.Offset)
		case r.Ack != "":
			what = "signed Ack: --envelope --of ack" + of
		default:
			what = "signed poll: --envelope --of poll" + of + "; signed answer: --of answer" + of
		}
		rows = append(rows, []string{kind, entry, console.Visible(e.Recipient), console.Visible(what)})
	}
	if len(rows) == 1 {
		return nil
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

// printAnswers tells by what the certificates of the trace were judged.
func printAnswers(w io.Writer, t *console.Trace) error {
	if len(t.Answers) == 0 {
		return nil
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format(time.RFC3339)
	}
	rows := [][]string{{"REVOCATION", "MADE", "DUE", "BYTES", "SOURCE", "SHA256"}}
	for _, a := range t.Answers {
		from := console.Visible(a.Source)
		if len(a.Names) > 0 {
			from = fmt.Sprintf("%d answers", len(a.Names))
		}
		rows = append(rows, []string{a.Kind, at(a.Made), at(a.Due), strconv.Itoa(a.Size), from, a.Digest})
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

func printEntries(w io.Writer, list []console.Entry) error {
	see := console.Visible
	rows := [][]string{{"TIME", "EVENT", "FROM", "TO", "SERVICE", "OUTCOME", "MESSAGE", "ENTRY"}}
	for _, e := range list {
		entry := "pending"
		if e.Index != nil {
			entry = strconv.FormatInt(*e.Index, 10) + " " + string(e.State)
		}
		kind := e.Kind
		if e.Test {
			kind += " (test)"
		}
		if e.Attempt > 1 {
			kind += fmt.Sprintf(" (%d)", e.Attempt)
		}
		outcome := e.Outcome
		if e.Incident != "" {
			outcome += " " + e.Incident
		}
		rows = append(rows, []string{e.Time.Format("2006-01-02T15:04:05.000Z"), kind, see(e.Sender), see(e.Recipient), see(strings.TrimSpace(e.Service + " " + e.Version)), see(outcome), see(e.MessageID), entry})
	}
	return table(w, rows)
}

// questionFlags restrict what is asked for.
type questionFlags struct {
	From        string `placeholder:"TIME" help:"From this time on: 2026-03-02T15:04:05+03:00, or a day (UTC)."`
	To          string `placeholder:"TIME" help:"Up to this time, exclusive."`
	Kind        string `help:"Event: accepted, refused, delivered, ..."`
	Sender      string `help:"Mnemonic of the sender."`
	Recipient   string `aliases:"provider" help:"Mnemonic of the recipient; for requests, of the provider."`
	Service     string `help:"Name of the service."`
	Version     string `help:"Version of the service."`
	Outcome     string `help:"ok, or the name of a fault."`
	Channel     string `help:"Door and version: smev/1.2, ws/1.3, stream, gateway."`
	Reference   string `placeholder:"ID" help:"ReferenceMessageID: all messages of the chain."`
	Test        string `enum:",no,only" default:"" env:"MEZHVED_TEST" help:"What to do with messages that are marked TestMessage: no leaves them out, only leaves out all others; default: they are as any other."`
	ID          string `name:"id" help:"Any name of an exchange: the gateway's id, a MessageID, an incident."`
	Certificate string `placeholder:"SHA256" help:"Certificate of the caller."`
	Incident    string `help:"Incident."`
}

func (q *questionFlags) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"from": q.From, "to": q.To, "kind": q.Kind, "sender": q.Sender, "recipient": q.Recipient, "service": q.Service, "version": q.Version,
		"outcome": q.Outcome, "channel": q.Channel, "reference": q.Reference, "test": q.Test, "id": q.ID, "certificate": q.Certificate, "incident": q.Incident} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// aboutFlags ask by values that entries commit to. They go in the body of the
// question: an address is kept by too many.
type aboutFlags struct {
	Person string `placeholder:"FIELD=VALUE" help:"Messages about a person, in any spelling: snils=\"112-233-445 95\". It is noted in the journal, the value erasable."`
	Ground string `help:"Messages on this legal ground, in any spelling."`
	Case   string `help:"Messages for the case of this number, in any spelling."`
}

func (a *aboutFlags) given() bool { return a.Person != "" || a.Ground != "" || a.Case != "" }

// add puts what is asked by into the body of a question.
func (a *aboutFlags) add(question map[string]any) error {
	if a.Person != "" {
		field, value, ok := strings.Cut(a.Person, "=")
		if !ok || field == "" || value == "" {
			return usage(fmt.Errorf("--person %s: FIELD=VALUE is expected, such as snils=11223344595", a.Person))
		}
		question["person"] = map[string]string{"field": field, "value": value}
	}
	if a.Ground != "" {
		question["ground"] = a.Ground
	}
	if a.Case != "" {
		question["case"] = a.Case
	}
	return nil
}

type journalSearchCmd struct {
	deskFlags
	questionFlags
	aboutFlags
	Totals []string `placeholder:"GROUP" help:"Print counts instead, by day, kind, sender, service, version, outcome, channel, test."`
	Oldest bool     `help:"Oldest first."`
	Limit  int      `default:"50" help:"Entries of a page, 500 at most."`
	After  string   `help:"The page after: the value that the page before ended with."`
}

func (journalSearchCmd) Help() string {
	return `Examples:
  mezhved journal search --sender MUNI01 --recipient FNS01 --from 2026-03-01 --to 2026-04-01 --kind refused
  mezhved journal search --from 2026-03-01 --totals day,outcome --test no
  mezhved journal search --person snils="112-233-445 95" --json
  mezhved journal search --case "МСП-2026/11-000417"`
}

func (c *journalSearchCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	v := c.values()
	if len(c.Totals) > 0 {
		return c.totals(ctx, out, desk, v)
	}
	v.Set("limit", strconv.Itoa(c.Limit))
	if c.Oldest {
		v.Set("order", "oldest")
	}
	if c.After != "" {
		v.Set("after", c.After)
	}
	var found console.Found
	if !c.given() {
		err = desk.get(ctx, "/api/v1/journal/entries?"+v.Encode(), nil, &found)
	} else {
		question := map[string]any{}
		for name := range v {
			question[name] = v.Get(name)
		}
		question["limit"] = c.Limit
		if err := c.add(question); err != nil {
			return err
		}
		err = desk.get(ctx, "/api/v1/journal/search", question, &found)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, found)
	}
	if err := printEntries(out.out, found.Entries); err != nil {
		return err
	}
	fmt.Fprintf(out.out, "\n%s in all\n%s", many(found.Count, "entry", "entries"), console.Unopened(found.Unopened))
	if found.Next != "" {
		fmt.Fprintf(out.out, "next page: --after %s\n", found.Next)
	}
	return nil
}

func (c *journalSearchCmd) totals(ctx context.Context, out *stdio, desk *deskClient, v url.Values) error {
	if c.given() {
		return usage(errors.New("--totals does not go together with --person, --ground or --case"))
	}
	v.Set("by", strings.Join(c.Totals, ","))
	var t console.Totals
	if err := desk.get(ctx, "/api/v1/journal/totals?"+v.Encode(), nil, &t); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out.out, t)
	}
	head := []string{}
	for _, by := range t.By {
		head = append(head, strings.ToUpper(by))
	}
	rows := [][]string{append(head, "ENTRIES")}
	for _, one := range t.Totals {
		row := []string{}
		for _, by := range t.By {
			row = append(row, console.Visible(map[string]string{"day": one.Day, "kind": one.Kind, "sender": one.Sender, "service": one.Service, "version": one.Version, "outcome": one.Outcome, "channel": one.Channel, "test": one.Test}[by]))
		}
		rows = append(rows, append(row, strconv.FormatInt(one.Entries, 10)))
	}
	if err := table(out.out, rows); err != nil {
		return err
	}
	fmt.Fprintf(out.out, "\n%s in all\n", many(t.Count, "entry", "entries"))
	return nil
}

type journalExportCmd struct {
	deskFlags
	questionFlags
	Format string `default:"csv" enum:"csv,json" help:"csv or json."`
	Out    string `short:"o" placeholder:"FILE" help:"File to write; it appears when it is whole. Default: standard output."`
}

func (journalExportCmd) Help() string {
	return `Every entry, however many, in the order of the log. Exit code 3 says that the export broke off: what was printed is then not whole.

Examples:
  mezhved journal export --from 2026-03-01 --to 2026-04-01 -o march.csv
  mezhved journal export --sender MUNI01 --format json | jq '.entries[].kind'`
}

func (c *journalExportCmd) Run(ctx context.Context, out *stdio) error {
	desk, err := c.client("")
	if err != nil {
		return err
	}
	v := c.values()
	v.Set("format", c.Format)
	r, _, err := desk.open(ctx, "/api/v1/journal/export?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	return take(out, r, c.Out)
}

// take copies an answer to a file that appears only when it is whole, or to
// standard output.
func take(out *stdio, r io.Reader, name string) error {
	if name == "" || name == "-" {
		if _, err := io.Copy(out.out, r); err != nil {
			return unavailable(fmt.Errorf("the answer broke off, what was printed is not whole: %w", err))
		}
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".mezhved-*")
	if err != nil {
		return usage(err)
	}
	defer os.Remove(f.Name()) // not there any more after the rename
	n, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return unavailable(fmt.Errorf("the answer broke off, %s was not written: %w", name, err))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return usage(err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return usage(err)
	}
	fmt.Fprintf(out.err, "%s: %d bytes\n", name, n)
	return nil
}

type journalBundleCmd struct {
	deskFlags
	questionFlags
	Exchange string `arg:"" optional:"" help:"Any name of an exchange; or a question by flags."`
	Out      string `short:"o" required:"" placeholder:"FILE" help:"The zip to write."`
}

func (journalBundleCmd) Help() string {
	return `The bundle holds the entries, their proofs, the envelopes as received, certificates and a report in two languages. Verify it with
mezhved-audit verify FILE, on a machine without network.

Examples:
  mezhved journal bundle fbaaa8e0-e60f-11f1-b256-e3ebba651313 -o evidence.zip
  mezhved journal bundle --sender MUNI01 --kind refused --from 2026-03-01 --to 2026-03-02 -o evidence.zip`
}

func (c *journalBundleCmd) Run(ctx context.Context, out *stdio) error {
	v := c.values()
	if c.Exchange != "" {
		v.Del("test") // an exchange is taken whole
	}
	if (c.Exchange == "") == (len(v) == 0) {
		return usage(errors.New("give either the name of an exchange or a question by flags"))
	}
	if c.Exchange != "" {
		v.Set("exchange", c.Exchange)
	}
	desk, err := c.client("")
	if err != nil {
		return err
	}
	r, _, err := desk.open(ctx, "/api/v1/journal/bundle?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	return take(out, r, c.Out)
}
