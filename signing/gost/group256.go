package gost

import (
	"errors"
	"fmt"
	"sync"
)

// affine256 is a point other than the one at infinity; the coordinates are
// elements of the field of the curve.
type affine256 struct{ x, y fe256 }

// jacobian256 is the point (x/z^2, y/z^3), or the one at infinity when z = 0.
// Its methods look at special cases and are for public values only.
type jacobian256 struct{ x, y, z fe256 }

// projective256 is the point (x/z, y/z), or the one at infinity when z = 0. It
// is added by a formula without special cases, in constant time.
type projective256 struct{ x, y, z fe256 }

// group256 is the subgroup of order q of the curve y^2 = x^3 + ax + b. Where
// the curve has a twisted Edwards form, its points are added in that one.
type group256 struct {
	field, scalars *field256
	a, b, b3       fe256
	aIsMinus3      bool
	cofactor       int
	generator      affine256
	order          fe256
	edwards        *edwards256 // nil where the curve has no such form

	once  sync.Once
	table *table256 // of the generator; see baseTable
}

// table256 holds, for each position i of a hexadecimal digit, the odd multiples
// 1, 3 … 15 of 16^i * P. With it a multiple of P is a sum without doublings.
type table256 [2 * octets256][8]affine256

func newGroup256(c *parameters) *group256 {
	g := &group256{
		field:    newField256(c.p, true),
		scalars:  newField256(c.q, false),
		cofactor: c.cofactor,
		order:    words256of(c.q),
	}
	enter := func(octets []byte) (z fe256) {
		z = words256of(octets)
		g.field.enter(&z, &z)
		return z
	}
	g.a, g.b = enter(c.a), enter(c.b)
	g.generator = affine256{enter(c.x), enter(c.y)}
	g.field.add(&g.b3, &g.b, &g.b)
	g.field.add(&g.b3, &g.b3, &g.b)

	var three, sum fe256
	g.field.enter(&three, &fe256{3})
	g.field.add(&sum, &g.a, &three)
	g.aIsMinus3 = sum.isZero()
	if c.d != nil {
		g.edwards = newEdwards256(g, enter(c.d))
	}
	return g
}

// baseTable builds the table of the generator on first use.
func (g *group256) baseTable() *table256 {
	g.once.Do(func() { g.table = g.tableOf(&g.generator) })
	return g.table
}

func (g *group256) inRange(k []byte) bool {
	n := words256of(k)
	return !n.isZero() && n.less(&g.order)
}

func (g *group256) base(k []byte) (x, y []byte) {
	n := words256of(k)
	p := g.multiplyBase(&n)
	g.field.leave(&p.x, &p.x)
	g.field.leave(&p.y, &p.y)
	return p.x.octets(), p.y.octets()
}

// sign computes r = x(k*G) mod q and s = r*d + k*e mod q, GOST R 34.10-2012,
// section 6.1. The secrets d and k steer no branch and no address.
func (g *group256) sign(d, e, k []byte) (r, s []byte, ok bool) {
	q := g.scalars
	key, nonce := words256of(d), words256of(k)
	point := g.multiplyBase(&nonce)
	g.field.leave(&point.x, &point.x)

	var rm, sm, em fe256 // r, s and e in the form of the field
	q.enter(&rm, &point.x)
	g.hashed(&em, e)
	var rd, ke fe256
	q.enter(&key, &key)
	q.enter(&nonce, &nonce)
	q.mul(&rd, &rm, &key)
	q.mul(&ke, &nonce, &em)
	q.add(&sm, &rd, &ke)
	if rm.isZero() || sm.isZero() {
		return nil, nil, false
	}
	q.leave(&rm, &rm)
	q.leave(&sm, &sm)
	return rm.octets(), sm.octets(), true
}

// hashed takes a digest into the field of scalars: e mod q, and 1 for 0.
func (g *group256) hashed(z *fe256, e []byte) {
	n := words256of(e)
	g.scalars.enter(z, &n)
	if z.isZero() {
		*z = g.scalars.one
	}
}

// point256 is a public key of a group: the point, and its table when it was
// worth one.
type point256 struct {
	group *group256
	affine256
	table *table256
}

