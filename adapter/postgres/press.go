package postgres

import (
	_ "embed"
	"encoding/binary"
	"math/bits"
	"strings"
)

// The steps of a woven text (weave.go) are short: for the most part numbers of one byte,
// digests and ids, which are noise, and a few hundred bytes of words of its own. To press
// is to write them with as few bits as such steps need, by codes that were made once, of
// our own samples (press_make_test.go). A compressor that works out codes for each text
// takes ten times as long for that, and tells its reader what they are.
//
// Pressed steps are a stream of bits, the first in the lowest place of the first byte. Each
// begins with a symbol for kind and size of its length, then what the size leaves open, then
// what the step has: bytes of its own, each by a code that the byte before it decides;
// bytes that base64 or a UUID stand for, as they are; or a distance, as the length. A symbol
// of its own ends a list of steps.

// pressing is a set of codes. Texts that were pressed with one are read for ever: another
// is a new file and a new number.
type pressing struct {
	step     [2]prefixCode // after a reference or at the beginning, and after other steps
	distance prefixCode
	own      [ownContexts]prefixCode
}

//go:embed press1.txt
var press1 string

var pressing1 = newPressing(press1)

// longestCode bounds the codes, so that a table of all bits that may come next finds one.
const longestCode = 12

// prefixCode is a code of bytes: the bits of each, with their count in the lowest four;
// and what they are by the bits that come next.
type prefixCode struct {
	of [256]uint16
	is [1 << longestCode]uint16
}

// newPressing reads codes: of each a line with the lengths of its 256 codes, one digit each.
func newPressing(text string) *pressing {
	p := &pressing{}
	lines := strings.Fields(text)
	for i, c := range p.codes() {
		c.set(lines[i])
	}
	return p
}

func (p *pressing) codes() []*prefixCode {
	all := []*prefixCode{&p.step[0], &p.step[1], &p.distance}
	for i := range p.own {
		all = append(all, &p.own[i])
	}
	return all
}

// set makes a code of its lengths, which say it all: shorter codes come before longer ones,
// and among those of one length the order is that of the bytes.
func (c *prefixCode) set(lengths string) {
	next := 0
	for length := 1; length <= longestCode; length++ {
		for b := range 256 {
			if strings.IndexByte("0123456789abc", lengths[b]) != length {
				continue
			}
			code := uint32(bits.Reverse16(uint16(next)) >> (16 - length))
			c.of[b] = uint16(code<<4) | uint16(length)
			for rest := code; rest < 1<<longestCode; rest += 1 << length {
				c.is[rest] = uint16(b<<4 | length)
			}
			next++
		}
		next <<= 1
	}
}

// Sizes of numbers: those below eight are their own, of others there are two for each
// power of two, and the bits below the uppermost two follow.
const (
	sizes    = 56
	endStep  = 4 * sizes // ends a list
	tooLarge = 1 << 27
)

func sizeOf(n uint) (size int, open uint) {
	if n < 8 {
		return int(n), 0
	}
	open = uint(bits.Len(n)) - 2
	return 2 + 2*int(open) + int(n>>open), open
}

func ofSize(size int) (least, open uint) {
	if size < 8 {
		return uint(size), 0
	}
	open = uint(size-8)/2 + 2
	return (2 + uint(size&1)) << open, open
}

// Contexts of a byte of a text's own: what the byte before it in these is.
const ownContexts = 6

var ownContext = func() (of [256]uint8) {
	for b := range of {
		switch {
		case b == 0xD0 || b == 0xD1: // of two that are a Russian letter the first
			of[b] = 1
		case b >= 0x80:
			of[b] = 2
		case b >= '0' && b <= '9':
			of[b] = 3
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z':
			of[b] = 4
		default:
			of[b] = 5
		}
	}
	return of
}()

// bitWriter writes bits.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

// put writes the lowest n bits of v, up to 32.
func (w *bitWriter) put(v uint64, n uint) {
	w.bits |= v << w.n
	if w.n += n; w.n >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.bits))
		w.bits >>= 32
		w.n -= 32
	}
}

func (w *bitWriter) symbol(c *prefixCode, b int) {
	code := c.of[b]
	w.put(uint64(code>>4), uint(code&15))
}

func (w *bitWriter) end() []byte {
	for w.n > 0 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
		w.n -= min(w.n, 8)
	}
	return w.out
}

