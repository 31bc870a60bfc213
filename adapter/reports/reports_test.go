package reports

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mezhved/adapter/journal"

	"github.com/google/uuid"
)

var moscow = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		panic(err)
	}
	return zone
}()

// memo is a log in memory.
type memo struct {
	t      testing.TB
	leaves [][]byte
	delay  time.Duration // of the log behind what happens
	random *mathrand.Rand
}

func (m *memo) Tile(_ context.Context, level int, n int64, width int) (out []byte, err error) {
	if level != journal.EntriesLevel || n*journal.TileWidth+int64(width) > int64(len(m.leaves)) {
		return nil, fs.ErrNotExist
	}
	for _, leaf := range m.leaves[n*journal.TileWidth:][:width] {
		out = journal.AppendEntry(out, leaf)
	}
	return out, nil
}

func (m *memo) log() Log { return Log{Origin: "log.test", Size: int64(len(m.leaves))} }

// tell puts events into the log.
func (m *memo) tell(events ...journal.Event) {
	m.t.Helper()
	for _, e := range events {
		leaf, _, err := journal.NewLeaf(e, journal.Drawn(rand.Reader))
		if err != nil {
			m.t.Fatal(err)
		}
		leaf.Logged, leaf.Prev = e.Time.Add(m.delay), journal.NoEntry
		m.leaves = append(m.leaves, leaf.Append(nil))
	}
}

