package papers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// Verdict is what the log has done with the promise of a receipt.
type Verdict string

// Verdicts. Missing, Late and Altered are broken promises; Ahead and Undated are those
// that were made so, or are kept in such a log, that they cannot be broken.
const (
	Kept    Verdict = "kept"    // the entry is there and says what the receipt says
	Due     Verdict = "due"     // no entry yet, and the log has not been signed since the promise came due
	Missing Verdict = "missing" // no entry, in a log that was signed after the promise came due
	Late    Verdict = "late"    // there is one, logged after the promise came due
	Altered Verdict = "altered" // there is one, and it says something else
	Undated Verdict = "undated" // no entry, and the log does not say when it was signed: no promise would ever come due
	Ahead   Verdict = "ahead"   // no entry, and the receipt's time is yet to come: its promise would not be due before
)

// Broken says that the receipt and the log together prove a broken promise.
func (v Verdict) Broken() bool {
	return v == Missing || v == Late || v == Altered || v == Ahead || v == Undated
}

// Provable says that somebody else can be shown what is broken by the log and the
// receipt; of the others the receipt, or the log, says all itself.
func (v Verdict) Provable() bool { return v == Missing || v == Late || v == Altered }

// Held is a receipt with the entry that it was held against.
type Held struct {
	Receipt
	Verdict Verdict
	Index   int64     // of the entry, or journal.NoEntry
	Logged  time.Time // when it got its place
	What    string    // what else the entry says, when it is altered
	From    int64     // the entries that were logged from the receipt's time until
	To      int64     // the promise was due: from this one up to that, excluded

	leaf journal.Hash // of the entry
}

// Unlike is an envelope that was kept as sent, where the entry that was promised for it
// commits to another one.
type Unlike struct {
	Sent
	Index  int64  // of the entry
	Logged string // hex SHA-256 of the envelope that it commits to
}

// Report is a folder of receipts held against a log.
type Report struct {
	Log      *audit.LogReport
	Held     []Held // in the order of their times
	Unproven []Unproven
	Others   int
	Hidden   int
	Unlike   []Unlike
	Compared int // envelopes that were kept as sent and are those that their entries commit to
	Unopened int // that could not be compared, for no evidence opens what their entries commit to
	// Unreceipted counts the accepted messages of each sender of a receipt for which
	// the folder has none: others sent them in its name, or receipts were lost.
	Unreceipted map[string]int64
}

// Count counts the receipts by verdict.
func (r *Report) Count(v Verdict) (n int) {
	for i := range r.Held {
		if r.Held[i].Verdict == v {
			n++
		}
	}
	return n
}

// OK says that the log verifies and that no receipt speaks against it. Receipts that
// are not due yet do not; nor does what the bus was not proved to have signed, which
// proves nothing for anybody.
func (r *Report) OK() bool {
	return r.Log.OK() && len(r.Unlike) == 0 && !slices.ContainsFunc(r.Held, func(h Held) bool { return h.Verdict.Broken() })
}

// clocks is how far the time of a delivery in an answer may be from that in its entry,
// and that of a receipt from the reader's.
const clocks = time.Minute

