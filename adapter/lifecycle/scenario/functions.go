package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/xpath"
	"mezhved/adapter/terms"
)

// moment is what the functions of scenarios know, beyond the content.
type moment struct {
	at       time.Time // of the step
	request  *Request
	state    *State
	calendar *terms.Calendar
	seed     string // of what is made up: the same for the same step of the same request
	made     int
}

func here(c *xpath.Context) *moment { return c.Host.(*moment) }

// functions are those that scenarios have beside the core's.
var functions = xpath.Functions{
	// What is asked, by whom.
	"test":       {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) { return here(c).request.Test, nil }},
	"sender":     {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) { return here(c).request.Sender, nil }},
	"message-id": {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) { return here(c).request.MessageID, nil }},
	"attachments": {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) {
		return xpath.Int(int64(here(c).request.Attachments)), nil
	}},

	// Counters: the how-manieth request this is, of all or of those with the same value.
	"requests": {Max: 1, Call: func(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
		return xpath.Int(here(c).state.Seen[countedBy(c.Arguments, a)]), nil
	}},

	// Dates. A date is 2026-11-20, a moment 2026-11-20T10:15:30+03:00; what is made of
	// a date is a date.
	"today": {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) {
		return here(c).at.In(xpath.Moscow).Format(time.DateOnly), nil
	}},
	"now": {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) {
		return here(c).at.In(xpath.Moscow).Format(secondsForm), nil
	}},
	"deadline":   {Call: deadline},
	"add":        {Min: 2, Max: 2, Call: add},
	"workdays":   {Min: 2, Max: 2, Call: workdays},
	"is-workday": {Min: 1, Max: 1, Call: isWorkday},
	"days":       {Min: 2, Max: 2, Call: days},
	"years":      {Min: 1, Max: 2, Call: years},
	"date":       {Min: 1, Max: 2, Call: date},

	// Ids.
	"uuid":     {Call: func(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) { return here(c).uuid(), nil }},
	"digits":   {Min: 1, Max: 1, Call: digits},
	"sequence": {Max: 1, Call: sequence},
	"pad":      {Min: 2, Max: 2, Call: pad},
}

const secondsForm = "2006-01-02T15:04:05-07:00"

// countedBy is under what requests are counted: all, or those in which an expression
// has this value. The value itself may be a person's, and is not kept.
func countedBy(source string, a []xpath.Value) string {
	if len(a) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(xpath.String(a[0])))
	return source + "=" + hex.EncodeToString(sum[:8])
}

// random are octets that follow from the request and the step, so that a plan that is
// made again is the same plan.
func (m *moment) random() [32]byte {
	m.made++
	return sha256.Sum256([]byte(m.seed + "#" + strconv.Itoa(m.made)))
}

