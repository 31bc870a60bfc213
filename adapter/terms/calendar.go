package terms

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// date is a day, counted from 1970-01-01; no zone has a part in it.
type date int

func dateOf(year int, month time.Month, day int) date {
	return date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func dayOf(t time.Time, zone *time.Location) date {
	y, m, d := t.In(zone).Date()
	return dateOf(y, m, d)
}

func (d date) utc() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d date) String() string { return d.utc().Format(time.DateOnly) }

// begins is the first moment of the day in a zone. Where clocks are set at midnight a
// day may have no 0:00, or two.
func (d date) begins(zone *time.Location) time.Time {
	y, m, day := d.utc().Date()
	t := time.Date(y, m, day, 0, 0, 0, 0, zone)
	for dayOf(t, zone) < d {
		t = t.Add(time.Hour)
	}
	for dayOf(t.Add(-time.Hour), zone) == d {
		t = t.Add(-time.Hour)
	}
	return t
}

// Year is the production calendar of one year, for the five-day week.
type Year struct {
	Number   int
	Basis    string   // the decree
	Holidays []string // MM-DD: of article 112 of the Labour Code
	Off      []string // days off beyond weekends and holidays
	Working  []string // Saturdays and Sundays that are worked
}

// Problem is something wrong in a calendar's file.
type Problem struct {
	Line    int // from 1; 0: the whole file
	Warning bool
	*Form
}

// holidays of article 112 of the Labour Code.
var holidays = strings.Fields("01-01 01-02 01-03 01-04 01-05 01-06 01-07 01-08 02-23 03-08 05-01 05-09 06-12 11-04")

// ParseYear reads a calendar's file: lines "name: value" of year, basis, holidays, off
// and working, with days as MM-DD divided by blanks; # begins a comment. That is
// YAML, too. A year with problems that are not warnings is not to be used.
func ParseYear(src []byte) (Year, []Problem) {
	var y Year
	var found []Problem
	at := map[string]int{}
	tell := func(line int, warning bool, f *Form) {
		found = append(found, Problem{line, warning, f})
	}
	for i, line := range strings.Split(string(src), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		if !ok {
			tell(i+1, false, form("a line such as off: 01-09 03-09 is expected", "ожидается строка вида off: 01-09 03-09"))
			continue
		}
		if at[name] > 0 {
			tell(i+1, false, form("%s is given twice", "%s указано дважды", name))
		}
		at[name] = i + 1
		switch name {
		case "year":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1990 || n > 2200 {
				tell(i+1, false, form("year: a year such as 2026 is expected, not %q", "year: ожидается год вида 2026, а не %q", value))
			}
			y.Number = n
		case "basis":
			y.Basis = value
		case "holidays":
			y.Holidays = strings.Fields(value)
		case "off":
			y.Off = strings.Fields(value)
		case "working":
			y.Working = strings.Fields(value)
		default:
			tell(i+1, false, form("%s: no such setting; known here: %s", "%s: такой настройки нет; здесь известны: %s", name, "basis, holidays, off, working, year"))
		}
	}
	if y.Number == 0 {
		if at["year"] == 0 {
			tell(0, false, form("year is missing", "year не указан"))
		}
		return y, found
	}
	y.check(func(list string, warning bool, f *Form) { tell(at[list], warning, f) })
	return y, found
}

// check holds the days of a year against each other.
func (y *Year) check(tell func(list string, warning bool, f *Form)) {
	said := map[date]string{}
	free, moved := 0, 0 // holidays on weekends; days off in their place
	lists := []struct {
		name string
		days []string
	}{{"holidays", y.Holidays}, {"off", y.Off}, {"working", y.Working}}
	for _, list := range lists {
		for _, text := range list.days {
			d, ok := y.day(text)
			switch {
			case !ok:
				tell(list.name, false, form("%s: %q is no day of %d: MM-DD is expected", "%s: %q — не день %d года: ожидается ММ-ДД", list.name, text, y.Number))
				continue
			case said[d] != "":
				tell(list.name, false, form("%s: %s stands in %s already", "%s: %s уже указан в %s", list.name, text, said[d]))
				continue
			}
			said[d] = list.name
			switch weekend := isWeekend(d); {
			case list.name == "holidays" && weekend:
				free++
			case list.name == "off" && weekend:
				tell(list.name, false, form("off: %s is off already: it is a weekend", "off: %s и так выходной", text))
			case list.name == "off":
				moved++
			case list.name == "working" && !weekend:
				tell(list.name, false, form("working: %s is no weekend", "working: %s и так рабочий", text))
			case list.name == "working":
				moved--
			}
		}
	}
	for _, h := range holidays {
		if !slices.Contains(y.Holidays, h) {
			tell("holidays", true, form("holidays: %s is missing, a holiday of article 112 of the Labour Code", "holidays: нет %s, праздника по статье 112 ТК РФ", h))
		}
	}
	if free != moved {
		tell("off", true, form("%d holidays fall on weekends, and %d days off stand in their place: article 112 of the Labour Code moves each", "на выходные приходится %d праздников, а перенесено выходных %d: по статье 112 ТК РФ переносится каждый", free, moved))
	}
	if y.Basis == "" {
		tell("basis", true, form("basis is missing: by which decree?", "basis не указан: каким постановлением установлено?"))
	}
}

