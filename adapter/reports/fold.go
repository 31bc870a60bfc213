package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/terms"

	"github.com/google/uuid"
)

// Bounds of a Fold's memory.
const (
	MostOpen  = 4_000_000 // open requests at once
	MostCells = 200_000   // of services, versions, senders and providers that stand together
)

// Slack is how much later than it happened an event may be logged and still belong to
// the time at which it happened.
const Slack = 24 * time.Hour

// recent is the time before the end of a report by whose rate the future is foretold.
const recent = 7 * 24 * time.Hour

// mostLate is how many late exchanges are told one by one, those that are late most.
const mostLate = 500

// Fold reads the entries of a log in their order and keeps what a report is made of.
type Fold struct {
	q                    Question
	from, end, closes    int64 // milliseconds; entries from closes on are not read
	recent               int64
	reader               journal.LeafReader
	telling              journal.Telling
	read                 int64 // entries
	texts                []string
	numbers              map[string]uint32 // of texts
	open                 map[id]uint32     // to records
	records              []exchange
	free                 []uint32
	cells                map[parties]*cell
	days                 []day
	hours                [7][24]int64 // requests by weekday, from Monday, and hour
	refusals             map[refusal]int64
	marks                map[marked]*markCount
	bands                [len(bandNames)]int64 // late exchanges by how late they were
	late                 worst
	zoned                time.Time // a moment whose offset and end of day are known
	dayFrom, dayTo, hour int64
	dayNumber            int
	keeps                bool // it is a keeper's: nothing is in its period
	kept                 []kept
}

// id is a MessageID: the bytes of a UUID, or of a digest of what is none.
type id [16]byte

// parties are the sides of an exchange, as numbers of texts.
type parties struct{ service, version, sender, provider uint32 }

// exchange is an open request. Times are milliseconds, 0: not yet, or none.
type exchange struct {
	parties
	accepted, due, queued, taken, status int64
	dues                                 [terminal]int64 // of the stages before the answer
	later, mark                          uint32          // numbers of the texts of what counts from the delivery, and of the last mark
	message                              id
	odd                                  bool // the MessageID is no UUID
	test                                 bool
}

// Stages of a request whose lengths are told.
const (
	stageQueued   = iota // accepted until it stands in the provider's queue
	stageTaken           // from there until the provider first has it
	stageStatus          // accepted until the provider's first status
	stageWorked          // the provider has it until its final answer
	stageAnswered        // accepted until its final answer
	stages
)

// terminal is how many stages have terms, beside the answer: queued, taken, status.
const terminal = stageStatus + 1

// StageNames are the stages as reports call them.
var StageNames = [stages]string{"queued", "taken", "status", "worked", "answered"}

// marked is a mark that a provider puts on requests by its statuses: the status code, a
// number of its own.
type marked struct{ provider, mark uint32 }

type markCount struct{ statuses, open int64 }

// mostMarks bounds how many marks are told apart: the codes are the providers' own.
const mostMarks = 5000

// cell is what is counted of exchanges with the same sides within the period.
type cell struct {
	accepted, answered, rejected, lost int64 // requests that came, and how they ended
	broadcasts, statuses, returned     int64
	calls                              int64 // messages that were accepted from either side
	faults                             [4]int64
	due, inTime, lateAnswered, lateNow int64
	stageDue, stageLate                [terminal]int64
	reserve                            int64 // hundredths of a percent of the term that were left, summed over due
	recent                             int64 // that ended lately
	stages                             [stages]Histogram

	open, openLate, dueToday int64
	waiting                  []waiting
}

// waiting is an open request that is to be worked off.
type waiting struct {
	accepted, due int64
	message       id
}

type day struct{ in, out, late, refused int64 }

type refusal struct {
	outcome, rule uint32
	whose         Whose
	stranger      bool
}

var whoses = [4]Whose{OfSender, OfProvider, OfBus, OfAuthority}

