package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/terms"
)

// OpenTerm is a stage that a message has not reached, and by when it is due.
type OpenTerm struct {
	Message   uuid.UUID // ours
	Stage     terms.Stage
	Due       time.Time // zero: counts from the delivery, which has not happened
	Next      time.Time // when something is to be told; zero: nothing is
	Told      Told
	Later     terms.Later // what counts from the delivery
	MessageID MessageID
	Direction Direction
	Sender    Mnemonic
	Recipient Mnemonic
	Service   string
	Version   string
	Accepted  time.Time
}

// Told says what was told of an open term.
type Told int

// What was told.
const (
	ToldNothing Told = iota
	ToldSoon
	ToldOverdue
)

// Reached says that a message has reached stages.
type Reached struct {
	Message uuid.UUID // ours; zero: the message is known by its MessageID
	Request MessageID // for the first word that answers it
	Stages  []terms.Stage
	At      time.Time
	Taken   bool // by a delivery: what counts from it begins
	Lost    bool // the message ended: its stages are reached no more
}

// TermStep is what one entry of the log does to the open terms.
type TermStep struct {
	Accepted uuid.UUID // the message that begins with it; zero: it is of one that began before
	Open     []OpenTerm
	Reached  Reached
}

// TermRules are how the store's work on open terms asks the gateway.
type TermRules struct {
	// Step reads an entry of a kind in TermKinds, which is the caller's.
	Step func(*journal.Leaf) TermStep
	// Begin fixes the moments of a term that counts from a delivery.
	Begin func(t *OpenTerm, delivered time.Time)
	// Tell makes the event that tells of a term: due-soon or overdue; reached says that
	// the stage was reached meanwhile, too late.
	Tell func(t *OpenTerm, kind journal.Kind, reached bool) journal.Event
}

// TermKinds are the entries that open terms begin and end with.
var TermKinds = []journal.Kind{journal.KindAccepted, journal.KindQueued, journal.KindDelivered, journal.KindAnswered, journal.KindExpired, journal.KindDead}

// TermsDone tells what one round over the open terms did.
type TermsDone struct {
	Read          int // entries
	Soon, Overdue map[terms.Stage]int
	More          bool // there is more to do at once
}

// TermQuestion asks for open terms. Empty fields do not restrict.
type TermQuestion struct {
	DueBefore         time.Time // exclusive; zero: all that have a moment
	DueFrom           time.Time
	Sender, Recipient Mnemonic
	Service           string
	Stage             terms.Stage
	AfterDue          time.Time // behind this one, of the page before
	AfterMessage      uuid.UUID
	AfterStage        terms.Stage
	Limit             int
}

// TermCount counts open terms of one party, service and stage.
type TermCount struct {
	Party   Mnemonic // who is to reach the stage; empty: the gateway
	Service string
	Stage   terms.Stage
	Late    int // due before now
	Today   int // due from now on, before the end of the question
}

// openTerms follows the log and tells what comes due and what is late (loop). One
// node does it at a time. The index of open terms is the store's, moves with the
// log, and the event is committed with the mark that it was told.
func (g *Gateway) openTerms(ctx context.Context) error {
	var counted, took time.Duration // when the counts were made, and in what time
	missing, changed := 0, false
	read, since := 0, g.ticks() // entries, from when on
	for rows := termFirst; ; {
		missing = g.tellCalendar(missing)
		began := g.ticks()
		done, told, err := g.openTermsOnce(ctx, rows)
		read += done.Read
		rows = grown(rows, done.More, g.ticks()-began, termSoon, termFirst, termRows)
		switch {
		case errors.Is(err, ErrShardTaken): // another node is at it
		case errors.Is(err, journal.ErrDeposed): // or has thought that we are not: we were slow
			rows = termFirst
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("open terms: %w", err)
		}
		if done.More && ctx.Err() == nil {
			continue
		}
		// Counting reads every late term: it may take a tenth of the time.
		changed = changed || told
		if ago := g.ticks() - counted; counted == 0 || ago > termsCounted || changed && ago > 10*took {
			began := g.ticks()
			counts, err := g.store.TermCounts(ctx, g.now().UTC(), g.now().UTC(), TermQuestion{})
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("counting what is late: %w", err)
			}
			g.metrics.late(counts)
			counted, changed = g.ticks(), false
			took = counted - began
		}
		now := g.ticks()
		pause := termsPause(g.config.Times.Terms.D(), read, now-since)
		if read, since = 0, now; !sleep(ctx, pause) {
			return nil
		}
	}
}

// termsPause is how long the terms rest after so many entries were read in a time, begun
// behind the rest before: no longer than until half of what is read in one go has come. So
// a busy log is read while the store still remembers it, and not from the database. No log is
// so busy that a sixteenth of most would be too long.
func termsPause(most time.Duration, read int, in time.Duration) time.Duration {
	if read == 0 {
		return most
	}
	return min(most, max(most/16, time.Duration(float64(in)*(termRows/2)/float64(read))))
}

// termsCounted is how often what is late is counted for the metrics.
const termsCounted = 30 * time.Second

const (
	// termRows is how many entries are read, and how many terms are told, in one go. Terms
	// that open and are reached among them, which under load are most, never become rows; of a
	// message whose entries are read in two goes, the second one looks for rows.
	termRows = 16384
	// termFirst is how many they are at first, and after a failure. A go is one transaction, all
	// of it or nothing, whose statements have their time: one that a slow database cannot end
	// would be the same one again for ever.
	termFirst = 1024
	// termSoon is how long a go may take that a larger one follows.
	termSoon = 2 * time.Second
)

