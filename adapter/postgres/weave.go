package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/google/uuid"
)

// A receipt repeats what is kept anyway: the message that was handed out, the words
// of the protocol, certificates. So it is stored as what it has of its own and, in
// between, references into cloths: bytes that will be there when it is read. This
// is the half of a compressor that has a dictionary, without the half that needs a
// table of its own for each text: a receipt of 2 KB costs some microseconds.
//
// A woven text is a list of steps, each a varint of four times a length plus the kind of
// step: a piece of its own as it is, one that is base64 of so many bytes, a UUID in its
// usual spelling, or a reference. A reference goes on with how far its offset is from the
// end of the reference before into that cloth (zigzag), times four, plus the cloth, which
// is nearly always the first or the second; three means that a varint with the number less
// three follows. Texts follow their patterns, so most distances are nothing.
//
// In the round form the second cloth is the text itself, as far as it has come: there a
// distance is counted from the place as far back as the last reference into it was. Round
// steps are pressed (press.go). This form begins a week after migration 00154; before, steps
// were tight, which is all of the above but for that cloth. Releases before wrote loose ones:
// the length of a piece of its own, the piece, and unless the text ends there a reference:
// number of the cloth, offset and length, each a varint. Tight ones begin a week after
// migration 00132.

// weft is the least length of a match: a reference takes three to six bytes.
const weft = 8

// selvage is the length of matches that are looked for first: shorter ones stand at many
// places, of which the right one is the one that goes on.
const selvage = 32

// stride is how far apart the places are where a text is looked up in cloths: each costs a
// step into a table that no cache holds. A match of stride-1 bytes more than weft is found
// wherever it begins, because it is followed backwards too.
const stride = 4

// mostValue bounds what is passed over as a value: longer ones, such as certificates, may
// stand in a cloth.
const mostValue = 128

// cloth is a text to refer to. Its table finds where eight bytes stand: at a place that
// their upper bits name when they are spread, it has their offset + 1 in its lower bits,
// and above that, to tell without a look at the text that others stand there, more of the
// spread ones. long has the offsets + 1 of 32 bytes, and is asked when eight are found.
type cloth struct {
	text  []byte
	table []uint32
	long  []uint32
	bits  uint // of a place, and of an offset
}

// newCloth makes the tables. Of places with the same bytes the last one is found.
func newCloth(text []byte) *cloth {
	c := &cloth{text: text}
	if len(text) < weft {
		return c
	}
	c.bits = uint(bits.Len(uint(len(text))))
	c.table, c.long = make([]uint32, 1<<c.bits), make([]uint32, 1<<c.bits)
	for i := 0; i+weft <= len(text); i++ {
		wide := spread(binary.LittleEndian.Uint64(text[i:]))
		c.table[wide>>(64-c.bits)] = uint32(wide)<<c.bits | uint32(i+1)
		if i+selvage <= len(text) {
			c.long[spreadLong(text[i:])>>(64-c.bits)] = uint32(i + 1)
		}
	}
	return c
}

// spread multiplies eight bytes so that the upper bits of what comes out, as many as a
// table has need of, say where it has them; spreadLong does so with 32.
func spread(eight uint64) uint64 { return eight * 0x9E3779B97F4A7C15 }

func spreadLong(b []byte) (h uint64) {
	for i := 0; i < selvage; i += 8 {
		h = spread(h ^ h>>29 ^ binary.LittleEndian.Uint64(b[i:]))
	}
	return h
}

// may says whether eight bytes may stand there.
func (c *cloth) may(wide uint64) bool {
	return (c.table[wide>>(64-c.bits)]^uint32(wide)<<c.bits)>>c.bits == 0
}

// find gives where eight bytes stand; -1: nowhere.
func (c *cloth) find(eight, wide uint64) int {
	at := int(c.table[wide>>(64-c.bits)]&(1<<c.bits-1)) - 1
	if !c.may(wide) || at < 0 || binary.LittleEndian.Uint64(c.text[at:]) != eight {
		return -1
	}
	return at
}

