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

// group256 is the subgroup of order q of the curve y^2 = x^3 + ax + b.
type group256 struct {
	field, scalars *field256
	a, b, b3       fe256
	aIsMinus3      bool
	cofactor       int
	generator      affine256
	order          fe256

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
	if g.cofactor != 1 {
		if multiple := g.multiplyVartime(&p.affine256, &g.order); !multiple.z.isZero() {
			return nil, fmt.Errorf("the point is not in the subgroup of order q (the cofactor is %d)", g.cofactor)
		}
	}
	return p, nil
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

// verify checks a signature as GOST R 34.10-2012, section 6.2, has it from
// step 2 on.
func (p *point256) verify(e, r, s []byte) bool {
	g, q := p.group, p.group.scalars
	rn, sn := words256of(r), words256of(s)
	// v = 1/e, z1 = s*v, z2 = -r*v. A factor in the form of the field and one
	// as it is give a product as it is.
	var v, z1, z2 fe256
	g.hashed(&v, e)
	q.invert(&v, &v)
	q.mul(&z1, &sn, &v)
	q.mul(&z2, &rn, &v)
	q.sub(&z2, &fe256{}, &z2)

	var sum jacobian256
	if p.table != nil {
		g.addMultipleVartime(&sum, p.table, &z2)
	} else {
		sum = g.multiplyVartime(&p.affine256, &z2)
	}
	g.addMultipleVartime(&sum, g.baseTable(), &z1)
	return g.abscissaIs(&sum, &rn)
}

// abscissaIs reports whether x(p) mod q = r. It saves the inversion that the
// affine coordinate would cost by comparing with each number below the modulus
// that r stands for: one, or up to five where the cofactor is four.
func (g *group256) abscissaIs(p *jacobian256, r *fe256) bool {
	if p.z.isZero() {
		return false
	}
	f := g.field
	var zz, x fe256
	f.sqr(&zz, &p.z)
	for candidate := *r; candidate.less(&f.modulus); {
		f.enter(&x, &candidate)
		f.mul(&x, &x, &zz)
		if x == p.x {
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
//
// k, or q-k when k is even, is written with odd signed digits: digit i is
// (k>>4i mod 32 | 1) - 16. None is zero, so nothing is skipped and the point
// at infinity never comes out of the table.
func (g *group256) multiplyBase(k *fe256) affine256 {
	table := g.baseTable()
	odd := g.order
	odd.subtract(k)
	even := k[0]&1 - 1 // all ones when k is even
	n := *k
	n.choose(&odd, even)

	var sum projective256
	const top = len(table) - 1
	first := table.pick(top, n[words256-1]>>61)
	sum.x, sum.y, sum.z = first.x, first.y, g.field.one
	for i := range top {
		digit := n[i/16] >> (i % 16 * 4)
		if i%16 == 15 {
			digit |= n[i/16+1] << 4
		}
		digit = digit&31 | 1
		// digit-16 is negative when bit 4 is clear; its magnitude is then
		// 16-digit, and half of it, rounded down, is the place in the table.
		negative := digit>>4 - 1
		place := (digit&15 ^ negative) & 15 >> 1
		term := table.pick(i, place)
		var minus fe256
		g.field.sub(&minus, &fe256{}, &term.y)
		term.y.choose(&minus, negative)
		g.addComplete(&sum, &term)
	}

	var inverse, minus fe256
	var result affine256
	g.field.invert(&inverse, &sum.z)
	g.field.mul(&result.x, &sum.x, &inverse)
	g.field.mul(&result.y, &sum.y, &inverse)
	g.field.sub(&minus, &fe256{}, &result.y)
	result.y.choose(&minus, even)
	return result
}

// pick returns entry place of row i, reading the whole row.
func (t *table256) pick(i int, place uint64) (p affine256) {
	for j := range t[i] {
		different := uint64(j) ^ place
		mask := (different - 1) &^ different >> 63
		mask = -mask
		for w := range p.x {
			p.x[w] |= t[i][j].x[w] & mask
			p.y[w] |= t[i][j].y[w] & mask
		}
	}
	return p
}

// addComplete adds an affine point by the formula of Renes, Costello and
// Batina ("Complete addition formulas for prime order elliptic curves", 2016,
// algorithm 2). It holds for any two points whose difference is not of order
// two, so always in a subgroup of odd order.
func (g *group256) addComplete(p *projective256, q *affine256) {
	f := g.field
	var t0, t1, t3, t4, t5, az, s, u, v, w fe256
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
	f.mul(&az, &g.a, &p.z)

	f.mul(&u, &g.a, &t4)
	f.mul(&s, &g.b3, &p.z)
	f.add(&s, &s, &u)
	f.sub(&u, &t1, &s) // u = y1*y2 - a*t4 - 3b*z1*z2
	f.add(&v, &t1, &s) // v = y1*y2 + a*t4 + 3b*z1*z2

	f.sub(&w, &t0, &az)
	f.mul(&w, &w, &g.a)
	f.mul(&s, &g.b3, &t4)
	f.add(&w, &w, &s) // w = a*x1*x2 + 3b*t4 - a^2*z1*z2

	f.add(&s, &t0, &t0)
	f.add(&s, &s, &t0)
	f.add(&s, &s, &az) // s = 3*x1*x2 + a*z1*z2

	f.mul(&t0, &t3, &u)
	f.mul(&t1, &t5, &w)
	f.sub(&p.x, &t0, &t1)
	f.mul(&t0, &s, &w)
	f.mul(&t1, &u, &v)
	f.add(&p.y, &t0, &t1)
	f.mul(&t0, &t5, &v)
	f.mul(&t1, &t3, &s)
	f.add(&p.z, &t0, &t1)
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
	length := k.nonAdjacentForm(&digits)
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

// nonAdjacentForm writes x with digits that are zero or odd and below 16 in
// magnitude, at least four zeros between two others, and returns how many.
func (x *fe256) nonAdjacentForm(digits *[64*words256 + 1]int8) (length int) {
	// Bits are read in windows of five; a negative digit carries one into the
	// bit after its window.
	const bits = 64 * words256
	carry := uint64(0)
	for i := 0; i <= bits; {
		var window uint64
		if i < bits {
			window = x[i/64] >> (i % 64)
			if i%64 > 59 && i/64+1 < words256 {
				window |= x[i/64+1] << (64 - i%64)
			}
		}
		window = window&31 + carry
		if window&1 == 0 {
			i++
			continue
		}
		digit := int8(window & 31)
		carry = 0
		if digit > 15 {
			digit -= 32
			carry = 1
		}
		digits[i] = digit
		length = i + 1
		i += 5
	}
	return length
}

// addMultipleVartime adds k*P to sum, where t is the table of P and 0 < k < q,
// with the digits of multiplyBase.
func (g *group256) addMultipleVartime(sum *jacobian256, t *table256, k *fe256) {
	n, negate := *k, false
	if n[0]&1 == 0 {
		n = g.order
		n.subtract(k)
		negate = true
	}
	for i := range t {
		window := n[i/16] >> (i % 16 * 4)
		if i%16 == 15 && i/16+1 < words256 {
			window |= n[i/16+1] << 4
		}
		digit := int(window&31|1) - 16
		if i == len(t)-1 {
			digit = int(window&15 | 1)
		}
		term := &t[i][max(digit, -digit)/2]
		if (digit < 0) != negate {
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

	// One inversion for all: products[i] is the product of z before i.
	products := make([]fe256, len(points))
	product := f.one
	for i := range points {
		products[i] = product
		f.mul(&product, &product, &points[i].z)
	}
	var inverse, z, zz fe256
	f.invert(&inverse, &product)
	for i := len(points) - 1; i >= 0; i-- {
		f.mul(&z, &inverse, &products[i])
		f.mul(&inverse, &inverse, &points[i].z)
		f.sqr(&zz, &z)
		entry := &table[i/8][i%8]
		f.mul(&entry.x, &points[i].x, &zz)
		f.mul(&zz, &zz, &z)
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
