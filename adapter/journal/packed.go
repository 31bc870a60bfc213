package journal

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
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
func (e *Event) Pack() ([]byte, error) {
	if e.Log != nil || e.Target != nil || len(e.Fields) > 0 {
		return nil, nil
	}
	if err := e.timesFit(); err != nil {
		return nil, err
	}
	p := packer{b: append(make([]byte, 0, 320), packedMark)}
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
	p.b = append(p.b, 0)
	values := 0
	e.eachValue(func(_, _, _ string) { values++ })
	p.b = binary.AppendUvarint(p.b, uint64(values))
	e.eachValue(func(field, value, class string) {
		p.text(field)
		p.text(value)
		p.text(class)
	})
	return p.b, nil
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

// UnpackPersonal reads what PackPersonal wrote.
func UnpackPersonal(b []byte) (values []PersonalField, err error) {
	r := unpacker{b: b, ok: true}
	r.texts.Grow(2 * len(b))
	for r.ok && len(r.b) > 0 {
		values = append(values, PersonalField{Field: r.text(), Value: r.text(), Class: r.text()})
	}
	if !r.ok {
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

// parsePacked reads a packed row.
func parsePacked(row []byte) (Event, error) {
	var e Event
	r := unpacker{b: row[1:], ok: true}
	r.texts.Grow(len(row) * 5 / 2) // as long as they can become
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
			if n > 0 {
				e.Personal = make([]PersonalField, 0, min(n, MaxPersonal))
			}
			for ; r.ok && n > 0; n-- {
				e.Personal = append(e.Personal, PersonalField{Field: r.text(), Value: r.text(), Class: r.text()})
			}
			if r.ok && len(r.b) == 0 {
				return e, nil
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
			return e, fmt.Errorf("a packed event with a member %d that this release does not know", n)
		}
	}
	return e, fmt.Errorf("a packed event of %d bytes is damaged", len(row))
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

// spelled gives the digests of a text that has a spelling.
func spelled(s string, spelling []string) (digests []byte, ok bool) {
	const digest = 32
	if len(s) != len(strings.Join(spelling, ""))+(len(spelling)-1)*hex.EncodedLen(digest) {
		return nil, false
	}
	for i, part := range spelling {
		if !strings.HasPrefix(s, part) {
			return nil, false
		}
		if s = s[len(part):]; i < len(spelling)-1 {
			text := s[:hex.EncodedLen(digest)]
			if digests, ok = appendUnhex(digests, text); !ok {
				return nil, false
			}
			s = s[len(text):]
		}
	}
	return digests, true
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

var packedWord = func() map[string]uint64 {
	words := map[string]uint64{}
	for i, w := range packedWords[1:] {
		words[w] = uint64(i + 1)
	}
	return words
}()

// longestWord is as many bytes as the longest of them has.
var longestWord = func() (n int) {
	for _, w := range packedWords {
		n = max(n, len(w))
	}
	return n
}()

var strictBase64 = base64.StdEncoding.Strict()

// SpelledID reads a UUID that is written as UUIDs are, in lower case; else it gives the
// one of zeros.
func SpelledID(s string) (id uuid.UUID, ok bool) {
	if len(s) != 36 {
		return id, false
	}
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'F' {
			return id, false
		}
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.UUID{}, false
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
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return to, false
		}
		if i%2 == 0 {
			out = append(out, c<<4)
		} else {
			out[len(out)-1] |= c
		}
	}
	return out, true
}

type packer struct{ b []byte }

func (p *packer) moment(t time.Time) {
	p.b = binary.AppendVarint(p.b, t.Unix())
	p.b = binary.AppendUvarint(p.b, uint64(t.Nanosecond()))
}

func (p *packer) text(s string) {
	begin := func(n, form int) { p.b = binary.AppendUvarint(p.b, uint64(n)*packedForms+uint64(form)) }
	if len(s) <= longestWord {
		if w, ok := packedWord[s]; ok {
			begin(int(w), formWord)
			return
		}
	}
	if strings.HasPrefix(s, `{"`) {
		for i, spelling := range packedSpellings {
			if digests, ok := spelled(s, spelling); ok {
				begin(packedSpelling+i, formWord)
				p.b = append(p.b, digests...)
				return
			}
		}
	}
	if id, ok := SpelledID(s); ok {
		begin(0, formWord)
		p.b = append(p.b, id[:]...)
		return
	}
	var room [64]byte
	if n := hex.DecodedLen(len(s)); n > 8 && n <= len(room) {
		if b, ok := appendUnhex(room[:0], s); ok {
			begin(len(b), formHex)
			p.b = append(p.b, b...)
			return
		}
	}
	if len(s) >= 24 && len(s)%4 == 0 {
		if b, err := strictBase64.DecodeString(s); err == nil && base64.StdEncoding.EncodedLen(len(b)) == len(s) {
			begin(len(b), formBase64)
			p.b = append(p.b, b...)
			return
		}
	}
	begin(len(s), formRaw)
	p.b = append(p.b, s...)
}

// unpacker reads what packer wrote; ok is false when it cannot be. What it spells out
// are parts of one text: an event has a dozen.
type unpacker struct {
	b     []byte
	ok    bool
	texts strings.Builder
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