// Hold holds the receipts against a log, which it verifies whole (audit.ReadLog): so
// that an entry is not found means that it is not there.
func (f *Folder) Hold(ctx context.Context, log journal.TileSource, policy *journal.Policy, checkpoint []byte, known []*journal.Checkpoint) (*Report, error) {
	type question struct {
		kind    journal.Kind
		message string
	}
	r := &Report{Unproven: f.Unproven, Others: f.Others, Hidden: f.Hidden, Unreceipted: map[string]int64{}}
	asked, senders := map[question][]int{}, map[string]bool{}
	for i, p := range f.Receipts {
		r.Held = append(r.Held, Held{Receipt: p, Verdict: Missing, Index: journal.NoEntry, From: -1, To: -1})
		q := question{p.Promises, p.MessageID}
		asked[q] = append(asked[q], i)
		if p.Promises == journal.KindAccepted && p.Sender != "" {
			senders[p.Sender] = true
		}
	}
	bounds := newBounds(r.Held)
	var size int64
	rep, err := audit.ReadLog(ctx, log, policy, checkpoint, known, func(index int64, leaf []byte, facts *journal.Facts) {
		size = index + 1
		bounds.pass(index, facts.Logged)
		kind := facts.Kind.Kind()
		if kind != journal.KindAccepted && kind != journal.KindDelivered {
			return
		}
		l, err := journal.ParseLeaf(leaf)
		if err != nil {
			return // the report says so
		}
		list := asked[question{kind, l.MessageID}]
		for _, i := range list {
			r.Held[i].see(index, &l, leaf)
		}
		if kind == journal.KindAccepted && len(list) == 0 && senders[l.Sender] {
			r.Unreceipted[l.Sender]++
		}
	})
	if err != nil {
		return nil, err
	}
	r.Log = rep
	bounds.end(size)
	// What was signed has an entry of that time, so it was signed no sooner.
	signed := rep.Checkpoint.Signed
	if last := rep.Recount.Logged; last.After(signed) {
		signed = last
	}
	for i := range r.Held {
		h := &r.Held[i]
		if h.Verdict == Missing && !signed.After(h.At.Add(journal.ReceiptDue)) {
			switch {
			case h.At.After(f.Read.Add(clocks)):
				h.Verdict = Ahead
			case rep.Checkpoint.Signed.IsZero():
				h.Verdict = Undated
			default:
				h.Verdict = Due
			}
		}
	}
	r.compare(f)
	slices.SortStableFunc(r.Held, func(a, b Held) int { return a.At.Compare(b.At) })
	return r, nil
}

// see holds the receipt against an entry of its kind and message. The best one counts:
// a message may be delivered more than once.
func (h *Held) see(index int64, l *journal.Leaf, leaf []byte) {
	verdict, what := Kept, ""
	switch differs := l.Time.Sub(h.At).Abs(); {
	case h.Sender != "" && l.Sender != h.Sender:
		verdict, what = Altered, fmt.Sprintf("the entry is of sender %q", l.Sender)
	case h.Recipient != "" && l.Recipient != "" && l.Recipient != h.Recipient:
		verdict, what = Altered, fmt.Sprintf("the entry is of recipient %s", l.Recipient)
	case h.Promises == journal.KindAccepted && differs >= time.Second, differs > clocks:
		verdict, what = Altered, fmt.Sprintf("the entry says that it was at %s", l.Time.Format(time.RFC3339Nano))
	case l.Logged.Sub(h.At) > journal.ReceiptDue:
		verdict = Late
	}
	rank := func(v Verdict) int { return slices.Index([]Verdict{Missing, Altered, Late, Kept}, v) }
	if rank(verdict) > rank(h.Verdict) {
		h.Verdict, h.What, h.Index, h.Logged, h.leaf = verdict, what, index, l.Logged, journal.LeafHash(leaf)
	}
}

// compare holds what was kept as sent against what the promised entries commit to.
func (r *Report) compare(f *Folder) {
	logged := map[string]string{} // by MessageID
	index := map[string]int64{}
	shown := map[int64][]*audit.EvidenceEntry{}
	for _, e := range f.Evidence {
		for j := range e.Entries {
			x := &e.Entries[j]
			shown[x.Index] = append(shown[x.Index], x)
		}
	}
	for i := range r.Held {
		h := &r.Held[i]
		if h.Promises != journal.KindAccepted || h.Index == journal.NoEntry {
			continue
		}
		index[h.MessageID] = h.Index
		for _, x := range shown[h.Index] {
			if journal.LeafHash(x.Bytes) != h.leaf {
				continue
			}
			for _, o := range x.Openings {
				if o.Field == journal.FieldDigest {
					logged[h.MessageID] = o.Value
				}
			}
		}
	}
	for _, s := range f.Sent {
		at, there := index[s.MessageID]
		switch digest := logged[s.MessageID]; {
		case !there: // without its receipt it proves nothing, and of a missing entry is told
		case digest == "":
			r.Unopened++
		case digest != s.Digest:
			r.Unlike = append(r.Unlike, Unlike{s, at, digest})
		default:
			r.Compared++
		}
	}
}

// bounds finds the entries that were logged between a receipt and when its promise
// was due; the times of a log never go back.
type bounds struct{ from, to []*Held }

