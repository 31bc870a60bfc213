package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"sync"

	"mezhved/adapter/journal"
)

// The leaves of a finished block are packed by columns. A leaf is JSON: what stands between
// its values is that of many others, and so are most values; what is left are ids, which
// come again with each entry of a message, numbers, which grow, and commitments, which are
// chance. Compressing the text sees of all that only what stands together, and pays for
// the digits of what is chance.
//
// A packed block is the byte leavesMark and, each with its length before it:
//
//   - the texts, compressed: how many patterns there are, and each with its length before
//     it; the columns, each a byte that says what it is of, and of texts those that there
//     are. A pattern is a leaf with, for a value that differs, a zero byte and the number
//     of its column, from one on. Values of a column that has few of them stand in the
//     patterns.
//   - the numbers, compressed: which pattern each leaf has, and of each column its values:
//     of numbers what they are more than the one before, of texts, ids and digests how long
//     ago the value was new, from one on, or zero for one that is new.
//   - the bytes of what is chance, by columns: ids without what all of them have alike at
//     one place, digests, commitments.
//
// Whatever JSON says, the leaf is made again byte for byte, or the block is not packed in
// this way: who packs it looks.

// leavesMark begins a block that is packed by columns. Another is a frame of zstd, which
// begins with another byte.
const leavesMark = 1

// fewValues is how many values of a column stand in the patterns.
const fewValues = 4

// What a column is of.
const (
	columnNumbers     = iota // decimal, in their shortest spelling
	columnTexts              // between quotes, as they are spelled
	columnUUIDs              // in their usual spelling
	columnDigests            // 32 bytes in lower-case hex
	columnCommitments        // 32 bytes in base64
	columnKinds
)

var chanceSize = [columnKinds]int{columnUUIDs: 16, columnDigests: 32, columnCommitments: 32}

var errLeaves = errors.New("its columns are damaged")

// leafValue is where a value of a leaf stands, and of which column it is.
type leafValue struct{ start, end, column int32 }

// leafColumn are the values of a member of which the first one is of a kind: numbers,
// texts, or commitments, no two of which are ever alike.
type leafColumn struct {
	member   string
	kind     int
	n        int // among the columns of this block; -1: it has none of its values
	place    int // among the columns that are kept, from one on; 0: its values stand in the patterns
	then     *leafColumn
	distinct int      // how many values differ; of numbers at most one more than few, of commitments all
	codes    []uint64 // of each value: how long ago it was new
	given    []int64  // of numbers: each
	values   [][]byte // of texts, and of the first few numbers: those that differ
	chance   []byte   // of ids, digests and commitments: the bytes of those that differ
	last     []byte   // the value before, as it is spelled
	recent   int      // and its place
	texts    map[string]int
	ids      map[[16]byte]int // by how they begin
}

// leafPacker takes the leaves of one block apart, and may then do so again with another:
// nearly all columns are the same ones.
type leafPacker struct {
	columns  []*leafColumn            // of this block
	known    map[string][]*leafColumn // by member
	last     *leafColumn
	values   []leafValue // of all leaves
	ends     []int       // of a leaf's values
	patterns map[string]int
	pattern  []byte
	texts    []byte // the patterns
	whole    []byte // and what else are texts
	numbers  []byte
	chance   []byte
	again    []byte
}

var leafPackers = sync.Pool{New: func() any {
	return &leafPacker{known: map[string][]*leafColumn{}, patterns: map[string]int{}}
}}

// mostKnown is how many columns are remembered between blocks.
const mostKnown = 256

// forget makes ready for the next block, and lets the leaves of this one go.
func (c *leafPacker) forget() {
	for _, column := range c.columns {
		clear(column.values)
		clear(column.texts)
		clear(column.ids)
		*column = leafColumn{member: column.member, kind: column.kind, n: -1, then: column.then, texts: column.texts, ids: column.ids,
			codes: column.codes[:0], given: column.given[:0], values: column.values[:0], chance: column.chance[:0]}
	}
	if len(c.known) > mostKnown {
		clear(c.known)
	}
	clear(c.patterns)
	c.columns, c.last, c.values, c.ends = c.columns[:0], nil, c.values[:0], c.ends[:0]
	c.texts, c.numbers, c.chance = c.texts[:0], c.numbers[:0], c.chance[:0]
}

