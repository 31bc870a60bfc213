package journal

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A packed row says what Row says, to the letter, in a third of the bytes: most of an
// event are ids and digests, which as text are twice as long, and names of members.
// It is a mark that no JSON begins with, the message's id in 16 bytes, so that SQL can
// find it, the time, the members that are not empty, each behind its
// number, a zero, the number of the personal values and these in the order of Row. A text
// is a number, length and form together, and as many bytes (see packer.text). Numbers
// of members, words and spellings are never given to another: rows wait for at most some days,
// and a node of the next release reads them.
const packedMark = 1

// Pack is the event as a packed row, or nil for what only Row can express.
func (e *Event) Pack() ([]byte, error) { return e.AppendPack(make([]byte, 0, 320)) }

// AppendPack is Pack behind what is in b.
func (e *Event) AppendPack(b []byte) ([]byte, error) {
	if e.Log != nil || e.Target != nil || len(e.Fields) > 0 {
		return nil, nil
	}
	if err := e.timesFit(); err != nil {
		return nil, err
	}
	p := packer{b: append(b, packedMark)}
	message, first := SpelledID(e.Message)
	first = first && message != uuid.Nil
	p.b = append(p.b, message[:]...)
	p.moment(e.Time)
	for i, m := range e.packedTexts() {
		if *m != "" && !(first && m == &e.Message) {
			p.b = append(p.b, byte(packedText+i))
			p.text(clip(*m))
		}
	}
	for i, m := range e.packedNumbers() {
		if *m != 0 {
			p.b = binary.AppendVarint(append(p.b, byte(packedNumber+i)), int64(*m))
		}
	}
	if !e.Deadline.IsZero() {
		p.b = append(p.b, packedDeadline)
		p.moment(e.Deadline)
	}
	p.b = append(p.b, 0, 0)
	count, values := len(p.b)-1, 0
	e.eachValue(func(field, value, class string) {
		values++
		p.text(field)
		p.text(value)
		p.text(class)
	})
	if values < 0x80 {
		p.b[count] = byte(values)
		return p.b, nil
	}
	return slices.Replace(p.b, count, count+1, binary.AppendUvarint(nil, uint64(values))...), nil
}

// PackPersonal writes personal values as a packed row has them.
func PackPersonal(values []PersonalField) []byte {
	p := packer{b: make([]byte, 0, 48*len(values))}
	for i := range values {
		v := &values[i]
		p.text(v.Field)
		p.text(v.Value)
		p.text(v.Class)
	}
	return p.b
}

// EventRoom is what packed events are read in by who reads many, one behind the other:
// their texts are parts of a few large ones. The personal values of an event are good until
// the next one is read. The zero value is ready. Not for concurrent use.
type EventRoom struct {
	texts            strings.Builder
	personal, opened []PersonalField
}

// textRoom is how much of texts is made at once for events behind the first one: so many
// bytes are kept by whoever keeps a text.
const textRoom = 16 << 10

// grow makes room for texts.
func (r *EventRoom) grow(need int) {
	switch {
	case r.texts.Cap() == 0:
		r.texts.Grow(need)
	case r.texts.Cap()-r.texts.Len() < need:
		r.texts.Reset() // the texts of before stay with who has them
		r.texts.Grow(max(need, textRoom))
	}
}

// Parse is ParseRow into an event that is the zero one. After an error it means nothing.
func (r *EventRoom) Parse(e *Event, row []byte) error {
	if len(row) > 0 && row[0] == packedMark {
		if err := e.unpack(row, r); err != nil {
			return err
		}
	} else if read, ok := readRow(string(row)); ok {
		*e = read
	} else {
		d := json.NewDecoder(strings.NewReader(string(row)))
		d.DisallowUnknownFields()
		if err := d.Decode(e); err != nil {
			return err
		}
	}
	if len(e.Personal) > 0 {
		e.lift()
	}
	return nil
}

// Open puts the values that PackPersonal wrote in the place of the one at i, of the event
// that was read last, and says how many they are.
func (r *EventRoom) Open(e *Event, i int, packed []byte) (int, error) {
	values, err := r.values(packed)
	if err != nil {
		return 0, err
	}
	e.Personal = slices.Replace(e.Personal, i, i+1, values...)
	r.personal = e.Personal[:0]
	return len(values), nil
}