// NewFold begins at entry 0 of a log.
func NewFold(q Question) (*Fold, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	end := q.end()
	f := newFold(q)
	f.from, f.end, f.closes = q.Period.From.UnixMilli(), end.UnixMilli(), q.Period.To.Add(Slack).UnixMilli()
	f.recent = max(f.from, end.Add(-recent).UnixMilli())
	return f, nil
}

func newFold(q Question) *Fold {
	f := &Fold{q: q, numbers: map[string]uint32{}, open: map[id]uint32{}, cells: map[parties]*cell{}, refusals: map[refusal]int64{}, marks: map[marked]*markCount{}}
	f.number(nil) // 0 is the empty text
	return f
}

// momentOf is to which moment an event belongs.
func momentOf(t *journal.Telling) int64 {
	return max(t.Time, t.Logged-int64(Slack/time.Millisecond))
}

// number is the number of a text.
func (f *Fold) number(text []byte) uint32 {
	n, ok := f.numbers[string(text)]
	if !ok {
		n = uint32(len(f.texts))
		f.texts = append(f.texts, string(text))
		f.numbers[string(text)] = n
	}
	return n
}

// Add takes the next entry. More is false when the book of the period is closed:
// what comes after it is of no account.
func (f *Fold) Add(leaf []byte) (more bool, err error) {
	t := &f.telling
	if err := f.reader.Telling(leaf, t); err != nil {
		return false, fmt.Errorf("entry %d: %w", f.read, err)
	}
	if t.Logged >= f.closes {
		return false, nil
	}
	f.read++
	at := momentOf(t)
	if at >= f.end {
		return true, nil
	}
	switch t.Kind {
	case accepted:
		err = f.accepted(t, at)
	case queued, delivered, returned:
		err = f.moved(t, at)
	case answered, expired, dead:
		err = f.ended(t, at)
	case refused, strangers:
		err = f.refused(t, at)
	}
	if err != nil {
		return false, fmt.Errorf("entry %d: %w", f.read-1, err)
	}
	return true, nil
}

// holds is about how many bytes the fold holds, in steps of a megabyte.
func (f *Fold) holds() int {
	return (len(f.records)*150 + len(f.kept)*48 + len(f.cells)*2000 + len(f.texts)*100 + len(f.refusals)*100) >> 20 << 20
}

// The kinds that matter, as numbers.
var (
	accepted, queued, delivered, returned = journal.KindAccepted.Number(), journal.KindQueued.Number(), journal.KindDelivered.Number(), journal.KindReturned.Number()
	answered, expired, dead               = journal.KindAnswered.Number(), journal.KindExpired.Number(), journal.KindDead.Number()
	refused, strangers                    = journal.KindRefused.Number(), journal.KindStrangers.Number()
)

// within says whether a moment before the end is in the period.
func (f *Fold) within(at int64) bool { return at >= f.from }

// asked says whether an exchange is asked for.
func (f *Fold) asked(service, sender, provider []byte, test bool) bool {
	q := &f.q
	return (q.Tests == With || test == (q.Tests == Only)) && (q.Service == "" || q.Service == string(service)) &&
		(q.Party == "" || q.Party == string(sender) || q.Party == string(provider))
}

// cell is where exchanges with these sides are counted.
func (f *Fold) cell(p parties) (*cell, error) {
	c := f.cells[p]
	if c == nil {
		if len(f.cells) >= MostCells {
			return nil, fmt.Errorf("more than %d services, versions, senders and providers stand together in this period: ask for one service or party, or for a shorter period", MostCells)
		}
		c = &cell{}
		f.cells[p] = c
	}
	return c, nil
}

