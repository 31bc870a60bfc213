package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
)

// form is a leaf, read: it is exactly what Leaf.Append would have written, and
// here is where its values stand. ParseLeaf and the recount of a whole log read
// leaves through it and in no other way, so that there is one judgement of what
// a leaf is.
//
// A recount reads a billion leaves. So a form makes nothing out of the members
// that a log is full of, and can be used again.
type form struct {
	leaf    []byte // shared with the caller
	sheet   sheet  // the same, laid out for reading
	end     int    // of the leaf in sheet
	has     uint64 // bit m: member m stands in the leaf
	escaped uint64 // bit m: the text of member m has escapes
	kind    KindNumber
	numbers [members]int64 // of the numbers in has
	values  [members]span  // of the texts in has, without quotes; of commit, with braces; in sheet

	// Rare members are decoded at once.
	fields []string
	log    *LogChange
	period *Period
}

// forms are for those who read one leaf.
var forms = sync.Pool{New: func() any { return new(form) }}

// span is a part of a sheet.
type span struct{ from, to uint16 }

// The members of a leaf, in the order in which they stand.
const (
	mAttempt = iota
	mCertificate
	mChannel
	mCol
	mCommit
	mCount
	mDeadline
	mDirection
	mDueQueued
	mDueStatus
	mDueTaken
	mEOL
	mFields
	mGround
	mIncident
	mKind
	mLine
	mLog
	mLogged
	mMessage
	mMessageID
	mNode
	mOperation
	mOriginal
	mOutcome
	mPeriod
	mPrev
	mRecipient
	mRecipientSeq
	mReference
	mRevocation
	mRule
	mSchema
	mSender
	mSenderSeq
	mService
	mSize
	mStage
	mTarget
	mTerms
	mTest
	mTime
	mV
	mVersion
	members
)

// valueKind says what the value of a member must be.
type valueKind uint8

const (
	aText       valueKind = iota // a string that is not empty
	aNumber                      // an integer that is not 0
	anIndex                      // an integer
	aTruth                       // true
	commitments                  // what mCommit has
	rare                         // what mFields, mLog and mPeriod have
)

var memberNames = [members]struct {
	name  string
	value valueKind
}{
	mAttempt:      {"attempt", aNumber},
	mCertificate:  {"certificate", aText},
	mChannel:      {"channel", aText},
	mCol:          {"col", aNumber},
	mCommit:       {"commit", commitments},
	mCount:        {"count", aNumber},
	mDeadline:     {"deadline", aNumber},
	mDirection:    {"direction", aText},
	mDueQueued:    {"dueQueued", aNumber},
	mDueStatus:    {"dueStatus", aNumber},
	mDueTaken:     {"dueTaken", aNumber},
	mEOL:          {"eol", aNumber},
	mFields:       {"fields", rare},
	mGround:       {"ground", aText},
	mIncident:     {"incident", aText},
	mKind:         {"kind", aText},
	mLine:         {"line", aNumber},
	mLog:          {"log", rare},
	mLogged:       {"logged", aNumber},
	mMessage:      {"message", aText},
	mMessageID:    {"messageId", aText},
	mNode:         {"node", aText},
	mOperation:    {"operation", aText},
	mOriginal:     {"original", aText},
	mOutcome:      {"outcome", aText},
	mPeriod:       {"period", rare},
	mPrev:         {"prev", anIndex},
	mRecipient:    {"recipient", aText},
	mRecipientSeq: {"recipientSeq", aNumber},
	mReference:    {"reference", aText},
	mRevocation:   {"revocation", aText},
	mRule:         {"rule", aText},
	mSchema:       {"schema", aText},
	mSender:       {"sender", aText},
	mSenderSeq:    {"senderSeq", aNumber},
	mService:      {"service", aText},
	mSize:         {"size", aNumber},
	mStage:        {"stage", aText},
	mTarget:       {"target", anIndex},
	mTerms:        {"terms", aText},
	mTest:         {"test", aTruth},
	mTime:         {"time", aNumber},
	mV:            {"v", aNumber},
	mVersion:      {"version", aText},
}

// memberKey is how the name of a member stands in a leaf, with its quotes and colon, as
// two words to compare with: none is longer than 16 bytes.
type memberKey struct {
	words, masks [2]uint64
	length       int
	value        valueKind
}

