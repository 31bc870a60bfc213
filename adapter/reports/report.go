package reports

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"
)

// Log names what a report was made of: a log, and how much of it.
type Log struct {
	Origin string       `json:"origin"`
	Size   int64        `json:"size"` // entries
	Root   journal.Hash `json:"root"` // under which they stand
}

// Report is the answer to a question.
type Report struct {
	Question Question
	Log      Log
	Formula  string // of a rating
	Tables   []*Table
}

// JSON is the report for programs, and what two who have made the same report compare:
// a line for each row of a table.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.Marshal(struct {
		Question Question `json:"question"`
		Log      Log      `json:"log"`
		Formula  string   `json:"formula,omitempty"`
	}{r.Question, r.Log, r.Formula})
	if err != nil {
		return nil, err
	}
	b = append(b[:len(b)-1], ",\n\"tables\":["...)
	for i, t := range r.Tables {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendJSON(b)
	}
	return append(b, "]}\n"...), nil
}

// Table is a part of the report, nil when it has none of this name.
func (r *Report) Table(name string) *Table {
	for _, t := range r.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Report ends the fold. It can be called once.
func (f *Fold) Report(log Log) (*Report, error) {
	if err := f.close(); err != nil {
		return nil, err
	}
	r := &Report{Question: f.q, Log: log}
	switch f.q.Kind {
	case Service:
		keys, by := []string{"service", "version"}, func(p parties) []uint32 { return []uint32{p.service, p.version} }
		r.Tables = []*Table{f.load("services", keys, by), f.daily(), f.stages(), f.course("courses", keys, by), f.week(), f.reasons()}
	case Party:
		keys, by := []string{"provider"}, func(p parties) []uint32 { return []uint32{p.provider} }
		r.Tables = []*Table{f.load("providers", keys, by), f.senders(), f.markTable(), f.daily(), f.stages(), f.course("courses", keys, by), f.week()}
	case Quality:
		r.Tables = []*Table{f.quality(), f.reasons(), f.daily()}
	case Lateness:
		r.Tables = []*Table{f.lateness(), f.stageTerms(), f.lateBands(), f.daily(), f.latest()}
	case Rating:
		r.Formula = RatingFormula
		r.Tables = []*Table{f.rating()}
	}
	for _, t := range r.Tables {
		t.zone = f.q.Zone
	}
	return r, nil
}

// close judges what is open at the end.
func (f *Fold) close() error {
	end := time.UnixMilli(f.end).In(f.q.Zone)
	today := time.Date(end.Year(), end.Month(), end.Day()+1, 0, 0, 0, 0, f.q.Zone).UnixMilli()
	f.day(f.end - 1) // so that there is a row for each day
	for i := range f.records {
		x := &f.records[i]
		if x.accepted == 0 {
			continue
		}
		c, err := f.cell(x.parties)
		if err != nil {
			return err
		}
		if err := errors.Join(f.judge(x, f.end), f.unreached(x, f.end, false)); err != nil {
			return err
		}
		c.open++
		if x.mark != 0 {
			f.mark(x.provider, x.mark).open++
		}
		switch {
		case x.due == 0:
		case x.due < f.end:
			c.openLate++
		case x.due < today:
			c.dueToday++
		}
		c.waiting = append(c.waiting, waiting{x.accepted, x.due, x.message})
	}
	return nil
}

// row is what is counted of all cells that stand in one row of a table.
type row struct {
	key []string
	cell
}

// rows puts the cells together by a key, in the order of their texts; cells that key
// gives nil for are left out.
func (f *Fold) rows(key func(parties) []uint32) (list []*row, total *row) {
	by := map[string]*row{}
	total = &row{}
	for p, c := range f.cells {
		numbers := key(p)
		if numbers == nil {
			continue
		}
		var texts []string
		for _, n := range numbers {
			texts = append(texts, f.texts[n])
		}
		name := strings.Join(texts, "\x00")
		r := by[name]
		if r == nil {
			r = &row{key: texts}
			by[name] = r
			list = append(list, r)
		}
		r.merge(c)
		total.merge(c)
	}
	slices.SortFunc(list, func(a, b *row) int { return slices.Compare(a.key, b.key) })
	return list, total
}

func (c *cell) merge(o *cell) {
	for _, pair := range [][2]*int64{
		{&c.accepted, &o.accepted}, {&c.answered, &o.answered}, {&c.rejected, &o.rejected}, {&c.lost, &o.lost}, {&c.broadcasts, &o.broadcasts},
		{&c.statuses, &o.statuses}, {&c.returned, &o.returned}, {&c.calls, &o.calls}, {&c.due, &o.due}, {&c.inTime, &o.inTime},
		{&c.lateAnswered, &o.lateAnswered}, {&c.lateNow, &o.lateNow}, {&c.reserve, &o.reserve}, {&c.recent, &o.recent},
		{&c.open, &o.open}, {&c.openLate, &o.openLate}, {&c.dueToday, &o.dueToday},
	} {
		*pair[0] += *pair[1]
	}
	for i := range c.faults {
		c.faults[i] += o.faults[i]
	}
	for i := range c.stages {
		c.stages[i].Merge(&o.stages[i])
	}
	for i := range c.stageDue {
		c.stageDue[i] += o.stageDue[i]
		c.stageLate[i] += o.stageLate[i]
	}
	c.waiting = append(c.waiting, o.waiting...)
}

// forecast is how many of the open requests that are not late yet will be, if they are
// worked off one after another, the oldest first, at the rate of the last seven days
// of the period.
func (f *Fold) forecast(c *cell) int64 {
	slices.SortFunc(c.waiting, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.accepted, b.accepted), bytes.Compare(a.message[:], b.message[:]))
	})
	late := int64(0)
	for i, w := range c.waiting {
		if w.due < f.end {
			continue // late already, or without a term
		}
		if c.recent == 0 || f.end+int64(i+1)*(f.end-f.recent)/c.recent > w.due {
			late++
		}
	}
	return late
}

