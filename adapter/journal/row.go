package journal

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Row is the event as a pending row holds it: JSON that PostgreSQL's json and
// jsonb take, whatever bytes a stranger's message has brought into it. Members
// stand in the order of Event's fields, those that are empty are absent.
//
// Members that came to the format after its first release go among the personal
// ones, under ClassLeaf. So a sequencer of a release that does not know them, as
// one may lead while the nodes are upgraded, commits to them as to any value, and
// nothing that was told is lost; to a member that it does not know it could only
// make of the whole row an entry of kind unknown.
func (e Event) Row() ([]byte, error) {
	if err := e.timesFit(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, 640)
	text := func(name, value string) {
		if value != "" {
			b = append(append(append(b, ',', '"'), name...), '"', ':')
			b = appendString(b, clip(value))
		}
	}
	number := func(name string, n int) {
		if n != 0 {
			b = append(append(append(b, ',', '"'), name...), '"', ':')
			b = strconv.AppendInt(b, int64(n), 10)
		}
	}
	moment := func(name string, t time.Time) {
		b = append(append(append(b, ',', '"'), name...), '"', ':', '"')
		b = append(t.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	b = append(b, `{"kind":`...)
	b = appendString(b, clip(string(e.Kind)))
	moment("time", e.Time)
	text("node", e.Node)
	text("message", e.Message)
	text("messageId", e.MessageID)
	text("original", e.Original)
	text("operation", e.Operation)
	text("direction", e.Direction)
	text("sender", e.Sender)
	text("recipient", e.Recipient)
	text("service", e.Service)
	text("version", e.Version)
	text("schema", e.Schema)
	text("outcome", e.Outcome)
	text("incident", e.Incident)
	text("rule", e.Rule)
	number("line", e.Line)
	number("col", e.Col)
	number("attempt", e.Attempt)
	number("count", e.Count)
	if !e.Deadline.IsZero() {
		moment("deadline", e.Deadline)
	}
	text("digest", e.Digest)
	text("certificate", e.Certificate)
	number("size", e.Size)
	text("revocation", e.Revocation)
	if e.Target != nil {
		b = strconv.AppendInt(append(b, `,"target":`...), *e.Target, 10)
	}
	for i, f := range e.Fields {
		b = append(b, separator(i, `,"fields":[`)...)
		b = appendString(b, strings.ToValidUTF8(f, "\uFFFD"))
	}
	if len(e.Fields) > 0 {
		b = append(b, ']')
	}
	text("ground", e.Ground)
	if e.Log != nil { // not in any row of ours: see NewLeaf
		change, err := json.Marshal(e.Log)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"log":`...), change...)
	}
	values := 0
	e.eachValue(func(field, value, class string) {
		b = append(b, separator(values, `,"personal":[`)...)
		values++
		b = appendString(append(b, `{"field":`...), field)
		b = appendString(append(b, `,"value":`...), value)
		if class != "" {
			b = appendString(append(b, `,"class":`...), class)
		}
		b = append(b, '}')
	})
	if values > 0 {
		b = append(b, ']')
	}
	return append(b, '}'), nil
}

// timesFit says whether all times of an event can be written.
func (e *Event) timesFit() error {
	for _, t := range [...]*time.Time{&e.Time, &e.Deadline, &e.DueQueued, &e.DueTaken, &e.DueStatus, &e.EOL} {
		if s := t.Unix(); s < year0 || s >= year10000 {
			return fmt.Errorf("event %s has time %s: no such year in RFC 3339", e.Kind, *t)
		}
	}
	return nil
}

// The seconds since 1970 with which the years 0 and 10000 begin in UTC.
var year0, year10000 = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// eachValue calls f with the personal values of a row: those of the event, and the
// members that go among them.
func (e *Event) eachValue(value func(field, value, class string)) {
	for _, p := range e.Personal {
		// A text of PostgreSQL cannot hold a zero character.
		value(inUTF8(p.Field), strings.ReplaceAll(inUTF8(p.Value), "\x00", "\uFFFD"), inUTF8(p.Class))
	}
	if e.Channel != "" {
		value(memberChannel, clip(e.Channel), ClassLeaf)
	}
	if e.Reference != "" {
		value(memberReference, clip(e.Reference), ClassLeaf)
	}
	if e.Test {
		value(memberTest, "true", ClassLeaf)
	}
	for i, m := range e.laterMembers() {
		switch {
		case m.text != nil && *m.text != "":
			value(laterNames[i], clip(*m.text), ClassLeaf)
		case m.moment != nil && !m.moment.IsZero():
			value(laterNames[i], strconv.FormatInt(m.moment.UnixMilli(), 10), ClassLeaf)
		}
	}
}

// inUTF8 replaces what of a text is not UTF-8. Nearly all texts are, which is told faster
// than they are gone through.
func inUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// The members that go among the personal values of a row.
const (
	memberChannel   = "channel"
	memberReference = "reference"
	memberTest      = "test"
)

// laterMember is a member of version 3: a text, or a moment in milliseconds since 1970.
type laterMember struct {
	text   *string
	moment *time.Time
}

// laterNames are those of laterMembers. They stand apart so that an event can stay on the
// stack while its names are handed on.
var laterNames = [6]string{"due-queued", "due-taken", "due-status", "eol", "terms", "stage"}

func (e *Event) laterMembers() [6]laterMember {
	return [6]laterMember{{nil, &e.DueQueued}, {nil, &e.DueTaken}, {nil, &e.DueStatus}, {nil, &e.EOL}, {&e.Terms, nil}, {&e.Stage, nil}}
}

// liftLater is lift for the members of version 3.
func (e *Event) liftLater(p PersonalField) bool {
	for i, m := range e.laterMembers() {
		if laterNames[i] != p.Field {
			continue
		}
		if m.text != nil {
			*m.text = p.Value
			return true
		}
		ms, err := strconv.ParseInt(p.Value, 10, 64)
		if err != nil || ms <= 0 || ms > maxInteger {
			return false
		}
		*m.moment = clock(ms)
		return true
	}
	return false
}

// lift takes the members out of the personal values. What a newer node calls a
// member and this one does not know stays among them, to be committed to.
func (e *Event) lift() {
	rest := e.Personal[:0]
	for _, p := range e.Personal {
		switch {
		case p.Class == ClassLeaf && p.Field == memberChannel:
			e.Channel = p.Value
		case p.Class == ClassLeaf && p.Field == memberReference:
			e.Reference = p.Value
		case p.Class == ClassLeaf && p.Field == memberTest:
			e.Test = true
		case p.Class == ClassLeaf && e.liftLater(p):
		default:
			rest = append(rest, p)
		}
	}
	if e.Personal = rest; len(rest) == 0 {
		e.Personal = nil
	}
}

func separator(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// ParseRow reads what Row or Pack wrote and refuses members that it does not know: a
// newer node may have written them, and dropping them silently would be a lie.
func ParseRow(row []byte) (Event, error) {
	var e Event
	err := new(EventRoom).Parse(&e, row)
	return e, err
}

// rowReader reads a row in the spellings in which nearly all come: as Row writes them,
// and as PostgreSQL's jsonb does, with its own order and blanks. It fails where anything
// else stands, a member twice for one, and package json then reads the row from its
// beginning; TestRowsAreReadAlike and FuzzRow hold that a row which both can read is the
// same event to both.
type rowReader struct {
	s  string
	ok bool
}

// take says whether text comes next, and goes beyond it.
func (r *rowReader) take(text string) bool {
	rest, ok := strings.CutPrefix(r.s, text)
	r.s = rest
	return ok
}

// next goes beyond a mark and the blank behind it.
func (r *rowReader) next(mark string) bool {
	ok := r.take(mark)
	r.take(" ")
	return ok
}

// list calls one for each element between brackets, of which there is one at least.
func (r *rowReader) list(one func()) {
	r.ok = r.take("[") && r.ok
	for more := true; more && r.ok; more = r.next(",") {
		one()
	}
	r.ok = r.take("]") && r.ok
}

// key is the name of a member, whose value comes next.
func (r *rowReader) key() string {
	key := r.quoted()
	r.ok = r.next(":") && r.ok
	return key
}

func (r *rowReader) quoted() string {
	if !r.take(`"`) {
		r.ok = false
		return ""
	}
	n, high, escapes := 0, byte(0), 0
	for n < len(r.s) && r.s[n] != '"' && r.s[n] >= ' ' {
		if r.s[n] == '\\' {
			if n++; n == len(r.s) || r.s[n] != '"' && r.s[n] != '\\' {
				r.ok = false
				return ""
			}
			escapes++
		}
		high |= r.s[n]
		n++
	}
	// package json replaces what is not UTF-8.
	r.ok = r.ok && (high < utf8.RuneSelf || utf8.ValidString(r.s[:n]))
	if n == len(r.s) || r.s[n] != '"' {
		r.ok = false
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n+1:]
	if escapes == 0 {
		return s
	}
	plain := make([]byte, 0, len(s)-escapes)
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		plain = append(plain, s[i])
	}
	return string(plain)
}

func (r *rowReader) text(into *string) {
	r.ok = r.ok && *into == ""
	*into = r.quoted()
}

func (r *rowReader) integer() int64 {
	n := 0
	for n < len(r.s) && '0' <= r.s[n] && r.s[n] <= '9' {
		n++
	}
	if n == 0 || n > 15 || n > 1 && r.s[0] == '0' {
		r.ok = false
		return 0
	}
	v, err := strconv.ParseInt(r.s[:n], 10, 64)
	r.ok = r.ok && err == nil
	r.s = r.s[n:]
	return v
}

func (r *rowReader) number(into *int) {
	r.ok = r.ok && *into == 0
	*into = int(r.integer())
}

func (r *rowReader) moment(into *time.Time) {
	r.ok = r.ok && into.IsZero()
	text := r.quoted()
	// package time takes spellings that package json does not; those that end in
	// Z and have no more than this length are the same to both.
	if len(text) < len("2006-01-02T15:04:05Z") || text[len(text)-1] != 'Z' || text[10] != 'T' || text[13] != ':' || strings.IndexByte(text, ',') >= 0 {
		r.ok = false
		return
	}
	t, err := time.Parse(time.RFC3339, text)
	r.ok = r.ok && err == nil
	*into = t
}

func readRow(s string) (e Event, ok bool) {
	r := rowReader{s, true}
	r.ok = r.take("{")
	for r.ok {
		switch r.key() {
		case "kind":
			r.text((*string)(&e.Kind))
		case "time":
			r.moment(&e.Time)
		case "deadline":
			r.moment(&e.Deadline)
		case "node":
			r.text(&e.Node)
		case "message":
			r.text(&e.Message)
		case "messageId":
			r.text(&e.MessageID)
		case "original":
			r.text(&e.Original)
		case "operation":
			r.text(&e.Operation)
		case "direction":
			r.text(&e.Direction)
		case "sender":
			r.text(&e.Sender)
		case "recipient":
			r.text(&e.Recipient)
		case "service":
			r.text(&e.Service)
		case "version":
			r.text(&e.Version)
		case "schema":
			r.text(&e.Schema)
		case "outcome":
			r.text(&e.Outcome)
		case "incident":
			r.text(&e.Incident)
		case "rule":
			r.text(&e.Rule)
		case "digest":
			r.text(&e.Digest)
		case "certificate":
			r.text(&e.Certificate)
		case "revocation":
			r.text(&e.Revocation)
		case "ground":
			r.text(&e.Ground)
		case "line":
			r.number(&e.Line)
		case "col":
			r.number(&e.Col)
		case "attempt":
			r.number(&e.Attempt)
		case "count":
			r.number(&e.Count)
		case "size":
			r.number(&e.Size)
		case "target":
			r.ok = r.ok && e.Target == nil
			n := r.integer()
			e.Target = &n
		case "fields":
			r.ok = r.ok && e.Fields == nil
			r.list(func() { e.Fields = append(e.Fields, r.quoted()) })
		case "personal":
			r.ok = r.ok && e.Personal == nil
			r.list(func() { e.Personal = append(e.Personal, r.personal()) })
		default:
			return e, false
		}
		if r.take("}") {
			return e, r.ok && r.s == ""
		}
		r.ok = r.next(",") && r.ok
	}
	return e, false
}

func (r *rowReader) personal() (p PersonalField) {
	r.ok = r.take("{") && r.ok
	for r.ok {
		switch r.key() {
		case "field":
			r.text(&p.Field)
		case "value":
			r.text(&p.Value)
		case "class":
			r.text(&p.Class)
		default:
			r.ok = false
		}
		if r.take("}") {
			break
		}
		r.ok = r.next(",") && r.ok
	}
	return p
}
