package journal_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"mezhved/adapter/journal"
)

// The reference is a second reader of leaves: slow, byte by byte, recursive, and
// written before the one that ParseLeaf uses. It shares nothing with that one but
// the type Leaf. Tests and fuzzers hold that both accept the same byte strings and
// read the same from them. Leave it as it is when the other gets faster.

// referenceParse is ParseLeaf by the reference.
func referenceParse(b []byte) (journal.Leaf, error) {
	if len(b) > journal.MaxLeaf {
		return journal.Leaf{}, errors.New("too long")
	}
	l := refLeaf{Leaf: journal.Leaf{Prev: journal.NoEntry}}
	if err := l.parse(string(b)); err != nil {
		return journal.Leaf{}, err
	}
	return l.Leaf, nil
}

type refLeaf struct {
	journal.Leaf
	newer  bool // it has a member that version 1 does not have
	newest bool // or one that version 2 does not have
}

var refKinds = map[journal.Kind]bool{
	"accepted": true, "refused": true, "routed": true, "queued": true, "delivered": true, "returned": true,
	"acknowledged": true, "answered": true, "expired": true, "dead": true, "due-soon": true, "overdue": true, "alarm": true, "strangers": true,
	"config-changed": true, "erased": true, "evidence-read": true, "period-close": true, "key-changed": true, "unknown": true,
}

func (l *refLeaf) parse(s string) error {
	r := refReader{s: s}
	var version int64
	r.object(func(key string) { l.member(&r, key, &version) })
	if r.err == nil && r.i != len(s) {
		r.fail("the end of the leaf")
	}
	if r.err != nil {
		return fmt.Errorf("leaf: %w", r.err)
	}
	want := int64(1)
	if l.newer {
		want = 2
	}
	if l.newest || l.Kind == "due-soon" || l.Kind == "overdue" || l.Kind == "alarm" {
		want = 3
	}
	if version != want {
		return fmt.Errorf("leaf has format version %d, want %d", version, want)
	}
	if !refKinds[l.Kind] {
		return fmt.Errorf("leaf has unknown kind %q", l.Kind)
	}
	if l.Time.IsZero() || l.Logged.IsZero() {
		return fmt.Errorf("leaf of kind %q lacks its times", l.Kind)
	}
	return nil
}

// refHash reads 32 bytes of standard base64.
func refHash(text string) (journal.Hash, bool) {
	var raw [33]byte
	if len(text) != 44 {
		return journal.Hash{}, false
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], []byte(text))
	return journal.Hash(raw[:32]), err == nil && n == len(journal.Hash{})
}

