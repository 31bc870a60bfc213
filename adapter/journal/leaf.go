package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Limits of the format.
const (
	LeafVersion = 3    // the highest "v" of a leaf that this package knows: see Leaf.version
	MaxLeaf     = 4096 // bytes of one leaf
	MaxPersonal = 48   // committed fields of one leaf, besides digest

	maxText   = 128 // bytes of a text field in a leaf; longer ones end in "…"
	maxFields = 8   // names in Fields
	placeRoom = 176 // bytes that the sequencer may add: logged, prev, both counters and test
)

// NoEntry stands for "there is no such entry" where an index is expected.
const NoEntry int64 = -1

// LateAfter is how much later than its own time an entry may be logged before a
// Recount counts it as late. Late entries are not findings: a stopped journal
// catches up on what was committed before it stopped.
const LateAfter = time.Minute

// ReceiptDue is how long after the time that it states a receipt comes due: a log
// that is signed later has its entry. See "Receipts" in the package comment.
const ReceiptDue = time.Hour

// Hash is a node of the tree: SHA-256 as RFC 6962 prefixes it.
type Hash = tlog.Hash

// Leaf is one entry of the log, decoded. Its Event has no Digest and no
// Personal: the leaf holds only commitments to them.
type Leaf struct {
	Event
	Logged       time.Time   // when the sequencer took it up; never goes back from one entry to the next
	Prev         int64       // the previous entry of the same message, or NoEntry
	SenderSeq    int64       // counts from 1 the entries that name Sender as sender; 0 without a sender
	RecipientSeq int64       // the same for Recipient as recipient
	Commit       []Committed // in ascending order of the fields, no two of which are the same
	Period       *Period     // period-close only
}

// Committed is what a leaf commits to a field's value with: Opening.Commitment.
type Committed struct {
	Field string
	Hash  Hash
}

// Committed finds the commitment to a field.
func (l *Leaf) Committed(field string) (Hash, bool) {
	for i := range l.Commit {
		if l.Commit[i].Field == field {
			return l.Commit[i].Hash, true
		}
	}
	return Hash{}, false
}

// Period is what a period-close leaf asserts about the entries since the last
// one. A reader of the whole log recounts it.
type Period struct {
	From     int64          // first entry of the period
	To       int64          // the entry after its last, which is the close itself
	Totals   map[Kind]int64 // entries by kind, kinds without entries absent
	Parties  int64          // parties that have a counter
	Counters string         // hex SHA-256 of all counters: see CountersDigest
}

// Counter says how many entries so far name a party as sender and as recipient.
type Counter struct {
	Sent, Received int64
}

// CountersDigest is hex SHA-256 over one line for each party, sorted by name:
// name, TAB, Sent, TAB, Received, LF.
func CountersDigest(counters map[string]Counter) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		fmt.Fprintf(h, "%s\t%d\t%d\n", name, counters[name].Sent, counters[name].Received)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Opening is what turns a commitment back into a value: keep it apart from the
// log, give it to whom it concerns, delete it to forget.
type Opening struct {
	Field string   `json:"field"`
	Class string   `json:"class"`
	Salt  [32]byte `json:"-"`
	Value string   `json:"value"`
}

// Sealed is an opening as it is stored: readable only with the key of its class
// and month, findable only by who can compute Blind. Deleting it forgets the
// value; destroying the key forgets every value of that class and month, in all
// backups too.
type Sealed struct {
	Index int64 // the entry that commits to it
	Field string
	Class string
	Key   string // name of the key: class and month
	Box   []byte // AES-256-GCM: nonce, then ciphertext of salt and value
	Blind []byte // 16 bytes of HMAC-SHA-256 over field and value, for searching by exact value; empty for digests
}

type openingJSON struct {
	Field string `json:"field"`
	Class string `json:"class"`
	Salt  []byte `json:"salt"`
	Value string `json:"value"`
}

// MarshalJSON writes the salt as standard base64.
func (o Opening) MarshalJSON() ([]byte, error) {
	return json.Marshal(openingJSON{o.Field, o.Class, o.Salt[:], o.Value})
}