func (f *Fold) accepted(t *journal.Telling, at int64) error {
	sender, provider := t.Sender, t.Recipient
	reply := false
	switch string(t.Direction) {
	case "request", "broadcast":
	case "response", "rejection", "status":
		sender, provider, reply = t.Recipient, t.Sender, true
	default: // the gateway's own message is no call
		return nil
	}
	if !f.asked(t.Service, sender, provider, t.Test) {
		return f.passedOver(t, provider, at)
	}
	p := parties{f.number(t.Service), f.number(t.Version), f.number(sender), f.number(provider)}
	if f.within(at) {
		c, err := f.cell(p)
		if err != nil {
			return err
		}
		c.calls++
		switch string(t.Direction) {
		case "request":
			c.accepted++
			f.day(at).in++
			f.hours[(int(f.zoned.Weekday())+6)%7][f.hour]++
		case "broadcast":
			c.broadcasts++
		case "status":
			c.statuses++
		}
	}
	if reply {
		if string(t.Direction) == "status" {
			return f.marked(t, p.provider, at, true)
		}
		return nil
	}
	if string(t.Direction) != "request" {
		return nil
	}
	if len(f.open) >= MostOpen {
		return errMostOpen
	}
	n := uint32(len(f.records))
	if last := len(f.free) - 1; last >= 0 {
		n, f.free = f.free[last], f.free[:last]
	} else {
		f.records = append(f.records, exchange{})
	}
	message, uuid := idOf(t.MessageID)
	f.records[n] = exchange{parties: p, accepted: at, due: t.Deadline, dues: [terminal]int64{t.DueQueued, t.DueTaken, t.DueStatus}, later: f.number(t.Terms), message: message, odd: !uuid, test: t.Test}
	f.open[message] = n
	return nil
}

var errMostOpen = fmt.Errorf("more than %d requests are open at once: ask for one service or party", MostOpen)

// passedOver is an acceptance that is not asked for. What it does to exchanges that are,
// it does all the same, so that they go as they do when everything is asked for: a status
// reaches its request whatever it is marked as, and a MessageID names the last request
// that bears it.
func (f *Fold) passedOver(t *journal.Telling, provider []byte, at int64) error {
	switch string(t.Direction) {
	case "status":
		return f.marked(t, f.number(provider), at, false)
	case "request":
		message, _ := idOf(t.MessageID)
		delete(f.open, message)
	}
	return nil
}

// idOf is the id of a MessageID.
func idOf(messageID []byte) (message id, uuid bool) {
	if len(messageID) == 36 && messageID[8] == '-' && messageID[13] == '-' && messageID[18] == '-' && messageID[23] == '-' {
		var digits [32]byte
		n := 0
		for i, c := range messageID {
			if i != 8 && i != 13 && i != 18 && i != 23 {
				digits[n] = c
				n++
			}
		}
		if _, err := hex.Decode(message[:], digits[:]); err == nil && lower(digits[:]) {
			return message, true
		}
	}
	sum := sha256.Sum256(messageID)
	return id(sum[:16]), false
}