func (g *group256) admit(x, y []byte) (point, error) {
	p := &point256{group: g, affine256: affine256{words256of(x), words256of(y)}}
	if !p.x.less(&g.field.modulus) || !p.y.less(&g.field.modulus) {
		return nil, errors.New("a coordinate is not below the modulus of the curve")
	}
	g.field.enter(&p.x, &p.x)
	g.field.enter(&p.y, &p.y)
	if !g.contains(&p.affine256) {
		return nil, errors.New("the point is not on the curve")
	}
	if g.edwards != nil {
		return g.edwards.admit(&p.affine256)
	}
	if g.cofactor != 1 {
		if multiple := g.multiplyVartime(&p.affine256, &g.order); !multiple.z.isZero() {
			return nil, g.outside()
		}
	}
	return p, nil
}

// outside is the error for a point of the curve that is not of order q.
func (g *group256) outside() error {
	return fmt.Errorf("the point is not in the subgroup of order q (the cofactor is %d)", g.cofactor)
}

// contains reports whether p satisfies the equation of the curve.
func (g *group256) contains(p *affine256) bool {
	f := g.field
	var left, right fe256
	f.sqr(&left, &p.y)
	f.sqr(&right, &p.x)
	f.add(&right, &right, &g.a)
	f.mul(&right, &right, &p.x)
	f.add(&right, &right, &g.b)
	return left == right
}

func (p *point256) withTable() point {
	return &point256{p.group, p.affine256, p.group.tableOf(&p.affine256)}
}

func (p *point256) verify(e, r, s []byte) bool {
	g := p.group
	z1, z2 := g.factors(e, r, s)
	var sum jacobian256
	if p.table != nil {
		g.addMultipleVartime(&sum, p.table, &z2)
	} else {
		sum = g.multiplyVartime(&p.affine256, &z2)
	}
	g.addMultipleVartime(&sum, g.baseTable(), &z1)
	var zz fe256
	g.field.sqr(&zz, &sum.z)
	return g.abscissaIs(&sum.x, &zz, r)
}

// factors are z1 and z2 of GOST R 34.10-2012, section 6.2: a signature is right
// when the point z1*G + z2*P has the abscissa r modulo q.
func (g *group256) factors(e, r, s []byte) (z1, z2 fe256) {
	q := g.scalars
	rn, sn := words256of(r), words256of(s)
	// v = 1/e, z1 = s*v, z2 = -r*v. A factor in the form of the field and one
	// as it is give a product as it is.
	var v fe256
	g.hashed(&v, e)
	q.invert(&v, &v)
	q.mul(&z1, &sn, &v)
	q.mul(&z2, &rn, &v)
	q.sub(&z2, &fe256{}, &z2)
	return z1, z2
}

// abscissaIs reports whether (over/under) mod q = r, where under = 0 means the
// point at infinity. It saves the inversion that the quotient would cost by
// comparing with each number below the modulus that r stands for: one, or up to
// five where the cofactor is four.
func (g *group256) abscissaIs(over, under *fe256, r []byte) bool {
	if under.isZero() {
		return false
	}
	f := g.field
	var x fe256
	for candidate := words256of(r); candidate.less(&f.modulus); {
		f.enter(&x, &candidate)
		f.mul(&x, &x, under)
		if x == *over {
			return true
		}
		// The complement of q, taken away, adds q and borrows unless it wraps.
		complement := fe256{}
		complement.subtract(&g.order)
		if candidate.subtract(&complement) == 0 {
			return false
		}
	}
	return false
}

// Constant time.

// multiplyBase returns k times the generator for 0 < k < q.
func (g *group256) multiplyBase(k *fe256) affine256 {
	if g.edwards != nil {
		return g.edwards.multiplyBase(k)
	}
	f := g.field
	table := g.baseTable()
	n, even := g.oddOf(k)
	const top = len(table) - 1
	place, _ := n.digit(top)
	var term affine256
	table.pick(&term, top, place)
	sum := projective256{term.x, term.y, f.one}
	for i := range top {
		place, negative := n.digit(i)
		table.pick(&term, i, place)
		f.negate(&term.y, negative)
		g.addComplete(&sum, &term)
	}

	var inverse fe256
	var result affine256
	f.invert(&inverse, &sum.z)
	f.mul(&result.x, &sum.x, &inverse)
	f.mul(&result.y, &sum.y, &inverse)
	f.negate(&result.y, even)
	return result
}