func (m *memo) report(q Question) *Report {
	m.t.Helper()
	r, err := Make(context.Background(), q, m, m.log(), nil, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// request is an exchange of a test, which tells what happens to it.
type request struct {
	m                *memo
	id, reply        string
	sender, provider string
	service          string
	test             bool
}

func (m *memo) uuid() string {
	if m.random == nil {
		m.random = mathrand.New(mathrand.NewPCG(1, 2))
	}
	var b [16]byte
	for i := range b {
		b[i] = byte(m.random.Uint32())
	}
	return uuid.UUID(b).String()
}

func (m *memo) request(sender, provider, service string, at time.Time, term time.Duration) *request {
	r := &request{m: m, id: m.uuid(), reply: m.uuid(), sender: sender, provider: provider, service: service}
	r.accepted(at, term)
	return r
}

func (r *request) accepted(at time.Time, term time.Duration) {
	e := r.event(journal.KindAccepted, at)
	e.Operation, e.Outcome, e.Test = "SendRequest", "ok", r.test
	if term > 0 {
		e.Deadline = at.Add(term)
	}
	r.m.tell(e)
}

func (r *request) event(kind journal.Kind, at time.Time) journal.Event {
	return journal.Event{Kind: kind, Time: at, MessageID: r.id, Message: r.id, Direction: "request", Sender: r.sender, Recipient: r.provider, Service: r.service, Version: "1.0.0", Outcome: "ok", Test: r.test && kind != journal.KindAnswered}
}

func (r *request) step(kind journal.Kind, at time.Time) { r.m.tell(r.event(kind, at)) }

func (r *request) answered(direction string, at time.Time) {
	operation := "SendResponse"
	if direction == "async" {
		operation = ""
	}
	r.m.tell(journal.Event{Kind: journal.KindAccepted, Time: at, MessageID: r.reply, Message: r.reply, Original: r.id, Operation: operation, Direction: direction,
		Sender: r.provider, Recipient: r.sender, Service: r.service, Version: "1.0.0", Outcome: "ok", Test: r.test})
	if direction != "status" {
		e := r.event(journal.KindAnswered, at)
		e.Outcome = direction
		r.m.tell(e)
	}
}

// marked is a status with a code of the provider's own.
func (r *request) marked(code string, at time.Time) {
	r.m.tell(journal.Event{Kind: journal.KindAccepted, Time: at, MessageID: r.m.uuid(), Message: r.id, Original: r.id, Operation: "SendResponse", Direction: "status", Rule: "file-timestamp status." + code,
		Sender: r.provider, Recipient: r.sender, Service: r.service, Version: "1.0.0", Outcome: "ok", Test: r.test})
}

func (m *memo) refused(sender, provider, service, operation, outcome, rule string, at time.Time, count int) {
	m.tell(journal.Event{Kind: journal.KindRefused, Time: at, Sender: sender, Recipient: provider, Service: service, Version: "1.0.0", Operation: operation, Outcome: outcome, Rule: rule, Count: count})
}

// cells reads values of a row by the names of their columns.
func cells(t *testing.T, table *Table, row []string, names ...string) (out []string) {
	t.Helper()
	if table == nil {
		t.Fatal("there is no such table")
	}
	for _, r := range table.Rows {
		same := true
		for i, text := range row {
			same = same && r[i].text == text
		}
		if same {
			for _, name := range names {
				c := table.Column(name)
				out = append(out, table.Plain(c, r[c]))
			}
			return out
		}
	}
	t.Fatalf("%s has no row %q", table.Name, row)
	return nil
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, moscow)
	if err != nil {
		panic(err)
	}
	return t
}

func asked(kind Kind, period string) Question {
	p, err := Named(period, moscow)
	if err != nil {
		panic(err)
	}
	return Question{Kind: kind, Name: period, Period: p, Zone: moscow}
}

// A month in which one request is answered in time, one late, one not at all, one
// before the month and one after it.
func story(t testing.TB) *memo {
	m := &memo{t: t, delay: 100 * time.Millisecond}
	const wd = 24 * time.Hour
	before := m.request("MUNI", "TAX", "income", at("2026-10-30 12:00"), 5*wd) // due on 4 November
	early := m.request("MUNI", "TAX", "income", at("2026-10-01 12:00"), wd)    // late in October, and answered in November
	good := m.request("MUNI", "TAX", "income", at("2026-11-02 10:00"), 2*wd)
	good.step(journal.KindQueued, at("2026-11-02 10:01"))
	good.step(journal.KindDelivered, at("2026-11-02 10:11"))
	good.marked("10", at("2026-11-02 11:00"))
	before.answered("response", at("2026-11-03 12:00"))
	early.answered("response", at("2026-11-03 12:01"))
	good.answered("response", at("2026-11-03 10:00"))
	late := m.request("MUNI", "TAX", "income", at("2026-11-05 00:00"), wd)
	late.step(journal.KindQueued, at("2026-11-05 00:01"))
	late.step(journal.KindDelivered, at("2026-11-05 00:02"))
	late.step(journal.KindReturned, at("2026-11-05 02:02"))
	late.answered("rejection", at("2026-11-08 00:00"))
	m.refused("MUNI", "TAX", "income", "SendRequest", "InvalidContent", "cvc-pattern-valid", at("2026-11-09 09:00"), 0)
	m.refused("TAX", "MUNI", "income", "SendResponse", "InvalidContent", "cvc-type.3.1.3", at("2026-11-09 09:01"), 0)
	m.refused("MUNI", "TAX", "income", "SendRequest", "DestinationOverflow", "overflow", at("2026-11-09 09:02"), 0)
	m.refused("MUNI", "", "", "", "SMEVFailure", "rate", at("2026-11-09 09:03"), 40)
	m.refused("MUNI", "TAX", "income", "SendRequest", "SMEVFailure", "failure", at("2026-11-09 09:04"), 0)
	m.refused("MUNI", "TAX", "income", "SendRequest", "SMEVFailure", "signature.revocation-unknown", at("2026-11-09 09:05"), 0)
	m.request("CITY", "LAND", "plot", at("2026-11-28 12:00"), wd) // late, and open
	marked := m.request("CITY", "LAND", "plot", at("2026-11-30 12:00"), 5*wd)
	marked.marked("10", at("2026-11-30 12:10"))
	marked.marked("20", at("2026-11-30 12:20"))
	lost := m.request("CITY", "LAND", "plot", at("2026-11-30 13:00"), 5*wd)
	lost.step(journal.KindExpired, at("2026-11-30 14:00"))
	(&request{m: m, id: m.uuid(), sender: "MUNI", provider: "TAX", service: "income", test: true}).accepted(at("2026-11-30 15:00"), wd)
	m.request("CITY", "LAND", "plot", at("2026-12-01 00:00"), wd)
	return m
}

func TestWhatAMonthWas(t *testing.T) {
	m := story(t)
	services := m.report(asked(Service, "2026-11"))
	expect(t, "income", cells(t, services.Table("services"), []string{"income", "1.0.0"}, "accepted", "answered", "rejected", "lost", "open", "openLate", "due", "late", "inTime", "refused"),
		"2", "3", "1", "0", "0", "0", "3", "1", "66.67", "5")
	expect(t, "its course", cells(t, services.Table("courses"), []string{"income", "1.0.0"}, "returned", "statuses", "broadcasts"), "1", "1", "0")
	expect(t, "its stages", cells(t, services.Table("courses"), []string{"income", "1.0.0"}, "queuedMedian", "takenP95", "statusMedian", "workedMedian"),
		"60.159", "602.111", "3604.479", "85983.231") // the upper ends of the buckets of 60, 600, 3600 and 85740 seconds
	expect(t, "plot", cells(t, services.Table("services"), []string{"plot", "1.0.0"}, "accepted", "answered", "lost", "open", "openLate", "dueToday", "forecastLate", "due", "late", "inTime"),
		"3", "0", "1", "2", "1", "0", "1", "1", "1", "0.00")
	expect(t, "all", cells(t, services.Table("services"), []string{"", ""}, "accepted", "open", "due", "late", "inTime"), "5", "2", "4", "2", "50.00")
	days := services.Table("days")
	if len(days.Rows) != 30 {
		t.Errorf("November has %d days", len(days.Rows))
	}
	expect(t, "1 November", cells(t, days, []string{"2026-11-01"}, "in", "out", "open"), "0", "0", "2")
	expect(t, "3 November", cells(t, days, []string{"2026-11-03"}, "in", "out", "open", "late"), "0", "3", "0", "0")
	expect(t, "6 November", cells(t, days, []string{"2026-11-06"}, "late"), "1")
	expect(t, "9 November", cells(t, days, []string{"2026-11-09"}, "refused"), "45")
	expect(t, "30 November", cells(t, days, []string{"2026-11-30"}, "in", "out", "open"), "2", "1", "2")
	expect(t, "Monday, 10 o'clock", cells(t, services.Table("week"), []string{"Mon"}, "10", "12", "13"), "1", "1", "1")
	expect(t, "too often", cells(t, services.Table("refusals"), []string{"SMEVFailure", "rate"}, "whose", "count", "share"), "sender", "40", "88.89")
	expect(t, "no list", cells(t, services.Table("refusals"), []string{"SMEVFailure", "signature.revocation-unknown"}, "whose"), "authority")

	quality := m.report(asked(Quality, "2026-11"))
	expect(t, "quality", cells(t, quality.Table("quality"), []string{"income"}, "calls", "bySender", "byProvider", "byBus", "byAuthority", "faults", "faultsBudget", "inTimeBudget", "kept"),
		"12", "1", "2", "1", "1", "25.00", "2500.00", "3333.33", "no")

	lateness := m.report(asked(Lateness, "2026-11"))
	expect(t, "who was late", cells(t, lateness.Table("lateness"), []string{"income", "TAX"}, "due", "answeredInTime", "lateAnswered", "lateOpen"), "3", "2", "1", "0")
	expect(t, "by how much", cells(t, lateness.Table("bands"), []string{"3d"}, "late", "share"), "2", "100.00")
	latest := lateness.Table("latest")
	if len(latest.Rows) != 2 || latest.Rows[0][1].text != "income" || latest.Plain(7, latest.Rows[0][7]) != "2026-11-08T00:00:00.000+03:00" || latest.Plain(7, latest.Rows[1][7]) != "" || latest.Plain(8, latest.Rows[1][8]) != "129600.000" {
		t.Errorf("the latest are %v", latest.Rows)
	}

	parties := m.report(asked(Party, "2026-11"))
	expect(t, "the tax body", cells(t, parties.Table("providers"), []string{"TAX"}, "accepted", "answered", "late"), "2", "3", "1")
	expect(t, "a mark that is past", cells(t, parties.Table("marks"), []string{"LAND", "10"}, "statuses", "open"), "1", "0")
	expect(t, "a mark of an open request", cells(t, parties.Table("marks"), []string{"LAND", "20"}, "statuses", "open"), "1", "1")
	expect(t, "who asks it", cells(t, parties.Table("senders"), []string{"MUNI"}, "accepted", "refused", "refusedBySender"), "2", "5", "1")
}

// What came after a period, and was logged after it, changes nothing in its report;
// what was logged late and not too late does.
func TestAPastPeriodStaysAsItWas(t *testing.T) {
	m := story(t)
	q := asked(Service, "2026-10")
	before, err := m.report(q).JSON()
	if err != nil {
		t.Fatal(err)
	}
	size := m.log()
	m.delay = 0
	for i := range 600 {
		m.request("MUNI", "TAX", "income", at("2026-12-01 00:00").Add(time.Duration(i)*time.Minute), time.Hour).answered("response", at("2026-12-02 00:00").Add(time.Duration(i)*time.Minute))
	}
	r, err := Make(context.Background(), q, m, Log{Origin: "log.test", Size: m.log().Size}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Log = size
	if after, err := r.JSON(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the report of October was\n%s\nand is\n%s", before, after)
	}

	m = &memo{t: t}
	m.delay = 20 * time.Hour
	m.request("MUNI", "TAX", "income", at("2026-10-31 23:00"), time.Hour)
	expect(t, "logged 20 hours later", cells(t, m.report(q).Table("days"), []string{"2026-10-31"}, "in"), "1")
	m = &memo{t: t}
	m.delay = 30 * time.Hour // belongs to 24 hours before it was logged: 1 November
	m.request("MUNI", "TAX", "income", at("2026-10-31 23:00"), time.Hour)
	expect(t, "logged 30 hours later", cells(t, m.report(q).Table("days"), []string{"2026-10-31"}, "in"), "0")
	expect(t, "the month after", cells(t, m.report(asked(Service, "2026-11")).Table("days"), []string{"2026-11-01"}, "in"), "1")
}

// As of a moment, what is due today and what is foretold.
func TestWhatWillBeLate(t *testing.T) {
	m := &memo{t: t}
	q := asked(Party, "2026-11")
	q.AsOf = at("2026-11-10 12:00")
	for i := range 7 { // one a day is answered
		r := m.request("MUNI", "TAX", "income", at("2026-11-03 09:00").Add(time.Duration(i)*24*time.Hour), time.Hour)
		r.answered("response", at("2026-11-03 09:30").Add(time.Duration(i)*24*time.Hour+4*time.Hour))
	}
	m.request("MUNI", "TAX", "income", at("2026-11-10 10:00"), time.Hour)    // late now
	m.request("MUNI", "TAX", "income", at("2026-11-10 10:01"), 13*time.Hour) // due today; worked off as the second
	m.request("MUNI", "TAX", "income", at("2026-11-10 10:02"), 80*time.Hour) // as the third, after three days
	m.request("MUNI", "TAX", "income", at("2026-11-10 10:03"), 80*time.Hour) // as the fourth
	m.request("MUNI", "TAX", "income", at("2026-11-10 10:04"), 0)
	m.request("MUNI", "TAX", "income", at("2026-11-10 12:00"), time.Hour) // not yet
	expect(t, "the load", cells(t, m.report(q).Table("providers"), []string{"TAX"}, "open", "openLate", "dueToday", "forecastLate", "perDay"), "5", "1", "1", "2", "1")
	q.Tests = Only
	if r := m.report(q); len(r.Table("providers").Rows) != 0 {
		t.Error("what is no test is shown as one")
	}
}

// The stages before the answer have terms too, and some terms count from the delivery.
func TestTermsOfStages(t *testing.T) {
	m := &memo{t: t}
	tell := func(at time.Time, change func(*journal.Event)) *request {
		r := &request{m: m, id: m.uuid(), reply: m.uuid(), sender: "MUNI", provider: "TAX", service: "income"}
		e := r.event(journal.KindAccepted, at)
		change(&e)
		m.tell(e)
		return r
	}
	// Taken late, its status in time by a term that counts from then; the answer too.
	late := tell(at("2026-11-02 09:00"), func(e *journal.Event) {
		e.DueQueued, e.DueTaken, e.Terms = at("2026-11-02 09:05"), at("2026-11-02 10:00"), "status 1h, answered 1wd, +03:00"
	})
	late.step(journal.KindQueued, at("2026-11-02 09:01"))
	late.step(journal.KindDelivered, at("2026-11-02 11:00"))
	late.answered("status", at("2026-11-02 11:59"))
	late.answered("response", at("2026-11-03 23:00")) // 3 November is a working day, it ends at 24:00
	// Nothing of it happens.
	tell(at("2026-11-05 09:00"), func(e *journal.Event) {
		e.DueQueued, e.DueTaken, e.DueStatus, e.Deadline = at("2026-11-05 09:05"), at("2026-11-05 10:00"), at("2026-11-05 12:00"), at("2026-11-07 12:00")
	})
	// Its answer is its first word; 4 November is a holiday.
	quick := tell(at("2026-11-03 09:00"), func(e *journal.Event) { e.DueStatus, e.Terms = at("2026-11-03 10:00"), "answered 1wd, +03:00" })
	quick.step(journal.KindDelivered, at("2026-11-03 09:10"))
	quick.answered("response", at("2026-11-05 12:00"))
	// Its life ends before anybody takes it: it kept none of the terms that had not come.
	lost := tell(at("2026-11-09 09:00"), func(e *journal.Event) {
		e.DueTaken, e.DueStatus, e.Deadline = at("2026-11-09 18:00"), at("2026-11-10 18:00"), at("2026-11-12 00:00")
	})
	lost.step(journal.KindExpired, at("2026-11-09 12:00"))
	r := m.report(asked(Lateness, "2026-11")).Table("stageTerms")
	expect(t, "queued", cells(t, r, []string{"queued"}, "due", "late", "inTime"), "2", "1", "50.00")
	expect(t, "taken", cells(t, r, []string{"taken"}, "due", "late", "inTime"), "2", "2", "0.00")
	expect(t, "status", cells(t, r, []string{"status"}, "due", "late"), "3", "2")
	expect(t, "answered", cells(t, r, []string{"answered"}, "due", "late"), "3", "1")
	m.tell(journal.Event{Kind: journal.KindAccepted, Time: at("2026-11-06 09:00"), MessageID: late.id, Direction: "request", Terms: "nonsense"})
	late.step(journal.KindDelivered, at("2026-11-06 10:00"))
	if _, err := Make(context.Background(), asked(Lateness, "2026-11"), m, m.log(), nil, nil); err == nil || !strings.Contains(err.Error(), "entry 1") {
		t.Errorf("terms that cannot be read: %v", err)
	}
}

func TestRating(t *testing.T) {
	m := &memo{t: t}
	start := at("2026-07-01 09:00")
	for i := range 40 {
		from := start.Add(time.Duration(i) * time.Hour)
		m.request("MUNI", "QUICK", "a", from, 10*time.Hour).answered("response", from.Add(time.Hour))
		m.request("MUNI", "TWIN", "a", from, 10*time.Hour).answered("response", from.Add(time.Hour))
		answer := 5 * time.Hour
		if i%4 == 0 {
			answer = 11 * time.Hour
		}
		m.request("MUNI", "SLOW", "a", from, 10*time.Hour).answered("response", from.Add(answer))
		if i < 9 {
			m.request("MUNI", "FEW", "a", from, 10*time.Hour).answered("response", from.Add(time.Hour))
		}
	}
	r := m.report(asked(Rating, "2026-Q3"))
	expect(t, "the best", cells(t, r.Table("rating"), nil, "place", "provider", "mark", "T", "K", "R"), "1", "QUICK", "99.00", "100.00", "100.00", "90.00")
	var got []string
	for _, row := range r.Table("rating").Rows {
		got = append(got, fmt.Sprint(row[0].n, " ", row[1].text, " ", row[2].n))
	}
	expect(t, "the order", got, "1 QUICK 9900", "1 TWIN 9900", "3 SLOW 7625", "0 FEW 0")
	if r.Formula != RatingFormula {
		t.Error("the formula is not in the report")
	}
}

func TestPeriods(t *testing.T) {
	for name, want := range map[string]string{
		"2026": "2026-01-01 2027-01-01", "2026-Q1": "2026-01-01 2026-04-01", "2026-Q4": "2026-10-01 2027-01-01", "2026-11": "2026-11-01 2026-12-01", "2024-02": "2024-02-01 2024-03-01", "2026-12-31": "2026-12-31 2027-01-01",
	} {
		p, err := Named(name, moscow)
		if got := p.From.Format(time.DateOnly) + " " + p.To.Format(time.DateOnly); err != nil || got != want || p.From.Hour() != 0 || p.From.Location() != moscow {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", "26", "2026-13", "2026-Q5", "2026-1", "2026-02-30", "november"} {
		if p, err := Named(name, moscow); err == nil {
			t.Errorf("%q is %v", name, p)
		}
	}
	now := at("2026-11-29 12:00")
	for _, c := range []struct{ period, from, to, want string }{
		{"", "", "", "2026-11-01 00:00 2026-11-29 12:00"}, {"2026-Q3", "", "", "2026-07-01 00:00 2026-10-01 00:00"}, {"", "2026-11-05", "", "2026-11-05 00:00 2026-11-29 12:00"},
		{"", "2026-Q1", "2026-Q3", "2026-01-01 00:00 2026-07-01 00:00"}, {"", "", "2026-10-01", "2026-09-01 00:00 2026-10-01 00:00"}, {"", "2026-11-05T10:00:00Z", "2026-11-06", "2026-11-05 13:00 2026-11-06 00:00"},
		{"", "2026-11-06", "2026-11-06", ""}, {"", "2020", "2026", ""}, {"2026", "2026", "", ""}, {"", "soon", "", ""}, {"", "", "soon", ""},
	} {
		p, err := Bounds(c.period, c.from, c.to, now, moscow)
		got := ""
		if err == nil {
			got = p.From.Format("2006-01-02 15:04") + " " + p.To.Format("2006-01-02 15:04")
		}
		if got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	// A day on which the clocks are put forward has a row of its own.
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Named("2026-03", berlin)
	if err != nil {
		t.Fatal(err)
	}
	m := &memo{t: t}
	m.request("A", "B", "s", time.Date(2026, 3, 30, 0, 30, 0, 0, berlin), 0)
	days := m.report(Question{Kind: Service, Period: p, Zone: berlin}).Table("days")
	expect(t, "the day after", cells(t, days, []string{"2026-03-30"}, "in"), "1")
	if len(days.Rows) != 31 {
		t.Errorf("March has %d days", len(days.Rows))
	}
}

func TestQuestionsAreWrittenAndRead(t *testing.T) {
	q := asked(Quality, "2026-Q3")
	q.Service, q.Party, q.Tests, q.AsOf = "income", "TAX", With, at("2026-08-01 00:00")
	q.Target, q.Targets = Target{50, 9950}, map[string]Target{"income": {1, 10000}}
	b, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var read Question
	if err := json.Unmarshal(b, &read); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(read)
	if err != nil || !bytes.Equal(b, again) || !bytes.Contains(b, []byte(`"targets":{"income":{"faults":0.01,"inTime":100.00}}`)) {
		t.Errorf("%s was read as %s (%v)", b, again, err)
	}
	for text, ok := range map[string]bool{"1": true, "0.5": true, "99.95": true, "100": true, "100.01": false, "0.005": false, "-1": false, "": false, "1.": false, "x": false, "1e1": false} {
		if s, err := ParseShare(text); (err == nil) != ok {
			t.Errorf("%q is %v, %v", text, s, err)
		}
	}
	for what, q := range map[string]Question{
		"kind": {Kind: "all", Period: q.Period}, "empty": {Kind: Service}, "tests": {Kind: Service, Period: q.Period, Tests: "yes"},
		"as of before": {Kind: Service, Period: q.Period, AsOf: q.Period.From}, "as of after": {Kind: Service, Period: q.Period, AsOf: q.Period.To.Add(1)},
	} {
		if _, err := NewFold(q); err == nil {
			t.Errorf("%s: it was taken", what)
		}
	}
}

// A histogram's answer is never below the exact one, and never above it by more than
// one part in 128.
func FuzzHistogram(f *testing.F) {
	f.Add(uint64(1), 10, int64(50))
	f.Add(uint64(2), 1000, int64(95))
	f.Fuzz(func(t *testing.T, seed uint64, n int, hundredths int64) {
		n, hundredths = 1+(n&1023), 1+(hundredths&0x7fffffff)%100
		r := mathrand.New(mathrand.NewPCG(seed, 3))
		var all, a, b Histogram
		var values []int64
		for range n {
			v := int64(r.Uint64() >> (20 + r.IntN(44)))
			values = append(values, v)
			all.Add(v)
			if r.IntN(2) == 0 {
				a.Add(v)
			} else {
				b.Add(v)
			}
		}
		slices.Sort(values)
		want := values[max((int64(n)*hundredths+99)/100, 1)-1]
		got, ok := all.Quantile(hundredths)
		if !ok || got < want || got-want > want/128 || want < exact && got != want {
			t.Fatalf("%d hundredths of %d values: %d, exactly %d", hundredths, n, got, want)
		}
		a.Merge(&b)
		if merged, _ := a.Quantile(hundredths); merged != got || a.Count() != int64(n) {
			t.Fatalf("merged %d, whole %d", merged, got)
		}
	})
}

// Every figure of a random log is what a simple count of its events gives.
func TestFiguresAreThoseOfASimpleCount(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(7, 7))
	m := &memo{t: t, random: r}
	type fate struct{ accepted, due, ended time.Time }
	var fates []fate
	start, month := at("2026-10-15 00:00"), asked(Service, "2026-11")
	type told struct {
		at time.Time
		do func(time.Time)
	}
	var all []told
	for range 3000 {
		x := fate{accepted: start.Add(time.Duration(r.Int64N(int64(60 * 24 * time.Hour))))}
		term := time.Duration(r.IntN(200)) * time.Hour
		req := &request{m: m, id: m.uuid(), reply: m.uuid(), sender: "MUNI", provider: "TAX", service: "income"}
		all = append(all, told{x.accepted, func(at time.Time) { req.accepted(at, term) }})
		if term > 0 {
			x.due = x.accepted.Add(term)
		}
		if r.IntN(5) > 0 {
			x.ended = x.accepted.Add(time.Duration(r.Int64N(int64(300 * time.Hour))))
			all = append(all, told{x.ended, func(at time.Time) { req.answered("response", at) }})
		}
		fates = append(fates, x)
	}
	slices.SortStableFunc(all, func(a, b told) int { return a.at.Compare(b.at) })
	for _, one := range all {
		one.do(one.at)
	}
	from, to := month.Period.From, month.Period.To
	within := func(moment time.Time) bool { return !moment.Before(from) && moment.Before(to) }
	var in, out, open, due, late, openLate int
	for _, x := range fates {
		if within(x.accepted) {
			in++
		}
		ended := !x.ended.IsZero() && x.ended.Before(to)
		if ended && within(x.ended) {
			out++
		}
		if x.accepted.Before(to) && !ended {
			open++
			if !x.due.IsZero() && x.due.Before(to) {
				openLate++
			}
		}
		if !x.due.IsZero() && within(x.due) {
			due++
			if !ended || x.ended.After(x.due) {
				late++
			}
		}
	}
	rep := m.report(month)
	expect(t, "the month", cells(t, rep.Table("services"), []string{"income", "1.0.0"}, "accepted", "answered", "open", "openLate", "due", "late"),
		fmt.Sprint(in), fmt.Sprint(out), fmt.Sprint(open), fmt.Sprint(openLate), fmt.Sprint(due), fmt.Sprint(late))
	sum := func(name string) (n int64) {
		days := rep.Table("days")
		for _, row := range days.Rows {
			n += row[days.Column(name)].n
		}
		return n
	}
	if sum("in") != int64(in) || sum("out") != int64(out) || sum("late") != int64(late) {
		t.Errorf("the days have %d, %d and %d, the month %d, %d and %d", sum("in"), sum("out"), sum("late"), in, out, late)
	}
	days := rep.Table("days")
	if last := days.Rows[len(days.Rows)-1][days.Column("open")].n; last != int64(open) {
		t.Errorf("%d are open on the last day, %d at the end", last, open)
	}
}

// What is closed is forgotten: a fold holds what is open.
func TestAFoldForgetsWhatIsClosed(t *testing.T) {
	f, err := NewFold(asked(Service, "2026-11"))
	if err != nil {
		t.Fatal(err)
	}
	m := &memo{t: t}
	for i := range 5000 {
		from := at("2026-11-02 00:00").Add(time.Duration(i) * time.Minute)
		m.request("MUNI", "TAX", "income", from, time.Hour).answered("response", from.Add(30*time.Second))
	}
	for _, leaf := range m.leaves {
		if _, err := f.Add(leaf); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.open) != 0 || len(f.records) != 1 || len(f.cells) != 1 {
		t.Errorf("%d open, %d records, %d cells", len(f.open), len(f.records), len(f.cells))
	}
}

// What a fold holds is asked for, and where there is no room there is no report.
func TestThereIsRoomOrNoReport(t *testing.T) {
	m := &memo{t: t}
	for i := range 20_000 {
		m.request("MUNI", "TAX", "income", at("2026-11-02 00:00").Add(time.Duration(i)*time.Second), time.Hour)
	}
	most, full := 0, errors.New("full")
	if _, err := Make(context.Background(), asked(Service, "2026-11"), m, m.log(), nil, func(n int) error { most = n; return nil }); err != nil || most < 2<<20 {
		t.Errorf("%d bytes, %v", most, err)
	}
	if _, err := Make(context.Background(), asked(Service, "2026-11"), m, m.log(), nil, func(n int) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestABrokenLogIsNoReport(t *testing.T) {
	m := story(t)
	m.leaves[3] = []byte(strings.Replace(string(m.leaves[3]), `"kind":"`, `"kind":"x`, 1))
	if _, err := Make(context.Background(), asked(Service, "2026-11"), m, m.log(), nil, nil); err == nil || !strings.Contains(err.Error(), "entry 3") {
		t.Errorf("%v", err)
	}
	if _, err := Make(context.Background(), asked(Service, "2026-11"), m, Log{Size: m.log().Size + 1}, nil, nil); err == nil || !strings.Contains(err.Error(), "entries 0 to ") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Make(ctx, asked(Service, "2026-11"), m, Log{Size: 0}, nil, nil); err == nil {
		t.Error("a report was made although nobody waits for it")
	}
}

// BenchmarkFold folds a month of a log of a million entries: requests of 200 bodies,
// with their steps, of which a tenth stays open.
func BenchmarkFold(b *testing.B) {
	const entries = 1_000_000
	m := &memo{t: b}
	r := mathrand.New(mathrand.NewPCG(5, 5))
	type open struct {
		*request
		step int
	}
	var live []open
	now := at("2026-11-01 00:00")
	for len(m.leaves) < entries {
		now = now.Add(2500 * time.Millisecond)
		if len(live) < 100 || r.IntN(6) == 0 {
			live = append(live, open{m.request(fmt.Sprintf("MUNI%03d", r.IntN(200)), fmt.Sprintf("FED%02d", r.IntN(20)), fmt.Sprintf("service-%d", r.IntN(30)), now, 120*time.Hour), 0})
			continue
		}
		i := r.IntN(len(live))
		if x := &live[i]; x.step < 4 {
			x.request.step([]journal.Kind{journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindAcknowledged}[x.step], now)
			x.step++
		} else {
			if r.IntN(10) > 0 {
				x.answered("response", now)
			}
			live = slices.Delete(live, i, i+1)
		}
	}
	for _, kind := range Kinds {
		b.Run(string(kind), func(b *testing.B) {
			before := used(b)
			for b.Loop() {
				m.t = b
				m.report(asked(kind, "2026-11"))
			}
			b.ReportMetric((used(b)-before).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(len(m.leaves))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// used is the processor time of this process: a fairer figure than the clock's on a
// machine that does other things too.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