// keys ends with one that stands everywhere.
var keys = func() (list [members + 1]memberKey) {
	for m, member := range memberNames {
		var text, mask [16]byte
		n := copy(text[:], `"`+member.name+`":`)
		for i := range n {
			mask[i] = 0xff
		}
		list[m] = memberKey{length: n, value: member.value}
		for i := range 2 {
			list[m].words[i] = binary.LittleEndian.Uint64(text[8*i:])
			list[m].masks[i] = binary.LittleEndian.Uint64(mask[8*i:])
		}
	}
	return list
}()

// read reads a leaf; nothing of an earlier one is left. After an error only hash
// means something.
func (f *form) read(leaf []byte) error {
	f.leaf, f.has, f.escaped = leaf, 0, 0
	f.fields, f.log, f.period = nil, nil, nil
	if len(leaf) > MaxLeaf {
		return fmt.Errorf("leaf has %d bytes, at most %d are allowed", len(leaf), MaxLeaf)
	}
	f.end = f.sheet.lay(leaf)
	if at, wrong := f.object(); wrong != "" {
		return fmt.Errorf("leaf: byte %d: expected %s", at-sheetStart, wrong)
	}
	v := f.number(mV)
	if v < 1 || v > LeafVersion {
		return fmt.Errorf("leaf has format version %d, this program knows 1 to %d: use a newer one", v, LeafVersion)
	}
	if f.kind = numberOfKind[Kind(f.raw(mKind))]; f.kind == 0 {
		return fmt.Errorf("leaf has unknown kind %q", f.raw(mKind))
	}
	if v != f.version() {
		return fmt.Errorf("leaf has format version %d, and says what version %d does", v, f.version())
	}
	if !f.stands(mTime) || !f.stands(mLogged) {
		return fmt.Errorf("leaf of kind %q lacks its times", f.raw(mKind))
	}
	return nil
}

// The members that version 1 of the format does not have, and those that version 2
// does not.
const (
	withV2 = 1<<mChannel | 1<<mReference | 1<<mTest
	withV3 = 1<<mDueQueued | 1<<mDueStatus | 1<<mDueTaken | 1<<mEOL | 1<<mStage | 1<<mTerms
)

// version is Leaf.version of the leaf.
func (f *form) version() int64 {
	switch {
	case f.has&withV3 != 0 || kindSince3[f.kind]:
		return 3
	case f.has&withV2 != 0:
		return 2
	}
	return 1
}

// truth is "true" as a sheet has it in a word.
const truth = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24

// hash is LeafHash of the leaf that was read.
func (f *form) hash() Hash {
	if len(f.leaf) > MaxLeaf {
		return LeafHash(f.leaf)
	}
	return sha256.Sum256(f.sheet[:f.end])
}

// object reads the whole leaf. wrong is what was expected at byte at.
func (f *form) object() (at int, wrong string) {
	s := &f.sheet
	i := sheetStart
	if s[i] != '{' {
		return i, "'{'"
	}
	for m := 0; ; m++ {
		i++ // the brace or the comma
		// Members ascend: the one that stands here is one of those that have not
		// been passed. A member twice, and a disordered one, is none of them.
		first, second := s.word(i), s.word(i+8)
		for first&keys[m].masks[0] != keys[m].words[0] || second&keys[m].masks[1] != keys[m].words[1] {
			m++
		}
		if m == members {
			return i, "a member of a leaf, in ascending order"
		}
		i += keys[m].length
		from := i
		switch keys[m].value {
		case aText:
			var escaped bool
			if i, escaped, wrong = s.quoted(i); escaped {
				f.escaped |= 1 << m
			}
			f.values[m] = span{uint16(from + 1), uint16(i - 1)}
		case aNumber, anIndex:
			f.numbers[m], i, wrong = s.integer(i)
			if f.numbers[m] == 0 && wrong == "" && keys[m].value == aNumber {
				wrong = "an integer that is not 0"
			}
		case aTruth:
			if i += len("true"); uint32(s.word(from)) != truth {
				i, wrong = from, "true"
			}
		case commitments:
			i, wrong = s.committed(i, nil)
			f.values[m] = span{uint16(from), uint16(i)}
		case rare:
			i, wrong = f.rare(m, i)
		}
		if wrong != "" {
			return i, wrong
		}
		f.has |= 1 << m
		if s[i] != ',' {
			break
		}
	}
	if i != f.end-1 || s[i] != '}' {
		return i, "',' or the leaf's last '}'"
	}
	return i, ""
}

