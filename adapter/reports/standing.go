package reports

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/terms"
)

// A report begins at entry 0, because it has to know which requests were open when its
// period began. A Standing is what the log says of that up to one of its entries: whoever
// has one reads on from there, and his report is the same, byte for byte. It is made of
// the log alone and can be made again at any time; nobody proves anything by it, and an
// auditor needs none. It names no person: of a request it has what stands in clear in the
// entries, its MessageID and the sides.
//
// What is counted in a period is mostly what happens in it. Of what happened before, a
// Fold needs the requests that are open, and of what was reached in time before its term
// that the term ends in the period: that has to be kept of requests that have long been
// answered. Each Standing has what was reached since the one before it.

// standingForm is counted up when a Fold keeps or counts something else.
const standingForm = 1

// StandingEntries is how many entries there are between two standings at least, and
// perOpen how many for each open request: so what is kept stays small beside the log.
const (
	StandingEntries = 1 << 20
	perOpen         = 16
)

// Standing is what a Fold needs of the entries in front of one.
type Standing struct {
	Entries int64  // in front of it, a multiple of a tile's width
	Next    int64  // so many are in front of the one that follows it
	Rules   string // by which it was made
	Latest  time.Time
	LastDue time.Time // of what is in Kept; zero: nothing is
	Open    []byte    // the requests that are open
	Kept    []byte    // what was reached since the standing before, and whose term ends after Latest
}

// Standings gives standings of a log.
type Standings interface {
	// Standing gives the last one of these rules in front of which there are no more than
	// so many entries, all of them of before a moment (Latest), and what it and those in
	// front of it have in Kept that ends at that moment or after it (LastDue). Without one
	// it gives nil and no error.
	Standing(ctx context.Context, rules string, entries int64, before time.Time) (*Standing, [][]byte, error)
}

// Rules names the rules by which standings are made with a calendar; nil is the shipped
// one. Of others none is used.
func Rules(c *terms.Calendar) string {
	if c == nil {
		c = terms.Shipped()
	}
	years, _ := json.Marshal(c.Years()) // texts and numbers
	return fmt.Sprintf("%d-%x", standingForm, sha256.Sum256(years))[:24]
}

// kept is something that was reached in time, before its term ended.
type kept struct {
	parties
	test         bool
	stage        uint8 // queued, taken, status or answered
	due, reserve int64
}

// keeper reads a log and makes standings of it.
type keeper struct {
	fold   *Fold
	rules  string
	latest int64 // milliseconds
	next   int64 // so many entries are in front of the standing that is to be made
}

// newKeeper begins behind a standing, or with nil at entry 0.
func newKeeper(c *terms.Calendar, last *Standing) (*keeper, error) {
	k := &keeper{rules: Rules(c), latest: math.MinInt64, next: StandingEntries}
	k.fold = newFold(Question{Tests: With, Calendar: cmp.Or(c, terms.Shipped())})
	k.fold.from, k.fold.end, k.fold.closes, k.fold.keeps = math.MaxInt64, math.MaxInt64, math.MaxInt64, true
	if last == nil {
		return k, nil
	}
	k.latest, k.next = last.Latest.UnixMilli(), last.Next
	return k, k.fold.resume(last, nil)
}

// add takes the next entry.
func (k *keeper) add(leaf []byte) error {
	if _, err := k.fold.Add(leaf); err != nil {
		return err
	}
	k.latest = max(k.latest, momentOf(&k.fold.telling))
	return nil
}

// standing is that of the entries so far.
func (k *keeper) standing() *Standing {
	f := k.fold
	after := max(StandingEntries, perOpen*int64(len(f.open))/journal.TileWidth*journal.TileWidth)
	s := &Standing{Entries: f.read, Next: f.read + after, Rules: k.rules, Latest: time.UnixMilli(k.latest).UTC()}
	f.kept = slices.DeleteFunc(f.kept, func(x kept) bool { return x.due <= k.latest })
	slices.SortFunc(f.kept, func(a, b kept) int { return cmp.Compare(a.due, b.due) })
	w := &standingWriter{fold: f, numbers: map[uint32]uint64{}}
	last := int64(0)
	for i := range f.kept {
		x := &f.kept[i]
		w.parties(x.parties)
		w.flags(x.test)
		w.number(uint64(x.stage), uint64(x.due-last))
		w.offset(x.reserve)
		last = x.due
		s.LastDue = time.UnixMilli(x.due).UTC()
	}
	s.Kept = w.whole()
	var open []*exchange
	for i := range f.records {
		if f.records[i].accepted != 0 {
			open = append(open, &f.records[i])
		}
	}
	slices.SortFunc(open, func(a, b *exchange) int {
		return cmp.Or(cmp.Compare(a.accepted, b.accepted), bytes.Compare(a.message[:], b.message[:]))
	})
	w = &standingWriter{fold: f, numbers: map[uint32]uint64{}}
	last = 0
	for _, x := range open {
		n, found := f.open[x.message]
		w.parties(x.parties)
		w.flags(x.test, x.odd, found && &f.records[n] == x)
		w.offset(x.accepted - last)
		for _, at := range x.moments() {
			if *at == 0 {
				w.number(0)
			} else {
				w.number(1)
				w.offset(*at - x.accepted)
			}
		}
		w.text(x.later)
		w.text(x.mark)
		w.body = append(w.body, x.message[:]...)
		last = x.accepted
	}
	s.Open = w.whole()
	return s
}

