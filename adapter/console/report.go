package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/postgres"
	"mezhved/adapter/subject"
)

// Report answers a person: who asked about me, when, on what ground, and what was
// answered; and who has looked for me in the journal.
type Report struct {
	Field     string    `json:"field"` // whom it is about
	Value     string    `json:"value"` // as it was asked for
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	Made      time.Time `json:"made"`
	Origin    string    `json:"origin"`  // of the log
	Covered   int64     `json:"covered"` // entries under its latest checkpoint
	Inquiries []Inquiry `json:"inquiries"`
	Refused   []Attempt `json:"refused,omitempty"` // calls about the person that were refused: nobody was asked by them
	Readings  []Looked  `json:"readings"`

	Unopened *postgres.Unopened `json:"unopened,omitempty"` // what could not be looked at

	indexes []int64            // of all entries that it is made of
	opened  map[int64][]string // fields that it has opened, by entry
}

// Inquiry is one exchange in which the person stands.
type Inquiry struct {
	MessageID string    `json:"messageId"`
	Asked     time.Time `json:"asked,omitzero"` // absent when the request is no longer in the journal here
	Sender    string    `json:"sender,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Service   string    `json:"service,omitempty"`
	Version   string    `json:"version,omitempty"`
	Title     string    `json:"title,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Channel   string    `json:"channel,omitempty"`
	Test      bool      `json:"test,omitempty"`
	// Grounds are what the request says of its ground: ground, case, service-code,
	// consent; Closed are those of them that are erased or past their time.
	Grounds   []Given   `json:"grounds"`
	Closed    []string  `json:"closed,omitempty"`
	Others    int       `json:"othersConsents,omitempty"`  // consents of other people, which are left out
	Unclear   bool      `json:"consentsUnclear,omitempty"` // several people or consents, and nothing tells whose those are that are given
	Named     bool      `json:"named"`                     // the person stands in the request itself
	Delivered time.Time `json:"delivered,omitzero"`
	Answers   []Replied `json:"answers"`
	Steps     []Step    `json:"steps"` // its entries in the log
}

// Given is one value of a request's ground.
type Given struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Replied is an answer to a request.
type Replied struct {
	MessageID string    `json:"messageId"`
	Direction string    `json:"direction"` // response, rejection, status, async
	Time      time.Time `json:"time"`
	Sender    string    `json:"sender,omitempty"`
	Size      int       `json:"size,omitempty"`
	Named     bool      `json:"named"` // the person stands in it
	Delivered time.Time `json:"delivered,omitzero"`
}

// Step is an entry of the log that an inquiry is told by.
type Step struct {
	Index int64     `json:"index"`
	State State     `json:"state"`
	Kind  string    `json:"kind"`
	Time  time.Time `json:"time"`
}

// Attempt is a refused call in which the person stood.
type Attempt struct {
	Step
	Sender   string `json:"sender,omitempty"`
	Service  string `json:"service,omitempty"`
	Version  string `json:"version,omitempty"`
	Outcome  string `json:"outcome"`
	Incident string `json:"incident"`
}

// Looked is a reading of the journal by the person's value.
type Looked struct {
	Step
	Actor     string `json:"actor,omitempty"` // absent when it was erased
	Operation string `json:"operation"`
}

// reportMost is how many exchanges one report holds.
const reportMost = 500

// reportOrder is the body of the report's questions.
type reportOrder struct {
	From   string  `json:"from,omitempty"`
	To     string  `json:"to,omitempty"`
	Person *person `json:"person"`
	Lang   string  `json:"lang,omitempty"` // of the page: ru (default) or en
}

// orderOf reads a question for a report.
func orderOf(r *http.Request) (*question, string, error) {
	var order reportOrder
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 16<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil || order.Person == nil {
		return nil, "", problem(http.StatusBadRequest, Text{"Ожидается объект с person (field и value).", "An object with person (field and value) is expected."})
	}
	if !slices.Contains([]string{"", "ru", "en"}, order.Lang) {
		return nil, "", problem(http.StatusBadRequest, Text{"lang: ожидается ru или en, а не %q.", "lang: ru or en is expected, not %q."}, order.Lang)
	}
	q := &question{From: order.From, To: order.To, Person: order.Person}
	return q, order.Lang, q.check()
}