func (g *Gateway) openTermsOnce(ctx context.Context, rows int) (done TermsDone, told bool, err error) {
	defer g.metrics.stage("terms", "").end()
	if g.rooms.Clock.Trusted() != nil {
		return done, false, nil // nobody is late by a wrong clock
	}
	c, now := openedBy{g.Catalog()}, g.now().UTC()
	late := map[string]int{} // answers, by service
	done, err = g.store.FollowTerms(ctx, now, rows, TermRules{
		Step:  func(l *journal.Leaf) TermStep { return c.termStep(l) },
		Begin: c.beginTerm,
		Tell: func(t *OpenTerm, kind journal.Kind, reached bool) journal.Event {
			if answerOverdue(t, kind) {
				late[t.Service]++
			}
			return journal.Event{
				Kind: kind, Time: now, Node: g.config.Node, Message: t.Message.String(), MessageID: string(t.MessageID), Direction: string(t.Direction),
				Sender: string(t.Sender), Recipient: string(t.Recipient), Service: t.Service, Version: t.Version,
				Stage: string(t.Stage), Deadline: t.Due, Outcome: map[bool]string{true: "reached", false: "open"}[reached],
			}
		},
	})
	for stage, n := range done.Soon {
		g.metrics.soon.WithLabelValues(string(stage)).Add(float64(n))
	}
	for stage, n := range done.Overdue {
		g.metrics.overdue.WithLabelValues(string(stage)).Add(float64(n))
	}
	if err == nil {
		for service, n := range late {
			g.metrics.overdueOf.WithLabelValues(service).Add(float64(n))
		}
	}
	return done, len(done.Soon)+len(done.Overdue) > 0, err
}

// openedBy tells what entries open and reach by the rules and the calendar in force.
type openedBy struct{ *registry.Catalog }

// The stages that entries reach; nobody changes them.
var stagesQueued, stagesTaken, stagesStatus = []terms.Stage{terms.StageQueued}, []terms.Stage{terms.StageQueued, terms.StageTaken}, []terms.Stage{terms.StageStatus}

// termStep reads what an entry opens and reaches. Test messages have terms, and
// nobody is told of them.
func (c openedBy) termStep(l *journal.Leaf) (step TermStep) {
	id, err := uuid.Parse(l.Message)
	if err != nil || l.Test {
		return step
	}
	at := Reached{Message: id, At: l.Time}
	switch l.Kind {
	case journal.KindAccepted:
		step.Accepted, step.Open = id, c.opened(id, l)
		if d := Direction(l.Direction); (d == DirStatus || d == DirResponse || d == DirRejection) && l.Original != "" {
			step.Reached = Reached{Request: MessageID(l.Original), Stages: stagesStatus, At: l.Time}
		}
		return step
	case journal.KindQueued:
		at.Stages = stagesQueued
	case journal.KindDelivered:
		if l.Attempt > 1 {
			return step
		}
		at.Stages, at.Taken = stagesTaken, true
	default: // what its recipient never answered is not reached by its end
		at.Stages, at.Lost = terms.Stages, l.Kind != journal.KindAnswered || l.Outcome == "async"
	}
	step.Reached = at
	return step
}

// opened are the terms that an accepted message has.
func (c openedBy) opened(id uuid.UUID, l *journal.Leaf) (open []OpenTerm) {
	later, err := terms.ParseLater(l.Terms)
	if err != nil {
		later = terms.Later{} // of a newer node; its moments are here all the same
	}
	due := terms.Due{Queued: l.DueQueued, Taken: l.DueTaken, Status: l.DueStatus, Answered: l.Deadline}
	if Direction(l.Direction) == DirBroadcast {
		return nil // entries of before have a deadline that nobody could keep
	}
	for _, stage := range terms.Stages {
		t := OpenTerm{Message: id, Stage: stage, Due: due.At(stage), MessageID: MessageID(l.MessageID), Direction: Direction(l.Direction),
			Sender: Mnemonic(l.Sender), Recipient: Mnemonic(l.Recipient), Service: l.Service, Version: l.Version, Accepted: l.Time}
		if later.Has(stage) {
			t.Later = later
		}
		if t.Due.IsZero() && t.Later.IsZero() {
			continue
		}
		t.Next = c.warn(&t)
		open = append(open, t)
	}
	return open
}

// beginTerm counts a term from a delivery.
func (c openedBy) beginTerm(t *OpenTerm, delivered time.Time) {
	due := terms.Due{}
	if !t.Due.IsZero() {
		due.Earlier(t.Stage, t.Due)
	}
	due.Earlier(t.Stage, t.Later.Due(c.Calendar, delivered).At(t.Stage))
	t.Due, t.Later = due.At(t.Stage), terms.Later{}
	t.Next = c.warn(t)
}

// warn is when to warn of a term; without a moment: never.
func (c openedBy) warn(t *OpenTerm) time.Time {
	if t.Due.IsZero() {
		return time.Time{}
	}
	s := c.Service(t.Service, t.Version)
	if s == nil {
		return c.Calendar.Soon(terms.Term{}, t.Accepted, t.Due, terms.Moscow)
	}
	return c.Soon(s, t.Direction != DirRequest, t.Recipient, t.Stage, t.Accepted, t.Due)
}

// tellCalendar says in the log, once, that the calendar of a year is missing, and
// keeps the metric.
func (g *Gateway) tellCalendar(told int) int {
	year := g.Catalog().Calendar.Missing(g.now())
	g.metrics.calendar.Set(float64(year))
	if year != 0 && year != told {
		g.log.Warn("the production calendar of a year is missing: put it into the services' folder "+registry.CalendarFolder+" and reload; until then its working days are counted by weekends and the holidays of the Labour Code", "year", year)
	}
	return year
}
