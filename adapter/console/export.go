package console

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/postgres"
	"mezhved/adapter/reports/paper"
)

// exporter writes entries in one format.
type exporter interface {
	begin() error
	entry(e *Entry) error
	end(count int64) error
}

// exportStall is how long a reader of an export may take for one piece of it.
const exportStall = 2 * time.Minute

// serveExport streams every entry that a question asks for, however many, in the
// order of the log. An export that cannot be finished breaks the connection, so
// that nobody takes a part for the whole.
func (c *Console) serveExport(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := ask(r, "format")
	if err != nil {
		return err
	}
	if c.Journal == nil {
		return errElsewhere
	}
	buf := bufio.NewWriterSize(w, 64<<10)
	var out exporter
	var contentType string
	format := r.URL.Query().Get("format")
	switch format {
	case "csv":
		out, contentType = &csvExport{w: csv.NewWriter(buf)}, "text/csv; charset=utf-8; header=present"
	case "json", "":
		format = "json"
		out, contentType = &jsonExport{w: buf}, "application/json"
	default:
		return problem(http.StatusBadRequest, Text{"format: ожидается csv или json, а не %q.", "format: csv or json is expected, not %q."}, format)
	}
	what := q.reading("export")
	what.query, what.always = "format="+format+"&"+what.query, true
	if err := c.note(r.Context(), who, what); err != nil {
		return err
	}
	covered, err := c.covered(r.Context())
	if err != nil {
		return err
	}
	asked := whole(q.query)
	asked.Descending = q.Order == "newest" // else as the log has it
	control := http.NewResponseController(w)
	begun, count := false, int64(0)
	begin := func() error {
		begun = true
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Disposition", `attachment; filename="journal-`+c.Now().UTC().Format("20060102-150405")+"."+format+`"`)
		return out.begin()
	}
	err = c.Journal.Each(r.Context(), asked, func(row postgres.Row) error {
		if !begun {
			if err := begin(); err != nil {
				return err
			}
		}
		if count%500 == 0 { // the server's own limit is for calls, not for downloads
			control.SetWriteDeadline(time.Now().Add(exportStall)) // not every writer has deadlines; those without need none
		}
		count++
		e := rowEntry(&row, covered)
		return out.entry(&e)
	})
	if err == nil && !begun {
		err = begin()
	}
	if err == nil {
		err = out.end(count)
	}
	if err == nil {
		err = buf.Flush()
	}
	if err != nil && begun {
		c.Log.Warn("console: an export broke off", "entries", count, "error", err)
		panic(http.ErrAbortHandler) // the connection ends without the end of the answer
	}
	return err
}

// jsonExport is {"entries":[…],"count":n}: without its end it is no JSON.
type jsonExport struct {
	w    *bufio.Writer
	many bool
}

func (j *jsonExport) begin() error {
	_, err := j.w.WriteString(`{"entries":[`)
	return err
}

func (j *jsonExport) entry(e *Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if j.many {
		j.w.WriteByte(',')
	}
	j.many = true
	j.w.WriteByte('\n')
	_, err = j.w.Write(b) // an earlier error of the buffer stays
	return err
}

func (j *jsonExport) end(count int64) error {
	_, err := fmt.Fprintf(j.w, "\n],\"count\":%d}\n", count)
	return err
}

// csvColumns are the columns of an export, in order.
var csvColumns = []string{"index", "state", "logged", "time", "kind", "outcome", "sender", "recipient", "service", "version", "operation", "direction", "message", "messageId",
	"original", "incident", "rule", "line", "col", "attempt", "count", "deadline", "certificate", "size", "node", "schema", "target", "fields", "ground", "committed", "channel", "reference", "test",
	"dueQueued", "dueTaken", "dueStatus", "terms", "eol", "stage"}

type csvExport struct{ w *csv.Writer }

func (c *csvExport) begin() error { return c.w.Write(csvColumns) }

func (c *csvExport) entry(e *Entry) error {
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	big := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	record := []string{big(e.Index), string(e.State), at(e.Logged), at(e.Time), e.Kind, e.Outcome, e.Sender, e.Recipient, e.Service, e.Version, e.Operation, e.Direction,
		e.Message, e.MessageID, e.Original, e.Incident, e.Rule, number(e.Line), number(e.Col), number(e.Attempt), number(e.Count), at(e.Deadline), e.Certificate,
		number(e.Size), e.Node, e.Schema, big(e.Target), strings.Join(e.Fields, " "), e.Ground, strings.Join(e.Committed, " "), e.Channel, e.Reference, map[bool]string{true: "true"}[e.Test],
		at(e.DueQueued), at(e.DueTaken), at(e.DueStatus), e.Terms, at(e.EOL), e.Stage}
	for i := range record {
		record[i] = paper.Harmless(record[i])
	}
	return c.w.Write(record)
}

func (c *csvExport) end(int64) error {
	c.w.Flush()
	return c.w.Error()
}