// UnmarshalJSON refuses a salt that is not 32 bytes long: HMAC pads short keys
// with zeros, so two lengths would be two openings of one commitment.
func (o *Opening) UnmarshalJSON(b []byte) error {
	var j openingJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	if len(j.Salt) != 32 {
		return fmt.Errorf("opening of %q: salt has %d bytes, want 32", j.Field, len(j.Salt))
	}
	*o = Opening{Field: j.Field, Class: j.Class, Salt: [32]byte(j.Salt), Value: j.Value}
	return nil
}

// Commitment is HMAC-SHA-256 with the salt as key and the value as message.
func (o Opening) Commitment() Hash { return MAC(o.Salt[:], o.Value) }

// MAC is HMAC-SHA-256, written out (RFC 2104) because crypto/hmac makes half a dozen
// objects of it, and an exchange has some thirty.
func MAC[T string | []byte](key []byte, message T) Hash {
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	var inner, outer [sha256.BlockSize]byte
	copy(inner[:], key)
	copy(outer[:], key)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	var room [4 * sha256.BlockSize]byte
	sum := sha256.Sum256(append(append(room[:0], inner[:]...), message...))
	return sha256.Sum256(append(append(room[:0], outer[:]...), sum[:]...))
}

// Macs makes MACs with one key: what that comes to is hashed once. Not for concurrent use.
type Macs struct {
	mac     hash.Hash
	message []byte
	sum     Hash
}

// NewMacs makes those of a key.
func NewMacs(key []byte) *Macs {
	m := &Macs{mac: hmac.New(sha256.New, key)}
	m.mac.Reset() // from here on it knows the key's blocks
	return m
}

// Of is MAC of the message with the key.
func (m *Macs) Of(message []byte) Hash {
	m.message = append(m.message[:0], message...) // else every message would be an object
	m.mac.Reset()
	m.mac.Write(m.message)
	m.mac.Sum(m.sum[:0])
	return m.sum
}

// FieldDigest and FieldRow are the names under which the digest of the envelope
// and an inexpressible row are committed to.
const (
	FieldDigest = "digest"
	FieldRow    = "row"
)

// Salts makes the salt of an opening, whose field, class and value are known. It must be
// such that nobody who does not keep it can compute it.
type Salts func(*Opening) error

// Drawn are salts from a source of random bytes.
func Drawn(random io.Reader) Salts {
	return func(o *Opening) error {
		_, err := io.ReadFull(random, o.Salt[:])
		return err
	}
}

// Seed is what the salts of many openings are made of that are kept together. Whoever
// removes one of them for good removes the seed, and keeps the salts of the others.
type Seed [32]byte

// Salt is the salt of a field of an entry.
func (s *Seed) Salt(index int64, field string) [32]byte {
	var room [128]byte
	return MAC(s[:], appendSalted(room[:0], index, field))
}

// appendSalted adds what a salt is the MAC of.
func appendSalted(b []byte, index int64, field string) []byte {
	b = strconv.AppendInt(append(b, "mezhved journal salt 1\n"...), index, 10)
	return append(append(append(b, '\n'), field...), '\n')
}

// Salter makes many salts of a seed. Not for concurrent use.
type Salter struct{ macs *Macs }

// Salter makes those of the seed.
func (s *Seed) Salter() *Salter { return &Salter{NewMacs(s[:])} }

// Salt is Seed.Salt.
func (s *Salter) Salt(index int64, field string) [32]byte {
	var room [128]byte
	return s.macs.Of(appendSalted(room[:0], index, field))
}

// NewLeaf turns an event into a leaf and the openings of its commitments. The
// sequencer fills in place and counters afterwards. Texts are cut to the format's limits; an event that cannot be a leaf at
// all (unknown kind, impossible names, too many fields) is an error: the caller
// then uses UnknownLeaf, for nothing that was written down may be lost.
func NewLeaf(e Event, salts Salts) (Leaf, []Opening, error) {
	l := Leaf{Event: e}
	open, err := l.Take(nil, salts)
	if err != nil {
		return Leaf{}, nil, err
	}
	return l, open, nil
}

