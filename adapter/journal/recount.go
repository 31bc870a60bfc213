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
	Closed     map[Kind]int64     `json:"closed"` // of all closed ones together
	Counters   map[string]Counter `json:"counters"`
	Late       int64              `json:"late"`
	Findings   []Finding          `json:"findings,omitempty"`
	Found      int64              `json:"found"` // findings, listed or not

	// While counting: settle brings what stands above up to date.
	parties        map[string]*Counter
	logged         int64 // milliseconds
	period, closed kindTotals
	chains         *chains
	from           int64 // chains are known from this entry on
}

// kindTotals counts entries by kind.
type kindTotals [kindNumbers]int64

// byKind leaves out the kinds without entries.
func (t *kindTotals) byKind() map[Kind]int64 {
	out := map[Kind]int64{}
	for n, count := range t {
		if count != 0 {
			out[kindByNumber[n]] = count
		}
	}
	return out
}

func totalsOf(counts map[Kind]int64) (t kindTotals) {
	for kind, n := range counts {
		t[numberOfKind[kind]] = n
	}
	return t
}

// counted is what of a leaf is needed for counting it. Its texts are parts of the
// leaf, without escapes.
type counted struct {
	sender, recipient, message    []byte
	key                           messageKey
	time, logged                  int64
	prev, senderSeq, recipientSeq int64
	kind                          kindNumber
	period                        *Period
	err                           error // why it cannot be counted
}

// countable reads a leaf into c; f is room to work in.
func (c *counted) countable(leaf []byte, f *form) {
	if c.err = f.read(leaf); c.err != nil {
		return
	}
	c.sender, c.recipient, c.message = f.plain(mSender), f.plain(mRecipient), f.plain(mMessage)
	c.time, c.logged = f.number(mTime), f.number(mLogged)
	c.prev, c.senderSeq, c.recipientSeq = f.index(mPrev), f.number(mSenderSeq), f.number(mRecipientSeq)
	c.kind, c.period = f.kind, f.period
	if len(c.message) > 0 {
		c.key = keyOf(c.message)
	}
}

// Kinds counts the entries of the whole log by kind.
func (r *Recount) Kinds() map[Kind]int64 {
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
		r.Period = map[Kind]int64{}
	}
	if r.Closed == nil {
		r.Closed = map[Kind]int64{}
	}
	if r.Counters == nil {
		r.Counters = map[string]Counter{}
	}
	r.parties = map[string]*Counter{}
	for party, c := range r.Counters {
		r.parties[party] = &c
	}
	r.logged = r.Logged.UnixMilli()
	r.period, r.closed = totalsOf(r.Period), totalsOf(r.Closed)
	r.chains, r.from = newChains(), r.Size
}

// settle brings the exported fields up to date.
func (r *Recount) settle() {
	for party, c := range r.parties {
		r.Counters[party] = *c
	}
	r.Period, r.Closed = r.period.byKind(), r.closed.byKind()
	if r.logged > r.Logged.UnixMilli() {
		r.Logged = clock(r.logged)
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
	f := forms.Get().(*form)
	defer forms.Put(f)
	var c counted
	c.countable(leaf, f)
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
		r.First = clock(c.logged)
	}
	if c.logged < r.logged {
		r.find(index, "logged at %s, before the entry above it (%s): back-dated or moved",
			clock(c.logged).Format(time.RFC3339Nano), clock(r.logged).Format(time.RFC3339Nano))
	} else {
		r.logged = c.logged
	}
	const lateAfter = int64(LateAfter / time.Millisecond)
	if late := c.logged - c.time; late > lateAfter {
		r.Late++
	} else if late < -lateAfter {
		r.find(index, "its time is %s after it was logged", clock(c.time).Sub(clock(c.logged)))
	}
	if len(c.sender) > 0 || c.senderSeq != 0 {
		have := r.party(c.sender)
		r.follows(index, "sender", c.sender, c.senderSeq, have.Sent)
		have.Sent = c.senderSeq
	}
	if len(c.recipient) > 0 || c.recipientSeq != 0 {
		have := r.party(c.recipient)
		r.follows(index, "recipient", c.recipient, c.recipientSeq, have.Received)
		have.Received = c.recipientSeq
	}
	if (kindByNumber[c.kind] == KindPeriodClose) != (c.period != nil) {
		r.find(index, "a period where none belongs, or none where one does")
	}
	if c.period != nil {
		r.close(index, c.period)
	}
	r.chain(index, c)
	r.period[c.kind]++
}

func (r *Recount) party(name []byte) *Counter {
	c := r.parties[string(name)]
	if c == nil {
		c = &Counter{}
		if len(name) > 0 { // a counter without a party is a finding, not a party
			r.parties[string(name)] = c
		}
	}
	return c
}

func (r *Recount) follows(index int64, role string, party []byte, seq, have int64) {
	switch {
	case len(party) == 0:
		r.find(index, "a %s counter without a %s", role, role)
	case seq != have+1:
		r.find(index, "%s %s has counter %d, the one before was %d: %d entries are missing or moved", role, party, seq, have, seq-have-1)
	}
}

func (r *Recount) close(index int64, p *Period) {
	r.settle()
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
	for n, count := range r.period {
		r.closed[n] += count
	}
	r.period = kindTotals{}
}

func (r *Recount) chain(index int64, c *counted) {
	if len(c.message) == 0 {
		if c.prev != NoEntry {
			r.find(index, "names an entry before it, but no message")
		}
		return
	}
	last := r.chains.follow(c.key, index)
	switch {
	case kindByNumber[c.kind].begins():
		if c.prev != NoEntry {
			r.find(index, "begins message %s and yet names an entry before it", c.message)
		}
	case c.prev >= index:
		r.find(index, "names entry %d as the one before it", c.prev)
	case last != NoEntry && c.prev != last:
		r.find(index, "message %s: names entry %d as the one before it, that was %d", c.message, c.prev, last)
	case last == NoEntry && c.prev >= r.from:
		r.find(index, "message %s: names entry %d as the one before it, which is not of this message", c.message, c.prev)
	}
}