// of is the column of a value.
func (c *leafPacker) of(member []byte, kind int) *leafColumn {
	found := c.next(member)
	if found == nil || found.kind != kind {
		found = nil
		for _, column := range c.known[string(member)] {
			if column.kind == kind {
				found = column
			}
		}
		if found == nil {
			found = &leafColumn{member: string(member), kind: kind, n: -1, texts: map[string]int{}, ids: map[[16]byte]int{}}
			c.known[found.member] = append(c.known[found.member], found)
		}
	}
	if found.n < 0 {
		found.n = len(c.columns)
		c.columns = append(c.columns, found)
	}
	if c.last != nil {
		c.last.then = found
	}
	c.last = found
	return found
}

// next is the column that came after the last one before, if it is of the member: members
// come in their order.
func (c *leafPacker) next(member []byte) *leafColumn {
	if c.last != nil && c.last.then != nil && c.last.then.member == string(member) {
		return c.last.then
	}
	return nil
}

// cut finds the values of a leaf.
func (c *leafPacker) cut(leaf []byte) {
	var member []byte
	for i := 0; i < len(leaf); i++ {
		switch at := leaf[i]; {
		case at == '"':
			start := i + 1
			i = closing(leaf, start)
			if i >= len(leaf) {
				break
			}
			if i+1 < len(leaf) && leaf[i+1] == ':' {
				member = leaf[start:i]
				break
			}
			c.value(start, i, c.text(member, leaf[start:i]))
		case at >= '1' && at <= '9' || at == '0':
			start, n := i, int64(0)
			for i < len(leaf) && leaf[i] >= '0' && leaf[i] <= '9' {
				n = n*10 + int64(leaf[i]-'0') // of at most 18 digits, if it is one
				i++
			}
			if i-start <= 18 && (at != '0' || i-start == 1) && leaf[start-min(start, 1)] == ':' {
				column := c.of(member, columnNumbers)
				column.number(n, leaf[start:i])
				c.value(start, i, column)
			}
			i--
		}
	}
}

func (c *leafPacker) value(start, end int, of *leafColumn) {
	c.values = append(c.values, leafValue{int32(start), int32(end), int32(of.n)})
}

// text adds a value between quotes to its column.
func (c *leafPacker) text(member, text []byte) *leafColumn {
	if next := c.next(member); next != nil && len(next.codes) > 0 && bytes.Equal(text, next.last) {
		c.last = next
		next.codes = append(next.codes, uint64(next.distinct-next.recent))
		return next
	}
	var room [48]byte
	kind, b := columnTexts, text
	for of := columnUUIDs; of < columnKinds; of++ {
		if chance, ok := chanceOf(room[:0], of, text); ok {
			kind, b = of, chance
			break
		}
	}
	column := c.of(member, kind)
	column.add(text, b)
	return column
}

// number adds a value; it matters only whether those that differ are few.
func (c *leafColumn) number(n int64, text []byte) {
	c.given = append(c.given, n)
	if c.distinct <= fewValues && !slices.ContainsFunc(c.values, func(v []byte) bool { return bytes.Equal(v, text) }) {
		c.values = append(c.values, text)
		c.distinct++
	}
}

// add adds a text, and the bytes that it stands for: itself, or what it spells.
func (c *leafColumn) add(text, b []byte) {
	if c.kind == columnCommitments {
		c.chance = append(c.chance, b...)
		c.distinct++
		return
	}
	c.last = text
	place, ok := 0, false
	if c.kind == columnTexts {
		if place, ok = c.texts[string(text)]; !ok {
			c.texts[string(text)] = c.distinct
			c.values = append(c.values, text)
		}
	} else {
		size, begins := chanceSize[c.kind], [16]byte(b)
		place, ok = c.ids[begins]
		if ok = ok && bytes.Equal(c.chance[place*size:][:size], b); !ok {
			c.ids[begins] = c.distinct
			c.chance = append(c.chance, b...)
		}
	}
	if ok {
		c.recent = place
		c.codes = append(c.codes, uint64(c.distinct-place))
		return
	}
	c.recent = c.distinct
	c.distinct++
	c.codes = append(c.codes, 0)
}

// closing is where a text that begins at start ends.
func closing(leaf []byte, start int) int {
	for i := start; ; {
		n := bytes.IndexByte(leaf[i:], '"')
		if n < 0 {
			return len(leaf)
		}
		escape := bytes.IndexByte(leaf[i:i+n], '\\')
		if escape < 0 {
			return i + n
		}
		if i += escape + 2; i >= len(leaf) {
			return len(leaf)
		}
	}
}