func median(h *Histogram, hundredths int64) Value {
	ms, ok := h.Quantile(hundredths)
	if !ok {
		return Value{}
	}
	return numberOf(ms)
}

func columns(keys []string, rest ...Column) (out []Column) {
	for _, k := range keys {
		out = append(out, Column{k, Text})
	}
	return append(out, rest...)
}

// table makes a table of rows with their total.
func (f *Fold) table(name string, keys []string, key func(parties) []uint32, rest []Column, values func(*row) []Value) *Table {
	t := &Table{Name: name, Columns: columns(keys, rest...)}
	list, total := f.rows(key)
	for _, r := range list {
		var line []Value
		for _, k := range r.key {
			line = append(line, textOf(k))
		}
		t.Rows = append(t.Rows, append(line, values(r)...))
	}
	if len(list) > 1 {
		line := make([]Value, len(keys))
		t.Rows, t.Total = append(t.Rows, append(line, values(total)...)), true
	}
	return t
}

// load is how much there is to do, and how fast it is done.
func (f *Fold) load(name string, keys []string, key func(parties) []uint32) *Table {
	return f.table(name, keys, key, []Column{
		{"accepted", Count}, {"answered", Count}, {"rejected", Count}, {"lost", Count}, {"open", Count}, {"dueToday", Count}, {"openLate", Count}, {"forecastLate", Count},
		{"due", Count}, {"late", Count}, {"inTime", Percent}, {"perDay", Count}, {"refused", Count},
	}, func(r *row) []Value {
		c := &r.cell
		days := max((f.end-f.recent)/int64(24*time.Hour/time.Millisecond), 1)
		return []Value{numberOf(c.accepted), numberOf(c.answered), numberOf(c.rejected), numberOf(c.lost), numberOf(c.open), numberOf(c.dueToday), numberOf(c.openLate), numberOf(f.forecast(c)),
			numberOf(c.due), numberOf(c.due - c.inTime), share(c.inTime, c.due), numberOf((c.recent + days/2) / days), numberOf(c.allFaults())}
	})
}

// course is how exchanges went between their beginning and their end.
func (f *Fold) course(name string, keys []string, key func(parties) []uint32) *Table {
	rest := []Column{{"statuses", Count}, {"returned", Count}, {"broadcasts", Count}}
	for _, stage := range StageNames {
		rest = append(rest, Column{stage + "Median", Duration}, Column{stage + "P95", Duration})
	}
	return f.table(name, keys, key, rest, func(r *row) []Value {
		out := []Value{numberOf(r.statuses), numberOf(r.returned), numberOf(r.broadcasts)}
		for i := range r.stages {
			out = append(out, median(&r.stages[i], 50), median(&r.stages[i], 95))
		}
		return out
	})
}

