package console

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"mezhved/adapter/journal"
)

// Changed is what an operator has changed, as an entry of the log tells it.
type Changed struct {
	Step
	Node      string   `json:"node,omitempty"`
	Operation string   `json:"operation,omitempty"` // start or reload
	Outcome   string   `json:"outcome,omitempty"`   // added, changed, removed, first; protocol, forced: a test protocol in force, a publication without one
	Subject   string   `json:"subject,omitempty"`   // service NAME VERSION, party MNEMONIC, configuration; with protocol and forced its name and digest
	Fields    []string `json:"fields,omitempty"`    // settings
	Actor     string   `json:"actor,omitempty"`     // who, as far as the process knows
	Lines     []string `json:"lines"`               // setting: before -> after
}

// Changes are the changes of a time, newest first.
type Changes struct {
	Changes []Changed `json:"changes"`
	Count   int64     `json:"count"`
	Next    string    `json:"next,omitempty"`
}

// serveChanges tells what operators have changed, with the values before and after,
// which may name people: it is noted for everybody.
func (c *Console) serveChanges(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := ask(r)
	if err != nil {
		return err
	}
	q.Kind, q.query.Kind = string(journal.KindConfigChanged), journal.KindConfigChanged
	what := q.reading("changes")
	what.always = true
	if err := c.note(r.Context(), who, what); err != nil {
		return err
	}
	found, err := c.search(r.Context(), q)
	if err != nil {
		return err
	}
	out := Changes{Changes: []Changed{}, Count: found.Count, Next: found.Next}
	for i := range found.Entries {
		one, err := c.changed(r.Context(), &found.Entries[i])
		if err != nil {
			return err
		}
		out.Changes = append(out.Changes, one)
	}
	return writeJSON(w, out)
}

// changed opens what an entry says of a change.
func (c *Console) changed(ctx context.Context, e *Entry) (Changed, error) {
	out := Changed{Step: Step{Index: *e.Index, State: e.State, Kind: e.Kind, Time: e.Time}, Node: e.Node, Operation: e.Operation, Outcome: e.Outcome, Subject: e.Rule, Fields: e.Fields, Lines: []string{}}
	open, err := c.Journal.Openings(ctx, *e.Index)
	if err != nil {
		return out, err
	}
	for _, o := range open {
		switch o.Field {
		case "change":
			for line := range strings.SplitSeq(o.Value, "\n") {
				out.Lines = append(out.Lines, inDays(line))
			}
		case "actor":
			out.Actor = o.Value
		}
	}
	return out, nil
}

// wholeHours is a time of hours, as entries have it.
var wholeHours = regexp.MustCompile(`(: |-> )([0-9]+)h0m0s( ->|$)`)

// inDays writes times of whole days as the configuration does: 1095d, not 26280h0m0s.
func inDays(line string) string {
	for range 2 { // before and after have the arrow in common
		line = wholeHours.ReplaceAllStringFunc(line, func(found string) string {
			part := wholeHours.FindStringSubmatch(found)
			hours, err := strconv.Atoi(part[2])
			if err != nil || hours == 0 || hours%24 > 0 {
				return found
			}
			return part[1] + strconv.Itoa(hours/24) + "d" + part[3]
		})
	}
	return line
}