// press appends lists of tight steps, pressed; nil when there is a number in them that is
// too large.
func (p *pressing) press(out []byte, lists ...[]byte) []byte {
	w := bitWriter{out: out}
	large := uint(0)
	for _, steps := range lists {
		after := 0
		number := func() uint {
			v, n := binary.Uvarint(steps)
			steps = steps[n:]
			large |= uint(v)
			return uint(v)
		}
		for len(steps) > 0 {
			head := number()
			if large >= tooLarge {
				return nil
			}
			kind, length := int(head&3), head>>2
			size, open := sizeOf(length)
			w.symbol(&p.step[after], kind*sizes+size)
			w.put(uint64(length&(1<<open-1)), open)
			after = 1
			switch kind {
			case stepReference:
				after = 0
				at, more := number(), uint(0)
				if at&3 == 3 {
					more = number()
				}
				if large >= tooLarge {
					return nil
				}
				if p.number(&w, at&3, at>>2); at&3 == 3 {
					p.number(&w, 0, more)
				}
			case stepOwn:
				context := uint8(0)
				for _, b := range steps[:length] {
					w.symbol(&p.own[context], int(b))
					context = ownContext[b]
				}
				steps = steps[length:]
			default:
				noise := steps[:length]
				for ; len(noise) >= 4; noise = noise[4:] {
					w.put(uint64(binary.LittleEndian.Uint32(noise)), 32)
				}
				for _, b := range noise {
					w.put(uint64(b), 8)
				}
				steps = steps[length:]
			}
		}
		w.symbol(&p.step[after], endStep)
	}
	return w.end()
}

// number writes a distance with one of four cloths.
func (p *pressing) number(w *bitWriter, cloth, n uint) {
	size, open := sizeOf(n)
	w.symbol(&p.distance, int(cloth)*sizes+size)
	w.put(uint64(n&(1<<open-1)), open)
}

// bitReader reads bits. Behind the last there are noughts, and broken is set.
type bitReader struct {
	in     []byte
	bits   uint64
	n      uint
	broken bool
}

func (r *bitReader) take(n uint) (v uint64) {
	if r.n < n {
		r.fill()
		if r.broken = r.broken || r.n < n; r.broken {
			return 0
		}
	}
	v = r.bits & (1<<n - 1)
	r.bits >>= n
	r.n -= n
	return v
}

// fill has 32 bits in store, or what there is.
func (r *bitReader) fill() {
	for r.n <= 56 && len(r.in) > 0 {
		r.bits |= uint64(r.in[0]) << r.n
		r.in = r.in[1:]
		r.n += 8
	}
}

func (r *bitReader) symbol(c *prefixCode) int {
	if r.n < longestCode {
		r.fill()
	}
	is := c.is[r.bits&(1<<longestCode-1)]
	n := uint(is & 15)
	if r.broken = r.broken || n == 0 || r.n < n; r.broken {
		return 0
	}
	r.bits >>= n
	r.n -= n
	return int(is >> 4)
}

// number reads the rest of a number of the given size.
func (r *bitReader) number(size int) uint {
	least, open := ofSize(size)
	return least + uint(r.take(open))
}

// unpress gives the lists back; errWoven where that is no text of press.
func (p *pressing) unpress(pressed []byte, lists int) ([][]byte, error) {
	r := bitReader{in: pressed}
	out := make([][]byte, lists)
	for i := range out {
		steps := make([]byte, 0, 2*len(pressed))
		after := 0
		for !r.broken {
			symbol := r.symbol(&p.step[after])
			if symbol == endStep {
				break
			}
			kind, size := symbol/sizes, symbol%sizes
			length := r.number(size)
			if kind > stepReference || length >= tooLarge/4 {
				r.broken = true
				break
			}
			steps = binary.AppendUvarint(steps, uint64(length)<<2|uint64(kind))
			after = 1
			switch kind {
			case stepReference:
				after = 0
				at := r.symbol(&p.distance)
				cloth := at / sizes
				distance := r.number(at % sizes)
				steps = binary.AppendUvarint(steps, uint64(distance)<<2|uint64(cloth))
				r.broken = r.broken || at >= endStep || distance >= tooLarge/4
				if cloth == 3 {
					size := r.symbol(&p.distance)
					steps = binary.AppendUvarint(steps, uint64(r.number(size%sizes)))
					r.broken = r.broken || size >= sizes
				}
			case stepOwn:
				context := uint8(0)
				for n := uint(0); n < length && !r.broken; n++ {
					b := byte(r.symbol(&p.own[context]))
					steps = append(steps, b)
					context = ownContext[b]
				}
			default:
				for n := uint(0); n < length && !r.broken; n++ {
					steps = append(steps, byte(r.take(8)))
				}
			}
		}
		out[i] = steps
	}
	if r.broken || len(r.in) > 0 || r.n >= 8 || r.bits != 0 {
		return nil, errWoven
	}
	return out, nil
}
