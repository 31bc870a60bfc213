package gost

import "sync"

// edwards256 is the subgroup of order q of a curve u^2 + v^2 = 1 + d*u^2*v^2,
// which is y^2 = x^3 + ax + b seen through the map of RFC 7836,
//
//	x = s(1+v)/(1-v) + t    u = (x-t)/y
//	y = s(1+v)/((1-v)u)     v = (x-t-s)/(x-t+s)
//
// with s = (1-d)/4 and t = (1+d)/6. As d is not a square, the sum of any two
// points, equal, opposite or of small order, is given by one formula, and the
// map leaves out only the point at infinity, whose image is (0, 1), and the
// point (t, 0) of order two, whose image is (0, -1).
type edwards256 struct {
	group   *group256
	field   *field256
	d, s, t fe256

	once sync.Once
	base edwardsTables256
}

// edwardsTables256 are the tables of the generator.
type edwardsTables256 struct {
	digits *edwardsTable256
	odd    [64]summand256 // G, 3G … 127G
}

// extended256 is the point u = x/z, v = y/z, with t = xy/z. z is never zero.
type extended256 struct{ x, y, z, t fe256 }

// summand256 is a point as it is added: u, v and d*u*v, or z times as much.
type summand256 struct{ x, y, dt fe256 }

// edwardsTable256 is to a point what table256 is.
type edwardsTable256 [len(table256{})][len(table256{}[0])]summand256

func newEdwards256(g *group256, d fe256) *edwards256 {
	c := &edwards256{group: g, field: g.field, d: d}
	f := c.field
	number := func(n uint64) (z fe256) {
		f.enter(&z, &fe256{n})
		return z
	}
	four, six := number(4), number(6)
	f.invert(&four, &four)
	f.invert(&six, &six)
	f.sub(&c.s, &f.one, &d)
	f.mul(&c.s, &c.s, &four)
	f.add(&c.t, &f.one, &d)
	f.mul(&c.t, &c.t, &six)
	return c
}

// tables builds the tables of the generator on first use.
func (c *edwards256) tables() *edwardsTables256 {
	c.once.Do(func() {
		generator, _ := c.image(&c.group.generator)
		c.base.digits = c.tableOf(&generator)
		odd := make([]extended256, len(c.base.odd))
		c.oddMultiples(odd, &generator)
		copy(c.base.odd[:], c.summands(odd))
	})
	return &c.base
}

// image maps a point of the curve. It is not ok with the point of order two.
func (c *edwards256) image(p *affine256) (image extended256, ok bool) {
	f := c.field
	// u = (x-t)^2+s(x-t) over y(x-t+s), v = y(x-t-s) over the same.
	var x, minus, plus fe256
	f.sub(&x, &p.x, &c.t)
	f.sub(&minus, &x, &c.s)
	f.add(&plus, &x, &c.s)
	f.mul(&image.z, &p.y, &plus)
	if image.z.isZero() {
		return extended256{}, false
	}
	f.invert(&image.z, &image.z)
	f.mul(&image.x, &x, &plus)
	f.mul(&image.x, &image.x, &image.z)
	f.mul(&image.y, &p.y, &minus)
	f.mul(&image.y, &image.y, &image.z)
	f.mul(&image.t, &image.x, &image.y)
	image.z = f.one
	return image, true
}

// edwardsPoint256 is a public key: the image of the point, and its table when
// it was worth one.
type edwardsPoint256 struct {
	curve *edwards256
	extended256
	table *edwardsTable256
}

// admit checks that a point of the curve is in the subgroup of order q.
func (c *edwards256) admit(p *affine256) (point, error) {
	image, ok := c.image(p)
	if !ok {
		return nil, c.group.outside()
	}
	if multiple := c.combineVartime(&image, &c.group.order, &fe256{}); !multiple.isNeutral() {
		return nil, c.group.outside()
	}
	return &edwardsPoint256{c, image, nil}, nil
}

// isNeutral reports whether p is (0, 1). Where x is zero, y is z or -z.
func (p *extended256) isNeutral() bool { return p.x.isZero() && p.y == p.z }

func (p *edwardsPoint256) withTable() point {
	return &edwardsPoint256{p.curve, p.extended256, p.curve.tableOf(&p.extended256)}
}