func (m *moment) uuid() string {
	r := m.random()
	r[6], r[8] = r[6]&0x0f|0x40, r[8]&0x3f|0x80
	s := hex.EncodeToString(r[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func small(v xpath.Value, least, most int64) (int, error) {
	r := xpath.AsNumber(v).Rat()
	if r == nil || !r.IsInt() || r.Cmp(big.NewRat(least, 1)) < 0 || r.Cmp(big.NewRat(most, 1)) > 0 {
		return 0, fmt.Errorf("a whole number from %d to %d is expected, not %q", least, most, xpath.String(v))
	}
	return int(r.Num().Int64()), nil
}

func digits(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	n, err := small(a[0], 1, 30)
	if err != nil {
		return nil, fmt.Errorf("digits(): %w", err)
	}
	r := here(c).random()
	out := make([]byte, n)
	for i := range out {
		out[i] = '0' + r[i]%10
	}
	return string(out), nil
}

// sequence gives the next number of a row, 1 first.
func sequence(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	name := ""
	if len(a) > 0 {
		name = xpath.String(a[0])
	}
	s := here(c).state
	if s.Numbers == nil {
		s.Numbers = map[string]int64{}
	}
	s.Numbers[name]++
	return xpath.Int(s.Numbers[name]), nil
}

// pad puts zeros before a number until it has so many letters.
func pad(_ *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	n, err := small(a[1], 1, 60)
	if err != nil {
		return nil, fmt.Errorf("pad(): %w", err)
	}
	s := xpath.String(a[0])
	if missing := n - len([]rune(s)); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	return s, nil
}

func deadline(c *xpath.Context, _ []xpath.Value) (xpath.Value, error) {
	if d := here(c).request.Deadline; !d.IsZero() {
		return d.In(xpath.Moscow).Format(secondsForm), nil
	}
	return "", nil
}

func moments(function string, a ...xpath.Value) ([]time.Time, bool, error) {
	var out []time.Time
	dates := true
	for _, v := range a {
		t, dateOnly, ok := xpath.Moment(xpath.String(v))
		if !ok {
			return nil, false, fmt.Errorf("%s(): a date (2026-11-20) or a moment (2026-11-20T10:15:30+03:00) is expected, not %q", function, xpath.String(v))
		}
		out, dates = append(out, t), dates && dateOnly
	}
	return out, dates, nil
}

func written(t time.Time, dateOnly bool) string {
	if dateOnly {
		return t.Format(time.DateOnly)
	}
	return t.Format(secondsForm)
}

var shiftForm = regexp.MustCompile(`^([-+]?)(\d{1,6})(y|mo|w|d|wd|h|m|s)$`)

// add moves a date or a moment: 5d, -1mo, 2y, 3wd, 36h.
func add(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	list, dateOnly, err := moments("add", a[0])
	if err != nil {
		return nil, err
	}
	p := shiftForm.FindStringSubmatch(xpath.String(a[1]))
	if p == nil {
		return nil, fmt.Errorf("add(): a period such as 5d, -1mo, 2y, 1w, 3wd (working days), 36h, 15m or 30s is expected, not %q", xpath.String(a[1]))
	}
	n, _ := strconv.Atoi(p[2]) // six digits at most
	if p[1] == "-" {
		n = -n
	}
	t := list[0]
	switch p[3] {
	case "y":
		t = t.AddDate(n, 0, 0)
	case "mo":
		t = sameDay(t, n)
	case "w":
		t = t.AddDate(0, 0, 7*n)
	case "d":
		t = t.AddDate(0, 0, n)
	case "wd":
		if n < 0 {
			return nil, errors.New("add(): working days are counted forwards")
		}
		t = workday(here(c).calendar, t, n)
	default:
		unit := map[string]time.Duration{"h": time.Hour, "m": time.Minute, "s": time.Second}[p[3]]
		t, dateOnly = t.Add(time.Duration(n)*unit), false
	}
	return written(t, dateOnly), nil
}

// sameDay is the same day of another month, or its last one.
func sameDay(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).AddDate(0, months, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

func workday(c *terms.Calendar, t time.Time, n int) time.Time {
	for ; n > 0; n-- {
		for t = t.AddDate(0, 0, 1); !c.Works(t); t = t.AddDate(0, 0, 1) {
		}
	}
	return t
}

// workdays is the date so many working days later, by the production calendar.
func workdays(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	list, dateOnly, err := moments("workdays", a[0])
	if err != nil {
		return nil, err
	}
	n, err := small(a[1], 0, 1000)
	if err != nil {
		return nil, fmt.Errorf("workdays(): %w", err)
	}
	return written(workday(here(c).calendar, list[0], n), dateOnly), nil
}

func isWorkday(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	list, _, err := moments("is-workday", a[0])
	if err != nil {
		return nil, err
	}
	return here(c).calendar.Works(list[0]), nil
}

// days is how many days lie between two dates.
func days(_ *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	list, _, err := moments("days", a...)
	if err != nil {
		return nil, err
	}
	day := func(t time.Time) time.Time {
		t = t.In(xpath.Moscow)
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	}
	return xpath.Int(int64(day(list[1]).Sub(day(list[0])).Hours() / 24)), nil
}

// years is how many whole years lie between a date and another, today without one: an
// age.
func years(c *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	if len(a) == 1 {
		a = append(a, here(c).at.In(xpath.Moscow).Format(time.DateOnly))
	}
	list, _, err := moments("years", a...)
	if err != nil {
		return nil, err
	}
	from, to := list[0], list[1]
	n := to.Year() - from.Year()
	if to.Month() < from.Month() || to.Month() == from.Month() && to.Day() < from.Day() {
		n--
	}
	return xpath.Int(int64(n)), nil
}

// dateForms are the letters of a form for people, in Go's.
var dateForms = strings.NewReplacer("yyyy", "2006", "yy", "06", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05")

// date writes a date or a moment in another form, such as dd.MM.yyyy; without one it
// is the date of a moment.
func date(_ *xpath.Context, a []xpath.Value) (xpath.Value, error) {
	list, _, err := moments("date", a[0])
	if err != nil {
		return nil, err
	}
	form := "yyyy-MM-dd"
	if len(a) > 1 {
		form = xpath.String(a[1])
	}
	return list[0].Format(dateForms.Replace(form)), nil
}
