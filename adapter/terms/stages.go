package terms

import (
	"slices"
	"strings"
	"time"
)

// Stage is a station of a message's way that has a term of its own.
type Stage string

// The stages, in the order in which they are reached.
const (
	StageQueued   Stage = "queued"   // it stands in its recipient's queue
	StageTaken    Stage = "taken"    // the recipient has been handed it
	StageStatus   Stage = "status"   // the first word of the recipient: a status or the answer
	StageAnswered Stage = "answered" // the final answer is accepted; its term is the deadline
)

// Stages are all of them, in their order.
var Stages = []Stage{StageQueued, StageTaken, StageStatus, StageAnswered}

// Russian names the stage for people.
func (s Stage) Russian() string {
	return map[Stage]string{StageQueued: "постановка в очередь", StageTaken: "получение адресатом", StageStatus: "первый статус", StageAnswered: "ответ"}[s]
}

// Rule is the term of one stage.
type Rule struct {
	Term Term
	From Start // empty: FromAccepted
	Soon Term  // how long before it is due somebody is warned; none: see Calendar.Soon
}

// Rules are the rules of a service, of a party, or of both together. Stages without
// one have no term.
type Rules map[Stage]Rule

// Due are the moments at which the stages of a message are due; zero for those that
// have no term.
type Due struct {
	Queued, Taken, Status, Answered time.Time
}

func (d *Due) at(s Stage) *time.Time {
	switch s {
	case StageQueued:
		return &d.Queued
	case StageTaken:
		return &d.Taken
	case StageStatus:
		return &d.Status
	}
	return &d.Answered
}

// At is the moment of a stage.
func (d Due) At(s Stage) time.Time { return *d.at(s) }

// Earlier makes a moment that of its stage, unless an earlier one is there.
func (d *Due) Earlier(s Stage, t time.Time) {
	if at := d.at(s); !t.IsZero() && (at.IsZero() || t.Before(*at)) {
		*at = t
	}
}

// IsZero says that nothing is due.
func (d Due) IsZero() bool { return d == Due{} }

// Count gives the moments at which a message is due that was accepted at a time, by
// all rules that hold for it; of those for one stage the earliest counts. Moments
// are whole milliseconds, as the log has them. later is what counts from the
// delivery.
func Count(c *Calendar, accepted time.Time, zone *time.Location, all ...Rules) (due Due, later Later) {
	for _, s := range Stages {
		for _, rules := range all {
			r, ok := rules[s]
			switch {
			case !ok || r.Term.IsZero():
			case r.From == FromDelivered:
				later.counts = append(later.counts, counted{s, r.Term})
				later.zone = zone
			default:
				due.Earlier(s, c.End(r.Term, accepted, zone, r.From).Truncate(time.Millisecond))
			}
		}
	}
	return due, later
}

// SoonRule is the warning that holds for a stage: that of the first rules that have one.
func SoonRule(s Stage, all ...Rules) Term {
	for _, rules := range all {
		if t := rules[s].Soon; !t.IsZero() {
			return t
		}
	}
	return Term{}
}

// Later is what counts from a delivery that has not happened. The zero value is nothing.
type Later struct {
	counts []counted
	zone   *time.Location
}

type counted struct {
	stage Stage
	term  Term
}

// IsZero says that nothing counts from the delivery.
func (l Later) IsZero() bool { return len(l.counts) == 0 }

// Has says whether a stage counts from the delivery.
func (l Later) Has(s Stage) bool {
	return slices.ContainsFunc(l.counts, func(c counted) bool { return c.stage == s })
}

// String is its text in the log: "answered 5wd, status 48h, +03:00"; the zone is that
// of the recipient as its offset.
func (l Later) String() string {
	if l.IsZero() {
		return ""
	}
	var b strings.Builder
	for _, c := range l.counts {
		b.WriteString(string(c.stage) + " " + c.term.String() + ", ")
	}
	return b.String() + time.Time{}.In(l.zone).Format("-07:00")
}

// ParseLater reads what String wrote.
func ParseLater(s string) (Later, error) {
	if s == "" {
		return Later{}, nil
	}
	wrong := form("what counts from the delivery cannot be read: %q", "не прочитать, что считается от вручения: %q", s)
	parts := strings.Split(s, ", ")
	zone, err := time.Parse("-07:00", parts[len(parts)-1])
	if err != nil {
		return Later{}, wrong
	}
	_, offset := zone.Zone()
	l := Later{zone: time.FixedZone(parts[len(parts)-1], offset)}
	for _, part := range parts[:len(parts)-1] {
		stage, text, _ := strings.Cut(part, " ")
		t, err := Parse(text)
		if err != nil || Stage(stage).Russian() == "" || t.IsZero() {
			return Later{}, wrong
		}
		l.counts = append(l.counts, counted{Stage(stage), t})
	}
	if l.IsZero() {
		return Later{}, wrong
	}
	return l, nil
}

// Due are the moments of a delivery at a time.
func (l Later) Due(c *Calendar, delivered time.Time) (due Due) {
	for _, x := range l.counts {
		due.Earlier(x.stage, c.End(x.term, delivered, l.zone, FromDelivered).Truncate(time.Millisecond))
	}
	return due
}

// Zone is the zone in which it counts; nil when nothing does.
func (l Later) Zone() *time.Location { return l.zone }