func newBounds(held []Held) *bounds {
	b := &bounds{}
	for i := range held {
		b.from, b.to = append(b.from, &held[i]), append(b.to, &held[i])
	}
	byTime := func(a, b *Held) int { return a.At.Compare(b.At) }
	slices.SortFunc(b.from, byTime)
	slices.SortFunc(b.to, byTime)
	return b
}

func (b *bounds) pass(index, logged int64) {
	for len(b.from) > 0 && b.from[0].At.UnixMilli() <= logged {
		b.from[0].From, b.from = index, b.from[1:]
	}
	for len(b.to) > 0 && b.to[0].At.Add(journal.ReceiptDue).UnixMilli() < logged {
		b.to[0].To, b.to = index, b.to[1:]
	}
}

func (b *bounds) end(size int64) {
	for _, h := range b.from {
		h.From = size
	}
	for _, h := range b.to {
		h.To = size
	}
}

// hole is hole.json of a proof.
type hole struct {
	Verdict   Verdict   `json:"verdict"`
	What      string    `json:"what,omitempty"`
	MessageID string    `json:"messageId"`
	Promised  string    `json:"promised"` // a Kind
	At        time.Time `json:"at"`
	Due       time.Time `json:"due"`
	Origin    string    `json:"origin"`
	Size      int64     `json:"size"`
	Signed    time.Time `json:"signed"`
	Entry     *int64    `json:"entry,omitempty"`
	From      int64     `json:"from"` // entries logged from at until due: the promised one is none of them
	To        int64     `json:"to"`
}

// WriteHole writes what proves a broken promise into a new folder below dir: the
// receipt as it was kept, the checkpoint that was signed after it was due, the policy,
// and in hole.json what they show. Together with any copy of the log that the
// checkpoint signs they are all that somebody else needs to find the same: the
// commands are in README.txt.
func (r *Report) WriteHole(dir, receipts string, h Held, policy *journal.Policy) (string, error) {
	body, err := os.ReadFile(filepath.Join(receipts, h.File))
	if err != nil {
		return "", err
	}
	c := r.Log.Checkpoint
	j := hole{h.Verdict, h.What, h.MessageID, string(h.Promises), h.At.UTC(), h.At.Add(journal.ReceiptDue).UTC(), c.Origin, c.Tree.N, c.Signed, nil, h.From, h.To}
	if h.Index != journal.NoEntry {
		j.Entry = &h.Index
	}
	text, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unfinished, err := os.MkdirTemp(dir, ".hole-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	for name, content := range map[string][]byte{
		"receipt.xml": body, "checkpoint": c.Note, "policy": policy.Text(), "bus.pem": h.Signed.PEM(), "hole.json": append(text, '\n'), "README.txt": []byte(holeText),
	} {
		if err := os.WriteFile(filepath.Join(unfinished, name), content, 0o644); err != nil {
			return "", err
		}
	}
	name := filepath.Join(dir, fmt.Sprintf("%s-%s-%x", h.Verdict, h.Promises, h.Signed.SHA256[:2])+"-"+fileSafe(h.MessageID))
	if err := os.Chmod(unfinished, 0o755); err != nil {
		return "", err
	}
	if err := os.RemoveAll(name); err != nil {
		return "", err
	}
	return name, os.Rename(unfinished, name)
}

// fileSafe makes a name of a MessageID, which the bus has signed and may be anything.
func fileSafe(id string) string {
	safe := []byte(id)
	for i, c := range safe {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			safe[i] = '_'
		}
	}
	return string(safe[:min(len(safe), 64)])
}

const holeText = `A promise of the bus that its log did not keep.

receipt.xml is the bus's answer as its party received it. It is signed (XMLDSig) with
the certificate in bus.pem and says what happened to a message and when. checkpoint is
the log's own signed word, later than the promise was due, that the log of so many
entries with this root is all of it. In that log the entry that the receipt promises
is not there, came too late or says something else: hole.json says which.

To see it for yourself take a copy of the log from anybody who has one (a mirror), a
policy that names the log's key, and the bus's certificate, both from somebody whom you
trust rather than from here, and run

    mezhved-audit receipts --policy policy --bus bus.pem --mirror MIRROR .

It verifies the copy whole: that every entry is under the root that was signed, and
that the promised one is not among them. A copy of a larger log shows the same.
`