// values reads what PackPersonal wrote. They are good until others are read.
func (r *EventRoom) values(b []byte) ([]PersonalField, error) {
	r.grow(2 * len(b))
	u, values := unpacker{b: b, ok: true, texts: &r.texts}, r.opened[:0]
	for u.ok && len(u.b) > 0 {
		values = append(values, PersonalField{Field: u.text(), Value: u.text(), Class: u.text()})
	}
	if r.opened = values[:0]; !u.ok {
		return nil, fmt.Errorf("packed values of %d bytes are damaged", len(b))
	}
	return values, nil
}

// Numbers of members.
const (
	packedText     = 1 // and the place in packedTexts
	packedNumber   = 64
	packedDeadline = 96
)

func (e *Event) packedTexts() [19]*string {
	return [...]*string{(*string)(&e.Kind), &e.Node, &e.Message, &e.MessageID, &e.Original, &e.Operation, &e.Direction, &e.Sender, &e.Recipient,
		&e.Service, &e.Version, &e.Schema, &e.Outcome, &e.Incident, &e.Rule, &e.Digest, &e.Certificate, &e.Revocation, &e.Ground}
}

func (e *Event) packedNumbers() [5]*int {
	return [...]*int{&e.Line, &e.Col, &e.Attempt, &e.Count, &e.Size}
}

// unpack reads a packed row.
func (e *Event) unpack(row []byte, room *EventRoom) error {
	room.grow(len(row) * 5 / 2) // as long as they can become
	r := unpacker{b: row[1:], ok: true, texts: &room.texts}
	if id := r.take(16); r.ok && uuid.UUID(id) != uuid.Nil {
		e.Message = r.id(id)
	}
	e.Time = r.moment()
	texts, numbers := e.packedTexts(), e.packedNumbers()
	for r.ok {
		n := r.byte()
		switch {
		case !r.ok:
		case n == 0:
			n := r.number()
			if e.Personal = room.personal[:0]; n > 0 {
				e.Personal = slices.Grow(e.Personal, int(min(n, MaxPersonal)))
			}
			for ; r.ok && n > 0; n-- {
				e.Personal = append(e.Personal, PersonalField{Field: r.text(), Value: r.text(), Class: r.text()})
			}
			if room.personal = e.Personal[:0]; r.ok && len(r.b) == 0 {
				return nil
			}
		case n == packedDeadline:
			e.Deadline = r.moment()
		case n >= packedNumber && int(n) < packedNumber+len(numbers):
			v, size := binary.Varint(r.b)
			if r.ok = size > 0; r.ok {
				*numbers[n-packedNumber], r.b = int(v), r.b[size:]
			}
		case int(n) < packedText+len(texts):
			*texts[n-packedText] = r.text()
		default:
			return fmt.Errorf("a packed event with a member %d that this release does not know", n)
		}
	}
	return fmt.Errorf("a packed event of %d bytes is damaged", len(row))
}

// legible is a row as a text: a packed one as Row would have written it, or in
// hexadecimal when it is damaged.
func legible(row []byte) []byte {
	if len(row) == 0 || row[0] != packedMark {
		return row
	}
	if e, err := ParseRow(row); err == nil {
		if text, err := e.Row(); err == nil {
			return text
		}
	}
	return []byte(hex.EncodeToString(row))
}

// Forms of a text.
const (
	formRaw    = iota
	formWord   // its length is a place in packedWords
	formHex    // bytes that the text has in lower-case hexadecimal
	formBase64 // bytes that it has in standard base64
	packedForms
)

