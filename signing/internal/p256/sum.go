package p256

// block is eight affine points, word by word: lane i of each word is of point i.
type block struct{ x, y [4][lanes]uint64 }

const lanes = 8

// sumLanes gives x and zz of the sum of points, and no y. It is false where the processor is
// not made for it, of a few points, and when two of one abscissa meet on the way.
func sumLanes(points []affine) (sum extended, ok bool) {
	if !ifma || len(points) < lanes {
		return sum, false
	}
	var blocks [(positions + lanes - 1) / lanes]block
	for i := range points {
		p, b := &points[i], &blocks[i/lanes]
		for word := range p.x {
			b.x[word][i%lanes], b.y[word][i%lanes] = p.x[word], p.y[word]
		}
	}
	var digits [2][5]uint64
	sumIFMA(&blocks[0], len(points), &digits)
	sum.x.pack(&digits[0])
	sum.zz.pack(&digits[1])
	return sum, !sum.zz.isZero()
}

// pack sets z to a number below 2p of five digits of 52 bits.
func (z *element) pack(d *[5]uint64) {
	z.reduce(d[0]|d[1]<<52, d[1]>>12|d[2]<<40, d[2]>>24|d[3]<<28, d[3]>>36|d[4]<<16, d[4]>>48)
}
