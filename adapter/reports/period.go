package reports

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Period is half open: From belongs to it, To does not.
type Period struct{ From, To time.Time }

// LongestPeriod bounds what one report is made of.
const LongestPeriod = 400 * 24 * time.Hour

var names = []struct {
	form   *regexp.Regexp
	period func(n []int, zone *time.Location) (from, to time.Time)
}{
	{regexp.MustCompile(`^(\d{4})$`), func(n []int, zone *time.Location) (time.Time, time.Time) { return months(n[0], 1, 12, zone) }},
	{regexp.MustCompile(`^(\d{4})-Q([1-4])$`), func(n []int, zone *time.Location) (time.Time, time.Time) { return months(n[0], 3*n[1]-2, 3, zone) }},
	{regexp.MustCompile(`^(\d{4})-(0[1-9]|1[0-2])$`), func(n []int, zone *time.Location) (time.Time, time.Time) { return months(n[0], n[1], 1, zone) }},
}

func months(year, month, n int, zone *time.Location) (from, to time.Time) {
	return time.Date(year, time.Month(month), 1, 0, 0, 0, 0, zone), time.Date(year, time.Month(month+n), 1, 0, 0, 0, 0, zone)
}

// Named is the period of a name, in a zone: 2026, 2026-Q3, 2026-11 or 2026-11-29.
func Named(name string, zone *time.Location) (Period, error) {
	for _, one := range names {
		parts := one.form.FindStringSubmatch(name)
		if parts == nil {
			continue
		}
		var n []int
		for _, p := range parts[1:] {
			i, _ := strconv.Atoi(p) // digits, by the form
			n = append(n, i)
		}
		from, to := one.period(n, zone)
		return Period{from, to}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, name, zone); err == nil {
		return Period{day, day.AddDate(0, 0, 1)}, nil
	}
	return Period{}, fmt.Errorf("period %q: a year, a quarter, a month or a day is expected, such as 2026, 2026-Q3, 2026-11 or 2026-11-29", name)
}

// Moment reads a bound of a period: a time with its zone, or a name, which stands for
// its beginning in the given zone.
func Moment(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.In(zone), nil
	}
	p, err := Named(s, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no bound of a period: a time such as 2026-03-02T15:04:05+03:00, or a day, a month, a quarter or a year (2026-03-02, 2026-03, 2026-Q1, 2026) is expected", s)
	}
	return p.From, nil
}

// Bounds reads a period from how it was asked for: by name, or from a moment to
// another one, exclusive. Without to it goes until now, without from it begins with
// the month in which it ends.
func Bounds(period, from, to string, now time.Time, zone *time.Location) (p Period, err error) {
	if period != "" {
		if from != "" || to != "" {
			return p, fmt.Errorf("either a period or its bounds: %q comes beside %q, %q", period, from, to)
		}
		return Named(period, zone)
	}
	p.To = now.In(zone)
	if to != "" {
		if p.To, err = Moment(to, zone); err != nil {
			return p, err
		}
	}
	last := p.To.Add(-1)
	p.From = time.Date(last.Year(), last.Month(), 1, 0, 0, 0, 0, zone)
	if from != "" {
		if p.From, err = Moment(from, zone); err != nil {
			return p, err
		}
	}
	return p, p.check()
}

func (p Period) check() error {
	switch {
	case !p.From.Before(p.To):
		return fmt.Errorf("the period from %s to %s is empty: to is exclusive", p.From.Format(time.RFC3339), p.To.Format(time.RFC3339))
	case p.To.Sub(p.From) > LongestPeriod:
		return fmt.Errorf("the period from %s to %s is longer than %d days", p.From.Format(time.RFC3339), p.To.Format(time.RFC3339), LongestPeriod/(24*time.Hour))
	}
	return nil
}