// packedWords are what texts often are. The first one stands for a UUID in lower case,
// whose bytes follow.
var packedWords = []string{"",
	"accepted", "routed", "queued", "delivered", "acknowledged", "returned", "expired", "dead", "answered", "refused",
	"ok", "rewrapped", "EndOfLifeReached", "SendRequest", "SendResponse", "GetRequest", "GetResponse", "Ack", "GetStatus",
	"request", "response", "status", "rejection", "async", "broadcast",
	"smev/1.1", "smev/1.2", "smev/1.3", "ws/1.1", "ws/1.2", "ws/1.3", "gateway", "stream", "1.0.0", "1.1.0", "2.0.0",
	"channel", "reference", "test", "true", "due-queued", "due-taken", "due-status", "eol", "terms", "stage",
	"leaf", "personal", "envelope", "acknowledgements", "sealed:personal", "sealed:envelope", "sealed:acknowledgements", "receipt",
	"snils", "inn", "name", "birth", "document", "ground", "ogrn",
}

// packedSpellings are texts that are ever the same around digests, 32 bytes in lower-case
// hexadecimal between the parts. Their numbers follow packedSpelling, and the digests the number.
var packedSpellings = [][]string{{`{"answer":"`, `","poll":"`, `"}`}, {`{"ack":"`, `"}`}, {`{"poll":"`, `"}`}}

const packedSpelling = 1 << 10 // there are fewer words

// spelled writes a text that has one of the spellings; false: it has none.
func (p *packer) spelled(s string) bool {
	before := len(p.b)
	for i, spelling := range packedSpellings {
		p.begin(packedSpelling+i, formWord)
		ok := false
		if p.b, ok = appendSpelled(p.b, s, spelling); ok {
			return true
		}
		p.b = p.b[:before]
	}
	return false
}

// appendSpelled adds the digests of a text that has a spelling; false where it has not.
func appendSpelled(to []byte, s string, spelling []string) ([]byte, bool) {
	const digits = 64
	out, ok := to, true
	for i, part := range spelling {
		if i > 0 {
			if len(s) < digits {
				return to, false
			}
			if out, ok = appendUnhex(out, s[:digits]); !ok {
				return to, false
			}
			s = s[digits:]
		}
		if s, ok = strings.CutPrefix(s, part); !ok {
			return to, false
		}
	}
	return out, s == ""
}

func (r *unpacker) spelled(spelling []string) string {
	from := r.texts.Len()
	r.texts.WriteString(spelling[0])
	for _, part := range spelling[1:] {
		r.hex(r.take(32))
		r.texts.WriteString(part)
	}
	return r.texts.String()[from:]
}

// packedWord is a word with its place.
type packedWord struct {
	text  string
	place int
}

// wordsOfLength are the words by how long they are: there are but a few of one length, and
// most texts are none.
var wordsOfLength = func() (of [32][]packedWord) {
	for i, w := range packedWords[1:] {
		of[len(w)] = append(of[len(w)], packedWord{w, i + 1})
	}
	return of
}()

// wordOfText is the place of a text that is a word; 0: it is none.
func wordOfText(s string) int {
	if len(s) < len(wordsOfLength) {
		for _, w := range wordsOfLength[len(s)] {
			if w.text == s {
				return w.place
			}
		}
	}
	return 0
}

var strictBase64 = base64.StdEncoding.Strict()

// hexDigit is what a lower-case digit stands for; 16: it is none.
var hexDigit = func() (value [256]byte) {
	for i := range value {
		value[i] = 16
	}
	for i, digit := range []byte(hexDigits) {
		value[digit] = byte(i)
	}
	return value
}()

// idDigits is where the digits of each byte of a UUID stand.
var idDigits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// SpelledID reads a UUID that is written as UUIDs are, in lower case; else it gives the
// one of zeros.
func SpelledID(s string) (id uuid.UUID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	for i, at := range idDigits {
		high, low := hexDigit[s[at]], hexDigit[s[at+1]]
		if high|low > 15 {
			return uuid.UUID{}, false
		}
		id[i] = high<<4 | low
	}
	return id, true
}

// appendUnhex adds the bytes that a text has in lower-case hexadecimal; false where it
// has none.
func appendUnhex(to []byte, s string) ([]byte, bool) {
	if len(s)%2 != 0 {
		return to, false
	}
	out := to
	for i := 0; i < len(s); i += 2 {
		high, low := hexDigit[s[i]], hexDigit[s[i+1]]
		if high|low > 15 {
			return to, false
		}
		out = append(out, high<<4|low)
	}
	return out, true
}

type packer struct{ b []byte }