func (l *refLeaf) member(r *refReader, key string, version *int64) {
	switch key {
	case "attempt":
		l.Attempt = int(r.num())
	case "certificate":
		l.Certificate = r.str()
	case "channel":
		l.Channel = r.str()
		l.newer = true
	case "col":
		l.Col = int(r.num())
	case "commit":
		r.object(func(field string) {
			h, ok := refHash(r.str())
			if !ok || !refName(field) {
				r.fail("a field name and a commitment of 32 bytes in base64")
			}
			l.Commit = append(l.Commit, journal.Committed{Field: field, Hash: h})
		})
		if len(l.Commit) == 0 {
			r.fail("a commitment")
		}
	case "count":
		l.Count = int(r.num())
	case "deadline":
		l.Deadline = time.UnixMilli(r.num()).UTC()
	case "direction":
		l.Direction = r.str()
	case "dueQueued", "dueStatus", "dueTaken", "eol":
		at := map[string]*time.Time{"dueQueued": &l.DueQueued, "dueStatus": &l.DueStatus, "dueTaken": &l.DueTaken, "eol": &l.EOL}[key]
		*at = time.UnixMilli(r.num()).UTC()
		l.newest = true
	case "fields":
		l.Fields = r.strings()
	case "ground":
		l.Ground = r.str()
	case "incident":
		l.Incident = r.str()
	case "kind":
		l.Kind = journal.Kind(r.str())
	case "line":
		l.Line = int(r.num())
	case "log":
		l.Log = &journal.LogChange{}
		r.object(func(key string) {
			switch key {
			case "key":
				l.Log.Key = r.str()
			case "oldOrigin":
				l.Log.OldOrigin = r.str()
			case "oldRoot":
				l.Log.OldRoot = r.str()
			case "oldSize":
				l.Log.OldSize = r.num()
			case "origin":
				l.Log.Origin = r.str()
			default:
				r.fail("a member of log")
			}
		})
	case "logged":
		l.Logged = time.UnixMilli(r.num()).UTC()
	case "message":
		l.Message = r.str()
	case "messageId":
		l.MessageID = r.str()
	case "node":
		l.Node = r.str()
	case "operation":
		l.Operation = r.str()
	case "original":
		l.Original = r.str()
	case "outcome":
		l.Outcome = r.str()
	case "period":
		l.readPeriod(r)
	case "prev":
		l.Prev = r.index()
	case "recipient":
		l.Recipient = r.str()
	case "recipientSeq":
		l.RecipientSeq = r.num()
	case "reference":
		l.Reference = r.str()
		l.newer = true
	case "revocation":
		l.Revocation = r.str()
	case "rule":
		l.Rule = r.str()
	case "schema":
		l.Schema = r.str()
	case "sender":
		l.Sender = r.str()
	case "senderSeq":
		l.SenderSeq = r.num()
	case "service":
		l.Service = r.str()
	case "size":
		l.Size = int(r.num())
	case "stage":
		l.Stage, l.newest = r.str(), true
	case "terms":
		l.Terms, l.newest = r.str(), true
	case "target":
		n := r.index()
		l.Target = &n
	case "test":
		for _, c := range []byte("true") {
			r.byte(c)
		}
		l.Test, l.newer = true, true
	case "time":
		l.Time = time.UnixMilli(r.num()).UTC()
	case "v":
		*version = r.num()
	case "version":
		l.Version = r.str()
	default:
		r.fail("a member of a leaf")
	}
}

func (l *refLeaf) readPeriod(r *refReader) {
	l.Period = &journal.Period{Totals: map[journal.Kind]int64{}}
	members := 0
	r.object(func(key string) {
		members++
		switch key {
		case "counters":
			l.Period.Counters = r.str()
		case "from":
			l.Period.From = r.index()
		case "parties":
			l.Period.Parties = r.index()
		case "to":
			l.Period.To = r.index()
		case "totals":
			r.object(func(kind string) {
				if !refKinds[journal.Kind(kind)] {
					r.fail("a kind")
				}
				l.Period.Totals[journal.Kind(kind)] = r.num()
			})
		default:
			r.fail("a member of period")
		}
	})
	if members != 5 {
		r.fail("all members of period")
	}
}

func refName(s string) bool {
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

const refHexDigits = "0123456789abcdef"

// refString writes s as RFC 8785 section 3.2.2.2 has it: short escapes where
// they exist, \u00xx in lower case for other controls, everything else as is.
func refString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', refHexDigits[c>>4], refHexDigits[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// refReader scans what writer writes and nothing else: one value has one spelling.
// The strings that it returns share the memory of s, so that reading a leaf costs
// one copy and not thirty.
type refReader struct {
	s   string
	i   int
	err error
}

func (r *refReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: expected %s", r.i, what)
	}
}

// at says whether the next byte is c.
func (r *refReader) at(c byte) bool { return r.err == nil && r.i < len(r.s) && r.s[r.i] == c }

func (r *refReader) byte(c byte) {
	if !r.at(c) {
		r.fail(strconv.QuoteRune(rune(c)))
		return
	}
	r.i++
}

