package journal

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
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

	parties map[string]*Counter // Counters, while counting
	chains  map[messageKey]int64
	from    int64 // chains are known from this entry on
}

// messageKey is a message id in the least memory: a full log has very many. A
// UUID is its 16 bytes; anything else is the beginning of its SHA-256.
type messageKey [16]byte

func keyOf(message string) messageKey {
	var k messageKey
	if len(message) == 36 && message[8] == '-' && message[13] == '-' && message[18] == '-' && message[23] == '-' {
		n := 0
		for i := 0; i < len(message); i++ {
			if c := message[i]; c != '-' {
				d := hexDigit[c]
				if d == 0 || n == 32 {
					n = 0
					break
				}
				k[n/2] = k[n/2]<<4 | (d - 1)
				n++
			}
		}
		if n == 32 {
			return k
		}
	}
	h := sha256.Sum256([]byte(message))
	return messageKey(h[:16])
}

// hexDigit is the value of a lower-case hex digit plus 1, and 0 for other bytes.
var hexDigit = func() (table [256]byte) {
	for i := range hexDigits {
		table[hexDigits[i]] = byte(i + 1)
	}
	return table
}()

// counted is what of a leaf is needed for counting it.
type counted struct {
	kind                          Kind
	sender, recipient, message    string
	key                           messageKey
	time, logged                  time.Time
	prev, senderSeq, recipientSeq int64
	chained                       bool
	period                        *Period
	err                           error // why it cannot be counted
}

// countable parses a leaf into c; l is room to work in.
func (c *counted) countable(leaf string, l *Leaf) {
	if c.err = l.parse(leaf); c.err != nil {
		return
	}
	*c = counted{kind: l.Kind, sender: l.Sender, recipient: l.Recipient, message: l.Message, time: l.Time, logged: l.Logged,
		prev: l.Prev, senderSeq: l.SenderSeq, recipientSeq: l.RecipientSeq, chained: l.chained(), period: l.Period}
	if c.message != "" {
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
	r.chains, r.from = map[messageKey]int64{}, r.Size
}

// settle brings Counters up to date.
func (r *Recount) settle() {
	for party, c := range r.parties {
		r.Counters[party] = *c
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
	c.countable(string(leaf), &Leaf{})
	r.add(&c)
	r.settle()
}

// add takes the next entry; settle must follow before Counters are read.
func (r *Recount) add(c *counted) {
	index := r.Size
	r.Size++
	if c.err != nil {
		r.find(index, "%v", c.err)
		return
	}
	if index == 0 {
		r.First = c.logged
	}
	if c.logged.Before(r.Logged) {
		r.find(index, "logged at %s, before the entry above it (%s): back-dated or moved", c.logged.Format(time.RFC3339Nano), r.Logged.Format(time.RFC3339Nano))
	} else {
		r.Logged = c.logged
	}
	if late := c.logged.Sub(c.time); late > LateAfter {
		r.Late++
	} else if late < -LateAfter {
		r.find(index, "its time is %s after it was logged", -late)
	}
	if c.sender != "" || c.senderSeq != 0 {
		have := r.party(c.sender)
		r.follows(index, "sender", c.sender, c.senderSeq, have.Sent)
		have.Sent = c.senderSeq
	}
	if c.recipient != "" || c.recipientSeq != 0 {
		have := r.party(c.recipient)
		r.follows(index, "recipient", c.recipient, c.recipientSeq, have.Received)
		have.Received = c.recipientSeq
	}
	if (c.kind == KindPeriodClose) != (c.period != nil) {
		r.find(index, "a period where none belongs, or none where one does")
	}
	if c.period != nil {
		r.settle()
		r.close(index, c.period)
	}
	r.chain(index, c)
	r.Period[c.kind]++
}

func (r *Recount) party(name string) *Counter {
	c := r.parties[name]
	if c == nil {
		c = &Counter{}
		if name != "" { // a counter without a party is a finding, not a party
			r.parties[strings.Clone(name)] = c
		}
	}
	return c
}

func (r *Recount) follows(index int64, role, party string, seq, have int64) {
	switch {
	case party == "":
		r.find(index, "a %s counter without a %s", role, role)
	case seq != have+1:
		r.find(index, "%s %s has counter %d, the one before was %d: %d entries are missing or moved", role, party, seq, have, seq-have-1)
	}
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
	r.Closed = r.Kinds()
	r.Period = map[Kind]int64{}
}

func (r *Recount) chain(index int64, c *counted) {
	if c.message == "" {
		if c.prev != NoEntry {
			r.find(index, "names an entry before it, but no message")
		}
		return
	}
	last, known := r.chains[c.key]
	switch {
	case !c.chained:
		if c.prev != NoEntry {
			r.find(index, "begins message %s and yet names an entry before it", c.message)
		}
	case c.prev >= index:
		r.find(index, "names entry %d as the one before it", c.prev)
	case known && c.prev != last:
		r.find(index, "message %s: names entry %d as the one before it, that was %d", c.message, c.prev, last)
	case !known && c.prev >= r.from:
		r.find(index, "message %s: names entry %d as the one before it, which is not of this message", c.message, c.prev)
	}
	r.chains[c.key] = index
}
