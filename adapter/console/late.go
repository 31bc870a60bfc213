package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
)

// Due is a stage that a message has not reached, and by when it has to.
type Due struct {
	MessageID string    `json:"messageId"`
	Message   string    `json:"message"`
	Stage     string    `json:"stage"` // queued, taken, status, answered
	Due       time.Time `json:"due"`
	Late      bool      `json:"late,omitempty"`
	Direction string    `json:"direction"`
	Sender    string    `json:"sender"`
	Recipient string    `json:"recipient"` // who is to reach it, but for queued
	Service   string    `json:"service"`
	Version   string    `json:"version"`
	Accepted  time.Time `json:"accepted,omitzero"`
	Told      time.Time `json:"told,omitzero"`   // overdue=ever: when it was told to be late
	Index     *int64    `json:"index,omitempty"` // of the entry that told so
}

// DueList is a page of them, the earliest first; of what was ever late, the latest told.
type DueList struct {
	Terms []Due  `json:"terms"`
	Next  string `json:"next,omitempty"` // after, for the next page
}

// DueCount counts what is late and due today at one party, of one service and stage.
type DueCount struct {
	Party   string `json:"party,omitempty"` // absent: the gateway
	Service string `json:"service"`
	Stage   string `json:"stage"`
	Late    int    `json:"late"`
	Today   int    `json:"today"`
}

// DueTotals are the counters of a page's head.
type DueTotals struct {
	Late   int        `json:"late"`
	Today  int        `json:"today"` // until the end of the day in the desk's zone
	Counts []DueCount `json:"counts"`
}

// dueQuestion is what is asked of terms.
type dueQuestion struct {
	Overdue, Party, Sender, Service, Stage, From, Before, After string
	Limit                                                       int
}

var dueParams = []string{"overdue", "party", "sender", "service", "stage", "from", "before", "after", "limit"}

func askDue(values url.Values) (*dueQuestion, error) {
	for name, list := range values {
		if !slices.Contains(dueParams, name) || len(list) > 1 {
			return nil, problem(http.StatusBadRequest, Text{"У этого вопроса нет параметра %q, или он указан не один раз; есть %s.", "%q is no parameter of this question, or is given more than once; there are %s."}, clipped(name, 80), strings.Join(dueParams, ", "))
		}
		if v := list[0]; len(v) > 512 || v != storable(v) {
			return nil, problem(http.StatusBadRequest, Text{"%s: ожидается текст в UTF-8 без нулевых символов, не длиннее 512 байт.", "%s: a text in UTF-8 without zero characters, of 512 bytes at most, is expected."}, name)
		}
	}
	get := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	q := &dueQuestion{get("overdue"), get("party"), get("sender"), get("service"), get("stage"), get("from"), get("before"), get("after"), pageDefault}
	if s := get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > pageMost {
			return nil, problem(http.StatusBadRequest, Text{"limit: ожидается число от 1 до %d, а не %q.", "limit: a number from 1 to %d is expected, not %q."}, pageMost, s)
		}
		q.Limit = n
	}
	if q.Overdue != "" && q.Overdue != "now" && q.Overdue != "ever" {
		return nil, problem(http.StatusBadRequest, Text{"overdue: ожидается now или ever, а не %q.", "overdue: now or ever is expected, not %q."}, clipped(q.Overdue, 80))
	}
	if q.Stage != "" && !slices.Contains(terms.Stages, terms.Stage(q.Stage)) {
		return nil, problem(http.StatusBadRequest, Text{"stage: ожидается queued, taken, status или answered, а не %q.", "stage: queued, taken, status or answered is expected, not %q."}, clipped(q.Stage, 80))
	}
	return q, nil
}