func lower(digits []byte) bool {
	for _, c := range digits {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}

// spelled is the MessageID of an exchange, or what is known of it.
func (x *exchange) spelled() string {
	if x.odd {
		return fmt.Sprintf("sha256:%x…", x.message)
	}
	return uuid.UUID(x.message).String()
}

// find gives an open request.
func (f *Fold) find(messageID []byte) *exchange {
	message, _ := idOf(messageID)
	n, ok := f.open[message]
	if !ok {
		return nil
	}
	return &f.records[n]
}

// reached counts how long a stage took that began at a moment, and whether it was late.
func (f *Fold) reached(x *exchange, stage int, from, at int64) error {
	if err := f.judgeStage(x, stage, at); err != nil || !f.within(at) {
		return err
	}
	c, err := f.cell(x.parties)
	if err == nil {
		c.stages[stage].Add(at - from)
	}
	return err
}

// judgeStage holds a stage before the answer against its term, as judge does.
func (f *Fold) judgeStage(x *exchange, stage int, at int64) error {
	due := x.dues[stage]
	if f.keeps {
		f.keep(x, stage, due, at, 0)
		return nil
	}
	if due == 0 || due < f.from || due >= f.end {
		return nil
	}
	c, err := f.cell(x.parties)
	if err != nil {
		return err
	}
	c.stageDue[stage]++
	if at > due || at >= f.end {
		c.stageLate[stage]++
	}
	return nil
}

// unreached judges the stages that a request has not reached when it ends, or when the
// report does. One that was lost kept no term that had not come yet, and broke none.
func (f *Fold) unreached(x *exchange, at int64, lost bool) error {
	for stage, reached := range [terminal]int64{x.queued, x.taken, x.status} {
		if reached != 0 || lost && at <= x.dues[stage] {
			continue
		}
		if err := f.judgeStage(x, stage, at); err != nil {
			return err
		}
	}
	return nil
}

// delivered adds the terms that count from the first delivery; of two for one stage the
// earlier counts.
func (f *Fold) delivered(x *exchange) error {
	if x.later == 0 {
		return nil
	}
	later, err := terms.ParseLater(f.texts[x.later])
	if err != nil {
		return err
	}
	due := later.Due(f.q.Calendar, time.UnixMilli(x.taken))
	for stage, at := range map[terms.Stage]*int64{terms.StageStatus: &x.dues[stageStatus], terms.StageAnswered: &x.due} {
		if t := due.At(stage); !t.IsZero() && (*at == 0 || t.UnixMilli() < *at) {
			*at = t.UnixMilli()
		}
	}
	return nil
}

// moved follows a request to its provider.
func (f *Fold) moved(t *journal.Telling, at int64) error {
	x := f.find(t.MessageID)
	switch {
	case x == nil:
	case t.Kind == queued && x.queued == 0:
		x.queued = at
		return f.reached(x, stageQueued, x.accepted, at)
	case t.Kind == delivered && x.taken == 0:
		x.taken = at
		if err := f.delivered(x); err != nil {
			return err
		}
		return f.reached(x, stageTaken, max(x.queued, x.accepted), at)
	case t.Kind == returned && f.within(at):
		c, err := f.cell(x.parties)
		if err != nil {
			return err
		}
		c.returned++
	}
	return nil
}

// marked notes a provider's word about a request: the first one ends a stage, the last
// one's code is the request's mark. counts says whether it is asked for itself.
func (f *Fold) marked(t *journal.Telling, provider uint32, at int64, counts bool) error {
	mark := f.markOf(provider, t.Rule)
	if counts && mark != 0 && f.within(at) {
		f.mark(provider, mark).statuses++
	}
	x := f.find(t.Original)
	if x == nil {
		return nil
	}
	if mark != 0 {
		x.mark = mark
	}
	if x.status != 0 {
		return nil
	}
	x.status = at
	return f.reached(x, stageStatus, x.accepted, at)
}

// markOf is the number of the mark that the rule of an entry tells (status.20), 0
// without one.
func (f *Fold) markOf(provider uint32, rule []byte) uint32 {
	for note := range bytes.FieldsSeq(rule) {
		code, ok := bytes.CutPrefix(note, []byte("status."))
		if !ok {
			continue
		}
		if n, known := f.numbers[string(code)]; len(f.marks) >= mostMarks && (!known || f.marks[marked{provider, n}] == nil) {
			return f.number([]byte("…"))
		}
		return f.number(code)
	}
	return 0
}

func (f *Fold) mark(provider, mark uint32) *markCount {
	c := f.marks[marked{provider, mark}]
	if c == nil {
		c = &markCount{}
		f.marks[marked{provider, mark}] = c
	}
	return c
}

// ended closes a request.
func (f *Fold) ended(t *journal.Telling, at int64) error {
	x := f.find(t.MessageID)
	if x == nil {
		return nil
	}
	if f.within(at) {
		c, err := f.cell(x.parties)
		if err != nil {
			return err
		}
		f.day(at).out++
		if at >= f.recent {
			c.recent++
		}
		outcome := string(t.Outcome)
		switch {
		case t.Kind == answered && outcome == "response":
			c.answered++
		case t.Kind == answered && outcome == "rejection":
			c.rejected++
		default: // nobody could deliver it, or its life ended: the gateway has said so
			c.lost++
		}
		if t.Kind == answered && outcome != "async" {
			c.stages[stageAnswered].Add(at - x.accepted)
			if x.taken != 0 {
				c.stages[stageWorked].Add(at - x.taken)
			}
		}
	}
	lost := t.Kind != answered || string(t.Outcome) == "async"
	if !lost || at > x.due { // else it did not live until its term
		if err := f.judge(x, at); err != nil {
			return err
		}
	}
	if err := f.unreached(x, at, lost); err != nil {
		return err
	}
	message := x.message
	n := f.open[message]
	delete(f.open, message)
	f.records[n] = exchange{}
	f.free = append(f.free, n)
	return nil
}

// judge holds a request against its term when it ends, or when the report does (at
// is then the end). It counts in the period in which it is due.
func (f *Fold) judge(x *exchange, at int64) error {
	if f.keeps {
		f.keep(x, stageAnswered, x.due, at, x.reserve(at))
		return nil
	}
	if x.due == 0 || x.due < f.from || x.due >= f.end {
		return nil
	}
	c, err := f.cell(x.parties)
	if err != nil {
		return err
	}
	c.due++
	if at <= x.due && at < f.end {
		c.inTime++
		c.reserve += x.reserve(at)
		return nil
	}
	f.day(x.due).late++
	end := at
	if at >= f.end {
		c.lateNow++
		end = 0
	} else {
		c.lateAnswered++
	}
	band := 0
	for band < len(bandEnds) && at-x.due > bandEnds[band] {
		band++
	}
	f.bands[band]++
	f.late.add(lateExchange{exchange: *x, ended: end, delay: at - x.due})
	return nil
}

// reserve is how much of its term was left to a request that was answered in time.
func (x *exchange) reserve(at int64) int64 {
	if term := x.due - x.accepted; term > 0 {
		return (x.due - at) * 10000 / term
	}
	return 0
}

// keep notes what was reached before its term ended. What is reached later is counted in
// no period that begins after it.
func (f *Fold) keep(x *exchange, stage int, due, at, reserve int64) {
	if due > at {
		f.kept = append(f.kept, kept{x.parties, x.test, uint8(stage), due, reserve})
	}
}

func (f *Fold) refused(t *journal.Telling, at int64) error {
	if !f.within(at) {
		return nil
	}
	side := SideOf(string(t.Outcome), string(t.Rule))
	operation := string(t.Operation)
	whose := side.Of(operation)
	sender, provider := t.Sender, t.Recipient
	if operation == "SendResponse" || operation == "GetRequest" {
		sender, provider = t.Recipient, t.Sender
	}
	if !f.asked(t.Service, sender, provider, t.Test) {
		return nil
	}
	n := max(t.Count, 1)
	f.refusals[refusal{f.number(t.Outcome), f.number(t.Rule), whose, t.Kind == strangers || len(t.Sender) == 0}] += n
	f.day(at).refused += n
	if operation != "SendRequest" && operation != "SendResponse" || len(t.Sender) == 0 {
		return nil // no call of a service
	}
	c, err := f.cell(parties{f.number(t.Service), f.number(t.Version), f.number(sender), f.number(provider)})
	if err != nil {
		return err
	}
	for i := range whoses {
		if whoses[i] == whose {
			c.faults[i] += n
		}
	}
	return nil
}

// day is the day of a moment within the period, in the zone; hour and weekday of the
// moment are then known, too.
func (f *Fold) day(at int64) *day {
	if at < f.dayFrom || at >= f.dayTo {
		t := time.UnixMilli(at).In(f.q.Zone)
		begin := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, f.q.Zone)
		f.zoned, f.dayFrom, f.dayTo = begin, begin.UnixMilli(), begin.AddDate(0, 0, 1).UnixMilli()
		f.dayNumber = daysBetween(f.q.Period.From.In(f.q.Zone), begin)
	}
	f.hour = int64(time.UnixMilli(at).In(f.q.Zone).Hour())
	for len(f.days) <= f.dayNumber {
		f.days = append(f.days, day{})
	}
	return &f.days[f.dayNumber]
}

// daysBetween counts calendar days, whatever the clocks were put to in between.
func daysBetween(from, to time.Time) int {
	utc := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	return int(utc(to).Sub(utc(from)) / (24 * time.Hour))
}

// lateExchange is one that was late: ended is 0 while it is open.
type lateExchange struct {
	exchange
	ended, delay int64
}