// chanceOf appends the bytes that a text stands for, when it is what they are spelled as.
func chanceOf(to []byte, kind int, text []byte) ([]byte, bool) {
	switch {
	case kind == columnUUIDs && len(text) == uuidLength:
		if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
			return to, false
		}
		for _, span := range uuidSpans {
			ok := false
			if to, ok = fromHex(to, text[span[0]:span[1]]); !ok {
				return to, false
			}
		}
		return to, true
	case kind == columnDigests && len(text) == 64:
		return fromHex(to, text)
	case kind == columnCommitments && len(text) == 44 && text[43] == '=' && text[42] != '=':
		to, err := strictBase64.AppendDecode(to, text)
		return to, err == nil
	}
	return to, false
}

var strictBase64 = base64.StdEncoding.Strict()

// uuidSpans are the digits in a UUID's usual spelling.
var uuidSpans = [5][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}}

// fromHex reads lower-case digits, and no others.
func fromHex(to, text []byte) ([]byte, bool) {
	for i := 0; i < len(text); i += 2 {
		high, low := hexDigit[text[i]], hexDigit[text[i+1]]
		if high|low > 15 {
			return to, false
		}
		to = append(to, high<<4|low)
	}
	return to, true
}

var hexDigit = func() (value [256]byte) {
	for i := range value {
		value[i] = 16
	}
	for i, digit := range []byte("0123456789abcdef") {
		value[digit] = byte(i)
	}
	return value
}()

func spell(to []byte, kind int, b []byte) []byte {
	switch kind {
	case columnUUIDs:
		for i, span := range uuidSpans {
			if i > 0 {
				to = append(to, '-')
			}
			n := (span[1] - span[0]) / 2
			to, b = hex.AppendEncode(to, b[:n]), b[n:]
		}
		return to
	case columnDigests:
		return hex.AppendEncode(to, b)
	}
	return base64.StdEncoding.AppendEncode(to, b)
}

// packLeaves packs a bundle of entries.
func packLeaves(bundle []byte) []byte {
	c := leafPackers.Get().(*leafPacker)
	defer func() {
		c.forget()
		leafPackers.Put(c)
	}()
	if packed, err := c.pack(bundle); err == nil {
		if c.again, err = appendLeaves(c.again[:0], packed); err == nil && bytes.Equal(c.again, bundle) {
			return packed
		}
	}
	return squeezed(bundle)
}

func (c *leafPacker) pack(bundle []byte) ([]byte, error) {
	leaves, err := journal.Entries(bundle)
	if err != nil {
		return nil, err
	}
	for _, leaf := range leaves {
		if bytes.IndexByte(leaf, 0) >= 0 {
			return nil, errLeaves
		}
		c.cut(leaf)
		c.ends = append(c.ends, len(c.values))
	}
	kept := 0
	for _, column := range c.columns {
		if column.distinct > fewValues {
			kept++
			column.place = kept
		}
	}
	next := 0
	for i, leaf := range leaves {
		pattern := c.pattern[:0]
		from := int32(0)
		for ; next < c.ends[i]; next++ {
			if v := c.values[next]; c.columns[v.column].place > 0 {
				pattern = binary.AppendUvarint(append(append(pattern, leaf[from:v.start]...), 0), uint64(c.columns[v.column].place))
				from = v.end
			}
		}
		pattern = append(pattern, leaf[from:]...)
		n, ok := c.patterns[string(pattern)]
		if !ok {
			n = len(c.patterns)
			c.patterns[string(pattern)] = n
			c.texts = append(binary.AppendUvarint(c.texts, uint64(len(pattern))), pattern...)
		}
		c.numbers = binary.AppendUvarint(c.numbers, uint64(n))
		c.pattern = pattern
	}
	texts := append(binary.AppendUvarint(c.whole[:0], uint64(len(c.patterns))), c.texts...)
	texts = binary.AppendUvarint(texts, uint64(kept))
	for _, column := range c.columns {
		if column.place == 0 {
			continue
		}
		texts = append(texts, byte(column.kind))
		switch column.kind {
		case columnNumbers:
			last := int64(0)
			for _, v := range column.given {
				c.numbers, last = binary.AppendVarint(c.numbers, v-last), v
			}
			continue
		case columnTexts:
			texts = binary.AppendUvarint(texts, uint64(len(column.values)))
			for _, text := range column.values {
				texts = append(binary.AppendUvarint(texts, uint64(len(text))), text...)
			}
		default:
			c.chance = binary.AppendUvarint(c.chance, uint64(column.distinct))
			c.chance = packPlanes(c.chance, column.chance, chanceSize[column.kind])
		}
		for _, code := range column.codes {
			c.numbers = binary.AppendUvarint(c.numbers, code)
		}
	}
	c.whole = texts
	squeezedTexts, squeezedNumbers := squeezed(texts), squeezed(c.numbers)
	out := append(make([]byte, 0, len(squeezedTexts)+len(squeezedNumbers)+len(c.chance)+16), leavesMark)
	for _, part := range [][]byte{squeezedTexts, squeezedNumbers, c.chance} {
		out = append(binary.AppendUvarint(out, uint64(len(part))), part...)
	}
	return out, nil
}