// oddOf prepares a scalar 0 < k < q for being read by digits: it gives k, or
// q-k with even all ones when k is even.
//
// An odd number is written with odd signed digits: digit i is
// (n>>4i mod 32 | 1) - 16. None is zero, so nothing is skipped and the point at
// infinity never comes out of a table.
func (g *group256) oddOf(k *fe256) (n fe256, even uint64) {
	odd := g.order
	odd.subtract(k)
	even = k[0]&1 - 1
	n = *k
	n.choose(&odd, even)
	return n, even
}

// digit gives digit i of an odd number: its place in a row of the table, and
// all ones when it is negative, which the highest never is.
func (x *fe256) digit(i int) (place, negative uint64) {
	digit := x[i/16] >> (i % 16 * 4)
	switch {
	case i == len(table256{})-1:
		digit |= 16
	case i%16 == 15:
		digit |= x[i/16+1] << 4
	}
	digit = digit&31 | 1
	// digit-16 is negative when bit 4 is clear; its magnitude is then 16-digit,
	// and half of it, rounded down, is the place in the table.
	negative = digit>>4 - 1
	return (digit&15 ^ negative) & 15 >> 1, negative
}

// pick sets p to entry place of row i, reading the whole row.
func (t *table256) pick(p *affine256, i int, place uint64) {
	*p = affine256{}
	row := &t[i]
	for j := range row {
		mask := same(uint64(j), place)
		p.x.gather(&row[j].x, mask)
		p.y.gather(&row[j].y, mask)
	}
}

// addComplete adds an affine point by the formulas of Renes, Costello and
// Batina ("Complete addition formulas for prime order elliptic curves", 2016,
// algorithms 2 and 5). They hold for any two points whose difference is not of
// order two, so always in a subgroup of odd order.
func (g *group256) addComplete(p *projective256, q *affine256) {
	f := g.field
	var t0, t1, t3, t4, t5, s, u, v, w fe256
	f.mul(&t0, &p.x, &q.x)
	f.mul(&t1, &p.y, &q.y)
	f.add(&t3, &p.x, &p.y)
	f.add(&s, &q.x, &q.y)
	f.mul(&t3, &t3, &s)
	f.sub(&t3, &t3, &t0)
	f.sub(&t3, &t3, &t1) // t3 = x1*y2 + x2*y1
	f.mul(&t4, &q.x, &p.z)
	f.add(&t4, &t4, &p.x) // t4 = x1*z2 + x2*z1
	f.mul(&t5, &q.y, &p.z)
	f.add(&t5, &t5, &p.y) // t5 = y1*z2 + y2*z1

	if g.aIsMinus3 {
		var z fe256
		f.mul(&s, &g.b, &p.z)
		f.sub(&s, &s, &t4)
		f.triple(&s) // s = a*t4 + 3b*z1*z2
		f.mul(&w, &g.b, &t4)
		f.sub(&w, &w, &t0)
		z = p.z
		f.triple(&z)
		f.sub(&w, &w, &z)
		f.triple(&w)
		f.triple(&t0)
		f.sub(&t0, &t0, &z)
	} else {
		var az fe256
		f.mul(&az, &g.a, &p.z)
		f.mul(&u, &g.a, &t4)
		f.mul(&s, &g.b3, &p.z)
		f.add(&s, &s, &u) // s = a*t4 + 3b*z1*z2
		f.sub(&w, &t0, &az)
		f.mul(&w, &w, &g.a)
		f.mul(&u, &g.b3, &t4)
		f.add(&w, &w, &u)
		f.triple(&t0)
		f.add(&t0, &t0, &az)
	}
	// w = a*x1*x2 + 3b*t4 - a^2*z1*z2, t0 = 3*x1*x2 + a*z1*z2
	f.sub(&u, &t1, &s) // u = y1*y2 - a*t4 - 3b*z1*z2
	f.add(&v, &t1, &s) // v = y1*y2 + a*t4 + 3b*z1*z2

	f.mul(&p.x, &t3, &u)
	f.mul(&t1, &t5, &w)
	f.sub(&p.x, &p.x, &t1)
	f.mul(&p.y, &t0, &w)
	f.mul(&t1, &u, &v)
	f.add(&p.y, &p.y, &t1)
	f.mul(&p.z, &t5, &v)
	f.mul(&t1, &t3, &t0)
	f.add(&p.z, &p.z, &t1)
}