// due answers what is open, late or due before a time.
func (c *Console) due(ctx context.Context, q *dueQuestion, zone *time.Location) (*DueList, error) {
	if q.Overdue == "ever" {
		return c.everLate(ctx, q, zone)
	}
	now := c.Now().UTC()
	ask := adapter.TermQuestion{Sender: adapter.Mnemonic(q.Sender), Recipient: adapter.Mnemonic(q.Party), Service: q.Service, Stage: terms.Stage(q.Stage), Limit: q.Limit + 1}
	var err error
	if ask.DueFrom, err = moment("from", q.From, zone); err != nil {
		return nil, err
	}
	if ask.DueBefore, err = moment("before", q.Before, zone); err != nil {
		return nil, err
	}
	if q.Overdue == "now" && (ask.DueBefore.IsZero() || ask.DueBefore.After(now)) {
		ask.DueBefore = now
	}
	if q.After != "" {
		parts := strings.Split(q.After, "_")
		if len(parts) != 3 {
			return nil, problem(http.StatusBadRequest, Text{"after: ожидается next предыдущей страницы.", "after: the next of the page before is expected."})
		}
		us, err := strconv.ParseInt(parts[0], 10, 64)
		id, err2 := uuid.Parse(parts[1])
		if err != nil || err2 != nil || !slices.Contains(terms.Stages, terms.Stage(parts[2])) {
			return nil, problem(http.StatusBadRequest, Text{"after: ожидается next предыдущей страницы.", "after: the next of the page before is expected."})
		}
		ask.AfterDue, ask.AfterMessage, ask.AfterStage = time.UnixMicro(us).UTC(), id, terms.Stage(parts[2])
	}
	list, err := c.Store.OpenTerms(ctx, ask)
	if err != nil {
		return nil, err
	}
	out := &DueList{Terms: []Due{}}
	for i := range list {
		t := &list[i]
		if i == q.Limit {
			last := &list[i-1]
			out.Next = strconv.FormatInt(last.Due.UnixMicro(), 10) + "_" + last.Message.String() + "_" + string(last.Stage)
			break
		}
		out.Terms = append(out.Terms, Due{MessageID: string(t.MessageID), Message: t.Message.String(), Stage: string(t.Stage), Due: t.Due, Late: t.Due.Before(now),
			Direction: string(t.Direction), Sender: string(t.Sender), Recipient: string(t.Recipient), Service: t.Service, Version: t.Version, Accepted: t.Accepted})
	}
	return out, nil
}

// everLate answers from the log: what was told to be late, whatever became of it.
func (c *Console) everLate(ctx context.Context, q *dueQuestion, zone *time.Location) (*DueList, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	ask := postgres.Query{Kind: journal.KindOverdue, Sender: q.Sender, Recipient: q.Party, Service: q.Service, Descending: true, Limit: q.Limit + 1}
	var err error
	if ask.From, err = moment("from", q.From, zone); err != nil {
		return nil, err
	}
	if ask.To, err = moment("before", q.Before, zone); err != nil {
		return nil, err
	}
	if q.After != "" {
		if ask.After, err = strconv.ParseInt(q.After, 10, 64); err != nil {
			return nil, problem(http.StatusBadRequest, Text{"after: ожидается next предыдущей страницы.", "after: the next of the page before is expected."})
		}
		ask.HasAfter = true
	}
	out := &DueList{Terms: []Due{}}
	for len(out.Terms) < q.Limit { // stages are not searched by: a page may need several
		rows, err := c.Journal.Search(ctx, ask)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			l := &rows[i].Leaf
			if q.Stage != "" && l.Stage != q.Stage {
				continue
			}
			if len(out.Terms) == q.Limit {
				out.Next = strconv.FormatInt(*out.Terms[q.Limit-1].Index, 10)
				return out, nil
			}
			out.Terms = append(out.Terms, Due{MessageID: l.MessageID, Message: l.Message, Stage: l.Stage, Due: l.Deadline, Late: true, Direction: l.Direction,
				Sender: l.Sender, Recipient: l.Recipient, Service: l.Service, Version: l.Version, Told: l.Time, Index: &rows[i].Index})
		}
		if len(rows) < ask.Limit {
			break
		}
		ask.After, ask.HasAfter = rows[len(rows)-1].Index, true
	}
	return out, nil
}

func (c *Console) serveDue(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := askDue(r.URL.Query())
	if err != nil {
		return err
	}
	if err := c.note(r.Context(), who, reading{act: "terms", query: r.URL.RawQuery}); err != nil {
		return err
	}
	list, err := c.due(r.Context(), q, time.UTC)
	if err != nil {
		return err
	}
	return writeJSON(w, list)
}