// Take is NewLeaf of the event that the leaf has been given, for those who make many: it
// appends the openings to open. After an error the leaf means nothing, and open is as it was.
func (l *Leaf) Take(open []Opening, salts Salts) ([]Opening, error) {
	e := &l.Event
	if e.Kind.Number() == 0 {
		return open, fmt.Errorf("event kind %q is not one this version knows", e.Kind)
	}
	if e.Kind == KindPeriodClose || e.Kind == KindKeyChanged || e.Kind == KindUnknown || e.Log != nil {
		// Whoever can write a pending row must not be able to speak for the log.
		return open, fmt.Errorf("events of kind %q are the sequencer's own", e.Kind)
	}
	if ms := e.Time.UnixMilli(); ms <= 0 || ms > maxInteger {
		return open, fmt.Errorf("event %s has no usable time: %s", e.Kind, e.Time)
	}
	if len(e.Personal) > MaxPersonal || len(e.Fields) > maxFields {
		return open, fmt.Errorf("event %s has %d personal values and %d field names, at most %d and %d are possible",
			e.Kind, len(e.Personal), len(e.Fields), MaxPersonal, maxFields)
	}
	l.Prev = NoEntry
	l.Time = e.Time.UTC().Truncate(time.Millisecond)
	for _, t := range l.moments() {
		if t.IsZero() {
			continue
		}
		if *t = t.UTC().Truncate(time.Millisecond); t.UnixMilli() <= 0 || t.UnixMilli() > maxInteger {
			return open, fmt.Errorf("event %s names the moment %s", e.Kind, t)
		}
	}
	for _, n := range [...]int{e.Line, e.Col, e.Attempt, e.Count, e.Size} {
		if n < 0 || n > maxInteger {
			return open, fmt.Errorf("event %s has number %d", e.Kind, n)
		}
	}
	if e.Target != nil && (*e.Target < 0 || *e.Target > maxInteger) {
		return open, fmt.Errorf("event %s has target %d", e.Kind, *e.Target)
	}
	for _, s := range l.texts() {
		if short := clip(*s); short != *s {
			*s = short
		}
	}
	for _, f := range e.Fields {
		if !ValidName(f) {
			return open, fmt.Errorf("event %s names field %q: names are a-z, 0-9 and '-', at most 32 long", e.Kind, f)
		}
	}

	before := len(open)
	if e.Digest != "" {
		open = append(open, Opening{Field: FieldDigest, Class: ClassEnvelope, Value: e.Digest})
	}
	for _, p := range e.Personal {
		class := p.Class
		if class == "" {
			class = ClassPersonal
		}
		open = append(open, Opening{Field: p.Field, Class: class, Value: p.Value})
	}
	if err := l.commit(open[before:], salts); err != nil {
		return open[:before], err
	}
	l.Digest, l.Personal = "", nil
	if l.roomiest() > MaxLeaf-placeRoom {
		if n := len(l.Append(nil)); n > MaxLeaf-placeRoom {
			return open[:before], fmt.Errorf("event %s makes a leaf of %d bytes, at most %d are possible", e.Kind, n, MaxLeaf-placeRoom)
		}
	}
	return open, nil
}

// roomiest is a length that the leaf of an event cannot exceed: its texts have no
// control characters any more, so none of their bytes takes more than two.
func (l *Leaf) roomiest() int {
	const names = 512       // of all members, with their marks
	const numbers = 12 * 17 // integers below 2^53 and times
	n := names + numbers + 96*len(l.Commit)
	for _, s := range l.texts() {
		n += 2 * len(*s)
	}
	for _, f := range l.Fields {
		n += len(f) + 3
	}
	return n
}

// UnknownLeaf stands for a row that cannot be expressed, so that it neither
// stops the log nor disappears: the leaf commits to the row's bytes.
func UnknownLeaf(row []byte, at time.Time, salts Salts) (Leaf, []Opening, error) {
	row = legible(row)
	l := Leaf{Event: Event{Kind: KindUnknown, Time: at.UTC().Truncate(time.Millisecond), Size: len(row)}, Prev: NoEntry}
	open := []Opening{{Field: FieldRow, Class: ClassPersonal, Value: string(row)}}
	err := l.commit(open, salts)
	return l, open, err
}