// rare reads a member that few leaves have.
func (f *form) rare(m, i int) (end int, wrong string) {
	r := reader{sheet: &f.sheet, i: i}
	switch m {
	case mFields:
		f.fields = r.strings()
	case mLog:
		f.log = r.logChange()
	case mPeriod:
		f.period = r.period()
	}
	return r.i, r.wrong
}

// committed reads an object of field names and commitments, at least one, and
// gives them to take, unless that is nil.
func (s *sheet) committed(i int, take func(field, commitment span)) (end int, wrong string) {
	if s[i] != '{' {
		return i, "'{'"
	}
	var last []byte
	for {
		i++ // the brace or the comma
		from := i
		i, _, wrong = s.quoted(i)
		if wrong != "" {
			return i, wrong
		}
		field := s[from+1 : i-1]
		if !ValidName(string(field)) || string(field) <= string(last) {
			return from, "the name of a field, in ascending order"
		}
		last = field
		if s[i] != ':' || s[i+1] != '"' || !s.hash(i+2) || s[i+2+hashText] != '"' {
			return i, "a commitment of 32 bytes in base64"
		}
		if take != nil {
			take(span{uint16(from + 1), uint16(i - 1)}, span{uint16(i + 2), uint16(i + 2 + hashText)})
		}
		i += 3 + hashText
		if s[i] != ',' {
			break
		}
	}
	if s[i] != '}' {
		return i, "',' or '}'"
	}
	return i + 1, ""
}

// hashText is the length of 32 bytes in base64: 43 characters and one '='.
const hashText = 44

