package p256

import "sync"

// block is eight affine points, word by word: lane i of each word is of point i.
type block struct{ x, y [4][lanes]uint64 }

const lanes = 8

func (b *block) put(lane int, p *affine) {
	for word := range p.x {
		b.x[word][lane], b.y[word][lane] = p.x[word], p.y[word]
	}
}

// sumLanes gives x and zz of the sum of terms, and no y. It is false where the processor is
// not made for it, of a few terms, and when two of one abscissa meet on the way.
func sumLanes(terms []term) (sum extended, ok bool) {
	if !ifma || len(terms) < lanes {
		return sum, false
	}
	var blocks [(positions + lanes - 1) / lanes]block
	touch(terms)
	for i, t := range terms {
		p := t.affine()
		blocks[i/lanes].put(i%lanes, &p)
	}
	var digits [2][5]uint64
	sumIFMA(&blocks[0], len(terms), &digits)
	sum.x.pack(&digits[0])
	sum.zz.pack(&digits[1])
	return sum, !sum.zz.isZero()
}

// pack sets z to a number below 2p of five digits of 52 bits.
func (z *element) pack(d *[5]uint64) {
	z.reduce(d[0]|d[1]<<52, d[1]>>12|d[2]<<40, d[2]>>24|d[3]<<28, d[3]>>36|d[4]<<16, d[4]>>48)
}

// secretTable holds 1, 3 ... 15 times 16^i of the generator for 64 positions of a digit, eight
// of which are the lanes of a block: 32 KB, all of which is read for each number.
type secretTable [8][8]block

// choice says for eight positions which entry is meant, and, all ones, that its opposite is.
type choice struct{ entry, minus [lanes]uint64 }

var secretGenerator = sync.OnceValue(func() *secretTable {
	var bases, twos [64]extended
	at := generator().points[0]
	sum := extended{at.x, at.y, one, one}
	for i := range bases {
		bases[i] = sum
		for k := range 4 {
			if sum.double(); k == 0 {
				twos[i] = sum
			}
		}
	}
	odd := make([]extended, 0, 64*8)
	for i, two := range settle(twos[:]) {
		sum := bases[i]
		for range 8 {
			odd = append(odd, sum)
			sum.add(&two)
		}
	}
	t := new(secretTable)
	for i, p := range settle(odd) {
		row, entry := i/8, i%8
		t[row/lanes][entry].put(row%lanes, &p)
	}
	return t
})

// secretAbscissa gives the abscissa modulo n of a number between nought and n times the
// generator, in a time that tells nothing of the number. The sum's zz does tell of it (Naccache,
// Smart and Stern, "Projective coordinates leak", 2004), so a blinder hides it from the
// inversion. It is false where the processor is not made for it, and for such numbers, of which
// nobody will ever draw one, that two sums on the way have one abscissa.
//
// A number and its opposite have one abscissa, and one of them is odd: that one, k, is the
// sum of 64 odd digits, none of them nought, each 2*h-15 for a hexadecimal digit h of
// (k-1)/2 + 2^255. So there is nothing to leave out, and nothing to begin with that would
// be the point at infinity.
func secretAbscissa(k *scalar, blinder *element) (r scalar, ok bool) {
	if !ifma {
		return r, false
	}
	odd := *k
	odd.negate((odd[0] & 1) - 1)
	half := [4]uint64{odd[0]>>1 | odd[1]<<63, odd[1]>>1 | odd[2]<<63, odd[2]>>1 | odd[3]<<63, odd[3]>>1 | 1<<63}
	var choices [8]choice
	for i := range 64 {
		h := half[i/16] >> (i % 16 * 4) & 15
		minus := h>>3 - 1
		c := &choices[i/lanes]
		c.entry[i%lanes], c.minus[i%lanes] = (h^minus)&7, minus
	}
	var blocks [8]block
	selectIFMA(&blocks, secretGenerator(), &choices)
	var digits [2][5]uint64
	sumIFMA(&blocks[0], 64, &digits)
	var x, zz element
	x.pack(&digits[0])
	zz.pack(&digits[1])
	ok = !zz.isZero()
	zz.invertHidden(&zz, blinder)
	x.mul(&x, &zz)
	x.mul(&x, &element{1}) // out of its form
	r.reduce(x[0], x[1], x[2], x[3], 0)
	return r, ok
}