// commit makes the salts of open and writes the commitments into the leaf.
func (l *Leaf) commit(open []Opening, salts Salts) error {
	if len(open) == 0 {
		return nil
	}
	l.Commit = slices.Grow(l.Commit[:0], len(open)) // of a leaf of before, or none
	for i := range open {
		o := &open[i]
		if !ValidName(o.Field) || !ValidName(o.Class) {
			return fmt.Errorf("event %s: field %q of class %q: names are a-z, 0-9 and '-', at most 32 long", l.Kind, o.Field, o.Class)
		}
		if _, twice := l.Committed(o.Field); twice {
			return fmt.Errorf("event %s: field %q stands twice", l.Kind, o.Field)
		}
		if err := salts(o); err != nil {
			return fmt.Errorf("make a salt for field %q: %w", o.Field, err)
		}
		l.Commit = append(l.Commit, Committed{o.Field, o.Commitment()})
	}
	slices.SortFunc(l.Commit, func(a, b Committed) int { return strings.Compare(a.Field, b.Field) })
	return nil
}

// ValidName says whether a field or a retention class may be called so: a-z, 0-9
// and -, beginning with a letter, 32 long at most.
func ValidName(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '-')) {
			return false
		}
	}
	return true
}

// FieldBase is the name of a field without the number by which the further values
// of the same field are told apart: snils of snils-2.
func FieldBase(name string) string {
	base := strings.TrimRight(name, "0123456789")
	if n := len(base) - 1; len(base) < len(name) && n > 0 && base[n] == '-' {
		return base[:n]
	}
	return name
}

// texts lists the leaf's free strings, for clipping.
func (l *Leaf) texts() [21]*string {
	return [...]*string{&l.Node, &l.Message, &l.MessageID, &l.Original, &l.Operation, &l.Direction, &l.Channel, &l.Reference, &l.Sender, &l.Recipient,
		&l.Service, &l.Version, &l.Schema, &l.Outcome, &l.Incident, &l.Rule, &l.Certificate, &l.Revocation, &l.Ground, &l.Terms, &l.Stage}
}

// moments lists the times that an event names beside its own.
func (e *Event) moments() [5]*time.Time {
	return [...]*time.Time{&e.Deadline, &e.DueQueued, &e.DueTaken, &e.DueStatus, &e.EOL}
}

// clip makes s valid UTF-8 without control characters, of at most maxText bytes.
func clip(s string) string {
	if len(s) <= maxText && harmless(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		s = strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				return ' '
			}
			return c
		}, s)
	}
	if len(s) <= maxText {
		return s
	}
	end := maxText - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// harmless says that s is ASCII without control characters, as nearly all texts
// of an event are.
func harmless(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// See sheet.quoted; what is 0x7F becomes the high bit when one is added.
		if w := wordOf(s); ((w-0x20*each)&^w|w|(w+each))&highBit != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7F {
			return false
		}
	}
	return true
}

// version is the first version of the format that has all of the leaf's members.
// So there is one spelling of a leaf still, the leaves of before are what they
// were, and a program of before reads a log up to the first entry that says what
// it cannot know.
func (l *Leaf) version() int64 {
	if since3[l.Kind] || l.Terms != "" || l.Stage != "" || !l.DueQueued.IsZero() || !l.DueTaken.IsZero() || !l.DueStatus.IsZero() || !l.EOL.IsZero() {
		return 3
	}
	if l.Channel != "" || l.Reference != "" || l.Test {
		return 2
	}
	return 1
}

// AppendHashed is Append with LeafHash of what it adds: behind a zero byte, which is hashed
// with the leaf.
func (l *Leaf) AppendHashed(b []byte) ([]byte, Hash) {
	begin := len(b)
	b = l.Append(append(b, 0))
	return b, sha256.Sum256(b[begin:])
}