func (p *packer) moment(t time.Time) {
	p.b = binary.AppendVarint(p.b, t.Unix())
	p.b = binary.AppendUvarint(p.b, uint64(t.Nanosecond()))
}

// begin writes length and form of a text.
func (p *packer) begin(n, form int) {
	p.b = binary.AppendUvarint(p.b, uint64(n)*packedForms+uint64(form))
}

func (p *packer) text(s string) {
	if place := wordOfText(s); place > 0 {
		p.begin(place, formWord)
		return
	}
	if strings.HasPrefix(s, `{"`) && p.spelled(s) {
		return
	}
	if id, ok := SpelledID(s); ok {
		p.begin(0, formWord)
		p.b = append(p.b, id[:]...)
		return
	}
	if p.hex(s) || p.base64(s) {
		return
	}
	p.begin(len(s), formRaw)
	p.b = append(p.b, s...)
}

// hex writes a text that has up to 64 bytes in lower-case hexadecimal; false: it is none,
// or short.
func (p *packer) hex(s string) (ok bool) {
	n := hex.DecodedLen(len(s))
	if n <= 8 || n > 64 {
		return false
	}
	before := len(p.b)
	p.begin(n, formHex)
	if p.b, ok = appendUnhex(p.b, s); !ok {
		p.b = p.b[:before]
	}
	return ok
}

// base64 writes a text that is standard base64 in its one spelling; false: it is not, or is
// short.
func (p *packer) base64(s string) bool {
	if len(s) < 24 || len(s)%4 != 0 {
		return false
	}
	before := len(p.b)
	padding := 2 - len(strings.TrimRight(s[len(s)-2:], "="))
	n := len(s)/4*3 - padding
	p.begin(n, formBase64)
	head := len(p.b)
	b, err := strictBase64.AppendDecode(p.b, []byte(s))
	if p.b = b; err != nil || len(b)-head != n { // or it has line feeds, which are passed over
		p.b = p.b[:before]
		return false
	}
	return true
}

// unpacker reads what packer wrote; ok is false when it cannot be. What it spells out
// are parts of one text: an event has a dozen.
type unpacker struct {
	b     []byte
	ok    bool
	texts *strings.Builder
}

// id spells a UUID.
func (r *unpacker) id(id []byte) string {
	from := r.texts.Len()
	for i, span := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			r.texts.WriteByte('-')
		}
		r.hex(id[span[0]:span[1]])
	}
	return r.texts.String()[from:]
}

func (r *unpacker) hex(b []byte) {
	var room [64]byte
	r.texts.Write(hex.AppendEncode(room[:0], b))
}

func (r *unpacker) byte() byte {
	if b := r.take(1); r.ok {
		return b[0]
	}
	return 0
}

func (r *unpacker) take(n uint64) []byte {
	if !r.ok || n > uint64(len(r.b)) {
		r.ok = false
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *unpacker) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.ok = false
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *unpacker) moment() time.Time {
	s, n := binary.Varint(r.b)
	if n <= 0 {
		r.ok = false
		return time.Time{}
	}
	r.b = r.b[n:]
	ns := r.number()
	if r.ok = r.ok && ns < uint64(time.Second); !r.ok {
		return time.Time{}
	}
	return time.Unix(s, int64(ns)).UTC()
}

func (r *unpacker) text() string {
	head := r.number()
	if !r.ok {
		return ""
	}
	length := head / packedForms
	switch head % packedForms {
	case formWord:
		if n := length - packedSpelling; length >= packedSpelling && n < uint64(len(packedSpellings)) {
			return r.spelled(packedSpellings[n])
		}
		if length > 0 {
			if r.ok = length < uint64(len(packedWords)); r.ok {
				return packedWords[length]
			}
			return ""
		}
		if id := r.take(16); r.ok {
			return r.id(id)
		}
		return ""
	}
	from := r.texts.Len()
	switch b := r.take(length); head % packedForms {
	case formHex:
		r.hex(b)
	case formBase64:
		var room [512]byte
		r.texts.Write(base64.StdEncoding.AppendEncode(room[:0], b))
	default:
		r.texts.Write(b)
	}
	return r.texts.String()[from:]
}
