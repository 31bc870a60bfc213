package terms

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Term is how long something may take: Days, working or calendar ones, or a Length.
// The zero value is no term.
type Term struct {
	Days    int           // 0: the term is a Length
	Working bool          // Days are working days
	Length  time.Duration // in hours, minutes and seconds; 0 with Days
}

// mostDays is a hundred years: more is a slip of the pen.
const mostDays = 36500

// Form is what is wrong with how something is written, in two languages.
type Form struct{ english, russian string }

func (e *Form) Error() string { return e.english }

// Russian is the error in Russian.
func (e *Form) Russian() string { return e.russian }

func form(english, russian string, args ...any) *Form {
	return &Form{fmt.Sprintf(english, args...), fmt.Sprintf(russian, args...)}
}

// Parse reads a term: 5wd, 30d, 48h, 15m. Parts of days (1.5d) are lengths. 0, in
// whatever unit, is no term.
func Parse(s string) (Term, error) {
	s = strings.TrimSpace(s)
	wrong := form("a term such as 5wd (working days), 30d, 48h or 15m is expected, not %q", "ожидается срок вида 5wd (рабочие дни), 30d, 48h или 15m, а не %q", s)
	if text, ok := strings.CutSuffix(s, "wd"); ok {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n > mostDays {
			return Term{}, wrong
		}
		return Term{Days: int(n), Working: n > 0}, nil
	}
	if text, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(text, 10, 32); err == nil && n <= mostDays {
			return Term{Days: int(n)}, nil
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n <= mostDays) {
			return Term{}, wrong
		}
		return Term{Length: time.Duration(n * 24 * float64(time.Hour))}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > mostDays*24*time.Hour {
		return Term{}, wrong
	}
	return Term{Length: d}, nil
}

// IsZero says that it is no term.
func (t Term) IsZero() bool { return t == Term{} }

// Least is the length that the term has at least.
func (t Term) Least() time.Duration { return t.Length + time.Duration(t.Days)*24*time.Hour }

// String is the term as Parse reads it; empty for none.
func (t Term) String() string {
	switch {
	case t.IsZero():
		return ""
	case t.Working:
		return strconv.Itoa(t.Days) + "wd"
	case t.Days > 0:
		return strconv.Itoa(t.Days) + "d"
	}
	s := t.Length.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Russian is the term for people: «5 рабочих дней», «48 ч».
func (t Term) Russian() string {
	switch {
	case t.IsZero():
		return ""
	case t.Working:
		return strconv.Itoa(t.Days) + " " + plural(t.Days, "рабочий день", "рабочих дня", "рабочих дней")
	case t.Days > 0:
		return strconv.Itoa(t.Days) + " " + plural(t.Days, "день", "дня", "дней")
	}
	return strings.TrimSpace(strings.NewReplacer("h", " ч ", "ms", " мс ", "m", " мин ", "s", " с ").Replace(t.String()))
}

func plural(n int, one, few, many string) string {
	switch {
	case n%10 == 1 && n%100 != 11:
		return one
	case n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
		return few
	}
	return many
}

// Start is the moment that a term counts from.
type Start string

// The moments. Empty is FromAccepted.
const (
	FromAccepted       Start = "accepted"         // the gateway's acceptance
	FromDelivered      Start = "delivered"        // the first delivery to the recipient
	FromNextWorkingDay Start = "next-working-day" // the beginning of the first working day after the acceptance
)

// ParseStart reads a Start; empty is FromAccepted.
func ParseStart(s string) (Start, error) {
	switch start := Start(s); start {
	case "":
		return FromAccepted, nil
	case FromAccepted, FromDelivered, FromNextWorkingDay:
		return start, nil
	}
	return "", form("accepted, delivered or next-working-day is expected, not %q", "ожидается accepted, delivered или next-working-day, а не %q", s)
}

// End is when a term ends that counts from an event, in a zone. FromDelivered is
// FromAccepted here: the event is the delivery then. No term: the zero time.
func (c *Calendar) End(t Term, event time.Time, zone *time.Location, from Start) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	day := dayOf(event, zone)
	if t.Days == 0 {
		if from == FromNextWorkingDay {
			event = c.workingAfter(day, 1).begins(zone)
		}
		return event.Add(t.Length).UTC()
	}
	var last date
	switch {
	case t.Working:
		last = c.workingAfter(day, t.Days)
	case from == FromNextWorkingDay:
		last = c.workingFrom(c.workingAfter(day, 1) + date(t.Days-1))
	default:
		last = c.workingFrom(day + date(t.Days))
	}
	return (last + 1).begins(zone).UTC()
}

// Before is the moment as far before a due one as a term says: the same time of day
// on the working day, or the day, so many before. 24:00 stays 24:00.
func (c *Calendar) Before(t Term, due time.Time, zone *time.Location) time.Time {
	if t.Days == 0 {
		return due.Add(-t.Length).UTC()
	}
	last := dayOf(due.Add(-1), zone)
	into := due.Sub(last.begins(zone))
	day := last - date(t.Days)
	if t.Working {
		day = last
		for n := 0; n < t.Days; {
			if day--; c.works(day) {
				n++
			}
		}
	}
	return day.begins(zone).Add(into).UTC()
}

// Soon is when to warn of a due moment: the term soon before it. Without one, a
// working day before what is due at a midnight, and a quarter of the whole before
// other moments; halfway where that would be before the beginning.
func (c *Calendar) Soon(soon Term, begun, due time.Time, zone *time.Location) time.Time {
	if soon.IsZero() {
		soon = Term{Length: due.Sub(begun) / 4}
		if due.Equal(dayOf(due, zone).begins(zone)) {
			soon = Term{Days: 1, Working: true}
		}
	}
	if at := c.Before(soon, due, zone); at.After(begun) {
		return at
	}
	return begun.Add(due.Sub(begun) / 2).UTC()
}
