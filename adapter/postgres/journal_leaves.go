package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

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
	member string
	kind   int
	places map[string]int // of a value among those that differ
	values [][]byte       // that differ; of numbers the first few, of commitments all
	codes  []uint64       // of each value: how long ago it was new
	given  [][]byte       // of numbers: each
	chance []byte         // of ids, digests and commitments: the bytes of values
	place  int            // among the columns that are kept, from one on; 0: its values stand in the patterns
	then   *leafColumn    // which came after it last
	n      int            // among all columns
	recent int            // place of the value before
}

// leafColumns takes leaves apart.
type leafColumns struct {
	columns []*leafColumn
	known   map[string][]*leafColumn // by member
	last    *leafColumn
	values  []leafValue // of all leaves
}

// of is the column of a value.
func (c *leafColumns) of(member []byte, kind int) *leafColumn {
	if c.last != nil && c.last.then != nil && c.last.then.is(member, kind) { // members come in their order
		c.last = c.last.then
		return c.last
	}
	var found *leafColumn
	for _, column := range c.known[string(member)] {
		if column.is(member, kind) {
			found = column
		}
	}
	if found == nil {
		found = &leafColumn{member: string(member), kind: kind, places: map[string]int{}, n: len(c.columns)}
		c.columns = append(c.columns, found)
		c.known[found.member] = append(c.known[found.member], found)
	}
	if c.last != nil {
		c.last.then = found
	}
	c.last = found
	return found
}

func (c *leafColumn) is(member []byte, kind int) bool {
	return c.kind == kind && c.member == string(member)
}

// cut finds the values of a leaf.
func (c *leafColumns) cut(leaf []byte) {
	var member []byte
	value := func(start, end, kind int) {
		column := c.of(member, kind)
		column.add(leaf[start:end])
		c.values = append(c.values, leafValue{int32(start), int32(end), int32(column.n)})
	}
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
			} else {
				value(start, i, kindOfText(leaf[start:i]))
			}
		case at >= '1' && at <= '9' || at == '0':
			start := i
			for i < len(leaf) && leaf[i] >= '0' && leaf[i] <= '9' {
				i++
			}
			if i-start <= 18 && (at != '0' || i-start == 1) && leaf[start-min(start, 1)] == ':' {
				value(start, i, columnNumbers)
			}
			i--
		}
	}
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

func (c *leafColumn) add(text []byte) {
	switch c.kind {
	case columnNumbers: // of which it matters only whether they are few
		c.given = append(c.given, text)
		if len(c.values) <= fewValues && !slices.ContainsFunc(c.values, func(v []byte) bool { return bytes.Equal(v, text) }) {
			c.values = append(c.values, text)
		}
		return
	case columnCommitments:
		c.values = append(c.values, text)
		c.chance, _ = chanceOf(c.chance, c.kind, text)
		return
	}
	if n := len(c.codes); n > 0 && bytes.Equal(text, c.values[c.recent]) {
		c.codes = append(c.codes, uint64(len(c.values)-c.recent))
		return
	}
	place, ok := c.places[string(text)]
	if c.recent = place; !ok {
		c.recent = len(c.values)
	}
	if ok {
		c.codes = append(c.codes, uint64(len(c.values)-place))
		return
	}
	c.codes = append(c.codes, 0)
	c.places[string(text)] = len(c.values)
	c.values = append(c.values, text)
	if chanceSize[c.kind] > 0 {
		c.chance, _ = chanceOf(c.chance, c.kind, text)
	}
}

// kindOfText is what a text between quotes is kept as.
func kindOfText(text []byte) int {
	var b [48]byte
	for kind := columnUUIDs; kind < columnKinds; kind++ {
		if _, ok := chanceOf(b[:0], kind, text); ok {
			return kind
		}
	}
	return columnTexts
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
		to, err := base64.StdEncoding.Strict().AppendDecode(to, text)
		return to, err == nil
	}
	return to, false
}

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
	if packed, err := packColumnsOf(bundle); err == nil {
		if again, err := unpackLeaves(packed); err == nil && bytes.Equal(again, bundle) {
			return packed
		}
	}
	return squeezed(bundle)
}