// Append adds the leaf's bytes to b: canonical JSON, one object, no newline.
func (l *Leaf) Append(b []byte) []byte {
	w := writer{b: b}
	w.open()
	w.num("attempt", int64(l.Attempt))
	w.str("certificate", l.Certificate)
	w.str("channel", l.Channel)
	w.num("col", int64(l.Col))
	if len(l.Commit) > 0 {
		w.key("commit")
		w.open()
		for i := range l.Commit {
			c := &l.Commit[i]
			w.key(c.Field)
			w.b = append(base64.StdEncoding.AppendEncode(append(w.b, '"'), c.Hash[:]), '"')
		}
		w.close()
	}
	w.num("count", int64(l.Count))
	w.moment("deadline", l.Deadline)
	w.str("direction", l.Direction)
	w.moment("dueQueued", l.DueQueued)
	w.moment("dueStatus", l.DueStatus)
	w.moment("dueTaken", l.DueTaken)
	w.moment("eol", l.EOL)
	if len(l.Fields) > 0 {
		w.key("fields")
		for i, f := range l.Fields {
			w.b = append(w.b, "[,"[min(i, 1)])
			w.b = appendString(w.b, f)
		}
		w.b = append(w.b, ']')
	}
	w.str("ground", l.Ground)
	w.str("incident", l.Incident)
	w.str("kind", string(l.Kind))
	w.num("line", int64(l.Line))
	if l.Log != nil {
		w.key("log")
		w.open()
		w.str("key", l.Log.Key)
		w.str("oldOrigin", l.Log.OldOrigin)
		w.str("oldRoot", l.Log.OldRoot)
		w.num("oldSize", l.Log.OldSize)
		w.str("origin", l.Log.Origin)
		w.close()
	}
	w.num("logged", l.Logged.UnixMilli())
	w.str("message", l.Message)
	w.str("messageId", l.MessageID)
	w.str("node", l.Node)
	w.str("operation", l.Operation)
	w.str("original", l.Original)
	w.str("outcome", l.Outcome)
	if p := l.Period; p != nil {
		w.key("period")
		w.open()
		w.key("counters")
		w.b = appendString(w.b, p.Counters)
		w.index("from", p.From)
		w.index("parties", p.Parties)
		w.index("to", p.To)
		w.key("totals")
		w.open()
		for _, k := range slices.Sorted(maps.Keys(p.Totals)) {
			w.num(string(k), p.Totals[k])
		}
		w.close()
		w.close()
	}
	if l.Prev != NoEntry {
		w.index("prev", l.Prev)
	}
	w.str("recipient", l.Recipient)
	w.num("recipientSeq", l.RecipientSeq)
	w.str("reference", l.Reference)
	w.str("revocation", l.Revocation)
	w.str("rule", l.Rule)
	w.str("schema", l.Schema)
	w.str("sender", l.Sender)
	w.num("senderSeq", l.SenderSeq)
	w.str("service", l.Service)
	w.num("size", int64(l.Size))
	w.str("stage", l.Stage)
	if l.Target != nil {
		w.index("target", *l.Target)
	}
	w.str("terms", l.Terms)
	if l.Test {
		w.key("test")
		w.b = append(w.b, "true"...)
	}
	w.num("time", l.Time.UnixMilli())
	w.num("v", l.version())
	w.str("version", l.Version)
	w.close()
	return w.b
}

// ParseLeaf decodes a leaf and refuses every byte string that Append would not
// have written: one leaf has one form. The leaf's texts share one copy of b.
func ParseLeaf(b []byte) (Leaf, error) {
	f := forms.Get().(*form)
	defer forms.Put(f)
	if err := f.read(b); err != nil {
		return Leaf{}, err
	}
	return f.decode(), nil
}

// ParseTold is ParseLeaf for those who ask what a leaf tells and not what it commits to: all
// of it is checked, and Commit is left out.
func ParseTold(b []byte) (Leaf, error) {
	f := forms.Get().(*form)
	defer forms.Put(f)
	if err := f.read(b); err != nil {
		return Leaf{}, err
	}
	return f.tell(), nil
}

// ParseHead is ParseLeaf for those who ask what a leaf is and which message it is about:
// all of it is checked and nothing else decoded.
func ParseHead(b []byte) (kind Kind, message string, err error) {
	f := forms.Get().(*form)
	defer forms.Put(f)
	if err := f.read(b); err != nil {
		return "", "", err
	}
	return kindByNumber[f.kind], string(f.plain(mMessage)), nil
}

// decodeHash reads 32 bytes of standard base64.
func decodeHash(text string) (Hash, bool) {
	var raw [33]byte
	if len(text) != 44 {
		return Hash{}, false
	}
	n, err := strictBase64.Decode(raw[:], []byte(text))
	return Hash(raw[:32]), err == nil && n == len(Hash{})
}