// Variable time, for public values.

// multiplyVartime returns k*p by a non-adjacent form of width 5.
func (g *group256) multiplyVartime(p *affine256, k *fe256) jacobian256 {
	var odd [8]jacobian256 // p, 3p … 15p
	odd[0] = jacobian256{p.x, p.y, g.field.one}
	twice := odd[0]
	g.double(&twice)
	for i := 1; i < len(odd); i++ {
		odd[i] = odd[i-1]
		g.add(&odd[i], &twice)
	}

	var digits [64*words256 + 1]int8
	length := k.nonAdjacentForm(&digits, 5)
	var sum jacobian256
	for i := length - 1; i >= 0; i-- {
		g.double(&sum)
		switch digit := digits[i]; {
		case digit > 0:
			g.add(&sum, &odd[digit/2])
		case digit < 0:
			minus := odd[-digit/2]
			g.field.sub(&minus.y, &fe256{}, &minus.y)
			g.add(&sum, &minus)
		}
	}
	return sum
}

// nonAdjacentForm writes x with digits that are zero or odd and below
// 2^(width-1) in magnitude, at least width-1 zeros between two others, and
// returns how many. The width is at most 8.
func (x *fe256) nonAdjacentForm(digits *[64*words256 + 1]int8, width int) (length int) {
	// Bits are read in windows; a negative digit carries one into the bit after
	// its window.
	const bits = 64 * words256
	carry := uint64(0)
	for i := 0; i <= bits; {
		var window uint64
		if i < bits {
			window = x[i/64] >> (i % 64)
			if i%64 > 64-width && i/64+1 < words256 {
				window |= x[i/64+1] << (64 - i%64)
			}
		}
		window = window&(1<<width-1) + carry
		if window&1 == 0 {
			i++
			continue
		}
		digit := int(window & (1<<width - 1))
		carry = window >> (width - 1) & 1
		digit -= int(carry) << width
		digits[i] = int8(digit)
		length = i + 1
		i += width
	}
	return length
}

// addMultipleVartime adds k*P to sum, where t is the table of P and 0 < k < q,
// with the digits of multiplyBase.
func (g *group256) addMultipleVartime(sum *jacobian256, t *table256, k *fe256) {
	n, even := g.oddOf(k)
	for i := range t {
		place, negative := n.digit(i)
		term := &t[i][place]
		if negative != even {
			minus := *term
			g.field.sub(&minus.y, &fe256{}, &minus.y)
			term = &minus
		}
		g.addAffine(sum, term)
	}
}

// tableOf builds the table of a point of the subgroup.
func (g *group256) tableOf(p *affine256) *table256 {
	f := g.field
	table := new(table256)
	points := make([]jacobian256, 0, len(table)*len(table[0]))
	base := jacobian256{p.x, p.y, f.one}
	for range table {
		twice := base
		g.double(&twice)
		next := base
		for range table[0] {
			points = append(points, next)
			g.add(&next, &twice)
		}
		for range 4 {
			g.double(&base)
		}
	}

	zs := make([]fe256, len(points))
	for i := range points {
		zs[i] = points[i].z
	}
	f.invertAll(zs)
	var zz fe256
	for i := range points {
		f.sqr(&zz, &zs[i])
		entry := &table[i/8][i%8]
		f.mul(&entry.x, &points[i].x, &zz)
		f.mul(&zz, &zz, &zs[i])
		f.mul(&entry.y, &points[i].y, &zz)
	}
	return table
}