// noteReport puts into the journal that a report is made. It comes first: what the
// report then finds may have been asked for by its own maker.
func (c *Console) noteReport(ctx context.Context, who Actor, q *question) error {
	what := q.reading("report")
	what.always = true
	return c.note(ctx, who, what)
}

func (c *Console) serveReport(w http.ResponseWriter, r *http.Request, who Actor) error {
	rep, _, err := c.ordered(r, who)
	if err != nil {
		return err
	}
	return writeJSON(w, rep)
}

// ordered makes the report that a call orders, after noting that it is made.
func (c *Console) ordered(r *http.Request, who Actor) (rep *Report, lang string, err error) {
	q, lang, err := orderOf(r)
	if err != nil {
		return rep, lang, err
	}
	if err := c.noteReport(r.Context(), who, q); err != nil {
		return rep, lang, err
	}
	rep, err = c.report(r.Context(), q)
	return rep, lang, err
}

// serveReportPage gives the report as a page that needs nothing beside it: to
// print, or to send.
func (c *Console) serveReportPage(w http.ResponseWriter, r *http.Request, who Actor) error {
	rep, lang, err := c.ordered(r, who)
	if err != nil {
		return err
	}
	to := reader{lang: lang}
	if lang == "" {
		to.lang = "ru"
	}
	var b bytes.Buffer
	if err := c.pages.print[to]().Execute(&b, sheet{Lang: to.lang, Page: "report", Node: c.Gateway().Config().Node, Now: c.Now().UTC(), D: rep}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="report.html"`)
	io.WriteString(w, visibleLines(b.String()))
	return nil
}

// serveReportBundle gives the evidence for a report: the entries, their proofs, and
// the openings of what the report says. No envelopes: they name other people, too.
func (c *Console) serveReportBundle(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, _, err := orderOf(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 40*time.Second)
	defer cancel()
	rep, err := c.report(ctx, q)
	if err != nil {
		return err
	}
	if len(rep.indexes) == 0 && rep.Unopened != nil {
		return problem(http.StatusServiceUnavailable, unopenedSentence(rep.Unopened))
	}
	if len(rep.indexes) == 0 {
		return problem(http.StatusNotFound, Text{"По этому человеку записей в журнале нет.", "No entry of the log is about this person."})
	}
	if len(rep.indexes) > bundleMost {
		return problem(http.StatusBadRequest, Text{"Найдено записей: %d, а в пакет входит не больше %d. Сузьте вопрос по времени.", "%d entries are found and a bundle holds %d at most: narrow the time."}, len(rep.indexes), bundleMost)
	}
	var exhibits []audit.Exhibit
	for _, index := range rep.indexes {
		x := audit.Exhibit{Index: index}
		if fields := rep.opened[index]; len(fields) > 0 {
			open, err := c.Journal.Openings(ctx, index)
			if err != nil {
				return err
			}
			x.Openings = slices.DeleteFunc(open, func(o journal.Opening) bool { return !slices.Contains(fields, o.Field) })
		}
		exhibits = append(exhibits, x)
	}
	what := q.reading("report-bundle")
	return c.giveBundle(ctx, w, who, what, entitled("report: "+q.Person.Field, rep.Unopened), exhibits)
}

// report gathers what the journal knows of a person.
func (c *Console) report(ctx context.Context, q *question) (*Report, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	p := journal.PersonalField{Field: q.Person.Field, Value: q.Person.Value}
	head, err := c.Journal.Head(ctx)
	if err != nil {
		return nil, err
	}
	rep := &Report{Field: p.Field, Value: p.Value, From: q.query.From, To: q.query.To, Made: c.Now().UTC(), Origin: head.Origin,
		Inquiries: []Inquiry{}, Readings: []Looked{}, opened: map[int64][]string{}}
	if rep.Covered, err = c.covered(ctx); err != nil {
		return nil, err
	}
	mentions, err := c.Journal.Mentions(ctx, p, q.query.From, q.query.To)
	if err != nil {
		return nil, err
	}
	if rep.Unopened, err = c.Journal.Unopened(ctx, true, p); err != nil {
		return nil, err
	}
	named := map[string]bool{} // messages in which the person stands
	var exchanges []string     // by the MessageID of the request, in order
	told := map[string]bool{}  // of exchanges
	for i := range mentions {
		m := &mentions[i]
		rep.opened[m.Index] = append(rep.opened[m.Index], m.Fields...)
		switch m.Leaf.Kind {
		case journal.KindEvidenceRead:
			if err := c.looked(ctx, rep, &m.Row); err != nil {
				return nil, err
			}
		case journal.KindRefused:
			l := &m.Leaf
			rep.Refused = append(rep.Refused, Attempt{rep.step(&m.Row), l.Sender, l.Service, l.Version, l.Outcome, l.Incident})
		case journal.KindAccepted:
			named[m.Leaf.Message] = true
			request := m.Leaf.Original
			if request == "" {
				request = m.Leaf.MessageID
			}
			if !told[request] {
				told[request], exchanges = true, append(exchanges, request)
			}
		}
	}
	if len(exchanges) > reportMost {
		return nil, problem(http.StatusBadRequest, Text{"Обменов об этом человеке %d, а в отчёт входит не больше %d. Сузьте вопрос по времени.", "There are %d exchanges about this person and a report holds %d at most: narrow the time."}, len(exchanges), reportMost)
	}
	for _, id := range exchanges {
		rows, err := c.Journal.Trace(ctx, id)
		if err != nil {
			return nil, err
		}
		inquiry, err := c.inquiry(ctx, rep, id, rows, named)
		if err != nil {
			return nil, err
		}
		rep.Inquiries = append(rep.Inquiries, *inquiry)
	}
	slices.Sort(rep.indexes)
	rep.indexes = slices.Compact(rep.indexes)
	if len(exchanges)+len(rep.Refused) == 0 {
		if rep.Unopened != nil {
			return rep, nil
		}
		return rep, c.mistyped(q)
	}
	return rep, nil
}

// step notes that the report is made of an entry.
func (rep *Report) step(row *postgres.Row) Step {
	rep.indexes = append(rep.indexes, row.Index)
	return stepOf(row, rep.Covered)
}

func stepOf(row *postgres.Row, covered int64) Step {
	s := Step{Index: row.Index, State: Logged, Kind: string(row.Leaf.Kind), Time: row.Leaf.Time.UTC()}
	if row.Index < covered {
		s.State = Proved
	}
	return s
}

// looked adds a reading, with who it was as far as that is not erased.
func (c *Console) looked(ctx context.Context, rep *Report, row *postgres.Row) error {
	l := Looked{Step: rep.step(row), Operation: row.Leaf.Operation}
	open, err := c.Journal.Openings(ctx, row.Index)
	if err != nil {
		return err
	}
	for _, o := range open {
		if o.Field == "actor" {
			l.Actor = o.Value
			rep.opened[row.Index] = append(rep.opened[row.Index], o.Field)
		}
	}
	rep.Readings = append(rep.Readings, l)
	return nil
}

// inquiry tells an exchange by its entries.
func (c *Console) inquiry(ctx context.Context, rep *Report, id string, rows []postgres.Row, named map[string]bool) (*Inquiry, error) {
	q := &Inquiry{MessageID: id, Grounds: []Given{}, Answers: []Replied{}, Steps: []Step{}}
	request := ""
	for i := range rows {
		row := &rows[i]
		l := &row.Leaf
		if l.Kind == journal.KindEvidenceRead {
			continue
		}
		q.Steps = append(q.Steps, rep.step(row))
		answer := slices.IndexFunc(q.Answers, func(a Replied) bool { return a.MessageID == l.MessageID })
		switch {
		case l.Kind == journal.KindAccepted && l.MessageID == id:
			request = l.Message
			q.Asked, q.Sender, q.Recipient, q.Service, q.Version = l.Time.UTC(), l.Sender, l.Recipient, l.Service, l.Version
			q.Direction, q.Channel, q.Test, q.Named = l.Direction, l.Channel, l.Test, named[l.Message]
			if s := c.Gateway().Catalog().Service(l.Service, l.Version); s != nil {
				q.Title = s.Title
			}
			if err := c.grounds(ctx, rep, q, row); err != nil {
				return nil, err
			}
		case l.Kind == journal.KindAccepted:
			q.Answers = append(q.Answers, Replied{MessageID: l.MessageID, Direction: l.Direction, Time: l.Time.UTC(), Sender: l.Sender, Size: l.Size, Named: named[l.Message]})
		case l.Kind == journal.KindDelivered && l.Message == request && q.Delivered.IsZero():
			q.Delivered = l.Time.UTC()
		case l.Kind == journal.KindDelivered && answer >= 0 && q.Answers[answer].Delivered.IsZero():
			q.Answers[answer].Delivered = l.Time.UTC()
		}
	}
	return q, nil
}

// grounds opens what the request says of its ground: of its consents only those of the
// person, where the entry tells whose they are.
func (c *Console) grounds(ctx context.Context, rep *Report, q *Inquiry, row *postgres.Row) error {
	open, err := c.Journal.Openings(ctx, row.Index)
	if err != nil {
		return err
	}
	var ties map[string][]string
	several := map[string]int{} // values by field
	for _, c := range row.Leaf.Commit {
		several[journal.FieldBase(c.Field)]++
	}
	for _, o := range open {
		if o.Field == subject.Ties {
			if ties, err = subject.ParseTies(o.Value); err != nil {
				return err
			}
		}
	}
	person := slices.Clone(rep.opened[row.Index]) // the names under which he stands here
	crowd := several[subject.Consent] > 1
	for field, n := range several {
		crowd = crowd || n > 1 && !slices.Contains(subject.Grounds, field)
	}
	for _, c := range row.Leaf.Commit {
		name := c.Field
		base := journal.FieldBase(name)
		if !slices.Contains(subject.Grounds, base) {
			continue
		}
		if base == subject.Consent && crowd {
			// Told by another field than the one that he was asked by, it may be his.
			whose := slices.DeleteFunc(slices.Clone(ties[name]), func(w string) bool { return journal.FieldBase(w) != rep.Field })
			if len(whose) > 0 && !slices.ContainsFunc(whose, func(w string) bool { return slices.Contains(person, w) }) {
				q.Others++
				continue
			}
			q.Unclear = q.Unclear || len(whose) == 0
		}
		i := slices.IndexFunc(open, func(o journal.Opening) bool { return o.Field == name })
		if i < 0 {
			q.Closed = append(q.Closed, base)
			continue
		}
		q.Grounds = append(q.Grounds, Given{base, open[i].Value})
		rep.opened[row.Index] = append(rep.opened[row.Index], name)
	}
	if ties != nil {
		rep.opened[row.Index] = append(rep.opened[row.Index], subject.Ties)
	}
	slices.SortStableFunc(q.Grounds, func(a, b Given) int {
		return slices.Index(subject.Grounds, a.Field) - slices.Index(subject.Grounds, b.Field)
	})
	return nil
}

// pageReport is the report on the desk; a form that is posted, so that the value
// stands in no address.
func (c *Console) pageReport(r *http.Request, who Actor) (any, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, 8<<10)
	form := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	q := &question{From: form("from"), To: form("to"), Person: &person{Field: form("field"), Value: form("value")}, zone: c.zoneOf(readerOf(r))}
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := c.noteReport(r.Context(), who, q); err != nil {
		return nil, err
	}
	return c.report(r.Context(), q)
}

// personalFields are the names of fields that services declare, for whoever looks for
// somebody.
func (c *Console) personalFields() []string {
	out := slices.Clone(subject.Grounds)
	for _, s := range c.Gateway().Catalog().Services() {
		for _, f := range append(s.AboutRequest.Fields(), s.AboutResponse.Fields()...) {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}