// object calls member for each key, with the refReader standing at its value. Keys
// must ascend: a duplicate or a disordered key is an error at its place.
func (r *refReader) object(member func(key string)) {
	r.byte('{')
	if r.at('}') {
		r.i++
		return
	}
	last := ""
	for r.err == nil {
		key := r.str()
		if key <= last {
			r.fail("keys in ascending order")
		}
		last = key
		r.byte(':')
		if r.err != nil {
			return
		}
		member(key)
		if r.at(',') {
			r.i++
			continue
		}
		r.byte('}')
		return
	}
}

// str reads a string that is not empty.
func (r *refReader) str() string {
	r.byte('"')
	from := r.i
	high := byte(0)
	if r.err != nil {
		return ""
	}
	rest := r.s[from:]
	n := 0
	for n < len(rest) && refPlain[rest[n]] {
		high |= rest[n]
		n++
	}
	switch {
	case n == len(rest):
		r.fail("the end of a string")
	case rest[n] == '"':
		r.i = from + n + 1
		return r.text(rest[:n], high)
	case rest[n] == '\\':
		return r.escaped(from)
	default:
		r.fail("an escape for a control character")
	}
	return ""
}

// refPlain are the bytes of a string that mean themselves.
var refPlain = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= 0x20 && c != '"' && c != '\\'
	}
	return table
}()

// text ends a string; high has the bits of all its bytes.
func (r *refReader) text(s string, high byte) string {
	if s == "" {
		r.fail("a string that is not empty")
	}
	if high >= utf8.RuneSelf && !utf8.ValidString(s) {
		r.fail("UTF-8")
	}
	return s
}

// escaped reads a string that has escapes, from its first byte.
func (r *refReader) escaped(from int) string {
	var out []byte
	for r.i = from; r.err == nil && r.i < len(r.s); r.i++ {
		switch c := r.s[r.i]; {
		case c == '"':
			r.i++
			return r.text(string(out), utf8.RuneSelf)
		case c == '\\':
			out = append(out, r.escape())
		case c < 0x20:
			r.fail("an escape for a control character")
		default:
			out = append(out, c)
		}
	}
	r.fail("the end of a string")
	return ""
}

// escape reads an escape up to its last byte. Only the spelling that writer would
// use is one.
func (r *refReader) escape() byte {
	for n := 2; n <= 6 && r.i+n <= len(r.s); n += 4 {
		c, ok := refUnescape(r.s[r.i : r.i+n])
		if ok {
			r.i += n - 1
			return c
		}
	}
	r.fail("an escape of RFC 8785")
	return 0
}

func refUnescape(escape string) (byte, bool) {
	c := escape[1]
	switch c {
	case 'b':
		c = '\b'
	case 't':
		c = '\t'
	case 'n':
		c = '\n'
	case 'f':
		c = '\f'
	case 'r':
		c = '\r'
	case 'u':
		n, err := strconv.ParseUint(escape[2:], 16, 8)
		if err != nil {
			return 0, false
		}
		c = byte(n)
	}
	var written [16]byte
	return c, string(refString(written[:0], string([]byte{c}))) == `"`+escape+`"`
}

// index reads an integer.
func (r *refReader) index() int64 {
	var n int64
	from := r.i
	for r.err == nil && r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		n = n*10 + int64(r.s[r.i]-'0')
		r.i++
		if n > 1<<53-1 {
			r.fail("an integer below 2^53")
			return 0
		}
	}
	if r.i == from || r.s[from] == '0' && r.i > from+1 {
		r.fail("an integer")
	}
	return n
}

// num reads an integer that is not 0.
func (r *refReader) num() int64 {
	n := r.index()
	if n == 0 {
		r.fail("an integer that is not 0")
	}
	return n
}

// strings reads an array that is not empty, of strings that are not.
func (r *refReader) strings() []string {
	r.byte('[')
	var out []string
	for r.err == nil {
		out = append(out, r.str())
		if r.at(',') {
			r.i++
			continue
		}
		r.byte(']')
		return out
	}
	return nil
}