func (y *Year) day(text string) (date, bool) {
	t, err := time.Parse(time.DateOnly, fmt.Sprintf("%d-%s", y.Number, text))
	if err != nil {
		return 0, false
	}
	return date(t.Unix() / 86400), true
}

func isWeekend(d date) bool {
	w := d.utc().Weekday()
	return w == time.Saturday || w == time.Sunday
}

// Calendar knows which days are worked. It does not change.
type Calendar struct {
	years map[int]Year
	turns map[date]bool // days that are not as their weekday: true is worked
}

// With is the calendar with years put in, or in the place of others.
func (c *Calendar) With(years ...Year) *Calendar {
	all := map[int]Year{}
	if c != nil {
		maps.Copy(all, c.years)
	}
	for _, y := range years {
		all[y.Number] = y
	}
	out := &Calendar{years: all, turns: map[date]bool{}}
	for _, y := range all {
		for _, list := range []struct {
			days   []string
			worked bool
		}{{y.Holidays, false}, {y.Off, false}, {y.Working, true}} {
			for _, text := range list.days {
				if d, ok := y.day(text); ok {
					out.turns[d] = list.worked
				}
			}
		}
	}
	return out
}

//go:embed calendars/*.yaml
var shippedFiles embed.FS

// Shipped is the calendar that comes with the program.
var Shipped = sync.OnceValue(func() *Calendar {
	files, err := shippedFiles.ReadDir("calendars")
	if err != nil {
		panic(err)
	}
	var years []Year
	for _, f := range files {
		src, err := shippedFiles.ReadFile("calendars/" + f.Name())
		if err != nil {
			panic(err)
		}
		y, problems := ParseYear(src)
		if len(problems) > 0 {
			panic(fmt.Sprintf("%s: line %d: %s", f.Name(), problems[0].Line, problems[0].Error()))
		}
		years = append(years, y)
	}
	return (*Calendar)(nil).With(years...)
})

// Years are the years that the calendar knows, in order.
func (c *Calendar) Years() []Year {
	return slices.SortedFunc(maps.Values(c.years), func(a, b Year) int { return a.Number - b.Number })
}

// Knows says whether the calendar knows a year.
func (c *Calendar) Knows(year int) bool { _, ok := c.years[year]; return ok }

// tellNextYear is the month from which the next year's calendar has to be here: the
// government's decree is usually made by October, and terms begin to reach over.
const tellNextYear = time.November

// Missing is the year whose calendar has to be brought, as of a moment in Moscow: this
// one, or from November the next; 0 when none is missing.
func (c *Calendar) Missing(now time.Time) int {
	now = now.In(Moscow)
	switch year := now.Year(); {
	case !c.Knows(year):
		return year
	case now.Month() >= tellNextYear && !c.Knows(year+1):
		return year + 1
	}
	return 0
}

// Moscow is the zone of those who have no other. It has had no other offset since
// 2014; its rules are not taken from the machine.
var Moscow = time.FixedZone("MSK", 3*60*60)

// Works says whether the day, on which a moment is in its own location, is worked.
func (c *Calendar) Works(t time.Time) bool { return c.works(dayOf(t, t.Location())) }

func (c *Calendar) works(d date) bool {
	if worked, ok := c.turns[d]; ok {
		return worked
	}
	if isWeekend(d) {
		return false
	}
	t := d.utc()
	return c.Knows(t.Year()) || !slices.Contains(holidays, t.Format("01-02"))
}

// workingAfter is the n-th working day after d.
func (c *Calendar) workingAfter(d date, n int) date {
	for n > 0 {
		if d++; c.works(d) {
			n--
		}
	}
	return d
}

// workingFrom is d, or the next working day when it is off.
func (c *Calendar) workingFrom(d date) date {
	for !c.works(d) {
		d++
	}
	return d
}
