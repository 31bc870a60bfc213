package audit

import (
	"fmt"
	"maps"
	"time"

	"mezhved/adapter/journal"
)

// Finding is something that must not be in an honest log. Index is the entry
// where it shows, or NoEntry when it is about the log as a whole.
type Finding struct {
	Index int64  `json:"index"`
	What  string `json:"what"`
}

func (f Finding) String() string {
	if f.Index == journal.NoEntry {
		return f.What
	}
	return fmt.Sprintf("entry %d: %s", f.Index, f.What)
}

// maxFindings bounds the list; a broken log would otherwise fill memory. Beyond
// it findings are only counted.
const maxFindings = 1000

// Recount reads a log from entry 0 on and does the bookkeeping again: counters
// without gaps, times that do not go back, period totals, chains of messages. It
// can be stored as JSON and go on later; chains that began before are then only
// checked for direction.
type Recount struct {
	Size       int64                      `json:"size"`
	First      time.Time                  `json:"first"`
	Logged     time.Time                  `json:"logged"`
	PeriodFrom int64                      `json:"periodFrom"`
	Closes     int64                      `json:"closes"`
	Period     map[journal.Kind]int64     `json:"period"` // of the open period
	Closed     map[journal.Kind]int64     `json:"closed"` // of all closed ones together
	Counters   map[string]journal.Counter `json:"counters"`
	Late       int64                      `json:"late"`
	Findings   []Finding                  `json:"findings,omitempty"`
	Found      int64                      `json:"found"` // findings, listed or not

	// While counting: settle brings what stands above up to date.
	parties        counters
	logged         int64 // milliseconds
	period, closed kindTotals
	chains         *chains
	from           int64 // chains are known from this entry on
	reader         journal.LeafReader
}

// kindTotals counts entries by kind.
type kindTotals [journal.KindNumbers]int64

// byKind leaves out the kinds without entries.
func (t *kindTotals) byKind() map[journal.Kind]int64 {
	out := map[journal.Kind]int64{}
	for n, count := range t {
		if count != 0 {
			out[journal.KindNumber(n).Kind()] = count
		}
	}
	return out
}

func totalsOf(counts map[journal.Kind]int64) (t kindTotals) {
	for kind, n := range counts {
		t[kind.Number()] = n
	}
	return t
}

// counted is what of a leaf is needed for counting it.
type counted struct {
	journal.Facts
	key messageKey
	err error // why it cannot be counted
}

// countable reads a leaf into c.
func (c *counted) countable(leaf []byte, r *journal.LeafReader) {
	if c.err = r.Facts(leaf, &c.Facts); c.err == nil && len(c.Message) > 0 {
		c.key = keyOf(c.Message)
	}
}

// Kinds counts the entries of the whole log by kind.
func (r *Recount) Kinds() map[journal.Kind]int64 {
	out := maps.Clone(r.Closed)
	for k, n := range r.Period {
		out[k] += n
	}
	return out
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
		r.Period = map[journal.Kind]int64{}
	}
	if r.Closed == nil {
		r.Closed = map[journal.Kind]int64{}
	}
	if r.Counters == nil {
		r.Counters = map[string]journal.Counter{}
	}
	r.parties = newCounters(r.Counters)
	r.logged = r.Logged.UnixMilli()
	r.period, r.closed = totalsOf(r.Period), totalsOf(r.Closed)
	r.chains, r.from = newChains(), r.Size
}

// settle brings the exported fields up to date.
func (r *Recount) settle() {
	for _, p := range r.parties.sorted {
		r.Counters[p.name] = p.Counter
	}
	r.Period, r.Closed = r.period.byKind(), r.closed.byKind()
	if r.logged > r.Logged.UnixMilli() {
		r.Logged = moment(r.logged)
	}
}

func (r *Recount) find(index int64, format string, args ...any) {
	r.Found++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, Finding{index, fmt.Sprintf(format, args...)})
	}
}