// match extends a match of eight bytes, at an offset of the cloth and at the beginning of
// b, as far as it goes, and before b too, within back; or a longer one that there is.
func (c *cloth) match(at int, b []byte, back []byte) (offset, before, length int) {
	if len(b) >= selvage {
		if l := int(c.long[spreadLong(b)>>(64-c.bits)]) - 1; l >= 0 && bytes.HasPrefix(c.text[l:], b[:selvage]) {
			at = l
		}
	}
	n := c.common(at, b)
	for before < len(back) && before < at && c.text[at-before-1] == back[len(back)-before-1] {
		before++
	}
	return at - before, before, n + before
}

// common is how much of b stands at an offset.
func (c *cloth) common(at int, b []byte) int { return common(c.text[at:], b) }

// common is how many bytes two texts have in common at their beginning.
func common(a, b []byte) (n int) {
	most := min(len(a), len(b))
	for n+selvage <= most && [selvage]byte(a[n:]) == [selvage]byte(b[n:]) {
		n += selvage
	}
	for n+8 <= most {
		if differ := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); differ != 0 {
			return n + bits.TrailingZeros64(differ)/8
		}
		n += 8
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// known is a part of a text of which it is known where it is from.
type known struct {
	at, length    int // in the text
	cloth, offset int
}

// weave appends text as what it has of its own and references into cloths. parts are
// known already, in their order and apart from one another.
func weave(out []byte, f form, text []byte, parts []known, cloths ...*cloth) []byte {
	w := loom{form: f, text: text, out: slices.Grow(out, len(text)/8+256)}
	for k, c := range cloths {
		if len(c.table) > 0 && w.count < len(w.room) {
			w.room[w.count] = laid{cloth: c, number: f.number(k)}
			w.count++
		}
	}
	for _, p := range parts {
		w.between(p.at)
		w.piece(text[w.own:p.at])
		w.refer(p.cloth, p.offset, p.length)
		w.own = p.at + p.length
	}
	w.between(len(text))
	if f != loose && w.own == len(text) {
		return w.out
	}
	w.piece(text[w.own:])
	return w.out
}

// between weaves what stands before an end, but for the piece that is its own there.
func (w *loom) between(end int) {
	text, cloths := w.text, w.cloths()
	w.look(end)
	for i := w.own; i+weft <= end; {
		// Nearly all places have no match, and get no further than this loop.
		eight := binary.LittleEndian.Uint64(text[i:])
		wide := spread(eight)
		stood, hit := -1, false
		if w.form == round {
			place := &w.last[wide>>(64-lastBits)]
			stood, *place = int(*place)-1, uint16(i+1)
			on := w.ends[clothItself] + i - w.own
			hit = stood >= 0 && stood+weft <= i && binary.LittleEndian.Uint64(text[stood:]) == eight ||
				on >= 0 && on+weft <= i && binary.LittleEndian.Uint64(text[on:]) == eight
		}
		hit = hit || i == w.sure
		seek := (i-w.own)%stride == 0 && (i > w.own || w.sure < i)
		for k := range cloths {
			c := &cloths[k]
			hit = hit || c.goesOn && c.next == eight || seek && c.may(wide)
		}
		if !hit {
			i = w.after(i)
			continue
		}
		cloth, offset, before, length := w.best(i, end, stood, eight, wide)
		if length == 0 {
			i = w.after(i)
			continue
		}
		w.piece(text[w.own : i-before])
		w.refer(cloth, offset, length)
		i += length - before
		w.own = i
		w.look(end)
	}
}

// after is the place to look at after one that has no match: behind a value, or the next.
func (w *loom) after(i int) int {
	if i == w.own && w.sure > i {
		return w.sure
	}
	return i + 1
}

// best is the longest match at a place: where a reference before would go on, or where the
// eight bytes there stand in a cloth, or stood in the text. It may begin before the place.
func (w *loom) best(i, end, stood int, eight, wide uint64) (cloth, offset, before, length int) {
	text := w.text
	for k := range w.cloths() {
		c := &w.room[k]
		if c.goesOn && c.next == eight {
			if n := c.common(c.end, text[i:end]); n > length {
				cloth, offset, length = c.number, c.end, n
			}
		}
		if c.left > 0 && i == w.sure {
			if n := c.common(c.left, text[i:end]); n >= max(weft, length+1) {
				cloth, offset, length = c.number, c.left, n
			}
		}
	}
	if w.sure > i {
		end = w.sure // a value's
	}
	if w.form == round {
		if on := w.ends[clothItself] + i - w.own; on >= 0 && on+weft <= i {
			if n := common(text[on:i], text[i:end]); n >= max(weft, length+1) {
				cloth, offset, length = clothItself, on, n
			}
		}
	}
	if length >= selvage {
		return cloth, offset, 0, length
	}
	for k := range w.cloths() {
		c := &w.room[k]
		if at := c.find(eight, wide); at >= 0 {
			if o, b, n := c.match(at, text[i:end], text[w.own:i]); n >= max(weft, length+1) {
				cloth, offset, before, length = c.number, o, b, n
			}
		}
	}
	if stood < 0 || stood+weft > i || length >= selvage {
		return cloth, offset, before, length
	}
	// What is referred to is written already: it ends where the piece before the match does.
	n, b := common(text[stood:i], text[i:end]), 0
	for b < min(i-w.own, stood, i-stood-1) && text[stood-b-1] == text[i-b-1] {
		b++
	}
	if n = min(n, i-b-stood); n+b >= max(weft, length+1) {
		return clothItself, stood - b, b, n + b
	}
	return cloth, offset, before, length
}

// form is how steps are written.
type form uint8

const (
	loose form = iota
	tight
	round // tight, and the text itself is a cloth as far as it has come
)

// clothItself is the number of the text itself in the round form; cloths that are given are
// the one before it and those behind.
const clothItself = 1

// number is that of the k-th cloth.
func (f form) number(k int) int {
	if f == round && k >= clothItself {
		return k + 1
	}
	return k
}

// Kinds of steps.
const (
	stepOwn = iota
	stepBase64
	stepUUID
	stepReference
)

// loom writes the steps of a woven text.
type loom struct {
	form  form
	text  []byte
	own   int       // where the piece begins that is not written yet
	sure  int       // where the pattern of a cloth goes on, here or behind a value; -1: nobody knows
	raw   [128]byte // what base64 stands for, for a moment
	room  [2]laid   // the cloths that are looked at
	count int
	out   []byte
	ends  [2]int // of the references so far into the first cloths; in the text itself it goes along

	// Where eight of the text's own bytes stood last, by their hash. It is small: what a
	// table costs that is used for one text is that it is cleared.
	last [1 << lastBits]uint16
}

const lastBits = 11

// laid is a cloth that is looked at, with where its last reference ended and the eight bytes
// that come there.
type laid struct {
	*cloth
	number int
	goesOn bool
	end    int
	next   uint64
	left   int // where the reference before that ended; 0: there is none
}

func (w *loom) cloths() []laid { return w.room[:w.count] }

// look has the cloths say how the pattern goes on, here or behind a value: a digest, a
// signature or a time stands between two tags, and in no cloth. A certificate does, and
// behind that the pattern goes on which the text has left for it.
func (w *loom) look(end int) {
	here := w.own
	if w.sure > here { // there is more of the value
		here = w.sure
	} else if w.sure = -1; here > 0 && w.text[here-1] == '>' {
		here += max(0, bytes.IndexByte(w.text[here:min(end, here+mostValue)], '<'))
	}
	for k := range w.cloths() {
		c := &w.room[k]
		if at := w.end(c.number); at != c.end {
			c.left, c.end = c.end, at
			if w.own > 0 && c.left > 0 && c.left < len(c.text) && c.text[c.left] == w.text[w.own-1] {
				c.left++ // by chance it goes on with what the text goes on with
			}
		}
		if c.goesOn = c.number < len(w.ends) && c.end+weft <= len(c.text); c.goesOn {
			c.next = binary.LittleEndian.Uint64(c.text[c.end:])
		}
		if here+weft <= end && (c.goesOn && c.next == binary.LittleEndian.Uint64(w.text[here:]) ||
			c.left > 0 && c.common(c.left, w.text[here:min(end, here+weft)]) == weft) {
			w.sure = here
		}
	}
}

func (w *loom) end(cloth int) int {
	if cloth < len(w.ends) {
		return w.ends[cloth]
	}
	return 0
}

func (w *loom) step(kind, length int) {
	w.out = binary.AppendUvarint(w.out, uint64(length)<<2|uint64(kind))
}

func (w *loom) refer(cloth, offset, length int) {
	if w.form == loose {
		for _, n := range []int{cloth, offset, length} {
			w.out = binary.AppendUvarint(w.out, uint64(n))
		}
		return
	}
	w.step(stepReference, length)
	distance := int64(offset - w.end(cloth))
	w.out = binary.AppendUvarint(w.out, uint64(distance<<1^distance>>63)<<2|uint64(min(cloth, 3)))
	if cloth >= 3 {
		w.out = binary.AppendUvarint(w.out, uint64(cloth-3))
	}
	w.along(length)
	if cloth < len(w.ends) {
		w.ends[cloth] = offset + length
	}
}

// along is called for what of the text has been written.
func (w *loom) along(n int) {
	if w.form == round {
		w.ends[clothItself] += n
	}
}

// piece writes what the text has of its own: digests, signatures and ids as the bytes
// that they stand for.
func (w *loom) piece(own []byte) {
	if w.form == loose {
		w.out = append(binary.AppendUvarint(w.out, uint64(len(own))), own...)
		return
	}
	w.along(len(own))
	plain := 0
	flush := func(end int) {
		if end > plain {
			w.step(stepOwn, end-plain)
			w.out = append(w.out, own[plain:end]...)
		}
	}
	for i := 0; i < len(own); {
		n, kinds := base64Run(own[i:])
		if n == uuidFirst {
			if id, ok := spelledUUID(own[i:]); ok {
				flush(i)
				w.step(stepUUID, len(id))
				w.out = append(w.out, id[:]...)
				i += uuidLength
				plain = i
				continue
			}
		}
		if w.form == round && !mixed(kinds, n) {
			i += max(n, 1)
			continue
		}
		if raw, size := unbase64(w.raw[:0], own[i:i+n]); size >= leastBase64 {
			flush(i)
			w.step(stepBase64, len(raw))
			w.out = append(w.out, raw...)
			i += size
			plain = i
			continue
		}
		i += max(n, 1)
	}
	flush(len(own))
}

const (
	uuidLength  = 36
	uuidFirst   = 8 // digits, with which a run of base64 ends: a hyphen follows
	leastBase64 = 16
)

func spelledUUID(b []byte) (id uuid.UUID, ok bool) {
	if len(b) < uuidLength || b[uuidFirst] != '-' {
		return id, false
	}
	id, err := uuid.ParseBytes(b[:uuidLength])
	var spelled [uuidLength]byte
	return id, err == nil && string(spellUUID(spelled[:0], id)) == string(b[:uuidLength])
}

// base64Kind says of what kind a byte of base64 is; nothing: none.
var base64Kind = func() (kinds [256]uint8) {
	for b := range kinds {
		switch {
		case b >= 'A' && b <= 'Z':
			kinds[b] = 1
		case b >= 'a' && b <= 'z':
			kinds[b] = 2
		case b >= '0' && b <= '9':
			kinds[b] = 4
		case b == '+' || b == '/':
			kinds[b] = 8
		}
	}
	return kinds
}()

// base64Run is how many bytes at the beginning may be base64, and of which kinds they are.
func base64Run(b []byte) (n int, kinds uint8) {
	for _, c := range b {
		kind := base64Kind[c]
		if kind == 0 {
			break
		}
		kinds |= kind
		n++
	}
	for pad := 0; pad < 2 && n%4 != 0 && n < len(b) && b[n] == '='; pad++ {
		n++
	}
	return n, kinds
}

// mixed says whether a run has letters of both cases and, unless it is long, digits: what
// has not is a word or a number, and takes less as it is when it is pressed.
func mixed(kinds uint8, n int) bool { return kinds&7 == 7 || kinds&3 == 3 && n >= 40 }

var base64Strict = base64.StdEncoding.Strict()

// unbase64 gives what the most of a run stands for that can be written again from it.
func unbase64(out, run []byte) (raw []byte, size int) {
	for size = len(run) &^ 3; size >= leastBase64; size -= 4 {
		raw, err := base64Strict.AppendDecode(out, run[:size])
		if err == nil {
			return raw, size
		}
	}
	return nil, 0
}

var errWoven = errors.New("a kept receipt is damaged")

// unweave gives back a text of the given size.
func unweave(f form, woven []byte, size int, cloths ...[]byte) ([]byte, error) {
	if size < 0 || size > maxBody {
		return nil, errWoven
	}
	r := threads{form: f, woven: woven, out: make([]byte, 0, min(size, 1<<20)), size: size, cloths: cloths}
	read := r.tight
	if f == loose {
		read = r.loose
	}
	if !read() || len(r.out) != size {
		return nil, errWoven
	}
	return r.out, nil
}

// threads reads a woven text.
type threads struct {
	form       form
	woven, out []byte
	size       int
	cloths     [][]byte
	ends       [2]int
}

func (r *threads) number() (int, bool) {
	v, n := binary.Uvarint(r.woven)
	if n <= 0 || v > maxBody<<4 {
		return 0, false
	}
	r.woven = r.woven[n:]
	return int(v), true
}

// own takes n bytes of the woven text.
func (r *threads) own(n int) ([]byte, bool) {
	if n > len(r.woven) {
		return nil, false
	}
	piece := r.woven[:n]
	r.woven = r.woven[n:]
	return piece, true
}

func (r *threads) reference(c, offset, length int) bool {
	text := r.out
	if r.form != round || c != clothItself {
		if r.form == round && c > clothItself {
			c--
		}
		if c < 0 || c >= len(r.cloths) {
			return false
		}
		text = r.cloths[c]
	}
	if offset < 0 || offset > len(text) || length > len(text)-offset || len(r.out)+length > r.size {
		return false
	}
	r.out = append(r.out, text[offset:offset+length]...)
	return true
}

func (r *threads) loose() bool {
	for {
		n, ok := r.number()
		piece, there := r.own(n)
		if !ok || !there || len(r.out)+n > r.size {
			return false
		}
		if r.out = append(r.out, piece...); len(r.woven) == 0 {
			return true
		}
		c, ok1 := r.number()
		offset, ok2 := r.number()
		length, ok3 := r.number()
		if !ok1 || !ok2 || !ok3 || !r.reference(c, offset, length) {
			return false
		}
	}
}

func (r *threads) tight() bool {
	for len(r.woven) > 0 {
		head, ok := r.number()
		kind, n := head&3, head>>2
		if !ok || n > r.size {
			return false
		}
		if kind == stepReference {
			at, ok := r.number()
			c := at & 3
			if c == 3 {
				more, there := r.number()
				c, ok = c+more, ok && there
			}
			offset := at>>3 ^ -(at >> 2 & 1)
			if c < len(r.ends) {
				offset += r.ends[c]
			}
			r.along(n)
			if c < len(r.ends) {
				r.ends[c] = offset + n
			}
			if !ok || !r.reference(c, offset, n) {
				return false
			}
			continue
		}
		piece, ok := r.own(n)
		if !ok {
			return false
		}
		before := len(r.out)
		switch kind {
		case stepOwn:
			r.out = append(r.out, piece...)
		case stepBase64:
			r.out = base64.StdEncoding.AppendEncode(r.out, piece)
		case stepUUID:
			id, err := uuid.FromBytes(piece)
			if err != nil {
				return false
			}
			r.out = append(r.out, id.String()...)
		}
		if len(r.out) > r.size {
			return false
		}
		r.along(len(r.out) - before)
	}
	return true
}

func (r *threads) along(n int) {
	if r.form == round {
		r.ends[clothItself] += n
	}
}
