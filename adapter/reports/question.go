package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/terms"
)

// Kind is what a report is about.
type Kind string

// The reports that there are.
const (
	Service  Kind = "service"  // how services work, and what of them is open
	Party    Kind = "party"    // the load of bodies: of providers, and of those who ask
	Quality  Kind = "quality"  // shares of faults and of answers in time against what was promised
	Lateness Kind = "lateness" // what was late, how much, and which exchanges most
	Rating   Kind = "rating"   // bodies in the order of their marks
)

// Kinds are all reports, in the order in which they are offered.
var Kinds = []Kind{Service, Party, Quality, Lateness, Rating}

// Tests says what is done with messages that are marked as tests.
type Tests string

// The zero value leaves them out.
const (
	Without Tests = "no"
	With    Tests = "with"
	Only    Tests = "only"
)

// Target is what is promised of a service, in hundredths of a percent: how many of
// its calls may be refused by the fault of bus or provider at most, and how many of
// its answers come in time at least.
type Target struct {
	Faults Share `json:"faults"`
	InTime Share `json:"inTime"`
}

// DefaultTarget holds for services that say nothing else.
var DefaultTarget = Target{Faults: 100, InTime: 9900}

// Share is a number of hundredths of a percent. In JSON it is a number of percents.
type Share int64

// String is the share in percent, with two decimals.
func (s Share) String() string { return decimal(int64(s), 2) }

// MarshalJSON writes a number of percents.
func (s Share) MarshalJSON() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalJSON reads a number of percents, with two decimals at most.
func (s *Share) UnmarshalJSON(b []byte) (err error) {
	*s, err = ParseShare(string(b))
	return err
}

// ParseShare reads a number of percents from 0 to 100, with two decimals at most.
func ParseShare(text string) (Share, error) {
	whole, part, _ := strings.Cut(text, ".")
	n := int64(0)
	if whole == "" || len(whole) > 3 || len(part) > 2 || strings.HasSuffix(text, ".") {
		return 0, fmt.Errorf("%q is no share: a number of percents with two decimals at most is expected", text)
	}
	for _, c := range whole + part + strings.Repeat("0", 2-len(part)) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is no share: a number of percents with two decimals at most is expected", text)
		}
		n = 10*n + int64(c-'0')
	}
	if n > 10000 {
		return 0, fmt.Errorf("%q is no share: it is more than 100 percent", text)
	}
	return Share(n), nil
}

// Question is what a report answers. In JSON it stands at the report's head, and is
// all that somebody needs, beside the log, to make the same report again.
type Question struct {
	Kind    Kind
	Name    string // of the period, when it was asked for by one
	Period  Period
	AsOf    time.Time // within the period: it is looked at as it was then. Zero: at its end
	Zone    *time.Location
	Service string // restricts it to one, all versions
	Party   string // restricts it to exchanges of one, on either side
	Tests   Tests
	Target  Target            // of services that are not named
	Targets map[string]Target // by service

	// Calendar is that of terms which count from a delivery: all other moments stand in
	// the log. It is not written; nil is the shipped one.
	Calendar *terms.Calendar
}

type questionJSON struct {
	Kind    Kind              `json:"kind"`
	Name    string            `json:"period,omitempty"`
	From    time.Time         `json:"from"`
	To      time.Time         `json:"to"`
	AsOf    time.Time         `json:"asOf,omitzero"`
	Zone    string            `json:"zone"`
	Service string            `json:"service,omitempty"`
	Party   string            `json:"party,omitempty"`
	Tests   Tests             `json:"tests"`
	Target  Target            `json:"target"`
	Targets map[string]Target `json:"targets,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (q Question) MarshalJSON() ([]byte, error) {
	asOf := q.AsOf
	if !asOf.IsZero() {
		asOf = asOf.In(q.Zone)
	}
	return json.Marshal(questionJSON{q.Kind, q.Name, q.Period.From.In(q.Zone), q.Period.To.In(q.Zone), asOf, q.Zone.String(), q.Service, q.Party, q.Tests, q.Target, q.Targets})
}

// UnmarshalJSON implements json.Unmarshaler.
func (q *Question) UnmarshalJSON(b []byte) error {
	var in questionJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	zone, err := time.LoadLocation(in.Zone)
	if err != nil {
		return fmt.Errorf("zone of the report: %w", err)
	}
	*q = Question{in.Kind, in.Name, Period{in.From.In(zone), in.To.In(zone)}, in.AsOf, zone, in.Service, in.Party, in.Tests, in.Target, in.Targets, nil}
	return q.Check()
}

// Check says what of a question cannot be answered, and puts in what was left out.
func (q *Question) Check() error {
	if !slices.Contains(Kinds, q.Kind) {
		return fmt.Errorf("there is no report %q; there are %v", q.Kind, Kinds)
	}
	if q.Tests == "" {
		q.Tests = Without
	}
	if !slices.Contains([]Tests{Without, With, Only}, q.Tests) {
		return fmt.Errorf("tests: %q is none of no, with, only", q.Tests)
	}
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	if q.Calendar == nil {
		q.Calendar = terms.Shipped()
	}
	if q.Target == (Target{}) {
		q.Target = DefaultTarget
	}
	if !q.AsOf.IsZero() && (!q.AsOf.After(q.Period.From) || q.AsOf.After(q.Period.To)) {
		return fmt.Errorf("the report cannot be as of %s: that is not within its period", q.AsOf.Format(time.RFC3339))
	}
	return q.Period.check()
}

// end is the moment as of which the report speaks.
func (q *Question) end() time.Time {
	if !q.AsOf.IsZero() {
		return q.AsOf
	}
	return q.Period.To
}

func (q *Question) target(service string) Target {
	if t, ok := q.Targets[service]; ok {
		return t
	}
	return q.Target
}