// Add takes the next entry of the log. Counters are those of all entries added.
func (r *Recount) Add(leaf []byte) {
	var c counted
	c.countable(leaf, &r.reader)
	r.add(&c)
	r.settle()
}

// add takes the next entry; settle must follow before the exported fields are read.
func (r *Recount) add(c *counted) {
	index := r.Size
	r.Size++
	if c.err != nil {
		r.find(index, "%v", c.err)
		return
	}
	if index == 0 {
		r.First = moment(c.Logged)
	}
	if c.Logged < r.logged {
		r.find(index, "logged at %s, before the entry above it (%s): back-dated or moved",
			moment(c.Logged).Format(time.RFC3339Nano), moment(r.logged).Format(time.RFC3339Nano))
	} else {
		r.logged = c.Logged
	}
	const lateAfter = int64(journal.LateAfter / time.Millisecond)
	if late := c.Logged - c.Time; late > lateAfter {
		r.Late++
	} else if late < -lateAfter {
		r.find(index, "its time is %s after it was logged", moment(c.Time).Sub(moment(c.Logged)))
	}
	if len(c.Sender) > 0 || c.SenderSeq != 0 {
		have := r.parties.party(c.Sender)
		r.follows(index, "sender", c.Sender, c.SenderSeq, have.Sent)
		have.Sent = c.SenderSeq
	}
	if len(c.Recipient) > 0 || c.RecipientSeq != 0 {
		have := r.parties.party(c.Recipient)
		r.follows(index, "recipient", c.Recipient, c.RecipientSeq, have.Received)
		have.Received = c.RecipientSeq
	}
	if (c.Kind.Kind() == journal.KindPeriodClose) != (c.Period != nil) {
		r.find(index, "a period where none belongs, or none where one does")
	}
	if c.Period != nil {
		r.close(index, c.Period)
	}
	r.chain(index, c)
	r.period[c.Kind]++
}

func (r *Recount) follows(index int64, role string, party []byte, seq, have int64) {
	switch {
	case len(party) == 0:
		r.find(index, "a %s counter without a %s", role, role)
	case seq != have+1:
		r.find(index, "%s %s has counter %d, the one before was %d: %d entries are missing or moved", role, party, seq, have, seq-have-1)
	}
}

func (r *Recount) close(index int64, p *journal.Period) {
	if p.From != r.PeriodFrom || p.To != index {
		r.find(index, "closes the period of entries %d to %d, which is %d to %d", p.From, p.To, r.PeriodFrom, index)
	}
	if totals := r.period.byKind(); !maps.Equal(p.Totals, totals) {
		r.find(index, "closes its period with totals %v, recounted %v", p.Totals, totals)
	}
	if parties := len(r.parties.sorted); p.Counters != r.parties.sum() || p.Parties != int64(parties) {
		r.find(index, "closes its period with counters of %d parties that differ from the recounted ones of %d", p.Parties, parties)
	}
	r.Closes++
	r.PeriodFrom = index
	for n, count := range r.period {
		r.closed[n] += count
	}
	r.period = kindTotals{}
}

func (r *Recount) chain(index int64, c *counted) {
	if len(c.Message) == 0 {
		if c.Prev != journal.NoEntry {
			r.find(index, "names an entry before it, but no message")
		}
		return
	}
	last := r.chains.follow(c.key, index)
	switch {
	case c.Kind.Kind().Begins():
		if c.Prev != journal.NoEntry {
			r.find(index, "begins message %s and yet names an entry before it", c.Message)
		}
	case c.Prev >= index:
		r.find(index, "names entry %d as the one before it", c.Prev)
	case last != journal.NoEntry && c.Prev != last:
		r.find(index, "message %s: names entry %d as the one before it, that was %d", c.Message, c.Prev, last)
	case last == journal.NoEntry && c.Prev >= r.from:
		r.find(index, "message %s: names entry %d as the one before it, which is not of this message", c.Message, c.Prev)
	}
}

// moment is a time of a leaf.
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