// hash says whether 32 bytes stand at i in standard base64, in their one
// spelling: the last 2 bits of the last character mean nothing, and are 0.
func (s *sheet) hash(i int) bool {
	other := byte(0)
	for _, c := range s[i : i+hashText-1] {
		other |= notBase64[c]
	}
	return other == 0 && notBase64Last[s[i+hashText-2]] == 0 && s[i+hashText-1] == '='
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// notBase64 is 0 for the characters of base64, notBase64Last for those whose last 2 bits are 0.
var notBase64, notBase64Last = func() (not, notLast [256]byte) {
	for c := range not {
		not[c], notLast[c] = 1, 1
	}
	for i := range base64Digits {
		not[base64Digits[i]] = 0
		if i%4 == 0 {
			notLast[base64Digits[i]] = 0
		}
	}
	return not, notLast
}()

// stands says whether the leaf has a member.
func (f *form) stands(m int) bool { return f.has>>m&1 != 0 }

// number is the value of a number, 0 without it.
func (f *form) number(m int) int64 {
	if !f.stands(m) {
		return 0
	}
	return f.numbers[m]
}

// raw is the text of a member as it stands in the leaf, escapes included. Texts
// are equal when their raw forms are.
func (f *form) raw(m int) []byte {
	if !f.stands(m) {
		return nil
	}
	return f.leaf[f.values[m].from-sheetStart : f.values[m].to-sheetStart]
}

// plain is the text of a member, nil without it.
func (f *form) plain(m int) []byte {
	if f.escaped>>m&1 != 0 {
		return unescaped(f.raw(m))
	}
	return f.raw(m)
}

// index is the value of an index, NoEntry without it.
func (f *form) index(m int) int64 {
	if !f.stands(m) {
		return NoEntry
	}
	return f.numbers[m]
}

// decode makes a Leaf of what was read. Its texts share one copy of the leaf.
func (f *form) decode() Leaf {
	shared := string(f.sheet[:f.end])
	l := f.told(func(of span) string { return shared[of.from:of.to] })
	if f.stands(mCommit) {
		f.sheet.committed(int(f.values[mCommit].from), func(field, commitment span) {
			hash, _ := decodeHash(shared[commitment.from:commitment.to])
			l.Commit = append(l.Commit, Committed{shared[field.from:field.to], hash})
		})
	}
	return l
}

// allTexts has the members that are texts.
var allTexts = func() (set uint64) {
	for m, member := range memberNames {
		if member.value == aText {
			set |= 1 << m
		}
	}
	return set
}()

// tell is decode without the commitments, whose names and digits are the longer part of a
// leaf: its texts share a copy of what is text.
func (f *form) tell() Leaf {
	length := 0
	for left := f.has & allTexts; left != 0; left &= left - 1 {
		of := f.values[bits.TrailingZeros64(left)]
		length += int(of.to - of.from)
	}
	var texts strings.Builder
	texts.Grow(length)
	return f.told(func(of span) string {
		from := texts.Len()
		texts.Write(f.sheet[of.from:of.to])
		return texts.String()[from:]
	})
}

// told makes a Leaf without the commitments; copied gives what a part of the sheet says.
func (f *form) told(copied func(span) string) (l Leaf) {
	text := func(m int) string {
		switch {
		case !f.stands(m):
			return ""
		case f.escaped>>m&1 != 0:
			return string(f.plain(m))
		}
		return copied(f.values[m])
	}
	number := func(m int) int { return int(f.number(m)) }
	l = Leaf{
		Event: Event{
			Kind: kindByNumber[f.kind], Time: clock(f.number(mTime)), Node: text(mNode),
			Message: text(mMessage), MessageID: text(mMessageID), Original: text(mOriginal), Operation: text(mOperation), Direction: text(mDirection),
			Channel: text(mChannel), Reference: text(mReference), Test: f.stands(mTest),
			Sender: text(mSender), Recipient: text(mRecipient), Service: text(mService), Version: text(mVersion), Schema: text(mSchema),
			Outcome: text(mOutcome), Incident: text(mIncident), Rule: text(mRule), Line: number(mLine), Col: number(mCol),
			Attempt: number(mAttempt), Count: number(mCount), Certificate: text(mCertificate), Size: number(mSize), Revocation: text(mRevocation),
			Fields: f.fields, Ground: text(mGround), Log: f.log,
			Terms: text(mTerms), Stage: text(mStage), Deadline: f.moment(mDeadline), EOL: f.moment(mEOL),
			DueQueued: f.moment(mDueQueued), DueTaken: f.moment(mDueTaken), DueStatus: f.moment(mDueStatus),
		},
		Logged: clock(f.number(mLogged)), Prev: f.index(mPrev), SenderSeq: f.number(mSenderSeq), RecipientSeq: f.number(mRecipientSeq), Period: f.period,
	}
	if f.stands(mTarget) {
		n := f.number(mTarget)
		l.Target = &n
	}
	return l
}

// moment is the time of a member, zero without it.
func (f *form) moment(m int) (t time.Time) {
	if f.stands(m) {
		t = clock(f.number(m))
	}
	return t
}

// clock is a time of a leaf.
func clock(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// logChange reads the member log.
func (r *reader) logChange() *LogChange {
	l := &LogChange{}
	r.object(func(key string) {
		switch key {
		case "key":
			l.Key = r.str()
		case "oldOrigin":
			l.OldOrigin = r.str()
		case "oldRoot":
			l.OldRoot = r.str()
		case "oldSize":
			l.OldSize = r.num()
		case "origin":
			l.Origin = r.str()
		default:
			r.fail("a member of log")
		}
	})
	return l
}

// period reads the member period.
func (r *reader) period() *Period {
	p := &Period{Totals: map[Kind]int64{}}
	members := 0
	r.object(func(key string) {
		members++
		switch key {
		case "counters":
			p.Counters = r.str()
		case "from":
			p.From = r.index()
		case "parties":
			p.Parties = r.index()
		case "to":
			p.To = r.index()
		case "totals":
			r.object(func(kind string) {
				if !kinds[Kind(kind)] {
					r.fail("a kind")
				}
				p.Totals[Kind(kind)] = r.num()
			})
		default:
			r.fail("a member of period")
		}
	})
	if members != 5 {
		r.fail("all members of period")
	}
	return p
}

// KindNumber is a Kind as an index, to count by: 0 is none.
type KindNumber uint8

// KindNumbers is more than any KindNumber: the set of kinds may grow.
const KindNumbers = 32

// Kind is the kind of a number, empty for none.
func (n KindNumber) Kind() Kind { return kindByNumber[n] }

// Number is the number of a kind, 0 for one that this version does not know.
func (k Kind) Number() KindNumber { return numberOfKind[k] }

var kindByNumber, numberOfKind = func() (names [KindNumbers]Kind, numbers map[Kind]KindNumber) {
	numbers = map[Kind]KindNumber{}
	for i, name := range slices.Sorted(maps.Keys(kinds)) {
		names[i+1], numbers[name] = name, KindNumber(i+1)
	}
	return names, numbers
}()

// kindSince3 is since3 by number.
var kindSince3 = func() (list [KindNumbers]bool) {
	for kind := range since3 {
		list[numberOfKind[kind]] = true
	}
	return list
}()
