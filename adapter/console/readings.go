package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
)

// Readings are the entries that tell who has read the journal or what it keeps: of an
// exchange, about a person, or all of a time. What has no place in the log yet is not
// among them.
type Readings struct {
	Readings []Reading `json:"readings"`       // in the order of the log
	Next     string    `json:"next,omitempty"` // ask with after to read on, where all of a time were asked for

	Unopened *postgres.Unopened `json:"unopened,omitempty"` // what could not be looked at
}

// Reading is one of them.
type Reading struct {
	Looked
	Query string `json:"query,omitempty"` // what was asked or taken away, as far as it is not erased
}

// readingsOrder is the body of the question: at most one of exchange and person.
type readingsOrder struct {
	From     string  `json:"from,omitempty"`
	To       string  `json:"to,omitempty"`
	Exchange string  `json:"exchange,omitempty"` // any name of an exchange, or an incident
	Person   *person `json:"person,omitempty"`
	After    string  `json:"after,omitempty"`
	Limit    int     `json:"limit,omitempty"`
}

func (c *Console) serveReadings(w http.ResponseWriter, r *http.Request, who Actor) error {
	var order readingsOrder
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 16<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil || order.Exchange != "" && order.Person != nil {
		return problem(http.StatusBadRequest, Text{"Ожидается объект с exchange, или с person (field и value), или с одним лишь временем.", "An object with exchange, or with person (field and value), or with a time alone is expected."})
	}
	q := &question{From: order.From, To: order.To, Person: order.Person, After: order.After, Limit: order.Limit, Kind: string(journal.KindEvidenceRead), Order: "oldest"}
	if err := q.check(); err != nil {
		return err
	}
	what := q.reading("readings")
	what.always = true
	if order.Exchange != "" {
		what.query, what.fields = "exchange "+order.Exchange, []string{"exchange"}
	}
	out, err := c.readings(r.Context(), q, order.Exchange) // before it is one of them itself
	if err := c.note(r.Context(), who, what); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return writeJSON(w, out)
}

func (c *Console) readings(ctx context.Context, q *question, exchange string) (*Readings, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	out := &Readings{Readings: []Reading{}}
	covered, err := c.covered(ctx)
	if err != nil {
		return nil, err
	}
	var rows []postgres.Row
	switch {
	case exchange != "":
		rows, err = c.readingsOf(ctx, q, exchange)
	case q.Person != nil:
		p := journal.PersonalField{Field: q.Person.Field, Value: q.Person.Value}
		if rows, err = c.readingsBy(ctx, q, p); err == nil {
			out.Unopened, err = c.Journal.Unopened(ctx, true, p)
		}
	default:
		rows, out.Next, err = c.pageOf(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	for i := range rows {
		open, err := c.Journal.Openings(ctx, rows[i].Index)
		if err != nil {
			return nil, err
		}
		one := Reading{Looked: Looked{Step: stepOf(&rows[i], covered), Operation: rows[i].Leaf.Operation}}
		for _, o := range open {
			switch o.Field {
			case "actor":
				one.Actor = o.Value
			case "query":
				one.Query = o.Value
			}
		}
		out.Readings = append(out.Readings, one)
	}
	if len(rows) == 0 && out.Unopened == nil {
		return out, c.mistyped(q)
	}
	return out, nil
}

// readingsBy are the readings that were asked by a value.
func (c *Console) readingsBy(ctx context.Context, q *question, p journal.PersonalField) (rows []postgres.Row, err error) {
	mentions, err := c.Journal.Mentions(ctx, p, q.query.From, q.query.To)
	for i := range mentions {
		if mentions[i].Leaf.Kind == journal.KindEvidenceRead {
			rows = append(rows, mentions[i].Row)
		}
	}
	return rows, err
}

// readingsOf are the readings that named an exchange, by any of its names: what was asked
// stands behind a commitment, and is found by each text that names it.
func (c *Console) readingsOf(ctx context.Context, q *question, exchange string) ([]postgres.Row, error) {
	t, err := c.trace(ctx, exchange)
	if err != nil {
		return nil, err
	}
	names := []string{exchange}
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, e := range t.Events {
		if e.Kind != string(journal.KindEvidenceRead) {
			add(e.Message)
			add(e.MessageID)
			add(e.Original)
			add(e.Incident)
		}
	}
	for _, m := range t.Messages {
		add(m.TraceID)
	}
	seen := map[int64]bool{}
	var rows []postgres.Row
	for _, name := range names {
		for _, form := range readingForms {
			more, err := c.readingsBy(ctx, q, journal.PersonalField{Field: "query", Value: strings.Replace(form, "*", name, 1)})
			if err != nil {
				return nil, err
			}
			for _, row := range more {
				if !seen[row.Index] {
					seen[row.Index] = true
					rows = append(rows, row)
				}
			}
		}
	}
	slices.SortFunc(rows, func(a, b postgres.Row) int { return int(a.Index - b.Index) })
	return rows, nil
}

// readingForms are the texts by which readings name an exchange: of its trace, of its
// envelopes and receipts, of a bundle, of a question by id or incident.
var readingForms = []string{
	"*", "message *", "incident *", "exchange *", "poll of message *", "answer of message *", "ack of message *", "id=*", "incident=*", "reference=*",
}