func (c *cell) allFaults() int64 { return c.faults[0] + c.faults[1] + c.faults[2] + c.faults[3] }

// senders are those who ask.
func (f *Fold) senders() *Table {
	return f.table("senders", []string{"sender"}, func(p parties) []uint32 { return []uint32{p.sender} }, []Column{
		{"accepted", Count}, {"answered", Count}, {"rejected", Count}, {"lost", Count}, {"open", Count}, {"openLate", Count}, {"late", Count}, {"inTime", Percent},
		{"refused", Count}, {"refusedBySender", Count}, {"answeredMedian", Duration}, {"answeredP95", Duration},
	}, func(r *row) []Value {
		c := &r.cell
		return []Value{numberOf(c.accepted), numberOf(c.answered), numberOf(c.rejected), numberOf(c.lost), numberOf(c.open), numberOf(c.openLate), numberOf(c.due - c.inTime), share(c.inTime, c.due),
			numberOf(c.allFaults()), numberOf(c.faults[0]), median(&c.stages[stageAnswered], 50), median(&c.stages[stageAnswered], 95)}
	})
}

// markTable are the marks of providers: how often each was given in the period, and how
// many open requests bear it last.
func (f *Fold) markTable() *Table {
	t := &Table{Name: "marks", Columns: []Column{{"provider", Text}, {"mark", Text}, {"statuses", Count}, {"open", Count}}}
	for m, c := range f.marks {
		t.Rows = append(t.Rows, []Value{textOf(f.texts[m.provider]), textOf(f.texts[m.mark]), numberOf(c.statuses), numberOf(c.open)})
	}
	slices.SortFunc(t.Rows, func(a, b []Value) int {
		return cmp.Or(cmp.Compare(a[0].text, b[0].text), cmp.Compare(len(a[1].text), len(b[1].text)), cmp.Compare(a[1].text, b[1].text))
	})
	return t
}

// daily is what came, went, was late and was refused on each day, and what was open
// at its end.
func (f *Fold) daily() *Table {
	t := &Table{Name: "days", Columns: []Column{{"day", Text}, {"in", Count}, {"out", Count}, {"open", Count}, {"late", Count}, {"refused", Count}}}
	open := int64(len(f.open))
	for _, d := range f.days {
		open += d.out - d.in
	}
	first := f.q.Period.From.In(f.q.Zone)
	for i, d := range f.days {
		open += d.in - d.out
		t.Rows = append(t.Rows, []Value{textOf(first.AddDate(0, 0, i).Format(time.DateOnly)), numberOf(d.in), numberOf(d.out), numberOf(open), numberOf(d.late), numberOf(d.refused)})
	}
	return t
}

func (f *Fold) all() *row {
	_, total := f.rows(func(parties) []uint32 { return []uint32{} })
	return total
}

// stages are how long the stages of a request take.
func (f *Fold) stages() *Table {
	t := &Table{Name: "stages", Columns: []Column{{"stage", Text}, {"count", Count}, {"median", Duration}, {"p95", Duration}, {"longest", Duration}}}
	total := f.all()
	for i, name := range StageNames {
		h := &total.stages[i]
		t.Rows = append(t.Rows, []Value{textOf(name), numberOf(h.Count()), median(h, 50), median(h, 95), median(h, 100)})
	}
	return t
}