// moments are those of an exchange that may be missing.
func (x *exchange) moments() [7]*int64 {
	return [...]*int64{&x.due, &x.queued, &x.taken, &x.status, &x.dues[stageQueued], &x.dues[stageTaken], &x.dues[stageStatus]}
}

// resume takes a fold that has read nothing to where a standing stands. kept is what
// standings up to it have kept.
func (f *Fold) resume(s *Standing, keptOf [][]byte) error {
	r := openStanding(s.Open)
	last := int64(0)
	for r.more() {
		p := r.parties()
		flags := r.number()
		x := exchange{parties: f.partiesOf(p), test: flags&1 != 0, odd: flags&2 != 0}
		x.accepted = last + r.offset()
		last = x.accepted
		for _, at := range x.moments() {
			if r.number() != 0 {
				*at = x.accepted + r.offset()
			}
		}
		x.later, x.mark = f.number(r.text()), f.number(r.text())
		copy(x.message[:], r.cut(uint64(len(x.message))))
		if r.broken || !f.asked(p[0], p[2], p[3], x.test) {
			continue
		}
		if len(f.open) >= MostOpen {
			return errMostOpen
		}
		f.records = append(f.records, x)
		if flags&4 != 0 {
			f.open[x.message] = uint32(len(f.records) - 1)
		}
	}
	broken := r.broken
	for _, b := range keptOf {
		r, last = openStanding(b), 0
		for r.more() {
			p, test := r.parties(), r.number()&1 != 0
			stage := r.number()
			last += int64(r.number())
			reserve := r.offset()
			if r.broken || last < f.from || last >= f.end || !f.asked(p[0], p[2], p[3], test) {
				continue
			}
			c, err := f.cell(f.partiesOf(p))
			if err != nil {
				return err
			}
			switch {
			case stage < terminal:
				c.stageDue[stage]++
			case stage == stageAnswered:
				c.due, c.inTime, c.reserve = c.due+1, c.inTime+1, c.reserve+reserve
			default:
				r.broken = true
			}
		}
		broken = broken || r.broken
	}
	if broken {
		return errStanding
	}
	f.read = s.Entries
	return nil
}

var errStanding = errors.New("a standing of the log cannot be read")

// partiesOf are sides by their texts: service, version, sender, provider.
func (f *Fold) partiesOf(p [4][]byte) parties {
	return parties{f.number(p[0]), f.number(p[1]), f.number(p[2]), f.number(p[3])}
}

// standingWriter writes numbers, and texts as their numbers among those that it met.
type standingWriter struct {
	fold    *Fold
	numbers map[uint32]uint64
	texts   []byte
	body    []byte
}

func (w *standingWriter) number(list ...uint64) {
	for _, n := range list {
		w.body = binary.AppendUvarint(w.body, n)
	}
}

func (w *standingWriter) offset(n int64) { w.body = binary.AppendVarint(w.body, n) }

func (w *standingWriter) text(n uint32) {
	k, ok := w.numbers[n]
	if !ok {
		k = uint64(len(w.numbers))
		w.numbers[n] = k
		text := w.fold.texts[n]
		w.texts = append(binary.AppendUvarint(w.texts, uint64(len(text))), text...)
	}
	w.number(k)
}

func (w *standingWriter) parties(p parties) {
	for _, n := range [...]uint32{p.service, p.version, p.sender, p.provider} {
		w.text(n)
	}
}

func (w *standingWriter) flags(list ...bool) {
	n := uint64(0)
	for i, is := range list {
		if is {
			n |= 1 << i
		}
	}
	w.number(n)
}

// whole is what was written: how many texts there are, these, and the rest.
func (w *standingWriter) whole() []byte {
	out := binary.AppendUvarint(nil, uint64(len(w.numbers)))
	return append(append(out, w.texts...), w.body...)
}

// standingReader reads what a standingWriter wrote. What cannot be read is broken, and
// empty from there on.
type standingReader struct {
	b      []byte
	texts  [][]byte
	broken bool
}

func openStanding(b []byte) *standingReader {
	r := &standingReader{b: b}
	for n := r.number(); n > 0 && !r.broken; n-- {
		r.texts = append(r.texts, r.cut(r.number()))
	}
	return r
}

func (r *standingReader) more() bool { return !r.broken && len(r.b) > 0 }

func (r *standingReader) fail() { r.b, r.broken = nil, true }

func (r *standingReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *standingReader) offset() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *standingReader) cut(n uint64) (out []byte) {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	out, r.b = r.b[:n], r.b[n:]
	return out
}

func (r *standingReader) text() []byte {
	n := r.number()
	if n >= uint64(len(r.texts)) {
		r.fail()
		return nil
	}
	return r.texts[n]
}

func (r *standingReader) parties() (p [4][]byte) {
	for i := range p {
		p[i] = r.text()
	}
	return p
}
