package postgres

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// A receipt repeats what is kept anyway: the message that was handed out, the words
// of the protocol, certificates. So it is stored as what it has of its own and, in
// between, references into cloths: bytes that will be there when it is read. This
// is the half of a compressor that has a dictionary, without the half that needs a
// table of its own for each text: a receipt of 2 KB costs some microseconds.
//
// A woven text is a list of steps: the length of a piece of its own (a varint), the
// piece, and unless the text ends there a reference: number of the cloth, offset and
// length, each a varint.

// weft is the least length of a match: a reference takes three to six bytes.
const weft = 8

// cloth is a text to refer to. Its table finds where eight bytes stand: at a place that
// their upper bits name when they are spread, it has their offset + 1 in its lower bits,
// and above that, to tell without a look at the text that others stand there, more of the
// spread ones.
type cloth struct {
	text  []byte
	table []uint32
	bits  uint // of a place, and of an offset
}

// newCloth makes the table. Of places with the same bytes the last one is found.
func newCloth(text []byte) *cloth {
	c := &cloth{text: text}
	if len(text) < weft {
		return c
	}
	c.bits = uint(bits.Len(uint(len(text))))
	c.table = make([]uint32, 1<<c.bits)
	for i := 0; i+weft <= len(text); i++ {
		wide := spread(binary.LittleEndian.Uint64(text[i:]))
		c.table[wide>>(64-c.bits)] = uint32(wide)<<c.bits | uint32(i+1)
	}
	return c
}

// spread multiplies eight bytes so that the upper bits of what comes out, as many as a
// table has need of, say where it has them.
func spread(eight uint64) uint64 { return eight * 0x9E3779B97F4A7C15 }

// match extends a match of eight bytes, at an offset of the cloth and at the beginning of
// b, as far as it goes, and before b too, within back.
func (c *cloth) match(at int, b []byte, back []byte) (offset, before, length int) {
	n := weft
	for n < len(b) && at+n < len(c.text) && c.text[at+n] == b[n] {
		n++
	}
	for before < len(back) && before < at && c.text[at-before-1] == back[len(back)-before-1] {
		before++
	}
	return at - before, before, n + before
}

// known is a part of a text of which it is known where it is from.
type known struct {
	at, length    int // in the text
	cloth, offset int
}

// weave writes text as what it has of its own and references into cloths. parts are
// known already, in their order and apart from one another.
func weave(text []byte, parts []known, cloths ...*cloth) []byte {
	out := make([]byte, 0, len(text)/8+256)
	own := 0 // where the piece begins that is not written yet
	refer := func(at, n, cloth, offset, length int) {
		out = binary.AppendUvarint(out, uint64(n))
		out = append(out, text[at:at+n]...)
		out = binary.AppendUvarint(out, uint64(cloth))
		out = binary.AppendUvarint(out, uint64(offset))
		out = binary.AppendUvarint(out, uint64(length))
	}
	between := func(end int) {
		for i := own; i+weft <= end; {
			// Nearly all places have no match, and get no further than this loop.
			eight := binary.LittleEndian.Uint64(text[i:])
			wide := spread(eight)
			best, offset, before, length := 0, 0, 0, 0
			for k, c := range cloths {
				if len(c.table) == 0 {
					continue
				}
				stands := c.table[wide>>(64-c.bits)]
				at := int(stands&(1<<c.bits-1)) - 1
				if (stands^uint32(wide)<<c.bits)>>c.bits != 0 || at < 0 || binary.LittleEndian.Uint64(c.text[at:]) != eight {
					continue
				}
				if o, b, n := c.match(at, text[i:end], text[own:i]); n > length {
					best, offset, before, length = k, o, b, n
				}
			}
			if length == 0 {
				i++
				continue
			}
			refer(own, i-before-own, best, offset, length)
			i += length - before
			own = i
		}
	}
	for _, p := range parts {
		between(p.at)
		refer(own, p.at-own, p.cloth, p.offset, p.length)
		own = p.at + p.length
	}
	between(len(text))
	out = binary.AppendUvarint(out, uint64(len(text)-own))
	return append(out, text[own:]...)
}

var errWoven = errors.New("a kept receipt is damaged")

// unweave gives back a text of the given size.
func unweave(woven []byte, size int, cloths ...[]byte) ([]byte, error) {
	if size < 0 || size > maxBody {
		return nil, errWoven
	}
	out := make([]byte, 0, min(size, 1<<20))
	number := func() (int, bool) {
		v, n := binary.Uvarint(woven)
		if n <= 0 || v > maxBody {
			return 0, false
		}
		woven = woven[n:]
		return int(v), true
	}
	for {
		n, ok := number()
		if !ok || n > len(woven) || len(out)+n > size {
			return nil, errWoven
		}
		out, woven = append(out, woven[:n]...), woven[n:]
		if len(woven) == 0 {
			break
		}
		c, ok1 := number()
		offset, ok2 := number()
		length, ok3 := number()
		if !ok1 || !ok2 || !ok3 || c >= len(cloths) || offset > len(cloths[c]) || length > len(cloths[c])-offset || len(out)+length > size {
			return nil, errWoven
		}
		out = append(out, cloths[c][offset:offset+length]...)
	}
	if len(out) != size {
		return nil, errWoven
	}
	return out, nil
}