var weekdays = [7]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// week is when requests come.
func (f *Fold) week() *Table {
	t := &Table{Name: "week", Columns: []Column{{"weekday", Text}}}
	for h := range 24 {
		t.Columns = append(t.Columns, Column{fmt.Sprintf("%02d", h), Count})
	}
	for d := range f.hours {
		line := []Value{textOf(weekdays[d])}
		for _, n := range f.hours[d] {
			line = append(line, numberOf(n))
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// reasons are why calls were refused, and whose fault it was; the most frequent first.
func (f *Fold) reasons() *Table {
	t := &Table{Name: "refusals", Columns: []Column{{"outcome", Text}, {"rule", Text}, {"whose", Text}, {"caller", Text}, {"count", Count}, {"share", Percent}}}
	all := int64(0)
	for r, n := range f.refusals {
		caller := "party"
		if r.stranger {
			caller = "stranger"
		}
		t.Rows = append(t.Rows, []Value{textOf(f.texts[r.outcome]), textOf(f.texts[r.rule]), textOf(string(r.whose)), textOf(caller), numberOf(n), {}})
		all += n
	}
	for _, line := range t.Rows {
		line[5] = share(line[4].n, all)
	}
	slices.SortFunc(t.Rows, func(a, b []Value) int {
		return cmp.Or(cmp.Compare(b[4].n, a[4].n), cmp.Compare(a[0].text, b[0].text), cmp.Compare(a[1].text, b[1].text), cmp.Compare(a[2].text, b[2].text), cmp.Compare(a[3].text, b[3].text))
	})
	return t
}

// quality holds each service against what is promised of it. The budget is how much of
// what may go wrong within the period has: 100 % is all of it.
func (f *Fold) quality() *Table {
	t := &Table{Name: "quality", Columns: columns([]string{"service"}, Column{"calls", Count}, Column{"bySender", Count}, Column{"byProvider", Count}, Column{"byBus", Count}, Column{"byAuthority", Count},
		Column{"faults", Percent}, Column{"faultsTarget", Percent}, Column{"faultsBudget", Percent}, Column{"due", Count}, Column{"late", Count}, Column{"inTime", Percent}, Column{"inTimeTarget", Percent}, Column{"inTimeBudget", Percent}, Column{"kept", Text})}
	list, _ := f.rows(func(p parties) []uint32 { return []uint32{p.service} })
	for _, r := range list {
		if r.key[0] == "" {
			continue // refused before it was clear which service was meant: in the reasons
		}
		c, want := &r.cell, f.q.target(r.key[0])
		calls, faults, late := c.calls+c.allFaults(), c.faults[1]+c.faults[2], c.due-c.inTime
		kept := "yes"
		if faults*10000 > int64(want.Faults)*calls || c.inTime*10000 < int64(want.InTime)*c.due {
			kept = "no"
		}
		t.Rows = append(t.Rows, []Value{textOf(r.key[0]), numberOf(calls), numberOf(c.faults[0]), numberOf(c.faults[1]), numberOf(c.faults[2]), numberOf(c.faults[3]),
			share(faults, calls), numberOf(int64(want.Faults)), budget(faults, calls, int64(want.Faults)),
			numberOf(c.due), numberOf(late), share(c.inTime, c.due), numberOf(int64(want.InTime)), budget(late, c.due, 10000-int64(want.InTime)), textOf(kept)})
	}
	return t
}

// budget is which share of what may go wrong has gone wrong; none where nothing may.
func budget(bad, all, allowed int64) Value {
	if allowed == 0 {
		return Value{}
	}
	return share(bad*10000, all*allowed)
}

// lateness is what was due, and late.
func (f *Fold) lateness() *Table {
	return f.table("lateness", []string{"service", "provider"}, func(p parties) []uint32 { return []uint32{p.service, p.provider} },
		[]Column{{"due", Count}, {"answeredInTime", Count}, {"lateAnswered", Count}, {"lateOpen", Count}, {"inTime", Percent}, {"open", Count}, {"openLate", Count}, {"dueToday", Count}, {"forecastLate", Count}},
		func(r *row) []Value {
			c := &r.cell
			return []Value{numberOf(c.due), numberOf(c.inTime), numberOf(c.lateAnswered), numberOf(c.lateNow), share(c.inTime, c.due), numberOf(c.open), numberOf(c.openLate), numberOf(c.dueToday), numberOf(f.forecast(c))}
		})
}

// stageTerms are the stages against their terms.
func (f *Fold) stageTerms() *Table {
	t := &Table{Name: "stageTerms", Columns: []Column{{"stage", Text}, {"due", Count}, {"late", Count}, {"inTime", Percent}}}
	total := f.all()
	add := func(stage int, due, late int64) {
		t.Rows = append(t.Rows, []Value{textOf(StageNames[stage]), numberOf(due), numberOf(late), share(due-late, due)})
	}
	for stage, due := range total.stageDue {
		add(stage, due, total.stageLate[stage])
	}
	add(stageAnswered, total.due, total.due-total.inTime)
	return t
}

// Lateness is told in bands: up to so many milliseconds each, the last without an end.
var (
	bandNames = [6]string{"1h", "1d", "3d", "7d", "30d", "more"}
	bandEnds  = [5]int64{hour, 24 * hour, 72 * hour, 168 * hour, 720 * hour}
)

const hour = int64(time.Hour / time.Millisecond)

// lateBands tell by how much exchanges were late.
func (f *Fold) lateBands() *Table {
	t := &Table{Name: "bands", Columns: []Column{{"upTo", Text}, {"late", Count}, {"share", Percent}}}
	all := int64(0)
	for _, n := range f.bands {
		all += n
	}
	for i, n := range f.bands {
		t.Rows = append(t.Rows, []Value{textOf(bandNames[i]), numberOf(n), share(n, all)})
	}
	return t
}

// latest are the exchanges that were late most.
func (f *Fold) latest() *Table {
	t := &Table{Name: "latest", Columns: []Column{{"messageId", Text}, {"service", Text}, {"version", Text}, {"sender", Text}, {"provider", Text}, {"accepted", Time}, {"due", Time}, {"ended", Time}, {"late", Duration}}}
	for _, x := range f.late.sorted() {
		ended := Value{}
		if x.ended != 0 {
			ended = numberOf(x.ended)
		}
		t.Rows = append(t.Rows, []Value{textOf(x.spelled()), textOf(f.texts[x.service]), textOf(f.texts[x.version]), textOf(f.texts[x.sender]), textOf(f.texts[x.provider]),
			numberOf(x.accepted), numberOf(x.due), ended, numberOf(x.delay)})
	}
	return t
}

// RatingFormula is how a body's mark is made, from 0 to 100. It is printed in the report.
const RatingFormula = "mark = 0.7*T + 0.2*K + 0.1*R; T = requests answered in time / requests due, in percent; " +
	"K = 100 - (refusals by the provider's fault + requests that nobody took or answered in their life) / (calls + those requests), in percent; " +
	"R = mean share of the term that was left when a request was answered, 0 when it was late, in percent; " +
	"bodies with fewer than 10 requests due have no place"

// rated is how many requests must have been due for a place.
const rated = 10

// rating puts providers into the order of their marks; equal marks share a place.
func (f *Fold) rating() *Table {
	t := &Table{Name: "rating", Columns: []Column{{"place", Count}, {"provider", Text}, {"mark", Percent}, {"T", Percent}, {"K", Percent}, {"R", Percent}, {"due", Count}, {"late", Count}, {"calls", Count}, {"byProvider", Count}, {"lost", Count}, {"answeredMedian", Duration}}}
	list, _ := f.rows(func(p parties) []uint32 { return []uint32{p.provider} })
	for _, r := range list {
		c := &r.cell
		if r.key[0] == "" || c.due == 0 && c.accepted == 0 {
			continue
		}
		calls := c.calls + c.allFaults()
		line := []Value{{}, textOf(r.key[0]), {}, share(c.inTime, c.due), {}, {}, numberOf(c.due), numberOf(c.due - c.inTime), numberOf(calls), numberOf(c.faults[1]), numberOf(c.lost), median(&c.stages[stageAnswered], 50)}
		if bad := share(c.faults[1]+c.lost, calls+c.lost); bad.given {
			line[4] = numberOf(10000 - bad.n)
		}
		if c.due > 0 {
			line[5] = numberOf((2*c.reserve + c.due) / (2 * c.due))
		}
		if c.due >= rated {
			line[2] = numberOf((7*line[3].n + 2*line[4].n + line[5].n + 5) / 10)
		}
		t.Rows = append(t.Rows, line)
	}
	mark := func(line []Value) int64 {
		if line[2].given {
			return line[2].n
		}
		return -1
	}
	slices.SortStableFunc(t.Rows, func(a, b []Value) int { return cmp.Compare(mark(b), mark(a)) })
	for i, line := range t.Rows {
		switch {
		case !line[2].given:
		case i > 0 && mark(t.Rows[i-1]) == mark(line):
			line[0] = t.Rows[i-1][0]
		default:
			line[0] = numberOf(int64(i + 1))
		}
	}
	return t
}