// verify does what that of point256 does.
func (p *edwardsPoint256) verify(e, r, s []byte) bool {
	c, f := p.curve, p.curve.field
	z1, z2 := c.group.factors(e, r, s)
	var sum extended256
	if p.table != nil {
		sum = c.neutral()
		c.addMultipleVartime(&sum, p.table, &z2)
		c.addMultipleVartime(&sum, c.tables().digits, &z1)
	} else {
		sum = c.combineVartime(&p.extended256, &z2, &z1)
	}
	// x = s(z+y)/(z-y) + t
	var over, under, shift fe256
	f.add(&over, &sum.z, &sum.y)
	f.mul(&over, &over, &c.s)
	f.sub(&under, &sum.z, &sum.y)
	f.mul(&shift, &under, &c.t)
	f.add(&over, &over, &shift)
	return c.group.abscissaIs(&over, &under, r)
}

func (c *edwards256) neutral() extended256 {
	return extended256{y: c.field.one, z: c.field.one}
}

// Constant time.

// multiplyBase returns k times the generator for 0 < k < q, in the coordinates
// of the group.
func (c *edwards256) multiplyBase(k *fe256) (result affine256) {
	f := c.field
	table := c.tables().digits
	n, even := c.group.oddOf(k)
	const top = len(table) - 1
	place, _ := n.digit(top)
	var term summand256
	table.pick(&term, top, place)
	sum := extended256{x: term.x, y: term.y, z: f.one}
	f.mul(&sum.t, &term.x, &term.y)
	for i := range top {
		place, negative := n.digit(i)
		table.pick(&term, i, place)
		f.negate(&term.x, negative)
		f.negate(&term.dt, negative)
		c.add(&sum, &term, &sum.z)
	}

	// x = s(z+y)/(z-y) + t, y = s(z+y)z/((z-y)x)
	var plus, inverse fe256
	f.add(&plus, &sum.z, &sum.y)
	f.mul(&plus, &plus, &c.s)
	f.sub(&inverse, &sum.z, &sum.y)
	f.mul(&inverse, &inverse, &sum.x)
	f.invert(&inverse, &inverse)
	f.mul(&plus, &plus, &inverse)
	f.mul(&result.x, &plus, &sum.x)
	f.add(&result.x, &result.x, &c.t)
	f.mul(&result.y, &plus, &sum.z)
	f.negate(&result.y, even)
	return result
}

// pick sets p to entry place of row i, reading the whole row.
func (t *edwardsTable256) pick(p *summand256, i int, place uint64) {
	*p = summand256{}
	row := &t[i]
	for j := range row {
		mask := same(uint64(j), place)
		p.x.gather(&row[j].x, mask)
		p.y.gather(&row[j].y, mask)
		p.dt.gather(&row[j].dt, mask)
	}
}

// add adds q, given as z times what it is with zz = p.z*z, by the unified
// formula of Hisil, Wong, Carter and Dawson ("Twisted Edwards curves
// revisited", 2008, section 3.1).
func (c *edwards256) add(p *extended256, q *summand256, zz *fe256) {
	f := c.field
	var a, b, t, sum, minus, plus fe256
	f.mul(&a, &p.x, &q.x)
	f.mul(&b, &p.y, &q.y)
	f.mul(&t, &p.t, &q.dt)
	f.sub(&minus, zz, &t)
	f.add(&plus, zz, &t)
	f.add(&sum, &q.x, &q.y)
	f.add(&t, &p.x, &p.y)
	f.mul(&sum, &sum, &t)
	f.sub(&sum, &sum, &a)
	f.sub(&sum, &sum, &b) // x1*y2 + x2*y1
	f.sub(&b, &b, &a)
	c.join(p, &sum, &minus, &b, &plus)
	f.mul(&p.t, &sum, &b)
}

// join sets p, but for t, to the point u = u/uz, v = v/vz.
func (c *edwards256) join(p *extended256, u, vz, v, uz *fe256) {
	f := c.field
	f.mul(&p.x, u, vz)
	f.mul(&p.y, v, uz)
	f.mul(&p.z, vz, uz)
}

