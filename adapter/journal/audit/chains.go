package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// messageKey is a message id in the least memory: a full log has very many. A
// UUID is its 16 bytes; anything else is the beginning of its SHA-256.
type messageKey [2]uint64

func keyOf(message []byte) messageKey {
	if key, uuid := uuidKey(message); uuid {
		return key
	}
	h := sha256.Sum256(message)
	return messageKey{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}
}

// uuidKey reads a UUID in lower case.
func uuidKey(text []byte) (key messageKey, uuid bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return key, false
	}
	four := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(text[i:])) }
	a, ok1 := eightHexDigits(binary.LittleEndian.Uint64(text))
	b, ok2 := eightHexDigits(four(9) | four(14)<<32)
	c, ok3 := eightHexDigits(four(19) | four(24)<<32)
	d, ok4 := eightHexDigits(binary.LittleEndian.Uint64(text[28:]))
	return messageKey{a<<32 | b, c<<32 | d}, ok1 && ok2 && ok3 && ok4
}

// eachByte, multiplied by a byte, is eight of it.
const eachByte = 0x0101010101010101

// eightHexDigits makes 4 bytes of eight lower-case hex digits, one for one; their
// order in the result is nobody's concern.
func eightHexDigits(w uint64) (value uint64, digits bool) {
	n := w&(0x0f*eachByte) + w>>6&eachByte*9
	letters := (n + 6*eachByte) >> 4 & eachByte
	// Written again, the digits must be what was read.
	digits = n&(0xf0*eachByte) == 0 && n+'0'*eachByte+letters*('a'-'0'-10) == w
	n = (n | n>>4) & 0x00ff00ff00ff00ff
	n = (n | n>>8) & 0x0000ffff0000ffff
	return (n | n>>16) & 0xffffffff, digits
}

// chains remembers the last entry of every message, and forgets none. It is a table
// of its own because a full log has very many, 32 to 64 bytes for each: a map takes
// as much, but an entry looks its message up and then changes it, which is one
// access to memory here and several in a map.
type chains struct {
	// Whoever writes entries chooses message ids. He cannot choose them to fall on
	// one place, for he does not know the seed.
	seed  messageKey
	parts [256]chainsPart // by the first bits of the hash: they grow one at a time
}

type chainsPart struct {
	slots []chainSlot // a power of two of them, at most 3/4 in use
	used  int
}

type chainSlot struct {
	key  messageKey
	next int64 // the last entry plus 1; 0 is a free slot
}

func newChains() *chains {
	return &chains{seed: messageKey{rand.Uint64(), rand.Uint64()}}
}

// follow notes that entry index is of a message, and returns the entry of it that
// was last until now, or NoEntry.
func (c *chains) follow(key messageKey, index int64) (last int64) {
	h := c.hash(key)
	p := &c.parts[h>>56]
	if p.used >= len(p.slots)/4*3 {
		c.grow(p)
	}
	s := p.find(key, h)
	if s.next == 0 {
		s.key = key
		p.used++
	}
	last, s.next = s.next-1, index+1
	return last
}

func (c *chains) hash(key messageKey) uint64 {
	hi, lo := bits.Mul64(key[0]^c.seed[0], key[1]^c.seed[1])
	return hi ^ lo
}

// find returns the slot of a key, or the free one where it belongs.
func (p *chainsPart) find(key messageKey, h uint64) *chainSlot {
	mask := uint64(len(p.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if s := &p.slots[i]; s.next == 0 || s.key == key {
			return s
		}
	}
}

func (c *chains) grow(p *chainsPart) {
	old := p.slots
	p.slots = make([]chainSlot, max(8, 2*len(old)))
	for i := range old {
		if old[i].next != 0 {
			*p.find(old[i].key, c.hash(old[i].key)) = old[i]
		}
	}
}