func (c *Console) serveDueCounts(w http.ResponseWriter, r *http.Request, _ Actor) error {
	totals, err := c.dueTotals(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, totals)
}

// dueKept is how long the counters of the heads are kept: a page asks for them every
// time it is made.
const dueKept = 10 * time.Second

// dueCache are the counters that were asked for last.
type dueCache struct {
	sync.Mutex
	at     time.Time
	totals *DueTotals
}

// dueTotals counts what is late and due today.
func (c *Console) dueTotals(ctx context.Context) (*DueTotals, error) {
	c.heads.Lock()
	defer c.heads.Unlock()
	now := c.Now().UTC()
	if age := now.Sub(c.heads.at); c.heads.totals != nil && age >= 0 && age < dueKept {
		return c.heads.totals, nil
	}
	t, err := c.countDue(ctx, now, adapter.TermQuestion{})
	if err != nil {
		return nil, err
	}
	c.heads.at, c.heads.totals = now, t
	return t, nil
}

// countDue counts what is late and due today of a question.
func (c *Console) countDue(ctx context.Context, now time.Time, of adapter.TermQuestion) (*DueTotals, error) {
	counts, err := c.Store.TermCounts(ctx, now, c.endOfDay(now), of)
	if err != nil {
		return nil, err
	}
	t := &DueTotals{Counts: []DueCount{}}
	for _, n := range counts {
		t.Late, t.Today = t.Late+n.Late, t.Today+n.Today
		t.Counts = append(t.Counts, DueCount{string(n.Party), n.Service, string(n.Stage), n.Late, n.Today})
	}
	return t, nil
}

// endOfDay is 24:00 in the desk's zone; what is due then is due today.
func (c *Console) endOfDay(now time.Time) time.Time {
	y, m, d := now.In(c.Zone).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 1000, c.Zone)
}

// latePage is what is late and due today, whole or of one body, service and stage.
type latePage struct {
	Question *dueQuestion
	Totals   *DueTotals
	Late     *DueList
	Today    *DueList
	NextPage string // of what is late
	Ever     string
}

func (c *Console) pageLate(r *http.Request, who Actor) (any, error) {
	values := r.URL.Query()
	for name, v := range values { // a browser sends every field of a form
		if len(v) == 1 && v[0] == "" {
			values.Del(name)
		}
	}
	q, err := askDue(values)
	if err != nil {
		return nil, err
	}
	if err := c.note(r.Context(), who, reading{act: "terms", query: r.URL.RawQuery}); err != nil {
		return nil, err
	}
	p := &latePage{Question: q}
	now := c.Now().UTC()
	if p.Totals, err = c.countDue(r.Context(), now, adapter.TermQuestion{Sender: adapter.Mnemonic(q.Sender), Recipient: adapter.Mnemonic(q.Party), Service: q.Service, Stage: terms.Stage(q.Stage)}); err != nil {
		return nil, err
	}
	late := *q
	late.Overdue = "now"
	if p.Late, err = c.due(r.Context(), &late, c.zoneOf(readerOf(r))); err != nil {
		return nil, err
	}
	today := *q
	today.Overdue, today.After, today.From, today.Before = "", "", now.Format(time.RFC3339Nano), c.endOfDay(now).Format(time.RFC3339Nano)
	if p.Today, err = c.due(r.Context(), &today, time.UTC); err != nil {
		return nil, err
	}
	next := url.Values{}
	for name, v := range map[string]string{"party": q.Party, "sender": q.Sender, "service": q.Service, "stage": q.Stage} {
		if v != "" {
			next.Set(name, v)
		}
	}
	ever := url.Values{"kind": {string(journal.KindOverdue)}}
	if q.Party != "" {
		ever.Set("recipient", q.Party)
	}
	if q.Service != "" {
		ever.Set("service", q.Service)
	}
	p.Ever = "/console/search?" + ever.Encode()
	if p.Late.Next != "" {
		next.Set("after", p.Late.Next)
		p.NextPage = "/console/late?" + next.Encode()
	}
	return p, nil
}