func packColumnsOf(bundle []byte) ([]byte, error) {
	leaves, err := journal.Entries(bundle)
	if err != nil {
		return nil, err
	}
	c := &leafColumns{known: map[string][]*leafColumn{}, values: make([]leafValue, 0, 24*len(leaves))}
	ends := make([]int, len(leaves)) // of a leaf's values
	for i, leaf := range leaves {
		if bytes.IndexByte(leaf, 0) >= 0 {
			return nil, errLeaves
		}
		c.cut(leaf)
		ends[i] = len(c.values)
	}
	kept := 0
	for _, column := range c.columns {
		if len(column.values) > fewValues {
			kept++
			column.place = kept
		}
	}
	patterns := map[string]int{}
	var texts, numbers, chance, pattern []byte
	next := 0
	for i, leaf := range leaves {
		pattern = pattern[:0]
		from := int32(0)
		for ; next < ends[i]; next++ {
			if v := c.values[next]; c.columns[v.column].place > 0 {
				pattern = binary.AppendUvarint(append(append(pattern, leaf[from:v.start]...), 0), uint64(c.columns[v.column].place))
				from = v.end
			}
		}
		pattern = append(pattern, leaf[from:]...)
		n, ok := patterns[string(pattern)]
		if !ok {
			n = len(patterns)
			patterns[string(pattern)] = n
			texts = append(binary.AppendUvarint(texts, uint64(len(pattern))), pattern...)
		}
		numbers = binary.AppendUvarint(numbers, uint64(n))
	}
	texts = append(binary.AppendUvarint(nil, uint64(len(patterns))), texts...)
	texts = binary.AppendUvarint(texts, uint64(kept))
	for _, column := range c.columns {
		if column.place == 0 {
			continue
		}
		texts = append(texts, byte(column.kind))
		switch column.kind {
		case columnNumbers:
			last := int64(0)
			for _, text := range column.given {
				v, _ := strconv.ParseInt(string(text), 10, 64) // it has at most 18 digits
				numbers, last = binary.AppendVarint(numbers, v-last), v
			}
			continue
		case columnTexts:
			texts = binary.AppendUvarint(texts, uint64(len(column.values)))
			for _, text := range column.values {
				texts = append(binary.AppendUvarint(texts, uint64(len(text))), text...)
			}
		default:
			chance = binary.AppendUvarint(chance, uint64(len(column.values)))
			chance = packPlanes(chance, column.chance, chanceSize[column.kind])
		}
		for _, code := range column.codes {
			numbers = binary.AppendUvarint(numbers, code)
		}
	}
	out := []byte{leavesMark}
	for _, part := range [][]byte{squeezed(texts), squeezed(numbers), chance} {
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
	to = append(to, alike...)
	for i, b := range all {
		if at := i % size; i < size || alike[at/8]&(1<<(at%8)) == 0 {
			to = append(to, b)
		}
	}
	return to
}

func unpackPlanes(r *openingReader, n, size int) []byte {
	alike := r.bytes(uint64(size / 8))
	if r.broken || n <= 0 || n > journal.TileWidth*journal.TileWidth {
		r.broken = true
		return nil
	}
	differ := make([]int, 0, size) // places
	for at := range size {
		if alike[at/8]&(1<<(at%8)) == 0 {
			differ = append(differ, at)
		}
	}
	packed := r.bytes(uint64(size + (n-1)*len(differ)))
	if r.broken {
		return nil
	}
	all := append(make([]byte, 0, n*size), packed[:size]...)
	packed = packed[size:]
	for range n - 1 {
		all = append(all, all[:size]...)
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
	codes  *openingReader
	last   int64
	known  int // values that were new so far
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

// unpackLeaves gives the bundle back.
func unpackLeaves(packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != leavesMark {
		return unsqueezed(packed)
	}
	r := openingReader{b: packed[1:]}
	squeezedTexts, squeezedNumbers, chance := r.text(), r.text(), openingReader{b: r.text()}
	if r.broken {
		return nil, errLeaves
	}
	texts, err := unsqueezed(squeezedTexts)
	if err != nil {
		return nil, err
	}
	numbers, err := unsqueezed(squeezedNumbers)
	if err != nil {
		return nil, err
	}
	t, n := openingReader{b: texts}, openingReader{b: numbers}
	patterns := make([][]leafPiece, min(t.number(), journal.TileWidth))
	for i := range patterns {
		patterns[i] = piecesOf(t.text())
	}
	columns := make([]*unpackedColumn, min(t.number(), uint64(len(t.b))))
	of := make([]int, 0, journal.TileWidth) // the pattern of each leaf
	count := make([]int, len(columns))      // of a column's values
	for len(of) < journal.TileWidth {
		p := n.number()
		if n.broken || p >= uint64(len(patterns)) {
			return nil, errLeaves
		}
		of = append(of, int(p))
		for _, piece := range patterns[p] {
			if piece.column >= len(columns) {
				return nil, errLeaves
			}
			if piece.column >= 0 {
				count[piece.column]++
			}
		}
	}
	for i := range columns {
		kind := t.bytes(1)
		if t.broken || kind[0] >= columnKinds {
			return nil, errLeaves
		}
		c := &unpackedColumn{kind: int(kind[0])}
		switch columns[i] = c; c.kind {
		case columnNumbers:
		case columnTexts:
			c.values = make([][]byte, min(t.number(), uint64(len(t.b))))
			for k := range c.values {
				c.values[k] = t.text()
			}
		default:
			c.chance = unpackPlanes(&chance, int(chance.number()), chanceSize[c.kind])
		}
		c.codes = &openingReader{b: n.b}
		if c.kind == columnCommitments {
			continue
		}
		for range count[i] { // and on to the next column's
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
	bundle := make([]byte, 0, len(texts)+len(of)*640)
	for _, p := range of {
		start := len(bundle)
		bundle = append(bundle, 0, 0)
		for _, piece := range patterns[p] {
			bundle = append(bundle, piece.text...)
			if piece.column >= 0 {
				ok := false
				if bundle, ok = columns[piece.column].next(bundle); !ok {
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

// piecesOf cuts a pattern; a place without a column makes one that no block has.
func piecesOf(pattern []byte) (pieces []leafPiece) {
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
		pattern = slices.Clip(pattern[at+1+size:])
	}
}