// packPlanes writes texts of one size, all in a row, without the bytes that all of them
// have alike: first which places these are, a bit each, and then they.
func packPlanes(to, all []byte, size int) []byte {
	alike := make([]byte, size/8)
	for at := range size {
		same := true
		for i := at; i < len(all) && same; i += size {
			same = all[i] == all[at]
		}
		if same {
			alike[at/8] |= 1 << (at % 8)
		}
	}
	to = append(append(to, alike...), all[:min(size, len(all))]...)
	var places [64]int
	differ := differing(places[:0], alike, size)
	for i := size; i < len(all); i += size {
		for _, at := range differ {
			to = append(to, all[i+at])
		}
	}
	return to
}

// differing are the places, of size, at which texts have not all the same byte.
func differing(places []int, alike []byte, size int) []int {
	for at := range size {
		if alike[at/8]&(1<<(at%8)) == 0 {
			places = append(places, at)
		}
	}
	return places
}

// unpackPlanes gives the n texts back, in room that is empty.
func unpackPlanes(to []byte, r *openingReader, n, size int) []byte {
	alike := r.bytes(uint64(size / 8))
	if r.broken || n <= 0 || n > journal.TileWidth*journal.TileWidth {
		r.broken = true
		return nil
	}
	var places [64]int
	differ := differing(places[:0], alike, size)
	packed := r.bytes(uint64(size + (n-1)*len(differ)))
	if r.broken {
		return nil
	}
	all := append(slices.Grow(to, n*size), packed[:size]...)
	packed = packed[size:]
	for range n - 1 {
		all = append(all, all[len(all)-size:]...)
		last := all[len(all)-size:]
		for i, at := range differ {
			last[at] = packed[i]
		}
		packed = packed[len(differ):]
	}
	return all
}

// leafPiece is a piece of a pattern: a text, and the column of what follows; -1: nothing.
type leafPiece struct {
	text   []byte
	column int
}

// unpackedColumn gives its values one after the other.
type unpackedColumn struct {
	kind   int
	values [][]byte // of texts
	chance []byte
	codes  openingReader
	last   int64
	known  int // values that were new so far
	count  int // of all its values
}

func (c *unpackedColumn) next(to []byte) ([]byte, bool) {
	if c.kind == columnNumbers {
		more, size := binary.Varint(c.codes.b)
		if size <= 0 {
			return to, false
		}
		c.codes.b = c.codes.b[size:]
		c.last += more
		return strconv.AppendInt(to, c.last, 10), true
	}
	ago := uint64(0)
	if c.kind != columnCommitments {
		ago = c.codes.number()
	}
	if ago == 0 {
		c.known++
		ago = 1
	}
	place := c.known - int(ago)
	if c.codes.broken || place < 0 {
		return to, false
	}
	if c.kind == columnTexts {
		if place >= len(c.values) {
			return to, false
		}
		return append(to, c.values[place]...), true
	}
	size := chanceSize[c.kind]
	if (place+1)*size > len(c.chance) {
		return to, false
	}
	return spell(to, c.kind, c.chance[place*size:][:size]), true
}

// leafRoom is room to unpack a block in, and then another.
type leafRoom struct {
	texts, numbers []byte
	patterns       [][]leafPiece
	columns        []unpackedColumn
	of             []int // the pattern of each leaf
}

var leafRooms = sync.Pool{New: func() any { return new(leafRoom) }}

// unpackLeaves gives the bundle back.
func unpackLeaves(packed []byte) ([]byte, error) { return appendLeaves(nil, packed) }