// double doubles p.
func (g *group256) double(p *jacobian256) {
	f := g.field
	var yy, xyy, slope, t, u fe256
	f.sqr(&yy, &p.y)
	f.mul(&xyy, &p.x, &yy)
	f.sqr(&u, &p.z)
	if g.aIsMinus3 {
		// slope = 3(x - z^2)(x + z^2)
		f.sub(&t, &p.x, &u)
		f.add(&slope, &p.x, &u)
		f.mul(&slope, &slope, &t)
		f.add(&t, &slope, &slope)
		f.add(&slope, &slope, &t)
	} else {
		// slope = 3x^2 + a*z^4
		f.sqr(&slope, &p.x)
		f.add(&t, &slope, &slope)
		f.add(&slope, &slope, &t)
		f.sqr(&u, &u)
		f.mul(&u, &u, &g.a)
		f.add(&slope, &slope, &u)
	}
	f.mul(&p.z, &p.y, &p.z)
	f.add(&p.z, &p.z, &p.z)

	f.add(&xyy, &xyy, &xyy)
	f.add(&xyy, &xyy, &xyy)
	f.sqr(&p.x, &slope)
	f.add(&t, &xyy, &xyy)
	f.sub(&p.x, &p.x, &t) // x = slope^2 - 8*x*y^2

	f.add(&yy, &yy, &yy)
	f.sqr(&yy, &yy)
	f.add(&yy, &yy, &yy) // 8*y^4
	f.sub(&t, &xyy, &p.x)
	f.mul(&t, &t, &slope)
	f.sub(&p.y, &t, &yy)
}

// add adds q to p.
func (g *group256) add(p, q *jacobian256) {
	if q.z.isZero() {
		return
	}
	if p.z.isZero() {
		*p = *q
		return
	}
	f := g.field
	var zz1, zz2, x1, x2, y1, y2 fe256
	f.sqr(&zz1, &p.z)
	f.sqr(&zz2, &q.z)
	f.mul(&x1, &p.x, &zz2)
	f.mul(&x2, &q.x, &zz1)
	f.mul(&y1, &p.y, &q.z)
	f.mul(&y1, &y1, &zz2)
	f.mul(&y2, &q.y, &p.z)
	f.mul(&y2, &y2, &zz1)
	f.mul(&p.z, &p.z, &q.z)
	g.chord(p, &x1, &y1, &x2, &y2)
}

// addAffine adds q to p.
func (g *group256) addAffine(p *jacobian256, q *affine256) {
	if p.z.isZero() {
		*p = jacobian256{q.x, q.y, g.field.one}
		return
	}
	f := g.field
	var zz, x2, y2 fe256
	f.sqr(&zz, &p.z)
	f.mul(&x2, &q.x, &zz)
	f.mul(&y2, &q.y, &p.z)
	f.mul(&y2, &y2, &zz)
	x1, y1 := p.x, p.y
	g.chord(p, &x1, &y1, &x2, &y2)
}

// chord finishes an addition: p.z holds the common z, and the points to add
// are (x1, y1) and (x2, y2) over it.
func (g *group256) chord(p *jacobian256, x1, y1, x2, y2 *fe256) {
	f := g.field
	var h, hh, hhh, v, slope fe256
	f.sub(&h, x2, x1)
	f.sub(&slope, y2, y1)
	if h.isZero() {
		if !slope.isZero() {
			*p = jacobian256{}
			return
		}
		p.x, p.y = *x1, *y1
		g.double(p)
		return
	}
	f.sqr(&hh, &h)
	f.mul(&hhh, &hh, &h)
	f.mul(&v, x1, &hh)
	f.mul(&p.z, &p.z, &h)
	f.sqr(&p.x, &slope)
	f.sub(&p.x, &p.x, &hhh)
	f.sub(&p.x, &p.x, &v)
	f.sub(&p.x, &p.x, &v)
	f.sub(&v, &v, &p.x)
	f.mul(&v, &v, &slope)
	f.mul(&hhh, &hhh, y1)
	f.sub(&p.y, &v, &hhh)
}