// double doubles p. It does not need p.t, and makes it only when asked to.
func (c *edwards256) double(p *extended256, t bool) {
	f := c.field
	var a, b, sum, minus, plus, zz fe256
	f.add(&sum, &p.x, &p.y)
	f.sqr(&sum, &sum)
	f.sqr(&a, &p.x)
	f.sqr(&b, &p.y)
	f.sqr(&zz, &p.z)
	f.add(&zz, &zz, &zz)
	f.add(&plus, &a, &b)
	f.sub(&sum, &sum, &plus) // 2xy
	f.sub(&minus, &zz, &plus)
	f.sub(&b, &b, &a)
	c.join(p, &sum, &minus, &b, &plus)
	if t {
		f.mul(&p.t, &sum, &b)
	}
}

// Variable time, for public values.

// combineVartime returns k*p + n*G by non-adjacent forms whose doublings are
// shared.
func (c *edwards256) combineVartime(p *extended256, k, n *fe256) extended256 {
	const width, baseWidth = 5, 8
	f := c.field
	var odd [1 << (width - 2)]extended256
	var table [len(odd)]summand256
	c.oddMultiples(odd[:], p)
	for i := range odd {
		table[i] = c.summand(&odd[i])
	}
	base := &c.tables().odd

	var digits, baseDigits [64*words256 + 1]int8
	length := max(k.nonAdjacentForm(&digits, width), n.nonAdjacentForm(&baseDigits, baseWidth))
	sum := c.neutral()
	for i := length - 1; i >= 0; i-- {
		digit, baseDigit := digits[i], baseDigits[i]
		c.double(&sum, digit|baseDigit != 0)
		if digit != 0 {
			place := max(digit, -digit) / 2
			var zz fe256
			f.mul(&zz, &sum.z, &odd[place].z)
			c.addSignedVartime(&sum, &table[place], &zz, digit < 0)
		}
		if baseDigit != 0 {
			c.addSignedVartime(&sum, &base[max(baseDigit, -baseDigit)/2], &sum.z, baseDigit < 0)
		}
	}
	return sum
}

// addMultipleVartime adds k*P to sum, where t is the table of P and 0 < k < q.
func (c *edwards256) addMultipleVartime(sum *extended256, t *edwardsTable256, k *fe256) {
	n, even := c.group.oddOf(k)
	for i := range t {
		place, negative := n.digit(i)
		c.addSignedVartime(sum, &t[i][place], &sum.z, negative != even)
	}
}

// addSignedVartime adds q, or takes it away.
func (c *edwards256) addSignedVartime(p *extended256, q *summand256, zz *fe256, negative bool) {
	if negative {
		minus := *q
		c.field.sub(&minus.x, &fe256{}, &minus.x)
		c.field.sub(&minus.dt, &fe256{}, &minus.dt)
		q = &minus
	}
	c.add(p, q, zz)
}

// summand gives p as it is added, p.z times as much.
func (c *edwards256) summand(p *extended256) summand256 {
	s := summand256{x: p.x, y: p.y}
	c.field.mul(&s.dt, &p.t, &c.d)
	return s
}

// oddMultiples fills points with p, 3p, 5p …
func (c *edwards256) oddMultiples(points []extended256, p *extended256) {
	twice := *p
	c.double(&twice, true)
	step := c.summand(&twice)
	points[0] = *p
	var zz fe256
	for i := 1; i < len(points); i++ {
		points[i] = points[i-1]
		c.field.mul(&zz, &points[i].z, &twice.z)
		c.add(&points[i], &step, &zz)
	}
}

// summands divides points by their z and gives them as they are added.
func (c *edwards256) summands(points []extended256) []summand256 {
	f := c.field
	zs := make([]fe256, len(points))
	for i := range points {
		zs[i] = points[i].z
	}
	f.invertAll(zs)
	list := make([]summand256, len(points))
	for i := range points {
		s := c.summand(&points[i])
		f.mul(&list[i].x, &s.x, &zs[i])
		f.mul(&list[i].y, &s.y, &zs[i])
		f.mul(&list[i].dt, &s.dt, &zs[i])
	}
	return list
}

// tableOf builds the table of a point of the subgroup.
func (c *edwards256) tableOf(p *extended256) *edwardsTable256 {
	table := new(edwardsTable256)
	const row = len(table[0])
	points := make([]extended256, len(table)*row)
	base := *p
	for i := range table {
		c.oddMultiples(points[i*row:(i+1)*row], &base)
		for range 4 {
			c.double(&base, true)
		}
	}
	list := c.summands(points)
	for i := range table {
		list = list[copy(table[i][:], list):]
	}
	return table
}