// appendLeaves adds the bundle to a text.
func appendLeaves(to, packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != leavesMark {
		return blockCodec().DecodeAll(packed, to)
	}
	r := leafRooms.Get().(*leafRoom)
	bundle, err := r.unpack(to, packed)
	for i := range r.columns {
		c := &r.columns[i]
		*c = unpackedColumn{values: c.values[:0], chance: c.chance[:0]}
	}
	leafRooms.Put(r)
	return bundle, err
}

func (r *leafRoom) unpack(bundle, packed []byte) ([]byte, error) {
	p := openingReader{b: packed[1:]}
	squeezedTexts, squeezedNumbers, chance := p.text(), p.text(), openingReader{b: p.text()}
	if p.broken {
		return nil, errLeaves
	}
	var err error
	if r.texts, err = blockCodec().DecodeAll(squeezedTexts, r.texts[:0]); err != nil {
		return nil, err
	}
	if r.numbers, err = blockCodec().DecodeAll(squeezedNumbers, r.numbers[:0]); err != nil {
		return nil, err
	}
	t, n := openingReader{b: r.texts}, openingReader{b: r.numbers}
	r.patterns = resized(r.patterns, min(t.number(), journal.TileWidth))
	for i := range r.patterns {
		r.patterns[i] = appendPieces(r.patterns[i][:0], t.text())
	}
	r.columns = resized(r.columns, min(t.number(), uint64(len(t.b))))
	r.of = r.of[:0]
	for len(r.of) < journal.TileWidth {
		p := n.number()
		if n.broken || p >= uint64(len(r.patterns)) {
			return nil, errLeaves
		}
		r.of = append(r.of, int(p))
		for _, piece := range r.patterns[p] {
			if piece.column >= len(r.columns) {
				return nil, errLeaves
			}
			if piece.column >= 0 {
				r.columns[piece.column].count++
			}
		}
	}
	for i := range r.columns {
		kind := t.bytes(1)
		if t.broken || kind[0] >= columnKinds {
			return nil, errLeaves
		}
		c := &r.columns[i]
		switch c.kind = int(kind[0]); c.kind {
		case columnNumbers:
		case columnTexts:
			c.values = resized(c.values, min(t.number(), uint64(len(t.b))))
			for k := range c.values {
				c.values[k] = t.text()
			}
		default:
			c.chance = unpackPlanes(c.chance[:0], &chance, int(chance.number()), chanceSize[c.kind])
		}
		c.codes.b = n.b
		if c.kind == columnCommitments {
			continue
		}
		for range c.count { // and on to the next column's
			_, size := binary.Uvarint(n.b)
			if size <= 0 {
				return nil, errLeaves
			}
			n.b = n.b[size:]
		}
	}
	if t.broken || n.broken || chance.broken || len(t.b)+len(n.b)+len(chance.b) > 0 {
		return nil, errLeaves
	}
	if bundle == nil {
		bundle = make([]byte, 0, len(r.texts)+len(r.of)*640)
	}
	for _, p := range r.of {
		start := len(bundle)
		bundle = append(bundle, 0, 0)
		for _, piece := range r.patterns[p] {
			bundle = append(bundle, piece.text...)
			if piece.column >= 0 {
				ok := false
				if bundle, ok = r.columns[piece.column].next(bundle); !ok {
					return nil, errLeaves
				}
			}
		}
		size := len(bundle) - start - 2
		if size > 1<<16-1 {
			return nil, errLeaves
		}
		binary.BigEndian.PutUint16(bundle[start:], uint16(size))
	}
	return bundle, nil
}

// resized is a list of n elements, those of before as far as there were any.
func resized[T any](list []T, n uint64) []T {
	if n > uint64(cap(list)) {
		return append(list[:cap(list)], make([]T, n-uint64(cap(list)))...)
	}
	return list[:n]
}

// appendPieces cuts a pattern; a place without a column makes one that no block has.
func appendPieces(pieces []leafPiece, pattern []byte) []leafPiece {
	for {
		at := bytes.IndexByte(pattern, 0)
		if at < 0 {
			return append(pieces, leafPiece{pattern, -1})
		}
		column, size := binary.Uvarint(pattern[at+1:])
		if size <= 0 || column == 0 {
			column, size = 1<<30, 0
		}
		pieces = append(pieces, leafPiece{pattern[:at], int(column) - 1})
		pattern = pattern[at+1+size:]
	}
}
