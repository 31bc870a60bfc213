package journal

import (
	"fmt"
	"maps"
	"time"
)

// Finding is something that must not be in an honest log. Index is the entry
// where it shows, or NoEntry when it is about the log as a whole.
type Finding struct {
	Index int64  `json:"index"`
	What  string `json:"what"`
}

func (f Finding) String() string {
	if f.Index == NoEntry {
		return f.What
	}
	return fmt.Sprintf("entry %d: %s", f.Index, f.What)
}

// maxFindings bounds the list; a broken log would otherwise fill memory. Beyond
// it findings are only counted.
const maxFindings = 1000

// LateAfter is how much later than its own time an entry may be logged before a
// Recount counts it as late. Late entries are not findings: a stopped journal
// catches up on what was committed before it stopped.
const LateAfter = time.Minute

// Recount reads a log from entry 0 on and does the bookkeeping again: counters
// without gaps, times that do not go back, period totals, chains of messages. It
// can be stored as JSON and go on later; chains that began before are then only
// checked for direction.
type Recount struct {
	Size       int64              `json:"size"`
	First      time.Time          `json:"first"`
	Logged     time.Time          `json:"logged"`
	PeriodFrom int64              `json:"periodFrom"`
	Closes     int64              `json:"closes"`
	Period     map[Kind]int64     `json:"period"` // of the open period
	Kinds      map[Kind]int64     `json:"kinds"`  // of the whole log
	Counters   map[string]Counter `json:"counters"`
	Late       int64              `json:"late"`
	Findings   []Finding          `json:"findings,omitempty"`
	Found      int64              `json:"found"` // findings, listed or not

	chains map[string]int64
	from   int64 // chains are known from this entry on
}

// NewRecount begins at entry 0.
func NewRecount() *Recount {
	r := &Recount{}
	r.Resume()
	return r
}

// Resume prepares a Recount that was read from JSON to go on.
func (r *Recount) Resume() {
	if r.Period == nil {
		r.Period = map[Kind]int64{}
	}
	if r.Kinds == nil {
		r.Kinds = map[Kind]int64{}
	}
	if r.Counters == nil {
		r.Counters = map[string]Counter{}
	}
	r.chains, r.from = map[string]int64{}, r.Size
}

func (r *Recount) find(index int64, format string, args ...any) {
	r.Found++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, Finding{index, fmt.Sprintf(format, args...)})
	}
}

// Add takes the next entry of the log.
func (r *Recount) Add(leaf []byte) {
	index := r.Size
	r.Size++
	l, err := ParseLeaf(leaf)
	if err != nil {
		r.find(index, "%v", err)
		return
	}
	r.add(index, &l)
}

func (r *Recount) add(index int64, l *Leaf) {
	if index == 0 {
		r.First = l.Logged
	}
	if l.Logged.Before(r.Logged) {
		r.find(index, "logged at %s, before the entry above it (%s): back-dated or moved", l.Logged.Format(time.RFC3339Nano), r.Logged.Format(time.RFC3339Nano))
	} else {
		r.Logged = l.Logged
	}
	if l.Logged.Sub(l.Time) > LateAfter {
		r.Late++
	}
	if l.Time.Sub(l.Logged) > LateAfter {
		r.find(index, "its time is %s after it was logged", l.Time.Sub(l.Logged))
	}
	r.count(index, l.Sender, l.SenderSeq, true)
	r.count(index, l.Recipient, l.RecipientSeq, false)
	if (l.Kind == KindPeriodClose) != (l.Period != nil) {
		r.find(index, "a period where none belongs, or none where one does")
	}
	if l.Period != nil {
		r.close(index, l.Period)
	}
	r.chain(index, l)
	r.Period[l.Kind]++
	r.Kinds[l.Kind]++
}

func (r *Recount) count(index int64, party string, seq int64, sent bool) {
	role := "recipient"
	if sent {
		role = "sender"
	}
	if party == "" {
		if seq != 0 {
			r.find(index, "a %s counter without a %s", role, role)
		}
		return
	}
	c := r.Counters[party]
	have := &c.Received
	if sent {
		have = &c.Sent
	}
	if seq != *have+1 {
		r.find(index, "%s %s has counter %d, the one before was %d: %d entries are missing or moved", role, party, seq, *have, seq-*have-1)
	}
	*have = seq
	r.Counters[party] = c
}

func (r *Recount) close(index int64, p *Period) {
	if p.From != r.PeriodFrom || p.To != index {
		r.find(index, "closes the period of entries %d to %d, which is %d to %d", p.From, p.To, r.PeriodFrom, index)
	}
	if !maps.Equal(p.Totals, r.Period) {
		r.find(index, "closes its period with totals %v, recounted %v", p.Totals, r.Period)
	}
	if digest := CountersDigest(r.Counters); p.Counters != digest || p.Parties != int64(len(r.Counters)) {
		r.find(index, "closes its period with counters of %d parties that differ from the recounted ones of %d", p.Parties, len(r.Counters))
	}
	r.Closes++
	r.PeriodFrom = index
	r.Period = map[Kind]int64{}
}

func (r *Recount) chain(index int64, l *Leaf) {
	if l.Message == "" || r.chains == nil {
		return
	}
	last, known := r.chains[l.Message]
	switch {
	case !l.chained():
		if l.Prev != NoEntry {
			r.find(index, "begins message %s and yet names an entry before it", l.Message)
		}
	case l.Prev >= index:
		r.find(index, "names entry %d as the one before it", l.Prev)
	case known && l.Prev != last:
		r.find(index, "message %s: names entry %d as the one before it, that was %d", l.Message, l.Prev, last)
	case !known && l.Prev >= r.from:
		r.find(index, "message %s: names entry %d as the one before it, which is not of this message", l.Message, l.Prev)
	}
	r.chains[l.Message] = index
}
